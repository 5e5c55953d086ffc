/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/trace.h"
#include "gpu/internal.h"

/*
 * Who submits does not start: it pushes the job on a list. Who flushes and
 * gets the lock starts everything on the list, of all threads, with as few
 * launches as can be; who does not get it goes on with its own work.
 *
 *   submitted (any thread) --> backlog --> batch --> driver
 *                              `------ launch_lock ------'
 */

#define ENGINE_RUN_BYTES (1u << 30)

struct batch {
	struct gpu_job *jobs[GPU_JOBS_A_LAUNCH];
	uint32_t n;
	uint64_t copies, bytes;
};

/* ---- lists ------------------------------------------------------------ */

/* The list is last in, first out: turned round at the end of the backlog. */
static void take_submitted(struct gpu *gpu)
{
	struct gpu_job *job = atomic_exchange(&gpu->submitted, NULL);
	struct gpu_job *first = NULL, *last = job, *next;

	if (!job)
		return;
	for (; job; job = next) {
		next = job->next;
		job->next = first;
		first = job;
	}
	*gpu->backlog_end = first;
	gpu->backlog_end = &last->next;
}

static struct gpu_job *pop_backlog(struct gpu *gpu)
{
	struct gpu_job *job = gpu->backlog;

	gpu->backlog = job->next;
	if (!gpu->backlog)
		gpu->backlog_end = &gpu->backlog;
	return job;
}

static void unpop_backlog(struct gpu *gpu, struct gpu_job *job)
{
	if (!gpu->backlog)
		gpu->backlog_end = &job->next;
	job->next = gpu->backlog;
	gpu->backlog = job;
}

/* ---- what becomes of a job -------------------------------------------- */

/* From here on the job may end at any time, and is not ours any more. */
static void mark_started(struct gpu_job *job)
{
	store_relaxed(&job->started_ticks, clock_ticks());
	store_release(&job->state, JOB_STARTED);
}

/*
 * Takes mark_started() back. Only we move a job to STARTED, so if its state
 * is another by now, it has ended by the device's failure and its owner has
 * put it away.
 */
static bool unmark(struct gpu_job *job, enum job_state state)
{
	return cas_acquire(&job->state, JOB_STARTED, state);
}

static void refuse(struct gpu_job *job)
{
	store_release(&job->state, JOB_REFUSED);
}

/* Nothing to copy: no work for a device. */
static bool end_empty(struct gpu *gpu, struct gpu_job *job)
{
	if (job->n_copies > 0)
		return false;
	add_relaxed(&gpu->n_jobs_started, 1);
	store_release(job->flag, load_relaxed(&job->value));
	return true;
}

/* Before the start, since afterwards the jobs may be somebody else's. */
static void count(struct gpu *gpu, struct batch *batch)
{
	batch->copies = 0;
	batch->bytes = 0;
	for (uint32_t i = 0; i < batch->n; i++) {
		batch->copies += batch->jobs[i]->n_copies;
		batch->bytes += batch->jobs[i]->bytes;
	}
	add_relaxed(&gpu->n_jobs_started, batch->n);
	add_relaxed(&gpu->n_copies, batch->copies);
	add_relaxed(&gpu->n_bytes, batch->bytes);
}

static void uncount(struct gpu *gpu, const struct batch *batch)
{
	add_relaxed(&gpu->n_jobs_started, -(uint64_t)batch->n);
	add_relaxed(&gpu->n_copies, -batch->copies);
	add_relaxed(&gpu->n_bytes, -batch->bytes);
}

/* ---- starting --------------------------------------------------------- */

/* The next jobs, which run together. Empty at the end of the backlog. */
static void collect(struct gpu *gpu, struct batch *batch, uint32_t max)
{
	batch->n = 0;
	while (gpu->backlog && batch->n < max) {
		struct gpu_job *job = pop_backlog(gpu);

		if (job->n_queued == 0 &&
		    (gpu_status(gpu) != 0 || load_acquire(&job->orphan))) {
			refuse(job);
		} else if (!end_empty(gpu, job)) {
			batch->jobs[batch->n++] = job;
		}
	}
}

/* Has the stream's last launch ended, so that another could begin at once? */
static bool is_free(struct gpu *gpu, uint32_t stream)
{
	const struct gpu_last *last = &gpu->last[stream];

	return !last->flag || load_acquire(last->flag) >= last->value;
}

