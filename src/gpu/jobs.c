/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "gpu/internal.h"

/* Beside those that fill or empty a slot: transports' own. */
#define JOBS_WITHOUT_SLOT 64u
/* Of one copy of the engines: the length is 32 bits wide. */
#define ENGINE_TILE_BYTES (1u << 30)

/* ---- the pool --------------------------------------------------------- */

int gpu_jobs_init(struct gpu *gpu)
{
	uint64_t list_bytes = GPU_COPIES_MAX * sizeof(struct gpu_copy), flags;
	uint32_t n = gpu->params.n_slots + JOBS_WITHOUT_SLOT;
	uint8_t *mem;
	int rc;

	n = n > GPU_COUNTERS ? GPU_COUNTERS : n;
	flags = (uint64_t)n * GPU_FLAG_STRIDE;
	rc = gpu->ops->pinned_alloc(gpu->device, flags + n * list_bytes,
				    &gpu->job_mem);
	if (rc)
		return rc;
	gpu->job_mem_bytes = flags + n * list_bytes;
	gpu->jobs = calloc(n, sizeof(*gpu->jobs));
	if (!gpu->jobs || stack_init(&gpu->free_jobs, n) != 0)
		return TCPX_ENOMEM;
	mem = gpu->job_mem;
	for (uint32_t i = 0; i < n; i++) {
		struct gpu_job *job = &gpu->jobs[i];

		job->gpu = gpu;
		job->index = i;
		job->flag = (void *)(mem + (size_t)i * GPU_FLAG_STRIDE);
		job->copies = (void *)(mem + flags + i * list_bytes);
	}
	gpu->n_jobs = n;
	return TCPX_OK;
}

void gpu_jobs_fini(struct gpu *gpu, bool leak)
{
	stack_fini(&gpu->free_jobs);
	free(gpu->jobs);
	if (gpu->job_mem && !leak)
		gpu->ops->pinned_free(gpu->device, gpu->job_mem);
	gpu->job_mem = NULL;
}

/* Pairs with the device's store behind the last byte. */
static bool has_ended(struct gpu_job *job)
{
	return load_acquire(job->flag) == load_relaxed(&job->value);
}

uint32_t gpu_jobs_running(struct gpu *gpu)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < gpu->n_jobs; i++) {
		struct gpu_job *job = &gpu->jobs[i];

		n += load_acquire(&job->state) == JOB_STARTED &&
		     !has_ended(job);
	}
	return n;
}

/* ---- from get to submit ----------------------------------------------- */

struct gpu_job *gpu_job_get(struct gpu *gpu)
{
	struct gpu_job *job;
	uint32_t i;

	gpu_orphans_reap(gpu);
	if (!stack_pop(&gpu->free_jobs, &i))
		return NULL;
	job = &gpu->jobs[i];
	job->n_copies = 0;
	job->n_queued = 0;
	job->bytes = 0;
	return job;
}

void gpu_job_put_now(struct gpu_job *job)
{
	store_release(&job->state, JOB_IDLE);
	stack_push(&job->gpu->free_jobs, job->index);
}

/* The driver has it, and the device was given up, not seen to stop. */
static bool may_run(struct gpu_job *job)
{
	return load_acquire(&job->gpu->hung) &&
	       load_acquire(&job->state) == JOB_STARTED && !has_ended(job);
}

void gpu_job_put(struct gpu_job *job)
{
	if (may_run(job))
		gpu_job_abandon(job);
	else
		gpu_job_put_now(job);
}

/* The first tile is shorter, so that all others start aligned. */
static uint32_t first_tile(uint64_t dst, uint64_t len_bytes,
			   uint32_t tile_bytes)
{
	uint64_t room = tile_bytes - dst % GPU_TILE_ALIGN;

	return (uint32_t)(len_bytes < room ? len_bytes : room);
}

bool gpu_job_add(struct gpu_job *job, void *dst_ptr, const void *src_ptr,
		 uint64_t len_bytes)
{
	uint32_t tile_bytes = job->gpu->params.way == GPU_COPY_ENGINE ?
				      ENGINE_TILE_BYTES :
				      GPU_TILE_BYTES;
	uint64_t dst = (uintptr_t)dst_ptr, src = (uintptr_t)src_ptr;
	uint32_t tile = first_tile(dst, len_bytes, tile_bytes);
	uint64_t rest = len_bytes - tile;

	if (len_bytes == 0)
		return true;
	if (1 + rest / tile_bytes + (rest % tile_bytes != 0) >
	    GPU_COPIES_MAX - job->n_copies)
		return false;
	job->bytes += len_bytes;
	while (len_bytes > 0) {
		job->copies[job->n_copies++] = (struct gpu_copy){
			.src = src, .dst = dst, .len_bytes = tile};
		src += tile;
		dst += tile;
		len_bytes -= tile;
		tile = len_bytes < tile_bytes ? (uint32_t)len_bytes :
						tile_bytes;
	}
	return true;
}

