/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/lane_rx.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/trace.h"
#include "engine/checksum.h"
#include "engine/device.h"
#include "engine/engine.h"
#include "engine/peer.h"

/* A pass reads at most this many chunks of a lane, so that the control
 * connection, and who wants the context, never waits for long. */
#define CHUNKS_A_PASS 1

static struct rx_record *rx_at(struct lane *lane, uint64_t k)
{
	return &lane->rx_ring[k % lane->window];
}

static void release_record(struct rx_record *rec)
{
	if (rec->stream)
		add_acq_rel(&rec->stream->n_busy, -1u);
	stream_put(rec->stream);
	lane_drop_spans(rec->few, rec->spans);
	rec->stream = NULL;
	rec->spans = NULL;
	rec->base = NULL;
	rec->announced = rec->bound = rec->arrived = rec->placed = false;
	rec->lent = rec->counted = rec->is_placing = false;
}

/* ---- credits ---------------------------------------------------------- */

static int post_receives(struct lane *lane)
{
	while (lane->posted - lane->consumed < lane->window) {
		int err = lane->via->ops->post_recv(lane->rx, lane->posted);

		if (err == TCPX_EAGAIN)
			return 0;
		if (err)
			return err;
		lane->posted++;
	}
	return 0;
}

static void grant(struct lane *lane)
{
	struct msg_credit msg = {.channel = lane->id,
				 .generation = lane->generation,
				 .granted = lane->posted,
				 .placed = lane->consumed};
	struct wire_writer w;

	pthread_mutex_lock(&lane->peer->lock);
	if (!ctl_begin(lane->peer, MSG_CREDIT, 64, &w)) {
		msg_credit_encode(&w, &msg);
		ctl_end(lane->peer, &w);
		lane->credited = lane->posted;
	} else {
		lane->starved = true; /* still due in the next pass */
	}
	pthread_mutex_unlock(&lane->peer->lock);
	peer_wake(lane->peer);
}

int lane_rx_start(struct lane *lane)
{
	int err = post_receives(lane);

	if (!err)
		grant(lane);
	return err;
}

/* ---- binding ---------------------------------------------------------- */

/*
 * The stream a chunk belongs to, pinned, with *late false; or NULL: one that
 * is over (let it fall), or, *late true, one we have not been told of yet.
 * Peer's lock held. Returns 0 or TCPX_EPROTO.
 */
static int find_stream(struct lane *lane, const struct chunk_desc *desc,
		       struct stream **found, bool *late)
{
	struct peer *peer = lane->peer;
	struct stream *stream =
		peer_rx_stream(peer, desc->xfer, desc->flags & CHUNK_REPLY);

	*found = NULL;
	*late = false;
	if (!stream) {
		*late = !(desc->flags & CHUNK_REPLY) &&
			desc->xfer > peer->seen_wire_id;
		return 0;
	}
	if (desc->pos + desc->len_bytes > stream->total_bytes)
		return TCPX_EPROTO;
	if (load_relaxed(&stream->dead))
		return 0;
	if (desc->pos + desc->len_bytes > stream->list->total_bytes) {
		*late = true;
		return 0;
	}
	*found = stream_get(stream);
	add_relaxed(&stream->n_busy, 1);
	return 0;
}

/* Where an in-place transport is to put the chunk: spans, or none (memory of
 * its own, which *gpu can reach). */
static uint32_t place_spans(struct lane *lane, struct rx_record *rec,
			    struct gpu **gpu)
{
	uint32_t max = lane->via->limits.spans_max;
	struct stream *stream = rec->stream;
	struct span spans[SPANS_A_CHUNK];
	uint32_t n = 0;

	if (stream)
		*gpu = device_within(stream->list, rec->desc.pos,
				     rec->desc.len_bytes);
	if (!stream || *gpu ||
	    (stream->copy && lane->via->caps & TRANSPORT_FRAGMENTS))
		return 0;
	struct segcursor at = seglist_seek(stream->list, rec->desc.pos);

