/* SPDX-License-Identifier: Apache-2.0 */
/* Finding each other: blobs, addresses, both at once, refusals, goodbyes. */
#include <arpa/inet.h>
#include <malloc.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "check.h"
#include "support/scale.h"
#include "support/sess.h"

static void broken_blobs(void)
{
	char blob[TCPX_BLOB_MAX], bad[TCPX_BLOB_MAX];
	uint64_t peer = 77, seed = check_seed();
	struct sess sess;
	size_t len;

	sess_open(&sess, "n", NULL);
	CHECK_STATUS(tcpx_session_blob(sess.s, blob, sizeof(blob), &len),
		     TCPX_OK);
	for (size_t cut = 0; cut < len; cut++)
		CHECK(tcpx_peer_connect(sess.s, blob, cut, &peer) < 0);
	for (int i = 0; i < 2000; i++) {
		memcpy(bad, blob, len);
		bad[check_rand(&seed) % len] ^= 1 << check_rand(&seed) % 8;
		CHECK(tcpx_peer_connect(sess.s, bad, len, &peer) < 0);
	}
	memset(bad, 0, sizeof(bad));
	CHECK_STATUS(tcpx_peer_connect(sess.s, bad, sizeof(bad), &peer),
		     TCPX_EINVAL);
	CHECK_EQ(peer, 77);
	sess_close(&sess);
}

static void notify_both_ways(struct pair *pair)
{
	struct tcpx_notification *note;

	CHECK_STATUS(tcpx_notify_send(pair->a->s, pair->ab, "ping", 4),
		     TCPX_OK);
	CHECK_STATUS(pair_wait_note(pair, pair->b, &note, scale_ms(5000)),
		     TCPX_OK);
	CHECK_EQ(note->peer, pair->ba);
	CHECK_STR(note->name, "a");
	CHECK_EQ(note->len_bytes, 4);
	CHECK_MEM(note->data, "ping", 4);
	tcpx_notify_free(note);
	CHECK_STATUS(tcpx_notify_send(pair->b->s, pair->ba, "pong", 4),
		     TCPX_OK);
	CHECK_STATUS(pair_wait_note(pair, pair->a, &note, scale_ms(5000)),
		     TCPX_OK);
	CHECK_EQ(note->peer, pair->ab);
	CHECK_MEM(note->data, "pong", 4);
	tcpx_notify_free(note);
}

static void connect_kind(enum pair_kind kind)
{
	struct pair pair;

	pair_open(&pair, kind, NULL);
	notify_both_ways(&pair);
	CHECK_EQ(sess_warnings(pair.a) + sess_warnings(pair.b), 0);
	pair_close(&pair);
}

static void connect_blob(void)
{
	connect_kind(PAIR_TWO);
}

static void connect_self(void)
{
	connect_kind(PAIR_SELF);
}

static void connect_driven(void)
{
	connect_kind(PAIR_DRIVEN);
}

static void tweak_secret(struct tcpx_config *config)
{
	config->secret = "correct horse";
	config->connect_timeout_ms = 3000;
}

static void tweak_other_secret(struct tcpx_config *config)
{
	config->secret = "battery staple";
}

static int connect_host(struct sess *from, const char *host, uint16_t port)
{
	char address[64];
	uint64_t peer;
	int status;

	snprintf(address, sizeof(address), "%s:%u", host, port);
	status = tcpx_peer_connect_address(from->s, address, &peer);
	if (status)
		return status;
	status = tcpx_peer_wait(from->s, peer, scale_ms(8000));
	fprintf(stderr, "%s: %s\n", address, tcpx_status_name(status));
	CHECK_STATUS(tcpx_peer_disconnect(from->s, peer), TCPX_OK);
	return status;
}

static void connect_address(void)
{
	struct sess a, b;

	sess_open(&a, "a", tweak_secret);
	sess_open(&b, "b", tweak_secret);
	CHECK_STATUS(connect_host(&a, "127.0.0.1", tcpx_session_port(b.s)),
		     TCPX_OK);
	CHECK_STATUS(connect_host(&a, "localhost", tcpx_session_port(b.s)),
		     TCPX_OK);
	sess_close(&a);
	sess_close(&b);
}

