/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/context.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <tcpx/p2p.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sigmask.h"
#include "base/trace.h"
#include "engine/wakeup.h"

#define EVENTS_A_PASS 64
#define GRACE_NS (100 * NS_PER_US) /* the worker comes back after this, ... */
#define GRACE_MAX_NS (800 * NS_PER_US) /* ... beside who polls on and on */
#define SHORT_STAY_NS NS_PER_MS /* leaving after less wakes nobody */
#define NAP_NS NS_PER_MS /* of a caller, beside who drives */
#define POLLEE_NAP_NS (50 * NS_PER_US) /* things to poll, nothing moves; ... */
#define POLLEE_NAP_MAX_NS (800 * NS_PER_US) /* ... and has not for long */
/* Visits of who polls: as often as this; soon after one that was worth it in
 * every call, or nearly so; and seldom where nothing comes for long. */
#define VISIT_EVERY_US 2
#define VISIT_SELDOM_US 8 /* none was worth it for so long: */
#define IDLE_US 1000
#define VISIT_OFTEN_NS 200
#define LUCKY_US 20
#define ROOM_AFTER_US 50
#define REFUSED_OFTEN_US 20 /* apart at most, to be polling without a pause */
#define TRIES 8 /* of which one asks the set */
#define IDLE_SLEEP_NS (1000 * NS_PER_MS)
#define HOT_US 1000 /* spun for what ends within microseconds, as a rule */

int context_init(struct context *ctx, uint32_t index, struct wakeups *wakeups,
		 uint32_t busy_poll_us, uint32_t stream_poll_us)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

	*ctx = (struct context){.index = index,
				.wakeups = wakeups,
				.busy_poll_us = busy_poll_us,
				.stream_poll_us = stream_poll_us,
				.spin_us = busy_poll_us,
				.nap_ns = POLLEE_NAP_NS,
				.epfd = -1,
				.wake_fd = -1};
	list_init(&ctx->tasks);
	list_init(&ctx->pollees);
	pthread_mutex_init(&ctx->tasks_lock, NULL);
	ctx->scratch = malloc(CONTEXT_SCRATCH_BYTES);
	if (!ctx->scratch)
		goto err_memory;
	ctx->epfd = epoll_create1(EPOLL_CLOEXEC);
	ctx->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (ctx->epfd < 0 || ctx->wake_fd < 0 ||
	    epoll_ctl(ctx->epfd, EPOLL_CTL_ADD, ctx->wake_fd, &event)) {
		context_fini(ctx);
		return TCPX_ENFILE;
	}
	return 0;
err_memory:
	context_fini(ctx);
	return TCPX_ENOMEM;
}

void context_fini(struct context *ctx)
{
	if (ctx->epfd >= 0)
		close(ctx->epfd);
	if (ctx->wake_fd >= 0)
		close(ctx->wake_fd);
	free(ctx->scratch);
	pthread_mutex_destroy(&ctx->tasks_lock);
	*ctx = (struct context){.epfd = -1, .wake_fd = -1};
}

/* ---- ownership -------------------------------------------------------- */

bool context_try_own(struct context *ctx)
{
	return load_relaxed(&ctx->owned) == 0 &&
	       cas_acquire(&ctx->owned, 0, 1); /* pairs with release */
}

void context_release(struct context *ctx)
{
	store_release(&ctx->owned, 0); /* pairs with the next try_own */
}

void context_want(struct context *ctx)
{
	add_relaxed(&ctx->wanted, 1);
}

void context_unwant(struct context *ctx)
{
	add_relaxed(&ctx->wanted, -1u);
}

bool context_try_enter(struct context *ctx)
{
	if (!context_try_own(ctx))
		return false;
	context_unwant(ctx);
	return true;
}

void context_pause(uint32_t tries)
{
	if (tries < 100)
		cpu_relax();
	else
		sched_yield();
}

void context_enter(struct context *ctx)
{
	context_want(ctx);
	for (uint32_t tries = 0; !context_try_enter(ctx); tries++)
		context_pause(tries);
}

/* ---- one pass --------------------------------------------------------- */

