/* SPDX-License-Identifier: Apache-2.0 */
/* Other programs: started, listened to, and ended when their time is over. */
#include "nixl.h"

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
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_MAX (256u << 10)
#define EXIT_NOT_STARTED 127

/* One pipe from the program. */
struct stream {
	int fd; /* -1: at its end */
	size_t len_bytes;
	char *text; /* OUTPUT_MAX + 1 bytes */
};

static int stream_open(struct stream *stream, int *theirs)
{
	int ends[2];

	stream->len_bytes = 0;
	stream->text = malloc(OUTPUT_MAX + 1);
	if (!stream->text || pipe2(ends, O_CLOEXEC)) {
		free(stream->text);
		stream->text = NULL;
		return -1;
	}
	stream->fd = ends[0];
	*theirs = ends[1];
	return 0;
}

static void stream_close(struct stream *stream)
{
	if (stream->fd >= 0)
		close(stream->fd);
	stream->fd = -1;
}

/* What does not fit is read and dropped: a full pipe would stop them. */
static void stream_read(struct stream *stream)
{
	char spill[4096];
	size_t room = OUTPUT_MAX - stream->len_bytes;
	ssize_t n;

	if (room > 0)
		n = read(stream->fd, stream->text + stream->len_bytes, room);
	else
		n = read(stream->fd, spill, sizeof(spill));
	if (n > 0 && room > 0)
		stream->len_bytes += (size_t)n;
	if (n == 0 || (n < 0 && errno != EINTR))
		stream_close(stream);
}

static char *stream_text(struct stream *stream)
{
	stream->text[stream->len_bytes] = '\0';
	return stream->text;
}

/* In the child: a group of its own, so that what it starts ends with it. */
static _Noreturn void become(const char *const *argv, const char *const *env,
			     const int *theirs, pid_t parent)
{
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_NOT_STARTED);
	dup2(theirs[0], STDOUT_FILENO);
	dup2(theirs[1], STDERR_FILENO);
	for (; env && *env; env++)
		putenv((char *)*env);
	execvp(argv[0], (char *const *)argv);
	fprintf(stderr, "%s\n", strerror(errno));
	_exit(EXIT_NOT_STARTED);
}

/* Returns whether both ended before the deadline. */
static bool listen_to(struct stream *streams, uint64_t deadline_ns)
{
	while (streams[0].fd >= 0 || streams[1].fd >= 0) {
		struct pollfd p[2] = {{.fd = streams[0].fd, .events = POLLIN},
				      {.fd = streams[1].fd, .events = POLLIN}};
		int timeout_ms = left_ms(deadline_ns);

		if (timeout_ms == 0)
			return false;
		if (poll(p, 2, timeout_ms) <= 0)
			continue;
		for (int i = 0; i < 2; i++)
			if (p[i].revents)
				stream_read(&streams[i]);
	}
	return true;
}

/* It may close its output and live on: not beyond the deadline. */
static void reap(pid_t pid, uint64_t deadline_ns, struct nixl_run *run)
{
	while (waitpid(pid, &run->status, WNOHANG) == 0) {
		if (now_ns() >= deadline_ns) {
			run->late = true;
			kill(-pid, SIGKILL);
			kill(pid, SIGKILL);
			waitpid(pid, &run->status, 0);
			return;
		}
		poll(NULL, 0, 5);
	}
	kill(-pid, SIGKILL); /* what it may have left behind */
}

int nixl_run(const char *const *argv, const char *const *env,
	     unsigned deadline_ms, struct nixl_run *run)
{
	uint64_t deadline_ns = now_ns() + deadline_ms * NS_PER_MS;
	struct stream streams[2] = {{.fd = -1}, {.fd = -1}};
	int theirs[2] = {-1, -1};
	pid_t parent = getpid(), pid = -1;

	memset(run, 0, sizeof(*run));
	if (!stream_open(&streams[0], &theirs[0]) &&
	    !stream_open(&streams[1], &theirs[1])) {
		fflush(NULL);
		pid = fork();
	}
	if (pid == 0)
		become(argv, env, theirs, parent);
	close(theirs[0]);
	close(theirs[1]);
	if (pid < 0) {
		complain("cannot start %s: %s", argv[0], strerror(errno));
		stream_close(&streams[0]);
		stream_close(&streams[1]);
		free(streams[0].text);
		free(streams[1].text);
		return -1;
	}
	run->late = !listen_to(streams, deadline_ns);
	stream_close(&streams[0]);
	stream_close(&streams[1]);
	reap(pid, deadline_ns, run);
	run->out = stream_text(&streams[0]);
	run->err = stream_text(&streams[1]);
	return 0;
}

void nixl_run_free(struct nixl_run *run)
{
	free(run->out);
	free(run->err);
	run->out = run->err = NULL;
}
