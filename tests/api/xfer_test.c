/* SPDX-License-Identifier: Apache-2.0 */
/* READ and WRITE over lists, every byte and every hole checked. */
#include "check.h"
#include "support/scale.h"
#include "support/sess.h"

#define RW (TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE)
#define LOCAL_SEED 11
#define REMOTE_SEED 22

struct lists {
	struct pair pair;
	size_t cap_bytes;
	uint64_t seed; /* of this process's random choices */
};

static void lists_open(struct lists *t, enum pair_kind kind, size_t cap_bytes,
		       sess_tweak_fn tweak)
{
	pair_open(&t->pair, kind, tweak);
	t->cap_bytes = cap_bytes;
	t->seed = check_seed();
}

static void check_moved(struct lists *t, uint64_t xfer, enum tcpx_op op,
			uint64_t total_bytes)
{
	struct tcpx_xfer_info info;

	CHECK_STATUS(tcpx_xfer_query(t->pair.a->s, xfer, &info), TCPX_OK);
	CHECK_STATUS(info.status, TCPX_OK);
	CHECK_EQ(info.peer, t->pair.ab);
	CHECK_EQ(info.op, op);
	CHECK_EQ(info.total_bytes, total_bytes);
	CHECK_EQ(info.moved_bytes, total_bytes);
}

/* One list, posted `posts` times over fresh memory, then compared. */
static void run_list(struct lists *t, enum tcpx_op op, size_t n,
		     uint64_t max_bytes, int posts)
{
	uint64_t list_seed = check_rand(&t->seed), local, owned, remote, xfer;
	struct pair *pair = &t->pair;
	struct region here, there;
	struct layout layout;

	fprintf(stderr, "%s of %zu up to %llu B, seed %llu\n",
		op == TCPX_OP_READ ? "READ" : "WRITE", n,
		(unsigned long long)max_bytes, (unsigned long long)list_seed);
	region_init(&here, t->cap_bytes, LOCAL_SEED);
	region_init(&there, t->cap_bytes, REMOTE_SEED);
	layout_init(&layout, list_seed, n, max_bytes, t->cap_bytes);
	local = sess_register(pair->a, &here, TCPX_ACCESS_LOCAL);
	owned = sess_register(pair->b, &there, RW);
	remote = sess_share(pair->b, owned, pair->a);
	xfer = xfer_layout(pair->a, pair->ab, op, &layout, local, remote);
	for (int i = 0; i < posts; i++) {
		CHECK_STATUS(tcpx_xfer_post(pair->a->s, xfer, NULL), TCPX_OK);
		CHECK_STATUS(pair_wait(pair, pair->a, xfer, scale_ms(20000)),
			     TCPX_OK);
		check_moved(t, xfer, op, layout.total_bytes);
		if (op == TCPX_OP_READ)
			layout_want(&layout, &here, REMOTE_SEED, false);
		else
			layout_want(&layout, &there, LOCAL_SEED, true);
		CHECK(region_check(&here, "local"));
		CHECK(region_check(&there, "remote"));
		/* The next round must write all of it again. */
		pattern_fill(op == TCPX_OP_READ ? here.data : there.data,
			     t->cap_bytes, 33 + (uint64_t)i, 0);
		memcpy(op == TCPX_OP_READ ? here.want : there.want,
		       op == TCPX_OP_READ ? here.data : there.data,
		       t->cap_bytes);
	}
	CHECK_STATUS(tcpx_xfer_release(pair->a->s, xfer), TCPX_OK);
	CHECK_STATUS(tcpx_mem_unload(pair->a->s, remote), TCPX_OK);
	CHECK_STATUS(tcpx_mem_deregister(pair->b->s, owned), TCPX_OK);
	CHECK_STATUS(tcpx_mem_deregister(pair->a->s, local), TCPX_OK);
	layout_fini(&layout);
	region_fini(&here);
	region_fini(&there);
}

static const struct shape {
	size_t n;
	uint64_t max_bytes;
	size_t cap_bytes;
	int posts;
} shapes[] = {
	{1, 1, 100, 3},
	{1, 64, 100, 3},
	{3, 5000, 20000, 3},
	{1, 10 << 20, 10 << 20, 3},
	{17, 1 << 20, 24 << 20, 2},
	{64, 1, 4096, 3},
	{1000, 100, 200000, 3},
	{1000, 9000, 12 << 20, 2},
	{16384, 256, 8 << 20, 2},
	{16384, 4096, 72 << 20, 1},
	{100000, 1, 1 << 20, 2},
	{100000, 700, 64 << 20, 1},
};

