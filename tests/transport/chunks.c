/* SPDX-License-Identifier: Apache-2.0 */

/* A chunk's life: posted, announced, bound, arrived, consumed; and bounds. */

#include <poll.h>
#include <sys/epoll.h>

#include "contract.h"

static void run_through(uint32_t n_chunks, uint32_t max_bytes)
{
	struct subject s;
	struct lane lane;

	subject_open(&s, CHUNK_BYTES);
	lane_open(&lane, &s, n_chunks, max_bytes);
	lane_finish(&lane);
	CHECK_EQ(lane.sent, n_chunks);
	lane_close(&lane);
	subject_close(&s);
}

void one_byte(void)
{
	run_through(1, 1);
}

void order_is_kept(void)
{
	run_through(300, 5000);
}

void sizes(void)
{
	struct subject s;
	struct lane lane;

	subject_open(&s, 1u << 20);
	uint32_t most = s.limits.chunk_bytes;
	const uint32_t lens[] = {1,    2,    47,   48,	     49,       4095,
				 4096, 4097, 8191, most - 1, most / 2, most};
	uint32_t n = sizeof(lens) / sizeof(*lens);

	lane_open(&lane, &s, 2 * n, 1);
	for (uint32_t i = 0; i < 2 * n; i++)
		lane.lens[i] = lens[i % n];
	lane_finish(&lane);
	lane_close(&lane);

	lane_open(&lane, &s, 1, 1);
	CHECK_STATUS(lane_recv(&lane), TCPX_OK);
	lane.lens[0] = most + 1;
	if (!(s.caps & TRANSPORT_SLOTS_ONLY))
		CHECK_STATUS(lane_send(&lane), TCPX_EINVAL);
	lane.lens[0] = most; /* nothing happened */
	lane_finish(&lane);
	lane_close(&lane);
	subject_close(&s);
}

void many_spans(void)
{
	struct subject s;
	struct lane lane;

	subject_open(&s, CHUNK_BYTES);
	lane_open(&lane, &s, 60, 1);
	lane.spans_max = s.limits.spans_max;
	for (uint32_t i = 0; i < lane.n_chunks; i++)
		lane.lens[i] = i % 3 ? s.limits.spans_max + i :
				       s.limits.chunk_bytes;
	lane_finish(&lane);
	lane_close(&lane);
	subject_close(&s);
}

void window_is_a_bound(void)
{
	struct subject s;
	struct lane lane;

	subject_open(&s, CHUNK_BYTES);
	uint32_t window = s.limits.window;

	lane_open(&lane, &s, 3 * window, 3000);
	for (uint32_t i = 0; i < window; i++)
		CHECK_STATUS(lane_recv(&lane), TCPX_OK);
	CHECK_STATUS(lane_recv(&lane), TCPX_EAGAIN);
	/* Arrived is not consumed: still no room. */
	lane.hold_consumes = true;
	while (lane.arrived < window) {
		lane_run_tx(&lane);
		lane_poll_rx(&lane);
		while (!lane_bind(&lane))
			;
		CHECK_STATUS(lane_recv(&lane), TCPX_EAGAIN);
	}
	lane_consume(&lane);
	lane_await_sure(&lane);
	CHECK_STATUS(lane_recv(&lane), TCPX_OK);
	CHECK_STATUS(lane_recv(&lane), TCPX_EAGAIN);
	lane.hold_consumes = false;
	lane_finish(&lane);
	lane_close(&lane);
	subject_close(&s);
}

void sends_are_bounded(void)
{
	struct subject s;
	struct lane lane;
	uint32_t n = 0;

	subject_open(&s, CHUNK_BYTES);
	lane_open(&lane, &s, 2 * s.limits.window, 100);
	while (!lane_recv(&lane))
		;
	while (!lane_send(&lane))
		n++;
	CHECK_EQ(n, s.limits.sends_max < s.limits.window ? s.limits.sends_max :
							   s.limits.window);
	for (int i = 0; i < 10; i++)
		CHECK_STATUS(lane_send(&lane), TCPX_EAGAIN);
	/* What was refused left nothing behind: the model would see it. */
	lane_finish(&lane);
	lane_close(&lane);
	subject_close(&s);
}

