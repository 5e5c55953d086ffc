/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/choice.h"

#include "engine/device.h"
#include "engine/engine.h"
#include "engine/lane.h"
#include "engine/peer.h"
#include "engine/stream.h"

#define NEVER UINT32_MAX
#define MISFIT ENGINE_TRANSPORTS_MAX /* behind all that fit */

bool choice_counts(const struct lane *lane)
{
	return lane && lane->sends && lane->ready && lane->state == LANE_OPEN;
}

uint32_t choice_rank(const struct lane *lane, const struct gpu *from,
		     uint32_t to_device)
{
	const struct engine *engine = lane->peer->engine;
	uint32_t place = (uint32_t)(lane->via - engine->transports);

	if ((from || to_device) && !(lane->via->caps & TRANSPORT_GPU))
		return NEVER;
	if (from && lane->slots_gpu && lane->slots_gpu != from)
		return NEVER;
	return lane->lands && lane->lands != to_device ? MISFIT + place : place;
}

static const struct choice *choose(struct stream *stream,
				   const struct gpu *from)
{
	const struct peer *peer = stream->peer;
	struct choice *c = &stream->choice;

	if (c->changes == peer->lane_changes && c->from == from)
		return c;
	*c = (struct choice){
		.changes = peer->lane_changes, .rank = NEVER, .from = from};
	for (uint32_t i = 0; i < peer->lanes_end; i++) {
		if (!choice_counts(peer->lanes[i]))
			continue;
		uint32_t rank =
			choice_rank(peer->lanes[i], from, stream->to_device);

		if (rank < c->rank) {
			c->rank = rank;
			c->n_lanes = 0;
		}
		c->n_lanes += rank == c->rank;
	}
	return c;
}

bool choice_allows(const struct lane *lane, struct stream *stream)
{
	struct segcursor at;

	if (!lane->peer->choosy)
		return true;
	(void)stream_peek(stream, &at);
	const struct gpu *from = device_at(stream->list, at);
	uint32_t best = choose(stream, from)->rank;

	return best != NEVER &&
	       choice_rank(lane, from, stream->to_device) == best;
}

uint32_t choice_sharers(const struct lane *lane, const struct stream *stream)
{
	const struct peer *peer = lane->peer;
	uint32_t n = peer->choosy ? stream->choice.n_lanes : peer->n_senders;

	return n ? n : 1;
}

bool choice_same(const struct lane *lane, const struct lane *other)
{
	return lane->via == other->via && lane->lands == other->lands &&
	       lane->slots_gpu == other->slots_gpu;
}

void choice_lanes_changed(struct peer *peer)
{
	const struct lane *first = NULL;

	peer->lane_changes++;
	peer->n_senders = 0;
	peer->choosy = false;
	for (uint32_t i = 0; i < peer->lanes_end; i++) {
		const struct lane *lane = peer->lanes[i];

		if (!choice_counts(lane))
			continue;
		peer->n_senders++;
		first = first ? first : lane;
		peer->choosy |= lane->lands || lane->slots_gpu ||
				lane->via != first->via;
	}
	if (!list_empty(&peer->sending))
		peer_wake_lanes(peer, NULL, UINT32_MAX);
}
