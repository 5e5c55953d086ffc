/* SPDX-License-Identifier: Apache-2.0 */
/* What the command says when it only says something: help, settings,
 * versions, and complaints about its command line and environment. */
#include "check.h"
#include "support/proc.h"
#include "cli/cli.h"

#define USAGE 2
#define SETUP 3

static void no_command(void)
{
	struct cli cli;

	CHECK_EQ(cli_run(&cli, ""), USAGE);
	cli_says(&cli.err, "Usage: tcpx COMMAND");
	cli_silent(&cli.out);
	cli_free(&cli);
}

static void unknown_command(void)
{
	struct cli cli;

	CHECK_EQ(cli_run(&cli, "demmo"), USAGE);
	cli_says(&cli.err, "no command \"demmo\"");
	cli_free(&cli);
	CHECK_EQ(cli_run(&cli, "help demmo"), USAGE);
	cli_says(&cli.err, "no command \"demmo\"");
	cli_free(&cli);
}

/* A command's help is on stdout, has examples, and fits a terminal. */
static void help(void)
{
	static const char *const lines[] = {
		"--help",	"help",	      "demo --help", "perf --help",
		"mesh --help",	"raw --help", "info --help", "config --help",
		"perf --usage", "help perf",  "help nixl",   "version --help",
	};
	struct cli cli;

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		CHECK_EQ(cli_run(&cli, lines[i]), 0);
		cli_says(&cli.out, "Usage:");
		if (!strstr(lines[i], "usage"))
			cli_says(&cli.out, "Examples:");
		cli_fits(&cli.out, 80);
		cli_silent(&cli.err);
		cli_free(&cli);
	}
}

static void version(void)
{
	static const char *const lines[] = {"version", "--version", "-V"};
	struct cli cli;
	json_t *json;

	for (size_t i = 0; i < 3; i++) {
		CHECK_EQ(cli_run(&cli, lines[i]), 0);
		CHECK(!strncmp(cli.out.text, "tcpx ", 5));
		cli_free(&cli);
	}
	CHECK_EQ(cli_run(&cli, "version --json"), 0);
	json = cli_json(&cli);
	cli_keys(json, "version:s");
	json_decref(json);
	cli_free(&cli);
}

/* What is allowed of TCPX_TRANSPORTS, in the library's words: all there are,
 * which may be more some day. The number of them. */
static size_t allowed_transports(char *text, size_t cap_bytes)
{
	struct cli cli;
	size_t n = 1, i;
	const json_t *one;
	json_t *json;

	CHECK_EQ(cli_run(&cli, "config --json"), 0);
	json = cli_json(&cli);
	json_array_foreach(json_object_get(json, "settings"), i, one)
	{
		if (!strcmp(json_string_value(json_object_get(one, "variable")),
			    "TCPX_TRANSPORTS"))
			snprintf(text, cap_bytes, "allowed: %s",
				 json_string_value(
					 json_object_get(one, "allowed")));
	}
	json_decref(json);
	cli_free(&cli);
	CHECK(strstr(text, "socket") && strstr(text, "; several by commas"));
	for (const char *comma = text; (comma = strstr(comma, ", ")); comma++)
		n++;
	return n;
}

/* ---- config ------------------------------------------------------------ */

static json_t *settings_of(struct cli *cli, const char *line)
{
	json_t *json;

	CHECK_EQ(cli_run(cli, line), 0);
	json = cli_json(cli);
	cli_keys(json, "settings:a");
	return json;
}

static const json_t *setting(const json_t *json, const char *variable)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(json, "settings"), i, one)
	{
		if (!strcmp(variable, json_string_value(json_object_get(
					      one, "variable"))))
			return one;
	}
	check_fail(CHECK_AT, "no setting %s", variable);
	return NULL;
}

