/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/netplugin/slots.h"

#include <stdlib.h>
#include <tcpx/status.h>

#include "transport/transport.h"

enum slot_state {
	SLOT_FREE = 0,
	SLOT_GOT,
	SLOT_POSTED,
};

int slots_init(struct slots *slots, uint32_t n, uint32_t slot_bytes)
{
	*slots = (struct slots){.n = n, .slot_bytes = slot_bytes};
	slots->states = calloc(n, 2);
	return slots->states ? TCPX_OK : TCPX_ENOMEM;
}

void slots_fini(struct slots *slots)
{
	free(slots->states);
	slots->states = NULL;
}

void slots_set(struct slots *slots, uint8_t *mem, uint8_t *host_mem)
{
	slots->mem = mem;
	slots->host_mem = host_mem;
}

static uint8_t *slot_at(const struct slots *slots, uint32_t i)
{
	uint8_t *mem = i < slots->n ? slots->mem : slots->host_mem;

	return mem + (uint64_t)(i % slots->n) * slots->slot_bytes;
}

int slots_get(struct slots *slots, bool on_host, void **slot)
{
	uint32_t first = on_host && slots->host_mem ? slots->n : 0;

	for (uint32_t i = first; i < first + slots->n; i++) {
		if (slots->states[i] != SLOT_FREE)
			continue;
		slots->states[i] = SLOT_GOT;
		*slot = slot_at(slots, i);
		return TCPX_OK;
	}
	return TCPX_EAGAIN;
}

/* Whose start it is: *i, or false. */
static bool is_slot(const struct slots *slots, const void *slot, uint32_t *i)
{
	const uint8_t *at = slot;
	uint64_t off = (uint64_t)(at - slots->mem);
	uint32_t first = 0;

	if (off >= (uint64_t)slots->n * slots->slot_bytes && slots->host_mem) {
		off = (uint64_t)(at - slots->host_mem);
		first = slots->n;
	}
	*i = first + (uint32_t)(off / slots->slot_bytes);
	return off < (uint64_t)slots->n * slots->slot_bytes &&
	       off % slots->slot_bytes == 0;
}

void slots_put(struct slots *slots, const void *slot)
{
	uint32_t i;

	if (is_slot(slots, slot, &i))
		slots->states[i] = SLOT_FREE;
}

int slots_find(const struct slots *slots, const struct chunk_desc *desc,
	       const struct span *spans, uint32_t n_spans, uint32_t *i)
{
	if (desc->len_bytes == 0 || desc->len_bytes > slots->slot_bytes ||
	    n_spans != 1 || !is_slot(slots, spans[0].base, i) ||
	    slots->states[*i] != SLOT_GOT)
		return TCPX_EINVAL;
	return TCPX_OK;
}

void slots_post(struct slots *slots, uint32_t i)
{
	slots->states[i] = SLOT_POSTED;
}
