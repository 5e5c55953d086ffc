/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <limits.h>
#include <pthread.h>
#include <time.h>

static uint64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t clock_now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_coarse_ns(void)
{
	return read_clock(CLOCK_MONOTONIC_COARSE);
}

uint64_t clock_deadline_ns(int timeout_ms)
{
	if (timeout_ms < 0)
		return UINT64_MAX;
	return clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
}

int clock_left_ms(uint64_t deadline_ns)
{
	uint64_t now_ns, left_ms;

	if (deadline_ns == UINT64_MAX)
		return -1;
	now_ns = clock_now_ns();
	if (now_ns >= deadline_ns)
		return 0;
	/* Up: a sleep that ends just before the deadline would spin. */
	left_ms = (deadline_ns - now_ns - 1) / NS_PER_MS + 1;
	return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

static pthread_once_t ticks_once = PTHREAD_ONCE_INIT;
_Atomic uint64_t clock_rate;

#if defined(__aarch64__)
static void read_ticks_rate(void)
{
	uint64_t hz;

	__asm__ volatile("mrs %0, cntfrq_el0" : "=r"(hz));
	store_relaxed(&clock_rate, hz / 1000000 ? hz / 1000000 : 1);
}
#else
/* Ticks and nanoseconds read as close together as they came in a few tries:
 * a thread may lose its CPU between the two. */
static void read_pair(uint64_t *ticks, uint64_t *now_ns)
{
	uint64_t best_ns = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		uint64_t before_ns = clock_now_ns();
		uint64_t t = clock_ticks();
		uint64_t took_ns = clock_now_ns() - before_ns;

		if (took_ns < best_ns) {
			best_ns = took_ns;
			*ticks = t;
			*now_ns = before_ns + took_ns / 2;
		}
	}
}

static void read_ticks_rate(void)
{
	uint64_t ticks0 = 0, ns0 = 0, ticks1 = 0, ns1 = 0;

	read_pair(&ticks0, &ns0);
	do {
		read_pair(&ticks1, &ns1);
	} while (ns1 - ns0 < NS_PER_MS);
	uint64_t rate = (ticks1 - ticks0) * NS_PER_US / (ns1 - ns0);

	store_relaxed(&clock_rate, rate ? rate : 1);
}
#endif

uint64_t clock_find_rate(void)
{
	pthread_once(&ticks_once, read_ticks_rate);
	return load_relaxed(&clock_rate);
}
