/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/segs.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

#include "wire/cursor.h"

/*
 * Lists have a million segments, so this file reads and writes bytes by
 * itself: varints of up to 8 bytes are put together in a register, without a
 * branch for each byte (in a shuffled list their lengths are random, and every
 * mispredicted branch would cost as much as the segment).
 */

enum token {
	TOKEN_SEG = 0,
	TOKEN_RUN = 1,
	TOKEN_REGION = 2,
	TOKEN_LEN = 4,
	TOKEN_OFF = 8,
};

#define FAST_BYTES 8 /* of a varint that is read and written at once */
#define FAST_BITS 56
/* Region change 6, token 1, length 5, offset 10, count 5, stride 10: the most
 * that one step writes, with what a store writes beyond its varint. */
_Static_assert(SEGS_ROOM_LEAST >= 37 + FAST_BYTES, "room for one step");
#define RUN_LEAST 3 /* two are shorter as two tokens */

/* What both sides know after each segment. */
struct state {
	uint64_t end; /* of the last segment */
	uint32_t len_bytes;
	uint32_t region;
};

static inline uint64_t zigzag(uint64_t v)
{
	return v << 1 ^ (uint64_t)((int64_t)v >> 63);
}

static inline uint64_t unzigzag(uint64_t v)
{
	return v >> 1 ^ -(v & 1);
}

/* Seven bits a byte: 56 bits spread over 64, and the reverse. */
static inline uint64_t spread(uint64_t v)
{
	v = (v & 0x0fffffff) | (v & 0x00fffffff0000000) << 4;
	v = (v & 0x00003fff00003fff) | (v & 0x0fffc0000fffc000) << 2;
	return (v & 0x007f007f007f007f) | (v & 0x3f803f803f803f80) << 1;
}

static inline uint64_t gather(uint64_t v)
{
	v = (v & 0x007f007f007f007f) | (v & 0x7f007f007f007f00) >> 1;
	v = (v & 0x00003fff00003fff) | (v & 0x3fff00003fff0000) >> 2;
	return (v & 0x0fffffff) | (v & 0x0fffffff00000000) >> 4;
}

/* ---- encoding --------------------------------------------------------- */

static uint8_t *put_varint_long(uint8_t *at, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*at++ = (uint8_t)v | 0x80;
	*at++ = (uint8_t)v;
	return at;
}

/* Writes up to 10 bytes at at, whatever the varint's own length. */
static inline uint8_t *put_varint(uint8_t *at, uint64_t v)
{
	unsigned int n_bits, n_bytes;
	uint64_t bytes;

	if (v >> FAST_BITS)
		return put_varint_long(at, v);
	n_bits = 64 - (unsigned int)__builtin_clzll(v | 1);
	n_bytes = (n_bits - 1) * 37 >> 8; /* (n_bits - 1) / 7 */
	bytes = spread(v);
	bytes |= 0x8080808080808080 & ((1ull << 8 * n_bytes) - 1);
	bytes = htole64(bytes);
	memcpy(at, &bytes, sizeof(bytes));
	return at + n_bytes + 1;
}

/* How many segments from the first on lie at one stride, without wrapping
 * around 2^64 on the way. */
static size_t run_count(const struct wire_seg *segs, size_t n, uint64_t *stride)
{
	uint64_t step = segs[1].off - segs[0].off;
	bool down = (int64_t)step < 0;
	size_t i = 1;

	while (i < n && segs[i].off - segs[i - 1].off == step &&
	       (segs[i].off < segs[i - 1].off) == down &&
	       segs[i].len_bytes == segs[0].len_bytes &&
	       segs[i].region == segs[0].region)
		i++;
	*stride = step;
	return i;
}

static uint8_t *put_region(uint8_t *at, uint32_t region)
{
	*at++ = TOKEN_REGION;
	return put_varint(at, region);
}

/* The token without its kind, and what its bits announce. */
static inline uint8_t *put_seg(uint8_t *at, struct state *s, uint8_t kind,
			       const struct wire_seg *seg)
{
	uint64_t diff = seg->off - s->end;
	uint8_t *token = at++;

	*token = kind;
	if (seg->len_bytes != s->len_bytes) {
		*token |= TOKEN_LEN;
		s->len_bytes = seg->len_bytes;
		at = put_varint(at, seg->len_bytes);
	}
	if (diff != 0) {
		*token |= TOKEN_OFF;
		at = put_varint(at, zigzag(diff));
	}
	s->end = seg->off + seg->len_bytes;
	return at;
}

/* The next three are at one stride, so that a run is worth looking for. */
static inline bool run_starts(const struct wire_seg *segs, size_t n)
{
	return n >= RUN_LEAST &&
	       segs[1].off - segs[0].off == segs[2].off - segs[1].off;
}

