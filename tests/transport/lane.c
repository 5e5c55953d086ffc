/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>

#include "base/clock.h"
#include "contract.h"
#include "gpu/gpu.h"

/* ---- a lane's life ----------------------------------------------------- */

static void adopt_both(struct lane *lane)
{
	struct subject *s = lane->subject;
	int fds[2];

	subject_sockets(s, fds);
	CHECK_STATUS(s->ops->adopt(s->transport, fds[0], &lane->tx.channel,
				   &lane->tx.other),
		     TCPX_OK);
	CHECK_STATUS(s->ops->adopt(s->transport, fds[1], &lane->rx.other,
				   &lane->rx.channel),
		     TCPX_OK);
}

static void connect_both(struct lane *lane)
{
	struct subject *s = lane->subject;
	int connecting = TCPX_INPROGRESS, accepting = TCPX_INPROGRESS;
	uint8_t addr[TRANSPORT_ADDR_MAX];
	struct listener *listener;
	size_t addr_bytes = 0;

	CHECK_STATUS(s->ops->listen(s->transport, 0, &listener, addr,
				    &addr_bytes),
		     TCPX_OK);
	CHECK(addr_bytes > 0 && addr_bytes <= TRANSPORT_ADDR_MAX);
	CHECK_STATUS(s->ops->accept(listener, &lane->rx.channel),
		     TCPX_INPROGRESS);
	while (connecting || accepting) {
		if (connecting)
			connecting = s->ops->connect(s->transport, 0, addr,
						     addr_bytes,
						     &lane->tx.channel);
		CHECK(connecting >= 0 && lane->tx.channel);
		if (accepting)
			accepting = s->ops->accept(listener, &lane->rx.channel);
		CHECK(accepting >= 0);
	}
	s->ops->listener_close(listener);
}

void lane_open(struct lane *lane, struct subject *subject, uint32_t n_chunks,
	       uint32_t max_bytes)
{
	uint64_t rand = check_seed();

	*lane = (struct lane){
		.subject = subject,
		.n_chunks = n_chunks,
		.spans_max = subject->limits.spans_max < 8 ?
				     subject->limits.spans_max :
				     8,
		.lens = calloc(n_chunks, sizeof(*lane->lens)),
		.tx_chunks = calloc(n_chunks, sizeof(*lane->tx_chunks)),
		.rx_chunks = calloc(n_chunks, sizeof(*lane->rx_chunks)),
	};
	for (uint32_t i = 0; i < n_chunks; i++)
		lane->lens[i] = 1 + check_rand(&rand) % max_bytes;
	lane->tx.rand = check_rand(&rand);
	lane->rx.rand = check_rand(&rand);
	if (subject_can(subject, TRANSPORT_ADOPTS))
		adopt_both(lane);
	else
		connect_both(lane);
}

static void end_close(const struct lane *lane, struct end *end)
{
	if (end->channel)
		lane->subject->ops->channel_close(end->channel);
	if (end->other)
		lane->subject->ops->channel_close(end->other);
	end->channel = end->other = NULL;
}

void lane_close_tx(struct lane *lane)
{
	end_close(lane, &lane->tx);
	for (uint32_t k = 0; k < lane->n_chunks; k++)
		area_destroy(&lane->tx_chunks[k].src);
}

void lane_close_rx(struct lane *lane)
{
	end_close(lane, &lane->rx);
	for (uint32_t k = 0; k < lane->n_chunks; k++)
		area_destroy(&lane->rx_chunks[k].dst);
}

void lane_close(struct lane *lane)
{
	lane_close_tx(lane);
	lane_close_rx(lane);
	free(lane->lens);
	free(lane->tx_chunks);
	free(lane->rx_chunks);
}

static void on_failed(struct end *end, const struct channel_event *event)
{
	CHECK(!end->failed);
	CHECK(event->status < 0);
	CHECK(event->cause && event->cause[0]);
	end->failed = event->status;
	snprintf(end->cause, sizeof(end->cause), "%s", event->cause);
}

static uint32_t random_spans(const struct lane *lane, uint32_t len_bytes,
			     uint64_t *rand)
{
	uint32_t n = 1 + check_rand(rand) % lane->spans_max;

	return n < len_bytes ? n : len_bytes;
}

/* ---- sending ----------------------------------------------------------- */

