/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_NETPLUGIN_CONF_H
#define FAKES_NETPLUGIN_CONF_H

/*
 * What the environment says: the plugin's own variables (NCCL_...), and the
 * double's (DOUBLE_...). Read once, by the first call that needs it; what
 * changes later changes nothing, as with the plugin.
 */

#include <stdbool.h>
#include <stdint.h>

enum clock_mode {
	CLOCK_FAST,	/* as fast as it goes */
	CLOCK_REAL,	/* 100 ms a socket, as the plugin connects */
	CLOCK_RANDOM,	/* completions and comms after random delays */
	CLOCK_WORST,	/* the comm that was made first is served last */
};

/* Of the pages, where there is a GPU. */
enum pool_kind {
	POOL_IMPORTED,	/* its memory, imported from a descriptor */
	POOL_PLAIN,	/* its memory, as anybody allocates it */
	POOL_HOST,	/* host memory that it has mapped, imported as well */
	POOL_UNKNOWN,
};

struct conf {
	/* the plugin's own */
	bool enabled;
	int64_t chunk_bytes;
	int n_threads;
	int socks_per_thread;
	int inline_max_bytes;
	bool use_dmabuf;
	int strategy;
	int n_retries;
	bool recv_sync;
	bool spinwait;
	int64_t steer_wait_us;
	bool export_stats;
	bool export_path;
	const char *ifname; /* NULL: every interface but lo and docker */
	const char *ctrl_dev; /* NULL: that of the data */
	bool force_ack;
	bool has_bindings; /* of transmit and of receive */
	/* the double's */
	bool strict;
	uint32_t allowed; /* bit per rule that strict mode lets pass */
	enum clock_mode clock;
	uint64_t seed;
	int delay_us; /* CLOCK_RANDOM: the longest delay of a completion */
	int hold_us; /* CLOCK_WORST: that of a comm before the next */
	bool early_comm; /* connect() gives its comm at once */
	bool poison; /* pages that come back */
	uint32_t frag_min_bytes, frag_max_bytes;
	uint32_t pool_pages;
	uint64_t pool_span_bytes;
	bool place_nowhere; /* what comes is dropped: lists tell of junk */
	enum pool_kind pool_kind;
	uint64_t rate_bytes_s; /* of one comm; 0: none */
	int starve_ms; /* rule 11: longest time without test(); 0: any */
	int close_ms; /* a data socket's rule takes that long to remove */
	bool loopback_refused; /* a receive over lo ends the process */
	bool no_numa; /* the NICs' node reads -1, and there is no node1 */
	bool no_ranges; /* their node's list of CPUs is "0,2", without "a-b" */
	bool delayed_ack; /* the receiving kernel takes its time */
	int log_flood_hz; /* lines a second from a thread of its own */
	const char *nics;
	const char *home;
	const char *memory;
	const char *pool_from; /* a daemon's directory */
	const char *faults;
	const char *report;
};

const struct conf *conf_get(void);

#endif
