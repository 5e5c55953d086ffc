/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/segs.h"

#include "check.h"
#include "fuzz/samples.h"
#include "fuzz/segs_model.h"

#define N 20000
#define REGIONS 5

static struct wire_seg list[N], got[N + 8], model[N + 8];
static uint8_t buf[64 * N];

static int decode(const void *bytes, size_t len_bytes, size_t n,
		  uint32_t n_regions)
{
	struct wire_reader r;
	int rc;

	wire_reader_init(&r, bytes, len_bytes);
	rc = segs_decode(&r, got, n, n_regions);
	CHECK(rc || wire_reader_done(&r));
	return rc;
}

static void samples_are_these_bytes(void)
{
	for (size_t i = 0; i < n_sample_segs; i++) {
		const struct sample_segs *s = &sample_segs[i];
		struct wire_writer w;

		fprintf(stderr, "%s\n", s->name);
		wire_writer_init(&w, buf, 256);
		CHECK_EQ(segs_encode(&w, s->segs, s->n), s->n);
		CHECK_EQ(w.at - buf, s->len_bytes);
		CHECK_MEM(buf, s->bytes, s->len_bytes);
		CHECK_STATUS(decode(buf, s->len_bytes, s->n, s->n_regions), 0);
		CHECK_MEM(got, s->segs, s->n * sizeof(*got));
	}
}

static void samples_changed_are_rejected(void)
{
	for (size_t i = 0; i < n_sample_segs; i++) {
		const struct sample_segs *s = &sample_segs[i];

		memcpy(buf, s->bytes, s->len_bytes);
		/* every truncation */
		for (size_t n = 0; n < s->len_bytes; n++)
			CHECK_STATUS(decode(buf, n, s->n, s->n_regions),
				     TCPX_EPROTO);
		/* every byte behind it */
		for (int b = 0; b < 256; b++) {
			buf[s->len_bytes] = (uint8_t)b;
			CHECK_STATUS(decode(buf, s->len_bytes + 1, s->n,
					    s->n_regions),
				     TCPX_EPROTO);
		}
		/* another count, fewer regions */
		CHECK_STATUS(decode(buf, s->len_bytes, s->n - 1, s->n_regions),
			     TCPX_EPROTO);
		CHECK_STATUS(decode(buf, s->len_bytes, s->n + 1, s->n_regions),
			     TCPX_EPROTO);
		CHECK_STATUS(decode(buf, s->len_bytes, s->n, s->n_regions - 1),
			     TCPX_EPROTO);
	}
}

static const struct {
	const char *name;
	const char *bytes;
	size_t len_bytes, n;
	int want;
} odd[] = {
#define ODD(name, bytes, n, want)                                              \
	{                                                                      \
		name, bytes, sizeof(bytes) - 1, n, want                        \
	}
	ODD("no length yet", "\x00", 1, TCPX_EPROTO),
	ODD("length 0", "\x04\x00", 1, TCPX_EPROTO),
	ODD("run of length 0", "\x01\x02\x00", 2, TCPX_EPROTO),
	ODD("longest", "\x04\x80\x80\x80\x80\x04", 1, 0),
	ODD("too long", "\x04\x81\x80\x80\x80\x04", 1, TCPX_EPROTO),
	ODD("the last byte of all", "\x0c\x01\x01", 1, TCPX_EPROTO),
	ODD("the one before", "\x0c\x01\x03", 1, 0),
	ODD("and the next", "\x0c\x01\x03\x00", 2, TCPX_EPROTO),
	ODD("run of 1", "\x05\x08\x01\x10", 1, TCPX_EPROTO),
	ODD("run of 0", "\x05\x08\x00\x10\x00", 1, TCPX_EPROTO),
	ODD("run of 2", "\x05\x08\x02\x10", 2, 0),
	ODD("run of too many", "\x05\x08\x03\x10", 2, TCPX_EPROTO),
	ODD("run of 2^64 - 1",
	    "\x05\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10", 2,
	    TCPX_EPROTO),
	ODD("run below 0", "\x0d\x08\x20\x03\x0f", 3, 0),
	ODD("run beneath 0", "\x0d\x08\x1e\x03\x0f", 3, TCPX_EPROTO),
	ODD("run past the end",
	    "\x05\x08\x03\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", 3,
	    TCPX_EPROTO),
	ODD("region again and again", "\x02\x01\x02\x00\x02\x02\x04\x08", 1, 0),
	ODD("region unknown", "\x02\x05\x04\x08", 1, TCPX_EPROTO),
	ODD("region huge", "\x02\x80\x80\x80\x80\x10\x04\x08", 1, TCPX_EPROTO),
	ODD("region at the end", "\x04\x08\x02\x01", 1, TCPX_EPROTO),
	ODD("kind 3", "\x07\x08\x02\x10", 2, TCPX_EPROTO),
	ODD("region with a length", "\x06\x01\x08", 1, TCPX_EPROTO),
	ODD("high bits", "\x14\x08", 1, TCPX_EPROTO),
	ODD("a longer varint than needed", "\x04\x88\x80\x00", 1, 0),
	ODD("a varint that does not end",
	    "\x04\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 1, TCPX_EPROTO),
};

static void odd_ones(void)
{
	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		int rc = decode(odd[i].bytes, odd[i].len_bytes, odd[i].n,
				REGIONS);

		fprintf(stderr, "%s\n", odd[i].name);
		CHECK_STATUS(rc, odd[i].want);
		CHECK_EQ(segs_model_decode(odd[i].bytes, odd[i].len_bytes,
					   model, odd[i].n, REGIONS),
			 rc == 0);
		if (rc == 0)
			CHECK_MEM(got, model, odd[i].n * sizeof(*got));
	}
}

