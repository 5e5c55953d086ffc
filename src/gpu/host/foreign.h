/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GPU_HOST_FOREIGN_H
#define GPU_HOST_FOREIGN_H

/*
 * Memory of the pretend GPUs that a program makes itself: one that has the
 * library inside something else (a plugin) cannot ask it for any. It makes a
 * memfd with the name "tcpx-gpu-N", N being the device, maps all of it shared
 * and inaccessible, and keeps the descriptor; where it is mapped is device
 * memory from then on, until it is not mapped any more. Its bytes the program
 * sees by a second mapping. No symbol is shared, so any language will do.
 */

#include <stdint.h>

/* Before [addr, ...) is looked up: gets to know such memory there, and forgets
 * what is no longer mapped. From any thread; reads /proc/self/maps. */
void foreign_look(uint64_t addr);

#endif
