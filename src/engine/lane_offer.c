/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Lanes of transports that make their own connections. Both sides listen for
 * what they will receive and offer the address; both connect to the other's:
 *
 *   opener     OFFER {lane, transport, address a} -->
 *                        <-- OFFER {lane, transport, address b}   other side
 *              connect to b, accept at a     connect to a, accept at b
 *
 * A side whose two channels are ready has its lane; the first credit, sent
 * only after accept, is what lets the other side send. Either may give up
 * with DOWN and the reason.
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
	uint32_t rail, flow, generation;
	bool ours;		/* core waits for the end of it */
	struct listener *listener;
	struct channel *rx, *tx;
	bool rx_ready, tx_ready;
	uint8_t addr[TRANSPORT_ADDR_MAX]; /* theirs */
	size_t addr_bytes;	/* 0: not known yet */
	uint64_t limit_ns;
};

static void send_lane(struct peer *peer, uint16_t type,
		      const struct msg_lane *msg)
{
	struct wire_writer w;

	if (ctl_begin(peer, type, 512 + msg->address.len_bytes, &w))
		return;
	msg_lane_encode(&w, msg);
	ctl_end(peer, &w);
}

static void describe_offer(const struct offer *offer, struct msg_lane *msg)
{
	*msg = (struct msg_lane){
		.channel = offer->rail * PEER_FLOWS_MAX + offer->flow,
		.generation = offer->generation,
		.rail = offer->rail,
	};
	snprintf(msg->transport, sizeof(msg->transport), "%s",
		 offer->via->ops->name);
}

static void close_offer(struct offer *offer)
{
	list_del(&offer->link);
	if (offer->rx)
		offer->via->ops->channel_close(offer->rx);
	if (offer->tx)
		offer->via->ops->channel_close(offer->tx);
	if (offer->listener)
		offer->via->ops->listener_close(offer->listener);
	free(offer);
}

static void report(struct offer *offer, int status, const char *cause)
{
	struct peer *peer = offer->peer;

	if (offer->ours && !peer->quiet)
		peer->engine->ops->lane_opened(peer->engine->arg, peer,
					       offer->rail, offer->flow, status,
					       cause);
}

static void give_up(struct offer *offer, int status, const char *cause,
		    bool tell)
{
	struct msg_lane msg;

	describe_offer(offer, &msg);
	msg.status = status;
	snprintf(msg.text, sizeof(msg.text), "%s", cause);
	if (tell)
		send_lane(offer->peer, MSG_LANE_DOWN, &msg);
	report(offer, status, cause);
	close_offer(offer);
}

/* ---- beginning -------------------------------------------------------- */

/* Listens and tells the other side where. Lock held. */
static int make_offer(struct peer *peer, struct engine_transport *via,
		      uint32_t rail, uint32_t flow, uint32_t generation,
		      struct offer **out)
{
	struct offer *offer = calloc(1, sizeof(*offer));
	uint8_t addr[TRANSPORT_ADDR_MAX];
	size_t addr_bytes = sizeof(addr);
	struct msg_lane msg;

	if (!offer)
		return TCPX_ENOMEM;
	list_init(&offer->link);
	offer->peer = peer;
	offer->via = via;
	offer->rail = rail;
	offer->flow = flow;
	offer->generation = generation;
	offer->limit_ns = clock_now_ns() + OFFER_LIMIT_NS;
	int err = via->ops->listen(via->transport, rail, &offer->listener, addr,
				   &addr_bytes);

	if (err) {
		free(offer);
		return err;
	}
	describe_offer(offer, &msg);
	msg.address = (struct msg_bytes){addr, (uint32_t)addr_bytes};
	send_lane(peer, MSG_LANE_OFFER, &msg);
	list_add_tail(&peer->offers, &offer->link);
	*out = offer;
	return 0;
}

