/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/trace.h"
#include "transport/socket/ahead.h"
#include "transport/socket/socket.h"

static struct socket_receiver *to_receiver(struct channel *channel)
{
	return (struct socket_receiver *)channel;
}

static struct socket_recv *recv_at(struct socket_receiver *rx, uint64_t k)
{
	return &rx->recvs[k % rx->channel.transport->limits.window];
}

struct socket_receiver *socket_receiver_create(struct transport *transport,
					       struct socket_link *link)
{
	struct socket_receiver *rx =
		calloc(1, sizeof(*rx) + transport->limits.window *
						sizeof(rx->recvs[0]));

	if (!rx)
		return NULL;
	rx->channel.transport = transport;
	rx->channel.link = link;
	return rx;
}

void socket_receiver_destroy(struct channel *channel)
{
	struct socket_receiver *rx = to_receiver(channel);

	for (; rx->consumed < rx->posted; rx->consumed++)
		socket_slot_put(channel->transport,
				recv_at(rx, rx->consumed)->slot);
	socket_slot_put(channel->transport, rx->scratch);
	channel->link->receiver = NULL;
	if (channel->link->sender)
		socket_sender_deafen(channel->link->sender);
	free(rx);
}

int socket_receiver_post(struct channel *channel, uint64_t cookie)
{
	struct socket_receiver *rx = to_receiver(channel);

	if (channel->link->status ||
	    rx->posted - rx->consumed == channel->transport->limits.window)
		return TCPX_EAGAIN;
	*recv_at(rx, rx->posted++) = (struct socket_recv){.cookie = cookie};
	return TCPX_OK;
}

int socket_receiver_bind(struct channel *channel, uint64_t cookie,
			 const struct span *spans, uint32_t n_spans,
			 uint32_t len_bytes, struct gpu *gpu)
{
	struct socket_receiver *rx = to_receiver(channel);
	struct socket_recv *recv = recv_at(rx, rx->arrived);

	if (rx->stage != SOCKET_UNBOUND || recv->cookie != cookie ||
	    len_bytes != rx->len_bytes || n_spans > SOCKET_SPANS_MAX)
		return TCPX_EINVAL;
	if (!n_spans) {
		if (socket_slot_get(channel->transport, gpu, GPU_SLOT_RECEIVE,
				    &recv->slot))
			return TCPX_EAGAIN;
		rx->own = (struct span){recv->slot->data, len_bytes};
		spans = &rx->own;
		n_spans = 1;
	}
	rx->spans = spans;
	rx->n_spans = n_spans;
	rx->span = 0;
	rx->span_off = 0;
	rx->left_bytes = len_bytes;
	rx->stage = SOCKET_BODY;
	ahead(spans, n_spans, true);
	return TCPX_OK;
}

int socket_receiver_consume(struct channel *channel, uint64_t cookie)
{
	struct socket_receiver *rx = to_receiver(channel);
	struct socket_recv *recv = recv_at(rx, rx->consumed);

	if (rx->consumed == rx->arrived || recv->cookie != cookie)
		return TCPX_EINVAL;
	socket_slot_put(channel->transport, recv->slot);
	rx->consumed++;
	return TCPX_OK;
}

void socket_receiver_abandon(struct channel *channel, uint64_t cookie)
{
	struct socket_receiver *rx = to_receiver(channel);
	struct socket_recv *recv = recv_at(rx, rx->arrived);

	if (rx->stage != SOCKET_BODY || recv->cookie != cookie || recv->slot ||
	    rx->scratch || !rx->left_bytes)
		return;
	if (socket_slot_get(channel->transport, NULL, GPU_SLOT_RECEIVE,
			    &rx->scratch))
		socket_link_fail(channel->link, TCPX_ENOMEM,
				 "out of memory to abandon a receive");
}

static bool can_read(const struct socket_receiver *rx)
{
	if (rx->channel.link->status)
		return false;
	return (rx->stage == SOCKET_HEADER &&
		rx->header_bytes < CHUNK_DESC_BYTES) ||
	       (rx->stage == SOCKET_BODY && rx->left_bytes);
}

