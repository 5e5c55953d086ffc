/* SPDX-License-Identifier: Apache-2.0 */

/* Rules 10 to 21 of the double, each broken on purpose. */

#include <pthread.h>
#include <signal.h>

#include "check.h"
#include "drive.h"
#include "support/pattern.h"
#include "support/scale.h"

static struct drive_pair pair;

static void begin(void)
{
	drive_load();
	drive_connect(&pair, 0);
}

static void begin_faithful(void)
{
	drive_load_faithful();
	drive_connect(&pair, 0);
}

/* A message that has arrived and is not consumed; its request. */
static void *arrived(int len_bytes)
{
	void *rx = drive_irecv(&pair, len_bytes);

	drive_wait_both(drive_isend(&pair, 0, len_bytes), rx);
	return rx;
}

/* ---- 10: posting ------------------------------------------------------- */

static void post_17(void)
{
	begin();
	for (int i = 0; i < 17; i++)
		drive_irecv(&pair, 4096);
}

static void post_17_unconsumed(void)
{
	begin();
	for (int i = 0; i < 17; i++)
		arrived(4096);
}

static void post_two_buffers(void)
{
	void *data[2] = {NULL, NULL}, *mhandles[2], *request;
	int sizes[2] = {4096, 4096}, tags[2] = {0, 0};

	begin();
	mhandles[0] = mhandles[1] = pair.rx.mhandle;
	drive_net->irecv(pair.rx.comm, 2, data, sizes, tags, mhandles,
			 &request);
}

static void rule_10(void)
{
	void *data, *request;
	int size = 4096, tag = 0;

	drive_must_abort(post_17, 10);
	drive_must_abort(post_17_unconsumed, 10);
	drive_must_abort(post_two_buffers, 10);
	begin_faithful();
	data = pair.rx.data;
	for (int i = 0; i < 16; i++)
		drive_irecv(&pair, 4096);
	CHECK_EQ(drive_net->irecv(pair.rx.comm, 1, &data, &size, &tag,
				  &pair.rx.mhandle, &request),
		 NETPLUGIN_EINTERNAL);
	for (int i = 0; i < 16; i++)
		drive_isend(&pair, 0, 4096);
	CHECK_EQ(drive_net->isend(pair.tx.comm, pair.tx.data, 4096, 0,
				  pair.tx.mhandle, &request),
		 NETPLUGIN_EINTERNAL);
	CHECK_EQ(drive_net->irecv(pair.rx.comm, 2, &data, &size, &tag,
				  &pair.rx.mhandle, &request),
		 NETPLUGIN_EINTERNAL);
}

/* First in, first out, whatever the tags say. */
static void rule_10_tags(void)
{
	uint8_t out[2][100];
	void *rx[2], *tx[2];
	int size = 100, tag;

	begin();
	memset(pair.tx.data, 1, 100);
	memset(pair.tx.data + 100, 2, 100);
	for (int i = 0; i < 2; i++) {
		void *data = pair.rx.data;

		tag = 1 - i;
		CHECK_EQ(drive_net->isend(pair.tx.comm, pair.tx.data + i * 100,
					  100, i, pair.tx.mhandle, &tx[i]),
			 0);
		CHECK_EQ(drive_net->irecv(pair.rx.comm, 1, &data, &size, &tag,
					  &pair.rx.mhandle, &rx[i]),
			 0);
	}
	for (unsigned i = 0; i < 2; i++) {
		drive_wait_both(tx[i], rx[i]);
		CHECK_EQ(drive_unpack(&pair, i, out[i], 100), 100);
		CHECK_MEM(out[i], pair.tx.data + i * 100, 100);
	}
}

/* ---- 11: progress ------------------------------------------------------ */

static void starve(void)
{
	static struct drive_pair other;
	uint64_t end_ns;
	void *tx;

	setenv("DOUBLE_STARVE_MS", "200", 1);
	begin();
	drive_connect(&other, 0);
	drive_irecv(&pair, 4096); /* and no more of this comm */
	tx = drive_isend(&other, 0, DRIVE_CHUNK_BYTES);
	end_ns = test_now_ns() + 20000000000u;
	while (test_now_ns() < end_ns)
		if (tx && drive_test(tx))
			tx = drive_isend(&other, 0, 16);
}

