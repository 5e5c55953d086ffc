/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/trace.h"
#include "base/usermem.h"
#include "transport/socket/ahead.h"
#include "transport/socket/socket.h"

/* One chunk always fits into one call; small ones share it. */
#define IOVS_MAX (SOCKET_SPANS_MAX + 1)
/* One poll() hands at most about this much to the kernel, and then lets the
 * owner look after its other channels. */
#define BATCH_BYTES (1u << 20)
/* Chunks shorter than this wait for poll(), so that they go together. */
#define SMALL_BYTES (32u << 10)

static struct socket_sender *to_sender(struct channel *channel)
{
	return (struct socket_sender *)channel;
}

static struct socket_send *send_at(struct socket_sender *tx, uint64_t k)
{
	return &tx->sends[k % SOCKET_SENDS_MAX];
}

/* For looking at. */
static const struct socket_send *seen_at(const struct socket_sender *tx,
					 uint64_t k)
{
	return &tx->sends[k % SOCKET_SENDS_MAX];
}

struct socket_sender *socket_sender_create(struct transport *transport,
					   struct socket_link *link)
{
	struct socket_sender *tx = calloc(1, sizeof(*tx));

	if (!tx)
		return NULL;
	tx->channel.transport = transport;
	tx->channel.link = link;
	tx->channel.is_sender = true;
	return tx;
}

/* Gives back what the transport itself holds for a chunk. */
static void release_send(struct socket_sender *tx, struct socket_send *send)
{
	free(send->copy);
	send->copy = NULL;
	if (!send->slot)
		return;
	socket_slot_put(tx->channel.transport, send->slot);
	send->slot = NULL;
	tx->n_slots--;
}

/* The kernel has pages of chunk k, or had. */
static bool is_lent(const struct socket_sender *tx, uint64_t k)
{
	return seen_at(tx, k)->lent && k >= tx->taken &&
	       (k < tx->sent || (k == tx->sent && tx->header_off));
}

/* Nobody will tell any more that it was taken. */
static void rest(struct socket_sender *tx, struct socket_send *send)
{
	tx->channel.link->reset = true;
	socket_slot_rest(send->slot);
	send->slot = NULL;
	tx->n_slots--;
}

void socket_sender_destroy(struct channel *channel)
{
	struct socket_sender *tx = to_sender(channel);

	for (; tx->reported < tx->posted; tx->reported++) {
		if (is_lent(tx, tx->reported))
			rest(tx, send_at(tx, tx->reported));
		release_send(tx, send_at(tx, tx->reported));
	}
	while (tx->slots)
		socket_sender_slot_put(channel, tx->slots->data);
	socket_lender_fini(&tx->lender);
	channel->link->sender = NULL;
	free(tx);
}

int socket_sender_slot_get(struct channel *channel, struct gpu *gpu,
			   void **slot)
{
	struct socket_sender *tx = to_sender(channel);

	if (tx->n_slots == SOCKET_SENDS_MAX)
		return TCPX_EAGAIN;
	struct socket_slot *got;
	int err = socket_slot_get(channel->transport, gpu, GPU_SLOT_SEND, &got);

	if (err)
		return err;
	got->next = tx->slots;
	tx->slots = got;
	tx->n_slots++;
	*slot = got->data;
	return TCPX_OK;
}

/* Takes the slot that starts at data from those the owner got; NULL if data
 * is the owner's own memory. */
static struct socket_slot *take_slot(struct socket_sender *tx, const void *data)
{
	struct socket_slot **link = &tx->slots;

	while (*link && (*link)->data != data)
		link = &(*link)->next;
	struct socket_slot *slot = *link;
	if (slot)
		*link = slot->next;
	return slot;
}

void socket_sender_slot_put(struct channel *channel, void *slot)
{
	struct socket_sender *tx = to_sender(channel);
	struct socket_slot *taken = take_slot(tx, slot);

	if (!taken)
		return;
	socket_slot_put(channel->transport, taken);
	tx->n_slots--;
}

static bool may_lend(const struct socket_sender *tx,
		     const struct socket_send *send)
{
	return send->lent && !tx->lender.useless;
}

/* The unsent bytes, oldest first, as far as one call can take them; of what
 * is lent the descriptor, as the last. */
