/* SPDX-License-Identifier: Apache-2.0 */
#include "topo/homes.h"

#include <stdlib.h>
#include <string.h>

#include "topo/distance.h"

static uint32_t guests(const uint32_t *home, uint32_t n_gpus, uint32_t nic)
{
	uint32_t n = 0;

	for (uint32_t g = 0; g < n_gpus; g++)
		n += home[g] == nic;
	return n;
}

void homes_plan(const uint32_t *distance, uint32_t n_gpus, uint32_t n_nics,
		uint32_t *home)
{
	for (uint32_t g = 0; g < n_gpus; g++) {
		const uint32_t *row = &distance[(uint64_t)g * n_nics];
		uint32_t best = HOME_NONE;

		for (uint32_t n = 0; n < n_nics; n++) {
			if (row[n] == TOPO_UNKNOWN)
				continue;
			if (best == HOME_NONE || row[n] < row[best] ||
			    (row[n] == row[best] &&
			     guests(home, g, n) < guests(home, g, best)))
				best = n;
		}
		home[g] = best;
	}
}

/* One item; false: not "number=name" of things that are there. */
static bool read_item(const char *at, size_t len, uint32_t n_gpus,
		      uint32_t n_nics,
		      const char *(*name_of)(const void *arg, uint32_t nic),
		      const void *arg, uint32_t *home)
{
	char *end;
	unsigned long gpu = strtoul(at, &end, 10);
	const char *name = end + 1;

	if (end == at || *end != '=' || gpu >= n_gpus)
		return false;
	for (uint32_t n = 0; n < n_nics; n++) {
		size_t name_len = strlen(name_of(arg, n));

		if (name + name_len == at + len &&
		    !strncmp(name, name_of(arg, n), name_len)) {
			home[gpu] = n;
			return true;
		}
	}
	return false;
}

bool homes_read_map(const char *map, uint32_t n_gpus, uint32_t n_nics,
		    const char *(*name_of)(const void *arg, uint32_t nic),
		    const void *arg, uint32_t *home, const char **wrong)
{
	for (const char *at = map; *at;) {
		size_t len = strcspn(at, ", ");

		if (len &&
		    !read_item(at, len, n_gpus, n_nics, name_of, arg, home)) {
			*wrong = at;
			return false;
		}
		at += len;
		at += strspn(at, ", ");
	}
	return true;
}

uint32_t homes_slot_gpu(const uint32_t *home, uint32_t n_gpus, uint32_t gpu,
			uint32_t other, uint32_t nic)
{
	if (gpu < n_gpus && home[gpu] == nic)
		return gpu;
	if (other < n_gpus && home[other] == nic)
		return other;
	for (uint32_t g = 0; g < n_gpus; g++)
		if (home[g] == nic)
			return g;
	return HOME_NONE;
}
