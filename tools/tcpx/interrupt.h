/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_INTERRUPT_H
#define TCPX_TOOL_INTERRUPT_H

/*
 * A server that is interrupted (SIGINT, SIGTERM) tells its client at once, in
 * whatever the two are just busy with: a thread waits for the signals and says
 * goodbye, and what was under way fails by that.
 */

#include "raw.h"

#include <stdbool.h>
#include <tcpx/p2p.h>

/* Before any other thread is made: they are not to take the signals. A second
 * signal ends the process as usual. Returns 0 or -1. */
int interrupt_watch(void);
bool interrupt_came(void);
/* Who is told, and whose raw flows are cut then; 0 and NULL: nobody's. */
void interrupt_set_peer(struct tcpx_session *session, uint64_t peer);
void interrupt_set_link(const struct raw_link *link);

#endif
