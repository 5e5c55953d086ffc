/* SPDX-License-Identifier: Apache-2.0 */
#include "comm.h"

#include <stdlib.h>
#include <unistd.h>

#include "conf.h"
#include "memory.h"
#include "rules.h"

#define TICK_MS 10u

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct comm *) all;
static int n_comms; /* covered by list_lock */
static _Atomic uint64_t tick, tick_next_ns;

struct comm *comm_new(bool is_send, int dev, int device)
{
	struct comm *comm = calloc(1, sizeof(*comm));

	if (!comm)
		rules_exit("calloc failed");
	comm->is_send = is_send;
	comm->dev = dev;
	comm->device = device;
	comm->ctrl_fd = -1;
	comm->last_sock = -1;
	comm->dice.state = conf_get()->seed;
	pthread_mutex_init(&comm->lock, NULL);
	for (unsigned i = 0; i < N_TOKENS; i++)
		comm->tokens[i].comm = comm;
	for (int i = 0; i < MAX_SOCKS; i++) {
		comm->socks[i].fd = -1;
		comm->socks[i].index = i;
	}
	for (int i = 0; i < MAX_THREADS; i++)
		comm->helpers[i].wake_fd = -1;
	pthread_mutex_lock(&list_lock);
	comm->index = n_comms++;
	comm->next = atomic_load(&all);
	atomic_store(&all, comm);
	pthread_mutex_unlock(&list_lock);
	for (int i = 0; i < MAX_SOCKS; i++)
		comm->socks[i].dice.state = conf_get()->seed +
					    (uint64_t)comm->index * 64 +
					    (uint64_t)i;
	return comm;
}

void comm_make_staging(struct comm *comm)
{
	const struct double_memory *memory = memory_get();

	if (memory->direct ||
	    (!comm->is_send && pool_cpu(pool_get(comm->device))))
		return;
	for (int i = 0; i < comm->n_socks; i++) {
		comm->socks[i].staging = memory->alloc_mapped(
			comm->device, (size_t)conf_get()->chunk_bytes);
		if (!comm->socks[i].staging)
			rules_exit("calloc failed");
	}
}

struct comm *comm_first(void)
{
	return atomic_load(&all);
}

void comm_enter(struct comm *comm, const char *name)
{
	if (atomic_load(&comm->is_closed)) {
		rules_broken(24, "%s on a comm that is closed", name);
		rules_crash();
	}
	if (atomic_exchange(&comm->entered, true))
		rules_broken(24, "%s beside another call on the comm", name);
	rules_check_sigpipe(name);
}

void comm_leave(struct comm *comm)
{
	atomic_store(&comm->entered, false);
}

bool comm_is_data_room(struct comm *comm, struct sock *sock)
{
	bool room;

	pthread_mutex_lock(&comm->lock);
	room = sock->head - sock->tail < MAX_TASKS;
	pthread_mutex_unlock(&comm->lock);
	return room;
}

struct task *comm_new_task(struct sock *sock)
{
	struct task *task = &sock->tasks[sock->head % MAX_TASKS];
	struct netplugin_unpack_entry *fragments = task->fragments;
	uint32_t *pages = task->pages;

	*task = (struct task){.fragments = fragments, .pages = pages};
	return task;
}

void comm_push_task(struct comm *comm, struct sock *sock)
{
	struct helper *helper = &comm->helpers[sock->index % comm->n_threads];
	uint64_t one = 1;
	bool asleep;

	if (!helper->started && helper_start(comm))
		rules_exit("pthread_create failed");
	pthread_mutex_lock(&comm->lock);
	sock->head++;
	asleep = helper->asleep;
	helper->asleep = false;
	pthread_mutex_unlock(&comm->lock);
	if (asleep && write(helper->wake_fd, &one, sizeof(one)) < 0)
		rules_warn("helper cannot be woken");
}

static void free_sock(struct comm *comm, struct sock *sock)
{
	if (sock->fd >= 0)
		close(sock->fd);
	sock->fd = -1;
	for (unsigned t = sock->tail; t != sock->head; t++) {
		struct task *task = &sock->tasks[t % MAX_TASKS];

		if (comm->pool && task->pages)
			pool_give(comm->pool, task->pages, task->n_fragments);
	}
	for (unsigned t = 0; t < MAX_TASKS; t++) {
		free(sock->tasks[t].fragments);
		free(sock->tasks[t].pages);
	}
	if (sock->staging)
		memory_get()->free_mapped(comm->device, sock->staging,
					  (size_t)conf_get()->chunk_bytes);
}

static void free_ring(struct comm *comm)
{
	for (unsigned i = 0; i < MAX_REQUESTS; i++) {
		struct request *request = &comm->ring[i];

		if (comm->pool)
			rx_give_back(comm, request);
		free(request->entries);
		free(request->pages);
		free(request->page_socks);
	}
	if (comm->pool && comm->n_leaked) {
		pool_found(comm->pool, comm->n_leaked);
		pool_give(comm->pool, comm->leaked, comm->n_leaked);
	}
	free(comm->leaked);
}

void comm_shut(struct comm *comm)
{
	const struct double_memory *memory = memory_get();

	helper_stop(comm);
	for (int i = 0; i < comm->n_socks; i++) {
		free_sock(comm, &comm->socks[i]);
		if (!comm->is_send) /* the daemon removes the rule */
			rules_sleep_us(conf_get()->close_ms * 1000);
	}
	if (comm->ctrl_fd >= 0)
		close(comm->ctrl_fd);
	comm->ctrl_fd = -1;
	free_ring(comm);
	if (comm->meta)
		memory->free_mapped(comm->device, comm->meta,
				    sizeof(*comm->meta));
	if (comm->device_handle)
		memory->free(comm->device, comm->device_handle,
			     sizeof(*comm->device_handle));
	comm->meta = NULL;
	comm->device_handle = NULL;
}

void comm_touch(struct comm *comm)
{
	atomic_store(&comm->tested_tick, atomic_load(&tick));
}

static void check_starved(struct comm *comm, uint64_t now_tick)
{
	uint64_t then = atomic_load(&comm->tested_tick);

	if (!atomic_load(&comm->is_closed) && atomic_load(&comm->n_pending) &&
	    now_tick > then + (uint64_t)conf_get()->starve_ms / TICK_MS)
		rules_broken(11,
			     "comm %d has work and was not tested while "
			     "others were, for %llu ms",
			     comm->index,
			     (unsigned long long)(now_tick - then) * TICK_MS);
}

void comm_tick(uint64_t now_ns)
{
	uint64_t next = atomic_load(&tick_next_ns), now_tick;

	if (now_ns < next || !conf_get()->starve_ms ||
	    !atomic_compare_exchange_strong(&tick_next_ns, &next,
					    now_ns + TICK_MS * 1000000u))
		return;
	now_tick = atomic_fetch_add(&tick, 1) + 1;
	for (struct comm *comm = comm_first(); comm; comm = comm->next)
		check_starved(comm, now_tick);
}
