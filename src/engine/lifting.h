/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_LIFTING_H
#define ENGINE_LIFTING_H

/*
 * Small bytes of a device that are to go inside a control message: a GPU job
 * gathers them into a pinned slot first. The mirror image of landing.h.
 *
 *   lifting_start (any thread, lock held) -> peer->liftings
 *   liftings_run  (home's owner) ... -> ended(): the bytes are in the slot
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct gpu;
struct gpu_job;
struct peer;
struct stream;

struct lifting {
	struct list link;	/* peer->liftings */
	struct stream *stream;	/* one reference, counted in n_busy until the
				   bytes are lifted */
	struct gpu *gpu;
	struct gpu_job *job;	/* NULL: lifted, or not begun */
	void *slot;		/* NULL: none was free yet */
	uint32_t len_bytes;
	uint64_t cost;		/* in peer->device_waiting */
	/* With the peer's lock held, by home's owner; not if the stream is
	 * dead by then. data is the lifting's, until it returns. */
	void (*ended)(struct lifting *lifting, int status, const void *data);
};

/* Can these bytes be lifted: all of one device, few enough? */
bool lifting_fits(const struct stream *stream);
/* stream: its list is what is lifted, whole. cost: as landing_start(). Lock
 * held. 0 or TCPX_ENOMEM. */
int lifting_start(struct peer *peer, struct stream *stream, uint64_t cost,
		  void (*ended)(struct lifting *lifting, int status,
				const void *data));
/* Goes on with them all; whether any ended. Home's owner, lock held. */
bool liftings_run(struct peer *peer);
/* As landings_drain(). */
bool liftings_drain(struct peer *peer);

#endif
