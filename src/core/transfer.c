/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Transfers as the program sees them: handles over the engine's xfers. The
 * structs come from slabs that live as long as the session, so that a call
 * that races with a release finds a stale id and not freed memory.
 */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/trace.h"
#include "core/memory.h"
#include "core/peering.h"
#include "core/regionmap.h"
#include "engine/region.h"
#include "engine/xfer.h"

#define SLAB_XFERS 64
/* As published first. A field behind these is looked at only where size_bytes
 * says that the program knew it. */
#define XFER_PARAMS_BYTES END_OF(struct tcpx_xfer_params, tag)
/* A cancel waits so long for a GPU's jobs, which as a rule takes microseconds. */
#define CANCEL_NS NS_PER_MS
#define POST_PARAMS_BYTES END_OF(struct tcpx_post_params, gpu_event)

struct tcpx_xfer {
	struct xfer xfer;
	struct list link; /* session->free_xfers */
	pthread_mutex_t lock; /* one call at a time; not taken by tests */
	_Atomic uint64_t id; /* 0: free; written under lock */
	struct peering *peering; /* one reference */
	/* Of the peer; lives as long as the session, so that a test may use it
	 * beside a release. */
	_Atomic(struct context *) home;
};

struct xfer_slab {
	struct list link;
	struct tcpx_xfer xfers[SLAB_XFERS];
};

/* ---- slabs ------------------------------------------------------------ */

/* xfer_lock held. */
static int add_slab(struct tcpx_session *session)
{
	struct xfer_slab *slab = calloc(1, sizeof(*slab));

	if (!slab)
		return TCPX_ENOMEM;
	list_init(&slab->link);
	list_add_tail(&session->xfer_slabs, &slab->link);
	for (int i = 0; i < SLAB_XFERS; i++) {
		pthread_mutex_init(&slab->xfers[i].lock, NULL);
		list_init(&slab->xfers[i].link);
		list_add_tail(&session->free_xfers, &slab->xfers[i].link);
	}
	return 0;
}

static struct tcpx_xfer *alloc_xfer(struct tcpx_session *session)
{
	struct tcpx_xfer *x = NULL;

	pthread_mutex_lock(&session->xfer_lock);
	if (!list_empty(&session->free_xfers) || !add_slab(session)) {
		x = list_entry(session->free_xfers.next, struct tcpx_xfer,
			       link);
		list_del(&x->link);
	}
	pthread_mutex_unlock(&session->xfer_lock);
	return x;
}

static void free_xfer(struct tcpx_session *session, struct tcpx_xfer *x)
{
	pthread_mutex_lock(&session->xfer_lock);
	list_add_tail(&session->free_xfers, &x->link);
	pthread_mutex_unlock(&session->xfer_lock);
}

static struct tcpx_xfer *find_xfer(struct tcpx_session *session, uint64_t id)
{
	return session_is_ours(session) ? idmap_get(&session->xfers, id) : NULL;
}

/* Locked, and still what the id says; NULL otherwise. */
static struct tcpx_xfer *hold_xfer(struct tcpx_session *session, uint64_t id)
{
	struct tcpx_xfer *x = find_xfer(session, id);

	if (!x)
		return NULL;
	pthread_mutex_lock(&x->lock);
	if (load_relaxed(&x->id) == id)
		return x;
	pthread_mutex_unlock(&x->lock);
	return NULL;
}

/* ---- preparing -------------------------------------------------------- */

_Static_assert(TCPX_REGIONS_MAX == MSG_REGIONS_MAX, "as many as a list names");

#define ROWS_A_CALL 128 /* of segments that come by calls */
/* Rows that splitting long segments can add. */
#define SPLIT_ROWS (WIRE_SEGS_MAX - TCPX_SEGMENTS_MAX)

/* What a list is built with. */
struct builder {
	struct tcpx_session *session;
	struct peering *peering;
	const struct tcpx_xfer_params *params;
	struct seglist *local, *remote;
	struct seglist_tail near, far; /* of these */
	uint64_t total_bytes;
	size_t n_before; /* segments before those at hand */
	uint32_t need_access;
	bool wide; /* has SPLIT_ROWS more */
	struct regionmap own, theirs; /* by our handles */
	/* By what the peer calls them: a region that was loaded twice has two
	 * handles, and one row in the list's table. */
	struct regionmap named;
};

/* A segment, and how many come before it. */
struct at {
	const struct tcpx_segment *seg;
	size_t i;
};

