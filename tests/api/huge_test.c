/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transfers of up to a tebibyte, without as much memory: the same range named
 * again and again, or a range that is only reserved.
 */
#include <sys/mman.h>

#include "check.h"
#include "support/scale.h"
#include "support/sess.h"

#define RW (TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE)
#define PIECE (2u << 20)
#define RANGE (2 * PIECE)
#define ENOUGH (64u << 20) /* to see that it moves */
#define SOON scale_ms(60000)

struct both {
	struct pair pair;
	struct region here, there;
	uint64_t local, remote;
};

static void both_open(struct both *t)
{
	pair_open(&t->pair, PAIR_TWO, NULL);
	region_init(&t->here, RANGE, 1);
	region_init(&t->there, RANGE, 2);
	t->local = sess_register(t->pair.a, &t->here, 0);
	t->remote = sess_share(
		t->pair.b, sess_register(t->pair.b, &t->there, RW), t->pair.a);
}

static void both_close(struct both *t)
{
	pair_close(&t->pair);
	region_fini(&t->here);
	region_fini(&t->there);
}

/* n pieces, all of the first half, but for the last one: the second half. */
static uint64_t make_list(struct both *t, enum tcpx_op op, size_t n)
{
	struct tcpx_segment *list = calloc(n, sizeof(*list));
	uint64_t xfer;

	CHECK(list);
	for (size_t i = 0; i < n; i++) {
		uint64_t off = i + 1 == n ? PIECE : 0;

		list[i] = (struct tcpx_segment){t->local, off, t->remote, off,
						PIECE};
	}
	xfer = xfer_make(t->pair.a, t->pair.ab, op, list, n, 0);
	free(list);
	return xfer;
}

static struct tcpx_xfer_info query(struct sess *sess, uint64_t xfer)
{
	struct tcpx_xfer_info info;

	CHECK_STATUS(tcpx_xfer_query(sess->s, xfer, &info), TCPX_OK);
	return info;
}

/* Posted, seen to move, and released in mid-flight. */
static void move_some(struct sess *sess, uint64_t xfer, bool is_read)
{
	uint64_t start = test_now_ns(), ms;
	struct tcpx_xfer_info info;

	info = query(sess, xfer);
	CHECK_EQ(info.total_bytes, TCPX_XFER_MAX);
	CHECK_STATUS(tcpx_xfer_post(sess->s, xfer, NULL), TCPX_OK);
	do {
		CHECK_STATUS(tcpx_xfer_test(sess->s, xfer), TCPX_INPROGRESS);
		test_sleep_ms(1);
		info = query(sess, xfer);
		ms = (test_now_ns() - start) / 1000000;
		CHECK(ms < (uint64_t)SOON);
		/* How far a WRITE is, only the other side knows. */
	} while (is_read ? info.moved_bytes < ENOUGH : ms < 200);
	CHECK_STATUS(tcpx_xfer_release(sess->s, xfer), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_test(sess->s, xfer), TCPX_ENOENT);
}

/* A transfer that comes after it is served, to the last byte. */
static void goes_on(struct both *t)
{
	uint64_t xfer = make_list(t, TCPX_OP_WRITE, 2);

	pattern_fill(t->here.data, RANGE, 5, 0);
	CHECK_STATUS(tcpx_xfer_post(t->pair.a->s, xfer, NULL), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_wait(t->pair.a->s, xfer, SOON), TCPX_OK);
	pattern_fill(t->there.want, RANGE, 5, 0);
	CHECK(region_check(&t->there, "there"));
	CHECK_STATUS(tcpx_xfer_release(t->pair.a->s, xfer), TCPX_OK);
}

static void tebibyte_of_pieces(void)
{
	struct both t;

	both_open(&t);
	for (int i = 0; i < 2; i++) {
		enum tcpx_op op = i ? TCPX_OP_READ : TCPX_OP_WRITE;
		uint64_t xfer = make_list(&t, op, TCPX_XFER_MAX / PIECE);

		move_some(t.pair.a, xfer, i);
		goes_on(&t);
	}
	both_close(&t);
}

/* Positions beyond 32 bits: what lies behind 4 GiB of the list arrives where
 * it belongs, and is counted. */