	if (seglist_spans(stream->list, &at, rec->desc.len_bytes, spans,
			  max < SPANS_A_CHUNK ? max : SPANS_A_CHUNK,
			  &n) < rec->desc.len_bytes)
		return 0;
	rec->spans = lane_keep_spans(rec->few, spans, n);
	return rec->spans ? n : 0;
}

/* Looks the next announced chunk's stream up and binds it where the
 * transport wants that. TCPX_EAGAIN: not now. */
static int bind_next(struct lane *lane)
{
	struct rx_record *rec = rx_at(lane, lane->bound);
	struct peer *peer = lane->peer;
	struct gpu *gpu = NULL;
	char cause[128];
	bool late;

	pthread_mutex_lock(&peer->lock);
	int err = find_stream(lane, &rec->desc, &rec->stream, &late);

	lane->stalled = late;
	uint32_t n = err || late ? 0 : place_spans(lane, rec, &gpu);

	pthread_mutex_unlock(&peer->lock);
	if (err)
		return err;
	if (late)
		return TCPX_EAGAIN;
	if (lane->via->caps & TRANSPORT_IN_PLACE)
		err = lane->via->ops->bind(lane->rx, lane->bound, rec->spans, n,
					   rec->desc.len_bytes, gpu);
	/* A GPU that has failed may have lost slots for good. */
	if (err == TCPX_EAGAIN && gpu && gpu_status(gpu)) {
		device_say(gpu, "place the bytes", cause, sizeof(cause));
		lane_end_stream(lane, rec->stream, TCPX_EGPU, cause);
	}
	if (err) {
		if (rec->stream)
			add_acq_rel(&rec->stream->n_busy, -1u);
		stream_put(rec->stream);
		lane_drop_spans(rec->few, rec->spans);
		rec->stream = NULL;
		rec->spans = NULL;
		lane->starved |= err == TCPX_EAGAIN;
		return err;
	}
	rec->bound = true;
	trace(TRACE_BOUND, lane->id,
	      trace_chunk(lane->bound, rec->desc.len_bytes));
	lane->bound++;
	return 0;
}

static int announce(struct lane *lane, const struct chunk_desc *desc)
{
	if (desc->seq != lane->announced ||
	    lane->announced - lane->consumed >= lane->window)
		return TCPX_EPROTO;
	struct rx_record *rec = rx_at(lane, lane->announced);

	rec->desc = *desc;
	rec->announced = true;
	lane->announced++;
	return 0;
}

int lane_announce(struct lane *lane, const struct chunk_desc *desc)
{
	if (lane->state != LANE_OPEN)
		return 0;
	if (lane->via->caps & TRANSPORT_DESC_INLINE || !lane->rx)
		return TCPX_EPROTO;
	return announce(lane, desc);
}

/* ---- placing ---------------------------------------------------------- */

/* Fragments are checked here once more than the transport must: inside the
 * chunk, and covering it in sum. */
static int check_fragments(const struct rx_record *rec)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < rec->n_fragments; i++) {
		const struct transport_fragment *f = &rec->fragments[i];

		if (f->dst_off > rec->desc.len_bytes ||
		    f->len_bytes > rec->desc.len_bytes - f->dst_off)
			return TCPX_EPROTO;
		sum += f->len_bytes;
	}
	return sum == rec->desc.len_bytes ? 0 : TCPX_EPROTO;
}

static void scatter(const struct rx_record *rec)
{
	for (uint32_t i = 0; i < rec->n_fragments; i++) {
		const struct transport_fragment *f = &rec->fragments[i];
		struct segcursor at = seglist_seek(rec->stream->list,
						   rec->desc.pos + f->dst_off);

		seglist_scatter(rec->stream->list, &at, rec->base + f->src_off,
				f->len_bytes);
	}
}

