/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GPU_KERNELS_COPY_H
#define GPU_KERNELS_COPY_H

/*
 * How a list of copies is carried out by 32 lanes: plain C for both the GPU
 * and the CPU, where tests run the lanes one after another. Copies of a list
 * do not overlap, so the order of lanes does not matter.
 *
 * A copy is cut into units of 16 aligned bytes of the destination, and edges,
 * what is left before and behind them:
 *
 *     dst  |.....edge.....|16|16|16|...|16|.....edge.....|
 *     src    |..edge..|16|16|16|...          any alignment
 *
 * Where the source is not aligned alike (crooked), a unit is put together of
 * the two aligned 16 bytes of the source that it lies in; edges are then long
 * enough that nothing outside the copy is ever read, not even a byte.
 *
 * Up to 32 copies are a batch. Its units are numbered through from 0, as are
 * the items of its edges, and lane k of 32 does units k, k + 32, ...: short
 * copies keep as many lanes busy as long ones. A copy is at most 1 GiB long.
 *
 * Of a crooked copy, the first and last units that do not fill a line of the
 * cache are its rim, numbered behind the units of all lines: so lines are
 * written whole, by lanes side by side.
 */

#include "gpu/driver.h"

#ifdef __CUDA__
#define COPY_FN static inline __attribute__((device, always_inline))
/* A loop that is written out: its arrays are registers. */
#define COPY_UNROLLED _Pragma("unroll")
#else
#define COPY_FN static inline
#define COPY_UNROLLED
#include <string.h>
#endif

#define COPY_LANES 32u
#define COPY_UNROLL 4u		/* units of a lane in flight */
#define COPY_LINE_UNITS 8u	/* of a line of the cache */
#define COPY_MAX_BYTES (1u << 30)

struct copy_word {
	uint32_t w[4];
};

/* One copy, cut. */
struct copy_plan {
	uint32_t head_bytes;	/* edge before the units */
	uint32_t tail_bytes;	/* edge behind them */
	uint32_t head_units;	/* rim before the lines */
	uint32_t n_units;	/* of whole lines, if crooked */
	uint32_t tail_units;	/* rim behind them; 0 if not crooked */
	uint32_t grain_bytes;	/* edges go by 1 or 4 bytes */
	bool crooked;		/* has units, and they are not aligned alike */
};

/* How much there is of all copies before one, or of all. */
struct copy_count {
	uint32_t units, rims, edges;
};

/* A batch as the lanes see it. Entries behind the last copy start where it
 * ends, so that a search never finds them. */
struct copy_batch {
	struct copy_count all;
	uint64_t src[COPY_LANES]; /* of unit 0 of the batch, were it theirs */
	uint64_t dst[COPY_LANES];
	uint32_t unit[COPY_LANES]; /* the first unit of its lines */
	uint32_t rim[COPY_LANES]; /* the first of its rim */
	uint32_t edge[COPY_LANES]; /* the first item of its edges */
	uint32_t lines[COPY_LANES]; /* units between its rims */
	uint32_t gap_bytes[COPY_LANES]; /* between its edges */
	uint8_t head_bytes[COPY_LANES];
	uint8_t head_units[COPY_LANES];
	uint8_t grain_bytes[COPY_LANES];
};

/* A launch whose lists are short goes with them in the kernel's parameters;
 * copies of a job then begin at number job.copies. */
#define COPY_FEW 64u

struct copy_few {
	struct gpu_launch launch;
	struct gpu_copy copies[COPY_FEW];
};
_Static_assert(sizeof(struct copy_few) <= 4096, "of a kernel's parameters");

/* ---- memory: fresh loads see what others wrote while a kernel runs ------ */

#ifdef __CUDA__

COPY_FN struct copy_word copy_load16(uint64_t at, bool fresh)
{
	struct copy_word v;

	if (fresh)
		__asm__ volatile(
			"ld.volatile.global.v4.u32 {%0,%1,%2,%3}, [%4];"
			: "=r"(v.w[0]), "=r"(v.w[1]), "=r"(v.w[2]), "=r"(v.w[3])
			: "l"(at));
	else
		__asm__ volatile("ld.global.v4.u32 {%0,%1,%2,%3}, [%4];"
				 : "=r"(v.w[0]), "=r"(v.w[1]), "=r"(v.w[2]),
				   "=r"(v.w[3])
				 : "l"(at));
	return v;
}

COPY_FN void copy_store16(uint64_t at, struct copy_word v)
{
	__asm__ volatile("st.global.v4.u32 [%0], {%1,%2,%3,%4};" ::"l"(at),
			 "r"(v.w[0]), "r"(v.w[1]), "r"(v.w[2]), "r"(v.w[3]));
}

