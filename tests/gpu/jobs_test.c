/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>

#include "gpu/fixture.h"
#include "gpu/driver.h"
#include "support/scale.h"

/* What a device is for: lists of copies, alone and many at once. */

#define MIB (1u << 20)

/* ---- one job ----------------------------------------------------------- */

static void to_device_and_back(void)
{
	const uint64_t len = 150001;
	struct fixture d;

	fixture_open(&d, NULL);
	uint8_t *out = fixture_slot(&d, GPU_SLOT_SEND);
	uint8_t *in = fixture_slot(&d, GPU_SLOT_RECEIVE);
	uint8_t *mem = fixture_alloc(&d, 3 * len);
	pattern_fill(out, len, 1, 0);
	CHECK_STATUS(fixture_copy(&d, mem, out, len), 0);
	fixture_check(&d, mem, len, 1);
	CHECK_STATUS(fixture_copy(&d, mem + 2 * len, mem, len), 0);
	CHECK_STATUS(fixture_copy(&d, in, mem + 2 * len, len), 0);
	CHECK_MEM(in, out, len);
	fixture_close(&d);
}

static void every_alignment(void)
{
	struct fixture d;

	fixture_open(&d, NULL);
	uint8_t *slot = fixture_slot(&d, GPU_SLOT_SEND);
	uint8_t *mem = fixture_alloc(&d, 4096);
	uint8_t *want = calloc(1, 4096);
	fixture_fill(&d, mem, 4096, 9);
	pattern_fill(want, 4096, 9, 0);
	pattern_fill(slot, 4096, 2, 0);
	for (uint32_t at = 0; at < 256; at++) {
		uint32_t to = at % 16, from = at / 16, len = 1 + at * 7 % 120;

		CHECK_STATUS(fixture_copy(&d, mem + to * 136, slot + from, len),
			     0);
		memcpy(want + to * 136, slot + from, len);
	}
	uint8_t *got = fixture_read(&d, mem, 4096);
	CHECK_MEM(got, want, 4096);
	free(got);
	free(want);
	fixture_close(&d);
}

/* Long runs are cut where the destination is aligned, and nowhere else. */
static void long_runs_become_tiles(void)
{
	struct fixture d;
	struct gpu_counters before, after;

	fixture_open(&d, &(struct fixture_wish){.slot_bytes = MIB});
	uint8_t *slot = fixture_slot(&d, GPU_SLOT_SEND);
	uint8_t *mem = fixture_alloc(&d, 2 * MIB);
	struct {
		uint64_t off, len, tiles;
	} runs[] = {
		{0, 1, 1},
		{0, GPU_TILE_BYTES, 1},
		{0, GPU_TILE_BYTES + 1, 2},
		{1, GPU_TILE_BYTES, 2},
		{1, GPU_TILE_BYTES - 1, 1},
		{GPU_TILE_ALIGN, GPU_TILE_BYTES, 1},
		{77, MIB - 77, MIB / GPU_TILE_BYTES},
	};
	pattern_fill(slot, MIB, 3, 0);
	for (size_t i = 0; i < sizeof(runs) / sizeof(*runs); i++) {
		gpu_get_counters(d.gpu, &before);
		CHECK_STATUS(fixture_copy(&d, mem + runs[i].off, slot,
					  runs[i].len),
			     0);
		gpu_get_counters(d.gpu, &after);
		CHECK_EQ(after.copies - before.copies, runs[i].tiles);
		CHECK_EQ(after.bytes - before.bytes, runs[i].len);
		fixture_check(&d, mem + runs[i].off, runs[i].len, 3);
	}
	fixture_close(&d);
}

static void a_full_job_takes_no_more(void)
{
	struct fixture d;

	fixture_open(&d, NULL);
	uint8_t *slot = fixture_slot(&d, GPU_SLOT_SEND);
	uint8_t *mem = fixture_alloc(&d, 8 * GPU_COPIES_MAX);
	struct gpu_job *job = fixture_job(&d);
	pattern_fill(slot, 8 * GPU_COPIES_MAX, 4, 0);
	fixture_fill(&d, mem, 8 * GPU_COPIES_MAX, 4);
	for (uint32_t i = 0; i + 1 < GPU_COPIES_MAX; i++)
		CHECK(gpu_job_add(job, mem + 8 * i, slot + 8 * i, 7));
	CHECK(!gpu_job_add(job, mem, slot, GPU_TILE_BYTES + 1));
	CHECK(gpu_job_add(job, mem, slot, 0));
	CHECK(gpu_job_add(job, mem + 8 * (GPU_COPIES_MAX - 1),
			  slot + 8 * (GPU_COPIES_MAX - 1), 8));
	CHECK(!gpu_job_add(job, mem, slot, 1));
	CHECK_STATUS(fixture_run(&d, job), 0);
	fixture_check(&d, mem, 8 * GPU_COPIES_MAX, 4);
	fixture_close(&d);
}

