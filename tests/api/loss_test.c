/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that die while they carry something. Flows: told as events, and
 * nothing else comes of it. The control connection: told in the log and counted.
 * Each byte arrives, each notification once, in order, and behind its bytes.
 */
#include <jansson.h>
#include <stdatomic.h>

#include "api/cut.h"
#include "check.h"
#include "support/scale.h"

#define FLOWS 3
#define SLOT_BYTES (512u << 10)
#define SLOTS 4 /* of a sender: so far it may be ahead of the reader */
#define SENDERS 3
#define SOON scale_ms(20000)

static void tweak(struct tcpx_config *config)
{
	config->n_flows = FLOWS;
	config->chunk_bytes = 64 << 10;
	config->deadline_ms = (uint32_t)scale_ms(20000);
}

static size_t flows_up(struct sess *sess, uint64_t peer)
{
	static char buf[16384];
	json_t *root, *pairs, *flows;
	size_t len, n = 0;

	CHECK_STATUS(tcpx_peer_describe(sess->s, peer, buf, sizeof(buf), &len),
		     TCPX_OK);
	root = json_loads(buf, 0, NULL);
	CHECK(root);
	pairs = json_object_get(root, "pairs");
	for (size_t i = 0; i < json_array_size(pairs); i++) {
		flows = json_object_get(json_array_get(pairs, i), "flows");
		CHECK(flows);
		n += (size_t)json_integer_value(flows);
	}
	json_decref(root);
	return n;
}

static void wait_flows(struct pair *pair)
{
	uint64_t end = test_now_ns() + (uint64_t)SOON * 1000000u;

	while (flows_up(pair->a, pair->ab) != FLOWS ||
	       flows_up(pair->b, pair->ba) != FLOWS) {
		CHECK(test_now_ns() < end);
		test_sleep_ms(5);
	}
}

static void expect_loss(struct sess *sess, uint64_t peer, const char *name)
{
	struct tcpx_event event;

	CHECK_STATUS(tcpx_event_wait(sess->s, &event, SOON), TCPX_OK);
	CHECK_EQ(event.kind, TCPX_EVENT_FLOW_LOST);
	CHECK_EQ(event.peer, peer);
	CHECK_STATUS(event.status, TCPX_ECHANNEL);
	CHECK_STR(event.name, name);
	CHECK(event.cause[0]);
	fprintf(stderr, "%s: %s\n", name, event.cause);
}

static void drop_events(struct sess *sess)
{
	struct tcpx_event event;

	while (!tcpx_event_poll(sess->s, &event))
		CHECK(event.kind != TCPX_EVENT_PEER_LOST);
}

/* Both sides are told once of each flow, and it comes back. */
static void flow_lost(void)
{
	uint64_t seed = check_seed();
	struct tcpx_event event;
	struct pair pair;
	struct cut cut;

	pair_open(&pair, PAIR_TWO, tweak);
	cut_learn(&cut, &pair, FLOWS);
	for (int i = 0; i < 10; i++) {
		wait_flows(&pair);
		drop_events(pair.a);
		drop_events(pair.b);
		CHECK(cut_one(&cut, &seed));
		expect_loss(pair.a, pair.ab, "b");
		expect_loss(pair.b, pair.ba, "a");
		wait_flows(&pair);
		CHECK_STATUS(tcpx_event_poll(pair.a->s, &event), TCPX_EAGAIN);
		CHECK_STATUS(tcpx_event_poll(pair.b->s, &event), TCPX_EAGAIN);
		CHECK_STATUS(tcpx_peer_wait(pair.a->s, pair.ab, 0), TCPX_OK);
	}
	pair_close(&pair);
}

/* ---- under transfers ---- */

struct word {
	uint32_t sender, is_alone;
	uint64_t k, len_bytes, seed;
};

