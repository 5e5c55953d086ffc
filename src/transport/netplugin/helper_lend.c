/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/random.h>
#include <tcpx/status.h>
#include <unistd.h>

#include "gpu/gpu.h"
#include "transport/netplugin/helper.h"

static const struct transport_ops *const inside = &netplugin_inside;

_Static_assert(COMM_RING == SHARED_SLOTS, "the k-th chunk's list is in k % it");

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

void helper_lend_answered(struct helper *h, const struct shared_message *m)
{
	if (h->lending != LEND_OFFERED)
		return;
	h->lending = m->status ? LEND_NO : LEND_YES;
	h->proof = m->has_daemon ? PROOF_DUE : PROOF_GOOD;
}

/* ---- whose pool is it --------------------------------------------------- */

/*
 * What a daemon gives now need not be what it gave the plugin. So before the
 * first chunk is told of, a piece of it, in a page that is ours, is written
 * over with what nobody can know, and put right when the session has looked:
 *
 *   this one                        session
 *   kept = bytes; bytes = random
 *                   == PROOF =====> reads there
 *   bytes = kept    <= PROVED =====
 */
static const struct transport_fragment *
longest(const struct helper_chunk *chunk)
{
	const struct transport_fragment *all = chunk->event.fragments;
	uint32_t best = 0;

	for (uint32_t i = 1; i < chunk->event.n_fragments; i++)
		if (all[i].len_bytes > all[best].len_bytes)
			best = i;
	return &all[best];
}

static void ask_for_proof(const struct helper_channel *c)
{
	const struct helper_chunk *chunk = &c->chunks[c->given % COMM_RING];
	const struct transport_fragment *f = longest(chunk);
	struct helper *h = c->helper;
	struct gpu *gpu = h->the_rail->gpu;
	struct shared_message m = {
		.type = SHARED_POOL_PROOF,
		.id = ++h->proof_id,
		.mem_bytes = f->src_off,
		.addr_bytes = f->len_bytes < PROOF_BYTES ? f->len_bytes :
							   PROOF_BYTES,
	};

	h->proof = PROOF_BAD;
	h->proof_of = c;
	h->proof_bytes = m.addr_bytes;
	h->proof_at = (uint8_t *)(uintptr_t)h->pool + f->src_off;
	if (getrandom(m.addr, m.addr_bytes, 0) != (ssize_t)m.addr_bytes ||
	    gpu_copy_wait(gpu, h->proof_kept, h->proof_at, m.addr_bytes) ||
	    gpu_copy_wait(gpu, h->proof_at, m.addr, m.addr_bytes))
		return;
	h->proof = PROOF_ASKED;
	helper_tell(&m, NULL, 0);
}

static int put_right(struct helper *h)
{
	return gpu_copy_wait(h->the_rail->gpu, h->proof_at, h->proof_kept,
			     h->proof_bytes);
}

void helper_lend_proved(struct helper *h, const struct shared_message *m)
{
	if (h->proof != PROOF_ASKED || m->id != h->proof_id)
		return;
	h->proof = put_right(h) || m->status ? PROOF_BAD : PROOF_GOOD;
}

void helper_lend_ended(struct helper_channel *c)
{
	struct helper *h = c->helper;

	if (h->proof == PROOF_ASKED && h->proof_of == c)
		h->proof = put_right(h) ? PROOF_BAD : PROOF_DUE;
}

/* Pages that the session sees elsewhere are not lent, now or later; channels
 * that were to lend them are made anew, and copy. */
static void give_up(struct helper_channel *c)
{
	c->helper->lending = LEND_NO;
	c->arrived = c->given;
	helper_channel_fail(c, TCPX_ECHANNEL,
			    "the receive daemon's pool is not the plugin's: "
			    "its pages are copied from now on");
}

/* false: its chunks have to wait. */
static bool may_lend(struct helper_channel *c)
{
	const struct helper_chunk *next = &c->chunks[c->given % COMM_RING];
	struct helper *h = c->helper;

	if (h->proof == PROOF_DUE && c->given < c->arrived &&
	    next->event.n_fragments)
		ask_for_proof(c);
	if (h->proof == PROOF_BAD)
		give_up(c);
	return h->proof == PROOF_GOOD ||
	       (h->proof == PROOF_DUE && c->given < c->arrived);
}

/* ---- chunks ------------------------------------------------------------ */

/* In order; a list is the session's to read from the event on. */
static bool lend(struct helper_channel *c)
{
	uint64_t before = c->given;

	for (; c->given < c->arrived && may_lend(c); c->given++) {
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

static bool consume(struct helper_channel *c)
{
	const struct helper_chunk *chunk = &c->chunks[c->consumed % COMM_RING];
	int err = inside->consume(c->in, chunk->event.cookie);

	if (err)
		helper_channel_fail(c, err, "pages could not be given back");
	return !err;
}

/* The pages are ours up to each of these calls, so the copies were right. */
static bool take_back(struct helper_channel *c)
{
	uint64_t n = returned(c), before = c->consumed;

	while (c->consumed < n && consume(c))
		c->consumed++;
	if (c->consumed == before)
		return false;
	store_release(&c->shared->consumed, c->consumed);
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
