/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The kernels around copy.h. Compiled without any CUDA header; the PTX is
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
DEVICE uint32_t n_done[GPU_COUNTERS];

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

/* What this block did so far before, what others did so far behind it. */
INLINE uint32_t add_gpu(uint32_t *word, uint32_t v)
{
	uint32_t old;

	__asm__ volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], %2;"
			 : "=r"(old)
			 : "l"((uint64_t)word), "r"(v) : "memory");
	return old;
}

/* What is before it is so for the whole system: to release, to acquire. */
INLINE void order_sys(void)
{
	__asm__ volatile("fence.acq_rel.sys;" ::: "memory");
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

INLINE uint32_t left(uint32_t n, uint32_t first, uint32_t most)
{
	return n - first < most ? n - first : most;
}

/* The list's next words: lane by lane, so that they come in few reads. few:
 * the list is in the kernel's parameters, from copy number `copies` on. */
INLINE void read_list(uint64_t copies, const struct gpu_copy *few,
		      uint32_t first, uint32_t n, uint32_t lane, bool fresh,
		      uint64_t *words)
{
	for (uint32_t j = 0; j < COPY_WORDS; j++) {
		uint32_t i = lane + j * COPY_LANES;
		uint32_t at = first * COPY_WORDS + i;

		words[j] = 0;
		if (i < n * COPY_WORDS)
			words[j] = few ? ((const uint64_t *)(few + copies))[at] :
					 load_list(copies + at * 8, fresh);
	}
}

INLINE void run_batch(union room *room, const uint64_t *words, uint32_t lane,
		      bool fresh)
{
	struct copy_count before, all;
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

	before.units = sum_before(plan.n_units, lane, &all.units);
	before.rims = sum_before(copy_rim_units(&plan), lane, &all.rims);
	before.edges = sum_before(copy_edge_items(&plan), lane, &all.edges);
	copy_enter(&room->batch, lane, src, dst, &plan, &before);
	if (lane == 0)
		room->batch.all = all;
	crooked = __nvvm_vote_any_sync(EVERYBODY, plan.crooked);
	__nvvm_bar_warp_sync(EVERYBODY);

	copy_lane(&room->batch, crooked, lane, fresh);
	__nvvm_bar_warp_sync(EVERYBODY);
}

/* This warp's batches of a job; a list is read one batch ahead. */
INLINE void run_warp(union room *room, const struct gpu_launch_job *job,
		     const struct gpu_copy *few, uint32_t warp,
		     uint32_t n_warps, bool fresh)
{
	uint32_t n_copies = job->n_copies;
	uint32_t len = copy_batch_len(n_copies, n_warps);
	uint32_t lane = thread_index() % COPY_LANES;
	uint32_t i = warp * len;
	uint64_t words[COPY_WORDS];

	if (i < n_copies)
		read_list(job->copies, few, i, left(n_copies, i, len), lane,
			  fresh, words);
	while (i < n_copies) {
		uint32_t next = i + n_warps * len;
		uint64_t here[COPY_WORDS];

		for (uint32_t j = 0; j < COPY_WORDS; j++)
			here[j] = words[j];
		if (next < n_copies)
			read_list(job->copies, few, next,
				  left(n_copies, next, len), lane, fresh,
				  words);
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
 * All threads of a block call it. Every block counts itself done behind its
 * bytes; the last one, for which all those bytes are before its own fence,
 * makes them visible to the system and writes the flag.
 */
INLINE void run_job(union room *rooms, const struct gpu_launch_job *job,
		    const struct gpu_copy *few, uint32_t block,
		    uint32_t n_blocks, bool fresh)
{
	uint32_t n_busy = busy_blocks(job->n_copies, n_blocks);
	uint32_t wid = thread_index() / COPY_LANES;
	uint32_t *done = &n_done[job->counter % GPU_COUNTERS];

	if (block >= n_busy)
		return;
	run_warp(&rooms[wid], job, few, block * WARPS + wid, n_busy * WARPS,
		 fresh);
	__syncthreads();
	if (thread_index() != 0)
		return;
	if (n_busy > 1) {
		if (add_gpu(done, 1) != n_busy - 1)
			return;
		*(volatile uint32_t *)done = 0;
	}
	order_sys();
	store_sys(job->flag, job->value);
}

/* Read each time anew: there is no register to keep it in meanwhile. */
INLINE uint32_t blocks_of_row(void)
{
	uint32_t n;

	__asm__ volatile("mov.u32 %0, %%nctaid.x;" : "=r"(n));
	return n;
}

/* As what a block takes part in the job behind one of n_copies: that begins
 * with the blocks which this one leaves. */
INLINE uint32_t next_block(uint32_t block, uint32_t n_copies)
{
	uint32_t n_blocks = blocks_of_row();
	uint32_t n_busy = busy_blocks(n_copies, n_blocks);

	return block < n_busy ? block + n_blocks - n_busy : block - n_busy;
}

INLINE void run_launch(union room *rooms, const struct gpu_launch *launch,
		       const struct gpu_copy *few)
{
	uint32_t step = (uint32_t)__nvvm_read_ptx_sreg_nctaid_y();
	uint32_t block = (uint32_t)__nvvm_read_ptx_sreg_ctaid_x();

	/* A row of blocks for each job, or one row for all of them, in order:
	 * then the first does not wait for the last. */
	for (uint32_t j = (uint32_t)__nvvm_read_ptx_sreg_ctaid_y();
	     j < launch->n_jobs; j += step) {
		struct gpu_launch_job job;

		job.copies = launch->jobs[j].copies;
		job.flag = launch->jobs[j].flag;
		job.value = launch->jobs[j].value;
		job.n_copies = launch->jobs[j].n_copies;
		job.counter = launch->jobs[j].counter;
		run_job(rooms, &job, few, block, blocks_of_row(), false);
		block = next_block(block, launch->jobs[j].n_copies);
	}
}

KERNEL __attribute__((launch_bounds(THREADS, 4))) void
gpu_copy(struct gpu_launch launch)
{
	SHARED union room rooms[WARPS];

	run_launch(rooms, &launch, 0);
}

/* The same with the lists in the parameters: no trip to host memory. */
KERNEL __attribute__((launch_bounds(THREADS, 4))) void
gpu_copy_few(struct copy_few few)
{
	SHARED union room rooms[WARPS];

	run_launch(rooms, &few.launch, few.copies);
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

/* One thread of block 0; *room is the position that must not be filled. */
INLINE void inner_publish(uint64_t pos, uint64_t *room,
			  const struct gpu_launch_job *job)
{
	while (pos >= *room) {
		uint64_t least = pos;

		for (uint32_t b = 1; b < RESIDENT_BLOCKS; b++) {
			uint64_t taken = load_gpu(&inner.taken[b]);

			least = taken < least ? taken : least;
		}
		*room = least + INNER_ENTRIES;
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

/* ---- the ring: the first warp of block 0 ---------------------------------- */

INLINE uint64_t shuffle(uint64_t v, uint32_t from)
{
	uint32_t lo = (uint32_t)__nvvm_shfl_sync_idx_i32(
		EVERYBODY, (int)(uint32_t)v, (int)from, 31);
	uint32_t hi = (uint32_t)__nvvm_shfl_sync_idx_i32(
		EVERYBODY, (int)(uint32_t)(v >> 32), (int)from, 31);

	return (uint64_t)hi << 32 | lo;
}

INLINE uint64_t sum(uint64_t v)
{
	for (uint32_t d = COPY_LANES / 2; d; d /= 2) {
		uint32_t lo = (uint32_t)__nvvm_shfl_sync_bfly_i32(
			EVERYBODY, (int)(uint32_t)v, (int)d, 31);
		uint32_t hi = (uint32_t)__nvvm_shfl_sync_bfly_i32(
			EVERYBODY, (int)(uint32_t)(v >> 32), (int)d, 31);

		v += (uint64_t)hi << 32 | lo;
	}
	return v;
}

/* Each lane's word of the entry at pos; true if it is complete. */
INLINE bool look(uint64_t ring, uint64_t pos, uint32_t lane, uint64_t *word)
{
	uint64_t at = ring + __builtin_offsetof(struct resident_ring, entries) +
		      pos % RESIDENT_ENTRIES * sizeof(struct resident_entry);
	uint64_t v = lane == RESIDENT_WORDS ? pos + 1 : 0;

	if (lane < RESIDENT_WORDS)
		v = load_sys(at + lane * 8);
	*word = v;
	v = lane == RESIDENT_WORDS - 1 || lane > RESIDENT_WORDS ?
		    0 :
		    resident_mix(v, lane);
	return sum(v) == shuffle(*word, RESIDENT_WORDS - 1);
}

INLINE void set_state(uint64_t ring, uint64_t state, uint32_t lane)
{
	if (lane == 0)
		store_sys(ring + __builtin_offsetof(struct resident_ring,
						    state),
			  state);
	fence_sys();
	__nvvm_bar_warp_sync(EVERYBODY);
}

INLINE bool is_time(const struct resident_params *params, uint64_t since_ns,
		    uint64_t born_ns)
{
	uint64_t now = shuffle(now_ns(), 0);

	return now - since_ns > params->idle_ns ||
	       now - born_ns > params->stay_ns;
}

/* Waits for the entry at pos; false: none came, and it was agreed to go. */
INLINE bool await_entry(const struct resident_params *params, uint64_t pos,
			uint64_t born_ns, uint32_t lane, uint64_t *word)
{
	uint64_t since_ns = shuffle(now_ns(), 0);

	while (!look(params->ring, pos, lane, word)) {
		if (!is_time(params, since_ns, born_ns))
			continue;
		set_state(params->ring, RESIDENT_ASKING, lane);
		if (!look(params->ring, pos, lane, word))
			return false;
		set_state(params->ring, RESIDENT_HERE, lane);
		break;
	}
	if (lane == 0)
		store_sys(params->ring + __builtin_offsetof(
					       struct resident_ring, taken),
			  pos + 1);
	return true;
}

/* A job whose copies came with it. */
INLINE void run_tiny(union room *room, const struct gpu_launch_job *job,
		     uint64_t word, uint32_t lane)
{
	uint64_t words[COPY_WORDS] = {0};
	uint64_t copy = shuffle(word, (lane + sizeof(*job) / 8) % COPY_LANES);

	if (lane < job->n_copies * COPY_WORDS)
		words[0] = copy;
	run_batch(room, words, lane, true);
	order_sys();
	__nvvm_bar_warp_sync(EVERYBODY);
	if (lane == 0)
		store_sys(job->flag, job->value);
}

/* A job whose bytes came with it: nothing is to be read. */
INLINE void run_data(const struct gpu_launch_job *job, uint64_t word,
		     uint32_t lane)
{
	uint64_t dst = shuffle(word, 5);
	uint32_t len_bytes = (uint32_t)shuffle(word, 6);
	uint64_t mine = shuffle(word, RESIDENT_DATA_WORD + lane % 8);

	if (((uint32_t)dst | len_bytes) % 8 == 0) {
		if (lane * 8 < len_bytes)
			((volatile uint64_t *)dst)[lane] = mine;
	} else {
		for (uint32_t i = 0; i < 2; i++) {
			uint32_t at = lane + i * COPY_LANES;
			uint64_t from = shuffle(
				word, RESIDENT_DATA_WORD + at / 8);

			if (at < len_bytes)
				((volatile uint8_t *)dst)[at] =
					(uint8_t)(from >> at % 8 * 8);
		}
	}
	order_sys();
	__nvvm_bar_warp_sync(EVERYBODY);
	if (lane == 0)
		store_sys(job->flag, job->value);
}

/* The next job that needs the whole block, or one without a flag: go. */
INLINE void next_job(union room *room, const struct resident_params *params,
		     uint64_t *pos, uint64_t born_ns,
		     struct gpu_launch_job *job)
{
	uint32_t lane = thread_index();
	uint64_t word;

	for (;;) {
		job->flag = 0;
		if (!await_entry(params, *pos, born_ns, lane, &word))
			return;
		++*pos;
		job->copies = shuffle(word, 0);
		job->flag = shuffle(word, 1);
		job->value = shuffle(word, 2);
		job->n_copies = (uint32_t)shuffle(word, 3);
		job->counter = (uint32_t)(shuffle(word, 3) >> 32);
		if (job->flag && job->copies == RESIDENT_DATA_HERE) {
			run_data(job, word, lane);
			continue;
		}
		/* What the CPU wrote before the entry is read behind it. */
		order_sys();
		if (job->flag == 0 || job->copies != RESIDENT_COPIES_HERE)
			return;
		run_tiny(room, job, word, lane);
	}
}

INLINE void lead(union room *rooms, const struct resident_params *params)
{
	SHARED struct gpu_launch_job job;
	SHARED uint32_t together;
	uint64_t pos = params->pos, inner_pos = load_gpu(&inner.published);
	uint64_t born_ns = shuffle(now_ns(), 0), inner_room = inner_pos;

	for (;;) {
		__syncthreads();
		if (thread_index() < COPY_LANES) {
			struct gpu_launch_job mine;

			next_job(&rooms[0], params, &pos, born_ns, &mine);
			if (thread_index() == 0) {
				together = mine.flag == 0 ||
					   mine.n_copies > WARPS;
				if (together)
					inner_publish(inner_pos++, &inner_room,
						      &mine);
				copy_job_words(&job, &mine);
			}
		}
		__syncthreads();
		if (job.flag == 0)
			break;
		run_job(rooms, &job, 0, 0, together ? RESIDENT_BLOCKS : 1,
			true);
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
		run_job(rooms, &job, 0, block, RESIDENT_BLOCKS, true);
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
