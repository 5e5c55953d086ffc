/* SPDX-License-Identifier: Apache-2.0 */

/* tcpx_peer_describe(): which path a peer is reached by, and why. */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/text.h"
#include "core/json.h"
#include "core/peering.h"
#include "engine/lane.h"

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
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:b,s:I}", "chunk_bytes",
			 (json_int_t)limits->chunk_bytes, "window_chunks",
			 (json_int_t)limits->window_chunks, "small_bytes",
			 (json_int_t)limits->small_bytes, "list_segments",
			 (json_int_t)limits->list_segments, "notify_bytes",
			 (json_int_t)limits->notify_bytes, "checksum",
			 !!(limits->features & FEATURE_CHECKSUM), "liveness_ms",
			 (json_int_t)limits->liveness_ms);
}

static const char *rail_ifname(const struct tcpx_session *session,
			       uint32_t rail)
{
	return rail < session->n_rails ? session->rails[rail].ifname : "?";
}

/* One rail in use: its interface here, the address there, open flows. */
static json_t *rail_json(struct peering *peering, uint32_t rail,
			 uint32_t n_flows)
{
	char remote[ADDR_TEXT_MAX] = "";

	if (peering->n_their_rails && !peering->incoming)
		addr_text(&peering->rails[rail % peering->n_their_rails].addr,
			  remote);
	return json_pack("{s:i,s:s,s:s,s:i}", "rail", (int)rail, "ifname",
			 rail_ifname(peering->session, rail), "remote", remote,
			 "flows", (int)n_flows);
}

/* Counts open lanes by rail and transport. Peer's lock held. */
static void count_lanes(struct peer *peer, const char *transport,
			uint32_t flows[PEER_RAILS_MAX])
{
	for (uint32_t i = 0; i < PEER_LANES_MAX; i++)
		if (peer->lanes[i] &&
		    !strcmp(peer->lanes[i]->via->ops->name, transport))
			flows[peer->lanes[i]->rail]++;
}

static void add_rejected(json_t *rejected, const char *transport,
			 const char *why)
{
	json_array_append_new(rejected, json_pack("{s:s,s:s}", "transport",
						  transport, "why", why));
}

/* Both ends of the control connection have the same address. */
static bool on_one_host(const struct peering *peering)
{
	struct net_addr here = {0}, there = {0};
	socklen_t here_len = sizeof(here), there_len = sizeof(there);
	struct peer *peer = peering->peer;

	pthread_mutex_lock(&peer->lock); /* keeps the fd open */
	bool known = !getsockname(peer->ctl.fd, &here.sa, &here_len) &&
		     !getpeername(peer->ctl.fd, &there.sa, &there_len);

	pthread_mutex_unlock(&peer->lock);
	addr_set_port(&here, 0);
	addr_set_port(&there, 0);
	return known && addr_equal(&here, &there);
}

static bool any_gpu_open(const struct tcpx_session *session)
{
	for (uint32_t i = 0; i < GPU_DEVICES_MAX; i++)
		if (gpu_set_opened(session->gpus, i))
			return true;
	return false;
}

/* What was tried and failed, and what is not allowed in the first place. */
static json_t *rejected_json(struct peering *peering)
{
	struct engine *engine = peering->session->engine;
	json_t *rejected = json_array();
	const struct transport_ops *ops;

	for (uint32_t i = 0; i < peering->n_rejected; i++)
		add_rejected(rejected, peering->rejected[i].transport,
			     peering->rejected[i].why);
	for (uint32_t i = 0; (ops = transport_at(i)); i++) {
		char why[128];

		if (engine_transport_find(engine, ops->name))
			continue;
		snprintf(why, sizeof(why),
			 "not among the transports allowed here (%s)",
			 peering->session->config->transports);
		add_rejected(rejected, ops->name, why);
	}
	if (any_gpu_open(peering->session) && on_one_host(peering))
		add_rejected(rejected, "gpu-direct",
			     "both ends are on this host, where GPUs may reach "
			     "each other's memory without any network; this "
			     "library carries bytes over TCP and takes no "
			     "other path silently");
	/* Flows that could not be opened belong to the taken one's story. */
	for (uint32_t i = 0; peering->flows && peering->via &&
			     i < peering->n_rails * peering->n_flows;
	     i++)
		if (!peering->flows[i].up && peering->flows[i].why[0])
			json_array_append_new(
				rejected,
				json_pack("{s:s,s:i,s:i,s:s}", "transport",
					  peering->via->ops->name, "rail",
					  (int)(i / peering->n_flows), "flow",
					  (int)(i % peering->n_flows), "why",
					  peering->flows[i].why));
	return rejected;
}

