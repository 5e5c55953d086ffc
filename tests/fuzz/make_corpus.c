/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "check.h"
#include "fixed_handshake.h"
#include "samples.h"
#include "transport/netplugin/address.h"
#include "transport/netplugin/side.h"

/*
 * Writes the fuzzers' first inputs, made by the encoders: FOLDER/target/name.
 *   make_corpus FOLDER           writes
 *   make_corpus --check FOLDER   compares: what is committed there are the
 *                                bytes of this protocol version, so an encoder
 *                                that writes others breaks compatibility
 */

static const char *folder;
static bool checking;

static void emit(const char *target, const char *name, const void *data,
		 size_t len_bytes)
{
	static uint8_t have[MSG_HEADER_BYTES + MSG_BODY_MAX];
	char path[4096];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, target);
	CHECK(checking || mkdir(path, 0777) == 0 || errno == EEXIST);
	snprintf(path, sizeof(path), "%s/%s/%s", folder, target, name);
	f = fopen(path, checking ? "rb" : "wb");
	if (!f)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	CHECK(f);
	if (checking) {
		n = fread(have, 1, sizeof(have), f);
		if (n != len_bytes || memcmp(have, data, n) != 0)
			fprintf(stderr, "%s: other bytes now\n", path);
		CHECK_EQ(n, len_bytes);
		CHECK_MEM(have, data, n);
	} else {
		CHECK(fwrite(data, 1, len_bytes, f) == len_bytes);
	}
	CHECK(fclose(f) == 0);
}

static void make_msgs(void)
{
	static uint8_t buf[MSG_HEADER_BYTES + MSG_BODY_MAX], all[1 << 16];
	size_t n, n_all = 0;

	for (size_t i = 0; i < n_sample_msgs; i++) {
		n = sample_msg_frame(&sample_msgs[i], i + 1, buf);
		emit("msg", sample_msgs[i].name, buf, n);
		CHECK(n_all + n <= sizeof(all));
		memcpy(all + n_all, buf, n);
		n_all += n;
	}
	emit("msg", "all", all, n_all);
}

static void make_segs(void)
{
	uint8_t buf[256];
	struct wire_writer w;

	for (size_t i = 0; i < n_sample_segs; i++) {
		const struct sample_segs *s = &sample_segs[i];

		wire_writer_init(&w, buf, sizeof(buf));
		wire_write_u16(&w, (uint16_t)s->n);
		wire_write_u16(&w, (uint16_t)s->n_regions);
		CHECK_EQ(segs_encode(&w, s->segs, s->n), s->n);
		emit("segs", s->name, buf, (size_t)(w.at - buf));
	}
}

static void make_hellos(void)
{
	uint8_t buf[HELLO_HEADER_BYTES + HELLO_BODY_MAX];

	emit("hello", "hello", buf,
	     (size_t)hello_hello_encode(&sample_hello, buf));
	emit("hello", "flow", buf,
	     (size_t)hello_hello_encode(&sample_flow_hello, buf));
	emit("hello", "resume", buf,
	     (size_t)hello_hello_encode(&sample_resume_hello, buf));
	emit("hello", "challenge", buf,
	     (size_t)hello_challenge_encode(&sample_challenge, buf));
	emit("hello", "proof", buf,
	     (size_t)hello_proof_encode(&sample_proof, buf));
	emit("hello", "verdict", buf,
	     (size_t)hello_verdict_encode(&sample_verdict, buf));
	emit("hello", "refusal", buf,
	     (size_t)hello_verdict_encode(&sample_refusal, buf));
}

static void make_blobs(void)
{
	uint8_t buf[1 + TCPX_BLOB_MAX];
	size_t n;

	buf[0] = 1; /* see fuzz_blob.h */
	CHECK_EQ(conn_blob_encode(&sample_conn_blob, buf + 1, TCPX_BLOB_MAX,
				  &n),
		 0);
	emit("conn_blob", "two_rails", buf, n + 1);
	for (size_t i = 0; i <= 3; i += 3) {
		CHECK_EQ(mem_blob_encode(sample_conn_blob.session,
					 sample_mem_entries, i, buf + 1,
					 TCPX_BLOB_MAX, &n),
			 0);
		emit("mem_blob", i ? "three" : "none", buf, n + 1);
	}
}

static void make_descs(void)
{
	static const struct chunk_desc descs[] = {
		{0, 1, 0, 1, 0, 0},
		{41, 9, 524288, 524288, CHUNK_CHECKSUM, 0x1234},
		{UINT64_MAX, UINT64_MAX, TCPX_XFER_MAX - 1, 1, CHUNK_REPLY, 0},
	};
	uint8_t buf[sizeof(descs) / sizeof(*descs)][CHUNK_DESC_BYTES];

	for (size_t i = 0; i < sizeof(descs) / sizeof(*descs); i++)
		chunk_desc_encode(&descs[i], buf[i]);
	emit("desc", "three", buf, sizeof(buf));
	chunk_taken_encode(0x0102030405060708, buf[0]);
	emit("desc", "taken", buf[0], sizeof(buf[0]));
}

