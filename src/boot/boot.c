/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/boot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "boot/internal.h"

#define EVENTS_MAX 64
#define RAILS_BYTES_MAX HELLO_BODY_MAX
#define COMPLAINTS_BURST 10

void boot_due(struct boot *boot, uint64_t at_ns)
{
	if (at_ns < boot->next_ns)
		boot->next_ns = at_ns;
}

int boot_watch(struct boot *boot, int fd, uint32_t events,
	       struct source *source)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	return epoll_ctl(boot->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ?
		       TCPX_ENOMEM :
		       0;
}

static bool may_complain(struct log_limit *limit)
{
	uint64_t now_ns = clock_now_ns();
	uint64_t n_new = (now_ns - limit->refilled_ns) / NS_PER_S;

	if (n_new > 0) {
		limit->refilled_ns = now_ns;
		limit->n_tokens = n_new + limit->n_tokens < COMPLAINTS_BURST ?
					  (uint32_t)n_new + limit->n_tokens :
					  COMPLAINTS_BURST;
	}
	if (limit->n_tokens == 0) {
		limit->n_left_out++;
		return false;
	}
	limit->n_tokens--;
	return true;
}

void boot_complain(struct boot *boot, enum tcpx_log_level level,
		   const struct net_addr *remote, const char *name,
		   const char *cause)
{
	char from[ADDR_TEXT_MAX], before[64] = "";

	if (level <= TCPX_LOG_WARN && !may_complain(&boot->complaints))
		return;
	addr_text(remote, from);
	if (level <= TCPX_LOG_WARN && boot->complaints.n_left_out > 0) {
		snprintf(before, sizeof(before), " (%llu more before it)",
			 (unsigned long long)boot->complaints.n_left_out);
		boot->complaints.n_left_out = 0;
	}
	if (*name)
		log_write(boot->log, level, BOOT_SUBSYSTEM,
			  "connection from %s (\"%s\"): %s%s", from, name,
			  cause, before);
	else
		log_write(boot->log, level, BOOT_SUBSYSTEM,
			  "connection from %s: %s%s", from, cause, before);
}

/* ---- opening and closing ----------------------------------------------- */

static int take_rails(struct boot *boot, const struct boot_params *params)
{
	struct wire_rail rails[BLOB_RAILS_MAX];
	uint32_t n_rails = params->n_rails < BLOB_RAILS_MAX ? params->n_rails :
							      BLOB_RAILS_MAX;
	uint8_t buf[RAILS_BYTES_MAX];
	size_t len_bytes = 0;
	int err;

	if (n_rails == 0)
		return 0;
	memcpy(rails, params->rails, n_rails * sizeof(*rails));
	for (uint32_t i = 0; i < n_rails; i++) {
		if (addr_port(&rails[i].addr) == 0)
			addr_set_port(&rails[i].addr, boot->port);
	}
	err = rails_encode(rails, n_rails, buf, sizeof(buf), &len_bytes);
	if (err)
		return err;
	boot->rails = malloc(len_bytes);
	if (!boot->rails)
		return TCPX_ENOMEM;
	memcpy(boot->rails, buf, len_bytes);
	boot->self.rails = boot->rails;
	boot->self.rails_bytes = (uint32_t)len_bytes;
	return 0;
}

static int take_self(struct boot *boot, const struct boot_params *params)
{
	struct handshake_self *self = &boot->self;

	memcpy(self->session, params->session, sizeof(self->session));
	memcpy(self->keys.blob, params->secret, sizeof(self->keys.blob));
	snprintf(self->name, sizeof(self->name), "%s",
		 params->name ? params->name : "");
	snprintf(self->transports, sizeof(self->transports), "%s",
		 params->transports ? params->transports : "");
	self->limits = params->limits;
	boot->max_half_open = params->max_half_open ? params->max_half_open : 1;
	boot->timeout_ms = params->timeout_ms ? params->timeout_ms : 1;
	if (!params->shared_secret || !*params->shared_secret)
		return 0;
	self->keys.has_shared = true;
	return auth_derive_shared(params->shared_secret, self->keys.shared);
}

static void resolver_ready(void *arg)
{
	boot_wake(arg);
}

static int open_loop(struct boot *boot)
{
	boot->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	boot->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (boot->epoll_fd < 0 || boot->wake_fd < 0)
		return TCPX_ENFILE;
	return boot_watch(boot, boot->wake_fd, EPOLLIN, &boot->wake);
}

static void init_lists(struct boot *boot)
{
	list_init(&boot->silent);
	list_init(&boot->greeted);
	list_init(&boot->admitted);
	list_init(&boot->dialing);
	list_init(&boot->dead);
	list_init(&boot->dials);
	list_init(&boot->newcomers);
	list_init(&boot->all_dials);
}

int boot_open(const struct boot_params *params, const struct boot_ops *ops,
	      void *arg, struct boot **boot)
{
	struct boot *b = calloc(1, sizeof(*b));
	int err;

	if (!b)
		return TCPX_ENOMEM;
	b->log = params->log;
	b->ops = ops;
	b->arg = arg;
	b->epoll_fd = b->wake_fd = b->listen_fd = -1;
	b->listener.kind = SOURCE_LISTENER;
	b->wake.kind = SOURCE_WAKE;
	b->next_ns = UINT64_MAX;
	b->complaints.n_tokens = COMPLAINTS_BURST;
	init_lists(b);
	pthread_mutex_init(&b->lock, NULL);
	err = auth_init();
	if (err == 0)
		err = take_self(b, params);
	if (err == 0)
		err = open_loop(b);
	if (err == 0)
		err = resolver_create(resolver_ready, b, &b->resolver);
	if (err == 0)
		err = listen_open(b, params);
	if (err == 0)
		err = take_rails(b, params);
	if (err) {
		boot_close(b);
		return err;
	}
	*boot = b;
	return 0;
}

