/* SPDX-License-Identifier: Apache-2.0 */
/* The process at the other end. */
#include "micro.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void print_line(void *arg, enum tcpx_log_level level,
		       const char *subsystem, const char *line)
{
	fprintf(stderr, "micro: %s: %s\n", subsystem, line);
}

struct tcpx_session *micro_session(int n_workers)
{
	struct tcpx_session *session;
	struct tcpx_config config = {.size_bytes = sizeof(config)};

	must(tcpx_config_init(&config, print_line, NULL), "settings");
	config.ifnames = "lo";
	if (n_workers >= 0)
		config.n_workers = n_workers;
	must(tcpx_session_open(&config, &session), "opening a session");
	return session;
}

static void write_all(int fd, const void *data, size_t len_bytes)
{
	const char *p = data;

	while (len_bytes) {
		ssize_t n = write(fd, p, len_bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(1);
		p += n;
		len_bytes -= (size_t)n;
	}
}

static void offer_memory(struct tcpx_session *session, uint64_t len_bytes,
			 struct far_hello *hello)
{
	void *area = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	uint64_t mem;

	must(area == MAP_FAILED ? TCPX_ENOMEM : 0, "memory");
	must(tcpx_mem_register(
		     session, area, len_bytes,
		     TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE, &mem),
	     "registering memory");
	must(tcpx_mem_blob(session, &mem, 1, hello->mem, sizeof(hello->mem),
			   &hello->mem_len),
	     "memory blob");
}

static _Noreturn void far_main(int fd, const struct far_params *params)
{
	struct tcpx_session **sessions =
		calloc(params->n_sessions, sizeof(struct tcpx_session *));
	struct far_hello hello;
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (unsigned i = 0; i < params->n_sessions; i++) {
		memset(&hello, 0, sizeof(hello));
		sessions[i] = micro_session(params->n_workers);
		must(tcpx_session_blob(sessions[i], hello.blob,
				       sizeof(hello.blob), &hello.blob_len),
		     "session blob");
		if (!i && params->mem_bytes)
			offer_memory(sessions[i], params->mem_bytes, &hello);
		write_all(fd, &hello, sizeof(hello));
	}
	/* Until the other end of fd is closed. Nobody is told goodbye: a
	 * thousand sessions would take their time for it. */
	while (read(fd, &byte, 1) < 0 && errno == EINTR)
		;
	_exit(0);
}

void far_start(struct far *far, const struct far_params *params)
{
	int fds[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) ?
		     TCPX_ENFILE :
		     0,
	     "socket pair");
	far->pid = fork();
	must(far->pid < 0 ? TCPX_ENOMEM : 0, "fork");
	if (!far->pid) {
		close(fds[0]);
		far_main(fds[1], params);
	}
	close(fds[1]);
	far->fd = fds[0];
}

void far_read(struct far *far, struct far_hello *hello)
{
	char *p = (char *)hello;
	size_t left = sizeof(*hello);

	while (left) {
		ssize_t n = read(far->fd, p, left);

		if (n < 0 && errno == EINTR)
			continue;
		must(n <= 0 ? TCPX_EPEER : 0, "the far process");
		p += n;
		left -= (size_t)n;
	}
}

void far_stop(struct far *far)
{
	close(far->fd);
	waitpid(far->pid, NULL, 0);
}
