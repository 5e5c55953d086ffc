/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/target.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/trace.h"
#include "engine/landing.h"
#include "engine/lifting.h"
#include "engine/lists.h"
#include "engine/match.h"
#include "engine/notes.h"
#include "engine/peer.h"
#include "engine/region.h"
#include "engine/stream.h"
#include "engine/xfer.h"

#define CAUSE_BYTES 96

int target_see(struct peer *peer, uint64_t wire_id)
{
	if (wire_id <= peer->seen_wire_id)
		return TCPX_EPROTO;
	peer->seen_wire_id = wire_id;
	return 0;
}

void target_done(struct peer *peer, uint64_t wire_id, int status,
		 const char *fmt, ...)
{
	struct msg_done msg = {.xfer = wire_id, .status = status};
	struct wire_writer w;
	va_list args;

	/* That it is not the initiator's memory. */
	if (status == TCPX_EFAULT)
		msg.status = TCPX_EREMOTE;
	if (status) {
		va_start(args, fmt);
		vsnprintf(msg.text, sizeof(msg.text), fmt, args);
		va_end(args);
	}
	if (!ctl_begin_or_doom(peer, MSG_DONE, 192, &w))
		return;
	msg_done_encode(&w, &msg);
	ctl_end(peer, &w);
}

/* A request of the peer's is refused: say so there, and once here. */
static int refuse(struct peer *peer, uint64_t wire_id, int status,
		  const char *cause)
{
	target_done(peer, wire_id, status, "%s", cause);
	peer->refused++;
	snprintf(peer->refusal, sizeof(peer->refusal), "%s", cause);
	peer_wake_stalled(peer); /* its chunks may fall now */
	return 0;
}

/* ---- requests --------------------------------------------------------- */

struct request *request_create(struct peer *peer, uint64_t wire_id)
{
	struct request *request = calloc(1, sizeof(*request));

	if (!request)
		return NULL;
	request->peer = peer;
	request->wire_id = wire_id;
	if (u64map_put(&peer->requests, wire_id, request)) {
		free(request);
		return NULL;
	}
	return request;
}

void request_end(struct request *request)
{
	struct peer *peer = request->peer;

	u64map_del(&peer->requests, request->wire_id);
	if (request->list && request->list->user == request)
		request->list->user = NULL;
	if (request->stream) {
		stream_kill(request->stream);
		if (load_acquire(&request->stream->n_busy))
			peer_sweep_later(peer);
		stream_put(request->stream);
	}
	if (request->has_note)
		notes_drop(peer, request->note_bytes);
	free(request->note);
	free(request);
}

/* ---- lists ------------------------------------------------------------ */

/* The request that uses a list learns of its growth. */
static void list_grew(struct peer *peer, struct remote_list *list)
{
	struct request *request = list->user;

	if (!request)
		return;
	if (list->status) {
		uint64_t wire_id = request->wire_id;

		request_end(request);
		refuse(peer, wire_id, list->status, list->cause);
		return;
	}
	if (request->stream->reply) {
		request->stream->limit = list->segs->total_bytes;
		peer_offer(peer, request->stream);
	} else {
		peer_wake_stalled(peer);
	}
}

int target_on_list(struct peer *peer, const struct msg_list *msg)
{
	struct remote_list *list;
	int err = lists_take_part(peer, msg, &list);

	if (!err)
		list_grew(peer, list);
	return err;
}

int target_on_list_drop(struct peer *peer, uint64_t list_id)
{
	struct remote_list *list = lists_find(peer, list_id);

	if (!list || list->user)
		return list ? TCPX_EPROTO : 0;
	lists_drop(peer, list);
	return 0;
}

/* ---- WRITE and READ --------------------------------------------------- */

static void write_ended(struct stream *stream, int status, const char *cause)
{
	struct request *request = stream->owner;
	struct peer *peer = request->peer;

	trace(TRACE_PLACED_ALL, 0, request->wire_id);
	if (!status && request->has_note) {
		request->has_note = false;
		status =
			notes_deliver(peer, request->note, request->note_bytes);
		cause = "no memory for the notification";
	}
	target_done(peer, request->wire_id, status, "%s", cause);
	request_end(request);
	peer_wake(peer);
}

