/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/reference.h"

#include <string.h>

#include <tcpx/status.h>

#include "base/atomic.h"
#include "gpu/kernels/copy.h"

#define RUBBISH 0xdb
#define SPECIAL_ONE_IN 4u

static uint32_t roll(const struct gpu_reference *reference, uint32_t n)
{
	return reference->dice && n > 0 ? dice_roll(reference->dice, n) : 0;
}

/* The copy with both sides where the CPU reaches them. */
static int resolve(const struct gpu_reference *reference,
		   const struct gpu_copy *copy, struct gpu_copy *out)
{
	void *src, *dst;

	*out = (struct gpu_copy){0};
	if (copy->len_bytes == 0)
		return TCPX_OK;
	src = reference->at(reference->arg, copy->src, copy->len_bytes,
			    GPU_TOUCH_READ);
	if (!src)
		return TCPX_EGPU;
	dst = reference->at(reference->arg, copy->dst, copy->len_bytes,
			    GPU_TOUCH_WRITE);
	if (!dst)
		return TCPX_EGPU;
	out->src = (uintptr_t)src;
	out->dst = (uintptr_t)dst;
	out->len_bytes = copy->len_bytes;
	return TCPX_OK;
}

static void spoil(const struct gpu_copy *copy)
{
	uint64_t apart = copy->dst > copy->src ? copy->dst - copy->src :
						 copy->src - copy->dst;

	if (apart >= copy->len_bytes)
		memset((void *)(uintptr_t)copy->dst, RUBBISH, copy->len_bytes);
}

static void run_copy(const struct gpu_copy *copy, bool lanes)
{
	if (lanes)
		copy_list_run(copy, 1, 1);
	else if (copy->len_bytes > 0)
		memmove((void *)(uintptr_t)copy->dst,
			(const void *)(uintptr_t)copy->src, copy->len_bytes);
}

/* From any copy on, forwards or backwards. */
static int run_copies(const struct gpu_reference *reference,
		      const struct gpu_copy *copies, uint32_t n)
{
	bool lanes = reference->lanes && roll(reference, SPECIAL_ONE_IN) == 1;
	bool rubbish = reference->rubbish &&
		       roll(reference, SPECIAL_ONE_IN) == 1;
	uint32_t i = roll(reference, n), step = roll(reference, 2) ? n - 1 : 1;
	struct gpu_copy copy;
	int rc;

	for (uint32_t k = 0; k < n; k++, i = (i + step) % n) {
		rc = resolve(reference, &copies[i], &copy);
		if (rc)
			return rc;
		if (rubbish)
			spoil(&copy);
		run_copy(&copy, lanes);
	}
	return TCPX_OK;
}

static int run_job(const struct gpu_reference *reference,
		   const struct gpu_launch_job *job)
{
	const struct gpu_copy *copies = NULL;
	_Atomic uint64_t *flag;
	int rc;

	flag = reference->at(reference->arg, job->flag, sizeof(*flag),
			     GPU_TOUCH_WRITE);
	if (job->n_copies > 0)
		copies = reference->at(reference->arg, job->copies,
				       job->n_copies * sizeof(*copies),
				       GPU_TOUCH_READ);
	if (!flag || (job->n_copies > 0 && !copies))
		return TCPX_EGPU;
	rc = run_copies(reference, copies, job->n_copies);
	if (rc == 0)
		store_release(flag, job->value); /* gpu_job_poll() */
	return rc;
}

int gpu_reference_run(const struct gpu_reference *reference,
		      const struct gpu_launch *launch)
{
	uint32_t i = roll(reference, launch->n_jobs);
	int rc = TCPX_OK;

	for (uint32_t k = 0; rc == 0 && k < launch->n_jobs; k++) {
		rc = run_job(reference, &launch->jobs[i]);
		i = (i + 1) % launch->n_jobs;
	}
	return rc;
}
