/* SPDX-License-Identifier: Apache-2.0 */
#include "samples.h"

#include <stdlib.h>
#include <sys/resource.h>

int samples_init(struct samples *samples, size_t cap)
{
	samples->ns = calloc(cap, sizeof(*samples->ns));
	samples->cap = cap;
	samples->n_added = 0;
	return samples->ns ? 0 : -1;
}

void samples_fini(struct samples *samples)
{
	free(samples->ns);
	samples->ns = NULL;
}

void samples_add(struct samples *samples, uint64_t ns)
{
	samples->ns[samples->n_added++ % samples->cap] = ns;
}

void samples_reset(struct samples *samples)
{
	samples->n_added = 0;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

double samples_percentile_us(struct samples *samples, double fraction)
{
	size_t n = samples->n_added < samples->cap ? (size_t)samples->n_added :
						     samples->cap;
	size_t i = (size_t)((double)n * fraction);

	if (!n)
		return 0;
	qsort(samples->ns, n, sizeof(*samples->ns), compare_u64);
	return (double)samples->ns[i < n ? i : n - 1] / 1000.0;
}

static int compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double median(double *values, size_t n)
{
	if (!n)
		return 0;
	qsort(values, n, sizeof(*values), compare_double);
	if (n % 2)
		return values[n / 2];
	return (values[n / 2 - 1] + values[n / 2]) / 2;
}

uint64_t cpu_used_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000u +
	       (uint64_t)u.ru_utime.tv_usec + (uint64_t)u.ru_stime.tv_usec;
}
