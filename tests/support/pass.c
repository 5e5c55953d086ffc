/* SPDX-License-Identifier: Apache-2.0 */
#include "support/pass.h"

#include <sys/socket.h>

#include "check.h"

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};

void pass_send(int to, const void *bytes, size_t len_bytes, int fd)
{
	struct iovec iov = {(void *)(uintptr_t)bytes, len_bytes};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	union control control = {0};

	if (fd >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	CHECK_EQ(sendmsg(to, &msg, 0), (ssize_t)len_bytes);
}

int pass_receive(int from, void *bytes, size_t len_bytes)
{
	struct iovec iov = {bytes, len_bytes};
	union control control = {0};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	int fd = -1;

	CHECK_EQ(recvmsg(from, &msg, MSG_WAITALL), (ssize_t)len_bytes);
	if (CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	return fd;
}
