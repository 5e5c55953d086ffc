/* SPDX-License-Identifier: Apache-2.0 */
#include "base/u64map.h"

#include <stdlib.h>
#include <tcpx/p2p.h>

#define ROWS_MIN 8
#define ROWS_KEPT 64

static uint32_t home_of(const struct u64map *map, uint64_t key)
{
	/* Multiplication spreads consecutive ids over the upper bits. */
	return (uint32_t)((key * 0x9e3779b97f4a7c15ull) >> 32) &
	       (map->n_rows - 1);
}

static struct u64map_row *find(const struct u64map *map, uint64_t key)
{
	uint32_t i = home_of(map, key);

	while (map->rows[i].key && map->rows[i].key != key)
		i = (i + 1) & (map->n_rows - 1);
	return &map->rows[i];
}

void u64map_fini(struct u64map *map)
{
	free(map->rows);
	*map = (struct u64map){0};
}

static int resize(struct u64map *map, uint32_t n_rows)
{
	struct u64map grown = {.n_rows = n_rows, .n_used = map->n_used};

	grown.rows = calloc(n_rows, sizeof(*grown.rows));
	if (!grown.rows)
		return TCPX_ENOMEM;
	for (uint32_t i = 0; i < map->n_rows; i++)
		if (map->rows[i].key)
			*find(&grown, map->rows[i].key) = map->rows[i];
	free(map->rows);
	*map = grown;
	return 0;
}

int u64map_put(struct u64map *map, uint64_t key, void *value)
{
	if (4 * (map->n_used + 1) > 3 * map->n_rows) {
		int err = resize(map, map->n_rows ? 2 * map->n_rows : ROWS_MIN);

		if (err)
			return err;
	}
	struct u64map_row *row = find(map, key);

	if (row->key)
		return TCPX_EBUSY;
	*row = (struct u64map_row){key, value};
	map->n_used++;
	return 0;
}

void *u64map_get(const struct u64map *map, uint64_t key)
{
	return map->n_used ? find(map, key)->value : NULL;
}

void *u64map_del(struct u64map *map, uint64_t key)
{
	struct u64map_row *row = map->n_used ? find(map, key) : NULL;

	if (!row || !row->key)
		return NULL;
	void *value = row->value;
	uint32_t mask = map->n_rows - 1;
	uint32_t hole = (uint32_t)(row - map->rows);

	/* Whoever sits behind the hole and may sit in it moves there. */
	for (uint32_t i = (hole + 1) & mask; map->rows[i].key;
	     i = (i + 1) & mask) {
		uint32_t home = home_of(map, map->rows[i].key);

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			map->rows[hole] = map->rows[i];
			hole = i;
		}
	}
	map->rows[hole] = (struct u64map_row){0};
	/* Small tables stay, so that one at a time costs no allocation. */
	if (--map->n_used == 0 && map->n_rows > ROWS_KEPT)
		u64map_fini(map);
	return value;
}

void *u64map_any(const struct u64map *map, uint64_t *key)
{
	for (uint32_t i = 0; i < map->n_rows; i++)
		if (map->rows[i].key) {
			*key = map->rows[i].key;
			return map->rows[i].value;
		}
	return NULL;
}
