/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_API_CUT_H
#define TESTS_API_CUT_H

/*
 * Kills flows of a connection between two sessions of this process, from
 * outside: by their sockets, as a network would. Needs nothing but /proc.
 * What fails here ends the case.
 */

#include "support/sess.h"

#define CUT_FLOWS_MAX 16

struct cut {
	uint16_t port; /* that b listens on */
	uint16_t ctl; /* port of a's end of the control connection */
	uint16_t flows[CUT_FLOWS_MAX]; /* the same of the others */
	size_t n_flows;
};

/* Which of the connections is the control connection: the only one that a
 * few WRITEs do not grow. `a` has connected to `b`, with n_flows in all. */
void cut_learn(struct cut *cut, struct pair *pair, size_t n_flows);
/* Resets or closes one end of one flow, chosen at random. False: none is up
 * just now. From any thread. */
bool cut_one(struct cut *cut, uint64_t *seed);
/* The same to the control connection, whichever it is by now: no flow has been
 * cut before. */
bool cut_control(struct cut *cut, uint64_t *seed);

#endif
