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

/* Those without a home get one all the same: the NIC with fewest GPUs by then,
 * among equals the first. n_nics > 0. */
void homes_guess(uint32_t n_gpus, uint32_t n_nics, uint32_t *home);

struct homes_names {
	uint32_t n_gpus, n_nics;
	const char *(*nic)(const void *arg, uint32_t nic);
	const char *(*gpu_pci)(const void *arg, uint32_t gpu); /* "": none */
	const void *arg;
};

/*
 * An explicit map, "0=eth1,1=eth1,2=eth2", over home: what it does not name
 * stays. A GPU is a number, as this process counts, or a PCI address
 * ("0000:04:00.0=eth1"), which is the same in every process. GPUs that are not
 * here are passed over. Returns how many of those named are; -1, with the
 * item's place in *wrong: it is no such list, or names a NIC that is not there
 * for a GPU that is.
 */
int homes_read_map(const char *map, const struct homes_names *names,
		   uint32_t *home, const char **wrong);

/*
 * Which GPU's memory to send from on NIC nic, to a GPU that is number `index`
 * on its host: the one of the same index if it is at home there, so that equal
 * hosts spread evenly, else the first that is. HOME_NONE: nobody.
 */
uint32_t homes_slot_gpu(const uint32_t *home, uint32_t n_gpus, uint32_t index,
			uint32_t nic);

#endif
