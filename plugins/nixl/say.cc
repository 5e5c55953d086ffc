/* SPDX-License-Identifier: Apache-2.0 */
#include "say.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <strings.h>

extern "C" {
#include "base/utf8.h"
}

static const char *const names[] = {"none", "error", "warn",
				    "info", "debug", "trace"};

/* One call, so that lines of several threads stay whole. */
static void print(const say &say, enum tcpx_log_level level,
		  const char *subsystem, const char *line)
{
	bool known = level >= TCPX_LOG_NONE && level <= TCPX_LOG_TRACE;

	fprintf(stderr, "TCPX %s %s %s: %s\n", known ? names[level] : "?",
		say.who.c_str(), subsystem, line);
}

void say::write(enum tcpx_log_level line_level, const char *subsystem,
		const char *fmt, ...) const
{
	char line[4096];
	va_list args;

	if (!shows(line_level))
		return;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	/* There are others' names in it, of any bytes. */
	utf8_clean(line, strlen(line));
	print(*this, line_level, subsystem, line);
}

void say_from_library(void *arg, enum tcpx_log_level level,
		      const char *subsystem, const char *line)
{
	const struct say *say = static_cast<const struct say *>(arg);

	if (say->shows(level))
		print(*say, level, subsystem, line);
}

bool say_level_of_nixl(enum tcpx_log_level *level)
{
	static const struct {
		const char *name;
		enum tcpx_log_level level;
	} levels[] = {
		{"TRACE", TCPX_LOG_TRACE}, {"DEBUG", TCPX_LOG_DEBUG},
		{"INFO", TCPX_LOG_INFO},   {"WARN", TCPX_LOG_WARN},
		{"ERROR", TCPX_LOG_ERROR}, {"FATAL", TCPX_LOG_ERROR},
	};
	const char *text = getenv("NIXL_LOG_LEVEL");

	if (!text || getenv("TCPX_LOG_LEVEL"))
		return false;
	for (const auto &row : levels) {
		if (strcasecmp(text, row.name) == 0) {
			*level = row.level;
			return true;
		}
	}
	return false;
}
