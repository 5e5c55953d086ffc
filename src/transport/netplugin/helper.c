/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/netplugin/helper.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <tcpx/status.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sigmask.h"
#include "gpu/gpu.h"
#include "transport/netplugin/refusal.h"

static const struct transport_ops *const inside = &netplugin_inside;

#define START_MS 30000
/* Nothing to do for so long: naps, and longer ones. A chunk that comes in is
 * found no later than the nap is long. */
#define SPIN_NS (100 * NS_PER_US)
#define NAP_NS (50 * NS_PER_US)
#define DROWSY_NS (100 * NS_PER_MS)
#define LONG_NAP_NS (500 * NS_PER_US)
#define PASSES_A_LOOK 32 /* between looks at the socket while busy */

static struct helper helper = {.watch_lock = PTHREAD_MUTEX_INITIALIZER,
			       .words_lock = PTHREAD_MUTEX_INITIALIZER};
/* Nobody listens to our words any more; main's, read by the plugin's. */
static _Atomic bool deaf;

/* From any thread of this process, the plugin's too. */
void helper_tell(const struct shared_message *message, const int *fds,
		 uint32_t n_fds)
{
	if (shared_send(SHARED_FD_SOCKET, message, fds, n_fds))
		_exit(0); /* the session is gone, and so is our work */
}

static void on_log(void *arg, enum tcpx_log_level level, const char *subsystem,
		   const char *text)
{
	struct shared_message m = {.type = SHARED_LOG, .status = level};

	if (load_relaxed(&deaf))
		return;
	snprintf(m.text, sizeof(m.text), "%s", text);
	if (level <= TCPX_LOG_WARN) {
		pthread_mutex_lock(&helper.words_lock);
		memcpy(helper.last_warning, m.text, sizeof(m.text));
		pthread_mutex_unlock(&helper.words_lock);
	}
	helper_tell(&m, NULL, 0);
}

/* ---- messages ---------------------------------------------------------- */

static void set_wake_fd(struct helper *h, uint32_t index, int fd)
{
	if (h->wake_fds[index] >= 0)
		close(h->wake_fds[index]);
	h->wake_fds[index] = fd;
}

void helper_tell_closed(struct helper *h, uint32_t index)
{
	struct shared_message m = {.type = SHARED_CLOSED, .index = index};

	set_wake_fd(h, index, -1);
	helper_tell(&m, NULL, 0);
}

static void tell_listened(uint32_t id, int status)
{
	struct shared_message m = {
		.type = SHARED_LISTENED, .id = id, .status = status};

	snprintf(m.text, sizeof(m.text), "%s", refusal_get());
	helper_tell(&m, NULL, 0);
}

static void on_listen(struct helper *h, const struct shared_message *m)
{
	struct helper_listener *l = calloc(1, sizeof(*l));
	int err = l ? inside->listen_start(h->t, h->rail, &l->in) : TCPX_ENOMEM;

	if (err) {
		free(l);
		tell_listened(m->id, err);
		helper_tell_closed(h, m->index);
		return;
	}
	l->id = m->id;
	l->index = m->index;
	list_init(&l->link);
	list_add_tail(&h->listeners, &l->link);
}

static void on_connect(struct helper *h, const struct shared_message *m)
{
	struct helper_connect *c = calloc(1, sizeof(*c));

	if (!c || m->addr_bytes > sizeof(c->addr)) {
		struct shared_message reply = {.type = SHARED_READY,
					       .id = m->id,
					       .status = TCPX_ENOMEM};

		free(c);
		helper_tell(&reply, NULL, 0);
		helper_tell_closed(h, m->index);
		return;
	}
	c->id = m->id;
	c->index = m->index;
	c->addr_bytes = m->addr_bytes;
	memcpy(c->addr, m->addr, m->addr_bytes);
	list_init(&c->link);
	list_add_tail(&h->connects, &c->link);
}

/* Its receiver, if it was not made before, will not be. */
static void on_unlisten(struct helper *h, uint32_t id)
{
	list_for_each_safe (node, &h->listeners) {
		struct helper_listener *l =
			list_entry(node, struct helper_listener, link);

		if (l->id != id)
			continue;
		inside->listener_close(l->in);
		if (!l->made)
			helper_tell_closed(h, l->index);
		list_del(&l->link);
		free(l);
	}
}

static void on_close(struct helper *h, uint32_t id)
{
	list_for_each (node, &h->channels) {
		struct helper_channel *c =
			list_entry(node, struct helper_channel, link);

		c->closing |= c->id == id;
	}
	list_for_each_safe (node, &h->connects) {
		struct helper_connect *c =
			list_entry(node, struct helper_connect, link);

		if (c->id != id)
			continue;
		if (c->in)
			inside->channel_close(c->in);
		helper_tell_closed(h, c->index);
		list_del(&c->link);
		free(c);
	}
}

