/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_SAMPLES_H
#define TCPX_TOOL_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

/*
 * Times of single transfers. The memory is taken beforehand; once full, the
 * newest replace the oldest.
 */
struct samples {
	uint64_t *ns;
	size_t cap;
	uint64_t n_added;
};

int samples_init(struct samples *samples, size_t cap); /* 0 or -1 */
void samples_fini(struct samples *samples);
void samples_add(struct samples *samples, uint64_t ns);
void samples_reset(struct samples *samples);
/* The fraction-th (0 to 1) of the times in microseconds, 0 without any.
 * Sorts in place. */
double samples_percentile_us(struct samples *samples, double fraction);

/* Sorts in place; 0 for none. */
double median(double *values, size_t n);

/* CPU time of this process so far, user and system, all threads. */
uint64_t cpu_used_us(void);

#endif
