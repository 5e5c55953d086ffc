/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads another process's memory, found by host and port instead of a blob.
 * Both need the same secret; memory blobs travel as notifications:
 *
 *	TCPX_SECRET=abc TCPX_PORT=7200 ./host_port
 *	TCPX_SECRET=abc ./host_port 127.0.0.1:7200
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tcpx/p2p.h>

#define MEMORY_BYTES 4096

static void must(int status, const char *what)
{
	if (status) {
		fprintf(stderr, "%s: %s\n", what, tcpx_strerror(status));
		exit(1);
	}
}

static void print_log(void *arg, enum tcpx_log_level level,
		      const char *subsystem, const char *line)
{
	(void)arg;
	(void)level;
	fprintf(stderr, "%s: %s\n", subsystem, line);
}

/* Tells whoever connects what there is to read, until it says thanks. */
static void serve(struct tcpx_session *session, uint64_t mem)
{
	struct tcpx_notification *thanks;
	struct tcpx_event event;
	char blob[256];
	size_t len;

	do
		must(tcpx_event_wait(session, &event, 60000), "nobody came");
	while (event.kind != TCPX_EVENT_PEER_CONNECTED);
	must(tcpx_mem_blob(session, &mem, 1, blob, sizeof(blob), &len),
	     "memory blob");
	must(tcpx_notify_send(session, event.peer, blob, len), "notify");
	must(tcpx_notify_wait(session, &thanks, 60000), "no thanks");
	tcpx_notify_free(thanks);
}

static void read_from(struct tcpx_session *session, const char *address,
		      uint64_t mem)
{
	struct tcpx_segment segment = {.local_mem = mem,
				       .len_bytes = MEMORY_BYTES};
	struct tcpx_xfer_params params = {.size_bytes = sizeof(params),
					  .op = TCPX_OP_READ,
					  .segments = &segment,
					  .n_segments = 1};
	struct tcpx_post_params thanks = {.size_bytes = sizeof(thanks),
					  .has_notify = true};
	struct tcpx_notification *n;
	uint64_t xfer;
	size_t n_mems;

	must(tcpx_peer_connect_address(session, address, &params.peer),
	     "connect");
	must(tcpx_peer_wait(session, params.peer, 15000), "connect");
	must(tcpx_notify_wait(session, &n, 10000), "their memory");
	must(tcpx_mem_load(session, n->data, n->len_bytes, &segment.remote_mem,
			   1, &n_mems),
	     "their memory");
	tcpx_notify_free(n);
	must(tcpx_xfer_prepare(session, &params, &xfer), "prepare");
	must(tcpx_xfer_post(session, xfer, &thanks), "post");
	must(tcpx_xfer_wait(session, xfer, 10000), "read");
}

int main(int argc, char **argv)
{
	static char memory[MEMORY_BYTES];
	struct tcpx_session *session;
	struct tcpx_config config;
	uint64_t mem;

	must(tcpx_config_init(&config, print_log, NULL), "environment");
	must(tcpx_session_open(&config, &session), "open");
	must(tcpx_mem_register(session, memory, MEMORY_BYTES,
			       TCPX_ACCESS_REMOTE_READ, &mem),
	     "register");
	if (argc == 1) {
		strcpy(memory, "hello from far away");
		serve(session, mem);
	} else {
		read_from(session, argv[1], mem);
		printf("%s\n", memory);
	}
	tcpx_session_close(session);
	return 0;
}
