/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

/* Monotonic time. Never the wall clock: deadlines must survive a step. */

#include <stdint.h>

#include "base/atomic.h"

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull

/* CLOCK_MONOTONIC in nanoseconds; about 25 ns a call. */
uint64_t clock_now_ns(void);
/* The same, up to one kernel tick (1 to 4 ms) late; about 5 ns a call. */
uint64_t clock_coarse_ns(void);
/* now + timeout_ms; UINT64_MAX for a negative timeout. */
uint64_t clock_deadline_ns(int timeout_ms);
/* What is left until a deadline as a poll() timeout: -1 for UINT64_MAX, 0
 * when passed, rounded up otherwise. */
int clock_left_ms(uint64_t deadline_ns);

/*
 * A cheap counter that only grows on one CPU, for rate limits on hot paths
 * (TSC on x86, CNTVCT on arm64); its rate is clock_ticks_per_us(), measured
 * or read once.
 */
static inline uint64_t clock_ticks(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t ticks;
	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#else
	return clock_now_ns();
#endif
}
extern _Atomic uint64_t clock_rate; /* 0: not known yet */
uint64_t clock_find_rate(void);
static inline uint64_t clock_ticks_per_us(void)
{
	uint64_t rate = load_relaxed(&clock_rate);

	return rate ? rate : clock_find_rate();
}

#endif
