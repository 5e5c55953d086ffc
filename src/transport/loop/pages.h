/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOOP_PAGES_H
#define LOOP_PAGES_H

/*
 * The memory that loop-scatter receives into, as a NIC with a pool of buffers
 * would: pages of 4 KiB, finite, shared by all receiving channels of a
 * transport, taken in random order. A page that comes back is poisoned at
 * once, so that whoever consumes too early reads 0xdb.
 */

#include <pthread.h>

#include "base/dice.h"
#include "transport/transport.h"

#define PAGE_BYTES 4096u
#define PAGES_PER_POOL 4096u /* 16 MiB: two full windows, hardly more */

struct pages {
	pthread_mutex_t lock; /* covers what follows */
	struct dice dice;
	uint32_t n_free;
	uint32_t free[PAGES_PER_POOL];
	uint8_t *base;
};

int pages_init(struct pages *pages, uint64_t seed);
void pages_fini(struct pages *pages);
/*
 * Gives each of n fragments a place: src_off, somewhere in a page of its own.
 * All or none. Returns 0, or TCPX_EAGAIN: so many are not free just now.
 */
int pages_take(struct pages *pages, struct transport_fragment *fragments,
	       uint32_t n);
void pages_give(struct pages *pages, const struct transport_fragment *fragments,
		uint32_t n);

#endif
