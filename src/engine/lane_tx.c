/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/lane_tx.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/trace.h"
#include "engine/checksum.h"
#include "engine/device.h"
#include "engine/engine.h"
#include "engine/peer.h"

/* Gathered chunks stay this short, so that the buffer stays in cache. */
#define GATHER_BYTES (256u * 1024)
/* Lanes share what is left of a transfer evenly: towards its end chunks become
 * this short, so that none is busy long after the others. Those of a device
 * cost more each. */
#define SHARE_BYTES (128u * 1024)
#define DEVICE_SHARE_BYTES (256u * 1024)
/* Chunks of host memory are so short for so long after a small transfer: who
 * is at a chunk, here or there, has no eyes for the next small one. Where few
 * CPUs do all, calls of the kernel of this length carry 0.6 of what those of
 * 512 KiB do, so not for ever. */
#define BESIDE_BYTES (128u * 1024)
#define BESIDE_NS (20 * NS_PER_MS)
/* Chunks of a device that a lane has cut and not given to the channel, at most:
 * one that is ready when the channel is, and one being gathered. */
#define GATHERS 2
/* And not sent, whatever is left of the transfer; at least, if something is.
 * Sent means taken by the other end where slots are lent, so this is what a long
 * way holds: between two GPUs of a host 4 were as good. */
#define DEPTH_MAX 6
#define DEPTH_MIN 2
/* The first chunk of a device that a lane cuts is so long, the next twice ... */
#define RAMP_BYTES (128u * 1024)
#define RAMP_STEPS 2
/* Then the next lane's turn comes, and the control connection's. */
#define CHUNKS_A_RUN 1
/* A transfer that no receiver knows: such a chunk falls there. */
#define NOBODY 0

static struct tx_record *tx_at(struct lane *lane, uint64_t k)
{
	return &lane->tx_ring[k % lane->window];
}

/* The chunk is in a slot or has left. Pairs with the load of who ends the
 * transfer. */
static void drop_hold(struct tx_record *rec)
{
	if (rec->stream && rec->holds)
		add_acq_rel(&rec->stream->n_busy, -1u);
	rec->holds = false;
}

static void release_record(struct tx_record *rec)
{
	drop_hold(rec);
	lane_drop_spans(rec->few, rec->spans);
	stream_put(rec->stream);
	rec->stream = NULL;
	rec->spans = NULL;
}

/* The other side has placed it. Peer's lock held. */
static void count_placed(const struct tx_record *rec)
{
	if (rec->stream)
		rec->stream->placed_bytes += rec->len_bytes;
}

/* Forgets what the other side has placed. Peer's lock held. */
static void drop_placed(struct lane *lane)
{
	while (lane->placed < lane->acked && lane->placed < lane->sent) {
		struct tx_record *rec = tx_at(lane, lane->placed++);

		count_placed(rec);
		release_record(rec);
	}
}

/* Flows that break and come back, and send the same again, are none. */
static void note_progress(const struct tx_record *rec)
{
	if (!rec->again)
		store_relaxed(&rec->stream->progress_ns, clock_coarse_ns());
}

static void on_sent(struct lane *lane, uint64_t k)
{
	struct tx_record *rec = tx_at(lane, k);

	lane_drop_spans(rec->few, rec->spans);
	rec->spans = NULL;
	if (rec->stream)
		note_progress(rec);
	drop_hold(rec);
	lane->sent = k + 1;
	trace(TRACE_SENT, lane->id, trace_chunk(k, rec->len_bytes));
}

/* What one chunk is made of, between taking and posting. */
struct cut {
	struct stream *stream;
	struct piece piece;
	struct segcursor from;
	uint32_t n_spans;
	void *slot;
	struct gpu *gpu; /* whose memory it is cut from */
	struct gpu_job *job;
	struct span spans[SPANS_A_CHUNK];
};

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* Short segments, and device memory: a slot to copy them to, later and without
 * the lock. */
static int cut_for_slot(struct lane *lane, struct cut *cut,
			struct segcursor *at, uint32_t max)
{
	int err = lane->via->ops->slot_get(lane->tx, cut->gpu, &cut->slot);

	if (err)
		return err;
	if (cut->gpu) {
		cut->job = gpu_job_get(cut->gpu);
		if (!cut->job) {
			lane->via->ops->slot_put(lane->tx, cut->slot);
			return TCPX_EAGAIN;
		}
	} else {
		max = least(max, GATHER_BYTES);
	}
	max = least(max, lane->via->limits.slot_bytes);
	cut->piece.len_bytes = least(cut->piece.len_bytes, max);
	cut->spans[0] = (struct span){cut->slot, cut->piece.len_bytes};
	cut->n_spans = 1;
	*at = seglist_seek(cut->stream->list,
			   cut->piece.pos + cut->piece.len_bytes);
	return 0;
}

