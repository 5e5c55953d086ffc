/* SPDX-License-Identifier: Apache-2.0 */

/*
 * usage: rxdm DIR [MIB]
 * A stand-in for the receive daemon, as far as it hands out pools: one of MIB
 * (1024) MiB of each GPU, by the sockets in DIR, until it is killed or its
 * standard input ends. Prints "ready" when it serves. For doubles with
 * DOUBLE_POOL_FROM=DIR, and sessions with
 * NCCL_GPUDIRECTTCPX_UNIX_CLIENT_PREFIX=DIR. DOUBLE_POOL_KIND is its own, too:
 * imported (the GPU's memory) or host, and the doubles' must be the same.
 */

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf.h"
#include "cuda_pool.h"
#include "libcuda.h"
#include "rxdm.h"

#define GPUS_MAX 16

static int count_gpus(void)
{
	int n;

	if (!libcuda_load() || cu.device_count(&n))
		return 0;
	return n < GPUS_MAX ? n : GPUS_MAX;
}

/* With the context of the GPU, which creating memory wants. */
static int make_pool(int device, size_t *len_bytes)
{
	const enum pool_kind kind = conf_get()->pool_kind;
	void *context;

	if ((kind != POOL_IMPORTED && kind != POOL_HOST) ||
	    cu.primary_retain(&context, device) || cu.ctx_push(context))
		return -1;
	return cuda_pool_make(
		device, kind == POOL_HOST ? CUDA_POOL_HOST : CUDA_POOL_DEVICE,
		len_bytes);
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
		int fd = make_pool(i, &len);

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
