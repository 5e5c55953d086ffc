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

uint32_t automatic_workers(const struct tcpx_config *config)
{
	if (config->n_workers >= 0)
		return (uint32_t)config->n_workers;
	uint32_t cpus = (uint32_t)cpus_usable();

	/* One sends while the other one gathers, or serves the control
	 * connection; beyond that, a quarter of the CPUs. On the smallest
	 * hosts the program, and a peer on the same host, need the rest: what
	 * two workers gain in speed there, threads that wait for a CPU lose. */
	if (cpus < 12)
		return cpus < FEW_CPUS ? 1 : 2;
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

uint32_t automatic_stream_poll_us(void)
{
	return cpus_usable() < FEW_CPUS ? STREAM_POLL_FEW_US : STREAM_POLL_US;
}
