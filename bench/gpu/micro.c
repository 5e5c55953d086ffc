/* SPDX-License-Identifier: Apache-2.0 */

/*
 * usage: gpu_micro [--device N] [--driver cuda|host] [--rounds N] [--quick]
 *                  [unpack] [staging] [latency] [reach]
 *
 * One JSON object on standard output; bench/README.md has its keys.
 */

#include <string.h>
#include <tcpx/p2p.h>
#include <time.h>

#include "micro.h"

uint64_t micro_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t micro_rand(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double micro_median(double *values, uint32_t n)
{
	qsort(values, n, sizeof(*values), compare);
	return values[n / 2];
}

void micro_die(const char *what, const char *why)
{
	fprintf(stderr, "gpu_micro: %s: %s\n", what, why);
	exit(2);
}

struct gpu *micro_open(const struct micro *micro, const struct gpu_params *more,
		       struct gpu_set **set)
{
	struct gpu_params params = {.slot_bytes = 1u << 20, .n_slots = 128};
	char why[300] = "";
	struct gpu *gpu = NULL;

	if (more)
		params = *more;
	if (gpu_set_create(micro->driver, &params, set) != 0)
		micro_die("driver", micro->driver);
	if (gpu_set_count(*set, why, sizeof(why)) == 0 ||
	    gpu_set_open(*set, micro->device, &gpu, why, sizeof(why)) != 0)
		micro_die("no device", why);
	return gpu;
}

void micro_finish(struct gpu *gpu, struct gpu_job *job)
{
	int rc;

	while ((rc = gpu_job_poll(job)) == TCPX_INPROGRESS)
		;
	if (rc)
		micro_die("job", gpu_cause(gpu));
	gpu_job_put(job);
}

static void describe(const struct micro *micro)
{
	struct gpu_info info = {0};
	struct gpu_set *set;

	(void)micro_open(micro, NULL, &set);
	(void)gpu_set_info(set, micro->device, &info);
	printf("  \"device\": \"%s\",\n  \"driver\": \"%s\",\n"
	       "  \"pci\": \"%s\",\n",
	       info.name, info.driver, info.pci);
	gpu_set_destroy(set);
}

static const struct part {
	const char *name;
	void (*run)(const struct micro *micro);
} parts[] = {
	{"unpack", micro_unpack},
	{"staging", micro_staging},
	{"latency", micro_latency},
	{"reach", micro_reach},
};
#define N_PARTS (sizeof(parts) / sizeof(*parts))

static int usage(void)
{
	fprintf(stderr, "usage: gpu_micro [--device N] [--driver cuda|host] "
			"[--rounds N] [--quick] [unpack] [staging] [latency] "
			"[reach]\n");
	return 2;
}

/* The part's bit for its name; 0 for none. */
static unsigned part_bit(const char *name)
{
	for (unsigned i = 0; i < N_PARTS; i++) {
		if (strcmp(parts[i].name, name) == 0)
			return 1u << i;
	}
	return 0;
}

static bool parse(int argc, char **argv, struct micro *micro, unsigned *chosen)
{
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(argv[i], "--quick") == 0) {
			micro->quick = true;
			micro->rounds = 3;
		} else if (strcmp(argv[i], "--device") == 0 && value) {
			micro->device = (uint32_t)atoi(argv[++i]);
		} else if (strcmp(argv[i], "--rounds") == 0 && value) {
			micro->rounds = (uint32_t)atoi(argv[++i]);
		} else if (strcmp(argv[i], "--driver") == 0 && value) {
			micro->driver = argv[++i];
		} else if (part_bit(argv[i])) {
			*chosen |= part_bit(argv[i]);
		} else {
			return false;
		}
	}
	return micro->rounds > 0 && micro->rounds <= 1000;
}

int main(int argc, char **argv)
{
	struct micro micro = {.driver = "cuda", .rounds = 5};
	unsigned chosen = 0;

	if (!parse(argc, argv, &micro, &chosen))
		return usage();
	printf("{\n");
	describe(&micro);
	for (unsigned i = 0; i < N_PARTS; i++) {
		if (!chosen || chosen & 1u << i)
			parts[i].run(&micro);
		fflush(stdout);
	}
	printf("  \"rounds\": %u\n}\n", micro.rounds);
	return 0;
}
