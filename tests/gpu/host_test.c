/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "gpu/fixture.h"
#include "gpu/driver.h"
#include "support/pass.h"
#include "support/scale.h"
#include "support/vram.h"

/* The pretend GPU is strict: what would fail on a real one fails on it. */

#define MIB (1u << 20)

/* ---- stray accesses of the CPU ----------------------------------------- */

static uint8_t *stray; /* what the child touches */

static void child_reads(void)
{
	_exit(*(volatile uint8_t *)stray);
}

static void child_writes(void)
{
	*(volatile uint8_t *)stray = 1;
	_exit(0);
}

static void child_copies(void)
{
	uint8_t here[64];

	memcpy(here, stray, sizeof(here));
	_exit(here[3]);
}

/* Does fn, in a process of its own, die of touching what it must not? */
static void check_dies(void (*fn)(void))
{
	struct rlimit none = {0, 0};
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &none);
		/* Whatever a sanitizer would rather do. */
		signal(SIGSEGV, SIG_DFL);
		fn();
		_exit(0);
	}
	CHECK(pid > 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status));
	CHECK_EQ(WTERMSIG(status), SIGSEGV);
}

static void the_cpu_cannot_touch_it(void)
{
	struct fixture d;
	int fds[2];

	fixture_open(&d, NULL);
	stray = fixture_alloc(&d, 10000);
	fixture_fill(&d, stray, 10000, 1);
	check_dies(child_reads);
	check_dies(child_writes);
	check_dies(child_copies);
	stray += 9999;
	check_dies(child_reads);
	stray -= 9999;
	/* Nor the kernel on its behalf. */
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	CHECK_EQ(send(fds[0], stray, 100, 0), -1);
	CHECK_EQ(errno, EFAULT);
	CHECK_EQ(send(fds[0], "abc", 3, 0), 3);
	CHECK(recv(fds[1], stray, 3, 0) < 0);
	CHECK_EQ(errno, EFAULT);
	fixture_check(&d, stray, 10000, 1);
	gpu_mem_free(d.gpu, stray);
	check_dies(child_reads); /* freed is no more accessible */
	fixture_close(&d);
}

/* ---- those who do not wait --------------------------------------------- */

/* Is everything there right after the flush? */
static bool is_there_at_once(struct fixture *d, uint8_t *slot, uint8_t *mem,
			     uint64_t seed)
{
	struct gpu_job *job = fixture_job(d);
	bool there;

	fixture_fill(d, mem, 2 * GPU_TILE_BYTES, ~seed);
	pattern_fill(slot, 2 * GPU_TILE_BYTES, seed, 0);
	CHECK(gpu_job_add(job, mem, slot, 2 * GPU_TILE_BYTES));
	gpu_job_submit(job);
	gpu_flush(d->gpu);
	uint8_t *got = fixture_read(d, mem, 2 * GPU_TILE_BYTES);
	there = memcmp(got, slot, 2 * GPU_TILE_BYTES) == 0;
	free(got);
	CHECK_STATUS(fixture_wait(job), 0);
	fixture_check(d, mem, 2 * GPU_TILE_BYTES, seed);
	return there;
}

static void a_missing_wait_is_noticed(void)
{
	struct fixture d;
	int n_missed = 0;

	if (scale_tsan())
		SKIP("ThreadSanitizer calls it a race, rightly");
	setenv("TCPX_GPU_HOST_DELAY_US", "2000", 1);
	fixture_open(&d, NULL);
	uint8_t *slot = fixture_slot(&d, GPU_SLOT_SEND);
	uint8_t *mem = fixture_alloc(&d, 2 * GPU_TILE_BYTES);
	for (uint64_t i = 0; i < 100; i++)
		n_missed += !is_there_at_once(&d, slot, mem, i);
	fprintf(stderr, "%d of 100 noticed\n", n_missed);
	CHECK(n_missed > 20);
	fixture_close(&d);
}