/* Cut into parts of at most part_bytes, each decoded by both decoders. */
static void check_parts(size_t n, size_t part_bytes)
{
	struct wire_writer w;
	size_t count, len_bytes;

	for (size_t i = 0; i < n; i += count) {
		memset(buf, 0xee, part_bytes + 16);
		wire_writer_init(&w, buf, part_bytes);
		count = segs_encode(&w, &list[i], n - i);
		CHECK(count > 0 && count <= n - i && !w.failed);
		CHECK(i + count == n || w.end - w.at < SEGS_ROOM_LEAST);
		len_bytes = (size_t)(w.at - buf);
		for (size_t j = 0; j < 16; j++)
			CHECK_EQ(buf[part_bytes + j], 0xee);
		memset(&got[count], 0xdd, sizeof(*got));
		CHECK_STATUS(decode(buf, len_bytes, count, REGIONS), 0);
		CHECK_EQ(got[count].region, 0xdddddddd);
		CHECK_MEM(got, &list[i], count * sizeof(*got));
		CHECK(segs_model_decode(buf, len_bytes, model, count, REGIONS));
		CHECK_MEM(model, &list[i], count * sizeof(*got));
	}
}

/* Segments as lists have them: stretches of one kind after the other. */
static void make_stretch(uint64_t *state, struct wire_seg *segs, size_t n)
{
	uint64_t kind = check_rand(state) % 5;
	uint64_t off = check_rand(state) >> check_rand(state) % 64;
	uint32_t len = 1 + (uint32_t)(check_rand(state) % 9000);
	uint32_t region = check_rand(state) % REGIONS;
	uint64_t stride = (int64_t)check_rand(state) >> check_rand(state) % 64;

	for (size_t i = 0; i < n; i++) {
		if (kind == 1) /* anywhere */
			off = check_rand(state) >> check_rand(state) % 64;
		if (kind == 2) /* of any length, one after the other */
			len = 1 + (uint32_t)(check_rand(state) % WIRE_SEG_MAX);
		if (kind == 3)
			region = check_rand(state) % REGIONS;
		if (off > UINT64_MAX - len)
			off = 0;
		segs[i] = (struct wire_seg){off, len, region};
		off += kind == 4 ? stride : len;
	}
}

static void lists_at_random(void)
{
	static const size_t part_bytes[] = {48, 64, 1000, 32768,
					    sizeof(buf) - 16};
	uint64_t state = check_seed();
	size_t n, stretch;

	for (int round = 0; round < 300; round++) {
		n = 1 + check_rand(&state) % (round % 10 ? 200 : N);
		for (size_t i = 0; i < n; i += stretch) {
			stretch = 1 + check_rand(&state) % 50;
			if (stretch > n - i)
				stretch = n - i;
			make_stretch(&state, &list[i], stretch);
		}
		check_parts(n, part_bytes[round % 5]);
	}
}

static size_t random_varint(uint64_t *state, uint8_t *to)
{
	struct wire_writer w;

	wire_writer_init(&w, to, 10);
	wire_write_varint(&w, check_rand(state) >> check_rand(state) % 64);
	return (size_t)(w.at - to);
}

/* Tokens with what belongs to them, and often one byte of it changed. Returns
 * the bytes, and in *n how many segments those of kind 0 and runs of two
 * make. */
