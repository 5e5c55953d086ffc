/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The two kernels around copy.h. Compiled without any CUDA header; the PTX is
 * committed (scripts/make-kernels). Everything the CPU reads or writes
 * meanwhile is accessed by volatile loads and stores, which are relaxed
 * accesses of system scope, and fences of system scope.
 */

#include "gpu/kernels/copy.h"
#include "gpu/kernels/resident.h"

#define DEVICE static __attribute__((device))
#define INLINE static inline __attribute__((device, always_inline))
#define SHARED static __attribute__((shared))
#define KERNEL extern "C" __attribute__((global))

#define WARPS 8u
#define THREADS (WARPS * COPY_LANES)
#define COPY_WORDS (sizeof(struct gpu_copy) / 8)
#define EVERYBODY 0xffffffffu

/* A warp's own: the list as it is read, then the batch made of it. */
union room {
	uint64_t list[COPY_LANES * COPY_WORDS];
	struct copy_batch batch;
};

/* How many blocks of a job are done; back at 0 when all are. */
extern "C" {
__attribute__((device)) uint32_t gpu_copy_counters[GPU_COUNTERS];
}

/* ---- words --------------------------------------------------------------- */

INLINE uint32_t thread_index(void)
{
	return (uint32_t)__nvvm_read_ptx_sreg_tid_x();
}

INLINE uint64_t load_sys(uint64_t at)
{
	uint64_t v;

	__asm__ volatile("ld.relaxed.sys.global.u64 %0, [%1];"
			 : "=l"(v) : "l"(at) : "memory");
	return v;
}

INLINE void store_sys(uint64_t at, uint64_t v)
{
	__asm__ volatile("st.relaxed.sys.global.u64 [%0], %1;"
			 ::"l"(at), "l"(v) : "memory");
}

INLINE void fence_sys(void)
{
	__asm__ volatile("fence.sc.sys;" ::: "memory");
}

INLINE uint64_t load_gpu(const uint64_t *word)
{
	uint64_t v;

	__asm__ volatile("ld.acquire.gpu.global.u64 %0, [%1];"
			 : "=l"(v) : "l"((uint64_t)word) : "memory");
	return v;
}

INLINE void store_gpu(uint64_t *word, uint64_t v)
{
	__asm__ volatile("st.release.gpu.global.u64 [%0], %1;"
			 ::"l"((uint64_t)word), "l"(v) : "memory");
}

INLINE uint64_t now_ns(void)
{
	uint64_t v;

	__asm__ volatile("mov.u64 %0, %%globaltimer;" : "=l"(v));
	return v;
}

INLINE uint64_t load_list(uint64_t at, bool fresh)
{
	uint64_t v;

	if (fresh)
		return load_sys(at);
	__asm__ volatile("ld.global.u64 %0, [%1];" : "=l"(v) : "l"(at));
	return v;
}

/* ---- a batch, a warp ----------------------------------------------------- */

/* Sum over the lanes before this one, and over all. */
INLINE uint32_t sum_before(uint32_t v, uint32_t lane, uint32_t *all)
{
	uint32_t sum = v;

	for (uint32_t d = 1; d < COPY_LANES; d *= 2) {
		uint32_t up = (uint32_t)__nvvm_shfl_sync_up_i32(
			EVERYBODY, (int)sum, (int)d, 0);

		sum += lane >= d ? up : 0;
	}
	*all = (uint32_t)__nvvm_shfl_sync_idx_i32(EVERYBODY, (int)sum,
						  COPY_LANES - 1, 31);
	return sum - v;
}

/* The list's next words: lane by lane, so that they come in few reads. */
INLINE void read_list(uint64_t copies, uint32_t first, uint32_t n,
		      uint32_t lane, bool fresh, uint64_t *words)
{
	for (uint32_t j = 0; j < COPY_WORDS; j++) {
		uint32_t i = lane + j * COPY_LANES;

		words[j] = 0;
		if (i < n * COPY_WORDS)
			words[j] = load_list(
				copies + (first * COPY_WORDS + i) * 8, fresh);
	}
}

