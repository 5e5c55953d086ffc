/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>

#include "gpu/fixture.h"
#include "gpu/driver.h"
#include "support/scale.h"

/* What goes wrong: a device that refuses, breaks or hangs, and events. */

static bool says(const char *text, const char *what)
{
	if (!strstr(text, what))
		fprintf(stderr, "\"%s\" is not in \"%s\"\n", what, text);
	return strstr(text, what) != NULL;
}

/* Every job from now on fails, at once. */
static void check_failed(struct fixture *d, const char *cause)
{
	void *slot, *mem;

	CHECK_STATUS(gpu_status(d->gpu), TCPX_EGPU);
	CHECK(says(gpu_cause(d->gpu), cause));
	CHECK(says(d->line, cause)); /* and once in the log */
	CHECK_EQ(d->n_errors, 1);
	CHECK_STATUS(gpu_slot_get(d->gpu, GPU_SLOT_SEND, &slot), 0);
	for (int i = 0; i < 100; i++)
		CHECK_STATUS(fixture_copy(d, slot, slot, 1), TCPX_EGPU);
	CHECK_STATUS(fixture_run(d, fixture_job(d)), TCPX_EGPU);
	CHECK_STATUS(gpu_copy_wait(d->gpu, slot, slot, 1), TCPX_EGPU);
	if (gpu_mem_alloc(d->gpu, 1, &mem) == 0)
		gpu_mem_free(d->gpu, mem);
	CHECK_EQ(d->n_errors, 1);
}

/* The launches before the fault end well, its own and the later ones not. */
static void fault(const char *text, const char *cause, struct fixture_wish wish)
{
	struct fixture d;

	setenv("TCPX_GPU_HOST_FAULT", text, 1);
	fixture_open(&d, &wish);
	uint8_t *slot = fixture_slot(&d, GPU_SLOT_SEND);
	uint8_t *mem = fixture_alloc(&d, 4096);
	pattern_fill(slot, 4096, 1, 0);
	CHECK_STATUS(gpu_status(d.gpu), 0);
	CHECK_STR(gpu_cause(d.gpu), "");
	CHECK_STATUS(fixture_copy(&d, mem, slot, 4096), 0);
	CHECK_STATUS(fixture_copy(&d, mem, slot, 4096), 0);
	fixture_check(&d, mem, 4096, 1);
	CHECK_STATUS(fixture_copy(&d, mem, slot, 4096), TCPX_EGPU);
	check_failed(&d, cause);
	fixture_close(&d);
}

static void refused(void)
{
	fault("refuse:3", "launch refused", (struct fixture_wish){0});
}

static void broken(void)
{
	fault("break:3", "unspecified launch failure",
	      (struct fixture_wish){0});
}

static void hanging(void)
{
	fault("hang:3", "no answer for 1000 ms",
	      (struct fixture_wish){.hang_ms = 1000});
}

static void refused_engine(void)
{
	fault("refuse:3", "launch refused",
	      (struct fixture_wish){.way = GPU_COPY_ENGINE});
}

static void broken_engine(void)
{
	fault("break:3", "unspecified launch failure",
	      (struct fixture_wish){.way = GPU_COPY_ENGINE});
}

static void broken_resident(void)
{
	fault("break:3", "unspecified launch failure",
	      (struct fixture_wish){.resident = true});
}

/* The driver has some copies of a job and then fails. */
static void refused_half_way(void)
{
	struct fixture d;

	setenv("TCPX_GPU_HOST_FAULT", "refuse:5", 1);
	fixture_open(&d, &(struct fixture_wish){.way = GPU_COPY_ENGINE});
	uint8_t *slot = fixture_slot(&d, GPU_SLOT_SEND);
	uint8_t *mem = fixture_alloc(&d, 4096);
	struct gpu_job *job = fixture_job(&d);
	for (int i = 0; i < 8; i++)
		CHECK(gpu_job_add(job, mem + i * 100, slot + i * 100, 100));
	CHECK_STATUS(fixture_run(&d, job), TCPX_EGPU);
	check_failed(&d, "launch refused");
	fixture_close(&d);
}

/* Only the device that is named, and only until nobody has it open. */
static void faults_have_a_device(void)
{
	struct fixture d;

	setenv("TCPX_GPU_HOST_FAULT", "refuse:1:1", 1);
	fixture_open(&d, NULL);
	void *slot = fixture_slot(&d, GPU_SLOT_SEND);
	CHECK_STATUS(fixture_copy(&d, slot, slot, 1), 0);
	fixture_close(&d);
	fixture_open(&d, &(struct fixture_wish){.index = 1});
	slot = fixture_slot(&d, GPU_SLOT_SEND);
	CHECK_STATUS(fixture_copy(&d, slot, slot, 1), TCPX_EGPU);
	fixture_close(&d);
	setenv("TCPX_GPU_HOST_FAULT", "refuse:2:1", 1);
	fixture_open(&d, &(struct fixture_wish){.index = 1});
	slot = fixture_slot(&d, GPU_SLOT_SEND);
	CHECK_STATUS(fixture_copy(&d, slot, slot, 1), 0);
	fixture_close(&d);
}

