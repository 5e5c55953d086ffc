/* SPDX-License-Identifier: Apache-2.0 */
#include "pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "double.h"
#include "fault.h"
#include "memory.h"
#include "pool_daemon.h"
#include "rules.h"

#define EXPORT __attribute__((visibility("default")))
#define MAX_DEVICES 16
#define POISON_AT_ONCE 256u

struct pool {
	int device;
	uint8_t *base;
	uint8_t *cpu; /* where the CPU has it; NULL: nowhere */
	uint64_t first_byte, span_bytes; /* where its pages are, from base */
	pthread_mutex_t lock; /* covers what follows */
	struct dice dice;
	uint32_t n_all, n_free, n_lost;
	uint32_t n_least; /* below it a page counts as taken: pool_empty */
	uint32_t *free;
};

static pthread_mutex_t pools_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pool *pools[MAX_DEVICES];

/* Spread over a span that begins with page first, one somewhere in each stretch
 * of it, the last at the very end. */
static void spread(struct pool *pool, uint64_t first, uint64_t span_pages)
{
	uint64_t stretch = span_pages / pool->n_all;

	for (uint32_t i = 0; i < pool->n_all; i++)
		pool->free[i] = (uint32_t)(first + i * stretch +
					   dice_next(&pool->dice) % stretch);
	pool->free[pool->n_all - 1] = (uint32_t)(first + span_pages - 1);
	pool->n_free = pool->n_all;
}

/* Of a daemon, whose pool all receiving processes share. Which of them has
 * which pages, a kernel knows; here each takes a part. */
static uint64_t import(struct pool *pool, uint64_t *first)
{
	const struct double_memory *memory = memory_get();
	const char *dir = conf_get()->pool_from;
	char pci[64] = "";
	uint64_t len_bytes = 0, part_pages;
	int fd = memory->pci && memory->import &&
				 !memory->pci(pool->device, pci, sizeof(pci)) ?
			 pool_daemon_ask(dir, pci, &len_bytes) :
			 -1;
	int part = pool_daemon_part(dir);

	if (fd < 0 || part < 0)
		rules_exit("pool import failed");
	pool->base = memory->import(pool->device, fd, len_bytes);
	part_pages = len_bytes / POOL_PAGE_BYTES / POOL_DAEMON_PARTS;
	*first = (uint64_t)part * part_pages;
	return part_pages;
}

static uint64_t alloc(struct pool *pool)
{
	const struct double_memory *memory = memory_get();
	uint64_t pages = conf_get()->pool_span_bytes / POOL_PAGE_BYTES;

	if (pages < pool->n_all)
		pages = pool->n_all;
	pool->base = (memory->alloc_pool ? memory->alloc_pool : memory->alloc)(
		pool->device, pages * POOL_PAGE_BYTES);
	return pages;
}

/* Not another kind in its place: who measures would measure something else. */
static void find_cpu(struct pool *pool)
{
	const struct double_memory *memory = memory_get();
	enum pool_kind kind = conf_get()->pool_kind;

	if (memory->direct)
		pool->cpu = pool->base;
	else if (kind == POOL_HOST && memory->reach)
		pool->cpu = memory->reach(pool->device, pool->base);
	if (kind == POOL_UNKNOWN || (kind == POOL_HOST && !pool->cpu))
		rules_exit("DOUBLE_POOL_KIND names pages that cannot be had");
}

#define SCRIBBLE_BYTES (1u << 20)

/* No lock: this process is over. */
static void scribble(void)
{
	static uint8_t bytes[SCRIBBLE_BYTES];

	memset(bytes, 0xdb, sizeof(bytes));
	for (int i = 0; i < MAX_DEVICES; i++) {
		struct pool *pool = pools[i];
		uint64_t n;

		if (pool && pool->cpu) {
			memset(pool->cpu + pool->first_byte, 0xdb,
			       pool->span_bytes);
			continue;
		}
		for (uint64_t at = 0; pool && at < pool->span_bytes; at += n) {
			n = pool->span_bytes - at;
			n = n < SCRIBBLE_BYTES ? n : SCRIBBLE_BYTES;
			memory_get()->copy(i,
					   pool->base + pool->first_byte + at,
					   bytes, n);
		}
	}
}

static struct pool *make(int device)
{
	const struct conf *conf = conf_get();
	struct pool *pool = calloc(1, sizeof(*pool));
	uint64_t first = 0, span_pages;
	int64_t after;

