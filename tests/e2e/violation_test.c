/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A peer with the secret that does not keep to the protocol: its connection
 * ends, with one line of log; no byte of ours is touched, and others go on.
 */
#include <sys/socket.h>

#include "check.h"
#include "e2e/raw.h"
#include "e2e/stage.h"
#include "support/scale.h"

static void say_numbers(const uint64_t *words, size_t n, uint16_t type)
{
	evil_begin(&stage.evil);
	for (size_t i = 0; i < n; i++)
		wire_write_u64(&stage.evil.w, words[i]);
	evil_say(&stage.evil, type);
}

static void say_cancel(uint64_t xfer)
{
	struct msg_xfer msg = {xfer};

	evil_begin(&stage.evil);
	msg_xfer_encode(&stage.evil.w, &msg);
	evil_say(&stage.evil, MSG_CANCEL);
}

static void say_header(uint32_t body_bytes, uint16_t type, uint16_t flags,
		       uint64_t seq, uint64_t ack)
{
	struct msg_header header = {body_bytes, type, flags, seq, ack};

	evil_begin(&stage.evil);
	for (uint32_t i = 0; i < body_bytes && i < MSG_BODY_MAX; i++)
		wire_write_u8(&stage.evil.w, 0);
	evil_say_as(&stage.evil, &header);
}

static void too_long(void)
{
	say_header(MSG_BODY_MAX + 1, MSG_HEARTBEAT, 0, 0, 0);
}

static void far_too_long(void)
{
	say_header(UINT32_MAX, MSG_WRITE, 0, 1, 0);
}

static void unknown_type(void)
{
	say_header(0, MSG_TYPE_END, 0, 1, 0);
}

static void unknown_flags(void)
{
	say_header(0, MSG_HEARTBEAT, 0x8000, 0, 0);
}

static void heartbeat_with_body(void)
{
	say_header(10, MSG_HEARTBEAT, 0, 0, 0);
}

static void no_number(void)
{
	say_header(8, MSG_CANCEL, 0, 0, 0);
}

static void number_skipped(void)
{
	say_header(8, MSG_LIST_DROP, 0, 2, 0);
}

static void number_twice(void)
{
	say_header(8, MSG_LIST_DROP, 0, 1, 0);
	say_header(8, MSG_LIST_DROP, 0, 1, 0);
}

static void ack_of_the_future(void)
{
	say_header(0, MSG_ACK, 0, 0, 1ull << 40);
}

static void write_without_list(void)
{
	say_write(MSG_WRITE, 1, 77, 100);
}

static void read_without_list(void)
{
	say_write(MSG_READ, 1, 77, 100);
}

static void total_lies(void)
{
	good_list(1, 1000);
	say_write(MSG_WRITE, 1, 1, 999);
}

static void list_total_lies(void)
{
	struct evil_list list;

	evil_list(&list, stage.open_mem.mem, stage.open_mem.key, 0, 1000);
	evil_send_list(&stage.evil, 1, &list, 5000);
}

static void list_twice(void)
{
	good_list(1, 1000);
	good_list(1, 1000);
}

static void list_in_use_twice(void)
{
	good_list(1, 1000);
	say_write(MSG_WRITE, 1, 1, 1000);
	say_write(MSG_WRITE, 2, 1, 1000);
}

static void ids_backwards(void)
{
	good_list(1, 1000);
	good_list(2, 1000);
	say_write(MSG_WRITE, 5, 1, 1000);
	say_write(MSG_WRITE, 4, 2, 1000);
}

static void say_list(uint32_t total_segs, uint32_t first, uint32_t count,
		     uint32_t n_regions, uint64_t total_bytes)
{
	struct evil_list list;
	struct msg_list msg = {.list = 9,
			       .total_segs = total_segs,
			       .first = first,
			       .count = count,
			       .total_bytes = total_bytes,
			       .n_regions = n_regions};

	evil_list(&list, stage.open_mem.mem, stage.open_mem.key, 0, 1000);
	msg.regions = list.regions;
	msg.segs = list.encoded;
	evil_begin(&stage.evil);
	msg_list_encode(&stage.evil.w, &msg);
	evil_say(&stage.evil, MSG_LIST);
}

static void list_starts_late(void)
{
	say_list(10, 5, 1, 0, 10000);
}

static void list_of_billions(void)
{
	say_list(4000000000u, 0, 1, 1, 4000000000000ull);
}

static void list_counts_wrong(void)
{
	say_list(10, 0, 9, 1, 10000);
}

static void list_counts_zero(void)
{
	say_list(1, 0, 0, 1, 1000);
}

