/* SPDX-License-Identifier: Apache-2.0 */
#include "core/reasons.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "core/json.h"
#include "core/peering.h"
#include "engine/lane.h"

bool reasons_any_gpu(const struct tcpx_session *session)
{
	for (uint32_t i = 0; i < GPU_DEVICES_MAX; i++)
		if (gpu_set_opened(session->gpus, i))
			return true;
	return false;
}

void reasons_add(json_t **rejected, const char *transport, const char *why)
{
	json_add(rejected, json_pack("{s:s,s:o}", "transport", transport, "why",
				     json_text(why)));
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

static const struct way *way_of(const struct peering *peering,
				const struct engine_transport *via)
{
	for (uint32_t w = 0; w < peering->n_ways; w++)
		if (peering->ways[w].via == via)
			return &peering->ways[w];
	return NULL;
}

/* What we receive on: of that device's rail; 0: of any. */
static const char *our_failure(const struct way *way, uint32_t device)
{
	uint32_t n = way->n_rails * way->n_flows;

	for (uint32_t i = 0; i < n; i++) {
		const struct flow *f = &way->flows[i];

		if (f->why[0] && !f->up &&
		    (!device || i / way->n_flows + 1 == device))
			return f->why;
	}
	return NULL;
}

static const char *their_failure(const struct way *way, uint32_t device)
{
	for (uint32_t r = 0; way->theirs && r < PEER_OFFER_RAILS_MAX; r++)
		if (way->theirs[r].why[0] && (!device || r + 1 == device))
			return way->theirs[r].why;
	return NULL;
}

const char *reasons_rail(struct peering *peering,
			 const struct engine_transport *via, bool sending,
			 uint32_t device)
{
	const struct way *way = way_of(peering, via);

	if (!way)
		return NULL;
	if (via->caps & TRANSPORT_ADOPTS)
		return our_failure(way, 0);
	return sending ? their_failure(way, device) : our_failure(way, device);
}

void reasons_not_open(struct peering *peering,
		      const struct engine_transport *via, bool sending,
		      uint32_t device, char *why, size_t cap)
{
	const char *failure = reasons_rail(peering, via, sending, device);

	if (!failure)
		failure = reasons_rail(peering, via, sending, 0);
	if (!way_of(peering, via))
		snprintf(why, cap, "the peer does not use it (it has: %s)",
			 peering->transports);
	else
		snprintf(why, cap, "%s",
			 failure ? failure : "its lanes are being made");
}

static const char *refused_here(const struct engine *engine,
				const struct transport_ops *ops)
{
	for (uint32_t i = 0; i < engine->n_refused; i++)
		if (engine->refused[i].ops == ops)
			return engine->refused[i].why;
	return NULL;
}

/* NULL: it is in use. */
static const char *not_in_use(const struct tcpx_session *session,
			      const struct transport_ops *ops, char *buf,
			      size_t cap)
{
	const char *why = refused_here(session->engine, ops);

	if (engine_transport_find(session->engine, ops->name))
		return NULL;
	if (why)
		return *why ? why : "it cannot be used on this machine";
	snprintf(buf, cap, "not among the transports allowed here (%s)",
		 session->config->transports);
	return buf;
}

void reasons_not_here(struct peering *peering, json_t **rejected)
{
	const struct transport_ops *ops;
	char buf[320];

	for (uint32_t i = 0; (ops = transport_at(i)); i++) {
		const char *why =
			not_in_use(peering->session, ops, buf, sizeof(buf));

		if (why)
			reasons_add(rejected, ops->name, why);
	}
	if (reasons_any_gpu(peering->session) && on_one_host(peering))
		reasons_add(rejected, "gpu-direct",
			    "both ends are on this host, where GPUs may reach "
			    "each other's memory without any network; this "
			    "library carries bytes over TCP and takes no "
			    "other path silently");
}

void reasons_flows(struct peering *peering, const struct engine_transport *via,
		   json_t **rejected)
{
	const struct way *way = way_of(peering, via);
	uint32_t n = way ? way->n_rails * way->n_flows : 0;

	for (uint32_t i = 0; i < n; i++)
		if (!way->flows[i].up && way->flows[i].why[0])
			json_add(rejected,
				 json_pack("{s:s,s:i,s:i,s:o}", "transport",
					   via->ops->name, "rail",
					   (int)(i / way->n_flows), "flow",
					   (int)(i % way->n_flows), "why",
					   json_text(way->flows[i].why)));
}

/* ---- by transport ----------------------------------------------------- */

static json_t *rail_json(const struct engine_transport *via, uint32_t i)
{
	struct transport_rail rail;
	json_t *one;

	via->ops->rail(via->transport, i, &rail);
	one = json_pack("{s:i,s:o,s:s,s:o,s:o}", "rail", (int)i, "ifname",
			json_text(rail.ifname), "state",
			!rail.status		       ? "usable" :
			rail.status == TCPX_INPROGRESS ? "starting" :
							 "refused",
			"why", json_text(rail.why), "how", json_text(rail.how));
	if (rail.gpu)
		json_set(&one, "gpu", json_integer(gpu_index(rail.gpu)));
	return one;
}

static json_t *rails_json(const struct engine_transport *via)
{
	json_t *rails = json_array();

	for (uint32_t i = 0; via->ops->rail && i < via->limits.n_rails; i++)
		json_add(&rails, rail_json(via, i));
	return rails;
}

static void count_lanes(struct peer *peer, const struct engine_transport *via,
			int *sending, int *receiving)
{
	*sending = *receiving = 0;
	pthread_mutex_lock(&peer->lock);
	for (uint32_t i = 0; i < peer->lanes_end; i++) {
		const struct lane *lane = peer->lanes[i];

		if (!lane || lane->via != via || lane->state != LANE_OPEN)
			continue;
		*sending += lane->sends;
		*receiving += lane->receives;
	}
	pthread_mutex_unlock(&peer->lock);
}

static json_t *transport_json(struct peering *peering,
			      const struct engine_transport *via)
{
	int sending = 0, receiving = 0;
	char why[256] = "";

	if (peering->peer)
		count_lanes(peering->peer, via, &sending, &receiving);
	if (!receiving || !sending)
		reasons_not_open(peering, via, !sending, 0, why, sizeof(why));
	return json_pack("{s:s,s:b,s:i,s:i,s:o,s:o}", "transport",
			 via->ops->name, "usable", 1, "sending", sending,
			 "receiving", receiving, "rails", rails_json(via),
			 "why", json_text(why));
}

json_t *transports_json(struct peering *peering)
{
	struct engine *engine = peering->session->engine;
	json_t *all = json_array();
	const struct transport_ops *ops;
	char buf[320];

	for (uint32_t i = 0; i < engine->n_transports; i++)
		json_add(&all, transport_json(peering, &engine->transports[i]));
	for (uint32_t i = 0; (ops = transport_at(i)); i++) {
		const char *why =
			not_in_use(peering->session, ops, buf, sizeof(buf));

		if (why)
			json_add(&all,
				 json_pack("{s:s,s:b,s:i,s:i,s:[],s:o}",
					   "transport", ops->name, "usable", 0,
					   "sending", 0, "receiving", 0,
					   "rails", "why", json_text(why)));
	}
	return all;
}
