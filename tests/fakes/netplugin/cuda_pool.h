/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_NETPLUGIN_CUDA_POOL_H
#define FAKES_NETPLUGIN_CUDA_POOL_H

/*
 * Memory for a pool as the real plugin has it: exported to a descriptor,
 * imported from it, mapped; for the life of the process. Of a device, or of
 * the host, and then at that address for its GPU and for the CPU. The device
 * is current. Whatever the driver refuses is told on stderr, by the name of the
 * call.
 */

#include <stddef.h>

enum cuda_pool_place { CUDA_POOL_DEVICE, CUDA_POOL_HOST };

/* Made, exported and imported here. NULL: the driver does not do it. */
void *cuda_pool_map(int device, enum cuda_pool_place place, size_t len_bytes);
/* A descriptor, the caller's; -1: the driver does not do it. *len_bytes is
 * rounded up. */
int cuda_pool_make(int device, enum cuda_pool_place place, size_t *len_bytes);
/* Of such a descriptor, also another process's; place as over there, or NULL. */
void *cuda_pool_import(int device, enum cuda_pool_place place, int fd,
		       size_t len_bytes);
/* "0000:04:00.0"; 0, or -1. */
int cuda_pool_pci(int device, char *text, int cap_bytes);

#endif
