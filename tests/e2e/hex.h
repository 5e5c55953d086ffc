/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_E2E_HEX_H
#define TESTS_E2E_HEX_H

#include <stddef.h>
#include <stdio.h>

/* to: 2 * len_bytes + 1 characters. */
static inline void hex_encode(const void *from, size_t len_bytes, char *to)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *at = from;

	for (size_t i = 0; i < len_bytes; i++) {
		*to++ = digits[at[i] >> 4];
		*to++ = digits[at[i] & 15];
	}
	*to = 0;
}

/* Up to the first character that is no hex digit; the bytes written. */
static inline size_t hex_decode(const char *from, void *to, size_t cap_bytes)
{
	unsigned char *out = to;
	unsigned int byte;
	size_t n = 0;

	while (n < cap_bytes && sscanf(from + 2 * n, "%2x", &byte) == 1)
		out[n++] = (unsigned char)byte;
	return n;
}

#endif