	if (!pool)
		rules_exit("calloc failed");
	pool->device = device;
	pool->dice.state = conf->seed * 1000003u + (uint64_t)device;
	pool->n_all = conf->pool_pages;
	span_pages = conf->pool_from ? import(pool, &first) : alloc(pool);
	if (pool->n_all > span_pages)
		pool->n_all = (uint32_t)span_pages;
	pool->first_byte = first * POOL_PAGE_BYTES;
	pool->span_bytes = span_pages * POOL_PAGE_BYTES;
	pool->free = calloc(pool->n_all, sizeof(*pool->free));
	if (!pool->free || !pool->base)
		rules_exit("pool import failed");
	find_cpu(pool);
	pthread_mutex_init(&pool->lock, NULL);
	spread(pool, first, span_pages);
	atomic_store(&fault_scribble, scribble);
	if (fault_wanted("pool_empty", -1, &after))
		pool->n_least = after >= 0 && after < pool->n_all ?
					pool->n_all - (uint32_t)after :
					pool->n_all;
	return pool;
}

struct pool *pool_get(int device)
{
	struct pool *pool;

	if (device < 0 || device >= MAX_DEVICES)
		rules_exit("unknown GPU");
	pthread_mutex_lock(&pools_lock);
	if (!pools[device])
		pools[device] = make(device);
	pool = pools[device];
	pthread_mutex_unlock(&pools_lock);
	return pool;
}

void *pool_base(const struct pool *pool)
{
	return pool->base;
}

uint8_t *pool_cpu(const struct pool *pool)
{
	return pool->cpu;
}

bool pool_take(struct pool *pool, uint32_t *page)
{
	bool taken = false;
	uint32_t at;

	pthread_mutex_lock(&pool->lock);
	if (pool->n_free > pool->n_least) {
		at = dice_range(&pool->dice, 0, pool->n_free - 1);
		*page = pool->free[at];
		pool->free[at] = pool->free[--pool->n_free];
		taken = true;
	}
	pthread_mutex_unlock(&pool->lock);
	return taken;
}

static void poison_direct(struct pool *pool, const uint32_t *pages, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		memset(pool->cpu + (size_t)pages[i] * POOL_PAGE_BYTES, 0xdb,
		       POOL_PAGE_BYTES);
}

static void poison_by_copy(struct pool *pool, const uint32_t *pages, uint32_t n)
{
	uint8_t bytes[POOL_PAGE_BYTES];

	memset(bytes, 0xdb, sizeof(bytes));
	for (uint32_t i = 0; i < n; i++)
		memory_get()->copy(pool->device,
				   pool->base +
					   (size_t)pages[i] * POOL_PAGE_BYTES,
				   bytes, sizeof(bytes));
}

static void poison(struct pool *pool, const uint32_t *pages, uint32_t n)
{
	const struct double_memory *memory = memory_get();
	uint32_t to[POISON_AT_ONCE], len[POISON_AT_ONCE];

	if (pool->cpu) {
		poison_direct(pool, pages, n);
		return;
	}
	if (!memory->scatter) {
		poison_by_copy(pool, pages, n);
		return;
	}
	for (uint32_t done = 0, k; done < n; done += k) {
		for (k = 0; k < POISON_AT_ONCE && done + k < n; k++) {
			to[k] = pages[done + k] * POOL_PAGE_BYTES;
			len[k] = POOL_PAGE_BYTES;
		}
		memory->scatter(pool->device, pool->base, NULL, NULL, to, len,
				k);
	}
}

void pool_give(struct pool *pool, const uint32_t *pages, uint32_t n)
{
	if (conf_get()->poison)
		poison(pool, pages, n);
	pthread_mutex_lock(&pool->lock);
	for (uint32_t i = 0; i < n; i++)
		pool->free[pool->n_free++] = pages[i];
	pthread_mutex_unlock(&pool->lock);
}

void pool_lose(struct pool *pool, uint32_t n)
{
	pthread_mutex_lock(&pool->lock);
	pool->n_lost += n;
	pthread_mutex_unlock(&pool->lock);
}

void pool_found(struct pool *pool, uint32_t n)
{
	pthread_mutex_lock(&pool->lock);
	pool->n_lost -= n;
	pthread_mutex_unlock(&pool->lock);
}

EXPORT void double_pages(int device, uint32_t *n_all, uint32_t *n_free,
			 uint32_t *n_lost)
{
	struct pool *pool = pool_get(device);

	pthread_mutex_lock(&pool->lock);
	*n_all = pool->n_all;
	*n_free = pool->n_free;
	*n_lost = pool->n_lost;
	pthread_mutex_unlock(&pool->lock);
}
