/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "transport/loop/scatter.h"

/* ---- sending ----------------------------------------------------------- */

static int slot_find(const struct link *link, const void *slot,
		     enum slot_state state, uint32_t *i)
{
	for (*i = 0; *i < WINDOW; ++*i) {
		if (link->slot_states[*i] == state &&
		    (!slot || link->slots[*i] == slot))
			return TCPX_OK;
	}
	return TCPX_EAGAIN;
}

static int slot_get(struct channel *channel, struct gpu *gpu, void **slot)
{
	struct link *link = channel->link;
	uint32_t i;

	pthread_mutex_lock(&link->lock);
	int status = slot_find(link, NULL, SLOT_FREE, &i);
	if (!status && !link->slots[i])
		link->slots[i] = aligned_alloc(PAGE_BYTES, CHUNK_BYTES_MAX);
	if (!status && !link->slots[i])
		status = TCPX_ENOMEM;
	if (!status) {
		link->slot_states[i] = SLOT_GOT;
		*slot = link->slots[i];
	}
	pthread_mutex_unlock(&link->lock);
	return status;
}

static void slot_put(struct channel *channel, void *slot)
{
	struct link *link = channel->link;
	uint32_t i;

	pthread_mutex_lock(&link->lock);
	if (!slot_find(link, slot, SLOT_GOT, &i))
		link->slot_states[i] = SLOT_FREE;
	pthread_mutex_unlock(&link->lock);
}

static int post_send(struct channel *channel, const struct chunk_desc *desc,
		     const struct span *spans, uint32_t n_spans,
		     uint64_t cookie)
{
	struct link *link = channel->link;
	int status = TCPX_EAGAIN;
	uint32_t slot;

	pthread_mutex_lock(&link->lock);
	if (link->status || channel->posted - channel->reported == WINDOW)
		goto unlock;
	status = TCPX_EINVAL;
	if (!desc->len_bytes || desc->len_bytes > link->chunk_bytes ||
	    n_spans != 1 || slot_find(link, spans[0].base, SLOT_GOT, &slot))
		goto unlock;
	*send_at(link, channel->posted++) = (struct send){
		.cookie = cookie,
		.slot = slot,
		.len_bytes = desc->len_bytes,
	};
	link->slot_states[slot] = SLOT_POSTED;
	status = TCPX_OK;
unlock:
	pthread_mutex_unlock(&link->lock);
	return status;
}

/* Cuts len_bytes at random places and shuffles the pieces. */
static uint32_t cut(struct dice *dice, uint32_t len_bytes,
		    struct transport_fragment *fragments)
{
	uint32_t n = 0;

	for (uint32_t off = 0, len; off < len_bytes; off += len, n++) {
		len = PAGE_BYTES;
		if (n < SMALL_FRAGMENTS_MAX)
			len = 1 + dice_roll(dice, PAGE_BYTES);
		if (len > len_bytes - off)
			len = len_bytes - off;
		fragments[n].dst_off = off;
		fragments[n].len_bytes = len;
	}
	for (uint32_t i = n; i > 1; i--) {
		uint32_t j = dice_roll(dice, i);
		struct transport_fragment last = fragments[i - 1];

		fragments[i - 1] = fragments[j];
		fragments[j] = last;
	}
	return n;
}

