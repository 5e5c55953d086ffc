/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The CUDA driver's part over tests/fakes/cuda: what a real device does only
 * when something is broken. Whatever call fails, in whatever way: each of ours
 * says so with a status, nothing hangs, what is said to be copied is there, the
 * thread's context and capture mode are the program's again, and host memory
 * goes on.
 */

#include <sys/mman.h>

#include "base/log.h"
#include "base/usermem.h"
#include "check.h"
#include "fakes/cuda/fake.h"
#include "gpu/cuda/api.h"
#include "gpu/internal.h"
#include "support/scale.h"

#define MIB (1ull << 20)
#define OUT_OF_MEMORY 2
#define NOT_INITIALIZED 3
#define ILLEGAL_ADDRESS 700
#define LAUNCH_FAILED 719
#define CAPTURE_MODE 1 /* the program's own, as if it captured */

static char why[300];
static char missing[64]; /* the symbol that the driver is to lack */
static uint32_t n_errors;
static char last_error[300];

/* Sanitizers call dlsym() before they have begun: it must not be theirs then,
 * nor call anything that is. */
#ifdef __clang__
#define BARE __attribute__((disable_sanitizer_instrumentation))
#else
#define BARE
#endif

/* Linked so that the library's dlsym() is this one. */
void *__real_dlsym(void *lib, const char *symbol);
void *__wrap_dlsym(void *lib, const char *symbol);
BARE void *__wrap_dlsym(void *lib, const char *symbol)
{
	if (*missing && strcmp(symbol, missing) == 0)
		return NULL;
	return __real_dlsym(lib, symbol);
}

static void log_line(void *arg, enum tcpx_log_level level,
		     const char *subsystem, const char *line)
{
	fprintf(stderr, "%s: %s\n", subsystem, line);
	if (level != TCPX_LOG_ERROR)
		return;
	n_errors++;
	snprintf(last_error, sizeof(last_error), "%s", line);
}

static struct gpu_set *open_set(const struct gpu_params *more)
{
	static const struct log log = {.fn = log_line, .level = TCPX_LOG_INFO};
	struct gpu_params params = {.slot_bytes = 1u << 16, .n_slots = 2};
	struct gpu_set *set;

	if (more)
		params = *more;
	params.slot_bytes = 1u << 20;
	params.n_slots = 2;
	params.log = &log;
	CHECK_STATUS(gpu_set_create("cuda", &params, &set), 0);
	return set;
}

static struct gpu *open_gpu(struct gpu_set *set)
{
	struct gpu *gpu;

	CHECK_STATUS(gpu_set_open(set, 0, &gpu, why, sizeof(why)), 0);
	return gpu;
}

static void fail(const char *name, int nth, cuda_result code,
		 enum fake_cuda_how how)
{
	struct fake_cuda_fail it = {.nth = nth, .code = code, .how = how};

	snprintf(it.name, sizeof(it.name), "%s", name);
	fake_cuda_fail(&it);
}

static int find(struct gpu_set *set, const void *at, uint64_t len_bytes,
		struct gpu **gpu)
{
	why[0] = '\0';
	return gpu_set_find(set, at, len_bytes, gpu, why, sizeof(why));
}

/* The CPU's memory can be used, whatever has become of the device. */
static void host_goes_on(struct gpu_set *set)
{
	struct gpu *gpu;
	char *mem = calloc(1, MIB);
	int rc = find(set, mem, MIB, &gpu);

	if (rc)
		check_fail(CHECK_AT, "host memory: %s: %s",
			   check_status_name(rc), why);
	CHECK(gpu == NULL);
	free(mem);
}

static int wait_for(struct gpu_job *job)
{
	uint64_t deadline = test_now_ns() + (uint64_t)scale_ms(10000) * 1000000;
	int rc;

	gpu_job_submit(job);
	gpu_flush(job->gpu);
	while ((rc = gpu_job_poll(job)) == TCPX_INPROGRESS)
		CHECK(test_now_ns() < deadline);
	gpu_job_put(job);
	return rc;
}

