/* SPDX-License-Identifier: Apache-2.0 */

/* How channels begin and end, well and badly. */

#include <fcntl.h>
#include <sys/socket.h>

#include "contract.h"

/* Traffic for a random number of visits, then one end goes away, with its
 * memory. What had arrived was right; the other end is told why. */
static void close_anywhere(bool sender)
{
	struct subject s;
	struct lane lane;

	subject_open(&s, 256u << 10);
	for (int round = 0; round < 60; round++) {
		uint64_t rand = check_seed() + round;

		lane_open(&lane, &s, 40, s.limits.chunk_bytes);
		lane.hold_consumes = round % 3 == 0;
		lane.hold_binds = round % 5 == 0;
		for (int n = check_rand(&rand) % 60; n > 0; n--) {
			if (check_rand(&rand) % 2)
				lane_run_tx(&lane);
			else
				lane_run_rx(&lane);
		}
		if (sender)
			lane_close_tx(&lane);
		else
			lane_close_rx(&lane);
		lane_await_failure(&lane);
		if (sender)
			CHECK_STATUS(lane.rx.failed, TCPX_ECLOSED);
		else
			CHECK_STATUS(lane.tx.failed, TCPX_ECLOSED);
		lane_close(&lane);
	}
	subject_close(&s);
}

void close_sender_anywhere(void)
{
	close_anywhere(true);
}

void close_receiver_anywhere(void)
{
	close_anywhere(false);
}

void failure_is_told_once(void)
{
	struct channel_event event;
	struct subject s;
	struct lane lane;

	subject_open(&s, CHUNK_BYTES);
	lane_open(&lane, &s, 40, s.limits.chunk_bytes);
	lane_run_rx(&lane);
	lane_run_tx(&lane);
	lane_close_rx(&lane);
	lane_await_failure(&lane);
	for (int i = 0; i < 100; i++)
		CHECK_EQ(s.ops->poll(lane.tx.channel, &event, 1), 0);
	for (uint64_t k = 0; k < lane.posted; k++)
		lane_abandon_tx(&lane, k);
	CHECK_EQ(s.ops->poll(lane.tx.channel, &event, 1), 0);
	lane_close(&lane);
	subject_close(&s);
}

/* Bound to another length than was sent: nothing of it is delivered. */
void lengths_differ(void)
{
	uint8_t bytes[8] = {0};
	struct span span = {bytes, 8};
	struct subject s;
	struct lane lane;

	subject_open(&s, CHUNK_BYTES);
	lane_open(&lane, &s, 1, 1);
	lane.lens[0] = 9;
	CHECK_STATUS(lane_recv(&lane), TCPX_OK);
	CHECK_STATUS(s.ops->bind(lane.rx.channel, RX_COOKIE(0), &span, 1, 8,
				 NULL),
		     TCPX_OK);
	lane.bound = 1;
	CHECK_STATUS(lane_send(&lane), TCPX_OK);
	lane_await_failure(&lane);
	CHECK_STATUS(lane.tx.failed, TCPX_EPROTO);
	CHECK_STATUS(lane.rx.failed, TCPX_EPROTO);
	CHECK_EQ(lane.arrived, 0);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(bytes[i], 0);
	lane_close(&lane);
	subject_close(&s);
}

/* One fd carries both directions: what kills one kills the other. */
void both_directions_die(void)
{
	struct channel_event event = {0};
	struct subject s;
	struct lane lane;

	subject_open(&s, CHUNK_BYTES);
	lane_open(&lane, &s, 1, 1);
	lane_close_tx(&lane);
	while (!lane_poll_rx(&lane))
		;
	CHECK_STATUS(lane.rx.failed, TCPX_ECLOSED);
	CHECK_EQ(s.ops->poll(lane.rx.other, &event, 1), 1);
	CHECK_EQ(event.kind, CHANNEL_FAILED);
	CHECK_STATUS(event.status, TCPX_ECLOSED);
	lane_close(&lane);
	subject_close(&s);
}

/* ---- listeners --------------------------------------------------------- */

struct meeting {
	struct subject s;
	struct listener *listener;
	uint8_t addr[TRANSPORT_ADDR_MAX];
	size_t addr_bytes;
	struct channel *sender, *receiver;
};

static void meeting_open(struct meeting *m)
{
	*m = (struct meeting){0};
	subject_open(&m->s, CHUNK_BYTES);
	CHECK_STATUS(m->s.ops->listen(m->s.transport, 0, &m->listener, m->addr,
				      &m->addr_bytes),
		     TCPX_OK);
}

static int meeting_connect(struct meeting *m, struct channel **sender)
{
	return m->s.ops->connect(m->s.transport, 0, m->addr, m->addr_bytes,
				 sender);
}

