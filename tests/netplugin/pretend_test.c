/* SPDX-License-Identifier: Apache-2.0 */

/* The double with its pool on the library's pretend GPU: device memory that
 * the CPU cannot touch, at both ends. */

#include <dlfcn.h>
#include <signal.h>
#include <sys/mman.h>

#include "check.h"
#include "drive.h"
#include "fakes/netplugin/pretend.h"
#include "fakes/netplugin/rxdm.h"
#include "gpu/host/ranges.h"
#include "support/pattern.h"

#define LEN 50000

static const struct double_memory *memory;
static struct drive_pair pair;

static void register_device(struct drive_end *end, int device)
{
	void *mem;

	CHECK_EQ(ranges_alloc_device((uint32_t)device, DRIVE_BUFFER_BYTES,
				     &mem),
		 0);
	end->data = mem;
	CHECK_EQ(drive_net->reg_mr(end->comm, mem, DRIVE_BUFFER_BYTES,
				   NETPLUGIN_PTR_CUDA, &end->mhandle),
		 0);
}

/* changed: NULL, or a table to have in place of the pretend GPU's own. */
static void begin_with(int device, const struct double_memory *changed)
{
	struct netplugin_unpack_handle handle;
	void (*set)(const struct double_memory *);

	memory = pretend_memory(NULL);
	drive_open();
	CHECK(pretend_install(getenv("TEST_DOUBLE"), NULL));
	if (changed) {
		*(void **)&set = dlsym(dlopen(getenv("TEST_DOUBLE"),
					      RTLD_NOW | RTLD_NOLOAD),
				       "double_set_memory");
		set(changed);
	}
	CHECK_EQ(drive_net->init(drive_log), 0);
	pretend_set_current(device);
	drive_listen(&pair, 0);
	while (!pair.tx.comm || !pair.rx.comm) {
		if (!pair.tx.comm)
			CHECK_EQ(drive_poll_connect(&pair, 0, 0), 0);
		if (!pair.rx.comm)
			CHECK_EQ(drive_accept(&pair, 0), 0);
	}
	CHECK_EQ(memory->owner(pair.device_handle.handle), device);
	CHECK_EQ(memory->copy(device, &handle, pair.device_handle.handle,
			      sizeof(handle)),
		 0);
	pair.meta = handle.meta;
	pair.bounce = handle.bounce;
	CHECK_EQ(memory->owner(handle.bounce), device);
}

static void begin(int device)
{
	begin_with(device, NULL);
}

static void unpack(int device, unsigned slot, uint8_t *out)
{
	const struct netplugin_unpack_entry *e = pair.meta->entries[slot];
	uint64_t sum = 0;

	for (uint64_t i = 0; i < pair.meta->counts[slot]; i++) {
		CHECK(e[i].dst_off + e[i].len_bytes <= LEN);
		CHECK_EQ(memory->copy(device, out + e[i].dst_off,
				      pair.bounce + e[i].src_off,
				      e[i].len_bytes),
			 0);
		sum += e[i].len_bytes;
	}
	CHECK_EQ(sum, LEN);
}

/* Messages, and pages that are poisoned when they are consumed. */
static void exchange(void)
{
	static uint8_t want[LEN], out[LEN], poison[LEN];
	void *rx, *tx;

	register_device(&pair.tx, 1);
	register_device(&pair.rx, 1);
	memset(poison, 0xdb, LEN);
	for (unsigned i = 0; i < 40; i++) {
		pattern_fill(want, LEN, i, 0);
		CHECK_EQ(memory->copy(1, pair.tx.data, want, LEN), 0);
		rx = drive_irecv(&pair, LEN);
		tx = drive_isend(&pair, 0, LEN);
		drive_wait_both(tx, rx);
		unpack(1, i % 16, out);
		CHECK_MEM(out, want, LEN);
		drive_consumed(&pair, rx);
		unpack(1, i % 16, out);
		CHECK_MEM(out, poison, LEN);
	}
	CHECK_EQ(drive_hits(0), 0);
}

