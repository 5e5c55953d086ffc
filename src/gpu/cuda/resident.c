/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/clock.h"
#include "gpu/cuda/device.h"
#include "gpu/kernels/copy.h"

#define STOP_TIMEOUT_MS 1000
#define ASK_TIMEOUT_NS (2 * NS_PER_MS)
#define THREADS_A_BLOCK 256u /* as in kernels/copy.cu */

/*
 * The CPU's side of kernels/resident.h. The ring stays when the kernel goes;
 * a start goes on where the last one stopped. All with resident_lock.
 */

/* Pairs with the device's store: who sees GONE sees `taken` too. */
static uint64_t state_of(const struct resident_ring *ring)
{
	return __atomic_load_n(&ring->state, __ATOMIC_SEQ_CST);
}

static bool is_gone(uint64_t state)
{
	return (state & 0xff) == RESIDENT_GONE;
}

/* From where the last one stopped; it is gone, so nothing else writes state.
 * Once it could not be started for another reason than lack of memory, it never
 * is: jobs of before are ended by then. TCPX_EAGAIN, TCPX_EGPU. */
static int start(struct gpu_device *device)
{
	struct resident_ring *ring = device->ring;
	struct resident_params params = {
		.ring = (uintptr_t)ring,
		.pos = state_of(ring) >> 8,
		.idle_ns = device->idle_ns,
		.stay_ns = device->stay_ns,
	};
	void *args[] = {&params};
	uint64_t before = state_of(ring);
	struct cuda_scope scope;
	cuda_result got;
	int rc;

	if (device->resident_failed)
		return TCPX_EGPU;
	rc = cuda_enter(device, &scope);
	if (rc == 0) {
		__atomic_store_n(&ring->state, RESIDENT_HERE, __ATOMIC_SEQ_CST);
		got = cuda_api.launch(device->resident_kernel, RESIDENT_BLOCKS,
				      1, 1, THREADS_A_BLOCK, 1, 1, 0,
				      device->resident_stream, args, NULL);
		if (got != CUDA_SUCCESS) {
			__atomic_store_n(&ring->state, before,
					 __ATOMIC_SEQ_CST);
			rc = cuda_fail(device, "cuLaunchKernel", got);
		}
	}
	cuda_leave(&scope);
	rc = cuda_queue_status(device, rc);
	device->resident_failed = rc == TCPX_EGPU;
	return rc;
}

/* After entries were added: is somebody there who will see them? The kernel
 * that is making up its mind takes a few microseconds. */
static int see_to_it(struct gpu_device *device)
{
	uint64_t deadline = clock_now_ns() + ASK_TIMEOUT_NS, state;

	while ((state = state_of(device->ring)) == RESIDENT_ASKING &&
	       clock_now_ns() < deadline)
		cpu_relax();
	if (!is_gone(state) || state >> 8 == device->resident_head)
		return TCPX_OK;
	return start(device);
}

static uint32_t room(const struct gpu_device *device)
{
	uint64_t taken =
		__atomic_load_n(&device->ring->taken, __ATOMIC_ACQUIRE);

	return (uint32_t)(RESIDENT_ENTRIES - (device->resident_head - taken));
}

/* Small enough to come along: one warp's work, and no list to be fetched. */
static bool is_tiny(const struct gpu_launch_job *job)
{
	const struct gpu_copy *copies = (const void *)(uintptr_t)job->copies;
	uint64_t bytes = 0;

	if (job->n_copies > RESIDENT_INLINE)
		return false;
	for (uint32_t i = 0; i < job->n_copies; i++)
		bytes += copies[i].len_bytes;
	return bytes <= RESIDENT_INLINE_BYTES;
}

/* One short run to the device, whose bytes the CPU can read as well. */
static bool is_data(struct gpu_device *device, const struct gpu_launch_job *job)
{
	const struct gpu_copy *copy = (const void *)(uintptr_t)job->copies;

	return job->n_copies == 1 && copy->len_bytes <= RESIDENT_DATA_BYTES &&
	       cuda_pinned_has(device, copy->src) &&
	       !cuda_pinned_has(device, copy->dst);
}

/* Which ways an entry has for a job: resident.h. */
static struct resident_entry make_entry(struct gpu_device *device,
					const struct gpu_launch_job *job)
{
	const struct gpu_copy *copies = (const void *)(uintptr_t)job->copies;
	struct resident_entry entry = {.job = *job};

	if (is_data(device, job)) {
		entry.copy = *copies;
		memcpy(entry.data, (const void *)(uintptr_t)copies->src,
		       copies->len_bytes);
		entry.job.copies = RESIDENT_DATA_HERE;
	} else if (is_tiny(job)) {
		memcpy(entry.copies, copies, job->n_copies * sizeof(*copies));
		entry.job.copies = RESIDENT_COPIES_HERE;
	}
	return entry;
}

