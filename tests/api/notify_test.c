/* SPDX-License-Identifier: Apache-2.0 */
/* Notifications: any bytes, once, in order, never before their data. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "check.h"
#include "support/scale.h"
#include "support/sess.h"

#define RW (TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE)
#define SOON scale_ms(8000)

static struct tcpx_notification *take(struct pair *pair)
{
	struct tcpx_notification *note = NULL;

	CHECK_STATUS(pair_wait_note(pair, pair->b, &note, SOON), TCPX_OK);
	CHECK(note);
	CHECK_EQ(note->peer, pair->ba);
	CHECK_STR(note->name, "a");
	return note;
}

static void any_bytes(enum pair_kind kind)
{
	static const size_t lens[] = {
		0,    1,     2,	    255,   4096,   8191,	   8192,
		8193, 32768, 65535, 65536, 100000, TCPX_NOTIFY_MAX};
	uint8_t *want = malloc(TCPX_NOTIFY_MAX + 1);
	struct pair pair;

	CHECK(want);
	pair_open(&pair, kind, NULL);
	for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
		struct tcpx_notification *note;

		pattern_fill(want, lens[i], i, 0);
		CHECK_STATUS(tcpx_notify_send(pair.a->s, pair.ab, want,
					      lens[i]),
			     TCPX_OK);
		/* Copied: what happens to ours now does not matter. */
		memset(want, 0xee, lens[i]);
		note = take(&pair);
		CHECK_EQ(note->len_bytes, lens[i]);
		pattern_fill(want, lens[i], i, 0);
		CHECK_MEM(note->data, want, lens[i]);
		tcpx_notify_free(note);
	}
	CHECK_STATUS(tcpx_notify_send(pair.a->s, pair.ab, want,
				      TCPX_NOTIFY_MAX + 1),
		     TCPX_EINVAL);
	CHECK_STATUS(tcpx_notify_send(pair.a->s, pair.ab, NULL, 1),
		     TCPX_EINVAL);
	CHECK_STATUS(tcpx_notify_send(pair.a->s, pair.ab, NULL, 0), TCPX_OK);
	tcpx_notify_free(take(&pair));
	tcpx_notify_free(NULL);
	pair_close(&pair);
	free(want);
}

static void any_bytes_two(void)
{
	any_bytes(PAIR_TWO);
}

static void any_bytes_self(void)
{
	any_bytes(PAIR_SELF);
}

static void any_bytes_driven(void)
{
	any_bytes(PAIR_DRIVEN);
}

/* Of any length, in the order sent, none lost, none twice. */
static void in_order(void)
{
	size_t n = scale_count(5000), sent = 0, taken = 0;
	uint8_t buf[3000];
	uint64_t seed = check_seed(), check = seed;
	struct tcpx_notification *note;
	struct pair pair;

	pair_open(&pair, PAIR_TWO, NULL);
	while (taken < n) {
		uint64_t before = seed;
		size_t len = 8 + check_rand(&seed) % (sizeof(buf) - 8);
		int status = TCPX_EAGAIN;

		pattern_fill(buf, len, seed, 0);
		memcpy(buf, &sent, 8);
		if (sent < n)
			status = tcpx_notify_send(pair.a->s, pair.ab, buf, len);
		if (!status) {
			sent++;
			continue;
		}
		CHECK_STATUS(status, TCPX_EAGAIN);
		seed = before;
		note = take(&pair);
		len = 8 + check_rand(&check) % (sizeof(buf) - 8);
		pattern_fill(buf, len, check, 0);
		memcpy(buf, &taken, 8);
		CHECK_EQ(note->len_bytes, len);
		CHECK_MEM(note->data, buf, len);
		tcpx_notify_free(note);
		taken++;
	}
	CHECK_STATUS(tcpx_notify_wait(pair.b->s, &note, 50), TCPX_ETIMEDOUT);
	pair_close(&pair);
}