void gpu_job_submit(struct gpu_job *job)
{
	struct gpu *gpu = job->gpu;
	struct gpu_job *head = load_relaxed(&gpu->submitted);

	store_relaxed(&job->value, load_relaxed(&job->value) + 1);
	store_relaxed(&job->submitted_ticks, clock_ticks());
	/* Release, for gpu_settle(): with the state comes the value. */
	store_release(&job->state, JOB_SUBMITTED);
	/* In one order with taking and releasing launch_lock: see
	 * gpu_flush(). */
	do
		job->next = head;
	while (!atomic_compare_exchange_weak(&gpu->submitted, &head, job));
}

/* ---- the end ---------------------------------------------------------- */

/* True for one thread a millisecond. */
static bool may_check(struct gpu *gpu, uint64_t now)
{
	uint64_t last = load_relaxed(&gpu->checked_ticks);

	if ((int64_t)(now - last) < (int64_t)gpu->ticks_per_ms)
		return false;
	return atomic_compare_exchange_strong(&gpu->checked_ticks, &last, now);
}

static void check_device(struct gpu *gpu, uint64_t now)
{
	if (may_check(gpu, now) && gpu->ops->check(gpu->device) != 0)
		gpu_fail(gpu, true, gpu->ops->cause(gpu->device));
}

/* Started or not: what is not, waits for what was started before. Ticks of two
 * CPUs may differ a little: signed. */
static void look_overdue(struct gpu_job *job)
{
	struct gpu *gpu = job->gpu;
	uint64_t now = clock_ticks();
	uint64_t since = load_relaxed(load_relaxed(&job->state) == JOB_STARTED ?
					      &job->started_ticks :
					      &job->submitted_ticks);
	int64_t waited = (int64_t)(now - since);
	int64_t ms = (int64_t)gpu->ticks_per_ms;
	char cause[64];

	if (waited < ms)
		return;
	check_device(gpu, now);
	if (waited / ms < (int64_t)gpu->params.hang_ms ||
	    load_relaxed(&gpu->stopped))
		return;
	snprintf(cause, sizeof(cause), "no answer for %u ms",
		 gpu->params.hang_ms);
	store_release(&gpu->hung, true);
	gpu_fail(gpu, true, cause);
}

int gpu_job_poll(struct gpu_job *job)
{
	struct gpu *gpu = job->gpu;

	if (has_ended(job))
		return TCPX_OK;
	switch (load_acquire(&job->state)) {
	case JOB_REFUSED:
		return TCPX_EGPU;
	case JOB_SUBMITTED:
		/* Nobody may come to flush what a flush left behind. */
		if (load_relaxed(&gpu->has_backlog) || gpu_status(gpu) != 0)
			gpu_flush(gpu);
		look_overdue(job);
		return TCPX_INPROGRESS;
	default:
		break;
	}
	look_overdue(job);
	if (!load_acquire(&gpu->stopped))
		return TCPX_INPROGRESS;
	return has_ended(job) ? TCPX_OK : TCPX_EGPU;
}

/* Of the use that had `value`; its owner may be using it for others by now. */
static bool is_running(struct gpu_job *job, uint64_t value)
{
	uint32_t state = load_acquire(&job->state);

	return (state == JOB_SUBMITTED || state == JOB_STARTED) &&
	       load_relaxed(&job->value) == value &&
	       load_acquire(job->flag) != value;
}

bool gpu_job_is_over(struct gpu_job *job)
{
	return gpu_job_poll(job) != TCPX_INPROGRESS && !may_run(job);
}

/* No longer than until the device is given up, of which nobody else may think:
 * who waited for the job may have abandoned it. */
static void settle_job(struct gpu_job *job)
{
	struct timespec pause = {.tv_nsec = 20 * (long)NS_PER_US};
	struct gpu *gpu = job->gpu;
	uint64_t value = load_relaxed(&job->value);

	while (is_running(job, value) && !load_acquire(&gpu->stopped)) {
		gpu_flush(gpu);
		check_device(gpu, clock_ticks());
		look_overdue(job);
		nanosleep(&pause, NULL);
	}
}

int gpu_settle(struct gpu *gpu)
{
	for (uint32_t i = 0; i < gpu->n_jobs; i++)
		settle_job(&gpu->jobs[i]);
	return load_acquire(&gpu->hung) && gpu_jobs_running(gpu) ? TCPX_EGPU :
								   TCPX_OK;
}
