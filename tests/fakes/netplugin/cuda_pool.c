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

/* 0: the driver does not do it. */
static handle_t imported(const struct prop *prop, size_t len_bytes)
{
	handle_t ours, theirs;
	int fd, rc;

	if (cu.create(&ours, len_bytes, prop, 0))
		return 0;
	rc = cu.to_fd(&fd, ours, POSIX_FD, 0);
	cu.release(ours);
	if (rc)
		return 0;
	rc = cu.from_fd(&theirs, (void *)(intptr_t)fd, POSIX_FD);
	close(fd);
	return rc ? 0 : theirs;
}

void *cuda_pool_map(int device, size_t len_bytes)
{
	const struct prop prop = {.type = PINNED,
				  .handle_types = POSIX_FD,
				  .location_type = DEVICE,
				  .location_id = device};
	const struct access access = {DEVICE, device, READ_WRITE};
	size_t piece = 0;
	uint64_t at;

	if (!load() || cu.granularity(&piece, &prop, 0) || !piece)
		return NULL;
	len_bytes = (len_bytes + piece - 1) / piece * piece;
	handle_t memory = imported(&prop, len_bytes);

	/* What has gone wrong half way is left: the process has its pool for
	 * good, or does without this kind. */
	if (!memory || cu.reserve(&at, len_bytes, 0, 0, 0) ||
	    cu.map(at, len_bytes, 0, memory, 0) ||
	    cu.set_access(at, len_bytes, &access, 1))
		return NULL;
	cu.release(memory);
	return (void *)(uintptr_t)at;
}
