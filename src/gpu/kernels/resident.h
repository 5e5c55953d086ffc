/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GPU_KERNELS_RESIDENT_H
#define GPU_KERNELS_RESIDENT_H

/*
 * The kernel that stays: how the CPU hands it jobs, and how it goes.
 *
 *   CPU  entries[pos % N] = job, sealed for pos        (pinned memory)
 *   GPU  block 0 polls it; tiny jobs its first warp does at once, small ones
 *        the block, others all blocks
 *
 * An entry is read whole with each look, in one go, and is complete when its
 * seal fits all of its words and the position: one trip to host memory, where
 * "ready, then what is it" would be two. For the same reason the bytes of one
 * short copy from pinned memory come along.
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
#define RESIDENT_WORDS 16u	/* of an entry, the seal being the last */
#define RESIDENT_INLINE 3u	/* copies that fit into an entry */
#define RESIDENT_INLINE_BYTES 4096u /* and are moved by one warp at once */
#define RESIDENT_DATA_BYTES 64u	/* of a copy that fit themselves */
#define RESIDENT_DATA_WORD 7u	/* the first of them */

enum resident_state {
	RESIDENT_HERE = 0,
	RESIDENT_ASKING,
	RESIDENT_GONE,
};

/* Instead of where a job's copies are. */
enum resident_copies {
	RESIDENT_COPIES_HERE = 0, /* they are in the entry */
	RESIDENT_DATA_HERE, /* one is, and what it copies */
};

struct resident_entry {
	struct gpu_launch_job job;
	union {
		struct {
			struct gpu_copy copy;
			uint8_t data[RESIDENT_DATA_BYTES];
		};
		struct gpu_copy copies[RESIDENT_INLINE];
	};
	uint64_t seal;
};
_Static_assert(sizeof(struct resident_entry) == RESIDENT_WORDS * 8,
	       "read in one go");
_Static_assert(__builtin_offsetof(struct resident_entry, data) ==
		       RESIDENT_DATA_WORD * 8,
	       "the kernel has it a word a lane");

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

#ifdef __CUDA__
#define RESIDENT_FN static inline __attribute__((device, always_inline))
#else
#define RESIDENT_FN static inline
#endif

/* Word i's share of the seal; the seal is the sum of all but its own, with
 * the position + 1 as word RESIDENT_WORDS. */
RESIDENT_FN uint64_t resident_mix(uint64_t word, uint32_t i)
{
	uint64_t z = word + (i + 1) * 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

#endif
