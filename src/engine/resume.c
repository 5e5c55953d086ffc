/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/resume.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/peer.h"

/* Lock held: it is neither over nor about to be. */
static bool lives(const struct peer *peer)
{
	return load_relaxed(&peer->state) == PEER_UP && !peer->doom_status &&
	       !peer->quiet;
}

/* Lock held: if nobody has come already. Who opened it finds out by dialing; to
 * the other side, a process that ends is one whose flows end. */
static bool somebody_may_come(const struct peer *peer)
{
	return lives(peer) && (peer->opener || peer->n_lanes ||
			       peer->ctl.resumption.next_fd >= 0);
}

/* Lock held. The first cause counts, and its time, until it is resumed. */
static void note_loss(struct peer *peer, int status, const char *why,
		      uint64_t since_ns)
{
	struct resumption *r = &peer->ctl.resumption;

	if (peer->ctl.state != CTL_UP)
		return;
	r->status = status;
	snprintf(r->why, sizeof(r->why), "%s", why);
	r->down_ns = since_ns;
}

void resume_lost(struct peer *peer, int status, const char *fmt, ...)
{
	char why[sizeof(peer->ctl.resumption.why)];
	va_list args;

	if (load_relaxed(&peer->state) != PEER_UP ||
	    peer->ctl.state == CTL_DOWN)
		return;
	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	pthread_mutex_lock(&peer->lock);
	bool wait = somebody_may_come(peer);

	if (wait) {
		note_loss(peer, status, why, clock_now_ns());
		ctl_replace(peer, -1);
		peer->engine->ops->control_lost(peer->engine->arg, peer);
	}
	pthread_mutex_unlock(&peer->lock);
	if (!wait)
		peer_fail(peer, status, "%s", why);
}

/* ---- the other one ---------------------------------------------------- */

int resume_with(struct peer *peer, int fd, const char *via)
{
	struct resumption *r = &peer->ctl.resumption;
	int unused = fd;

	pthread_mutex_lock(&peer->lock);
	bool wanted = lives(peer);

	if (wanted) {
		unused = r->next_fd;
		r->next_fd = fd;
		snprintf(r->next_via, sizeof(r->next_via), "%s", via);
		store_release(&r->due, true); /* peer_run() */
		peer_wake(peer);
	}
	pthread_mutex_unlock(&peer->lock);
	if (unused >= 0)
		close(unused);
	return wanted ? 0 : TCPX_EPEER;
}

/* Says what has been taken in; a new connection has room for that. */
static void greet(struct peer *peer, uint64_t ack)
{
	const struct msg_header h = {.type = MSG_ACK, .ack = ack};
	uint8_t frame[MSG_HEADER_BYTES];

	msg_header_encode(&h, frame);
	ssize_t sent = send(peer->ctl.fd, frame, sizeof(frame),
			    MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent == (ssize_t)sizeof(frame))
		add_relaxed(&peer->ctl.tx_total, sizeof(frame));
	else
		resume_lost(peer, TCPX_EPEER, "control connection: %s",
			    sent < 0 ? strerror(errno) : "it takes nothing");
}

/* Puts the one that has come, if any, in the place of the last. */
static void take_next(struct peer *peer)
{
	struct ctl *ctl = &peer->ctl;
	struct resumption *r = &ctl->resumption;

	pthread_mutex_lock(&peer->lock);
	int fd = r->next_fd;

	if (fd < 0) {
		pthread_mutex_unlock(&peer->lock);
		return;
	}
	/* One that was silent, or that the other side has given up. */
	if (peer->opener)
		note_loss(peer, TCPX_ELIVENESS,
			  "silent for longer than half the liveness time",
			  load_relaxed(&ctl->rx_ns));
	else
		note_loss(peer, TCPX_EPEER, "given up by the other side",
			  clock_now_ns());
	r->next_fd = -1;
	memcpy(r->via, r->next_via, sizeof(r->via));
	r->greets_ns = ctl->tx_ns = clock_coarse_ns();
	ctl_replace(peer, fd);
	uint64_t ack = ctl->rx_acked = ctl->rx_seq;

	pthread_mutex_unlock(&peer->lock);
	greet(peer, ack);
}

