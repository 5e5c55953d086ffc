/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/xfer.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/trace.h"
#include "engine/awaiting.h"
#include "engine/device.h"
#include "engine/engine.h"
#include "engine/landing.h"
#include "engine/lifting.h"
#include "engine/match.h"
#include "engine/notes.h"
#include "engine/peer.h"
#include "engine/stream.h"
#include "engine/target.h"
#include "engine/xfer_start.h"

void xfer_init(struct xfer *xfer, struct peer *peer, enum tcpx_op op,
	       uint64_t tag, struct seglist *local, struct seglist *remote)
{
	*xfer = (struct xfer){.peer = peer,
			      .op = op,
			      .tag = tag,
			      .local = local,
			      .remote = remote,
			      .total_bytes = local->total_bytes};
	list_init(&xfer->link);
	list_init(&xfer->fly_link);
	list_init(&xfer->list_link);
	keyed_init(&xfer->by_tag);
	store_relaxed(&xfer->status, TCPX_EINVAL);
}

static void drop_note(struct xfer *xfer)
{
	free(xfer->note);
	xfer->note = NULL;
	xfer->note_bytes = 0;
	xfer->has_note = false;
}

void xfer_fini(struct xfer *xfer)
{
	seglist_put(xfer->local);
	seglist_put(xfer->remote);
	xfer->local = xfer->remote = NULL;
	drop_note(xfer);
}

/* ---- posting ---------------------------------------------------------- */

static int take_note(struct xfer *xfer, const struct tcpx_post_params *params)
{
	xfer->has_note = params && params->has_notify;
	if (!xfer->has_note || !params->notify_len_bytes)
		return 0;
	xfer->note = malloc(params->notify_len_bytes);
	if (!xfer->note) {
		xfer->has_note = false;
		return TCPX_ENOMEM;
	}
	memcpy(xfer->note, params->notify, params->notify_len_bytes);
	xfer->note_bytes = (uint32_t)params->notify_len_bytes;
	return 0;
}

static int check_postable(struct xfer *xfer)
{
	if (load_relaxed(&xfer->status) == TCPX_INPROGRESS)
		return TCPX_EBUSY;
	if (load_relaxed(&xfer->peer->state) != PEER_UP)
		return xfer->peer->status;
	if (seglist_has_dead(xfer->local))
		return TCPX_ENOENT;
	return 0;
}

static void lifted(struct lifting *lifting, int status, const void *data)
{
	struct xfer *xfer = lifting->stream->owner;

	char cause[sizeof(xfer->cause)];

	if (status) {
		device_say_failed(xfer->local, 0, lifting->len_bytes,
				  "gather the bytes", cause, sizeof(cause));
		xfer_end(xfer, status, cause);
		return;
	}
	xfer->lifted = malloc(lifting->len_bytes);
	if (!xfer->lifted) {
		xfer_end(xfer, TCPX_ENOMEM, "no memory for its bytes");
		return;
	}
	memcpy(xfer->lifted, data, lifting->len_bytes);
	list_add_tail(&xfer->peer->posts, &xfer->link);
}

static void start_lifting(struct stream *stream)
{
	if (lifting_start(stream->peer, stream, 0, lifted))
		xfer_end(stream->owner, TCPX_ENOMEM, "no memory for its bytes");
}

/* A small WRITE from device memory: posted once its bytes are at hand. False:
 * it is not small after all, but may go as a large one does. */
static bool lift(struct xfer *xfer)
{
	struct stream *stream =
		stream_create(xfer->peer, xfer->local, 0, xfer->total_bytes);

	if (!stream)
		return false;
	stream->owner = xfer;
	stream->event = xfer->event;
	stream->go = start_lifting;
	stream->ended = xfer_send_ended;
	stream->next = stream->limit = stream->total_bytes;
	if (!lifting_fits(stream)) {
		stream_put(stream);
		return false;
	}
	xfer->stream = stream;
	if (stream->event)
		event_await(stream);
	else
		start_lifting(stream);
	return true;
}

static void put_in_flight(struct xfer *xfer,
			  const struct tcpx_post_params *params)
{
	struct peer *peer = xfer->peer;
	uint32_t ms = params ? params->deadline_ms : 0;

	xfer->wire_id = 0;
	xfer->matched = xfer->dying = false;
	xfer->moved_bytes = 0;
	xfer->cause[0] = '\0';
	xfer->moved_ns = clock_coarse_ns();
	xfer->asked_seq = 0;
	xfer->deadline_ns = ms ? clock_now_ns() + ms * NS_PER_MS : UINT64_MAX;
	xfer->small = xfer_is_small(xfer);
	xfer->event = params && xfer->local->has_device ?
			      (uintptr_t)params->gpu_event :
			      0;
	store_relaxed(&xfer->status, TCPX_INPROGRESS);
	list_move_tail(&peer->flying, &xfer->fly_link);
	if (xfer->op == TCPX_OP_RECV)
		match_recv(xfer);
	else if (!xfer->small || xfer->op != TCPX_OP_WRITE ||
		 !xfer->local->has_device || !(xfer->small = lift(xfer)))
		list_move_tail(&peer->posts, &xfer->link);
}

