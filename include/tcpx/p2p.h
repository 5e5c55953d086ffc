/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_P2P_H
#define TCPX_P2P_H

/*
 * tcpx-p2p: memory to memory over TCP networks, at the speed of the wire.
 *
 * A session is everything one process opened. It registers memory, connects
 * to peers (other sessions), and moves bytes by READ, WRITE and SEND/RECV
 * over lists of segments. Addresses are (mem, offset), never raw pointers.
 *
 *      session A                                  session B
 *      mem 1 [off..] --segments--> WRITE -------> mem 7 [off..]
 *      mem 1 [off..] <------------ READ  <------- mem 7 [off..]
 *                    notification ..............> after the bytes
 *
 * Handles (peers, regions, transfers) are 64-bit numbers, never 0, never
 * reused within a session: a released one gives TCPX_ENOENT, not a crash.
 *
 * Threads: every call may be made from any thread at any time, except that
 * nothing may use a session during or after tcpx_session_close(). The
 * session's own threads take no signals: those are for the program's.
 *
 * fork(): a session stays the parent's, undisturbed. In a child that does not
 * exec its calls fail (TCPX_EINVAL or TCPX_ENOENT) and its close does nothing;
 * a session of the child's own is as good as any.
 *
 * Time: timeouts are in milliseconds. 0 polls, and gives TCPX_ETIMEDOUT where
 * a test gives TCPX_INPROGRESS or TCPX_EAGAIN. TCPX_FOREVER (-1, as every
 * negative one) has no limit of its own (transfers still end by their
 * deadlines, but for a SEND or RECV without a match). A thread that waits
 * works: it drives the session's channels while the workers sleep. A program
 * with an event loop gives no thread: see tcpx_session_fd().
 *
 * Output strings and blobs: (buf, cap_bytes, len_bytes). *len_bytes is the
 * number of bytes needed (for text without the final NUL, which is always
 * written when it fits). Too small a buffer gives TCPX_ENOSPC and *len_bytes;
 * buf may be NULL when cap_bytes is 0.
 *
 * Ownership: what is passed in stays the caller's, and unless the call says
 * otherwise it is not looked at any more when the call has returned. Outputs
 * come last; after a failure there is nothing in them, but for the lengths and
 * counts that come with TCPX_ENOSPC.
 *
 * Growth: structs with size_bytes get longer, at their end. Set it to sizeof;
 * the library takes every length since the first published one, and neither
 * reads nor writes behind it.
 *
 * Returns: what any call may give is not repeated at each: 0 done;
 * TCPX_EINVAL, an argument is NULL or makes no sense; TCPX_ENOENT, no such
 * handle (any more); TCPX_ENOSPC as above; TCPX_ENOMEM. Nothing happened then.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tcpx/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TCPX_MUST_CHECK __attribute__((warn_unused_result))
#define TCPX_EXPORT __attribute__((visibility("default")))
#else
#define TCPX_MUST_CHECK
#define TCPX_EXPORT
#endif

#define TCPX_VERSION_MAJOR 0
#define TCPX_VERSION_MINOR 1
#define TCPX_VERSION_PATCH 0

#define TCPX_FOREVER (-1)
#define TCPX_NAME_MAX 64		/* bytes with the final NUL */
#define TCPX_BLOB_MAX 4096		/* connection blob, bytes */
#define TCPX_NOTIFY_MAX (1u << 20)	/* one notification, bytes */
#define TCPX_SEGMENTS_MAX 1000000u	/* segments of one transfer */
#define TCPX_REGIONS_MAX 1024u		/* regions of one transfer, on a side */
#define TCPX_XFER_MAX (1ull << 40)	/* bytes of one transfer */

struct tcpx_session;

/* ---- version, statuses ------------------------------------------------ */

/* Version of the library in use as "major.minor.patch"; constant. */
TCPX_EXPORT const char *tcpx_version(void);
/* "TCPX_EPEER" for TCPX_EPEER; "TCPX_?" for anything else; constant. */
TCPX_EXPORT const char *tcpx_status_name(int status);
/* The meaning of a status in a few words; constant. */
TCPX_EXPORT const char *tcpx_strerror(int status);
/* What died, see status.h. Unknown negative values: TCPX_SCOPE_SESSION. */
TCPX_EXPORT enum tcpx_scope tcpx_status_scope(int status);

/* ---- log -------------------------------------------------------------- */

enum tcpx_log_level {
	TCPX_LOG_NONE = 0,
	TCPX_LOG_ERROR,
	TCPX_LOG_WARN,
	TCPX_LOG_INFO,
	TCPX_LOG_DEBUG,
	TCPX_LOG_TRACE,
};

