/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOOP_SCATTER_H
#define LOOP_SCATTER_H

/*
 * Transport `loop-scatter`: the loop that is as unkind as a network card which
 * receives into buffers of its own. What works over it works over those.
 *
 *   sender's slot        "the wire"          receiver's pages
 *   +-----------+    sender's poll cuts it   +--+     +---+   +-+
 *   |   chunk   | -> at random places and -> |  | ... |   |...| | ...
 *   +-----------+    throws it into pages    +--+     +---+   +-+
 *
 * - Sends only from its own slots, receives only into its own pages; ARRIVED
 *   lists fragments in no order, each of 1 to 4096 bytes.
 * - 16 receives, those that arrived and are not consumed included. Pages run
 *   out when they are consumed late; then senders wait, without an error.
 * - A channel moves only in its own poll, and not in every one.
 * - SENT may come before the receiver looks, or has posted anything.
 * - Connecting takes several calls; accept is ready after connect.
 *
 * The numbers only grow; chunk k lives at k % 16 of its ring:
 *
 *   sender      reported <= carried <= posted
 *   receiver    consumed <= reported <= posted, reported <= carried
 *
 * All of a link is covered by its lock, because its ends may have different
 * owners. A link's lock is taken before that of the pages.
 */

#include <pthread.h>

#include "base/dice.h"
#include "transport/loop/meet.h"
#include "transport/loop/pages.h"

#define MODE "loop-scatter"
#define WINDOW 16u
#define CHUNK_BYTES_MAX (512u << 10)
/* After so many small fragments the rest of a chunk comes in whole pages. */
#define SMALL_FRAGMENTS_MAX 1024u
#define FRAGMENTS_MAX (SMALL_FRAGMENTS_MAX + CHUNK_BYTES_MAX / PAGE_BYTES)

_Static_assert(FRAGMENTS_MAX <= PAGES_PER_POOL, "any chunk fits the pool");

struct transport {
	struct transport_limits limits;
	uint64_t seed;
	_Atomic uint64_t n_links;
	struct pages pages;
};

enum slot_state {
	SLOT_FREE = 0,
	SLOT_GOT, /* the owner fills it */
	SLOT_POSTED,
};

/* Chunk k at the sending end, until it is reported. */
struct send {
	uint64_t cookie;
	uint32_t slot;
	uint32_t len_bytes;
};

/* The same in the receiver's pages, until it is consumed. */
struct parcel {
	uint32_t len_bytes;
	uint32_t n_fragments;
	struct transport_fragment *fragments;
};

struct channel {
	struct link *link;
	bool is_open;
	bool told_failed;
	uint64_t posted, reported, consumed;
	uint64_t bytes;
	uint64_t cookies[WINDOW]; /* of the receives */
};

struct link {
	pthread_mutex_t lock;
	struct channel sender, receiver;
	struct dice dice;
	uint64_t carried;
	struct send sends[WINDOW];
	struct parcel parcels[WINDOW];
	uint8_t *slots[WINDOW]; /* allocated when first used */
	enum slot_state slot_states[WINDOW];
	uint32_t chunk_bytes;
	struct pages *pages; /* the receiver's; NULL before accept */
	uint32_t connect_calls, accept_calls; /* still to be INPROGRESS */
	int status;
	const char *cause; /* a constant */
};

static inline bool is_sender(const struct channel *channel)
{
	return channel == &channel->link->sender;
}

static inline struct send *send_at(struct link *link, uint64_t k)
{
	return &link->sends[k % WINDOW];
}

static inline struct parcel *parcel_at(struct link *link, uint64_t k)
{
	return &link->parcels[k % WINDOW];
}

/* scatter_link.c: the slots of the table that make and end channels */
int scatter_open(const struct transport_params *params,
		 struct transport **transport);
void scatter_close(struct transport *transport);
int scatter_listen(struct transport *transport, uint32_t rail,
		   struct listener **listener, void *addr, size_t *addr_bytes);
int scatter_connect(struct transport *transport, uint32_t rail,
		    const void *addr, size_t addr_bytes,
		    struct channel **sender);
int scatter_accept(struct listener *listener, struct channel **receiver);
void scatter_listener_close(struct listener *listener);
void scatter_channel_close(struct channel *channel);

#endif
