/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "gpu/reference.h"
#include "support/pattern.h"
#include "support/scale.h"

/* The reference of the kernels, held against memcpy(). */

#define AREA (1u << 16)
#define JOBS 5u
#define FORBIDDEN 0x1000u

static void *anywhere(void *arg, uint64_t addr, uint64_t len_bytes,
		      enum gpu_touch touch)
{
	unsigned *n_touches = arg;

	n_touches[touch]++;
	return addr == FORBIDDEN ? NULL : (void *)(uintptr_t)addr;
}

struct work {
	struct gpu_copy copies[JOBS][64];
	_Atomic uint64_t flags[JOBS];
	struct gpu_launch launch;
};

/* Side a to side b, dealt to the jobs in turn; what is left is copied too. */
static void deal(struct work *work, const struct layout *layout,
		 struct region *a, struct region *b)
{
	memset(work, 0, sizeof(*work));
	work->launch.n_jobs = JOBS;
	for (uint32_t j = 0; j < JOBS; j++)
		work->launch.jobs[j] = (struct gpu_launch_job){
			.copies = (uintptr_t)work->copies[j],
			.flag = (uintptr_t)&work->flags[j],
			.value = 1000 + j,
			.counter = j,
		};
	for (size_t i = 0; i < layout->n; i++) {
		struct gpu_launch_job *job = &work->launch.jobs[i % JOBS];
		struct piece *p = &layout->pieces[i];

		work->copies[i % JOBS][job->n_copies++] = (struct gpu_copy){
			.src = (uintptr_t)a->data + p->a_off,
			.dst = (uintptr_t)b->data + p->b_off,
			.len_bytes = (uint32_t)p->len_bytes,
		};
	}
}

static void at_random(void)
{
	uint64_t rand = check_seed();
	static struct work work;

	for (size_t i = 0; i < scale_count(200); i++) {
		uint64_t seed = check_rand(&rand);
		struct dice dice = {seed};
		unsigned n_touches[2] = {0, 0};
		struct gpu_reference reference = {
			.at = anywhere,
			.arg = n_touches,
			.dice = i % 3 ? &dice : NULL,
			.lanes = i % 2,
			.rubbish = i % 4 > 1,
		};
		struct layout layout;
		struct region a, b;

		region_init(&a, AREA, seed);
		region_init(&b, AREA, seed + 1);
		layout_init(&layout, seed, 64 * JOBS - seed % 100, 900, AREA);
		deal(&work, &layout, &a, &b);
		CHECK_STATUS(gpu_reference_run(&reference, &work.launch), 0);
		layout_want(&layout, &b, seed, true);
		CHECK(region_check(&a, "source"));
		CHECK(region_check(&b, "destination"));
		for (uint32_t j = 0; j < JOBS; j++)
			CHECK_EQ(work.flags[j], 1000 + j);
		CHECK_EQ(n_touches[GPU_TOUCH_READ], layout.n + JOBS);
		layout_fini(&layout);
		region_fini(&a);
		region_fini(&b);
	}
}

/* Neither the job nor any behind it reports itself done. */
static void forbidden_places_end_it(void)
{
	unsigned n_touches[2] = {0, 0};
	struct gpu_reference reference = {.at = anywhere, .arg = n_touches};
	static struct work work;
	struct layout layout;
	struct region a, b;

	for (int where = 0; where < 4; where++) {
		region_init(&a, AREA, 1);
		region_init(&b, AREA, 2);
		layout_init(&layout, 3, 50, 900, AREA);
		deal(&work, &layout, &a, &b);
		if (where == 0)
			work.copies[2][3].src = FORBIDDEN;
		else if (where == 1)
			work.copies[2][3].dst = FORBIDDEN;
		else if (where == 2)
			work.launch.jobs[2].flag = FORBIDDEN;
		else
			work.launch.jobs[2].copies = FORBIDDEN;
		CHECK_STATUS(gpu_reference_run(&reference, &work.launch),
			     TCPX_EGPU);
		for (uint32_t j = 0; j < JOBS; j++)
			CHECK_EQ(work.flags[j], j < 2 ? 1000 + j : 0);
		layout_fini(&layout);
		region_fini(&a);
		region_fini(&b);
	}
}

/* No copies, or none with bytes: only the flag. */
static void nothing_to_copy(void)
{
	unsigned n_touches[2] = {0, 0};
	struct gpu_reference reference = {.at = anywhere, .arg = n_touches};
	static struct work work;

	memset(&work, 0, sizeof(work));
	work.launch.n_jobs = 2;
	for (int j = 0; j < 2; j++)
		work.launch.jobs[j] = (struct gpu_launch_job){
			.flag = (uintptr_t)&work.flags[j], .value = 7};
	work.launch.jobs[1].copies = (uintptr_t)work.copies[1];
	work.launch.jobs[1].n_copies = 3;
	for (int i = 0; i < 3; i++)
		work.copies[1][i].src = work.copies[1][i].dst = FORBIDDEN;
	CHECK_STATUS(gpu_reference_run(&reference, &work.launch), 0);
	CHECK_EQ(work.flags[0], 7);
	CHECK_EQ(work.flags[1], 7);
	CHECK_EQ(n_touches[GPU_TOUCH_READ], 1);
	CHECK_EQ(n_touches[GPU_TOUCH_WRITE], 2);
}

static const struct check_case cases[] = {
	{"at_random", at_random, 0},
	{"forbidden_places_end_it", forbidden_places_end_it, 0},
	{"nothing_to_copy", nothing_to_copy, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
