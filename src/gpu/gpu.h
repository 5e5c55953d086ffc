/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GPU_GPU_H
#define GPU_GPU_H

/*
 * Device memory, as the engine and the transports see it. One kind of work is
 * done on a GPU: lists of copies (source, destination, length), where either
 * side may be device memory or pinned host memory. Gather, scatter and unpack
 * are such lists; who makes the list decides.
 *
 *   gpu_job_get -> gpu_job_add ... -> gpu_job_submit -> gpu_flush
 *                                           ... gpu_job_poll until not
 *                                           TCPX_INPROGRESS -> gpu_job_put
 *
 * A flush starts one kernel for all jobs submitted so far, by whichever
 * thread; the kernel writes a flag in pinned memory when the bytes of a job
 * are visible to the whole system, and that flag is all that polling reads:
 * the driver is asked only when a flag is long overdue.
 *
 *      struct gpu_set     what a session has of GPUs (set.c)
 *      struct gpu         a device in use: slots, jobs, launches (gpu.c)
 *      struct gpu_ops     what a driver can do (driver.h): cuda/, host/
 *
 * Threads: everything from any thread; nothing here waits for a device,
 * except open and close (bounded).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log;
struct gpu;
struct gpu_job;
struct gpu_set;

#define GPU_DEVICES_MAX 64
#define GPU_NAME_MAX 64
#define GPU_PCI_MAX 16		/* "0000:1b:00.0" */
#define GPU_PAGE 4096u
#define GPU_IPC_BYTES 64
#define GPU_COPIES_MAX 4096	/* of one job */

struct gpu_info {
	char name[GPU_NAME_MAX];
	char pci[GPU_PCI_MAX];
	char driver[GPU_NAME_MAX]; /* "cuda 13.0", "host" */
	uint64_t mem_bytes;
	uint32_t copy_engines;
	uint32_t major, minor;	/* compute capability */
};

enum gpu_copy_way {
	GPU_COPY_KERNEL = 0,	/* our kernel; gathers and scatters on the way */
	GPU_COPY_ENGINE,	/* the copy engines, a call a piece */
};

struct gpu_params {
	const struct log *log;
	uint32_t slot_bytes;	/* of each slot */
	uint32_t n_slots;	/* at most, half of them to send from */
	enum gpu_copy_way way;
	bool resident;		/* a kernel that stays and polls for jobs */
	uint32_t resident_idle_us; /* it goes after so long without a job,
				 * until the next one; 0: 10 ms */
	uint64_t seed;		/* for the pretend GPU's dice */
	uint32_t hang_ms;	/* no answer for this long: the device has
				 * failed; 0: as the driver thinks */
};

/* ---- a session's GPUs ------------------------------------------------- */

/*
 * driver: "auto" (cuda, if this process has it loaded or gpu_set_count() is
 * asked; the pretend one never), "cuda", "host" (the pretend GPU) or "off".
 * Touches no device yet. Returns 0, TCPX_EINVAL, TCPX_ENOMEM.
 */
int gpu_set_create(const char *driver, const struct gpu_params *params,
		   struct gpu_set **set);
/* The drivers' names in turn; NULL behind the last. */
const char *gpu_driver_name(uint32_t i);
/* No job is in flight any more. NULL is allowed. */
void gpu_set_destroy(struct gpu_set *set);
/* How many devices there are; 0 with the reason in why. Loads the driver. */
uint32_t gpu_set_count(struct gpu_set *set, char *why, size_t cap_bytes);
int gpu_set_info(struct gpu_set *set, uint32_t index, struct gpu_info *info);
/*
 * Whose memory is [addr, addr + len_bytes)? Host memory gives 0 and *gpu NULL
 * and asks no driver that this process has not loaded. Device memory opens
 * its device (takes its time, once). TCPX_EINVAL: not one device's memory
 * from end to end, or of a kind that cannot be used, in words in why.
 * TCPX_EUNSUPPORTED: a driver is in this process that cannot be used, or is
 * switched off, and the CPU cannot read there. TCPX_EGPU: a device's that has
 * failed.
 */
int gpu_set_find(struct gpu_set *set, const void *addr, uint64_t len_bytes,
		 struct gpu **gpu, char *why, size_t cap_bytes);
/* The device, opened. */
int gpu_set_open(struct gpu_set *set, uint32_t index, struct gpu **gpu,
		 char *why, size_t cap_bytes);

/* The device if it is open, else NULL. */
struct gpu *gpu_set_opened(struct gpu_set *set, uint32_t index);

/* Device memory of our own, from the beginning of a page of GPU_PAGE on: for
 * transports, tools and tests. */
int gpu_mem_alloc(struct gpu *gpu, uint64_t len_bytes, void **mem);
void gpu_mem_free(struct gpu *gpu, void *mem);
/* Copies between any memories and waits; for tools and tests only. */
int gpu_copy_wait(struct gpu *gpu, void *dst, const void *src,
		  uint64_t len_bytes);
/* A handle another process of this host can open the memory by. */
int gpu_ipc_export(struct gpu *gpu, void *mem, uint8_t handle[GPU_IPC_BYTES]);
int gpu_ipc_open(struct gpu *gpu, const uint8_t handle[GPU_IPC_BYTES],
		 void **mem);
