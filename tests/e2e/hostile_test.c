/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strangers at the port: junk, half sentences, silence, slowness, crowds,
 * replays and changes on the way. Each costs them their connection and us a
 * line of log; a real peer is served beside them all the time.
 */
#include <sys/resource.h>

#include "check.h"
#include "e2e/raw.h"
#include "support/proc.h"
#include "support/scale.h"
#include "support/sess.h"
#include "wire/hello.h"

#define RW (TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE)
#define SOON scale_ms(8000)
#define LEN (1u << 20)

/* b is under attack; a is its good peer. */
struct siege {
	struct pair pair;
	struct region src, dst;
	uint64_t xfer;
	uint16_t port;
};

static void tweak(struct tcpx_config *config)
{
	config->secret = "shibboleth";
	config->connect_timeout_ms = 1500;
}

static void siege_open(struct siege *t)
{
	uint64_t local, remote;

	pair_open(&t->pair, PAIR_TWO, tweak);
	region_init(&t->src, LEN, 1);
	region_init(&t->dst, LEN, 2);
	local = sess_register(t->pair.a, &t->src, 0);
	remote = sess_share(t->pair.b, sess_register(t->pair.b, &t->dst, RW),
			    t->pair.a);
	t->xfer = xfer_one(t->pair.a, t->pair.ab, TCPX_OP_WRITE, local, 0,
			   remote, 0, LEN);
	t->port = tcpx_session_port(t->pair.b->s);
}

/* The good peer is served, and nobody else is counted a peer. */
static void still_served(struct siege *t)
{
	struct tcpx_session *s = t->pair.a->s;
	struct tcpx_event event;
	static uint64_t seed = 100;

	pattern_fill(t->src.data, LEN, ++seed, 0);
	CHECK_STATUS(tcpx_xfer_post(s, t->xfer, NULL), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_wait(s, t->xfer, SOON), TCPX_OK);
	pattern_fill(t->dst.want, LEN, seed, 0);
	CHECK(region_check(&t->dst, "dst"));
	while (!tcpx_event_poll(t->pair.b->s, &event))
		CHECK(!"an event of a stranger");
}

static void siege_close(struct siege *t)
{
	still_served(t);
	pair_close(&t->pair);
	region_fini(&t->src);
	region_fini(&t->dst);
}

static void junk(void)
{
	size_t rounds = scale_count(200);
	uint64_t seed = check_seed();
	uint8_t data[9000];
	struct siege t;
	unsigned int lines;

	siege_open(&t);
	for (size_t i = 0; i < rounds; i++) {
		size_t len = 1 + check_rand(&seed) % sizeof(data);
		int fd = raw_connect(t.port);

		CHECK(fd >= 0);
		pattern_fill(data, len, check_rand(&seed), 0);
		raw_send(fd, data, len);
		if (len >= HELLO_HEADER_BYTES)
			CHECK(raw_wait_closed(fd, SOON));
		close(fd);
		if (i % 20 == 0)
			still_served(&t);
	}
	lines = sess_warnings(t.pair.b);
	fprintf(stderr, "%zu connections, %u lines\n", rounds, lines);
	CHECK(lines >= 1 && lines <= rounds + 1);
	siege_close(&t);
}

/* What one client says is one line, and says where it came from. */
static void one_line(void)
{
	struct siege t;
	int fd;

	siege_open(&t);
	fd = raw_connect(t.port);
	raw_send(fd, "GET / HTTP/1.1\r\nHost: here\r\n\r\n", 30);
	CHECK(raw_wait_closed(fd, SOON));
	close(fd);
	sess_must_warn(t.pair.b, 1, "connection from ");
	CHECK(sess_logged(t.pair.b, "127.0.0.1"));
	siege_close(&t);
}

/* A real handshake's first bytes, for those who start well. */
static size_t record_hello(struct siege *t, uint8_t *buf, size_t cap_bytes)
{
	struct proxy *proxy;
	char address[64];
	struct sess good;
	uint16_t port;
	uint64_t peer;
	struct tcpx_event event;
	size_t n;

	proxy = proxy_start(t->port, -1, &port);
	sess_open(&good, "good", tweak);
	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	CHECK_STATUS(tcpx_peer_connect_address(good.s, address, &peer),
		     TCPX_OK);
	CHECK_STATUS(tcpx_peer_wait(good.s, peer, SOON), TCPX_OK);
	n = proxy_recorded(proxy, buf, cap_bytes);
	sess_close(&good);
	proxy_stop(proxy);
	/* Connected, and lost. */
	do {
		CHECK_STATUS(tcpx_event_wait(t->pair.b->s, &event, SOON),
			     TCPX_OK);
	} while (event.kind != TCPX_EVENT_PEER_LOST);
	CHECK(n > 2 * HELLO_HEADER_BYTES + HELLO_MAC_BYTES);
	return n;
}

