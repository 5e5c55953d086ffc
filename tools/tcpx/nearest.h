/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_NEAREST_H
#define TCPX_TOOL_NEAREST_H

#include <jansson.h>

/*
 * Adds to an entry of gpus.h where the GPU is: numa_node (null: unknown), nics
 * [{ifname, pci, links}] nearest first, and missing [text], what of this
 * cannot be said and why.
 */
void nearest_add(json_t *gpu, const char *pci);
/* " NUMA node 0; nearest eth1 (4 links)", for people; "" with nothing to say. */
const char *nearest_line(const json_t *gpu, char *buf, size_t cap_bytes);

#endif
