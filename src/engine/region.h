/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_REGION_H
#define ENGINE_REGION_H

/*
 * A registered range. Made and ended by core; segment lists hold references,
 * so the struct outlives deregistration, but a dead region's memory is never
 * touched: who kills one fences every list that names it.
 */

#include <stdbool.h>
#include <stdlib.h>
#include <tcpx/p2p.h>

#include "base/atomic.h"

struct gpu;

struct region {
	uint64_t id;		/* mem_id */
	uint64_t key;		/* what a peer must show to touch it */
	uint8_t *base;
	uint64_t len_bytes;
	uint32_t access;	/* enum tcpx_access */
	struct gpu *gpu;	/* whose memory it is; NULL: the host's */
	_Atomic uint32_t refs;
	_Atomic uint32_t dead;	/* set once, by deregistration */
};

static inline void region_get(struct region *region)
{
	add_relaxed(&region->refs, 1);
}

static inline void region_put(struct region *region)
{
	if (add_acq_rel(&region->refs, -1u) == 1)
		free(region);
}

static inline bool region_is_dead(struct region *region)
{
	return load_acquire(&region->dead); /* pairs with deregistration */
}

#endif
