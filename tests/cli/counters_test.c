/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of NICs: from drivers that never were, and from the kernel's. */
#include "check.h"
#include "tcpx/nic_counters.h"
#include "tcpx/proof.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <sched.h>

#define NONE "no devmem counters (rx_devmem_pkts) on"

struct fake {
	const char *const *names;
	const uint64_t *values;
	uint32_t n;
	uint32_t fail_cmd; /* this request fails so */
	int fail_rc;
};

static int fake_names(const struct fake *fake, struct ethtool_gstrings *names)
{
	CHECK_EQ(names->string_set, ETH_SS_STATS);
	CHECK(names->len >= fake->n);
	names->len = fake->n;
	for (uint32_t i = 0; i < fake->n; i++)
		strncpy((char *)names->data + i * ETH_GSTRING_LEN,
			fake->names[i], ETH_GSTRING_LEN);
	return 0;
}

static int fake_ask(void *arg, const char *ifname, void *request)
{
	const struct fake *fake = arg;
	uint32_t cmd = *(uint32_t *)request;
	struct ethtool_sset_info *info = request;
	struct ethtool_stats *stats = request;

	CHECK_STR(ifname, "eth7");
	if (cmd == fake->fail_cmd)
		return fake->fail_rc;
	if (cmd == ETHTOOL_GSTRINGS)
		return fake_names(fake, request);
	if (cmd == ETHTOOL_GSSET_INFO) {
		CHECK_EQ(info->sset_mask, 1ull << ETH_SS_STATS);
		info->data[0] = fake->n;
		return 0;
	}
	CHECK_EQ(cmd, ETHTOOL_GSTATS);
	stats->n_stats = fake->n;
	memcpy(stats->data, fake->values, fake->n * sizeof(uint64_t));
	return 0;
}

static const char *const names[] = {
	"rx_packets",	      "rx_devmem_pkts[8]",
	"rx_devmem_pkts[15]", "rx_devmem_bytes[15]",
	"rx3_devmem_pkts",    "rx12_devmem_pkts",
	"tx_devmem_pkts",     "abcdefghijklmnopqrstuv_devmem_xyz",
};
static const uint64_t values[] = {5, 10, 20, 4096, 300, 4000, 7, 1ull << 40};
#define N_NAMES (sizeof(names) / sizeof(*names))

static void read_fake(struct fake *fake, struct nic_counters *counters)
{
	const struct nic_driver driver = {fake_ask, fake};

	nic_counters_read(&driver, "eth7", "devmem", counters);
}

static uint64_t value_of(const struct nic_counters *counters, const char *name)
{
	for (unsigned i = 0; i < counters->n; i++)
		if (!strcmp(counters->list[i].name, name))
			return counters->list[i].value;
	check_fail(CHECK_AT, "no counter %s", name);
	return 0;
}

/* Queues are summed, others left out; a name may fill its 32 bytes. */
static void summed(void)
{
	struct fake fake = {names, values, N_NAMES, 0, 0};
	struct nic_counters counters;

	read_fake(&fake, &counters);
	CHECK_STR(counters.why, "");
	CHECK_EQ(counters.n, 4);
	CHECK_EQ(value_of(&counters, "rx_devmem_bytes"), 4096);
	CHECK_EQ(value_of(&counters, "rx_devmem_pkts"), 4330);
	CHECK_EQ(value_of(&counters, "tx_devmem_pkts"), 7);
	CHECK_EQ(value_of(&counters, "abcdefghijklmnopqrstuv_devmem_xy"),
		 1ull << 40);
}

static void none_there(void)
{
	struct fake fake = {names, values, 1, 0, 0};
	struct nic_counters counters;

	read_fake(&fake, &counters);
	CHECK_EQ(counters.n, 0);
	CHECK_STR(counters.why, NONE " eth7");
	fake.n = 0;
	read_fake(&fake, &counters);
	CHECK_STR(counters.why, NONE " eth7");
}