static void run_shapes(enum pair_kind kind, enum tcpx_op op,
		       sess_tweak_fn tweak)
{
	struct lists t;

	lists_open(&t, kind, 0, tweak);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
		size_t n = shapes[i].n;

		if (n >= 10000)
			n = scale_count(n);
		t.cap_bytes = shapes[i].cap_bytes;
		run_list(&t, op, n, shapes[i].max_bytes, shapes[i].posts);
	}
	CHECK_EQ(sess_warnings(t.pair.a) + sess_warnings(t.pair.b), 0);
	pair_close(&t.pair);
}

static void write_lists(void)
{
	run_shapes(PAIR_TWO, TCPX_OP_WRITE, NULL);
}

static void read_lists(void)
{
	run_shapes(PAIR_TWO, TCPX_OP_READ, NULL);
}

static void write_lists_self(void)
{
	run_shapes(PAIR_SELF, TCPX_OP_WRITE, NULL);
}

static void read_lists_self(void)
{
	run_shapes(PAIR_SELF, TCPX_OP_READ, NULL);
}

static void write_lists_driven(void)
{
	run_shapes(PAIR_DRIVEN, TCPX_OP_WRITE, NULL);
}

static void read_lists_driven(void)
{
	run_shapes(PAIR_DRIVEN, TCPX_OP_READ, NULL);
}

static void tweak_odd(struct tcpx_config *config)
{
	config->n_flows = 3;
	config->chunk_bytes = 64 << 10;
	config->window_chunks = 4;
	config->small_bytes = 0;
	config->checksum = true;
	config->copy_below_bytes = 100;
}

static void odd_settings(void)
{
	run_shapes(PAIR_TWO, TCPX_OP_WRITE, tweak_odd);
	run_shapes(PAIR_TWO, TCPX_OP_READ, tweak_odd);
}

static void random_lists(void)
{
	size_t rounds = scale_count(60);
	struct lists t;

	lists_open(&t, PAIR_TWO, 0, NULL);
	for (size_t i = 0; i < rounds; i++) {
		size_t n = 1 + check_rand(&t.seed) % 3000;
		uint64_t max = 1 + check_rand(&t.seed) % 20000;

		if (i % 4 == 0)
			max = 1 + check_rand(&t.seed) % 40;
		t.cap_bytes = n * max + check_rand(&t.seed) % (n * max) + 1;
		if (t.cap_bytes > 24 << 20)
			t.cap_bytes = 24 << 20;
		run_list(&t, i % 2 ? TCPX_OP_READ : TCPX_OP_WRITE, n, max, 1);
	}
	pair_close(&t.pair);
}

static void million_segments(void)
{
	struct lists t;
	size_t n = scale_sanitized() ? 200000 : TCPX_SEGMENTS_MAX;

	lists_open(&t, PAIR_TWO, 64 << 20, NULL);
	run_list(&t, TCPX_OP_WRITE, n, 40, 1);
	run_list(&t, TCPX_OP_READ, n, 40, 1);
	pair_close(&t.pair);
}

static void large(void)
{
	struct lists t;

	lists_open(&t, PAIR_TWO, (scale_sanitized() ? 64u : 512u) << 20, NULL);
	run_list(&t, TCPX_OP_WRITE, 1, t.cap_bytes, 1);
	run_list(&t, TCPX_OP_READ, 1, t.cap_bytes, 1);
	pair_close(&t.pair);
}

