/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/seglist.h"

#include <stdlib.h>

#include "check.h"
#include "engine/region.h"
#include "engine/stream.h"

#define TEBIBYTE (1ull << 40)

/* Never touched: positions and addresses are all that counts here. */
static struct region *make_region(void)
{
	struct region *region = calloc(1, sizeof(*region));

	CHECK(region);
	return region;
}

/* A list of n segments of the same bytes, each `len` long. */
static struct seglist *repeated(uint32_t n, uint64_t len)
{
	struct seglist *list = seglist_create(NULL, n);
	struct msg_region row = {1, 2};

	CHECK(list);
	CHECK_STATUS(seglist_add_remote(list, &row, 0), TCPX_OK);
	struct seglist_tail tail = seglist_tail(list);

	for (uint32_t i = 0; i < n; i++)
		CHECK_STATUS(seglist_append(&tail, 0, 1000, len), TCPX_OK);
	seglist_show(&tail);
	return list;
}

static void tebibyte_is_sought(void)
{
	const uint64_t len = 2u << 20;
	struct seglist *list = repeated(TEBIBYTE / len, len);
	uint64_t seed = check_seed();

	CHECK_EQ(load_relaxed(&list->total_bytes), TEBIBYTE);
	CHECK_EQ(load_relaxed(&list->n), TEBIBYTE / len);
	for (int i = 0; i < 100000; i++) {
		uint64_t pos = check_rand(&seed) % TEBIBYTE;
		struct segcursor at = seglist_seek(list, pos);

		CHECK_EQ(at.i, pos / len);
		CHECK_EQ(at.off, pos % len);
	}
	CHECK_EQ(seglist_mean_bytes(list), len);
	seglist_put(list);
}

/* One run of a tebibyte: cut into pieces, none of them lost. */
static void long_run_is_split(void)
{
	struct seglist *list = seglist_create(NULL, 10000);
	struct msg_region row = {1, 2};
	uint64_t sum = 0;

	CHECK(list);
	CHECK_STATUS(seglist_add_remote(list, &row, 0), TCPX_OK);
	struct seglist_tail tail = seglist_tail(list);

	CHECK_STATUS(seglist_append(&tail, 0, 5, TEBIBYTE), TCPX_OK);
	seglist_show(&tail);
	CHECK_EQ(load_relaxed(&list->total_bytes), TEBIBYTE);
	for (uint32_t i = 0; i < load_relaxed(&list->n); i++) {
		CHECK_EQ(list->segs[i].off, 5 + sum);
		sum += list->segs[i].len_bytes;
	}
	CHECK_EQ(sum, TEBIBYTE);
	seglist_put(list);
}

/* What is written behind the rows that are shown is not seen, and merges with
 * its own alone. */
static void tail_is_shown_at_once(void)
{
	struct seglist *list = repeated(4, 100);
	struct seglist *more = seglist_create(NULL, 8);
	struct msg_region row = {1, 2};

	CHECK(more);
	CHECK_STATUS(seglist_add_remote(more, &row, 0), TCPX_OK);
	struct seglist_tail tail = seglist_tail(more);

	CHECK_STATUS(seglist_append(&tail, 0, 0, 10), TCPX_OK);
	CHECK_STATUS(seglist_append(&tail, 0, 10, 10), TCPX_OK);
	CHECK_EQ(load_relaxed(&more->n), 0);
	CHECK_EQ(load_relaxed(&more->total_bytes), 0);
	seglist_show(&tail);
	CHECK_EQ(load_relaxed(&more->n), 1);
	CHECK_EQ(load_relaxed(&more->total_bytes), 20);
	tail = seglist_tail(more);
	/* It touches what is shown, and that does not change. */
	CHECK_STATUS(seglist_append(&tail, 0, 20, 10), TCPX_OK);
	CHECK_STATUS(seglist_append(&tail, 0, 30, 10), TCPX_OK);
	CHECK_EQ(more->segs[0].len_bytes, 20);
	CHECK_EQ(load_relaxed(&more->n), 1);
	seglist_show(&tail);
	CHECK_EQ(load_relaxed(&more->n), 2);
	CHECK_EQ(more->segs[1].len_bytes, 20);
	/* Full. */
	tail = seglist_tail(list);
	CHECK_STATUS(seglist_append(&tail, 0, 1000, 100), TCPX_ENOSPC);
	seglist_put(list);
	seglist_put(more);
}

