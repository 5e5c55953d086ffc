/* SPDX-License-Identifier: Apache-2.0 */
#include "place.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"
#include "gpu/gpu.h"
#include "transport/netplugin/netplugin.h"

#define CHUNK COMPARE_CHUNK

static struct gpu_set *gpus;
static struct gpu *gpu;
static uint8_t *target; /* twice a chunk */

/* A plugin asks for the current device of the thread that calls. */
static void set_current(const char *driver)
{
	int (*retain)(void **context, int device), (*set)(void *context);
	void *lib, *context;

	netplugin_current_device = 0;
	if (strcmp(driver, "cuda") != 0)
		return;
	lib = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
	if (!lib)
		compare_die("no libcuda");
	*(void **)&retain = dlsym(lib, "cuDevicePrimaryCtxRetain");
	*(void **)&set = dlsym(lib, "cuCtxSetCurrent");
	if (!retain || !set || retain(&context, 0) || set(context))
		compare_die("no context");
}

void place_open(const char *driver)
{
	const struct gpu_params params = {.slot_bytes = 4096, .n_slots = 2};
	char why[200] = "";

	if (!driver) {
		target = malloc(2 * (size_t)CHUNK);
		if (!target)
			compare_die("no memory");
		memset(target, 1, 2 * (size_t)CHUNK);
		return;
	}
	if (gpu_set_create(driver, &params, &gpus) ||
	    !gpu_set_count(gpus, why, sizeof(why)) ||
	    gpu_set_open(gpus, 0, &gpu, why, sizeof(why)) ||
	    gpu_mem_alloc(gpu, 2 * (uint64_t)CHUNK, (void **)&target))
		compare_die(why);
	set_current(driver);
}

struct gpu_set *place_gpus(void)
{
	return gpus;
}

struct gpu *place_gpu(void)
{
	return gpu;
}

uint8_t *place_alloc(uint64_t len_bytes)
{
	void *mem = NULL;

	if (!gpu)
		mem = aligned_alloc(4096, len_bytes);
	else if (gpu_mem_alloc(gpu, len_bytes, &mem))
		mem = NULL;
	if (!mem)
		compare_die("no memory");
	if (!gpu)
		memset(mem, 0, len_bytes);
	return mem;
}

void place_read(void *to, const void *from, uint64_t len_bytes)
{
	if (!gpu)
		memcpy(to, from, len_bytes);
	else if (gpu_copy_wait(gpu, to, from, len_bytes))
		compare_die("the GPU's memory cannot be read");
}

bool place_begin(struct gpu_job **job)
{
	*job = gpu ? gpu_job_get(gpu) : NULL;
	return *job || !gpu;
}

void place_add(struct gpu_job *job, uint64_t dst_off, const uint8_t *src,
	       uint32_t len_bytes)
{
	if (!job)
		memcpy(target + dst_off, src, len_bytes);
	else if (!gpu_job_add(job, target + dst_off, src, len_bytes))
		compare_die("a job is full");
}

void place_end(struct gpu_job *job, unsigned n_copies)
{
	if (job)
		gpu_job_submit(job);
	for (unsigned i = 1; !job && i < n_copies; i++)
		memcpy(target + CHUNK, target, CHUNK);
}

void place_flush(void)
{
	if (gpu)
		gpu_flush(gpu);
}

bool place_done(struct gpu_job *job)
{
	int status = job ? gpu_job_poll(job) : 0;

	if (status < 0)
		compare_die("the GPU failed");
	if (job && !status)
		gpu_job_put(job);
	return !status;
}
