/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOPO_DISTANCE_H
#define TOPO_DISTANCE_H

/*
 * How far apart PCI devices are, as hwloc sees this host, or a host that was
 * written down as hwloc's XML.
 *
 *   package
 *     +-- host bridge
 *     |     +-- switch --+-- GPU 0      GPU 0 to eth1: 2 (up one, down one)
 *     |     |            +-- GPU 1
 *     |     |            +-- eth1
 *     |     +-- switch --+-- GPU 2      GPU 2 to eth1: 4
 *     +-- host bridge ...               over the root: more, each level of
 *                                       the machine that separates them too
 */

#include <stdint.h>

struct topo_map;

#define TOPO_UNKNOWN UINT32_MAX

/* xml: the text of a written-down host; NULL: this one. Takes 10 to 100 ms.
 * Returns 0, TCPX_EINVAL (no such XML), TCPX_ENOMEM. */
int topo_map_load(const char *xml, struct topo_map **map);
void topo_map_free(struct topo_map *map);
/* Links between two devices ("0000:04:00.0", in any case); 0: the same;
 * TOPO_UNKNOWN: one of them is not on the map. */
uint32_t topo_map_distance(const struct topo_map *map, const char *pci_a,
			   const char *pci_b);
/* The CPUs near a device as "0-51,104-155", cut to whole ranges. "" if it is
 * not known. */
void topo_map_cpus(const struct topo_map *map, const char *pci, char *list,
		   uint32_t cap_bytes);

#endif