void xfer_warm_up(const struct xfer *xfer)
{
	const struct peer *peer = xfer->peer;

	__builtin_prefetch(xfer->local);
	__builtin_prefetch(xfer->remote);
	__builtin_prefetch(&peer->lock, 1);
	__builtin_prefetch(&peer->task, 1);
	__builtin_prefetch(&peer->posts, 1);
	__builtin_prefetch(&peer->flying, 1);
}

int xfer_post(struct xfer *xfer, const struct tcpx_post_params *params)
{
	struct peer *peer = xfer->peer;
	int err;

	trace(TRACE_POST, 0, xfer->total_bytes);
	pthread_mutex_lock(&peer->lock);
	err = check_postable(xfer);
	if (!err)
		err = take_note(xfer, params);
	if (!err)
		put_in_flight(xfer, params);
	bool small = xfer->small;

	pthread_mutex_unlock(&peer->lock);
	if (err)
		return err;
	/* A short one goes out right here if nobody drives; a long one only
	 * costs a kick, whatever its list. */
	if (small)
		peer_push(peer);
	else
		peer_wake(peer);
	return 0;
}

/* ---- ending ----------------------------------------------------------- */

static void leave_lists(struct xfer *xfer)
{
	struct peer *peer = xfer->peer;

	if (xfer->wire_id)
		u64map_del(&peer->started, xfer->wire_id);
	if (xfer->op == TCPX_OP_SEND && xfer->wire_id && !xfer->matched)
		peer->n_sends_out--;
	if (xfer->op == TCPX_OP_READ && xfer->small && xfer->wire_id)
		peer->gets_out_bytes -= xfer->total_bytes;
	if (xfer->wire_id)
		peer->device_out -= xfer_device_cost(xfer);
	list_del(&xfer->link);
	list_del(&xfer->fly_link);
	keytree_del(&xfer->by_tag);
	xfer_list_idle(xfer);
	if (xfer->note_reserved)
		notes_unreserve(peer, xfer->note_bytes);
	xfer->note_reserved = false;
	drop_note(xfer);
}

static void finish(struct xfer *xfer, int status)
{
	struct peer *peer = xfer->peer;

	stream_put(xfer->stream);
	xfer->stream = NULL;
	free(xfer->lifted);
	xfer->lifted = NULL;
	xfer->dying = false;
	if (!status)
		xfer->moved_bytes = xfer->moved_bytes ? xfer->moved_bytes :
							xfer->total_bytes;
	add_relaxed(status ? &peer->xfers_failed : &peer->xfers_done, 1);
	trace(TRACE_DONE, 0, xfer->wire_id);
	/* Pairs with the load in tests: what the bytes are is seen first. */
	store_release(&xfer->status, status);
	context_announce_end(peer->home);
}

/* Of one in flight. Lock held. */
static uint64_t moved_bytes(const struct xfer *xfer)
{
	const struct stream *stream = xfer->stream;
	uint64_t bytes = stream->next;

	if (xfer->op == TCPX_OP_READ || xfer->op == TCPX_OP_RECV)
		return stream->placed_bytes;
	if (xfer->small)
		return 0;
	/* Given to a channel; what a dead one had is to be given again. */
	for (uint32_t i = 0; i < stream->n_again; i++)
		bytes -= stream->again[i].len_bytes;
	return bytes;
}

void xfer_end(struct xfer *xfer, int status, const char *cause)
{
	struct peer *peer = xfer->peer;

	if (load_relaxed(&xfer->status) != TCPX_INPROGRESS || xfer->dying)
		return;
	if (status)
		snprintf(xfer->cause, sizeof(xfer->cause), "%s", cause);
	leave_lists(xfer);
	if (xfer->stream) {
		xfer->moved_bytes = moved_bytes(xfer);
		stream_kill(xfer->stream);
	}
	/* Lanes may hold its memory though it went well: of what was sent they
	 * have not seen yet that it has left; and a peer that sends a chunk
	 * twice may still be writing where the first one has arrived. */
	if (!xfer->stream || !load_acquire(&xfer->stream->n_busy)) {
		finish(xfer, status);
		return;
	}
	xfer->dying = true;
	xfer->end_status = status;
	list_add_tail(&peer->dying, &xfer->link);
	peer_sweep_later(peer);
}

