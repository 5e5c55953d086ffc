/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/atomic.h"
#include "transport/loop/scatter.h"

int scatter_open(const struct transport_params *params,
		 struct transport **transport)
{
	struct transport *t = calloc(1, sizeof(*t));
	uint32_t chunk_bytes = params->chunk_bytes;

	if (!t)
		return TCPX_ENOMEM;
	if (!chunk_bytes || chunk_bytes > CHUNK_BYTES_MAX)
		chunk_bytes = CHUNK_BYTES_MAX;
	t->seed = params->seed;
	t->limits = (struct transport_limits){
		.window = WINDOW,
		.sends_max = WINDOW,
		.chunk_bytes = chunk_bytes,
		.slot_bytes = chunk_bytes,
		.spans_max = 1,
	};
	int status = pages_init(&t->pages, params->seed);
	if (status) {
		free(t);
		return status;
	}
	*transport = t;
	return TCPX_OK;
}

void scatter_close(struct transport *transport)
{
	pages_fini(&transport->pages);
	free(transport);
}

static struct link *link_create(struct transport *transport)
{
	struct link *link = calloc(1, sizeof(*link));

	if (!link)
		return NULL;
	pthread_mutex_init(&link->lock, NULL);
	link->sender.link = link->receiver.link = link;
	link->sender.is_open = link->receiver.is_open = true;
	link->chunk_bytes = transport->limits.chunk_bytes;
	link->dice.state =
		transport->seed + 1 + add_relaxed(&transport->n_links, 1);
	link->connect_calls = 2 + dice_roll(&link->dice, 3);
	link->accept_calls = 2 + dice_roll(&link->dice, 3);
	return link;
}

static void link_destroy(struct link *link)
{
	for (uint32_t i = 0; i < WINDOW; i++)
		free(link->slots[i]);
	pthread_mutex_destroy(&link->lock);
	free(link);
}

/* The pages are the receiving transport's: they go back while it lives. */
static void drop_parcels(struct link *link)
{
	for (uint64_t k = link->receiver.consumed; k < link->carried; k++) {
		struct parcel *parcel = parcel_at(link, k);

		pages_give(link->pages, parcel->fragments, parcel->n_fragments);
		free(parcel->fragments);
	}
	link->receiver.consumed = link->carried;
}

void scatter_channel_close(struct channel *channel)
{
	struct link *link = channel->link;
	bool was_last;

	pthread_mutex_lock(&link->lock);
	channel->is_open = false;
	if (!is_sender(channel))
		drop_parcels(link);
	if (!link->status) {
		link->status = TCPX_ECLOSED;
		link->cause = "closed by the peer";
	}
	was_last = !link->sender.is_open && !link->receiver.is_open;
	pthread_mutex_unlock(&link->lock);
	if (was_last)
		link_destroy(link);
}

int scatter_listen(struct transport *transport, uint32_t rail,
		   struct listener **listener, void *addr, size_t *addr_bytes)
{
	return meet_listen(transport, MODE, listener, addr, addr_bytes);
}

static int connect_first(struct transport *transport, const void *addr,
			 size_t addr_bytes, struct channel **sender)
{
	struct link *link = link_create(transport);

	if (!link)
		return TCPX_ENOMEM;
	int status = meet_connect(MODE, addr, addr_bytes, link);
	if (status) {
		link_destroy(link);
		return status;
	}
	*sender = &link->sender;
	return TCPX_INPROGRESS;
}

int scatter_connect(struct transport *transport, uint32_t rail,
		    const void *addr, size_t addr_bytes,
		    struct channel **sender)
{
	if (!*sender)
		return connect_first(transport, addr, addr_bytes, sender);

	struct link *link = (*sender)->link;
	pthread_mutex_lock(&link->lock);
	int status = link->status;
	if (!status && link->connect_calls && --link->connect_calls)
		status = TCPX_INPROGRESS;
	pthread_mutex_unlock(&link->lock);
	if (status < 0) {
		scatter_channel_close(*sender);
		*sender = NULL;
	}
	return status;
}

int scatter_accept(struct listener *listener, struct channel **receiver)
{
	struct link *link = meet_accept(listener, false);

	*receiver = NULL;
	if (!link)
		return TCPX_INPROGRESS;
	pthread_mutex_lock(&link->lock);
	int status = link->status;
	if (!status && (link->connect_calls || --link->accept_calls))
		status = TCPX_INPROGRESS;
	if (!status)
		link->pages = &listener->transport->pages;
	pthread_mutex_unlock(&link->lock);
	if (status == TCPX_INPROGRESS)
		return status;
	(void)meet_accept(listener, true);
	if (status)
		scatter_channel_close(&link->receiver);
	else
		*receiver = &link->receiver;
	return status;
}

void scatter_listener_close(struct listener *listener)
{
	struct link *link = meet_close(listener);

	if (link)
		scatter_channel_close(&link->receiver);
}
