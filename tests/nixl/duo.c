/* SPDX-License-Identifier: Apache-2.0 */
#include "duo.h"

#include "check.h"

uint64_t region_at(const struct region *region, uint64_t off)
{
	return (uint64_t)(uintptr_t)region->data + off;
}

void duo_open_as(struct duo *duo, size_t len_bytes,
		 const struct capi_config *config)
{
	side_open_config(&duo->a, "a", config, NULL);
	side_open_config(&duo->b, "b", config, NULL);
	region_init(&duo->near, len_bytes, 1);
	region_init(&duo->far, len_bytes, 2);
	duo->near_reg = side_register(&duo->a, duo->near.data, len_bytes);
	duo->far_reg = side_register(&duo->b, duo->far.data, len_bytes);
	side_know(&duo->a, &duo->b);
}

void duo_open(struct duo *duo, size_t len_bytes)
{
	const struct capi_config config = {.progress_thread = true,
					   .sync = CAPI_SYNC_STRICT};

	duo_open_as(duo, len_bytes, &config);
}

void duo_check(struct duo *duo)
{
	CHECK(region_check(&duo->near, "near"));
	CHECK(region_check(&duo->far, "far"));
}

void duo_close(struct duo *duo)
{
	duo_check(duo);
	side_deregister(&duo->a, duo->near_reg);
	side_deregister(&duo->b, duo->far_reg);
	side_close(&duo->a);
	side_close(&duo->b);
	region_fini(&duo->near);
	region_fini(&duo->far);
}

/* Bytes of near into far, or the other way, as they are now. */
void duo_want(struct duo *duo, enum capi_op op, uint64_t near_off,
	      uint64_t far_off, size_t len_bytes)
{
	if (op == CAPI_WRITE)
		memcpy(duo->far.want + far_off, duo->near.want + near_off,
		       len_bytes);
	else
		memcpy(duo->near.want + near_off, duo->far.want + far_off,
		       len_bytes);
}

void duo_move(struct duo *duo, enum capi_op op, uint64_t near_off,
	      uint64_t far_off, size_t len_bytes)
{
	void *req = side_one(&duo->a, op, "b", duo->near.data + near_off,
			     region_at(&duo->far, far_off), len_bytes, NULL, 0);

	side_run(&duo->a, req);
	side_release(&duo->a, req);
	duo_want(duo, op, near_off, far_off, len_bytes);
	duo_check(duo);
}
