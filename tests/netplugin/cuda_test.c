/* SPDX-License-Identifier: Apache-2.0 */

/* The double with its pool on a real GPU. Skipped without one. */

#include <dlfcn.h>
#include <signal.h>

#include "check.h"
#include "drive.h"
#include "fakes/netplugin/cuda_pool.h"
#include "fakes/netplugin/double.h"
#include "support/pattern.h"
#include "support/scale.h"

static const struct double_memory *memory;
static struct drive_pair pair;
static uint8_t *mapped; /* host memory that the GPU reaches */

/* Makes the first device's primary context current. */
static void need_gpu(void)
{
	void *lib = dlopen("libcuda.so.1", RTLD_NOW);
	int (*init)(unsigned flags), (*count)(int *n), (*push)(void *ctx);
	int (*retain)(void **ctx, int device);
	void *ctx;
	int n = 0;

	if (!lib)
		SKIP("no libcuda");
	*(void **)&init = dlsym(lib, "cuInit");
	*(void **)&count = dlsym(lib, "cuDeviceGetCount");
	*(void **)&retain = dlsym(lib, "cuDevicePrimaryCtxRetain");
	*(void **)&push = dlsym(lib, "cuCtxPushCurrent_v2");
	CHECK(init && count && retain && push);
	if (init(0) || count(&n) || n < 1)
		SKIP("no CUDA device");
	CHECK_EQ(retain(&ctx, 0), 0);
	CHECK_EQ(push(ctx), 0);
}

static void register_device(struct drive_end *end)
{
	uint8_t *mem = memory->alloc(0, DRIVE_BUFFER_BYTES + 4096);

	CHECK(mem);
	end->data = mem + (4096 - (uintptr_t)mem % 4096);
	CHECK_EQ(drive_net->reg_mr(end->comm, end->data, DRIVE_BUFFER_BYTES,
				   NETPLUGIN_PTR_CUDA, &end->mhandle),
		 0);
}

static void begin(void)
{
	struct netplugin_unpack_handle handle;
	const struct double_memory *(*now)(void);

	need_gpu();
	setenv("DOUBLE_MEMORY", "auto", 1);
	drive_load();
	*(void **)&now =
		dlsym(dlopen(getenv("TEST_DOUBLE"), RTLD_NOW | RTLD_NOLOAD),
		      "double_memory_now");
	drive_listen(&pair, 0);
	memory = now();
	CHECK_STR(memory->name, "cuda");
	while (!pair.tx.comm || !pair.rx.comm) {
		if (!pair.tx.comm)
			CHECK_EQ(drive_poll_connect(&pair, 0, 0), 0);
		if (!pair.rx.comm)
			CHECK_EQ(drive_accept(&pair, 0), 0);
	}
	CHECK_EQ(memory->owner(pair.device_handle.handle), 0);
	CHECK_EQ(memory->copy(0, &handle, pair.device_handle.handle,
			      sizeof(handle)),
		 0);
	CHECK(handle.head == UINT64_MAX);
	pair.meta = handle.meta;
	pair.bounce = handle.bounce;
	register_device(&pair.tx);
	register_device(&pair.rx);
	mapped = memory->alloc_mapped(0, DRIVE_BUFFER_BYTES);
	CHECK(mapped);
}

static void unpack(unsigned slot, uint8_t *out, size_t len)
{
	const struct netplugin_unpack_entry *e = pair.meta->entries[slot];
	uint64_t sum = 0;

	for (uint64_t i = 0; i < pair.meta->counts[slot]; i++) {
		CHECK(e[i].dst_off + e[i].len_bytes <= len);
		CHECK_EQ(memory->copy(0, out + e[i].dst_off,
				      pair.bounce + e[i].src_off,
				      e[i].len_bytes),
			 0);
		sum += e[i].len_bytes;
	}
	CHECK_EQ(sum, len);
}

static void exchange(void)
{
	static uint8_t want[DRIVE_CHUNK_BYTES], poison[DRIVE_CHUNK_BYTES];
	void *rx, *tx;

	memset(poison, 0xdb, sizeof(poison));
	for (unsigned i = 0; i < 40; i++) {
		int len = DRIVE_CHUNK_BYTES - (int)i * 999;

		pattern_fill(want, (size_t)len, i, 0);
		memcpy(mapped, want, (size_t)len);
		CHECK_EQ(memory->copy(0, pair.tx.data, mapped, (size_t)len), 0);
		rx = drive_irecv(&pair, len);
		tx = drive_isend(&pair, 0, len);
		drive_wait_both(tx, rx);
		unpack(i % 16, mapped, (size_t)len);
		CHECK_MEM(mapped, want, (size_t)len);
		drive_consumed(&pair, rx);
		unpack(i % 16, mapped, (size_t)len);
		CHECK_MEM(mapped, poison, (size_t)len);
	}
	CHECK_EQ(drive_hits(0), 0);
}

static void bytes(void)
{
	begin();
	CHECK_EQ(memory->owner(pair.bounce), 0);
	exchange();
}

/* Pages that the CPU writes to, in place. */
static void bytes_in_host_memory(void)
{
	size_t len_bytes = 1;

	need_gpu();
	if (cuda_pool_make(0, CUDA_POOL_HOST, &len_bytes) < 0)
		SKIP("the driver exports no host memory");
	setenv("DOUBLE_POOL_KIND", "host", 1);
	begin();
	exchange();
}

static const struct check_case cases[] = {
	{"bytes", bytes, 60},
	{"bytes_in_host_memory", bytes_in_host_memory, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
