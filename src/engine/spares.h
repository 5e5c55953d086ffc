/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_SPARES_H
#define ENGINE_SPARES_H

/*
 * Memory of long lists that are gone, kept for the next ones. Programs that
 * make each transfer anew need as much again and again, and touching new
 * memory for the first time costs more than what is written to it. Bounded in
 * number and bytes; the oldest go first.
 *
 * Threads: any; one lock, not held over a system call.
 */

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define SPARES_MAX 16
#define SPARES_BYTES_MAX (32ul << 20)
#define SPARES_FROM (64ul << 10) /* shorter ones the allocator has at hand */

struct spare {
	void *mem;
	size_t len_bytes;
};

struct spares {
	pthread_mutex_t lock; /* all that follows */
	struct spare kept[SPARES_MAX]; /* the oldest first */
	uint32_t n;
	size_t sum_bytes;
};

void spares_init(struct spares *spares);
/* Frees what is kept. */
void spares_fini(struct spares *spares);
/* At least len_bytes, which becomes what there is; not set to zero. spares
 * NULL: new memory. NULL: there is none. */
void *spares_get(struct spares *spares, size_t *len_bytes);
/* Keeps or frees it. mem, spares: NULL is allowed. */
void spares_put(struct spares *spares, void *mem, size_t len_bytes);

#endif
