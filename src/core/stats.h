/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_STATS_H
#define CORE_STATS_H

/* What a peer has done, or several of them together. */

#include <stdint.h>

#include "engine/totals.h"

struct peer;

struct peer_totals {
	uint64_t done, failed, notes_in, notes_out, ctl_tx, ctl_rx;
	uint64_t ctl_resumed;
	struct rail_totals rails; /* all together */
};

/* So far; final once the peer has been shut down. Takes its lock. */
void stats_of_peer(struct peer *peer, struct peer_totals *did);
void peer_totals_add(struct peer_totals *to, const struct peer_totals *did);

#endif
