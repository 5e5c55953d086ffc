/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/awaiting.h"

#include <tcpx/p2p.h>

#include "base/clock.h"
#include "engine/device.h"
#include "engine/peer.h"
#include "engine/stream.h"

/* A query takes the driver about one. */
#define LOOK_NS (10 * NS_PER_US)

/* What the last one asked said: many transfers wait for the same event. */
struct answer {
	struct gpu *gpu;
	uintptr_t event;
	int status;
};

static int ask(const struct stream *stream, struct answer *last)
{
	struct gpu *gpu = device_within(stream->list, 0, stream->total_bytes);

	if (last->gpu != gpu || last->event != stream->event)
		*last = (struct answer){gpu, stream->event,
					gpu_event_passed(gpu, stream->event)};
	return last->status;
}

static void go_on(struct stream *stream)
{
	stream->event = 0;
	store_relaxed(&stream->progress_ns, clock_coarse_ns());
	stream->go(stream);
}

void event_await(struct stream *stream)
{
	struct answer none = {0};
	struct peer *peer = stream->peer;

	if (!list_empty(&stream->link))
		return; /* it waits already, and has more bytes now */
	if (!ask(stream, &none)) {
		go_on(stream);
		return;
	}
	/* A failure, too: who starts the transfer has not done with it. */
	list_add_tail(&peer->awaiting, &stream->link);
	peer_wake(peer);
}

static bool look(struct stream *stream, struct answer *last)
{
	int status = ask(stream, last);

	if (status == TCPX_INPROGRESS)
		return false;
	list_del(&stream->link);
	if (!status)
		go_on(stream);
	else
		stream->ended(stream, status,
			      status == TCPX_EINVAL ?
				      "not a GPU event to wait for" :
				      "the GPU failed before its event came");
	return true;
}

bool awaiting_run(struct peer *peer)
{
	struct answer last = {0};
	bool any = false;

	if (!awaiting_is_due(peer))
		return false;
	list_for_each_safe (node, &peer->awaiting)
		any |= look(list_entry(node, struct stream, link), &last);
	peer->asked_ns = clock_now_ns();
	return any;
}

bool awaiting_is_due(const struct peer *peer)
{
	return clock_now_ns() >= peer->asked_ns + LOOK_NS;
}
