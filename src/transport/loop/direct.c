/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Transport `loop`: the shortest thing that is a transport. Both ends are in
 * this process; a chunk is moved by one copy, from the sender's spans to the
 * spans that the receiver bound, inside poll() of whichever end comes first.
 *
 * A channel's state is a few numbers that only grow. Chunk k is the k-th send
 * and the k-th receive; at each end it lives at k % size of a ring:
 *
 *   sender      reported <= moved <= posted
 *   receiver    consumed <= reported <= moved <= bound <= posted
 *
 * `moved` is shared. The ends may have different owners, so all of a link is
 * covered by its lock, which is held for one chunk's copy at most.
 */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "transport/loop/meet.h"

#define SENDS_MAX 8
#define SPANS_MAX 512

struct transport {
	struct transport_limits limits;
};

struct chunk {
	uint64_t cookie;
	const struct span *spans;
	uint32_t n_spans;
	uint32_t len_bytes;
	bool is_dropped; /* abandoned by the receiver: copy nothing */
	/* Malloced: what an abandoned send goes on from, or where a chunk goes
	 * that was bound to no spans. */
	struct span own;
	struct transport_fragment whole;
};

struct channel {
	struct link *link;
	struct transport_limits limits;
	bool is_open;
	bool told_failed;
	uint64_t posted, bound, reported;
	uint64_t consumed; /* a sender's: as reported */
	uint64_t bytes;
	uint32_t n_ring;
	struct chunk *ring;
};

struct link {
	pthread_mutex_t lock;
	struct channel sender, receiver;
	uint64_t moved;
	int status;
	const char *cause; /* a constant */
};

static struct chunk *chunk_at(struct channel *channel, uint64_t k)
{
	return &channel->ring[k % channel->n_ring];
}

static bool is_sender(const struct channel *channel)
{
	return channel == &channel->link->sender;
}

static void fail(struct link *link, int status, const char *cause)
{
	if (link->status)
		return;
	link->status = status;
	link->cause = cause;
}

/* ---- a transport and its channels -------------------------------------- */

static int probe(const struct transport_params *params, char *why,
		 size_t cap_bytes)
{
	return TCPX_OK;
}

static int open_transport(const struct transport_params *params,
			  struct transport **transport)
{
	struct transport *t = calloc(1, sizeof(*t));

	if (!t)
		return TCPX_ENOMEM;
	t->limits = (struct transport_limits){
		.window = params->window_chunks ? params->window_chunks : 16,
		.sends_max = SENDS_MAX,
		.chunk_bytes = params->chunk_bytes ? params->chunk_bytes :
						     512u << 10,
		.spans_max = SPANS_MAX,
	};
	t->limits.slot_bytes = t->limits.chunk_bytes;
	*transport = t;
	return TCPX_OK;
}

static void close_transport(struct transport *transport)
{
	free(transport);
}

static void get_limits(struct transport *transport,
		       struct transport_limits *limits)
{
	*limits = transport->limits;
}

static void channel_fini(struct channel *channel)
{
	for (; channel->consumed < channel->posted; channel->consumed++)
		free(chunk_at(channel, channel->consumed)->own.base);
	free(channel->ring);
}

static void link_destroy(struct link *link)
{
	channel_fini(&link->sender);
	channel_fini(&link->receiver);
	pthread_mutex_destroy(&link->lock);
	free(link);
}

static int channel_init(struct channel *channel,
			const struct transport *transport, uint32_t n_ring)
{
	channel->limits = transport->limits;
	channel->n_ring = n_ring;
	channel->ring = calloc(n_ring, sizeof(channel->ring[0]));
	return channel->ring ? TCPX_OK : TCPX_ENOMEM;
}

/* Made by connect. The receiving end is there, but of no size before accept
 * gives it its own transport's. */
static struct link *link_create(const struct transport *transport)
{
	struct link *link = calloc(1, sizeof(*link));

	if (!link)
		return NULL;
	pthread_mutex_init(&link->lock, NULL);
	link->sender.link = link->receiver.link = link;
	link->sender.is_open = link->receiver.is_open = true;
	if (channel_init(&link->sender, transport, SENDS_MAX)) {
		link_destroy(link);
		return NULL;
	}
	return link;
}

static void channel_close(struct channel *channel)
{
	struct link *link = channel->link;
	bool was_last;

	pthread_mutex_lock(&link->lock);
	channel->is_open = false;
	was_last = !link->sender.is_open && !link->receiver.is_open;
	fail(link, TCPX_ECLOSED, "closed by the peer");
	pthread_mutex_unlock(&link->lock);
	if (was_last)
		link_destroy(link);
}

