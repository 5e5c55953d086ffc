/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_FLOWS_H
#define CORE_FLOWS_H

/*
 * The lanes of a peering, of every transport that both sides use, all at once:
 *
 *   adopted    (socket) dialed by the side that opened the control connection,
 *              both ways; with the first round of them the peer is up,
 *              and a moment after the first of them if others take long
 *   offered    by each side, on each of its rails, to receive on; they join
 *              when they are ready, however long that takes
 *
 * What dies or does not come is asked for again, after longer and longer. Where
 * nothing is adopted, the peer is up when bytes can go and come over what was
 * offered, and lost if none comes.
 *
 * session->lock is held in all of these but flows_dialed() and flows_on_*().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct boot_result;
struct boot_target;
struct engine_transport;
struct peer;
struct peering;

/* Where their listener is reached by that rail, and from which address of ours. */
void flows_aim(const struct peering *peering, uint32_t rail,
	       struct boot_target *target);
/* Which transports and how many lanes; before there is an engine's peer. */
int flows_plan(struct peering *peering);
/* Asks for all of them. 0, or why there is nothing to ask for. */
int flows_open(struct peering *peering);
/* Once the engine reports nothing of that peer any more. */
void flows_free(struct peering *peering);
/* Takes note of what the engine has reported. */
void flows_hear(struct peering *peering);
/* The same, and opens again what has died.
 * Whether the peer is to be given up; peering->cause says why. */
bool flows_tick(struct peering *peering, uint64_t now_ns);
/* When the next dead one is to be opened again; UINT64_MAX: none is. */
uint64_t flows_due_ns(struct peering *peering);
/* A flow's connection is there, or will not be. Takes the lock. */
void flows_dialed(struct peering *peering, uint32_t rail, uint32_t flow,
		  int status, const char *cause,
		  const struct boot_result *result);

/* engine_ops; a peer's lock is held, so only word is left for flows_tick(). */
void flows_on_lane_lost(void *arg, struct peer *peer,
			struct engine_transport *via, uint32_t id,
			uint32_t rail, const char *cause);
void flows_on_lane_opened(void *arg, struct peer *peer,
			  struct engine_transport *via, uint32_t id,
			  uint32_t rail, int status, const char *cause);

#endif
