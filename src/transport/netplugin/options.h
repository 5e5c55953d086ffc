/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETPLUGIN_OPTIONS_H
#define NETPLUGIN_OPTIONS_H

/*
 * The settings of this transport, TCPX_NETPLUGIN_*, and the preconditions of
 * the plugin: what must hold before the first call into it, because it would
 * hang, crash or end the process instead of refusing. docs/netplugin.md has a
 * paragraph on each.
 *
 * All of it is a function of `struct options_env`, so that tests can make
 * hosts that never were.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "topo/nic.h"
#include "transport/transport.h"

/* Where GKE's installer puts the plugin, then where it was on the hosts that
 * this transport was first made for. */
#define OPTIONS_PATH_GKE "/usr/local/nvidia/lib64/libnccl-net.so"
#define OPTIONS_PATH_OLD "/usr/local/tcpx/lib64/libnccl-net-tcpx.so"

#define OPTIONS_PATHS_MAX 4
#define OPTIONS_CHUNK_MAX (512u << 10) /* more overflows a queue's entries */
#define OPTIONS_PAGE 4096u
#define OPTIONS_CHANNELS 8u /* a rail that suit the plugins known */

struct options_env {
	const char *(*get)(void *arg, const char *variable);
	bool (*exists)(void *arg, const char *path);
	void *arg;
};

/* variables.c: the settings, in this order. */
enum options_setting {
	OPTIONS_PATH,
	OPTIONS_ISOLATE,
	OPTIONS_LEND,
	OPTIONS_HELPER,
	OPTIONS_MAP,
	OPTIONS_GPUS,
	OPTIONS_ALLOW,
	OPTIONS_WINDOW, /* to OPTIONS_POOL: numbers */
	OPTIONS_SLOTS,
	OPTIONS_STALL,
	OPTIONS_CONNECT,
	OPTIONS_START,
	OPTIONS_POOL,
	OPTIONS_SETTINGS, /* how many */
};
extern const struct transport_setting options_settings[];

/* Set by a session for its helpers, and by nobody else. */
#define OPTIONS_HELPER_GPU "TCPX_NETPLUGIN_HELPER_GPU"

extern const struct options_env options_env_process;

/* Names for TCPX_NETPLUGIN_ALLOW: what to go on without. Order as in
 * options.c. */
enum options_check {
	OPTIONS_CHUNK_SIZE = 1u << 0,
	OPTIONS_DMA_BUF = 1u << 1,
	OPTIONS_INLINE = 1u << 2,
	OPTIONS_STEERING = 1u << 3,
	OPTIONS_ENABLED = 1u << 4,
	OPTIONS_THREADS = 1u << 5,
	OPTIONS_RETRY = 1u << 6,
	OPTIONS_CONTEXT = 1u << 7,
	OPTIONS_TELEMETRY = 1u << 8,
	OPTIONS_BINDINGS = 1u << 9,
	OPTIONS_CTRL_DEV = 1u << 10,
	OPTIONS_NUMA = 1u << 11,
	OPTIONS_PCI = 1u << 12,
	OPTIONS_DAEMON = 1u << 13,
	OPTIONS_HOME_NIC = 1u << 14,
	OPTIONS_LOOPBACK = 1u << 15,
	OPTIONS_DEVICE_MEMORY = 1u << 16,
};

struct options {
	const char *paths[OPTIONS_PATHS_MAX + 1]; /* NULL at the end */
	const char *map; /* "0=eth1,1=eth1": GPU -> interface; NULL: by
				   PCI distance */
	const char *gpus; /* "0,3": those that are used; NULL: all */
	const char *helper; /* its path; NULL: found by itself */
	int64_t only_gpu; /* a helper's; -1: all */
	bool isolate;
	bool lend; /* a helper its plugin's pages, if they can be */
	uint32_t allow; /* of enum options_check */
	uint32_t chunk_bytes; /* NCCL_DYNAMIC_CHUNK_SIZE, or ours if unset */
	bool chunk_given;
	uint32_t window; /* requests of a comm at once, at most 16 */
	uint32_t n_slots; /* of a sending channel */
	uint32_t n_sockets; /* data sockets a comm, as the plugin has them */
	bool recv_sync;
	uint32_t stall_ms; /* without progress until a comm has failed */
	uint32_t connect_ms; /* until a half-made comm has */
	uint32_t start_ms; /* until a helper has not started */
	uint64_t pool_bytes; /* of the plugin's receive pool; 0: ask the GPU */
};

