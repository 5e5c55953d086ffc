/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The start of a helper process that fails half-way, and the end of one that
 * takes its time. That one is this program, started once more.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "check.h"
#include "transport/netplugin/remote.h"

#define ENOUGH_NS (20 * NS_PER_S)

/* The linker puts these in the place of shared_send() and waitpid(). */
int __wrap_shared_send(int fd, const struct shared_message *message,
		       const int *fds, uint32_t n_fds);
int __real_shared_send(int fd, const struct shared_message *message,
		       const int *fds, uint32_t n_fds);
pid_t __wrap_waitpid(pid_t pid, int *status, int options);
pid_t __real_waitpid(pid_t pid, int *status, int options);

static unsigned n_sends;
static bool sends_are_lost, nobody_ends;

int __wrap_shared_send(int fd, const struct shared_message *message,
		       const int *fds, uint32_t n_fds)
{
	if (!sends_are_lost)
		return __real_shared_send(fd, message, fds, n_fds);
	CHECK_EQ(message->type, SHARED_START);
	n_sends++;
	return TCPX_ECLOSED;
}

pid_t __wrap_waitpid(pid_t pid, int *status, int options)
{
	if (!nobody_ends)
		return __real_waitpid(pid, status, options);
	CHECK(options & WNOHANG); /* else it would never come back */
	return 0;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* It runs by then: it is ended, waited for, and its socket is closed. */
static void first_message_is_lost(void)
{
	struct transport t = {.options = {.helper = "/bin/cat"}};
	struct helper_process h = {.transport = &t, .socket_fd = -1};
	char why[128] = "";
	int next;

	sends_are_lost = true;
	pthread_mutex_init(&h.send_lock, NULL);
	h.memory_fd = memfd_create("test", MFD_CLOEXEC);
	h.wake_fd = eventfd(0, EFD_CLOEXEC);
	CHECK(h.memory_fd >= 0 && h.wake_fd >= 0);
	next = h.wake_fd + 1;
	for (unsigned i = 1; i <= 3; i++) {
		CHECK_STATUS(remote_start(&h, why, sizeof(why)), TCPX_ECLOSED);
		CHECK_EQ(n_sends, i);
		CHECK_EQ(h.socket_fd, -1);
		CHECK_EQ(h.pid, 0);
		CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
		CHECK(!is_open(next) && !is_open(next + 1));
	}
	close(h.memory_fd);
	close(h.wake_fd);
	pthread_mutex_destroy(&h.send_lock);
}

/* There is none: nothing to end. */
static void cannot_be_executed(void)
{
	struct transport t = {.options = {.helper = "/nowhere/helper"}};
	struct helper_process h = {.transport = &t,
				   .socket_fd = -1,
				   .memory_fd = -1,
				   .wake_fd = -1,
				   .pid = 4711};
	char why[128] = "";

	pthread_mutex_init(&h.send_lock, NULL);
	CHECK_STATUS(remote_start(&h, why, sizeof(why)), TCPX_EUNSUPPORTED);
	CHECK(strstr(why, "/nowhere/helper: No such file"));
	CHECK_EQ(h.pid, 0);
	CHECK_EQ(n_sends, 0);
	pthread_mutex_destroy(&h.send_lock);
}

/* ---- one that closes its socket and is not over -------------------------- */

struct one {
	struct transport t;
	struct helper_process h;
	struct shared_area *area;
	struct log log;
};

/* how: see be_helper() */
static void set_up(struct one *one, const char *how)
{
	struct transport *t = &one->t;
	char why[128] = "";

	*one = (struct one){
		.t = {.options = {.helper = "/proc/self/exe",
				  .stall_ms = 60000,
				  .start_ms = 60000},
		      .helpers = &one->h,
		      .n_helpers = 1,
		      .log = &one->log},
		.h = {.transport = t, .memory_fd = -1, .socket_fd = -1},
		.area = calloc(1, sizeof(*one->area)),
	};
	CHECK(one->area);
	setenv("TEST_HELPER_ENDS", how, 1);
	one->h.area = one->area;
	one->h.wake_fd = eventfd(0, EFD_CLOEXEC);
	one->h.memory_fd = memfd_create("test", MFD_CLOEXEC);
	list_init(&t->channels);
	list_init(&t->listeners);
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->heard, NULL);
	pthread_mutex_init(&one->h.send_lock, NULL);
	CHECK_STATUS(remote_start(&one->h, why, sizeof(why)), TCPX_OK);
	CHECK_STATUS(remote_hear_start(t), TCPX_OK);
}