static size_t hello_bytes(const uint8_t *recorded)
{
	return HELLO_HEADER_BYTES + recorded[6] + 256u * recorded[7];
}

/* Cut anywhere and closed: no answer but silence, nothing kept. */
static void truncated(void)
{
	static uint8_t hello[65536];
	struct siege t;
	size_t n, cut;

	siege_open(&t);
	record_hello(&t, hello, sizeof(hello));
	n = hello_bytes(hello);
	CHECK(n > 50 && n < HELLO_HEADER_BYTES + HELLO_BODY_MAX);
	for (cut = 0; cut < n; cut += 1 + cut / 16) {
		int fd = raw_connect(t.port);

		CHECK(fd >= 0);
		raw_send(fd, hello, cut);
		close(fd);
	}
	siege_close(&t);
}

/* The whole recorded conversation, once more: the listener's nonce is new,
 * so the proof is worth nothing. */
static void replayed(void)
{
	static uint8_t said[65536];
	struct siege t;
	size_t n;

	siege_open(&t);
	n = record_hello(&t, said, sizeof(said));
	still_served(&t);
	for (int i = 0; i < 3; i++) {
		int fd = raw_connect(t.port);
		unsigned int before = sess_warnings(t.pair.b);

		CHECK(fd >= 0);
		raw_send(fd, said, n);
		CHECK(raw_wait_closed(fd, SOON));
		close(fd);
		CHECK_EQ(sess_await_warnings(t.pair.b, before + 1), before + 1);
		still_served(&t);
	}
	siege_close(&t);
}

/* One byte a second may not hold a place longer than the deadline. */
static void slow_sender(void)
{
	static uint8_t hello[65536];
	uint64_t start;
	struct siege t;
	size_t n = 0;
	int fd;

	siege_open(&t);
	record_hello(&t, hello, sizeof(hello));
	start = test_now_ns();
	fd = raw_connect(t.port);
	while (raw_send(fd, hello + n, 1) && !raw_wait_closed(fd, 1000)) {
		n++;
		CHECK(test_now_ns() - start < 15000000000ull);
	}
	fprintf(stderr, "closed after %llu ms\n",
		(unsigned long long)(test_now_ns() - start) / 1000000);
	close(fd);
	siege_close(&t);
}

/* Every byte of the HELLO counts: changed on the way, neither side takes the
 * other for what it is. */
static void tampered(void)
{
	uint64_t seed = check_seed();
	static uint8_t hello[65536];
	size_t rounds = scale_count(40);
	struct siege t;
	long n;

	siege_open(&t);
	record_hello(&t, hello, sizeof(hello));
	n = (long)hello_bytes(hello);
	for (size_t i = 0; i < rounds; i++) {
		long at = i < 12 ? (long)i :
				   (long)(check_rand(&seed) % (uint64_t)n);
		struct proxy *proxy;
		char address[64];
		struct sess good;
		uint16_t port;
		uint64_t peer;
		int status;

		proxy = proxy_start(t.port, at, &port);
		sess_open(&good, "good", tweak);
		snprintf(address, sizeof(address), "127.0.0.1:%u", port);
		CHECK_STATUS(tcpx_peer_connect_address(good.s, address, &peer),
			     TCPX_OK);
		status = tcpx_peer_wait(good.s, peer, SOON);
		if (status >= 0 || status == TCPX_ETIMEDOUT)
			fprintf(stderr, "byte %ld changed\n", at);
		CHECK(status < 0);
		CHECK_EQ(tcpx_status_scope(status), TCPX_SCOPE_PEER);
		sess_close(&good);
		proxy_stop(proxy);
	}
	siege_close(&t);
}

static size_t rss_kib(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	size_t kib = 0;

	CHECK(f);
	while (fgets(line, sizeof(line), f))
		sscanf(line, "VmRSS: %zu", &kib);
	fclose(f);
	return kib;
}

