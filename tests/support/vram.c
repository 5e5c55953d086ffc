/* SPDX-License-Identifier: Apache-2.0 */
#include "support/vram.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void vram_init(struct vram *vram, uint32_t index, size_t len_bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char name[32];

	vram->map_bytes = (len_bytes + page - 1) / page * page;
	snprintf(name, sizeof(name), "tcpx-gpu-%u", index);
	vram->fd = memfd_create(name, MFD_CLOEXEC);
	if (vram->fd < 0 || ftruncate(vram->fd, (off_t)vram->map_bytes))
		goto err_memory;
	vram->dev =
		mmap(NULL, vram->map_bytes, PROT_NONE, MAP_SHARED, vram->fd, 0);
	vram->bytes = mmap(NULL, vram->map_bytes, PROT_READ | PROT_WRITE,
			   MAP_SHARED, vram->fd, 0);
	if (vram->dev == MAP_FAILED || (void *)vram->bytes == MAP_FAILED)
		goto err_memory;
	return;
err_memory:
	perror("vram_init");
	_exit(1);
}

void vram_fini(struct vram *vram)
{
	munmap(vram->dev, vram->map_bytes);
	munmap(vram->bytes, vram->map_bytes);
	close(vram->fd);
}

void vram_region(const struct vram *vram, struct region *region,
		 size_t len_bytes, uint64_t seed)
{
	*region = (struct region){.data = vram->bytes, .len_bytes = len_bytes};
	region->want = malloc(len_bytes);
	if (!region->want)
		_exit(1);
	pattern_fill(region->data, len_bytes, seed, 0);
	memcpy(region->want, region->data, len_bytes);
}
