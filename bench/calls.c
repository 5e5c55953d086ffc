/* SPDX-License-Identifier: Apache-2.0 */
/* What prepare, post, test, poll and release cost the thread that calls. */
#include "micro.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LIST_SEGMENTS 1000000u
#define PIECE_BYTES 64u
#define STRIDE_BYTES 128u /* as much hole as piece */
#define AREA_BYTES ((uint64_t)LIST_SEGMENTS * STRIDE_BYTES)
#define WAIT_MS 60000
#define IDLE_MS 5 /* workers are asleep, caches have been others' */
#define BATCH 16
#define BATCHES_MAX 200000u
#define SAMPLES_MAX 1000u
#define N_REGIONS 256u /* three or so a layer of a large model */
#define REGION_STRIDES (LIST_SEGMENTS / N_REGIONS)

struct calls {
	struct tcpx_session *session;
	uint64_t peer, mem, remote_mem;
	struct far_hello hello;
	char *area;
	struct tcpx_segment *segments;
	uint64_t rng;
};

static uint64_t next_random(struct calls *c)
{
	c->rng ^= c->rng << 13;
	c->rng ^= c->rng >> 7;
	c->rng ^= c->rng << 17;
	return c->rng;
}

static void swap(uint64_t *a, uint64_t *b)
{
	uint64_t x = *a;

	*a = *b;
	*b = x;
}

/* Both sides shuffled, each in its own order. */
static void shuffle_list(struct calls *c)
{
	for (uint32_t i = 0; i < LIST_SEGMENTS; i++)
		c->segments[i] = (struct tcpx_segment){
			c->mem, (uint64_t)i * STRIDE_BYTES, c->remote_mem,
			(uint64_t)i * STRIDE_BYTES, PIECE_BYTES};
	for (uint32_t i = LIST_SEGMENTS - 1; i; i--) {
		swap(&c->segments[i].local_off,
		     &c->segments[next_random(c) % (i + 1)].local_off);
		swap(&c->segments[i].remote_off,
		     &c->segments[next_random(c) % (i + 1)].remote_off);
	}
}

static uint64_t prepare(struct calls *c, size_t n, double *took_ns)
{
	struct tcpx_xfer_params params = {.size_bytes = sizeof(params),
					  .peer = c->peer,
					  .op = TCPX_OP_WRITE,
					  .segments = c->segments,
					  .n_segments = n};
	uint64_t xfer, begin_ns = now_ns();
	int status = tcpx_xfer_prepare(c->session, &params, &xfer);

	*took_ns = (double)(now_ns() - begin_ns);
	must(status, "prepare");
	return xfer;
}

static double post(struct calls *c, uint64_t xfer)
{
	uint64_t begin_ns = now_ns();
	int status = tcpx_xfer_post(c->session, xfer, NULL);
	double took_ns = (double)(now_ns() - begin_ns);

	must(status, "post");
	return took_ns;
}

static double post_and_wait(struct calls *c, uint64_t xfer)
{
	double took_ns = post(c, xfer);

	must(tcpx_xfer_wait(c->session, xfer, WAIT_MS), "a transfer");
	return took_ns;
}

static double release(struct calls *c, uint64_t xfer)
{
	uint64_t begin_ns = now_ns();
	int status = tcpx_xfer_release(c->session, xfer);
	double took_ns = (double)(now_ns() - begin_ns);

	must(status, "release");
	return took_ns;
}

/*
 * A post is timed alone and in the states a caller finds the session in:
 * right after the transfer before was seen done, and after a while of other
 * things, when the workers sleep. Bytes move between any two.
 */
static json_t *measure_list(struct calls *c, bool quick)
{
	size_t n_lists = quick ? 3 : 9, n_posts = quick ? 3 : 5, k = 0;
	double prepared[9], first[9], released[9], hot[45], idle[45];

	for (size_t i = 0; i < n_lists; i++) {
		shuffle_list(c);
		uint64_t xfer = prepare(c, LIST_SEGMENTS, &prepared[i]);

		prepared[i] /= LIST_SEGMENTS;
		sleep_ms(IDLE_MS);
		first[i] = post_and_wait(c, xfer);
		for (size_t p = 0; p < n_posts; p++, k++) {
			hot[k] = post_and_wait(c, xfer);
			sleep_ms(IDLE_MS);
			idle[k] = post_and_wait(c, xfer);
		}
		released[i] = release(c, xfer);
	}
	return json_pack("{sI so so so so so}", "segments",
			 (json_int_t)LIST_SEGMENTS, "prepare_ns_a_segment",
			 summary(prepared, n_lists), "first_post_ns",
			 summary(first, n_lists), "post_after_done_ns",
			 summary(hot, k), "post_after_idle_ns",
			 summary(idle, k), "release_ns",
			 summary(released, n_lists));
}

