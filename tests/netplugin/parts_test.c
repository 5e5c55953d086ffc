/* SPDX-License-Identifier: Apache-2.0 */

/* The parts of the transport that need no plugin: settings, preconditions,
 * scatter lists, addresses, quirks, slots, SIGPIPE. */

#include <pthread.h>
#include <signal.h>

#include "check.h"
#include "transport/netplugin/adapt.h"
#include "transport/netplugin/address.h"
#include "transport/netplugin/comm.h"
#include "transport/netplugin/options.h"
#include "base/sigpipe.h"
#include "transport/netplugin/shared.h"
#include "transport/netplugin/slots.h"
#include "transport/transport.h"

/* ---- an environment that never was ------------------------------------- */

struct fake {
	const char *variables[16][2];
	const char *paths[8];
};

static const char *fake_get(void *arg, const char *variable)
{
	const struct fake *fake = arg;

	for (int i = 0; i < 16 && fake->variables[i][0]; i++)
		if (!strcmp(fake->variables[i][0], variable))
			return fake->variables[i][1];
	return NULL;
}

static bool fake_exists(void *arg, const char *path)
{
	const struct fake *fake = arg;

	for (int i = 0; i < 8 && fake->paths[i]; i++)
		if (!strcmp(fake->paths[i], path))
			return true;
	return false;
}

static char why[400];

static struct options_env env_of(struct fake *fake)
{
	return (struct options_env){fake_get, fake_exists, fake};
}

static int read_fake(struct fake *fake, struct options *options)
{
	struct options_env env = env_of(fake);

	/* What a session wants that was told nothing. */
	why[0] = '\0';
	return options_read(&env, 1u << 20, options, why, sizeof(why));
}

static int check_fake(struct fake *fake)
{
	struct options_env env = env_of(fake);
	struct options options;

	CHECK_STATUS(read_fake(fake, &options), TCPX_OK);
	why[0] = '\0';
	return options_check_env(&env, &options, why, sizeof(why));
}

static void defaults(void)
{
	struct fake fake = {0};
	struct options o;

	CHECK_STATUS(read_fake(&fake, &o), TCPX_OK);
	CHECK(o.isolate);
	CHECK_EQ(o.chunk_bytes, 512u << 10);
	CHECK(!o.chunk_given);
	CHECK_EQ(o.window, 16);
	CHECK_EQ(o.n_sockets, 4);
	CHECK_EQ(o.allow, 0);
	CHECK_STR(o.paths[0], "/usr/local/nvidia/lib64/libnccl-net.so");
	CHECK_STR(o.paths[1], "/usr/local/tcpx/lib64/libnccl-net-tcpx.so");
	CHECK(o.paths[2] == NULL);
	CHECK_STATUS(check_fake(&fake), TCPX_OK);
}

static void paths(void)
{
	struct fake old = {{{"UCCL_TCPX_PLUGIN_PATH", "/old.so"}}, {0}};
	struct fake both = {{{"UCCL_TCPX_PLUGIN_PATH", "/old.so"},
			     {"TCPX_NETPLUGIN_PATH", "/new.so"}},
			    {0}};
	struct options o;

	CHECK_STATUS(read_fake(&old, &o), TCPX_OK);
	CHECK_STR(o.paths[0], "/old.so");
	CHECK(o.paths[1] == NULL);
	CHECK_STATUS(read_fake(&both, &o), TCPX_OK);
	CHECK_STR(o.paths[0], "/new.so");
}

static void bad_settings(void)
{
	static const char *const bad[][2] = {
		{"TCPX_NETPLUGIN_WINDOW", "17"},
		{"TCPX_NETPLUGIN_WINDOW", "0"},
		{"TCPX_NETPLUGIN_SLOTS", "many"},
		{"TCPX_NETPLUGIN_ISOLATE", "perhaps"},
		{"TCPX_NETPLUGIN_ALLOW", "loopback,everything"},
		{"TCPX_NETPLUGIN_STALL_MS", "-1"},
	};
	struct options o;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct fake fake = {{{bad[i][0], bad[i][1]}}, {0}};

		CHECK_STATUS(read_fake(&fake, &o), TCPX_EINVAL);
		CHECK(strstr(why, bad[i][0]));
	}
}

