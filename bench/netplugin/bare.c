/* SPDX-License-Identifier: Apache-2.0 */

/* The bare loop: isend, irecv, test, irecvConsumed, and a naive unpack. */

#include <dlfcn.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "compare.h"
#include "transport/netplugin/abi.h"

#define CHUNK COMPARE_CHUNK
#define WINDOW COMPARE_WINDOW

struct bare {
	void *lcomm, *tx, *rx, *tx_mr, *rx_mr;
	uint8_t handle[NETPLUGIN_HANDLE_BYTES] __attribute__((aligned(8)));
	struct netplugin_device_handle dh, *dh_ptr;
	const struct netplugin_unpack_handle *unpack;
	void *sends[WINDOW], *recvs[WINDOW];
	unsigned sent_posted, sent, granted, arrived;
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
	b->mem = mmap(NULL, WINDOW * CHUNK, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (p->reg_mr(b->tx, b->mem, WINDOW * CHUNK, NETPLUGIN_PTR_CUDA,
		      &b->tx_mr) ||
	    p->reg_mr(b->rx, b->mem, CHUNK, NETPLUGIN_PTR_CUDA, &b->rx_mr))
		compare_die("regMr");
	b->unpack = b->dh.handle;
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

static void unpack(const struct bare *b, unsigned at, unsigned n_copies)
{
	const struct netplugin_unpack_entry *e = b->unpack->meta->entries[at];
	uint8_t *target = compare_target(), *more = target + CHUNK;

	if (n_copies == 0)
		return;
	for (uint64_t i = 0; i < b->unpack->meta->counts[at]; i++)
		memcpy(target + e[i].dst_off,
		       (uint8_t *)b->unpack->bounce + e[i].src_off,
		       e[i].len_bytes);
	for (unsigned i = 1; i < n_copies; i++)
		memcpy(more, target, CHUNK);
}

static unsigned receive_some(const struct netplugin_v7 *p, struct bare *b,
			     const struct run *run)
{
	int size = CHUNK, tag = 0, done = 0;
	unsigned moved = 0, at;
	void *data = b->mem;

	if (b->granted < run->n_chunks && b->granted - b->arrived < WINDOW) {
		at = b->granted++ % WINDOW;
		if (p->irecv(b->rx, 1, &data, &size, &tag, &b->rx_mr,
			     &b->recvs[at]))
			compare_die("irecv");
		moved++;
	}
	if (b->arrived == b->granted)
		return moved;
	at = b->arrived % WINDOW;
	if (p->test(b->recvs[at], &done, &size))
		compare_die("test of a receive");
	if (!done)
		return moved;
	unpack(b, at, run->n_copies);
	if (p->irecv_consumed(b->rx, 1, b->recvs[at]))
		compare_die("irecvConsumed");
	b->arrived++;
	return moved + 1;
}

uint64_t compare_bare(const struct run *run)
{
	static struct bare all[COMPARE_CHANNELS];
	void *lib = dlopen(run->path, RTLD_NOW | RTLD_LOCAL);
	const struct netplugin_v7 *p = lib ? dlsym(lib, NETPLUGIN_SYMBOL_V7) :
					     NULL;
	int n_devices, done = 0;

	if (!p || p->init(ignore) || p->devices(&n_devices) || !n_devices)
		compare_die("no such plugin, or it does not start");
	for (int i = 0; i < run->n_channels; i++)
		open_pair(p, &all[i]);
	uint64_t start = clock_now_ns();

	while (done < run->n_channels) {
		unsigned moved = 0;

		done = 0;
		for (int i = 0; i < run->n_channels; i++) {
			moved += receive_some(p, &all[i], run);
			moved += send_some(p, &all[i], run->n_chunks);
			done += all[i].arrived == run->n_chunks &&
				all[i].sent == run->n_chunks;
		}
		if (!moved)
			sched_yield();
	}
	return clock_now_ns() - start;
}
