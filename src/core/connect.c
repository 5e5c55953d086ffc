/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Control connections, made by us or by them, and the states of a peering.
 * Flows are flows.c's. All of this runs in the control thread, but for
 * connect_dial(), which also runs in the caller of tcpx_peer_connect().
 */

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/flows.h"
#include "core/peering.h"
#include "core/rails.h"
#include "engine/resume.h"

#define CROSSING_RETRY_NS (50 * NS_PER_MS)

/* A boot_connect() under way; its address is the cookie. */
struct dialing {
	struct list link; /* session->dialings */
	struct peering *peering; /* one reference */
	enum hello_purpose purpose;
	uint32_t rail, flow, generation;
	bool met;
};

int connect_target(struct peering *peering, struct boot_target *target,
		   uint32_t timeout_ms)
{
	struct tcpx_session *session = peering->session;
	struct dialing *dialing = malloc(sizeof(*dialing));

	if (!dialing)
		return TCPX_ENOMEM;
	target->key = peering->blob ? HELLO_KEY_BLOB : HELLO_KEY_SHARED;
	if (peering->blob)
		memcpy(target->secret, peering->blob->secret, SECRET_BYTES);
	*dialing = (struct dialing){.peering = peering_get(peering),
				    .purpose = target->purpose,
				    .rail = target->rail,
				    .flow = target->flow,
				    .generation = target->generation};
	list_init(&dialing->link);
	list_add_tail(&session->dialings, &dialing->link);
	int err = boot_connect(
		session->boot, target, (uint64_t)(uintptr_t)dialing,
		timeout_ms ? timeout_ms : session->config->connect_timeout_ms);

	if (err) {
		/* The caller holds a reference too: never the last one. */
		add_relaxed(&peering->refs, -1u);
		list_del(&dialing->link);
		free(dialing);
	}
	return err;
}

void connect_forget_dialings(struct tcpx_session *session)
{
	while (!list_empty(&session->dialings)) {
		struct dialing *dialing = list_entry(session->dialings.next,
						     struct dialing, link);

		list_del(&dialing->link);
		peering_put(dialing->peering);
		free(dialing);
	}
}

int connect_dial(struct peering *peering)
{
	struct boot_target target = {.purpose = HELLO_CONTROL};

	if (peering->blob) {
		target.addr = peering->blob->ctrl;
		memcpy(target.session, peering->blob->session,
		       SESSION_ID_BYTES);
		if (peering->self)
			rails_own_addr(peering->session, 0, &target.addr);
	} else {
		target.host = peering->address;
	}
	return connect_target(peering, &target, 0);
}

/* ---- states ----------------------------------------------------------- */

/* session->lock held; the engine's peer, if any, is ended by the caller. */
void connect_lost(struct peering *peering, int status, const char *cause)
{
	if (peering->state >= PEERING_LOST)
		return;
	peering->state = PEERING_LOST;
	snprintf(peering->cause, sizeof(peering->cause), "%s", cause);
	store_release(&peering->status, status);
	if (peering->token && peering->incoming)
		u64map_del(&peering->session->tokens, peering->token);
	peering_event_all(peering, TCPX_EVENT_PEER_LOST, status, cause);
	engine_announce(peering->session->engine);
}

void connect_lost_said(struct peering *peering, int status, const char *cause)
{
	log_warn(&peering->session->later.log, "connect", "peer %s: %s",
		 peering->name, cause);
	connect_lost(peering, status, cause);
}

void connect_up(struct peering *peering)
{
	peering->state = PEERING_UP;
	store_release(&peering->status, 0);
	peering_event_all(peering, TCPX_EVENT_PEER_CONNECTED, 0, "");
	engine_announce(peering->session->engine);
}

/* What a finished CONTROL handshake tells. */
static void learn(struct peering *peering, const struct boot_result *result)
{
	peering->known = true;
	memcpy(peering->session_id, result->session, SESSION_ID_BYTES);
	memcpy(peering->name, result->name, sizeof(peering->name));
	memcpy(peering->transports, result->transports,
	       sizeof(peering->transports));
	peering->limits = result->limits;
	peering->token = result->token;
	peering->ctl_addr = result->remote;
	peering->n_their_rails = result->n_rails;
	memcpy(peering->rails, result->rails,
	       result->n_rails * sizeof(*result->rails));
}

