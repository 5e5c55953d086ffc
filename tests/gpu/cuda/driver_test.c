/* SPDX-License-Identifier: Apache-2.0 */

/* Life beside a program that uses the device too: whose memory is it, the
 * current context, captures, events, other processes, failures. */

#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/atomic.h"
#include "gpu/cuda/rig.h"
#include "support/pass.h"
#include "support/scale.h"

#define MIB (1ull << 20)

static char why[300];

static int find(struct rig *rig, uint64_t at, uint64_t len_bytes,
		struct gpu **gpu)
{
	int rc;

	why[0] = '\0';
	rc = gpu_set_find(rig->set, (void *)(uintptr_t)at, len_bytes, gpu, why,
			  sizeof(why));
	fprintf(stderr, "%d %s\n", rc, why);
	return rc;
}

static void is_device(struct rig *rig, uint64_t at, uint64_t len_bytes)
{
	struct gpu *gpu = NULL;

	CHECK_STATUS(find(rig, at, len_bytes, &gpu), 0);
	CHECK(gpu == rig->gpu);
}

static void is_host(struct rig *rig, const void *at, uint64_t len_bytes)
{
	struct gpu *gpu = rig->gpu;

	CHECK_STATUS(find(rig, (uintptr_t)at, len_bytes, &gpu), 0);
	CHECK(gpu == NULL);
}

static void is_refused(struct rig *rig, uint64_t at, uint64_t len_bytes,
		       const char *word)
{
	struct gpu *gpu;

	CHECK_STATUS(find(rig, at, len_bytes, &gpu), TCPX_EINVAL);
	if (!strstr(why, word))
		check_fail(CHECK_AT, "\"%s\" says nothing of \"%s\"", why,
			   word);
}

/* It can be used too: there and back. */
static void is_usable(struct rig *rig, uint64_t at, uint32_t len_bytes)
{
	uint32_t n_words = len_bytes / 4;
	struct gpu_job *job = gpu_job_get(rig->gpu);
	void *slot;

	CHECK(job != NULL);
	CHECK_STATUS(gpu_slot_get(rig->gpu, GPU_SLOT_RECEIVE, &slot), 0);
	rig_fill(slot, n_words, (uint32_t)at);
	CHECK(gpu_job_add(job, (void *)(uintptr_t)at, slot, len_bytes));
	CHECK_STATUS(rig_run(rig, job), 0);
	CHECK_EQ(rig_mismatches(rig, (void *)(uintptr_t)at, n_words,
				(uint32_t)at),
		 0);
	gpu_slot_put(rig->gpu, GPU_SLOT_RECEIVE, slot);
}

/* ---- whose memory ------------------------------------------------------------ */

static void plain_memory(void)
{
	cuda_ptr mem;
	struct rig rig;

	rig_open(&rig, NULL);
	RIG_DO(cuda_api.mem_alloc(&mem, 4 * MIB));
	is_device(&rig, mem, 4 * MIB);
	is_device(&rig, mem + 12345, 1);
	is_usable(&rig, mem + MIB, 4096);
	is_refused(&rig, mem, 1ull << 46, "at byte");
	RIG_DO(cuda_api.mem_free(mem));
	is_refused(&rig, mem, 4 * MIB, "freed");
	rig_close(&rig);
}

/* A short one ends where it ends, and not with the piece that the driver has
 * cut it out of. */
static void past_a_small_one(void)
{
	cuda_ptr mem;
	struct rig rig;

	rig_open(&rig, NULL);
	RIG_DO(cuda_api.mem_alloc(&mem, 4096));
	is_device(&rig, mem, 4096);
	is_refused(&rig, mem, 4097, "at byte 4096");
	is_refused(&rig, mem, MIB, "at byte 4096");
	RIG_DO(cuda_api.mem_free(mem));
	rig_close(&rig);
}

/* One run of bytes over the end of an allocation and into its neighbour, as a
 * lone job that a copy engine does. */
