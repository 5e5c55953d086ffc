/* SPDX-License-Identifier: Apache-2.0 */

/* Event loops that sleep on a descriptor, and what happens at any moment. A
 * wake that is lost is a sleep without an end, which the alarm ends. */

#include <poll.h>
#include <pthread.h>
#include <sched.h>

#include "base/clock.h"
#include "check.h"
#include "engine/engine.h"

#define ROUNDS 20000
#define XFER TCPX_WAKE_XFER

static struct engine engine;
static struct context ctx;
static struct log silent;

/* As one of a session, with a worker or without one, but with no other thread
 * that would drive it now and then. */
static void begin(bool driven)
{
	wakeups_init(&engine.wakeups);
	CHECK_STATUS(context_init(&ctx, 0, &engine.wakeups, 20, 20), 0);
	engine.params.log = &silent;
	engine.params.workers = !driven;
	engine.contexts = &ctx;
	engine.n_contexts = 1;
	if (driven)
		engine.wakeups.set_fd = ctx.epfd;
	else
		CHECK_STATUS(context_start_worker(&ctx), 0);
}

static void end(void)
{
	context_stop_worker(&ctx);
	wakeups_fini(&engine.wakeups);
	context_fini(&ctx);
}

static int open_fd(void)
{
	int fd;

	CHECK_STATUS(wakeup_open(&engine.wakeups, &fd), 0);
	return fd;
}

static bool is_readable(int fd, int timeout_ms)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	return poll(&pfd, 1, timeout_ms) == 1;
}

/* One turn of a loop that has found nothing; sleeps unless there is news. */
static void turn(int fd, uint32_t wanted)
{
	if (!engine_arm(&engine, fd, wanted))
		CHECK(is_readable(fd, -1));
}

/* Until *count is n. What it looks at is stored before it is told. */
static void sleep_until(int fd, _Atomic uint32_t *count, uint32_t n)
{
	for (;;) {
		if (engine.wakeups.set_fd >= 0)
			context_visit(&ctx);
		if (load_acquire(count) == n)
			return;
		turn(fd, XFER);
	}
}

static void dawdle(uint64_t *seed)
{
	for (uint64_t n = check_rand(seed) % 8; n > 1; n--)
		sched_yield();
	for (uint64_t n = check_rand(seed) % 400; n; n--)
		cpu_relax();
}

/* ---- news ---- */

static _Atomic uint32_t done, seen[2];

static void tell(void)
{
	atomic_fetch_add(&done, 1);
	context_announce_end(&ctx);
}

static void *end_one_by_one(void *arg)
{
	uint64_t seed = check_seed();

	for (uint32_t i = 1; i <= ROUNDS; i++) {
		dawdle(&seed);
		tell();
		for (int k = 0; k < *(int *)arg; k++)
			while (load_acquire(&seen[k]) != i)
				sched_yield();
	}
	return NULL;
}

static void *see_each(void *arg)
{
	_Atomic uint32_t *mine = arg;
	int fd = open_fd();

	for (uint32_t i = 1; i <= ROUNDS; i++) {
		sleep_until(fd, &done, i);
		store_release(mine, i);
	}
	return NULL;
}

/* Each loop is told of each. */
static void see_all(int n_loops, bool driven)
{
	pthread_t loops[2], teller;

	begin(driven);
	for (int k = 0; k < n_loops; k++)
		CHECK(!pthread_create(&loops[k], NULL, see_each, &seen[k]));
	CHECK(!pthread_create(&teller, NULL, end_one_by_one, &n_loops));
	pthread_join(teller, NULL);
	for (int k = 0; k < n_loops; k++)
		pthread_join(loops[k], NULL);
	end();
}

static void news(void)
{
	see_all(1, false);
}

static void news_for_two(void)
{
	see_all(2, false);
}

static void news_for_who_drives(void)
{
	see_all(1, true);
}

static void news_for_two_who_drive(void)
{
	see_all(2, true);
}

/* ---- work ---- */

static struct task last;

static void run_last(struct task *task)
{
	(void)task;
	tell();
}

/* What one pass begins, the next one ends. */
static void run(struct task *task)
{
	(void)task;
	context_submit(&ctx, &last);
}

/* One pass by somebody else, as a session's control thread makes: it may read
 * what was to wake the loop, and nobody comes after it. */
static void meddle(uint64_t *seed)
{
	if (check_rand(seed) % 3 == 0)
		context_visit(&ctx);
}