/* What came along: the eventfd of the channel that is to be made. */
static void keep_fds(struct helper *h, const struct shared_message *m,
		     const int *fds, uint32_t n_fds)
{
	bool makes = m->type == SHARED_LISTEN || m->type == SHARED_CONNECT;

	if (makes && n_fds)
		set_wake_fd(h, m->index, fds[0]);
	for (uint32_t i = makes; i < n_fds; i++)
		close(fds[i]);
}

/* false: the session is gone. */
static bool read_messages(struct helper *h)
{
	struct shared_message m;
	int fds[SHARED_FDS_MAX], rc;
	uint32_t n_fds;

	while (!(rc = shared_receive(SHARED_FD_SOCKET, &m, fds, &n_fds))) {
		if (m.index >= SHARED_CHANNELS)
			return false;
		keep_fds(h, &m, fds, n_fds);
		switch (m.type) {
		case SHARED_LISTEN:
			on_listen(h, &m);
			break;
		case SHARED_UNLISTEN:
			on_unlisten(h, m.id);
			break;
		case SHARED_CONNECT:
			on_connect(h, &m);
			break;
		case SHARED_CLOSE:
			on_close(h, m.id);
			break;
		case SHARED_POOL_TAKEN:
			helper_lend_answered(h, &m);
			break;
		case SHARED_POOL_PROVED:
			helper_lend_proved(h, &m);
			break;
		default:
			return false;
		}
	}
	return rc == TCPX_EAGAIN;
}

/* ---- half-made --------------------------------------------------------- */

static void make_one(struct helper *h, uint32_t id, uint32_t index, int status,
		     struct channel *in)
{
	struct shared_message m = {
		.type = SHARED_READY, .id = id, .status = status};

	if (!status) {
		helper_channel_create(h, id, index, in);
		return;
	}
	snprintf(m.text, sizeof(m.text), "%s", refusal_get());
	helper_tell(&m, NULL, 0);
	helper_tell_closed(h, index);
}

/* Has it begun to listen? Then the session is told the address, once; one
 * that fails it gives up by itself. */
static bool listens(struct helper_listener *l)
{
	struct shared_message m = {.type = SHARED_LISTENED, .id = l->id};
	size_t addr_bytes = sizeof(m.addr);

	if (l->listened)
		return true;
	int status = inside->listen_poll(l->in, m.addr, &addr_bytes);

	if (status == TCPX_INPROGRESS)
		return false;
	l->listened = true;
	m.addr_bytes = (uint32_t)addr_bytes;
	if (!status)
		helper_tell(&m, NULL, 0);
	else
		tell_listened(l->id, status);
	l->deaf = status != 0;
	return !l->deaf;
}

static void make_all(struct helper *h)
{
	list_for_each (node, &h->listeners) {
		struct helper_listener *l =
			list_entry(node, struct helper_listener, link);
		struct channel *in = NULL;
		int status = l->made || l->deaf || !listens(l) ?
				     TCPX_INPROGRESS :
				     inside->accept(l->in, &in);

		if (status == TCPX_INPROGRESS)
			continue;
		l->made = true;
		make_one(h, l->id, l->index, status, in);
	}
	list_for_each_safe (node, &h->connects) {
		struct helper_connect *c =
			list_entry(node, struct helper_connect, link);
		int status = inside->connect(h->t, h->rail, c->addr,
					     c->addr_bytes, &c->in);

		if (status == TCPX_INPROGRESS)
			continue;
		make_one(h, c->id, c->index, status, c->in);
		list_del(&c->link);
		free(c);
	}
}

/* ---- the loop ---------------------------------------------------------- */

static bool run_channels(struct helper *h)
{
	bool any = false;

	list_for_each_safe (node, &h->channels) {
		struct helper_channel *c =
			list_entry(node, struct helper_channel, link);

		if (!helper_channel_end(c))
			any |= helper_channel_run(c);
	}
	if (h->flush)
		gpu_flush(h->the_rail->gpu);
	h->flush = false;
	return any;
}

static bool has_work(struct helper *h)
{
	list_for_each (node, &h->channels)
		if (helper_channel_has_work(
			    list_entry(node, struct helper_channel, link)))
			return true;
	return false;
}

/* Until a message, a command (whose author sees that we sleep), or for so
 * long: the plugin has nothing to wake us. */
static void nap(struct helper *h, uint64_t ns)
{
	struct pollfd fds[] = {{SHARED_FD_SOCKET, POLLIN, 0},
			       {SHARED_FD_WAKE, POLLIN, 0}};
	struct timespec time = {0, (long)ns};
	bool forever = list_empty(&h->channels) && list_empty(&h->connects) &&
		       list_empty(&h->listeners);
	uint64_t count;

	/* Pairs with the session's look at sleeps behind its push. */
	atomic_store(&h->area->sleeps, 1);
	atomic_thread_fence(memory_order_seq_cst);
	if (!has_work(h))
		ppoll(fds, 2, forever ? NULL : &time, NULL);
	atomic_store(&h->area->sleeps, 0);
	if (fds[1].revents && read(SHARED_FD_WAKE, &count, sizeof(count)) < 0)
		return;
}

