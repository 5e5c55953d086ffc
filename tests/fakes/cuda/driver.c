/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fakes/cuda/fake.h"
#include "gpu/kernels/copy.h"
#include "gpu/kernels/resident.h"

#define STREAMS_MAX 64
#define EVENTS_MAX 64
#define DEPTH_MAX 16
#define ILLEGAL_ADDRESS 700
#define NOT_INITIALIZED 3

struct CUctx_st {
	int device, retained;
	unsigned long long id;
};

struct CUstream_st {
	unsigned long long ctx_id; /* 0: free */
	int device;
};

struct CUevent_st {
	bool passed;
};

enum kernel { KERNEL_COPY = 1, KERNEL_FEW, KERNEL_RESIDENT };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* lock */
static struct fake_cuda_fail failing;
static int n_calls;
static bool has_failed;
static cuda_result lost;
static int driver_version = 12020;
static pid_t owner; /* who has called cuInit(); 0: nobody */
static struct CUctx_st primaries[FAKE_DEVICES] = {{0, 0, 1}, {1, 0, 2}};
static unsigned long long next_id = 3;
static struct CUstream_st streams[STREAMS_MAX];
static struct CUevent_st events[EVENTS_MAX];
static int n_events;

static _Thread_local struct CUctx_st *stack[DEPTH_MAX];
static _Thread_local int depth, capture_mode;

/* ---- failures --------------------------------------------------------------- */

void fake_cuda_fail(const struct fake_cuda_fail *fail)
{
	pthread_mutex_lock(&lock);
	failing = *fail;
	n_calls = 0;
	has_failed = false;
	pthread_mutex_unlock(&lock);
}

bool fake_cuda_has_failed(void)
{
	return has_failed;
}

void fake_cuda_set_version(int version)
{
	driver_version = version;
}

__attribute__((constructor)) static void read_variable(void)
{
	const char *text = getenv("FAKE_CUDA_FAIL");
	struct fake_cuda_fail fail = {.nth = 1};
	int how = FAKE_ONCE;

	if (!text || sscanf(text, "%47[^:]:%d:%d:%d", fail.name, &fail.nth,
			    &fail.code, &how) < 3)
		return;
	fail.how = (enum fake_cuda_how)how;
	fake_cuda_fail(&fail);
}

void fake_lose(cuda_result code)
{
	pthread_mutex_lock(&lock);
	lost = code;
	pthread_mutex_unlock(&lock);
}

/* What has nothing to do with a context goes on without one. */
static bool needs_context(const char *name)
{
	static const char *const others[] = {
		"cuGetErrorName",
		"cuGetErrorString",
		"cuInit",
		"cuDriverGetVersion",
		"cuDeviceGetCount",
		"cuDeviceGet",
		"cuCtxPopCurrent_v2",
		"cuThreadExchangeStreamCaptureMode"};

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (strcmp(name, others[i]) == 0)
			return false;
	return true;
}

cuda_result fake_call(const char *name)
{
	cuda_result rc = CUDA_SUCCESS;

	pthread_mutex_lock(&lock);
	if (strcmp(name, failing.name) == 0 &&
	    (++n_calls == failing.nth ||
	     (failing.how != FAKE_ONCE && n_calls > failing.nth))) {
		has_failed = true;
		rc = failing.code;
		if (failing.how == FAKE_LOST)
			lost = failing.code;
	}
	if (!rc && lost && needs_context(name))
		rc = lost;
	/* As a process sees it that was forked from one with a driver. */
	if (owner && owner != getpid() && strncmp(name, "cuGetError", 10) != 0)
		rc = NOT_INITIALIZED;
	pthread_mutex_unlock(&lock);
	return rc;
}

cuda_result cuInit(unsigned int flags)
{
	FAKE_CALL();
	owner = getpid();
	return CUDA_SUCCESS;
}

