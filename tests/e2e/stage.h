/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_E2E_STAGE_H
#define TESTS_E2E_STAGE_H

/*
 * Where the evil peer (evil.h) plays: a victim session b with a region open
 * to all and one without rights, and a good peer a that is served meanwhile.
 */

#include "e2e/evil.h"

#define SOON scale_ms(6000)
#define STAGE_LEN (1u << 20)

struct stage {
	struct pair pair;
	struct region src, dst, only_local;
	uint64_t good_xfer;
	struct evil evil;
	/* The victim's regions, as its blobs tell them. */
	struct mem_blob_entry open_mem, closed_mem;
};

extern struct stage stage;

void stage_open(void);
void stage_close(void);
/* What the victim's blobs tell of a region. */
void stage_describe(uint64_t mem, struct mem_blob_entry *entry);
/* The victim's memory is as it was, and a's WRITE is served. */
void others_go_on(void);
/* The victim's word that it lost the evil peer. */
void wait_lost(int *status);

/* The other way round, once evil_open() is through: the evil peer as the victim
 * knows it, and memory that it says it has. */
uint64_t stage_evil_peer(void);
uint64_t stage_evil_mem(uint64_t len_bytes);

/* A WRITE or READ request, and a list of one segment, as they should be. */
void say_write(uint16_t type, uint64_t xfer, uint64_t list,
	       uint64_t total_bytes);
void good_list(uint64_t id, uint32_t len);

#endif
