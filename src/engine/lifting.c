/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/lifting.h"

#include <stdlib.h>

#include "engine/device.h"
#include "engine/peer.h"
#include "engine/stream.h"

bool lifting_fits(const struct stream *stream)
{
	const struct segcursor start = {0};
	uint32_t total = (uint32_t)stream->total_bytes;

	return stream->total_bytes <= UINT32_MAX &&
	       device_at(stream->list, start) &&
	       device_run(stream->list, start, total) == total;
}

/* Whether the GPU has it now; if not, there was no slot or no job free. */
static bool begin(struct lifting *lifting)
{
	struct stream *stream = lifting->stream;
	const struct segcursor start = {0};

	if (!lifting->slot &&
	    gpu_slot_get(lifting->gpu, GPU_SLOT_SEND, &lifting->slot))
		return false;
	lifting->job = gpu_job_get(lifting->gpu);
	if (!lifting->job)
		return false;
	/* It fits, or it would not have been started. */
	(void)device_gather(stream->list, start, lifting->slot,
			    lifting->len_bytes, lifting->job);
	gpu_flush(lifting->gpu);
	return true;
}

int lifting_start(struct peer *peer, struct stream *stream, uint64_t cost,
		  void (*ended)(struct lifting *lifting, int status,
				const void *data))
{
	struct lifting *lifting = calloc(1, sizeof(*lifting));

	if (!lifting)
		return TCPX_ENOMEM;
	lifting->gpu = device_at(stream->list, (struct segcursor){0});
	lifting->stream = stream_get(stream);
	add_relaxed(&stream->n_busy, 1);
	lifting->len_bytes = (uint32_t)stream->total_bytes;
	lifting->cost = cost;
	peer->device_waiting += cost;
	lifting->ended = ended;
	list_init(&lifting->link);
	list_add_tail(&peer->liftings, &lifting->link);
	(void)begin(lifting);
	peer_wake(peer);
	return 0;
}

static void end(struct lifting *lifting, int status)
{
	struct stream *stream = lifting->stream;

	list_del(&lifting->link);
	stream->peer->device_waiting -= lifting->cost;
	add_acq_rel(&stream->n_busy, -1u);
	if (!load_relaxed(&stream->dead))
		lifting->ended(lifting, status, lifting->slot);
	if (lifting->slot)
		gpu_slot_put(lifting->gpu, GPU_SLOT_SEND, lifting->slot);
	stream_put(stream);
	free(lifting);
}

/* Whether it has ended. */
static bool run(struct lifting *lifting, bool may_start)
{
	if (!lifting->job && gpu_status(lifting->gpu)) {
		end(lifting, TCPX_EGPU);
		return true;
	}
	if (!lifting->job && may_start &&
	    !load_acquire(&lifting->stream->dead) && !begin(lifting))
		return false;
	int status = lifting->job ? gpu_job_poll(lifting->job) : TCPX_ECANCELED;

	bool forsaken = status == TCPX_INPROGRESS &&
			stream_is_forsaken(lifting->stream);

	if (status == TCPX_INPROGRESS && !forsaken)
		return false;
	if (forsaken)
		gpu_job_abandon(lifting->job);
	else if (lifting->job)
		gpu_job_put(lifting->job);
	end(lifting, status);
	return true;
}

static bool run_all(struct peer *peer, bool may_start)
{
	bool did = false;

	list_for_each_safe (node, &peer->liftings)
		did |= run(list_entry(node, struct lifting, link), may_start);
	return did;
}

bool liftings_run(struct peer *peer)
{
	return run_all(peer, true);
}

bool liftings_drain(struct peer *peer)
{
	run_all(peer, false);
	return list_empty(&peer->liftings);
}
