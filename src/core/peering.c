/* SPDX-License-Identifier: Apache-2.0 */
#include "core/peering.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/flows.h"

/* What lost peers have left unread, in windows of one peer: with more of it
 * nobody new comes, for each that comes has a whole window again. */
#define LOST_UNREAD_WINDOWS 4

const char *peering_no_room(const struct tcpx_session *session)
{
	const struct tcpx_config *config = session->config;
	uint64_t unread_bytes = 0;

	if (session->peers.n_used >= config->max_peers)
		return "too many peers";
	list_for_each (node, &session->peerings) {
		struct peering *one = list_entry(node, struct peering, link);

		if (one->state >= PEERING_LOST)
			unread_bytes += load_relaxed(&one->unread_bytes);
	}
	return unread_bytes / LOST_UNREAD_WINDOWS > config->notify_queue_bytes ?
		       "too many notifications of lost peers are unread" :
		       NULL;
}

int peering_create(struct tcpx_session *session, struct peering **out)
{
	struct peering *peering = calloc(1, sizeof(*peering));
	int err;

	if (!peering)
		return TCPX_ENOMEM;
	if (peering_no_room(session)) {
		free(peering);
		return TCPX_EAGAIN;
	}
	err = idmap_add(&session->peers, peering, &peering->handle);
	if (err) {
		free(peering);
		return err;
	}
	store_relaxed(&peering->id, peering->handle);
	peering->told = true;
	peering->session = session;
	peering->state = PEERING_CONNECTING;
	store_relaxed(&peering->status, TCPX_INPROGRESS);
	store_relaxed(&peering->refs, 2);
	peering->serial = ++session->n_peerings_ever;
	list_init(&peering->link);
	list_add_tail(&session->peerings, &peering->link);
	*out = peering;
	return 0;
}

struct peering *peering_get(struct peering *peering)
{
	add_relaxed(&peering->refs, 1);
	return peering;
}

void peering_put(struct peering *peering)
{
	if (!peering || add_acq_rel(&peering->refs, -1u) != 1)
		return;
	peering_put(load_relaxed(&peering->alias));
	peer_destroy(peering->peer);
	flows_free(peering);
	free(peering->address);
	if (peering->blob)
		explicit_bzero(peering->blob, sizeof(*peering->blob));
	free(peering->blob);
	free(peering);
}

struct peering *peering_of(struct tcpx_session *session, uint64_t id)
{
	pthread_mutex_lock(&session->lock);
	struct peering *peering = idmap_get(&session->peers, id);

	if (peering)
		peering = peering_get(peering_real(peering));
	pthread_mutex_unlock(&session->lock);
	return peering;
}

struct peering *peering_real(struct peering *peering)
{
	struct peering *next;

	while ((next = load_acquire(&peering->alias))) /* peering_become() */
		peering = next;
	return peering;
}

struct peering *peering_with(struct tcpx_session *session,
			     const uint8_t session_id[SESSION_ID_BYTES])
{
	list_for_each (node, &session->peerings) {
		struct peering *peering =
			list_entry(node, struct peering, link);

		if (peering->known && !peering->hidden &&
		    peering->state < PEERING_LOST &&
		    !memcmp(peering->session_id, session_id, SESSION_ID_BYTES))
			return peering;
	}
	return NULL;
}

int peering_passive_end(struct peering **inout)
{
	struct tcpx_session *session = (*inout)->session;
	struct peering *passive = NULL;

	pthread_mutex_lock(&session->lock);
	list_for_each (node, &session->peerings) {
		struct peering *peering =
			list_entry(node, struct peering, link);

		if (peering->hidden && peering->state == PEERING_UP)
			passive = peering;
	}
	if (passive)
		peering_get(passive);
	pthread_mutex_unlock(&session->lock);
	peering_put(*inout);
	*inout = passive;
	return passive ? 0 : TCPX_EAGAIN;
}

struct peering **peering_all_locked(struct tcpx_session *session, uint32_t *n)
{
	struct peering **all = NULL;
	uint32_t count = 0, i = 0;

	list_for_each (node, &session->peerings)
		count++;
	if (count)
		all = malloc(count * sizeof(*all));
	if (all)
		list_for_each (node, &session->peerings)
			all[i++] = peering_get(
				list_entry(node, struct peering, link));
	*n = i;
	return all;
}

struct peering **peering_all(struct tcpx_session *session, uint32_t *n)
{
	pthread_mutex_lock(&session->lock);
	struct peering **all = peering_all_locked(session, n);

	pthread_mutex_unlock(&session->lock);
	return all;
}

/* Up to cap of those created after *serial, referenced. */
static uint32_t take_some(struct tcpx_session *session, uint64_t *serial,
			  struct peering **some, uint32_t cap)
{
	uint32_t n = 0;