void connect_to_nobody(void)
{
	struct meeting m;
	int status;

	meeting_open(&m);
	m.s.ops->listener_close(m.listener);
	do
		status = meeting_connect(&m, &m.sender);
	while (status == TCPX_INPROGRESS);
	CHECK_STATUS(status, TCPX_EREFUSED);
	CHECK(!m.sender);
	m.addr_bytes = 3;
	CHECK_STATUS(meeting_connect(&m, &m.sender), TCPX_EREFUSED);
	subject_close(&m.s);
}

void connect_twice(void)
{
	struct channel *second = NULL;
	struct meeting m;
	int status;

	meeting_open(&m);
	while ((status = meeting_connect(&m, &m.sender)) == TCPX_INPROGRESS)
		;
	CHECK_STATUS(status, TCPX_OK);
	do
		status = meeting_connect(&m, &second);
	while (status == TCPX_INPROGRESS);
	CHECK_STATUS(status, TCPX_EREFUSED);
	CHECK(!second);
	m.s.ops->channel_close(m.sender);
	m.s.ops->listener_close(m.listener);
	subject_close(&m.s);
}

void listener_closes(void)
{
	struct channel_event event = {0};
	struct meeting m;
	int status;

	meeting_open(&m);
	while ((status = meeting_connect(&m, &m.sender)) == TCPX_INPROGRESS)
		;
	CHECK_STATUS(status, TCPX_OK);
	m.s.ops->listener_close(m.listener);
	while (!m.s.ops->poll(m.sender, &event, 1))
		;
	CHECK_EQ(event.kind, CHANNEL_FAILED);
	m.s.ops->channel_close(m.sender);
	subject_close(&m.s);
}

void half_made_closes(void)
{
	struct meeting m;
	int status;

	meeting_open(&m);
	(void)meeting_connect(&m, &m.sender);
	CHECK(m.sender);
	m.s.ops->channel_close(m.sender);
	/* The other side learns it now, soon, or from its channel; or never,
	 * of one that left before a network brought it there. */
	for (int i = 0; i < 1500; i++) {
		status = m.s.ops->accept(m.listener, &m.receiver);
		if (status != TCPX_INPROGRESS)
			break;
		usleep(i < 1000 ? 0 : 1000);
	}
	CHECK(status == TCPX_OK || status < 0 ||
	      !(m.s.caps & TRANSPORT_SAME_PROCESS));
	CHECK_EQ(!m.receiver, status != TCPX_OK);
	if (m.receiver)
		m.s.ops->channel_close(m.receiver);
	m.s.ops->listener_close(m.listener);
	subject_close(&m.s);
}

/* ---- a peer that lies -------------------------------------------------- */

/* One end is a bare socket that the case writes to. */
struct liar {
	struct subject s;
	struct channel *sender, *receiver;
	int fd;
	uint8_t header[CHUNK_DESC_BYTES];
	uint8_t payload[CHUNK_BYTES];
};

static void liar_open(struct liar *liar, uint32_t n_receives)
{
	int fds[2];

	memset(liar, 0, sizeof(*liar));
	subject_open(&liar->s, CHUNK_BYTES);
	subject_sockets(&liar->s, fds);
	liar->fd = fds[0];
	CHECK_STATUS(liar->s.ops->adopt(liar->s.transport, fds[1],
					&liar->sender, &liar->receiver),
		     TCPX_OK);
	for (uint32_t i = 0; i < n_receives; i++)
		CHECK_STATUS(liar->s.ops->post_recv(liar->receiver, i),
			     TCPX_OK);
}

static void liar_says(const struct liar *liar, const void *bytes, size_t n)
{
	CHECK_EQ(write(liar->fd, bytes, n), (ssize_t)n);
}

static void liar_header(struct liar *liar, uint64_t seq, uint32_t len_bytes)
{
	struct chunk_desc desc = {.seq = seq, .len_bytes = len_bytes};

	chunk_desc_encode(&desc, liar->header);
	liar_says(liar, liar->header, sizeof(liar->header));
}

static struct channel_event next_event(struct liar *liar)
{
	struct channel_event event = {0};

	while (!liar->s.ops->poll(liar->receiver, &event, 1))
		;
	return event;
}

static void liar_takes(struct liar *liar, uint64_t seq, uint32_t len_bytes)
{
	struct channel_event event = next_event(liar);

	CHECK_EQ(event.kind, CHANNEL_ANNOUNCED);
	CHECK_EQ(event.desc.seq, seq);
	CHECK_EQ(event.desc.len_bytes, len_bytes);
	struct span span = {liar->payload, len_bytes};
	memset(liar->payload, 0, sizeof(liar->payload));
	CHECK_STATUS(liar->s.ops->bind(liar->receiver, event.cookie, &span, 1,
				       len_bytes, NULL),
		     TCPX_OK);
	event = next_event(liar);
	CHECK_EQ(event.kind, CHANNEL_ARRIVED);
	CHECK_STATUS(liar->s.ops->consume(liar->receiver, event.cookie),
		     TCPX_OK);
}

