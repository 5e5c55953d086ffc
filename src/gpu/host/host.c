/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/host/host.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tcpx/status.h>

#include "base/atomic.h"
#include "base/clock.h"
#include "base/parse.h"
#include "gpu/host/ranges.h"
#include "gpu/host/streams.h"
#include "gpu/reference.h"

#define DEVICES 2u
#define DELAY_US 40u
#define MEM_BYTES (8ull << 30)
#define CAUSE_MAX 160
#define RESIDENT_DEPTH 64u

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
	bool rubbish;
	_Atomic(const char *) last; /* a failure that is not the device's */
	struct streams streams;
	_Atomic uint32_t counters[GPU_COUNTERS]; /* 1: a job of a launch's */
};

static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;
static struct shared all_shared[GPU_DEVICES_MAX];
static _Atomic uint32_t n_devices;

/* ---- the environment -------------------------------------------------- */

static uint64_t env_number(const char *name, uint64_t otherwise, uint64_t max)
{
	const char *text = getenv(name);
	uint64_t value;

	return text && parse_u64(text, &value) && value <= max ? value :
								 otherwise;
}

static enum fault fault_kind(const char *text, size_t len)
{
	static const char *const names[] = {
		[FAULT_REFUSE] = "refuse",
		[FAULT_BREAK] = "break",
		[FAULT_HANG] = "hang",
	};

	for (size_t i = FAULT_REFUSE; i <= FAULT_HANG; i++) {
		if (strlen(names[i]) == len &&
		    strncmp(names[i], text, len) == 0)
			return (enum fault)i;
	}
	return FAULT_NONE;
}

/* KIND:N[:DEVICE] */
static void read_fault(struct shared *shared, uint32_t index)
{
	const char *text = getenv("TCPX_GPU_HOST_FAULT");
	const char *colon = text ? strchr(text, ':') : NULL;
	unsigned long long at;
	unsigned device = index;

	shared->fault = FAULT_NONE;
	if (!colon || sscanf(colon, ":%llu:%u", &at, &device) < 1 ||
	    device != index)
		return;
	shared->fault = fault_kind(text, (size_t)(colon - text));
	shared->fault_at = at;
}

/* ---- the driver ------------------------------------------------------- */

static bool host_is_loaded(void)
{
	return true;
}

static int host_load(char *why, size_t cap_bytes)
{
	store_relaxed(&n_devices,
		      (uint32_t)env_number("TCPX_GPU_HOST_DEVICES", DEVICES,
					   GPU_DEVICES_MAX));
	return TCPX_OK;
}

static uint32_t host_count(void)
{
	return load_relaxed(&n_devices);
}

static int host_info(uint32_t index, struct gpu_info *info)
{
	memset(info, 0, sizeof(*info));
	snprintf(info->name, sizeof(info->name), "pretend GPU %u", index);
	snprintf(info->driver, sizeof(info->driver), "host");
	info->mem_bytes = MEM_BYTES;
	info->copy_engines = 2;
	return TCPX_OK;
}

static int host_classify(const void *addr, uint64_t len_bytes,
			 enum gpu_mem_kind *kind, uint32_t *index, char *why,
			 size_t cap_bytes)
{
	const struct range *range;
	uint32_t of = 0;
	int rc = TCPX_OK;

	ranges_hold();
	range = ranges_find((uintptr_t)addr);
	if (range && range->kind == RANGE_DEVICE)
		of = range->index;
	if (len_bytes > UINT64_MAX - (uintptr_t)addr) {
		snprintf(why, cap_bytes, "%llu bytes from %p wrap around",
			 (unsigned long long)len_bytes, addr);
		rc = TCPX_EINVAL;
	} else if (!ranges_at(of, (uintptr_t)addr, len_bytes ? len_bytes : 1,
			      true, why, cap_bytes)) {
		rc = TCPX_EINVAL;
	} else {
		*kind = range && range->kind == RANGE_DEVICE &&
					(uintptr_t)addr - range->base <
						range->len_bytes ?
				GPU_MEM_DEVICE :
				GPU_MEM_HOST;
		*index = of;
	}
	ranges_release();
	return rc;
}

