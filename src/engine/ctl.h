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

struct ctl {
	int fd;
	struct source source;

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

/* The owner's. Sends what is there; whether anything went out. On a broken
 * connection it fails the peer. */
bool ctl_flush(struct peer *peer);
/* The owner's: receives and dispatches; whether anything came. */
bool ctl_receive(struct peer *peer);
/* The peer's lock held: an acknowledgement is overdue and none rides along. */
bool ctl_ack_due(const struct ctl *ctl);

#endif
