/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/xfer_start.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/trace.h"
#include "engine/notes.h"
#include "engine/peer.h"
#include "engine/stream.h"
#include "engine/xfer.h"

#define SMALL_SEGS_MAX 256 /* of a transfer that rides in its request */
#define SMALL_REGIONS_MAX 64
#define REGION_ROW_BYTES 16
/* Requests are queued until so much waits to be sent, list parts while less
 * does: an 8-byte write is never behind a list of a million. */
#define POSTS_HIGH_BYTES (1u << 20)
#define LISTS_HIGH_BYTES (128u * 1024)
/* The first part of a list, so that bytes flow while the rest is on its way;
 * each further one is longer by what the other side has by then. */
#define FIRST_PART_SEGS 2048u
/* Then other work of the context has its turn. */
#define PARTS_A_ROUND 4
/* The target queues the answers to small READs: no more than this. */
#define GETS_MAX_BYTES (8u << 20)

bool xfer_is_small(const struct xfer *xfer)
{
	const struct seglist *remote = xfer->remote;

	/* The bytes of a SEND must be at hand, for it keeps its order; those of
	 * a device are lifted first (lifting.h), if it is one. */
	if (xfer->op == TCPX_OP_SEND && xfer->local->has_device)
		return false;
	if (xfer->op == TCPX_OP_READ && remote->has_device &&
	    remote->n_regions > 1)
		return false;
	return xfer->total_bytes <= xfer->peer->limits.small_bytes &&
	       (!remote || (remote->n <= SMALL_SEGS_MAX &&
			    remote->n_regions <= SMALL_REGIONS_MAX));
}

uint64_t xfer_device_cost(const struct xfer *xfer)
{
	const struct seglist *remote = xfer->remote;

	return xfer->small && remote && remote->has_device ?
		       msg_device_cost(remote->n, xfer->total_bytes) :
		       0;
}

/* ---- pieces of messages ----------------------------------------------- */

static uint32_t encode_regions(const struct seglist *list, uint8_t *buf)
{
	for (uint32_t i = 0; i < list->n_regions; i++)
		msg_region_encode(&list->remote[i],
				  buf + (size_t)i * REGION_ROW_BYTES);
	return list->n_regions * REGION_ROW_BYTES;
}

/* A short list, whole. */
struct small_list {
	uint8_t regions[SMALL_REGIONS_MAX * REGION_ROW_BYTES];
	uint8_t segs[SMALL_SEGS_MAX * 24];
	struct msg_bytes regions_ref, segs_ref;
};

static int encode_small_list(const struct seglist *list,
			     struct small_list *small)
{
	struct wire_writer w;

	small->regions_ref.data = small->regions;
	small->regions_ref.len_bytes = encode_regions(list, small->regions);
	wire_writer_init(&w, small->segs, sizeof(small->segs));
	if (segs_encode(&w, list->segs, list->n) != list->n)
		return TCPX_EINTERNAL;
	small->segs_ref.data = small->segs;
	small->segs_ref.len_bytes = (uint32_t)(w.at - small->segs);
	return 0;
}

/* ---- small transfers -------------------------------------------------- */

static int start_put(struct xfer *xfer, struct msg_bytes data)
{
	struct peer *peer = xfer->peer;
	struct msg_put msg = {.xfer = xfer->wire_id,
			      .n_segs = xfer->remote->n,
			      .n_regions = xfer->remote->n_regions,
			      .data = data};
	struct small_list small;
	struct wire_writer w;
	int err = encode_small_list(xfer->remote, &small);

	if (!err && xfer->has_note)
		err = notes_encode(peer, xfer->note, xfer->note_bytes,
				   &msg.notify, &msg.note);
	if (err)
		return err;
	msg.regions = small.regions_ref;
	msg.segs = small.segs_ref;
	err = notes_begin(peer, MSG_PUT,
			  64 + msg.regions.len_bytes + msg.segs.len_bytes +
				  data.len_bytes + msg.note.len_bytes,
			  msg.notify, &w);
	if (err)
		return err;
	msg_put_encode(&w, &msg);
	ctl_end(peer, &w);
	return 0;
}

static int start_get(struct xfer *xfer)
{
	struct msg_get msg = {.xfer = xfer->wire_id,
			      .n_segs = xfer->remote->n,
			      .n_regions = xfer->remote->n_regions};
	struct small_list small;
	struct wire_writer w;
	int err = encode_small_list(xfer->remote, &small);

	if (err)
		return err;
	msg.regions = small.regions_ref;
	msg.segs = small.segs_ref;
	err = ctl_begin(xfer->peer, MSG_GET,
			64 + msg.regions.len_bytes + msg.segs.len_bytes, &w);
	if (err)
		return err;
	msg_get_encode(&w, &msg);
	ctl_end(xfer->peer, &w);
	return 0;
}

