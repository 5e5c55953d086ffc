/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_PEER_H
#define ENGINE_PEER_H

/*
 * A peer as the engine sees it: one control connection, some lanes, and what
 * is under way in both directions. peer->lock covers everything that is not
 * marked otherwise; it is held briefly and never over a system call. What
 * touches file descriptors belongs to the owner of peer->home (the control
 * connection) or of each lane's context.
 *
 *      peer.c        its life: rounds, ticks, loss
 *      peer_lanes.c  its lanes: joining, waking, going
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <tcpx/p2p.h>

#include "base/atomic.h"
#include "base/clock.h"
#include "base/keytree.h"
#include "base/list.h"
#include "base/u64map.h"
#include "engine/ctl.h"
#include "engine/engine.h"
#include "engine/totals.h"

struct stream;
struct xfer;

#define PEER_RAILS_MAX 8
#define PEER_FLOWS_MAX 16 /* a rail */
/*
 * Lane ids: rail * PEER_FLOWS_MAX + flow of those adopted, which go both ways;
 * then those that one side receives on and has offered, PEER_OFFERS_MAX of the
 * side that opened the control connection, and as many of the other one.
 */
#define PEER_ADOPTED_MAX (PEER_RAILS_MAX * PEER_FLOWS_MAX)
#define PEER_OFFERS_MAX 128
#define PEER_LANES_MAX (PEER_ADOPTED_MAX + 2 * PEER_OFFERS_MAX)
#define PEER_OFFER_RAILS_MAX 64
#define PEER_SENDS_MAX 256 /* SENDs on the wire that wait for their RECV */

enum peer_state {
	PEER_UP = 1,
	PEER_FAILING,	/* lanes are being closed */
	PEER_LOST,	/* everything has ended; only to be destroyed */
};

struct peer {
	struct engine *engine;
	void *user;		/* core's */
	char name[TCPX_NAME_MAX]; /* for the log */
	struct context *home;
	struct wire_limits limits; /* negotiated */
	pthread_mutex_t lock;
	_Atomic uint32_t state;	/* enum peer_state; written under the lock */
	int status;
	char cause[MSG_TEXT_MAX];
	struct task task;	/* peer_run in home */
	struct ctl ctl;
	/* What deadlines go by, coarse: the other side has answered a transfer
	 * of ours or taken a notification; placed chunks of ours; sent all of
	 * one. And the last message that such an answer shows it took in. */
	uint64_t answered_ns, placed_ns, came_ns;
	uint64_t answered_seq;
	_Atomic uint64_t small_ns; /* coarse: a small transfer came or went */

	bool opener;		/* of the control connection */
	struct lane *lanes[PEER_LANES_MAX]; /* by lane id; NULL: none */
	uint32_t lanes_end;	/* behind the last that ever was */
	uint32_t n_lanes;	/* open ones */
	uint32_t n_senders;	/* of them, those that may send */
	bool choosy;		/* they are not alike: see choice.h */
	uint32_t lane_changes;	/* counts, from 1 */
	struct list dead_lanes;	/* waiting for their fence */
	uint32_t n_dead;	/* of them, those with their channels closed */
	struct list offers;	/* lanes in the making (lane_offer.c) */
	struct list landings;	/* small bytes on their way to a GPU */
	struct list liftings;	/* ... or from one */
	struct pollee pollee;	/* while there are any of these; home's
				   owner's, and so is: */
	bool hot;		/* counted in home->n_hot: GPU jobs */
	struct totals gone;	/* of lanes that are */
	uint64_t looked_ns;	/* the tick's: idle lanes were polled */
	struct u64map early_credits; /* of lanes we have not adopted yet */
	_Atomic uint32_t sweeps;	/* lanes sweep when it has changed */
	struct list dying;	/* xfers that end when their streams are swept */
	int doom_status;	/* the tick found it silent: fail in peer_run */
	bool quiet;		/* shut down from outside: no ops any more */
	struct list awaiting;	/* streams that wait for an event of the
				   program's GPU (awaiting.h) */
	uint64_t asked_ns;	/* for those events; home's owner's, and so is */
	bool only_awaits;	/* there is nothing else to poll for */
	struct list sending;	/* streams with bytes to give, by turns */

