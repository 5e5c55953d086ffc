/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The kernel against a device-to-device copy of the same bytes: 64 MiB in
 * pieces in random order, as they lie in a network card's pages, to where they
 * belong. Both are timed alike, by events around several in a row, over two
 * sets of buffers so that no cache holds them.
 */

#include <dlfcn.h>
#include <string.h>

#include "gpu/cuda/device.h"
#include "gpu/driver.h"
#include "micro.h"

#define TOTAL (64u << 20)
#define POOL (80ull << 20) /* pieces lie with holes between them */
#define SETS 2u
#define IN_A_ROW 20u
#define MAX_PIECES (TOTAL / 64)

static cuda_result (*event_create)(struct CUevent_st **, unsigned int);
static cuda_result (*event_record)(struct CUevent_st *, struct CUstream_st *);
static cuda_result (*stream_wait)(struct CUstream_st *, struct CUevent_st *,
				  unsigned int);
static cuda_result (*event_sync)(struct CUevent_st *);
static cuda_result (*event_elapsed)(float *, struct CUevent_st *,
				    struct CUevent_st *);

struct pieces {
	const char *name;
	uint32_t min_bytes, max_bytes, align;
	uint32_t hole_bytes; /* between two in the source */
	bool in_order;
};

static const struct pieces all_pieces[] = {
	{"4096", 4096, 4096, 16, 16, false},
	{"16_to_4096", 16, 4096, 16, 16, false},
	{"1_to_4096_unaligned", 1, 4096, 1, 3, false},
	{"256", 256, 256, 16, 16, false},
	{"256_unaligned", 256, 256, 1, 3, false},
	/* What the memory itself makes of pages that begin where its own do, of
	 * pieces that share no line with others, and of the order. */
	{"4096_pages", 4096, 4096, 16, 0, false},
	{"128_to_4096_lines", 128, 4096, 128, 128, false},
	{"4096_in_order", 4096, 4096, 16, 16, true},
	{"16_to_4096_in_order", 16, 4096, 16, 16, true},
};

struct bench {
	const struct gpu_ops *ops;
	struct gpu_device *device;
	struct CUctx_st *ctx;
	struct CUevent_st *begin, *end, *link;
	uint8_t *src[SETS], *dst[SETS];
	struct gpu_copy *pinned[SETS], *there[SETS];
	uint64_t *flags;
	uint32_t n_copies[SETS];
	bool lists_there; /* read from device memory */
};

static void must(int rc, const char *what)
{
	char text[160] = "failed";

	if (rc == 0)
		return;
	if (rc > 0)
		cuda_describe(rc, text, sizeof(text));
	micro_die(what, text);
}

static void load_events(void)
{
	void *lib = dlopen("libcuda.so.1", RTLD_NOW);

	*(void **)&event_create = dlsym(lib, "cuEventCreate");
	*(void **)&event_record = dlsym(lib, "cuEventRecord");
	*(void **)&stream_wait = dlsym(lib, "cuStreamWaitEvent");
	*(void **)&event_sync = dlsym(lib, "cuEventSynchronize");
	*(void **)&event_elapsed = dlsym(lib, "cuEventElapsedTime");
}

static void set_up(struct bench *b, const struct micro *micro)
{
	struct gpu_params params = {0};
	char why[300];
	void *mem;

	b->ops = &gpu_cuda_ops;
	if (b->ops->load(why, sizeof(why)) != 0 ||
	    b->ops->open(micro->device, &params, &b->device, why,
			 sizeof(why)) != 0)
		micro_die("no device", why);
	load_events();
	must(cuda_api.primary_retain(&b->ctx, (int)micro->device), "context");
	must(cuda_api.ctx_push(b->ctx), "context");
	must(event_create(&b->begin, 0), "event");
	must(event_create(&b->end, 0), "event");
	must(event_create(&b->link, 0), "event");
	for (uint32_t i = 0; i < SETS; i++) {
		must(b->ops->mem_alloc(b->device, POOL, &mem), "memory");
		b->src[i] = mem;
		must(b->ops->mem_alloc(b->device, POOL, &mem), "memory");
		b->dst[i] = mem;
		must(b->ops->pinned_alloc(b->device,
					  MAX_PIECES * sizeof(struct gpu_copy),
					  &mem),
		     "pinned memory");
		b->pinned[i] = mem;
		must(b->ops->mem_alloc(b->device,
				       MAX_PIECES * sizeof(struct gpu_copy),
				       &mem),
		     "memory");
		b->there[i] = mem;
	}
	must(b->ops->pinned_alloc(b->device, 65536, &mem), "pinned memory");
	b->flags = mem;
}

