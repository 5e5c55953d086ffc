/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_REMOTE_H
#define TCPX_TOOL_REMOTE_H

#include "bench.h"
#include "open.h"

/* Connects to a process made by peer_process_start(), or to a server by
 * HOST[:PORT]. Both wait until the peer answers, and complain. Set before:
 * remote->port, if it is not the usual one. */
int remote_join(struct tcpx_session *session, int fd,
		const struct tcpx_config *config, struct remote *remote);
int remote_dial(struct tcpx_session *session, const char *address,
		const struct tcpx_config *config, struct remote *remote);
/* Says goodbye to a server and gives up the peer. */
void remote_leave(struct remote *remote);

#endif
