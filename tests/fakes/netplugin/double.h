/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_NETPLUGIN_DOUBLE_H
#define FAKES_NETPLUGIN_DOUBLE_H

/*
 * What the double exports beside its table of a net plugin: for tests that
 * find it with dlsym(). Everything else is said by environment variables, so
 * that a process that merely loads a plugin needs to know nothing; README.md
 * lists them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Where the pool of pages and the device handles lie, and how the double gets
 * at memory that a send names. Pointers are device pointers; every call is
 * about one device. Functions are called from any thread, also from threads
 * of the double's own.
 *
 * The default is anonymous mappings and memcpy; double_cuda_memory() is a
 * real GPU by libcuda.
 */
struct double_memory {
	const char *name;
	bool direct; /* the CPU may read and write device memory in place */
	/* The current device of the calling thread, or negative: none. */
	int (*current)(void);
	/* The device that owns ptr, or negative: nobody knows. */
	int (*owner)(const void *ptr);
	/* May be NULL: everything that must not happen later, while kernels
	 * of others run. Called by every listen, connect and accept. */
	int (*prepare)(int device);
	/* NULL without memory. alloc_mapped: host memory that the device sees
	 * at the same address. */
	void *(*alloc)(int device, size_t len_bytes);
	void (*free)(int device, void *ptr, size_t len_bytes);
	/* May be NULL: the pool's, for good, if that is another kind. */
	void *(*alloc_pool)(int device, size_t len_bytes);
	void *(*alloc_mapped)(int device, size_t len_bytes);
	/* May be NULL, then there are no pools from a daemon. Its memory, from
	 * the descriptor, which stays the caller's to keep open; NULL: not.
	 * And what the daemon calls the device; 0, or -1. */
	void *(*import)(int device, int fd, size_t len_bytes);
	int (*pci)(int device, char *text, int cap_bytes);
	/* May be NULL. Where the CPU reads and writes a pool that was made or
	 * imported with DOUBLE_POOL_KIND=host; NULL: nowhere. */
	void *(*reach)(int device, void *pool);
	void (*free_mapped)(int device, void *ptr, size_t len_bytes);
	/* Host to device, or device to host, and finished on return; 0, or
	 * negative. */
	int (*copy)(int device, void *dst, const void *src, size_t len_bytes);
	/*
	 * May be NULL: n copies from staging (host, mapped) + from[i] to
	 * pool + to[i], len[i] bytes each, finished on return. from NULL: fill
	 * with byte 0xdb instead.
	 */
	int (*scatter)(int device, void *pool, const void *staging,
		       const uint32_t *from, const uint32_t *to,
		       const uint32_t *len, uint32_t n);
};

/* Before the first listen, connect or reg_mr; the table must outlive the
 * process. Instead: DOUBLE_MEMORY=host, cuda, auto, or "FILE.so:SYMBOL", the
 * name of a struct double_memory in a shared object ("" for FILE: in what the
 * process has loaded already). */
void double_set_memory(const struct double_memory *memory);
/* What is in use; settles it. */
const struct double_memory *double_memory_now(void);
/* The current device of this thread, with the default memory. */
void double_set_device(int device);

/* How often a rule of the contract was broken in this process; 0: any. */
uint64_t double_hits(int rule);
/* Pages of a device's pool: all, free now, and lost for ever by requests
 * larger than a chunk. */
void double_pages(int device, uint32_t *n_all, uint32_t *n_free,
		  uint32_t *n_lost);

#endif
