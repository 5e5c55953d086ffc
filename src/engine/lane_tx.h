/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_LANE_TX_H
#define ENGINE_LANE_TX_H

/* The sending half of a lane; called by lane.c, by the owner of its context. */

#include "engine/lane.h"

bool lane_tx_run(struct lane *lane);
/* Has a GPU begin to gather what the next run will send. */
void lane_tx_begin(struct lane *lane);
void lane_tx_sweep(struct lane *lane);
/* The channel is closed: nothing is read from memory any more. */
void lane_tx_close(struct lane *lane);
/* The fence has come: what was not placed goes back to its streams. Peer's
 * lock held. */
void lane_tx_requeue(struct lane *lane);
void lane_tx_free(struct lane *lane);
/* Failed: looks after running gathers; true when there are none. */
bool lane_tx_drain(struct lane *lane);
/* Would a run have something to give that GPU jobs were awaited for? */
bool lane_tx_ready(const struct lane *lane);

#endif
