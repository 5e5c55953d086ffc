/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ATOMIC_H
#define BASE_ATOMIC_H

/*
 * The only atomics used outside this header's wrappers are C11 types
 * themselves. Each use names its partner: which store a load must see.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define load_relaxed(p) atomic_load_explicit(p, memory_order_relaxed)
#define load_acquire(p) atomic_load_explicit(p, memory_order_acquire)
#define store_relaxed(p, v) atomic_store_explicit(p, v, memory_order_relaxed)
#define store_release(p, v) atomic_store_explicit(p, v, memory_order_release)
#define add_relaxed(p, v) atomic_fetch_add_explicit(p, v, memory_order_relaxed)
#define add_acq_rel(p, v) atomic_fetch_add_explicit(p, v, memory_order_acq_rel)

/* What two CPUs write does not share one of these. */
#define CACHE_LINE_BYTES 64

static inline bool cas_acquire(_Atomic uint32_t *p, uint32_t expected,
			       uint32_t desired)
{
	return atomic_compare_exchange_strong_explicit(p, &expected, desired,
						       memory_order_acquire,
						       memory_order_relaxed);
}

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* Sleeps while *word == expected, at most timeout_ns (UINT64_MAX: no limit).
 * Spurious returns are legal. */
void futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns);
void futex_wake(_Atomic uint32_t *word, int n_waiters);

#endif
