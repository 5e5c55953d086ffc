/* SPDX-License-Identifier: Apache-2.0 */
#include "nearest.h"

#include "topo/distance.h"

#include <ctype.h>
#include <limits.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NICS_MAX 64
#define PCI_TEXT 16

struct near_nic {
	char ifname[IF_NAMESIZE], pci[PCI_TEXT];
	uint32_t links;
};

/* "0000:06:00.0" */
static bool is_pci(const char *text, size_t len)
{
	static const char shape[] = "xxxx:xx:xx.x";

	if (len != sizeof(shape) - 1)
		return false;
	for (size_t i = 0; i < len; i++)
		if (shape[i] == 'x' ? !isxdigit((unsigned char)text[i]) :
				      text[i] != shape[i])
			return false;
	return true;
}

/* The last PCI device above an interface; "" for virtual ones. */
static void pci_of(const char *ifname, char pci[PCI_TEXT])
{
	char path[64 + IF_NAMESIZE], real[PATH_MAX], *at;

	pci[0] = '\0';
	snprintf(path, sizeof(path), "/sys/class/net/%s/device", ifname);
	if (!realpath(path, real))
		return;
	for (at = real; *at; at += strcspn(at, "/"), at += *at == '/')
		if (is_pci(at, strcspn(at, "/")))
			snprintf(pci, PCI_TEXT, "%.12s", at);
}

static int by_links(const void *a, const void *b)
{
	const struct near_nic *x = a, *y = b;

	if (x->links != y->links)
		return x->links < y->links ? -1 : 1;
	return strcmp(x->ifname, y->ifname);
}

/* Those whose distance is known, nearest first; *n_pci: PCI devices at all. */
static uint32_t list_nics(const char *pci, struct near_nic *nics,
			  uint32_t *n_pci)
{
	struct if_nameindex *all = if_nameindex();
	struct topo_map *map = NULL;
	uint32_t n = 0;

	*n_pci = 0;
	if (topo_map_load(NULL, &map))
		map = NULL;
	for (unsigned i = 0; all && map && all[i].if_name; i++) {
		struct near_nic *nic = &nics[n];

		pci_of(all[i].if_name, nic->pci);
		if (!nic->pci[0] || n == NICS_MAX - 1)
			continue;
		(*n_pci)++;
		snprintf(nic->ifname, sizeof(nic->ifname), "%s",
			 all[i].if_name);
		nic->links = topo_map_distance(map, pci, nic->pci);
		n += nic->links != TOPO_UNKNOWN;
	}
	topo_map_free(map);
	if (all)
		if_freenameindex(all);
	qsort(nics, n, sizeof(*nics), by_links);
	return n;
}

static void missing(json_t *gpu, const char *fmt, const char *what)
{
	char text[160];

	snprintf(text, sizeof(text), fmt, what);
	json_array_append_new(json_object_get(gpu, "missing"),
			      json_string(text));
}

static void add_numa(json_t *gpu, const char *pci)
{
	char path[96];
	FILE *file;
	int node = -1;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/numa_node", pci);
	for (char *c = path; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	file = fopen(path, "re");
	if (!file)
		missing(gpu, "NUMA node: there is no %s", path);
	else if (fscanf(file, "%d", &node) != 1 || node < 0)
		missing(gpu, "NUMA node: the firmware does not say it (%s)",
			path);
	if (file)
		fclose(file);
	json_object_set_new(gpu, "numa_node",
			    node < 0 ? json_null() : json_integer(node));
}

static void add_nics(json_t *gpu, const char *pci)
{
	struct near_nic nics[NICS_MAX];
	uint32_t n_pci, n = list_nics(pci, nics, &n_pci);
	json_t *list = json_object_get(gpu, "nics");

	for (uint32_t i = 0; i < n; i++)
		json_array_append_new(
			list, json_pack("{ss ss sI}", "ifname", nics[i].ifname,
					"pci", nics[i].pci, "links",
					(json_int_t)nics[i].links));
	if (!n_pci)
		missing(gpu, "nearest NICs: %s",
			"no interface here is a PCI device");
	else if (!n)
		missing(gpu, "nearest NICs: hwloc knows no PCI device %s", pci);
}

void nearest_add(json_t *gpu, const char *pci)
{
	json_object_set_new(gpu, "numa_node", json_null());
	json_object_set_new(gpu, "nics", json_array());
	json_object_set_new(gpu, "missing", json_array());
	if (!*pci) {
		missing(gpu, "NUMA node and nearest NICs: %s",
			"it is no PCI device");
		return;
	}
	add_numa(gpu, pci);
	add_nics(gpu, pci);
}

const char *nearest_line(const json_t *gpu, char *buf, size_t cap_bytes)
{
	const json_t *node = json_object_get(gpu, "numa_node");
	const json_t *nics = json_object_get(gpu, "nics"), *nic;
	json_int_t least = -1, links;
	FILE *out = fmemopen(buf, cap_bytes, "w");
	size_t i;

	buf[0] = '\0';
	if (!out)
		return buf;
	if (json_is_integer(node))
		fprintf(out, "NUMA node %lld",
			(long long)json_integer_value(node));
	json_array_foreach(nics, i, nic)
	{
		links = json_integer_value(json_object_get(nic, "links"));
		if (least >= 0 && links > least)
			break;
		fprintf(out, "%s%s",
			i		      ? ", " :
			json_is_integer(node) ? "; nearest " :
						"nearest ",
			json_string_value(json_object_get(nic, "ifname")));
		least = links;
	}
	json_array_foreach(json_object_get(gpu, "missing"), i, nic)
		fprintf(out, "%s%s",
			i || least >= 0 || json_is_integer(node) ? "; " : "",
			json_string_value(nic));
	fclose(out);
	return buf;
}
