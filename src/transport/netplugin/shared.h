/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETPLUGIN_SHARED_H
#define NETPLUGIN_SHARED_H

/*
 * What a session and its helper processes share. The plugin runs in a helper,
 * one a GPU: it may end its process, block in a call, or be wanted by
 * somebody else (NCCL) in ours.
 *
 *   session                                            helper (of one GPU)
 *   remote.c      -- socket pair: struct shared_message -->   helper.c
 *   remote_hear.c <-- replies, log lines, its end -----      helper_run.c
 *
 *   post_send     == memory: ring of commands ==========>     plugin
 *   post_recv
 *   poll          <========= ring of events =============
 *
 *   slots to send from: VRAM of the helper, opened here by IPC handle; host
 *   memory by descriptor. What is received: the plugin's own pages, opened
 *   here once a helper, and lists that say where in them. Where those cannot
 *   be opened, slots of the helper's, into which it copies. User memory is
 *   never shared.
 *
 * Both ends are the same build, so structs travel as they are. What comes
 * from a helper is checked all the same as far as it names memory: slots,
 * lengths, and each entry of a list, in a copy of our own.
 *
 * Pages are lent, and when the helper ends, the kernel gives them to others at
 * once, also under a copy that runs; the session learns of it later. So a copy
 * counts only once the helper has said, behind its end, that it had the pages
 * still:
 *
 *   session                              helper
 *                                        a chunk is there: its list into
 *                                        lists[k % 16]
 *                    <=== ARRIVED {k} == (release of the ring's head)
 *   list copied, checked
 *   bytes copied from the pages; the
 *   copy has ended
 *   returned = k + 1 ==================> irecvConsumed(k): till now the pages
 *                                        were its
 *   bytes count      <================== consumed = k + 1
 *
 * Both numbers only grow, so that one look serves for many chunks. A helper
 * that has ended answers no more: what it had not answered is lost, and comes
 * again by other lanes, over whatever was written.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "gpu/gpu.h"
#include "transport/netplugin/abi.h"

struct transport_fragment;

#define SHARED_VERSION 5u
#define SHARED_CHANNELS 512u /* of one helper */
#define SHARED_RING 64u /* more than a window of each kind */
#define SHARED_SLOTS 16u /* of a receiver, at most */
#define SHARED_TEXT 256u
#define SHARED_FD_SOCKET 3 /* in the helper */
#define SHARED_FD_MEMORY 4
#define SHARED_FD_WAKE 5

enum shared_kind {
	SHARED_SEND = 1, /* slot, on_host, len_bytes, cookie */
	SHARED_RECV, /* cookie; unless pages are lent slot: one that is free */
	SHARED_SENT, /* cookie */
	SHARED_ARRIVED, /* cookie, len_bytes, slot; lent: n_entries */
	SHARED_FAILED, /* status; the channel's cause */
};

struct shared_item {
	uint32_t kind;
	uint32_t slot;
	uint32_t len_bytes;
	uint32_t on_host;
	int32_t status;
	uint32_t n_entries;
	uint64_t cookie;
};

/* A piece of a chunk, in the plugin's pool. */
struct shared_entry {
	_Atomic uint32_t src_off, dst_off, len_bytes;
};

/* The k-th chunk's is in k % SHARED_SLOTS: the session has read it before it
 * takes one more. Touched, and so there, only as far as lists are long. */
struct shared_list {
	struct shared_entry entries[NETPLUGIN_UNPACK_ENTRIES];
};

/* One producer, one consumer, in different processes. head is the producer's
 * and pairs with the consumer's load of it; tail the other way round. */
struct shared_ring {
	_Atomic uint64_t head __attribute__((aligned(64)));
	_Atomic uint64_t tail __attribute__((aligned(64)));
	struct shared_item items[SHARED_RING];
};

/*
 * Who finds no event sleeps on the channel's eventfd, and says so:
 *
 *   session                          helper
 *   waits = 1                        events.head + 1
 *   fence                            fence
 *   another look at events           waits? eventfd written, then waits = 0
 *
 * Each stores before its fence and looks behind it, so that one sees what the
 * other has stored: no event is slept over. The session empties the eventfd
 * when it sees waits 0 again. What was written comes before that (release,
 * acquire), and nothing more is before waits is 1 again: so it takes no ring
 * but the one that has woken it.
 */
struct shared_channel {
	struct shared_ring commands, events;
	_Atomic uint32_t waits __attribute__((aligned(64)));
	char cause[SHARED_TEXT]; /* before SHARED_FAILED */
	/* Of lent chunks: how many the session has given back, how many the
	 * helper has to the plugin. */
	_Atomic uint64_t returned __attribute__((aligned(64)));
	_Atomic uint64_t consumed __attribute__((aligned(64)));
	struct shared_list lists[SHARED_SLOTS] __attribute__((aligned(64)));
};

struct shared_area {
	_Atomic uint32_t sleeps __attribute__((aligned(64))); /* the helper */
	_Atomic uint64_t beats; /* its passes: does it still live? */
	struct shared_channel channels[SHARED_CHANNELS];
};

static inline bool shared_push(struct shared_ring *ring,
			       const struct shared_item *item)
{
	uint64_t head = load_relaxed(&ring->head);

	if (head - load_acquire(&ring->tail) >= SHARED_RING)
		return false;
	ring->items[head % SHARED_RING] = *item;
	store_release(&ring->head, head + 1);
	return true;
}

