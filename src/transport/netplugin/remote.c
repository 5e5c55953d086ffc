/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/netplugin/remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <tcpx/status.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "gpu/gpu.h"
#include "topo/homes.h"
#include "transport/netplugin/address.h"
#include "transport/netplugin/refusal.h"

#define ANSWER_NS (2 * NS_PER_S) /* to a listen, start of a helper included */

/* ---- making ------------------------------------------------------------ */

/* A free index of the helper's area, or -1. The lock is held. */
static int take_index(struct helper_process *h)
{
	for (uint32_t i = 0; i < SHARED_CHANNELS; i++) {
		if (h->used[i])
			continue;
		h->used[i] = 1;
		shared_reset(&h->area->channels[i]);
		return (int)i;
	}
	return -1;
}

static struct channel *channel_create(struct helper_process *h, bool sends)
{
	struct transport *t = h->transport;
	struct channel *c = calloc(1, sizeof(*c));
	int index;

	if (!c)
		return NULL;
	c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->wake_fd < 0)
		goto err_free;
	if (sends &&
	    slots_init(&c->slots, t->options.n_slots, t->limits.chunk_bytes))
		goto err_close;
	for (uint32_t i = t->limits.window; i > 0; i--)
		shared_slot_put(&c->free, i - 1);
	pthread_mutex_lock(&t->lock);
	index = take_index(h);
	if (index >= 0) {
		c->via = &netplugin_remote;
		c->transport = t;
		c->helper = h;
		c->sends = sends;
		c->id = ++t->next_id;
		c->index = (uint32_t)index;
		c->generation = load_relaxed(&h->generation);
		c->shared = &h->area->channels[index];
		list_init(&c->link);
		list_add_tail(&t->channels, &c->link);
	}
	pthread_mutex_unlock(&t->lock);
	if (index >= 0)
		return c;
	slots_fini(&c->slots);
err_close:
	close(c->wake_fd);
err_free:
	free(c);
	return NULL;
}

/* Its index is free when the helper says so. */
static void channel_free(struct channel *c)
{
	struct shared_message m = {.type = SHARED_CLOSE, .id = c->id};
	struct transport *t = c->transport;

	pthread_mutex_lock(&t->lock);
	list_del(&c->link);
	bool over = load_relaxed(&c->helper->generation) != c->generation;

	if (over) /* the next helper does not know it */
		c->helper->used[c->index] = 0;
	pthread_mutex_unlock(&t->lock);
	remote_unmap(c);
	if (!over)
		(void)remote_tell(c->helper, &m, -1);
	slots_fini(&c->slots);
	close(c->wake_fd);
	free(c);
}

/* The lock held, until it is so, or limit_ns. */
static void wait_heard(struct transport *t, const enum remote_state *state,
		       uint64_t limit_ns)
{
	struct timespec until = {.tv_sec = (time_t)(limit_ns / NS_PER_S),
				 .tv_nsec = (long)(limit_ns % NS_PER_S)};

	while (*state == REMOTE_MAKING &&
	       !pthread_cond_clockwait(&t->heard, &t->lock, CLOCK_MONOTONIC,
				       &until))
		;
}

/* Its receiver's place in the helper's area; then the helper is told. */
static int tell_listen(struct listener *l)
{
	struct transport *t = l->transport;
	struct channel *c = channel_create(l->helper, false);

	if (!c)
		return TCPX_ENOMEM;
	struct shared_message m = {
		.type = SHARED_LISTEN, .id = c->id, .index = c->index};

	pthread_mutex_lock(&t->lock);
	l->receiver = c;
	l->id = c->id;
	pthread_mutex_unlock(&t->lock);
	return remote_tell(l->helper, &m, c->wake_fd);
}

static int remote_listen_start(struct transport *t, uint32_t rail,
			       struct listener **listener)
{
	struct listener *l;

	if (rail >= t->n_helpers) {
		refusal_set("there is no such GPU");
		return TCPX_EUNSUPPORTED;
	}
	l = calloc(1, sizeof(*l));
	if (!l)
		return TCPX_ENOMEM;
	l->via = &netplugin_remote;
	l->transport = t;
	l->helper = &t->helpers[rail];
	list_init(&l->link);
	pthread_mutex_lock(&t->lock);
	list_add_tail(&t->listeners, &l->link);
	pthread_mutex_unlock(&t->lock);
	*listener = l;
	return TCPX_OK;
}

