/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "gpu/internal.h"

#define SLOT_ALIGN 4096u
#define REST_NS NS_PER_S

/* Who touches a slot that it has put back is told so by AddressSanitizer. */
#ifdef __SANITIZE_ADDRESS__
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, len_bytes) ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(at, len_bytes) ((void)0)
#endif

/*
 * All slots of a device are one piece of pinned memory, the senders' first:
 *
 *   | send 0 | send 1 | ... | receive 0 | receive 1 | ...
 *
 * Pinned when the device is opened, since pinning takes a millisecond for
 * four megabytes and the path of bytes has no time for it.
 */

static uint64_t stride_of(const struct gpu *gpu)
{
	return ((uint64_t)gpu->params.slot_bytes + SLOT_ALIGN - 1) /
	       SLOT_ALIGN * SLOT_ALIGN;
}

/* As many as asked for, or half, or a quarter: a host may be short of memory
 * that can be pinned. */
static uint32_t alloc_some(struct gpu *gpu)
{
	uint64_t stride = stride_of(gpu);
	uint32_t n = gpu->params.n_slots;

	for (; n >= 2; n /= 2) {
		if (gpu->ops->pinned_alloc(gpu->device, n * stride,
					   &gpu->slot_mem) == 0) {
			gpu->slot_mem_bytes = n * stride;
			return n;
		}
	}
	return 0;
}

static int fill(struct gpu_slots *slots)
{
	pthread_mutex_init(&slots->lock, NULL);
	slots->ring = calloc(slots->n ? slots->n : 1, sizeof(*slots->ring));
	slots->rests = calloc(slots->n ? slots->n : 1, sizeof(*slots->rests));
	if (!slots->ring || !slots->rests)
		return TCPX_ENOMEM;
	while (slots->n_free < slots->n) {
		slots->ring[slots->n_free] = slots->n_free;
		slots->n_free++;
	}
	return TCPX_OK;
}

int gpu_slots_init(struct gpu *gpu)
{
	uint32_t wanted = gpu->params.n_slots, n;
	uint64_t stride = stride_of(gpu);
	int rc = TCPX_OK;

	n = alloc_some(gpu);
	if (n < wanted && wanted > 1)
		log_warn(gpu->params.log, "gpu",
			 "device %u: %u pinned slots of %u bytes, not %u: %s",
			 gpu->index, n, gpu->params.slot_bytes, wanted,
			 gpu->ops->cause(gpu->device));
	if (n == 0 && wanted > 1)
		return TCPX_ENOMEM;
	gpu->slots[GPU_SLOT_SEND].n = n / 2;
	gpu->slots[GPU_SLOT_SEND].base = gpu->slot_mem;
	gpu->slots[GPU_SLOT_RECEIVE].n = n - n / 2;
	gpu->slots[GPU_SLOT_RECEIVE].base =
		(uint8_t *)gpu->slot_mem + n / 2 * stride;
	ASAN_POISON_MEMORY_REGION(gpu->slot_mem, gpu->slot_mem_bytes);
	for (int i = 0; i < 2; i++)
		if (fill(&gpu->slots[i]))
			rc = TCPX_ENOMEM;
	return rc;
}

static void empty(struct gpu_slots *slots)
{
	if (slots->ring)
		pthread_mutex_destroy(&slots->lock);
	free(slots->ring);
	free(slots->rests);
	slots->ring = NULL;
	slots->rests = NULL;
}

void gpu_slots_fini(struct gpu *gpu, bool leak)
{
	for (int i = 0; i < 2; i++)
		empty(&gpu->slots[i]);
	if (gpu->slot_mem)
		ASAN_UNPOISON_MEMORY_REGION(gpu->slot_mem, gpu->slot_mem_bytes);
	if (gpu->slot_mem && !leak)
		gpu->ops->pinned_free(gpu->device, gpu->slot_mem);
	gpu->slot_mem = NULL;
}