static void tweak_small_queue(struct tcpx_config *config)
{
	config->notify_queue_bytes = 4 << 20;
}

/* A reader that does not read: the sender is told, memory stays bounded, and
 * once it reads all that was accepted comes. */
static void push_back(void)
{
	static uint8_t buf[100000];
	uint64_t n_sent = 0, n_taken = 0, end;
	struct tcpx_notification *note;
	struct pair pair;
	int status = TCPX_OK;

	pair_open(&pair, PAIR_TWO, tweak_small_queue);
	end = test_now_ns() + (uint64_t)SOON * 1000000u;
	/* EAGAIN must come, and stay, while nobody reads. */
	for (int n_again = 0; n_again < 20;) {
		CHECK(test_now_ns() < end);
		memcpy(buf, &n_sent, 8);
		status = tcpx_notify_send(pair.a->s, pair.ab, buf, sizeof(buf));
		if (!status) {
			n_sent++;
			n_again = 0;
			CHECK(n_sent < 1000);
			continue;
		}
		CHECK_STATUS(status, TCPX_EAGAIN);
		n_again++;
		test_sleep_ms(10);
	}
	fprintf(stderr, "%llu accepted unread\n", (unsigned long long)n_sent);
	CHECK(n_sent >= 10);
	for (; n_taken < n_sent; n_taken++) {
		uint64_t number;

		note = take(&pair);
		CHECK_EQ(note->len_bytes, sizeof(buf));
		memcpy(&number, note->data, 8);
		CHECK_EQ(number, n_taken);
		tcpx_notify_free(note);
	}
	end = test_now_ns() + (uint64_t)SOON * 1000000u;
	while ((status = tcpx_notify_send(pair.a->s, pair.ab, "x", 1))) {
		CHECK_STATUS(status, TCPX_EAGAIN);
		CHECK(test_now_ns() < end);
	}
	tcpx_notify_free(take(&pair));
	pair_close(&pair);
}

/* A stuffed notification queue must not hold up the transfers beside it. */
static void push_back_spares_transfers(void)
{
	static uint8_t buf[100000];
	struct region src, dst;
	struct pair pair;
	uint64_t local, remote, xfer;

	pair_open(&pair, PAIR_TWO, tweak_small_queue);
	region_init(&src, 1 << 20, 1);
	region_init(&dst, 1 << 20, 2);
	local = sess_register(pair.a, &src, TCPX_ACCESS_LOCAL);
	remote = sess_share(pair.b, sess_register(pair.b, &dst, RW), pair.a);
	while (!tcpx_notify_send(pair.a->s, pair.ab, buf, sizeof(buf)))
		;
	xfer = xfer_one(pair.a, pair.ab, TCPX_OP_WRITE, local, 0, remote, 0,
			1 << 20);
	CHECK_STATUS(tcpx_xfer_post(pair.a->s, xfer, NULL), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_wait(pair.a->s, xfer, SOON), TCPX_OK);
	region_want(&dst, 0, 1 << 20, 1, 0);
	CHECK(region_check(&dst, "dst"));
	pair_close(&pair);
	region_fini(&src);
	region_fini(&dst);
}

struct stamped {
	uint64_t round, op, off, len;
};

/*
 * WRITE with notification: the moment it can be taken, all of its data is
 * there; taken exactly once for each post. The sizes go every way there is.
 */
