/* SPDX-License-Identifier: Apache-2.0 */
#include "core/automatic.h"

#include <tcpx/p2p.h>

#include "base/cpus.h"

#define FLOWS_MAX 16
#define WORKERS_MAX 16
/* Both measured (docs/performance.md): a chunk costs a GPU as much whatever its
 * length, while what CPUs alone copy gains nothing from longer ones. */
#define CHUNK_GPU_BYTES (1u << 20)
#define CHUNK_HOST_BYTES (512u << 10)

uint32_t automatic_flows(const struct tcpx_config *config)
{
	uint32_t cpus = (uint32_t)cpus_usable();

	if (config->n_flows)
		return config->n_flows;
	if (cpus < 8)
		return 2;
	return cpus / 4 < FLOWS_MAX ? cpus / 4 : FLOWS_MAX;
}

uint32_t automatic_workers(const struct tcpx_config *config)
{
	uint32_t cpus = (uint32_t)cpus_usable();

	if (config->n_workers >= 0)
		return (uint32_t)config->n_workers;
	/* One sends while the other one gathers, or serves the control
	 * connection; beyond that, a quarter of the CPUs. On the smallest
	 * hosts the program, and a peer on the same host, need the rest: what
	 * two workers gain in speed there, threads that wait for a CPU lose. */
	if (cpus < 12)
		return cpus < 4 ? 1 : 2;
	return cpus / 4 < WORKERS_MAX ? cpus / 4 : WORKERS_MAX;
}

uint32_t automatic_chunk_bytes(const struct tcpx_config *config)
{
	return config->chunk_bytes ? config->chunk_bytes : CHUNK_GPU_BYTES;
}

uint32_t automatic_host_chunk_bytes(const struct tcpx_config *config)
{
	return config->chunk_bytes ? config->chunk_bytes : CHUNK_HOST_BYTES;
}
