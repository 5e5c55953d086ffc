/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SEGS_MODEL_H
#define SEGS_MODEL_H

/* The segment tokens decoded the plain way, one byte after the other, to hold
 * the fast decoder against. */

#include <stdbool.h>

#include "wire/cursor.h"
#include "wire/segs.h"

struct segs_model {
	struct wire_reader *r;
	struct wire_seg *segs;
	uint64_t n, room, end, len_bytes, region;
};

static inline uint64_t segs_model_signed(struct wire_reader *r)
{
	uint64_t v = wire_read_varint(r);

	return v % 2 ? ~(v / 2) : v / 2;
}

static inline bool segs_model_add(struct segs_model *m, __int128 off)
{
	if (off < 0 || off + m->len_bytes > UINT64_MAX || m->n == m->room ||
	    m->len_bytes == 0 || m->len_bytes > WIRE_SEG_MAX)
		return false;
	m->segs[m->n++] = (struct wire_seg){
		(uint64_t)off, (uint32_t)m->len_bytes, (uint32_t)m->region};
	m->end = (uint64_t)off + m->len_bytes;
	return true;
}

static inline bool segs_model_step(struct segs_model *m, uint32_t n_regions)
{
	uint8_t token = wire_read_u8(m->r);
	uint64_t off, count = 1;
	int64_t stride = 0;

	if (token == 2) {
		m->region = wire_read_varint(m->r);
		return !m->r->failed && m->region < n_regions;
	}
	if (token > 15 || (token & 2))
		return false;
	if (token & 4)
		m->len_bytes = wire_read_varint(m->r);
	off = m->end + (token & 8 ? segs_model_signed(m->r) : 0);
	if (token & 1) {
		count = wire_read_varint(m->r);
		stride = (int64_t)segs_model_signed(m->r);
		if (count < 2)
			return false;
	}
	for (uint64_t i = 0; i < count && !m->r->failed; i++) {
		if (!segs_model_add(m, off + (__int128)stride * i))
			return false;
	}
	return !m->r->failed;
}

static inline bool segs_model_decode(const void *buf, size_t len_bytes,
				     struct wire_seg *segs, size_t n,
				     uint32_t n_regions)
{
	struct wire_reader r;
	struct segs_model m = {.r = &r, .segs = segs, .room = n};

	wire_reader_init(&r, buf, len_bytes);
	while (n_regions > 0 && m.n < n) {
		if (!segs_model_step(&m, n_regions))
			return false;
	}
	return n_regions > 0 && wire_reader_done(&r);
}

#endif
