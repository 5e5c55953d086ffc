/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/seglist.h"

#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "engine/device.h"
#include "engine/region.h"
#include "engine/spares.h"

#define BLOCK SEGLIST_BLOCK
#define PREFETCH_AHEAD 6 /* segments; hides the cache misses of short copies */
#define PREFETCH_BYTES 320 /* of each */

static void free_rows(struct seglist *list, struct wire_seg *segs,
		      size_t len_bytes)
{
	if (segs != list->few_segs)
		spares_put(list->spares, segs, len_bytes);
}

/* 0 or TCPX_ENOMEM, and nothing has changed. */
static int make_rows(struct seglist *list, uint32_t cap)
{
	size_t n_starts = cap / BLOCK + 1;
	size_t len_bytes =
		cap * sizeof(*list->segs) + n_starts * sizeof(*list->starts);

	if (cap <= SEGLIST_FEW) {
		list->segs = list->few_segs;
		list->starts = &list->first_start;
		list->cap = cap;
		return 0;
	}
	struct wire_seg *segs = spares_get(list->spares, &len_bytes);

	if (!segs)
		return TCPX_ENOMEM;
	list->segs = segs;
	list->starts = (uint64_t *)(void *)(segs + cap);
	list->row_bytes = len_bytes;
	list->cap = cap;
	return 0;
}

struct seglist *seglist_create(struct spares *spares, uint32_t cap)
{
	struct seglist *list = calloc(1, sizeof(*list));

	if (!list)
		return NULL;
	list->spares = spares;
	if (make_rows(list, cap)) {
		free(list);
		return NULL;
	}
	store_relaxed(&list->refs, 1);
	return list;
}

struct seglist *seglist_get(struct seglist *list)
{
	add_relaxed(&list->refs, 1);
	return list;
}

void seglist_put(struct seglist *list)
{
	if (!list || add_acq_rel(&list->refs, -1u) != 1)
		return;
	if (list->regions)
		for (uint32_t i = 0; i < list->n_regions; i++)
			region_put(list->regions[i]);
	if (list->regions != list->few_regions)
		free(list->regions);
	free(list->remote);
	free_rows(list, list->segs, list->row_bytes);
	free(list);
}

/* Tables grow by doubling from 4 rows. */
_Static_assert(SEGLIST_FEW == 4, "the inline rows are the first table");

static bool table_full(uint32_t n)
{
	return n == 0 || (n >= 4 && (n & (n - 1)) == 0);
}

static void *table_grow(void *table, uint32_t n, size_t row_bytes)
{
	return realloc(table, (n ? 2ul * n : 4ul) * row_bytes);
}

/* Before the row is counted. */
static void note_device(struct seglist *list, uint32_t device)
{
	if (list->n_regions && list->device != device)
		device = WIRE_DEVICE_SEVERAL;
	list->device = device;
	list->has_device |= device != WIRE_DEVICE_HOST;
}

static int grow_regions(struct seglist *list)
{
	bool few = list->regions == list->few_regions;
	struct region **grown = list->few_regions;

	if (list->n_regions)
		grown = table_grow(few ? NULL : list->regions, list->n_regions,
				   sizeof(*grown));
	if (!grown)
		return TCPX_ENOMEM;
	if (few)
		memcpy(grown, list->few_regions, sizeof(list->few_regions));
	list->regions = grown;
	return 0;
}

int seglist_add_region(struct seglist *list, struct region *region)
{
	if (list->n_regions == MSG_REGIONS_MAX)
		return TCPX_EINVAL;
	if (table_full(list->n_regions) && grow_regions(list))
		return TCPX_ENOMEM;
	region_get(region);
	note_device(list, device_number(region->gpu));
	list->regions[list->n_regions++] = region;
	return 0;
}

int seglist_add_remote(struct seglist *list, const struct msg_region *remote,
		       uint32_t device)
{
	if (list->n_regions == MSG_REGIONS_MAX)
		return TCPX_EINVAL;
	if (table_full(list->n_regions)) {
		struct msg_region *grown = table_grow(
			list->remote, list->n_regions, sizeof(*grown));

		if (!grown)
			return TCPX_ENOMEM;
		list->remote = grown;
	}
	note_device(list, device);
	list->remote[list->n_regions++] = *remote;
	return 0;
}

struct seglist_tail seglist_tail(struct seglist *list)
{
	uint32_t n = load_relaxed(&list->n);

	return (struct seglist_tail){list, n, n,
				     load_relaxed(&list->total_bytes)};
}

void seglist_show(const struct seglist_tail *tail)
{
	store_relaxed(&tail->list->total_bytes, tail->total_bytes);
	/* Pairs with readers' loads: the rows below n are there. */
	store_release(&tail->list->n, tail->n);
}

