/* SPDX-License-Identifier: Apache-2.0 */
#include "remote.h"

#include "base/addr.h"
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

int remote_dial(struct tcpx_session *session, const char *address,
		const struct tcpx_config *config, struct remote *remote)
{
	static char host[256]; /* outlives the call, in remote */
	char full[300], why[256];
	uint16_t port = remote->port ? remote->port : TOOL_PORT;
	int status;

	if (addr_split_port(address, host, sizeof(host), &port)) {
		complain("\"%s\" %s", address,
			 addr_port_is_bad(address) ?
				 "has a port that is not 1 to 65535" :
				 "is no HOST[:PORT]");
		return TCPX_EINVAL;
	}
	addr_join(host, port, full, sizeof(full));
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
