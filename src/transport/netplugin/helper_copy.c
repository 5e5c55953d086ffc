/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <tcpx/status.h>

#include "gpu/gpu.h"
#include "transport/netplugin/helper.h"

static const struct transport_ops *const inside = &netplugin_inside;

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
			chunk->spoilt = true;
	}
	gpu_job_submit(job);
	chunk->job = job;
	return true;
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
		chunk->spoilt |= status != TCPX_OK;
		chunk->copied = !chunk->spoilt;
		any = true;
		if (chunk->spoilt)
			helper_channel_fail(c, status ? status : TCPX_EINTERNAL,
					    "the GPU failed to unpack");
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

		if (!chunk->copied || !helper_channel_tell(c, &item))
			break;
		inside->consume(c->in, chunk->event.cookie);
		c->consumed = ++c->given;
		any = true;
	}
	return any;
}

bool helper_copy_run(struct helper_channel *c)
{
	bool any = false;

	for (uint64_t k = c->given; k < c->arrived; k++)
		if (!c->chunks[k % COMM_RING].started)
			any |= start(c, k);
	any |= reap(c);
	return give(c) || any;
}

bool helper_copy_ended(struct helper_channel *c)
{
	reap(c);
	for (uint64_t k = c->given; k < c->arrived; k++)
		if (c->chunks[k % COMM_RING].job)
			return false;
	return true;
}
