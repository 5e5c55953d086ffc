/* SPDX-License-Identifier: Apache-2.0 */
#include "base/forks.h"

#include <pthread.h>
#include <tcpx/status.h>

static struct list marks = {&marks, &marks};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of marks */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int watch_error;

/* Held over a fork(), so that the child does not inherit half a list. */
static void before(void)
{
	pthread_mutex_lock(&lock);
}

static void in_parent(void)
{
	pthread_mutex_unlock(&lock);
}

static void in_child(void)
{
	list_for_each_safe (node, &marks) {
		list_entry(node, struct fork_mark, link)->foreign = true;
		list_del(node);
	}
	pthread_mutex_unlock(&lock);
}

static void watch(void)
{
	watch_error = pthread_atfork(before, in_parent, in_child);
}

int fork_mark_add(struct fork_mark *mark)
{
	list_init(&mark->link);
	mark->foreign = false;
	pthread_once(&once, watch);
	if (watch_error)
		return TCPX_ENOMEM;
	pthread_mutex_lock(&lock);
	list_add_tail(&marks, &mark->link);
	pthread_mutex_unlock(&lock);
	return 0;
}

void fork_mark_remove(struct fork_mark *mark)
{
	if (!mark->link.next)
		return;
	pthread_mutex_lock(&lock);
	list_del(&mark->link);
	pthread_mutex_unlock(&lock);
}
