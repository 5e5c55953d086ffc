/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda_pool.h"

/*
 * The real plugin's pool is a daemon's: made by cuMemCreate over there, handed
 * out as a descriptor, imported and mapped here. This one is made here, and
 * goes the same way.
 */

#include <stdint.h>
#include <unistd.h>

#include "libcuda.h"

enum { PINNED = 1, POSIX_FD = 1, DEVICE = 1, READ_WRITE = 3 };

/* The descriptor keeps the memory. */
int cuda_pool_make(int device, size_t *len_bytes)
{
	const struct cu_prop prop = {.type = PINNED,
				     .handle_types = POSIX_FD,
				     .location_type = DEVICE,
				     .location_id = device};
	size_t piece = 0;
	cu_memory memory;
	int fd, rc;

	if (!libcuda_load() || cu.vmm_granularity(&piece, &prop, 0) || !piece)
		return -1;
	*len_bytes = (*len_bytes + piece - 1) / piece * piece;
	if (cu.vmm_create(&memory, *len_bytes, &prop, 0))
		return -1;
	rc = cu.vmm_export(&fd, memory, POSIX_FD, 0);
	cu.vmm_release(memory);
	return rc ? -1 : fd;
}

static void *map(int device, cu_memory memory, size_t len_bytes)
{
	const struct cu_access access = {DEVICE, device, READ_WRITE};
	uint64_t at;

	/* What has gone wrong half way is left: the process has its pool for
	 * good, or does without this kind. */
	if (!memory || cu.vmm_reserve(&at, len_bytes, 0, 0, 0) ||
	    cu.vmm_map(at, len_bytes, 0, memory, 0) ||
	    cu.vmm_access(at, len_bytes, &access, 1))
		return NULL;
	cu.vmm_release(memory);
	return (void *)(uintptr_t)at;
}

void *cuda_pool_import(int device, int fd, size_t len_bytes)
{
	cu_memory memory;

	if (!libcuda_load() ||
	    cu.vmm_import(&memory, (void *)(intptr_t)fd, POSIX_FD))
		return NULL;
	return map(device, memory, len_bytes);
}

/* The daemon writes it in lower case. */
int cuda_pool_pci(int device, char *text, int cap_bytes)
{
	if (!libcuda_load() || cu.device_pci(text, cap_bytes, device))
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
