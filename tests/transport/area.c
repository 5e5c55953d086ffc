/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/mman.h>

#include "contract.h"

#define HOLE 0xee

/* The bytes of chunk k start at a place of their own in one long sequence, so
 * that they can be compared in one piece. */
#define SEQUENCE_BYTES (1u << 20)
static uint8_t sequence[2 * SEQUENCE_BYTES];

void pattern_init(void)
{
	for (uint32_t i = 0; i < sizeof(sequence); i++)
		sequence[i] = (uint8_t)(i % SEQUENCE_BYTES * 2654435761u >> 24);
}

const uint8_t *pattern(uint64_t chunk, size_t off)
{
	return &sequence[chunk * 7919 % SEQUENCE_BYTES + off];
}

/* n - 1 places to cut at: the rest is shared out at random. */
static void cut(struct span *spans, uint32_t n, uint32_t len_bytes,
		uint64_t *rand)
{
	uint32_t spare = len_bytes - n;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t most = 2 * spare / (n - i);
		uint32_t extra = check_rand(rand) % (most + 1);

		if (i == n - 1 || extra > spare)
			extra = spare;
		spans[i].len_bytes = 1 + extra;
		spare -= extra;
	}
}

void area_create(struct area *area, uint32_t len_bytes, uint32_t n_spans,
		 uint64_t *rand)
{
	size_t array_bytes = n_spans * sizeof(*area->spans);
	uint8_t *at;

	area->map_bytes = array_bytes + len_bytes + (n_spans + 1) * 16;
	area->map = mmap(NULL, area->map_bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(area->map != MAP_FAILED);
	area->n_spans = n_spans;
	area->spans = (struct span *)(void *)area->map;
	at = area->map + array_bytes;
	memset(at, HOLE, area->map_bytes - array_bytes);
	cut(area->spans, n_spans, len_bytes, rand);
	for (uint32_t i = 0; i < n_spans; i++) {
		at += 1 + check_rand(rand) % 15;
		area->spans[i].base = at;
		at += area->spans[i].len_bytes;
	}
}

void area_fill(const struct area *area, uint64_t chunk)
{
	size_t off = 0;

	for (uint32_t i = 0; i < area->n_spans; i++) {
		const struct span *span = &area->spans[i];

		memcpy(span->base, pattern(chunk, off), span->len_bytes);
		off += span->len_bytes;
	}
}

void check_bytes(const uint8_t *bytes, uint64_t chunk, size_t off,
		 size_t len_bytes)
{
	const uint8_t *want = pattern(chunk, off);

	if (memcmp(bytes, want, len_bytes) != 0)
		CHECK_MEM(bytes, want, len_bytes);
}

static void check_holes(const uint8_t *from, const uint8_t *to)
{
	for (; from < to; from++)
		CHECK_EQ(*from, HOLE);
}

void area_check(const struct area *area, uint64_t chunk)
{
	const uint8_t *behind = (const uint8_t *)(area->spans + area->n_spans);
	size_t off = 0;

	for (uint32_t i = 0; i < area->n_spans; i++) {
		const uint8_t *at = area->spans[i].base;

		check_holes(behind, at);
		check_bytes(at, chunk, off, area->spans[i].len_bytes);
		off += area->spans[i].len_bytes;
		behind = at + area->spans[i].len_bytes;
	}
	check_holes(behind, area->map + area->map_bytes);
}

void area_check_untouched(const struct area *area)
{
	check_holes((const uint8_t *)(area->spans + area->n_spans),
		    area->map + area->map_bytes);
}

void area_vanish(struct area *area)
{
	if (area->map)
		CHECK_EQ(mprotect(area->map, area->map_bytes, PROT_NONE), 0);
}

void area_destroy(struct area *area)
{
	if (area->map)
		munmap(area->map, area->map_bytes);
	*area = (struct area){0};
}
