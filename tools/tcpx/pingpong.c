/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small WRITE and notification, to and fro. The first word of every message
 * is its number, so that each is known to have arrived before its
 * notification; the rest is the usual contents of a source.
 */
#include "end.h"

#include "clock.h"
#include "slot.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#define WAIT_LIMIT_NS (10 * NS_PER_S)

static int fail(struct end *end, int status, const char *what)
{
	snprintf(end->failure, sizeof(end->failure), "%s: %s", what,
		 tcpx_strerror(status));
	return status;
}

static int wait_xfer(struct end *end, uint64_t xfer)
{
	uint64_t deadline_ns = now_ns() + WAIT_LIMIT_NS;
	int status;

	for (;;) {
		status = end->params.wait == WAIT_SPIN ?
				 tcpx_xfer_test(end->session, xfer) :
				 tcpx_xfer_wait(end->session, xfer, 1000);
		if (status != TCPX_INPROGRESS && status != TCPX_ETIMEDOUT)
			return status;
		if (now_ns() > deadline_ns)
			return TCPX_ETIMEDOUT;
	}
}

/* The notification's sender may be gone: that shows in no notification. */
static int sender_status(const struct end *end)
{
	return tcpx_peer_wait(end->session, end->peer, 0);
}

static int wait_notification(struct end *end, struct tcpx_notification **n)
{
	uint64_t deadline_ns = 0;
	int status;

	for (uint32_t i = 1;; i++) {
		status = end->params.wait == WAIT_SPIN ?
				 tcpx_notify_poll(end->session, n) :
				 tcpx_notify_wait(end->session, n, 100);
		if (status != TCPX_EAGAIN && status != TCPX_ETIMEDOUT)
			return status;
		if (end->params.wait == WAIT_SPIN && i % SPINS_A_YIELD) {
			spin_pause();
			continue;
		}
		status = sender_status(end);
		if (status)
			return status;
		sched_yield();
		if (!deadline_ns)
			deadline_ns = now_ns() + WAIT_LIMIT_NS;
		else if (now_ns() > deadline_ns)
			return TCPX_ETIMEDOUT;
	}
}

/* On a GPU contents stay as they are laid out, to be checked at the end of a
 * round: looking at a word there would take longer than the message. */
static bool numbered(const struct end *end)
{
	return end->params.mem.kind == PLACE_HOST &&
	       end->params.peer_mem.kind == PLACE_HOST;
}

static uint64_t *first_word(struct end *end, struct area *area, uint32_t block,
			    bool sink)
{
	uint64_t off = sink ? layout_sink_off(&end->layout, block, 0) :
			      layout_source_off(&end->layout, block, 0);

	return (uint64_t *)area->host + off / 8;
}

static int ping(struct end *end, uint64_t number)
{
	uint32_t block = (uint32_t)(number % end->params.n_outstanding);
	struct slot *slot = &end->slots[block];
	struct tcpx_post_params params = {
		.size_bytes = sizeof(params),
		.has_notify = true,
		.notify = &number,
		.notify_len_bytes = sizeof(number),
	};
	int status = 0;

	if (slot->busy)
		status = wait_xfer(end, slot->xfer);
	slot->busy = false;
	if (status)
		return fail(end, status, "the small write");
	if (numbered(end))
		*first_word(end, &end->source, block, false) = number;
	status = tcpx_xfer_post(end->session, slot->xfer, &params);
	if (status)
		return fail(end, status, "posting the small write");
	slot->busy = true;
	return 0;
}

static int pong(struct end *end, uint64_t number)
{
	uint32_t block = (uint32_t)(number % end->params.n_outstanding);
	struct tcpx_notification *n;
	uint64_t got = UINT64_MAX;
	int status = wait_notification(end, &n);

	if (status)
		return fail(end, status, "waiting for the notification");
	if (n->len_bytes == sizeof(got))
		memcpy(&got, n->data, sizeof(got));
	tcpx_notify_free(n);
	if (got != number)
		return fail(end, TCPX_EPROTO, "not the notification awaited");
	if (numbered(end) &&
	    *first_word(end, &end->sink, block, true) != number)
		return fail(end, TCPX_EPROTO,
			    "the notification came before its data");
	return 0;
}

/* What the numbers overwrote is put back, so that the whole area can be
 * checked as usual; blocks that no message reached are left to fail. */
static void restore(struct end *end, uint64_t count, const uint64_t *originals)
{
	for (uint32_t b = 0; numbered(end) && b < end->params.n_outstanding;
	     b++) {
		*first_word(end, &end->source, b, false) = originals[b];
		if (b < count)
			*first_word(end, &end->sink, b, true) = originals[b];
	}
}

static int settle(struct end *end)
{
	int status = 0;

	for (uint32_t b = 0; b < end->params.n_outstanding && !status; b++) {
		if (end->slots[b].busy)
			status = wait_xfer(end, end->slots[b].xfer);
		end->slots[b].busy = false;
	}
	return status ? fail(end, status, "the last small writes") : 0;
}

int end_pingpong(struct end *end, uint64_t count, struct samples *samples)
{
	uint64_t originals[PINGPONG_BLOCKS];
	uint64_t begin_ns = now_ns(), end_ns;
	int status = 0;

	/* Sources have equal contents on both sides, so ours are theirs. */
	for (uint32_t b = 0; b < PINGPONG_BLOCKS; b++)
		originals[b] = *first_word(end, &end->source, b, false);
	for (uint64_t i = 0; i < count && !status; i++) {
		status = end->client ? ping(end, i) : pong(end, i);
		if (!status)
			status = end->client ? pong(end, i) : ping(end, i);
		end_ns = now_ns();
		if (samples)
			samples_add(samples, (end_ns - begin_ns) / 2);
		begin_ns = end_ns;
	}
	if (!status)
		status = settle(end);
	/* After a failure some may be in flight, with what is there. */
	if (!status)
		restore(end, count, originals);
	return status;
}
