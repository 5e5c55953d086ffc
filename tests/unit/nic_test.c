/* SPDX-License-Identifier: Apache-2.0 */
#include "topo/nic.h"

#include <sys/stat.h>

#include "check.h"
#include "topo/nic_rules.h"

/* The rules over interfaces that never were, then this host's own. */

static struct nic_seen make(const char *ifname, uint32_t ifindex, bool up,
			    bool has_addr)
{
	struct nic_seen seen = {.up = up, .has_addr = has_addr};

	snprintf(seen.nic.ifname, sizeof(seen.nic.ifname), "%s", ifname);
	seen.nic.ifindex = ifindex;
	seen.loopback = strcmp(ifname, "lo") == 0;
	return seen;
}

#define N_HOST 8

/* A usual GPU host: lo, four NICs, one without cable, one without address,
 * and a container runtime. */
static void make_host(struct nic_seen host[N_HOST])
{
	host[0] = make("lo", 1, true, true);
	host[1] = make("eth0", 2, true, true);
	host[2] = make("eth1", 3, true, true);
	host[3] = make("eth2", 4, false, true);
	host[4] = make("eth10", 5, true, true);
	host[5] = make("ib0", 6, true, false);
	host[6] = make("docker0", 7, true, true);
	host[7] = make("br-0123456789ab", 8, true, true);
}

/* The names chosen as "a b c", or the status. */
static int chosen(const struct nic_seen *seen, uint32_t n_seen,
		  const char *ifnames, char *to, char why[256])
{
	struct nic nics[NICS_MAX];
	uint32_t n = 0;
	int err = nic_select(seen, n_seen, ifnames, nics, &n, why, 256);

	*to = '\0';
	for (uint32_t i = 0; err == 0 && i < n; i++) {
		strcat(to, i ? " " : "");
		strcat(to, nics[i].ifname);
	}
	return err;
}

static void check_choice(const char *ifnames, const char *want)
{
	struct nic_seen host[N_HOST];
	char got[NICS_MAX * 17], why[256];

	make_host(host);
	CHECK_STATUS(chosen(host, N_HOST, ifnames, got, why), 0);
	CHECK_STR(got, want);
}

static void check_failure(const char *ifnames, const char *want)
{
	struct nic_seen host[N_HOST];
	char got[NICS_MAX * 17], why[256];

	make_host(host);
	CHECK_STATUS(chosen(host, N_HOST, ifnames, got, why),
		     TCPX_EUNREACHABLE);
	if (!strstr(why, want))
		CHECK_STR(why, want);
}

static void without_a_list(void)
{
	check_choice(NULL, "eth0 eth1 eth10");
	check_choice("", "eth0 eth1 eth10");
	check_choice(" , ", "eth0 eth1 eth10");
	check_choice("^", "eth0 eth1 eth10");
}

static void takes_in_order(void)
{
	check_choice("eth1,eth0", "eth1 eth0");
	check_choice(" eth1 , eth0,", "eth1 eth0");
	check_choice("eth1,eth1", "eth1");
	check_choice("lo", "lo");
	check_choice("docker0,eth0", "docker0 eth0");
	check_choice("eth1", "eth1"); /* not eth10 */
}

static void takes_prefixes(void)
{
	check_choice("eth1*", "eth1 eth10");
	check_choice("eth*", "eth0 eth1 eth10"); /* eth2 is down: passed over */
	check_choice("eth10,eth*", "eth10 eth0 eth1");
	check_choice("*", "lo eth0 eth1 eth10 docker0 br-0123456789ab");
}

static void leaves_out(void)
{
	check_choice("^eth0", "eth1 eth10");
	check_choice("^docker0,lo", "eth0 eth1 eth10");
	check_choice("^eth1*", "eth0");
	check_choice(" ^eth0, eth10", "eth1");
	check_choice("^no-such", "eth0 eth1 eth10");
}

