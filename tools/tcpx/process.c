/* SPDX-License-Identifier: Apache-2.0 */
/* The command's other process: started, asked for its blob, ended. */
#include "open.h"

#include "clock.h"
#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOB_WAIT_MS 10000
#define STOP_WAIT_MS 2000
#define N_ARGS_MAX 16
#define ARG_BYTES 2048 /* more than any setting may have */

struct args {
	char *list[N_ARGS_MAX + 1];
	char text[N_ARGS_MAX][ARG_BYTES];
	unsigned n;
};

static void add_arg(struct args *args, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void add_arg(struct args *args, const char *fmt, ...)
{
	char *text = args->text[args->n];
	va_list list;

	va_start(list, fmt);
	vsnprintf(text, ARG_BYTES, fmt, list);
	va_end(list);
	args->list[args->n++] = text;
	args->list[args->n] = NULL;
}

static void peer_args(const struct session_options *o, int fd,
		      struct args *args)
{
	memset(args, 0, sizeof(*args));
	add_arg(args, "tcpx");
	add_arg(args, "_peer");
	add_arg(args, "--fd=%d", fd);
	add_arg(args, "--wait=%s", wait_style_name(o->wait));
	if (o->transport)
		add_arg(args, "--transport=%s", o->transport);
	if (o->ifnames)
		add_arg(args, "--ifnames=%s", o->ifnames);
	if (o->n_flows)
		add_arg(args, "--flows=%u", o->n_flows);
	if (o->n_rails)
		add_arg(args, "--rails=%u", o->n_rails);
	if (o->chunk_bytes)
		add_arg(args, "--chunk=%u", o->chunk_bytes);
	if (o->window_chunks)
		add_arg(args, "--window=%u", o->window_chunks);
	if (o->checksum)
		add_arg(args, "--checksum");
	if (o->loopback)
		add_arg(args, "--loopback");
}

static _Noreturn void become_peer(const struct session_options *options, int fd,
				  pid_t parent)
{
	struct args args;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) /* it died before prctl() */
		_exit(EXIT_SETUP);
	fcntl(fd, F_SETFD, 0); /* its end, and only that, goes along */
	peer_args(options, fd, &args);
	execv("/proc/self/exe", args.list);
	perror("error: cannot start /proc/self/exe");
	_exit(EXIT_SETUP);
}

int peer_process_start(const struct session_options *options, pid_t *pid,
		       int *fd)
{
	pid_t parent = getpid(), child;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
		complain("socketpair: %s", strerror(errno));
		return TCPX_ENFILE;
	}
	fflush(NULL);
	child = fork();
	if (child == 0)
		become_peer(options, ends[1], parent);
	close(ends[1]);
	if (child < 0) {
		complain("fork: %s", strerror(errno));
		close(ends[0]);
		return TCPX_EAGAIN;
	}
	*pid = child;
	*fd = ends[0];
	return 0;
}

static int read_all(int fd, void *buf, size_t len_bytes, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char *to = buf;
	ssize_t n;

	while (len_bytes > 0) {
		if (poll(&p, 1, left_ms(deadline_ns)) == 0)
			return TCPX_ETIMEDOUT;
		n = read(fd, to, len_bytes);
		if (n == 0)
			return TCPX_ECLOSED;
		if (n < 0 && errno != EINTR)
			return TCPX_EPEER;
		if (n < 0)
			continue;
		to += n;
		len_bytes -= (size_t)n;
	}
	return 0;
}

/*
 * It waits for a byte before it opens its session: what is wrong with the
 * settings is said once, by this process, which opens its own first. Then it
 * writes: length (native, it is the same program), blob.
 */
int peer_process_blob(int fd, void *blob, size_t cap_bytes, size_t *len_bytes)
{
	uint64_t deadline_ns = now_ns() + BLOB_WAIT_MS * NS_PER_MS;
	uint32_t len = 0;
	int status = send(fd, "", 1, MSG_NOSIGNAL) == 1 ? 0 : TCPX_ECLOSED;

	if (!status)
		status = read_all(fd, &len, sizeof(len), deadline_ns);
	if (!status && len > cap_bytes)
		status = TCPX_ENOSPC;
	if (!status)
		status = read_all(fd, blob, len, deadline_ns);
	if (status) {
		complain("the second process gave no connection blob: %s",
			 tcpx_strerror(status));
		return status;
	}
	*len_bytes = len;
	return 0;
}

void peer_process_stop(pid_t pid, int fd)
{
	uint64_t deadline_ns = now_ns() + STOP_WAIT_MS * NS_PER_MS;

	if (pid <= 0)
		return;
	close(fd); /* asks it to end */
	while (waitpid(pid, NULL, WNOHANG) == 0) {
		if (now_ns() > deadline_ns) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
			return;
		}
		usleep(2000);
	}
}