/* ---- any call, any way ------------------------------------------------------ */

/* n pieces of len_bytes from host memory to the device, next to each other or
 * not, and back: what is said to be done is. */
static int there_and_back(struct gpu *gpu, uint8_t *dev, uint32_t n,
			  uint32_t len_bytes, uint32_t gap_bytes)
{
	uint32_t step = len_bytes + gap_bytes;
	struct gpu_job *job;
	uint8_t *slot;
	void *mem;
	int rc;

	CHECK_STATUS(gpu_slot_get(gpu, GPU_SLOT_SEND, &mem), 0);
	slot = mem;
	for (int back = 0; back < 2; back++) {
		for (uint32_t i = 0; !back && i < n * step; i++)
			slot[i] = (uint8_t)(i * 7 + n);
		if (back)
			memset(slot, 0, n * step);
		job = gpu_job_get(gpu);
		CHECK(job != NULL);
		for (uint32_t i = 0; i < n; i++)
			CHECK(back ? gpu_job_add(job, slot + i * step,
						 dev + i * step, len_bytes) :
				     gpu_job_add(job, dev + i * step,
						 slot + i * step, len_bytes));
		rc = wait_for(job);
		if (rc)
			break;
	}
	for (uint32_t i = 0; !rc && i < n * step; i++)
		if (i % step < len_bytes)
			CHECK_EQ(slot[i], (uint8_t)(i * 7 + n));
	gpu_slot_put(gpu, GPU_SLOT_SEND, mem);
	return rc;
}

static void is_status(int rc, const char *what)
{
	fprintf(stderr, "%s: %s\n", what, check_status_name(rc));
	CHECK_EQ(fake_cuda_depth(), 0);
	CHECK_EQ(fake_cuda_capture_mode(), CAPTURE_MODE);
	CHECK(rc == 0 || rc == TCPX_EGPU || rc == TCPX_ENOMEM ||
	      rc == TCPX_EUNSUPPORTED || rc == TCPX_EINVAL ||
	      rc == TCPX_ENOENT);
}

static void use_shares(struct gpu *gpu, void *mem)
{
	uint8_t handle[GPU_IPC_BYTES];
	struct gpu_share share;
	void *opened;
	int fd, rc = gpu_share_export(gpu, mem, &share, &fd);

	is_status(rc, "share");
	if (!rc) {
		rc = gpu_share_open(gpu, &share, fd, &opened);
		is_status(rc, "open a share");
		if (!rc)
			gpu_share_close(gpu, &share, opened);
	}
	rc = gpu_ipc_export(gpu, mem, handle);
	is_status(rc, "export");
	if (!rc) {
		rc = gpu_ipc_open(gpu, handle, &opened);
		is_status(rc, "open");
		if (!rc)
			gpu_ipc_close(gpu, opened);
	}
}

static int use_event(struct gpu *gpu)
{
	return gpu_event_passed(gpu, (uintptr_t)fake_cuda_event(true));
}

static void use_memory(struct gpu_set *set, struct gpu *gpu, void *mem)
{
	uint32_t word = 0x12345678, back = 0;
	struct gpu *owner;
	int rc = find(set, mem, 2 * MIB, &owner);

	is_status(rc, "find");
	CHECK(rc || owner == gpu);
	is_status(there_and_back(gpu, mem, 1, 100000, 0), "one run");
	is_status(there_and_back(gpu, mem, 3, 40, 8), "a few");
	is_status(there_and_back(gpu, mem, 300, 1000, 96), "many");
	is_status(use_event(gpu), "an event");
	rc = gpu_copy_wait(gpu, mem, &word, 4);
	is_status(rc, "copy there");
	if (!rc) {
		rc = gpu_copy_wait(gpu, &back, mem, 4);
		is_status(rc, "copy back");
		CHECK(rc || back == word);
	}
	use_shares(gpu, mem);
}

