/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Lanes of transports that make their own connections: one way, as channels
 * are. Each side offers those it receives on, because the receiving end's
 * rail decides; the other side connects:
 *
 *   data receiver                          data sender
 *   listen
 *   OFFER {lane, transport, address}  -->  connect
 *   accept
 *   READY {whose memory}              -->  may be chosen from here on
 *   CREDIT                            -->  chunks
 *
 * A side whose channel is ready has its lane; the first credit, sent only after
 * accept, is what lets the sender send. Either may give up with DOWN and the
 * reason. Nothing here waits, however long listen, connect and accept take.
 */

#include "engine/lane_offer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/lane.h"
#include "engine/peer.h"

#define OFFER_LIMIT_NS (15 * NS_PER_S)

struct offer {
	struct list link;	/* peer->offers */
	struct peer *peer;
	struct engine_transport *via;
	uint32_t id, rail, generation;
	bool ours;		/* we receive */
	struct listener *listener; /* ours */
	bool told;		/* ours: OFFER is sent */
	struct channel *channel;
	uint8_t addr[TRANSPORT_ADDR_MAX]; /* theirs */
	size_t addr_bytes;
	bool ready;		/* theirs: READY has come, and */
	uint32_t lands;		/* ... what it said */
	uint64_t limit_ns;
};

uint32_t peer_offer_id(bool we_opened, bool ours)
{
	return PEER_ADOPTED_MAX + (we_opened == ours ? 0 : PEER_OFFERS_MAX);
}

static void send_lane(struct peer *peer, uint16_t type,
		      const struct msg_lane *msg)
{
	struct wire_writer w;

	if (!ctl_begin_or_doom(peer, type, 512 + msg->address.len_bytes, &w))
		return;
	msg_lane_encode(&w, msg);
	ctl_end(peer, &w);
}

static void describe_offer(const struct offer *offer, struct msg_lane *msg)
{
	*msg = (struct msg_lane){
		.channel = offer->id,
		.generation = offer->generation,
		.to_receiver = !offer->ours,
		.rail = offer->rail,
	};
	snprintf(msg->transport, sizeof(msg->transport), "%s",
		 offer->via->ops->name);
}

static void close_offer(struct offer *offer)
{
	list_del(&offer->link);
	if (offer->channel)
		offer->via->ops->channel_close(offer->channel);
	if (offer->listener)
		offer->via->ops->listener_close(offer->listener);
	free(offer);
}

static void report(struct peer *peer, struct engine_transport *via, uint32_t id,
		   uint32_t rail, int status, const char *cause)
{
	const struct engine *engine = peer->engine;

	if (!peer->quiet)
		engine->ops->lane_opened(engine->arg, peer, via, id, rail,
					 status, cause);
}

static void give_up(struct offer *offer, int status, const char *cause,
		    bool tell)
{
	struct msg_lane msg;

	describe_offer(offer, &msg);
	msg.status = status;
	snprintf(msg.text, sizeof(msg.text), "%s", cause);
	if (tell && (!offer->ours || offer->told))
		send_lane(offer->peer, MSG_LANE_DOWN, &msg);
	if (!offer->ours)
		peer_forget_credit(offer->peer, offer->id, offer->generation);
	report(offer->peer, offer->via, offer->id, offer->rail, status, cause);
	close_offer(offer);
}

/* Why listen, connect or accept has just failed. */
static const char *words_for(const struct engine_transport *via, int status)
{
	const char *words = via->ops->refusal ? via->ops->refusal() : "";

	return *words ? words : tcpx_strerror(status);
}

static struct offer *offer_create(struct peer *peer,
				  struct engine_transport *via, uint32_t id,
				  uint32_t rail, uint32_t generation)
{
	struct offer *offer = calloc(1, sizeof(*offer));

	if (!offer)
		return NULL;
	list_init(&offer->link);
	offer->peer = peer;
	offer->via = via;
	offer->id = id;
	offer->rail = rail;
	offer->generation = generation;
	offer->limit_ns = clock_now_ns() + OFFER_LIMIT_NS;
	list_add_tail(&peer->offers, &offer->link);
	return offer;
}

/* ---- what we receive on ----------------------------------------------- */