static void rule_11(void)
{
	void *rx, *tx[3];

	drive_must_abort(starve, 11);
	begin();
	/* Nothing moves that is not tested... */
	tx[0] = drive_isend(&pair, 0, 4096);
	rx = drive_irecv(&pair, 4096);
	for (int i = 0; i < 200; i++)
		CHECK(!drive_test(rx));
	test_sleep_ms(50);
	CHECK(!drive_test(rx));
	/* ...and tests of the head take the others along. */
	tx[1] = drive_isend(&pair, 0, 4096);
	tx[2] = drive_isend(&pair, 0, 4096);
	drive_wait_both(tx[0], rx);
	drive_consumed(&pair, rx);
	for (int i = 1; i < 3; i++) {
		rx = drive_irecv(&pair, 4096);
		drive_wait_both(tx[i], rx);
		drive_consumed(&pair, rx);
	}
}

/* One admission a call: one test of the head starts the head and no more. */
static void rule_11_one_admission(void)
{
	void *rx[2], *tx;

	begin();
	for (int i = 0; i < 2; i++)
		rx[i] = drive_irecv(&pair, 64);
	tx = drive_isend(&pair, 0, 64);
	drive_isend(&pair, 64, 64);
	drive_test(tx);
	drive_wait(rx[0]);
	for (int i = 0; i < 100; i++) {
		CHECK(!drive_test(rx[1]));
		test_sleep_ms(1);
	}
}

/* ---- 12: the order of tests -------------------------------------------- */

static void test_second(void)
{
	begin();
	drive_isend(&pair, 0, 64);
	drive_test(drive_isend(&pair, 0, 64));
}

static void test_second_receive(void)
{
	begin();
	drive_irecv(&pair, 64);
	drive_test(drive_irecv(&pair, 64));
}

static void test_after_done(void)
{
	begin();
	drive_test(arrived(64));
}

static void test_send_after_done(void)
{
	void *rx, *tx;

	begin();
	rx = drive_irecv(&pair, 64);
	tx = drive_isend(&pair, 0, 64);
	drive_wait_both(tx, rx);
	drive_isend(&pair, 0, 64);
	drive_test(tx);
}

static void test_after_close(void)
{
	void *rx;

	begin();
	rx = drive_irecv(&pair, 64);
	drive_net->close_recv(pair.rx.comm);
	drive_test(rx);
}

static void rule_12(void)
{
	drive_must_abort(test_second, 12);
	drive_must_abort(test_second_receive, 12);
	drive_must_abort(test_after_done, 12);
	drive_must_abort(test_send_after_done, 12);
	drive_must_abort(test_after_close, 12);
}

static void rule_12_faithful(void)
{
	int done = -1, sizes = -77;
	void *tx[2], *rx[2];

	begin_faithful();
	tx[0] = drive_isend(&pair, 0, 64);
	tx[1] = drive_isend(&pair, 0, 64);
	/* That very call starts the head, and so the second is not it. */
	CHECK_EQ(drive_net->test(tx[1], &done, NULL), NETPLUGIN_EINTERNAL);
	CHECK_EQ(done, 0);
	rx[0] = drive_irecv(&pair, 64);
	rx[1] = drive_irecv(&pair, 64);
	drive_wait(tx[0]); /* unharmed */
	do
		CHECK_EQ(drive_net->test(rx[0], &done, &sizes), 0);
	while (!done);
	CHECK_EQ(sizes, -77);
	drive_wait_both(tx[1], rx[1]);
	/* Nothing is transmitting: no error, and never done. */
	CHECK_EQ(drive_net->test(rx[0], &done, &sizes), 0);
	CHECK_EQ(done, 0);
}

/* ---- 13 and 14: sizes -------------------------------------------------- */

static void rule_13(void)
{
	static uint8_t out[5000];
	void *rx;

	begin();
	pattern_fill(pair.tx.data, 5000, 3, 0);
	rx = drive_irecv(&pair, 1000);
	drive_wait_both(drive_isend(&pair, 0, 5000), rx);
	CHECK_EQ(drive_unpack(&pair, 0, out, 5000), 5000);
	CHECK_MEM(out, pair.tx.data, 5000);
	drive_consumed(&pair, rx);
	rx = drive_irecv(&pair, 1000);
	drive_wait_both(drive_isend(&pair, 0, 10), rx);
	CHECK_EQ(drive_unpack(&pair, 1, out, 5000), 10);
}

