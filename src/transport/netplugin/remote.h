/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETPLUGIN_REMOTE_H
#define NETPLUGIN_REMOTE_H

/*
 * Transport `netplugin` with the plugin in helper processes (shared.h).
 *
 *      remote.c        the table: making and ending what owners have
 *      remote_data.c   chunks
 *      remote_open.c   starts the helpers, and ends them
 *      remote_hear.c   the thread that reads what helpers say, and sees them
 *                      end
 *      remote_watch.c  ... sees that they are well, and starts them again
 *      remote_pool.c   the pages that a helper lends
 *
 * Objects are found by their id in messages; lists and states are covered by
 * the transport's lock, and a channel's state is read without it once more
 * (release, acquire). The data path takes no lock.
 */

#include <pthread.h>
#include <sys/types.h>

#include "base/list.h"
#include "transport/netplugin/options.h"
#include "transport/netplugin/shared.h"
#include "transport/netplugin/slots.h"
#include "transport/transport.h"

#define REMOTE_WINDOW SHARED_SLOTS
#define REMOTE_WORDS 1024u

enum remote_state {
	REMOTE_MAKING = 0,
	REMOTE_READY,
	REMOTE_FAILED,
};

/* A plugin's pool of pages, opened here: as long as its helper lives, and as
 * channels of that time do. */
struct remote_pool {
	struct gpu *gpu; /* whose memory it is */
	struct gpu_share share;
	uint8_t *base;
	uint64_t len_bytes;
	_Atomic uint32_t n_users;
};

struct helper_process {
	struct transport *transport;
	struct gpu *gpu; /* NULL: host memory */
	uint32_t gpu_index;
	pid_t pid; /* 0: none, or it is over and reaped */
	/* Messages to it; never taken together with the transport's, but by
	 * the thread that sees it end, which takes this one second. */
	pthread_mutex_t send_lock;
	int socket_fd; /* -1: not started, or gone */
	int memory_fd, wake_fd;
	struct shared_area *area;
	/* the transport's lock */
	enum remote_state state; /* REMOTE_READY: it has started */
	char ifname[SHARED_TEXT];
	char words[REMOTE_WORDS]; /* the plugin's last, with newlines */
	uint8_t used[SHARED_CHANNELS]; /* indices */
	struct remote_pool *pool; /* NULL: none is lent */
	char how[200]; /* what comes is read; "": not known yet */
	char cause[SHARED_TEXT]; /* of its last end, or of not starting */
	uint64_t ended_ns, wait_ns; /* when, and how long until the next start;
				       0: it stays so */
	bool again; /* it has not started, for what may change */
	bool stuck; /* no new channels; cause says why */
	uint64_t started_ns; /* the process; ready_ns: the plugin in it */

	/* the hearing thread's */
	uint64_t beats, beaten_ns; /* the last seen, and when */
	char verdict[SHARED_TEXT]; /* why we have ended it; "": we have not */
	bool awaits_daemon; /* no start without it */
	uint64_t ready_ns; /* when it had started */
	uint64_t daemon_life; /* of the receive daemon that it uses; 0: none */
	uint64_t looked_ns; /* at the daemon */
	uint64_t moved, moved_ns; /* while stuck: do its channels carry? */

	/* Counts its ends, after they are told to its channels (release): one
	 * of another number is over. */
	_Atomic uint32_t generation;
};

struct channel {
	const struct transport_ops *via; /* first: front.c */
	struct list link;
	struct transport *transport;
	struct helper_process *helper;
	struct shared_channel *shared;
	uint32_t id, index, generation;
	bool sends;
	int wake_fd; /* what its owner sleeps on; the helper has it too */

	/* written before state (release) */
	int status;
	bool on_gpu;
	uint8_t *mem, *host_mem;
	uint64_t mem_bytes;
	struct remote_pool *pool; /* a receiver's whose pages are lent: no mem */
	struct transport_fragment *fragments; /* of all of the window, then */
	/* why it was not made; else why it ended, written before its
	 * generation is over (release) */
	char end_cause[SHARED_TEXT];
	_Atomic uint32_t state; /* enum remote_state */

