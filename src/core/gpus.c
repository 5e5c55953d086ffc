/* SPDX-License-Identifier: Apache-2.0 */

/* GPUs as a program without a runtime of its own sees them. */

#include <string.h>

#include "core/memory.h"
#include "core/session.h"
#include "engine/region.h"

int tcpx_mem_gpu(struct tcpx_session *session, uint64_t mem, int32_t *gpu)
{
	struct region *region;

	if (!session_is_ours(session) || !gpu)
		return session_null(session, __func__);
	if (memory_own(session, mem, &region))
		return session_no_such(session, "registered region", mem);
	*gpu = region->gpu ? (int32_t)gpu_index(region->gpu) : -1;
	region_put(region);
	return 0;
}

uint32_t tcpx_gpu_count(struct tcpx_session *session, char *why,
			size_t cap_bytes)
{
	char unheard[128];

	if (!session_is_ours(session))
		return 0;
	return gpu_set_count(session->gpus, why ? why : unheard,
			     why ? cap_bytes : sizeof(unheard));
}

int tcpx_gpu_info(struct tcpx_session *session, uint32_t index,
		  struct tcpx_gpu_info *info)
{
	struct gpu_info found;

	if (!session_is_ours(session) || !info)
		return session_null(session, __func__);
	if (info->size_bytes < END_OF(struct tcpx_gpu_info, minor))
		return session_bad_argument(session, __func__,
					    "size_bytes is not info's");
	int err = gpu_set_info(session->gpus, index, &found);

	if (err) {
		log_error(&session->log, "gpu", "GPU %u: %s", index,
			  tcpx_strerror(err));
		return err;
	}
	struct tcpx_gpu_info full = {
		.size_bytes = info->size_bytes,
		.mem_bytes = found.mem_bytes,
		.copy_engines = found.copy_engines,
		.major = found.major,
		.minor = found.minor,
	};
	memcpy(full.name, found.name, sizeof(full.name));
	memcpy(full.pci, found.pci, sizeof(full.pci));
	memcpy(full.driver, found.driver, sizeof(full.driver));
	/* The program's may be shorter than ours, or longer. */
	memcpy(info, &full,
	       info->size_bytes < sizeof(full) ? info->size_bytes :
						 sizeof(full));
	return 0;
}

static int open_gpu(struct tcpx_session *session, uint32_t index,
		    struct gpu **gpu)
{
	char why[160] = "";

	if (!session_is_ours(session))
		return TCPX_EINVAL;
	int err = gpu_set_open(session->gpus, index, gpu, why, sizeof(why));

	if (err)
		log_error(&session->log, "gpu", "GPU %u: %s", index, why);
	return err;
}

int tcpx_gpu_alloc(struct tcpx_session *session, uint32_t index,
		   uint64_t len_bytes, void **mem)
{
	struct gpu *gpu;

	if (!mem || !len_bytes)
		return session_bad_argument(session, __func__,
					    "mem is NULL, or no bytes wanted");
	int err = open_gpu(session, index, &gpu);

	return err ? err : gpu_mem_alloc(gpu, len_bytes, mem);
}

int tcpx_gpu_free(struct tcpx_session *session, uint32_t index, void *mem)
{
	struct gpu *gpu;
	int err = open_gpu(session, index, &gpu);

	if (!err && mem)
		gpu_mem_free(gpu, mem);
	return err;
}

int tcpx_gpu_copy(struct tcpx_session *session, uint32_t index, void *dst,
		  const void *src, uint64_t len_bytes)
{
	struct gpu *gpu;
	int err = open_gpu(session, index, &gpu);

	return err ? err : gpu_copy_wait(gpu, dst, src, len_bytes);
}
