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

/* Segments of the wire into own addresses, each inside its region. */
static int add_checked(struct seglist *segs, const struct wire_seg *in,
		       uint32_t n, char *cause, uint32_t cap)
{
	seglist_seal(segs);
	for (uint32_t i = 0; i < n; i++) {
		const struct region *region = segs->regions[in[i].region];

		if (in[i].off > region->len_bytes ||
		    in[i].len_bytes > region->len_bytes - in[i].off)
			return refuse(TCPX_EREMOTE, cause, cap,
				      "segment outside region %" PRIx64,
				      region->id);
		seglist_add(segs, in[i].region,
			    (uint64_t)(uintptr_t)region->base + in[i].off,
			    in[i].len_bytes);
	}
	return 0;
}

/* Decodes n segments and adds them; *sum_bytes is their sum. */
static int take_segs(struct seglist *segs, const struct msg_bytes *encoded,
		     uint32_t n, uint32_t n_regions, uint64_t *sum_bytes,
		     char *cause, uint32_t cap)
{
	struct wire_seg few[SEGLIST_FEW], *in = few;
	struct wire_reader r;

	if (n > SEGLIST_FEW)
		in = malloc((size_t)n * sizeof(*in));
	if (!in)
		return TCPX_ENOMEM;
	wire_reader_init(&r, encoded->data, encoded->len_bytes);
	int err = segs_decode(&r, in, n, n_regions);

	*sum_bytes = 0;
	for (uint32_t i = 0; !err && i < n; i++)
		*sum_bytes += in[i].len_bytes;
	/* A bad list keeps counting, but resolves nothing more. */
	if (!err && segs)
		err = add_checked(segs, in, n, cause, cap);
	if (in != few)
		free(in);
	return err;
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
	list->segs = seglist_create(msg->total_segs);
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

int lists_take_part(struct peer *peer, const struct msg_list *msg,
		    struct remote_list **out)
{
	struct remote_list *list = NULL;
	uint64_t sum;
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
	uint32_t n_regions = list->status ? MSG_REGIONS_MAX :
					    list->segs->n_regions;

	err = take_segs(list->status ? NULL : list->segs, &msg->segs,
			msg->count, n_regions, &sum, list->cause,
			sizeof(list->cause));
	if (err == TCPX_EPROTO || err == TCPX_ENOMEM)
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
	struct seglist *segs;
	uint64_t sum;
	int err;

	*out = NULL;
	if (!n_segs || !n_regions || n_regions > MSG_REGIONS_MAX ||
	    n_segs > PART_SEGS_MAX)
		return TCPX_EPROTO;
	segs = seglist_create(n_segs);
	if (!segs)
		return TCPX_ENOMEM;
	err = resolve(peer, regions, n_regions, segs, cause, cap_bytes);
	if (!err)
		err = take_segs(segs, encoded, n_segs, n_regions, &sum, cause,
				cap_bytes);
	if (err) {
		seglist_put(segs);
		return err;
	}
	*out = segs;
	return 0;
}