/* A slot put back too early, and filled by its next owner. */
static void a_slot_put_too_early_is_noticed(void)
{
	struct fixture d;
	int n_wrong = 0;

	if (scale_sanitized())
		SKIP("sanitizers end the program for it, rightly");
	setenv("TCPX_GPU_HOST_DELAY_US", "2000", 1);
	fixture_open(&d, NULL);
	uint8_t *mem = fixture_alloc(&d, 1000);
	for (uint64_t i = 0; i < 100; i++) {
		struct gpu_job *job = fixture_job(&d);
		uint8_t *slot = fixture_slot(&d, GPU_SLOT_RECEIVE);

		pattern_fill(slot, 1000, i, 0);
		CHECK(gpu_job_add(job, mem, slot, 1000));
		gpu_job_submit(job);
		gpu_flush(d.gpu);
		gpu_slot_put(d.gpu, GPU_SLOT_RECEIVE, slot);
		CHECK(fixture_slot(&d, GPU_SLOT_RECEIVE) == slot);
		memset(slot, 0xee, 1000);
		gpu_slot_put(d.gpu, GPU_SLOT_RECEIVE, slot);
		CHECK_STATUS(fixture_wait(job), 0);
		uint8_t *got = fixture_read(&d, mem, 1000);
		n_wrong += got[999] == 0xee;
		free(got);
	}
	fprintf(stderr, "%d of 100 noticed\n", n_wrong);
	CHECK(n_wrong > 20);
	fixture_close(&d);
}

/* Of two launches one after the other, the second often ends first. */
static void launches_end_out_of_order(void)
{
	struct fixture d;
	int n_overtaken = 0;

	setenv("TCPX_GPU_HOST_DELAY_US", "500", 1);
	fixture_open(&d, NULL);
	uint8_t *slot = fixture_slot(&d, GPU_SLOT_SEND);
	for (int i = 0; i < 200; i++) {
		struct gpu_job *jobs[2];

		for (int k = 0; k < 2; k++) {
			jobs[k] = fixture_job(&d);
			CHECK(gpu_job_add(jobs[k], slot + k * 100, slot + 1000,
					  100));
			gpu_job_submit(jobs[k]);
			gpu_flush(d.gpu);
		}
		CHECK_STATUS(fixture_wait(jobs[1]), 0);
		n_overtaken += gpu_job_poll(jobs[0]) == TCPX_INPROGRESS;
		CHECK_STATUS(fixture_wait(jobs[0]), 0);
	}
	fprintf(stderr, "%d of 200 overtaken\n", n_overtaken);
	CHECK(n_overtaken > 5);
	fixture_close(&d);
}

/* ---- illegal addresses ------------------------------------------------- */

/* The copy fails the device, and the cause says why. */
static void check_illegal(struct fixture *d, void *dst, const void *src,
			  uint64_t len_bytes, const char *why)
{
	CHECK_STATUS(fixture_copy(d, dst, src, len_bytes), TCPX_EGPU);
	if (!strstr(gpu_cause(d->gpu), why))
		check_fail(CHECK_AT, "\"%s\" without \"%s\"", gpu_cause(d->gpu),
			   why);
	CHECK(strstr(gpu_cause(d->gpu), "illegal address"));
	fixture_close(d);
}

static void past_the_end(void)
{
	struct fixture d;

	fixture_open(&d, NULL);
	uint8_t *slot = fixture_slot(&d, GPU_SLOT_SEND);
	uint8_t *mem = fixture_alloc(&d, 1000);
	CHECK_STATUS(fixture_copy(&d, mem, slot, 1000), 0);
	check_illegal(&d, mem + 1, slot, 1000, "past the end of 1000");
}

static void freed_memory(void)
{
	struct fixture d;

	fixture_open(&d, NULL);
	uint8_t *slot = fixture_slot(&d, GPU_SLOT_SEND);
	uint8_t *mem = fixture_alloc(&d, 1000);
	gpu_mem_free(d.gpu, mem);
	(void)fixture_alloc(&d, 1000);
	check_illegal(&d, slot, mem, 10, "freed memory");
}

