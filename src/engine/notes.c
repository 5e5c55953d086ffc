/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/notes.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/peer.h"

/* Of their own, waiting on our side for window. */
#define WAITING_MAX (8ull << 20)

/* The other side has parts that nothing would ever use, and takes the next
 * ones for a mistake. */
#define LOST_PARTS "no memory here for the end of a notification"

struct waiting_note {
	struct list link;
	uint32_t len_bytes;
	uint8_t data[];
};

static uint64_t cost_of(uint32_t len_bytes)
{
	return (uint64_t)len_bytes + MSG_NOTE_COST;
}

/* ---- outgoing --------------------------------------------------------- */

bool notes_reserve(struct peer *peer, uint32_t len_bytes)
{
	uint64_t open = peer->note_taken_bytes + peer->limits.notify_bytes;

	if (peer->note_sent_bytes + cost_of(len_bytes) > open)
		return false;
	peer->note_sent_bytes += cost_of(len_bytes);
	return true;
}

void notes_unreserve(struct peer *peer, uint32_t len_bytes)
{
	peer->note_sent_bytes -= cost_of(len_bytes);
}

static int encode_part(struct peer *peer, const uint8_t *data,
		       uint32_t len_bytes, uint32_t off)
{
	struct msg_notify_part part = {.total_bytes = len_bytes, .off = off};
	struct wire_writer w;

	part.bytes.data = data + off;
	part.bytes.len_bytes = len_bytes - off;
	if (part.bytes.len_bytes > MSG_PART_BYTES)
		part.bytes.len_bytes = MSG_PART_BYTES;
	int err =
		ctl_begin(peer, MSG_NOTIFY_PART, part.bytes.len_bytes + 16, &w);

	if (err)
		return err;
	msg_notify_part_encode(&w, &part);
	ctl_end(peer, &w);
	return 0;
}

int notes_encode(struct peer *peer, const void *data, uint32_t len_bytes,
		 uint8_t *flag, struct msg_bytes *tail)
{
	if (len_bytes <= MSG_PART_BYTES / 2) {
		*flag = NOTIFY_INLINE;
		*tail = (struct msg_bytes){data, len_bytes};
		return 0;
	}
	for (uint32_t off = 0; off < len_bytes; off += MSG_PART_BYTES) {
		int err = encode_part(peer, data, len_bytes, off);

		if (err && off)
			peer_doom(peer, err, LOST_PARTS);
		if (err)
			return err;
	}
	*flag = NOTIFY_PARTS;
	*tail = (struct msg_bytes){0};
	return 0;
}

int notes_begin(struct peer *peer, uint16_t type, uint32_t body_max,
		uint8_t flag, struct wire_writer *w)
{
	int err = ctl_begin(peer, type, body_max, w);

	if (err && flag == NOTIFY_PARTS)
		peer_doom(peer, err, LOST_PARTS);
	return err;
}

int notes_emit(struct peer *peer, const void *data, uint32_t len_bytes)
{
	struct msg_notify msg;
	struct wire_writer w;
	int err = notes_encode(peer, data, len_bytes, &msg.notify, &msg.note);

	if (!err)
		err = notes_begin(peer, MSG_NOTIFY, msg.note.len_bytes + 16,
				  msg.notify, &w);
	if (err)
		return err;
	msg_notify_encode(&w, &msg);
	ctl_end(peer, &w);
	add_relaxed(&peer->notes_out, 1);
	return 0;
}

/* Opens the sender's window again, a quarter at a time. Without memory for it,
 * in a later round. */
static bool tell_taken(struct peer *peer)
{
	struct msg_notify_taken msg = {.taken_bytes = peer->note_read_bytes};
	struct wire_writer w;

	if (load_relaxed(&peer->state) != PEER_UP ||
	    peer->note_read_bytes == peer->note_told_bytes ||
	    peer->note_read_bytes - peer->note_told_bytes <
		    peer->limits.notify_bytes / 4 ||
	    ctl_begin(peer, MSG_NOTIFY_TAKEN, 16, &w))
		return false;
	msg_notify_taken_encode(&w, &msg);
	ctl_end(peer, &w);
	peer->note_told_bytes = peer->note_read_bytes;
	return true;
}

/* What was reserved for it is given back if there is no memory for it. */
static int emit_reserved(struct peer *peer, const void *data,
			 uint32_t len_bytes)
{
	int err = notes_emit(peer, data, len_bytes);

	if (err)
		notes_unreserve(peer, len_bytes);
	return err;
}

static bool pump_waiting(struct peer *peer)
{
	bool did = false;

	while (!list_empty(&peer->notes)) {
		struct waiting_note *note =
			list_entry(peer->notes.next, struct waiting_note, link);

		if (!notes_reserve(peer, note->len_bytes))
			break;
		if (emit_reserved(peer, note->data, note->len_bytes))
			break;
		peer->notes_waiting_bytes -= cost_of(note->len_bytes);
		list_del(&note->link);
		free(note);
		did = true;
	}
	return did;
}

bool notes_pump(struct peer *peer)
{
	bool told = tell_taken(peer);

	if (!pump_waiting(peer))
		return told;
	if (peer->note_refused) {
		peer->note_refused = false;
		wakeups_tell(&peer->engine->wakeups, TCPX_WAKE_ROOM);
	}
	return true;
}

