/* SPDX-License-Identifier: Apache-2.0 */

/*
 * usage: rxdm DIR [MIB]
 * A stand-in for the receive daemon, as far as it hands out pools: one of MIB
 * (1024) MiB of each GPU, by the sockets in DIR, until it is killed or its
 * standard input ends. Prints "ready" when it serves. For doubles with
 * DOUBLE_POOL_FROM=DIR, and sessions with
 * NCCL_GPUDIRECTTCPX_UNIX_CLIENT_PREFIX=DIR.
 */

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cuda_pool.h"
#include "rxdm.h"

#define GPUS_MAX 16

/* With the context of each, which creating memory wants. */
static int count_gpus(void)
{
	void *lib = dlopen("libcuda.so.1", RTLD_NOW);
	int (*init)(unsigned flags), (*count)(int *n), n = 0;

	if (!lib)
		return 0;
	*(void **)&init = dlsym(lib, "cuInit");
	*(void **)&count = dlsym(lib, "cuDeviceGetCount");
	if (!init || !count || init(0) || count(&n))
		return 0;
	return n < GPUS_MAX ? n : GPUS_MAX;
}

static int enter(int device)
{
	void *lib = dlopen("libcuda.so.1", RTLD_NOW);
	int (*retain)(void **context, int device), (*current)(void *context);
	void *context;

	*(void **)&retain = dlsym(lib, "cuDevicePrimaryCtxRetain");
	*(void **)&current = dlsym(lib, "cuCtxSetCurrent");
	return !retain || !current || retain(&context, device) ||
	       current(context);
}

int main(int argc, char **argv)
{
	static struct rxdm_pool pools[GPUS_MAX];
	static char pci[GPUS_MAX][32];
	int n = count_gpus();
	char byte;

	if (argc < 2 || n < 1)
		return fprintf(stderr, "usage: rxdm DIR [MIB], with a GPU\n"),
		       2;
	mkdir(argv[1], 0700);
	for (int i = 0; i < n; i++) {
		size_t len = (argc > 2 ? strtoul(argv[2], NULL, 0) : 1024)
			     << 20;
		int fd = enter(i) ? -1 : cuda_pool_make(i, &len);

		if (fd < 0 || cuda_pool_pci(i, pci[i], sizeof(pci[i])))
			return fprintf(stderr, "rxdm: no pool on GPU %d\n", i),
			       1;
		pools[i] = (struct rxdm_pool){pci[i], fd, len};
		if (rxdm_serve(argv[1], &pools[i], RXDM_GOOD))
			return perror("rxdm"), 1;
	}
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	rxdm_clean(argv[1]);
	return 0;
}
