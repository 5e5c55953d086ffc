/* SPDX-License-Identifier: Apache-2.0 */
#include "comm.h"

/*
 * The threads that move payload. A helper serves its sockets by turns, one
 * step each; with nothing to move it sleeps until a task comes, a socket can
 * move, or a little time has passed. An error ends it without a word to the
 * driver: the comm then stands still.
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf.h"
#include "fault.h"
#include "rules.h"

#define PAUSE_NS 100000 /* for a page, or for the rate */

/* The task that a socket's helper works on, or NULL. */
static struct task *current_task(struct comm *comm, struct sock *sock)
{
	struct task *task = NULL;

	pthread_mutex_lock(&comm->lock);
	if (sock->moved != sock->head && !sock->dead)
		task = &sock->tasks[sock->moved % MAX_TASKS];
	pthread_mutex_unlock(&comm->lock);
	return task;
}

static void finish_task(struct comm *comm, struct sock *sock)
{
	pthread_mutex_lock(&comm->lock);
	sock->moved++;
	pthread_mutex_unlock(&comm->lock);
}

/* After so many bytes of the comm, as if the wire were cut. */
static bool is_cut(struct comm *comm, uint32_t moved_bytes)
{
	int64_t limit;
	bool cut;

	pthread_mutex_lock(&comm->lock);
	comm->n_moved_bytes += moved_bytes;
	cut = fault_wanted("data_dies", comm->index, &limit) && limit >= 0 &&
	      comm->n_moved_bytes >= (uint64_t)limit;
	pthread_mutex_unlock(&comm->lock);
	return cut;
}

static enum step step(struct comm *comm, struct sock *sock)
{
	struct task *task = current_task(comm, sock);
	uint32_t before;
	enum step result;

	if (!task)
		return STEP_WAIT_IO;
	if (task->len_bytes == 0) {
		finish_task(comm, sock);
		return STEP_MOVED;
	}
	before = task->moved_bytes;
	result = comm->is_send ? tx_step(comm, sock, task) :
				 rx_step(comm, sock, task);
	if (result == STEP_MOVED) {
		fault_bytes(task->moved_bytes - before);
		if (is_cut(comm, task->moved_bytes - before)) {
			errno = ECONNRESET;
			return STEP_DEAD;
		}
	}
	if (result != STEP_DEAD && task->moved_bytes == task->len_bytes) {
		finish_task(comm, sock);
		result = STEP_MOVED;
	}
	return result;
}

/* What a pass over the helper's sockets came to. */
struct pass {
	bool moved, wants_time, died;
	int n_fds;
	struct pollfd fds[MAX_SOCKS + 1];
};

static void pass_over(struct helper *helper, struct pass *pass)
{
	struct comm *comm = helper->comm;

	*pass = (struct pass){.n_fds = 1};
	pass->fds[0] = (struct pollfd){helper->wake_fd, POLLIN, 0};
	for (int i = helper->first; i < comm->n_socks; i += comm->n_threads) {
		struct sock *sock = &comm->socks[i];
		enum step result = step(comm, sock);

		pass->moved |= result == STEP_MOVED;
		pass->wants_time |= result == STEP_WAIT_TIME;
		pass->died |= result == STEP_DEAD;
		if (result == STEP_WAIT_IO && current_task(comm, sock))
			pass->fds[pass->n_fds++] = (struct pollfd){
				sock->fd, comm->is_send ? POLLOUT : POLLIN, 0};
	}
}

static bool has_task(struct helper *helper, int n_known)
{
	struct comm *comm = helper->comm;
	int n = 0;

	for (int i = helper->first; i < comm->n_socks; i += comm->n_threads)
		n += comm->socks[i].moved != comm->socks[i].head;
	return n > n_known;
}

static void sleep_on(struct helper *helper, struct pass *pass)
{
	struct timespec pause = {0, PAUSE_NS};
	uint64_t n_wakes;
	bool asleep;

	pthread_mutex_lock(&helper->comm->lock);
	/* A task of a socket that is not polled would not wake us. */
	asleep = !helper->comm->stop &&
		 (pass->wants_time || !has_task(helper, pass->n_fds - 1));
	helper->asleep = asleep;
	pthread_mutex_unlock(&helper->comm->lock);
	if (!asleep)
		return;
	ppoll(pass->fds, (nfds_t)pass->n_fds, pass->wants_time ? &pause : NULL,
	      NULL);
	pthread_mutex_lock(&helper->comm->lock);
	helper->asleep = false;
	pthread_mutex_unlock(&helper->comm->lock);
	if (pass->fds[0].revents &&
	    read(helper->wake_fd, &n_wakes, sizeof(n_wakes)) < 0)
		rules_warn("helper cannot be woken");
}

/* One warning; then nothing, at both ends, for ever. */
static void die(struct helper *helper)
{
	struct comm *comm = helper->comm;

	rules_warn("comm %d: data socket failed: %s", comm->index,
		   strerror(errno));
	pthread_mutex_lock(&comm->lock);
	for (int i = helper->first; i < comm->n_socks; i += comm->n_threads) {
		comm->socks[i].dead = true;
		shutdown(comm->socks[i].fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&comm->lock);
}

static bool is_stopped(struct comm *comm)
{
	bool stop;

	pthread_mutex_lock(&comm->lock);
	stop = comm->stop;
	pthread_mutex_unlock(&comm->lock);
	return stop;
}

static void *run(void *arg)
{
	struct helper *helper = arg;
	struct pass pass;

	rules_info("comm %d: helper %d runs", helper->comm->index,
		   helper->first);
	while (!is_stopped(helper->comm)) {
		pass_over(helper, &pass);
		if (pass.died) {
			die(helper);
			break;
		}
		if (!pass.moved)
			sleep_on(helper, &pass);
	}
	return NULL;
}

/* The plugin takes a thread's number modulo the ranges that it knows. */
static void check_ranges(void)
{
	const struct conf *conf = conf_get();

	if (!conf->no_ranges || conf->has_bindings)
		return;
	rules_broken(2, "no range of CPUs near the NIC, and no bindings");
	rules_die(SIGFPE);
}

int helper_start(struct comm *comm)
{
	check_ranges();
	for (int i = 0; i < comm->n_threads; i++) {
		struct helper *helper = &comm->helpers[i];

		helper->comm = comm;
		helper->first = i;
		helper->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (helper->wake_fd < 0 ||
		    pthread_create(&helper->thread, NULL, run, helper))
			return NETPLUGIN_ESYSTEM;
		helper->started = true;
	}
	return 0;
}

void helper_stop(struct comm *comm)
{
	uint64_t one = 1;

	pthread_mutex_lock(&comm->lock);
	comm->stop = true;
	pthread_mutex_unlock(&comm->lock);
	for (int i = 0; i < comm->n_threads; i++) {
		struct helper *helper = &comm->helpers[i];

		if (!helper->started)
			continue;
		if (write(helper->wake_fd, &one, sizeof(one)) < 0)
			rules_warn("helper cannot be woken");
		pthread_join(helper->thread, NULL);
		helper->started = false;
	}
	for (int i = 0; i < comm->n_threads; i++) {
		if (comm->helpers[i].wake_fd >= 0)
			close(comm->helpers[i].wake_fd);
		comm->helpers[i].wake_fd = -1;
	}
}
