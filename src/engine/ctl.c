/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/peer.h"
#include "engine/resume.h"

#define BUF_BYTES (16u * 1024)
/* Acknowledge on our own after so many messages without one to ride on. */
#define ACK_EVERY 64
/* What a peer may leave unread or unacknowledged before it is given up, besides
 * its notifications, whose window both agreed on. */
#define KEPT_MAX (256ull << 20)
#define FLUSH_IOVS 16
/* A pass takes in so much at most, so that lanes get their turn. */
#define RECEIVE_A_PASS (2u * CONTEXT_SCRATCH_BYTES)
/* More than a socket holds. */
#define PASSES_AT_THE_END 64

static bool on_ready(struct source *source, uint32_t events)
{
	struct peer *peer = list_entry(source, struct peer, ctl.source);

	if (!events || events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		bool came = ctl_receive(peer);

		if (!came && !events)
			return false;
	}
	if (events & EPOLLOUT)
		peer->ctl.blocked = false;
	/* Answers go out in the next pass, or with what a caller that finds
	 * its wait over now posts: one system call for both. */
	peer_wake(peer);
	return true;
}

void ctl_init(struct ctl *ctl, int fd)
{
	*ctl = (struct ctl){.fd = fd};
	ctl->source = (struct source){.fd = fd,
				      .armed = UINT32_MAX,
				      .eager = true,
				      .ready = on_ready};
	ctl->resumption.next_fd = -1;
	list_init(&ctl->bufs);
	store_relaxed(&ctl->rx_ns, clock_coarse_ns());
	ctl->tx_ns = clock_coarse_ns();
}

static struct ctl_buf *first_buf(struct ctl *ctl)
{
	return list_entry(ctl->bufs.next, struct ctl_buf, link);
}

static void drop_partial(struct ctl *ctl)
{
	free(ctl->partial);
	ctl->partial = NULL;
	ctl->partial_bytes = ctl->partial_cap = 0;
}

void ctl_close(struct ctl *ctl)
{
	while (!list_empty(&ctl->bufs)) {
		struct ctl_buf *buf = first_buf(ctl);

		list_del(&buf->link);
		free(buf);
	}
	free(ctl->spare);
	drop_partial(ctl);
	if (ctl->fd >= 0)
		close(ctl->fd);
	if (ctl->resumption.next_fd >= 0)
		close(ctl->resumption.next_fd);
	ctl->spare = NULL;
	ctl->unsent_bytes = ctl->kept_bytes = 0;
	ctl->fd = ctl->resumption.next_fd = -1;
}

/* ---- building --------------------------------------------------------- */

static struct ctl_buf *buf_with_room(struct ctl *ctl, uint32_t need)
{
	struct ctl_buf *buf;

	if (!list_empty(&ctl->bufs)) {
		buf = list_entry(ctl->bufs.prev, struct ctl_buf, link);
		if (buf->cap_bytes - buf->used_bytes >= need)
			return buf;
	}
	if (ctl->spare && ctl->spare->cap_bytes >= need) {
		buf = ctl->spare;
		ctl->spare = NULL;
	} else {
		uint32_t cap = need > BUF_BYTES ? need : BUF_BYTES;

		buf = malloc(sizeof(*buf) + cap);
		if (!buf)
			return NULL;
		buf->cap_bytes = cap;
	}
	buf->used_bytes = buf->sent_bytes = 0;
	buf->last_seq = 0;
	list_init(&buf->link);
	list_add_tail(&ctl->bufs, &buf->link);
	ctl->kept_bytes += buf->cap_bytes;
	return buf;
}

int ctl_begin(struct peer *peer, uint16_t type, uint32_t body_max,
	      struct wire_writer *w)
{
	struct ctl_buf *buf =
		buf_with_room(&peer->ctl, MSG_HEADER_BYTES + body_max);

	if (!buf)
		return TCPX_ENOMEM;
	peer->ctl.open_type = type;
	wire_writer_init(w, buf->data + buf->used_bytes + MSG_HEADER_BYTES,
			 body_max);
	return 0;
}

bool ctl_begin_or_doom(struct peer *peer, uint16_t type, uint32_t body_max,
		       struct wire_writer *w)
{
	if (!ctl_begin(peer, type, body_max, w))
		return true;
	peer_doom(peer, TCPX_ENOMEM, "no memory here for a message to it");
	return false;
}

/* Buffers may be twice as long as what is in them. */
static uint64_t kept_max(const struct peer *peer)
{
	return KEPT_MAX + 2 * peer->limits.notify_bytes;
}