/* Rows of both kinds, those in the list itself and those of their own memory,
 * stay when more are needed. */
static void tail_is_widened(void)
{
	static const uint32_t caps[] = {1, 3, 4, 5, 63, 64, 65, 200};

	for (size_t k = 0; k < sizeof(caps) / sizeof(*caps); k++) {
		uint32_t n = caps[k];
		struct seglist *list = seglist_create(NULL, n);

		CHECK(list);
		struct seglist_tail tail = seglist_tail(list);

		for (uint32_t i = 0; i < 3 * n; i++) {
			if (i == n)
				CHECK_STATUS(seglist_widen(&tail, 2 * n),
					     TCPX_OK);
			CHECK_STATUS(seglist_append(&tail, 0, 100 * i, 10),
				     TCPX_OK);
		}
		seglist_show(&tail);
		CHECK_EQ(load_relaxed(&list->n), 3 * n);
		for (uint32_t i = 0; i < 3 * n; i++) {
			struct segcursor at = seglist_seek(list, 10ul * i + 3);

			CHECK_EQ(list->segs[i].off, 100 * i);
			CHECK_EQ(at.i, i);
			CHECK_EQ(at.off, 3);
		}
		seglist_put(list);
	}
}

/* A stream is taken from the first to the last byte of a tebibyte, in chunks
 * of all sizes, some of which come back and are taken again. */
static void stream_takes_all(void)
{
	const uint64_t len = 1u << 30;
	struct seglist *list = repeated(TEBIBYTE / len, len);
	struct stream *stream = stream_create(NULL, list, 1, TEBIBYTE);
	uint64_t seed = check_seed(), taken = 0, given_back = 0;

	CHECK(stream);
	stream->limit = TEBIBYTE;
	while (stream_has_bytes(stream)) {
		struct segcursor at;
		struct piece piece = stream_peek(stream, &at);
		uint64_t n = 1 + check_rand(&seed) % UINT32_MAX;

		CHECK(piece.len_bytes > 0);
		CHECK_EQ((uint64_t)at.i * len + at.off, piece.pos);
		if (n > piece.len_bytes)
			n = piece.len_bytes;
		at = seglist_seek(list, piece.pos + n);
		stream_take(stream, (uint32_t)n, at);
		piece.len_bytes = (uint32_t)n;
		taken += n;
		if (check_rand(&seed) % 4)
			continue;
		CHECK_STATUS(stream_again(stream, piece), TCPX_OK);
		given_back += n;
	}
	CHECK(given_back > 0);
	CHECK_EQ(taken - given_back, TEBIBYTE);
	stream_put(stream);
	seglist_put(list);
}

static void spans_at_the_end(void)
{
	const uint64_t len = 1u << 20;
	struct region *region = make_region();
	struct seglist *list = seglist_create(NULL, TEBIBYTE / len);
	struct span spans[4];
	uint32_t n;

	region->base = (uint8_t *)0x1000;
	region->len_bytes = len;
	store_relaxed(&region->refs, 1);
	CHECK(list);
	CHECK_STATUS(seglist_add_region(list, region), TCPX_OK);
	struct seglist_tail tail = seglist_tail(list);

	for (uint64_t i = 0; i < TEBIBYTE / len; i++)
		CHECK_STATUS(seglist_append(&tail, 0, 0x1000, len), TCPX_OK);
	seglist_show(&tail);
	struct segcursor at = seglist_seek(list, TEBIBYTE - len - 10);

	CHECK_EQ(seglist_spans(list, &at, UINT32_MAX, spans, 4, &n), len + 10);
	CHECK_EQ(n, 2);
	CHECK_EQ((uintptr_t)spans[0].base, 0x1000 + len - 10);
	CHECK_EQ(spans[0].len_bytes, 10);
	CHECK_EQ((uintptr_t)spans[1].base, 0x1000);
	CHECK_EQ(spans[1].len_bytes, len);
	seglist_put(list);
	region_put(region);
}

static const struct check_case cases[] = {
	{"tebibyte_is_sought", tebibyte_is_sought, 0},
	{"long_run_is_split", long_run_is_split, 0},
	{"tail_is_shown_at_once", tail_is_shown_at_once, 0},
	{"tail_is_widened", tail_is_widened, 0},
	{"stream_takes_all", stream_takes_all, 0},
	{"spans_at_the_end", spans_at_the_end, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