static bool have_ipv6(void)
{
	struct sockaddr_in6 addr = {.sin6_family = AF_INET6,
				    .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	bool ok = fd >= 0 && !bind(fd, (void *)&addr, sizeof(addr));

	if (fd >= 0)
		close(fd);
	return ok;
}

static void connect_ipv6(void)
{
	struct sess a, b;

	if (!have_ipv6())
		SKIP("no IPv6 on loopback");
	sess_open(&a, "a", tweak_secret);
	sess_open(&b, "b", tweak_secret);
	CHECK_STATUS(connect_host(&a, "[::1]", tcpx_session_port(b.s)),
		     TCPX_OK);
	sess_close(&a);
	sess_close(&b);
}

static const char *self_bind, *self_advertise;

static void tweak_self(struct tcpx_config *config)
{
	config->bind = self_bind;
	config->advertise = self_advertise;
	/* More than one flow, and soon over where one leads nowhere. */
	config->n_flows = 2;
	config->connect_timeout_ms = 3000;
}

static void self_behind(const char *bind, const char *advertise)
{
	struct pair pair;

	self_bind = bind;
	self_advertise = advertise;
	pair_open(&pair, PAIR_SELF, tweak_self);
	notify_both_ways(&pair);
	CHECK(!sess_logged(pair.a, "peer a"));
	pair_close(&pair);
}

/* What is advertised leads here from outside only: to an address for
 * documentation there is no way at all. */
static void connect_self_advertised(void)
{
	self_behind(NULL, "203.0.113.7");
	self_behind(NULL, "203.0.113.7:9");
	self_behind("127.0.0.1", "203.0.113.7");
	/* Not at the address of the rail, which is lo's 127.0.0.1. */
	self_behind("127.0.0.2", "203.0.113.7");
	self_behind("127.0.0.2", NULL);
	self_behind("0.0.0.0", "2001:db8::7");
	if (have_ipv6())
		self_behind("::1", "203.0.113.7");
}

/* A port of its own that is advertised is the one that is connected to. */
static void advertised_port(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	char forwarded[64], blob[TCPX_BLOB_MAX];
	struct sess a, b;
	size_t blob_len;
	uint64_t peer;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0);
	CHECK_EQ(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	CHECK_EQ(listen(fd, 1), 0);
	CHECK_EQ(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	snprintf(forwarded, sizeof(forwarded), "127.0.0.1:%u",
		 ntohs(in.sin_port));
	self_bind = NULL;
	self_advertise = forwarded;
	sess_open(&a, "a", NULL);
	sess_open(&b, "b", tweak_self);
	CHECK(tcpx_session_port(b.s) != ntohs(in.sin_port));
	CHECK_STATUS(tcpx_session_blob(b.s, blob, sizeof(blob), &blob_len),
		     TCPX_OK);
	CHECK_STATUS(tcpx_peer_connect(a.s, blob, blob_len, &peer), TCPX_OK);
	int came = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	CHECK(came >= 0);
	close(came);
	close(fd);
	CHECK_STATUS(tcpx_peer_disconnect(a.s, peer), TCPX_OK);
	sess_close(&a);
	sess_close(&b);
}

static void wrong_secret(void)
{
	static struct sess a, b, c, d;

	sess_open(&a, "a", tweak_secret);
	sess_open(&b, "b", tweak_other_secret);
	sess_open(&c, "c", NULL);
	sess_open(&d, "d", tweak_secret);
	CHECK_STATUS(connect_host(&a, "127.0.0.1", tcpx_session_port(b.s)),
		     TCPX_EAUTH);
	/* A listener without a shared secret lets nobody in by address. */
	CHECK_EQ(tcpx_status_scope(
			 connect_host(&a, "127.0.0.1", tcpx_session_port(c.s))),
		 TCPX_SCOPE_PEER);
	CHECK_STATUS(connect_host(&a, "127.0.0.1", tcpx_session_port(d.s)),
		     TCPX_OK);
	sess_close(&a);
	sess_close(&b);
	sess_close(&c);
	sess_close(&d);
}

static void bad_addresses(void)
{
	static const char *const bad[] = {
		"",	      ":",	     "127.0.0.1",
		"127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536",
		"::1:80",     "[::1]",	     "[::1:80",
		"host:port",  "a:1:2",	     "127.0.0.1:8x",
	};
	struct sess a;
	uint64_t peer;

	sess_open(&a, "a", tweak_secret);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		fprintf(stderr, "\"%s\"\n", bad[i]);
		CHECK_STATUS(tcpx_peer_connect_address(a.s, bad[i], &peer),
			     TCPX_EINVAL);
	}
	sess_close(&a);
}

/* A port that nobody listens on, and stays so while the fd is open. */
static int closed_port(uint16_t *port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(fd >= 0 && !bind(fd, (void *)&addr, sizeof(addr)));
	CHECK(!getsockname(fd, (void *)&addr, &len));
	*port = ntohs(addr.sin_port);
	return fd;
}

static void tweak_short(struct tcpx_config *config)
{
	config->secret = "correct horse";
	config->connect_timeout_ms = 500;
}

static void refused(void)
{
	struct tcpx_event event;
	struct sess a;
	uint16_t port;
	int fd = closed_port(&port);

	sess_open(&a, "a", tweak_short);
	CHECK_STATUS(connect_host(&a, "127.0.0.1", port), TCPX_EREFUSED);
	while (!tcpx_event_poll(a.s, &event))
		CHECK(event.kind != TCPX_EVENT_PEER_CONNECTED);
	sess_close(&a);
	close(fd);
}

static void unknown_host(void)
{
	struct sess a;
	int status;

	sess_open(&a, "a", tweak_short);
	status = connect_host(&a, "no-such-host.invalid", 9);
	CHECK_EQ(tcpx_status_scope(status), TCPX_SCOPE_PEER);
	sess_close(&a);
}

static uint16_t fixed_port;

static void tweak_fixed(struct tcpx_config *config)
{
	config->port_first = config->port_last = fixed_port;
	config->connect_timeout_ms = 1000;
}

/* The old blob must not open the new session that took the old one's port,
 * and the new one, of the same name, is another peer. */
static void restart_same_name(void)
{
	struct sess a, b;
	char old_blob[TCPX_BLOB_MAX];
	uint64_t first, second, old;
	size_t len;
	int status;

	sess_open(&a, "a", tweak_short);
	sess_open(&b, "b", NULL);
	fixed_port = tcpx_session_port(b.s);
	CHECK_STATUS(tcpx_session_blob(b.s, old_blob, sizeof(old_blob), &len),
		     TCPX_OK);
	first = sess_connect(&a, &b);
	sess_close(&b);
	/* Until a knows that b is gone, its old peer would be found. */
	while (!tcpx_peer_wait(a.s, first, 0))
		test_sleep_ms(1);
	sess_open(&b, "b", tweak_fixed);
	CHECK_STATUS(tcpx_peer_connect(a.s, old_blob, len, &old), TCPX_OK);
	status = tcpx_peer_wait(a.s, old, scale_ms(4000));
	CHECK_EQ(tcpx_status_scope(status), TCPX_SCOPE_PEER);
	second = sess_connect(&a, &b);
	CHECK(second != first && second != old);
	CHECK_STATUS(tcpx_peer_find(a.s, "b", &first), TCPX_OK);
	CHECK_EQ(first, second);
	sess_close(&a);
	sess_close(&b);
}

struct dial {
	struct sess *from;
	char blob[TCPX_BLOB_MAX];
	size_t len;
	char address[32]; /* instead of the blob, if not empty */
	uint64_t peer;
	unsigned int late_us;
	pthread_barrier_t *start;
};

static int dial_start(struct dial *dial)
{
	if (dial->address[0])
		return tcpx_peer_connect_address(dial->from->s, dial->address,
						 &dial->peer);
	return tcpx_peer_connect(dial->from->s, dial->blob, dial->len,
				 &dial->peer);
}

static void *dial_thread(void *arg)
{
	struct dial *dial = arg;

	pthread_barrier_wait(dial->start);
	usleep(dial->late_us);
	CHECK_STATUS(dial_start(dial), TCPX_OK);
	CHECK_STATUS(tcpx_peer_wait(dial->from->s, dial->peer, scale_ms(8000)),
		     TCPX_OK);
	return NULL;
}

static size_t count_connected(struct sess *sess, uint64_t peer)
{
	struct tcpx_event event;
	size_t n = 0;

	while (!tcpx_event_poll(sess->s, &event)) {
		CHECK_EQ(event.kind, TCPX_EVENT_PEER_CONNECTED);
		CHECK_EQ(event.peer, peer);
		n++;
	}
	return n;
}

/* Both of a pair connect, each in a thread of its own. */
static void dial_both(struct pair *pair, struct dial dials[2])
{
	pthread_barrier_t start;
	pthread_t thread;

	pthread_barrier_init(&start, NULL, 2);
	for (int i = 0; i < 2; i++) {
		struct sess *to = i ? pair->a : pair->b;

		dials[i].from = i ? pair->b : pair->a;
		dials[i].start = &start;
		CHECK_STATUS(tcpx_session_blob(to->s, dials[i].blob,
					       TCPX_BLOB_MAX, &dials[i].len),
			     TCPX_OK);
	}
	CHECK(!pthread_create(&thread, NULL, dial_thread, &dials[0]));
	dial_thread(&dials[1]);
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&start);
	pair->ab = dials[0].peer;
	pair->ba = dials[1].peer;
}

