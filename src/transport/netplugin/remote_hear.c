/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/netplugin/remote.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <tcpx/status.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sigmask.h"

#define RESTART_NS (2 * NS_PER_S)
#define RESTART_MAX_NS (60 * NS_PER_S)
#define END_NS (200 * NS_PER_MS) /* from its socket's end to its own */
#define KILLED_NS (2 * NS_PER_S) /* a driver may take its time */

/* ---- memory ------------------------------------------------------------ */

static uint8_t *map_fd(int fd, uint64_t len_bytes)
{
	void *got = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			 fd, 0);

	return got == MAP_FAILED ? NULL : got;
}

/* How much memory a channel has, by our own reckoning: the helper's must not
 * be less. */
static uint64_t wanted_bytes(const struct channel *c)
{
	const struct transport *t = c->transport;

	return (uint64_t)t->limits.chunk_bytes *
	       (c->sends ? t->options.n_slots : t->limits.window);
}

/* The lists that come with them are copied there. */
static int map_pool(struct channel *c)
{
	if (!c->helper->pool || c->sends)
		return TCPX_EPROTO;
	c->fragments = calloc((size_t)REMOTE_WINDOW * NETPLUGIN_UNPACK_ENTRIES,
			      sizeof(*c->fragments));
	if (!c->fragments)
		return TCPX_ENOMEM;
	c->pool = c->helper->pool;
	remote_pool_get(c->pool);
	c->on_gpu = true;
	return TCPX_OK;
}

static int map_memory(struct channel *c, const struct shared_message *m,
		      const int *fds, uint32_t n_fds)
{
	uint32_t next = 0;
	void *mem = NULL;

	if (m->lends)
		return map_pool(c);
	if (m->mem_bytes < wanted_bytes(c))
		return TCPX_EPROTO;
	c->mem_bytes = m->mem_bytes;
	if (m->on_gpu && c->helper->gpu) {
		int err = gpu_ipc_open(c->helper->gpu, m->ipc, &mem);

		if (err)
			return err;
		c->on_gpu = true;
		c->mem = mem;
	} else if (next < n_fds) {
		c->mem = map_fd(fds[next++], m->mem_bytes);
	}
	if (m->has_host && next < n_fds)
		c->host_mem = map_fd(fds[next++], m->mem_bytes);
	if (c->mem && (!m->has_host || c->host_mem)) {
		slots_set(&c->slots, c->mem, c->host_mem);
		return TCPX_OK;
	}
	remote_unmap(c);
	return TCPX_ENOMEM;
}

void remote_unmap(struct channel *c)
{
	if (c->mem && c->on_gpu)
		gpu_ipc_close(c->helper->gpu, c->mem);
	else if (c->mem)
		munmap(c->mem, c->mem_bytes);
	if (c->host_mem)
		munmap(c->host_mem, c->mem_bytes);
	remote_pool_put(c->pool);
	free(c->fragments);
	c->mem = c->host_mem = NULL;
	c->pool = NULL;
	c->fragments = NULL;
}

/* ---- messages, the lock held ------------------------------------------- */

static void on_started(struct helper_process *h, const struct shared_message *m)
{
	const struct log *log = h->transport->log;

	h->state = m->status ? REMOTE_FAILED : REMOTE_READY;
	h->again = h->awaits_daemon = m->status == TCPX_EAGAIN;
	if (m->status) {
		snprintf(h->cause, sizeof(h->cause), "%s%.*s",
			 h->again ? "waiting for the receive daemon: " : "",
			 (int)sizeof(h->cause) - 40, m->text);
		return;
	}
	snprintf(h->ifname, sizeof(h->ifname), "%s", m->text);
	log_info(log, "netplugin", "GPU %u: helper process %d on %s",
		 h->gpu_index, (int)h->pid, h->ifname);
}

static void on_listened(struct transport *t, const struct shared_message *m)
{
	list_for_each (node, &t->listeners) {
		struct listener *l = list_entry(node, struct listener, link);

		if (l->id != m->id)
			continue;
		l->status = m->status;
		if (m->status)
			snprintf(l->cause, sizeof(l->cause), "%.*s",
				 (int)sizeof(l->cause) - 1, m->text);
		l->state = m->status ? REMOTE_FAILED : REMOTE_READY;
		if (m->addr_bytes <= sizeof(l->addr)) {
			memcpy(l->addr, m->addr, m->addr_bytes);
			l->addr_bytes = m->addr_bytes;
		}
	}
}

