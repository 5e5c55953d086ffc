/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "transport/socket/socket.h"

#define PAGE_BYTES 4096u

struct socket_slot *socket_slot_get(struct transport *transport)
{
	size_t slot_bytes = transport->limits.slot_bytes;

	pthread_mutex_lock(&transport->lock);
	struct socket_slot *slot = transport->free_slots;
	if (slot) {
		transport->free_slots = slot->next;
		transport->n_free_slots--;
	}
	pthread_mutex_unlock(&transport->lock);
	if (slot)
		return slot;

	slot_bytes = (slot_bytes + PAGE_BYTES - 1) & -(size_t)PAGE_BYTES;
	uint8_t *data = aligned_alloc(PAGE_BYTES, slot_bytes + PAGE_BYTES);
	if (!data)
		return NULL;
	slot = (struct socket_slot *)(void *)(data + slot_bytes);
	slot->data = data;
	return slot;
}

void socket_slot_put(struct transport *transport, struct socket_slot *slot)
{
	if (!slot)
		return;
	pthread_mutex_lock(&transport->lock);
	bool keep = transport->n_free_slots < SOCKET_SLOTS_KEPT;
	if (keep) {
		/* The last one used is the next one taken: it is warm. */
		slot->next = transport->free_slots;
		transport->free_slots = slot;
		transport->n_free_slots++;
	}
	pthread_mutex_unlock(&transport->lock);
	if (!keep)
		free(slot->data);
}

void socket_slots_fini(struct transport *transport)
{
	while (transport->free_slots) {
		struct socket_slot *slot = transport->free_slots;

		transport->free_slots = slot->next;
		free(slot->data);
	}
}
