/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_NIXL_PLACE_H
#define BENCH_NIXL_PLACE_H

/* Memory to measure in: of the host, or of a GPU by libcuda, which is loaded
 * only then. Both ends fill theirs alike from a seed and can tell whose bytes
 * are in a slot. What fails ends the process in words. */

#include <stddef.h>
#include <stdint.h>

struct place {
	int device; /* -1: the host */
	uint64_t base;
	size_t len_bytes;
	uint8_t *copy; /* of a device's memory, to look at */
};

/* len_bytes: a multiple of 8. */
void place_open(struct place *place, int device, size_t len_bytes);
void place_fill(struct place *place, uint64_t seed);
/* What is there now, readable until the next call. */
const uint8_t *place_look(struct place *place);
/* The byte that place_fill() puts at an offset. */
uint8_t place_byte(uint64_t seed, uint64_t off);

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *fmt, ...);

#endif
