/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GPU_KERNELS_RESIDENT_H
#define GPU_KERNELS_RESIDENT_H

/*
 * The kernel that stays: how the CPU hands it jobs, and how it goes.
 *
 *   CPU  entries[pos % N].job, then .seq = pos + 1     (pinned memory)
 *   GPU  block 0 polls .seq; small jobs it does itself, others all blocks do
 *
 * A job without a flag means: go. The kernel also goes by itself when nothing
 * came for idle_ns, or when it has been there for stay_ns and nothing waits,
 * so that whoever synchronises with the whole device is not held for ever.
 * Going by itself takes an agreement, because the CPU may be adding a job at
 * that moment (each side writes its word, then reads the other's):
 *
 *   GPU  state = ASKING, fence, is there an entry?  yes: HERE  no: GONE, pos
 *   CPU  entry, fence, state?  HERE: it will be seen
 *                              ASKING: look again, a few microseconds
 *                              GONE: start the kernel again, from pos
 */

#include "gpu/driver.h"

#define RESIDENT_BLOCKS 8u
#define RESIDENT_ENTRIES 256u

enum resident_state {
	RESIDENT_HERE = 0,
	RESIDENT_ASKING,
	RESIDENT_GONE,
};

struct resident_entry {
	struct gpu_launch_job job;
	uint64_t seq;		/* position + 1 once the job is complete */
	uint64_t zero[3];
};
_Static_assert(sizeof(struct resident_entry) == 64, "a cache line");

struct resident_ring {
	/* written by the GPU */
	uint64_t state;
	uint64_t taken;		/* positions before it are free again */
	uint64_t zero[14];
	/* written by the CPU */
	struct resident_entry entries[RESIDENT_ENTRIES];
};

struct resident_params {
	uint64_t ring;		/* of struct resident_ring, pinned */
	uint64_t pos;		/* where to begin */
	uint64_t idle_ns, stay_ns;
};

#endif