static void beyond_4_gib(void)
{
	size_t n = (4ull << 30) / PIECE + 9;
	struct both t;

	both_open(&t);
	for (int i = 0; i < 2; i++) {
		struct region *from = i ? &t.there : &t.here;
		struct region *to = i ? &t.here : &t.there;
		uint64_t xfer =
			make_list(&t, i ? TCPX_OP_READ : TCPX_OP_WRITE, n);
		struct tcpx_xfer_info info;

		pattern_fill(from->data, RANGE, 7 + (uint64_t)i, 0);
		CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, xfer, NULL), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_wait(t.pair.a->s, xfer, SOON), TCPX_OK);
		memcpy(to->want, from->data, RANGE);
		CHECK(region_check(to, i ? "here" : "there"));
		info = query(t.pair.a, xfer);
		CHECK_EQ(info.total_bytes, n * (uint64_t)PIECE);
		CHECK_EQ(info.moved_bytes, n * (uint64_t)PIECE);
		CHECK_STATUS(tcpx_xfer_release(t.pair.a->s, xfer), TCPX_OK);
	}
	both_close(&t);
}

static uint8_t *reserve(uint64_t len_bytes)
{
	void *at = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		SKIP("no address space of that length to be had");
	return at;
}

/* One segment of all of a range of a tebibyte; and its last bytes alone. */
static void tebibyte_of_range(void)
{
	const uint64_t len = TCPX_XFER_MAX;
	uint8_t *from, *to, want[10000];
	struct region src, dst;
	uint64_t local, remote, xfer;
	struct pair pair;

	if (scale_tsan())
		SKIP("a thread checker keeps a shadow of all of it");
	from = reserve(len);
	to = reserve(len);
	src = (struct region){.data = from, .len_bytes = len};
	dst = (struct region){.data = to, .len_bytes = len};
	pair_open(&pair, PAIR_TWO, NULL);
	local = sess_register(pair.a, &src, 0);
	remote = sess_share(pair.b, sess_register(pair.b, &dst, RW), pair.a);
	xfer = xfer_one(pair.a, pair.ab, TCPX_OP_WRITE, local, 0, remote, 0,
			len);
	move_some(pair.a, xfer, false);
	pattern_fill(want, sizeof(want), 3, 0);
	memcpy(from + len - sizeof(want), want, sizeof(want));
	xfer = xfer_one(pair.a, pair.ab, TCPX_OP_WRITE, local,
			len - sizeof(want), remote, len - sizeof(want),
			sizeof(want));
	CHECK_STATUS(tcpx_xfer_post(pair.a->s, xfer, NULL), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_wait(pair.a->s, xfer, SOON), TCPX_OK);
	CHECK_MEM(to + len - sizeof(want), want, sizeof(want));
	pair_close(&pair);
	munmap(from, len);
	munmap(to, len);
}

/* More transfers at once than the target keeps lists for: the rest wait, and
 * posted again they send their lists again. */
static void more_lists_than_are_kept(void)
{
	enum { N = 40000, LEN = 8200 };
	static uint64_t xfers[N];
	struct both t;

	both_open(&t);
	for (uint64_t i = 0; i < N; i++)
		xfers[i] = xfer_one(t.pair.a, t.pair.ab, TCPX_OP_WRITE, t.local,
				    i * 64, t.remote, i * 64, LEN);
	for (int round = 0; round < 2; round++) {
		pattern_fill(t.here.data, RANGE, 40 + (uint64_t)round, 0);
		for (size_t i = 0; i < N; i++)
			CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, xfers[i],
						    NULL),
				     TCPX_OK);
		for (size_t i = 0; i < N; i++)
			CHECK_STATUS(tcpx_xfer_wait(t.pair.a->s, xfers[i],
						    SOON),
				     TCPX_OK);
		region_want(&t.there, 0, (N - 1) * 64 + LEN,
			    40 + (uint64_t)round, 0);
		CHECK(region_check(&t.there, "there"));
	}
	both_close(&t);
}

static const struct check_case cases[] = {
	{"tebibyte_of_pieces", tebibyte_of_pieces, 90},
	{"beyond_4_gib", beyond_4_gib, 120},
	{"tebibyte_of_range", tebibyte_of_range, 60},
	{"more_lists_than_are_kept", more_lists_than_are_kept, 120},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
