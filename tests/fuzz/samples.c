/* SPDX-License-Identifier: Apache-2.0 */
#include "samples.h"

#include <stdlib.h>

#define BYTES(text)                                                            \
	{                                                                      \
		text, sizeof(text) - 1                                         \
	}

/* Two rows of a table of regions, mem 0x11 and 0x22. */
#define REGIONS                                                                \
	"\x11\0\0\0\0\0\0\0\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8"                   \
	"\x22\0\0\0\0\0\0\0\xb1\xb2\xb3\xb4\xb5\xb6\xb7\xb8"

/* clang-format off */
const struct sample_msg sample_msgs[] = {
	{"heartbeat", MSG_HEARTBEAT, 0, 0, {{0}}},
	{"ack", MSG_ACK, 0, 0, {{0}}},
	{"goodbye", MSG_GOODBYE, 0, 0,
	 {.goodbye = {TCPX_ESHUTDOWN, "the session is closing"}}},
	{"list", MSG_LIST, 6, 1,
	 {.list = {7, 3, 0, 3, 12288, 2, BYTES(REGIONS),
		   BYTES("\x05\x80\x20\x03\x80\x40")}}},
	{"list_more", MSG_LIST, 3, 1,
	 {.list = {7, 1001024, 1001023, 1, TCPX_XFER_MAX, 0, {NULL, 0},
		   BYTES("\x04\x80\x01")}}},
	{"list_drop", MSG_LIST_DROP, 0, 0, {.list_drop = {7}}},
	{"write", MSG_WRITE, 0, 0, {.write = {9, 7, 12288, 0, NOTIFY_NONE, {0}}}},
	{"write_note", MSG_WRITE, 5, 0,
	 {.write = {9, 7, 12288, 0, NOTIFY_INLINE, BYTES("hello")}}},
	{"write_parts", MSG_WRITE, 0, 0,
	 {.write = {9, 7, TCPX_XFER_MAX, 0, NOTIFY_PARTS, {0}}}},
	{"read", MSG_READ, 0, 0, {.write = {10, 7, 12288, 3, NOTIFY_NONE, {0}}}},
	{"read_end", MSG_READ_END, 2, 0,
	 {.read_end = {10, 0, NOTIFY_INLINE, BYTES("ok")}}},
	{"read_failed", MSG_READ_END, 0, 0,
	 {.read_end = {10, TCPX_ECANCELED, NOTIFY_NONE, {0}}}},
	{"put", MSG_PUT, 4, 0,
	 {.put = {11, NOTIFY_INLINE, 1, 2, BYTES(REGIONS), BYTES("\x04\x08"),
		  BYTES("8 bytes."), BYTES("note")}}},
	{"get", MSG_GET, 2, 1,
	 {.get = {12, 1, 2, BYTES(REGIONS), BYTES("\x04\x08")}}},
	{"get_data", MSG_GET_DATA, 8, 1, {.get_data = {12, BYTES("8 bytes.")}}},
	{"send", MSG_SEND, 0, 0,
	 {.send = {13, 0xfeedfacecafebeef, 1 << 20, 0, NOTIFY_NONE, {0}, {0}}}},
	{"send_early", MSG_SEND, 1, 0,
	 {.send = {14, 5, 8, 1, NOTIFY_INLINE, BYTES("8 bytes."), BYTES("n")}}},
	{"send_go", MSG_SEND_GO, 0, 0, {.send_go = {13, WIRE_DEVICE_SEVERAL}}},
	{"done", MSG_DONE, 0, 0, {.done = {9, 0, ""}}},
	{"done_failed", MSG_DONE, 0, 0,
	 {.done = {9, TCPX_EKEY, "region 17: wrong remote key"}}},
	{"cancel", MSG_CANCEL, 0, 0, {.xfer = {9}}},
	{"chunk", MSG_CHUNK, 0, 0,
	 {.chunk = {3, 1, {41, 9, 524288, 524288, CHUNK_CHECKSUM, 0x1234}}}},
	{"credit", MSG_CREDIT, 0, 0, {.credit = {3, 1, 57, 41}}},
	{"channel_down", MSG_CHANNEL_DOWN, 0, 0,
	 {.channel = {3, 1, 1, 0, TCPX_ECHANNEL, "connection reset by peer"}}},
	{"channel_fenced", MSG_CHANNEL_FENCED, 0, 0,
	 {.channel = {3, 1, 0, 41, 0, ""}}},
	{"notify", MSG_NOTIFY, 5, 0,
	 {.notify = {NOTIFY_INLINE, BYTES("hello")}}},
	{"notify_empty", MSG_NOTIFY, 0, 0, {.notify = {NOTIFY_INLINE, {0}}}},
	{"notify_parts", MSG_NOTIFY, 0, 0, {.notify = {NOTIFY_PARTS, {0}}}},
	{"notify_part", MSG_NOTIFY_PART, 4, 1,
	 {.notify_part = {TCPX_NOTIFY_MAX, 32768, BYTES("part")}}},
	{"notify_taken", MSG_NOTIFY_TAKEN, 0, 0, {.notify_taken = {1 << 20}}},
	{"lane_offer", MSG_LANE_OFFER, 6, 0,
	 {.lane = {132, 2, 0, 1, 0, "devmem", 0, "", BYTES("\1\2\3\4\5\6")}}},
	{"lane_ready", MSG_LANE_READY, 0, 0,
	 {.lane = {132, 2, 0, 1, 2, "devmem", 0, "", {0}}}},
	{"lane_down", MSG_LANE_DOWN, 0, 0,
	 {.lane = {132, 2, 1, 1, 0, "netplugin", TCPX_EUNSUPPORTED,
		   "no steering rule left", {0}}}},
};
/* clang-format on */
const size_t n_sample_msgs = sizeof(sample_msgs) / sizeof(*sample_msgs);