cuda_result cuDriverGetVersion(int *version)
{
	FAKE_CALL();
	*version = driver_version;
	return CUDA_SUCCESS;
}

cuda_result cuGetErrorName(cuda_result rc, const char **name)
{
	static _Thread_local char text[32];

	FAKE_CALL();
	snprintf(text, sizeof(text), "CUDA_ERROR_%d", rc);
	*name = text;
	return CUDA_SUCCESS;
}

cuda_result cuGetErrorString(cuda_result rc, const char **text)
{
	FAKE_CALL();
	*text = "as the test wants it";
	return CUDA_SUCCESS;
}

/* ---- devices ---------------------------------------------------------------- */

cuda_result cuDeviceGetCount(int *n)
{
	FAKE_CALL();
	*n = FAKE_DEVICES;
	return CUDA_SUCCESS;
}

cuda_result cuDeviceGet(cuda_device *device, int index)
{
	FAKE_CALL();
	if (index < 0 || index >= FAKE_DEVICES)
		return CUDA_INVALID_VALUE;
	*device = index;
	return CUDA_SUCCESS;
}

cuda_result cuDeviceGetName(char *name, int cap_bytes, cuda_device device)
{
	FAKE_CALL();
	snprintf(name, (size_t)cap_bytes, "fake %d", device);
	return CUDA_SUCCESS;
}

cuda_result cuDeviceTotalMem_v2(size_t *bytes, cuda_device device)
{
	FAKE_CALL();
	*bytes = 1ull << 30;
	return CUDA_SUCCESS;
}

cuda_result cuDeviceGetAttribute(int *value, int attribute, cuda_device device)
{
	FAKE_CALL();
	*value = attribute == CUDA_DEV_N_MULTIPROCESSORS ? 16 : 1;
	return CUDA_SUCCESS;
}

cuda_result cuDeviceGetPCIBusId(char *pci, int cap_bytes, cuda_device device)
{
	FAKE_CALL();
	snprintf(pci, (size_t)cap_bytes, "ffff:%02x:00.0", device + 1);
	return CUDA_SUCCESS;
}

/* ---- contexts --------------------------------------------------------------- */

int fake_cuda_depth(void)
{
	return depth;
}

int fake_cuda_capture_mode(void)
{
	return capture_mode;
}

void fake_cuda_set_capture_mode(int mode)
{
	capture_mode = mode;
}

int fake_cuda_retained(int device)
{
	return primaries[device].retained;
}

int fake_current(void)
{
	return depth ? stack[depth - 1]->device : -1;
}

struct CUctx_st *fake_primary(int device)
{
	return &primaries[device];
}

void fake_cuda_reset(int device)
{
	pthread_mutex_lock(&lock);
	primaries[device].id = next_id++;
	pthread_mutex_unlock(&lock);
}

cuda_result cuDevicePrimaryCtxRetain(struct CUctx_st **ctx, cuda_device device)
{
	FAKE_CALL();
	primaries[device].retained++;
	*ctx = &primaries[device];
	return CUDA_SUCCESS;
}

cuda_result cuDevicePrimaryCtxRelease_v2(cuda_device device)
{
	FAKE_CALL();
	if (primaries[device].retained-- == 0)
		abort();
	return CUDA_SUCCESS;
}

cuda_result cuDevicePrimaryCtxGetState(cuda_device device, unsigned int *flags,
				       int *active)
{
	FAKE_CALL();
	*flags = 0;
	*active = primaries[device].retained > 0;
	return CUDA_SUCCESS;
}

cuda_result cuCtxPushCurrent_v2(struct CUctx_st *ctx)
{
	FAKE_CALL();
	if (depth == DEPTH_MAX)
		abort();
	stack[depth++] = ctx;
	return CUDA_SUCCESS;
}

cuda_result cuCtxPopCurrent_v2(struct CUctx_st **ctx)
{
	cuda_result rc = fake_call(__func__);

	if (depth == 0)
		abort();
	*ctx = stack[--depth];
	return rc;
}

