/* SPDX-License-Identifier: Apache-2.0 */
#include "pool_daemon.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Waits for the answer for ever, as the plugin does. */
static int ask(const char *dir, const char *kind, const char *pci)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t n = strlen(pci);
	uint8_t frame[256] = {0, (uint8_t)(2 + n), 10, (uint8_t)n};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.80s/%s_%.16s", dir,
		 kind, pci);
	memcpy(frame + 4, pci, n);
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&addr, sizeof(addr)) &&
	    send(fd, frame, 4 + n, MSG_NOSIGNAL) == (ssize_t)(4 + n))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Whatever comes in one piece, with the descriptor that may come along. */
static ssize_t hear(int fd, void *to, size_t cap_bytes, int *got)
{
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {to, cap_bytes};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;

	*got = -1;
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(got, CMSG_DATA(c), sizeof(*got));
	return n;
}

int pool_daemon_ask(const char *dir, const char *pci, uint64_t *len_bytes)
{
	uint8_t frame[64];
	int metadata = ask(dir, "get_gpu_metadata", pci);
	int fd = ask(dir, "get_gpu_fd", pci), none, got = -1;

	/* u16 length, field 1 of 24 bytes: {int; size_t bytes; size_t} */
	if (metadata >= 0 && hear(metadata, frame, sizeof(frame), &none) == 28)
		memcpy(len_bytes, frame + 4 + 8, sizeof(*len_bytes));
	else
		*len_bytes = 0;
	if (fd >= 0 && *len_bytes)
		hear(fd, frame, 1, &got);
	if (metadata >= 0)
		close(metadata);
	if (fd >= 0)
		close(fd);
	return got;
}

int pool_daemon_part(const char *dir)
{
	char path[256];

	for (int i = 0; i < POOL_DAEMON_PARTS; i++) {
		snprintf(path, sizeof(path), "%s/part_%d", dir, i);
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

		if (fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB))
			return i; /* and fd stays open */
		if (fd >= 0)
			close(fd);
	}
	return -1;
}
