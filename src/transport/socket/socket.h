/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOCKET_SOCKET_H
#define SOCKET_SOCKET_H

/*
 * Transport `socket`: two channels, one a direction, over one connected
 * stream socket. On the wire a chunk is its descriptor (wire/desc.h) and its
 * bytes, one chunk behind the other, nothing else:
 *
 *   | desc 0 | payload 0 ... | desc 1 | payload 1 ... | desc 2 |
 *
 * The sender hands descriptor and spans to the kernel as they lie; the
 * receiver reads a payload to where it was bound and, in the same call, the
 * descriptor behind it, so that a chunk costs one system call a side.
 *
 * Long chunks of pinned slots are lent to the kernel, not copied (lend.h).
 * Their descriptors say so, and the other side tells between two chunks of
 * its own direction how many it has taken:
 *
 *   | desc 4 | payload 4 ... | taken: 7 | desc 5 | payload 5 ... |
 *
 * If the link ends before, a slot rests for a second: the connection is reset,
 * and who reads a lent chunk sees to it that it was not. Who reads and does not
 * tell holds slots, so where they run short his link is ended.
 *
 * Chunks of a channel are numbered from 0 in the order of their posting, and
 * a channel's state is a few such numbers that only grow; chunk k lives at
 * k % size of a ring.
 *
 * Threads: the two channels of a link have one owner, who needs no lock. Only
 * the free slots are shared by all channels; the transport's lock covers them.
 */

#include <pthread.h>

#include "base/atomic.h"
#include "base/list.h"
#include "gpu/gpu.h"
#include "transport/socket/lend.h"
#include "transport/transport.h"

#define SOCKET_SENDS_MAX 8
#define SOCKET_SPANS_MAX 512
#define SOCKET_SLOTS_KEPT 32 /* free ones; more go back to the system */
#define SOCKET_TOLD_MS 30000 /* by then it is told what was taken */
#define SOCKET_CHECK_NS (100 * NS_PER_MS)

/* Memory of the transport's own, page-aligned, for any chunk; this struct lies
 * behind it. */
struct socket_slot {
	uint8_t *data;
	struct socket_slot *next;
	struct gpu *gpu;	/* NULL: the data is ours, else its pinned slot */
	enum gpu_slot_use use;	/* of a pinned one */
	struct transport_fragment whole; /* of the chunk received in it */
};

struct transport {
	struct transport_limits limits;
	uint32_t buffer_bytes; /* SO_SNDBUF and SO_RCVBUF; 0: leave them */
	uint32_t lend_bytes; /* shorter chunks are copied; UINT32_MAX: all */
	pthread_mutex_t lock; /* covers what follows */
	struct socket_slot *free_slots;
	uint32_t n_free_slots;
	struct list links;
	uint64_t checked_ns; /* they were */
	uint32_t told_ms;
};

/* One adopted fd. What fails one direction fails both. */
struct socket_link {
	struct list link; /* transport->links */
	int fd;
	uint32_t n_channels; /* not yet closed, 0 to 2 */
	bool lends; /* it can be reset, so that slots may be lent to it */
	bool reset; /* ... is to be: slots are lent still */
	_Atomic uint64_t untold_ns; /* since when a chunk is, or since it was
				       told of others; 0: none is */
	_Atomic bool overdue; /* shut down for that, by any thread */
	uint64_t taken; /* of the lent chunks, all before this have arrived */
	/* NULL: closed. The sender tells the other end what was taken, the
	 * receiver hears it. */
	struct socket_sender *sender;
	struct socket_receiver *receiver;
	int status; /* 0, or why it failed */
	char cause[112];
};

struct socket_sender;
struct socket_receiver;

struct channel {
	struct transport *transport;
	struct socket_link *link;
	bool is_sender;
	bool fault; /* FAULT is to be given to the owner, ... */
	uint64_t fault_cookie; /* ... of this chunk */
	bool told_failed; /* FAILED was given to the owner */
	uint64_t bytes, chunks, syscalls, eagain;
};

struct socket_send {
	uint64_t cookie;
	uint8_t header[CHUNK_DESC_BYTES];
	const struct span *spans;
	uint32_t n_spans;
	uint32_t len_bytes;
	struct span own; /* the only one of a slot or a copy */
	void *copy; /* after abandon: what was unsent; malloced */
	struct socket_slot *slot; /* goes back with SENT, or NULL */
	bool lent; /* SENT when the receiver has taken it */
	uint64_t end; /* where it ends in the stream, from adopt() on */
};

struct socket_sender {
	struct channel channel;
	uint64_t posted; /* chunks posted */
	uint64_t sent; /* taken by the kernel to the last byte */
	uint64_t reported; /* SENT was given to the owner */
	/* How much of chunk `sent` the kernel has. */
	uint32_t header_off;
	uint32_t span;
	size_t span_off;
	uint32_t left_bytes; /* of its payload */
	bool careful; /* a chunk a call: one of several had bad memory */
	struct socket_lender lender;
	uint64_t taken; /* the receiver has taken the lent ones before it */
	uint64_t written; /* bytes of the stream that the kernel has */
	/* What is told of link->taken: the record being sent. */
	uint64_t told;
	uint32_t note_left; /* bytes */
	uint8_t note[CHUNK_DESC_BYTES];
	struct socket_slot *slots; /* got by the owner, not posted yet */
	uint32_t n_slots; /* those and the posted ones */
	struct socket_send sends[SOCKET_SENDS_MAX];
};