/* Whatever the order of things was: one peer on each side, known by the one
 * handle that its program asked for. */
static void one_peer_each(struct pair *pair)
{
	notify_both_ways(pair);
	test_sleep_ms(20);
	CHECK_EQ(count_connected(pair->a, pair->ab), 1);
	CHECK_EQ(count_connected(pair->b, pair->ba), 1);
	notify_both_ways(pair);
	CHECK_EQ(sess_warnings(pair->a) + sess_warnings(pair->b), 0);
}

static void open_both(struct pair *pair, sess_tweak_fn tweak)
{
	pair->a = &pair->first;
	pair->b = &pair->second;
	sess_open(pair->a, "a", tweak);
	sess_open(pair->b, "b", tweak);
}

static void both_at_once(void)
{
	size_t n = scale_count(30);

	for (size_t i = 0; i < n; i++) {
		struct dial dials[2] = {{.late_us = 0}};
		struct pair pair;

		open_both(&pair, NULL);
		dial_both(&pair, dials);
		one_peer_each(&pair);
		pair_close(&pair);
	}
}

static void address_of(struct sess *sess, char address[32])
{
	snprintf(address, 32, "127.0.0.1:%u", tcpx_session_port(sess->s));
}

/* The same by host:port, one of them up to 2 ms late, so that it starts
 * before, during and after the other's handshake; or only one by host:port. */
