/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "gpu/cuda/device.h"
#include "gpu/kernels/copy.h"

#define BLOCKS_A_PROCESSOR 4u /* as the kernel's launch bounds say */
#define OPEN_TIMEOUT_MS 10000
#define CLOSE_TIMEOUT_MS 2000
#define RESIDENT_IDLE_NS (10 * NS_PER_MS)
#define RESIDENT_STAY_NS (50 * NS_PER_MS)

/* Made by scripts/make-kernels of kernels/copy.cu. */
static const char kernels[] =
#include "gpu/kernels/copy.ptx.inc"
	;

/* ---- current context, failures ------------------------------------------ */

/* Is it the context still that our streams and kernels are in? */
static int check_context(struct gpu_device *device)
{
	unsigned long long id = 0;
	cuda_result rc = cuda_api.ctx_id(device->ctx, &id);

	if (rc != CUDA_SUCCESS)
		return cuda_fail(device, "cuCtxGetId", rc);
	if (id == device->ctx_id)
		return TCPX_OK;
	store_relaxed(&device->was_reset, true);
	return cuda_fail(device, "the device was reset",
			 CUDA_CONTEXT_IS_DESTROYED);
}

int cuda_enter(struct gpu_device *device, struct cuda_scope *scope)
{
	cuda_result rc;
	int err;

	scope->capture_mode = CUDA_CAPTURE_RELAXED;
	scope->relaxed = cuda_api.capture_mode(&scope->capture_mode) ==
			 CUDA_SUCCESS;
	scope->pushed = false;
	err = check_context(device);
	if (err)
		return err;
	rc = cuda_api.ctx_push(device->ctx);
	scope->pushed = rc == CUDA_SUCCESS;
	return rc ? cuda_fail(device, "cuCtxPushCurrent", rc) : TCPX_OK;
}

void cuda_leave(struct cuda_scope *scope)
{
	struct CUctx_st *ours;

	if (scope->pushed)
		(void)cuda_api.ctx_pop(&ours);
	if (scope->relaxed)
		(void)cuda_api.capture_mode(&scope->capture_mode);
}

int cuda_fail(struct gpu_device *device, const char *what, cuda_result rc)
{
	char text[160];
	uint32_t n;

	cuda_describe(rc, text, sizeof(text));
	pthread_mutex_lock(&device->lock);
	n = load_relaxed(&device->n_causes);
	snprintf(device->causes[n % CUDA_CAUSES], CUDA_CAUSE_MAX, "%s (%s)",
		 text, what);
	/* Pairs with the load in cause(). */
	store_release(&device->n_causes, n + 1);
	pthread_mutex_unlock(&device->lock);
	return rc == CUDA_OUT_OF_MEMORY ? TCPX_ENOMEM : TCPX_EGPU;
}

static const char *cause(struct gpu_device *device)
{
	uint32_t n = load_acquire(&device->n_causes);

	return n ? device->causes[(n - 1) % CUDA_CAUSES] : "";
}

int cuda_queue_status(struct gpu_device *device, int rc)
{
	if (rc != TCPX_ENOMEM)
		return rc ? TCPX_EGPU : TCPX_OK;
	if (!atomic_exchange(&device->was_short, true))
		log_warn(device->log, "gpu",
			 "device %u: %s; this is tried again, until transfers "
			 "end by their deadlines",
			 device->index, cause(device));
	return TCPX_EAGAIN;
}

