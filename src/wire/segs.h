/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_SEGS_H
#define WIRE_SEGS_H

/*
 * Segment lists on the wire: which bytes of which of the receiver's regions,
 * in stream order. One token a run:
 *
 *   token u8   bits 0-1  kind: 0 one segment, 1 run of equal segments at a
 *                        constant stride, 2 region change (index follows)
 *              bit 2     length differs from the last one (varint follows)
 *              bit 3     offset is not where the last one ended (a zigzag
 *                        varint of the difference follows)
 *   run        after those: varint count (>= 2), zigzag varint stride from
 *              one start to the next
 *
 * so a contiguous or strided list is a few bytes however long, and a
 * shuffled one of equal pieces 3 to 6 bytes a segment. A list is cut into
 * parts, each encoded on its own, each part small enough for one control
 * message. A part starts in region 0, with no length, as if a segment had
 * ended at offset 0; a region change keeps the last length and end.
 */

#include <stddef.h>
#include <stdint.h>
#include <tcpx/p2p.h>

struct wire_reader;
struct wire_writer;

/* One run of bytes. As the encoder's input: off into the region. */
struct wire_seg {
	uint64_t off;
	uint32_t len_bytes; /* 1 to WIRE_SEG_MAX */
	uint32_t region; /* index into the list's own table of regions */
};

#define WIRE_SEG_MAX (1u << 30) /* longer segments are split beforehand */
/* Segments of one list: a transfer's, and what the splitting can add. */
#define WIRE_SEGS_MAX                                                          \
	(TCPX_SEGMENTS_MAX + (uint32_t)(TCPX_XFER_MAX / WIRE_SEG_MAX))

/* Segments of one part: what a receiver may have to hold at once. (A run of a
 * million would fit in ten bytes.) */
#define WIRE_PART_SEGS_MAX 65536u

#define SEGS_ROOM_LEAST 48 /* bytes in w below which nothing is encoded */

/*
 * Encodes segs[0..n), at most WIRE_PART_SEGS_MAX, until fewer than
 * SEGS_ROOM_LEAST bytes are left in w. Returns how many were encoded; w never
 * fails by this call. 3 to 7 ns a segment.
 */
size_t segs_encode(struct wire_writer *w, const struct wire_seg *segs,
		   size_t n);
/*
 * Decodes exactly n segments. Rejects (TCPX_EPROTO): a region index >=
 * n_regions, lengths of 0 or over WIRE_SEG_MAX, offsets that wrap, fewer or
 * more than n; what segs holds then is of no use. It does not know the regions'
 * bounds: the caller checks those. 3 to 9 ns a segment.
 */
int segs_decode(struct wire_reader *r, struct wire_seg *segs, size_t n,
		uint32_t n_regions);

#endif
