/* SPDX-License-Identifier: Apache-2.0 */

/* The bare loop: isend, irecv, test, irecvConsumed, and a naive unpack: a copy
 * a fragment, or a GPU's job a chunk. */

#include <dlfcn.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "compare.h"
#include "place.h"
#include "transport/netplugin/abi.h"

#define CHUNK COMPARE_CHUNK
#define WINDOW COMPARE_WINDOW

struct bare {
	void *lcomm, *tx, *rx, *tx_mr, *rx_mr;
	uint8_t handle[NETPLUGIN_HANDLE_BYTES] __attribute__((aligned(8)));
	struct netplugin_device_handle dh, *dh_ptr;
	struct netplugin_unpack_handle unpack;
	void *sends[WINDOW], *recvs[WINDOW];
	struct gpu_job *jobs[WINDOW]; /* of what has arrived */
	unsigned sent_posted, sent, granted, arrived, consumed;
	bool waits; /* one is done, and no job was free for it */
	uint8_t *mem;
};

static void ignore(int level, unsigned long flags, const char *file, int line,
		   const char *fmt, ...)
{
}

static void open_pair(const struct netplugin_v7 *p, struct bare *b)
{
	struct netplugin_device_handle *none = NULL;

	if (p->listen(0, b->handle, &b->lcomm))
		compare_die("listen");
	b->dh_ptr = &b->dh;
	while (!b->tx || !b->rx) {
		if (!b->tx && p->connect(0, b->handle, &b->tx, &none))
			compare_die("connect");
		if (!b->rx && p->accept(b->lcomm, &b->rx, &b->dh_ptr))
			compare_die("accept");
		usleep(100);
	}
	b->mem = place_alloc(WINDOW * CHUNK);
	if (p->reg_mr(b->tx, b->mem, WINDOW * CHUNK, NETPLUGIN_PTR_CUDA,
		      &b->tx_mr) ||
	    p->reg_mr(b->rx, b->mem, CHUNK, NETPLUGIN_PTR_CUDA, &b->rx_mr))
		compare_die("regMr");
	place_read(&b->unpack, b->dh.handle, sizeof(b->unpack));
}

/* How many steps it went forward. */
static unsigned send_some(const struct netplugin_v7 *p, struct bare *b,
			  unsigned n)
{
	unsigned moved = 0;
	int done = 0;

	if (b->sent_posted < n && b->sent_posted < b->granted &&
	    b->sent_posted - b->sent < WINDOW) {
		unsigned at = b->sent_posted++ % WINDOW;

		if (p->isend(b->tx, b->mem + (size_t)at * CHUNK, CHUNK, 0,
			     b->tx_mr, &b->sends[at]))
			compare_die("isend");
		moved++;
	}
	if (b->sent < b->sent_posted) {
		if (p->test(b->sends[b->sent % WINDOW], &done, NULL))
			compare_die("test of a send");
		b->sent += (unsigned)done;
		moved += (unsigned)done;
	}
	return moved;
}

/* false: no job is free now. */
static bool unpack(struct bare *b, unsigned at, unsigned n_copies)
{
	const struct netplugin_unpack_entry *e = b->unpack.meta->entries[at];

	if (!place_begin(&b->jobs[at]))
		return false;
	for (uint64_t i = 0; n_copies && i < b->unpack.meta->counts[at]; i++)
		place_add(b->jobs[at], e[i].dst_off,
			  (uint8_t *)b->unpack.bounce + e[i].src_off,
			  e[i].len_bytes);
	place_end(b->jobs[at], n_copies);
	return true;
}

static unsigned post_some(const struct netplugin_v7 *p, struct bare *b,
			  unsigned n)
{
	unsigned at = b->granted % WINDOW;
	int size = CHUNK, tag = 0;
	void *data = b->mem;

	if (b->granted == n || b->granted - b->consumed == WINDOW)
		return 0;
	if (p->irecv(b->rx, 1, &data, &size, &tag, &b->rx_mr, &b->recvs[at]))
		compare_die("irecv");
	b->granted++;
	return 1;
}

static unsigned consume_some(const struct netplugin_v7 *p, struct bare *b)
{
	unsigned before = b->consumed;

	while (b->consumed < b->arrived &&
	       place_done(b->jobs[b->consumed % WINDOW])) {
		if (p->irecv_consumed(b->rx, 1, b->recvs[b->consumed % WINDOW]))
			compare_die("irecvConsumed");
		b->consumed++;
	}
	return b->consumed - before;
}

static unsigned receive_some(const struct netplugin_v7 *p, struct bare *b,
			     const struct run *run)
{
	unsigned moved = post_some(p, b, run->n_chunks);
	unsigned at = b->arrived % WINDOW;
	int size = CHUNK, done = 0;

	/* tested until it is done, and kept until a job is free */
	if (b->arrived < b->granted && !b->waits &&
	    p->test(b->recvs[at], &done, &size))
		compare_die("test of a receive");
	if (done || b->waits) {
		b->waits = !unpack(b, at, run->n_copies);
		b->arrived += !b->waits;
		moved += !b->waits;
		place_flush();
	}
	return moved + consume_some(p, b);
}

uint64_t compare_bare(const struct run *run)
{
	static struct bare all[COMPARE_CHANNELS];
	void *lib = dlopen(run->path, RTLD_NOW | RTLD_LOCAL);
	const struct netplugin_v7 *p = lib ? dlsym(lib, NETPLUGIN_SYMBOL_V7) :
					     NULL;
	int n_devices, done = 0;

	place_open(run->gpu);
	if (!p || p->init(ignore) || p->devices(&n_devices) || !n_devices)
		compare_die("no such plugin, or it does not start");
	for (int i = 0; i < run->n_channels; i++)
		open_pair(p, &all[i]);
	unsigned n_warm = run->n_warm * (unsigned)run->n_channels;
	uint64_t start = clock_now_ns();

	while (done < run->n_channels) {
		unsigned moved = 0, n = 0;

		done = 0;
		for (int i = 0; i < run->n_channels; i++) {
			moved += receive_some(p, &all[i], run);
			moved += send_some(p, &all[i], run->n_chunks);
			n += all[i].consumed;
			done += all[i].consumed == run->n_chunks &&
				all[i].sent == run->n_chunks;
		}
		if (n < n_warm)
			start = clock_now_ns();
		if (!moved)
			sched_yield();
	}
	return clock_now_ns() - start;
}
