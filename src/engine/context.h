/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_CONTEXT_H
#define ENGINE_CONTEXT_H

/*
 * A context is what one thread at a time drives: an epoll set, the lanes and
 * control connections that live there, and a queue of tasks from elsewhere.
 * Who drives it is its owner: the worker thread, or a caller that waits and
 * took the worker's place. Ownership is one flag, never held while asleep:
 *
 *       worker                               caller in tcpx_xfer_wait()
 *   own, pass, pass ... nothing to do
 *   release, sleep in epoll  ----------->    own, pass, pass, ... done
 *        |  (woken by the same event)                 release, return
 *   callers are here: nap on `handoff`  <---- a long or unfinished stay wakes
 *   nobody came for 100 us: own, pass         it, a short one does not
 *
 * so a thread that waits does the work itself, without a switch, and nobody
 * fights it for its core. Of several that wait for transfers one leads, that
 * is, sleeps in epoll between its passes; the others sleep on `seq`, and one of
 * them leads when it leaves. Lock order: ownership, then a peer's lock, then
 * leaf locks. Nothing sleeps while it owns.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/list.h"

struct context;
struct wakeups;

/*
 * How often callers that poll for the same thing come to work themselves.
 * Written at their visits only and on a cache line of its own: a poll in
 * between reads what no worker writes, whatever the workers are doing.
 */
struct pace {
	_Alignas(CACHE_LINE_BYTES) _Atomic uint64_t visit_ticks;
	_Atomic uint64_t lucky_ticks;	/* of the last that found work */
	_Atomic uint32_t turn;		/* whom to visit next */
};

/* A file descriptor in a context's epoll set. Owner's. */
struct source {
	int fd;			/* -1: not in the set */
	uint32_t armed;		/* epoll events asked for; UINT32_MAX: not in
				   the set yet */
	bool eager;		/* a try when it is not ready costs little */
	/* events 0: nobody said that it is ready, it was tried on the chance.
	 * Returns whether anything came. */
	bool (*ready)(struct source *source, uint32_t events);
};

/* Work handed over from any thread; runs in a pass, once for each time it
 * was idle when submitted. */
struct task {
	struct list link;
	_Atomic bool queued;	/* written under tasks_lock */
	void (*run)(struct task *task);
};

/* Something polled in every pass while it is on the list. Owner's. */
struct pollee {
	struct list link;
	/* Returns whether anything moved. */
	bool (*poll)(struct pollee *pollee);
};

#define CONTEXT_SCRATCH_BYTES (512u * 1024)

struct context {
	_Atomic uint32_t owned;
	_Atomic uint32_t wanted;	/* threads in context_enter(), or between
					   context_want() and the entry */
	_Atomic uint32_t sleepers;	/* threads in epoll_wait() */
	_Atomic uint32_t long_sleepers;	/* of them, those that know of nothing
					   to poll */
	_Atomic uint32_t kicked;	/* a task came, or somebody shouts */
	_Atomic uint32_t n_callers;	/* callers inside context_drive() */
	_Atomic uint32_t n_long;	/* of them, those that will wake the
					   worker when they leave */
	_Atomic uint32_t handoff;	/* futex the worker naps on */
	_Atomic uint32_t napping;	/* it does */
	_Atomic uint32_t seq;		/* futex of callers that cannot own */
	_Atomic uint32_t seq_waiters;
	_Atomic uint32_t led;		/* one of those who wait here sleeps in
					   epoll_wait(), or drives */
	_Atomic uint32_t n_watchers;	/* callers in epoll_wait() */
	_Atomic uint32_t calls;		/* counts context_call() */
	_Atomic uint64_t visited_ns;	/* a caller's last pass, or knock */
	_Atomic uint32_t stop;
	_Atomic uint32_t worked;	/* counts passes that did something */
	_Atomic uint32_t n_homes;	/* control connections that live here */
	_Atomic uint32_t departures;	/* sources that have left; the owner's */
	_Atomic uint32_t n_pollees;	/* length of pollees, for sleepers */
	_Atomic uint64_t nap_ns;	/* of who polls in vain */
	_Atomic uint32_t n_hot;		/* things that end within microseconds */
	_Atomic uint32_t has_woken;	/* callers, since the owner last made
					   room for them */
	_Atomic uint32_t n_inbound;	/* transfers whose bytes are to come by
					   a lane: it is asked in every pass */

	/* Callers' who poll and find it owned; the owner only looks at
	 * knocks. */
	_Alignas(CACHE_LINE_BYTES) _Atomic uint64_t refused_ticks; /* last */
	_Atomic uint64_t since_ticks;	/* without a pause; 0: not */
	_Atomic uint32_t knocks;

	_Alignas(CACHE_LINE_BYTES) int epfd;
	int wake_fd;
	struct wakeups *wakeups;	/* the program's loops are told by it */
	uint32_t index;
	uint32_t busy_poll_us;
	uint32_t stream_poll_us;	/* spun for what has lately come in gaps
					   no longer than this */
	pthread_t thread;
	bool has_thread;

