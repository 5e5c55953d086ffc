/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fakes/cuda/fake.h"

#define ARENA_BYTES (4ull << 30)
#define PIECE_BYTES (2ull << 20)
#define SMALL_BYTES (1ull << 20)
#define SMALL_ALIGN 512ull
#define RANGES_MAX 256

struct range {
	uint64_t at, len_bytes;
	int type, device;
	bool mapped_by_hand;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* lock */
static struct range ranges[RANGES_MAX];
static int n_ranges;
static uint64_t arena, next; /* addresses of devices: nothing of the CPU's */
static uint8_t *bytes; /* what is there */

/* ---- ranges ----------------------------------------------------------------- */

static void *map(int rights)
{
	void *new = mmap(NULL, ARENA_BYTES + PIECE_BYTES, rights,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (new == MAP_FAILED)
		abort();
	return new;
}

static uint64_t up(uint64_t at, uint64_t unit)
{
	return (at + unit - 1) / unit * unit;
}

static void add(uint64_t at, uint64_t len_bytes, int type, int device,
		bool mapped_by_hand)
{
	if (n_ranges == RANGES_MAX)
		abort();
	ranges[n_ranges++] =
		(struct range){at, len_bytes, type, device, mapped_by_hand};
}

/* Never the same address again. */
static cuda_result take(uint64_t len_bytes, int device, bool mapped_by_hand,
			cuda_ptr *at)
{
	cuda_result rc = CUDA_OUT_OF_MEMORY;

	pthread_mutex_lock(&lock);
	if (!arena) {
		bytes = map(PROT_READ | PROT_WRITE);
		arena = next = up((uintptr_t)map(PROT_NONE), PIECE_BYTES);
	}
	next = up(next, len_bytes < SMALL_BYTES ? SMALL_ALIGN : PIECE_BYTES);
	if (len_bytes <= arena + ARENA_BYTES - next) {
		add(next, len_bytes, CUDA_MEMORY_DEVICE, device,
		    mapped_by_hand);
		*at = next;
		next += len_bytes;
		rc = CUDA_SUCCESS;
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

/* lock is held. NULL: nobody's, or the CPU's. */
static struct range *find(uint64_t at)
{
	for (int i = 0; i < n_ranges; i++)
		if (at - ranges[i].at < ranges[i].len_bytes)
			return &ranges[i];
	return NULL;
}

static cuda_result drop(uint64_t at)
{
	struct range *found;

	pthread_mutex_lock(&lock);
	found = find(at);
	if (found && found->at != at)
		found = NULL;
	if (found)
		*found = ranges[--n_ranges];
	pthread_mutex_unlock(&lock);
	return found ? CUDA_SUCCESS : CUDA_INVALID_VALUE;
}

static bool in_arena(uint64_t at)
{
	return arena && at - arena < ARENA_BYTES;
}

void *fake_cuda_bytes(cuda_ptr at)
{
	return in_arena(at) ? bytes + (at - arena) : (void *)at;
}

/* lock is held. How much of len_bytes there is from at on, in one piece. */
static uint64_t extent(uint64_t at, uint64_t len_bytes)
{
	const struct range *range = find(at);
	uint64_t rest;

	if (!in_arena(at))
		return len_bytes;
	rest = range ? range->at + range->len_bytes - at : 0;
	return rest < len_bytes ? rest : len_bytes;
}

bool fake_copy(uint64_t dst, uint64_t src, uint64_t len_bytes)
{
	uint64_t part = 1;

	pthread_mutex_lock(&lock);
	while (len_bytes > 0 && part > 0) {
		part = extent(src, extent(dst, len_bytes));
		memcpy(fake_cuda_bytes(dst), fake_cuda_bytes(src), part);
		dst += part;
		src += part;
		len_bytes -= part;
	}
	pthread_mutex_unlock(&lock);
	return len_bytes == 0;
}

/* ---- allocations ------------------------------------------------------------ */

cuda_ptr fake_cuda_map(int device, size_t len_bytes)
{
	cuda_ptr at = 0;

	if (take(up(len_bytes, PIECE_BYTES), device, true, &at) != CUDA_SUCCESS)
		abort();
	return at;
}

cuda_result cuMemAlloc_v2(cuda_ptr *mem, size_t len_bytes)
{
	FAKE_CALL();
	if (fake_current() < 0)
		return CUDA_INVALID_CONTEXT;
	return take(len_bytes, fake_current(), false, mem);
}

cuda_result cuMemFree_v2(cuda_ptr mem)
{
	FAKE_CALL();
	return drop(mem);
}

cuda_result cuMemHostRegister_v2(void *mem, size_t len_bytes,
				 unsigned int flags)
{
	FAKE_CALL();
	pthread_mutex_lock(&lock);
	add((uintptr_t)mem, len_bytes, CUDA_MEMORY_HOST, 0, false);
	pthread_mutex_unlock(&lock);
	return CUDA_SUCCESS;
}

cuda_result cuMemHostUnregister(void *mem)
{
	FAKE_CALL();
	return drop((uintptr_t)mem);
}

cuda_result cuMemHostGetDevicePointer_v2(cuda_ptr *at, void *mem,
					 unsigned int flags)
{
	FAKE_CALL();
	*at = (uintptr_t)mem;
	return CUDA_SUCCESS;
}

cuda_result cuMemHostAlloc(void **mem, size_t len_bytes, unsigned int flags)
{
	void *new;

	FAKE_CALL();
	if (posix_memalign(&new, 4096, len_bytes) != 0)
		return CUDA_OUT_OF_MEMORY;
	pthread_mutex_lock(&lock);
	add((uintptr_t) new, len_bytes, CUDA_MEMORY_HOST, 0, false);
	pthread_mutex_unlock(&lock);
	*mem = new;
	return CUDA_SUCCESS;
}

cuda_result cuMemFreeHost(void *mem)
{
	cuda_result rc;

	FAKE_CALL();
	rc = drop((uintptr_t)mem);
	if (rc == CUDA_SUCCESS)
		free(mem);
	return rc;
}

/* ---- copies ----------------------------------------------------------------- */

/* Unlike a kernel's, a copy of the driver's stays in one allocation. */
static cuda_result copy(uint64_t dst, uint64_t src, uint64_t len_bytes,
			const struct CUstream_st *stream)
{
	uint64_t whole;

	if (!fake_has_stream(stream))
		return CUDA_INVALID_HANDLE;
	pthread_mutex_lock(&lock);
	whole = extent(src, extent(dst, len_bytes));
	pthread_mutex_unlock(&lock);
	if (whole < len_bytes)
		return CUDA_INVALID_VALUE;
	(void)fake_copy(dst, src, len_bytes);
	return CUDA_SUCCESS;
}

cuda_result cuMemcpyAsync(cuda_ptr dst, cuda_ptr src, size_t len_bytes,
			  struct CUstream_st *stream)
{
	FAKE_CALL();
	return copy(dst, src, len_bytes, stream);
}

cuda_result cuMemcpyDtoHAsync_v2(void *dst, cuda_ptr src, size_t len_bytes,
				 struct CUstream_st *stream)
{
	FAKE_CALL();
	return in_arena(src) ? copy((uintptr_t)dst, src, len_bytes, stream) :
			       CUDA_INVALID_VALUE;
}

cuda_result cuMemcpyHtoDAsync_v2(cuda_ptr dst, const void *src,
				 size_t len_bytes, struct CUstream_st *stream)
{
	FAKE_CALL();
	return in_arena(dst) ? copy(dst, (uintptr_t)src, len_bytes, stream) :
			       CUDA_INVALID_VALUE;
}

/* ---- whose memory is it ----------------------------------------------------- */

static void answer(int attribute, const struct range *r, uint64_t at,
		   void *value)
{
	static const struct range none = {.device = -1};
	bool device = r && r->type == CUDA_MEMORY_DEVICE;

	r = r ? r : &none;
	switch (attribute) {
	case CUDA_PTR_CONTEXT:
		*(struct CUctx_st **)value = r->type && !r->mapped_by_hand ?
						     fake_primary(r->device) :
						     NULL;
		break;
	case CUDA_PTR_MEMORY_TYPE:
		*(int *)value = r->type;
		break;
	case CUDA_PTR_IS_MANAGED:
		*(int *)value = 0;
		break;
	case CUDA_PTR_DEVICE:
		*(int *)value = r->device;
		break;
	case CUDA_PTR_MAPPED:
		*(int *)value = r->type != 0;
		break;
	case CUDA_PTR_ACCESS:
		*(int *)value = CUDA_ACCESS_READ_WRITE;
		break;
	case CUDA_PTR_RANGE_START:
		*(uint64_t *)value = r->at;
		break;
	case CUDA_PTR_RANGE_BYTES:
		*(uint64_t *)value = r->len_bytes;
		break;
	case CUDA_PTR_MAPPING_START:
		*(uint64_t *)value = device ? at / PIECE_BYTES * PIECE_BYTES :
					      0;
		break;
	case CUDA_PTR_MAPPING_BYTES:
		*(uint64_t *)value = device ? PIECE_BYTES : 0;
		break;
	default:
		abort();
	}
}

cuda_result cuPointerGetAttributes(unsigned int n, int *attributes,
				   void **values, cuda_ptr at)
{
	FAKE_CALL();
	pthread_mutex_lock(&lock);
	for (unsigned int i = 0; i < n; i++)
		answer(attributes[i], find(at), at, values[i]);
	pthread_mutex_unlock(&lock);
	return CUDA_SUCCESS;
}

/* ---- other processes' ------------------------------------------------------- */

/* Opened in the process itself: a test has one. */
cuda_result cuIpcGetMemHandle(struct cuda_ipc_handle *handle, cuda_ptr mem)
{
	FAKE_CALL();
	memset(handle, 0, sizeof(*handle));
	memcpy(handle, &mem, sizeof(mem));
	return CUDA_SUCCESS;
}

cuda_result cuIpcOpenMemHandle_v2(cuda_ptr *mem, struct cuda_ipc_handle handle,
				  unsigned int flags)
{
	FAKE_CALL();
	memcpy(mem, &handle, sizeof(*mem));
	return CUDA_SUCCESS;
}

cuda_result cuIpcCloseMemHandle(cuda_ptr mem)
{
	FAKE_CALL();
	return CUDA_SUCCESS;
}