static void memory_not_pinned(void)
{
	static uint8_t plain[100];
	struct fixture d;

	fixture_open(&d, NULL);
	uint8_t *mem = fixture_alloc(&d, 1000);
	check_illegal(&d, mem, plain, 100, "neither device nor pinned");
}

static void another_devices_memory(void)
{
	struct gpu *other;
	struct fixture d;
	char why[200];
	void *mem;

	fixture_open(&d, NULL);
	CHECK_STATUS(gpu_set_open(d.set, 1, &other, why, sizeof(why)), 0);
	CHECK_STATUS(gpu_mem_alloc(other, 1000, &mem), 0);
	void *slot = fixture_slot(&d, GPU_SLOT_SEND);
	check_illegal(&d, slot, mem, 10, "memory of device 1");
}

static void illegal_for_engines_too(void)
{
	struct fixture d;

	fixture_open(&d, &(struct fixture_wish){.way = GPU_COPY_ENGINE});
	uint8_t *slot = fixture_slot(&d, GPU_SLOT_SEND);
	uint8_t *mem = fixture_alloc(&d, 1000);
	check_illegal(&d, slot, mem + 999, 2, "past the end of 1000");
}

static void freed_while_it_is_used(void)
{
	struct gpu_job *job;
	struct fixture d;

	setenv("TCPX_GPU_HOST_DELAY_US", "2000", 1);
	fixture_open(&d, NULL);
	uint8_t *slot = fixture_slot(&d, GPU_SLOT_SEND);
	for (int i = 0; i < 50 && gpu_status(d.gpu) == 0; i++) {
		uint8_t *mem = fixture_alloc(&d, 1000);

		job = fixture_job(&d);
		CHECK(gpu_job_add(job, mem, slot, 1000));
		gpu_job_submit(job);
		gpu_flush(d.gpu);
		gpu_mem_free(d.gpu, mem);
		(void)fixture_wait(job);
	}
	CHECK(strstr(gpu_cause(d.gpu), "freed memory"));
	fixture_close(&d);
}

/* A failed device fails for every session of the process; others do not. */
static void sessions_share_a_device(void)
{
	struct fixture a, b, other;

	fixture_open(&a, NULL);
	fixture_open(&b, NULL);
	fixture_open(&other, &(struct fixture_wish){.index = 1});
	uint8_t *mem = fixture_alloc(&a, 100);
	fixture_fill(&a, mem, 100, 1);
	fixture_check(&b, mem, 100, 1); /* one process, one address space */
	void *slot = fixture_slot(&b, GPU_SLOT_SEND);
	CHECK_STATUS(fixture_copy(&b, slot, mem, 100), 0);
	CHECK_STATUS(fixture_copy(&b, slot, mem, 101), TCPX_EGPU);
	void *mine = fixture_slot(&a, GPU_SLOT_SEND);
	CHECK_STATUS(fixture_copy(&a, mine, mem, 100), TCPX_EGPU);
	void *its = fixture_slot(&other, GPU_SLOT_SEND);
	CHECK_STATUS(fixture_copy(&other, its, its, 100), 0);
	fixture_close(&other);
	fixture_close(&b);
	fixture_close(&a);
}

/* ---- whose memory is it ------------------------------------------------ */

static void check_find(struct fixture *d, const void *addr, uint64_t len,
		       int status, struct gpu *want, const char *words)
{
	struct gpu *gpu = (struct gpu *)d;
	char why[200] = "";

	CHECK_STATUS(gpu_set_find(d->set, addr, len, &gpu, why, sizeof(why)),
		     status);
	CHECK(gpu == (status ? (struct gpu *)d : want));
	if (words && !strstr(why, words))
		check_fail(CHECK_AT, "\"%s\" without \"%s\"", why, words);
}

