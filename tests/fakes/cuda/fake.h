/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAKES_CUDA_FAKE_H
#define TESTS_FAKES_CUDA_FAKE_H

/*
 * A libcuda.so.1 over host memory, for what a real driver does only when
 * something is broken: any call can fail with any number, once, always, or as
 * a lost context does, for good and everywhere. What is queued is done at once.
 *
 *      driver.c    devices, contexts, streams, events, kernels; failures
 *      memory.c    allocations, whose memory is it, copies
 *
 * Device memory has addresses that the CPU cannot touch, one allocation right
 * behind the other: a copy over the end of one is refused, as drivers do, and a
 * kernel beyond all of them loses the context. Kernels are known by the names
 * of ours. The optional calls for memory that is mapped by hand are not there.
 *
 * A test links it, or a whole program finds it by LD_LIBRARY_PATH. What fails
 * is in the variable FAKE_CUDA_FAIL when it is loaded, "NAME:NTH:CODE:HOW" as
 * in struct fake_cuda_fail, or told by the test.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gpu/cuda/api.h"

#define FAKE_DEVICES 2

enum fake_cuda_how {
	FAKE_ONCE = 0,
	FAKE_ALWAYS,	/* from that call on */
	FAKE_LOST,	/* that call and all calls behind it, of any name */
};

/* The nth call of that name, counted from when this is set, 1 the first. */
struct fake_cuda_fail {
	char name[48];		/* empty: none fails */
	int nth;
	cuda_result code;
	enum fake_cuda_how how;
};

/* Not while calls are under way. */
void fake_cuda_fail(const struct fake_cuda_fail *fail);
/* Has it failed yet? */
bool fake_cuda_has_failed(void);
/* What cuDriverGetVersion() says; 12020 before. */
void fake_cuda_set_version(int version);

/* Of this thread: how many contexts are pushed, and its capture mode. */
int fake_cuda_depth(void);
int fake_cuda_capture_mode(void);
void fake_cuda_set_capture_mode(int mode);
/* How often the device's primary context is retained. */
int fake_cuda_retained(int device);
/* As cudaDeviceReset() and a first use behind it: the same handle, another
 * context, and nothing of the old one is valid. */
void fake_cuda_reset(int device);

/* An event, passed or not; the same as a CUevent. */
struct CUevent_st *fake_cuda_event(bool passed);
void fake_cuda_event_pass(struct CUevent_st *event);

/* Memory that was mapped by hand: of no context. */
cuda_ptr fake_cuda_map(int device, size_t len_bytes);
/* Where the CPU finds what the device has there. */
void *fake_cuda_bytes(cuda_ptr at);

/* ---- between driver.c and memory.c ---------------------------------------- */

/* First of all in every call: what it has to return, if not 0. */
cuda_result fake_call(const char *name);
#define FAKE_CALL()                                                            \
	do {                                                                   \
		cuda_result fake_rc = fake_call(__func__);                     \
		if (fake_rc)                                                   \
			return fake_rc;                                        \
	} while (0)
/* The device of the current context; -1: there is none. */
int fake_current(void);
struct CUctx_st *fake_primary(int device);
bool fake_has_stream(const struct CUstream_st *stream);
/* As a kernel does it: over all allocations. false: astray. */
bool fake_copy(uint64_t dst, uint64_t src, uint64_t len_bytes);
void fake_lose(cuda_result code);

#endif
