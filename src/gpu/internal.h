/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GPU_INTERNAL_H
#define GPU_INTERNAL_H

/*
 * A device in use, as the files of this folder share it.
 *
 *      set.c      which devices, whose memory
 *      gpu.c      open, close, failure, memory, counters
 *      slots.c    pinned slots
 *      jobs.c     jobs: from get to put
 *      orphans.c  jobs that nobody waits for
 *      launch.c   from submitted to started
 *
 * A job's way: IDLE -> (submit) SUBMITTED -> (flush) STARTED -> its flag has
 * its value. The owner of the job moves it to SUBMITTED and back to IDLE,
 * whoever holds launch_lock does the rest: to STARTED before the driver
 * knows of it, for a job that has been started may end, and belong to
 * somebody else, at any time; to REFUSED if the driver would not have it.
 */

#include <pthread.h>

#include "base/atomic.h"
#include "base/log.h"
#include "base/u64map.h"
#include "gpu/driver.h"
#include "gpu/stack.h"

#define GPU_FLAG_STRIDE 64 /* a cache line each: pollers do not disturb */
#define GPU_CAUSE_MAX 192

enum job_state {
	JOB_IDLE = 0,
	JOB_SUBMITTED,
	JOB_STARTED,
	JOB_REFUSED,
};

struct gpu_job {
	struct gpu *gpu;
	struct gpu_copy *copies;    /* pinned, GPU_COPIES_MAX of them */
	_Atomic uint64_t *flag;	    /* pinned; the device writes it */
	_Atomic uint64_t value;	    /* of this use; the owner writes it */
	uint64_t bytes;
	uint32_t n_copies;
	uint32_t n_queued; /* way engine: copies the driver has */
	uint32_t index;
	_Atomic uint32_t state;	    /* enum job_state */
	_Atomic uint64_t submitted_ticks, started_ticks;
	struct gpu_job *next;	    /* whoever holds the list it is on */
	_Atomic bool orphan;	    /* abandoned; set under orphan_lock */
	/* orphan_lock: put with it. NULL: none */
	void *slot;
	enum gpu_slot_use slot_use;
};

/* The free ones, in a ring: put at its end, got from one end or the other. */
struct gpu_rest;

struct gpu_slots {
	uint8_t *base;
	uint32_t n;
	pthread_mutex_t lock;
	/* lock */
	uint32_t *ring; /* n numbers */
	uint32_t first, n_free;
	struct gpu_rest *rests; /* n: those that rest, longest first */
	uint32_t first_rest;
	_Atomic uint32_t n_rests; /* may be read without it */
};

struct gpu_rest {
	uint32_t slot;
	uint64_t until_ns;
};

/* The job that ends last of a launch. */
struct gpu_last {
	_Atomic uint64_t *flag; /* NULL: none yet */
	uint64_t value;
};

/* Device memory that was given out. */
struct gpu_mem {
	void *base;		/* the driver's */
	uint64_t len_bytes;	/* as asked for */
};

struct gpu {
	const struct gpu_ops *ops;
	struct gpu_device *device;
	struct gpu_params params;
	uint32_t index;

	/* Failure: the first to claim it writes cause, then status. */
	_Atomic uint32_t failing;
	_Atomic int status;	/* TCPX_EGPU: nothing is started any more */
	_Atomic bool stopped;	/* and nothing runs any more */
	_Atomic bool hung;	/* or so we take it: jobs that were started and
				   have not ended stay what they are, with list,
				   flag and slot. Set before stopped */
	char cause[GPU_CAUSE_MAX];

	struct gpu_slots slots[2];
	void *slot_mem;
	uint64_t slot_mem_bytes;

	struct gpu_job *jobs;
	uint32_t n_jobs;
	struct stack free_jobs;
	pthread_mutex_t orphan_lock;
	_Atomic uint32_t n_orphans;
	void *job_mem;		/* pinned: flags, then copy lists */
	uint64_t job_mem_bytes;

	/* Jobs submitted and not yet seen by a flush, last first. */
	_Atomic(struct gpu_job *) submitted;
	_Atomic uint32_t launch_lock;
	/* launch_lock */
	struct gpu_job *backlog, **backlog_end;
	uint32_t next_stream;
	struct gpu_last last[GPU_STREAMS];
	bool resident;		/* since open */
	_Atomic uint32_t has_backlog; /* for a look without the lock */

	uint64_t ticks_per_ms;
	_Atomic uint64_t checked_ticks;

	_Atomic uint64_t n_jobs_started, n_launches, n_copies, n_bytes;
	_Atomic uint64_t device_bytes;
	pthread_mutex_t mem_lock;
	struct u64map mems;	/* mem_lock: address -> gpu_mem */
};

int gpu_open(const struct gpu_ops *ops, const struct gpu_params *params,
	     uint32_t index, struct gpu **gpu, char *why, size_t cap_bytes);
void gpu_close(struct gpu *gpu);
/* The device's end, once. stopped: nothing of ours runs on it any more. */
void gpu_fail(struct gpu *gpu, bool stopped, const char *cause);

/* It has ended, or will never run: nothing of it is touched any more. May be
 * false though gpu_job_poll() says TCPX_EGPU: see hung. */
bool gpu_job_is_over(struct gpu_job *job);
/* Puts one that is over. */
void gpu_job_put_now(struct gpu_job *job);
/* Puts what has ended of the abandoned; cheap when there are none. */
void gpu_orphans_reap(struct gpu *gpu);
/* Does an abandoned job still touch this slot? Then it is put later. */
bool gpu_orphans_keep(struct gpu *gpu, enum gpu_slot_use use, void *slot);
/* Puts it now, whoever touches it. */
void gpu_slot_put_now(struct gpu *gpu, enum gpu_slot_use use, void *slot);
void gpu_slot_rest_now(struct gpu *gpu, enum gpu_slot_use use, void *slot);

int gpu_slots_init(struct gpu *gpu);
void gpu_slots_fini(struct gpu *gpu, bool leak);
int gpu_jobs_init(struct gpu *gpu);
void gpu_jobs_fini(struct gpu *gpu, bool leak);
/* Jobs that the driver has and that have not ended. */
uint32_t gpu_jobs_running(struct gpu *gpu);

#endif
