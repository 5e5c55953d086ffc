/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/socket/lend.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/sigpipe.h"

/* More calls if it is shorter; longer was no faster. All pipes of a user who is
 * not root may have 64 MiB together. */
#define PIPE_BYTES (256 << 10)

static bool open_pipe(struct socket_lender *lender)
{
	if (lender->pipe_bytes)
		return true;
	if (pipe2(lender->pipe, O_CLOEXEC | O_NONBLOCK)) {
		lender->useless = true;
		return false;
	}
	(void)fcntl(lender->pipe[1], F_SETPIPE_SZ, PIPE_BYTES);
	int bytes = fcntl(lender->pipe[1], F_GETPIPE_SZ);

	lender->pipe_bytes = bytes > 0 ? (uint32_t)bytes : 4096;
	return true;
}

/* Some memory cannot be lent: what a driver has mapped for itself. */
static bool fill_pipe(struct socket_lender *lender, const uint8_t *at,
		      uint32_t len_bytes)
{
	if (len_bytes > lender->pipe_bytes)
		len_bytes = lender->pipe_bytes;
	struct iovec iov = {(void *)(uintptr_t)at, len_bytes};
	ssize_t n = vmsplice(lender->pipe[1], &iov, 1, SPLICE_F_NONBLOCK);

	if (n <= 0) {
		lender->useless = true;
		return false;
	}
	lender->piped = (uint32_t)n;
	return true;
}

ssize_t socket_lend(struct socket_lender *lender, int fd, const uint8_t *at,
		    uint32_t len_bytes)
{
	if (!lender->piped && (lender->useless || !open_pipe(lender) ||
			       !fill_pipe(lender, at, len_bytes)))
		return 0;
	unsigned int more = lender->piped < len_bytes ? SPLICE_F_MORE : 0;
	bool restore = sigpipe_enter();
	ssize_t n = splice(lender->pipe[0], NULL, fd, NULL, lender->piped,
			   SPLICE_F_NONBLOCK | more);
	int err = errno;

	sigpipe_leave(restore);
	if (n <= 0)
		return n < 0 ? -err : -EPIPE;
	lender->piped -= (uint32_t)n;
	return n;
}

void socket_lender_fini(struct socket_lender *lender)
{
	if (!lender->pipe_bytes)
		return;
	close(lender->pipe[0]);
	close(lender->pipe[1]);
	lender->pipe_bytes = 0;
}