/* All that the library does with a driver. */
static void use_all(const struct gpu_params *params)
{
	struct gpu_info info;
	struct gpu_set *set;
	struct gpu *gpu;
	void *mem;

	set = open_set(params);
	host_goes_on(set);
	(void)gpu_set_count(set, why, sizeof(why));
	is_status(gpu_set_info(set, 1, &info), "info");
	int rc = gpu_set_open(set, 0, &gpu, why, sizeof(why));

	is_status(rc, why);
	CHECK(rc == 0 || *why);
	rc = rc ? rc : gpu_mem_alloc(gpu, 2 * MIB, &mem);
	is_status(rc, "alloc");
	if (rc == 0) {
		use_memory(set, gpu, mem);
		if (gpu_status(gpu))
			CHECK(strstr(gpu_cause(gpu), "CUDA") != NULL);
		gpu_mem_free(gpu, mem);
	}
	host_goes_on(set);
	gpu_set_destroy(set);
	is_status(0, "close");
}

/* In a process of its own, for a driver is loaded once. Its exit status. */
static int in_process(void (*fn)(const void *arg), const void *arg)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		alarm(60);
		fn(arg);
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	return status;
}

struct injection {
	const struct gpu_params *params;
	const char *name;
	int nth;
	cuda_result code;
	enum fake_cuda_how how;
	bool reached;
};

static void inject(const void *arg)
{
	const struct injection *it = arg;

	fake_cuda_set_capture_mode(CAPTURE_MODE);
	fail(it->name, it->nth, it->code, it->how);
	use_all(it->params);
	CHECK(!it->reached || fake_cuda_has_failed());
}

static const char *const symbols[] = {
#define X(field, symbol, args) symbol,
	CUDA_API_MAP(X)
#undef X
};
#define N_SYMBOLS (sizeof(symbols) / sizeof(*symbols))

/* If the way back to the program's capture mode fails, there is none. */
static bool is_way_back(const char *name, int nth, enum fake_cuda_how how)
{
	return strcmp(name, "cuThreadExchangeStreamCaptureMode") == 0 &&
	       (nth > 1 || how != FAKE_ONCE);
}

static void each_symbol(const struct gpu_params *params, int most,
			cuda_result code, enum fake_cuda_how how)
{
	for (size_t i = 0; i < N_SYMBOLS; i++) {
		for (int nth = 1; nth <= most; nth++) {
			struct injection it = {params, symbols[i], nth,
					       code,   how,	   false};

			if (is_way_back(symbols[i], nth, how))
				continue;
			if (in_process(inject, &it) != 0)
				check_fail(CHECK_AT, "%s, call %d: %d",
					   symbols[i], nth, code);
		}
	}
}

static void nothing_fails(void)
{
	struct injection it = {.name = ""};

	CHECK_EQ(in_process(inject, &it), 0);
}

static void any_call_once(void)
{
	each_symbol(NULL, 4, LAUNCH_FAILED, FAKE_ONCE);
}

static void any_call_lacks_memory(void)
{
	each_symbol(NULL, 2, OUT_OF_MEMORY, FAKE_ONCE);
}

static void any_call_for_good(void)
{
	each_symbol(NULL, 2, LAUNCH_FAILED, FAKE_ALWAYS);
}

static void context_lost_at_any_call(void)
{
	each_symbol(NULL, 3, ILLEGAL_ADDRESS, FAKE_LOST);
}

static void any_call_resident(void)
{
	struct gpu_params params = {.resident = true};

	each_symbol(&params, 2, LAUNCH_FAILED, FAKE_ONCE);
	each_symbol(&params, 1, ILLEGAL_ADDRESS, FAKE_LOST);
}

static void any_call_by_engine(void)
{
	struct gpu_params params = {.way = GPU_COPY_ENGINE};

	each_symbol(&params, 2, LAUNCH_FAILED, FAKE_ONCE);
	each_symbol(&params, 1, ILLEGAL_ADDRESS, FAKE_LOST);
}