size_t segs_encode(struct wire_writer *w, const struct wire_seg *segs, size_t n)
{
	struct state s = {0};
	uint8_t *at = w->at;
	uint64_t stride;
	size_t i = 0, count;

	if (n > WIRE_PART_SEGS_MAX)
		n = WIRE_PART_SEGS_MAX;
	while (i < n && w->end - at >= SEGS_ROOM_LEAST && !w->failed) {
		if (segs[i].region != s.region) {
			s.region = segs[i].region;
			at = put_region(at, s.region);
		}
		count = run_starts(&segs[i], n - i) ?
				run_count(&segs[i], n - i, &stride) :
				1;
		if (count < RUN_LEAST) {
			at = put_seg(at, &s, TOKEN_SEG, &segs[i++]);
			continue;
		}
		at = put_seg(at, &s, TOKEN_RUN, &segs[i]);
		at = put_varint(at, count);
		at = put_varint(at, zigzag(stride));
		s.end += stride * (count - 1);
		i += count;
	}
	w->at = at;
	return i;
}

/* ---- decoding --------------------------------------------------------- */

static const uint8_t *get_varint_long(const uint8_t *at, const uint8_t *end,
				      uint64_t *v)
{
	struct wire_reader r;

	wire_reader_init(&r, at, (size_t)(end - at));
	*v = wire_read_varint(&r);
	return r.failed ? NULL : r.at;
}

/* Returns where it ended, or NULL if there is no whole varint. */
static inline const uint8_t *get_varint(const uint8_t *at, const uint8_t *end,
					uint64_t *v)
{
	uint64_t bytes, stops;

	if (end - at < FAST_BYTES)
		return get_varint_long(at, end, v);
	memcpy(&bytes, at, sizeof(bytes));
	bytes = le64toh(bytes);
	stops = ~bytes & 0x8080808080808080;
	if (!stops)
		return get_varint_long(at, end, v);
	/* All bits up to the lowest stop bit: the varint's own bytes. */
	bytes &= stops ^ (stops - 1);
	*v = gather(bytes & 0x7f7f7f7f7f7f7f7f);
	return at + (__builtin_ctzll(stops) >> 3) + 1;
}

/* first and the count - 1 after it: no start or end may wrap around. */
static bool run_fits(uint64_t first, uint64_t stride, uint64_t count,
		     uint32_t len_bytes)
{
	uint64_t last = first, span;
	bool down = (int64_t)stride < 0;

	if (__builtin_mul_overflow(down ? -stride : stride, count - 1, &span) ||
	    (down ? __builtin_sub_overflow(first, span, &last) :
		    __builtin_add_overflow(first, span, &last)))
		return false;
	return (last > first ? last : first) <= UINT64_MAX - len_bytes;
}

/* What follows the token of a segment or run: length and start. */
static inline const uint8_t *get_seg(const uint8_t *at, const uint8_t *end,
				     uint8_t token, struct state *s)
{
	uint64_t v;

	if (token & TOKEN_LEN) {
		at = get_varint(at, end, &v);
		if (!at || v > WIRE_SEG_MAX)
			return NULL;
		s->len_bytes = (uint32_t)v;
	}
	if (token & TOKEN_OFF) {
		at = get_varint(at, end, &v);
		if (!at)
			return NULL;
		s->end += unzigzag(v); /* the start, for now */
	}
	return at;
}

static const uint8_t *get_region(const uint8_t *at, const uint8_t *end,
				 uint32_t n_regions, struct state *s)
{
	uint64_t v;

	at = get_varint(at, end, &v);
	if (!at || v >= n_regions)
		return NULL;
	s->region = (uint32_t)v;
	return at;
}

/* The rest of a run, whose start is s->end. Fills segs[0..*count). */
static const uint8_t *get_run(const uint8_t *at, const uint8_t *end,
			      struct state *s, struct wire_seg *segs,
			      size_t room, size_t *count)
{
	uint64_t n, stride, off = s->end;

	at = get_varint(at, end, &n);
	if (at)
		at = get_varint(at, end, &stride);
	if (!at || n < 2 || n > room)
		return NULL;
	stride = unzigzag(stride);
	if (!run_fits(off, stride, n, s->len_bytes))
		return NULL;
	for (size_t i = 0; i < n; i++, off += stride)
		segs[i] = (struct wire_seg){off, s->len_bytes, s->region};
	s->end = off - stride + s->len_bytes;
	*count = n;
	return at;
}

int segs_decode(struct wire_reader *r, struct wire_seg *segs, size_t n,
		uint32_t n_regions)
{
	const uint8_t *at = r->at, *end = r->end;
	struct state s = {0};
	size_t i = 0, count;
	uint8_t token;

	if (r->failed || n_regions == 0)
		return TCPX_EPROTO;
	while (i < n && at && at < end) {
		token = *at++;
		if (token == TOKEN_REGION) {
			at = get_region(at, end, n_regions, &s);
			continue;
		}
		if (token & ~(TOKEN_LEN | TOKEN_OFF | TOKEN_RUN))
			break;
		at = get_seg(at, end, token, &s);
		if (!at || s.len_bytes == 0 || s.end > UINT64_MAX - s.len_bytes)
			break;
		if (token & TOKEN_RUN) {
			count = 0;
			at = get_run(at, end, &s, &segs[i], n - i, &count);
			i += count;
			continue;
		}
		segs[i++] = (struct wire_seg){s.end, s.len_bytes, s.region};
		s.end += s.len_bytes;
	}
	if (i < n || at != end)
		return TCPX_EPROTO;
	r->at = at;
	return 0;
}
