/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>

#include "base/atomic.h"
#include "base/idmap.h"
#include "check.h"

static int objects[100000];

static void adds_finds_removes(void)
{
	struct idmap map;
	uint64_t a, b;

	CHECK_STATUS(idmap_init(&map, 3), TCPX_OK);
	CHECK_STATUS(idmap_add(&map, &objects[1], &a), TCPX_OK);
	CHECK_STATUS(idmap_add(&map, &objects[2], &b), TCPX_OK);
	CHECK(a != b && a != 0 && b != 0);
	CHECK_EQ(a >> 60, 3);
	CHECK(idmap_get(&map, a) == &objects[1]);
	CHECK(idmap_get(&map, b) == &objects[2]);
	CHECK(idmap_remove(&map, a) == &objects[1]);
	CHECK(!idmap_get(&map, a));
	CHECK(!idmap_remove(&map, a));
	CHECK(idmap_get(&map, b) == &objects[2]);
	idmap_fini(&map);
}

static void wrong_ids_find_nothing(void)
{
	uint64_t seed = check_seed(), id;
	struct idmap map;

	CHECK_STATUS(idmap_init(&map, 2), TCPX_OK);
	CHECK(!idmap_get(&map, 0));
	CHECK_STATUS(idmap_add(&map, objects, &id), TCPX_OK);
	CHECK(!idmap_get(&map, 0));
	CHECK(!idmap_get(&map, UINT64_MAX));
	CHECK(!idmap_get(&map, id ^ 1ull << 60)); /* another kind */
	CHECK(!idmap_get(&map, id ^ 1ull << 24)); /* another generation */
	CHECK(!idmap_remove(&map, id + 1));
	for (int i = 0; i < 100000; i++) {
		uint64_t any = check_rand(&seed);

		CHECK(any == id || !idmap_get(&map, any));
	}
	CHECK(idmap_get(&map, id) == objects);
	idmap_fini(&map);
}

/* One slot, used over and over: no id of the past finds its successor. */
static void slots_are_reused_ids_are_not(void)
{
	struct idmap map;
	uint64_t past[1000];

	CHECK_STATUS(idmap_init(&map, 1), TCPX_OK);
	for (int i = 0; i < 1000; i++) {
		CHECK_STATUS(idmap_add(&map, &objects[i], &past[i]), TCPX_OK);
		for (int k = 0; k < i; k++) {
			CHECK(past[k] != past[i]);
			CHECK(!idmap_get(&map, past[k]));
		}
		CHECK(idmap_remove(&map, past[i]) == &objects[i]);
	}
	CHECK_EQ(map.n_slots, 1);
	CHECK_EQ(map.n_used, 0);
	idmap_fini(&map);
}

/* Against an array of what should be there. */
static void agrees_with_a_plain_model(void)
{
	static uint64_t ids[5000];
	uint64_t seed = check_seed();
	struct idmap map;

	CHECK_STATUS(idmap_init(&map, 9), TCPX_OK);
	for (int i = 0; i < 200000; i++) {
		uint32_t k = check_rand(&seed) % 5000;

		if (!ids[k]) {
			CHECK_STATUS(idmap_add(&map, &objects[k], &ids[k]),
				     TCPX_OK);
		} else if (check_rand(&seed) % 2) {
			CHECK(idmap_get(&map, ids[k]) == &objects[k]);
		} else {
			CHECK(idmap_remove(&map, ids[k]) == &objects[k]);
			CHECK(!idmap_get(&map, ids[k]));
			ids[k] = 0;
		}
	}
	for (int k = 0; k < 5000; k++)
		CHECK(!ids[k] || idmap_get(&map, ids[k]) == &objects[k]);
	idmap_fini(&map);
}

