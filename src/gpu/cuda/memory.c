/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gpu/cuda/device.h"

#define HUGE_BYTES (2ul << 20)
#define MPOL_PREFERRED 1
#define COPY_TIMEOUT_MS 60000

/* Pinned memory: ours, registered with the driver, or the driver's own. */
struct cuda_pinned {
	struct cuda_pinned *next;
	void *mem;
	size_t len_bytes;
	bool ours; /* mapped by us and registered */
};

/* ---- our own mapping, near the device -------------------------------------- */

/* Huge pages, if there are any, for who sends and receives there. Not for a
 * forked child: of pages that both have, the one that the device knows could
 * become the child's. */
static void *map_aligned(size_t len_bytes)
{
	size_t extra = len_bytes >= HUGE_BYTES ? HUGE_BYTES : 0, skip = 0;
	char *map = mmap(NULL, len_bytes + extra, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED)
		return NULL;
	if (extra) {
		skip = -(uintptr_t)map & (HUGE_BYTES - 1);
		if (skip)
			munmap(map, skip);
		if (extra - skip)
			munmap(map + skip + len_bytes, extra - skip);
		(void)madvise(map + skip, len_bytes, MADV_HUGEPAGE);
	}
	(void)madvise(map + skip, len_bytes, MADV_DONTFORK);
	return map + skip;
}

/* Preferred, not bound: memory elsewhere is slower, none is worse. */
static void prefer_node(void *mem, size_t len_bytes, int node)
{
	unsigned long mask[4] = {0};
	unsigned long bits = 8 * sizeof(*mask);

	if (node < 0 || (size_t)node >= 8 * sizeof(mask))
		return;
	mask[(unsigned)node / bits] = 1ul << ((unsigned)node % bits);
	(void)syscall(SYS_mbind, mem, len_bytes, MPOL_PREFERRED, mask,
		      8 * sizeof(mask) + 1, 0);
}

static bool same_address(void *mem)
{
	cuda_ptr at = 0;

	return cuda_api.host_pointer(&at, mem, 0) == CUDA_SUCCESS &&
	       at == (uintptr_t)mem;
}

static int alloc_ours(struct gpu_device *device, size_t len_bytes, void **mem)
{
	void *new = map_aligned(len_bytes);
	cuda_result rc;

	if (!new)
		return TCPX_ENOMEM;
	prefer_node(new, len_bytes, device->numa_node);
	memset(new, 0, len_bytes);
	rc = cuda_api.host_register(new, len_bytes,
				    CUDA_HOST_PORTABLE | CUDA_HOST_DEVICEMAP);
	if (rc == CUDA_SUCCESS && same_address(new)) {
		*mem = new;
		return TCPX_OK;
	}
	if (rc == CUDA_SUCCESS)
		(void)cuda_api.host_unregister(new);
	munmap(new, len_bytes);
	return rc ? cuda_fail(device, "cuMemHostRegister", rc) :
		    TCPX_EUNSUPPORTED;
}

/* Where registered memory has another address on the device. */
static int alloc_drivers(struct gpu_device *device, size_t len_bytes,
			 void **mem)
{
	void *new = NULL;
	cuda_result rc = cuda_api.host_alloc(
		&new, len_bytes, CUDA_HOST_PORTABLE | CUDA_HOST_DEVICEMAP);

	if (rc != CUDA_SUCCESS)
		return cuda_fail(device, "cuMemHostAlloc", rc);
	memset(new, 0, len_bytes);
	*mem = new;
	return TCPX_OK;
}

int cuda_pinned_alloc(struct gpu_device *device, size_t len_bytes, void **mem)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct cuda_pinned *pinned = calloc(1, sizeof(*pinned));
	struct cuda_scope scope;
	int rc;

	if (!pinned)
		return TCPX_ENOMEM;
	len_bytes = (len_bytes + page - 1) & ~(page - 1);
	pinned->len_bytes = len_bytes;
	rc = cuda_enter(device, &scope);
	if (rc == 0)
		rc = alloc_ours(device, len_bytes, &pinned->mem);
	pinned->ours = rc == 0;
	if (rc != 0 && scope.pushed)
		rc = alloc_drivers(device, len_bytes, &pinned->mem);
	cuda_leave(&scope);
	if (rc) {
		free(pinned);
		return rc;
	}
	pthread_mutex_lock(&device->lock);
	pinned->next = device->pinned;
	device->pinned = pinned;
	pthread_mutex_unlock(&device->lock);
	*mem = pinned->mem;
	return TCPX_OK;
}

/* A mapping that the driver would not let go of is not unmapped: a device
 * might still reach it. */
static void pinned_give_back(struct gpu_device *device,
			     struct cuda_pinned *pinned)
{
	struct cuda_scope scope;

	if (cuda_enter(device, &scope) == 0) {
		if (!pinned->ours)
			(void)cuda_api.host_free(pinned->mem);
		else if (cuda_api.host_unregister(pinned->mem) == CUDA_SUCCESS)
			munmap(pinned->mem, pinned->len_bytes);
	}
	cuda_leave(&scope);
	free(pinned);
}

