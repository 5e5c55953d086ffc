/* SPDX-License-Identifier: Apache-2.0 */

/* Transfers that are past their deadline, and those that do not move. */

#include "base/clock.h"
#include "engine/engine.h"
#include "engine/peer.h"
#include "engine/stream.h"
#include "engine/xfer.h"

/* Waits for its match: that is the program's time, not the network's. */
static bool waits_for_match(const struct xfer *xfer)
{
	return (xfer->op == TCPX_OP_SEND || xfer->op == TCPX_OP_RECV) &&
	       !xfer->matched;
}

/* Its request, to the last part of its list, has been acted upon over there. */
static bool is_taken_in(const struct xfer *xfer)
{
	const struct peer *peer = xfer->peer;
	uint64_t seq = peer->ctl.peer_acked > peer->answered_seq ?
			       peer->ctl.peer_acked :
			       peer->answered_seq;

	if (xfer->op == TCPX_OP_RECV)
		return seq >= xfer->asked_seq;
	if (xfer->remote && !xfer->small && xfer->list_next < xfer->remote->n)
		return false;
	return xfer->wire_id && seq >= xfer->asked_seq;
}

/* Its chunks may be behind those of others, here or over there. */
static bool waits_for_lanes(const struct xfer *xfer)
{
	if (xfer->op == TCPX_OP_RECV)
		return true;
	return !xfer->small && (xfer->op == TCPX_OP_READ || !xfer->stream ||
				xfer->stream->placed_bytes < xfer->total_bytes);
}

static void move_up(uint64_t *ns, uint64_t other_ns)
{
	if (*ns < other_ns)
		*ns = other_ns;
}

/*
 * When it last moved, or, while it waits its turn, what it waits behind: until
 * its request has been sent whatever moves, until that has been taken in all
 * that is answered, until its bytes are where they belong the chunks of its
 * direction. Then others' progress says nothing of it.
 */
static uint64_t last_moved(struct xfer *xfer)
{
	const struct peer *peer = xfer->peer;
	bool comes = xfer->op == TCPX_OP_READ || xfer->op == TCPX_OP_RECV;
	bool queued = xfer->op != TCPX_OP_RECV && !xfer->wire_id;

	if (!is_taken_in(xfer))
		move_up(&xfer->moved_ns, peer->answered_ns);
	if (queued || (comes && waits_for_lanes(xfer)))
		move_up(&xfer->moved_ns, peer->came_ns);
	if (queued || (!comes && waits_for_lanes(xfer)))
		move_up(&xfer->moved_ns, peer->placed_ns);
	if (xfer->stream)
		move_up(&xfer->moved_ns,
			load_relaxed(&xfer->stream->progress_ns));
	return xfer->moved_ns;
}

static const char *why_late(const struct xfer *xfer)
{
	return xfer->stream && xfer->stream->event ?
		       "its deadline has passed before its GPU event" :
		       "its deadline has passed";
}

static const char *why_stalled(const struct xfer *xfer)
{
	return xfer->stream && xfer->stream->event ?
		       "its GPU event did not pass within the deadline" :
		       "the peer made no progress within the deadline";
}

bool xfer_check_deadlines(struct peer *peer, uint64_t now_ns, uint64_t *due_ns)
{
	uint64_t limit = peer->engine->params.deadline_ms * NS_PER_MS;
	bool any = false;

	list_for_each_safe (node, &peer->flying) {
		struct xfer *xfer = list_entry(node, struct xfer, fly_link);

		if (now_ns >= xfer->deadline_ns) {
			xfer_abort_locked(xfer, TCPX_ESTALLED, why_late(xfer));
			any = true;
			continue;
		}
		if (xfer->deadline_ns < *due_ns)
			*due_ns = xfer->deadline_ns;
		if (!limit || waits_for_match(xfer) ||
		    now_ns < last_moved(xfer) + limit)
			continue;
		xfer_abort_locked(xfer, TCPX_ESTALLED, why_stalled(xfer));
		any = true;
	}
	return any;
}
