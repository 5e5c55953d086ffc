/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/netplugin/remote.h"

#include <stdio.h>
#include <sys/epoll.h>
#include <tcpx/status.h>
#include <unistd.h>

/* The data path: commands and events in shared memory, no lock. */

/* There is something for it. The fence pairs with the helper's look at its
 * channels before it sleeps. */
static void wake_helper(const struct channel *c)
{
	uint64_t one = 1;

	atomic_thread_fence(memory_order_seq_cst);
	if (load_relaxed(&c->helper->area->sleeps) &&
	    write(c->helper->wake_fd, &one, sizeof(one)) < 0)
		return; /* full: it is awake */
}

static int command(struct channel *c, const struct shared_item *item)
{
	if (load_relaxed(&c->helper->generation) != c->generation ||
	    c->told_failed || !shared_push(&c->shared->commands, item))
		return TCPX_EAGAIN;
	wake_helper(c);
	return TCPX_OK;
}

int remote_slot_get(struct channel *c, struct gpu *gpu, void **slot)
{
	return slots_get(&c->slots, !gpu, slot);
}

void remote_slot_put(struct channel *c, void *slot)
{
	slots_put(&c->slots, slot);
}

int remote_post_send(struct channel *c, const struct chunk_desc *desc,
		     const struct span *spans, uint32_t n_spans,
		     uint64_t cookie)
{
	const struct transport *t = c->transport;
	uint32_t i;
	int err = slots_find(&c->slots, desc, spans, n_spans, &i);

	if (err)
		return err;
	if (c->posted - c->done >= t->limits.sends_max)
		return TCPX_EAGAIN;
	const struct shared_item item = {
		.kind = SHARED_SEND,
		.slot = i % c->slots.n,
		.on_host = i >= c->slots.n,
		.len_bytes = desc->len_bytes,
		.cookie = cookie,
	};
	err = command(c, &item);
	if (err)
		return err;
	slots_post(&c->slots, i);
	c->sent_slots[c->posted % REMOTE_WINDOW] = spans[0].base;
	c->sent_lens[c->posted++ % REMOTE_WINDOW] = desc->len_bytes;
	return TCPX_OK;
}

int remote_post_recv(struct channel *c, uint64_t cookie)
{
	struct shared_item item = {.kind = SHARED_RECV, .cookie = cookie};

	if (c->posted - c->sure >= c->transport->limits.window)
		return TCPX_EAGAIN;
	if (!c->pool)
		item.slot = shared_slot_top(&c->free);
	int err = command(c, &item);

	if (err)
		return err;
	if (!c->pool) {
		shared_slot_pop(&c->free);
		c->lent |= 1u << item.slot;
	}
	c->cookies[c->posted++ % REMOTE_WINDOW] = cookie;
	return TCPX_OK;
}

/* Pages go to the plugin by the helper, which says so: take_consumed(). It gave
 * them back itself where it had copied them; the slot goes to it with the next
 * receive. */
int remote_consume(struct channel *c, uint64_t cookie)
{
	uint32_t at = c->consumed % REMOTE_WINDOW;

	if (c->consumed == c->done || c->cookies[at] != cookie)
		return TCPX_EINVAL;
	c->consumed++;
	if (c->pool) {
		store_release(&c->shared->returned, c->consumed);
		wake_helper(c);
		return TCPX_OK;
	}
	shared_slot_put(&c->free, c->recv_slots[at]);
	c->sure++;
	return TCPX_OK;
}

bool remote_abandon(struct channel *c, uint64_t cookie)
{
	return false;
}

static bool on_sent(struct channel *c, const struct shared_item *item,
		    struct channel_event *event)
{
	uint32_t at = c->done % REMOTE_WINDOW;

	if (!c->sends || c->done == c->posted)
		return false;
	slots_put(&c->slots, c->sent_slots[at]);
	c->bytes += c->sent_lens[at];
	c->done++;
	*event = (struct channel_event){.kind = CHANNEL_SENT,
					.cookie = item->cookie};
	return true;
}

/* In the pages themselves: a list says where. */
static bool arrived_in_pages(struct channel *c, const struct shared_item *item,
			     struct channel_event *event)
{
	uint32_t at = c->done % REMOTE_WINDOW;
	struct transport_fragment *fragments =
		&c->fragments[(size_t)at * NETPLUGIN_UNPACK_ENTRIES];

	event->base = c->pool->base;
	event->fragments = fragments;
	event->n_fragments = item->n_entries;
	event->lent = true;
	return !shared_take_list(&c->shared->lists[at], item->n_entries,
				 c->pool->len_bytes, item->len_bytes,
				 fragments);
}

static bool arrived_in_slot(struct channel *c, const struct shared_item *item,
			    struct channel_event *event)
{
	uint32_t at = c->done % REMOTE_WINDOW;

