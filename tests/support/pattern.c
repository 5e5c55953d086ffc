/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "support/pattern.h"

static uint64_t mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	return x ^ (x >> 32);
}

void pattern_fill(void *buf, size_t len_bytes, uint64_t seed, uint64_t off)
{
	uint8_t *at = buf, *end = at + len_bytes;

	while (at < end) {
		uint64_t word = mix(seed * 0x9e3779b97f4a7c15ull + off / 8);
		size_t skip = off % 8, n = 8 - skip;

		if (n > (size_t)(end - at))
			n = (size_t)(end - at);
		if (n == 8)
			memcpy(at, &word, 8);
		else
			memcpy(at, (uint8_t *)&word + skip, n);
		at += n;
		off += n;
	}
}

void region_init(struct region *region, size_t len_bytes, uint64_t seed)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t body = (len_bytes + page - 1) / page * page;
	uint8_t *map;

	map = mmap(NULL, body + 2 * page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	region->want = malloc(len_bytes);
	if (map == MAP_FAILED || !region->want ||
	    mprotect(map, page, PROT_NONE) ||
	    mprotect(map + page + body, page, PROT_NONE)) {
		perror("region_init");
		_exit(1);
	}
	region->map = map;
	region->map_bytes = body + 2 * page;
	region->data = map + page + body - len_bytes;
	region->len_bytes = len_bytes;
	pattern_fill(region->data, len_bytes, seed, 0);
	memcpy(region->want, region->data, len_bytes);
}

void region_fini(struct region *region)
{
	if (region->map)
		munmap(region->map, region->map_bytes);
	free(region->want);
	memset(region, 0, sizeof(*region));
}

void region_protect(struct region *region, int prot)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	CHECK(!mprotect((char *)region->map + page,
			region->map_bytes - 2 * page, prot));
}

void region_want(struct region *region, uint64_t off, uint64_t len_bytes,
		 uint64_t seed, uint64_t seed_off)
{
	pattern_fill(region->want + off, len_bytes, seed, seed_off);
}

bool region_check(const struct region *region, const char *what)
{
	size_t first = 0, n_wrong = 0;

	if (!memcmp(region->data, region->want, region->len_bytes))
		return true;
	for (size_t i = region->len_bytes; i-- > 0;) {
		if (region->data[i] == region->want[i])
			continue;
		first = i;
		n_wrong++;
	}
	fprintf(stderr,
		"%s: %zu of %zu bytes wrong, first at %zu: %02x, not %02x\n",
		what, n_wrong, region->len_bytes, first, region->data[first],
		region->want[first]);
	return false;
}

static void shuffle(struct piece *pieces, size_t n, uint64_t *rng)
{
	for (size_t i = n; i > 1; i--) {
		size_t j = check_rand(rng) % (i);
		struct piece swap = pieces[i - 1];

		pieces[i - 1] = pieces[j];
		pieces[j] = swap;
	}
}

/* Walks the pieces in their order of now and gives each a place after the
 * one before, leaving a hole of up to twice the average room. */
static void place(struct layout *layout, uint64_t *rng, uint64_t cap_bytes,
		  bool side_b)
{
	uint64_t room = cap_bytes - layout->total_bytes, off = 0;

	for (size_t i = 0; i < layout->n; i++) {
		struct piece *piece = &layout->pieces[i];
		uint64_t most = 2 * room / (layout->n - i + 1);
		uint64_t hole;

		if (most > room)
			most = room;
		hole = check_rand(rng) % (most + 1);
		room -= hole;
		off += hole;
		if (side_b)
			piece->b_off = off;
		else
			piece->a_off = off;
		off += piece->len_bytes;
	}
}

void layout_init(struct layout *layout, uint64_t seed, size_t n,
		 uint64_t max_bytes, uint64_t cap_bytes)
{
	uint64_t rng = seed;

	if (n > cap_bytes ||
	    !(layout->pieces = malloc(n * sizeof(struct piece)))) {
		fprintf(stderr, "layout_init: no room for %zu\n", n);
		_exit(1);
	}
	if (max_bytes > cap_bytes / n)
		max_bytes = cap_bytes / n;
	layout->n = n;
	layout->total_bytes = 0;
	for (size_t i = 0; i < n; i++) {
		layout->pieces[i].len_bytes =
			1 + check_rand(&rng) % (max_bytes);
		layout->total_bytes += layout->pieces[i].len_bytes;
	}
	place(layout, &rng, cap_bytes, false);
	shuffle(layout->pieces, n, &rng);
	place(layout, &rng, cap_bytes, true);
	shuffle(layout->pieces, n, &rng);
}

void layout_fini(struct layout *layout)
{
	free(layout->pieces);
	memset(layout, 0, sizeof(*layout));
}

void layout_want(const struct layout *layout, struct region *dst,
		 uint64_t src_seed, bool to_b)
{
	for (size_t i = 0; i < layout->n; i++) {
		const struct piece *piece = &layout->pieces[i];

		if (to_b)
			region_want(dst, piece->b_off, piece->len_bytes,
				    src_seed, piece->a_off);
		else
			region_want(dst, piece->a_off, piece->len_bytes,
				    src_seed, piece->b_off);
	}
}
/*
 * What the thread sanitizer cannot know: user memory of two sessions in one
 * process is handed over by messages on TCP connections, which order the
 * accesses but are no synchronisation in its eyes; and some tests move
 * overlapping segments on purpose. So accesses to user memory (the payload
 * calls, and the tests' own filling and checking of it) are not reported;
 * that the library lets go of it in time is tested by taking the memory away
 * (mprotect). Everything else is reported. The payload calls have two names:
 * with clang 18 a prefix comes before them, which reports do not show.
 */
const char *__tsan_default_suppressions(void);

const char *__tsan_default_suppressions(void)
{
	return "race:^recvmsg$\n"
	       "race:^sendmsg$\n"
	       "race:^___interceptor_recvmsg$\n"
	       "race:^___interceptor_sendmsg$\n"
	       "race:pattern_fill\n"
	       "race:region_\n"
	       "race:seglist_gather\n"
	       "race:seglist_scatter\n"
	       "race:copy_spans\n";
}
