/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "fixture.h"
#include "gpu/internal.h"
#include "support/scale.h"

/*
 * What gpu.c, slots.c, jobs.c and launch.c make of a driver's answers: the
 * pretend one, with calls in front of it that answer as a script says.
 */

static struct {
	uint64_t pinned_max; /* more is not to be had */
	uint32_t n_again; /* so often TCPX_EAGAIN, every other call */
	uint32_t n_calls, n_refusals;
	uint32_t streams; /* a bit each: seen in launches */
	uint32_t closed;
	int open_rc, resident_rc, copy_rc;
	uint32_t copy_at; /* the call that copy_rc is for */
} script;

static int pinned_alloc(struct gpu_device *device, size_t len_bytes, void **mem)
{
	if (script.pinned_max && len_bytes > script.pinned_max)
		return TCPX_ENOMEM;
	return gpu_host_ops.pinned_alloc(device, len_bytes, mem);
}

static bool again(void)
{
	script.n_calls++;
	if (script.n_again == 0 || script.n_calls % 2)
		return false;
	script.n_again--;
	script.n_refusals++;
	return true;
}

static int launch(struct gpu_device *device, uint32_t stream,
		  const struct gpu_launch *all)
{
	script.streams |= 1u << stream;
	return again() ? TCPX_EAGAIN : gpu_host_ops.launch(device, stream, all);
}

static int copy(struct gpu_device *device, uint32_t stream, uint64_t dst,
		uint64_t src, uint64_t len_bytes, uint64_t flag, uint64_t value)
{
	script.streams |= 1u << stream;
	if (again())
		return TCPX_EAGAIN;
	if (script.copy_rc && script.n_calls == script.copy_at)
		return script.copy_rc;
	return gpu_host_ops.copy(device, stream, dst, src, len_bytes, flag,
				 value);
}

static int resident_start(struct gpu_device *device)
{
	return script.resident_rc ? script.resident_rc :
				    gpu_host_ops.resident_start(device);
}

static int resident_feed(struct gpu_device *device,
			 const struct gpu_launch *all)
{
	return again() ? TCPX_EAGAIN : gpu_host_ops.resident_feed(device, all);
}

static int open_device(uint32_t index, const struct gpu_params *params,
		       struct gpu_device **device, char *why, size_t cap_bytes)
{
	if (script.open_rc) {
		snprintf(why, cap_bytes, "as the script says");
		return script.open_rc;
	}
	return gpu_host_ops.open(index, params, device, why, cap_bytes);
}

static void close_device(struct gpu_device *device)
{
	script.closed++;
	gpu_host_ops.close(device);
}

static struct gpu_ops ops_of_script(void)
{
	struct gpu_ops ops = gpu_host_ops;

	ops.pinned_alloc = pinned_alloc;
	ops.launch = launch;
	ops.copy = copy;
	ops.resident_start = resident_start;
	ops.resident_feed = resident_feed;
	ops.open = open_device;
	ops.close = close_device;
	return ops;
}

static struct gpu_ops ops;
static char last_line[256];

static void keep_line(void *arg, enum tcpx_log_level level, const char *from,
		      const char *line)
{
	snprintf(last_line, sizeof(last_line), "%s", line);
	fprintf(stderr, "%s: %s\n", from, line);
}

static int try_open(struct gpu_params params, struct gpu **gpu, char *why,
		    size_t cap_bytes)
{
	static const struct log log = {.fn = keep_line, .level = TCPX_LOG_WARN};

	ops = ops_of_script();
	params.log = &log;
	params.slot_bytes = 200000;
	params.n_slots = params.n_slots ? params.n_slots : 8;
	return gpu_open(&ops, &params, 0, gpu, why, cap_bytes);
}

static struct gpu *must_open(struct gpu_params params)
{
	struct gpu *gpu = NULL;
	char why[200] = "";

	if (try_open(params, &gpu, why, sizeof(why)) != 0)
		check_fail(CHECK_AT, "not opened: %s", why);
	return gpu;
}

static int wait_job(struct gpu_job *job)
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

/* ---- a driver that is busy --------------------------------------------- */

/* Jobs that the driver would not have yet go with a later poll, in order,
 * with nobody flushing again. */
