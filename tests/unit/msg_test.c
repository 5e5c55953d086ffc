/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/msg.h"

#include <tcpx/p2p.h>

#include "check.h"
#include "fuzz/any_msg.h"
#include "fuzz/samples.h"

static uint8_t frame[MSG_HEADER_BYTES + MSG_BODY_MAX], again[MSG_BODY_MAX];

static const struct sample_msg *sample(const char *name)
{
	for (size_t i = 0; i < n_sample_msgs; i++) {
		if (strcmp(sample_msgs[i].name, name) == 0)
			return &sample_msgs[i];
	}
	CHECK(!"a sample of that name");
	return NULL;
}

/* ---- the header ------------------------------------------------------- */

static void header_bytes(void)
{
	static const char want[] = "\x01\x02\x00\x00\x06\x00\x00\x00"
				   "\x08\x07\x06\x05\x04\x03\x02\x01"
				   "\x18\x17\x16\x15\x14\x13\x12\x11";
	const struct msg_header h = {0x201, MSG_WRITE, 0, 0x0102030405060708,
				     0x1112131415161718};
	uint8_t buf[MSG_HEADER_BYTES];
	struct msg_header got;

	msg_header_encode(&h, buf);
	CHECK_MEM(buf, want, sizeof(buf));
	CHECK_STATUS(msg_header_decode(buf, &got), 0);
	CHECK_EQ(got.body_bytes, h.body_bytes);
	CHECK_EQ(got.type, h.type);
	CHECK_EQ(got.seq, h.seq);
	CHECK_EQ(got.ack, h.ack);
}

static const struct {
	struct msg_header h;
	int want;
} headers[] = {
	{{1, MSG_GOODBYE, 0, 1, 0}, 0},
	{{1, MSG_LANE_DOWN, 0, UINT64_MAX, UINT64_MAX}, 0},
	{{0, MSG_HEARTBEAT, 0, 0, 5}, 0},
	{{0, MSG_ACK, 0, 0, 0}, 0},
	{{MSG_BODY_MAX, MSG_LIST, 0, 1, 0}, 0},
	{{MSG_BODY_MAX + 1, MSG_LIST, 0, 1, 0}, TCPX_EPROTO},
	{{UINT32_MAX, MSG_LIST, 0, 1, 0}, TCPX_EPROTO},
	{{0, MSG_WRITE, 0, 1, 0}, TCPX_EPROTO},
	{{1, MSG_WRITE, 0, 0, 0}, TCPX_EPROTO},
	{{0, MSG_ACK, 0, 1, 0}, TCPX_EPROTO},
	{{1, MSG_ACK, 0, 0, 0}, TCPX_EPROTO},
	{{0, MSG_HEARTBEAT, 0, 1, 0}, TCPX_EPROTO},
	{{1, MSG_WRITE, 1, 1, 0}, TCPX_EPROTO},
	{{1, MSG_WRITE, 0x8000, 1, 0}, TCPX_EPROTO},
	{{1, 0, 0, 1, 0}, TCPX_EPROTO},
	{{1, MSG_TYPE_END, 0, 1, 0}, TCPX_EPROTO},
	{{1, UINT16_MAX, 0, 1, 0}, TCPX_EPROTO},
};

static void headers_by_table(void)
{
	uint8_t buf[MSG_HEADER_BYTES];
	struct msg_header got;

	for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
		fprintf(stderr, "header %zu\n", i);
		msg_header_encode(&headers[i].h, buf);
		CHECK_STATUS(msg_header_decode(buf, &got), headers[i].want);
	}
}

/* ---- every body ------------------------------------------------------- */

static void every_type_has_a_sample(void)
{
	for (uint16_t type = 1; type < MSG_TYPE_END; type++) {
		size_t i = 0;

		while (i < n_sample_msgs && sample_msgs[i].type != type)
			i++;
		fprintf(stderr, "type %u\n", type);
		CHECK(i < n_sample_msgs);
	}
}

static void round_trips(void)
{
	for (size_t i = 0; i < n_sample_msgs; i++) {
		const struct sample_msg *s = &sample_msgs[i];
		size_t n = sample_msg_frame(s, 5, frame) - MSG_HEADER_BYTES;
		struct msg_header h;
		union any_msg m;

		fprintf(stderr, "%s\n", s->name);
		CHECK_STATUS(msg_header_decode(frame, &h), 0);
		CHECK_EQ(h.type, s->type);
		CHECK_EQ(h.body_bytes, n);
		memset(&m, 0xee, sizeof(m));
		CHECK_STATUS(any_msg_decode(h.type, frame + MSG_HEADER_BYTES, n,
					    &m),
			     0);
		CHECK_EQ(any_msg_encode(h.type, &m, again, sizeof(again)), n);
		CHECK_MEM(again, frame + MSG_HEADER_BYTES, n);
	}
}