static void liar_is_caught(struct liar *liar, int status)
{
	struct channel_event event = next_event(liar);

	CHECK_EQ(event.kind, CHANNEL_FAILED);
	CHECK_STATUS(event.status, status);
	CHECK(event.cause[0]);
	CHECK_EQ(liar->s.ops->poll(liar->sender, &event, 1), 1);
	CHECK_EQ(event.kind, CHANNEL_FAILED);
	liar->s.ops->channel_close(liar->sender);
	liar->s.ops->channel_close(liar->receiver);
	close(liar->fd);
	subject_close(&liar->s);
}

void junk_header(void)
{
	static const char junk[CHUNK_DESC_BYTES] = "GET / HTTP/1.1";
	struct liar liar;

	liar_open(&liar, 4);
	liar_header(&liar, 0, 3);
	liar_says(&liar, "abc", 3);
	liar_takes(&liar, 0, 3);
	CHECK_MEM(liar.payload, "abc\0\0", 5);
	liar_says(&liar, junk, sizeof(junk));
	liar_is_caught(&liar, TCPX_EPROTO);
}

void wrong_sequence(void)
{
	const uint64_t wrong[] = {0, 2, UINT64_MAX};

	for (int i = 0; i < 3; i++) {
		struct liar liar;

		liar_open(&liar, 4);
		liar_header(&liar, 0, 1);
		liar_says(&liar, "x", 1);
		liar_takes(&liar, 0, 1);
		liar_header(&liar, wrong[i], 1);
		liar_is_caught(&liar, TCPX_EPROTO);
	}
}

void too_long(void)
{
	const uint32_t wrong[] = {0, CHUNK_BYTES + 1, UINT32_MAX};

	for (int i = 0; i < 3; i++) {
		struct liar liar;

		liar_open(&liar, 4);
		liar_header(&liar, 0, wrong[i]);
		liar_is_caught(&liar, TCPX_EPROTO);
	}
}

void beyond_receives(void)
{
	struct liar liar;

	liar_open(&liar, 1);
	liar_header(&liar, 0, 2);
	liar_says(&liar, "hi", 2);
	liar_header(&liar, 1, 2);
	liar_takes(&liar, 0, 2);
	liar_is_caught(&liar, TCPX_EPROTO);
}

void cut_off(void)
{
	struct channel_event event;
	struct span span;
	struct liar liar;

	for (int n = 0; n < CHUNK_DESC_BYTES; n += 47) {
		liar_open(&liar, 1);
		liar_says(&liar, liar.header, n);
		shutdown(liar.fd, SHUT_WR);
		liar_is_caught(&liar, TCPX_ECLOSED);
	}
	liar_open(&liar, 1);
	liar_header(&liar, 0, 100);
	liar_says(&liar, liar.payload, 99);
	event = next_event(&liar);
	CHECK_EQ(event.kind, CHANNEL_ANNOUNCED);
	span = (struct span){liar.payload, 100};
	CHECK_STATUS(liar.s.ops->bind(liar.receiver, 0, &span, 1, 100, NULL),
		     TCPX_OK);
	shutdown(liar.fd, SHUT_WR);
	liar_is_caught(&liar, TCPX_ECLOSED);
}

/* Not a lie, but as unkind: every byte comes alone. */
void byte_by_byte(void)
{
	struct channel_event event;
	struct liar liar;
	uint32_t arrived = 0;

	liar_open(&liar, 3);
	for (uint32_t k = 0; k < 3; k++) {
		struct chunk_desc desc = {.seq = k, .len_bytes = 70};
		uint8_t wire[CHUNK_DESC_BYTES + 70];
		struct span spans[] = {{liar.payload, 33},
				       {liar.payload + 40, 37}};

		chunk_desc_encode(&desc, wire);
		memcpy(wire + CHUNK_DESC_BYTES, pattern(k, 0), 70);
		for (size_t i = 0; i < sizeof(wire); i++) {
			liar_says(&liar, wire + i, 1);
			if (!liar.s.ops->poll(liar.receiver, &event, 1))
				continue;
			if (event.kind == CHANNEL_ANNOUNCED)
				CHECK_STATUS(liar.s.ops->bind(liar.receiver, k,
							      spans, 2, 70,
							      NULL),
					     TCPX_OK);
			else
				CHECK_EQ(event.kind, CHANNEL_ARRIVED);
			if (event.kind == CHANNEL_ARRIVED)
				arrived++;
		}
		CHECK_EQ(arrived, k + 1);
		CHECK_MEM(liar.payload, wire + CHUNK_DESC_BYTES, 33);
		CHECK_MEM(liar.payload + 40, wire + CHUNK_DESC_BYTES + 33, 37);
	}
	shutdown(liar.fd, SHUT_WR);
	liar_is_caught(&liar, TCPX_ECLOSED);
}