static void list_of_many_regions(void)
{
	say_list(1, 0, 1, 0x10000001, 1000);
}

static void list_beyond_all(void)
{
	say_list(1, 0, 1, 1, UINT64_MAX);
}

static void say_put(uint32_t data_bytes, uint32_t n_segs, uint32_t seg_bytes)
{
	static uint8_t data[40000];
	struct evil_list list;
	struct msg_put msg = {.xfer = 1, .n_segs = n_segs, .n_regions = 1};

	evil_list(&list, stage.open_mem.mem, stage.open_mem.key, 0, seg_bytes);
	msg.regions = list.regions;
	msg.segs = list.encoded;
	msg.data = (struct msg_bytes){data, data_bytes};
	evil_begin(&stage.evil);
	msg_put_encode(&stage.evil.w, &msg);
	evil_say(&stage.evil, MSG_PUT);
}

static void put_of_too_few(void)
{
	say_put(50, 1, 100);
}

static void put_of_too_many(void)
{
	say_put(150, 1, 100);
}

static void put_of_billions(void)
{
	say_put(100, UINT32_MAX, 100);
}

static void get_of_too_much(void)
{
	struct evil_list list;
	struct msg_get msg = {.xfer = 1, .n_segs = 1, .n_regions = 1};

	evil_list(&list, stage.open_mem.mem, stage.open_mem.key, 0, STAGE_LEN);
	msg.regions = list.regions;
	msg.segs = list.encoded;
	evil_begin(&stage.evil);
	msg_get_encode(&stage.evil.w, &msg);
	evil_say(&stage.evil, MSG_GET);
}

static void done_of_nothing(void)
{
	struct msg_done msg = {.xfer = 12345};

	evil_begin(&stage.evil);
	msg_done_encode(&stage.evil.w, &msg);
	evil_say(&stage.evil, MSG_DONE);
}

static void go_for_nothing(void)
{
	struct msg_send_go msg = {12345, WIRE_DEVICE_HOST};

	evil_begin(&stage.evil);
	msg_send_go_encode(&stage.evil.w, &msg);
	evil_say(&stage.evil, MSG_SEND_GO);
}

static void cancel_of_the_future(void)
{
	say_cancel(12345);
}

static void say_part(uint32_t total, uint32_t off, uint32_t len)
{
	static uint8_t bytes[40000];
	struct msg_notify_part msg = {total, off, {bytes, len}};

	evil_begin(&stage.evil);
	msg_notify_part_encode(&stage.evil.w, &msg);
	evil_say(&stage.evil, MSG_NOTIFY_PART);
}

static void note_too_big(void)
{
	say_part(TCPX_NOTIFY_MAX + 1, 0, 100);
}

static void note_part_missing(void)
{
	say_part(1000, 0, 100);
	say_part(1000, 300, 100);
}

static void note_part_beyond(void)
{
	say_part(1000, 0, 900);
	say_part(1000, 900, 200);
}

static void note_of_no_parts(void)
{
	struct msg_notify msg = {.notify = NOTIFY_PARTS};

	evil_begin(&stage.evil);
	msg_notify_encode(&stage.evil.w, &msg);
	evil_say(&stage.evil, MSG_NOTIFY);
}

/* More notifications than the window holds, without waiting. */
static void note_flood(void)
{
	static uint8_t bytes[32768];
	struct msg_notify msg = {NOTIFY_INLINE, {bytes, sizeof(bytes)}};

	for (int i = 0; i < 2000; i++) {
		evil_begin(&stage.evil);
		msg_notify_encode(&stage.evil.w, &msg);
		evil_say(&stage.evil, MSG_NOTIFY);
	}
}

/* SENDs that nobody receives, by the hundred thousand. */
static void send_flood(void)
{
	static uint8_t bytes[8000];
	struct msg_send msg = {.early = 1,
			       .total_bytes = sizeof(bytes),
			       .data = {bytes, sizeof(bytes)}};

	for (uint64_t i = 1; i < 20000; i++) {
		msg.xfer = i;
		msg.tag = i;
		evil_begin(&stage.evil);
		msg_send_encode(&stage.evil.w, &msg);
		evil_say(&stage.evil, MSG_SEND);
	}
}

/* Lists by the million segments that no request ever uses. */
/* Short ones, each in use: of one segment, but not for nothing. */
static void short_list_flood(void)
{
	for (uint64_t i = 1; i < 16000; i++) {
		good_list(i, 1);
		say_write(MSG_WRITE, i, i, 1);
	}
}