static void crossing_round(struct pair *pair, size_t i, uint64_t *seed)
{
	struct dial dials[2] = {{.late_us = 0}};
	struct tcpx_event event;
	uint64_t found;

	address_of(pair->b, dials[0].address);
	if (i % 4)
		address_of(pair->a, dials[1].address);
	if (i % 8)
		dials[check_rand(seed) % 2].late_us = check_rand(seed) % 2000;
	dial_both(pair, dials);
	one_peer_each(pair);
	CHECK_STATUS(tcpx_peer_find(pair->a->s, "b", &found), TCPX_OK);
	CHECK_EQ(found, pair->ab);
	CHECK_STATUS(tcpx_peer_disconnect(pair->a->s, pair->ab), TCPX_OK);
	CHECK_STATUS(tcpx_peer_disconnect(pair->b->s, pair->ba), TCPX_OK);
	while (!tcpx_event_poll(pair->a->s, &event) ||
	       !tcpx_event_poll(pair->b->s, &event))
		continue; /* of what has just ended */
}

static void both_at_once_address(void)
{
	size_t n = scale_count(240);
	uint64_t seed = check_seed();
	struct pair pair;

	for (size_t i = 0; i < n; i++) {
		/* Of two sessions always the same one goes first. */
		if (i % 30 == 0)
			open_both(&pair, tweak_secret);
		crossing_round(&pair, i, &seed);
		if (i % 30 == 29 || i + 1 == n)
			pair_close(&pair);
	}
}

static void expect_event(struct sess *sess, enum tcpx_event_kind kind,
			 uint64_t peer)
{
	struct tcpx_event event;

	/* Flows may end before the goodbye is read. */
	do {
		CHECK_STATUS(tcpx_event_wait(sess->s, &event, scale_ms(5000)),
			     TCPX_OK);
	} while (event.kind == TCPX_EVENT_FLOW_LOST);
	CHECK_EQ(event.kind, kind);
	CHECK_EQ(event.peer, peer);
}

/* Who was connected to, and has seen it, connects by host:port: one more
 * handle of the same peer. */