static void config_json(void)
{
	struct cli cli;
	const json_t *one;
	json_t *json;
	size_t i;

	setenv("TCPX_FLOWS", "3", 1);
	json = settings_of(&cli, "config --json");
	CHECK(json_array_size(json_object_get(json, "settings")) > 20);
	json_array_foreach(json_object_get(json, "settings"), i, one)
	{
		/* value and default are of any type */
		CHECK(json_object_get(one, "value"));
		CHECK(json_object_get(one, "default"));
		json_object_del((json_t *)(uintptr_t)one, "value");
		json_object_del((json_t *)(uintptr_t)one, "default");
		cli_keys(one, "name:s variable:s aliases:a here:i? allowed:s "
			      "source:s from:s? help:s");
	}
	CHECK_STR(json_string_value(json_object_get(setting(json, "TCPX_FLOWS"),
						    "source")),
		  "environment");
	CHECK_STR(json_string_value(json_object_get(setting(json, "TCPX_RAILS"),
						    "source")),
		  "default");
	json_decref(json);
	cli_free(&cli);
}

static void config_values(void)
{
	struct cli cli;
	json_t *json;

	setenv("TCPX_FLOWS", "3", 1);
	json = settings_of(&cli, "config -j --rails 2 --flows 5");
	CHECK_EQ(json_integer_value(
			 json_object_get(setting(json, "TCPX_FLOWS"), "value")),
		 5);
	CHECK_EQ(json_integer_value(
			 json_object_get(setting(json, "TCPX_RAILS"), "value")),
		 2);
	json_decref(json);
	cli_free(&cli);
}

static void says_from(const json_t *json, const char *variable,
		      json_int_t value, const char *source, const char *from)
{
	const json_t *one = setting(json, variable);

	CHECK_EQ(json_integer_value(json_object_get(one, "value")), value);
	CHECK_STR(json_string_value(json_object_get(one, "source")), source);
	if (from)
		CHECK_STR(json_string_value(json_object_get(one, "from")),
			  from);
	else
		CHECK(json_is_null(json_object_get(one, "from")));
}

/* Option, own name, older name, last resort: the first of them that is there
 * counts, and is named. */
static void config_precedence(void)
{
	struct cli cli;
	json_t *json;

	setenv("NCCL_P2P_NET_CHUNKSIZE", "131072", 1);
	json = settings_of(&cli, "config -j");
	says_from(json, "TCPX_CHUNK_BYTES", 131072, "environment",
		  "NCCL_P2P_NET_CHUNKSIZE");
	json_decref(json);
	cli_free(&cli);
	setenv("UCCL_TCPX_CHUNK_BYTES", "262144", 1);
	setenv("UCCL_TCPX_NUM_CHANNELS", "3", 1);
	setenv("UCCL_TCPX_WINDOW_SIZE", "12", 1);
	json = settings_of(&cli, "config -j");
	says_from(json, "TCPX_CHUNK_BYTES", 262144, "environment",
		  "UCCL_TCPX_CHUNK_BYTES");
	says_from(json, "TCPX_FLOWS", 3, "environment",
		  "UCCL_TCPX_NUM_CHANNELS");
	says_from(json, "TCPX_WINDOW_CHUNKS", 12, "environment",
		  "UCCL_TCPX_WINDOW_SIZE");
	json_decref(json);
	cli_free(&cli);
	setenv("TCPX_CHUNK_BYTES", "1M", 1);
	json = settings_of(&cli, "config -j");
	says_from(json, "TCPX_CHUNK_BYTES", 1 << 20, "environment",
		  "TCPX_CHUNK_BYTES");
	json_decref(json);
	cli_free(&cli);
	json = settings_of(&cli, "config -j --chunk 64K --channels 5 "
				 "--window 7");
	says_from(json, "TCPX_CHUNK_BYTES", 65536, "program", NULL);
	says_from(json, "TCPX_FLOWS", 5, "program", NULL);
	says_from(json, "TCPX_WINDOW_CHUNKS", 7, "program", NULL);
	json_decref(json);
	cli_free(&cli);
	CHECK_EQ(cli_run(&cli, "config --window 7"), 0);
	cli_says(&cli.out, "set by its older name UCCL_TCPX_NUM_CHANNELS");
	cli_says(&cli.out, "7               option      TCPX_WINDOW_CHUNKS");
	cli_fits(&cli.out, 80);
	cli_free(&cli);
	setenv("TCPX_NETPLUGIN_MAP", "0=eth1", 1);
	setenv("UCCL_TCPX_PLUGIN_PATH", "/x.so", 1);
	CHECK_EQ(cli_run(&cli, "config"), 0);
	cli_says(&cli.out, "0=eth1          environment TCPX_NETPLUGIN_MAP\n");
	cli_says(&cli.out, "set by its older name UCCL_TCPX_PLUGIN_PATH");
	cli_fits(&cli.out, 80);
	cli_free(&cli);
}

