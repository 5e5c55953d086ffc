/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOPO_ROUTE_H
#define TOPO_ROUTE_H

/*
 * Which interface the kernel sends by. An address to leave from does not
 * decide that, its routes and policies do: so it is asked.
 */

#include <stdint.h>

#include "base/addr.h"
#include "topo/nic.h"

/* For what leaves from that address for the other. 0 and *ifindex, or
 * TCPX_ENOENT: it stays on this host, or the kernel does not say. */
int route_ifindex(const struct net_addr *from, const struct net_addr *to,
		  uint32_t *ifindex);
/* For what leaves from nic's address for others in its subnet. As above. */
int route_in_subnet(const struct nic *nic, uint32_t *ifindex);

#define SUBNET_TEXT_MAX 64

/* "10.0.0.0/24" or "fd00::/64". */
void route_subnet_text(const struct nic *nic, char to[SUBNET_TEXT_MAX]);

#endif
