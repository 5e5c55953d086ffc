/* SPDX-License-Identifier: Apache-2.0 */
#include "conf.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NET "NCCL_GPUDIRECTTCPX_"

static struct conf conf;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Out of range, and what is no number, is the default: as the plugin does. */
static int64_t number(const char *name, int64_t fallback, int64_t lo,
		      int64_t hi)
{
	const char *text = getenv(name);
	char *end;
	long long value;

	if (!text || !*text)
		return fallback;
	errno = 0;
	value = strtoll(text, &end, 0);
	if (errno || end == text || *end || value < lo || value > hi)
		return fallback;
	return value;
}

static const char *text_of(const char *name)
{
	const char *text = getenv(name);

	/* The environment may change under us: keep what it was. */
	return text && *text ? strdup(text) : NULL;
}

static enum clock_mode clock_of(const char *text)
{
	static const char *const names[] = {"fast", "real", "random", "worst"};

	for (int i = 0; text && i < 4; i++) {
		if (strcmp(text, names[i]) == 0)
			return (enum clock_mode)i;
	}
	return CLOCK_FAST;
}

static enum pool_kind pool_kind_of(const char *text)
{
	static const char *const names[] = {"imported", "plain", "host"};

	if (!text || !*text)
		return POOL_IMPORTED;
	for (int i = 0; i < POOL_UNKNOWN; i++) {
		if (strcmp(text, names[i]) == 0)
			return (enum pool_kind)i;
	}
	return POOL_UNKNOWN;
}

/* "24,25": those two bits */
static uint32_t rules_of(const char *text)
{
	uint32_t bits = 0;

	while (text && *text) {
		char *end;
		long rule = strtol(text, &end, 10);

		if (end == text)
			break;
		if (rule > 0 && rule < 32)
			bits |= 1u << rule;
		text = *end ? end + 1 : end;
	}
	return bits;
}

static void read_plugin(void)
{
	conf.enabled = number(NET "SOCKET_ENABLE", 1, 0, 1);
	/* The plugin's own default is 0, which hangs. */
	conf.chunk_bytes = number("NCCL_DYNAMIC_CHUNK_SIZE", 0, 0, 0x7ffffffe);
	conf.n_threads = (int)number("NCCL_SOCKET_NTHREADS", 1, 1, 16);
	conf.socks_per_thread = (int)number("NCCL_NSOCKS_PERTHREAD", 1, 1, 8);
	conf.inline_max_bytes =
		(int)number("NCCL_INLINE_THRESHOLD", 0, 0, 2048);
	conf.use_dmabuf = number("NCCL_USE_DMA_BUF", 1, 0, 1);
	conf.strategy = (int)number(NET "FLOW_STEERING_STRATEGY", 3, 0, 100);
	conf.n_retries = (int)number(NET "CONNECTION_RETRY", 3, 0, 1000);
	conf.recv_sync = number(NET "RECV_SYNC", 0, 0, 1);
	conf.spinwait = number(NET "SPINWAIT_CONNECT", 1, 0, 1);
	conf.steer_wait_us = number(NET "PROGRAM_FLOW_STEERING_WAIT_MICROS",
				    5000000, 1, INT64_MAX / 1000);
	conf.export_stats = number(NET "EXPORT_STATS_TO_FILE", 0, 0, 1);
	conf.export_path = getenv(NET "EXPORTER_PATH") != NULL;
	conf.ifname = text_of(NET "SOCKET_IFNAME");
	conf.ctrl_dev = text_of(NET "CTRL_DEV");
	conf.force_ack = number(NET "FORCE_ACK", 0, 0, 1);
	conf.has_bindings = getenv(NET "TX_BINDINGS") != NULL &&
			    getenv(NET "RX_BINDINGS") != NULL;
}

static void read_double(void)
{
	const char *mode = getenv("DOUBLE_MODE");

	conf.strict = !mode || strcmp(mode, "faithful") != 0;
	conf.allowed = rules_of(getenv("DOUBLE_ALLOW"));
	conf.clock = clock_of(getenv("DOUBLE_CLOCK"));
	conf.seed = (uint64_t)number("DOUBLE_SEED", 1, 0, INT64_MAX);
	conf.delay_us = (int)number("DOUBLE_DELAY_US", 500, 1, 10000000);
	conf.hold_us = (int)number("DOUBLE_HOLD_US", 500, 1, 10000000);
	conf.early_comm = number("DOUBLE_EARLY_COMM", 0, 0, 1);
	conf.poison = number("DOUBLE_POISON", conf.strict, 0, 1);
	conf.frag_min_bytes = (uint32_t)number("DOUBLE_FRAG_MIN", 1, 1, 4096);
	conf.frag_max_bytes =
		(uint32_t)number("DOUBLE_FRAG_MAX", 4096, 1, 4096);
	if (conf.frag_min_bytes > conf.frag_max_bytes)
		conf.frag_min_bytes = conf.frag_max_bytes;
	conf.pool_pages =
		(uint32_t)number("DOUBLE_POOL_PAGES", 16384, 1, 1 << 20);
	conf.pool_span_bytes =
		(uint64_t)number("DOUBLE_POOL_SPAN", 0, 0, (int64_t)1 << 32);
	conf.place_nowhere = number("DOUBLE_PLACE_NOWHERE", 0, 0, 1);
	conf.pool_kind = pool_kind_of(getenv("DOUBLE_POOL_KIND"));
	conf.rate_bytes_s =
		(uint64_t)number("DOUBLE_RATE_MBPS", 0, 0, 1000000) * 1000000;
	conf.starve_ms = (int)number("DOUBLE_STARVE_MS", 10000, 0, 1000000);
	conf.close_ms = (int)number("DOUBLE_CLOSE_MS", 1, 0, 10000);
	conf.loopback_refused = number("DOUBLE_NO_LOOPBACK", 0, 0, 1);
	conf.no_numa = number("DOUBLE_NO_NUMA", 0, 0, 1);
	conf.no_ranges = number("DOUBLE_NO_RANGES", 0, 0, 1);
	conf.delayed_ack = number("DOUBLE_DELAYED_ACK", 0, 0, 1);
	conf.log_flood_hz = (int)number("DOUBLE_LOG_FLOOD", 0, 0, 1000000);
	conf.nics = text_of("DOUBLE_NICS");
	conf.home = text_of("DOUBLE_HOME");
	conf.memory = text_of("DOUBLE_MEMORY");
	conf.pool_from = text_of("DOUBLE_POOL_FROM");
	conf.faults = text_of("DOUBLE_FAULTS");
	conf.report = text_of("DOUBLE_REPORT");
}

static void read_all(void)
{
	read_plugin();
	read_double();
}

const struct conf *conf_get(void)
{
	pthread_once(&once, read_all);
	return &conf;
}
