/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tcpx/status.h>
#include <unistd.h>

#include "gpu/gpu.h"
#include "transport/netplugin/helper.h"

static const struct transport_ops *const inside = &netplugin_inside;

/* ---- into the slots ---------------------------------------------------- */

static uint8_t *slot_at(struct helper_channel *c, uint32_t slot)
{
	return c->mem + (uint64_t)slot * c->helper->t->limits.chunk_bytes;
}

static void copy_on_host(uint8_t *to, const struct channel_event *event)
{
	for (uint32_t i = 0; i < event->n_fragments; i++) {
		const struct transport_fragment *f = &event->fragments[i];

		memcpy(to + f->dst_off, event->base + f->src_off, f->len_bytes);
	}
}

/* false: no job is free now. */
static bool copy_on_gpu(struct gpu *gpu, uint8_t *to,
			struct helper_chunk *chunk)
{
	struct gpu_job *job = gpu_job_get(gpu);

	if (!job)
		return false;
	for (uint32_t i = 0; i < chunk->event.n_fragments; i++) {
		const struct transport_fragment *f = &chunk->event.fragments[i];

		/* A job takes more than a list can have. */
		if (!gpu_job_add(job, to + f->dst_off,
				 chunk->event.base + f->src_off, f->len_bytes))
			break;
	}
	gpu_job_submit(job);
	chunk->job = job;
	return true;
}

static bool tell(struct helper_channel *c, const struct shared_item *item)
{
	bool told = shared_push(&c->shared->events, item);

	c->told |= told;
	return told;
}

/* Whoever waits for what was told: once a pass. The fence pairs with the
 * session's, see shared.h. */
static void wake(struct helper_channel *c)
{
	uint64_t one = 1;

	if (!c->told)
		return;
	c->told = false;
	atomic_thread_fence(memory_order_seq_cst);
	if (!load_relaxed(&c->shared->waits))
		return;
	/* It cannot be full, and there is nothing else that could fail. */
	(void)!write(c->helper->wake_fds[c->index], &one, sizeof(one));
	store_release(&c->shared->waits, 0);
}

static bool start(struct helper_channel *c, uint64_t k)
{
	struct helper_chunk *chunk = &c->chunks[k % COMM_RING];
	struct gpu *gpu = c->helper->the_rail->gpu;

	chunk->slot = shared_slot_top(&c->free);
	if (!gpu) {
		copy_on_host(slot_at(c, chunk->slot), &chunk->event);
		chunk->copied = true;
	} else {
		if (!copy_on_gpu(gpu, slot_at(c, chunk->slot), chunk))
			return false;
		c->helper->flush = true;
	}
	shared_slot_pop(&c->free);
	chunk->started = true;
	return true;
}

static void fail(struct helper_channel *c, int status, const char *cause)
{
	if (c->failed)
		return;
	c->failed = true;
	c->status = status;
	snprintf(c->shared->cause, sizeof(c->shared->cause), "%s", cause);
}

/* Jobs that have ended. */
static bool reap(struct helper_channel *c)
{
	bool any = false;

	for (uint64_t k = c->given; k < c->arrived; k++) {
		struct helper_chunk *chunk = &c->chunks[k % COMM_RING];
		int status = chunk->job ? gpu_job_poll(chunk->job) :
					  TCPX_INPROGRESS;

		if (status == TCPX_INPROGRESS)
			continue;
		gpu_job_put(chunk->job);
		chunk->job = NULL;
		chunk->copied = true;
		any = true;
		if (status)
			fail(c, status, "the GPU failed to unpack");
	}
	return any;
}

/* In order: pages back to the plugin, the chunk to the session. */
static bool give(struct helper_channel *c)
{
	bool any = false;

	while (c->given < c->arrived) {
		struct helper_chunk *chunk = &c->chunks[c->given % COMM_RING];
		struct shared_item item = {
			.kind = SHARED_ARRIVED,
			.slot = chunk->slot,
			.len_bytes = chunk->len_bytes,
			.cookie = chunk->event.cookie,
		};

		if (!chunk->copied || (c->failed && c->status == TCPX_EGPU) ||
		    !tell(c, &item))
			break;
		inside->consume(c->in, chunk->event.cookie);
		c->given++;
		any = true;
	}
	return any;
}

static bool unpack(struct helper_channel *c)
{
	bool any = false;

	for (uint64_t k = c->given; k < c->arrived; k++)
		if (!c->chunks[k % COMM_RING].started)
			any |= start(c, k);
	any |= reap(c);
	return give(c) || any;
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
		       shared_slot_put(&c->free, item->slot);
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
			fail(c, events[i].status, events[i].cause);
		else
			tell(c, &item);
	}
	return n > 0;
}

/* Once all that came before it is told. */
static void tell_failed(struct helper_channel *c)
{
	const struct shared_item item = {.kind = SHARED_FAILED,
					 .status = c->status};

	if (c->status == TCPX_INPROGRESS ||
	    (c->given < c->arrived && c->status != TCPX_EGPU))
		return;
	if (tell(c, &item))
		c->status = TCPX_INPROGRESS; /* told */
}

bool helper_channel_run(struct helper_channel *c)
{
	bool any;

	if (c->closing)
		return false;
	any = run_commands(c);
	any |= poll_inside(c);
	if (!c->in->sends)
		any |= unpack(c);
	if (c->failed)
		tell_failed(c);
	wake(c);
	return any;
}

/* ---- beginning and end ------------------------------------------------- */

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

	m.mem_bytes = sends ? in->mem_bytes : c->mem_bytes;
	m.on_gpu = fd < 0;
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

void helper_channel_create(struct helper *h, uint32_t id, uint32_t index,
			   struct channel *in)
{
	struct helper_channel *c = calloc(1, sizeof(*c));
	struct shared_message m = {
		.type = SHARED_READY, .id = id, .status = TCPX_ENOMEM};

	if (!c) {
		inside->channel_close(in);
		helper_tell(&m, NULL, 0);
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
	int err = TCPX_OK;

	if (!in->sends) {
		c->mem_bytes = (uint64_t)h->t->limits.window *
			       h->t->limits.chunk_bytes;
		err = device_alloc(h->t, in->rail, c->mem_bytes, &c->mem,
				   &c->mem_fd);
	}
	tell_ready(c, err);
}

bool helper_channel_end(struct helper_channel *c)
{
	struct helper *h = c->helper;
	uint32_t index = c->index;

	if (!c->closing)
		return false;
	reap(c);
	for (uint64_t k = c->given; k < c->arrived; k++)
		if (c->chunks[k % COMM_RING].job)
			return false;
	if (c->mem)
		device_free(c->helper->t, c->in->rail, c->mem, c->mem_bytes,
			    c->mem_fd);
	inside->channel_close(c->in);
	list_del(&c->link);
	free(c);
	helper_tell_closed(h, index);
	return true;
}
