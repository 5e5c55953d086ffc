/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GPU_CUDA_DEVICE_H
#define GPU_CUDA_DEVICE_H

/*
 * A CUDA device as the files of this folder share it.
 *
 *      api.c       the driver's calls, by dlopen
 *      classify.c  whose memory is it
 *      device.c    open, close, current context, failures
 *      launch.c    kernels, copies, events: what is queued
 *      memory.c    pinned, device and other processes' memory
 *      resident.c  the kernel that stays
 *      share.c     memory of others' allocation, to other processes
 *
 * The device's primary context is retained, which the runtime API, and so
 * every framework, uses too; each call makes it current for its duration.
 */

#include <pthread.h>

#include "base/atomic.h"
#include "base/log.h"
#include "gpu/cuda/api.h"
#include "gpu/driver.h"
#include "gpu/kernels/resident.h"

#define CUDA_CAUSE_MAX 224
#define CUDA_CAUSES 8

struct cuda_pinned;

struct gpu_device {
	uint32_t index;
	cuda_device device;
	struct CUctx_st *ctx;
	unsigned long long ctx_id; /* a handle may be another's, after a reset */
	const struct log *log;
	int numa_node;		/* -1: unknown */
	uint32_t max_blocks;	/* of ours at once on this device */

	struct CUmod_st *module;
	struct CUfunc_st *copy_kernel, *few_kernel, *resident_kernel;
	struct CUstream_st *streams[GPU_STREAMS];
	struct CUstream_st *side; /* copy_wait() */
	_Atomic bool no_stream_writes; /* kernels write all flags */
	_Atomic bool was_short; /* of memory, and has said so */
	_Atomic bool was_reset; /* nothing in the context is ours any more */

	/* A failure's words stay while the next few are written. */
	pthread_mutex_t lock;
	char causes[CUDA_CAUSES][CUDA_CAUSE_MAX]; /* lock */
	_Atomic uint32_t n_causes;
	struct cuda_pinned *pinned; /* lock */

	pthread_mutex_t resident_lock;
	/* resident_lock */
	struct resident_ring *ring;
	struct CUstream_st *resident_stream;
	uint64_t resident_head; /* the next position to fill */
	bool resident_failed; /* it is not started again */
	uint64_t idle_ns, stay_ns;
};

/* The context, and relaxed rules for stream captures: what we do on our own
 * streams must not end another thread's capture. */
struct cuda_scope {
	bool pushed, relaxed;
	int capture_mode;	/* the thread's own, while it is relaxed */
};

/* Makes the device current for this thread; always undone by cuda_leave().
 * TCPX_EGPU, too, if the program has reset the device: what has our context's
 * handle since then is another. */
int cuda_enter(struct gpu_device *device, struct cuda_scope *scope);
void cuda_leave(struct cuda_scope *scope);
/* Keeps the cause; TCPX_ENOMEM for lack of memory, TCPX_EGPU otherwise. */
int cuda_fail(struct gpu_device *device, const char *what, cuda_result rc);
/* Of a call that has queued nothing: TCPX_EAGAIN for lack of memory, which may
 * be there again soon. */
int cuda_queue_status(struct gpu_device *device, int rc);
/* Waits, at most timeout_ms, until the stream is empty. The device must be
 * current. 0, TCPX_ETIMEDOUT, TCPX_EGPU. */
int cuda_drain(struct gpu_device *device, struct CUstream_st *stream,
	       int timeout_ms);

int cuda_classify(const void *addr, uint64_t len_bytes, enum gpu_mem_kind *kind,
		  uint32_t *index, char *why, size_t cap_bytes);
/* How many of len_bytes from `at` on are of one allocation and one mapping; all
 * of them where the driver does not say. At least 1, of at least 1. */
uint64_t cuda_extent(uint64_t at, uint64_t len_bytes);

int cuda_pinned_alloc(struct gpu_device *device, size_t len_bytes, void **mem);
void cuda_pinned_free(struct gpu_device *device, void *mem);
bool cuda_pinned_has(struct gpu_device *device, uint64_t at);
void cuda_pinned_fini(struct gpu_device *device);
int cuda_mem_alloc(struct gpu_device *device, uint64_t len_bytes, void **mem);
void cuda_mem_free(struct gpu_device *device, void *mem);
int cuda_copy_wait(struct gpu_device *device, void *dst, const void *src,
		   uint64_t len_bytes);
/* The driver cuts smaller allocations out of pieces of this size. */
#define CUDA_PIECE_BYTES (2ul << 20)

int cuda_ipc_export(struct gpu_device *device, void *mem,
		    uint8_t handle[GPU_IPC_BYTES]);
int cuda_ipc_open(struct gpu_device *device,
		  const uint8_t handle[GPU_IPC_BYTES], void **mem);
void cuda_ipc_close(struct gpu_device *device, void *mem);
int cuda_share_export(struct gpu_device *device, const void *mem,
		      struct gpu_share *share, int *fd);
void cuda_share_of_fd(struct gpu_device *device, struct gpu_share *share);
int cuda_share_open(struct gpu_device *device, const struct gpu_share *share,
		    int fd, void **base);
void cuda_share_close(struct gpu_device *device, const struct gpu_share *share,
		      void *base);

int cuda_launch(struct gpu_device *device, uint32_t stream,
		const struct gpu_launch *launch);
int cuda_copy(struct gpu_device *device, uint32_t stream, uint64_t dst,
	      uint64_t src, uint64_t len_bytes, uint64_t flag, uint64_t value);

int cuda_event_passed(struct gpu_device *device, uintptr_t event);

int cuda_resident_start(struct gpu_device *device);
int cuda_resident_feed(struct gpu_device *device,
		       const struct gpu_launch *launch);
void cuda_resident_stop(struct gpu_device *device);
/* Starts it again if jobs wait and it is gone. */
int cuda_resident_check(struct gpu_device *device);
/* True: it is gone, or was never there. resident_lock is taken. */
bool cuda_resident_is_gone(struct gpu_device *device);

#endif
