/* SPDX-License-Identifier: Apache-2.0 */
/* Regions: rules, blobs, rights, and the fence that deregistration is. */
#include <sys/mman.h>

#include "check.h"
#include "support/scale.h"
#include "support/sess.h"

#define RW (TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE)
#define FOREVER_MS scale_ms(10000)

static void register_rules(void)
{
	static const struct {
		uintptr_t base;
		uint64_t len;
		uint32_t access;
	} bad[] = {
		{0, 4096, RW},
		{0x1000, 0, RW},
		{0x1000, UINT64_MAX, RW},
		{UINTPTR_MAX - 10, 100, RW},
		{0x1000, 4096, 4},
		{0x1000, 4096, UINT32_MAX},
	};
	struct region region;
	struct sess sess;
	uint64_t mem = 5, again, len;

	sess_open(&sess, "n", NULL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK_STATUS(tcpx_mem_register(sess.s, (void *)bad[i].base,
					       bad[i].len, bad[i].access, &mem),
			     TCPX_EINVAL);
	CHECK_EQ(mem, 5);
	region_init(&region, 100001, 1);
	mem = sess_register(&sess, &region, RW);
	again = sess_register(&sess, &region, TCPX_ACCESS_LOCAL);
	CHECK(mem && again && mem != again);
	CHECK_STATUS(tcpx_mem_len(sess.s, mem, &len), TCPX_OK);
	CHECK_EQ(len, 100001);
	CHECK_STATUS(tcpx_mem_deregister(sess.s, mem), TCPX_OK);
	CHECK_STATUS(tcpx_mem_deregister(sess.s, mem), TCPX_ENOENT);
	CHECK_STATUS(tcpx_mem_len(sess.s, mem, &len), TCPX_ENOENT);
	CHECK_STATUS(tcpx_mem_len(sess.s, again, &len), TCPX_OK);
	sess_close(&sess);
	region_fini(&region);
}

static void many_regions(void)
{
	size_t n = scale_count(20000);
	uint64_t *mems = calloc(n, sizeof(*mems)), len;
	struct region region;
	struct sess sess;

	sess_open(&sess, "n", NULL);
	region_init(&region, 65536, 1);
	for (size_t i = 0; i < n; i++)
		CHECK_STATUS(tcpx_mem_register(sess.s, region.data + i % 65535,
					       1, RW, &mems[i]),
			     TCPX_OK);
	for (size_t i = 0; i < n; i += 2)
		CHECK_STATUS(tcpx_mem_deregister(sess.s, mems[i]), TCPX_OK);
	for (size_t i = 0; i < n; i++)
		CHECK_STATUS(tcpx_mem_len(sess.s, mems[i], &len),
			     i % 2 ? TCPX_OK : TCPX_ENOENT);
	sess_close(&sess);
	region_fini(&region);
	free(mems);
}

static void blobs(void)
{
	static char blob[16384];
	uint64_t mems[100], loaded[100], mem_len;
	size_t len, again, n = 0;
	struct region region;
	struct pair pair;

	pair_open(&pair, PAIR_TWO, NULL);
	region_init(&region, 1000, 1);
	for (int i = 0; i < 100; i++)
		CHECK_STATUS(tcpx_mem_register(pair.b->s, region.data,
					       (uint64_t)i + 1, RW, &mems[i]),
			     TCPX_OK);
	CHECK_STATUS(tcpx_mem_blob(pair.b->s, mems, 100, NULL, 0, &len),
		     TCPX_ENOSPC);
	CHECK(len >= 100 * 16 && len < 100 * 48 + 128);
	CHECK_STATUS(tcpx_mem_blob(pair.b->s, mems, 100, blob, len, &again),
		     TCPX_OK);
	CHECK_EQ(again, len);
	CHECK_STATUS(tcpx_mem_load(pair.a->s, blob, len, loaded, 99, &n),
		     TCPX_ENOSPC);
	CHECK_EQ(n, 100);
	CHECK_STATUS(tcpx_mem_load(pair.a->s, blob, len, loaded, 100, &n),
		     TCPX_OK);
	CHECK_EQ(n, 100);
	for (int i = 0; i < 100; i++) {
		CHECK_STATUS(tcpx_mem_len(pair.a->s, loaded[i], &mem_len),
			     TCPX_OK);
		CHECK_EQ(mem_len, i + 1);
		CHECK_STATUS(tcpx_mem_unload(pair.a->s, loaded[i]), TCPX_OK);
		CHECK_STATUS(tcpx_mem_unload(pair.a->s, loaded[i]),
			     TCPX_ENOENT);
	}
	for (size_t cut = 0; cut < len; cut++)
		CHECK(tcpx_mem_load(pair.a->s, blob, cut, loaded, 100, &n) < 0);
	pair_close(&pair);
	region_fini(&region);
}

/* A blob names only regions that live; loading works before connecting. */
static void blob_before_peer(void)
{
	char blob[512];
	struct region src, dst;
	struct sess a, b;
	uint64_t mems[2], remote, local, peer, xfer;
	size_t len, n;

	sess_open(&a, "a", NULL);
	sess_open(&b, "b", NULL);
	region_init(&src, 5000, 1);
	region_init(&dst, 5000, 2);
	mems[0] = sess_register(&b, &dst, RW);
	mems[1] = 12345;
	CHECK_STATUS(tcpx_mem_blob(b.s, mems, 2, blob, sizeof(blob), &len),
		     TCPX_ENOENT);
	CHECK_STATUS(tcpx_mem_blob(b.s, mems, 1, blob, sizeof(blob), &len),
		     TCPX_OK);
	CHECK_STATUS(tcpx_mem_load(a.s, blob, len, &remote, 1, &n), TCPX_OK);
	local = sess_register(&a, &src, TCPX_ACCESS_LOCAL);
	peer = sess_connect(&a, &b);
	xfer = xfer_one(&a, peer, TCPX_OP_WRITE, local, 1, remote, 2, 4000);
	CHECK_STATUS(tcpx_xfer_post(a.s, xfer, NULL), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_wait(a.s, xfer, FOREVER_MS), TCPX_OK);
	region_want(&dst, 2, 4000, 1, 1);
	CHECK(region_check(&dst, "dst"));
	sess_close(&a);
	sess_close(&b);
	region_fini(&src);
	region_fini(&dst);
}

struct setup {
	struct pair pair;
	struct region local_region, remote_region;
	uint64_t local, owned, remote; /* owned: remote as b names it */
};

static void setup(struct setup *t, enum pair_kind kind, size_t len_bytes,
		  uint32_t access)
{
	pair_open(&t->pair, kind, NULL);
	region_init(&t->local_region, len_bytes, 1);
	region_init(&t->remote_region, len_bytes, 2);
	t->local =
		sess_register(t->pair.a, &t->local_region, TCPX_ACCESS_LOCAL);
	t->owned = sess_register(t->pair.b, &t->remote_region, access);
	t->remote = sess_share(t->pair.b, t->owned, t->pair.a);
}

static void teardown(struct setup *t)
{
	pair_close(&t->pair);
	region_fini(&t->local_region);
	region_fini(&t->remote_region);
}

static int try_op(struct setup *t, enum tcpx_op op, uint64_t len_bytes)
{
	struct tcpx_segment segment = {t->local, 0, t->remote, 0, len_bytes};
	struct tcpx_xfer_params params = {.size_bytes = sizeof(params),
					  .peer = t->pair.ab,
					  .op = op,
					  .segments = &segment,
					  .n_segments = 1};
	uint64_t xfer;
	int status = tcpx_xfer_prepare(t->pair.a->s, &params, &xfer);

	if (status)
		return status;
	status = tcpx_xfer_post(t->pair.a->s, xfer, NULL);
	if (!status)
		status = tcpx_xfer_wait(t->pair.a->s, xfer, FOREVER_MS);
	CHECK_STATUS(tcpx_xfer_release(t->pair.a->s, xfer), TCPX_OK);
	return status;
}

static void rights(void)
{
	static const uint32_t access[] = {TCPX_ACCESS_LOCAL,
					  TCPX_ACCESS_REMOTE_READ,
					  TCPX_ACCESS_REMOTE_WRITE, RW};

	for (size_t i = 0; i < 4; i++) {
		struct setup t;
		int may_read = access[i] & TCPX_ACCESS_REMOTE_READ;
		int may_write = access[i] & TCPX_ACCESS_REMOTE_WRITE;

		setup(&t, PAIR_TWO, 100000, access[i]);
		CHECK_STATUS(try_op(&t, TCPX_OP_READ, 100000),
			     may_read ? TCPX_OK : TCPX_EACCES);
		if (may_read)
			region_want(&t.local_region, 0, 100000, 2, 0);
		CHECK(region_check(&t.local_region, "local"));
		CHECK_STATUS(try_op(&t, TCPX_OP_WRITE, 100000),
			     may_write ? TCPX_OK : TCPX_EACCES);
		if (may_write && !may_read)
			region_want(&t.remote_region, 0, 100000, 1, 0);
		CHECK(region_check(&t.remote_region, "remote"));
		teardown(&t);
	}
}

static bool is_refusal(int status)
{
	return status == TCPX_EKEY || status == TCPX_EREMOTE;
}

/* The peer took the region away: refused by it, nothing touched, and the
 * connection goes on. Small and large go different ways. */
static void stale_remote(void)
{
	static const uint64_t lens[] = {8, 4096, 1 << 20};
	struct setup t;
	uint64_t other;

	setup(&t, PAIR_TWO, 1 << 20, RW);
	CHECK_STATUS(tcpx_mem_deregister(t.pair.b->s, t.owned), TCPX_OK);
	for (size_t i = 0; i < 3; i++) {
		CHECK(is_refusal(try_op(&t, TCPX_OP_WRITE, lens[i])));
		CHECK(is_refusal(try_op(&t, TCPX_OP_READ, lens[i])));
	}
	CHECK(region_check(&t.local_region, "local"));
	CHECK(region_check(&t.remote_region, "remote"));
	CHECK(sess_logged(t.pair.b, "refused"));
	other = sess_register(t.pair.b, &t.remote_region, RW);
	t.remote = sess_share(t.pair.b, other, t.pair.a);
	CHECK_STATUS(try_op(&t, TCPX_OP_WRITE, 1 << 20), TCPX_OK);
	region_want(&t.remote_region, 0, 1 << 20, 1, 0);
	CHECK(region_check(&t.remote_region, "remote"));
	teardown(&t);
}

/* A transfer long enough to be in flight: the same bytes many times. */
static uint64_t long_xfer(struct setup *t, enum tcpx_op op, size_t n)
{
	struct tcpx_segment *segments = calloc(n, sizeof(*segments));
	uint64_t xfer;

	CHECK(segments);
	for (size_t i = 0; i < n; i++)
		segments[i] = (struct tcpx_segment){t->local, 0, t->remote, 0,
						    t->local_region.len_bytes};
	xfer = xfer_make(t->pair.a, t->pair.ab, op, segments, n, 0);
	free(segments);
	return xfer;
}

/* After deregistration the memory is made inaccessible: a late touch is a
 * crash, or a transfer that fails where it should not. */
static void dereg_local_in_flight(enum tcpx_op op)
{
	struct setup t;
	struct region *region = &t.local_region;
	uint64_t xfer;

	setup(&t, PAIR_TWO, 16 << 20, RW);
	xfer = long_xfer(&t, op, 400);
	CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, xfer, NULL), TCPX_OK);
	test_sleep_ms(20);
	CHECK_STATUS(tcpx_xfer_test(t.pair.a->s, xfer), TCPX_INPROGRESS);
	CHECK_STATUS(tcpx_mem_deregister(t.pair.a->s, t.local), TCPX_OK);
	region_protect(region, PROT_NONE);
	CHECK_STATUS(tcpx_xfer_wait(t.pair.a->s, xfer, FOREVER_MS),
		     TCPX_ECANCELED);
	test_sleep_ms(100);
	region_protect(region, PROT_READ | PROT_WRITE);
	CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, xfer, NULL), TCPX_ENOENT);
	CHECK_STATUS(tcpx_xfer_release(t.pair.a->s, xfer), TCPX_OK);
	t.local = sess_register(t.pair.a, region, TCPX_ACCESS_LOCAL);
	CHECK_STATUS(try_op(&t, op, 16 << 20), TCPX_OK);
	teardown(&t);
}

