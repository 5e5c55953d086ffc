/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_NETPLUGIN_MEMORY_H
#define FAKES_NETPLUGIN_MEMORY_H

#include "double.h"

/*
 * The memory of this process: what double_set_memory() said, else what the
 * environment says, else by the calling thread: cuda if it has a CUDA
 * context, mappings if not. Settled by the first call.
 */
const struct double_memory *memory_get(void);

/* The calling thread's current device, prepared; negative: none. */
int memory_current(void);

/* A real GPU; NULL, after a warning, without libcuda or a device. */
const struct double_memory *cuda_memory(void);
/* True if libcuda is loaded already and this thread has a context. */
bool cuda_in_use(void);

#endif
