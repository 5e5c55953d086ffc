/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every precondition at once, for whoever sets a host up: opening stops at the
 * first that does not hold. Nothing is loaded, so the plugin is taken for
 * GPUDirect-TCPX, which all of them are about; its devices are guessed from
 * the host's interfaces.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tcpx/status.h>

#include "base/item.h"
#include "gpu/gpu.h"
#include "topo/distance.h"
#include "topo/homes.h"
#include "topo/nic.h"
#include "transport/netplugin/open.h"

struct explanation {
	const struct transport_params *params;
	struct options options;
	struct nic nics[NICS_MAX];
	uint32_t n_nics, n_gpus;
	char pci[NETPLUGIN_RAILS_MAX][GPU_PCI_MAX];
	void (*say)(void *arg, const char *check, const char *why);
	void *arg;
};

/* As if everything but this check were allowed. */
static struct options only(const struct explanation *e,
			   enum options_check check)
{
	struct options options = e->options;

	options.allow = ~(uint32_t)check;
	return options;
}

/* err: whether why is filled. What the user allows does not count. Whoever is
 * told the check's name need not hear it again. */
static void say(const struct explanation *e, enum options_check check, int err,
		const char *why)
{
	const char *name = options_check_name(check);
	bool holds = !err || e->options.allow & check;
	size_t len = strlen(name);

	if (!strncmp(why, name, len) && !strncmp(why + len, ": ", 2))
		why += len + 2;
	e->say(e->arg, name, holds ? NULL : why);
}

static void explain_env(const struct explanation *e)
{
	char why[400] = "";

	for (uint32_t check = OPTIONS_CHUNK_SIZE; check <= OPTIONS_CTRL_DEV;
	     check <<= 1) {
		struct options options = only(e, check);
		int err = options_check_env(&options_env_process, &options, why,
					    sizeof(why));

		say(e, check, err, why);
	}
}

/* The plugin looks at all NICs that it finds. */
static void explain_nics(const struct explanation *e)
{
	struct options options = only(e, OPTIONS_NUMA);
	char why[400] = "";
	int err;

	for (uint32_t n = 0; n < e->n_nics; n++) {
		err = options_check_numa(&options_env_process, &options,
					 e->nics[n].ifname,
					 e->nics[n].numa_node, why,
					 sizeof(why));
		say(e, OPTIONS_NUMA, err, why);
	}
}

/* One that is used. */
static void explain_home(const struct explanation *e, const struct nic *nic)
{
	struct options options = only(e, OPTIONS_PCI);
	char why[400] = "";
	int err = options_check_nic(&options_env_process, &options, nic->ifname,
				    nic->pci, why, sizeof(why));

	say(e, OPTIONS_PCI, err, why);
	options = only(e, OPTIONS_BINDINGS);
	err = options_check_nic(&options_env_process, &options, nic->ifname,
				nic->pci, why, sizeof(why));
	if (err) /* else it was said to hold */
		say(e, OPTIONS_BINDINGS, err, why);
}

static const char *name_of(const void *arg, uint32_t nic)
{
	const struct explanation *e = arg;

	return e->nics[nic].ifname;
}

static const char *pci_of(const void *arg, uint32_t gpu)
{
	const struct explanation *e = arg;

	return e->pci[gpu];
}

/* The NIC of each GPU, by the map or by distance; false with the reason. */
static bool find_homes(const struct explanation *e, uint32_t *home, char *why,
		       size_t cap_bytes)
{
	const struct homes_names names = {e->n_gpus, e->n_nics, name_of, pci_of,
					  e};
	struct topo_map *map = NULL;
	uint32_t distance[NICS_MAX];
	const char *wrong;
	int n = 1;

	if (topo_map_load(NULL, &map))
		map = NULL;
	for (uint32_t g = 0; g < e->n_gpus; g++) {
		for (uint32_t i = 0; i < e->n_nics; i++)
			distance[i] =
				map && e->pci[g][0] && e->nics[i].pci[0] ?
					topo_map_distance(map, e->pci[g],
							  e->nics[i].pci) :
					TOPO_UNKNOWN;
		homes_plan(distance, 1, e->n_nics, &home[g]);
	}
	topo_map_free(map);
	if (e->options.map)
		n = homes_read_map(e->options.map, &names, home, &wrong);
	if (n < 0)
		snprintf(why, cap_bytes,
			 "TCPX_NETPLUGIN_MAP: no GPU and interface at "
			 "\"%.40s\"",
			 wrong);
	else if (!n)
		snprintf(why, cap_bytes,
			 "TCPX_NETPLUGIN_MAP names none of the %u GPUs here",
			 e->n_gpus);
	else if (e->n_nics && e->options.allow & OPTIONS_HOME_NIC)
		homes_guess(e->n_gpus, e->n_nics, home);
	return n > 0;
}