static void after_data(enum pair_kind kind)
{
	static const uint64_t lens[] = {1, 100, 8192, 9000, 300000, 3 << 20};
	size_t rounds = scale_count(60);
	struct tcpx_notification *note;
	struct region src, dst;
	uint64_t local, remote;
	struct pair pair;

	pair_open(&pair, kind, NULL);
	region_init(&src, 4 << 20, 1);
	region_init(&dst, 4 << 20, 2);
	local = sess_register(pair.a, &src, TCPX_ACCESS_LOCAL);
	remote = sess_share(pair.b, sess_register(pair.b, &dst, RW), pair.a);
	for (size_t i = 0; i < rounds; i++) {
		struct stamped stamp = {
			.round = i, .off = i, .len = lens[i % 6]};
		struct tcpx_post_params post = {
			.size_bytes = sizeof(post),
			.has_notify = true,
			.notify = &stamp,
			.notify_len_bytes = sizeof(stamp),
		};
		uint64_t xfer = xfer_one(pair.a, pair.ab, TCPX_OP_WRITE, local,
					 0, remote, i, stamp.len);

		pattern_fill(src.data, stamp.len, 50 + i, 0);
		CHECK_STATUS(tcpx_xfer_post(pair.a->s, xfer, &post), TCPX_OK);
		memset(&stamp, 0xee, sizeof(stamp));
		note = take(&pair);
		region_want(&dst, i, lens[i % 6], 50 + i, 0);
		CHECK(region_check(&dst, "at notification"));
		CHECK_EQ(note->len_bytes, sizeof(stamp));
		CHECK_EQ(((const struct stamped *)note->data)->round, i);
		tcpx_notify_free(note);
		CHECK_STATUS(pair_wait(&pair, pair.a, xfer, SOON), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_release(pair.a->s, xfer), TCPX_OK);
	}
	CHECK_STATUS(pair_wait_note(&pair, pair.b, &note, 50), TCPX_ETIMEDOUT);
	pair_close(&pair);
	region_fini(&src);
	region_fini(&dst);
}

static void after_data_two(void)
{
	after_data(PAIR_TWO);
}

static void after_data_self(void)
{
	after_data(PAIR_SELF);
}

static void after_data_driven(void)
{
	after_data(PAIR_DRIVEN);
}

/* READ with notification: told when the data has left; empty ones too, big
 * ones too. */
static void after_read(void)
{
	static uint8_t big[TCPX_NOTIFY_MAX];
	static const uint64_t lens[] = {8, 2 << 20};
	struct tcpx_notification *note;
	struct region here, there;
	uint64_t local, remote, xfer;
	struct pair pair;

	pair_open(&pair, PAIR_TWO, NULL);
	region_init(&here, 2 << 20, 1);
	region_init(&there, 2 << 20, 2);
	local = sess_register(pair.a, &here, TCPX_ACCESS_LOCAL);
	remote = sess_share(pair.b, sess_register(pair.b, &there, RW), pair.a);
	pattern_fill(big, sizeof(big), 6, 0);
	for (int i = 0; i < 4; i++) {
		struct tcpx_post_params post = {
			.size_bytes = sizeof(post),
			.has_notify = true,
			.notify = big,
			.notify_len_bytes = i & 1 ? sizeof(big) : 0};

		xfer = xfer_one(pair.a, pair.ab, TCPX_OP_READ, local, 0, remote,
				0, lens[i / 2]);
		CHECK_STATUS(tcpx_xfer_post(pair.a->s, xfer, &post), TCPX_OK);
		note = take(&pair);
		CHECK_EQ(note->len_bytes, post.notify_len_bytes);
		CHECK_MEM(note->data, big, note->len_bytes);
		tcpx_notify_free(note);
		/* The target may change it now; the reader has its own. */
		pattern_fill(there.data, 2 << 20, 9, 0);
		CHECK_STATUS(tcpx_xfer_wait(pair.a->s, xfer, SOON), TCPX_OK);
		region_want(&here, 0, lens[i / 2], 2, 0);
		CHECK(region_check(&here, "here"));
		pattern_fill(there.data, 2 << 20, 2, 0);
	}
	pair_close(&pair);
	region_fini(&here);
	region_fini(&there);
}