void send_refuses(void)
{
	uint8_t bytes[2] = {0};
	struct span spans[2] = {{bytes, 1}, {bytes + 1, 1}};
	struct chunk_desc desc = {.len_bytes = 0};
	struct subject s;
	struct lane lane;

	subject_open(&s, CHUNK_BYTES);
	lane_open(&lane, &s, 4, 100);
	while (!lane_recv(&lane))
		;
	CHECK_STATUS(s.ops->post_send(lane.tx.channel, &desc, spans, 2, 1),
		     TCPX_EINVAL);
	desc.len_bytes = 2; /* and no spans */
	CHECK_STATUS(s.ops->post_send(lane.tx.channel, &desc, spans, 0, 1),
		     TCPX_EINVAL);
	CHECK_STATUS(s.ops->post_send(lane.tx.channel, &desc, spans,
				      s.limits.spans_max + 1, 1),
		     TCPX_EINVAL);
	if (s.caps & TRANSPORT_SLOTS_ONLY) { /* and memory that is no slot */
		spans[0].len_bytes = 2;
		CHECK_STATUS(s.ops->post_send(lane.tx.channel, &desc, spans, 1,
					      1),
			     TCPX_EINVAL);
	}
	desc.seq = 1; /* and out of order */
	if (s.caps & TRANSPORT_DESC_INLINE)
		CHECK_STATUS(s.ops->post_send(lane.tx.channel, &desc, spans, 2,
					      1),
			     TCPX_EINVAL);
	lane_finish(&lane);
	lane_close(&lane);
	subject_close(&s);
}

/* The engine does not, but a channel whose descriptors travel elsewhere has
 * no way to know: it keeps what comes early, or lets the sender wait. */
void sender_outruns(void)
{
	struct subject s;
	struct lane lane;

	subject_open(&s, CHUNK_BYTES);
	lane_open(&lane, &s, 5 * s.limits.window, 3000);
	lane.no_credits = true;
	for (int i = 0; i < 2000; i++)
		lane_run_tx(&lane);
	/* A network between the two keeps some more. */
	if (s.caps & TRANSPORT_SAME_PROCESS)
		CHECK(lane.sent <= s.limits.window);
	CHECK_EQ(lane.arrived, 0);
	lane_finish(&lane);
	lane_close(&lane);
	subject_close(&s);
}

void nothing_without_poll(void)
{
	struct subject s;
	struct lane lane;

	subject_open(&s, CHUNK_BYTES);
	lane_open(&lane, &s, 1, 1);
	lane.lens[0] = 2000;
	CHECK_STATUS(lane_recv(&lane), TCPX_OK);
	CHECK_STATUS(lane_send(&lane), TCPX_OK);
	while (lane_bind(&lane)) { /* where the descriptor is in line */
		lane_poll_tx(&lane);
		lane_poll_rx(&lane);
	}
	/* The payload is here by now, but nobody has polled since bind. */
	usleep(20000);
	if (lane.rx_chunks[0].dst.map)
		area_check_untouched(&lane.rx_chunks[0].dst);
	CHECK_EQ(lane.arrived, 0);
	lane_finish(&lane);
	lane_close(&lane);
	subject_close(&s);
}

/* No payload, and nothing behind it, is read before bind. */
void bind_comes_first(void)
{
	struct subject s;
	struct lane lane;

	subject_open(&s, CHUNK_BYTES);
	lane_open(&lane, &s, 4, 3000);
	lane.hold_binds = true;
	for (uint32_t k = 0; k < 4; k++) {
		for (int i = 0; i < 200; i++) {
			lane_run_rx(&lane);
			lane_run_tx(&lane);
		}
		CHECK_EQ(lane.arrived, k);
		if (s.caps & TRANSPORT_DESC_INLINE)
			CHECK_EQ(lane.announced, k + 1);
		CHECK_STATUS(lane_bind(&lane), TCPX_OK);
	}
	lane_finish(&lane);
	lane_close(&lane);
	subject_close(&s);
}