/* One chunk from its slot into pages, if there is room and luck. */
static void carry(struct link *link)
{
	const struct send *send = send_at(link, link->carried);

	if (link->status || !link->pages ||
	    link->carried == link->sender.posted ||
	    link->carried - link->receiver.consumed == WINDOW ||
	    !dice_roll(&link->dice, 4))
		return;
	struct transport_fragment *fragments =
		malloc(FRAGMENTS_MAX * sizeof(*fragments));
	if (!fragments)
		return;
	uint32_t n = cut(&link->dice, send->len_bytes, fragments);
	if (pages_take(link->pages, fragments, n)) {
		free(fragments);
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		memcpy(link->pages->base + fragments[i].src_off,
		       link->slots[send->slot] + fragments[i].dst_off,
		       fragments[i].len_bytes);
	*parcel_at(link, link->carried++) = (struct parcel){
		.len_bytes = send->len_bytes,
		.n_fragments = n,
		.fragments = fragments,
	};
}

static void report_sent(struct channel *channel, struct channel_event *event)
{
	struct link *link = channel->link;
	const struct send *send = send_at(link, channel->reported++);

	link->slot_states[send->slot] = SLOT_FREE;
	channel->bytes += send->len_bytes;
	*event = (struct channel_event){
		.kind = CHANNEL_SENT,
		.cookie = send->cookie,
	};
}

/* ---- receiving --------------------------------------------------------- */

static int post_recv(struct channel *channel, uint64_t cookie)
{
	struct link *link = channel->link;
	int status = TCPX_EAGAIN;

	pthread_mutex_lock(&link->lock);
	if (!link->status && channel->posted - channel->consumed < WINDOW) {
		channel->cookies[channel->posted++ % WINDOW] = cookie;
		status = TCPX_OK;
	}
	pthread_mutex_unlock(&link->lock);
	return status;
}

static void report_arrived(struct channel *channel, struct channel_event *event)
{
	struct link *link = channel->link;
	const struct parcel *parcel = parcel_at(link, channel->reported);

	*event = (struct channel_event){
		.kind = CHANNEL_ARRIVED,
		.cookie = channel->cookies[channel->reported % WINDOW],
		.base = link->pages->base,
		.fragments = parcel->fragments,
		.n_fragments = parcel->n_fragments,
	};
	channel->bytes += parcel->len_bytes;
	channel->reported++;
}

static int consume(struct channel *channel, uint64_t cookie)
{
	struct link *link = channel->link;
	int status = TCPX_EINVAL;

	pthread_mutex_lock(&link->lock);
	struct parcel *parcel = parcel_at(link, channel->consumed);
	if (channel->consumed < channel->reported &&
	    channel->cookies[channel->consumed % WINDOW] == cookie) {
		pages_give(link->pages, parcel->fragments, parcel->n_fragments);
		free(parcel->fragments);
		channel->consumed++;
		status = TCPX_OK;
	}
	pthread_mutex_unlock(&link->lock);
	return status;
}

/* ---- both -------------------------------------------------------------- */

/* Slots and pages are ours, so the owner's memory is in nobody's way. */
static bool abandon(struct channel *channel, uint64_t cookie)
{
	return false;
}

static bool can_report(const struct channel *channel)
{
	return channel->reported < channel->link->carried &&
	       channel->reported < channel->posted;
}

static int poll_channel(struct channel *channel, struct channel_event *events,
			int max)
{
	struct link *link = channel->link;
	int n = 0;

	pthread_mutex_lock(&link->lock);
	if (is_sender(channel))
		carry(link);
	while (n < max && can_report(channel) && dice_roll(&link->dice, 4)) {
		if (is_sender(channel))
			report_sent(channel, &events[n++]);
		else
			report_arrived(channel, &events[n++]);
	}
	if (n < max && link->status && !channel->told_failed &&
	    !can_report(channel)) {
		channel->told_failed = true;
		events[n++] = (struct channel_event){
			.kind = CHANNEL_FAILED,
			.status = link->status,
			.cause = link->cause,
		};
	}
	pthread_mutex_unlock(&link->lock);
	return n;
}

static int probe(const struct transport_params *params, char *why,
		 size_t cap_bytes)
{
	return TCPX_OK;
}

static void get_limits(struct transport *transport,
		       struct transport_limits *limits)
{
	*limits = transport->limits;
}

static int get_counters(struct channel *channel,
			struct transport_counter *counters, int max)
{
	const struct transport_counter all[] = {
		{"bytes", channel->bytes},
		{"chunks", channel->reported},
	};
	int n = 0;

	for (; n < max && n < 2; n++)
		counters[n] = all[n];
	return n;
}

extern const struct transport_ops transport_loop_scatter;
const struct transport_ops transport_loop_scatter = {
	.name = MODE,
	.caps = TRANSPORT_FRAGMENTS | TRANSPORT_SLOTS_ONLY |
		TRANSPORT_SAME_PROCESS,
	.probe = probe,
	.open = scatter_open,
	.close = scatter_close,
	.limits = get_limits,
	.listen = scatter_listen,
	.connect = scatter_connect,
	.accept = scatter_accept,
	.listener_close = scatter_listener_close,
	.channel_close = scatter_channel_close,
	.post_recv = post_recv,
	.consume = consume,
	.slot_get = slot_get,
	.slot_put = slot_put,
	.post_send = post_send,
	.abandon = abandon,
	.poll = poll_channel,
	.counters = get_counters,
};