int peer_offer_lane(struct peer *peer, struct engine_transport *via,
		    uint32_t rail, uint32_t flow, uint32_t generation)
{
	struct offer *offer;

	if (!(via->caps & TRANSPORT_LISTENS) || rail >= PEER_RAILS_MAX ||
	    flow >= PEER_FLOWS_MAX)
		return TCPX_EUNSUPPORTED;
	pthread_mutex_lock(&peer->lock);
	int err =
		load_relaxed(&peer->state) == PEER_UP ?
			make_offer(peer, via, rail, flow, generation, &offer) :
			peer->status;

	if (!err)
		offer->ours = true;
	pthread_mutex_unlock(&peer->lock);
	peer_wake(peer);
	return err;
}

/* ---- messages, the lock held ------------------------------------------ */

static struct offer *find_offer(struct peer *peer, const struct msg_lane *msg)
{
	list_for_each (node, &peer->offers) {
		struct offer *offer = list_entry(node, struct offer, link);

		if (offer->rail * PEER_FLOWS_MAX + offer->flow ==
			    msg->channel &&
		    offer->generation == msg->generation)
			return offer;
	}
	return NULL;
}

static void refuse(struct peer *peer, const struct msg_lane *msg,
		   const char *why)
{
	struct msg_lane down = *msg;

	down.address = (struct msg_bytes){0};
	down.status = TCPX_EUNSUPPORTED;
	snprintf(down.text, sizeof(down.text), "%s", why);
	send_lane(peer, MSG_LANE_DOWN, &down);
}

static int on_offer(struct peer *peer, const struct msg_lane *msg)
{
	struct engine_transport *via =
		engine_transport_find(peer->engine, msg->transport);
	struct offer *offer = find_offer(peer, msg);

	if (msg->channel >= PEER_LANES_MAX || !msg->address.len_bytes ||
	    msg->address.len_bytes > TRANSPORT_ADDR_MAX ||
	    msg->rail != msg->channel / PEER_FLOWS_MAX)
		return TCPX_EPROTO;
	if (!via || !(via->caps & TRANSPORT_LISTENS)) {
		refuse(peer, msg, "the transport is not in use here");
		return 0;
	}
	if (!offer &&
	    make_offer(peer, via, msg->rail, msg->channel % PEER_FLOWS_MAX,
		       msg->generation, &offer)) {
		refuse(peer, msg, "the transport cannot listen");
		return 0;
	}
	if (offer->addr_bytes || offer->via != via)
		return TCPX_EPROTO;
	memcpy(offer->addr, msg->address.data, msg->address.len_bytes);
	offer->addr_bytes = msg->address.len_bytes;
	return 0;
}

int peer_on_lane_message(struct peer *peer, uint16_t type,
			 const struct msg_lane *msg)
{
	if (type == MSG_LANE_OFFER)
		return on_offer(peer, msg);
	if (type == MSG_LANE_DOWN) {
		struct offer *offer = find_offer(peer, msg);

		if (offer)
			give_up(offer, msg->status ? msg->status : TCPX_EREMOTE,
				msg->text, false);
	}
	return 0; /* READY tells nothing new: the first credit says it */
}

/* ---- progress, the lock held, by home's owner ------------------------- */

static int advance(struct offer *offer)
{
	const struct transport_ops *ops = offer->via->ops;
	int err = 0;

	if (!offer->rx_ready) {
		err = ops->accept(offer->listener, &offer->rx);
		offer->rx_ready = !err;
	}
	if (err < 0)
		return err;
	if (!offer->tx_ready && offer->addr_bytes) {
		err = ops->connect(offer->via->transport, offer->rail,
				   offer->addr, offer->addr_bytes, &offer->tx);
		offer->tx_ready = !err;
	}
	if (err < 0)
		return err;
	return offer->rx_ready && offer->tx_ready ? 0 : TCPX_INPROGRESS;
}

/* Both channels are there. They live in home's context, where descriptors of
 * their chunks come in. The lock is dropped for a moment. */
static void join(struct offer *offer)
{
	struct peer *peer = offer->peer;
	struct lane *lane;
	int err = lane_create(peer, peer->home, offer->via, offer->rail,
			      offer->flow, offer->generation, offer->tx,
			      offer->rx, &lane);

	if (!err) {
		offer->tx = offer->rx = NULL;
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
	report(offer, 0, "");
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
			give_up(offer, status, tcpx_strerror(status), true);
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