static bool run_tasks(struct context *ctx)
{
	struct list batch;
	bool did = false;

	if (!load_relaxed(&ctx->kicked))
		return false;
	/* Before looking at the list: who submits after this kicks again. Who
	 * finds it taken back sees what it was set for. */
	atomic_exchange(&ctx->kicked, 0);
	pthread_mutex_lock(&ctx->tasks_lock);
	list_init(&batch);
	while (!list_empty(&ctx->tasks))
		list_move_tail(&batch, ctx->tasks.next);
	while (!list_empty(&batch)) {
		struct task *task = list_entry(batch.next, struct task, link);

		list_del(&task->link);
		store_relaxed(&task->queued, false);
		pthread_mutex_unlock(&ctx->tasks_lock);
		task->run(task);
		did = true;
		pthread_mutex_lock(&ctx->tasks_lock);
	}
	pthread_mutex_unlock(&ctx->tasks_lock);
	return did;
}

/* What a sleep has brought. It may be used once, by who owns next, unless a
 * source has left since: then it might name one that is gone. */
struct harvest {
	struct epoll_event events[EVENTS_A_PASS];
	int n;
	uint32_t departures;
};

static void ring(struct context *ctx)
{
	uint64_t one = 1;

	if (write(ctx->wake_fd, &one, sizeof(one)) < 0)
		return; /* full: it is awake as it can be */
}

/* A kick is for anybody; a call is for all that watch, of whom some may not
 * have come as far as to see it: it stays until none is asleep. Looked at after
 * the read, so that none is missed whose ring this read has taken. */
static void take_ring(struct context *ctx)
{
	uint64_t n;

	if (read(ctx->wake_fd, &n, sizeof(n)) < 0)
		return;
	uint32_t calls = atomic_load(&ctx->calls);

	if (calls == ctx->heard)
		return;
	if (atomic_load(&ctx->n_watchers))
		ring(ctx);
	else
		ctx->heard = calls;
}

/* The one source that is ready again and again is asked itself, most of the
 * time: who spins saves the call that asks the whole set. */
static bool try_lively(const struct context *ctx, const struct harvest *harvest)
{
	return ctx->lively && harvest->n <= 0 && ctx->tries % TRIES != 0 &&
	       !load_relaxed(&ctx->n_inbound);
}

static bool run_sources(struct context *ctx, struct harvest *harvest)
{
	bool did = false;

	ctx->tries++;
	if (try_lively(ctx, harvest))
		return ctx->lively->ready(ctx->lively, 0);
	if (harvest->n <= 0 ||
	    harvest->departures != load_relaxed(&ctx->departures))
		harvest->n = epoll_wait(ctx->epfd, harvest->events,
					EVENTS_A_PASS, 0);
	int n = harvest->n;

	harvest->n = 0;
	if (n > 0)
		ctx->lively = NULL;
	/* Those left out are ready in the next pass, too. */
	for (int i = 0; i < n && !(i && context_is_wanted(ctx)); i++) {
		struct source *source = harvest->events[i].data.ptr;

		if (!source) {
			take_ring(ctx);
			continue;
		}
		/* One handler may have disarmed another's source, but memory
		 * of sources is only freed by tasks, so it is still there. */
		if (source->fd < 0)
			continue;
		source->ready(source, harvest->events[i].events);
		did = true;
		/* Unless its handler has disarmed it. */
		if (n == 1 && source->eager && source->fd >= 0)
			ctx->lively = source;
	}
	return did;
}

static bool run_pollees(struct context *ctx)
{
	bool did = false;

	/* By turns from the head: polling one may remove any of them. */
	for (uint32_t i = load_relaxed(&ctx->n_pollees); i; i--) {
		if (list_empty(&ctx->pollees) || context_is_wanted(ctx))
			break;
		struct pollee *pollee =
			list_entry(ctx->pollees.next, struct pollee, link);

		list_move_tail(&ctx->pollees, &pollee->link);
		did |= pollee->poll(pollee);
	}
	return did;
}

static bool pass(struct context *ctx, struct harvest *harvest)
{
	bool did = run_tasks(ctx);

	did |= run_sources(ctx, harvest);
	did |= run_pollees(ctx);
	if (did)
		add_relaxed(&ctx->worked, 1);
	context_breathe(ctx);
	return did;
}

