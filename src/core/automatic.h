/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_AUTOMATIC_H
#define CORE_AUTOMATIC_H

/* What settings come to whose value may be automatic: the value if it is not,
 * else what suits this machine. */

#include <stdint.h>

struct tcpx_config;

uint32_t automatic_flows(const struct tcpx_config *config);
/* A quarter of the CPUs, that is of those which this process may use, and of
 * its GPUs' part of the host's, if it has some of the host's GPUs only: its
 * neighbours have the others. At least 1, at most 16. */
uint32_t automatic_workers(const struct tcpx_config *config);
/* What a receiver has room for, and what a slot holds: of any transfer. */
uint32_t automatic_chunk_bytes(const struct tcpx_config *config);
/* Of one that moves host memory only. */
uint32_t automatic_host_chunk_bytes(const struct tcpx_config *config);
/* No setting: as a context has it. */
uint32_t automatic_stream_poll_us(void);

/* ---- how it is reckoned -------------------------------------------------- */

struct automatic_gpus {
	uint32_t here, all; /* this process's, the host's; 0: none are known */
};

/* From the folder of the PCI driver, the folder of device nodes, and
 * CUDA_VISIBLE_DEVICES, or NULL: no driver is asked or loaded. */
struct automatic_gpus automatic_gpus(const char *driver_dir,
				     const char *dev_dir, const char *visible);
/* Workers for so many usable CPUs, on a host with so many. */
uint32_t automatic_part(uint32_t usable, uint32_t of_host,
			struct automatic_gpus gpus);

#endif
