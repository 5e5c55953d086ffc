/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does the plugin load? Only NIXL itself can say, so a child opens its
 * library by the C interface that comes with it, and creates what a program
 * would create. In a child, because it may hang, crash, or print.
 */
#include "nixl.h"

#include "clock.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * As much of the C interface as is needed. Its header does not come with
 * NIXL; these are its argument lists, 0 is success.
 */
struct capi {
	int (*create_agent)(const char *name, void **agent);
	int (*destroy_agent)(void *agent);
	int (*get_plugin_params)(void *agent, const char *plugin, void **mems,
				 void **params);
	int (*create_backend)(void *agent, const char *plugin, void *params,
			      void **backend);
	int (*destroy_backend)(void *backend);
	int (*get_backend_params)(void *agent, void *backend, void **mems,
				  void **params);
	int (*mem_list_size)(void *mems, size_t *size);
	int (*mem_list_get)(void *mems, size_t i, int *type);
	int (*create_iterator)(void *params, void **iterator);
	int (*iterator_next)(void *iterator, const char **key,
			     const char **value, bool *has_next);
};

static const struct {
	const char *name;
	size_t offset;
} symbols[] = {
	{"nixl_capi_create_agent", offsetof(struct capi, create_agent)},
	{"nixl_capi_destroy_agent", offsetof(struct capi, destroy_agent)},
	{"nixl_capi_get_plugin_params",
	 offsetof(struct capi, get_plugin_params)},
	{"nixl_capi_create_backend", offsetof(struct capi, create_backend)},
	{"nixl_capi_destroy_backend", offsetof(struct capi, destroy_backend)},
	{"nixl_capi_get_backend_params",
	 offsetof(struct capi, get_backend_params)},
	{"nixl_capi_mem_list_size", offsetof(struct capi, mem_list_size)},
	{"nixl_capi_mem_list_get", offsetof(struct capi, mem_list_get)},
	{"nixl_capi_params_create_iterator",
	 offsetof(struct capi, create_iterator)},
	{"nixl_capi_params_iterator_next",
	 offsetof(struct capi, iterator_next)},
};

static const char *const memory_names[] = {"DRAM", "VRAM", "BLK", "OBJ",
					   "FILE"};

static json_t *refusal(const char *why)
{
	return json_pack("{sb ss}", "loads", 0, "load_error", why);
}

/* NULL, or what is missing. */
static const char *capi_open(const char *library, struct capi *capi)
{
	void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		return dlerror();
	for (size_t i = 0; i < sizeof(symbols) / sizeof(*symbols); i++) {
		void *address = dlsym(handle, symbols[i].name);

		if (!address)
			return symbols[i].name;
		memcpy((char *)capi + symbols[i].offset, &address,
		       sizeof(address));
	}
	return NULL;
}

static json_t *list_memories(const struct capi *capi, void *mems)
{
	json_t *list = json_array();
	size_t n = 0;
	int type;

	capi->mem_list_size(mems, &n);
	for (size_t i = 0; i < n; i++)
		if (!capi->mem_list_get(mems, i, &type) && type >= 0 &&
		    type < 5)
			json_array_append_new(list,
					      json_string(memory_names[type]));
	return list;
}

/* The iterator hands out a pair as long as it says that there is one. */
static json_t *list_params(const struct capi *capi, void *params)
{
	json_t *object = json_object();
	const char *key, *value;
	void *iterator;
	bool more;

	if (capi->create_iterator(params, &iterator))
		return object;
	for (;;) {
		more = false;
		key = value = NULL;
		if (capi->iterator_next(iterator, &key, &value, &more) || !key)
			break;
		json_object_set_new(object, key, json_string(value));
		if (!more)
			break;
	}
	return object;
}

static json_t *create_all(const struct capi *capi, const char *plugin)
{
	void *agent, *backend, *mems, *params;
	json_t *result;
	char name[32];

	snprintf(name, sizeof(name), "tcpx-nixl-%d", (int)getpid());
	if (capi->create_agent(name, &agent))
		return refusal("NIXL cannot create an agent");
	if (capi->get_plugin_params(agent, plugin, &mems, &params))
		return refusal("NIXL did not load the plugin");
	if (capi->create_backend(agent, plugin, params, &backend))
		return refusal("NIXL loaded the plugin, but no backend could "
			       "be created");
	result = json_pack("{sb sn so}", "loads", 1, "load_error", "parameters",
			   list_params(capi, params));
	if (capi->get_backend_params(agent, backend, &mems, &params)) {
		json_decref(result);
		return refusal("the backend does not tell its memories");
	}
	json_object_set_new(result, "memories", list_memories(capi, mems));
	capi->destroy_backend(backend);
	if (capi->destroy_agent(agent)) {
		json_decref(result);
		return refusal("the agent could not be ended");
	}
	return result;
}

