/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_DEVICE_H
#define ENGINE_DEVICE_H

/*
 * Chunks whose bytes lie in device memory. The CPU cannot touch those, so
 * they go through memory that both can reach (a pinned slot, or whatever
 * pages the transport received into), and a GPU job moves them:
 *
 *   sending     segments --gather job--> slot --> post_send
 *   receiving   slot, fragments --placing (jobs, and memcpy for segments in
 *               host memory)--> segments
 *
 * A list may name memory of several devices and of the host: a chunk to be
 * sent is cut where that changes, one to be received is placed by as many
 * jobs as it takes.
 *
 * Threads: a lane's owner's.
 */

#include <stdbool.h>
#include <stdint.h>

#include "engine/seglist.h"
#include "gpu/gpu.h"
#include "transport/transport.h"

#define PLACING_JOBS 4 /* of one chunk at once */

/* A device as the wire names it: 0 the host, 1 + its index. */
uint32_t device_number(const struct gpu *gpu);
/* Whose memory byte `at` is in; NULL: the host's. */
struct gpu *device_at(const struct seglist *list, struct segcursor at);
/* Whether (and whose) device memory is among len_bytes from pos on; the first
 * if there are several, NULL if there is none. */
struct gpu *device_within(const struct seglist *list, uint64_t pos,
			  uint64_t len_bytes);
/* Says in text that the GPU "failed to" do what, and its driver's name for it,
 * once that is known. gpu: NULL for one that is not here. */
void device_say(const struct gpu *gpu, const char *what, char *text,
		size_t cap_bytes);
/* The same of the GPU that those bytes are on. */
void device_say_failed(const struct seglist *list, uint64_t pos,
		       uint64_t len_bytes, const char *what, char *text,
		       size_t cap_bytes);
/* How many bytes from `at` on, at most max_bytes, one chunk may take: all in
 * the memory that `at` is in, and as many segments as a job can have. */
uint32_t device_run(const struct seglist *list, struct segcursor at,
		    uint32_t max_bytes);
/* Has len_bytes from `from` on gathered into slot; submits the job. Returns 0
 * or TCPX_EINTERNAL (more segments than device_run() allows). */
int device_gather(const struct seglist *list, struct segcursor from, void *slot,
		  uint32_t len_bytes, struct gpu_job *job);

/* A device with jobs that are submitted and not started is remembered in
 * *waiting, one at a time: a job of another device starts the first one's. */
void device_submitted(struct gpu **waiting, struct gpu *gpu);
/* Starts what waits, if anything does. */
void device_flush(struct gpu **waiting);

/* An arrived chunk on its way to where it belongs. Zeroed at first. */
struct placing {
	struct gpu_job *jobs[PLACING_JOBS]; /* submitted, oldest first */
	uint32_t n_jobs;
	uint32_t fragment;	/* the next byte to look after: */
	uint32_t off;		/* ... of fragments[fragment] */
	int status;		/* of jobs that have ended */
	void *slot;		/* pinned: bytes on their way from a GPU's
				   pages to the host's or another GPU's
				   memory; at their place in the chunk */
	bool from_slot;		/* the second way: out of it */
};

struct arrived {
	const uint8_t *base;
	const struct transport_fragment *fragments; /* inside the chunk */
	uint32_t n_fragments;
	struct gpu *gpu;	/* whose memory base is: jobs run there; NULL:
				   the host's */
	bool through_host;	/* by a slot also what is that GPU's */
};

/*
 * Goes on with it. list NULL: nothing new is started, what runs is waited
 * for. *flush: set to a device with submitted jobs; one that was set before
 * is flushed first. Returns TCPX_INPROGRESS, and when nothing is running any
 * more 0, TCPX_EGPU, or TCPX_ENOMEM (a chunk larger than a pinned slot).
 */
int placing_run(struct placing *placing, const struct seglist *list,
		uint64_t pos, const struct arrived *arrived,
		struct gpu **flush);
/* Lets go of it with jobs that run. */
void placing_abandon(struct placing *placing, const struct arrived *arrived);

#endif
