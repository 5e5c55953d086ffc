/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/desc.h"

#include <tcpx/p2p.h>

#include "check.h"

static const struct chunk_desc good = {
	.seq = 0x0102030405060708,
	.xfer = 0x1112131415161718,
	.pos = 0x99,
	.len_bytes = 0x80000,
	.flags = CHUNK_REPLY | CHUNK_CHECKSUM,
	.checksum = 0x2122232425262728,
};

static void the_bytes(void)
{
	static const char want[] = "TXCK"
				   "\x00\x00\x08\x00"
				   "\x08\x07\x06\x05\x04\x03\x02\x01"
				   "\x18\x17\x16\x15\x14\x13\x12\x11"
				   "\x99\0\0\0\0\0\0\0"
				   "\x03\0\0\0"
				   "\0\0\0\0"
				   "\x28\x27\x26\x25\x24\x23\x22\x21";
	uint8_t buf[CHUNK_DESC_BYTES];

	_Static_assert(sizeof(want) - 1 == CHUNK_DESC_BYTES, "48 bytes");
	chunk_desc_encode(&good, buf);
	CHECK_MEM(buf, want, sizeof(buf));
}

static void check_same(const struct chunk_desc *a, const struct chunk_desc *b)
{
	CHECK_EQ(a->seq, b->seq);
	CHECK_EQ(a->xfer, b->xfer);
	CHECK_EQ(a->pos, b->pos);
	CHECK_EQ(a->len_bytes, b->len_bytes);
	CHECK_EQ(a->flags, b->flags);
	CHECK_EQ(a->checksum, b->checksum);
}

static void round_trips(void)
{
	uint64_t state = check_seed();
	uint8_t buf[CHUNK_DESC_BYTES];
	struct chunk_desc d, got;

	for (int i = 0; i < 100000; i++) {
		d.seq = check_rand(&state);
		d.xfer = check_rand(&state);
		d.len_bytes = (uint32_t)check_rand(&state) | 1;
		d.pos = check_rand(&state) % (TCPX_XFER_MAX - d.len_bytes + 1);
		d.flags = check_rand(&state) % 8;
		d.checksum = d.flags & CHUNK_CHECKSUM ? check_rand(&state) : 0;
		chunk_desc_encode(&d, buf);
		CHECK_STATUS(chunk_desc_decode(buf, &got), 0);
		check_same(&d, &got);
	}
}

static void a_checksum_not_announced_stays_behind(void)
{
	struct chunk_desc d = good, got;
	uint8_t buf[CHUNK_DESC_BYTES];

	d.flags = 0;
	chunk_desc_encode(&d, buf);
	CHECK_STATUS(chunk_desc_decode(buf, &got), 0);
	CHECK_EQ(got.checksum, 0);
	buf[40] = 1;
	CHECK_STATUS(chunk_desc_decode(buf, &got), TCPX_EPROTO);
}

static void rejects(void)
{
	static const struct {
		int at;
		uint8_t byte;
	} changes[] = {
		{0, 'U'}, {3, 0}, /* magic */
		{32, 8},  {35, 128}, /* flags */
		{36, 1},  {39, 1}, /* reserved */
		{29, 1},  {31, 255}, /* position */
	};
	uint8_t buf[CHUNK_DESC_BYTES];
	struct chunk_desc got = {.seq = 77};

	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		chunk_desc_encode(&good, buf);
		buf[changes[i].at] = changes[i].byte;
		CHECK_STATUS(chunk_desc_decode(buf, &got), TCPX_EPROTO);
		CHECK_EQ(got.seq, 77);
	}
}

static int decode_of(uint64_t pos, uint32_t len_bytes)
{
	struct chunk_desc d = {.pos = pos, .len_bytes = len_bytes}, got;
	uint8_t buf[CHUNK_DESC_BYTES];

	chunk_desc_encode(&d, buf);
	return chunk_desc_decode(buf, &got);
}

static void keeps_to_the_longest_transfer(void)
{
	CHECK_STATUS(decode_of(TCPX_XFER_MAX - 5, 5), 0);
	CHECK_STATUS(decode_of(TCPX_XFER_MAX - 5, 6), TCPX_EPROTO);
	CHECK_STATUS(decode_of(TCPX_XFER_MAX, 1), TCPX_EPROTO);
	CHECK_STATUS(decode_of(UINT64_MAX, 1), TCPX_EPROTO);
	CHECK_STATUS(decode_of(UINT64_MAX, UINT32_MAX), TCPX_EPROTO);
	CHECK_STATUS(decode_of(0, 0), TCPX_EPROTO);
	CHECK_STATUS(decode_of(0, UINT32_MAX), 0);
}

static void what_was_taken(void)
{
	static const char want[] = "TXTK"
				   "\0\0\0\0"
				   "\x08\x07\x06\x05\x04\x03\x02\x01";
	static const uint8_t zeros[32];
	uint8_t buf[CHUNK_DESC_BYTES];
	struct chunk_desc d;
	uint64_t taken = 0;

	chunk_taken_encode(0x0102030405060708, buf);
	CHECK_MEM(buf, want, 16);
	CHECK_MEM(buf + 16, zeros, 32);
	CHECK(chunk_is_taken(buf));
	CHECK_STATUS(chunk_taken_decode(buf, &taken), 0);
	CHECK_EQ(taken, 0x0102030405060708);
	CHECK_STATUS(chunk_desc_decode(buf, &d), TCPX_EPROTO);
	for (int i = 0; i < CHUNK_DESC_BYTES; i++) {
		if (i >= 8 && i < 16)
			continue;
		buf[i] ^= 0x10;
		taken = 5;
		CHECK_STATUS(chunk_taken_decode(buf, &taken), TCPX_EPROTO);
		CHECK_EQ(taken, 5);
		buf[i] ^= 0x10;
	}
	chunk_desc_encode(&good, buf);
	CHECK(!chunk_is_taken(buf));
}

static const struct check_case cases[] = {
	{"the_bytes", the_bytes, 0},
	{"round_trips", round_trips, 0},
	{"a_checksum_not_announced_stays_behind",
	 a_checksum_not_announced_stays_behind, 0},
	{"rejects", rejects, 0},
	{"keeps_to_the_longest_transfer", keeps_to_the_longest_transfer, 0},
	{"what_was_taken", what_was_taken, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