void ctl_end(struct peer *peer, struct wire_writer *w)
{
	struct ctl *ctl = &peer->ctl;
	struct ctl_buf *buf = list_entry(ctl->bufs.prev, struct ctl_buf, link);
	uint8_t *frame = buf->data + buf->used_bytes;
	bool numbered = ctl->open_type != MSG_HEARTBEAT &&
			ctl->open_type != MSG_ACK;
	struct msg_header h = {
		.body_bytes = (uint32_t)(w->at - frame - MSG_HEADER_BYTES),
		.type = ctl->open_type,
		.seq = numbered ? ++ctl->tx_seq : 0,
		.ack = ctl->rx_seq,
	};

	msg_header_encode(&h, frame);
	ctl->rx_acked = h.ack;
	if (numbered)
		buf->last_seq = h.seq;
	buf->used_bytes += MSG_HEADER_BYTES + h.body_bytes;
	ctl->unsent_bytes += MSG_HEADER_BYTES + h.body_bytes;
	add_relaxed(&ctl->n_frames_tx, 1);
	if (ctl->kept_bytes > kept_max(peer))
		peer_doom(peer, TCPX_EPROTO,
			  "it does not take in what it is sent");
}

bool ctl_ack_due(const struct ctl *ctl)
{
	return ctl->rx_seq - ctl->rx_acked >= ACK_EVERY;
}

/* ---- sending ---------------------------------------------------------- */

/* Frees what is sent and acknowledged. Peer's lock held. */
static void drop_acked(struct ctl *ctl)
{
	while (!list_empty(&ctl->bufs)) {
		struct ctl_buf *buf = first_buf(ctl);

		if (buf->sent_bytes < buf->used_bytes ||
		    buf->last_seq > ctl->peer_acked)
			return;
		list_del(&buf->link);
		ctl->kept_bytes -= buf->cap_bytes;
		if (!ctl->spare && buf->cap_bytes == BUF_BYTES)
			ctl->spare = buf;
		else
			free(buf);
	}
}

/* What is unsent, as iovecs. Bytes below used_bytes never change and only
 * the owner frees buffers, so the lock can be dropped while they are sent. */
static int gather_unsent(struct ctl *ctl, struct iovec *iov)
{
	int n = 0;

	list_for_each (node, &ctl->bufs) {
		struct ctl_buf *buf = list_entry(node, struct ctl_buf, link);

		if (buf->sent_bytes == buf->used_bytes)
			continue;
		iov[n].iov_base = buf->data + buf->sent_bytes;
		iov[n].iov_len = buf->used_bytes - buf->sent_bytes;
		if (++n == FLUSH_IOVS)
			break;
	}
	return n;
}

static void count_sent(struct ctl *ctl, size_t bytes)
{
	ctl->unsent_bytes -= bytes;
	add_relaxed(&ctl->tx_total, bytes);
	list_for_each (node, &ctl->bufs) {
		struct ctl_buf *buf = list_entry(node, struct ctl_buf, link);
		uint32_t left = buf->used_bytes - buf->sent_bytes;
		uint32_t part = bytes < left ? (uint32_t)bytes : left;

		buf->sent_bytes += part;
		bytes -= part;
		if (!bytes)
			break;
	}
}

bool ctl_flush(struct peer *peer)
{
	struct ctl *ctl = &peer->ctl;
	bool did = false;

	while (ctl_sends(ctl) && load_relaxed(&peer->state) == PEER_UP) {
		struct iovec iov[FLUSH_IOVS];
		struct msghdr msg = {.msg_iov = iov};

		pthread_mutex_lock(&peer->lock);
		msg.msg_iovlen = gather_unsent(ctl, iov);
		if (msg.msg_iovlen)
			ctl->tx_ns = clock_coarse_ns();
		pthread_mutex_unlock(&peer->lock);
		if (!msg.msg_iovlen)
			return did;
		ssize_t sent =
			sendmsg(ctl->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno != EAGAIN) {
			int error = errno;

			/* What waits to be read comes first: a goodbye says
			 * more, and notifications before it were sent. */
			for (int i = 0; i < PASSES_AT_THE_END; i++)
				if (!ctl_receive(peer))
					break;
			resume_lost(peer, TCPX_EPEER, "control connection: %s",
				    strerror(error));
			return true;
		}
		pthread_mutex_lock(&peer->lock);
		if (sent > 0)
			count_sent(ctl, (size_t)sent);
		ctl->blocked = sent < 0;
		drop_acked(ctl);
		bool is_empty = !ctl->unsent_bytes;

		pthread_mutex_unlock(&peer->lock);
		did |= sent > 0;
		if (is_empty)
			break;
	}
	return did;
}

/* ---- once more -------------------------------------------------------- */

void ctl_replace(struct peer *peer, int fd)
{
	struct ctl *ctl = &peer->ctl;

	source_disarm(peer->home, &ctl->source);
	if (ctl->fd >= 0) {
		/* A child that the program forked holds the socket too. */
		shutdown(ctl->fd, SHUT_RDWR);
		close(ctl->fd);
	}
	ctl->fd = ctl->source.fd = fd;
	ctl->state = fd < 0 ? CTL_DOWN : CTL_GREETS;
	ctl->blocked = false;
	/* Its other half goes with the connection it came by. */
	drop_partial(ctl);
}

/* How much of it need not be sent again: whole frames, up to the first that was
 * not taken in. */
static uint32_t taken_bytes(const struct ctl_buf *buf, uint64_t ack)
{
	uint32_t at = 0;
	struct msg_header h;

	if (buf->last_seq <= ack)
		return buf->used_bytes;
	while (!msg_header_decode(buf->data + at, &h) && h.seq <= ack)
		at += MSG_HEADER_BYTES + h.body_bytes;
	return at;
}

