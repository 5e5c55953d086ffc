/* SPDX-License-Identifier: Apache-2.0 */
/* A session by itself: open, close, blob, port; and what it tells. */
#include <jansson.h>
#include <pthread.h>
#include <signal.h>

#include "check.h"
#include "support/count.h"
#include "support/doc.h"
#include "support/scale.h"
#include "support/sess.h"

#define SOON scale_ms(10000)

static void open_close(void)
{
	size_t fds = 0, tasks = 0, n = scale_count(50);
	struct sess sess;

	for (size_t i = 0; i < n; i++) {
		sess_open(&sess, "n", NULL);
		CHECK(tcpx_session_port(sess.s) != 0);
		CHECK_EQ(sess_warnings(&sess), 0);
		sess_close(&sess);
		/* The first round may load tables and the like. */
		if (i == 0) {
			test_sleep_ms(100);
			fds = count_entries("/proc/self/fd");
			tasks = count_entries("/proc/self/task");
		}
	}
	CHECK_EQ(count_entries("/proc/self/fd"), fds);
	/* A joined thread leaves /proc a moment later. */
	for (int i = 0; i < 200 && count_entries("/proc/self/task") != tasks;
	     i++)
		test_sleep_ms(10);
	CHECK_EQ(count_entries("/proc/self/task"), tasks);
	tcpx_session_close(NULL);
}

static void blob_rules(void)
{
	char blob[TCPX_BLOB_MAX], again[TCPX_BLOB_MAX];
	struct sess sess;
	size_t len, other;

	sess_open(&sess, "n", NULL);
	CHECK_STATUS(tcpx_session_blob(sess.s, NULL, 0, &len), TCPX_ENOSPC);
	CHECK(len > 0 && len <= TCPX_BLOB_MAX);
	CHECK_STATUS(tcpx_session_blob(sess.s, blob, len - 1, &other),
		     TCPX_ENOSPC);
	CHECK_EQ(other, len);
	CHECK_STATUS(tcpx_session_blob(sess.s, blob, len, &other), TCPX_OK);
	CHECK_STATUS(tcpx_session_blob(sess.s, again, sizeof(again), &other),
		     TCPX_OK);
	CHECK_EQ(other, len);
	CHECK_MEM(blob, again, len);
	sess_close(&sess);
}

static void port_range(void)
{
	struct tcpx_config config;
	struct tcpx_session *s = NULL;
	struct sess a;

	sess_open(&a, "a", NULL);
	CHECK_STATUS(tcpx_config_init(&config, NULL, NULL), TCPX_OK);
	config.ifnames = "lo";
	config.port_first = config.port_last = tcpx_session_port(a.s);
	CHECK_STATUS(tcpx_session_open(&config, &s), TCPX_EUNREACHABLE);
	CHECK(!s);
	config.port_last = config.port_first + 50;
	CHECK_STATUS(tcpx_session_open(&config, &s), TCPX_OK);
	CHECK(tcpx_session_port(s) > config.port_first);
	CHECK(tcpx_session_port(s) <= config.port_last);
	tcpx_session_close(s);
	sess_close(&a);
}

static const char *bind_to, *ctrl, *advertised;

static void bound(struct tcpx_config *config)
{
	config->bind = bind_to;
	config->ctrl_ifname = ctrl;
	config->advertise = advertised;
	if (ctrl)
		config->ifnames = NULL;
}

/* Bound so that the address peers are told leads nowhere. */
static void bound_elsewhere(void)
{
	static const char *const serve[] = {NULL, "127.0.0.1", "127.0.0.1:7",
					    "0.0.0.0"};
	struct sess sess;

	for (size_t i = 0; i < sizeof(serve) / sizeof(*serve); i++) {
		bind_to = serve[i];
		sess_open(&sess, "a", bound);
		CHECK_EQ(sess_warnings(&sess), 0);
		sess_close(&sess);
	}
	bind_to = "127.0.0.2";
	sess_open(&sess, "a", bound);
	sess_must_warn(&sess, 1,
		       "nobody listens at the address of rail 0, lo, for bind "
		       "(TCPX_BIND) is 127.0.0.2");
	sess_close(&sess);
	advertised = "192.0.2.9";
	sess_open(&sess, "a", bound);
	CHECK_EQ(sess_warnings(&sess), 0);
	sess_close(&sess);
	advertised = NULL;
	ctrl = "lo";
	sess_open(&sess, "a", bound);
	sess_must_warn(&sess, 1,
		       "nobody listens at the address of ctrl_ifname "
		       "(TCPX_CTRL_IFNAME), lo, for bind (TCPX_BIND) is "
		       "127.0.0.2");
	sess_close(&sess);
}

