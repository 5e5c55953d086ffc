/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOPO_NIC_RULES_H
#define TOPO_NIC_RULES_H

/* The parts of nic_list() that look at nothing but their arguments. */

#include <stdbool.h>

#include "topo/nic.h"

/* An interface as found, usable or not. */
struct nic_seen {
	struct nic nic;
	bool up; /* and has a carrier */
	bool has_addr;
	bool loopback;
};

/* As nic_list(), from these interfaces, which are in the order of ifindex. */
int nic_select(const struct nic_seen *seen, uint32_t n_seen,
	       const char *ifnames, struct nic nics[NICS_MAX], uint32_t *n_nics,
	       char *why, size_t cap_bytes);

/* Is it, by its name, a bridge or tunnel of a container runtime? */
bool nic_is_container_bridge(const char *ifname);

/* Speed, MTU, NUMA node and PCI address from class_net ("/sys/class/net"). */
void nic_read_sysfs(const char *class_net, struct nic *nic);

#endif