/* ---- failure ---------------------------------------------------------- */

static void fail(struct gpu_device *device, const char *cause)
{
	struct shared *shared = device->shared;

	if (!cas_acquire(&shared->failing, 0, 1))
		return;
	snprintf(shared->cause, sizeof(shared->cause), "%s", cause);
	store_release(&shared->failed, true);
}

static bool has_failed(struct gpu_device *device)
{
	return load_acquire(&device->shared->failed);
}

static int host_check(struct gpu_device *device)
{
	return has_failed(device) ? TCPX_EGPU : TCPX_OK;
}

static const char *host_cause(struct gpu_device *device)
{
	return has_failed(device) ? device->shared->cause :
				    load_relaxed(&device->last);
}

/* One that leaves the device as it is. */
static int complain(struct gpu_device *device, int rc, const char *cause)
{
	store_relaxed(&device->last, cause);
	return rc;
}

/* ---- running ---------------------------------------------------------- */

static void *device_at(void *arg, uint64_t addr, uint64_t len_bytes,
		       enum gpu_touch touch)
{
	struct gpu_device *device = arg;
	char why[CAUSE_MAX - 32], cause[CAUSE_MAX];
	void *at = ranges_at(device->index, addr, len_bytes, false, why,
			     sizeof(why));

	if (!at) {
		snprintf(cause, sizeof(cause), "illegal address (%s): %s",
			 touch == GPU_TOUCH_READ ? "read" : "write", why);
		fail(device, cause);
	}
	return at;
}

/* A job has its counter to itself from launch to flag. */
static bool claim_counters(struct gpu_device *device,
			   const struct gpu_launch *launch, bool claim)
{
	bool good = true;

	for (uint32_t i = 0; i < launch->n_jobs; i++) {
		uint32_t c = launch->jobs[i].counter;

		good &= c < GPU_COUNTERS &&
			cas_acquire(&device->counters[c], !claim, claim);
	}
	return good;
}

static void run_launch(struct gpu_device *device, struct task *task)
{
	struct dice dice = {task->seed};
	struct gpu_reference reference = {
		.at = device_at,
		.arg = device,
		.dice = &dice,
		.lanes = true,
		.rubbish = device->rubbish,
	};

	/* Before the flags: their owners may launch again at once. */
	claim_counters(device, &task->launch, false);
	(void)gpu_reference_run(&reference, &task->launch);
}

static void run_copy(struct gpu_device *device, const struct task *task)
{
	uint64_t n = task->copy.len_bytes;
	_Atomic uint64_t *flag = NULL;
	void *dst, *src;

	if (n > 0) {
		src = device_at(device, task->copy.src, n, GPU_TOUCH_READ);
		dst = device_at(device, task->copy.dst, n, GPU_TOUCH_WRITE);
		if (!src || !dst)
			return;
		memmove(dst, src, n);
	}
	if (task->copy.flag)
		flag = device_at(device, task->copy.flag, sizeof(*flag),
				 GPU_TOUCH_WRITE);
	if (flag)
		store_release(flag, task->copy.value); /* gpu_job_poll() */
}

/* On a runner of the streams. */
static void run_task(void *arg, struct task *task)
{
	struct gpu_device *device = arg;

	if (task->breaks)
		fail(device, "unspecified launch failure (asked for)");
	if (has_failed(device))
		return;
	ranges_hold();
	if (task->kind == TASK_LAUNCH)
		run_launch(device, task);
	else
		run_copy(device, task);
	ranges_release();
}

/* ---- queueing --------------------------------------------------------- */

