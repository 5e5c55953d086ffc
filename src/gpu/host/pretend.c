/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/host/pretend.h"

#include <stdio.h>
#include <string.h>

#include <tcpx/status.h>

#include "gpu/host/host.h"
#include "gpu/host/ranges.h"
#include "gpu/reference.h"

#define RESIDENT_DEPTH 64u

/* ---- failure ---------------------------------------------------------- */

void pretend_fail(struct gpu_device *device, const char *cause)
{
	struct shared *shared = device->shared;

	if (!cas_acquire(&shared->failing, 0, 1))
		return;
	snprintf(shared->cause, sizeof(shared->cause), "%s", cause);
	store_release(&shared->failed, true);
}

bool pretend_has_failed(struct gpu_device *device)
{
	return load_acquire(&device->shared->failed);
}

/* A task that was being run when it failed is run to its end; those that
 * follow see that it has. */
int pretend_check(struct gpu_device *device)
{
	return pretend_has_failed(device) && !streams_busy(&device->streams) ?
		       TCPX_EGPU :
		       TCPX_OK;
}

const char *pretend_cause(struct gpu_device *device)
{
	return pretend_has_failed(device) ? device->shared->cause :
					    load_relaxed(&device->last);
}

/* One that leaves the device as it is. */
int pretend_complain(struct gpu_device *device, int rc, const char *cause)
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
		pretend_fail(device, cause);
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
		.dice = device->dicey ? &dice : NULL,
		.lanes = device->dicey,
		.rubbish = device->dicey,
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
void pretend_run_task(void *arg, struct task *task)
{
	struct gpu_device *device = arg;

	if (task->breaks)
		pretend_fail(device, "unspecified launch failure (asked for)");
	if (pretend_has_failed(device))
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

	if (pretend_has_failed(device))
		return TCPX_EGPU;
	/* A device that hangs does nothing more on any stream. */
	task->hangs = shared->fault == FAULT_HANG && n >= shared->fault_at;
	if (n != shared->fault_at)
		return TCPX_OK;
	task->breaks = shared->fault == FAULT_BREAK;
	if (shared->fault != FAULT_REFUSE)
		return TCPX_OK;
	pretend_fail(device, "launch refused (asked for)");
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
		pretend_fail(device,
			     "invalid launch: its jobs or their counters");
		return TCPX_EGPU;
	}
	rc = streams_add(&device->streams, stream, &task, n_max);
	if (rc)
		claim_counters(device, launch, false);
	return rc;
}

int pretend_launch(struct gpu_device *device, uint32_t stream,
		   const struct gpu_launch *launch)
{
	return add_launch(device, stream, launch, UINT32_MAX);
}

int pretend_copy(struct gpu_device *device, uint32_t stream, uint64_t dst,
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

int pretend_event_passed(struct gpu_device *device, uintptr_t event)
{
	if (pretend_has_failed(device))
		return TCPX_EGPU;
	if (!gpu_host_event_valid(event))
		return pretend_complain(device, TCPX_EINVAL, "no such event");
	return gpu_host_event_passed(event) ? TCPX_OK : TCPX_INPROGRESS;
}

int pretend_resident_start(struct gpu_device *device)
{
	return pretend_check(device);
}

int pretend_resident_feed(struct gpu_device *device,
			  const struct gpu_launch *launch)
{
	return add_launch(device, STREAM_RESIDENT, launch, RESIDENT_DEPTH);
}

/* What it was fed runs to its end: close() waits. */
void pretend_resident_stop(struct gpu_device *device)
{
}