/* In memory of exactly that length, for the sanitizer's sake. */
static int decode_copy(uint16_t type, const uint8_t *body, size_t len_bytes)
{
	uint8_t *copy = malloc(len_bytes + 1);
	union any_msg m;
	int rc;

	CHECK(copy);
	memcpy(copy + 1, body, len_bytes);
	rc = any_msg_decode(type, copy + 1, len_bytes, &m);
	free(copy);
	return rc;
}

static void truncations_and_extensions(void)
{
	for (size_t i = 0; i < n_sample_msgs; i++) {
		const struct sample_msg *s = &sample_msgs[i];
		size_t n = sample_msg_frame(s, 5, frame) - MSG_HEADER_BYTES;
		size_t least = n - s->tail_bytes + s->tail_least;
		const uint8_t *body = frame + MSG_HEADER_BYTES;

		fprintf(stderr, "%s\n", s->name);
		CHECK(s->tail_bytes >= s->tail_least);
		for (size_t cut = 0; cut < n; cut++)
			CHECK_STATUS(decode_copy(s->type, body, cut),
				     cut < least ? TCPX_EPROTO : 0);
		for (int b = 0; b < 256 && s->tail_bytes == 0; b++) {
			frame[MSG_HEADER_BYTES + n] = (uint8_t)b;
			if (!strcmp(s->name, "notify_empty") ||
			    !strncmp(s->name, "lane", 4))
				continue; /* a tail that is empty here */
			CHECK_STATUS(decode_copy(s->type, body, n + 1),
				     TCPX_EPROTO);
		}
	}
}

static void a_small_writer_fails(void)
{
	uint8_t small[512];

	for (size_t i = 0; i < n_sample_msgs; i++) {
		const struct sample_msg *s = &sample_msgs[i];
		int n = any_msg_encode(s->type, &s->m, small, sizeof(small));

		CHECK(n >= 0);
		for (int cap = 0; cap < n; cap++)
			CHECK_STATUS(any_msg_encode(s->type, &s->m, small,
						    (size_t)cap),
				     TCPX_ENOSPC);
	}
}

/* ---- what must not be ------------------------------------------------- */

static int recode(uint16_t type, const union any_msg *m)
{
	union any_msg got;
	int n = any_msg_encode(type, m, frame, sizeof(frame));

	CHECK(n >= 0);
	return any_msg_decode(type, frame, (size_t)n, &got);
}