/*
 * Reads TCPX_NETPLUGIN_* (and older names), and of the plugin's own what both
 * ends must agree on. chunk_bytes: what the session wants where the plugin's
 * variable is not set. TCPX_EINVAL with the reason.
 */
int options_read(const struct options_env *env, uint32_t chunk_bytes,
		 struct options *options, char *why, size_t cap_bytes);

#define OPTIONS_GPU_LEFT_OUT "TCPX_NETPLUGIN_GPUS leaves this GPU out"
/* Of n. Numbers of the setting go round, as those of ranks on a host may. */
bool options_wants_gpu(const struct options *options, uint32_t gpu, uint32_t n);

/* The plugin's variables: the first that would hang or kill it, in words,
 * unless allowed. Nothing of it depends on a GPU or NIC. */
int options_check_env(const struct options_env *env,
		      const struct options *options, char *why,
		      size_t cap_bytes);

/* The daemon's sockets for this GPU ("0000:04:00.0"). */
int options_check_daemon(const struct options_env *env,
			 const struct options *options, const char *gpu_pci,
			 char *why, size_t cap_bytes);

/* Where the daemon's sockets are, as far as the plugin is told: not checked. */
const char *options_daemon_dir(const struct options_env *env);
/* Whether the environment says so, and it is not merely where they would be. */
bool options_names_daemon(const struct options_env *env);

/* What crashes the plugin in its init, about any NIC that it sees. */
int options_check_numa(const struct options_env *env,
		       const struct options *options, const char *ifname,
		       int numa_node, char *why, size_t cap_bytes);
/* And later, about one that is used; pci: "" for none. */
int options_check_nic(const struct options_env *env,
		      const struct options *options, const char *ifname,
		      const char *pci, char *why, size_t cap_bytes);
/* bindings.c: TX_BINDINGS and RX_BINDINGS, where they are set: ranges for each
 * NIC named, and ifname, unless NULL, is named. */
int options_check_bindings(const struct options_env *env,
			   const struct options *options, const char *ifname,
			   char *why, size_t cap_bytes);

/* Both are set by now: where there was a range of CPUs to set them to. */
int options_check_bound(const struct options_env *env,
			const struct options *options, char *why,
			size_t cap_bytes);

/* The interfaces that the plugin will take for its NICs, by its SOCKET_IFNAME.
 * What is no interface of this host is not among them. */
void options_nics(const struct options_env *env, struct nic nics[NICS_MAX],
		  uint32_t *n_nics);

struct gpu_set;
/*
 * What kills the plugin in its init, or makes its start useless, of GPUs and
 * NICs: to be asked before its first call. gpus: NULL for none. TCPX_EAGAIN:
 * the receive daemon serves none of them, yet.
 */
int options_check_host(const struct options_env *env,
		       const struct options *options, struct gpu_set *gpus,
		       bool needs_daemon, char *why, size_t cap_bytes);

/* "NAME: words (to go on all the same: ...)": the name comes first, because
 * what is long is cut on its way. Returns TCPX_EUNSUPPORTED. */
int options_refuse(char *why, size_t cap_bytes, enum options_check check,
		   const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/*
 * The variables to set for the plugin where they are not set: calls set for
 * each, with values that live until it returns.
 */
void options_for_plugin(const struct options_env *env,
			const struct options *options,
			void (*set)(void *arg, const char *variable,
				    const char *value),
			void *arg);

/* The same for TX_BINDINGS and RX_BINDINGS, from the CPUs near the NICs, or all
 * where these are not known. Takes up to 100 ms. */
void options_bindings_for_plugin(const struct options_env *env,
				 void (*set)(void *arg, const char *variable,
					     const char *value),
				 void *arg);

/* "home-nic", for messages: how to go on without. */
const char *options_check_name(enum options_check check);

#endif