/*
 * Receives one line of log, without a newline. The library itself prints
 * nothing, ever; without a callback nothing is logged.
 *
 * subsystem  constant, e.g. "boot", "socket"
 * Threads: called from any thread, also from several at once, never with a
 * lock held. What is wrong with a call is told by its own thread, before it
 * returns; all else by the session's control thread, in order and a moment
 * later, and before tcpx_session_close() returns. That thread also sends
 * heartbeats: a callback that blocks for liveness_ms costs the peers. It must
 * not take a lock that is held over tcpx_session_close(), which waits for it,
 * nor one that its own thread holds over a call, and must not call back into
 * the session, except for the constant-string calls above.
 */
typedef void (*tcpx_log_fn)(void *arg, enum tcpx_log_level level,
			    const char *subsystem, const char *line);

/* ---- configuration ---------------------------------------------------- */

/*
 * Everything a session can be told. Fill it with tcpx_config_init(), which
 * writes the defaults and then the environment, change what the program
 * wants different (so a program overrides the environment), and hand it to
 * tcpx_session_open(), which copies it: strings need not outlive that call.
 * Each field's variable, default and allowed values: tcpx_config_json(), or
 * the command "tcpx config".
 */
struct tcpx_config {
	size_t size_bytes;	/* sizeof(struct tcpx_config) of the program */

	const char *name;	/* TCPX_NAME: shown to peers; default host-pid */
	const char *secret;	/* TCPX_SECRET: shared secret for host:port */
	const char *bind;	/* TCPX_BIND: listen address; default all */
	const char *ifnames;	/* TCPX_IFNAMES: "eth1,eth2" or "^docker0,lo" */
	const char *ctrl_ifname; /* TCPX_CTRL_IFNAME: control apart from data */
	const char *advertise;	/* TCPX_ADVERTISE: "addr[:port][,...]" a rail,
				   in rail order, instead of the bound ones;
				   no port: that listened on */
	const char *transports;	/* TCPX_TRANSPORTS: allowed, best first */

	uint16_t port_first;	/* TCPX_PORT=n or first-last; 0: any free */
	uint16_t port_last;
	int32_t n_workers;	/* TCPX_WORKERS; -1: by CPUs; 0: the caller
				   drives by tcpx_session_progress() */
	uint32_t n_flows;	/* TCPX_FLOWS: connections a rail; 0: by CPUs */
	uint32_t n_rails;	/* TCPX_RAILS: rails a peer at most; 0: all */
	uint32_t chunk_bytes;	/* TCPX_CHUNK_BYTES: of all transfers; 0: 512
				   KiB, 1 MiB if GPU memory is part of one */
	uint32_t window_chunks;	/* TCPX_WINDOW_CHUNKS: in flight a channel */
	uint32_t small_bytes;	/* TCPX_SMALL_BYTES: rides in the request */
	uint32_t copy_below_bytes; /* TCPX_COPY_BELOW: segments shorter than
				   this are copied together, not iovec'd */
	uint32_t socket_buffer_bytes; /* TCPX_SOCKET_BUFFER; 0: the kernel's */
	uint32_t busy_poll_us;	/* TCPX_BUSY_POLL_US: spin before sleeping */

	const char *gpu;	/* TCPX_GPU: "auto", "cuda", "off", or "host",
				   a pretend GPU for tests */
	uint32_t gpu_slots;	/* TCPX_GPU_SLOTS: pinned slots of a chunk each,
				   a GPU; half to send from */
	bool gpu_copy_engine;	/* TCPX_GPU_COPY_ENGINE: copy engines, not our
				   kernel */
	bool gpu_resident;	/* TCPX_GPU_RESIDENT: our kernel stays on the
				   GPU and polls: quicker, but it takes room */

	uint32_t connect_timeout_ms; /* TCPX_CONNECT_TIMEOUT_MS */
	uint32_t liveness_ms;	/* TCPX_LIVENESS_MS: silent peer is lost */
	uint32_t deadline_ms;	/* TCPX_DEADLINE_MS: transfer without progress
				   by the peer; 0: none. What others move counts
				   while a transfer waits its turn behind them.
				   Waiting for the match of a SEND or RECV does
				   not count */
	uint32_t max_half_open;	/* TCPX_MAX_HALF_OPEN: unauthenticated
				   connections at once */
	uint64_t notify_queue_bytes; /* TCPX_NOTIFY_QUEUE_BYTES: unread
				   notifications a peer */
	uint32_t max_peers;	/* TCPX_MAX_PEERS */
	bool checksum;		/* TCPX_CHECKSUM: xxHash of every chunk */