/* For people: all of them, no line wider than a terminal. */
static void config_text(void)
{
	struct cli json_cli, cli;
	json_t *json = settings_of(&json_cli, "config --json");
	const json_t *one;
	size_t i;

	CHECK_EQ(cli_run(&cli, "config"), 0);
	cli_fits(&cli.out, 80);
	json_array_foreach(json_object_get(json, "settings"), i, one) cli_says(
		&cli.out, json_string_value(json_object_get(one, "variable")));
	cli_says(&cli.out, "chunk_bytes          0 (512K here)   default     ");
	cli_says(&cli.out, "n_flows              0 (");
	cli_says(&cli.out, "n_workers            -1 (");
	cli_says(&cli.out, "allowed: 0, 64K to 4M");
	cli_says(&cli.out, "netplugin_window     16              default     "
			   "TCPX_NETPLUGIN_WINDOW\n");
	json_decref(json);
	cli_free(&json_cli);
	cli_free(&cli);
}

static void config_secret(void)
{
	struct cli cli;

	setenv("TCPX_SECRET", "hush-hush", 1);
	CHECK_EQ(cli_run(&cli, "config"), 0);
	cli_says(&cli.out, "(hidden)");
	cli_says_not(&cli.out, "hush-hush");
	cli_free(&cli);
	CHECK_EQ(cli_run(&cli, "config --json"), 0);
	cli_says_not(&cli.out, "hush-hush");
	cli_free(&cli);
}

/* Named once, with what was probably meant; not fatal. */
static void config_unknown(void)
{
	struct cli cli;
	const char *first;

	setenv("TCPX_FLWS", "3", 1);
	CHECK_EQ(cli_run(&cli, "config"), 0);
	cli_says(&cli.err, "TCPX_FLWS");
	cli_says(&cli.err, "did you mean TCPX_FLOWS");
	cli_free(&cli);
	CHECK_EQ(cli_run(&cli, "perf --self --size 4K --count 1"), 0);
	first = strstr(cli.err.text, "TCPX_FLWS");
	CHECK(first && !strstr(first + 1, "TCPX_FLWS"));
	cli_free(&cli);
	setenv("TCPX_PERF_SISE", "4K", 1);
	setenv("TCPX_NETPLUGIN_STALL", "4", 1);
	CHECK_EQ(cli_run(&cli, "config"), 0);
	cli_says(&cli.err, "TCPX_PERF_SISE; did you mean TCPX_PERF_SIZE\n");
	cli_says(&cli.err, "did you mean TCPX_NETPLUGIN_STALL_MS\n");
	cli_free(&cli);
}

/* Every command says which variable, its value and what is allowed, once,
 * and does not claim to go on. */
static void bad_variables(void)
{
	char transports[256];
	const char *const bad[][3] = {
		{"TCPX_FLOWS", "99", "allowed: 0 to 16"},
		{"TCPX_FLOWS", "-1", "allowed: 0 to 16"},
		{"TCPX_WORKERS", "many", "allowed: -1 to 256"},
		{"TCPX_CHUNK_BYTES", "1000", "allowed: 0, 64K to 4M"},
		{"TCPX_CHUNK_BYTES", "1Q", "allowed: 0, 64K to 4M"},
		{"TCPX_PORT", "70000", "allowed: 0 (any free)"},
		{"TCPX_CHECKSUM", "maybe", "allowed: 1, yes"},
		{"TCPX_LOG_LEVEL", "loud", "allowed: none, error"},
		{"TCPX_LIVENESS_MS", "1", "allowed: 200 to"},
		{"TCPX_GPU", "hsot", "allowed: auto, cuda, host, off"},
		{"TCPX_TRANSPORTS", "sokcet", transports},
		{"TCPX_SOCKET_LEND_BYTES", "abc", "allowed: 0 to 1073741824"},
		{"TCPX_NETPLUGIN_WINDOW", "17", "allowed: 1 to 16"},
	};
	static const char *const lines[] = {"config", "info --json",
					    "perf --self", "demo", "perf"};
	char value[64];
	struct cli cli;

	allowed_transports(transports, sizeof(transports));

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		setenv(bad[i][0], bad[i][1], 1);
		CHECK_EQ(cli_run(&cli, lines[i % 5]), SETUP);
		snprintf(value, sizeof(value), "%s is \"%s\"", bad[i][0],
			 bad[i][1]);
		cli_says(&cli.err, value);
		cli_says(&cli.err, bad[i][2]);
		cli_says_not(&cli.err, "using");
		CHECK(!strstr(strchr(cli.err.text, '\n'), "error"));
		if (i % 5)
			cli_silent(&cli.out);
		cli_free(&cli);
		unsetenv(bad[i][0]);
	}
}

