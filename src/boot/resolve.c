/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/resolve.h"

#include <netdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <tcpx/status.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/sigmask.h"

#define N_THREADS 4
#define STACK_BYTES (256u << 10)
#define CLOSE_WAIT_MS 300

enum query_state {
	QUERY_WAITS,
	QUERY_RUNS,
	QUERY_ANSWERED,
};

struct resolve_query {
	struct list node; /* resolver->queries while it waits */
	enum query_state state;
	bool dropped; /* nobody wants the answer: the thread frees */
	int error; /* of getaddrinfo() */
	uint32_t n_addrs;
	struct net_addr addrs[RESOLVE_ADDRS_MAX];
	char host[];
};

enum thread_state {
	THREAD_NONE,
	THREAD_RUNS,
	THREAD_ENDED, /* to be joined */
};

struct resolver {
	void (*ready)(void *arg);
	void *arg;
	pthread_mutex_t lock; /* all below; also held over ready(), so that
				   none comes after close */
	pthread_cond_t ended; /* a thread has */
	struct list queries;
	uint32_t n_running; /* threads */
	bool closed; /* no more queries, no more ready() */
	bool left_behind; /* the last thread frees */
	struct {
		pthread_t thread;
		enum thread_state state;
	} threads[N_THREADS];
};

static void resolver_free(struct resolver *resolver)
{
	pthread_cond_destroy(&resolver->ended);
	pthread_mutex_destroy(&resolver->lock);
	free(resolver);
}

static void take_answer(struct resolve_query *query,
			const struct addrinfo *list)
{
	for (; list && query->n_addrs < RESOLVE_ADDRS_MAX;
	     list = list->ai_next) {
		if (list->ai_addrlen > sizeof(struct net_addr) ||
		    (list->ai_family != AF_INET && list->ai_family != AF_INET6))
			continue;
		memset(&query->addrs[query->n_addrs], 0,
		       sizeof(struct net_addr));
		memcpy(&query->addrs[query->n_addrs++], list->ai_addr,
		       list->ai_addrlen);
	}
}

static void look_up(struct resolve_query *query)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;

	query->error = getaddrinfo(query->host, NULL, &hints, &list);
	if (query->error)
		return;
	take_answer(query, list);
	freeaddrinfo(list);
	if (query->n_addrs == 0)
		query->error = EAI_NONAME;
}

static struct resolve_query *next_query(struct resolver *resolver)
{
	struct resolve_query *query;

	if (resolver->closed || list_empty(&resolver->queries))
		return NULL;
	query = list_entry(resolver->queries.next, struct resolve_query, node);
	list_del(&query->node);
	query->state = QUERY_RUNS;
	return query;
}

static void *resolve_thread(void *arg)
{
	struct resolver *resolver = arg;
	struct resolve_query *query;
	bool last;

	pthread_mutex_lock(&resolver->lock);
	while ((query = next_query(resolver))) {
		pthread_mutex_unlock(&resolver->lock);
		look_up(query);
		pthread_mutex_lock(&resolver->lock);
		query->state = QUERY_ANSWERED;
		if (query->dropped)
			free(query);
		else if (!resolver->closed)
			resolver->ready(resolver->arg);
	}
	for (int i = 0; i < N_THREADS; i++) {
		if (resolver->threads[i].state == THREAD_RUNS &&
		    pthread_equal(resolver->threads[i].thread, pthread_self()))
			resolver->threads[i].state = THREAD_ENDED;
	}
	last = --resolver->n_running == 0 && resolver->left_behind;
	pthread_cond_signal(&resolver->ended);
	pthread_mutex_unlock(&resolver->lock);
	if (last)
		resolver_free(resolver);
	return NULL;
}

static int create_thread(struct resolver *resolver, pthread_t *thread)
{
	pthread_attr_t attr;
	int err;

	if (pthread_attr_init(&attr))
		return TCPX_ENOMEM;
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	err = sigmask_start_thread(thread, &attr, resolve_thread, resolver);
	pthread_attr_destroy(&attr);
	return err ? TCPX_EAGAIN : 0;
}