static size_t gather(struct socket_sender *tx, struct msghdr *msg, int *flags)
{
	struct iovec *iov = msg->msg_iov;
	uint32_t header_off = tx->header_off, span = tx->span;
	size_t span_off = tx->span_off, bytes = 0, n = 0;

	for (uint64_t k = tx->sent; k < tx->posted; k++) {
		struct socket_send *send = send_at(tx, k);

		if (n && (bytes >= BATCH_BYTES || tx->careful ||
			  n + send->n_spans >= IOVS_MAX))
			break;
		iov[n].iov_base = send->header + header_off;
		iov[n].iov_len = CHUNK_DESC_BYTES - header_off;
		bytes += iov[n++].iov_len;
		if (may_lend(tx, send)) {
			*flags |= MSG_MORE;
			break;
		}
		for (; span < send->n_spans; span++, span_off = 0) {
			iov[n].iov_base =
				(uint8_t *)send->spans[span].base + span_off;
			iov[n].iov_len = send->spans[span].len_bytes - span_off;
			bytes += iov[n++].iov_len;
		}
		header_off = span = 0;
	}
	msg->msg_iovlen = n;
	return bytes;
}

/* Any of the chunks before number `end`. */
static bool any_lent(const struct socket_sender *tx, uint64_t end)
{
	for (uint64_t k = tx->reported; k < end; k++)
		if (is_lent(tx, k))
			return true;
	return false;
}

/* The kernel took the next `bytes` of what gather() lists. */
static void advance(struct socket_sender *tx, size_t bytes)
{
	_Atomic uint64_t *untold_ns = &tx->channel.link->untold_ns;

	while (bytes) {
		struct socket_send *send = send_at(tx, tx->sent);
		size_t n = CHUNK_DESC_BYTES - tx->header_off;

		if (!tx->header_off)
			tx->left_bytes = send->len_bytes;
		n = n < bytes ? n : bytes;
		tx->header_off += n;
		tx->written += n;
		bytes -= n;
		while (bytes && tx->left_bytes) {
			n = send->spans[tx->span].len_bytes - tx->span_off;
			n = n < bytes ? n : bytes;
			bytes -= n;
			tx->written += n;
			tx->left_bytes -= n;
			tx->span_off += n;
			if (tx->span_off < send->spans[tx->span].len_bytes)
				break;
			tx->span++;
			tx->span_off = 0;
		}
		if (tx->left_bytes)
			return;
		send->end = tx->written;
		tx->sent++;
		if (send->lent && !load_relaxed(untold_ns))
			store_relaxed(untold_ns, clock_coarse_ns());
		tx->header_off = tx->span = 0;
		tx->span_off = 0;
	}
}

static bool has_unsent(const struct socket_sender *tx)
{
	return tx->sent < tx->posted && !tx->channel.link->status;
}

static bool would_block(int err)
{
	return err == EAGAIN || err == ENOBUFS;
}

/* A call has failed: what it could not do now, or why the link ends. */
static void on_error(struct socket_sender *tx, const char *call, int err)
{
	if (would_block(err))
		tx->channel.eagain++;
	else
		socket_link_fail_errno(tx->channel.link, call, err);
}

/* Memory cannot be read: of which chunk shows when each goes alone. True: look
 * again. */
static bool on_fault(struct socket_sender *tx)
{
	bool again = !tx->careful;

	tx->careful = true;
	if (again)
		return true;
	socket_fault(&tx->channel, send_at(tx, tx->sent)->cookie,
		     "memory of a transfer cannot be read");
	return false;
}

/* By copy. true: the kernel took all of it. */
static bool push_copied(struct socket_sender *tx, size_t *batch)
{
	int fd = tx->channel.link->fd, flags = MSG_DONTWAIT | MSG_NOSIGNAL;
	struct iovec iov[IOVS_MAX];
	struct msghdr msg = {.msg_iov = iov};
	size_t bytes = gather(tx, &msg, &flags);
	ssize_t n;

	trace(TRACE_SEND, (uint32_t)fd, bytes);
	do {
		tx->channel.syscalls++;
		n = sendmsg(fd, &msg, flags);
	} while (n < 0 && errno == EINTR);
	trace(TRACE_SEND_END, (uint32_t)fd, n > 0 ? (uint64_t)n : 0);
	if (n < 0 && errno == EFAULT)
		return on_fault(tx);
	if (n < 0) {
		on_error(tx, "send", errno);
		return false;
	}
	advance(tx, n);
	*batch += n;
	return (size_t)n == bytes;
}

