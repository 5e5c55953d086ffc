/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <tcpx/status.h>

#include "gpu/cuda/device.h"

/*
 * Two kinds of memory, two kinds of handle: what cuMemAlloc gave has an IPC
 * handle of its start; what was made by cuMemCreate and mapped, as the pool
 * that a daemon hands to a plugin, has a descriptor, if its maker allowed one.
 * A refusal is an answer, not a failure: nothing of it is logged, or kept as
 * the device's cause.
 */

enum share_kind {
	SHARE_IPC = 1,
	SHARE_FD,
};

static bool has_vmm(void)
{
	return cuda_api.vmm_retain && cuda_api.vmm_release &&
	       cuda_api.vmm_export && cuda_api.vmm_import &&
	       cuda_api.vmm_reserve && cuda_api.vmm_unreserve &&
	       cuda_api.vmm_map && cuda_api.vmm_unmap && cuda_api.vmm_access;
}

/* ---- export ---------------------------------------------------------------- */

/* The allocation, or the mapping, that mem is in. */
static bool find_all(uint64_t mem, int start, int bytes,
		     struct gpu_share *share, uint64_t *base)
{
	int attributes[] = {start, bytes};
	void *values[] = {base, &share->all_bytes};

	*base = share->all_bytes = 0;
	if (cuda_api.pointer(2, attributes, values, mem) != CUDA_SUCCESS)
		return false;
	share->off = mem - *base;
	return share->off < share->all_bytes;
}

/* Not of what may share a piece with others: see cuda_mem_alloc(). */
static bool export_ipc(uint64_t mem, struct gpu_share *share)
{
	struct cuda_ipc_handle ipc;
	uint64_t base;

	if (!find_all(mem, CUDA_PTR_RANGE_START, CUDA_PTR_RANGE_BYTES, share,
		      &base) ||
	    base % CUDA_PIECE_BYTES || share->all_bytes % CUDA_PIECE_BYTES ||
	    cuda_api.ipc_get(&ipc, base) != CUDA_SUCCESS)
		return false;
	share->kind = SHARE_IPC;
	memcpy(share->handle, &ipc, sizeof(ipc));
	return true;
}

static bool export_fd(uint64_t mem, struct gpu_share *share, int *fd)
{
	unsigned long long handle;
	cuda_result got;
	uint64_t base;
	int new = -1;

	if (!has_vmm() ||
	    !find_all(mem, CUDA_PTR_MAPPING_START, CUDA_PTR_MAPPING_BYTES,
		      share, &base) ||
	    cuda_api.vmm_retain(&handle, (void *)(uintptr_t)base) !=
		    CUDA_SUCCESS)
		return false;
	got = cuda_api.vmm_export(&new, handle, CUDA_HANDLE_POSIX_FD, 0);
	(void)cuda_api.vmm_release(handle);
	if (got != CUDA_SUCCESS || new < 0)
		return false;
	share->kind = SHARE_FD;
	*fd = new;
	return true;
}

int cuda_share_export(struct gpu_device *device, const void *mem,
		      struct gpu_share *share, int *fd)
{
	struct cuda_scope scope;
	int rc = cuda_enter(device, &scope);

	if (rc == 0 && !export_ipc((uintptr_t)mem, share) &&
	    !export_fd((uintptr_t)mem, share, fd))
		rc = TCPX_EUNSUPPORTED;
	cuda_leave(&scope);
	return rc;
}

/* ---- open ------------------------------------------------------------------ */

static bool open_ipc(const struct gpu_share *share, cuda_ptr *base)
{
	struct cuda_ipc_handle ipc;
	struct gpu_share opened = {0};
	uint64_t start;

	memcpy(&ipc, share->handle, sizeof(ipc));
	if (cuda_api.ipc_open(base, ipc, CUDA_IPC_LAZY_PEER) != CUDA_SUCCESS)
		return false;
	/* How long it is the driver knows, too. */
	if (!find_all(*base, CUDA_PTR_RANGE_START, CUDA_PTR_RANGE_BYTES,
		      &opened, &start) ||
	    opened.all_bytes - opened.off >= share->all_bytes)
		return true;
	(void)cuda_api.ipc_close(*base);
	return false;
}

