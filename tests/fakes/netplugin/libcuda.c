/* SPDX-License-Identifier: Apache-2.0 */
#include "libcuda.h"

#include <dlfcn.h>
#include <pthread.h>

struct libcuda cu;

typedef int (*any_fn)(void);

static const struct {
	const char *name;
	any_fn *fn;
} names[] = {
#define X(field, symbol, args) {symbol, (any_fn *)&cu.field},
	LIBCUDA_MAP(X)
#undef X
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool loaded; /* covered by the lock */

static bool load(void)
{
	void *object = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);

	if (!object)
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		*names[i].fn = (any_fn)dlsym(object, names[i].name);
		if (!*names[i].fn)
			return false;
	}
	return cu.init(0) == 0;
}

bool libcuda_load(void)
{
	bool ok;

	pthread_mutex_lock(&lock);
	if (!loaded)
		loaded = load();
	ok = loaded;
	pthread_mutex_unlock(&lock);
	return ok;
}
