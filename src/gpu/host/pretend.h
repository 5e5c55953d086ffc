/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GPU_HOST_PRETEND_H
#define GPU_HOST_PRETEND_H

/* A pretend GPU that is open, as host.c (the driver, memory) and pretend.c
 * (work and failure) share it. */

#include "base/atomic.h"
#include "gpu/host/streams.h"

#define CAUSE_MAX 160

enum fault {
	FAULT_NONE = 0,
	FAULT_REFUSE,
	FAULT_BREAK,
	FAULT_HANG,
};

/*
 * What all sessions of the process have of a device in common: an error
 * fails it for all of them, until the last has closed it.
 */
struct shared {
	uint32_t n_open;	/* shared_lock */
	uint64_t fault_at;	/* the launch; written before it is open */
	enum fault fault;
	_Atomic uint64_t n_launches;
	_Atomic uint32_t failing;
	_Atomic bool failed;
	char cause[CAUSE_MAX];	/* by who claimed failing, before failed */
};

struct gpu_device {
	uint32_t index;
	struct shared *shared;
	bool dicey;		/* with delays; without: as fast as can be */
	_Atomic(const char *) last; /* a failure that is not the device's */
	struct streams streams;
	_Atomic uint32_t counters[GPU_COUNTERS]; /* 1: a job of a launch's */
};

/* Fails it for good, with this cause if it is the first. */
void pretend_fail(struct gpu_device *device, const char *cause);
bool pretend_has_failed(struct gpu_device *device);
/* A failure that leaves the device as it is: rc. cause: a constant string. */
int pretend_complain(struct gpu_device *device, int rc, const char *cause);
/* What the streams' threads do with a task. */
void pretend_run_task(void *arg, struct task *task);

/* Of struct gpu_ops. */
int pretend_check(struct gpu_device *device);
const char *pretend_cause(struct gpu_device *device);
int pretend_launch(struct gpu_device *device, uint32_t stream,
		   const struct gpu_launch *launch);
int pretend_copy(struct gpu_device *device, uint32_t stream, uint64_t dst,
		 uint64_t src, uint64_t len_bytes, uint64_t flag,
		 uint64_t value);
int pretend_event_passed(struct gpu_device *device, uintptr_t event);
int pretend_resident_start(struct gpu_device *device);
int pretend_resident_feed(struct gpu_device *device,
			  const struct gpu_launch *launch);
void pretend_resident_stop(struct gpu_device *device);

#endif