/* Where the CPU can see the bytes once more. */
static bool checksum_right(const struct lane *lane, const struct rx_record *rec)
{
	if (!(rec->desc.flags & CHUNK_CHECKSUM) || !rec->stream)
		return true;
	if (!rec->is_placing)
		return checksum_list(rec->stream->list, rec->desc.pos,
				     rec->desc.len_bytes) == rec->desc.checksum;
	if (rec->n_fragments != 1 || lane->pages_gpu)
		return true; /* pages of a device: TCP's has to do */
	struct span whole = {
		(void *)(uintptr_t)(rec->base + rec->fragments[0].src_off),
		rec->desc.len_bytes};

	return checksum_spans(&whole, 1) == rec->desc.checksum;
}

/* The bytes are where they belong: tell the stream. */
static void count_placed(struct lane *lane, struct rx_record *rec, int status)
{
	struct stream *stream = rec->stream;
	char cause[128];

	rec->counted = true;
	add_relaxed(&lane->rx_bytes, rec->desc.len_bytes);
	add_relaxed(&lane->rx_chunks, 1);
	if (!stream)
		return;
	pthread_mutex_lock(&lane->peer->lock);
	add_acq_rel(&stream->n_busy, -1u);
	if (!load_relaxed(&stream->dead)) {
		lane->peer->came_ns = clock_coarse_ns();
		store_relaxed(&stream->progress_ns, lane->peer->came_ns);
		stream->placed_bytes += rec->desc.len_bytes;
		if (status) {
			device_say_failed(stream->list, rec->desc.pos,
					  rec->desc.len_bytes,
					  "place the bytes", cause,
					  sizeof(cause));
			stream->ended(stream, status, cause);
		} else if (!rec->right)
			stream->ended(stream, TCPX_ECHECKSUM,
				      "a chunk came with a wrong checksum");
		else if (stream->placed_bytes == stream->total_bytes)
			stream->ended(stream, 0, "");
	}
	pthread_mutex_unlock(&lane->peer->lock);
	stream_put(stream);
	rec->stream = NULL;
}

static bool is_dead(const struct rx_record *rec)
{
	return !rec->stream || load_acquire(&rec->stream->dead);
}

/* Its copy has ended. Whether a lent one is right is not known yet; who waits
 * for the end of a dead one does not wait for that. */
static void set_placed(struct lane *lane, struct rx_record *rec, int status)
{
	rec->placed = true;
	if (!rec->lent || is_dead(rec))
		count_placed(lane, rec, status);
}

/* Starts or goes on with what the GPUs do for it. list NULL: starts nothing. */
static int run_placing(struct lane *lane, struct rx_record *rec,
		       const struct seglist *list)
{
	struct arrived arrived = {rec->base, rec->fragments, rec->n_fragments,
				  lane->pages_gpu,
				  lane->peer->engine->params.through_host};

	return placing_run(&rec->placing, list, rec->desc.pos, &arrived,
			   &lane->flush);
}

static void begin_placing(struct lane *lane, struct rx_record *rec)
{
	rec->is_placing = true;
	trace(TRACE_PLACING, lane->id,
	      trace_chunk(rec->desc.seq, rec->desc.len_bytes));
	rec->placing = (struct placing){0};
	rec->right = checksum_right(lane, rec);
	lane->n_jobs++;
	(void)run_placing(lane, rec, rec->stream->list);
}

/* Pages of a device's memory are the network card's again once consumed. */
static bool may_forsake(const struct lane *lane, const struct rx_record *rec)
{
	return !lane->pages_gpu && rec->stream &&
	       stream_is_forsaken(rec->stream);
}

static int go_on_placing(struct lane *lane, struct rx_record *rec)
{
	bool dead = is_dead(rec);
	int status = run_placing(lane, rec, dead ? NULL : rec->stream->list);

	if (status == TCPX_INPROGRESS) {
		if (!may_forsake(lane, rec))
			return status;
		placing_abandon(&rec->placing,
				&(struct arrived){.gpu = lane->pages_gpu});
	}
	lane->n_jobs--;
	trace(TRACE_PLACED, lane->id,
	      trace_chunk(rec->desc.seq, rec->desc.len_bytes));
	set_placed(lane, rec, status);
	if (dead)
		peer_wake(lane->peer); /* who waits for it may end now */
	return 0;
}