cuda_result cuCtxGetId(struct CUctx_st *ctx, unsigned long long *id)
{
	FAKE_CALL();
	*id = ctx->id;
	return CUDA_SUCCESS;
}

cuda_result cuCtxGetStreamPriorityRange(int *least, int *greatest)
{
	FAKE_CALL();
	*least = 0;
	*greatest = -1;
	return CUDA_SUCCESS;
}

cuda_result cuThreadExchangeStreamCaptureMode(int *mode)
{
	int old = capture_mode;

	FAKE_CALL();
	capture_mode = *mode;
	*mode = old;
	return CUDA_SUCCESS;
}

/* ---- streams, events -------------------------------------------------------- */

cuda_result cuStreamCreateWithPriority(struct CUstream_st **stream,
				       unsigned int flags, int priority)
{
	int i = 0;

	FAKE_CALL();
	if (depth == 0)
		return CUDA_INVALID_CONTEXT;
	pthread_mutex_lock(&lock);
	while (i < STREAMS_MAX && streams[i].ctx_id)
		i++;
	if (i < STREAMS_MAX)
		streams[i] = (struct CUstream_st){stack[depth - 1]->id,
						  fake_current()};
	pthread_mutex_unlock(&lock);
	*stream = &streams[i];
	return i < STREAMS_MAX ? CUDA_SUCCESS : CUDA_OUT_OF_MEMORY;
}

bool fake_has_stream(const struct CUstream_st *stream)
{
	return stream && stream->ctx_id == primaries[stream->device].id;
}

cuda_result cuStreamDestroy_v2(struct CUstream_st *stream)
{
	FAKE_CALL();
	if (!fake_has_stream(stream))
		return CUDA_INVALID_HANDLE;
	stream->ctx_id = 0;
	return CUDA_SUCCESS;
}

cuda_result cuStreamQuery(struct CUstream_st *stream)
{
	FAKE_CALL();
	return fake_has_stream(stream) ? CUDA_SUCCESS : CUDA_INVALID_HANDLE;
}

struct CUevent_st *fake_cuda_event(bool passed)
{
	if (n_events == EVENTS_MAX)
		abort();
	events[n_events].passed = passed;
	return &events[n_events++];
}

void fake_cuda_event_pass(struct CUevent_st *event)
{
	event->passed = true;
}

static bool is_event(const struct CUevent_st *event)
{
	return event >= events && event < events + n_events;
}

cuda_result cuEventQuery(struct CUevent_st *event)
{
	FAKE_CALL();
	if (!is_event(event))
		return CUDA_INVALID_HANDLE;
	return event->passed ? CUDA_SUCCESS : CUDA_NOT_READY;
}

cuda_result cuStreamWriteValue64_v2(struct CUstream_st *stream, cuda_ptr at,
				    uint64_t value, unsigned int flags)
{
	FAKE_CALL();
	if (!fake_has_stream(stream))
		return CUDA_INVALID_HANDLE;
	__atomic_store_n((uint64_t *)at, value, __ATOMIC_RELEASE);
	return CUDA_SUCCESS;
}

/* ---- kernels ---------------------------------------------------------------- */

cuda_result cuModuleLoadDataEx(struct CUmod_st **module, const void *image,
			       unsigned int n_options, int *options,
			       void **values)
{
	FAKE_CALL();
	*module = (struct CUmod_st *)&primaries[fake_current()];
	return CUDA_SUCCESS;
}

cuda_result cuModuleUnload(struct CUmod_st *module)
{
	FAKE_CALL();
	return CUDA_SUCCESS;
}

cuda_result cuModuleGetFunction(struct CUfunc_st **function,
				struct CUmod_st *module, const char *name)
{
	uintptr_t kernel = strcmp(name, "gpu_copy") == 0     ? KERNEL_COPY :
			   strcmp(name, "gpu_copy_few") == 0 ? KERNEL_FEW :
							       KERNEL_RESIDENT;