	enum tcpx_log_level log_level; /* TCPX_LOG_LEVEL; default warn. The
				   old UCCL_TCPX_DEBUG / _VERBOSE raise it */
	tcpx_log_fn log_fn;	/* NULL: no log at all */
	void *log_arg;

	bool gpu_through_host;	/* TCPX_GPU_THROUGH_HOST: what a transport
				   receives into pages on a GPU goes to its
				   place by a pinned slot; to compare */
};

/*
 * Defaults, then the environment (TCPX_*, and the older aliases). Set
 * config->log_fn and log_arg beforehand only through the two parameters:
 * they receive what is wrong with the environment and are stored in config.
 * Unknown TCPX_* names are warned about.
 *
 * Returns: 0; TCPX_EINVAL when a variable has a bad value, those included
 * that transports read themselves: the line logged names it, its value, and
 * what is allowed, whatever TCPX_LOG_LEVEL is; config is complete all the
 * same, with the default for that field. Strings in config point into the
 * environment or to constants.
 *
 * The library may be newer than this header and its struct longer, so it is
 * told how long the program's is: it writes no more, and sets size_bytes.
 */
TCPX_EXPORT TCPX_MUST_CHECK int
tcpx_config_init_sized(struct tcpx_config *config, size_t size_bytes,
		       tcpx_log_fn log_fn, void *log_arg);

TCPX_MUST_CHECK static inline int
tcpx_config_init(struct tcpx_config *config, tcpx_log_fn log_fn, void *log_arg)
{
	return tcpx_config_init_sized(config, sizeof(*config), log_fn, log_arg);
}

/*
 * Every setting in force as a JSON array of objects {name, variable,
 * aliases, value, here (what an automatic value comes to on this machine, else
 * null; of chunk_bytes: without GPU memory), default, allowed, source
 * ("default", "environment", "program"), from (the variable that set it, by the
 * name it has in the environment, else null), help}. Behind the fields of the struct come the
 * variables that transports read themselves, as TCPX_NETPLUGIN_PATH. The
 * secret's value is never in it.
 *
 * Returns: 0; TCPX_ENOSPC; TCPX_EINVAL: a field has a value that a session
 * would refuse, and the line logged says which and what is allowed.
 */
TCPX_EXPORT TCPX_MUST_CHECK int
tcpx_config_json(const struct tcpx_config *config, char *buf, size_t cap_bytes,
		 size_t *len_bytes);

/* ---- session ---------------------------------------------------------- */

/*
 * Opens the listener, finds the rails, starts the control thread and the
 * workers. config NULL: tcpx_config_init() without a log.
 * Returns: 0; TCPX_EINVAL (a setting is bad: the log says which);
 * TCPX_EUNREACHABLE (no usable interface, or the port is taken);
 * TCPX_EUNSUPPORTED (none of the allowed transports can be used here: the log
 * says why); TCPX_ENOMEM, TCPX_ENFILE; TCPX_EINTERNAL (libsodium cannot be set
 * up).
 */
TCPX_EXPORT TCPX_MUST_CHECK int
tcpx_session_open(const struct tcpx_config *config,
		  struct tcpx_session **session);
/*
 * Ends everything in bounded time (a second at most): says goodbye to peers,
 * fails transfers in flight with TCPX_ESHUTDOWN, touches user memory no more.
 * NULL is allowed. No other call may be running or follow.
 */
TCPX_EXPORT void tcpx_session_close(struct tcpx_session *session);

/*
 * The connection blob: opaque bytes, at most TCPX_BLOB_MAX, the same for the
 * life of the session. Whoever holds it can connect to this session, and
 * nobody else (it contains a secret): hand it over by a channel you trust.
 */
TCPX_EXPORT TCPX_MUST_CHECK int tcpx_session_blob(struct tcpx_session *session,
						  void *buf, size_t cap_bytes,
						  size_t *len_bytes);
/* The port the session listens on. */
TCPX_EXPORT uint16_t tcpx_session_port(struct tcpx_session *session);
/* The name peers see. Valid until close. */
TCPX_EXPORT const char *tcpx_session_name(struct tcpx_session *session);

/*
 * Drives the session once, and, if nothing happened, waits up to timeout_ms
 * for something to do. Needed only with 0 workers; harmless otherwise.
 * Returns: 0 if something was done, TCPX_EAGAIN if not.
 */
TCPX_EXPORT int tcpx_session_progress(struct tcpx_session *session,
				      int timeout_ms);

