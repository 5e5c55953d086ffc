/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_NETPLUGIN_COMM_H
#define FAKES_NETPLUGIN_COMM_H

/*
 * A connection: one control socket, up to eight data sockets, helper threads
 * that move payload, and a ring of 16 requests that moves only in test().
 *
 *   control  sender -> receiver, 16 bytes a task: type, socket, size, offset,
 *            total. With RECV_SYNC also receiver -> sender, 4 bytes a receive.
 *   data     payload and nothing else
 *
 * A request is cut into tasks of a chunk; a task belongs to one data socket.
 * The driver (who calls test) makes and retires tasks, a helper moves their
 * bytes. Closed comms stay allocated, so that a stale pointer is recognised.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "pool.h"
#include "rules.h"
#include "transport/netplugin/abi.h"

#define MAX_REQUESTS 16u
#define MAX_TASKS 6u
#define MAX_SOCKS 8
#define MAX_THREADS 16
#define MAX_FRAGMENTS NETPLUGIN_UNPACK_ENTRIES
#define N_TOKENS 4096u

enum control_type { CONTROL_NORMAL = 0, CONTROL_INLINE = 1 };

struct control {
	uint16_t type;
	uint16_t sock;
	uint32_t len_bytes;
	uint32_t off;
	uint32_t total_bytes;
} __attribute__((packed));

_Static_assert(sizeof(struct control) == 16, "a control message is 16 bytes");

/* A registration. Kept for ever, so that a stale one is recognised. */
struct mr {
	struct mr *next;
	struct comm *comm;
	uint8_t *data;
	size_t len_bytes;
	int type;
	int n_users; /* requests that are not done */
	bool gone;
};

/* POSTED -> ACTIVE (control messages go or come) -> TRANSMITTING (all tasks
 * made) -> FREE, or for a receive -> ARRIVED -> FREE. */
enum request_state {
	REQUEST_FREE,
	REQUEST_POSTED,
	REQUEST_ACTIVE,
	REQUEST_TRANSMITTING,
	REQUEST_ARRIVED,
};

struct request {
	enum request_state state;
	uint64_t n; /* of its comm, from 0 */
	struct mr *mr;
	uint8_t *data;
	uint32_t posted_bytes;
	uint32_t total_bytes; /* what the sender says */
	uint32_t tasked_bytes;
	uint32_t done_bytes;
	uint32_t socks_used; /* bit each */
	uint64_t ready_ns; /* the clock lets it be done from then; 0: unset */
	/* receives */
	bool has_slot;
	uint32_t n_entries;
	uint32_t n_pages;
	struct netplugin_unpack_entry *entries;
	uint32_t *pages; /* to give back */
	uint8_t *page_socks; /* the socket of each */
};

struct task {
	struct request *request;
	uint32_t off, len_bytes;
	uint32_t moved_bytes;
	bool started;
	uint64_t sum; /* of a send's bytes when they left */
	uint64_t end_bytes; /* of the socket's stream, once it is written */
	/* receives: fragments[i_open] is filled up to open_bytes */
	uint32_t n_fragments, i_open, open_bytes, assigned_bytes;
	struct netplugin_unpack_entry *fragments;
	uint32_t *pages;
};

/* Tasks [tail, moved) wait for the driver, [moved, head) for the helper. The
 * three counters are covered by the comm's lock. */
struct sock {
	int fd;
	int index;
	unsigned tail, moved, head;
	bool dead; /* lock; its helper has ended */
	_Atomic uint64_t written_bytes; /* by the helper */
	struct dice dice;
	uint8_t *staging; /* NULL where the CPU reaches what it moves */
	struct task tasks[MAX_TASKS];
};

struct helper {
	struct comm *comm;
	int first; /* serves sockets first, first + n_threads, ... */
	bool started;
	bool asleep; /* lock */
	int wake_fd;
	pthread_t thread;
};

struct token {
	struct comm *comm;
};

