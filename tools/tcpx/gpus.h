/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_GPUS_H
#define TCPX_TOOL_GPUS_H

#include <jansson.h>
#include <tcpx/p2p.h>

/* The GPUs a session sees, as docs/json.md has them; if none, why: otherwise
 * an empty string. */
json_t *gpus_list(struct tcpx_session *session, char *why, size_t cap_bytes);
/* One of the list for people. */
const char *gpus_line(const json_t *gpu, char *buf, size_t cap_bytes);

#endif
