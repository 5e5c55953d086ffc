/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What is refused before the plugin is called for the first time: the stand-in
 * crashes in its init, and nobody notices.
 */

#include "base/clock.h"
#include "check.h"
#include "gpu/gpu.h"
#include "netplugin/over_double.h"
#include "transport/netplugin/options.h"
#include "transport/transport.h"

#define NET "NCCL_GPUDIRECTTCPX_"
#define LIMIT_NS (20 * NS_PER_S)

static void set_up(const char *allow, bool isolated)
{
	over_double(isolated);
	setenv("TCPX_NETPLUGIN_ALLOW", allow, 1);
	setenv("DOUBLE_FAULTS", "crash init 1", 1);
}

/* Opening, or listening where a helper opens, fails with these words. */
static void refused(const char *words)
{
	const struct gpu_params gpu_params = {.slot_bytes = 4096, .n_slots = 2};
	const struct transport_ops *ops = transport_find("netplugin");
	uint64_t limit_ns = clock_now_ns() + LIMIT_NS;
	uint8_t addr[TRANSPORT_ADDR_MAX];
	char why[512] = "";
	struct transport_params params = {
		.chunk_bytes = 64 << 10, .why = why, .why_bytes = sizeof(why)};
	struct listener *listener;
	struct transport_rail rail;
	struct transport *t;
	size_t addr_bytes;

	CHECK_STATUS(gpu_set_create("host", &gpu_params, &params.gpus),
		     TCPX_OK);
	if (!ops->open(&params, &t)) {
		while (ops->rail(t, 0, &rail), rail.status == TCPX_INPROGRESS) {
			CHECK(clock_now_ns() < limit_ns);
			usleep(10000);
		}
		CHECK(rail.status < 0);
		CHECK(ops->listen(t, 0, &listener, addr, &addr_bytes) < 0);
		snprintf(why, sizeof(why), "%s", ops->refusal());
		CHECK(!strncmp(why, rail.why, strlen(rail.why)));
		ops->close(t);
	}
	gpu_set_destroy(params.gpus);
	if (strncmp(why, words, strlen(words)))
		check_fail(CHECK_AT, "refused by \"%s\"", why);
}

static void no_numa_node(bool isolated)
{
	set_up("loopback,daemon,pci", isolated);
	if (!access("/sys/devices/system/node/node1", F_OK))
		SKIP("there is a node1: the plugin does not crash");
	refused("numa: the NUMA node of lo is not known");
}

static void no_numa_node_inside(void)
{
	no_numa_node(false);
}

static void no_numa_node_helper(void)
{
	no_numa_node(true);
}

static void no_daemon(bool isolated)
{
	set_up("loopback,numa,pci", isolated);
	setenv(NET "UNIX_CLIENT_PREFIX", "/nowhere", 1);
	refused(isolated ? "waiting for the receive daemon: daemon: no socket "
			   "/nowhere/rx_rule_manager" :
			   "daemon: no socket /nowhere/rx_rule_manager");
}

static void no_daemon_inside(void)
{
	no_daemon(false);
}

static void no_daemon_helper(void)
{
	no_daemon(true);
}

static void no_bindings_inside(void)
{
	set_up("loopback,numa,pci,daemon", false);
	setenv(NET "TX_BINDINGS", "lo:0", 1);
	refused("bindings: " NET "TX_BINDINGS is \"lo:0\"");
}

/* ---- what it will find ---------------------------------------------------- */

static bool has(const struct nic *nics, uint32_t n, const char *ifname)
{
	for (uint32_t i = 0; i < n; i++)
		if (!strcmp(nics[i].ifname, ifname))
			return true;
	return false;
}

static uint32_t find(const char *list, struct nic *nics)
{
	uint32_t n;

	if (list)
		setenv(NET "SOCKET_IFNAME", list, 1);
	else
		unsetenv(NET "SOCKET_IFNAME");
	options_nics(&options_env_process, nics, &n);
	return n;
}

