/* SPDX-License-Identifier: Apache-2.0 */
#include <tcpx/status.h>
#include <unistd.h>

#include "gpu/gpu.h"
#include "transport/netplugin/helper.h"

static const struct transport_ops *const inside = &netplugin_inside;

/* ---- the pool ---------------------------------------------------------- */

/* Memory that the plugin has imported cannot be exported; then the session
 * asks for it where the plugin did. */
static void offer(struct helper *h, const struct comm *comm)
{
	struct shared_message m = {.type = SHARED_POOL,
				   .mem_bytes = comm->pool_bytes};
	int fd = -1;

	m.has_daemon = !!(h->t->plugin->quirks & PLUGIN_NEEDS_DAEMON);
	m.exported = !gpu_share_export(h->the_rail->gpu, comm->bounce, &m.share,
				       &fd);
	h->lending = LEND_OFFERED;
	h->pool = comm->bounce;
	h->pool_bytes = comm->pool_bytes;
	helper_tell(&m, &fd, fd >= 0);
	if (fd >= 0)
		close(fd);
}

enum helper_lending helper_lend(struct helper *h, const struct comm *comm)
{
	if (comm->sends || !comm->unpacks || !h->the_rail->gpu ||
	    !h->t->options.lend)
		return LEND_NO;
	if (h->lending == LEND_UNTRIED)
		offer(h, comm);
	/* One a GPU, as far as is known; another is not lent. */
	if (h->lending == LEND_YES &&
	    (comm->bounce != h->pool || comm->pool_bytes != h->pool_bytes))
		return LEND_NO;
	return h->lending;
}

void helper_lend_answered(struct helper *h, int status)
{
	if (h->lending == LEND_OFFERED)
		h->lending = status ? LEND_NO : LEND_YES;
}

/* ---- chunks ------------------------------------------------------------ */

/* In order; a list is the session's to read from the event on. */
static bool lend(struct helper_channel *c)
{
	uint64_t before = c->given;

	for (; c->given < c->arrived; c->given++) {
		uint32_t at = c->given % COMM_RING;
		const struct helper_chunk *chunk = &c->chunks[at];
		const struct channel_event *event = &chunk->event;
		const struct shared_item item = {
			.kind = SHARED_ARRIVED,
			.len_bytes = chunk->len_bytes,
			.n_entries = event->n_fragments,
			.cookie = event->cookie,
		};

		shared_put_list(&c->shared->lists[at], event->fragments,
				event->n_fragments);
		if (!helper_channel_tell(c, &item))
			break;
	}
	return c->given > before;
}

/* Pairs with the session's store behind the end of its copies. */
static uint64_t returned(const struct helper_channel *c)
{
	uint64_t n = load_acquire(&c->shared->returned);

	return n < c->given ? n : c->given;
}

/* The pages are ours up to each of these calls, so the copies were right. */
static bool take_back(struct helper_channel *c)
{
	uint64_t n = returned(c);

	if (c->consumed >= n)
		return false;
	for (; c->consumed < n; c->consumed++)
		inside->consume(
			c->in, c->chunks[c->consumed % COMM_RING].event.cookie);
	store_release(&c->shared->consumed, n);
	c->owes = true;
	return true;
}

bool helper_lend_run(struct helper_channel *c)
{
	bool any = take_back(c);

	return lend(c) || any;
}

bool helper_lend_has_work(const struct helper_channel *c)
{
	return returned(c) > c->consumed;
}