static void make_addrs(void)
{
	static const char *const addrs[][2] = {
		{"v4", "1.2.3.4"},
		{"v4_port", "1.2.3.4:65535"},
		{"v6", "2001:db8::1"},
		{"v6_brackets", "[::1]"},
		{"v6_port", "[::1]:7"},
		{"v6_scope", "[fe80::1%lo]:1025"},
		{"mapped", "::ffff:1.2.3.4"},
		{"host", "gpu-7.example:18515"},
	};

	for (size_t i = 0; i < sizeof(addrs) / sizeof(*addrs); i++)
		emit("addr", addrs[i][0], addrs[i][1], strlen(addrs[i][1]));
}

/* See fuzz_gpu_copy.c: warps, then gap, from, length of each copy. */
static void make_gpu_copies(void)
{
	static const struct {
		const char *name;
		uint8_t warps, gap;
		uint16_t from, step, len;
		uint16_t n;
	} lists[] = {
		{"one_long", 7, 0, 0, 0, 8192, 1},
		{"crooked", 0, 3, 1, 517, 509, 15},
		{"small", 31, 1, 8000, 65535, 16, 400},
		{"quarter_kib", 3, 0, 7936, 65280, 256, 31},
		{"bytes", 255, 2, 5, 3, 1, 300},
		{"empty", 1, 9, 9, 9, 0, 40},
	};
	uint8_t buf[1 + 400 * 5];

	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		uint8_t *at = buf;

		*at++ = lists[i].warps;
		for (uint16_t k = 0; k < lists[i].n; k++) {
			uint16_t from =
				(uint16_t)(lists[i].from + k * lists[i].step);

			*at++ = lists[i].gap;
			*at++ = (uint8_t)from;
			*at++ = (uint8_t)(from >> 8);
			*at++ = (uint8_t)lists[i].len;
			*at++ = (uint8_t)(lists[i].len >> 8);
		}
		emit("gpu_copy", lists[i].name, buf, (size_t)(at - buf));
	}
}

/* See fuzz_netplugin.c: 0 and an address, or a length of pieces and the
 * messages of a side connection. */
static void make_netplugin(void)
{
	struct address address = {.chunk_bytes = 524288,
				  .n_sockets = 4,
				  .window = 16,
				  .recv_sync = 1,
				  .unpacks = 1,
				  .token = "a token of 15..",
				  .host_id = "id of its host.",
				  .ifname = "eth1",
				  .plugin = "GPUDirectTCPX",
				  .handle = "the plugin's own"};
	uint8_t buf[1 + ADDRESS_BYTES] = {0};

	CHECK(!addr_parse("10.0.0.1:1025", &address.side));
	address_encode(&address, buf + 1);
	emit("netplugin", "address_v4", buf, sizeof(buf));
	CHECK(!addr_parse("[fd00::2]:1025", &address.side));
	address_encode(&address, buf + 1);
	emit("netplugin", "address_v6", buf, sizeof(buf));
}

static void make_side(void)
{
	uint8_t buf[1 + SIDE_BYE * SIDE_MESSAGE_BYTES] = {13};
	struct side from, to;
	int fds[2];

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	side_init(&from, fds[0]);
	side_init(&to, fds[1]);
	for (uint32_t type = SIDE_HELLO; type <= SIDE_BYE; type++) {
		struct side_message message = {.type = (enum side_type)type,
					       .number = type * 1000ull,
					       .token = "a token of 15.."};
		uint8_t *at = buf + 1 + (type - 1) * SIDE_MESSAGE_BYTES;

		CHECK_STATUS(side_send(&from, &message), TCPX_OK);
		CHECK_EQ(side_receive(&to, &message), 1);
		memcpy(at, to.in, SIDE_MESSAGE_BYTES);
	}
	side_close(&from);
	side_close(&to);
	emit("netplugin", "side", buf, sizeof(buf));
}

static void make_handshakes(void)
{
	static uint8_t tape[4 * HANDSHAKE_FRAME_MAX];
	char name[48];
	size_t n;

	for (unsigned mode = 0; mode < FIXED_MODES; mode++) {
		if (mode & FIXED_RESUME && mode & FIXED_FLOW)
			continue; /* as without FLOW */
		snprintf(name, sizeof(name), "%s_%s_%s%s",
			 mode & FIXED_CONNECTOR ? "connector" : "listener",
			 mode & FIXED_SHARED ? "shared" : "blob",
			 mode & FIXED_RESUME ? "resume" :
			 mode & FIXED_FLOW   ? "flow" :
					       "control",
			 mode & FIXED_REFUSE ? "_refused" : "");
		n = fixed_tape(mode, tape);
		CHECK(n > 0);
		emit("handshake", name, tape, n);
	}
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
		{"msg", make_msgs, 0},
		{"segs", make_segs, 0},
		{"hello", make_hellos, 0},
		{"blob", make_blobs, 0},
		{"desc", make_descs, 0},
		{"addr", make_addrs, 0},
		{"netplugin", make_netplugin, 0},
		{"side", make_side, 0},
		{"handshake", make_handshakes, 0},
		{"gpu_copy", make_gpu_copies, 0},
	};

	checking = argc == 3 && strcmp(argv[1], "--check") == 0;
	if (argc != 2 + checking) {
		fprintf(stderr, "usage: %s [--check] FOLDER\n", argv[0]);
		return 2;
	}
	folder = argv[argc - 1];
	return CHECK_RUN(cases, 1, argv);
}
