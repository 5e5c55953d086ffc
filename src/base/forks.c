/* SPDX-License-Identifier: Apache-2.0 */
#include "base/forks.h"

#include <pthread.h>
#include <tcpx/status.h>

#include "base/atomic.h"

static _Atomic uint32_t process = 1;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int watch_error;

static void in_child(void)
{
	add_relaxed(&process, 1u);
}

static void watch(void)
{
	watch_error = pthread_atfork(NULL, NULL, in_child);
}

int forks_watch(void)
{
	pthread_once(&once, watch);
	return watch_error ? TCPX_ENOMEM : 0;
}

uint32_t forks_process(void)
{
	return load_relaxed(&process);
}
