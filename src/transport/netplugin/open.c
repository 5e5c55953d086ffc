/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/netplugin/open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <tcpx/status.h>
#include <unistd.h>

#include "base/log.h"
#include "gpu/gpu.h"
#include "transport/netplugin/refusal.h"

static uint32_t wanted_chunk(const struct transport_params *params)
{
	return params->chunk_bytes ? params->chunk_bytes : OPTIONS_CHUNK_MAX;
}

/* Reads settings only; loads nothing. */
int open_probe(const struct transport_params *params, char *why,
	       size_t cap_bytes)
{
	const struct options_env *env = &options_env_process;
	struct options options;
	size_t used = 0;

	if (options_read(env, wanted_chunk(params), &options, why, cap_bytes))
		return TCPX_EUNSUPPORTED;
	for (const char **path = options.paths; *path; path++) {
		if (access(*path, R_OK) == 0)
			return TCPX_OK;
		if (used < cap_bytes)
			used += (size_t)snprintf(why + used, cap_bytes - used,
						 "%s%s: %s", used ? "; " : "",
						 *path, strerrordesc_np(errno));
	}
	return TCPX_EUNSUPPORTED;
}

static void set_env(void *arg, const char *variable, const char *value)
{
	setenv(variable, value, 0);
}

/* What it will find, and what it shall find: it reads variables once. */
static int prepare_host(struct transport *t, char *why, size_t cap_bytes)
{
	const struct options_env *env = &options_env_process;
	bool needs_daemon = t->plugin->quirks & PLUGIN_NEEDS_DAEMON;
	int err = options_check_env(env, &t->options, why, cap_bytes);

	if (!err)
		err = options_check_host(env, &t->options, t->gpus,
					 needs_daemon, why, cap_bytes);
	if (err)
		return err;
	options_for_plugin(env, &t->options, set_env, NULL);
	options_bindings_for_plugin(env, set_env, NULL);
	return options_check_bound(env, &t->options, why, cap_bytes);
}

static int start_plugin(struct transport *t, uint32_t chunk_bytes, char *why,
			size_t cap_bytes)
{
	int err = options_read(&options_env_process, chunk_bytes, &t->options,
			       why, cap_bytes);

	if (!err)
		err = plugin_find(t->options.paths, t->log, &t->plugin, why,
				  cap_bytes);
	if (!err && t->plugin->quirks & PLUGIN_CHECK_ENV)
		err = prepare_host(t, why, cap_bytes);
	return err ? err : plugin_start(t->plugin, why, cap_bytes);
}

static int set_limits(struct transport *t,
		      const struct transport_params *params, char *why,
		      size_t cap_bytes)
{
	const struct plugin_props *props = &t->plugin->devices[0];
	uint32_t chunk = wanted_chunk(params);
	bool cuda = props->ptr_support & NETPLUGIN_PTR_CUDA;

	if (chunk > t->options.chunk_bytes)
		chunk = t->options.chunk_bytes;
	t->unpacks = props->device_type == NETPLUGIN_DEVICE_UNPACK;
	t->ptr_kind = cuda ? NETPLUGIN_PTR_CUDA : NETPLUGIN_PTR_HOST;
	if (t->unpacks && (props->device_version != NETPLUGIN_UNPACK_VERSION ||
			   !t->plugin->calls.irecv_consumed)) {
		snprintf(why, cap_bytes,
			 "%s unpacks as version %u, or without irecvConsumed",
			 t->plugin->name, props->device_version);
		return TCPX_EUNSUPPORTED;
	}
	t->host_slots = cuda && t->gpus &&
			props->ptr_support & NETPLUGIN_PTR_HOST;
	t->limits = (struct transport_limits){
		.window = t->options.window,
		.sends_max = t->options.window < t->options.n_slots ?
				     t->options.window :
				     t->options.n_slots,
		.chunk_bytes = chunk,
		.slot_bytes = chunk,
		.spans_max = 1,
		.n_channels = OPTIONS_CHANNELS,
	};
	return TCPX_OK;
}

/* Hosts are the same when they have booted at the same moment. */
static void read_host_id(uint8_t id[ADDRESS_HOST_BYTES])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char text[64] = "", *at = text;

	if (fd < 0)
		return;
	if (read(fd, text, sizeof(text) - 1) <= 0)
		text[0] = '\0';
	close(fd);
	for (int i = 0; i < (int)ADDRESS_HOST_BYTES; i++, at += 2) {
		at += *at == '-';
		if (sscanf(at, "%2hhx", &id[i]) != 1)
			return;
	}
}

static int prepare(struct transport *t, const struct transport_params *params,
		   char *why, size_t cap_bytes)
{
	int err = start_plugin(t, wanted_chunk(params), why, cap_bytes);

	if (!err)
		err = set_limits(t, params, why, cap_bytes);
	if (!err)
		err = rails_find(t, why, cap_bytes);
	if (err)
		return err;
	t->limits.n_rails = t->n_rails;
	read_host_id(t->host_id);
	err = netplugin_start(t);
	if (err)
		snprintf(why, cap_bytes, "no thread, or no file descriptor");
	return err;
}