/* Counters of session, peers, rails and GPUs: a JSON object, keys documented in
 * docs/statistics.md. */
TCPX_EXPORT TCPX_MUST_CHECK int
tcpx_session_stats_json(struct tcpx_session *session, char *buf,
			size_t cap_bytes, size_t *len_bytes);
/* The same as Prometheus text exposition format 0.0.4. */
TCPX_EXPORT TCPX_MUST_CHECK int
tcpx_session_stats_prometheus(struct tcpx_session *session, char *buf,
			      size_t cap_bytes, size_t *len_bytes);

/*
 * Every transport and whether it can be used on this machine, as a JSON array
 * of objects {transport, allowed (by the settings), open (in use by this
 * session), usable, why (null, or why it is not there at all), checks:
 * [{check, holds, why}] (its preconditions, all of them)}. Asks files and
 * drivers: some 100 ms.
 */
TCPX_EXPORT TCPX_MUST_CHECK int
tcpx_session_transports(struct tcpx_session *session, char *buf,
			size_t cap_bytes, size_t *len_bytes);

/* ---- event loops ------------------------------------------------------ */

/* What a descriptor is armed for. */
enum tcpx_wake {
	TCPX_WAKE_XFER = 1,	/* a transfer has ended, well or not */
	TCPX_WAKE_NOTIFY = 2,	/* there is a notification to take */
	TCPX_WAKE_EVENT = 4,	/* there is an event to take */
	TCPX_WAKE_ROOM = 8,	/* tcpx_notify_send() has said TCPX_EAGAIN, and
				   there is room for more now */
	TCPX_WAKE_ALL = 15,
};

/*
 * A descriptor for an event loop (epoll, poll, libuv, asio, GLib) to sleep on,
 * in the place of a thread in tcpx_xfer_wait(). It is armed before each sleep,
 * and becomes readable when something comes that it was armed for. With 0
 * workers also when the session is to be driven, whatever for: a socket, a
 * GPU, a post of another thread. Look at everything, then arm; TCPX_EAGAIN says
 * that something has come meanwhile, so that no wake is lost:
 *
 *   .--> sleep until fd is readable, or for the loop's other business
 *   |      |
 *   |      v
 *   |    tcpx_session_progress(session, 0)       with 0 workers    <--.
 *   |    tcpx_event_poll(), tcpx_notify_poll()   until TCPX_EAGAIN    |
 *   |    tcpx_xfer_test()                        of all in flight     |
 *   |      |                                                          |
 *   |      v                                                          |
 *   0 <- tcpx_session_arm(session, fd, TCPX_WAKE_...) -> TCPX_EAGAIN -'
 *
 * The first arm says TCPX_EAGAIN, as a rule. The loop needs no timeout:
 * deadlines are looked after by the session, and end a transfer like any other.
 * See examples/event_loop.c.
 *
 * Readable is all that it ever is, until the next arm or until what there is to
 * drive has been driven; level triggered or by edges, as the loop likes.
 * Nothing is to be read from it.
 *
 * Ownership: the session's, which closes it in tcpx_session_close(); take it
 * out of the loop before that. Until then it stays valid.
 * Threads: a descriptor is one loop's. Loops that sleep at the same time have
 * one each, and are each told of everything. Threads that share one (an epoll
 * set with EPOLLONESHOT, an asio pool) handle it one at a time. With 0 workers
 * one loop that drives is enough; several get into one another's way.
 * Returns: 0; TCPX_ENFILE, TCPX_ENOMEM.
 */
TCPX_EXPORT TCPX_MUST_CHECK int tcpx_session_fd(struct tcpx_session *session,
						int *fd);
/*
 * Before each sleep on it: fd is not readable any more, and will be when
 * something of `wanted` (TCPX_WAKE_*, or'd; 0: nothing but what is to be
 * driven) comes, once. Notifications and events count for as long as they have
 * not been taken, so leave out what the program does not take; transfers and
 * room that came since the last arm that wanted them. Also tells workers that
 * this thread, which has driven while it tested, goes. Does not block; costs
 * a system call if fd was readable, and one or two with 0 workers.
 * Returns: 0, sleep; TCPX_EAGAIN, do not, but look (with 0 workers: drive) and
 * arm again; TCPX_ENOENT, fd is not of this session; TCPX_EINVAL.
 */
TCPX_EXPORT TCPX_MUST_CHECK int tcpx_session_arm(struct tcpx_session *session,
						 int fd, uint32_t wanted);

/* ---- peers ------------------------------------------------------------ */

