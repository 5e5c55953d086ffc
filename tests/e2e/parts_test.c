/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes flow as far as the other side knows a transfer's list: before the rest
 * of it has come, in all four roles. The other side is a peer by hand, so the
 * rest comes when it says so, or is not read at all.
 */
#include "check.h"
#include "e2e/stage.h"
#include "support/scale.h"

#define MANY 900000u /* segments: a list of 6 MB on the wire */
#define FIRST_MOST 4096u /* in the first part of such a list */
#define HALF 1000u

static uint8_t buf[1 << 20];

/* A part by hand of a list of two segments of HALF bytes each, far apart. */
static void send_half(uint64_t id, uint32_t i)
{
	struct evil_list half;
	struct msg_list msg = {.list = id,
			       .total_segs = 2,
			       .first = i,
			       .count = 1,
			       .total_bytes = 2 * HALF};

	evil_list(&half, stage.open_mem.mem, stage.open_mem.key,
		  i * (STAGE_LEN / 2), HALF);
	msg.segs = half.encoded;
	if (!i) {
		msg.n_regions = 1;
		msg.regions = half.regions;
	}
	evil_begin(&stage.evil);
	msg_list_encode(&stage.evil.w, &msg);
	evil_say(&stage.evil, MSG_LIST);
}

/* The next chunk on the flow; its bytes are in buf. */
static struct chunk_desc read_chunk(void)
{
	struct chunk_desc desc;

	evil_read_flow(&stage.evil, buf, CHUNK_DESC_BYTES);
	CHECK_STATUS(chunk_desc_decode(buf, &desc), TCPX_OK);
	CHECK(desc.len_bytes <= sizeof(buf));
	evil_read_flow(&stage.evil, buf, desc.len_bytes);
	return desc;
}

static void open_all(void)
{
	stage_open();
	evil_open(&stage.evil, stage.pair.b);
	evil_open_flow(&stage.evil);
}

static void close_all(void)
{
	evil_close(&stage.evil);
	stage_close();
}

/* We are asked to READ and know half of the list. */
static void read_target(void)
{
	uint64_t got = 0;

	open_all();
	evil_send_credit(&stage.evil, 64, 0);
	send_half(1, 0);
	say_write(MSG_READ, 1, 1, 2 * HALF);
	while (got < 2 * HALF) {
		struct chunk_desc desc = read_chunk();
		const uint8_t *from = stage.dst.data;

		CHECK_EQ(desc.pos, got);
		CHECK_EQ(desc.flags & CHUNK_REPLY, CHUNK_REPLY);
		if (got >= HALF)
			from += STAGE_LEN / 2;
		CHECK_MEM(buf, from + got % HALF, desc.len_bytes);
		got += desc.len_bytes;
		if (got == HALF)
			send_half(1, 1);
	}
	struct msg_read_end end = {.xfer = 1};

	evil_begin(&stage.evil);
	msg_read_end_encode(&stage.evil.w, &end);
	evil_say(&stage.evil, MSG_READ_END);
	close_all();
}

/* We are written to and know half of the list: that half is placed, and what
 * comes for the other half waits. */
static void write_target(void)
{
	enum { CHUNK = 50 }; /* so that there are enough to be told of */
	struct wire_reader r;
	struct msg_credit credit = {0};
	struct msg_done done;
	uint64_t seq = 0;

	open_all();
	send_half(1, 0);
	say_write(MSG_WRITE, 1, 1, 2 * HALF);
	pattern_fill(buf, 2 * HALF, 99, 0);
	for (; seq < HALF / CHUNK + 1; seq++) {
		struct chunk_desc desc = {.seq = seq,
					  .xfer = 1,
					  .pos = seq * CHUNK,
					  .len_bytes = CHUNK};

		evil_send_chunk(&stage.evil, &desc, buf + seq * CHUNK, CHUNK);
	}
	while (credit.placed < HALF / CHUNK * 3 / 4) {
		CHECK(evil_hear(&stage.evil, MSG_CREDIT, &r, SOON));
		CHECK_STATUS(msg_credit_decode(&r, &credit), TCPX_OK);
	}
	CHECK(credit.placed <= HALF / CHUNK);
	send_half(1, 1);
	for (; seq < 2 * HALF / CHUNK; seq++) {
		struct chunk_desc desc = {.seq = seq,
					  .xfer = 1,
					  .pos = seq * CHUNK,
					  .len_bytes = CHUNK};

		evil_send_chunk(&stage.evil, &desc, buf + seq * CHUNK, CHUNK);
	}
	CHECK(evil_hear(&stage.evil, MSG_DONE, &r, SOON));
	CHECK_STATUS(msg_done_decode(&r, &done), TCPX_OK);
	CHECK_STATUS(done.status, TCPX_OK);
	region_want(&stage.dst, 0, HALF, 99, 0);
	region_want(&stage.dst, STAGE_LEN / 2, HALF, 99, HALF);
	close_all();
}