/* Whoever was woken may be on this very CPU, and has little to do. */
void context_breathe(struct context *ctx)
{
	if (!load_relaxed(&ctx->has_woken))
		return;
	store_relaxed(&ctx->has_woken, 0);
	sched_yield();
}

bool context_pass(struct context *ctx)
{
	struct harvest harvest = {.n = 0};

	return pass(ctx, &harvest);
}

/*
 * Something has moved. The two ends of a stream wait for one another again and
 * again, for tens of microseconds: who sleeps then is soon woken, by a sender
 * whose kernel takes it for one about to sleep, puts the sleeper on its CPU,
 * and both share that one for some milliseconds. So gaps are spun over while
 * they are short, until one was not. By the owner.
 */
static void note_progress(struct context *ctx, uint64_t now)
{
	uint64_t gap_us = (now - ctx->moved_ticks) / clock_ticks_per_us();

	ctx->moved_ticks = now;
	store_relaxed(&ctx->nap_ns, POLLEE_NAP_NS);
	if (gap_us > ctx->busy_poll_us && ctx->busy_poll_us)
		ctx->spin_us = gap_us < ctx->stream_poll_us ?
				       ctx->stream_poll_us :
				       ctx->busy_poll_us;
}

static uint64_t spin_limit(struct context *ctx)
{
	return (ctx->spin_us + (load_relaxed(&ctx->n_hot) ? HOT_US : 0)) *
	       clock_ticks_per_us();
}

/* Passes until nothing has happened for the busy-poll time, done() holds,
 * somebody else wants in, or, for a worker, a caller knocks who polls and
 * nothing is to be done now. By the owner. */
static bool spin(struct context *ctx, struct harvest *harvest,
		 bool (*done)(void *), void *arg, uint64_t deadline_ns)
{
	uint64_t last = clock_ticks();
	uint32_t knocks = load_relaxed(&ctx->knocks);

	for (;;) {
		bool did = pass(ctx, harvest);

		if (done && done(arg))
			return true;
		if (load_relaxed(&ctx->wanted) || load_relaxed(&ctx->stop))
			return false;
		uint64_t now = clock_ticks();

		if (did) {
			last = now;
			note_progress(ctx, now);
		} else if (now - last >= spin_limit(ctx) ||
			   (!done && knocks != load_relaxed(&ctx->knocks) &&
			    !load_relaxed(&ctx->n_hot)))
			return false;
		else
			sched_yield(); /* the peer may need this very core */
		if (deadline_ns != UINT64_MAX && clock_now_ns() >= deadline_ns)
			return false;
	}
}

/* ---- sleeping --------------------------------------------------------- */

/* Until something is ready, somebody kicks, or timeout_ns. Not the owner. */
static void sleep_epoll(struct context *ctx, struct harvest *harvest,
			bool (*done)(void *), void *arg, uint64_t timeout_ns)
{
	struct pollfd pfd = {.fd = ctx->epfd, .events = POLLIN};
	bool is_long = timeout_ns > SHORT_STAY_NS; /* nothing is to be polled */

	harvest->n = 0;
	harvest->departures = load_acquire(&ctx->departures);
	/* With a sleeper counted, context_kick() writes to wake_fd; one that
	 * came before is seen here. Both sides are seq_cst. */
	trace(TRACE_SLEEP, ctx->index, timeout_ns);
	atomic_fetch_add(&ctx->sleepers, 1);
	atomic_fetch_add(&ctx->long_sleepers, is_long);
	if (atomic_load(&ctx->kicked) || (done && done(arg)) ||
	    (is_long && atomic_load(&ctx->n_pollees))) {
		/* a pass is due, or who drove meanwhile has done it */
	} else if (timeout_ns >= NS_PER_MS) {
		uint64_t ms = timeout_ns / NS_PER_MS;

		harvest->n = epoll_wait(ctx->epfd, harvest->events,
					EVENTS_A_PASS,
					ms > 60000 ? 60000 : (int)ms);
	} else {
		struct timespec ts = {.tv_nsec = (long)timeout_ns};

		ppoll(&pfd, 1, &ts, NULL);
	}
	atomic_fetch_sub(&ctx->long_sleepers, is_long);
	atomic_fetch_sub(&ctx->sleepers, 1);
	trace(TRACE_AWAKE, ctx->index, 0);
}

