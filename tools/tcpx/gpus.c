/* SPDX-License-Identifier: Apache-2.0 */
#include "gpus.h"

#include "nearest.h"

#include <stdio.h>

static json_t *describe(uint32_t index, const struct tcpx_gpu_info *info)
{
	char capability[24];
	json_t *gpu;

	snprintf(capability, sizeof(capability), "%u.%u", info->major,
		 info->minor);
	gpu = json_pack("{si ss ss ss sI sI ss}", "gpu", (int)index, "name",
			info->name, "pci", info->pci, "driver", info->driver,
			"memory_bytes", (json_int_t)info->mem_bytes,
			"copy_engines", (json_int_t)info->copy_engines,
			"compute_capability", capability);
	nearest_add(gpu, info->pci);
	return gpu;
}

json_t *gpus_list(struct tcpx_session *session, char *why, size_t cap_bytes)
{
	struct tcpx_gpu_info info;
	json_t *list = json_array();
	uint32_t n;

	why[0] = '\0';
	n = tcpx_gpu_count(session, why, cap_bytes);
	if (n)
		why[0] = '\0';
	else if (!why[0])
		snprintf(why, cap_bytes, "no reason given");
	for (uint32_t i = 0; i < n; i++) {
		info = (struct tcpx_gpu_info){.size_bytes = sizeof(info)};
		if (!tcpx_gpu_info(session, i, &info))
			json_array_append_new(list, describe(i, &info));
	}
	return list;
}

const char *gpus_line(const json_t *gpu, char *buf, size_t cap_bytes)
{
	const char *name = "", *pci = "", *driver = "";
	json_int_t bytes = 0;
	int index = 0;

	json_unpack((json_t *)gpu, "{si ss ss ss sI}", "gpu", &index, "name",
		    &name, "pci", &pci, "driver", &driver, "memory_bytes",
		    &bytes);
	snprintf(buf, cap_bytes, "gpu:%d  %s%s%s, %.0f GiB, %s", index, name,
		 *pci ? ", " : "", pci, (double)bytes / (1ull << 30), driver);
	return buf;
}
