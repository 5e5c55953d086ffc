/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ending things while they are in flight. After a release or a failure the
 * memory is made inaccessible for a while: whoever touches it late crashes,
 * or (the kernel, on our behalf) breaks the connection, which is looked at
 * afterwards.
 */
#include <sys/mman.h>

#include "check.h"
#include "support/scale.h"
#include "support/sess.h"

#define RW (TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE)
#define SOON scale_ms(10000)
#define BIG (16u << 20)

struct flight {
	struct pair pair;
	struct region here, there;
	uint64_t local, owned, remote;
};

static sess_tweak_fn case_tweak;

/* Transfers over the same bytes: by one worker, where that is looked at. */
static void tweak_overlap(struct tcpx_config *config)
{
	if (scale_tsan())
		config->n_workers = 1;
	if (case_tweak)
		case_tweak(config);
}

static void flight_open(struct flight *t, enum pair_kind kind,
			sess_tweak_fn tweak)
{
	case_tweak = tweak;
	pair_open(&t->pair, kind, tweak_overlap);
	region_init(&t->here, BIG, 1);
	region_init(&t->there, BIG, 2);
	t->local = sess_register(t->pair.a, &t->here, TCPX_ACCESS_LOCAL);
	t->owned = sess_register(t->pair.b, &t->there, RW);
	t->remote = sess_share(t->pair.b, t->owned, t->pair.a);
}

static void flight_close(struct flight *t)
{
	pair_close(&t->pair);
	region_fini(&t->here);
	region_fini(&t->there);
}

/* n times the same bytes: in flight for long, with little memory. */
static uint64_t make_long(struct flight *t, enum tcpx_op op, size_t n)
{
	struct tcpx_segment *segments = calloc(n, sizeof(*segments));
	uint64_t xfer;

	CHECK(segments);
	for (size_t i = 0; i < n; i++)
		segments[i] =
			(struct tcpx_segment){t->local, 0, t->remote, 0, BIG};
	xfer = xfer_make(t->pair.a, t->pair.ab, op, segments, n, 0);
	free(segments);
	return xfer;
}

static void check_no_losses(struct sess *sess)
{
	struct tcpx_event event;

	while (!tcpx_event_poll(sess->s, &event)) {
		if (event.kind == TCPX_EVENT_PEER_CONNECTED)
			continue;
		fprintf(stderr, "event %d: %s\n", event.kind, event.cause);
		CHECK(!"a loss after a cancel");
	}
}

/* The peer is as good as before: one WRITE, one READ, all bytes. */
static void check_healthy(struct flight *t)
{
	struct pair *pair = &t->pair;
	uint64_t xfer;

	pattern_fill(t->here.data, BIG, 71, 0);
	xfer = xfer_one(pair->a, pair->ab, TCPX_OP_WRITE, t->local, 0,
			t->remote, 0, BIG);
	CHECK_STATUS(tcpx_xfer_post(pair->a->s, xfer, NULL), TCPX_OK);
	CHECK_STATUS(pair_wait(pair, pair->a, xfer, SOON), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_release(pair->a->s, xfer), TCPX_OK);
	pattern_fill(t->there.want, BIG, 71, 0);
	CHECK(region_check(&t->there, "there"));
	pattern_fill(t->there.data, BIG, 72, 0);
	xfer = xfer_one(pair->a, pair->ab, TCPX_OP_READ, t->local, 0, t->remote,
			0, BIG);
	CHECK_STATUS(tcpx_xfer_post(pair->a->s, xfer, NULL), TCPX_OK);
	CHECK_STATUS(pair_wait(pair, pair->a, xfer, SOON), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_release(pair->a->s, xfer), TCPX_OK);
	pattern_fill(t->here.want, BIG, 72, 0);
	CHECK(region_check(&t->here, "here"));
	check_no_losses(pair->a);
	check_no_losses(pair->b);
}

enum ending { BY_CANCEL, BY_RELEASE };

/* Returns how long the call took, in ns. */
static uint64_t end_in_flight(struct flight *t, enum tcpx_op op,
			      enum ending how, int after_us)
{
	uint64_t xfer = make_long(t, op, 300), start;
	struct tcpx_session *s = t->pair.a->s;
	struct timespec pause = {0, after_us * 1000l};