/* Flows to ourselves go where the control connection may go. */
static void own_rails(struct peering *peering)
{
	for (uint32_t i = 0; i < peering->n_their_rails; i++)
		rails_own_addr(peering->session, i, &peering->rails[i].addr);
}

static int make_peer(struct peering *peering, int fd)
{
	struct peer_params params = {
		.engine = peering->session->engine,
		.user = peering,
		.name = peering->name,
		.fd = fd,
		.limits = peering->limits,
		.opener = !peering->incoming,
	};
	int err = flows_plan(peering);

	if (err) {
		close(fd);
		return err;
	}
	return peer_create(&params, &peering->peer);
}

/* ---- outgoing --------------------------------------------------------- */

static void lost_at_once(struct peering *peering, int err)
{
	char cause[MSG_TEXT_MAX] = "the peer could not be set up";

	if (err == TCPX_EUNSUPPORTED)
		snprintf(cause, sizeof(cause),
			 "no transport in common: here %.60s, there %.60s",
			 peering->session->transports, peering->transports);
	connect_lost_said(peering, err, cause);
}

static void control_connected(struct peering *peering,
			      const struct boot_result *result)
{
	struct tcpx_session *session = peering->session;
	struct peer *end = NULL;
	int err = 0;

	pthread_mutex_lock(&session->lock);
	if (peering->state != PEERING_CONNECTING) {
		/* Given up, or completed by the other side's connection. */
		pthread_mutex_unlock(&session->lock);
		close(result->fd);
		return;
	}
	learn(peering, result);
	peering->self = !memcmp(result->session, session->id, SESSION_ID_BYTES);
	if (peering->self) {
		own_rails(peering);
		store_release(&session->self_peer, peering->handle);
	}
	err = make_peer(peering, result->fd);
	if (!err && (!peering->n_their_rails || !peering->limits.n_flows))
		err = TCPX_EPROTO;
	if (!err)
		err = flows_open(peering);
	if (err) {
		end = peering->peer;
		lost_at_once(peering, err);
	}
	pthread_mutex_unlock(&session->lock);
	if (end)
		peer_shutdown(end, err, "set-up failed over there");
}

/*
 * They have proved who they are, and we have not yet. What they connect first
 * goes: from here on ours_wins() decides about what they connect later, so
 * never both connections are taken, whatever each side knew when it started.
 */
static int on_met(void *arg, uint64_t cookie, const struct boot_result *result)
{
	struct tcpx_session *session = arg;
	struct dialing *dialing = (struct dialing *)(uintptr_t)cookie;
	struct peering *peering = dialing->peering;

	pthread_mutex_lock(&session->lock);
	if (dialing->purpose == HELLO_RESUME) {
		int err = redial_met(peering);

		dialing->met = !err;
		pthread_mutex_unlock(&session->lock);
		return err;
	}
	peering->met = peering->state == PEERING_CONNECTING;
	if (peering->met && peering->address) {
		peering->known = false;
		memcpy(peering->session_id, result->session, SESSION_ID_BYTES);
		peering->met = !peering_with(session, result->session);
		peering->known = peering->met;
	}
	bool go_on = peering->met;

	pthread_mutex_unlock(&session->lock);
	return go_on ? 0 : TCPX_EBUSY;
}

/* The other peering with the session that refused this one, or that this one
 * did not go on with. */
static struct peering *rival_of(struct peering *peering)
{
	bool known = peering->known;

	peering->known = false;
	struct peering *rival =
		peering_with(peering->session, peering->session_id);

	peering->known = known;
	return rival;
}

/* A cause that begins with the address we were given says it itself. */
static void complain(const struct peering *peering, const char *cause)
{
	const char *who = peering->address ? peering->address :
			  peering->blob	   ? peering->blob->name :
					     "";
	bool said = !*who || !strncmp(cause, who, strlen(who));

	log_warn(&peering->session->log, "connect", "peer %s%s%s",
		 said ? "" : who, said ? "" : ": ", cause);
}