static void busy(struct gpu_params params)
{
	const uint32_t n = 70, len = 500;
	struct gpu_counters counters;
	struct gpu_job *jobs[70];
	uint8_t *slot;

	script.n_again = 30;
	struct gpu *gpu = must_open(params);
	CHECK_STATUS(gpu_slot_get(gpu, GPU_SLOT_SEND, (void **)&slot), 0);
	for (uint32_t i = 0; i < n * len; i++)
		slot[i] = (uint8_t)(i * 7);
	for (uint32_t i = 0; i < n; i++) {
		uint8_t *to = slot + 50000 + i * len;

		jobs[i] = gpu_job_get(gpu);
		CHECK(jobs[i]);
		for (uint32_t k = 0; k < len; k += 100)
			CHECK(gpu_job_add(jobs[i], to + k, slot + i * len + k,
					  100));
		gpu_job_submit(jobs[i]);
		if (i % 5 == 0)
			gpu_flush(gpu);
	}
	gpu_flush(gpu);
	for (uint32_t i = 0; i < n; i++)
		CHECK_STATUS(wait_job(jobs[i]), 0);
	CHECK_MEM(slot + 50000, slot, n * len);
	/* How many launches there are is the clock's matter, every other one of
	 * them is refused. */
	CHECK(script.n_refusals >= 2);
	gpu_get_counters(gpu, &counters);
	CHECK_EQ(counters.jobs, n);
	CHECK_EQ(counters.copies, n * 5);
	CHECK_EQ(counters.bytes, n * len);
	gpu_close(gpu);
	CHECK_EQ(script.closed, 1);
}

static void busy_launch(void)
{
	busy((struct gpu_params){0});
	CHECK_EQ(script.streams, (1u << GPU_STREAMS) - 1); /* all of them */
}

static void busy_engine(void)
{
	busy((struct gpu_params){.way = GPU_COPY_ENGINE});
}

static void busy_ring(void)
{
	busy((struct gpu_params){.resident = true});
	CHECK_EQ(script.streams, 0);
}

/* ---- a driver that fails ----------------------------------------------- */

/* Half of a job is the driver's, which then refuses the rest and yet lives:
 * the job does not end before its first half can have. */
static void half_a_job(void)
{
	struct gpu_params params = {.way = GPU_COPY_ENGINE, .hang_ms = 200};
	struct gpu_job *jobs[2];
	uint64_t begin_ns;
	void *slot;

	script.copy_rc = TCPX_EGPU;
	script.copy_at = 3;
	struct gpu *gpu = must_open(params);
	CHECK_STATUS(gpu_slot_get(gpu, GPU_SLOT_SEND, &slot), 0);
	for (int k = 0; k < 2; k++) {
		jobs[k] = gpu_job_get(gpu);
		for (int i = 0; i < 5; i++)
			CHECK(gpu_job_add(jobs[k], (char *)slot + i * 10,
					  (char *)slot + 1000, 10));
		gpu_job_submit(jobs[k]);
	}
	begin_ns = test_now_ns();
	gpu_flush(gpu);
	CHECK_STATUS(gpu_status(gpu), TCPX_EGPU);
	CHECK_STATUS(gpu_job_poll(jobs[0]), TCPX_INPROGRESS);
	CHECK_STATUS(wait_job(jobs[1]), TCPX_EGPU); /* never begun */
	CHECK_STATUS(wait_job(jobs[0]), TCPX_EGPU);
	CHECK(test_now_ns() - begin_ns >= 150u * 1000000u);
	gpu_close(gpu);
}

static void refused_without_failing(void)
{
	struct gpu_params params = {.way = GPU_COPY_ENGINE};
	struct gpu_job *job;
	void *slot;

	script.copy_rc = TCPX_EGPU;
	script.copy_at = 1;
	struct gpu *gpu = must_open(params);
	CHECK_STATUS(gpu_slot_get(gpu, GPU_SLOT_SEND, &slot), 0);
	job = gpu_job_get(gpu);
	CHECK(gpu_job_add(job, slot, (char *)slot + 100, 10));
	gpu_job_submit(job);
	gpu_flush(gpu);
	CHECK_STATUS(gpu_job_poll(job), TCPX_EGPU);
	gpu_job_put(job);
	gpu_close(gpu);
}

/* ---- opening ----------------------------------------------------------- */

