/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/match.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/landing.h"
#include "engine/notes.h"
#include "engine/peer.h"
#include "engine/stream.h"
#include "engine/target.h"
#include "engine/xfer.h"

/* A SEND that came before its RECV. */
struct early_send {
	struct keyed by_tag; /* peer->early */
	struct keyed by_id; /* peer->early_ids */
	uint64_t wire_id, tag, total_bytes;
	bool early, has_note;
	uint8_t *note;
	uint32_t note_bytes;
	uint8_t data[]; /* early: total_bytes */
};

static void keep(struct peer *peer, struct early_send *send)
{
	keytree_add(&peer->early, send->tag, &send->by_tag);
	keytree_add(&peer->early_ids, send->wire_id, &send->by_id);
	peer->n_early++;
}

static void unkeep(struct peer *peer, struct early_send *send)
{
	keytree_del(&send->by_tag);
	keytree_del(&send->by_id);
	peer->n_early--;
}

static void forget(struct peer *peer, struct early_send *send)
{
	if (send->has_note)
		notes_drop(peer, send->note_bytes);
	free(send->note);
	free(send);
}

/* ---- both are there --------------------------------------------------- */

static void truncate_both(struct xfer *recv, struct early_send *send)
{
	char cause[96];

	snprintf(cause, sizeof(cause),
		 "a SEND of %llu bytes met a RECV of %llu",
		 (unsigned long long)send->total_bytes,
		 (unsigned long long)recv->total_bytes);
	target_done(recv->peer, send->wire_id, TCPX_ETRUNCATED, "%s", cause);
	xfer_end(recv, TCPX_ETRUNCATED, cause);
	forget(recv->peer, send);
}

static int deliver_note(struct peer *peer, struct early_send *send)
{
	if (!send->has_note)
		return 0;
	send->has_note = false;
	return notes_deliver(peer, send->note, send->note_bytes);
}

/* The bytes are here already. */
static void receive_early(struct xfer *recv, struct early_send *send)
{
	struct peer *peer = recv->peer;
	struct segcursor at = {0};

	seglist_scatter(recv->local, &at, send->data, send->total_bytes);
	recv->moved_bytes = send->total_bytes;
	int err = deliver_note(peer, send);

	target_done(peer, send->wire_id, err, "%s",
		    err ? "no memory for the notification" : "");
	xfer_end(recv, 0, "");
	forget(peer, send);
}

static void recv_ended(struct stream *stream, int status, const char *cause)
{
	struct request *request = stream->owner;
	struct peer *peer = request->peer;
	struct xfer *recv = request->recv;

	if (!status && request->has_note) {
		request->has_note = false;
		status =
			notes_deliver(peer, request->note, request->note_bytes);
		cause = "no memory for the notification";
	}
	target_done(peer, request->wire_id, status, "%s", cause);
	request_end(request);
	xfer_end(recv, status, cause);
	peer_wake(peer);
}

/* The SEND becomes a request whose stream ends in recv. Returns 0 or
 * TCPX_ENOMEM. */
static int make_request(struct xfer *recv, struct early_send *send,
			struct request **out)
{
	struct peer *peer = recv->peer;
	struct request *request = request_create(peer, send->wire_id);

	if (!request)
		return TCPX_ENOMEM;
	request->recv = recv;
	request->stream = stream_create(peer, recv->local, send->wire_id,
					send->total_bytes);
	if (!request->stream) {
		request_end(request);
		return TCPX_ENOMEM;
	}
	request->stream->owner = request;
	request->stream->own = true;
	request->stream->ended = recv_ended;
	request->stream->copy = seglist_mean_bytes(recv->local) <
				peer->engine->params.copy_below_bytes;
	*out = request;
	return 0;
}

/* It will end through the request: nothing can fail any more. */
static void hand_over(struct xfer *recv, struct early_send *send,
		      struct request *request)
{
	request->has_note = send->has_note;
	request->note = send->note;
	request->note_bytes = send->note_bytes;
	send->has_note = false;
	send->note = NULL;
	recv->stream = stream_get(request->stream);
	recv->from_wire_id = send->wire_id;
	forget(recv->peer, send);
}

/* The bytes are here already, but only a GPU can put them where they belong. */
static int receive_early_on_device(struct xfer *recv, struct early_send *send)
{
	struct request *request;
	int err = make_request(recv, send, &request);

	if (err)
		return err;
	err = landing_start(recv->peer, request->stream, send->data,
			    (uint32_t)send->total_bytes, 0);
	if (err)
		request_end(request);
	else
		hand_over(recv, send, request);
	return err;
}

