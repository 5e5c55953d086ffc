/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_NETPLUGIN_RULES_H
#define FAKES_NETPLUGIN_RULES_H

/*
 * The rules of the contract, by number (README.md), and the ways in which a
 * plugin ends its process.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/dice.h"
#include "transport/netplugin/abi.h"

/*
 * Somebody broke a rule. Strict mode says so on stderr, with the number, and
 * aborts; faithful mode counts, and returns so that the caller does what the
 * plugin would do.
 */
void rules_broken(int rule, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* As the plugin ends a process it cannot go on in: a warning, exit(1). */
_Noreturn void rules_exit(const char *words);
/* As it ends when it follows a stray pointer. */
_Noreturn void rules_crash(void);
/* By this signal. */
_Noreturn void rules_die(int number);

/* The logger that init() was given. */
void rules_set_log(netplugin_log_fn log);
void rules_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void rules_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Formats that do not match what is passed, as the plugin has them; and, if
 * the environment wants it, a thread that never stops logging. */
void rules_log_odd(void);

/* Threads: control calls (everything but isend, irecv, test and
 * irecv_consumed) come one at a time. */
void rules_control_begin(const char *name);
void rules_control_end(void);
/* SIGPIPE must be blocked, or ignored, where the plugin writes. */
void rules_check_sigpipe(const char *name);

uint64_t rules_now_ns(void);
void rules_sleep_us(int64_t us);

/* lo to hi, both included */
static inline uint32_t dice_range(struct dice *dice, uint32_t lo, uint32_t hi)
{
	return lo + (uint32_t)(dice_next(dice) % ((uint64_t)hi - lo + 1));
}

#endif