/* clang-format off */
#define SEGS(name, n_regions, bytes)                                           \
	{#name, sizeof(name) / sizeof(*name), n_regions, name, bytes,          \
	 sizeof(bytes) - 1}
/* clang-format on */

static const struct wire_seg one[] = {{0, 8, 0}};
static const struct wire_seg far[] = {{4096, 8, 0}};
static const struct wire_seg joined[] = {
	{0, 4096, 0}, {4096, 4096, 0}, {8192, 4096, 0}};
static const struct wire_seg strided[] = {
	{4096, 256, 0}, {4608, 256, 0}, {5120, 256, 0}, {5632, 256, 0}};
static const struct wire_seg downwards[] = {
	{8192, 4096, 0}, {4096, 4096, 0}, {0, 4096, 0}};
static const struct wire_seg same_again[] = {
	{64, 8, 0}, {64, 8, 0}, {64, 8, 0}};
static const struct wire_seg shuffled[] = {
	{40960, 4096, 0}, {8192, 4096, 0}, {24576, 4096, 0}, {0, 4096, 0}};
static const struct wire_seg two_regions[] = {
	{4096, 4096, 0}, {4096, 4096, 1}, {12288, 1024, 1}, {0, 1024, 0}};
static const struct wire_seg at_the_end[] = {
	{UINT64_MAX - WIRE_SEG_MAX, WIRE_SEG_MAX, 1000}, {0, 1, 1000}};

const struct sample_segs sample_segs[] = {
	SEGS(one, 1, "\x04\x08"),
	SEGS(far, 1, "\x0c\x08\x80\x40"),
	SEGS(joined, 1, "\x05\x80\x20\x03\x80\x40"),
	SEGS(strided, 1, "\x0d\x80\x02\x80\x40\x04\x80\x08"),
	SEGS(downwards, 1, "\x0d\x80\x20\x80\x80\x01\x03\xff\x3f"),
	SEGS(same_again, 1, "\x0d\x08\x80\x01\x03\x00"),
	SEGS(shuffled, 1,
	     "\x0c\x80\x20\x80\x80\x05"
	     "\x08\xff\xbf\x04"
	     "\x08\x80\xc0\x01"
	     "\x08\xff\xbf\x03"),
	SEGS(two_regions, 2,
	     "\x0c\x80\x20\x80\x40"
	     "\x02\x01\x08\xff\x3f"
	     "\x0c\x80\x08\x80\x40"
	     "\x02\x00\x08\xff\xcf\x01"),
	SEGS(at_the_end, 1001,
	     "\x02\xe8\x07\x0c\x80\x80\x80\x80\x04\x81\x80\x80\x80\x08"
	     "\x0c\x01\x02"),
};
const size_t n_sample_segs = sizeof(sample_segs) / sizeof(*sample_segs);

