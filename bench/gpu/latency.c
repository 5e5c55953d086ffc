/* SPDX-License-Identifier: Apache-2.0 */

/* One job at a time: from submit until its flag is seen. */

#include "micro.h"

#define SLOT (1u << 20)

struct way {
	const char *name;
	struct gpu_params params;
};

static const struct way ways[] = {
	{"kernel", {.slot_bytes = SLOT, .n_slots = 8}},
	{"engine", {.slot_bytes = SLOT, .n_slots = 8, .way = GPU_COPY_ENGINE}},
	{"resident", {.slot_bytes = SLOT, .n_slots = 8, .resident = true}},
};

static double one_ns(struct gpu *gpu, void *dst, const void *src,
		     uint32_t len_bytes)
{
	struct gpu_job *job = gpu_job_get(gpu);
	uint64_t begin = micro_now_ns();

	if (!job || !gpu_job_add(job, dst, src, len_bytes))
		micro_die("job", "none left, or full");
	gpu_job_submit(job);
	gpu_flush(gpu);
	micro_finish(gpu, job);
	return (double)(micro_now_ns() - begin);
}

static void one_size(struct gpu *gpu, const struct micro *micro,
		     const char *name, uint32_t len_bytes, bool to_device,
		     bool last)
{
	uint32_t n = micro->quick ? 500 : 5000;
	double *ns = malloc(n * sizeof(*ns));
	void *mem, *slot;

	if (!ns || gpu_mem_alloc(gpu, SLOT, &mem) ||
	    gpu_slot_get(gpu, GPU_SLOT_SEND, &slot))
		micro_die("latency", "out of memory");
	for (uint32_t i = 0; i < n; i++)
		ns[i] = to_device ? one_ns(gpu, mem, slot, len_bytes) :
				    one_ns(gpu, slot, mem, len_bytes);
	(void)micro_median(ns, n);
	printf("    {\"by\": \"%s\", \"way\": \"%s\", \"bytes\": %u, "
	       "\"p50_us\": %.2f, \"p99_us\": %.2f}%s\n",
	       name, to_device ? "to_device" : "from_device", len_bytes,
	       ns[n / 2] / 1000, ns[n * 99 / 100] / 1000, last ? "" : ",");
	gpu_slot_put(gpu, GPU_SLOT_SEND, slot);
	gpu_mem_free(gpu, mem);
	free(ns);
}

void micro_latency(const struct micro *micro)
{
	static const uint32_t sizes[] = {8, 4096, 65536, SLOT};

	printf("  \"latency\": [\n");
	for (uint32_t w = 0; w < 3; w++) {
		struct gpu_set *set;
		struct gpu *gpu = micro_open(micro, &ways[w].params, &set);

		for (uint32_t i = 0; i < 8; i++)
			one_size(gpu, micro, ways[w].name, sizes[i / 2], i & 1,
				 w == 2 && i == 7);
		gpu_set_destroy(set);
	}
	printf("  ],\n");
}
