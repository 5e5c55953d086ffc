/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>

#include "base/log.h"
#include "check.h"
#include "core/automatic.h"
#include "core/config.h"
#include "core/settings.h"
#include "transport/transport.h"

struct lines {
	int n;
	enum tcpx_log_level worst;
	char text[8192];
};

static void keep(void *arg, enum tcpx_log_level level, const char *subsystem,
		 const char *line)
{
	struct lines *lines = arg;
	size_t used = strlen(lines->text);

	CHECK_STR(subsystem, "config");
	lines->n++;
	if (lines->worst == 0 || level < lines->worst)
		lines->worst = level;
	snprintf(lines->text + used, sizeof(lines->text) - used, "%s\n", line);
}

/* The machine's own settings must not decide a test. */
static void clean(void)
{
	CHECK_EQ(clearenv(), 0);
}

static bool has(const struct lines *lines, const char *words)
{
	if (strstr(lines->text, words))
		return true;
	fprintf(stderr, "not in the log: %s\nthe log: %s\n", words,
		lines->text);
	return false;
}

static int init(struct tcpx_config *config, struct lines *lines)
{
	memset(config, 0xee, sizeof(*config));
	memset(lines, 0, sizeof(*lines));
	return tcpx_config_init(config, keep, lines);
}

static void defaults(void)
{
	struct tcpx_config c;
	struct lines lines;

	clean();
	CHECK_STATUS(init(&c, &lines), TCPX_OK);
	CHECK_EQ(lines.n, 0);
	CHECK_EQ(c.size_bytes, sizeof(c));
	CHECK(!c.name && !c.secret && !c.bind && !c.ifnames);
	CHECK(!c.ctrl_ifname && !c.advertise);
	CHECK_STR(c.transports, "socket");
	CHECK(c.port_first == 0 && c.port_last == 0);
	CHECK_EQ(c.n_workers, -1);
	CHECK(c.n_flows == 0 && c.n_rails == 0);
	CHECK_EQ(c.chunk_bytes, 0);
	CHECK_EQ(c.window_chunks, 64);
	CHECK_EQ(c.small_bytes, 8192);
	CHECK_EQ(c.copy_below_bytes, 1024);
	CHECK_EQ(c.socket_buffer_bytes, 0);
	CHECK_EQ(c.busy_poll_us, 20);
	CHECK_EQ(c.connect_timeout_ms, 10000);
	CHECK_EQ(c.liveness_ms, 10000);
	CHECK_EQ(c.deadline_ms, 30000);
	CHECK_EQ(c.max_half_open, 256);
	CHECK_EQ(c.notify_queue_bytes, 16 << 20);
	CHECK_EQ(c.max_peers, 65536);
	CHECK(!c.checksum);
	CHECK_EQ(c.log_level, TCPX_LOG_WARN);
	CHECK(c.log_fn == keep && c.log_arg == &lines);
}

static void every_default_is_allowed(void)
{
	struct tcpx_config c = {0};

	for (size_t i = 0; i < n_settings; i++) {
		setting_default(&settings[i], &c);
		CHECK(setting_valid(&settings[i], &c));
	}
}

static void environment(void)
{
	struct tcpx_config c;
	struct lines lines;

	clean();
	setenv("TCPX_NAME", "left", 1);
	setenv("TCPX_PORT", "7000-7010", 1);
	setenv("TCPX_WORKERS", "0", 1);
	setenv("TCPX_CHUNK_BYTES", "1M", 1);
	setenv("TCPX_CHECKSUM", "yes", 1);
	setenv("TCPX_LOG_LEVEL", "Debug", 1);
	setenv("TCPX_NOTIFY_QUEUE_BYTES", "8G", 1);
	setenv("TCPX_IFNAMES", "", 1); /* empty: as if not set */
	CHECK_STATUS(init(&c, &lines), TCPX_OK);
	CHECK_EQ(lines.n, 0);
	CHECK_STR(c.name, "left");
	CHECK(c.port_first == 7000 && c.port_last == 7010);
	CHECK_EQ(c.n_workers, 0);
	CHECK_EQ(c.chunk_bytes, 1 << 20);
	CHECK(c.checksum);
	CHECK_EQ(c.log_level, TCPX_LOG_DEBUG);
	CHECK_EQ(c.notify_queue_bytes, 8ull << 30);
	CHECK(!c.ifnames);
}

/* Named: the variable, its value, what is allowed. */
/* What is allowed of TCPX_TRANSPORTS: all there are. */
static const char *allowed_transports(void)
{
	static char line[512];
	size_t n = (size_t)snprintf(line, sizeof(line), "allowed: ");

	for (uint32_t i = 0; transport_at(i); i++)
		n += (size_t)snprintf(line + n, sizeof(line) - n, "%s%s",
				      i ? ", " : "", transport_at(i)->name);
	snprintf(line + n, sizeof(line) - n, "; several by commas\n");
	return line;
}

