/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLUGINS_NIXL_SAY_H
#define PLUGINS_NIXL_SAY_H

/*
 * The plugin's log: lines on standard error, as NIXL's own are. One object
 * an engine; the library's lines come through it too. Threads: any.
 */

#include <string>

#include <tcpx/p2p.h>

struct say {
	std::string who; /* the agent's name, fit to be shown */
	enum tcpx_log_level level = TCPX_LOG_WARN;

	bool shows(enum tcpx_log_level line) const
	{
		return line <= level;
	}
	void write(enum tcpx_log_level line_level, const char *subsystem,
		   const char *fmt, ...) const
		__attribute__((format(printf, 4, 5)));
};

/* A tcpx_log_fn; arg is a struct say. */
void say_from_library(void *arg, enum tcpx_log_level level,
		      const char *subsystem, const char *line);
/* TCPX_LOG_LEVEL is the library's to read; where it is not set, what
 * NIXL_LOG_LEVEL says holds for us too. False: that is not set either. */
bool say_level_of_nixl(enum tcpx_log_level *level);

#endif