static void walks_all(void)
{
	static bool seen[100000];
	static uint64_t ids[100000];
	uint32_t cursor = 0;
	struct idmap map;
	int *object, n = 0;

	CHECK_STATUS(idmap_init(&map, 0), TCPX_OK);
	CHECK(!idmap_next(&map, &cursor));
	for (int i = 0; i < 100000; i++)
		CHECK_STATUS(idmap_add(&map, &objects[i], &ids[i]), TCPX_OK);
	for (int i = 0; i < 100000; i += 3)
		CHECK(idmap_remove(&map, ids[i]));
	for (cursor = 0; (object = idmap_next(&map, &cursor)); n++) {
		CHECK(!seen[object - objects]);
		CHECK((object - objects) % 3 != 0);
		seen[object - objects] = true;
	}
	CHECK_EQ(n, map.n_used);
	CHECK_EQ(n, 100000 - 33334);
	idmap_fini(&map);
}

struct race {
	struct idmap map;
	_Atomic uint64_t current;
	_Atomic uint32_t stop;
	_Atomic uint32_t n_removed;
};

static void *look_up(void *arg)
{
	struct race *race = arg;

	while (!load_acquire(&race->stop)) {
		uint64_t id = load_acquire(&race->current);
		/* Objects are their own id: another's would show. */
		uint64_t *object = idmap_get(&race->map, id);

		CHECK(!object ||
		      __atomic_load_n(object, __ATOMIC_RELAXED) == id);
	}
	return NULL;
}

/* Readers beside a writer that uses the same few slots again and again. */
static void readers_race_a_writer(void)
{
	static uint64_t ids[20000];
	struct race race = {.stop = 0};
	pthread_t readers[2];

	CHECK_STATUS(idmap_init(&race.map, 5), TCPX_OK);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(pthread_create(&readers[i], NULL, look_up, &race), 0);
	for (int i = 0; i < 20000; i++) {
		uint64_t id;

		CHECK_STATUS(idmap_add(&race.map, &ids[i], &id), TCPX_OK);
		__atomic_store_n(&ids[i], id, __ATOMIC_RELAXED);
		store_release(&race.current, id);
		if (i >= 3)
			CHECK(idmap_remove(&race.map, ids[i - 3]) ==
			      &ids[i - 3]);
	}
	store_release(&race.stop, 1);
	for (int i = 0; i < 2; i++)
		pthread_join(readers[i], NULL);
	CHECK(race.map.n_slots <= 4);
	idmap_fini(&race.map);
}

static void *remove_current(void *arg)
{
	struct race *race = arg;
	uint64_t last = 0;

	while (!load_acquire(&race->stop)) {
		uint64_t id = load_acquire(&race->current);

		if (id != last && idmap_remove(&race->map, id))
			add_acq_rel(&race->n_removed, 1);
		last = id;
	}
	return NULL;
}

static void one_remover_wins(void)
{
	struct race race = {.stop = 0};
	pthread_t removers[3];

	CHECK_STATUS(idmap_init(&race.map, 5), TCPX_OK);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(pthread_create(&removers[i], NULL, remove_current,
					&race),
			 0);
	for (uint32_t i = 0; i < 2000; i++) {
		uint64_t id;

		CHECK_STATUS(idmap_add(&race.map, objects, &id), TCPX_OK);
		store_release(&race.current, id);
		while (load_acquire(&race.n_removed) <= i)
			cpu_relax();
		CHECK_EQ(load_acquire(&race.n_removed), i + 1);
	}
	store_release(&race.stop, 1);
	for (int i = 0; i < 3; i++)
		pthread_join(removers[i], NULL);
	CHECK_EQ(race.n_removed, 2000);
	idmap_fini(&race.map);
}

static const struct check_case cases[] = {
	{"adds_finds_removes", adds_finds_removes, 0},
	{"wrong_ids_find_nothing", wrong_ids_find_nothing, 0},
	{"slots_are_reused_ids_are_not", slots_are_reused_ids_are_not, 0},
	{"agrees_with_a_plain_model", agrees_with_a_plain_model, 0},
	{"walks_all", walks_all, 0},
	{"readers_race_a_writer", readers_race_a_writer, 60},
	{"one_remover_wins", one_remover_wins, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
