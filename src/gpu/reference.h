/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GPU_REFERENCE_H
#define GPU_REFERENCE_H

/*
 * What a launch does, said in the plainest way: the reference that kernels
 * are held against, and what the pretend GPU runs.
 */

#include "base/dice.h"
#include "gpu/driver.h"

enum gpu_touch { GPU_TOUCH_READ = 0, GPU_TOUCH_WRITE };

struct gpu_reference {
	/* Where the CPU may touch [addr, addr + len); NULL: the device must
	 * not, and the launch ends there. */
	void *(*at)(void *arg, uint64_t addr, uint64_t len_bytes,
		    enum gpu_touch touch);
	void *arg;
	/* Jobs, and the copies of a job, in any order; NULL: in theirs. */
	struct dice *dice;
	/* Now and then: by the lanes of the kernel; and rubbish in the
	 * destination first, for those who do not wait. */
	bool lanes, rubbish;
};

/* 0, or TCPX_EGPU with nothing behind the forbidden access done. */
int gpu_reference_run(const struct gpu_reference *reference,
		      const struct gpu_launch *launch);

#endif
