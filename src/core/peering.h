/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PEERING_H
#define CORE_PEERING_H

/*
 * A peer as the program sees it: who it is, how it came to be, and the
 * engine's peer once the control connection stands.
 *
 *   tcpx_peer_connect()                    they connect
 *        |                                      |
 *   CONNECTING --control--> FLOWS --flows--> UP <+
 *        |                    |              |
 *        +----------------> LOST <-----------+      (disconnect: GONE)
 *
 * Both sides connecting at once: the connection opened by the smaller session
 * id wins; the other side refuses its own's rival with TCPX_EBUSY, and the
 * peering that was being connected is completed by the incoming one.
 *
 * Who connects by host:port learns only from the other side's proof which
 * session that is (on_met). If there is a peering with it by then, the one
 * being connected becomes its alias: GONE itself, but its handle is one more
 * handle of the other one, for as long as that has any. Before that, it is
 * the peering with that session, as if it had been connected by blob.
 *
 * session->lock covers everything but the atomics. References: the handle
 * holds one, every prepared transfer one, every dial under way one. Whoever
 * drops the last one destroys the engine's peer, so that must happen outside
 * of the engine.
 */

#include "core/redial.h"
#include "core/session.h"
#include "engine/peer.h"

enum peering_state {
	PEERING_CONNECTING = 1,
	PEERING_FLOWS,
	PEERING_UP,
	PEERING_LOST,
	PEERING_GONE,	/* handle given up */
};

/* One lane we are to open and keep open: a connection of ours, or one we have
 * offered to receive on. */
struct flow {
	bool up, dialing;
	_Atomic uint32_t lost;	/* set by the engine: the lane is dead */
	_Atomic int32_t opened;	/* set by the engine: TCPX_INPROGRESS, 0 or why
				   a lane that was offered did not come */
	char news[112];		/* the engine's words for both, set before */
	uint32_t generation;
	uint64_t retry_ns;	/* 0: none planned */
	uint32_t n_failures;
	int status;		/* of the last failure */
	char why[112];
};

/* Of the lanes a peer offers on one of its rails: why the last did not come,
 * or broke. */
struct refusal {
	_Atomic uint32_t told;	/* by the engine: there is news */
	int status;		/* of it; 0: it broke, that is an event */
	char news[112];
	char why[112];		/* "": nothing is known against it */
};

/* A transport that both sides use. */
struct way {
	struct engine_transport *via;
	uint32_t n_rails, n_flows; /* of ours; n_rails 0: they open them */
	uint32_t first_id;	/* of those offered */
	uint32_t n_dialing;
	struct flow *flows;	/* n_rails x n_flows */
	struct refusal *theirs;	/* by their rail; NULL: nothing is offered */
	char logged[4][112];	/* what the log has heard last; n_logged % 4 */
	uint32_t n_logged;	/* is the oldest */
};

struct peering {
	struct list link;	/* session->peerings, in the order of serial */
	uint64_t serial;
	struct tcpx_session *session;
	uint64_t handle;	/* in session->peers */
	_Atomic uint64_t id;	/* the handle the program is told: this one's,
				   or the first alias's if they came first */
	bool told;		/* the program may have seen `handle` */
	_Atomic(struct peering *) alias; /* what it is instead; a reference */
	_Atomic uint32_t refs;
	uint32_t n_connects;	/* tcpx_peer_connect() calls to undo */
	_Atomic enum peering_state state; /* written under the lock */
	_Atomic int32_t status;	/* TCPX_INPROGRESS, 0, or the cause */
	char cause[MSG_TEXT_MAX];
	_Atomic uint64_t unread_bytes; /* of its notifications in the inbox, as
					  they lie in memory */
	bool incoming;		/* they opened the control connection */
	bool self;		/* the other end is this session too */
	bool hidden;		/* the passive end of a connection to self */
	bool known;		/* session_id is */
	bool met;		/* they answered our control connection */
	uint8_t session_id[SESSION_ID_BYTES];
	char name[TCPX_NAME_MAX];
	char *address;		/* connect by host:port, or NULL */
	struct conn_blob *blob;	/* connect by blob, or NULL */
	uint64_t give_up_ns;	/* when connecting ends */
	uint64_t retry_ns;	/* when to dial again; 0: not planned */

