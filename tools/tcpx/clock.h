/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_CLOCK_H
#define TCPX_TOOL_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* Time left until a deadline in milliseconds, rounded up, 0 when passed. */
static inline int left_ms(uint64_t deadline_ns)
{
	uint64_t now = now_ns();

	if (now >= deadline_ns)
		return 0;
	return (int)((deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS);
}

/* Spinning gives way now and then (some 20 us), or two spinners on one core
 * would each wait for the other's time slice to end. Costs nothing when the
 * core has nobody else. */
#define SPINS_A_YIELD 64

static inline void spin_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#endif
