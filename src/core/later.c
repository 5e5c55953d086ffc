/* SPDX-License-Identifier: Apache-2.0 */
#include "core/later.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "boot/boot.h"

#define EXIT_WAIT_MS 200

/* ---- what is logged ---------------------------------------------------- */

/* With the lock held, over a write to an eventfd: boot is not closed before
 * later_wakes() has taken it away. */
static void wake(struct later *later)
{
	if (!later->boot || later->woken)
		return;
	later->woken = true;
	boot_wake(later->boot);
}

static void put(void *arg, enum tcpx_log_level level, const char *subsystem,
		const char *text)
{
	struct later *later = arg;

	pthread_mutex_lock(&later->lock);
	if (later->n_put - later->n_taken == LATER_LINES) {
		later->n_left_out++;
	} else {
		struct later_line *line =
			&later->lines[later->n_put++ % LATER_LINES];

		line->level = level;
		line->subsystem = subsystem;
		line->n_left_out = later->n_left_out;
		snprintf(line->text, sizeof(line->text), "%s", text);
		later->n_left_out = 0;
	}
	wake(later);
	pthread_mutex_unlock(&later->lock);
}

/* ---- telling it -------------------------------------------------------- */

static void begin_telling(struct later *later)
{
	pthread_mutex_lock(&later->lock);
	/* Before the lines are looked at: what comes in between wakes anew. */
	later->woken = false;
	later->teller = pthread_self();
	pthread_mutex_unlock(&later->lock);
}

/* The next one, or behind the last one how many were left out. */
static bool take(struct later *later, struct later_line *line)
{
	pthread_mutex_lock(&later->lock);
	bool some = later->n_taken != later->n_put;

	if (some) {
		*line = later->lines[later->n_taken++ % LATER_LINES];
	} else {
		line->subsystem = NULL;
		line->n_left_out = later->n_left_out;
		later->n_left_out = 0;
	}
	pthread_mutex_unlock(&later->lock);
	return some || line->n_left_out;
}

static void tell(const struct log *to, const struct later_line *line)
{
	if (line->n_left_out)
		log_warn(to, "log", "and %u lines that are not shown",
			 line->n_left_out);
	if (line->subsystem)
		to->fn(to->arg, line->level, line->subsystem, line->text);
}

void later_flush(struct later *later)
{
	struct later_line line;

	begin_telling(later);
	/* No more than could wait, and how many could not: who tells them has
	 * more to do. */
	for (int i = 0; i <= LATER_LINES && take(later, &line); i++) {
		tell(later->to, &line);
		pthread_mutex_lock(&later->lock);
		later->n_told += line.subsystem != NULL;
		pthread_mutex_unlock(&later->lock);
	}
}

/* ---- when the process ends --------------------------------------------- */

static bool all_told(struct later *later)
{
	pthread_mutex_lock(&later->lock);
	bool all = later->n_told == later->n_put;

	pthread_mutex_unlock(&later->lock);
	return all;
}

/* Somebody else than the caller is there to tell the lines. */
static bool others_tell(struct later *later)
{
	pthread_mutex_lock(&later->lock);
	bool others = later->boot &&
		      !pthread_equal(later->teller, pthread_self());

	pthread_mutex_unlock(&later->lock);
	return others;
}

/* Who ends the process may be in the middle of anything: it does not call the
 * program, unless it is who would tell the lines, and waits no longer. */
static void at_exit(void *arg)
{
	struct timespec pause = {.tv_nsec = (long)NS_PER_MS};
	uint64_t end_ns = clock_deadline_ns(EXIT_WAIT_MS);
	struct later *later = arg;

	if (!others_tell(later))
		later_flush(later);
	while (!all_told(later) && clock_now_ns() < end_ns)
		nanosleep(&pause, NULL);
}

/* ---- beginning and end -------------------------------------------------- */

void later_init(struct later *later)
{
	pthread_mutex_init(&later->lock, NULL);
}

void later_fini(struct later *later)
{
	pthread_mutex_destroy(&later->lock);
}

void later_begin(struct later *later, const struct log *to)
{
	later->to = to;
	later->log = (struct log){.fn = to->fn ? put : NULL,
				  .arg = later,
				  .level = to->level,
				  .at_exit = at_exit};
}

void later_wakes(struct later *later, struct boot *boot)
{
	pthread_mutex_lock(&later->lock);
	later->boot = boot;
	later->woken = false;
	pthread_mutex_unlock(&later->lock);
}
