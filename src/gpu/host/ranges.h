/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GPU_HOST_RANGES_H
#define GPU_HOST_RANGES_H

/*
 * The memory of the pretend GPUs of this process: every range that a device
 * may touch, and where. Device memory is a memfd mapped twice: where the
 * program has its address nobody may touch it, neither the CPU nor the
 * kernel on its behalf; a second mapping, known only here, is for the
 * device.
 *
 *      program's address  --- no access ---.
 *                                           memfd
 *      hidden mapping     --- read, write --'
 *
 * Freed addresses are kept from being used again for a while, so that who
 * still uses them is caught.
 *
 * One table a process, as a driver has one: any session's memory is known to
 * all. Threads: from any; between ranges_hold() and ranges_release() no range
 * goes away.
 */

#include "gpu/gpu.h"

enum range_kind {
	RANGE_DEVICE = 0,
	RANGE_PINNED,
	RANGE_FREED,
};

struct range {
	uint64_t base, len_bytes, map_bytes;
	uint8_t *hidden;	/* where the device touches it */
	enum range_kind kind;
	uint32_t index;		/* RANGE_DEVICE: of the device */
	int fd;			/* RANGE_DEVICE: of the memfd; -1: another
				 * process's, by ranges_import() */
	bool adopted;		/* RANGE_DEVICE: base is the program's */
	uint64_t freed;		/* RANGE_FREED: when, in frees */
};

int ranges_alloc_device(uint32_t index, uint64_t len_bytes, void **mem);
int ranges_alloc_pinned(uint64_t len_bytes, void **mem);
/* Waits for who holds the table. Not a range of ours: TCPX_EINVAL. */
int ranges_free(void *mem);

/* Memory of the program's own that becomes device memory: fd, mapped there
 * without access from its start. Borrows fd. TCPX_EINVAL: something is there. */
int ranges_adopt(uint32_t index, uint64_t base, uint64_t len_bytes, int fd);
/* It is not mapped there any more. Waits for who holds the table. */
void ranges_disown(uint64_t base);

void ranges_hold(void);
void ranges_release(void);
/* The range with addr in it, or the last one before it, or NULL; hold it. */
const struct range *ranges_find(uint64_t addr);
/*
 * Where [addr, addr + len) is for device index, or NULL and in words why it
 * must not be touched; hold it. any_host: memory that is in no range is the
 * program's own, and may be touched.
 */
void *ranges_at(uint32_t index, uint64_t addr, uint64_t len_bytes,
		bool any_host, char *why, size_t cap_bytes);

/* Memory of another process, by way of its descriptor. Only whole
 * allocations, and not of this process. */
int ranges_export(void *mem, uint8_t handle[GPU_IPC_BYTES]);
int ranges_import(uint32_t index, const uint8_t handle[GPU_IPC_BYTES],
		  void **mem);
/* The range with addr in it, also one of the program's own: a descriptor of it
 * (the caller's), where it begins, and how long it is. TCPX_EUNSUPPORTED:
 * there is none, or no descriptor of it; the rest is told all the same. */
int ranges_share(uint32_t index, uint64_t addr, int *fd, uint64_t *base,
		 uint64_t *all_bytes);
/* Such a range of any process; borrows fd. TCPX_EUNSUPPORTED: it is not one. */
int ranges_join(uint32_t index, int fd, uint64_t all_bytes, void **mem);

#endif
