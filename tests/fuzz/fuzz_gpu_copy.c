/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The kernel's own code, lane by lane on the CPU, against memcpy(). Input: a
 * byte of how many warps, then copies of 5 bytes: the gap before it in the
 * destination, where in the source (u16), how long (u16, little endian), both
 * modulo what is left.
 */

#include <stdbool.h>
#include <stdint.h>

static void touched(uint64_t at, uint32_t len_bytes, bool write);
#define COPY_TOUCH(at, len_bytes, write) touched(at, len_bytes, write)
#include "gpu/kernels/copy.h"

#include "fuzz.h"

#define AREA 8192u
#define COPIES_MAX 400u
#define COPY_BYTES 5u

static uint8_t src[AREA] __attribute__((aligned(64)));
static uint8_t dst[AREA] __attribute__((aligned(64)));
static uint8_t want[AREA];
static uint8_t may_read[AREA], may_write[AREA]; /* once, then no more */
static struct gpu_copy copies[COPIES_MAX];

static void touched(uint64_t at, uint32_t len_bytes, bool write)
{
	uint64_t off = at - (uintptr_t)(write ? dst : src);

	MUST(at % len_bytes == 0);
	MUST(off < AREA && len_bytes <= AREA - off);
	for (uint32_t i = 0; i < len_bytes; i++) {
		MUST(write ? may_write[off + i] : may_read[off + i]);
		if (write)
			may_write[off + i] = 0;
	}
}

static void fill(void)
{
	uint32_t x = 1;

	for (uint32_t i = 0; i < AREA; i++) {
		x = x * 1664525u + 1013904223u;
		src[i] = (uint8_t)(x >> 24);
		dst[i] = want[i] = (uint8_t)~src[i];
	}
	memset(may_read, 0, AREA);
	memset(may_write, 0, AREA);
}

static uint32_t u16_at(const uint8_t *data)
{
	return data[0] | (uint32_t)data[1] << 8;
}

/* One more copy, behind those before it; false: it does not fit. */
static bool add(uint32_t i, const uint8_t *data, uint32_t *at)
{
	uint32_t to = *at + data[0], from = u16_at(data + 1) % AREA;
	uint32_t len = u16_at(data + 3) % (AREA - from + 1);

	if (to > AREA || len > AREA - to)
		return false;
	copies[i] = (struct gpu_copy){
		.src = (uintptr_t)src + from,
		.dst = (uintptr_t)dst + to,
		.len_bytes = len,
	};
	memcpy(want + to, src + from, len);
	memset(may_read + from, 1, len);
	memset(may_write + to, 1, len);
	*at = to + len;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	uint32_t n = 0, at = 0, n_warps;

	if (len_bytes < 1)
		return 0;
	n_warps = 1 + data[0];
	fill();
	for (size_t i = 1; i + COPY_BYTES <= len_bytes && n < COPIES_MAX;
	     i += COPY_BYTES)
		n += add(n, data + i, &at);
	copy_list_run(copies, n, n_warps);
	MUST(memcmp(dst, want, AREA) == 0);
	for (uint32_t i = 0; i < AREA; i++)
		MUST(!may_write[i]);
	return 0;
}
