/* SPDX-License-Identifier: Apache-2.0 */
/* tcpx perf --self and tcpx raw: each option changes what it says it does. */
#include "check.h"
#include "cli/cli.h"
#include "cli/keys.h"

static json_int_t integer(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static double real(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static const char *string(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static bool is_null(const json_t *object, const char *key)
{
	return json_is_null(json_object_get(object, key));
}

/* What every case that held looks like, whatever was asked for. */
static void check_case(const json_t *one, bool checked)
{
	cli_keys(one, CASE_KEYS);
	CHECK(is_null(one, "failure"));
	CHECK_EQ(json_is_true(json_object_get(one, "checked")), checked);
	CHECK_EQ(json_is_true(json_object_get(one, "verified")), checked);
	CHECK_STR(string(one, "transport"), "socket");
	CHECK_EQ(integer(one, "bytes"),
		 integer(one, "segments") * integer(one, "segment_bytes"));
	CHECK(integer(one, "transfers") > 0);
	CHECK(real(one, "gigabytes_per_s") > 0);
	CHECK(real(one, "p50_us") > 0);
	CHECK(real(one, "p99_us") >= real(one, "p50_us"));
	CHECK(real(one, "cpu_s_per_gigabyte") > 0);
}

/* Runs `perf --self -j line`; its cases are checked. */
static json_t *perf(const char *line, bool checked)
{
	char all[512];
	struct cli cli;
	json_t *json;
	const json_t *one;
	size_t i;

	snprintf(all, sizeof(all), "perf --self --json %s", line);
	if (cli_run(&cli, all) != 0) {
		fprintf(stderr, "%s%s", cli.out.text, cli.err.text);
		check_fail(CHECK_AT, "tcpx %s: exit status %d", all,
			   cli.status);
	}
	cli_silent(&cli.err);
	json = cli_json(&cli);
	cli_keys(json, PERF_KEYS);
	cli_keys(json_object_get(json, "settings"), PERF_SETTINGS_KEYS);
	CHECK(json_is_true(json_object_get(json, "held")));
	json_array_foreach(json_object_get(json, "cases"), i, one)
		check_case(one, checked);
	CHECK(i > 0);
	cli_free(&cli);
	return json;
}

static const json_t *case_at(const json_t *json, size_t i)
{
	return json_array_get(json_object_get(json, "cases"), i);
}

/* One operation: a sweep, then pieces, many at a time, both ways, each with
 * the ceiling; then the default size, once. */
static void operation(const char *op)
{
	char line[256];
	json_t *json;

	snprintf(line, sizeof(line), "--op %s --size 1K:16K --count 8", op);
	json = perf(line, true);
	CHECK_EQ(json_array_size(json_object_get(json, "cases")), 5);
	for (size_t i = 0; i < 5; i++) {
		CHECK_EQ(integer(case_at(json, i), "bytes"), 1024ll << i);
		CHECK_STR(string(case_at(json, i), "op"), op);
		CHECK(is_null(case_at(json, i), "ratio"));
	}
	json_decref(json);
	snprintf(line, sizeof(line),
		 "--op %s --size 4K:16K --segments 100 --outstanding 5 "
		 "--both-directions --ceiling --count 10 --rounds 2",
		 op);
	json = perf(line, true);
	CHECK_EQ(json_array_size(json_object_get(json, "cases")), 3);
	for (size_t i = 0; i < 3; i++) {
		const json_t *one = case_at(json, i);

		CHECK_EQ(integer(one, "segments"), 100);
		CHECK_EQ(integer(one, "outstanding"), 5);
		CHECK_EQ(integer(one, "transfers"), 10);
		CHECK(json_is_true(json_object_get(one, "both_directions")));
		CHECK(real(one, "ceiling_gigabytes_per_s") > 0);
		CHECK(real(one, "ceiling_cpu_s_per_gigabyte") > 0);
		CHECK(real(one, "ratio") > 0);
		CHECK(is_null(one, "ceiling_p50_us"));
	}
	json_decref(json);
	snprintf(line, sizeof(line), "--op %s --count 1 --segments 1", op);
	json = perf(line, true);
	CHECK_EQ(integer(case_at(json, 0), "bytes"), 64 << 20);
	CHECK_EQ(integer(case_at(json, 0), "transfers"), 1);
	json_decref(json);
}

static void op_write(void)
{
	operation("write");
}

static void op_read(void)
{
	operation("read");
}

static void op_send(void)
{
	operation("send");
}

/* Sizes that are no multiple of anything. */
static void odd_sizes(void)
{
	static const int sizes[] = {1, 7, 63, 65, 4097, 1000003};
	static const char *const ops[] = {"write", "read", "send"};
	char line[128];
	json_t *json;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		snprintf(line, sizeof(line),
			 "--op %s --size %d --segments %d --count 3",
			 ops[i % 3], sizes[i], i % 2 ? 33 : 1);
		json = perf(line, true);
		CHECK_EQ(integer(case_at(json, 0), "segment_bytes"), sizes[i]);
		json_decref(json);
	}
}

static void notify(void)
{
	static const char *const waits[] = {"auto", "spin", "block"};
	char line[128];
	json_t *json;

	for (size_t i = 0; i < 3; i++) {
		const json_t *one;

		snprintf(line, sizeof(line),
			 "--notify --size 8:16 --wait %s --count 128 "
			 "--rounds 2 --ceiling",
			 waits[i]);
		json = perf(line, true);
		one = case_at(json, 1);
		CHECK_STR(string(one, "op"), "notify");
		CHECK_STR(string(one, "wait"), waits[i]);
		CHECK_EQ(integer(one, "bytes"), 16);
		CHECK(real(one, "ceiling_p50_us") > 0);
		CHECK(real(one, "ceiling_p99_us") >=
		      real(one, "ceiling_p50_us"));
		CHECK(real(one, "ratio") > 0);
		json_decref(json);
	}
}

/* That raw TCP slept while ours spun is said where it is so. */
static void notify_unlike(void)
{
	static const char *const lines[] = {
		"perf --self --notify --count 64 --ceiling",
		"perf --self --notify --count 64",
		"perf --self --notify --count 64 --ceiling --wait spin",
		"perf --self --notify --count 64 --ceiling --wait block",
	};
	struct cli cli;

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		CHECK_EQ(cli_run(&cli, lines[i]), 0);
		CHECK_EQ(!!strstr(cli.out.text, "\nraw TCP slept, "), i == 0);
		cli_fits(&cli.out, 80);
		cli_free(&cli);
	}
}

static void unverified(void)
{
	json_decref(perf("--no-verify --size 64K --count 4", false));
	/* the last one counts */
	json_decref(perf("--no-verify --verify --size 64K --count 4", true));
}

/* Settings reach the session, and the other process's. */
static void session_options(void)
{
	json_t *json = perf("--flows 3 --checksum --size 1M --count 4", true);
	const json_t *session =
		json_object_get(json_object_get(json, "settings"), "session");

	CHECK_EQ(integer(case_at(json, 0), "flows"), 3);
	CHECK_EQ(integer(session, "n_flows"), 3);
	CHECK(json_is_true(json_object_get(session, "checksum")));
	CHECK(!json_object_get(session, "secret"));
	json_decref(json);
	json = perf("--channels 2 --chunk 128K --window 5 --ifaces lo "
		    "--size 1M --count 4",
		    true);
	session = json_object_get(json_object_get(json, "settings"), "session");
	CHECK_EQ(integer(case_at(json, 0), "flows"), 2);
	CHECK_EQ(integer(session, "chunk_bytes"), 128 << 10);
	CHECK_EQ(integer(session, "window_chunks"), 5);
	json_decref(json);
	json = perf("--flows 1 --rails 1 --size 1M --count 4 --ceiling", true);
	CHECK_EQ(integer(case_at(json, 0), "flows"), 1);
	CHECK_EQ(integer(case_at(json, 0), "rails"), 1);
	json_decref(json);
}

/* More rails than there are. */
static void few_rails(void)
{
	struct cli cli;
	const json_t *one;
	json_t *json;

	CHECK_EQ(cli_run(&cli, "perf --self --json --rails 2 --size 4K "
			       "--count 1"),
		 0);
	json = cli_json(&cli);
	CHECK_EQ(json_array_size(json_object_get(json, "cut")), 1);
	one = json_array_get(json_object_get(json, "cut"), 0);
	CHECK_STR(string(one, "variable"), "TCPX_RAILS");
	CHECK_EQ(integer(one, "asked"), 2);
	CHECK_EQ(integer(one, "got"), 1);
	cli_says(&cli.err, "note: rails: 2 asked for, 1 got: no more networks "
			   "reach");
	cli_fits(&cli.err, 80);
	json_decref(json);
	cli_free(&cli);
}

static void durations(void)
{
	json_t *json = perf("--size 64K --duration 300ms --rounds 3 "
			    "--warmup 20",
			    true);
	const json_t *settings = json_object_get(json, "settings");

	CHECK(real(settings, "duration_s") > 0.29 &&
	      real(settings, "duration_s") < 0.31);
	CHECK_EQ(integer(settings, "rounds"), 3);
	CHECK_EQ(integer(settings, "warmup"), 20);
	CHECK_EQ(integer(settings, "count"), 0);
	CHECK(integer(case_at(json, 0), "transfers") >= 3);
	json_decref(json);
}

/* Both ends say what their NICs count; lo counts nothing. */
static void nic_counters(void)
{
	json_t *json = perf("--size 1M --count 2", true);
	const json_t *list = json_object_get(json, "nic_counters"), *one;
	size_t i;

	CHECK_EQ(json_array_size(list), 2);
	json_array_foreach(list, i, one)
	{
		cli_keys(one, "end:s ifname:s why:s? counters:a");
		CHECK_STR(string(one, "end"), i ? "there" : "here");
		CHECK_STR(string(one, "ifname"), "lo");
		CHECK_STR(string(one, "why"),
			  "no devmem counters (rx_devmem_pkts) on lo");
		CHECK_EQ(json_array_size(json_object_get(one, "counters")), 0);
	}
	CHECK(is_null(json, "devmem_packets"));
	json_decref(json);
}

static json_t *single(const char *line, int status)
{
	char all[256];
	struct cli cli;
	json_t *json;

	snprintf(all, sizeof(all), "perf --self --single --json %s", line);
	CHECK_EQ(cli_run(&cli, all), status);
	json = cli_json(&cli);
	cli_keys(json, SINGLE_KEYS);
	CHECK_STR(string(json, "transport"), "socket");
	CHECK_EQ(json_is_true(json_object_get(json, "held")), !status);
	CHECK_EQ(json_is_true(json_object_get(json, "verified")), !status);
	cli_free(&cli);
	return json;
}

/* One message, by a channel and not in the request, however small. */
static void one_message(void)
{
	static const char *const ops[] = {"write", "read", "send"};
	char line[64];
	json_t *json;

	for (size_t i = 0; i < 3; i++) {
		snprintf(line, sizeof(line), "--op %s --size %d", ops[i],
			 i ? 4096 : 1);
		json = single(line, 0);
		CHECK_STR(string(json, "op"), ops[i]);
		CHECK_EQ(integer(json, "bytes"), i ? 4096 : 1);
		CHECK(real(json, "took_us") > 0);
		CHECK(is_null(json, "failed_at"));
		CHECK_EQ(integer(json_object_get(json_object_get(json, "path"),
						 "limits"),
				 "small_bytes"),
			 0);
		json_decref(json);
	}
}

/* Where it broke, in words, and what to look at. */
static void one_message_fails(void)
{
	struct cli cli;
	json_t *json;

	setenv("TCPX_GPU", "host", 1);
	json = single("--peer-mem gpu:63", 1);
	CHECK_STR(string(json, "failed_at"), "memory");
	CHECK(strstr(string(json, "failure"), "no GPU 63 here"));
	CHECK(is_null(json, "took_us"));
	json_decref(json);
	CHECK_EQ(cli_run(&cli, "perf --self --single --peer-mem gpu:63"), 1);
	cli_says(&cli.out, "BROKE: WRITE 4K host>gpu:63, memory (socket): ");
	cli_says_not(&cli.out, "by socket: ");
	cli_free(&cli);
	setenv("TCPX_GPU_HOST_FAULT", "break:1", 1);
	json = single("--mem gpu:0", 1);
	CHECK_STR(string(json, "failed_at"), "transfer");
	CHECK(strstr(string(json, "failure"), "GPU"));
	json_decref(json);
	CHECK_EQ(cli_run(&cli, "perf --self --single --mem gpu:0"), 1);
	cli_says(&cli.out, "BROKE: WRITE 4K gpu:0>host, transfer (socket): ");
	cli_says(&cli.out, "the connection stands; ");
	cli_says(&cli.out, "by socket: ");
	cli_fits(&cli.out, 80);
	cli_free(&cli);
	setenv("TCPX_SECRET", "s", 1);
	setenv("TCPX_CONNECT_TIMEOUT_MS", "500", 1);
	CHECK_EQ(cli_run(&cli, "perf 127.0.0.1:20997 --single"), 3);
	cli_says(&cli.err, "no tcpx perf serves there");
	cli_free(&cli);
}

/* Every point of the grid, the best one named; settings are the point's. */
static void sweep(void)
{
	const json_t *points, *one;
	struct cli cli;
	json_t *json;
	double best = 0;
	size_t i;

	CHECK_EQ(cli_run(&cli, "perf --self --json --sweep=chunk=64K,128K "
			       "--sweep=channels=1,2 --size 256K --count 4 "
			       "--window 9"),
		 0);
	json = cli_json(&cli);
	cli_keys(json, "settings:o? points:a best:i? held:b");
	cli_keys(json_object_get(json, "settings"), PERF_SETTINGS_KEYS);
	points = json_object_get(json, "points");
	CHECK_EQ(json_array_size(points), 4);
	json_array_foreach(points, i, one)
	{
		cli_keys(one, SWEEP_POINT_KEYS);
		check_case(json_object_get(one, "case"), true);
		CHECK_EQ(integer(one, "chunk_bytes"),
			 i / 2 ? 128 << 10 : 64 << 10);
		CHECK_EQ(integer(one, "channels"), 1 + i % 2);
		CHECK_EQ(integer(one, "window_chunks"), 9);
		CHECK_EQ(integer(json_object_get(one, "case"), "flows"),
			 1 + i % 2);
		if (real(json_object_get(one, "case"), "gigabytes_per_s") >
		    best)
			best = real(json_object_get(one, "case"),
				    "gigabytes_per_s");
	}
	one = json_array_get(points, (size_t)integer(json, "best"));
	CHECK(real(json_object_get(one, "case"), "gigabytes_per_s") == best);
	json_decref(json);
	cli_free(&cli);
	CHECK_EQ(cli_run(&cli, "perf --self --sweep=window --size 64K "
			       "--count 4"),
		 0);
	cli_says(&cli.out, "3 points\n");
	cli_says(&cli.out, "* best: --window ");
	cli_fits(&cli.out, 80);
	cli_silent(&cli.err);
	cli_free(&cli);
}

/* Points that cannot be measured say why, each. */
static void sweep_fails(void)
{
	struct cli cli;

	setenv("TCPX_SECRET", "s", 1);
	setenv("TCPX_CONNECT_TIMEOUT_MS", "300", 1);
	CHECK_EQ(cli_run(&cli, "perf 127.0.0.1:20996 --sweep=window=4,8"), 3);
	cli_says(&cli.out, "failed: cannot connect to 127.0.0.1:20996");
	cli_says(&cli.out, "2 points\n");
	cli_says_not(&cli.out, "best");
	cli_fits(&cli.out, 80);
	cli_free(&cli);
}

static void seeds(void)
{
	json_t *json = perf("--size 4K --count 1 --seed 12345", true);

	CHECK_EQ(integer(json_object_get(json, "settings"), "seed"), 12345);
	CHECK_EQ(integer(case_at(json, 0), "seed"), 12345);
	json_decref(json);
}

/* An older program's variables give the defaults. */
static void variables(void)
{
	json_t *json;

	setenv("UCCL_TCPX_PERF_SIZE", "128K", 1);
	setenv("UCCL_TCPX_PERF_ITERS", "3", 1);
	json = perf("", true);
	CHECK_EQ(integer(case_at(json, 0), "bytes"), 128 << 10);
	CHECK_EQ(integer(case_at(json, 0), "transfers"), 3);
	json_decref(json);
	setenv("TCPX_PERF_SIZE", "256K", 1);
	setenv("TCPX_PERF_ITERS", "4", 1);
	json = perf("", true);
	CHECK_EQ(integer(case_at(json, 0), "bytes"), 256 << 10);
	CHECK_EQ(integer(case_at(json, 0), "transfers"), 4);
	json_decref(json);
	json = perf("--size 4K --iters 2", true);
	CHECK_EQ(integer(case_at(json, 0), "bytes"), 4096);
	CHECK_EQ(integer(case_at(json, 0), "transfers"), 2);
	json_decref(json);
}

/* A table that fits a terminal, what it was made with in one line, and how
 * the bytes went; settings only if asked for. */
static void table(void)
{
	struct cli cli;

	CHECK_EQ(cli_run(&cli, "perf --self --size 1K:2K --segments 50 "
			       "--outstanding 3 --both-directions --ceiling "
			       "--count 6 --seed 77"),
		 0);
	cli_says(&cli.out, "seed 77");
	cli_says(&cli.out, "ratio  bytes\n");
	cli_says(&cli.out, "\nratio: median of the rounds' ratios");
	cli_says(&cli.out, "WRITE 50 x 2K (3 at a time) both ways");
	cli_says(&cli.out, "  verified\n");
	cli_says(&cli.out, "socket, rail 0: lo to 127.0.0.1:");
	cli_says(&cli.out, "by socket: ");
	cli_says_not(&cli.out, "not by loop");
	cli_says_not(&cli.out, "NIC counters");
	cli_says_not(&cli.out, "chunk_bytes");
	cli_fits(&cli.out, 80);
	cli_silent(&cli.err);
	cli_free(&cli);
	CHECK_EQ(cli_run(&cli, "perf --self -v --size 1K --count 1"), 0);
	cli_says(&cli.out, "chunk_bytes=0\n");
	cli_says(&cli.out, "NIC counters here: no devmem counters "
			   "(rx_devmem_pkts) on lo\n");
	cli_says(&cli.out, "NIC counters there: no devmem counters "
			   "(rx_devmem_pkts) on lo\n");
	cli_says(&cli.out, "not by loop: ");
	cli_says_not(&cli.out, "ratio:"); /* there is none */
	cli_free(&cli);
	CHECK_EQ(cli_run(&cli, "perf --self --no-verify --size 1K --count 1"),
		 0);
	cli_says(&cli.out, "  not checked\n");
	cli_free(&cli);
}

/* The pretend GPU: the same cases, in memory that only copies can reach. */
static void gpu_memory(void)
{
	static const char *const lines[] = {
		"--op write --mem gpu:0 --peer-mem gpu:1 --ceiling",
		"--op read --mem gpu:0 --peer-mem gpu:1",
		"--op send --mem gpu:0 --peer-mem gpu:1",
		"--op write --mem host --peer-mem gpu --both-directions",
		"--op read --mem gpu --peer-mem host --both-directions",
	};
	char line[256];
	json_t *json;

	setenv("TCPX_GPU", "host", 1);
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		const json_t *one;

		snprintf(line, sizeof(line),
			 "%s --size 3000 --segments %d --outstanding 2 "
			 "--count 6",
			 lines[i], i % 2 ? 1 : 200);
		json = perf(line, true);
		one = case_at(json, 0);
		CHECK_STR(string(one, "mem"), i == 3 ? "host" : "gpu:0");
		CHECK_STR(string(one, "peer_mem"), i == 4 ? "host" :
						   i == 3 ? "gpu:0" :
							    "gpu:1");
		json_decref(json);
	}
	json = perf("--notify --mem gpu:0 --peer-mem gpu:0 --count 64", true);
	CHECK_STR(string(case_at(json, 0), "op"), "notify");
	json_decref(json);
}