static void *submit_one_by_one(void *arg)
{
	struct task task = {.run = run};
	uint64_t seed = check_seed();

	(void)arg;
	list_init(&task.link);
	list_init(&last.link);
	last.run = run_last;
	for (uint32_t i = 1; i <= ROUNDS; i++) {
		dawdle(&seed);
		context_submit(&ctx, &task);
		meddle(&seed);
		while (load_acquire(&seen[0]) != i)
			sched_yield();
	}
	return NULL;
}

static void work(bool driven, void *(*poster)(void *))
{
	pthread_t thread;

	begin(driven);
	CHECK(!pthread_create(&thread, NULL, poster, NULL));
	see_each(&seen[0]);
	pthread_join(thread, NULL);
	end();
}

static void tasks(void)
{
	work(true, submit_one_by_one);
}

/* Its worker stays away from who polls, until the loop arms. */
static void tasks_for_a_worker(void)
{
	work(false, submit_one_by_one);
}

struct polled {
	struct pollee pollee;
	int left;
};

static bool poll_it(struct pollee *pollee)
{
	struct polled *p = list_entry(pollee, struct polled, pollee);

	if (--p->left > 0)
		return false;
	pollee_del(&ctx, pollee);
	tell();
	return true;
}

/* Nothing tells of what it waits for but a look. */
static void *poll_one_by_one(void *arg)
{
	struct polled p = {.pollee = {.poll = poll_it}};
	uint64_t seed = check_seed();

	(void)arg;
	list_init(&p.pollee.link);
	for (uint32_t i = 1; i <= ROUNDS; i++) {
		dawdle(&seed);
		context_enter(&ctx);
		p.left = 1 + (int)(check_rand(&seed) % 3);
		pollee_add(&ctx, &p.pollee);
		context_release(&ctx);
		meddle(&seed);
		while (load_acquire(&seen[0]) != i)
			sched_yield();
	}
	return NULL;
}

static void things_to_poll(void)
{
	work(true, poll_one_by_one);
}

/* ---- what is said of it ---- */

static void readable_once(void)
{
	begin(false);
	int fd = open_fd();

	CHECK_STATUS(engine_arm(&engine, fd, XFER), TCPX_EAGAIN);
	CHECK_STATUS(engine_arm(&engine, fd, XFER), 0);
	CHECK(!is_readable(fd, 0));
	tell();
	CHECK(is_readable(fd, 0));
	CHECK(is_readable(fd, 0)); /* until it is armed again */
	CHECK_STATUS(engine_arm(&engine, fd, XFER), TCPX_EAGAIN);
	CHECK(!is_readable(fd, 0));
	tell(); /* not armed: counted, but not rung */
	CHECK(!is_readable(fd, 0));
	CHECK_STATUS(engine_arm(&engine, fd, XFER), TCPX_EAGAIN);
	CHECK_STATUS(engine_arm(&engine, fd, XFER), 0);
	CHECK_STATUS(engine_arm(&engine, fd, XFER), 0);
	CHECK(!is_readable(fd, 0));
	end();
}

static void what_is_wanted(void)
{
	begin(false);
	int fd = open_fd();

	CHECK_STATUS(engine_arm(&engine, fd, XFER), TCPX_EAGAIN);
	CHECK_STATUS(engine_arm(&engine, fd, TCPX_WAKE_EVENT), 0);
	tell();
	CHECK(!is_readable(fd, 0));
	engine_tell(&engine, TCPX_WAKE_NOTIFY);
	CHECK(!is_readable(fd, 0));
	engine_tell(&engine, TCPX_WAKE_EVENT);
	CHECK(is_readable(fd, 0));
	CHECK_STATUS(engine_arm(&engine, fd, 0), 0);
	engine_tell(&engine, TCPX_WAKE_EVENT);
	tell();
	CHECK(!is_readable(fd, 0));
	/* What was not wanted meanwhile is news all the same. */
	CHECK_STATUS(engine_arm(&engine, fd, XFER), TCPX_EAGAIN);
	CHECK_STATUS(engine_arm(&engine, fd, XFER), 0);
	CHECK_STATUS(engine_arm(&engine, fd + 1000, XFER), TCPX_ENOENT);
	end();
}

static const struct check_case cases[] = {
	{"readable_once", readable_once, 0},
	{"what_is_wanted", what_is_wanted, 0},
	{"news", news, 60},
	{"news_for_two", news_for_two, 60},
	{"news_for_who_drives", news_for_who_drives, 60},
	{"news_for_two_who_drive", news_for_two_who_drive, 60},
	{"tasks", tasks, 60},
	{"tasks_for_a_worker", tasks_for_a_worker, 60},
	{"things_to_poll", things_to_poll, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
