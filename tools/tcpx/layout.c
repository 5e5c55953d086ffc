/* SPDX-License-Identifier: Apache-2.0 */
#include "layout.h"

#include <stdlib.h>
#include <string.h>

#define SLOT_ALIGN 64u
#define AREA_MAX (1ull << 42)

static uint64_t mix(uint64_t x)
{
	x *= 0x9e3779b97f4a7c15ull;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	return x ^ (x >> 29);
}

static uint64_t source_key(const struct layout *layout, uint32_t round)
{
	return mix(layout->seed + 2 * (uint64_t)round + 1) | 1;
}

/* The word at index k of a source. */
static uint64_t source_word(uint64_t key, uint64_t k)
{
	return mix(key + k);
}

static uint64_t wipe_word(const struct layout *layout, uint32_t round)
{
	return mix(layout->seed ^ 0x5a5a5a5aull ^ ((uint64_t)round << 40));
}

static void shuffle(uint32_t *order, uint32_t n, uint64_t seed)
{
	uint32_t j, t;

	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	for (uint32_t i = n; i > 1; i--) {
		seed = mix(seed + i);
		j = (uint32_t)(seed % i);
		t = order[i - 1];
		order[i - 1] = order[j];
		order[j] = t;
	}
}

/* A hole of at least 64 bytes and about a quarter of the piece, at most a
 * page: large pieces need no large holes. */
static uint64_t slot_for(uint64_t piece_bytes)
{
	uint64_t hole = piece_bytes / 4;

	if (hole > 4096)
		hole = 4096;
	if (hole < SLOT_ALIGN)
		hole = SLOT_ALIGN;
	return (piece_bytes + hole + SLOT_ALIGN - 1) / SLOT_ALIGN * SLOT_ALIGN;
}

int layout_init(struct layout *layout, uint64_t seed, uint64_t piece_bytes,
		uint32_t n_pieces, uint32_t n_blocks)
{
	uint64_t n_slots = (uint64_t)n_pieces * n_blocks;

	memset(layout, 0, sizeof(*layout));
	if (!piece_bytes || !n_slots || piece_bytes > AREA_MAX ||
	    slot_for(piece_bytes) > AREA_MAX / n_slots)
		return -1;
	layout->seed = seed;
	layout->piece_bytes = piece_bytes;
	layout->n_pieces = n_pieces;
	layout->n_blocks = n_blocks;
	layout->slot_bytes = slot_for(piece_bytes);
	layout->block_bytes = layout->slot_bytes * n_pieces;
	layout->area_bytes = layout->block_bytes * n_blocks;
	layout->from = malloc(n_pieces * sizeof(uint32_t));
	layout->to = malloc(n_pieces * sizeof(uint32_t));
	if (!layout->from || !layout->to) {
		layout_fini(layout);
		return -1;
	}
	shuffle(layout->from, n_pieces, seed ^ 1);
	shuffle(layout->to, n_pieces, seed ^ 2);
	return 0;
}

void layout_fini(struct layout *layout)
{
	free(layout->from);
	free(layout->to);
	layout->from = layout->to = NULL;
}

uint64_t layout_source_off(const struct layout *layout, uint32_t block,
			   uint32_t i)
{
	return block * layout->block_bytes +
	       layout->from[i] * layout->slot_bytes;
}

uint64_t layout_sink_off(const struct layout *layout, uint32_t block,
			 uint32_t i)
{
	return block * layout->block_bytes + layout->to[i] * layout->slot_bytes;
}

/* Areas are whole words: slots are multiples of 64 bytes. */
void layout_fill(const struct layout *layout, uint32_t round, void *source)
{
	uint64_t key = source_key(layout, round);
	uint64_t *words = source;

	for (uint64_t k = 0; k < layout->area_bytes / 8; k++)
		words[k] = source_word(key, k);
}

void layout_wipe(const struct layout *layout, uint32_t round, void *sink)
{
	uint64_t word = wipe_word(layout, round);
	uint64_t *words = sink;

	for (uint64_t k = 0; k < layout->area_bytes / 8; k++)
		words[k] = word;
}

/* The index of the first wrong word of a slot, or UINT64_MAX. */
static uint64_t check_slot(const struct layout *layout, uint32_t round,
			   const uint64_t *slot, uint64_t source_off)
{
	uint64_t key = source_key(layout, round);
	uint64_t wiped = wipe_word(layout, round);
	uint64_t n_full = layout->piece_bytes / 8, k, want;
	size_t n_tail = layout->piece_bytes % 8;

	for (k = 0; k < n_full; k++)
		if (slot[k] != source_word(key, source_off / 8 + k))
			return k;
	if (n_tail) {
		uint64_t source = source_word(key, source_off / 8 + k);

		want = wiped;
		memcpy(&want, &source, n_tail);
		if (slot[k] != want)
			return k;
		k++;
	}
	for (; k < layout->slot_bytes / 8; k++)
		if (slot[k] != wiped)
			return k;
	return UINT64_MAX;
}

bool layout_check(const struct layout *layout, uint32_t round, const void *sink,
		  uint64_t *bad_off)
{
	uint64_t sink_off, k;

	for (uint32_t b = 0; b < layout->n_blocks; b++) {
		for (uint32_t i = 0; i < layout->n_pieces; i++) {
			sink_off = layout_sink_off(layout, b, i);
			k = check_slot(layout, round,
				       (const uint64_t *)sink + sink_off / 8,
				       layout_source_off(layout, b, i));
			if (k == UINT64_MAX)
				continue;
			*bad_off = sink_off + 8 * k;
			return false;
		}
	}
	return true;
}
