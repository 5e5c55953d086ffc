/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes into another process's memory and tells it so:
 *	(umask 077; ./write_notify serve where &)    (writes the file)
 *	sleep 1; ./write_notify < where
 */
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <tcpx/p2p.h>

#define MEMORY_BYTES (1u << 20)

struct where {
	size_t blob_len, mem_len; /* how to connect, where to write */
	char blob[TCPX_BLOB_MAX], mem[256];
};

static void must(int status, const char *what)
{
	if (status)
		errx(1, "%s: %s", what, tcpx_strerror(status));
}

static void print_log(void *arg, enum tcpx_log_level level,
		      const char *subsystem, const char *line)
{
	fprintf(stderr, "%s: %s\n", subsystem, line);
}

static void serve(struct tcpx_session *session, char *memory, FILE *file)
{
	struct where w = {0};
	struct tcpx_notification *n;
	uint64_t mem;

	must(tcpx_mem_register(session, memory, MEMORY_BYTES,
			       TCPX_ACCESS_REMOTE_WRITE, &mem),
	     "register");
	must(tcpx_session_blob(session, w.blob, sizeof(w.blob), &w.blob_len),
	     "session blob");
	must(tcpx_mem_blob(session, &mem, 1, w.mem, sizeof(w.mem), &w.mem_len),
	     "memory blob");
	fwrite(&w, sizeof(w), 1, file);
	fclose(file);
	must(tcpx_notify_wait(session, &n, 60000), "waiting"); /* bytes first */
	printf("%s wrote \"%s\"\n", n->name, memory);
	tcpx_notify_free(n);
}

static void write_to(struct tcpx_session *session, char *memory, FILE *file)
{
	struct where w;
	uint64_t peer, mem, remote_mem, xfer;
	size_t n_mems;

	if (fread(&w, sizeof(w), 1, file) != 1)
		must(TCPX_EINVAL, "reading where");
	must(tcpx_peer_connect(session, w.blob, w.blob_len, &peer), "connect");
	must(tcpx_peer_wait(session, peer, 15000), "connect");
	must(tcpx_mem_register(session, memory, MEMORY_BYTES, TCPX_ACCESS_LOCAL,
			       &mem),
	     "register");
	must(tcpx_mem_load(session, w.mem, w.mem_len, &remote_mem, 1, &n_mems),
	     "their memory");
	strcpy(memory, "hello, memory");

	struct tcpx_segment segment = {
		.local_mem = mem, .remote_mem = remote_mem, .len_bytes = 64};
	struct tcpx_xfer_params params = {.size_bytes = sizeof(params),
					  .peer = peer,
					  .op = TCPX_OP_WRITE,
					  .segments = &segment,
					  .n_segments = 1};
	struct tcpx_post_params post = {.size_bytes = sizeof(post),
					.has_notify = true,
					.notify = "done",
					.notify_len_bytes = 4};

	must(tcpx_xfer_prepare(session, &params, &xfer), "prepare");
	must(tcpx_xfer_post(session, xfer, &post), "post");
	must(tcpx_xfer_wait(session, xfer, 10000), "write");
}

int main(int argc, char **argv)
{
	bool serves = argc == 3 && !strcmp(argv[1], "serve");
	FILE *file = serves ? fopen(argv[2], "wb") : stdin;
	static char memory[MEMORY_BYTES];
	struct tcpx_session *session;
	struct tcpx_config config;

	must(file ? 0 : TCPX_EINVAL, "opening the file");
	must(tcpx_config_init(&config, print_log, NULL), "environment");
	must(tcpx_session_open(&config, &session), "open");
	(serves ? serve : write_to)(session, memory, file);
	tcpx_session_close(session);
	return 0;
}
