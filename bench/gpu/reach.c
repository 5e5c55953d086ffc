/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How fast one CPU reads what a GPU has just written to a pinned slot, and
 * writes what a GPU has just read; against slots that another CPU has touched
 * last, and that no cache holds. The first belongs to what sending costs, the
 * second to receiving.
 */

#include <pthread.h>
#include <string.h>

#include "micro.h"

#define SLOT (1u << 20)
#define N_SLOTS 64u

enum toucher { BY_GPU = 0, BY_CPU, BY_NOBODY, N_TOUCHERS };
static const char *const toucher_names[] = {"gpu", "other_cpu", "memory"};

struct reach {
	struct gpu *gpu;
	uint8_t *device, *hot;
	uint8_t *slots[N_SLOTS];
};

struct touch {
	struct reach *reach;
	uint8_t *slot;
	bool reads;		/* the CPU that is timed */
};

static void touch_by_gpu(struct reach *r, uint8_t *slot, bool reads)
{
	struct gpu_job *job = gpu_job_get(r->gpu);

	if (!job || !gpu_job_add(job, reads ? slot : r->device,
				 reads ? r->device : slot, SLOT))
		micro_die("job", "none left, or full");
	gpu_job_submit(job);
	gpu_flush(r->gpu);
	micro_finish(r->gpu, job);
}

static void *touch_by_cpu(void *arg)
{
	struct touch *touch = arg;
	uint64_t sum = 0;

	if (touch->reads)
		memset(touch->slot, 7, SLOT);
	for (uint32_t i = 0; !touch->reads && i < SLOT; i += 64)
		sum += *(volatile uint8_t *)(touch->slot + i);
	return (void *)(uintptr_t)sum;
}

/* Out of all caches. */
static void drop(uint8_t *slot)
{
#if defined(__x86_64__)
	for (uint32_t i = 0; i < SLOT; i += 64)
		__builtin_ia32_clflush(slot + i);
	__builtin_ia32_mfence();
#endif
}

static void touch(struct reach *r, uint8_t *slot, bool reads, enum toucher by)
{
	struct touch other = {r, slot, reads};
	pthread_t thread;

	if (by == BY_GPU) {
		touch_by_gpu(r, slot, reads);
	} else if (by == BY_NOBODY) {
		drop(slot);
	} else if (pthread_create(&thread, NULL, touch_by_cpu, &other) == 0) {
		pthread_join(thread, NULL);
	}
}

static double speed(struct reach *r, const struct micro *micro, bool reads,
		    enum toucher by, uint32_t n_slots)
{
	uint32_t n = micro->quick ? 200 : 1000;
	double *ns = malloc(n * sizeof(*ns));

	if (!ns)
		micro_die("reach", "out of memory");
	for (uint32_t i = 0; i < n; i++) {
		uint8_t *slot = r->slots[i % n_slots];

		touch(r, slot, reads, by);
		uint64_t begin = micro_now_ns();

		for (uint32_t at = 0; at < SLOT; at += SLOT / 8)
			memcpy(reads ? r->hot : slot + at,
			       reads ? slot + at : r->hot, SLOT / 8);
		ns[i] = (double)(micro_now_ns() - begin);
	}
	double median = micro_median(ns, n);

	free(ns);
	return SLOT / median;
}

void micro_reach(const struct micro *micro)
{
	static const uint32_t counts[] = {1, 8, N_SLOTS};
	struct gpu_params params = {.slot_bytes = SLOT, .n_slots = 2 * N_SLOTS};
	struct reach r = {0};
	struct gpu_set *set;
	void *mem = NULL;

	r.gpu = micro_open(micro, &params, &set);
	r.hot = calloc(1, SLOT / 8);
	if (!r.hot || gpu_mem_alloc(r.gpu, SLOT, &mem))
		micro_die("reach", "out of memory");
	r.device = mem;
	for (uint32_t i = 0; i < N_SLOTS; i++) {
		if (gpu_slot_get(r.gpu, GPU_SLOT_SEND, &mem))
			micro_die("slots", "too few");
		r.slots[i] = mem;
	}
	printf("  \"reach\": [\n");
	for (uint32_t k = 0; k < 2 * N_TOUCHERS * 3; k++)
		printf("    {\"cpu\": \"%s\", \"after\": \"%s\", "
		       "\"slots\": %u, \"GBps\": %.2f}%s\n",
		       k & 1 ? "reads" : "writes",
		       toucher_names[k / 2 % N_TOUCHERS],
		       counts[k / 2 / N_TOUCHERS],
		       speed(&r, micro, k & 1, k / 2 % N_TOUCHERS,
			     counts[k / 2 / N_TOUCHERS]),
		       k == 2 * N_TOUCHERS * 3 - 1 ? "" : ",");
	printf("  ],\n");
	gpu_set_destroy(set);
	free(r.hot);
}
