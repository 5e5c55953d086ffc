/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLUGINS_NIXL_COMMON_H
#define PLUGINS_NIXL_COMMON_H

/* What the parts of the plugin share: statuses, and how a notification and
 * the connection information look. */

#include <string>

#include <tcpx/p2p.h>

#include "abi.h"

/* NIXL's word for a status of the library. Everything that says the peer is
 * gone is REMOTE_DISCONNECT: NIXL then forgets the peer, so that it can be
 * loaded anew. */
abi::status status_for_nixl(int status);

/*
 * The connection information: INFO_MAGIC, then the library's blob.
 *
 * A notification as it travels:
 *
 *   u8 1 | u8 0 | u16 length of the agent's name, little end first | name |
 *   message
 *
 * The name is in it because the receiver may never have heard of the sender,
 * and because names of agents can be longer than those of sessions.
 */
#define INFO_MAGIC "TCPX1\n"

std::string note_encode(const std::string &agent, const std::string &message);
/* False: not one of ours. */
bool note_decode(const void *data, size_t len_bytes, std::string *agent,
		 std::string *message);
/* The longest message an agent of that name can send, in bytes. */
size_t note_max_bytes(const std::string &agent);

/* An agent's name may hold any bytes. This is one to be shown: well-formed
 * UTF-8 without control characters, what is neither as question marks, and a
 * "?" for an empty one. It has max_bytes at most and ends with a whole
 * character. */
std::string name_shown(const std::string &agent, size_t max_bytes);

#endif