/* Jobs in flight when the device breaks all end, one way or the other. */
static void all_jobs_end(void)
{
	struct gpu_job *jobs[60];
	struct fixture d;
	int n_good = 0, status;

	setenv("TCPX_GPU_HOST_FAULT", "break:3", 1);
	fixture_open(&d, NULL);
	uint8_t *slot = fixture_slot(&d, GPU_SLOT_SEND);
	uint8_t *mem = fixture_alloc(&d, 60 * 100);
	for (int i = 0; i < 60; i++) {
		jobs[i] = fixture_job(&d);
		CHECK(gpu_job_add(jobs[i], mem + i * 100, slot + i * 100, 100));
		gpu_job_submit(jobs[i]);
		gpu_flush(d.gpu);
	}
	gpu_settle(d.gpu);
	for (int i = 0; i < 60; i++) {
		status = fixture_wait(jobs[i]);
		CHECK(status == 0 || status == TCPX_EGPU);
		n_good += status == 0;
	}
	CHECK(n_good < 60);
	check_failed(&d, "unspecified launch failure");
	fixture_close(&d);
}

/* Threads in the midst of everything when it breaks. */
static void *use_until_it_breaks(void *arg)
{
	struct fixture *d = arg;
	int status = 0;

	while (status == 0) {
		struct gpu_job *job = gpu_job_get(d->gpu);
		void *slot;

		sched_yield();
		if (!job)
			continue;
		if (gpu_slot_get(d->gpu, GPU_SLOT_SEND, &slot) == 0) {
			CHECK(gpu_job_add(job, slot, (uint8_t *)slot + 5000,
					  5000));
			status = fixture_run(d, job);
			gpu_slot_put(d->gpu, GPU_SLOT_SEND, slot);
		} else {
			gpu_job_put(job);
		}
	}
	CHECK_STATUS(status, TCPX_EGPU);
	return NULL;
}

static void breaking_under_threads_with(const struct fixture_wish *wish)
{
	pthread_t threads[4];
	struct fixture d;
	char fault_text[32];

	for (size_t i = 0; i < scale_count(20); i++) {
		snprintf(fault_text, sizeof(fault_text), "%s:%zu",
			 i % 2 ? "break" : "refuse", 20 + 7 * i);
		setenv("TCPX_GPU_HOST_FAULT", fault_text, 1);
		fixture_open(&d, wish);
		for (int k = 0; k < 4; k++)
			CHECK_EQ(pthread_create(&threads[k], NULL,
						use_until_it_breaks, &d),
				 0);
		for (int k = 0; k < 4; k++)
			pthread_join(threads[k], NULL);
		fixture_close(&d);
	}
}

static void breaking_under_threads(void)
{
	breaking_under_threads_with(&(struct fixture_wish){.n_slots = 6});
}

static void breaking_engine_under_threads(void)
{
	breaking_under_threads_with(
		&(struct fixture_wish){.n_slots = 6, .way = GPU_COPY_ENGINE});
}

/* Memory that a hanging device may still touch is not given back. */
static void closing_while_it_hangs(void)
{
	struct fixture d;
	uint64_t begin_ns;

	setenv("TCPX_GPU_HOST_FAULT", "hang:1", 1);
	fixture_open(&d, NULL);
	uint8_t *slot = fixture_slot(&d, GPU_SLOT_SEND);
	struct gpu_job *job = fixture_job(&d);
	CHECK(gpu_job_add(job, slot, slot + 100, 100));
	gpu_job_submit(job);
	gpu_flush(d.gpu);
	begin_ns = test_now_ns();
	fixture_close(&d);
	CHECK(test_now_ns() - begin_ns < (uint64_t)scale_ms(4000) * 1000000u);
	CHECK(says(d.line, "not given back"));
	slot[0] = 1; /* still there */
}

static struct gpu_job *start_copy(struct fixture *d, void *dst, void *src)
{
	struct gpu_job *job = fixture_job(d);

	CHECK(gpu_job_add(job, dst, src, 100));
	gpu_job_submit(job);
	gpu_flush(d->gpu);
	return job;
}

static int poll_to_end(struct gpu_job *job)
{
	int status;

	while ((status = gpu_job_poll(job)) == TCPX_INPROGRESS)
		test_sleep_ms(1);
	return status;
}

/* Put and got again, and again: neither the slot nor the job of the copy that
 * the device may yet come to is among them. */
static void check_kept(struct fixture *d, const void *slot,
		       const struct gpu_job *job)
{
	struct gpu_job *other;
	void *got;

	while (gpu_slot_get(d->gpu, GPU_SLOT_SEND, &got) == 0)
		CHECK(got != slot);
	while ((other = gpu_job_get(d->gpu)) != NULL)
		CHECK(other != job);
}