static int listen_at(struct transport *transport, uint32_t rail,
		     struct listener **listener, void *addr, size_t *addr_bytes)
{
	return meet_listen(transport, "loop", listener, addr, addr_bytes);
}

static int connect_to(struct transport *transport, uint32_t rail,
		      const void *addr, size_t addr_bytes,
		      struct channel **sender)
{
	struct link *link = link_create(transport);

	*sender = NULL;
	if (!link)
		return TCPX_ENOMEM;
	int status = meet_connect("loop", addr, addr_bytes, link);
	if (status) {
		link_destroy(link);
		return status;
	}
	*sender = &link->sender;
	return TCPX_OK;
}

static int accept_from(struct listener *listener, struct channel **receiver)
{
	const struct transport *transport = listener->transport;
	struct link *link = meet_accept(listener, true);

	*receiver = NULL;
	if (!link)
		return TCPX_INPROGRESS;
	if (channel_init(&link->receiver, transport,
			 transport->limits.window)) {
		channel_close(&link->receiver);
		return TCPX_ENOMEM;
	}
	*receiver = &link->receiver;
	return TCPX_OK;
}

static void listener_close(struct listener *listener)
{
	struct link *link = meet_close(listener);

	if (link)
		channel_close(&link->receiver);
}

/* ---- chunks ------------------------------------------------------------ */

static bool has_room(const struct channel *channel)
{
	return channel->posted - channel->consumed < channel->n_ring;
}

static int post_recv(struct channel *channel, uint64_t cookie)
{
	struct link *link = channel->link;
	int status = TCPX_EAGAIN;

	pthread_mutex_lock(&link->lock);
	if (!link->status && has_room(channel)) {
		*chunk_at(channel, channel->posted++) =
			(struct chunk){.cookie = cookie};
		status = TCPX_OK;
	}
	pthread_mutex_unlock(&link->lock);
	return status;
}

static int bind_chunk(struct chunk *chunk, const struct span *spans,
		      uint32_t n_spans, uint32_t len_bytes)
{
	if (!n_spans) {
		chunk->own.base = malloc(len_bytes);
		if (!chunk->own.base)
			return TCPX_EAGAIN;
		chunk->own.len_bytes = len_bytes;
		chunk->whole.len_bytes = len_bytes;
		spans = &chunk->own;
		n_spans = 1;
	}
	chunk->spans = spans;
	chunk->n_spans = n_spans;
	chunk->len_bytes = len_bytes;
	return TCPX_OK;
}

static int bind_recv(struct channel *channel, uint64_t cookie,
		     const struct span *spans, uint32_t n_spans,
		     uint32_t len_bytes, struct gpu *gpu)
{
	struct link *link = channel->link;
	int status = TCPX_EINVAL;

	if (!len_bytes || len_bytes > channel->limits.chunk_bytes)
		return status;
	pthread_mutex_lock(&link->lock);
	struct chunk *chunk = chunk_at(channel, channel->bound);
	if (channel->bound < channel->posted && chunk->cookie == cookie)
		status = bind_chunk(chunk, spans, n_spans, len_bytes);
	if (!status)
		channel->bound++;
	pthread_mutex_unlock(&link->lock);
	return status;
}

static int consume(struct channel *channel, uint64_t cookie)
{
	struct link *link = channel->link;
	int status = TCPX_EINVAL;

	pthread_mutex_lock(&link->lock);
	struct chunk *chunk = chunk_at(channel, channel->consumed);
	if (channel->consumed < channel->reported && chunk->cookie == cookie) {
		free(chunk->own.base);
		channel->consumed++;
		status = TCPX_OK;
	}
	pthread_mutex_unlock(&link->lock);
	return status;
}

static int post_send(struct channel *channel, const struct chunk_desc *desc,
		     const struct span *spans, uint32_t n_spans,
		     uint64_t cookie)
{
	struct link *link = channel->link;
	int status = TCPX_EAGAIN;

	if (!desc->len_bytes || desc->len_bytes > channel->limits.chunk_bytes ||
	    !n_spans || n_spans > SPANS_MAX)
		return TCPX_EINVAL;
	pthread_mutex_lock(&link->lock);
	if (!link->status && has_room(channel)) {
		*chunk_at(channel, channel->posted++) = (struct chunk){
			.cookie = cookie,
			.spans = spans,
			.n_spans = n_spans,
			.len_bytes = desc->len_bytes,
		};
		status = TCPX_OK;
	}
	pthread_mutex_unlock(&link->lock);
	return status;
}