#define LIMITS                                                                 \
	{                                                                      \
		.chunk_bytes = 512 << 10, .window_chunks = 16,                 \
		.small_bytes = 8192, .list_segments = 1001024, .n_flows = 2,   \
		.n_rails = 4, .notify_bytes = 16 << 20, .features = 1,         \
		.liveness_ms = 10000                                           \
	}

/* One rail: eth1, 10.0.0.1:1025, 25 Gbit/s. */
#define RAILS                                                                  \
	BYTES("\x01\x04"                                                       \
	      "eth1\x04\x01\x04\x0a\x00\x00\x01\xa8\x61\x00\x00")

const struct hello_hello sample_hello = {
	.version_min = HELLO_VERSION,
	.version_max = HELLO_VERSION,
	.purpose = HELLO_CONTROL,
	.key = HELLO_KEY_BLOB,
	.session = "connector id...",
	.target = "listener id....",
	.nonce = "nonce a of thirty-two bytes....",
	.name = "left-1234",
	.limits = LIMITS,
	.transports = "devmem,socket",
	.rails = RAILS,
};

const struct hello_hello sample_flow_hello = {
	.version_min = HELLO_VERSION,
	.version_max = HELLO_VERSION,
	.purpose = HELLO_FLOW,
	.key = HELLO_KEY_SHARED,
	.session = "connector id...",
	.nonce = "another nonce.................",
	.name = "left-1234",
	.limits = LIMITS,
	.token = 0x0123456789abcdef,
	.rail = 1,
	.flow = 3,
	.generation = 2,
};

const struct hello_hello sample_resume_hello = {
	.version_min = HELLO_VERSION,
	.version_max = HELLO_VERSION,
	.purpose = HELLO_RESUME,
	.key = HELLO_KEY_BLOB,
	.session = "connector id...",
	.target = "listener id....",
	.nonce = "one more nonce................",
	.name = "left-1234",
	.limits = LIMITS,
	.token = 0x0123456789abcdef,
	.generation = 7,
};

const struct hello_challenge sample_challenge = {
	.version = HELLO_VERSION,
	.session = "listener id....",
	.nonce = "nonce b of thirty-two bytes....",
	.name = "right-99",
	.limits = LIMITS,
	.transports = "socket",
	.rails = RAILS,
	.mac = "a keyed hash of all before it...",
};

const struct hello_proof sample_proof = {
	.mac = "a keyed hash of both frames.....",
};

const struct hello_verdict sample_verdict = {.token = 0x0123456789abcdef};
const struct hello_verdict sample_refusal = {
	.status = TCPX_EAUTH,
	.text = "the secret is not ours",
};

const struct conn_blob sample_conn_blob = {
	.session = "listener id....",
	.secret = "a secret of thirty-two bytes...",
	.name = "right-99",
	.ctrl = {.in = {.sin_family = AF_INET,
			.sin_port = 0x0104,
			.sin_addr = {0x0100000a}}},
	.n_rails = 2,
	.rails =
		{
			{"eth1",
			 {.in = {.sin_family = AF_INET,
				 .sin_port = 0x0104,
				 .sin_addr = {0x0100010a}}},
			 25000},
			{"eth2",
			 {.in6 = {.sin6_family = AF_INET6,
				  .sin6_port = 0x0104,
				  .sin6_addr = IN6ADDR_LOOPBACK_INIT}},
			 0},
		},
};

const struct mem_blob_entry sample_mem_entries[3] = {
	{1, 0x1111111111111111, 4096, TCPX_ACCESS_LOCAL, 0},
	{2, 0x2222222222222222, 1ull << 40,
	 TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE, 0},
	{1ull << 63, 0, 1, TCPX_ACCESS_REMOTE_READ, 7},
};

size_t sample_msg_frame(const struct sample_msg *s, uint64_t seq, uint8_t *buf)
{
	struct msg_header h = {.type = s->type, .ack = 1};
	int n = any_msg_encode(s->type, &s->m, buf + MSG_HEADER_BYTES,
			       MSG_BODY_MAX);

	if (n < 0)
		abort();
	h.body_bytes = (uint32_t)n;
	h.seq = n > 0 ? seq : 0;
	msg_header_encode(&h, buf);
	return MSG_HEADER_BYTES + (size_t)n;
}