/* A copy from host memory to host memory may be the CPU's work, inside the
 * driver, too: with a right for the device only the process would die of it. */
static bool let_cpu_in(unsigned long long handle, cuda_ptr base,
		       uint64_t len_bytes)
{
	struct cuda_mem_prop prop = {0};
	struct cuda_access access;

	/* A device's, as far as is known. */
	if (!cuda_api.vmm_prop ||
	    cuda_api.vmm_prop(&prop, handle) != CUDA_SUCCESS ||
	    (prop.location_kind != CUDA_LOCATION_HOST &&
	     prop.location_kind != CUDA_LOCATION_HOST_NUMA))
		return true;
	access = (struct cuda_access){prop.location_kind, prop.location_id,
				      CUDA_ACCESS_READ_WRITE};
	return cuda_api.vmm_access(base, len_bytes, &access, 1) == CUDA_SUCCESS;
}

/* The mapping keeps the memory, so the handle may go. */
static bool map_handle(struct gpu_device *device, unsigned long long handle,
		       uint64_t len_bytes, cuda_ptr *base)
{
	const struct cuda_access access = {CUDA_LOCATION_DEVICE, device->device,
					   CUDA_ACCESS_READ_WRITE};

	if (cuda_api.vmm_reserve(base, len_bytes, 0, 0, 0) != CUDA_SUCCESS)
		return false;
	if (cuda_api.vmm_map(*base, len_bytes, 0, handle, 0) != CUDA_SUCCESS)
		goto err_unreserve;
	if (cuda_api.vmm_access(*base, len_bytes, &access, 1) == CUDA_SUCCESS &&
	    let_cpu_in(handle, *base, len_bytes))
		return true;
	(void)cuda_api.vmm_unmap(*base, len_bytes);
err_unreserve:
	(void)cuda_api.vmm_unreserve(*base, len_bytes);
	return false;
}

static bool open_fd(struct gpu_device *device, const struct gpu_share *share,
		    int fd, cuda_ptr *base)
{
	unsigned long long handle;
	bool mapped;

	if (!has_vmm() || fd < 0 ||
	    cuda_api.vmm_import(&handle, (void *)(intptr_t)fd,
				CUDA_HANDLE_POSIX_FD) != CUDA_SUCCESS)
		return false;
	mapped = map_handle(device, handle, share->all_bytes, base);
	(void)cuda_api.vmm_release(handle);
	return mapped;
}

void cuda_share_of_fd(struct gpu_device *device, struct gpu_share *share)
{
	share->kind = SHARE_FD;
}

int cuda_share_open(struct gpu_device *device, const struct gpu_share *share,
		    int fd, void **base)
{
	struct cuda_scope scope;
	cuda_ptr new = 0;
	int rc = cuda_enter(device, &scope);

	if (rc == 0 &&
	    !(share->kind == SHARE_IPC ? open_ipc(share, &new) :
					 open_fd(device, share, fd, &new)))
		rc = TCPX_EUNSUPPORTED;
	cuda_leave(&scope);
	if (rc == 0)
		*base = (void *)(uintptr_t) new;
	return rc;
}

void cuda_share_close(struct gpu_device *device, const struct gpu_share *share,
		      void *base)
{
	uint64_t at = (uintptr_t)base;
	struct cuda_scope scope;
	cuda_result got;

	if (cuda_enter(device, &scope) == 0) {
		got = share->kind == SHARE_IPC ?
			      cuda_api.ipc_close(at) :
			      cuda_api.vmm_unmap(at, share->all_bytes);
		if (got == CUDA_SUCCESS && share->kind == SHARE_FD)
			got = cuda_api.vmm_unreserve(at, share->all_bytes);
		if (got != CUDA_SUCCESS)
			(void)cuda_fail(device, "closing shared memory", got);
	}
	cuda_leave(&scope);
}