static void list_flood(void)
{
	for (uint64_t i = 1; i < 3000; i++) {
		struct msg_list msg = {.list = i,
				       .total_segs = 900000,
				       .count = 1,
				       .total_bytes = 900000000,
				       .n_regions = 1};
		struct evil_list list;

		evil_list(&list, stage.open_mem.mem, stage.open_mem.key, 0,
			  1000);
		msg.regions = list.regions;
		msg.segs = list.encoded;
		evil_begin(&stage.evil);
		msg_list_encode(&stage.evil.w, &msg);
		evil_say(&stage.evil, MSG_LIST);
	}
}

static void short_bodies(void)
{
	const uint64_t words[2] = {1, 1};

	say_numbers(words, 2, MSG_WRITE);
}

static void lane_of_nowhere(void)
{
	struct msg_lane msg = {
		.channel = 0xffffffff, .generation = 1, .transport = "nowhere"};

	evil_begin(&stage.evil);
	msg_lane_encode(&stage.evil.w, &msg);
	evil_say(&stage.evil, MSG_LANE_OFFER);
}

static void credit_flood(void)
{
	for (uint32_t i = 0; i < 200000; i++) {
		struct msg_credit msg = {
			.channel = i, .generation = 7, .granted = UINT64_MAX};

		evil_begin(&stage.evil);
		msg_credit_encode(&stage.evil.w, &msg);
		evil_say(&stage.evil, MSG_CREDIT);
	}
}

static const struct {
	const char *name;
	void (*fn)(void);
	bool may_live; /* harmless nonsense may be ignored */
} violations[] = {
	{"too_long", too_long, false},
	{"far_too_long", far_too_long, false},
	{"unknown_type", unknown_type, false},
	{"unknown_flags", unknown_flags, false},
	{"heartbeat_with_body", heartbeat_with_body, false},
	{"no_number", no_number, false},
	{"number_skipped", number_skipped, false},
	{"number_twice", number_twice, false},
	{"ack_of_the_future", ack_of_the_future, false},
	{"write_without_list", write_without_list, false},
	{"read_without_list", read_without_list, false},
	{"total_lies", total_lies, false},
	{"list_total_lies", list_total_lies, false},
	{"list_twice", list_twice, false},
	{"list_in_use_twice", list_in_use_twice, false},
	{"ids_backwards", ids_backwards, false},
	{"list_starts_late", list_starts_late, false},
	{"list_of_billions", list_of_billions, false},
	{"list_counts_wrong", list_counts_wrong, false},
	{"list_counts_zero", list_counts_zero, false},
	{"list_of_many_regions", list_of_many_regions, false},
	{"list_beyond_all", list_beyond_all, false},
	{"put_of_too_few", put_of_too_few, false},
	{"put_of_too_many", put_of_too_many, false},
	{"put_of_billions", put_of_billions, false},
	{"get_of_too_much", get_of_too_much, false},
	{"done_of_nothing", done_of_nothing, true},
	{"go_for_nothing", go_for_nothing, true},
	{"cancel_of_the_future", cancel_of_the_future, false},
	{"note_too_big", note_too_big, false},
	{"note_part_missing", note_part_missing, false},
	{"note_part_beyond", note_part_beyond, false},
	{"note_of_no_parts", note_of_no_parts, false},
	{"note_flood", note_flood, false},
	{"send_flood", send_flood, false},
	{"list_flood", list_flood, false},
	{"short_list_flood", short_list_flood, false},
	{"short_bodies", short_bodies, false},
	{"lane_of_nowhere", lane_of_nowhere, true},
	{"credit_flood", credit_flood, true},
};

static void drain_notes(void)
{
	struct tcpx_notification *note;

	while (!tcpx_notify_poll(stage.pair.b->s, &note))
		tcpx_notify_free(note);
}

static void violation(size_t i)
{
	unsigned int before = sess_warnings(stage.pair.b);
	int status;

	fprintf(stderr, "%s:\n", violations[i].name);
	evil_open(&stage.evil, stage.pair.b);
	violations[i].fn();
	if (!violations[i].may_live)
		CHECK(evil_was_dropped(&stage.evil, SOON));
	evil_close(&stage.evil);
	wait_lost(&status);
	if (!violations[i].may_live) {
		CHECK_STATUS(status, TCPX_EPROTO);
		CHECK_EQ(sess_await_warnings(stage.pair.b, before + 1),
			 before + 1);
	}
	drain_notes();
	others_go_on();
}

static void violated(void)
{
	stage_open();
	for (size_t i = 0; i < sizeof(violations) / sizeof(*violations); i++)
		violation(i);
	stage_close();
}

/* ---- done before it was sent ---- */