static json_t *describe(struct sess *sess, uint64_t peer)
{
	static char buf[65536];
	json_error_t error;
	size_t len, again;
	json_t *root;

	CHECK_STATUS(tcpx_peer_describe(sess->s, peer, NULL, 0, &len),
		     TCPX_ENOSPC);
	CHECK(len > 0 && len < sizeof(buf));
	CHECK_STATUS(tcpx_peer_describe(sess->s, peer, buf, sizeof(buf),
					&again),
		     TCPX_OK);
	CHECK_EQ(strlen(buf), again);
	root = json_loads(buf, 0, &error);
	CHECK(root && json_is_object(root));
	return root;
}

static void check_number(const json_t *limits, const char *key, json_int_t n)
{
	CHECK_EQ(json_integer_value(json_object_get(limits, key)), n);
}

static void is_text(const json_t *object, const char *key, const char *text)
{
	CHECK_STR(json_string_value(json_object_get(object, key)), text);
}

static void check_rejected(const json_t *pair)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(pair, "rejected"), i, one)
	{
		CHECK_EQ(json_object_size(one), 2);
		CHECK(json_string_length(json_object_get(one, "transport")));
		CHECK(json_string_length(json_object_get(one, "why")));
	}
	CHECK(i > 0);
}

/* Two flows, whose far ends only who opened them knows. */
static void check_rails(const json_t *pair, uint16_t port)
{
	const json_t *rail = json_array_get(json_object_get(pair, "rails"), 0);
	char remote[32] = "";

	if (port)
		snprintf(remote, sizeof(remote), "127.0.0.1:%u", port);
	CHECK_EQ(json_array_size(json_object_get(pair, "rails")), 1);
	CHECK_EQ(json_object_size(rail), 7);
	check_number(rail, "rail", 0);
	check_number(rail, "flows", 2);
	is_text(rail, "ifname", "lo");
	is_text(rail, "local", "127.0.0.1");
	is_text(rail, "how", "");
	is_text(rail, "remote", remote);
	check_number(pair, "flows", 2);
}

static void check_transports(const json_t *root)
{
	const json_t *one, *all = json_object_get(root, "transports");
	size_t i;

	json_array_foreach(all, i, one)
	{
		doc_keys(one, "describe.md", "## Transports");
		CHECK(json_is_true(json_object_get(one, "usable")) == !i);
		check_number(one, "sending", i ? 0 : 2);
		check_number(one, "receiving", i ? 0 : 2);
		CHECK(!json_string_length(json_object_get(one, "why")) == !i);
	}
	CHECK(i > 1);
	is_text(json_array_get(all, 0), "transport", "socket");
}

static void two_flows(struct tcpx_config *config)
{
	config->transports = "socket";
	config->n_flows = 2;
}

/* Everything of both sides, and what the page says there is. */
static void described(void)
{
	struct pair pair;

	pair_open(&pair, PAIR_TWO, two_flows);
	for (int of_b = 0; of_b < 2; of_b++) {
		json_t *root = of_b ? describe(pair.b, pair.ba) :
				      describe(pair.a, pair.ab);
		const json_t *one =
			json_array_get(json_object_get(root, "pairs"), 0);

		doc_keys(root, "describe.md", "## The peer");
		doc_keys(json_object_get(root, "control"), "describe.md",
			 "## Control");
		doc_keys(json_object_get(root, "limits"), "describe.md",
			 "## Limits");
		doc_keys(one, "describe.md", "## Pairs");
		is_text(root, "name", of_b ? "a" : "b");
		is_text(root, "state", "connected");
		is_text(root, "status", "TCPX_OK");
		is_text(root, "cause", "");
		CHECK_EQ(json_string_length(json_object_get(root, "session")),
			 32);
		CHECK(json_is_true(json_object_get(root, "incoming")) == of_b);
		CHECK(json_is_false(json_object_get(root, "self")));
		CHECK_EQ(json_array_size(json_object_get(root, "pairs")), 1);
		is_text(one, "local", "host");
		is_text(one, "remote", "host");
		is_text(one, "direction", "both");
		is_text(one, "transport", "socket");
		CHECK(strstr(json_string_value(json_object_get(one, "why")),
			     of_b ? "the peer opened" : "we opened"));
		check_rejected(one);
		check_rails(one, of_b ? 0 : tcpx_session_port(pair.b->s));
		check_transports(root);
		json_decref(root);
	}
	pair_close(&pair);
}