/* Far apart and of two lengths: some 7 bytes each, whatever the order. */
static struct tcpx_segment *scattered(uint64_t mem, uint64_t remote)
{
	struct tcpx_segment *segs = calloc(MANY, sizeof(*segs));
	uint64_t seed = check_seed();

	CHECK(segs);
	for (uint32_t i = 0; i < MANY; i++)
		segs[i] = (struct tcpx_segment){
			mem, i * 2 % (STAGE_LEN - 2), remote,
			check_rand(&seed) % ((1ull << 40) - 2), 1 + i % 2};
	return segs;
}

/* The first part of the victim's list; what comes next of all that is said of
 * transfers is the request. */
static uint32_t hear_request(uint16_t type, struct wire_reader *r)
{
	struct msg_list list;

	CHECK(evil_hear(&stage.evil, MSG_LIST, r, SOON));
	CHECK_STATUS(msg_list_decode(r, &list), TCPX_OK);
	CHECK_EQ(list.first, 0);
	CHECK_EQ(list.total_segs, MANY);
	CHECK(list.count <= FIRST_MOST);
	uint64_t seq = stage.evil.got_header.seq;

	CHECK(evil_hear(&stage.evil, type, r, SOON));
	CHECK_EQ(stage.evil.got_header.seq, seq + 1);
	return list.count;
}

static uint64_t post_scattered(enum tcpx_op op, struct region *region)
{
	struct sess *victim = stage.pair.b;
	uint64_t peer = stage_evil_peer(), remote, xfer;
	int few = 4096;

	/* What is not read stays with who sent it. */
	setsockopt(stage.evil.ctl, SOL_SOCKET, SO_RCVBUF, &few, sizeof(few));
	region_init(region, STAGE_LEN, 5);
	remote = stage_evil_mem(1ull << 40);
	struct tcpx_segment *segs =
		scattered(sess_register(victim, region, 0), remote);

	xfer = xfer_make(victim, peer, op, segs, MANY, 0);
	free(segs);
	CHECK_STATUS(tcpx_xfer_post(victim->s, xfer, NULL), TCPX_OK);
	return xfer;
}

/* We WRITE: bytes leave while most of the list has not. */
static void write_initiator(void)
{
	struct region region;
	struct wire_reader r;

	open_all();
	uint64_t xfer = post_scattered(TCPX_OP_WRITE, &region);
	uint32_t first = hear_request(MSG_WRITE, &r);

	evil_send_credit(&stage.evil, 64, 0);
	/* From here on nothing of the list is read. Segments of one and of two
	 * bytes: so many bytes the first part has at least. */
	for (uint64_t got = 0; got < first * 3 / 2;) {
		struct chunk_desc desc = read_chunk();

		CHECK_EQ(desc.pos, got);
		got += desc.len_bytes;
	}
	CHECK_STATUS(tcpx_xfer_release(stage.pair.b->s, xfer), TCPX_OK);
	region_fini(&region);
	close_all();
}

/* We READ: bytes that come while most of the list has not left are placed. */
static void read_initiator(void)
{
	enum { LEN = 100, CHUNKS = 20 };
	struct tcpx_xfer_info info = {0};
	struct msg_write request;
	struct region region;
	struct wire_reader r;

	open_all();
	uint64_t xfer = post_scattered(TCPX_OP_READ, &region);

	hear_request(MSG_READ, &r);
	CHECK_STATUS(msg_write_decode(&r, &request), TCPX_OK);
	for (uint64_t seq = 0; seq < CHUNKS; seq++) {
		struct chunk_desc desc = {.seq = seq,
					  .xfer = request.xfer,
					  .pos = seq * LEN,
					  .len_bytes = LEN,
					  .flags = CHUNK_REPLY};

		evil_send_chunk(&stage.evil, &desc, buf, LEN);
	}
	for (int i = 0; i < SOON && info.moved_bytes < CHUNKS * LEN; i++) {
		test_sleep_ms(1);
		CHECK_STATUS(tcpx_xfer_query(stage.pair.b->s, xfer, &info),
			     TCPX_OK);
	}
	CHECK_EQ(info.moved_bytes, CHUNKS * LEN);
	CHECK_STATUS(info.status, TCPX_INPROGRESS);
	CHECK_STATUS(tcpx_xfer_release(stage.pair.b->s, xfer), TCPX_OK);
	region_fini(&region);
	close_all();
}

static const struct check_case cases[] = {
	{"read_target", read_target, 0},
	{"write_target", write_target, 0},
	{"write_initiator", write_initiator, 60},
	{"read_initiator", read_initiator, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
