/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "transport/loop/meet.h"

/* The one piece of global state here: two sessions of a process share nothing
 * else. The lock covers the list and the fields of all listeners. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list listeners = {&listeners, &listeners};

int meet_listen(struct transport *transport, const char *mode,
		struct listener **listener, void *addr, size_t *addr_bytes)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (!l)
		return TCPX_ENOMEM;
	if (getrandom(l->addr, sizeof(l->addr), 0) != sizeof(l->addr)) {
		free(l);
		return TCPX_EINTERNAL;
	}
	l->transport = transport;
	l->mode = mode;
	pthread_mutex_lock(&lock);
	list_add_tail(&listeners, &l->node);
	pthread_mutex_unlock(&lock);
	memcpy(addr, l->addr, sizeof(l->addr));
	*addr_bytes = sizeof(l->addr);
	*listener = l;
	return TCPX_OK;
}

static struct listener *find(const char *mode, const void *addr)
{
	list_for_each (node, &listeners) {
		struct listener *l = list_entry(node, struct listener, node);

		if (memcmp(l->addr, addr, sizeof(l->addr)) == 0 &&
		    strcmp(l->mode, mode) == 0 && !l->is_used)
			return l;
	}
	return NULL;
}

int meet_connect(const char *mode, const void *addr, size_t addr_bytes,
		 struct link *link)
{
	int status = TCPX_EREFUSED;

	if (addr_bytes != MEET_ADDR_BYTES)
		return status;
	pthread_mutex_lock(&lock);
	struct listener *l = find(mode, addr);
	if (l) {
		l->link = link;
		l->is_used = true;
		status = TCPX_OK;
	}
	pthread_mutex_unlock(&lock);
	return status;
}

struct link *meet_accept(struct listener *listener, bool take)
{
	pthread_mutex_lock(&lock);
	struct link *link = listener->link;
	if (take)
		listener->link = NULL;
	pthread_mutex_unlock(&lock);
	return link;
}

struct link *meet_close(struct listener *listener)
{
	struct link *link;

	pthread_mutex_lock(&lock);
	list_del(&listener->node);
	link = listener->link;
	pthread_mutex_unlock(&lock);
	free(listener);
	return link;
}