/* In a process of its own: opens n connections and holds them, a third of them
 * silent, a third having said a few bytes, a third a good HELLO, which no PROOF
 * follows; reports when they stand. */
static void crowd(uint16_t port, size_t n, const uint8_t *hello, int report)
{
	struct rlimit limit;
	size_t n_open = 0;

	CHECK(!getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	for (size_t i = 0; i < n; i++) {
		int fd = raw_connect(port);

		if (fd < 0)
			break;
		n_open++;
		if (i % 3 == 1)
			raw_send(fd, "TCXP", 4);
		else if (i % 3 == 2)
			raw_send(fd, hello, hello_bytes(hello));
	}
	CHECK_EQ(write(report, &n_open, sizeof(n_open)), sizeof(n_open));
	for (;;)
		pause();
}

static void half_open_crowd(void)
{
	size_t before, after, n_open = 0, want = 10000;
	static uint8_t hello[65536];
	struct rlimit limit;
	struct siege t;
	struct sess late;
	int report[2];
	uint64_t start;
	pid_t pid;

	CHECK(!getrlimit(RLIMIT_NOFILE, &limit));
	if (limit.rlim_max < want + 100)
		want = limit.rlim_max - 100;
	siege_open(&t);
	record_hello(&t, hello, sizeof(hello));
	still_served(&t);
	before = rss_kib();
	CHECK(!pipe(report));
	pid = fork();
	if (!pid)
		crowd(t.port, want, hello, report[1]);
	/* While they come, a real peer comes too. */
	test_sleep_ms(100);
	sess_open(&late, "late", tweak);
	start = test_now_ns();
	sess_connect(&late, t.pair.b);
	fprintf(stderr, "connected in the crowd after %llu ms\n",
		(unsigned long long)(test_now_ns() - start) / 1000000);
	sess_close(&late);
	CHECK_EQ(read(report[0], &n_open, sizeof(n_open)), sizeof(n_open));
	after = rss_kib();
	fprintf(stderr, "%zu connections, memory %zu -> %zu KiB\n", n_open,
		before, after);
	CHECK(n_open > want / 2);
	if (!scale_sanitized())
		CHECK(after < before + 48 * 1024);
	sess_open(&late, "later", tweak);
	sess_connect(&late, t.pair.b);
	sess_close(&late);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (struct tcpx_event event;
	     !tcpx_event_wait(t.pair.b->s, &event, 100);)
		;
	siege_close(&t);
}

/* Anything after a good HELLO but the proof. */
static void broken_proof(void)
{
	uint64_t seed = check_seed();
	static uint8_t said[65536];
	uint8_t junk_bytes[200];
	struct siege t;
	size_t n;

	siege_open(&t);
	record_hello(&t, said, sizeof(said));
	n = hello_bytes(said);
	for (int i = 0; i < 30; i++) {
		int fd = raw_connect(t.port);
		char answer[8192];

		CHECK(fd >= 0);
		raw_send(fd, said, n);
		CHECK(raw_read(fd, answer, sizeof(answer), SOON) > 0);
		if (i % 3 == 0) {
			/* A proof of the right form. */
			uint8_t frame[HELLO_HEADER_BYTES + HELLO_MAC_BYTES];

			memcpy(frame, said + n, HELLO_HEADER_BYTES);
			pattern_fill(frame + HELLO_HEADER_BYTES,
				     HELLO_MAC_BYTES, check_rand(&seed), 0);
			raw_send(fd, frame, sizeof(frame));
		} else if (i % 3 == 1) {
			raw_send(fd, said, n); /* HELLO again */
		} else {
			pattern_fill(junk_bytes, sizeof(junk_bytes),
				     check_rand(&seed), 0);
			raw_send(fd, junk_bytes, sizeof(junk_bytes));
		}
		CHECK(raw_wait_closed(fd, SOON));
		close(fd);
	}
	siege_close(&t);
}

static const struct check_case cases[] = {
	{"junk", junk, 60},
	{"one_line", one_line, 0},
	{"truncated", truncated, 0},
	{"replayed", replayed, 0},
	{"slow_sender", slow_sender, 60},
	{"tampered", tampered, 120},
	{"half_open_crowd", half_open_crowd, 120},
	{"broken_proof", broken_proof, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