/* With the lock held. */
static int start_thread(struct resolver *resolver)
{
	int err;

	for (int i = 0; i < N_THREADS; i++) {
		if (resolver->threads[i].state == THREAD_RUNS)
			continue;
		if (resolver->threads[i].state == THREAD_ENDED)
			pthread_join(resolver->threads[i].thread, NULL);
		resolver->threads[i].state = THREAD_NONE;
		err = create_thread(resolver, &resolver->threads[i].thread);
		if (err)
			return resolver->n_running > 0 ? 0 : err;
		resolver->threads[i].state = THREAD_RUNS;
		resolver->n_running++;
		return 0;
	}
	return 0; /* all at work: one of them will take it */
}

int resolver_create(void (*ready)(void *arg), void *arg,
		    struct resolver **resolver)
{
	struct resolver *r = calloc(1, sizeof(*r));
	pthread_condattr_t attr;

	if (!r)
		return TCPX_ENOMEM;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->ended, &attr);
	pthread_condattr_destroy(&attr);
	r->ready = ready;
	r->arg = arg;
	pthread_mutex_init(&r->lock, NULL);
	list_init(&r->queries);
	*resolver = r;
	return 0;
}

/* With the lock held. */
static void wait_for_threads(struct resolver *resolver)
{
	uint64_t until_ns = clock_deadline_ns(CLOSE_WAIT_MS);
	struct timespec until = {
		.tv_sec = (time_t)(until_ns / NS_PER_S),
		.tv_nsec = (long)(until_ns % NS_PER_S),
	};

	while (resolver->n_running > 0 &&
	       pthread_cond_timedwait(&resolver->ended, &resolver->lock,
				      &until) == 0)
		;
}

/* With the lock held, which threads that have ENDED do not need any more. */
static void part_with_threads(struct resolver *resolver)
{
	for (int i = 0; i < N_THREADS; i++) {
		if (resolver->threads[i].state == THREAD_ENDED)
			pthread_join(resolver->threads[i].thread, NULL);
		else if (resolver->threads[i].state == THREAD_RUNS)
			pthread_detach(resolver->threads[i].thread);
	}
}

void resolver_close(struct resolver *resolver)
{
	bool last;

	if (!resolver)
		return;
	pthread_mutex_lock(&resolver->lock);
	resolver->closed = true;
	list_for_each_safe (node, &resolver->queries)
		free(list_entry(node, struct resolve_query, node));
	list_init(&resolver->queries);
	wait_for_threads(resolver);
	part_with_threads(resolver);
	last = resolver->n_running == 0;
	resolver->left_behind = !last;
	pthread_mutex_unlock(&resolver->lock);
	if (last)
		resolver_free(resolver);
}

int resolve_start(struct resolver *resolver, const char *host,
		  struct resolve_query **query)
{
	size_t host_bytes = strlen(host) + 1;
	struct resolve_query *q = calloc(1, sizeof(*q) + host_bytes);
	int err;

	if (!q)
		return TCPX_ENOMEM;
	memcpy(q->host, host, host_bytes);
	pthread_mutex_lock(&resolver->lock);
	err = start_thread(resolver);
	if (err == 0)
		list_add_tail(&resolver->queries, &q->node);
	pthread_mutex_unlock(&resolver->lock);
	if (err) {
		free(q);
		return err;
	}
	*query = q;
	return 0;
}

int resolve_test(struct resolver *resolver, struct resolve_query *query,
		 struct net_addr addrs[RESOLVE_ADDRS_MAX], uint32_t *n_addrs,
		 const char **why)
{
	bool answered;

	pthread_mutex_lock(&resolver->lock);
	answered = query->state == QUERY_ANSWERED;
	pthread_mutex_unlock(&resolver->lock);
	if (!answered)
		return TCPX_INPROGRESS;
	if (query->error) {
		*why = gai_strerror(query->error);
		return query->error == EAI_AGAIN ||
				       query->error == EAI_SYSTEM ||
				       query->error == EAI_MEMORY ?
			       TCPX_EAGAIN :
			       TCPX_EUNREACHABLE;
	}
	memcpy(addrs, query->addrs, sizeof(query->addrs));
	*n_addrs = query->n_addrs;
	return 0;
}

void resolve_drop(struct resolver *resolver, struct resolve_query *query)
{
	bool ours;

	if (!query)
		return;
	pthread_mutex_lock(&resolver->lock);
	ours = query->state != QUERY_RUNS;
	if (query->state == QUERY_WAITS)
		list_del(&query->node);
	query->dropped = true;
	pthread_mutex_unlock(&resolver->lock);
	if (ours)
		free(query);
}
