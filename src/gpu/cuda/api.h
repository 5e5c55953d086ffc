/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GPU_CUDA_API_H
#define GPU_CUDA_API_H

/*
 * What we use of libcuda, in our own words: found by dlopen at run time, so
 * that nothing needs CUDA to build, and drivers from R535 (CUDA 12.2) on do.
 * Names and numbers are the driver's binary interface.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int cuda_result; /* 0: success */
typedef int cuda_device;
typedef uint64_t cuda_ptr;
struct CUctx_st;
struct CUstream_st;
struct CUmod_st;
struct CUfunc_st;
struct CUevent_st;

struct cuda_ipc_handle {
	char bytes[64];
};
_Static_assert(sizeof(struct cuda_ipc_handle) == 64, "CUipcMemHandle");
_Static_assert(sizeof(void *) == 8, "device pointers are 64 bits");

enum {
	CUDA_SUCCESS = 0,
	CUDA_INVALID_VALUE = 1,
	CUDA_OUT_OF_MEMORY = 2,
	CUDA_INVALID_CONTEXT = 201,
	CUDA_INVALID_HANDLE = 400,
	CUDA_NOT_READY = 600,
	CUDA_CONTEXT_IS_DESTROYED = 709,
	/* Of streams under capture, and of events recorded in them. */
	CUDA_CAPTURE_FIRST = 900,
	CUDA_CAPTURE_LAST = 908,
};

enum {
	CUDA_DEV_N_MULTIPROCESSORS = 16,
	CUDA_DEV_N_COPY_ENGINES = 40,
	CUDA_DEV_UNIFIED_ADDRESSES = 41,
	CUDA_DEV_MAJOR = 75,
	CUDA_DEV_MINOR = 76,
};

enum {
	CUDA_PTR_CONTEXT = 1,
	CUDA_PTR_MEMORY_TYPE = 2,
	CUDA_PTR_IS_MANAGED = 8,
	CUDA_PTR_DEVICE = 9,
	CUDA_PTR_RANGE_START = 11,
	CUDA_PTR_RANGE_BYTES = 12,
	CUDA_PTR_MAPPED = 13,
	CUDA_PTR_ACCESS = 16,
	CUDA_PTR_MAPPING_BYTES = 18,
	CUDA_PTR_MAPPING_START = 19,
};

enum {
	CUDA_MEMORY_HOST = 1,
	CUDA_MEMORY_DEVICE = 2,
};

enum {
	CUDA_ACCESS_READ_WRITE = 3,
	CUDA_STREAM_NON_BLOCKING = 1,
	CUDA_HOST_PORTABLE = 1,
	CUDA_HOST_DEVICEMAP = 2,
	CUDA_IPC_LAZY_PEER = 1,
	CUDA_CAPTURE_RELAXED = 2,
	CUDA_HANDLE_POSIX_FD = 1,
	CUDA_LOCATION_DEVICE = 1,
	CUDA_LOCATION_HOST = 2,
	CUDA_LOCATION_HOST_NUMA = 3,
	CUDA_JIT_ERROR_LOG = 5,
	CUDA_JIT_ERROR_LOG_BYTES = 6,
};

