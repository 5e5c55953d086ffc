/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_LANE_RX_H
#define ENGINE_LANE_RX_H

/* The receiving half of a lane; called by lane.c, by the owner of its
 * context. */

#include "engine/lane.h"

/* Posts the first receives and grants them. */
int lane_rx_start(struct lane *lane);
bool lane_rx_run(struct lane *lane);
void lane_rx_sweep(struct lane *lane);
/* The channel is closed: nothing is written to memory any more. */
void lane_rx_close(struct lane *lane);
void lane_rx_free(struct lane *lane);
/* Receives are under way that only polling will finish. */
bool lane_rx_pending(const struct lane *lane);
/* As lane_tx_drain() and lane_tx_ready(), of placing by GPU jobs. */
bool lane_rx_drain(struct lane *lane);
bool lane_rx_ready(const struct lane *lane);

#endif
