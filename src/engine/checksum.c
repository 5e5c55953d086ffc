/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t checksum_spans(const struct span *spans, uint32_t n_spans)
{
	XXH3_state_t state;

	XXH3_64bits_reset(&state);
	for (uint32_t i = 0; i < n_spans; i++)
		XXH3_64bits_update(&state, spans[i].base, spans[i].len_bytes);
	return XXH3_64bits_digest(&state);
}

uint64_t checksum_list(const struct seglist *list, uint64_t pos,
		       uint64_t len_bytes)
{
	struct segcursor at = seglist_seek(list, pos);
	struct span spans[64];
	XXH3_state_t state;
	uint32_t n;

	XXH3_64bits_reset(&state);
	while (len_bytes) {
		uint64_t got =
			seglist_spans(list, &at, len_bytes, spans, 64, &n);

		if (!got)
			break;
		for (uint32_t i = 0; i < n; i++)
			XXH3_64bits_update(&state, spans[i].base,
					   spans[i].len_bytes);
		len_bytes -= got;
	}
	return XXH3_64bits_digest(&state);
}
