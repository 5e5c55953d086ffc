/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Pinned slots <-> device by one thread, n jobs in flight: what staging can
 * reach at most. Long runs, and gathers and scatters of small pieces.
 */

#include <tcpx/p2p.h>

#include "micro.h"

#define N_SLOTS 64u
#define SLOT (1u << 20)

enum way { TO_DEVICE = 0, FROM_DEVICE, BOTH, N_WAYS };
static const char *const way_names[] = {"to_device", "from_device", "both"};

struct staging {
	struct gpu_set *set;
	struct gpu *gpu;
	uint8_t *device;	/* N_SLOTS * SLOT * 2 */
	void *slots[2][N_SLOTS];
	uint32_t piece_bytes;	/* 0: one run a job */
	uint32_t *order;	/* of the device's pieces, shuffled */
	uint32_t skew;
};

static void open_staging(struct staging *s, const struct micro *micro,
			 enum gpu_copy_way way)
{
	struct gpu_params params = {
		.slot_bytes = SLOT, .n_slots = 2 * N_SLOTS, .way = way};
	void *mem;

	s->gpu = micro_open(micro, &params, &s->set);
	if (gpu_mem_alloc(s->gpu, 2ull * N_SLOTS * SLOT + 4096, &mem) != 0)
		micro_die("memory", "none left");
	s->device = mem;
	for (uint32_t i = 0; i < N_SLOTS; i++) {
		if (gpu_slot_get(s->gpu, GPU_SLOT_SEND, &s->slots[0][i]) ||
		    gpu_slot_get(s->gpu, GPU_SLOT_RECEIVE, &s->slots[1][i]))
			micro_die("slots", "too few");
	}
}

static void close_staging(struct staging *s)
{
	gpu_set_destroy(s->set);
}

static void add_copy(struct gpu_job *job, uint8_t *slot, uint8_t *device,
		     uint32_t len_bytes, bool to_device)
{
	if (!gpu_job_add(job, to_device ? device : slot,
			 to_device ? slot : device, len_bytes))
		micro_die("job", "full");
}

/* Job k: slot k <-> its part of the device's memory, or pieces all over. */
static struct gpu_job *start(struct staging *s, uint64_t k, uint32_t len_bytes,
			     bool to_device)
{
	uint32_t at = k % N_SLOTS, piece = s->piece_bytes;
	uint8_t *slot = s->slots[to_device][at];
	uint8_t *half = s->device + (to_device ? (uint64_t)N_SLOTS * SLOT : 0);
	struct gpu_job *job = gpu_job_get(s->gpu);

	if (!job)
		micro_die("jobs", "none left");
	if (!piece) {
		add_copy(job, slot, half + (uint64_t)at * SLOT, len_bytes,
			 to_device);
	} else {
		uint32_t n = len_bytes / piece;

		for (uint32_t i = 0; i < n; i++)
			add_copy(job, slot + i * piece + s->skew,
				 half + (uint64_t)s->order[at * n + i] * piece,
				 piece - s->skew, to_device);
	}
	gpu_job_submit(job);
	return job;
}

/* GB/s of n_jobs jobs, `depth` in flight, ended in the order of their start,
 * flushed half of the depth at a time. */
static double run(struct staging *s, enum way way, uint32_t depth,
		  uint32_t len_bytes, uint32_t n_jobs)
{
	struct gpu_job *jobs[N_SLOTS];
	uint32_t batch = depth > 1 ? depth / 2 : 1;
	uint64_t begin = micro_now_ns();

	for (uint64_t k = 0; k < n_jobs + depth; k++) {
		if (k >= depth)
			micro_finish(s->gpu, jobs[k % depth]);
		if (k < n_jobs)
			jobs[k % depth] =
				start(s, k, len_bytes,
				      way == BOTH ? k & 1 : way == TO_DEVICE);
		if ((k + 1) % batch == 0 || k + 1 == n_jobs)
			gpu_flush(s->gpu);
	}
	return (double)n_jobs * len_bytes / (double)(micro_now_ns() - begin);
}

static double median_of(struct staging *s, const struct micro *micro,
			enum way way, uint32_t depth, uint32_t len_bytes)
{
	uint32_t n_jobs = (uint32_t)((micro->quick ? 256ull : 2048ull) * SLOT /
				     len_bytes);
	double got[1000];

	(void)run(s, way, depth, len_bytes, n_jobs / 4);
	for (uint32_t i = 0; i < micro->rounds; i++)
		got[i] = run(s, way, depth, len_bytes, n_jobs);
	return micro_median(got, micro->rounds);
}

static void runs(const struct micro *micro, enum gpu_copy_way way,
		 const char *name)
{
	static const uint32_t sizes[] = {64u << 10, 256u << 10, 512u << 10,
					 SLOT};
	static const uint32_t depths[] = {1, 2, 4, 8, 16, 32};
	struct staging s = {0};

	open_staging(&s, micro, way);
	for (int w = 0; w < N_WAYS; w++) {
		for (uint32_t i = 0; i < 4; i++) {
			printf("    {\"by\": \"%s\", \"way\": \"%s\", "
			       "\"job_bytes\": %u, \"GBps\": {",
			       name, way_names[w], sizes[i]);
			for (uint32_t d = 0; d < 6; d++)
				printf("\"%u\": %.1f%s", depths[d],
				       median_of(&s, micro, w, depths[d],
						 sizes[i]),
				       d < 5 ? ", " : "");
			printf("}},\n");
		}
	}
	close_staging(&s);
}

static void shuffle(struct staging *s, uint32_t n)
{
	uint64_t dice = 7;

	s->order = malloc(n * sizeof(*s->order));
	if (!s->order)
		micro_die("order", "out of memory");
	for (uint32_t i = 0; i < n; i++)
		s->order[i] = i;
	for (uint32_t i = n - 1; i > 0; i--) {
		uint32_t j = micro_rand(&dice) % (i + 1), old = s->order[j];

		s->order[j] = s->order[i];
		s->order[i] = old;
	}
}

static void pieces(const struct micro *micro)
{
	static const struct {
		uint32_t piece_bytes, skew;
	} cases[] = {{4096, 0}, {4096, 3}, {1024, 0}, {256, 0}, {256, 3}};
	struct staging s = {0};

	open_staging(&s, micro, GPU_COPY_KERNEL);
	for (uint32_t i = 0; i < 5; i++) {
		s.piece_bytes = cases[i].piece_bytes;
		s.skew = cases[i].skew;
		shuffle(&s, N_SLOTS * (SLOT / s.piece_bytes));
		for (int w = 0; w < N_WAYS; w++)
			printf("    {\"piece_bytes\": %u, \"way\": \"%s\", "
			       "\"unaligned\": %s, \"GBps\": %.1f}%s\n",
			       s.piece_bytes, way_names[w],
			       s.skew ? "true" : "false",
			       median_of(&s, micro, w, 8, SLOT),
			       i == 4 && w == N_WAYS - 1 ? "" : ",");
		free(s.order);
	}
	close_staging(&s);
}

void micro_staging(const struct micro *micro)
{
	printf("  \"staging\": [\n");
	runs(micro, GPU_COPY_KERNEL, "kernel");
	runs(micro, GPU_COPY_ENGINE, "engine");
	printf("    {}],\n  \"staging_pieces\": [\n");
	pieces(micro);
	printf("  ],\n");
}