struct comm {
	struct comm *next; /* of all, for ever */
	int index; /* in the order of creation */
	bool is_send;
	int dev;
	int device; /* GPU */
	int ctrl_fd;
	int n_socks, n_threads;
	int last_sock;
	struct job *job; /* that connects it, in early mode */
	bool unsteered; /* data lands on a queue without pages */
	atomic_bool is_closed;
	atomic_bool entered;
	_Atomic uint64_t tested_tick;
	atomic_uint n_pending; /* requests that test() should see */

	/* the driver's */
	uint64_t posted, admitted, done, consumed;
	bool is_stuck; /* consumed out of order: nothing can be any more */
	struct request *active;
	uint64_t n_synced; /* receives that the peer has posted */
	uint8_t sync_buf[4];
	unsigned sync_have;
	uint8_t inbox[8 * sizeof(struct control)];
	unsigned inbox_have, inbox_used;
	struct request ring[MAX_REQUESTS];
	uint32_t *leaked; /* pages to return at close */
	uint32_t n_leaked;

	/* receiving side */
	bool has_queue;
	bool has_waited; /* the next control message, for room */
	struct dice dice;
	uint64_t first_sock; /* whose tasks are retired first */
	struct pool *pool;
	struct netplugin_unpack_meta *meta;
	struct netplugin_unpack_handle *device_handle; /* device memory */

	pthread_mutex_t lock;
	bool stop; /* lock */
	uint64_t rate_next_ns; /* lock; no byte before that */
	uint64_t n_moved_bytes; /* lock; for faults */
	struct sock socks[MAX_SOCKS];
	struct helper helpers[MAX_THREADS];
	struct token tokens[N_TOKENS];
};

/* comm.c */
struct comm *comm_new(bool is_send, int dev, int device);
/* Host memory for each socket, with GPU memory that the CPU cannot reach: now,
 * because later kernels run that an allocation would wait for. */
void comm_make_staging(struct comm *comm);
/* Every comm there is and was; the list only grows at its front. */
struct comm *comm_first(void);
/* One caller at a time, a live comm, SIGPIPE shut: from the first line of
 * every entry point to its last. */
void comm_enter(struct comm *comm, const char *name);
void comm_leave(struct comm *comm);
/* Ends its threads, closes its sockets, returns its pages. */
void comm_shut(struct comm *comm);
/*
 * To be called by every test(). A tick is 10 ms in which somebody tested
 * something; a comm that has work and saw too many of them pass is starved.
 */
void comm_tick(uint64_t now_ns);
/* This comm is looked after: now. */
void comm_touch(struct comm *comm);
bool comm_is_data_room(struct comm *comm, struct sock *sock);
/* The task slot that comes next on a socket with room. */
struct task *comm_new_task(struct sock *sock);
/* Hands that task to the socket's helper. */
void comm_push_task(struct comm *comm, struct sock *sock);

/* helper.c; the driver starts them with its first task */
int helper_start(struct comm *comm);
void helper_stop(struct comm *comm);

/* tx.c and rx.c: what a helper does for one socket, and the progress that
 * the driver makes. */
enum step { STEP_MOVED, STEP_WAIT_IO, STEP_WAIT_TIME, STEP_DEAD };

enum step tx_step(struct comm *comm, struct sock *sock, struct task *task);
enum step rx_step(struct comm *comm, struct sock *sock, struct task *task);
int tx_progress(struct comm *comm);
int rx_progress(struct comm *comm);
/* Bytes of a done receive: published, then given back. */
void rx_publish(struct comm *comm, struct request *request);
void rx_give_back(struct comm *comm, struct request *request);

/* setup.c: the job that connects an early comm. Waits if the plugin would;
 * false: not yet connected. */
bool setup_is_connected(struct comm *comm);

/* mr.c: checks a registration that a request names, for a range of it.
 * A result for the caller. */
int mr_check(struct comm *comm, const struct mr *mr, const void *data,
	     size_t len_bytes);

#endif
