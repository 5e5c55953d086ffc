/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/lists.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/peer.h"
#include "engine/region.h"
#include "wire/segs.h"

#define PART_SEGS_MAX                                                          \
	65536 /* of one message: a segment takes a byte at least */

static int refuse(int status, char *cause, uint32_t cap, const char *fmt,
		  uint64_t value)
{
	snprintf(cause, cap, fmt, value);
	return status;
}

/* ---- regions ---------------------------------------------------------- */

/* Resolves the table of regions. A refusal leaves cause set. */
static int resolve(struct peer *peer, const struct msg_bytes *rows,
		   uint32_t n_regions, struct seglist *segs, char *cause,
		   uint32_t cap)
{
	struct engine *engine = peer->engine;

	for (uint32_t i = 0; i < n_regions; i++) {
		struct msg_region row = msg_list_region(rows, i);
		struct region *region;
		int err = engine->ops->region_find(engine->arg, row.mem,
						   row.key, &region);

		if (err)
			return refuse(err == TCPX_EKEY ? err : TCPX_EREMOTE,
				      cause, cap,
				      err == TCPX_EKEY ?
					      "wrong key for region %" PRIx64 :
					      "no region %" PRIx64 " here",
				      row.mem);
		err = seglist_add_region(segs, region);
		region_put(region);
		if (err)
			return refuse(TCPX_EREMOTE, cause, cap,
				      "no room for region %" PRIx64, row.mem);
	}
	return 0;
}

int lists_check_access(const struct seglist *segs, uint32_t access, char *cause,
		       uint32_t cap_bytes)
{
	for (uint32_t i = 0; i < segs->n_regions; i++) {
		const struct region *region = segs->regions[i];

		if ((region->access & access) != access)
			return refuse(TCPX_EREMOTE, cause, cap_bytes,
				      access == TCPX_ACCESS_REMOTE_READ ?
					      "region %" PRIx64
					      " may not be read from afar" :
					      "region %" PRIx64
					      " may not be written from afar",
				      region->id);
	}
	return 0;
}

/* Segments of the wire, which lie where the tail's rows are to be, into own
 * addresses, each inside its region. */
static int add_checked(struct seglist_tail *tail, uint32_t n, char *cause,
		       uint32_t cap)
{
	const struct seglist *list = tail->list;
	const struct wire_seg *in = &list->segs[tail->n];

	for (uint32_t i = 0; i < n; i++) {
		const struct wire_seg seg = in[i];
		const struct region *region = list->regions[seg.region];

		if (seg.off > region->len_bytes ||
		    seg.len_bytes > region->len_bytes - seg.off)
			return refuse(TCPX_EREMOTE, cause, cap,
				      "segment outside region %" PRIx64,
				      region->id);
		/* At most as many rows as there were: the list has room. */
		(void)seglist_append(tail, seg.region,
				     (uint64_t)(uintptr_t)region->base +
					     seg.off,
				     seg.len_bytes);
	}
	return 0;
}

/* Decodes n segments behind the rows that are shown, which has to have room;
 * a list that is bad already resolves nothing more. */
static int take_segs(struct seglist_tail *tail, const struct msg_bytes *encoded,
		     uint32_t n, bool bad, char *cause, uint32_t cap)
{
	const struct seglist *list = tail->list;
	struct wire_reader r;

	wire_reader_init(&r, encoded->data, encoded->len_bytes);
	int err = segs_decode(&r, &list->segs[tail->n], n,
			      bad ? MSG_REGIONS_MAX : list->n_regions);

	return err || bad ? err : add_checked(tail, n, cause, cap);
}

/* ---- streamed lists --------------------------------------------------- */

static int first_part(struct peer *peer, const struct msg_list *msg,
		      struct remote_list **out)
{
	uint64_t cost = msg_list_cost(msg->total_segs, msg->n_regions);

	if (!msg->total_segs || !msg->n_regions ||
	    msg->n_regions > MSG_REGIONS_MAX ||
	    msg->n_regions > msg->total_segs ||
	    msg->total_bytes > TCPX_XFER_MAX ||
	    peer->lists_in + cost > peer->limits.list_segments)
		return TCPX_EPROTO;
	struct remote_list *list = calloc(1, sizeof(*list));

