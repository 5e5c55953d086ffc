/* SPDX-License-Identifier: Apache-2.0 */
#include "remote.h"

#include "cmd.h"
#include "log.h"

#include <stdio.h>
#include <string.h>

/* The library tries again for so long as it is told; soon we say so. */
#define SOON_MS 1000
#define MARGIN_MS 5000

/* What to do about it; the cause in words comes before. */
static const char *advice(int status)
{
	switch (status) {
	case TCPX_EAUTH:
		return "; give the server's secret by TCPX_SECRET";
	case TCPX_EREFUSED:
		return "; no tcpx perf serves there, or on another port";
	default:
		return "";
	}
}

/* "HOST:PORT: what", without the part that the complaint has already. */
static const char *cut_address(const char *cause, const char *who)
{
	size_t n = strlen(who);

	return strncmp(cause, who, n) || strncmp(cause + n, ": ", 2) ?
		       cause :
		       cause + n + 2;
}

static void complain_connect(const struct remote *remote, const char *who,
			     int status)
{
	json_t *json = path_describe(remote->session, remote->peer);
	const char *cause = json_string_value(json_object_get(json, "cause"));

	if (!cause || !*cause)
		cause = tcpx_strerror(status);
	complain("cannot connect to %s: %s%s", who, cut_address(cause, who),
		 advice(status));
	json_decref(json);
}

static int wait_connected(const struct remote *remote, const char *who,
			  uint32_t timeout_ms)
{
	int status = tcpx_peer_wait(remote->session, remote->peer, SOON_MS);

	if (status != TCPX_ETIMEDOUT)
		return status;
	fprintf(stderr, "no answer from %s yet, trying for %.3g s\n", who,
		timeout_ms / 1e3);
	return tcpx_peer_wait(remote->session, remote->peer,
			      (int)timeout_ms + MARGIN_MS);
}

static int get_ready(struct remote *remote, const char *who,
		     uint32_t timeout_ms)
{
	int status;

	log_hold();
	status = wait_connected(remote, who, timeout_ms);
	if (!status) {
		log_release();
		return bench_hello(remote);
	}
	log_drop(); /* the cause says the same */
	complain_connect(remote, who, status);
	return status;
}

int remote_join(struct tcpx_session *session, int fd,
		const struct tcpx_config *config, struct remote *remote)
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
	return get_ready(remote, "the second process",
			 config->connect_timeout_ms);
}

/* A bare IPv6 address has two colons or more, and no brackets. */
static bool is_bare_v6(const char *address)
{
	const char *first = strchr(address, ':');

	return first && address[0] != '[' && strchr(first + 1, ':');
}

int address_split(const char *address, uint16_t port, char *host,
		  size_t cap_host_bytes, char *full, size_t cap_full_bytes)
{
	const char *begin = address, *end, *own_port;
	bool brackets = address[0] == '[', bare = is_bare_v6(address);
	size_t n;

	if (brackets)
		begin++;
	end = brackets ? strchr(begin, ']') : bare ? NULL : strchr(begin, ':');
	if (!end && brackets)
		return -1;
	n = end ? (size_t)(end - begin) : strlen(begin);
	own_port = end ? strchr(end, ':') : NULL;
	if (n == 0 || n >= cap_host_bytes)
		return -1;
	memcpy(host, begin, n);
	host[n] = '\0';
	n = (size_t)snprintf(full, cap_full_bytes,
			     brackets || bare ? "[%s]:" : "%s:", host);
	if (own_port)
		n += (size_t)snprintf(full + n, cap_full_bytes - n, "%s",
				      own_port + 1);
	else
		n += (size_t)snprintf(full + n, cap_full_bytes - n, "%u", port);
	return n < cap_full_bytes ? 0 : -1;
}

int remote_dial(struct tcpx_session *session, const char *address,
		const struct tcpx_config *config, struct remote *remote)
{
	static char host[256]; /* outlives the call, in remote */
	char full[300], why[256];
	int status;

	if (address_split(address, remote->port ? remote->port : TOOL_PORT,
			  host, sizeof(host), full, sizeof(full))) {
		complain("\"%s\" is no HOST[:PORT]", address);
		return TCPX_EINVAL;
	}
	if (!config->secret || !*config->secret) {
		complain("no secret: set TCPX_SECRET to that of the server, "
			 "which prints the one it made up if it was given "
			 "none");
		return TCPX_EAUTH;
	}
	remote->session = session;
	remote->raw_host = host;
	log_hold();
	status = tcpx_peer_connect_address(session, full, &remote->peer);
	log_take_error(why, sizeof(why));
	if (status) {
		complain("cannot connect to %s: %s", full,
			 why[0] ? why : tcpx_strerror(status));
		return status;
	}
	return get_ready(remote, full, config->connect_timeout_ms);
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
