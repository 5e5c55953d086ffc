/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/netplugin/plugin.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <tcpx/status.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sigmask.h"
#include "base/text.h"

/* Best first. A plugin that exports several is driven by the first. v7
 * before v8: it is what GPUDirect-TCPX exports, and was tried longest. */
static const struct plugin_adapter *const adapters[] = {
	&plugin_adapter_v7,
	&plugin_adapter_v8,
};
#define N_ADAPTERS (sizeof(adapters) / sizeof(*adapters))

/* The one of this process. load_lock covers all of it until it has started;
 * from then on it does not change. */
static pthread_mutex_t load_lock = PTHREAD_MUTEX_INITIALIZER;
static struct plugin the_plugin;
static bool loaded, started;
static int start_status;
static char start_why[256];

/* Who makes control calls; kept for as long as one takes, which the lock is
 * not. */
static pthread_mutex_t control_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t control_free = PTHREAD_COND_INITIALIZER;
static bool in_control;

bool plugin_lock(uint32_t timeout_ms)
{
	uint64_t limit_ns = clock_now_ns() + timeout_ms * NS_PER_MS;
	const struct timespec until = {
		.tv_sec = (time_t)(limit_ns / NS_PER_S),
		.tv_nsec = (long)(limit_ns % NS_PER_S),
	};
	bool got;

	pthread_mutex_lock(&control_lock);
	while (in_control &&
	       !pthread_cond_clockwait(&control_free, &control_lock,
				       CLOCK_MONOTONIC, &until))
		;
	got = !in_control;
	in_control = true;
	pthread_mutex_unlock(&control_lock);
	return got;
}

void plugin_unlock(void)
{
	pthread_mutex_lock(&control_lock);
	in_control = false;
	pthread_cond_signal(&control_free);
	pthread_mutex_unlock(&control_lock);
}

const char *plugin_result_name(int result)
{
	static const char *const names[] = {
		"success",	     "a CUDA error",   "a system error",
		"an internal error", "a bad argument", "a wrong use",
		"a remote error",    "in progress",    "a timeout",
	};

	if (result < 0 || result >= (int)(sizeof(names) / sizeof(*names)))
		return "an unknown result";
	return names[result];
}

/* ---- finding ----------------------------------------------------------- */

static bool has_all(const struct plugin_calls *calls)
{
	return calls->init && calls->devices && calls->listen &&
	       calls->connect && calls->accept && calls->reg_mr &&
	       calls->dereg_mr && calls->isend && calls->irecv && calls->test &&
	       calls->close_send && calls->close_recv && calls->close_listen;
}

/* RTLD_LOCAL: such plugins export internals with very common names. The
 * handle stays open for good. */
static bool load(const char *path, struct plugin *plugin, struct text *why)
{
	void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!lib) {
		const char *error = dlerror();

		text_add(why, "%s%s", why->len_bytes ? "; " : "",
			 error ? error : path);
		return false;
	}
	for (size_t i = 0; i < N_ADAPTERS; i++) {
		void *table = dlsym(lib, adapters[i]->symbol);

		if (!table)
			continue;
		plugin->adapter = adapters[i];
		snprintf(plugin->name, sizeof(plugin->name), "%s",
			 adapters[i]->adapt(table, &plugin->calls));
		snprintf(plugin->path, sizeof(plugin->path), "%s", path);
		plugin->quirks = plugin_quirks_of(plugin->name);
		if (has_all(&plugin->calls))
			return true;
		text_add(why, "%s%s: its table lacks functions",
			 why->len_bytes ? "; " : "", path);
		return false;
	}
	text_add(why, "%s%s: exports neither %s nor %s",
		 why->len_bytes ? "; " : "", path, adapters[0]->symbol,
		 adapters[1]->symbol);
	dlclose(lib);
	return false;
}

