/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_NETPLUGIN_POOL_H
#define FAKES_NETPLUGIN_POOL_H

/*
 * The pages that received bytes land in: one pool a GPU, finite, shared by
 * all receiving comms of that GPU in this process. Pages are taken in random
 * order and, in strict mode, poisoned the moment they come back, so that who
 * gives back too early reads 0xdb, or another comm's bytes.
 */

#include <stdbool.h>
#include <stdint.h>

#define POOL_PAGE_BYTES 4096u

struct pool;

/* Made at the first call for a device; failure ends the process. */
struct pool *pool_get(int device);
/* As the GPU has it. */
void *pool_base(const struct pool *pool);
/* Where the CPU writes to it and a kernel that starts later reads the same;
 * NULL: it has no access. */
uint8_t *pool_cpu(const struct pool *pool);
/* page: its offset from the base, in pages. False: none is free just now. */
bool pool_take(struct pool *pool, uint32_t *page);
void pool_give(struct pool *pool, const uint32_t *pages, uint32_t n);
/* n pages will not come back before their comm closes. */
void pool_lose(struct pool *pool, uint32_t n);
void pool_found(struct pool *pool, uint32_t n);

#endif
