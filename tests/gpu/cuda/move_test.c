/* SPDX-License-Identifier: Apache-2.0 */

/* What moves bytes on a real device: kernels, copy engines, the kernel that
 * stays. Every byte is checked, and that a kernel launched afterwards sees
 * them. */

#include <pthread.h>

#include "gpu/cuda/rig.h"
#include "support/scale.h"

#define AREA (4u << 20)
#define GUARD 64u
#define SHORT_MAX 80u
#define SHORT_AREA 128u

static const struct gpu_params by_engine = {
	.slot_bytes = 1u << 20, .n_slots = 16, .way = GPU_COPY_ENGINE};
static const struct gpu_params by_resident = {
	.slot_bytes = 1u << 20, .n_slots = 16, .resident = true};

/* ---- random lists ----------------------------------------------------------- */

/* Memory with what it should hold: mem is the device's or pinned. */
struct area {
	uint8_t *mem, *want;
	bool device;
};

static void area_init(struct rig *rig, struct area *area, bool device)
{
	void *mem = NULL;

	area->device = device;
	area->want = malloc(AREA);
	if (device)
		CHECK_STATUS(gpu_mem_alloc(rig->gpu, AREA, &mem), 0);
	else
		RIG_DO(cuda_api.host_alloc(
			&mem, AREA, CUDA_HOST_PORTABLE | CUDA_HOST_DEVICEMAP));
	area->mem = mem;
}

static void area_fini(struct rig *rig, struct area *area)
{
	if (area->device)
		gpu_mem_free(rig->gpu, area->mem);
	else
		RIG_DO(cuda_api.host_free(area->mem));
	free(area->want);
}

static void area_fill(struct rig *rig, struct area *area, uint64_t *dice)
{
	for (uint32_t i = 0; i < AREA; i += 8) {
		uint64_t r = check_rand(dice);

		memcpy(area->want + i, &r, 8);
	}
	if (area->device)
		CHECK_STATUS(gpu_copy_wait(rig->gpu, area->mem, area->want,
					   AREA),
			     0);
	else
		memcpy(area->mem, area->want, AREA);
}

static void area_check(struct rig *rig, struct area *area)
{
	uint8_t *got = area->mem;

	if (area->device) {
		got = malloc(AREA);
		CHECK_STATUS(gpu_copy_wait(rig->gpu, got, area->mem, AREA), 0);
	}
	CHECK_MEM(got, area->want, AREA);
	if (area->device)
		free(got);
}

/* A job of copies with holes between them on both sides, all within bytes
 * [begin, end) of both. */
static struct gpu_job *random_job(struct rig *rig, struct area *dst,
				  struct area *src, uint32_t begin,
				  uint32_t end, uint64_t *dice)
{
	static const uint32_t aligns[] = {1, 1, 4, 8, 16, 256};
	static const uint32_t lens[] = {32, 300, 5000, 200000};
	uint32_t align = aligns[check_rand(dice) % 6];
	uint32_t max = lens[check_rand(dice) % 4];
	uint32_t n = 1 + check_rand(dice) % 4000;
	uint32_t from = begin + check_rand(dice) % GUARD;
	uint32_t to = begin + check_rand(dice) % GUARD;
	struct gpu_job *job = gpu_job_get(rig->gpu);

	CHECK(job != NULL);
	while (n--) {
		uint32_t len = check_rand(dice) % max / align * align;

		from = (from + align - 1) / align * align;
		to = (to + align - 1) / align * align;
		if (from + len > end || to + len > end)
			break;
		if (!gpu_job_add(job, dst->mem + to, src->mem + from, len))
			break;
		memcpy(dst->want + to, src->want + from, len);
		from += len + check_rand(dice) % GUARD;
		to += len + check_rand(dice) % GUARD;
	}
	return job;
}

#define MOST_JOBS 40u