static void fewer_slots(void)
{
	struct gpu_counters counters;
	struct gpu *gpu;
	void *slot;
	int n = 0;

	/* For 200 slots, and for the copy lists of more jobs than slots. */
	script.pinned_max = 50u << 20;
	gpu = must_open((struct gpu_params){.n_slots = 400});
	CHECK(strstr(last_line, "200 pinned slots"));
	while (gpu_slot_get(gpu, GPU_SLOT_SEND, &slot) == 0)
		n++;
	while (gpu_slot_get(gpu, GPU_SLOT_RECEIVE, &slot) == 0)
		n++;
	CHECK_EQ(n, 200);
	gpu_get_counters(gpu, &counters);
	CHECK(counters.pinned_bytes > 200 * 200000);
	gpu_close(gpu);
}

static void no_pinned_memory(void)
{
	struct gpu *gpu = NULL;
	char why[200] = "";

	script.pinned_max = 1;
	CHECK_STATUS(try_open((struct gpu_params){0}, &gpu, why, sizeof(why)),
		     TCPX_ENOMEM);
	CHECK(strstr(why, "no pinned memory"));
	CHECK(!gpu);
	CHECK_EQ(script.closed, 1);
}

/* Net plugins register whole pages, and a driver packs what is short. */
static void begins_with_a_page(void)
{
	struct fixture d;
	void *mem[64];

	fixture_open(&d, NULL);
	for (unsigned i = 0; i < 64; i++) {
		CHECK_STATUS(gpu_mem_alloc(d.gpu, 100 + 3000u * i, &mem[i]), 0);
		CHECK_EQ((uintptr_t)mem[i] % GPU_PAGE, 0);
		fixture_fill(&d, mem[i], 100 + 3000u * i, i);
	}
	for (unsigned i = 0; i < 64; i++) {
		fixture_check(&d, mem[i], 100 + 3000u * i, i);
		gpu_mem_free(d.gpu, mem[i]);
	}
	CHECK_STATUS(gpu_mem_alloc(d.gpu, 0, &mem[0]), TCPX_EINVAL);
	fixture_close(&d);
}

static void not_opened(void)
{
	struct gpu *gpu = NULL;
	char why[200] = "";

	script.open_rc = TCPX_EUNSUPPORTED;
	CHECK_STATUS(try_open((struct gpu_params){0}, &gpu, why, sizeof(why)),
		     TCPX_EUNSUPPORTED);
	CHECK_STR(why, "as the script says");
	CHECK(!gpu);
	CHECK_EQ(script.closed, 0);
}

static void no_resident_kernel(void)
{
	struct gpu_job *job;
	struct gpu *gpu;
	void *slot;

	script.resident_rc = TCPX_EGPU;
	gpu = must_open((struct gpu_params){.resident = true});
	CHECK(strstr(last_line, "launching instead"));
	CHECK_STATUS(gpu_slot_get(gpu, GPU_SLOT_SEND, &slot), 0);
	job = gpu_job_get(gpu);
	CHECK(gpu_job_add(job, slot, (char *)slot + 100, 10));
	gpu_job_submit(job);
	gpu_flush(gpu);
	CHECK_STATUS(wait_job(job), 0);
	CHECK(script.streams != 0);
	gpu_close(gpu);
}

static void all_jobs_in_use(void)
{
	struct gpu *gpu = must_open((struct gpu_params){.n_slots = 10});
	struct gpu_job *job, *last = NULL;
	int n = 0;

	while ((job = gpu_job_get(gpu))) {
		last = job;
		n++;
	}
	CHECK(n >= 10 && n <= (int)GPU_COUNTERS);
	gpu_job_put(last);
	CHECK(gpu_job_get(gpu) == last);
	CHECK(!gpu_job_get(gpu));
	gpu_close(gpu);
}

static const struct check_case cases[] = {
	{"busy_launch", busy_launch, 0},
	{"busy_engine", busy_engine, 0},
	{"busy_ring", busy_ring, 0},
	{"half_a_job", half_a_job, 0},
	{"refused_without_failing", refused_without_failing, 0},
	{"fewer_slots", fewer_slots, 0},
	{"no_pinned_memory", no_pinned_memory, 0},
	{"begins_with_a_page", begins_with_a_page, 0},
	{"not_opened", not_opened, 0},
	{"no_resident_kernel", no_resident_kernel, 0},
	{"all_jobs_in_use", all_jobs_in_use, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