#define EARLY_LEN (512u * 1024) /* a chunk */

struct early {
	const char *name;
	enum tcpx_op op;
	uint32_t len_bytes;
	uint64_t granted; /* chunks; of more than one a part is never cut */
	bool go; /* a SEND is matched */
};

/* What the victim has posted to the evil peer, and how it is called there. */
static uint64_t hear_request(const struct early *early)
{
	struct msg_send_go go = {.device = WIRE_DEVICE_HOST};
	struct wire_reader r;
	struct msg_write write;
	struct msg_send send;

	if (early->op == TCPX_OP_WRITE) {
		CHECK(evil_hear(&stage.evil, MSG_WRITE, &r, SOON));
		CHECK_STATUS(msg_write_decode(&r, &write), TCPX_OK);
		return write.xfer;
	}
	CHECK(evil_hear(&stage.evil, MSG_SEND, &r, SOON));
	CHECK_STATUS(msg_send_decode(&r, &send), TCPX_OK);
	go.xfer = send.xfer;
	if (early->go) {
		evil_begin(&stage.evil);
		msg_send_go_encode(&stage.evil.w, &go);
		evil_say(&stage.evil, MSG_SEND_GO);
	}
	return send.xfer;
}

/* None of what the memory holds now has been sent. */
static void check_flow(uint8_t now)
{
	static uint8_t buf[1 << 16];
	ssize_t n;

	while ((n = raw_read(stage.evil.flow, buf, sizeof(buf), SOON)) > 0)
		for (ssize_t i = 0; i < n; i++)
			CHECK(buf[i] != now);
}

static void done_early(const struct early *early)
{
	unsigned int before = sess_warnings(stage.pair.b);
	struct sess *victim = stage.pair.b;
	struct region region;
	uint64_t peer, mem, remote = 0, xfer;
	int status, small = 4096;

	fprintf(stderr, "%s:\n", early->name);
	region_init(&region, early->len_bytes, 1);
	memset(region.data, 'a', early->len_bytes);
	evil_open(&stage.evil, victim);
	evil_open_flow(&stage.evil);
	setsockopt(stage.evil.flow, SOL_SOCKET, SO_RCVBUF, &small,
		   sizeof(small));
	peer = stage_evil_peer();
	mem = sess_register(victim, &region, 0);
	if (early->op == TCPX_OP_WRITE)
		remote = stage_evil_mem(early->len_bytes);
	xfer = xfer_one(victim, peer, early->op, mem, 0, remote, 0,
			early->len_bytes);
	evil_send_credit(&stage.evil, early->granted, 0);
	CHECK_STATUS(tcpx_xfer_post(victim->s, xfer, NULL), TCPX_OK);
	/* As far as it gets: nobody reads the flow. */
	uint64_t id = hear_request(early);
	test_sleep_ms(200);
	evil_send_done(&stage.evil, id, TCPX_OK);
	CHECK_STATUS(tcpx_xfer_wait(victim->s, xfer, SOON), TCPX_EPROTO);
	CHECK_STATUS(tcpx_xfer_release(victim->s, xfer), TCPX_OK);
	memset(region.data, 'S', early->len_bytes);
	CHECK(evil_was_dropped(&stage.evil, SOON));
	check_flow('S');
	wait_lost(&status);
	CHECK_STATUS(status, TCPX_EPROTO);
	sess_must_warn(victim, before + 1, "lost peer evil: ");
	evil_close(&stage.evil);
	CHECK_STATUS(tcpx_mem_deregister(victim->s, mem), TCPX_OK);
	region_fini(&region);
	others_go_on();
}

static void done_too_early(void)
{
	static const struct early all[] = {
		{"a WRITE, not cut yet", TCPX_OP_WRITE, EARLY_LEN, 0, false},
		{"a WRITE, in part", TCPX_OP_WRITE, 2 * EARLY_LEN, 1, false},
		{"a WRITE being sent", TCPX_OP_WRITE, EARLY_LEN, 64, false},
		{"a WRITE, chunks behind", TCPX_OP_WRITE, 4 * EARLY_LEN, 64,
		 false},
		{"a SEND without a RECV", TCPX_OP_SEND, EARLY_LEN, 64, false},
		{"a SEND being sent", TCPX_OP_SEND, EARLY_LEN, 64, true},
	};

	/* The kernel is not to take all of it. */
	setenv("TCPX_SOCKET_BUFFER", "64K", 1);
	stage_open();
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		done_early(&all[i]);
	stage_close();
}

static const struct check_case cases[] = {
	{"violated", violated, 180},
	{"done_too_early", done_too_early, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