/* NULL where there is none: then all memory is the host's. */
static struct gpu_set *with_gpus(struct gpu_set *gpus)
{
	char why[128];

	return gpus && gpu_set_count(gpus, why, sizeof(why)) ? gpus : NULL;
}

int open_transport(const struct transport_params *params,
		   struct transport **transport)
{
	struct transport *t = calloc(1, sizeof(*t));
	char why[400] = "";

	if (!t)
		return TCPX_ENOMEM;
	t->via = &netplugin_inside;
	t->log = params->log;
	t->shares = getenv(OPTIONS_HELPER_GPU) != NULL;
	t->gpus = with_gpus(params->gpus);
	plugin_log_to(t->log);
	if (!t->shares)
		plugin_log_at_exit();
	int err = prepare(t, params, why, sizeof(why));

	if (err) {
		refusal_of_open(params, why);
		plugin_log_forget(t->log);
		free(t);
		return err;
	}
	*transport = t;
	return TCPX_OK;
}

/* One that is stuck in the plugin is left behind: its memory is in use. */
void open_close(struct transport *t)
{
	const struct log *log = t->log;
	bool ended = netplugin_stop(t);

	if (!ended)
		log_error(log, "netplugin",
			  "a call of %s does not return: its "
			  "memory is left to it",
			  t->plugin->name);
	plugin_log_forget(log);
	if (ended)
		free(t);
}

/* ---- beginnings -------------------------------------------------------- */

int listener_create(struct transport *t, struct rail *rail,
		    struct listener **listener)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (!l)
		return TCPX_ENOMEM;
	if (getrandom(l->token, sizeof(l->token), 0) != sizeof(l->token)) {
		free(l);
		return TCPX_EINTERNAL;
	}
	list_init(&l->link);
	list_init(&l->inbox);
	side_init(&l->guest, -1);
	l->fd = -1;
	l->via = &netplugin_inside;
	l->transport = t;
	l->rail = rail;
	*listener = l;
	return TCPX_OK;
}

static void fill_text(char to[ADDRESS_NAME_BYTES], const char *from)
{
	snprintf(to, ADDRESS_NAME_BYTES, "%.15s", from);
}

void listener_address(const struct listener *l, void *to)
{
	const struct transport *t = l->transport;
	struct address a = {
		.chunk_bytes = t->options.chunk_bytes,
		.n_sockets = (uint16_t)t->options.n_sockets,
		.window = (uint16_t)t->limits.window,
		.recv_sync = t->options.recv_sync,
		.unpacks = t->unpacks,
		.side = l->rail->addr,
	};

	addr_set_port(&a.side, l->port);
	memcpy(a.token, l->token, sizeof(a.token));
	memcpy(a.host_id, t->host_id, sizeof(a.host_id));
	fill_text(a.ifname, l->rail->ifname);
	fill_text(a.plugin, t->plugin->name);
	memcpy(a.handle, l->handle, sizeof(a.handle));
	address_encode(&a, to);
}

/* What must be alike: each of these hangs or kills one of the two. */
static bool fits(const struct transport *t, const struct address *peer,
		 char *why, size_t cap_bytes)
{
	char own[ADDRESS_NAME_BYTES];
	bool same_host =
		!memcmp(peer->host_id, t->host_id, sizeof(peer->host_id));

	fill_text(own, t->plugin->name);
	if (strcmp(own, peer->plugin) || peer->unpacks != t->unpacks)
		snprintf(why, cap_bytes, "the peer's plugin is %s, ours %s",
			 peer->plugin, own);
	else if (t->plugin->quirks & PLUGIN_CHECK_ENV &&
		 peer->chunk_bytes != t->options.chunk_bytes)
		snprintf(why, cap_bytes,
			 "NCCL_DYNAMIC_CHUNK_SIZE is %u there "
			 "and %u here",
			 peer->chunk_bytes, t->options.chunk_bytes);
	else if (t->plugin->quirks & PLUGIN_CHECK_ENV &&
		 (peer->n_sockets != t->options.n_sockets ||
		  peer->recv_sync != t->options.recv_sync))
		snprintf(why, cap_bytes,
			 "the plugin has %u sockets a comm and "
			 "RECV_SYNC %u there, %u and %u here",
			 peer->n_sockets, peer->recv_sync, t->options.n_sockets,
			 t->options.recv_sync);
	else if (same_host && t->plugin->quirks & PLUGIN_NO_LOOPBACK &&
		 !(t->options.allow & OPTIONS_LOOPBACK))
		options_refuse(why, cap_bytes, OPTIONS_LOOPBACK,
			       "the peer is on this host: what comes over lo "
			       "ends the plugin's process");
	else
		return true;
	return false;
}

int sender_rail(struct transport *t, uint32_t i, const struct address *peer,
		struct rail **rail)
{
	char why[256] = "";
	struct rail *r = NULL;

	if (fits(t, peer, why, sizeof(why)))
		r = rails_for(t, i, peer->ifname, why, sizeof(why));
	if (!r) {
		log_info(t->log, "netplugin", "%s", why);
		refusal_set("%s", why);
		return TCPX_EUNSUPPORTED;
	}
	*rail = r;
	return TCPX_OK;
}
