/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOL_SIZE_H
#define TOOL_SIZE_H

#include <stddef.h>
#include <stdint.h>

/* "4096", "64K", "1M", "1G", "1T" (powers of 1024; a final B or iB is
 * allowed). Returns 0 or -1. */
int size_parse(const char *text, uint64_t *bytes);
/* The shortest such form that is exact ("64K", "1M"), else plain bytes. */
const char *size_format(uint64_t bytes, char *buf, size_t cap_bytes);
/* A whole decimal number within [min, max]. Returns 0 or -1. */
int number_parse(const char *text, uint64_t min, uint64_t max,
		 uint64_t *number);
/* "500ms", "3s", "2" (seconds), "1.5". Returns 0 or -1. */
int duration_parse(const char *text, uint64_t *ns);

#endif