/* ---- neighbours ------------------------------------------------------------- */

/* One run of bytes over the end of an allocation and into the next one. */
static void copy_over_the_end(const struct gpu_params *params)
{
	struct gpu_set *set = open_set(params);
	struct gpu *gpu = open_gpu(set);
	uint8_t *first, *second, *bytes;
	void *mem[2];

	CHECK_STATUS(gpu_mem_alloc(gpu, 2 * MIB, &mem[0]), 0);
	CHECK_STATUS(gpu_mem_alloc(gpu, 2 * MIB, &mem[1]), 0);
	first = mem[0];
	second = mem[1];
	CHECK(first + 2 * MIB == second);
	bytes = fake_cuda_bytes((uintptr_t)(second - 4096));
	memset(bytes, 0, 8192);
	CHECK_STATUS(there_and_back(gpu, second - 4096, 1, 8192, 0), 0);
	CHECK_EQ(bytes[4095], (uint8_t)(4095 * 7 + 1));
	CHECK_EQ(bytes[4096], (uint8_t)(4096 * 7 + 1));
	CHECK_STATUS(gpu_status(gpu), 0);
	/* What is nobody's is refused, and no kernel tries it instead. */
	CHECK_STATUS(there_and_back(gpu, second + 2 * MIB - 4096, 1, 8192, 0),
		     TCPX_EGPU);
	CHECK(strstr(gpu_cause(gpu), "CUDA_ERROR_1:") != NULL);
	gpu_set_destroy(set);
}

static void neighbours(void)
{
	copy_over_the_end(NULL);
}

static void neighbours_by_engine(void)
{
	struct gpu_params params = {.way = GPU_COPY_ENGINE};

	copy_over_the_end(&params);
}

/* ---- whose memory is it ----------------------------------------------------- */

static void is_said(int rc, int want, const char *word)
{
	CHECK_STATUS(rc, want);
	if (!strstr(why, word))
		check_fail(CHECK_AT, "\"%s\" says nothing of \"%s\"", why,
			   word);
}

/* A short allocation ends where it ends, not where the piece does that the
 * driver has cut it out of. */
static void past_a_small_one(void)
{
	struct gpu_set *set = open_set(NULL);
	struct gpu *gpu = open_gpu(set), *owner;
	struct CUctx_st *old;
	cuda_ptr mem;

	CHECK_EQ(cuda_api.ctx_push(fake_primary(0)), 0);
	CHECK_EQ(cuda_api.mem_alloc(&mem, 4096), 0);
	CHECK_EQ(cuda_api.ctx_pop(&old), 0);
	CHECK_STATUS(find(set, (void *)mem, 4096, &owner), 0);
	CHECK(owner == gpu);
	is_said(find(set, (void *)mem, 4097, &owner), TCPX_EINVAL, "byte 4096");
	is_said(find(set, (void *)mem, MIB, &owner), TCPX_EINVAL, "byte 4096");
	CHECK_EQ(cuda_api.mem_free(mem), 0);
	is_said(find(set, (void *)mem, 4096, &owner), TCPX_EINVAL, "freed");
	gpu_set_destroy(set);
}

static void *device_memory(struct gpu_set *set)
{
	void *mem;

	CHECK_STATUS(gpu_mem_alloc(open_gpu(set), MIB, &mem), 0);
	return mem;
}

static void in_child(const void *mem)
{
	struct gpu_set *set = open_set(NULL);
	struct gpu *gpu;

	host_goes_on(set);
	is_said(find(set, mem, MIB, &gpu), TCPX_EUNSUPPORTED, "CUDA_ERROR_3");
	CHECK_EQ(gpu_set_count(set, why, sizeof(why)), 0);
	gpu_set_destroy(set);
}