	if (!list)
		return TCPX_ENOMEM;
	list->id = msg->list;
	list->total_segs = msg->total_segs;
	list->total_bytes = msg->total_bytes;
	list->cost = cost;
	list->segs = seglist_create(&peer->engine->spares, msg->total_segs);
	int err = list->segs ? u64map_put(&peer->lists, list->id, list) :
			       TCPX_ENOMEM;

	if (err) {
		seglist_put(list->segs);
		free(list);
		return err == TCPX_EBUSY ? TCPX_EPROTO : err;
	}
	peer->lists_in += cost;
	list->status = resolve(peer, &msg->regions, msg->n_regions, list->segs,
			       list->cause, sizeof(list->cause));
	*out = list;
	return 0;
}

static int check_part(const struct remote_list *list,
		      const struct msg_list *msg)
{
	if (msg->first != list->n_segs || !msg->count ||
	    msg->count > PART_SEGS_MAX ||
	    msg->count > list->total_segs - list->n_segs ||
	    msg->total_segs != list->total_segs ||
	    msg->total_bytes != list->total_bytes ||
	    (msg->first && msg->n_regions))
		return TCPX_EPROTO;
	return 0;
}

/* A list is made, grows and goes by home's owner alone, and so does its tail
 * without the lock: lanes that are at work meanwhile need that. */
static int take_part(struct peer *peer, struct remote_list *list,
		     const struct msg_list *msg)
{
	struct seglist_tail tail = seglist_tail(list->segs);

	pthread_mutex_unlock(&peer->lock);
	int err = take_segs(&tail, &msg->segs, msg->count, list->status,
			    list->cause, sizeof(list->cause));

	pthread_mutex_lock(&peer->lock);
	if (!err && !list->status)
		seglist_show(&tail);
	return err;
}

int lists_take_part(struct peer *peer, const struct msg_list *msg,
		    struct remote_list **out)
{
	struct remote_list *list = NULL;
	int err = 0;

	if (!msg->list)
		return TCPX_EPROTO;
	if (msg->first)
		list = lists_find(peer, msg->list);
	else
		err = first_part(peer, msg, &list);
	if (err)
		return err;
	if (!list || check_part(list, msg))
		return TCPX_EPROTO;
	err = take_part(peer, list, msg);
	if (err == TCPX_EPROTO)
		return err;
	list->n_segs += msg->count;
	if (err)
		list->status = err;
	if (!list->status && list->n_segs == list->total_segs &&
	    list->segs->total_bytes != list->total_bytes)
		return TCPX_EPROTO;
	*out = list;
	return 0;
}

struct remote_list *lists_find(struct peer *peer, uint64_t id)
{
	return u64map_get(&peer->lists, id);
}

void lists_drop(struct peer *peer, struct remote_list *list)
{
	u64map_del(&peer->lists, list->id);
	peer->lists_in -= list->cost;
	seglist_put(list->segs);
	free(list);
}

void lists_free(struct peer *peer)
{
	uint64_t id;
	struct remote_list *list;

	while ((list = u64map_any(&peer->lists, &id)))
		lists_drop(peer, list);
	u64map_fini(&peer->lists);
}

/* ---- lists inside requests -------------------------------------------- */

int lists_take_small(struct peer *peer, const struct msg_bytes *regions,
		     uint32_t n_regions, const struct msg_bytes *encoded,
		     uint32_t n_segs, struct seglist **out, char *cause,
		     uint32_t cap_bytes)
{
	struct seglist_tail tail;
	struct seglist *segs;
	int err;

	*out = NULL;
	if (!n_segs || !n_regions || n_regions > MSG_REGIONS_MAX ||
	    n_segs > PART_SEGS_MAX)
		return TCPX_EPROTO;
	segs = seglist_create(&peer->engine->spares, n_segs);
	if (!segs)
		return TCPX_ENOMEM;
	err = resolve(peer, regions, n_regions, segs, cause, cap_bytes);
	tail = seglist_tail(segs);
	if (!err)
		err = take_segs(&tail, encoded, n_segs, false, cause,
				cap_bytes);
	if (err) {
		seglist_put(segs);
		return err;
	}
	seglist_show(&tail);
	*out = segs;
	return 0;
}