static int post_slot(struct lane *lane, const struct chunk_desc *desc)
{
	const struct transport_ops *ops = lane->subject->ops;
	struct span *span = &lane->tx_chunks[desc->seq].slot;
	struct gpu *gpu = desc->seq % 2 ?
				  subject_gpu(lane->subject, lane->tx.channel) :
				  NULL;
	void *slot;
	int status = ops->slot_get(lane->tx.channel,
				   gpu ? gpu : lane->subject->pins, &slot);

	if (status)
		return status;
	if (gpu)
		CHECK_STATUS(gpu_copy_wait(gpu, slot, pattern(desc->seq, 0),
					   desc->len_bytes),
			     TCPX_OK);
	else
		memcpy(slot, pattern(desc->seq, 0), desc->len_bytes);
	*span = (struct span){slot, desc->len_bytes};
	status = ops->post_send(lane->tx.channel, desc, span, 1,
				TX_COOKIE(desc->seq));
	if (status)
		ops->slot_put(lane->tx.channel, slot);
	return status;
}

static int post_area(struct lane *lane, const struct chunk_desc *desc)
{
	struct area *src = &lane->tx_chunks[desc->seq].src;

	area_create(src, desc->len_bytes,
		    random_spans(lane, desc->len_bytes, &lane->tx.rand),
		    &lane->tx.rand);
	area_fill(src, desc->seq);
	int status = lane->subject->ops->post_send(lane->tx.channel, desc,
						   src->spans, src->n_spans,
						   TX_COOKIE(desc->seq));
	if (status)
		area_destroy(src);
	return status;
}

int lane_send(struct lane *lane)
{
	struct subject *s = lane->subject;
	uint64_t k = lane->posted;
	int status;

	if (k == lane->n_chunks ||
	    (!lane->no_credits && k == atomic_load(&lane->granted)))
		return TCPX_EAGAIN;
	struct chunk_desc desc = {
		.seq = k,
		.xfer = k * 3,
		.pos = k * 5,
		.len_bytes = lane->lens[k],
	};
	bool slot = s->caps & TRANSPORT_SLOTS_ONLY ||
		    (s->caps & TRANSPORT_SLOTS && (s->pins || k % 4 == 3));
	if (slot && desc.len_bytes <= s->limits.slot_bytes)
		status = post_slot(lane, &desc);
	else
		status = post_area(lane, &desc);
	if (status)
		return status;
	lane->posted++;
	atomic_store(&lane->told, lane->posted);
	return TCPX_OK;
}

int lane_poll_tx(struct lane *lane)
{
	struct channel_event events[TRANSPORT_EVENTS_MAX];
	int max = 1 + check_rand(&lane->tx.rand) % TRANSPORT_EVENTS_MAX;
	int n = lane->subject->ops->poll(lane->tx.channel, events, max);

	CHECK(n >= 0 && n <= max);
	CHECK(!n || !lane->tx.failed);
	for (int i = 0; i < n; i++) {
		if (events[i].kind == CHANNEL_FAILED) {
			on_failed(&lane->tx, &events[i]);
			continue;
		}
		CHECK_EQ(events[i].kind, CHANNEL_SENT);
		CHECK(lane->sent < lane->posted);
		CHECK_EQ(events[i].cookie, TX_COOKIE(lane->sent));
		area_destroy(&lane->tx_chunks[lane->sent++].src);
	}
	return n;
}

void lane_abandon_tx(struct lane *lane, uint64_t k)
{
	/* Who says that it has not left may not find it over there. */
	if (lane->subject->ops->abandon(lane->tx.channel, TX_COOKIE(k))) {
		CHECK(k >= lane->sent && k < lane->posted);
		CHECK(k >= lane->arrived);
	}
	if (k < lane->sent || k >= lane->posted)
		return;
	area_vanish(&lane->tx_chunks[k].src);
	lane->tx_chunks[k].slot = (struct span){NULL, 1};
}

bool lane_run_tx(struct lane *lane)
{
	int status;

	if (lane->tx.failed)
		return false;
	while (!(status = lane_send(lane)))
		;
	CHECK_STATUS(status, TCPX_EAGAIN);
	return lane_poll_tx(lane) > 0;
}

bool lane_done_tx(const struct lane *lane)
{
	return lane->tx.failed || lane->sent == lane->n_chunks;
}

/* ---- receiving --------------------------------------------------------- */

