/* SPDX-License-Identifier: Apache-2.0 */
#include "topo/homes.h"

#include <stdlib.h>

#include "base/item.h"
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
static bool read_item(const struct item *item, uint32_t n_gpus, uint32_t n_nics,
		      const char *(*name_of)(const void *arg, uint32_t nic),
		      const void *arg, uint32_t *home)
{
	char *end;
	unsigned long gpu = strtoul(item->text, &end, 10);
	struct item name = {end + 1, item->len_bytes};

	if (end == item->text || *end != '=' || gpu >= n_gpus)
		return false;
	name.len_bytes -= (size_t)(name.text - item->text);
	for (uint32_t n = 0; n < n_nics; n++) {
		if (item_is(&name, name_of(arg, n))) {
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
	struct item item;

	while (item_next(&map, &item)) {
		if (!read_item(&item, n_gpus, n_nics, name_of, arg, home)) {
			*wrong = item.text;
			return false;
		}
	}
	return true;
}

uint32_t homes_slot_gpu(const uint32_t *home, uint32_t n_gpus, uint32_t index,
			uint32_t nic)
{
	if (index < n_gpus && home[index] == nic)
		return index;
	for (uint32_t g = 0; g < n_gpus; g++)
		if (home[g] == nic)
			return g;
	return HOME_NONE;
}