/* How long it is until a deadline, at most limit. */
static uint64_t until(uint64_t deadline_ns, uint64_t limit)
{
	if (deadline_ns == UINT64_MAX)
		return limit;
	uint64_t now = clock_now_ns();
	uint64_t left = deadline_ns > now ? deadline_ns - now : 0;

	return left < limit ? left : limit;
}

/* Until things are to be polled again: the longer, the longer in vain. */
static uint64_t next_nap(struct context *ctx)
{
	uint64_t nap_ns = load_relaxed(&ctx->nap_ns);

	if (nap_ns < POLLEE_NAP_MAX_NS)
		store_relaxed(&ctx->nap_ns, 2 * nap_ns);
	return nap_ns;
}

static uint64_t sleep_limit(struct context *ctx, uint64_t deadline_ns)
{
	/* pollees is the owner's; a stale look only makes a sleep shorter or
	 * ends it by the next kick. */
	return until(deadline_ns, load_relaxed(&ctx->n_pollees) ?
					  next_nap(ctx) :
					  IDLE_SLEEP_NS);
}

/*
 * Beside one that leads there is nothing to do but to be told, and all that
 * tell do it so:
 *
 *   this one                    who ends a transfer, or has led
 *   seq_waiters + 1             status stored, or led = 0
 *   done()? led?                seq_waiters? seq + 1, futex
 *
 * in one order for all (seq_cst). Others that own tell without such an order,
 * so where nobody leads this is but a nap.
 */
static void wait_for_driver(struct context *ctx, uint32_t seq,
			    bool (*done)(void *), void *arg,
			    uint64_t deadline_ns, bool leads)
{
	atomic_fetch_add(&ctx->seq_waiters, 1);
	bool led = !leads && atomic_load(&ctx->led);
	uint64_t limit = led ? IDLE_SLEEP_NS : NAP_NS;

	if (!done(arg))
		futex_wait(&ctx->seq, seq, until(deadline_ns, limit));
	atomic_fetch_sub(&ctx->seq_waiters, 1);
}

/* ---- callers ---------------------------------------------------------- */

static bool try_lead(struct context *ctx)
{
	uint32_t nobody = 0;

	return load_relaxed(&ctx->led) == 0 &&
	       atomic_compare_exchange_strong(&ctx->led, &nobody, 1);
}

/* Another of those who wait shall lead. */
static void resign(struct context *ctx)
{
	atomic_store(&ctx->led, 0);
	context_announce(ctx);
}

static void caller_leaves(struct context *ctx, bool is_long)
{
	store_relaxed(&ctx->visited_ns, clock_now_ns());
	atomic_fetch_sub(&ctx->n_callers, 1);
	if (is_long)
		atomic_fetch_sub(&ctx->n_long, 1);
	if (!ctx->has_thread)
		return;
	if (is_long || load_relaxed(&ctx->n_pollees)) {
		add_relaxed(&ctx->handoff, 1);
		futex_wake(&ctx->handoff, 1);
	}
}

/* Who does not spin goes to sleep without a look at an empty set first: the
 * sleep looks too. */
static bool nothing_yet(struct context *ctx, const struct harvest *harvest)
{
	return !ctx->busy_poll_us && harvest->n <= 0 &&
	       !load_relaxed(&ctx->kicked) && !load_relaxed(&ctx->n_pollees) &&
	       !load_relaxed(&ctx->owned);
}

/* Counted before done() is looked at a last time: see
 * context_call_sleepers(). */
static void sleep_caller(struct context *ctx, struct harvest *harvest,
			 bool (*done)(void *), void *arg, uint64_t timeout_ns)
{
	atomic_fetch_add(&ctx->n_watchers, 1);
	sleep_epoll(ctx, harvest, done, arg, timeout_ns);
	atomic_fetch_sub(&ctx->n_watchers, 1);
}

