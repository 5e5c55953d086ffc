/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/peer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "engine/awaiting.h"
#include "engine/lane.h"
#include "engine/lane_offer.h"
#include "engine/lane_tx.h"
#include "engine/landing.h"
#include "engine/lifting.h"
#include "engine/match.h"
#include "engine/notes.h"
#include "engine/region.h"
#include "engine/resume.h"
#include "engine/stream.h"
#include "engine/target.h"
#include "engine/xfer.h"

static void run_task(struct task *task)
{
	peer_run(list_entry(task, struct peer, task));
}

static bool run_pollee(struct pollee *pollee)
{
	struct peer *peer = list_entry(pollee, struct peer, pollee);

	if (!peer->only_awaits || awaiting_is_due(peer))
		peer_run(peer);
	return false; /* waiting is no work */
}

int peer_create(const struct peer_params *params, struct peer **out)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer) {
		close(params->fd);
		return TCPX_ENOMEM;
	}
	peer->engine = params->engine;
	peer->user = params->user;
	snprintf(peer->name, sizeof(peer->name), "%s", params->name);
	peer->limits = params->limits;
	peer->opener = params->opener;
	peer->lane_changes = 1;
	peer->home = engine_next_context(peer->engine);
	add_relaxed(&peer->home->n_homes, 1);
	peer->task.run = run_task;
	peer->pollee.poll = run_pollee;
	pthread_mutex_init(&peer->lock, NULL);
	ctl_init(&peer->ctl, params->fd);
	struct list *heads[] = {
		&peer->task.link,  &peer->offers,   &peer->pollee.link,
		&peer->landings,   &peer->liftings, &peer->dead_lanes,
		&peer->dying,	   &peer->sending,  &peer->awaiting,
		&peer->posts,	   &peer->listing,  &peer->flying,
		&peer->idle_lists, &peer->notes,    &peer->leaving};

	for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++)
		list_init(heads[i]);
	store_relaxed(&peer->state, PEER_UP);
	*out = peer;
	peer_wake(peer);
	return 0;
}

void peer_wake(struct peer *peer)
{
	context_submit(peer->home, &peer->task);
}

/* What encodes lists is not the caller of a short post. */
static bool run(struct peer *peer, bool lists);

void peer_push(struct peer *peer)
{
	if (!context_try_own(peer->home)) {
		peer_wake(peer);
		return;
	}
	run(peer, false);
	context_release(peer->home);
	context_announce(peer->home);
}

/* ---- one round -------------------------------------------------------- */

static void send_plain(struct peer *peer, uint16_t type)
{
	struct wire_writer w;

	if (!ctl_begin(peer, type, 8, &w))
		ctl_end(peer, &w);
}

static void log_refusals(struct peer *peer)
{
	char why[sizeof(peer->refusal)];

	pthread_mutex_lock(&peer->lock);
	uint64_t n = peer->refused;

	memcpy(why, peer->refusal, sizeof(why));
	peer->refused = 0;
	pthread_mutex_unlock(&peer->lock);
	if (n == 1)
		log_warn(peer->engine->params.log, "target",
			 "refused a request of peer %s: %s", peer->name, why);
	else if (n)
		log_warn(peer->engine->params.log, "target",
			 "refused %llu requests of peer %s, the last one: %s",
			 (unsigned long long)n, peer->name, why);
}

/* What only polling will finish: lanes in the making and events, whenever it
 * may be, and GPU jobs, which do within microseconds. */
static void arrange(struct peer *peer, bool offers, bool awaits, bool jobs)
{
	peer->only_awaits = awaits && !offers && !jobs;
	if (offers || awaits || jobs)
		pollee_add(peer->home, &peer->pollee);
	else
		pollee_del(peer->home, &peer->pollee);
	if (jobs == peer->hot)
		return;
	peer->hot = jobs;
	add_relaxed(&peer->home->n_hot, jobs ? 1 : -1u);
}

/* The lane to begin with while the request is on its way, if what is sent
 * next is a GPU's to gather: its thread is this one, and would come to it
 * later. Lock held. */
static struct lane *first_to_gather(struct peer *peer)
{
	struct lane *lane = peer->lanes[0];

	if (!lane || lane->ctx != peer->home || list_empty(&peer->sending))
		return NULL;
	return list_entry(peer->sending.next, struct stream, link)
			       ->list->has_device ?
		       lane :
		       NULL;
}