static void read_ended(struct stream *stream, int status, const char *cause)
{
	struct request *request = stream->owner;
	struct peer *peer = request->peer;

	/* Only ever a failure: the initiator says when it has all. */
	target_done(peer, request->wire_id, status, "%s", cause);
	request_end(request);
	peer_wake(peer);
}

/* What both have in common; *out is NULL if it was refused. */
static int take_request(struct peer *peer, const struct msg_write *msg,
			uint32_t access, struct request **out)
{
	struct remote_list *list = lists_find(peer, msg->list);
	char cause[CAUSE_BYTES] = "";
	int err = target_see(peer, msg->xfer);

	trace(TRACE_REQUEST, 0, msg->xfer);
	*out = NULL;
	if (err)
		return err;
	if (!list || list->user || msg->total_bytes != list->total_bytes ||
	    !msg->total_bytes)
		return TCPX_EPROTO;
	err = list->status;
	snprintf(cause, sizeof(cause), "%s",
		 err ? list->cause : "a region was deregistered");
	if (!err && seglist_has_dead(list->segs))
		err = TCPX_EREMOTE;
	else if (!err)
		err = lists_check_access(list->segs, access, cause,
					 sizeof(cause));
	if (err)
		return refuse(peer, msg->xfer, err, cause);
	struct request *request = request_create(peer, msg->xfer);

	if (!request)
		return TCPX_ENOMEM;
	request->stream =
		stream_create(peer, list->segs, msg->xfer, msg->total_bytes);
	if (!request->stream) {
		request_end(request);
		return TCPX_ENOMEM;
	}
	request->stream->owner = request;
	request->stream->copy = list->total_bytes / list->total_segs <
				peer->engine->params.copy_below_bytes;
	request->list = list;
	list->user = request;
	*out = request;
	return 0;
}

int target_on_write(struct peer *peer, const struct msg_write *msg)
{
	struct request *request;
	uint8_t *note = NULL;
	uint32_t note_bytes = 0;
	int err = 0;

	if (msg->notify)
		err = notes_keep(peer, msg->notify, &msg->note, &note,
				 &note_bytes);
	if (!err)
		err = take_request(peer, msg, TCPX_ACCESS_REMOTE_WRITE,
				   &request);
	if (err || !request) {
		free(note);
		if (msg->notify && !err)
			notes_drop(peer, note_bytes);
		return err;
	}
	request->has_note = msg->notify != NOTIFY_NONE;
	request->note = note;
	request->note_bytes = note_bytes;
	request->stream->ended = write_ended;
	stream_expect(request->stream);
	peer_wake_stalled(peer);
	return 0;
}

int target_on_read(struct peer *peer, const struct msg_write *msg)
{
	struct request *request;

	if (msg->notify)
		return TCPX_EPROTO;
	int err = take_request(peer, msg, TCPX_ACCESS_REMOTE_READ, &request);

	if (err || !request)
		return err;
	request->stream->reply = true;
	request->stream->ended = read_ended;
	request->stream->to_device = msg->device;
	request->stream->limit = request->list->segs->total_bytes;
	peer_offer(peer, request->stream);
	return 0;
}

int target_on_read_end(struct peer *peer, const struct msg_read_end *msg)
{
	struct request *request = u64map_get(&peer->requests, msg->xfer);

	if (msg->xfer > peer->seen_wire_id || (msg->status && msg->notify))
		return TCPX_EPROTO;
	if (request && (!request->stream || !request->stream->reply))
		return TCPX_EPROTO;
	if (request)
		request_end(request);
	return msg->notify ? notes_deliver_now(peer, msg->notify, &msg->note) :
			     0;
}

