/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_CHECKSUM_H
#define ENGINE_CHECKSUM_H

/* XXH3-64 of a chunk's payload: guards against what TCP's own checksum does
 * not see. Off by default. */

#include <stdint.h>

#include "base/span.h"
#include "engine/seglist.h"

uint64_t checksum_spans(const struct span *spans, uint32_t n_spans);
uint64_t checksum_list(const struct seglist *list, uint64_t pos,
		       uint64_t len_bytes);

#endif
