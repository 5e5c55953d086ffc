/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_NETPLUGIN_LIBCUDA_H
#define FAKES_NETPLUGIN_LIBCUDA_H

/*
 * libcuda, found at run time: all that the double, and the stand-in for the
 * receive daemon, call of it. Its types are declared here, so that nothing of
 * CUDA is needed to build. Calls return 0, or CUDA's number of an error.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef unsigned long long cu_memory; /* made or imported, and not mapped */

/* CUmemAllocationProp, CUmemAccessDesc */
struct cu_prop {
	int type, handle_types;
	int location_type, location_id;
	void *unused;
	uint8_t flags[8];
};
_Static_assert(sizeof(struct cu_prop) == 32, "CUmemAllocationProp");

struct cu_access {
	int location_type, location_id, rights;
};

#define LIBCUDA_MAP(X)                                                         \
	X(init, "cuInit", (unsigned flags))                                    \
	X(device_count, "cuDeviceGetCount", (int *n))                          \
	X(device_get, "cuDeviceGet", (int *device, int ordinal))               \
	X(device_attribute, "cuDeviceGetAttribute",                            \
	  (int *value, int what, int device))                                  \
	X(device_pci, "cuDeviceGetPCIBusId",                                   \
	  (char *text, int cap_bytes, int device))                             \
	X(primary_retain, "cuDevicePrimaryCtxRetain",                          \
	  (void **ctx, int device))                                            \
	X(ctx_current, "cuCtxGetCurrent", (void **ctx))                        \
	X(ctx_push, "cuCtxPushCurrent_v2", (void *ctx))                        \
	X(ctx_pop, "cuCtxPopCurrent_v2", (void **ctx))                         \
	X(ctx_device, "cuCtxGetDevice", (int *device))                         \
	X(pointer_attribute, "cuPointerGetAttribute",                          \
	  (void *value, int what, uint64_t ptr))                               \
	X(mem_alloc, "cuMemAlloc_v2", (uint64_t * ptr, size_t len_bytes))      \
	X(mem_free, "cuMemFree_v2", (uint64_t ptr))                            \
	X(host_alloc, "cuMemHostAlloc",                                        \
	  (void **ptr, size_t len_bytes, unsigned flags))                      \
	X(host_free, "cuMemFreeHost", (void *ptr))                             \
	X(copy, "cuMemcpyAsync",                                               \
	  (uint64_t dst, uint64_t src, size_t len_bytes, void *stream))        \
	X(stream_create, "cuStreamCreate", (void **stream, unsigned flags))    \
	X(stream_sync, "cuStreamSynchronize", (void *stream))                  \
	X(module_load, "cuModuleLoadData", (void **module, const void *image)) \
	X(module_function, "cuModuleGetFunction",                              \
	  (void **fn, void *module, const char *name))                         \
	X(launch, "cuLaunchKernel",                                            \
	  (void *fn, unsigned gx, unsigned gy, unsigned gz, unsigned bx,       \
	   unsigned by, unsigned bz, unsigned shared_bytes, void *stream,      \
	   void **params, void **extra))                                       \
	X(vmm_granularity, "cuMemGetAllocationGranularity",                    \
	  (size_t * bytes, const struct cu_prop *prop, int which))             \
	X(vmm_create, "cuMemCreate",                                           \
	  (cu_memory * memory, size_t len_bytes, const struct cu_prop *prop,   \
	   unsigned long long flags))                                          \
	X(vmm_release, "cuMemRelease", (cu_memory memory))                     \
	X(vmm_export, "cuMemExportToShareableHandle",                          \
	  (void *fd, cu_memory memory, int kind, unsigned long long flags))    \
	X(vmm_import, "cuMemImportFromShareableHandle",                        \
	  (cu_memory * memory, void *fd, int kind))                            \
	X(vmm_reserve, "cuMemAddressReserve",                                  \
	  (uint64_t * at, size_t len_bytes, size_t alignment, uint64_t wanted, \
	   unsigned long long flags))                                          \
	X(vmm_map, "cuMemMap",                                                 \
	  (uint64_t at, size_t len_bytes, size_t off, cu_memory memory,        \
	   unsigned long long flags))                                          \
	X(vmm_access, "cuMemSetAccess",                                        \
	  (uint64_t at, size_t len_bytes, const struct cu_access *access,      \
	   size_t n))

struct libcuda {
#define X(field, symbol, args) int(*field) args;
	LIBCUDA_MAP(X)
#undef X
};
extern struct libcuda cu;

/* From any thread. Once true it stays so; false: no libcuda, or a call of the
 * above is missing, or it does not start. */
bool libcuda_load(void);

#endif
