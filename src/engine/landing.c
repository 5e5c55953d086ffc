/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/landing.h"

#include <stdlib.h>
#include <string.h>

#include "engine/device.h"
#include "engine/peer.h"
#include "engine/stream.h"

struct landing {
	struct list link; /* peer->landings */
	struct stream *stream; /* one reference, counted in n_busy */
	struct gpu *gpu; /* whose slot it is */
	void *slot; /* NULL: none was free yet */
	struct placing placing;
	uint32_t len_bytes;
	uint64_t cost; /* in peer->device_waiting */
	uint8_t data[];
};

static void end(struct landing *landing, int status, const char *cause)
{
	struct stream *stream = landing->stream;

	list_del(&landing->link);
	stream->peer->device_waiting -= landing->cost;
	if (landing->slot)
		gpu_slot_put(landing->gpu, GPU_SLOT_RECEIVE, landing->slot);
	add_acq_rel(&stream->n_busy, -1u);
	if (!load_relaxed(&stream->dead)) {
		stream->placed_bytes = stream->total_bytes;
		stream->ended(stream, status, cause);
	}
	stream_put(stream);
	free(landing);
}

/* Whether it has ended. */
static bool run(struct landing *landing, bool may_start)
{
	struct transport_fragment whole = {.len_bytes = landing->len_bytes};
	struct seglist *list = landing->stream->list;
	struct gpu *flush = NULL;
	char cause[128] = "";

	if (!may_start || load_acquire(&landing->stream->dead))
		list = NULL;
	if (!landing->slot && gpu_status(landing->gpu)) {
		device_say(landing->gpu, "place the bytes", cause,
			   sizeof(cause));
		end(landing, TCPX_EGPU, cause);
		return true;
	}
	if (!landing->slot && list) {
		if (gpu_slot_get(landing->gpu, GPU_SLOT_RECEIVE,
				 &landing->slot))
			return false;
		memcpy(landing->slot, landing->data, landing->len_bytes);
	}
	struct arrived arrived = {landing->slot, &whole, 1};
	int status = placing_run(&landing->placing, list, 0, &arrived, &flush);

	device_flush(&flush);
	if (status == TCPX_INPROGRESS) {
		if (!stream_is_forsaken(landing->stream))
			return false;
		placing_abandon(&landing->placing, &arrived);
	}
	/* Not begun, or not whole, when nothing more may start. */
	if (!status && !landing->placing.fragment) {
		end(landing, TCPX_EPEER, "the peer was lost");
	} else {
		if (status)
			device_say_failed(landing->stream->list, 0,
					  landing->len_bytes, "place the bytes",
					  cause, sizeof(cause));
		end(landing, status, cause);
	}
	return true;
}

int landing_start(struct peer *peer, struct stream *stream, const void *data,
		  uint32_t len_bytes, uint64_t cost)
{
	struct landing *landing = calloc(1, sizeof(*landing) + len_bytes);

	if (!landing)
		return TCPX_ENOMEM;
	landing->gpu = device_within(stream->list, 0, len_bytes);
	landing->stream = stream_get(stream);
	add_relaxed(&stream->n_busy, 1);
	landing->len_bytes = len_bytes;
	landing->cost = cost;
	peer->device_waiting += cost;
	memcpy(landing->data, data, len_bytes);
	list_init(&landing->link);
	list_add_tail(&peer->landings, &landing->link);
	(void)run(landing, true);
	peer_wake(peer);
	return 0;
}

static bool run_all(struct peer *peer, bool may_start)
{
	bool did = false;

	list_for_each_safe (node, &peer->landings)
		did |= run(list_entry(node, struct landing, link), may_start);
	return did;
}

bool landings_run(struct peer *peer)
{
	return run_all(peer, true);
}

bool landings_drain(struct peer *peer)
{
	run_all(peer, false);
	return list_empty(&peer->landings);
}
