/* SPDX-License-Identifier: Apache-2.0 */
/* The loops that are timed. */
#include "end.h"

#include "clock.h"
#include "slot.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#define WAIT_STEP_MS 100
/* Without any completion for so long the run has failed: the library's own
 * deadlines end transfers much earlier, unless they were switched off. */
#define STUCK_NS (120 * NS_PER_S)

struct run {
	struct end *end;
	struct samples *samples;
	uint32_t n_slots;
	uint32_t n_busy;
	uint32_t n_spins;
	uint64_t last_done_ns;
};

static int fail_transfer(struct end *end, uint64_t xfer, int status)
{
	struct tcpx_xfer_info info = {0};

	if (tcpx_xfer_query(end->session, xfer, &info))
		info.cause[0] = '\0';
	snprintf(end->failure, sizeof(end->failure), "%s%s%s",
		 tcpx_strerror(status), info.cause[0] ? ": " : "", info.cause);
	return status;
}

static int post(struct run *run, struct slot *slot)
{
	int status;

	slot->posted_ns = now_ns();
	status = tcpx_xfer_post(run->end->session, slot->xfer, NULL);
	if (status)
		return fail_transfer(run->end, slot->xfer, status);
	slot->busy = true;
	slot->n_left--;
	run->n_busy++;
	return 0;
}

static int finish(struct run *run, struct slot *slot)
{
	uint64_t now = now_ns();

	slot->busy = false;
	run->n_busy--;
	run->last_done_ns = now;
	if (run->samples && !slot->receives)
		samples_add(run->samples, now - slot->posted_ns);
	return slot->n_left ? post(run, slot) : 0;
}

/* Looks at every transfer once. *n_done counts those that had ended. */
static int sweep(struct run *run, uint32_t *n_done)
{
	struct slot *slot = run->end->slots;
	int status;

	*n_done = 0;
	for (uint32_t i = 0; i < run->n_slots; i++, slot++) {
		if (!slot->busy)
			continue;
		status = tcpx_xfer_test(run->end->session, slot->xfer);
		if (status == TCPX_INPROGRESS)
			continue;
		if (status)
			return fail_transfer(run->end, slot->xfer, status);
		(*n_done)++;
		status = finish(run, slot);
		if (status)
			return status;
	}
	return 0;
}

static struct slot *oldest(struct run *run)
{
	struct slot *best = NULL, *slot = run->end->slots;

	for (uint32_t i = 0; i < run->n_slots; i++, slot++)
		if (slot->busy && (!best || slot->posted_ns < best->posted_ns))
			best = slot;
	return best;
}

/* Nothing had ended: waits in the style wanted. A failure is found by the
 * sweep that follows. */
static int idle(struct run *run)
{
	if (run->end->params.wait == WAIT_SPIN &&
	    ++run->n_spins % SPINS_A_YIELD)
		spin_pause();
	else if (run->end->params.wait == WAIT_SPIN)
		sched_yield();
	else
		(void)!tcpx_xfer_wait(run->end->session, oldest(run)->xfer,
				      WAIT_STEP_MS);
	if (now_ns() - run->last_done_ns < STUCK_NS)
		return 0;
	snprintf(run->end->failure, sizeof(run->end->failure),
		 "no transfer ended for %llu s",
		 (unsigned long long)(STUCK_NS / NS_PER_S));
	return TCPX_ESTALLED;
}

/* Receives first, so that no send needs to wait for one. */
static int post_first(struct run *run, uint64_t count)
{
	uint32_t n = run->end->params.n_outstanding;
	struct slot *slot;
	int status = 0;

	for (uint32_t i = run->n_slots; i-- > 0 && !status;) {
		slot = &run->end->slots[i];
		slot->n_left = count / n + (i % n < count % n);
		if (slot->n_left)
			status = post(run, slot);
	}
	return status;
}

/* After a failure: nothing may be in flight when memory is filled anew. */
static void cancel_busy(struct run *run)
{
	struct slot *slot = run->end->slots;

	for (uint32_t i = 0; i < run->n_slots; i++, slot++) {
		if (slot->busy) {
			tcpx_xfer_cancel(run->end->session, slot->xfer);
			/* A GPU may be at it for longer than a cancel waits. */
			while (tcpx_xfer_wait(run->end->session, slot->xfer,
					      -1) == TCPX_ETIMEDOUT)
				;
		}
		slot->busy = false;
	}
}

int end_run(struct end *end, uint64_t count, struct samples *samples)
{
	struct run run = {.end = end,
			  .samples = samples,
			  .n_slots = end->n_initiators + end->n_receivers,
			  .last_done_ns = now_ns()};
	uint32_t n_done;
	int status = post_first(&run, count);

	while (run.n_busy && !status) {
		status = sweep(&run, &n_done);
		if (!status && !n_done && run.n_busy)
			status = idle(&run);
	}
	if (status)
		cancel_busy(&run);
	return status;
}
