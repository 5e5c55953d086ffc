/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/wakeup.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"

/* What is not found again by who looks later: a queue still has what it has,
 * but of transfers nobody knows which one the loop has not looked at. */
#define COUNTED (TCPX_WAKE_XFER | TCPX_WAKE_ROOM)

struct wakeup {
	struct list link;
	int fd; /* the program's to sleep on: event_fd, or a set */
	int event_fd;
	int timer_fd; /* -1: workers drive */
	/* all->lock: */
	bool rung; /* event_fd is readable */
	bool timed; /* timer_fd is, or will be */
	uint32_t armed; /* for these kinds */
	uint64_t seen[WAKE_KINDS]; /* of all->news */
};

void wakeups_init(struct wakeups *all)
{
	*all = (struct wakeups){.set_fd = -1};
	pthread_mutex_init(&all->lock, NULL);
	list_init(&all->all);
}

/* ---- opening ---------------------------------------------------------- */

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void destroy(struct wakeup *wakeup)
{
	if (wakeup->fd != wakeup->event_fd)
		close_fd(wakeup->fd);
	close_fd(wakeup->event_fd);
	close_fd(wakeup->timer_fd);
	free(wakeup);
}

void wakeups_fini(struct wakeups *all)
{
	list_for_each_safe (node, &all->all)
		destroy(list_entry(node, struct wakeup, link));
	pthread_mutex_destroy(&all->lock);
}

static bool add(int set_fd, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return fd >= 0 && !epoll_ctl(set_fd, EPOLL_CTL_ADD, fd, &event);
}

/* What its loop sleeps on where that drives, too. */
static bool make_set(struct wakeup *wakeup, int driven_fd)
{
	wakeup->timer_fd =
		timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	wakeup->fd = epoll_create1(EPOLL_CLOEXEC);
	return wakeup->fd >= 0 && add(wakeup->fd, wakeup->event_fd) &&
	       add(wakeup->fd, wakeup->timer_fd) && add(wakeup->fd, driven_fd);
}

static struct wakeup *create(const struct wakeups *all, int *err)
{
	struct wakeup *wakeup = calloc(1, sizeof(*wakeup));

	*err = TCPX_ENOMEM;
	if (!wakeup)
		return NULL;
	list_init(&wakeup->link);
	wakeup->timer_fd = -1;
	wakeup->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	wakeup->fd = wakeup->event_fd;
	*err = TCPX_ENFILE;
	if (wakeup->event_fd >= 0 &&
	    (all->set_fd < 0 || make_set(wakeup, all->set_fd)))
		return wakeup;
	destroy(wakeup);
	return NULL;
}

int wakeup_open(struct wakeups *all, int *fd)
{
	int err;
	struct wakeup *wakeup = create(all, &err);

	if (!wakeup)
		return err;
	pthread_mutex_lock(&all->lock);
	/* What has happened before is news to it. */
	for (uint32_t i = 0; i < WAKE_KINDS; i++)
		wakeup->seen[i] = load_relaxed(&all->news[i]) - 1;
	list_add_tail(&all->all, &wakeup->link);
	pthread_mutex_unlock(&all->lock);
	store_relaxed(&all->in_use, 1);
	/* Pairs with what comes before wakeups_tell(): who ends a transfer
	 * and finds nothing in use is seen by who looks at it from here on. */
	atomic_thread_fence(memory_order_seq_cst);
	*fd = wakeup->fd;
	return 0;
}

struct wakeup *wakeup_find(struct wakeups *all, int fd)
{
	struct wakeup *found = NULL;

	pthread_mutex_lock(&all->lock);
	list_for_each (node, &all->all) {
		struct wakeup *wakeup = list_entry(node, struct wakeup, link);

		if (wakeup->fd == fd)
			found = wakeup;
	}
	pthread_mutex_unlock(&all->lock);
	return found;
}

/* ---- arming ----------------------------------------------------------- */

/* all->lock. */
static void publish(struct wakeups *all)
{
	uint32_t armed = 0;

	list_for_each (node, &all->all)
		armed |= list_entry(node, struct wakeup, link)->armed;
	/* Pairs with wakeups_count() and wakeups_drive(). */
	atomic_store(&all->armed, armed);
}

/* Empties what has made it readable. all->lock. */
static void hush(struct wakeup *wakeup)
{
	uint64_t n;

	if (wakeup->rung && read(wakeup->event_fd, &n, sizeof(n)) < 0)
		return; /* not there: somebody else has read it */
	wakeup->rung = false;
}

/* Whether there is news since it last looked. all->lock. */
static bool take_news(struct wakeups *all, struct wakeup *wakeup,
		      uint32_t wanted)
{
	bool any = false;

	for (uint32_t i = 0; i < WAKE_KINDS; i++) {
		if (!(wanted & COUNTED & 1u << i))
			continue;
		uint64_t news = atomic_load(&all->news[i]);

		any |= news != wakeup->seen[i];
		wakeup->seen[i] = news;
	}
	return any;
}

bool wakeup_arm(struct wakeups *all, struct wakeup *wakeup, uint32_t wanted)
{
	pthread_mutex_lock(&all->lock);
	hush(wakeup);
	wakeup->armed = wanted | (all->set_fd < 0 ? 0 : WAKE_DRIVE);
	publish(all);
	bool news = take_news(all, wakeup, wanted);

	if (news) {
		wakeup->armed = 0;
		publish(all);
	}
	pthread_mutex_unlock(&all->lock);
	return !news;
}

void wakeup_disarm(struct wakeups *all, struct wakeup *wakeup)
{
	pthread_mutex_lock(&all->lock);
	wakeup->armed = 0;
	publish(all);
	pthread_mutex_unlock(&all->lock);
}

void wakeup_after(struct wakeups *all, struct wakeup *wakeup, uint64_t nap_ns)
{
	bool on = nap_ns != UINT64_MAX;
	struct itimerspec spec = {0};

	if (on)
		spec.it_value =
			(struct timespec){.tv_sec = (time_t)(nap_ns / NS_PER_S),
					  .tv_nsec = (long)(nap_ns % NS_PER_S)};
	pthread_mutex_lock(&all->lock);
	/* Setting it also empties it. */
	if (on || wakeup->timed)
		timerfd_settime(wakeup->timer_fd, 0, &spec, NULL);
	wakeup->timed = on;
	pthread_mutex_unlock(&all->lock);
}

/* ---- telling ---------------------------------------------------------- */

void wakeups_ring(struct wakeups *all, uint32_t kinds)
{
	const uint64_t one = 1;

	pthread_mutex_lock(&all->lock);
	list_for_each (node, &all->all) {
		struct wakeup *wakeup = list_entry(node, struct wakeup, link);

		if (!(wakeup->armed & kinds))
			continue;
		wakeup->armed = 0;
		wakeup->rung = write(wakeup->event_fd, &one, sizeof(one)) > 0;
	}
	publish(all);
	pthread_mutex_unlock(&all->lock);
}

void wakeups_count(struct wakeups *all, uint32_t kind)
{
	atomic_fetch_add(&all->news[__builtin_ctz(kind)], 1);
	if (atomic_load(&all->armed) & kind)
		wakeups_ring(all, kind);
}