static void finish_loss(struct peer *peer);

bool peer_run(struct peer *peer)
{
	return run(peer, true);
}

static bool run(struct peer *peer, bool lists)
{
	bool did;

	if (load_relaxed(&peer->state) != PEER_UP) {
		finish_loss(peer);
		return true;
	}
	resume_run(peer);
	pthread_mutex_lock(&peer->lock);
	int doom = peer->doom_status;
	bool unsent = peer->ctl.unsent_bytes > 0;
	bool landed = landings_run(peer);

	bool awaited = awaiting_run(peer);

	/* What has been lifted is posted now. */
	did = liftings_run(peer) || awaited;
	bool pumped = xfer_pump(peer);
	/* Held back by what is unsent, it goes on once that has gone. */
	bool held = peer->ctl.unsent_bytes > 0;
	bool listing = !list_empty(&peer->listing);
	bool more = listing || ((pumped || held) && !list_empty(&peer->posts));

	did |= pumped;
	did |= notes_pump(peer);
	xfer_bury(peer);
	streams_forget(peer);
	bool offers = lane_offers_run(peer);
	/* That bytes have landed is told in the next round, or with what a
	 * caller that finds its wait over now posts: who waits for them waits
	 * for no system call. */
	bool hold = landed && !unsent && !did && !offers && !doom && !listing;

	bool jobs = !list_empty(&peer->landings) ||
		    !list_empty(&peer->liftings);

	if (ctl_ack_due(&peer->ctl))
		send_plain(peer, MSG_ACK);
	bool refused = peer->refused != 0;
	bool awaits = !list_empty(&peer->awaiting);
	struct lane *gatherer = pumped || awaited ? first_to_gather(peer) :
						    NULL;

	pthread_mutex_unlock(&peer->lock);
	if (refused)
		log_refusals(peer);
	arrange(peer, offers, awaits, jobs);
	if (gatherer)
		lane_tx_begin(gatherer);
	if (!hold)
		did |= ctl_flush(peer);
	if (listing && lists)
		did |= xfer_pump_lists(peer);
	did |= landed;
	/* What did not fit goes out in the next round, after the lanes. */
	if (more && ctl_sends(&peer->ctl))
		peer_wake(peer);
	if (doom)
		peer_fail(peer, doom, "%s", peer->cause);
	if (load_relaxed(&peer->state) != PEER_UP)
		return true;
	if (peer->ctl.fd >= 0 &&
	    source_arm(peer->home, &peer->ctl.source,
		       EPOLLIN | (peer->ctl.blocked ? EPOLLOUT : 0u)))
		peer_fail(peer, TCPX_ENFILE, "its connection cannot be polled");
	return did;
}

void peer_look(struct peer *peer)
{
	if (load_relaxed(&peer->state) != PEER_UP)
		return;
	bool came = ctl_receive(peer);

	if (came || load_relaxed(&peer->task.queued))
		peer_run(peer);
	context_breathe(peer->home);
}

struct stream *peer_rx_stream(struct peer *peer, uint64_t wire_id, bool reply)
{
	if (reply) {
		struct xfer *xfer = u64map_get(&peer->started, wire_id);

		return xfer && xfer->op == TCPX_OP_READ ? xfer->stream : NULL;
	}
	struct request *request = u64map_get(&peer->requests, wire_id);

	return request && !request->stream->reply ? request->stream : NULL;
}

/* ---- letting go ------------------------------------------------------- */

static void revoke_own(struct peer *peer, const struct region *region)
{
	list_for_each_safe (node, &peer->flying) {
		struct xfer *xfer = list_entry(node, struct xfer, fly_link);

		if (seglist_names(xfer->local, region))
			xfer_cancel_locked(xfer, "its memory was deregistered");
	}
}

struct revocation {
	struct peer *peer;
	const struct region *region;
};

static bool is_revoked_held(void *arg)
{
	struct revocation *r = arg;

	pthread_mutex_lock(&r->peer->lock);
	bool held = streams_hold(r->peer, r->region);

	pthread_mutex_unlock(&r->peer->lock);
	return held;
}