void cuda_pinned_free(struct gpu_device *device, void *mem)
{
	struct cuda_pinned **link = &device->pinned, *found;

	pthread_mutex_lock(&device->lock);
	while (*link && (*link)->mem != mem)
		link = &(*link)->next;
	found = *link;
	if (found)
		*link = found->next;
	pthread_mutex_unlock(&device->lock);
	if (found)
		pinned_give_back(device, found);
}

/* A few ranges: a device's slots, its jobs' lists, its ring. */
bool cuda_pinned_has(struct gpu_device *device, uint64_t at)
{
	struct cuda_pinned *pinned;

	pthread_mutex_lock(&device->lock);
	pinned = device->pinned;
	while (pinned && at - (uintptr_t)pinned->mem >= pinned->len_bytes)
		pinned = pinned->next;
	pthread_mutex_unlock(&device->lock);
	return pinned != NULL;
}

/* What is still there when the device is closed was left on purpose, because
 * something may write to it: the memory stays, the records go. */
void cuda_pinned_fini(struct gpu_device *device)
{
	struct cuda_pinned *pinned = device->pinned, *next;

	for (; pinned; pinned = next) {
		next = pinned->next;
		free(pinned);
	}
	device->pinned = NULL;
}

/* ---- device memory, of our own and of other processes ---------------------- */

/* In whole pieces, for what is smaller shares one with others, and an IPC handle
 * of it opens the piece, from its start. */
int cuda_mem_alloc(struct gpu_device *device, uint64_t len_bytes, void **mem)
{
	uint64_t pieces = len_bytes / CUDA_PIECE_BYTES +
			  (len_bytes % CUDA_PIECE_BYTES != 0);
	struct cuda_scope scope;
	cuda_ptr new = 0;
	cuda_result got;
	int rc = cuda_enter(device, &scope);

	if (rc == 0) {
		got = cuda_api.mem_alloc(&new, pieces * CUDA_PIECE_BYTES);
		if (got != CUDA_SUCCESS)
			rc = cuda_fail(device, "cuMemAlloc", got);
	}
	cuda_leave(&scope);
	if (rc == 0)
		*mem = (void *)(uintptr_t) new;
	return rc;
}

void cuda_mem_free(struct gpu_device *device, void *mem)
{
	struct cuda_scope scope;
	cuda_result got;

	if (cuda_enter(device, &scope) == 0) {
		got = cuda_api.mem_free((uintptr_t)mem);
		if (got != CUDA_SUCCESS)
			(void)cuda_fail(device, "cuMemFree", got);
	}
	cuda_leave(&scope);
}

int cuda_copy_wait(struct gpu_device *device, void *dst, const void *src,
		   uint64_t len_bytes)
{
	struct cuda_scope scope;
	cuda_result got;
	int rc = cuda_enter(device, &scope);

	if (rc == 0) {
		got = cuda_api.copy((uintptr_t)dst, (uintptr_t)src, len_bytes,
				    device->side);
		if (got != CUDA_SUCCESS)
			rc = cuda_fail(device, "cuMemcpyAsync", got);
	}
	if (rc == 0)
		rc = cuda_drain(device, device->side, COPY_TIMEOUT_MS);
	cuda_leave(&scope);
	return rc;
}

int cuda_ipc_export(struct gpu_device *device, void *mem,
		    uint8_t handle[GPU_IPC_BYTES])
{
	struct cuda_ipc_handle ipc;
	struct cuda_scope scope;
	cuda_result got;
	int rc = cuda_enter(device, &scope);

	if (rc == 0 && (uintptr_t)mem % CUDA_PIECE_BYTES)
		rc = TCPX_EINVAL;
	if (rc == 0) {
		got = cuda_api.ipc_get(&ipc, (uintptr_t)mem);
		if (got != CUDA_SUCCESS)
			rc = cuda_fail(device, "cuIpcGetMemHandle", got);
	}
	cuda_leave(&scope);
	if (rc == 0)
		memcpy(handle, &ipc, sizeof(ipc));
	return rc;
}

int cuda_ipc_open(struct gpu_device *device,
		  const uint8_t handle[GPU_IPC_BYTES], void **mem)
{
	struct cuda_ipc_handle ipc;
	struct cuda_scope scope;
	cuda_ptr new = 0;
	cuda_result got;
	int rc = cuda_enter(device, &scope);

	memcpy(&ipc, handle, sizeof(ipc));
	if (rc == 0) {
		got = cuda_api.ipc_open(&new, ipc, CUDA_IPC_LAZY_PEER);
		if (got != CUDA_SUCCESS)
			rc = cuda_fail(device, "cuIpcOpenMemHandle", got);
	}
	cuda_leave(&scope);
	if (rc == 0)
		*mem = (void *)(uintptr_t) new;
	return rc;
}

void cuda_ipc_close(struct gpu_device *device, void *mem)
{
	struct cuda_scope scope;
	cuda_result got;

	if (cuda_enter(device, &scope) == 0) {
		got = cuda_api.ipc_close((uintptr_t)mem);
		if (got != CUDA_SUCCESS)
			(void)cuda_fail(device, "cuIpcCloseMemHandle", got);
	}
	cuda_leave(&scope);
}
_Static_assert(sizeof(struct cuda_ipc_handle) == GPU_IPC_BYTES, "a handle");
