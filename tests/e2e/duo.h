/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_E2E_DUO_H
#define TESTS_E2E_DUO_H

/*
 * This process and a peerd, connected, each with one region that the other
 * knows; and lists moved between them with every byte and hole checked on
 * both sides. What fails ends the case.
 */

#include "e2e/remote.h"

enum { SEED_HERE = 7, SEED_THERE = 8 };

struct duo {
	struct sess sess;
	struct remote remote;
	struct region here;
	size_t cap_bytes;
	int timeout_ms;
	uint64_t mem, handle; /* ours; theirs as we name it */
	uint64_t ours_there; /* ours as they name it */
	unsigned int index; /* theirs as they name it */
};

struct duo_params {
	size_t cap_bytes; /* of each region */
	int timeout_ms; /* of a transfer */
	const char *netns; /* of the peerd, or NULL */
	const char *const *env; /* settings of the peerd */
	sess_tweak_fn tweak; /* ours */
};

void duo_open(struct duo *duo, const struct duo_params *params);
void duo_close(struct duo *duo);
/* Both memories as at the start. */
void duo_reset(struct duo *duo);
void duo_check(struct duo *duo);
/* After a transfer of everything both hold the same bytes: said by a hash
 * that neither made up, not by what each thinks it should hold. */
void duo_same(struct duo *duo);
/* We post. */
void duo_list(struct duo *duo, enum tcpx_op op, uint64_t list_seed, size_t n,
	      uint64_t max_bytes);
/* They do. */
void duo_list_back(struct duo *duo, enum tcpx_op op, uint64_t list_seed,
		   size_t n, uint64_t max_bytes);
/* A bit of everything, both ways, about 4 x cap_bytes. */
void duo_play(struct duo *duo);

#endif