static int start_send(struct xfer *xfer, struct msg_bytes data)
{
	struct peer *peer = xfer->peer;
	struct msg_send msg = {.xfer = xfer->wire_id,
			       .tag = xfer->tag,
			       .total_bytes = xfer->total_bytes,
			       .early = xfer->small,
			       .data = data};
	struct wire_writer w;
	int err = 0;

	if (xfer->has_note)
		err = notes_encode(peer, xfer->note, xfer->note_bytes,
				   &msg.notify, &msg.note);
	if (!err)
		err = notes_begin(peer, MSG_SEND,
				  64 + data.len_bytes + msg.note.len_bytes,
				  msg.notify, &w);
	if (err)
		return err;
	msg_send_encode(&w, &msg);
	ctl_end(peer, &w);
	return 0;
}

static int start_small(struct xfer *xfer)
{
	uint8_t stack[32768];
	struct segcursor at = {0};
	struct msg_bytes data = {xfer->lifted ? xfer->lifted : stack,
				 (uint32_t)xfer->total_bytes};

	peer_saw_small(xfer->peer);
	if (xfer->op == TCPX_OP_READ)
		return start_get(xfer);
	if (data.len_bytes > sizeof(stack))
		return TCPX_EINTERNAL;
	if (!xfer->lifted)
		seglist_gather(xfer->local, &at, stack, data.len_bytes);
	if (xfer->op == TCPX_OP_WRITE)
		return start_put(xfer, data);
	return start_send(xfer, data);
}

/* ---- lists ------------------------------------------------------------ */

static uint64_t list_cost(const struct xfer *xfer)
{
	return msg_list_cost(xfer->remote->n, xfer->remote->n_regions);
}

static void drop_list(struct xfer *xfer)
{
	struct peer *peer = xfer->peer;
	struct msg_list_drop msg = {.list = xfer->list_id};
	struct wire_writer w;

	list_del(&xfer->list_link);
	if (!xfer->list_id)
		return;
	peer->lists_out -= list_cost(xfer);
	xfer->list_id = 0;
	xfer->list_next = 0;
	if (load_relaxed(&peer->state) != PEER_UP ||
	    !ctl_begin_or_doom(peer, MSG_LIST_DROP, 16, &w))
		return;
	msg_list_drop_encode(&w, &msg);
	ctl_end(peer, &w);
}

void xfer_list_idle(struct xfer *xfer)
{
	if (!xfer->list_id)
		return;
	if (xfer->list_next < xfer->remote->n)
		drop_list(xfer);
	else
		list_move_tail(&xfer->peer->idle_lists, &xfer->list_link);
}

void xfer_forget(struct xfer *xfer)
{
	struct peer *peer = xfer->peer;

	pthread_mutex_lock(&peer->lock);
	drop_list(xfer);
	pthread_mutex_unlock(&peer->lock);
}

/* Room at the peer for one more list, by dropping idle ones. */
static bool make_list_room(struct peer *peer, uint64_t cost)
{
	while (peer->lists_out + cost > peer->limits.list_segments) {
		if (list_empty(&peer->idle_lists))
			return false;
		drop_list(list_entry(peer->idle_lists.next, struct xfer,
				     list_link));
	}
	return true;
}

/* What the other side knows of the list now may be sent. */
static void extend_stream(struct xfer *xfer, uint64_t listed_bytes)
{
	struct stream *stream = xfer->stream;

	if (!stream || stream->reply)
		return;
	stream->limit = listed_bytes;
	if (stream_has_bytes(stream))
		peer_offer(xfer->peer, stream);
}

static uint64_t listed_bytes(const struct xfer *xfer)
{
	const struct seglist *list = xfer->remote;
	uint64_t bytes = 0;

	if (xfer->list_next == list->n)
		return list->total_bytes;
	/* Parts end at no particular segment: from the kept start below. */
	uint32_t i = xfer->list_next / SEGLIST_BLOCK * SEGLIST_BLOCK;

	bytes = list->starts[i / SEGLIST_BLOCK];
	for (; i < xfer->list_next; i++)
		bytes += list->segs[i].len_bytes;
	return bytes;
}

/* Segments of a list, encoded. The list stays as it is, so this needs no lock;
 * what is written of it may be stale by the time it is sent. */
struct list_part {
	uint64_t list_id;
	uint32_t first, count;
	/* In the scratch of home: we own that, and receive nothing now. */
	struct msg_bytes segs;
};

static void encode_part(const struct peer *peer, const struct seglist *list,
			struct list_part *part)
{
	uint8_t *to = peer->home->scratch;
	uint32_t left = list->n - part->first;
	uint32_t most = FIRST_PART_SEGS + part->first;
	struct wire_writer w;

