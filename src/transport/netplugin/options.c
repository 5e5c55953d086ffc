/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/netplugin/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tcpx/status.h>
#include <unistd.h>

#include "base/item.h"
#include "base/parse.h"
#include "base/text.h"

static const char *const check_names[] = {
	"chunk-size", "dma-buf",       "inline",  "steering",  "enabled",
	"threads",    "retry",	       "context", "telemetry", "bindings",
	"ctrl-dev",   "numa",	       "pci",	  "daemon",    "home-nic",
	"loopback",   "device-memory",
};
#define N_CHECKS (sizeof(check_names) / sizeof(*check_names))

static const char *process_get(void *arg, const char *variable)
{
	const char *value = getenv(variable);

	return value && *value ? value : NULL;
}

static bool process_exists(void *arg, const char *path)
{
	return access(path, F_OK) == 0;
}

const struct options_env options_env_process = {
	.get = process_get,
	.exists = process_exists,
};

static const char *get(const struct options_env *env, const char *variable)
{
	return env->get(env->arg, variable);
}

static const char *get_own(const struct options_env *env,
			   enum options_setting setting)
{
	const struct transport_setting *s = &options_settings[setting];
	const char *text = get(env, s->variable);

	return text || !s->alias ? text : get(env, s->alias);
}

const char *options_check_name(enum options_check check)
{
	for (size_t i = 0; i < N_CHECKS; i++)
		if (check == 1u << i)
			return check_names[i];
	return "?";
}

/* ---- our own ----------------------------------------------------------- */

/* Its bit; 0: there is no such check. */
static uint32_t find_check(const struct item *item)
{
	for (size_t i = 0; i < N_CHECKS; i++)
		if (item_is(item, check_names[i]))
			return 1u << i;
	return 0;
}

static int read_allow(const char *list, uint32_t *allow, struct text *why)
{
	struct item item;

	while (list && item_next(&list, &item)) {
		uint32_t check = find_check(&item);

		*allow |= check;
		if (check)
			continue;
		text_add(why,
			 "TCPX_NETPLUGIN_ALLOW: no check is called %.*s; "
			 "there are",
			 (int)item.len_bytes, item.text);
		for (size_t i = 0; i < N_CHECKS; i++)
			text_add(why, " %s", check_names[i]);
		return TCPX_EINVAL;
	}
	return TCPX_OK;
}

static bool take_gpu(const char **list, uint64_t *gpu, bool *good)
{
	struct item item;
	char one[16];

	if (!*list || !item_next(list, &item))
		return false;
	*good = item_copy(&item, one, sizeof(one)) && parse_u64(one, gpu);
	return true;
}

static int check_gpus(const char *list, struct text *why)
{
	const char *all = list;
	bool good = true;
	uint64_t gpu;

	while (good && take_gpu(&list, &gpu, &good))
		;
	if (!good)
		text_add(why,
			 "TCPX_NETPLUGIN_GPUS is \"%s\", not numbers of GPUs "
			 "as in 0,3",
			 all);
	return good ? TCPX_OK : TCPX_EINVAL;
}

bool options_wants_gpu(const struct options *options, uint32_t gpu, uint32_t n)
{
	const char *list = options->gpus;
	bool good = true, wants = !list;
	uint64_t one;

	while (take_gpu(&list, &one, &good))
		wants |= good && one % n == gpu;
	return wants;
}

static int read_number(const struct options_env *env,
		       enum options_setting setting, uint64_t *value,
		       struct text *why)
{
	const struct transport_setting *s = &options_settings[setting];
	const char *text = get_own(env, setting);

	if (transport_setting_number(s, text, value))
		return TCPX_OK;
	text_add(why, "%s is \"%s\", not %llu to %llu", s->variable, text,
		 (unsigned long long)s->min, (unsigned long long)s->max);
	return TCPX_EINVAL;
}

