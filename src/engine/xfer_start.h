/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_XFER_START_H
#define ENGINE_XFER_START_H

/* How a posted transfer becomes messages: small ones whole, others as a list
 * (streamed in parts, kept by the peer for reposts) and a request. The peer's
 * lock is held. */

#include <stdbool.h>
#include <stdint.h>

struct stream;
struct xfer;

bool xfer_is_small(const struct xfer *xfer);
/* What a started one has of peer->device_out: 0 unless it is small and the
 * other end is a device's. */
uint64_t xfer_device_cost(const struct xfer *xfer);
/* It ended: its list stays with the peer, first in line to be forgotten last,
 * or is dropped if it was not sent whole. */
void xfer_list_idle(struct xfer *xfer);
/* What streams call at their end (stream->ended). */
void xfer_read_ended(struct stream *stream, int status, const char *cause);
void xfer_send_ended(struct stream *stream, int status, const char *cause);

#endif