static void allowed_checks(void)
{
	static const char *const lists[] = {"loopback,inline",
					    " ,inline,, loopback, "};
	struct options o;

	for (size_t i = 0; i < 2; i++) {
		struct fake fake = {{{"TCPX_NETPLUGIN_ALLOW", lists[i]}}, {0}};

		CHECK_STATUS(read_fake(&fake, &o), TCPX_OK);
		CHECK_EQ(o.allow, OPTIONS_LOOPBACK | OPTIONS_INLINE);
	}
	struct fake fake = {{{"TCPX_NETPLUGIN_ALLOW", "inline,in-line"}}, {0}};

	CHECK_STATUS(read_fake(&fake, &o), TCPX_EINVAL);
	CHECK(strstr(why, "no check is called in-line; there are "));
}

#define TX_BINDINGS "NCCL_GPUDIRECTTCPX_TX_BINDINGS"

/* Each refused in words that name the variable and the way out; and each let
 * pass when that way is taken. */
static void preconditions(void)
{
	static const char *const bad[][3] = {
		{"NCCL_DYNAMIC_CHUNK_SIZE", "0", "chunk-size"},
		{"NCCL_DYNAMIC_CHUNK_SIZE", "1048576", "chunk-size"},
		{"NCCL_DYNAMIC_CHUNK_SIZE", "100000", "chunk-size"},
		{"NCCL_USE_DMA_BUF", "0", "dma-buf"},
		{"NCCL_INLINE_THRESHOLD", "64", "inline"},
		{"NCCL_GPUDIRECTTCPX_FLOW_STEERING_STRATEGY", "2", "steering"},
		{"NCCL_GPUDIRECTTCPX_SOCKET_ENABLE", "0", "enabled"},
		{"NCCL_SOCKET_NTHREADS", "9", "threads"},
		{"NCCL_NSOCKS_PERTHREAD", "0", "threads"},
		{"NCCL_GPUDIRECTTCPX_CONNECTION_RETRY", "0", "retry"},
		{"NCCL_GPUDIRECTTCPX_CUDA_USE_PRIMARY_CTX", "0", "context"},
		{"NCCL_GPUDIRECTTCPX_EXPORT_STATS_TO_FILE", "1", "telemetry"},
		{"NCCL_GPUDIRECTTCPX_TELEMETRY_EXPORT_STATS_TO_FILE", "1",
		 "telemetry"},
		{TX_BINDINGS, "eth1:3", "bindings"},
		{TX_BINDINGS, "eth1:8,9;eth2:1-3", "bindings"},
		{TX_BINDINGS, "eth1:8-9,", "bindings"},
		{TX_BINDINGS, "eth1:9-8", "bindings"},
		{TX_BINDINGS, "eth1:a-b", "bindings"},
		{TX_BINDINGS, "eth1:1-2;3-4", "bindings"},
		{TX_BINDINGS, "eth1:1-2:3-4", "bindings"},
		{TX_BINDINGS, ":1-2", "bindings"},
		{TX_BINDINGS,
		 "eth1:0-1,2-3,4-5,6-7,8-9,10-11,12-13,14-15,16-17",
		 "bindings"},
		{"NCCL_GPUDIRECTTCPX_RX_BINDINGS", "0-3", "bindings"},
		{"NCCL_GPUDIRECTTCPX_CTRL_DEV", "eth77", "ctrl-dev"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct fake fake = {{{bad[i][0], bad[i][1]}}, {0}};
		const char *name = bad[i][0];

		CHECK_STATUS(check_fake(&fake), TCPX_EUNSUPPORTED);
		if (!strncmp(name, "NCCL_GPUDIRECTTCPX_", 19))
			name += 19;
		CHECK(strstr(why, name));
		/* First of all, for what is long may be cut. */
		CHECK(!strncmp(why, bad[i][2], strlen(bad[i][2])));
		CHECK(!strncmp(why + strlen(bad[i][2]), ": ", 2));
		fake.variables[1][0] = "TCPX_NETPLUGIN_ALLOW";
		fake.variables[1][1] = bad[i][2];
		/* A chunk of nothing never ends, whoever allows it. */
		CHECK_STATUS(check_fake(&fake),
			     i ? TCPX_OK : TCPX_EUNSUPPORTED);
	}
}

static void good_environment(void)
{
	struct fake fake = {
		{{"NCCL_DYNAMIC_CHUNK_SIZE", "524288"},
		 {"NCCL_SOCKET_NTHREADS", "1"},
		 {"NCCL_NSOCKS_PERTHREAD", "4"},
		 {"NCCL_USE_DMA_BUF", "1"},
		 {"NCCL_GPUDIRECTTCPX_CTRL_DEV", "eth0"},
		 {"NCCL_GPUDIRECTTCPX_TX_BINDINGS", "eth1:8-21,112-125"}},
		{"/sys/class/net/eth0"}};

	CHECK_STATUS(check_fake(&fake), TCPX_OK);
	fake.variables[1][1] = "4"; /* 16 sockets */
	CHECK_STATUS(check_fake(&fake), TCPX_EUNSUPPORTED);
	CHECK(strstr(why, "at most 8"));
}

static void daemon_sockets(void)
{
	struct fake fake = {{{0}}, {"/run/tcpx", "/run/tcpx/rx_rule_manager"}};
	struct options_env env = env_of(&fake);
	struct options o;

	CHECK_STATUS(read_fake(&fake, &o), TCPX_OK);
	CHECK_STATUS(options_check_daemon(&env, &o, "0000:04:00.0", why,
					  sizeof(why)),
		     TCPX_EUNSUPPORTED);
	CHECK(strstr(why, "/run/tcpx/get_gpu_fd_0000:04:00.0"));
	fake.paths[2] = "/run/tcpx/get_gpu_fd_0000:04:00.0";
	CHECK_STATUS(options_check_daemon(&env, &o, "0000:04:00.0", why,
					  sizeof(why)),
		     TCPX_OK);
	fake.variables[0][0] = "NCCL_GPUDIRECTTCPX_UNIX_CLIENT_PREFIX";
	fake.variables[0][1] = "/elsewhere";
	CHECK_STATUS(options_check_daemon(&env, &o, "0000:04:00.0", why,
					  sizeof(why)),
		     TCPX_EUNSUPPORTED);
	CHECK(strstr(why, "/elsewhere/"));
}

/* A path does not make it any better. */
static void telemetry_is_off(void)
{
	struct fake fake = {
		{{"NCCL_GPUDIRECTTCPX_EXPORT_STATS_TO_FILE", "1"},
		 {"NCCL_GPUDIRECTTCPX_EXPORTER_PATH", "/tmp/stats"}},
		{0}};

	CHECK_STATUS(check_fake(&fake), TCPX_EUNSUPPORTED);
	CHECK(!strncmp(why, "telemetry: ", 11));
	fake.variables[0][1] = "0";
	CHECK_STATUS(check_fake(&fake), TCPX_OK);
}

static int check_numa(struct fake *fake, int numa_node)
{
	struct options_env env = env_of(fake);
	struct options o;

	CHECK_STATUS(read_fake(fake, &o), TCPX_OK);
	return options_check_numa(&env, &o, "eth1", numa_node, why,
				  sizeof(why));
}

static int check_nic(struct fake *fake, const char *pci)
{
	struct options_env env = env_of(fake);
	struct options o;

	CHECK_STATUS(read_fake(fake, &o), TCPX_OK);
	return options_check_nic(&env, &o, "eth1", pci, why, sizeof(why));
}

static void nic_crashes(void)
{
	struct fake fake = {{{0}}, {0}};

	CHECK_STATUS(check_numa(&fake, 0), TCPX_OK);
	CHECK_STATUS(check_numa(&fake, -1), TCPX_EUNSUPPORTED);
	CHECK(!strncmp(why, "numa: ", 6));
	fake.paths[0] = "/sys/devices/system/node/node1";
	CHECK_STATUS(check_numa(&fake, -1), TCPX_OK);
	CHECK_STATUS(check_nic(&fake, "0000:06:00.0"), TCPX_OK);
	CHECK_STATUS(check_nic(&fake, ""), TCPX_EUNSUPPORTED);
	CHECK(!strncmp(why, "pci: ", 5));
}

/* The NIC that is used has its CPUs. */
static void nic_is_bound(void)
{
	struct fake fake = {{{TX_BINDINGS, "eth0:0-3;eth11:4-7;leth1:8-9"}},
			    {"/sys/class/net/eth1"}};

	CHECK_STATUS(check_fake(&fake), TCPX_OK);
	CHECK_STATUS(check_nic(&fake, "0000:06:00.0"), TCPX_EUNSUPPORTED);
	CHECK(!strncmp(why, "bindings: ", 10));
	CHECK(strstr(why, "does not name the NIC eth1"));
	fake.variables[0][1] = "eth0:0-3;eth1:4-7,12";
	CHECK_STATUS(check_nic(&fake, "0000:06:00.0"), TCPX_OK);
}

static void count_set(void *arg, const char *variable, const char *value)
{
	int *n = arg;

	++*n;
	CHECK(value[0] != '\0');
	if (!strcmp(variable, "NCCL_DYNAMIC_CHUNK_SIZE"))
		CHECK_STR(value, "524288");
}

/* What must be set is set, what is set stays. */
static void set_for_plugin(void)
{
	struct fake fake = {{{"NCCL_SOCKET_NTHREADS", "2"}}, {0}};
	struct options_env env = env_of(&fake);
	struct options o;
	int n = 0;

	CHECK_STATUS(read_fake(&fake, &o), TCPX_OK);
	options_for_plugin(&env, &o, count_set, &n);
	CHECK_EQ(n, 4);
}

/* ---- scatter lists ----------------------------------------------------- */

static struct netplugin_unpack_meta meta;
static struct transport_fragment out[NETPLUGIN_UNPACK_ENTRIES];
static uint32_t n_out, len_out;

static int unpack_list(const struct netplugin_unpack_entry *entries, uint64_t n)
{
	struct comm comm = {
		.meta = &meta,
		.pool_bytes = 1 << 20,
		.chunk_bytes = 64 << 10,
		.hash_key = 0x1234567,
	};

	for (uint64_t i = 0; entries && i < n; i++)
		meta.entries[3][i] = entries[i];
	meta.counts[3] = n;
	return comm_unpack_list(&comm, 3, out, &n_out, &len_out, why,
				sizeof(why));
}

static void lists_good(void)
{
	const struct netplugin_unpack_entry one[] = {{100, 50, 0}};
	const struct netplugin_unpack_entry joined[] = {
		{4096, 4096, 0}, {8192, 10, 4096}, {0, 20, 4106}};
	const struct netplugin_unpack_entry shuffled[] = {
		{9000, 5, 20}, {0, 10, 0}, {70, 10, 10}, {1 << 19, 1, 25}};

	CHECK_STATUS(unpack_list(one, 1), TCPX_OK);
	CHECK_EQ(n_out, 1);
	CHECK_EQ(len_out, 50);
	CHECK_STATUS(unpack_list(joined, 3), TCPX_OK);
	CHECK_EQ(n_out, 2);
	CHECK_EQ(out[0].len_bytes, 4106);
	CHECK_EQ(out[1].dst_off, 4106);
	CHECK_EQ(len_out, 4126);
	CHECK_STATUS(unpack_list(shuffled, 4), TCPX_OK);
	CHECK_EQ(n_out, 4);
	CHECK_EQ(len_out, 26);
	CHECK_STATUS(unpack_list(NULL, 0), TCPX_OK);
	CHECK_EQ(len_out, 0);
}

static void lists_bad(void)
{
	static const struct netplugin_unpack_entry bad[][3] = {
		{{0, 10, 0}, {0, 10, 5}, {0, 5, 15}}, /* overlap */
		{{0, 10, 0}, {0, 10, 11}, {0, 0, 0}}, /* hole, and 0 bytes */
		{{0, 10, 0}, {0, 10, 0}, {0, 10, 20}}, /* twice */
		{{0, 10, 1}, {0, 10, 11}, {0, 10, 21}}, /* not from 0 */
		{{0, 10, 0}, {0, 10, 64 << 10}, {0, 1, 10}},
		{{0, 10, 0}, {0, 4096, (64 << 10) - 4095}, {0, 1, 10}},
		{{(1 << 20) - 9, 10, 0}, {0, 1, 10}, {0, 1, 11}},
		{{UINT32_MAX, 10, 0}, {0, 1, 10}, {0, 1, 11}},
		{{0, UINT32_MAX, 0}, {0, 1, 10}, {0, 1, 11}},
		{{0, 10, UINT64_MAX - 4}, {0, 1, 10}, {0, 1, 11}},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		n_out = len_out = 77;
		CHECK_STATUS(unpack_list(bad[i], 3), TCPX_EPROTO);
		CHECK(why[0]);
		CHECK_EQ(n_out, 77);
		CHECK_EQ(len_out, 77);
	}
	CHECK_STATUS(unpack_list(NULL, NETPLUGIN_UNPACK_ENTRIES + 1),
		     TCPX_EPROTO);
	CHECK_STATUS(unpack_list(NULL, UINT64_MAX), TCPX_EPROTO);
}

/* Random cuts in random order are one chunk; with one byte changed they are
 * not. */
static void lists_random(void)
{
	uint64_t rand = check_seed();
	struct netplugin_unpack_entry list[64];

	for (int round = 0; round < 2000; round++) {
		uint32_t n = 2 + check_rand(&rand) % 60, off = 0;

		for (uint32_t i = 0; i < n; i++) {
			uint32_t len = 1 + check_rand(&rand) % 1000;

			list[i] = (struct netplugin_unpack_entry){
				(uint32_t)(check_rand(&rand) % 1000000), len,
				off};
			off += len;
		}
		for (uint32_t i = n; i > 1; i--) {
			uint32_t j = check_rand(&rand) % i;
			struct netplugin_unpack_entry last = list[i - 1];

			list[i - 1] = list[j];
			list[j] = last;
		}
		CHECK_STATUS(unpack_list(list, n), TCPX_OK);
		CHECK_EQ(len_out, off);
		uint32_t i = check_rand(&rand) % n;
		if (round % 2)
			list[i].dst_off += 1;
		else
			list[i].len_bytes += 1;
		/* The last one may grow: then it is another chunk. */
		if (!(round % 2) && list[i].dst_off + list[i].len_bytes > off)
			continue;
		CHECK_STATUS(unpack_list(list, n), TCPX_EPROTO);
	}
}

/* ---- what travels ------------------------------------------------------ */

static void addresses(void)
{
	struct address a = {.chunk_bytes = 524288,
			    .n_sockets = 4,
			    .window = 16,
			    .unpacks = 1,
			    .ifname = "eth3",
			    .plugin = "GPUDirectTCPX_v"},
		       b;
	uint8_t wire[ADDRESS_BYTES + 1] = {0};

	CHECK_STATUS(addr_parse("10.1.2.3:4567", &a.side), TCPX_OK);
	for (uint32_t i = 0; i < sizeof(a.handle); i++)
		a.handle[i] = (uint8_t)i;
	a.token[3] = 9;
	address_encode(&a, wire);
	CHECK_STATUS(address_decode(wire, ADDRESS_BYTES, &b), TCPX_OK);
	CHECK_EQ(b.chunk_bytes, a.chunk_bytes);
	CHECK_STR(b.ifname, "eth3");
	CHECK(addr_equal(&a.side, &b.side));
	CHECK_MEM(b.handle, a.handle, sizeof(a.handle));
	CHECK_MEM(b.token, a.token, sizeof(a.token));
	for (size_t n = 0; n <= sizeof(wire); n++)
		if (n != ADDRESS_BYTES)
			CHECK_STATUS(address_decode(wire, n, &b),
				     TCPX_EREFUSED);
	wire[0] ^= 1;
	CHECK_STATUS(address_decode(wire, ADDRESS_BYTES, &b), TCPX_EREFUSED);
}

static void pci_of_paths(void)
{
	char pci[16];

	adapt_pci("/sys/devices/pci0000:00/0000:00:01.0/0000:06:00.0", pci);
	CHECK_STR(pci, "0000:06:00.0");
	adapt_pci("/sys/devices/pci0000:00/0000:00:04.0/virtio1", pci);
	CHECK_STR(pci, "0000:00:04.0");
	adapt_pci("/nowhere/at/all", pci);
	CHECK_STR(pci, "");
	adapt_pci(NULL, pci);
	CHECK_STR(pci, "");
}

static void quirks(void)
{
	CHECK_EQ(plugin_quirks_of("GPUDirectTCPX_v7") & PLUGIN_CHECK_ENV,
		 PLUGIN_CHECK_ENV);
	CHECK_EQ(plugin_quirks_of("Socket"), 0);
	CHECK_EQ(plugin_quirks_of("GPUDirect"), 0);
}

/* ---- slots -------------------------------------------------------------- */

static int find_slot(const struct slots *slots, void *at, uint32_t len_bytes,
		     uint32_t *i)
{
	const struct chunk_desc desc = {.len_bytes = len_bytes};
	const struct span span = {at, len_bytes};

	return slots_find(slots, &desc, &span, 1, i);
}

static void slots_states(void)
{
	static uint8_t all[7 * 64]; /* with a hole between the two */
	uint8_t *mem = all, *host_mem = all + 4 * 64;
	struct slots slots;
	void *at, *first;
	uint32_t i;

	CHECK_STATUS(slots_init(&slots, 3, 64), TCPX_OK);
	slots_set(&slots, mem, host_mem);
	for (uint32_t k = 0; k < 3; k++) {
		CHECK_STATUS(slots_get(&slots, true, &at), TCPX_OK);
		CHECK(at == host_mem + k * 64);
		CHECK_STATUS(find_slot(&slots, at, 64, &i), TCPX_OK);
		CHECK_EQ(i, 3 + k);
	}
	CHECK_STATUS(slots_get(&slots, true, &at), TCPX_EAGAIN);
	CHECK_STATUS(slots_get(&slots, false, &first), TCPX_OK);
	CHECK(first == mem);
	CHECK_STATUS(find_slot(&slots, first, 0, &i), TCPX_EINVAL);
	CHECK_STATUS(find_slot(&slots, first, 65, &i), TCPX_EINVAL);
	CHECK_STATUS(find_slot(&slots, mem + 1, 8, &i), TCPX_EINVAL);
	CHECK_STATUS(find_slot(&slots, mem + 64, 8, &i), TCPX_EINVAL);
	CHECK_STATUS(find_slot(&slots, mem + 3 * 64, 8, &i), TCPX_EINVAL);
	CHECK_STATUS(find_slot(&slots, first, 64, &i), TCPX_OK);
	slots_post(&slots, i);
	CHECK_STATUS(find_slot(&slots, first, 64, &i), TCPX_EINVAL);
	slots_put(&slots, mem + 1);
	CHECK_STATUS(slots_get(&slots, false, &at), TCPX_OK);
	CHECK(at == mem + 64);
	slots_put(&slots, first);
	CHECK_STATUS(slots_get(&slots, false, &at), TCPX_OK);
	CHECK(at == first);
	slots_fini(&slots);
}

static bool pipe_is_blocked(void)
{
	sigset_t now;

	pthread_sigmask(SIG_BLOCK, NULL, &now);
	return sigismember(&now, SIGPIPE);
}

static void *shut_for_good(void *arg)
{
	sigmask_shut_pipe();
	CHECK(!sigpipe_enter());
	CHECK(pipe_is_blocked());
	return NULL;
}

/* For a moment, with what came meanwhile taken away; for good; and neither is
 * anything to other threads. */
static void sigpipe_shut(void)
{
	pthread_t thread;

	CHECK(sigpipe_enter());
	CHECK(pipe_is_blocked());
	CHECK(!sigpipe_enter());
	raise(SIGPIPE);
	sigpipe_leave(true);
	CHECK(!pipe_is_blocked());
	CHECK_EQ(pthread_create(&thread, NULL, shut_for_good, NULL), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK(!pipe_is_blocked());
	CHECK(!sigmask_pipe_is_shut());
}

/* ---- lists that a helper writes ---------------------------------------- */

struct entry {
	uint32_t src_off, dst_off, len_bytes;
};

static int take(const struct entry *entries, uint32_t n, uint32_t len_bytes)
{
	static struct transport_fragment fragments[NETPLUGIN_UNPACK_ENTRIES];
	static struct shared_list list;

	for (uint32_t i = 0; i < n && i < NETPLUGIN_UNPACK_ENTRIES; i++)
		list.entries[i] = (struct shared_entry){entries[i].src_off,
							entries[i].dst_off,
							entries[i].len_bytes};
	int rc = shared_take_list(&list, n, 65536, len_bytes, fragments);

	for (uint32_t i = 0; !rc && i < n; i++) {
		CHECK_EQ(fragments[i].src_off, entries[i].src_off);
		CHECK_EQ(fragments[i].dst_off, entries[i].dst_off);
		CHECK_EQ(fragments[i].len_bytes, entries[i].len_bytes);
	}
	return rc;
}

/* The pool has 65536 bytes; none of these is believed. */
static void lent_lists(void)
{
	static const struct {
		struct entry entries[2];
		uint32_t n, len_bytes;
		int rc;
	} tries[] = {
		{{{0, 0, 0}}, 0, 0, TCPX_OK},
		{{{61440, 0, 4096}}, 1, 4096, TCPX_OK},
		{{{0, 100, 50}, {65436, 0, 100}}, 2, 150, TCPX_OK},
		{{{0, 0, 65536}}, 1, 65536, TCPX_OK},
		{{{61441, 0, 4096}}, 1, 4096, TCPX_EPROTO},
		{{{UINT32_MAX, 0, 4096}}, 1, 4096, TCPX_EPROTO},
		{{{0, 0, UINT32_MAX}}, 1, UINT32_MAX, TCPX_EPROTO},
		{{{1, 0, 65536}}, 1, 65536, TCPX_EPROTO},
		{{{0, 0, 65537}}, 1, 65537, TCPX_EPROTO},
		{{{0, 1, 100}}, 1, 100, TCPX_EPROTO},
		{{{0, UINT32_MAX, 100}}, 1, 100, TCPX_EPROTO},
		{{{0, UINT32_MAX - 99, 100}}, 1, 100, TCPX_EPROTO},
		{{{0, 0, 100}, {200, 0, 0}}, 2, 100, TCPX_EPROTO},
		{{{0, 0, 100}, {200, 50, 100}}, 2, 150, TCPX_EPROTO},
		{{{0, 0, 100}}, 1, 150, TCPX_EPROTO},
		{{{0, 0, 200}}, 1, 150, TCPX_EPROTO},
		{{{0, 0, 0}}, 0, 1, TCPX_EPROTO},
	};

	for (size_t i = 0; i < sizeof(tries) / sizeof(*tries); i++)
		CHECK_STATUS(take(tries[i].entries, tries[i].n,
				  tries[i].len_bytes),
			     tries[i].rc);
}

static void lent_list_too_long(void)
{
	static struct entry entries[NETPLUGIN_UNPACK_ENTRIES + 1];
	uint32_t n = NETPLUGIN_UNPACK_ENTRIES;

	for (uint32_t i = 0; i <= n; i++)
		entries[i] = (struct entry){i, i, 1};
	CHECK_STATUS(take(entries, n, n), TCPX_OK);
	CHECK_STATUS(take(entries, n + 1, n + 1), TCPX_EPROTO);
	CHECK_STATUS(take(entries, UINT32_MAX, n), TCPX_EPROTO);
}

static const struct check_case cases[] = {
	{"lent_lists", lent_lists, 0},
	{"lent_list_too_long", lent_list_too_long, 0},
	{"defaults", defaults, 0},
	{"paths", paths, 0},
	{"bad_settings", bad_settings, 0},
	{"allowed_checks", allowed_checks, 0},
	{"preconditions", preconditions, 0},
	{"good_environment", good_environment, 0},
	{"daemon_sockets", daemon_sockets, 0},
	{"nic_crashes", nic_crashes, 0},
	{"telemetry_is_off", telemetry_is_off, 0},
	{"nic_is_bound", nic_is_bound, 0},
	{"set_for_plugin", set_for_plugin, 0},
	{"lists_good", lists_good, 0},
	{"lists_bad", lists_bad, 0},
	{"lists_random", lists_random, 0},
	{"addresses", addresses, 0},
	{"pci_of_paths", pci_of_paths, 0},
	{"quirks", quirks, 0},
	{"slots_states", slots_states, 0},
	{"sigpipe_shut", sigpipe_shut, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