/* The drawing has the memory that was in use at each end. */
static void gpu_drawing(void)
{
	static const char *const lines[][3] = {
		{"--mem gpu:0 --peer-mem gpu:1", "] gpu:0 memory\n        |",
		 "] gpu:1 memory\n\n"},
		{"--peer-mem gpu:1 --single", "] host memory\n        |",
		 "] gpu:1 memory\n\n"},
		{"--mem gpu --op read", "] gpu:0 memory\n        |",
		 "] host memory\n\n"},
	};
	char line[128];
	struct cli cli;

	setenv("TCPX_GPU", "host", 1);
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		snprintf(line, sizeof(line), "perf --self --size 4K%s %s",
			 strstr(lines[i][0], "single") ? "" : " --count 2",
			 lines[i][0]);
		CHECK_EQ(cli_run(&cli, line), 0);
		cli_says(&cli.out, lines[i][1]);
		cli_says(&cli.out, lines[i][2]);
		cli_says(&cli.out, "NIC counters there: no devmem counters ");
		cli_free(&cli);
	}
}

/* Which GPU is missing at which end, and why. */
static void gpu_missing(void)
{
	struct cli cli;

	setenv("TCPX_GPU", "off", 1);
	CHECK_EQ(cli_run(&cli, "perf --self --mem gpu:0"), 3);
	cli_says(&cli.err, "--mem: no GPU 0 here: ");
	cli_silent(&cli.out);
	cli_free(&cli);
	setenv("TCPX_GPU", "host", 1);
	CHECK_EQ(cli_run(&cli, "perf --self --mem cuda:0"), 3);
	cli_says(&cli.err, "GPU 0 is not CUDA's");
	cli_free(&cli);
	CHECK_EQ(cli_run(&cli, "perf --self --peer-mem gpu:63"), 3);
	cli_says(&cli.err, "--peer-mem: the other end: no GPU 63 here");
	cli_silent(&cli.out);
	cli_free(&cli);
}

