/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PAIRS_H
#define CORE_PAIRS_H

/* What tcpx_peer_describe() says of pairs of devices. session->lock is held. */

#include <jansson.h>

struct peering;

/* One a pair of devices and direction; a single one where all lanes serve all
 * devices alike. NULL: no memory. */
json_t *pairs_json(struct peering *peering);

#endif
