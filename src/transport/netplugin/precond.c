/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tcpx/status.h>

#include "base/text.h"
#include "transport/netplugin/options.h"

#define NET "NCCL_GPUDIRECTTCPX_"

static const char *get(const struct options_env *env, const char *variable)
{
	return env->get(env->arg, variable);
}

static long long number(const struct options_env *env, const char *variable,
			long long unset)
{
	const char *text = get(env, variable);

	return text ? strtoll(text, NULL, 0) : unset;
}

int options_refuse(char *why, size_t cap_bytes, enum options_check check,
		   const char *fmt, ...)
{
	const char *name = options_check_name(check);
	struct text out;
	va_list args;

	text_init(&out, why, cap_bytes);
	text_add(&out, "%s: ", name);
	va_start(args, fmt);
	text_vadd(&out, fmt, args);
	va_end(args);
	text_add(&out, " (to go on all the same: TCPX_NETPLUGIN_ALLOW=%s)",
		 name);
	return TCPX_EUNSUPPORTED;
}

/*
 * Variables that the plugin reads, which values are good, and what a bad one
 * does. min to max; unset is good, because options_for_plugin() sets what
 * must be set.
 */
static const struct {
	const char *variable;
	enum options_check check;
	long long unset, min, max;
	const char *harm;
} rules[] = {
	{"NCCL_USE_DMA_BUF", OPTIONS_DMA_BUF, 1, 1, 1,
	 "no memory can be registered"},
	{"NCCL_INLINE_THRESHOLD", OPTIONS_INLINE, 0, 0, 0,
	 "small messages would be sent as if they were in host memory"},
	{NET "FLOW_STEERING_STRATEGY", OPTIONS_STEERING, 3, 3, 3,
	 "its init refuses"},
	{NET "SOCKET_ENABLE", OPTIONS_ENABLED, 1, 1, 1, "its init refuses"},
	{"NCCL_SOCKET_NTHREADS", OPTIONS_THREADS, 1, 1, 8,
	 "threads would be without sockets"},
	{"NCCL_NSOCKS_PERTHREAD", OPTIONS_THREADS, 1, 1, 8,
	 "the default would be taken instead"},
	{NET "CONNECTION_RETRY", OPTIONS_RETRY, 3, 1, 1000,
	 "it would never connect"},
	{NET "CUDA_USE_PRIMARY_CTX", OPTIONS_CONTEXT, 1, 1, 1,
	 "it would work in CUDA contexts of its own"},
};

static int check_numbers(const struct options_env *env,
			 const struct options *options, char *why,
			 size_t cap_bytes)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		long long value =
			number(env, rules[i].variable, rules[i].unset);

		if ((value >= rules[i].min && value <= rules[i].max) ||
		    options->allow & rules[i].check)
			continue;
		return options_refuse(why, cap_bytes, rules[i].check,
				      "%s is %lld: %s; unset it",
				      rules[i].variable, value, rules[i].harm);
	}
	return TCPX_OK;
}

static int check_chunk(const struct options *options, char *why,
		       size_t cap_bytes)
{
	uint32_t chunk = options->chunk_bytes;

	if (options->allow & OPTIONS_CHUNK_SIZE)
		return chunk ? TCPX_OK :
			       options_refuse(
				       why, cap_bytes, OPTIONS_CHUNK_SIZE,
				       "NCCL_DYNAMIC_CHUNK_SIZE must be set, "
				       "also with");
	if (chunk && chunk % OPTIONS_PAGE == 0 && chunk <= OPTIONS_CHUNK_MAX)
		return TCPX_OK;
	return options_refuse(
		why, cap_bytes, OPTIONS_CHUNK_SIZE,
		"NCCL_DYNAMIC_CHUNK_SIZE is %u: with 0 the plugin never "
		"ends, beyond 524288 its lists overflow; set a multiple "
		"of 4096 up to 524288, the same at both ends",
		chunk);
}

/* Telemetry that is exported to a file crashes it without the file's path, and
 * was tried with nobody's: it is to be off. */
static int check_telemetry(const struct options_env *env,
			   const struct options *options, char *why,
			   size_t cap_bytes)
{
	static const char *const exports[] = {
		NET "EXPORT_STATS_TO_FILE",
		NET "TELEMETRY_EXPORT_STATS_TO_FILE",
	};
	bool path = get(env, NET "EXPORTER_PATH") ||
		    get(env, NET "TELEMETRY_EXPORTER_PATH");

	for (int i = 0; i < 2; i++)
		if (number(env, exports[i], 0) &&
		    !(options->allow & OPTIONS_TELEMETRY))
			return options_refuse(
				why, cap_bytes, OPTIONS_TELEMETRY, "%s is on%s",
				exports[i],
				path ? "; unset it" :
				       ", and without an EXPORTER_PATH the "
				       "plugin crashes; unset it");
	return TCPX_OK;
}