INLINE void run_batch(union room *room, const uint64_t *words, uint32_t lane,
		      bool fresh)
{
	uint32_t n_units, n_edges, units_before, edges_before;
	struct copy_plan plan;
	uint64_t src, dst;
	int crooked;

	for (uint32_t j = 0; j < COPY_WORDS; j++)
		room->list[lane + j * COPY_LANES] = words[j];
	__nvvm_bar_warp_sync(EVERYBODY);
	src = room->list[lane * COPY_WORDS];
	dst = room->list[lane * COPY_WORDS + 1];
	plan = copy_cut(src, dst, (uint32_t)room->list[lane * COPY_WORDS + 2]);
	__nvvm_bar_warp_sync(EVERYBODY);

	units_before = sum_before(plan.n_units, lane, &n_units);
	edges_before = sum_before(copy_edge_items(&plan), lane, &n_edges);
	copy_enter(&room->batch, lane, src, dst, &plan, units_before,
		   edges_before);
	crooked = __nvvm_vote_any_sync(EVERYBODY, plan.crooked && plan.n_units);
	__nvvm_bar_warp_sync(EVERYBODY);

	if (crooked)
		copy_units_crooked(&room->batch, n_units, lane, fresh);
	else
		copy_units(&room->batch, n_units, lane, fresh);
	copy_edges(&room->batch, n_edges, lane, fresh);
	__nvvm_bar_warp_sync(EVERYBODY);
}

/* This warp's batches of a job; the list is read one batch ahead. */
INLINE void run_warp(union room *room, uint64_t copies, uint32_t n_copies,
		     uint32_t warp, uint32_t n_warps, bool fresh)
{
	uint32_t len = copy_batch_len(n_copies, n_warps);
	uint32_t lane = thread_index() % COPY_LANES;
	uint64_t words[COPY_WORDS];
	uint32_t i = warp * len;

	if (i >= n_copies)
		return;
	read_list(copies, i, n_copies - i < len ? n_copies - i : len, lane,
		  fresh, words);
	while (i < n_copies) {
		uint64_t here[COPY_WORDS];
		uint32_t next = i + n_warps * len;

		for (uint32_t j = 0; j < COPY_WORDS; j++)
			here[j] = words[j];
		if (next < n_copies)
			read_list(copies, next,
				  n_copies - next < len ? n_copies - next : len,
				  lane, fresh, words);
		run_batch(room, here, lane, fresh);
		i = next;
	}
}

/* ---- a job, a block ------------------------------------------------------ */

/* Blocks that have something to do, of n_blocks; the same for all of them. */
INLINE uint32_t busy_blocks(uint32_t n_copies, uint32_t n_blocks)
{
	uint32_t len = copy_batch_len(n_copies, n_blocks * WARPS);
	uint32_t n = (n_copies + len * WARPS - 1) / (len * WARPS);

	return n < 1 ? 1 : n < n_blocks ? n : n_blocks;
}

/*
 * All threads of a block call it. Every block makes its bytes visible to the
 * system before it counts itself done; the last one writes the flag.
 */
INLINE void run_job(union room *rooms, const struct gpu_launch_job *job,
		    uint32_t block, uint32_t n_blocks, bool fresh)
{
	uint32_t n_busy = busy_blocks(job->n_copies, n_blocks);
	uint32_t wid = thread_index() / COPY_LANES;
	uint32_t *counter = &gpu_copy_counters[job->counter % GPU_COUNTERS];

	if (block >= n_busy)
		return;
	run_warp(&rooms[wid], job->copies, job->n_copies,
		 block * WARPS + wid, n_busy * WARPS, fresh);
	__syncthreads();
	if (thread_index() != 0)
		return;
	fence_sys();
	if (n_busy > 1) {
		uint32_t old = __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);

		if (old != n_busy - 1)
			return;
		*(volatile uint32_t *)counter = 0;
		fence_sys();
	}
	store_sys(job->flag, job->value);
}

KERNEL __attribute__((launch_bounds(THREADS, 4))) void
gpu_copy(struct gpu_launch launch)
{
	SHARED union room rooms[WARPS];
	uint32_t j = (uint32_t)__nvvm_read_ptx_sreg_ctaid_y();
	struct gpu_launch_job job;

	job.copies = launch.jobs[j].copies;
	job.flag = launch.jobs[j].flag;
	job.value = launch.jobs[j].value;
	job.n_copies = launch.jobs[j].n_copies;
	job.counter = launch.jobs[j].counter;
	run_job(rooms, &job, (uint32_t)__nvvm_read_ptx_sreg_ctaid_x(),
		(uint32_t)__nvvm_read_ptx_sreg_nctaid_x(), false);
}

/* ---- the kernel that stays ----------------------------------------------- */

#define INNER_ENTRIES 64u

/* From block 0 to the others. Positions go on over starts of the kernel: a
 * new one begins where all blocks of the last have stopped. */
DEVICE struct {
	uint64_t published;
	uint64_t taken[RESIDENT_BLOCKS];
	struct gpu_launch_job jobs[INNER_ENTRIES];
} inner;

