/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "boot/internal.h"

void conn_unmap(struct net_addr *addr)
{
	struct net_addr v4 = {.in.sin_family = AF_INET};

	if (addr->sa.sa_family != AF_INET6 ||
	    !IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr))
		return;
	v4.in.sin_port = addr->in6.sin6_port;
	memcpy(&v4.in.sin_addr, addr->in6.sin6_addr.s6_addr + 12, 4);
	*addr = v4;
}

struct conn *conn_create(struct boot *boot, int fd,
			 const struct net_addr *remote, uint32_t interest,
			 struct list *on)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return NULL;
	conn->source.kind = SOURCE_CONN;
	conn->fd = fd;
	conn->interest = interest;
	conn->since_ns = clock_now_ns();
	conn->deadline_ns = UINT64_MAX;
	conn->remote = *remote;
	if (boot_watch(boot, fd, interest, &conn->source) < 0) {
		free(conn);
		return NULL;
	}
	list_add_tail(on, &conn->node);
	return conn;
}

static void leave_half_open(struct boot *boot, struct conn *conn)
{
	if (!conn->half_open)
		return;
	conn->half_open = false;
	boot->n_half_open--;
	if (!boot->accepting && !boot->out_of_fds) {
		boot->resume_ns = 0;
		boot_due(boot, 0);
	}
}