static int drive(struct context *ctx, bool (*done)(void *), void *arg,
		 uint64_t deadline_ns, bool watches)
{
	uint64_t long_ns = clock_now_ns() + SHORT_STAY_NS;
	int status = TCPX_ETIMEDOUT;
	bool is_long = false, leads = false;
	struct harvest harvest = {.n = 0};

	if (done(arg))
		return 0;
	if (deadline_ns <= clock_coarse_ns()) {
		context_visit(ctx);
		return done(arg) ? 0 : TCPX_ETIMEDOUT;
	}
	atomic_fetch_add(&ctx->n_callers, 1);
	for (;;) {
		uint32_t seq = load_acquire(&ctx->seq);
		bool wanted = context_is_wanted(ctx);
		bool own = !wanted && !nothing_yet(ctx, &harvest) &&
			   context_try_own(ctx);
		bool over = false;

		if (own) {
			over = spin(ctx, &harvest, done, arg, deadline_ns);
			context_release(ctx);
			if (!leads) /* else it goes on, or resigns */
				context_announce(ctx);
		}
		if (over || done(arg)) {
			status = 0;
			break;
		}
		if (deadline_ns != UINT64_MAX && clock_now_ns() >= deadline_ns)
			break;
		leads = leads || (!watches && try_lead(ctx));
		if (wanted || context_is_wanted(ctx))
			sched_yield(); /* its turn, before ours */
		else if ((leads || watches) &&
			 (own || nothing_yet(ctx, &harvest)))
			sleep_caller(ctx, &harvest, done, arg,
				     is_long ? sleep_limit(ctx, deadline_ns) :
					       SHORT_STAY_NS);
		else
			wait_for_driver(ctx, seq, done, arg, deadline_ns,
					leads);
		if (!is_long && clock_now_ns() >= long_ns) {
			/* From now on the worker need not look after this
			 * context until it is told. */
			is_long = true;
			atomic_fetch_add(&ctx->n_long, 1);
		}
	}
	if (leads)
		resign(ctx);
	caller_leaves(ctx, is_long);
	return status;
}

int context_drive(struct context *ctx, bool (*done)(void *), void *arg,
		  uint64_t deadline_ns)
{
	return drive(ctx, done, arg, deadline_ns, false);
}

int context_watch(struct context *ctx, bool (*done)(void *), void *arg,
		  uint64_t deadline_ns)
{
	return drive(ctx, done, arg, deadline_ns, true);
}

/* Whoever has made but one pass may have read the ring for what came in its
 * middle, or leave things to poll that were not there when who sleeps chose for
 * how long: a worker slept on for a second then. */
static void rouse(struct context *ctx)
{
	/* Pairs with sleep_epoll(). */
	if ((atomic_load(&ctx->kicked) && atomic_load(&ctx->sleepers)) ||
	    (atomic_load(&ctx->n_pollees) && atomic_load(&ctx->long_sleepers)))
		ring(ctx);
}

bool context_visit(struct context *ctx)
{
	if (!context_try_own(ctx))
		return false;
	bool did = context_pass(ctx);

	if (did)
		store_relaxed(&ctx->nap_ns, POLLEE_NAP_NS);
	store_relaxed(&ctx->visited_ns, clock_now_ns());
	context_release(ctx);
	context_announce(ctx);
	rouse(ctx);
	return did;
}

/* Who polls without a pause and finds the context owned all the while makes
 * room: its owner may wait for the very CPU that this caller polls on. And
 * knocks: a worker that came while the caller was kept from the CPU would stay
 * for as long as messages come, and with the peer's there were three threads
 * for two CPUs. */
static void make_room(struct context *ctx, uint64_t now)
{
	int64_t us = (int64_t)clock_ticks_per_us();
	int64_t pause = (int64_t)(now - load_relaxed(&ctx->refused_ticks));

	store_relaxed(&ctx->refused_ticks, now);
	if (pause > REFUSED_OFTEN_US * us || !load_relaxed(&ctx->since_ticks))
		store_relaxed(&ctx->since_ticks, now);
	if ((int64_t)(now - load_relaxed(&ctx->since_ticks)) <
	    ROOM_AFTER_US * us)
		return;
	store_relaxed(&ctx->since_ticks, 0);
	store_relaxed(&ctx->visited_ns, clock_now_ns());
	add_relaxed(&ctx->knocks, 1);
	sched_yield();
}

bool pace_is_due(struct pace *pace)
{
	uint64_t now = clock_ticks(), us = clock_ticks_per_us();
	uint64_t luckless = now - load_relaxed(&pace->lucky_ticks);
	uint64_t pause = luckless < LUCKY_US * us ? us * VISIT_OFTEN_NS / 1000 :
			 luckless < IDLE_US * us  ? VISIT_EVERY_US * us :
						    VISIT_SELDOM_US * us;

	if (now - load_relaxed(&pace->visit_ticks) < pause)
		return false;
	store_relaxed(&pace->visit_ticks, now);
	return true;
}