static void put_free(struct gpu_slots *slots, uint32_t i)
{
	slots->ring[(slots->first + slots->n_free++) % slots->n] = i;
}

static void end_rests(struct gpu_slots *slots, uint64_t now_ns)
{
	pthread_mutex_lock(&slots->lock);
	while (load_relaxed(&slots->n_rests) &&
	       slots->rests[slots->first_rest].until_ns <= now_ns) {
		put_free(slots, slots->rests[slots->first_rest].slot);
		slots->first_rest = (slots->first_rest + 1) % slots->n;
		add_relaxed(&slots->n_rests, -1u);
	}
	pthread_mutex_unlock(&slots->lock);
}

/*
 * One to receive into is the one put last, which is warm in a cache for the CPU
 * that writes it. One to send from is the one put first: the device writes it,
 * which was seen to go faster when no core has just read it.
 */
static bool take(struct gpu_slots *slots, enum gpu_slot_use use, uint32_t *i)
{
	bool any;

	pthread_mutex_lock(&slots->lock);
	any = slots->n_free > 0;
	if (any && use == GPU_SLOT_SEND) {
		*i = slots->ring[slots->first];
		slots->first = (slots->first + 1) % slots->n;
	} else if (any) {
		*i = slots->ring[(slots->first + slots->n_free - 1) % slots->n];
	}
	slots->n_free -= any;
	pthread_mutex_unlock(&slots->lock);
	return any;
}

int gpu_slot_get(struct gpu *gpu, enum gpu_slot_use use, void **slot)
{
	struct gpu_slots *slots = &gpu->slots[use];
	uint32_t i;

	gpu_orphans_reap(gpu);
	if (load_relaxed(&slots->n_rests))
		end_rests(slots, clock_now_ns());
	if (!take(slots, use, &i))
		return TCPX_EAGAIN;
	*slot = slots->base + i * stride_of(gpu);
	ASAN_UNPOISON_MEMORY_REGION(*slot, gpu->params.slot_bytes);
	return TCPX_OK;
}

void gpu_slot_put(struct gpu *gpu, enum gpu_slot_use use, void *slot)
{
	if (!gpu_orphans_keep(gpu, use, slot))
		gpu_slot_put_now(gpu, use, slot);
}

static uint32_t number_of(const struct gpu *gpu, const struct gpu_slots *slots,
			  const void *slot)
{
	return (uint32_t)((uint64_t)((const uint8_t *)slot - slots->base) /
			  stride_of(gpu));
}

void gpu_slot_put_now(struct gpu *gpu, enum gpu_slot_use use, void *slot)
{
	struct gpu_slots *slots = &gpu->slots[use];

	ASAN_POISON_MEMORY_REGION(slot, gpu->params.slot_bytes);
	pthread_mutex_lock(&slots->lock);
	put_free(slots, number_of(gpu, slots, slot));
	pthread_mutex_unlock(&slots->lock);
}

void gpu_slot_rest(struct gpu *gpu, enum gpu_slot_use use, void *slot)
{
	if (!gpu_orphans_keep(gpu, use, slot))
		gpu_slot_rest_now(gpu, use, slot);
}

void gpu_slot_rest_now(struct gpu *gpu, enum gpu_slot_use use, void *slot)
{
	struct gpu_slots *slots = &gpu->slots[use];
	struct gpu_rest rest = {number_of(gpu, slots, slot), 0};

	ASAN_POISON_MEMORY_REGION(slot, gpu->params.slot_bytes);
	pthread_mutex_lock(&slots->lock);
	uint32_t n = load_relaxed(&slots->n_rests);

	rest.until_ns = clock_now_ns() + REST_NS;
	slots->rests[(slots->first_rest + n) % slots->n] = rest;
	store_relaxed(&slots->n_rests, n + 1);
	pthread_mutex_unlock(&slots->lock);
}

uint32_t gpu_slot_bytes(const struct gpu *gpu)
{
	return gpu->params.slot_bytes;
}
