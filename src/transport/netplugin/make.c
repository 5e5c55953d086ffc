/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <tcpx/status.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "transport/netplugin/make.h"
#include "transport/netplugin/netplugin.h"

/*
 * How channels come about and end. All of it on the control thread.
 *
 * A plugin's connect or accept that has begun cannot be taken back: whoever
 * gives up goes on polling it in the background and closes the comm it gets,
 * or leaves it to the plugin when its time is over too.
 */

#define POLL_NS NS_PER_MS /* between calls of connect or accept */
#define GUEST_NS (2 * NS_PER_S) /* for the first message */
#define BYE_NS (2 * NS_PER_S) /* for the other side's */
#define DRAIN_NS (NS_PER_S / 10) /* for sends that are under way */
#define COUNT_NS (NS_PER_S / 2)
#define LOST_NS (30 * NS_PER_S) /* for a connect that nobody waits for */

static void fail(struct channel *c, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Of one that is being made; the first cause stays. */
static void fail(struct channel *c, int status, const char *fmt, ...)
{
	va_list args;

	if (load_relaxed(&c->state) != END_MAKING)
		return;
	va_start(args, fmt);
	vsnprintf(c->cause, sizeof(c->cause), fmt, args);
	va_end(args);
	c->status = status;
	log_warn(c->transport->log, "netplugin", "rail %s: %s", c->rail->ifname,
		 c->cause);
	c->limit_ns = clock_now_ns() + LOST_NS;
	store_release(&c->state, END_FAILED);
}

static int watch(struct transport *t, int fd, bool *ready)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.ptr = ready,
	};

	*ready = true;
	return epoll_ctl(t->epfd, EPOLL_CTL_ADD, fd, &event) ? TCPX_ENFILE : 0;
}

static void say(struct channel *c, enum side_type type, uint64_t number)
{
	struct side_message m = {.type = type, .number = number};

	if (type == SIDE_HELLO)
		memcpy(m.token, c->peer.token, sizeof(m.token));
	/* One that does not read is found to be gone. */
	if (c->side.fd >= 0 && side_send(&c->side, &m))
		side_close(&c->side);
}

/* ---- listeners --------------------------------------------------------- */

static void answer(struct listener *l, int status)
{
	struct transport *t = l->transport;

	pthread_mutex_lock(&t->lock);
	l->status = status;
	store_release(&l->state, status ? END_FAILED : END_READY);
	pthread_cond_broadcast(&t->answered);
	pthread_mutex_unlock(&t->lock);
}

static void begin_listening(struct listener *l)
{
	struct transport *t = l->transport;
	int err = side_listen(&l->rail->addr, &l->fd, &l->port);

	if (!err)
		err = watch(t, l->fd, &l->ready);
	if (!err)
		err = make_call_listen(l);
	answer(l, err);
}

/* The guest has shown the token: he becomes the receiver's other end. */
static void welcome(struct listener *l)
{
	struct transport *t = l->transport;
	struct channel *c = channel_create(t, l->rail, false);

	if (!c)
		return;
	c->listener = l;
	c->stage = STAGE_AWAIT_START;
	c->limit_ns = clock_now_ns() + t->options.connect_ms * NS_PER_MS;
	c->side = l->guest;
	epoll_ctl(t->epfd, EPOLL_CTL_DEL, c->side.fd, NULL);
	l->guest.fd = -1;
	close(l->fd);
	l->fd = -1;
	if (watch(t, c->side.fd, &c->ready))
		fail(c, TCPX_ENFILE, "out of file descriptors");
	say(c, SIDE_GO, 0);
	list_add_tail(&t->channels, &c->link);
	store_release(&l->receiver, c);
}

static void hear_guest(struct listener *l)
{
	struct side_message m;
	int rc = side_receive(&l->guest, &m);

	if (rc == 1 && m.type == SIDE_HELLO &&
	    !memcmp(m.token, l->token, sizeof(m.token)))
		welcome(l);
	if (l->guest.fd >= 0 && (rc || clock_now_ns() >= l->guest_limit_ns))
		side_close(&l->guest);
}

