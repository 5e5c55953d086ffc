/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_NETPLUGIN_RXDM_H
#define FAKES_NETPLUGIN_RXDM_H

/*
 * A stand-in for the receive daemon, as far as it hands out the pools of GPUs:
 * sockets DIR/get_gpu_metadata_PCI and DIR/get_gpu_fd_PCI, a thread for each.
 * Ends with its process.
 */

#include <stdint.h>

enum rxdm_way {
	RXDM_GOOD = 0,
	RXDM_SILENT, /* takes the request and says nothing */
	RXDM_CLOSES,
	RXDM_JUNK, /* metadata of another length */
	RXDM_WITHOUT_FD, /* the byte alone */
	RXDM_EMPTY, /* a pool of no bytes */
	RXDM_OTHER_SIZE, /* a pool of twice the bytes, it says */
};

struct rxdm_pool {
	const char *pci;
	int fd;
	uint64_t len_bytes;
};

/* 0, or -1. What pool points at stays valid. */
int rxdm_serve(const char *dir, const struct rxdm_pool *pool,
	       enum rxdm_way way);
/* The files in it, those of the double too, and the directory. */
void rxdm_clean(const char *dir);

#endif