static void alias(void)
{
	struct tcpx_event event;
	uint64_t own, again;
	struct pair pair;
	char address[32];

	open_both(&pair, tweak_secret);
	pair.ab = sess_connect(pair.a, pair.b);
	CHECK_STATUS(tcpx_event_wait(pair.b->s, &event, scale_ms(5000)),
		     TCPX_OK);
	pair.ba = event.peer;
	notify_both_ways(&pair);
	address_of(pair.a, address);
	CHECK_STATUS(tcpx_peer_connect_address(pair.b->s, address, &own),
		     TCPX_OK);
	CHECK_STATUS(tcpx_peer_wait(pair.b->s, own, scale_ms(8000)), TCPX_OK);
	expect_event(pair.b, TCPX_EVENT_PEER_CONNECTED, own);
	CHECK(own != pair.ba);
	/* Both name it, and it is told by the one that was asked for. */
	CHECK_STATUS(tcpx_notify_send(pair.b->s, pair.ba, "x", 1), TCPX_OK);
	CHECK_STATUS(tcpx_peer_wait(pair.b->s, pair.ba, 0), TCPX_OK);
	pair.ba = own;
	struct tcpx_notification *note;

	CHECK_STATUS(tcpx_notify_wait(pair.a->s, &note, scale_ms(5000)),
		     TCPX_OK);
	tcpx_notify_free(note);
	notify_both_ways(&pair);
	CHECK_STATUS(tcpx_peer_connect_address(pair.b->s, address, &again),
		     TCPX_OK);
	CHECK_EQ(again, own);
	CHECK_STATUS(tcpx_peer_disconnect(pair.b->s, again), TCPX_OK);
	notify_both_ways(&pair);
	/* The loss is told of each handle, and one disconnect ends both. */
	CHECK_STATUS(tcpx_peer_disconnect(pair.a->s, pair.ab), TCPX_OK);
	expect_event(pair.b, TCPX_EVENT_PEER_LOST, event.peer);
	expect_event(pair.b, TCPX_EVENT_PEER_LOST, own);
	CHECK_STATUS(tcpx_peer_wait(pair.b->s, own, 0), TCPX_ECLOSED);
	CHECK_STATUS(tcpx_peer_disconnect(pair.b->s, own), TCPX_OK);
	CHECK_STATUS(tcpx_peer_wait(pair.b->s, own, 0), TCPX_ENOENT);
	CHECK_STATUS(tcpx_peer_wait(pair.b->s, event.peer, 0), TCPX_ENOENT);
	pair_close(&pair);
}

/* The same session by two names is one peer too, oneself included. */
static void two_addresses(void)
{
	struct sess a, b;

	sess_open(&a, "a", tweak_secret);
	sess_open(&b, "b", tweak_secret);
	for (int i = 0; i < 2; i++) {
		struct sess *to = i ? &a : &b;
		uint64_t peers[2];
		char address[32];

		address_of(to, address);
		CHECK_STATUS(tcpx_peer_connect_address(a.s, address, &peers[0]),
			     TCPX_OK);
		snprintf(address, sizeof(address), "localhost:%u",
			 tcpx_session_port(to->s));
		CHECK_STATUS(tcpx_peer_connect_address(a.s, address, &peers[1]),
			     TCPX_OK);
		for (int k = 0; k < 2; k++)
			CHECK_STATUS(tcpx_peer_wait(a.s, peers[k],
						    scale_ms(8000)),
				     TCPX_OK);
		for (int k = 0; k < 2; k++) {
			CHECK_STATUS(tcpx_peer_disconnect(a.s, peers[0]),
				     TCPX_OK);
			CHECK_STATUS(tcpx_peer_wait(a.s, peers[1], 0),
				     k ? TCPX_ENOENT : TCPX_OK);
		}
	}
	/* Of the handles that were none any more, and of nothing else. */
	CHECK_EQ(sess_warnings(&a), 2);
	CHECK(sess_logged(&a, "no such peer (any more)"));
	CHECK_EQ(sess_warnings(&b), 0);
	sess_close(&a);
	sess_close(&b);
}

/* Each successful connect is undone by one disconnect. */
static void connect_twice(void)
{
	struct pair pair;
	uint64_t again;

	pair_open(&pair, PAIR_TWO, NULL);
	again = sess_connect(pair.a, pair.b);
	CHECK_EQ(again, pair.ab);
	CHECK_STATUS(tcpx_peer_disconnect(pair.a->s, pair.ab), TCPX_OK);
	notify_both_ways(&pair);
	CHECK_STATUS(tcpx_peer_disconnect(pair.a->s, pair.ab), TCPX_OK);
	CHECK_STATUS(tcpx_peer_disconnect(pair.a->s, pair.ab), TCPX_ENOENT);
	CHECK_STATUS(tcpx_notify_send(pair.a->s, pair.ab, "x", 1), TCPX_ENOENT);
	pair_close(&pair);
}

static void wait_lost(struct pair *pair, struct sess *sess, uint64_t peer)
{
	struct tcpx_event event;

	do {
		CHECK_STATUS(pair_wait_event(pair, sess, &event,
					     scale_ms(5000)),
			     TCPX_OK);
	} while (event.kind != TCPX_EVENT_PEER_LOST);
	CHECK_EQ(event.peer, peer);
	fprintf(stderr, "lost: %s\n", event.cause);
	CHECK_STATUS(event.status, TCPX_ECLOSED);
	CHECK(event.cause[0]);
}

