/* SPDX-License-Identifier: Apache-2.0 */

/* The lanes of a peer: how they join, who of them is to look for work, and how
 * they go. */

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/awaiting.h"
#include "engine/lane.h"
#include "engine/peer.h"
#include "engine/resume.h"
#include "engine/stream.h"

/* Bytes that are worth a lane. */
#define A_LANES (128u * 1024)
#define LOOK_NS NS_PER_S /* between looks at idle lanes */

/* ---- joining ---------------------------------------------------------- */

struct lane *peer_lane_find(struct peer *peer, uint32_t id, uint32_t generation)
{
	struct lane *lane = id < PEER_LANES_MAX ? peer->lanes[id] : NULL;

	if (lane && lane->generation == generation)
		return lane;
	/* The newest first: an older one of the same generation is a ghost
	 * that the other side never had. */
	for (struct list *node = peer->dead_lanes.prev;
	     node != &peer->dead_lanes; node = node->prev) {
		lane = list_entry(node, struct lane, link);
		if (lane->id == id && lane->generation == generation)
			return lane;
	}
	return NULL;
}

static uint64_t credit_key(uint32_t id, uint32_t generation)
{
	return ((uint64_t)generation << 32 | id) + 1;
}

int peer_early_credit(struct peer *peer, const struct msg_credit *credit)
{
	uint64_t key = credit_key(credit->channel, credit->generation);
	struct msg_credit *kept = u64map_get(&peer->early_credits, key);

	if (kept) {
		*kept = *credit;
		return 0;
	}
	if (credit->channel >= PEER_LANES_MAX ||
	    peer->early_credits.n_used >= PEER_LANES_MAX)
		return 0;
	kept = malloc(sizeof(*kept));
	if (!kept)
		return TCPX_ENOMEM;
	*kept = *credit;
	if (u64map_put(&peer->early_credits, key, kept)) {
		free(kept);
		return TCPX_ENOMEM;
	}
	return 0;
}

void peer_forget_credit(struct peer *peer, uint32_t id, uint32_t generation)
{
	free(u64map_del(&peer->early_credits, credit_key(id, generation)));
}

int peer_add_lane(struct peer *peer, struct lane *lane)
{
	if (lane->id >= PEER_LANES_MAX)
		return TCPX_EINVAL;
	pthread_mutex_lock(&peer->lock);
	struct lane *old = peer->lanes[lane->id];

	if (load_relaxed(&peer->state) != PEER_UP ||
	    (old && old->generation >= lane->generation)) {
		pthread_mutex_unlock(&peer->lock);
		return TCPX_EBUSY;
	}
	if (old) {
		/* Its other end gave it up before this one noticed. */
		snprintf(old->cause, sizeof(old->cause), "replaced");
		old->kill = true;
		list_add_tail(&peer->dead_lanes, &old->link);
		lane_wake(old);
	}
	uint64_t key = credit_key(lane->id, lane->generation);
	struct msg_credit *early = u64map_del(&peer->early_credits, key);

	peer->lanes[lane->id] = lane;
	peer->n_lanes++;
	if (peer->lanes_end <= lane->id)
		peer->lanes_end = lane->id + 1;
	if (early)
		lane_credit(lane, early);
	choice_lanes_changed(peer);
	lane_wake(lane); /* later it may be gone already */
	pthread_mutex_unlock(&peer->lock);
	free(early);
	return 0;
}

/* A flow whose bytes nobody acknowledges (a cable is pulled) breaks within
 * the liveness time, and what it carried goes over the others; the kernel
 * alone would try for a quarter of an hour. */
static void limit_silence(const struct peer *peer, int fd)
{
	unsigned int ms = peer->limits.liveness_ms;

	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
}

/* The first flow lives beside the control connection, where a caller that
 * waits drives both; the others are spread over the contexts. */
