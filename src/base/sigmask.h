/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SIGMASK_H
#define BASE_SIGMASK_H

#include <stdbool.h>

/*
 * For threads of our own: shuts SIGPIPE out for as long as the thread lives,
 * and those that it starts. Who would shut it out for a moment, at three
 * system calls each time, sees that there is no need.
 */
void sigmask_shut_pipe(void);
bool sigmask_pipe_is_shut(void);

#endif
