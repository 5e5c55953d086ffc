/* SPDX-License-Identifier: Apache-2.0 */
#include "core/automatic.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tcpx/p2p.h>
#include <unistd.h>

#include "base/cpus.h"

#define FLOWS_MAX 16
#define WORKERS_MAX 16
#define GPUS_MAX 64
/* Both measured (docs/performance.md): a chunk costs a GPU as much whatever its
 * length, while what CPUs alone copy gains nothing from longer ones. */
#define CHUNK_GPU_BYTES (1u << 20)
#define CHUNK_HOST_BYTES (512u << 10)
/* Of many CPUs one is free for who is woken, and what spins longer only takes
 * more of their time; of few the sleeper wakes on its peer's. Measured, too. */
#define STREAM_POLL_US 100
#define STREAM_POLL_FEW_US 400
#define FEW_CPUS 4

uint32_t automatic_flows(const struct tcpx_config *config)
{
	if (config->n_flows)
		return config->n_flows;
	uint32_t cpus = (uint32_t)cpus_usable();

	if (cpus < 8)
		return 2;
	return cpus / 4 < FLOWS_MAX ? cpus / 4 : FLOWS_MAX;
}

/* Device nodes: a container has those of its GPUs only. */
static uint32_t count_nodes(const char *dev_dir)
{
	char path[256];
	uint32_t n = 0;

	for (int i = 0; i < GPUS_MAX; i++) {
		snprintf(path, sizeof(path), "%s/nvidia%d", dev_dir, i);
		n += access(path, F_OK) == 0;
	}
	return n;
}

/* PCI devices that the driver has: of the whole host, in a container, too. */
static uint32_t count_bound(const char *driver_dir)
{
	struct dirent *entry;
	DIR *dir = opendir(driver_dir);
	uint32_t n = 0;

	if (!dir)
		return 0;
	while ((entry = readdir(dir)))
		n += strchr(entry->d_name, ':') != NULL;
	closedir(dir);
	return n;
}

/* As CUDA reads the variable: what is behind a number below 0 does not count.
 */
static uint32_t count_visible(const char *visible)
{
	uint32_t n = 0;

	while (*visible && *visible != '-') {
		n++;
		visible += strcspn(visible, ",");
		visible += *visible == ',';
	}
	return n;
}

struct automatic_gpus automatic_gpus(const char *driver_dir,
				     const char *dev_dir, const char *visible)
{
	struct automatic_gpus gpus = {.here = count_nodes(dev_dir),
				      .all = count_bound(driver_dir)};
	uint32_t n = visible ? count_visible(visible) : gpus.here;

	gpus.here = n < gpus.here ? n : gpus.here;
	return gpus;
}

/* Where nothing else runs, more are faster; but a host that moves memory has
 * programs that need it, and threads of theirs that wait for a CPU cost more. */
uint32_t automatic_part(uint32_t usable, uint32_t of_host,
			struct automatic_gpus gpus)
{
	uint32_t part = usable, n;

	if (gpus.here && gpus.here < gpus.all)
		part = of_host * gpus.here / gpus.all;
	n = (part < usable ? part : usable) / 4;
	return !n ? 1 : n < WORKERS_MAX ? n : WORKERS_MAX;
}

uint32_t automatic_workers(const struct tcpx_config *config)
{
	struct automatic_gpus gpus = {0};

	if (config->n_workers >= 0)
		return (uint32_t)config->n_workers;
	if (!strcmp(config->gpu, "auto") || !strcmp(config->gpu, "cuda"))
		gpus = automatic_gpus("/sys/bus/pci/drivers/nvidia", "/dev",
				      getenv("CUDA_VISIBLE_DEVICES"));
	return automatic_part((uint32_t)cpus_usable(), (uint32_t)cpus_of_host(),
			      gpus);
}

uint32_t automatic_chunk_bytes(const struct tcpx_config *config)
{
	return config->chunk_bytes ? config->chunk_bytes : CHUNK_GPU_BYTES;
}

uint32_t automatic_host_chunk_bytes(const struct tcpx_config *config)
{
	return config->chunk_bytes ? config->chunk_bytes : CHUNK_HOST_BYTES;
}

uint32_t automatic_stream_poll_us(void)
{
	return cpus_usable() < FEW_CPUS ? STREAM_POLL_FEW_US : STREAM_POLL_US;
}
