/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/lane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "engine/lane_rx.h"
#include "engine/lane_tx.h"
#include "engine/peer.h"

static void run_task(struct task *task)
{
	lane_run(list_entry(task, struct lane, task));
}

static void reap_task(struct task *task)
{
	lane_destroy(list_entry(task, struct lane, reap));
}

/* Moving a chunk takes longer than anything else in a pass: what is small, and
 * comes by the control connection, does not wait for all lanes' chunks. */
static bool run_with_control(struct lane *lane)
{
	struct peer *peer = lane->peer;
	bool moved = lane_run(lane);

	if (moved && peer->home == lane->ctx)
		peer_look(peer);
	return moved;
}

static bool on_ready(struct source *source, uint32_t events)
{
	(void)events; /* the channels know themselves what they wait for */
	return run_with_control(list_entry(source, struct lane, source));
}

static bool on_poll(struct pollee *pollee)
{
	struct lane *lane = list_entry(pollee, struct lane, pollee);

	/* Flags in memory are looked at, not the kernel asked. */
	if (lane->only_jobs && !lane_tx_ready(lane) && !lane_rx_ready(lane))
		return false;
	return run_with_control(lane);
}

static uint32_t window_of(const struct peer *peer,
			  const struct engine_transport *via)
{
	uint32_t window = peer->limits.window_chunks;

	return window < via->limits.window ? window : via->limits.window;
}

static bool can_wait(const struct lane_params *params)
{
	struct channel *channel = params->tx ? params->tx : params->rx;
	uint32_t events;

	return params->via->caps & TRANSPORT_WAITABLE &&
	       params->via->ops->wait_fd(channel, &events) >= 0;
}

int lane_create(const struct lane_params *params, struct lane **out)
{
	struct engine_transport *via = params->via;
	struct lane *lane = calloc(1, sizeof(*lane));

	if (!lane)
		return TCPX_ENOMEM;
	lane->peer = params->peer;
	lane->ctx = params->ctx;
	lane->via = via;
	lane->id = params->id;
	lane->rail = params->rail;
	lane->generation = params->generation;
	lane->tx = params->tx;
	lane->rx = params->rx;
	lane->waits = can_wait(params);
	lane->sends = params->tx != NULL;
	lane->receives = params->rx != NULL;
	lane->idle = lane->fence_seen = !lane->sends;
	if (lane->rx && via->ops->channel_gpu)
		lane->pages_gpu = via->ops->channel_gpu(lane->rx);
	if (lane->tx && via->ops->channel_gpu)
		lane->slots_gpu = via->ops->channel_gpu(lane->tx);
	lane->window = window_of(lane->peer, via);
	lane->state = LANE_OPEN;
	lane->source = (struct source){
		.fd = -1, .armed = UINT32_MAX, .ready = on_ready};
	lane->task.run = run_task;
	lane->reap.run = reap_task;
	lane->pollee.poll = on_poll;
	list_init(&lane->pollee.link);
	list_init(&lane->task.link);
	list_init(&lane->reap.link);
	list_init(&lane->link);
	lane->tx_ring = calloc(lane->window, sizeof(*lane->tx_ring));
	lane->rx_ring = calloc(lane->window, sizeof(*lane->rx_ring));
	if (!lane->tx_ring || !lane->rx_ring) {
		free(lane->tx_ring);
		free(lane->rx_ring);
		free(lane);
		return TCPX_ENOMEM;
	}
	*out = lane;
	return 0;
}

/* While GPU jobs run, who drives the context stays awake: they take less than
 * a nap. */
static void set_hot(struct lane *lane, bool hot)
{
	if (lane->hot == hot)
		return;
	lane->hot = hot;
	add_relaxed(&lane->ctx->n_hot, hot ? 1 : -1u);
}

static void close_channels(struct lane *lane)
{
	set_hot(lane, false);
	source_disarm(lane->ctx, &lane->source);
	pollee_del(lane->ctx, &lane->pollee);
	if (lane->tx)
		lane->via->ops->channel_close(lane->tx);
	if (lane->rx)
		lane->via->ops->channel_close(lane->rx);
	lane->tx = lane->rx = NULL;
	lane_tx_close(lane);
	lane_rx_close(lane);
}

void lane_destroy(struct lane *lane)
{
	close_channels(lane);
	lane_tx_free(lane);
	lane_rx_free(lane);
	free(lane);
}

