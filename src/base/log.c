/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A peer chooses its name, and a name must not forge lines of the log. */
static void defuse(char *line)
{
	for (unsigned char *c = (unsigned char *)line; *c; c++) {
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
	}
}

void log_write(const struct log *log, enum tcpx_log_level level,
	       const char *subsystem, const char *fmt, ...)
{
	char line[LOG_LINE_BYTES];
	int saved = errno;
	va_list args;
	int n;

	if (!log || !log->fn || level > log->level)
		return;
	va_start(args, fmt);
	n = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (n >= (int)sizeof(line))
		memcpy(line + sizeof(line) - 4, "...", 4);
	if (n >= 0) {
		defuse(line);
		log->fn(log->arg, level, subsystem, line);
	}
	errno = saved;
}