static void bad_values(void)
{
	const char *transports = allowed_transports();

	const struct {
		const char *variable, *value, *line;
	} bad[] = {
		{"TCPX_CHUNK_BYTES", "65K",
		 "TCPX_CHUNK_BYTES is \"65K\"; allowed: 0, 64K to 4M in steps "
		 "of 4K\n"},
		{"TCPX_CHUNK_BYTES", "8M", "64K to 4M"},
		{"TCPX_WORKERS", "many", "allowed: -1 to 256\n"},
		{"TCPX_WINDOW_CHUNKS", "0", "allowed: 1 to 1024\n"},
		{"TCPX_SOCKET_BUFFER", "100", "allowed: 0, 4K to 1G\n"},
		{"TCPX_CHECKSUM", "maybe", "1, yes, true, on"},
		{"TCPX_LOG_LEVEL", "loud", "none, error, warn"},
		{"TCPX_PORT", "9-8", "0 (any free), a port, or first-last"},
		{"TCPX_CTRL_IFNAME", "a-name-that-is-too-long",
		 "1 to 15 bytes"},
		{"TCPX_NAME", "two\nlines", "printable UTF-8"},
		{"TCPX_NAME", "ab\xff", "1 to 63 bytes, printable UTF-8"},
		{"TCPX_NAME", "\xc2\x85", "printable UTF-8"},
		{"TCPX_LIVENESS_MS", "199", "200 to 3600000"},
		{"TCPX_NOTIFY_QUEUE_BYTES", "1M", "2M to 64G"},
		{"TCPX_GPU", "hsot",
		 "TCPX_GPU is \"hsot\"; allowed: auto, cuda, host, off\n"},
		{"TCPX_GPU", "host,off", "auto, cuda, host, off"},
		{"TCPX_GPU", "hos", "auto, cuda, host, off"},
		{"TCPX_TRANSPORTS", "socket,sokcet", transports},
		{"TCPX_TRANSPORTS", "Socket", transports},
		{"TCPX_TRANSPORTS", " ,", transports},
		{"TCPX_IFNAMES", "eth0\teth1", "names by commas; eth*: "},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct tcpx_config c, plain;
		struct lines lines;

		clean();
		CHECK_STATUS(init(&plain, &lines), TCPX_OK);
		setenv(bad[i].variable, bad[i].value, 1);
		CHECK_STATUS(init(&c, &lines), TCPX_EINVAL);
		CHECK_EQ(lines.n, 1);
		CHECK_EQ(lines.worst, TCPX_LOG_ERROR);
		CHECK(has(&lines, bad[i].variable));
		CHECK(has(&lines, bad[i].line));
		CHECK_MEM(&c, &plain, sizeof(c));
	}
}

/* As those of the table, whether such a transport is allowed or not. */
static void bad_values_of_transports(void)
{
	static const char *const bad[][3] = {
		{"TCPX_SOCKET_LEND_BYTES", "abc", "0 to 1073741824"},
		{"TCPX_SOCKET_LEND_BYTES", "2G", "0 to 1073741824"},
		{"TCPX_NETPLUGIN_WINDOW", "17", "1 to 16"},
		{"TCPX_NETPLUGIN_STALL_MS", "-1", "10 to 3600000"},
		{"TCPX_NETPLUGIN_ISOLATE", "perhaps",
		 "1, yes, true, on, 0, no, false, off"},
	};
	char text[160];

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct tcpx_config c;
		struct lines lines;

		clean();
		setenv(bad[i][0], bad[i][1], 1);
		CHECK_STATUS(init(&c, &lines), TCPX_EINVAL);
		snprintf(text, sizeof(text), "%s is \"%s\"; allowed: %s\n",
			 bad[i][0], bad[i][1], bad[i][2]);
		CHECK_EQ(lines.n, 1);
		CHECK_EQ(lines.worst, TCPX_LOG_ERROR);
		CHECK(has(&lines, text));
	}
}

/* Why there is no session is told in any case; what is only odd is not. */
static void bad_values_with_no_log(void)
{
	struct tcpx_config c;
	struct lines lines;

	clean();
	setenv("TCPX_LOG_LEVEL", "none", 1);
	setenv("TCPX_FLOW", "3", 1);
	CHECK_STATUS(init(&c, &lines), TCPX_OK);
	CHECK_EQ(lines.n, 0);
	CHECK_EQ(c.log_level, TCPX_LOG_NONE);
	setenv("TCPX_FLOWS", "99", 1);
	setenv("TCPX_SOCKET_LEND_BYTES", "abc", 1);
	CHECK_STATUS(init(&c, &lines), TCPX_EINVAL);
	CHECK_EQ(lines.n, 2);
	CHECK(has(&lines, "TCPX_FLOWS is \"99\"; allowed: 0 to 16\n"));
	CHECK(has(&lines, "TCPX_SOCKET_LEND_BYTES is \"abc\""));
	CHECK_EQ(c.log_level, TCPX_LOG_NONE);
}

