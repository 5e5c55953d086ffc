/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include "common/size.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LABEL_COLUMNS 30

void progress(const char *fmt, ...)
{
	va_list args;

	if (!isatty(STDERR_FILENO))
		return;
	fputs("\r\033[K", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fflush(stderr);
}

void progress_clear(void)
{
	if (!isatty(STDERR_FILENO))
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
}

void bench_label(const struct bench_plan *plan, char *buf, size_t cap_bytes)
{
	const struct case_params *p = &plan->params;
	char piece[32], op[16];
	size_t i;

	size_format(p->piece_bytes, piece, sizeof(piece));
	if (p->op == CASE_NOTIFY) {
		snprintf(buf, cap_bytes, "WRITE %s + notification", piece);
		return;
	}
	snprintf(op, sizeof(op), "%s", case_op_name(p->op));
	for (i = 0; op[i]; i++)
		op[i] = (char)toupper((unsigned char)op[i]);
	if (p->n_pieces > 1)
		snprintf(buf, cap_bytes, "%s %u x %s", op, p->n_pieces, piece);
	else
		snprintf(buf, cap_bytes, "%s %s", op, piece);
	i = strlen(buf);
	if (p->n_outstanding > 1)
		snprintf(buf + i, cap_bytes - i, " (%u at a time)",
			 p->n_outstanding);
	i = strlen(buf);
	if (p->both_directions)
		snprintf(buf + i, cap_bytes - i, " both ways");
}

/* Three figures that mean something, and a unit. */
static const char *format_us(double us, char *buf, size_t cap_bytes)
{
	const char *unit = "us";
	double value = us;

	if (us >= 1e6) {
		unit = "s";
		value = us / 1e6;
	} else if (us >= 1e3) {
		unit = "ms";
		value = us / 1e3;
	}
	snprintf(buf, cap_bytes,
		 value < 10  ? "%.2f %s" :
		 value < 100 ? "%.1f %s" :
			       "%.0f %s",
		 value, unit);
	return buf;
}

void report_header(void)
{
	printf("%-*s %8s %9s %9s %9s %6s  %s\n", LABEL_COLUMNS, "", "GB/s",
	       "p50", "p99", "raw TCP", "ratio", "bytes");
}

/* A ping-pong is compared by time, so its ceiling is a time too. */
static void print_ceiling(const struct bench_result *r)
{
	char text[32];

	if (!r->has_ceiling)
		printf(" %9s %6s", "-", "-");
	else if (r->plan.params.op == CASE_NOTIFY)
		printf(" %9s %5.2fx",
		       format_us(r->ceiling_p50_us, text, sizeof(text)),
		       r->ratio);
	else
		printf(r->ceiling_gigabytes_per_s < 0.1 ? " %9.4f %6.2f" :
							  " %9.2f %6.2f",
		       r->ceiling_gigabytes_per_s, r->ratio);
}

static const char *verdict(const struct bench_result *r)
{
	if (!r->plan.verify)
		return "not checked";
	return r->verified ? "verified" : "WRONG";
}

void report_row(const struct bench_result *r)
{
	char label[96], p50[32], p99[32];

	bench_label(&r->plan, label, sizeof(label));
	if (r->status) {
		printf("%-*s failed: %s\n", LABEL_COLUMNS, label, r->failure);
		return;
	}
	printf("%-*s", LABEL_COLUMNS, label);
	if (r->plan.params.op == CASE_NOTIFY)
		printf(" %8s", "one way");
	else
		printf(r->gigabytes_per_s < 0.1 ? " %8.4f" : " %8.2f",
		       r->gigabytes_per_s);
	printf(" %9s %9s", format_us(r->p50_us, p50, sizeof(p50)),
	       format_us(r->p99_us, p99, sizeof(p99)));
	print_ceiling(r);
	printf("  %s\n", verdict(r));
	if (r->plan.verify && !r->verified)
		printf("%-*s %s\n", LABEL_COLUMNS, "", r->failure);
	fflush(stdout);
}

void report_text_row(const char *label, const char *text, bool held)
{
	printf("%-*s %s: %s\n", LABEL_COLUMNS, label, held ? "held" : "BROKE",
	       text);
	fflush(stdout);
}

/* Figures with as many places as they are good for. */
static json_t *number(double value, double places)
{
	return json_real((double)(long long)(value * places + 0.5) / places);
}

static json_t *number_or_null(bool have, double value, double places)
{
	return have ? number(value, places) : json_null();
}

json_t *report_case(const struct bench_result *r)
{
	const struct case_params *p = &r->plan.params;
	bool ok = !r->status, raw = ok && r->has_ceiling;
	char label[96];

	bench_label(&r->plan, label, sizeof(label));
	return json_pack(
		"{ss ss sI sI sI ss si si sI sb ss sI so so so so so so so so "
		"so sb sb so so}",
		"case", label, "op", case_op_name(p->op), "bytes",
		(json_int_t)(p->piece_bytes * p->n_pieces), "segment_bytes",
		(json_int_t)p->piece_bytes, "segments", (json_int_t)p->n_pieces,
		"transport", r->path.transport, "rails", (int)r->path.n_rails,
		"flows", (int)r->path.n_flows, "outstanding",
		(json_int_t)(p->op == CASE_NOTIFY ? 1 : p->n_outstanding),
		"both_directions", p->both_directions, "wait",
		wait_style_name(p->wait), "transfers",
		(json_int_t)r->n_transfers, "gigabytes_per_s",
		number_or_null(ok, r->gigabytes_per_s, 1e6), "p50_us",
		number_or_null(ok, r->p50_us, 1e3), "p99_us",
		number_or_null(ok, r->p99_us, 1e3), "cpu_s_per_gigabyte",
		number_or_null(ok, r->cpu_s_per_gb, 1e4),
		"ceiling_gigabytes_per_s",
		number_or_null(raw, r->ceiling_gigabytes_per_s, 1e6),
		"ceiling_p50_us",
		number_or_null(raw && p->op == CASE_NOTIFY, r->ceiling_p50_us,
			       1e3),
		"ceiling_p99_us",
		number_or_null(raw && p->op == CASE_NOTIFY, r->ceiling_p99_us,
			       1e3),
		"ceiling_cpu_s_per_gigabyte",
		number_or_null(raw, r->ceiling_cpu_s_per_gb, 1e4), "ratio",
		number_or_null(raw, r->ratio, 1e4), "checked", r->plan.verify,
		"verified", r->verified, "failure",
		r->failure[0] ? json_string(r->failure) : json_null(), "seed",
		json_integer((json_int_t)p->seed));
}

void report_json(json_t *settings, json_t *cases, bool held)
{
	json_t *all = json_pack("{so so sb}", "settings", settings, "cases",
				cases, "held", held);

	json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(all);
}

void report_settings(const json_t *settings)
{
	const char *key;
	json_t *value;
	char *text;

	json_object_foreach((json_t *)settings, key, value)
	{
		if (json_is_object(value))
			continue;
		text = json_dumps(value, JSON_ENCODE_ANY);
		printf("%s=%s\n", key,
		       json_is_string(value) ? json_string_value(value) : text);
		free(text);
	}
}

static int config_text(void *arg, char *buf, size_t cap_bytes,
		       size_t *len_bytes)
{
	return tcpx_config_json(arg, buf, cap_bytes, len_bytes);
}

json_t *report_config(const struct tcpx_config *config)
{
	json_t *list = json_from_library("the configuration", config_text,
					 (void *)config);
	json_t *all = json_object(), *one;
	const char *name;
	size_t i;

	json_array_foreach(list, i, one)
	{
		name = json_string_value(json_object_get(one, "name"));
		/* A report is shown around: no secrets. */
		if (name && strcmp(name, "secret"))
			json_object_set(all, name,
					json_object_get(one, "value"));
	}
	json_decref(list);
	return all;
}