static void tell_offer(struct offer *offer, const uint8_t *addr,
		       size_t addr_bytes)
{
	struct msg_lane msg;

	describe_offer(offer, &msg);
	msg.address = (struct msg_bytes){addr, (uint32_t)addr_bytes};
	send_lane(offer->peer, MSG_LANE_OFFER, &msg);
	offer->told = true;
	offer->limit_ns = clock_now_ns() + OFFER_LIMIT_NS;
}

static int begin_listening(struct offer *offer)
{
	const struct transport_ops *ops = offer->via->ops;
	struct transport *transport = offer->via->transport;
	uint8_t addr[TRANSPORT_ADDR_MAX];
	size_t addr_bytes = sizeof(addr);

	if (ops->listen_start)
		return ops->listen_start(transport, offer->rail,
					 &offer->listener);
	int err = ops->listen(transport, offer->rail, &offer->listener, addr,
			      &addr_bytes);

	if (!err)
		tell_offer(offer, addr, addr_bytes);
	return err;
}

int peer_offer_lane(struct peer *peer, struct engine_transport *via,
		    uint32_t id, uint32_t rail, uint32_t generation, char *why,
		    size_t cap_bytes)
{
	struct offer *offer = NULL;
	int err = TCPX_EPEER;

	pthread_mutex_lock(&peer->lock);
	if (load_relaxed(&peer->state) == PEER_UP) {
		offer = offer_create(peer, via, id, rail, generation);
		err = TCPX_ENOMEM;
	}
	if (offer) {
		offer->ours = true;
		err = begin_listening(offer);
	}
	if (err)
		snprintf(why, cap_bytes, "%s",
			 offer ? words_for(via, err) : tcpx_strerror(err));
	if (err && offer)
		close_offer(offer);
	pthread_mutex_unlock(&peer->lock);
	peer_wake(peer);
	return err;
}

static int advance_ours(struct offer *offer)
{
	const struct transport_ops *ops = offer->via->ops;
	uint8_t addr[TRANSPORT_ADDR_MAX];
	size_t addr_bytes = sizeof(addr);

	if (offer->told)
		return ops->accept(offer->listener, &offer->channel);
	int status = ops->listen_poll(offer->listener, addr, &addr_bytes);

	if (status)
		return status;
	tell_offer(offer, addr, addr_bytes);
	return TCPX_INPROGRESS;
}

/* ---- messages, the lock held ------------------------------------------ */

static struct offer *find_offer(struct peer *peer, uint32_t id)
{
	list_for_each (node, &peer->offers) {
		struct offer *offer = list_entry(node, struct offer, link);

		if (offer->id == id)
			return offer;
	}
	return NULL;
}

static void refuse(struct peer *peer, const struct msg_lane *msg,
		   const char *why)
{
	struct msg_lane down = *msg;

	down.address = (struct msg_bytes){0};
	down.to_receiver = 1;
	down.status = TCPX_EUNSUPPORTED;
	snprintf(down.text, sizeof(down.text), "%s", why);
	send_lane(peer, MSG_LANE_DOWN, &down);
}

static bool offer_is_valid(const struct peer *peer, const struct msg_lane *msg)
{
	uint32_t first = peer_offer_id(peer->opener, false);

	return msg->channel >= first &&
	       msg->channel < first + PEER_OFFERS_MAX &&
	       msg->rail < PEER_OFFER_RAILS_MAX && !msg->to_receiver &&
	       msg->address.len_bytes &&
	       msg->address.len_bytes <= TRANSPORT_ADDR_MAX;
}

static int on_offer(struct peer *peer, const struct msg_lane *msg)
{
	struct engine_transport *via =
		engine_transport_find(peer->engine, msg->transport);
	struct offer *offer = find_offer(peer, msg->channel);

	if (!offer_is_valid(peer, msg))
		return TCPX_EPROTO;
	if (offer && offer->generation >= msg->generation)
		return TCPX_EPROTO;
	if (offer) /* they have given it up: its DOWN crossed ours */
		close_offer(offer);
	if (!via || !(via->caps & TRANSPORT_LISTENS)) {
		refuse(peer, msg, "the transport is not in use there");
		return 0;
	}
	offer = offer_create(peer, via, msg->channel, msg->rail,
			     msg->generation);
	if (!offer) {
		refuse(peer, msg, "out of memory there");
		return 0;
	}
	memcpy(offer->addr, msg->address.data, msg->address.len_bytes);
	offer->addr_bytes = msg->address.len_bytes;
	return 0;
}

