/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_API_CUT_H
#define TESTS_API_CUT_H

/*
 * Kills flows of a connection between two sessions of this process, from
 * outside: by their sockets, as a network would. Needs nothing but /proc.
 * What fails here ends the case.
 */

#include "support/sess.h"

struct cut {
	uint16_t port; /* that b listens on */
	uint16_t ctl; /* port of a's end of the control connection */
};

/* Which of the connections is the control connection: the only one that a
 * few WRITEs do not grow. `a` has connected to `b`, with n_flows in all. */
void cut_learn(struct cut *cut, struct pair *pair, size_t n_flows);
/* Resets or closes one end of one flow, chosen at random. False: none is up
 * just now. From any thread. */
bool cut_one(struct cut *cut, uint64_t *seed);

#endif
