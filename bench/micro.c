/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: micro [--quick] [--peers N] [calls|beside|idle|peers]...
 * Prints one JSON object with an object for each measurement; the keys are
 * explained in README.md beside this file.
 */
#include "micro.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

void must(int status, const char *what)
{
	if (!status)
		return;
	fprintf(stderr, "micro: %s: %s\n", what, tcpx_strerror(status));
	exit(1);
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

void sleep_ms(unsigned ms)
{
	struct timespec left = {.tv_sec = ms / 1000,
				.tv_nsec = (long)(ms % 1000 * NS_PER_MS)};

	while (nanosleep(&left, &left))
		;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double percentile(double *values, size_t n, double percent)
{
	if (!n)
		return 0;
	qsort(values, n, sizeof(*values), compare);
	return values[(size_t)((double)(n - 1) * percent / 100 + 0.5)];
}

json_t *summary(double *values, size_t n)
{
	double p50 = percentile(values, n, 50);

	return json_pack("{sf sf sf sf sI}", "p50", p50, "p99",
			 percentile(values, n, 99), "min", n ? values[0] : 0,
			 "max", n ? values[n - 1] : 0, "n", (json_int_t)n);
}

/* A peer takes some descriptors, and there will be many: as many as may be,
 * also beyond the hard limit where that is allowed. */
static void raise_limits(void)
{
	struct rlimit limit = {.rlim_cur = 1u << 18, .rlim_max = 1u << 18};

	if (!setrlimit(RLIMIT_NOFILE, &limit) ||
	    getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static const struct {
	const char *name;
	json_t *(*measure)(const struct micro_options *options);
} measurements[] = {
	{"calls", measure_calls},
	{"beside", measure_beside},
	{"idle", measure_idle},
	{"peers", measure_peers},
};

#define N_MEASUREMENTS (sizeof(measurements) / sizeof(measurements[0]))

static bool is_known(const char *name)
{
	for (size_t i = 0; i < N_MEASUREMENTS; i++)
		if (!strcmp(name, measurements[i].name))
			return true;
	return false;
}

static bool is_wanted(const char *name, char **wanted, int n)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(name, wanted[i]))
			return true;
	return n == 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: micro [--quick] [--peers N] "
			"[calls|beside|idle|peers]...\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option table[] = {{"quick", 0, NULL, 'q'},
					      {"peers", 1, NULL, 'p'},
					      {NULL, 0, NULL, 0}};
	struct micro_options options = {.n_peers = 1024};
	json_t *root = json_object();
	int opt;

	while ((opt = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (opt == 'q')
			options.quick = true;
		else if (opt == 'p')
			options.n_peers = (unsigned)atoi(optarg);
		else
			return usage();
	}
	for (int i = optind; i < argc; i++)
		if (!is_known(argv[i]))
			return usage();
	if (!options.n_peers)
		return usage();
	raise_limits();
	for (size_t i = 0; i < N_MEASUREMENTS; i++)
		if (is_wanted(measurements[i].name, argv + optind,
			      argc - optind))
			json_object_set_new(root, measurements[i].name,
					    measurements[i].measure(&options));
	json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(root);
	return 0;
}
