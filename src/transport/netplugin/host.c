/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <tcpx/status.h>

#include "base/item.h"
#include "gpu/gpu.h"
#include "topo/nic.h"
#include "transport/netplugin/options.h"

/* The host as the plugin will find it: asked of the system, because the plugin
 * may crash while it looks itself. */

#define IFNAMES "NCCL_GPUDIRECTTCPX_SOCKET_IFNAME"

static void add(struct nic nics[NICS_MAX], uint32_t *n_nics,
		const struct nic *nic)
{
	for (uint32_t i = 0; i < *n_nics; i++)
		if (nics[i].ifindex == nic->ifindex)
			return;
	if (*n_nics < NICS_MAX)
		nics[(*n_nics)++] = *nic;
}

/* All that this pattern of ours means: none, if there is no such thing. */
static void add_all(struct nic nics[NICS_MAX], uint32_t *n_nics,
		    const char *pattern, bool (*leave_out)(const char *ifname))
{
	struct nic found[NICS_MAX];
	char why[128];
	uint32_t n;

	if (nic_list(pattern, found, &n, why, sizeof(why)))
		return;
	for (uint32_t i = 0; i < n; i++)
		if (!leave_out || !leave_out(found[i].ifname))
			add(nics, n_nics, &found[i]);
}

/* Without a list. */
static bool is_left_out(const char *ifname)
{
	return !strcmp(ifname, "lo") || !strncmp(ifname, "docker", 6);
}

/* Its names are prefixes, unless a "=" stands before them all; ours are whole,
 * unless a "*" stands behind one. "^" leaves out, in both. */
void options_nics(const struct options_env *env, struct nic nics[NICS_MAX],
		  uint32_t *n_nics)
{
	const char *list = env->get(env->arg, IFNAMES);
	bool others = list && *list == '^';
	char pattern[256];
	struct item item;
	int at = 0;

	*n_nics = 0;
	if (!list) {
		add_all(nics, n_nics, "*", is_left_out);
		return;
	}
	list += others;
	const char *star = *list == '=' ? "" : "*";
	list += *list == '=';
	while (item_next(&list, &item) && at < (int)sizeof(pattern) - 40) {
		if (!others)
			at = 0;
		at += snprintf(pattern + at, sizeof(pattern) - (size_t)at,
			       "%s%.*s%s",
			       !others ? "" :
			       at      ? "," :
					 "^",
			       (int)(item.len_bytes < 32 ? item.len_bytes : 32),
			       item.text, star);
		if (!others)
			add_all(nics, n_nics, pattern, NULL);
	}
	if (others && at)
		add_all(nics, n_nics, pattern, NULL);
}

static int check_numa(const struct options_env *env,
		      const struct options *options, char *why,
		      size_t cap_bytes)
{
	struct nic nics[NICS_MAX];
	uint32_t n;
	int err = TCPX_OK;

	options_nics(env, nics, &n);
	for (uint32_t i = 0; i < n && !err; i++)
		err = options_check_numa(env, options, nics[i].ifname,
					 nics[i].numa_node, why, cap_bytes);
	return err;
}

/* One GPU that the daemon serves is enough: the others' rails say it. With none
 * it may not have started yet. */
static int check_daemon(const struct options_env *env,
			const struct options *options, struct gpu_set *gpus,
			char *why, size_t cap_bytes)
{
	struct gpu_info info;
	int err = TCPX_OK;
	uint32_t n = gpu_set_count(gpus, why, cap_bytes);

	for (uint32_t i = 0; i < n; i++) {
		if (options->only_gpu >= 0 && options->only_gpu != (int64_t)i)
			continue;
		if (!options_wants_gpu(options, i, n))
			continue;
		if (gpu_set_info(gpus, i, &info))
			continue;
		err = options_check_daemon(env, options, info.pci, why,
					   cap_bytes);
		if (!err)
			return TCPX_OK;
	}
	return err ? TCPX_EAGAIN : TCPX_OK;
}

int options_check_host(const struct options_env *env,
		       const struct options *options, struct gpu_set *gpus,
		       bool needs_daemon, char *why, size_t cap_bytes)
{
	int err = check_numa(env, options, why, cap_bytes);

	if (!err && needs_daemon && gpus)
		err = check_daemon(env, options, gpus, why, cap_bytes);
	return err;
}