/* Several jobs, started together: more than a launch takes, now and then. */
static void random_jobs(struct rig *rig, struct area *dst, struct area *src,
			uint64_t *dice)
{
	uint32_t n = 1 + check_rand(dice) % MOST_JOBS, part = AREA / n;
	struct gpu_job *jobs[MOST_JOBS];

	for (uint32_t i = 0; i < n; i++) {
		jobs[i] = random_job(rig, dst, src, i * part, (i + 1) * part,
				     dice);
		gpu_job_submit(jobs[i]);
	}
	gpu_flush(rig->gpu);
	for (uint32_t i = 0; i < n; i++) {
		CHECK_STATUS(rig_wait(jobs[i]), 0);
		gpu_job_put(jobs[i]);
	}
}

static void at_random(const struct gpu_params *params, size_t rounds)
{
	uint64_t dice = check_seed();
	struct area areas[4];
	struct rig rig;

	rig_open(&rig, params);
	for (uint32_t i = 0; i < 4; i++) {
		area_init(&rig, &areas[i], i % 2);
		area_fill(&rig, &areas[i], &dice);
	}
	for (size_t i = 0; i < rounds; i++) {
		struct area *src = &areas[check_rand(&dice) % 2];
		struct area *dst = &areas[2 + check_rand(&dice) % 2];

		/* The CPU has just written what the device reads. */
		if (!src->device)
			area_fill(&rig, src, &dice);
		if (i % 2)
			random_jobs(&rig, dst, src, &dice);
		else
			CHECK_STATUS(rig_run(&rig, random_job(&rig, dst, src, 0,
							      AREA, &dice)),
				     0);
		area_check(&rig, dst);
	}
	for (uint32_t i = 0; i < 4; i++)
		area_fini(&rig, &areas[i]);
	rig_close(&rig);
}

static void kernel_at_random(void)
{
	at_random(NULL, scale_count(150));
}

static void engine_at_random(void)
{
	at_random(&by_engine, scale_count(30));
}

static void resident_at_random(void)
{
	at_random(&by_resident, scale_count(100));
}

/* ---- many jobs in flight ------------------------------------------------------ */

#define THREADS 4
#define SLOT (1u << 20)

struct feeder {
	struct rig *rig;
	uint64_t seed;
	pthread_t thread;
};

/* Pinned slot -> device -> another slot, with the bytes of this round. */
static void round_trip(struct rig *rig, uint8_t *there, uint8_t *in,
		       uint8_t *out, uint64_t *dice)
{
	struct gpu_job *job = gpu_job_get(rig->gpu);
	uint64_t r = check_rand(dice);
	uint32_t len = 1 + r % SLOT, skew = r >> 32 & 15;

	CHECK(job != NULL);
	for (uint32_t i = 0; i + 8 <= len; i += 8, r += 0x9e3779b97f4a7c15u)
		memcpy(in + i, &r, 8);
	CHECK(gpu_job_add(job, there + skew, in, len));
	CHECK_STATUS(rig_run(rig, job), 0);
	memset(out, 0xee, len);
	job = gpu_job_get(rig->gpu);
	CHECK(job != NULL);
	CHECK(gpu_job_add(job, out, there + skew, len));
	CHECK_STATUS(rig_run(rig, job), 0);
	CHECK(memcmp(out, in, len) == 0);
}

static void *feed(void *arg)
{
	struct feeder *feeder = arg;
	size_t rounds = scale_count(200);
	struct rig *rig = feeder->rig;
	void *there, *in, *out;

	CHECK_STATUS(gpu_mem_alloc(rig->gpu, SLOT + 16, &there), 0);
	CHECK_STATUS(gpu_slot_get(rig->gpu, GPU_SLOT_SEND, &in), 0);
	CHECK_STATUS(gpu_slot_get(rig->gpu, GPU_SLOT_RECEIVE, &out), 0);
	for (size_t i = 0; i < rounds; i++)
		round_trip(rig, there, in, out, &feeder->seed);
	gpu_slot_put(rig->gpu, GPU_SLOT_SEND, in);
	gpu_slot_put(rig->gpu, GPU_SLOT_RECEIVE, out);
	gpu_mem_free(rig->gpu, there);
	return NULL;
}