/* Where the next bytes go: the payload's rest, then the next descriptor. */
static size_t scatter(struct socket_receiver *rx, struct iovec *iov)
{
	size_t n = 0, off = rx->span_off;

	if (rx->left_bytes && rx->scratch) {
		iov[n].iov_base = rx->scratch->data;
		iov[n++].iov_len = rx->left_bytes;
	} else if (rx->left_bytes) {
		for (uint32_t i = rx->span; i < rx->n_spans; i++, off = 0) {
			iov[n].iov_base = (uint8_t *)rx->spans[i].base + off;
			iov[n++].iov_len = rx->spans[i].len_bytes - off;
		}
	}
	iov[n].iov_base = rx->header + rx->header_bytes;
	iov[n++].iov_len = CHUNK_DESC_BYTES - rx->header_bytes;
	return n;
}

static void advance(struct socket_receiver *rx, size_t bytes)
{
	size_t body = bytes < rx->left_bytes ? bytes : rx->left_bytes;

	rx->header_bytes += bytes - body;
	rx->left_bytes -= body;
	if (rx->scratch || !rx->left_bytes)
		return;
	rx->span_off += body;
	while (rx->span_off >= rx->spans[rx->span].len_bytes)
		rx->span_off -= rx->spans[rx->span++].len_bytes;
}

/* A call of the kernel gave no bytes, n of them. */
static void got_none(struct socket_receiver *rx, ssize_t n)
{
	struct socket_link *link = rx->channel.link;

	if (!n) {
		socket_link_fail(link, TCPX_ECLOSED, "closed by the peer");
	} else if (errno == EAGAIN) {
		rx->channel.eagain++;
	} else if (errno == EFAULT) {
		socket_fault(&rx->channel, recv_at(rx, rx->arrived)->cookie,
			     "memory of a transfer cannot be written");
	} else if (errno != EINTR) {
		socket_link_fail_errno(link, "receive", errno);
	}
}

/* One call of the kernel. A short read means that there is no more for now. */
static void pull(struct socket_receiver *rx)
{
	struct socket_link *link = rx->channel.link;
	struct iovec iov[SOCKET_SPANS_MAX + 1];
	struct msghdr msg = {.msg_iov = iov};

	/* See socket_sender's rest(). */
	if (rx->stage == SOCKET_BODY && rx->lent && socket_link_is_reset(link))
		return;
	msg.msg_iovlen = scatter(rx, iov);
	rx->channel.syscalls++;
	trace(TRACE_RECV, (uint32_t)link->fd, rx->left_bytes);
	ssize_t n = recvmsg(link->fd, &msg, MSG_DONTWAIT);
	trace(TRACE_RECV_END, (uint32_t)link->fd, n > 0 ? (uint64_t)n : 0);
	if (n > 0)
		advance(rx, n);
	else
		got_none(rx, n);
}

static int check_header(struct socket_receiver *rx, struct chunk_desc *desc)
{
	struct socket_link *link = rx->channel.link;

	if (chunk_desc_decode(rx->header, desc))
		return socket_link_fail(link, TCPX_EPROTO,
					"not a chunk descriptor");
	if (desc->seq != rx->arrived)
		return socket_link_fail(link, TCPX_EPROTO,
					"chunk %llu came as number %llu",
					(unsigned long long)desc->seq,
					(unsigned long long)rx->arrived);
	if (desc->len_bytes > rx->channel.transport->limits.chunk_bytes)
		return socket_link_fail(link, TCPX_EPROTO,
					"a chunk of %u bytes is too long",
					desc->len_bytes);
	if (rx->arrived == rx->posted)
		return socket_link_fail(
			link, TCPX_EPROTO,
			"a chunk that no receive was granted for");
	return TCPX_OK;
}

