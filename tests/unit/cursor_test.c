/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/cursor.h"

#include "check.h"

static void little_endian(void)
{
	static const uint8_t want[] = {1,  3,  2,  7,  6,  5, 4, 15,
				       14, 13, 12, 11, 10, 9, 8};
	uint8_t buf[sizeof(want)];
	struct wire_writer w;
	struct wire_reader r;

	wire_writer_init(&w, buf, sizeof(buf));
	wire_write_u8(&w, 1);
	wire_write_u16(&w, 0x0203);
	wire_write_u32(&w, 0x04050607);
	wire_write_u64(&w, 0x08090a0b0c0d0e0f);
	CHECK(!w.failed);
	CHECK_EQ(wire_writer_left(&w), 0);
	CHECK_MEM(buf, want, sizeof(want));

	wire_reader_init(&r, buf, sizeof(buf));
	CHECK_EQ(wire_reader_left(&r), sizeof(buf));
	CHECK_EQ(wire_read_u8(&r), 1);
	CHECK_EQ(wire_read_u16(&r), 0x0203);
	CHECK_EQ(wire_read_u32(&r), 0x04050607);
	CHECK(!wire_reader_done(&r));
	CHECK_EQ(wire_read_u64(&r), 0x08090a0b0c0d0e0f);
	CHECK(wire_reader_done(&r));
}

static void a_failed_reader_stays_failed(void)
{
	static const uint8_t buf[] = {1, 2, 3};
	struct wire_reader r;
	uint8_t to[2] = {9, 9};

	wire_reader_init(&r, buf, sizeof(buf));
	CHECK_EQ(wire_read_u32(&r), 0);
	CHECK(r.failed);
	CHECK_EQ(wire_read_u8(&r), 0);
	CHECK_EQ(wire_read_varint(&r), 0);
	CHECK(wire_read_ref(&r, 1) == NULL);
	CHECK(wire_read_ref(&r, 0) == NULL);
	wire_read_bytes(&r, to, sizeof(to));
	CHECK_EQ(to[0] | to[1], 0);
	CHECK_EQ(wire_reader_left(&r), 0);
	CHECK(!wire_reader_done(&r));

	wire_reader_init(&r, NULL, 0);
	CHECK(wire_reader_done(&r));
	CHECK(wire_read_ref(&r, SIZE_MAX) == NULL);
}

static void a_failed_writer_stays_failed(void)
{
	uint8_t buf[4] = {9, 9, 9, 9};
	struct wire_writer w;

	wire_writer_init(&w, buf, 3);
	wire_write_u32(&w, 1);
	CHECK(w.failed);
	wire_write_u8(&w, 1);
	wire_write_varint(&w, 1);
	wire_write_text(&w, "");
	CHECK_EQ(wire_writer_left(&w), 0);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(buf[i], 9);
}

static const struct {
	uint64_t v;
	const char *bytes;
	size_t len_bytes;
} varints[] = {
	{0, "\x00", 1},
	{1, "\x01", 1},
	{0x7f, "\x7f", 1},
	{0x80, "\x80\x01", 2},
	{300, "\xac\x02", 2},
	{0x3fff, "\xff\x7f", 2},
	{0x4000, "\x80\x80\x01", 3},
	{UINT32_MAX, "\xff\xff\xff\xff\x0f", 5},
	{(1ull << 56) - 1, "\xff\xff\xff\xff\xff\xff\xff\x7f", 8},
	{1ull << 56, "\x80\x80\x80\x80\x80\x80\x80\x80\x01", 9},
	{1ull << 63, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 10},
	{UINT64_MAX, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10},
};
#define N_VARINTS (sizeof(varints) / sizeof(*varints))

static void varints_by_table(void)
{
	uint8_t buf[16], small[10];
	struct wire_writer w;
	struct wire_reader r;

	for (size_t i = 0; i < N_VARINTS; i++) {
		wire_writer_init(&w, buf, sizeof(buf));
		wire_write_varint(&w, varints[i].v);
		CHECK_EQ(w.at - buf, varints[i].len_bytes);
		CHECK_MEM(buf, varints[i].bytes, varints[i].len_bytes);
		wire_reader_init(&r, buf, varints[i].len_bytes);
		CHECK_EQ(wire_read_varint(&r), varints[i].v);
		CHECK(wire_reader_done(&r));
		for (size_t n = 0; n < varints[i].len_bytes; n++) {
			wire_reader_init(&r, buf, n);
			CHECK_EQ(wire_read_varint(&r), 0);
			CHECK(r.failed);
			wire_writer_init(&w, small, n);
			wire_write_varint(&w, varints[i].v);
			CHECK(w.failed);
		}
	}
}

