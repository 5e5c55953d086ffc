/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics: what was moved is what was counted, on both sides, in JSON and
 * in Prometheus text, while a peer is there and after it has gone.
 */
#include <jansson.h>
#include <stdatomic.h>

#include "api/cut.h"
#include "check.h"
#include "support/doc.h"
#include "support/scale.h"
#include "support/vram.h"

#define CHUNK (64u << 10)
#define CAP (1u << 20)
#define SOON scale_ms(20000)

static void tweak(struct tcpx_config *config)
{
	config->transports = "socket";
	config->n_flows = 1;
	config->chunk_bytes = CHUNK;
}

static json_t *stats_of(struct sess *sess)
{
	static char buf[1 << 18];
	size_t len, again;
	json_t *root;

	CHECK_STATUS(tcpx_session_stats_json(sess->s, NULL, 0, &len),
		     TCPX_ENOSPC);
	CHECK_STATUS(tcpx_session_stats_json(sess->s, buf, sizeof(buf), &again),
		     TCPX_OK);
	root = json_loads(buf, 0, NULL);
	CHECK(root && strlen(buf) == again);
	return root;
}

static long long number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value))
		check_fail(CHECK_AT, "no number %s", key);
	return json_integer_value(value);
}

static void must_be(const char *key, long long n, long long want)
{
	if (n != want)
		check_fail(CHECK_AT, "%s: %lld, not %lld", key, n, want);
}

static const json_t *peer_at(const json_t *root, size_t i)
{
	return json_array_get(json_object_get(root, "peers"), i);
}

/* Of the peer alone: what is summed over its rails, or its own. */
static long long of_peer(const json_t *peer, const char *key)
{
	const json_t *rail;
	long long sum = 0;
	size_t i;

	if (json_object_get(peer, key))
		return number(peer, key);
	json_array_foreach(json_object_get(peer, "rails"), i, rail)
		sum += number(rail, key);
	return sum;
}

/* All that is counted, of a peer or of the session. */
static const char *const keys[] = {
	"transfers_done",
	"transfers_failed",
	"notifications_received",
	"notifications_sent",
	"control_sent_bytes",
	"control_received_bytes",
	"flows",
	"sent_bytes",
	"received_bytes",
	"sent_chunks",
	"received_chunks",
	"resent_chunks",
	"stalls",
};
#define N_KEYS (sizeof(keys) / sizeof(*keys))

struct want {
	const char *key;
	long long n;
};

/* Of its only peer, and of the session as a whole. */
static void expect(struct sess *sess, const struct want *want)
{
	json_t *root = stats_of(sess);

	CHECK_EQ(number(root, "peers_known"), 1);
	CHECK_EQ(json_array_size(json_object_get(root, "peers")), 1);
	for (; want->key; want++) {
		must_be(want->key, of_peer(peer_at(root, 0), want->key),
			want->n);
		must_be(want->key,
			number(json_object_get(root, "session"), want->key),
			want->n);
	}
	json_decref(root);
}

/* What one end says has arrived at the other: nothing is on its way. */
static void settle(struct pair *pair)
{
	uint64_t end = test_now_ns() + (uint64_t)SOON * 1000000u;
	bool quiet = false;

	while (!quiet) {
		json_t *a = stats_of(pair->a), *b = stats_of(pair->b);
		const json_t *of_a = peer_at(a, 0), *of_b = peer_at(b, 0);

		CHECK(test_now_ns() < end);
		quiet = number(of_a, "control_sent_bytes") ==
				number(of_b, "control_received_bytes") &&
			number(of_b, "control_sent_bytes") ==
				number(of_a, "control_received_bytes");
		json_decref(a);
		json_decref(b);
		test_sleep_ms(5);
	}
}

/* ---- the two forms ---------------------------------------------------- */

