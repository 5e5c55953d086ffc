/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda_pool.h"

/*
 * The real plugin's pool is a daemon's: made by cuMemCreate over there, handed
 * out as a descriptor, imported and mapped here. This one may be made here, and
 * goes the same way.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "libcuda.h"

enum { PINNED = 1, POSIX_FD = 1, READ_WRITE = 3, HOST_NUMA_ID = 134 };
enum location { DEVICE = 1, HOST_NUMA = 3 };

static bool did(int rc, const char *call)
{
	if (rc != 0)
		fprintf(stderr, "pool: %s: CUDA error %d\n", call, rc);
	return rc == 0;
}

/* The host's memory is that of a node: the one near the device. */
static int node_of(int device)
{
	int node;

	return cu.device_attribute(&node, HOST_NUMA_ID, device) || node < 0 ?
		       0 :
		       node;
}

static struct cu_prop prop_of(int device, enum cuda_pool_place place)
{
	const bool in_host = place == CUDA_POOL_HOST;

	return (struct cu_prop){
		.type = PINNED,
		.handle_types = POSIX_FD,
		.location_type = in_host ? HOST_NUMA : DEVICE,
		.location_id = in_host ? node_of(device) : device,
	};
}

/* The descriptor keeps the memory. */
int cuda_pool_make(int device, enum cuda_pool_place place, size_t *len_bytes)
{
	struct cu_prop prop;
	size_t piece = 0, len;
	cu_memory memory;
	bool good;
	int fd;

	if (!libcuda_load())
		return -1;
	prop = prop_of(device, place);
	if (!did(cu.vmm_granularity(&piece, &prop, 0),
		 "cuMemGetAllocationGranularity") ||
	    !piece)
		return -1;
	len = (*len_bytes + piece - 1) / piece * piece;
	if (!did(cu.vmm_create(&memory, len, &prop, 0), "cuMemCreate"))
		return -1;
	good = did(cu.vmm_export(&fd, memory, POSIX_FD, 0),
		   "cuMemExportToShareableHandle");
	cu.vmm_release(memory);
	*len_bytes = len;
	return good ? fd : -1;
}

/* The GPU's, and the CPU's if it is the host's memory. */
static bool let_in(int device, enum cuda_pool_place place, uint64_t at,
		   size_t len_bytes)
{
	const struct cu_access gpu = {DEVICE, device, READ_WRITE};
	const struct cu_access cpu = {HOST_NUMA, node_of(device), READ_WRITE};

	return did(cu.vmm_access(at, len_bytes, &gpu, 1), "cuMemSetAccess") &&
	       (place == CUDA_POOL_DEVICE ||
		did(cu.vmm_access(at, len_bytes, &cpu, 1),
		    "cuMemSetAccess for the CPU"));
}

/* What has gone wrong half way is left: the process has its pool for good, or
 * does without this kind. */
void *cuda_pool_import(int device, enum cuda_pool_place place, int fd,
		       size_t len_bytes)
{
	cu_memory memory;
	uint64_t at;

	if (!libcuda_load() ||
	    !did(cu.vmm_import(&memory, (void *)(intptr_t)fd, POSIX_FD),
		 "cuMemImportFromShareableHandle") ||
	    !did(cu.vmm_reserve(&at, len_bytes, 0, 0, 0),
		 "cuMemAddressReserve") ||
	    !did(cu.vmm_map(at, len_bytes, 0, memory, 0), "cuMemMap") ||
	    !let_in(device, place, at, len_bytes))
		return NULL;
	cu.vmm_release(memory);
	return (void *)(uintptr_t)at;
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

void *cuda_pool_map(int device, enum cuda_pool_place place, size_t len_bytes)
{
	int fd = cuda_pool_make(device, place, &len_bytes);
	void *pool = fd < 0 ? NULL :
			      cuda_pool_import(device, place, fd, len_bytes);

	if (fd >= 0)
		close(fd);
	return pool;
}