/* All that is wrong, names that nobody knows beside values that nobody could
 * have; config shows the good ones all the same. */
static void all_variables(void)
{
	static const char *const lines[] = {"config", "config --json",
					    "info --json", "perf --self"};
	struct cli cli;

	setenv("TCPX_FLOW", "3", 1);
	setenv("TCPX_FOO", "3", 1);
	setenv("TCPX_WORKERS", "zz", 1);
	setenv("TCPX_LIVENESS_MS", "1", 1);
	setenv("TCPX_RAILS", "2", 1);
	setenv("NCCL_P2P_NET_CHUNKSIZE", "1", 1);
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		CHECK_EQ(cli_run(&cli, lines[i]), SETUP);
		cli_says(&cli.err, "TCPX_FLOW; did you mean TCPX_FLOWS\n");
		cli_says(&cli.err, "unknown variable TCPX_FOO\n");
		cli_says(&cli.err, "error: TCPX_WORKERS is \"zz\"; allowed: ");
		cli_says(&cli.err, "error: TCPX_LIVENESS_MS is \"1\"; ");
		cli_says(&cli.err, "CHUNKSIZE is \"1\"; allowed: ");
		if (i > 1)
			cli_silent(&cli.out);
		cli_free(&cli);
	}
	setenv("TCPX_LOG_LEVEL", "none", 1);
	CHECK_EQ(cli_run(&cli, "perf --self"), SETUP);
	cli_says(&cli.err, "error: TCPX_WORKERS is \"zz\"; allowed: ");
	cli_free(&cli);
}

static void config_with_bad_ones(void)
{
	struct cli cli;
	json_t *json;

	setenv("TCPX_WORKERS", "zz", 1);
	setenv("TCPX_RAILS", "2", 1);
	setenv("TCPX_NETPLUGIN_WINDOW", "17", 1);
	CHECK_EQ(cli_run(&cli, "config --flows 5"), SETUP);
	cli_says(&cli.out, "2               environment TCPX_RAILS\n");
	cli_says(&cli.out, "5               option      TCPX_FLOWS\n");
	cli_fits(&cli.out, 80);
	cli_free(&cli);
	CHECK_EQ(cli_run(&cli, "config --json --flows 5"), SETUP);
	json = cli_json(&cli);
	says_from(json, "TCPX_RAILS", 2, "environment", "TCPX_RAILS");
	says_from(json, "TCPX_FLOWS", 5, "program", NULL);
	says_from(json, "TCPX_WORKERS", -1, "default", NULL);
	CHECK_STR(json_string_value(json_object_get(
			  setting(json, "TCPX_NETPLUGIN_WINDOW"), "value")),
		  "17");
	json_decref(json);
	cli_free(&cli);
}

/* Options that no session could have, refused by each command that has them
 * before it does anything. */
static void bad_words(void)
{
	static const char *const lines[] = {
		"config --transport %s",
		"config --json --transport=%s",
		"info --transport %s",
		"demo --quick --transport %s",
		"perf --self --transport %s",
		"perf --transport %s",
		"mesh --hosts a,b --transport %s",
	};
	static const char *const words[] = {"sokcet", "socket,foo", ","};
	char line[96], is[64], transports[256];
	struct cli cli;

	allowed_transports(transports, sizeof(transports));

	for (size_t i = 0; i < 3 * sizeof(lines) / sizeof(*lines); i++) {
		snprintf(line, sizeof(line), lines[i / 3], words[i % 3]);
		snprintf(is, sizeof(is), "(TCPX_TRANSPORTS) is \"%s\"; ",
			 words[i % 3]);
		CHECK_EQ(cli_run(&cli, line), USAGE);
		cli_says(&cli.err, ": --transport: transports ");
		cli_says(&cli.err, is);
		cli_says(&cli.err, transports);
		cli_silent(&cli.out);
		cli_free(&cli);
	}
	CHECK_EQ(cli_run(&cli, "config --ifaces="), USAGE);
	cli_says(&cli.err, ": --ifaces: ifnames (TCPX_IFNAMES) is \"\"");
	cli_free(&cli);
	/* A bad variable is not the option's fault. */
	setenv("TCPX_TRANSPORTS", "sokcet", 1);
	CHECK_EQ(cli_run(&cli, "config --ifnames eth0"), SETUP);
	cli_says(&cli.err, "TCPX_TRANSPORTS is \"sokcet\"");
	cli_free(&cli);
}

