/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_LANDING_H
#define ENGINE_LANDING_H

/*
 * Bytes that came inside a control message and belong into device memory: a
 * small WRITE, a small SEND that met its RECV, the answer to a small READ.
 * They go into a pinned slot, and a GPU job takes them on. To the stream that
 * receives them it looks as if a chunk had come.
 *
 *   landing_start (any thread, lock held) -> peer->landings
 *   landings_run  (home's owner) ... -> stream->ended()
 */

#include <stdbool.h>
#include <stdint.h>

struct peer;
struct stream;

/* stream's list has device memory; its total is len_bytes. data is copied.
 * cost: counted in peer->device_waiting until it has landed; 0: not the peer's
 * request. The peer's lock held. Returns 0 or TCPX_ENOMEM. */
int landing_start(struct peer *peer, struct stream *stream, const void *data,
		  uint32_t len_bytes, uint64_t cost);
/* Goes on with them all; whether any ended. Home's owner, lock held. */
bool landings_run(struct peer *peer);
/* The peer's state is PEER_FAILING: waits for what runs, without starting
 * more; false while something does. As above. */
bool landings_drain(struct peer *peer);

#endif