static void bad_post(void)
{
	struct tcpx_post_params post = {.size_bytes = sizeof(post),
					.has_notify = true,
					.notify = "x",
					.notify_len_bytes =
						TCPX_NOTIFY_MAX + 1};
	struct region src, dst;
	struct pair pair;
	uint64_t local, remote, xfer;

	pair_open(&pair, PAIR_TWO, NULL);
	region_init(&src, 100, 1);
	region_init(&dst, 100, 2);
	local = sess_register(pair.a, &src, TCPX_ACCESS_LOCAL);
	remote = sess_share(pair.b, sess_register(pair.b, &dst, RW), pair.a);
	xfer = xfer_one(pair.a, pair.ab, TCPX_OP_WRITE, local, 0, remote, 0,
			100);
	CHECK_STATUS(tcpx_xfer_post(pair.a->s, xfer, &post), TCPX_EINVAL);
	post.notify_len_bytes = 1;
	post.notify = NULL;
	CHECK_STATUS(tcpx_xfer_post(pair.a->s, xfer, &post), TCPX_EINVAL);
	CHECK_STATUS(tcpx_xfer_test(pair.a->s, xfer), TCPX_EINVAL);
	CHECK(region_check(&dst, "dst"));
	pair_close(&pair);
	region_fini(&src);
	region_fini(&dst);
}

static struct tcpx_notification *take_of(struct sess *sess, const char *name)
{
	struct tcpx_notification *note;

	CHECK_STATUS(tcpx_notify_wait(sess->s, &note, SOON), TCPX_OK);
	CHECK_STR(note->name, name);
	return note;
}

/* What was said before the session was closed has been said. */
static void said_before_the_end(void)
{
	enum { N = 8, LEN = TCPX_NOTIFY_MAX - 100 };
	static uint8_t sent[LEN];
	struct tcpx_notification *note;

	for (int round = 0; round < 6; round++) {
		struct sess a, b;
		uint64_t ab;

		sess_open(&a, "a", NULL);
		sess_open(&b, "b", NULL);
		ab = sess_connect(&a, &b);
		for (int i = 0; i < N; i++) {
			pattern_fill(sent, LEN, (uint64_t)i + 1, 0);
			CHECK_STATUS(tcpx_notify_send(a.s, ab, sent, LEN),
				     TCPX_OK);
		}
		sess_close(&a);
		for (int i = 0; i < N; i++) {
			note = take_of(&b, "a");
			CHECK_EQ(note->len_bytes, LEN);
			pattern_fill(sent, LEN, (uint64_t)i + 1, 0);
			CHECK_MEM(note->data, sent, LEN);
			tcpx_notify_free(note);
		}
		sess_close(&b);
	}
}

/* Unread ones die with the session, without a leak. */
static void unread_at_close(void)
{
	struct pair pair;

	pair_open(&pair, PAIR_TWO, NULL);
	for (int i = 0; i < 100; i++)
		CHECK_STATUS(tcpx_notify_send(pair.a->s, pair.ab, "abc", 3),
			     TCPX_OK);
	test_sleep_ms(20);
	pair_close(&pair);
}

/* ---- of lost peers ---- */

static void wait_lost(struct sess *sess, uint64_t *peer)
{
	struct tcpx_event event;

	do {
		CHECK_STATUS(tcpx_event_wait(sess->s, &event, SOON), TCPX_OK);
	} while (event.kind != TCPX_EVENT_PEER_LOST);
	*peer = event.peer;
}

/* What a lost peer has said can be read until the program gives it up; what
 * others have said stays. */
