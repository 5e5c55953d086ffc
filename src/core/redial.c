/* SPDX-License-Identifier: Apache-2.0 */
#include "core/redial.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/flows.h"
#include "core/peering.h"
#include "core/rails.h"
#include "engine/resume.h"

#define APART_MAX_NS (250 * NS_PER_MS) /* between the askings of a round */
#define ROUND_NS (50 * NS_PER_MS) /* between rounds; doubles */
#define ROUND_DOUBLES 4

static uint64_t liveness_ns(const struct peering *peering)
{
	return peering->limits.liveness_ms * NS_PER_MS;
}

static bool is_up(const struct peering *peering)
{
	return peering->state == PEERING_FLOWS || peering->state == PEERING_UP;
}

/* ---- dialing ---------------------------------------------------------- */

static uint32_t n_places(const struct peering *peering)
{
	return 1 + peering->n_their_rails;
}

/* So that a round, and an answer that does not come, take little of the time in
 * which the peer is lost. */
static uint64_t apart_ns(const struct peering *peering)
{
	uint64_t few = liveness_ns(peering) / 16;
	uint64_t many = liveness_ns(peering) / 4 / n_places(peering);
	uint64_t apart = few < many ? few : many;

	return apart < APART_MAX_NS ? apart : APART_MAX_NS;
}

/* Asks there, unless that is where the first is asked, and by the same way. */
static bool ask(struct peering *peering, uint32_t place)
{
	struct redial *r = &peering->redial;
	struct boot_target target = {
		.purpose = HELLO_RESUME,
		.addr = peering->ctl_addr,
		.token = peering->token,
		.once = true,
	};

	if (place) {
		flows_aim(peering, place - 1, &target);
		if (addr_equal(&target.addr, &peering->ctl_addr) &&
		    !target.bind_addr.sa.sa_family)
			return false;
	}
	memcpy(target.session, peering->session_id, SESSION_ID_BYTES);
	target.generation = ++r->generation;
	r->n_asked++;
	if (connect_target(peering, &target,
			   (uint32_t)(liveness_ns(peering) / 4 / NS_PER_MS)))
		return false;
	r->n_dialing++;
	return true;
}

static void begin_round(struct redial *r, uint64_t at_ns)
{
	r->next = r->n_asked = r->n_refused = 0;
	r->next_ns = at_ns;
	r->round_first = r->generation + 1;
}

/* Session lock held. */
static void step(struct peering *peering, uint64_t now_ns)
{
	struct redial *r = &peering->redial;
	uint32_t doubles = r->n_rounds;

	while (!r->met && r->next < n_places(peering) && now_ns >= r->next_ns)
		if (ask(peering, r->next++))
			r->next_ns = now_ns + apart_ns(peering);
	if (r->next < n_places(peering) || r->n_dialing)
		return;
	if (r->n_refused == r->n_asked)
		resume_give_up(peering->peer, r->why);
	r->n_rounds++;
	begin_round(r, now_ns + (ROUND_NS
				 << (doubles < ROUND_DOUBLES ? doubles :
							       ROUND_DOUBLES)));
}

bool redial_look(struct peering *peering, uint64_t now_ns, uint64_t *due_ns)
{
	struct tcpx_session *session = peering->session;
	struct redial *r = &peering->redial;

	pthread_mutex_lock(&session->lock);
	bool wanted = is_up(peering) &&
		      resume_wanted(peering->peer, now_ns, due_ns);

	if (wanted && !r->runs) {
		r->n_rounds = 0;
		r->why[0] = '\0';
		begin_round(r, now_ns);
	}
	r->runs = wanted;
	if (wanted)
		step(peering, now_ns);
	if (wanted && !r->met && r->next < n_places(peering) &&
	    r->next_ns < *due_ns)
		*due_ns = r->next_ns;
	pthread_mutex_unlock(&session->lock);
	return wanted;
}

int redial_met(struct peering *peering)
{
	struct redial *r = &peering->redial;

	if (!r->runs || r->met)
		return TCPX_EBUSY;
	r->met = true;
	return 0;
}

/* Nobody is there any more, or will not hear of it; and not: the way is cut, or
 * it is a bad moment. */
static bool is_refusal(int status)
{
	switch (status) {
	case TCPX_EUNREACHABLE:
	case TCPX_ELIVENESS:
	case TCPX_ECLOSED:
	case TCPX_EBUSY:
	case TCPX_EAGAIN:
	case TCPX_ECANCELED:
	case TCPX_ENOMEM:
	case TCPX_ENFILE:
		return false;
	default:
		return true;
	}
}

static void failed(struct peering *peering, uint32_t generation, bool met,
		   int status, const char *cause)
{
	struct redial *r = &peering->redial;

	if (!r->runs || !is_up(peering))
		return;
	if (is_refusal(status) && generation >= r->round_first) {
		r->n_refused++;
		snprintf(r->why, sizeof(r->why), "%s", cause);
	}
	/* Who says so has proved that it is the session we mean. */
	if (met && status == TCPX_ENOENT)
		resume_give_up(peering->peer, cause);
	r->next_ns = 0;
	step(peering, clock_now_ns());
}

void redial_dialed(struct peering *peering, uint32_t generation, bool met,
		   int status, const char *cause,
		   const struct boot_result *result)
{
	struct tcpx_session *session = peering->session;
	struct redial *r = &peering->redial;
	char via[48];

	pthread_mutex_lock(&session->lock);
	r->n_dialing--;
	if (met)
		r->met = false;
	if (status) {
		failed(peering, generation, met, status, cause);
	} else if (!is_up(peering)) {
		close(result->fd);
	} else {
		/* Wanted or not: the other side has left the last one. */
		r->runs = false;
		peering->ctl_addr = result->remote;
		rails_via(session, &result->local, via, sizeof(via));
		(void)resume_with(peering->peer, result->fd, via);
	}
	pthread_mutex_unlock(&session->lock);
}

/* ---- dialed ----------------------------------------------------------- */

static struct peering *named_by(struct tcpx_session *session,
				const struct boot_result *result)
{
	struct peering *peering = u64map_get(&session->tokens, result->token);

	return peering && is_up(peering) &&
			       !memcmp(peering->session_id, result->session,
				       SESSION_ID_BYTES) &&
			       resume_possible(peering->peer) ?
		       peering :
		       NULL;
}

int redial_admit(struct tcpx_session *session, const struct boot_result *result,
		 char *why, size_t cap_bytes)
{
	const struct peering *peering = named_by(session, result);

	if (!peering) {
		snprintf(why, cap_bytes, "no such peer (any more)");
		return TCPX_ENOENT;
	}
	if (result->generation <= peering->redial.generation) {
		snprintf(why, cap_bytes, "a later one was there before");
		return TCPX_EBUSY;
	}
	return 0;
}

void redial_accepted(struct tcpx_session *session,
		     const struct boot_result *result)
{
	char via[48], why[64];

	pthread_mutex_lock(&session->lock);
	if (redial_admit(session, result, why, sizeof(why))) {
		close(result->fd);
	} else {
		struct peering *peering = named_by(session, result);

		peering->redial.generation = result->generation;
		rails_via(session, &result->local, via, sizeof(via));
		(void)resume_with(peering->peer, result->fd, via);
	}
	pthread_mutex_unlock(&session->lock);
}

/* ---- from the engine -------------------------------------------------- */

void redial_on_control_lost(void *arg, struct peer *peer)
{
	struct tcpx_session *session = arg;

	(void)peer;
	control_tick_by(session, 0);
}