static void varints_too_long(void)
{
	static const char *const bad[] = {
		/* bit 64 */
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
		"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7f",
		/* eleven bytes */
		"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
		"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x81\x01",
	};
	struct wire_reader r;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		wire_reader_init(&r, bad[i], strlen(bad[i]));
		CHECK_EQ(wire_read_varint(&r), 0);
		CHECK(r.failed);
	}
}

static void varints_at_random(void)
{
	uint64_t state = check_seed(), v[64];
	uint8_t buf[640];
	struct wire_writer w;
	struct wire_reader r;

	for (int round = 0; round < 2000; round++) {
		wire_writer_init(&w, buf, sizeof(buf));
		for (int i = 0; i < 64; i++) {
			v[i] = check_rand(&state) >> check_rand(&state) % 64;
			wire_write_varint(&w, v[i]);
		}
		CHECK(!w.failed);
		wire_reader_init(&r, buf, (size_t)(w.at - buf));
		for (int i = 0; i < 64; i++)
			CHECK_EQ(wire_read_varint(&r), v[i]);
		CHECK(wire_reader_done(&r));
	}
}

/* Written, read into cap_bytes; NULL want: must fail. */
static void check_text(const char *from, size_t from_bytes, size_t cap_bytes,
		       const char *want)
{
	uint8_t buf[300];
	struct wire_reader r;
	char to[300];

	memset(to, 'x', sizeof(to));
	buf[0] = (uint8_t)from_bytes;
	memcpy(buf + 1, from, from_bytes);
	wire_reader_init(&r, buf, from_bytes + 1);
	wire_read_text(&r, to, cap_bytes);
	CHECK_EQ(!r.failed, want != NULL);
	CHECK_EQ(to[cap_bytes], 'x');
	CHECK_STR(to, want ? want : "");
}

static void texts(void)
{
	check_text("", 0, 1, "");
	check_text("hello", 5, 6, "hello");
	check_text("hello", 5, 5, NULL);
	check_text("a\0b", 3, 10, NULL);
	check_text("two\nlines\x1b[2J", 12, 30, "two?lines?[2");
	check_text("\x7f", 1, 10, "?");
	check_text("K\xc3\xb6ln \xe2\x82\xac \xf0\x9f\x90\xa7", 14, 30,
		   "K\xc3\xb6ln \xe2\x82\xac \xf0\x9f\x90\xa7");
	/* cut off, overlong, surrogate, too high, a control of two bytes */
	check_text("a\xc3", 2, 10, "a?");
	check_text("\xc0\x80", 2, 10, "??");
	check_text("\xe0\x80\x80", 3, 10, "???");
	check_text("\xed\xa0\x80", 3, 10, "???");
	check_text("\xf4\x90\x80\x80", 4, 10, "????");
	check_text("\xff\xfe", 2, 10, "??");
	check_text("\xc2\x85", 2, 10, "??");
}

static void text_is_cut_to_255(void)
{
	char text[300], to[300];
	uint8_t buf[300];
	struct wire_writer w;
	struct wire_reader r;

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	wire_writer_init(&w, buf, sizeof(buf));
	wire_write_text(&w, text);
	CHECK_EQ(w.at - buf, 256);
	wire_reader_init(&r, buf, 256);
	wire_read_text(&r, to, sizeof(to));
	CHECK(wire_reader_done(&r));
	CHECK_EQ(strlen(to), 255);
	wire_reader_init(&r, buf, 255);
	wire_read_text(&r, to, sizeof(to));
	CHECK(r.failed);
	CHECK_STR(to, "");
}

static void references_point_into_the_buffer(void)
{
	static const uint8_t buf[] = {1, 2, 3, 4};
	struct wire_reader r;

	wire_reader_init(&r, buf, sizeof(buf));
	CHECK(wire_read_ref(&r, 3) == buf);
	CHECK(wire_read_ref(&r, 0) == buf + 3);
	CHECK(wire_read_ref(&r, 2) == NULL);
	CHECK(r.failed);
}

static const struct check_case cases[] = {
	{"little_endian", little_endian, 0},
	{"a_failed_reader_stays_failed", a_failed_reader_stays_failed, 0},
	{"a_failed_writer_stays_failed", a_failed_writer_stays_failed, 0},
	{"varints_by_table", varints_by_table, 0},
	{"varints_too_long", varints_too_long, 0},
	{"varints_at_random", varints_at_random, 0},
	{"texts", texts, 0},
	{"text_is_cut_to_255", text_is_cut_to_255, 0},
	{"references_point_into_the_buffer", references_point_into_the_buffer,
	 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
