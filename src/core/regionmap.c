/* SPDX-License-Identifier: Apache-2.0 */
#include "core/regionmap.h"

#include <stdlib.h>
#include <string.h>
#include <tcpx/status.h>

void regionmap_init(struct regionmap *map)
{
	memset(map, 0, sizeof(*map));
	map->last = map->rows = map->few;
	map->bits = REGIONMAP_FEW_BITS;
}

void regionmap_fini(struct regionmap *map)
{
	if (map->rows != map->few)
		free(map->rows);
}

static int grow(struct regionmap *map)
{
	struct regionmap grown = {.bits = map->bits + 1};

	grown.rows = calloc(1ul << grown.bits, sizeof(*grown.rows));
	if (!grown.rows)
		return TCPX_ENOMEM;
	for (uint32_t i = 0; i < 1u << map->bits; i++)
		if (map->rows[i].mem)
			*regionmap_at(&grown, map->rows[i].mem) = map->rows[i];
	regionmap_fini(map);
	map->rows = grown.rows;
	map->bits = grown.bits;
	return 0;
}

const struct regionmap_row *regionmap_add(struct regionmap *map,
					  const struct regionmap_row *row)
{
	if (2 * (map->n_used + 1) > 1u << map->bits && grow(map))
		return NULL;
	struct regionmap_row *at = regionmap_at(map, row->mem);

	*at = *row;
	map->n_used++;
	map->last = at;
	return at;
}