static void consume_empty_first(void)
{
	void *rx;

	begin();
	arrived(64);
	rx = arrived(0);
	drive_net->irecv_consumed(pair.rx.comm, 1, rx);
}

static void rule_14(void)
{
	void *a, *b;

	drive_must_abort(consume_empty_first, 14);
	begin_faithful();
	a = arrived(64);
	b = arrived(0);
	CHECK_EQ(pair.meta->counts[1], 0);
	CHECK_EQ(drive_net->irecv_consumed(pair.rx.comm, 1, b), 0);
	CHECK_EQ(drive_net->irecv_consumed(pair.rx.comm, 1, a),
		 NETPLUGIN_EINTERNAL);
	CHECK_EQ(drive_net->irecv_consumed(pair.rx.comm, 1, a),
		 NETPLUGIN_EINTERNAL);
}

/* An empty message takes a slot and a place in the ring. */
static void rule_14_slots(void)
{
	uint8_t out[64];
	void *rx[16];

	begin();
	for (int i = 0; i < 16; i++)
		rx[i] = arrived(i % 2 ? 64 : 0);
	for (unsigned i = 0; i < 16; i++) {
		CHECK_EQ(drive_unpack(&pair, i, out, 64), i % 2 ? 64 : 0);
		drive_consumed(&pair, rx[i]);
	}
	drive_message(&pair, 64, 1);
}

/* ---- 15 to 18: the list ------------------------------------------------ */

static void rule_15(void)
{
	const uint8_t *bytes;
	uint64_t count;

	begin();
	bytes = (const uint8_t *)pair.meta;
	arrived(3000);
	arrived(DRIVE_CHUNK_BYTES);
	memcpy(&count, bytes + 524288 + 8, 8);
	CHECK(count >= 16);
	for (uint64_t i = 0, sum = 0; i < count; i++) {
		const uint8_t *entry = bytes + 32768 + i * 16;
		uint32_t len;
		uint64_t dst;

		memcpy(&len, entry + 4, 4);
		memcpy(&dst, entry + 8, 8);
		CHECK_EQ(dst, sum);
		sum += len;
	}
	for (int slot = 2; slot < 16; slot++)
		CHECK_EQ(pair.meta->counts[slot], 0);
}

static void rule_16(void)
{
	struct netplugin_unpack_entry *e;
	uint64_t count;
	int n_sizes = 0, n_near = 0;
	void *rx;

	begin();
	rx = arrived(DRIVE_CHUNK_BYTES);
	e = pair.meta->entries[0];
	count = pair.meta->counts[0];
	for (uint64_t i = 1; i < count; i++) {
		CHECK(e[i].len_bytes >= 1 && e[i].len_bytes <= 4096);
		CHECK(e[i].src_off / 4096 ==
		      (e[i].src_off + e[i].len_bytes - 1) / 4096);
		CHECK(e[i].dst_off > e[i - 1].dst_off);
		n_sizes += e[i].len_bytes != e[i - 1].len_bytes;
		n_near += e[i].src_off / 4096 == e[i - 1].src_off / 4096 + 1;
	}
	CHECK(n_sizes > (int)count / 2);
	CHECK(n_near < (int)count / 2);
	drive_consumed(&pair, rx);
}

/* Over several sockets, the places of a request come in any order. */
static void rule_16_sockets(void)
{
	int n_back = 0;

	setenv("NCCL_NSOCKS_PERTHREAD", "4", 1);
	begin();
	for (int k = 0; k < 100 && !n_back; k++) {
		unsigned slot = (unsigned)k % 16;
		void *rx = drive_irecv(&pair, DRIVE_CHUNK_BYTES * 4);
		struct netplugin_unpack_entry *e = pair.meta->entries[slot];

		drive_wait(drive_isend(&pair, 0, DRIVE_CHUNK_BYTES * 4));
		drive_test(rx); /* the helper begins, and all is there */
		test_sleep_ms(10);
		drive_wait(rx);
		for (uint64_t i = 1; i < pair.meta->counts[slot]; i++)
			n_back += e[i].dst_off < e[i - 1].dst_off;
		drive_consumed(&pair, rx);
	}
	CHECK(n_back > 0);
}

