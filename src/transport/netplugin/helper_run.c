/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tcpx/status.h>
#include <unistd.h>

#include "gpu/gpu.h"
#include "transport/netplugin/helper.h"

static const struct transport_ops *const inside = &netplugin_inside;

bool helper_channel_tell(struct helper_channel *c,
			 const struct shared_item *item)
{
	bool told = shared_push(&c->shared->events, item);

	c->told |= told;
	return told;
}

/* Whoever waits for what was told: once a pass. For chunks that are sure, not
 * before a pass in which nothing moved: till then there may be more to tell.
 * The fence pairs with the session's, see shared.h. */
static void wake(struct helper_channel *c, bool moved)
{
	uint64_t one = 1;

	if (!c->told && (!c->owes || moved))
		return;
	c->told = c->owes = false;
	atomic_thread_fence(memory_order_seq_cst);
	if (!load_relaxed(&c->shared->waits))
		return;
	/* It cannot be full, and there is nothing else that could fail. */
	(void)!write(c->helper->wake_fds[c->index], &one, sizeof(one));
	store_release(&c->shared->waits, 0);
}

void helper_channel_fail(struct helper_channel *c, int status,
			 const char *cause)
{
	if (c->failed)
		return;
	c->failed = true;
	c->status = status;
	snprintf(c->shared->cause, sizeof(c->shared->cause), "%s", cause);
}

/* ---- commands and events ----------------------------------------------- */

static uint8_t *send_slot(const struct helper_channel *c,
			  const struct shared_item *item)
{
	const struct comm *comm = &c->in->comm;

	return (item->on_host ? comm->host_mem : comm->mem) +
	       (uint64_t)item->slot * comm->chunk_bytes;
}

/* false: the channel cannot take it now, it stays where it is. */
static bool obey(struct helper_channel *c, const struct shared_item *item)
{
	const struct transport *t = c->helper->t;

	switch (item->kind) {
	case SHARED_SEND:
		if (item->slot >= t->options.n_slots || !c->in->sends ||
		    item->len_bytes > t->limits.chunk_bytes)
			return true;
		return !comm_send(&c->in->comm, send_slot(c, item),
				  item->on_host, item->len_bytes, item->cookie);
	case SHARED_RECV:
		if (item->slot >= t->limits.window)
			return true;
		return !inside->post_recv(c->in, item->cookie) &&
		       (c->lends || shared_slot_put(&c->free, item->slot));
	default:
		return true;
	}
}

static bool run_commands(struct helper_channel *c)
{
	struct shared_item item;
	bool any = false;

	while (!c->failed && shared_peek(&c->shared->commands, &item) &&
	       obey(c, &item)) {
		shared_pop(&c->shared->commands);
		any = true;
	}
	return any;
}

static void on_arrived(struct helper_channel *c,
		       const struct channel_event *event)
{
	struct helper_chunk *chunk = &c->chunks[c->arrived++ % COMM_RING];

	*chunk = (struct helper_chunk){.event = *event};
	for (uint32_t i = 0; i < event->n_fragments; i++)
		chunk->len_bytes += event->fragments[i].len_bytes;
}

static bool poll_inside(struct helper_channel *c)
{
	struct channel_event events[COMM_RING];
	int n = c->failed ? 0 : inside->poll(c->in, events, COMM_RING);

	for (int i = 0; i < n; i++) {
		struct shared_item item = {.kind = SHARED_SENT,
					   .cookie = events[i].cookie};

		if (events[i].kind == CHANNEL_ARRIVED)
			on_arrived(c, &events[i]);
		else if (events[i].kind == CHANNEL_FAILED)
			helper_channel_fail(c, events[i].status,
					    events[i].cause);
		else
			helper_channel_tell(c, &item);
	}
	return n > 0;
}