/* Lists as the plugin reads them. */
static void nics_of_the_plugin(void)
{
	struct nic nics[NICS_MAX];

	CHECK_EQ(find("lo", nics), 1);
	CHECK_EQ(find("=lo", nics), 1);
	CHECK_EQ(find("=lo,nowhere,lo", nics), 1);
	CHECK_EQ(find("=l", nics), 0);
	CHECK(has(nics, find("l", nics), "lo"));
	CHECK(!has(nics, find("^lo", nics), "lo"));
	CHECK(!has(nics, find("^=lo", nics), "lo"));
	CHECK(!has(nics, find(NULL, nics), "lo"));
	CHECK_EQ(find("nowhere", nics), 0);
}

/* ---- CPUs ----------------------------------------------------------------- */

static char bindings[2][256];

static void keep(void *arg, const char *variable, const char *value)
{
	bool rx = !strcmp(variable, NET "RX_BINDINGS");

	CHECK(rx || !strcmp(variable, NET "TX_BINDINGS"));
	snprintf(bindings[rx], sizeof(bindings[rx]), "%s", value);
	setenv(variable, value, 1);
}

/* Also where no CPUs are near. */
static void bindings_are_made(void)
{
	const struct options_env *env = &options_env_process;
	struct options o = {0};
	char why[400];

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP("one CPU is no range");
	unsetenv(NET "TX_BINDINGS");
	unsetenv(NET "RX_BINDINGS");
	setenv(NET "SOCKET_IFNAME", "=lo", 1);
	CHECK_STATUS(options_check_bound(env, &o, why, sizeof(why)),
		     TCPX_EUNSUPPORTED);
	options_bindings_for_plugin(env, keep, NULL);
	CHECK(!strncmp(bindings[0], "lo:", 3));
	CHECK_STR(bindings[0], bindings[1]);
	CHECK_STATUS(options_check_bound(env, &o, why, sizeof(why)), TCPX_OK);
	CHECK_STATUS(options_check_bindings(env, &o, "lo", why, sizeof(why)),
		     TCPX_OK);
}

/* What is set stays, and the other is set. */
static void bindings_stay(void)
{
	setenv(NET "RX_BINDINGS", "lo:7-9", 1);
	unsetenv(NET "TX_BINDINGS");
	setenv(NET "SOCKET_IFNAME", "=lo", 1);
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP("one CPU is no range");
	options_bindings_for_plugin(&options_env_process, keep, NULL);
	CHECK_STR(bindings[1], "");
	CHECK(!strncmp(bindings[0], "lo:", 3));
	CHECK_STR(getenv(NET "RX_BINDINGS"), "lo:7-9");
}

/* A NIC that is not here has none, and nobody is refused for it. */
static void nothing_to_bind(void)
{
	struct options o = {0};
	char why[400];

	unsetenv(NET "TX_BINDINGS");
	unsetenv(NET "RX_BINDINGS");
	setenv(NET "SOCKET_IFNAME", "=nowhere", 1);
	options_bindings_for_plugin(&options_env_process, keep, NULL);
	CHECK_STR(bindings[0], "");
	CHECK_STATUS(options_check_bound(&options_env_process, &o, why,
					 sizeof(why)),
		     TCPX_OK);
}

static const struct check_case cases[] = {
	{"no_numa_node_inside", no_numa_node_inside, 0},
	{"no_numa_node_helper", no_numa_node_helper, 0},
	{"no_daemon_inside", no_daemon_inside, 0},
	{"no_daemon_helper", no_daemon_helper, 0},
	{"no_bindings_inside", no_bindings_inside, 0},
	{"nics_of_the_plugin", nics_of_the_plugin, 0},
	{"bindings_are_made", bindings_are_made, 0},
	{"bindings_stay", bindings_stay, 0},
	{"nothing_to_bind", nothing_to_bind, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
