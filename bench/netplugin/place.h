/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_NETPLUGIN_PLACE_H
#define BENCH_NETPLUGIN_PLACE_H

/*
 * Where received chunks are put together: host memory, by the CPU and at once,
 * or a GPU's, by a job each. The same for the bare loop and ours.
 *
 *   place_begin -> place_add ... -> place_end -> place_flush
 *                                               ... place_done until true
 */

#include <stdbool.h>
#include <stdint.h>

struct gpu;
struct gpu_job;
struct gpu_set;

/* driver: of src/gpu; NULL: host memory. Once a process. */
void place_open(const char *driver);
struct gpu_set *place_gpus(void);
struct gpu *place_gpu(void);
/* Page-aligned, to send from. */
uint8_t *place_alloc(uint64_t len_bytes);
/* From there, and waits. */
void place_read(void *to, const void *from, uint64_t len_bytes);

/* false: no job is free now. *job: NULL for host memory. */
bool place_begin(struct gpu_job **job);
void place_add(struct gpu_job *job, uint64_t dst_off, const uint8_t *src,
	       uint32_t len_bytes);
/* n_copies: of host memory, one more from there. */
void place_end(struct gpu_job *job, unsigned n_copies);
void place_flush(void);
/* true, once: it has ended. */
bool place_done(struct gpu_job *job);

#endif
