/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_NETPLUGIN_FAULT_H
#define FAKES_NETPLUGIN_FAULT_H

/*
 * What goes wrong on purpose, from DOUBLE_FAULTS: items between semicolons,
 * words between blanks (README.md). Numbers count from 1.
 */

#include <stdbool.h>
#include <stdint.h>

/*
 * To be called first in every entry point, by its name in the table; counts
 * the call. Returns 0 or the result that the call must return without doing
 * anything. May end the process, or never return.
 */
int fault_call(const char *name);

/*
 * A fault by its name and, for those that name a comm, its number in the
 * order of creation. True if it is wanted; value is its first number.
 */
bool fault_wanted(const char *name, int comm, int64_t *value);

/* The n-th receive of this process that completed: junk, oversize, short or
 * count may be wanted for it. True if so; extra is the second number. */
bool fault_receive(const char *name, uint64_t nth, int64_t *extra);

/* Writes over all pages; NULL: there are none. */
typedef void fault_fn(void);
extern fault_fn *_Atomic fault_scribble;

/* len_bytes of payload have passed: the process may be over (exit_bytes). */
void fault_bytes(uint64_t len_bytes);

#endif