/* Long ones: sent from where they are. */
static void cut_in_place(struct lane *lane, struct cut *cut,
			 struct segcursor *at, uint32_t max)
{
	cut->slot = NULL;
	cut->piece.len_bytes = (uint32_t)seglist_spans(
		cut->stream->list, at, least(cut->piece.len_bytes, max),
		cut->spans, least(lane->via->limits.spans_max, SPANS_A_CHUNK),
		&cut->n_spans);
}

/* How much of a stream is left for each of n lanes. */
static uint64_t share_of(const struct stream *stream, uint32_t n)
{
	return (stream->limit - stream->next) / n;
}

/*
 * Who takes half of its share at a time ends with the others. Of a device's
 * memory, many lanes take less: the way to the device is what they wait for,
 * each in turn, so that a first chunk of all of them must not be half of the
 * transfer; and then a lane has the time to spare that more chunks take.
 * Measured: 2 is best for 8 lanes, 4 for 12, 8 for 16.
 */
static uint32_t cuts_of_share(const struct stream *stream, uint32_t n)
{
	return stream->list->has_device && n > 8 ? n * n / 32 : 2;
}

static bool is_beside_small(const struct peer *peer)
{
	uint64_t small_ns = load_relaxed(&peer->small_ns);

	return small_ns && clock_coarse_ns() - small_ns < BESIDE_NS;
}

/* A device here or there has a launch to pay for each chunk, whatever its
 * length; bytes that only CPUs copy are better cut shorter. */
static uint32_t chunk_limit(const struct lane *lane,
			    const struct stream *stream)
{
	uint32_t max = least(lane->via->limits.chunk_bytes,
			     lane->peer->limits.chunk_bytes);

	if (stream->list->has_device || stream->to_device != WIRE_DEVICE_HOST)
		return max;
	if (is_beside_small(lane->peer))
		max = least(max, BESIDE_BYTES);
	return least(max, lane->peer->engine->params.host_chunk_bytes);
}

static uint32_t longest_chunk(const struct lane *lane,
			      const struct stream *stream)
{
	uint32_t least_bytes = stream->list->has_device ? DEVICE_SHARE_BYTES :
							  SHARE_BYTES;
	uint32_t max = chunk_limit(lane, stream);
	uint32_t n = choice_sharers(lane, stream);
	uint64_t share = share_of(stream, n) / cuts_of_share(stream, n) &
			 ~(uint64_t)4095;

	if (n < 2 || share >= max)
		return max;
	return share > least_bytes ? (uint32_t)share : least(max, least_bytes);
}

/* Gathering goes on while an earlier chunk is being sent, but what one lane has
 * taken no other can send. */
static bool is_deep_enough(const struct lane *lane, const struct stream *stream,
			   uint32_t chunk_bytes)
{
	uint64_t share =
		share_of(stream, choice_sharers(lane, stream)) / chunk_bytes;
	uint64_t taken = lane->next - lane->sent;

	return lane->next - lane->given >= GATHERS || taken >= DEPTH_MAX ||
	       (taken >= DEPTH_MIN && taken >= share);
}

/* The first ones are short: then all lanes have something to send soon. */
static uint32_t ramp(const struct lane *lane, uint32_t max)
{
	uint32_t n = lane->next == lane->sent ? 0 : lane->in_a_row;

	return n < RAMP_STEPS ? least(max, RAMP_BYTES << n) : max;
}

/* The next whose bytes this lane may take. Peer's lock held. */
static struct stream *pick_stream(struct lane *lane)
{
	list_for_each (node, &lane->peer->sending) {
		struct stream *stream = list_entry(node, struct stream, link);

		if (choice_allows(lane, stream))
			return stream;
	}
	return NULL;
}

/* Where its memory changes, the next chunk may be for others. */
static void pass_on(struct lane *lane, struct stream *stream)
{
	if (lane->peer->choosy && !choice_allows(lane, stream))
		peer_offer(lane->peer, stream);
}

/*
 * Cuts the next chunk from the streams of the peer, by turns, and makes its
 * record. Peer's lock held.
 */