/* Lengths around what might be a limit inside. */
static void edges(void)
{
	static const uint64_t at[] = {1,      2,       8,      255,   256,
				      4096,   8192,    16384,  65536, 262144,
				      524288, 1048576, 2097152};
	struct lists t;
	struct region here, there;
	uint64_t local, remote, xfer;

	lists_open(&t, PAIR_TWO, 0, NULL);
	region_init(&here, 2200000, LOCAL_SEED);
	region_init(&there, 2200000, REMOTE_SEED);
	local = sess_register(t.pair.a, &here, TCPX_ACCESS_LOCAL);
	remote = sess_share(t.pair.b, sess_register(t.pair.b, &there, RW),
			    t.pair.a);
	for (size_t i = 0; i < 3 * sizeof(at) / sizeof(*at); i++) {
		uint64_t len = at[i / 3] + i % 3 - 1, off = 7 * i;

		if (!len)
			continue;
		xfer = xfer_one(t.pair.a, t.pair.ab, TCPX_OP_WRITE, local, off,
				remote, 2 * off, len);
		CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, xfer, NULL), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_wait(t.pair.a->s, xfer, scale_ms(5000)),
			     TCPX_OK);
		CHECK_STATUS(tcpx_xfer_release(t.pair.a->s, xfer), TCPX_OK);
		region_want(&there, 2 * off, len, LOCAL_SEED, off);
		CHECK(region_check(&there, "remote"));
		pattern_fill(here.data, len, 5 + i, 0);
		xfer = xfer_one(t.pair.a, t.pair.ab, TCPX_OP_READ, local, 0,
				remote, 3, len);
		memcpy(here.want, there.data + 3, len);
		CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, xfer, NULL), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_wait(t.pair.a->s, xfer, scale_ms(5000)),
			     TCPX_OK);
		CHECK_STATUS(tcpx_xfer_release(t.pair.a->s, xfer), TCPX_OK);
		CHECK(region_check(&here, "local"));
		pattern_fill(here.data, here.len_bytes, LOCAL_SEED, 0);
		pattern_fill(here.want, here.len_bytes, LOCAL_SEED, 0);
	}
	pair_close(&t.pair);
	region_fini(&here);
	region_fini(&there);
}

#define SLICES 64u

struct slice {
	uint64_t xfer_ab, xfer_ba;
	struct layout layout;
};

/* Many transfers of both sides in flight at once, each on its own slice. */
static void outstanding(void)
{
	struct slice slices[SLICES];
	struct region src[2], dst[2];
	uint64_t mem_src[2], mem_dst[2], remote[2], slice_bytes = 512 << 10;
	struct pair pair;
	uint64_t seed = check_seed();

	pair_open(&pair, PAIR_TWO, NULL);
	for (int i = 0; i < 2; i++) {
		struct sess *own = i ? pair.b : pair.a;
		struct sess *other = i ? pair.a : pair.b;

		region_init(&src[i], SLICES * slice_bytes, 100 + (uint64_t)i);
		region_init(&dst[i], SLICES * slice_bytes, 200 + (uint64_t)i);
		mem_src[i] = sess_register(own, &src[i], TCPX_ACCESS_LOCAL);
		mem_dst[i] = sess_register(other, &dst[i], RW);
		remote[i] = sess_share(other, mem_dst[i], own);
	}
	for (unsigned int k = 0; k < SLICES; k++) {
		struct layout *layout = &slices[k].layout;

		layout_init(layout, check_rand(&seed), 1 + 7 * k, 20000,
			    slice_bytes);
		for (size_t i = 0; i < layout->n; i++) {
			layout->pieces[i].a_off += k * slice_bytes;
			layout->pieces[i].b_off += k * slice_bytes;
		}
		slices[k].xfer_ab = xfer_layout(pair.a, pair.ab, TCPX_OP_WRITE,
						layout, mem_src[0], remote[0]);
		slices[k].xfer_ba = xfer_layout(pair.b, pair.ba, TCPX_OP_WRITE,
						layout, mem_src[1], remote[1]);
		layout_want(layout, &dst[0], 100, true);
		layout_want(layout, &dst[1], 101, true);
	}
	for (unsigned int k = 0; k < SLICES; k++) {
		CHECK_STATUS(tcpx_xfer_post(pair.a->s, slices[k].xfer_ab, NULL),
			     TCPX_OK);
		CHECK_STATUS(tcpx_xfer_post(pair.b->s, slices[k].xfer_ba, NULL),
			     TCPX_OK);
	}
	for (unsigned int k = SLICES; k-- > 0;) {
		CHECK_STATUS(tcpx_xfer_wait(pair.a->s, slices[k].xfer_ab,
					    scale_ms(20000)),
			     TCPX_OK);
		CHECK_STATUS(tcpx_xfer_wait(pair.b->s, slices[k].xfer_ba,
					    scale_ms(20000)),
			     TCPX_OK);
		layout_fini(&slices[k].layout);
	}
	for (int i = 0; i < 2; i++) {
		CHECK(region_check(&src[i], "source"));
		CHECK(region_check(&dst[i], "destination"));
	}
	pair_close(&pair);
	for (int i = 0; i < 2; i++) {
		region_fini(&src[i]);
		region_fini(&dst[i]);
	}
}