int ctl_rewind(struct ctl *ctl, uint64_t ack)
{
	if (ack < ctl->peer_acked || ack > ctl->tx_seq)
		return TCPX_EPROTO;
	ctl->peer_acked = ack;
	ctl->unsent_bytes = 0;
	list_for_each (node, &ctl->bufs) {
		struct ctl_buf *buf = list_entry(node, struct ctl_buf, link);

		buf->sent_bytes = taken_bytes(buf, ack);
		ctl->unsent_bytes += buf->used_bytes - buf->sent_bytes;
	}
	drop_acked(ctl);
	ctl->state = CTL_UP;
	return 0;
}

/* ---- receiving -------------------------------------------------------- */

/* Under the peer's lock. */
static int take_frame(struct peer *peer, const struct msg_header *h,
		      const uint8_t *body)
{
	struct ctl *ctl = &peer->ctl;

	if (ctl->state == CTL_GREETS)
		return resume_greeted(peer, h);
	if (h->seq && h->seq != ctl->rx_seq + 1)
		return TCPX_EPROTO;
	if (h->ack > ctl->tx_seq)
		return TCPX_EPROTO;
	if (h->seq)
		ctl->rx_seq = h->seq;
	if (h->ack > ctl->peer_acked) {
		ctl->peer_acked = h->ack;
		drop_acked(ctl);
	}
	add_relaxed(&ctl->n_frames_rx, 1);
	return peer_dispatch(peer, h, body);
}

/* Takes whole frames from buf; *used is what they were long. */
static int take_frames(struct peer *peer, const uint8_t *buf, size_t len,
		       size_t *used)
{
	size_t at = 0;
	int err = 0;

	while (len - at >= MSG_HEADER_BYTES) {
		struct msg_header h;

		err = msg_header_decode(buf + at, &h);
		if (err || len - at - MSG_HEADER_BYTES < h.body_bytes)
			break;
		pthread_mutex_lock(&peer->lock);
		err = take_frame(peer, &h, buf + at + MSG_HEADER_BYTES);
		pthread_mutex_unlock(&peer->lock);
		if (err || load_relaxed(&peer->state) != PEER_UP)
			break;
		at += MSG_HEADER_BYTES + h.body_bytes;
	}
	*used = at;
	return err;
}

/* Keeps the beginning of a frame for the next time. */
static int keep_partial(struct ctl *ctl, const uint8_t *rest, size_t len)
{
	if (len > ctl->partial_cap) {
		uint8_t *grown = realloc(ctl->partial, len);

		if (!grown)
			return TCPX_ENOMEM;
		ctl->partial = grown;
		ctl->partial_cap = (uint32_t)len;
	}
	if (len)
		memcpy(ctl->partial, rest, len);
	ctl->partial_bytes = (uint32_t)len;
	if (!len) {
		free(ctl->partial);
		ctl->partial = NULL;
		ctl->partial_cap = 0;
	}
	return 0;
}

/* One recv() into the context's scratch, behind what was left over. */
static ssize_t receive_once(struct peer *peer, int *err)
{
	struct ctl *ctl = &peer->ctl;
	uint8_t *scratch = peer->home->scratch;
	size_t have = ctl->partial_bytes, used;

	ssize_t got = recv(ctl->fd, scratch + have,
			   CONTEXT_SCRATCH_BYTES - have, MSG_DONTWAIT);

	if (got <= 0)
		return got;
	if (have)
		memcpy(scratch, ctl->partial, have);
	add_relaxed(&ctl->rx_total, (uint64_t)got);
	store_relaxed(&ctl->rx_ns, clock_coarse_ns());
	*err = take_frames(peer, scratch, have + (size_t)got, &used);
	if (!*err && load_relaxed(&peer->state) == PEER_UP)
		*err = keep_partial(ctl, scratch + used,
				    have + (size_t)got - used);
	return got;
}

bool ctl_receive(struct peer *peer)
{
	size_t total = 0;

	while (load_relaxed(&peer->state) == PEER_UP && peer->ctl.fd >= 0) {
		int err = 0;
		size_t room = CONTEXT_SCRATCH_BYTES - peer->ctl.partial_bytes;
		ssize_t got = receive_once(peer, &err);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			break;
		if (got == 0)
			resume_lost(peer, TCPX_EPEER,
				    "closed its connection without a goodbye");
		else if (got < 0)
			resume_lost(peer, TCPX_EPEER, "control connection: %s",
				    strerror(errno));
		else if (err == TCPX_EPROTO)
			peer_fail(peer, err,
				  "sent what the protocol does not allow");
		else if (err)
			peer_fail(peer, err,
				  "what it sent cannot be handled here: %s",
				  tcpx_strerror(err));
		if (got <= 0 || err)
			return true;
		total += (size_t)got;
		/* A short read emptied the socket: spare the EAGAIN. */
		if ((size_t)got < room || total >= RECEIVE_A_PASS)
			break;
	}
	return total > 0;
}