static void empty_jobs_end(void)
{
	struct gpu_counters counters;
	struct fixture d;

	fixture_open(&d, NULL);
	for (int i = 0; i < 100; i++)
		CHECK_STATUS(fixture_run(&d, fixture_job(&d)), 0);
	gpu_get_counters(d.gpu, &counters);
	CHECK_EQ(counters.jobs, 100);
	CHECK_EQ(counters.launches, 0);
	fixture_close(&d);
}

/* ---- many jobs --------------------------------------------------------- */

/* Pieces of two pieces of memory in shuffled order, against a plain copy. */
static void shuffled(struct fixture *d, uint64_t seed, bool to_device)
{
	const uint64_t cap = 1u << 18;
	uint8_t *slot = fixture_slot(d, GPU_SLOT_SEND);
	uint8_t *mem = fixture_alloc(d, cap);
	struct region a, b;
	struct layout layout;

	region_init(&a, cap, seed);
	region_init(&b, cap, seed + 1);
	memcpy(slot, a.data, cap);
	fixture_fill(d, mem, cap, seed + 1);
	layout_init(&layout, seed, 700, 3000, cap);
	struct gpu_job *job = fixture_job(d);
	for (size_t i = 0; i < layout.n; i++) {
		struct piece *p = &layout.pieces[i];
		uint8_t *x = slot + p->a_off, *y = mem + p->b_off;

		CHECK(gpu_job_add(job, to_device ? y : x, to_device ? x : y,
				  p->len_bytes));
	}
	CHECK_STATUS(fixture_run(d, job), 0);
	layout_want(&layout, to_device ? &b : &a, to_device ? seed : seed + 1,
		    to_device);
	uint8_t *got = fixture_read(d, mem, cap);
	CHECK_MEM(slot, a.want, cap);
	CHECK_MEM(got, b.want, cap);
	free(got);
	layout_fini(&layout);
	region_fini(&a);
	region_fini(&b);
	gpu_mem_free(d->gpu, mem);
	gpu_slot_put(d->gpu, GPU_SLOT_SEND, slot);
}

static void gather_and_scatter_with(const struct fixture_wish *wish)
{
	uint64_t rand = check_seed();
	struct fixture d;

	fixture_open(&d, wish);
	for (size_t i = 0; i < scale_count(30); i++)
		shuffled(&d, check_rand(&rand), i % 2);
	fixture_close(&d);
}

static void gather_and_scatter(void)
{
	gather_and_scatter_with(NULL);
}

static void by_copy_engines(void)
{
	gather_and_scatter_with(&(struct fixture_wish){.way = GPU_COPY_ENGINE});
}

static void by_a_resident_kernel(void)
{
	gather_and_scatter_with(&(struct fixture_wish){.resident = true});
}

static void one_launch_for_all(void)
{
	const uint32_t n = 40, len = 1000;
	struct gpu_counters counters;
	struct gpu_job *jobs[40];
	struct fixture d;

	fixture_open(&d, NULL);
	uint8_t *slot = fixture_slot(&d, GPU_SLOT_SEND);
	uint8_t *mem = fixture_alloc(&d, (uint64_t)n * len);
	pattern_fill(slot, (uint64_t)n * len, 5, 0);
	for (uint32_t i = 0; i < n; i++) {
		jobs[i] = fixture_job(&d);
		CHECK(gpu_job_add(jobs[i], mem + i * len, slot + i * len, len));
		gpu_job_submit(jobs[i]);
		CHECK_STATUS(gpu_job_poll(jobs[i]), TCPX_INPROGRESS);
	}
	gpu_get_counters(d.gpu, &counters);
	CHECK_EQ(counters.launches, 0);
	gpu_flush(d.gpu);
	for (uint32_t i = 0; i < n; i++)
		CHECK_STATUS(fixture_wait(jobs[i]), 0);
	gpu_get_counters(d.gpu, &counters);
	CHECK_EQ(counters.launches, 2); /* 32 jobs, 8 jobs */
	CHECK_EQ(counters.jobs, n);
	CHECK_EQ(counters.copies, n);
	CHECK_EQ(counters.bytes, n * len);
	fixture_check(&d, mem, (uint64_t)n * len, 5);
	fixture_close(&d);
}

