/* SPDX-License-Identifier: Apache-2.0 */
#include "place.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	_exit(1);
}

/* Eight bytes of the pattern: the same four twice. */
static uint32_t pattern(uint64_t seed, uint64_t off)
{
	uint64_t word =
		(off / 8 + seed * 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u;

	return (uint32_t)(word >> 32);
}

uint8_t place_byte(uint64_t seed, uint64_t off)
{
	return (uint8_t)(pattern(seed, off) >> off % 4 * 8);
}

/* ---- libcuda ---------------------------------------------------------- */

struct cuda {
	int (*init)(unsigned int flags);
	int (*get)(int *device, int ordinal);
	int (*retain)(void **context, int device);
	int (*set)(void *context);
	int (*alloc)(uint64_t *addr, size_t len_bytes);
	int (*to)(uint64_t addr, const void *from, size_t len_bytes);
	int (*from)(void *to, uint64_t addr, size_t len_bytes);
};

static struct cuda cuda;

static void *symbol(void *library, const char *name)
{
	void *found = dlsym(library, name);

	if (!found)
		die("libcuda has no %s", name);
	return found;
}

static void cuda_must(int result, const char *what)
{
	if (result)
		die("%s: CUDA error %d", what, result);
}

static void cuda_open(int ordinal)
{
	void *library = dlopen("libcuda.so.1", RTLD_NOW), *context;
	int device;

	if (!library)
		die("%s", dlerror());
	*(void **)(void *)&cuda.init = symbol(library, "cuInit");
	*(void **)(void *)&cuda.get = symbol(library, "cuDeviceGet");
	*(void **)(void *)&cuda.retain =
		symbol(library, "cuDevicePrimaryCtxRetain");
	*(void **)(void *)&cuda.set = symbol(library, "cuCtxSetCurrent");
	*(void **)(void *)&cuda.alloc = symbol(library, "cuMemAlloc_v2");
	*(void **)(void *)&cuda.to = symbol(library, "cuMemcpyHtoD_v2");
	*(void **)(void *)&cuda.from = symbol(library, "cuMemcpyDtoH_v2");
	cuda_must(cuda.init(0), "cuInit");
	cuda_must(cuda.get(&device, ordinal), "cuDeviceGet");
	cuda_must(cuda.retain(&context, device), "cuDevicePrimaryCtxRetain");
	cuda_must(cuda.set(context), "cuCtxSetCurrent");
}

/* ---- memory ----------------------------------------------------------- */

static uint8_t *host_memory(size_t len_bytes)
{
	void *memory = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("no %zu bytes of memory", len_bytes);
	return memory;
}

void place_open(struct place *place, int device, size_t len_bytes)
{
	*place = (struct place){.device = device, .len_bytes = len_bytes};
	place->copy = host_memory(len_bytes);
	place->base = (uint64_t)(uintptr_t)place->copy;
	if (device < 0)
		return;
	cuda_open(device);
	cuda_must(cuda.alloc(&place->base, len_bytes), "cuMemAlloc");
}

void place_fill(struct place *place, uint64_t seed)
{
	for (size_t i = 0; i < place->len_bytes; i += 8) {
		uint32_t four = pattern(seed, i);

		memcpy(place->copy + i, &four, 4);
		memcpy(place->copy + i + 4, &four, 4);
	}
	if (place->device >= 0)
		cuda_must(cuda.to(place->base, place->copy, place->len_bytes),
			  "cuMemcpyHtoD");
}

const uint8_t *place_look(struct place *place)
{
	if (place->device >= 0)
		cuda_must(cuda.from(place->copy, place->base, place->len_bytes),
			  "cuMemcpyDtoH");
	return place->copy;
}