void peer_revoke(struct peer *peer, const struct region *region)
{
	struct revocation r = {peer, region};

	pthread_mutex_lock(&peer->lock);
	revoke_own(peer, region);
	target_revoke(peer, region);
	pthread_mutex_unlock(&peer->lock);
	/* Nobody is asked who has nothing of it. */
	peer_sweep(peer, is_revoked_held, &r);
	pthread_mutex_lock(&peer->lock);
	xfer_bury(peer);
	pthread_mutex_unlock(&peer->lock);
	peer_wake(peer);
}

/* ---- loss ------------------------------------------------------------- */

void peer_doom(struct peer *peer, int status, const char *cause)
{
	if (peer->doom_status || load_relaxed(&peer->state) != PEER_UP)
		return;
	peer->doom_status = status;
	snprintf(peer->cause, sizeof(peer->cause), "%s", cause);
	peer_wake(peer);
}

void peer_fail(struct peer *peer, int status, const char *fmt, ...)
{
	char cause[sizeof(peer->cause)];
	va_list args;

	if (load_relaxed(&peer->state) != PEER_UP)
		return;
	va_start(args, fmt);
	vsnprintf(cause, sizeof(cause), fmt, args);
	va_end(args);
	source_disarm(peer->home, &peer->ctl.source);
	if (!peer->hot)
		pollee_del(peer->home, &peer->pollee);
	pthread_mutex_lock(&peer->lock);
	/* A goodbye, say, goes before the end of the stream behind it. */
	peer->status = peer->doom_status ? peer->doom_status : status;
	if (!peer->doom_status)
		memcpy(peer->cause, cause, sizeof(cause));
	store_release(&peer->state, PEER_FAILING);
	/* No chunk counts any more: GPU jobs that do not end are not waited
	 * for. */
	list_for_each (node, &peer->flying) {
		struct xfer *xfer = list_entry(node, struct xfer, fly_link);

		if (xfer->stream)
			stream_kill(xfer->stream);
	}
	for (uint32_t i = 0; i < peer->lanes_end; i++)
		if (peer->lanes[i])
			lane_wake(peer->lanes[i]);
	list_for_each (node, &peer->dead_lanes)
		lane_wake(list_entry(node, struct lane, link));
	pthread_mutex_unlock(&peer->lock);
	peer_wake(peer);
}

static void forget_early_credits(struct peer *peer)
{
	uint64_t key;
	void *kept;

	while ((kept = u64map_any(&peer->early_credits, &key)))
		free(u64map_del(&peer->early_credits, key));
	u64map_fini(&peer->early_credits);
}

/* The program may keep its handle for ever: what only a peer that lives needs
 * goes now. No fence will come, so dead lanes are over, each by its own owner.
 * Lock held. */
static void slim_down(struct peer *peer)
{
	/* The other side is to know now, not when the program lets go. */
	ctl_close(&peer->ctl);
	forget_early_credits(peer);
	u64map_fini(&peer->started);
	list_for_each (node, &peer->dead_lanes)
		lane_wake(list_entry(node, struct lane, link));
}

/* All lanes are quiet: everything that was under way ends now. */
static void finish_loss(struct peer *peer)
{
	pthread_mutex_lock(&peer->lock);
	bool due = load_relaxed(&peer->state) == PEER_FAILING && !peer->n_lanes;
	bool drained = due && landings_drain(peer) && liftings_drain(peer);

	/* Begun since the last round, they are polled for by nobody yet. */
	if (due && !drained)
		pollee_add(peer->home, &peer->pollee);
	if (!drained) {
		pthread_mutex_unlock(&peer->lock);
		return;
	}
	arrange(peer, false, false, false);
	xfer_fail_all(peer, peer->status, peer->cause);
	xfer_bury(peer);
	lane_offers_free(peer);
	target_free(peer);
	match_free(peer);
	notes_free(peer);
	streams_forget(peer);
	bool quiet = peer->quiet;

	slim_down(peer);
	/* Last: who waits for it without the lock destroys the peer next, and
	 * has to find the lanes' tasks queued. */
	store_release(&peer->state, PEER_LOST);
	pthread_mutex_unlock(&peer->lock);
	if (!quiet)
		peer->engine->ops->peer_lost(peer->engine->arg, peer,
					     peer->status, peer->cause);
	context_announce(peer->home);
}

