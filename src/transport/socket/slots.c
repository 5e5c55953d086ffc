/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <tcpx/p2p.h>

#include "base/clock.h"
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

static void give_back(struct socket_slot *slot)
{
	gpu_slot_put(slot->gpu, slot->use, slot->data);
	free(slot);
}

/* Of those that have rested until then. */
static struct socket_slot *take_rested(struct transport *transport,
				       uint64_t now_ns)
{
	pthread_mutex_lock(&transport->lock);
	struct socket_slot *slot = transport->resting;

	if (slot && slot->until_ns > now_ns)
		slot = NULL;
	if (slot) {
		transport->resting = slot->next;
		add_relaxed(&transport->n_resting, -1u);
	}
	if (!transport->resting)
		transport->last_resting = &transport->resting;
	pthread_mutex_unlock(&transport->lock);
	return slot;
}

static void end_rests(struct transport *transport, uint64_t now_ns)
{
	struct socket_slot *slot;

	while ((slot = take_rested(transport, now_ns)))
		give_back(slot);
}

void socket_slot_rest(struct transport *transport, struct socket_slot *slot)
{
	slot->until_ns = clock_now_ns() + SOCKET_REST_MS * NS_PER_MS;
	slot->next = NULL;
	pthread_mutex_lock(&transport->lock);
	*transport->last_resting = slot;
	transport->last_resting = &slot->next;
	add_relaxed(&transport->n_resting, 1);
	pthread_mutex_unlock(&transport->lock);
}

int socket_slot_get(struct transport *transport, struct gpu *gpu,
		    enum gpu_slot_use use, struct socket_slot **slot)
{
	if (gpu && load_relaxed(&transport->n_resting))
		end_rests(transport, clock_now_ns());
	if (gpu)
		return pinned_slot(gpu, use, slot);
	*slot = own_slot(transport);
	return *slot ? 0 : TCPX_ENOMEM;
}

void socket_slot_put(struct transport *transport, struct socket_slot *slot)
{
	if (!slot)
		return;
	if (slot->gpu) {
		give_back(slot);
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

void socket_slots_fini(struct transport *transport)
{
	end_rests(transport, UINT64_MAX);
	while (transport->free_slots) {
		struct socket_slot *slot = transport->free_slots;

		transport->free_slots = slot->next;
		free(slot->data);
	}
}
