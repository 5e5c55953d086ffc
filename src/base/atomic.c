/* SPDX-License-Identifier: Apache-2.0 */
#include "base/atomic.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

void futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(timeout_ns / NS_PER_S),
		.tv_nsec = (long)(timeout_ns % NS_PER_S),
	};
	int saved = errno;

	/* Woken, timed out, interrupted or changed already: the caller looks
	 * at the word again in every case. */
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected,
		timeout_ns == UINT64_MAX ? NULL : &ts, NULL, 0);
	errno = saved;
}

void futex_wake(_Atomic uint32_t *word, int n_waiters)
{
	int saved = errno;

	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n_waiters, NULL, NULL, 0);
	errno = saved;
}