COPY_FN void copy_move4(uint64_t dst, uint64_t src, bool fresh)
{
	uint32_t v;

	if (fresh)
		__asm__ volatile("ld.volatile.global.u32 %0, [%1];"
				 : "=r"(v)
				 : "l"(src));
	else
		__asm__ volatile("ld.global.u32 %0, [%1];"
				 : "=r"(v)
				 : "l"(src));
	__asm__ volatile("st.global.u32 [%0], %1;" ::"l"(dst), "r"(v));
}

COPY_FN void copy_move1(uint64_t dst, uint64_t src, bool fresh)
{
	uint32_t v;

	if (fresh)
		__asm__ volatile("ld.volatile.global.u8 %0, [%1];"
				 : "=r"(v)
				 : "l"(src));
	else
		__asm__ volatile("ld.global.u8 %0, [%1];" : "=r"(v) : "l"(src));
	__asm__ volatile("st.global.u8 [%0], %1;" ::"l"(dst), "r"(v));
}

#else

/* A test may look at every access before it is made. */
#ifndef COPY_TOUCH
#define COPY_TOUCH(at, len_bytes, write) ((void)0)
#endif

COPY_FN struct copy_word copy_load16(uint64_t at, bool fresh)
{
	struct copy_word v;

	COPY_TOUCH(at, 16, false);
	memcpy(&v, (const void *)(uintptr_t)at, 16);
	return v;
}

COPY_FN void copy_store16(uint64_t at, struct copy_word v)
{
	COPY_TOUCH(at, 16, true);
	memcpy((void *)(uintptr_t)at, &v, 16);
}

COPY_FN void copy_move4(uint64_t dst, uint64_t src, bool fresh)
{
	COPY_TOUCH(src, 4, false);
	COPY_TOUCH(dst, 4, true);
	memcpy((void *)(uintptr_t)dst, (const void *)(uintptr_t)src, 4);
}

COPY_FN void copy_move1(uint64_t dst, uint64_t src, bool fresh)
{
	COPY_TOUCH(src, 1, false);
	COPY_TOUCH(dst, 1, true);
	memcpy((void *)(uintptr_t)dst, (const void *)(uintptr_t)src, 1);
}

#endif

/* ---- one copy ---------------------------------------------------------- */

/* Which of n units from dst on are its rim. */
COPY_FN void copy_cut_rim(uint64_t dst, uint32_t n, struct copy_plan *plan)
{
	uint32_t head = (uint32_t)(-dst / 16) % COPY_LINE_UNITS;

	plan->head_units = head < n ? head : n;
	plan->tail_units = (n - plan->head_units) % COPY_LINE_UNITS;
	plan->n_units = n - plan->head_units - plan->tail_units;
}

COPY_FN struct copy_plan copy_cut(uint64_t src, uint64_t dst,
				  uint32_t len_bytes)
{
	struct copy_plan plan = {0};
	uint32_t head = (uint32_t)-dst & 15;
	uint32_t skew = (uint32_t)(src + head) & 15;
	uint32_t room, n;

	/* The first unit's source begins `skew` bytes before it. */
	if (head < skew)
		head += 16;
	plan.grain_bytes = ((src | dst | len_bytes) & 3) == 0 ? 4 : 1;
	if (head >= len_bytes) {
		plan.head_bytes = len_bytes;
		return plan;
	}
	room = len_bytes - head;
	n = room / 16;
	/* The last unit's source ends 16 - skew bytes behind it. */
	if (skew && n && n * 16 + 16 - skew > room)
		n--;
	plan.crooked = skew && n;
	plan.head_bytes = head;
	plan.tail_bytes = room - n * 16;
	plan.n_units = n;
	if (plan.crooked)
		copy_cut_rim(dst + head, n, &plan);
	return plan;
}

COPY_FN uint32_t copy_edge_items(const struct copy_plan *plan)
{
	return (plan->head_bytes + plan->tail_bytes) / plan->grain_bytes;
}

COPY_FN uint32_t copy_rim_units(const struct copy_plan *plan)
{
	return plan->head_units + plan->tail_units;
}