static void tear_down(struct bench *b, const struct micro *micro)
{
	for (uint32_t i = 0; i < SETS; i++) {
		b->ops->mem_free(b->device, b->src[i]);
		b->ops->mem_free(b->device, b->dst[i]);
		b->ops->mem_free(b->device, b->there[i]);
		b->ops->pinned_free(b->device, b->pinned[i]);
	}
	b->ops->pinned_free(b->device, b->flags);
	b->ops->close(b->device);
	(void)cuda_api.ctx_pop(&b->ctx);
	(void)cuda_api.primary_release((int)micro->device);
}

/* Destinations side by side in order, sources with holes, the list shuffled;
 * unaligned: where a stream of bytes would put them. */
static void make_list(struct bench *b, uint32_t set, const struct pieces *p,
		      uint64_t *dice)
{
	uint64_t from = p->align == 1 ? 54 : 0, to = 0;
	struct gpu_copy *list = b->pinned[set];
	uint32_t n = 0;

	while (to < TOTAL && n < MAX_PIECES) {
		uint32_t len = p->min_bytes;

		if (p->max_bytes > p->min_bytes)
			len += micro_rand(dice) %
			       (p->max_bytes - p->min_bytes + 1);
		len = len / p->align * p->align;
		len = len < TOTAL - to ? len : (uint32_t)(TOTAL - to);
		list[n++] =
			(struct gpu_copy){.src = (uintptr_t)b->src[set] + from,
					  .dst = (uintptr_t)b->dst[set] + to,
					  .len_bytes = len};
		to += len;
		from += len + p->hole_bytes;
		if (from + 4096 > POOL)
			from = 54 % p->align;
	}
	for (uint32_t i = n - 1; i > 0 && !p->in_order; i--) {
		uint32_t j = micro_rand(dice) % (i + 1);
		struct gpu_copy other = list[j];

		list[j] = list[i];
		list[i] = other;
	}
	b->n_copies[set] = n;
	must(b->ops->copy_wait(b->device, b->there[set], list,
			       n * sizeof(*list)),
	     "list");
}

/* All of it in one launch of 32 jobs; each stream has flags of its own. A
 * launch of fewer copies would have them read by the CPU, wherever they are. */
static void launch_set(struct bench *b, uint32_t set, uint32_t stream,
		       uint64_t value)
{
	struct gpu_launch launch = {.n_jobs = GPU_JOBS_A_LAUNCH};
	const struct gpu_copy *list = b->lists_there ? b->there[set] :
						       b->pinned[set];
	uint32_t done = 0;

	for (uint32_t i = 0; i < GPU_JOBS_A_LAUNCH; i++) {
		uint32_t n =
			(b->n_copies[set] - done) / (GPU_JOBS_A_LAUNCH - i);

		launch.jobs[i] = (struct gpu_launch_job){
			.copies = (uintptr_t)(list + done),
			.flag = (uintptr_t)(b->flags +
					    (stream * GPU_JOBS_A_LAUNCH + i) *
						    8),
			.value = value,
			.n_copies = n,
			.counter = stream * GPU_JOBS_A_LAUNCH + i};
		done += n;
	}
	must(b->ops->launch(b->device, stream, &launch), "launch");
}

static void copy_set(struct bench *b, uint32_t set, uint32_t stream)
{
	must(b->ops->copy(b->device, stream, (uintptr_t)b->dst[set],
			  (uintptr_t)b->src[set], TOTAL, 0, 0),
	     "copy");
}

/* What follows in stream `after` comes behind what is in `before`. */
static void chain(struct bench *b, uint32_t before, uint32_t after,
		  struct CUevent_st *event)
{
	if (before == after)
		return;
	must(event_record(event, b->device->streams[before]), "event");
	must(stream_wait(b->device->streams[after], event, 0), "event");
}