void bind_refuses(void)
{
	struct subject s;
	struct lane lane;
	uint8_t byte;
	struct span span = {&byte, 1};

	subject_open(&s, CHUNK_BYTES);
	lane_open(&lane, &s, 2, 3000);
	CHECK_STATUS(s.ops->bind(lane.rx.channel, RX_COOKIE(0), &span, 1, 1,
				 NULL),
		     TCPX_EINVAL);
	lane.hold_binds = true;
	for (int i = 0; i < 200; i++) {
		lane_run_rx(&lane);
		lane_run_tx(&lane);
	}
	CHECK_STATUS(s.ops->bind(lane.rx.channel, RX_COOKIE(1), &span, 1, 1,
				 NULL),
		     TCPX_EINVAL);
	if (s.caps & TRANSPORT_DESC_INLINE)
		CHECK_STATUS(s.ops->bind(lane.rx.channel, RX_COOKIE(0), &span,
					 1, lane.lens[0] + 1, NULL),
			     TCPX_EINVAL);
	lane.hold_binds = false;
	lane_finish(&lane);
	lane_close(&lane);
	subject_close(&s);
}

void own_memory(void)
{
	struct subject s;
	struct lane lane;

	subject_open(&s, CHUNK_BYTES);
	lane_open(&lane, &s, 60, s.limits.slot_bytes);
	lane.own_memory = true;
	lane.lens[5] = s.limits.slot_bytes;
	lane_finish(&lane);
	lane_close(&lane);
	subject_close(&s);
}

void consume_in_order(void)
{
	struct subject s;
	struct lane lane;

	subject_open(&s, CHUNK_BYTES);
	lane_open(&lane, &s, 8, 3000);
	CHECK_STATUS(s.ops->consume(lane.rx.channel, RX_COOKIE(0)),
		     TCPX_EINVAL);
	lane.hold_consumes = true;
	while (lane.arrived < 3) {
		lane_run_rx(&lane);
		lane_run_tx(&lane);
	}
	CHECK_STATUS(s.ops->consume(lane.rx.channel, RX_COOKIE(1)),
		     TCPX_EINVAL);
	lane_consume(&lane);
	CHECK_STATUS(s.ops->consume(lane.rx.channel, RX_COOKIE(0)),
		     TCPX_EINVAL);
	CHECK_STATUS(s.ops->consume(lane.rx.channel, RX_COOKIE(2)),
		     TCPX_EINVAL);
	lane.hold_consumes = false;
	lane_finish(&lane);
	lane_close(&lane);
	subject_close(&s);
}

/* What has arrived is still right when a whole window came behind it, and
 * the memory of consumed chunks is used again. */
void fragments_stay(void)
{
	struct subject s;
	struct lane lane;

	subject_open(&s, CHUNK_BYTES);
	uint32_t window = s.limits.window < 16 ? s.limits.window : 16;

	lane_open(&lane, &s, 10 * window, s.limits.slot_bytes);
	lane.own_memory = true;
	lane.hold_consumes = true;
	while (lane.consumed < lane.n_chunks) {
		lane_run_rx(&lane);
		lane_run_tx(&lane);
		if (lane.arrived < lane.consumed + window &&
		    lane.arrived < lane.n_chunks)
			continue;
		for (uint64_t k = lane.consumed; k < lane.arrived; k++)
			lane_check_fragments(&lane, k);
		for (uint32_t i = check_rand(&lane.rx.rand) % window + 1;
		     i && lane.consumed < lane.arrived; i--)
			lane_consume(&lane);
	}
	lane_close(&lane);
	subject_close(&s);
}

/* Several may be given back before the first is sure; what is not given back
 * never is. TRANSPORT_LENT: whether chunks are lent at all, if that is told. */
void lent_is_confirmed(void)
{
	const char *lent = getenv("TRANSPORT_LENT");
	struct subject s;
	struct lane lane;

	subject_open(&s, CHUNK_BYTES);
	lane_open(&lane, &s, 8, s.limits.slot_bytes);
	lane.own_memory = true;
	lane.hold_consumes = true;
	while (lane.arrived < 8) {
		lane_run_rx(&lane);
		lane_run_tx(&lane);
	}
	if (lent)
		CHECK_EQ(lane.lent, lent[0] == '1');
	for (int i = 0; i < 5; i++)
		lane_consume(&lane);
	lane_await_sure(&lane);
	for (int i = 0; i < 100; i++)
		lane_poll_rx(&lane);
	CHECK_EQ(lane.sure, 5);
	lane_consume(&lane); /* closed before it is sure, perhaps */
	lane_close(&lane);
	subject_close(&s);
}