static int complain(const struct builder *b, struct at at, int status,
		    const char *what)
{
	log_error(&b->session->log, "transfer",
		  "segment %zu (local %" PRIx64 " + %" PRIu64
		  ", remote %" PRIx64 " + %" PRIu64 ", %" PRIu64 " bytes): %s",
		  at.i, at.seg->local_mem, at.seg->local_off,
		  at.seg->remote_mem, at.seg->remote_off, at.seg->len_bytes,
		  what);
	return status;
}

/* The list's table has taken what it could. */
static int no_more(const struct builder *b, struct at at, int err,
		   const char *why)
{
	return err == TCPX_EINVAL ? complain(b, at, err, why) : err;
}

/* The first segment that names it. */
static int resolve_own(struct builder *b, struct at at,
		       const struct regionmap_row **row)
{
	struct regionmap_row new = {.mem = at.seg->local_mem,
				    .index = b->local->n_regions};
	struct region *region;

	if (memory_own(b->session, new.mem, &region))
		return complain(b, at, TCPX_ENOENT, "no such local region");
	int err = seglist_add_region(b->local, region);

	new.base = (uint64_t)(uintptr_t)region->base;
	new.len_bytes = region->len_bytes;
	region_put(region);
	if (err)
		return no_more(b, at, err,
			       "more than 1024 local regions "
			       "(TCPX_REGIONS_MAX)");
	*row = regionmap_add(&b->own, &new);
	return *row ? 0 : TCPX_ENOMEM;
}

/* Its row in the table of the remote list, which may have it. */
static int add_remote(struct builder *b, const struct remote_mem *remote,
		      uint32_t *index)
{
	const struct msg_region msg = {remote->mem, remote->key};
	const struct regionmap_row *row = regionmap_get(&b->named, msg.mem);

	if (row && b->remote->remote[row->index].key == msg.key) {
		*index = row->index;
		return 0;
	}
	*index = b->remote->n_regions;
	int err = seglist_add_remote(b->remote, &msg, remote->device);

	/* Known by another key, which one of them made up: a row each. */
	if (err || row)
		return err;
	const struct regionmap_row new = {.mem = msg.mem, .index = *index};

	return regionmap_add(&b->named, &new) ? 0 : TCPX_ENOMEM;
}

static int resolve_theirs(struct builder *b, struct at at,
			  const struct regionmap_row **row)
{
	struct regionmap_row new = {.mem = at.seg->remote_mem};
	struct remote_mem remote;

	if (memory_remote(b->session, new.mem, &remote))
		return complain(b, at, TCPX_ENOENT, "no such remote region");
	if (memcmp(remote.session, b->peering->session_id, SESSION_ID_BYTES))
		return complain(b, at, TCPX_EINVAL,
				"the remote region is another peer's");
	if ((remote.access & b->need_access) != b->need_access)
		return complain(b, at, TCPX_EACCES,
				"the remote region does not allow it");
	int err = add_remote(b, &remote, &new.index);

	if (err)
		return no_more(b, at, err,
			       "more than 1024 remote regions "
			       "(TCPX_REGIONS_MAX)");
	new.len_bytes = remote.len_bytes;
	*row = regionmap_add(&b->theirs, &new);
	return *row ? 0 : TCPX_ENOMEM;
}

static bool inside(uint64_t off, uint64_t len, uint64_t region_len)
{
	return off <= region_len && len <= region_len - off;
}

/* A length that is not like others. 0, or what is wrong with it. */
static int check_length(struct builder *b, struct at at)
{
	uint64_t len = at.seg->len_bytes;

	if (!len)
		return complain(b, at, TCPX_EINVAL, "it is empty");
	if (len > TCPX_XFER_MAX)
		return complain(b, at, TCPX_ERANGE,
				"longer than any region may be");
	if (len <= WIRE_SEG_MAX || b->wide)
		return 0;
	if (seglist_widen(&b->near, SPLIT_ROWS) ||
	    (b->remote && seglist_widen(&b->far, SPLIT_ROWS)))
		return TCPX_ENOMEM;
	b->wide = true;
	return 0;
}

/* The rows of one segment in the maps of regions; *there NULL if its list is
 * of one side. */