int lane_recv(struct lane *lane)
{
	uint64_t k = atomic_load(&lane->granted);

	if (k == lane->n_chunks)
		return TCPX_EAGAIN;
	int status =
		lane->subject->ops->post_recv(lane->rx.channel, RX_COOKIE(k));
	if (!status)
		atomic_store(&lane->granted, k + 1);
	return status;
}

int lane_bind(struct lane *lane)
{
	struct subject *s = lane->subject;
	uint64_t k = lane->bound;
	uint64_t known = s->caps & TRANSPORT_DESC_INLINE ?
				 lane->announced :
				 atomic_load(&lane->told);
	int status;

	if (k == known)
		return TCPX_EAGAIN;
	if (!(s->caps & TRANSPORT_IN_PLACE)) {
		lane->bound++;
		return TCPX_OK;
	}
	struct area *dst = &lane->rx_chunks[k].dst;
	uint32_t len_bytes = lane->lens[k];
	bool own = lane->own_memory || (s->caps & TRANSPORT_FRAGMENTS &&
					check_rand(&lane->rx.rand) % 8 == 0);
	if (own && len_bytes <= s->limits.slot_bytes) {
		status = s->ops->bind(lane->rx.channel, RX_COOKIE(k), NULL, 0,
				      len_bytes, s->pins);
	} else {
		area_create(dst, len_bytes,
			    random_spans(lane, len_bytes, &lane->rx.rand),
			    &lane->rx.rand);
		status = s->ops->bind(lane->rx.channel, RX_COOKIE(k),
				      dst->spans, dst->n_spans, len_bytes,
				      NULL);
	}
	if (!status)
		lane->bound++;
	return status;
}

static void on_announced(struct lane *lane, const struct channel_event *event)
{
	uint64_t k = lane->announced++;

	CHECK(lane->subject->caps & TRANSPORT_DESC_INLINE);
	CHECK_EQ(event->cookie, RX_COOKIE(k));
	CHECK_EQ(event->desc.seq, k);
	CHECK_EQ(event->desc.xfer, k * 3);
	CHECK_EQ(event->desc.pos, k * 5);
	CHECK_EQ(event->desc.len_bytes, lane->lens[k]);
}

/* Inside the chunk, covering it, each byte once, and the right ones. */
void lane_check_fragments(const struct lane *lane, uint64_t k)
{
	const struct rx_chunk *chunk = &lane->rx_chunks[k];
	uint32_t len_bytes = lane->lens[k];
	uint8_t *seen = calloc(1, len_bytes);
	uint8_t *scratch = malloc(len_bytes);

	for (uint32_t i = 0; i < chunk->n_fragments; i++) {
		const struct transport_fragment *f = &chunk->fragments[i];

		CHECK(f->len_bytes > 0);
		CHECK(f->dst_off < len_bytes);
		CHECK(f->len_bytes <= len_bytes - f->dst_off);
		CHECK(!memchr(seen + f->dst_off, 1, f->len_bytes));
		memset(seen + f->dst_off, 1, f->len_bytes);
		check_bytes(subject_read(lane->subject, lane->rx.channel,
					 chunk->base + f->src_off, f->len_bytes,
					 scratch),
			    k, f->dst_off, f->len_bytes);
	}
	CHECK(!memchr(seen, 0, len_bytes));
	free(scratch);
	free(seen);
}

static void on_arrived(struct lane *lane, const struct channel_event *event)
{
	uint64_t k = lane->arrived++;
	struct rx_chunk *chunk = &lane->rx_chunks[k];

	CHECK(k < atomic_load(&lane->granted));
	CHECK(k < lane->bound || !(lane->subject->caps & TRANSPORT_IN_PLACE));
	CHECK_EQ(event->cookie, RX_COOKIE(k));
	CHECK_EQ(!event->base, !event->n_fragments);
	CHECK_EQ(!event->base, !!chunk->dst.map);
	CHECK(event->base || !event->lent);
	CHECK(k == 0 || event->lent == lane->lent);
	lane->lent = event->lent;
	chunk->base = event->base;
	chunk->fragments = event->fragments;
	chunk->n_fragments = event->n_fragments;
	if (event->base)
		lane_check_fragments(lane, k);
	else if (!chunk->abandoned)
		area_check(&chunk->dst, k);
	area_destroy(&chunk->dst);
}

