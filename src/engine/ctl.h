/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_CTL_H
#define ENGINE_CTL_H

/*
 * The control connection of a peer: frames out, numbered and kept until they
 * are acknowledged, and frames in.
 *
 *   bufs   [ sent and not acknowledged | not sent yet | room ] -> [ ... ]
 *
 * Frames are built in place at the end, under the peer's lock, by any thread;
 * the owner of peer->home sends and receives. An idle connection holds no
 * buffers.
 *
 * A connection that is lost may be resumed over another one (resume.h): what is
 * built meanwhile waits in the buffers.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "engine/context.h"
#include "wire/cursor.h"
#include "wire/msg.h"

struct peer;

struct ctl_buf {
	struct list link;
	uint64_t last_seq;	/* of the frames in it; 0: none numbered */
	uint32_t used_bytes, sent_bytes, cap_bytes;
	uint8_t data[];
};

enum ctl_state {
	CTL_UP = 0,
	CTL_DOWN,	/* lost; another one is waited for */
	CTL_GREETS,	/* the other one is here, and what the other side has
			   taken in is not said yet: nothing is sent */
};

/* Of a control connection that is lost: resume.c. The peer's lock covers what
 * is not marked otherwise. */
struct resumption {
	_Atomic bool due;	/* something for the owner to do */
	bool silent;		/* nothing came for the liveness time */
	int next_fd;		/* what is to take its place; -1: nothing yet */
	char next_via[48];	/* by what, for people */
	char via[48];		/* the same of the one in use, once resumed */
	uint64_t down_ns;	/* since when it was lost, the last time */
	uint64_t greets_ns;	/* when the other one took its place */
	int status;		/* of the peer's loss, if nothing comes */
	char why[96];		/* the same in words; "": it never was */
	_Atomic uint64_t n_resumed;
};

struct ctl {
	int fd;			/* -1: CTL_DOWN */
	struct source source;
	enum ctl_state state;	/* the owner's; written under peer's lock */
	struct resumption resumption;

	/* peer's lock */
	struct list bufs;
	struct ctl_buf *spare;	/* one kept, so that ping-pong costs no malloc */
	uint64_t unsent_bytes;
	uint64_t kept_bytes;	/* of buffers, sent or not */
	uint64_t tx_seq;	/* last number given */
	uint64_t tx_ns;		/* coarse time of the last frame */
	uint16_t open_type;	/* of the frame being built */

	/* the owner's; written under the lock */
	uint64_t rx_seq;	/* last number taken in */
	uint64_t rx_acked;	/* last one we acknowledged */
	uint64_t peer_acked;	/* what the peer has acknowledged */
	uint8_t *partial;	/* a frame that is not complete yet */
	uint32_t partial_bytes, partial_cap;
	bool blocked;		/* EAGAIN on sending */
	_Atomic uint64_t rx_ns;	/* coarse time of the last bytes */

	_Atomic uint64_t tx_total, rx_total, n_frames_tx, n_frames_rx;
};

void ctl_init(struct ctl *ctl, int fd);
/* The owner's, peer's lock held: closes the fd and frees all buffers. The
 * counters stay. */
void ctl_close(struct ctl *ctl);

/*
 * Builds one frame: begin gives a writer with at least body_max bytes of
 * room, the caller encodes the body, end puts the header in front. With the
 * peer's lock held from begin to end. begin can fail (TCPX_ENOMEM); end
 * cannot if the body fits in what was asked for.
 */
int ctl_begin(struct peer *peer, uint16_t type, uint32_t body_max,
	      struct wire_writer *w);
void ctl_end(struct peer *peer, struct wire_writer *w);
/* ctl_begin() of what the other side has to hear, or the two would no longer
 * mean the same: if there is no memory for it, the peer ends, and this is
 * false. */
bool ctl_begin_or_doom(struct peer *peer, uint16_t type, uint32_t body_max,
		       struct wire_writer *w);

/* The owner's. Sends what is there; whether anything went out. A broken
 * connection is given to resume_lost(). */
bool ctl_flush(struct peer *peer);
/* The owner's: nothing keeps what is there from being sent. */
static inline bool ctl_sends(const struct ctl *ctl)
{
	return ctl->state == CTL_UP && !ctl->blocked;
}
/* The owner's, peer's lock held: another connection takes the place of this
 * one, of which nothing more is read; it is closed. fd -1: none yet. */
void ctl_replace(struct peer *peer, int fd);
/* The same: the other side has taken in what is up to ack, and gets the rest
 * again. TCPX_EPROTO: that cannot be. */
int ctl_rewind(struct ctl *ctl, uint64_t ack);
/* The owner's: receives and dispatches; whether anything came. */
bool ctl_receive(struct peer *peer);
/* The peer's lock held: an acknowledgement is overdue and none rides along. */
bool ctl_ack_due(const struct ctl *ctl);

#endif
