/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_REPORT_H
#define TCPX_TOOL_REPORT_H

/* Results for people (a table, a progress line) and for programs (JSON; keys
 * in docs/json.md). */

#include "bench.h"

#include <jansson.h>

/* A line that replaces itself, on stderr, and only on a terminal. */
void progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void progress_clear(void);

/* "WRITE 64M", "READ 16384 x 4K", "WRITE 8 + notification". */
void bench_label(const struct bench_plan *plan, char *buf, size_t cap_bytes);

void report_header(void);
void report_row(const struct bench_result *result);
/* Under a table that has ratios. */
void report_footnote(void);
/* There too: short waits of ours and of raw TCP were of two kinds. */
void report_unlike(void);
/* A row in words, for cases that are not a bench_result. */
void report_text_row(const char *label, const char *text, bool held);

json_t *report_case(const struct bench_result *result);
/* Prints it and drops it. */
void report_object(json_t *all);
/* The same with {settings, cases, held}. */
void report_json(json_t *settings, json_t *cases, bool held);
/* Key = value lines, for people. */
void report_settings(const json_t *settings);
/* As tcpx_config_json() has it; NULL, having complained. */
json_t *report_settings_list(const struct tcpx_config *config);
/* What the session's configuration says, as {name: value}. */
json_t *report_config(const struct tcpx_config *config);

#endif