static char *prometheus(struct sess *sess)
{
	static char buf[1 << 18];
	size_t len, again;

	CHECK_STATUS(tcpx_session_stats_prometheus(sess->s, NULL, 0, &len),
		     TCPX_ENOSPC);
	CHECK_STATUS(tcpx_session_stats_prometheus(sess->s, buf, sizeof(buf),
						   &again),
		     TCPX_OK);
	CHECK(strlen(buf) == again && buf[again - 1] == '\n');
	return buf;
}

/* Strikes the line of that sample out. */
static void strike(char *text, const char *name, const char *labels,
		   long long value)
{
	char line[512];
	char *at;

	snprintf(line, sizeof(line), "\ntcpx_%s%s %lld\n", name, labels, value);
	at = strstr(text, line);
	if (!at)
		check_fail(CHECK_AT, "no%s", line);
	memset(at + 1, '#', strlen(line) - 2);
}

static void strike_all(char *text, const json_t *object, const char *of,
		       const char *labels)
{
	const json_t *value;
	const char *key;
	char name[80];

	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		snprintf(name, sizeof(name), "%s%s", of, key);
		if (!strcmp(key, "rail") || !strcmp(key, "gpu") ||
		    !json_is_integer(value))
			continue;
		strike(text, name, labels, json_integer_value(value));
	}
}

static void strike_peer(char *text, const json_t *peer, uint64_t handle)
{
	const json_t *rail;
	char labels[128], more[256];
	size_t i;

	snprintf(labels, sizeof(labels), "{peer=\"%s\",handle=\"%llx\"",
		 json_string_value(json_object_get(peer, "name")),
		 (unsigned long long)handle);
	snprintf(more, sizeof(more), "%s}", labels);
	strike(text, "connected", more,
	       json_is_true(json_object_get(peer, "connected")));
	strike_all(text, peer, "", more);
	json_array_foreach(json_object_get(peer, "rails"), i, rail)
	{
		snprintf(more, sizeof(more),
			 "%s,transport=\"%s\",rail=\"%lld\",ifname=\"%s\"}",
			 labels,
			 json_string_value(json_object_get(rail, "transport")),
			 number(rail, "rail"),
			 json_string_value(json_object_get(rail, "ifname")));
		strike_all(text, rail, "", more);
	}
}

static void strike_gpus(char *text, const json_t *root)
{
	const json_t *gpu;
	char labels[32];
	size_t i;

	json_array_foreach(json_object_get(root, "gpus"), i, gpu)
	{
		snprintf(labels, sizeof(labels), "{gpu=\"%lld\"}",
			 number(gpu, "gpu"));
		strike_all(text, gpu, "", labels);
	}
}

/* Each number of the one form is in the other, and nothing besides. At rest,
 * but for heartbeats: those change the control bytes. */
static bool same_once(struct sess *sess, uint64_t handle)
{
	json_t *root = stats_of(sess), *again;
	char *text = prometheus(sess), *line;

	again = stats_of(sess);
	if (!json_equal(root, again)) {
		json_decref(root);
		json_decref(again);
		return false;
	}
	strike(text, "peers", "", number(root, "peers_known"));
	strike(text, "events_dropped", "", number(root, "events_dropped"));
	strike_all(text, json_object_get(root, "session"), "session_", "");
	strike_gpus(text, root);
	if (handle)
		strike_peer(text, peer_at(root, 0), handle);
	while ((line = strsep(&text, "\n")))
		if (*line && *line != '#')
			check_fail(CHECK_AT, "in Prometheus alone: %s", line);
	json_decref(root);
	json_decref(again);
	return true;
}

static void same(struct sess *sess, uint64_t handle)
{
	while (!same_once(sess, handle))
		;
}

/* ---- cases ------------------------------------------------------------ */

struct ends {
	struct pair pair;
	struct region src, dst;
	uint64_t local, owned, remote;
};

static void ends_open(struct ends *t, enum pair_kind kind)
{
	pair_open(&t->pair, kind, tweak);
	region_init(&t->src, CAP, 1);
	region_init(&t->dst, CAP, 2);
	t->local = sess_register(t->pair.a, &t->src, 0);
	t->owned = sess_register(t->pair.b, &t->dst,
				 TCPX_ACCESS_REMOTE_WRITE |
					 TCPX_ACCESS_REMOTE_READ);
	t->remote = sess_share(t->pair.b, t->owned, t->pair.a);
}