static void goodbye(void)
{
	struct pair pair;
	uint64_t found;

	pair_open(&pair, PAIR_TWO, NULL);
	CHECK_STATUS(tcpx_peer_disconnect(pair.a->s, pair.ab), TCPX_OK);
	CHECK_STATUS(tcpx_peer_wait(pair.a->s, pair.ab, 0), TCPX_ENOENT);
	wait_lost(&pair, pair.b, pair.ba);
	CHECK_STATUS(tcpx_peer_wait(pair.b->s, pair.ba, 0), TCPX_ECLOSED);
	CHECK_STATUS(tcpx_peer_disconnect(pair.b->s, pair.ba), TCPX_OK);
	CHECK_STATUS(tcpx_peer_wait(pair.b->s, pair.ba, 0), TCPX_ENOENT);
	CHECK_STATUS(tcpx_peer_find(pair.b->s, "a", &found), TCPX_ENOENT);
	/* And it can be done again. */
	pair.ab = sess_connect(pair.a, pair.b);
	CHECK_STATUS(tcpx_peer_find(pair.b->s, "a", &pair.ba), TCPX_OK);
	notify_both_ways(&pair);
	pair_close(&pair);
}

static void session_closed(void)
{
	struct pair pair;

	pair_open(&pair, PAIR_TWO, NULL);
	sess_close(pair.a);
	wait_lost(&pair, pair.b, pair.ba);
	sess_close(pair.b);
}

/* ---- what lost peers keep ---- */

#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
static bool allocated(size_t *bytes)
{
	struct mallinfo2 info = mallinfo2();

	*bytes = info.uordblks + info.hblkhd;
	return !scale_sanitized();
}
#else
static bool allocated(size_t *bytes)
{
	*bytes = 0;
	return false;
}
#endif

/* One comes, writes and reads by its flows, speaks, and goes. */
static uint64_t come_and_go(struct sess *host, uint64_t mem,
			    struct region *region)
{
	struct tcpx_notification *note;
	struct tcpx_event event;
	struct sess guest;

	sess_open(&guest, "guest", NULL);
	uint64_t peer = sess_connect(&guest, host);
	uint64_t local = sess_register(&guest, region, 0);
	uint64_t remote = sess_share(host, mem, &guest);
	const enum tcpx_op ops[] = {TCPX_OP_WRITE, TCPX_OP_READ};

	for (int i = 0; i < 2; i++) {
		uint64_t xfer = xfer_one(&guest, peer, ops[i], local, 0, remote,
					 0, region->len_bytes);

		CHECK_STATUS(tcpx_xfer_post(guest.s, xfer, NULL), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_wait(guest.s, xfer, scale_ms(5000)),
			     TCPX_OK);
	}
	CHECK_STATUS(tcpx_notify_send(guest.s, peer, "hello", 5), TCPX_OK);
	CHECK_STATUS(tcpx_notify_wait(host->s, &note, scale_ms(5000)), TCPX_OK);
	CHECK_STATUS(tcpx_notify_send(host->s, note->peer, "hello", 5),
		     TCPX_OK);
	uint64_t lost = note->peer;

	tcpx_notify_free(note);
	CHECK_STATUS(tcpx_notify_wait(guest.s, &note, scale_ms(5000)), TCPX_OK);
	tcpx_notify_free(note);
	sess_close(&guest);
	do
		CHECK_STATUS(tcpx_event_wait(host->s, &event, scale_ms(5000)),
			     TCPX_OK);
	while (event.kind != TCPX_EVENT_PEER_LOST);
	CHECK_EQ(event.peer, lost);
	return lost;
}