/* Many regions on both sides in one list. */
static void many_regions(void)
{
	enum { N = 200, LEN = 3000 };
	struct tcpx_segment segments[N];
	struct region here, there;
	uint64_t xfer, owned, local;
	struct pair pair;

	pair_open(&pair, PAIR_TWO, NULL);
	region_init(&here, N * LEN, LOCAL_SEED);
	region_init(&there, N * LEN, REMOTE_SEED);
	for (size_t i = 0; i < N; i++) {
		size_t j = (i * 37) % N;

		CHECK_STATUS(tcpx_mem_register(pair.a->s, here.data + i * LEN,
					       LEN, TCPX_ACCESS_LOCAL, &local),
			     TCPX_OK);
		CHECK_STATUS(tcpx_mem_register(pair.b->s, there.data + j * LEN,
					       LEN, RW, &owned),
			     TCPX_OK);
		segments[i] = (struct tcpx_segment){
			.local_mem = local,
			.local_off = 5,
			.remote_mem = sess_share(pair.b, owned, pair.a),
			.remote_off = i % 50,
			.len_bytes = LEN - 50};
		region_want(&there, j * LEN + i % 50, LEN - 50, LOCAL_SEED,
			    i * LEN + 5);
	}
	xfer = xfer_make(pair.a, pair.ab, TCPX_OP_WRITE, segments, N, 0);
	CHECK_STATUS(tcpx_xfer_post(pair.a->s, xfer, NULL), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_wait(pair.a->s, xfer, scale_ms(5000)), TCPX_OK);
	CHECK(region_check(&there, "remote"));
	pair_close(&pair);
	region_fini(&here);
	region_fini(&there);
}

/* As many regions as a list may name, each of them many times and by turns;
 * those over there by two handles each. */
static void all_regions_by_turns(void)
{
	enum { N = TCPX_REGIONS_MAX, EACH = 8, PIECE = 24, LEN = EACH * 32 };
	static uint64_t ours[N], theirs[2][N];
	static struct tcpx_segment segments[N * EACH];
	struct region here, there;
	struct pair pair;
	uint64_t xfer;

	pair_open(&pair, PAIR_TWO, NULL);
	region_init(&here, N * LEN, LOCAL_SEED);
	region_init(&there, N * LEN, REMOTE_SEED);
	for (size_t i = 0; i < N; i++) {
		uint64_t owned;

		CHECK_STATUS(tcpx_mem_register(pair.a->s, here.data + i * LEN,
					       LEN, TCPX_ACCESS_LOCAL,
					       &ours[i]),
			     TCPX_OK);
		CHECK_STATUS(tcpx_mem_register(pair.b->s, there.data + i * LEN,
					       LEN, RW, &owned),
			     TCPX_OK);
		theirs[0][i] = sess_share(pair.b, owned, pair.a);
		theirs[1][i] = sess_share(pair.b, owned, pair.a);
	}
	for (size_t i = 0; i < N * EACH; i++) {
		size_t turn = i / N, from = i % N, to = i * 37 % N;

		segments[i] = (struct tcpx_segment){ours[from], turn * 32 + 3,
						    theirs[turn % 2][to],
						    turn * 32 + turn, PIECE};
		region_want(&there, to * LEN + turn * 32 + turn, PIECE,
			    LOCAL_SEED, from * LEN + turn * 32 + 3);
	}
	xfer = xfer_make(pair.a, pair.ab, TCPX_OP_WRITE, segments, N * EACH, 0);
	CHECK_STATUS(tcpx_xfer_post(pair.a->s, xfer, NULL), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_wait(pair.a->s, xfer, scale_ms(5000)), TCPX_OK);
	CHECK(region_check(&there, "remote"));
	/* A wrong one among them is found out, and nothing is kept of it. */
	segments[N * EACH - 1].local_mem = theirs[0][0];
	struct tcpx_xfer_params params = {.size_bytes = sizeof(params),
					  .peer = pair.ab,
					  .op = TCPX_OP_WRITE,
					  .segments = segments,
					  .n_segments = N * EACH};
	CHECK_STATUS(tcpx_xfer_prepare(pair.a->s, &params, &xfer), TCPX_ENOENT);
	pair_close(&pair);
	region_fini(&here);
	region_fini(&there);
}

