/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHECK_H
#define CHECK_H

/*
 * The test harness. A program is a table of cases; each runs in a process of
 * its own with an alarm, so that a crash, a hang or a leak fails that case
 * only. TAP on stdout, reasons on stderr.
 *
 *   static void adds_up(void) { CHECK_EQ(1 + 1, 2); }
 *   static const struct check_case cases[] = {{"adds_up", adds_up, 0}};
 *   int main(int argc, char **argv) { return CHECK_RUN(cases, argc, argv); }
 *
 * ./x_test        all        ./x_test adds_up   that case, in this process
 * TEST_SEED=n     repeats a random case         TEST_SLOW=n  longer alarms
 *
 * A failing check ends its process, on any thread. A case that forks looks at
 * its children's exit status itself.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <tcpx/status.h>
#include <time.h>
#include <unistd.h>

struct check_case {
	const char *name;
	void (*fn)(void);
	unsigned timeout_s; /* 0: 30 */
};

#define CHECK_AT __FILE__, __LINE__
#define CHECK(cond) ((cond) ? (void)0 : check_fail(CHECK_AT, "%s", #cond))
#define CHECK_EQ(a, b)                                                         \
	check_eq((long long)(a), (long long)(b), #a " == " #b, CHECK_AT)
#define CHECK_STR(a, b) check_str(a, b, #a " is " #b, CHECK_AT)
#define CHECK_MEM(a, b, len_bytes)                                             \
	check_mem(a, b, len_bytes, #a " is " #b, CHECK_AT)
#define CHECK_STATUS(got, want) check_status(got, want, #got, CHECK_AT)
#define SKIP(reason) check_skip(reason)
#define CHECK_RUN(cases, argc, argv)                                           \
	check_run(cases, sizeof(cases) / sizeof(*(cases)), argc, argv)

/* Weak: one of each for a test program made of several files. */
__attribute__((weak)) int check_in_process;
__attribute__((weak)) int check_skip_fd = 2;

__attribute__((format(printf, 3, 4))) static inline void
check_fail(const char *file, int line, const char *fmt, ...)
{
	char why[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	fprintf(stderr, "%s:%d: failed: %s\n", file, line, why);
	if (check_in_process)
		abort();
	_exit(1);
}

static inline void check_eq(long long a, long long b, const char *expr,
			    const char *file, int line)
{
	if (a != b)
		check_fail(file, line, "%s: %lld (0x%llx), not %lld (0x%llx)",
			   expr, a, (unsigned long long)a, b,
			   (unsigned long long)b);
}

static inline void check_str(const char *a, const char *b, const char *expr,
			     const char *file, int line)
{
	if (!a || !b || strcmp(a, b) != 0)
		check_fail(file, line, "%s: \"%s\", not \"%s\"", expr,
			   a ? a : "(null)", b ? b : "(null)");
}

static inline void check_mem(const void *a, const void *b, size_t len_bytes,
			     const char *expr, const char *file, int line)
{
	const unsigned char *x = (const unsigned char *)a;
	const unsigned char *y = (const unsigned char *)b;

	for (size_t i = 0; i < len_bytes; i++) {
		if (x[i] != y[i])
			check_fail(file, line,
				   "%s: byte %zu of %zu: %02x, not %02x", expr,
				   i, len_bytes, x[i], y[i]);
	}
}

static inline const char *check_status_name(int status)
{
#define X(name, value, scope, text)                                            \
	if (status == (value))                                                 \
		return "TCPX_" #name;
	TCPX_STATUS_MAP(X)
#undef X
	return "no status";
}

static inline void check_status(int got, int want, const char *expr,
				const char *file, int line)
{
	if (got != want)
		check_fail(file, line, "%s: %s (%d), not %s", expr,
			   check_status_name(got), got,
			   check_status_name(want));
}

/* Ends the case as skipped; only in the case's own process. */
static inline void check_skip(const char *reason)
{
	_exit(write(check_skip_fd, reason, strlen(reason)) > 0 ? 77 : 1);
}

/* The seed of this run: TEST_SEED, or another one every time. */
static inline uint64_t check_seed(void)
{
	struct timespec ts;
	char text[24];

	clock_gettime(CLOCK_REALTIME, &ts);
	snprintf(text, sizeof(text), "%ld", ts.tv_nsec * 4999 + getpid());
	setenv("TEST_SEED", text, 0);
	return strtoull(getenv("TEST_SEED"), NULL, 0);
}

/* The next of a sequence of random numbers; *state starts as the seed. */
static inline uint64_t check_rand(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static inline void check_child(const struct check_case *c, int skip_fd)
{
	const char *slow = getenv("TEST_SLOW");
	unsigned factor = slow && atoi(slow) > 0 ? (unsigned)atoi(slow) : 1;

	setpgid(0, 0);
	check_skip_fd = skip_fd;
	dup2(2, 1); /* what a case prints must not disturb the TAP */
	alarm((c->timeout_s ? c->timeout_s : 30) * factor);
	c->fn();
	exit(0);
}

/* One case in a child. Returns its wait status; reason receives the SKIP's. */
static inline int check_fork(const struct check_case *c, char *reason,
			     size_t cap_bytes)
{
	int fds[2], status = -1;
	ssize_t n;
	pid_t pid;

	fflush(NULL);
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0 || (pid = fork()) < 0)
		return -1;
	if (pid == 0)
		check_child(c, fds[1]);
	waitpid(pid, &status, 0);
	kill(-pid, SIGKILL); /* whatever the case left running */
	n = read(fds[0], reason, cap_bytes - 1);
	reason[n > 0 ? n : 0] = '\0';
	close(fds[0]);
	close(fds[1]);
	return status;
}

static inline int check_report(const struct check_case *c, size_t number)
{
	char reason[200];
	int status = check_fork(c, reason, sizeof(reason));
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	printf("%sok %zu - %s%s%s\n", code == 0 || code == 77 ? "" : "not ",
	       number, c->name, code == 77 ? " # SKIP " : "",
	       code == 77 ? reason : "");
	if (code == 0 || code == 77)
		return 0;
	fprintf(stderr, "%s: %s %d; again with TEST_SEED=%s\n", c->name,
		code < 0 ? "killed by signal" : "exit status",
		code < 0 ? WTERMSIG(status) : code, getenv("TEST_SEED"));
	return 1;
}

static inline int check_run(const struct check_case *cases, size_t n_cases,
			    int argc, char **argv)
{
	int n_failed = 0, found = 0;

	printf("# TEST_SEED=%llu\n", (unsigned long long)check_seed());
	check_in_process = argc > 1;
	for (size_t i = 0; check_in_process && i < n_cases; i++) {
		if (strcmp(cases[i].name, argv[1]) == 0) {
			cases[i].fn();
			found = 1;
		}
	}
	if (check_in_process)
		return found ? 0 : 2;
	printf("1..%zu\n", n_cases);
	for (size_t i = 0; i < n_cases; i++)
		n_failed += check_report(&cases[i], i + 1);
	return n_failed > 0;
}

#endif
