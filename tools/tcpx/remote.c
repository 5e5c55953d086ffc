/* SPDX-License-Identifier: Apache-2.0 */
#include "remote.h"

#include "cmd.h"

#include <stdio.h>
#include <string.h>

#define CONNECT_WAIT_MS 15000

static int get_ready(struct remote *remote, const char *who)
{
	int status =
		tcpx_peer_wait(remote->session, remote->peer, CONNECT_WAIT_MS);

	if (status) {
		complain("cannot connect to %s: %s", who,
			 tcpx_strerror(status));
		return status;
	}
	return bench_hello(remote);
}

int remote_join(struct tcpx_session *session, int fd, struct remote *remote)
{
	unsigned char blob[TCPX_BLOB_MAX];
	size_t len = 0;
	int status = peer_process_blob(fd, blob, sizeof(blob), &len);

	if (status)
		return status;
	remote->session = session;
	remote->raw_host = "127.0.0.1";
	status = tcpx_peer_connect(session, blob, len, &remote->peer);
	if (status) {
		complain("cannot connect to the second process: %s",
			 tcpx_strerror(status));
		return status;
	}
	return get_ready(remote, "the second process");
}

/* A bare IPv6 address has two colons or more, and no brackets. */
static bool is_bare_v6(const char *address)
{
	const char *first = strchr(address, ':');

	return first && address[0] != '[' && strchr(first + 1, ':');
}

int address_split(const char *address, char *host, size_t cap_host_bytes,
		  char *full, size_t cap_full_bytes)
{
	const char *begin = address, *end, *port;
	bool brackets = address[0] == '[', bare = is_bare_v6(address);
	size_t n;

	if (brackets)
		begin++;
	end = brackets ? strchr(begin, ']') : bare ? NULL : strchr(begin, ':');
	if (!end && brackets)
		return -1;
	n = end ? (size_t)(end - begin) : strlen(begin);
	port = end ? strchr(end, ':') : NULL;
	if (n == 0 || n >= cap_host_bytes)
		return -1;
	memcpy(host, begin, n);
	host[n] = '\0';
	n = (size_t)snprintf(full, cap_full_bytes,
			     brackets || bare ? "[%s]:" : "%s:", host);
	if (port)
		n += (size_t)snprintf(full + n, cap_full_bytes - n, "%s",
				      port + 1);
	else
		n += (size_t)snprintf(full + n, cap_full_bytes - n, "%d",
				      TOOL_PORT);
	return n < cap_full_bytes ? 0 : -1;
}

int remote_dial(struct tcpx_session *session, const char *address,
		struct remote *remote)
{
	static char host[256]; /* outlives the call, in remote */
	char full[300];
	int status;

	if (address_split(address, host, sizeof(host), full, sizeof(full))) {
		complain("\"%s\" is no HOST[:PORT]", address);
		return TCPX_EINVAL;
	}
	remote->session = session;
	remote->raw_host = host;
	status = tcpx_peer_connect_address(session, full, &remote->peer);
	if (status) {
		complain("cannot connect to %s: %s", full,
			 tcpx_strerror(status));
		return status;
	}
	return get_ready(remote, full);
}

void remote_leave(struct remote *remote)
{
	if (!remote->peer)
		return;
	if (!tcpx_peer_wait(remote->session, remote->peer, 0))
		bench_bye(remote);
	tcpx_peer_disconnect(remote->session, remote->peer);
	remote->peer = 0;
}