static void ends_close(struct ends *t)
{
	pair_close(&t->pair);
	region_fini(&t->src);
	region_fini(&t->dst);
}

static void move(struct ends *t, enum tcpx_op op, uint64_t len_bytes, int want)
{
	struct sess *a = t->pair.a;
	uint64_t xfer = xfer_one(a, t->pair.ab, op, t->local, 0, t->remote, 0,
				 len_bytes);

	CHECK_STATUS(tcpx_xfer_post(a->s, xfer, NULL), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_wait(a->s, xfer, SOON), want);
	CHECK_STATUS(tcpx_xfer_release(a->s, xfer), TCPX_OK);
}

/* One WRITE, one READ, one notification, and one WRITE that is refused: so
 * short that it rides in its request, and no chunk of it is counted. */
static void play(struct ends *t)
{
	move(t, TCPX_OP_WRITE, 4 * CHUNK, TCPX_OK);
	move(t, TCPX_OP_READ, 3 * CHUNK, TCPX_OK);
	CHECK_STATUS(tcpx_notify_send(t->pair.a->s, t->pair.ab, "x", 1),
		     TCPX_OK);
	CHECK_STATUS(tcpx_mem_deregister(t->pair.b->s, t->owned), TCPX_OK);
	move(t, TCPX_OP_WRITE, 64, TCPX_EREMOTE);
	settle(&t->pair);
}

static const struct want played_a[] = {
	{"transfers_done", 2},
	{"transfers_failed", 1},
	{"notifications_sent", 1},
	{"notifications_received", 0},
	{"sent_bytes", 4 * CHUNK},
	{"received_bytes", 3 * CHUNK},
	{"sent_chunks", 4},
	{"received_chunks", 3},
	{"resent_chunks", 0},
	{"flows", 1},
	{NULL, 0},
};
static const struct want played_b[] = {
	{"transfers_done", 0},
	{"transfers_failed", 0},
	{"notifications_sent", 0},
	{"notifications_received", 1},
	{"sent_bytes", 3 * CHUNK},
	{"received_bytes", 4 * CHUNK},
	{"sent_chunks", 3},
	{"received_chunks", 4},
	{"resent_chunks", 0},
	{"flows", 1},
	{NULL, 0},
};

static void exact(void)
{
	struct ends t;

	ends_open(&t, PAIR_TWO);
	play(&t);
	expect(t.pair.a, played_a);
	expect(t.pair.b, played_b);
	same(t.pair.a, t.pair.ab);
	same(t.pair.b, t.pair.ba);
	ends_close(&t);
}

/* Of the session's numbers, that one. */
static long long of(const long long n[N_KEYS], const char *key)
{
	for (size_t i = 0; i < N_KEYS; i++)
		if (!strcmp(keys[i], key))
			return n[i];
	check_fail(CHECK_AT, "no key %s", key);
	return 0;
}

/* The session's numbers, as a list. */
static void session_numbers(struct sess *sess, long long n[N_KEYS])
{
	json_t *root = stats_of(sess);

	for (size_t i = 0; i < N_KEYS; i++)
		n[i] = number(json_object_get(root, "session"), keys[i]);
	json_decref(root);
}

static void expect_gone(struct sess *sess, const long long before[N_KEYS])
{
	json_t *root = stats_of(sess);
	const json_t *session = json_object_get(root, "session");

	CHECK_EQ(number(root, "peers_known"), 0);
	CHECK_EQ(number(session, "peers_gone"), 1);
	for (size_t i = 0; i < N_KEYS; i++) {
		long long n = number(session, keys[i]);

		if (!strcmp(keys[i], "flows"))
			CHECK_EQ(n, 0);
		else if (strncmp(keys[i], "control_", 8))
			must_be(keys[i], n, before[i]);
		else /* a goodbye */
			CHECK(n >= before[i] && n < before[i] + 4096);
	}
	json_decref(root);
}

