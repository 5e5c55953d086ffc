/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/device.h"

#include <stdio.h>

#include <string.h>

#include "engine/region.h"

/* Of one job: the rest of GPU_COPIES_MAX is for long ones, which count as
 * several copies. */
#define SEGMENTS_A_JOB 2048

uint32_t device_number(const struct gpu *gpu)
{
	return gpu ? 1 + gpu_index(gpu) : WIRE_DEVICE_HOST;
}

struct gpu *device_at(const struct seglist *list, struct segcursor at)
{
	if (!list->has_device || at.i >= list->n)
		return NULL;
	return list->regions[list->segs[at.i].region]->gpu;
}

struct gpu *device_within(const struct seglist *list, uint64_t pos,
			  uint64_t len_bytes)
{
	if (!list->has_device)
		return NULL;
	struct segcursor at = seglist_seek(list, pos);
	uint64_t covered = 0;

	for (; covered < len_bytes && at.i < list->n; at.i++, at.off = 0) {
		struct gpu *gpu = device_at(list, at);

		if (gpu)
			return gpu;
		covered += list->segs[at.i].len_bytes - at.off;
	}
	return NULL;
}

void device_say(const struct gpu *gpu, const char *what, char *text,
		size_t cap_bytes)
{
	const char *cause = gpu ? gpu_cause(gpu) : "";

	snprintf(text, cap_bytes, "the GPU failed to %s%s%s", what,
		 *cause ? ": " : "", cause);
}

void device_say_failed(const struct seglist *list, uint64_t pos,
		       uint64_t len_bytes, const char *what, char *text,
		       size_t cap_bytes)
{
	device_say(device_within(list, pos, len_bytes), what, text, cap_bytes);
}

uint32_t device_run(const struct seglist *list, struct segcursor at,
		    uint32_t max_bytes)
{
	struct gpu *gpu = device_at(list, at);
	uint64_t bytes = 0;

	for (uint32_t n = 0; n < SEGMENTS_A_JOB; n++, at.i++, at.off = 0) {
		if (at.i >= list->n || device_at(list, at) != gpu)
			break;
		bytes += list->segs[at.i].len_bytes - at.off;
		if (bytes >= max_bytes)
			return max_bytes;
	}
	return (uint32_t)bytes;
}

/* The run of a segment from *at on, at most max_bytes; *at moves behind it. */
static struct span next_run(const struct seglist *list, struct segcursor *at,
			    uint64_t max_bytes)
{
	const struct wire_seg *seg = &list->segs[at->i];
	struct span run = {(void *)(uintptr_t)(seg->off + at->off),
			   seg->len_bytes - at->off};

	if (run.len_bytes > max_bytes)
		run.len_bytes = max_bytes;
	at->off += (uint32_t)run.len_bytes;
	if (at->off == seg->len_bytes)
		*at = (struct segcursor){at->i + 1, 0};
	return run;
}

int device_gather(const struct seglist *list, struct segcursor from, void *slot,
		  uint32_t len_bytes, struct gpu_job *job)
{
	uint8_t *to = slot;

	while (len_bytes) {
		struct span run = next_run(list, &from, len_bytes);

		if (!gpu_job_add(job, to, run.base, run.len_bytes))
			return TCPX_EINTERNAL;
		to += run.len_bytes;
		len_bytes -= (uint32_t)run.len_bytes;
	}
	gpu_job_submit(job);
	return 0;
}

void device_submitted(struct gpu **waiting, struct gpu *gpu)
{
	if (*waiting != gpu)
		device_flush(waiting);
	*waiting = gpu;
}

void device_flush(struct gpu **waiting)
{
	if (*waiting)
		gpu_flush(*waiting);
	*waiting = NULL;
}

/* ---- placing ---------------------------------------------------------- */

static void reap(struct placing *p)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < p->n_jobs; i++) {
		int status = gpu_job_poll(p->jobs[i]);

		if (status == TCPX_INPROGRESS) {
			p->jobs[kept++] = p->jobs[i];
			continue;
		}
		if (status)
			p->status = status;
		gpu_job_put(p->jobs[i]);
	}
	p->n_jobs = kept;
}

static void submit(struct placing *p, struct gpu *gpu, struct gpu_job *job,
		   struct gpu **flush)
{
	gpu_job_submit(job);
	p->jobs[p->n_jobs++] = job;
	device_submitted(flush, gpu);
}

/* What is being composed: a job for one device at a time. */
struct composer {
	struct placing *placing;
	const struct arrived *arrived;
	struct gpu *skip; /* its memory has been served; NULL: none */
	struct gpu *gpu; /* of job */
	struct gpu_job *job;
	struct gpu **flush;
};

static void close_job(struct composer *c)
{
	if (c->job)
		submit(c->placing, c->gpu, c->job, c->flush);
	c->job = NULL;
}

/* A GPU's pages are copied to its own memory only: what is for host memory
 * that is not pinned, or for another GPU, goes by a slot; all of it, if the
 * session wants that. false: none is free now. */