/* Transports for one process, where there are two. */
static void loops(void)
{
	static const char *const lines[] = {
		"perf --self",	    "perf", "perf 127.0.0.1", "demo --quick",
		"mesh --hosts a,b",
	};
	static const char *const words[] = {"loop", "socket,loop-scatter"};
	char line[96], is[96];
	struct cli cli;

	for (size_t i = 0; i < 2 * sizeof(lines) / sizeof(*lines); i++) {
		snprintf(line, sizeof(line), "%s --transport %s", lines[i / 2],
			 words[i % 2]);
		snprintf(is, sizeof(is), "error: --transport %s: loop and ",
			 words[i % 2]);
		CHECK_EQ(cli_run(&cli, line), USAGE);
		cli_says(&cli.err, is);
		cli_silent(&cli.out);
		cli_free(&cli);
		setenv("TCPX_TRANSPORTS", words[i % 2], 1);
		CHECK_EQ(cli_run(&cli, lines[i / 2]), SETUP);
		cli_says(&cli.err, "error: TCPX_TRANSPORTS ");
		cli_free(&cli);
		unsetenv("TCPX_TRANSPORTS");
	}
	CHECK_EQ(cli_run(&cli, "info --transport loop"), 0);
	cli_free(&cli);
}

/* Settings whose values are sound and yet cannot be had. */
static void bad_settings(void)
{
	static const char *const bad[][2] = {
		{"info --ifnames nope9", "interface nope9 does not exist"},
		{"demo --quick --ifnames nope9", "nope9 does not exist"},
		{"perf --self --ifnames nope9", "nope9 does not exist"},
	};
	struct cli cli;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		CHECK_EQ(cli_run(&cli, bad[i][0]), SETUP);
		cli_says(&cli.err, bad[i][1]);
		cli_says_not(&cli.err, "no way to the peer");
		/* once, although two processes have it */
		CHECK(!strstr(strchr(cli.err.text, '\n'), "error"));
		cli_free(&cli);
	}
	setenv("TCPX_BIND", "192.0.2.77", 1);
	CHECK_EQ(cli_run(&cli, "info"), SETUP);
	cli_says(&cli.err, "cannot listen on");
	cli_says(&cli.err, "192.0.2.77");
	cli_free(&cli);
}

/* Both ends here: where others would reach this host does not matter. */
static void addresses_for_others(void)
{
	static const char *const lines[] = {
		"perf --self --size 4K --count 1",
		"demo --quick --json",
	};
	struct cli cli;

	setenv("TCPX_CONNECT_TIMEOUT_MS", "2000", 1);
	setenv("TCPX_ADVERTISE", "203.0.113.7", 1);
	setenv("TCPX_BIND", "::1", 1);
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		CHECK_EQ(cli_run(&cli, lines[i]), 0);
		cli_silent(&cli.err);
		cli_free(&cli);
	}
}

/* ---- info -------------------------------------------------------------- */

static void info_json(void)
{
	struct cli cli;
	const json_t *one;
	char transports[256];
	json_t *json;
	size_t i;

	CHECK_EQ(cli_run(&cli, "info --json --ifnames lo"), 0);
	json = cli_json(&cli);
	CHECK_STR(json_string_value(json_object_get(
			  json_array_get(
				  json_object_get(json_object_get(json, "self"),
						  "pairs"),
				  0),
			  "transport")),
		  "socket");
	json_array_foreach(json_object_get(json, "interfaces"), i, one)
		cli_keys(one, "name:s address:s up:b loopback:b mtu:i "
			      "megabits_per_s:i");
	CHECK(i > 0);
	cli_keys(json, "version:s name:s port:i interfaces:a self:o "
		       "statistics:o gpus:a gpus_why:s? transports:a");
	json_array_foreach(json_object_get(json, "transports"), i, one)
		cli_keys(one, "transport:s allowed:b open:b usable:b why:s? "
			      "checks:a");
	CHECK_EQ(i, allowed_transports(transports, sizeof(transports)));
	json_decref(json);
	cli_free(&cli);
}

