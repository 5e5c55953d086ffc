/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_REGIONMAP_H
#define CORE_REGIONMAP_H

/*
 * The regions that a list names, by handle, while it is built: each is looked
 * up in the session once, however many segments name it, and a segment costs
 * a multiplication and mostly one compare. Open addressing, at most half full;
 * rows are only added. One thread's.
 */

#include <stddef.h>
#include <stdint.h>

#define REGIONMAP_FEW_BITS 3

/* What a segment needs of its region. */
struct regionmap_row {
	uint64_t mem;		/* 0: free */
	uint64_t base, len_bytes;
	uint32_t index;		/* in the table of its list */
};

struct regionmap {
	struct regionmap_row *rows; /* few, or of their own memory */
	const struct regionmap_row *last; /* got: mostly the next one, too */
	uint32_t bits;		/* 1 << bits rows */
	uint32_t n_used;
	struct regionmap_row few[1u << REGIONMAP_FEW_BITS];
};

/* In place: it is not to be moved. */
void regionmap_init(struct regionmap *map);
void regionmap_fini(struct regionmap *map);
/* A region that is not there yet; mem is not 0. Returns the row, good until
 * the next one is added, or NULL: out of memory. */
const struct regionmap_row *regionmap_add(struct regionmap *map,
					  const struct regionmap_row *row);

/* Where mem is, or would be. */
static inline struct regionmap_row *regionmap_at(const struct regionmap *map,
						 uint64_t mem)
{
	uint32_t mask = (1u << map->bits) - 1;
	/* Handles count up: multiplied so, neighbours are far apart. */
	uint64_t i = mem * 0x9e3779b97f4a7c15ull >> (64 - map->bits);

	while (map->rows[i].mem != mem && map->rows[i].mem)
		i = (i + 1) & mask;
	return &map->rows[i];
}

/* NULL: not there. The row is good until one is added. */
static inline const struct regionmap_row *regionmap_get(struct regionmap *map,
							uint64_t mem)
{
	const struct regionmap_row *row = map->last;

	if (row->mem != mem)
		row = map->last = regionmap_at(map, mem);
	return row->mem ? row : NULL;
}

#endif