static void dropped_with_the_handle(void)
{
	struct tcpx_notification *note;
	struct sess a, b, c;
	uint64_t ab, cb, ba;

	sess_open(&a, "a", NULL);
	sess_open(&b, "b", NULL);
	sess_open(&c, "c", NULL);
	ab = sess_connect(&a, &b);
	cb = sess_connect(&c, &b);
	for (int i = 0; i < 10; i++)
		CHECK_STATUS(tcpx_notify_send(a.s, ab, "abc", 3), TCPX_OK);
	tcpx_notify_free(take_of(&b, "a"));
	test_sleep_ms(100);
	CHECK_STATUS(tcpx_notify_send(c.s, cb, "c", 1), TCPX_OK);
	test_sleep_ms(100);
	sess_close(&a);
	wait_lost(&b, &ba);
	tcpx_notify_free(take_of(&b, "a"));
	CHECK_STATUS(tcpx_peer_disconnect(b.s, ba), TCPX_OK);
	tcpx_notify_free(take_of(&b, "c"));
	CHECK_STATUS(tcpx_notify_poll(b.s, &note), TCPX_EAGAIN);
	sess_close(&c);
	sess_close(&b);
}

static void tweak_least_queue(struct tcpx_config *config)
{
	config->notify_queue_bytes = 2 << 20;
}

/* Connects, fills its window and goes; the status of the connect. */
static int fill_and_go(struct sess *victim)
{
	static uint8_t buf[100000];
	char blob[TCPX_BLOB_MAX];
	struct sess a;
	uint64_t peer;
	size_t len;
	int status;

	sess_open(&a, "a", NULL);
	CHECK_STATUS(tcpx_session_blob(victim->s, blob, sizeof(blob), &len),
		     TCPX_OK);
	CHECK_STATUS(tcpx_peer_connect(a.s, blob, len, &peer), TCPX_OK);
	status = tcpx_peer_wait(a.s, peer, SOON);
	while (!status && !tcpx_notify_send(a.s, peer, buf, sizeof(buf)))
		;
	test_sleep_ms(100);
	sess_close(&a);
	if (!status)
		wait_lost(victim, &peer);
	return status;
}

/* Who comes again and again has a new window each time, but what it has left
 * unread is bounded for the session; nothing of it is lost. */
static void bounded_over_peers(void)
{
	size_t rounds = 0, bytes = 0;
	struct tcpx_notification *note;
	struct sess b;
	int status;

	sess_open(&b, "b", tweak_least_queue);
	while (!(status = fill_and_go(&b)))
		CHECK(++rounds < 10);
	CHECK_STATUS(status, TCPX_EREFUSED);
	CHECK(sess_logged(&b, "refused peer a: too many notifications"));
	while (!tcpx_notify_poll(b.s, &note)) {
		bytes += note->len_bytes;
		tcpx_notify_free(note);
	}
	fprintf(stderr, "%zu rounds, %zu bytes\n", rounds, bytes);
	CHECK(bytes > 8 << 20);
	CHECK(bytes <= 10 << 20);
	CHECK_STATUS(fill_and_go(&b), TCPX_OK);
	sess_close(&b);
}

static long switches(void)
{
	struct rusage usage;

	CHECK(!getrusage(RUSAGE_THREAD, &usage));
	return usage.ru_nvcsw;
}

/* Who waits for what does not come sleeps, however many workers there are. */
static void waits_asleep(void)
{
	struct tcpx_notification *note;
	struct tcpx_event event;
	struct pair pair;

	pair_open(&pair, PAIR_TWO, NULL);
	while (!tcpx_event_wait(pair.b->s, &event, 200))
		;
	long before = switches();

	CHECK_STATUS(tcpx_notify_wait(pair.b->s, &note, 500), TCPX_ETIMEDOUT);
	CHECK_STATUS(tcpx_event_wait(pair.b->s, &event, 500), TCPX_ETIMEDOUT);
	(void)!tcpx_session_progress(pair.b->s, 500);
	fprintf(stderr, "slept %ld times\n", switches() - before);
	CHECK(switches() - before < 150);
	pair_close(&pair);
}

#define N_FROM 4

struct waiter {
	pthread_t thread;
	struct tcpx_session *s;
	_Atomic int *n_waiting;
	_Atomic uint64_t woken_ns;
};