/* The lock is held. */
static int look_listener(struct listener *l, void *addr, size_t *addr_bytes)
{
	const struct helper_process *h = l->helper;

	if (!l->receiver && (h->state == REMOTE_FAILED || h->stuck)) {
		refusal_set("%s", h->cause);
		return remote_comes_back(h) ? TCPX_ECHANNEL : TCPX_EUNSUPPORTED;
	}
	if (l->state == REMOTE_MAKING)
		return TCPX_INPROGRESS;
	if (l->state == REMOTE_FAILED) {
		refusal_set("%s", l->cause);
		return l->status;
	}
	memcpy(addr, l->addr, l->addr_bytes);
	*addr_bytes = l->addr_bytes;
	return TCPX_OK;
}

static int remote_listen_poll(struct listener *l, void *addr,
			      size_t *addr_bytes)
{
	struct transport *t = l->transport;

	pthread_mutex_lock(&t->lock);
	int status = look_listener(l, addr, addr_bytes);
	bool tell = !l->receiver && l->helper->state == REMOTE_READY &&
		    !l->helper->stuck;
	pthread_mutex_unlock(&t->lock);
	if (status == TCPX_INPROGRESS && tell) {
		int err = tell_listen(l);

		status = err ? err : TCPX_INPROGRESS;
	}
	return status;
}

static void remote_listener_close(struct listener *l);

static int remote_listen(struct transport *t, uint32_t rail,
			 struct listener **listener, void *addr,
			 size_t *addr_bytes)
{
	uint64_t limit_ns = clock_now_ns() + ANSWER_NS;
	struct listener *l;
	int err = remote_listen_start(t, rail, &l);

	if (err)
		return err;
	while ((err = remote_listen_poll(l, addr, addr_bytes)) ==
		       TCPX_INPROGRESS &&
	       clock_now_ns() < limit_ns) {
		pthread_mutex_lock(&t->lock);
		wait_heard(t, &l->helper->state, limit_ns);
		if (l->receiver)
			wait_heard(t, &l->state, limit_ns);
		pthread_mutex_unlock(&t->lock);
	}
	if (!err) {
		*listener = l;
		return TCPX_OK;
	}
	remote_listener_close(l);
	return err == TCPX_INPROGRESS ? TCPX_ECHANNEL : err;
}

static void remote_listener_close(struct listener *l)
{
	struct shared_message m = {.type = SHARED_UNLISTEN, .id = l->id};
	struct transport *t = l->transport;
	struct channel *c = l->receiver;

	pthread_mutex_lock(&t->lock);
	list_del(&l->link);
	pthread_mutex_unlock(&t->lock);
	if (l->id)
		(void)remote_tell(l->helper, &m, -1);
	if (c)
		channel_free(c);
	free(l);
}

static void remote_rail(struct transport *t, uint32_t i,
			struct transport_rail *rail)
{
	static const int statuses[] = {
		[REMOTE_MAKING] = TCPX_INPROGRESS,
		[REMOTE_READY] = TCPX_OK,
		[REMOTE_FAILED] = TCPX_EUNSUPPORTED,
	};
	const struct helper_process *h = &t->helpers[i];

	pthread_mutex_lock(&t->lock);
	*rail = (struct transport_rail){.gpu = h->gpu,
					.status = statuses[h->state]};
	snprintf(rail->ifname, sizeof(rail->ifname), "%.15s", h->ifname);
	snprintf(rail->why, sizeof(rail->why), "%.199s", h->cause);
	memcpy(rail->how, h->how, sizeof(rail->how));
	pthread_mutex_unlock(&t->lock);
}

static bool fits(const struct helper_process *h, const char *ifname)
{
	return h->state == REMOTE_READY && !h->stuck &&
	       !strcmp(h->ifname, ifname);
}

/* Not now, but it may soon be one that fits: when it has started, or again. */
static int not_yet(const struct helper_process *h, const char *ifname)
{
	bool other = h->ifname[0] && strcmp(h->ifname, ifname);

	if (h->state == REMOTE_MAKING)
		return other ? 0 : TCPX_EAGAIN;
	if (other || (h->state == REMOTE_READY && !h->stuck))
		return 0;
	return remote_comes_back(h) ? TCPX_ECHANNEL : 0;
}

/* Which helper's GPU is at home where the peer's is: the one of the same index,
 * else any. TCPX_EAGAIN: it is starting; TCPX_ECHANNEL: it will be started
 * again; TCPX_EUNSUPPORTED: there is none. */
static int find_helper(struct transport *t, uint32_t rail, const char *ifname,
		       struct helper_process **found)
{
	uint32_t home[GPU_DEVICES_MAX], gpu = HOME_NONE;
	int why = 0;

