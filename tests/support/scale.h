/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_SCALE_H
#define TESTS_SUPPORT_SCALE_H

/*
 * How much work a test does, in percent: TEST_SCALE, or 100, or less under a
 * sanitizer. And deadlines, which grow where everything is slow.
 */

#include <stddef.h>
#include <stdint.h>

/* n scaled, at least 1. */
size_t scale_count(size_t n);
/* A generous deadline for what takes `ms` on an idle machine. */
int scale_ms(int ms);
/* 1 under AddressSanitizer or ThreadSanitizer, else 0. */
int scale_sanitized(void);
/* 1 under ThreadSanitizer: it takes two transfers of the program's that
 * overlap in memory, as some cases have them, for a race of the library's. */
int scale_tsan(void);

uint64_t test_now_ns(void);
void test_sleep_ms(int ms);

#endif
