/* SPDX-License-Identifier: Apache-2.0 */
/* Setting up and closing the connections of a raw link. */
#include "raw.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What a flow says first: the token, then its place in the link. */
struct greeting {
	struct raw_token token;
	unsigned char index;
};

#define IO_TIMEOUT_S 20

static int resolve(const char *host, uint16_t port, int flags,
		   struct addrinfo **list)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC,
				 .ai_socktype = SOCK_STREAM,
				 .ai_flags = flags | AI_NUMERICSERV};
	char service[8];

	snprintf(service, sizeof(service), "%u", port);
	return getaddrinfo(host, service, &hints, list) ? -EHOSTUNREACH : 0;
}

static uint16_t bound_port(int fd)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);

	if (getsockname(fd, (struct sockaddr *)&addr, &len))
		return 0;
	if (addr.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&addr)->sin6_port);
	return ntohs(((struct sockaddr_in *)&addr)->sin_port);
}

static int listen_at(const struct addrinfo *ai)
{
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1, zero = 0, err;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (ai->ai_family == AF_INET6) /* IPv4 comes in here as well */
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (!bind(fd, ai->ai_addr, ai->ai_addrlen) &&
	    !listen(fd, RAW_FLOWS_MAX))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int raw_listen(const char *host, uint16_t port, uint16_t *bound)
{
	struct addrinfo *list = NULL;
	/* Without IPv6 on this host the first attempt fails, the second not. */
	const char *any[] = {host ? host : "::", host ? host : "0.0.0.0"};
	int fd = -EADDRNOTAVAIL;

	for (unsigned i = 0; i < 2 && fd < 0; i++) {
		if (resolve(any[i], port, AI_PASSIVE | AI_NUMERICHOST, &list))
			continue;
		fd = listen_at(list);
		freeaddrinfo(list);
	}
	if (fd >= 0)
		*bound = bound_port(fd);
	return fd;
}

static void set_options(int fd)
{
	struct timeval limit = {.tv_sec = IO_TIMEOUT_S};
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

static int wait_readable(int fd, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int n;

	do
		n = poll(&p, 1, left_ms(deadline_ns));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n ? 0 : -ETIMEDOUT;
}

static int read_greeting(int fd, struct greeting *greeting,
			 uint64_t deadline_ns)
{
	size_t have = 0;
	ssize_t n;
	int err;

	while (have < sizeof(*greeting)) {
		err = wait_readable(fd, deadline_ns);
		if (err)
			return err;
		n = recv(fd, (char *)greeting + have, sizeof(*greeting) - have,
			 0);
		if (n <= 0)
			return -ECONNRESET;
		have += (size_t)n;
	}
	return 0;
}

/* A stranger costs at most a second and is sent away. */
static void accept_one(int listener, const struct raw_token *token,
		       struct raw_link *link, unsigned *n_have)
{
	struct greeting greeting;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	set_options(fd);
	if (read_greeting(fd, &greeting, now_ns() + NS_PER_S) ||
	    memcmp(&greeting.token, token, sizeof(*token)) ||
	    greeting.index >= link->n || link->fds[greeting.index] >= 0) {
		close(fd);
		return;
	}
	link->fds[greeting.index] = fd;
	(*n_have)++;
}

static void clear(struct raw_link *link)
{
	for (unsigned i = 0; i < RAW_FLOWS_MAX; i++)
		link->fds[i] = -1;
}

int raw_accept(int listener, const struct raw_token *token, int timeout_ms,
	       struct raw_link *link)
{
	uint64_t deadline_ns = now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	unsigned n_have = 0;
	int err;

	clear(link);
	link->client = false;
	while (n_have < link->n) {
		err = wait_readable(listener, deadline_ns);
		if (err) {
			raw_close(link);
			return err;
		}
		accept_one(listener, token, link, &n_have);
	}
	return 0;
}

static int finish_connect(int fd, const struct net_addr *to, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	socklen_t len = sizeof(int);
	int err = 0;

	if (!connect(fd, &to->sa, addr_len(to)))
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	if (poll(&p, 1, timeout_ms) != 1)
		return -ETIMEDOUT;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
	return -err;
}

static int connect_by(const struct raw_way *way, int timeout_ms)
{
	int fd = socket(way->to.sa.sa_family,
			SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (way->from.sa.sa_family &&
	    bind(fd, &way->from.sa, addr_len(&way->from)))
		err = -errno;
	if (!err)
		err = finish_connect(fd, &way->to, timeout_ms);
	if (err) {
		close(fd);
		return err;
	}
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	set_options(fd);
	return fd;
}

static int connect_flow(const struct raw_way *way,
			const struct greeting *greeting, int timeout_ms)
{
	int fd = connect_by(way, timeout_ms);

	if (fd < 0)
		return fd;
	if (send(fd, greeting, sizeof(*greeting), MSG_NOSIGNAL) ==
	    (ssize_t)sizeof(*greeting))
		return fd;
	close(fd);
	return -ECONNRESET;
}

/* It says nothing, so the server sends it away. */
bool raw_way_is_open(const struct raw_way *way, int timeout_ms)
{
	int fd = connect_by(way, timeout_ms);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

int raw_way_to(const char *host, uint16_t port, int timeout_ms,
	       struct raw_way *way)
{
	struct addrinfo *list;
	int err = resolve(host, port, 0, &list);

	if (err)
		return err;
	err = -EHOSTUNREACH;
	for (struct addrinfo *ai = list; ai && err; ai = ai->ai_next) {
		*way = (struct raw_way){0};
		memcpy(&way->to, ai->ai_addr, ai->ai_addrlen);
		if (raw_way_is_open(way, timeout_ms))
			err = 0;
	}
	freeaddrinfo(list);
	return err;
}

int raw_connect(const struct raw_way *ways, unsigned n_ways,
		const struct raw_token *token, int timeout_ms,
		struct raw_link *link)
{
	struct greeting greeting = {.token = *token};
	int err = 0;

	clear(link);
	link->client = true;
	for (unsigned i = 0; i < link->n && !err; i++) {
		greeting.index = (unsigned char)i;
		link->fds[i] =
			connect_flow(&ways[i % n_ways], &greeting, timeout_ms);
		err = link->fds[i] < 0 ? link->fds[i] : 0;
	}
	if (err)
		raw_close(link);
	return err;
}

void raw_set_buffers(struct raw_link *link, uint32_t buffer_bytes)
{
	int want = (int)buffer_bytes;

	for (unsigned i = 0; i < link->n && buffer_bytes; i++) {
		setsockopt(link->fds[i], SOL_SOCKET, SO_SNDBUF, &want,
			   sizeof(want));
		setsockopt(link->fds[i], SOL_SOCKET, SO_RCVBUF, &want,
			   sizeof(want));
	}
}

void raw_close(struct raw_link *link)
{
	for (unsigned i = 0; i < link->n; i++) {
		if (link->fds[i] >= 0)
			close(link->fds[i]);
		link->fds[i] = -1;
	}
}