/* What a peer did stays when it goes, and the next one's is added to it. */
static void gone(void)
{
	long long at_a[N_KEYS], at_b[N_KEYS], n[N_KEYS];
	struct tcpx_event event;
	struct ends t;
	json_t *root;

	ends_open(&t, PAIR_TWO);
	play(&t);
	session_numbers(t.pair.a, at_a);
	session_numbers(t.pair.b, at_b);
	CHECK_STATUS(tcpx_peer_disconnect(t.pair.a->s, t.pair.ab), TCPX_OK);
	expect_gone(t.pair.a, at_a);
	same(t.pair.a, 0);
	do
		CHECK_STATUS(tcpx_event_wait(t.pair.b->s, &event, SOON),
			     TCPX_OK);
	while (event.kind != TCPX_EVENT_PEER_LOST);
	/* Its handle lives here, and so do its numbers. */
	root = stats_of(t.pair.b);
	CHECK(json_is_false(json_object_get(peer_at(root, 0), "connected")));
	CHECK_EQ(number(json_object_get(root, "session"), "peers_gone"), 0);
	CHECK_EQ(of_peer(peer_at(root, 0), "sent_bytes"), 3 * CHUNK);
	json_decref(root);
	same(t.pair.b, t.pair.ba);
	CHECK_STATUS(tcpx_peer_disconnect(t.pair.b->s, t.pair.ba), TCPX_OK);
	expect_gone(t.pair.b, at_b);
	t.pair.ab = sess_connect(t.pair.a, t.pair.b);
	t.owned = sess_register(t.pair.b, &t.dst, TCPX_ACCESS_REMOTE_WRITE);
	t.remote = sess_share(t.pair.b, t.owned, t.pair.a);
	move(&t, TCPX_OP_WRITE, 2 * CHUNK, TCPX_OK);
	session_numbers(t.pair.a, n);
	CHECK_EQ(of(n, "transfers_done"), 3);
	CHECK_EQ(of(n, "sent_bytes"), 6 * CHUNK);
	root = stats_of(t.pair.a);
	CHECK_EQ(of_peer(peer_at(root, 0), "sent_bytes"), 2 * CHUNK);
	json_decref(root);
	same(t.pair.a, t.pair.ab);
	ends_close(&t);
}

/* Shown once, by the side that opened it; nor does the sum have it twice. */
static void self(void)
{
	static const struct want want[] = {
		{"transfers_done", 1},
		{"notifications_received", 0},
		{"sent_bytes", 4 * CHUNK},
		{"received_bytes", 0},
		{"flows", 1},
		{NULL, 0},
	};
	struct ends t;

	ends_open(&t, PAIR_SELF);
	move(&t, TCPX_OP_WRITE, 4 * CHUNK, TCPX_OK);
	expect(t.pair.a, want);
	same(t.pair.a, t.pair.ab);
	ends_close(&t);
}

/* ---- flows that die --------------------------------------------------- */

static void expect_lost(struct sess *sess)
{
	struct tcpx_event event;

	do
		CHECK_STATUS(tcpx_event_wait(sess->s, &event, SOON), TCPX_OK);
	while (event.kind != TCPX_EVENT_FLOW_LOST);
}

static void wait_flows(struct sess *sess, long long n)
{
	uint64_t end = test_now_ns() + (uint64_t)SOON * 1000000u;
	long long now;

	do {
		json_t *root = stats_of(sess);

		CHECK(test_now_ns() < end);
		now = number(json_object_get(root, "session"), "flows");
		json_decref(root);
	} while (now != n);
}

