/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_TOTALS_H
#define ENGINE_TOTALS_H

/* What lanes have carried, summed up by rail. */

#include <stdbool.h>
#include <stdint.h>

struct engine_transport;
struct lane;

struct rail_totals {
	const struct engine_transport *via;
	uint32_t rail;
	uint64_t flows; /* lanes that are open */
	uint64_t tx_bytes, rx_bytes, tx_chunks, rx_chunks;
	uint64_t resent_chunks, stalls;
};

/* A row for each rail that has had a lane, and their sum. Zero: none. */
struct totals {
	struct rail_totals *rails;
	uint32_t n;
	bool cut; /* there was no memory for a row: it is in the sum alone */
	struct rail_totals sum;
};

/* Numbers alone, whatever rail they are of. */
void rail_totals_add(struct rail_totals *to, const struct rail_totals *rail);
void totals_add(struct totals *totals, const struct totals *more);
void totals_add_lane(struct totals *totals, struct lane *lane);
void totals_free(struct totals *totals);

#endif
