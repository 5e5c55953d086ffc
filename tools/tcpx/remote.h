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

/*
 * HOST[:PORT] in its forms "name", "name:port", "1.2.3.4", "::1", "[::1]",
 * "[::1]:port": writes host alone and "host:port" with the given port where
 * there is none. Returns 0 or -1 if either does not fit.
 */
int address_split(const char *address, uint16_t port, char *host,
		  size_t cap_host_bytes, char *full, size_t cap_full_bytes);

#endif