/* What could not be told as JSON is refused before. */
static void info_untold(void)
{
	struct cli cli;

	setenv("TCPX_NAME", "caf\xe9", 1);
	CHECK_EQ(cli_run(&cli, "info --json --ifnames lo"), SETUP);
	cli_says(&cli.err, "printable UTF-8");
	cli_silent(&cli.out);
	cli_free(&cli);
}

/* Transports of one process only are no candidates; --verbose has all. */
static void info_text(void)
{
	struct cli cli;

	CHECK_EQ(cli_run(&cli, "info --ifnames lo"), 0);
	cli_says(&cli.out, "by socket: ");
	cli_says(&cli.out, "127.0.0.1");
	cli_says_not(&cli.out, "loop-scatter");
	cli_fits(&cli.out, 80);
	cli_free(&cli);
	CHECK_EQ(cli_run(&cli, "info --ifnames lo --verbose"), 0);
	cli_says(&cli.out, "not by loop-scatter: ");
	cli_free(&cli);
}

static void info_gpus(void)
{
	struct cli cli;
	const json_t *one;
	json_t *json;
	size_t i;

	setenv("TCPX_GPU", "host", 1);
	CHECK_EQ(cli_run(&cli, "info -j --ifnames lo"), 0);
	json = cli_json(&cli);
	CHECK(json_is_null(json_object_get(json, "gpus_why")));
	json_array_foreach(json_object_get(json, "gpus"), i, one)
	{
		cli_keys(one, "gpu:i name:s pci:s driver:s memory_bytes:i "
			      "copy_engines:i compute_capability:s "
			      "numa_node:i? nics:a missing:a");
		CHECK_EQ(json_array_size(json_object_get(one, "missing")), 1);
		CHECK_EQ(json_integer_value(json_object_get(one, "gpu")), i);
	}
	CHECK(i > 0);
	json_decref(json);
	cli_free(&cli);
	CHECK_EQ(cli_run(&cli, "info --ifnames lo"), 0);
	cli_says(&cli.out, "\nGPUs\n  gpu:0  ");
	cli_says(&cli.out,
		 "2 copy engines; NUMA node and nearest NICs: it is ");
	cli_fits(&cli.out, 80);
	cli_free(&cli);
	setenv("TCPX_GPU", "off", 1);
	CHECK_EQ(cli_run(&cli, "info --ifnames lo"), 0);
	cli_says(&cli.out, "\nGPUs: none, ");
	cli_fits(&cli.out, 80);
	cli_free(&cli);
}

static const json_t *transport(const json_t *json, const char *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(json, "transports"), i, one)
	{
		if (!strcmp(name, json_string_value(
					  json_object_get(one, "transport"))))
			return one;
	}
	check_fail(CHECK_AT, "no transport %s", name);
	return NULL;
}

/* The reason of a check of netplugin; NULL: it holds. */
static const char *reason(const json_t *json, const char *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach(
		json_object_get(transport(json, "netplugin"), "checks"), i, one)
	{
		cli_keys(one, "check:s holds:b why:s?");
		if (!strcmp(name,
			    json_string_value(json_object_get(one, "check"))))
			return json_string_value(json_object_get(one, "why"));
	}
	check_fail(CHECK_AT, "no check %s", name);
	return NULL;
}

static bool is(const json_t *transport, const char *key)
{
	return json_is_true(json_object_get(transport, key));
}

/* All that keeps a net plugin out, not only the first; whether it is allowed
 * or not. */
