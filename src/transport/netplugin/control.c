/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <tcpx/status.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sigmask.h"
#include "transport/netplugin/netplugin.h"

/* How long a closing transport waits for its last goodbyes, and then for the
 * thread itself. */
#define GOODBYES_NS (3 * NS_PER_S)
#define STOP_NS (5 * NS_PER_S)
#define LISTEN_NS (2 * NS_PER_S)

static void wake(struct transport *t)
{
	uint64_t one = 1;

	if (write(t->wake_fd, &one, sizeof(one)) < 0)
		return; /* full: it is awake */
}

/* ---- from the owners --------------------------------------------------- */

static void hand_over(struct transport *t, struct list *inbox,
		      struct list *node)
{
	pthread_mutex_lock(&t->lock);
	if (list_empty(node))
		list_add_tail(inbox, node);
	pthread_mutex_unlock(&t->lock);
	wake(t);
}

void netplugin_add_channel(struct transport *t, struct channel *channel)
{
	hand_over(t, &t->inbox_channels, &channel->inbox);
}

void netplugin_add_listener(struct transport *t, struct listener *listener)
{
	hand_over(t, &t->inbox_listeners, &listener->inbox);
}

void netplugin_close_channel(struct channel *channel)
{
	struct transport *t = channel->transport;

	pthread_mutex_lock(&t->lock);
	channel->closed = true;
	pthread_mutex_unlock(&t->lock);
	wake(t);
}

/* A receiver that nobody has taken goes with its listener. */
void netplugin_close_listener(struct listener *listener)
{
	struct transport *t = listener->transport;

	pthread_mutex_lock(&t->lock);
	listener->closed = true;
	pthread_mutex_unlock(&t->lock);
	wake(t);
}

int netplugin_await_listener(struct listener *listener)
{
	struct transport *t = listener->transport;
	uint64_t limit_ns = clock_now_ns() + LISTEN_NS;
	struct timespec until = {.tv_sec = (time_t)(limit_ns / NS_PER_S),
				 .tv_nsec = (long)(limit_ns % NS_PER_S)};
	uint32_t state;

	pthread_mutex_lock(&t->lock);
	while ((state = load_acquire(&listener->state)) == END_MAKING &&
	       !pthread_cond_clockwait(&t->answered, &t->lock, CLOCK_MONOTONIC,
				       &until))
		;
	pthread_mutex_unlock(&t->lock);
	if (state == END_READY)
		return TCPX_OK;
	return state == END_FAILED ? listener->status : TCPX_ECHANNEL;
}

/* ---- the thread -------------------------------------------------------- */

/* What has come in; whether to stop. */
static bool take_inbox(struct transport *t)
{
	bool stop;

	pthread_mutex_lock(&t->lock);
	while (!list_empty(&t->inbox_listeners)) {
		struct listener *l = list_entry(t->inbox_listeners.next,
						struct listener, inbox);

		list_del(&l->inbox);
		list_add_tail(&t->listeners, &l->link);
	}
	while (!list_empty(&t->inbox_channels)) {
		struct channel *c = list_entry(t->inbox_channels.next,
					       struct channel, inbox);

		list_del(&c->inbox);
		list_add_tail(&t->channels, &c->link);
	}
	stop = t->stop;
	pthread_mutex_unlock(&t->lock);
	return stop;
}

static bool is_closed(struct transport *t, const bool *closed)
{
	bool is;

	pthread_mutex_lock(&t->lock);
	is = *closed;
	pthread_mutex_unlock(&t->lock);
	return is;
}

/* From here on until the next one: a call of the plugin may not return. */
static void begin(struct transport *t)
{
	store_relaxed(&t->busy_since_ns, clock_now_ns());
}

/* Does what can be done; returns when to come again at the latest. */
static uint64_t run_all(struct transport *t, bool force)
{
	uint64_t again = UINT64_MAX, at;

	list_for_each_safe (node, &t->listeners) {
		struct listener *l = list_entry(node, struct listener, link);

		begin(t);
		at = make_listener(l);
		if (at < again)
			again = at;
	}
	list_for_each_safe (node, &t->channels) {
		struct channel *c = list_entry(node, struct channel, link);

		begin(t);
		at = make_channel(c);
		if (at < again)
			again = at;
		if (is_closed(t, &c->closed))
			make_end_channel(c, force);
	}
	/* Their channels first: a listener outlives a half-made one. */
	list_for_each_safe (node, &t->listeners) {
		struct listener *l = list_entry(node, struct listener, link);

		begin(t);
		if (is_closed(t, &l->closed))
			make_end_listener(l, force);
	}
	store_relaxed(&t->busy_since_ns, 0);
	return again;
}

static void sleep_until(struct transport *t, uint64_t until_ns)
{
	struct epoll_event events[64];
	int timeout_ms = clock_left_ms(until_ns);
	int n = epoll_wait(t->epfd, events, 64, timeout_ms);
	uint64_t count;

	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr)
			*(bool *)events[i].data.ptr = true;
		else if (read(t->wake_fd, &count, sizeof(count)) < 0)
			continue;
	}
}

static bool is_idle(const struct transport *t)
{
	return list_empty(&t->channels) && list_empty(&t->listeners);
}

/* Signals are blocked: so they are in the threads that a plugin starts. */
static void *run(void *arg)
{
	struct transport *t = arg;
	uint64_t limit_ns = UINT64_MAX;

	for (;;) {
		bool stop = take_inbox(t);
		uint64_t now = clock_now_ns();

		if (stop && limit_ns == UINT64_MAX)
			limit_ns = now + GOODBYES_NS;
		uint64_t again = run_all(t, now >= limit_ns);

		if (stop && (is_idle(t) || now >= limit_ns))
			break;
		sleep_until(t, again < limit_ns ? again : limit_ns);
	}
	pthread_mutex_lock(&t->lock);
	t->stopped = true;
	pthread_cond_broadcast(&t->answered);
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

int netplugin_start(struct transport *t)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

	list_init(&t->channels);
	list_init(&t->listeners);
	list_init(&t->inbox_channels);
	list_init(&t->inbox_listeners);
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->answered, NULL);
	t->epfd = epoll_create1(EPOLL_CLOEXEC);
	t->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->epfd < 0 || t->wake_fd < 0 ||
	    epoll_ctl(t->epfd, EPOLL_CTL_ADD, t->wake_fd, &event))
		goto err_fds;
	if (!sigmask_start_thread(&t->thread, NULL, run, t))
		return TCPX_OK;
err_fds:
	if (t->epfd >= 0)
		close(t->epfd);
	if (t->wake_fd >= 0)
		close(t->wake_fd);
	return TCPX_ENFILE;
}

bool netplugin_stop(struct transport *t)
{
	uint64_t limit_ns = clock_now_ns() + STOP_NS;
	struct timespec until = {.tv_sec = (time_t)(limit_ns / NS_PER_S),
				 .tv_nsec = (long)(limit_ns % NS_PER_S)};

	pthread_mutex_lock(&t->lock);
	t->stop = true;
	wake(t);
	while (!t->stopped && !pthread_cond_clockwait(&t->answered, &t->lock,
						      CLOCK_MONOTONIC, &until))
		;
	bool stopped = t->stopped;
	pthread_mutex_unlock(&t->lock);
	if (!stopped) {
		pthread_detach(t->thread);
		return false;
	}
	pthread_join(t->thread, NULL);
	close(t->epfd);
	close(t->wake_fd);
	pthread_cond_destroy(&t->answered);
	pthread_mutex_destroy(&t->lock);
	return true;
}