static void says_what_is_wrong(void)
{
	check_failure("eth9", "interface eth9 does not exist; there is lo, "
			      "eth0, eth1, eth2 (is down), eth10, "
			      "ib0 (has no address), docker0");
	check_failure("eth0,eth2", "interface eth2 is down");
	check_failure("ib0", "interface ib0 has no address");
	check_failure("ib*", "interface ib* has no address");
	check_failure("mlx*", "interface mlx* matches no interface");
	check_failure("^*", "no usable interface is left");
	check_failure("eth0 ^eth1", "interface ^eth1 does not exist");
}

static void last_resorts(void)
{
	struct nic_seen seen[3];
	char got[NICS_MAX * 17], why[256];

	seen[0] = make("lo", 1, true, true);
	seen[1] = make("eth0", 2, false, true);
	seen[2] = make("docker0", 3, true, true);
	CHECK_STATUS(chosen(seen, 3, NULL, got, why), 0);
	CHECK_STR(got, "docker0");
	CHECK_STATUS(chosen(seen, 2, NULL, got, why), 0);
	CHECK_STR(got, "lo");
	CHECK_STATUS(chosen(seen, 3, "^docker0", got, why), 0);
	CHECK_STR(got, "lo");
	CHECK_STATUS(chosen(seen, 0, NULL, got, why), TCPX_EUNREACHABLE);
	CHECK_STR(why, "no usable interface; there is none");
}

static void more_than_fit(void)
{
	struct nic_seen seen[NICS_MAX + 8];
	struct nic nics[NICS_MAX];
	char ifname[16], why[16];
	uint32_t n = 0;

	for (uint32_t i = 0; i < NICS_MAX + 8; i++) {
		snprintf(ifname, sizeof(ifname), "eth%u", i);
		seen[i] = make(ifname, i + 1, true, true);
	}
	CHECK_EQ(nic_select(seen, NICS_MAX + 8, NULL, nics, &n, why,
			    sizeof(why)),
		 0);
	CHECK_EQ(n, NICS_MAX);
	/* A short buffer for the reason is cut, not overrun. */
	CHECK_STATUS(nic_select(seen, NICS_MAX + 8, "x0", nics, &n, why,
				sizeof(why)),
		     TCPX_EUNREACHABLE);
	CHECK_STR(why, "interface x0 do");
}

static void knows_container_bridges(void)
{
	CHECK(nic_is_container_bridge("docker0"));
	CHECK(nic_is_container_bridge("br-0123456789ab"));
	CHECK(nic_is_container_bridge("cni0"));
	CHECK(!nic_is_container_bridge("br0"));
	CHECK(!nic_is_container_bridge("br-data"));
	CHECK(!nic_is_container_bridge("bridge0"));
	CHECK(!nic_is_container_bridge("eth0"));
	CHECK(!nic_is_container_bridge("veth0"));
}

/* ---- sysfs ------------------------------------------------------------- */

static char root[64];

static void put(const char *path, const char *text)
{
	char full[256];
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", root, path);
	if (!text) {
		CHECK_EQ(mkdir(full, 0755), 0);
		return;
	}
	f = fopen(full, "w");
	CHECK(f);
	fputs(text, f);
	CHECK_EQ(fclose(f), 0);
}

static void put_link(const char *path, const char *to)
{
	char full[256];

	snprintf(full, sizeof(full), "%s/%s", root, path);
	CHECK_EQ(symlink(to, full), 0);
}

static struct nic read_nic(const char *ifname)
{
	char class_net[128];
	struct nic nic = {0};

	snprintf(class_net, sizeof(class_net), "%s/net", root);
	snprintf(nic.ifname, sizeof(nic.ifname), "%s", ifname);
	nic_read_sysfs(class_net, &nic);
	return nic;
}