static void explain_gpu(const struct explanation *e, uint32_t gpu,
			uint32_t home)
{
	struct options options = only(e, OPTIONS_DAEMON);
	char why[400] = "";
	int err = options_check_daemon(&options_env_process, &options,
				       e->pci[gpu], why, sizeof(why));

	say(e, OPTIONS_DAEMON, err, why);
	snprintf(why, sizeof(why),
		 "no interface is near GPU %u%s%s; TCPX_NETPLUGIN_MAP=%u="
		 "INTERFACE says which one is its",
		 gpu, e->pci[gpu][0] ? " at " : "", e->pci[gpu], gpu);
	say(e, OPTIONS_HOME_NIC, home == HOME_NONE, why);
	if (home != HOME_NONE)
		explain_home(e, &e->nics[home]);
}

static bool has_nic(const struct explanation *e, const char *ifname)
{
	for (uint32_t n = 0; n < e->n_nics; n++)
		if (!strcmp(e->nics[n].ifname, ifname))
			return true;
	return false;
}

/* Those of the map, which need not be among the usual ones (lo is not). */
static void add_mapped(struct explanation *e)
{
	struct nic found[NICS_MAX];
	char one[32], why[128];
	const char *map = e->options.map, *name;
	struct item item;
	uint32_t n;

	while (map && item_next(&map, &item)) {
		if (!item_copy(&item, one, sizeof(one)) ||
		    !(name = strchr(one, '=')))
			continue;
		name++;
		if (e->n_nics < NICS_MAX && !has_nic(e, name) &&
		    !nic_list(name, found, &n, why, sizeof(why)))
			e->nics[e->n_nics++] = found[0];
	}
}

static void list_gpus(struct explanation *e, char *why, size_t cap_bytes)
{
	struct gpu_set *gpus = e->params->gpus;
	struct gpu_info info;

	e->n_gpus = gpus ? gpu_set_count(gpus, why, cap_bytes) : 0;
	if (e->n_gpus > NETPLUGIN_RAILS_MAX)
		e->n_gpus = NETPLUGIN_RAILS_MAX;
	for (uint32_t i = 0; i < e->n_gpus; i++)
		if (!gpu_set_info(gpus, i, &info))
			snprintf(e->pci[i], GPU_PCI_MAX, "%s", info.pci);
}

static void explain_gpus(struct explanation *e)
{
	char why[200] = "no GPU driver in use", text[300];
	uint32_t home[NETPLUGIN_RAILS_MAX];

	options_nics(&options_env_process, e->nics, &e->n_nics);
	add_mapped(e);
	explain_nics(e);
	list_gpus(e, why, sizeof(why));
	if (e->n_gpus && !find_homes(e, home, text, sizeof(text)))
		e->say(e->arg, "settings", text);
	for (uint32_t i = 0; i < e->n_gpus; i++)
		if (options_wants_gpu(&e->options, i, e->n_gpus))
			explain_gpu(e, i, home[i]);
	(void)options_refuse(text, sizeof(text), OPTIONS_DEVICE_MEMORY,
			     "no GPU to receive into: %s", why);
	say(e, OPTIONS_DEVICE_MEMORY, !e->n_gpus, text);
}

void open_explain(const struct transport_params *params,
		  void (*tell)(void *arg, const char *check, const char *why),
		  void *arg)
{
	struct explanation *e = calloc(1, sizeof(*e));
	char why[400] = "";
	int err;

	if (!e)
		return;
	e->params = params;
	e->say = tell;
	e->arg = arg;
	err = open_probe(params, why, sizeof(why));
	tell(arg, "plugin", err ? why : NULL);
	err = options_read(&options_env_process,
			   params->chunk_bytes ? params->chunk_bytes :
						 OPTIONS_CHUNK_MAX,
			   &e->options, why, sizeof(why));
	tell(arg, "settings", err ? why : NULL);
	if (!err) {
		explain_env(e);
		explain_gpus(e);
	}
	free(e);
}