static int keep_waiting(struct peer *peer, const void *data, uint32_t len_bytes)
{
	if (peer->notes_waiting_bytes + cost_of(len_bytes) > WAITING_MAX) {
		peer->note_refused = true;
		return TCPX_EAGAIN;
	}
	struct waiting_note *note = malloc(sizeof(*note) + len_bytes);

	if (!note)
		return TCPX_ENOMEM;
	note->len_bytes = len_bytes;
	if (len_bytes)
		memcpy(note->data, data, len_bytes);
	list_init(&note->link);
	list_add_tail(&peer->notes, &note->link);
	peer->notes_waiting_bytes += cost_of(len_bytes);
	return 0;
}

int notes_send(struct peer *peer, const void *data, uint32_t len_bytes)
{
	int err;

	pthread_mutex_lock(&peer->lock);
	if (load_relaxed(&peer->state) != PEER_UP)
		err = peer->status;
	else if (list_empty(&peer->notes) && notes_reserve(peer, len_bytes))
		err = emit_reserved(peer, data, len_bytes);
	else
		err = keep_waiting(peer, data, len_bytes);
	pthread_mutex_unlock(&peer->lock);
	if (!err)
		peer_push(peer);
	return err;
}

/* ---- incoming --------------------------------------------------------- */

int notes_on_part(struct peer *peer, const struct msg_notify_part *part)
{
	if (part->off == 0 && !peer->parts) {
		if (part->total_bytes > TCPX_NOTIFY_MAX)
			return TCPX_EPROTO;
		peer->parts = malloc(part->total_bytes);
		if (!peer->parts)
			return TCPX_ENOMEM;
		peer->parts_total = part->total_bytes;
		peer->parts_bytes = 0;
	}
	if (!peer->parts || part->off != peer->parts_bytes ||
	    part->total_bytes != peer->parts_total ||
	    part->bytes.len_bytes > peer->parts_total - peer->parts_bytes)
		return TCPX_EPROTO;
	memcpy(peer->parts + part->off, part->bytes.data,
	       part->bytes.len_bytes);
	peer->parts_bytes += part->bytes.len_bytes;
	return 0;
}

static int charge(struct peer *peer, uint32_t len_bytes)
{
	peer->note_got_bytes += cost_of(len_bytes);
	return peer->note_got_bytes - peer->note_told_bytes >
			       peer->limits.notify_bytes ?
		       TCPX_EPROTO :
		       0;
}

int notes_keep(struct peer *peer, uint8_t flag, const struct msg_bytes *tail,
	       uint8_t **data, uint32_t *len_bytes)
{
	uint8_t *kept = NULL;
	uint32_t len = tail->len_bytes;

	if (flag == NOTIFY_PARTS) {
		if (!peer->parts || peer->parts_bytes != peer->parts_total)
			return TCPX_EPROTO;
		kept = peer->parts;
		len = peer->parts_total;
		peer->parts = NULL;
	} else if (len) {
		kept = malloc(len);
		if (!kept)
			return TCPX_ENOMEM;
		memcpy(kept, tail->data, len);
	}
	int err = charge(peer, len);

	if (err) {
		free(kept);
		return err;
	}
	*data = kept;
	*len_bytes = len;
	return 0;
}

int notes_deliver(struct peer *peer, const void *data, uint32_t len_bytes)
{
	add_relaxed(&peer->notes_in, 1);
	if (peer->quiet)
		return 0;
	return peer->engine->ops->note(peer->engine->arg, peer, data,
				       len_bytes);
}

int notes_deliver_now(struct peer *peer, uint8_t flag,
		      const struct msg_bytes *tail)
{
	uint8_t *data = NULL;
	uint32_t len;
	int err;

	if (flag == NOTIFY_INLINE) {
		err = charge(peer, tail->len_bytes);
		return err ? err :
			     notes_deliver(peer, tail->data, tail->len_bytes);
	}
	err = notes_keep(peer, flag, tail, &data, &len);
	if (!err)
		err = notes_deliver(peer, data, len);
	free(data);
	return err;
}

void notes_drop(struct peer *peer, uint32_t len_bytes)
{
	peer->note_read_bytes += cost_of(len_bytes);
	if (tell_taken(peer))
		peer_wake(peer);
}

void notes_on_taken(struct peer *peer, uint64_t taken_bytes)
{
	if (taken_bytes <= peer->note_taken_bytes ||
	    taken_bytes > peer->note_sent_bytes)
		return;
	peer->note_taken_bytes = taken_bytes;
	peer->answered_ns = clock_coarse_ns();
}

void notes_read(struct peer *peer, uint32_t len_bytes)
{
	pthread_mutex_lock(&peer->lock);
	peer->note_read_bytes += cost_of(len_bytes);
	bool tell = tell_taken(peer);

	pthread_mutex_unlock(&peer->lock);
	if (tell)
		peer_wake(peer);
}

void notes_free(struct peer *peer)
{
	while (!list_empty(&peer->notes)) {
		struct waiting_note *note =
			list_entry(peer->notes.next, struct waiting_note, link);

		list_del(&note->link);
		free(note);
	}
	peer->notes_waiting_bytes = 0;
	free(peer->parts);
	peer->parts = NULL;
}