static int announce(struct socket_receiver *rx, struct channel_event *event)
{
	if (check_header(rx, &event->desc))
		return 0;
	rx->header_bytes = 0;
	rx->lent = event->desc.flags & CHUNK_LENT;
	rx->len_bytes = event->desc.len_bytes;
	rx->stage = SOCKET_UNBOUND;
	event->kind = CHANNEL_ANNOUNCED;
	event->cookie = recv_at(rx, rx->arrived)->cookie;
	return 1;
}

/* Its sender may have the pages back. */
static void take_lent(struct socket_receiver *rx)
{
	struct socket_link *link = rx->channel.link;

	link->taken = rx->arrived;
	if (link->sender)
		socket_sender_tell(link->sender);
}

static int deliver(struct socket_receiver *rx, struct channel_event *event)
{
	if (rx->lent && socket_link_is_reset(rx->channel.link))
		return 0;
	struct socket_recv *recv = recv_at(rx, rx->arrived++);

	event->kind = CHANNEL_ARRIVED;
	event->cookie = recv->cookie;
	event->base = NULL;
	event->fragments = NULL;
	event->n_fragments = 0;
	event->lent = false;
	if (recv->slot) {
		recv->slot->whole =
			(struct transport_fragment){.len_bytes = rx->len_bytes};
		event->base = recv->slot->data;
		event->fragments = &recv->slot->whole;
		event->n_fragments = 1;
	}
	socket_slot_put(rx->channel.transport, rx->scratch);
	rx->scratch = NULL;
	rx->stage = SOCKET_HEADER;
	rx->channel.bytes += rx->len_bytes;
	rx->channel.chunks++;
	if (rx->lent)
		take_lent(rx);
	return 1;
}

/* A record that stands between chunks. */
static bool hear_taken(struct socket_receiver *rx)
{
	struct socket_link *link = rx->channel.link;
	uint64_t taken;

	if (!chunk_is_taken(rx->header))
		return false;
	rx->header_bytes = 0;
	if (chunk_taken_decode(rx->header, &taken))
		socket_link_fail(link, TCPX_EPROTO, "not a chunk descriptor");
	else if (link->sender)
		socket_sender_taken(link->sender, taken);
	return true;
}

bool socket_receiver_may_listen(const struct socket_receiver *rx)
{
	return rx->stage == SOCKET_HEADER && can_read(rx);
}

/* A chunk's descriptor stays where it is: its reader is poll(), which would
 * not be woken for what has been read. */
static bool next_is_taken(struct socket_receiver *rx)
{
	uint8_t header[CHUNK_DESC_BYTES];

	if (rx->header_bytes)
		return false;
	rx->channel.syscalls++;
	ssize_t n = recv(rx->channel.link->fd, header, sizeof(header),
			 MSG_DONTWAIT | MSG_PEEK);

	if (n <= 0)
		got_none(rx, n);
	return n == sizeof(header) && chunk_is_taken(header);
}

void socket_receiver_listen(struct socket_receiver *rx)
{
	if (!socket_receiver_may_listen(rx) || !next_is_taken(rx))
		return;
	pull(rx);
	if (rx->header_bytes == CHUNK_DESC_BYTES)
		(void)hear_taken(rx);
}

int socket_receiver_poll(struct channel *channel, struct channel_event *events,
			 int max)
{
	struct socket_receiver *rx = to_receiver(channel);
	int n = 0;

	if (channel->link->sender)
		socket_sender_tell(channel->link->sender);
	if (can_read(rx))
		pull(rx);
	if (n < max && rx->stage == SOCKET_BODY && !rx->left_bytes)
		n += deliver(rx, &events[n]);
	if (n < max && rx->stage == SOCKET_HEADER &&
	    rx->header_bytes == CHUNK_DESC_BYTES && !channel->link->status &&
	    !hear_taken(rx))
		n += announce(rx, &events[n]);
	if (n < max)
		n += socket_fault_event(channel, &events[n]);
	if (n < max)
		n += socket_failed_event(channel, &events[n]);
	return n;
}

uint32_t socket_receiver_waits_for(const struct channel *channel)
{
	const struct socket_receiver *rx =
		(const struct socket_receiver *)channel;

	return can_read(rx) ? EPOLLIN : 0;
}