/* X(field, symbol, arguments) */
#define CUDA_API_MAP(X)                                                        \
	X(init, "cuInit", (unsigned int flags))                                \
	X(driver_version, "cuDriverGetVersion", (int *version))                \
	X(error_name, "cuGetErrorName", (cuda_result rc, const char **name))   \
	X(error_text, "cuGetErrorString", (cuda_result rc, const char **text)) \
	X(device_count, "cuDeviceGetCount", (int *n))                          \
	X(device_get, "cuDeviceGet", (cuda_device * device, int index))        \
	X(device_name, "cuDeviceGetName",                                      \
	  (char *name, int cap_bytes, cuda_device device))                     \
	X(device_mem, "cuDeviceTotalMem_v2",                                   \
	  (size_t * bytes, cuda_device device))                                \
	X(device_attribute, "cuDeviceGetAttribute",                            \
	  (int *value, int attribute, cuda_device device))                     \
	X(device_pci, "cuDeviceGetPCIBusId",                                   \
	  (char *pci, int cap_bytes, cuda_device device))                      \
	X(primary_retain, "cuDevicePrimaryCtxRetain",                          \
	  (struct CUctx_st * *ctx, cuda_device device))                        \
	X(primary_release, "cuDevicePrimaryCtxRelease_v2",                     \
	  (cuda_device device))                                                \
	X(primary_state, "cuDevicePrimaryCtxGetState",                         \
	  (cuda_device device, unsigned int *flags, int *active))              \
	X(ctx_push, "cuCtxPushCurrent_v2", (struct CUctx_st * ctx))            \
	X(ctx_pop, "cuCtxPopCurrent_v2", (struct CUctx_st * *ctx))             \
	X(ctx_id, "cuCtxGetId",                                                \
	  (struct CUctx_st * ctx, unsigned long long *id))                     \
	X(priorities, "cuCtxGetStreamPriorityRange",                           \
	  (int *least, int *greatest))                                         \
	X(capture_mode, "cuThreadExchangeStreamCaptureMode", (int *mode))      \
	X(stream_create, "cuStreamCreateWithPriority",                         \
	  (struct CUstream_st * *stream, unsigned int flags, int priority))    \
	X(stream_destroy, "cuStreamDestroy_v2", (struct CUstream_st * stream)) \
	X(stream_query, "cuStreamQuery", (struct CUstream_st * stream))        \
	X(event_query, "cuEventQuery", (struct CUevent_st * event))            \
	X(stream_write, "cuStreamWriteValue64_v2",                             \
	  (struct CUstream_st * stream, cuda_ptr at, uint64_t value,           \
	   unsigned int flags))                                                \
	X(module_load, "cuModuleLoadDataEx",                                   \
	  (struct CUmod_st * *module, const void *image,                       \
	   unsigned int n_options, int *options, void **values))               \
	X(module_unload, "cuModuleUnload", (struct CUmod_st * module))         \
	X(module_function, "cuModuleGetFunction",                              \
	  (struct CUfunc_st * *function, struct CUmod_st * module,             \
	   const char *name))                                                  \
	X(launch, "cuLaunchKernel",                                            \
	  (struct CUfunc_st * function, unsigned int grid_x,                   \
	   unsigned int grid_y, unsigned int grid_z, unsigned int block_x,     \
	   unsigned int block_y, unsigned int block_z,                         \
	   unsigned int shared_bytes, struct CUstream_st *stream,              \
	   void **params, void **extra))                                       \
	X(host_register, "cuMemHostRegister_v2",                               \
	  (void *mem, size_t len_bytes, unsigned int flags))                   \
	X(host_unregister, "cuMemHostUnregister", (void *mem))                 \
	X(host_pointer, "cuMemHostGetDevicePointer_v2",                        \
	  (cuda_ptr * at, void *mem, unsigned int flags))                      \
	X(host_alloc, "cuMemHostAlloc",                                        \
	  (void **mem, size_t len_bytes, unsigned int flags))                  \
	X(host_free, "cuMemFreeHost", (void *mem))                             \
	X(mem_alloc, "cuMemAlloc_v2", (cuda_ptr * mem, size_t len_bytes))      \
	X(mem_free, "cuMemFree_v2", (cuda_ptr mem))                            \
	X(copy, "cuMemcpyAsync",                                               \
	  (cuda_ptr dst, cuda_ptr src, size_t len_bytes,                       \
	   struct CUstream_st * stream))                                       \
	X(copy_to_host, "cuMemcpyDtoHAsync_v2",                                \
	  (void *dst, cuda_ptr src, size_t len_bytes,                          \
	   struct CUstream_st *stream))                                        \
	X(copy_from_host, "cuMemcpyHtoDAsync_v2",                              \
	  (cuda_ptr dst, const void *src, size_t len_bytes,                    \
	   struct CUstream_st *stream))                                        \
	X(pointer, "cuPointerGetAttributes",                                   \
	  (unsigned int n, int *attributes, void **values, cuda_ptr at))       \
	X(ipc_get, "cuIpcGetMemHandle",                                        \
	  (struct cuda_ipc_handle * handle, cuda_ptr mem))                     \
	X(ipc_open, "cuIpcOpenMemHandle_v2",                                   \
	  (cuda_ptr * mem, struct cuda_ipc_handle handle, unsigned int flags)) \
	X(ipc_close, "cuIpcCloseMemHandle", (cuda_ptr mem))

/* A right to a range, and whose: a device of that number. */
struct cuda_access {
	int kind, id;
	int rights;
};

/* Of what kind memory is, and where: CUmemAllocationProp. */
struct cuda_mem_prop {
	int kind, handle_kinds;
	int location_kind, location_id;
	void *unused;
	uint8_t flags[8];
};
_Static_assert(sizeof(struct cuda_mem_prop) == 32, "CUmemAllocationProp");

/* Memory that is mapped by hand (CUDA 10.2 on): NULL where the driver has
 * none of it. */
#define CUDA_API_OPTIONAL_MAP(X)                                               \
	X(vmm_retain, "cuMemRetainAllocationHandle",                           \
	  (unsigned long long *handle, void *at))                              \
	X(vmm_release, "cuMemRelease", (unsigned long long handle))            \
	X(vmm_prop, "cuMemGetAllocationPropertiesFromHandle",                  \
	  (struct cuda_mem_prop * prop, unsigned long long handle))            \
	X(vmm_export, "cuMemExportToShareableHandle",                          \
	  (void *shared, unsigned long long handle, int kind,                  \
	   unsigned long long flags))                                          \
	X(vmm_import, "cuMemImportFromShareableHandle",                        \
	  (unsigned long long *handle, void *shared, int kind))                \
	X(vmm_reserve, "cuMemAddressReserve",                                  \
	  (cuda_ptr * at, size_t len_bytes, size_t alignment, cuda_ptr wanted, \
	   unsigned long long flags))                                          \
	X(vmm_unreserve, "cuMemAddressFree", (cuda_ptr at, size_t len_bytes))  \
	X(vmm_map, "cuMemMap",                                                 \
	  (cuda_ptr at, size_t len_bytes, size_t off,                          \
	   unsigned long long handle, unsigned long long flags))               \
	X(vmm_unmap, "cuMemUnmap", (cuda_ptr at, size_t len_bytes))            \
	X(vmm_access, "cuMemSetAccess",                                        \
	  (cuda_ptr at, size_t len_bytes, const struct cuda_access *access,    \
	   size_t n))

struct cuda_api {
#define X(field, symbol, args) cuda_result(*field) args;
	CUDA_API_MAP(X)
	CUDA_API_OPTIONAL_MAP(X)
#undef X
};

/* Complete once cuda_load() has returned 0; constant from then on. */
extern struct cuda_api cuda_api;

/* Is libcuda in this process? Loads nothing. */
bool cuda_is_loaded(void);
/* Loads and initialises it; idempotent, any thread. TCPX_EUNSUPPORTED. */
int cuda_load(char *why, size_t cap_bytes);
/* Of a call with a caller's event: is it the event that is wrong, and not the
 * device? Not one, of a context that is gone, or of a graph under capture. */
bool cuda_blames_event(cuda_result rc);
/* "CUDA_ERROR_OUT_OF_MEMORY: out of memory", the driver's own words. */
void cuda_describe(cuda_result rc, char *text, size_t cap_bytes);

#endif