/* One more launch or copy: what is to become of it. */
static int meet_fault(struct gpu_device *device, struct task *task)
{
	struct shared *shared = device->shared;
	uint64_t n = add_relaxed(&shared->n_launches, 1) + 1;

	if (has_failed(device))
		return TCPX_EGPU;
	if (n != shared->fault_at)
		return TCPX_OK;
	task->hangs = shared->fault == FAULT_HANG;
	task->breaks = shared->fault == FAULT_BREAK;
	if (shared->fault != FAULT_REFUSE)
		return TCPX_OK;
	fail(device, "launch refused (asked for)");
	return TCPX_EGPU;
}

static int add_launch(struct gpu_device *device, uint32_t stream,
		      const struct gpu_launch *launch, uint32_t n_max)
{
	struct task task = {.kind = TASK_LAUNCH, .launch = *launch};
	int rc = meet_fault(device, &task);

	if (rc)
		return rc;
	if (launch->n_jobs == 0 || launch->n_jobs > GPU_JOBS_A_LAUNCH ||
	    !claim_counters(device, launch, true)) {
		fail(device, "invalid launch: its jobs or their counters");
		return TCPX_EGPU;
	}
	rc = streams_add(&device->streams, stream, &task, n_max);
	if (rc)
		claim_counters(device, launch, false);
	return rc;
}

static int host_launch(struct gpu_device *device, uint32_t stream,
		       const struct gpu_launch *launch)
{
	return add_launch(device, stream, launch, UINT32_MAX);
}

static int host_copy(struct gpu_device *device, uint32_t stream, uint64_t dst,
		     uint64_t src, uint64_t len_bytes, uint64_t flag,
		     uint64_t value)
{
	struct task task = {
		.kind = TASK_COPY,
		.copy = {dst, src, len_bytes, flag, value},
	};
	int rc = meet_fault(device, &task);

	return rc ? rc :
		    streams_add(&device->streams, stream, &task, UINT32_MAX);
}

static int host_wait_event(struct gpu_device *device, uint32_t stream,
			   uintptr_t event)
{
	struct task task = {.kind = TASK_EVENT, .event = event};

	if (has_failed(device))
		return TCPX_EGPU;
	if (!gpu_host_event_valid(event))
		return complain(device, TCPX_EINVAL, "no such event");
	return streams_add(&device->streams, stream, &task, UINT32_MAX);
}

static int host_resident_start(struct gpu_device *device)
{
	return host_check(device);
}

static int host_resident_feed(struct gpu_device *device,
			      const struct gpu_launch *launch)
{
	return add_launch(device, STREAM_RESIDENT, launch, RESIDENT_DEPTH);
}

/* What it was fed runs to its end: close() waits. */
static void host_resident_stop(struct gpu_device *device)
{
}

/* ---- memory ----------------------------------------------------------- */

static int host_pinned_alloc(struct gpu_device *device, size_t len_bytes,
			     void **mem)
{
	int rc = ranges_alloc_pinned(len_bytes, mem);

	return rc ? complain(device, rc, "out of memory to pin") : TCPX_OK;
}

static void host_pinned_free(struct gpu_device *device, void *mem)
{
	(void)ranges_free(mem);
}

static int host_mem_alloc(struct gpu_device *device, uint64_t len_bytes,
			  void **mem)
{
	int rc;

	if (has_failed(device))
		return TCPX_EGPU;
	if (len_bytes == 0)
		return complain(device, TCPX_EINVAL, "0 bytes of memory");
	if (len_bytes > MEM_BYTES)
		return complain(device, TCPX_ENOMEM, "out of device memory");
	rc = ranges_alloc_device(device->index, len_bytes, mem);
	return rc ? complain(device, rc, "out of memory") : TCPX_OK;
}

static void host_mem_free(struct gpu_device *device, void *mem)
{
	if (ranges_free(mem) != 0)
		fail(device, "freed memory that is not allocated");
}

