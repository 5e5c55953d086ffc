/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tcpx/status.h>

#include "base/log.h"
#include "gpu/gpu.h"
#include "topo/distance.h"
#include "topo/homes.h"
#include "topo/nic.h"
#include "transport/netplugin/netplugin.h"

/* GPU -> home NIC, both by name and in words. */

struct names {
	const struct plugin *plugin;
	char (*pci)[GPU_PCI_MAX]; /* of each GPU */
};

static const char *name_of(const void *arg, uint32_t nic)
{
	const struct names *names = arg;

	return names->plugin->devices[nic].name;
}

static const char *pci_of(const void *arg, uint32_t gpu)
{
	const struct names *names = arg;

	return names->pci[gpu];
}

/* ---- what there is ----------------------------------------------------- */

/* One rail a GPU; without GPUs one for host memory. */
static void list_gpus(struct transport *t, char (*pci)[GPU_PCI_MAX])
{
	struct gpu_info info;
	char why[128];
	uint32_t n = t->gpus ? gpu_set_count(t->gpus, why, sizeof(why)) : 0;

	if (n > NETPLUGIN_RAILS_MAX)
		n = NETPLUGIN_RAILS_MAX;
	for (uint32_t i = 0; i < n; i++) {
		t->rails[i].gpu_index = i;
		if (!gpu_set_info(t->gpus, i, &info))
			snprintf(pci[i], GPU_PCI_MAX, "%s", info.pci);
	}
	t->n_rails = n ? n : 1;
}

static void measure(const struct transport *t, char (*pci)[GPU_PCI_MAX],
		    uint32_t *distance)
{
	const struct plugin *plugin = t->plugin;
	struct topo_map *map = NULL;

	if (topo_map_load(NULL, &map))
		map = NULL;
	for (uint32_t g = 0; g < t->n_rails; g++) {
		for (uint32_t n = 0; n < plugin->n_devices; n++) {
			const char *nic = plugin->devices[n].pci;
			uint32_t *d = &distance[g * plugin->n_devices + n];

			*d = TOPO_UNKNOWN;
			if (map && pci[g][0] && nic[0])
				*d = topo_map_distance(map, pci[g], nic);
		}
	}
	topo_map_free(map);
}

/* Over what distances say. */
static int read_map(struct transport *t, char (*pci)[GPU_PCI_MAX],
		    uint32_t *home, char *why, size_t cap_bytes)
{
	const struct plugin *plugin = t->plugin;
	const struct names own = {plugin, pci};
	const struct homes_names names = {t->n_rails, plugin->n_devices,
					  name_of, pci_of, &own};
	const char *wrong;
	int n = homes_read_map(t->options.map, &names, home, &wrong);

	if (n < 0)
		snprintf(why, cap_bytes,
			 "TCPX_NETPLUGIN_MAP: no GPU and interface at "
			 "\"%.40s\" (the plugin has %s%s)",
			 wrong, plugin->devices[0].name,
			 plugin->n_devices > 1 ? " and more" : "");
	else if (!n)
		snprintf(why, cap_bytes,
			 "TCPX_NETPLUGIN_MAP names none of the %u GPUs of this "
			 "process, the first of which is 0 or %s",
			 t->n_rails, pci[0][0] ? pci[0] : "of no address");
	return n > 0 ? TCPX_OK : TCPX_EUNSUPPORTED;
}

static int plan(struct transport *t, char (*pci)[GPU_PCI_MAX], uint32_t *home,
		char *why, size_t cap_bytes)
{
	uint32_t n_nics = t->plugin->n_devices;
	uint32_t *distance =
		calloc((size_t)t->n_rails * n_nics, sizeof(*distance));
	int err = TCPX_OK;

	if (!distance)
		return TCPX_ENOMEM;
	measure(t, pci, distance);
	homes_plan(distance, t->n_rails, n_nics, home);
	free(distance);
	/* One NIC, or memory of the host: no distance decides. */
	for (uint32_t g = 0; g < t->n_rails; g++)
		if (home[g] == HOME_NONE && (n_nics == 1 || !t->gpus) &&
		    !(t->plugin->quirks & PLUGIN_HOME_NIC_ONLY))
			home[g] = 0;
	if (t->options.map)
		err = read_map(t, pci, home, why, cap_bytes);
	if (!err && t->options.allow & OPTIONS_HOME_NIC)
		homes_guess(t->n_rails, n_nics, home);
	return err;
}

/* ---- can it be used ---------------------------------------------------- */

/* Where side connections go: the NIC's own address; that of any, where the
 * plugin's name is no interface of ours. */
static int side_address(const char *ifname, struct nic *nic, char *why,
			size_t cap_bytes)
{
	struct nic nics[NICS_MAX];
	uint32_t n;

	if (nic_list(ifname, nics, &n, why, cap_bytes) &&
	    nic_list(NULL, nics, &n, why, cap_bytes))
		return TCPX_EUNSUPPORTED;
	*nic = nics[0];
	return TCPX_OK;
}