/* Entry i of a batch; before: of all before it. */
COPY_FN void copy_enter(struct copy_batch *batch, uint32_t i, uint64_t src,
			uint64_t dst, const struct copy_plan *plan,
			const struct copy_count *before)
{
	uint32_t rims = copy_rim_units(plan);
	uint64_t off = plan->head_bytes + (uint64_t)plan->head_units * 16 -
		       (uint64_t)before->units * 16;

	batch->src[i] = src + off;
	batch->dst[i] = dst + off;
	batch->unit[i] = before->units;
	batch->rim[i] = before->rims;
	batch->edge[i] = before->edges;
	batch->lines[i] = plan->n_units;
	batch->gap_bytes[i] = (rims + plan->n_units) * 16;
	batch->head_bytes[i] = (uint8_t)plan->head_bytes;
	batch->head_units[i] = (uint8_t)plan->head_units;
	batch->grain_bytes[i] = (uint8_t)plan->grain_bytes;
}

/* ---- one lane's part of a batch ----------------------------------------- */

/* The last of 32 ascending numbers that is not above n; the first is 0. */
COPY_FN uint32_t copy_find(const uint32_t *first, uint32_t n)
{
	uint32_t i = 0;

	for (uint32_t step = COPY_LANES / 2; step; step /= 2)
		i += first[i + step] <= n ? step : 0;
	return i;
}

/* Bits by_bytes * 8 on of the 64 bits hi, lo; by_bytes < 4. */
COPY_FN uint32_t copy_funnel(uint32_t lo, uint32_t hi, uint32_t by_bytes)
{
	return (uint32_t)(((uint64_t)hi << 32 | lo) >> by_bytes * 8);
}

/* 16 bytes from byte `by` of the 32 bytes a, b. Words and no array with a
 * computed index: on the GPU that would be memory. */
COPY_FN struct copy_word copy_shift(struct copy_word a, struct copy_word b,
				    uint32_t by)
{
	bool two = by & 8, one = by & 4;
	uint32_t p0 = two ? a.w[2] : a.w[0], p1 = two ? a.w[3] : a.w[1];
	uint32_t p2 = two ? b.w[0] : a.w[2], p3 = two ? b.w[1] : a.w[3];
	uint32_t p4 = two ? b.w[2] : b.w[0], p5 = two ? b.w[3] : b.w[1];
	uint32_t q0 = one ? p1 : p0, q1 = one ? p2 : p1, q2 = one ? p3 : p2;
	uint32_t q3 = one ? p4 : p3, q4 = one ? p5 : p4;
	struct copy_word out;

	out.w[0] = copy_funnel(q0, q1, by & 3);
	out.w[1] = copy_funnel(q1, q2, by & 3);
	out.w[2] = copy_funnel(q2, q3, by & 3);
	out.w[3] = copy_funnel(q3, q4, by & 3);
	return out;
}

/*
 * A lane's units of a batch without crooked copies. All lanes go round as
 * often; one that has nothing left reads the last unit again, so that loads
 * stand together and are in flight at once.
 */
COPY_FN void copy_units(const struct copy_batch *batch, uint32_t n_units,
			uint32_t lane, bool fresh)
{
	const uint32_t stride = COPY_LANES * COPY_UNROLL;

	for (uint32_t base = lane; base - lane < n_units; base += stride) {
		struct copy_word v[COPY_UNROLL];
		uint64_t dst[COPY_UNROLL];

		COPY_UNROLLED
		for (uint32_t j = 0; j < COPY_UNROLL; j++) {
			uint32_t u = base + j * COPY_LANES;
			uint32_t at = u < n_units ? u : n_units - 1;
			uint32_t i = copy_find(batch->unit, at);

			dst[j] = batch->dst[i] + (uint64_t)at * 16;
			v[j] = copy_load16(batch->src[i] + (uint64_t)at * 16,
					   fresh);
		}
		COPY_UNROLLED
		for (uint32_t j = 0; j < COPY_UNROLL; j++) {
			if (base + j * COPY_LANES < n_units)
				copy_store16(dst[j], v[j]);
		}
	}
}

/* Whose unit number n is, and how many bytes behind the entry's src and dst:
 * rims are numbered behind the units of all lines. */
COPY_FN uint32_t copy_whose(const struct copy_batch *batch, uint32_t n,
			    int64_t *off)
{
	bool is_rim = n >= batch->all.units;
	uint32_t k = is_rim ? n - batch->all.units : n;
	uint32_t i = copy_find(is_rim ? batch->rim : batch->unit, k);
	int32_t unit = (int32_t)k;

	if (is_rim) {
		k -= batch->rim[i];
		unit = (int32_t)(batch->unit[i] + k - batch->head_units[i]);
		unit += k < batch->head_units[i] ? 0 : (int32_t)batch->lines[i];
	}
	*off = (int64_t)unit * 16;
	return i;
}