/* Lists as they are read: by commas, spaces, or both. */
static void lists_of_words(void)
{
	static const char *const good[] = {
		"netplugin,socket",
		"loop loop-scatter",
		", socket, ",
		"loop",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		struct tcpx_config c;
		struct lines lines;

		clean();
		setenv("TCPX_TRANSPORTS", good[i], 1);
		CHECK_STATUS(init(&c, &lines), TCPX_OK);
		CHECK_EQ(lines.n, 0);
		CHECK_STR(c.transports, good[i]);
	}
}

static void secret_is_not_logged(void)
{
	struct tcpx_config c;
	struct lines lines;
	char secret[300];

	memset(secret, 'q', sizeof(secret) - 1);
	secret[sizeof(secret) - 1] = '\0';
	clean();
	setenv("TCPX_SECRET", secret, 1);
	CHECK_STATUS(init(&c, &lines), TCPX_EINVAL);
	CHECK(has(&lines, "TCPX_SECRET"));
	CHECK(!strstr(lines.text, "qq"));
}

static void aliases(void)
{
	struct tcpx_config c;
	struct lines lines;

	clean();
	setenv("TCPX_LOG_LEVEL", "info", 1);
	setenv("NCCL_P2P_NET_CHUNKSIZE", "131072", 1);
	setenv("UCCL_TCPX_NUM_CHANNELS", "2", 1);
	setenv("UCCL_TCPX_WINDOW_SIZE", "16", 1);
	setenv("NCCL_GPUDIRECTTCPX_SOCKET_IFNAME", "eth1,eth2", 1);
	setenv("NCCL_GPUDIRECTTCPX_CTRL_DEV", "eth0", 1);
	setenv("UCCL_TCPX_BOOTSTRAP_PORT", "20000", 1);
	CHECK_STATUS(init(&c, &lines), TCPX_OK);
	CHECK_EQ(c.chunk_bytes, 131072);
	CHECK_EQ(c.n_flows, 2);
	CHECK_EQ(c.window_chunks, 16);
	CHECK_STR(c.ifnames, "eth1,eth2");
	CHECK_STR(c.ctrl_ifname, "eth0");
	CHECK(c.port_first == 20000 && c.port_last == 20000);
	CHECK_EQ(lines.n, 6);
	CHECK_EQ(lines.worst, TCPX_LOG_INFO);
	CHECK(has(&lines,
		  "UCCL_TCPX_NUM_CHANNELS is an older name of TCPX_FLOWS"));
	setenv("UCCL_TCPX_CHUNK_BYTES", "262144", 1);
	CHECK_STATUS(init(&c, &lines), TCPX_OK);
	CHECK_EQ(c.chunk_bytes, 262144);
	setenv("TCPX_CHUNK_BYTES", "1M", 1);
	CHECK_STATUS(init(&c, &lines), TCPX_OK);
	CHECK_EQ(c.chunk_bytes, 1 << 20);
}

static void old_debug_switches(void)
{
	struct tcpx_config c;
	struct lines lines;

	clean();
	setenv("UCCL_TCPX_DEBUG", "1", 1);
	CHECK_STATUS(init(&c, &lines), TCPX_OK);
	CHECK_EQ(c.log_level, TCPX_LOG_DEBUG);
	setenv("UCCL_TCPX_VERBOSE", "1", 1);
	CHECK_STATUS(init(&c, &lines), TCPX_OK);
	CHECK_EQ(c.log_level, TCPX_LOG_TRACE);
	setenv("UCCL_TCPX_VERBOSE", "0", 1);
	setenv("UCCL_TCPX_DEBUG", "0", 1);
	CHECK_STATUS(init(&c, &lines), TCPX_OK);
	CHECK_EQ(c.log_level, TCPX_LOG_WARN);
}

/* NCCL's variables are set for NCCL: what does not suit us is no error. */
static void bad_alias_is_a_warning(void)
{
	struct tcpx_config c;
	struct lines lines;

	clean();
	setenv("NCCL_P2P_NET_CHUNKSIZE", "33554432", 1);
	CHECK_STATUS(init(&c, &lines), TCPX_OK);
	CHECK_EQ(c.chunk_bytes, 0);
	CHECK_EQ(lines.worst, TCPX_LOG_WARN);
	CHECK(has(&lines,
		  "NCCL_P2P_NET_CHUNKSIZE is \"33554432\"; allowed: 0, 64K to "
		  "4M in steps of 4K; using 0\n"));
}

static void unknown_variables(void)
{
	struct tcpx_config c;
	struct lines lines;

	clean();
	setenv("TCPX_CHUNK_BYTE", "1M", 1);
	setenv("TCPX_ZEBRA_CROSSING", "1", 1);
	setenv("UCCL_TCPX_NUM_CHANELS", "1", 1);
	setenv("NOT_TCPX_AT_ALL", "1", 1);
	CHECK_STATUS(init(&c, &lines), TCPX_OK);
	CHECK_EQ(lines.n, 3);
	CHECK_EQ(lines.worst, TCPX_LOG_WARN);
	CHECK(has(&lines, "unknown variable TCPX_CHUNK_BYTE; did you mean "
			  "TCPX_CHUNK_BYTES\n"));
	CHECK(has(&lines, "unknown variable TCPX_ZEBRA_CROSSING\n"));
	CHECK(has(&lines, "unknown variable UCCL_TCPX_NUM_CHANELS; did you "
			  "mean UCCL_TCPX_NUM_CHANNELS\n"));
}