/* The sample with one field changed. */
#define CHANGED(name, change, want)                                            \
	do {                                                                   \
		const struct sample_msg *s_ = sample(name);                    \
		union any_msg m = s_->m;                                       \
		fprintf(stderr, "%s: %s\n", name, #change);                    \
		change;                                                        \
		CHECK_STATUS(recode(s_->type, &m), want);                      \
	} while (0)

static void lists(void)
{
	CHANGED("list", m.list.total_segs = 0, TCPX_EPROTO);
	CHANGED("list", m.list.total_segs = 2, TCPX_EPROTO);
	CHANGED("list", m.list.total_segs = 4, 0);
	CHANGED("list", m.list.total_segs = WIRE_SEGS_MAX + 1, TCPX_EPROTO);
	CHANGED("list", m.list.count = 0, TCPX_EPROTO);
	CHANGED("list", m.list.count = UINT32_MAX, TCPX_EPROTO);
	CHANGED("list", m.list.first = 1, TCPX_EPROTO);
	CHANGED("list", m.list.total_bytes = 2, TCPX_EPROTO);
	CHANGED("list", m.list.total_bytes = 3, 0);
	CHANGED("list", m.list.total_bytes = 3ull * WIRE_SEG_MAX, 0);
	CHANGED("list", m.list.total_bytes = 3ull * WIRE_SEG_MAX + 1,
		TCPX_EPROTO);
	CHANGED("list", m.list.n_regions = 0, TCPX_EPROTO);
	CHANGED("list", m.list.n_regions = 1, TCPX_EPROTO);
	CHANGED("list", m.list.n_regions = 0x10000002, TCPX_EPROTO);
	CHANGED("list", m.list.regions.len_bytes = 31, TCPX_EPROTO);
	CHANGED("list", m.list.segs.len_bytes = 0, TCPX_EPROTO);
	CHANGED("list_more", m.list.first = 0, TCPX_EPROTO);
	CHANGED("list_more", m.list.first = WIRE_SEGS_MAX, TCPX_EPROTO);
	CHANGED("list_more", m.list.first = UINT32_MAX, TCPX_EPROTO);
	CHANGED("list_more", m.list.count = 2, TCPX_EPROTO);
	CHANGED("list_more", m.list.total_bytes = TCPX_XFER_MAX + 1,
		TCPX_EPROTO);
	CHANGED("list_more", m.list.regions = sample("list")->m.list.regions,
		TCPX_EPROTO);
}

static void parts_of_lists(void)
{
	CHANGED("list",
		(m.list.total_segs = WIRE_SEGS_MAX,
		 m.list.total_bytes = WIRE_SEGS_MAX,
		 m.list.count = WIRE_PART_SEGS_MAX),
		0);
	CHANGED("list",
		(m.list.total_segs = WIRE_SEGS_MAX,
		 m.list.total_bytes = WIRE_SEGS_MAX,
		 m.list.count = WIRE_PART_SEGS_MAX + 1),
		TCPX_EPROTO);
}

static void tables_of_regions(void)
{
	static uint8_t rows[(MSG_REGIONS_MAX + 1) * 16];
	struct msg_region region;

	CHANGED("list",
		(m.list.n_regions = MSG_REGIONS_MAX,
		 m.list.regions = (struct msg_bytes){rows, sizeof(rows) - 16}),
		0);
	CHANGED("list",
		(m.list.n_regions = MSG_REGIONS_MAX + 1,
		 m.list.regions = (struct msg_bytes){rows, sizeof(rows)}),
		TCPX_EPROTO);
	region = msg_list_region(&sample("list")->m.list.regions, 1);
	CHECK_EQ(region.mem, 0x22);
	CHECK_EQ(region.key, 0xb8b7b6b5b4b3b2b1);
	msg_region_encode(&region, rows);
	CHECK_MEM(rows,
		  (const uint8_t *)sample("list")->m.list.regions.data + 16,
		  16);
}

static void requests(void)
{
	CHANGED("write", m.write.total_bytes = 0, TCPX_EPROTO);
	CHANGED("write", m.write.total_bytes = TCPX_XFER_MAX, 0);
	CHANGED("write", m.write.total_bytes = TCPX_XFER_MAX + 1, TCPX_EPROTO);
	CHANGED("write", m.write.notify = 3, TCPX_EPROTO);
	CHANGED("write", m.write.notify = NOTIFY_INLINE, 0);
	CHANGED("write_note", m.write.notify = NOTIFY_NONE, TCPX_EPROTO);
	CHANGED("write_note", m.write.notify = NOTIFY_PARTS, TCPX_EPROTO);
	CHANGED("read_end", m.read_end.status = TCPX_EREMOTE, TCPX_EPROTO);
	CHANGED("read_end", m.read_end.status = 1, TCPX_EPROTO);
	CHANGED("read_failed", m.read_end.notify = NOTIFY_PARTS, TCPX_EPROTO);
	CHANGED("done", m.done.status = TCPX_INPROGRESS, TCPX_EPROTO);
	CHANGED("goodbye", m.goodbye.status = 1, TCPX_EPROTO);
}

static void small_ones(void)
{
	CHANGED("put", m.put.n_segs = 0, TCPX_EPROTO);
	CHANGED("put", m.put.n_segs = 8, 0);
	CHANGED("put", m.put.n_segs = 9, TCPX_EPROTO);
	CHANGED("put", m.put.n_regions = 1, TCPX_EPROTO);
	CHANGED("put", (m.put.n_regions = 0, m.put.regions.len_bytes = 0),
		TCPX_EPROTO);
	CHANGED("put", m.put.segs.len_bytes = 0, TCPX_EPROTO);
	CHANGED("put", m.put.data.len_bytes = 0, TCPX_EPROTO);
	CHANGED("put", m.put.notify = NOTIFY_NONE, TCPX_EPROTO);
	CHANGED("get", m.get.n_segs = 0, TCPX_EPROTO);
	CHANGED("get", m.get.n_segs = WIRE_PART_SEGS_MAX, 0);
	CHANGED("get", m.get.n_segs = WIRE_PART_SEGS_MAX + 1, TCPX_EPROTO);
	CHANGED("get", (m.get.n_regions = 0, m.get.regions.len_bytes = 0),
		TCPX_EPROTO);
	CHANGED("get", m.get.segs.len_bytes = 0, TCPX_EPROTO);
	CHANGED("get_data", m.get_data.data.len_bytes = 0, TCPX_EPROTO);
	CHANGED("send", m.send.total_bytes = 0, TCPX_EPROTO);
	CHANGED("send", m.send.total_bytes = TCPX_XFER_MAX + 1, TCPX_EPROTO);
	CHANGED("send", m.send.early = 1, TCPX_EPROTO);
	CHANGED("send_early", m.send.early = 0, TCPX_EPROTO);
	CHANGED("send_early", m.send.early = 2, TCPX_EPROTO);
	CHANGED("send_early", m.send.total_bytes = 9, TCPX_EPROTO);
	CHANGED("send_early", m.send.notify = NOTIFY_PARTS, TCPX_EPROTO);
}

static void channels_and_notes(void)
{
	CHANGED("chunk", m.chunk.desc.len_bytes = 0, TCPX_EPROTO);
	CHANGED("chunk", m.chunk.desc.flags = CHUNK_LENT, TCPX_EPROTO);
	CHANGED("chunk", m.chunk.desc.flags = 8, TCPX_EPROTO);
	CHANGED("channel_down", m.channel.to_receiver = 2, TCPX_EPROTO);
	CHANGED("channel_down", m.channel.status = 1, TCPX_EPROTO);
	CHANGED("lane_offer", m.lane.to_receiver = 2, TCPX_EPROTO);
	CHANGED("lane_offer", m.lane.status = 1, TCPX_EPROTO);
	CHANGED("lane_offer",
		m.lane.address = ((struct msg_bytes){again, MSG_ADDR_MAX}), 0);
	CHANGED("lane_offer",
		m.lane.address = ((struct msg_bytes){again, MSG_ADDR_MAX + 1}),
		TCPX_EPROTO);
	CHANGED("notify", m.notify.notify = NOTIFY_NONE, TCPX_EPROTO);
	CHANGED("notify", m.notify.notify = NOTIFY_PARTS, TCPX_EPROTO);
	CHANGED("notify", m.notify.notify = 3, TCPX_EPROTO);
	CHANGED("notify_part", m.notify_part.total_bytes = 32771, TCPX_EPROTO);
	CHANGED("notify_part", m.notify_part.total_bytes = 32772, 0);
	CHANGED("notify_part", m.notify_part.total_bytes = TCPX_NOTIFY_MAX + 1,
		TCPX_EPROTO);
	CHANGED("notify_part", m.notify_part.off = TCPX_NOTIFY_MAX,
		TCPX_EPROTO);
	CHANGED("notify_part", m.notify_part.off = UINT32_MAX, TCPX_EPROTO);
	CHANGED("notify_part", m.notify_part.bytes.len_bytes = 0, TCPX_EPROTO);
}

/* A length in front of a part that says more than the body has. */
static void lengths_that_lie(void)
{
	const struct sample_msg *s = sample("put");
	uint8_t *length = frame + MSG_HEADER_BYTES + 8 + 1 + 4 + 4;
	size_t n = sample_msg_frame(s, 5, frame) - MSG_HEADER_BYTES;
	static const uint32_t lies[] = {31, 33, 1000, MSG_BODY_MAX, UINT32_MAX};

	CHECK_EQ(length[0], 32);
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		for (int b = 0; b < 4; b++)
			length[b] = (uint8_t)(lies[i] >> 8 * b);
		CHECK_STATUS(decode_copy(MSG_PUT, frame + MSG_HEADER_BYTES, n),
			     TCPX_EPROTO);
	}
}

