/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETPLUGIN_COMM_H
#define NETPLUGIN_COMM_H

/*
 * A comm of the plugin, driven as it wants to be driven. One-way; request k
 * lives at k % COMM_RING. The numbers only grow:
 *
 *   sender      done <= posted                      posted - done <= window
 *   receiver    consumed <= done <= posted          posted - consumed <= window
 *
 *                 irecv          test says so       irecv_consumed
 *   receive   ---> posted ------> done (arrived) --> consumed
 *                                  |  engine copies  ^
 *                                  +-----------------+
 *
 * Only the oldest request that is not done is ever tested, only the oldest
 * that is done is consumed, and the window is counted here before anything
 * is posted: a result other than success is a failure, never "busy".
 *
 * How received bytes are found depends on the device type:
 *
 *   UNPACK  in pages of the plugin's pool: the list of the k-th receive is in
 *           queue slot k % 16 of the metadata. The addresses given to irecv
 *           are never used; one small registered block serves all.
 *   HOST    at the address given: a slot of ours.
 *
 * Threads: one at a time, the channel's owner; comm_close() by the control
 * thread when the owner has let go.
 */

#include <stdbool.h>
#include <stdint.h>

#include "transport/netplugin/plugin.h"
#include "transport/transport.h"

#define COMM_RING 16u /* no plugin of this kind allows more */

struct comm_request {
	void *request;
	uint64_t cookie;
	uint32_t len_bytes; /* sent, or received */
	uint32_t n_fragments;
	uint8_t *mem; /* the slot */
	bool flushing; /* received; request is that of iflush */
};

struct comm {
	const struct plugin *plugin;
	void *handle; /* send comm or receive comm */
	void *mhandle; /* of mem */
	uint8_t *mem; /* registered: the slots, or the block */
	void *host_mhandle; /* of a sender's slots in host memory, which */
	uint8_t *host_mem; /* it has beside those of a GPU, or NULL */
	bool sends, unpacks, flushes;
	uint32_t window, chunk_bytes;
	uint64_t stall_ns;
	uint64_t hash_key; /* of the check of fragments */

	const struct netplugin_unpack_meta *meta; /* UNPACK */
	const uint8_t *bounce;
	uint64_t pool_bytes;
	struct transport_fragment *fragments; /* of all of the ring */

	uint64_t posted, done, consumed;
	uint64_t moved_ns; /* when it last did */
	uint64_t expected; /* chunks that the other end says it sent */
	uint32_t n_eof; /* tests that said the peer was gone */
	uint64_t bytes, tests;
	struct comm_request ring[COMM_RING];

	int status; /* of the failure, 0 before */
	char cause[200];
};

/* Returns 0, TCPX_EAGAIN. mem: a slot; on_host: one in host memory. */
int comm_send(struct comm *comm, void *mem, bool on_host, uint32_t len_bytes,
	      uint64_t cookie);
int comm_recv(struct comm *comm, uint64_t cookie);
/* To a receiver: so many chunks has the other end sent by now, as it says. */
void comm_expect(struct comm *comm, uint64_t n_chunks);
/* Tests, and reports what is done: SENT or ARRIVED. After a failure it
 * reports nothing: the caller looks at comm->status. */
int comm_harvest(struct comm *comm, struct channel_event *events, int max);
/* TCPX_EINVAL: not the oldest, or not arrived. */
int comm_consume(struct comm *comm, uint64_t cookie);
/* Gives back all that has arrived, so that no page is lost by closing. */
void comm_drain(struct comm *comm);
/* The first cause stays. */
void comm_fail(struct comm *comm, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * The scatter list of queue slot `slot` as fragments: each inside the pool,
 * together exactly the bytes 0 to *len_bytes, once each. Neighbours are
 * joined. Returns 0 or TCPX_EPROTO with the reason in why; writes nothing
 * that is used otherwise.
 */
int comm_unpack_list(const struct comm *comm, uint32_t slot,
		     struct transport_fragment *fragments,
		     uint32_t *n_fragments, uint32_t *len_bytes, char *why,
		     size_t cap_bytes);

#endif