static void info_transports(void)
{
	struct cli cli;
	json_t *json;

	setenv("TCPX_GPU", "host", 1);
	setenv("TCPX_GPU_HOST_DEVICES", "1", 1);
	setenv("TCPX_NETPLUGIN_PATH", "/nowhere/plugin.so", 1);
	setenv("NCCL_USE_DMA_BUF", "0", 1);
	setenv("NCCL_INLINE_THRESHOLD", "5", 1);
	setenv("NCCL_GPUDIRECTTCPX_UNIX_CLIENT_PREFIX", "/nowhere", 1);
	CHECK_EQ(cli_run(&cli, "info --json --ifnames lo"), 0);
	json = cli_json(&cli);
	CHECK(is(transport(json, "socket"), "open"));
	CHECK(is(transport(json, "socket"), "usable"));
	CHECK(!is(transport(json, "netplugin"), "usable"));
	CHECK(!is(transport(json, "netplugin"), "allowed"));
	CHECK(strstr(reason(json, "plugin"), "/nowhere/plugin.so: No such"));
	CHECK(strstr(reason(json, "dma-buf"), "NCCL_USE_DMA_BUF is 0"));
	CHECK(strstr(reason(json, "inline"), "NCCL_INLINE_THRESHOLD is 5"));
	CHECK(strstr(reason(json, "daemon"), "no socket /nowhere/rx_rule"));
	CHECK(strstr(reason(json, "home-nic"), "TCPX_NETPLUGIN_MAP=0="));
	CHECK(!reason(json, "device-memory"));
	CHECK(!reason(json, "settings"));
	CHECK(!reason(json, "threads"));
	json_decref(json);
	cli_free(&cli);
	setenv("TCPX_NETPLUGIN_ALLOW", "daemon,pci,numa", 1);
	setenv("TCPX_NETPLUGIN_MAP", "0=lo", 1);
	CHECK_EQ(cli_run(&cli, "info --ifnames lo"), 0);
	cli_says(&cli.out, "\n  netplugin    not usable, not allowed by the "
			   "settings");
	cli_says(&cli.out, "    dma-buf: NCCL_USE_DMA_BUF is 0: ");
	cli_says_not(&cli.out, "    daemon: ");
	cli_says_not(&cli.out, "    home-nic: ");
	cli_says(&cli.out, "  socket       in use\n");
	cli_fits(&cli.out, 80);
	cli_free(&cli);
}

/* ---- the command line -------------------------------------------------- */

static void bad_flags(void)
{
	static const char *const bad[][2] = {
		{"demo --frobnicate", "unrecognized option"},
		{"demo extra", "Too many arguments"},
		{"info extra", "Too many arguments"},
		{"config --json=x", "doesn't allow an argument"},
		{"perf --self --op move", "--op move: write, read or send"},
		{"perf --self --op notify", "--op notify: write, read or send"},
		{"perf --self --op", "requires an argument"},
		{"perf --self --segments 0", "--segments 0: a number from 1"},
		{"perf --self --segments 1000001", "to 1000000"},
		{"perf --self --segments x", "--segments x"},
		{"perf --self --outstanding 5000", "to 4096"},
		{"perf --self --channels 17",
		 "--channels 17: a number from 1 to 16"},
		{"perf --self --flows 17", " --flows 17: a number from 1"},
		{"perf --flows=17 --self", " --flows 17: a number from 1"},
		{"perf --self --iters 0", " --iters 0: a number from 1"},
		{"perf --self --chunk 65K", "--chunk 65K: a size from 64K"},
		{"perf --self --window 1025", "--window 1025: a number from"},
		{"perf --self --rails 9", "--rails 9: a number from 1 to 8"},
		{"perf --self --port 65536", "to 65535"},
		{"perf --self --count 0", "--count 0"},
		{"perf --self --rounds 1001", "to 1000"},
		{"perf --self --seed -3", "--seed -3"},
		{"perf --self --duration soon", "--duration soon: a time"},
		{"perf --self --duration 0", "--duration 0: a time"},
		{"perf --self --wait lazily", "auto, spin or block"},
		{"perf --self --mem disk", "--mem disk: host, gpu:N or cuda:N"},
		{"perf --self host1", "--self and a HOST exclude each other"},
		{"perf host1 host2", "one HOST at most"},
		{"perf --op read", "--op is for the measuring side"},
		{"perf --ceiling", "--ceiling is for the measuring side"},
		{"perf --self --single --size 4K:8K",
		 "--single is one message"},
		{"perf --self --single --ceiling", "--single is one message"},
		{"perf --self --sweep=size", "--sweep=size: chunk, window"},
		{"perf --self --sweep=window=4,0", "--sweep=window=4,0: "},
		{"perf --self --sweep=chunk=65K", "--sweep=chunk=65K: "},
		{"perf --self --sweep --size 4K:8K", "--sweep goes with one"},
		{"perf --sweep", "--sweep is for the measuring side"},
		{"perf --single", "--single is for the measuring side"},
		{"perf --self --notify --op read", "exclude each other"},
		{"perf --self --notify --size 4", "8 to 64K"},
		{"perf --self --notify --segments 2", "one segment"},
		{"perf --self --size 1G --segments 2000", "1T at most"},
		{"raw --flows 65", "--flows 65"},
		{"raw --pingpong --size 65K", "up to 64K"},
		{"raw --duration x", "--duration x"},
		{"_peer", "this command is for tcpx itself"},
	};
	struct cli cli;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (cli_run(&cli, bad[i][0]) != USAGE)
			check_fail(CHECK_AT, "tcpx %s: exit status %d",
				   bad[i][0], cli.status);
		cli_says(&cli.err, bad[i][1]);
		cli_silent(&cli.out);
		cli_free(&cli);
	}
}