/* A program that never gives a handle up keeps a few KiB for each. */
static void lost_peers_are_light(void)
{
	enum { MANY = 200, FIRST = 20, LIGHT_BYTES = 12 << 10 };
	static uint64_t lost[FIRST + MANY];
	size_t n = scale_count(MANY), before, after, len;
	uint64_t end = test_now_ns() + (uint64_t)scale_ms(10000) * 1000000u;
	static char text[1 << 20];
	struct region here, there;
	struct sess host;

	sess_open(&host, "host", NULL);
	region_init(&here, 256 << 10, 1);
	region_init(&there, 256 << 10, 2);
	uint64_t mem = sess_register(&host, &here,
				     TCPX_ACCESS_REMOTE_WRITE |
					     TCPX_ACCESS_REMOTE_READ);

	for (size_t i = 0; i < FIRST; i++)
		lost[i] = come_and_go(&host, mem, &there);
	bool can_tell = allocated(&before);

	for (size_t i = 0; i < n; i++)
		lost[FIRST + i] = come_and_go(&host, mem, &there);
	/* What lanes held is given back by those that drive them. */
	while (allocated(&after) && after > before + n * LIGHT_BYTES) {
		CHECK(test_now_ns() < end);
		test_sleep_ms(5);
	}
	if (can_tell)
		fprintf(stderr, "%zu lost peers: %zd bytes each\n", n,
			((ssize_t)after - (ssize_t)before) / (ssize_t)n);
	/* They are described and counted all the same. */
	CHECK_STATUS(tcpx_session_stats_json(host.s, text, sizeof(text), &len),
		     TCPX_OK);
	for (size_t i = 0; i < FIRST + n; i++) {
		CHECK_STATUS(tcpx_peer_wait(host.s, lost[i], 0), TCPX_ECLOSED);
		CHECK_STATUS(tcpx_peer_describe(host.s, lost[i], text,
						sizeof(text), &len),
			     TCPX_OK);
		CHECK(strstr(text, "\"lost\""));
		CHECK_STATUS(tcpx_peer_disconnect(host.s, lost[i]), TCPX_OK);
	}
	sess_close(&host);
	region_fini(&here);
	region_fini(&there);
}

static void tweak_few(struct tcpx_config *config)
{
	config->max_peers = 2;
}

static void too_many_peers(void)
{
	static struct sess a, others[3];
	char blob[TCPX_BLOB_MAX];
	uint64_t peer, theirs;
	size_t len;

	sess_open(&a, "a", tweak_few);
	for (int i = 0; i < 3; i++)
		sess_open(&others[i], "o", NULL);
	sess_connect(&a, &others[0]);
	peer = sess_connect(&a, &others[1]);
	CHECK_STATUS(tcpx_session_blob(others[2].s, blob, sizeof(blob), &len),
		     TCPX_OK);
	CHECK_STATUS(tcpx_peer_connect(a.s, blob, len, &peer), TCPX_EAGAIN);
	sess_must_warn(&a, 1, "cannot connect to o: too many peers");
	/* Nor by them; both sides say so. */
	CHECK_STATUS(tcpx_session_blob(a.s, blob, sizeof(blob), &len), TCPX_OK);
	CHECK_STATUS(tcpx_peer_connect(others[2].s, blob, len, &theirs),
		     TCPX_OK);
	CHECK_STATUS(tcpx_peer_wait(others[2].s, theirs, scale_ms(8000)),
		     TCPX_EREFUSED);
	sess_must_warn(&a, 2, "refused peer o: too many peers");
	sess_must_warn(&others[2], 1, "too many peers");
	CHECK_STATUS(tcpx_peer_disconnect(a.s, peer), TCPX_OK);
	sess_connect(&a, &others[2]);
	sess_close(&a);
	for (int i = 0; i < 3; i++)
		sess_close(&others[i]);
}

/* The far end of a connection to ourselves goes when the near end went: it has
 * no handle that the program could give up. */
static void self_again(void)
{
	uint64_t end = test_now_ns() + (uint64_t)scale_ms(20000) * 1000000u;
	char blob[TCPX_BLOB_MAX];
	uint64_t peer;
	struct sess a;
	size_t len;
	int status;

	sess_open(&a, "a", tweak_few);
	CHECK_STATUS(tcpx_session_blob(a.s, blob, sizeof(blob), &len), TCPX_OK);
	for (int i = 0; i < 3; i += !status) {
		CHECK(test_now_ns() < end);
		CHECK_STATUS(tcpx_peer_connect(a.s, blob, len, &peer), TCPX_OK);
		status = tcpx_peer_wait(a.s, peer, scale_ms(5000));
		CHECK(!status || status == TCPX_EREFUSED);
		CHECK_STATUS(tcpx_peer_disconnect(a.s, peer), TCPX_OK);
		test_sleep_ms(100);
	}
	sess_close(&a);
}

/* A log callback that does not return before it may: whoever drives what it
 * tells of stands still meanwhile. */
static struct {
	_Atomic bool stands, may_go, gave_up;
} holdup;

static void hold_up(void *arg, enum tcpx_log_level level, const char *subsystem,
		    const char *line)
{
	(void)arg;
	(void)level;
	if (strcmp(subsystem, "target") || !strstr(line, "refused a request"))
		return;
	holdup.stands = true;
	for (int i = 0; i < scale_ms(3000) && !holdup.may_go; i++)
		test_sleep_ms(1);
	holdup.gave_up = !holdup.may_go;
}