static const char *taken_transport(struct peer *peer)
{
	for (uint32_t i = 0; i < PEER_LANES_MAX; i++)
		if (peer->lanes[i])
			return peer->lanes[i]->via->ops->name;
	return NULL;
}

static void why_taken(struct peering *peering, const char *taken, char *why,
		      size_t cap)
{
	if (!taken)
		snprintf(why, cap, "no lane is open");
	else if (!strcmp(taken, "socket"))
		snprintf(why, cap, "plain TCP is always there%s; %s",
			 any_gpu_open(peering->session) ?
				 ", device memory goes through pinned slots" :
				 " and carries host memory as it lies",
			 peering->incoming ? "the peer opened the connection" :
					     "we opened the connection");
	else
		snprintf(why, cap,
			 "first of the allowed transports that "
			 "reaches this peer");
}

/* The one pair of devices there is without GPUs: host to host. */
static json_t *pair_json(struct peering *peering)
{
	struct peer *peer = peering->peer;
	uint32_t flows[PEER_RAILS_MAX] = {0}, n_flows = 0;
	json_t *rails = json_array();
	char why[160];

	pthread_mutex_lock(&peer->lock);
	const char *taken = taken_transport(peer);

	if (taken)
		count_lanes(peer, taken, flows);
	pthread_mutex_unlock(&peer->lock);
	for (uint32_t i = 0; i < PEER_RAILS_MAX; i++) {
		if (flows[i])
			json_array_append_new(rails,
					      rail_json(peering, i, flows[i]));
		n_flows += flows[i];
	}
	why_taken(peering, taken, why, sizeof(why));
	return json_pack("{s:s,s:s,s:s,s:s?,s:o,s:i,s:s,s:o}", "local", "host",
			 "remote", "host", "direction", "both", "transport",
			 taken, "rails", rails, "flows", (int)n_flows, "why",
			 why, "rejected", rejected_json(peering));
}

/* session->lock held. */
static json_t *peer_json(struct peering *peering)
{
	char id[2 * SESSION_ID_BYTES + 1] = "";
	json_t *pairs = json_array();

	if (peering->known)
		json_hex(peering->session_id, SESSION_ID_BYTES, id);
	if (peering->peer && peering->state < PEERING_LOST)
		json_array_append_new(pairs, pair_json(peering));
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:b,s:b,s:o,s:o}", "name",
			 peering->name, "session", id, "state",
			 state_name(peering), "status",
			 tcpx_status_name(load_relaxed(&peering->status)),
			 "cause", peering->cause, "incoming", peering->incoming,
			 "self", peering->self, "limits",
			 limits_json(&peering->limits), "pairs", pairs);
}

int tcpx_peer_describe(struct tcpx_session *session, uint64_t peer, char *buf,
		       size_t cap_bytes, size_t *len_bytes)
{
	if (!session || !len_bytes || (!buf && cap_bytes))
		return TCPX_EINVAL;
	struct peering *peering = peering_of(session, peer);

	if (!peering)
		return TCPX_ENOENT;
	pthread_mutex_lock(&session->lock);
	json_t *json = peer_json(peering);

	pthread_mutex_unlock(&session->lock);
	peering_put(peering);
	return json_give(json, buf, cap_bytes, len_bytes);
}
