/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOPO_HOMES_H
#define TOPO_HOMES_H

/*
 * Which GPU is at home on which NIC, and over which NIC and from which GPU's
 * memory a pair is served. Pure functions.
 *
 * Where a NIC writes straight into a GPU's memory, the receiving GPU's home
 * NIC decides the rail: elsewhere its bytes would cross the machine, or would
 * not come in at all. The sender must be on the same rail; if its own home is
 * another NIC, it gathers into the memory of a GPU that is at home there.
 */

#include <stdbool.h>
#include <stdint.h>

#define HOME_NONE UINT32_MAX

/*
 * distance[g * n_nics + n]: from GPU g to NIC n, TOPO_UNKNOWN if not known.
 * home[g]: the nearest NIC; among equals the one with fewest GPUs so far, then
 * the first. HOME_NONE: no distance is known.
 */
void homes_plan(const uint32_t *distance, uint32_t n_gpus, uint32_t n_nics,
		uint32_t *home);

/*
 * An explicit map, "0=eth1,1=eth1,2=eth2", over home: what it does not name
 * stays. name_of(arg, n) gives NIC n's name. false, with the item's place in
 * *wrong: it names a GPU or NIC that is not there, or is no such list.
 */
bool homes_read_map(const char *map, uint32_t n_gpus, uint32_t n_nics,
		    const char *(*name_of)(const void *arg, uint32_t nic),
		    const void *arg, uint32_t *home, const char **wrong);

/*
 * Which GPU's memory to send from on NIC nic, to a GPU that is number `index`
 * on its host: the one of the same index if it is at home there, so that equal
 * hosts spread evenly, else the first that is. HOME_NONE: nobody.
 */
uint32_t homes_slot_gpu(const uint32_t *home, uint32_t n_gpus, uint32_t index,
			uint32_t nic);

#endif
