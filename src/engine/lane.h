/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_LANE_H
#define ENGINE_LANE_H

/*
 * A lane: a transport's sender and receiver channel to a peer over one rail
 * (or one of the two), with its window, its generation, and the records of
 * the chunks under way.
 *
 *   sending     placed <= sent <= given <= next <= granted (credits), all in
 *               chunks; ring[given..next): cut, being gathered by a GPU
 *               ring[placed..next): what was sent and not yet placed there;
 *               if the lane dies, the receiver says how many were placed and
 *               the rest is sent again over other lanes
 *   receiving   consumed <= returned <= bound <= announced <= posted;
 *               ring[consumed..returned): lent by the transport, copied and
 *               given back, but not known to be right yet; if the lane dies,
 *               they are lost. Others are consumed as soon as returned
 *
 * All of it is the owner's of lane->ctx; the peer's lock covers what control
 * messages change (granted, acked, fence) and `idle`.
 */

#include "base/list.h"
#include "engine/context.h"
#include "engine/device.h"
#include "engine/stream.h"
#include "transport/transport.h"

struct peer;
struct engine_transport;
struct msg_channel;
struct msg_credit;

#define SPANS_FEW 4	/* so many need no allocation */
#define SPANS_A_CHUNK 512 /* at most, whatever the transport could take */

struct tx_record {
	struct stream *stream;	/* one reference; NULL: swept */
	uint64_t pos;
	uint32_t len_bytes;
	uint32_t n_spans;
	bool holds;		/* memory of the transfer's: counts in n_busy */
	bool again;		/* another lane has had it: no progress */
	bool on_gpu;		/* the slot: the CPU cannot read it */
	bool slot;		/* spans[0] is a slot of the transport's */
	struct gpu_job *job;	/* gathers it, until it is given */
	struct span *spans;	/* until SENT: few, or allocated */
	struct span few[SPANS_FEW];
};

struct rx_record {
	struct chunk_desc desc;
	struct stream *stream;	/* one reference; NULL: let it fall */
	struct span *spans;	/* until ARRIVED, in place: few, or allocated */
	struct span few[SPANS_FEW];
	const uint8_t *base;	/* of an arrived one, if not in place */
	const struct transport_fragment *fragments;
	uint32_t n_fragments;
	bool announced, bound, arrived;
	bool placed;		/* nothing touches its memory any more */
	bool lent;		/* its bytes are sure only when CONSUMED */
	bool counted;		/* placed, and sure; or nobody waits for it */
	bool right;		/* its checksum, where one was made */
	bool is_placing;	/* by GPU jobs: */
	struct placing placing;
};

enum lane_state {
	LANE_OPEN = 1,
	LANE_DRAINING,	/* failed; waits for the GPU to let go of its slots */
	LANE_DEAD,	/* channels closed; waits for the fence of its sends */
	LANE_OVER,	/* may be freed */
};

struct lane {
	struct list link;	/* peer->dead_lanes */
	struct peer *peer;
	struct context *ctx;
	struct engine_transport *via;
	uint32_t id, rail, generation;
	bool sends, receives;	/* has tx, has rx; when they are closed, too */
	bool waits;		/* its channels have an fd to sleep on */
	enum lane_state state;	/* written by the owner, under the lock */
	struct source source;
	struct pollee pollee;
	struct task task;	/* lane_run in ctx */
	struct task reap;	/* frees it in ctx */
	struct channel *tx, *rx; /* NULL: other direction only, or closed */
	struct gpu *pages_gpu;	/* whose memory rx receives into; NULL: the
				   host's */
	struct gpu *slots_gpu;	/* whose memory tx's slots for GPUs are, so
				   that no other can fill them; NULL: any */
	uint32_t window;

	uint64_t next, given, sent, placed;
	struct tx_record *tx_ring; /* window long */

	uint64_t posted, announced, bound, arrived, returned, consumed;
	uint64_t credited;
	struct rx_record *rx_ring;

	/* The owner's: records that GPU jobs work for, a device with jobs that
	 * are submitted and not started, why it failed (while draining). */
	uint32_t n_jobs;
	uint32_t in_a_row;	/* chunks cut since it had none */
	bool hot;		/* counted in ctx->n_hot */
	bool only_jobs;		/* there is nothing else to poll for */
	struct gpu *flush;
	int fail_status;

	/* peer's lock */
	bool ready;		/* the other end is: it may be chosen */
	uint32_t lands;		/* whose memory over there what it sends
				   arrives in, as on the wire; 0: the host's */
	uint64_t granted, acked;
	bool idle;		/* had nothing to send when it last looked */
	bool stalled;		/* a chunk waits for its request */
	bool starved;		/* ... or for memory: try again; the owner's */
	bool fence_seen;
	uint64_t fence_placed;
	bool kill;		/* the other end says it is dead */
	char cause[96];
	uint32_t swept;		/* peer->sweeps when last swept; the owner's */

	/* counters: written by the owner, read by anybody */
	_Atomic uint64_t tx_bytes, tx_chunks, rx_bytes, rx_chunks;
	_Atomic uint64_t resent_chunks, stalls;
};

struct lane_params {
	struct peer *peer;
	struct context *ctx;
	struct engine_transport *via;
	uint32_t id, rail, generation;
	struct channel *tx, *rx; /* one of them may be NULL */
};

/* Takes the channels over from success on. The lane starts running by itself
 * when it joins the peer. */
int lane_create(const struct lane_params *params, struct lane **lane);
/* In ctx, peer over: closes the channels whatever state, and frees. */
void lane_destroy(struct lane *lane);
/* Spans for a record: in place if they are few. NULL: out of memory. */
struct span *lane_keep_spans(struct span few[SPANS_FEW],
			     const struct span *spans, uint32_t n_spans);
void lane_drop_spans(const struct span few[SPANS_FEW], struct span *spans);
/* There may be something to do; any thread. */
void lane_wake(struct lane *lane);
/* The owner's: polls both channels, gives them work. */
bool lane_run(struct lane *lane);
/* The owner's: memory of dead streams is touched no more. */
void lane_sweep(struct lane *lane);
/* The owner's. */
void lane_fail(struct lane *lane, int status, const char *cause);
/* A chunk's transfer fails, unless it is over: then false. The owner's. */
bool lane_end_stream(struct lane *lane, struct stream *stream, int status,
		     const char *cause);
/* A chunk's memory cannot be read, or written: its transfer fails. The owner's;
 * stream: the chunk's, or NULL. */
void lane_fault(struct lane *lane, struct stream *stream, const char *cause);

/* From control messages; the peer's lock held. */
void lane_credit(struct lane *lane, const struct msg_credit *credit);
void lane_down(struct lane *lane, const struct msg_channel *msg);
void lane_fenced(struct lane *lane, const struct msg_channel *msg);
/* An out-of-band descriptor; 0 or TCPX_EPROTO. */
int lane_announce(struct lane *lane, const struct chunk_desc *desc);

#endif
