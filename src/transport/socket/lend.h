/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOCKET_LEND_H
#define SOCKET_LEND_H

/*
 * Sending without the kernel's copy: the pages of a pinned slot are handed to
 * the socket by reference, through a pipe.
 *
 *   slot --vmsplice--> pipe --splice--> socket ....> receiver's memory
 *
 * TCP sends from the slot until the receiver's side has all of it; over
 * loopback, and between containers of one host, the very pages lie in the
 * receiver's queue until it has read them. So a slot is lent until the
 * receiver says that it took the chunk, whatever TCP has acknowledged.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct socket_lender {
	int pipe[2];
	uint32_t pipe_bytes;	/* 0: there is no pipe yet */
	uint32_t piped;		/* bytes in it */
	bool useless;		/* it does not work here */
};

/*
 * Hands the bytes from `at` on to the socket, of which the first `piped` are
 * in the pipe already. Returns how many the socket took, -errno, or 0: this
 * cannot be done here (and nothing is in the pipe), send them otherwise.
 */
ssize_t socket_lend(struct socket_lender *lender, int fd, const uint8_t *at,
		    uint32_t len_bytes);
void socket_lender_fini(struct socket_lender *lender);

#endif
