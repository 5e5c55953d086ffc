/* SPDX-License-Identifier: Apache-2.0 */

/* tcpx_peer_describe(): which path a peer is reached by, and why. */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/text.h"
#include "core/flows.h"
#include "core/json.h"
#include "core/pairs.h"
#include "core/peering.h"
#include "core/reasons.h"

static const char *state_name(const struct peering *peering)
{
	enum peering_state state = peering->state;

	switch (state) {
	case PEERING_CONNECTING:
		return "connecting";
	case PEERING_FLOWS:
		return "opening flows";
	case PEERING_UP:
		return "connected";
	default:
		return "lost";
	}
}

static json_t *limits_json(const struct wire_limits *limits)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:I}", "chunk_bytes",
			 (json_int_t)limits->chunk_bytes, "window_chunks",
			 (json_int_t)limits->window_chunks, "flows",
			 (json_int_t)limits->n_flows, "rails",
			 (json_int_t)limits->n_rails, "small_bytes",
			 (json_int_t)limits->small_bytes, "list_segments",
			 (json_int_t)limits->list_segments, "notify_bytes",
			 (json_int_t)limits->notify_bytes, "checksum",
			 !!(limits->features & FEATURE_CHECKSUM), "liveness_ms",
			 (json_int_t)limits->liveness_ms);
}

static json_t *control_json(struct peer *peer)
{
	static const char *const states[] = {
		[CTL_UP] = "up", [CTL_DOWN] = "lost", [CTL_GREETS] = "coming back"};
	struct resumption *r = &peer->ctl.resumption;

	pthread_mutex_lock(&peer->lock);
	json_t *json =
		json_pack("{s:s,s:I,s:o,s:o}", "state", states[peer->ctl.state],
			  "resumed", (json_int_t)load_relaxed(&r->n_resumed),
			  "over", json_text(r->via), "why", json_text(r->why));

	pthread_mutex_unlock(&peer->lock);
	return json;
}

/* session->lock held. */
static json_t *peer_json(struct peering *peering)
{
	char id[2 * SESSION_ID_BYTES + 1] = "";
	bool lives = peering->peer && peering->state < PEERING_LOST;

	if (lives)
		flows_hear(peering);
	if (peering->known)
		json_hex(peering->session_id, SESSION_ID_BYTES, id);
	return json_pack("{s:o,s:s,s:s,s:s,s:o,s:b,s:b,s:o,s:o,s:o,s:o}",
			 "name", json_text(peering->name), "session", id,
			 "state", state_name(peering), "status",
			 tcpx_status_name(load_relaxed(&peering->status)),
			 "cause", json_text(peering->cause), "incoming",
			 peering->incoming, "self", peering->self, "limits",
			 limits_json(&peering->limits), "control",
			 lives ? control_json(peering->peer) : json_object(),
			 "pairs", lives ? pairs_json(peering) : json_array(),
			 "transports",
			 lives ? transports_json(peering) : json_array());
}

int tcpx_peer_describe(struct tcpx_session *session, uint64_t peer, char *buf,
		       size_t cap_bytes, size_t *len_bytes)
{
	if (!session_is_ours(session) || !len_bytes || (!buf && cap_bytes))
		return session_null(session, __func__);
	struct peering *peering = peering_of(session, peer);

	if (!peering)
		return session_no_such(session, "peer", peer);
	pthread_mutex_lock(&session->lock);
	json_t *json = peer_json(peering);

	pthread_mutex_unlock(&session->lock);
	peering_put(peering);
	return json_give(json, buf, cap_bytes, len_bytes);
}