	pthread_mutex_lock(&session->lock);
	list_for_each (node, &session->peerings) {
		struct peering *one = list_entry(node, struct peering, link);

		if (one->serial <= *serial)
			continue;
		if (n == cap)
			break;
		some[n++] = peering_get(one);
	}
	if (n)
		*serial = some[n - 1]->serial;
	pthread_mutex_unlock(&session->lock);
	return n;
}

void peering_each(struct tcpx_session *session,
		  void (*fn)(struct peering *peering, void *arg), void *arg)
{
	struct peering *few[64];
	uint64_t serial = 0;
	uint32_t n;
	struct peering **all = peering_all(session, &n);
	struct peering **some = all ? all : few;

	if (!all)
		n = take_some(session, &serial, few, 64);
	while (n) {
		for (uint32_t i = 0; i < n; i++) {
			fn(some[i], arg);
			peering_put(some[i]);
		}
		n = all ? 0 : take_some(session, &serial, few, 64);
	}
	free(all);
}

static void put_event(struct peering *peering, uint64_t id,
		      enum tcpx_event_kind kind, int status, const char *cause)
{
	struct tcpx_event event = {.kind = kind,
				   .status = status,
				   .peer = id,
				   .incoming = peering->incoming};

	if (peering->hidden || peering->state == PEERING_GONE)
		return;
	memcpy(event.name, peering->name, sizeof(event.name));
	snprintf(event.cause, sizeof(event.cause), "%s", cause);
	inbox_put_event(peering->session->inbox, &event);
	engine_tell(peering->session->engine, TCPX_WAKE_EVENT);
}

void peering_event(struct peering *peering, enum tcpx_event_kind kind,
		   int status, const char *cause)
{
	put_event(peering, load_relaxed(&peering->id), kind, status, cause);
}

void peering_event_all(struct peering *peering, enum tcpx_event_kind kind,
		       int status, const char *cause)
{
	list_for_each (node, &peering->session->peerings) {
		struct peering *one = list_entry(node, struct peering, link);

		if (one->told && peering_real(one) == peering)
			put_event(peering, one->handle, kind, status, cause);
	}
}

void peering_become(struct peering *peering, struct peering *target)
{
	struct inbox *inbox = peering->session->inbox;
	uint64_t old = load_relaxed(&target->id);
	bool news = false;

	/* The program asked for this handle, and has not asked for the other
	 * one: so it is the one it is told from now on, and, if it has not
	 * seen the other one yet, the only one it ever sees. */
	if (!target->n_connects) {
		store_relaxed(&target->id, peering->handle);
		news = inbox_rename_peer(inbox, old, peering->handle);
		target->told = !news;
	}
	if (!news && target->state == PEERING_UP)
		put_event(target, peering->handle, TCPX_EVENT_PEER_CONNECTED, 0,
			  "");
	target->n_connects += peering->n_connects;
	peering->known = false;
	peering->state = PEERING_GONE;
	/* Last: from here on its handle and its waiters see the other one. */
	store_release(&peering->alias, peering_get(target));
}

/* Takes its handles away, and those of its aliases, which go to `aliases`.
 * session->lock. */
static void take_handles(struct peering *peering, struct list *aliases)
{
	struct tcpx_session *session = peering->session;

	idmap_remove(&session->peers, peering->handle);
	list_for_each_safe (node, &session->peerings) {
		struct peering *one = list_entry(node, struct peering, link);

		if (one == peering || peering_real(one) != peering)
			continue;
		idmap_remove(&session->peers, one->handle);
		list_move_tail(aliases, &one->link);
	}
}

static void put_aliases(struct list *aliases)
{
	while (!list_empty(aliases)) {
		struct peering *one =
			list_entry(aliases->next, struct peering, link);

		list_del(&one->link);
		peering_put(one); /* its handle's */
	}
}

void peering_end(struct peering *peering, int status, const char *cause)
{
	struct list aliases;

	list_init(&aliases);
	struct tcpx_session *session = peering->session;

	pthread_mutex_lock(&session->lock);
	bool was = peering->state != PEERING_GONE;
	struct peer *peer = peering->peer;
	struct peer_totals did = {0};

	peering->state = PEERING_GONE;
	if (was) {
		take_handles(peering, &aliases);
		if (peering->token && peering->incoming)
			u64map_del(&session->tokens, peering->token);
	}
	pthread_mutex_unlock(&session->lock);
	store_release(&peering->status, status);
	engine_announce(session->engine); /* others in tcpx_peer_wait() */
	if (!was)
		return;
	if (peer)
		peer_shutdown(peer, status, cause);
	/* What it has done is final by now. */
	bool counts = peer && !peering->hidden;

	if (counts)
		stats_of_peer(peer, &did);
	/* Only now: until its lanes are closed, a deregistration must find
	 * it. At once with that: a snapshot has it here or there. */
	pthread_mutex_lock(&session->lock);
	list_del(&peering->link);
	session->n_gone += counts;
	peer_totals_add(&session->gone, &did);
	pthread_mutex_unlock(&session->lock);
	put_aliases(&aliases);
	peering_put(peering); /* the handle's */
}