static int host_copy_wait(struct gpu_device *device, void *dst, const void *src,
			  uint64_t len_bytes)
{
	char why[CAUSE_MAX] = "";
	void *to, *from;

	if (has_failed(device))
		return TCPX_EGPU;
	if (len_bytes == 0)
		return TCPX_OK;
	ranges_hold();
	from = ranges_at(device->index, (uintptr_t)src, len_bytes, true, why,
			 sizeof(why));
	to = ranges_at(device->index, (uintptr_t)dst, len_bytes, true, why,
		       sizeof(why));
	if (from && to)
		memmove(to, from, len_bytes);
	ranges_release();
	return from && to ? TCPX_OK :
			    complain(device, TCPX_EINVAL, "invalid address");
}

static int host_ipc_export(struct gpu_device *device, void *mem,
			   uint8_t handle[GPU_IPC_BYTES])
{
	int rc = ranges_export(mem, handle);

	return rc ? complain(device, rc, "not the start of an allocation") : 0;
}

static int host_ipc_open(struct gpu_device *device,
			 const uint8_t handle[GPU_IPC_BYTES], void **mem)
{
	int rc = ranges_import(device->index, handle, mem);

	return rc ? complain(device, rc,
			     "no handle of another process for this device") :
		    TCPX_OK;
}

static void host_ipc_close(struct gpu_device *device, void *mem)
{
	host_mem_free(device, mem);
}

/* ---- open, close ------------------------------------------------------ */

static struct shared *share_get(uint32_t index)
{
	struct shared *shared = &all_shared[index];

	pthread_mutex_lock(&shared_lock);
	if (shared->n_open++ == 0) {
		read_fault(shared, index);
		store_relaxed(&shared->n_launches, 0);
		store_relaxed(&shared->failed, false);
		store_relaxed(&shared->failing, 0);
	}
	pthread_mutex_unlock(&shared_lock);
	return shared;
}

static void share_put(struct shared *shared)
{
	pthread_mutex_lock(&shared_lock);
	shared->n_open--;
	pthread_mutex_unlock(&shared_lock);
}

static int host_open(uint32_t index, const struct gpu_params *params,
		     struct gpu_device **out, char *why, size_t cap_bytes)
{
	uint64_t delay_us = env_number("TCPX_GPU_HOST_DELAY_US", DELAY_US,
				       1000000);
	struct gpu_device *device = calloc(1, sizeof(*device));
	int rc = TCPX_ENOMEM;

	if (!device)
		goto err_none;
	device->index = index;
	device->rubbish = delay_us > 0;
	device->shared = share_get(index);
	store_relaxed(&device->last, "no failure");
	rc = streams_start(&device->streams, params->seed * 64 + index,
			   delay_us * NS_PER_US, run_task, device);
	if (rc)
		goto err_device;
	*out = device;
	return TCPX_OK;

err_device:
	share_put(device->shared);
	free(device);
err_none:
	snprintf(why, cap_bytes, "out of memory for a pretend GPU");
	return rc;
}

static void host_close(struct gpu_device *device)
{
	streams_stop(&device->streams);
	share_put(device->shared);
	free(device);
}

const struct gpu_ops gpu_host_ops = {
	.name = "host",
	.is_loaded = host_is_loaded,
	.load = host_load,
	.count = host_count,
	.info = host_info,
	.classify = host_classify,
	.open = host_open,
	.close = host_close,
	.pinned_alloc = host_pinned_alloc,
	.pinned_free = host_pinned_free,
	.mem_alloc = host_mem_alloc,
	.mem_free = host_mem_free,
	.copy_wait = host_copy_wait,
	.ipc_export = host_ipc_export,
	.ipc_open = host_ipc_open,
	.ipc_close = host_ipc_close,
	.launch = host_launch,
	.copy = host_copy,
	.wait_event = host_wait_event,
	.check = host_check,
	.cause = host_cause,
	.resident_start = host_resident_start,
	.resident_feed = host_resident_feed,
	.resident_stop = host_resident_stop,
};