static void run(struct helper *h)
{
	uint64_t moved_ns = clock_now_ns();
	uint32_t passes = 0;

	for (;;) {
		bool moved = run_channels(h);
		bool look = !moved || ++passes % PASSES_A_LOOK == 0;

		store_relaxed(&h->area->beats,
			      load_relaxed(&h->area->beats) + 1);

		if (look) {
			if (!read_messages(h))
				return;
			make_all(h);
		}
		if (moved) {
			if (look)
				moved_ns = clock_now_ns();
			continue;
		}
		uint64_t idle_ns = clock_now_ns() - moved_ns;

		if (idle_ns >= DROWSY_NS)
			nap(h, LONG_NAP_NS);
		else if (idle_ns >= SPIN_NS)
			nap(h, NAP_NS);
		else
			sched_yield(); /* the plugin's threads may need it */
	}
}

/* ---- start and end ----------------------------------------------------- */

static int start_transport(struct helper *h, const struct shared_start *start)
{
	const struct gpu_params gpu_params = {
		.log = &h->log,
		.slot_bytes = 4096,
		.n_slots = 2,
	};
	struct transport_params params = {
		.log = &h->log,
		.chunk_bytes = start->chunk_bytes,
	};
	char index[16];

	snprintf(index, sizeof(index), "%u", start->gpu_index);
	setenv(OPTIONS_HELPER_GPU, index, 1);
	int err = gpu_set_create(start->driver, &gpu_params, &h->gpus);
	if (err)
		return err;
	params.gpus = h->gpus;
	err = inside->open(&params, &h->t);
	if (err)
		return err;
	h->rail = start->gpu_index % h->t->n_rails;
	h->the_rail = &h->t->rails[h->rail];
	helper_watch(h, h->t);
	return TCPX_OK;
}

static bool receive_start(struct shared_message *m)
{
	struct pollfd pollfd = {SHARED_FD_SOCKET, POLLIN, 0};
	int fds[SHARED_FDS_MAX];
	uint32_t n_fds;

	return poll(&pollfd, 1, START_MS) == 1 &&
	       !shared_receive(SHARED_FD_SOCKET, m, fds, &n_fds) &&
	       m->type == SHARED_START && m->start.version == SHARED_VERSION;
}

/* The plugin's threads may be saying something just now. */
static void last_warning(struct helper *h, char to[SHARED_TEXT])
{
	pthread_mutex_lock(&h->words_lock);
	memcpy(to, h->last_warning, SHARED_TEXT);
	pthread_mutex_unlock(&h->words_lock);
}

static int start(struct helper *h)
{
	struct shared_message m, reply = {.type = SHARED_STARTED};

	list_init(&h->channels);
	list_init(&h->listeners);
	list_init(&h->connects);
	memset(h->wake_fds, -1, sizeof(h->wake_fds));
	close_range(SHARED_FD_WAKE + 1, ~0u, 0);
	h->area = mmap(NULL, sizeof(*h->area), PROT_READ | PROT_WRITE,
		       MAP_SHARED, SHARED_FD_MEMORY, 0);
	if (h->area == MAP_FAILED || !receive_start(&m))
		return TCPX_EINTERNAL;
	h->log = (struct log){
		.fn = on_log,
		.level = (enum tcpx_log_level)m.start.log_level,
	};
	/* Words for the session's describe() come from warnings. */
	if (h->log.level < TCPX_LOG_WARN)
		h->log.level = TCPX_LOG_WARN;
	reply.status = start_transport(h, &m.start);
	if (reply.status)
		last_warning(h, reply.text);
	else
		snprintf(reply.text, sizeof(reply.text), "%s",
			 h->the_rail->ifname);
	reply.has_daemon = !reply.status &&
			   h->t->plugin->quirks & PLUGIN_NEEDS_DAEMON;
	helper_tell(&reply, NULL, 0);
	return reply.status;
}

/* The session is gone: goodbyes, and out. */
static void finish(struct helper *h)
{
	list_for_each (node, &h->channels)
		inside->channel_close(
			list_entry(node, struct helper_channel, link)->in);
	list_for_each (node, &h->listeners)
		inside->listener_close(
			list_entry(node, struct helper_listener, link)->in);
	helper_watch(h, NULL);
	inside->close(h->t);
}

int main(void)
{
	/* Before there is another thread: the plugin's have it from here. */
	sigmask_shut_pipe();
	/* Not by way of the plugin's exit handlers, which may hang. */
	if (helper_watch_start(&helper) || start(&helper))
		_exit(1);
	run(&helper);
	store_relaxed(&deaf, true);
	finish(&helper);
	_exit(0);
}