static void self_described(void)
{
	struct pair pair;
	json_t *root;

	pair_open(&pair, PAIR_SELF, two_flows);
	root = describe(pair.a, pair.ab);
	CHECK(json_is_true(json_object_get(root, "self")));
	CHECK(json_is_false(json_object_get(root, "incoming")));
	json_decref(root);
	pair_close(&pair);
}

/* One that is lost says why, and has no ways left. */
static void lost_described(void)
{
	struct tcpx_event event;
	struct pair pair;
	json_t *root;

	pair_open(&pair, PAIR_TWO, two_flows);
	CHECK_STATUS(tcpx_peer_disconnect(pair.a->s, pair.ab), TCPX_OK);
	do
		CHECK_STATUS(tcpx_event_wait(pair.b->s, &event, scale_ms(5000)),
			     TCPX_OK);
	while (event.kind != TCPX_EVENT_PEER_LOST);
	root = describe(pair.b, pair.ba);
	doc_keys(root, "describe.md", "## The peer");
	is_text(root, "state", "lost");
	is_text(root, "status", check_status_name(event.status));
	is_text(root, "cause", event.cause);
	CHECK(event.cause[0]);
	CHECK_EQ(json_array_size(json_object_get(root, "pairs")), 0);
	CHECK_EQ(json_array_size(json_object_get(root, "transports")), 0);
	json_decref(root);
	pair_close(&pair);
}

/* Each is less at another end. */
static void set_limits(struct tcpx_config *config)
{
	bool first = !strcmp(config->name, "a");

	config->n_flows = first ? 3 : 2;
	config->n_rails = first ? 1 : 4;
	config->chunk_bytes = first ? 1 << 20 : 256 << 10;
	config->window_chunks = first ? 8 : 16;
	config->small_bytes = first ? 4096 : 2048;
	config->notify_queue_bytes = first ? 3 << 20 : 4 << 20;
	config->liveness_ms = first ? 7000 : 6000;
	config->checksum = first;
}

static void limits_described(void)
{
	struct pair pair;
	json_t *root, *limits;

	pair_open(&pair, PAIR_TWO, set_limits);
	for (int i = 0; i < 2; i++) {
		root = i ? describe(pair.b, pair.ba) :
			   describe(pair.a, pair.ab);
		limits = json_object_get(root, "limits");
		check_number(limits, "flows", 2);
		check_number(limits, "rails", 1);
		check_number(limits, "chunk_bytes", 256 << 10);
		check_number(limits, "window_chunks", 8);
		check_number(limits, "small_bytes", 2048);
		check_number(limits, "list_segments", 2 << 20);
		check_number(limits, "notify_bytes", 3 << 20);
		check_number(limits, "liveness_ms", 6000);
		CHECK(json_is_true(json_object_get(limits, "checksum")));
		json_decref(root);
	}
	pair_close(&pair);
}

/* The rails of the one peer, as it is now. */
static json_t *peer_rails(struct sess *sess)
{
	static char buf[1 << 16];
	json_t *root, *rails;
	size_t len;

	CHECK_STATUS(tcpx_session_stats_json(sess->s, buf, sizeof(buf), &len),
		     TCPX_OK);
	root = json_loads(buf, 0, NULL);
	rails = json_incref(json_object_get(
		json_array_get(json_object_get(root, "peers"), 0), "rails"));
	CHECK(json_is_array(rails));
	json_decref(root);
	return rails;
}

/* A rail is listed while it has flows, and for good once one has carried
 * something. */
static void rails_of_a_lost_peer(bool carried)
{
	const size_t len = 1u << 20;
	struct region here, there;
	struct pair pair;
	uint64_t xfer, mem, remote;
	json_t *rails;

	pair_open(&pair, PAIR_TWO, NULL);
	region_init(&here, len, 1);
	region_init(&there, len, 2);
	mem = sess_register(pair.a, &here, 0);
	remote = sess_share(
		pair.b, sess_register(pair.b, &there, TCPX_ACCESS_REMOTE_WRITE),
		pair.a);
	xfer = xfer_one(pair.a, pair.ab, TCPX_OP_WRITE, mem, 0, remote, 0,
			carried ? len : 16);
	CHECK_STATUS(tcpx_xfer_post(pair.a->s, xfer, NULL), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_wait(pair.a->s, xfer, SOON), TCPX_OK);
	rails = peer_rails(pair.a);
	CHECK_EQ(json_array_size(rails), 1);
	json_decref(rails);
	sess_close(pair.b);
	while (!tcpx_peer_wait(pair.a->s, pair.ab, 0))
		test_sleep_ms(5);
	rails = peer_rails(pair.a);
	CHECK_EQ(json_array_size(rails), carried);
	if (carried) {
		const json_t *rail = json_array_get(rails, 0);

		CHECK_EQ(json_integer_value(json_object_get(rail, "flows")), 0);
		CHECK_EQ(
			json_integer_value(json_object_get(rail, "sent_bytes")),
			len);
	}
	json_decref(rails);
	sess_close(pair.a);
	region_fini(&here);
	region_fini(&there);
}