	CHECK_STATUS(tcpx_xfer_post(s, xfer, NULL), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_post(s, xfer, NULL), TCPX_EBUSY);
	nanosleep(&pause, NULL);
	CHECK_STATUS(tcpx_xfer_test(s, xfer), TCPX_INPROGRESS);
	start = test_now_ns();
	CHECK_STATUS(how == BY_CANCEL ? tcpx_xfer_cancel(s, xfer) :
					tcpx_xfer_release(s, xfer),
		     TCPX_OK);
	start = test_now_ns() - start;
	region_protect(&t->here, PROT_NONE);
	if (how == BY_CANCEL) {
		CHECK_STATUS(tcpx_xfer_test(s, xfer), TCPX_ECANCELED);
		CHECK_STATUS(tcpx_xfer_wait(s, xfer, 0), TCPX_ECANCELED);
		CHECK_STATUS(tcpx_xfer_cancel(s, xfer), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_release(s, xfer), TCPX_OK);
	}
	CHECK_STATUS(tcpx_xfer_test(s, xfer), TCPX_ENOENT);
	CHECK_STATUS(tcpx_xfer_release(s, xfer), TCPX_ENOENT);
	test_sleep_ms(30);
	region_protect(&t->here, PROT_READ | PROT_WRITE);
	return start;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void run_endings(enum tcpx_op op, enum ending how)
{
	enum { N = 30 };
	size_t rounds = scale_count(N);
	uint64_t took_ns[N], seed = check_seed();
	struct flight t;

	flight_open(&t, PAIR_TWO, NULL);
	for (size_t i = 0; i < rounds; i++)
		took_ns[i] = end_in_flight(&t, op, how,
					   (int)(check_rand(&seed) % 20000));
	qsort(took_ns, rounds, sizeof(*took_ns), by_value);
	fprintf(stderr, "median %llu us, longest %llu us\n",
		(unsigned long long)took_ns[rounds / 2] / 1000,
		(unsigned long long)took_ns[rounds - 1] / 1000);
	/* It says about a millisecond; a busy machine may take its time, but
	 * the network has no part in it. */
	CHECK(took_ns[rounds / 2] < (uint64_t)scale_ms(25) * 1000000u);
	CHECK(took_ns[rounds - 1] < (uint64_t)scale_ms(250) * 1000000u);
	check_healthy(&t);
	flight_close(&t);
}

static void cancel_write(void)
{
	run_endings(TCPX_OP_WRITE, BY_CANCEL);
}

static void cancel_read(void)
{
	run_endings(TCPX_OP_READ, BY_CANCEL);
}

static void release_write(void)
{
	run_endings(TCPX_OP_WRITE, BY_RELEASE);
}

static void release_read(void)
{
	run_endings(TCPX_OP_READ, BY_RELEASE);
}

/* Small pieces take other ways inside: copies, and the request itself. */
static void release_small_pieces(void)
{
	size_t rounds = scale_count(60);
	uint64_t seed = check_seed();
	struct flight t;

	flight_open(&t, PAIR_TWO, NULL);
	for (size_t i = 0; i < rounds; i++) {
		enum tcpx_op op = i % 2 ? TCPX_OP_READ : TCPX_OP_WRITE;
		struct timespec pause = {0,
					 (long)(check_rand(&seed) % 3000000)};
		struct layout layout;
		uint64_t xfer;

		layout_init(&layout, check_rand(&seed), i % 3 ? 20000 : 2, 500,
			    BIG);
		xfer = xfer_layout(t.pair.a, t.pair.ab, op, &layout, t.local,
				   t.remote);
		CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, xfer, NULL), TCPX_OK);
		if (i % 4)
			nanosleep(&pause, NULL);
		CHECK_STATUS(tcpx_xfer_release(t.pair.a->s, xfer), TCPX_OK);
		region_protect(&t.here, PROT_NONE);
		test_sleep_ms(5);
		region_protect(&t.here, PROT_READ | PROT_WRITE);
		layout_fini(&layout);
	}
	check_healthy(&t);
	flight_close(&t);
}

/* A peer that does nothing (0 workers, never driven after connecting) cannot
 * hold a release up. */