static void memory_is_found(void)
{
	static uint8_t plain[100];
	struct fixture d;
	struct gpu *other;
	char why[200];
	void *its;

	fixture_open(&d, NULL);
	uint8_t *mem = fixture_alloc(&d, 5000), *freed = fixture_alloc(&d, 50);
	void *slot = fixture_slot(&d, GPU_SLOT_SEND);
	CHECK_STATUS(gpu_set_open(d.set, 1, &other, why, sizeof(why)), 0);
	CHECK_STATUS(gpu_mem_alloc(other, 100, &its), 0);
	gpu_mem_free(d.gpu, freed);
	check_find(&d, mem, 5000, 0, d.gpu, NULL);
	check_find(&d, mem + 4999, 1, 0, d.gpu, NULL);
	check_find(&d, mem, 5001, TCPX_EINVAL, NULL, "past the end");
	check_find(&d, mem + 5000, 1, TCPX_EINVAL, NULL, "past the end");
	check_find(&d, mem + 8192, 0, 0, NULL, NULL);
	check_find(&d, mem - 10, 20, TCPX_EINVAL, NULL, NULL);
	check_find(&d, freed, 1, TCPX_EINVAL, NULL, "freed memory");
	check_find(&d, its, 100, 0, other, NULL);
	check_find(&d, plain, 100, 0, NULL, NULL);
	check_find(&d, slot, 100, 0, NULL, NULL);
	check_find(&d, mem, UINT64_MAX - 5, TCPX_EINVAL, NULL, "wrap");
	fixture_close(&d);
}

static void finding_opens_the_device(void)
{
	struct fixture a;
	struct gpu_params params = {.slot_bytes = 4096, .n_slots = 4};
	struct gpu_set *set;
	struct gpu *gpu;
	char why[200];

	fixture_open(&a, &(struct fixture_wish){.index = 1});
	uint8_t *mem = fixture_alloc(&a, 100);
	CHECK_STATUS(gpu_set_create("host", &params, &set), 0);
	CHECK_STATUS(gpu_set_find(set, mem, 100, &gpu, why, sizeof(why)), 0);
	CHECK_EQ(gpu_index(gpu), 1);
	gpu_set_destroy(set);
	fixture_close(&a);
}

static void sets_by_name(void)
{
	struct gpu_params params = {.slot_bytes = 4096, .n_slots = 4};
	struct gpu_info info;
	struct gpu_set *set = NULL;
	struct gpu *gpu;
	char why[200] = "";
	int x;

	CHECK_STATUS(gpu_set_create("opencl", &params, &set), TCPX_EINVAL);
	CHECK(!set);
	gpu_set_destroy(NULL);
	CHECK_STATUS(gpu_set_create("off", &params, &set), 0);
	CHECK_EQ(gpu_set_count(set, why, sizeof(why)), 0);
	CHECK(strstr(why, "off"));
	CHECK_STATUS(gpu_set_find(set, &x, 4, &gpu, why, sizeof(why)), 0);
	CHECK(!gpu);
	CHECK_STATUS(gpu_set_open(set, 0, &gpu, why, sizeof(why)),
		     TCPX_EUNSUPPORTED);
	gpu_set_destroy(set);

	setenv("TCPX_GPU_HOST_DEVICES", "3", 1);
	CHECK_STATUS(gpu_set_create("host", &params, &set), 0);
	CHECK_EQ(gpu_set_count(set, why, sizeof(why)), 3);
	CHECK_STATUS(gpu_set_info(set, 2, &info), 0);
	CHECK_STR(info.name, "pretend GPU 2");
	CHECK_STR(info.driver, "host");
	CHECK_STATUS(gpu_set_info(set, 3, &info), TCPX_ENOENT);
	CHECK_STATUS(gpu_set_open(set, 3, &gpu, why, sizeof(why)), TCPX_ENOENT);
	CHECK_STATUS(gpu_set_open(set, 2, &gpu, why, sizeof(why)), 0);
	gpu_set_destroy(set);

	setenv("TCPX_GPU_HOST_DEVICES", "0", 1);
	CHECK_STATUS(gpu_set_create("host", &params, &set), 0);
	CHECK_EQ(gpu_set_count(set, why, sizeof(why)), 0);
	CHECK_STR(why, "driver host sees no device");
	gpu_set_destroy(set);
}

