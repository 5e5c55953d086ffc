/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_SESS_H
#define TESTS_SUPPORT_SESS_H

/*
 * Sessions as tests want them: opened with a log that is kept, in pairs that
 * are connected, in three kinds, so that every data test runs in each. What
 * fails here ends the case.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <tcpx/p2p.h>

#include "support/pattern.h"

#define SESS_LINES 64u

struct sess {
	struct tcpx_session *s;
	_Atomic(struct tcpx_session *) live; /* s, while the log may use it */
	bool driven; /* 0 workers */
	pthread_mutex_t lock; /* guards what follows */
	unsigned int n_by_level[TCPX_LOG_TRACE + 1];
	unsigned int n_lines;
	char lines[SESS_LINES][256]; /* the last ones */
};

typedef void (*sess_tweak_fn)(struct tcpx_config *config);

/* Defaults, loopback, two workers, then tweak (may be NULL). */
void sess_open(struct sess *sess, const char *name, sess_tweak_fn tweak);
/* Prints the log if it has warnings and TEST_VERBOSE is set. */
void sess_close(struct sess *sess);
/*
 * What is wrong with a call is logged when it returns; all other lines come a
 * moment later, in the control thread. So those that are expected are waited
 * for.
 */

/* Lines of level warn and error so far. */
unsigned int sess_warnings(struct sess *sess);
/* The same, once there are `at_least`, or in vain. */
unsigned int sess_await_warnings(struct sess *sess, unsigned int at_least);
/* Is there, or comes soon, a line with this text (among the last SESS_LINES)? */
bool sess_logged(struct sess *sess, const char *text);
/* Waits until `warnings` lines of level warn and error have come, one of them
 * with this text, and a moment more: there are not more. */
void sess_must_warn(struct sess *sess, unsigned int warnings, const char *text);
void sess_print_log(struct sess *sess);

enum pair_kind {
	PAIR_TWO, /* two sessions with workers */
	PAIR_SELF, /* one session, connected to itself */
	PAIR_DRIVEN, /* two sessions without workers */
};

struct pair {
	struct sess first, second;
	struct sess *a, *b; /* the same one for PAIR_SELF */
	uint64_t ab, ba; /* b as a peer of a, a as a peer of b */
};

void pair_open(struct pair *pair, enum pair_kind kind, sess_tweak_fn tweak);
void pair_close(struct pair *pair);
/* One round of both when they have no workers. */
void pair_drive(struct pair *pair);
/* As tcpx_xfer_wait(), driving both sides when they have no workers. */
int pair_wait(struct pair *pair, struct sess *sess, uint64_t xfer,
	      int timeout_ms);
int pair_wait_peer(struct pair *pair, struct sess *sess, uint64_t peer,
		   int timeout_ms);
int pair_wait_event(struct pair *pair, struct sess *sess,
		    struct tcpx_event *event, int timeout_ms);
int pair_wait_note(struct pair *pair, struct sess *sess,
		   struct tcpx_notification **note, int timeout_ms);

/* Connects from `from` to `to` by blob and waits; the peer. */
uint64_t sess_connect(struct sess *from, struct sess *to);
uint64_t sess_register(struct sess *sess, const struct region *region,
		       uint32_t access);
/* Hands the region `mem` of `owner` to `user`; its handle there. */
uint64_t sess_share(struct sess *owner, uint64_t mem, struct sess *user);

uint64_t xfer_make(struct sess *sess, uint64_t peer, enum tcpx_op op,
		   const struct tcpx_segment *segments, size_t n, uint64_t tag);
/* One segment. */
uint64_t xfer_one(struct sess *sess, uint64_t peer, enum tcpx_op op,
		  uint64_t local, uint64_t local_off, uint64_t remote,
		  uint64_t remote_off, uint64_t len_bytes);
/* Side a of the layout is local, side b remote. Free it with free(). */
struct tcpx_segment *layout_segments(const struct layout *layout,
				     uint64_t local, uint64_t remote);
uint64_t xfer_layout(struct sess *sess, uint64_t peer, enum tcpx_op op,
		     const struct layout *layout, uint64_t local,
		     uint64_t remote);

#endif
