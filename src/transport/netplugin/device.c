/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <string.h>
#include <sys/mman.h>
#include <tcpx/status.h>
#include <unistd.h>

#include "gpu/gpu.h"
#include "transport/netplugin/netplugin.h"

/*
 * Plugins ask the CUDA runtime for the current device, and that is the device
 * of the thread's current context. The few driver calls for it are looked up
 * here, in the libcuda that src/gpu has loaded; the pretend GPU has no such
 * state.
 */
struct cuda {
	int (*get)(int *device, int ordinal);
	int (*retain)(void **context, int device);
	int (*push)(void *context);
	int (*pop)(void **context);
};

static bool find_calls(struct cuda *cuda)
{
	void *lib = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);

	if (!lib)
		return false;
	*(void **)&cuda->get = dlsym(lib, "cuDeviceGet");
	*(void **)&cuda->retain = dlsym(lib, "cuDevicePrimaryCtxRetain");
	*(void **)&cuda->push = dlsym(lib, "cuCtxPushCurrent_v2");
	*(void **)&cuda->pop = dlsym(lib, "cuCtxPopCurrent_v2");
	dlclose(lib); /* src/gpu holds it */
	return cuda->get && cuda->retain && cuda->push && cuda->pop;
}

static bool is_cuda(struct transport *t, const struct rail *rail)
{
	struct gpu_info info;

	return rail->gpu && !gpu_set_info(t->gpus, rail->gpu_index, &info) &&
	       !strncmp(info.driver, "cuda", 4);
}

_Thread_local int netplugin_current_device = -1;

/* The primary context is retained once a call and never given back: the
 * plugin holds it for the life of the process as well. */
int device_enter(struct transport *t, const struct rail *rail,
		 struct device_scope *scope)
{
	struct cuda cuda;
	void *context;
	int device;

	scope->pop = NULL;
	netplugin_current_device = (int)rail->gpu_index;
	if (!is_cuda(t, rail))
		return TCPX_OK;
	if (!find_calls(&cuda) || cuda.get(&device, (int)rail->gpu_index) ||
	    cuda.retain(&context, device) || cuda.push(context))
		return TCPX_EGPU;
	*(void **)&scope->pop = *(void **)&cuda.pop;
	return TCPX_OK;
}

void device_leave(struct device_scope *scope)
{
	int (*pop)(void **context);
	void *context;

	netplugin_current_device = -1;
	if (!scope->pop)
		return;
	*(void **)&pop = scope->pop;
	pop(&context);
}

/* Pages of their own, as registration wants them. */
int host_alloc(struct transport *t, uint64_t len_bytes, uint8_t **mem, int *fd)
{
	int flags = t->shares ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
	int file = -1;
	void *got;

	if (t->shares) {
		file = memfd_create("tcpx-slots", MFD_CLOEXEC);
		if (file < 0)
			return TCPX_ENFILE;
		if (ftruncate(file, (off_t)len_bytes))
			goto err_close;
	}
	got = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, flags, file, 0);
	if (got == MAP_FAILED)
		goto err_close;
	*mem = got;
	*fd = file;
	return TCPX_OK;
err_close:
	if (file >= 0)
		close(file);
	return TCPX_ENOMEM;
}

void host_free(uint8_t *mem, uint64_t len_bytes, int fd)
{
	if (mem)
		munmap(mem, len_bytes);
	if (fd >= 0)
		close(fd);
}

int device_alloc(struct transport *t, const struct rail *rail,
		 uint64_t len_bytes, uint8_t **mem, int *fd)
{
	void *got;
	int err;

	if (rail->gpu) {
		err = gpu_mem_alloc(rail->gpu, len_bytes, &got);
		if (err)
			return err;
		*mem = got;
		*fd = -1;
		return TCPX_OK;
	}
	err = host_alloc(t, len_bytes, mem, fd);
	/* Pages, zeroed, come with the first touch: not that of the first
	 * chunks. Kernels before 5.14 cannot do it sooner. */
	if (!err && t->shares)
		(void)madvise(*mem, len_bytes, MADV_POPULATE_WRITE);
	return err;
}

void device_free(struct transport *t, const struct rail *rail, uint8_t *mem,
		 uint64_t len_bytes, int fd)
{
	if (rail->gpu)
		gpu_mem_free(rail->gpu, mem);
	else
		host_free(mem, len_bytes, fd);
}

int device_read(struct transport *t, const struct rail *rail, void *to,
		const void *from, uint64_t len_bytes)
{
	struct gpu *owner = NULL;
	char why[8];

	if (!t->gpus ||
	    gpu_set_find(t->gpus, from, len_bytes, &owner, why, sizeof(why)) ||
	    !owner) {
		memcpy(to, from, len_bytes);
		return TCPX_OK;
	}
	return gpu_copy_wait(owner, to, from, len_bytes);
}

/* By halving: the largest multiple of a page that is one device's memory. */
uint64_t device_extent(struct transport *t, const struct rail *rail,
		       const void *from, uint64_t max_bytes)
{
	uint64_t low = OPTIONS_PAGE, high = max_bytes;
	struct gpu *owner = NULL;
	char why[8];

	if (!t->gpus ||
	    gpu_set_find(t->gpus, from, low, &owner, why, sizeof(why)) ||
	    !owner)
		return max_bytes; /* nobody knows */
	while (low < high) {
		uint64_t mid = (low + high + OPTIONS_PAGE) / 2 / OPTIONS_PAGE *
			       OPTIONS_PAGE;

		if (gpu_set_find(t->gpus, from, mid, &owner, why, sizeof(why)))
			high = mid - OPTIONS_PAGE;
		else
			low = mid;
	}
	return low;
}
