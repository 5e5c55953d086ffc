/* SPDX-License-Identifier: Apache-2.0 */
#include <tcpx/p2p.h>

#include "check.h"

static void names_every_status(void)
{
#define X(name, value, scope, text)                                            \
	CHECK_STR(tcpx_status_name(value), "TCPX_" #name);                     \
	CHECK_STR(tcpx_strerror(value), text);                                 \
	CHECK_EQ(tcpx_status_scope(value), TCPX_SCOPE_##scope);
	TCPX_STATUS_MAP(X)
#undef X
}

static void unknown_statuses(void)
{
	CHECK_STR(tcpx_status_name(-999), "TCPX_?");
	CHECK_STR(tcpx_strerror(-999), "unknown status");
	CHECK_EQ(tcpx_status_scope(-999), TCPX_SCOPE_SESSION);
	CHECK_EQ(tcpx_status_scope(999), TCPX_SCOPE_NONE);
}

/* meson.build, the header and the library must name one version. */
static void version_agrees(void)
{
	CHECK_STR(tcpx_version(), PROJECT_VERSION);
}

static const struct check_case cases[] = {
	{"names_every_status", names_every_status, 0},
	{"unknown_statuses", unknown_statuses, 0},
	{"version_agrees", version_agrees, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