static bool cut_chunk(struct lane *lane, struct cut *cut)
{
	struct peer *peer = lane->peer;
	struct tx_record *rec = tx_at(lane, lane->next);
	struct segcursor at;

	struct stream *stream = pick_stream(lane);

	if (!stream) {
		lane->idle = true;
		return false;
	}
	uint32_t max = longest_chunk(lane, stream);

	cut->stream = stream;
	cut->piece = stream_peek(stream, &at);
	cut->from = at;
	cut->gpu = device_at(stream->list, at);
	cut->job = NULL;
	/* It may have lost slots and jobs for good: they are not waited for. */
	if (cut->gpu && gpu_status(cut->gpu)) {
		char cause[128];

		device_say(cut->gpu, "gather the bytes", cause, sizeof(cause));
		lane->starved = true; /* others may have bytes */
		stream->ended(stream, TCPX_EGPU, cause);
		return false;
	}
	if (cut->gpu) {
		max = ramp(lane, max);
		if (is_deep_enough(lane, stream, max))
			return false;
	}
	if (stream->list->has_device)
		max = device_run(stream->list, at, max);
	if (!cut->gpu && !(lane->via->caps & TRANSPORT_SLOTS_ONLY) &&
	    !(stream->copy && lane->via->caps & TRANSPORT_SLOTS)) {
		cut_in_place(lane, cut, &at, max);
	} else if (cut_for_slot(lane, cut, &at, max)) {
		lane->starved = true;
		return false;
	}
	rec->spans = lane_keep_spans(rec->few, cut->spans, cut->n_spans);
	if (!rec->spans) {
		if (cut->slot)
			lane->via->ops->slot_put(lane->tx, cut->slot);
		if (cut->job)
			gpu_job_put(cut->job);
		stream->ended(stream, TCPX_ENOMEM, "no memory for a chunk");
		return false;
	}
	rec->again = stream->n_again > 0;
	stream_take(stream, cut->piece.len_bytes, at);
	if (stream_has_bytes(stream)) {
		list_move_tail(&peer->sending, &stream->link);
		pass_on(lane, stream);
	} else {
		list_del(&stream->link);
	}
	add_relaxed(&stream->n_busy, 1);
	rec->stream = stream_get(stream);
	rec->pos = cut->piece.pos;
	rec->len_bytes = cut->piece.len_bytes;
	rec->n_spans = cut->n_spans;
	rec->slot = cut->slot != NULL;
	rec->on_gpu = cut->gpu && lane->slots_gpu;
	rec->job = cut->job;
	rec->holds = true;
	lane->in_a_row = lane->next == lane->sent ? 1 : lane->in_a_row + 1;
	trace(TRACE_CUT, lane->id, trace_chunk(lane->next, rec->len_bytes));
	lane->next++;
	return true;
}

static void tell_descriptor(struct lane *lane, const struct chunk_desc *desc)
{
	struct msg_chunk msg = {.channel = lane->id,
				.generation = lane->generation,
				.desc = *desc};
	struct wire_writer w;

	pthread_mutex_lock(&lane->peer->lock);
	if (ctl_begin_or_doom(lane->peer, MSG_CHUNK, CHUNK_DESC_BYTES + 16,
			      &w)) {
		msg_chunk_encode(&w, &msg);
		ctl_end(lane->peer, &w);
	}
	pthread_mutex_unlock(&lane->peer->lock);
	peer_wake(lane->peer);
}

/* The chunk just cut: its bytes go into the slot, if it has one. Returns 0, or
 * a status that fails the lane. */
static int fill_slot(struct lane *lane, struct cut *cut)
{
	struct tx_record *rec = tx_at(lane, lane->next - 1);
	struct stream *stream = cut->stream;

	if (!cut->slot)
		return 0;
	if (!cut->job) {
		seglist_gather(stream->list, &cut->from, cut->slot,
			       rec->len_bytes);
		return 0;
	}
	if (device_gather(stream->list, cut->from, cut->slot, rec->len_bytes,
			  cut->job))
		return TCPX_EINTERNAL;
	device_submitted(&lane->flush, cut->gpu);
	lane->n_jobs++;
	return 0;
}

/* Slots that the CPU cannot reach are all that such a channel can send. */
static bool may_forsake(const struct lane *lane, const struct tx_record *rec)
{
	return !(lane->via->caps & TRANSPORT_SLOTS_ONLY) &&
	       stream_is_forsaken(rec->stream);
}

/* The gather may begin or go on at any time: its slot is not sent. */
static void forsake(struct lane *lane, struct tx_record *rec)
{
	gpu_job_abandon(rec->job);
	lane->via->ops->slot_put(lane->tx, rec->spans[0].base);
	rec->slot = false;
}

/* Its transfer is over. unsent: the other side cannot have all of the chunk.
 */