/* ---- threads ----------------------------------------------------------- */

#define THREADS 4

struct user {
	struct fixture *device;
	uint8_t *mem;
	pthread_t thread;
	uint64_t rand;
};

static struct gpu_job *patient_job(struct gpu *gpu)
{
	struct gpu_job *job;

	while (!(job = gpu_job_get(gpu)))
		sched_yield();
	return job;
}

static void *patient_slot(struct gpu *gpu, enum gpu_slot_use use)
{
	void *slot;

	while (gpu_slot_get(gpu, use, &slot) != 0)
		sched_yield();
	return slot;
}

/* In and out of device memory through slots that all threads share. */
static void use_once(struct user *user)
{
	uint64_t seed = check_rand(&user->rand);
	uint32_t len = 1 + seed % (1u << 17), off = seed % 500;
	struct gpu *gpu = user->device->gpu;
	uint8_t *out = patient_slot(gpu, GPU_SLOT_SEND);
	uint8_t *in = patient_slot(gpu, GPU_SLOT_RECEIVE);
	struct gpu_job *job = patient_job(gpu);

	pattern_fill(out, len, seed, 0);
	memset(in, 0, len);
	CHECK(gpu_job_add(job, user->mem + off, out, len));
	CHECK_STATUS(fixture_run(user->device, job), 0);
	job = patient_job(gpu);
	CHECK(gpu_job_add(job, in, user->mem + off, len));
	CHECK_STATUS(fixture_run(user->device, job), 0);
	CHECK_MEM(in, out, len);
	gpu_slot_put(gpu, GPU_SLOT_SEND, out);
	gpu_slot_put(gpu, GPU_SLOT_RECEIVE, in);
}

static void *use(void *arg)
{
	for (size_t i = 0; i < scale_count(200); i++)
		use_once(arg);
	return NULL;
}

