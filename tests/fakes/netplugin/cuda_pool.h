/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_NETPLUGIN_CUDA_POOL_H
#define FAKES_NETPLUGIN_CUDA_POOL_H

#include <stddef.h>

/* Device memory as the real plugin has it: exported to a descriptor, imported
 * from it, mapped; for the life of the process. NULL: the driver does not do
 * it. The device is current. */
void *cuda_pool_map(int device, size_t len_bytes);
/* Device memory as a descriptor; -1: the driver does not do it. *len_bytes is
 * rounded up. */
int cuda_pool_make(int device, size_t *len_bytes);
/* The same of another process's descriptor. */
void *cuda_pool_import(int device, int fd, size_t len_bytes);
/* "0000:04:00.0"; 0, or -1. */
int cuda_pool_pci(int device, char *text, int cap_bytes);

#endif
