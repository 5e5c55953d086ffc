/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

/*
 * Where lines go: to the program's callback, at once or a moment later
 * (core/later.h), or nowhere. Whoever first knows the cause logs it, once:
 * lower case, the cause in words (%m for errno), "peer %s", not "peer=%s".
 * errno is kept. No logging on the data path. The layers below core are given
 * one that may be used with locks held: its lines only wait.
 */

#include <tcpx/p2p.h>

#define LOG_LINE_BYTES 1024

struct log {
	tcpx_log_fn fn; /* NULL: nothing is logged */
	void *arg;
	enum tcpx_log_level level;
	/* By who ends the process, after its line: gives what waits a moment
	 * to be told. NULL: nothing waits. */
	void (*at_exit)(void *arg);
};

void log_write(const struct log *log, enum tcpx_log_level level,
	       const char *subsystem, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* subsystem is a constant string, the folder or module: "boot", "socket". */
#define log_error(log, subsystem, ...)                                         \
	log_write(log, TCPX_LOG_ERROR, subsystem, __VA_ARGS__)
#define log_warn(log, subsystem, ...)                                          \
	log_write(log, TCPX_LOG_WARN, subsystem, __VA_ARGS__)
#define log_info(log, subsystem, ...)                                          \
	log_write(log, TCPX_LOG_INFO, subsystem, __VA_ARGS__)
#define log_debug(log, subsystem, ...)                                         \
	log_write(log, TCPX_LOG_DEBUG, subsystem, __VA_ARGS__)

#endif