/* Each question can fail, and each failure is said. */
static void failing(void)
{
	static const uint32_t cmds[] = {ETHTOOL_GSSET_INFO, ETHTOOL_GSTRINGS,
					ETHTOOL_GSTATS};
	struct nic_counters counters;

	for (size_t i = 0; i < 3; i++) {
		struct fake fake = {names, values, N_NAMES, cmds[i], -EPERM};

		read_fake(&fake, &counters);
		CHECK_EQ(counters.n, 0);
		CHECK(strstr(counters.why, "counters of eth7 cannot be read"));
		CHECK(strstr(counters.why, "not permitted"));
		fake.fail_rc = -EOPNOTSUPP;
		read_fake(&fake, &counters);
		CHECK_STR(counters.why, NONE " eth7");
	}
}

/* More names than there is room for: the first ones, and nothing beyond. */
static void many(void)
{
	static char text[100][ETH_GSTRING_LEN];
	const char *list[100];
	uint64_t ones[100];
	struct fake fake = {list, ones, 100, 0, 0};
	struct nic_counters counters;

	for (int i = 0; i < 100; i++) {
		snprintf(text[i], sizeof(text[i]), "devmem_%d", i);
		list[i] = text[i];
		ones[i] = 1;
	}
	read_fake(&fake, &counters);
	CHECK_EQ(counters.n, NIC_COUNTERS_MAX);
	CHECK_EQ(value_of(&counters, "devmem_31"), 1);
}

static void kernel_lo(void)
{
	struct nic_counters counters;

	nic_counters_read(&nic_driver_kernel, "lo", "devmem", &counters);
	CHECK_EQ(counters.n, 0);
	CHECK_STR(counters.why, NONE " lo");
	nic_counters_read(&nic_driver_kernel, "nope9", "devmem", &counters);
	CHECK(strstr(counters.why, "counters of nope9 cannot be read"));
}

/* A driver with statistics, none of them of device memory. */
static void kernel_veth(void)
{
	struct nic_counters counters;

	if (unshare(CLONE_NEWNET) ||
	    system("ip link add veth7 type veth peer name veth8 2>/dev/null"))
		SKIP("needs root and veth");
	nic_counters_read(&nic_driver_kernel, "veth7", "devmem", &counters);
	CHECK_EQ(counters.n, 0);
	CHECK_STR(counters.why, NONE " veth7");
	nic_counters_read(&nic_driver_kernel, "veth7", "peer_ifindex",
			  &counters);
	CHECK_STR(counters.why, "");
	CHECK_EQ(counters.n, 1);
	CHECK(counters.list[0].value > 0);
}

static json_t *parse(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);

	CHECK(json);
	return json;
}

/* Only what was in use, or grew; packets of both ends together. */
static void grown(void)
{
	json_t *before = parse("[{\"ifname\": \"eth1\", \"counters\": "
			       "{\"rx_devmem_pkts\": 100, \"x\": 5}}, "
			       "{\"ifname\": \"eth2\", \"counters\": "
			       "{\"rx_devmem_pkts\": 7}}]");
	json_t *after = parse(
		"[{\"ifname\": \"eth1\", \"in_use\": true, \"why\": null, "
		"\"counters\": {\"rx_devmem_pkts\": 350, \"x\": 5}}, "
		"{\"ifname\": \"eth2\", \"in_use\": false, \"why\": null, "
		"\"counters\": {\"rx_devmem_pkts\": 7}}, "
		"{\"ifname\": \"eth3\", \"in_use\": false, \"why\": null, "
		"\"counters\": {\"rx_devmem_pkts\": 9}}, "
		"{\"ifname\": \"lo\", \"in_use\": true, \"why\": "
		"\"no such counters on lo\", \"counters\": {}}]");
	json_t *counted = json_array(), *packets = proof_packets(counted);

	CHECK(json_is_null(packets));
	json_decref(packets);
	proof_compare(counted, "here", before, after);
	proof_compare(counted, "there", NULL, NULL);
	CHECK_EQ(json_array_size(counted), 3);
	packets = proof_packets(counted);
	CHECK_EQ(json_integer_value(packets), 250 + 9);
	json_decref(packets);
	json_decref(counted);
	json_decref(before);
	json_decref(after);
}

static const struct check_case cases[] = {
	{"summed", summed, 0},
	{"none_there", none_there, 0},
	{"failing", failing, 0},
	{"many", many, 0},
	{"grown", grown, 0},
	{"kernel_lo", kernel_lo, 0},
	{"kernel_veth", kernel_veth, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