static void control_failed(struct peering *peering, int status,
			   const char *cause)
{
	struct tcpx_session *session = peering->session;
	struct peering *rival = NULL;
	bool lost = false;

	pthread_mutex_lock(&session->lock);
	uint64_t now = clock_now_ns();

	if (peering->state != PEERING_CONNECTING) {
		pthread_mutex_unlock(&session->lock);
		return;
	}
	if (status == TCPX_EBUSY)
		rival = rival_of(peering);
	if (rival) {
		peering_become(peering, rival);
	} else if (status == TCPX_EBUSY && now < peering->give_up_ns) {
		/* They are connecting to us, or have not noticed yet that an
		 * older connection is gone. */
		peering->retry_ns = now + CROSSING_RETRY_NS;
	} else {
		/* What is no such object over there, or has no room, is a
		 * refusal here: this peering will not be tried again. */
		if (status == TCPX_EBUSY || status == TCPX_ENOENT ||
		    status == TCPX_EAGAIN)
			status = TCPX_EREFUSED;
		connect_lost(peering, status, cause);
		lost = true;
	}
	pthread_mutex_unlock(&session->lock);
	/* What it was to be connected by stays as it is. */
	if (lost)
		complain(peering, cause);
}

static void on_connected(void *arg, uint64_t cookie, int status,
			 const char *cause, const struct boot_result *result)
{
	struct tcpx_session *session = arg;
	struct dialing *dialing = (struct dialing *)(uintptr_t)cookie;
	struct peering *peering = dialing->peering;

	pthread_mutex_lock(&session->lock);
	list_del(&dialing->link);
	pthread_mutex_unlock(&session->lock);
	if (dialing->purpose == HELLO_FLOW)
		flows_dialed(peering, dialing->rail, dialing->flow, status,
			     cause, result);
	else if (dialing->purpose == HELLO_RESUME)
		redial_dialed(peering, dialing->generation, dialing->met,
			      status, cause, result);
	else if (!status)
		control_connected(peering, result);
	else
		control_failed(peering, status, cause);
	free(dialing);
	peering_put(peering);
	engine_announce(session->engine);
}

/* ---- incoming --------------------------------------------------------- */

/* Does our own connection to them go before theirs? */
static bool ours_wins(const struct tcpx_session *session,
		      const uint8_t theirs[SESSION_ID_BYTES])
{
	return memcmp(session->id, theirs, SESSION_ID_BYTES) < 0;
}

static int admit_control(struct tcpx_session *session,
			 const struct boot_result *result, uint64_t *token,
			 char *why, size_t cap)
{
	struct peering *peering = peering_with(session, result->session);
	bool self = !memcmp(session->id, result->session, SESSION_ID_BYTES);
	const char *full = peering_no_room(session);

	if (peering && !self &&
	    (peering->state != PEERING_CONNECTING ||
	     (peering->met && ours_wins(session, result->session)))) {
		/* Who connects anew has given up the last one; if its control
		 * connection is lost, nobody will resume it. */
		if (peering->incoming && peering->peer)
			resume_give_up(peering->peer, "it connects anew");
		snprintf(why, cap, "already connected with this session");
		return TCPX_EBUSY;
	}
	if (full) {
		snprintf(why, cap, "%s", full);
		return TCPX_EAGAIN;
	}
	randombytes_buf(token, sizeof(*token));
	*token |= 1; /* never 0 */
	return 0;
}

static int on_admit(void *arg, const struct boot_result *result,
		    uint64_t *token, char *why, size_t cap)
{
	struct tcpx_session *session = arg;
	int err = 0;

	pthread_mutex_lock(&session->lock);
	if (result->purpose == HELLO_CONTROL) {
		err = admit_control(session, result, token, why, cap);
	} else if (result->purpose == HELLO_RESUME) {
		err = redial_admit(session, result, why, cap);
	} else {
		struct peering *peering =
			u64map_get(&session->tokens, result->token);

		if (!peering || memcmp(peering->session_id, result->session,
				       SESSION_ID_BYTES)) {
			snprintf(why, cap, "no such peer (any more)");
			err = TCPX_ENOENT;
		}
	}
	pthread_mutex_unlock(&session->lock);
	/* The other refusals are how two that connect at once sort it out. */
	if (err == TCPX_EAGAIN)
		log_warn(&session->log, "connect", "refused peer %s: %s",
			 result->name, why);
	return err;
}

/* session->lock held. The peering that an incoming connection completes, or
 * a new one. */
