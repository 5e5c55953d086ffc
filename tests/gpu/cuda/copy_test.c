/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The kernels' own C code, lane by lane on the CPU: every byte where it
 * belongs, written once, and no access outside the copies or across its
 * natural alignment.
 */

#include <stdbool.h>
#include <stdint.h>

static void touched(uint64_t at, uint32_t len_bytes, bool write);
#define COPY_TOUCH(at, len_bytes, write) touched(at, len_bytes, write)
#include "gpu/kernels/copy.h"

#include "check.h"
#include "support/scale.h"

#define AREA 65536u
#define COPIES 160u

static uint8_t src[AREA] __attribute__((aligned(64)));
static uint8_t dst[AREA] __attribute__((aligned(64)));
static uint8_t want[AREA];
static uint8_t may_read[AREA], n_written[AREA];
static struct gpu_copy copies[COPIES];
static uint32_t n_copies;

static void touched(uint64_t at, uint32_t len_bytes, bool write)
{
	uint64_t off = at - (uintptr_t)(write ? dst : src);

	CHECK_EQ(at % len_bytes, 0);
	CHECK(off < AREA && off + len_bytes <= AREA);
	for (uint32_t i = 0; i < len_bytes; i++) {
		if (write)
			n_written[off + i]++;
		else
			CHECK(may_read[off + i]);
	}
}

static void add(uint32_t from, uint32_t to, uint32_t len_bytes)
{
	copies[n_copies++] = (struct gpu_copy){.src = (uintptr_t)src + from,
					       .dst = (uintptr_t)dst + to,
					       .len_bytes = len_bytes};
	memcpy(want + to, src + from, len_bytes);
	memset(may_read + from, 1, len_bytes);
}

static void begin(uint64_t *dice)
{
	n_copies = 0;
	memset(may_read, 0, AREA);
	memset(n_written, 0, AREA);
	for (uint32_t i = 0; i < AREA; i += 8) {
		uint64_t r = check_rand(dice);

		memcpy(src + i, &r, 8);
		r = check_rand(dice);
		memcpy(dst + i, &r, 8);
	}
	memcpy(want, dst, AREA);
}

static void run(uint32_t n_warps, uint32_t area_bytes)
{
	static uint8_t n_wanted[AREA];

	copy_list_run(copies, n_copies, n_warps);
	CHECK_MEM(dst, want, area_bytes);
	memset(n_wanted, 0, area_bytes);
	for (uint32_t i = 0; i < n_copies; i++)
		memset(n_wanted + (copies[i].dst - (uintptr_t)dst), 1,
		       copies[i].len_bytes);
	CHECK_MEM(n_written, n_wanted, area_bytes);
}

/* Every alignment of both sides, every length around the interesting ones. */
static void one_copy(void)
{
	uint64_t dice = check_seed();

	for (uint32_t i = 0; i < 256; i++) {
		for (uint32_t len = 0; len < 100; len += 1 + len / 40) {
			if (len % 16 == i % 16 || i % 7 == 0) {
				uint32_t from = 64 + i % 16, to = 64 + i / 16;

				if (n_copies == 0)
					begin(&dice);
				n_copies = 0;
				memset(may_read, 0, 256);
				memset(n_written, 0, 256);
				memcpy(want, dst, 256);
				add(from, to, len);
				run(1, 256);
			}
		}
	}
}

/* A list with holes on both sides; alignment is what `align` rounds to. */
static void fill_list(uint64_t *dice, uint32_t align, uint32_t max_bytes)
{
	uint32_t from = check_rand(dice) % 64, to = check_rand(dice) % 64;
	uint32_t n = check_rand(dice) % COPIES;

	while (n_copies < n) {
		uint32_t len = check_rand(dice) % max_bytes / align * align;

		from = (from + align - 1) / align * align;
		to = (to + align - 1) / align * align;
		if (from + len > AREA || to + len > AREA)
			break;
		add(from, to, len);
		from += len + check_rand(dice) % 40;
		to += len + check_rand(dice) % 40;
	}
	for (uint32_t i = 1; i < n_copies; i++) {
		uint32_t j = check_rand(dice) % (i + 1);
		struct gpu_copy other = copies[j];

		copies[j] = copies[i];
		copies[i] = other;
	}
}

static void lists(void)
{
	static const uint32_t aligns[] = {1, 4, 8, 16};
	uint64_t dice = check_seed();
	size_t rounds = scale_count(400);

	for (size_t i = 0; i < rounds; i++) {
		begin(&dice);
		fill_list(&dice, aligns[i % 4], i % 8 < 4 ? 40 : 1500);
		run(1 + check_rand(&dice) % 40, AREA);
	}
}

static void long_copies(void)
{
	uint64_t dice = check_seed();

	for (uint32_t i = 0; i < 32; i++) {
		begin(&dice);
		add(i % 16, i / 2, AREA / 2 + i);
		add(AREA / 2 + 100, AREA / 2 + 100 + i, 20000);
		run(1, AREA);
	}
}

static void empty_list(void)
{
	uint64_t dice = check_seed();

	begin(&dice);
	run(8, AREA);
	CHECK_EQ(copy_batch_len(0, 8), 1);
	CHECK_EQ(copy_batch_len(1u << 20, 1), COPY_LANES);
}

static const struct check_case cases[] = {
	{"one_copy", one_copy, 0},
	{"lists", lists, 60},
	{"long_copies", long_copies, 0},
	{"empty_list", empty_list, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
