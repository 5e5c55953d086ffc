/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_LATER_H
#define CORE_LATER_H

/*
 * Lines for the log that are found out with session->lock held. The program's
 * callback may take locks of its own, which others hold over calls of ours, so
 * the line waits here until the control thread holds no lock.
 */

#include <pthread.h>
#include <stdint.h>

#include "base/log.h"

#define LATER_LINES 16

struct later {
	struct {
		const char *subsystem;
		char text[256];
	} lines[LATER_LINES];
	uint32_t n;	/* beyond LATER_LINES they are only counted */
};

/* With the lock that guards it held. */
void later_warn(struct later *later, const char *subsystem, const char *fmt,
		...) __attribute__((format(printf, 3, 4)));
/* Without: takes it to empty the list. */
void later_flush(struct later *later, pthread_mutex_t *lock,
		 const struct log *log);

#endif