/*
 * A launch that would only wait behind others is not made: what is submitted
 * meanwhile goes along with it. GPU_STREAMS: none is free.
 */
static uint32_t free_stream(struct gpu *gpu)
{
	for (uint32_t i = 0; i < GPU_STREAMS; i++) {
		uint32_t stream = gpu->next_stream++ % GPU_STREAMS;

		if (is_free(gpu, stream))
			return stream;
	}
	return GPU_STREAMS;
}

static bool all_are_free(struct gpu *gpu)
{
	uint32_t i = 0;

	while (i < GPU_STREAMS && is_free(gpu, i))
		i++;
	return i == GPU_STREAMS;
}

/*
 * The copies of a lone job, tiles of a long one, if they are one run from end
 * to end: a copy engine begins sooner than a kernel does, 6 us against 9 until
 * the flag is seen, which counts when nothing else is under way. It takes two
 * calls of the driver, which counts when much is. Of 0 bytes: not so.
 */
static struct gpu_copy lone_run(struct gpu *gpu, const struct batch *batch)
{
	const struct gpu_copy none = {0}, *copies = batch->jobs[0]->copies;
	struct gpu_copy run = copies[0];
	uint64_t len_bytes = 0;

	if (batch->n > 1 || gpu->resident || !batch->jobs[0]->n_copies ||
	    !all_are_free(gpu))
		return none;
	for (uint32_t i = 0; i < batch->jobs[0]->n_copies; i++) {
		if (copies[i].src != run.src + len_bytes ||
		    copies[i].dst != run.dst + len_bytes)
			return none;
		len_bytes += copies[i].len_bytes;
	}
	run.len_bytes = (uint32_t)len_bytes;
	return len_bytes <= ENGINE_RUN_BYTES ? run : none;
}

/* run: the copy engine's, if it has any bytes. */
static int launch(struct gpu *gpu, const struct gpu_launch *launch,
		  const struct gpu_copy *run)
{
	const struct gpu_launch_job *last = &launch->jobs[launch->n_jobs - 1];
	uint32_t stream;
	int rc;

	if (gpu->resident)
		return gpu->ops->resident_feed(gpu->device, launch);
	stream = free_stream(gpu);
	if (stream == GPU_STREAMS)
		return TCPX_EAGAIN;
	if (run->len_bytes)
		rc = gpu->ops->copy(gpu->device, stream, run->dst, run->src,
				    run->len_bytes, last->flag, last->value);
	else
		rc = gpu->ops->launch(gpu->device, stream, launch);
	if (!rc)
		gpu->last[stream] = (struct gpu_last){
			(_Atomic uint64_t *)(uintptr_t)last->flag, last->value};
	return rc;
}

static bool in_slots(const struct gpu *gpu, uint64_t at)
{
	return at - (uintptr_t)gpu->slot_mem < gpu->slot_mem_bytes;
}

/* Do they go between our slots and the device? All do as the first does. */
static bool to_or_from_slots(const struct gpu *gpu, const struct gpu_job *job)
{
	return job->n_copies && (in_slots(gpu, job->copies[0].src) ||
				 in_slots(gpu, job->copies[0].dst));
}

/* Before a job is refused for it: who sees that may read why. */
static int blame(struct gpu *gpu, int rc)
{
	if (rc != 0 && rc != TCPX_EAGAIN)
		gpu_fail(gpu, false, gpu->ops->cause(gpu->device));
	return rc;
}

static int start_kernel(struct gpu *gpu, struct batch *batch)
{
	struct gpu_launch all = {
		.n_jobs = batch->n,
		.in_order = to_or_from_slots(gpu, batch->jobs[0]),
	};
	const struct gpu_copy run = lone_run(gpu, batch);
	int rc;

	for (uint32_t i = 0; i < batch->n; i++) {
		const struct gpu_job *job = batch->jobs[i];

		all.jobs[i] = (struct gpu_launch_job){
			.copies = (uintptr_t)job->copies,
			.flag = (uintptr_t)job->flag,
			.value = load_relaxed(&job->value),
			.n_copies = job->n_copies,
			.counter = job->index,
		};
	}
	for (uint32_t i = 0; i < batch->n; i++)
		mark_started(batch->jobs[i]);
	rc = blame(gpu, launch(gpu, &all, &run));
	for (uint32_t i = batch->n; rc != 0 && i > 0; i--) {
		struct gpu_job *job = batch->jobs[i - 1];

		if (rc == TCPX_EAGAIN && unmark(job, JOB_SUBMITTED))
			unpop_backlog(gpu, job);
		else if (rc != TCPX_EAGAIN && rc != TCPX_INPROGRESS)
			(void)unmark(job, JOB_REFUSED);
	}
	return rc;
}