static void raw_stream(void)
{
	struct cli cli;
	json_t *json;

	CHECK_EQ(cli_run(&cli, "raw -j --flows 2 --size 1M --io 64K "
			       "--duration 200ms --rounds 2"),
		 0);
	json = cli_json(&cli);
	cli_keys(json, "op:s flows:i bytes:i spin:b gigabytes_per_s:n "
		       "p50_us:n? p99_us:n?");
	CHECK_STR(string(json, "op"), "stream");
	CHECK_EQ(integer(json, "flows"), 2);
	CHECK_EQ(integer(json, "bytes"), 1 << 20);
	CHECK(real(json, "gigabytes_per_s") > 0);
	CHECK(is_null(json, "p50_us"));
	json_decref(json);
	cli_free(&cli);
	CHECK_EQ(cli_run(&cli, "raw --size 64K --duration 100ms"), 0);
	cli_says(&cli.out, "GB/s (median of 5)");
	cli_free(&cli);
}

static void raw_pingpong(void)
{
	struct cli cli;
	json_t *json;

	CHECK_EQ(cli_run(&cli, "raw --json --pingpong --spin --duration 100ms "
			       "--rounds 2"),
		 0);
	json = cli_json(&cli);
	CHECK_STR(string(json, "op"), "pingpong");
	CHECK_EQ(integer(json, "bytes"), 8);
	CHECK(json_is_true(json_object_get(json, "spin")));
	CHECK(real(json, "p99_us") >= real(json, "p50_us"));
	CHECK(real(json, "p50_us") > 0);
	json_decref(json);
	cli_free(&cli);
}

static const struct check_case cases[] = {
	{"op_write", op_write, 60},
	{"op_read", op_read, 60},
	{"op_send", op_send, 60},
	{"odd_sizes", odd_sizes, 60},
	{"notify", notify, 60},
	{"notify_unlike", notify_unlike, 60},
	{"unverified", unverified, 0},
	{"session_options", session_options, 0},
	{"few_rails", few_rails, 0},
	{"durations", durations, 0},
	{"nic_counters", nic_counters, 0},
	{"one_message", one_message, 0},
	{"one_message_fails", one_message_fails, 0},
	{"sweep", sweep, 60},
	{"sweep_fails", sweep_fails, 60},
	{"seeds", seeds, 0},
	{"variables", variables, 0},
	{"table", table, 60},
	{"gpu_memory", gpu_memory, 60},
	{"gpu_drawing", gpu_drawing, 0},
	{"gpu_missing", gpu_missing, 0},
	{"raw_stream", raw_stream, 0},
	{"raw_pingpong", raw_pingpong, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
