/* SPDX-License-Identifier: Apache-2.0 */
/* The backend in a real NIXL, two processes, memory of pretend GPUs
 * (TCPX_GPU=host): here, there, on both sides; every byte looked at. */
#include <inttypes.h>

#include "check.h"
#include "duo.h"
#include "e2e/hex.h"
#include "support/proc.h"
#include "support/vram.h"

#define HOST (-1)
#define LEN (4 * M)

/* Agent a here, agent b in its process; a region each, in memory of the host
 * or of that GPU. */
struct pair {
	struct side a;
	struct vram vram;
	struct region near;
	uint8_t *base; /* of near, as NIXL knows it */
	int near_gpu;
	struct proc far;
	uint64_t far_base;
};

#define FAR_OK(pair, ...) CHECK(proc_ask(&(pair)->far, __VA_ARGS__))

static struct side_mem mem_of(int gpu)
{
	return gpu == HOST ? (struct side_mem){CAPI_DRAM, 0} :
			     (struct side_mem){CAPI_VRAM, (uint64_t)gpu};
}

static void near_open(struct pair *pair, int gpu)
{
	side_open(&pair->a, "a", NULL);
	pair->near_gpu = gpu;
	pair->a.mem = mem_of(gpu);
	if (gpu == HOST) {
		region_init(&pair->near, LEN, 1);
		pair->base = pair->near.data;
	} else {
		vram_init(&pair->vram, (uint32_t)gpu, LEN);
		vram_region(&pair->vram, &pair->near, LEN, 1);
		pair->base = pair->vram.dev;
	}
	side_register(&pair->a, pair->base, LEN);
}

static void far_open(struct pair *pair, int gpu)
{
	char len[32], device[16], path[4096];
	const char *host[] = {path, "b", len, "2", NULL};
	const char *vram[] = {path, "--gpu", device, "b", len, "2", NULL};
	static uint8_t md[16384];
	const char *line;
	int used = 0;

	snprintf(path, sizeof(path), "%s", proc_path("TEST_NIXLD", "nixld"));
	snprintf(len, sizeof(len), "%lu", LEN);
	snprintf(device, sizeof(device), "%d", gpu);
	proc_start(&pair->far, NULL, NULL, gpu == HOST ? host : vram);
	line = proc_line(&pair->far, SOON);
	CHECK(line &&
	      sscanf(line, "ok %" SCNu64 " %n", &pair->far_base, &used) == 1);
	CHECK_EQ(side_load(&pair->a, md,
			   hex_decode(line + used, md, sizeof(md))),
		 0);
	pair->a.far_mem = mem_of(gpu);
}

static void pair_open(struct pair *pair, int near_gpu, int far_gpu)
{
	near_open(pair, near_gpu);
	far_open(pair, far_gpu);
}

static void pair_close(struct pair *pair)
{
	CHECK(region_check(&pair->near, "near"));
	FAR_OK(pair, "check");
	proc_send(&pair->far, "quit");
	CHECK_EQ(proc_stop(&pair->far), 0);
	side_close(&pair->a);
	region_fini(&pair->near);
	if (pair->near_gpu != HOST)
		vram_fini(&pair->vram);
}

static void want(struct pair *pair, enum capi_op op, const struct piece *piece)
{
	if (op == CAPI_READ)
		region_want(&pair->near, piece->a_off, piece->len_bytes, 2,
			    piece->b_off);
	else
		FAR_OK(pair, "want %" PRIu64 " %" PRIu64 " 1 %" PRIu64,
		       piece->b_off, piece->len_bytes, piece->a_off);
}

static void *request_of(struct pair *pair, enum capi_op op,
			const struct layout *layout)
{
	struct piece_pair *pieces = calloc(layout->n, sizeof(*pieces));

	CHECK(pieces);
	for (size_t i = 0; i < layout->n; i++)
		pieces[i] = (struct piece_pair){
			pair->base + layout->pieces[i].a_off,
			pair->far_base + layout->pieces[i].b_off,
			layout->pieces[i].len_bytes};
	void *req =
		side_request(&pair->a, op, "b", pieces, layout->n, "moved", 5);

	free(pieces);
	CHECK(req);
	return req;
}

/* Twice: the second one is a repost. One notification each. */
static void move(struct pair *pair, enum capi_op op,
		 const struct layout *layout)
{
	void *req = request_of(pair, op, layout);

	for (size_t i = 0; i < layout->n; i++)
		want(pair, op, &layout->pieces[i]);
	for (int i = 0; i < 2; i++) {
		side_run(&pair->a, req);
		CHECK_STR(proc_ask(&pair->far, "note %d", SOON), "a moved");
		CHECK(region_check(&pair->near, "near"));
		FAR_OK(pair, "check");
	}
	CHECK_STR(proc_ask(&pair->far, "note 0"), "-");
	side_release(&pair->a, req);
}