	/* as initiator */
	struct list posts;	/* xfers not started yet, in order */
	struct list listing;	/* started, their lists not sent whole */
	struct list flying;	/* every xfer in flight, started or not */
	struct list idle_lists;	/* ended xfers whose list the peer keeps */
	struct u64map started;	/* wire id -> xfer */
	uint64_t last_wire_id, last_list_id;
	uint64_t lists_out;	/* msg_list_cost() of our lists the peer keeps */
	uint64_t gets_out_bytes; /* answers to small READs on their way */
	uint64_t device_out;	/* msg_device_cost() of what the other side's
				   GPUs have to do */

	struct list leaving;	/* dead streams that lanes held when they died,
				   one reference each */

	/* as target */
	struct u64map requests;	/* wire id -> request */
	uint64_t device_waiting; /* msg_device_cost() of what ours have to do */
	struct u64map lists;	/* list id -> remote_list */
	uint64_t seen_wire_id;
	uint64_t lists_in;	/* msg_list_cost() of lists kept for the peer */
	uint64_t refused;	/* requests, and why the last one was: logged
				   by peer_run(), once a round */
	char refusal[96];

	/* SEND and RECV */
	struct keytree recvs;	/* posted, by tag */
	struct keytree early;	/* SENDs that came before their RECV, by tag */
	struct keytree early_ids; /* the same by wire id */
	uint32_t n_early;
	uint32_t n_sends_out;	/* ours that wait for a match */

	/* notifications */
	struct list notes;	/* of their own, waiting for window */
	uint64_t notes_waiting_bytes;
	bool note_refused;	/* since one of them left, for want of room */
	uint64_t note_sent_bytes, note_taken_bytes; /* ours, at the peer */
	uint64_t note_got_bytes, note_read_bytes, note_told_bytes; /* theirs */
	uint8_t *parts;		/* a notification being put together */
	uint32_t parts_bytes, parts_total;

	_Atomic uint64_t xfers_done, xfers_failed, notes_in, notes_out;
};

struct peer_params {
	struct engine *engine;
	void *user;
	const char *name;
	int fd;			/* of the control connection; ours from now on,
				   on failure too */
	struct wire_limits limits;
	bool opener;		/* we opened it */
};

/* The peer runs from here on. */
int peer_create(const struct peer_params *params, struct peer **peer);
/* Whether all that it is to hear has come to its host, or never will: then the
 * connection can be closed without a loss. From outside. */
bool peer_is_told(struct peer *peer);
/* Says goodbye (status 0 and text may be shown there), ends everything at
 * once: when it returns, all transfers have ended and no op of this peer will
 * be called any more, peer_lost() included. From outside. */
void peer_shutdown(struct peer *peer, int status, const char *cause);
/* After peer_shutdown(), or after peer_lost() was called; from outside. */
void peer_destroy(struct peer *peer);

/* A connected flow: fd becomes a lane of the socket transport. The fd is
 * taken in any case. */
int peer_adopt(struct peer *peer, uint32_t rail, uint32_t flow,
	       uint32_t generation, int fd);

/* The other way: a lane to receive on, of a transport that listens and
 * connects by itself; id is peer_offer_id() and counted on from there. 0:
 * engine_ops.lane_opened() will follow. Words for a failure in why. */
int peer_offer_lane(struct peer *peer, struct engine_transport *via,
		    uint32_t id, uint32_t rail, uint32_t generation, char *why,
		    size_t cap_bytes);
/* The first id of what a side offers: ours or theirs; who opened the control
 * connection? */
uint32_t peer_offer_id(bool we_opened, bool ours);
/* Can bytes go, and come? */
void peer_open_ways(struct peer *peer, bool *sends, bool *receives);

