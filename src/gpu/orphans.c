/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/internal.h"

/*
 * Jobs of a device that does not answer, when who waited for them has given
 * up, or the device was. They may still run one day: until then their lists,
 * flags and slots belong to nobody else, for ever if need be.
 */

void gpu_job_abandon(struct gpu_job *job)
{
	struct gpu *gpu = job->gpu;

	pthread_mutex_lock(&gpu->orphan_lock);
	job->slot = NULL;
	store_release(&job->orphan, true);
	add_relaxed(&gpu->n_orphans, 1);
	pthread_mutex_unlock(&gpu->orphan_lock);
}

/* All copies of a job have the same slot at one side. */
static bool touches(const struct gpu *gpu, const struct gpu_job *job,
		    const void *slot)
{
	uint64_t from = (uintptr_t)slot, len_bytes = gpu->params.slot_bytes;

	return job->n_copies && (job->copies[0].src - from < len_bytes ||
				 job->copies[0].dst - from < len_bytes);
}

/* orphan_lock is held. */
static bool keep(struct gpu *gpu, enum gpu_slot_use use, void *slot)
{
	for (uint32_t i = 0; i < gpu->n_jobs; i++) {
		struct gpu_job *job = &gpu->jobs[i];

		if (!load_relaxed(&job->orphan) || job->slot ||
		    !touches(gpu, job, slot) || gpu_job_is_over(job))
			continue;
		job->slot = slot;
		job->slot_use = use;
		return true;
	}
	return false;
}

bool gpu_orphans_keep(struct gpu *gpu, enum gpu_slot_use use, void *slot)
{
	bool kept;

	if (!load_relaxed(&gpu->n_orphans))
		return false;
	pthread_mutex_lock(&gpu->orphan_lock);
	kept = keep(gpu, use, slot);
	pthread_mutex_unlock(&gpu->orphan_lock);
	return kept;
}

/* orphan_lock is held. Another of them may touch the slot still. */
static void bury(struct gpu *gpu, struct gpu_job *job)
{
	void *slot = job->slot;

	job->slot = NULL;
	store_relaxed(&job->orphan, false);
	add_relaxed(&gpu->n_orphans, -1u);
	gpu_job_put_now(job);
	/* Whether it was put to be used again or to rest, nobody knows now. */
	if (slot && !keep(gpu, job->slot_use, slot))
		gpu_slot_rest_now(gpu, job->slot_use, slot);
}

void gpu_orphans_reap(struct gpu *gpu)
{
	/* Polling may flush, and a flush come here: once is enough. */
	if (!load_relaxed(&gpu->n_orphans) ||
	    pthread_mutex_trylock(&gpu->orphan_lock))
		return;
	for (uint32_t i = 0; i < gpu->n_jobs; i++) {
		struct gpu_job *job = &gpu->jobs[i];

		if (load_relaxed(&job->orphan) && gpu_job_is_over(job))
			bury(gpu, job);
	}
	pthread_mutex_unlock(&gpu->orphan_lock);
}