	pthread_mutex_lock(&t->lock);
	for (uint32_t i = 0; i < t->n_helpers; i++)
		home[i] = fits(&t->helpers[i], ifname) ? 0 : HOME_NONE;
	if (rail < t->n_helpers && home[rail] == HOME_NONE)
		why = not_yet(&t->helpers[rail], ifname);
	if (!why)
		gpu = homes_slot_gpu(home, t->n_helpers, rail, 0);
	*found = gpu == HOME_NONE ? NULL : &t->helpers[gpu];
	for (uint32_t i = 0; i < t->n_helpers && !*found && !why; i++)
		why = not_yet(&t->helpers[i], ifname);
	for (uint32_t i = 0; i < t->n_helpers && !*found; i++)
		if (t->helpers[i].state == REMOTE_FAILED || t->helpers[i].stuck)
			refusal_set("%s", t->helpers[i].cause);
	pthread_mutex_unlock(&t->lock);
	return *found ? TCPX_OK : why ? why : TCPX_EUNSUPPORTED;
}

static int connect_first(struct transport *t, uint32_t rail, const void *addr,
			 size_t addr_bytes, struct channel **sender)
{
	struct shared_message m = {.type = SHARED_CONNECT};
	struct helper_process *h;
	struct address peer;
	int err = address_decode(addr, addr_bytes, &peer);

	if (err)
		return err;
	refusal_set("the peer's GPU is at home on %s, and no GPU with a helper "
		    "here is (one process for all GPUs, or "
		    "TCPX_NETPLUGIN_MAP, would help)",
		    peer.ifname);
	err = find_helper(t, rail, peer.ifname, &h);
	if (err)
		return err;
	struct channel *c = channel_create(h, true);
	if (!c)
		return TCPX_ENOMEM;
	m.id = c->id;
	m.index = c->index;
	m.addr_bytes = (uint32_t)addr_bytes;
	memcpy(m.addr, addr, addr_bytes);
	err = remote_tell(h, &m, c->wake_fd);
	if (err) {
		channel_free(c);
		return err;
	}
	*sender = c;
	return TCPX_INPROGRESS;
}

static int look(const struct channel *c)
{
	switch (load_acquire(&c->state)) {
	case REMOTE_MAKING:
		return TCPX_INPROGRESS;
	case REMOTE_READY:
		return TCPX_OK;
	default:
		return c->status;
	}
}

static int remote_connect(struct transport *t, uint32_t rail, const void *addr,
			  size_t addr_bytes, struct channel **sender)
{
	if (!*sender)
		return connect_first(t, rail, addr, addr_bytes, sender);
	int status = look(*sender);

	if (status < 0) {
		refusal_set("%s", (*sender)->end_cause);
		channel_free(*sender);
		*sender = NULL;
	}
	return status;
}

static int remote_accept(struct listener *l, struct channel **receiver)
{
	struct channel *c = l->receiver;
	int status = c ? look(c) : TCPX_ECLOSED;

	*receiver = NULL;
	if (!c || status == TCPX_INPROGRESS)
		return status;
	pthread_mutex_lock(&l->transport->lock);
	l->receiver = NULL;
	pthread_mutex_unlock(&l->transport->lock);
	if (status) {
		refusal_set("%s", c->end_cause);
		channel_free(c);
	} else {
		*receiver = c;
	}
	return status;
}

static void remote_channel_close(struct channel *channel)
{
	channel_free(channel);
}

/* ---- the table ---------------------------------------------------------- */

static void get_limits(struct transport *t, struct transport_limits *limits)
{
	*limits = t->limits;
}

const struct transport_ops netplugin_remote = {
	.name = "netplugin",
	.open = remote_open,
	.close = remote_close,
	.limits = get_limits,
	.listen = remote_listen,
	.connect = remote_connect,
	.accept = remote_accept,
	.listener_close = remote_listener_close,
	.listen_start = remote_listen_start,
	.listen_poll = remote_listen_poll,
	.refusal = refusal_get,
	.rail = remote_rail,
	.channel_close = remote_channel_close,
	.post_recv = remote_post_recv,
	.consume = remote_consume,
	.slot_get = remote_slot_get,
	.slot_put = remote_slot_put,
	.post_send = remote_post_send,
	.abandon = remote_abandon,
	.poll = remote_poll,
	.wait_fd = remote_wait_fd,
	.channel_gpu = remote_channel_gpu,
	.counters = remote_counters,
};