/* The area once more as many regions, and the far one by as many handles. */
static void add_regions(struct calls *c, uint64_t *mems, uint64_t *remote_mems)
{
	uint64_t len_bytes = (uint64_t)REGION_STRIDES * STRIDE_BYTES;
	size_t n;

	for (size_t i = 0; i < N_REGIONS; i++) {
		must(tcpx_mem_register(c->session, c->area + i * len_bytes,
				       len_bytes, TCPX_ACCESS_LOCAL, &mems[i]),
		     "registering memory");
		must(tcpx_mem_load(c->session, c->hello.mem, c->hello.mem_len,
				   &remote_mems[i], 1, &n),
		     "the far memory");
	}
}

/* A list in which each segment may be of another region than the last. */
static json_t *measure_regions(struct calls *c, bool quick)
{
	uint64_t mems[N_REGIONS], remote_mems[N_REGIONS];
	size_t n_lists = quick ? 3 : 9;
	double prepared[9];

	add_regions(c, mems, remote_mems);
	for (size_t k = 0; k < n_lists; k++) {
		for (uint32_t i = 0; i < LIST_SEGMENTS; i++) {
			uint64_t dice = next_random(c);
			uint64_t off = (dice >> 16) % REGION_STRIDES;

			c->segments[i] = (struct tcpx_segment){
				mems[dice % N_REGIONS], off * STRIDE_BYTES,
				remote_mems[(dice >> 8) % N_REGIONS],
				(dice >> 32) % LIST_SEGMENTS * STRIDE_BYTES,
				PIECE_BYTES};
		}
		uint64_t xfer = prepare(c, LIST_SEGMENTS, &prepared[k]);

		prepared[k] /= LIST_SEGMENTS;
		release(c, xfer);
	}
	return json_pack("{sI so}", "regions", (json_int_t)N_REGIONS,
			 "prepare_ns_a_segment", summary(prepared, n_lists));
}

/* The same of one segment: what a list's length adds shows by comparison. */
static json_t *measure_single(struct calls *c, bool quick)
{
	size_t n = quick ? 50 : 300;
	double prepared[SAMPLES_MAX], hot[SAMPLES_MAX], idle[SAMPLES_MAX],
		released[SAMPLES_MAX];

	for (size_t i = 0; i < n; i++) {
		c->segments[0] = (struct tcpx_segment){c->mem, 0, c->remote_mem,
						       0, 1u << 16};
		uint64_t xfer = prepare(c, 1, &prepared[i]);

		post_and_wait(c, xfer);
		hot[i] = post_and_wait(c, xfer);
		sleep_ms(IDLE_MS);
		idle[i] = post_and_wait(c, xfer);
		released[i] = release(c, xfer);
	}
	return json_pack("{sI so so so so}", "bytes", (json_int_t)(1u << 16),
			 "prepare_ns", summary(prepared, n),
			 "post_after_done_ns", summary(hot, n),
			 "post_after_idle_ns", summary(idle, n), "release_ns",
			 summary(released, n));
}

/* A transfer that goes on for a while: the whole area again and again. */
static uint64_t post_long(struct calls *c, unsigned n_areas)
{
	double ignored;
	uint64_t xfer;

	for (unsigned i = 0; i < n_areas; i++)
		c->segments[i] = (struct tcpx_segment){c->mem, 0, c->remote_mem,
						       0, AREA_BYTES};
	xfer = prepare(c, n_areas, &ignored);
	post(c, xfer);
	return xfer;
}