static void *wait_for_one(void *arg)
{
	struct waiter *w = arg;
	struct tcpx_notification *note;

	(*w->n_waiting)++;
	CHECK_STATUS(tcpx_notify_wait(w->s, &note, SOON), TCPX_OK);
	w->woken_ns = test_now_ns();
	tcpx_notify_free(note);
	return NULL;
}

/* One of the waiters at a time gets one; the first must come at once, whoever
 * drives what it comes by. */
static void wake_waiters(struct sess *to, struct sess from[N_FROM],
			 const uint64_t peers[N_FROM], int n_waiters)
{
	const uint64_t limit_ns = (uint64_t)scale_ms(400) * 1000000u;
	struct waiter waiters[3];
	_Atomic int n_waiting = 0;

	for (int i = 0; i < n_waiters; i++) {
		waiters[i].s = to->s;
		waiters[i].n_waiting = &n_waiting;
		CHECK(!pthread_create(&waiters[i].thread, NULL, wait_for_one,
				      &waiters[i]));
	}
	while (n_waiting < n_waiters)
		test_sleep_ms(1);
	test_sleep_ms(20);
	uint64_t start = test_now_ns(), last = 0;

	for (int i = 0; i < n_waiters; i++)
		CHECK_STATUS(tcpx_notify_send(from[i].s, peers[i], "x", 1),
			     TCPX_OK);
	for (int i = 0; i < n_waiters; i++) {
		pthread_join(waiters[i].thread, NULL);
		if (last < waiters[i].woken_ns)
			last = waiters[i].woken_ns;
	}
	CHECK(last - start < limit_ns);
}

static void tweak_one_worker(struct tcpx_config *config)
{
	config->n_workers = 1;
}

static void wakes(sess_tweak_fn tweak)
{
	static const char *const names[N_FROM] = {"p", "q", "r", "s"};
	struct sess to, from[N_FROM];
	uint64_t peers[N_FROM];

	sess_open(&to, "to", tweak);
	for (int i = 0; i < N_FROM; i++) {
		sess_open(&from[i], names[i], tweak_one_worker);
		peers[i] = sess_connect(&from[i], &to);
		CHECK_STATUS(tcpx_peer_wait(from[i].s, peers[i], SOON),
			     TCPX_OK);
	}
	for (size_t i = 0; i < scale_count(60); i++)
		wake_waiters(&to, from + i % 2, peers + i % 2, 1 + (int)i % 3);
	for (int i = 0; i < N_FROM; i++)
		sess_close(&from[i]);
	sess_close(&to);
}

static void wakes_two_workers(void)
{
	wakes(NULL);
}

static void wakes_one_worker(void)
{
	wakes(tweak_one_worker);
}

static void tweak_no_worker(struct tcpx_config *config)
{
	config->n_workers = 0;
}

static void wakes_no_worker(void)
{
	wakes(tweak_no_worker);
}

static const struct check_case cases[] = {
	{"any_bytes_two", any_bytes_two, 0},
	{"any_bytes_self", any_bytes_self, 0},
	{"any_bytes_driven", any_bytes_driven, 0},
	{"in_order", in_order, 60},
	{"push_back", push_back, 60},
	{"push_back_spares_transfers", push_back_spares_transfers, 0},
	{"after_data_two", after_data_two, 60},
	{"after_data_self", after_data_self, 60},
	{"after_data_driven", after_data_driven, 60},
	{"after_read", after_read, 0},
	{"bad_post", bad_post, 0},
	{"said_before_the_end", said_before_the_end, 60},
	{"unread_at_close", unread_at_close, 0},
	{"dropped_with_the_handle", dropped_with_the_handle, 0},
	{"bounded_over_peers", bounded_over_peers, 60},
	{"waits_asleep", waits_asleep, 0},
	{"wakes_two_workers", wakes_two_workers, 60},
	{"wakes_one_worker", wakes_one_worker, 60},
	{"wakes_no_worker", wakes_no_worker, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
