/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/totals.h"

#include <stdlib.h>

#include "engine/lane.h"

/* A new row if need be; NULL: no memory. */
static struct rail_totals *row_of(struct totals *totals,
				  const struct rail_totals *rail)
{
	struct rail_totals *grown;

	for (uint32_t i = 0; i < totals->n; i++)
		if (totals->rails[i].via == rail->via &&
		    totals->rails[i].rail == rail->rail)
			return &totals->rails[i];
	grown = realloc(totals->rails, (totals->n + 1) * sizeof(*grown));
	if (!grown)
		return NULL;
	totals->rails = grown;
	grown[totals->n] =
		(struct rail_totals){.via = rail->via, .rail = rail->rail};
	return &grown[totals->n++];
}

void rail_totals_add(struct rail_totals *to, const struct rail_totals *rail)
{
	to->flows += rail->flows;
	to->tx_bytes += rail->tx_bytes;
	to->rx_bytes += rail->rx_bytes;
	to->tx_chunks += rail->tx_chunks;
	to->rx_chunks += rail->rx_chunks;
	to->resent_chunks += rail->resent_chunks;
	to->stalls += rail->stalls;
}

static void add_row(struct totals *totals, const struct rail_totals *rail)
{
	struct rail_totals *row = row_of(totals, rail);

	if (row)
		rail_totals_add(row, rail);
	else
		totals->cut = true;
}

void totals_add(struct totals *totals, const struct totals *more)
{
	for (uint32_t i = 0; i < more->n; i++)
		add_row(totals, &more->rails[i]);
	rail_totals_add(&totals->sum, &more->sum);
}

void totals_add_lane(struct totals *totals, struct lane *lane)
{
	const struct rail_totals rail = {
		.via = lane->via,
		.rail = lane->rail,
		.flows = lane->state == LANE_OPEN,
		.tx_bytes = load_relaxed(&lane->tx_bytes),
		.rx_bytes = load_relaxed(&lane->rx_bytes),
		.tx_chunks = load_relaxed(&lane->tx_chunks),
		.rx_chunks = load_relaxed(&lane->rx_chunks),
		.resent_chunks = load_relaxed(&lane->resent_chunks),
		.stalls = load_relaxed(&lane->stalls),
	};

	add_row(totals, &rail);
	rail_totals_add(&totals->sum, &rail);
}

void totals_free(struct totals *totals)
{
	free(totals->rails);
	*totals = (struct totals){0};
}
