/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/proc.h"
#include "support/scale.h"

static void die(const char *what)
{
	fprintf(stderr, "proc: %s: %m\n", what);
	_exit(1);
}

static void enter(const char *netns)
{
	int fd = open(netns, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(netns);
	close(fd);
}

/* Between fork() and exec, so nothing here may allocate: another thread may
 * hold the allocator's lock, which the child then waits for in vain. */
static void run_child(const char *netns, char *const env[],
		      const char *const argv[], int in, int out)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	alarm(0);
	if (netns)
		enter(netns);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0)
		die("dup2");
	execvpe(argv[0], (char *const *)(uintptr_t)argv, env);
	die(argv[0]);
}

/* Does one of them set the variable that `entry` sets? */
static bool sets(const char *const env[], const char *entry)
{
	size_t len = strcspn(entry, "=") + 1;

	for (; env && *env; env++)
		if (!strncmp(*env, entry, len))
			return true;
	return false;
}

/* Our environment with these in it; free() the array. */
static char **make_env(const char *const env[])
{
	size_t n = 0, at = 0;
	char **made;

	for (char **e = environ; *e; e++)
		n++;
	for (const char *const *e = env; e && *e; e++)
		n++;
	made = calloc(n + 1, sizeof(*made));
	if (!made)
		die("calloc");
	for (char **e = environ; *e; e++)
		if (!sets(env, *e))
			made[at++] = *e;
	for (const char *const *e = env; e && *e; e++)
		if (!sets(e + 1, *e)) /* the last of a name counts */
			made[at++] = (char *)(uintptr_t)*e;
	return made;
}

void proc_start(struct proc *proc, const char *netns, const char *const env[],
		const char *const argv[])
{
	int to[2], from[2];
	char **made = make_env(env);

	memset(proc, 0, sizeof(*proc));
	proc->buf = malloc(2 * PROC_LINE_MAX);
	if (!proc->buf || pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		die("pipe");
	proc->line = proc->buf + PROC_LINE_MAX;
	proc->line[0] = 0;
	proc->pid = fork();
	if (proc->pid < 0)
		die("fork");
	if (!proc->pid)
		run_child(netns, made, argv, to[0], from[1]);
	free(made);
	close(to[0]);
	close(from[1]);
	proc->in = to[1];
	proc->out = from[0];
}

static void send_line(struct proc *proc, const char *fmt, va_list args)
{
	char *line = NULL;
	int len = vasprintf(&line, fmt, args);
	void (*before)(int);

	if (len < 0)
		die("vasprintf");
	/* A child that was killed must not kill us. */
	before = signal(SIGPIPE, SIG_IGN);
	if (write(proc->in, line, (size_t)len) == len)
		(void)!write(proc->in, "\n", 1);
	signal(SIGPIPE, before);
	free(line);
}

void proc_send(struct proc *proc, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	send_line(proc, fmt, args);
	va_end(args);
}

static bool take_line(struct proc *proc)
{
	char *end = memchr(proc->buf, '\n', proc->n_bytes);
	size_t len;

	if (!end)
		return false;
	len = (size_t)(end - proc->buf);
	memcpy(proc->line, proc->buf, len);
	proc->line[len] = 0;
	proc->n_bytes -= len + 1;
	memmove(proc->buf, end + 1, proc->n_bytes);
	return true;
}

const char *proc_line(struct proc *proc, int timeout_ms)
{
	uint64_t end_ns = test_now_ns() + (uint64_t)timeout_ms * 1000000u;
	struct pollfd pfd = {.fd = proc->out, .events = POLLIN};

	while (!take_line(proc)) {
		uint64_t now = test_now_ns();
		size_t room = PROC_LINE_MAX - 1 - proc->n_bytes;
		ssize_t n;

		proc->line[0] = 0;
		if (now >= end_ns || !room)
			return NULL;
		if (poll(&pfd, 1, (int)((end_ns - now) / 1000000) + 1) <= 0)
			continue;
		n = read(proc->out, proc->buf + proc->n_bytes, room);
		if (n == 0 || (n < 0 && errno != EINTR))
			return NULL;
		if (n > 0)
			proc->n_bytes += (size_t)n;
	}
	return proc->line;
}

const char *proc_ask(struct proc *proc, const char *fmt, ...)
{
	const char *line;
	va_list args;

	va_start(args, fmt);
	send_line(proc, fmt, args);
	va_end(args);
	line = proc_line(proc, scale_ms(30000));
	if (!line || strncmp(line, "ok", 2))
		return NULL;
	return line + (line[2] == ' ' ? 3 : 2);
}

void proc_signal(struct proc *proc, int number)
{
	if (proc->pid > 0)
		kill(proc->pid, number);
}

static int finish(struct proc *proc, int status)
{
	close(proc->out);
	free(proc->buf);
	memset(proc, 0, sizeof(*proc));
	return status;
}

int proc_stop(struct proc *proc)
{
	uint64_t end_ns = test_now_ns() + (uint64_t)scale_ms(5000) * 1000000u;
	int status = 0;

	if (proc->pid <= 0)
		return 0;
	close(proc->in);
	while (waitpid(proc->pid, &status, WNOHANG) == 0) {
		if (test_now_ns() > end_ns) {
			fprintf(stderr, "proc: %d does not end\n", proc->pid);
			kill(proc->pid, SIGKILL);
			waitpid(proc->pid, &status, 0);
			break;
		}
		test_sleep_ms(1);
	}
	return finish(proc, status);
}

void proc_kill(struct proc *proc)
{
	int status;

	if (proc->pid <= 0)
		return;
	kill(proc->pid, SIGKILL);
	waitpid(proc->pid, &status, 0);
	close(proc->in);
	finish(proc, status);
}

const char *proc_path(const char *env, const char *name)
{
	static char path[4096];
	const char *given = getenv(env);
	ssize_t n;
	char *slash;

	if (given)
		return given;
	n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (n <= 0)
		die("/proc/self/exe");
	path[n] = 0;
	slash = strrchr(path, '/');
	snprintf(slash + 1, sizeof(path) - (size_t)(slash + 1 - path), "%s",
		 name);
	return path;
}