/* One op each way round, so that what was moved is never moved back. */
static void between(int near_gpu, int far_gpu, enum capi_op op)
{
	/* Rides in its request, small pieces, mixed ones, large ones. */
	static const struct {
		size_t n;
		uint64_t max_bytes;
	} shapes[] = {{1, 8}, {3, 2000}, {400, 600}, {60, 60000}, {4, M}};
	uint64_t seed = check_seed();
	struct pair pair;

	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
		struct layout layout;

		pair_open(&pair, near_gpu, far_gpu);
		layout_init(&layout, seed + i, shapes[i].n, shapes[i].max_bytes,
			    LEN);
		move(&pair, op, &layout);
		layout_fini(&layout);
		pair_close(&pair);
	}
}

static void write_host_to_gpu(void)
{
	between(HOST, 1, CAPI_WRITE);
}

static void write_gpu_to_host(void)
{
	between(0, HOST, CAPI_WRITE);
}

static void write_gpu_to_gpu(void)
{
	between(1, 0, CAPI_WRITE);
}

static void read_gpu_to_host(void)
{
	between(HOST, 0, CAPI_READ);
}

static void read_host_to_gpu(void)
{
	between(1, HOST, CAPI_READ);
}

static void read_gpu_to_gpu(void)
{
	between(0, 1, CAPI_READ);
}

/* When release returns, the memory is ours again, though the peer goes on. */
static void released_in_flight(void)
{
	struct pair pair;

	pair_open(&pair, 0, 1);
	for (int i = 0; i < 20; i++) {
		void *req = side_one(&pair.a, CAPI_READ, "b", pair.base,
				     pair.far_base, LEN, NULL, 0);

		CHECK(req);
		CHECK(side_post(&pair.a, req) >= 0);
		if (i % 2)
			test_sleep_ms(i / 4);
		side_release(&pair.a, req);
		pattern_fill(pair.near.data, LEN, 1, 0);
		test_sleep_ms(3);
		CHECK(region_check(&pair.near, "released"));
	}
	pair_close(&pair);
}

/* Memory of two GPUs in one agent. */
static void two_gpus_in_one_agent(void)
{
	struct pair pair;
	struct region region;
	struct vram vram;

	pair_open(&pair, 0, HOST);
	vram_init(&vram, 1, M);
	vram_region(&vram, &region, M, 3);
	pair.a.mem = mem_of(1);
	void *registered = side_register(&pair.a, vram.dev, M);
	void *req = side_one(&pair.a, CAPI_WRITE, "b", vram.dev,
			     pair.far_base + 1000, M, NULL, 0);

	CHECK(req);
	side_run(&pair.a, req);
	side_release(&pair.a, req);
	FAR_OK(&pair, "want 1000 %lu 3 0", M);
	FAR_OK(&pair, "check");
	side_deregister(&pair.a, registered);
	CHECK(region_check(&region, "second"));
	region_fini(&region);
	vram_fini(&vram);
	pair_close(&pair);
}

/* From one GPU's memory into another's of the same agent. */
static void self_transfer(void)
{
	struct pair pair;

	near_open(&pair, 1);
	pair.a.far_mem = mem_of(1);
	void *req = side_one(&pair.a, CAPI_WRITE, "a", pair.base,
			     (uintptr_t)pair.base + 2 * M, M, "self", 4);

	CHECK(req);
	side_run(&pair.a, req);
	side_want_note(&pair.a, "a", "self", 4);
	side_release(&pair.a, req);
	region_want(&pair.near, 2 * M, M, 1, 0);
	CHECK(region_check(&pair.near, "near"));
	side_close(&pair.a);
	region_fini(&pair.near);
	vram_fini(&pair.vram);
}

static const struct check_case cases[] = {
	{"write_host_to_gpu", write_host_to_gpu, 60},
	{"write_gpu_to_host", write_gpu_to_host, 60},
	{"write_gpu_to_gpu", write_gpu_to_gpu, 60},
	{"read_gpu_to_host", read_gpu_to_host, 60},
	{"read_host_to_gpu", read_host_to_gpu, 60},
	{"read_gpu_to_gpu", read_gpu_to_gpu, 60},
	{"released_in_flight", released_in_flight, 60},
	{"two_gpus_in_one_agent", two_gpus_in_one_agent, 0},
	{"self_transfer", self_transfer, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
