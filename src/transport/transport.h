/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRANSPORT_H
#define TRANSPORT_H

/*
 * THE boundary: what moves bytes (a folder beside this file) and what decides
 * which bytes (the engine). A transport gives channels: one-way, first-in
 * first-out lanes to a peer over one rail. The k-th send of a channel meets
 * the k-th receive posted at its other end; nothing else matches them.
 *
 * Life of a chunk:
 *
 *   sender                                   receiver
 *                                            post_recv(cookie)     posted
 *                   <--- credit (engine) ---
 *   post_send(desc, spans)
 *                   --- desc, in line ---->  ANNOUNCED {desc}      announced
 *                   --- or by the engine -->
 *                                            bind(cookie, spans)   bound
 *                   ====== payload ======>   ARRIVED {fragments}   arrived
 *   SENT {cookie}                            (engine copies fragments)
 *                                            consume(cookie)       consumed
 *                                            CONSUMED {cookie}     sure, if
 *                                                                  it was lent
 *
 * In place (bound to spans): ARRIVED has no fragments, the bytes are where
 * they belong. In memory of the transport's own: ARRIVED lists fragments,
 * which stay valid until consume(). Every chunk that ARRIVED is consumed, in
 * FIFO order, whichever way it came; until then it counts for the window.
 *
 * LENT fragments are memory that another process holds, and that goes to
 * somebody else the moment that process ends, whoever reads it just then. So
 * what was copied from there is not known to be right before CONSUMED, which
 * says that they were still held after consume(), and so all the time of the
 * copy. Until then such a chunk counts for nothing but the window. Several may
 * be in that state at once; CONSUMED comes in FIFO order.
 *
 * Rules for all slots
 * - A channel belongs to one thread at a time (its owner); slots that take a
 *   channel are called by the owner only. Different channels may be driven by
 *   different threads at once. Slots that take a transport may come from any
 *   thread; the transport locks what its channels share.
 * - Nothing blocks, except open and close of a transport (bounded).
 * - TCPX_EAGAIN means: nothing happened, try again after poll() brought
 *   something. On success the transport owns what it was given until the
 *   event that ends it; spans arrays included.
 * - poll() harvests and returns; it never calls into the engine. A channel
 *   makes progress only inside its own poll() (or, where that is natural,
 *   inside post_send()); the owner polls all channels that have work, always.
 * - Sizes and offsets from the other side are hostile until checked: a
 *   fragment outside the transport's own memory, or a total that differs from
 *   what was announced, fails the channel, and nothing of it is delivered.
 * - After FAILED a channel delivers nothing more; only abandon() and
 *   channel_close() may follow. Chunks not SENT or ARRIVED by then, and lent
 *   ones not CONSUMED, are lost: the engine knows which, and repeats them
 *   elsewhere. What was complete
 *   before the failure is delivered before FAILED. The status is TCPX_ECLOSED
 *   (the other end is gone), TCPX_EPROTO (it broke these rules), TCPX_ENOMEM
 *   or TCPX_ECHANNEL (all else). A post on a channel that has failed and not
 *   said so yet gives TCPX_EAGAIN: poll() has the reason.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tcpx/p2p.h>

#include "base/span.h"
#include "wire/desc.h"

struct gpu;
struct gpu_set;
struct log;
struct transport;
struct channel;
struct listener;

enum transport_cap {
	/* The descriptor travels with the payload; ANNOUNCED events come. Else
	 * the engine carries descriptors on the control connection. */
	TRANSPORT_DESC_INLINE = 1u << 0,
	/* Receives into spans given by bind(). Before bind() it reads no
	 * payload of that chunk (and none behind it). */
	TRANSPORT_IN_PLACE = 1u << 1,
	/* Can receive into memory of its own: ARRIVED with fragments. With
	 * IN_PLACE too, bind() with no spans asks for it. */
	TRANSPORT_FRAGMENTS = 1u << 2,
	/* post_send() takes only memory from slot_get(). */
	TRANSPORT_SLOTS_ONLY = 1u << 3,
	/* Reaches only sessions of its own process. */
	TRANSPORT_SAME_PROCESS = 1u << 4,
	/* Its slots, and what it receives into memory of its own, can be such
	 * that a GPU reaches them: slot_get() and bind() heed their gpu. */
	TRANSPORT_GPU = 1u << 5,
	/* Derived from the ops table by transport_find(): do not set. */
	TRANSPORT_ADOPTS = 1u << 16,	/* channels from fds of boot */
	TRANSPORT_LISTENS = 1u << 17,	/* listen, connect, accept */
	TRANSPORT_SLOTS = 1u << 18,	/* has slot_get */
	TRANSPORT_WAITABLE = 1u << 19,	/* has wait_fd */
};