static void let_go(struct tx_record *rec, bool unsent)
{
	if (unsent)
		store_relaxed(&rec->stream->unsent, 1);
	drop_hold(rec);
	stream_put(rec->stream);
	rec->stream = NULL;
}

static void gather_failed(struct lane *lane, const struct tx_record *rec)
{
	char cause[128];

	device_say_failed(rec->stream->list, rec->pos, rec->len_bytes,
			  "gather the bytes", cause, sizeof(cause));
	(void)lane_end_stream(lane, rec->stream, TCPX_EGPU, cause);
}

/* Has the GPU gathered it? Lets go of a transfer that is over meanwhile. */
static bool gathered(struct lane *lane, struct tx_record *rec)
{
	if (!rec->job)
		return true;
	int status = gpu_job_poll(rec->job);

	if (status != TCPX_INPROGRESS)
		gpu_job_put(rec->job);
	else if (may_forsake(lane, rec))
		forsake(lane, rec);
	else
		return false;
	rec->job = NULL;
	lane->n_jobs--;
	trace(TRACE_GATHERED, lane->id,
	      trace_chunk(lane->given, rec->len_bytes));
	if (status)
		gather_failed(lane, rec);
	if (load_acquire(&rec->stream->dead)) {
		let_go(rec, true);
		peer_wake(lane->peer); /* who waits for it may end now */
	}
	return true;
}

/* Its transfer is over: the channel's next chunk all the same, but a short one
 * that falls over there, of memory that is nobody's. */
static void make_nobodys(struct tx_record *rec)
{
	static uint8_t nothing[8];

	if (!rec->slot)
		rec->spans[0].base = nothing;
	if (!rec->slot || rec->len_bytes > sizeof(nothing))
		rec->spans[0].len_bytes = rec->len_bytes = sizeof(nothing);
	rec->n_spans = 1;
}

/* Returns 0, or a status that fails the lane. */
static int post_chunk(struct lane *lane, struct tx_record *rec)
{
	struct stream *stream = rec->stream;

	if (!stream)
		make_nobodys(rec);
	struct chunk_desc desc = {
		.seq = lane->given,
		.xfer = stream ? stream->wire_id : NOBODY,
		.pos = rec->pos,
		.len_bytes = rec->len_bytes,
		.flags = stream && stream->reply ? CHUNK_REPLY : 0,
	};

	if (lane->peer->limits.features & FEATURE_CHECKSUM && !rec->on_gpu) {
		desc.flags |= CHUNK_CHECKSUM;
		desc.checksum = checksum_spans(rec->spans, rec->n_spans);
	}
	if (stream)
		note_progress(rec);
	int err = lane->via->ops->post_send(lane->tx, &desc, rec->spans,
					    rec->n_spans, desc.seq);

	if (err)
		return err;
	lane->given++;
	if (rec->slot)
		drop_hold(rec);
	if (!(lane->via->caps & TRANSPORT_DESC_INLINE))
		tell_descriptor(lane, &desc);
	add_relaxed(&lane->tx_bytes, desc.len_bytes);
	add_relaxed(&lane->tx_chunks, 1);
	return 0;
}

/* Gives the channel, in order, what is complete; of a device one, for sending
 * takes long, and its GPU is to have the next ones meanwhile. */
static int give(struct lane *lane, bool *did)
{
	while (lane->given < lane->next) {
		struct tx_record *rec = tx_at(lane, lane->given);
		bool by_gpu = rec->job != NULL;

		if (!gathered(lane, rec))
			break;
		int err = post_chunk(lane, rec);

		if (err)
			return err;
		*did = true;
		if (by_gpu)
			break;
	}
	return 0;
}

/* Gives the channel as much as credits and the transport allow. Returns 0 or
 * a status that fails the lane. */
static int cut_some(struct lane *lane, bool *did)
{
	struct peer *peer = lane->peer;
	struct cut cut;
	int err = 0;

	for (int taken = 0; !err && taken < CHUNKS_A_RUN; taken++) {
		if (taken && context_is_wanted(lane->ctx))
			break;
		if (lane->next - lane->sent >= lane->via->limits.sends_max)
			break;
		pthread_mutex_lock(&peer->lock);
		drop_placed(lane);
		bool room = lane->next < lane->granted &&
			    lane->next - lane->placed < lane->window;
		bool cut_one = room && cut_chunk(lane, &cut);

		if (!room && !list_empty(&peer->sending)) {
			add_relaxed(&lane->stalls, 1);
			peer_wake_after(peer, lane);
		}
		if (!room)
			lane->idle = true; /* a credit wakes it */
		pthread_mutex_unlock(&peer->lock);
		if (!cut_one)
			break;
		err = fill_slot(lane, &cut);
		if (!err && !cut.job)
			err = give(lane, did);
		*did = true;
	}
	return err;
}