/*
 * Starts connecting to the session whose blob this is; does not wait. A
 * second connect to a session already connected or being connected (by
 * either side) gives the same peer, once more: each successful call is
 * undone by one tcpx_peer_disconnect(). The blob of one's own session is
 * legal. Completion: tcpx_peer_wait(), or TCPX_EVENT_PEER_CONNECTED.
 * Returns: 0, TCPX_EINVAL (not a blob), TCPX_EVERSION, TCPX_EAGAIN (too many
 * peers, or too much unread of lost ones: see tcpx_notify_poll()),
 * TCPX_ENOMEM.
 */
TCPX_EXPORT TCPX_MUST_CHECK int tcpx_peer_connect(struct tcpx_session *session,
						  const void *blob,
						  size_t len_bytes,
						  uint64_t *peer);
/*
 * The same by address, for programs without a channel to hand a blob over:
 * "host:port", "1.2.3.4:port" or "[v6]:port". Both sessions must have the
 * same config.secret. Names are looked up in the background.
 * Only on the way does it turn out which session that is. If there is a peer
 * with it by then (it may have connected to us just now), this becomes one
 * more handle of that peer: both can be used, each connect is undone by one
 * disconnect of either, notifications name the handle that the program
 * connected first, and the peer's loss is an event for each.
 * Returns: as tcpx_peer_connect(); TCPX_EINVAL (not host:port); TCPX_EAUTH (no
 * secret is set).
 */
TCPX_EXPORT TCPX_MUST_CHECK int
tcpx_peer_connect_address(struct tcpx_session *session, const char *address,
			  uint64_t *peer);
/*
 * Waits until the peer can carry transfers.
 * Returns: 0 connected; TCPX_ETIMEDOUT (still trying); the cause if it
 * failed or was lost (TCPX_EREFUSED, TCPX_EAUTH, TCPX_EUNREACHABLE, ...).
 */
TCPX_EXPORT TCPX_MUST_CHECK int tcpx_peer_wait(struct tcpx_session *session,
					       uint64_t peer, int timeout_ms);
/*
 * Gives up the peer: goodbye, transfers in flight fail with TCPX_ECANCELED,
 * the handle dies, and with it its notifications that have not been taken.
 * Also needed to dispose of a peer that was lost or that connected to us. Does
 * not wait for the network.
 */
TCPX_EXPORT int tcpx_peer_disconnect(struct tcpx_session *session,
				     uint64_t peer);
/* The handle of the peer that calls itself so. Of several the one connected
 * last; one that lives before one that is lost. */
TCPX_EXPORT TCPX_MUST_CHECK int
tcpx_peer_find(struct tcpx_session *session, const char *name, uint64_t *peer);
/*
 * How this peer is reached, as a JSON object: name, session, state, cause,
 * limits, pairs [{local, remote, direction, transport, rails, flows,
 * why, rejected: [{transport, why}]}]. Keys: docs/describe.md.
 */
TCPX_EXPORT TCPX_MUST_CHECK int tcpx_peer_describe(struct tcpx_session *session,
						   uint64_t peer, char *buf,
						   size_t cap_bytes,
						   size_t *len_bytes);

/* ---- events ----------------------------------------------------------- */

enum tcpx_event_kind {
	TCPX_EVENT_PEER_CONNECTED = 1,	/* by us or by them */
	TCPX_EVENT_PEER_LOST,		/* status and cause say why */
	TCPX_EVENT_FLOW_LOST,		/* one flow of several; may come before
					   PEER_LOST when the peer dies */
};

struct tcpx_event {
	enum tcpx_event_kind kind;
	int status;
	uint64_t peer;
	bool incoming;			/* they connected to us */
	char name[TCPX_NAME_MAX];	/* the peer's */
	char cause[192];
};

/* Takes the oldest event. Returns: 0, or TCPX_EAGAIN if there is none. At
 * most 4096 wait; older ones are dropped and counted. */
TCPX_EXPORT TCPX_MUST_CHECK int tcpx_event_poll(struct tcpx_session *session,
						struct tcpx_event *event);
/* The same, waiting. Returns: 0 or TCPX_ETIMEDOUT. */
TCPX_EXPORT TCPX_MUST_CHECK int tcpx_event_wait(struct tcpx_session *session,
						struct tcpx_event *event,
						int timeout_ms);

/* ---- memory ----------------------------------------------------------- */

enum tcpx_access {
	TCPX_ACCESS_LOCAL = 0,		/* own transfers only */
	TCPX_ACCESS_REMOTE_READ = 1,
	TCPX_ACCESS_REMOTE_WRITE = 2,
};