#define TRANSPORT_ADDR_MAX 256
#define TRANSPORT_EVENTS_MAX 32

enum transport_setting_kind {
	TRANSPORT_SETTING_TEXT,
	TRANSPORT_SETTING_NUMBER, /* min to max, K, M and G may follow */
	TRANSPORT_SETTING_BOOL,
};

/* A variable that open reads, for whoever shows what is in force. */
struct transport_setting {
	const char *variable; /* TCPX_NAME_...; NULL: the end of the table */
	const char *alias; /* an older name; NULL: none */
	enum transport_setting_kind kind;
	uint64_t def, min, max; /* a text's default is that it is not set */
	const char *allowed; /* of texts, in words */
	const char *help;
};

/* Filled by open; they drive the engine. */
struct transport_limits {
	uint32_t window;	/* receives a channel can have posted and
				   not consumed */
	uint32_t sends_max;	/* sends a channel can have posted */
	uint32_t chunk_bytes;	/* largest chunk */
	uint32_t slot_bytes;	/* largest chunk that is sent from a slot or
				   received as fragments; 0: no such */
	uint32_t spans_max;	/* of one bind or post_send */
	uint32_t n_rails; /* of its own, see rail(); 0: the session's */
	uint32_t n_channels; /* a rail that suit it; 0: any number does */
};

/* A rail of the transport's own. */
struct transport_rail {
	char ifname[16]; /* "": not known (yet) */
	struct gpu *gpu; /* at home there; NULL: none */
	int status; /* 0: it can be used; TCPX_INPROGRESS: that will
				   be seen; else why not, in words: */
	char why[200];
	/* In what way it is used, where there are several; "": nothing to be
	 * said, or not known yet. */
	char how[200];
};

struct transport_params {
	const struct log *log;
	uint32_t chunk_bytes;	/* wanted; limits.chunk_bytes is not larger */
	uint32_t window_chunks;
	uint32_t slot_bytes;
	uint32_t socket_buffer_bytes; /* 0: the kernel's choice */
	uint64_t seed;		/* for transports that play at dice */
	struct gpu_set *gpus;	/* the session's; NULL: none */
	char *why; /* where open says why not; NULL: nowhere */
	size_t why_bytes;
};

struct transport_fragment {
	uint64_t src_off;	/* from event.base */
	uint64_t dst_off;	/* from the start of the chunk */
	uint32_t len_bytes;
};

enum channel_event_kind {
	CHANNEL_SENT = 1,	/* cookie of post_send: its memory is free */
	CHANNEL_ANNOUNCED,	/* desc; cookie of the receive it meets */
	CHANNEL_ARRIVED,	/* cookie of post_recv */
	CHANNEL_CONSUMED,	/* cookie, of a lent one: its bytes were right */
	CHANNEL_FAULT,		/* cookie: its spans cannot be read, or written;
				   FAILED comes next, for half a chunk cannot
				   be taken back */
	CHANNEL_FAILED,		/* status, cause; the last event */
};

struct channel_event {
	enum channel_event_kind kind;
	int status;
	uint64_t cookie;
	struct chunk_desc desc;	/* ANNOUNCED */
	const uint8_t *base;	/* ARRIVED with fragments, else NULL */
	const struct transport_fragment *fragments; /* until consume() */
	uint32_t n_fragments;
	bool lent;		/* ARRIVED: CONSUMED comes behind consume(); a
				   channel's chunks all are, or none */
	const char *cause;	/* FAILED; valid until channel_close() */
};