/* Nothing was offered to be lent before this receiver came. */
static void say_copied(struct helper_process *h)
{
	const char *why = "the plugin has no pages on a GPU";

	if (!h->transport->options.lend)
		why = "TCPX_NETPLUGIN_LEND is 0";
	if (!h->how[0])
		snprintf(h->how, sizeof(h->how),
			 "its helper copies what comes; %s", why);
}

static void on_ready(struct transport *t, const struct shared_message *m,
		     const int *fds, uint32_t n_fds)
{
	list_for_each (node, &t->channels) {
		struct channel *c = list_entry(node, struct channel, link);

		if (c->id != m->id || load_relaxed(&c->state) != REMOTE_MAKING)
			continue;
		c->status = m->status;
		if (!c->status)
			c->status = map_memory(c, m, fds, n_fds);
		if (!c->status && !c->sends && !m->lends)
			say_copied(c->helper);
		if (m->status)
			snprintf(c->end_cause, sizeof(c->end_cause), "%.*s",
				 (int)sizeof(c->end_cause) - 1, m->text);
		store_release(&c->state,
			      c->status ? REMOTE_FAILED : REMOTE_READY);
	}
}

/* What it will not make any more. */
static void fail_half_made(struct helper_process *h)
{
	struct transport *t = h->transport;

	list_for_each (node, &t->listeners) {
		struct listener *l = list_entry(node, struct listener, link);

		if (l->receiver && l->receiver->helper == h &&
		    l->state == REMOTE_MAKING) {
			l->status = TCPX_ECHANNEL;
			l->state = REMOTE_FAILED;
			memcpy(l->cause, h->cause, sizeof(l->cause));
		}
	}
	list_for_each (node, &t->channels) {
		struct channel *c = list_entry(node, struct channel, link);

		if (c->helper != h ||
		    c->generation != load_relaxed(&h->generation) ||
		    load_relaxed(&c->state) != REMOTE_MAKING)
			continue;
		memcpy(c->end_cause, h->cause, sizeof(c->end_cause));
		c->status = TCPX_ECHANNEL;
		store_release(&c->state, REMOTE_FAILED);
	}
}

/* Its control thread; the loop goes on, and with it what its channels carry.
 * remote_watch.c ends it when that is over. */
static void on_stuck(struct helper_process *h, const struct shared_message *m)
{
	h->stuck = m->status != 0;
	snprintf(h->cause, sizeof(h->cause), "%s", h->stuck ? m->text : "");
	if (h->stuck)
		fail_half_made(h);
}

/* The last few lines, for the moment when the helper ends. */
static void keep_words(struct helper_process *h, const char *text)
{
	size_t len = strlen(text), have = strlen(h->words);

	while (have && have + len + 2 > sizeof(h->words)) {
		char *next = strchr(h->words, '\n');

		if (!next)
			return;
		have -= (size_t)(next + 1 - h->words);
		memmove(h->words, next + 1, have + 1);
	}
	memcpy(h->words + have, text, len);
	memcpy(h->words + have + len, "\n", 2);
}

static void on_message(struct helper_process *h, const struct shared_message *m,
		       const int *fds, uint32_t n_fds)
{
	struct transport *t = h->transport;

	switch (m->type) {
	case SHARED_STARTED:
		on_started(h, m);
		break;
	case SHARED_LISTENED:
		on_listened(t, m);
		break;
	case SHARED_READY:
		on_ready(t, m, fds, n_fds);
		break;
	case SHARED_CLOSED:
		if (m->index < SHARED_CHANNELS)
			h->used[m->index] = 0;
		break;
	case SHARED_STUCK:
		on_stuck(h, m);
		break;
	case SHARED_LOG:
		keep_words(h, m->text);
		break;
	default:
		break;
	}
}

/* ---- its end ----------------------------------------------------------- */

/* As waitpid(), without waiting. Once reaped, the number may be another
 * process's: who tells it something could end that one. */
static pid_t reap(struct helper_process *h, int *status)
{
	pid_t pid = -1;

	pthread_mutex_lock(&h->send_lock);
	if (h->pid > 0)
		pid = waitpid(h->pid, status, WNOHANG);
	if (pid)
		h->pid = 0;
	pthread_mutex_unlock(&h->send_lock);
	return pid;
}