/* Once all that came before it is told. */
static void tell_failed(struct helper_channel *c)
{
	const struct shared_item item = {.kind = SHARED_FAILED,
					 .status = c->status};

	if (c->status == TCPX_INPROGRESS ||
	    (c->given < c->arrived && !c->chunks[c->given % COMM_RING].spoilt))
		return;
	if (helper_channel_tell(c, &item))
		c->status = TCPX_INPROGRESS; /* told */
}

static void tell_ready(struct helper_channel *c, int status)
{
	const struct channel *in = c->in;
	struct shared_message m = {
		.type = SHARED_READY,
		.id = c->id,
		.status = status,
	};
	int fds[SHARED_FDS_MAX];
	uint32_t n_fds = 0;
	bool sends = in->sends;
	uint8_t *mem = sends ? in->comm.mem : c->mem;
	int fd = sends ? in->mem_fd : c->mem_fd;

	m.lends = c->lends;
	m.mem_bytes = sends ? in->mem_bytes : c->mem_bytes;
	m.on_gpu = fd < 0 && mem;
	if (m.on_gpu && !status)
		m.status = gpu_ipc_export(in->rail->gpu, mem, m.ipc);
	if (fd >= 0)
		fds[n_fds++] = fd;
	if (sends && in->host_fd >= 0) {
		m.has_host = 1;
		fds[n_fds++] = in->host_fd;
	}
	helper_tell(&m, fds, n_fds);
}

/* false: how chunks will reach the session is not known yet. */
static bool become_ready(struct helper_channel *c)
{
	struct helper *h = c->helper;
	enum helper_lending lending = helper_lend(h, &c->in->comm);
	int err = TCPX_OK;

	if (lending == LEND_OFFERED)
		return false;
	c->lends = lending == LEND_YES;
	if (!c->in->sends && !c->lends) {
		c->mem_bytes = (uint64_t)h->t->limits.window *
			       h->t->limits.chunk_bytes;
		err = device_alloc(h->t, c->in->rail, c->mem_bytes, &c->mem,
				   &c->mem_fd);
	}
	tell_ready(c, err);
	c->ready = true;
	return true;
}

bool helper_channel_run(struct helper_channel *c)
{
	bool any;

	if (c->closing || (!c->ready && !become_ready(c)))
		return false;
	any = run_commands(c);
	any |= poll_inside(c);
	if (!c->in->sends)
		any |= c->lends ? helper_lend_run(c) : helper_copy_run(c);
	if (c->failed)
		tell_failed(c);
	wake(c, any);
	return any;
}

bool helper_channel_has_work(const struct helper_channel *c)
{
	struct shared_item item;

	return (!c->failed && shared_peek(&c->shared->commands, &item)) ||
	       (c->lends && helper_lend_has_work(c));
}

/* ---- beginning and end ------------------------------------------------- */

void helper_channel_create(struct helper *h, uint32_t id, uint32_t index,
			   struct channel *in)
{
	struct helper_channel *c = calloc(1, sizeof(*c));
	struct shared_message m = {
		.type = SHARED_READY, .id = id, .status = TCPX_ENOMEM};

	if (!c) {
		inside->channel_close(in);
		helper_tell(&m, NULL, 0);
		helper_tell_closed(h, index);
		return;
	}
	c->helper = h;
	c->id = id;
	c->index = index;
	c->in = in;
	c->mem_fd = -1;
	c->shared = &h->area->channels[index];
	list_init(&c->link);
	list_add_tail(&h->channels, &c->link);
}

bool helper_channel_end(struct helper_channel *c)
{
	struct helper *h = c->helper;
	uint32_t index = c->index;

	if (!c->closing || !helper_copy_ended(c))
		return false;
	if (c->mem)
		device_free(c->helper->t, c->in->rail, c->mem, c->mem_bytes,
			    c->mem_fd);
	helper_lend_ended(c);
	inside->channel_close(c->in);
	list_del(&c->link);
	free(c);
	helper_tell_closed(h, index);
	return true;
}
