/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_LOOP_H
#define TESTS_SUPPORT_LOOP_H

/*
 * A program that sleeps in epoll and nowhere else: no wait of the library's,
 * and no timeout. Whatever comes must end the sleep; what is lost is a case
 * that its alarm ends. What fails here ends the case.
 */

#include "support/sess.h"

#define LOOP_REGION_BYTES (6u << 20)

struct loop {
	int epfd;
	bool edge; /* of descriptors added from now on */
	uint32_t wanted; /* at first all but events, which not all take */
	struct sess *sess[2];
	int fds[2];
	unsigned int n, n_sleeps;
	uint64_t longest_ns; /* of the sleeps */
};

void loop_init(struct loop *loop);
/* Says how it has slept. A thread of the session's looks after it now and then,
 * so a wake that is lost may be found again by that: seen in the longest. */
void loop_fini(struct loop *loop);
/* At most two. Driven, if it has no workers. */
void loop_add(struct loop *loop, struct sess *sess);
/* Something else to wake up for. */
void loop_add_fd(struct loop *loop, int fd);
/* A loop over both; of a session connected to itself over the one. */
void loop_pair(struct loop *loop, struct pair *pair, bool edge);
/* Drives what is to be driven, once. */
void loop_drive(struct loop *loop);
/* Drives, looks, and sleeps for as long as it takes. */
void loop_until(struct loop *loop, bool (*look)(void *arg), void *arg);

/* What a look looks at; all of it must be there. */
struct watch {
	struct sess *sess;
	uint64_t xfer; /* 0: none */
	struct sess *note_sess; /* NULL: none */
	struct sess *event_sess; /* NULL: none, else the first of this kind: */
	enum tcpx_event_kind kind;
	int status; /* of xfer */
	struct tcpx_notification *note;
	struct tcpx_event event;
};

bool watch_look(void *watch);

/* Pairs whose sessions have that many workers, by loop_tweak(). */
enum pair_kind loop_kind(int workers);
void loop_tweak(struct tcpx_config *config);
/* The transports of this run go from process to process, and carry memory of
 * GPUs. */
bool loop_over_sockets(void);

/* A region here, for either side of a transfer, and one there. */
struct ends {
	struct region here, there;
	uint64_t local, remote, there_mem;
};

void ends_open(struct ends *ends, struct pair *pair);
void ends_close(struct ends *ends);
/* deadline_ms 0: none. */
void loop_post(struct sess *sess, uint64_t xfer, bool notify,
	       uint32_t deadline_ms);

#endif