int seglist_widen(struct seglist_tail *tail, uint32_t n)
{
	struct seglist *list = tail->list;
	struct wire_seg *segs = list->segs;
	uint64_t *starts = list->starts;
	size_t row_bytes = list->row_bytes;

	if (make_rows(list, list->cap + n))
		return TCPX_ENOMEM;
	if (list->segs == segs)
		return 0; /* still in the list itself */
	memcpy(list->segs, segs, tail->n * sizeof(*segs));
	memcpy(list->starts, starts,
	       (tail->n + BLOCK - 1) / BLOCK * sizeof(*starts));
	free_rows(list, segs, row_bytes);
	return 0;
}

int seglist_append_long(struct seglist_tail *tail, uint32_t region,
			uint64_t off, uint64_t len_bytes)
{
	while (len_bytes) {
		uint32_t part = len_bytes > WIRE_SEG_MAX ? WIRE_SEG_MAX :
							   (uint32_t)len_bytes;

		if (tail->n == tail->list->cap)
			return TCPX_ENOSPC;
		(void)seglist_append(tail, region, off, part);
		off += part;
		len_bytes -= part;
	}
	return 0;
}

struct segcursor seglist_seek(const struct seglist *list, uint64_t pos)
{
	uint32_t lo = 0, hi = (list->n + BLOCK - 1) / BLOCK;

	if (pos >= list->total_bytes)
		return (struct segcursor){list->n, 0};
	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (list->starts[mid] <= pos)
			lo = mid;
		else
			hi = mid;
	}
	uint64_t left = pos - list->starts[lo];
	uint32_t i = lo * BLOCK;

	while (left >= list->segs[i].len_bytes)
		left -= list->segs[i++].len_bytes;
	return (struct segcursor){i, (uint32_t)left};
}

uint64_t seglist_mean_bytes(const struct seglist *list)
{
	return list->n ? list->total_bytes / list->n : 0;
}

uint64_t seglist_spans(const struct seglist *list, struct segcursor *at,
		       uint64_t max_bytes, struct span *spans,
		       uint32_t max_spans, uint32_t *n_spans)
{
	uint64_t bytes = 0;
	uint32_t n = 0;

	while (n < max_spans && bytes < max_bytes && at->i < list->n) {
		const struct wire_seg *seg = &list->segs[at->i];
		uint64_t len = seg->len_bytes - at->off;

		if (len > max_bytes - bytes)
			len = max_bytes - bytes;
		spans[n].base = (void *)(uintptr_t)(seg->off + at->off);
		spans[n++].len_bytes = len;
		bytes += len;
		at->off += (uint32_t)len;
		if (at->off == seg->len_bytes)
			*at = (struct segcursor){at->i + 1, 0};
	}
	*n_spans = n;
	return bytes;
}

/* The first lines of a segment, for reading or writing; the hardware follows
 * a longer one by itself. */
static inline void prefetch_segment(const struct wire_seg *seg, bool gather)
{
	const char *mem = (const char *)(uintptr_t)seg->off;
	uint32_t len = seg->len_bytes < PREFETCH_BYTES ? seg->len_bytes :
							 PREFETCH_BYTES;

	for (uint32_t off = 0; off < len; off += CACHE_LINE_BYTES)
		if (gather)
			__builtin_prefetch(mem + off, 0);
		else
			__builtin_prefetch(mem + off, 1);
}

/* Calls copy-like work for each run of the stream; kept as one loop so that
 * gather and scatter cannot disagree on where bytes belong. */
static inline void walk(const struct seglist *list, struct segcursor *at,
			uint8_t *flat, uint64_t len_bytes, bool gather)
{
	uint32_t n = list->n;

	while (len_bytes) {
		const struct wire_seg *seg = &list->segs[at->i];
		uint8_t *mem = (uint8_t *)(uintptr_t)(seg->off + at->off);
		uint64_t len = seg->len_bytes - at->off;

		if (at->i + PREFETCH_AHEAD < n)
			prefetch_segment(&seg[PREFETCH_AHEAD], gather);
		if (len > len_bytes)
			len = len_bytes;
		if (gather)
			memcpy(flat, mem, len);
		else
			memcpy(mem, flat, len);
		flat += len;
		len_bytes -= len;
		at->off += (uint32_t)len;
		if (at->off == seg->len_bytes)
			*at = (struct segcursor){at->i + 1, 0};
	}
}

void seglist_gather(const struct seglist *list, struct segcursor *at, void *to,
		    uint64_t len_bytes)
{
	walk(list, at, to, len_bytes, true);
}

void seglist_scatter(const struct seglist *list, struct segcursor *at,
		     const void *from, uint64_t len_bytes)
{
	walk(list, at, (uint8_t *)(uintptr_t)from, len_bytes, false);
}

bool seglist_has_dead(const struct seglist *list)
{
	if (list->regions)
		for (uint32_t i = 0; i < list->n_regions; i++)
			if (region_is_dead(list->regions[i]))
				return true;
	return false;
}

bool seglist_names(const struct seglist *list, const struct region *region)
{
	if (list->regions)
		for (uint32_t i = 0; i < list->n_regions; i++)
			if (list->regions[i] == region)
				return true;
	return false;
}
