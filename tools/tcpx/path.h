/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_PATH_H
#define TCPX_TOOL_PATH_H

/* What tcpx_peer_describe() says about the way to a peer. */

#include <jansson.h>
#include <stdio.h>
#include <tcpx/p2p.h>

struct path_summary {
	char transport[64];
	unsigned n_rails;
	unsigned n_flows; /* connections in all, at least 1 */
};

/* NULL, having complained. */
json_t *path_describe(struct tcpx_session *session, uint64_t peer);
void path_query(struct tcpx_session *session, uint64_t peer,
		struct path_summary *summary);
/* The drawing for people. */
void path_draw(FILE *out, const char *own_name, const json_t *description);

#endif
