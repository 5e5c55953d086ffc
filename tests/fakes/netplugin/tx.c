/* SPDX-License-Identifier: Apache-2.0 */
#include "comm.h"

/*
 * The sending side. Done means that the peer's network stack has
 * acknowledged the bytes, as zero copy has it: counted by what the socket
 * still holds. Memory is read when its task leaves; strict mode reads it
 * again when the task is done, to see whether it was changed meanwhile.
 */

#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf.h"
#include "fault.h"
#include "memory.h"
#include "rules.h"

#define PIECE_BYTES (256u * 1024)
#define RATE_PIECE_BYTES (32u * 1024)
#define RATE_BURST_NS 20000000u

static uint64_t sum_of(const uint8_t *data, size_t len_bytes)
{
	uint64_t sum = len_bytes, word;

	for (; len_bytes >= sizeof(word); len_bytes -= sizeof(word)) {
		memcpy(&word, data, sizeof(word));
		sum = (sum << 5 | sum >> 59) + word;
		data += sizeof(word);
	}
	while (len_bytes--)
		sum = sum * 31 + *data++;
	return sum;
}

static bool is_direct(const struct request *request)
{
	return request->mr->type == NETPLUGIN_PTR_HOST || memory_get()->direct;
}

/* Where the task's bytes can be read; NULL: the GPU would not. */
static const uint8_t *source_of(struct comm *comm, struct sock *sock,
				struct task *task)
{
	const struct double_memory *memory = memory_get();
	const uint8_t *data = task->request->data + task->off;

	if (is_direct(task->request))
		return data;
	if (!task->started &&
	    memory->copy(comm->device, sock->staging, data, task->len_bytes))
		return NULL;
	return sock->staging;
}

/* How much may leave now; 0: the comm's rate says wait. */
static uint32_t rate_allows(struct comm *comm, uint32_t want_bytes)
{
	uint64_t rate = conf_get()->rate_bytes_s, now_ns;

	if (!rate)
		return want_bytes < PIECE_BYTES ? want_bytes : PIECE_BYTES;
	now_ns = rules_now_ns();
	pthread_mutex_lock(&comm->lock);
	if (comm->rate_next_ns > now_ns)
		want_bytes = 0;
	else if (comm->rate_next_ns + RATE_BURST_NS < now_ns)
		comm->rate_next_ns = now_ns - RATE_BURST_NS;
	pthread_mutex_unlock(&comm->lock);
	return want_bytes < RATE_PIECE_BYTES ? want_bytes : RATE_PIECE_BYTES;
}

static void rate_took(struct comm *comm, uint32_t len_bytes)
{
	uint64_t rate = conf_get()->rate_bytes_s;

	if (!rate)
		return;
	pthread_mutex_lock(&comm->lock);
	comm->rate_next_ns += len_bytes * 1000000000ull / rate;
	pthread_mutex_unlock(&comm->lock);
}

enum step tx_step(struct comm *comm, struct sock *sock, struct task *task)
{
	uint32_t want = task->len_bytes - task->moved_bytes;
	const uint8_t *source = source_of(comm, sock, task);
	ssize_t n;

	if (!source) {
		errno = EFAULT;
		return STEP_DEAD;
	}
	if (!task->started && conf_get()->strict && is_direct(task->request))
		task->sum = sum_of(source, task->len_bytes);
	task->started = true;
	want = rate_allows(comm, want);
	if (!want)
		return STEP_WAIT_TIME;
	/* Without MSG_NOSIGNAL, as the plugin does. */
	n = send(sock->fd, source + task->moved_bytes, want, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? STEP_WAIT_IO :
							   STEP_DEAD;
	rate_took(comm, (uint32_t)n);
	task->moved_bytes += (uint32_t)n;
	task->end_bytes = atomic_fetch_add(&sock->written_bytes, (uint64_t)n) +
			  (uint64_t)n;
	return STEP_MOVED;
}

/*
 * Bytes of the socket's stream that the peer's stack has; or fewer, while the
 * helper writes: what it has written is read first.
 */
static uint64_t acked_bytes(struct sock *sock)
{
	uint64_t written = atomic_load(&sock->written_bytes);
	int n_left = 0;

	if (ioctl(sock->fd, SIOCOUTQ, &n_left) < 0 ||
	    (uint64_t)n_left > written)
		return 0;
	return written - (uint64_t)n_left;
}

static void retire_task(struct task *task)
{
	struct request *request = task->request;

	if (conf_get()->strict && is_direct(request) && task->len_bytes &&
	    sum_of(request->data + task->off, task->len_bytes) != task->sum)
		rules_broken(21, "a send's buffer was changed before its "
				 "test said done");
	request->done_bytes += task->len_bytes;
}

static void retire(struct comm *comm, struct sock *sock)
{
	unsigned moved;
	uint64_t acked;
	bool dead;

	pthread_mutex_lock(&comm->lock);
	moved = sock->moved;
	dead = sock->dead;
	pthread_mutex_unlock(&comm->lock);
	if (sock->tail == moved || dead)
		return;
	acked = acked_bytes(sock);
	while (sock->tail != moved) {
		struct task *task = &sock->tasks[sock->tail % MAX_TASKS];

		if (task->end_bytes > acked && task->len_bytes)
			break;
		retire_task(task);
		pthread_mutex_lock(&comm->lock);
		sock->tail++;
		pthread_mutex_unlock(&comm->lock);
	}
}

/* Has the receiver posted the next one? One index a call. */
static int read_sync(struct comm *comm)
{
	ssize_t n = recv(comm->ctrl_fd, comm->sync_buf + comm->sync_have,
			 sizeof(comm->sync_buf) - comm->sync_have,
			 MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN))
		return NETPLUGIN_ESYSTEM;
	if (n > 0)
		comm->sync_have += (unsigned)n;
	if (comm->sync_have == sizeof(comm->sync_buf)) {
		comm->sync_have = 0;
		comm->n_synced++;
	}
	return 0;
}