/* The shorter a name, the fewer of its letters may be slips. */
static void unknown_and_short(void)
{
	static const char *const rows[][2] = {
		{"TCPX_", NULL},
		{"TCPX_A", NULL},
		{"TCPX_FOO", NULL},
		{"TCPX_HOST", NULL},
		{"TCPX_FLOW", "TCPX_FLOWS"},
		{"TCPX_BIN", "TCPX_BIND"},
		{"TCPX_RIALS", "TCPX_RAILS"},
		{"TCPX_WROKRES", NULL},
		{"TCPX_CHNUK_BYTE", "TCPX_CHUNK_BYTES"},
		{"UCCL_TCPX_FOO", NULL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct tcpx_config c;
		struct lines lines;
		char text[128];

		clean();
		setenv(rows[i][0], "1", 1);
		CHECK_STATUS(init(&c, &lines), TCPX_OK);
		snprintf(text, sizeof(text), "unknown variable %s%s%s\n",
			 rows[i][0], rows[i][1] ? "; did you mean " : "",
			 rows[i][1] ? rows[i][1] : "");
		CHECK_EQ(lines.n, 1);
		CHECK(has(&lines, text));
	}
}

/* The command's, the plugins', the transports': none is warned of. */
static void others_variables_are_known(void)
{
	static const char *const known[] = {
		"TCPX_PERF_SIZE",
		"TCPX_PERF_ITERS",
		"TCPX_NIXL_PYTHON",
		"TCPX_NIXL_ANY_VERSION",
		"TCPX_DESCRIBE_DIR",
		"TCPX_GPU_HOST_DEVICES",
		"TCPX_GPU_HOST_FAULT",
		"TCPX_GPU_HOST_DELAY_US",
		"TCPX_GPU_HOST_UNSHARED",
		"TCPX_TEST_ANYTHING",
		"TCPX_NETPLUGIN_PATH",
		"TCPX_NETPLUGIN_ISOLATE",
		"TCPX_NETPLUGIN_LEND",
		"TCPX_NETPLUGIN_HELPER",
		"TCPX_NETPLUGIN_MAP",
		"TCPX_NETPLUGIN_GPUS",
		"TCPX_NETPLUGIN_ALLOW",
		"TCPX_NETPLUGIN_WINDOW",
		"TCPX_NETPLUGIN_SLOTS",
		"TCPX_NETPLUGIN_STALL_MS",
		"TCPX_NETPLUGIN_CONNECT_MS",
		"TCPX_NETPLUGIN_START_MS",
		"TCPX_NETPLUGIN_POOL_BYTES",
		"UCCL_TCPX_PERF_SIZE",
		"UCCL_TCPX_PERF_ITERS",
		"UCCL_TCPX_PLUGIN_PATH",
	};
	struct tcpx_config c;
	struct lines lines;

	clean();
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		setenv(known[i], "1", 1);
	setenv("TCPX_NETPLUGIN_SLOTS", "10", 1);
	setenv("TCPX_NETPLUGIN_STALL_MS", "10", 1);
	setenv("TCPX_NETPLUGIN_CONNECT_MS", "10", 1);
	setenv("TCPX_NETPLUGIN_START_MS", "10", 1);
	CHECK_STATUS(init(&c, &lines), TCPX_OK);
	CHECK_EQ(lines.n, 0);
}

/* A slip in one of theirs is as much of a slip. */
static void others_variables_misspelt(void)
{
	static const char *const slips[][2] = {
		{"TCPX_NETPLUGIN_STALL", "TCPX_NETPLUGIN_STALL_MS"},
		{"TCPX_NETPLUGIN_PATHS", "TCPX_NETPLUGIN_PATH"},
		{"TCPX_NETPLUGIN_ISOLATED", "TCPX_NETPLUGIN_ISOLATE"},
		{"TCPX_PERF_ITER", "TCPX_PERF_ITERS"},
		{"TCPX_PERF_SIZES", "TCPX_PERF_SIZE"},
		{"TCPX_NIXL_PYTON", "TCPX_NIXL_PYTHON"},
		{"TCPX_GPU_HOST_DEVICE", "TCPX_GPU_HOST_DEVICES"},
		{"UCCL_TCPX_PLUGINPATH", "UCCL_TCPX_PLUGIN_PATH"},
	};
	struct tcpx_config c;
	struct lines lines;
	char text[128];

	for (size_t i = 0; i < sizeof(slips) / sizeof(*slips); i++) {
		clean();
		setenv(slips[i][0], "1", 1);
		CHECK_STATUS(init(&c, &lines), TCPX_OK);
		CHECK_EQ(lines.n, 1);
		CHECK_EQ(lines.worst, TCPX_LOG_WARN);
		snprintf(text, sizeof(text),
			 "unknown variable %s; did you mean %s\n", slips[i][0],
			 slips[i][1]);
		CHECK(has(&lines, text));
		unsetenv(slips[i][0]);
	}
	clean();
	setenv("TCPX_NETPLUGIN_GIRAFFE", "1", 1);
	setenv("TCPX_PERF_ANYTHING", "1", 1);
	setenv("TCPX_NIXL_ANYTHING", "1", 1);
	CHECK_STATUS(init(&c, &lines), TCPX_OK);
	CHECK_EQ(lines.n, 3);
	CHECK(has(&lines, "unknown variable TCPX_NETPLUGIN_GIRAFFE\n"));
}

static void bad_arguments(void)
{
	struct tcpx_config c = {.size_bytes = sizeof(c)};
	size_t len;

	CHECK_STATUS(tcpx_config_init(NULL, NULL, NULL), TCPX_EINVAL);
	CHECK_STATUS(tcpx_config_json(NULL, NULL, 0, &len), TCPX_EINVAL);
	CHECK_STATUS(tcpx_config_json(&c, NULL, 5, &len), TCPX_EINVAL);
	CHECK_STATUS(tcpx_config_json(&c, NULL, 0, NULL), TCPX_EINVAL);
}

/* A program of an older header, whose struct is shorter: what lies behind it
 * is not ours. And one of a newer header, whose struct is longer. */
static void init_of_other_lengths(void)
{
	struct {
		struct tcpx_config config;
		unsigned char behind[64];
	} c;
	const size_t older = offsetof(struct tcpx_config, notify_queue_bytes);
	const size_t newer = sizeof(c.config) + 16;
	const unsigned char *bytes = (unsigned char *)&c;

	clean();
	memset(&c, 0xa5, sizeof(c));
	CHECK_STATUS(tcpx_config_init_sized(&c.config, older, NULL, NULL),
		     TCPX_OK);
	CHECK_EQ(c.config.size_bytes, older);
	CHECK_EQ(c.config.window_chunks, 64);
	for (size_t i = older; i < sizeof(c); i++)
		CHECK_EQ(bytes[i], 0xa5);
	memset(&c, 0xa5, sizeof(c));
	CHECK_STATUS(tcpx_config_init_sized(&c.config, newer, keep, NULL),
		     TCPX_OK);
	CHECK_EQ(c.config.size_bytes, newer);
	CHECK_EQ(c.config.max_peers, 65536);
	CHECK(c.config.log_fn == keep);
	for (size_t i = sizeof(c.config); i < newer; i++)
		CHECK_EQ(bytes[i], 0);
	CHECK_EQ(bytes[newer], 0xa5);
	CHECK_STATUS(tcpx_config_init_sized(&c.config, 4, NULL, NULL),
		     TCPX_EINVAL);
	CHECK_EQ(c.config.size_bytes, newer);
}

/* Of a struct that ends before them, log_fn and the level are not read. */
static void log_of_older_struct(void)
{
	struct log log = {.fn = keep, .level = TCPX_LOG_WARN};
	struct tcpx_config c;

	memset(&c, 0xa5, sizeof(c));
	c.size_bytes = offsetof(struct tcpx_config, log_fn);
	config_log(&c, &log);
	CHECK(!log.fn && !log.arg);
}

static void copy_is_deep(void)
{
	struct log log = {0};
	struct tcpx_config c, *copy = NULL;
	struct lines lines;
	char name[] = "left", transports[] = "loop";

	clean();
	CHECK_STATUS(init(&c, &lines), TCPX_OK);
	c.name = name;
	c.transports = transports;
	c.chunk_bytes = 64 << 10;
	CHECK_STATUS(config_copy(&c, &log, &copy), TCPX_OK);
	memset(name, 'x', 4);
	memset(transports, 'x', 4);
	CHECK_STR(copy->name, "left");
	CHECK_STR(copy->transports, "loop");
	CHECK(!copy->secret);
	CHECK_EQ(copy->chunk_bytes, 64 << 10);
	CHECK(copy->log_fn == keep && copy->log_arg == &lines);
	config_free(copy);
	config_free(NULL);
}

static void copy_completes(void)
{
	struct log log = {0};
	struct tcpx_config c, *copy = NULL;
	struct lines lines;

	clean();
	CHECK_STATUS(init(&c, &lines), TCPX_OK);
	c.transports = c.gpu = NULL;
	/* A program built when the struct ended before window_chunks. */
	c.size_bytes = offsetof(struct tcpx_config, window_chunks);
	c.window_chunks = 999999;
	c.log_fn = keep;
	CHECK_STATUS(config_copy(&c, &log, &copy), TCPX_OK);
	CHECK_EQ(copy->size_bytes, sizeof(c));
	CHECK_EQ(copy->window_chunks, 64);
	CHECK(!copy->log_fn);
	CHECK_STR(copy->transports, "socket");
	CHECK_STR(copy->gpu, "auto");
	CHECK(strchr(copy->name, '-') && strlen(copy->name) < TCPX_NAME_MAX);
	config_free(copy);
	c.size_bytes = sizeof(c);
	c.window_chunks = 64;
	CHECK_STATUS(config_copy(&c, &log, &copy), TCPX_OK);
	CHECK_STR(copy->gpu, "auto");
	CHECK_STR(copy->transports, "socket");
	config_free(copy);
}

static void copy_names_every_bad_field(void)
{
	struct lines lines;
	struct log log = {.fn = keep, .arg = &lines, .level = TCPX_LOG_WARN};
	struct tcpx_config c, *copy = NULL;

	clean();
	CHECK_STATUS(init(&c, &lines), TCPX_OK);
	c.chunk_bytes = 12;
	c.n_workers = -2;
	c.port_first = 9;
	c.name = "";
	c.log_level = 99;
	CHECK_STATUS(config_copy(&c, &log, &copy), TCPX_EINVAL);
	CHECK(!copy);
	CHECK_EQ(lines.n, 5);
	CHECK_EQ(lines.worst, TCPX_LOG_ERROR);
	CHECK(has(&lines, "chunk_bytes (TCPX_CHUNK_BYTES) is 12; allowed: 0, "
			  "64K to 4M in steps of 4K\n"));
	CHECK(has(&lines, "n_workers (TCPX_WORKERS) is -2; "));
	CHECK(has(&lines, "port_first (TCPX_PORT) is 9-0; "));
	CHECK(has(&lines, "name (TCPX_NAME) is \"\"; "));
	CHECK(has(&lines, "log_level (TCPX_LOG_LEVEL) is 99; "));
	c.size_bytes = 0;
	CHECK_STATUS(config_copy(&c, &log, &copy), TCPX_EINVAL);
	CHECK(has(&lines, "size_bytes is 0"));
}

static json_t *row_of(json_t *rows, const char *name)
{
	for (size_t i = 0; i < json_array_size(rows); i++) {
		json_t *row = json_array_get(rows, i);
		const char *is =
			json_string_value(json_object_get(row, "name"));

		if (is && strcmp(is, name) == 0)
			return row;
	}
	fprintf(stderr, "no row %s\n", name);
	CHECK(!"found");
	return NULL;
}

static const char *word(json_t *rows, const char *name, const char *key)
{
	return json_string_value(json_object_get(row_of(rows, name), key));
}

static long long number(json_t *rows, const char *name, const char *key)
{
	return json_integer_value(json_object_get(row_of(rows, name), key));
}

static size_t n_transports_settings(void)
{
	size_t n = 0;

	for (uint32_t i = 0; transport_at(i); i++) {
		const struct transport_setting *s = transport_at(i)->settings;

		while (s && s[0].variable) {
			n++;
			s++;
		}
	}
	return n;
}

static void json_tells_all(void)
{
	static char buf[32768];
	struct tcpx_config c;
	struct lines lines;
	json_t *rows;
	size_t need, len;

	clean();
	setenv("TCPX_SECRET", "hush", 1);
	setenv("TCPX_FLOWS", "2", 1);
	setenv("TCPX_WORKERS", "3", 1);
	CHECK_STATUS(init(&c, &lines), TCPX_OK);
	c.n_workers = 4;
	CHECK_STATUS(tcpx_config_json(&c, NULL, 0, &need), TCPX_ENOSPC);
	CHECK_STATUS(tcpx_config_json(&c, buf, need, &len), TCPX_ENOSPC);
	CHECK_STATUS(tcpx_config_json(&c, buf, need + 1, &len), TCPX_OK);
	CHECK_EQ(len, need);
	CHECK_EQ(strlen(buf), need);
	CHECK(!strstr(buf, "hush"));
	rows = json_loads(buf, 0, NULL);
	CHECK(rows);
	CHECK_EQ(json_array_size(rows), n_settings + n_transports_settings());
	CHECK_STR(word(rows, "n_flows", "variable"), "TCPX_FLOWS");
	CHECK_STR(word(rows, "n_flows", "source"), "environment");
	CHECK_EQ(number(rows, "n_flows", "value"), 2);
	CHECK_EQ(number(rows, "n_flows", "default"), 0);
	CHECK_STR(word(rows, "n_workers", "source"), "program");
	CHECK(json_is_null(json_object_get(row_of(rows, "n_flows"), "here")));
	CHECK(json_is_null(json_object_get(row_of(rows, "n_workers"), "here")));
	CHECK_EQ(number(rows, "chunk_bytes", "here"), 512 << 10);
	CHECK_STR(word(rows, "chunk_bytes", "source"), "default");
	CHECK_STR(word(rows, "secret", "source"), "environment");
	CHECK_STR(word(rows, "port", "value"), "0");
	CHECK_STR(word(rows, "log_level", "value"), "warn");
	CHECK_STR(word(rows, "transports", "value"), "socket");
	for (size_t i = 0; i < json_array_size(rows); i++) {
		json_t *row = json_array_get(rows, i);

		CHECK(json_is_array(json_object_get(row, "aliases")));
		CHECK(json_object_get(row, "value"));
		CHECK(json_object_get(row, "here"));
		CHECK(json_string_length(json_object_get(row, "help")) > 9);
		CHECK(json_string_length(json_object_get(row, "allowed")) > 5);
	}
	json_decref(rows);
}

/* What zero and -1 come to is what a session would take. */
static void json_tells_automatic(void)
{
	static char buf[32768];
	struct tcpx_config c;
	struct lines lines;
	json_t *rows;
	size_t len;

	clean();
	CHECK_STATUS(init(&c, &lines), TCPX_OK);
	CHECK_STATUS(tcpx_config_json(&c, buf, sizeof(buf), &len), TCPX_OK);
	rows = json_loads(buf, 0, NULL);
	CHECK(rows);
	CHECK_EQ(number(rows, "n_flows", "value"), 0);
	CHECK_EQ(number(rows, "n_flows", "here"), automatic_flows(&c));
	CHECK(automatic_flows(&c) >= 2 && automatic_flows(&c) <= 16);
	CHECK_EQ(number(rows, "n_workers", "value"), -1);
	CHECK_EQ(number(rows, "n_workers", "here"), automatic_workers(&c));
	CHECK(automatic_workers(&c) >= 1 && automatic_workers(&c) <= 16);
	CHECK_EQ(number(rows, "chunk_bytes", "here"), 512 << 10);
	CHECK_EQ(automatic_chunk_bytes(&c), 1 << 20);
	json_decref(rows);
	c.n_flows = 3;
	c.n_workers = 0;
	c.chunk_bytes = 64 << 10;
	CHECK_EQ(automatic_flows(&c), 3);
	CHECK_EQ(automatic_workers(&c), 0);
	CHECK_EQ(automatic_chunk_bytes(&c), 64 << 10);
	CHECK_EQ(automatic_host_chunk_bytes(&c), 64 << 10);
}

static uint32_t workers(uint32_t usable, uint32_t of_host, uint32_t here,
			uint32_t all)
{
	return automatic_part(usable, of_host,
			      (struct automatic_gpus){here, all});
}

/* Never more than a quarter, save for the one that there must be. */
static void a_quarter_of_the_cpus(void)
{
	CHECK_EQ(workers(1, 1, 0, 0), 1);
	CHECK_EQ(workers(7, 8, 0, 0), 1);
	CHECK_EQ(workers(8, 8, 0, 0), 2);
	CHECK_EQ(workers(16, 208, 0, 0), 4);
	CHECK_EQ(workers(208, 208, 0, 0), 16);
	/* All of the host's GPUs, or none that the driver knows of. */
	CHECK_EQ(workers(208, 208, 8, 8), 16);
	CHECK_EQ(workers(208, 208, 0, 8), 16);
	CHECK_EQ(workers(208, 208, 1, 0), 16);
	/* Eight processes with one each take 48 of 208, and not 128. */
	CHECK_EQ(workers(208, 208, 1, 8), 6);
	CHECK_EQ(workers(208, 208, 2, 8), 13);
	/* Bound to its part, or to less. */
	CHECK_EQ(workers(26, 208, 1, 8), 6);
	CHECK_EQ(workers(8, 208, 1, 8), 2);
	CHECK_EQ(workers(4, 4, 1, 8), 1);
}

static void make_files(const char *dir, const char *const *names)
{
	char path[200];

	for (; *names; names++) {
		snprintf(path, sizeof(path), "%s/%s", dir, *names);
		FILE *file = fopen(path, "w");

		CHECK(file != NULL);
		fclose(file);
	}
}

static void are_gpus(const char *dir, const char *visible, uint32_t here,
		     uint32_t all)
{
	struct automatic_gpus gpus = automatic_gpus(dir, dir, visible);

	CHECK_EQ(gpus.here, here);
	CHECK_EQ(gpus.all, all);
}

/* A host of four, of which a container has three. */
static void gpus_of_the_process(void)
{
	static const char *const names[] = {
		"bind",		"module",	"0000:1b:00.0", "0000:43:00.0",
		"0000:9b:00.0", "0000:c3:00.0", "nvidia0",	"nvidia2",
		"nvidia3",	"nvidiactl",	"nvidia-uvm",	NULL};
	char dir[] = "/tmp/tcpx-gpus-XXXXXX", path[200];

	CHECK(mkdtemp(dir) != NULL);
	are_gpus(dir, NULL, 0, 0);
	make_files(dir, names);
	are_gpus(dir, NULL, 3, 4);
	are_gpus(dir, "0", 1, 4);
	are_gpus(dir, "2,0", 2, 4);
	are_gpus(dir, "GPU-8a1c,GPU-77d0,", 2, 4);
	are_gpus(dir, "0,1,2,3,4,5", 3, 4);
	are_gpus(dir, "1,-1,0", 1, 4);
	are_gpus(dir, "-1", 0, 4);
	are_gpus(dir, "", 0, 4);
	are_gpus("/nowhere", "0", 0, 0);
	for (size_t i = 0; names[i]; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		CHECK_EQ(unlink(path), 0);
	}
	CHECK_EQ(rmdir(dir), 0);
}

/* What no session could have is not in force. */
static void json_refuses(void)
{
	static char buf[32768];
	struct tcpx_config c;
	struct lines lines;
	size_t len = 7;

	clean();
	CHECK_STATUS(init(&c, &lines), TCPX_OK);
	c.transports = "socket,sokcet";
	CHECK_STATUS(tcpx_config_json(&c, buf, sizeof(buf), &len), TCPX_EINVAL);
	CHECK_EQ(len, 7);
	CHECK(has(&lines,
		  "transports (TCPX_TRANSPORTS) is \"socket,sokcet\"; "));
	CHECK(has(&lines, allowed_transports()));
	CHECK_STATUS(init(&c, &lines), TCPX_OK);
	c.n_flows = 17;
	CHECK_STATUS(tcpx_config_json(&c, NULL, 0, &len), TCPX_EINVAL);
	CHECK(has(&lines, "allowed: 0 to 16"));
}

/* A transport's own come behind: as it would read them, and a bad one as it
 * is. */
static void json_tells_transports(void)
{
	static char buf[32768];
	struct tcpx_config c;
	struct lines lines;
	json_t *rows;
	size_t len;

	clean();
	setenv("TCPX_NETPLUGIN_WINDOW", "8", 1);
	setenv("TCPX_NETPLUGIN_ISOLATE", "no", 1);
	setenv("TCPX_NETPLUGIN_STALL_MS", "never", 1);
	setenv("TCPX_NETPLUGIN_MAP", "", 1); /* as if not set */
	setenv("TCPX_NETPLUGIN_POOL_BYTES", "1G", 1);
	setenv("UCCL_TCPX_PLUGIN_PATH", "/old.so", 1);
	CHECK_STATUS(init(&c, &lines), TCPX_EINVAL);
	CHECK_STATUS(tcpx_config_json(&c, buf, sizeof(buf), &len), TCPX_OK);
	rows = json_loads(buf, 0, NULL);
	CHECK(rows);
	CHECK_EQ(number(rows, "netplugin_window", "value"), 8);
	CHECK_EQ(number(rows, "netplugin_window", "default"), 16);
	CHECK_STR(word(rows, "netplugin_window", "allowed"), "1 to 16");
	CHECK_STR(word(rows, "netplugin_window", "source"), "environment");
	CHECK_STR(word(rows, "netplugin_window", "from"),
		  "TCPX_NETPLUGIN_WINDOW");
	CHECK_EQ(number(rows, "netplugin_slots", "value"), 12);
	CHECK_STR(word(rows, "netplugin_slots", "source"), "default");
	CHECK_EQ(number(rows, "netplugin_pool_bytes", "value"), 1 << 30);
	CHECK(json_is_false(
		json_object_get(row_of(rows, "netplugin_isolate"), "value")));
	CHECK_STR(word(rows, "netplugin_stall_ms", "value"), "never");
	CHECK(json_is_null(
		json_object_get(row_of(rows, "netplugin_map"), "value")));
	CHECK_STR(word(rows, "netplugin_map", "source"), "default");
	CHECK_STR(word(rows, "netplugin_path", "value"), "/old.so");
	CHECK_STR(word(rows, "netplugin_path", "from"),
		  "UCCL_TCPX_PLUGIN_PATH");
	json_decref(rows);
}

static const struct check_case cases[] = {
	{"defaults", defaults, 0},
	{"every_default_is_allowed", every_default_is_allowed, 0},
	{"environment", environment, 0},
	{"bad_values", bad_values, 0},
	{"bad_values_of_transports", bad_values_of_transports, 0},
	{"bad_values_with_no_log", bad_values_with_no_log, 0},
	{"lists_of_words", lists_of_words, 0},
	{"secret_is_not_logged", secret_is_not_logged, 0},
	{"aliases", aliases, 0},
	{"old_debug_switches", old_debug_switches, 0},
	{"bad_alias_is_a_warning", bad_alias_is_a_warning, 0},
	{"unknown_variables", unknown_variables, 0},
	{"unknown_and_short", unknown_and_short, 0},
	{"others_variables_are_known", others_variables_are_known, 0},
	{"others_variables_misspelt", others_variables_misspelt, 0},
	{"bad_arguments", bad_arguments, 0},
	{"init_of_other_lengths", init_of_other_lengths, 0},
	{"log_of_older_struct", log_of_older_struct, 0},
	{"copy_is_deep", copy_is_deep, 0},
	{"copy_completes", copy_completes, 0},
	{"copy_names_every_bad_field", copy_names_every_bad_field, 0},
	{"json_tells_all", json_tells_all, 0},
	{"json_tells_automatic", json_tells_automatic, 0},
	{"a_quarter_of_the_cpus", a_quarter_of_the_cpus, 0},
	{"gpus_of_the_process", gpus_of_the_process, 0},
	{"json_refuses", json_refuses, 0},
	{"json_tells_transports", json_tells_transports, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