static void feed_by_threads(const struct gpu_params *params)
{
	struct feeder feeders[THREADS];
	struct rig rig;

	rig_open(&rig, params);
	for (uint32_t i = 0; i < THREADS; i++) {
		feeders[i] =
			(struct feeder){.rig = &rig, .seed = check_seed() + i};
		pthread_create(&feeders[i].thread, NULL, feed, &feeders[i]);
	}
	for (uint32_t i = 0; i < THREADS; i++)
		pthread_join(feeders[i].thread, NULL);
	rig_close(&rig);
}

static void threads_kernel(void)
{
	feed_by_threads(NULL);
}

static void threads_resident(void)
{
	feed_by_threads(&by_resident);
}

/* ---- seen by whoever comes afterwards --------------------------------------- */

/* Once the flag is there, a kernel of the program's, in its own stream, sees
 * the bytes. */
static void seen_afterwards(const struct gpu_params *params, bool by_kernel)
{
	uint32_t n_words = SLOT / 4;
	size_t rounds = scale_count(300);
	void *slot, *mem;
	struct rig rig;

	rig_open(&rig, params);
	CHECK_STATUS(gpu_mem_alloc(rig.gpu, SLOT, &mem), 0);
	CHECK_STATUS(gpu_slot_get(rig.gpu, GPU_SLOT_RECEIVE, &slot), 0);
	for (uint32_t i = 0; i < rounds; i++) {
		struct gpu_job *job = gpu_job_get(rig.gpu);

		CHECK(job != NULL);
		rig_fill(slot, n_words, i);
		/* One run would be the copy engine's; two are a kernel's. */
		if (by_kernel)
			CHECK(gpu_job_add(job, (char *)mem + SLOT / 2,
					  (char *)slot + SLOT / 2, SLOT / 2));
		CHECK(gpu_job_add(job, mem, slot, by_kernel ? SLOT / 2 : SLOT));
		CHECK_STATUS(rig_run(&rig, job), 0);
		CHECK_EQ(rig_mismatches(&rig, mem, n_words, i), 0);
	}
	CHECK(rig_mismatches(&rig, mem, n_words, 12345678) > 0);
	gpu_slot_put(rig.gpu, GPU_SLOT_RECEIVE, slot);
	rig_close(&rig);
}

static void kernel_is_seen(void)
{
	seen_afterwards(NULL, true);
}

static void one_run_is_seen(void)
{
	seen_afterwards(NULL, false);
}

static void engine_is_seen(void)
{
	seen_afterwards(&by_engine, false);
}

static void resident_is_seen(void)
{
	seen_afterwards(&by_resident, true);
}

/* ---- the kernel that stays ---------------------------------------------------- */

/* A short run from a slot goes with its job: all lengths around where that
 * ends, at all alignments, and nothing beside it is written. */
static void resident_takes_bytes_along(void)
{
	uint64_t dice = check_seed();
	uint8_t want[SHORT_AREA], got[SHORT_AREA];
	uint8_t *slot, *mem;
	struct rig rig;

	rig_open(&rig, &by_resident);
	CHECK_STATUS(gpu_mem_alloc(rig.gpu, SLOT, (void **)&mem), 0);
	CHECK_STATUS(gpu_slot_get(rig.gpu, GPU_SLOT_RECEIVE, (void **)&slot),
		     0);
	memset(want, 0, sizeof(want));
	CHECK_STATUS(gpu_copy_wait(rig.gpu, mem, want, sizeof(want)), 0);
	for (uint32_t len = 1; len <= SHORT_MAX; len++) {
		for (uint32_t to = 0; to < 9; to++) {
			uint32_t from = check_rand(&dice) % 9;
			struct gpu_job *job = gpu_job_get(rig.gpu);

			CHECK(job != NULL);
			for (uint32_t i = 0; i < len; i++)
				slot[from + i] = (uint8_t)check_rand(&dice);
			memcpy(want + 8 + to, slot + from, len);
			CHECK(gpu_job_add(job, mem + 8 + to, slot + from, len));
			CHECK_STATUS(rig_run(&rig, job), 0);
			CHECK_STATUS(gpu_copy_wait(rig.gpu, got, mem,
						   sizeof(got)),
				     0);
			CHECK_MEM(got, want, sizeof(want));
		}
	}
	for (uint32_t i = 0; i < scale_count(1000); i++) {
		uint32_t n_words = 1 + i % 16;
		struct gpu_job *job = gpu_job_get(rig.gpu);

		CHECK(job != NULL);
		rig_fill((void *)slot, n_words, i);
		CHECK(gpu_job_add(job, mem, slot, n_words * 4));
		CHECK_STATUS(rig_run(&rig, job), 0);
		CHECK_EQ(rig_mismatches(&rig, mem, n_words, i), 0);
	}
	gpu_slot_put(rig.gpu, GPU_SLOT_RECEIVE, slot);
	rig_close(&rig);
}