/* The same, waiting until then. */
static pid_t reap_until(struct helper_process *h, uint64_t limit_ns,
			int *status)
{
	const struct timespec ms = {0, 1000000};
	pid_t pid;

	while (!(pid = reap(h, status)) && clock_now_ns() < limit_ns)
		nanosleep(&ms, NULL);
	return pid;
}

/* The program may reap its children itself: then nobody knows how. */
static void describe_end(struct helper_process *h, char *to, size_t cap_bytes)
{
	int status = 0;
	pid_t pid = reap_until(h, clock_now_ns() + END_NS, &status);

	if (pid > 0 && WIFSIGNALED(status))
		snprintf(to, cap_bytes, "was killed by signal %d",
			 WTERMSIG(status));
	else if (pid > 0 && WIFEXITED(status))
		snprintf(to, cap_bytes, "exited with status %d",
			 WEXITSTATUS(status));
	else
		snprintf(to, cap_bytes, "is gone");
}

static const char *last_line(char *words)
{
	size_t len = strlen(words);
	char *at;

	if (!len)
		return "it said nothing";
	words[len - 1] = '\0';
	at = strrchr(words, '\n');
	return at ? at + 1 : words;
}

static void drop_socket(struct helper_process *h)
{
	pthread_mutex_lock(&h->send_lock);
	if (h->socket_fd >= 0)
		close(h->socket_fd);
	h->socket_fd = -1;
	pthread_mutex_unlock(&h->send_lock);
}

/* One that has worked is started again after a while, and after longer ones;
 * so is one that has refused for what may change. */
void remote_set_restart(struct helper_process *h)
{
	uint64_t now_ns = clock_now_ns();
	bool worked = h->state == REMOTE_READY;

	if (worked && now_ns - h->ready_ns > RESTART_MAX_NS)
		h->wait_ns = 0;
	if (h->wait_ns)
		h->wait_ns = h->wait_ns < RESTART_MAX_NS / 2 ? h->wait_ns * 2 :
							       RESTART_MAX_NS;
	else if (worked || h->again)
		h->wait_ns = RESTART_NS;
	h->ended_ns = now_ns;
	h->state = REMOTE_FAILED;
}

bool remote_comes_back(const struct helper_process *h)
{
	return h->wait_ns || h->again || h->stuck;
}

/* Nobody else will: they are to see that it has ended. */
static void wake_all(struct helper_process *h)
{
	uint64_t one = 1;

	list_for_each (node, &h->transport->channels) {
		struct channel *c = list_entry(node, struct channel, link);

		if (c->helper == h && write(c->wake_fd, &one, sizeof(one)) < 0)
			log_warn(h->transport->log, "netplugin",
				 "an eventfd cannot be written to");
	}
}

static void on_end(struct helper_process *h, const char *how, char *line,
		   size_t cap_bytes)
{
	uint32_t generation = load_relaxed(&h->generation);
	struct transport *t = h->transport;

	drop_socket(h);
	h->pool = NULL;
	memset(h->used, 0, sizeof(h->used));
	if (h->verdict[0])
		memcpy(h->cause, h->verdict, sizeof(h->cause));
	else if (h->state == REMOTE_READY || !h->cause[0])
		snprintf(h->cause, sizeof(h->cause),
			 "the plugin's process %s; its last words: %.150s", how,
			 last_line(h->words));
	remote_set_restart(h);
	h->stuck = false;
	fail_half_made(h);
	list_for_each (node, &t->channels) {
		struct channel *c = list_entry(node, struct channel, link);

		if (c->helper != h)
			continue;
		h->used[c->index] = 1; /* until it is freed here */
		/* One that was not made has its cause, and may be read. */
		if (c->generation == generation &&
		    load_relaxed(&c->state) == REMOTE_READY)
			memcpy(c->end_cause, h->cause, sizeof(c->end_cause));
	}
	store_release(&h->generation, generation + 1);
	wake_all(h);
	snprintf(line, cap_bytes, "GPU %u: %s", h->gpu_index, h->cause);
}

/* ---- the thread -------------------------------------------------------- */

/* Returns false when there is nothing more now. Lines are logged without the
 * lock. */