void gpu_ipc_close(struct gpu *gpu, void *mem);

/*
 * The same for memory that somebody else in this process has allocated, in
 * whatever way: from mem on, which may be anywhere in an allocation, as far as
 * that goes. All of the allocation is opened over there.
 */
struct gpu_share {
	uint8_t handle[GPU_IPC_BYTES];
	uint32_t kind; /* the driver's; some need a descriptor */
	uint32_t zero;
	uint64_t off; /* of mem, in what is opened */
	uint64_t all_bytes; /* what is opened */
};
/* *fd: a descriptor that must travel along, the caller's to close; -1: none.
 * TCPX_EUNSUPPORTED: this memory cannot be shared; off and all_bytes are what
 * they would be, all_bytes 0 where that is not known. No failure is the
 * device's. */
int gpu_share_export(struct gpu *gpu, const void *mem, struct gpu_share *share,
		     int *fd);
/* Borrows fd. *mem: where the exporter's is. TCPX_EUNSUPPORTED: it cannot be
 * opened here. The memory stays, for who has it open, when its owner is gone,
 * but what it held there may be somebody else's by then. */
int gpu_share_open(struct gpu *gpu, const struct gpu_share *share, int fd,
		   void **mem);
/* For a descriptor that somebody else has exported: what gpu_share_open() opens
 * with it, all of its len_bytes. */
void gpu_share_of_fd(struct gpu *gpu, uint64_t len_bytes,
		     struct gpu_share *share);
/* No job uses it any more. share, mem: as they were. */
void gpu_share_close(struct gpu *gpu, const struct gpu_share *share, void *mem);

/* ---- a device --------------------------------------------------------- */

uint32_t gpu_index(const struct gpu *gpu);
/* 0, or why the device cannot be used any more (sticky): TCPX_EGPU, with the
 * driver's name for it in gpu_cause(). */
int gpu_status(const struct gpu *gpu);
const char *gpu_cause(const struct gpu *gpu);

/* Pinned host memory, slot_bytes long, that CPU and every GPU can reach at
 * the same address. Senders and receivers have quotas of their own, so that
 * neither starves the other. TCPX_EAGAIN: all are in use. */
enum gpu_slot_use { GPU_SLOT_SEND = 0, GPU_SLOT_RECEIVE };
int gpu_slot_get(struct gpu *gpu, enum gpu_slot_use use, void **slot);
void gpu_slot_put(struct gpu *gpu, enum gpu_slot_use use, void *slot);
/* The same, but it is nobody's for a second: somebody may yet read what is in
 * it. */
void gpu_slot_rest(struct gpu *gpu, enum gpu_slot_use use, void *slot);
uint32_t gpu_slot_bytes(const struct gpu *gpu);

/* ---- jobs ------------------------------------------------------------- */

/* NULL: all are in use, try again. */
struct gpu_job *gpu_job_get(struct gpu *gpu);
/* false: the job is full (GPU_COPIES_MAX, long runs count as several), and
 * nothing was added. Copies of one job must not overlap each other. */
bool gpu_job_add(struct gpu_job *job, void *dst, const void *src,
		 uint64_t len_bytes);
/* Hands it over; started by the next gpu_flush() of anybody. An empty job is
 * legal. */
void gpu_job_submit(struct gpu_job *job);
/* Starts what is submitted. Never waits: if another thread is at it, that
 * one takes these along. */
void gpu_flush(struct gpu *gpu);
/* TCPX_INPROGRESS; 0: the bytes are visible to all; TCPX_EGPU: the device
 * failed, and touches nothing of it any more; or it was given up because it
 * does not answer (hang_ms), and what it will yet touch nobody knows. */
int gpu_job_poll(struct gpu_job *job);
/* Waits until every job submitted so far, by anybody, has ended, or the device
 * has failed. TCPX_EGPU: it was given up, and may yet run some of them. */
int gpu_settle(struct gpu *gpu);
/* One never submitted, or one that has ended, well or not. One that a device
 * that was given up may yet run stays with its list, flag and slot, put
 * meanwhile, until it has run, if it ever does. */
void gpu_job_put(struct gpu_job *job);
/*
 * Nobody waits for it any more, though it may yet touch its memory: it is put
 * when it has ended, and so is a slot of its, put meanwhile. What has not been
 * started will not be. gpu_settle() waits for it all the same.
 */
void gpu_job_abandon(struct gpu_job *job);

/* ---- events ------------------------------------------------------------ */

/*
 * Has the caller's producer passed this event (a CUevent, of whatever device),
 * so that what it has made may be read? Asks the driver, and never waits.
 * Returns 0; TCPX_INPROGRESS; TCPX_EINVAL (no event, or one recorded in a
 * stream under capture, which that ends: the log says; the device is none the
 * worse); TCPX_EGPU.
 */
int gpu_event_passed(struct gpu *gpu, uintptr_t event);

/* ---- counters --------------------------------------------------------- */

struct gpu_counters {
	uint64_t jobs, launches, copies, bytes;
	uint64_t pinned_bytes, device_bytes; /* that we hold */
};
void gpu_get_counters(struct gpu *gpu, struct gpu_counters *counters);

#endif
