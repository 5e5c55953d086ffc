/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_FORKS_H
#define BASE_FORKS_H

#include <stdint.h>

/*
 * A child of fork() has its parent's memory and descriptors, epoll sets
 * included, and none of its threads: what it did to an object of the parent's
 * would be done to the parent's connections. So who makes such an object keeps
 * the number of this process, which a child has another one of, and looks. A
 * load, where getpid() is a system call.
 */
uint32_t forks_process(void);
/* Before the first is kept. Returns 0 or TCPX_ENOMEM. */
int forks_watch(void);

#endif