static int incoming_peering(struct tcpx_session *session,
			    const struct boot_result *result,
			    struct peering **out)
{
	struct peering *peering = peering_with(session, result->session);
	bool self = !memcmp(session->id, result->session, SESSION_ID_BYTES);

	if (peering && !self) {
		*out = peering_get(peering);
		return peering->state == PEERING_CONNECTING ? 0 : TCPX_EBUSY;
	}
	int err = peering_create(session, &peering);

	if (err)
		return err;
	peering->self = peering->hidden = self;
	*out = peering;
	return 0;
}

static void accepted_control(struct tcpx_session *session,
			     const struct boot_result *result)
{
	struct peering *peering = NULL;
	struct peer *end = NULL;

	pthread_mutex_lock(&session->lock);
	int err = incoming_peering(session, result, &peering);

	if (err) {
		close(result->fd);
	} else {
		peering->incoming = true;
		learn(peering, result);
		err = make_peer(peering, result->fd);
		if (!err)
			err = u64map_put(&session->tokens, peering->token,
					 peering);
		if (!err)
			err = flows_open(peering);
		if (err) {
			end = peering->peer;
			connect_lost_said(peering, err,
					  "no memory for the peer");
		} else {
			connect_up(peering);
		}
	}
	pthread_mutex_unlock(&session->lock);
	if (end)
		peer_shutdown(end, err, "no memory over there");
	peering_put(peering);
}

static void accepted_flow(struct tcpx_session *session,
			  const struct boot_result *result)
{
	pthread_mutex_lock(&session->lock);
	struct peering *peering = u64map_get(&session->tokens, result->token);

	if (peering && peering->state == PEERING_UP)
		/* A failure closes the fd, and so tells the other side. */
		(void)peer_adopt(peering->peer, result->rail, result->flow,
				 result->generation, result->fd);
	else
		close(result->fd);
	pthread_mutex_unlock(&session->lock);
}

static void on_accepted(void *arg, const struct boot_result *result)
{
	struct tcpx_session *session = arg;

	if (result->purpose == HELLO_CONTROL)
		accepted_control(session, result);
	else if (result->purpose == HELLO_RESUME)
		redial_accepted(session, result);
	else
		accepted_flow(session, result);
	engine_announce(session->engine);
}

static void on_dropped(void *arg, const struct boot_result *result)
{
	/* admit() leaves nothing behind that would have to go. */
	(void)arg;
	(void)result;
}

const struct boot_ops connect_boot_ops = {
	.met = on_met,
	.admit = on_admit,
	.accepted = on_accepted,
	.dropped = on_dropped,
	.connected = on_connected,
};

/* ---- from the engine -------------------------------------------------- */

void connect_peer_lost(void *arg, struct peer *peer, int status,
		       const char *cause)
{
	struct tcpx_session *session = arg;
	struct peering *peering = peer->user;

	pthread_mutex_lock(&session->lock);
	bool news = peering->state < PEERING_LOST && !peering->hidden;

	if (news && status != TCPX_ECLOSED)
		log_warn(&session->later.log, "peer", "lost peer %s: %s",
			 peering->name, cause);
	connect_lost(peering, status, cause);
	flows_free(peering);
	pthread_mutex_unlock(&session->lock);
	engine_announce(session->engine);
}

/* ---- now and then ----------------------------------------------------- */

void connect_tick(struct peering *peering, uint64_t now_ns)
{
	struct tcpx_session *session = peering->session;
	bool give_up = false;

	pthread_mutex_lock(&session->lock);
	/* No program has a handle to give up; what is unread is still its. */
	bool over = peering->hidden && peering->state == PEERING_LOST &&
		    !load_relaxed(&peering->unread_bytes);

	if (peering->peer && peering->state < PEERING_LOST)
		give_up = flows_tick(peering, now_ns);
	if (peering->state == PEERING_CONNECTING && peering->retry_ns &&
	    now_ns >= peering->retry_ns) {
		peering->retry_ns = 0;
		int err = connect_dial(peering);

		if (err)
			connect_lost(peering, err, tcpx_strerror(err));
	}
	pthread_mutex_unlock(&session->lock);
	if (give_up)
		peer_shutdown(peering->peer, TCPX_EUNREACHABLE,
			      "no flow could be opened");
	if (over)
		peering_end(peering, TCPX_ECLOSED, "it is over");
}
