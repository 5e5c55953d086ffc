/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "boot/internal.h"

/*
 * One boot_connect(): look the name up, try its addresses one after the
 * other, wait (50 ms, growing to 1 s), and again, until the deadline or an
 * answer that trying again would not change. Only dial_run() ends a dial, so
 * that nobody who holds one finds it gone.
 */

#define DELAY_MIN_MS 50u
#define DELAY_MAX_MS 1000u
/* With several addresses, one that swallows packets must not eat all time. */
#define ATTEMPT_MS 2000u
/* A fresh attempt says less than the failure of the one before it. */
#define YOUNG_NS NS_PER_S

int dial_status(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return TCPX_EREFUSED;
	case ECONNRESET:
	case EPIPE:
		return TCPX_ECLOSED;
	case EMFILE:
	case ENFILE:
		return TCPX_ENFILE;
	case ENOMEM:
	case ENOBUFS:
		return TCPX_ENOMEM;
	default:
		return TCPX_EUNREACHABLE;
	}
}

static int take_host(struct dial *dial, const char *text)
{
	int err = addr_split(text, dial->host, sizeof(dial->host), &dial->port);
	struct net_addr addr;

	if (err)
		return err;
	if (dial->port == 0 || dial->host[0] == '\0')
		return TCPX_EINVAL;
	if (addr_parse(dial->host, &addr) < 0)
		return 0;
	dial->host[0] = '\0'; /* numeric: nothing to look up */
	addr_set_port(&addr, dial->port);
	dial->addrs[0] = addr;
	dial->n_addrs = 1;
	return 0;
}

int dial_create(struct boot *boot, const struct boot_target *target,
		uint64_t cookie, uint32_t timeout_ms, struct dial **dial)
{
	struct dial *d = calloc(1, sizeof(*d));
	int err = 0;

	if (!d)
		return TCPX_ENOMEM;
	list_init(&d->node);
	list_init(&d->all_node);
	d->cookie = cookie;
	d->target = *target;
	d->target.host = NULL;
	d->delay_ms = DELAY_MIN_MS;
	d->deadline_ns =
		clock_now_ns() +
		(timeout_ms ? timeout_ms : boot->timeout_ms) * NS_PER_MS;
	if (target->host) {
		err = take_host(d, target->host);
	} else {
		d->addrs[0] = target->addr;
		d->n_addrs = 1;
	}
	if (err) {
		dial_destroy(boot, d);
		return err;
	}
	*dial = d;
	return 0;
}

void dial_destroy(struct boot *boot, struct dial *dial)
{
	if (dial->conn)
		conn_kill(boot, dial->conn);
	resolve_drop(boot->resolver, dial->query);
	auth_wipe(&dial->target, sizeof(dial->target));
	free(dial);
}

static void finish(struct boot *boot, struct dial *dial, int status,
		   const char *cause, const struct boot_result *result)
{
	uint64_t cookie = dial->cookie;
	char text[BOOT_CAUSE_MAX];

	snprintf(text, sizeof(text), "%s", cause);
	pthread_mutex_lock(&boot->lock);
	list_del(&dial->all_node);
	pthread_mutex_unlock(&boot->lock);
	list_del(&dial->node);
	dial_destroy(boot, dial);
	boot->ops->connected(boot->arg, cookie, status, text, result);
}

void dial_done(struct boot *boot, struct dial *dial,
	       const struct boot_result *result)
{
	finish(boot, dial, 0, "", result);
}

static void next_attempt_in(struct boot *boot, struct dial *dial,
			    uint64_t delay_ns)
{
	dial->next_ns = clock_now_ns() + delay_ns;
	boot_due(boot, dial->next_ns);
}

/* A thousand that were refused together should not come back together. */
static uint64_t back_off(struct dial *dial)
{
	uint64_t delay_ns = dial->delay_ms * NS_PER_MS;
	uint32_t dice;

	auth_random(&dice, sizeof(dice));
	dial->delay_ms = dial->delay_ms * 2 < DELAY_MAX_MS ?
				 dial->delay_ms * 2 :
				 DELAY_MAX_MS;
	return delay_ns - (delay_ns / 4) * (dice % 1024) / 1024;
}

static void note(struct dial *dial, int status, const char *where,
		 const char *cause)
{
	dial->status = status;
	snprintf(dial->cause, sizeof(dial->cause), "%.100s: %s", where, cause);
}

void dial_failed(struct boot *boot, struct dial *dial, int status, bool final,
		 const char *cause)
{
	char where[ADDR_TEXT_MAX];

	addr_text(&dial->addrs[dial->at_addr], where);
	note(dial, status, where, cause);
	dial->final = final || dial->target.once;
	log_debug(boot->log, BOOT_SUBSYSTEM, "connecting to %s", dial->cause);
	if (++dial->at_addr < dial->n_addrs || dial->final) {
		next_attempt_in(boot, dial, 0);
		return;
	}
	dial->at_addr = 0;
	if (dial->host[0])
		dial->n_addrs = 0; /* look it up anew */
	next_attempt_in(boot, dial, back_off(dial));
}

/* ---- names ------------------------------------------------------------- */

static void name_failed(struct boot *boot, struct dial *dial, int status,
			bool final, const char *why)
{
	note(dial, status, dial->host, why);
	dial->final = final;
	next_attempt_in(boot, dial, final ? 0 : back_off(dial));
}

