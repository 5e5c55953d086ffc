/* SPDX-License-Identifier: Apache-2.0 */
#include "capi.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/scale.h"

static struct capi table;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void *must(void *what)
{
	if (what)
		return what;
	fprintf(stderr, "NIXL's C interface: %s\n", dlerror());
	exit(1);
}

static void *find(void *library, const char *name)
{
	return must(dlsym(library, name));
}

/* Threads that were joined are listed by the kernel for a moment longer, and
 * a leak sanitizer that stops one of them may fall over it. */
static void settle(void)
{
	test_sleep_ms(20);
}

static void load(void)
{
	const char *folder = getenv("NIXL_LIBS");
	char path[4096];

	if (!folder) {
		fprintf(stderr, "NIXL_LIBS is not set (see with-nixl)\n");
		exit(1);
	}
	if (scale_sanitized())
		atexit(settle);
	snprintf(path, sizeof(path), "%s/libnixl_capi.so", folder);
	void *library = must(dlopen(path, RTLD_NOW | RTLD_LOCAL));

#define X(name, args)                                                          \
	*(void **)(void *)&table.name = find(library, "nixl_capi_" #name);
	CAPI_CALLS(X)
#undef X
}

const struct capi *capi(void)
{
	pthread_once(&once, load);
	return &table;
}