void context_visit_paced(struct context *ctx, struct pace *pace)
{
	uint64_t now = load_relaxed(&pace->visit_ticks);

	if (load_relaxed(&ctx->owned)) {
		make_room(ctx, now);
		return;
	}
	store_relaxed(&ctx->since_ticks, 0);
	if (context_visit(ctx))
		store_relaxed(&pace->lucky_ticks, now);
}

void context_visit_now_and_then(struct context *ctx)
{
	if (pace_is_due(&ctx->pace))
		context_visit_paced(ctx, &ctx->pace);
}

/* ---- event loops ------------------------------------------------------ */

bool context_may_rest(struct context *ctx, uint64_t *nap_ns)
{
	struct pollfd pfd = {.fd = ctx->epfd, .events = POLLIN};

	/* After the loop was armed: pairs with context_kick() and
	 * pollee_add(). A loop that goes by edges is not told again of what
	 * is ready by now. */
	if (atomic_load(&ctx->kicked) || poll(&pfd, 1, 0) > 0)
		return false;
	*nap_ns = atomic_load(&ctx->n_pollees) ? next_nap(ctx) : UINT64_MAX;
	return true;
}

void context_hand_over(struct context *ctx)
{
	rouse(ctx);
	/* Nobody has come since it was last told. */
	if (!ctx->has_thread || !load_relaxed(&ctx->visited_ns))
		return;
	store_relaxed(&ctx->visited_ns, 0);
	/* Pairs with nap(): either handoff has changed, or we see it. */
	atomic_fetch_add(&ctx->handoff, 1);
	if (atomic_load(&ctx->napping))
		futex_wake(&ctx->handoff, 1);
}

/* ---- the worker ------------------------------------------------------- */

static void nap(struct context *ctx, uint32_t handoff, uint64_t limit_ns)
{
	atomic_store(&ctx->napping, 1);
	futex_wait(&ctx->handoff, handoff, limit_ns);
	store_relaxed(&ctx->napping, 0);
}

static bool callers_at_work(struct context *ctx)
{
	return load_relaxed(&ctx->n_callers) ||
	       clock_now_ns() - load_relaxed(&ctx->visited_ns) < GRACE_NS;
}

static void *worker_main(void *arg)
{
	struct context *ctx = arg;
	struct harvest harvest = {.n = 0};
	uint64_t grace_ns = GRACE_NS;

	sigmask_shut_pipe();
	/* It is not urgent to whoever wakes it: it takes a free CPU at once,
	 * but not the CPU of a caller in the middle of a post. */
	struct sched_param param = {0};

	pthread_setschedparam(pthread_self(), SCHED_BATCH, &param);
	/* The grace period is shorter than the kernel's default slack. */
	prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
	while (!load_acquire(&ctx->stop)) {
		uint32_t handoff = load_relaxed(&ctx->handoff);

		if (callers_at_work(ctx)) {
			nap(ctx, handoff,
			    load_relaxed(&ctx->n_long) ? IDLE_SLEEP_NS :
							 grace_ns);
			grace_ns = grace_ns < GRACE_MAX_NS ? 2 * grace_ns :
							     GRACE_MAX_NS;
			continue;
		}
		grace_ns = GRACE_NS;
		/* Not once more before who wants it has had its turn. */
		if (context_is_wanted(ctx)) {
			sched_yield();
			continue;
		}
		if (!context_try_own(ctx)) {
			futex_wait(&ctx->handoff, handoff, GRACE_NS);
			continue;
		}
		spin(ctx, &harvest, NULL, NULL, UINT64_MAX);
		context_release(ctx);
		context_announce(ctx);
		if (load_relaxed(&ctx->wanted))
			sched_yield();
		else if (!load_acquire(&ctx->stop))
			sleep_epoll(ctx, &harvest, NULL, NULL,
				    sleep_limit(ctx, UINT64_MAX));
	}
	return NULL;
}

