/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_PATTERN_H
#define TESTS_SUPPORT_PATTERN_H

/*
 * Bytes that can be made again anywhere: a byte of a pattern depends on its
 * seed and its offset only, so two processes check each other's memory
 * without sending it. And regions that know what they should hold.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void pattern_fill(void *buf, size_t len_bytes, uint64_t seed, uint64_t off);

/*
 * Memory with an inaccessible page before and after it (its end touches the
 * one after), and beside it what it should hold.
 */
struct region {
	uint8_t *data;
	uint8_t *want;
	size_t len_bytes;
	void *map;
	size_t map_bytes;
};

/* Both data and want get the pattern. Exits the process without memory. */
void region_init(struct region *region, size_t len_bytes, uint64_t seed);
void region_fini(struct region *region);
/* What may be done with its memory from now on: PROT_* of mmap(). */
void region_protect(struct region *region, int prot);
/* Bytes [off, off + len) should now be pattern `seed` from seed_off on. */
void region_want(struct region *region, uint64_t off, uint64_t len_bytes,
		 uint64_t seed, uint64_t seed_off);
/* True, or false after a line on stderr that names the first wrong byte. */
bool region_check(const struct region *region, const char *what);

/* Segments that overlap on neither side, in shuffled order, with holes. */
struct layout {
	struct piece {
		uint64_t a_off, b_off, len_bytes;
	} * pieces;
	size_t n;
	uint64_t total_bytes;
};

/* Lengths are 1 to max_bytes, made smaller until they fit cap_bytes. */
void layout_init(struct layout *layout, uint64_t seed, size_t n,
		 uint64_t max_bytes, uint64_t cap_bytes);
void layout_fini(struct layout *layout);
/* dst should now hold what a region of pattern src_seed has; dst is side b
 * of the layout if to_b, else side a. */
void layout_want(const struct layout *layout, struct region *dst,
		 uint64_t src_seed, bool to_b);

#endif
