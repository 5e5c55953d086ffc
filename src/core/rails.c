/* SPDX-License-Identifier: Apache-2.0 */
#include "core/rails.h"

#include <net/if.h>
#include <stdio.h>

#include "core/session.h"
#include "topo/route.h"

/* Two interfaces in one subnet: the kernel sends by one of them only, whatever
 * address a connection is bound to. */
static void warn_of_route(const struct tcpx_session *session, uint32_t rail)
{
	const struct nic *nic = &session->nics[rail];
	char by[IF_NAMESIZE], subnet[SUBNET_TEXT_MAX];
	uint32_t ifindex;

	if (!nic->ifindex || route_in_subnet(nic, &ifindex) ||
	    ifindex == nic->ifindex || !if_indextoname(ifindex, by))
		return;
	route_subnet_text(nic, subnet);
	log_warn(&session->log, "rails",
		 "rail %u is %s, but the kernel sends from its address to its "
		 "subnet, %s, by %s: route by source address (ip rule), or "
		 "have %s in ifnames (TCPX_IFNAMES) and not %s",
		 rail, nic->ifname, subnet, by, by, nic->ifname);
}

void rails_warn(const struct tcpx_session *session)
{
	for (uint32_t i = 0; i < session->n_rails; i++)
		warn_of_route(session, i);
}

void rails_detour(const struct tcpx_session *session, uint32_t rail,
		  const struct net_addr *to, char *why, size_t cap_bytes)
{
	char by[IF_NAMESIZE];
	uint32_t ifindex;

	*why = '\0';
	if (rail >= session->n_rails)
		return;
	const struct nic *nic = &session->nics[rail];

	if (!nic->ifindex || route_ifindex(&nic->addr, to, &ifindex) ||
	    ifindex == nic->ifindex || !if_indextoname(ifindex, by))
		return;
	snprintf(why, cap_bytes,
		 "leaves by %s: that is the kernel's route from the address of "
		 "%s to there",
		 by, nic->ifname);
}
