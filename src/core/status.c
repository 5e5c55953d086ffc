/* SPDX-License-Identifier: Apache-2.0 */
#include <tcpx/p2p.h>

#define STRING(x) #x
#define VERSION(major, minor, patch)                                           \
	STRING(major) "." STRING(minor) "." STRING(patch)

const char *tcpx_version(void)
{
	return VERSION(TCPX_VERSION_MAJOR, TCPX_VERSION_MINOR,
		       TCPX_VERSION_PATCH);
}

const char *tcpx_status_name(int status)
{
	switch (status) {
#define X(name, value, scope, text)                                            \
	case TCPX_##name:                                                      \
		return "TCPX_" #name;
		TCPX_STATUS_MAP(X)
#undef X
	default:
		return "TCPX_?";
	}
}

const char *tcpx_strerror(int status)
{
	switch (status) {
#define X(name, value, scope, text)                                            \
	case TCPX_##name:                                                      \
		return text;
		TCPX_STATUS_MAP(X)
#undef X
	default:
		return "unknown status";
	}
}

enum tcpx_scope tcpx_status_scope(int status)
{
	switch (status) {
#define X(name, value, scope, text)                                            \
	case TCPX_##name:                                                      \
		return TCPX_SCOPE_##scope;
		TCPX_STATUS_MAP(X)
#undef X
	default:
		return status > 0 ? TCPX_SCOPE_NONE : TCPX_SCOPE_SESSION;
	}
}
