/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_PATH_H
#define TCPX_TOOL_PATH_H

/* What tcpx_peer_describe() says about the way to a peer. */

#include "area.h"

#include <jansson.h>
#include <stdio.h>
#include <tcpx/p2p.h>

#define PATH_WAYS_MAX 8
#define PATH_ADDR_MAX 80

struct path_summary {
	char transport[64];
	unsigned n_rails;
	unsigned n_flows; /* connections in all, at least 1 */
	/* Of those rails that we opened: our address, and theirs with a port. */
	unsigned n_ways;
	struct path_way {
		char local[PATH_ADDR_MAX], remote[PATH_ADDR_MAX];
	} ways[PATH_WAYS_MAX];
};

/* NULL, having complained. */
json_t *path_describe(struct tcpx_session *session, uint64_t peer);
/* That of the pair of these places. */
void path_query(struct tcpx_session *session, uint64_t peer,
		const struct place *local, const struct place *remote,
		struct path_summary *summary);
/* The drawing for people. allowed: the setting "transports"; of the others
 * only those are named that could carry bytes between processes, unless all
 * are wanted. mem, peer_mem: what was in use at each end, as "gpu:0"; NULL:
 * as described. A way that serves all devices alike is described as the
 * hosts'. only_local, only_remote: just the pair of these, unless all are
 * wanted; NULL: every pair. */
struct path_view {
	const char *own_name;
	const char *allowed;
	const char *mem, *peer_mem;
	const struct place *only_local, *only_remote;
	bool all;
};
void path_draw(FILE *out, const struct path_view *view,
	       const json_t *description);

#endif