struct sender {
	pthread_t thread;
	struct sess *from, *to;
	uint64_t peer; /* `to`, as a peer of `from` */
	uint32_t index;
	struct region src, dst;
	uint64_t local, remote;
	uint64_t seed;
	_Atomic uint64_t n_sent[2]; /* with a WRITE, alone */
	_Atomic uint64_t n_read[2];
};

static struct sender senders[SENDERS];
static _Atomic bool over;

static void *slot_at(struct region *region, uint64_t k)
{
	return region->data + k % SLOTS * SLOT_BYTES;
}

static void write_one(struct sender *s, uint64_t k)
{
	uint64_t off = k % SLOTS * SLOT_BYTES;
	struct word word = {s->index, 0, k,
			    1 + check_rand(&s->seed) % SLOT_BYTES,
			    check_rand(&s->seed)};
	struct tcpx_post_params post = {.size_bytes = sizeof(post),
					.has_notify = true,
					.notify = &word,
					.notify_len_bytes = sizeof(word)};
	uint64_t xfer;

	/* Some ride in the request. */
	if (k % 5 == 0)
		word.len_bytes = 1 + word.len_bytes % 8000;
	pattern_fill(slot_at(&s->src, k), word.len_bytes, word.seed, 0);
	xfer = xfer_one(s->from, s->peer, TCPX_OP_WRITE, s->local, off,
			s->remote, off, word.len_bytes);
	CHECK_STATUS(tcpx_xfer_post(s->from->s, xfer, &post), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_wait(s->from->s, xfer, SOON), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_release(s->from->s, xfer), TCPX_OK);
}

static void say_alone(struct sender *s, uint64_t k)
{
	struct word word = {s->index, 1, k, 0, 0};

	CHECK_STATUS(tcpx_notify_send(s->from->s, s->peer, &word, sizeof(word)),
		     TCPX_OK);
}

static void *send_on(void *arg)
{
	struct sender *s = arg;

	for (uint64_t k = 0; !atomic_load(&over); k++) {
		while (k >= atomic_load(&s->n_read[0]) + SLOTS)
			test_sleep_ms(1);
		write_one(s, k);
		say_alone(s, k);
		atomic_store(&s->n_sent[0], k + 1);
		atomic_store(&s->n_sent[1], k + 1);
	}
	return NULL;
}

static void read_one(struct sess *reader, struct tcpx_notification *note)
{
	static uint8_t want[SLOT_BYTES];
	struct word word;

	CHECK_EQ(note->len_bytes, sizeof(word));
	memcpy(&word, note->data, sizeof(word));
	tcpx_notify_free(note);
	CHECK(word.sender < SENDERS && word.is_alone < 2);
	struct sender *s = &senders[word.sender];

	CHECK(s->to == reader);
	/* Not one lost, doubled or overtaken. */
	CHECK_EQ(word.k, atomic_load(&s->n_read[word.is_alone]));
	if (!word.is_alone) {
		pattern_fill(want, word.len_bytes, word.seed, 0);
		CHECK_MEM(slot_at(&s->dst, word.k), want, word.len_bytes);
	}
	atomic_fetch_add(&s->n_read[word.is_alone], 1);
}

static bool all_read(void)
{
	for (int i = 0; i < SENDERS * 2; i++)
		if (atomic_load(&senders[i / 2].n_read[i % 2]) !=
		    atomic_load(&senders[i / 2].n_sent[i % 2]))
			return false;
	return true;
}