/*
 * The copy that has the flag behind it. If the driver refuses it while it has
 * others of the job, nobody can say when these end: the job stays STARTED
 * until the device has stopped.
 */
static int start_last(struct gpu *gpu, struct gpu_job *job, uint32_t stream,
		      const struct gpu_copy *c)
{
	uint64_t flag = (uintptr_t)job->flag;
	uint64_t value = load_relaxed(&job->value);
	bool alone = job->n_queued == 0;
	int rc;

	mark_started(job);
	rc = blame(gpu, gpu->ops->copy(gpu->device, stream, c->dst, c->src,
				       c->len_bytes, flag, value));
	if (rc == TCPX_EAGAIN && unmark(job, JOB_SUBMITTED))
		unpop_backlog(gpu, job);
	else if (rc != 0 && rc != TCPX_EAGAIN && rc != TCPX_INPROGRESS && alone)
		(void)unmark(job, JOB_REFUSED);
	return rc;
}

/* A copy a call, all in one stream, of which the driver may take some now and
 * the rest in a later flush. */
static int start_engine(struct gpu *gpu, struct batch *batch)
{
	static const struct gpu_copy nothing;
	struct gpu_job *job = batch->jobs[0];
	uint32_t stream = job->index % GPU_STREAMS;
	int rc = TCPX_OK;

	while (rc == 0 && job->n_queued + 1 < job->n_copies) {
		const struct gpu_copy *c = &job->copies[job->n_queued];

		rc = blame(gpu, gpu->ops->copy(gpu->device, stream, c->dst,
					       c->src, c->len_bytes, 0, 0));
		job->n_queued += rc == 0;
	}
	if (rc == 0)
		return start_last(gpu, job, stream,
				  job->n_copies ? &job->copies[job->n_queued] :
						  &nothing);
	if (rc == TCPX_EAGAIN)
		unpop_backlog(gpu, job);
	else if (job->n_queued > 0 || rc == TCPX_INPROGRESS)
		mark_started(job);
	else
		refuse(job);
	return rc;
}

/* launch_lock is held. */
static void start_all(struct gpu *gpu)
{
	bool engine = gpu->params.way == GPU_COPY_ENGINE;
	struct batch batch;
	int rc = TCPX_OK;

	take_submitted(gpu);
	while (rc != TCPX_EAGAIN) {
		collect(gpu, &batch, engine ? 1 : GPU_JOBS_A_LAUNCH);
		if (batch.n == 0)
			break;
		count(gpu, &batch);
		trace(TRACE_LAUNCH, gpu->index, batch.n);
		rc = engine ? start_engine(gpu, &batch) :
			      start_kernel(gpu, &batch);
		trace(TRACE_LAUNCHED, gpu->index, rc == TCPX_OK);
		if (rc == TCPX_OK)
			add_relaxed(&gpu->n_launches, 1);
		else if (rc == TCPX_EAGAIN)
			uncount(gpu, &batch);
	}
	store_relaxed(&gpu->has_backlog, gpu->backlog != NULL);
}

/*
 * All of this in one order for all threads (seq_cst): who pushed a job and
 * did not get the lock did so before it was given back, and so before the
 * holder looked at the list once more.
 */
void gpu_flush(struct gpu *gpu)
{
	if (!atomic_load(&gpu->submitted) && !load_relaxed(&gpu->has_backlog))
		return;
	do {
		uint32_t unlocked = 0;

		if (!atomic_compare_exchange_strong(&gpu->launch_lock,
						    &unlocked, 1))
			return;
		start_all(gpu);
		atomic_store(&gpu->launch_lock, 0);
	} while (atomic_load(&gpu->submitted));
}