void slots_are_bounded(void)
{
	struct subject s;
	struct lane lane;
	void *slots[4096];
	uint32_t n = 0;

	subject_open(&s, CHUNK_BYTES);
	lane_open(&lane, &s, 40, s.limits.slot_bytes);
	while (n < 4096 && !s.ops->slot_get(lane.tx.channel, NULL, &slots[n]))
		memset(slots[n++], 0x11, s.limits.slot_bytes);
	CHECK(n >= 2 && n < 4096);
	CHECK_STATUS(s.ops->slot_get(lane.tx.channel, NULL, &slots[n]),
		     TCPX_EAGAIN);
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < i; j++)
			CHECK(slots[i] != slots[j]);
	for (uint32_t i = 1; i < n; i++)
		s.ops->slot_put(lane.tx.channel, slots[i]);
	lane_finish(&lane); /* slots[0] is closed with the channel */
	lane_close(&lane);
	subject_close(&s);
}

/* Several channels fill their windows and nobody consumes: the memory that
 * they share may run out, which makes senders wait and nothing else. */
void pool_runs_dry(void)
{
	enum { LANES = 4 };
	struct subject s;
	struct lane lanes[LANES];
	bool done = false;

	subject_open(&s, 512u << 10);
	for (int i = 0; i < LANES; i++) {
		lane_open(&lanes[i], &s, s.limits.window + 4, 1);
		for (uint32_t k = 0; k < lanes[i].n_chunks; k++)
			lanes[i].lens[k] = s.limits.chunk_bytes;
		lanes[i].own_memory = subject_can(&s, TRANSPORT_FRAGMENTS);
		lanes[i].hold_consumes = true;
	}
	for (int round = 0; round < 300; round++) {
		for (int i = 0; i < LANES; i++) {
			lane_run_rx(&lanes[i]);
			lane_run_tx(&lanes[i]);
		}
	}
	for (int i = 0; i < LANES; i++)
		lanes[i].hold_consumes = false;
	while (!done) {
		done = true;
		for (int i = 0; i < LANES; i++) {
			lane_run_rx(&lanes[i]);
			lane_run_tx(&lanes[i]);
			done &= lane_done_rx(&lanes[i]) &&
				lane_done_tx(&lanes[i]);
		}
	}
	for (int i = 0; i < LANES; i++) {
		CHECK_STATUS(lanes[i].rx.failed, TCPX_OK);
		lane_close(&lanes[i]);
	}
	subject_close(&s);
}

static uint32_t waits_for(const struct subject *s, struct channel *channel)
{
	uint32_t events = 0xffff;

	CHECK(s->ops->wait_fd(channel, &events) >= 0);
	CHECK_EQ(events & ~(uint32_t)(EPOLLIN | EPOLLOUT), 0);
	return events;
}

static bool is_ready(const struct subject *s, struct channel *channel,
		     int timeout_ms)
{
	uint32_t events;
	int fd = s->ops->wait_fd(channel, &events);
	struct pollfd pollfd = {fd, (short)events, 0};

	return poll(&pollfd, 1, timeout_ms) == 1;
}