/* The last `n_back` of them go from b to a. */
static void start_senders(struct pair *pair, uint32_t n_back)
{
	for (uint32_t i = 0; i < SENDERS; i++) {
		struct sender *s = &senders[i];
		bool back = i + n_back >= SENDERS;

		*s = (struct sender){.from = back ? pair->b : pair->a,
				     .to = back ? pair->a : pair->b,
				     .peer = back ? pair->ba : pair->ab,
				     .index = i,
				     .seed = check_seed() + i};
		region_init(&s->src, SLOTS * SLOT_BYTES, 1);
		region_init(&s->dst, SLOTS * SLOT_BYTES, 2);
		s->local = sess_register(s->from, &s->src, 0);
		s->remote = sess_share(s->to,
				       sess_register(s->to, &s->dst,
						     TCPX_ACCESS_REMOTE_WRITE),
				       s->from);
	}
	for (uint32_t i = 0; i < SENDERS; i++)
		CHECK(!pthread_create(&senders[i].thread, NULL, send_on,
				      &senders[i]));
}

static void read_for(struct pair *pair, int ms)
{
	uint64_t end = test_now_ns() + (uint64_t)ms * 1000000u;
	struct tcpx_notification *note;

	while (test_now_ns() < end) {
		if (!tcpx_notify_wait(pair->b->s, &note, 1))
			read_one(pair->b, note);
		while (!tcpx_notify_poll(pair->a->s, &note))
			read_one(pair->a, note);
	}
}

static void stop_senders(struct pair *pair)
{
	uint64_t end = test_now_ns() + (uint64_t)SOON * 1000000u;

	atomic_store(&over, true);
	/* The last WRITEs of each may wait for room. */
	for (int i = 0; i < SENDERS; i++) {
		while (pthread_tryjoin_np(senders[i].thread, NULL)) {
			CHECK(test_now_ns() < end);
			read_for(pair, 5);
		}
	}
	while (!all_read()) {
		CHECK(test_now_ns() < end);
		read_for(pair, 5);
	}
	read_for(pair, 100);
	CHECK(all_read());
}

static void end_senders(struct pair *pair, size_t n_cuts)
{
	stop_senders(pair);
	for (int i = 0; i < SENDERS; i++) {
		fprintf(stderr, "sender %d: %llu WRITEs over %zu cuts\n", i,
			(unsigned long long)atomic_load(&senders[i].n_sent[0]),
			n_cuts);
		CHECK(atomic_load(&senders[i].n_sent[0]) > 0);
	}
	drop_events(pair->a);
	drop_events(pair->b);
}

static void notes_while_flows_die(void)
{
	uint64_t seed = check_seed();
	uint64_t end = test_now_ns() + 2 * (uint64_t)SOON * 1000000u;
	size_t n_cuts = scale_count(60), n = 0;
	struct pair pair;
	struct cut cut;

	pair_open(&pair, PAIR_TWO, tweak);
	cut_learn(&cut, &pair, FLOWS);
	atomic_store(&over, false);
	start_senders(&pair, 0);
	while (n < n_cuts) {
		CHECK(test_now_ns() < end);
		n += cut_one(&cut, &seed);
		read_for(&pair, 5 + (int)(check_rand(&seed) % 50));
	}
	end_senders(&pair, n);
	pair_close(&pair);
	for (int i = 0; i < SENDERS; i++) {
		region_fini(&senders[i].src);
		region_fini(&senders[i].dst);
	}
}

/* ---- the control connection ---- */

/* How often it was lost and resumed, as that side has counted. */
static uint64_t n_resumed(struct sess *sess)
{
	static char buf[16384];
	json_t *root;
	uint64_t n;
	size_t len;

	CHECK_STATUS(tcpx_session_stats_json(sess->s, buf, sizeof(buf), &len),
		     TCPX_OK);
	root = json_loads(buf, 0, NULL);
	CHECK(root);
	n = (uint64_t)json_integer_value(json_object_get(
		json_object_get(root, "session"), "control_resumed"));
	json_decref(root);
	return n;
}

static void await_resumed(struct pair *pair, uint64_t n)
{
	uint64_t end = test_now_ns() + (uint64_t)SOON * 1000000u;

	while (n_resumed(pair->a) < n || n_resumed(pair->b) < n) {
		CHECK(test_now_ns() < end);
		read_for(pair, 1);
	}
}

