/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GPU_HOST_STREAMS_H
#define GPU_HOST_STREAMS_H

/*
 * The streams of a pretend GPU: queues of tasks, each in its order, run by
 * two threads that take the next task of any stream, after a delay that only
 * the dice know. So work of different streams overlaps, and ends in any
 * order.
 */

#include <pthread.h>

#include "base/dice.h"
#include "gpu/driver.h"

#define STREAM_RESIDENT GPU_STREAMS	/* one more, for the kernel that stays */
#define STREAMS_RUNNERS 2

enum task_kind {
	TASK_LAUNCH = 0,
	TASK_COPY,
};

struct task {
	struct task *next;
	enum task_kind kind;
	bool hangs;		/* and the stream with it */
	bool breaks;		/* the device, when run */
	uint64_t ready_ns;	/* not before */
	uint64_t seed;
	union {
		struct gpu_launch launch;
		struct {
			uint64_t dst, src, len_bytes, flag, value;
		} copy;
	};
};

struct streams {
	pthread_mutex_t lock;	/* covers what follows */
	pthread_cond_t changed;
	struct {
		struct task *head, **tail;
		uint32_t n;
		bool busy;	/* a runner has its head */
	} queues[GPU_STREAMS + 1];
	struct dice dice;
	bool stop;

	uint64_t delay_ns;	/* at most, mostly */
	void (*run)(void *arg, struct task *task);
	void *arg;
	pthread_t runners[STREAMS_RUNNERS];
};

/* run is called by the threads of the streams, without the lock. */
int streams_start(struct streams *streams, uint64_t seed, uint64_t delay_ns,
		  void (*run)(void *arg, struct task *task), void *arg);
/* After the tasks that run now; those that do not yet are dropped. */
void streams_stop(struct streams *streams);
/* Is a task being run just now? */
bool streams_busy(struct streams *streams);
/* A task for the end of a stream; n_max: TCPX_EAGAIN if so many are there. */
int streams_add(struct streams *streams, uint32_t stream,
		const struct task *task, uint32_t n_max);

#endif
