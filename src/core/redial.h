/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_REDIAL_H
#define CORE_REDIAL_H

/*
 * The control connection of a peer once more (engine/resume.h): who dials, and
 * who is let in.
 *
 * The side that opened it asks for another one where the last one was, then by
 * each rail of the peer's, a moment apart or at once when one says no; the first
 * to answer goes on alone, the others leave. Rounds of that go on until one is
 * in place or the peer is lost: at once, if all say no (nobody listens there any
 * more, or somebody else does), or if the session itself says that it does not
 * know that peer.
 *
 * The other side takes what proves the secret and names session and token of a
 * peer it has, if it is a later attempt than the last one taken: a connection
 * that was given up on its way takes no other's place.
 *
 * All of it in the control thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct boot_result;
struct peer;
struct peering;
struct tcpx_session;

/* Of a peering, under session->lock. */
struct redial {
	bool runs;		/* we dial */
	bool met;		/* one was answered; the others are to leave */
	uint32_t next;		/* where to ask next: 0 where it was, then rails */
	uint32_t n_dialing;
	uint32_t n_asked, n_refused; /* in this round */
	uint32_t n_rounds;
	uint64_t next_ns;	/* when to ask there */
	uint32_t generation;	/* of our last attempt, or of the last taken */
	uint32_t round_first;	/* the round's first attempt */
	char why[112];		/* of the last refusal */
};

/* Dials, or stops to. When it is to be called again at the latest goes to
 * *due_ns; whether that is soon. Takes the lock. */
bool redial_look(struct peering *peering, uint64_t now_ns, uint64_t *due_ns);
/* boot_ops of a dial of ours. met: 0, or it is to leave; lock held. The other
 * takes the lock; met: it was answered, and went on. */
int redial_met(struct peering *peering);
void redial_dialed(struct peering *peering, uint32_t generation, bool met,
		   int status, const char *cause,
		   const struct boot_result *result);
/* boot_ops of one of theirs; lock held. 0, or why not, also in words. */
int redial_admit(struct tcpx_session *session, const struct boot_result *result,
		 char *why, size_t cap_bytes);
void redial_accepted(struct tcpx_session *session,
		     const struct boot_result *result);
/* engine_ops; a peer's lock is held. */
void redial_on_control_lost(void *arg, struct peer *peer);

#endif