/* Nothing but the control connection, again and again, under load both ways. */
static void notes_while_control_dies(void)
{
	uint64_t seed = check_seed();
	uint64_t end = test_now_ns() + 2 * (uint64_t)SOON * 1000000u;
	size_t n_cuts = scale_count(100), n = 0;
	struct pair pair;
	struct cut cut;

	pair_open(&pair, PAIR_TWO, tweak);
	cut_learn(&cut, &pair, FLOWS);
	CHECK_EQ(cut.n_flows, FLOWS);
	atomic_store(&over, false);
	start_senders(&pair, 1);
	while (n < n_cuts) {
		CHECK(test_now_ns() < end);
		/* Some in the middle of being resumed. */
		n += cut_control(&cut, &seed);
		read_for(&pair, (int)(check_rand(&seed) % 40));
	}
	end_senders(&pair, n);
	await_resumed(&pair, 1);
	fprintf(stderr, "resumed %llu and %llu times\n",
		(unsigned long long)n_resumed(pair.a),
		(unsigned long long)n_resumed(pair.b));
	CHECK_EQ(flows_up(pair.a, pair.ab), FLOWS);
	pair_close(&pair);
	for (int i = 0; i < SENDERS; i++) {
		region_fini(&senders[i].src);
		region_fini(&senders[i].dst);
	}
}

/* One loss is one line on each side, and one count. */
static void each_loss_said(enum pair_kind kind, unsigned int n_losses)
{
	uint64_t seed = check_seed();
	struct pair pair;
	struct cut cut;

	pair_open(&pair, kind, tweak);
	cut_learn(&cut, &pair, FLOWS);
	for (unsigned int i = 1; i <= n_losses; i++) {
		CHECK(cut_control(&cut, &seed));
		await_resumed(&pair, i);
		sess_must_warn(pair.a, i, "control connection to b lost (");
		sess_must_warn(pair.b, i, "control connection to a lost (");
		CHECK_EQ(n_resumed(pair.a), i);
		CHECK_EQ(n_resumed(pair.b), i);
		CHECK(sess_logged(pair.a, ", taken up again over rail 0 ("));
		CHECK_STATUS(tcpx_peer_wait(pair.a->s, pair.ab, 0), TCPX_OK);
		CHECK_STATUS(tcpx_peer_wait(pair.b->s, pair.ba, 0), TCPX_OK);
	}
	pair_close(&pair);
}

static void control_lost(void)
{
	each_loss_said(PAIR_TWO, 10);
}

/* Nobody works but the control threads. */
static void control_lost_driven(void)
{
	each_loss_said(PAIR_DRIVEN, 5);
}

/* A WRITE of all memory and what is to come of it. */
struct bulk {
	struct region src, dst;
	uint64_t xfer;
};

#define BULK_BYTES (32u << 20)

static void bulk_open(struct bulk *bulk, struct pair *pair)
{
	uint64_t local, owned;

	region_init(&bulk->src, BULK_BYTES, 1);
	region_init(&bulk->dst, BULK_BYTES, 2);
	local = sess_register(pair->a, &bulk->src, 0);
	owned = sess_register(pair->b, &bulk->dst, TCPX_ACCESS_REMOTE_WRITE);
	bulk->xfer = xfer_one(pair->a, pair->ab, TCPX_OP_WRITE, local, 0,
			      sess_share(pair->b, owned, pair->a), 0,
			      BULK_BYTES);
}

/* The control connection and a flow at the same moment, in mid-transfer: what is
 * said of the one waits for the other. */
