/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/netplugin/shared.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <tcpx/status.h>
#include <unistd.h>

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(SHARED_FDS_MAX * sizeof(int))];
};

/* Waits for room: the other side reads all the time, or is gone. */
int shared_send(int fd, const struct shared_message *message, const int *fds,
		uint32_t n_fds)
{
	struct iovec iov = {(void *)(uintptr_t)message, sizeof(*message)};
	union control control = {0};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (n_fds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	do
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(*message) ? TCPX_OK : TCPX_ECLOSED;
}

static void take_fds(struct msghdr *msg, int fds[SHARED_FDS_MAX],
		     uint32_t *n_fds)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c;
	     c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		*n_fds = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), *n_fds * sizeof(int));
	}
}

int shared_receive(int fd, struct shared_message *message,
		   int fds[SHARED_FDS_MAX], uint32_t *n_fds)
{
	struct iovec iov = {message, sizeof(*message)};
	union control control;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*n_fds = 0;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return TCPX_EAGAIN;
	if (n < 0)
		return TCPX_ECLOSED;
	take_fds(&msg, fds, n_fds);
	if (n == (ssize_t)sizeof(*message)) {
		message->text[SHARED_TEXT - 1] = '\0';
		return TCPX_OK;
	}
	for (uint32_t i = 0; i < *n_fds; i++)
		close(fds[i]);
	*n_fds = 0;
	return TCPX_ECLOSED;
}