int resume_greeted(struct peer *peer, const struct msg_header *h)
{
	struct resumption *r = &peer->ctl.resumption;

	if (h->type != MSG_ACK || h->seq || ctl_rewind(&peer->ctl, h->ack))
		return TCPX_EPROTO;
	add_relaxed(&r->n_resumed, 1);
	log_warn(peer->engine->params.log, "peer",
		 "control connection to %s lost (%s), taken up again over %s "
		 "after %llu ms",
		 peer->name, r->why, r->via,
		 (unsigned long long)((clock_now_ns() - r->down_ns) /
				      NS_PER_MS));
	peer_wake(peer);
	return 0;
}

/* ---- whether and when it is over -------------------------------------- */

void resume_silent(struct peer *peer)
{
	struct resumption *r = &peer->ctl.resumption;

	/* Who opened it has been dialing for some of that time. */
	if (peer->opener || !somebody_may_come(peer)) {
		peer_doom(peer, TCPX_ELIVENESS,
			  "silent for longer than the liveness time");
		return;
	}
	r->silent = true;
	store_release(&r->due, true); /* peer_run() */
	peer_wake(peer);
}

void resume_tick(struct peer *peer, uint64_t now_ns)
{
	const struct resumption *r = &peer->ctl.resumption;
	uint64_t limit = peer->limits.liveness_ms * NS_PER_MS;

	/* The other side dials until its own time is over, which began when it
	 * heard the last: perhaps a heartbeat later than we. */
	if (!peer->opener && r->status == TCPX_ELIVENESS)
		limit /= 2;
	if (now_ns > r->down_ns + limit)
		peer_doom(peer, r->status, r->why);
}

void resume_lane_gone(struct peer *peer)
{
	if (peer->ctl.state == CTL_DOWN && !somebody_may_come(peer))
		peer_doom(peer, peer->ctl.resumption.status,
			  peer->ctl.resumption.why);
}

/* Lock held: from when on another one is to be dialed. Heartbeats come after a
 * quarter of the liveness time, and as much as half a quarter late. */
static uint64_t wanted_ns(const struct peer *peer)
{
	const struct ctl *ctl = &peer->ctl;
	uint64_t eighth = peer->limits.liveness_ms * NS_PER_MS / 8;

	if (!peer->opener || !lives(peer) || ctl->resumption.next_fd >= 0)
		return UINT64_MAX;
	switch (ctl->state) {
	case CTL_UP:
		return load_relaxed(&ctl->rx_ns) + 5 * eighth;
	case CTL_GREETS:
		return ctl->resumption.greets_ns + 2 * eighth;
	default:
		return 0;
	}
}

bool resume_wanted(struct peer *peer, uint64_t now_ns, uint64_t *due_ns)
{
	pthread_mutex_lock(&peer->lock);
	uint64_t from_ns = wanted_ns(peer);

	pthread_mutex_unlock(&peer->lock);
	if (now_ns > from_ns)
		return true;
	if (from_ns < *due_ns)
		*due_ns = from_ns + 1;
	return false;
}

void resume_give_up(struct peer *peer, const char *why)
{
	struct resumption *r = &peer->ctl.resumption;
	char cause[sizeof(peer->cause)];
	struct text text;

	text_init(&text, cause, sizeof(cause));
	pthread_mutex_lock(&peer->lock);
	if (peer->ctl.state == CTL_DOWN && r->next_fd < 0) {
		text_add(&text, "%s%s%s", r->why,
			 *why ? "; not taken up again: " : "", why);
		peer_doom(peer, r->status, cause);
	}
	pthread_mutex_unlock(&peer->lock);
}

bool resume_possible(struct peer *peer)
{
	pthread_mutex_lock(&peer->lock);
	bool possible = lives(peer);

	pthread_mutex_unlock(&peer->lock);
	return possible;
}

/* ---- a round ---------------------------------------------------------- */

void resume_run(struct peer *peer)
{
	struct resumption *r = &peer->ctl.resumption;

	if (!load_relaxed(&r->due))
		return;
	store_relaxed(&r->due, false);
	pthread_mutex_lock(&peer->lock);
	bool silent = r->silent;

	r->silent = false;
	pthread_mutex_unlock(&peer->lock);
	if (silent && peer->ctl.state == CTL_UP)
		resume_lost(peer, TCPX_ELIVENESS,
			    "silent for longer than the liveness time");
	take_next(peer);
}