/*
 * Registers [base, base + len_bytes), host or device memory: the driver is
 * asked which, if this process uses one. Ranges may overlap and repeat; each
 * call makes a region of its own. The memory stays the caller's and must
 * stay mapped until deregistration has returned: of host memory the first and
 * the last page are touched here (and made present); where others have gone,
 * or may not be written, a transfer fails with TCPX_EFAULT, or, short pieces
 * being copied, the process dies of it. The first region of a GPU opens it:
 * pinned memory is taken, some 100 ms.
 * Returns: 0; TCPX_EINVAL (empty, NULL, wraps around, unknown rights, memory
 * of several kinds, or freed: the log says); TCPX_EFAULT (host memory that is
 * not there, or that the rights let peers write and nobody may);
 * TCPX_EUNSUPPORTED (device memory that cannot be used, or that an allowed
 * transport cannot carry); TCPX_EGPU.
 */
TCPX_EXPORT TCPX_MUST_CHECK int
tcpx_mem_register(struct tcpx_session *session, void *base, uint64_t len_bytes,
		  uint32_t access, uint64_t *mem);
/*
 * Ends a region. Transfers in flight that use it are canceled (the local
 * ones with TCPX_ECANCELED, the peers' with TCPX_EREMOTE); when the call
 * returns nobody touches the memory any more. Prepared transfers that name
 * the region can only be released. This is the fence, too, for memory of a
 * transfer that was over before its GPU was done with it (one that hung):
 * the call waits for that GPU until it is given up.
 * Returns: 0; TCPX_ENOENT; TCPX_EGPU: the region is gone all the same, but its
 * GPU was given up (no answer for 30 s) and may yet come to copies that it was
 * told to do: the memory must stay allocated, and what it holds is not sure.
 */
TCPX_EXPORT int tcpx_mem_deregister(struct tcpx_session *session, uint64_t mem);
/*
 * The memory blob of n regions: what a peer needs to address them (id,
 * length, rights, remote key). About 40 bytes a region.
 */
TCPX_EXPORT TCPX_MUST_CHECK int tcpx_mem_blob(struct tcpx_session *session,
					      const uint64_t *mems, size_t n,
					      void *buf, size_t cap_bytes,
					      size_t *len_bytes);
/*
 * Loads a peer's memory blob: writes one handle for each region, in the
 * blob's order, usable as remote_mem. Possible before the peer is connected;
 * loading twice makes two handles.
 * Returns: 0; TCPX_EINVAL (not a memory blob, or damaged); TCPX_EVERSION (of a
 * later version); TCPX_ENOSPC (*n_mems is the number needed).
 */
TCPX_EXPORT TCPX_MUST_CHECK int tcpx_mem_load(struct tcpx_session *session,
					      const void *blob,
					      size_t len_bytes, uint64_t *mems,
					      size_t cap_mems, size_t *n_mems);
/* Forgets one loaded region. Transfers already prepared keep what they need. */
TCPX_EXPORT int tcpx_mem_unload(struct tcpx_session *session, uint64_t mem);
/* Length in bytes of a registered or loaded region. */
TCPX_EXPORT TCPX_MUST_CHECK int tcpx_mem_len(struct tcpx_session *session,
					     uint64_t mem, uint64_t *len_bytes);

/* Where a registered region is: -1 host memory, else the GPU's index. */
TCPX_EXPORT TCPX_MUST_CHECK int tcpx_mem_gpu(struct tcpx_session *session,
					     uint64_t mem, int32_t *gpu);

/* ---- GPUs ------------------------------------------------------------- */

struct tcpx_gpu_info {
	size_t size_bytes;	/* sizeof(struct tcpx_gpu_info) of the program */
	char name[64];
	char pci[16];		/* "0000:1b:00.0" */
	char driver[64];	/* "cuda 13.0"; "host": the pretend GPU */
	uint64_t mem_bytes;
	uint32_t copy_engines;
	uint32_t major, minor;	/* compute capability */
};

/* How many GPUs the session's driver sees; if none, why (NUL-terminated; may
 * be NULL). Loads the driver unless config.gpu is "off". */
TCPX_EXPORT uint32_t tcpx_gpu_count(struct tcpx_session *session, char *why,
				    size_t cap_bytes);
TCPX_EXPORT TCPX_MUST_CHECK int tcpx_gpu_info(struct tcpx_session *session,
					      uint32_t index,
					      struct tcpx_gpu_info *info);
/*
 * Device memory for programs that have no GPU runtime of their own (tools,
 * tests), and copies between any memories, which wait. A program with CUDA
 * needs none of these. Free before the session closes.
 * Returns: 0, TCPX_ENOENT (no such GPU), TCPX_ENOMEM, TCPX_EGPU.
 */