	if (item->slot >= SHARED_SLOTS || !(c->lent & 1u << item->slot))
		return false;
	c->lent &= ~(1u << item->slot);
	c->recv_slots[at] = (uint8_t)item->slot;
	c->whole[at] = (struct transport_fragment){0, 0, item->len_bytes};
	event->base = c->mem +
		      (uint64_t)item->slot * c->transport->limits.chunk_bytes;
	event->fragments = &c->whole[at];
	event->n_fragments = item->len_bytes > 0;
	return true;
}

static bool on_arrived(struct channel *c, const struct shared_item *item,
		       struct channel_event *event)
{
	if (c->sends || c->done == c->posted ||
	    item->len_bytes > c->transport->limits.chunk_bytes ||
	    item->cookie != c->cookies[c->done % REMOTE_WINDOW])
		return false;
	*event = (struct channel_event){.kind = CHANNEL_ARRIVED,
					.cookie = item->cookie};
	if (!(c->pool ? arrived_in_pages(c, item, event) :
			arrived_in_slot(c, item, event)))
		return false;
	c->bytes += item->len_bytes;
	c->done++;
	return true;
}

/* What the helper has confirmed since; pairs with its store, behind the call
 * for which it had to live. */
static bool has_consumed(const struct channel *c)
{
	return c->sure < c->consumed &&
	       load_acquire(&c->shared->consumed) > c->sure;
}

static void take_consumed(struct channel *c, struct channel_event *event)
{
	*event = (struct channel_event){
		.kind = CHANNEL_CONSUMED,
		.cookie = c->cookies[c->sure++ % REMOTE_WINDOW],
	};
}

static int failed(struct channel *c, int status, const char *cause,
		  struct channel_event *event)
{
	c->told_failed = true;
	snprintf(c->cause, sizeof(c->cause), "%.*s", (int)sizeof(c->cause) - 1,
		 cause);
	*event = (struct channel_event){
		.kind = CHANNEL_FAILED,
		.status = status,
		.cause = c->cause,
	};
	return 1;
}

/* One from the helper: 1, or 0 if there is none. */
static int next_event(struct channel *c, struct channel_event *event)
{
	struct shared_item item;
	bool dead = load_acquire(&c->helper->generation) != c->generation;
	bool good = true, more = shared_peek(&c->shared->events, &item);

	/* Looked for last, and told first: what came before a failure. */
	if (has_consumed(c)) {
		take_consumed(c, event);
		return 1;
	}
	if (!more)
		return dead ? failed(c, TCPX_ECHANNEL, c->end_cause, event) : 0;
	switch (item.kind) {
	case SHARED_SENT:
		good = on_sent(c, &item, event);
		break;
	case SHARED_ARRIVED:
		good = on_arrived(c, &item, event);
		break;
	default:
		return failed(c, item.status < 0 ? item.status : TCPX_ECHANNEL,
			      c->shared->cause, event);
	}
	shared_pop(&c->shared->events);
	c->chunks++;
	return good ? 1 :
		      failed(c, TCPX_EPROTO,
			     "the helper process talks nonsense", event);
}

/* The eventfd is empty again, if the helper has written to it: see shared.h. */
static void hush(struct channel *c)
{
	uint64_t count;

	if (!c->waits || load_acquire(&c->shared->waits))
		return;
	c->waits = false;
	(void)!read(c->wake_fd, &count, sizeof(count));
}

int remote_poll(struct channel *c, struct channel_event *events, int max)
{
	int n = 0;

	hush(c);
	while (n < max && !c->told_failed && next_event(c, &events[n]))
		n++;
	return n;
}

/* The helper's end is told by the same eventfd: remote_hear.c. */
int remote_wait_fd(struct channel *c, uint32_t *events)
{
	struct shared_item item;

	*events = EPOLLIN;
	if (!c->waits) {
		c->waits = true;
		store_relaxed(&c->shared->waits, 1);
		/* Pairs with the helper's between an event and its look. */
		atomic_thread_fence(memory_order_seq_cst);
	}
	if (shared_peek(&c->shared->events, &item) || has_consumed(c))
		*events |= EPOLLOUT; /* as an eventfd is at any time */
	return c->wake_fd;
}

struct gpu *remote_channel_gpu(struct channel *c)
{
	return c->on_gpu ? c->helper->gpu : NULL;
}

int remote_counters(struct channel *c, struct transport_counter *counters,
		    int max)
{
	const struct transport_counter all[] = {
		{"bytes", c->bytes},
		{"chunks", c->chunks},
		{"lent", c->pool ? c->chunks : 0},
	};
	int n = 0;

	for (; n < max && n < 3; n++)
		counters[n] = all[n];
	return n;
}
