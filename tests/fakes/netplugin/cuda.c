/* SPDX-License-Identifier: Apache-2.0 */
#include "memory.h"

/*
 * A real GPU, through libcuda found at run time. All work goes over one
 * stream a device and thread-safe calls; every call leaves the thread's
 * context as it found it. A scatter is two copies to the device, the bytes and
 * the list, and one launch: a block a fragment. Kernels that read single bytes
 * or records over the bus are slower by a factor.
 */

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdint.h>

#include "conf.h"
#include "cuda_pool.h"
#include "libcuda.h"
#include "rules.h"

#define MAX_DEVICES 16
#define MAX_FRAGMENTS 2048u
#define LIST_BYTES (MAX_FRAGMENTS * sizeof(struct item))

/*
 * place(pool, staging, list): block b moves list[b] = {from, to, len, -}, 16
 * bytes; with no staging it writes 0xdb. Fragments start at any byte on
 * either side, so a thread moves one byte at a time: 256 neighbours make one
 * request of the bus.
 */
static const char place_ptx[] =
	".version 7.0\n.target sm_70\n.address_size 64\n"
	".visible .entry place(.param .u64 p_pool, .param .u64 p_staging,\n"
	"                      .param .u64 p_list)\n"
	"{\n"
	"  .reg .pred %done, %fill;\n"
	"  .reg .b16 %byte;\n"
	"  .reg .b32 %i, %step, %block, %from, %to, %len, %pad;\n"
	"  .reg .b64 %pool, %staging, %list, %src, %dst, %wide;\n"
	"  ld.param.u64 %pool, [p_pool];\n"
	"  ld.param.u64 %staging, [p_staging];\n"
	"  ld.param.u64 %list, [p_list];\n"
	"  mov.u32 %block, %ctaid.x;\n"
	"  mul.wide.u32 %wide, %block, 16;\n"
	"  add.s64 %list, %list, %wide;\n"
	"  ld.volatile.v4.u32 {%from, %to, %len, %pad}, [%list];\n"
	"  setp.eq.u64 %fill, %staging, 0;\n"
	"  mov.u16 %byte, 0xdb;\n"
	"  mov.u32 %i, %tid.x;\n"
	"  mov.u32 %step, %ntid.x;\n"
	"again:\n"
	"  setp.ge.u32 %done, %i, %len;\n"
	"  @%done bra out;\n"
	"  @%fill bra store;\n"
	"  add.u32 %pad, %from, %i;\n"
	"  cvt.u64.u32 %wide, %pad;\n"
	"  add.s64 %src, %staging, %wide;\n"
	"  ld.volatile.u8 %byte, [%src];\n"
	"store:\n"
	"  add.u32 %pad, %to, %i;\n"
	"  cvt.u64.u32 %wide, %pad;\n"
	"  add.s64 %dst, %pool, %wide;\n"
	"  st.u8 [%dst], %byte;\n"
	"  add.u32 %i, %i, %step;\n"
	"  bra again;\n"
	"out:\n"
	"  ret;\n"
	"}\n";

struct item {
	uint32_t from, to, len_bytes, pad;
};

static struct gpu {
	pthread_mutex_t lock; /* the list, and the stream's order */
	bool ready;
	void *ctx, *stream, *place;
	struct item *list; /* pinned */
	uint64_t device_list, device_staging;
	size_t staging_bytes; /* of device_staging: a chunk */
} gpus[MAX_DEVICES];

static pthread_mutex_t setup_lock = PTHREAD_MUTEX_INITIALIZER;

bool cuda_in_use(void)
{
	void *object = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
	void *ctx = NULL;

	if (!object)
		return false;
	dlclose(object);
	return libcuda_load() && cu.ctx_current(&ctx) == 0 && ctx;
}

/* The list, and the bytes it takes from staging, onto the device. */
static int gpu_upload(struct gpu *gpu, const void *staging, uint32_t n)
{
	size_t len_bytes = 0;
	int rc;

	for (uint32_t i = 0; staging && i < n; i++) {
		size_t end = (size_t)gpu->list[i].from + gpu->list[i].len_bytes;

		len_bytes = end > len_bytes ? end : len_bytes;
	}
	if (len_bytes > gpu->staging_bytes)
		return -1;
	rc = cu.copy(gpu->device_list, (uintptr_t)gpu->list,
		     n * sizeof(struct item), gpu->stream);
	if (!rc && len_bytes)
		rc = cu.copy(gpu->device_staging, (uintptr_t)staging, len_bytes,
			     gpu->stream);
	return rc;
}