TCPX_EXPORT TCPX_MUST_CHECK int tcpx_gpu_alloc(struct tcpx_session *session,
					       uint32_t index,
					       uint64_t len_bytes, void **mem);
TCPX_EXPORT int tcpx_gpu_free(struct tcpx_session *session, uint32_t index,
			      void *mem);
TCPX_EXPORT TCPX_MUST_CHECK int tcpx_gpu_copy(struct tcpx_session *session,
					      uint32_t index, void *dst,
					      const void *src,
					      uint64_t len_bytes);

/* ---- transfers -------------------------------------------------------- */

/*
 * A SEND without its RECV, or a RECV without its SEND, waits without limit, as
 * long as the peer lives: give it a deadline by tcpx_post_params. At most 256
 * SENDs wait at a peer; the next ones wait here in their order, even if the
 * peer has posted a RECV of their tag, until one of the 256 is matched or ends.
 * So post a RECV before SENDs of other tags can fill that up.
 */
enum tcpx_op {
	TCPX_OP_READ = 1,	/* remote -> local */
	TCPX_OP_WRITE,		/* local -> remote */
	TCPX_OP_SEND,		/* local -> the peer's matching RECV */
	TCPX_OP_RECV,		/* the peer's matching SEND -> local */
};

struct tcpx_segment {
	uint64_t local_mem, local_off;
	uint64_t remote_mem, remote_off; /* ignored for SEND and RECV */
	uint64_t len_bytes;		/* > 0 */
};

struct tcpx_xfer_params {
	size_t size_bytes;	/* sizeof(struct tcpx_xfer_params) */
	uint64_t peer;
	enum tcpx_op op;
	const struct tcpx_segment *segments; /* 1 to TCPX_SEGMENTS_MAX; may be
				   freed after prepare; or NULL, then: */
	size_t n_segments;	/* ... at most */
	uint64_t tag;		/* SEND, RECV: matched in order within a tag */
	/*
	 * For programs that have the segments in another form, if segments is
	 * NULL: prepare calls it, and nobody later, again and again for the
	 * next ones, n_segments in all at most. It writes up to max rows and
	 * returns how many; 0: there are no more (none at all: TCPX_EINVAL);
	 * more than max: prepare gives up and returns TCPX_ECANCELED. It calls
	 * no function of this library. Memory is taken for n_segments.
	 */
	size_t (*next_segments)(void *arg, struct tcpx_segment *rows,
				size_t max);
	void *next_arg;
};

/*
 * Checks a transfer and makes it ready to be posted, once or many times.
 * Returns: 0; TCPX_ENOENT (peer or region), TCPX_ERANGE (a segment outside
 * its region), TCPX_EACCES (the peer does not allow that), TCPX_EINVAL (no or
 * too many segments, an empty one, more than TCPX_REGIONS_MAX local or remote
 * regions among them, regions of another peer), TCPX_ENOMEM;
 * TCPX_EAGAIN (the peer is not connected yet), or its cause if it is lost. The
 * log names the segment.
 */
TCPX_EXPORT TCPX_MUST_CHECK int
tcpx_xfer_prepare(struct tcpx_session *session,
		  const struct tcpx_xfer_params *params, uint64_t *xfer);

struct tcpx_post_params {
	size_t size_bytes;	/* sizeof(struct tcpx_post_params) */
	bool has_notify;	/* deliver a notification (may be empty) */
	const void *notify;	/* copied by post */
	size_t notify_len_bytes; /* at most TCPX_NOTIFY_MAX */
	uint32_t deadline_ms;	/* absolute, from now; 0: the session's rule,
				   which does not count the wait for a match */
	uint64_t gpu_event;	/* WRITE, SEND from device memory: a CUevent
				   (cast) that must pass before it is read;
				   recorded before post, alive until the
				   transfer has ended. Others go on meanwhile.
				   One that is invalid, or was recorded in a
				   stream under capture (the driver ends the
				   capture then), ends the transfer with
				   TCPX_EINVAL. 0: the bytes are there */
};

/*
 * Starts a prepared transfer; does not wait. params NULL: no notification.
 * A transfer that ended may be posted again. With a notification: READ and
 * WRITE deliver it to the peer exactly once, after the data is visible to
 * it (WRITE) or has left it (READ); SEND delivers it with the match.
 * A SEND or RECV that nobody matches ends only by params->deadline_ms.
 * Returns: 0; TCPX_EBUSY (still in flight), TCPX_ENOENT (a region is gone),
 * TCPX_EPEER and others of that scope (the peer is lost), TCPX_EINVAL (also a
 * notification with a RECV, which has nobody to deliver it to).
 */
