/* SPDX-License-Identifier: Apache-2.0 */
#include "comm.h"

/*
 * The receiving side. What the sender says decides: its control messages name
 * the socket, the place and the total of every task, whatever was posted.
 * Payload lands in random pages of the GPU's pool, in fragments of random
 * length; the list of them is published when the request is done.
 */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "conf.h"
#include "fault.h"
#include "memory.h"
#include "rules.h"

#define OPEN_AT_ONCE 64u /* fragments of a task whose pages are taken */

static uint64_t n_published; /* receives of this process, for faults */

static void *must(void *ptr)
{
	if (!ptr)
		rules_exit("calloc failed");
	return ptr;
}

static bool open_fragment(struct comm *comm, struct sock *sock,
			  struct task *task)
{
	const struct conf *conf = conf_get();
	uint32_t left = task->len_bytes - task->assigned_bytes;
	uint32_t len = dice_range(&sock->dice, conf->frag_min_bytes,
				  conf->frag_max_bytes);
	uint32_t page, off;

	if (task->n_fragments >= MAX_FRAGMENTS)
		rules_exit("too many fragments in a task");
	if (!pool_take(comm->pool, &page))
		return false;
	len = len < left ? len : left;
	off = dice_range(&sock->dice, 0, POOL_PAGE_BYTES - len);
	task->pages[task->n_fragments] = page;
	task->fragments[task->n_fragments++] = (struct netplugin_unpack_entry){
		.src_off = page * POOL_PAGE_BYTES + off,
		.len_bytes = len,
		.dst_off = (uint64_t)task->off + task->assigned_bytes,
	};
	task->assigned_bytes += len;
	return true;
}

/* Into the pages themselves. */
static ssize_t recv_direct(struct comm *comm, struct sock *sock,
			   struct task *task)
{
	struct iovec iov[OPEN_AT_ONCE];
	struct msghdr msg = {.msg_iov = iov};
	uint32_t skip = task->open_bytes;

	for (uint32_t i = task->i_open;
	     i < task->n_fragments && msg.msg_iovlen < OPEN_AT_ONCE; i++) {
		const struct netplugin_unpack_entry *f = &task->fragments[i];

		iov[msg.msg_iovlen++] =
			(struct iovec){pool_cpu(comm->pool) + f->src_off + skip,
				       f->len_bytes - skip};
		skip = 0;
	}
	return recvmsg(sock->fd, &msg, MSG_DONTWAIT);
}

static void filled(struct task *task, uint32_t n_bytes)
{
	while (n_bytes > 0) {
		uint32_t left = task->fragments[task->i_open].len_bytes -
				task->open_bytes;
		uint32_t n = n_bytes < left ? n_bytes : left;

		task->open_bytes += n;
		n_bytes -= n;
		if (n == left) {
			task->i_open++;
			task->open_bytes = 0;
		}
	}
}

static enum step ended(ssize_t n)
{
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return STEP_WAIT_IO;
	if (n == 0)
		errno = ECONNRESET;
	return STEP_DEAD;
}

/* An acknowledgement at once: on loopback a delayed one is what a sender
 * waits for, and there is no other reason to, but to be as slow as that. */