/* ---- another process --------------------------------------------------- */

/* The owner of the memory: hands out a handle, checks what was written. */
static void owner(int fd)
{
	uint8_t handle[GPU_IPC_BYTES], word;
	struct fixture d;

	fixture_open(&d, NULL);
	uint8_t *mem = fixture_alloc(&d, 10000);
	fixture_fill(&d, mem, 10000, 1);
	CHECK_STATUS(gpu_ipc_export(d.gpu, mem + 1, handle), TCPX_EINVAL);
	CHECK_STATUS(gpu_ipc_export(d.gpu, mem, handle), 0);
	CHECK_STATUS(gpu_ipc_open(d.gpu, handle, (void **)&mem), TCPX_EINVAL);
	CHECK_EQ(write(fd, handle, sizeof(handle)), (ssize_t)sizeof(handle));
	CHECK_EQ(read(fd, &word, 1), 1);
	fixture_check(&d, mem, 10000, 2);
	gpu_mem_free(d.gpu, mem);
	CHECK_EQ(write(fd, "f", 1), 1);
	CHECK_EQ(read(fd, &word, 1), 1);
	fixture_close(&d);
}

static void handed_to_another_process(void)
{
	uint8_t handle[GPU_IPC_BYTES], word;
	struct gpu *other;
	struct fixture d;
	char why[200];
	int fds[2], status;
	void *mem;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	pid_t pid = fork();
	if (pid == 0) {
		owner(fds[1]);
		exit(0);
	}
	close(fds[1]);
	CHECK_EQ(read(fds[0], handle, sizeof(handle)), (ssize_t)sizeof(handle));
	fixture_open(&d, NULL);
	CHECK_STATUS(gpu_set_open(d.set, 1, &other, why, sizeof(why)), 0);
	CHECK_STATUS(gpu_ipc_open(other, handle, &mem), TCPX_EINVAL);
	CHECK_STATUS(gpu_ipc_open(d.gpu, handle, &mem), 0);
	fixture_check(&d, mem, 10000, 1);
	check_find(&d, mem, 10000, 0, d.gpu, NULL);
	stray = mem;
	check_dies(child_writes);
	uint8_t *slot = fixture_slot(&d, GPU_SLOT_SEND);
	pattern_fill(slot, 10000, 2, 0);
	CHECK_STATUS(fixture_copy(&d, mem, slot, 10000), 0);
	CHECK_EQ(write(fds[0], "w", 1), 1);
	CHECK_EQ(read(fds[0], &word, 1), 1);
	/* The owner has freed it, and the descriptor is closed by now. */
	gpu_ipc_close(d.gpu, mem);
	CHECK_STATUS(gpu_ipc_open(d.gpu, handle, &mem), TCPX_ENOENT);
	check_find(&d, mem, 1, TCPX_EINVAL, NULL, "freed");
	memset(handle, 0, sizeof(handle));
	CHECK_STATUS(gpu_ipc_open(d.gpu, handle, &mem), TCPX_EINVAL);
	CHECK_EQ(write(fds[0], "e", 1), 1);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	fixture_close(&d);
}

/* ---- somebody else's memory --------------------------------------------- */