/* A lane knows that what is said to be done over there had not left here. */
static void end_peer_that_lies(struct xfer *xfer)
{
	xfer->end_status = TCPX_EPROTO;
	snprintf(xfer->cause, sizeof(xfer->cause),
		 "says that it has what was not sent");
	peer_doom(xfer->peer, TCPX_EPROTO, xfer->cause);
}

void xfer_bury(struct peer *peer)
{
	list_for_each_safe (node, &peer->dying) {
		struct xfer *xfer = list_entry(node, struct xfer, link);

		if (load_acquire(&xfer->stream->n_busy))
			continue;
		list_del(&xfer->link);
		if (!xfer->end_status && load_relaxed(&xfer->stream->unsent))
			end_peer_that_lies(xfer);
		finish(xfer, xfer->end_status);
	}
}

/* What the other side must hear when we end a started transfer early. */
static void tell_end(struct xfer *xfer, int status, const char *cause)
{
	struct peer *peer = xfer->peer;
	struct wire_writer w;

	if (xfer->op == TCPX_OP_RECV) {
		if (xfer->matched)
			match_abandon(xfer, status, cause);
		return;
	}
	if (!xfer->wire_id)
		return;
	if (xfer->op == TCPX_OP_READ && !xfer->small) {
		struct msg_read_end msg = {.xfer = xfer->wire_id,
					   .status = status};

		if (!ctl_begin_or_doom(peer, MSG_READ_END, 64, &w))
			return;
		msg_read_end_encode(&w, &msg);
	} else {
		struct msg_xfer msg = {.xfer = xfer->wire_id};

		if (!ctl_begin_or_doom(peer, MSG_CANCEL, 16, &w))
			return;
		msg_xfer_encode(&w, &msg);
	}
	ctl_end(peer, &w);
}

void xfer_abort_locked(struct xfer *xfer, int status, const char *cause)
{
	if (load_relaxed(&xfer->status) != TCPX_INPROGRESS || xfer->dying)
		return;
	if (load_relaxed(&xfer->peer->state) == PEER_UP)
		tell_end(xfer, status, cause);
	xfer_end(xfer, status, cause);
}

void xfer_cancel_locked(struct xfer *xfer, const char *cause)
{
	xfer_abort_locked(xfer, TCPX_ECANCELED, cause);
}

static bool is_stream_held(void *arg)
{
	struct stream *stream = arg;

	return load_acquire(&stream->n_busy);
}

void xfer_abort(struct xfer *xfer, int status, const char *cause,
		uint64_t patience_ns)
{
	uint64_t begin_ns = clock_now_ns();

	struct peer *peer = xfer->peer;
	struct stream *stream = NULL;

	pthread_mutex_lock(&peer->lock);
	xfer_abort_locked(xfer, status, cause);
	bool dying = xfer->dying;

	if (dying)
		stream = stream_get(xfer->stream);
	pthread_mutex_unlock(&peer->lock);
	if (!dying) {
		peer_wake(peer);
		return;
	}
	peer_sweep(peer, is_stream_held, stream);
	stream_put(stream);
	for (;;) {
		pthread_mutex_lock(&peer->lock);
		xfer_bury(peer);
		dying = xfer->dying;
		pthread_mutex_unlock(&peer->lock);
		if (!dying || clock_now_ns() - begin_ns >= patience_ns)
			break;
		/* Only a GPU's running kernel holds memory longer. */
		engine_visit(peer->engine);
		sched_yield();
	}
	peer_wake(peer);
}

void xfer_fail_all(struct peer *peer, int status, const char *cause)
{
	while (!list_empty(&peer->flying))
		xfer_end(list_entry(peer->flying.next, struct xfer, fly_link),
			 status, cause);
}

void xfer_query(struct xfer *xfer, struct tcpx_xfer_info *info)
{
	pthread_mutex_lock(&xfer->peer->lock);
	*info = (struct tcpx_xfer_info){
		.status = load_relaxed(&xfer->status),
		.op = xfer->op,
		.total_bytes = xfer->total_bytes,
		.moved_bytes = xfer->stream ? moved_bytes(xfer) :
					      xfer->moved_bytes,
	};
	snprintf(info->cause, sizeof(info->cause), "%s", xfer->cause);
	pthread_mutex_unlock(&xfer->peer->lock);
}

/* ---- answers ---------------------------------------------------------- */

static struct xfer *started(struct peer *peer, uint64_t wire_id)
{
	return u64map_get(&peer->started, wire_id);
}

void xfer_answered(struct xfer *xfer)
{
	struct peer *peer = xfer->peer;

	peer->answered_ns = xfer->moved_ns = clock_coarse_ns();
	if (peer->answered_seq < xfer->asked_seq)
		peer->answered_seq = xfer->asked_seq;
}