static size_t make_bytes(uint64_t *state, uint8_t *to, size_t *n)
{
	size_t n_tokens = 1 + check_rand(state) % 4, at = 0;
	uint8_t token;

	*n = 0;
	for (size_t i = 0; i < n_tokens; i++) {
		token = check_rand(state) % 16;
		if ((token & 2) && token != 2)
			token = 12; /* no such kind */
		to[at++] = token;
		*n += token != 2;
		if (token & (4 | 2))
			at += random_varint(state, &to[at]);
		if (token & 8)
			at += random_varint(state, &to[at]);
		if (token & 1) {
			*n += 1;
			to[at++] = 2;
			at += random_varint(state, &to[at]);
		}
	}
	if (check_rand(state) % 2)
		to[check_rand(state) % at] = (uint8_t)check_rand(state);
	return at;
}

/* Both decoders agree about any bytes at all. */
static void bytes_at_random(void)
{
	uint64_t state = check_seed();
	size_t len_bytes, n, n_good = 0;
	bool good;

	for (int round = 0; round < 300000; round++) {
		len_bytes = make_bytes(&state, buf, &n);
		good = segs_model_decode(buf, len_bytes, model, n, REGIONS);
		CHECK_STATUS(decode(buf, len_bytes, n, REGIONS),
			     good ? 0 : TCPX_EPROTO);
		if (good)
			CHECK_MEM(got, model, n * sizeof(*got));
		n_good += good;
	}
	fprintf(stderr, "%zu of 300000 were good\n", n_good);
	CHECK(n_good > 1000 && n_good < 299000);
}

static size_t bytes_of(size_t n)
{
	struct wire_writer w;

	wire_writer_init(&w, buf, sizeof(buf));
	CHECK_EQ(segs_encode(&w, list, n), n);
	return (size_t)(w.at - buf);
}

static void regular_lists_are_short(void)
{
	uint64_t state = check_seed();

	for (uint32_t i = 0; i < N; i++)
		list[i] = (struct wire_seg){i * 4096ull, 4096, 0};
	CHECK(bytes_of(N) < 16);
	for (uint32_t i = 0; i < N; i++)
		list[i] = (struct wire_seg){(N - i) * 8192ull, 4096, 1};
	CHECK(bytes_of(N) < 20);
	for (size_t i = N - 1; i > 0; i--) {
		size_t j = check_rand(&state) % (i + 1);
		struct wire_seg seg = list[i];

		list[i] = list[j];
		list[j] = seg;
	}
	CHECK(bytes_of(N) < 6 * N);
}

static void a_part_has_a_largest_number_of_segments(void)
{
	const size_t n = WIRE_PART_SEGS_MAX + 3;
	struct wire_seg *many = malloc(n * sizeof(*many));
	struct wire_writer w;

	CHECK(many);
	for (size_t i = 0; i < n; i++)
		many[i] = (struct wire_seg){i * 512, 256, 0};
	wire_writer_init(&w, buf, 64);
	CHECK_EQ(segs_encode(&w, many, n), WIRE_PART_SEGS_MAX);
	wire_writer_init(&w, buf, 64);
	CHECK_EQ(segs_encode(&w, &many[WIRE_PART_SEGS_MAX], 3), 3);
	free(many);
}

static void a_full_writer_takes_nothing(void)
{
	struct wire_writer w;

	list[0] = (struct wire_seg){0, 1, 0};
	wire_writer_init(&w, buf, SEGS_ROOM_LEAST - 1);
	CHECK_EQ(segs_encode(&w, list, 1), 0);
	CHECK(w.at == buf && !w.failed);
	w.failed = true;
	w.end = buf + 100;
	CHECK_EQ(segs_encode(&w, list, 1), 0);
	CHECK(w.at == buf);
	wire_writer_init(&w, buf, 100);
	CHECK_EQ(segs_encode(&w, list, 0), 0);
	CHECK(w.at == buf && !w.failed);
}

static const struct check_case cases[] = {
	{"samples_are_these_bytes", samples_are_these_bytes, 0},
	{"samples_changed_are_rejected", samples_changed_are_rejected, 0},
	{"odd_ones", odd_ones, 0},
	{"lists_at_random", lists_at_random, 0},
	{"bytes_at_random", bytes_at_random, 0},
	{"regular_lists_are_short", regular_lists_are_short, 0},
	{"a_part_has_a_largest_number_of_segments",
	 a_part_has_a_largest_number_of_segments, 0},
	{"a_full_writer_takes_nothing", a_full_writer_takes_nothing, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
