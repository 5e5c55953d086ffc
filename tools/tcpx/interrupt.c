/* SPDX-License-Identifier: Apache-2.0 */
#include "interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

static struct {
	pthread_mutex_t lock;
	bool came;
	struct tcpx_session *session;
	uint64_t peer;
	const struct raw_link *link;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static sigset_t end_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	return set;
}

/* The goodbye first: it is to be the cause that the other end knows.
 * state.lock held */
static void tell(void)
{
	if (state.peer) {
		log_hush(true); /* others are still using it */
		tcpx_peer_disconnect(state.session, state.peer);
	}
	for (unsigned i = 0; state.link && i < state.link->n; i++)
		shutdown(state.link->fds[i], SHUT_RDWR);
}

static void *watch(void *arg)
{
	sigset_t set = end_signals();
	int number;

	if (sigwait(&set, &number))
		return arg;
	pthread_mutex_lock(&state.lock);
	state.came = true;
	tell();
	pthread_mutex_unlock(&state.lock);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	for (;;) /* there to be ended by the second */
		pause();
}

int interrupt_watch(void)
{
	sigset_t set = end_signals();
	pthread_t thread;

	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (pthread_create(&thread, NULL, watch, NULL))
		return -1;
	pthread_detach(thread);
	return 0;
}

bool interrupt_came(void)
{
	bool came;

	pthread_mutex_lock(&state.lock);
	came = state.came;
	pthread_mutex_unlock(&state.lock);
	return came;
}

/* One that comes late is told, too. */
void interrupt_set_peer(struct tcpx_session *session, uint64_t peer)
{
	pthread_mutex_lock(&state.lock);
	state.session = session;
	state.peer = peer;
	if (state.came)
		tell();
	pthread_mutex_unlock(&state.lock);
}

void interrupt_set_link(const struct raw_link *link)
{
	pthread_mutex_lock(&state.lock);
	state.link = link;
	if (state.came)
		tell();
	pthread_mutex_unlock(&state.lock);
}