	pthread_mutex_t tasks_lock;
	struct list tasks;		/* tasks_lock */

	/* the owner's */
	uint64_t moved_ticks;		/* when something last moved */
	uint32_t spin_us;		/* looked in vain before a sleep */
	struct list pollees;
	struct source *lively;	/* the only one that was ready last, or NULL */
	uint32_t tries;		/* passes; one in some asks the whole set */
	uint32_t heard;		/* of calls: by all that were asleep then */
	uint8_t *scratch;		/* CONTEXT_SCRATCH_BYTES for control
					   messages that come in, and for lists
					   that go out; never across both */

	struct pace pace;	/* of callers that test a transfer */
};

int context_init(struct context *ctx, uint32_t index, struct wakeups *wakeups,
		 uint32_t busy_poll_us, uint32_t stream_poll_us);
int context_start_worker(struct context *ctx);
/* Ends and joins the worker. */
void context_stop_worker(struct context *ctx);
void context_fini(struct context *ctx);

/* ---- ownership -------------------------------------------------------- */

bool context_try_own(struct context *ctx);
void context_release(struct context *ctx);
/* For threads that need it whatever happens: the owner steps aside after its
 * pass (well under a millisecond). Pair with context_release(). */
void context_enter(struct context *ctx);
/* The same in steps, for who needs several: first all are asked to let go,
 * then each is entered as soon as it has. */
void context_want(struct context *ctx);
/* Whether it has been entered; else, and until it has, call context_unwant()
 * or try again, with a pause. */
bool context_try_enter(struct context *ctx);
void context_unwant(struct context *ctx);
void context_pause(uint32_t tries);
/* The owner's, in a pass: somebody is in context_enter(), so what can wait for
 * the next pass does. */
static inline bool context_is_wanted(struct context *ctx)
{
	return load_relaxed(&ctx->wanted);
}

/* One round, by the owner: tasks, ready sources, pollees. Whether anything
 * was done. */
bool context_pass(struct context *ctx);

/*
 * Drives (or waits for who drives) until done(arg), or deadline_ns. done is
 * called with and without ownership. Returns 0 or TCPX_ETIMEDOUT.
 */
int context_drive(struct context *ctx, bool (*done)(void *arg), void *arg,
		  uint64_t deadline_ns);
/* The same for what may happen elsewhere: context_call() wakes it. */
int context_watch(struct context *ctx, bool (*done)(void *arg), void *arg,
		  uint64_t deadline_ns);
/* One pass if nobody drives. Whether anything was done. */
bool context_visit(struct context *ctx);
/* The same at most every few microseconds, for callers that poll. */
void context_visit_now_and_then(struct context *ctx);
/* Is a visit due? If so, the next one is not for a while. */
bool pace_is_due(struct pace *pace);
/* It is: pays it. */
void context_visit_paced(struct context *ctx, struct pace *pace);

/* An event loop of the program's is about to sleep, and will not drive: the
 * worker that stays away from who polls comes back. */
void context_hand_over(struct context *ctx);
/* The same where loops drive. False: there is something to do now; else
 * *nap_ns is when there is something to poll (UINT64_MAX: nothing). */
bool context_may_rest(struct context *ctx, uint64_t *nap_ns);

/* ---- from any thread -------------------------------------------------- */

/* Runs task soon, waking a sleeper if all are asleep. */
void context_submit(struct context *ctx, struct task *task);
/* What submitting looks at is fetched into the cache. */
static inline void context_warm_up(const struct context *ctx)
{
	__builtin_prefetch(&ctx->sleepers, 1);
	__builtin_prefetch(&ctx->tasks_lock, 1);
	__builtin_prefetch(&ctx->tasks, 1);
}
/* Makes sleepers look again. */
void context_kick(struct context *ctx);
/* Something a caller may wait for has happened. */
void context_announce(struct context *ctx);
/* A transfer of this context's has ended: who waits for it in context_drive()
 * looks, also one that sleeps in the set, from which another has taken what
 * would have woken it. */
void context_announce_end(struct context *ctx);
/* Something those in context_watch() may wait for has happened. */
void context_call(struct context *ctx);
/* The same for who has said so by a seq_cst store that their done() reads so:
 * it costs nothing while none of them is asleep. */
void context_call_sleepers(struct context *ctx);
/* The owner's, without a lock: those just woken may have the CPU. */
void context_breathe(struct context *ctx);

/* ---- the owner's ------------------------------------------------------ */

int source_arm(struct context *ctx, struct source *source, uint32_t events);
/* Out of the set; does not close the fd. The struct must stay until the next
 * pass (free it from a task). */
void source_disarm(struct context *ctx, struct source *source);
/* Polled in every pass from now on / no longer. Idempotent. */
void pollee_add(struct context *ctx, struct pollee *pollee);
void pollee_del(struct context *ctx, struct pollee *pollee);

#endif
