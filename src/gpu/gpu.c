/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "gpu/internal.h"

#define HANG_MS 30000u
#define CLOSE_MS 2000u

/* ---- failure ---------------------------------------------------------- */

void gpu_fail(struct gpu *gpu, bool stopped, const char *cause)
{
	if (cas_acquire(&gpu->failing, 0, 1)) {
		snprintf(gpu->cause, sizeof(gpu->cause), "%s", cause);
		store_release(&gpu->status, TCPX_EGPU);
		log_error(gpu->params.log, "gpu", "device %u failed: %s",
			  gpu->index, gpu->cause);
	}
	if (stopped)
		store_release(&gpu->stopped, true);
}

/* Pairs with gpu_fail(): who sees the status may read the cause. */
int gpu_status(const struct gpu *gpu)
{
	return load_acquire(&gpu->status);
}

const char *gpu_cause(const struct gpu *gpu)
{
	return gpu_status(gpu) ? gpu->cause : "";
}

uint32_t gpu_index(const struct gpu *gpu)
{
	return gpu->index;
}

/* ---- open, close ------------------------------------------------------ */

static void start_resident(struct gpu *gpu)
{
	if (!gpu->params.resident)
		return;
	if (!gpu->ops->resident_start)
		log_warn(gpu->params.log, "gpu",
			 "device %u: no resident kernel with driver %s; "
			 "launching instead",
			 gpu->index, gpu->ops->name);
	else if (gpu->ops->resident_start(gpu->device) != 0)
		log_warn(gpu->params.log, "gpu",
			 "device %u: no resident kernel: %s; launching instead",
			 gpu->index, gpu->ops->cause(gpu->device));
	else
		gpu->resident = true;
}

static int open_pools(struct gpu *gpu, char *why, size_t cap_bytes)
{
	int rc = gpu_jobs_init(gpu);

	if (rc == 0)
		rc = gpu_slots_init(gpu);
	if (rc)
		snprintf(why, cap_bytes, "no pinned memory for device %u: %s",
			 gpu->index, gpu->ops->cause(gpu->device));
	return rc;
}

static void close_pools(struct gpu *gpu, bool leak)
{
	gpu_slots_fini(gpu, leak);
	gpu_jobs_fini(gpu, leak);
}

int gpu_open(const struct gpu_ops *ops, const struct gpu_params *params,
	     uint32_t index, struct gpu **out, char *why, size_t cap_bytes)
{
	struct gpu *gpu = calloc(1, sizeof(*gpu));
	int rc;

	if (!gpu) {
		snprintf(why, cap_bytes, "out of memory");
		return TCPX_ENOMEM;
	}
	gpu->ops = ops;
	gpu->params = *params;
	if (gpu->params.hang_ms == 0)
		gpu->params.hang_ms = ops->hang_ms ? ops->hang_ms : HANG_MS;
	gpu->index = index;
	gpu->backlog_end = &gpu->backlog;
	gpu->ticks_per_ms = clock_ticks_per_us() * 1000;
	pthread_mutex_init(&gpu->mem_lock, NULL);
	pthread_mutex_init(&gpu->orphan_lock, NULL);
	rc = ops->open(index, &gpu->params, &gpu->device, why, cap_bytes);
	if (rc)
		goto err_free;
	rc = open_pools(gpu, why, cap_bytes);
	if (rc)
		goto err_close;
	start_resident(gpu);
	*out = gpu;
	return TCPX_OK;

err_close:
	close_pools(gpu, false);
	ops->close(gpu->device);
err_free:
	pthread_mutex_destroy(&gpu->orphan_lock);
	pthread_mutex_destroy(&gpu->mem_lock);
	free(gpu);
	return rc;
}

/* Memory that the device may still write to must not become anything else.
 * True: all has ended. */