static void over_the_end(struct rig *rig, cuda_ptr end)
{
	struct gpu_job *job = gpu_job_get(rig->gpu);
	void *slot;

	CHECK(job != NULL);
	CHECK_STATUS(gpu_slot_get(rig->gpu, GPU_SLOT_RECEIVE, &slot), 0);
	rig_fill(slot, 32768, 77);
	CHECK(gpu_job_add(job, (void *)(uintptr_t)(end - 65536), slot, 65536));
	CHECK(gpu_job_add(job, (void *)(uintptr_t)end, (char *)slot + 65536,
			  65536));
	CHECK_STATUS(rig_run(rig, job), 0);
	CHECK_STATUS(gpu_status(rig->gpu), 0);
	CHECK_EQ(rig_mismatches(rig, (void *)(uintptr_t)(end - 65536), 32768,
				77),
		 0);
	gpu_slot_put(rig->gpu, GPU_SLOT_RECEIVE, slot);
}

static void neighbours(void)
{
	cuda_ptr mem[16];
	uint32_t n = 0;
	struct rig rig;

	rig_open(&rig, NULL);
	for (int i = 0; i < 16; i++)
		RIG_DO(cuda_api.mem_alloc(&mem[i], 4 * MIB));
	for (int i = 0; i < 16; i++) {
		for (int k = 0; k < 16; k++) {
			if (mem[i] + 4 * MIB != mem[k])
				continue;
			over_the_end(&rig, mem[k]);
			n++;
		}
	}
	for (int i = 0; i < 16; i++)
		RIG_DO(cuda_api.mem_free(mem[i]));
	rig_close(&rig);
	if (n == 0)
		SKIP("no allocation is next to another");
}