static uint64_t seal_of(const uint64_t *words, uint64_t pos)
{
	uint64_t sum = resident_mix(pos + 1, RESIDENT_WORDS);

	for (uint32_t i = 0; i < RESIDENT_WORDS - 1; i++)
		sum += resident_mix(words[i], i);
	return sum;
}

/* The device may read in the middle of this: the seal tells. */
static void add_entry(struct gpu_device *device,
		      const struct gpu_launch_job *job)
{
	struct resident_entry entry = make_entry(device, job);
	uint64_t pos = device->resident_head++;
	uint64_t *to =
		(uint64_t *)&device->ring->entries[pos % RESIDENT_ENTRIES];
	uint64_t words[RESIDENT_WORDS];

	memcpy(words, &entry, sizeof(entry));
	words[RESIDENT_WORDS - 1] = seal_of(words, pos);
	for (uint32_t i = 0; i < RESIDENT_WORDS; i++)
		__atomic_store_n(&to[i], words[i], __ATOMIC_RELEASE);
}

/* Those that were added last, while no kernel is there to see them. */
static void take_back(struct gpu_device *device, uint32_t n)
{
	for (; n > 0; n--) {
		uint64_t pos = --device->resident_head;
		uint64_t *entry = (uint64_t *)&device->ring
					  ->entries[pos % RESIDENT_ENTRIES];

		/* Its seal fits no more. */
		entry[RESIDENT_WORDS - 1] = ~entry[RESIDENT_WORDS - 1];
	}
}

int cuda_resident_feed(struct gpu_device *device,
		       const struct gpu_launch *launch)
{
	int rc = TCPX_OK;

	pthread_mutex_lock(&device->resident_lock);
	if (!device->ring || room(device) < launch->n_jobs) {
		/* Somebody must be there to make room. */
		if (device->ring)
			rc = see_to_it(device);
		pthread_mutex_unlock(&device->resident_lock);
		return rc ? rc : TCPX_EAGAIN;
	}
	for (uint32_t i = 0; i < launch->n_jobs; i++)
		add_entry(device, &launch->jobs[i]);
	/* Entries first, then the look at the state: kernels/resident.h. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	rc = see_to_it(device);
	if (rc)
		take_back(device, launch->n_jobs);
	pthread_mutex_unlock(&device->resident_lock);
	return rc;
}

int cuda_resident_start(struct gpu_device *device)
{
	struct resident_ring *ring;
	void *mem;
	int rc;

	if (device->ring)
		return TCPX_OK;
	rc = cuda_pinned_alloc(device, sizeof(*ring), &mem);
	if (rc)
		return rc;
	ring = mem;
	ring->state = RESIDENT_GONE;
	pthread_mutex_lock(&device->resident_lock);
	device->ring = ring;
	device->resident_head = 0;
	rc = start(device);
	if (rc)
		device->ring = NULL;
	pthread_mutex_unlock(&device->resident_lock);
	if (rc)
		cuda_pinned_free(device, mem);
	return rc;
}

static void drain_resident(struct gpu_device *device)
{
	struct cuda_scope scope;
	int rc = cuda_enter(device, &scope);

	if (rc == 0)
		rc = cuda_drain(device, device->resident_stream,
				STOP_TIMEOUT_MS);
	cuda_leave(&scope);
	/* A context that has failed runs nothing any more. */
	if (rc == TCPX_EGPU)
		__atomic_store_n(&device->ring->state, RESIDENT_GONE,
				 __ATOMIC_SEQ_CST);
}

/* Jobs handed over before are done first. */
void cuda_resident_stop(struct gpu_device *device)
{
	static const struct gpu_launch_job go;
	struct resident_ring *ring;

	pthread_mutex_lock(&device->resident_lock);
	ring = device->ring;
	if (ring && !is_gone(state_of(ring))) {
		if (room(device) > 0)
			add_entry(device, &go);
		drain_resident(device);
	}
	if (ring && is_gone(state_of(ring)))
		device->ring = NULL;
	else
		ring = NULL;
	pthread_mutex_unlock(&device->resident_lock);
	if (ring)
		cuda_pinned_free(device, ring);
}

/* For jobs that are overdue: the kernel may have made up its mind later than
 * a feed had patience. */
int cuda_resident_check(struct gpu_device *device)
{
	int rc = TCPX_OK;

	pthread_mutex_lock(&device->resident_lock);
	if (device->ring)
		rc = see_to_it(device);
	pthread_mutex_unlock(&device->resident_lock);
	return rc;
}

bool cuda_resident_is_gone(struct gpu_device *device)
{
	bool gone;

	pthread_mutex_lock(&device->resident_lock);
	gone = !device->ring;
	pthread_mutex_unlock(&device->resident_lock);
	return gone;
}
