/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_FLOWS_H
#define CORE_FLOWS_H

/*
 * The lanes of a peering whose control connection we opened: which transport,
 * how many, and that they come back when they die. The transports both sides
 * allow are tried in our order; the first that gives a single lane is taken,
 * what the others said is kept for tcpx_peer_describe().
 *
 * session->lock is held in all of these but flows_dialed() and flows_on_*().
 */

#include <stdbool.h>
#include <stdint.h>

struct boot_result;
struct peer;
struct peering;

/* Tries the first transport. 0, or why there is nothing to try. */
int flows_open(struct peering *peering);
/* Takes note of what the engine has reported, opens again what has died.
 * Whether the peer is to be given up. */
bool flows_tick(struct peering *peering, uint64_t now_ns);
/* When the next dead one is to be opened again; UINT64_MAX: none is. */
uint64_t flows_due_ns(struct peering *peering);
/* A flow's connection is there, or will not be. Takes the lock. */
void flows_dialed(struct peering *peering, uint32_t rail, uint32_t flow,
		  int status, const char *cause,
		  const struct boot_result *result);

/* engine_ops; a peer's lock is held, so only word is left for flows_tick(). */
void flows_on_lane_lost(void *arg, struct peer *peer, uint32_t rail,
			uint32_t flow, uint32_t generation, const char *cause);
void flows_on_lane_opened(void *arg, struct peer *peer, uint32_t rail,
			  uint32_t flow, int status, const char *cause);

#endif