static void host_memory(void)
{
	char *ordinary = malloc(MIB);
	char *none =
		mmap(NULL, MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *pinned;
	struct rig rig;

	rig_open(&rig, NULL);
	is_host(&rig, ordinary, MIB);
	is_host(&rig, &rig, 1);
	RIG_DO(cuda_api.host_alloc(&pinned, MIB, CUDA_HOST_PORTABLE));
	is_host(&rig, pinned, MIB);
	is_refused(&rig, (uintptr_t)none, MIB, "readable");
	free(ordinary);
	rig_close(&rig);
}

static void managed_memory(void)
{
	cuda_ptr mem;
	struct rig rig;

	rig_open(&rig, NULL);
	RIG_DO(rig_driver.managed_alloc(&mem, MIB, 1));
	is_refused(&rig, mem, MIB, "managed");
	RIG_DO(cuda_api.mem_free(mem));
	rig_close(&rig);
}

static void pool_memory(void)
{
	cuda_ptr mem;
	struct rig rig;

	rig_open(&rig, NULL);
	RIG_DO(rig_driver.pool_alloc(&mem, 4 * MIB, rig.stream));
	RIG_DO(rig_driver.stream_sync(rig.stream));
	is_device(&rig, mem, 4 * MIB);
	is_usable(&rig, mem + 4 * MIB - 4096, 4096);
	RIG_DO(rig_driver.pool_free(mem, rig.stream));
	rig_close(&rig);
}

/* What has been given back to a pool is nobody's, though the pool has it. */
static void freed_of_a_pool(void)
{
	cuda_ptr keep, mem;
	struct rig rig;

	rig_open(&rig, NULL);
	RIG_DO(rig_driver.pool_alloc(&keep, MIB, rig.stream));
	RIG_DO(rig_driver.pool_alloc(&mem, 4 * MIB, rig.stream));
	RIG_DO(rig_driver.pool_free(mem, rig.stream));
	is_refused(&rig, mem, 4 * MIB, "");
	is_device(&rig, keep, MIB);
	RIG_DO(rig_driver.pool_free(keep, rig.stream));
	rig_close(&rig);
}

#define PIECE (2 * MIB)

static void map_piece(cuda_ptr at)
{
	struct rig_mem_prop prop = {.type = 1, .location_type = 1};
	struct rig_mem_access access = {.location_type = 1, .flags = 3};
	unsigned long long piece;

	RIG_DO(rig_driver.create(&piece, PIECE, &prop, 0));
	RIG_DO(rig_driver.map(at, PIECE, 0, piece, 0));
	RIG_DO(rig_driver.set_access(at, PIECE, &access, 1));
}

/* Several physical pieces in one range are one range; a hole is none. */
static void pieces(void)
{
	struct rig_mem_prop prop = {.type = 1, .location_type = 1};
	unsigned long long piece;
	cuda_ptr at;
	struct rig rig;

	rig_open(&rig, NULL);
	RIG_DO(rig_driver.reserve(&at, 8 * PIECE, 0, 0, 0));
	for (uint32_t i = 0; i < 3; i++)
		map_piece(at + i * PIECE);
	map_piece(at + 4 * PIECE);
	is_device(&rig, at, PIECE);
	is_device(&rig, at, 3 * PIECE);
	is_device(&rig, at + PIECE / 2, 2 * PIECE);
	is_usable(&rig, at + PIECE - 65536, 131072);
	is_refused(&rig, at, 4 * PIECE, "at byte 6291456");
	is_refused(&rig, at, 5 * PIECE, "at byte 6291456");
	is_refused(&rig, at + 3 * PIECE, PIECE, "");
	is_device(&rig, at + 4 * PIECE, PIECE);
	/* Mapped, but nobody was given a right to it. */
	RIG_DO(rig_driver.create(&piece, PIECE, &prop, 0));
	RIG_DO(rig_driver.map(at + 5 * PIECE, PIECE, 0, piece, 0));
	is_refused(&rig, at + 5 * PIECE, PIECE, "right");
	is_refused(&rig, at + 4 * PIECE, 2 * PIECE, "right");
	RIG_DO(rig_driver.unmap(at + PIECE, PIECE));
	is_refused(&rig, at, 3 * PIECE, "at byte 2097152");
	rig_close(&rig);
}

static void other_context(void)
{
	struct CUctx_st *other, *old;
	cuda_ptr mem;
	struct rig rig;

	rig_open(&rig, NULL);
	RIG_DO(rig_driver.ctx_create(&other, 0, 0));
	RIG_DO(cuda_api.mem_alloc(&mem, MIB));
	RIG_DO(cuda_api.ctx_pop(&old));
	is_refused(&rig, mem, MIB, "primary");
	RIG_DO(rig_driver.ctx_destroy(other));
	rig_close(&rig);
}

/* ---- the program's own affairs -------------------------------------------------- */

static void context_is_kept(void)
{
	struct CUctx_st *other, *now, *old;
	struct gpu_job *job;
	void *mem, *slot;
	struct rig rig;

	rig_open(&rig, NULL);
	RIG_DO(rig_driver.ctx_create(&other, 0, 0));
	for (int round = 0; round < 2; round++) {
		struct CUctx_st *before;

		RIG_DO(rig_driver.ctx_current(&before));
		CHECK_STATUS(gpu_mem_alloc(rig.gpu, MIB, &mem), 0);
		is_device(&rig, (uintptr_t)mem, MIB);
		CHECK_STATUS(gpu_slot_get(rig.gpu, GPU_SLOT_SEND, &slot), 0);
		job = gpu_job_get(rig.gpu);
		CHECK(job && gpu_job_add(job, slot, mem, 4096));
		CHECK_STATUS(rig_run(&rig, job), 0);
		CHECK_STATUS(gpu_copy_wait(rig.gpu, slot, mem, 4096), 0);
		gpu_slot_put(rig.gpu, GPU_SLOT_SEND, slot);
		gpu_mem_free(rig.gpu, mem);
		RIG_DO(rig_driver.ctx_current(&now));
		CHECK(now == before);
		/* The second time with none current. */
		while (now) {
			RIG_DO(cuda_api.ctx_pop(&old));
			RIG_DO(rig_driver.ctx_current(&now));
		}
	}
	gpu_set_destroy(rig.set);
}

static void *beside_capture(void *arg)
{
	struct rig *rig = arg;
	struct gpu_job *job = gpu_job_get(rig->gpu);
	void *mem, *slot;

	CHECK_STATUS(gpu_mem_alloc(rig->gpu, MIB, &mem), 0);
	CHECK_STATUS(gpu_slot_get(rig->gpu, GPU_SLOT_SEND, &slot), 0);
	CHECK(job && gpu_job_add(job, slot, mem, MIB));
	CHECK_STATUS(rig_run(rig, job), 0);
	CHECK_STATUS(gpu_copy_wait(rig->gpu, slot, mem, 4096), 0);
	gpu_slot_put(rig->gpu, GPU_SLOT_SEND, slot);
	gpu_mem_free(rig->gpu, mem);
	return NULL;
}

/* A graph captured by the strictest rules is not spoilt by us, on the same
 * thread or another. */
static void capture_is_kept(void)
{
	pthread_t thread;
	void *graph = NULL;
	struct rig rig;

	rig_open(&rig, NULL);
	RIG_DO(rig_driver.capture_begin(rig.stream, 0));
	beside_capture(&rig);
	pthread_create(&thread, NULL, beside_capture, &rig);
	pthread_join(thread, NULL);
	RIG_DO(rig_driver.capture_end(rig.stream, &graph));
	CHECK(graph != NULL);
	rig_close(&rig);
}

/* The producer's event is asked for; of one of a capture it is said that it is
 * none to wait for. The question ends the capture, as the driver has it, and
 * nothing else. */
static void event_is_asked_for(void)
{
	_Atomic uint64_t *gate;
	struct CUevent_st *event;
	void *pinned, *graph = NULL;
	struct rig rig;

	rig_open(&rig, NULL);
	RIG_DO(cuda_api.host_alloc(&pinned, 4096,
				   CUDA_HOST_PORTABLE | CUDA_HOST_DEVICEMAP));
	gate = pinned;
	atomic_store(gate, 0);
	RIG_DO(rig_driver.event_create(&event, 2));
	RIG_DO(rig_driver.stream_wait_value(rig.stream, (uintptr_t)pinned, 1,
					    1));
	RIG_DO(rig_driver.event_record(event, rig.stream));
	test_sleep_ms(50);
	CHECK_STATUS(gpu_event_passed(rig.gpu, (uintptr_t)event),
		     TCPX_INPROGRESS);
	atomic_store(gate, 1);
	while (gpu_event_passed(rig.gpu, (uintptr_t)event) == TCPX_INPROGRESS)
		test_sleep_ms(1);
	CHECK_STATUS(gpu_event_passed(rig.gpu, (uintptr_t)event), TCPX_OK);
	RIG_DO(rig_driver.capture_begin(rig.stream, 0));
	RIG_DO(rig_driver.event_record(event, rig.stream));
	CHECK_STATUS(gpu_event_passed(rig.gpu, (uintptr_t)event), TCPX_EINVAL);
	(void)rig_driver.capture_end(rig.stream, &graph);
	CHECK_STATUS(gpu_status(rig.gpu), TCPX_OK);
	RIG_DO(rig_driver.event_destroy(event));
	rig_close(&rig);
}

/* ---- another process ------------------------------------------------------------ */

#define SMALL_ONES 5

static int in_child(int from, int to)
{
	uint8_t handle[GPU_IPC_BYTES];
	struct rig rig;
	void *mem;

	rig_open(&rig, NULL);
	for (uint32_t i = 0; i < SMALL_ONES; i++) {
		if (read(from, handle, sizeof(handle)) !=
		    (ssize_t)sizeof(handle))
			return 1;
		CHECK_STATUS(gpu_ipc_open(rig.gpu, handle, &mem), 0);
		is_device(&rig, (uintptr_t)mem, 8192);
		CHECK_EQ(rig_mismatches(&rig, mem, 1000, 7 + i), 0);
		is_usable(&rig, (uintptr_t)mem, 4096);
		gpu_ipc_close(rig.gpu, mem);
	}
	return write(to, "k", 1) != 1;
}

/* What is cut out of a larger piece has no handle of its own. */
static void small_plain_memory(struct rig *rig)
{
	struct gpu_share share;
	cuda_ptr first, second;
	int fd;

	RIG_DO(cuda_api.mem_alloc(&first, 8192));
	RIG_DO(cuda_api.mem_alloc(&second, 8192));
	CHECK_STATUS(gpu_share_export(rig->gpu, (void *)(uintptr_t)second,
				      &share, &fd),
		     TCPX_EUNSUPPORTED);
	RIG_DO(cuda_api.mem_free(second));
	RIG_DO(cuda_api.mem_free(first));
}

static void other_process(void)
{
	int there[2], back[2], status;
	uint8_t handle[GPU_IPC_BYTES];
	uint32_t words[1000];
	struct rig rig;
	char answer = 0;
	void *mem;
	pid_t pid;

	CHECK(pipe(there) == 0 && pipe(back) == 0);
	pid = fork(); /* before the driver is touched */
	if (pid == 0) {
		close(there[1]);
		_exit(in_child(there[0], back[1]));
	}
	close(there[0]);
	close(back[1]);
	rig_open(&rig, NULL);
	/* Small ones: the driver would cut them out of one piece. */
	for (uint32_t i = 0; i < SMALL_ONES; i++) {
		CHECK_STATUS(gpu_mem_alloc(rig.gpu, 8192, &mem), 0);
		rig_fill(words, 1000, 7 + i);
		CHECK_STATUS(gpu_copy_wait(rig.gpu, mem, words, sizeof(words)),
			     0);
		CHECK_STATUS(gpu_ipc_export(rig.gpu, mem, handle), 0);
		CHECK_EQ(write(there[1], handle, sizeof(handle)),
			 sizeof(handle));
	}
	small_plain_memory(&rig);
	CHECK_EQ(read(back[0], &answer, 1), 1);
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	rig_close(&rig);
}

/* ---- memory of others', to another process -------------------------------------- */

enum kind {
	PLAIN, /* cuMemAlloc */
	EXPORTABLE, /* cuMemCreate, with the right to a descriptor */
	IMPORTED, /* that, handed over by a descriptor: as a plugin's pool;
		     whose descriptor it is asks for it anew */
	KINDS,
};

static void opens_shares(int from)
{
	struct gpu_share share;
	struct rig rig;
	void *mem;

	rig_open(&rig, NULL);
	for (int kind = PLAIN; kind < KINDS; kind++) {
		int fd = pass_receive(from, &share, sizeof(share));

		CHECK_STATUS(gpu_share_open(rig.gpu, &share, fd, &mem), 0);
		if (fd >= 0)
			close(fd);
		is_device(&rig, (uintptr_t)mem, MIB);
		CHECK_EQ(rig_mismatches(&rig, mem, 1000, 7), 0);
		is_usable(&rig, (uintptr_t)mem, 4096);
		gpu_share_close(rig.gpu, &share, mem);
	}
	pass_send(from, "k", 1, -1);
	rig_close(&rig);
	_exit(0);
}

/* handle_types 1: may be exported to a descriptor. */
static unsigned long long create_piece(int handle_types)
{
	struct rig_mem_prop prop = {
		.type = 1, .handle_types = handle_types, .location_type = 1};
	unsigned long long piece;

	RIG_DO(rig_driver.create(&piece, PIECE, &prop, 0));
	return piece;
}

static cuda_ptr map_whole(unsigned long long piece)
{
	struct rig_mem_access access = {.location_type = 1, .flags = 3};
	cuda_ptr at;

	RIG_DO(rig_driver.reserve(&at, PIECE, 0, 0, 0));
	RIG_DO(rig_driver.map(at, PIECE, 0, piece, 0));
	RIG_DO(rig_driver.set_access(at, PIECE, &access, 1));
	RIG_DO(cuda_api.vmm_release(piece));
	return at;
}

static cuda_ptr make(enum kind kind)
{
	cuda_ptr at;

	if (kind == EXPORTABLE)
		return map_whole(create_piece(1));
	RIG_DO(cuda_api.mem_alloc(&at, PIECE));
	return at;
}

/* Its process can go on to use it, and no more: CUDA does not hand it on. */
static cuda_ptr make_imported(struct rig *rig, struct gpu_share *share, int *fd)
{
	unsigned long long piece = create_piece(1), again;
	struct gpu_share none;
	int none_fd;

	RIG_DO(cuda_api.vmm_export(fd, piece, CUDA_HANDLE_POSIX_FD, 0));
	RIG_DO(cuda_api.vmm_import(&again, (void *)(intptr_t)*fd,
				   CUDA_HANDLE_POSIX_FD));
	RIG_DO(cuda_api.vmm_release(piece));
	cuda_ptr at = map_whole(again);

	CHECK_STATUS(gpu_share_export(rig->gpu, (void *)(uintptr_t)at, &none,
				      &none_fd),
		     TCPX_EUNSUPPORTED);
	gpu_share_of_fd(rig->gpu, PIECE, share);
	return at;
}

static cuda_ptr share_one(struct rig *rig, enum kind kind,
			  struct gpu_share *share, int *fd)
{
	cuda_ptr at;

	if (kind == IMPORTED)
		return make_imported(rig, share, fd);
	at = make(kind) + 8192;
	CHECK_STATUS(gpu_share_export(rig->gpu, (void *)(uintptr_t)at, share,
				      fd),
		     0);
	CHECK_EQ(share->off, 8192);
	CHECK_EQ(share->all_bytes, PIECE);
	return at;
}

/* What may not be exported is refused, and the device none the worse. */
static void not_shared(struct rig *rig)
{
	struct gpu_share share;
	int fd;
	void *mem = (void *)(uintptr_t)map_whole(create_piece(0));

	CHECK_STATUS(gpu_share_export(rig->gpu, mem, &share, &fd),
		     TCPX_EUNSUPPORTED);
	CHECK_EQ(fd, -1);
	is_usable(rig, (uintptr_t)mem, 4096);
	CHECK_STATUS(gpu_share_export(rig->gpu, rig, &share, &fd),
		     TCPX_EUNSUPPORTED);
	CHECK_STATUS(gpu_status(rig->gpu), 0);
}

static void shared_with_other_process(void)
{
	uint32_t words[1000];
	struct gpu_share share;
	int fds[2], status;
	struct rig rig;
	char answer;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	pid_t pid = fork(); /* before the driver is touched */

	if (pid == 0)
		opens_shares(fds[1]);
	close(fds[1]);
	rig_open(&rig, NULL);
	rig_fill(words, 1000, 7);
	for (int kind = PLAIN; kind < KINDS; kind++) {
		int fd;
		cuda_ptr at = share_one(&rig, (enum kind)kind, &share, &fd);

		CHECK_STATUS(gpu_copy_wait(rig.gpu, (void *)(uintptr_t)at,
					   words, sizeof(words)),
			     0);
		pass_send(fds[0], &share, sizeof(share), fd);
		if (fd >= 0)
			close(fd);
	}
	not_shared(&rig);
	CHECK_EQ(pass_receive(fds[0], &answer, 1), -1);
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	rig_close(&rig);
}

/* ---- failures ------------------------------------------------------------------- */

static void too_much_memory(void)
{
	struct rig rig;
	void *mem;

	rig_open(&rig, NULL);
	CHECK_STATUS(gpu_mem_alloc(rig.gpu, 1ull << 45, &mem), TCPX_ENOMEM);
	CHECK_STATUS(gpu_status(rig.gpu), 0);
	CHECK_STATUS(gpu_mem_alloc(rig.gpu, MIB, &mem), 0);
	is_usable(&rig, (uintptr_t)mem, 4096);
	rig_close(&rig);
}

/* The program's kernel breaks the context: jobs end with the driver's words,
 * and so does closing, soon. */
static void context_is_lost(void)
{
	struct gpu_job *job;
	void *mem, *slot;
	struct rig rig;

	rig_open(&rig, NULL);
	CHECK_STATUS(gpu_mem_alloc(rig.gpu, MIB, &mem), 0);
	CHECK_STATUS(gpu_slot_get(rig.gpu, GPU_SLOT_SEND, &slot), 0);
	rig_touch(&rig, 64);
	CHECK(rig_driver.stream_sync(rig.stream) != CUDA_SUCCESS);
	job = gpu_job_get(rig.gpu);
	CHECK(job && gpu_job_add(job, slot, mem, MIB));
	CHECK_STATUS(rig_run(&rig, job), TCPX_EGPU);
	CHECK_STATUS(gpu_status(rig.gpu), TCPX_EGPU);
	fprintf(stderr, "%s\n", gpu_cause(rig.gpu));
	CHECK(strstr(gpu_cause(rig.gpu), "CUDA_ERROR_") != NULL);
	gpu_set_destroy(rig.set);
}

/* After that the CPU's memory is the CPU's, to this set and to a new one. */
static void host_after_loss(void)
{
	struct gpu_params params = {.slot_bytes = 1u << 20, .n_slots = 16};
	char *mem = calloc(1, MIB);
	struct gpu_set *again;
	struct gpu *gpu;
	struct rig rig;

	rig_open(&rig, NULL);
	rig_touch(&rig, 64);
	CHECK(rig_driver.stream_sync(rig.stream) != CUDA_SUCCESS);
	is_host(&rig, mem, MIB);
	CHECK_STATUS(gpu_set_create("cuda", &params, &again), 0);
	CHECK_STATUS(gpu_set_find(again, mem, MIB, &gpu, why, sizeof(why)), 0);
	CHECK(gpu == NULL);
	gpu_set_destroy(again);
	gpu_set_destroy(rig.set);
	free(mem);
}

/* The same while the job runs: a kernel of ours that goes astray. */
static void job_goes_astray(void)
{
	struct gpu_job *job;
	void *slot;
	struct rig rig;

	rig_open(&rig, NULL);
	CHECK_STATUS(gpu_slot_get(rig.gpu, GPU_SLOT_SEND, &slot), 0);
	job = gpu_job_get(rig.gpu);
	CHECK(job && gpu_job_add(job, slot, (void *)64, 4096));
	CHECK_STATUS(rig_run(&rig, job), TCPX_EGPU);
	CHECK(strstr(gpu_cause(rig.gpu), "CUDA_ERROR_") != NULL);
	gpu_set_destroy(rig.set);
}

static const struct check_case cases[] = {
	{"plain_memory", plain_memory, 0},
	{"past_a_small_one", past_a_small_one, 0},
	{"neighbours", neighbours, 0},
	{"host_memory", host_memory, 0},
	{"managed_memory", managed_memory, 0},
	{"pool_memory", pool_memory, 0},
	{"freed_of_a_pool", freed_of_a_pool, 0},
	{"pieces", pieces, 0},
	{"other_context", other_context, 0},
	{"context_is_kept", context_is_kept, 0},
	{"capture_is_kept", capture_is_kept, 0},
	{"event_is_asked_for", event_is_asked_for, 0},
	{"other_process", other_process, 0},
	{"shared_with_other_process", shared_with_other_process, 0},
	{"too_much_memory", too_much_memory, 0},
	{"context_is_lost", context_is_lost, 0},
	{"host_after_loss", host_after_loss, 0},
	{"job_goes_astray", job_goes_astray, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
