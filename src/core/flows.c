/* SPDX-License-Identifier: Apache-2.0 */
#include "core/flows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/item.h"
#include "base/text.h"
#include "core/peering.h"

#define RETRY_NS (200 * NS_PER_MS)
#define RETRY_MAX_NS (10 * NS_PER_S)
#define RETRY_REFUSED_NS (30 * NS_PER_S) /* what will hardly change */
#define FIRST_LANES_NS (20 * NS_PER_S)
#define GRACE_NS (300 * NS_PER_MS) /* for the others, once one is up */

static uint32_t lesser(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t n_flows_of(const struct way *way)
{
	return way->n_rails * way->n_flows;
}

static bool adopts(const struct way *way)
{
	return way->via->caps & TRANSPORT_ADOPTS;
}

/* ---- what is wanted --------------------------------------------------- */

/* Rails that both have: the session's interfaces against theirs. */
static uint32_t common_rails(const struct peering *peering)
{
	uint32_t theirs = peering->n_their_rails ? peering->n_their_rails : 1;

	return lesser(lesser(lesser(peering->session->n_rails, theirs),
			     peering->limits.n_rails),
		      PEER_RAILS_MAX);
}

static void plan_adopted(const struct peering *peering, struct way *way)
{
	way->n_rails = peering->incoming ? 0 : common_rails(peering);
	way->n_flows = lesser(peering->limits.n_flows, PEER_FLOWS_MAX);
}

/* Of the transport's own rails, or of those the session has. */
static void plan_offered(const struct peering *peering, struct way *way,
			 uint32_t *n_offered)
{
	const struct transport_limits *limits = &way->via->limits;
	uint32_t asked = peering->session->config->n_flows;
	uint32_t room = PEER_OFFERS_MAX - *n_offered;

	way->n_rails = limits->n_rails ?
			       lesser(limits->n_rails, PEER_OFFER_RAILS_MAX) :
			       common_rails(peering);
	way->n_flows = !asked && limits->n_channels ? limits->n_channels :
						      peering->limits.n_flows;
	way->n_flows = lesser(way->n_flows, PEER_FLOWS_MAX);
	if (n_flows_of(way) > room)
		way->n_flows = way->n_rails ? room / way->n_rails : 0;
	if (!way->n_flows)
		way->n_rails = 0;
	way->first_id = peer_offer_id(!peering->incoming, true) + *n_offered;
	*n_offered += n_flows_of(way);
}

int flows_plan(struct peering *peering)
{
	struct engine *engine = peering->session->engine;
	uint32_t n_offered = 0;

	peering->ways = calloc(engine->n_transports, sizeof(*peering->ways));
	if (!peering->ways)
		return TCPX_ENOMEM;
	for (uint32_t i = 0; i < engine->n_transports; i++) {
		struct engine_transport *via = &engine->transports[i];
		struct way *way = &peering->ways[peering->n_ways];

		if (item_place(peering->transports, via->ops->name) < 0)
			continue;
		way->via = via;
		if (adopts(way))
			plan_adopted(peering, way);
		else
			plan_offered(peering, way, &n_offered);
		peering->n_ways++; /* from here on it is freed */
		way->flows = calloc(n_flows_of(way) + 1, sizeof(*way->flows));
		if (!adopts(way))
			way->theirs = calloc(PEER_OFFER_RAILS_MAX,
					     sizeof(*way->theirs));
		if (!way->flows || (!adopts(way) && !way->theirs))
			return TCPX_ENOMEM;
	}
	return 0;
}

void flows_free(struct peering *peering)
{
	for (uint32_t i = 0; i < peering->n_ways; i++) {
		free(peering->ways[i].flows);
		free(peering->ways[i].theirs);
	}
	free(peering->ways);
	peering->ways = NULL;
	peering->n_ways = 0;
}

/* ---- one flow --------------------------------------------------------- */

void flows_aim(const struct peering *peering, uint32_t rail,
	       struct boot_target *target)
{
	const struct tcpx_session *session = peering->session;
	const struct wire_rail *theirs =
		&peering->rails[rail % peering->n_their_rails];
	const struct nic *ours = &session->nics[rail % session->n_rails];

	target->addr = theirs->addr;
	/* A rail that is one of several, or was asked for, is left from its own
	 * address; by which interface is for the kernel's routes to say
	 * (core/rails.h), and routes by source address heed it. To bind
	 * that too helps nobody: where the routes say otherwise, so do those
	 * over there, and their answer comes by an interface that a bound
	 * socket does not hear. */
	if (ours->addr.sa.sa_family == theirs->addr.sa.sa_family &&
	    (session->n_rails > 1 || session->config->ifnames))
		target->bind_addr = ours->addr;
}

static int dial(struct peering *peering, struct way *way, uint32_t i)
{
	struct boot_target target = {
		.purpose = HELLO_FLOW,
		.token = peering->token,
		.rail = i / way->n_flows,
		.flow = i % way->n_flows,
		.generation = way->flows[i].generation,
	};

	memcpy(target.session, peering->session_id, SESSION_ID_BYTES);
	flows_aim(peering, target.rail, &target);
	return connect_target(peering, &target, 0);
}

/* One that was given up may still be on the way: each has a generation. */
static int offer(struct peering *peering, struct way *way, uint32_t i)
{
	struct flow *f = &way->flows[i];

	return peer_offer_lane(peering->peer, way->via, way->first_id + i,
			       i / way->n_flows, ++f->generation, f->why,
			       sizeof(f->why));
}

/* Once for each thing that goes wrong; who retries says it often. */
static void log_once(struct peering *peering, struct way *way, const char *why)
{
	for (int i = 0; i < 4; i++)
		if (!strcmp(way->logged[i], why))
			return;
	snprintf(way->logged[way->n_logged++ % 4], sizeof(way->logged[0]), "%s",
		 why);
	log_warn(&peering->session->later.log, "flows", "peer %s: %s: %s",
		 peering->name, way->via->ops->name, why);
}

static void failed(struct flow *f, int status, const char *cause)
{
	uint64_t delay = RETRY_NS << lesser(f->n_failures, 6);

	if (delay > RETRY_MAX_NS)
		delay = RETRY_MAX_NS;
	if (status == TCPX_EUNSUPPORTED)
		delay = RETRY_REFUSED_NS;
	f->up = false;
	f->n_failures++;
	f->status = status;
	f->retry_ns = clock_now_ns() + delay;
	if (cause != f->why)
		snprintf(f->why, sizeof(f->why), "%s", cause);
}

static void open_one(struct peering *peering, struct way *way, uint32_t i)
{
	struct flow *f = &way->flows[i];
	int err;

	f->retry_ns = 0;
	/* A dial takes long to fail; till then the last reason holds. */
	if (!adopts(way))
		f->why[0] = '\0';
	store_relaxed(&f->opened, TCPX_INPROGRESS);
	err = adopts(way) ? dial(peering, way, i) : offer(peering, way, i);
	if (err) {
		failed(f, err,
		       adopts(way) || !f->why[0] ? tcpx_strerror(err) : f->why);
		if (err != TCPX_EPEER)
			log_once(peering, way, f->why);
		return;
	}
	f->dialing = true;
	way->n_dialing++;
}

int flows_open(struct peering *peering)
{
	for (uint32_t w = 0; w < peering->n_ways; w++)
		for (uint32_t i = 0; i < n_flows_of(&peering->ways[w]); i++)
			open_one(peering, &peering->ways[w], i);
	if (peering->incoming)
		return 0;
	peering->state = PEERING_FLOWS;
	peering->flows_end_ns = clock_now_ns() + FIRST_LANES_NS;
	if (!peering->n_ways)
		return TCPX_EUNSUPPORTED;
	return 0;
}

/* ---- has it come about? ----------------------------------------------- */

/* The reasons, for people. */
static void why_none(const struct peering *peering, char *cause, size_t cap)
{
	struct text text;

	text_init(&text, cause, cap);
	text_add(&text, "no flow could be opened");
	for (uint32_t w = 0; w < peering->n_ways; w++) {
		const struct way *way = &peering->ways[w];

		text_add(&text, "%s %s: %s", w ? ";" : ":", way->via->ops->name,
			 n_flows_of(way) && way->flows[0].why[0] ?
				 way->flows[0].why :
				 "nothing came in time");
	}
}

static uint32_t n_up(const struct way *way)
{
	uint32_t up = 0;

	for (uint32_t i = 0; i < n_flows_of(way); i++)
		up += way->flows[i].up;
	return up;
}

/* The others may join before the peer is up, but what nobody answers does not
 * hold it up. */
static bool grace_over(struct peering *peering)
{
	uint64_t now_ns = clock_now_ns();

	if (!peering->grace_end_ns)
		peering->grace_end_ns = now_ns + GRACE_NS;
	return now_ns >= peering->grace_end_ns;
}

/* What the first dials that are still under way are described by. */
static void leave_behind(struct peering *peering)
{
	for (uint32_t w = 0; w < peering->n_ways; w++) {
		struct way *way = &peering->ways[w];

		for (uint32_t i = 0; adopts(way) && i < n_flows_of(way); i++)
			if (way->flows[i].dialing && !way->flows[i].why[0])
				snprintf(way->flows[i].why,
					 sizeof(way->flows[i].why),
					 "no answer yet; it joins when there "
					 "is one");
	}
}

/*
 * The peer is up with its first round of adopted flows, or shortly after the
 * first of them: the others, and what is offered, join when they are ready.
 * Without those it is up when bytes can go and come. If nothing is left to
 * hope for it is given up.
 */
static bool settle(struct peering *peering)
{
	uint32_t up = 0, dialing = 0, adopted_up = 0, adopted_dialing = 0;
	bool sends, receives;
	char cause[MSG_TEXT_MAX];

	if (peering->state != PEERING_FLOWS)
		return false;
	for (uint32_t w = 0; w < peering->n_ways; w++) {
		const struct way *way = &peering->ways[w];
		uint32_t ups = n_up(way);

		up += ups;
		dialing += way->n_dialing;
		if (adopts(way)) {
			adopted_up += ups;
			adopted_dialing += way->n_dialing;
		}
	}
	if (adopted_dialing && !(adopted_up && grace_over(peering)))
		return false;
	peer_open_ways(peering->peer, &sends, &receives);
	if (adopted_up || (sends && receives)) {
		leave_behind(peering);
		connect_up(peering);
		return false;
	}
	if ((up || dialing) && clock_now_ns() < peering->flows_end_ns)
		return false;
	why_none(peering, cause, sizeof(cause));
	connect_lost_said(peering, TCPX_EUNREACHABLE, cause);
	return true;
}

/* ---- what has happened ------------------------------------------------ */

static struct way *adopting_way(struct peering *peering)
{
	for (uint32_t w = 0; w < peering->n_ways; w++)
		if (adopts(&peering->ways[w]))
			return &peering->ways[w];
	return NULL;
}

void flows_dialed(struct peering *peering, uint32_t rail, uint32_t flow,
		  int status, const char *cause,
		  const struct boot_result *result)
{
	struct tcpx_session *session = peering->session;

	pthread_mutex_lock(&session->lock);
	struct way *way = adopting_way(peering);

	if (!way) {
		/* The peer was lost meanwhile. */
		pthread_mutex_unlock(&session->lock);
		if (!status)
			close(result->fd);
		return;
	}
	struct flow *f = &way->flows[rail * way->n_flows + flow];
	bool wanted = peering->state == PEERING_FLOWS ||
		      peering->state == PEERING_UP;

	f->dialing = false;
	way->n_dialing--;
	if (!status && !wanted) {
		close(result->fd);
	} else if (!status) {
		f->up = true;
		f->n_failures = 0;
		status = peer_adopt(peering->peer, rail, flow, f->generation,
				    result->fd);
		cause = "the transport did not take it";
	}
	if (status)
		failed(f, status, cause);
	bool give_up = settle(peering);

	pthread_mutex_unlock(&session->lock);
	if (give_up)
		peer_shutdown(peering->peer, TCPX_EUNREACHABLE,
			      "no flow could be opened");
}

/* What the engine has left word of. */
static void take_news(struct peering *peering, struct way *way, struct flow *f)
{
	int opened = load_acquire(&f->opened); /* pairs with the op */

	if (f->dialing && opened != TCPX_INPROGRESS) {
		store_relaxed(&f->opened, TCPX_INPROGRESS);
		f->dialing = false;
		way->n_dialing--;
		f->up = !opened;
		if (opened) {
			failed(f, opened, f->news);
			log_once(peering, way, f->why);
		}
	}
	if (f->up && load_acquire(&f->lost)) {
		store_relaxed(&f->lost, 0);
		if (adopts(way))
			f->generation++;
		f->n_failures = 0;
		failed(f, TCPX_ECHANNEL, f->news);
	}
}

/* The same of what they offer. */
static void take_word(struct peering *peering, struct way *way)
{
	for (uint32_t r = 0; way->theirs && r < PEER_OFFER_RAILS_MAX; r++) {
		struct refusal *refusal = &way->theirs[r];

		if (!load_acquire(&refusal->told)) /* pairs with tell() */
			continue;
		memcpy(refusal->why, refusal->news, sizeof(refusal->why));
		if (refusal->status)
			log_once(peering, way, refusal->why);
		store_release(&refusal->told, 0);
	}
}

/* It is to be opened again, at retry_ns. */
static bool waits(const struct peering *peering, const struct flow *f)
{
	return peering->state == PEERING_UP && !f->up && !f->dialing &&
	       f->retry_ns;
}

uint64_t flows_due_ns(struct peering *peering)
{
	uint64_t due_ns = UINT64_MAX;

	for (uint32_t w = 0; w < peering->n_ways; w++) {
		const struct way *way = &peering->ways[w];

		for (uint32_t i = 0; i < n_flows_of(way); i++) {
			const struct flow *f = &way->flows[i];

			if (waits(peering, f) && f->retry_ns < due_ns)
				due_ns = f->retry_ns;
		}
	}
	return due_ns;
}

void flows_hear(struct peering *peering)
{
	for (uint32_t w = 0; w < peering->n_ways; w++) {
		struct way *way = &peering->ways[w];

		take_word(peering, way);
		for (uint32_t i = 0; i < n_flows_of(way); i++)
			take_news(peering, way, &way->flows[i]);
	}
}

bool flows_tick(struct peering *peering, uint64_t now_ns)
{
	flows_hear(peering);
	for (uint32_t w = 0; w < peering->n_ways; w++) {
		struct way *way = &peering->ways[w];

		for (uint32_t i = 0; i < n_flows_of(way); i++) {
			struct flow *f = &way->flows[i];

			if (waits(peering, f) && now_ns >= f->retry_ns)
				open_one(peering, way, i);
		}
	}
	return settle(peering);
}

/* ---- from the engine -------------------------------------------------- */

/* Ours of that id; NULL: it is theirs. */
static struct flow *flow_of(struct peering *peering, uint32_t id)
{
	for (uint32_t w = 0; w < peering->n_ways; w++) {
		struct way *way = &peering->ways[w];
		uint32_t rail = id / PEER_FLOWS_MAX;
		uint32_t i = id - way->first_id;

		if (adopts(way)) {
			if (rail >= way->n_rails ||
			    id % PEER_FLOWS_MAX >= way->n_flows)
				continue;
			i = rail * way->n_flows + id % PEER_FLOWS_MAX;
		}
		if (i < n_flows_of(way))
			return &way->flows[i];
	}
	return NULL;
}

static void tell(struct peering *peering, const struct engine_transport *via,
		 uint32_t rail, int status, const char *cause)
{
	for (uint32_t w = 0; w < peering->n_ways; w++) {
		const struct way *way = &peering->ways[w];

		if (way->via != via || !way->theirs ||
		    rail >= PEER_OFFER_RAILS_MAX ||
		    load_acquire(&way->theirs[rail].told)) /* take_word() */
			continue;
		struct refusal *refusal = &way->theirs[rail];

		refusal->status = status;
		snprintf(refusal->news, sizeof(refusal->news), "%s", cause);
		store_release(&refusal->told, 1);
	}
}

void flows_on_lane_lost(void *arg, struct peer *peer,
			struct engine_transport *via, uint32_t id,
			uint32_t rail, const char *cause)
{
	struct tcpx_session *session = arg;
	struct peering *peering = peer->user;
	struct flow *f = flow_of(peering, id);

	if (f) {
		snprintf(f->news, sizeof(f->news), "it broke: %s", cause);
		store_release(&f->lost, 1);
	} else {
		/* Status 0: an event, and nothing for the log. */
		tell(peering, via, rail, 0, cause);
	}
	peering_event(peering, TCPX_EVENT_FLOW_LOST, TCPX_ECHANNEL, cause);
	boot_wake(session->boot);
}

void flows_on_lane_opened(void *arg, struct peer *peer,
			  struct engine_transport *via, uint32_t id,
			  uint32_t rail, int status, const char *cause)
{
	struct tcpx_session *session = arg;
	struct peering *peering = peer->user;
	struct flow *f = flow_of(peering, id);

	if (f) {
		if (status)
			snprintf(f->news, sizeof(f->news), "%s", cause);
		store_release(&f->opened, status);
	} else {
		tell(peering, via, rail, status, cause);
	}
	boot_wake(session->boot);
}
