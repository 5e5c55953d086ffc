/* SPDX-License-Identifier: Apache-2.0 */

/* Threads that wait in one context: one leads, and each is told. What is
 * missed lasts until a sleep ends by itself, a second here, so that a case of
 * many rounds is ended by its alarm. */

#include <pthread.h>
#include <sched.h>

#include "base/clock.h"
#include "check.h"
#include "engine/context.h"
#include "engine/wakeup.h"

#define ROUNDS 200

struct waiter {
	_Atomic int status; /* as a transfer's */
	_Atomic bool back;
	pthread_t thread;
};

static struct wakeups nobody; /* no event loop */
static struct context ctx;

static bool has_ended(void *arg)
{
	struct waiter *waiter = arg;

	return load_acquire(&waiter->status) != TCPX_INPROGRESS;
}

static void *wait_for_it(void *arg)
{
	struct waiter *waiter = arg;

	CHECK_STATUS(context_drive(&ctx, has_ended, waiter, UINT64_MAX), 0);
	store_release(&waiter->back, true);
	return NULL;
}

static void start(struct waiter *waiter)
{
	store_relaxed(&waiter->status, TCPX_INPROGRESS);
	store_relaxed(&waiter->back, false);
	CHECK_EQ(pthread_create(&waiter->thread, NULL, wait_for_it, waiter), 0);
}

/* From a thread that is no caller, as when it drives for another. */
static void end(struct waiter *waiter)
{
	store_release(&waiter->status, 0);
	context_announce_end(&ctx);
	CHECK_EQ(pthread_join(waiter->thread, NULL), 0);
}

static void await(_Atomic uint32_t *count, uint32_t n)
{
	while (load_acquire(count) != n)
		sched_yield();
}

/* In the set, and for longer than a moment, which would end by itself. */
static void await_leader(void)
{
	await(&ctx.n_long, 1);
	await(&ctx.n_watchers, 1);
}

static void begin(void)
{
	CHECK_STATUS(context_init(&ctx, 0, &nobody, 20, 20), 0);
}

/* It sleeps in the set, and nothing in the set is ready: another has read what
 * came. */
static void told_in_the_set(void)
{
	struct waiter a;

	begin();
	for (int i = 0; i < ROUNDS; i++) {
		start(&a);
		await_leader();
		end(&a);
	}
	context_fini(&ctx);
}

static void told_beside_one_that_leads(void)
{
	struct waiter a, b;

	begin();
	start(&a);
	await(&ctx.n_watchers, 1);
	for (int i = 0; i < ROUNDS; i++) {
		start(&b);
		await(&ctx.seq_waiters, 1);
		end(&b);
		CHECK(!load_acquire(&a.back));
	}
	end(&a);
	context_fini(&ctx);
}

/* Who leads leaves: another sleeps in the set then, and not none. */
static void another_leads(void)
{
	struct waiter waiters[3];

	begin();
	start(&waiters[0]);
	await(&ctx.n_watchers, 1);
	for (int i = 0; i < ROUNDS; i++) {
		start(&waiters[(i + 1) % 3]);
		await(&ctx.seq_waiters, 1);
		end(&waiters[i % 3]);
		await(&ctx.n_watchers, 1);
		CHECK_EQ(load_acquire(&ctx.led), 1);
	}
	end(&waiters[ROUNDS % 3]);
	CHECK_EQ(load_acquire(&ctx.led), 0);
	context_fini(&ctx);
}

static void *wait_in_vain(void *arg)
{
	uint64_t deadline_ns = clock_now_ns() + 5 * NS_PER_MS;
	struct waiter *waiter = arg;

	CHECK_STATUS(context_drive(&ctx, has_ended, arg, deadline_ns),
		     TCPX_ETIMEDOUT);
	store_release(&waiter->back, true);
	return NULL;
}

/* Nothing has ended, but its time is over. */
static void another_leads_after_a_deadline(void)
{
	struct waiter a, b;

	begin();
	for (int i = 0; i < ROUNDS; i++) {
		store_relaxed(&a.status, TCPX_INPROGRESS);
		store_relaxed(&a.back, false);
		CHECK_EQ(pthread_create(&a.thread, NULL, wait_in_vain, &a), 0);
		while (!load_acquire(&ctx.led) && !load_acquire(&a.back))
			sched_yield();
		start(&b);
		CHECK_EQ(pthread_join(a.thread, NULL), 0);
		await(&ctx.led, 1);
		await(&ctx.n_watchers, 1);
		end(&b);
	}
	context_fini(&ctx);
}

/* Whatever the moment. */
static void at_any_moment(void)
{
	struct waiter waiters[4];

	begin();
	for (int i = 0; i < ROUNDS; i++) {
		for (int k = 0; k < 4; k++)
			start(&waiters[k]);
		for (int k = 0; k < 4; k++) {
			for (int n = (i * 7 + k * 13) % 40; n > 0; n--)
				sched_yield();
			end(&waiters[k]);
		}
	}
	context_fini(&ctx);
}

/* ---- what one pass leaves ---- */

struct rest {
	struct pollee pollee;
	int n_polls;
	_Atomic uint32_t n;
};

static struct rest rest;

static bool poll_twice(struct pollee *pollee)
{
	if (++rest.n_polls % 2)
		return false;
	pollee_del(&ctx, pollee);
	add_acq_rel(&rest.n, 1);
	return true;
}

/* The worker is asleep, and does not know of what there is to poll. Whoever
 * makes one pass does, and leaves. */
static void left_to_poll(void)
{
	begin();
	rest.pollee.poll = poll_twice;
	list_init(&rest.pollee.link);
	CHECK_STATUS(context_start_worker(&ctx), 0);
	for (uint32_t i = 1; i <= ROUNDS; i++) {
		await(&ctx.sleepers, 1);
		context_enter(&ctx);
		pollee_add(&ctx, &rest.pollee);
		context_release(&ctx);
		context_visit(&ctx);
		await(&rest.n, i);
	}
	context_stop_worker(&ctx);
	context_fini(&ctx);
}

static const struct check_case cases[] = {
	{"told_in_the_set", told_in_the_set, 60},
	{"told_beside_one_that_leads", told_beside_one_that_leads, 60},
	{"another_leads", another_leads, 60},
	{"another_leads_after_a_deadline", another_leads_after_a_deadline, 60},
	{"at_any_moment", at_any_moment, 60},
	{"left_to_poll", left_to_poll, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
