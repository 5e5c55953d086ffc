/* SPDX-License-Identifier: Apache-2.0 */
#include "topo/homes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

void homes_guess(uint32_t n_gpus, uint32_t n_nics, uint32_t *home)
{
	for (uint32_t g = 0; g < n_gpus; g++) {
		uint32_t best = 0;

		if (home[g] != HOME_NONE)
			continue;
		for (uint32_t n = 1; n < n_nics; n++)
			if (guests(home, n_gpus, n) <
			    guests(home, n_gpus, best))
				best = n;
		home[g] = best;
	}
}

struct pci {
	unsigned domain, bus, device, function;
};

/* Drivers write the domain with four digits or eight, in any case. */
static bool read_pci(const char *text, struct pci *pci)
{
	int end = 0;

	return sscanf(text, "%8x:%2x:%2x.%1x%n", &pci->domain, &pci->bus,
		      &pci->device, &pci->function, &end) == 4 &&
	       !text[end];
}

static bool same_pci(const struct pci *a, const struct pci *b)
{
	return a->domain == b->domain && a->bus == b->bus &&
	       a->device == b->device && a->function == b->function;
}

/* false: this can be no GPU. *gpu: HOME_NONE, it is not here. */
static bool read_gpu(const char *text, const struct homes_names *names,
		     uint32_t *gpu)
{
	struct pci wanted, pci;
	char *end;
	unsigned long number;

	*gpu = HOME_NONE;
	if (!read_pci(text, &wanted)) {
		number = strtoul(text, &end, 10);
		if (number < names->n_gpus)
			*gpu = (uint32_t)number;
		return *text >= '0' && *text <= '9' && !*end;
	}
	for (uint32_t g = 0; g < names->n_gpus; g++)
		if (read_pci(names->gpu_pci(names->arg, g), &pci) &&
		    same_pci(&pci, &wanted))
			*gpu = g;
	return true;
}

/* One item; 1: of a GPU that is here, 0: of another, -1: wrong. */
static int read_item(const struct item *item, const struct homes_names *names,
		     uint32_t *home)
{
	char text[64], *nic;
	uint32_t gpu;

	if (!item_copy(item, text, sizeof(text)) || !(nic = strchr(text, '=')))
		return -1;
	*nic++ = '\0';
	if (!*nic || !read_gpu(text, names, &gpu))
		return -1;
	if (gpu == HOME_NONE)
		return 0;
	for (uint32_t n = 0; n < names->n_nics; n++) {
		if (!strcmp(nic, names->nic(names->arg, n))) {
			home[gpu] = n;
			return 1;
		}
	}
	return -1;
}

int homes_read_map(const char *map, const struct homes_names *names,
		   uint32_t *home, const char **wrong)
{
	struct item item;
	int n = 0;

	while (item_next(&map, &item)) {
		int here = read_item(&item, names, home);

		if (here < 0) {
			*wrong = item.text;
			return -1;
		}
		n += here;
	}
	return n;
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