/* The child of a process that has GPUs in use has none, but memory. */
static void forked(void)
{
	struct gpu_set *set = open_set(NULL);

	CHECK_EQ(in_process(in_child, device_memory(set)), 0);
	gpu_set_destroy(set);
}

static void switched_off(void)
{
	struct gpu_set *owner = open_set(NULL);
	void *mem = device_memory(owner);
	struct gpu_params params = {0};
	struct gpu_set *set;
	struct gpu *gpu;

	CHECK_STATUS(gpu_set_create("off", &params, &set), 0);
	host_goes_on(set);
	is_said(find(set, mem, MIB, &gpu), TCPX_EUNSUPPORTED, "switched off");
	gpu_set_destroy(set);
	gpu_set_destroy(owner);
}

static void is_unusable(const char *word)
{
	void *mem = (void *)fake_cuda_map(0, MIB);
	struct gpu_set *set = open_set(NULL);
	struct gpu *gpu;

	host_goes_on(set);
	is_said(find(set, mem, MIB, &gpu), TCPX_EUNSUPPORTED, word);
	CHECK_EQ(gpu_set_count(set, why, sizeof(why)), 0);
	is_said(gpu_set_open(set, 0, &gpu, why, sizeof(why)), TCPX_EUNSUPPORTED,
		word);
	gpu_set_destroy(set);
}

static void driver_too_old(void)
{
	fake_cuda_set_version(12010);
	is_unusable("12.1");
	CHECK(strstr(why, "12.2") != NULL);
}

static void driver_does_not_start(void)
{
	fail("cuInit", 1, 100, FAKE_ALWAYS);
	is_unusable("cuInit: CUDA_ERROR_100");
}

static void without_symbol(const void *symbol)
{
	snprintf(missing, sizeof(missing), "%s", (const char *)symbol);
	is_unusable(symbol);
	CHECK(strstr(why, "R535") != NULL);
}

static void symbols_are_missing(void)
{
	for (size_t i = 0; i < N_SYMBOLS; i++)
		if (in_process(without_symbol, symbols[i]) != 0)
			check_fail(CHECK_AT, "without %s", symbols[i]);
}

static void devices_not_counted(void)
{
	struct gpu_set *set = open_set(NULL);
	struct gpu *gpu;

	fail("cuDeviceGetCount", 1, LAUNCH_FAILED, FAKE_ALWAYS);
	CHECK_EQ(gpu_set_count(set, why, sizeof(why)), 0);
	CHECK_STR(why, "cuDeviceGetCount: CUDA_ERROR_719: "
		       "as the test wants it");
	is_said(gpu_set_open(set, 0, &gpu, why, sizeof(why)), TCPX_ENOENT,
		"CUDA_ERROR_719");
	gpu_set_destroy(set);
}

/* Nothing new is taken of a device that has failed; its memory is freed. */
static void failed_device(void)
{
	struct gpu_set *set = open_set(NULL);
	struct gpu *gpu = open_gpu(set), *owner;
	void *mem;

	CHECK_STATUS(gpu_mem_alloc(gpu, 2 * MIB, &mem), 0);
	fail("cuLaunchKernel", 1, LAUNCH_FAILED, FAKE_ONCE);
	CHECK_STATUS(there_and_back(gpu, mem, 3, 40, 8), TCPX_EGPU);
	CHECK_EQ(n_errors, 1);
	CHECK(strstr(last_error, "CUDA_ERROR_719") != NULL);
	is_said(find(set, mem, MIB, &owner), TCPX_EGPU, "CUDA_ERROR_719");
	host_goes_on(set);
	gpu_mem_free(gpu, mem);
	gpu_set_destroy(set);
}

