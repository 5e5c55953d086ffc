/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "gpu/cuda/device.h"
#include "gpu/kernels/copy.h"

#define WARPS_A_BLOCK 8u /* as in kernels/copy.cu */
/* So many fill the way between host and device. A job of 256 KiB has work for 8:
 * while those were all of a launch, 64 MiB over 16 lanes, in chunks of that
 * length, were a tenth slower. */
#define ROW_BLOCKS 64u

/* ---- the copy engine ---------------------------------------------------- */

/* By name of the direction: an address that is no device's is then refused,
 * and not taken for the CPU's own. */
static cuda_result queue_copy(struct gpu_device *device,
			      struct CUstream_st *queue, uint64_t dst,
			      uint64_t src, uint64_t len_bytes)
{
	if (cuda_pinned_has(device, dst))
		return cuda_api.copy_to_host((void *)(uintptr_t)dst, src,
					     len_bytes, queue);
	if (cuda_pinned_has(device, src))
		return cuda_api.copy_from_host(
			dst, (const void *)(uintptr_t)src, len_bytes, queue);
	return cuda_api.copy(dst, src, len_bytes, queue);
}

/*
 * One copy may lie in several allocations that are neighbours, which a kernel
 * does not see, but the driver refuses: then a copy for each. *n_queued: those
 * that are under way, whatever is returned.
 */
static cuda_result queue_parts(struct gpu_device *device,
			       struct CUstream_st *queue, uint64_t dst,
			       uint64_t src, uint64_t len_bytes,
			       uint32_t *n_queued)
{
	cuda_result got = queue_copy(device, queue, dst, src, len_bytes);
	uint64_t part = len_bytes;

	*n_queued = got == CUDA_SUCCESS;
	if (got != CUDA_INVALID_VALUE)
		return got;
	for (uint64_t off = 0; off < len_bytes; off += part) {
		part = cuda_extent(src + off, len_bytes - off);
		part = cuda_extent(dst + off, part);
		if (part == len_bytes)
			return CUDA_INVALID_VALUE; /* as it was refused */
		got = queue_copy(device, queue, dst + off, src + off, part);
		if (got != CUDA_SUCCESS)
			return got;
		++*n_queued;
	}
	return CUDA_SUCCESS;
}

/* ---- kernels ------------------------------------------------------------- */

/*
 * Rows of blocks: one for each job, so that the whole device works; or one for
 * all, in order, where few warps fill the way between host and device anyway:
 * then the first job is done when the last one begins.
 */
static uint32_t rows_of(const struct gpu_launch *launch)
{
	return launch->in_order ? 1 : launch->n_jobs;
}

static uint32_t blocks_of(const struct gpu_launch_job *job)
{
	return (job->n_copies + WARPS_A_BLOCK - 1) / WARPS_A_BLOCK;
}

/* Enough warps that each has one copy of the longest list, but all rows
 * together no more than the device holds at once. In one row short jobs share
 * it: the next begins in the blocks that the one before it leaves. */
static uint32_t blocks_a_row(const struct gpu_device *device,
			     const struct gpu_launch *launch, uint32_t rows)
{
	uint32_t room = device->max_blocks / rows, most = 0, all = 0, n;

	for (uint32_t i = 0; i < launch->n_jobs; i++) {
		n = blocks_of(&launch->jobs[i]);
		all += n;
		most = n > most ? n : most;
	}
	if (rows < launch->n_jobs && most < ROW_BLOCKS)
		most = all < ROW_BLOCKS ? all : ROW_BLOCKS;
	n = most < room ? most : room;
	return n ? n : 1;
}

/* Short lists go along: the kernel then need not fetch them from host memory
 * before it can begin. */
static bool pack(const struct gpu_launch *launch, struct copy_few *few)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < launch->n_jobs; i++) {
		if (launch->jobs[i].n_copies > COPY_FEW - n)
			return false;
		n += launch->jobs[i].n_copies;
	}
	few->launch = *launch;
	n = 0;
	for (uint32_t i = 0; i < launch->n_jobs; i++) {
		const struct gpu_launch_job *job = &launch->jobs[i];

		if (job->n_copies)
			memcpy(&few->copies[n],
			       (const void *)(uintptr_t)job->copies,
			       job->n_copies * sizeof(*few->copies));
		few->launch.jobs[i].copies = n;
		n += job->n_copies;
	}
	return true;
}

