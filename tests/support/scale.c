/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <time.h>

#include "support/scale.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define TSAN 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define TSAN 1
#endif
#ifndef TSAN
#define TSAN 0
#endif

int scale_tsan(void)
{
	return TSAN;
}

int scale_sanitized(void)
{
	return SANITIZED;
}

size_t scale_count(size_t n)
{
	const char *env = getenv("TEST_SCALE");
	unsigned long percent = SANITIZED ? 20 : 100;

	if (env)
		percent = strtoul(env, NULL, 10);
	n = n * percent / 100;
	return n ? n : 1;
}

int scale_ms(int ms)
{
	return ms * (SANITIZED ? 6 : 2);
}

uint64_t test_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void test_sleep_ms(int ms)
{
	struct timespec ts = {.tv_sec = ms / 1000,
			      .tv_nsec = ms % 1000 * 1000000l};

	while (nanosleep(&ts, &ts))
		;
}