static bool await_jobs(struct gpu *gpu)
{
	uint64_t deadline = clock_deadline_ns((int)CLOSE_MS);
	struct timespec pause = {.tv_nsec = 50 * (long)NS_PER_US};

	while (gpu_jobs_running(gpu) > 0) {
		if (gpu->ops->check(gpu->device) != 0)
			return true;
		if (clock_now_ns() > deadline)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

static void forget_mem(struct gpu *gpu, void *mem, bool give_back)
{
	pthread_mutex_lock(&gpu->mem_lock);
	struct gpu_mem *kept = u64map_del(&gpu->mems, (uintptr_t)mem);

	pthread_mutex_unlock(&gpu->mem_lock);
	if (!kept)
		return;
	add_relaxed(&gpu->device_bytes, -kept->len_bytes);
	if (give_back)
		gpu->ops->mem_free(gpu->device, kept->base);
	free(kept);
}

void gpu_close(struct gpu *gpu)
{
	uint64_t mem;
	bool ended;

	if (gpu->resident)
		gpu->ops->resident_stop(gpu->device);
	ended = await_jobs(gpu) && !load_relaxed(&gpu->hung);
	if (!ended)
		log_error(gpu->params.log, "gpu",
			  "device %u: work that does not end; its "
			  "memory is not given back",
			  gpu->index);
	while (u64map_any(&gpu->mems, &mem))
		forget_mem(gpu, (void *)(uintptr_t)mem, ended);
	close_pools(gpu, !ended);
	gpu->ops->close(gpu->device);
	u64map_fini(&gpu->mems);
	pthread_mutex_destroy(&gpu->orphan_lock);
	pthread_mutex_destroy(&gpu->mem_lock);
	free(gpu);
}

/* ---- memory ----------------------------------------------------------- */

/* What a driver gives may begin anywhere in a page, if it is short: then one
 * page more is asked for, and what is given out begins at the next one. */
static int alloc_pages(struct gpu *gpu, uint64_t len_bytes, void **base,
		       void **mem)
{
	int rc = gpu->ops->mem_alloc(gpu->device, len_bytes, base);

	if (!rc && (uintptr_t)*base % GPU_PAGE) {
		gpu->ops->mem_free(gpu->device, *base);
		rc = gpu->ops->mem_alloc(gpu->device, len_bytes + GPU_PAGE,
					 base);
	}
	if (!rc)
		*mem = (void *)(((uintptr_t)*base + GPU_PAGE - 1) &
				~(uintptr_t)(GPU_PAGE - 1));
	return rc;
}

int gpu_mem_alloc(struct gpu *gpu, uint64_t len_bytes, void **mem)
{
	struct gpu_mem *kept = calloc(1, sizeof(*kept));
	void *new = NULL;
	int rc = kept ? TCPX_OK : TCPX_ENOMEM;

	if (!rc)
		rc = len_bytes ?
			     alloc_pages(gpu, len_bytes, &kept->base, &new) :
			     TCPX_EINVAL;
	if (rc) {
		free(kept);
		return rc;
	}
	kept->len_bytes = len_bytes;
	pthread_mutex_lock(&gpu->mem_lock);
	rc = u64map_put(&gpu->mems, (uintptr_t) new, kept);
	pthread_mutex_unlock(&gpu->mem_lock);
	if (rc) {
		gpu->ops->mem_free(gpu->device, kept->base);
		free(kept);
		return rc;
	}
	add_relaxed(&gpu->device_bytes, len_bytes);
	*mem = new;
	return TCPX_OK;
}

/* Not while a device that was given up may yet use it: the driver would wait
 * for what does not end. */
void gpu_mem_free(struct gpu *gpu, void *mem)
{
	if (mem)
		forget_mem(gpu, mem,
			   !load_acquire(&gpu->hung) || !gpu_jobs_running(gpu));
}

int gpu_copy_wait(struct gpu *gpu, void *dst, const void *src,
		  uint64_t len_bytes)
{
	int rc;

	if (gpu_status(gpu) != 0)
		return gpu_status(gpu);
	rc = gpu->ops->copy_wait(gpu->device, dst, src, len_bytes);
	if (rc == TCPX_EGPU)
		gpu_fail(gpu, gpu->ops->check(gpu->device) != 0,
			 gpu->ops->cause(gpu->device));
	return rc;
}

int gpu_ipc_export(struct gpu *gpu, void *mem, uint8_t handle[GPU_IPC_BYTES])
{
	return gpu->ops->ipc_export(gpu->device, mem, handle);
}

int gpu_ipc_open(struct gpu *gpu, const uint8_t handle[GPU_IPC_BYTES],
		 void **mem)
{
	return gpu->ops->ipc_open(gpu->device, handle, mem);
}

void gpu_ipc_close(struct gpu *gpu, void *mem)
{
	gpu->ops->ipc_close(gpu->device, mem);
}

/* ---- memory of somebody else's ----------------------------------------- */

int gpu_share_export(struct gpu *gpu, const void *mem, struct gpu_share *share,
		     int *fd)
{
	*share = (struct gpu_share){0};
	*fd = -1;
	return gpu->ops->share_export(gpu->device, mem, share, fd);
}

int gpu_share_open(struct gpu *gpu, const struct gpu_share *share, int fd,
		   void **mem)
{
	void *base;
	int rc = share->off < share->all_bytes ?
			 gpu->ops->share_open(gpu->device, share, fd, &base) :
			 TCPX_EINVAL;

	if (!rc)
		*mem = (uint8_t *)base + share->off;
	return rc;
}

void gpu_share_of_fd(struct gpu *gpu, uint64_t len_bytes,
		     struct gpu_share *share)
{
	*share = (struct gpu_share){.all_bytes = len_bytes};
	gpu->ops->share_of_fd(gpu->device, share);
}

void gpu_share_close(struct gpu *gpu, const struct gpu_share *share, void *mem)
{
	gpu->ops->share_close(gpu->device, share, (uint8_t *)mem - share->off);
}

/* ---- events ------------------------------------------------------------ */

int gpu_event_passed(struct gpu *gpu, uintptr_t event)
{
	int rc = gpu_status(gpu);

	if (rc)
		return rc;
	rc = gpu->ops->event_passed(gpu->device, event);
	if (rc == TCPX_EINVAL)
		log_error(gpu->params.log, "gpu",
			  "device %u: not an event to wait for: %s", gpu->index,
			  gpu->ops->cause(gpu->device));
	/* It may be the device's failure that it tells of, or its own. */
	if (rc == TCPX_EGPU && gpu->ops->check(gpu->device) != 0)
		gpu_fail(gpu, true, gpu->ops->cause(gpu->device));
	return rc;
}

/* ---- counters --------------------------------------------------------- */

void gpu_get_counters(struct gpu *gpu, struct gpu_counters *counters)
{
	*counters = (struct gpu_counters){
		.jobs = load_relaxed(&gpu->n_jobs_started),
		.launches = load_relaxed(&gpu->n_launches),
		.copies = load_relaxed(&gpu->n_copies),
		.bytes = load_relaxed(&gpu->n_bytes),
		.pinned_bytes = gpu->slot_mem_bytes + gpu->job_mem_bytes,
		.device_bytes = load_relaxed(&gpu->device_bytes),
	};
}