static cuda_result queue_kernel(struct gpu_device *device, uint32_t stream,
				const struct gpu_launch *launch)
{
	struct CUfunc_st *kernel = device->copy_kernel;
	void *params[] = {(void *)(uintptr_t)launch};
	struct copy_few few;
	uint32_t rows = rows_of(launch);

	if (pack(launch, &few)) {
		kernel = device->few_kernel;
		params[0] = &few;
	}
	return cuda_api.launch(kernel, blocks_a_row(device, launch, rows), rows,
			       1, WARPS_A_BLOCK * COPY_LANES, 1, 1, 0,
			       device->streams[stream], params, NULL);
}

int cuda_launch(struct gpu_device *device, uint32_t stream,
		const struct gpu_launch *launch)
{
	struct cuda_scope scope;
	cuda_result got;
	int rc = cuda_enter(device, &scope);

	if (rc == 0) {
		got = queue_kernel(device, stream, launch);
		if (got != CUDA_SUCCESS)
			rc = cuda_fail(device, "cuLaunchKernel", got);
	}
	cuda_leave(&scope);
	return cuda_queue_status(device, rc);
}

/* ---- copies and their flags ----------------------------------------------- */

/* Where a driver does not write in streams, a job of nothing does: its kernel
 * comes behind what is queued there, too. */
static cuda_result queue_flag(struct gpu_device *device, uint32_t stream,
			      uint64_t flag, uint64_t value)
{
	struct gpu_launch launch = {.n_jobs = 1};
	cuda_result refused = CUDA_SUCCESS, got;
	char text[160];

	if (!load_relaxed(&device->no_stream_writes)) {
		refused = cuda_api.stream_write(device->streams[stream], flag,
						value, 0);
		if (refused == CUDA_SUCCESS)
			return CUDA_SUCCESS;
	}
	launch.jobs[0].flag = flag;
	launch.jobs[0].value = value;
	got = queue_kernel(device, stream, &launch);
	if (got == CUDA_SUCCESS && refused != CUDA_SUCCESS) {
		cuda_describe(refused, text, sizeof(text));
		log_info(device->log, "gpu",
			 "device %u: cuStreamWriteValue64: %s; kernels write "
			 "the flags behind copies from now on",
			 device->index, text);
		store_relaxed(&device->no_stream_writes, true);
	}
	return got;
}

/* A copy without its flag: has it ended, all the same? */
static int fail_behind(struct gpu_device *device, uint32_t stream)
{
	return cuda_api.stream_query(device->streams[stream]) ==
			       CUDA_NOT_READY ?
		       TCPX_INPROGRESS :
		       TCPX_EGPU;
}

int cuda_copy(struct gpu_device *device, uint32_t stream, uint64_t dst,
	      uint64_t src, uint64_t len_bytes, uint64_t flag, uint64_t value)
{
	cuda_result got = CUDA_SUCCESS;
	uint32_t n_queued = 0;
	struct cuda_scope scope;
	int rc = cuda_enter(device, &scope);

	if (rc == 0 && len_bytes > 0) {
		got = queue_parts(device, device->streams[stream], dst, src,
				  len_bytes, &n_queued);
		if (got != CUDA_SUCCESS)
			rc = cuda_fail(device, "cuMemcpyAsync", got);
	}
	if (rc == 0 && flag) {
		got = queue_flag(device, stream, flag, value);
		if (got != CUDA_SUCCESS)
			rc = cuda_fail(device, "a flag behind a copy", got);
	}
	rc = rc && n_queued ? fail_behind(device, stream) :
			      cuda_queue_status(device, rc);
	cuda_leave(&scope);
	return rc;
}

/* ---- events -------------------------------------------------------------- */

int cuda_event_passed(struct gpu_device *device, uintptr_t event)
{
	struct cuda_scope scope;
	cuda_result got = CUDA_SUCCESS;
	int rc = cuda_enter(device, &scope);

	if (rc == 0)
		got = cuda_api.event_query((struct CUevent_st *)event);
	cuda_leave(&scope);
	if (rc)
		return TCPX_EGPU;
	if (got == CUDA_SUCCESS)
		return TCPX_OK;
	if (got == CUDA_NOT_READY)
		return TCPX_INPROGRESS;
	(void)cuda_fail(device, "cuEventQuery", got);
	return cuda_blames_event(got) ? TCPX_EINVAL : TCPX_EGPU;
}
