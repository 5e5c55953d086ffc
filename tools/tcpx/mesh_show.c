/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh.h"

#include "common/wrap.h"
#include "samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct summary {
	uint32_t slowest, fastest; /* of pairs; UINT32_MAX: none was measured */
	double median;
	uint32_t n;
};

static struct summary sum_up(const struct mesh_root *root)
{
	uint32_t n_all = root->pairs ? root->n_devices * root->n_devices : 0;
	struct summary sum = {UINT32_MAX, UINT32_MAX, 0, 0};
	double *speeds = calloc(n_all + 1, sizeof(*speeds));

	for (uint32_t i = 0; i < n_all; i++) {
		double speed = root->pairs[i].gigabytes_per_s;

		if (!root->pairs[i].done)
			continue;
		if (!sum.n || speed < root->pairs[sum.slowest].gigabytes_per_s)
			sum.slowest = i;
		if (!sum.n || speed > root->pairs[sum.fastest].gigabytes_per_s)
			sum.fastest = i;
		if (speeds)
			speeds[sum.n] = speed;
		sum.n++;
	}
	if (speeds)
		sum.median = median(speeds, sum.n);
	free(speeds);
	return sum;
}

/* ---- for people ------------------------------------------------------------ */

static void print_devices(const struct mesh_root *root)
{
	char mem[PLACE_TEXT_MAX];

	for (uint32_t i = 0; i < root->n_devices; i++) {
		const struct mesh_device *d = &root->devices[i];

		printf("%4u  %s rank %u %s%s%s%s%s\n", i,
		       root->ranks[d->rank].host, d->rank,
		       place_format(&d->mem, mem), *d->gpu ? "  " : "", d->gpu,
		       *d->pci ? "  " : "", d->pci);
	}
}

/* Narrow enough for two hosts of eight GPUs. */
static void print_cell(const struct mesh_root *root, uint32_t i,
		       const struct summary *sum)
{
	const struct mesh_pair *pair = &root->pairs[i];
	int places = pair->gigabytes_per_s < 9.995 ? 2 :
		     pair->gigabytes_per_s < 99.95 ? 1 :
						     0;

	if (pair->done && !pair->failure[0])
		printf(" %4.*f%c", places, pair->gigabytes_per_s,
		       i == sum->slowest ? '*' : ' ');
	else
		printf(" %4s ", pair->failure[0] ? "FAIL" :
				pair->wanted	 ? "?" :
						   "-");
}

static void print_matrix(const struct mesh_root *root,
			 const struct summary *sum)
{
	uint32_t n = root->n_devices;

	printf("\nGB/s from row to column\n\n    ");
	for (uint32_t i = 0; i < n; i++)
		printf(" %4u ", i);
	for (uint32_t i = 0; i < n * n; i++) {
		if (i % n == 0)
			printf("\n%4u", i / n);
		print_cell(root, i, sum);
	}
	printf("\n\n");
}

static void print_pair(const struct mesh_root *root, const char *what,
		       uint32_t i)
{
	const struct mesh_pair *pair = &root->pairs[i];

	printf("%s: %u to %u, %.3f GB/s by %s, %u flow%s\n", what,
	       i / root->n_devices, i % root->n_devices, pair->gigabytes_per_s,
	       pair->transport, pair->n_flows, pair->n_flows == 1 ? "" : "s");
}

static void print_failures(const struct mesh_root *root)
{
	uint32_t n = root->n_devices;
	char text[320];

	for (uint32_t i = 0; i < n * n; i++) {
		if (!root->pairs[i].failure[0])
			continue;
		snprintf(text, sizeof(text), "FAILED: %u to %u: %s", i / n,
			 i % n, root->pairs[i].failure);
		text_wrap(stdout, 0, 4, text);
	}
}

void mesh_print(const struct mesh_root *root)
{
	struct summary sum = sum_up(root);

	if (!root->began)
		return;
	print_devices(root);
	print_matrix(root, &sum);
	if (sum.n) {
		print_pair(root, "* slowest", sum.slowest);
		print_pair(root, "  fastest", sum.fastest);
		printf("  median of %u pairs: %.3f GB/s; %s\n", sum.n,
		       sum.median,
		       root->options->verify ? "bytes were checked" :
					       "bytes were not checked");
	}
	print_failures(root);
}

/* ---- for programs ---------------------------------------------------------- */

static json_t *devices_json(const struct mesh_root *root)
{
	json_t *list = json_array();
	char mem[PLACE_TEXT_MAX];

	for (uint32_t i = 0; root->began && i < root->n_devices; i++) {
		const struct mesh_device *d = &root->devices[i];

		json_array_append_new(
			list, json_pack("{si si ss ss ss ss ss}", "device",
					(int)i, "rank", (int)d->rank, "host",
					root->ranks[d->rank].host, "name",
					root->ranks[d->rank].name, "mem",
					place_format(&d->mem, mem), "gpu",
					d->gpu, "pci", d->pci));
	}
	return list;
}

static json_t *real_or_null(bool have, double value)
{
	return have ? json_real(value) : json_null();
}

static json_t *pair_json(const struct mesh_root *root, uint32_t i)
{
	const struct mesh_pair *p = &root->pairs[i];

	return json_pack("{si si so so so ss? si si sb ss?}", "from",
			 (int)(i / root->n_devices), "to",
			 (int)(i % root->n_devices), "gigabytes_per_s",
			 real_or_null(p->done, p->gigabytes_per_s), "p50_us",
			 real_or_null(p->done, p->p50_us), "p99_us",
			 real_or_null(p->done, p->p99_us), "transport",
			 p->done ? p->transport : NULL, "rails",
			 (int)p->n_rails, "flows", (int)p->n_flows, "verified",
			 p->verified, "failure",
			 p->failure[0] ? p->failure : NULL);
}

static json_t *pairs_json(const struct mesh_root *root)
{
	json_t *list = json_array();
	uint32_t n = root->began ? root->n_devices : 0;

	for (uint32_t i = 0; i < n * n; i++)
		if (root->pairs[i].wanted)
			json_array_append_new(list, pair_json(root, i));
	return list;
}

static json_t *matrix_json(const struct mesh_root *root)
{
	json_t *rows = json_array(), *row = NULL;
	uint32_t n = root->began ? root->n_devices : 0;

	for (uint32_t i = 0; i < n * n; i++) {
		if (i % n == 0) {
			row = json_array();
			json_array_append_new(rows, row);
		}
		json_array_append_new(
			row, real_or_null(root->pairs[i].done,
					  root->pairs[i].gigabytes_per_s));
	}
	return rows;
}

static json_t *extreme_json(const struct mesh_root *root, uint32_t i)
{
	return i == UINT32_MAX ? json_null() : pair_json(root, i);
}

json_t *mesh_json(const struct mesh_root *root, json_t *settings, bool held)
{
	struct summary sum = sum_up(root);

	return json_pack("{so so so so so so so ss? sb}", "settings", settings,
			 "devices", devices_json(root), "pairs",
			 pairs_json(root), "matrix", matrix_json(root),
			 "slowest", extreme_json(root, sum.slowest), "fastest",
			 extreme_json(root, sum.fastest),
			 "median_gigabytes_per_s",
			 real_or_null(sum.n, sum.median), "failure",
			 root->failure[0] ? root->failure : NULL, "held", held);
}