/* To open a device makes its context, which is for the program to do. */
static void context_is_not_made(void)
{
	struct gpu_set *set = open_set(NULL);
	cuda_ptr mem = fake_cuda_map(0, MIB);
	struct gpu *gpu;

	is_said(find(set, (void *)mem, MIB, &gpu), TCPX_EINVAL, "primary");
	CHECK_EQ(fake_cuda_retained(0), 0);
	CHECK_STATUS(gpu_set_open(set, 0, &gpu, why, sizeof(why)), 0);
	CHECK_STATUS(find(set, (void *)mem, MIB, &gpu), 0);
	CHECK(gpu == gpu_set_opened(set, 0));
	gpu_set_destroy(set);
	CHECK_EQ(fake_cuda_retained(0), 0);
}

/* ---- a device that goes on, or must not ------------------------------------- */

static void is_unharmed(struct gpu *gpu, uint8_t *mem)
{
	CHECK_STATUS(there_and_back(gpu, mem, 1, 100000, 0), 0);
	CHECK_STATUS(there_and_back(gpu, mem, 3, 40, 8), 0);
	CHECK_STATUS(there_and_back(gpu, mem, 300, 1000, 96), 0);
	CHECK_STATUS(gpu_status(gpu), 0);
	CHECK_EQ(n_errors, 0);
}

static void without_stream_writes(void)
{
	static const enum gpu_copy_way ways[] = {GPU_COPY_KERNEL,
						 GPU_COPY_ENGINE};
	struct gpu_params params = {0};
	void *mem;

	fail("cuStreamWriteValue64_v2", 1, 801, FAKE_ALWAYS);
	for (int i = 0; i < 2; i++) {
		params.way = ways[i];
		struct gpu_set *set = open_set(&params);
		struct gpu *gpu = open_gpu(set);

		CHECK_STATUS(gpu_mem_alloc(gpu, 2 * MIB, &mem), 0);
		is_unharmed(gpu, mem);
		gpu_set_destroy(set);
	}
	CHECK(fake_cuda_has_failed());
}

/* What passes by itself: by kernels, the resident one, copy engines. */
static void short_of_memory_for_once(void)
{
	static const char *const names[] = {"cuCtxPushCurrent_v2",
					    "cuLaunchKernel", "cuStreamQuery"};
	const struct gpu_params all[] = {{.way = GPU_COPY_KERNEL},
					 {.resident = true},
					 {.way = GPU_COPY_ENGINE}};

	for (int way = 0; way < 3; way++) {
		struct gpu_set *set = open_set(&all[way]);
		struct gpu *gpu = open_gpu(set);
		void *mem;

		CHECK_STATUS(gpu_mem_alloc(gpu, 2 * MIB, &mem), 0);
		for (int i = 0; i < 3; i++) {
			fail(names[i], 1, OUT_OF_MEMORY, FAKE_ONCE);
			is_unharmed(gpu, mem);
			fail(names[i], 1, OUT_OF_MEMORY, FAKE_ONCE);
			CHECK_STATUS(gpu->ops->check(gpu->device), 0);
		}
		gpu_set_destroy(set);
	}
}

/* What is no event, or one of another's capture, ends nothing else. */
static void event_is_wrong(void)
{
	static const cuda_result codes[] = {1, 201, 400, 709, 900, 901, 908};
	struct gpu_set *set = open_set(NULL);
	struct gpu *gpu = open_gpu(set);
	uint32_t n = 0;

	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
		fail("cuEventQuery", 1, codes[i], FAKE_ONCE);
		CHECK_STATUS(use_event(gpu), TCPX_EINVAL);
		CHECK(fake_cuda_has_failed());
		CHECK_EQ(n_errors, ++n);
		CHECK(strstr(last_error, "not an event") != NULL);
		CHECK_STATUS(gpu_status(gpu), 0);
		CHECK_STATUS(use_event(gpu), 0);
	}
	fail("cuEventQuery", 1, ILLEGAL_ADDRESS, FAKE_LOST);
	CHECK_STATUS(use_event(gpu), TCPX_EGPU);
	CHECK_STATUS(gpu_status(gpu), TCPX_EGPU);
	gpu_set_destroy(set);
}

/* Jobs whose kernel could not be started are refused: nothing starts them
 * later, when their memory is somebody else's. */