static int gpu_place(struct gpu *gpu, void *pool, bool fill, uint32_t n)
{
	uint64_t to = (uintptr_t)pool, from = fill ? 0 : gpu->device_staging;
	void *params[3] = {&to, &from, &gpu->device_list};
	int rc = cu.launch(gpu->place, n, 1, 1, 256, 1, 1, 0, gpu->stream,
			   params, NULL);

	return rc ? rc : cu.stream_sync(gpu->stream);
}

/*
 * All that allocates, and the kernel loaded and run once: while a kernel of
 * somebody else waits for our bytes, none of that would return.
 */
static int gpu_ready_kernel(struct gpu *gpu)
{
	void *module;
	int rc;

	gpu->staging_bytes = (size_t)conf_get()->chunk_bytes + 16;
	rc = cu.module_load(&module, place_ptx);
	if (!rc)
		rc = cu.module_function(&gpu->place, module, "place");
	if (!rc)
		rc = cu.host_alloc((void **)&gpu->list, LIST_BYTES, 3);
	if (!rc)
		rc = cu.mem_alloc(&gpu->device_list, LIST_BYTES);
	if (!rc)
		rc = cu.mem_alloc(&gpu->device_staging, gpu->staging_bytes);
	if (rc)
		return rc;
	gpu->list[0] = (struct item){0, 0, 1, 0};
	rc = gpu_upload(gpu, NULL, 1);
	return rc ? rc :
		    gpu_place(gpu, (void *)(uintptr_t)gpu->device_staging, true,
			      1);
}

/* Pages in host memory want no kernel, and then there is none. */
static int gpu_fill(struct gpu *gpu)
{
	int rc = cu.stream_create(&gpu->stream, 1); /* not with the null one */

	return rc || conf_get()->pool_kind == POOL_HOST ? rc :
							  gpu_ready_kernel(gpu);
}

static int gpu_setup(struct gpu *gpu, int ordinal)
{
	void *old;
	int device, rc;

	if (cu.device_get(&device, ordinal) ||
	    cu.primary_retain(&gpu->ctx, device) || cu.ctx_push(gpu->ctx))
		return -1;
	rc = gpu_fill(gpu);
	cu.ctx_pop(&old);
	if (rc)
		fprintf(stderr, "double: CUDA error %d on GPU %d\n", rc,
			ordinal);
	pthread_mutex_init(&gpu->lock, NULL);
	gpu->ready = !rc;
	return rc ? -1 : 0;
}

/* With the device's context current; NULL: nothing was pushed. */
static struct gpu *gpu_enter(int device)
{
	struct gpu *gpu;
	int rc = 0;

	if (device < 0 || device >= MAX_DEVICES)
		return NULL;
	gpu = &gpus[device];
	pthread_mutex_lock(&setup_lock);
	if (!gpu->ready)
		rc = gpu_setup(gpu, device);
	pthread_mutex_unlock(&setup_lock);
	return rc || cu.ctx_push(gpu->ctx) ? NULL : gpu;
}

static void gpu_leave(void)
{
	void *old;

	cu.ctx_pop(&old);
}

static int cuda_prepare(int device)
{
	if (!gpu_enter(device))
		return -1;
	gpu_leave();
	return 0;
}

static int cuda_current(void)
{
	int device;

	return cu.ctx_device(&device) ? -1 : device;
}

static int cuda_owner(const void *ptr)
{
	enum { ORDINAL = 9, KIND = 2, KIND_DEVICE = 2 };
	unsigned kind = 0;
	int device;

	/* A pointer that no allocation of CUDA's holds gets an error. */
	if (cu.pointer_attribute(&kind, KIND, (uintptr_t)ptr) ||
	    kind != KIND_DEVICE ||
	    cu.pointer_attribute(&device, ORDINAL, (uintptr_t)ptr))
		return -1;
	return device;
}

