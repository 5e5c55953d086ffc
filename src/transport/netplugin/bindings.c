/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/text.h"
#include "topo/distance.h"
#include "topo/nic.h"
#include "transport/netplugin/options.h"

#define NET "NCCL_GPUDIRECTTCPX_"
#define BINDINGS_BYTES 1024

/* "eth1:0-51,104-155;eth2:...": the CPUs near each NIC. A NIC whose CPUs are
 * not known, or are single ones (on which the plugin divides by zero), is left
 * out. */
static void describe(const struct nic *nics, uint32_t n, struct text *out)
{
	struct topo_map *map;
	char cpus[128];

	if (topo_map_load(NULL, &map))
		return;
	for (uint32_t i = 0; i < n; i++) {
		if (!nics[i].pci[0])
			continue;
		topo_map_cpus(map, nics[i].pci, cpus, sizeof(cpus));
		if (strchr(cpus, '-'))
			text_add(out, "%s%s:%s", out->len_bytes ? ";" : "",
				 nics[i].ifname, cpus);
	}
	topo_map_free(map);
}

/* The plugin's forms of the list ("=eth1", "^docker") that ours is not. */
static const char *plain_list(const char *list)
{
	return list && *list == '=' ? list + 1 : list;
}

void options_bindings_for_plugin(const struct options_env *env,
				 void (*set)(void *arg, const char *variable,
					     const char *value),
				 void *arg)
{
	bool tx = env->get(env->arg, NET "TX_BINDINGS");
	bool rx = env->get(env->arg, NET "RX_BINDINGS");
	struct nic nics[NICS_MAX];
	char buf[BINDINGS_BYTES], why[128];
	struct text out;
	uint32_t n;

	if ((tx && rx) ||
	    nic_list(plain_list(env->get(env->arg, NET "SOCKET_IFNAME")), nics,
		     &n, why, sizeof(why)))
		return;
	text_init(&out, buf, sizeof(buf));
	describe(nics, n, &out);
	if (!out.len_bytes || text_status(&out))
		return;
	if (!tx)
		set(arg, NET "TX_BINDINGS", buf);
	if (!rx)
		set(arg, NET "RX_BINDINGS", buf);
}
