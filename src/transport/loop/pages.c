/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "transport/loop/pages.h"

#define POISON 0xdb

int pages_init(struct pages *pages, uint64_t seed)
{
	pages->base =
		aligned_alloc(PAGE_BYTES, (size_t)PAGES_PER_POOL * PAGE_BYTES);
	if (!pages->base)
		return TCPX_ENOMEM;
	pthread_mutex_init(&pages->lock, NULL);
	pages->dice.state = seed;
	pages->n_free = PAGES_PER_POOL;
	for (uint32_t i = 0; i < PAGES_PER_POOL; i++)
		pages->free[i] = i;
	return TCPX_OK;
}

void pages_fini(struct pages *pages)
{
	pthread_mutex_destroy(&pages->lock);
	free(pages->base);
}

static uint32_t take_any(struct pages *pages)
{
	uint32_t i = dice_roll(&pages->dice, pages->n_free);
	uint32_t page = pages->free[i];

	pages->free[i] = pages->free[--pages->n_free];
	return page;
}

int pages_take(struct pages *pages, struct transport_fragment *fragments,
	       uint32_t n)
{
	int status = TCPX_EAGAIN;

	pthread_mutex_lock(&pages->lock);
	if (n <= pages->n_free) {
		for (uint32_t i = 0; i < n; i++) {
			uint32_t slack = PAGE_BYTES - fragments[i].len_bytes;

			fragments[i].src_off =
				(uint64_t)take_any(pages) * PAGE_BYTES +
				dice_roll(&pages->dice, slack + 1);
		}
		status = TCPX_OK;
	}
	pthread_mutex_unlock(&pages->lock);
	return status;
}

void pages_give(struct pages *pages, const struct transport_fragment *fragments,
		uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		memset(pages->base + fragments[i].src_off, POISON,
		       fragments[i].len_bytes);
	pthread_mutex_lock(&pages->lock);
	for (uint32_t i = 0; i < n; i++)
		pages->free[pages->n_free++] =
			(uint32_t)(fragments[i].src_off / PAGE_BYTES);
	pthread_mutex_unlock(&pages->lock);
}