static void bytes(void)
{
	begin(1);
	exchange();
}

static int must_not_scatter(int device, void *pool, const void *staging,
			    const uint32_t *from, const uint32_t *to,
			    const uint32_t *len, uint32_t n)
{
	CHECK(!"the GPU has no work for pages that the CPU writes");
	return -1;
}

/* Pages that the CPU reaches are written and poisoned by it alone. */
static void written_by_cpu(void)
{
	struct double_memory changed = *pretend_memory(NULL);

	changed.scatter = must_not_scatter;
	setenv("DOUBLE_POOL_KIND", "host", 1);
	begin_with(1, &changed);
	exchange();
}

static void *nowhere(int device, void *pool)
{
	return NULL;
}

static void unreached(void)
{
	struct double_memory changed = *pretend_memory(NULL);

	changed.reach = nowhere;
	setenv("DOUBLE_POOL_KIND", "host", 1);
	begin_with(0, &changed);
}

static void misspelt(void)
{
	setenv("DOUBLE_POOL_KIND", "hots", 1);
	begin(0);
}

/* In place of pages of that kind there are no others. */
static void no_other_kind(void)
{
	drive_must_exit(unreached, "DOUBLE_POOL_KIND");
	drive_must_exit(misspelt, "DOUBLE_POOL_KIND");
}

/* Its pages are a daemon's, and there the bytes are. */
static void imported(void)
{
	static struct rxdm_pool pool = {"", -1, 64u << 20};
	static uint8_t out[LEN], want[LEN];
	char dir[] = "/tmp/tcpx-rxdm-XXXXXX";
	uint64_t at;
	uint8_t *all;
	void *rx;

	CHECK(mkdtemp(dir));
	pool.fd = memfd_create("pool", MFD_CLOEXEC);
	CHECK_EQ(ftruncate(pool.fd, (off_t)pool.len_bytes), 0);
	all = mmap(NULL, pool.len_bytes, PROT_READ, MAP_SHARED, pool.fd, 0);
	CHECK(all != MAP_FAILED);
	CHECK_EQ(rxdm_serve(dir, &pool, RXDM_GOOD), 0);
	setenv("DOUBLE_POOL_FROM", dir, 1);
	begin(0);
	register_device(&pair.tx, 0);
	register_device(&pair.rx, 0);
	pattern_fill(want, LEN, 1, 0);
	CHECK_EQ(memory->copy(0, pair.tx.data, want, LEN), 0);
	rx = drive_irecv(&pair, LEN);
	drive_wait_both(drive_isend(&pair, 0, LEN), rx);
	unpack(0, 0, out);
	CHECK_MEM(out, want, LEN);
	at = pair.meta->entries[0][0].src_off;
	CHECK_MEM(all + at, want + pair.meta->entries[0][0].dst_off,
		  pair.meta->entries[0][0].len_bytes);
	drive_consumed(&pair, rx);
	rxdm_clean(dir);
}

static void imported_written_by_cpu(void)
{
	setenv("DOUBLE_POOL_KIND", "host", 1);
	imported();
}

static void touch(void)
{
	begin(0);
	signal(SIGSEGV, SIG_DFL);
	*(volatile uint8_t *)pair.bounce = 1;
}

static void other_gpus_memory(void)
{
	begin(0);
	register_device(&pair.tx, 1);
}

static void strict(void)
{
	drive_must_die(touch, SIGSEGV);
	drive_must_abort(other_gpus_memory, 7);
}

static const struct check_case cases[] = {
	{"bytes", bytes, 0},
	{"written_by_cpu", written_by_cpu, 0},
	{"no_other_kind", no_other_kind, 0},
	{"imported", imported, 0},
	{"imported_written_by_cpu", imported_written_by_cpu, 0},
	{"strict", strict, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
