/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that is not what the program said: not there, not to be written, or
 * taken away while a transfer uses it. The transfer fails, in words and before
 * its deadline; the peer, and whatever else goes on, does not.
 */
#include <string.h>
#include <sys/mman.h>

#include "check.h"
#include "support/scale.h"
#include "support/sess.h"

#define RW (TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE)
#define SOON scale_ms(20000)
#define BIG (8u << 20)

struct both {
	struct pair pair;
	struct region here, there;
	uint64_t local, remote;
};

static uint64_t share(struct pair *pair, const struct region *region)
{
	return sess_share(pair->b, sess_register(pair->b, region, RW), pair->a);
}

static void both_open(struct both *t, enum pair_kind kind)
{
	pair_open(&t->pair, kind, NULL);
	region_init(&t->here, BIG, 1);
	region_init(&t->there, BIG, 2);
	t->local = sess_register(t->pair.a, &t->here, TCPX_ACCESS_LOCAL);
	t->remote = share(&t->pair, &t->there);
}

static void both_close(struct both *t)
{
	pair_close(&t->pair);
	region_fini(&t->here);
	region_fini(&t->there);
}

static int move(struct both *t, enum tcpx_op op, char *cause)
{
	struct sess *a = t->pair.a;
	uint64_t xfer =
		xfer_one(a, t->pair.ab, op, t->local, 0, t->remote, 0, BIG);
	struct tcpx_xfer_info info = {0};
	int status;

	CHECK_STATUS(tcpx_xfer_post(a->s, xfer, NULL), 0);
	status = pair_wait(&t->pair, a, xfer, SOON);
	CHECK_STATUS(tcpx_xfer_query(a->s, xfer, &info), 0);
	if (cause)
		memcpy(cause, info.cause, sizeof(info.cause));
	CHECK_STATUS(tcpx_xfer_release(a->s, xfer), 0);
	return status;
}

/* As good as before, both ways, every byte. */
static void check_healthy(struct both *t)
{
	region_protect(&t->here, PROT_READ | PROT_WRITE);
	region_protect(&t->there, PROT_READ | PROT_WRITE);
	pattern_fill(t->here.data, BIG, 71, 0);
	CHECK_STATUS(move(t, TCPX_OP_WRITE, NULL), 0);
	pattern_fill(t->there.want, BIG, 71, 0);
	CHECK(region_check(&t->there, "there"));
	pattern_fill(t->there.data, BIG, 72, 0);
	CHECK_STATUS(move(t, TCPX_OP_READ, NULL), 0);
	pattern_fill(t->here.want, BIG, 72, 0);
	CHECK(region_check(&t->here, "here"));
}

/* ---- at registration --------------------------------------------------------- */

static int try_register(struct sess *sess, void *base, size_t len_bytes,
			uint32_t access)
{
	uint64_t mem;
	int status = tcpx_mem_register(sess->s, base, len_bytes, access, &mem);

	if (!status)
		CHECK_STATUS(tcpx_mem_deregister(sess->s, mem), 0);
	return status;
}

static void registered(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), len = 16 * page;
	char *map = mmap(NULL, len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct sess sess;

	CHECK(map != MAP_FAILED);
	sess_open(&sess, "a", NULL);
	CHECK_STATUS(try_register(&sess, map + 5, len - 9, RW), 0);
	/* Its end is not there. */
	CHECK(!munmap(map + len - page, page));
	CHECK_STATUS(try_register(&sess, map, len, RW), TCPX_EFAULT);
	CHECK(sess_logged(&sess, "there is no memory there"));
	CHECK_STATUS(try_register(&sess, map, len - page, RW), 0);
	CHECK(!mprotect(map, page, PROT_READ));
	CHECK_STATUS(try_register(&sess, map, page, RW), TCPX_EFAULT);
	CHECK(sess_logged(&sess, "the memory there cannot be written"));
	/* For reading it will do. */
	CHECK_STATUS(try_register(&sess, map, page, TCPX_ACCESS_REMOTE_READ),
		     0);
	CHECK(!munmap(map, page));
	CHECK_STATUS(try_register(&sess, map, len - page, TCPX_ACCESS_LOCAL),
		     TCPX_EFAULT);
	sess_close(&sess);
}

/* ---- in a transfer ----------------------------------------------------------- */

/* Bad memory here, then there, in each direction. */
static void fails(enum pair_kind kind, bool here, enum tcpx_op op, int prot)
{
	char cause[sizeof(((struct tcpx_xfer_info *)0)->cause)];
	struct both t;

	both_open(&t, kind);
	region_protect(here ? &t.here : &t.there, prot);
	CHECK_STATUS(move(&t, op, cause), here ? TCPX_EFAULT : TCPX_EREMOTE);
	CHECK(strstr(cause,
		     op == TCPX_OP_READ ?
			     (here ? "cannot be written" : "cannot be read") :
			     (here ? "cannot be read" : "cannot be written")) !=
	      NULL);
	CHECK(sess_logged(here ? t.pair.a : t.pair.b, "its memory cannot be"));
	check_healthy(&t);
	both_close(&t);
}