/* When it is no longer heard. Nobody is left behind. */
static void tear_down(struct one *one)
{
	remote_helper_end(&one->h, 0);
	CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
	close(one->h.wake_fd);
	close(one->h.memory_fd);
	pthread_mutex_destroy(&one->h.send_lock);
	pthread_cond_destroy(&one->t.heard);
	pthread_mutex_destroy(&one->t.lock);
	free(one->area);
}

static pid_t pid_of(struct one *one)
{
	pid_t pid;

	pthread_mutex_lock(&one->h.send_lock);
	pid = one->h.pid;
	pthread_mutex_unlock(&one->h.send_lock);
	return pid;
}

/* Zombies count as there. */
static bool is_there(pid_t pid)
{
	return !kill(pid, 0) || errno != ESRCH;
}

/* Not within the time that its end is waited for, but soon. */
static void ends_late(void)
{
	uint64_t limit_ns = clock_now_ns() + ENOUGH_NS;
	struct one one;
	pid_t pid;

	set_up(&one, "late");
	pid = pid_of(&one);
	CHECK(pid > 0);
	while (is_there(pid) && clock_now_ns() < limit_ns)
		usleep(10000);
	CHECK(!is_there(pid));
	CHECK_EQ(load_acquire(&one.h.generation),
		 1); /* there was no other one */
	remote_hear_stop(&one.t);
	tear_down(&one);
}

/* It is ended before the next one is started. */
static void lives_on(void)
{
	uint64_t limit_ns = clock_now_ns() + ENOUGH_NS;
	struct one one;
	pid_t first, next;

	set_up(&one, "never");
	next = first = pid_of(&one);
	CHECK(first > 0);
	while ((next == first || !next) && clock_now_ns() < limit_ns) {
		usleep(10000);
		next = pid_of(&one);
	}
	CHECK(next > 0 && next != first);
	CHECK(!is_there(first));
	remote_hear_stop(&one.t);
	tear_down(&one);
}

/* One that even a signal does not end does not keep its session open. */
static void cannot_be_ended(void)
{
	uint64_t limit_ns = clock_now_ns() + ENOUGH_NS;
	struct one one;
	pid_t pid;

	set_up(&one, "never");
	pid = pid_of(&one);
	remote_hear_stop(&one.t);
	nobody_ends = true;
	remote_helper_end(&one.h, 0);
	CHECK(clock_now_ns() < limit_ns);
	CHECK_EQ(one.h.pid, pid); /* not forgotten */
	nobody_ends = false;
	remote_helper_end(&one.h, 0);
	CHECK_EQ(one.h.pid, 0);
	tear_down(&one);
}

/* Has started, or cannot; closes its socket; is over after a while, or not. */
static int be_helper(const char *how)
{
	bool late = !strcmp(how, "late");
	struct shared_message m;

	if (read(SHARED_FD_SOCKET, &m, sizeof(m)) <= 0)
		return 1;
	m = (struct shared_message){
		.type = SHARED_STARTED,
		.status = late ? TCPX_EUNSUPPORTED : TCPX_OK,
		.text = "eth0",
	};
	if (shared_send(SHARED_FD_SOCKET, &m, NULL, 0))
		return 1;
	close(SHARED_FD_SOCKET);
	usleep(late ? 700000 : 60000000);
	return 0;
}

static const struct check_case cases[] = {
	{"first_message_is_lost", first_message_is_lost, 0},
	{"cannot_be_executed", cannot_be_executed, 0},
	{"ends_late", ends_late, 30},
	{"lives_on", lives_on, 30},
	{"cannot_be_ended", cannot_be_ended, 30},
};

int main(int argc, char **argv)
{
	const char *how = getenv("TEST_HELPER_ENDS");

	return how ? be_helper(how) : CHECK_RUN(cases, argc, argv);
}
