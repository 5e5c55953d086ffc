/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_LANE_OFFER_H
#define ENGINE_LANE_OFFER_H

/* Lanes of transports that listen and connect themselves; see the .c file
 * for the exchange. The peer's lock is held in both, by home's owner. */

#include <stdbool.h>

struct peer;

/* Moves every offer on; whether there are any, so that it is called again. */
bool lane_offers_run(struct peer *peer);
void lane_offers_free(struct peer *peer);

#endif
