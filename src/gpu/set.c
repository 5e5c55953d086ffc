/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/usermem.h"
#include "gpu/internal.h"

struct gpu_set {
	const struct gpu_ops *ops; /* NULL: off */
	struct gpu_params params;
	pthread_mutex_t lock; /* while the driver or a device is opened */
	_Atomic bool loaded;
	_Atomic(struct gpu *) gpus[GPU_DEVICES_MAX]; /* NULL: not opened yet */
};

static const struct {
	const char *name;
	const struct gpu_ops *ops;
} drivers[] = {
	{"auto", &gpu_cuda_ops},
	{"cuda", &gpu_cuda_ops},
	{"host", &gpu_host_ops},
	{"off", NULL},
};
#define N_DRIVERS (sizeof(drivers) / sizeof(*drivers))

const char *gpu_driver_name(uint32_t i)
{
	return i < N_DRIVERS ? drivers[i].name : NULL;
}

int gpu_set_create(const char *driver, const struct gpu_params *params,
		   struct gpu_set **out)
{
	struct gpu_set *set;
	size_t i = 0;

	while (i < N_DRIVERS && strcmp(drivers[i].name, driver) != 0)
		i++;
	if (i == N_DRIVERS)
		return TCPX_EINVAL;
	set = calloc(1, sizeof(*set));
	if (!set)
		return TCPX_ENOMEM;
	set->ops = drivers[i].ops;
	set->params = *params;
	pthread_mutex_init(&set->lock, NULL);
	*out = set;
	return TCPX_OK;
}

void gpu_set_destroy(struct gpu_set *set)
{
	if (!set)
		return;
	for (uint32_t i = 0; i < GPU_DEVICES_MAX; i++) {
		struct gpu *gpu = load_acquire(&set->gpus[i]);

		if (gpu)
			gpu_close(gpu);
	}
	pthread_mutex_destroy(&set->lock);
	free(set);
}

static int load_driver(struct gpu_set *set, char *why, size_t cap_bytes)
{
	int rc;

	if (!set->ops) {
		snprintf(why, cap_bytes, "GPUs are switched off");
		return TCPX_EUNSUPPORTED;
	}
	if (load_acquire(&set->loaded))
		return TCPX_OK;
	pthread_mutex_lock(&set->lock);
	rc = set->ops->load(why, cap_bytes);
	if (rc == 0)
		store_release(&set->loaded, true);
	pthread_mutex_unlock(&set->lock);
	return rc;
}

uint32_t gpu_set_count(struct gpu_set *set, char *why, size_t cap_bytes)
{
	uint32_t n;

	if (load_driver(set, why, cap_bytes) != 0)
		return 0;
	n = set->ops->count(why, cap_bytes);
	return n < GPU_DEVICES_MAX ? n : GPU_DEVICES_MAX;
}

int gpu_set_info(struct gpu_set *set, uint32_t index, struct gpu_info *info)
{
	char why[GPU_CAUSE_MAX];

	if (index >= gpu_set_count(set, why, sizeof(why)))
		return TCPX_ENOENT;
	return set->ops->info(index, info);
}

/* Without a driver that could be asked: what the CPU can read is its own. */
static int find_without(const void *addr, uint64_t len_bytes, struct gpu **gpu,
			char *why, size_t cap_bytes)
{
	size_t used = strlen(why);

	if (usermem_can_read(addr, len_bytes)) {
		*gpu = NULL;
		return TCPX_OK;
	}
	snprintf(why + used, cap_bytes - used,
		 "; and the CPU cannot read there: device memory?");
	return TCPX_EUNSUPPORTED;
}

/* Of a device that has failed nothing new is taken. */
static int open_sound(struct gpu_set *set, uint32_t index, struct gpu **gpu,
		      char *why, size_t cap_bytes)
{
	struct gpu *found;
	int rc = gpu_set_open(set, index, &found, why, cap_bytes);

	if (rc == 0 && gpu_status(found) != 0) {
		rc = gpu_status(found);
		snprintf(why, cap_bytes, "device %u has failed: %s", index,
			 gpu_cause(found));
	}
	if (rc == 0)
		*gpu = found;
	return rc;
}

int gpu_set_find(struct gpu_set *set, const void *addr, uint64_t len_bytes,
		 struct gpu **gpu, char *why, size_t cap_bytes)
{
	const struct gpu_ops *ops = set->ops ? set->ops : &gpu_cuda_ops;
	enum gpu_mem_kind kind = GPU_MEM_HOST;
	uint32_t index = 0;
	int rc;

	if (!ops->is_loaded()) {
		*gpu = NULL;
		return TCPX_OK;
	}
	rc = load_driver(set, why, cap_bytes);
	if (rc == TCPX_EUNSUPPORTED)
		return find_without(addr, len_bytes, gpu, why, cap_bytes);
	if (rc == 0)
		rc = ops->classify(addr, len_bytes, &kind, &index, why,
				   cap_bytes);
	if (rc == 0 && kind == GPU_MEM_HOST)
		*gpu = NULL;
	if (rc || kind == GPU_MEM_HOST)
		return rc;
	return open_sound(set, index, gpu, why, cap_bytes);
}

struct gpu *gpu_set_opened(struct gpu_set *set, uint32_t index)
{
	return index < GPU_DEVICES_MAX ? load_acquire(&set->gpus[index]) : NULL;
}

int gpu_set_open(struct gpu_set *set, uint32_t index, struct gpu **gpu,
		 char *why, size_t cap_bytes)
{
	struct gpu *found;
	int rc = load_driver(set, why, cap_bytes);
	uint32_t n;

	if (rc)
		return rc;
	n = gpu_set_count(set, why, cap_bytes);
	if (index >= n) {
		if (n)
			snprintf(why, cap_bytes, "there is no device %u",
				 index);
		return TCPX_ENOENT;
	}
	found = load_acquire(&set->gpus[index]);
	if (found) {
		*gpu = found;
		return TCPX_OK;
	}
	pthread_mutex_lock(&set->lock);
	found = load_relaxed(&set->gpus[index]);
	if (!found)
		rc = gpu_open(set->ops, &set->params, index, &found, why,
			      cap_bytes);
	if (rc == 0) {
		store_release(&set->gpus[index], found);
		*gpu = found;
	}
	pthread_mutex_unlock(&set->lock);
	return rc;
}
