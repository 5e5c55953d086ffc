/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/spares.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE (2ul << 20)
#define HUGE_FROM (4ul << 20) /* bytes */

void spares_init(struct spares *spares)
{
	memset(spares, 0, sizeof(*spares));
	pthread_mutex_init(&spares->lock, NULL);
}

void spares_fini(struct spares *spares)
{
	for (uint32_t i = 0; i < spares->n; i++)
		free(spares->kept[i].mem);
	spares->n = 0;
	spares->sum_bytes = 0;
	pthread_mutex_destroy(&spares->lock);
}

/* First touching much memory costs more in small pages than filling it. */
static void *make(size_t *len_bytes)
{
	if (*len_bytes < HUGE_FROM)
		return malloc(*len_bytes);
	*len_bytes = (*len_bytes + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	void *mem = aligned_alloc(HUGE_PAGE, *len_bytes);

	if (mem)
		madvise(mem, *len_bytes, MADV_HUGEPAGE);
	return mem;
}

/* Lock held. */
static struct spare take_out(struct spares *spares, uint32_t i)
{
	struct spare spare = spares->kept[i];

	spares->n--;
	spares->sum_bytes -= spare.len_bytes;
	memmove(&spares->kept[i], &spares->kept[i + 1],
		(spares->n - i) * sizeof(*spares->kept));
	return spare;
}

/* The shortest that will do, and is not twice as long as it has to be; n if
 * there is none. Lock held. */
static uint32_t find_fit(const struct spares *spares, size_t len_bytes)
{
	uint32_t found = spares->n;

	for (uint32_t i = 0; i < spares->n; i++) {
		size_t have = spares->kept[i].len_bytes;

		if (have < len_bytes || have / 2 > len_bytes)
			continue;
		if (found == spares->n || have < spares->kept[found].len_bytes)
			found = i;
	}
	return found;
}

void *spares_get(struct spares *spares, size_t *len_bytes)
{
	struct spare got = {NULL, 0};

	if (!spares || *len_bytes < SPARES_FROM)
		return make(len_bytes);
	pthread_mutex_lock(&spares->lock);
	uint32_t i = find_fit(spares, *len_bytes);

	if (i < spares->n)
		got = take_out(spares, i);
	pthread_mutex_unlock(&spares->lock);
	if (!got.mem)
		return make(len_bytes);
	*len_bytes = got.len_bytes;
	return got.mem;
}

void spares_put(struct spares *spares, void *mem, size_t len_bytes)
{
	struct spare out[SPARES_MAX];
	uint32_t n = 0;

	if (!spares || !mem || len_bytes < SPARES_FROM ||
	    len_bytes > SPARES_BYTES_MAX) {
		free(mem);
		return;
	}
	pthread_mutex_lock(&spares->lock);
	while (spares->n == SPARES_MAX ||
	       spares->sum_bytes + len_bytes > SPARES_BYTES_MAX)
		out[n++] = take_out(spares, 0);
	spares->kept[spares->n++] = (struct spare){mem, len_bytes};
	spares->sum_bytes += len_bytes;
	pthread_mutex_unlock(&spares->lock);
	while (n)
		free(out[--n].mem);
}
