/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The double's pool of pages on the pretend GPU: found by name, in the
 * program itself, with DOUBLE_MEMORY=:double_on_pretend_gpu.
 */

#include <pthread.h>
#include <sys/mman.h>

#include "check.h"
#include "fakes/netplugin/pretend.h"
#include "gpu/gpu.h"
#include "transport/netplugin/netplugin.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct gpu_set *gpus;

static void open_gpus(void)
{
	const struct gpu_params params = {.slot_bytes = 4096, .n_slots = 2};

	if (gpu_set_create("host", &params, &gpus))
		gpus = NULL;
}

static struct gpu *gpu_at(int device)
{
	struct gpu *gpu = NULL;
	char why[128];

	pthread_once(&once, open_gpus);
	if (!gpus ||
	    gpu_set_open(gpus, (uint32_t)device, &gpu, why, sizeof(why)))
		return NULL;
	return gpu;
}

static int current(void)
{
	return netplugin_current_device;
}

static int owner(const void *ptr)
{
	struct gpu *gpu = NULL;
	char why[128];

	pthread_once(&once, open_gpus);
	if (gpu_set_find(gpus, ptr, 1, &gpu, why, sizeof(why)) || !gpu)
		return -1;
	return (int)gpu_index(gpu);
}

static void *alloc(int device, size_t len_bytes)
{
	struct gpu *gpu = gpu_at(device);
	void *mem;

	return gpu && !gpu_mem_alloc(gpu, len_bytes, &mem) ? mem : NULL;
}

static void release(int device, void *ptr, size_t len_bytes)
{
	gpu_mem_free(gpu_at(device), ptr);
}

static void *alloc_mapped(int device, size_t len_bytes)
{
	void *ptr = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return ptr == MAP_FAILED ? NULL : ptr;
}

static void free_mapped(int device, void *ptr, size_t len_bytes)
{
	munmap(ptr, len_bytes);
}

static int copy(int device, void *dst, const void *src, size_t len_bytes)
{
	return gpu_copy_wait(gpu_at(device), dst, src, len_bytes);
}

extern const struct double_memory double_on_pretend_gpu;
__attribute__((visibility("default")))
const struct double_memory double_on_pretend_gpu = {
	.name = "pretend",
	.current = current,
	.owner = owner,
	.alloc = alloc,
	.free = release,
	.alloc_mapped = alloc_mapped,
	.free_mapped = free_mapped,
	.import = pretend_import,
	.pci = pretend_pci,
	.reach = pretend_reach,
	.copy = copy,
};
