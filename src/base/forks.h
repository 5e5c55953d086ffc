/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_FORKS_H
#define BASE_FORKS_H

#include <stdbool.h>

#include "base/list.h"

/*
 * A child of fork() has its parent's memory and descriptors, epoll sets
 * included, and none of its threads: what it did to an object of the parent's
 * would be done to the parent's connections. So an object carries a mark, which
 * is set in each child, and whoever is called with it looks there: one byte
 * beside what a call reads anyway, where a number of the process would be one
 * more line that is in no cache, and getpid() a system call.
 */
struct fork_mark {
	struct list link;
	bool foreign; /* this process did not make the object */
};

/* In a new object. Returns 0 or TCPX_ENOMEM. */
int fork_mark_add(struct fork_mark *mark);
/* Before the object is freed; one that was not added is left alone if it is
 * all zero. */
void fork_mark_remove(struct fork_mark *mark);

#endif
