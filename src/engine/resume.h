/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_RESUME_H
#define ENGINE_RESUME_H

/*
 * A control connection that is lost, and another one in its place. Both sides
 * have numbered what they sent, and keep it until it is acknowledged, so nothing
 * is lost with it, and nothing is taken in twice:
 *
 *   UP      ended or broken                              the other one came,
 *    |  \                                                whatever this one is
 *    |   `--> DOWN    who opened it dials (core/redial.c)     |
 *    |         |      the other side waits                    |
 *    |         '--------------> GREETS <----------------------'
 *    |                            | each side begins with an ACK, which says
 *    '<---------------------------' what it has taken in; the rest goes again
 *
 * Lanes and what they carry go on meanwhile. The peer is lost with what ended
 * the connection when nothing has come of it in time: the liveness time, or half
 * of it where the connection had been silent for all of one. It is lost at once
 * where there is nobody to come back: a process that has ended answers no dial,
 * and its flows end with it.
 *
 * DOWN is entered and left by home's owner alone, so a connection is not read
 * any more once the number it was read to has been told.
 */

#include <stdbool.h>
#include <stdint.h>

#include "wire/msg.h"

struct peer;

/* Home's owner: the connection has ended, and that is what it means if it is not
 * resumed. */
void resume_lost(struct peer *peer, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Home's owner, in a round: does what is due. */
void resume_run(struct peer *peer);
/* Home's owner, peer's lock held: the first frame of the other one. */
int resume_greeted(struct peer *peer, const struct msg_header *h);
/* The tick's, peer's lock held: nothing has come for the liveness time. */
void resume_silent(struct peer *peer);
/* ... and the connection is not UP: is it time to give up? */
void resume_tick(struct peer *peer, uint64_t now_ns);
/* Lock held: a lane is gone, and perhaps it was the last. */
void resume_lane_gone(struct peer *peer);

/* ---- core's, which dials or is dialed ---------------------------------- */

/* This one takes its place: `via` is by what, for people. The fd is taken in any
 * case; TCPX_EPEER: nobody wants it any more. */
int resume_with(struct peer *peer, int fd, const char *via);
/* We opened it and are to open another: it is lost, or so silent that it may be.
 * If not, *due_ns is lowered to when it may be. */
bool resume_wanted(struct peer *peer, uint64_t now_ns, uint64_t *due_ns);
/* It is lost, and nobody will come: so is the peer, for the same cause and why
 * nobody comes. Nothing happens if it is not lost. */
void resume_give_up(struct peer *peer, const char *why);
/* Anything else is refused: it is over, or about to be. */
bool resume_possible(struct peer *peer);

#endif