TCPX_EXPORT TCPX_MUST_CHECK int
tcpx_xfer_post(struct tcpx_session *session, uint64_t xfer,
	       const struct tcpx_post_params *params);
/*
 * Completion. Done means: WRITE, the bytes are visible in target memory;
 * READ and RECV, in local memory; SEND, received into the peer's RECV; local
 * buffers are reusable in all cases. Failed means: user memory of this side
 * is not written any more, nor, if it is the host's, read. For that, one that is
 * over for another reason (canceled, late, the peer lost) ends only when the
 * GPU copies that write for it have: within microseconds, but on a GPU that is
 * busy with the program's own kernels whenever it comes to them, at the latest
 * when it is given up. Copies out of device memory are waited for 100 ms; until
 * that memory is deregistered, they may read it later, for nobody.
 * Returns: 0 done; TCPX_INPROGRESS; the failure; TCPX_EINVAL if never posted.
 */
TCPX_EXPORT TCPX_MUST_CHECK int tcpx_xfer_test(struct tcpx_session *session,
					       uint64_t xfer);
/* The same, waiting. TCPX_ETIMEDOUT: the wait ended, the transfer goes on. */
TCPX_EXPORT TCPX_MUST_CHECK int tcpx_xfer_wait(struct tcpx_session *session,
					       uint64_t xfer, int timeout_ms);
/*
 * Ends a transfer in flight with TCPX_ECANCELED, within about a millisecond,
 * without waiting for the network. One that ended already is left as it is. One
 * that a GPU is copying for just then, and for longer than a millisecond, stays
 * TCPX_INPROGRESS and ends, canceled, when that is over (see tcpx_xfer_test()).
 */
TCPX_EXPORT int tcpx_xfer_cancel(struct tcpx_session *session, uint64_t xfer);
/* Cancels if in flight, and frees. The handle dies. Waits for a GPU that is
 * writing just then, as long as it takes. */
TCPX_EXPORT int tcpx_xfer_release(struct tcpx_session *session, uint64_t xfer);

struct tcpx_xfer_info {
	int status;		/* as tcpx_xfer_test() */
	uint64_t peer;
	enum tcpx_op op;
	uint64_t total_bytes;	/* of the prepared list */
	uint64_t moved_bytes;	/* so far; RECV: the length of the SEND */
	char cause[192];	/* of a failure, in words */
};
TCPX_EXPORT TCPX_MUST_CHECK int tcpx_xfer_query(struct tcpx_session *session,
						uint64_t xfer,
						struct tcpx_xfer_info *info);

/* ---- notifications ---------------------------------------------------- */

struct tcpx_notification {
	uint64_t peer;		/* sender */
	char name[TCPX_NAME_MAX];
	const void *data;	/* owned by the notification */
	size_t len_bytes;
};

/*
 * Queues a notification of its own, not ordered with transfers. data is
 * copied. Returns: 0 queued; TCPX_EAGAIN (the peer is not connected yet, or
 * does not read its notifications: its queue is full and so is ours),
 * TCPX_EINVAL (too long), TCPX_ENOENT, the peer's cause if it is lost.
 */
TCPX_EXPORT TCPX_MUST_CHECK int tcpx_notify_send(struct tcpx_session *session,
						 uint64_t peer,
						 const void *data,
						 size_t len_bytes);
/*
 * Takes the oldest notification; free it with tcpx_notify_free(). Of one peer
 * those sent by tcpx_notify_send() come in the order sent, those of transfers
 * in the order in which these complete, which for large ones need not be that
 * of their posts; between the two there is no order. Those of a lost peer can
 * be taken until tcpx_peer_disconnect() of its handle, which drops the rest.
 * While lost peers have left more than 4 times config.notify_queue_bytes,
 * connecting fails with TCPX_EAGAIN, on both sides. Returns: 0, or TCPX_EAGAIN
 * if there is none.
 */
TCPX_EXPORT TCPX_MUST_CHECK int
tcpx_notify_poll(struct tcpx_session *session,
		 struct tcpx_notification **notification);
/* The same, waiting. Returns: 0 or TCPX_ETIMEDOUT. */
TCPX_EXPORT TCPX_MUST_CHECK int
tcpx_notify_wait(struct tcpx_session *session,
		 struct tcpx_notification **notification, int timeout_ms);
TCPX_EXPORT void tcpx_notify_free(struct tcpx_notification *notification);

#ifdef __cplusplus
}
#endif

#endif
