/* SPDX-License-Identifier: Apache-2.0 */
#include "base/trace.h"

#ifdef TCPX_WITH_TRACE

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/clock.h"

#define THREADS_MAX 64u
#define RECORDS 65536u /* of a thread, the last ones */

struct record {
	uint64_t ticks;
	uint32_t kind, a;
	uint64_t b;
};

struct trace_thread {
	uint64_t n;
	struct record records[RECORDS];
};

static struct trace_thread *_Atomic threads[THREADS_MAX];
static _Atomic uint32_t n_threads;
static __thread struct trace_thread *mine;

static struct trace_thread *enroll(void)
{
	uint32_t i = add_relaxed(&n_threads, 1);
	struct trace_thread *thread = NULL;

	if (i < THREADS_MAX)
		thread = calloc(1, sizeof(*thread));
	if (thread)
		store_release(&threads[i], thread);
	return thread;
}

void trace(enum trace_kind kind, uint32_t a, uint64_t b)
{
	if (!mine)
		mine = enroll();
	if (!mine)
		return;
	mine->records[mine->n++ % RECORDS] =
		(struct record){clock_ticks(), kind, a, b};
}

/* Text: one line a record; threads may still run, and lose their last ones. */
static void write_thread(int fd, uint32_t i, struct trace_thread *thread)
{
	uint64_t n = thread->n, first = n > RECORDS ? n - RECORDS : 0;

	for (uint64_t k = first; k < n; k++) {
		const struct record *r = &thread->records[k % RECORDS];

		dprintf(fd, "%llu %u %u %u %llu\n",
			(unsigned long long)r->ticks, i, r->kind, r->a,
			(unsigned long long)r->b);
	}
}

__attribute__((destructor)) static void write_all(void)
{
	const char *stem = getenv("TRACE_TO");
	char path[512];
	int fd;

	if (!stem || !load_relaxed(&n_threads))
		return;
	snprintf(path, sizeof(path), "%s.%d", stem, (int)getpid());
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	dprintf(fd, "ticks_per_us %llu\n",
		(unsigned long long)clock_ticks_per_us());
	for (uint32_t i = 0; i < THREADS_MAX; i++) {
		struct trace_thread *thread = load_acquire(&threads[i]);

		if (thread)
			write_thread(fd, i, thread);
	}
	close(fd);
}

#endif