static int check(struct transport *t, struct rail *rail, const char *gpu_pci)
{
	const struct options_env *env = &options_env_process;
	const struct plugin_props *props = &t->plugin->devices[rail->dev];
	char *why = rail->refusal;
	size_t cap = sizeof(rail->refusal);
	int err = TCPX_OK;

	if (t->plugin->quirks & PLUGIN_CHECK_ENV)
		err = options_check_nic(env, &t->options, rail->ifname,
					props->pci, why, cap);
	if (!err && t->plugin->quirks & PLUGIN_NEEDS_DAEMON) {
		err = options_check_daemon(env, &t->options, gpu_pci, why, cap);
		rail->awaits_daemon = err != 0;
	}
	if (!err && !rail->gpu && t->ptr_kind == NETPLUGIN_PTR_CUDA &&
	    !(t->options.allow & OPTIONS_DEVICE_MEMORY))
		err = options_refuse(why, cap, OPTIONS_DEVICE_MEMORY,
				     "no GPU, and the plugin receives into GPU "
				     "memory");
	return err;
}

static void fill_rail(struct transport *t, uint32_t i, uint32_t home,
		      const char *gpu_pci)
{
	struct rail *rail = &t->rails[i];
	size_t cap = sizeof(rail->refusal);
	struct nic nic;

	if (t->options.only_gpu >= 0 && t->options.only_gpu != (int64_t)i) {
		snprintf(rail->refusal, cap, "another helper's");
		return;
	}
	if (!options_wants_gpu(&t->options, i, t->n_rails)) {
		snprintf(rail->refusal, cap, OPTIONS_GPU_LEFT_OUT);
		return;
	}
	if (home == HOME_NONE) {
		(void)options_refuse(rail->refusal, cap, OPTIONS_HOME_NIC,
				     "no NIC of the plugin is near GPU %u; "
				     "TCPX_NETPLUGIN_MAP=%u=INTERFACE says "
				     "which one is its",
				     i, i);
		return;
	}
	rail->dev = (int)home;
	snprintf(rail->ifname, sizeof(rail->ifname), "%.15s",
		 t->plugin->devices[home].name);
	if (side_address(rail->ifname, &nic, rail->refusal, cap))
		return;
	rail->addr = nic.addr;
	if (t->gpus && gpu_set_open(t->gpus, i, &rail->gpu, rail->refusal, cap))
		return;
	if (!check(t, rail, gpu_pci))
		rail->refusal[0] = '\0';
}

int rails_find(struct transport *t, char *why, size_t cap_bytes)
{
	char pci[NETPLUGIN_RAILS_MAX][GPU_PCI_MAX] = {0};
	uint32_t home[NETPLUGIN_RAILS_MAX], n_good = 0, i_refused;

	list_gpus(t, pci);
	int err = plan(t, pci, home, why, cap_bytes);
	if (err)
		return err;
	for (uint32_t i = 0; i < t->n_rails; i++) {
		fill_rail(t, i, home[i], pci[i]);
		if (t->options.only_gpu >= 0 &&
		    t->options.only_gpu != (int64_t)i)
			continue;
		if (!options_wants_gpu(&t->options, i, t->n_rails))
			continue;
		if (t->rails[i].refusal[0])
			log_warn(t->log, "netplugin", "GPU %u: %s", i,
				 t->rails[i].refusal);
		else
			log_info(t->log, "netplugin", "GPU %u is at home on %s",
				 i, t->rails[i].ifname);
		n_good += !t->rails[i].refusal[0];
	}
	if (n_good)
		return TCPX_OK;
	i_refused = t->options.only_gpu > 0 ? (uint32_t)t->options.only_gpu : 0;
	snprintf(why, cap_bytes, "%s",
		 t->rails[i_refused % t->n_rails].refusal);
	return t->rails[i_refused % t->n_rails].awaits_daemon ?
		       TCPX_EAGAIN :
		       TCPX_EUNSUPPORTED;
}

/* ---- which for a peer -------------------------------------------------- */

struct rail *rails_for(struct transport *t, uint32_t index, const char *ifname,
		       char *why, size_t cap_bytes)
{
	uint32_t home[NETPLUGIN_RAILS_MAX], nic = HOME_NONE, gpu;

	for (uint32_t i = 0; i < t->n_rails; i++) {
		const struct rail *rail = &t->rails[i];

		home[i] = rail->refusal[0] ? HOME_NONE : (uint32_t)rail->dev;
		if (!rail->refusal[0] && !strcmp(rail->ifname, ifname))
			nic = (uint32_t)rail->dev;
	}
	gpu = nic == HOME_NONE ? HOME_NONE :
				 homes_slot_gpu(home, t->n_rails, index, nic);
	if (gpu != HOME_NONE)
		return &t->rails[gpu];
	snprintf(why, cap_bytes,
		 "the peer's GPU is at home on %s, and no GPU "
		 "that this process may use is; one process for all GPUs, or "
		 "TCPX_NETPLUGIN_MAP, would help",
		 ifname);
	return NULL;
}