/* Named counters, for reading without knowing the transport. */
struct transport_counter {
	const char *name;	/* "eagain", "bytes" */
	uint64_t value;
};

struct transport_ops {
	const char *name;
	uint32_t caps;
	/* Its own; NULL: none. */
	const struct transport_setting *settings;

	/*
	 * Can this transport be used here at all? Cheap, no side effects.
	 * Returns 0, or TCPX_EUNSUPPORTED with the reason in why.
	 */
	int (*probe)(const struct transport_params *params, char *why,
		     size_t cap_bytes);
	/*
	 * Tells each precondition that open would find, by a short name: why
	 * it does not hold, in words, or NULL. As cheap as probe, and NULL
	 * where there is nothing to tell.
	 */
	void (*explain)(const struct transport_params *params,
			void (*tell)(void *arg, const char *check,
				     const char *why),
			void *arg);
	/* The only place for environment, files and allocation of what all
	 * channels share. May block briefly. */
	int (*open)(const struct transport_params *params,
		    struct transport **transport);
	/* All channels and listeners are closed already. */
	void (*close)(struct transport *transport);
	void (*limits)(struct transport *transport,
		       struct transport_limits *limits);

	/*
	 * Makes channels, first way: from a connected, authenticated stream
	 * socket (non-blocking), one for each direction. The transport owns fd
	 * from success on and closes it with the second of the two channels.
	 * Both channels must have the same owner at any time.
	 */
	int (*adopt)(struct transport *transport, int fd,
		     struct channel **sender, struct channel **receiver);

	/*
	 * Second way: the data receiver listens; the address (opaque, at most
	 * TRANSPORT_ADDR_MAX bytes) travels to the data sender by the control
	 * connection; that one connects. One accept a listener. TCPX_EAGAIN of
	 * connect: the transport is not ready for it yet. connect and
	 * accept give a half-made channel at once and return
	 * TCPX_INPROGRESS until it is ready: call again with the same channel
	 * pointer (or listener) until 0 or a failure (then *channel is NULL
	 * and nothing is left behind; the listener stays its owner's to
	 * close). *sender is NULL in the first call of connect. A half-made
	 * channel may be closed.
	 */
	int (*listen)(struct transport *transport, uint32_t rail,
		      struct listener **listener, void *addr,
		      size_t *addr_bytes);
	int (*connect)(struct transport *transport, uint32_t rail,
		       const void *addr, size_t addr_bytes,
		       struct channel **sender);
	int (*accept)(struct listener *listener, struct channel **receiver);
	void (*listener_close)(struct listener *listener);
	/*
	 * listen() of a transport whose listening takes time: listen_start
	 * gives a half-made listener at once, listen_poll its address (0),
	 * TCPX_INPROGRESS, or a failure; it stays its owner's to close. NULL,
	 * both: listen() does not wait.
	 */
	int (*listen_start)(struct transport *transport, uint32_t rail,
			    struct listener **listener);
	int (*listen_poll)(struct listener *listener, void *addr,
			   size_t *addr_bytes);
	/* In words, why the last listen, connect or accept that failed in this
	 * thread did; "": nothing is known. NULL: the status says it all. */
	const char *(*refusal)(void);
	/* What its rail is and whether it can be used; i < limits.n_rails.
	 * NULL: its rails are the session's. */
	void (*rail)(struct transport *transport, uint32_t i,
		     struct transport_rail *rail);

	/* Ends a channel, in any state. Spans and slots are not touched any
	 * more when it returns. No GPU job reads its fragments: the owner has
	 * waited for those, for their memory may go. */
	void (*channel_close)(struct channel *channel);

