/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/fixture.h"

#include <sched.h>

#include "base/log.h"
#include "support/scale.h"

static void keep_line(void *arg, enum tcpx_log_level level, const char *from,
		      const char *line)
{
	struct fixture *fixture = arg;

	fprintf(stderr, "%s: %s\n", from, line);
	if (level > TCPX_LOG_ERROR)
		return;
	__atomic_fetch_add(&fixture->n_errors, 1, __ATOMIC_RELAXED);
	snprintf(fixture->line, sizeof(fixture->line), "%s", line);
}

void fixture_open(struct fixture *fixture, const struct fixture_wish *wish)
{
	static struct log log; /* one device a case that logs */
	struct fixture_wish none = {0};
	const char *driver = getenv("TEST_GPU_DRIVER");
	struct gpu_params params = {.log = &log, .seed = check_seed()};
	char why[200] = "";

	wish = wish ? wish : &none;
	*fixture = (struct fixture){0};
	log = (struct log){
		.fn = keep_line, .arg = fixture, .level = TCPX_LOG_WARN};
	params.slot_bytes = wish->slot_bytes ? wish->slot_bytes : 1u << 18;
	params.n_slots = wish->n_slots ? wish->n_slots : 16;
	params.hang_ms = wish->hang_ms;
	params.way = wish->way;
	params.resident = wish->resident;
	CHECK_STATUS(gpu_set_create(driver ? driver : "host", &params,
				    &fixture->set),
		     TCPX_OK);
	if (gpu_set_open(fixture->set, wish->index, &fixture->gpu, why,
			 sizeof(why)) != 0)
		check_fail(CHECK_AT, "no device: %s", why);
}

void fixture_close(struct fixture *fixture)
{
	gpu_set_destroy(fixture->set);
	fixture->set = NULL;
	fixture->gpu = NULL;
}

void *fixture_alloc(struct fixture *fixture, uint64_t len_bytes)
{
	void *mem = NULL;

	CHECK_STATUS(gpu_mem_alloc(fixture->gpu, len_bytes, &mem), TCPX_OK);
	return mem;
}

void fixture_fill(struct fixture *fixture, void *mem, uint64_t len_bytes,
		  uint64_t seed)
{
	uint8_t *bytes = malloc(len_bytes + 1);

	CHECK(bytes);
	pattern_fill(bytes, len_bytes, seed, 0);
	CHECK_STATUS(gpu_copy_wait(fixture->gpu, mem, bytes, len_bytes),
		     TCPX_OK);
	free(bytes);
}

uint8_t *fixture_read(struct fixture *fixture, const void *mem,
		      uint64_t len_bytes)
{
	uint8_t *bytes = malloc(len_bytes + 1);

	CHECK(bytes);
	CHECK_STATUS(gpu_copy_wait(fixture->gpu, bytes, mem, len_bytes),
		     TCPX_OK);
	return bytes;
}

void fixture_check(struct fixture *fixture, const void *mem, uint64_t len_bytes,
		   uint64_t seed)
{
	uint8_t *got = fixture_read(fixture, mem, len_bytes);
	uint8_t *want = malloc(len_bytes + 1);

	CHECK(want);
	pattern_fill(want, len_bytes, seed, 0);
	CHECK_MEM(got, want, len_bytes);
	free(want);
	free(got);
}

struct gpu_job *fixture_job(struct fixture *fixture)
{
	struct gpu_job *job = gpu_job_get(fixture->gpu);

	CHECK(job);
	return job;
}

void *fixture_slot(struct fixture *fixture, enum gpu_slot_use use)
{
	void *slot = NULL;

	CHECK_STATUS(gpu_slot_get(fixture->gpu, use, &slot), TCPX_OK);
	return slot;
}

int fixture_wait(struct gpu_job *job)
{
	uint64_t end_ns = test_now_ns() + (uint64_t)scale_ms(10000) * 1000000u;
	int status;

	while ((status = gpu_job_poll(job)) == TCPX_INPROGRESS) {
		CHECK(test_now_ns() < end_ns);
		sched_yield();
	}
	gpu_job_put(job);
	return status;
}

int fixture_run(struct fixture *fixture, struct gpu_job *job)
{
	gpu_job_submit(job);
	gpu_flush(fixture->gpu);
	return fixture_wait(job);
}

int fixture_copy(struct fixture *fixture, void *dst, const void *src,
		 uint64_t len_bytes)
{
	struct gpu_job *job = fixture_job(fixture);

	CHECK(gpu_job_add(job, dst, src, len_bytes));
	return fixture_run(fixture, job);
}
