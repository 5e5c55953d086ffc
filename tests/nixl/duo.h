/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_NIXL_DUO_H
#define TESTS_NIXL_DUO_H

/* Two agents in one process, with a region each. */

#include "side.h"
#include "support/pattern.h"
#include "support/scale.h"

#define M (1ul << 20)
#define SOON scale_ms(10000)

/* Agents a and b, a region each; a knows b. */
struct duo {
	struct side a, b;
	struct region near, far;
	void *near_reg, *far_reg;
};

void duo_open(struct duo *duo, size_t len_bytes);
void duo_open_as(struct duo *duo, size_t len_bytes,
		 const struct capi_config *config);
/* Both hold what they should. */
void duo_check(struct duo *duo);
/* Checks too. */
void duo_close(struct duo *duo);
uint64_t region_at(const struct region *region, uint64_t off);

/* What should be there after bytes of near were written to far, or those of
 * far read into near. */
void duo_want(struct duo *duo, enum capi_op op, uint64_t near_off,
	      uint64_t far_off, size_t len_bytes);
/* Moves them, and looks. */
void duo_move(struct duo *duo, enum capi_op op, uint64_t near_off,
	      uint64_t far_off, size_t len_bytes);

#endif