uint64_t make_listener(struct listener *l)
{
	struct transport *t = l->transport;

	if (load_relaxed(&l->state) == END_MAKING)
		begin_listening(l);
	if (l->fd < 0 || load_relaxed(&l->state) != END_READY)
		return UINT64_MAX;
	if (l->guest.fd < 0 && l->ready) {
		int fd = accept4(l->fd, NULL, NULL,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		l->ready = fd >= 0; /* there may be more behind this one */
		side_init(&l->guest, fd);
		l->guest_limit_ns = clock_now_ns() + GUEST_NS;
		if (fd >= 0 && watch(t, fd, &l->ready))
			side_close(&l->guest);
	}
	if (l->guest.fd < 0)
		return UINT64_MAX;
	hear_guest(l);
	if (l->fd >= 0 && l->guest.fd < 0 && l->ready)
		return 0; /* the next guest */
	return l->guest.fd >= 0 ? l->guest_limit_ns : UINT64_MAX;
}

bool make_end_listener(struct listener *l, bool force)
{
	struct channel *c = load_relaxed(&l->receiver);

	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	side_close(&l->guest);
	if (c && !l->taken) { /* nobody will ask for it any more */
		pthread_mutex_lock(&l->transport->lock);
		c->closed = true;
		pthread_mutex_unlock(&l->transport->lock);
	}
	/* Closed under the plugin's accept it would be used after free. */
	if (c && c->in_plugin && !force)
		return false;
	if (c)
		c->listener = NULL;
	if (c && c->in_plugin)
		l->left_behind = true;
	if (l->lcomm && !l->left_behind && !make_call_close_listen(l) && !force)
		return false;
	list_del(&l->link);
	free(l);
	return true;
}

/* ---- messages ---------------------------------------------------------- */

static void hear_bye(struct channel *c, uint32_t how, uint64_t sent)
{
	if (how == PEER_SAID_BYE)
		store_release(&c->peer_sent, sent);
	store_release(&c->peer_end, how);
	if (c->stage >= STAGE_OPEN)
		return;
	if (c->stage == STAGE_SIDE_CONNECT)
		fail(c, TCPX_EREFUSED, "the peer does not listen there");
	else
		fail(c, TCPX_ECLOSED, "the peer gave up while connecting");
}

static void hear(struct channel *c, const struct side_message *m)
{
	switch (m->type) {
	case SIDE_GO:
		if (c->stage == STAGE_SIDE_CONNECT)
			c->stage = STAGE_PLUGIN_CONNECT;
		break;
	case SIDE_STARTED:
		if (c->stage == STAGE_AWAIT_START)
			c->stage = STAGE_PLUGIN_ACCEPT;
		break;
	case SIDE_READY:
		c->peer_ready = true;
		break;
	case SIDE_COUNT:
		store_release(&c->peer_sent, m->number);
		break;
	case SIDE_BYE:
		hear_bye(c, PEER_SAID_BYE, m->number);
		break;
	default:
		hear_bye(c, PEER_BROKE_OFF, 0);
		side_close(&c->side);
	}
}

static void hear_all(struct channel *c)
{
	struct side_message m;
	int rc = 0;

	if (!c->ready || c->side.fd < 0)
		return;
	c->ready = false;
	side_flush(&c->side);
	while (c->side.fd >= 0 && (rc = side_receive(&c->side, &m)) == 1)
		hear(c, &m);
	if (rc >= 0 || c->side.fd < 0)
		return;
	side_close(&c->side);
	if (load_relaxed(&c->peer_end) == PEER_HERE)
		hear_bye(c, PEER_BROKE_OFF, 0);
}

/* ---- making ------------------------------------------------------------ */

/* TCP is there: who we are. */
static void run_side_connect(struct channel *c)
{
	int err;

	if (c->said_hello)
		return;
	if (c->side.fd < 0) {
		err = side_connect(&c->side, &c->peer.side);
		if (!err)
			err = watch(c->transport, c->side.fd, &c->ready);
	} else {
		err = side_connected(&c->side);
	}
	if (err < 0) {
		char text[ADDR_TEXT_MAX];

		addr_text(&c->peer.side, text);
		fail(c, err, "no connection to %s: %s", text,
		     tcpx_strerror(err));
	} else if (!err && side_connected(&c->side) == 0) {
		c->said_hello = true;
		say(c, SIDE_HELLO, 0);
	}
}

static void run_plugin_connect(struct channel *c)
{
	bool first = !c->in_plugin;
	int err = make_call_connect(c);

	/* Begun; with some plugins that is all there is to it. */
	if (first && err >= 0)
		say(c, SIDE_STARTED, 0);
	if (err < 0)
		fail(c, err, "%s", c->transport->why);
	else if (!err)
		c->stage = STAGE_AWAIT_READY;
}

static void open_end(struct channel *c)
{
	if (load_relaxed(&c->state) != END_MAKING)
		return;
	c->stage = STAGE_OPEN;
	c->told_ns = clock_now_ns();
	store_release(&c->state, END_READY);
}

static void run_plugin_accept(struct channel *c)
{
	int err = make_call_accept(c);

	if (err < 0) {
		fail(c, err, "%s", c->transport->why);
	} else if (!err) {
		say(c, SIDE_READY, 0);
		open_end(c);
	}
}

/* Tells the receiver how much it should have, so that it can see what the
 * plugin has lost. */
static uint64_t run_open(struct channel *c)
{
	uint64_t now = clock_now_ns(), sent = load_relaxed(&c->sent);

	if (!c->sends || c->side.fd < 0)
		return UINT64_MAX;
	if (sent != c->told_sent && now - c->told_ns >= COUNT_NS) {
		c->told_sent = sent;
		c->told_ns = now;
		say(c, SIDE_COUNT, sent);
	}
	return now + COUNT_NS;
}

static uint64_t run_making(struct channel *c)
{
	switch (c->stage) {
	case STAGE_SIDE_CONNECT:
		run_side_connect(c);
		break;
	case STAGE_PLUGIN_CONNECT:
		run_plugin_connect(c);
		break;
	case STAGE_PLUGIN_ACCEPT:
		run_plugin_accept(c);
		break;
	default:
		break;
	}
	if (c->stage == STAGE_AWAIT_READY && c->peer_ready)
		open_end(c);
	if (c->stage == STAGE_OPEN)
		return run_open(c); /* its counts, from the first on */
	if (c->stage == STAGE_PLUGIN_CONNECT || c->stage == STAGE_PLUGIN_ACCEPT)
		return clock_now_ns() + POLL_NS;
	return c->limit_ns;
}

/* Failed or unwanted, but the plugin is still at it. */
static uint64_t run_lost(struct channel *c)
{
	side_close(&c->side);
	if (!c->in_plugin)
		return UINT64_MAX;
	if (clock_now_ns() >= c->limit_ns) {
		c->in_plugin = false; /* its own from now on */
		c->leaked = true;
		return UINT64_MAX;
	}
	if (c->sends)
		(void)make_call_connect(c);
	else
		(void)make_call_accept(c);
	return clock_now_ns() + 10 * POLL_NS;
}

uint64_t make_channel(struct channel *c)
{
	hear_all(c);
	if (load_relaxed(&c->state) == END_FAILED)
		return run_lost(c);
	if (c->stage == STAGE_OPEN)
		return run_open(c);
	if (c->stage > STAGE_OPEN)
		return c->said_bye ? c->limit_ns : clock_now_ns() + POLL_NS;
	if (clock_now_ns() >= c->limit_ns) {
		fail(c, TCPX_EUNREACHABLE, "%s not connected within %u ms",
		     c->stage == STAGE_AWAIT_READY ? "the peer's end is" : "",
		     c->transport->options.connect_ms);
		return 0;
	}
	uint64_t at = run_making(c);

	return load_relaxed(&c->state) == END_FAILED ? 0 : at;
}

/* ---- ending ------------------------------------------------------------ */

/* What has arrived goes back to the pool; what is being sent gets a moment to
 * leave, because nothing that it uses may be closed before. */
static bool drained(struct channel *c)
{
	struct channel_event events[COMM_RING];
	struct comm *comm = &c->comm;

	if (!c->sends) {
		comm_drain(comm);
		return true;
	}
	comm_harvest(comm, events, COMM_RING);
	return comm->done == comm->posted || comm->status ||
	       clock_now_ns() >= c->limit_ns;
}

/* The goodbye: nobody closes a comm that the other still reads. */
static bool goodbye_over(struct channel *c)
{
	if (!c->said_bye) {
		if (!drained(c))
			return false;
		say(c, SIDE_BYE, c->comm.done);
		c->said_bye = true;
		c->limit_ns = clock_now_ns() + BYE_NS;
	}
	return c->side.fd < 0 || load_relaxed(&c->peer_end) != PEER_HERE ||
	       clock_now_ns() >= c->limit_ns;
}

bool make_end_channel(struct channel *c, bool force)
{
	if (c->stage == STAGE_OPEN) {
		c->stage = STAGE_BYE;
		c->limit_ns = clock_now_ns() + DRAIN_NS;
	}
	if (c->stage == STAGE_BYE && !goodbye_over(c) && !force)
		return false;
	if (c->stage < STAGE_OPEN)
		fail(c, TCPX_ECLOSED, "closed while connecting");
	if (c->in_plugin && !force)
		return false;
	side_close(&c->side);
	if (c->plugin_comm && !make_call_close(c) && !force)
		return false;
	if (c->listener) {
		c->listener->left_behind |= c->in_plugin || c->leaked;
		store_relaxed(&c->listener->receiver, NULL);
	}
	if (c->in_plugin || c->leaked || c->plugin_comm) {
		/* The plugin writes to handle and device handle yet. */
		log_warn(c->transport->log, "netplugin",
			 "a half-made connection is left to the plugin, which "
			 "does not end it");
		list_del(&c->link);
		channel_leave_behind(c);
		c->transport->n_leaked++;
		return true;
	}
	list_del(&c->link);
	channel_destroy(c);
	return true;
}
