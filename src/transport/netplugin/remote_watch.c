/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <tcpx/status.h>

#include "base/clock.h"
#include "base/log.h"
#include "transport/netplugin/daemon.h"
#include "transport/netplugin/remote.h"

#define LOOK_NS NS_PER_S /* between looks at the daemon */

/* ---- ending it ---------------------------------------------------------- */

/* In words, which are what its channels fail with when its socket ends. At
 * once: one that asks a daemon that is gone to undo things would not come
 * back. */
static void end(struct helper_process *h, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void end(struct helper_process *h, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(h->verdict, sizeof(h->verdict), fmt, args);
	va_end(args);
	kill(h->pid, SIGKILL);
}

/* A plugin may spin in a call for ever: its process is ended then, and with it
 * its channels. One that sleeps is well. */
static void check_pulse(struct helper_process *h)
{
	const struct options *options = &h->transport->options;
	uint64_t now = clock_now_ns(), beats;

	beats = load_relaxed(&h->area->beats);
	if (beats != h->beats || load_relaxed(&h->area->sleeps)) {
		h->beats = beats;
		h->beaten_ns = now;
	} else if (h->beaten_ns &&
		   now - h->beaten_ns > options->stall_ms * NS_PER_MS) {
		end(h,
		    "the plugin's process was in a call for more than %u ms "
		    "and was ended",
		    options->stall_ms);
	}
}

/* Its init, or a driver's, may not return. Not started again, it would be gone
 * for good for what may have been a slow host. */
static void check_start(struct helper_process *h)
{
	struct transport *t = h->transport;
	uint32_t limit_ms = t->options.start_ms;

	if (clock_now_ns() - h->started_ns <= limit_ms * NS_PER_MS)
		return;
	pthread_mutex_lock(&t->lock);
	h->again = true;
	pthread_mutex_unlock(&t->lock);
	end(h,
	    "the plugin has not started within %u ms "
	    "(TCPX_NETPLUGIN_START_MS): its process was ended",
	    limit_ms);
}

/* ---- one whose control thread is stuck ----------------------------------- */

/* A number that changes while its channels carry anything; how many are
 * open. */
static uint64_t moves(struct helper_process *h, uint32_t *n_open)
{
	struct transport *t = h->transport;
	uint64_t sum = 0;

	*n_open = 0;
	pthread_mutex_lock(&t->lock);
	list_for_each (node, &t->channels) {
		const struct channel *c =
			list_entry(node, struct channel, link);

		if (c->helper != h || load_relaxed(&c->state) != REMOTE_READY ||
		    c->generation != load_relaxed(&h->generation))
			continue;
		++*n_open;
		sum += load_relaxed(&c->shared->commands.head) +
		       load_relaxed(&c->shared->events.head);
	}
	pthread_mutex_unlock(&t->lock);
	return sum;
}

/* It cannot make new channels; those it has are waited for as long as they
 * carry something. */
static void check_stuck(struct helper_process *h)
{
	uint64_t now_ns = clock_now_ns(), sum;
	uint32_t n_open, limit_ms = h->transport->options.stall_ms;

	if (!h->stuck) {
		h->moved_ns = 0;
		return;
	}
	sum = moves(h, &n_open);
	if (!h->moved_ns || sum != h->moved) {
		h->moved = sum;
		h->moved_ns = now_ns;
	}
	if (!n_open || now_ns - h->moved_ns > limit_ms * NS_PER_MS)
		end(h, "the plugin's process was ended: %.200s", h->cause);
}

/* ---- the receive daemon ------------------------------------------------- */

static bool look_for_daemon(const struct helper_process *h, uint64_t *life)
{
	struct gpu_info info = {0};

	if (h->transport->gpus)
		(void)gpu_set_info(h->transport->gpus, h->gpu_index, &info);
	return daemon_is_there(options_daemon_dir(&options_env_process),
			       info.pci, life);
}

void remote_watch_started(struct helper_process *h, bool has_daemon)
{
	h->ready_ns = h->looked_ns = clock_now_ns();
	/* It may do without one, if that was allowed. */
	if (!has_daemon || !look_for_daemon(h, &h->daemon_life))
		h->daemon_life = 0;
}

/* Its rules and its pool are gone with it, or will be: what is received then
 * ends the plugin's process, sooner or later and without saying why. */
static void check_daemon(struct helper_process *h)
{
	uint64_t now_ns = clock_now_ns(), life;
	bool there;

	if (!h->daemon_life || now_ns - h->looked_ns < LOOK_NS)
		return;
	h->looked_ns = now_ns;
	there = look_for_daemon(h, &life);
	if (there && life == h->daemon_life)
		return;
	h->awaits_daemon = true;
	end(h,
	    "waiting for the receive daemon (RxDM), which %s: the plugin's "
	    "process was ended, and is started again with it",
	    there ? "was started anew" : "is gone");
}

/* ---- starting it again --------------------------------------------------- */

/* It has used one, and that is gone: files that stayed would let it start, and
 * its first connection would end it. */
static void await_daemon(struct helper_process *h)
{
	struct transport *t = h->transport;
	char last[SHARED_TEXT];

	if (h->awaits_daemon)
		return;
	h->awaits_daemon = true;
	pthread_mutex_lock(&t->lock);
	memcpy(last, h->cause, sizeof(last));
	snprintf(h->cause, sizeof(h->cause),
		 "waiting for the receive daemon (RxDM), which is gone; %.190s",
		 last);
	pthread_mutex_unlock(&t->lock);
}

static bool is_due(struct helper_process *h)
{
	uint64_t now_ns = clock_now_ns(), life;

	if (!h->wait_ns || now_ns - h->ended_ns < h->wait_ns)
		return false;
	if (!h->awaits_daemon && !h->daemon_life)
		return true;
	if (now_ns - h->looked_ns < LOOK_NS)
		return false;
	h->looked_ns = now_ns;
	if (look_for_daemon(h, &life))
		return true;
	await_daemon(h);
	return false;
}

static void restart(struct helper_process *h)
{
	struct transport *t = h->transport;
	char why[SHARED_TEXT] = "";

	/* The last one is not over, so it has the GPU still, and would be
	 * forgotten. */
	if (h->pid > 0) {
		kill(h->pid, SIGKILL);
		return;
	}
	pthread_mutex_lock(&t->lock);
	h->state = REMOTE_MAKING;
	h->words[0] = h->cause[0] = h->how[0] = '\0';
	pthread_mutex_unlock(&t->lock);
	h->verdict[0] = '\0';
	h->beaten_ns = 0;
	store_relaxed(&h->area->sleeps, 0);
	if (!remote_start(h, why, sizeof(why)))
		return;
	pthread_mutex_lock(&t->lock);
	remote_set_restart(h);
	snprintf(h->cause, sizeof(h->cause), "%s", why);
	pthread_mutex_unlock(&t->lock);
}

void remote_watch(struct helper_process *h)
{
	if (h->socket_fd < 0 && h->state == REMOTE_FAILED && is_due(h))
		restart(h);
	/* Once: its end is heard of. */
	if (h->socket_fd < 0 || h->verdict[0] || h->pid <= 0)
		return;
	if (h->state == REMOTE_MAKING)
		check_start(h);
	if (h->state != REMOTE_READY)
		return;
	check_pulse(h);
	if (!h->verdict[0])
		check_stuck(h);
	if (!h->verdict[0])
		check_daemon(h);
}