static struct context *lane_context(const struct peer *peer, uint32_t rail,
				    uint32_t flow)
{
	struct engine *engine = peer->engine;
	uint32_t i = peer->home->index + rail + flow;

	return &engine->contexts[i % engine->n_contexts];
}

/* The one whose channels are connections of ours. */
static struct engine_transport *adopting(struct engine *engine)
{
	for (uint32_t i = 0; i < engine->n_transports; i++)
		if (engine->transports[i].caps & TRANSPORT_ADOPTS)
			return &engine->transports[i];
	return NULL;
}

int peer_adopt(struct peer *peer, uint32_t rail, uint32_t flow,
	       uint32_t generation, int fd)
{
	limit_silence(peer, fd);
	struct engine_transport *via = adopting(peer->engine);
	struct channel *tx, *rx;
	struct lane *lane;
	int err = via ? via->ops->adopt(via->transport, fd, &tx, &rx) :
			TCPX_EUNSUPPORTED;

	if (err) {
		close(fd);
		return err;
	}
	const struct lane_params params = {
		.peer = peer,
		.ctx = lane_context(peer, rail, flow),
		.via = via,
		.id = rail * PEER_FLOWS_MAX + flow,
		.rail = rail,
		.generation = generation,
		.tx = tx,
		.rx = rx,
	};

	err = rail < PEER_RAILS_MAX && flow < PEER_FLOWS_MAX ?
		      lane_create(&params, &lane) :
		      TCPX_EINVAL;
	if (err) {
		via->ops->channel_close(tx);
		via->ops->channel_close(rx);
		return err;
	}
	lane->ready = true;
	err = peer_add_lane(peer, lane);
	if (err)
		lane_destroy(lane);
	return err;
}

void peer_open_ways(struct peer *peer, bool *sends, bool *receives)
{
	*sends = *receives = false;
	pthread_mutex_lock(&peer->lock);
	for (uint32_t i = 0; i < peer->lanes_end; i++) {
		const struct lane *lane = peer->lanes[i];

		*sends |= choice_counts(lane);
		*receives |= lane && lane->receives && lane->state == LANE_OPEN;
	}
	pthread_mutex_unlock(&peer->lock);
}

/* ---- who is to look for work ------------------------------------------ */

void peer_wake_lanes(struct peer *peer, struct stream *stream, uint64_t n_lanes)
{
	for (uint32_t i = 0; n_lanes && i < peer->lanes_end; i++) {
		struct lane *lane = peer->lanes[i];

		if (!lane || !lane->sends || !lane->idle ||
		    (stream && !choice_allows(lane, stream)))
			continue;
		lane->idle = false;
		lane_wake(lane);
		n_lanes--;
	}
}

void peer_wake_after(struct peer *peer, const struct lane *lane)
{
	for (uint32_t i = lane->id + 1; i < peer->lanes_end; i++) {
		struct lane *next = peer->lanes[i];

		if (!next || !next->sends || !next->idle ||
		    (peer->choosy && !choice_same(next, lane)))
			continue;
		next->idle = false;
		lane_wake(next);
		return;
	}
}

void peer_wake_stalled(struct peer *peer)
{
	for (uint32_t i = 0; i < peer->lanes_end; i++)
		if (peer->lanes[i] && peer->lanes[i]->stalled)
			lane_wake(peer->lanes[i]);
}

void peer_offer(struct peer *peer, struct stream *stream)
{
	if (load_relaxed(&stream->dead) || !stream_has_bytes(stream))
		return;
	if (stream->event) {
		event_await(stream);
		return;
	}
	if (list_empty(&stream->link))
		list_add_tail(&peer->sending, &stream->link);
	/* The first lane lives where the control connection does: a short one
	 * goes by it, and wakes nobody else. */
	peer_wake_lanes(peer, stream,
			1 + (stream->limit - stream->next) / A_LANES);
}

