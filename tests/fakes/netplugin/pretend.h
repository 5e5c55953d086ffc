/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_NETPLUGIN_PRETEND_H
#define FAKES_NETPLUGIN_PRETEND_H

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "double.h"
#include "gpu/host/ranges.h"

/*
 * The memory of the library's pretend GPUs for the double: its pool and its
 * device handles are then device memory that the CPU cannot touch and the
 * pretend GPU's kernels accept. For programs that contain the library's
 * internals; the double does not.
 *
 * current: says which GPU is current in the calling thread. NULL: the one
 * that pretend_set_current() said, 0 at first. One table a process: the last
 * call's current counts.
 */
const struct double_memory *pretend_memory(int (*current)(void));
void pretend_set_current(int device);

/* Gives that table to a double that is loaded, by its file's path: before its
 * first listen, connect or reg_mr. False: nothing of the kind is loaded. */
bool pretend_install(const char *path, int (*current)(void));

/* For that table, and for others on the pretend GPU: a daemon's memory becomes
 * the GPU's where it is mapped, and nobody may touch it there. */
static inline void *pretend_import(int device, int fd, size_t len_bytes)
{
	void *mem = mmap(NULL, len_bytes, PROT_NONE, MAP_SHARED, fd, 0);

	if (mem == MAP_FAILED)
		return NULL;
	if (!ranges_adopt((uint32_t)device, (uintptr_t)mem, len_bytes, fd))
		return mem;
	munmap(mem, len_bytes);
	return NULL;
}

/* Mapped once more, with access. */
static inline void *pretend_reach(int device, void *pool)
{
	uint64_t base, len_bytes;
	void *mem;
	int fd;

	if (ranges_share((uint32_t)device, (uintptr_t)pool, &fd, &base,
			 &len_bytes))
		return NULL;
	mem = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return mem == MAP_FAILED ? NULL :
				   (uint8_t *)mem + ((uintptr_t)pool - base);
}

static inline int pretend_pci(int device, char *text, int cap_bytes)
{
	text[0] = '\0'; /* it has none */
	return 0;
}

#endif