static void resident_refused(void)
{
	struct gpu_params params = {.resident = true};
	struct gpu_set *set = open_set(&params);
	struct gpu *gpu = open_gpu(set);
	uint8_t *bytes;
	void *mem;

	CHECK_STATUS(gpu_mem_alloc(gpu, 2 * MIB, &mem), 0);
	is_unharmed(gpu, mem);
	bytes = fake_cuda_bytes((uintptr_t)mem);
	memset(bytes, 0x55, MIB);
	fail("cuLaunchKernel", 1, LAUNCH_FAILED, FAKE_ONCE);
	CHECK_STATUS(there_and_back(gpu, mem, 3, 40, 8), TCPX_EGPU);
	for (int i = 0; i < 3; i++)
		(void)gpu->ops->check(gpu->device);
	gpu_set_destroy(set);
	for (uint32_t i = 0; i < MIB; i++)
		CHECK_EQ(bytes[i], 0x55);
}

/* Behind cudaDeviceReset() the handle is good again, and nothing of ours is. */
static void device_is_reset(void)
{
	struct gpu_set *set = open_set(NULL);
	struct gpu *gpu = open_gpu(set);
	void *mem;

	CHECK_STATUS(gpu_mem_alloc(gpu, 2 * MIB, &mem), 0);
	is_unharmed(gpu, mem);
	fake_cuda_reset(0);
	CHECK_STATUS(there_and_back(gpu, mem, 3, 40, 8), TCPX_EGPU);
	CHECK(strstr(gpu_cause(gpu), "CUDA_ERROR_709") != NULL);
	CHECK(strstr(gpu_cause(gpu), "reset") != NULL);
	host_goes_on(set);
	gpu_set_destroy(set);
	/* Whoever uses the device now keeps what it has retained. */
	CHECK_EQ(fake_cuda_retained(0), 1);
	CHECK_EQ(fake_cuda_depth(), 0);
}

/* Nothing that a device may write to is shared with a forked child. */
static void slots_are_not_inherited(void)
{
	struct gpu_set *set = open_set(NULL);
	struct gpu *gpu = open_gpu(set);
	int status;
	void *slot;

	CHECK_STATUS(gpu_slot_get(gpu, GPU_SLOT_SEND, &slot), 0);
	CHECK(usermem_can_read(slot, 1));
	pid_t pid = fork();

	if (pid == 0)
		_exit(usermem_can_read(slot, 1));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	gpu_slot_put(gpu, GPU_SLOT_SEND, slot);
	gpu_set_destroy(set);
}

static const struct check_case cases[] = {
	{"context_is_not_made", context_is_not_made, 0},
	{"without_stream_writes", without_stream_writes, 0},
	{"short_of_memory_for_once", short_of_memory_for_once, 0},
	{"event_is_wrong", event_is_wrong, 0},
	{"resident_refused", resident_refused, 0},
	{"device_is_reset", device_is_reset, 0},
	{"slots_are_not_inherited", slots_are_not_inherited, 0},
	{"past_a_small_one", past_a_small_one, 0},
	{"forked", forked, 0},
	{"switched_off", switched_off, 0},
	{"driver_too_old", driver_too_old, 0},
	{"driver_does_not_start", driver_does_not_start, 0},
	{"symbols_are_missing", symbols_are_missing, 0},
	{"devices_not_counted", devices_not_counted, 0},
	{"failed_device", failed_device, 0},
	{"neighbours", neighbours, 0},
	{"neighbours_by_engine", neighbours_by_engine, 0},
	{"nothing_fails", nothing_fails, 0},
	{"any_call_once", any_call_once, 120},
	{"any_call_lacks_memory", any_call_lacks_memory, 120},
	{"any_call_for_good", any_call_for_good, 120},
	{"context_lost_at_any_call", context_lost_at_any_call, 120},
	{"any_call_resident", any_call_resident, 120},
	{"any_call_by_engine", any_call_by_engine, 120},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