int cuda_drain(struct gpu_device *device, struct CUstream_st *stream,
	       int timeout_ms)
{
	uint64_t deadline = clock_deadline_ns(timeout_ms);
	struct timespec pause = {.tv_nsec = 20 * (long)NS_PER_US};
	cuda_result rc;

	while ((rc = cuda_api.stream_query(stream)) == CUDA_NOT_READY) {
		if (clock_now_ns() > deadline)
			return TCPX_ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
	if (rc != CUDA_SUCCESS)
		(void)cuda_fail(device, "cuStreamQuery", rc);
	return rc ? TCPX_EGPU : TCPX_OK;
}

/* For good: lack of memory may pass, and says nothing of the context. */
static bool is_final(cuda_result rc)
{
	return rc != CUDA_SUCCESS && rc != CUDA_NOT_READY &&
	       rc != CUDA_OUT_OF_MEMORY;
}

/* True: it has failed. *busy: something may be under way. The device is
 * current. */
static bool streams_failed(struct gpu_device *device, bool *busy)
{
	*busy = false;
	for (uint32_t i = 0; i < GPU_STREAMS; i++) {
		cuda_result got = cuda_api.stream_query(device->streams[i]);

		if (is_final(got)) {
			(void)cuda_fail(device, "cuStreamQuery", got);
			return true;
		}
		*busy = *busy || got != CUDA_SUCCESS;
	}
	return false;
}

/*
 * A failure of a kernel is the context's: every later call reports it, and
 * nothing of the context runs any more. A resident kernel that cannot be
 * started runs nothing either. What only could not be asked is asked again.
 */
static int check(struct gpu_device *device)
{
	struct cuda_scope scope;
	int rc = cuda_enter(device, &scope);
	bool busy = true, failed = rc && rc != TCPX_ENOMEM;

	if (rc == 0)
		failed = streams_failed(device, &busy);
	cuda_leave(&scope);
	if (rc == 0 && !failed)
		failed = cuda_resident_check(device) == TCPX_EGPU && !busy;
	return failed ? TCPX_EGPU : TCPX_OK;
}

/* ---- what there is -------------------------------------------------------- */

static uint32_t count(char *why, size_t cap_bytes)
{
	cuda_result rc;
	char text[160];
	int n = 0;

	rc = cuda_api.device_count(&n);
	if (rc != CUDA_SUCCESS) {
		cuda_describe(rc, text, sizeof(text));
		snprintf(why, cap_bytes, "cuDeviceGetCount: %s", text);
		return 0;
	}
	if (n <= 0)
		snprintf(why, cap_bytes, "driver cuda sees no device");
	return n > 0 ? (uint32_t)n : 0;
}

static uint32_t attribute(cuda_device device, int which)
{
	int value = 0;

	(void)cuda_api.device_attribute(&value, which, device);
	return value > 0 ? (uint32_t)value : 0;
}

static int info(uint32_t index, struct gpu_info *info)
{
	struct gpu_info i = {0};
	cuda_device device;
	size_t bytes = 0;
	int version = 0;

	if (cuda_api.device_get(&device, (int)index) != CUDA_SUCCESS)
		return TCPX_ENOENT;
	(void)cuda_api.device_name(i.name, sizeof(i.name), device);
	(void)cuda_api.device_pci(i.pci, sizeof(i.pci), device);
	(void)cuda_api.device_mem(&bytes, device);
	(void)cuda_api.driver_version(&version);
	for (char *c = i.pci; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	snprintf(i.driver, sizeof(i.driver), "cuda %d.%d", version / 1000,
		 version % 1000 / 10);
	i.mem_bytes = bytes;
	i.copy_engines = attribute(device, CUDA_DEV_N_COPY_ENGINES);
	i.major = attribute(device, CUDA_DEV_MAJOR);
	i.minor = attribute(device, CUDA_DEV_MINOR);
	*info = i;
	return TCPX_OK;
}

static int numa_node_of(const char *pci)
{
	char path[80];
	int node = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/numa_node", pci);
	file = fopen(path, "re");
	if (!file)
		return -1;
	if (fscanf(file, "%d", &node) != 1)
		node = -1;
	(void)fclose(file);
	return node;
}

/* ---- open ------------------------------------------------------------------ */

static int load_kernels(struct gpu_device *device, char *why, size_t cap_bytes)
{
	char log[512] = "";
	int options[] = {CUDA_JIT_ERROR_LOG, CUDA_JIT_ERROR_LOG_BYTES};
	void *values[] = {log, (void *)(uintptr_t)sizeof(log)};
	struct {
		const char *name;
		struct CUfunc_st **kernel;
	} all[] = {{"gpu_copy", &device->copy_kernel},
		   {"gpu_copy_few", &device->few_kernel},
		   {"gpu_resident", &device->resident_kernel}};
	cuda_result rc = cuda_api.module_load(&device->module, kernels, 2,
					      options, values);

	for (size_t i = 0; rc == CUDA_SUCCESS && i < 3; i++)
		rc = cuda_api.module_function(all[i].kernel, device->module,
					      all[i].name);
	if (rc == CUDA_SUCCESS)
		return TCPX_OK;
	(void)cuda_fail(device, "our kernels", rc);
	snprintf(why, cap_bytes, "%s %s", cause(device), log);
	return TCPX_EGPU;
}

/* The highest priority: what waits for the network must not wait behind a
 * long kernel of the program's too. */
static int create_streams(struct gpu_device *device)
{
	int least = 0, greatest = 0;
	cuda_result rc = cuda_api.priorities(&least, &greatest);

	for (uint32_t i = 0; rc == CUDA_SUCCESS && i < GPU_STREAMS; i++)
		rc = cuda_api.stream_create(&device->streams[i],
					    CUDA_STREAM_NON_BLOCKING, greatest);
	if (rc == CUDA_SUCCESS)
		rc = cuda_api.stream_create(&device->side,
					    CUDA_STREAM_NON_BLOCKING, greatest);
	if (rc == CUDA_SUCCESS)
		rc = cuda_api.stream_create(&device->resident_stream,
					    CUDA_STREAM_NON_BLOCKING, greatest);
	return rc ? cuda_fail(device, "streams", rc) : TCPX_OK;
}

static void destroy_streams(struct gpu_device *device)
{
	for (uint32_t i = 0; i < GPU_STREAMS; i++) {
		if (device->streams[i])
			(void)cuda_api.stream_destroy(device->streams[i]);
	}
	if (device->side)
		(void)cuda_api.stream_destroy(device->side);
	if (device->resident_stream)
		(void)cuda_api.stream_destroy(device->resident_stream);
}

static int await_flag(struct gpu_device *device, _Atomic uint64_t *flag,
		      uint64_t value)
{
	int rc = cuda_drain(device, device->streams[0], OPEN_TIMEOUT_MS);

	if (rc == 0 && load_acquire(flag) != value)
		rc = TCPX_EGPU;
	return rc;
}

/* A job of empty copies by each kernel, and a flag by the copy engine: loads
 * the kernels now, not in the middle of a transfer, and shows that flags
 * arrive where polling looks. */
static int try_all(struct gpu_device *device, char *mem)
{
	struct gpu_launch launch = {.n_jobs = 1};
	_Atomic uint64_t *flag = (void *)mem;
	int rc = TCPX_OK;

	launch.jobs[0].flag = (uintptr_t)mem;
	launch.jobs[0].copies = (uintptr_t)mem + 64;
	for (uint64_t i = 1; rc == 0 && i < 3; i++) {
		launch.jobs[0].value = i;
		launch.jobs[0].n_copies = i == 1 ? 0 : COPY_FEW + 1;
		rc = cuda_launch(device, 0, &launch);
		if (rc == 0)
			rc = await_flag(device, flag, i);
	}
	if (rc == 0)
		rc = cuda_copy(device, 0, 0, 0, 0, (uintptr_t)mem, 3);
	return rc ? rc : await_flag(device, flag, 3);
}

static int try_flags(struct gpu_device *device)
{
	void *mem;
	int rc = cuda_pinned_alloc(device, 4096, &mem);

	if (rc)
		return rc;
	rc = try_all(device, mem);
	if (rc == TCPX_ETIMEDOUT)
		return rc; /* what may still be written to must stay */
	cuda_pinned_free(device, mem);
	return rc;
}

static int set_up(struct gpu_device *device, char *why, size_t cap_bytes)
{
	struct cuda_scope scope;
	int rc = cuda_enter(device, &scope);

	if (rc == 0) {
		rc = load_kernels(device, why, cap_bytes);
		if (rc) {
			cuda_leave(&scope);
			return rc;
		}
		rc = create_streams(device);
	}
	if (rc == 0)
		rc = try_flags(device);
	cuda_leave(&scope);
	if (rc == TCPX_EAGAIN)
		rc = TCPX_ENOMEM;
	if (rc)
		snprintf(why, cap_bytes, "device %u: %s", device->index,
			 *cause(device) ?
				 cause(device) :
				 "a first kernel gave no sign of life");
	return rc;
}

static void tear_down(struct gpu_device *device)
{
	struct cuda_scope scope;

	if (cuda_enter(device, &scope) == 0) {
		destroy_streams(device);
		if (device->module)
			(void)cuda_api.module_unload(device->module);
	}
	cuda_leave(&scope);
	cuda_pinned_fini(device);
	/* A reset has taken back what was retained before it. */
	if (!load_relaxed(&device->was_reset))
		(void)cuda_api.primary_release(device->device);
	pthread_mutex_destroy(&device->lock);
	pthread_mutex_destroy(&device->resident_lock);
	free(device);
}

/* After a time limit something of ours may still run: all of it stays. */
static int give_up(struct gpu_device *device, int rc)
{
	if (rc == TCPX_ETIMEDOUT)
		return TCPX_EGPU;
	tear_down(device);
	return rc;
}

static int open_primary(struct gpu_device *device, char *why, size_t cap_bytes)
{
	char text[160];
	cuda_result rc =
		cuda_api.device_get(&device->device, (int)device->index);

	if (rc == CUDA_SUCCESS)
		rc = cuda_api.primary_retain(&device->ctx, device->device);
	if (rc == CUDA_SUCCESS) {
		rc = cuda_api.ctx_id(device->ctx, &device->ctx_id);
		if (rc == CUDA_SUCCESS)
			return TCPX_OK;
		(void)cuda_api.primary_release(device->device);
	}
	cuda_describe(rc, text, sizeof(text));
	snprintf(why, cap_bytes, "device %u: %s", device->index, text);
	return rc == CUDA_OUT_OF_MEMORY ? TCPX_ENOMEM : TCPX_EGPU;
}

static int device_open(uint32_t index, const struct gpu_params *params,
		       struct gpu_device **out, char *why, size_t cap_bytes)
{
	struct gpu_device *device = calloc(1, sizeof(*device));
	struct gpu_info about;
	int rc;

	if (!device)
		return TCPX_ENOMEM;
	device->index = index;
	device->log = params->log;
	device->idle_ns = params->resident_idle_us ?
				  params->resident_idle_us * NS_PER_US :
				  RESIDENT_IDLE_NS;
	device->stay_ns = RESIDENT_STAY_NS;
	rc = open_primary(device, why, cap_bytes);
	if (rc) {
		free(device);
		return rc;
	}
	pthread_mutex_init(&device->lock, NULL);
	pthread_mutex_init(&device->resident_lock, NULL);
	device->numa_node = -1;
	if (info(index, &about) == 0)
		device->numa_node = numa_node_of(about.pci);
	device->max_blocks =
		BLOCKS_A_PROCESSOR *
		attribute(device->device, CUDA_DEV_N_MULTIPROCESSORS);
	rc = set_up(device, why, cap_bytes);
	if (rc)
		return give_up(device, rc);
	*out = device;
	return TCPX_OK;
}

/* If something of ours still runs after the time it has, what it could touch
 * is left as it is. */
static void device_close(struct gpu_device *device)
{
	struct cuda_scope scope;
	int rc;

	cuda_resident_stop(device);
	rc = cuda_enter(device, &scope);
	for (uint32_t i = 0; rc == 0 && i < GPU_STREAMS; i++)
		rc = cuda_drain(device, device->streams[i], CLOSE_TIMEOUT_MS);
	cuda_leave(&scope);
	if (rc == TCPX_ETIMEDOUT || !cuda_resident_is_gone(device)) {
		log_error(device->log, "gpu",
			  "device %u: our kernels do not end; it stays open",
			  device->index);
		return;
	}
	tear_down(device);
}

const struct gpu_ops gpu_cuda_ops = {
	.name = "cuda",
	.is_loaded = cuda_is_loaded,
	.load = cuda_load,
	.count = count,
	.info = info,
	.classify = cuda_classify,
	.open = device_open,
	.close = device_close,
	.pinned_alloc = cuda_pinned_alloc,
	.pinned_free = cuda_pinned_free,
	.mem_alloc = cuda_mem_alloc,
	.mem_free = cuda_mem_free,
	.copy_wait = cuda_copy_wait,
	.ipc_export = cuda_ipc_export,
	.ipc_open = cuda_ipc_open,
	.ipc_close = cuda_ipc_close,
	.share_export = cuda_share_export,
	.share_of_fd = cuda_share_of_fd,
	.share_open = cuda_share_open,
	.share_close = cuda_share_close,
	.launch = cuda_launch,
	.copy = cuda_copy,
	.event_passed = cuda_event_passed,
	.check = check,
	.cause = cause,
	.resident_start = cuda_resident_start,
	.resident_feed = cuda_resident_feed,
	.resident_stop = cuda_resident_stop,
};