/* Whoever sleeps on the fd misses nothing and is not woken for nothing. */
void wait_fd_tells(void)
{
	struct subject s;
	struct lane lane;

	subject_open(&s, 1u << 20);
	lane_open(&lane, &s, 24, 1);
	for (uint32_t k = 0; k < lane.n_chunks; k++)
		lane.lens[k] = s.limits.chunk_bytes;
	lane.hold_binds = true;
	lane_run_rx(&lane);
	CHECK_EQ(waits_for(&s, lane.tx.channel), 0);
	CHECK_EQ(waits_for(&s, lane.rx.channel), EPOLLIN);
	CHECK(!is_ready(&s, lane.rx.channel, 20));
	while (lane_poll_tx(&lane) || !lane_send(&lane))
		;
	/* Stuck: the receiver does not bind. */
	CHECK_EQ(waits_for(&s, lane.tx.channel), EPOLLOUT);
	while (lane.announced == 0) {
		CHECK(is_ready(&s, lane.rx.channel, 5000));
		lane_poll_rx(&lane);
	}
	CHECK_EQ(waits_for(&s, lane.rx.channel), 0);
	lane.hold_binds = false;
	CHECK_STATUS(lane_bind(&lane), TCPX_OK);
	/* From here on both sleep before they work. */
	while (!lane_done_rx(&lane) || !lane_done_tx(&lane)) {
		bool moved = lane_run_rx(&lane);

		if (lane_run_tx(&lane) || moved)
			continue;
		if (lane_done_rx(&lane))
			continue;
		CHECK(is_ready(&s, lane.rx.channel, 0) ||
		      is_ready(&s, lane.tx.channel, 0) ||
		      is_ready(&s, lane.rx.channel, 5000));
	}
	lane_close(&lane);
	subject_close(&s);
}

/* Whether either end has something to do, within five seconds. */
static bool sleeps_well(const struct subject *s, const struct lane *lane)
{
	struct channel *ends[] = {lane->rx.channel, lane->tx.channel};
	struct pollfd fds[2];

	for (int i = 0; i < 2; i++) {
		uint32_t events;

		fds[i].fd = s->ops->wait_fd(ends[i], &events);
		fds[i].events = (short)events;
	}
	return poll(fds, 2, 5000) > 0;
}

/* An event may have been taken before its ring: that wakes for nothing, until
 * whoever rings, if it lost its CPU to us over that, gets on. */
static bool is_quiet(const struct subject *s, struct lane *lane)
{
	for (int i = 0; i < 20; i++) {
		while (lane_run_rx(lane))
			;
		if (!is_ready(s, lane->rx.channel, 20))
			return true;
		usleep(5000);
	}
	return false;
}

/* One thread for both ends, which sleeps whenever neither had an event. */
void wait_fd_wakes(void)
{
	struct subject s;
	struct lane lane;
	uint32_t events;

	subject_open(&s, CHUNK_BYTES);
	lane_open(&lane, &s, 400, CHUNK_BYTES);
	if (s.ops->wait_fd(lane.rx.channel, &events) < 0) {
		lane_close(&lane);
		subject_close(&s);
		SKIP("it is polled, as it is set here");
	}
	CHECK(is_quiet(&s, &lane));
	while (!lane_done_rx(&lane) || !lane_done_tx(&lane)) {
		bool moved = lane_run_rx(&lane);

		if (!lane_run_tx(&lane) && !moved && !lane_done_rx(&lane))
			CHECK(sleeps_well(&s, &lane));
	}
	CHECK(is_quiet(&s, &lane));
	lane_close_tx(&lane);
	while (!lane.rx.failed) {
		CHECK(is_ready(&s, lane.rx.channel, 5000));
		lane_poll_rx(&lane);
	}
	lane_close(&lane);
	subject_close(&s);
}

static uint64_t counter(const struct subject *s, struct channel *channel,
			const char *name)
{
	struct transport_counter counters[32];
	int n = s->ops->counters(channel, counters, 32);

	for (int i = 0; i < n; i++)
		if (strcmp(counters[i].name, name) == 0)
			return counters[i].value;
	return UINT64_MAX;
}

void counters_count(void)
{
	struct subject s;
	struct lane lane;
	uint64_t bytes = 0;

	subject_open(&s, CHUNK_BYTES);
	lane_open(&lane, &s, 30, 3000);
	lane_finish(&lane);
	for (uint32_t k = 0; k < lane.n_chunks; k++)
		bytes += lane.lens[k];
	CHECK_EQ(counter(&s, lane.tx.channel, "bytes"), bytes);
	CHECK_EQ(counter(&s, lane.rx.channel, "bytes"), bytes);
	CHECK_EQ(counter(&s, lane.tx.channel, "chunks"), 30);
	CHECK_EQ(counter(&s, lane.rx.channel, "chunks"), 30);
	CHECK_EQ(s.ops->counters(lane.tx.channel, NULL, 0), 0);
	lane_close(&lane);
	subject_close(&s);
}