static void rule_16_far_pages(void)
{
	uint32_t highest = 0;

	setenv("DOUBLE_POOL_SPAN", "0x100000000", 1);
	setenv("DOUBLE_POOL_PAGES", "512", 1);
	begin();
	for (int i = 0; i < 40; i++) {
		unsigned slot = pair.n_posted % 16;
		void *rx = arrived(DRIVE_CHUNK_BYTES);

		for (uint64_t k = 0; k < pair.meta->counts[slot]; k++) {
			uint32_t at = pair.meta->entries[slot][k].src_off;

			highest = at > highest ? at : highest;
		}
		drive_consumed(&pair, rx);
		drive_message(&pair, 9999, (uint64_t)i);
	}
	CHECK(highest > 0xff000000u);
}

static void rule_17(void)
{
	static uint8_t junk[32];
	void *rx;

	begin();
	memset(junk, 0xa5, sizeof(junk));
	rx = drive_irecv(&pair, DRIVE_CHUNK_BYTES * 2);
	drive_wait(drive_isend(&pair, 0, 64));
	while (pair.meta->entries[0][0].len_bytes == 0)
		CHECK(!drive_test(rx)); /* the slot is taken, no more */
	CHECK_EQ(pair.meta->counts[0], 0);
	CHECK_MEM(pair.meta->entries[0], junk, sizeof(junk));
	drive_wait(rx);
	CHECK(pair.meta->counts[0] >= 1);
	CHECK(memcmp(pair.meta->entries[0], junk, 16) != 0);
}

static void small_fragments(void)
{
	setenv("DOUBLE_FRAG_MAX", "16", 1);
	begin();
	arrived(DRIVE_CHUNK_BYTES);
}

static void larger_than_chunk(void)
{
	begin();
	arrived(DRIVE_CHUNK_BYTES * 2);
}

static void rule_18(void)
{
	uint32_t n_all, n_free, n_lost;
	void *rx;

	drive_must_exit(small_fragments, "too many fragments");
	drive_must_abort(larger_than_chunk, 18);
	begin_faithful();
	rx = arrived(DRIVE_CHUNK_BYTES * 2);
	drive_consumed(&pair, rx);
	drive_pages(0, &n_all, &n_free, &n_lost);
	CHECK(n_lost >= 16);
	CHECK_EQ(n_free + n_lost, n_all);
	drive_close(&pair); /* only that brings them back */
	drive_pages(0, &n_all, &n_free, &n_lost);
	CHECK_EQ(n_free, n_all);
	CHECK_EQ(n_lost, 0);
}

/* ---- 19 and 20: pages come back ---------------------------------------- */

static void consume_second(void)
{
	begin();
	arrived(64);
	drive_net->irecv_consumed(pair.rx.comm, 1, arrived(64));
}

static void consume_before_done(void)
{
	begin();
	drive_net->irecv_consumed(pair.rx.comm, 1, drive_irecv(&pair, 64));
}

static void consume_twice(void)
{
	void *rx;

	begin();
	rx = arrived(64);
	drive_consumed(&pair, rx);
	drive_net->irecv_consumed(pair.rx.comm, 1, rx);
}

static void consume_a_send(void)
{
	begin();
	drive_net->irecv_consumed(pair.tx.comm, 1, drive_isend(&pair, 0, 64));
}

static void rule_19(void)
{
	drive_must_abort(consume_second, 19);
	drive_must_abort(consume_before_done, 19);
	drive_must_abort(consume_twice, 19);
	drive_must_abort(consume_a_send, 19);
}

static void rule_19_faithful(void)
{
	void *a, *b;

	begin_faithful();
	a = arrived(64);
	b = arrived(64);
	CHECK_EQ(drive_net->irecv_consumed(pair.rx.comm, 1, b),
		 NETPLUGIN_EINTERNAL);
	drive_consumed(&pair, a);
	drive_consumed(&pair, b);
}