static inline int find_rows(struct builder *b, struct at at,
			    const struct regionmap_row **here,
			    const struct regionmap_row **there)
{
	const struct tcpx_segment *seg = at.seg;
	int err = 0;

	*here = regionmap_get(&b->own, seg->local_mem);
	if (!*here)
		err = resolve_own(b, at, here);
	if (err)
		return err;
	if (!inside(seg->local_off, seg->len_bytes, (*here)->len_bytes))
		return complain(b, at, TCPX_ERANGE, "outside the local region");
	*there = NULL;
	if (!b->remote)
		return 0;
	*there = regionmap_get(&b->theirs, seg->remote_mem);
	if (!*there)
		err = resolve_theirs(b, at, there);
	if (err)
		return err;
	if (!inside(seg->remote_off, seg->len_bytes, (*there)->len_bytes))
		return complain(b, at, TCPX_ERANGE,
				"outside the remote region");
	return 0;
}

/* The tails are at hand in registers, but for lengths that are not like
 * others. */
static int add_segments(struct builder *b, const struct tcpx_segment *segs,
			size_t n)
{
	struct seglist_tail near = b->near, far = b->far;
	uint64_t total_bytes = b->total_bytes;
	int err = 0;

	for (size_t i = 0; !err && i < n; i++) {
		const struct regionmap_row *here, *there;
		const struct at at = {&segs[i], b->n_before + i};
		uint64_t len = segs[i].len_bytes;

		if (len - 1 >= WIRE_SEG_MAX) {
			b->near = near;
			b->far = far;
			err = check_length(b, at);
		}
		if (!err)
			err = find_rows(b, at, &here, &there);
		if (err)
			return err;
		total_bytes += len;
		if (total_bytes > TCPX_XFER_MAX)
			return complain(b, at, TCPX_EINVAL,
					"more than 1 TiB in all");
		err = seglist_append(&near, here->index,
				     here->base + segs[i].local_off, len);
		if (!err && there)
			err = seglist_append(&far, there->index,
					     segs[i].remote_off, len);
	}
	b->near = near;
	b->far = far;
	b->total_bytes = total_bytes;
	b->n_before += n;
	return err;
}

/* The segments come by calls, a few at a time: what is read and written then
 * stays in the cache, and nobody needs memory for all of them. */
static int fetch_segments(struct builder *b)
{
	struct tcpx_segment rows[ROWS_A_CALL];
	const struct tcpx_xfer_params *params = b->params;
	size_t n = 1;
	int err = 0;

	while (!err && n) {
		size_t max = params->n_segments - b->n_before;

		max = max < ROWS_A_CALL ? max : ROWS_A_CALL;
		n = max ? params->next_segments(params->next_arg, rows, max) :
			  0;
		if (n > max)
			return TCPX_ECANCELED;
		err = add_segments(b, rows, n);
	}
	if (!err && !b->n_before) {
		log_error(&b->session->log, "transfer",
			  "cannot prepare: there are no segments");
		err = TCPX_EINVAL;
	}
	return err;
}

static int build_lists(struct builder *b)
{
	const struct tcpx_xfer_params *params = b->params;
	uint32_t rows = (uint32_t)params->n_segments;
	struct spares *spares = &b->session->engine->spares;
	bool remote = params->op == TCPX_OP_READ || params->op == TCPX_OP_WRITE;

	b->local = seglist_create(spares, rows);
	b->remote = remote ? seglist_create(spares, rows) : NULL;
	if (!b->local || (remote && !b->remote))
		return TCPX_ENOMEM;
	b->near = seglist_tail(b->local);
	if (remote)
		b->far = seglist_tail(b->remote);
	int err = params->segments ? add_segments(b, params->segments, rows) :
				     fetch_segments(b);

	if (err)
		return err;
	seglist_show(&b->near);
	if (remote)
		seglist_show(&b->far);
	return 0;
}

/* Failed or not, the lists belong to the builder's caller. */
static int make_lists(struct builder *b)
{
	regionmap_init(&b->own);
	regionmap_init(&b->theirs);
	regionmap_init(&b->named);
	int err = build_lists(b);

	regionmap_fini(&b->own);
	regionmap_fini(&b->theirs);
	regionmap_fini(&b->named);
	return err;
}

static bool may_fetch(const struct tcpx_xfer_params *params)
{
	return params->size_bytes >=
		       END_OF(struct tcpx_xfer_params, next_arg) &&
	       params->next_segments;
}