static void bad_sizes(void)
{
	static const char *const sizes[] = {"0",
					    "-1",
					    "x",
					    "1Q",
					    "4K4",
					    "2T",
					    "1.5M",
					    "K",
					    "4K:2K",
					    "4K:",
					    ":4K",
					    "1:2:3",
					    "99999999999999999999"};
	char line[80];
	struct cli cli;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		snprintf(line, sizeof(line), "perf --self --size %s", sizes[i]);
		if (cli_run(&cli, line) != USAGE)
			check_fail(CHECK_AT, "tcpx %s: exit status %d", line,
				   cli.status);
		cli_says(&cli.err, "--size");
		cli_free(&cli);
	}
}

/* The older program's variables, checked like options. */
static void bad_perf_variables(void)
{
	struct cli cli;

	setenv("UCCL_TCPX_PERF_SIZE", "big", 1);
	CHECK_EQ(cli_run(&cli, "perf --self"), USAGE);
	cli_says(&cli.err, "UCCL_TCPX_PERF_SIZE=big");
	cli_free(&cli);
	unsetenv("UCCL_TCPX_PERF_SIZE");
	setenv("UCCL_TCPX_PERF_ITERS", "0", 1);
	CHECK_EQ(cli_run(&cli, "perf --self"), USAGE);
	cli_says(&cli.err, "UCCL_TCPX_PERF_ITERS=0");
	cli_free(&cli);
}

/* Who reads a report from a full disk is to know by the exit status. */
static void output_lost(void)
{
	static const char *const lines[] = {"--help", "version", "info --json",
					    "config", "perf --help"};
	char line[512];

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		snprintf(line, sizeof(line), "%s %s >/dev/full 2>&1",
			 proc_path("TCPX_TEST_TOOL", "../../tools/tcpx/tcpx"),
			 lines[i]);
		int status = system(line);

		CHECK(WIFEXITED(status));
		CHECK_EQ(WEXITSTATUS(status), 1);
	}
}

static const struct check_case cases[] = {
	{"no_command", no_command, 0},
	{"unknown_command", unknown_command, 0},
	{"help", help, 0},
	{"version", version, 0},
	{"config_json", config_json, 0},
	{"config_values", config_values, 0},
	{"config_precedence", config_precedence, 0},
	{"config_text", config_text, 0},
	{"config_secret", config_secret, 0},
	{"config_unknown", config_unknown, 0},
	{"bad_variables", bad_variables, 0},
	{"loops", loops, 60},
	{"all_variables", all_variables, 0},
	{"config_with_bad_ones", config_with_bad_ones, 0},
	{"bad_words", bad_words, 0},
	{"bad_settings", bad_settings, 0},
	{"addresses_for_others", addresses_for_others, 60},
	{"info_json", info_json, 0},
	{"info_untold", info_untold, 0},
	{"info_text", info_text, 0},
	{"info_gpus", info_gpus, 0},
	{"info_transports", info_transports, 0},
	{"bad_flags", bad_flags, 0},
	{"bad_sizes", bad_sizes, 0},
	{"bad_perf_variables", bad_perf_variables, 0},
	{"output_lost", output_lost, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
