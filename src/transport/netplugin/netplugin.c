/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/netplugin/netplugin.h"

#include <stdio.h>
#include <string.h>
#include <tcpx/status.h>

#include "base/clock.h"
#include "transport/netplugin/make.h"
#include "transport/netplugin/open.h"
#include "transport/netplugin/refusal.h"

/* How long a receiver whose peer has said goodbye goes on looking for what
 * the peer had sent by then. */
#define GRACE_NS (200 * NS_PER_MS)

/* ---- making ------------------------------------------------------------ */

static int rail_at(struct transport *t, uint32_t i, struct rail **rail)
{
	if (i >= t->n_rails || t->rails[i].refusal[0]) {
		refusal_set("%s", i < t->n_rails ? t->rails[i].refusal :
						   "there is no such GPU");
		return TCPX_EUNSUPPORTED;
	}
	*rail = &t->rails[i];
	return TCPX_OK;
}

static int np_listen_start(struct transport *t, uint32_t i,
			   struct listener **listener)
{
	struct rail *rail;
	int err = rail_at(t, i, &rail);

	if (!err)
		err = listener_create(t, rail, listener);
	if (!err)
		netplugin_add_listener(t, *listener);
	return err;
}

static int np_listen_poll(struct listener *l, void *addr, size_t *addr_bytes)
{
	switch (load_acquire(&l->state)) {
	case END_MAKING:
		return TCPX_INPROGRESS;
	case END_READY:
		listener_address(l, addr);
		*addr_bytes = ADDRESS_BYTES;
		return TCPX_OK;
	default:
		refusal_set("the plugin does not listen");
		return l->status;
	}
}

static int np_listen(struct transport *t, uint32_t i,
		     struct listener **listener, void *addr, size_t *addr_bytes)
{
	struct listener *l;
	int err = np_listen_start(t, i, &l);

	if (err)
		return err;
	err = netplugin_await_listener(l);
	if (!err)
		err = np_listen_poll(l, addr, addr_bytes);
	if (err)
		netplugin_close_listener(l);
	else
		*listener = l;
	return err;
}

static int connect_first(struct transport *t, uint32_t i, const void *addr,
			 size_t addr_bytes, struct channel **sender)
{
	struct address peer;
	struct rail *rail;
	int err = address_decode(addr, addr_bytes, &peer);

	if (!err)
		err = sender_rail(t, i, &peer, &rail);
	if (err)
		return err;
	struct channel *c = channel_create(t, rail, true);
	if (!c)
		return TCPX_ENOMEM;
	c->peer = peer;
	c->stage = STAGE_SIDE_CONNECT;
	c->limit_ns = clock_now_ns() + t->options.connect_ms * NS_PER_MS;
	c->patience_ns = c->limit_ns + NS_PER_S;
	*sender = c;
	netplugin_add_channel(t, c);
	return TCPX_INPROGRESS;
}

/* TCPX_INPROGRESS, 0, or the failure, after which it is closed. */
static int look(struct channel *channel)
{
	int status;

	switch (load_acquire(&channel->state)) {
	case END_MAKING:
		/* The control thread itself is stuck in the plugin. */
		if (!channel->sends || clock_now_ns() < channel->patience_ns)
			return TCPX_INPROGRESS;
		refusal_set("the plugin is in a call and does not come back");
		netplugin_close_channel(channel);
		return TCPX_EUNREACHABLE;
	case END_READY:
		return TCPX_OK;
	default:
		status = channel->status;
		refusal_set("%s", channel->cause);
		netplugin_close_channel(channel);
		return status;
	}
}

static int np_connect(struct transport *t, uint32_t rail, const void *addr,
		      size_t addr_bytes, struct channel **sender)
{
	if (!*sender)
		return connect_first(t, rail, addr, addr_bytes, sender);
	int status = look(*sender);

	if (status < 0)
		*sender = NULL;
	return status;
}

static int np_accept(struct listener *l, struct channel **receiver)
{
	struct channel *c = l->taken ? NULL : load_acquire(&l->receiver);

	*receiver = NULL;
	if (l->taken)
		return TCPX_ECLOSED;
	if (!c)
		return TCPX_INPROGRESS;
	int status = look(c);

	if (status == TCPX_INPROGRESS)
		return status;
	l->taken = true;
	if (!status)
		*receiver = c;
	return status;
}

static void np_listener_close(struct listener *listener)
{
	netplugin_close_listener(listener);
}

static void np_channel_close(struct channel *channel)
{
	netplugin_close_channel(channel);
}

/* ---- sending ----------------------------------------------------------- */

static int slot_get(struct channel *c, struct gpu *gpu, void **slot)
{
	return slots_get(&c->slots, !gpu, slot);
}

static void slot_put(struct channel *c, void *slot)
{
	slots_put(&c->slots, slot);
}

