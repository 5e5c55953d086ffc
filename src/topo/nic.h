/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOPO_NIC_H
#define TOPO_NIC_H

/*
 * The network interfaces a session may use as rails. A list of names takes
 * ("eth1,eth2": these, in this order; a trailing * matches a prefix) or
 * leaves out ("^docker0,eth0": all but these). What is not named: every
 * interface that is up and has an address, but the bridges of container
 * runtimes only if there is nothing else, and loopback only if there are not
 * even those.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

struct nic {
	char ifname[16];
	struct net_addr addr; /* first that is not link-local, IPv4
				   before IPv6; port 0 */
	uint32_t prefix_bits; /* of its subnet; 0: unknown */
	uint32_t ifindex;
	uint32_t speed_mbps; /* 0: unknown */
	uint32_t mtu_bytes;
	int32_t numa_node; /* -1: unknown */
	char pci[16]; /* "0000:00:04.0", or "" for virtual ones */
};

#define NICS_MAX 32

/*
 * Returns 0 and at least one, or TCPX_EUNREACHABLE: a named interface does
 * not exist, is down or has no address; why says which and what exists.
 */
int nic_list(const char *ifnames, struct nic nics[NICS_MAX], uint32_t *n_nics,
	     char *why, size_t cap_bytes);

#endif