static int check_params(struct tcpx_session *session,
			const struct tcpx_xfer_params *params)
{
	if (!session_is_ours(session) || !params)
		return session_null(session, "tcpx_xfer_prepare");
	if (params->size_bytes < XFER_PARAMS_BYTES) {
		log_error(&session->log, "transfer",
			  "cannot prepare: size_bytes of the parameters is "
			  "%zu, not %zu",
			  params->size_bytes, sizeof(*params));
		return TCPX_EINVAL;
	}
	if (params->op < TCPX_OP_READ || params->op > TCPX_OP_RECV ||
	    (!params->segments && !may_fetch(params)) || !params->n_segments ||
	    params->n_segments > TCPX_SEGMENTS_MAX) {
		log_error(&session->log, "transfer",
			  "cannot prepare operation %d over %zu segments "
			  "(1 to %u)",
			  (int)params->op, params->n_segments,
			  TCPX_SEGMENTS_MAX);
		return TCPX_EINVAL;
	}
	return 0;
}

/* A usable peer, referenced. */
static int find_peering(struct tcpx_session *session, uint64_t id,
			struct peering **out)
{
	struct peering *peering = peering_of(session, id);

	if (!peering)
		return session_no_such(session, "peer", id);
	int status = load_acquire(&peering->status);

	if (status) {
		peering_put(peering);
		return status == TCPX_INPROGRESS ? TCPX_EAGAIN : status;
	}
	*out = peering;
	return 0;
}

static int publish(struct tcpx_session *session, struct builder *b,
		   uint64_t *id)
{
	struct tcpx_xfer *x = alloc_xfer(session);
	uint64_t new_id;

	if (!x)
		return TCPX_ENOMEM;
	pthread_mutex_lock(&x->lock);
	int err = idmap_add(&session->xfers, x, &new_id);

	if (err) {
		pthread_mutex_unlock(&x->lock);
		free_xfer(session, x);
		return err;
	}
	xfer_init(&x->xfer, b->peering->peer, b->params->op, b->params->tag,
		  b->local, b->remote);
	x->peering = b->peering;
	store_relaxed(&x->home, x->xfer.peer->home);
	store_release(&x->id, new_id);
	pthread_mutex_unlock(&x->lock);
	*id = new_id;
	return 0;
}

int tcpx_xfer_prepare(struct tcpx_session *session,
		      const struct tcpx_xfer_params *params, uint64_t *xfer)
{
	struct builder b = {.session = session, .params = params};
	int err = xfer ? check_params(session, params) :
			 session_null(session, __func__);

	if (err)
		return err;
	err = find_peering(session, params->peer, &b.peering);
	if (!err && b.peering->self && params->op == TCPX_OP_RECV)
		err = peering_passive_end(&b.peering);
	if (err)
		return err;
	b.need_access = params->op == TCPX_OP_READ  ? TCPX_ACCESS_REMOTE_READ :
			params->op == TCPX_OP_WRITE ? TCPX_ACCESS_REMOTE_WRITE :
						      0;
	err = make_lists(&b);
	if (!err)
		err = publish(session, &b, xfer);
	if (err) {
		seglist_put(b.local);
		seglist_put(b.remote);
		peering_put(b.peering);
	}
	return err;
}

/* ---- in flight -------------------------------------------------------- */

/*
 * The transfer before has moved its bytes through the caches, and what a post
 * looks at is in memory: some twenty lines, one after the other. Asked for all
 * at once they come in the time of a few.
 */
static struct tcpx_xfer *hold_for_post(struct tcpx_session *session,
				       uint64_t id)
{
	struct tcpx_xfer *x = find_xfer(session, id);

	if (!x)
		return NULL;
	for (size_t off = 0; off < sizeof(*x); off += 64)
		__builtin_prefetch((const char *)x + off, 1);
	context_warm_up(load_relaxed(&x->home));
	x = hold_xfer(session, id);
	if (x)
		xfer_warm_up(&x->xfer);
	return x;
}

/* NULL, or what is wrong with them. */
static const char *wrong_with(const struct tcpx_post_params *params)
{
	if (!params)
		return NULL;
	if (params->size_bytes < POST_PARAMS_BYTES)
		return "size_bytes of the parameters is not theirs";
	if (params->notify_len_bytes > TCPX_NOTIFY_MAX)
		return "the notification is longer than 1 MiB";
	if (params->notify_len_bytes && !params->notify)
		return "the notification has a length and no bytes";
	return NULL;
}

static int cannot_post(const struct tcpx_session *session, const char *why)
{
	log_error(&session->log, "transfer", "cannot post: %s", why);
	return TCPX_EINVAL;
}

