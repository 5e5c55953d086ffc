/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETPLUGIN_H
#define NETPLUGIN_H

/*
 * Transport `netplugin`, in process: a NCCL net plugin as a black box. What it
 * wants of its driver is in docs/netplugin.md; here is who does what.
 *
 *   owner of a channel                     control thread
 *   (a worker, or a caller)                (one a transport)
 *
 *   listen, connect, accept  --inbox-->    control calls, one at a time, the
 *        read the state      <--state--    GPU current, polled until done
 *   post, poll, consume: comm.c            side connections
 *   channel_close            --inbox-->    goodbye, drain, close
 *
 * Control calls may take long, or not return at all; nobody but the control
 * thread ever waits for one.
 *
 * Beside each comm runs a side connection of our own, plain TCP, because the
 * plugin's has no room for what must be said:
 *
 *   data sender                                   data receiver
 *   connect  ------------------------------------> its listener
 *   HELLO {token}  ------------------------------>
 *            <-------------------------------- GO
 *   plugin connect begins; STARTED  ------------->  plugin accept begins
 *   plugin connect done           <-------------- READY (accept done, the
 *                                                 flows are steered)
 *   COUNT {sent} now and then  ------------------>
 *            <--------- BYE {sent} both ways --------->   comms are closed
 *
 * Closing a comm early makes the other end's tests fail even for data that
 * is complete, so nobody closes before the other side's BYE (or its end, or
 * a time limit).
 *
 *      plugin.c, abi_v*.c   the plugin           comm.c, unpack.c   the data
 *      options.c, precond.c settings, refusals   side.c             messages
 *      control.c            the thread           make.c             connecting
 *      rails.c              GPU -> NIC           address.c          what travels
 */

#include <pthread.h>

#include "base/addr.h"
#include "base/atomic.h"
#include "base/list.h"
#include "transport/netplugin/address.h"
#include "transport/netplugin/comm.h"
#include "transport/netplugin/options.h"
#include "transport/netplugin/plugin.h"
#include "transport/netplugin/side.h"
#include "transport/netplugin/slots.h"

struct gpu;

#define NETPLUGIN_RAILS_MAX 64

/* A GPU of ours and its home NIC; what is received on this rail lands in the
 * pool of this GPU. */
struct rail {
	struct gpu *gpu; /* NULL: host memory */
	uint32_t gpu_index;
	int dev; /* of the plugin */
	char ifname[16]; /* the plugin's name of it: who is at home on
				   the same, can be reached */
	struct net_addr addr; /* of side connections; port 0 */
	char refusal[200]; /* "" if it can be used */
	bool awaits_daemon; /* that is why: it may come yet */
};

enum stage {
	/* sender */
	STAGE_SIDE_CONNECT, /* TCP, then HELLO, then GO */
	STAGE_PLUGIN_CONNECT,
	STAGE_AWAIT_READY,
	/* receiver */
	STAGE_AWAIT_START,
	STAGE_PLUGIN_ACCEPT,
	/* both */
	STAGE_OPEN, /* the comm is the owner's */
	STAGE_BYE, /* the owner has closed; waits for the other */
	STAGE_OVER,
};

enum end_state {
	END_MAKING = 0,
	END_READY,
	END_FAILED, /* status and cause say why */
};

enum peer_end {
	PEER_HERE = 0,
	PEER_SAID_BYE,
	PEER_BROKE_OFF,
};

struct listener;

struct channel {
	const struct transport_ops *via; /* first: front.c */
	struct list link; /* control thread's list */
	struct list inbox; /* transport->inbox, under its lock */
	struct transport *transport;
	struct rail *rail;
	bool sends;
	struct comm comm; /* control thread's, the owner's in STAGE_OPEN */

	/* the owner's */
	uint64_t patience_ns; /* a connect that nobody answers is given up */
	struct slots slots; /* a sender's */
	bool told_failed;
	uint64_t gone_ns; /* when it first saw that the peer is gone */
	uint64_t chunks;

	/* The control thread's word to the owner: state is stored last
	 * (release), what stands before it is constant then. */
	int status;
	char cause[200];
	_Atomic uint32_t state; /* enum end_state */
	_Atomic uint32_t peer_end;
	_Atomic uint64_t peer_sent; /* chunks, from COUNT and BYE */
	/* The owner's word to it. */
	_Atomic uint64_t sent; /* of a sender: SENT so far */

	/* the control thread's */
	enum stage stage;
	bool closed; /* by the owner: under the inbox's lock */
	bool ready; /* epoll said something of the side */
	struct side side;
	struct listener *listener; /* of a half-made receiver */
	bool in_plugin; /* its connect or accept has begun, and no call
				   has said that it ended */
	bool said_hello, said_bye, peer_ready;
	bool leaked; /* the plugin never ended it */
	void *plugin_comm;
	struct netplugin_device_handle device_handle;
	struct netplugin_device_handle *device_ptr;
	struct address peer; /* of a sender: whose address it is; the
				   plugin's handle is used where it lies */
	uint64_t limit_ns; /* of making, or of waiting for BYE */
	uint64_t told_sent, told_ns; /* the last COUNT */
	uint64_t mem_bytes;
	int mem_fd, host_fd; /* of memory that is shared; -1: not */
};

