/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_PROOF_H
#define TCPX_TOOL_PROOF_H

/*
 * What the NICs at both ends counted in device memory while something ran:
 * proof that a transport for it really carried the bytes.
 *
 *   proof_begin()   ... transfers ...   proof_end() -> what grew
 */

#include "bench.h"

#include <jansson.h>

/* This end's counters as they are: of the interfaces in use towards peer, and
 * of all that have any. [{ifname, in_use, why, counters: {name: value}}] */
json_t *proof_read(struct tcpx_session *session, uint64_t peer);

struct proof {
	json_t *here, *there;
};
/* Asks the server too; NULL in there: it does not say. */
void proof_begin(const struct remote *remote, struct proof *proof);
/* Reads again and drops what begin took. [{end, ifname, why, counters:
 * [{name, before, after}]}], docs/json.md. */
json_t *proof_end(const struct remote *remote, struct proof *proof);

/* Adds an end's entries to counted: of interfaces that were in use, and those
 * that counted something all the same. */
void proof_compare(json_t *counted, const char *end, const json_t *before,
		   const json_t *after);
/* By how much the packets received into device memory grew, both ends
 * together, as JSON; null: nobody counts them. */
json_t *proof_packets(const json_t *counted);
void proof_print(const json_t *counted);

#endif