int tcpx_xfer_post(struct tcpx_session *session, uint64_t id,
		   const struct tcpx_post_params *params)
{
	const char *wrong = wrong_with(params);
	int err = 0;

	if (!session_is_ours(session))
		return TCPX_ENOENT;
	if (wrong)
		return cannot_post(session, wrong);
	struct tcpx_xfer *x = hold_for_post(session, id);

	if (!x)
		return session_no_such(session, "transfer", id);
	if (x->xfer.op == TCPX_OP_RECV && params && params->has_notify)
		wrong = "a RECV takes no notification along";
	else
		err = xfer_post(&x->xfer, params);
	/* Written by posts only, and this call holds them off. */
	if (!wrong && !err && params && params->deadline_ms)
		control_tick_by(session, x->xfer.deadline_ns);
	pthread_mutex_unlock(&x->lock);
	if (err == TCPX_ENOENT)
		(void)cannot_post(session, "a region of it is gone");
	return wrong ? cannot_post(session, wrong) : err;
}

int tcpx_xfer_test(struct tcpx_session *session, uint64_t id)
{
	struct tcpx_xfer *x = find_xfer(session, id);

	if (!x)
		return session_no_such(session, "transfer", id);
	int status = load_acquire(&x->xfer.status);

	if (status != TCPX_INPROGRESS)
		return status;
	context_visit_now_and_then(load_relaxed(&x->home));
	return load_acquire(&x->xfer.status);
}

/* Another thread may post it again at once: the status seen counts. Or
 * release it: then the id is another one. */
struct wait {
	struct tcpx_xfer *x;
	uint64_t id;
	int status;
};

static bool has_ended(void *arg)
{
	struct wait *wait = arg;

	wait->status = load_acquire(&wait->x->xfer.status);
	if (load_acquire(&wait->x->id) != wait->id)
		wait->status = TCPX_ENOENT;
	return wait->status != TCPX_INPROGRESS;
}

int tcpx_xfer_wait(struct tcpx_session *session, uint64_t id, int timeout_ms)
{
	struct tcpx_xfer *x = find_xfer(session, id);

	if (!x)
		return session_no_such(session, "transfer", id);
	struct wait wait = {.x = x, .id = id};

	if (!has_ended(&wait) &&
	    context_drive(load_relaxed(&x->home), has_ended, &wait,
			  clock_deadline_ns(timeout_ms)))
		return TCPX_ETIMEDOUT;
	trace(TRACE_WAITED, 0, 0);
	return wait.status;
}

int tcpx_xfer_cancel(struct tcpx_session *session, uint64_t id)
{
	struct tcpx_xfer *x = hold_xfer(session, id);

	if (!x)
		return session_no_such(session, "transfer", id);
	xfer_abort(&x->xfer, TCPX_ECANCELED, "canceled", CANCEL_NS);
	pthread_mutex_unlock(&x->lock);
	return 0;
}

/* x->lock held; it is nobody's any more. */
static struct peering *dispose(struct tcpx_xfer *x)
{
	struct peering *peering = x->peering;

	xfer_abort(&x->xfer, TCPX_ECANCELED, "released", UINT64_MAX);
	xfer_forget(&x->xfer);
	xfer_fini(&x->xfer);
	x->peering = NULL;
	return peering;
}

int tcpx_xfer_release(struct tcpx_session *session, uint64_t id)
{
	struct tcpx_xfer *x = hold_xfer(session, id);

	if (!x)
		return session_no_such(session, "transfer", id);
	store_release(&x->id, 0);
	idmap_remove(&session->xfers, id);
	struct peering *peering = dispose(x);

	pthread_mutex_unlock(&x->lock);
	peering_put(peering);
	free_xfer(session, x);
	return 0;
}

int tcpx_xfer_query(struct tcpx_session *session, uint64_t id,
		    struct tcpx_xfer_info *info)
{
	struct tcpx_xfer *x = info ? hold_xfer(session, id) : NULL;

	if (!info)
		return session_null(session, __func__);
	if (!x)
		return session_no_such(session, "transfer", id);
	xfer_query(&x->xfer, info);
	info->peer = x->peering->id;
	pthread_mutex_unlock(&x->lock);
	return 0;
}

void transfer_free_all(struct tcpx_session *session)
{
	uint32_t cursor = 0;
	struct tcpx_xfer *x;

	while ((x = idmap_next(&session->xfers, &cursor)))
		peering_put(dispose(x));
	while (!list_empty(&session->xfer_slabs)) {
		struct xfer_slab *slab = list_entry(session->xfer_slabs.next,
						    struct xfer_slab, link);

		list_del(&slab->link);
		for (int i = 0; i < SLAB_XFERS; i++)
			pthread_mutex_destroy(&slab->xfers[i].lock);
		free(slab);
	}
}