void peer_look_at_idle(struct peer *peer, uint64_t now_ns)
{
	if (now_ns < peer->looked_ns + LOOK_NS)
		return;
	peer->looked_ns = now_ns;
	for (uint32_t i = PEER_ADOPTED_MAX; i < peer->lanes_end; i++) {
		struct lane *lane = peer->lanes[i];

		if (lane && !lane->waits)
			lane_wake(lane);
	}
}

/* ---- letting go, and going -------------------------------------------- */

void peer_sweep_later(struct peer *peer)
{
	add_acq_rel(&peer->sweeps, 1);
	for (uint32_t i = 0; i < peer->lanes_end; i++)
		if (peer->lanes[i])
			lane_wake(peer->lanes[i]);
}

/* The contexts that lanes of it live in, marked and wanted; how many. What joins
 * later holds nothing of a stream that is dead by now. */
static uint32_t want_contexts(struct peer *peer, bool due[])
{
	uint32_t n = 0;

	pthread_mutex_lock(&peer->lock);
	for (uint32_t i = 0; i < peer->lanes_end; i++)
		if (peer->lanes[i])
			due[peer->lanes[i]->ctx->index] = true;
	/* One that was replaced is open until its next pass. */
	list_for_each (node, &peer->dead_lanes)
		due[list_entry(node, struct lane, link)->ctx->index] = true;
	pthread_mutex_unlock(&peer->lock);
	for (uint32_t c = 0; c < peer->engine->n_contexts; c++) {
		if (due[c])
			context_want(&peer->engine->contexts[c]);
		n += due[c];
	}
	return n;
}

/* By the owner of ctx. */
static void sweep_here(struct peer *peer, const struct context *ctx)
{
	pthread_mutex_lock(&peer->lock);
	for (uint32_t i = 0; i < peer->lanes_end; i++)
		if (peer->lanes[i] && peer->lanes[i]->ctx == ctx)
			lane_sweep(peer->lanes[i]);
	list_for_each (node, &peer->dead_lanes) {
		struct lane *lane = list_entry(node, struct lane, link);

		if (lane->ctx == ctx)
			lane_sweep(lane);
	}
	pthread_mutex_unlock(&peer->lock);
}

/* All are asked to let go before one is entered, and none is waited for before
 * another that is free. */
void peer_sweep(struct peer *peer, bool (*is_held)(void *), void *arg)
{
	struct engine *engine = peer->engine;
	bool due[ENGINE_CONTEXTS_MAX] = {false};
	uint32_t left = is_held(arg) ? want_contexts(peer, due) : 0;

	for (uint32_t tries = 0; left && is_held(arg); tries++) {
		for (uint32_t c = 0; c < engine->n_contexts; c++) {
			struct context *ctx = &engine->contexts[c];

			if (!due[c] || !context_try_enter(ctx))
				continue;
			sweep_here(peer, ctx);
			context_release(ctx);
			due[c] = false;
			left--;
		}
		context_pause(tries);
	}
	for (uint32_t c = 0; left && c < engine->n_contexts; c++)
		if (due[c])
			context_unwant(&engine->contexts[c]);
}

void peer_lane_dead(struct peer *peer, struct lane *lane)
{
	if (peer->lanes[lane->id] == lane)
		peer->lanes[lane->id] = NULL;
	peer->n_lanes--;
	list_move_tail(&peer->dead_lanes, &lane->link);
	if (++peer->n_dead > 4 * PEER_LANES_MAX)
		peer_doom(peer, TCPX_EPROTO,
			  "it does not fence its dead channels");
	if (load_relaxed(&peer->state) == PEER_UP && !peer->quiet)
		peer->engine->ops->lane_lost(peer->engine->arg, peer, lane->via,
					     lane->id, lane->rail, lane->cause);
	resume_lane_gone(peer);
}

void peer_lane_over(struct peer *peer, struct lane *lane)
{
	list_del(&lane->link);
	peer->n_dead--;
	totals_add_lane(&peer->gone, lane);
	peer_wake_lanes(peer, NULL, UINT32_MAX);
	context_submit(lane->ctx, &lane->reap);
}
