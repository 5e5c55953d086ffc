/* SPDX-License-Identifier: Apache-2.0 */
#include "topo/distance.h"

#include <hwloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <tcpx/status.h>

/* A topo_map is hwloc's own object. */
static hwloc_topology_t of(const struct topo_map *map)
{
	return (hwloc_topology_t)(void *)(uintptr_t)map;
}

/* PCI devices and the bridges above them; nothing that would load a driver's
 * library to look for more. */
static int configure(hwloc_topology_t topology, const char *xml)
{
	/* "pci" is libpciaccess, which leaves memory behind; sysfs says the
	 * same. */
	static const char *const unwanted[] = {"pci", "cuda", "nvml", "opencl",
					       "gl"};

	if (hwloc_topology_set_io_types_filter(topology,
					       HWLOC_TYPE_FILTER_KEEP_ALL))
		return TCPX_ENOMEM;
	for (size_t i = 0; i < sizeof(unwanted) / sizeof(*unwanted); i++)
		hwloc_topology_set_components(
			topology, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST,
			unwanted[i]);
	if (xml &&
	    hwloc_topology_set_xmlbuffer(topology, xml, (int)strlen(xml) + 1))
		return TCPX_EINVAL;
	return hwloc_topology_load(topology) ? TCPX_EINVAL : TCPX_OK;
}

/* libraries under hwloc (libudev) set up their own state at first use, and not
 * for several threads at once: sessions of one process wait for each other. */
static pthread_mutex_t load_lock = PTHREAD_MUTEX_INITIALIZER;

int topo_map_load(const char *xml, struct topo_map **map)
{
	hwloc_topology_t topology;

	if (hwloc_topology_init(&topology))
		return TCPX_ENOMEM;
	pthread_mutex_lock(&load_lock);
	int err = configure(topology, xml);

	pthread_mutex_unlock(&load_lock);
	if (err) {
		hwloc_topology_destroy(topology);
		return err;
	}
	*map = (struct topo_map *)(void *)topology;
	return TCPX_OK;
}

void topo_map_free(struct topo_map *map)
{
	if (map)
		hwloc_topology_destroy(of(map));
}

static hwloc_obj_t find(const struct topo_map *map, const char *pci)
{
	return hwloc_get_pcidev_by_busidstring(of(map), pci);
}

static unsigned levels_above(hwloc_obj_t obj)
{
	unsigned n = 0;

	for (; obj->parent; obj = obj->parent)
		n++;
	return n;
}

uint32_t topo_map_distance(const struct topo_map *map, const char *pci_a,
			   const char *pci_b)
{
	hwloc_obj_t a = find(map, pci_a), b = find(map, pci_b);
	uint32_t links = 0;

	if (!a || !b)
		return TOPO_UNKNOWN;
	unsigned above_a = levels_above(a), above_b = levels_above(b);

	while (a != b) {
		bool up_a = above_a >= above_b, up_b = above_b >= above_a;

		if (up_a) {
			a = a->parent;
			above_a--;
			links++;
		}
		if (up_b) {
			b = b->parent;
			above_b--;
			links++;
		}
	}
	return links;
}

void topo_map_cpus(const struct topo_map *map, const char *pci, char *list,
		   uint32_t cap_bytes)
{
	hwloc_obj_t dev = find(map, pci), near;

	list[0] = '\0';
	near = dev ? hwloc_get_non_io_ancestor_obj(of(map), dev) : NULL;
	if (!near || !near->cpuset)
		return;
	int n = hwloc_bitmap_list_snprintf(list, cap_bytes, near->cpuset);
	if (n < 0 || (uint32_t)n >= cap_bytes) {
		char *comma = strrchr(list, ',');

		if (comma)
			*comma = '\0';
		else
			list[0] = '\0';
	}
}
