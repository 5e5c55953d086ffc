/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A thread that enters neither plugin nor driver, so that nothing holds it up:
 * whatever the others are in, the process ends soon after its session, which
 * hears of a control call that does not return. (It sees for itself whether
 * the loop goes round: shared.h, beats.)
 */

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <tcpx/status.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sigmask.h"
#include "transport/netplugin/helper.h"

#define LOOK_MS 1000
#define GOODBYES_S 4 /* for the other threads to end it in order */

/* The socket alone does not tell: a process that the session's program has
 * forked keeps its end open. */
static bool session_is_gone(pid_t session, int timeout_ms)
{
	struct pollfd pollfd = {SHARED_FD_SOCKET, 0, 0};

	return poll(&pollfd, 1, timeout_ms) > 0 || getppid() != session;
}

struct look {
	uint64_t since_ns; /* seen at the last one */
	bool told; /* that it is stuck */
};

static void tell_stuck(const struct transport *t, bool stuck)
{
	struct shared_message m = {.type = SHARED_STUCK,
				   .status = stuck ? TCPX_ECHANNEL : TCPX_OK};

	snprintf(m.text, sizeof(m.text),
		 "the plugin has been in a control call (listen, connect, "
		 "accept, registering, closing) for more than %u ms, so there "
		 "is no new connection",
		 t->options.stall_ms);
	helper_tell(&m, NULL, 0);
}

/* Twice in the same thing: the whole process may have been stopped. Returns
 * when to look again, in ms. */
static int look_at_control(const struct transport *t, struct look *last)
{
	uint64_t since = load_relaxed(&t->busy_since_ns);
	uint64_t limit_ns = t->options.stall_ms * NS_PER_MS;
	bool stuck = since && since == last->since_ns &&
		     clock_now_ns() - since > limit_ns;

	last->since_ns = since;
	if (stuck != last->told)
		tell_stuck(t, stuck);
	last->told = stuck;
	return t->options.stall_ms / 4 < LOOK_MS ?
		       (int)t->options.stall_ms / 4 + 1 :
		       LOOK_MS;
}

static void *watch(void *arg)
{
	struct helper *h = arg;
	struct look last = {0};
	int pause_ms = LOOK_MS;

	while (!session_is_gone(h->session, pause_ms)) {
		pthread_mutex_lock(&h->watch_lock);
		if (h->watched)
			pause_ms = look_at_control(h->watched, &last);
		pthread_mutex_unlock(&h->watch_lock);
	}
	/* What the loop reads is the end now, if it reads. */
	shutdown(SHARED_FD_SOCKET, SHUT_RDWR);
	sleep(GOODBYES_S);
	_exit(0);
}

void helper_watch(struct helper *h, const struct transport *t)
{
	pthread_mutex_lock(&h->watch_lock);
	h->watched = t;
	pthread_mutex_unlock(&h->watch_lock);
}

int helper_watch_start(struct helper *h)
{
	pthread_t thread;

	h->session = getppid();
	if (sigmask_start_thread(&thread, NULL, watch, h))
		return TCPX_ENOMEM;
	return pthread_detach(thread) ? TCPX_EINTERNAL : TCPX_OK;
}
