/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_AUTOMATIC_H
#define CORE_AUTOMATIC_H

/* What settings come to whose value may be automatic: the value if it is not,
 * else what suits this machine. */

#include <stdint.h>

struct tcpx_config;

uint32_t automatic_flows(const struct tcpx_config *config);
uint32_t automatic_workers(const struct tcpx_config *config);
/* What a receiver has room for, and what a slot holds: of any transfer. */
uint32_t automatic_chunk_bytes(const struct tcpx_config *config);
/* Of one that moves host memory only. */
uint32_t automatic_host_chunk_bytes(const struct tcpx_config *config);
/* No setting: as a context has it. */
uint32_t automatic_stream_poll_us(void);

#endif