static int find_locked(const char *const *paths, const struct log *log,
		       struct text *why)
{
	if (loaded) {
		for (; *paths; paths++)
			if (strcmp(*paths, the_plugin.path) == 0)
				return TCPX_OK;
		text_add(why, "this process has loaded %s already",
			 the_plugin.path);
		return TCPX_EUNSUPPORTED;
	}
	for (; *paths; paths++) {
		if (!load(*paths, &the_plugin, why))
			continue;
		loaded = true;
		log_info(log, "plugin", "%s is %s, table v%u", *paths,
			 the_plugin.name, the_plugin.adapter->version);
		return TCPX_OK;
	}
	return TCPX_EUNSUPPORTED;
}

int plugin_find(const char *const *paths, const struct log *log,
		struct plugin **plugin, char *why, size_t cap_bytes)
{
	struct text out;

	text_init(&out, why, cap_bytes);
	pthread_mutex_lock(&load_lock);
	int err = find_locked(paths, log, &out);
	pthread_mutex_unlock(&load_lock);
	if (!err)
		*plugin = &the_plugin;
	return err;
}

/* ---- starting ---------------------------------------------------------- */

static int read_devices(struct plugin *plugin, struct text *why)
{
	int n = 0, rc = plugin->calls.devices(&n);

	if (rc || n <= 0) {
		text_add(why, "%s sees no device (%s)", plugin->name,
			 plugin_result_name(rc));
		return TCPX_EUNSUPPORTED;
	}
	if (n > (int)PLUGIN_DEVICES_MAX)
		n = PLUGIN_DEVICES_MAX;
	for (int i = 0; i < n; i++) {
		rc = plugin->calls.properties(i, &plugin->devices[i]);
		if (rc) {
			text_add(why, "%s gives no properties of device %d: %s",
				 plugin->name, i, plugin_result_name(rc));
			return TCPX_EUNSUPPORTED;
		}
	}
	plugin->n_devices = (uint32_t)n;
	return TCPX_OK;
}

/*
 * A plugin that somebody else (NCCL) has initialised in this process refuses,
 * but may work all the same: it has devices.
 */
static int start_locked(struct plugin *plugin, struct text *why)
{
	if (!plugin_lock(5000)) {
		text_add(why, "a call of %s does not return", plugin->name);
		return TCPX_EUNSUPPORTED;
	}
	int rc = plugin->calls.init(plugin_log), n = 0;

	if (rc && (plugin->calls.devices(&n) || n <= 0)) {
		text_add(why, "%s cannot start: %s", plugin->name,
			 plugin_result_name(rc));
		plugin_unlock();
		return TCPX_EUNSUPPORTED;
	}
	plugin->was_taken = rc != 0;
	int err = read_devices(plugin, why);
	plugin_unlock();
	return err;
}

struct start {
	struct plugin *plugin;
	struct text *why;
	int status;
};

static void *run_start(void *arg)
{
	struct start *start = arg;

	sigmask_shut_pipe();
	start->status = start_locked(start->plugin, start->why);
	return NULL;
}

/* On a thread of ours: init may change the timer slack of the one that calls
 * it, and start threads, which inherit its signals. */
static int start_apart(struct plugin *plugin, struct text *why)
{
	struct start start = {.plugin = plugin, .why = why};
	pthread_t thread;

	if (sigmask_start_thread(&thread, NULL, run_start, &start)) {
		text_add(why, "no thread to start %s on", plugin->name);
		return TCPX_ENOMEM;
	}
	pthread_join(thread, NULL);
	return start.status;
}

int plugin_start(struct plugin *plugin, char *why, size_t cap_bytes)
{
	struct text out;

	pthread_mutex_lock(&load_lock);
	if (!started) {
		text_init(&out, start_why, sizeof(start_why));
		start_status = start_apart(plugin, &out);
		started = true;
	}
	text_init(&out, why, cap_bytes);
	text_add(&out, "%s", start_why);
	pthread_mutex_unlock(&load_lock);
	return start_status;
}
