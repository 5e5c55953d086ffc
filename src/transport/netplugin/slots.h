/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETPLUGIN_SLOTS_H
#define NETPLUGIN_SLOTS_H

/*
 * The slots of a sending channel, a chunk each: n on its GPU, and as many in
 * host memory if it has such. They are numbered through, the host's last. A
 * slot is free, got by the owner, or posted; the owner's, one thread at a time.
 */

#include <stdbool.h>
#include <stdint.h>

struct chunk_desc;
struct span;

struct slots {
	uint8_t *states;
	uint8_t *mem, *host_mem; /* the channel's; host_mem may be NULL */
	uint32_t n, slot_bytes;
};

int slots_init(struct slots *slots, uint32_t n, uint32_t slot_bytes);
void slots_fini(struct slots *slots);
/* Once the channel has its memory. */
void slots_set(struct slots *slots, uint8_t *mem, uint8_t *host_mem);

/* TCPX_EAGAIN: none is free. */
int slots_get(struct slots *slots, bool on_host, void **slot);
/* Free again, whatever it was; anything else is left alone. */
void slots_put(struct slots *slots, const void *slot);
/* Which one a chunk that is to be sent is in. TCPX_EINVAL: not one, or not
 * one that was got and fits. */
int slots_find(const struct slots *slots, const struct chunk_desc *desc,
	       const struct span *spans, uint32_t n_spans, uint32_t *i);
void slots_post(struct slots *slots, uint32_t i);

#endif