static int post_send(struct channel *c, const struct chunk_desc *desc,
		     const struct span *spans, uint32_t n_spans,
		     uint64_t cookie)
{
	uint32_t i;
	int err = slots_find(&c->slots, desc, spans, n_spans, &i);

	if (err)
		return err;
	if (load_acquire(&c->peer_end) != PEER_HERE)
		return TCPX_EAGAIN;
	err = comm_send(&c->comm, spans[0].base, i >= c->slots.n,
			desc->len_bytes, cookie);
	if (!err)
		slots_post(&c->slots, i);
	return err;
}

/* ---- receiving --------------------------------------------------------- */

static int post_recv(struct channel *c, uint64_t cookie)
{
	return comm_recv(&c->comm, cookie);
}

static int consume(struct channel *c, uint64_t cookie)
{
	return comm_consume(&c->comm, cookie);
}

/* Slots and pages are the transport's, so no memory of the owner's is in
 * anybody's way. How far a send is, the plugin knows. */
static bool abandon(struct channel *c, uint64_t cookie)
{
	return false;
}

/* ---- both -------------------------------------------------------------- */

/*
 * The peer is gone: is there still something to come? To a sender there is
 * nothing; a receiver waits, not for long, for what the peer had sent, as far
 * as receives are posted for it.
 */
static bool gone_for_good(struct channel *c)
{
	uint32_t peer_end = load_acquire(&c->peer_end);
	struct comm *comm = &c->comm;

	if (peer_end == PEER_HERE)
		return false;
	if (c->sends || comm->posted == comm->done)
		return true;
	if (peer_end == PEER_SAID_BYE &&
	    load_relaxed(&c->peer_sent) <= comm->done)
		return true;
	uint64_t now = clock_coarse_ns();

	if (!c->gone_ns)
		c->gone_ns = now;
	return now - c->gone_ns >= GRACE_NS;
}

static int tell_failed(struct channel *c, struct channel_event *event)
{
	struct comm *comm = &c->comm;

	if (c->told_failed)
		return 0;
	if (!comm->status && gone_for_good(c))
		comm_fail(comm, TCPX_ECLOSED,
			  load_relaxed(&c->peer_end) == PEER_SAID_BYE ?
				  "closed by the peer" :
				  "the peer's process or host is gone");
	if (!comm->status)
		return 0;
	c->told_failed = true;
	*event = (struct channel_event){
		.kind = CHANNEL_FAILED,
		.status = comm->status,
		.cause = comm->cause,
	};
	return 1;
}

/* SENT: the slots are free. */
static void take_slots(struct channel *c, uint64_t from)
{
	for (uint64_t k = from; k < c->comm.done; k++)
		slots_put(&c->slots, c->comm.ring[k % COMM_RING].mem);
	store_relaxed(&c->sent, c->comm.done);
}

static int poll_channel(struct channel *c, struct channel_event *events,
			int max)
{
	struct comm *comm = &c->comm;
	uint64_t before = comm->done;

	if (c->told_failed)
		return 0;
	comm_expect(comm, load_relaxed(&c->peer_sent));
	int n = comm_harvest(comm, events, max);

	c->chunks += (uint64_t)n;
	if (n && c->sends)
		take_slots(c, before);
	if (n < max)
		n += tell_failed(c, &events[n]);
	return n;
}

static void describe_rail(struct transport *t, uint32_t i,
			  struct transport_rail *out)
{
	const struct rail *rail = &t->rails[i];

	*out = (struct transport_rail){
		.gpu = rail->gpu,
		.status = rail->refusal[0] ? TCPX_EUNSUPPORTED : TCPX_OK,
	};
	memcpy(out->ifname, rail->ifname, sizeof(out->ifname));
	memcpy(out->why, rail->refusal, sizeof(out->why));
	snprintf(out->how, sizeof(out->how), "the plugin is in this process");
}

static struct gpu *channel_gpu(struct channel *c)
{
	return c->rail->gpu;
}

static int get_counters(struct channel *c, struct transport_counter *counters,
			int max)
{
	const struct transport_counter all[] = {
		{"bytes", c->comm.bytes},
		{"chunks", c->chunks},
		{"tests", c->comm.tests},
	};
	int n = 0;

	for (; n < max && n < 3; n++)
		counters[n] = all[n];
	return n;
}

static void get_limits(struct transport *t, struct transport_limits *limits)
{
	*limits = t->limits;
}

const struct transport_ops netplugin_inside = {
	.name = "netplugin",
	.caps = TRANSPORT_FRAGMENTS | TRANSPORT_SLOTS_ONLY,
	.probe = open_probe,
	.open = open_transport,
	.close = open_close,
	.limits = get_limits,
	.listen = np_listen,
	.connect = np_connect,
	.accept = np_accept,
	.listener_close = np_listener_close,
	.listen_start = np_listen_start,
	.listen_poll = np_listen_poll,
	.refusal = refusal_get,
	.rail = describe_rail,
	.channel_close = np_channel_close,
	.post_recv = post_recv,
	.consume = consume,
	.slot_get = slot_get,
	.slot_put = slot_put,
	.post_send = post_send,
	.abandon = abandon,
	.poll = poll_channel,
	.channel_gpu = channel_gpu,
	.counters = get_counters,
};