/* The bytes are still over there: make room for the chunks, say go. */
static int receive_late(struct xfer *recv, struct early_send *send)
{
	struct peer *peer = recv->peer;
	struct msg_send_go go = {.xfer = send->wire_id,
				 .device = recv->local->device};
	struct request *request;
	struct wire_writer w;
	int err = make_request(recv, send, &request);

	if (err)
		return err;
	if (ctl_begin(peer, MSG_SEND_GO, 16, &w)) {
		request_end(request);
		return TCPX_ENOMEM;
	}
	msg_send_go_encode(&w, &go);
	ctl_end(peer, &w);
	recv->asked_seq = peer->ctl.tx_seq;
	hand_over(recv, send, request);
	return 0;
}

static void meet(struct xfer *recv, struct early_send *send)
{
	struct peer *peer = recv->peer;
	int err = 0;

	recv->matched = true;
	recv->from_wire_id = 0;
	recv->moved_ns = clock_coarse_ns();
	keytree_del(&recv->by_tag);
	if (send->total_bytes > recv->total_bytes) {
		truncate_both(recv, send);
	} else if (!send->early) {
		err = receive_late(recv, send);
	} else if (recv->local->has_device) {
		err = receive_early_on_device(recv, send);
	} else {
		receive_early(recv, send);
	}
	if (err) {
		target_done(peer, send->wire_id, TCPX_EREMOTE,
			    "no memory to receive it");
		xfer_end(recv, TCPX_ENOMEM, "no memory to receive it");
		forget(peer, send);
	}
	peer_wake(peer);
}

/* ---- one is there ----------------------------------------------------- */

void match_recv(struct xfer *recv)
{
	struct peer *peer = recv->peer;
	struct keyed *first = keytree_first(&peer->early, recv->tag);

	if (!first) {
		keytree_add(&peer->recvs, recv->tag, &recv->by_tag);
		return;
	}
	struct early_send *send = list_entry(first, struct early_send, by_tag);

	unkeep(peer, send);
	meet(recv, send);
}

static struct early_send *take_send(const struct msg_send *msg)
{
	struct early_send *send =
		calloc(1, sizeof(*send) + msg->data.len_bytes);

	if (!send)
		return NULL;
	send->wire_id = msg->xfer;
	send->tag = msg->tag;
	send->total_bytes = msg->total_bytes;
	send->early = msg->early;
	keyed_init(&send->by_tag);
	keyed_init(&send->by_id);
	if (msg->data.len_bytes)
		memcpy(send->data, msg->data.data, msg->data.len_bytes);
	return send;
}

int match_send(struct peer *peer, const struct msg_send *msg)
{
	int err = target_see(peer, msg->xfer);

	if (err || !msg->total_bytes || msg->total_bytes > TCPX_XFER_MAX ||
	    (msg->early && (msg->data.len_bytes != msg->total_bytes ||
			    msg->total_bytes > peer->limits.small_bytes)))
		return TCPX_EPROTO;
	if (msg->early)
		peer_saw_small(peer);
	struct early_send *send = take_send(msg);

	if (!send)
		return TCPX_ENOMEM;
	if (msg->notify)
		err = notes_keep(peer, msg->notify, &msg->note, &send->note,
				 &send->note_bytes);
	if (err) {
		forget(peer, send);
		return err;
	}
	send->has_note = msg->notify != NOTIFY_NONE;
	struct keyed *first = keytree_first(&peer->recvs, send->tag);

	if (first) {
		meet(list_entry(first, struct xfer, by_tag), send);
		return 0;
	}
	if (peer->n_early >= PEER_SENDS_MAX) {
		forget(peer, send);
		return TCPX_EPROTO;
	}
	keep(peer, send);
	return 0;
}

bool match_cancel(struct peer *peer, uint64_t wire_id)
{
	struct keyed *found = keytree_first(&peer->early_ids, wire_id);

	if (!found)
		return false;
	struct early_send *send = list_entry(found, struct early_send, by_id);

	unkeep(peer, send);
	forget(peer, send);
	return true;
}

void match_abandon(struct xfer *recv, int status, const char *cause)
{
	struct peer *peer = recv->peer;
	struct request *request =
		u64map_get(&peer->requests, recv->from_wire_id);

	if (!recv->from_wire_id || !request || request->recv != recv)
		return;
	target_done(peer, request->wire_id, TCPX_EREMOTE,
		    "the receiver ended its RECV: %s",
		    cause && *cause ? cause : tcpx_strerror(status));
	request_end(request);
}

void match_free(struct peer *peer)
{
	while (peer->early.root) {
		struct early_send *send =
			list_entry(peer->early.root, struct early_send, by_tag);

		unkeep(peer, send);
		forget(peer, send);
	}
}
