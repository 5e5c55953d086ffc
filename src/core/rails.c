/* SPDX-License-Identifier: Apache-2.0 */
#include "core/rails.h"

#include <net/if.h>
#include <stdio.h>

#include "base/addr.h"
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

/* Does who connects to that address of ours meet the listener? */
static bool hears(const struct net_addr *bound, const struct net_addr *addr)
{
	struct net_addr at = *bound;

	if (addr_is_any(&at)) /* the one of IPv6 hears both */
		return at.sa.sa_family != AF_INET ||
		       addr->sa.sa_family == AF_INET;
	addr_set_port(&at, addr_port(addr));
	return addr_equal(&at, addr);
}

static bool is_rail(const struct tcpx_session *session,
		    const struct net_addr *addr)
{
	for (uint32_t i = 0; i < session->n_rails; i++)
		if (addr_equal(&session->rails[i].addr, addr))
			return true;
	return false;
}

/* What is advertised instead leads here by ways that others know. */
static void warn_of_bind(const struct tcpx_session *session)
{
	const struct tcpx_config *config = session->config;
	struct net_addr bound;

	if (!config->bind || addr_parse(config->bind, &bound))
		return;
	for (uint32_t i = 0; i < session->n_rails; i++)
		if (addr_equal(&session->rails[i].addr,
			       &session->nics[i].addr) &&
		    !hears(&bound, &session->rails[i].addr))
			log_warn(&session->log, "rails",
				 "nobody listens at the address of rail %u, "
				 "%s, for bind (TCPX_BIND) is %s: leave %s out "
				 "of ifnames (TCPX_IFNAMES), or bind unset",
				 i, session->nics[i].ifname, config->bind,
				 session->nics[i].ifname);
	if (!is_rail(session, &session->ctrl) && !hears(&bound, &session->ctrl))
		log_warn(&session->log, "rails",
			 "nobody listens at the address of ctrl_ifname "
			 "(TCPX_CTRL_IFNAME), %s, for bind (TCPX_BIND) is %s: "
			 "leave one of the two unset",
			 config->ctrl_ifname, config->bind);
}

void rails_warn(const struct tcpx_session *session)
{
	for (uint32_t i = 0; i < session->n_rails; i++)
		warn_of_route(session, i);
	warn_of_bind(session);
}

/* Of the family that bind, all addresses of it, leaves. */
static struct net_addr loopback_of(const struct net_addr *any)
{
	struct net_addr addr = *any;

	if (any->sa.sa_family == AF_INET)
		addr.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		addr.in6.sin6_addr = in6addr_loopback;
	return addr;
}

void rails_own_addr(const struct tcpx_session *session, uint32_t rail,
		    struct net_addr *addr)
{
	const char *bind = session->config->bind;
	struct net_addr bound;

	*addr = session->nics[rail < session->n_rails ? rail : 0].addr;
	if (bind && !addr_parse(bind, &bound) && !hears(&bound, addr))
		*addr = addr_is_any(&bound) ? loopback_of(&bound) : bound;
	addr_set_port(addr, boot_port(session->boot));
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

void rails_via(const struct tcpx_session *session, const struct net_addr *local,
	       char *text, size_t cap_bytes)
{
	struct net_addr addr = *local;
	char where[ADDR_TEXT_MAX];

	for (uint32_t i = 0; i < session->n_rails; i++) {
		addr_set_port(&addr, addr_port(&session->nics[i].addr));
		if (!addr_equal(&addr, &session->nics[i].addr))
			continue;
		snprintf(text, cap_bytes, "rail %u (%s)", i,
			 session->nics[i].ifname);
		return;
	}
	addr_text(local, where);
	snprintf(text, cap_bytes, "%s", where);
}