/* Both lists hold len_bytes in all, cut at different places. */
static void copy_spans(const struct span *to, const struct span *from,
		       size_t len_bytes)
{
	size_t to_off = 0, from_off = 0;

	while (len_bytes) {
		size_t n = to->len_bytes - to_off;

		if (n > from->len_bytes - from_off)
			n = from->len_bytes - from_off;
		memcpy((uint8_t *)to->base + to_off,
		       (const uint8_t *)from->base + from_off, n);
		len_bytes -= n;
		to_off += n;
		from_off += n;
		if (to_off == to->len_bytes) {
			to++;
			to_off = 0;
		}
		if (from_off == from->len_bytes) {
			from++;
			from_off = 0;
		}
	}
}

/* Moves the next chunk, if it is sent and bound. */
static void move_chunk(struct link *link)
{
	if (link->status || link->moved == link->sender.posted ||
	    link->moved == link->receiver.bound)
		return;
	struct chunk *from = chunk_at(&link->sender, link->moved);
	struct chunk *to = chunk_at(&link->receiver, link->moved);
	if (from->len_bytes != to->len_bytes) {
		fail(link, TCPX_EPROTO, "chunk is not as long as announced");
		return;
	}
	if (!to->is_dropped)
		copy_spans(to->spans, from->spans, from->len_bytes);
	link->moved++;
}

/* The chunk travels on from a copy; without memory the channel dies instead,
 * which also means that the spans are touched no more. */
static void make_private(struct link *link, struct chunk *chunk)
{
	if (chunk->own.base)
		return;
	chunk->own.base = malloc(chunk->len_bytes);
	if (!chunk->own.base) {
		fail(link, TCPX_ENOMEM, "out of memory to abandon a send");
		return;
	}
	chunk->own.len_bytes = chunk->len_bytes;
	copy_spans(&chunk->own, chunk->spans, chunk->len_bytes);
	chunk->spans = &chunk->own;
	chunk->n_spans = 1;
}

static bool abandon(struct channel *channel, uint64_t cookie)
{
	struct link *link = channel->link;
	bool unsent = false;

	pthread_mutex_lock(&link->lock);
	uint64_t end = is_sender(channel) ? channel->posted : channel->bound;
	for (uint64_t k = link->moved; k < end && !link->status; k++) {
		struct chunk *chunk = chunk_at(channel, k);

		if (chunk->cookie != cookie)
			continue;
		unsent = is_sender(channel);
		if (unsent)
			make_private(link, chunk);
		else
			chunk->is_dropped = !chunk->own.base;
	}
	pthread_mutex_unlock(&link->lock);
	return unsent;
}

static void report(struct channel *channel, struct channel_event *event)
{
	struct chunk *chunk = chunk_at(channel, channel->reported++);

	channel->bytes += chunk->len_bytes;
	*event = (struct channel_event){.cookie = chunk->cookie};
	if (is_sender(channel)) {
		event->kind = CHANNEL_SENT;
		free(chunk->own.base);
		channel->consumed++;
		return;
	}
	event->kind = CHANNEL_ARRIVED;
	if (chunk->own.base) {
		event->base = chunk->own.base;
		event->fragments = &chunk->whole;
		event->n_fragments = 1;
	}
}

static int poll_channel(struct channel *channel, struct channel_event *events,
			int max)
{
	struct link *link = channel->link;
	int n = 0;

	pthread_mutex_lock(&link->lock);
	move_chunk(link);
	while (n < max && channel->reported < link->moved)
		report(channel, &events[n++]);
	if (n < max && link->status && !channel->told_failed) {
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

extern const struct transport_ops transport_loop;
const struct transport_ops transport_loop = {
	.name = "loop",
	.caps = TRANSPORT_IN_PLACE | TRANSPORT_FRAGMENTS |
		TRANSPORT_SAME_PROCESS,
	.probe = probe,
	.open = open_transport,
	.close = close_transport,
	.limits = get_limits,
	.listen = listen_at,
	.connect = connect_to,
	.accept = accept_from,
	.listener_close = listener_close,
	.channel_close = channel_close,
	.post_recv = post_recv,
	.bind = bind_recv,
	.consume = consume,
	.post_send = post_send,
	.abandon = abandon,
	.poll = poll_channel,
	.counters = get_counters,
};
