/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "boot/internal.h"

/*
 * The one listening port, and who may wait before it. Anybody can connect;
 * max_half_open of them may be unauthenticated at once. When one more comes,
 * the oldest that has not said HELLO is dropped for it: a real peer says it
 * with its first packet and is read in the same breath as it is accepted, so
 * that ten thousand silent connections pass through without touching it. If
 * all have said HELLO, the oldest is dropped once it had GRACE_MS to prove
 * itself, and until then nobody is accepted: a burst of real peers waits in
 * the kernel's queue rather than pushing each other out.
 */

#define BACKLOG 4096
#define ACCEPT_BATCH 32 /* then the others are served */
#define GRACE_MS 20
#define HELLO_WITHIN_MS 3000u
#define SHORTAGE_PAUSE_MS 100 /* without descriptors or memory */

static int make_socket(const struct net_addr *addr, int *fd)
{
	int s = socket(addr->sa.sa_family,
		       SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, off = 0, err;

	if (s < 0)
		return -errno;
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (addr->sa.sa_family == AF_INET6 && addr_is_any(addr))
		setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	/* SO_REUSEADDR lets two bind before either listens: only a listen()
	 * that went well says that the port is ours. */
	if (bind(s, &addr->sa, addr_len(addr)) < 0 || listen(s, BACKLOG) < 0) {
		err = -errno;
		close(s);
		return err;
	}
	*fd = s;
	return 0;
}

/* The first free port of the range. Returns 0 or -errno of the last one. */
static int make_in_range(struct net_addr *addr, uint16_t first, uint16_t last,
			 int *fd)
{
	int err = -EADDRINUSE;

	for (uint32_t port = first; port <= last; port++) {
		addr_set_port(addr, (uint16_t)port);
		err = make_socket(addr, fd);
		if (err != -EADDRINUSE && err != -EACCES)
			break;
	}
	return err;
}

static int listen_address(const struct boot_params *params,
			  struct net_addr *addr)
{
	memset(addr, 0, sizeof(*addr));
	if (params->bind && *params->bind)
		return addr_parse(params->bind, addr);
	addr->in6.sin6_family = AF_INET6;
	return 0;
}

static int explain(struct boot *boot, const struct boot_params *params,
		   struct net_addr *addr, int err)
{
	char where[ADDR_TEXT_MAX], range[24] = "";

	addr_text(addr, where);
	if (params->port_last > params->port_first)
		snprintf(range, sizeof(range), " (%u to %u)",
			 params->port_first, params->port_last);
	errno = -err;
	log_error(boot->log, BOOT_SUBSYSTEM, "cannot listen on %s%s: %m", where,
		  range);
	if (err == -EMFILE || err == -ENFILE)
		return TCPX_ENFILE;
	return err == -ENOMEM || err == -ENOBUFS ? TCPX_ENOMEM :
						   TCPX_EUNREACHABLE;
}

int listen_open(struct boot *boot, const struct boot_params *params)
{
	uint16_t first = params->port_first, last = params->port_last;
	struct net_addr addr;
	socklen_t len = sizeof(addr);
	int err;

	if (listen_address(params, &addr) < 0) {
		log_error(boot->log, BOOT_SUBSYSTEM,
			  "cannot listen on \"%s\": not a numeric address",
			  params->bind);
		return TCPX_EUNREACHABLE;
	}
	if (last < first)
		last = first;
	err = make_in_range(&addr, first, last, &boot->listen_fd);
	if ((err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL) &&
	    !(params->bind && *params->bind)) {
		/* A host without IPv6. */
		addr = (struct net_addr){.in.sin_family = AF_INET};
		err = make_in_range(&addr, first, last, &boot->listen_fd);
	}
	if (err)
		return explain(boot, params, &addr, err);
	getsockname(boot->listen_fd, &addr.sa, &len);
	boot->port = addr_port(&addr);
	boot->resume_ns = 0;
	listen_resume(boot, 0);
	return boot->accepting ? 0 : TCPX_ENOMEM;
}

void listen_close(struct boot *boot)
{
	if (boot->listen_fd < 0)
		return;
	/* A child that the program forked holds the socket too. */
	shutdown(boot->listen_fd, SHUT_RDWR);
	close(boot->listen_fd);
	boot->listen_fd = -1;
}

static void pause_until(struct boot *boot, uint64_t at_ns)
{
	if (boot->accepting)
		epoll_ctl(boot->epoll_fd, EPOLL_CTL_DEL, boot->listen_fd, NULL);
	boot->accepting = false;
	boot->resume_ns = at_ns;
	boot_due(boot, at_ns);
}

void listen_resume(struct boot *boot, uint64_t now_ns)
{
	if (boot->accepting)
		return;
	if (now_ns < boot->resume_ns) {
		boot_due(boot, boot->resume_ns);
		return;
	}
	boot->accepting = boot_watch(boot, boot->listen_fd, EPOLLIN,
				     &boot->listener) == 0;
	if (!boot->accepting)
		pause_until(boot, now_ns + SHORTAGE_PAUSE_MS * NS_PER_MS);
}

/* Room for one more? Drops an old one if need be. */
static bool make_room(struct boot *boot)
{
	struct conn *oldest;
	uint64_t safe_until_ns;

	if (boot->n_half_open < boot->max_half_open)
		return true;
	if (!list_empty(&boot->silent)) {
		oldest = list_entry(boot->silent.next, struct conn, node);
	} else {
		oldest = list_entry(boot->greeted.next, struct conn, node);
		safe_until_ns = oldest->since_ns + GRACE_MS * NS_PER_MS;
		if (clock_now_ns() < safe_until_ns) {
			pause_until(boot, safe_until_ns);
			return false;
		}
	}
	boot_complain(boot, TCPX_LOG_WARN, &oldest->remote,
		      oldest->hs.result.name,
		      "dropped: too many half-open connections");
	conn_kill(boot, oldest);
	return true;
}

static void take_in(struct boot *boot, int fd, const struct net_addr *remote)
{
	uint32_t within_ms = boot->timeout_ms < HELLO_WITHIN_MS ?
				     boot->timeout_ms :
				     HELLO_WITHIN_MS;
	uint8_t nonce[HELLO_NONCE_BYTES];
	struct conn *conn;
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	conn = conn_create(boot, fd, remote, EPOLLIN, &boot->silent);
	if (!conn) {
		boot_complain(boot, TCPX_LOG_WARN, remote, "",
			      "dropped: out of memory");
		close(fd);
		return;
	}
	auth_random(nonce, sizeof(nonce));
	handshake_init_listener(&conn->hs, &boot->self, nonce);
	conn->half_open = true;
	boot->n_half_open++;
	conn->deadline_ns = conn->since_ns + within_ms * NS_PER_MS;
	boot_due(boot, conn->deadline_ns);
	conn_io(boot, conn);
}

/* Returns false when no more can be accepted now. */
static bool accept_failed(struct boot *boot, int error)
{
	switch (error) {
	case EAGAIN:
		return false;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		/* It stays in the kernel's queue; asking again at once would
		 * only burn the processor. */
		if (!boot->out_of_fds)
			log_warn(boot->log, BOOT_SUBSYSTEM,
				 "cannot accept connections: %m");
		boot->out_of_fds = true;
		pause_until(boot,
			    clock_now_ns() + SHORTAGE_PAUSE_MS * NS_PER_MS);
		return false;
	default:
		/* EINTR, ECONNABORTED and what the network did to that one
		 * connection before it got here. */
		return true;
	}
}

void listen_accept(struct boot *boot)
{
	uint32_t batch = boot->max_half_open < ACCEPT_BATCH ?
				 boot->max_half_open :
				 ACCEPT_BATCH;
	struct net_addr remote;
	socklen_t len;
	int fd;

	for (uint32_t i = 0; i < batch && make_room(boot); i++) {
		memset(&remote, 0, sizeof(remote));
		len = sizeof(remote);
		fd = accept4(boot->listen_fd, &remote.sa, &len,
			     SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (!accept_failed(boot, errno))
				return;
			continue;
		}
		boot->out_of_fds = false;
		conn_unmap(&remote);
		take_in(boot, fd, &remote);
	}
}
