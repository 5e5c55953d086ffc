/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <tcpx/p2p.h>

#include "transport/socket/socket.h"

#define PAGE_BYTES 4096u

static struct socket_slot *own_slot(struct transport *transport)
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
	slot->gpu = NULL;
	return slot;
}

static int pinned_slot(struct gpu *gpu, enum gpu_slot_use use,
		       struct socket_slot **out)
{
	struct socket_slot *slot = malloc(sizeof(*slot));
	void *data;

	if (!slot)
		return TCPX_ENOMEM;
	int err = gpu_slot_get(gpu, use, &data);
	if (err) {
		free(slot);
		return err;
	}
	*slot = (struct socket_slot){.data = data, .gpu = gpu, .use = use};
	*out = slot;
	return 0;
}

int socket_slot_get(struct transport *transport, struct gpu *gpu,
		    enum gpu_slot_use use, struct socket_slot **slot)
{
	if (gpu) {
		int err = pinned_slot(gpu, use, slot);

		if (err == TCPX_EAGAIN && use == GPU_SLOT_SEND)
			socket_links_check(transport);
		return err;
	}
	*slot = own_slot(transport);
	return *slot ? 0 : TCPX_ENOMEM;
}

void socket_slot_put(struct transport *transport, struct socket_slot *slot)
{
	if (!slot)
		return;
	if (slot->gpu) {
		gpu_slot_put(slot->gpu, slot->use, slot->data);
		free(slot);
		return;
	}
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

void socket_slot_rest(struct socket_slot *slot)
{
	gpu_slot_rest(slot->gpu, slot->use, slot->data);
	free(slot);
}

void socket_slots_fini(struct transport *transport)
{
	while (transport->free_slots) {
		struct socket_slot *slot = transport->free_slots;

		transport->free_slots = slot->next;
		free(slot->data);
	}
}
