/* SPDX-License-Identifier: Apache-2.0 */
#include "core/peering.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int peering_create(struct tcpx_session *session, struct peering **out)
{
	struct peering *peering = calloc(1, sizeof(*peering));
	int err;

	if (!peering)
		return TCPX_ENOMEM;
	if (session->peers.n_used >= session->config->max_peers) {
		free(peering);
		return TCPX_EAGAIN;
	}
	err = idmap_add(&session->peers, peering, &peering->id);
	if (err) {
		free(peering);
		return err;
	}
	peering->session = session;
	peering->state = PEERING_CONNECTING;
	store_relaxed(&peering->status, TCPX_INPROGRESS);
	store_relaxed(&peering->refs, 2);
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
	peer_destroy(peering->peer);
	free(peering->flows);
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
		peering_get(peering);
	pthread_mutex_unlock(&session->lock);
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

struct peering **peering_all(struct tcpx_session *session, uint32_t *n)
{
	struct peering **all = NULL;
	uint32_t count = 0, i = 0;

	pthread_mutex_lock(&session->lock);
	list_for_each (node, &session->peerings)
		count++;
	if (count)
		all = malloc(count * sizeof(*all));
	if (all)
		list_for_each (node, &session->peerings)
			all[i++] = peering_get(
				list_entry(node, struct peering, link));
	pthread_mutex_unlock(&session->lock);
	*n = i;
	return all;
}

void peering_event(struct peering *peering, enum tcpx_event_kind kind,
		   int status, const char *cause)
{
	struct tcpx_event event = {.kind = kind,
				   .status = status,
				   .peer = peering->id,
				   .incoming = peering->incoming};

	if (peering->hidden || peering->state == PEERING_GONE)
		return;
	memcpy(event.name, peering->name, sizeof(event.name));
	snprintf(event.cause, sizeof(event.cause), "%s", cause);
	inbox_put_event(peering->session->inbox, &event);
}

void peering_end(struct peering *peering, int status, const char *cause)
{
	struct tcpx_session *session = peering->session;

	pthread_mutex_lock(&session->lock);
	bool was = peering->state != PEERING_GONE;
	struct peer *peer = peering->peer;

	peering->state = PEERING_GONE;
	if (was) {
		idmap_remove(&session->peers, peering->id);
		if (peering->token && peering->incoming)
			u64map_del(&session->tokens, peering->token);
	}
	pthread_mutex_unlock(&session->lock);
	store_release(&peering->status, status);
	if (!was)
		return;
	if (peer)
		peer_shutdown(peer, status, cause);
	/* Only now: until its lanes are closed, a deregistration must find
	 * it. */
	pthread_mutex_lock(&session->lock);
	list_del(&peering->link);
	pthread_mutex_unlock(&session->lock);
	peering_put(peering); /* the handle's */
}