/* Could the other side have all of it? Lanes see later what of it has left:
 * xfer_bury(). */
static bool may_be_done(const struct xfer *xfer)
{
	const struct stream *stream = xfer->stream;

	if (xfer->op == TCPX_OP_READ)
		return false;
	if (xfer->small)
		return true;
	return stream && !stream_has_bytes(stream) &&
	       stream->next == xfer->total_bytes;
}

int xfer_on_done(struct peer *peer, const struct msg_done *msg)
{
	struct xfer *xfer = started(peer, msg->xfer);

	if (!xfer)
		return 0; /* ended here meanwhile */
	if (msg->status > 0 || (!msg->status && !may_be_done(xfer)))
		return TCPX_EPROTO;
	/* A status from afar must not be mistaken for a dead peer. */
	int status = msg->status;

	/* Of one that failed parts of the list may still be on their way. */
	if (!status || xfer->small)
		xfer_answered(xfer);
	else
		peer->answered_ns = clock_coarse_ns();
	if (!status && !xfer->small)
		peer->placed_ns = peer->answered_ns;
	if (status && tcpx_status_scope(status) != TCPX_SCOPE_TRANSFER)
		status = TCPX_EREMOTE;
	xfer_end(xfer, status, msg->text);
	return 0;
}

static void get_done(struct xfer *xfer)
{
	if (xfer->has_note &&
	    notes_emit(xfer->peer, xfer->note, xfer->note_bytes)) {
		xfer_end(xfer, TCPX_ENOMEM, "no memory for the notification");
		return;
	}
	xfer->note_reserved = false;
	xfer_end(xfer, 0, "");
}

static void landed(struct stream *stream, int status, const char *cause)
{
	struct xfer *xfer = stream->owner;

	if (status)
		xfer_end(xfer, status, cause);
	else
		get_done(xfer);
	peer_wake(xfer->peer);
}

/* The answer to a small READ into device memory. */
static int land(struct xfer *xfer, const struct msg_bytes *data)
{
	if (xfer->stream)
		return TCPX_EPROTO;
	xfer->stream = stream_create(xfer->peer, xfer->local, xfer->wire_id,
				     xfer->total_bytes);
	if (xfer->stream) {
		xfer->stream->owner = xfer;
		xfer->stream->own = true;
		xfer->stream->ended = landed;
	}
	if (!xfer->stream || landing_start(xfer->peer, xfer->stream, data->data,
					   data->len_bytes, 0))
		xfer_end(xfer, TCPX_ENOMEM, "no memory for its bytes");
	return 0;
}

int xfer_on_get_data(struct peer *peer, uint64_t wire_id,
		     const struct msg_bytes *data)
{
	struct xfer *xfer = started(peer, wire_id);
	struct segcursor at = {0};

	if (!xfer)
		return 0;
	if (xfer->op != TCPX_OP_READ || !xfer->small ||
	    data->len_bytes != xfer->total_bytes)
		return TCPX_EPROTO;
	xfer_answered(xfer);
	if (seglist_has_dead(xfer->local)) {
		xfer_end(xfer, TCPX_ECANCELED, "its memory was deregistered");
		return 0;
	}
	if (xfer->local->has_device)
		return land(xfer, data);
	seglist_scatter(xfer->local, &at, data->data, data->len_bytes);
	get_done(xfer);
	return 0;
}

/* ---- ends of streams -------------------------------------------------- */

static int tell_read_end(struct xfer *xfer)
{
	struct peer *peer = xfer->peer;
	struct msg_read_end msg = {.xfer = xfer->wire_id};
	struct wire_writer w;
	int err = 0;

	if (xfer->has_note)
		err = notes_encode(peer, xfer->note, xfer->note_bytes,
				   &msg.notify, &msg.note);
	if (!err)
		err = notes_begin(peer, MSG_READ_END, 64 + msg.note.len_bytes,
				  msg.notify, &w);
	if (err)
		return err;
	msg_read_end_encode(&w, &msg);
	ctl_end(peer, &w);
	xfer->note_reserved = false;
	return 0;
}

void xfer_read_ended(struct stream *stream, int status, const char *cause)
{
	struct xfer *xfer = stream->owner;

	if (!status)
		xfer_answered(xfer);
	if (!status && tell_read_end(xfer)) {
		status = TCPX_ENOMEM;
		cause = "no memory to tell the peer";
	}
	if (status)
		xfer_abort_locked(xfer, status, cause);
	else
		xfer_end(xfer, 0, "");
	peer_wake(xfer->peer);
}

void xfer_send_ended(struct stream *stream, int status, const char *cause)
{
	struct xfer *xfer = stream->owner;

	/* Only ever a failure: the peer says when its side is done. */
	xfer_abort_locked(xfer, status, cause);
	peer_wake(xfer->peer);
}