/* Microseconds of one, out of IN_A_ROW, dealt out to n streams. */
static double time_row(struct bench *b, bool kernel, uint32_t n_streams,
		       uint64_t *value)
{
	struct CUstream_st *first = b->device->streams[0];
	float ms = 0;

	must(event_record(b->begin, first), "event");
	for (uint32_t s = 1; s < n_streams; s++)
		chain(b, 0, s, b->link);
	for (uint32_t i = 0; i < IN_A_ROW; i++) {
		if (kernel)
			launch_set(b, i % SETS, i % n_streams, ++*value);
		else
			copy_set(b, i % SETS, i % n_streams);
	}
	for (uint32_t s = 1; s < n_streams; s++)
		chain(b, s, 0, b->link);
	must(event_record(b->end, first), "event");
	must(event_sync(b->end), "event");
	must(event_elapsed(&ms, b->begin, b->end), "event");
	return ms * 1000.0 / IN_A_ROW;
}

/* Bytes where they belong? On the CPU, piece by piece. */
static void check_set(struct bench *b, uint32_t set, uint64_t *dice)
{
	uint8_t *src = malloc(POOL), *got = malloc(TOTAL);

	if (!src || !got)
		micro_die("check", "out of memory");
	for (uint64_t i = 0; i < POOL; i += 8) {
		uint64_t r = micro_rand(dice);

		memcpy(src + i, &r, 8);
	}
	must(b->ops->copy_wait(b->device, b->src[set], src, POOL), "check");
	memset(got, 0xee, TOTAL);
	must(b->ops->copy_wait(b->device, b->dst[set], got, TOTAL), "check");
	launch_set(b, set, 0, 1);
	must(event_record(b->end, b->device->streams[0]), "check");
	must(event_sync(b->end), "check");
	must(b->ops->copy_wait(b->device, got, b->dst[set], TOTAL), "check");
	for (uint32_t i = 0; i < b->n_copies[set]; i++) {
		const struct gpu_copy *c = &b->pinned[set][i];

		if (memcmp(got + (c->dst - (uintptr_t)b->dst[set]),
			   src + (c->src - (uintptr_t)b->src[set]),
			   c->len_bytes) != 0)
			micro_die("unpack", "wrong bytes");
	}
	free(src);
	free(got);
}

/* n_streams 1: one behind the other, begin and end of each included; or as many
 * as the library has, where one's end overlaps the next one's begin. */
static void one_row(struct bench *b, const struct micro *micro,
		    const struct pieces *p, uint32_t n_streams)
{
	double kernel[1000], copy[1000], ratio[1000];
	uint64_t value = 1;

	(void)time_row(b, true, n_streams, &value);
	for (uint32_t i = 0; i < micro->rounds; i++) {
		copy[i] = time_row(b, false, n_streams, &value);
		kernel[i] = time_row(b, true, n_streams, &value);
		ratio[i] = copy[i] / kernel[i];
	}
	printf("    {\"pieces\": \"%s\", \"n\": %u, \"lists\": \"%s\", "
	       "\"streams\": %u, \"kernel_us\": %.2f, \"copy_us\": %.2f, "
	       "\"GBps\": %.0f, \"ratio\": %.3f},\n",
	       p->name, b->n_copies[0], b->lists_there ? "device" : "pinned",
	       n_streams, micro_median(kernel, micro->rounds),
	       micro_median(copy, micro->rounds),
	       TOTAL / 1e3 / micro_median(kernel, micro->rounds),
	       micro_median(ratio, micro->rounds));
}

static void one_case(struct bench *b, const struct micro *micro,
		     const struct pieces *p)
{
	uint64_t dice = 1;

	for (uint32_t set = 0; set < SETS; set++)
		make_list(b, set, p, &dice);
	b->lists_there = false;
	check_set(b, 0, &dice);
	one_row(b, micro, p, 1);
	one_row(b, micro, p, GPU_STREAMS);
	b->lists_there = true;
	one_row(b, micro, p, 1);
	one_row(b, micro, p, GPU_STREAMS);
}

void micro_unpack(const struct micro *micro)
{
	struct bench b = {0};

	if (strcmp(micro->driver, "cuda") != 0)
		return;
	set_up(&b, micro);
	printf("  \"unpack_64MiB\": [\n");
	for (size_t i = 0; i < sizeof(all_pieces) / sizeof(*all_pieces); i++)
		one_case(&b, micro, &all_pieces[i]);
	printf("    {}],\n");
	tear_down(&b, micro);
}
