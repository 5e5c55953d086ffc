/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_LATER_H
#define CORE_LATER_H

/*
 * The program's log callback may take locks of its own, which others hold over
 * calls of ours, and may take its time: so it is called with no lock held and
 * no context owned. By session->log, at once, a call of the program says what
 * is wrong with it, and the control thread what boot finds, where they hold
 * nothing. All else is logged here: by the engine, the GPUs and the transports,
 * which cannot know what is held above them, and by what runs with
 * session->lock held. The line waits for the control thread.
 *
 * They stay in order, and none is lost but those of a flood, which are counted.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"

#define LATER_LINES 64

struct boot;

struct later_line {
	enum tcpx_log_level level;
	const char *subsystem; /* NULL: only the count of those left out */
	uint32_t n_left_out;   /* before it, there being no room */
	char text[LOG_LINE_BYTES];
};

struct later {
	struct log log; /* what is logged here, of the levels `to` wants */
	const struct log *to;
	pthread_mutex_t lock; /* a leaf; guards what follows */
	struct boot *boot; /* whose thread tells the lines; NULL: it is not
			      there (any more) */
	bool woken;
	pthread_t teller; /* who told the last ones */
	uint64_t n_put, n_taken, n_told;
	uint32_t n_left_out; /* since the last put */
	struct later_line lines[LATER_LINES]; /* ring, by n_put and n_taken */
};

/* In memory that is all zeros: most of it may never be touched. */
void later_init(struct later *later);
void later_fini(struct later *later);
/* From here on what is logged in later->log waits for later_flush(). */
void later_begin(struct later *later, const struct log *to);
/* Each line wakes boot_run(), after which its thread flushes. NULL: no more. */
void later_wakes(struct later *later, struct boot *boot);
/* Tells the program what waits. No lock held; one thread at a time: who opens
 * the session, then the control thread, then who closes it. */
void later_flush(struct later *later);

#endif