static void from_many_threads_with(const struct fixture_wish *wish)
{
	struct user users[THREADS];
	struct fixture d;

	fixture_open(&d, wish);
	for (int i = 0; i < THREADS; i++) {
		users[i] = (struct user){.device = &d,
					 .mem = fixture_alloc(&d, MIB),
					 .rand = check_seed() + (uint64_t)i};
		CHECK_EQ(pthread_create(&users[i].thread, NULL, use, &users[i]),
			 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(users[i].thread, NULL);
	fixture_close(&d);
}

static void from_many_threads(void)
{
	from_many_threads_with(&(struct fixture_wish){.n_slots = 6});
}

static void many_threads_by_engines(void)
{
	from_many_threads_with(
		&(struct fixture_wish){.n_slots = 6, .way = GPU_COPY_ENGINE});
}

static void many_threads_resident(void)
{
	from_many_threads_with(
		&(struct fixture_wish){.n_slots = 6, .resident = true});
}

/* One thread flushes what another submits: nothing may be left behind. */
struct handover {
	struct fixture *device;
	_Atomic(struct gpu_job *) job;
	_Atomic bool stop;
};

static void *flush_all(void *arg)
{
	struct handover *h = arg;

	while (!atomic_load(&h->stop))
		gpu_flush(h->device->gpu);
	return NULL;
}

static void nothing_is_left_behind(void)
{
	struct handover h = {0};
	struct fixture d;
	pthread_t thread;

	setenv("TCPX_GPU_HOST_DELAY_US", "0", 1);
	fixture_open(&d, NULL);
	h.device = &d;
	uint8_t *slot = fixture_slot(&d, GPU_SLOT_SEND);
	uint8_t *mem = fixture_alloc(&d, 64);
	CHECK_EQ(pthread_create(&thread, NULL, flush_all, &h), 0);
	for (size_t i = 0; i < scale_count(3000); i++)
		CHECK_STATUS(fixture_copy(&d, mem, slot, 64), 0);
	atomic_store(&h.stop, true);
	pthread_join(thread, NULL);
	fixture_close(&d);
}

static void settling_waits_for_all(void)
{
	struct gpu_job *jobs[20];
	struct fixture d;

	fixture_open(&d, NULL);
	uint8_t *slot = fixture_slot(&d, GPU_SLOT_SEND);
	uint8_t *mem = fixture_alloc(&d, 1u << 18);
	pattern_fill(slot, 1u << 18, 6, 0);
	gpu_settle(d.gpu);
	for (uint32_t i = 0; i < 20; i++) {
		jobs[i] = fixture_job(&d);
		CHECK(gpu_job_add(jobs[i], mem + i * 5000, slot + i * 5000,
				  5000));
		gpu_job_submit(jobs[i]);
	}
	gpu_settle(d.gpu); /* flushes too */
	for (uint32_t i = 0; i < 20; i++) {
		CHECK_STATUS(gpu_job_poll(jobs[i]), 0);
		gpu_job_put(jobs[i]);
	}
	fixture_check(&d, mem, 20 * 5000, 6);
	fixture_close(&d);
}

/* ---- slots ------------------------------------------------------------- */

static void slots_have_quotas(void)
{
	void *slots[2][5], *none = &slots;
	struct gpu_counters counters;
	struct fixture d;

	fixture_open(&d,
		     &(struct fixture_wish){.n_slots = 9, .slot_bytes = 10000});
	CHECK_EQ(gpu_slot_bytes(d.gpu), 10000);
	for (int i = 0; i < 4; i++)
		slots[0][i] = fixture_slot(&d, GPU_SLOT_SEND);
	CHECK_STATUS(gpu_slot_get(d.gpu, GPU_SLOT_SEND, &none), TCPX_EAGAIN);
	CHECK(none == &slots);
	for (int i = 0; i < 5; i++)
		slots[1][i] = fixture_slot(&d, GPU_SLOT_RECEIVE);
	CHECK_STATUS(gpu_slot_get(d.gpu, GPU_SLOT_RECEIVE, &none), TCPX_EAGAIN);
	for (int i = 0; i < 4; i++)
		memset(slots[0][i], i, 10000);
	for (int i = 0; i < 5; i++)
		memset(slots[1][i], 10 + i, 10000);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(((uint8_t *)slots[0][i])[9999], i);
	/* To receive, the one put last, which is warm, comes first; to send,
	 * the one put first. Twice round the ring. */
	for (int i = 0; i < 12; i++) {
		for (int use = 0; use < 2; use++) {
			gpu_slot_put(d.gpu, use, slots[use][2]);
			gpu_slot_put(d.gpu, use, slots[use][1]);
		}
		CHECK(fixture_slot(&d, GPU_SLOT_SEND) == slots[0][2]);
		CHECK(fixture_slot(&d, GPU_SLOT_SEND) == slots[0][1]);
		CHECK(fixture_slot(&d, GPU_SLOT_RECEIVE) == slots[1][1]);
		CHECK(fixture_slot(&d, GPU_SLOT_RECEIVE) == slots[1][2]);
	}
	gpu_get_counters(d.gpu, &counters);
	CHECK(counters.pinned_bytes >= 9 * 10000);
	fixture_close(&d);
}

static void memory_is_counted(void)
{
	struct gpu_counters counters;
	struct fixture d;

	fixture_open(&d, NULL);
	void *a = fixture_alloc(&d, 5000), *b = fixture_alloc(&d, 700);
	gpu_get_counters(d.gpu, &counters);
	CHECK_EQ(counters.device_bytes, 5700);
	gpu_mem_free(d.gpu, a);
	gpu_get_counters(d.gpu, &counters);
	CHECK_EQ(counters.device_bytes, 700);
	gpu_mem_free(d.gpu, b);
	gpu_mem_free(d.gpu, NULL);
	CHECK_STATUS(gpu_mem_alloc(d.gpu, 0, &a), TCPX_EINVAL);
	(void)fixture_alloc(&d, 100); /* closing frees it */
	fixture_close(&d);
}

static const struct check_case cases[] = {
	{"to_device_and_back", to_device_and_back, 0},
	{"every_alignment", every_alignment, 0},
	{"long_runs_become_tiles", long_runs_become_tiles, 0},
	{"a_full_job_takes_no_more", a_full_job_takes_no_more, 0},
	{"empty_jobs_end", empty_jobs_end, 0},
	{"gather_and_scatter", gather_and_scatter, 0},
	{"by_copy_engines", by_copy_engines, 60},
	{"by_a_resident_kernel", by_a_resident_kernel, 0},
	{"one_launch_for_all", one_launch_for_all, 0},
	{"from_many_threads", from_many_threads, 0},
	{"many_threads_by_engines", many_threads_by_engines, 0},
	{"many_threads_resident", many_threads_resident, 0},
	{"nothing_is_left_behind", nothing_is_left_behind, 0},
	{"settling_waits_for_all", settling_waits_for_all, 0},
	{"slots_have_quotas", slots_have_quotas, 0},
	{"memory_is_counted", memory_is_counted, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