static void read_paths(const struct options_env *env, struct options *options)
{
	const char *own = get_own(env, OPTIONS_PATH);
	uint32_t n = 0;

	if (own) {
		options->paths[n++] = own;
	} else {
		options->paths[n++] = OPTIONS_PATH_GKE;
		options->paths[n++] = OPTIONS_PATH_OLD;
	}
	options->paths[n] = NULL;
}

static int read_bool(const struct options_env *env,
		     enum options_setting setting, bool *value,
		     struct text *why)
{
	const char *text = get_own(env, setting);

	*value = options_settings[setting].def;
	if (!text || parse_bool(text, value))
		return TCPX_OK;
	text_add(why, "%s is \"%s\", not 0 or 1",
		 options_settings[setting].variable, text);
	return TCPX_EINVAL;
}

static int read_numbers(const struct options_env *env, struct options *options,
			struct text *why)
{
	uint64_t values[OPTIONS_SETTINGS];

	for (int i = OPTIONS_WINDOW; i <= OPTIONS_POOL; i++) {
		int err = read_number(env, (enum options_setting)i, &values[i],
				      why);

		if (err)
			return err;
	}
	options->window = (uint32_t)values[OPTIONS_WINDOW];
	options->n_slots = (uint32_t)values[OPTIONS_SLOTS];
	options->stall_ms = (uint32_t)values[OPTIONS_STALL];
	options->connect_ms = (uint32_t)values[OPTIONS_CONNECT];
	options->start_ms = (uint32_t)values[OPTIONS_START];
	options->pool_bytes = values[OPTIONS_POOL];
	return TCPX_OK;
}

/* The plugin reads numbers with strtoll; so do we, what it would see. */
static long long plugin_number(const struct options_env *env,
			       const char *variable, long long unset)
{
	const char *text = get(env, variable);

	return text ? strtoll(text, NULL, 0) : unset;
}

#define NET "NCCL_GPUDIRECTTCPX_"

static void read_plugins(const struct options_env *env, uint32_t chunk_bytes,
			 struct options *options)
{
	long long chunk = plugin_number(env, "NCCL_DYNAMIC_CHUNK_SIZE", 0);
	long long n = plugin_number(env, "NCCL_NSOCKS_PERTHREAD", 4) *
		      plugin_number(env, "NCCL_SOCKET_NTHREADS", 1);

	options->chunk_given = get(env, "NCCL_DYNAMIC_CHUNK_SIZE") != NULL;
	if (!options->chunk_given) {
		chunk = chunk_bytes < OPTIONS_CHUNK_MAX ? chunk_bytes :
							  OPTIONS_CHUNK_MAX;
		chunk -= chunk % OPTIONS_PAGE;
	}
	options->chunk_bytes =
		chunk > 0 && chunk < INT32_MAX ? (uint32_t)chunk : 0;
	options->n_sockets = n > 0 && n < 256 ? (uint32_t)n : 0;
	options->recv_sync = plugin_number(env, NET "RECV_SYNC", 0) == 1;
}

int options_read(const struct options_env *env, uint32_t chunk_bytes,
		 struct options *options, char *why, size_t cap_bytes)
{
	struct options o = {0};
	struct text out;

	text_init(&out, why, cap_bytes);
	int err = read_allow(get_own(env, OPTIONS_ALLOW), &o.allow, &out);
	if (!err)
		err = read_bool(env, OPTIONS_ISOLATE, &o.isolate, &out);
	if (!err)
		err = read_bool(env, OPTIONS_LEND, &o.lend, &out);
	if (!err)
		err = check_gpus(get_own(env, OPTIONS_GPUS), &out);
	if (!err)
		err = read_numbers(env, &o, &out);
	if (err)
		return err;
	read_paths(env, &o);
	o.map = get_own(env, OPTIONS_MAP);
	o.gpus = get_own(env, OPTIONS_GPUS);
	o.helper = get_own(env, OPTIONS_HELPER);
	o.only_gpu = -1;
	if (get(env, OPTIONS_HELPER_GPU))
		o.only_gpu = atoi(get(env, OPTIONS_HELPER_GPU));
	read_plugins(env, chunk_bytes, &o);
	*options = o;
	return TCPX_OK;
}
