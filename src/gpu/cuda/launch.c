/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/cuda/device.h"
#include "gpu/kernels/copy.h"

#define WARPS_A_BLOCK 8u	/* as in kernels/copy.cu */
#define DRAIN_TIMEOUT_MS 100

/* Enough warps that each has one copy of the longest list, but all jobs
 * together no more than the device holds at once. */
static uint32_t blocks_a_job(const struct gpu_device *device,
			     const struct gpu_launch *launch)
{
	uint32_t room = device->max_blocks / launch->n_jobs, most = 0, n;

	for (uint32_t i = 0; i < launch->n_jobs; i++) {
		if (launch->jobs[i].n_copies > most)
			most = launch->jobs[i].n_copies;
	}
	n = (most + WARPS_A_BLOCK - 1) / WARPS_A_BLOCK;
	n = n < room ? n : room;
	return n ? n : 1;
}

int cuda_launch(struct gpu_device *device, uint32_t stream,
		const struct gpu_launch *launch)
{
	void *params[] = {(void *)(uintptr_t)launch};
	struct cuda_scope scope;
	int rc = cuda_enter(device, &scope);
	cuda_result got;

	if (rc == 0) {
		got = cuda_api.launch(device->copy_kernel,
				      blocks_a_job(device, launch),
				      launch->n_jobs, 1,
				      WARPS_A_BLOCK * COPY_LANES, 1, 1, 0,
				      device->streams[stream], params, NULL);
		if (got != CUDA_SUCCESS)
			rc = cuda_fail(device, "cuLaunchKernel", got);
	}
	cuda_leave(&scope);
	return rc ? TCPX_EGPU : TCPX_OK;
}

/* A copy that is under way without its flag has to end before the caller may
 * be told that nothing was queued. */
static int fail_behind(struct gpu_device *device, struct CUstream_st *stream,
		       cuda_result rc)
{
	(void)cuda_drain(device, stream, DRAIN_TIMEOUT_MS);
	return cuda_fail(device, "cuStreamWriteValue64", rc);
}

int cuda_copy(struct gpu_device *device, uint32_t stream, uint64_t dst,
	      uint64_t src, uint64_t len_bytes, uint64_t flag, uint64_t value)
{
	struct CUstream_st *queue = device->streams[stream];
	cuda_result got = CUDA_SUCCESS;
	struct cuda_scope scope;
	int rc = cuda_enter(device, &scope);

	if (rc == 0 && len_bytes > 0) {
		got = cuda_api.copy(dst, src, len_bytes, queue);
		if (got != CUDA_SUCCESS)
			rc = cuda_fail(device, "cuMemcpyAsync", got);
	}
	if (rc == 0 && flag) {
		got = cuda_api.stream_write(queue, flag, value, 0);
		if (got != CUDA_SUCCESS)
			rc = fail_behind(device, queue, got);
	}
	cuda_leave(&scope);
	return rc ? TCPX_EGPU : TCPX_OK;
}

int cuda_wait_event(struct gpu_device *device, uint32_t stream,
		    uintptr_t event)
{
	struct cuda_scope scope;
	cuda_result got;
	int rc = cuda_enter(device, &scope);

	if (rc == 0) {
		got = cuda_api.stream_wait(device->streams[stream],
					   (struct CUevent_st *)event, 0);
		if (got != CUDA_SUCCESS)
			rc = cuda_fail(device, "cuStreamWaitEvent", got);
	}
	cuda_leave(&scope);
	return rc ? TCPX_EGPU : TCPX_OK;
}