static bool by_slot(struct composer *c, uint64_t chunk_off, struct span *to)
{
	struct placing *p = c->placing;

	if (chunk_off + to->len_bytes > gpu_slot_bytes(c->arrived->gpu)) {
		p->status = TCPX_ENOMEM;
		return false;
	}
	if (!p->slot &&
	    gpu_slot_get(c->arrived->gpu, GPU_SLOT_RECEIVE, &p->slot)) {
		p->slot = NULL;
		return false;
	}
	to->base = (uint8_t *)p->slot + chunk_off;
	return true;
}

/* false: no room for it now; nothing was done. */
static bool place_run(struct composer *c, struct gpu *gpu, struct span to,
		      const uint8_t *from, uint64_t chunk_off)
{
	if (c->skip && gpu == c->skip)
		return true;
	if (c->arrived->gpu) {
		if ((gpu != c->arrived->gpu || c->arrived->through_host) &&
		    !by_slot(c, chunk_off, &to))
			return false;
		gpu = c->arrived->gpu;
	}
	if (!gpu) {
		memcpy(to.base, from, to.len_bytes);
		return true;
	}
	if (gpu_status(gpu)) {
		c->placing->status = TCPX_EGPU;
		return false;
	}
	if (c->job && c->gpu != gpu)
		close_job(c);
	for (int tries = 0; tries < 2; tries++) {
		if (!c->job && c->placing->n_jobs < PLACING_JOBS) {
			c->gpu = gpu;
			c->job = gpu_job_get(gpu);
		}
		if (!c->job)
			return false;
		if (gpu_job_add(c->job, to.base, from, to.len_bytes))
			return true;
		close_job(c);
	}
	return false;
}

/* The rest of one fragment; false: not all of it yet. */
static bool compose_fragment(struct composer *c, const struct seglist *list,
			     uint64_t pos, const uint8_t *base,
			     const struct transport_fragment *fragment)
{
	uint32_t *off = &c->placing->off;
	struct segcursor at =
		seglist_seek(list, pos + fragment->dst_off + *off);

	while (*off < fragment->len_bytes) {
		struct gpu *gpu = device_at(list, at);
		struct span run =
			next_run(list, &at, fragment->len_bytes - *off);

		if (!place_run(c, gpu, run, base + fragment->src_off + *off,
			       fragment->dst_off + *off))
			return false;
		*off += (uint32_t)run.len_bytes;
	}
	*off = 0;
	return true;
}

static void compose(struct placing *p, const struct seglist *list, uint64_t pos,
		    const struct arrived *arrived, struct gpu *skip,
		    struct gpu **flush)
{
	struct composer c = {
		.placing = p, .arrived = arrived, .skip = skip, .flush = flush};

	while (p->fragment < arrived->n_fragments &&
	       compose_fragment(&c, list, pos, arrived->base,
				&arrived->fragments[p->fragment]))
		p->fragment++;
	close_job(&c);
}

static uint32_t sum_of(const struct arrived *arrived)
{
	uint32_t len_bytes = 0;

	for (uint32_t i = 0; i < arrived->n_fragments; i++)
		len_bytes += arrived->fragments[i].len_bytes;
	return len_bytes;
}

/* Starts what can be; whether there is more to start. The second way begins
 * when the jobs of the first are over. */
static bool go_on(struct placing *p, const struct seglist *list, uint64_t pos,
		  const struct arrived *arrived, struct gpu **flush)
{
	const struct transport_fragment whole = {.len_bytes = sum_of(arrived)};
	const struct arrived slot = {p->slot, &whole, 1, NULL, false};
	struct gpu *served = arrived->through_host ? NULL : arrived->gpu;

	if (p->from_slot) {
		compose(p, list, pos, &slot, served, flush);
		return p->fragment < 1;
	}
	if (p->fragment < arrived->n_fragments)
		compose(p, list, pos, arrived, NULL, flush);
	if (p->fragment < arrived->n_fragments)
		return true;
	if (p->slot && !p->n_jobs) {
		p->from_slot = true;
		p->fragment = p->off = 0;
	}
	return p->slot != NULL;
}

static void drop_slot(struct placing *p, const struct arrived *arrived)
{
	if (p->slot)
		gpu_slot_put(arrived->gpu, GPU_SLOT_RECEIVE, p->slot);
	p->slot = NULL;
}

int placing_run(struct placing *placing, const struct seglist *list,
		uint64_t pos, const struct arrived *arrived, struct gpu **flush)
{
	reap(placing);
	if (list && !placing->status &&
	    go_on(placing, list, pos, arrived, flush) && !placing->status)
		return TCPX_INPROGRESS;
	if (placing->n_jobs)
		return TCPX_INPROGRESS;
	drop_slot(placing, arrived);
	return placing->status;
}

void placing_abandon(struct placing *placing, const struct arrived *arrived)
{
	for (uint32_t i = 0; i < placing->n_jobs; i++)
		gpu_job_abandon(placing->jobs[i]);
	placing->n_jobs = 0;
	drop_slot(placing, arrived);
}