static int admit(struct comm *comm)
{
	struct request *request = &comm->ring[comm->admitted % MAX_REQUESTS];

	if (comm->active || comm->admitted == comm->posted)
		return 0;
	if (conf_get()->recv_sync && comm->n_synced <= comm->admitted) {
		int rc = read_sync(comm);

		if (rc || comm->n_synced <= comm->admitted)
			return rc;
	}
	request->state = REQUEST_ACTIVE;
	comm->active = request;
	comm->admitted++;
	return 0;
}

/* 1: sent; 0: not now; negative: the peer is gone. */
static int send_control(struct comm *comm, const struct control *control)
{
	const uint8_t *bytes = (const uint8_t *)control;
	size_t sent = 0;

	while (sent < sizeof(*control)) {
		ssize_t n = send(comm->ctrl_fd, bytes + sent,
				 sizeof(*control) - sent, MSG_DONTWAIT);

		if (n > 0)
			sent += (size_t)n;
		else if (errno != EAGAIN && errno != EINTR)
			return -1;
		else if (sent == 0)
			return 0;
	}
	return 1;
}

/* The next socket with room after the last used. */
static struct sock *pick_sock(struct comm *comm)
{
	for (int i = 1; i <= comm->n_socks; i++) {
		int index = (comm->last_sock + i) % comm->n_socks;

		if (comm_is_data_room(comm, &comm->socks[index]))
			return &comm->socks[index];
	}
	return NULL;
}

static void transmitting(struct comm *comm)
{
	int64_t nth;

	comm->active->state = REQUEST_TRANSMITTING;
	if (fault_wanted("ctrl_closes", comm->index, &nth) &&
	    comm->active->n + 1 == (uint64_t)nth)
		shutdown(comm->ctrl_fd, SHUT_RDWR);
	comm->active = NULL;
}

/* The next task of the active request. 1: made; 0: no room; negative. */
static int make_task(struct comm *comm, struct sock *sock)
{
	struct request *request = comm->active;
	uint32_t left = request->total_bytes - request->tasked_bytes;
	uint32_t chunk = (uint32_t)conf_get()->chunk_bytes;
	struct control control = {
		.type = CONTROL_NORMAL,
		.sock = (uint16_t)sock->index,
		.len_bytes = left < chunk ? left : chunk,
		.off = request->tasked_bytes,
		.total_bytes = request->total_bytes,
	};
	struct task *task;
	int rc = send_control(comm, &control);

	if (rc <= 0)
		return rc;
	if (request->socks_used & 1u << sock->index)
		rules_broken(18, "a second chunk of one request on a socket: "
				 "the receiver loses pages");
	request->socks_used |= 1u << sock->index;
	task = comm_new_task(sock);
	task->request = request;
	task->off = control.off;
	task->len_bytes = control.len_bytes;
	request->tasked_bytes += control.len_bytes;
	comm->last_sock = sock->index;
	comm_push_task(comm, sock);
	return 1;
}

static int send_inline(struct comm *comm)
{
	struct request *request = comm->active;
	struct control control = {
		.type = CONTROL_INLINE,
		.len_bytes = request->total_bytes,
		.total_bytes = request->total_bytes,
	};
	int rc = send_control(comm, &control);

	if (rc <= 0)
		return rc < 0 ? NETPLUGIN_ESYSTEM : 0;
	/* The payload would follow by the host's send(), which refuses GPU
	 * pointers. */
	if (request->total_bytes && request->mr->type != NETPLUGIN_PTR_HOST)
		return NETPLUGIN_ESYSTEM;
	if (request->total_bytes &&
	    send(comm->ctrl_fd, request->data, request->total_bytes, 0) < 0)
		return NETPLUGIN_ESYSTEM;
	request->tasked_bytes = request->total_bytes;
	request->done_bytes = request->total_bytes;
	transmitting(comm);
	return 0;
}

static int advance(struct comm *comm)
{
	struct request *request = comm->active;
	int rc = 1;

	if (!request)
		return 0;
	if (request->total_bytes <= (uint32_t)conf_get()->inline_max_bytes)
		return send_inline(comm);
	while (request->tasked_bytes < request->total_bytes && rc > 0) {
		struct sock *sock = pick_sock(comm);

		rc = sock ? make_task(comm, sock) : 0;
	}
	if (request->tasked_bytes == request->total_bytes)
		transmitting(comm);
	return rc < 0 ? NETPLUGIN_ESYSTEM : 0;
}

int tx_progress(struct comm *comm)
{
	int rc;

	for (int i = 0; i < comm->n_socks; i++)
		retire(comm, &comm->socks[i]);
	rc = admit(comm);
	return rc ? rc : advance(comm);
}