void conn_kill(struct boot *boot, struct conn *conn)
{
	if (conn->dead)
		return;
	conn->dead = true;
	leave_half_open(boot, conn);
	if (conn->fd >= 0) {
		epoll_ctl(boot->epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
		/* A close() alone says nothing to the other side as long as a
		 * child that the program forked holds the socket too. */
		shutdown(conn->fd, SHUT_RDWR);
		close(conn->fd);
		conn->fd = -1;
	}
	handshake_fini(&conn->hs);
	if (conn->dial)
		conn->dial->conn = NULL;
	list_move_tail(&boot->dead, &conn->node);
}

void conn_reap(struct boot *boot)
{
	list_for_each_safe (node, &boot->dead)
		free(list_entry(node, struct conn, node));
	list_init(&boot->dead);
}

/* Ends it, and whoever waits for it is told. */
static void conn_fail(struct boot *boot, struct conn *conn, int status,
		      bool final, const char *why)
{
	struct boot_result result = conn->hs.result;
	bool admitted = conn->admitted, refused = conn->refused;
	struct dial *dial = conn->dial;
	char cause[BOOT_CAUSE_MAX];
	/* Somebody looked whether the port is open, or two connected to each
	 * other at once: nothing to report. */
	bool quiet = conn->hs.left ||
		     (status == TCPX_ECLOSED && !conn->greeted &&
		      conn->hs.in_bytes == 0);

	snprintf(cause, sizeof(cause), "%s", why);
	conn_kill(boot, conn);
	if (dial) {
		dial_failed(boot, dial, status, final, cause);
		return;
	}
	/* Whoever refused it knows why, and has said so. */
	if (!refused)
		boot_complain(boot, quiet ? TCPX_LOG_DEBUG : TCPX_LOG_WARN,
			      &conn->remote, result.name, cause);
	if (admitted)
		boot->ops->dropped(boot->arg, &result);
}

static void conn_fail_errno(struct boot *boot, struct conn *conn, int error)
{
	char cause[96];

	errno = error;
	snprintf(cause, sizeof(cause), "%m");
	conn_fail(boot, conn, dial_status(error), false, cause);
}

/* The other side closed it, or the network did. */
static void conn_broken(struct boot *boot, struct conn *conn, int error)
{
	if (error == 0 || error == ECONNRESET || error == EPIPE) {
		handshake_closed(&conn->hs);
		conn_fail(boot, conn, conn->hs.status, false, conn->hs.cause);
		return;
	}
	conn_fail_errno(boot, conn, error);
}

static void hand_over(struct boot *boot, struct conn *conn)
{
	struct boot_result result = conn->hs.result;
	struct dial *dial = conn->dial;
	socklen_t len = sizeof(result.local);

	memset(&result.local, 0, sizeof(result.local));
	getsockname(conn->fd, &result.local.sa, &len);
	conn_unmap(&result.local);
	result.remote = conn->remote;
	result.fd = conn->fd;
	epoll_ctl(boot->epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
	conn->fd = -1;
	conn_kill(boot, conn);
	if (dial)
		dial_done(boot, dial, &result);
	else
		boot->ops->accepted(boot->arg, &result);
}

/* All that is pending, or as much as goes. The conn may be dead afterwards. */
static void send_some(struct boot *boot, struct conn *conn)
{
	const void *from;
	size_t n_bytes;
	ssize_t n;

	while ((n_bytes = handshake_pending(&conn->hs, &from)) > 0) {
		n = send(conn->fd, from, n_bytes, MSG_NOSIGNAL);
		if (n > 0) {
			handshake_sent(&conn->hs, (size_t)n);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != EINTR) {
			conn_broken(boot, conn, errno);
			return;
		}
	}
}

/* Returns false when there is no more to read now, or the conn is dead. */
static bool receive_some(struct boot *boot, struct conn *conn)
{
	size_t n_bytes;
	void *to;
	ssize_t n;

	while ((n_bytes = handshake_want(&conn->hs, &to)) > 0) {
		n = recv(conn->fd, to, n_bytes, 0);
		if (n > 0) {
			handshake_fed(&conn->hs, (size_t)n);
			return true;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0 || errno != EAGAIN)
			conn_broken(boot, conn, n == 0 ? 0 : errno);
		return false;
	}
	return false;
}

static void ask_owner(struct boot *boot, struct conn *conn)
{
	struct boot_result *result = &conn->hs.result;
	uint64_t token = result->token;
	socklen_t len = sizeof(result->local);
	char why[160] = "";
	int status;

	getsockname(conn->fd, &result->local.sa, &len);
	conn_unmap(&result->local);
	result->remote = conn->remote;
	status = boot->ops->admit(boot->arg, result, &token, why, sizeof(why));
	conn->admitted = status == 0;
	conn->refused = status != 0;
	handshake_admit(&conn->hs, status, token, why);
	if (status == 0) {
		leave_half_open(boot, conn);
		list_move_tail(&boot->admitted, &conn->node);
	}
}

/* Has that session just been admitted, and only waits for the VERDICT? */
static bool is_admitted(const struct boot *boot,
			const uint8_t session[SESSION_ID_BYTES])
{
	list_for_each (node, &boot->admitted) {
		const struct boot_result *result =
			&list_entry(node, struct conn, node)->hs.result;

		if (result->purpose == HELLO_CONTROL &&
		    !memcmp(result->session, session, SESSION_ID_BYTES))
			return true;
	}
	return false;
}

/* The CHALLENGE was good. Before the PROOF goes out: do we still want to be
 * connected by this connection? */
static void meet(struct boot *boot, struct conn *conn)
{
	const struct boot_result *result = &conn->hs.result;
	int status = 0;

	if (!conn->dial || conn->met || !conn->hs.greeted ||
	    conn->hs.state != HANDSHAKE_RUNS)
		return;
	conn->met = true;
	if (result->purpose == HELLO_FLOW || !boot->ops->met)
		return;
	if (result->purpose == HELLO_CONTROL &&
	    is_admitted(boot, result->session))
		status = TCPX_EBUSY;
	else
		status = boot->ops->met(boot->arg, conn->dial->cookie, result);
	if (status)
		handshake_leave(&conn->hs, status,
				"connected with that session already");
}

/* From now on it is not the first to be dropped for another. */
static void note_greeting(struct boot *boot, struct conn *conn)
{
	if (conn->greeted || !conn->half_open || !conn->hs.greeted)
		return;
	conn->greeted = true;
	conn->deadline_ns = conn->since_ns + boot->timeout_ms * NS_PER_MS;
	conn->since_ns = clock_now_ns();
	boot_due(boot, conn->deadline_ns);
	list_move_tail(&boot->greeted, &conn->node);
}

static void set_interest(struct boot *boot, struct conn *conn)
{
	struct epoll_event event = {.data.ptr = &conn->source};
	const void *from;
	void *to;

	if (handshake_want(&conn->hs, &to) > 0)
		event.events |= EPOLLIN;
	if (handshake_pending(&conn->hs, &from) > 0)
		event.events |= EPOLLOUT;
	if (event.events == conn->interest)
		return;
	conn->interest = event.events;
	epoll_ctl(boot->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event);
}

/* Ends what has come to its end. Its last words are sent first, if they can
 * be. */
static bool settle(struct boot *boot, struct conn *conn)
{
	const void *from;

	if (conn->dead)
		return true;
	if (conn->hs.state == HANDSHAKE_DONE) {
		hand_over(boot, conn);
		return true;
	}
	if (conn->hs.state != HANDSHAKE_FAILED ||
	    handshake_pending(&conn->hs, &from) > 0)
		return false;
	conn_fail(boot, conn, conn->hs.status, true, conn->hs.cause);
	return true;
}

void conn_io(struct boot *boot, struct conn *conn)
{
	bool more;

	do {
		send_some(boot, conn);
		if (settle(boot, conn))
			return;
		more = receive_some(boot, conn);
		if (!conn->dead)
			meet(boot, conn);
		if (!conn->dead && conn->hs.state == HANDSHAKE_ADMIT)
			ask_owner(boot, conn);
		if (!conn->dead)
			note_greeting(boot, conn);
	} while (more);
	if (!conn->dead)
		set_interest(boot, conn);
}

/* A port of ours that nobody listens on can, by chance, be the one the kernel
 * chose for our end: TCP then connects the socket to itself. */
static bool met_itself(const struct conn *conn)
{
	struct net_addr local = {0};
	socklen_t len = sizeof(local);

	return getsockname(conn->fd, &local.sa, &len) == 0 &&
	       addr_equal(&local, &conn->remote);
}

void conn_event(struct boot *boot, struct conn *conn)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (conn->dead)
		return;
	if (conn->connecting) {
		getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (error == 0 && met_itself(conn))
			error = ECONNREFUSED;
		if (error) {
			conn_fail_errno(boot, conn, error);
			return;
		}
		conn->connecting = false;
	}
	conn_io(boot, conn);
}

void conn_expire(struct boot *boot, struct conn *conn)
{
	const struct handshake *hs = &conn->hs;

	if (hs->state == HANDSHAKE_FAILED)
		conn_fail(boot, conn, hs->status, true, hs->cause);
	else if (conn->dial)
		conn_fail(boot, conn, TCPX_EUNREACHABLE, false,
			  "no answer in time");
	else if (conn->admitted)
		conn_fail(boot, conn, TCPX_ELIVENESS, true,
			  "does not read our verdict");
	else
		conn_fail(boot, conn, TCPX_ELIVENESS, true,
			  conn->greeted ? "no PROOF in time" :
					  "no HELLO in time");
}
