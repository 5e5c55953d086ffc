/* SPDX-License-Identifier: Apache-2.0 */
/* The loops that move the bytes of a raw link. */
#include "raw.h"

#include "clock.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SPIN_LIMIT_NS (20 * NS_PER_S)

/* Threads of a run start together: the lock is held while they are made. */
struct gate {
	pthread_mutex_t lock;
	bool canceled; /* not all could be made */
};

/* One flow of one side: everything its thread needs. */
struct flow {
	pthread_t thread;
	struct gate *gate;
	int fd;
	bool client, sends, spin;
	char *area; /* this flow's share */
	uint64_t area_bytes;
	uint64_t total_bytes;
	uint32_t io_bytes;
	int err;
};

typedef ssize_t (*io_fn)(int fd, char *buf, size_t len_bytes, int flags);

static ssize_t io_send(int fd, char *buf, size_t len_bytes, int flags)
{
	return send(fd, buf, len_bytes, flags | MSG_NOSIGNAL);
}

static ssize_t io_recv(int fd, char *buf, size_t len_bytes, int flags)
{
	return recv(fd, buf, len_bytes, flags);
}

/* Calls until the socket takes or gives something: > 0, or an error. */
static ssize_t spin_io(io_fn io, int fd, char *buf, size_t len_bytes)
{
	uint64_t deadline_ns = 0;
	ssize_t n;

	for (uint32_t i = 1;; i++) {
		n = io(fd, buf, len_bytes, MSG_DONTWAIT);
		if (n >= 0 || (errno != EAGAIN && errno != EINTR))
			return n;
		spin_pause();
		if (i % SPINS_A_YIELD)
			continue;
		sched_yield();
		if (!deadline_ns)
			deadline_ns = now_ns() + SPIN_LIMIT_NS;
		else if (now_ns() > deadline_ns)
			return -1;
	}
}

static ssize_t block_io(io_fn io, int fd, char *buf, size_t len_bytes)
{
	ssize_t n;

	do
		n = io(fd, buf, len_bytes, 0);
	while (n < 0 && errno == EINTR);
	return n;
}

static int io_all(io_fn io, int fd, bool spin, char *buf, uint64_t len_bytes)
{
	ssize_t n;

	while (len_bytes > 0) {
		n = spin ? spin_io(io, fd, buf, len_bytes) :
			   block_io(io, fd, buf, len_bytes);
		if (n == 0)
			return -ECONNRESET;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		buf += n;
		len_bytes -= (uint64_t)n;
	}
	return 0;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static int move_all(const struct flow *flow)
{
	io_fn io = flow->sends ? io_send : io_recv;
	uint64_t left = flow->total_bytes, off = 0, n;
	int err = 0;

	while (left > 0 && !err) {
		n = min_u64(left, flow->area_bytes - off);
		n = min_u64(n, flow->io_bytes);
		err = io_all(io, flow->fd, flow->spin, flow->area + off, n);
		left -= n;
		off = off + n == flow->area_bytes ? 0 : off + n;
	}
	return err;
}

/* Forward flows end by an acknowledgement, backward ones begin by a go. */
static int flow_move(const struct flow *flow)
{
	bool forward = flow->client == flow->sends;
	char byte = 1;
	int err = 0;

	if (!forward)
		err = io_all(flow->client ? io_send : io_recv, flow->fd,
			     flow->spin, &byte, 1);
	if (!err)
		err = move_all(flow);
	if (!err && forward)
		err = io_all(flow->client ? io_recv : io_send, flow->fd,
			     flow->spin, &byte, 1);
	return err;
}

static void *flow_main(void *arg)
{
	struct flow *flow = arg;

	pthread_mutex_lock(&flow->gate->lock);
	pthread_mutex_unlock(&flow->gate->lock);
	flow->err = flow->gate->canceled ? -EAGAIN : flow_move(flow);
	if (flow->err) /* let the others end too */
		shutdown(flow->fd, SHUT_RDWR);
	return NULL;
}

/* Flow i of n shares: [i / n, (i + 1) / n) of the area and of the bytes. */
static void flow_init(struct flow *flow, const struct raw_link *link,
		      const struct raw_stream *stream, unsigned i)
{
	bool forward = i < link->n_forward;
	unsigned n = forward ? link->n_forward : link->n - link->n_forward;
	uint64_t k = forward ? i : i - link->n_forward;
	uint64_t begin = stream->area_bytes * k / n;

	flow->fd = link->fds[i];
	flow->client = link->client;
	flow->sends = forward == link->client;
	flow->spin = stream->spin;
	flow->area = (flow->sends ? stream->source : stream->sink) + begin;
	flow->area_bytes = stream->area_bytes * (k + 1) / n - begin;
	flow->total_bytes =
		stream->total_bytes * (k + 1) / n - stream->total_bytes * k / n;
	flow->io_bytes = stream->io_bytes ? stream->io_bytes : RAW_IO_BYTES;
}

static int join_all(struct flow *flows, unsigned n)
{
	int err = 0;

	for (unsigned i = 0; i < n; i++) {
		pthread_join(flows[i].thread, NULL);
		if (!err)
			err = flows[i].err;
	}
	return err;
}

/* Called with the gate closed; all threads made wait at it. */
static unsigned start_all(struct flow *flows, const struct raw_link *link,
			  const struct raw_stream *stream, struct gate *gate)
{
	unsigned i;

	for (i = 0; i < link->n; i++) {
		flow_init(&flows[i], link, stream, i);
		flows[i].gate = gate;
		if (pthread_create(&flows[i].thread, NULL, flow_main,
				   &flows[i]))
			break;
	}
	gate->canceled = i < link->n;
	return i;
}

int raw_stream_run(struct raw_link *link, const struct raw_stream *stream,
		   uint64_t *elapsed_ns)
{
	struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct flow *flows = calloc(link->n, sizeof(*flows));
	uint64_t begin_ns;
	unsigned n;
	int err;

	if (!flows)
		return -ENOMEM;
	pthread_mutex_lock(&gate.lock);
	n = start_all(flows, link, stream, &gate);
	begin_ns = now_ns();
	pthread_mutex_unlock(&gate.lock);
	err = join_all(flows, n);
	*elapsed_ns = now_ns() - begin_ns;
	free(flows);
	return gate.canceled ? -EAGAIN : err;
}

static int one_round_trip(const struct raw_link *link,
			  const struct raw_pingpong *params, char *buf)
{
	io_fn first = link->client ? io_send : io_recv;
	io_fn second = link->client ? io_recv : io_send;
	uint32_t n = params->message_bytes;
	int err = io_all(first, link->fds[0], params->spin, buf, n);

	return err ? err : io_all(second, link->fds[0], params->spin, buf, n);
}

int raw_pingpong_run(struct raw_link *link, const struct raw_pingpong *params,
		     uint64_t *samples_ns)
{
	static char buf[RAW_MESSAGE_MAX];
	uint64_t begin_ns = now_ns(), end_ns;
	int err = 0;

	if (params->message_bytes > sizeof(buf))
		return -EMSGSIZE;
	for (uint64_t i = 0; i < params->n_round_trips && !err; i++) {
		err = one_round_trip(link, params, buf);
		if (!samples_ns)
			continue;
		end_ns = now_ns();
		samples_ns[i] = (end_ns - begin_ns) / 2;
		begin_ns = end_ns;
	}
	return err;
}