static void release_without_peer(void)
{
	static const enum tcpx_op ops[] = {TCPX_OP_WRITE, TCPX_OP_READ,
					   TCPX_OP_SEND, TCPX_OP_RECV};
	struct flight t;
	uint64_t xfer, start;

	flight_open(&t, PAIR_DRIVEN, NULL);
	for (size_t i = 0; i < 4; i++) {
		xfer = make_long(&t, ops[i], 5);
		CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, xfer, NULL), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_wait(t.pair.a->s, xfer, 30),
			     TCPX_ETIMEDOUT);
		start = test_now_ns();
		CHECK_STATUS(tcpx_xfer_release(t.pair.a->s, xfer), TCPX_OK);
		CHECK(test_now_ns() - start <
		      (uint64_t)scale_ms(250) * 1000000u);
		region_protect(&t.here, PROT_NONE);
		test_sleep_ms(10);
		region_protect(&t.here, PROT_READ | PROT_WRITE);
	}
	check_healthy(&t);
	flight_close(&t);
}

static void disconnect_in_flight(void)
{
	struct flight t;
	uint64_t xfers[4];
	int status;

	flight_open(&t, PAIR_TWO, NULL);
	for (int i = 0; i < 4; i++) {
		xfers[i] = make_long(&t, i % 2 ? TCPX_OP_READ : TCPX_OP_WRITE,
				     300);
		CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, xfers[i], NULL),
			     TCPX_OK);
	}
	test_sleep_ms(20);
	CHECK_STATUS(tcpx_peer_disconnect(t.pair.a->s, t.pair.ab), TCPX_OK);
	for (int i = 0; i < 4; i++) {
		CHECK_STATUS(tcpx_xfer_wait(t.pair.a->s, xfers[i], SOON),
			     TCPX_ECANCELED);
		status = tcpx_xfer_post(t.pair.a->s, xfers[i], NULL);
		CHECK(status < 0);
	}
	region_protect(&t.here, PROT_NONE);
	test_sleep_ms(100);
	region_protect(&t.here, PROT_READ | PROT_WRITE);
	flight_close(&t);
}

/* Closing ends everything in a second, and touches nothing afterwards. */
static void close_in_flight(bool initiator)
{
	struct flight t;
	struct sess *closing, *staying;
	uint64_t xfers[6], start;
	struct tcpx_xfer_info info;
	int status;

	flight_open(&t, PAIR_TWO, NULL);
	closing = initiator ? t.pair.a : t.pair.b;
	staying = initiator ? t.pair.b : t.pair.a;
	for (int i = 0; i < 6; i++) {
		xfers[i] = make_long(&t, TCPX_OP_READ + i % 4, 300);
		CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, xfers[i], NULL),
			     TCPX_OK);
	}
	CHECK_STATUS(tcpx_notify_send(t.pair.a->s, t.pair.ab, "x", 1), TCPX_OK);
	test_sleep_ms(20);
	start = test_now_ns();
	sess_close(closing);
	start = test_now_ns() - start;
	fprintf(stderr, "close took %llu ms\n",
		(unsigned long long)start / 1000000);
	CHECK(start < (uint64_t)scale_ms(1000) * 1000000u);
	region_protect(initiator ? &t.here : &t.there, PROT_NONE);
	for (int i = 0; i < 6 && !initiator; i++) {
		status = tcpx_xfer_wait(t.pair.a->s, xfers[i], SOON);
		CHECK_EQ(tcpx_status_scope(status), TCPX_SCOPE_PEER);
		CHECK_STATUS(tcpx_xfer_query(t.pair.a->s, xfers[i], &info),
			     TCPX_OK);
		CHECK(info.cause[0]);
		CHECK_STATUS(info.status, status);
	}
	if (!initiator)
		region_protect(&t.here, PROT_NONE);
	test_sleep_ms(100);
	sess_close(staying);
	region_fini(&t.here);
	region_fini(&t.there);
}

static void close_initiator(void)
{
	close_in_flight(true);
}

static void close_target(void)
{
	close_in_flight(false);
}