static void say_goodbye(struct peer *peer, int status, const char *cause)
{
	struct msg_goodbye msg = {.status = status};
	struct wire_writer w;

	snprintf(msg.text, sizeof(msg.text), "%s", cause);
	if (ctl_begin(peer, MSG_GOODBYE, 192, &w))
		return;
	msg_goodbye_encode(&w, &msg);
	ctl_end(peer, &w);
}

bool peer_is_told(struct peer *peer)
{
	int unread = 0; /* bytes that its host has not acknowledged */

	context_enter(peer->home);
	pthread_mutex_lock(&peer->lock);
	bool up = load_relaxed(&peer->state) == PEER_UP;
	/* Of what a lost connection has taken, nobody knows how far it came. */
	bool waits = peer->ctl.state != CTL_UP || peer->ctl.unsent_bytes ||
		     !list_empty(&peer->notes);

	pthread_mutex_unlock(&peer->lock);
	if (up && !waits && ioctl(peer->ctl.fd, SIOCOUTQ, &unread))
		unread = 0;
	context_release(peer->home);
	return !up || (!waits && !unread);
}

void peer_shutdown(struct peer *peer, int status, const char *cause)
{
	struct engine *engine = peer->engine;

	context_enter(peer->home);
	pthread_mutex_lock(&peer->lock);
	peer->quiet = true;
	if (load_relaxed(&peer->state) == PEER_UP)
		say_goodbye(peer, status, cause);
	pthread_mutex_unlock(&peer->lock);
	ctl_flush(peer);
	peer_fail(peer, status, "%s", cause);
	context_release(peer->home);
	while (load_acquire(&peer->state) != PEER_LOST) {
		for (uint32_t i = 0; i < engine->n_contexts; i++) {
			context_enter(&engine->contexts[i]);
			context_pass(&engine->contexts[i]);
			context_release(&engine->contexts[i]);
		}
	}
}

/* Tasks that name the peer or its lanes may still be queued there, and what
 * they submit in their turn. */
static void leave_context(struct peer *peer, struct context *ctx)
{
	context_enter(ctx);
	context_pass(ctx);
	context_pass(ctx);
	pthread_mutex_lock(&peer->lock);
	list_for_each_safe (node, &peer->dead_lanes) {
		struct lane *lane = list_entry(node, struct lane, link);

		if (lane->ctx != ctx)
			continue;
		list_del(&lane->link);
		lane_destroy(lane);
	}
	pthread_mutex_unlock(&peer->lock);
	context_release(ctx);
}

void peer_destroy(struct peer *peer)
{
	if (!peer)
		return;
	struct engine *engine = peer->engine;

	/* Home last: lanes elsewhere wake the peer there until they are gone. */
	for (uint32_t k = 1; k <= engine->n_contexts; k++)
		leave_context(peer, &engine->contexts[(peer->home->index + k) %
						      engine->n_contexts]);
	streams_forget(peer);
	totals_free(&peer->gone);
	add_relaxed(&peer->home->n_homes, -1u);
	pthread_mutex_destroy(&peer->lock);
	free(peer);
}

/* ---- the clock -------------------------------------------------------- */

bool peer_tick(struct peer *peer, uint64_t now_ns, uint64_t *due_ns)
{
	uint64_t limit = peer->limits.liveness_ms * NS_PER_MS;
	uint64_t heard = load_relaxed(&peer->ctl.rx_ns);
	bool wake = false;

	pthread_mutex_lock(&peer->lock);
	if (load_relaxed(&peer->state) != PEER_UP) {
		pthread_mutex_unlock(&peer->lock);
		return false;
	}
	if (peer->ctl.state != CTL_UP) {
		resume_tick(peer, now_ns);
	} else if (now_ns > heard + limit) {
		resume_silent(peer);
	} else if (now_ns > peer->ctl.tx_ns + limit / 4) {
		peer->ctl.tx_ns = now_ns;
		send_plain(peer, MSG_HEARTBEAT);
		wake = true;
	}
	/* Whatever else this session's peers have agreed on. */
	if (now_ns + limit / 8 < *due_ns)
		*due_ns = now_ns + limit / 8;
	peer_look_at_idle(peer, now_ns);
	wake |= xfer_check_deadlines(peer, now_ns, due_ns);
	bool flying = !list_empty(&peer->flying);

	pthread_mutex_unlock(&peer->lock);
	if (wake)
		peer_wake(peer);
	return flying;
}