int target_on_cancel(struct peer *peer, uint64_t wire_id)
{
	struct request *request = u64map_get(&peer->requests, wire_id);

	if (wire_id > peer->seen_wire_id)
		return TCPX_EPROTO;
	if (match_cancel(peer, wire_id) || !request)
		return 0;
	struct xfer *recv = request->recv;

	request_end(request);
	peer_wake_stalled(peer);
	if (recv)
		xfer_end(recv, TCPX_EREMOTE, "the sender canceled its SEND");
	return 0;
}

/* ---- small ones ------------------------------------------------------- */

static uint64_t device_cost(const struct seglist *segs)
{
	return msg_device_cost(segs->n, segs->total_bytes);
}

/* One more would wait for a GPU that is too far behind: 0, or why not. */
static int check_waiting(struct peer *peer, const struct seglist *segs,
			 char *cause)
{
	if (peer->device_waiting + device_cost(segs) <= MSG_DEVICE_WAITING_MAX)
		return 0;
	snprintf(cause, CAUSE_BYTES,
		 "%u MiB of small requests wait for its GPU",
		 MSG_DEVICE_WAITING_MAX >> 20);
	return TCPX_EGPU;
}

/* Its bytes belong into device memory: the request ends when they are there.
 * Returns TCPX_INPROGRESS, or a status that fails the peer. */
static int land(struct peer *peer, const struct msg_put *msg,
		struct seglist *segs)
{
	struct request *request = request_create(peer, msg->xfer);
	int err = TCPX_ENOMEM;

	if (!request)
		return err;
	request->stream =
		stream_create(peer, segs, msg->xfer, segs->total_bytes);
	if (!request->stream)
		goto err_end;
	request->stream->owner = request;
	request->stream->ended = write_ended;
	if (msg->notify) {
		err = notes_keep(peer, msg->notify, &msg->note, &request->note,
				 &request->note_bytes);
		if (err)
			goto err_end;
		request->has_note = true;
	}
	err = landing_start(peer, request->stream, msg->data.data,
			    msg->data.len_bytes, device_cost(segs));
	if (!err)
		return TCPX_INPROGRESS;
err_end:
	request_end(request);
	return err;
}

static int put_bytes(struct peer *peer, const struct msg_put *msg, char *cause)
{
	struct segcursor at = {0};
	struct seglist *segs;
	int err = lists_take_small(peer, &msg->regions, msg->n_regions,
				   &msg->segs, msg->n_segs, &segs, cause,
				   CAUSE_BYTES);

	if (err)
		return err;
	if (segs->total_bytes != msg->data.len_bytes)
		err = TCPX_EPROTO;
	else
		err = lists_check_access(segs, TCPX_ACCESS_REMOTE_WRITE, cause,
					 CAUSE_BYTES);
	if (!err && segs->has_device)
		err = check_waiting(peer, segs, cause);
	if (!err && segs->has_device)
		err = land(peer, msg, segs);
	else if (!err)
		seglist_scatter(segs, &at, msg->data.data, msg->data.len_bytes);
	seglist_put(segs);
	return err;
}

int target_on_put(struct peer *peer, const struct msg_put *msg)
{
	char cause[CAUSE_BYTES] = "";
	int err = target_see(peer, msg->xfer);

	peer_saw_small(peer);
	if (!err)
		err = put_bytes(peer, msg, cause);
	if (err == TCPX_INPROGRESS)
		return 0;
	if (err == TCPX_EPROTO || err == TCPX_ENOMEM)
		return err;
	if (err) {
		uint8_t *note = NULL;
		uint32_t len = 0;
		int bad = msg->notify ? notes_keep(peer, msg->notify,
						   &msg->note, &note, &len) :
					0;

		free(note);
		if (bad)
			return bad;
		if (msg->notify)
			notes_drop(peer, len);
		return refuse(peer, msg->xfer, err, cause);
	}
	if (msg->notify)
		err = notes_deliver_now(peer, msg->notify, &msg->note);
	if (!err)
		target_done(peer, msg->xfer, 0, "%s", "");
	return err;
}