int nixl_try_child(const char *library, const char *backend)
{
	int out = dup(STDOUT_FILENO);
	const char *missing;
	struct capi capi;
	json_t *result;

	/* Libraries that print shall not write into the result. */
	dup2(STDERR_FILENO, STDOUT_FILENO);
	missing = capi_open(library, &capi);
	result = missing ? refusal(missing) : create_all(&capi, backend);
	json_dumpfd(result, out, 0);
	/* Not through the destructors of what NIXL has loaded besides. */
	_exit(0);
}

/* "... NIXL version: 1.5.1 (git: ...)", from 1.3 or so on. */
static void add_version(json_t *result, const char *log)
{
	static const char key[] = "NIXL version: ";
	const char *at = strstr(log, key);
	size_t len;

	if (!at) {
		json_object_set_new(result, "nixl", json_null());
		return;
	}
	at += sizeof(key) - 1;
	len = strcspn(at, " \n(");
	json_object_set_new(result, "nixl", json_stringn(at, len));
}

/* Whether a line of the child's log may say what went wrong. */
static bool tells(const char *line, size_t len)
{
	static const char *const words[] = {"TCPX", "tcpx", "lugin", "dlopen"};
	static const char *const noise[] = {"Discovered", "static plugin",
					    "from any directory"};

	for (size_t i = 0; i < sizeof(noise) / sizeof(*noise); i++)
		if (memmem(line, len, noise[i], strlen(noise[i])))
			return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (memmem(line, len, words[i], strlen(words[i])))
			return true;
	return false;
}

/* NIXL's prefix, "W1121 00:52:22.956649 5858 file.cpp:517] ", says nothing. */
static const char *skip_prefix(const char *line, size_t len)
{
	const char *end = memmem(line, len, "] ", 2);

	if (end && len > 5 && strchr("IWEF", line[0]) && line[5] == ' ')
		return end + 2;
	return line;
}

/* The refusal, and then what the log has to say to it. */
static void add_log(json_t *result, const char *log)
{
	char why[1024];
	size_t used;

	used = (size_t)snprintf(
		why, sizeof(why), "%s",
		json_string_value(json_object_get(result, "load_error")));
	while (*log && used < sizeof(why)) {
		size_t len = strcspn(log, "\n");
		const char *from = skip_prefix(log, len);

		if (tells(log, len))
			used += (size_t)snprintf(
				why + used, sizeof(why) - used, "%s%.*s",
				strstr(why, ": ") ? "; " : ": ",
				(int)(len - (size_t)(from - log)), from);
		log += len + (log[len] == '\n');
	}
	json_object_set_new(result, "load_error", json_string(why));
}

static json_t *judge(const struct nixl_run *run, unsigned deadline_ms)
{
	json_t *result = NULL;
	char why[96];

	if (run->late) {
		snprintf(why, sizeof(why), "no answer within %.3g s",
			 deadline_ms / 1e3);
		return refusal(why);
	}
	if (WIFSIGNALED(run->status)) {
		snprintf(why, sizeof(why), "it crashed: %s",
			 strsignal(WTERMSIG(run->status)));
		return refusal(why);
	}
	result = json_loads(run->out, 0, NULL);
	return result ? result : refusal("it ended without an answer");
}

json_t *nixl_try(const struct nixl_place *place, unsigned deadline_ms)
{
	const char *argv[] = {"/proc/self/exe", "nixl",		"_try",
			      place->library,	place->backend, NULL};
	/* No file, no port of a server that runs here already; and NIXL's own
	 * words, should it not work. */
	const char *env[] = {NULL, "TCPX_DESCRIBE_DIR=", "TCPX_PORT=0",
			     "NIXL_LOG_LEVEL=INFO", NULL};
	char where[PATH_MAX + 32];
	uint64_t begin_ns = now_ns();
	struct nixl_run run;
	json_t *result;

	snprintf(where, sizeof(where), "NIXL_PLUGIN_DIR=%s", place->dir);
	env[0] = where;
	if (nixl_run(argv, env, deadline_ms, &run))
		return refusal("it could not be tried");
	result = judge(&run, deadline_ms);
	if (json_is_true(json_object_get(result, "loads"))) {
		add_version(result, run.err);
		json_object_set_new(
			result, "took_s",
			json_real((double)(now_ns() - begin_ns) / NS_PER_S));
	} else {
		add_log(result, run.err);
	}
	nixl_run_free(&run);
	return result;
}
