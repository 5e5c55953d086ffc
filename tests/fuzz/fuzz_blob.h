/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_BLOB_H
#define FUZZ_BLOB_H

#include <stdint.h>
#include <string.h>
#include <xxhash.h>

/*
 * Input of the blob targets: one byte, then the blob. If the byte is odd the
 * blob's check is made right first: otherwise no search would ever get past
 * it. Copies into buf; returns the blob's length in bytes.
 */
static inline size_t fuzz_blob(const uint8_t *data, size_t len_bytes,
			       uint8_t *buf, size_t cap_bytes)
{
	size_t n = len_bytes > 0 ? len_bytes - 1 : 0;
	uint32_t check;

	if (n > cap_bytes)
		n = cap_bytes;
	if (n > 0)
		memcpy(buf, data + 1, n);
	if (n >= 4 && (data[0] & 1)) {
		check = XXH32(buf, n - 4, 0);
		for (int i = 0; i < 4; i++)
			buf[n - 4 + i] = (uint8_t)(check >> 8 * i);
	}
	return n;
}

#endif
