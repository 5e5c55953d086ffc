/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_LAYOUT_H
#define TCPX_TOOL_LAYOUT_H

/*
 * Where the pieces of a case lie, in the memory they come from (source) and
 * in the memory they go to (sink). Both processes compute it from the same
 * seed, so nothing but the seed travels.
 *
 * Each of the n_blocks transfers that may be in flight together has a block
 * of its own; a block holds n_pieces slots, each a piece and then a hole:
 *
 *    block 0                                   block 1
 *    | piece .. hole | piece .. hole | ... |   | piece .. hole | ...
 *     \_ slot ______/
 *
 * Piece i sits in slot from[i] of the source and to[i] of the sink, two
 * shuffles of their own.
 *
 * Contents: word k of a source is a mix of (seed, round, k), so no piece
 * looks like another or like that of an earlier round; a sink is wiped with
 * one word that no mix is likely to give. A right sink has every piece where
 * it belongs and every hole as wiped.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct layout {
	uint64_t seed;
	uint64_t piece_bytes;
	uint32_t n_pieces;
	uint32_t n_blocks;
	uint64_t slot_bytes;
	uint64_t block_bytes;
	uint64_t area_bytes; /* all blocks */
	uint32_t *from, *to; /* n_pieces each */
};

/* Returns 0 or -1 (too large, or no memory). */
int layout_init(struct layout *layout, uint64_t seed, uint64_t piece_bytes,
		uint32_t n_pieces, uint32_t n_blocks);
void layout_fini(struct layout *layout);

uint64_t layout_source_off(const struct layout *layout, uint32_t block,
			   uint32_t i);
uint64_t layout_sink_off(const struct layout *layout, uint32_t block,
			 uint32_t i);

void layout_fill(const struct layout *layout, uint32_t round, void *source);
void layout_wipe(const struct layout *layout, uint32_t round, void *sink);
/* Every byte. False: *bad_off is the offset of the first wrong word. */
bool layout_check(const struct layout *layout, uint32_t round, const void *sink,
		  uint64_t *bad_off);

#endif