struct span *lane_keep_spans(struct span few[SPANS_FEW],
			     const struct span *spans, uint32_t n_spans)
{
	struct span *kept = few;

	if (n_spans > SPANS_FEW)
		kept = malloc(n_spans * sizeof(*kept));
	if (kept)
		memcpy(kept, spans, n_spans * sizeof(*kept));
	return kept;
}

void lane_drop_spans(const struct span few[SPANS_FEW], struct span *spans)
{
	if (spans != few)
		free(spans);
}

void lane_wake(struct lane *lane)
{
	context_submit(lane->ctx, &lane->task);
}

/* What to sleep on: the fd where there is one; else, and while there is more
 * to do than one pass did, polling. skipped: the sender had no turn. */
static void arrange(struct lane *lane, bool tx_moved, bool skipped)
{
	const struct transport_ops *ops = lane->via->ops;
	uint32_t tx_events = 0, rx_events = 0;
	bool poll = tx_moved || skipped || lane->starved;

	if (lane->waits) {
		int fd = -1;

		if (lane->tx)
			fd = ops->wait_fd(lane->tx, &tx_events);
		if (lane->rx)
			fd = ops->wait_fd(lane->rx, &rx_events);
		lane->source.fd = fd;
		if (source_arm(lane->ctx, &lane->source, tx_events | rx_events))
			poll = true;
		if (tx_events & EPOLLOUT && !skipped)
			poll = lane->starved;
	} else {
		poll |= lane->given > lane->sent || lane_rx_pending(lane) ||
			!lane->idle;
	}
	lane->only_jobs = lane->n_jobs && !poll;
	set_hot(lane, lane->n_jobs);
	if (poll || lane->n_jobs)
		pollee_add(lane->ctx, &lane->pollee);
	else
		pollee_del(lane->ctx, &lane->pollee);
}

static void apply_verdicts(struct lane *lane)
{
	struct peer *peer = lane->peer;

	pthread_mutex_lock(&peer->lock);
	bool kill = lane->kill;

	pthread_mutex_unlock(&peer->lock);
	if (kill && lane->state == LANE_OPEN)
		lane_fail(lane, TCPX_ECHANNEL, lane->cause);
	if (lane->state != LANE_DEAD)
		return;
	pthread_mutex_lock(&peer->lock);
	/* Of a lost peer no fence comes, and no stream is there to repeat. */
	if (lane->state == LANE_DEAD &&
	    (lane->fence_seen || load_relaxed(&peer->state) == PEER_LOST)) {
		lane_tx_requeue(lane);
		lane->state = LANE_OVER;
		peer_lane_over(peer, lane);
	}
	pthread_mutex_unlock(&peer->lock);
}

static void sweep_if_asked(struct lane *lane)
{
	uint32_t sweeps = load_acquire(&lane->peer->sweeps);

	if (lane->swept == sweeps)
		return;
	lane->swept = sweeps;
	lane_sweep(lane);
	peer_wake(lane->peer); /* who waits for it may end now */
}

static void die(struct lane *lane);

/* Failed with GPU jobs under way: its slots stay until those have ended. */
static bool drain(struct lane *lane)
{
	bool drained = lane_tx_drain(lane);

	drained &= lane_rx_drain(lane);
	if (drained)
		die(lane);
	return drained;
}

bool lane_run(struct lane *lane)
{
	bool rx_moved = false, tx_moved = false, skipped = false;

	if (lane->state == LANE_DRAINING)
		return drain(lane);
	sweep_if_asked(lane);
	if (load_acquire(&lane->peer->state) != PEER_UP)
		lane_fail(lane, TCPX_EPEER, "the peer is gone");
	apply_verdicts(lane);
	if (lane->state != LANE_OPEN)
		return false;
	lane->starved = false;
	if (lane->rx && !lane->posted && lane_rx_start(lane)) {
		lane_fail(lane, TCPX_EINTERNAL, "no receive could be posted");
		return true;
	}
	if (lane->rx)
		rx_moved = lane_rx_run(lane);
	if (lane->state == LANE_OPEN && lane->tx) {
		/* Half a pass, if somebody waits; it goes on in the next. */
		if (rx_moved && context_is_wanted(lane->ctx))
			skipped = true;
		else
			tx_moved = lane_tx_run(lane);
	}
	device_flush(&lane->flush);
	if (lane->state == LANE_OPEN)
		arrange(lane, tx_moved, skipped);
	return rx_moved || tx_moved;
}