/* The same for any batch, its rims last. */
COPY_FN void copy_units_crooked(const struct copy_batch *batch, uint32_t lane,
				bool fresh)
{
	const uint32_t n_units = batch->all.units + batch->all.rims;
	const uint32_t unroll = COPY_UNROLL / 2;
	const uint32_t stride = COPY_LANES * unroll;

	for (uint32_t base = lane; base - lane < n_units; base += stride) {
		struct copy_word a[COPY_UNROLL / 2], b[COPY_UNROLL / 2];
		uint64_t dst[COPY_UNROLL / 2];
		uint32_t skew[COPY_UNROLL / 2];

		COPY_UNROLLED
		for (uint32_t j = 0; j < unroll; j++) {
			uint32_t u = base + j * COPY_LANES;
			uint32_t at = u < n_units ? u : n_units - 1;
			int64_t off;
			uint32_t i = copy_whose(batch, at, &off);
			uint64_t src = batch->src[i] + (uint64_t)off;

			dst[j] = batch->dst[i] + (uint64_t)off;
			skew[j] = (uint32_t)src & 15;
			src -= skew[j];
			a[j] = copy_load16(src, fresh);
			b[j] = copy_load16(src + (skew[j] ? 16 : 0), fresh);
		}
		COPY_UNROLLED
		for (uint32_t j = 0; j < unroll; j++) {
			if (base + j * COPY_LANES < n_units)
				copy_store16(dst[j],
					     copy_shift(a[j], b[j], skew[j]));
		}
	}
}

COPY_FN void copy_edges(const struct copy_batch *batch, uint32_t n_edges,
			uint32_t lane, bool fresh)
{
	for (uint32_t e = lane; e < n_edges; e += COPY_LANES) {
		uint32_t i = copy_find(batch->edge, e);
		uint32_t off = (e - batch->edge[i]) * batch->grain_bytes[i];
		/* From the unit numbers back to where the copy begins. */
		uint64_t start =
			((uint64_t)batch->unit[i] - batch->head_units[i]) * 16 -
			batch->head_bytes[i];

		if (off >= batch->head_bytes[i])
			off += batch->gap_bytes[i];
		start += off;
		if (batch->grain_bytes[i] == 4)
			copy_move4(batch->dst[i] + start, batch->src[i] + start,
				   fresh);
		else
			copy_move1(batch->dst[i] + start, batch->src[i] + start,
				   fresh);
	}
}

/* All that a lane does of a batch. */
COPY_FN void copy_lane(const struct copy_batch *batch, bool crooked,
		       uint32_t lane, bool fresh)
{
	if (crooked)
		copy_units_crooked(batch, lane, fresh);
	else
		copy_units(batch, batch->all.units, lane, fresh);
	copy_edges(batch, batch->all.edges, lane, fresh);
}

/* ---- how much a warp takes at once -------------------------------------- */

/* Copies a batch, so that n_warps warps share n_copies evenly. */
COPY_FN uint32_t copy_batch_len(uint32_t n_copies, uint32_t n_warps)
{
	uint32_t n = (n_copies + n_warps - 1) / n_warps;

	return n < 1 ? 1 : n > COPY_LANES ? COPY_LANES : n;
}

#ifndef __CUDA__

/* A batch of n <= 32 copies on the CPU, as the GPU's lanes would do it. */
static inline void copy_batch_run(const struct gpu_copy *copies, uint32_t n)
{
	struct copy_batch batch = {0};
	struct copy_count *all = &batch.all;
	bool crooked = false;

	for (uint32_t i = 0; i < COPY_LANES; i++) {
		struct gpu_copy none = {0};
		const struct gpu_copy *copy = i < n ? &copies[i] : &none;
		struct copy_plan plan =
			copy_cut(copy->src, copy->dst, copy->len_bytes);

		copy_enter(&batch, i, copy->src, copy->dst, &plan, all);
		all->units += plan.n_units;
		all->rims += copy_rim_units(&plan);
		all->edges += copy_edge_items(&plan);
		crooked |= plan.crooked;
	}
	for (uint32_t lane = 0; lane < COPY_LANES; lane++)
		copy_lane(&batch, crooked, lane, false);
}

/* A list, as n_warps warps would do it. */
static inline void copy_list_run(const struct gpu_copy *copies, uint32_t n,
				 uint32_t n_warps)
{
	uint32_t len = copy_batch_len(n, n_warps);

	for (uint32_t i = 0; i < n; i += len)
		copy_batch_run(copies + i, n - i < len ? n - i : len);
}

#endif

#endif