static void reads_sysfs(void)
{
	char command[128];
	struct nic nic;

	snprintf(root, sizeof(root), "/tmp/nic_test.XXXXXX");
	CHECK(mkdtemp(root));
	put("pci", NULL);
	put("pci/0000:8b:00.0", NULL);
	put("pci/0000:8b:00.0/numa_node", "1\n");
	put("pci/0000:00:04.0", NULL);
	put("pci/0000:00:04.0/numa_node", "-1\n");
	put("pci/0000:00:04.0/virtio1", NULL);
	put("net", NULL);
	put("net/eth1", NULL);
	put("net/eth1/speed", "200000\n");
	put("net/eth1/mtu", "8244\n");
	put_link("net/eth1/device", "../../pci/0000:8b:00.0");
	put("net/eth0", NULL);
	put("net/eth0/speed", "-1\n");
	put("net/eth0/mtu", "1460\n");
	put_link("net/eth0/device", "../../pci/0000:00:04.0/virtio1");
	put("net/tun0", NULL);
	put("net/tun0/speed", "junk\n");
	put("net/old0", NULL);
	put("net/old0/speed", "4294967295\n");

	nic = read_nic("eth1");
	CHECK_EQ(nic.speed_mbps, 200000);
	CHECK_EQ(nic.mtu_bytes, 8244);
	CHECK_EQ(nic.numa_node, 1);
	CHECK_STR(nic.pci, "0000:8b:00.0");
	nic = read_nic("eth0");
	CHECK_EQ(nic.speed_mbps, 0);
	CHECK_EQ(nic.mtu_bytes, 1460);
	CHECK_EQ(nic.numa_node, -1);
	CHECK_STR(nic.pci, "0000:00:04.0");
	nic = read_nic("tun0");
	CHECK_EQ(nic.speed_mbps, 0);
	CHECK_EQ(nic.numa_node, -1);
	CHECK_STR(nic.pci, "");
	CHECK_EQ(read_nic("old0").speed_mbps, 0);
	CHECK_EQ(read_nic("gone").mtu_bytes, 0);
	snprintf(command, sizeof(command), "rm -r %s", root);
	CHECK_EQ(system(command), 0);
}

static void this_host(void)
{
	struct nic nics[NICS_MAX];
	char why[512] = "";
	uint32_t n = 0;

	CHECK_STATUS(nic_list(NULL, nics, &n, why, sizeof(why)), 0);
	CHECK(n >= 1);
	for (uint32_t i = 0; i < n; i++) {
		CHECK(nics[i].ifname[0] && nics[i].ifindex > 0);
		CHECK(nics[i].addr.sa.sa_family == AF_INET ||
		      nics[i].addr.sa.sa_family == AF_INET6);
		CHECK(!addr_is_any(&nics[i].addr));
		CHECK_EQ(addr_port(&nics[i].addr), 0);
	}
	CHECK_STATUS(nic_list("no-such-nic", nics, &n, why, sizeof(why)),
		     TCPX_EUNREACHABLE);
	CHECK(strstr(why, "interface no-such-nic does not exist; there is"));
	if (nic_list("lo", nics, &n, why, sizeof(why)) != 0)
		SKIP("no loopback here");
	CHECK_EQ(n, 1);
	CHECK_STR(nics[0].ifname, "lo");
	CHECK_EQ(nics[0].numa_node, -1);
	CHECK_STR(nics[0].pci, "");
}

static const struct check_case cases[] = {
	{"without_a_list", without_a_list, 0},
	{"takes_in_order", takes_in_order, 0},
	{"takes_prefixes", takes_prefixes, 0},
	{"leaves_out", leaves_out, 0},
	{"says_what_is_wrong", says_what_is_wrong, 0},
	{"last_resorts", last_resorts, 0},
	{"more_than_fit", more_than_fit, 0},
	{"knows_container_bridges", knows_container_bridges, 0},
	{"reads_sysfs", reads_sysfs, 0},
	{"this_host", this_host, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
