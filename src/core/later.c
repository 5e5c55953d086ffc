/* SPDX-License-Identifier: Apache-2.0 */
#include "core/later.h"

#include <stdarg.h>
#include <stdio.h>

void later_warn(struct later *later, const char *subsystem, const char *fmt,
		...)
{
	uint32_t i = later->n++;
	va_list args;

	if (i >= LATER_LINES)
		return;
	later->lines[i].subsystem = subsystem;
	va_start(args, fmt);
	vsnprintf(later->lines[i].text, sizeof(later->lines[i].text), fmt,
		  args);
	va_end(args);
}

void later_flush(struct later *later, pthread_mutex_t *lock,
		 const struct log *log)
{
	struct later now;

	pthread_mutex_lock(lock);
	now.n = later->n;
	if (now.n)
		now = *later;
	later->n = 0;
	pthread_mutex_unlock(lock);
	for (uint32_t i = 0; i < now.n && i < LATER_LINES; i++)
		log_warn(log, now.lines[i].subsystem, "%s", now.lines[i].text);
	if (now.n > LATER_LINES)
		log_warn(log, "log", "and %u lines that are not shown",
			 now.n - LATER_LINES);
}
