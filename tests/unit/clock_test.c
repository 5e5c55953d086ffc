/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>

#include "base/clock.h"
#include "check.h"

static void sleep_ms(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&ts, NULL);
}

static void grows(void)
{
	uint64_t last_ns = clock_now_ns(), start_ns = last_ns;

	for (int i = 0; i < 100000; i++) {
		uint64_t now_ns = clock_now_ns();

		CHECK(now_ns >= last_ns);
		last_ns = now_ns;
	}
	sleep_ms(20);
	CHECK(clock_now_ns() - start_ns >= 20 * NS_PER_MS);
}

static void coarse_is_near(void)
{
	uint64_t coarse_ns = clock_coarse_ns(), fine_ns = clock_now_ns();

	CHECK(coarse_ns <= fine_ns);
	sleep_ms(30);
	CHECK(clock_coarse_ns() >= coarse_ns + 10 * NS_PER_MS);
}

static void deadlines(void)
{
	uint64_t deadline_ns = clock_deadline_ns(1000000);

	CHECK(clock_deadline_ns(-1) == UINT64_MAX);
	CHECK_EQ(clock_left_ms(UINT64_MAX), -1);
	CHECK_EQ(clock_left_ms(0), 0);
	CHECK_EQ(clock_left_ms(clock_now_ns()), 0);
	CHECK(clock_left_ms(deadline_ns) <= 1000000);
	CHECK(clock_left_ms(deadline_ns) > 900000);
	CHECK_EQ(clock_left_ms(UINT64_MAX - 1), INT_MAX);
}

/* A poll() timeout of 0 before the deadline would spin. */
static void left_rounds_up(void)
{
	uint64_t deadline_ns = clock_now_ns() + 3 * NS_PER_MS;

	while (clock_now_ns() < deadline_ns) {
		int left_ms = clock_left_ms(deadline_ns);

		CHECK(left_ms <= 3);
		CHECK(left_ms >= 1 || clock_now_ns() >= deadline_ns);
	}
}

static void ticks_have_a_rate(void)
{
	uint64_t per_us = clock_ticks_per_us();
	uint64_t ticks = clock_ticks(), ns = clock_now_ns();

	sleep_ms(50);
	ticks = clock_ticks() - ticks;
	ns = clock_now_ns() - ns;
	CHECK(per_us >= 1);
	CHECK_EQ(per_us, clock_ticks_per_us());
	/* Within a factor: the two reads may be apart by a slice. */
	CHECK(ticks / per_us > ns / NS_PER_US / 2);
	CHECK(ticks / per_us < ns / NS_PER_US * 2);
}

static const struct check_case cases[] = {
	{"grows", grows, 0},
	{"coarse_is_near", coarse_is_near, 0},
	{"deadlines", deadlines, 0},
	{"left_rounds_up", left_rounds_up, 0},
	{"ticks_have_a_rate", ticks_have_a_rate, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