static json_t *measure_release_in_flight(struct calls *c)
{
	double took_ns[20];

	for (size_t i = 0; i < 20; i++) {
		uint64_t xfer = post_long(c, 64);

		sleep_ms(2);
		took_ns[i] = release(c, xfer);
	}
	return summary(took_ns, 20);
}

/* Writes of 8 bytes, one after the other, from post to done. */
static json_t *small_writes(struct calls *c, size_t n)
{
	double took_ns[SAMPLES_MAX], ignored;

	c->segments[0] = (struct tcpx_segment){c->mem, 0, c->remote_mem, 0, 8};
	uint64_t xfer = prepare(c, 1, &ignored);

	for (size_t i = 0; i < n; i++) {
		uint64_t begin_ns = now_ns();

		post_and_wait(c, xfer);
		took_ns[i] = (double)(now_ns() - begin_ns);
		sleep_ms(1);
	}
	release(c, xfer);
	return summary(took_ns, n);
}

static uint64_t bytes_sent(struct calls *c)
{
	static char text[1 << 16];
	size_t len;

	must(tcpx_session_stats_json(c->session, text, sizeof(text), &len),
	     "statistics");
	json_t *stats = json_loads(text, 0, NULL), *peer, *rail;
	uint64_t n = 0;
	size_t i, k;

	json_array_foreach(json_object_get(stats, "peers"), i, peer)
		json_array_foreach(json_object_get(peer, "rails"), k, rail)
			n += (uint64_t)json_integer_value(
				json_object_get(rail, "sent_bytes"));
	json_decref(stats);
	return n;
}

/* What a large transfer to the same peer costs a small one, and the other way
 * round; and what raw TCP does there, in turn. */
static json_t *small_beside_large(struct calls *c, bool quick)
{
	size_t n = quick ? 50 : 300;
	json_t *alone = small_writes(c, n);
	uint64_t large = post_long(c, 640);
	uint64_t begin_ns = now_ns(), begin_bytes = bytes_sent(c);
	json_t *beside = small_writes(c, n);
	double per_ns = (double)(bytes_sent(c) - begin_bytes) /
			(double)(now_ns() - begin_ns);
	int status = tcpx_xfer_test(c->session, large);

	must(status == TCPX_INPROGRESS ? 0 : TCPX_EINTERNAL,
	     "a large transfer that lasts");
	release(c, large);
	double p99 = json_number_value(json_object_get(beside, "p99"));
	double bound = 5 * json_number_value(json_object_get(alone, "p50"));

	return json_pack("{so so so sf sf}", "alone_ns", alone, "beside_ns",
			 beside, "raw_ns", raw_beside(n), "p99_of_bound",
			 p99 / (bound > 1e6 ? bound : 1e6),
			 "large_gigabytes_per_s", per_ns);
}

/* ---- calls too short to be timed one by one ---------------------------- */

struct look {
	struct calls *c;
	uint64_t xfer;
	int (*call)(struct look *look);
	int expected; /* other answers end it */
};

static int call_test(struct look *look)
{
	return tcpx_xfer_test(look->c->session, look->xfer);
}

static int call_poll(struct look *look)
{
	struct tcpx_notification *n;

	return tcpx_notify_poll(look->c->session, &n);
}

/*
 * Batches of calls. The median batch is one in which nothing but the status
 * was read; those that took four times as long held a visit to the channels,
 * or the thread lost its core in them.
 */
static json_t *look_at(struct look *look, size_t n_batches)
{
	double *ns = calloc(n_batches, sizeof(*ns)), p50, visits_ns = 0,
	       all = 0;
	size_t n = 0, n_visits = 0;
	int status = look->expected;

	must(ns ? 0 : TCPX_ENOMEM, "memory");
	while (n < n_batches && status == look->expected) {
		uint64_t begin_ns = now_ns();

		for (int i = 0; i < BATCH; i++)
			status = look->call(look);
		ns[n++] = (double)(now_ns() - begin_ns);
	}
	if (n > 1 && status != look->expected)
		n--; /* the last is of two minds */
	p50 = percentile(ns, n, 50);
	for (size_t i = 0; i < n; i++) {
		all += ns[i];
		n_visits += ns[i] > 4 * p50;
		visits_ns += ns[i] > 4 * p50 ? ns[i] - p50 : 0;
	}
	free(ns);
	return json_pack("{sf sf sI sI sf sf}", "p50_ns", p50 / BATCH,
			 "mean_ns", all / (double)(n * BATCH), "calls",
			 (json_int_t)(n * BATCH), "visits",
			 (json_int_t)n_visits, "visit_mean_ns",
			 n_visits ? visits_ns / (double)n_visits : 0,
			 "visit_share", visits_ns / all);
}

