/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_SEGLIST_H
#define ENGINE_SEGLIST_H

/*
 * A list of segments as one stream of bytes: position p of the stream is byte
 * (p - start of segment i) of segment i. Chunks carry positions, so sender
 * and receiver may cut their lists quite differently.
 *
 *   stream   0 ............ 4096 ......... 6000 ..............  total
 *   segs     [ 0          ][ 1            ][ 2                ]
 *   starts   every BLOCK-th segment's position is kept, so that a seek is a
 *            binary search and a short walk
 *
 * Neighbours that touch are merged, long ones split at WIRE_SEG_MAX. The
 * `off` of a segment is an address (lists of own memory) or an offset into
 * the peer's region (lists to be sent to a peer).
 *
 * Threads: built by one thread; read by any once built. A list that still
 * grows (parts arriving from a peer) grows at its tail, which nobody sees: one
 * thread writes there without a lock, and shows the rows under the peer's lock,
 * where the list is read, too. Readers outside the lock use only segments they
 * were shown under it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/span.h"
#include "wire/msg.h"
#include "wire/segs.h"

struct region;
struct spares;

#define SEGLIST_FEW 4 /* rows that need no memory of their own */

struct seglist {
	_Atomic uint32_t refs;
	struct wire_seg *segs;
	_Atomic uint32_t n;	/* grows; readers see what is below it */
	uint32_t cap;
	_Atomic uint64_t total_bytes;
	uint64_t *starts;	/* behind segs, in the same memory */
	struct spares *spares;	/* where that comes from; or NULL */
	size_t row_bytes;	/* of that memory */
	/* One of the two, both n_regions long: own regions, or the peer's. */
	struct region **regions;
	struct msg_region *remote;
	uint32_t n_regions;
	bool has_device;	/* some of it is, here or there, device memory */
	uint32_t device; /* whose memory all of it is, as on the wire:
				   0, 1 + i, or WIRE_DEVICE_SEVERAL */
	/* Where segs, starts and regions are while there are so few: a small
	 * message's list is made and dropped within its handling. */
	struct wire_seg few_segs[SEGLIST_FEW];
	uint64_t first_start;
	struct region *few_regions[SEGLIST_FEW];
};

#define SEGLIST_BLOCK 64 /* segments between two kept positions */

/* Rows that are written behind those that are shown. */
struct seglist_tail {
	struct seglist *list;
	uint32_t first;		/* nothing is merged into rows before it */
	uint32_t n;
	uint64_t total_bytes;
};

/* Where in a list: byte `off` of segment `i`. */
struct segcursor {
	uint32_t i;
	uint32_t off;
};

/* Room for cap segments. spares may be NULL, and outlives the list. NULL: out of
 * memory. */
struct seglist *seglist_create(struct spares *spares, uint32_t cap);
struct seglist *seglist_get(struct seglist *list);
void seglist_put(struct seglist *list); /* NULL is allowed */

/* The table's next row; the list takes a reference on the region. device: the
 * remote one's, as on the wire. Returns 0, TCPX_ENOMEM, or TCPX_EINVAL beyond
 * MSG_REGIONS_MAX. */
int seglist_add_region(struct seglist *list, struct region *region);
int seglist_add_remote(struct seglist *list, const struct msg_region *remote,
		       uint32_t device);

/* What is written there is seen from seglist_show() on; one tail at a time. */
struct seglist_tail seglist_tail(struct seglist *list);
void seglist_show(const struct seglist_tail *tail);
/* Room for n more rows. 0 or TCPX_ENOMEM. Only while the list is built. */
int seglist_widen(struct seglist_tail *tail, uint32_t n);
/* A run that is split, or finds the list full: TCPX_ENOSPC. */
int seglist_append_long(struct seglist_tail *tail, uint32_t region,
			uint64_t off, uint64_t len_bytes);

/* Appends a run. Returns 0 or TCPX_ENOSPC (cap). Inline, for what a segment
 * costs to prepare is mostly this. */
static inline int seglist_append(struct seglist_tail *tail, uint32_t region,
				 uint64_t off, uint64_t len_bytes)
{
	struct seglist *list = tail->list;
	uint32_t n = tail->n;

	if (n > tail->first) {
		struct wire_seg *last = &list->segs[n - 1];

		if (last->off + last->len_bytes == off &&
		    last->region == region &&
		    last->len_bytes + len_bytes <= WIRE_SEG_MAX) {
			last->len_bytes += (uint32_t)len_bytes;
			tail->total_bytes += len_bytes;
			return 0;
		}
	}
	if (len_bytes > WIRE_SEG_MAX || n == list->cap) {
		/* A copy: so the tail itself may be in registers. */
		struct seglist_tail copy = *tail;
		int err = seglist_append_long(&copy, region, off, len_bytes);

		*tail = copy;
		return err;
	}
	if (n % SEGLIST_BLOCK == 0)
		list->starts[n / SEGLIST_BLOCK] = tail->total_bytes;
	list->segs[n] = (struct wire_seg){off, (uint32_t)len_bytes, region};
	tail->n = n + 1;
	tail->total_bytes += len_bytes;
	return 0;
}

/* pos <= total_bytes. */
struct segcursor seglist_seek(const struct seglist *list, uint64_t pos);
/* Mean segment, in bytes: decides between spans and copying. */
uint64_t seglist_mean_bytes(const struct seglist *list);

/*
 * Spans from *at on: at most max_bytes and max_spans. Advances *at, writes
 * how many spans; returns their bytes.
 */
uint64_t seglist_spans(const struct seglist *list, struct segcursor *at,
		       uint64_t max_bytes, struct span *spans,
		       uint32_t max_spans, uint32_t *n_spans);
/* Copies len_bytes of the stream out of, or into, the segments. */
void seglist_gather(const struct seglist *list, struct segcursor *at, void *to,
		    uint64_t len_bytes);
void seglist_scatter(const struct seglist *list, struct segcursor *at,
		     const void *from, uint64_t len_bytes);
/* Does any own region of the list no longer live? */
bool seglist_has_dead(const struct seglist *list);
bool seglist_names(const struct seglist *list, const struct region *region);

#endif
