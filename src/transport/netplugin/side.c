/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/netplugin/side.h"

#include <endian.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <tcpx/status.h>
#include <unistd.h>

#define MAGIC 0x54530001u

struct wire {
	uint32_t magic;
	uint32_t type;
	uint64_t number;
	uint8_t token[SIDE_TOKEN_BYTES];
};
_Static_assert(sizeof(struct wire) == SIDE_MESSAGE_BYTES, "without holes");

void side_init(struct side *side, int fd)
{
	int one = 1;

	*side = (struct side){.fd = fd};
	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static int open_socket(const struct net_addr *addr)
{
	return socket(addr->sa.sa_family,
		      SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

int side_connect(struct side *side, const struct net_addr *to)
{
	int fd = open_socket(to);

	if (fd < 0)
		return TCPX_ENFILE;
	if (connect(fd, &to->sa, addr_len(to)) && errno != EINPROGRESS) {
		int status = errno == ECONNREFUSED ? TCPX_EREFUSED :
						     TCPX_EUNREACHABLE;
		close(fd);
		return status;
	}
	side_init(side, fd);
	return TCPX_OK;
}

int side_connected(const struct side *side)
{
	struct pollfd pollfd = {side->fd, POLLOUT, 0};
	socklen_t len = sizeof(int);
	int error = 0;

	if (poll(&pollfd, 1, 0) <= 0)
		return TCPX_INPROGRESS;
	if (getsockopt(side->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		return TCPX_EUNREACHABLE;
	if (!error)
		return TCPX_OK;
	return error == ECONNREFUSED || error == ECONNRESET ? TCPX_EREFUSED :
							      TCPX_EUNREACHABLE;
}

int side_listen(const struct net_addr *addr, int *fd, uint16_t *port)
{
	struct net_addr at = *addr;
	socklen_t len = sizeof(at);
	int s = open_socket(addr);

	if (s < 0)
		return TCPX_ENFILE;
	addr_set_port(&at, 0);
	if (bind(s, &at.sa, addr_len(&at)) || listen(s, 8) ||
	    getsockname(s, &at.sa, &len)) {
		close(s);
		return TCPX_EUNREACHABLE;
	}
	*port = addr_port(&at);
	*fd = s;
	return TCPX_OK;
}

void side_flush(struct side *side)
{
	if (side->fd < 0 || !side->out_bytes)
		return;
	ssize_t n = send(side->fd, side->out, side->out_bytes,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n <= 0)
		return; /* a dead one is found by reading */
	side->out_bytes -= (uint32_t)n;
	memmove(side->out, side->out + n, side->out_bytes);
}

int side_send(struct side *side, const struct side_message *message)
{
	struct wire w = {
		.magic = htole32(MAGIC),
		.type = htole32(message->type),
		.number = htole64(message->number),
	};

	memcpy(w.token, message->token, sizeof(w.token));
	side_flush(side);
	if (side->out_bytes + sizeof(w) > sizeof(side->out))
		return TCPX_ECHANNEL;
	memcpy(side->out + side->out_bytes, &w, sizeof(w));
	side->out_bytes += sizeof(w);
	side_flush(side);
	return TCPX_OK;
}

static int parse(const uint8_t *bytes, struct side_message *message)
{
	struct wire w;

	memcpy(&w, bytes, sizeof(w));
	if (le32toh(w.magic) != MAGIC || le32toh(w.type) < SIDE_HELLO ||
	    le32toh(w.type) > SIDE_BYE)
		return TCPX_EPROTO;
	message->type = (enum side_type)le32toh(w.type);
	message->number = le64toh(w.number);
	memcpy(message->token, w.token, sizeof(message->token));
	return 1;
}

int side_receive(struct side *side, struct side_message *message)
{
	if (side->fd < 0)
		return TCPX_ECLOSED;
	ssize_t n = recv(side->fd, side->in + side->in_bytes,
			 sizeof(side->in) - side->in_bytes, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return TCPX_ECLOSED;
	side->in_bytes += (uint32_t)n;
	if (side->in_bytes < sizeof(side->in))
		return 0;
	side->in_bytes = 0;
	return parse(side->in, message);
}

void side_close(struct side *side)
{
	if (side->fd >= 0)
		close(side->fd);
	side->fd = -1;
}