static void *cuda_alloc(int device, size_t len_bytes)
{
	struct gpu *gpu = gpu_enter(device);
	uint64_t ptr = 0;

	if (!gpu)
		return NULL;
	if (cu.mem_alloc(&ptr, len_bytes))
		ptr = 0;
	gpu_leave();
	return (void *)(uintptr_t)ptr;
}

static enum cuda_pool_place place_of_pool(void)
{
	return conf_get()->pool_kind == POOL_HOST ? CUDA_POOL_HOST :
						    CUDA_POOL_DEVICE;
}

static void *cuda_alloc_pool(int device, size_t len_bytes)
{
	void *pool;

	if (conf_get()->pool_kind == POOL_PLAIN)
		return cuda_alloc(device, len_bytes);
	if (!gpu_enter(device))
		return NULL;
	pool = cuda_pool_map(device, place_of_pool(), len_bytes);
	gpu_leave();
	if (pool || conf_get()->pool_kind == POOL_HOST)
		return pool;
	rules_warn("the pool is a plain one, by cuMemAlloc");
	return cuda_alloc(device, len_bytes);
}

/* Asked for a pool in host memory only, which is where its GPU has it. */
static void *cuda_reach(int device, void *pool)
{
	return pool;
}

static void cuda_free(int device, void *ptr, size_t len_bytes)
{
	if (!gpu_enter(device))
		return;
	cu.mem_free((uintptr_t)ptr);
	gpu_leave();
}

static void *cuda_alloc_mapped(int device, size_t len_bytes)
{
	void *ptr = NULL;

	if (!gpu_enter(device))
		return NULL;
	if (cu.host_alloc(&ptr, len_bytes, 3)) /* portable, mapped */
		ptr = NULL;
	gpu_leave();
	return ptr;
}

static void cuda_free_mapped(int device, void *ptr, size_t len_bytes)
{
	if (!gpu_enter(device))
		return;
	cu.host_free(ptr);
	gpu_leave();
}

static int cuda_copy(int device, void *dst, const void *src, size_t len_bytes)
{
	struct gpu *gpu = gpu_enter(device);
	int rc;

	if (!gpu)
		return -1;
	pthread_mutex_lock(&gpu->lock);
	rc = cu.copy((uintptr_t)dst, (uintptr_t)src, len_bytes, gpu->stream);
	if (!rc)
		rc = cu.stream_sync(gpu->stream);
	pthread_mutex_unlock(&gpu->lock);
	gpu_leave();
	return rc ? -1 : 0;
}

static int cuda_scatter(int device, void *pool, const void *staging,
			const uint32_t *from, const uint32_t *to,
			const uint32_t *len, uint32_t n)
{
	struct gpu *gpu = n && n <= MAX_FRAGMENTS ? gpu_enter(device) : NULL;
	int rc;

	if (!gpu)
		return n ? -1 : 0;
	pthread_mutex_lock(&gpu->lock);
	for (uint32_t i = 0; i < n; i++)
		gpu->list[i] =
			(struct item){from ? from[i] : 0, to[i], len[i], 0};
	rc = gpu_upload(gpu, from ? staging : NULL, n);
	if (!rc)
		rc = gpu_place(gpu, pool, !from, n);
	pthread_mutex_unlock(&gpu->lock);
	gpu_leave();
	return rc ? -1 : 0;
}

static void *cuda_import_here(int device, int fd, size_t len_bytes)
{
	void *ptr;

	if (!gpu_enter(device))
		return NULL;
	ptr = cuda_pool_import(device, place_of_pool(), fd, len_bytes);
	gpu_leave();
	return ptr;
}

static const struct double_memory memory = {
	.name = "cuda",
	.current = cuda_current,
	.owner = cuda_owner,
	.prepare = cuda_prepare,
	.alloc = cuda_alloc,
	.alloc_pool = cuda_alloc_pool,
	.free = cuda_free,
	.alloc_mapped = cuda_alloc_mapped,
	.free_mapped = cuda_free_mapped,
	.import = cuda_import_here,
	.pci = cuda_pool_pci,
	.reach = cuda_reach,
	.copy = cuda_copy,
	.scatter = cuda_scatter,
};

const struct double_memory *cuda_memory(void)
{
	int n = 0;

	if (!libcuda_load() || cu.device_count(&n) || n < 1) {
		rules_warn("no CUDA device");
		return NULL;
	}
	return &memory;
}