static int on_ready(struct peer *peer, const struct msg_lane *msg)
{
	struct offer *offer = find_offer(peer, msg->channel);
	struct lane *lane = peer_lane_find(peer, msg->channel, msg->generation);

	if (msg->to_receiver || msg->channel < PEER_ADOPTED_MAX)
		return TCPX_EPROTO;
	if (offer && offer->generation == msg->generation && !offer->ours) {
		offer->ready = true;
		offer->lands = msg->device;
	} else if (lane && lane->sends && !lane->ready) {
		lane->ready = true;
		lane->lands = msg->device;
		choice_lanes_changed(peer);
		lane_wake(lane);
		report(peer, lane->via, lane->id, lane->rail, 0, "");
	}
	return 0;
}

static void on_down(struct peer *peer, const struct msg_lane *msg)
{
	struct offer *offer = find_offer(peer, msg->channel);
	struct lane *lane = peer_lane_find(peer, msg->channel, msg->generation);

	if (offer && offer->generation == msg->generation) {
		give_up(offer, msg->status ? msg->status : TCPX_EREMOTE,
			msg->text, false);
		return;
	}
	/* This end was ready just then. Without READY nothing was sent. */
	if (!lane || lane->id < PEER_ADOPTED_MAX)
		return;
	if (!lane->ready)
		lane->fence_seen = true;
	if (!lane->kill && lane->state == LANE_OPEN) {
		snprintf(lane->cause, sizeof(lane->cause), "%.90s", msg->text);
		lane->kill = true;
	}
	lane_wake(lane);
}

int peer_on_lane_message(struct peer *peer, uint16_t type,
			 const struct msg_lane *msg)
{
	if (type == MSG_LANE_OFFER)
		return on_offer(peer, msg);
	if (type == MSG_LANE_READY)
		return on_ready(peer, msg);
	on_down(peer, msg);
	return 0;
}

/* ---- progress, the lock held, by home's owner ------------------------- */

static int advance(struct offer *offer)
{
	if (offer->ours)
		return advance_ours(offer);
	int status = offer->via->ops->connect(offer->via->transport,
					      offer->rail, offer->addr,
					      offer->addr_bytes,
					      &offer->channel);

	return status == TCPX_EAGAIN ? TCPX_INPROGRESS : status;
}

/* The channel is there. It lives in home's context, where descriptors of its
 * chunks come in. The lock is dropped for a moment. */
static void join(struct offer *offer)
{
	struct peer *peer = offer->peer;
	const struct lane_params params = {
		.peer = peer,
		.ctx = peer->home,
		.via = offer->via,
		.id = offer->id,
		.rail = offer->rail,
		.generation = offer->generation,
		.tx = offer->ours ? NULL : offer->channel,
		.rx = offer->ours ? offer->channel : NULL,
	};
	struct lane *lane;
	struct msg_lane msg;
	int err = lane_create(&params, &lane);

	describe_offer(offer, &msg);
	if (!err) {
		offer->channel = NULL;
		lane->ready = offer->ready;
		lane->lands = offer->lands;
		msg.device = device_number(lane->pages_gpu);
		pthread_mutex_unlock(&peer->lock);
		err = peer_add_lane(peer, lane);
		if (err)
			lane_destroy(lane);
		pthread_mutex_lock(&peer->lock);
	}
	if (err) {
		give_up(offer, err, "the lane could not be made", true);
		return;
	}
	/* Before its first credit: the lane runs after us. */
	if (offer->ours)
		send_lane(peer, MSG_LANE_READY, &msg);
	/* Theirs may be used when READY has come. */
	if (offer->ours || offer->ready)
		report(peer, offer->via, offer->id, offer->rail, 0, "");
	close_offer(offer);
}

bool lane_offers_run(struct peer *peer)
{
	bool any = !list_empty(&peer->offers);

	list_for_each_safe (node, &peer->offers) {
		struct offer *offer = list_entry(node, struct offer, link);
		int status = advance(offer);

		if (status == TCPX_INPROGRESS) {
			if (clock_now_ns() >= offer->limit_ns)
				give_up(offer, TCPX_EUNREACHABLE,
					"not connected in time", true);
			continue;
		}
		if (status)
			give_up(offer, status, words_for(offer->via, status),
				true);
		else
			join(offer);
		break; /* the list may be another one now */
	}
	return any;
}

void lane_offers_free(struct peer *peer)
{
	while (!list_empty(&peer->offers))
		close_offer(list_entry(peer->offers.next, struct offer, link));
}