static void control_and_a_flow(void)
{
	uint64_t seed = check_seed();
	struct tcpx_session *s;
	struct bulk bulk;
	struct pair pair;
	struct cut cut;

	pair_open(&pair, PAIR_TWO, tweak);
	s = pair.a->s;
	bulk_open(&bulk, &pair);
	for (unsigned int i = 1; i <= 10; i++) {
		wait_flows(&pair);
		cut_learn(&cut, &pair, FLOWS);
		pattern_fill(bulk.src.data, BULK_BYTES, 100 + i, 0);
		CHECK_STATUS(tcpx_xfer_post(s, bulk.xfer, NULL), TCPX_OK);
		test_sleep_ms((int)(check_rand(&seed) % 4));
		CHECK(cut_control(&cut, &seed));
		CHECK(cut_one(&cut, &seed));
		CHECK_STATUS(tcpx_xfer_wait(s, bulk.xfer, SOON), TCPX_OK);
		pattern_fill(bulk.dst.want, BULK_BYTES, 100 + i, 0);
		CHECK(region_check(&bulk.dst, "dst"));
		await_resumed(&pair, i);
	}
	pair_close(&pair);
	region_fini(&bulk.src);
	region_fini(&bulk.dst);
}

static void tweak_patient(struct tcpx_config *config)
{
	tweak(config);
	config->liveness_ms = 3600 * 1000;
}

static void await_loss(struct sess *sess)
{
	struct tcpx_event event;

	do {
		CHECK_STATUS(tcpx_event_wait(sess->s, &event, SOON), TCPX_OK);
	} while (event.kind != TCPX_EVENT_PEER_LOST);
}

/* Given up or closed before it is taken up again, by either side: the other one
 * does not wait for the hour that it might have. */
static void ended_while_lost(void)
{
	uint64_t seed = check_seed();

	for (int i = 0; i < 12; i++) {
		struct pair pair;
		struct cut cut;

		pair_open(&pair, PAIR_TWO, tweak_patient);
		cut_learn(&cut, &pair, FLOWS);
		CHECK(cut_control(&cut, &seed));
		if (check_rand(&seed) % 2)
			test_sleep_ms(1);
		if (i % 3 == 0) {
			CHECK_STATUS(tcpx_peer_disconnect(pair.a->s, pair.ab),
				     TCPX_OK);
			await_loss(pair.b);
		} else if (i % 3 == 1) {
			CHECK_STATUS(tcpx_peer_disconnect(pair.b->s, pair.ba),
				     TCPX_OK);
			await_loss(pair.a);
		}
		pair_close(&pair);
	}
}

/* To oneself: both ends are peers of one session. */
static void control_to_self(void)
{
	uint64_t seed = check_seed();
	struct tcpx_session *s;
	struct bulk bulk;
	struct pair pair;
	struct cut cut;

	pair_open(&pair, PAIR_SELF, tweak);
	s = pair.a->s;
	bulk_open(&bulk, &pair);
	cut_learn(&cut, &pair, FLOWS);
	for (unsigned int i = 1; i <= 10; i++) {
		pattern_fill(bulk.src.data, BULK_BYTES, 200 + i, 0);
		CHECK_STATUS(tcpx_xfer_post(s, bulk.xfer, NULL), TCPX_OK);
		CHECK(cut_control(&cut, &seed));
		CHECK_STATUS(tcpx_xfer_wait(s, bulk.xfer, SOON), TCPX_OK);
		pattern_fill(bulk.dst.want, BULK_BYTES, 200 + i, 0);
		CHECK(region_check(&bulk.dst, "dst"));
		await_resumed(&pair, i);
	}
	pair_close(&pair);
	region_fini(&bulk.src);
	region_fini(&bulk.dst);
}

static const struct check_case cases[] = {
	{"flow_lost", flow_lost, 60},
	{"notes_while_flows_die", notes_while_flows_die, 90},
	{"control_lost", control_lost, 60},
	{"control_lost_driven", control_lost_driven, 60},
	{"control_and_a_flow", control_and_a_flow, 90},
	{"ended_while_lost", ended_while_lost, 90},
	{"control_to_self", control_to_self, 60},
	{"notes_while_control_dies", notes_while_control_dies, 90},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