/* The peer drives nothing, so nothing moves: the deadline ends it. */
static void deadlines(void)
{
	struct tcpx_post_params post = {.size_bytes = sizeof(post),
					.deadline_ms = 200};
	struct flight t;
	uint64_t xfer, start;
	int status;

	flight_open(&t, PAIR_DRIVEN, NULL);
	for (int i = 0; i < 4; i++) {
		xfer = make_long(&t, TCPX_OP_READ + i, 5);
		start = test_now_ns();
		CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, xfer, &post), TCPX_OK);
		status = tcpx_xfer_wait(t.pair.a->s, xfer, SOON);
		start = test_now_ns() - start;
		fprintf(stderr, "op %d: %s after %llu ms\n", TCPX_OP_READ + i,
			tcpx_status_name(status),
			(unsigned long long)start / 1000000);
		CHECK(status == TCPX_ESTALLED || status == TCPX_ETIMEDOUT);
		CHECK(start >= 190000000u);
		CHECK(start < (uint64_t)scale_ms(3000) * 1000000u);
		/* A wait that timed out is not a transfer that did. */
		CHECK(tcpx_xfer_test(t.pair.a->s, xfer) == status);
		CHECK_STATUS(tcpx_xfer_release(t.pair.a->s, xfer), TCPX_OK);
	}
	check_healthy(&t);
	flight_close(&t);
}

/* On an idle session, too, whose control thread sleeps long. */
static void deadline_when_idle(void)
{
	const uint64_t limit_ns = (uint64_t)scale_ms(250) * 1000000u;
	struct tcpx_post_params post = {.size_bytes = sizeof(post),
					.deadline_ms = 20};
	struct tcpx_segment segment = {.len_bytes = 1};
	struct flight t;

	flight_open(&t, PAIR_TWO, NULL);
	segment.local_mem = t.local;
	/* Nobody sends what it receives. */
	uint64_t xfer =
		xfer_make(t.pair.a, t.pair.ab, TCPX_OP_RECV, &segment, 1, 7);

	for (int i = 0; i < 5; i++) {
		test_sleep_ms(1200 + 170 * i);
		uint64_t start = test_now_ns();

		CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, xfer, &post), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_wait(t.pair.a->s, xfer, SOON),
			     TCPX_ESTALLED);
		uint64_t took = test_now_ns() - start;

		fprintf(stderr, "ended after %llu us\n",
			(unsigned long long)took / 1000);
		CHECK(took >= 19000000u);
		CHECK(took < limit_ns);
	}
	flight_close(&t);
}

static void tweak_deadline(struct tcpx_config *config)
{
	config->deadline_ms = 300;
	config->liveness_ms = 5000;
}

/* Heartbeats go on by themselves, so it is the transfer that stalls. */
static void session_deadline(void)
{
	struct flight t;
	uint64_t xfer;

	flight_open(&t, PAIR_DRIVEN, tweak_deadline);
	xfer = make_long(&t, TCPX_OP_WRITE, 5);
	CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, xfer, NULL), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_wait(t.pair.a->s, xfer, SOON), TCPX_ESTALLED);
	CHECK_STATUS(tcpx_xfer_release(t.pair.a->s, xfer), TCPX_OK);
	CHECK_STATUS(tcpx_peer_wait(t.pair.a->s, t.pair.ab, 0), TCPX_OK);
	check_healthy(&t);
	flight_close(&t);
}

static void tweak_moving(struct tcpx_config *config)
{
	/* A busy machine keeps a process from the CPU for a while. */
	config->deadline_ms = (uint32_t)scale_ms(400);
	config->liveness_ms = (uint32_t)scale_ms(5000);
}

/* A WRITE slower than its deadline in total, but moving, goes on. */
static void progress_is_no_stall(void)
{
	const uint64_t slow_ns = (uint64_t)scale_ms(500) * 1000000u;
	uint64_t xfer, start, took = 0;
	struct flight t;

	flight_open(&t, PAIR_TWO, tweak_moving);
	for (size_t n = 100; took < slow_ns; n *= 2) {
		xfer = make_long(&t, TCPX_OP_WRITE, n);
		start = test_now_ns();
		CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, xfer, NULL), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_wait(t.pair.a->s, xfer, 60000), TCPX_OK);
		took = test_now_ns() - start;
		CHECK_STATUS(tcpx_xfer_release(t.pair.a->s, xfer), TCPX_OK);
	}
	flight_close(&t);
}

