/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>

#include "check.h"
#include "core/regionmap.h"

#define MANY 5000u

static uint64_t handles[MANY];

/* As idmap makes them: consecutive, of several generations; or any. */
static void make_handles(uint64_t seed, bool any)
{
	for (uint32_t i = 0; i < MANY; i++)
		handles[i] = any ? check_rand(&seed) | 1 :
				   1ull << 60 | (i % 5ull) << 24 | (i + 1);
	for (uint32_t i = 0; any && i < MANY; i++)
		handles[i] = handles[i] << 13 | (i + 1); /* none twice */
}

static void add(struct regionmap *map, uint32_t i)
{
	struct regionmap_row row = {handles[i], 10ull * i, 100ull * i, i};
	const struct regionmap_row *at;

	CHECK(!regionmap_get(map, handles[i]));
	at = regionmap_add(map, &row);
	CHECK(at);
	CHECK_EQ(at->mem, handles[i]);
	CHECK(regionmap_get(map, handles[i]) == at);
}

static void must_have(struct regionmap *map, uint32_t i)
{
	const struct regionmap_row *row = regionmap_get(map, handles[i]);

	CHECK(row);
	CHECK_EQ(row->mem, handles[i]);
	CHECK_EQ(row->base, 10ull * i);
	CHECK_EQ(row->len_bytes, 100ull * i);
	CHECK_EQ(row->index, i);
}

/* All of them at every size, also right after the table has grown. */
static void fill(bool any)
{
	uint64_t seed = check_seed();
	struct regionmap map;

	make_handles(seed, any);
	regionmap_init(&map);
	for (uint32_t i = 0; i < MANY; i++) {
		add(&map, i);
		must_have(&map, (uint32_t)(check_rand(&seed) % (i + 1)));
		CHECK(!regionmap_get(&map, 0));
		must_have(&map, 0);
	}
	for (uint32_t i = 0; i < MANY; i++)
		must_have(&map, i);
	regionmap_fini(&map);
}

static void counted_handles(void)
{
	fill(false);
}

static void any_handles(void)
{
	fill(true);
}

static void empty(void)
{
	struct regionmap map;

	regionmap_init(&map);
	CHECK(!regionmap_get(&map, 0));
	CHECK(!regionmap_get(&map, 7));
	CHECK(!regionmap_get(&map, 0));
	regionmap_fini(&map);
}

static const struct check_case cases[] = {
	{"empty", empty, 0},
	{"counted_handles", counted_handles, 0},
	{"any_handles", any_handles, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
