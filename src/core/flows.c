/* SPDX-License-Identifier: Apache-2.0 */
#include "core/flows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/peering.h"

#define RETRY_NS (200 * NS_PER_MS)
#define RETRY_MAX_NS (10 * NS_PER_S)

static uint32_t lesser(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static struct flow *flow_at(struct peering *peering, uint32_t rail,
			    uint32_t flow)
{
	return &peering->flows[rail * peering->n_flows + flow];
}

static uint32_t n_flows_of(const struct peering *peering)
{
	return peering->n_rails * peering->n_flows;
}

/* ---- one flow --------------------------------------------------------- */

static int dial(struct peering *peering, uint32_t rail, uint32_t flow)
{
	struct tcpx_session *session = peering->session;
	const struct wire_rail *theirs =
		&peering->rails[rail % peering->n_their_rails];
	const struct nic *ours = &session->nics[rail % session->n_rails];
	struct boot_target target = {
		.purpose = HELLO_FLOW,
		.addr = theirs->addr,
		.token = peering->token,
		.rail = rail,
		.flow = flow,
		.generation = flow_at(peering, rail, flow)->generation,
	};

	memcpy(target.session, peering->session_id, SESSION_ID_BYTES);
	/* With several rails each must leave by its own interface. */
	if (ours->addr.sa.sa_family == theirs->addr.sa.sa_family &&
	    session->n_rails > 1)
		target.bind_addr = ours->addr;
	return connect_target(peering, &target);
}

static void open_one(struct peering *peering, uint32_t rail, uint32_t flow)
{
	struct flow *f = flow_at(peering, rail, flow);
	int err;

	f->retry_ns = 0;
	store_relaxed(&f->opened, TCPX_INPROGRESS);
	if (peering->via->caps & TRANSPORT_ADOPTS)
		err = dial(peering, rail, flow);
	else
		err = peer_offer_lane(peering->peer, peering->via, rail, flow,
				      f->generation);
	if (err) {
		f->retry_ns = clock_now_ns() + RETRY_NS;
		snprintf(f->why, sizeof(f->why), "%s", tcpx_strerror(err));
		return;
	}
	f->dialing = true;
	peering->n_dialing++;
}

static void failed(struct flow *f, const char *cause)
{
	uint64_t delay = RETRY_NS << lesser(f->n_failures, 6);

	f->up = false;
	f->n_failures++;
	f->retry_ns =
		clock_now_ns() + (delay > RETRY_MAX_NS ? RETRY_MAX_NS : delay);
	if (cause != f->why)
		snprintf(f->why, sizeof(f->why), "%s", cause);
}

/* ---- the transport ---------------------------------------------------- */

static void reject(struct peering *peering, const char *transport,
		   const char *why)
{
	if (peering->n_rejected == ENGINE_TRANSPORTS_MAX)
		return;
	struct rejected *r = &peering->rejected[peering->n_rejected++];

	snprintf(r->transport, sizeof(r->transport), "%s", transport);
	snprintf(r->why, sizeof(r->why), "%s", why);
}

/* Is name one of a comma-separated list? */
static bool allows(const char *list, const char *name)
{
	size_t len = strlen(name);

	while (*list) {
		size_t n = strcspn(list, ", ");

		if (n == len && !strncmp(list, name, n))
			return true;
		list += n;
		list += strspn(list, ", ");
	}
	return false;
}

/* The next of our transports that the peer allows. */
static bool next_transport(struct peering *peering)
{
	struct engine *engine = peering->session->engine;

	while (peering->n_tried < engine->n_transports) {
		struct engine_transport *via =
			&engine->transports[peering->n_tried++];

		if (allows(peering->transports, via->ops->name)) {
			peering->via = via;
			return true;
		}
		reject(peering, via->ops->name, "the peer does not allow it");
	}
	return false;
}

static void open_all(struct peering *peering)
{
	memset(peering->flows, 0,
	       n_flows_of(peering) * sizeof(*peering->flows));
	for (uint32_t rail = 0; rail < peering->n_rails; rail++)
		for (uint32_t flow = 0; flow < peering->n_flows; flow++)
			open_one(peering, rail, flow);
}

int flows_open(struct peering *peering)
{
	struct tcpx_session *session = peering->session;
	uint32_t n = lesser(session->n_rails, peering->n_their_rails);

	peering->n_rails =
		lesser(lesser(n, peering->limits.n_rails), PEER_RAILS_MAX);
	peering->n_flows = lesser(peering->limits.n_flows, PEER_FLOWS_MAX);
	peering->flows = calloc(n_flows_of(peering), sizeof(*peering->flows));
	if (!peering->flows)
		return TCPX_ENOMEM;
	if (!next_transport(peering))
		return TCPX_EUNSUPPORTED;
	peering->state = PEERING_FLOWS;
	open_all(peering);
	return peering->n_dialing ? 0 : TCPX_ENOMEM;
}

/* Have all first attempts come to their ends? Then the peer is up, or the
 * next transport's turn has come, or there is none and it is given up. */
static bool settle(struct peering *peering)
{
	uint32_t up = 0;

	if (peering->state != PEERING_FLOWS || peering->n_dialing)
		return false;
	for (uint32_t i = 0; i < n_flows_of(peering); i++)
		up += peering->flows[i].up;
	if (up) {
		connect_up(peering);
		return false;
	}
	reject(peering, peering->via->ops->name, peering->flows[0].why);
	while (next_transport(peering)) {
		open_all(peering);
		if (peering->n_dialing)
			return false;
		reject(peering, peering->via->ops->name, peering->flows[0].why);
	}
	char cause[MSG_TEXT_MAX];
	const struct rejected *last =
		&peering->rejected[peering->n_rejected - 1];

	snprintf(cause, sizeof(cause), "no flow could be opened: %s: %s",
		 last->transport, last->why);
	connect_lost(peering, TCPX_EUNREACHABLE, cause);
	return true;
}

/* ---- what has happened ------------------------------------------------ */

void flows_dialed(struct peering *peering, uint32_t rail, uint32_t flow,
		  int status, const char *cause,
		  const struct boot_result *result)
{
	struct tcpx_session *session = peering->session;

	pthread_mutex_lock(&session->lock);
	struct flow *f = flow_at(peering, rail, flow);
	bool wanted = peering->state == PEERING_FLOWS ||
		      peering->state == PEERING_UP;

	f->dialing = false;
	peering->n_dialing--;
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
		failed(f, cause);
	bool give_up = settle(peering);

	pthread_mutex_unlock(&session->lock);
	if (give_up)
		peer_shutdown(peering->peer, TCPX_EUNREACHABLE,
			      "no flow could be opened");
}

/* What the engine has left word of. */
static void take_news(struct peering *peering, struct flow *f)
{
	int opened = load_acquire(&f->opened); /* pairs with the op */

	if (f->dialing && opened != TCPX_INPROGRESS) {
		store_relaxed(&f->opened, TCPX_INPROGRESS);
		f->dialing = false;
		peering->n_dialing--;
		if (opened)
			failed(f, f->why);
		else
			f->up = true;
	}
	if (f->up && load_acquire(&f->lost)) {
		store_relaxed(&f->lost, 0);
		f->generation++;
		f->n_failures = 0;
		failed(f, "the connection broke");
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

	for (uint32_t i = 0; peering->flows && i < n_flows_of(peering); i++) {
		const struct flow *f = &peering->flows[i];

		if (waits(peering, f) && f->retry_ns < due_ns)
			due_ns = f->retry_ns;
	}
	return due_ns;
}

bool flows_tick(struct peering *peering, uint64_t now_ns)
{
	for (uint32_t i = 0; i < n_flows_of(peering); i++) {
		struct flow *f = &peering->flows[i];

		take_news(peering, f);
		if (waits(peering, f) && now_ns >= f->retry_ns)
			open_one(peering, i / peering->n_flows,
				 i % peering->n_flows);
	}
	return settle(peering);
}

static struct flow *flow_of(struct peer *peer, uint32_t rail, uint32_t flow)
{
	struct peering *peering = peer->user;

	if (!peering->flows || rail >= peering->n_rails ||
	    flow >= peering->n_flows)
		return NULL;
	return flow_at(peering, rail, flow);
}

void flows_on_lane_lost(void *arg, struct peer *peer, uint32_t rail,
			uint32_t flow, uint32_t generation, const char *cause)
{
	struct tcpx_session *session = arg;
	struct flow *f = flow_of(peer, rail, flow);

	(void)generation;
	if (f)
		store_release(&f->lost, 1);
	peering_event(peer->user, TCPX_EVENT_FLOW_LOST, TCPX_ECHANNEL, cause);
	boot_wake(session->boot);
}

void flows_on_lane_opened(void *arg, struct peer *peer, uint32_t rail,
			  uint32_t flow, int status, const char *cause)
{
	struct tcpx_session *session = arg;
	struct flow *f = flow_of(peer, rail, flow);

	if (f) {
		if (status)
			snprintf(f->why, sizeof(f->why), "%s", cause);
		store_release(&f->opened, status);
	}
	boot_wake(session->boot);
}
