/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BOOT_INTERNAL_H
#define BOOT_INTERNAL_H

/*
 * What the files of boot share.
 *
 *   listen.c   sockets that listen; accepts, bounds what is half-open
 *   conn.c     one socket and its handshake, either role
 *   connect.c  one boot_connect(): addresses, attempts, deadline
 *   resolve.c  names to addresses, on threads of its own
 *   boot.c     the round: epoll, deadlines, the queue from other threads
 *
 * All state belongs to the thread in boot_run(), but for what is under lock.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/list.h"
#include "boot/boot.h"
#include "boot/handshake.h"
#include "boot/resolve.h"

#define BOOT_SUBSYSTEM "boot"
#define BOOT_CAUSE_MAX 192

/* First in everything that epoll points to. */
enum source_kind {
	SOURCE_LISTENER = 1,
	SOURCE_WAKE,
	SOURCE_CONN,
};

struct source {
	enum source_kind kind;
};

/* At most burst lines at once and one a second after that; the line that
 * comes next says how many were left out. */
struct log_limit {
	uint64_t refilled_ns;
	uint32_t n_tokens;
	uint64_t n_left_out;
};

/* One socket that is not a connection yet. */
struct conn {
	struct source source;
	struct list node; /* boot->silent, greeted, admitted or dialing;
				   dead until the round ends */
	int fd;
	uint32_t interest; /* epoll events asked for */
	bool connecting; /* connect() has not finished */
	bool half_open; /* counted in boot->n_half_open */
	bool greeted; /* its HELLO was good */
	bool admitted; /* ops->admit() said 0 */
	bool refused; /* it said something else */
	bool met; /* outgoing: ops->met() has been asked */
	bool dead;
	uint64_t since_ns; /* of accept or connect, then of the HELLO */
	uint64_t deadline_ns;
	struct net_addr remote;
	struct dial *dial; /* outgoing: whose attempt it is */
	struct handshake hs;
};

/* One boot_connect(). */
struct dial {
	struct list node; /* newcomers (under lock), then dials */
	struct list all_node; /* boot->all_dials, under lock */
	uint64_t cookie; /* constant */
	_Atomic bool canceled; /* any thread sets it, the loop reads it */

	struct boot_target target; /* host is unused */
	char host[256]; /* "" where target.addr is given */
	uint16_t port;
	uint64_t deadline_ns;
	uint64_t next_ns; /* of the next attempt or look */
	uint32_t delay_ms;
	struct conn *conn; /* the attempt under way, or NULL */
	struct resolve_query *query; /* the name being looked up, or NULL */
	struct net_addr addrs[RESOLVE_ADDRS_MAX];
	uint32_t n_addrs, at_addr;
	int status; /* of the last attempt, or 0 */
	bool final; /* another attempt would end no better */
	char cause[BOOT_CAUSE_MAX];
};

struct boot {
	const struct log *log;
	const struct boot_ops *ops;
	void *arg;
	struct handshake_self self;
	void *rails; /* self.rails */
	uint32_t max_half_open, timeout_ms;
	int epoll_fd, wake_fd, listen_fd;
	uint16_t port;
	struct source listener, wake;
	uint64_t next_ns; /* nothing is due before */

	struct list silent; /* incoming, no HELLO yet; oldest first */
	struct list greeted; /* incoming, HELLO was good; oldest first */
	struct list admitted; /* incoming, proved; VERDICT not sent yet */
	struct list dialing; /* outgoing */
	struct list dead;
	uint32_t n_half_open; /* on silent and greeted */
	bool accepting; /* the listener is in epoll */
	uint64_t resume_ns; /* when to accept again */
	bool out_of_fds; /* logged; until an accept succeeds */
	struct log_limit complaints;

	struct resolver *resolver;
	struct list dials;
	pthread_mutex_t lock;
	struct list newcomers; /* under lock: not seen by the loop yet */
	struct list all_dials; /* under lock: both, for boot_cancel() */
};

/* boot.c */
/* A deadline was set: the loop must not sleep past it. */
void boot_due(struct boot *boot, uint64_t at_ns);
int boot_watch(struct boot *boot, int fd, uint32_t events,
	       struct source *source);
/* One line about a connection from outside; few in a flood. */
void boot_complain(struct boot *boot, enum tcpx_log_level level,
		   const struct net_addr *remote, const char *name,
		   const char *cause);

/* listen.c */
int listen_open(struct boot *boot, const struct boot_params *params);
void listen_close(struct boot *boot);
void listen_accept(struct boot *boot);
/* Goes on accepting once resume_ns has passed. */
void listen_resume(struct boot *boot, uint64_t now_ns);

/* conn.c */
/* NULL: out of memory or watches. The fd, non-blocking, becomes the conn's. */
struct conn *conn_create(struct boot *boot, int fd,
			 const struct net_addr *remote, uint32_t interest,
			 struct list *on);
/* Carries bytes as far as they go. The conn may be dead afterwards. */
void conn_io(struct boot *boot, struct conn *conn);
/* What epoll said. */
void conn_event(struct boot *boot, struct conn *conn);
/* Ends it and tells nobody; the memory lives until conn_reap(). */
void conn_kill(struct boot *boot, struct conn *conn);
/* Its time is over. */
void conn_expire(struct boot *boot, struct conn *conn);
void conn_reap(struct boot *boot);
/* IPv4 in the shape of IPv6, as a dual-stack listener gives it, is IPv4. */
void conn_unmap(struct net_addr *addr);

/* connect.c */
int dial_create(struct boot *boot, const struct boot_target *target,
		uint64_t cookie, uint32_t timeout_ms, struct dial **dial);
void dial_destroy(struct boot *boot, struct dial *dial);
/* Starts what is due, ends what is over or canceled. */
void dial_run(struct boot *boot, struct dial *dial, uint64_t now_ns);
/* Its attempt has ended, its conn is dead: it is connected, or not. */
void dial_done(struct boot *boot, struct dial *dial,
	       const struct boot_result *result);
void dial_failed(struct boot *boot, struct dial *dial, int status, bool final,
		 const char *cause);
/* For errno of a socket call. */
int dial_status(int error);

#endif
