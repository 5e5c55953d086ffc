/* SPDX-License-Identifier: Apache-2.0 */
#include "base/idmap.h"

#include <stdlib.h>
#include <string.h>
#include <tcpx/status.h>

#include "base/atomic.h"

#define TABLE0_SLOTS 64u
#define INDEX_BITS 24
#define INDEX_MASK ((1ull << INDEX_BITS) - 1)
#define TAG_SHIFT 60
#define GENERATION_MAX ((1ull << (TAG_SHIFT - INDEX_BITS)) - 1)

/*
 * A slot never moves, so a reader needs no lock. The writer stores object,
 * then id; and id = 0 before it touches the object again. A reader that finds
 * the same id before and after it loaded the object has that id's object.
 */
struct idmap_slot {
	_Atomic uint64_t id; /* 0: free */
	_Atomic(void *) object;
	uint64_t generation; /* of the next id; lock */
	uint32_t next_free; /* index + 1; lock */
};

/* Slot i is in table k at i - 64 * (2^k - 1): i + 64 has its top bit at k + 6. */
static struct idmap_slot *slot_at(struct idmap *map, uint32_t index)
{
	uint32_t shifted = index + TABLE0_SLOTS;
	uint32_t top = 31 - (uint32_t)__builtin_clz(shifted);
	/* Pairs with the store in table_grow(). */
	struct idmap_slot *table = load_acquire(&map->tables[top - 6]);

	return table ? &table[shifted - (1u << top)] : NULL;
}

int idmap_init(struct idmap *map, uint32_t tag)
{
	memset(map, 0, sizeof(*map));
	map->tag = (uint64_t)(tag & 15) << TAG_SHIFT;
	pthread_mutex_init(&map->lock, NULL);
	return 0;
}

void idmap_fini(struct idmap *map)
{
	for (int k = 0; k < IDMAP_TABLES; k++)
		free(load_relaxed(&map->tables[k]));
	pthread_mutex_destroy(&map->lock);
}

/* Makes room for slot map->n_slots; lock held. */
static int table_grow(struct idmap *map)
{
	uint32_t shifted = map->n_slots + TABLE0_SLOTS;
	uint32_t top = 31 - (uint32_t)__builtin_clz(shifted);
	struct idmap_slot *table;

	if (map->n_slots >= IDMAP_MAX)
		return TCPX_EAGAIN;
	if (load_relaxed(&map->tables[top - 6]))
		return 0;
	table = calloc(1u << top, sizeof(*table));
	if (!table)
		return TCPX_ENOMEM;
	/* Pairs with the load in slot_at(): a reader sees zeroed slots. */
	store_release(&map->tables[top - 6], table);
	return 0;
}

static int slot_take(struct idmap *map, uint32_t *index)
{
	int rc;

	if (map->free_head) {
		*index = map->free_head - 1;
		map->free_head = slot_at(map, *index)->next_free;
		return 0;
	}
	rc = table_grow(map);
	if (rc)
		return rc;
	*index = map->n_slots++;
	return 0;
}

int idmap_add(struct idmap *map, void *object, uint64_t *id)
{
	struct idmap_slot *slot;
	uint32_t index;
	uint64_t new_id;
	int rc;

	pthread_mutex_lock(&map->lock);
	rc = slot_take(map, &index);
	if (rc)
		goto out;
	slot = slot_at(map, index);
	new_id = map->tag | slot->generation << INDEX_BITS | (index + 1);
	store_release(&slot->object, object);
	/* Pairs with the first load of id in idmap_get(). */
	store_release(&slot->id, new_id);
	map->n_used++;
	*id = new_id;
out:
	pthread_mutex_unlock(&map->lock);
	return rc;
}

/* The slot an id would be in, whoever is in it now. */
static struct idmap_slot *slot_of(struct idmap *map, uint64_t id)
{
	uint32_t index = (uint32_t)(id & INDEX_MASK);

	return index ? slot_at(map, index - 1) : NULL;
}

void *idmap_get(struct idmap *map, uint64_t id)
{
	struct idmap_slot *slot = slot_of(map, id);
	void *object;

	if (!slot || load_acquire(&slot->id) != id)
		return NULL;
	/* Acquire: an object stored for a later id brings id = 0 with it. */
	object = load_acquire(&slot->object);
	return load_relaxed(&slot->id) == id ? object : NULL;
}

void *idmap_remove(struct idmap *map, uint64_t id)
{
	struct idmap_slot *slot = slot_of(map, id);
	void *object = NULL;

	if (!slot)
		return NULL;
	pthread_mutex_lock(&map->lock);
	if (load_relaxed(&slot->id) != id)
		goto out;
	object = load_relaxed(&slot->object);
	store_release(&slot->id, 0);
	store_release(&slot->object, NULL);
	map->n_used--;
	/* A slot whose generations are used up is never given out again. */
	if (slot->generation++ < GENERATION_MAX) {
		slot->next_free = map->free_head;
		map->free_head = (uint32_t)(id & INDEX_MASK);
	}
out:
	pthread_mutex_unlock(&map->lock);
	return object;
}

void *idmap_next(struct idmap *map, uint32_t *cursor)
{
	void *object = NULL;

	pthread_mutex_lock(&map->lock);
	while (!object && *cursor < map->n_slots)
		object = load_relaxed(&slot_at(map, (*cursor)++)->object);
	pthread_mutex_unlock(&map->lock);
	return object;
}