/* Only what was lent, and given back; in order. */
static void on_consumed(struct lane *lane, const struct channel_event *event)
{
	CHECK(lane->lent);
	CHECK(lane->sure < lane->consumed);
	CHECK_EQ(event->cookie, RX_COOKIE(lane->sure));
	lane->sure++;
}

int lane_poll_rx(struct lane *lane)
{
	struct channel_event events[TRANSPORT_EVENTS_MAX];
	int max = 1 + check_rand(&lane->rx.rand) % TRANSPORT_EVENTS_MAX;

	/* As a stack may be: every field is the transport's to set. */
	memset(events, 0x01, sizeof(events));
	int n = lane->subject->ops->poll(lane->rx.channel, events, max);

	CHECK(n >= 0 && n <= max);
	CHECK(!n || !lane->rx.failed);
	for (int i = 0; i < n; i++) {
		if (events[i].kind == CHANNEL_FAILED)
			on_failed(&lane->rx, &events[i]);
		else if (events[i].kind == CHANNEL_ANNOUNCED)
			on_announced(lane, &events[i]);
		else if (events[i].kind == CHANNEL_ARRIVED)
			on_arrived(lane, &events[i]);
		else if (events[i].kind == CHANNEL_CONSUMED)
			on_consumed(lane, &events[i]);
		else
			CHECK(!"an event that a receiver may not see");
	}
	return n;
}

void lane_consume(struct lane *lane)
{
	const struct transport_ops *ops = lane->subject->ops;
	uint64_t k = lane->consumed++;

	if (lane->rx_chunks[k].base)
		lane_check_fragments(lane, k);
	CHECK_STATUS(ops->consume(lane->rx.channel, RX_COOKIE(k)), TCPX_OK);
	if (!lane->lent)
		lane->sure++;
}

void lane_await_sure(struct lane *lane)
{
	uint64_t limit_ns = clock_now_ns() + 10 * NS_PER_S;

	while (!lane->rx.failed && lane->sure < lane->consumed) {
		lane_poll_rx(lane);
		CHECK(clock_now_ns() < limit_ns);
	}
}

void lane_abandon_rx(struct lane *lane, uint64_t k)
{
	lane->subject->ops->abandon(lane->rx.channel, RX_COOKIE(k));
	if (k < lane->arrived || k >= lane->bound)
		return;
	lane->rx_chunks[k].abandoned = true;
	area_vanish(&lane->rx_chunks[k].dst);
}

bool lane_run_rx(struct lane *lane)
{
	int status;

	if (lane->rx.failed)
		return false;
	while (!(status = lane_recv(lane)))
		;
	CHECK_STATUS(status, TCPX_EAGAIN);
	bool moved = lane_poll_rx(lane) > 0;
	while (!lane->rx.failed && !lane->hold_binds &&
	       !(status = lane_bind(lane)))
		;
	CHECK_STATUS(status, TCPX_EAGAIN);
	while (!lane->rx.failed && !lane->hold_consumes &&
	       lane->consumed < lane->arrived)
		lane_consume(lane);
	return moved;
}

bool lane_done_rx(const struct lane *lane)
{
	return lane->rx.failed || lane->sure == lane->n_chunks;
}

void lane_finish(struct lane *lane)
{
	while (!lane_done_tx(lane) || !lane_done_rx(lane)) {
		lane_run_rx(lane);
		lane_run_tx(lane);
	}
	CHECK_STATUS(lane->tx.failed, TCPX_OK);
	CHECK_STATUS(lane->rx.failed, TCPX_OK);
}

/* Who owns a channel of an adopted fd polls the other one, too. */
static void poll_other(const struct lane *lane, const struct end *end)
{
	struct channel_event event;

	if (!end->other || !lane->subject->ops->poll(end->other, &event, 1))
		return;
	CHECK_EQ(event.kind, CHANNEL_FAILED);
}

void lane_await_failure(struct lane *lane)
{
	while ((lane->tx.channel && !lane->tx.failed) ||
	       (lane->rx.channel && !lane->rx.failed)) {
		poll_other(lane, &lane->tx);
		poll_other(lane, &lane->rx);
		if (lane->tx.channel)
			lane_poll_tx(lane);
		if (lane->rx.channel)
			lane_poll_rx(lane);
		if (lane->rx.channel && !lane->rx.failed)
			while (!lane_bind(lane))
				;
	}
}
