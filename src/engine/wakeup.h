/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_WAKEUP_H
#define ENGINE_WAKEUP_H

/*
 * Descriptors that event loops of the program sleep on, in the place of a
 * thread in tcpx_xfer_wait(). Each loop has one of its own. What happens makes
 * those readable that are armed for it, once, until they are armed again:
 *
 *   loop                              who ends a transfer, puts a notification
 *   looks: nothing has happened       the status is stored, the inbox has it
 *   armed                             news + 1
 *   news since it was last armed?     armed for this? then it is not any more,
 *   no: sleeps                        and its eventfd is written
 *
 * in one order for all (seq_cst), so one of the two sees the other. Before the
 * first is opened, all of this is one look at `in_use`.
 *
 * Of a session without workers the loop is the driver, too. Then it sleeps on
 * a set of three, and is armed for WAKE_DRIVE besides:
 *
 *   epoll set of its own --+-- eventfd: news; a task has come (context_kick()),
 *                          |   or the first thing to poll (pollee_add())
 *                          +-- the context's set: its sockets are ready
 *                          '-- timer: things to poll are to be polled
 *
 * Threads: any. `lock` is a leaf.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <tcpx/p2p.h>

#include "base/atomic.h"
#include "base/list.h"

#define WAKE_KINDS 4 /* of enum tcpx_wake */
#define WAKE_DRIVE (1u << 31) /* somebody has to drive */

struct wakeup;

struct wakeups {
	_Atomic uint32_t in_use; /* one was opened, ever */
	_Atomic uint32_t armed;	/* kinds that any is armed for; written under
				   lock */
	int set_fd;		/* the epoll set that loops have to drive; -1:
				   workers do */
	pthread_mutex_t lock;
	struct list all;	/* lock */
	/* Of each kind how many; by whom a thing cannot be found again. */
	_Alignas(CACHE_LINE_BYTES) _Atomic uint64_t news[WAKE_KINDS];
};

void wakeups_init(struct wakeups *all);
/* Closes them all. Nothing happens any more. */
void wakeups_fini(struct wakeups *all);

/* One more, not armed; *fd: what the loop sleeps on. TCPX_ENOMEM,
 * TCPX_ENFILE. */
int wakeup_open(struct wakeups *all, int *fd);
/* NULL: none has that fd. */
struct wakeup *wakeup_find(struct wakeups *all, int fd);
/* For `wanted`, from enum tcpx_wake; no longer readable by what was before.
 * False: there is news since it was last armed, and it is not armed. */
bool wakeup_arm(struct wakeups *all, struct wakeup *wakeup, uint32_t wanted);
/* Its loop does not sleep after all. */
void wakeup_disarm(struct wakeups *all, struct wakeup *wakeup);
/* Readable after that, too; UINT64_MAX: not. Where the loop drives. */
void wakeup_after(struct wakeups *all, struct wakeup *wakeup, uint64_t nap_ns);

/* Those armed for one of these kinds become readable. */
void wakeups_ring(struct wakeups *all, uint32_t kinds);
void wakeups_count(struct wakeups *all, uint32_t kind);

/* Something of that kind has happened. What the loop will look at was stored
 * before, and a seq_cst fence or access came after. */
static inline void wakeups_tell(struct wakeups *all, uint32_t kind)
{
	if (load_relaxed(&all->in_use))
		wakeups_count(all, kind);
}

/* There is something to drive, said by a seq_cst store. */
static inline void wakeups_drive(struct wakeups *all)
{
	if (atomic_load(&all->armed) & WAKE_DRIVE)
		wakeups_ring(all, WAKE_DRIVE);
}

#endif