	FAKE_CALL();
	*function = (struct CUfunc_st *)kernel;
	return CUDA_SUCCESS;
}

static bool run_copies(const struct gpu_copy *copies, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (!fake_copy(copies[i].dst, copies[i].src,
			       copies[i].len_bytes))
			return false;
	return true;
}

static bool run_job(const struct gpu_launch_job *job,
		    const struct gpu_copy *copies)
{
	if (!run_copies(copies, job->n_copies))
		return false;
	__atomic_store_n((uint64_t *)job->flag, job->value, __ATOMIC_RELEASE);
	return true;
}

/* few: NULL, or where the lists are. */
static bool run_launch(const struct gpu_launch *launch,
		       const struct gpu_copy *few)
{
	for (uint32_t i = 0; i < launch->n_jobs; i++) {
		const struct gpu_launch_job *job = &launch->jobs[i];

		if (!run_job(job, few ? few + job->copies :
					(const void *)(uintptr_t)job->copies))
			return false;
	}
	return true;
}

static bool is_sealed(const struct resident_entry *entry, uint64_t pos)
{
	const uint64_t *words = (const uint64_t *)entry;
	uint64_t sum = resident_mix(pos + 1, RESIDENT_WORDS);

	for (uint32_t i = 0; i < RESIDENT_WORDS - 1; i++)
		sum += resident_mix(words[i], i);
	return sum == words[RESIDENT_WORDS - 1];
}

static bool run_entry(const struct resident_entry *entry)
{
	struct gpu_copy copy = entry->copy;

	if (entry->job.copies == RESIDENT_DATA_HERE) {
		copy.src = (uintptr_t)entry->data;
		return run_job(&entry->job, &copy);
	}
	if (entry->job.copies == RESIDENT_COPIES_HERE)
		return run_job(&entry->job, entry->copies);
	return run_job(&entry->job, (const void *)(uintptr_t)entry->job.copies);
}

/* One that goes as soon as nothing waits. */
static bool run_resident(const struct resident_params *params)
{
	struct resident_ring *ring = (void *)(uintptr_t)params->ring;
	uint64_t pos = params->pos;
	bool good = true;

	while (good) {
		const struct resident_entry *entry =
			&ring->entries[pos % RESIDENT_ENTRIES];

		if (!is_sealed(entry, pos))
			break;
		pos++;
		if (!entry->job.flag)
			break;
		good = run_entry(entry);
	}
	__atomic_store_n(&ring->taken, pos, __ATOMIC_RELEASE);
	__atomic_store_n(&ring->state, pos << 8 | RESIDENT_GONE,
			 __ATOMIC_SEQ_CST);
	return good;
}

static bool run_kernel(enum kernel kernel, void *param)
{
	const struct copy_few *few = param;

	switch (kernel) {
	case KERNEL_COPY:
		return run_launch(param, NULL);
	case KERNEL_FEW:
		return run_launch(&few->launch, few->copies);
	default:
		return run_resident(param);
	}
}

cuda_result cuLaunchKernel(struct CUfunc_st *function, unsigned int grid_x,
			   unsigned int grid_y, unsigned int grid_z,
			   unsigned int block_x, unsigned int block_y,
			   unsigned int block_z, unsigned int shared_bytes,
			   struct CUstream_st *stream, void **params,
			   void **extra)
{
	FAKE_CALL();
	if (!(grid_x && grid_y && grid_z && block_x && block_y && block_z))
		return CUDA_INVALID_VALUE;
	if (!fake_has_stream(stream))
		return CUDA_INVALID_HANDLE;
	if (!run_kernel((enum kernel)(uintptr_t)function, params[0]))
		fake_lose(ILLEGAL_ADDRESS);
	return CUDA_SUCCESS;
}
