/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_GPU_FIXTURE_H
#define TESTS_GPU_FIXTURE_H

/*
 * A pretend GPU for a test, and device memory that is filled and checked
 * with the patterns of tests/support. What fails here ends the case.
 */

#include "check.h"
#include "gpu/gpu.h"
#include "gpu/host/host.h"
#include "support/pattern.h"

struct fixture {
	struct gpu_set *set;
	struct gpu *gpu;
	uint32_t n_errors; /* lines of level error */
	char line[256];	   /* the last of them */
};

/* What a test wants other than usual; zero: the usual. */
struct fixture_wish {
	uint32_t index, slot_bytes, n_slots, hang_ms;
	enum gpu_copy_way way;
	bool resident;
};

/* driver "host", or TEST_GPU_DRIVER. NULL: no wishes. */
void fixture_open(struct fixture *fixture, const struct fixture_wish *wish);
void fixture_close(struct fixture *fixture);

void *fixture_alloc(struct fixture *fixture, uint64_t len_bytes);
void fixture_fill(struct fixture *fixture, void *mem, uint64_t len_bytes,
		  uint64_t seed);
/* A copy of what is there; free() it. */
uint8_t *fixture_read(struct fixture *fixture, const void *mem,
		      uint64_t len_bytes);
void fixture_check(struct fixture *fixture, const void *mem, uint64_t len_bytes,
		   uint64_t seed);

/* One that must be there: all tests put theirs back. */
struct gpu_job *fixture_job(struct fixture *fixture);
void *fixture_slot(struct fixture *fixture, enum gpu_slot_use use);
/* Until it has ended: its status. Puts it. */
int fixture_wait(struct gpu_job *job);
/* submit, flush, wait, put. */
int fixture_run(struct fixture *fixture, struct gpu_job *job);
/* One copy, as a job. */
int fixture_copy(struct fixture *fixture, void *dst, const void *src,
		 uint64_t len_bytes);

#endif