/* A flow that was idle takes nothing along, and the next one counts on. */
static void cut_idle(void)
{
	uint64_t seed = check_seed();
	long long at_a[N_KEYS], at_b[N_KEYS];
	struct ends t;
	struct cut cut;

	ends_open(&t, PAIR_TWO);
	cut_learn(&cut, &t.pair, 1);
	settle(&t.pair);
	session_numbers(t.pair.a, at_a);
	session_numbers(t.pair.b, at_b);
	CHECK(cut_one(&cut, &seed));
	expect_lost(t.pair.a);
	expect_lost(t.pair.b);
	wait_flows(t.pair.a, 1);
	wait_flows(t.pair.b, 1);
	move(&t, TCPX_OP_WRITE, 4 * CHUNK, TCPX_OK);
	move(&t, TCPX_OP_READ, 3 * CHUNK, TCPX_OK);
	settle(&t.pair);
	const struct want a[] = {
		{"transfers_done", of(at_a, "transfers_done") + 2},
		{"sent_bytes", of(at_a, "sent_bytes") + 4 * CHUNK},
		{"received_bytes", of(at_a, "received_bytes") + 3 * CHUNK},
		{"sent_chunks", of(at_a, "sent_chunks") + 4},
		{"received_chunks", of(at_a, "received_chunks") + 3},
		{"resent_chunks", 0},
		{"flows", 1},
		{NULL, 0},
	};
	const struct want b[] = {
		{"sent_bytes", of(at_b, "sent_bytes") + 3 * CHUNK},
		{"received_bytes", of(at_b, "received_bytes") + 4 * CHUNK},
		{"sent_chunks", of(at_b, "sent_chunks") + 3},
		{"received_chunks", of(at_b, "received_chunks") + 4},
		{"resent_chunks", 0},
		{"flows", 1},
		{NULL, 0},
	};

	expect(t.pair.a, a);
	expect(t.pair.b, b);
	same(t.pair.a, t.pair.ab);
	same(t.pair.b, t.pair.ba);
	ends_close(&t);
}

/* So often the same bytes, that a cut does not come when all is done. */
#define TIMES 32

/* Cut under a WRITE, what had not arrived is sent once more: each chunk of
 * that is told, and counted both times. */
static void cut_under_write(void)
{
	uint64_t seed = check_seed();
	long long at_a[N_KEYS], n[N_KEYS], at_b[N_KEYS], resent = 0, want = 0;
	struct tcpx_segment segments[TIMES];
	struct ends t;
	struct cut cut;

	ends_open(&t, PAIR_TWO);
	for (int i = 0; i < TIMES; i++)
		segments[i] =
			(struct tcpx_segment){t.local, 0, t.remote, 0, CAP};
	cut_learn(&cut, &t.pair, 1);
	session_numbers(t.pair.a, at_a);
	session_numbers(t.pair.b, at_b);
	for (int i = 0; i < 200 && !resent; i++) {
		uint64_t xfer = xfer_make(t.pair.a, t.pair.ab, TCPX_OP_WRITE,
					  segments, TIMES, 0);

		wait_flows(t.pair.a, 1);
		wait_flows(t.pair.b, 1);
		CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, xfer, NULL), TCPX_OK);
		cut_one(&cut, &seed);
		CHECK_STATUS(tcpx_xfer_wait(t.pair.a->s, xfer, SOON), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_release(t.pair.a->s, xfer), TCPX_OK);
		want += TIMES * CAP;
		session_numbers(t.pair.a, n);
		resent = of(n, "resent_chunks");
	}
	fprintf(stderr, "%lld resent\n", resent);
	CHECK(resent > 0);
	must_be("sent_bytes", of(n, "sent_bytes") - of(at_a, "sent_bytes"),
		want + resent * CHUNK);
	must_be("sent_chunks", of(n, "sent_chunks") - of(at_a, "sent_chunks"),
		want / CHUNK + resent);
	settle(&t.pair);
	session_numbers(t.pair.b, n);
	must_be("received_bytes",
		of(n, "received_bytes") - of(at_b, "received_bytes"), want);
	must_be("received_chunks",
		of(n, "received_chunks") - of(at_b, "received_chunks"),
		want / CHUNK);
	ends_close(&t);
}