static void kill_all(struct boot *boot, struct list *conns)
{
	list_for_each_safe (node, conns)
		conn_kill(boot, list_entry(node, struct conn, node));
}

void boot_close(struct boot *boot)
{
	if (!boot)
		return;
	list_for_each_safe (node, &boot->all_dials)
		dial_destroy(boot, list_entry(node, struct dial, all_node));
	/* No ready() comes after this. */
	resolver_close(boot->resolver);
	kill_all(boot, &boot->silent);
	kill_all(boot, &boot->greeted);
	kill_all(boot, &boot->admitted);
	conn_reap(boot);
	listen_close(boot);
	if (boot->wake_fd >= 0)
		close(boot->wake_fd);
	if (boot->epoll_fd >= 0)
		close(boot->epoll_fd);
	pthread_mutex_destroy(&boot->lock);
	free(boot->rails);
	auth_wipe(boot, sizeof(*boot));
	free(boot);
}

uint16_t boot_port(const struct boot *boot)
{
	return boot->port;
}

/* ---- from any thread --------------------------------------------------- */

int boot_connect(struct boot *boot, const struct boot_target *target,
		 uint64_t cookie, uint32_t timeout_ms)
{
	struct dial *dial;
	int err;

	if (target->key == HELLO_KEY_SHARED && !boot->self.keys.has_shared)
		return TCPX_EINVAL;
	err = dial_create(boot, target, cookie, timeout_ms, &dial);
	if (err)
		return err;
	pthread_mutex_lock(&boot->lock);
	list_add_tail(&boot->newcomers, &dial->node);
	list_add_tail(&boot->all_dials, &dial->all_node);
	pthread_mutex_unlock(&boot->lock);
	boot_wake(boot);
	return 0;
}

void boot_cancel(struct boot *boot, uint64_t cookie)
{
	struct dial *dial;

	pthread_mutex_lock(&boot->lock);
	list_for_each (node, &boot->all_dials) {
		dial = list_entry(node, struct dial, all_node);
		if (dial->cookie == cookie)
			store_release(&dial->canceled, true); /* dial_run() */
	}
	pthread_mutex_unlock(&boot->lock);
	boot_wake(boot);
}

void boot_wake(struct boot *boot)
{
	uint64_t one = 1;

	/* Full, it is readable all the same. */
	while (write(boot->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* ---- the loop ---------------------------------------------------------- */

static void take_newcomers(struct boot *boot)
{
	pthread_mutex_lock(&boot->lock);
	list_for_each_safe (node, &boot->newcomers)
		list_move_tail(&boot->dials, node);
	pthread_mutex_unlock(&boot->lock);
}

static void expire(struct boot *boot, struct list *conns, uint64_t now_ns)
{
	struct conn *conn;

	list_for_each_safe (node, conns) {
		conn = list_entry(node, struct conn, node);
		if (now_ns >= conn->deadline_ns)
			conn_expire(boot, conn);
		else
			boot_due(boot, conn->deadline_ns);
	}
}

/* All that time, a wake-up or a failed attempt asks for; finds anew when the
 * next is due. */
static void run_due(struct boot *boot)
{
	uint64_t now_ns = clock_now_ns();

	boot->next_ns = UINT64_MAX;
	take_newcomers(boot);
	expire(boot, &boot->silent, now_ns);
	expire(boot, &boot->greeted, now_ns);
	expire(boot, &boot->admitted, now_ns);
	expire(boot, &boot->dialing, now_ns);
	listen_resume(boot, now_ns);
	list_for_each_safe (node, &boot->dials)
		dial_run(boot, list_entry(node, struct dial, node), now_ns);
}

static bool handle(struct boot *boot, struct source *source)
{
	uint64_t count;

	switch (source->kind) {
	case SOURCE_WAKE:
		/* Reset before the queues are looked at, or a wake-up that
		 * comes in between would be lost. */
		while (read(boot->wake_fd, &count, sizeof(count)) < 0 &&
		       errno == EINTR)
			;
		return true;
	case SOURCE_LISTENER:
		listen_accept(boot);
		return false;
	case SOURCE_CONN:
		conn_event(boot, list_entry(source, struct conn, source));
		return false;
	}
	return false;
}

static int sleep_ms(const struct boot *boot, int timeout_ms)
{
	int left_ms = clock_left_ms(boot->next_ns);

	if (left_ms < 0 || (timeout_ms >= 0 && timeout_ms < left_ms))
		return timeout_ms;
	return left_ms;
}

void boot_run(struct boot *boot, int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	bool woken = false;
	int n = epoll_wait(boot->epoll_fd, events, EVENTS_MAX,
			   sleep_ms(boot, timeout_ms));

	for (int i = 0; i < n; i++) {
		if (handle(boot, events[i].data.ptr))
			woken = true;
	}
	if (woken || clock_now_ns() >= boot->next_ns)
		run_due(boot);
	/* Not before: an event of this round may point to a dead one. */
	conn_reap(boot);
}
