/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_LOG_H
#define TCPX_TOOL_LOG_H

/*
 * What the library logs, on its way to stderr. The library says what went
 * wrong in its own lines, the command says what became of it in its own
 * complaint; held lines let the command make one sentence of both.
 *
 * Threads: lines come from any, the other calls from the main one,
 * log_hush() also from the one that interrupts.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <tcpx/p2p.h>

void log_line(void *arg, enum tcpx_log_level level, const char *subsystem,
	      const char *line);

/* Only errors are printed meanwhile: what the library would warn of is done
 * on purpose. */
void log_hush(bool hush);

/* Lines are kept instead of printed, as many as there is room for. */
void log_hold(void);
/* Ends that, and prints what was kept. */
void log_release(void);
/* Ends that, and prints what was kept and is no error. */
void log_release_but_errors(void);
/* Ends that, and drops what was kept. */
void log_drop(void);
/* Ends that; prints all but the last error, which goes to buf, "" if there
 * was none. */
void log_take_error(char *buf, size_t cap_bytes);
/* The held errors, oldest first; NULL after the last. */
const char *log_held_error(unsigned i);

/* A file that gets every line too, with the time; NULL: no more. From any
 * thread. */
void log_also(FILE *file);
/* "2026-11-30 12:00:00.123 ", for lines beside them. */
void log_stamp(FILE *file);

#endif
