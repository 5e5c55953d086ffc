/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/netplugin/shared.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <tcpx/status.h>
#include <unistd.h>

#include "transport/transport.h"

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

int shared_take_list(const struct shared_list *list, uint32_t n_entries,
		     uint64_t pool_bytes, uint32_t len_bytes,
		     struct transport_fragment *fragments)
{
	uint64_t sum = 0;

	if (n_entries > NETPLUGIN_UNPACK_ENTRIES)
		return TCPX_EPROTO;
	for (uint32_t i = 0; i < n_entries; i++) {
		const struct shared_entry *e = &list->entries[i];
		/* Read once: what is checked is what is used. */
		uint32_t src = load_relaxed(&e->src_off);
		uint32_t dst = load_relaxed(&e->dst_off);
		uint32_t len = load_relaxed(&e->len_bytes);

		if (!len || len > len_bytes || dst > len_bytes - len ||
		    len > pool_bytes || src > pool_bytes - len)
			return TCPX_EPROTO;
		fragments[i] = (struct transport_fragment){src, dst, len};
		sum += len;
	}
	return sum == len_bytes ? TCPX_OK : TCPX_EPROTO;
}

/* Behind it comes the release of a ring's head. */
void shared_put_list(struct shared_list *list,
		     const struct transport_fragment *fragments,
		     uint32_t n_fragments)
{
	for (uint32_t i = 0; i < n_fragments; i++) {
		const struct transport_fragment *f = &fragments[i];
		struct shared_entry *e = &list->entries[i];

		store_relaxed(&e->src_off, (uint32_t)f->src_off);
		store_relaxed(&e->dst_off, (uint32_t)f->dst_off);
		store_relaxed(&e->len_bytes, f->len_bytes);
	}
}
