/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SIGPIPE_H
#define BASE_SIGPIPE_H

/*
 * Plugins, and splice(), write to sockets without MSG_NOSIGNAL: a peer that
 * has gone would kill the process. Around every such call SIGPIPE is blocked
 * for this thread, and one that came meanwhile is taken away. Threads that a
 * plugin starts inherit the mask. A thread of ours that has shut it for good
 * pays nothing, one that has SIGPIPE blocked one system call, any other three.
 */

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>

#include "base/sigmask.h"

static inline sigset_t sigpipe_set(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	return set;
}

/* Whether sigpipe_leave() has something to restore. */
static inline bool sigpipe_enter(void)
{
	sigset_t set = sigpipe_set(), old;

	if (sigmask_pipe_is_shut())
		return false;
	pthread_sigmask(SIG_BLOCK, &set, &old);
	return !sigismember(&old, SIGPIPE);
}

static inline void sigpipe_leave(bool restore)
{
	static const struct timespec no_time;
	sigset_t set;

	if (!restore)
		return;
	set = sigpipe_set();
	while (sigtimedwait(&set, NULL, &no_time) > 0)
		;
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

#endif