	struct peer *peer;	/* from FLOWS on */
	uint64_t token;		/* theirs for our flows, or ours for theirs */
	struct net_addr ctl_addr; /* where we have connected to */
	struct redial redial;	/* of the control connection */
	struct wire_limits limits;
	struct wire_rail rails[BLOB_RAILS_MAX]; /* theirs */
	uint32_t n_their_rails;
	struct way *ways;	/* our order; before the engine's peer is there */
	uint32_t n_ways;
	uint64_t flows_end_ns;	/* until then lanes must have come */
	uint64_t grace_end_ns;	/* till then others join first; 0: none is up */
	char transports[64];	/* what they allow */
};

/* Why there can be no new peer now; NULL: there can. session->lock. */
const char *peering_no_room(const struct tcpx_session *session);
/* With one reference for the caller beside the handle's; TCPX_EAGAIN: no room.
 * session->lock. */
int peering_create(struct tcpx_session *session, struct peering **peering);
struct peering *peering_get(struct peering *peering);
void peering_put(struct peering *peering); /* no lock held */
/* The peering of a handle, referenced; NULL. Takes the lock. */
struct peering *peering_of(struct tcpx_session *session, uint64_t id);
/* The one that is, or becomes, connected to that session. session->lock. */
struct peering *peering_with(struct tcpx_session *session,
			     const uint8_t session_id[SESSION_ID_BYTES]);
/* What it is an alias of, or itself. Lives as long as the peering does. */
struct peering *peering_real(struct peering *peering);
/* One that is being connected turns out to be `target`. session->lock. */
void peering_become(struct peering *peering, struct peering *target);
/* The other end of a connection to ourselves: what is sent on one end arrives
 * at the other. Swaps the reference; TCPX_EAGAIN if it is not there. */
int peering_passive_end(struct peering **peering);
/* All of them, referenced, as a snapshot; free() it. NULL: none, or no memory
 * for it. */
struct peering **peering_all(struct tcpx_session *session, uint32_t *n);
/* The same with session->lock held. */
struct peering **peering_all_locked(struct tcpx_session *session, uint32_t *n);
/* Calls fn with each, without the lock. What may not be left out for want of
 * memory: that needs none. */
void peering_each(struct tcpx_session *session,
		  void (*fn)(struct peering *peering, void *arg), void *arg);
/* Ends it from outside: status is what tests and waits see from then on. */
void peering_end(struct peering *peering, int status, const char *cause);
void peering_event(struct peering *peering, enum tcpx_event_kind kind,
		   int status, const char *cause);
/* The same once for each handle the program may know. session->lock. */
void peering_event_all(struct peering *peering, enum tcpx_event_kind kind,
		       int status, const char *cause);

/* connect.c: dialing, and what boot and the engine report. session->lock is
 * held in the first five. */
/* Key and dial; the end comes to connect_boot_ops. timeout_ms 0: as set. */
int connect_target(struct peering *peering, struct boot_target *target,
		   uint32_t timeout_ms);
/* The states. The engine's peer, if any, is ended by the caller. */
void connect_up(struct peering *peering);
void connect_lost(struct peering *peering, int status, const char *cause);
/* The same, and a line for the log, where nobody else has one. */
void connect_lost_said(struct peering *peering, int status, const char *cause);
int connect_dial(struct peering *peering); /* session->lock held */
/* Boot is closed: no dial will come to its end any more. */
void connect_forget_dialings(struct tcpx_session *session);
void connect_tick(struct peering *peering, uint64_t now_ns);
extern const struct boot_ops connect_boot_ops;
void connect_peer_lost(void *arg, struct peer *peer, int status,
		       const char *cause);

#endif