static void acknowledge(struct sock *sock)
{
	const struct conf *conf = conf_get();
	int on = 1;

	if (conf->delayed_ack && !conf->force_ack)
		return;
	setsockopt(sock->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
}

static enum step step_direct(struct comm *comm, struct sock *sock,
			     struct task *task)
{
	ssize_t n;

	while (task->assigned_bytes < task->len_bytes &&
	       task->n_fragments - task->i_open < OPEN_AT_ONCE) {
		if (!open_fragment(comm, sock, task))
			break;
	}
	if (task->i_open == task->n_fragments)
		return STEP_WAIT_TIME; /* the pool is empty */
	n = recv_direct(comm, sock, task);
	if (n <= 0)
		return ended(n);
	acknowledge(sock);
	filled(task, (uint32_t)n);
	task->moved_bytes += (uint32_t)n;
	return STEP_MOVED;
}

static int place_by_copy(struct comm *comm, struct sock *sock,
			 struct task *task)
{
	int rc = 0;

	for (uint32_t i = 0; i < task->n_fragments && !rc; i++) {
		const struct netplugin_unpack_entry *f = &task->fragments[i];

		rc = memory_get()->copy(
			comm->device,
			(uint8_t *)pool_base(comm->pool) + f->src_off,
			sock->staging + (f->dst_off - task->off), f->len_bytes);
	}
	return rc;
}

static int place(struct comm *comm, struct sock *sock, struct task *task)
{
	const struct double_memory *memory = memory_get();
	uint32_t from[MAX_FRAGMENTS], to[MAX_FRAGMENTS], len[MAX_FRAGMENTS];

	if (conf_get()->place_nowhere)
		return 0;
	if (!memory->scatter)
		return place_by_copy(comm, sock, task);
	for (uint32_t i = 0; i < task->n_fragments; i++) {
		from[i] = (uint32_t)(task->fragments[i].dst_off - task->off);
		to[i] = task->fragments[i].src_off;
		len[i] = task->fragments[i].len_bytes;
	}
	return memory->scatter(comm->device, pool_base(comm->pool),
			       sock->staging, from, to, len, task->n_fragments);
}

/* All of the task into host memory, then its fragments onto the GPU. The last
 * byte counts as moved only with the last fragment. */
static enum step step_staged(struct comm *comm, struct sock *sock,
			     struct task *task)
{
	uint32_t left = task->len_bytes - task->open_bytes;
	ssize_t n;

	if (left > 0) {
		n = recv(sock->fd, sock->staging + task->open_bytes, left,
			 MSG_DONTWAIT);
		if (n <= 0)
			return ended(n);
		acknowledge(sock);
		task->open_bytes += (uint32_t)n;
		if (n < left) {
			task->moved_bytes += (uint32_t)n;
			return STEP_MOVED;
		}
	}
	while (task->assigned_bytes < task->len_bytes) {
		if (!open_fragment(comm, sock, task))
			return STEP_WAIT_TIME;
	}
	if (place(comm, sock, task))
		rules_exit("CUDA call failed");
	task->moved_bytes = task->len_bytes;
	return STEP_MOVED;
}

enum step rx_step(struct comm *comm, struct sock *sock, struct task *task)
{
	/* Bytes on a queue without pages come without their places. */
	if (comm->unsteered && task->moved_bytes == 0) {
		uint8_t byte;
		ssize_t n = recv(sock->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);

		if (n <= 0)
			return ended(n);
		rules_exit("rx no cmsg");
	}
	/* A plain receive of device pages is refused by the kernel. */
	if (task->request->mr->type == NETPLUGIN_PTR_HOST) {
		errno = EFAULT;
		return STEP_DEAD;
	}
	if (!task->fragments) {
		task->fragments =
			must(calloc(MAX_FRAGMENTS, sizeof(*task->fragments)));
		task->pages = must(calloc(MAX_FRAGMENTS, sizeof(*task->pages)));
	}
	return pool_cpu(comm->pool) ? step_direct(comm, sock, task) :
				      step_staged(comm, sock, task);
}

/* The pages that the request had from this socket are forgotten: they come
 * back when the comm closes, not before. */
static void leak(struct comm *comm, struct request *request, int sock)
{
	uint32_t kept = 0, n_lost = 0;

	comm->leaked =
		must(realloc(comm->leaked, (comm->n_leaked + request->n_pages +
					    1) * sizeof(*comm->leaked)));
	for (uint32_t i = 0; i < request->n_pages; i++) {
		if (request->page_socks[i] == sock) {
			comm->leaked[comm->n_leaked++] = request->pages[i];
			n_lost++;
			continue;
		}
		request->pages[kept] = request->pages[i];
		request->page_socks[kept++] = request->page_socks[i];
	}
	request->n_pages = kept;
	pool_lose(comm->pool, n_lost);
}

static void retire_task(struct comm *comm, struct sock *sock, struct task *task)
{
	struct request *request = task->request;

	if (request->n_entries + task->n_fragments > MAX_FRAGMENTS)
		rules_exit("too many fragments in a request");
	if (request->socks_used & 1u << sock->index)
		leak(comm, request, sock->index);
	request->socks_used |= 1u << sock->index;
	for (uint32_t i = 0; i < task->n_fragments; i++) {
		request->entries[request->n_entries++] = task->fragments[i];
		request->pages[request->n_pages] = task->pages[i];
		request->page_socks[request->n_pages++] = (uint8_t)sock->index;
	}
	request->done_bytes += task->len_bytes;
	task->n_fragments = 0; /* its pages are the request's now */
}

static void retire(struct comm *comm, struct sock *sock)
{
	unsigned moved;
	bool dead;

	pthread_mutex_lock(&comm->lock);
	moved = sock->moved;
	dead = sock->dead;
	pthread_mutex_unlock(&comm->lock);
	while (sock->tail != moved && !dead) {
		retire_task(comm, sock, &sock->tasks[sock->tail % MAX_TASKS]);
		pthread_mutex_lock(&comm->lock);
		sock->tail++;
		pthread_mutex_unlock(&comm->lock);
	}
}

static int admit(struct comm *comm)
{
	struct request *request = &comm->ring[comm->admitted % MAX_REQUESTS];
	uint32_t index = (uint32_t)comm->admitted;

	if (comm->active || comm->admitted == comm->posted)
		return 0;
	if (conf_get()->recv_sync &&
	    send(comm->ctrl_fd, &index, sizeof(index), 0) != sizeof(index))
		return NETPLUGIN_ESYSTEM;
	request->state = REQUEST_ACTIVE;
	comm->active = request;
	comm->admitted++;
	return 0;
}

/* Up to eight messages at once. An end of the stream is an error at once,
 * although what was read with it is kept for the next call. */
static int fill_inbox(struct comm *comm)
{
	unsigned left = comm->inbox_have - comm->inbox_used;

	memmove(comm->inbox, comm->inbox + comm->inbox_used, left);
	comm->inbox_have = left;
	comm->inbox_used = 0;
	while (comm->inbox_have < sizeof(comm->inbox)) {
		ssize_t n = recv(comm->ctrl_fd, comm->inbox + comm->inbox_have,
				 sizeof(comm->inbox) - comm->inbox_have,
				 MSG_DONTWAIT);

		if (n > 0)
			comm->inbox_have += (unsigned)n;
		else if (n < 0 && errno == EAGAIN)
			break;
		else if (n == 0 || errno != EINTR)
			return NETPLUGIN_ESYSTEM;
	}
	return 0;
}

static bool next_control(struct comm *comm, struct control *control)
{
	if (comm->inbox_have - comm->inbox_used < sizeof(*control))
		return false;
	memcpy(control, comm->inbox + comm->inbox_used, sizeof(*control));
	return true;
}

static void take_slot(struct comm *comm, struct request *request)
{
	unsigned slot = request->n % NETPLUGIN_UNPACK_SLOTS;

	if (!comm->has_queue) {
		rules_broken(6, "a receive on a comm whose accept got no "
				"device handle");
		rules_crash();
	}
	if (!request->entries) {
		request->entries =
			must(calloc(MAX_FRAGMENTS, sizeof(*request->entries)));
		request->pages =
			must(calloc(MAX_FRAGMENTS, sizeof(*request->pages)));
		request->page_socks = must(calloc(MAX_FRAGMENTS, 1));
	}
	request->has_slot = true;
	__atomic_store_n(&comm->meta->counts[slot], 0, __ATOMIC_RELEASE);
	if (conf_get()->strict)
		memset(comm->meta->entries[slot], 0xa5,
		       sizeof(comm->meta->entries[slot]));
}

/* The payload of an inline message, by plain receives, however long it takes:
 * if the sender could not send it, for ever. */
static void drain_inline(struct comm *comm, uint32_t len_bytes)
{
	uint8_t byte;

	while (len_bytes > 0) {
		if (comm->inbox_used < comm->inbox_have) {
			comm->inbox_used++;
			len_bytes--;
		} else if (recv(comm->ctrl_fd, &byte, 1, MSG_DONTWAIT) == 1) {
			len_bytes--;
		}
	}
}

/* Takes one message. False: its socket has no room for it. */
static bool take_control(struct comm *comm, const struct control *control)
{
	struct request *request = comm->active;
	struct sock *sock = &comm->socks[control->sock % MAX_SOCKS];
	struct task *task;

	if (!request->has_slot) {
		take_slot(comm, request);
		request->total_bytes = control->total_bytes;
	}
	if (control->type == CONTROL_INLINE) {
		comm->inbox_used += sizeof(*control);
		drain_inline(comm, control->len_bytes);
		request->tasked_bytes = request->total_bytes;
		request->done_bytes = request->total_bytes;
		return true;
	}
	if (control->sock >= comm->n_socks)
		rules_exit("control message names no socket");
	if (!comm_is_data_room(comm, sock)) {
		if (!comm->has_waited) /* once a message */
			rules_warn("No free space for recv task");
		comm->has_waited = true;
		return false;
	}
	comm->has_waited = false;
	comm->inbox_used += sizeof(*control);
	task = comm_new_task(sock);
	task->request = request;
	task->off = control->off;
	task->len_bytes = control->len_bytes;
	request->tasked_bytes += control->len_bytes;
	comm_push_task(comm, sock);
	return true;
}

static int advance(struct comm *comm)
{
	struct request *request = comm->active;
	struct control control;
	int rc;

	if (!request)
		return 0;
	for (;;) {
		if (request->has_slot &&
		    request->tasked_bytes == request->total_bytes)
			break;
		if (!next_control(comm, &control)) {
			rc = fill_inbox(comm);
			if (rc || !next_control(comm, &control))
				return rc;
		}
		if (!take_control(comm, &control))
			return 0;
	}
	request->state = REQUEST_TRANSMITTING;
	comm->active = NULL;
	return 0;
}

int rx_progress(struct comm *comm)
{
	int rc;

	/* A random one first: what several sockets brought has no order. */
	for (int i = 0; i < comm->n_socks; i++) {
		uint64_t at = comm->first_sock + (uint64_t)i;

		retire(comm, &comm->socks[at % (uint64_t)comm->n_socks]);
	}
	comm->first_sock = dice_next(&comm->dice) >> 1;
	rc = admit(comm);
	return rc ? rc : advance(comm);
}

/* Lists as a broken or hostile sender makes them. */
static uint64_t spoil(struct comm *comm, struct request *request,
		      struct netplugin_unpack_entry *entries)
{
	uint64_t nth = __atomic_add_fetch(&n_published, 1, __ATOMIC_RELAXED);
	uint64_t count = request->n_entries;
	int64_t extra;

	if (count && fault_receive("oversize", nth, &extra))
		entries[count - 1].dst_off = (uint64_t)request->posted_bytes +
					     4096 -
					     entries[count - 1].len_bytes;
	if (count && fault_receive("junk", nth, &extra))
		memset(entries, 0xee, count * sizeof(*entries));
	if (count && fault_receive("short", nth, &extra))
		count--;
	if (fault_receive("count", nth, &extra))
		count = (uint64_t)extra;
	return count;
}

void rx_publish(struct comm *comm, struct request *request)
{
	unsigned slot = request->n % NETPLUGIN_UNPACK_SLOTS;
	struct netplugin_unpack_entry *entries = comm->meta->entries[slot];
	uint64_t count;

	memcpy(entries, request->entries,
	       request->n_entries * sizeof(*entries));
	count = spoil(comm, request, entries);
	__atomic_store_n(&comm->meta->counts[slot], count, __ATOMIC_RELEASE);
	/* Also for a GPU that reads over the bus: the list, and pages that are
	 * host memory, which their thread has written before the request was
	 * done. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void rx_give_back(struct comm *comm, struct request *request)
{
	if (request->n_pages)
		pool_give(comm->pool, request->pages, request->n_pages);
	request->n_pages = 0;
	request->n_entries = 0;
}