static bool needs_device(const struct lane *lane, const struct rx_record *rec)
{
	if (!rec->base || is_dead(rec))
		return false;
	return lane->pages_gpu ||
	       device_within(rec->stream->list, rec->desc.pos,
			     rec->desc.len_bytes);
}

/* The next arrived chunk, in order: a chunk counts when those before it do. */
static int place(struct lane *lane, struct rx_record *rec)
{
	int err = rec->base && !rec->is_placing ? check_fragments(rec) : 0;

	if (err)
		return err;
	if (!rec->is_placing && needs_device(lane, rec))
		begin_placing(lane, rec);
	if (rec->is_placing)
		return go_on_placing(lane, rec);
	bool dead = is_dead(rec);

	if (rec->base && !dead)
		scatter(rec);
	rec->right = dead || checksum_right(lane, rec);
	set_placed(lane, rec, 0);
	return 0;
}

/* Gives back, in order, what has been placed. */
static int consume(struct lane *lane)
{
	while (lane->returned < lane->bound &&
	       rx_at(lane, lane->returned)->placed) {
		struct rx_record *rec = rx_at(lane, lane->returned);
		int err = lane->via->ops->consume(lane->rx, lane->returned);

		if (err)
			return err;
		lane->returned++;
		if (rec->lent)
			continue; /* on_consumed() */
		release_record(rec);
		lane->consumed++;
	}
	return 0;
}

/* The oldest that was given back had been held until then: what was copied is
 * right. */
static int on_consumed(struct lane *lane, uint64_t cookie)
{
	struct rx_record *rec = rx_at(lane, lane->consumed);

	if (lane->consumed == lane->returned || cookie != lane->consumed)
		return TCPX_EINTERNAL;
	if (!rec->counted)
		count_placed(lane, rec,
			     rec->is_placing ? rec->placing.status : 0);
	release_record(rec);
	lane->consumed++;
	return 0;
}

/* ---- the round -------------------------------------------------------- */

static int on_event(struct lane *lane, const struct channel_event *event)
{
	struct rx_record *rec;

	switch (event->kind) {
	case CHANNEL_ANNOUNCED:
		return announce(lane, &event->desc);
	case CHANNEL_ARRIVED:
		rec = rx_at(lane, event->cookie);
		rec->arrived = true;
		trace(TRACE_ARRIVED, lane->id,
		      trace_chunk(event->cookie, rec->desc.len_bytes));
		lane->arrived++;
		rec->base = event->base;
		rec->fragments = event->fragments;
		rec->n_fragments = event->n_fragments;
		rec->lent = event->lent;
		return 0;
	case CHANNEL_CONSUMED:
		return on_consumed(lane, event->cookie);
	case CHANNEL_FAULT:
		lane_fault(lane, rx_at(lane, event->cookie)->stream,
			   "its memory cannot be written");
		return 0;
	case CHANNEL_FAILED:
		lane_fail(lane, event->status, event->cause);
		return 0;
	default:
		return TCPX_EINTERNAL;
	}
}

/* Behind one that a GPU is busy with: theirs may start, too. */
static void start_others(struct lane *lane, uint64_t k)
{
	for (; k < lane->bound; k++) {
		struct rx_record *rec = rx_at(lane, k);

		if (rec->is_placing)
			continue;
		if (!rec->arrived || !needs_device(lane, rec) ||
		    check_fragments(rec))
			return;
		begin_placing(lane, rec);
	}
}

/* Binds and places all that can be; whether anything was. */
static int advance(struct lane *lane, bool *did)
{
	int err = 0;

	while (lane->bound < lane->announced && !(err = bind_next(lane)))
		*did = true;
	if (err && err != TCPX_EAGAIN)
		return err;
	for (uint64_t k = lane->returned; k < lane->bound; k++) {
		struct rx_record *rec = rx_at(lane, k);

		if (!rec->arrived || rec->placed)
			continue;
		err = place(lane, rec);
		if (err == TCPX_INPROGRESS) {
			start_others(lane, k + 1);
			break;
		}
		if (err)
			return err;
		*did = true;
	}
	return consume(lane);
}

