/* SPDX-License-Identifier: Apache-2.0 */
#include <net/if.h>
#include <tcpx/status.h>

#include "check.h"
#include "topo/route.h"

static struct nic nic_at(const char *addr, uint32_t prefix_bits)
{
	struct nic nic = {.prefix_bits = prefix_bits};

	CHECK_EQ(addr_parse(addr, &nic.addr), 0);
	return nic;
}

static const char *subnet(const char *addr, uint32_t prefix_bits)
{
	static char text[SUBNET_TEXT_MAX];
	struct nic nic = nic_at(addr, prefix_bits);

	route_subnet_text(&nic, text);
	return text;
}

static void names_subnets(void)
{
	CHECK_STR(subnet("10.77.3.1", 24), "10.77.3.0/24");
	CHECK_STR(subnet("10.77.3.255", 22), "10.77.0.0/22");
	CHECK_STR(subnet("10.77.3.1", 32), "10.77.3.1/32");
	CHECK_STR(subnet("10.77.3.1", 0), "0.0.0.0/0");
	CHECK_STR(subnet("fd77:1:2:3:4::5", 64), "fd77:1:2:3::/64");
	CHECK_STR(subnet("fd77::ff", 121), "fd77::80/121");
}

/* What stays on this host leaves by nothing. */
static void stays_here(void)
{
	struct nic nic = nic_at("127.0.0.1", 8);
	struct net_addr to;
	uint32_t ifindex;

	CHECK_EQ(addr_parse("127.0.0.2", &to), 0);
	CHECK_STATUS(route_ifindex(&nic.addr, &to, &ifindex), TCPX_ENOENT);
	CHECK_STATUS(route_in_subnet(&nic, &ifindex), TCPX_ENOENT);
	CHECK_EQ(addr_parse("::1", &to), 0);
	CHECK_STATUS(route_ifindex(&nic.addr, &to, &ifindex), TCPX_ENOENT);
}

static void nobody_else_there(void)
{
	struct nic nic = nic_at("10.77.3.1", 32);
	uint32_t ifindex;

	CHECK_STATUS(route_in_subnet(&nic, &ifindex), TCPX_ENOENT);
	nic.prefix_bits = 0; /* not known */
	CHECK_STATUS(route_in_subnet(&nic, &ifindex), TCPX_ENOENT);
	nic.prefix_bits = 33;
	CHECK_STATUS(route_in_subnet(&nic, &ifindex), TCPX_ENOENT);
}

static void this_host(void)
{
	struct nic nics[NICS_MAX];
	char why[512], ifname[IF_NAMESIZE], text[SUBNET_TEXT_MAX];
	uint32_t n = 0, ifindex;

	CHECK_STATUS(nic_list(NULL, nics, &n, why, sizeof(why)), 0);
	for (uint32_t i = 0; i < n; i++) {
		CHECK(nics[i].prefix_bits > 0);
		route_subnet_text(&nics[i], text);
		if (route_in_subnet(&nics[i], &ifindex))
			continue;
		CHECK(if_indextoname(ifindex, ifname));
		fprintf(stderr, "%s: %s leaves by %s\n", nics[i].ifname, text,
			ifname);
	}
}

static const struct check_case cases[] = {
	{"names_subnets", names_subnets, 0},
	{"stays_here", stays_here, 0},
	{"nobody_else_there", nobody_else_there, 0},
	{"this_host", this_host, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
