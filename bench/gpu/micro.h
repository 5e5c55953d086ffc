/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_GPU_MICRO_H
#define BENCH_GPU_MICRO_H

/* What one GPU does for us, without any network: the parts of gpu_micro. Each
 * prints its members of one JSON object, with a comma behind each. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "gpu/gpu.h"

struct micro {
	const char *driver;	/* "cuda", or "host" to try the program itself */
	uint32_t device;
	uint32_t rounds;
	bool quick;
};

/* Kernels against the device's own copy: only with the driver "cuda". */
void micro_unpack(const struct micro *micro);
/* Pinned memory <-> device, by jobs of several sizes and numbers. */
void micro_staging(const struct micro *micro);
/* From flush to flag. */
void micro_latency(const struct micro *micro);
void micro_reach(const struct micro *micro);

uint64_t micro_now_ns(void);
uint64_t micro_rand(uint64_t *state);
double micro_median(double *values, uint32_t n);
/* Ends the program with the words. */
void micro_die(const char *what, const char *why);
/* Opens the device; params NULL: defaults. */
struct gpu *micro_open(const struct micro *micro,
		       const struct gpu_params *params, struct gpu_set **set);
/* Polls to the end, or ends the program. */
void micro_finish(struct gpu *gpu, struct gpu_job *job);

#endif