static void start_query(struct boot *boot, struct dial *dial)
{
	int err = resolve_start(boot->resolver, dial->host, &dial->query);

	if (err)
		name_failed(boot, dial, err, false, "cannot be looked up now");
	else
		dial->next_ns = UINT64_MAX; /* the answer wakes the loop */
}

/* Those we can reach from the address we are to leave by. */
static uint32_t usable_addrs(struct dial *dial, uint32_t n_addrs)
{
	sa_family_t family = dial->target.bind_addr.sa.sa_family;
	uint32_t n = 0;

	for (uint32_t i = 0; i < n_addrs; i++) {
		if (family && dial->addrs[i].sa.sa_family != family)
			continue;
		dial->addrs[n] = dial->addrs[i];
		addr_set_port(&dial->addrs[n++], dial->port);
	}
	return n;
}

static void test_query(struct boot *boot, struct dial *dial)
{
	const char *why = "";
	uint32_t n_addrs = 0;
	int err = resolve_test(boot->resolver, dial->query, dial->addrs,
			       &n_addrs, &why);

	if (err == TCPX_INPROGRESS)
		return;
	resolve_drop(boot->resolver, dial->query);
	dial->query = NULL;
	if (err) {
		name_failed(boot, dial, TCPX_EUNREACHABLE, err != TCPX_EAGAIN,
			    why);
		return;
	}
	dial->n_addrs = usable_addrs(dial, n_addrs);
	dial->at_addr = 0;
	if (dial->n_addrs == 0)
		name_failed(boot, dial, TCPX_EUNREACHABLE, true,
			    "no address of our own's family");
	else
		dial->next_ns = 0;
}

/* ---- attempts ---------------------------------------------------------- */

static int leave_from(const struct dial *dial, int fd)
{
	struct net_addr from = dial->target.bind_addr;
	int on = 1;

	if (from.sa.sa_family == 0)
		return 0;
	addr_set_port(&from, 0);
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	return bind(fd, &from.sa, addr_len(&from)) < 0 ? -errno : 0;
}

/* A socket on its way to addr, or -errno. */
static int start_connect(const struct dial *dial, const struct net_addr *to,
			 int *sock)
{
	int fd = socket(to->sa.sa_family,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, err;

	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	err = leave_from(dial, fd);
	/* EINTR leaves it under way, as EINPROGRESS does. */
	if (err == 0 && connect(fd, &to->sa, addr_len(to)) < 0 &&
	    errno != EINPROGRESS && errno != EINTR)
		err = -errno;
	if (err) {
		close(fd);
		return err;
	}
	*sock = fd;
	return 0;
}

static void start_attempt(struct boot *boot, struct dial *dial)
{
	struct net_addr to = dial->addrs[dial->at_addr];
	uint8_t nonce[HELLO_NONCE_BYTES];
	int fd = -1, err = start_connect(dial, &to, &fd);
	struct conn *conn;

	if (err) {
		errno = -err;
		dial_failed(boot, dial, dial_status(-err),
			    err == -EAFNOSUPPORT || err == -EINVAL,
			    strerrordesc_np(-err));
		return;
	}
	conn = conn_create(boot, fd, &to, EPOLLOUT, &boot->dialing);
	if (!conn) {
		close(fd);
		dial_failed(boot, dial, TCPX_ENOMEM, false, "out of memory");
		return;
	}
	auth_random(nonce, sizeof(nonce));
	handshake_init_connector(&conn->hs, &boot->self, &dial->target, nonce);
	conn->connecting = true;
	conn->dial = dial;
	dial->conn = conn;
	dial->next_ns = UINT64_MAX;
	if (dial->n_addrs > 1) {
		conn->deadline_ns = conn->since_ns + ATTEMPT_MS * NS_PER_MS;
		boot_due(boot, conn->deadline_ns);
	}
}

/* ---- the end ----------------------------------------------------------- */

static void finish_late(struct boot *boot, struct dial *dial, uint64_t now_ns)
{
	const struct conn *conn = dial->conn;
	char where[ADDR_TEXT_MAX];

	if (dial->status == 0 && dial->query)
		note(dial, TCPX_EUNREACHABLE, dial->host,
		     "no answer from the name server in time");
	if (conn && (dial->status == 0 || now_ns - conn->since_ns > YOUNG_NS)) {
		addr_text(&conn->remote, where);
		if (conn->connecting)
			note(dial, TCPX_EUNREACHABLE, where,
			     "no answer in time");
		else
			note(dial, TCPX_ELIVENESS, where,
			     "accepts connections, but does not answer them");
	}
	if (dial->status == 0)
		note(dial, TCPX_EUNREACHABLE, "connecting", "out of time");
	finish(boot, dial, dial->status, dial->cause, NULL);
}

void dial_run(struct boot *boot, struct dial *dial, uint64_t now_ns)
{
	if (dial->query)
		test_query(boot, dial);
	if (load_acquire(&dial->canceled)) { /* boot_cancel() */
		finish(boot, dial, TCPX_ECANCELED, "canceled", NULL);
		return;
	}
	if (dial->final) {
		finish(boot, dial, dial->status, dial->cause, NULL);
		return;
	}
	if (now_ns >= dial->deadline_ns) {
		finish_late(boot, dial, now_ns);
		return;
	}
	if (now_ns >= dial->next_ns) {
		if (dial->n_addrs > 0)
			start_attempt(boot, dial);
		else
			start_query(boot, dial);
	}
	boot_due(boot, dial->next_ns < dial->deadline_ns ? dial->next_ns :
							   dial->deadline_ns);
}