	/* the owner's */
	/* sure <= consumed: what the helper has confirmed, if pages are lent;
	 * until then a chunk counts for the window. */
	uint64_t posted, done, consumed, sure;
	uint64_t bytes, chunks;
	bool told_failed;
	bool waits; /* it has said so, and was not woken since */
	char cause[SHARED_TEXT];
	struct slots slots; /* a sender's */
	void *sent_slots[REMOTE_WINDOW]; /* of chunk k */
	uint32_t sent_lens[REMOTE_WINDOW];
	struct shared_slots free; /* a receiver's: what the helper has not */
	uint32_t lent; /* a bit a slot: the helper has it */
	uint8_t recv_slots[REMOTE_WINDOW]; /* of chunk k, when it is there */
	uint64_t cookies[REMOTE_WINDOW]; /* of receives */
	struct transport_fragment whole[REMOTE_WINDOW];
};

struct listener {
	const struct transport_ops *via; /* first: front.c */
	struct list link;
	struct transport *transport;
	struct helper_process *helper;
	uint32_t id;
	/* the transport's lock */
	struct channel *receiver; /* its own once the helper is told; NULL
				     again: taken */
	enum remote_state state;
	int status;
	char cause[SHARED_TEXT];
	uint8_t addr[256];
	uint32_t addr_bytes;
};

struct transport {
	const struct transport_ops *via; /* first: front.c */
	const struct log *log;
	struct options options;
	struct transport_limits limits;
	struct gpu_set *gpus;
	char driver[16];
	struct helper_process *helpers; /* one a GPU, or one */
	uint32_t n_helpers;

	pthread_t thread;
	int wake_fd;
	pthread_mutex_t lock; /* lists, states, ids, stop */
	pthread_cond_t heard;
	struct list channels, listeners;
	uint32_t next_id;
	bool stop;
};

extern const struct transport_ops netplugin_remote;

/* remote_data.c: slots of the table. */
int remote_slot_get(struct channel *c, struct gpu *gpu, void **slot);
void remote_slot_put(struct channel *c, void *slot);
int remote_post_send(struct channel *c, const struct chunk_desc *desc,
		     const struct span *spans, uint32_t n_spans,
		     uint64_t cookie);
int remote_post_recv(struct channel *c, uint64_t cookie);
int remote_consume(struct channel *c, uint64_t cookie);
bool remote_abandon(struct channel *c, uint64_t cookie);
int remote_poll(struct channel *c, struct channel_event *events, int max);
int remote_wait_fd(struct channel *c, uint32_t *events);
struct gpu *remote_channel_gpu(struct channel *c);
int remote_counters(struct channel *c, struct transport_counter *counters,
		    int max);

/* remote_open.c */
/* Starts it, or starts it again. */
int remote_start(struct helper_process *h, char *why, size_t cap_bytes);
int remote_open(const struct transport_params *params,
		struct transport **transport);
void remote_close(struct transport *t);

/* remote_hear.c */
int remote_hear_start(struct transport *t);
void remote_hear_stop(struct transport *t);
/* Ends the process: closes the socket, and waits for it, not for long. pid is
 * 0 then, unless it does not end at all. */
void remote_helper_end(struct helper_process *h, uint64_t limit_ns);
/* One message to it, and a descriptor if it is not -1. TCPX_ECHANNEL: it is
 * gone, or does not read for a second, and then it is ended. Not with the
 * transport's lock held. */
int remote_tell(struct helper_process *h, const struct shared_message *m,
		int fd);
/* Unmaps what a channel had of its helper; the lock is held. No job reads it
 * any more: who closes a channel sees to that. */
void remote_unmap(struct channel *channel);

/* How long until it is started again, if it is; the lock is held. */
void remote_set_restart(struct helper_process *h);
/* Whether one that has failed is started again. */
bool remote_comes_back(const struct helper_process *h);

/* remote_watch.c; the hearing thread's, the lock not held. */
/* It has started: what is watched from here on. */
void remote_watch_started(struct helper_process *h, bool has_daemon);
/* One look. */
void remote_watch(struct helper_process *h);

/* remote_pool.c */
/* Opens what the helper offers, and tells it whether that went well. Not with
 * the lock held. */
void remote_pool_offered(struct helper_process *h,
			 const struct shared_message *m, const int *fds,
			 uint32_t n_fds);
/* Is it what the helper sees? It has written there. */
void remote_pool_prove(struct helper_process *h,
		       const struct shared_message *m);
/* The last put closes it, by the driver, so no lock is held; NULL is allowed.
 * Got by who holds the lock, or has got it. */
void remote_pool_get(struct remote_pool *pool);
void remote_pool_put(struct remote_pool *pool);

#endif
