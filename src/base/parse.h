/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H

/* Whole strings to values: no leading or trailing rest, no overflow. Each
 * returns false, with *value untouched, for anything else. */

#include <stdbool.h>
#include <stdint.h>

/* Decimal, or hexadecimal after 0x. */
bool parse_u64(const char *s, uint64_t *value);
bool parse_i64(const char *s, int64_t *value);
/* Bytes, with K, M, G or T (binary; "64K", "64KiB", "1m") or without. */
bool parse_size(const char *s, uint64_t *bytes);
/* 1 0 yes no true false on off, in any case. */
bool parse_bool(const char *s, bool *value);
/* "n" or "first-last", 0 to 65535, first <= last, 0 only alone. */
bool parse_ports(const char *s, uint16_t *first, uint16_t *last);

/* How many letters differ: insertions, deletions and changes. For names
 * shorter than 64 bytes; longer ones are infinitely far. */
unsigned parse_distance(const char *a, const char *b);

#endif