/* The middle of an allocation; then the process ends without a word. */
static void lender(int fd)
{
	struct gpu_share share;
	struct fixture d;
	uint8_t word;
	int lent;

	fixture_open(&d, NULL);
	uint8_t *mem = fixture_alloc(&d, 20000);
	fixture_fill(&d, mem + 5000, 10000, 3);
	CHECK_STATUS(gpu_share_export(d.gpu, &word, &share, &lent),
		     TCPX_EUNSUPPORTED);
	CHECK_EQ(lent, -1);
	CHECK_STATUS(gpu_share_export(d.gpu, mem + 5000, &share, &lent), 0);
	CHECK_EQ(share.off, 5000);
	CHECK_EQ(share.all_bytes, 20000);
	pass_send(fd, &share, sizeof(share), lent);
	CHECK_EQ(read(fd, &word, 1), 1);
	fixture_check(&d, mem + 5000, 10000, 4);
	_exit(0);
}

static void open_lent(struct fixture *d, const struct gpu_share *share, int fd,
		      void **mem)
{
	struct gpu_share bad = *share;
	struct gpu *other;
	char why[200];

	CHECK_STATUS(gpu_set_open(d->set, 1, &other, why, sizeof(why)), 0);
	CHECK_STATUS(gpu_share_open(other, &bad, fd, mem), TCPX_EUNSUPPORTED);
	bad.all_bytes += 1u << 20;
	CHECK_STATUS(gpu_share_open(d->gpu, &bad, fd, mem), TCPX_EUNSUPPORTED);
	bad.off = bad.all_bytes;
	CHECK_STATUS(gpu_share_open(d->gpu, &bad, fd, mem), TCPX_EINVAL);
	CHECK_STATUS(gpu_share_open(d->gpu, share, fd, mem), 0);
}

static void lent_to_another_process(void)
{
	struct gpu_share share, again;
	int fds[2], status, fd;
	struct fixture d;
	void *mem;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	pid_t pid = fork();
	if (pid == 0) {
		lender(fds[1]);
		_exit(1);
	}
	close(fds[1]);
	fd = pass_receive(fds[0], &share, sizeof(share));
	fixture_open(&d, NULL);
	open_lent(&d, &share, fd, &mem);
	close(fd);
	fixture_check(&d, mem, 10000, 3);
	uint8_t *slot = fixture_slot(&d, GPU_SLOT_SEND);
	pattern_fill(slot, 10000, 4, 0);
	CHECK_STATUS(fixture_copy(&d, mem, slot, 10000), 0);
	CHECK_EQ(write(fds[0], "w", 1), 1);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	/* Its owner is gone, it is not; and it may be handed on. */
	fixture_check(&d, mem, 10000, 4);
	CHECK_STATUS(gpu_share_export(d.gpu, mem, &again, &fd), 0);
	CHECK_EQ(again.off, 5000);
	close(fd);
	gpu_share_close(d.gpu, &share, mem);
	check_find(&d, mem, 1, TCPX_EINVAL, NULL, "freed");
	fixture_close(&d);
}

/* ---- many allocations -------------------------------------------------- */

/* Freed addresses come back at last, or a process would run out of them. */
static void memory_comes_and_goes(void)
{
	uint64_t rand = check_seed();
	uint8_t *mems[50] = {0};
	uint32_t lens[50] = {0};
	struct fixture d;

	fixture_open(&d, NULL);
	for (size_t i = 0; i < scale_count(3000); i++) {
		uint32_t k = check_rand(&rand) % 50;

		if (mems[k]) {
			fixture_check(&d, mems[k], lens[k], k);
			gpu_mem_free(d.gpu, mems[k]);
		}
		lens[k] = 1 + check_rand(&rand) % 20000;
		mems[k] = fixture_alloc(&d, lens[k]);
		fixture_fill(&d, mems[k], lens[k], k);
		check_find(&d, mems[k] + lens[k] - 1, 1, 0, d.gpu, NULL);
	}
	fixture_close(&d);
}

/* ---- memory that programs make themselves ------------------------------ */

/* Ordinary memory where other memory was. */
static void *put_there(void *at, size_t len_bytes, int prot, int flags, int fd)
{
	return mmap(at, len_bytes, prot, flags | MAP_FIXED_NOREPLACE, fd, 0);
}