enum socket_stage {
	SOCKET_HEADER = 0, /* reading the descriptor of chunk `arrived` */
	SOCKET_UNBOUND, /* it is announced and waits for bind() */
	SOCKET_BODY, /* reading its payload */
};

struct socket_recv {
	uint64_t cookie;
	struct socket_slot *slot; /* holds the chunk until consume(), or NULL */
};

struct socket_receiver {
	struct channel channel;
	enum socket_stage stage;
	uint64_t posted; /* receives posted */
	uint64_t arrived; /* ARRIVED was given to the owner */
	uint64_t consumed;
	/* The descriptor being read: of chunk `arrived`, or in stage BODY of
	 * the one behind it. */
	uint32_t header_bytes;
	uint8_t header[CHUNK_DESC_BYTES];
	/* Where the payload of chunk `arrived` goes. */
	bool lent;
	uint32_t len_bytes;
	uint32_t left_bytes; /* of it */
	const struct span *spans;
	uint32_t n_spans;
	uint32_t span;
	size_t span_off;
	struct span own; /* the only span of a chunk bound to a slot */
	struct socket_slot *scratch; /* after abandon: takes the rest */
	struct socket_recv recvs[]; /* limits.window of them */
};

/* socket.c. The first cause is kept. Returns status. */
int socket_link_fail(struct socket_link *link, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same for a failed call of the kernel: err is an errno. */
int socket_link_fail_errno(struct socket_link *link, const char *call, int err);
/* That chunk's memory cannot be touched: the owner is told whose, then that the
 * link, with half a chunk in its stream, has failed. */
void socket_fault(struct channel *channel, uint64_t cookie, const char *cause);
/* The event for that, once: how many. */
int socket_fault_event(struct channel *channel, struct channel_event *event);
/* Ends those that have kept slots for too long. From any thread. */
void socket_links_check(struct transport *transport);
/* Has the other end reset it? Then it fails. */
bool socket_link_is_reset(struct socket_link *link);
/* The FAILED event, if it is due: returns 1, else 0. */
int socket_failed_event(struct channel *channel, struct channel_event *event);

/* slots.c; from any thread. Returns 0, TCPX_ENOMEM, or TCPX_EAGAIN: all of
 * the GPU's pinned slots are in use. */
int socket_slot_get(struct transport *transport, struct gpu *gpu,
		    enum gpu_slot_use use, struct socket_slot **slot);
void socket_slot_put(struct transport *transport, struct socket_slot *slot);
/* The kernel may hold pages of it yet: for a while it is nobody's. */
void socket_slot_rest(struct socket_slot *slot);
void socket_slots_fini(struct transport *transport);

/* send.c */
struct socket_sender *socket_sender_create(struct transport *transport,
					   struct socket_link *link);
void socket_sender_destroy(struct channel *channel);
int socket_sender_slot_get(struct channel *channel, struct gpu *gpu,
			   void **slot);
void socket_sender_slot_put(struct channel *channel, void *slot);
int socket_sender_post(struct channel *channel, const struct chunk_desc *desc,
		       const struct span *spans, uint32_t n_spans,
		       uint64_t cookie);
bool socket_sender_abandon(struct channel *channel, uint64_t cookie);
int socket_sender_poll(struct channel *channel, struct channel_event *events,
		       int max);
uint32_t socket_sender_waits_for(const struct channel *channel);
/* Tells the other end what the link has taken, as soon as it can be. */
void socket_sender_tell(struct socket_sender *tx);
/* The other end has told. Returns 0, or TCPX_EPROTO: it cannot have. */
int socket_sender_taken(struct socket_sender *tx, uint64_t taken);
void socket_sender_deafen(struct socket_sender *tx);

/* recv.c */
struct socket_receiver *socket_receiver_create(struct transport *transport,
					       struct socket_link *link);
void socket_receiver_destroy(struct channel *channel);
int socket_receiver_post(struct channel *channel, uint64_t cookie);
int socket_receiver_bind(struct channel *channel, uint64_t cookie,
			 const struct span *spans, uint32_t n_spans,
			 uint32_t len_bytes, struct gpu *gpu);
int socket_receiver_consume(struct channel *channel, uint64_t cookie);
void socket_receiver_abandon(struct channel *channel, uint64_t cookie);
int socket_receiver_poll(struct channel *channel, struct channel_event *events,
			 int max);
uint32_t socket_receiver_waits_for(const struct channel *channel);
/* Reads what is told before the next chunk's descriptor. */
void socket_receiver_listen(struct socket_receiver *rx);
bool socket_receiver_may_listen(const struct socket_receiver *rx);

#endif
