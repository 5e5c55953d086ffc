/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_MEMORY_H
#define CORE_MEMORY_H

/* Regions: our own (engine/region.h) and those loaded from peers' memory
 * blobs. Both maps are changed under session->mem_lock. */

#include <stdint.h>

#include "wire/hello.h"

struct region;
struct tcpx_session;

/* A region of a peer, as its memory blob described it. */
struct remote_mem {
	uint8_t session[SESSION_ID_BYTES]; /* whose */
	uint64_t mem, key;
	uint64_t len_bytes;
	uint32_t access;
	uint32_t device;	/* 0: host memory */
};

/* Our region, referenced; TCPX_ENOENT. */
int memory_own(struct tcpx_session *session, uint64_t mem, struct region **out);
/* A copy; TCPX_ENOENT. */
int memory_remote(struct tcpx_session *session, uint64_t mem,
		  struct remote_mem *out);

#endif
