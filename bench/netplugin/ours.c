/* SPDX-License-Identifier: Apache-2.0 */

/* Our transport, driven as the engine drives it. */

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sigmask.h"
#include "compare.h"
#include "place.h"
#include "transport/transport.h"

#define CHUNK COMPARE_CHUNK
#define WINDOW COMPARE_WINDOW
#define SPIN_NS (20 * NS_PER_US) /* the engine's, where nothing is set */

struct ours {
	struct channel *tx, *rx;
	struct listener *listener;
	struct channel_event kept[WINDOW]; /* arrived, and no job was free */
	struct gpu_job *jobs[WINDOW];
	/* sure <= consumed <= placing <= arrived <= granted */
	unsigned sent_posted, sent, granted, arrived, placing, consumed, sure;
};

static const struct transport_ops *ops;

static void open_pair(struct transport *t, struct ours *o)
{
	int connecting = TCPX_INPROGRESS, accepting = TCPX_INPROGRESS;
	uint8_t addr[TRANSPORT_ADDR_MAX];
	size_t addr_bytes;

	if (ops->listen(t, 0, &o->listener, addr, &addr_bytes))
		compare_die("our listen");
	while (connecting || accepting) {
		if (connecting)
			connecting =
				ops->connect(t, 0, addr, addr_bytes, &o->tx);
		if (accepting)
			accepting = ops->accept(o->listener, &o->rx);
		if (connecting < 0 || accepting < 0)
			compare_die("our connect or accept");
		usleep(100);
	}
}

/* false: no job is free now. */
static bool place(struct ours *o, unsigned n_copies)
{
	unsigned at = o->placing % WINDOW;
	const struct channel_event *event = &o->kept[at];

	if (!place_begin(&o->jobs[at]))
		return false;
	for (uint32_t i = 0; n_copies && i < event->n_fragments; i++) {
		const struct transport_fragment *f = &event->fragments[i];

		place_add(o->jobs[at], f->dst_off, event->base + f->src_off,
			  f->len_bytes);
	}
	place_end(o->jobs[at], n_copies);
	o->placing++;
	return true;
}

static unsigned consume_some(struct ours *o)
{
	unsigned before = o->consumed;

	for (; o->consumed < o->placing; o->consumed++) {
		const struct channel_event *event =
			&o->kept[o->consumed % WINDOW];

		if (!place_done(o->jobs[o->consumed % WINDOW]))
			break;
		if (ops->consume(o->rx, event->cookie))
			compare_die("our consume");
		o->sure += !event->lent;
	}
	return o->consumed - before;
}

static unsigned receive_some(struct ours *o, const struct run *run)
{
	struct channel_event events[WINDOW];
	unsigned before = o->granted, placing = o->placing;
	int got;

	while (o->granted < run->n_chunks && !ops->post_recv(o->rx, o->granted))
		o->granted++;
	got = ops->poll(o->rx, events, WINDOW);
	for (int i = 0; i < got; i++) {
		if (events[i].kind == CHANNEL_ARRIVED && run->lends &&
		    !events[i].lent)
			compare_die("the helper copies what it should lend");
		if (events[i].kind == CHANNEL_ARRIVED)
			o->kept[o->arrived++ % WINDOW] = events[i];
		else if (events[i].kind == CHANNEL_CONSUMED)
			o->sure++;
		else
			compare_die(events[i].cause);
	}
	while (o->placing < o->arrived && place(o, run->n_copies))
		;
	if (o->placing > placing)
		place_flush();
	return o->granted - before + (unsigned)got + consume_some(o);
}

static unsigned send_some(struct ours *o, unsigned n)
{
	struct channel_event events[WINDOW];
	unsigned before = o->sent_posted;
	int got;

	while (o->sent_posted < n && o->sent_posted < o->granted) {
		struct chunk_desc desc = {.len_bytes = CHUNK};
		struct span span = {.len_bytes = CHUNK};

		if (ops->slot_get(o->tx, place_gpu(), &span.base))
			break;
		if (ops->post_send(o->tx, &desc, &span, 1, o->sent_posted)) {
			ops->slot_put(o->tx, span.base);
			break;
		}
		o->sent_posted++;
	}
	got = ops->poll(o->tx, events, WINDOW);
	for (int i = 0; i < got; i++)
		if (events[i].kind != CHANNEL_SENT)
			compare_die(events[i].cause);
	o->sent += (unsigned)got;
	return o->sent_posted - before + (unsigned)got;
}

/* As the engine, which sleeps on what has an fd and polls what has none, and
 * while jobs run. */
static void rest(const struct ours *all, int n)
{
	struct pollfd fds[2 * COMPARE_CHANNELS];

	for (int i = 0; i < n; i++) {
		if (all[i].consumed == all[i].arrived)
			continue;
		sched_yield(); /* jobs run: they have none */
		return;
	}
	for (int i = 0; i < 2 * n; i++) {
		uint32_t events;

		fds[i].fd = ops->wait_fd(i % 2 ? all[i / 2].tx : all[i / 2].rx,
					 &events);
		fds[i].events = (short)events;
		if (fds[i].fd < 0) {
			sched_yield();
			return;
		}
	}
	poll(fds, (nfds_t)(2 * n), 1000);
}

static char last_line[LOG_LINE_BYTES];

/* A plugin says much while it works; the last is wanted if it does not. */
static void keep_line(void *arg, enum tcpx_log_level level,
		      const char *subsystem, const char *line)
{
	(void)arg;
	(void)level;
	snprintf(last_line, sizeof(last_line), "%s: %s", subsystem, line);
}

uint64_t compare_ours(const struct run *run)
{
	static const struct log log = {.fn = keep_line, .level = TCPX_LOG_WARN};
	static struct ours all[COMPARE_CHANNELS];
	struct transport_params params = {.chunk_bytes = CHUNK, .log = &log};
	struct transport *t;
	int done = 0;

	setenv("TCPX_NETPLUGIN_PATH", run->path, 1);
	setenv("TCPX_NETPLUGIN_ISOLATE", run->isolated ? "1" : "0", 1);
	setenv("TCPX_NETPLUGIN_LEND", run->copies ? "0" : "1", 1);
	setenv("TCPX_NETPLUGIN_SLOTS", "16", 1);
	place_open(run->gpu);
	params.gpus = place_gpus();
	ops = transport_find("netplugin");
	if (ops->open(&params, &t))
		compare_die(last_line);
	for (int i = 0; i < run->n_channels; i++)
		open_pair(t, &all[i]);
	if (run->shut)
		sigmask_shut_pipe();
	unsigned n_warm = run->n_warm * (unsigned)run->n_channels;
	uint64_t start = clock_now_ns(), last = start;

	while (done < run->n_channels) {
		unsigned moved = 0, n = 0;

		done = 0;
		for (int i = 0; i < run->n_channels; i++) {
			moved += receive_some(&all[i], run);
			moved += send_some(&all[i], run->n_chunks);
			n += all[i].consumed;
			done += all[i].sure == run->n_chunks &&
				all[i].sent == run->n_chunks;
		}
		if (n < n_warm)
			start = clock_now_ns();
		if (moved)
			last = clock_now_ns();
		else if (clock_now_ns() - last >= SPIN_NS)
			rest(all, run->n_channels);
		else
			sched_yield();
	}
	return clock_now_ns() - start;
}
