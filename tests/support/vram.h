/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_VRAM_H
#define TESTS_SUPPORT_VRAM_H

/*
 * Memory of a pretend GPU, made by the test: whatever library of this process
 * has one in it takes it for device memory (src/gpu/host/foreign.h).
 */

#include "support/pattern.h"

struct vram {
	void *dev;	/* nobody but the pretend GPU can touch it */
	uint8_t *bytes;	/* the same bytes, for the test */
	size_t map_bytes;
	int fd;
};

/* Ends the process without memory. */
void vram_init(struct vram *vram, uint32_t index, size_t len_bytes);
void vram_fini(struct vram *vram);
/* A region over its bytes. region_fini() before vram_fini(). */
void vram_region(const struct vram *vram, struct region *region,
		 size_t len_bytes, uint64_t seed);

#endif