static json_t *measure_looks(struct calls *c, bool quick)
{
	size_t n_batches = quick ? BATCHES_MAX / 10 : BATCHES_MAX;
	struct look look = {.c = c, .call = call_test};
	json_t *figures = json_object();

	look.xfer = post_long(c, 1);
	must(tcpx_xfer_wait(c->session, look.xfer, WAIT_MS), "a transfer");
	json_object_set_new(figures, "test_done", look_at(&look, n_batches));
	release(c, look.xfer);

	look.expected = TCPX_INPROGRESS;
	look.xfer = post_long(c, 64);
	json_object_set_new(figures, "test_in_flight",
			    look_at(&look, n_batches));
	release(c, look.xfer);

	look.call = call_poll;
	look.expected = TCPX_EAGAIN;
	json_object_set_new(figures, "notify_poll_empty",
			    look_at(&look, n_batches));
	return figures;
}

static double clock_cost_ns(void)
{
	uint64_t begin_ns = now_ns();

	for (int i = 0; i < 1000; i++)
		now_ns();
	return (double)(now_ns() - begin_ns) / 1000;
}

static void set_up(struct calls *c, struct far *far, int n_workers)
{
	struct far_params params = {
		.n_sessions = 1, .n_workers = -1, .mem_bytes = AREA_BYTES};
	size_t n;

	far_start(far, &params);
	far_read(far, &c->hello);
	c->rng = 88172645463325252u;
	c->session = micro_session(n_workers);
	c->area = mmap(NULL, AREA_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	c->segments = calloc(LIST_SEGMENTS, sizeof(*c->segments));
	must(c->area == MAP_FAILED || !c->segments ? TCPX_ENOMEM : 0, "memory");
	memset(c->area, 1, AREA_BYTES);
	must(tcpx_peer_connect(c->session, c->hello.blob, c->hello.blob_len,
			       &c->peer),
	     "connecting");
	must(tcpx_peer_wait(c->session, c->peer, WAIT_MS), "connecting");
	must(tcpx_mem_register(c->session, c->area, AREA_BYTES,
			       TCPX_ACCESS_LOCAL, &c->mem),
	     "registering memory");
	must(tcpx_mem_load(c->session, c->hello.mem, c->hello.mem_len,
			   &c->remote_mem, 1, &n),
	     "the far memory");
}

static void tear_down(struct calls *c, struct far *far)
{
	tcpx_session_close(c->session);
	far_stop(far);
	munmap(c->area, AREA_BYTES);
	free(c->segments);
	*c = (struct calls){0};
}

/* Without workers it is the caller's tests that move the bytes. */
static json_t *measure_driving(bool quick)
{
	struct calls c = {0};
	struct far far;
	json_t *figures;

	set_up(&c, &far, 0);
	figures = measure_looks(&c, quick);
	tear_down(&c, &far);
	return figures;
}

json_t *measure_calls(const struct micro_options *options)
{
	struct calls c = {0};
	struct far far;
	json_t *figures;

	set_up(&c, &far, -1);
	figures = json_pack("{sf so so so}", "clock_ns", clock_cost_ns(),
			    "list", measure_list(&c, options->quick), "regions",
			    measure_regions(&c, options->quick), "single",
			    measure_single(&c, options->quick));
	json_object_set_new(figures, "release_in_flight_ns",
			    measure_release_in_flight(&c));
	json_object_update_new(figures, measure_looks(&c, options->quick));
	tear_down(&c, &far);
	json_object_set_new(figures, "without_workers",
			    measure_driving(options->quick));
	return figures;
}

json_t *measure_beside(const struct micro_options *options)
{
	struct calls c = {0};
	struct far far;
	json_t *figures;

	set_up(&c, &far, -1);
	figures = small_beside_large(&c, options->quick);
	tear_down(&c, &far);
	return figures;
}
