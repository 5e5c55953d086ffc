/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_NOTES_H
#define ENGINE_NOTES_H

/*
 * Notifications. Each costs its bytes and MSG_NOTE_COST of the receiver's
 * window, from the moment its message is queued until the program over there
 * has taken it; who finds the window closed waits. Long ones travel in parts
 * just before the message they belong to.
 *
 * The peer's lock is held in all of these, but for notes_send and notes_read.
 */

#include <stdbool.h>
#include <stdint.h>

struct peer;
struct wire_writer;
struct msg_bytes;
struct msg_notify_part;

/* A slice of the window, if there is one. */
bool notes_reserve(struct peer *peer, uint32_t len_bytes);
/* A reserved slice is not used after all. */
void notes_unreserve(struct peer *peer, uint32_t len_bytes);
/* The parts of a long notification; says how the message must carry it (enum
 * msg_notify_flag), and in *tail how many bytes of it. */
int notes_encode(struct peer *peer, const void *data, uint32_t len_bytes,
		 uint8_t *flag, struct msg_bytes *tail);
/* ctl_begin() of that message. Without memory for it, if parts went before, the
 * peer ends. */
int notes_begin(struct peer *peer, uint16_t type, uint32_t body_max,
		uint8_t flag, struct wire_writer *w);
/* Sends those of their own that the window allows. */
bool notes_pump(struct peer *peer);
/* A window that is reserved is used for one of its own. */
int notes_emit(struct peer *peer, const void *data, uint32_t len_bytes);

/* Incoming. 0, or TCPX_EPROTO or TCPX_ENOMEM, which fail the peer. */
int notes_on_part(struct peer *peer, const struct msg_notify_part *part);
/* A message with a notification came; it is kept (*data, malloc'ed, may be
 * NULL when empty) until its transfer is done. */
int notes_keep(struct peer *peer, uint8_t flag, const struct msg_bytes *tail,
	       uint8_t **data, uint32_t *len_bytes);
int notes_deliver(struct peer *peer, const void *data, uint32_t len_bytes);
/* The same for a message whose notification may be delivered at once. */
int notes_deliver_now(struct peer *peer, uint8_t flag,
		      const struct msg_bytes *tail);
/* One that was kept will not be delivered: its transfer failed. */
void notes_drop(struct peer *peer, uint32_t len_bytes);
void notes_on_taken(struct peer *peer, uint64_t taken_bytes);

/* From the program's side; takes the lock. TCPX_EAGAIN: queue full. */
int notes_send(struct peer *peer, const void *data, uint32_t len_bytes);
/* The program has taken one from this peer. */
void notes_read(struct peer *peer, uint32_t len_bytes);
void notes_free(struct peer *peer);

#endif
