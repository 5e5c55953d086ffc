/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/spares.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

/* Written from end to end: a sanitizer sees if it is shorter. */
static void *get(struct spares *spares, size_t *len)
{
	void *mem = spares_get(spares, len);

	CHECK(mem);
	memset(mem, 0x5a, *len);
	return mem;
}

static void what_is_kept_comes_back(void)
{
	struct spares spares;
	size_t want = SPARES_FROM + 100, len = want;

	spares_init(&spares);
	void *mem = get(&spares, &len);

	CHECK(len >= want);
	spares_put(&spares, mem, len);
	CHECK_EQ(spares.n, 1);
	CHECK_EQ(spares.sum_bytes, len);
	/* Somewhat shorter will do; half of it would be a waste. */
	size_t less = SPARES_FROM;

	CHECK(get(&spares, &less) == mem);
	CHECK_EQ(less, len);
	CHECK_EQ(spares.n, 0);
	CHECK_EQ(spares.sum_bytes, 0);
	spares_put(&spares, mem, less);
	size_t more = 2 * len;
	void *other = get(&spares, &more);

	CHECK(other != mem);
	spares_put(&spares, other, more);
	CHECK_EQ(spares.n, 2);
	/* The one that fits best. */
	len = want;
	CHECK(get(&spares, &len) == mem);
	spares_put(&spares, mem, len);
	spares_fini(&spares);
}

static void short_and_huge_are_not_kept(void)
{
	struct spares spares;
	size_t few = SPARES_FROM - 1, many = SPARES_BYTES_MAX + 1;

	spares_init(&spares);
	void *small = get(&spares, &few);
	void *huge = spares_get(&spares, &many);

	CHECK(huge);
	spares_put(&spares, small, few);
	spares_put(&spares, huge, many);
	spares_put(&spares, NULL, 0);
	CHECK_EQ(spares.n, 0);
	/* Who has no spares has memory all the same. */
	few = SPARES_FROM;
	small = get(NULL, &few);
	spares_put(NULL, small, few);
	spares_fini(&spares);
}

/* In number and in bytes; the oldest goes. */
static void it_is_bounded(void)
{
	const size_t half = SPARES_BYTES_MAX / 2 - (2ul << 20);
	struct spares spares;
	void *mems[SPARES_MAX + 1];
	size_t len[SPARES_MAX + 1];

	spares_init(&spares);
	for (int i = 0; i <= SPARES_MAX; i++) {
		len[i] = SPARES_FROM;
		mems[i] = get(&spares, &len[i]);
	}
	for (int i = 0; i <= SPARES_MAX; i++)
		spares_put(&spares, mems[i], len[i]);
	CHECK_EQ(spares.n, SPARES_MAX);
	CHECK(spares.kept[0].mem == mems[1]);
	for (int i = 0; i < 3; i++) {
		len[i] = half;
		mems[i] = spares_get(&spares, &len[i]);
		CHECK(mems[i]);
	}
	for (int i = 0; i < 3; i++) {
		spares_put(&spares, mems[i], len[i]);
		CHECK(spares.sum_bytes <= SPARES_BYTES_MAX);
	}
	CHECK(spares.kept[spares.n - 1].mem == mems[2]);
	CHECK(spares.kept[spares.n - 2].mem == mems[1]);
	spares_fini(&spares);
}

static const struct check_case cases[] = {
	{"what_is_kept_comes_back", what_is_kept_comes_back, 0},
	{"short_and_huge_are_not_kept", short_and_huge_are_not_kept, 0},
	{"it_is_bounded", it_is_bounded, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
