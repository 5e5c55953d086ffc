/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_NETPLUGIN_CUDA_POOL_H
#define FAKES_NETPLUGIN_CUDA_POOL_H

#include <stddef.h>

/* Device memory as the real plugin has it: exported to a descriptor, imported
 * from it, mapped; for the life of the process. NULL: the driver does not do
 * it. The device is current. */
void *cuda_pool_map(int device, size_t len_bytes);

#endif
