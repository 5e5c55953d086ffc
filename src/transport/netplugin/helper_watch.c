/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A thread that enters neither plugin nor driver, so that nothing holds it up:
 * whatever the others are in, the process ends soon after its session.
 */

#include <poll.h>
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

static void *watch(void *arg)
{
	const struct helper *h = arg;

	while (!session_is_gone(h->session, LOOK_MS))
		;
	/* What the loop reads is the end now, if it reads. */
	shutdown(SHARED_FD_SOCKET, SHUT_RDWR);
	sleep(GOODBYES_S);
	_exit(0);
}

int helper_watch_start(struct helper *h)
{
	pthread_t thread;

	h->session = getppid();
	if (sigmask_start_thread(&thread, NULL, watch, h))
		return TCPX_ENOMEM;
	return pthread_detach(thread) ? TCPX_EINTERNAL : TCPX_OK;
}