static bool is_credit_due(const struct lane *lane)
{
	return lane->posted - lane->credited >= (lane->window + 3) / 4;
}

static void keep_credits(struct lane *lane, int *err)
{
	*err = post_receives(lane);
	if (!*err && is_credit_due(lane))
		grant(lane);
}

bool lane_rx_run(struct lane *lane)
{
	uint64_t until = lane->arrived + CHUNKS_A_PASS;
	struct channel_event events[TRANSPORT_EVENTS_MAX];
	bool any = false, did;
	int err = 0;

	do {
		int n = lane->via->ops->poll(lane->rx, events,
					     TRANSPORT_EVENTS_MAX);

		did = n > 0;
		for (int i = 0; i < n && !err; i++)
			err = on_event(lane, &events[i]);
		if (lane->state != LANE_OPEN)
			return true;
		if (!err)
			err = advance(lane, &did);
		any |= did;
	} while (did && !err && lane->arrived < until);
	if (!err && (any || is_credit_due(lane)))
		keep_credits(lane, &err);
	if (err)
		lane_fail(lane, err,
			  "a chunk's descriptor does not fit its transfer");
	return any;
}

bool lane_rx_pending(const struct lane *lane)
{
	return lane->announced > lane->consumed;
}

bool lane_rx_ready(const struct lane *lane)
{
	const struct rx_record *rec =
		&lane->rx_ring[lane->returned % lane->window];

	if (lane->returned == lane->bound || !rec->is_placing)
		return false;
	return !rec->placing.n_jobs ||
	       gpu_job_poll(rec->placing.jobs[0]) != TCPX_INPROGRESS ||
	       may_forsake(lane, rec);
}

/* ---- ends ------------------------------------------------------------- */

bool lane_rx_drain(struct lane *lane)
{
	bool drained = true, in_order = true;

	for (uint64_t k = lane->consumed; k < lane->bound; k++) {
		struct rx_record *rec = rx_at(lane, k);

		if (!rec->placed && rec->is_placing) {
			/* Its bytes are in a slot, on the first of two ways. */
			bool half = rec->placing.slot &&
				    !rec->placing.from_slot;
			int status = run_placing(lane, rec, NULL);

			if (status == TCPX_INPROGRESS) {
				drained = in_order = false;
				continue;
			}
			if (half)
				rec->placing.fragment = 0;
			if (!in_order ||
			    rec->placing.fragment < rec->n_fragments) {
				in_order = false;
				continue;
			}
			set_placed(lane, rec, status);
		}
		in_order &= rec->counted;
	}
	return drained;
}

void lane_rx_sweep(struct lane *lane)
{
	for (uint64_t k = lane->consumed; k < lane->bound; k++) {
		struct rx_record *rec = rx_at(lane, k);

		/* Running GPU jobs are waited for: see go_on_placing(). */
		if (!rec->stream || (rec->is_placing && !rec->placed) ||
		    !load_acquire(&rec->stream->dead))
			continue;
		if (!rec->arrived)
			lane->via->ops->abandon(lane->rx, k);
		add_acq_rel(&rec->stream->n_busy, -1u);
		stream_put(rec->stream);
		rec->stream = NULL;
	}
}

void lane_rx_close(struct lane *lane)
{
	/* What is counted the fence must name, or it would be sent and counted
	 * again; what may be wrong it must not. */
	while (lane->consumed < lane->bound &&
	       rx_at(lane, lane->consumed)->counted)
		release_record(rx_at(lane, lane->consumed++));
	for (uint64_t k = lane->consumed; k < lane->announced; k++)
		release_record(rx_at(lane, k));
	lane->returned = lane->bound = lane->announced = lane->consumed;
}

void lane_rx_free(struct lane *lane)
{
	free(lane->rx_ring);
	lane->rx_ring = NULL;
}