static void dereg_local_write(void)
{
	dereg_local_in_flight(TCPX_OP_WRITE);
}

static void dereg_local_read(void)
{
	dereg_local_in_flight(TCPX_OP_READ);
}

static void dereg_remote_in_flight(enum tcpx_op op)
{
	struct setup t;
	struct region *region = &t.remote_region;
	uint64_t xfer;

	setup(&t, PAIR_TWO, 16 << 20, RW);
	xfer = long_xfer(&t, op, 400);
	CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, xfer, NULL), TCPX_OK);
	test_sleep_ms(20);
	CHECK_STATUS(tcpx_xfer_test(t.pair.a->s, xfer), TCPX_INPROGRESS);
	CHECK_STATUS(tcpx_mem_deregister(t.pair.b->s, t.owned), TCPX_OK);
	region_protect(region, PROT_NONE);
	CHECK_STATUS(tcpx_xfer_wait(t.pair.a->s, xfer, FOREVER_MS),
		     TCPX_EREMOTE);
	test_sleep_ms(100);
	region_protect(region, PROT_READ | PROT_WRITE);
	CHECK_STATUS(tcpx_xfer_release(t.pair.a->s, xfer), TCPX_OK);
	t.owned = sess_register(t.pair.b, region, RW);
	t.remote = sess_share(t.pair.b, t.owned, t.pair.a);
	CHECK_STATUS(try_op(&t, op, 16 << 20), TCPX_OK);
	teardown(&t);
}