/* It goes when idle, so that the program's synchronise returns, and comes
 * back for the next job, at all distances around the time it goes. */
static void resident_goes_and_comes(void)
{
	struct gpu_params params = by_resident;
	uint64_t dice = check_seed();
	void *slot, *mem;
	struct rig rig;

	params.resident_idle_us = 200;
	rig_open(&rig, &params);
	CHECK_STATUS(gpu_mem_alloc(rig.gpu, SLOT, &mem), 0);
	CHECK_STATUS(gpu_slot_get(rig.gpu, GPU_SLOT_RECEIVE, &slot), 0);
	for (uint32_t i = 0; i < scale_count(3000); i++) {
		struct gpu_job *job = gpu_job_get(rig.gpu);
		uint64_t until;

		CHECK(job != NULL);
		memcpy(slot, &i, 4);
		CHECK(gpu_job_add(job, mem, slot, 64));
		CHECK_STATUS(rig_run(&rig, job), 0);
		if (i % 100 == 0) {
			RIG_DO(rig_driver.ctx_sync());
			CHECK_EQ(rig_mismatches(&rig, mem, 1, i), 0);
		}
		until = test_now_ns() + 190000 + check_rand(&dice) % 20000;
		while (test_now_ns() < until)
			;
	}
	gpu_slot_put(rig.gpu, GPU_SLOT_RECEIVE, slot);
	rig_close(&rig);
}

/* More jobs than its ring has room for. */
static void resident_is_flooded(void)
{
	struct gpu_params params = by_resident;
	struct gpu_job *jobs[300];
	uint32_t n = 0;
	void *mem;
	struct rig rig;

	params.n_slots = 512;
	params.slot_bytes = 4096;
	rig_open(&rig, &params);
	CHECK_STATUS(gpu_mem_alloc(rig.gpu, AREA, &mem), 0);
	for (uint32_t round = 0; round < 20; round++) {
		for (n = 0; n < 300 && (jobs[n] = gpu_job_get(rig.gpu)); n++) {
			CHECK(gpu_job_add(jobs[n],
					  (char *)mem + AREA / 2 + n * 64,
					  (char *)mem + n * 64, 64));
			gpu_job_submit(jobs[n]);
			if (n % 37 == 0)
				gpu_flush(rig.gpu);
		}
		gpu_flush(rig.gpu);
		CHECK_EQ(n, 300);
		for (uint32_t i = 0; i < n; i++) {
			CHECK_STATUS(rig_wait(jobs[i]), 0);
			gpu_job_put(jobs[i]);
		}
	}
	rig_close(&rig);
}

static const struct check_case cases[] = {
	{"kernel_at_random", kernel_at_random, 120},
	{"engine_at_random", engine_at_random, 120},
	{"resident_at_random", resident_at_random, 120},
	{"threads_kernel", threads_kernel, 120},
	{"threads_resident", threads_resident, 120},
	{"kernel_is_seen", kernel_is_seen, 60},
	{"one_run_is_seen", one_run_is_seen, 60},
	{"engine_is_seen", engine_is_seen, 60},
	{"resident_is_seen", resident_is_seen, 60},
	{"resident_takes_bytes_along", resident_takes_bytes_along, 60},
	{"resident_goes_and_comes", resident_goes_and_comes, 60},
	{"resident_is_flooded", resident_is_flooded, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