static bool hear_one(struct helper_process *h)
{
	struct transport *t = h->transport;
	char line[SHARED_TEXT + 32] = "", how[64] = "";
	struct remote_pool *pool; /* of a helper that is over */
	struct shared_message m;
	int fds[SHARED_FDS_MAX];
	uint32_t n_fds = 0;
	bool stopping;
	int rc = shared_receive(h->socket_fd, &m, fds, &n_fds);

	if (rc == TCPX_EAGAIN)
		return false;
	if (rc)
		describe_end(h, how, sizeof(how));
	else if (m.type == SHARED_STARTED && !m.status)
		remote_watch_started(h, m.has_daemon);
	else if (m.type == SHARED_POOL)
		remote_pool_offered(h, &m, fds, n_fds);
	else if (m.type == SHARED_POOL_PROOF)
		remote_pool_prove(h, &m);
	pthread_mutex_lock(&t->lock);
	stopping = t->stop;
	pool = rc ? h->pool : NULL;
	if (rc)
		on_end(h, how, line, sizeof(line));
	else
		on_message(h, &m, fds, n_fds);
	pthread_cond_broadcast(&t->heard);
	pthread_mutex_unlock(&t->lock);
	remote_pool_put(pool);
	for (uint32_t i = 0; i < n_fds; i++)
		close(fds[i]);
	if (rc && !stopping)
		log_warn(t->log, "netplugin", "%s", line);
	else if (!rc && m.type == SHARED_LOG)
		log_write(t->log, (enum tcpx_log_level)m.status, "netplugin",
			  "%s", m.text);
	return !rc;
}

/* One whose socket has ended, and that was not over in time. */
static void reap_late(struct helper_process *h)
{
	int status;

	if (h->socket_fd < 0)
		(void)reap(h, &status);
}

static bool stopped(struct transport *t)
{
	bool stop;

	pthread_mutex_lock(&t->lock);
	stop = t->stop;
	pthread_mutex_unlock(&t->lock);
	return stop;
}

static void *run(void *arg)
{
	struct transport *t = arg;
	struct pollfd fds[GPU_DEVICES_MAX + 1];

	while (!stopped(t)) {
		for (uint32_t i = 0; i < t->n_helpers; i++)
			fds[i] = (struct pollfd){t->helpers[i].socket_fd,
						 POLLIN, 0};
		fds[t->n_helpers] = (struct pollfd){t->wake_fd, POLLIN, 0};
		poll(fds, t->n_helpers + 1, 1000);
		for (uint32_t i = 0; i < t->n_helpers; i++)
			while (fds[i].revents && hear_one(&t->helpers[i]))
				;
		for (uint32_t i = 0; i < t->n_helpers; i++) {
			reap_late(&t->helpers[i]);
			remote_watch(&t->helpers[i]);
		}
	}
	return NULL;
}

int remote_tell(struct helper_process *h, const struct shared_message *m,
		int fd)
{
	int err = TCPX_ECHANNEL;

	pthread_mutex_lock(&h->send_lock);
	if (h->socket_fd >= 0) {
		err = shared_send(h->socket_fd, m, &fd, fd >= 0);
		if (err && h->pid > 0)
			kill(h->pid, SIGKILL);
	}
	pthread_mutex_unlock(&h->send_lock);
	return err ? TCPX_ECHANNEL : TCPX_OK;
}

int remote_hear_start(struct transport *t)
{
	t->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (t->wake_fd < 0)
		return TCPX_ENFILE;
	if (!sigmask_start_thread(&t->thread, NULL, run, t))
		return TCPX_OK;
	close(t->wake_fd);
	return TCPX_ENOMEM;
}

void remote_hear_stop(struct transport *t)
{
	uint64_t one = 1;

	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_mutex_unlock(&t->lock);
	if (write(t->wake_fd, &one, sizeof(one)) < 0)
		return;
	pthread_join(t->thread, NULL);
	close(t->wake_fd);
}

/* It sees the socket close, says its goodbyes and ends; if not, it is ended.
 * What a driver holds even then is not waited for any longer. */
void remote_helper_end(struct helper_process *h, uint64_t limit_ns)
{
	int status;

	drop_socket(h);
	if (reap_until(h, limit_ns, &status))
		return;
	kill(h->pid, SIGKILL);
	(void)reap_until(h, clock_now_ns() + KILLED_NS, &status);
}