	wire_writer_init(&w, to, MSG_PART_BYTES);
	part->count = (uint32_t)segs_encode(&w, list->segs + part->first,
					    left < most ? left : most);
	part->segs = (struct msg_bytes){to, (uint32_t)(w.at - to)};
}

/* The next part; 0 or TCPX_ENOMEM. */
static int send_part(struct xfer *xfer, const struct list_part *part)
{
	const struct seglist *list = xfer->remote;
	struct msg_list msg = {.list = part->list_id,
			       .total_segs = list->n,
			       .first = part->first,
			       .count = part->count,
			       .total_bytes = list->total_bytes,
			       .segs = part->segs};
	uint8_t regions[MSG_REGIONS_MAX * REGION_ROW_BYTES];
	struct wire_writer w;

	if (!msg.first) {
		msg.n_regions = list->n_regions;
		msg.regions.data = regions;
		msg.regions.len_bytes = encode_regions(list, regions);
	}
	int err = ctl_begin(xfer->peer, MSG_LIST,
			    64 + msg.regions.len_bytes + msg.segs.len_bytes,
			    &w);

	if (err)
		return err;
	msg_list_encode(&w, &msg);
	ctl_end(xfer->peer, &w);
	xfer->asked_seq = xfer->peer->ctl.tx_seq;
	xfer->list_next += msg.count;
	return 0;
}

static struct xfer *first_listing(struct peer *peer)
{
	return list_entry(peer->listing.next, struct xfer, list_link);
}

static bool may_list(const struct peer *peer)
{
	return !list_empty(&peer->listing) &&
	       peer->ctl.unsent_bytes < LISTS_HIGH_BYTES &&
	       load_relaxed(&peer->state) == PEER_UP;
}

/* The first transfer of those whose list is on its way gives the next part; it
 * may have ended while the part was encoded. Lock held at both ends. */
static void list_one(struct peer *peer, struct list_part *part)
{
	struct xfer *xfer = first_listing(peer);
	struct seglist *list = seglist_get(xfer->remote);

	part->list_id = xfer->list_id;
	part->first = xfer->list_next;
	pthread_mutex_unlock(&peer->lock);
	encode_part(peer, list, part);
	seglist_put(list);
	pthread_mutex_lock(&peer->lock);
	if (list_empty(&peer->listing))
		return;
	xfer = first_listing(peer);
	if (xfer->list_id != part->list_id)
		return;
	if (send_part(xfer, part)) {
		xfer_abort_locked(xfer, TCPX_ENOMEM, "no memory for its list");
		return;
	}
	extend_stream(xfer, listed_bytes(xfer));
	if (xfer->list_next == xfer->remote->n)
		list_del(&xfer->list_link);
	else
		list_move_tail(&peer->listing, &xfer->list_link);
}

bool xfer_pump_lists(struct peer *peer)
{
	struct list_part part;
	bool did = false;

	for (int i = 0; i < PARTS_A_ROUND; i++) {
		pthread_mutex_lock(&peer->lock);
		bool may = may_list(peer);

		if (may)
			list_one(peer, &part);
		pthread_mutex_unlock(&peer->lock);
		if (!may)
			break;
		/* Part by part: the other side decodes one meanwhile. */
		ctl_flush(peer);
		did = true;
	}
	return did;
}

/* The list's first part, if the peer does not have the list already. */
static int begin_list(struct xfer *xfer)
{
	struct peer *peer = xfer->peer;
	struct list_part part;

	if (xfer->list_id) {
		list_del(&xfer->list_link); /* no longer idle */
		return 0;
	}
	xfer->list_id = ++peer->last_list_id;
	xfer->list_next = 0;
	peer->lists_out += list_cost(xfer);
	part.list_id = xfer->list_id;
	part.first = 0;
	encode_part(peer, xfer->remote, &part);
	int err = send_part(xfer, &part);

	if (err) {
		peer->lists_out -= list_cost(xfer);
		xfer->list_id = 0;
		return err;
	}
	if (xfer->list_next < xfer->remote->n)
		list_add_tail(&peer->listing, &xfer->list_link);
	return 0;
}

/* ---- large transfers -------------------------------------------------- */

static void offer(struct stream *stream)
{
	peer_offer(stream->peer, stream);
}

static int make_stream(struct xfer *xfer, bool reply)
{
	struct peer *peer = xfer->peer;
	struct stream *stream = stream_create(peer, xfer->local, xfer->wire_id,
					      xfer->total_bytes);

	if (!stream)
		return TCPX_ENOMEM;
	stream->reply = stream->own = reply;
	stream->event = reply ? 0 : xfer->event;
	stream->go = offer;
	stream->copy = seglist_mean_bytes(xfer->local) <
		       peer->engine->params.copy_below_bytes;
	stream->owner = xfer;
	stream->ended = reply ? xfer_read_ended : xfer_send_ended;
	xfer->stream = stream;
	if (reply)
		stream_expect(stream);
	return 0;
}

