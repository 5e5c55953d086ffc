/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The control thread: runs boot (handshakes), keeps dead flows being dialed,
 * and looks at every peer's clock now and then, so that a session answers and
 * notices silence even when the program calls nothing and has no workers. It
 * also tells the program's log what others have found out.
 */

#include <stdlib.h>

#include "base/clock.h"
#include "base/sigmask.h"
#include "core/flows.h"
#include "core/peering.h"

#define TICK_BUSY_MS 50		/* something is being connected or in flight */
#define TICK_IDLE_MAX_MS 1000

/* A quarter of the liveness time between heartbeats needs ticks of half. */
static int idle_tick_ms(const struct tcpx_session *session)
{
	uint32_t ms = session->config->liveness_ms / 8;

	return ms > TICK_IDLE_MAX_MS ? TICK_IDLE_MAX_MS :
	       ms < 10		     ? 10 :
				       (int)ms;
}

/* Whether this peer needs looking at soon, or by *due_ns. */
static bool tick_peering(struct peering *peering, uint64_t now_ns,
			 uint64_t *due_ns)
{
	struct tcpx_session *session = peering->session;
	bool soon;

	connect_tick(peering, now_ns);
	pthread_mutex_lock(&session->lock);
	struct peer *peer = peering->peer;
	uint64_t flows_ns = flows_due_ns(peering);

	if (flows_ns < *due_ns)
		*due_ns = flows_ns;
	soon = peering->state == PEERING_CONNECTING ||
	       peering->state == PEERING_FLOWS;
	pthread_mutex_unlock(&session->lock);
	if (!peer)
		return soon;
	soon |= peer_tick(peer, now_ns, due_ns);
	return redial_look(peering, now_ns, due_ns) || soon;
}

struct round {
	uint64_t now_ns, due_ns;
	bool soon;
};

static void tick_one(struct peering *peering, void *arg)
{
	struct round *round = arg;

	round->soon |= tick_peering(peering, round->now_ns, &round->due_ns);
}

/* When the next one is due; *soon: something is under way. */
static uint64_t tick(struct tcpx_session *session, uint64_t now_ns, bool *soon)
{
	struct round round = {.now_ns = now_ns, .due_ns = UINT64_MAX};

	peering_each(session, tick_one, &round);
	/* Without workers nobody else may be reading. */
	if (!session->engine->params.workers)
		engine_visit(session->engine);
	*soon = round.soon;
	return round.due_ns;
}

/* The next tick comes by then. Whether it was to come later. */
static bool tick_by(struct tcpx_session *session, uint64_t due_ns)
{
	uint64_t next_ns = load_relaxed(&session->tick_ns);

	while (due_ns < next_ns)
		if (atomic_compare_exchange_weak(&session->tick_ns, &next_ns,
						 due_ns))
			return true;
	return false;
}

void control_tick_by(struct tcpx_session *session, uint64_t due_ns)
{
	if (tick_by(session, due_ns))
		boot_wake(session->boot);
}

static void *control_main(void *arg)
{
	struct tcpx_session *session = arg;
	int idle_ms = idle_tick_ms(session);
	int busy_ms = TICK_BUSY_MS < idle_ms ? TICK_BUSY_MS : idle_ms;
	bool soon = true;

	while (!load_acquire(&session->stop)) {
		uint64_t now_ns = clock_now_ns();

		if (now_ns >= load_relaxed(&session->tick_ns)) {
			/* Before the peers are looked at: what is posted
			 * behind its peer's turn finds no tick it could rely
			 * on, and asks for one. The peer's lock orders it. */
			store_relaxed(&session->tick_ns, UINT64_MAX);
			uint64_t due_ns = tick(session, now_ns, &soon);

			tick_by(session,
				now_ns + (uint64_t)(soon ? busy_ms : idle_ms) *
						 NS_PER_MS);
			tick_by(session, due_ns);
		}
		later_flush(&session->later);
		boot_run(session->boot,
			 clock_left_ms(load_relaxed(&session->tick_ns)));
		later_flush(&session->later);
		/* boot_run() returned early: there is news to look at. */
		tick_by(session, clock_now_ns() + busy_ms * NS_PER_MS);
	}
	return NULL;
}

int control_start(struct tcpx_session *session)
{
	/* First: what has been found out while the session was opened is told
	 * by the time it is open. */
	later_flush(&session->later);
	later_wakes(&session->later, session->boot);
	if (sigmask_start_thread(&session->control, NULL, control_main,
				 session)) {
		later_wakes(&session->later, NULL);
		return TCPX_ENOMEM;
	}
	session->has_control = true;
	return 0;
}

void control_stop(struct tcpx_session *session)
{
	if (!session->has_control)
		return;
	store_release(&session->stop, 1);
	boot_wake(session->boot);
	pthread_join(session->control, NULL);
	later_wakes(&session->later, NULL);
	session->has_control = false;
}