static void hung_keeps_its_own(bool rests)
{
	struct fixture d;

	setenv("TCPX_GPU_HOST_FAULT", "hang:1", 1);
	fixture_open(
		&d, &(struct fixture_wish){.n_slots = 8,
					   .hang_ms = (uint32_t)scale_ms(100)});
	uint8_t *slot = fixture_slot(&d, GPU_SLOT_SEND);
	uint8_t *mem = fixture_alloc(&d, 4096);
	struct gpu_job *job = start_copy(&d, slot, mem);
	CHECK_STATUS(poll_to_end(job), TCPX_EGPU);
	gpu_job_put(job);
	if (rests)
		gpu_slot_rest(d.gpu, GPU_SLOT_SEND, slot);
	else
		gpu_slot_put(d.gpu, GPU_SLOT_SEND, slot);
	if (rests)
		test_sleep_ms(1100);
	check_kept(&d, slot, job);
	CHECK_STATUS(gpu_settle(d.gpu), TCPX_EGPU);
	fixture_close(&d);
}

static void given_up_keeps_its_own(void)
{
	hung_keeps_its_own(false);
	hung_keeps_its_own(true);
}

/* One that was not started waits for those that hang, whom nobody asks for any
 * more: it ends with the device all the same. */
static void behind_what_hangs(void)
{
	struct fixture d;

	setenv("TCPX_GPU_HOST_FAULT", "hang:1", 1);
	fixture_open(
		&d, &(struct fixture_wish){.hang_ms = (uint32_t)scale_ms(100)});
	uint8_t *slot = fixture_slot(&d, GPU_SLOT_SEND);
	for (int i = 0; i < GPU_STREAMS; i++)
		gpu_job_abandon(start_copy(&d, slot, slot + 200));
	struct gpu_job *job = start_copy(&d, slot, slot + 200);
	CHECK_STATUS(poll_to_end(job), TCPX_EGPU);
	gpu_job_put(job);
	CHECK(says(gpu_cause(d.gpu), "no answer"));
	CHECK_STATUS(gpu_settle(d.gpu), TCPX_EGPU);
	fixture_close(&d);
}

/* Whoever waits for all finds out by himself that nothing will come. */
static void settling_what_hangs(void)
{
	struct fixture d;

	setenv("TCPX_GPU_HOST_FAULT", "hang:1", 1);
	fixture_open(
		&d, &(struct fixture_wish){.hang_ms = (uint32_t)scale_ms(100)});
	uint8_t *slot = fixture_slot(&d, GPU_SLOT_SEND);
	gpu_job_abandon(start_copy(&d, slot, slot + 200));
	CHECK_STATUS(gpu_settle(d.gpu), TCPX_EGPU);
	CHECK_STATUS(gpu_status(d.gpu), TCPX_EGPU);
	fixture_close(&d);
}

/* ---- events ------------------------------------------------------------ */

/* Asked, not waited for. One that is none is said to be so, once in the log,
 * and the device lives. */
static void events_are_asked(void)
{
	uintptr_t event = gpu_host_event_create();
	struct fixture d;

	fixture_open(&d, NULL);
	void *slot = fixture_slot(&d, GPU_SLOT_SEND);
	CHECK_STATUS(gpu_event_passed(d.gpu, event), TCPX_INPROGRESS);
	gpu_host_event_fire(event);
	CHECK_STATUS(gpu_event_passed(d.gpu, event), TCPX_OK);
	gpu_host_event_destroy(event);
	CHECK_STATUS(gpu_event_passed(d.gpu, event), TCPX_EINVAL);
	CHECK(says(d.line, "no such event"));
	CHECK_STATUS(gpu_status(d.gpu), 0);
	CHECK_STATUS(fixture_copy(&d, slot, slot, 1), 0);
	fixture_close(&d);
}

static void a_failed_device_has_no_events(void)
{
	uintptr_t event = gpu_host_event_create();
	struct fixture d;

	setenv("TCPX_GPU_HOST_FAULT", "refuse:1", 1);
	fixture_open(&d, NULL);
	void *slot = fixture_slot(&d, GPU_SLOT_SEND);
	CHECK_STATUS(fixture_copy(&d, slot, slot, 1), TCPX_EGPU);
	CHECK_STATUS(gpu_event_passed(d.gpu, event), TCPX_EGPU);
	gpu_host_event_destroy(event);
	fixture_close(&d);
}

static const struct check_case cases[] = {
	{"refused", refused, 0},
	{"broken", broken, 0},
	{"hanging", hanging, 0},
	{"refused_engine", refused_engine, 0},
	{"broken_engine", broken_engine, 0},
	{"broken_resident", broken_resident, 0},
	{"refused_half_way", refused_half_way, 0},
	{"faults_have_a_device", faults_have_a_device, 0},
	{"all_jobs_end", all_jobs_end, 0},
	{"breaking_under_threads", breaking_under_threads, 0},
	{"breaking_engine_under_threads", breaking_engine_under_threads, 0},
	{"closing_while_it_hangs", closing_while_it_hangs, 0},
	{"given_up_keeps_its_own", given_up_keeps_its_own, 0},
	{"behind_what_hangs", behind_what_hangs, 0},
	{"settling_what_hangs", settling_what_hangs, 0},
	{"events_are_asked", events_are_asked, 0},
	{"a_failed_device_has_no_events", a_failed_device_has_no_events, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
