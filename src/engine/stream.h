/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_STREAM_H
#define ENGINE_STREAM_H

/*
 * One direction of bytes of one transfer, at one end: the list they come
 * from or go to, how far they are, and who wants to know the end of it.
 *
 *   sending     next --> what no chunk has taken yet; up to `limit`, which
 *               grows as the other side learns the list
 *               again --> pieces of dead lanes, taken first
 *   receiving   placed counts bytes; chunks come in any order, each once
 *
 * Every chunk record that may still touch the list's memory counts in
 * n_busy; a stream is killed by stream_kill() and then swept from the lanes
 * (lane_sweep), after which n_busy is 0 and nothing touches it again, unless
 * it is forsaken: then deregistration is the fence. Forsaken are only those
 * that are read, and those that a peer writes to.
 *
 * The peer's lock covers all but the atomics. References are held by its
 * owner and by chunk records.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/list.h"
#include "engine/choice.h"
#include "engine/seglist.h"

struct peer;
struct region;

struct piece {
	uint64_t pos;
	uint32_t len_bytes;
};

struct stream {
	_Atomic uint32_t refs;
	_Atomic uint32_t n_busy;
	_Atomic uint32_t dead;
	_Atomic uint32_t unsent; /* sending: a lane let go of bytes that had not
				   left; before it counts n_busy down */
	struct peer *peer;
	struct list link;	/* peer->awaiting, while it waits for its event;
				   peer->sending, while it has bytes to give;
				   dead: peer->leaving, while it is held */
	struct seglist *list;	/* one reference */
	uint64_t wire_id;
	bool reply;		/* READ: wire_id is the receiver's */
	bool copy;		/* short segments: gather and scatter by copy */
	bool expected;		/* counted in n_inbound of its context */
	bool own;		/* receiving, for a transfer of this side's,
				   whose end says that nothing writes there any
				   more */
	uintptr_t event;	/* of the program's GPU, that must pass before a
				   byte is read; 0: none, or it has passed */
	void (*go)(struct stream *stream); /* then; see event_await() */
	uint64_t total_bytes;
	uint32_t to_device;	/* sending: whose memory the bytes go to over
				   there, as on the wire */
	struct choice choice;	/* sending: which lanes may take it */
	uint64_t dead_ns;	/* coarse clock; written before dead is set */

	uint64_t next, limit;	/* sending */
	struct segcursor cursor; /* of next */
	struct piece *again;
	uint32_t n_again, cap_again;

	uint64_t placed_bytes;	/* here, or, as far as credits tell, there */
	_Atomic uint64_t progress_ns; /* coarse clock; any thread */
	/* All bytes placed, or status: a chunk was bad. Peer's lock held. */
	void (*ended)(struct stream *stream, int status, const char *cause);
	void *owner;
};

/* Takes its own reference on list. */
struct stream *stream_create(struct peer *peer, struct seglist *list,
			     uint64_t wire_id, uint64_t total_bytes);
struct stream *stream_get(struct stream *stream);
void stream_put(struct stream *stream);
/* Bytes of it are to come by lanes. Once, peer's lock held; until
 * stream_kill(). */
void stream_expect(struct stream *stream);
/* From now on no chunk takes from it or is bound to it. Peer's lock held. */
void stream_kill(struct stream *stream);
/* Does a dead one still hold memory of that region? Peer's lock held. */
bool streams_hold(struct peer *peer, const struct region *region);
/* Those of peer->leaving that lanes have let go of go. Peer's lock held. */
void streams_forget(struct peer *peer);
/* Dead for so long that GPU jobs of its are not waited for any more: the
 * device hangs, or is very slow. Not so where they write for a transfer of
 * ours: those are waited for until the device is given up. */
bool stream_is_forsaken(const struct stream *stream);
bool stream_has_bytes(const struct stream *stream);
/* Where the next piece lies: a repeated one, or the cursor's. */
struct piece stream_peek(const struct stream *stream, struct segcursor *cursor);
/* The first len_bytes of what stream_peek() showed are taken; `cursor` stands
 * behind them. */
void stream_take(struct stream *stream, uint32_t len_bytes,
		 struct segcursor cursor);
/* A taken piece comes back, to be sent over another lane. */
int stream_again(struct stream *stream, struct piece piece);

#endif