static void wait_and_test(void)
{
	struct flight t;
	uint64_t xfer, start;
	int status;

	flight_open(&t, PAIR_TWO, NULL);
	xfer = make_long(&t, TCPX_OP_WRITE, 200);
	CHECK_STATUS(tcpx_xfer_test(t.pair.a->s, xfer), TCPX_EINVAL);
	CHECK_STATUS(tcpx_xfer_wait(t.pair.a->s, xfer, 10), TCPX_EINVAL);
	CHECK_STATUS(tcpx_xfer_cancel(t.pair.a->s, xfer), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, xfer, NULL), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_wait(t.pair.a->s, xfer, 0), TCPX_ETIMEDOUT);
	start = test_now_ns();
	CHECK_STATUS(tcpx_xfer_wait(t.pair.a->s, xfer, 20), TCPX_ETIMEDOUT);
	CHECK(test_now_ns() - start >= 19000000u);
	CHECK(test_now_ns() - start < (uint64_t)scale_ms(1000) * 1000000u);
	/* Done by itself, with nobody waiting. */
	start = test_now_ns();
	while ((status = tcpx_xfer_test(t.pair.a->s, xfer)) ==
	       TCPX_INPROGRESS) {
		CHECK(test_now_ns() - start <
		      (uint64_t)scale_ms(30000) * 1000000u);
		test_sleep_ms(5);
	}
	CHECK_STATUS(status, TCPX_OK);
	CHECK_STATUS(tcpx_xfer_wait(t.pair.a->s, xfer, TCPX_FOREVER), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_cancel(t.pair.a->s, xfer), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_test(t.pair.a->s, xfer), TCPX_OK);
	flight_close(&t);
}

/* A notification of a canceled WRITE comes once or never, and if the WRITE
 * was done it comes. */
static void cancel_with_notification(void)
{
	struct tcpx_post_params post = {.size_bytes = sizeof(post),
					.has_notify = true};
	size_t rounds = scale_count(200), n_done = 0, n_notes = 0;
	struct tcpx_notification *note;
	uint64_t seed = check_seed();
	struct flight t;

	flight_open(&t, PAIR_TWO, NULL);
	for (size_t i = 0; i < rounds; i++) {
		struct timespec pause = {0, (long)(check_rand(&seed) % 400000)};
		uint64_t xfer = xfer_one(t.pair.a, t.pair.ab, TCPX_OP_WRITE,
					 t.local, 0, t.remote, 0,
					 i % 2 ? 100 : 200000);
		int status;

		CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, xfer, &post), TCPX_OK);
		if (i % 5)
			nanosleep(&pause, NULL);
		CHECK_STATUS(tcpx_xfer_cancel(t.pair.a->s, xfer), TCPX_OK);
		status = tcpx_xfer_test(t.pair.a->s, xfer);
		CHECK(status == TCPX_OK || status == TCPX_ECANCELED);
		n_done += status == TCPX_OK;
		CHECK_STATUS(tcpx_xfer_release(t.pair.a->s, xfer), TCPX_OK);
	}
	while (!tcpx_notify_wait(t.pair.b->s, &note, 200)) {
		CHECK_EQ(note->len_bytes, 0);
		tcpx_notify_free(note);
		n_notes++;
	}
	fprintf(stderr, "%zu rounds: %zu done, %zu notifications\n", rounds,
		n_done, n_notes);
	CHECK(n_notes >= n_done && n_notes <= rounds);
	check_healthy(&t);
	flight_close(&t);
}

static const struct check_case cases[] = {
	{"cancel_write", cancel_write, 60},
	{"cancel_read", cancel_read, 60},
	{"release_write", release_write, 60},
	{"release_read", release_read, 60},
	{"release_small_pieces", release_small_pieces, 60},
	{"release_without_peer", release_without_peer, 0},
	{"disconnect_in_flight", disconnect_in_flight, 0},
	{"close_initiator", close_initiator, 0},
	{"close_target", close_target, 0},
	{"deadlines", deadlines, 0},
	{"deadline_when_idle", deadline_when_idle, 0},
	{"session_deadline", session_deadline, 0},
	{"progress_is_no_stall", progress_is_no_stall, 60},
	{"wait_and_test", wait_and_test, 60},
	{"cancel_with_notification", cancel_with_notification, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
