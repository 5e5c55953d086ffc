/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

/*
 * The engine moves bytes between sessions. It knows transports only through
 * transport.h and the program only through engine_ops; core owns the objects
 * behind the public header and calls down.
 *
 *   engine    contexts (who drives), transports in use
 *   peer      control connection, lanes, transfers in flight
 *   lane      a transport's channel pair, or one channel, of a peer
 *   stream    one direction of bytes of one transfer on one side
 *
 * Lock order: ownership of a context, a peer's lock, leaf locks. Core's own
 * locks are outside all of these: no engine call is made with an engine lock
 * held by core, and engine_ops are called with at most ownership held, unless
 * an op says otherwise.
 */

#include <stdbool.h>
#include <stdint.h>
#include <tcpx/p2p.h>

#include "base/log.h"
#include "engine/context.h"
#include "engine/spares.h"
#include "engine/wakeup.h"
#include "transport/transport.h"
#include "wire/hello.h"

struct engine_transport;
struct peer;
struct region;

struct engine_ops {
	/*
	 * The live region of that id, referenced, if key is right. With a
	 * peer's lock held: takes leaf locks only. TCPX_EKEY, TCPX_ENOENT.
	 */
	int (*region_find)(void *arg, uint64_t mem, uint64_t key,
			   struct region **region);
	/* A notification from peer. data is the engine's. With the peer's
	 * lock held, in order. Returns 0 or TCPX_ENOMEM. */
	int (*note)(void *arg, struct peer *peer, const void *data,
		    uint32_t len_bytes);
	/* That lane is over; core may open it again, if it had opened it. With
	 * the peer's lock held. */
	void (*lane_lost)(void *arg, struct peer *peer,
			  struct engine_transport *via, uint32_t id,
			  uint32_t rail, const char *cause);
	/* A lane that was offered, by core with peer_offer_lane() or by the
	 * peer, is there (status 0) or will not come. With the peer's lock
	 * held. */
	void (*lane_opened)(void *arg, struct peer *peer,
			    struct engine_transport *via, uint32_t id,
			    uint32_t rail, int status, const char *cause);
	/* Its control connection is lost, and may be resumed; look at
	 * resume_wanted(). With the peer's lock held. */
	void (*control_lost)(void *arg, struct peer *peer);
	/* The peer is over: all its transfers have ended. Once a peer. */
	void (*peer_lost)(void *arg, struct peer *peer, int status,
			  const char *cause);
};

#define ENGINE_TRANSPORTS_MAX 8
#define ENGINE_CONTEXTS_MAX 256

struct engine_transport {
	const struct transport_ops *ops;
	struct transport *transport;
	struct transport_limits limits;
	uint32_t caps;
};

/* One that is allowed and cannot be used here. */
struct engine_refused {
	const struct transport_ops *ops;
	char why[320];
};

struct engine_params {
	const struct log *log;
	uint32_t n_contexts;	/* 1 to ENGINE_CONTEXTS_MAX */
	bool workers;		/* a thread for each; else callers drive */
	uint32_t busy_poll_us, stream_poll_us; /* as of a context */
	uint32_t copy_below_bytes;
	bool through_host; /* pages on a GPU are emptied by a pinned slot */
	uint32_t deadline_ms;
	uint32_t host_chunk_bytes; /* at most, of transfers that no device
				   memory is part of */
	struct transport_params transport;
	const char *transports;	/* allowed, comma-separated, best first */
};

struct engine {
	struct engine_params params;
	const struct engine_ops *ops;
	void *arg;
	uint32_t n_contexts;
	struct context *contexts;
	struct engine_transport transports[ENGINE_TRANSPORTS_MAX];
	uint32_t n_transports;
	struct engine_refused refused[ENGINE_TRANSPORTS_MAX];
	uint32_t n_refused;
	_Atomic uint32_t next_context; /* where the next lane goes */
	struct pace pace;	/* of callers that poll for whatever arrives */
	struct spares spares;	/* for the rows of lists */
	struct wakeups wakeups; /* event loops of the program's */
};

int engine_create(const struct engine_params *params,
		  const struct engine_ops *ops, void *arg,
		  struct engine **engine);
/* Stops the workers, so that nothing runs any more. */
void engine_stop(struct engine *engine);
/* All peers are destroyed already. */
void engine_destroy(struct engine *engine);
/* NULL: not in use here. */
struct engine_transport *engine_transport_find(struct engine *engine,
					       const char *name);
/* The context that drives next, round robin. */
struct context *engine_next_context(struct engine *engine);
/* One visit to each context, whoever owns none. */
bool engine_visit(struct engine *engine);
/* For callers that poll for what control connections bring: a visit now and
 * then where some live, by turns. */
void engine_visit_now_and_then(struct engine *engine);
/* Drives for something that is not tied to one peer. */
int engine_drive(struct engine *engine, bool (*done)(void *arg), void *arg,
		 uint64_t deadline_ns);
/* A thing of that kind (enum tcpx_wake) has come for the program, said by a
 * seq_cst store: wakes callers in engine_drive(), and event loops. Costs
 * nothing while none of them is asleep. */
void engine_tell(struct engine *engine, uint32_t kind);
/* Wakes callers that wait for something core did itself, anywhere. */
void engine_announce(struct engine *engine);

/* The loop of that descriptor of ours is about to sleep. Returns 0;
 * TCPX_EAGAIN, it is not to: something has happened, or is to be driven;
 * TCPX_ENOENT. */
int engine_arm(struct engine *engine, int fd, uint32_t wanted);
/* It does not sleep after all. */
void engine_disarm(struct engine *engine, int fd);

#endif