/* The payload of chunk `sent`, without a copy. */
static bool push_lent(struct socket_sender *tx, size_t *batch)
{
	const struct socket_send *send = send_at(tx, tx->sent);
	int fd = tx->channel.link->fd;
	const uint8_t *at = (uint8_t *)send->own.base + tx->span_off;
	ssize_t n;

	trace(TRACE_SEND, (uint32_t)fd, tx->left_bytes);
	do {
		tx->channel.syscalls++;
		n = socket_lend(&tx->lender, fd, at, tx->left_bytes);
	} while (n == -EINTR);
	trace(TRACE_SEND_END, (uint32_t)fd, n > 0 ? (uint64_t)n : 0);
	if (n < 0) {
		on_error(tx, "splice", (int)-n);
		return false;
	}
	advance(tx, n);
	*batch += n;
	return true;
}

/* ---- what was taken of the other direction ------------------------------- */

/* A record goes only between chunks. */
static bool has_news(const struct socket_sender *tx)
{
	return tx->note_left ||
	       (tx->channel.link->taken > tx->told && !tx->header_off);
}

/* false: it has to be sent first, and cannot be yet. */
static bool push_news(struct socket_sender *tx)
{
	struct socket_link *link = tx->channel.link;
	ssize_t n;

	if (link->status || !has_news(tx))
		return true;
	if (!tx->note_left) {
		chunk_taken_encode(link->taken, tx->note);
		tx->note_left = CHUNK_DESC_BYTES;
		tx->told = link->taken;
	}
	do {
		tx->channel.syscalls++;
		n = send(link->fd, tx->note + CHUNK_DESC_BYTES - tx->note_left,
			 tx->note_left, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		on_error(tx, "send", errno);
		return false;
	}
	tx->note_left -= (uint32_t)n;
	tx->written += (uint64_t)n;
	return !tx->note_left;
}

void socket_sender_tell(struct socket_sender *tx)
{
	(void)push_news(tx);
}

/*
 * Has the chunk reached the other end to its last byte? What says so came
 * behind TCP's acknowledgement of it. Who says so before he has it would be
 * sent what the slot holds next.
 */
static bool has_arrived(const struct socket_sender *tx,
			const struct socket_send *send)
{
	int unacked_bytes;

	return !ioctl(tx->channel.link->fd, SIOCOUTQ, &unacked_bytes) &&
	       send->end + (uint64_t)unacked_bytes <= tx->written;
}

int socket_sender_taken(struct socket_sender *tx, uint64_t taken)
{
	struct socket_link *link = tx->channel.link;

	if (taken <= tx->reported || taken <= tx->taken || taken > tx->sent ||
	    !seen_at(tx, taken - 1)->lent)
		return socket_link_fail(link, TCPX_EPROTO,
					"took chunks that were not sent");
	if (!has_arrived(tx, seen_at(tx, taken - 1)))
		return socket_link_fail(link, TCPX_EPROTO,
					"took a chunk before it was there");
	tx->taken = taken;
	store_relaxed(&link->untold_ns,
		      any_lent(tx, tx->sent) ? clock_coarse_ns() : 0);
	return TCPX_OK;
}

/* ---- both ----------------------------------------------------------------- */

/* Hands bytes to the kernel until it takes no more or a batch is through. */
static void push(struct socket_sender *tx)
{
	size_t batch = 0;
	bool more = true;

	while (more && batch < BATCH_BYTES) {
		more = push_news(tx) && has_unsent(tx);
		if (!more)
			break;
		if (tx->header_off == CHUNK_DESC_BYTES &&
		    may_lend(tx, send_at(tx, tx->sent)))
			more = push_lent(tx, &batch);
		else
			more = push_copied(tx, &batch);
	}
}

/* Pinned pages stay where they are, and are not those of the user. */
static bool is_lendable(const struct socket_sender *tx,
			const struct socket_send *send)
{
	const struct socket_link *link = tx->channel.link;

	return send->slot && send->slot->gpu && link->lends && link->receiver &&
	       !tx->lender.useless &&
	       send->len_bytes >= tx->channel.transport->lend_bytes;
}

int socket_sender_post(struct channel *channel, const struct chunk_desc *desc,
		       const struct span *spans, uint32_t n_spans,
		       uint64_t cookie)
{
	struct socket_sender *tx = to_sender(channel);

	if (channel->link->status ||
	    tx->posted - tx->reported == SOCKET_SENDS_MAX)
		return TCPX_EAGAIN;
	if (desc->seq != tx->posted || !desc->len_bytes || !n_spans ||
	    desc->len_bytes > channel->transport->limits.chunk_bytes ||
	    n_spans > SOCKET_SPANS_MAX)
		return TCPX_EINVAL;

	struct socket_send *send = send_at(tx, tx->posted);
	struct chunk_desc own = *desc;

	send->spans = spans;
	send->n_spans = n_spans;
	send->len_bytes = desc->len_bytes;
	send->cookie = cookie;
	send->slot = tx->slots ? take_slot(tx, spans[0].base) : NULL;
	send->lent = is_lendable(tx, send);
	if (send->slot) {
		send->own = spans[0];
		send->spans = &send->own;
	}
	if (send->lent)
		own.flags |= CHUNK_LENT;
	chunk_desc_encode(&own, send->header);
	tx->posted++;
	ahead(send->spans, send->n_spans, false);
	if (desc->len_bytes >= SMALL_BYTES)
		push(tx);
	return TCPX_OK;
}

/* Copies what is unsent of chunk k, so that spans are needed no more: 0,
 * TCPX_ENOMEM, or TCPX_ECHANNEL where a program has freed them too soon. */
static int make_private(struct socket_sender *tx, uint64_t k)
{
	struct socket_send *send = send_at(tx, k);
	bool begun = k == tx->sent && tx->header_off;
	uint32_t span = begun ? tx->span : 0;
	size_t span_off = begun ? tx->span_off : 0;
	size_t len_bytes = begun ? tx->left_bytes : send->len_bytes;
	uint8_t *to = malloc(len_bytes);

	if (!to)
		return TCPX_ENOMEM;
	send->copy = to;
	send->own = (struct span){to, len_bytes};
	for (; span < send->n_spans; span++, span_off = 0) {
		size_t n = send->spans[span].len_bytes - span_off;

		if (!usermem_copy(to,
				  (uint8_t *)send->spans[span].base + span_off,
				  n))
			return TCPX_ECHANNEL;
		to += n;
	}
	send->spans = &send->own;
	send->n_spans = 1;
	if (begun) {
		tx->span = 0;
		tx->span_off = 0;
	}
	return TCPX_OK;
}

bool socket_sender_abandon(struct channel *channel, uint64_t cookie)
{
	struct socket_sender *tx = to_sender(channel);
	bool unsent = false;

	/* What the kernel took whole, by copy or lent, is not ours to stop. */
	for (uint64_t k = tx->sent; k < tx->posted && has_unsent(tx); k++) {
		struct socket_send *send = send_at(tx, k);

		if (send->cookie != cookie)
			continue;
		unsent = true;
		if (send->slot || send->copy)
			continue;
		int err = make_private(tx, k);

		if (err)
			socket_link_fail(channel->link, err, "%s",
					 err == TCPX_ENOMEM ?
						 "out of memory to abandon a "
						 "send" :
						 "memory of a canceled "
						 "transfer has gone");
	}
	return unsent;
}

/* The receiver is closed, and with it who would hear. */
void socket_sender_deafen(struct socket_sender *tx)
{
	if (any_lent(tx, tx->posted))
		socket_link_fail(tx->channel.link, TCPX_ECHANNEL,
				 "the other direction was closed");
}

/* The next SENT is the other end's to tell. */
static bool awaits_news(const struct socket_sender *tx)
{
	return tx->reported < tx->sent && is_lent(tx, tx->reported) &&
	       tx->channel.link->receiver;
}

int socket_sender_poll(struct channel *channel, struct channel_event *events,
		       int max)
{
	struct socket_sender *tx = to_sender(channel);
	int n = 0;

	push(tx);
	if (awaits_news(tx))
		socket_receiver_listen(channel->link->receiver);
	if (n < max)
		n += socket_fault_event(channel, &events[n]);
	for (; n < max && tx->reported < tx->sent; tx->reported++) {
		struct socket_send *send = send_at(tx, tx->reported);

		if (is_lent(tx, tx->reported))
			break;
		events[n].kind = CHANNEL_SENT;
		events[n++].cookie = send->cookie;
		channel->bytes += send->len_bytes;
		channel->chunks++;
		release_send(tx, send);
	}
	if (n < max)
		n += socket_failed_event(channel, &events[n]);
	return n;
}

uint32_t socket_sender_waits_for(const struct channel *channel)
{
	const struct socket_sender *tx = (const struct socket_sender *)channel;
	const struct socket_link *link = channel->link;
	uint32_t events = 0;

	if (has_unsent(tx) || (has_news(tx) && !link->status))
		events |= EPOLLOUT;
	if (awaits_news(tx) && socket_receiver_may_listen(link->receiver))
		events |= EPOLLIN;
	return events;
}