/* A small transfer was posted, here or there: for a while large ones are cut
 * shorter, so that the next one waits less. */
static inline void peer_saw_small(struct peer *peer)
{
	store_relaxed(&peer->small_ns, clock_coarse_ns());
}

/* Something to send or start; any thread, locks or not. */
void peer_wake(struct peer *peer);
/* The same with an attempt to do it right here, if nobody drives. */
void peer_push(struct peer *peer);
/* The owner of home: starts what can be started, sends. */
bool peer_run(struct peer *peer);
/* The owner of home, now and then in a long pass: takes what has come by the
 * control connection, and runs if there is reason to. */
void peer_look(struct peer *peer);
/* The connection is broken or the other side misbehaves. Home's owner. */
void peer_fail(struct peer *peer, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same from anywhere, lock held: it fails in its next round. */
void peer_doom(struct peer *peer, int status, const char *cause);
/* Idle lanes, those that may take from stream or, NULL, any, are to look for
 * something to send; or stalled ones for something to bind. Lock held. */
void peer_wake_lanes(struct peer *peer, struct stream *stream,
		     uint64_t n_lanes);
/* This one cannot send now: the next idle one is to look, if there is one
 * behind it. Lock held. */
void peer_wake_after(struct peer *peer, const struct lane *lane);
void peer_wake_stalled(struct peer *peer);
/* Where nothing wakes us when the other end goes, lanes that carry nothing are
 * polled now and then: the tick's. Lock held. */
void peer_look_at_idle(struct peer *peer, uint64_t now_ns);
/*
 * Dead streams: lanes let go of their memory. peer_sweep_later() makes every
 * lane do so in its own next pass (lock held); peer_sweep() has it done when
 * it returns (from outside: no lock, no ownership held), or is_held(arg), which
 * is asked again and again, says that there is nothing to let go of any more.
 */
void peer_sweep_later(struct peer *peer);
void peer_sweep(struct peer *peer, bool (*is_held)(void *arg), void *arg);
/* The stream a chunk of that transfer goes to, or NULL. Lock held. */
struct stream *peer_rx_stream(struct peer *peer, uint64_t wire_id, bool reply);
/* A stream has bytes to give, once its event has passed. Lock held. */
void peer_offer(struct peer *peer, struct stream *stream);
/* A region of ours is dead: whatever uses it ends. From outside; nothing of
 * this peer touches it when it returns. */
void peer_revoke(struct peer *peer, const struct region *region);
/* One decoded frame; home's owner, lock held. 0, or a status that fails the
 * peer. */
int peer_dispatch(struct peer *peer, const struct msg_header *h,
		  const uint8_t *body);
/* Heartbeats, liveness, deadlines: the control thread's, now and then. Whether
 * transfers are in flight, so that it should come again soon; lowers *due_ns to
 * when it must. */
bool peer_tick(struct peer *peer, uint64_t now_ns, uint64_t *due_ns);
struct lane *peer_lane_find(struct peer *peer, uint32_t id,
			    uint32_t generation);
/* A credit of a lane that is not adopted here yet: kept for it. Lock held. */
int peer_early_credit(struct peer *peer, const struct msg_credit *credit);
/* ... and will not be. Lock held. */
void peer_forget_credit(struct peer *peer, uint32_t id, uint32_t generation);
/* Lanes by listen and connect (lane_offer.c). Lock held. */
int peer_on_lane_message(struct peer *peer, uint16_t type,
			 const struct msg_lane *msg);
/* A lane is made: it joins. Not in its context. */
int peer_add_lane(struct peer *peer, struct lane *lane);
/* A lane has closed its channels, with the lock held. */
void peer_lane_dead(struct peer *peer, struct lane *lane);
/* The pieces a dead lane has not delivered are back with their streams. */
void peer_lane_over(struct peer *peer, struct lane *lane);

#endif
