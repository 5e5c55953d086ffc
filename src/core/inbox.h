/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_INBOX_H
#define CORE_INBOX_H

/*
 * What waits for the program: events and notifications, each a queue with
 * its own lock. The engine puts, the program takes. Putting never fails for
 * want of room (the notification window bounds what a peer can send; of
 * events the oldest is dropped), and never for want of memory: a
 * notification is allocated by whoever decodes it. Who puts wakes who waits
 * (engine_tell()): that there is one is stored and looked at as seq_cst.
 */

#include <tcpx/p2p.h>

#include "base/list.h"

struct inbox;

/* A notification as it waits; `pub.data` follows in the same allocation. */
struct inbox_note {
	struct list link;
	struct tcpx_notification pub;
	uint64_t charge_bytes; /* given back to the peer's window when taken */
	uint64_t charge_peer;  /* whose; differs from pub.peer for self, and
				  where the peer has several handles */
};

/* What it takes of memory while it waits. */
static inline uint64_t inbox_note_bytes(const struct inbox_note *note)
{
	return sizeof(*note) + note->pub.len_bytes;
}

int inbox_create(struct inbox **inbox);
void inbox_destroy(struct inbox *inbox); /* frees what was not taken */

/* NULL: out of memory. The caller fills pub.peer, name and the data. */
struct inbox_note *inbox_note_alloc(size_t len_bytes);
void inbox_put_note(struct inbox *inbox, struct inbox_note *note);
/* NULL if there is none; the caller owns it (free with tcpx_notify_free). */
struct inbox_note *inbox_take_note(struct inbox *inbox);
/* All of one peer, charged to it or shown as its; appended to `notes`. */
void inbox_take_notes_of(struct inbox *inbox, uint64_t peer,
			 struct list *notes);
/* Cheap and lock-free: is there (probably) one? */
bool inbox_has_note(struct inbox *inbox);

void inbox_put_event(struct inbox *inbox, const struct tcpx_event *event);
bool inbox_take_event(struct inbox *inbox, struct tcpx_event *event);
bool inbox_has_event(struct inbox *inbox);
/* What waits of peer `from` is of peer `to`. Whether the news that it is
 * connected was among it. */
bool inbox_rename_peer(struct inbox *inbox, uint64_t from, uint64_t to);
uint64_t inbox_events_dropped(struct inbox *inbox);

#endif
