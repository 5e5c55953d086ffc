/* SPDX-License-Identifier: Apache-2.0 */
#include "memory.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "conf.h"
#include "rules.h"

#define EXPORT __attribute__((visibility("default")))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct double_memory *chosen; /* covered by the lock */
static __thread int device_here;

static int host_current(void)
{
	return device_here;
}

static int host_owner(const void *ptr)
{
	return -1;
}

/* Without reserve: a pool may span 4 GiB and use little of it. */
static void *host_alloc(int device, size_t len_bytes)
{
	void *ptr = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return ptr == MAP_FAILED ? NULL : ptr;
}

static void host_free(int device, void *ptr, size_t len_bytes)
{
	munmap(ptr, len_bytes);
}

static int host_copy(int device, void *dst, const void *src, size_t len_bytes)
{
	memcpy(dst, src, len_bytes);
	return 0;
}

static const struct double_memory host_memory = {
	.name = "host",
	.direct = true,
	.current = host_current,
	.owner = host_owner,
	.alloc = host_alloc,
	.free = host_free,
	.alloc_mapped = host_alloc,
	.free_mapped = host_free,
	.copy = host_copy,
};

EXPORT void double_set_device(int device)
{
	device_here = device;
}

EXPORT void double_set_memory(const struct double_memory *memory)
{
	pthread_mutex_lock(&lock);
	chosen = memory;
	pthread_mutex_unlock(&lock);
}

/* "FILE.so:SYMBOL" */
static const struct double_memory *by_name(const char *text)
{
	const char *colon = strrchr(text, ':');
	void *object = RTLD_DEFAULT;
	const void *found;
	char path[512];

	if (!colon || (size_t)(colon - text) >= sizeof(path))
		return NULL;
	if (colon > text) {
		memcpy(path, text, (size_t)(colon - text));
		path[colon - text] = '\0';
		object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
		if (!object)
			return NULL;
	}
	found = dlsym(object, colon + 1);
	return found;
}

static const struct double_memory *choose(const char *text)
{
	const struct double_memory *memory = NULL;

	if (!text || strcmp(text, "auto") == 0)
		return cuda_in_use() ? cuda_memory() : &host_memory;
	if (strcmp(text, "host") == 0)
		return &host_memory;
	if (strcmp(text, "cuda") == 0)
		memory = cuda_memory();
	else
		memory = by_name(text);
	if (!memory)
		rules_exit("DOUBLE_MEMORY names nothing that is here");
	return memory;
}

EXPORT const struct double_memory *double_memory_now(void)
{
	return memory_get();
}

int memory_current(void)
{
	const struct double_memory *memory = memory_get();
	int device = memory->current();

	if (device >= 0 && memory->prepare && memory->prepare(device))
		rules_exit("CUDA call failed");
	return device;
}

const struct double_memory *memory_get(void)
{
	const struct double_memory *memory;

	pthread_mutex_lock(&lock);
	if (!chosen)
		chosen = choose(conf_get()->memory);
	memory = chosen;
	pthread_mutex_unlock(&lock);
	if (!memory)
		rules_exit("the GPU cannot be used");
	return memory;
}
