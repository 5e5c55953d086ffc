/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A NIXL library as far as `tcpx nixl` needs one. $FAKE_NIXL says how it
 * behaves: good (not set), refuse, broken, crash, hang, chatty.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static const char *const keys[] = {"flows", "port"};
static const char *const values[] = {"0", "18515"};
static unsigned next_key;
static char anything;

static bool behaves(const char *how)
{
	const char *is = getenv("FAKE_NIXL");

	return is && !strcmp(is, how);
}

EXPORT int nixl_capi_create_agent(const char *name, void **agent);
int nixl_capi_create_agent(const char *name, void **agent)
{
	if (getenv("FAKE_NIXL_VERSION"))
		fprintf(stderr,
			"I1121 01:02:03.456789 77 nixl_log.cpp:80] NIXL "
			"version: %s (git: 0)\n",
			getenv("FAKE_NIXL_VERSION"));
	if (behaves("chatty"))
		for (int i = 0; i < 100000; i++)
			puts("a library that prints");
	*agent = &anything;
	return strncmp(name, "tcpx-nixl-", 10) ? -1 : 0;
}

EXPORT int nixl_capi_destroy_agent(void *agent);
int nixl_capi_destroy_agent(void *agent)
{
	return agent != &anything;
}

EXPORT int nixl_capi_get_plugin_params(void *agent, const char *plugin,
				       void **mems, void **params);
int nixl_capi_get_plugin_params(void *agent, const char *plugin, void **mems,
				void **params)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/libplugin_%s.so",
		 getenv("NIXL_PLUGIN_DIR"), plugin);
	if (access(path, R_OK) || agent != &anything)
		return -2;
	if (behaves("refuse")) {
		fprintf(stderr, "I1121 01:02:03.4 77 manager.cpp:1] Discovered "
				"backend plugin: TCPX\n"
				"TCPX error: refused by this NIXL: too new\n");
		return -2;
	}
	if (behaves("crash"))
		raise(SIGABRT); /* a sanitizer would catch SIGSEGV */
	if (behaves("hang"))
		pause();
	*mems = *params = &anything;
	return 0;
}

EXPORT int nixl_capi_create_backend(void *agent, const char *plugin,
				    void *params, void **backend);
int nixl_capi_create_backend(void *agent, const char *plugin, void *params,
			     void **backend)
{
	*backend = &anything;
	return behaves("broken") || params != &anything || !plugin || !agent ?
		       -2 :
		       0;
}

EXPORT int nixl_capi_destroy_backend(void *backend);
int nixl_capi_destroy_backend(void *backend)
{
	return backend != &anything;
}

EXPORT int nixl_capi_get_backend_params(void *agent, void *backend, void **mems,
					void **params);
int nixl_capi_get_backend_params(void *agent, void *backend, void **mems,
				 void **params)
{
	*mems = *params = &anything;
	return agent != backend;
}

EXPORT int nixl_capi_mem_list_size(void *mems, size_t *size);
int nixl_capi_mem_list_size(void *mems, size_t *size)
{
	*size = 2;
	return mems != &anything;
}

EXPORT int nixl_capi_mem_list_get(void *mems, size_t i, int *type);
int nixl_capi_mem_list_get(void *mems, size_t i, int *type)
{
	*type = (int)i;
	return mems != &anything;
}

EXPORT int nixl_capi_params_create_iterator(void *params, void **iterator);
int nixl_capi_params_create_iterator(void *params, void **iterator)
{
	*iterator = &anything;
	next_key = 0;
	return params != &anything;
}

EXPORT int nixl_capi_params_iterator_next(void *iterator, const char **key,
					  const char **value, bool *has_next);
int nixl_capi_params_iterator_next(void *iterator, const char **key,
				   const char **value, bool *has_next)
{
	*has_next = next_key < 2;
	if (*has_next) {
		*key = keys[next_key];
		*value = values[next_key++];
	}
	return iterator != &anything;
}