static void rails_in_statistics(void)
{
	rails_of_a_lost_peer(true);
	rails_of_a_lost_peer(false);
}

/* All there are, in a text that is as long as it was said to be. */
static void transports(void)
{
	static char buf[1 << 16];
	const json_t *one;
	struct sess a;
	json_t *list;
	size_t len, again, i, n_open = 0;

	sess_open(&a, "a", NULL);
	CHECK_STATUS(tcpx_session_transports(a.s, NULL, 0, &len), TCPX_ENOSPC);
	CHECK_STATUS(tcpx_session_transports(a.s, buf, len + 1, &again),
		     TCPX_OK);
	CHECK_EQ(again, len);
	list = json_loads(buf, 0, NULL);
	CHECK(json_array_size(list) >= 4);
	json_array_foreach(list, i, one)
	{
		bool open = json_is_true(json_object_get(one, "open"));

		n_open += open;
		CHECK(!open || json_is_true(json_object_get(one, "allowed")));
		CHECK(!open || json_is_true(json_object_get(one, "usable")));
	}
	CHECK_EQ(n_open, 1);
	json_decref(list);
	sess_close(&a);
}

/* Paths need not be UTF-8, JSON must: nothing is left out for it. */
static void not_utf8(void)
{
	static char buf[1 << 16];
	struct sess a;
	size_t len;

	setenv("TCPX_NETPLUGIN_PATH", "/nowhere/caf\xe9.so", 1);
	sess_open(&a, "a", NULL);
	CHECK_STATUS(tcpx_session_transports(a.s, buf, sizeof(buf), &len),
		     TCPX_OK);
	CHECK(strstr(buf, "/nowhere/caf?.so: No such"));
	sess_close(&a);
}

static volatile sig_atomic_t n_handled;

static void on_signal(int number)
{
	(void)number;
	n_handled++;
}

static void tweak_pretend_gpu(struct tcpx_config *config)
{
	config->gpu = "host";
}

/* A program whose threads have one blocked and one that waits for it gets it,
 * and no thread of the library's does. */
static void signals_are_the_programs(void)
{
	const struct timespec limit = {.tv_sec = scale_ms(5000) / 1000};
	struct pair pair;
	sigset_t set, now;

	pair_open(&pair, PAIR_TWO, tweak_pretend_gpu);
	pthread_sigmask(SIG_BLOCK, NULL, &now);
	CHECK(!sigismember(&now, SIGUSR1)); /* ours is as it was */
	signal(SIGUSR1, on_signal);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (int i = 0; i < 20; i++) {
		CHECK(!kill(getpid(), SIGUSR1));
		test_sleep_ms(5); /* a thread that wants it has taken it */
		CHECK_EQ(sigtimedwait(&set, NULL, &limit), SIGUSR1);
	}
	CHECK_EQ(n_handled, 0);
	pair_close(&pair);
}

static void no_events(void)
{
	struct tcpx_event event;
	struct sess a;
	uint64_t start;

	sess_open(&a, "a", NULL);
	CHECK_STATUS(tcpx_event_poll(a.s, &event), TCPX_EAGAIN);
	start = test_now_ns();
	CHECK_STATUS(tcpx_event_wait(a.s, &event, 50), TCPX_ETIMEDOUT);
	CHECK(test_now_ns() - start >= 45000000u);
	CHECK(test_now_ns() - start < (uint64_t)scale_ms(2000) * 1000000u);
	sess_close(&a);
}

static const struct check_case cases[] = {
	{"open_close", open_close, 0},
	{"blob_rules", blob_rules, 0},
	{"bound_elsewhere", bound_elsewhere, 0},
	{"port_range", port_range, 0},
	{"described", described, 0},
	{"rails_in_statistics", rails_in_statistics, 0},
	{"self_described", self_described, 0},
	{"lost_described", lost_described, 0},
	{"not_utf8", not_utf8, 0},
	{"no_events", no_events, 0},
	{"limits_described", limits_described, 0},
	{"transports", transports, 0},
	{"signals_are_the_programs", signals_are_the_programs, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
