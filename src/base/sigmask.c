/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sigmask.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

static _Thread_local bool shut;

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
