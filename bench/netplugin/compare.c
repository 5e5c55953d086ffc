/* SPDX-License-Identifier: Apache-2.0 */

/*
 * usage: compare PLUGIN.so [ROUNDS]
 * The net plugin transport, in process and in a helper, against a bare loop of
 * isend, irecv, test and irecvConsumed with a naive unpack over the same
 * plugin: 1, 2, 4 and 8 channels of 512 KiB chunks, both ends in one process.
 * Each measurement is a process of its own; the three of a round follow each
 * other, and ratios are of the same round. Prints medians. Meant for the
 * double of tests/fakes/netplugin over loopback, in host memory.
 */

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "transport/netplugin/abi.h"
#include "transport/transport.h"

#define CHUNK (512u << 10)
#define WINDOW 16u
#define CHANNELS_MAX 8
#define TOTAL_CHUNKS 1024u
#define ROUNDS_MAX 51

static uint8_t *target; /* where chunks are put together */

static void die(const char *what)
{
	fprintf(stderr, "compare: %s\n", what);
	exit(1);
}

/* ---- the bare loop ----------------------------------------------------- */

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

static void bare_open(const struct netplugin_v7 *p, struct bare *b)
{
	struct netplugin_device_handle *none = NULL;

	if (p->listen(0, b->handle, &b->lcomm))
		die("listen");
	b->dh_ptr = &b->dh;
	while (!b->tx || !b->rx) {
		if (!b->tx && p->connect(0, b->handle, &b->tx, &none))
			die("connect");
		if (!b->rx && p->accept(b->lcomm, &b->rx, &b->dh_ptr))
			die("accept");
		usleep(100);
	}
	b->mem = mmap(NULL, WINDOW * CHUNK, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (p->reg_mr(b->tx, b->mem, WINDOW * CHUNK, NETPLUGIN_PTR_CUDA,
		      &b->tx_mr) ||
	    p->reg_mr(b->rx, b->mem, CHUNK, NETPLUGIN_PTR_CUDA, &b->rx_mr))
		die("regMr");
	b->unpack = b->dh.handle;
}

static void bare_send(const struct netplugin_v7 *p, struct bare *b, unsigned n)
{
	int done = 0;

	if (b->sent_posted < n && b->sent_posted < b->granted &&
	    b->sent_posted - b->sent < WINDOW) {
		unsigned at = b->sent_posted++ % WINDOW;

		if (p->isend(b->tx, b->mem + (size_t)at * CHUNK, CHUNK, 0,
			     b->tx_mr, &b->sends[at]))
			die("isend");
	}
	if (b->sent < b->sent_posted) {
		if (p->test(b->sends[b->sent % WINDOW], &done, NULL))
			die("test of a send");
		b->sent += done;
	}
}

static void bare_receive(const struct netplugin_v7 *p, struct bare *b,
			 unsigned n)
{
	int size = CHUNK, tag = 0, done = 0;
	void *data = b->mem;

	if (b->granted < n && b->granted - b->arrived < WINDOW)
		if (p->irecv(b->rx, 1, &data, &size, &tag, &b->rx_mr,
			     &b->recvs[b->granted++ % WINDOW]))
			die("irecv");
	if (b->arrived == b->granted)
		return;
	if (p->test(b->recvs[b->arrived % WINDOW], &done, &size))
		die("test of a receive");
	if (!done)
		return;
	unsigned at = b->arrived % WINDOW;
	const struct netplugin_unpack_entry *e = b->unpack->meta->entries[at];

	for (uint64_t i = 0; i < b->unpack->meta->counts[at]; i++)
		memcpy(target + e[i].dst_off,
		       (uint8_t *)b->unpack->bounce + e[i].src_off,
		       e[i].len_bytes);
	if (p->irecv_consumed(b->rx, 1, b->recvs[at]))
		die("irecvConsumed");
	b->arrived++;
}

static uint64_t run_bare(const char *path, int n_channels)
{
	static struct bare all[CHANNELS_MAX];
	unsigned n = TOTAL_CHUNKS / (unsigned)n_channels;
	void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const struct netplugin_v7 *p = lib ? dlsym(lib, NETPLUGIN_SYMBOL_V7) :
					     NULL;
	int n_devices, done = 0;

	if (!p || p->init(ignore) || p->devices(&n_devices) || !n_devices)
		die("no such plugin, or it does not start");
	for (int i = 0; i < n_channels; i++)
		bare_open(p, &all[i]);
	uint64_t start = clock_now_ns();

	while (done < n_channels) {
		done = 0;
		for (int i = 0; i < n_channels; i++) {
			bare_receive(p, &all[i], n);
			bare_send(p, &all[i], n);
			done += all[i].arrived == n && all[i].sent == n;
		}
	}
	return clock_now_ns() - start;
}

/* ---- ours -------------------------------------------------------------- */

struct ours {
	struct channel *tx, *rx;
	struct listener *listener;
	unsigned sent_posted, sent, granted, arrived;
};

static const struct transport_ops *ops;

static void ours_open(struct transport *t, struct ours *o)
{
	int connecting = TCPX_INPROGRESS, accepting = TCPX_INPROGRESS;
	uint8_t addr[TRANSPORT_ADDR_MAX];
	size_t addr_bytes;

	if (ops->listen(t, 0, &o->listener, addr, &addr_bytes))
		die("our listen");
	while (connecting || accepting) {
		if (connecting)
			connecting =
				ops->connect(t, 0, addr, addr_bytes, &o->tx);
		if (accepting)
			accepting = ops->accept(o->listener, &o->rx);
		if (connecting < 0 || accepting < 0)
			die("our connect or accept");
		usleep(100);
	}
}

static void place(struct ours *o, const struct channel_event *event)
{
	for (uint32_t i = 0; i < event->n_fragments; i++) {
		const struct transport_fragment *f = &event->fragments[i];

		memcpy(target + f->dst_off, event->base + f->src_off,
		       f->len_bytes);
	}
	ops->consume(o->rx, event->cookie);
	o->arrived++;
}

static void ours_run(struct ours *o, unsigned n)
{
	struct channel_event events[WINDOW];
	int got;

	while (o->granted < n && !ops->post_recv(o->rx, o->granted))
		o->granted++;
	got = ops->poll(o->rx, events, WINDOW);
	for (int i = 0; i < got; i++) {
		if (events[i].kind != CHANNEL_ARRIVED)
			die(events[i].cause);
		place(o, &events[i]);
	}
	while (o->sent_posted < n && o->sent_posted < o->granted) {
		struct chunk_desc desc = {.len_bytes = CHUNK};
		struct span span = {.len_bytes = CHUNK};

		if (ops->slot_get(o->tx, NULL, &span.base))
			break;
		if (ops->post_send(o->tx, &desc, &span, 1, o->sent_posted)) {
			ops->slot_put(o->tx, span.base);
			break;
		}
		o->sent_posted++;
	}
	got = ops->poll(o->tx, events, WINDOW);
	for (int i = 0; i < got; i++)
		if (events[i].kind != CHANNEL_SENT)
			die(events[i].cause);
	o->sent += (unsigned)(got > 0 ? got : 0);
}

static uint64_t run_ours(const char *path, int n_channels, bool isolated)
{
	static struct ours all[CHANNELS_MAX];
	struct transport_params params = {.chunk_bytes = CHUNK};
	unsigned n = TOTAL_CHUNKS / (unsigned)n_channels;
	struct transport *t;
	int done = 0;

	setenv("TCPX_NETPLUGIN_PATH", path, 1);
	setenv("TCPX_NETPLUGIN_ISOLATE", isolated ? "1" : "0", 1);
	setenv("TCPX_NETPLUGIN_SLOTS", "16", 1);
	ops = transport_find("netplugin");
	if (ops->open(&params, &t))
		die("the transport does not open");
	for (int i = 0; i < n_channels; i++)
		ours_open(t, &all[i]);
	uint64_t start = clock_now_ns();

	while (done < n_channels) {
		done = 0;
		for (int i = 0; i < n_channels; i++) {
			ours_run(&all[i], n);
			done += all[i].arrived == n && all[i].sent == n;
		}
	}
	return clock_now_ns() - start;
}

/* ---- measuring --------------------------------------------------------- */

/* In a process of its own: GB/s. */
static double measure(const char *path, int n_channels, int way)
{
	uint64_t ns = 0;
	int fds[2];

	if (pipe(fds))
		die("no pipe");
	pid_t pid = fork();
	if (pid == 0) {
		target = malloc(CHUNK);
		ns = way == 0 ? run_bare(path, n_channels) :
				run_ours(path, n_channels, way == 2);
		if (write(fds[1], &ns, sizeof(ns)) < 0)
			_exit(1);
		_exit(0);
	}
	close(fds[1]);
	if (read(fds[0], &ns, sizeof(ns)) != sizeof(ns))
		die("a measurement failed");
	close(fds[0]);
	waitpid(pid, NULL, 0);
	return (double)TOTAL_CHUNKS * CHUNK / (double)ns;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, int n)
{
	qsort(values, (size_t)n, sizeof(*values), by_value);
	return values[n / 2];
}

static void set_up(void)
{
	setenv("TCPX_NETPLUGIN_ALLOW", "loopback,daemon,pci,numa,device-memory",
	       0);
	setenv("TCPX_NETPLUGIN_MAP", "0=lo", 0);
	setenv("NCCL_DYNAMIC_CHUNK_SIZE", "524288", 0);
	setenv("NCCL_NSOCKS_PERTHREAD", "1", 0);
	setenv("NCCL_GPUDIRECTTCPX_SOCKET_IFNAME", "lo", 0);
	setenv("NCCL_GPUDIRECTTCPX_PROGRAM_FLOW_STEERING_WAIT_MICROS", "1000",
	       0);
	setenv("DOUBLE_MODE", "faithful", 0);
	setenv("DOUBLE_POISON", "0", 0);
	setenv("DOUBLE_FRAG_MIN", "4096", 0);
	setenv("DOUBLE_POOL_PAGES", "65536", 0);
}

int main(int argc, char **argv)
{
	double bare[ROUNDS_MAX], inside[ROUNDS_MAX], helper[ROUNDS_MAX];
	int rounds = argc > 2 ? atoi(argv[2]) : 5;

	if (argc < 2 || rounds < 1 || rounds > ROUNDS_MAX)
		die("usage: compare PLUGIN.so [ROUNDS]");
	set_up();
	printf("channels  bare GB/s  in process  ratio  helper  ratio\n");
	for (int n = 1; n <= CHANNELS_MAX; n *= 2) {
		double ratio_in[ROUNDS_MAX], ratio_out[ROUNDS_MAX];

		for (int i = 0; i < rounds; i++) {
			bare[i] = measure(argv[1], n, 0);
			inside[i] = measure(argv[1], n, 1);
			helper[i] = measure(argv[1], n, 2);
			ratio_in[i] = inside[i] / bare[i];
			ratio_out[i] = helper[i] / bare[i];
		}
		printf("%8d  %9.2f  %10.2f  %5.2f  %6.2f  %5.2f\n", n,
		       median(bare, rounds), median(inside, rounds),
		       median(ratio_in, rounds), median(helper, rounds),
		       median(ratio_out, rounds));
		fflush(stdout);
	}
	return 0;
}
