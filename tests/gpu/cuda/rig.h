/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_GPU_CUDA_RIG_H
#define TESTS_GPU_CUDA_RIG_H

/*
 * A real device as tests want it: opened, or the case is skipped; and those
 * calls of libcuda that only a program makes (streams, events, kernels,
 * memory of all kinds), so that tests can be one.
 */

#include <tcpx/status.h>

#include "check.h"
#include "gpu/cuda/api.h"
#include "gpu/driver.h"

/* CUmemAllocationProp and CUmemAccessDesc, as far as we need them. */
struct rig_mem_prop {
	int type, handle_types;
	int location_type, location_id;
	void *unused;
	uint8_t flags[8];
};
_Static_assert(sizeof(struct rig_mem_prop) == 32, "CUmemAllocationProp");

struct rig_mem_access {
	int location_type, location_id, flags;
};

struct rig_pool_props {
	int alloc_type, handle_types;
	int location_type, location_id;
	uint8_t zero[96];
};

#define RIG_DRIVER_MAP(X)                                                      \
	X(ctx_create, "cuCtxCreate_v2",                                        \
	  (struct CUctx_st * *ctx, unsigned flags, cuda_device device))        \
	X(ctx_destroy, "cuCtxDestroy_v2", (struct CUctx_st * ctx))             \
	X(ctx_current, "cuCtxGetCurrent", (struct CUctx_st * *ctx))            \
	X(ctx_sync, "cuCtxSynchronize", (void))                                \
	X(stream_sync, "cuStreamSynchronize", (struct CUstream_st * stream))   \
	X(stream_wait_value, "cuStreamWaitValue64_v2",                         \
	  (struct CUstream_st * stream, cuda_ptr at, uint64_t value,           \
	   unsigned flags))                                                    \
	X(capture_begin, "cuStreamBeginCapture_v2",                            \
	  (struct CUstream_st * stream, int mode))                             \
	X(capture_end, "cuStreamEndCapture",                                   \
	  (struct CUstream_st * stream, void **graph))                         \
	X(event_create, "cuEventCreate",                                       \
	  (struct CUevent_st * *event, unsigned flags))                        \
	X(event_record, "cuEventRecord",                                       \
	  (struct CUevent_st * event, struct CUstream_st * stream))            \
	X(event_destroy, "cuEventDestroy_v2", (struct CUevent_st * event))     \
	X(managed_alloc, "cuMemAllocManaged",                                  \
	  (cuda_ptr * mem, size_t len_bytes, unsigned flags))                  \
	X(pool_alloc, "cuMemAllocAsync",                                       \
	  (cuda_ptr * mem, size_t len_bytes, struct CUstream_st * stream))     \
	X(pool_free, "cuMemFreeAsync",                                         \
	  (cuda_ptr mem, struct CUstream_st * stream))                         \
	X(reserve, "cuMemAddressReserve",                                      \
	  (cuda_ptr * at, size_t len_bytes, size_t align, cuda_ptr hint,       \
	   unsigned long long flags))                                          \
	X(create, "cuMemCreate",                                               \
	  (unsigned long long *piece, size_t len_bytes,                        \
	   const struct rig_mem_prop *prop, unsigned long long flags))         \
	X(map, "cuMemMap",                                                     \
	  (cuda_ptr at, size_t len_bytes, size_t off,                          \
	   unsigned long long piece, unsigned long long flags))                \
	X(unmap, "cuMemUnmap", (cuda_ptr at, size_t len_bytes))                \
	X(set_access, "cuMemSetAccess",                                        \
	  (cuda_ptr at, size_t len_bytes, const struct rig_mem_access *access, \
	   size_t n))

struct rig_driver {
#define X(field, symbol, args) cuda_result(*field) args;
	RIG_DRIVER_MAP(X)
#undef X
};
extern struct rig_driver rig_driver;

struct rig {
	struct gpu_set *set;
	struct gpu *gpu;
	struct CUctx_st *ctx;	/* the primary one, current in this thread */
	struct CUstream_st *stream; /* the program's */
	struct CUfunc_st *mismatches, *touch;
};

/* SKIPs the case without a device. more: NULL, or what differs. */
void rig_open(struct rig *rig, const struct gpu_params *more);
void rig_close(struct rig *rig);

/* Ends the case when the driver says no. */
#define RIG_DO(call) rig_do(call, #call, CHECK_AT)
void rig_do(cuda_result rc, const char *what, const char *file, int line);

/* Submits, flushes, waits for the end with a deadline, puts. */
int rig_run(struct rig *rig, struct gpu_job *job);
int rig_wait(struct gpu_job *job);

/* The pattern that the program's kernel looks for. */
void rig_fill(uint32_t *words, uint32_t n_words, uint32_t seed);
/* How many words of device memory differ from it, counted by a kernel in the
 * program's own stream. */
uint32_t rig_mismatches(struct rig *rig, void *mem, uint32_t n_words,
			uint32_t seed);
/* Starts a kernel that writes to an address (and fails, if it is none). */
void rig_touch(struct rig *rig, uint64_t at);

#endif
