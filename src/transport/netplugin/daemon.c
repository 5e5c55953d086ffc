/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/netplugin/daemon.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <tcpx/status.h>
#include <unistd.h>

#include "base/clock.h"

#define PCI_MAX 64
#define REPLY_MAX 256
#define FIELD_1_BYTES 0x0a /* protocol buffers: field 1, length and bytes */

struct metadata {
	int32_t fd; /* of the daemon's own: nothing to us */
	uint32_t pad;
	uint64_t len_bytes, align_bytes;
};
_Static_assert(sizeof(struct metadata) == 24, "as the daemon sends it");

struct ask {
	int fd;
	uint64_t limit_ns;
};

static bool wait_for(const struct ask *ask, short what)
{
	struct pollfd pollfd = {ask->fd, what, 0};
	uint64_t now_ns;
	int rc;

	do {
		now_ns = clock_now_ns();
		if (now_ns >= ask->limit_ns)
			return false;
		rc = poll(&pollfd, 1,
			  (int)((ask->limit_ns - now_ns) / NS_PER_MS) + 1);
	} while (rc < 0 && errno == EINTR);
	return rc == 1;
}

static int address_of(struct sockaddr_un *addr, const char *dir,
		      const char *kind, const char *sep, const char *pci)
{
	int n;

	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	n = snprintf(addr->sun_path, sizeof(addr->sun_path), "%s/%s%s%s", dir,
		     kind, sep, pci);
	return n < 0 || (size_t)n >= sizeof(addr->sun_path) ?
		       TCPX_EUNSUPPORTED :
		       TCPX_OK;
}

/* A socket of the kind that is local connects at once, unless too many wait
 * to be accepted: then it says EAGAIN, and no event follows. */
static int dial(struct ask *ask, const char *dir, const char *kind,
		const char *pci)
{
	struct sockaddr_un addr;

	if (address_of(&addr, dir, kind, "_", pci))
		return TCPX_EUNSUPPORTED;
	ask->fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (ask->fd < 0)
		return TCPX_ENFILE;
	while (connect(ask->fd, (struct sockaddr *)&addr, sizeof(addr))) {
		if ((errno != EAGAIN && errno != EINTR) ||
		    clock_now_ns() >= ask->limit_ns)
			return TCPX_EUNSUPPORTED;
		usleep(1000);
	}
	return TCPX_OK;
}

static int send_pci(const struct ask *ask, const char *pci)
{
	uint8_t frame[4 + PCI_MAX];
	size_t n = strlen(pci);

	if (n > PCI_MAX)
		return TCPX_EUNSUPPORTED;
	frame[0] = 0;
	frame[1] = (uint8_t)(2 + n);
	frame[2] = FIELD_1_BYTES;
	frame[3] = (uint8_t)n;
	memcpy(frame + 4, pci, n);
	/* Its buffer is empty and takes so little at once. */
	return send(ask->fd, frame, 4 + n, MSG_NOSIGNAL) == (ssize_t)(4 + n) ?
		       TCPX_OK :
		       TCPX_EUNSUPPORTED;
}

static bool receive(const struct ask *ask, uint8_t *to, size_t len_bytes)
{
	while (len_bytes) {
		ssize_t n = wait_for(ask, POLLIN) ?
				    recv(ask->fd, to, len_bytes, 0) :
				    0;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return false;
		to += n;
		len_bytes -= (size_t)n;
	}
	return true;
}

static int receive_metadata(const struct ask *ask, uint64_t *len_bytes)
{
	uint8_t head[2], body[REPLY_MAX];
	struct metadata metadata;

	if (!receive(ask, head, sizeof(head)))
		return TCPX_EUNSUPPORTED;
	size_t n = (size_t)head[0] << 8 | head[1];

	if (n != 2 + sizeof(metadata) || !receive(ask, body, n) ||
	    body[0] != FIELD_1_BYTES || body[1] != sizeof(metadata))
		return TCPX_EUNSUPPORTED;
	memcpy(&metadata, body + 2, sizeof(metadata));
	*len_bytes = metadata.len_bytes;
	return TCPX_OK;
}

static int take_fd(struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	int fd;

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len != CMSG_LEN(sizeof(fd)))
		return -1;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static int receive_fd(const struct ask *ask, int *fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	uint8_t byte;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;

	do
		n = wait_for(ask, POLLIN) ?
			    recvmsg(ask->fd, &msg, MSG_CMSG_CLOEXEC) :
			    0;
	while (n < 0 && (errno == EAGAIN || errno == EINTR));
	*fd = n > 0 ? take_fd(&msg) : -1;
	return *fd >= 0 ? TCPX_OK : TCPX_EUNSUPPORTED;
}

static int ask_one(struct ask *ask, const char *dir, const char *kind,
		   const char *pci, struct daemon_pool *pool)
{
	int err = dial(ask, dir, kind, pci);

	if (!err)
		err = send_pci(ask, pci);
	if (!err)
		err = pool->len_bytes ? receive_fd(ask, &pool->fd) :
					receive_metadata(ask, &pool->len_bytes);
	if (ask->fd >= 0)
		close(ask->fd);
	return err;
}

int daemon_ask_pool(const char *dir, const char *pci, uint32_t limit_ms,
		    struct daemon_pool *pool, char *why, size_t cap_bytes)
{
	static const char *const kinds[] = {"get_gpu_metadata", "get_gpu_fd"};
	struct ask ask = {
		.limit_ns = clock_now_ns() + limit_ms * NS_PER_MS,
	};

	*pool = (struct daemon_pool){.fd = -1};
	for (int i = 0; i < 2; i++) {
		ask.fd = -1;
		int err = ask_one(&ask, dir, kinds[i], pci, pool);

		if (!err && pool->len_bytes)
			continue;
		snprintf(why, cap_bytes,
			 "the receive daemon gives no pool at %s/%s_%s", dir,
			 kinds[i], pci);
		return TCPX_EUNSUPPORTED;
	}
	return TCPX_OK;
}

/* Too many who wait to be accepted are a sign of life, too; and who must not
 * connect cannot tell. */
static bool takes_connections(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool gone;

	if (fd < 0)
		return true;
	gone = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) &&
	       (errno == ENOENT || errno == ECONNREFUSED);
	close(fd);
	return !gone;
}

bool daemon_is_there(const char *dir, const char *pci, uint64_t *life)
{
	struct sockaddr_un rules, pool;
	struct stat file;

	*life = 0;
	if (address_of(&rules, dir, "rx_rule_manager", "", "") ||
	    address_of(&pool, dir, "get_gpu_fd", "_", pci) ||
	    stat(rules.sun_path, &file))
		return false;
	*life = file.st_ino * 31 + (uint64_t)file.st_mtim.tv_sec * NS_PER_S +
		(uint64_t)file.st_mtim.tv_nsec;
	return takes_connections(&rules) && takes_connections(&pool);
}
