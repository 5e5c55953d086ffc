/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <tcpx/status.h>
#include <unistd.h>

#include "base/atomic.h"
#include "gpu/cuda/api.h"

#define LIBRARY "libcuda.so.1"
#define OLDEST_VERSION 12020

struct cuda_api cuda_api;

static pthread_mutex_t load_lock = PTHREAD_MUTEX_INITIALIZER;
/* The process that has the driver: one forked from it has not. 0: none. */
static _Atomic pid_t ready;

static bool is_ready(void)
{
	return load_acquire(&ready) == getpid();
}

static const struct {
	const char *symbol;
	size_t off;
	bool optional;
} symbols[] = {
#define X(field, symbol, args)                                                 \
	{symbol, offsetof(struct cuda_api, field), false},
	CUDA_API_MAP(X)
#undef X
#define X(field, symbol, args) {symbol, offsetof(struct cuda_api, field), true},
		CUDA_API_OPTIONAL_MAP(X)
#undef X
};

bool cuda_is_loaded(void)
{
	void *lib;

	if (is_ready())
		return true;
	lib = dlopen(LIBRARY, RTLD_NOW | RTLD_NOLOAD);
	if (!lib)
		return false;
	/* Only takes back the count that this look has added. */
	dlclose(lib);
	return true;
}

void cuda_describe(cuda_result rc, char *text, size_t cap_bytes)
{
	const char *name = NULL, *words = NULL;

	if (cuda_api.error_name)
		(void)cuda_api.error_name(rc, &name);
	if (cuda_api.error_text)
		(void)cuda_api.error_text(rc, &words);
	if (name)
		snprintf(text, cap_bytes, "%s: %s", name, words ? words : "");
	else
		snprintf(text, cap_bytes, "CUDA error %d", rc);
}

bool cuda_blames_event(cuda_result rc)
{
	return rc == CUDA_INVALID_VALUE || rc == CUDA_INVALID_HANDLE ||
	       rc == CUDA_INVALID_CONTEXT || rc == CUDA_CONTEXT_IS_DESTROYED ||
	       (rc >= CUDA_CAPTURE_FIRST && rc <= CUDA_CAPTURE_LAST);
}

static int find_symbols(void *lib, char *why, size_t cap_bytes)
{
	for (size_t i = 0; i < sizeof(symbols) / sizeof(*symbols); i++) {
		void *found = dlsym(lib, symbols[i].symbol);

		if (!found && !symbols[i].optional) {
			snprintf(why, cap_bytes,
				 "the NVIDIA driver has no %s: too old, R535 "
				 "or newer is needed",
				 symbols[i].symbol);
			return TCPX_EUNSUPPORTED;
		}
		memcpy((char *)&cuda_api + symbols[i].off, &found,
		       sizeof(found));
	}
	return TCPX_OK;
}

static int start_driver(char *why, size_t cap_bytes)
{
	char text[160];
	int version = 0;
	cuda_result rc = cuda_api.init(0);

	if (rc == CUDA_SUCCESS)
		rc = cuda_api.driver_version(&version);
	if (rc != CUDA_SUCCESS) {
		cuda_describe(rc, text, sizeof(text));
		snprintf(why, cap_bytes, "cuInit: %s", text);
		return TCPX_EUNSUPPORTED;
	}
	if (version < OLDEST_VERSION) {
		snprintf(why, cap_bytes,
			 "the NVIDIA driver is for CUDA %d.%d, 12.2 (R535) or "
			 "newer is needed",
			 version / 1000, version % 1000 / 10);
		return TCPX_EUNSUPPORTED;
	}
	return TCPX_OK;
}

/* The library stays open until the process ends. */
static int load_locked(char *why, size_t cap_bytes)
{
	void *lib = dlopen(LIBRARY, RTLD_NOW | RTLD_GLOBAL);
	int rc;

	if (!lib) {
		snprintf(why, cap_bytes, "no NVIDIA driver: %s", dlerror());
		return TCPX_EUNSUPPORTED;
	}
	rc = find_symbols(lib, why, cap_bytes);
	return rc ? rc : start_driver(why, cap_bytes);
}

int cuda_load(char *why, size_t cap_bytes)
{
	int rc = TCPX_OK;

	if (is_ready())
		return TCPX_OK;
	pthread_mutex_lock(&load_lock);
	if (!is_ready())
		rc = load_locked(why, cap_bytes);
	if (rc == TCPX_OK)
		store_release(&ready, getpid());
	pthread_mutex_unlock(&load_lock);
	return rc;
}