/* Given back too early: what is read then is poison. */
static void rule_19_poison(void)
{
	static uint8_t out[5000], poison[5000];
	void *rx;

	begin();
	pattern_fill(pair.tx.data, 5000, 3, 0);
	memset(poison, 0xdb, sizeof(poison));
	rx = arrived(5000);
	CHECK_EQ(drive_unpack(&pair, 0, out, 5000), 5000);
	CHECK_MEM(out, pair.tx.data, 5000);
	drive_consumed(&pair, rx);
	CHECK_EQ(drive_unpack(&pair, 0, out, 5000), 5000);
	CHECK_MEM(out, poison, 5000);
}

static void rule_20(void)
{
	static struct drive_pair other;
	uint32_t n_all, n_free, n_lost;
	void *rx[3], *late, *tx;

	setenv("DOUBLE_POOL_PAGES", "64", 1);
	setenv("DOUBLE_FRAG_MIN", "4096", 1);
	begin();
	drive_connect(&other, 0);
	for (int i = 0; i < 3; i++)
		rx[i] = arrived(DRIVE_CHUNK_BYTES);
	/* 48 pages of 64 are held here: just enough for the other comm. */
	late = drive_irecv(&other, DRIVE_CHUNK_BYTES);
	tx = drive_isend(&other, 0, DRIVE_CHUNK_BYTES);
	drive_wait_both(tx, late);
	drive_consumed(&other, late);
	arrived(DRIVE_CHUNK_BYTES); /* and now all are */
	late = drive_irecv(&other, DRIVE_CHUNK_BYTES);
	tx = drive_isend(&other, 0, DRIVE_CHUNK_BYTES);
	drive_wait(tx); /* the stack of the receiver has it */
	for (int i = 0; i < 200; i++) {
		CHECK(!drive_test(late));
		test_sleep_ms(1);
	}
	drive_pages(0, &n_all, &n_free, &n_lost);
	CHECK_EQ(n_free, 0);
	drive_consumed(&pair, rx[0]);
	drive_wait(late);
	CHECK_EQ(drive_hits(0), 0);
}

/* ---- 21: what done means for a send ------------------------------------ */

static void change_before_done(void)
{
	void *tx;

	setenv("DOUBLE_CLOCK", "random", 1);
	begin();
	tx = drive_isend(&pair, 0, 64);
	drive_test(tx);
	for (;;) {
		pair.tx.data[0]++;
		if (drive_test(tx)) /* perhaps it was not read yet: again */
			tx = drive_isend(&pair, 0, 64);
	}
}

static void rule_21(void)
{
	static uint8_t out[4096], want[4096];
	void *rx, *tx;

	/* To the thread sanitizer that is a race, which ends it before. */
	if (!scale_tsan())
		drive_must_abort(change_before_done, 21);
	begin();
	/* Done, though nobody has posted a receive. */
	pattern_fill(pair.tx.data, 4096, 5, 0);
	memcpy(want, pair.tx.data, 4096);
	tx = drive_isend(&pair, 0, 4096);
	drive_wait(tx);
	memset(pair.tx.data, 0, 4096);
	rx = drive_irecv(&pair, 4096);
	drive_wait(rx);
	CHECK_EQ(drive_unpack(&pair, 0, out, 4096), 4096);
	CHECK_MEM(out, want, 4096);
}

static const struct check_case cases[] = {
	{"rule_10", rule_10, 0},
	{"rule_10_tags", rule_10_tags, 0},
	{"rule_11", rule_11, 60},
	{"rule_11_one_admission", rule_11_one_admission, 0},
	{"rule_12", rule_12, 0},
	{"rule_12_faithful", rule_12_faithful, 0},
	{"rule_13", rule_13, 0},
	{"rule_14", rule_14, 0},
	{"rule_14_slots", rule_14_slots, 0},
	{"rule_15", rule_15, 0},
	{"rule_16", rule_16, 0},
	{"rule_16_sockets", rule_16_sockets, 0},
	{"rule_16_far_pages", rule_16_far_pages, 0},
	{"rule_17", rule_17, 0},
	{"rule_18", rule_18, 0},
	{"rule_19", rule_19, 0},
	{"rule_19_faithful", rule_19_faithful, 0},
	{"rule_19_poison", rule_19_poison, 0},
	{"rule_20", rule_20, 0},
	{"rule_21", rule_21, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