struct listener {
	const struct transport_ops *via; /* first: front.c */
	struct list link;
	struct list inbox;
	struct transport *transport;
	struct rail *rail;
	void *lcomm; /* the control thread's, made by it */
	uint8_t handle[NETPLUGIN_HANDLE_BYTES];
	uint8_t token[ADDRESS_TOKEN_BYTES];
	int fd; /* the side's; -1: somebody came */
	struct side guest; /* connected, and has not said HELLO */
	uint64_t guest_limit_ns;
	bool ready; /* epoll said something of fd or guest */
	bool left_behind; /* the plugin's accept never ended: it keeps
				   lcomm */
	bool closed; /* under the inbox's lock */

	bool taken; /* the owner's: accept() has given it away */
	/* Made by the control thread; the owner's once taken. */
	_Atomic(struct channel *) receiver;

	/* set by the control thread, read by the owner */
	uint16_t port;
	int status;
	_Atomic uint32_t state; /* END_READY: it listens */
};

struct transport {
	const struct transport_ops *via; /* first: front.c */
	const struct log *log;
	struct options options;
	struct plugin *plugin;
	struct transport_limits limits;
	struct gpu_set *gpus; /* NULL: everything is host memory */
	struct rail rails[NETPLUGIN_RAILS_MAX];
	uint32_t n_rails;
	uint8_t host_id[ADDRESS_HOST_BYTES];
	bool unpacks; /* device type of the plugin's devices */
	int ptr_kind; /* of registrations */
	bool host_slots; /* beside those of the GPU */
	bool shares; /* its slots: host memory is made shareable */

	pthread_t thread;
	int epfd, wake_fd;

	pthread_mutex_t lock; /* inbox, stop, and the fields that say so */
	pthread_cond_t answered; /* a listener's state has changed */
	struct list inbox_channels, inbox_listeners;
	bool stop, stopped;

	/* The control thread's, for others to see: since when it is in what it
	 * does now; 0: it waits. */
	_Atomic uint64_t busy_since_ns;

	/* the control thread's */
	struct list channels, listeners;
	uint32_t n_leaked;
	char why[200]; /* of the last control call that failed */
};

/* netplugin.c: in process; front.c chooses between this and remote.c. */
extern const struct transport_ops netplugin_inside;

/* rails.c: what is here, and why not. TCPX_EAGAIN: the receive daemon is not
 * there yet. */
int rails_find(struct transport *t, char *why, size_t cap_bytes);
/* The rail to send on to a peer's rail of that name, best the one of the same
 * index. NULL with the reason in why. */
struct rail *rails_for(struct transport *t, uint32_t index, const char *ifname,
		       char *why, size_t cap_bytes);

/* control.c; from any thread */
int netplugin_start(struct transport *t);
/* false: the thread is stuck in the plugin and keeps the transport. */
bool netplugin_stop(struct transport *t);
void netplugin_add_channel(struct transport *t, struct channel *channel);
void netplugin_add_listener(struct transport *t, struct listener *listener);
void netplugin_close_channel(struct channel *channel);
void netplugin_close_listener(struct listener *listener);
/* Waits until the listener listens, or not; bounded. */
int netplugin_await_listener(struct listener *listener);

/* make.c; the control thread's. Each does what can be done now, and returns
 * when to come again at the latest (UINT64_MAX: when something comes in). */
uint64_t make_listener(struct listener *listener);
uint64_t make_channel(struct channel *channel);
/* The owner has closed it: whether it is freed now. force: do not wait for
 * anybody; what the plugin still uses is left to it. */
bool make_end_listener(struct listener *listener, bool force);
bool make_end_channel(struct channel *channel, bool force);

/* device.c: the GPU is the calling thread's current device between the two;
 * for the pretend GPU, which knows no such thing, the variable says so. */
extern _Thread_local int netplugin_current_device;
struct device_scope {
	void *pop;
};
int device_enter(struct transport *t, const struct rail *rail,
		 struct device_scope *scope);
void device_leave(struct device_scope *scope);
/* Memory that can be registered and sent from: on the rail's GPU, or host
 * memory without one. Page-aligned. */
int device_alloc(struct transport *t, const struct rail *rail,
		 uint64_t len_bytes, uint8_t **mem, int *fd);
void device_free(struct transport *t, const struct rail *rail, uint8_t *mem,
		 uint64_t len_bytes, int fd);
/* The same of the host; *fd: -1 unless the transport shares. */
int host_alloc(struct transport *t, uint64_t len_bytes, uint8_t **mem, int *fd);
void host_free(uint8_t *mem, uint64_t len_bytes, int fd);
/* From device memory to ours; waits. */
int device_read(struct transport *t, const struct rail *rail, void *to,
		const void *from, uint64_t len_bytes);
/* How far the memory at from reaches, at most max_bytes. */
uint64_t device_extent(struct transport *t, const struct rail *rail,
		       const void *from, uint64_t max_bytes);

#endif
