/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The transport's table: with the plugin in helper processes (remote.c), or
 * in this one (netplugin.c) if TCPX_NETPLUGIN_ISOLATE=0. What both make
 * begins with a pointer to its own table, and that is where calls go.
 */

#include <tcpx/status.h>

#include "transport/netplugin/open.h"
#include "transport/netplugin/refusal.h"
#include "transport/netplugin/remote_ops.h"

static const struct transport_ops *via(const void *object)
{
	return *(const struct transport_ops *const *)object;
}

static int front_open(const struct transport_params *params,
		      struct transport **transport)
{
	struct options options;
	char why[300];
	int err = options_read(&options_env_process, params->chunk_bytes,
			       &options, why, sizeof(why));

	if (err) {
		refusal_of_open(params, why);
		return TCPX_EUNSUPPORTED;
	}
	err = (options.isolate ? &netplugin_remote : &netplugin_inside)
		      ->open(params, transport);
	/* Only a helper is started again. */
	return err == TCPX_EAGAIN ? TCPX_EUNSUPPORTED : err;
}

static void front_close(struct transport *t)
{
	via(t)->close(t);
}

static void front_limits(struct transport *t, struct transport_limits *limits)
{
	via(t)->limits(t, limits);
}

static int front_listen(struct transport *t, uint32_t rail,
			struct listener **listener, void *addr,
			size_t *addr_bytes)
{
	return via(t)->listen(t, rail, listener, addr, addr_bytes);
}

static int front_listen_start(struct transport *t, uint32_t rail,
			      struct listener **listener)
{
	return via(t)->listen_start(t, rail, listener);
}

static int front_listen_poll(struct listener *l, void *addr, size_t *addr_bytes)
{
	return via(l)->listen_poll(l, addr, addr_bytes);
}

static void front_rail(struct transport *t, uint32_t i,
		       struct transport_rail *rail)
{
	via(t)->rail(t, i, rail);
}

static int front_connect(struct transport *t, uint32_t rail, const void *addr,
			 size_t addr_bytes, struct channel **sender)
{
	return via(t)->connect(t, rail, addr, addr_bytes, sender);
}

static int front_accept(struct listener *l, struct channel **receiver)
{
	return via(l)->accept(l, receiver);
}

static void front_listener_close(struct listener *l)
{
	via(l)->listener_close(l);
}

static void front_channel_close(struct channel *c)
{
	via(c)->channel_close(c);
}

static int front_post_recv(struct channel *c, uint64_t cookie)
{
	return via(c)->post_recv(c, cookie);
}

static int front_consume(struct channel *c, uint64_t cookie)
{
	return via(c)->consume(c, cookie);
}

static int front_slot_get(struct channel *c, struct gpu *gpu, void **slot)
{
	return via(c)->slot_get(c, gpu, slot);
}

static void front_slot_put(struct channel *c, void *slot)
{
	via(c)->slot_put(c, slot);
}

static int front_post_send(struct channel *c, const struct chunk_desc *desc,
			   const struct span *spans, uint32_t n_spans,
			   uint64_t cookie)
{
	return via(c)->post_send(c, desc, spans, n_spans, cookie);
}

static bool front_abandon(struct channel *c, uint64_t cookie)
{
	return via(c)->abandon(c, cookie);
}

static int front_poll(struct channel *c, struct channel_event *events, int max)
{
	return via(c)->poll(c, events, max);
}

/* A plugin in this process has nothing to wake anybody by. */
static int front_wait_fd(struct channel *c, uint32_t *events)
{
	*events = 0;
	return via(c)->wait_fd ? via(c)->wait_fd(c, events) : -1;
}

static struct gpu *front_channel_gpu(struct channel *c)
{
	return via(c)->channel_gpu(c);
}

static int front_counters(struct channel *c, struct transport_counter *counters,
			  int max)
{
	return via(c)->counters(c, counters, max);
}

extern const struct transport_ops transport_netplugin;
const struct transport_ops transport_netplugin = {
	.name = "netplugin",
	.caps = TRANSPORT_FRAGMENTS | TRANSPORT_SLOTS_ONLY | TRANSPORT_GPU,
	.settings = options_settings,
	.probe = open_probe,
	.explain = open_explain,
	.open = front_open,
	.close = front_close,
	.limits = front_limits,
	.listen = front_listen,
	.connect = front_connect,
	.accept = front_accept,
	.listener_close = front_listener_close,
	.listen_start = front_listen_start,
	.listen_poll = front_listen_poll,
	.refusal = refusal_get,
	.rail = front_rail,
	.channel_close = front_channel_close,
	.post_recv = front_post_recv,
	.consume = front_consume,
	.slot_get = front_slot_get,
	.slot_put = front_slot_put,
	.post_send = front_post_send,
	.abandon = front_abandon,
	.poll = front_poll,
	.wait_fd = front_wait_fd,
	.channel_gpu = front_channel_gpu,
	.counters = front_counters,
};