/* Hands out a list piece by piece; 0 once `end` have been. */
struct dealer {
	const struct tcpx_segment *segments;
	size_t at, end, most; /* at once */
	size_t calls;
};

static size_t deal(void *arg, struct tcpx_segment *rows, size_t max)
{
	struct dealer *d = arg;
	size_t n = d->end - d->at;

	CHECK(max > 0);
	n = n < max ? n : max;
	n = n < d->most ? n : d->most;
	memcpy(rows, d->segments + d->at, n * sizeof(*rows));
	d->at += n;
	d->calls++;
	return n;
}

/* The segments come by calls: all that there is room for, one at a time, and
 * fewer than were announced. */
static void segments_by_calls(void)
{
	enum { N = 1000, PIECE = 24, LEN = N * 64 };
	static const struct {
		size_t most, end;
	} rows[] = {{SIZE_MAX, N}, {1, N}, {7, N}, {SIZE_MAX, N - 1}, {1, 1}};
	struct tcpx_segment segments[N];
	struct region here, there;
	struct pair pair;

	pair_open(&pair, PAIR_TWO, NULL);
	for (size_t k = 0; k < sizeof(rows) / sizeof(*rows); k++) {
		region_init(&here, LEN, LOCAL_SEED);
		region_init(&there, LEN, REMOTE_SEED);
		uint64_t local =
			sess_register(pair.a, &here, TCPX_ACCESS_LOCAL);
		uint64_t owned = sess_register(pair.b, &there, RW), xfer;
		uint64_t remote = sess_share(pair.b, owned, pair.a);
		struct dealer d = {segments, 0, rows[k].end, rows[k].most, 0};
		struct tcpx_xfer_params params = {.size_bytes = sizeof(params),
						  .peer = pair.ab,
						  .op = TCPX_OP_WRITE,
						  .n_segments = N,
						  .next_segments = deal,
						  .next_arg = &d};

		for (size_t i = 0; i < N; i++) {
			size_t from = i * 37 % N * 64 + i % 8;
			size_t to = i * 71 % N * 64 + i % 5;

			segments[i] = (struct tcpx_segment){local, from, remote,
							    to, PIECE};
			if (i < rows[k].end)
				region_want(&there, to, PIECE, LOCAL_SEED,
					    from);
		}
		CHECK_STATUS(tcpx_xfer_prepare(pair.a->s, &params, &xfer),
			     TCPX_OK);
		CHECK_EQ(d.at, rows[k].end);
		CHECK_STATUS(tcpx_xfer_post(pair.a->s, xfer, NULL), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_wait(pair.a->s, xfer, scale_ms(5000)),
			     TCPX_OK);
		CHECK(region_check(&there, "remote"));
		CHECK_STATUS(tcpx_xfer_release(pair.a->s, xfer), TCPX_OK);
		CHECK_STATUS(tcpx_mem_deregister(pair.b->s, owned), TCPX_OK);
		CHECK_STATUS(tcpx_mem_deregister(pair.a->s, local), TCPX_OK);
		region_fini(&here);
		region_fini(&there);
	}
	pair_close(&pair);
}

static const struct check_case cases[] = {
	{"write_lists", write_lists, 60},
	{"read_lists", read_lists, 60},
	{"write_lists_self", write_lists_self, 60},
	{"read_lists_self", read_lists_self, 60},
	{"write_lists_driven", write_lists_driven, 60},
	{"read_lists_driven", read_lists_driven, 60},
	{"odd_settings", odd_settings, 90},
	{"random_lists", random_lists, 90},
	{"million_segments", million_segments, 90},
	{"large", large, 90},
	{"edges", edges, 0},
	{"outstanding", outstanding, 60},
	{"many_regions", many_regions, 0},
	{"all_regions_by_turns", all_regions_by_turns, 0},
	{"segments_by_calls", segments_by_calls, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
