/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include "common/size.h"
#include "common/wrap.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LABEL_COLUMNS 24

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

/* "WRITE 64M", "READ 16384 x 4K" */
static void label_what(const struct case_params *p, FILE *out)
{
	char piece[32];

	size_format(p->piece_bytes, piece, sizeof(piece));
	if (p->op == CASE_NOTIFY) {
		fprintf(out, "WRITE %s + notification", piece);
		return;
	}
	for (const char *c = case_op_name(p->op); *c; c++)
		fputc(toupper((unsigned char)*c), out);
	if (p->n_pieces > 1)
		fprintf(out, " %u x", p->n_pieces);
	fprintf(out, " %s", piece);
}

/* " gpu:0>host", in the direction of the bytes; nothing for host memory. */
static void label_where(const struct case_params *p, FILE *out)
{
	char here[PLACE_TEXT_MAX], there[PLACE_TEXT_MAX];

	if (!p->mem.kind && !p->peer_mem.kind)
		return;
	place_format(&p->mem, here);
	place_format(&p->peer_mem, there);
	if (p->op == CASE_READ)
		fprintf(out, " %s>%s", there, here);
	else
		fprintf(out, " %s>%s", here, there);
}

void bench_label(const struct bench_plan *plan, char *buf, size_t cap_bytes)
{
	const struct case_params *p = &plan->params;
	FILE *out = fmemopen(buf, cap_bytes, "w");

	buf[0] = '\0';
	if (!out)
		return;
	label_what(p, out);
	label_where(p, out);
	if (p->n_outstanding > 1)
		fprintf(out, " (%u at a time)", p->n_outstanding);
	if (p->both_directions)
		fprintf(out, " both ways");
	fclose(out);
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
	printf("%-*s %7s %8s %8s %8s %6s  %s\n", LABEL_COLUMNS, "", "GB/s",
	       "p50", "p99", "raw TCP", "ratio", "bytes");
}

/* A long label has a line of its own, so that figures stay in columns. */
static void print_label(const char *label)
{
	if (strlen(label) > LABEL_COLUMNS)
		printf("%s\n%*s", label, LABEL_COLUMNS, "");
	else
		printf("%-*s", LABEL_COLUMNS, label);
}

/* "label             text", both in lines that fit. */
static void print_remark(const char *label, const char *text)
{
	char line[768];

	if (strlen(label) > LABEL_COLUMNS) {
		puts(label);
		label = "";
	}
	snprintf(line, sizeof(line), "%-*s %s", LABEL_COLUMNS, label, text);
	text_wrap(stdout, 0, LABEL_COLUMNS + 1, line);
}

/* A ping-pong is compared by time, so its ceiling is a time too. */
static void print_ceiling(const struct bench_result *r)
{
	char text[32];

	if (!r->has_ceiling)
		printf(" %8s %6s", "-", "-");
	else if (r->plan.params.op == CASE_NOTIFY)
		printf(" %8s %5.2fx",
		       format_us(r->ceiling_p50_us, text, sizeof(text)),
		       r->ratio);
	else
		printf(r->ceiling_gigabytes_per_s < 0.1 ? " %8.4f %6.2f" :
							  " %8.2f %6.2f",
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
	char label[96], p50[32], p99[32], text[320];

	bench_label(&r->plan, label, sizeof(label));
	if (r->status) {
		snprintf(text, sizeof(text), "failed: %s", r->failure);
		print_remark(label, text);
		return;
	}
	print_label(label);
	if (r->plan.params.op == CASE_NOTIFY)
		printf(" %7s", "one way");
	else
		printf(r->gigabytes_per_s < 0.1 ? " %7.4f" : " %7.2f",
		       r->gigabytes_per_s);
	printf(" %8s %8s", format_us(r->p50_us, p50, sizeof(p50)),
	       format_us(r->p99_us, p99, sizeof(p99)));
	print_ceiling(r);
	printf("  %s\n", verdict(r));
	if (r->plan.verify && !r->verified)
		print_remark("", r->failure);
	fflush(stdout);
}

void report_footnote(void)
{
	puts("ratio: median of the rounds' ratios, so not exactly GB/s by raw "
	     "TCP");
}

void report_unlike(void)
{
	puts("raw TCP slept, and ours spun first; --wait spin compares like "
	     "with like");
}

void report_text_row(const char *label, const char *text, bool held)
{
	char line[640];

	snprintf(line, sizeof(line), "%s: %s", held ? "held" : "BROKE", text);
	print_remark(label, line);
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
	char label[96], mem[PLACE_TEXT_MAX], peer_mem[PLACE_TEXT_MAX];

	bench_label(&r->plan, label, sizeof(label));
	return json_pack(
		"{ss ss sI sI sI ss si si ss ss sI sb ss sI so so so so so so so so "
		"so sb sb so so}",
		"case", label, "op", case_op_name(p->op), "bytes",
		(json_int_t)(p->piece_bytes * p->n_pieces), "segment_bytes",
		(json_int_t)p->piece_bytes, "segments", (json_int_t)p->n_pieces,
		"transport", r->path.transport, "rails", (int)r->path.n_rails,
		"flows", (int)r->path.n_flows, "mem",
		place_format(&p->mem, mem), "peer_mem",
		place_format(&p->peer_mem, peer_mem), "outstanding",
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

void report_object(json_t *all)
{
	json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(all);
}

void report_json(json_t *settings, json_t *cases, bool held)
{
	report_object(json_pack("{so so sb}", "settings", settings, "cases",
				cases, "held", held));
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

json_t *report_settings_list(const struct tcpx_config *config)
{
	return json_from_library("the configuration", config_text,
				 (void *)config);
}

json_t *report_config(const struct tcpx_config *config)
{
	json_t *list = report_settings_list(config);
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