static void memory_of_the_programs(void)
{
	const size_t len = 8192;
	struct gpu *second;
	struct fixture d;
	struct vram vram;
	char why[160];

	fixture_open(&d, NULL);
	CHECK_EQ(gpu_set_open(d.set, 1, &second, why, sizeof(why)), 0);
	vram_init(&vram, 1, len);
	check_find(&d, vram.dev, len, 0, second, NULL);
	check_find(&d, (uint8_t *)vram.dev + 100, len - 100, 0, second, NULL);
	check_find(&d, vram.dev, len + 1, TCPX_EINVAL, NULL, "past the end");
	check_find(&d, vram.bytes, len, 0, NULL, NULL);
	stray = vram.dev;
	check_dies(child_reads);
	/* It is written, and seen by both ways. */
	pattern_fill(vram.bytes, len, 7, 0);
	fixture_check(&(struct fixture){.set = d.set, .gpu = second}, vram.dev,
		      len, 7);
	/* Not the fixture's device: a strict one. */
	CHECK_STATUS(gpu_copy_wait(d.gpu, vram.dev, "abc", 3), TCPX_EINVAL);
	CHECK_EQ(gpu_copy_wait(second, vram.dev, "abc", 3), 0);
	CHECK_MEM(vram.bytes, "abc", 3);

	/* What is there afterwards is what it is. */
	void *at = vram.dev;

	munmap(vram.dev, len);
	CHECK(put_there(at, len, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1) == at);
	check_find(&d, at, len, 0, NULL, NULL);
	munmap(at, len);
	CHECK(put_there(at, len, PROT_NONE, MAP_SHARED, vram.fd) == at);
	check_find(&d, at, len, 0, second, NULL);
	vram_fini(&vram);
	fixture_close(&d);
}

/* What the CPU can touch is no device's, and a part is not the whole. */
static void memory_that_is_not_theirs(void)
{
	struct fixture d;
	struct vram vram;

	fixture_open(&d, NULL);
	vram_init(&vram, 0, 8192);
	CHECK_EQ(mprotect(vram.dev, 8192, PROT_READ), 0);
	check_find(&d, vram.dev, 8192, 0, NULL, NULL);
	CHECK_EQ(mprotect(vram.dev, 8192, PROT_NONE), 0);
	CHECK_EQ(mprotect(vram.dev, 4096, PROT_READ), 0);
	check_find(&d, (uint8_t *)vram.dev + 4096, 4096, 0, NULL, NULL);
	vram_fini(&vram);
	vram_init(&vram, GPU_DEVICES_MAX, 8192);
	check_find(&d, vram.dev, 8192, 0, NULL, NULL);
	vram_fini(&vram);
	fixture_close(&d);
}

static const struct check_case cases[] = {
	{"the_cpu_cannot_touch_it", the_cpu_cannot_touch_it, 0},
	{"a_missing_wait_is_noticed", a_missing_wait_is_noticed, 0},
	{"a_slot_put_too_early_is_noticed", a_slot_put_too_early_is_noticed, 0},
	{"launches_end_out_of_order", launches_end_out_of_order, 0},
	{"past_the_end", past_the_end, 0},
	{"freed_memory", freed_memory, 0},
	{"memory_not_pinned", memory_not_pinned, 0},
	{"another_devices_memory", another_devices_memory, 0},
	{"illegal_for_engines_too", illegal_for_engines_too, 0},
	{"freed_while_it_is_used", freed_while_it_is_used, 0},
	{"sessions_share_a_device", sessions_share_a_device, 0},
	{"memory_is_found", memory_is_found, 0},
	{"finding_opens_the_device", finding_opens_the_device, 0},
	{"sets_by_name", sets_by_name, 0},
	{"handed_to_another_process", handed_to_another_process, 0},
	{"lent_to_another_process", lent_to_another_process, 0},
	{"memory_comes_and_goes", memory_comes_and_goes, 0},
	{"memory_of_the_programs", memory_of_the_programs, 0},
	{"memory_that_is_not_theirs", memory_that_is_not_theirs, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
