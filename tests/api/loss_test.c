/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flows that die while they carry something: told as events, and nothing
 * else comes of it. Each byte arrives, each notification once, in order, and
 * behind its bytes.
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
	struct pair *pair;
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
	xfer = xfer_one(s->pair->a, s->pair->ab, TCPX_OP_WRITE, s->local, off,
			s->remote, off, word.len_bytes);
	CHECK_STATUS(tcpx_xfer_post(s->pair->a->s, xfer, &post), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_wait(s->pair->a->s, xfer, SOON), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_release(s->pair->a->s, xfer), TCPX_OK);
}

static void say_alone(struct sender *s, uint64_t k)
{
	struct word word = {s->index, 1, k, 0, 0};

	CHECK_STATUS(tcpx_notify_send(s->pair->a->s, s->pair->ab, &word,
				      sizeof(word)),
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

static void read_one(struct tcpx_notification *note)
{
	static uint8_t want[SLOT_BYTES];
	struct word word;

	CHECK_EQ(note->len_bytes, sizeof(word));
	memcpy(&word, note->data, sizeof(word));
	tcpx_notify_free(note);
	CHECK(word.sender < SENDERS && word.is_alone < 2);
	struct sender *s = &senders[word.sender];

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

static void start_senders(struct pair *pair)
{
	for (uint32_t i = 0; i < SENDERS; i++) {
		struct sender *s = &senders[i];

		*s = (struct sender){
			.pair = pair, .index = i, .seed = check_seed() + i};
		region_init(&s->src, SLOTS * SLOT_BYTES, 1);
		region_init(&s->dst, SLOTS * SLOT_BYTES, 2);
		s->local = sess_register(pair->a, &s->src, 0);
		s->remote = sess_share(pair->b,
				       sess_register(pair->b, &s->dst,
						     TCPX_ACCESS_REMOTE_WRITE),
				       pair->a);
		CHECK(!pthread_create(&s->thread, NULL, send_on, s));
	}
}

static void read_for(struct pair *pair, int ms)
{
	uint64_t end = test_now_ns() + (uint64_t)ms * 1000000u;
	struct tcpx_notification *note;

	while (test_now_ns() < end)
		if (!tcpx_notify_wait(pair->b->s, &note, 1))
			read_one(note);
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
	start_senders(&pair);
	while (n < n_cuts) {
		CHECK(test_now_ns() < end);
		n += cut_one(&cut, &seed);
		read_for(&pair, 5 + (int)(check_rand(&seed) % 50));
	}
	stop_senders(&pair);
	for (int i = 0; i < SENDERS; i++)
		fprintf(stderr, "sender %d: %llu WRITEs over %zu cuts\n", i,
			(unsigned long long)atomic_load(&senders[i].n_sent[0]),
			n);
	drop_events(pair.a);
	drop_events(pair.b);
	pair_close(&pair);
	for (int i = 0; i < SENDERS; i++) {
		CHECK(atomic_load(&senders[i].n_sent[0]) > 0);
		region_fini(&senders[i].src);
		region_fini(&senders[i].dst);
	}
}

static const struct check_case cases[] = {
	{"flow_lost", flow_lost, 60},
	{"notes_while_flows_die", notes_while_flows_die, 90},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
