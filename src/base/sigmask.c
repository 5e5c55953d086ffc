/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sigmask.h"

#include <signal.h>
#include <stddef.h>

static _Thread_local bool shut;

int sigmask_start_thread(pthread_t *thread, const pthread_attr_t *attr,
			 void *(*fn)(void *arg), void *arg)
{
	sigset_t all, old;

	/* Inherited: none can come before the thread would block it. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int err = pthread_create(thread, attr, fn, arg);

	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}

void sigmask_shut_pipe(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	shut = pthread_sigmask(SIG_BLOCK, &set, NULL) == 0;
}

bool sigmask_pipe_is_shut(void)
{
	return shut;
}