static void read_into_what_may_not_be_written(void)
{
	fails(PAIR_TWO, true, TCPX_OP_READ, PROT_READ);
}

static void read_into_nothing(void)
{
	fails(PAIR_DRIVEN, true, TCPX_OP_READ, PROT_NONE);
}

static void write_from_nothing(void)
{
	fails(PAIR_TWO, true, TCPX_OP_WRITE, PROT_NONE);
}

static void read_from_nothing(void)
{
	fails(PAIR_TWO, false, TCPX_OP_READ, PROT_NONE);
}

static void write_into_what_may_not_be_written(void)
{
	fails(PAIR_TWO, false, TCPX_OP_WRITE, PROT_READ);
}

static void write_into_nothing(void)
{
	fails(PAIR_DRIVEN, false, TCPX_OP_WRITE, PROT_NONE);
}

/* One page in the middle of many pieces: those of others between them arrive,
 * whole, and only the one transfer fails. */
static void beside_others(void)
{
	enum { N = 256, LEN = 16384 }; /* not in the request itself */
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint64_t xfers[N];
	struct both t;
	int n_failed = 0;

	both_open(&t, PAIR_TWO);
	pattern_fill(t.here.data, BIG, 5, 0);
	for (int i = 0; i < N; i++)
		xfers[i] = xfer_one(t.pair.a, t.pair.ab, TCPX_OP_WRITE, t.local,
				    (uint64_t)i * LEN, t.remote,
				    (uint64_t)i * LEN, LEN);
	char *hole = (char *)(((uintptr_t)t.here.data + N / 2 * LEN + page) &
			      ~(uintptr_t)(page - 1));

	CHECK(!mprotect(hole, page, PROT_NONE));
	for (int i = 0; i < N; i++)
		CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, xfers[i], NULL), 0);
	for (int i = 0; i < N; i++) {
		int status = pair_wait(&t.pair, t.pair.a, xfers[i], SOON);

		n_failed += status == TCPX_EFAULT;
		if (status)
			CHECK_STATUS(status, TCPX_EFAULT);
		if (!status)
			pattern_fill(t.there.want + (size_t)i * LEN, LEN, 5,
				     (uint64_t)i * LEN);
		CHECK_STATUS(tcpx_xfer_release(t.pair.a->s, xfers[i]), 0);
	}
	CHECK(n_failed == 1 || n_failed == 2);
	CHECK(!mprotect(hole, page, PROT_READ | PROT_WRITE));
	/* Of the failed ones any part may have come. */
	pattern_fill(t.there.data + (size_t)(N / 2 - 1) * LEN, 3 * LEN, 5,
		     (uint64_t)(N / 2 - 1) * LEN);
	pattern_fill(t.there.want + (size_t)(N / 2 - 1) * LEN, 3 * LEN, 5,
		     (uint64_t)(N / 2 - 1) * LEN);
	CHECK(region_check(&t.there, "there"));
	check_healthy(&t);
	both_close(&t);
}

/* First the memory goes, then the transfer is let go of, as languages do that
 * free in an order of their own. */
static void freed_before_release(void)
{
	struct both t;

	both_open(&t, PAIR_TWO);
	for (size_t i = 0; i < scale_count(40); i++) {
		uint64_t xfer = xfer_one(t.pair.a, t.pair.ab, TCPX_OP_WRITE,
					 t.local, 0, t.remote, 0, BIG);

		CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, xfer, NULL), 0);
		usleep((useconds_t)(i % 8 * 200));
		region_protect(&t.here, PROT_NONE);
		CHECK_STATUS(tcpx_xfer_release(t.pair.a->s, xfer), 0);
		region_protect(&t.here, PROT_READ | PROT_WRITE);
	}
	check_healthy(&t);
	both_close(&t);
}

static const struct check_case cases[] = {
	{"registered", registered, 0},
	{"read_into_what_may_not_be_written", read_into_what_may_not_be_written,
	 0},
	{"read_into_nothing", read_into_nothing, 0},
	{"write_from_nothing", write_from_nothing, 0},
	{"read_from_nothing", read_from_nothing, 0},
	{"write_into_what_may_not_be_written",
	 write_into_what_may_not_be_written, 0},
	{"write_into_nothing", write_into_nothing, 0},
	{"beside_others", beside_others, 0},
	{"freed_before_release", freed_before_release, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