static int give_bytes(struct peer *peer, uint64_t wire_id, const void *bytes,
		      uint32_t len)
{
	struct msg_get_data data = {.xfer = wire_id, .data = {bytes, len}};
	struct wire_writer w;
	int err = ctl_begin(peer, MSG_GET_DATA, len + 32, &w);

	if (err)
		return err;
	msg_get_data_encode(&w, &data);
	ctl_end(peer, &w);
	return 0;
}

static void lifted(struct lifting *lifting, int status, const void *data)
{
	struct request *request = lifting->stream->owner;
	struct peer *peer = request->peer;

	if (!status)
		status = give_bytes(peer, request->wire_id, data,
				    lifting->len_bytes);
	if (status)
		target_done(peer, request->wire_id, status, "%s",
			    "the bytes could not be read");
	request_end(request);
	peer_wake(peer);
}

/* The bytes are a device's: the request ends when they have been sent. */
static int lift(struct peer *peer, const struct msg_get *msg,
		struct seglist *segs)
{
	struct request *request = request_create(peer, msg->xfer);

	if (!request)
		return TCPX_ENOMEM;
	request->stream =
		stream_create(peer, segs, msg->xfer, segs->total_bytes);
	if (!request->stream)
		goto err_end;
	request->stream->owner = request;
	request->stream->reply = true; /* no chunk may write there */
	if (!lifting_fits(request->stream)) {
		request_end(request);
		return TCPX_EPROTO; /* such a list does not go small */
	}
	if (!lifting_start(peer, request->stream, device_cost(segs), lifted))
		return 0;
err_end:
	request_end(request);
	return TCPX_ENOMEM;
}

static int get_bytes(struct peer *peer, const struct msg_get *msg,
		     struct seglist *segs)
{
	struct segcursor at = {0};
	uint32_t len = (uint32_t)segs->total_bytes;
	uint8_t *flat = malloc(len);

	if (!flat)
		return TCPX_ENOMEM;
	seglist_gather(segs, &at, flat, len);
	int err = give_bytes(peer, msg->xfer, flat, len);

	free(flat);
	return err;
}

int target_on_get(struct peer *peer, const struct msg_get *msg)
{
	char cause[CAUSE_BYTES] = "";
	struct seglist *segs;
	int err = target_see(peer, msg->xfer);

	peer_saw_small(peer);
	if (err)
		return err;
	err = lists_take_small(peer, &msg->regions, msg->n_regions, &msg->segs,
			       msg->n_segs, &segs, cause, sizeof(cause));
	if (err == TCPX_EPROTO || err == TCPX_ENOMEM)
		return err;
	if (err)
		return refuse(peer, msg->xfer, err, cause);
	if (segs->total_bytes > peer->limits.small_bytes) {
		seglist_put(segs);
		return TCPX_EPROTO;
	}
	err = lists_check_access(segs, TCPX_ACCESS_REMOTE_READ, cause,
				 sizeof(cause));
	if (!err && segs->has_device)
		err = check_waiting(peer, segs, cause);
	if (err) {
		refuse(peer, msg->xfer, err, cause);
		err = 0;
	} else if (segs->has_device) {
		err = lift(peer, msg, segs);
	} else {
		err = get_bytes(peer, msg, segs);
	}
	seglist_put(segs);
	return err;
}

/* ---- ends ------------------------------------------------------------- */

void target_revoke(struct peer *peer, const struct region *region)
{
	/* Ending a request changes the map: start over after each. */
	for (uint32_t i = 0; i < peer->requests.n_rows; i++) {
		struct request *request = peer->requests.rows[i].value;

		if (!peer->requests.rows[i].key || request->recv ||
		    !seglist_names(request->stream->list, region))
			continue;
		target_done(peer, request->wire_id, TCPX_EREMOTE, "%s",
			    "the region was deregistered");
		request_end(request);
		i = UINT32_MAX;
	}
	peer_wake_stalled(peer);
}

void target_free(struct peer *peer)
{
	uint64_t id;
	struct request *request;

	while ((request = u64map_any(&peer->requests, &id)))
		request_end(request);
	u64map_fini(&peer->requests);
	lists_free(peer);
}
