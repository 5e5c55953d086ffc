/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/host/host.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tcpx/status.h>

#include "base/clock.h"
#include "base/parse.h"
#include "gpu/host/foreign.h"
#include "gpu/host/pretend.h"
#include "gpu/host/ranges.h"

#define DEVICES 2u
#define DELAY_US 40u
#define MEM_BYTES (8ull << 30)
#define HANG_MS 10000u

static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;
static struct shared all_shared[GPU_DEVICES_MAX];
static _Atomic uint32_t n_devices;

/* ---- the environment -------------------------------------------------- */

static uint64_t env_number(const char *name, uint64_t otherwise, uint64_t max)
{
	const char *text = getenv(name);
	uint64_t value;

	return text && parse_u64(text, &value) && value <= max ? value :
								 otherwise;
}

static enum fault fault_kind(const char *text, size_t len)
{
	static const char *const names[] = {
		[FAULT_REFUSE] = "refuse",
		[FAULT_BREAK] = "break",
		[FAULT_HANG] = "hang",
	};

	for (size_t i = FAULT_REFUSE; i <= FAULT_HANG; i++) {
		if (strlen(names[i]) == len &&
		    strncmp(names[i], text, len) == 0)
			return (enum fault)i;
	}
	return FAULT_NONE;
}

/* KIND:N[:DEVICE] */
static void read_fault(struct shared *shared, uint32_t index)
{
	const char *text = getenv("TCPX_GPU_HOST_FAULT");
	const char *colon = text ? strchr(text, ':') : NULL;
	unsigned long long at;
	unsigned device = index;

	shared->fault = FAULT_NONE;
	if (!colon || sscanf(colon, ":%llu:%u", &at, &device) < 1 ||
	    device != index)
		return;
	shared->fault = fault_kind(text, (size_t)(colon - text));
	shared->fault_at = at;
}

/* ---- the driver ------------------------------------------------------- */

static bool host_is_loaded(void)
{
	return true;
}

static int host_load(char *why, size_t cap_bytes)
{
	store_relaxed(&n_devices,
		      (uint32_t)env_number("TCPX_GPU_HOST_DEVICES", DEVICES,
					   GPU_DEVICES_MAX));
	return TCPX_OK;
}

static uint32_t host_count(char *why, size_t cap_bytes)
{
	uint32_t n = load_relaxed(&n_devices);

	if (n == 0)
		snprintf(why, cap_bytes, "driver host sees no device");
	return n;
}

static int host_info(uint32_t index, struct gpu_info *info)
{
	memset(info, 0, sizeof(*info));
	snprintf(info->name, sizeof(info->name), "pretend GPU %u", index);
	snprintf(info->driver, sizeof(info->driver), "host");
	info->mem_bytes = MEM_BYTES;
	info->copy_engines = 2;
	return TCPX_OK;
}

static int host_classify(const void *addr, uint64_t len_bytes,
			 enum gpu_mem_kind *kind, uint32_t *index, char *why,
			 size_t cap_bytes)
{
	const struct range *range;
	uint32_t of = 0;
	int rc = TCPX_OK;

	foreign_look((uintptr_t)addr);
	ranges_hold();
	range = ranges_find((uintptr_t)addr);
	if (range && range->kind == RANGE_DEVICE)
		of = range->index;
	if (len_bytes > UINT64_MAX - (uintptr_t)addr) {
		snprintf(why, cap_bytes, "%llu bytes from %p wrap around",
			 (unsigned long long)len_bytes, addr);
		rc = TCPX_EINVAL;
	} else if (!ranges_at(of, (uintptr_t)addr, len_bytes ? len_bytes : 1,
			      true, why, cap_bytes)) {
		rc = TCPX_EINVAL;
	} else {
		*kind = range && range->kind == RANGE_DEVICE &&
					(uintptr_t)addr - range->base <
						range->len_bytes ?
				GPU_MEM_DEVICE :
				GPU_MEM_HOST;
		*index = of;
	}
	ranges_release();
	return rc;
}

/* ---- memory ----------------------------------------------------------- */

static int host_pinned_alloc(struct gpu_device *device, size_t len_bytes,
			     void **mem)
{
	int rc = ranges_alloc_pinned(len_bytes, mem);

	return rc ? pretend_complain(device, rc, "out of memory to pin") :
		    TCPX_OK;
}

static void host_pinned_free(struct gpu_device *device, void *mem)
{
	(void)ranges_free(mem);
}

static int host_mem_alloc(struct gpu_device *device, uint64_t len_bytes,
			  void **mem)
{
	int rc;

	if (pretend_has_failed(device))
		return TCPX_EGPU;
	if (len_bytes == 0)
		return pretend_complain(device, TCPX_EINVAL,
					"0 bytes of memory");
	if (len_bytes > MEM_BYTES)
		return pretend_complain(device, TCPX_ENOMEM,
					"out of device memory");
	rc = ranges_alloc_device(device->index, len_bytes, mem);
	return rc ? pretend_complain(device, rc, "out of memory") : TCPX_OK;
}

static void host_mem_free(struct gpu_device *device, void *mem)
{
	if (ranges_free(mem) != 0)
		pretend_fail(device, "freed memory that is not allocated");
}