static int check_ctrl_dev(const struct options_env *env,
			  const struct options *options, char *why,
			  size_t cap_bytes)
{
	const char *ctrl = get(env, NET "CTRL_DEV");
	char path[96];

	if (!ctrl || options->allow & OPTIONS_CTRL_DEV)
		return TCPX_OK;
	snprintf(path, sizeof(path), "/sys/class/net/%.60s", ctrl);
	if (env->exists(env->arg, path))
		return TCPX_OK;
	return options_refuse(
		why, cap_bytes, OPTIONS_CTRL_DEV,
		NET
		"CTRL_DEV is %s, and there is no such interface: the plugin "
		"would use an address it never set",
		ctrl);
}

int options_check_env(const struct options_env *env,
		      const struct options *options, char *why,
		      size_t cap_bytes)
{
	int err = check_chunk(options, why, cap_bytes);

	if (!err)
		err = check_numbers(env, options, why, cap_bytes);
	if (!err && options->n_sockets > 8 &&
	    !(options->allow & OPTIONS_THREADS))
		err = options_refuse(
			why, cap_bytes, OPTIONS_THREADS,
			"NCCL_NSOCKS_PERTHREAD x NCCL_SOCKET_NTHREADS is "
			"%u: a comm has at most 8 sockets",
			options->n_sockets);
	if (!err)
		err = options_check_bindings(env, options, NULL, why,
					     cap_bytes);
	if (!err)
		err = check_telemetry(env, options, why, cap_bytes);
	if (!err)
		err = check_ctrl_dev(env, options, why, cap_bytes);
	return err;
}

/* GKE's deployments have the daemon's sockets here; the plugin's own default
 * is /tmp. */
#define DAEMON_DIR "/run/tcpx"

const char *options_daemon_dir(const struct options_env *env)
{
	const char *prefix = get(env, NET "UNIX_CLIENT_PREFIX");

	if (prefix)
		return prefix;
	return env->exists(env->arg, DAEMON_DIR) ? DAEMON_DIR : "/tmp";
}

bool options_names_daemon(const struct options_env *env)
{
	return get(env, NET "UNIX_CLIENT_PREFIX") != NULL;
}

int options_check_daemon(const struct options_env *env,
			 const struct options *options, const char *gpu_pci,
			 char *why, size_t cap_bytes)
{
	const char *dir = options_daemon_dir(env);
	char path[512];

	if (options->allow & OPTIONS_DAEMON)
		return TCPX_OK;
	snprintf(path, sizeof(path), "%s/rx_rule_manager", dir);
	if (env->exists(env->arg, path)) {
		snprintf(path, sizeof(path), "%s/get_gpu_fd_%s", dir, gpu_pci);
		if (env->exists(env->arg, path))
			return TCPX_OK;
	}
	return options_refuse(
		why, cap_bytes, OPTIONS_DAEMON,
		"no socket %s: the receive daemon (RxDM) does not run, "
		"has not got this far (it takes up to 30 s), serves "
		"other GPUs, or has its sockets elsewhere (" NET
		"UNIX_CLIENT_PREFIX)",
		path);
}

int options_check_numa(const struct options_env *env,
		       const struct options *options, const char *ifname,
		       int numa_node, char *why, size_t cap_bytes)
{
	if (numa_node >= 0 || options->allow & OPTIONS_NUMA ||
	    env->exists(env->arg, "/sys/devices/system/node/node1"))
		return TCPX_OK;
	return options_refuse(why, cap_bytes, OPTIONS_NUMA,
			      "the NUMA node of %s is not known and there is "
			      "no node1: the plugin crashes in its init",
			      ifname);
}

int options_check_nic(const struct options_env *env,
		      const struct options *options, const char *ifname,
		      const char *pci, char *why, size_t cap_bytes)
{
	char path[96];

	if (!pci[0] && !(options->allow & OPTIONS_PCI))
		return options_refuse(why, cap_bytes, OPTIONS_PCI,
				      "%s is no PCI device: the plugin crashes "
				      "when it registers memory for it",
				      ifname);
	snprintf(path, sizeof(path), "/sys/class/net/%.60s", ifname);
	if (!env->exists(env->arg, path))
		return TCPX_OK; /* nobody can have named it */
	return options_check_bindings(env, options, ifname, why, cap_bytes);
}

void options_for_plugin(const struct options_env *env,
			const struct options *options,
			void (*set)(void *arg, const char *variable,
				    const char *value),
			void *arg)
{
	char chunk[16];
	const struct {
		const char *variable, *value;
	} wanted[] = {
		{"NCCL_DYNAMIC_CHUNK_SIZE", chunk},
		{"NCCL_SOCKET_NTHREADS", "1"},
		{"NCCL_NSOCKS_PERTHREAD", "4"},
		/* Its own 5 s are for the slowest daemons. */
		{NET "PROGRAM_FLOW_STEERING_WAIT_MICROS", "500000"},
		{NET "UNIX_CLIENT_PREFIX", options_daemon_dir(env)},
	};

	snprintf(chunk, sizeof(chunk), "%u", options->chunk_bytes);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		if (!get(env, wanted[i].variable))
			set(arg, wanted[i].variable, wanted[i].value);
}
