/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda_pool.h"

/*
 * The real plugin's pool is a daemon's: made by cuMemCreate over there, handed
 * out as a descriptor, imported and mapped here. This one is made here, and
 * goes the same way.
 */

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

enum { PINNED = 1, POSIX_FD = 1, DEVICE = 1, READ_WRITE = 3 };

typedef unsigned long long handle_t;

/* CUmemAllocationProp, CUmemAccessDesc */
struct prop {
	int type, handle_types;
	int location_type, location_id;
	void *unused;
	uint8_t flags[8];
};
struct access {
	int location_type, location_id, rights;
};
_Static_assert(sizeof(struct prop) == 32, "CUmemAllocationProp");

typedef int (*cu_any_fn)(void);

static struct {
	int (*granularity)(size_t *bytes, const struct prop *prop, int which);
	int (*create)(handle_t *memory, size_t len_bytes,
		      const struct prop *prop, unsigned long long flags);
	int (*release)(handle_t memory);
	int (*to_fd)(void *fd, handle_t memory, int kind,
		     unsigned long long flags);
	int (*from_fd)(handle_t *memory, void *fd, int kind);
	int (*reserve)(uint64_t *at, size_t len_bytes, size_t alignment,
		       uint64_t wanted, unsigned long long flags);
	int (*map)(uint64_t at, size_t len_bytes, size_t off, handle_t memory,
		   unsigned long long flags);
	int (*set_access)(uint64_t at, size_t len_bytes,
			  const struct access *access, size_t n);
	int (*pci)(char *text, int cap_bytes, int device);
} cu;

static const struct {
	const char *name;
	cu_any_fn *fn;
} names[] = {
	{"cuMemGetAllocationGranularity", (cu_any_fn *)&cu.granularity},
	{"cuMemCreate", (cu_any_fn *)&cu.create},
	{"cuMemRelease", (cu_any_fn *)&cu.release},
	{"cuMemExportToShareableHandle", (cu_any_fn *)&cu.to_fd},
	{"cuMemImportFromShareableHandle", (cu_any_fn *)&cu.from_fd},
	{"cuMemAddressReserve", (cu_any_fn *)&cu.reserve},
	{"cuMemMap", (cu_any_fn *)&cu.map},
	{"cuMemSetAccess", (cu_any_fn *)&cu.set_access},
	{"cuDeviceGetPCIBusId", (cu_any_fn *)&cu.pci},
};

static bool load(void)
{
	void *object = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);

	for (size_t i = 0; object && i < sizeof(names) / sizeof(*names); i++) {
		*names[i].fn = (cu_any_fn)dlsym(object, names[i].name);
		if (!*names[i].fn)
			return false;
	}
	return object != NULL;
}

/* The descriptor keeps the memory. */
int cuda_pool_make(int device, size_t *len_bytes)
{
	const struct prop prop = {.type = PINNED,
				  .handle_types = POSIX_FD,
				  .location_type = DEVICE,
				  .location_id = device};
	size_t piece = 0;
	handle_t memory;
	int fd, rc;

	if (!load() || cu.granularity(&piece, &prop, 0) || !piece)
		return -1;
	*len_bytes = (*len_bytes + piece - 1) / piece * piece;
	if (cu.create(&memory, *len_bytes, &prop, 0))
		return -1;
	rc = cu.to_fd(&fd, memory, POSIX_FD, 0);
	cu.release(memory);
	return rc ? -1 : fd;
}

static void *map(int device, handle_t memory, size_t len_bytes)
{
	const struct access access = {DEVICE, device, READ_WRITE};
	uint64_t at;

	/* What has gone wrong half way is left: the process has its pool for
	 * good, or does without this kind. */
	if (!memory || cu.reserve(&at, len_bytes, 0, 0, 0) ||
	    cu.map(at, len_bytes, 0, memory, 0) ||
	    cu.set_access(at, len_bytes, &access, 1))
		return NULL;
	cu.release(memory);
	return (void *)(uintptr_t)at;
}

void *cuda_pool_import(int device, int fd, size_t len_bytes)
{
	handle_t memory;

	if (!load() || cu.from_fd(&memory, (void *)(intptr_t)fd, POSIX_FD))
		return NULL;
	return map(device, memory, len_bytes);
}

/* The daemon writes it in lower case. */
int cuda_pool_pci(int device, char *text, int cap_bytes)
{
	if (!load() || cu.pci(text, cap_bytes, device))
		return -1;
	for (char *c = text; *c; c++)
		if (*c >= 'A' && *c <= 'F')
			*c = (char)(*c - 'A' + 'a');
	return 0;
}

void *cuda_pool_map(int device, size_t len_bytes)
{
	int fd = cuda_pool_make(device, &len_bytes);
	void *pool = fd < 0 ? NULL : cuda_pool_import(device, fd, len_bytes);

	if (fd >= 0)
		close(fd);
	return pool;
}