static int start_request(struct xfer *xfer)
{
	struct peer *peer = xfer->peer;
	bool read = xfer->op == TCPX_OP_READ;
	struct msg_write msg = {.xfer = xfer->wire_id,
				.total_bytes = xfer->total_bytes};
	struct wire_writer w;
	int err = make_stream(xfer, read);

	if (!err)
		err = begin_list(xfer);
	if (!err && xfer->has_note && !read)
		err = notes_encode(peer, xfer->note, xfer->note_bytes,
				   &msg.notify, &msg.note);
	msg.list = xfer->list_id;
	if (!err)
		err = notes_begin(peer, read ? MSG_READ : MSG_WRITE,
				  64 + msg.note.len_bytes, msg.notify, &w);
	if (err)
		return err;
	if (read)
		msg.device = xfer->local->device;
	else
		xfer->stream->to_device = xfer->remote->device;
	msg_write_encode(&w, &msg);
	ctl_end(peer, &w);
	extend_stream(xfer, listed_bytes(xfer));
	return 0;
}

int xfer_on_send_go(struct peer *peer, const struct msg_send_go *msg)
{
	struct xfer *xfer = u64map_get(&peer->started, msg->xfer);

	if (!xfer)
		return 0;
	if (xfer->op != TCPX_OP_SEND || xfer->small || xfer->matched)
		return TCPX_EPROTO;
	xfer_answered(xfer);
	xfer->matched = true;
	peer->n_sends_out--;
	if (make_stream(xfer, false)) {
		xfer_abort_locked(xfer, TCPX_ENOMEM,
				  "no memory for the transfer");
		return 0;
	}
	xfer->stream->to_device = msg->device;
	extend_stream(xfer, xfer->total_bytes);
	return 0;
}

/* ---- the queue -------------------------------------------------------- */

/* What has to wait although there is room to send: a closed window keeps its
 * order, but holds nothing else up. */
struct gates {
	bool notes, lists, sends, gets, devices;
};

static bool may_start(struct xfer *xfer, struct gates *shut)
{
	struct peer *peer = xfer->peer;
	uint64_t cost = xfer_device_cost(xfer);

	shut->devices |= peer->device_out &&
			 peer->device_out + cost > MSG_DEVICE_OUT_MAX;
	if (cost && shut->devices)
		return false;
	if (xfer->op == TCPX_OP_SEND) {
		shut->sends |= peer->n_sends_out >= PEER_SENDS_MAX;
		if (shut->sends)
			return false;
	} else if (xfer->small && xfer->op == TCPX_OP_READ) {
		shut->gets |= peer->gets_out_bytes >= GETS_MAX_BYTES;
		if (shut->gets)
			return false;
	} else if (!xfer->small && !xfer->list_id) {
		shut->lists |= !make_list_room(peer, list_cost(xfer));
		if (shut->lists)
			return false;
	}
	if (!xfer->has_note)
		return true;
	shut->notes |= !notes_reserve(peer, xfer->note_bytes);
	if (shut->notes) {
		shut->sends |= xfer->op == TCPX_OP_SEND;
		return false;
	}
	xfer->note_reserved = true;
	return true;
}

static void start(struct xfer *xfer)
{
	struct peer *peer = xfer->peer;
	int err;

	list_del(&xfer->link);
	xfer->wire_id = ++peer->last_wire_id;
	/* Before what may fail: the end of each that has an id takes it off. */
	if (xfer->op == TCPX_OP_SEND)
		peer->n_sends_out++;
	if (xfer->small && xfer->op == TCPX_OP_READ)
		peer->gets_out_bytes += xfer->total_bytes;
	peer->device_out += xfer_device_cost(xfer);
	err = u64map_put(&peer->started, xfer->wire_id, xfer);
	if (!err)
		err = xfer->small ? start_small(xfer) :
		      xfer->op == TCPX_OP_SEND ?
				    start_send(xfer, (struct msg_bytes){0}) :
				    start_request(xfer);
	if (err) {
		xfer_end(xfer, err, "its request could not be built");
		return;
	}
	trace(TRACE_STARTED, 0, xfer->wire_id);
	xfer->asked_seq = peer->ctl.tx_seq;
	/* From here on the note's share of the window travels with it. */
	if (xfer->op != TCPX_OP_READ)
		xfer->note_reserved = false;
}

bool xfer_pump(struct peer *peer)
{
	struct gates shut = {0};
	bool did = false;

	list_for_each_safe (node, &peer->posts) {
		struct xfer *xfer = list_entry(node, struct xfer, link);

		if (peer->ctl.unsent_bytes >= POSTS_HIGH_BYTES)
			break;
		if (shut.notes && xfer->has_note)
			continue;
		if (!may_start(xfer, &shut))
			continue;
		start(xfer);
		did = true;
	}
	return did;
}
