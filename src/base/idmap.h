/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_IDMAP_H
#define BASE_IDMAP_H

/*
 * Handles: 64-bit ids to objects, for everything a program or a peer can
 * name. An id is (generation << 24 | slot index + 1), so it is never 0, a
 * removed id is never found again (generations of 36 bits), and a lookup is
 * an index and a compare. `tag` (4 bits at the top of the id) tells kinds of
 * handles apart, so that a transfer's id is not taken for a peer's.
 *
 *   63     60 59                24 23            0
 *   +--------+--------------------+---------------+
 *   |  tag   |     generation     |   index + 1   |
 *   +--------+--------------------+---------------+
 *
 * Threads: idmap_get() is lock-free and may run beside everything else;
 * add and remove are serialised by the map's own lock. Slot tables are only
 * freed by idmap_fini(). What keeps the object alive between get and use is
 * the caller's business (usually: objects are looked up and referenced under
 * the session lock, or are themselves never freed before the session).
 */

#include <pthread.h>
#include <stdint.h>

#define IDMAP_MAX ((1u << 24) - 1) /* objects at once */
#define IDMAP_TABLES 19

struct idmap_slot;

struct idmap {
	_Atomic(struct idmap_slot *) tables[IDMAP_TABLES]; /* k: 64 << k slots */
	pthread_mutex_t lock;
	uint64_t tag;
	uint32_t n_slots; /* slots ever used */
	uint32_t free_head; /* index + 1 of the first free slot, or 0 */
	uint32_t n_used;
};

int idmap_init(struct idmap *map, uint32_t tag);
void idmap_fini(struct idmap *map);
/* Returns 0 and the new id, TCPX_ENOMEM, or TCPX_EAGAIN when full. */
int idmap_add(struct idmap *map, void *object, uint64_t *id);
/* The object, or NULL if the id is unknown, removed or of another kind. */
void *idmap_get(struct idmap *map, uint64_t id);
/* Removes and returns the object, or NULL. Exactly one of several racing
 * removers gets it. */
void *idmap_remove(struct idmap *map, uint64_t id);
/* Walks all objects in slot order: *cursor starts at 0; NULL at the end.
 * Objects added or removed meanwhile may or may not be seen. */
void *idmap_next(struct idmap *map, uint32_t *cursor);

#endif
