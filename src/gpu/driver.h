/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GPU_DRIVER_H
#define GPU_DRIVER_H

/*
 * What a driver must be able to do. Two exist: cuda (libcuda by dlopen) and
 * host (a pretend GPU for machines without one). gpu.c and set.c do the rest
 * for both.
 *
 * Rules: current device and context of the calling thread are restored by
 * every call. launch and copy only queue; they never wait for the device.
 * Streams are our own, never the default one; GPU_STREAMS of them, and work
 * in different streams may run at once and in any order.
 */

#include "gpu/gpu.h"

#define GPU_STREAMS 2
#define GPU_JOBS_A_LAUNCH 32
/* Longer copies are cut into tiles of at most this, so that the lanes of a
 * launch have equal shares; cuts are where dst is a multiple of GPU_TILE_ALIGN. */
#define GPU_TILE_BYTES 4096
#define GPU_TILE_ALIGN 128

/* Read by the kernel from pinned memory: the layout is the kernel's too. */
struct gpu_copy {
	uint64_t src, dst;
	uint32_t len_bytes;
	uint32_t zero;
};
_Static_assert(sizeof(struct gpu_copy) == 24, "kernel's layout");

/* One job of a launch, by value in the kernel's parameters. */
struct gpu_launch_job {
	uint64_t copies;	/* of struct gpu_copy, pinned */
	uint64_t flag;		/* uint64_t, pinned */
	uint64_t value;		/* what is written there when all is done */
	uint32_t n_copies;
	uint32_t counter;	/* which of the device's GPU_COUNTERS */
};
_Static_assert(sizeof(struct gpu_launch_job) == 32, "kernel's layout");

struct gpu_launch {
	struct gpu_launch_job jobs[GPU_JOBS_A_LAUNCH];
	uint32_t n_jobs;
	uint32_t in_order; /* between host and device, whose way is narrower
			      than a kernel: the first job before the last */
};

#define GPU_COUNTERS 1024	/* jobs in flight at most */

enum gpu_mem_kind {
	GPU_MEM_HOST = 0,	/* ordinary, or pinned by anybody */
	GPU_MEM_DEVICE,
};

struct gpu_device;		/* the driver's */

struct gpu_ops {
	const char *name;
	/* So long without an answer means that none will come, if the params
	 * do not say; 0: 30 s, for a GPU may be busy with a program's own
	 * kernels. */
	uint32_t hang_ms;
	/* Has this process the driver in use already (so that a pointer could
	 * be a device's)? Loads nothing. */
	bool (*is_loaded)(void);
	/* Loads it. TCPX_EUNSUPPORTED with the reason in why. Idempotent. */
	int (*load)(char *why, size_t cap_bytes);
	/* 0 with the reason in why. */
	uint32_t (*count)(char *why, size_t cap_bytes);
	int (*info)(uint32_t index, struct gpu_info *info);
	/* Kind and device of a range; TCPX_EINVAL with why if it is not one
	 * kind of one device from end to end, or cannot be used; TCPX_EGPU if
	 * it is not the CPU's, and a failed driver does not say whose. */
	int (*classify)(const void *addr, uint64_t len_bytes,
			enum gpu_mem_kind *kind, uint32_t *index, char *why,
			size_t cap_bytes);

	int (*open)(uint32_t index, const struct gpu_params *params,
		    struct gpu_device **device, char *why, size_t cap_bytes);
	/* Waits (bounded) until nothing of ours runs. */
	void (*close)(struct gpu_device *device);

	int (*pinned_alloc)(struct gpu_device *device, size_t len_bytes,
			    void **mem); /* zeroed; the same address for all */
	void (*pinned_free)(struct gpu_device *device, void *mem);
	int (*mem_alloc)(struct gpu_device *device, uint64_t len_bytes,
			 void **mem);
	void (*mem_free)(struct gpu_device *device, void *mem);
	int (*copy_wait)(struct gpu_device *device, void *dst, const void *src,
			 uint64_t len_bytes);
	int (*ipc_export)(struct gpu_device *device, void *mem,
			  uint8_t handle[GPU_IPC_BYTES]);
	int (*ipc_open)(struct gpu_device *device,
			const uint8_t handle[GPU_IPC_BYTES], void **mem);
	void (*ipc_close)(struct gpu_device *device, void *mem);
	/* As gpu_share_export(). open gives, and close takes, the base of all
	 * that the handle opens; its length is share's. */
	int (*share_export)(struct gpu_device *device, const void *mem,
			    struct gpu_share *share, int *fd);
	/* Kind and handle of what a descriptor alone says. */
	void (*share_of_fd)(struct gpu_device *device, struct gpu_share *share);
	int (*share_open)(struct gpu_device *device,
			  const struct gpu_share *share, int fd, void **base);
	void (*share_close)(struct gpu_device *device,
			    const struct gpu_share *share, void *base);

	/* One kernel for all of launch's jobs, of which some may have no
	 * copies. launch is copied. Of launch, copy and resident_feed:
	 * TCPX_EAGAIN: nothing was queued, try again; any other failure is
	 * the end of this device, with nothing of this call queued, or, of
	 * TCPX_INPROGRESS, with a part that may yet be under way. */
	int (*launch)(struct gpu_device *device, uint32_t stream,
		      const struct gpu_launch *launch);
	/* The copy engine: one copy, of 0 bytes too; flag 0 or where value is
	 * written behind it. */
	int (*copy)(struct gpu_device *device, uint32_t stream, uint64_t dst,
		    uint64_t src, uint64_t len_bytes, uint64_t flag,
		    uint64_t value);
	/* Has a foreign event passed? Asks, and never waits. 0; TCPX_INPROGRESS;
	 * TCPX_EINVAL: there is no such event, or it was recorded in a stream
	 * under capture, and the device is none the worse; TCPX_EGPU. */
	int (*event_passed)(struct gpu_device *device, uintptr_t event);
	/* 0, or TCPX_EGPU if the device has failed, and nothing of ours runs
	 * on it any more; asks the driver. */
	int (*check)(struct gpu_device *device);
	/* The last failure in the driver's words: "CUDA_ERROR_..: ..". */
	const char *(*cause)(struct gpu_device *device);
	/* A kernel that stays: started, fed through a ring in pinned memory,
	 * stopped. NULL if the driver has none. feed: TCPX_EAGAIN, the ring is
	 * full. */
	int (*resident_start)(struct gpu_device *device);
	int (*resident_feed)(struct gpu_device *device,
			     const struct gpu_launch *launch);
	void (*resident_stop)(struct gpu_device *device);
};

extern const struct gpu_ops gpu_cuda_ops, gpu_host_ops;

#endif