INLINE void copy_job_words(struct gpu_launch_job *dst,
			   const struct gpu_launch_job *src)
{
	const uint64_t *from = (const uint64_t *)src;

	for (uint32_t i = 0; i < sizeof(*src) / 8; i++)
		((volatile uint64_t *)dst)[i] =
			((const volatile uint64_t *)from)[i];
}

/* One thread of block 0. */
INLINE void inner_publish(const struct gpu_launch_job *job)
{
	uint64_t pos = load_gpu(&inner.published);

	for (uint32_t b = 1; b < RESIDENT_BLOCKS; b++) {
		while (pos - load_gpu(&inner.taken[b]) >= INNER_ENTRIES)
			;
	}
	copy_job_words(&inner.jobs[pos % INNER_ENTRIES], job);
	store_gpu(&inner.published, pos + 1);
}

/* One thread of another block: waits for the job at pos. */
INLINE void inner_take(uint64_t pos, uint32_t block, struct gpu_launch_job *job)
{
	while (load_gpu(&inner.published) == pos)
		;
	copy_job_words(job, &inner.jobs[pos % INNER_ENTRIES]);
	store_gpu(&inner.taken[block], pos + 1);
}

INLINE uint64_t entry_at(uint64_t ring, uint64_t pos)
{
	return ring + __builtin_offsetof(struct resident_ring, entries) +
	       pos % RESIDENT_ENTRIES * sizeof(struct resident_entry);
}

INLINE bool entry_there(uint64_t ring, uint64_t pos)
{
	return load_sys(entry_at(ring, pos) +
			__builtin_offsetof(struct resident_entry, seq)) ==
	       pos + 1;
}

/* Asks to go; true if nothing came in between. */
INLINE bool may_go(uint64_t ring, uint64_t pos)
{
	uint64_t state = ring + __builtin_offsetof(struct resident_ring, state);

	store_sys(state, RESIDENT_ASKING);
	fence_sys();
	if (!entry_there(ring, pos))
		return true;
	store_sys(state, RESIDENT_HERE);
	return false;
}

/* One thread of block 0: waits for the job at pos; one without a flag if it
 * is time to go. True if it came from the ring. */
INLINE bool ring_take(const struct resident_params *params, uint64_t pos,
		      uint64_t born_ns, struct gpu_launch_job *job)
{
	uint64_t since_ns = now_ns();

	for (;;) {
		uint64_t now;

		if (entry_there(params->ring, pos))
			break;
		now = now_ns();
		if ((now - since_ns > params->idle_ns ||
		     now - born_ns > params->stay_ns) &&
		    may_go(params->ring, pos)) {
			job->flag = 0;
			return false;
		}
	}
	fence_sys();
	for (uint32_t i = 0; i < sizeof(*job) / 8; i++)
		((volatile uint64_t *)job)[i] =
			load_sys(entry_at(params->ring, pos) + i * 8);
	store_sys(params->ring +
			  __builtin_offsetof(struct resident_ring, taken),
		  pos + 1);
	return true;
}

INLINE void lead(union room *rooms, const struct resident_params *params)
{
	SHARED struct gpu_launch_job job;
	SHARED uint32_t together;
	uint64_t pos = params->pos, born_ns = now_ns();

	for (;;) {
		__syncthreads();
		if (thread_index() == 0) {
			pos += ring_take(params, pos, born_ns, &job);
			together = job.flag == 0 || job.n_copies > WARPS;
			if (together)
				inner_publish(&job);
		}
		__syncthreads();
		if (job.flag == 0)
			break;
		run_job(rooms, &job, 0, together ? RESIDENT_BLOCKS : 1, true);
	}
	if (thread_index() == 0) {
		fence_sys();
		store_sys(params->ring + __builtin_offsetof(
					       struct resident_ring, state),
			  RESIDENT_GONE | pos << 8);
	}
}

INLINE void follow(union room *rooms, uint32_t block)
{
	SHARED struct gpu_launch_job job;
	uint64_t pos = load_gpu(&inner.taken[block]);

	for (;;) {
		__syncthreads();
		if (thread_index() == 0)
			inner_take(pos, block, &job);
		pos++;
		__syncthreads();
		if (job.flag == 0)
			break;
		run_job(rooms, &job, block, RESIDENT_BLOCKS, true);
	}
}

KERNEL __attribute__((launch_bounds(THREADS, 1))) void
gpu_resident(struct resident_params params)
{
	SHARED union room rooms[WARPS];
	uint32_t block = (uint32_t)__nvvm_read_ptx_sreg_ctaid_x();

	if (block == 0)
		lead(rooms, &params);
	else
		follow(rooms, block);
}
