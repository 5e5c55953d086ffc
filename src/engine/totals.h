/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_TOTALS_H
#define ENGINE_TOTALS_H

/* What lanes have carried, summed up by rail. */

#include <stdint.h>

struct engine_transport;
struct lane;

struct rail_totals {
	const struct engine_transport *via;
	uint32_t rail;
	uint32_t flows; /* lanes that are open */
	uint64_t tx_bytes, rx_bytes, tx_chunks, rx_chunks;
	uint64_t resent_chunks, stalls;
};

/* A row for each rail that has had a lane. Zero: none. */
struct totals {
	struct rail_totals *rails;
	uint32_t n;
};

/* Both add to the row of that rail; without memory for a new one, nothing. */
void totals_add(struct totals *totals, const struct rail_totals *rail);
void totals_add_lane(struct totals *totals, struct lane *lane);
void totals_free(struct totals *totals);

#endif