/* The oldest, which stays until shared_pop(). */
static inline bool shared_peek(struct shared_ring *ring,
			       struct shared_item *item)
{
	uint64_t tail = load_relaxed(&ring->tail);

	if (tail == load_acquire(&ring->head))
		return false;
	*item = ring->items[tail % SHARED_RING];
	return true;
}

static inline void shared_pop(struct shared_ring *ring)
{
	store_release(&ring->tail, load_relaxed(&ring->tail) + 1);
}

/*
 * The free slots of a receiving channel; the one used last is on top, because
 * it is in the caches still. The session lends the helper one with each
 * receive, the helper fills the newest it has, and the session has it back
 * with what arrived. So as few are in use as can be.
 */
struct shared_slots {
	uint32_t n;
	uint8_t at[SHARED_SLOTS];
};

/* false: it cannot be one of those that are away. */
static inline bool shared_slot_put(struct shared_slots *slots, uint32_t slot)
{
	if (slots->n == SHARED_SLOTS || slot >= SHARED_SLOTS)
		return false;
	slots->at[slots->n++] = (uint8_t)slot;
	return true;
}

/* There is one: no more receives are posted than there are slots. */
static inline uint32_t shared_slot_top(const struct shared_slots *slots)
{
	return slots->at[slots->n - 1];
}

/* What the top was wanted for has worked. */
static inline void shared_slot_pop(struct shared_slots *slots)
{
	slots->n--;
}

static inline void shared_reset(struct shared_channel *channel)
{
	store_relaxed(&channel->commands.head, 0);
	store_relaxed(&channel->commands.tail, 0);
	store_relaxed(&channel->events.head, 0);
	store_relaxed(&channel->events.tail, 0);
	store_relaxed(&channel->waits, 0);
	store_relaxed(&channel->returned, 0);
	store_relaxed(&channel->consumed, 0);
}

/*
 * Copies a list out of shared memory and checks the copy: each entry inside
 * pool_bytes and inside the chunk, len_bytes in all. Returns 0 or
 * TCPX_EPROTO.
 */
int shared_take_list(const struct shared_list *list, uint32_t n_entries,
		     uint64_t pool_bytes, uint32_t len_bytes,
		     struct transport_fragment *fragments);
void shared_put_list(struct shared_list *list,
		     const struct transport_fragment *fragments,
		     uint32_t n_fragments);

enum shared_type {
	/* to the helper */
	SHARED_START = 1, /* start */
	SHARED_LISTEN, /* id, index: of the channel it will make, and its
				   eventfd */
	SHARED_UNLISTEN, /* id; its channel too, if that is not READY */
	SHARED_CONNECT, /* id, index, addr, an eventfd */
	SHARED_CLOSE, /* id of a channel: its memory is not used any
				   more */
	SHARED_POOL_TAKEN, /* status: the pool can be lent, or not;
				   has_daemon: it is to be proved */
	SHARED_POOL_PROVED, /* id: which proof; status */
	/* to the session */
	SHARED_STARTED, /* status, text: the interface, or why not;
				   TCPX_EAGAIN: for want of the receive daemon.
				   has_daemon: it uses one */
	SHARED_LISTENED, /* id, status, addr */
	SHARED_POOL, /* mem_bytes of the plugin's pool, share, and a
				   descriptor if it has one; once; answered */
	SHARED_POOL_PROOF, /* id; addr: what is at mem_bytes of the pool */
	SHARED_READY, /* id (a listener's: its receiver), status,
				   memory; a descriptor if it is the host's;
				   or lends: none, but the pool */
	SHARED_CLOSED, /* index: may be used again */
	SHARED_STUCK, /* status, text: its control thread does not
				   come back; 0: it has */
	SHARED_LOG, /* status: the level; text */
};

struct shared_start {
	uint32_t version;
	uint32_t gpu_index;
	uint32_t chunk_bytes;
	uint32_t log_level;
	char driver[16]; /* of src/gpu: "cuda", "host", "off" */
};

struct shared_message {
	uint32_t type;
	uint32_t id;
	int32_t status;
	uint32_t index;
	uint32_t addr_bytes;
	uint32_t on_gpu; /* memory: an IPC handle, else a descriptor */
	uint32_t has_host; /* a descriptor of host slots too */
	uint32_t lends;
	uint32_t exported; /* POOL: share is a handle, not only a place */
	uint32_t has_daemon; /* POOL: if it is not, a receive daemon has it */
	uint64_t mem_bytes;
	union {
		struct shared_start start;
		uint8_t addr[256];
		uint8_t ipc[GPU_IPC_BYTES];
		struct gpu_share share;
		char text[SHARED_TEXT];
	};
};

#define SHARED_FDS_MAX 2

/* One datagram each way; fds may be NULL. Returns 0, TCPX_ECLOSED; receive:
 * TCPX_EAGAIN too. Descriptors that came are the caller's. */
int shared_send(int fd, const struct shared_message *message, const int *fds,
		uint32_t n_fds);
int shared_receive(int fd, struct shared_message *message,
		   int fds[SHARED_FDS_MAX], uint32_t *n_fds);

#endif
