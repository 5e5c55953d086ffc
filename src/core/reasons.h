/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_REASONS_H
#define CORE_REASONS_H

/* Why a transport does not carry something, in words. session->lock is held. */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct engine_transport;
struct peering;
struct tcpx_session;

bool reasons_any_gpu(const struct tcpx_session *session);
void reasons_add(json_t **rejected, const char *transport, const char *why);
/* Why a lane to that device's rail did not come, or broke; device: that of the
 * receiving end, as on the wire; 0: any. NULL: nothing is known against it. */
const char *reasons_rail(struct peering *peering,
			 const struct engine_transport *via, bool sending,
			 uint32_t device);
/* Why none of its lanes in that direction is open. */
void reasons_not_open(struct peering *peering,
		      const struct engine_transport *via, bool sending,
		      uint32_t device, char *why, size_t cap_bytes);
/* What is not allowed or cannot be used on this machine, and what is no
 * transport at all. */
void reasons_not_here(struct peering *peering, json_t **rejected);
/* Flows of a transport in use that are not open. */
void reasons_flows(struct peering *peering, const struct engine_transport *via,
		   json_t **rejected);
/* Every transport there is: in use with this peer, or why not. */
json_t *transports_json(struct peering *peering);

#endif
