/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/stream.h"

#include <stdlib.h>
#include <tcpx/p2p.h>

#include "base/clock.h"
#include "engine/peer.h"

#define FORSAKEN_NS (100 * NS_PER_MS)

struct stream *stream_create(struct peer *peer, struct seglist *list,
			     uint64_t wire_id, uint64_t total_bytes)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	stream->peer = peer;
	stream->list = seglist_get(list);
	stream->wire_id = wire_id;
	stream->total_bytes = total_bytes;
	store_relaxed(&stream->progress_ns, clock_coarse_ns());
	list_init(&stream->link);
	store_relaxed(&stream->refs, 1);
	return stream;
}

struct stream *stream_get(struct stream *stream)
{
	add_relaxed(&stream->refs, 1);
	return stream;
}

void stream_put(struct stream *stream)
{
	if (!stream || add_acq_rel(&stream->refs, -1u) != 1)
		return;
	seglist_put(stream->list);
	free(stream->again);
	free(stream);
}

void stream_expect(struct stream *stream)
{
	stream->expected = true;
	add_relaxed(&stream->peer->home->n_inbound, 1);
}

void stream_kill(struct stream *stream)
{
	if (stream->expected)
		add_relaxed(&stream->peer->home->n_inbound, -1u);
	stream->expected = false;
	if (load_relaxed(&stream->dead))
		return;
	stream->dead_ns = clock_coarse_ns();
	store_release(&stream->dead, 1);
	list_del(&stream->link);
	if (load_acquire(&stream->n_busy))
		list_add_tail(&stream->peer->leaving,
			      &stream_get(stream)->link);
}

bool streams_hold(struct peer *peer, const struct region *region)
{
	list_for_each (node, &peer->leaving) {
		const struct stream *stream =
			list_entry(node, struct stream, link);

		if (load_acquire(&stream->n_busy) &&
		    seglist_names(stream->list, region))
			return true;
	}
	return false;
}

void streams_forget(struct peer *peer)
{
	list_for_each_safe (node, &peer->leaving) {
		struct stream *stream = list_entry(node, struct stream, link);

		if (load_acquire(&stream->n_busy))
			continue;
		list_del(&stream->link);
		stream_put(stream);
	}
}

bool stream_is_forsaken(const struct stream *stream)
{
	return !stream->own && load_acquire(&stream->dead) &&
	       clock_coarse_ns() - stream->dead_ns > FORSAKEN_NS;
}

bool stream_has_bytes(const struct stream *stream)
{
	return stream->n_again || stream->next < stream->limit;
}

struct piece stream_peek(const struct stream *stream, struct segcursor *cursor)
{
	if (stream->n_again) {
		struct piece piece = stream->again[stream->n_again - 1];

		*cursor = seglist_seek(stream->list, piece.pos);
		return piece;
	}
	uint64_t left = stream->limit - stream->next;

	*cursor = stream->cursor;
	return (struct piece){stream->next,
			      left > UINT32_MAX ? UINT32_MAX : (uint32_t)left};
}

void stream_take(struct stream *stream, uint32_t len_bytes,
		 struct segcursor cursor)
{
	if (!stream->n_again) {
		stream->next += len_bytes;
		stream->cursor = cursor;
		return;
	}
	struct piece *piece = &stream->again[stream->n_again - 1];

	piece->pos += len_bytes;
	piece->len_bytes -= len_bytes;
	if (!piece->len_bytes)
		stream->n_again--;
}

int stream_again(struct stream *stream, struct piece piece)
{
	if (stream->n_again == stream->cap_again) {
		uint32_t cap = stream->cap_again ? 2 * stream->cap_again : 8;
		struct piece *grown =
			realloc(stream->again, cap * sizeof(*grown));

		if (!grown)
			return TCPX_ENOMEM;
		stream->again = grown;
		stream->cap_again = cap;
	}
	stream->again[stream->n_again++] = piece;
	return 0;
}
