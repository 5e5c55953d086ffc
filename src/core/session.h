/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SESSION_H
#define CORE_SESSION_H

/*
 * The object behind struct tcpx_session, shared by the files of core.
 *
 * Locks, outermost first: ownership of a context, session->lock (peerings and
 * their states), a peer's lock, then mem_lock and the inbox's own. So with
 * session->lock held nothing is called that enters a context (shutdown,
 * destroy, revoke, abort): those are made with no lock held at all; and ops
 * that come with a peer's lock held only leave word in atomics.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tcpx/p2p.h>

#include "base/forks.h"
#include "base/idmap.h"
#include "base/list.h"
#include "base/log.h"
#include "base/u64map.h"
#include "boot/boot.h"
#include "core/inbox.h"
#include "core/later.h"
#include "core/stats.h"
#include "engine/engine.h"
#include "gpu/gpu.h"
#include "topo/nic.h"
#include "wire/blob.h"

/* How long a struct of the program's must be to have that member. */
#define END_OF(type, member)                                                   \
	(offsetof(type, member) + sizeof(((type *)0)->member))

enum handle_tag { HANDLE_PEER = 1, HANDLE_MEM, HANDLE_REMOTE_MEM, HANDLE_XFER };

struct xfer_slab;

struct tcpx_session {
	struct tcpx_config *config;
	struct log log;		/* told at once: nothing may be held */
	struct later later;	/* .log: whatever is held (core/later.h) */
	uint8_t id[SESSION_ID_BYTES];
	uint8_t secret[SECRET_BYTES];
	struct nic nics[NICS_MAX];
	struct wire_rail rails[BLOB_RAILS_MAX]; /* advertised, ports included */
	uint32_t n_rails;
	struct net_addr ctrl;	/* advertised */
	struct wire_limits limits;
	struct engine *engine;
	struct gpu_set *gpus;
	bool carries_gpu;	/* a transport in use can */
	char transports[64];	/* in use, best first */
	struct boot *boot;
	struct inbox *inbox;
	_Atomic uint64_t self_peer; /* handle of the connection to ourselves */
	pthread_t control;
	bool has_control;
	_Atomic uint32_t stop;
	_Atomic uint64_t tick_ns; /* when the control thread looks at the
				     peers' clocks next */

	pthread_mutex_t lock;
	struct list peerings;	/* lock */
	uint64_t n_peerings_ever; /* lock */
	uint64_t n_gone;	/* lock: peers that had a connection and are */
	struct peer_totals gone; /* lock: what those have done */
	struct list dialings;	/* lock; connect.c */
	struct u64map tokens;	/* lock: token -> peering, for flows */
	struct idmap peers;	/* -> struct peering */

	pthread_mutex_t mem_lock;
	struct idmap mems;	/* -> struct region */
	struct idmap remote_mems; /* -> struct remote_mem */

	struct fork_mark forked;
	struct idmap xfers;	/* -> struct tcpx_xfer */
	pthread_mutex_t xfer_lock;
	struct list free_xfers;	/* xfer_lock */
	struct list xfer_slabs;	/* xfer_lock */
};

/* False for NULL, and in a child of fork(), which may only leave it alone. */
static inline bool session_is_ours(const struct tcpx_session *session)
{
	return session && !session->forked.foreign;
}

/*
 * What a program got wrong, in a line of the log: nothing has that handle (any
 * more), or an argument of `call` is no good. No lock held. They return
 * TCPX_ENOENT, and TCPX_EINVAL.
 */
int session_no_such(const struct tcpx_session *session, const char *what,
		    uint64_t handle);
int session_bad_argument(const struct tcpx_session *session, const char *call,
			 const char *what);
int session_null(const struct tcpx_session *session, const char *call);

/* memory.c: the engine's region_find. */
int memory_find(void *arg, uint64_t mem, uint64_t key, struct region **region);
void memory_free_all(struct tcpx_session *session);

/* waiting.c: frees the notifications of a peer that nobody has taken. */
void waiting_drop_notes(struct tcpx_session *session, uint64_t peer);

/* transfer.c */
void transfer_free_all(struct tcpx_session *session);

/* control.c: the control thread. */
int control_start(struct tcpx_session *session);
void control_stop(struct tcpx_session *session);
/* It looks at the peers' clocks by then; any thread. */
void control_tick_by(struct tcpx_session *session, uint64_t due_ns);

/* One turn for a caller that polls for something of the whole session. */
void session_visit(struct tcpx_session *session);

#endif