static int host_copy_wait(struct gpu_device *device, void *dst, const void *src,
			  uint64_t len_bytes)
{
	char why[CAUSE_MAX] = "";
	void *to, *from;

	if (pretend_has_failed(device))
		return TCPX_EGPU;
	if (len_bytes == 0)
		return TCPX_OK;
	ranges_hold();
	from = ranges_at(device->index, (uintptr_t)src, len_bytes, true, why,
			 sizeof(why));
	to = ranges_at(device->index, (uintptr_t)dst, len_bytes, true, why,
		       sizeof(why));
	if (from && to)
		memmove(to, from, len_bytes);
	ranges_release();
	return from && to ?
		       TCPX_OK :
		       pretend_complain(device, TCPX_EINVAL, "invalid address");
}

static int host_ipc_export(struct gpu_device *device, void *mem,
			   uint8_t handle[GPU_IPC_BYTES])
{
	int rc = ranges_export(mem, handle);

	return rc ? pretend_complain(device, rc,
				     "not the start of an allocation") :
		    0;
}

static int host_ipc_open(struct gpu_device *device,
			 const uint8_t handle[GPU_IPC_BYTES], void **mem)
{
	int rc = ranges_import(device->index, handle, mem);

	return rc ? pretend_complain(
			    device, rc,
			    "no handle of another process for this device") :
		    TCPX_OK;
}

static void host_ipc_close(struct gpu_device *device, void *mem)
{
	host_mem_free(device, mem);
}

static bool is_unshared(const char *half)
{
	const char *text = getenv("TCPX_GPU_HOST_UNSHARED");

	return text && strcmp(text, half) == 0;
}

/* What the handle says: the device. The rest is the descriptor. */
static void host_share_of_fd(struct gpu_device *device, struct gpu_share *share)
{
	memcpy(share->handle, &device->index, sizeof(device->index));
}

static int host_share_export(struct gpu_device *device, const void *mem,
			     struct gpu_share *share, int *fd)
{
	uint64_t base = (uintptr_t)mem;
	int rc;

	foreign_look((uintptr_t)mem);
	rc = ranges_share(device->index, (uintptr_t)mem, fd, &base,
			  &share->all_bytes);
	share->off = (uintptr_t)mem - base;
	host_share_of_fd(device, share);
	if (!rc && is_unshared("export")) {
		close(*fd);
		*fd = -1;
		rc = TCPX_EUNSUPPORTED;
	}
	return rc;
}

static int host_share_open(struct gpu_device *device,
			   const struct gpu_share *share, int fd, void **base)
{
	uint32_t index;

	memcpy(&index, share->handle, sizeof(index));
	if (index != device->index || is_unshared("open"))
		return TCPX_EUNSUPPORTED;
	return ranges_join(index, fd, share->all_bytes, base);
}

static void host_share_close(struct gpu_device *device,
			     const struct gpu_share *share, void *base)
{
	host_mem_free(device, base);
}

/* ---- open, close ------------------------------------------------------ */

static struct shared *share_get(uint32_t index)
{
	struct shared *shared = &all_shared[index];

	pthread_mutex_lock(&shared_lock);
	if (shared->n_open++ == 0) {
		read_fault(shared, index);
		store_relaxed(&shared->n_launches, 0);
		store_relaxed(&shared->failed, false);
		store_relaxed(&shared->failing, 0);
	}
	pthread_mutex_unlock(&shared_lock);
	return shared;
}

static void share_put(struct shared *shared)
{
	pthread_mutex_lock(&shared_lock);
	shared->n_open--;
	pthread_mutex_unlock(&shared_lock);
}

static int host_open(uint32_t index, const struct gpu_params *params,
		     struct gpu_device **out, char *why, size_t cap_bytes)
{
	uint64_t delay_us =
		env_number("TCPX_GPU_HOST_DELAY_US", DELAY_US, 1000000);
	struct gpu_device *device = calloc(1, sizeof(*device));
	int rc = TCPX_ENOMEM;

	if (!device)
		goto err_none;
	device->index = index;
	device->dicey = delay_us > 0;
	device->shared = share_get(index);
	store_relaxed(&device->last, "no failure");
	rc = streams_start(&device->streams, params->seed * 64 + index,
			   delay_us * NS_PER_US, pretend_run_task, device);
	if (rc)
		goto err_device;
	*out = device;
	return TCPX_OK;

err_device:
	share_put(device->shared);
	free(device);
err_none:
	snprintf(why, cap_bytes, "out of memory for a pretend GPU");
	return rc;
}

static void host_close(struct gpu_device *device)
{
	streams_stop(&device->streams);
	share_put(device->shared);
	free(device);
}

const struct gpu_ops gpu_host_ops = {
	.name = "host",
	.hang_ms = HANG_MS,
	.is_loaded = host_is_loaded,
	.load = host_load,
	.count = host_count,
	.info = host_info,
	.classify = host_classify,
	.open = host_open,
	.close = host_close,
	.pinned_alloc = host_pinned_alloc,
	.pinned_free = host_pinned_free,
	.mem_alloc = host_mem_alloc,
	.mem_free = host_mem_free,
	.copy_wait = host_copy_wait,
	.ipc_export = host_ipc_export,
	.ipc_open = host_ipc_open,
	.ipc_close = host_ipc_close,
	.share_export = host_share_export,
	.share_of_fd = host_share_of_fd,
	.share_open = host_share_open,
	.share_close = host_share_close,
	.launch = pretend_launch,
	.copy = pretend_copy,
	.event_passed = pretend_event_passed,
	.check = pretend_check,
	.cause = pretend_cause,
	.resident_start = pretend_resident_start,
	.resident_feed = pretend_resident_feed,
	.resident_stop = pretend_resident_stop,
};