int context_start_worker(struct context *ctx)
{
	if (sigmask_start_thread(&ctx->thread, NULL, worker_main, ctx))
		return TCPX_ENOMEM;
	ctx->has_thread = true;
	return 0;
}

void context_stop_worker(struct context *ctx)
{
	if (!ctx->has_thread)
		return;
	store_release(&ctx->stop, 1);
	add_relaxed(&ctx->handoff, 1);
	futex_wake(&ctx->handoff, 1);
	context_kick(ctx);
	pthread_join(ctx->thread, NULL);
	ctx->has_thread = false;
	store_release(&ctx->stop, 0);
}

/* ---- from any thread -------------------------------------------------- */

void context_kick(struct context *ctx)
{
	/* Pairs with sleep_epoll(): either it sees kicked, or we see it. */
	atomic_store(&ctx->kicked, 1);
	if (atomic_load(&ctx->sleepers))
		ring(ctx);
	wakeups_drive(ctx->wakeups);
}

void context_submit(struct context *ctx, struct task *task)
{
	bool fresh;

	pthread_mutex_lock(&ctx->tasks_lock);
	fresh = !load_relaxed(&task->queued);
	if (fresh) {
		store_relaxed(&task->queued, true);
		list_add_tail(&ctx->tasks, &task->link);
	}
	pthread_mutex_unlock(&ctx->tasks_lock);
	if (fresh)
		context_kick(ctx);
}

void context_announce(struct context *ctx)
{
	if (!atomic_load(&ctx->seq_waiters))
		return;
	add_acq_rel(&ctx->seq, 1);
	futex_wake(&ctx->seq, INT32_MAX);
	store_relaxed(&ctx->has_woken, 1);
}

void context_announce_end(struct context *ctx)
{
	atomic_thread_fence(memory_order_seq_cst); /* sleep_epoll() */
	if (load_relaxed(&ctx->led) && load_relaxed(&ctx->n_watchers))
		context_call(ctx);
	else
		context_announce(ctx);
	wakeups_tell(ctx->wakeups, TCPX_WAKE_XFER);
}

void context_call(struct context *ctx)
{
	atomic_fetch_add(&ctx->calls, 1); /* before the ring: take_ring() */
	context_announce(ctx);
	context_kick(ctx);
}

void context_call_sleepers(struct context *ctx)
{
	if (atomic_load(&ctx->n_watchers))
		context_call(ctx);
	else
		context_announce(ctx);
}

/* ---- sources ---------------------------------------------------------- */

int source_arm(struct context *ctx, struct source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};
	int op = source->armed == UINT32_MAX ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	if (source->armed == events)
		return 0;
	/* What wants nothing leaves the set, which would tell of a hang-up
	 * again and again. */
	if (!events) {
		if (op == EPOLL_CTL_MOD)
			epoll_ctl(ctx->epfd, EPOLL_CTL_DEL, source->fd, NULL);
		source->armed = UINT32_MAX;
		return 0;
	}
	if (epoll_ctl(ctx->epfd, op, source->fd, &event))
		return errno == ENOMEM ? TCPX_ENOMEM : TCPX_ENFILE;
	source->armed = events;
	return 0;
}

void source_disarm(struct context *ctx, struct source *source)
{
	if (source->fd < 0)
		return;
	if (source->armed != UINT32_MAX)
		epoll_ctl(ctx->epfd, EPOLL_CTL_DEL, source->fd, NULL);
	add_acq_rel(&ctx->departures, 1);
	if (ctx->lively == source)
		ctx->lively = NULL;
	source->armed = UINT32_MAX;
	source->fd = -1;
}

/* ---- pollees ---------------------------------------------------------- */

void pollee_add(struct context *ctx, struct pollee *pollee)
{
	if (!list_empty(&pollee->link))
		return;
	list_add_tail(&ctx->pollees, &pollee->link);
	/* Pairs with rouse(), and with context_may_rest(): a loop that sleeps
	 * without a timer sets it. */
	if (!atomic_fetch_add(&ctx->n_pollees, 1))
		wakeups_drive(ctx->wakeups);
}

void pollee_del(struct context *ctx, struct pollee *pollee)
{
	if (list_empty(&pollee->link))
		return;
	list_del(&pollee->link);
	add_relaxed(&ctx->n_pollees, -1u);
}