	/* Promises to take one more chunk. TCPX_EAGAIN: window full. Cookies
	 * of what is posted at one time differ. */
	int (*post_recv)(struct channel *channel, uint64_t cookie);
	/*
	 * Where the announced chunk of the oldest unbound receive goes. spans
	 * (their sum is the chunk's length; they stay valid and unchanged
	 * until ARRIVED or abandon) or n_spans 0: into memory of the
	 * transport's own (only with FRAGMENTS), which gpu can reach if it is
	 * not NULL (only with GPU). Only with IN_PLACE. len_bytes is the
	 * chunk's length. A chunk that nobody wants is bound to no spans, and
	 * consumed. TCPX_EAGAIN: no memory of its own free just now.
	 * TCPX_EINVAL: not the oldest unbound receive, or another length than
	 * announced.
	 */
	int (*bind)(struct channel *channel, uint64_t cookie,
		    const struct span *spans, uint32_t n_spans,
		    uint32_t len_bytes, struct gpu *gpu);
	/* The oldest ARRIVED chunk that was not is done with: nobody reads its
	 * fragments any more. Another cookie gives TCPX_EINVAL. A lent one is
	 * consumed whether its bytes were wanted or not, and counts for the
	 * window until CONSUMED. */
	int (*consume)(struct channel *channel, uint64_t cookie);

	/* Memory of the transport's own to send from, limits.slot_bytes long;
	 * back with SENT (or with slot_put if it is not used after all). It is
	 * sent as the only span of a chunk, from its start. TCPX_EAGAIN: all
	 * are in use, SENT brings one. gpu: which will write it, NULL: the
	 * CPU. A GPU's write has ended before post_send(), slot_put() and
	 * channel_close(). */
	int (*slot_get)(struct channel *channel, struct gpu *gpu, void **slot);
	void (*slot_put)(struct channel *channel, void *slot);

	/*
	 * Sends one chunk: the bytes of spans in order, desc->len_bytes in
	 * all; with DESC_INLINE desc->seq counts the channel's chunks from 0,
	 * without it desc serves only for its length. Spans stay
	 * valid and unchanged until SENT, or abandon, which also end the
	 * transport's use of the spans array itself.
	 */
	int (*post_send)(struct channel *channel, const struct chunk_desc *desc,
			 const struct span *spans, uint32_t n_spans,
			 uint64_t cookie);

	/*
	 * The memory behind this chunk must not be touched any more when the
	 * call returns, though the chunk must travel on, for the order's sake:
	 * a send copies what it has not sent yet to memory of its own; a
	 * receive lets the rest fall into scratch. Its SENT or ARRIVED still
	 * comes. At most about a millisecond. Unknown cookies are ignored, and
	 * so are receives that are not bound: there is no memory behind them.
	 * Returns true for a send that the other end cannot have whole, for
	 * bytes of it have not left; where that is not known, false.
	 */
	bool (*abandon)(struct channel *channel, uint64_t cookie);

	/* At most max events; returns how many. If it returned max there may
	 * be more. */
	int (*poll)(struct channel *channel, struct channel_event *events,
		    int max);
	/*
	 * What to sleep on: the fd, and in *events the epoll events (EPOLLIN,
	 * EPOLLOUT, or 0) that would let poll() make progress now. Two
	 * channels of one adopted fd give the same fd. -1: this one cannot be
	 * slept on, as long as it lives, and is polled.
	 */
	int (*wait_fd)(struct channel *channel, uint32_t *events);

	/*
	 * The GPU whose memory this channel's fragments are, and its slots that
	 * a GPU asked for: the CPU may not touch them, and jobs on fragments
	 * run on that GPU. NULL, also for the function itself: host memory.
	 */
	struct gpu *(*channel_gpu)(struct channel *channel);

	/* Fills at most max counters; returns how many. */
	int (*counters)(struct channel *channel,
			struct transport_counter *counters, int max);
};

/* The list of transports, best first (transport.c: the one line to add). */
const struct transport_ops *transport_find(const char *name);
const struct transport_ops *transport_at(uint32_t i); /* NULL at the end */
/* The table's caps and what is derived from its slots. */
uint32_t transport_caps(const struct transport_ops *ops);
/* setting.c. What a setting of numbers comes to: text, or its default where
 * that is NULL. false: not a number, or not one that is allowed. */
bool transport_setting_number(const struct transport_setting *setting,
			      const char *text, uint64_t *value);

#endif
