/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_U64MAP_H
#define BASE_U64MAP_H

/*
 * 64-bit keys (not 0) to pointers: open addressing, linear probing, deletion
 * by shifting back, so there are no tombstones and an empty map can shrink to
 * nothing. Not thread-safe; the lock of whoever owns it covers it.
 */

#include <stdint.h>

struct u64map {
	struct u64map_row {
		uint64_t key;	/* 0: free */
		void *value;
	} * rows;
	uint32_t n_rows;	/* 0 or a power of two */
	uint32_t n_used;
};

/* A zeroed struct is an empty map. */
void u64map_fini(struct u64map *map);
/* Returns 0, TCPX_EBUSY (the key is there), TCPX_ENOMEM. */
int u64map_put(struct u64map *map, uint64_t key, void *value);
void *u64map_get(const struct u64map *map, uint64_t key);
void *u64map_del(struct u64map *map, uint64_t key);
/* Any one value, for emptying the map; NULL if it is empty. */
void *u64map_any(const struct u64map *map, uint64_t *key);

#endif
