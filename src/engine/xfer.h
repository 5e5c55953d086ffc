/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_XFER_H
#define ENGINE_XFER_H

/*
 * A transfer on the side that posted it.
 *
 *        prepare          post            started            ended
 *   ---> idle ----------> on peer->posts ---------> flying ---------> idle
 *                         (in order)      request sent     status final
 *
 * An xfer is never freed before its pool, so that a test() that races with a
 * release reads a stale status and nothing worse. The peer's lock covers all
 * but `status`.
 */

#include <stdbool.h>
#include <stdint.h>
#include <tcpx/p2p.h>

#include "base/keytree.h"
#include "base/list.h"
#include "engine/seglist.h"

struct peer;
struct stream;
struct msg_done;
struct msg_bytes;
struct msg_send_go;

struct xfer {
	struct list link;	/* peer->posts, ->dying or none */
	struct list fly_link;	/* peer->flying */
	struct list list_link;	/* peer->listing or ->idle_lists */
	struct peer *peer;
	enum tcpx_op op;
	uint64_t tag;
	struct seglist *local;	/* ours */
	struct seglist *remote;	/* the peer's, for READ and WRITE */
	uint64_t total_bytes;

	/* Read by tests without the lock: TCPX_EINVAL never posted,
	 * TCPX_INPROGRESS, 0 or the failure. */
	_Atomic int32_t status;
	uint64_t wire_id;	/* 0: not started */
	struct stream *stream;	/* while chunks carry it */
	bool small;		/* rides in its request */
	bool matched;		/* SEND, RECV */
	uint64_t from_wire_id;	/* RECV: the SEND it was matched with */
	uint8_t *lifted;	/* small WRITE from a device: its bytes */

	uint64_t list_id;	/* 0: the peer has no list of ours */
	uint32_t list_next;	/* first segment not sent yet */

	bool has_note, note_reserved;
	uint8_t *note;
	uint32_t note_bytes;
	uintptr_t event;	/* of the caller's GPU, before its bytes are read */
	uint64_t deadline_ns;	/* absolute; UINT64_MAX: none */
	uint64_t asked_seq;	/* its last message: the request, a part of the
				   list, or SEND_GO */
	uint64_t moved_ns;	/* coarse: what its deadline counts from */
	uint64_t moved_bytes;
	bool dying;
	int end_status;		/* while dying */
	char cause[128];
	struct keyed by_tag;	/* RECV: peer->recvs, until it is matched */
};

/* In place; lists are taken over. */
void xfer_init(struct xfer *xfer, struct peer *peer, enum tcpx_op op,
	       uint64_t tag, struct seglist *local, struct seglist *remote);
/* Not in flight any more (see xfer_end()). */
void xfer_fini(struct xfer *xfer);
/* What a post looks at is fetched into the cache. */
void xfer_warm_up(const struct xfer *xfer);
/* Returns 0, TCPX_EBUSY, TCPX_ENOENT (a region is gone), TCPX_ENOMEM, or the
 * peer's cause. */
int xfer_post(struct xfer *xfer, const struct tcpx_post_params *params);
/*
 * Ends it with this status if it is in flight; tells the peer. When it returns,
 * memory is not touched, but by GPU jobs that run for longer than patience_ns:
 * then it is still in flight, and ends when they have. UINT64_MAX: waits for
 * them, until the device is given up at the latest. From outside: neither lock
 * nor ownership held.
 */
void xfer_abort(struct xfer *xfer, int status, const char *cause,
		uint64_t patience_ns);
/* The transfer is released: the peer may forget its list. Lock not held. */
void xfer_forget(struct xfer *xfer);

/* Home's owner, lock not held: the next parts of lists that are on their way,
 * sent as they are encoded. Whether there were any. */
bool xfer_pump_lists(struct peer *peer);

/* Status, sizes and cause; not the peer's handle. */
void xfer_query(struct xfer *xfer, struct tcpx_xfer_info *info);

/* ---- within the engine, the peer's lock held -------------------------- */

/* Starts what is posted and has what it needs. Whether anything was queued. */
bool xfer_pump(struct peer *peer);
/* It is over, well or not: ends now, or, while lanes still hold its memory, as
 * soon as they have let go (peer->dying). */
void xfer_end(struct xfer *xfer, int status, const char *cause);
/* We end it: the peer is told, then as xfer_end(). */
void xfer_abort_locked(struct xfer *xfer, int status, const char *cause);
/* The same with TCPX_ECANCELED. */
void xfer_cancel_locked(struct xfer *xfer, const char *cause);
/* Ends those of peer->dying that have been swept. */
void xfer_bury(struct peer *peer);
/* The other side has taken in all that it was told of it, and says so. */
void xfer_answered(struct xfer *xfer);
int xfer_on_done(struct peer *peer, const struct msg_done *msg);
int xfer_on_get_data(struct peer *peer, uint64_t wire_id,
		     const struct msg_bytes *data);
int xfer_on_send_go(struct peer *peer, const struct msg_send_go *msg);
/* Every transfer in flight ends. */
void xfer_fail_all(struct peer *peer, int status, const char *cause);
/* Ends what is past its deadline, or has not moved for the session's; what
 * others move counts while it waits behind them. Whether there was any. Lowers
 * *due_ns to the first absolute deadline of the others. */
bool xfer_check_deadlines(struct peer *peer, uint64_t now_ns, uint64_t *due_ns);

#endif