/* One context a peer, with all of its flows. */
static void tweak_apart(struct tcpx_config *config)
{
	config->n_flows = 1;
	config->n_workers = 2;
}

static void tweak_hold_up(struct tcpx_config *config)
{
	tweak_apart(config);
	config->log_fn = hold_up;
	config->log_level = TCPX_LOG_WARN;
}

/* WRITEs to what is not there any more: whom it asks stands still. */
static void ask_for_what_is_gone(struct sess *from, uint64_t peer,
				 struct sess *to, const struct region *memory,
				 uint64_t local)
{
	uint64_t mem = sess_register(to, memory, TCPX_ACCESS_REMOTE_WRITE);
	uint64_t remote = sess_share(to, mem, from);

	CHECK_STATUS(tcpx_mem_deregister(to->s, mem), TCPX_OK);
	uint64_t xfer =
		xfer_one(from, peer, TCPX_OP_WRITE, local, 0, remote, 0, 64);

	CHECK_STATUS(tcpx_xfer_post(from->s, xfer, NULL), TCPX_OK);
	for (int i = 0; i < scale_ms(5000) && !holdup.stands; i++)
		test_sleep_ms(1);
	CHECK(holdup.stands);
}

/* A region that nothing uses, and a transfer, are let go of without those who
 * have nothing of them. */
static void strangers_are_not_asked(void)
{
	enum { BYTES = 8 << 20, N = 500 };
	static struct tcpx_segment segments[N];
	struct sess us, near, far;
	struct region here, there, spare;
	uint64_t peer, far_peer;

	sess_open(&us, "us", tweak_hold_up);
	sess_open(&near, "near", tweak_apart);
	sess_open(&far, "far", tweak_apart);
	region_init(&here, BYTES, 1);
	region_init(&there, BYTES, 2);
	region_init(&spare, 64, 3);
	peer = sess_connect(&us, &near);
	far_peer = sess_connect(&far, &us);
	uint64_t local = sess_register(&us, &here, TCPX_ACCESS_LOCAL);
	uint64_t unused = sess_register(&us, &spare, TCPX_ACCESS_LOCAL);
	uint64_t remote = sess_share(
		&near, sess_register(&near, &there, TCPX_ACCESS_REMOTE_WRITE),
		&us);

	for (int i = 0; i < N; i++)
		segments[i] = (struct tcpx_segment){local, 0, remote, 0, BYTES};
	uint64_t xfer = xfer_make(&us, peer, TCPX_OP_WRITE, segments, N, 0);

	CHECK_STATUS(tcpx_xfer_post(us.s, xfer, NULL), TCPX_OK);
	ask_for_what_is_gone(&far, far_peer, &us, &spare,
			     sess_register(&far, &spare, TCPX_ACCESS_LOCAL));
	CHECK_STATUS(tcpx_mem_deregister(us.s, unused), TCPX_OK);
	CHECK(!holdup.gave_up);
	CHECK_STATUS(tcpx_xfer_test(us.s, xfer), TCPX_INPROGRESS);
	CHECK_STATUS(tcpx_xfer_release(us.s, xfer), TCPX_OK);
	holdup.may_go = true;
	CHECK(!holdup.gave_up);
	sess_close(&far);
	sess_close(&near);
	sess_close(&us);
	region_fini(&here);
	region_fini(&there);
	region_fini(&spare);
}

static const struct check_case cases[] = {
	{"broken_blobs", broken_blobs, 0},
	{"connect_blob", connect_blob, 0},
	{"connect_self", connect_self, 0},
	{"connect_self_advertised", connect_self_advertised, 60},
	{"advertised_port", advertised_port, 0},
	{"connect_driven", connect_driven, 0},
	{"connect_address", connect_address, 0},
	{"connect_ipv6", connect_ipv6, 0},
	{"wrong_secret", wrong_secret, 60},
	{"bad_addresses", bad_addresses, 0},
	{"refused", refused, 0},
	{"unknown_host", unknown_host, 60},
	{"restart_same_name", restart_same_name, 0},
	{"both_at_once", both_at_once, 60},
	{"both_at_once_address", both_at_once_address, 60},
	{"alias", alias, 0},
	{"two_addresses", two_addresses, 0},
	{"connect_twice", connect_twice, 0},
	{"goodbye", goodbye, 0},
	{"session_closed", session_closed, 0},
	{"lost_peers_are_light", lost_peers_are_light, 90},
	{"too_many_peers", too_many_peers, 0},
	{"self_again", self_again, 60},
	{"strangers_are_not_asked", strangers_are_not_asked, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