static void a_rejected_body_leaves_nothing(void)
{
	static const uint8_t junk[400];
	union any_msg m, before;

	memset(&before, 0x5a, sizeof(before));
	for (uint16_t type = MSG_GOODBYE; type < MSG_TYPE_END; type++) {
		m = before;
		CHECK_STATUS(any_msg_decode(type, junk, sizeof(junk), &m),
			     type == MSG_GET_DATA ? 0 : TCPX_EPROTO);
		if (type != MSG_GET_DATA)
			CHECK_MEM(&m, &before, sizeof(m));
	}
}

static const struct check_case cases[] = {
	{"header_bytes", header_bytes, 0},
	{"headers_by_table", headers_by_table, 0},
	{"every_type_has_a_sample", every_type_has_a_sample, 0},
	{"round_trips", round_trips, 0},
	{"truncations_and_extensions", truncations_and_extensions, 0},
	{"a_small_writer_fails", a_small_writer_fails, 0},
	{"lists", lists, 0},
	{"parts_of_lists", parts_of_lists, 0},
	{"tables_of_regions", tables_of_regions, 0},
	{"requests", requests, 0},
	{"small_ones", small_ones, 0},
	{"channels_and_notes", channels_and_notes, 0},
	{"lengths_that_lie", lengths_that_lie, 0},
	{"a_rejected_body_leaves_nothing", a_rejected_body_leaves_nothing, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