/* ---- never down ------------------------------------------------------- */

static _Atomic bool over;

static void *watch(void *arg)
{
	long long last[N_KEYS] = {0}, n[N_KEYS];

	while (!atomic_load(&over)) {
		session_numbers(arg, n);
		for (size_t i = 0; i < N_KEYS; i++) {
			if (n[i] < last[i] && strcmp(keys[i], "flows"))
				check_fail(CHECK_AT, "%s: %lld, then %lld",
					   keys[i], last[i], n[i]);
			last[i] = n[i];
		}
	}
	return NULL;
}

/* Whenever one looks, also just when a peer goes. */
static void never_down(void)
{
	pthread_t thread;
	struct ends t;
	long long n[N_KEYS];
	size_t rounds = scale_count(40);

	ends_open(&t, PAIR_TWO);
	CHECK(!pthread_create(&thread, NULL, watch, t.pair.a));
	for (size_t i = 0; i < rounds; i++) {
		move(&t, TCPX_OP_WRITE, 4 * CHUNK, TCPX_OK);
		CHECK_STATUS(tcpx_peer_disconnect(t.pair.a->s, t.pair.ab),
			     TCPX_OK);
		t.pair.ab = sess_connect(t.pair.a, t.pair.b);
	}
	atomic_store(&over, true);
	pthread_join(thread, NULL);
	session_numbers(t.pair.a, n);
	CHECK_EQ(of(n, "transfers_done"), rounds);
	CHECK_EQ(of(n, "sent_bytes"), rounds * 4 * CHUNK);
	ends_close(&t);
}

/* ---- the pages -------------------------------------------------------- */

#define PAGE "statistics.md"

/* Every name with its kind, and no name besides. */
static void check_names(char *text)
{
	char line[256], *rest = text, *one;
	size_t documented = 0, there = 0;
	struct doc doc;

	doc_open(&doc, PAGE, "| name | kind |");
	for (; doc_next(&doc); documented++) {
		const char *name = doc_word(&doc.cells[0]);

		CHECK(name);
		snprintf(line, sizeof(line), "\n# TYPE %s %s\n", name,
			 doc.cells[1]);
		if (!strstr(text, line))
			check_fail(CHECK_AT, "no%s", line);
	}
	while ((one = strsep(&rest, "\n")))
		there += !strncmp(one, "# TYPE ", 7);
	CHECK_EQ(there, documented);
}

static void documented(void)
{
	const json_t *peer;
	struct vram vram;
	struct ends t;
	uint64_t mem;
	json_t *root;

	setenv("TCPX_GPU", "host", 1);
	setenv("TCPX_GPU_HOST_DEVICES", "1", 1);
	vram_init(&vram, 0, CHUNK);
	ends_open(&t, PAIR_TWO);
	CHECK_STATUS(tcpx_mem_register(t.pair.a->s, vram.dev, CHUNK, 0, &mem),
		     TCPX_OK);
	root = stats_of(t.pair.a);
	peer = peer_at(root, 0);
	doc_keys(root, PAGE, "| key | type |");
	doc_keys(json_object_get(root, "session"), PAGE,
		 "| key of `session` |");
	doc_keys(peer, PAGE, "| key of a peer |");
	doc_keys(json_array_get(json_object_get(peer, "rails"), 0), PAGE,
		 "| key of a rail |");
	doc_keys(json_array_get(json_object_get(root, "gpus"), 0), PAGE,
		 "| key of a GPU |");
	json_decref(root);
	check_names(prometheus(t.pair.a));
	same(t.pair.a, t.pair.ab);
	ends_close(&t);
	vram_fini(&vram);
}

static const struct check_case cases[] = {
	{"exact", exact, 0},
	{"gone", gone, 0},
	{"self", self, 0},
	{"cut_idle", cut_idle, 60},
	{"cut_under_write", cut_under_write, 120},
	{"never_down", never_down, 120},
	{"documented", documented, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