/* The GPU begins with what was cut just now, then what it has ready is given:
 * sending takes long. */
static int fill(struct lane *lane, bool *did)
{
	int err = cut_some(lane, did);

	device_flush(&lane->flush);
	return err ? err : give(lane, did);
}

void lane_tx_begin(struct lane *lane)
{
	bool did;

	if (lane->state != LANE_OPEN || !lane->tx)
		return;
	int err = cut_some(lane, &did);

	device_flush(&lane->flush);
	if (err)
		lane_fail(lane, err, "the transport refused a chunk");
}

static bool harvest(struct lane *lane)
{
	struct channel_event events[TRANSPORT_EVENTS_MAX];
	int n = lane->via->ops->poll(lane->tx, events, TRANSPORT_EVENTS_MAX);

	for (int i = 0; i < n; i++) {
		if (events[i].kind == CHANNEL_SENT) {
			on_sent(lane, events[i].cookie);
		} else if (events[i].kind == CHANNEL_FAULT) {
			lane_fault(lane, tx_at(lane, events[i].cookie)->stream,
				   "its memory cannot be read");
		} else if (events[i].kind == CHANNEL_FAILED) {
			lane_fail(lane, events[i].status, events[i].cause);
			return true;
		}
	}
	return n > 0;
}

bool lane_tx_run(struct lane *lane)
{
	/* One that has nothing under way is looked at all the same, if nothing
	 * else would show that it is dead. */
	bool did = (lane->given > lane->sent || !lane->rx) && harvest(lane);

	if (lane->state != LANE_OPEN)
		return true;
	bool posted = false;
	int err = fill(lane, &posted);

	/* A channel that has just died refuses; its poll says why. */
	if (err == TCPX_EAGAIN)
		harvest(lane);
	if (err) {
		lane_fail(lane, err, "the transport refused a chunk");
		return true;
	}
	if (posted)
		did |= harvest(lane);
	return did | posted;
}

void lane_tx_sweep(struct lane *lane)
{
	for (uint64_t k = lane->sent; k < lane->next; k++) {
		struct tx_record *rec = tx_at(lane, k);
		bool unsent = true;

		/* A running gather is waited for: see gathered(). */
		if (!rec->stream || rec->job ||
		    !load_acquire(&rec->stream->dead))
			continue;
		if (k < lane->given)
			unsent = lane->via->ops->abandon(lane->tx, k);
		let_go(rec, unsent);
	}
}

void lane_tx_close(struct lane *lane)
{
	for (uint64_t k = lane->sent; k < lane->next; k++)
		if (tx_at(lane, k)->stream || tx_at(lane, k)->spans)
			on_sent(lane, k);
	lane->sent = lane->given = lane->next;
}

bool lane_tx_drain(struct lane *lane)
{
	bool drained = true;

	for (uint64_t k = lane->given; k < lane->next; k++)
		drained &= gathered(lane, tx_at(lane, k));
	return drained;
}

bool lane_tx_ready(const struct lane *lane)
{
	if (lane->given == lane->next)
		return false;
	const struct tx_record *rec =
		&lane->tx_ring[lane->given % lane->window];

	return !rec->job || gpu_job_poll(rec->job) != TCPX_INPROGRESS ||
	       may_forsake(lane, rec);
}

void lane_tx_requeue(struct lane *lane)
{
	struct peer *peer = lane->peer;

	for (uint64_t k = lane->placed; k < lane->next; k++) {
		struct tx_record *rec = tx_at(lane, k);
		struct stream *stream = rec->stream;

		if (k < lane->fence_placed)
			count_placed(rec);
		if (stream && k >= lane->fence_placed &&
		    !load_relaxed(&stream->dead)) {
			struct piece piece = {rec->pos, rec->len_bytes};

			if (stream_again(stream, piece))
				stream->ended(stream, TCPX_ENOMEM,
					      "no memory to repeat a chunk");
			else if (list_empty(&stream->link))
				list_add_tail(&peer->sending, &stream->link);
			add_relaxed(&lane->resent_chunks, 1);
		}
		release_record(rec);
	}
	lane->placed = lane->next;
}

void lane_tx_free(struct lane *lane)
{
	if (!lane->tx_ring)
		return;
	for (uint64_t k = lane->placed; k < lane->next; k++)
		release_record(tx_at(lane, k));
	lane->placed = lane->sent = lane->next;
	free(lane->tx_ring);
	lane->tx_ring = NULL;
}