static void dereg_remote_write(void)
{
	dereg_remote_in_flight(TCPX_OP_WRITE);
}

static void dereg_remote_read(void)
{
	dereg_remote_in_flight(TCPX_OP_READ);
}

/* Prepared transfers keep what they need of an unloaded region. */
static void unload_prepared(void)
{
	struct setup t;
	uint64_t xfer;

	setup(&t, PAIR_TWO, 100000, RW);
	xfer = xfer_one(t.pair.a, t.pair.ab, TCPX_OP_WRITE, t.local, 0,
			t.remote, 0, 100000);
	CHECK_STATUS(tcpx_mem_unload(t.pair.a->s, t.remote), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, xfer, NULL), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_wait(t.pair.a->s, xfer, FOREVER_MS), TCPX_OK);
	CHECK_STATUS(try_op(&t, TCPX_OP_WRITE, 10), TCPX_ENOENT);
	region_want(&t.remote_region, 0, 100000, 1, 0);
	CHECK(region_check(&t.remote_region, "remote"));
	teardown(&t);
}

/* Two regions over the same bytes, either may go first. */
static void overlapping(void)
{
	struct setup t;
	uint64_t wide, part, handle;

	setup(&t, PAIR_TWO, 300000, RW);
	wide = t.owned;
	CHECK_STATUS(tcpx_mem_register(t.pair.b->s, t.remote_region.data + 777,
				       5000, TCPX_ACCESS_REMOTE_WRITE, &part),
		     TCPX_OK);
	handle = sess_share(t.pair.b, part, t.pair.a);
	CHECK_STATUS(try_op(&t, TCPX_OP_WRITE, 300000), TCPX_OK);
	region_want(&t.remote_region, 0, 300000, 1, 0);
	CHECK_STATUS(tcpx_mem_deregister(t.pair.b->s, wide), TCPX_OK);
	pattern_fill(t.local_region.data, 300000, 9, 0);
	t.remote = handle;
	CHECK_STATUS(try_op(&t, TCPX_OP_WRITE, 5001), TCPX_ERANGE);
	CHECK_STATUS(try_op(&t, TCPX_OP_WRITE, 5000), TCPX_OK);
	region_want(&t.remote_region, 777, 5000, 9, 0);
	CHECK(region_check(&t.remote_region, "remote"));
	teardown(&t);
}

static const struct check_case cases[] = {
	{"register_rules", register_rules, 0},
	{"many_regions", many_regions, 0},
	{"blobs", blobs, 0},
	{"blob_before_peer", blob_before_peer, 0},
	{"rights", rights, 60},
	{"stale_remote", stale_remote, 0},
	{"dereg_local_write", dereg_local_write, 60},
	{"dereg_local_read", dereg_local_read, 60},
	{"dereg_remote_write", dereg_remote_write, 60},
	{"dereg_remote_read", dereg_remote_read, 60},
	{"unload_prepared", unload_prepared, 0},
	{"overlapping", overlapping, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
