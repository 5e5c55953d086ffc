/* SPDX-License-Identifier: Apache-2.0 */

/* The calls on peers: connect, wait, disconnect, find. */

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "core/peering.h"

/* ---- connecting ------------------------------------------------------- */

/* A peering this connect can share. session->lock held. */
static struct peering *shared(struct tcpx_session *session,
			      const struct conn_blob *blob, const char *address)
{
	if (blob)
		return peering_with(session, blob->session);
	list_for_each (node, &session->peerings) {
		struct peering *peering =
			list_entry(node, struct peering, link);

		if (peering->address &&
		    peering_real(peering)->state < PEERING_LOST &&
		    !strcmp(peering->address, address))
			return peering;
	}
	return NULL;
}

static int start(struct peering *peering, const struct conn_blob *blob,
		 const char *address)
{
	struct tcpx_session *session = peering->session;

	peering->give_up_ns = clock_now_ns() +
			      session->config->connect_timeout_ms * NS_PER_MS;
	if (blob) {
		peering->blob = malloc(sizeof(*blob));
		if (!peering->blob)
			return TCPX_ENOMEM;
		*peering->blob = *blob;
		peering->known = true;
		memcpy(peering->session_id, blob->session, SESSION_ID_BYTES);
		memcpy(peering->name, blob->name, sizeof(peering->name));
		peering->self =
			!memcmp(session->id, blob->session, SESSION_ID_BYTES);
	} else {
		peering->address = strdup(address);
		if (!peering->address)
			return TCPX_ENOMEM;
	}
	return connect_dial(peering);
}

static int connect_to(struct tcpx_session *session,
		      const struct conn_blob *blob, const char *address,
		      uint64_t *id)
{
	struct peering *drop = NULL;
	const char *full = NULL;
	int err = 0;

	pthread_mutex_lock(&session->lock);
	struct peering *peering = shared(session, blob, address);

	if (peering) {
		peering_real(peering)->n_connects++;
	} else {
		err = peering_create(session, &peering);
		if (!err) {
			peering->n_connects = 1;
			drop = peering_get(peering);
			err = start(peering, blob, address);
		} else if (err == TCPX_EAGAIN) {
			full = peering_no_room(session);
		}
	}
	if (!err)
		*id = peering->id;
	pthread_mutex_unlock(&session->lock);
	if (full)
		log_warn(&session->log, "connect", "cannot connect to %s: %s",
			 blob ? blob->name : address, full);
	if (drop) {
		if (err)
			peering_end(drop, err, "could not be started");
		peering_put(drop); /* what create gave */
		peering_put(drop);
	}
	return err;
}

int tcpx_peer_connect(struct tcpx_session *session, const void *blob,
		      size_t len_bytes, uint64_t *peer)
{
	struct conn_blob decoded;

	if (!session_is_ours(session) || !blob || !peer)
		return session_null(session, __func__);
	int err = conn_blob_decode(blob, len_bytes, &decoded);

	if (err)
		log_error(&session->log, "connect",
			  "this is not a connection blob: %s",
			  tcpx_strerror(err));
	else
		err = connect_to(session, &decoded, NULL, peer);
	explicit_bzero(&decoded, sizeof(decoded));
	return err;
}

int tcpx_peer_connect_address(struct tcpx_session *session, const char *address,
			      uint64_t *peer)
{
	char host[256];
	uint16_t port;

	if (!session_is_ours(session) || !address || !peer)
		return session_null(session, __func__);
	if (addr_split(address, host, sizeof(host), &port)) {
		log_error(&session->log, "connect", "\"%s\" %s", address,
			  addr_port_is_bad(address) ?
				  "has a port that is not 1 to 65535" :
				  "is not host:port (IPv6: [address]:port)");
		return TCPX_EINVAL;
	}
	if (!session->config->secret) {
		log_error(&session->log, "connect",
			  "connecting by address needs a shared secret "
			  "(TCPX_SECRET)");
		return TCPX_EAUTH;
	}
	return connect_to(session, NULL, address, peer);
}

/* ---- waiting ---------------------------------------------------------- */

static bool settled(void *arg)
{
	struct peering *peering = peering_real(arg);

	return load_acquire(&peering->status) != TCPX_INPROGRESS;
}

int tcpx_peer_wait(struct tcpx_session *session, uint64_t peer, int timeout_ms)
{
	struct peering *peering =
		session_is_ours(session) ? peering_of(session, peer) : NULL;

	if (!peering)
		return session_no_such(session, "peer", peer);
	int err = engine_drive(session->engine, settled, peering,
			       clock_deadline_ns(timeout_ms));

	if (!err)
		err = load_acquire(&peering_real(peering)->status);
	peering_put(peering);
	return err;
}

int tcpx_peer_disconnect(struct tcpx_session *session, uint64_t peer)
{
	struct peering *peering =
		session_is_ours(session) ? peering_of(session, peer) : NULL;

	if (!peering)
		return session_no_such(session, "peer", peer);
	pthread_mutex_lock(&session->lock);
	bool last = peering->n_connects <= 1 || peering->state >= PEERING_LOST;

	if (!last)
		peering->n_connects--;
	pthread_mutex_unlock(&session->lock);
	if (last) {
		peering_end(peering, TCPX_ECANCELED,
			    "disconnected by the program");
		/* After it nothing comes any more. */
		if (peering->self || load_relaxed(&peering->unread_bytes))
			waiting_drop_notes(session, peering->handle);
	}
	peering_put(peering);
	return 0;
}

int tcpx_peer_find(struct tcpx_session *session, const char *name,
		   uint64_t *peer)
{
	struct peering *found = NULL;

	if (!session_is_ours(session) || !name || !peer)
		return session_null(session, __func__);
	pthread_mutex_lock(&session->lock);
	/* The list is in order of creation; one that lives beats a lost one. */
	list_for_each (node, &session->peerings) {
		struct peering *peering =
			list_entry(node, struct peering, link);

		if (peering->hidden || peering->state == PEERING_GONE ||
		    strcmp(peering->name, name))
			continue;
		if (!found || peering->state <= found->state ||
		    found->state >= PEERING_LOST)
			found = peering;
	}
	if (found)
		*peer = found->id;
	pthread_mutex_unlock(&session->lock);
	return found ? 0 : TCPX_ENOENT;
}
