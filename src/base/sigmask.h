/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SIGMASK_H
#define BASE_SIGMASK_H

#include <pthread.h>
#include <stdbool.h>

/*
 * pthread_create() for threads of our own: with all signals blocked, which are
 * for the program's threads. What a thread itself causes reaches it all the
 * same. Returns what pthread_create() does.
 */
int sigmask_start_thread(pthread_t *thread, const pthread_attr_t *attr,
			 void *(*fn)(void *arg), void *arg);

/*
 * For threads of our own: shuts SIGPIPE out for as long as the thread lives,
 * and those that it starts. Who would shut it out for a moment, at three
 * system calls each time, sees that there is no need.
 */
void sigmask_shut_pipe(void);
bool sigmask_pipe_is_shut(void);

#endif