void lane_sweep(struct lane *lane)
{
	if (lane->tx)
		lane_tx_sweep(lane);
	if (lane->rx)
		lane_rx_sweep(lane);
}

/* ---- death ------------------------------------------------------------ */

static void tell_end(struct lane *lane, uint16_t type,
		     const struct msg_channel *msg)
{
	struct wire_writer w;

	if (!ctl_begin_or_doom(lane->peer, type, 256, &w))
		return;
	msg_channel_encode(&w, msg);
	ctl_end(lane->peer, &w);
}

/* One message a direction: what we sent is in doubt until the peer fences
 * it; what we received is fenced here and now. Peer's lock held. */
static void tell_dead(struct lane *lane, int status)
{
	struct msg_channel msg = {.channel = lane->id,
				  .generation = lane->generation,
				  .status = status};

	snprintf(msg.text, sizeof(msg.text), "%s", lane->cause);
	msg.to_receiver = 1;
	if (lane->sends)
		tell_end(lane, MSG_CHANNEL_DOWN, &msg);
	msg.to_receiver = 0;
	msg.placed = lane->consumed;
	if (lane->receives)
		tell_end(lane, MSG_CHANNEL_FENCED, &msg);
}

/* First quiet, then the message that says so. */
static void die(struct lane *lane)
{
	struct peer *peer = lane->peer;

	close_channels(lane);
	pthread_mutex_lock(&peer->lock);
	lane->state = LANE_DEAD;
	if (load_relaxed(&peer->state) == PEER_UP)
		tell_dead(lane, lane->fail_status);
	peer_lane_dead(peer, lane);
	pthread_mutex_unlock(&peer->lock);
	peer_wake(peer);
	lane_wake(lane); /* the fence may be there already */
}

void lane_fail(struct lane *lane, int status, const char *cause)
{
	struct peer *peer = lane->peer;

	if (lane->state != LANE_OPEN)
		return;
	pthread_mutex_lock(&peer->lock);
	if (!lane->kill)
		snprintf(lane->cause, sizeof(lane->cause), "%s",
			 cause ? cause : "channel failed");
	lane->state = LANE_DRAINING;
	choice_lanes_changed(peer);
	pthread_mutex_unlock(&peer->lock);
	lane->fail_status = status;
	device_flush(&lane->flush);
	if (drain(lane))
		return;
	source_disarm(lane->ctx, &lane->source);
	lane->only_jobs = false;
	set_hot(lane, true);
	pollee_add(lane->ctx, &lane->pollee);
}

bool lane_end_stream(struct lane *lane, struct stream *stream, int status,
		     const char *cause)
{
	pthread_mutex_lock(&lane->peer->lock);
	bool lives = !load_relaxed(&stream->dead);

	if (lives)
		stream->ended(stream, status, cause);
	pthread_mutex_unlock(&lane->peer->lock);
	return lives;
}

void lane_fault(struct lane *lane, struct stream *stream, const char *cause)
{
	struct peer *peer = lane->peer;

	if (stream && lane_end_stream(lane, stream, TCPX_EFAULT, cause))
		log_warn(peer->engine->params.log, "memory",
			 "a transfer with peer %s failed: %s", peer->name,
			 cause);
}

/* ---- from control messages, the peer's lock held ---------------------- */

void lane_credit(struct lane *lane, const struct msg_credit *credit)
{
	if (credit->granted > lane->granted)
		lane->granted = credit->granted;
	if (credit->placed > lane->acked)
		lane->acked = credit->placed;
	if (lane->idle && lane->sends) {
		lane->idle = false;
		lane_wake(lane);
	}
}

void lane_down(struct lane *lane, const struct msg_channel *msg)
{
	if (!lane->kill && lane->state == LANE_OPEN) {
		snprintf(lane->cause, sizeof(lane->cause), "%.90s", msg->text);
		lane->kill = true;
	}
	lane_wake(lane);
}

void lane_fenced(struct lane *lane, const struct msg_channel *msg)
{
	lane_down(lane, msg);
	lane->fence_seen = true;
	lane->fence_placed = msg->placed;
}
