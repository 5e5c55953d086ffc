/* SPDX-License-Identifier: Apache-2.0 */
/* The command over the transport netplugin: a stand-in for the plugin, in a
 * helper process whose pages are on the pretend GPU. */
#include "check.h"
#include "cli/cli.h"
#include "cli/keys.h"

#define BROKE 1
#define SETUP 3

static void set_up(void)
{
	setenv("TCPX_GPU", "host", 1);
	setenv("TCPX_GPU_HOST_DEVICES", "1", 1);
	setenv("TCPX_NETPLUGIN_PATH", getenv("TEST_DOUBLE"), 1);
	setenv("TCPX_NETPLUGIN_HELPER", getenv("TEST_HELPER"), 1);
	setenv("TCPX_NETPLUGIN_ALLOW", "loopback,daemon,pci,numa", 1);
	setenv("TCPX_NETPLUGIN_MAP", "0=lo", 1);
	setenv("DOUBLE_MEMORY", ":double_on_pretend_gpu", 1);
	setenv("NCCL_GPUDIRECTTCPX_SOCKET_IFNAME", "lo", 1);
	setenv("NCCL_GPUDIRECTTCPX_PROGRAM_FLOW_STEERING_WAIT_MICROS", "2000",
	       1);
}

static const char *string(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static json_int_t integer(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static json_t *run(const char *line, int status)
{
	struct cli cli;
	json_t *json;

	if (cli_run(&cli, line) != status) {
		fprintf(stderr, "%s%s", cli.out.text, cli.err.text);
		check_fail(CHECK_AT, "tcpx %s: exit status %d", line,
			   cli.status);
	}
	json = cli_json(&cli);
	cli_free(&cli);
	return json;
}

#define PAIR "--mem gpu:0 --peer-mem gpu:0 "

/* One message says whether the plugin carries bytes at all. */
static void single(void)
{
	json_t *json;

	set_up();
	json = run("perf --self --single --json --transport netplugin " PAIR,
		   0);
	cli_keys(json, SINGLE_KEYS);
	CHECK_STR(string(json, "transport"), "netplugin");
	CHECK_EQ(integer(json, "bytes"), 4096);
	json_decref(json);
}

/* How often a line of it says that. */
static int n_times(const char *text, const char *what)
{
	int n = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}

/* For people: the pair in question, each way, and not all the others. */
static void single_is_short(void)
{
	struct cli cli;

	set_up();
	setenv("TCPX_GPU_HOST_DEVICES", "4", 1);
	setenv("TCPX_NETPLUGIN_MAP", "0=lo,1=lo,2=lo,3=lo", 1);
	CHECK_EQ(cli_run(&cli, "perf --self --single --channels 1 "
			       "--transport netplugin --mem gpu:1 "
			       "--peer-mem gpu:1"),
		 0);
	cli_says(&cli.out, "gpu:1>gpu:1 by netplugin");
	CHECK_EQ(n_times(cli.out.text, "] gpu:1 memory\n"), 4);
	CHECK_EQ(n_times(cli.out.text, "] "), 4);
	cli_says(&cli.out, "NIC counters there");
	cli_free(&cli);
	CHECK_EQ(cli_run(&cli, "perf --self --single --channels 1 --verbose "
			       "--transport netplugin --mem gpu:1 "
			       "--peer-mem gpu:1"),
		 0);
	CHECK(n_times(cli.out.text, "] host memory\n") > 0);
	cli_free(&cli);
}

/* What the older program was told by variables, over the plugin. */
static void older_names(void)
{
	const json_t *session, *one;
	json_t *json;

	set_up();
	setenv("UCCL_TCPX_PERF_SIZE", "1M", 1);
	setenv("UCCL_TCPX_PERF_ITERS", "6", 1);
	setenv("UCCL_TCPX_NUM_CHANNELS", "2", 1);
	setenv("UCCL_TCPX_WINDOW_SIZE", "8", 1);
	setenv("NCCL_P2P_NET_CHUNKSIZE", "131072", 1);
	json = run("perf --self --json --rounds 2 --transport netplugin " PAIR,
		   0);
	session = json_object_get(json_object_get(json, "settings"), "session");
	one = json_array_get(json_object_get(json, "cases"), 0);
	CHECK_STR(string(one, "transport"), "netplugin");
	CHECK(json_is_true(json_object_get(one, "verified")));
	CHECK_EQ(integer(one, "bytes"), 1 << 20);
	CHECK_EQ(integer(one, "transfers"), 6);
	CHECK_EQ(integer(one, "flows"), 2);
	CHECK_EQ(integer(session, "chunk_bytes"), 131072);
	CHECK_EQ(integer(session, "window_chunks"), 8);
	json_decref(json);
	json = run("perf --self --json --rounds 2 --transport netplugin "
		   "--channels 1 --chunk 256K --window 4 --size 512K "
		   "--iters 2 " PAIR,
		   0);
	session = json_object_get(json_object_get(json, "settings"), "session");
	one = json_array_get(json_object_get(json, "cases"), 0);
	CHECK_EQ(integer(one, "bytes"), 512 << 10);
	CHECK_EQ(integer(one, "flows"), 1);
	CHECK_EQ(integer(session, "chunk_bytes"), 256 << 10);
	CHECK_EQ(integer(session, "window_chunks"), 4);
	json_decref(json);
}

/* Ranks talk by sockets, and measure what was asked for. */
static void mesh(void)
{
	struct cli ranks[2];
	const json_t *one;
	char line[256];
	json_t *json;
	size_t i;

	set_up();
	setenv("TCPX_SECRET", "a secret", 1);
	for (int rank = 1; rank >= 0; rank--) {
		snprintf(line, sizeof(line),
			 "mesh --json --rank %d --ranks 2 --root 127.0.0.1:%d "
			 "--transport netplugin --channels 2 --size 1M "
			 "--iters 3",
			 rank, 29000 + getpid() % 1000);
		cli_start(&ranks[rank], line);
	}
	for (int rank = 0; rank < 2; rank++) {
		cli_end(&ranks[rank]);
		CHECK_EQ(ranks[rank].status, 0);
	}
	json = cli_json(&ranks[0]);
	cli_keys(json, MESH_KEYS);
	json_array_foreach(json_object_get(json, "pairs"), i, one)
	{
		CHECK_STR(string(one, "transport"), "netplugin");
		CHECK(json_is_true(json_object_get(one, "verified")));
	}
	CHECK_EQ(i, 2);
	json_decref(json);
	cli_free(&ranks[0]);
	cli_free(&ranks[1]);
}

/* A process a GPU, all GPUs visible to each: a helper process for its own, and
 * for no other. */
static void mesh_a_process_a_gpu(void)
{
	char line[128], number[2] = "0", own[32], other[32];
	struct cli ranks[2];

	set_up();
	setenv("TCPX_SECRET", "a secret", 1);
	setenv("TCPX_GPU_HOST_DEVICES", "2", 1);
	setenv("TCPX_NETPLUGIN_MAP", "0=lo,1=lo", 1);
	setenv("TCPX_LOG_LEVEL", "info", 1);
	setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
	setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "2", 1);
	snprintf(line, sizeof(line),
		 "mesh --all --json --root 127.0.0.1:%d --transport netplugin "
		 "--channels 1 --size 1M --iters 1",
		 28000 + getpid() % 1000);
	for (int rank = 1; rank >= 0; rank--) {
		number[0] = (char)('0' + rank);
		setenv("OMPI_COMM_WORLD_RANK", number, 1);
		setenv("OMPI_COMM_WORLD_LOCAL_RANK", number, 1);
		cli_start(&ranks[rank], line);
	}
	for (int rank = 0; rank < 2; rank++) {
		cli_end(&ranks[rank]);
		CHECK_EQ(ranks[rank].status, 0);
		snprintf(own, sizeof(own), "GPU %d: helper process", rank);
		snprintf(other, sizeof(other), "GPU %d: helper process", !rank);
		CHECK(strstr(ranks[rank].err.text, own));
		CHECK(!strstr(ranks[rank].err.text, other));
		cli_free(&ranks[rank]);
	}
}

/* Where it is open, nothing keeps it out. */
static void info(void)
{
	const json_t *one = NULL, *check;
	json_t *json;
	size_t i, k;

	set_up();
	json = run("info --json --transport netplugin", 0);
	json_array_foreach(json_object_get(json, "transports"), i, one)
	{
		if (!strcmp(string(one, "transport"), "netplugin"))
			break;
	}
	CHECK(one);
	CHECK(json_is_true(json_object_get(one, "open")));
	json_array_foreach(json_object_get(one, "checks"), k, check)
		CHECK(json_is_true(json_object_get(check, "holds")));
	CHECK(k > 10);
	json_decref(json);
}

/* Nobody knows where a GPU is at home: said, with both ways out, and each of
 * them taken. A transport whose every rail is refused is not said to be used. */
static void info_homes(void)
{
	struct cli cli;

	set_up();
	unsetenv("TCPX_NETPLUGIN_MAP");
	CHECK_EQ(cli_run(&cli, "info --transport netplugin,socket"), 0);
	cli_says(&cli.out, "\n  netplugin    open, but no rail of it works\n");
	cli_says(&cli.out, "    home-nic: no interface is near GPU 0");
	cli_says(&cli.out, "TCPX_NETPLUGIN_MAP=0=INTERFACE");
	cli_free(&cli);
	/* The GPUs of another process, and none of this one. */
	setenv("TCPX_NETPLUGIN_MAP", "1=lo,0000:04:00.0=lo", 1);
	CHECK_EQ(cli_run(&cli, "info --transport netplugin,socket"), 0);
	cli_says(&cli.out, "    settings: TCPX_NETPLUGIN_MAP names none of");
	cli_says_not(&cli.out, "\n  netplugin    in use\n");
	cli_free(&cli);
	/* One for all processes of the host. */
	setenv("TCPX_NETPLUGIN_MAP", "0=lo,1=lo,7=eth9", 1);
	CHECK_EQ(cli_run(&cli, "info --transport netplugin,socket"), 0);
	cli_says(&cli.out, "\n  netplugin    in use\n");
	cli_free(&cli);
	unsetenv("TCPX_NETPLUGIN_MAP");
	setenv("TCPX_NETPLUGIN_ALLOW", "loopback,daemon,pci,numa,home-nic", 1);
	CHECK_EQ(cli_run(&cli, "info --transport netplugin,socket"), 0);
	cli_says(&cli.out, "\n  netplugin    in use\n");
	cli_says_not(&cli.out, "    home-nic: ");
	cli_free(&cli);
	json_decref(run(
		"perf --self --single --json --transport netplugin " PAIR, 0));
}

/* No plugin there, and nothing else allowed: what was tried. */
static void no_plugin(void)
{
	struct cli cli;

	set_up();
	setenv("TCPX_NETPLUGIN_PATH", "/nowhere/libnccl-net.so", 1);
	CHECK_EQ(cli_run(&cli, "perf --self --single --transport netplugin"),
		 SETUP);
	cli_says(&cli.err, "/nowhere/libnccl-net.so: No such file");
	cli_silent(&cli.out);
	cli_free(&cli);
	/* with sockets allowed it is them, and why */
	CHECK_EQ(cli_run(&cli, "perf --self --single "
			       "--transport netplugin,socket"),
		 0);
	cli_says(&cli.out, "by socket in");
	cli_says(&cli.err, "/nowhere/libnccl-net.so: No such file");
	cli_free(&cli);
}

/* A plugin is started once a process; each point has its own. */
static void sweep(void)
{
	const json_t *one;
	json_t *json;
	size_t i;

	set_up();
	json = run("perf --self --json --sweep=channels=1,2 "
		   "--sweep=window=4,16 --transport netplugin --size 1M "
		   "--count 2 " PAIR,
		   0);
	json_array_foreach(json_object_get(json, "points"), i, one)
	{
		CHECK_STR(string(json_object_get(one, "case"), "transport"),
			  "netplugin");
		CHECK_EQ(integer(json_object_get(one, "case"), "flows"),
			 1 + i % 2);
	}
	CHECK_EQ(i, 2 * 2); /* channels x window */
	json_decref(json);
}

static const struct check_case cases[] = {
	{"single", single, 60},
	{"single_is_short", single_is_short, 60},
	{"older_names", older_names, 60},
	{"sweep", sweep, 60},
	{"mesh", mesh, 60},
	{"mesh_a_process_a_gpu", mesh_a_process_a_gpu, 60},
	{"info", info, 60},
	{"info_homes", info_homes, 60},
	{"no_plugin", no_plugin, 60},
};

int main(int argc, char **argv)
{
	if (!getenv("TEST_DOUBLE") || !getenv("TEST_HELPER")) {
		printf("1..0 # SKIP TEST_DOUBLE and TEST_HELPER are not set\n");
		return 0;
	}
	return CHECK_RUN(cases, argc, argv);
}
