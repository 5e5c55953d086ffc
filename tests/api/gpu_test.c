/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device memory behind the public header: every operation, in every
 * combination of host memory and two GPUs, every byte checked. Runs on the
 * pretend GPU, or with TEST_GPU=cuda on a real one.
 */
#include "check.h"
#include "support/scale.h"
#include "support/sess.h"

#define RW (TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE)
#define LOCAL_SEED 11
#define REMOTE_SEED 22
#define SOON scale_ms(20000)
#define HOST (-1)

static void tweak(struct tcpx_config *config)
{
	const char *gpu = getenv("TEST_GPU");

	config->gpu = gpu ? gpu : "host";
}

static void tweak_checksum(struct tcpx_config *config)
{
	tweak(config);
	config->checksum = true;
}

static void tweak_few_slots(struct tcpx_config *config)
{
	tweak(config);
	config->gpu_slots = 8;
	config->n_flows = 4;
}

static void tweak_copy_engine(struct tcpx_config *config)
{
	tweak(config);
	config->gpu_copy_engine = true;
}

static void tweak_through_host(struct tcpx_config *config)
{
	tweak(config);
	config->gpu_through_host = true;
}

/* ---- memory somewhere ------------------------------------------------- */

/* A region of a test, and, on a GPU, the device memory it stands for. */
struct buf {
	struct region region;
	struct sess *sess;
	int gpu; /* HOST, or an index */
	void *device;
	uint64_t mem;
};

static void buf_push(struct buf *buf)
{
	if (buf->gpu != HOST)
		CHECK_STATUS(tcpx_gpu_copy(buf->sess->s, (uint32_t)buf->gpu,
					   buf->device, buf->region.data,
					   buf->region.len_bytes),
			     TCPX_OK);
}

static void buf_pull(struct buf *buf)
{
	if (buf->gpu != HOST)
		CHECK_STATUS(tcpx_gpu_copy(buf->sess->s, (uint32_t)buf->gpu,
					   buf->region.data, buf->device,
					   buf->region.len_bytes),
			     TCPX_OK);
}

static void buf_open(struct buf *buf, struct sess *sess, int gpu,
		     size_t len_bytes, uint64_t seed, uint32_t access)
{
	int32_t where;

	memset(buf, 0, sizeof(*buf));
	buf->sess = sess;
	buf->gpu = gpu;
	region_init(&buf->region, len_bytes, seed);
	if (gpu != HOST)
		CHECK_STATUS(tcpx_gpu_alloc(sess->s, (uint32_t)gpu, len_bytes,
					    &buf->device),
			     TCPX_OK);
	buf_push(buf);
	CHECK_STATUS(tcpx_mem_register(sess->s,
				       gpu == HOST ? buf->region.data :
						     buf->device,
				       len_bytes, access, &buf->mem),
		     TCPX_OK);
	CHECK_STATUS(tcpx_mem_gpu(sess->s, buf->mem, &where), TCPX_OK);
	CHECK_EQ(where, gpu);
}

static void buf_close(struct buf *buf)
{
	if (buf->mem)
		CHECK_STATUS(tcpx_mem_deregister(buf->sess->s, buf->mem),
			     TCPX_OK);
	if (buf->device)
		CHECK_STATUS(tcpx_gpu_free(buf->sess->s, (uint32_t)buf->gpu,
					   buf->device),
			     TCPX_OK);
	region_fini(&buf->region);
}

static bool buf_check(struct buf *buf, const char *what)
{
	buf_pull(buf);
	return region_check(&buf->region, what);
}

static int n_gpus(struct sess *sess)
{
	char why[128] = "";
	uint32_t n = tcpx_gpu_count(sess->s, why, sizeof(why));

	fprintf(stderr, "%u GPUs %s\n", n, why);
	CHECK(n > 0);
	return n < 2 ? 1 : 2;
}

/* ---- lists ------------------------------------------------------------ */

static const struct shape {
	size_t n;
	uint64_t max_bytes;
	size_t cap_bytes;
} shapes[] = {
	{1, 1, 100},	       {3, 5000, 20000},
	{1, 9 << 20, 9 << 20}, {17, 1 << 20, 12 << 20},
	{64, 1, 4096},	       {1000, 9000, 6 << 20},
	{20000, 256, 4 << 20}, {20000, 16, 1 << 20},
};

static void run_list(struct pair *pair, enum tcpx_op op, int here, int there,
		     const struct shape *shape, uint64_t seed)
{
	struct buf local, owned;
	struct layout layout;
	uint64_t remote, xfer;

	fprintf(stderr, "%s of %zu up to %llu B, GPU %d to %d, seed %llu\n",
		op == TCPX_OP_READ ? "READ" : "WRITE", shape->n,
		(unsigned long long)shape->max_bytes, here, there,
		(unsigned long long)seed);
	buf_open(&local, pair->a, here, shape->cap_bytes, LOCAL_SEED, 0);
	buf_open(&owned, pair->b, there, shape->cap_bytes, REMOTE_SEED, RW);
	layout_init(&layout, seed, shape->n, shape->max_bytes,
		    shape->cap_bytes);
	remote = sess_share(pair->b, owned.mem, pair->a);
	xfer = xfer_layout(pair->a, pair->ab, op, &layout, local.mem, remote);
	for (int i = 0; i < 2; i++) {
		CHECK_STATUS(tcpx_xfer_post(pair->a->s, xfer, NULL), TCPX_OK);
		CHECK_STATUS(pair_wait(pair, pair->a, xfer, SOON), TCPX_OK);
	}
	if (op == TCPX_OP_READ)
		layout_want(&layout, &local.region, REMOTE_SEED, false);
	else
		layout_want(&layout, &owned.region, LOCAL_SEED, true);
	CHECK(buf_check(&local, "local"));
	CHECK(buf_check(&owned, "remote"));
	CHECK_STATUS(tcpx_xfer_release(pair->a->s, xfer), TCPX_OK);
	layout_fini(&layout);
	buf_close(&local);
	buf_close(&owned);
}

static void run_shapes(enum pair_kind kind, sess_tweak_fn with)
{
	uint64_t seed = check_seed();
	struct pair pair;

	pair_open(&pair, kind, with);
	int n = n_gpus(pair.a);

	for (int here = HOST; here < n; here++)
		for (int there = HOST; there < n; there++)
			for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes);
			     i++) {
				if (here == HOST && there == HOST)
					continue;
				run_list(&pair, TCPX_OP_WRITE, here, there,
					 &shapes[i], check_rand(&seed));
				run_list(&pair, TCPX_OP_READ, here, there,
					 &shapes[i], check_rand(&seed));
			}
	CHECK_EQ(sess_warnings(pair.a) + sess_warnings(pair.b), 0);
	pair_close(&pair);
}

static void lists(void)
{
	run_shapes(PAIR_TWO, tweak);
}

static void lists_self(void)
{
	run_shapes(PAIR_SELF, tweak);
}

static void lists_driven(void)
{
	run_shapes(PAIR_DRIVEN, tweak);
}

static void lists_checksum(void)
{
	run_shapes(PAIR_TWO, tweak_checksum);
}

static void lists_few_slots(void)
{
	run_shapes(PAIR_TWO, tweak_few_slots);
}

static void lists_copy_engine(void)
{
	run_shapes(PAIR_TWO, tweak_copy_engine);
}

/* Only of transports that receive into pages on a GPU. */
static void lists_through_host(void)
{
	const char *transports = getenv("TCPX_TRANSPORTS");

	if (!transports || strncmp(transports, "netplugin", 9) != 0)
		SKIP("this transport has no pages on a GPU");
	run_shapes(PAIR_TWO, tweak_through_host);
}

/* ---- one list over memory of several kinds ---------------------------- */

#define KINDS 3
#define MIXED_SEGMENTS 600
#define MIXED_BYTES (8u << 20) /* of each kind */

/* Segments go from any kind to any other, 1 B to 64 KiB, and back. */
static void mixed(void)
{
	struct tcpx_segment segments[MIXED_SEGMENTS];
	uint64_t off[2][KINDS] = {{0}}, remote[KINDS], xfer;
	uint64_t seed = check_seed();
	struct buf here[KINDS], there[KINDS];
	struct pair pair;

	pair_open(&pair, PAIR_TWO, tweak);
	int n = n_gpus(pair.a);

	for (int k = 0; k < KINDS; k++) {
		int gpu = k - 1 < n ? k - 1 : 0;

		buf_open(&here[k], pair.a, gpu, MIXED_BYTES,
			 LOCAL_SEED + (uint64_t)k, 0);
		buf_open(&there[k], pair.b, gpu, MIXED_BYTES,
			 REMOTE_SEED + (uint64_t)k, RW);
		remote[k] = sess_share(pair.b, there[k].mem, pair.a);
	}
	for (size_t i = 0; i < MIXED_SEGMENTS; i++) {
		uint64_t from = check_rand(&seed) % KINDS;
		uint64_t to = check_rand(&seed) % KINDS;
		uint64_t len = 1 + check_rand(&seed) % (i % 7 ? 3000 : 65536);

		segments[i] = (struct tcpx_segment){here[from].mem,
						    off[0][from], remote[to],
						    off[1][to], len};
		region_want(&there[to].region, off[1][to], len,
			    LOCAL_SEED + from, off[0][from]);
		off[0][from] += len + i % 3;
		off[1][to] += len + i % 5;
	}
	xfer = xfer_make(pair.a, pair.ab, TCPX_OP_WRITE, segments,
			 MIXED_SEGMENTS, 0);
	CHECK_STATUS(tcpx_xfer_post(pair.a->s, xfer, NULL), TCPX_OK);
	CHECK_STATUS(pair_wait(&pair, pair.a, xfer, SOON), TCPX_OK);
	for (int k = 0; k < KINDS; k++) {
		CHECK(buf_check(&there[k], "written"));
		/* It comes back over other bytes. */
		memset(here[k].region.data, 0x5a, MIXED_BYTES);
		buf_push(&here[k]);
	}
	CHECK_STATUS(tcpx_xfer_release(pair.a->s, xfer), TCPX_OK);
	xfer = xfer_make(pair.a, pair.ab, TCPX_OP_READ, segments,
			 MIXED_SEGMENTS, 0);
	CHECK_STATUS(tcpx_xfer_post(pair.a->s, xfer, NULL), TCPX_OK);
	CHECK_STATUS(pair_wait(&pair, pair.a, xfer, SOON), TCPX_OK);
	for (int k = 0; k < KINDS; k++)
		memset(here[k].region.want, 0x5a, MIXED_BYTES);
	for (size_t i = 0; i < MIXED_SEGMENTS; i++)
		for (uint64_t k = 0; k < KINDS; k++)
			if (segments[i].local_mem == here[k].mem)
				region_want(&here[k].region,
					    segments[i].local_off,
					    segments[i].len_bytes,
					    LOCAL_SEED + k,
					    segments[i].local_off);
	for (int k = 0; k < KINDS; k++)
		CHECK(buf_check(&here[k], "read back"));
	CHECK_STATUS(tcpx_xfer_release(pair.a->s, xfer), TCPX_OK);
	for (int k = 0; k < KINDS; k++) {
		buf_close(&here[k]);
		buf_close(&there[k]);
	}
	pair_close(&pair);
}

/* ---- notifications ---------------------------------------------------- */

/* The bytes are in the device's memory when the notification comes. */
static void notified(void)
{
	static const uint64_t lens[] = {8, 5000, 300000};
	uint64_t seed = check_seed();
	struct buf local, owned;
	struct pair pair;

	pair_open(&pair, PAIR_TWO, tweak);
	for (int i = 0; i < 60; i++) {
		struct tcpx_post_params post = {.size_bytes = sizeof(post),
						.has_notify = true,
						.notify = &i,
						.notify_len_bytes = sizeof(i)};
		struct tcpx_notification *note;
		uint64_t len = lens[i % 3], s = check_rand(&seed), xfer;

		buf_open(&local, pair.a, i % 2 - 1, len, s, 0);
		buf_open(&owned, pair.b, 0, len, REMOTE_SEED, RW);
		xfer = xfer_one(pair.a, pair.ab, TCPX_OP_WRITE, local.mem, 0,
				sess_share(pair.b, owned.mem, pair.a), 0, len);
		CHECK_STATUS(tcpx_xfer_post(pair.a->s, xfer, &post), TCPX_OK);
		CHECK_STATUS(pair_wait_note(&pair, pair.b, &note, SOON),
			     TCPX_OK);
		CHECK_EQ(note->len_bytes, sizeof(i));
		CHECK(!memcmp(note->data, &i, sizeof(i)));
		region_want(&owned.region, 0, len, s, 0);
		CHECK(buf_check(&owned, "when notified"));
		tcpx_notify_free(note);
		CHECK_STATUS(pair_wait(&pair, pair.a, xfer, SOON), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_release(pair.a->s, xfer), TCPX_OK);
		buf_close(&local);
		buf_close(&owned);
	}
	pair_close(&pair);
}

/* ---- SEND and RECV ---------------------------------------------------- */

static void send_recv_one(struct pair *pair, int from, int to, uint64_t len,
			  bool early)
{
	struct buf source, sink;
	uint64_t send, recv;
	struct tcpx_segment seg[2];

	fprintf(stderr, "SEND of %llu from %d to %d, %s\n",
		(unsigned long long)len, from, to, early ? "early" : "late");
	buf_open(&source, pair->a, from, len, LOCAL_SEED, 0);
	buf_open(&sink, pair->b, to, len + 100, REMOTE_SEED, 0);
	seg[0] = (struct tcpx_segment){.local_mem = source.mem,
				       .len_bytes = len};
	/* Received in two pieces with a hole. */
	seg[1] = (struct tcpx_segment){.local_mem = sink.mem,
				       .local_off = len / 2 + 50,
				       .len_bytes = len - len / 2};
	send = xfer_make(pair->a, pair->ab, TCPX_OP_SEND, seg, 1, 7);
	seg[0] = (struct tcpx_segment){
		.local_mem = sink.mem, .local_off = 3, .len_bytes = len / 2};
	recv = xfer_make(pair->b, pair->ba, TCPX_OP_RECV,
			 len > 1 ? &seg[0] : &seg[1], len > 1 ? 2 : 1, 7);
	if (early)
		CHECK_STATUS(tcpx_xfer_post(pair->a->s, send, NULL), TCPX_OK);
	if (early)
		test_sleep_ms(5);
	CHECK_STATUS(tcpx_xfer_post(pair->b->s, recv, NULL), TCPX_OK);
	if (!early)
		CHECK_STATUS(tcpx_xfer_post(pair->a->s, send, NULL), TCPX_OK);
	CHECK_STATUS(pair_wait(pair, pair->b, recv, SOON), TCPX_OK);
	region_want(&sink.region, 3, len / 2, LOCAL_SEED, 0);
	region_want(&sink.region, len / 2 + 50, len - len / 2, LOCAL_SEED,
		    len / 2);
	CHECK(buf_check(&sink, "received"));
	CHECK_STATUS(pair_wait(pair, pair->a, send, SOON), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_release(pair->a->s, send), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_release(pair->b->s, recv), TCPX_OK);
	buf_close(&source);
	buf_close(&sink);
}

static void send_recv(void)
{
	static const uint64_t lens[] = {1, 2000, 8000, 3 << 20};
	struct pair pair;

	pair_open(&pair, PAIR_TWO, tweak);
	for (int from = HOST; from < 1; from++)
		for (int to = HOST; to < 1; to++)
			for (size_t i = 0; i < sizeof(lens) / sizeof(*lens);
			     i++) {
				send_recv_one(&pair, from, to, lens[i], true);
				send_recv_one(&pair, from, to, lens[i], false);
			}
	CHECK_EQ(sess_warnings(pair.a) + sess_warnings(pair.b), 0);
	pair_close(&pair);
}

/* ---- how the bytes are cut, and what is held -------------------------- */

#define CUT_BYTES (16u << 20)
#define KIB 1024u
#define MIB (1024u * KIB)

/* What the two sessions are told; 0: nothing. */
static uint32_t chunk_a, chunk_b;

/* One flow: nothing is shared out among several towards the end. */
static void tweak_chunk(struct tcpx_config *config)
{
	tweak(config);
	config->transports = "socket";
	config->n_flows = 1;
	config->chunk_bytes = strcmp(config->name, "a") ? chunk_b : chunk_a;
}

static void open_told(struct pair *pair, uint32_t a, uint32_t b)
{
	chunk_a = a;
	chunk_b = b;
	pair_open(pair, PAIR_TWO, tweak_chunk);
}

/* The sum of a counter over all that have it. */
static uint64_t counted(struct sess *sess, const char *counter)
{
	static char buf[1 << 16];
	uint64_t sum = 0;
	char key[64];
	size_t len;

	snprintf(key, sizeof(key), "\"%s\":", counter);
	CHECK_STATUS(tcpx_session_stats_json(sess->s, buf, sizeof(buf), &len),
		     TCPX_OK);
	/* Of peers and GPUs; what is before them are sums. */
	for (const char *at = strstr(buf, "\"peers\":");
	     (at = strstr(at, key));) {
		at += strlen(key);
		sum += strtoull(at, NULL, 10);
	}
	return sum;
}

static void move(struct pair *pair, enum tcpx_op op, struct buf *local,
		 struct buf *owned)
{
	struct tcpx_segment seg = {.local_mem = owned->mem,
				   .len_bytes = CUT_BYTES};
	bool send = op == TCPX_OP_SEND;
	uint64_t remote = send ? 0 : sess_share(pair->b, owned->mem, pair->a);
	uint64_t recv = 0, xfer = xfer_one(pair->a, pair->ab, op, local->mem, 0,
					   remote, 0, CUT_BYTES);

	if (send) {
		recv = xfer_make(pair->b, pair->ba, TCPX_OP_RECV, &seg, 1, 0);
		CHECK_STATUS(tcpx_xfer_post(pair->b->s, recv, NULL), TCPX_OK);
	}
	CHECK_STATUS(tcpx_xfer_post(pair->a->s, xfer, NULL), TCPX_OK);
	CHECK_STATUS(pair_wait(pair, pair->a, xfer, SOON), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_release(pair->a->s, xfer), TCPX_OK);
	if (!send)
		return;
	CHECK_STATUS(pair_wait(pair, pair->b, recv, SOON), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_release(pair->b->s, recv), TCPX_OK);
}

/* In how many chunks CUT_BYTES come from one memory into the other. */
static uint64_t n_chunks(struct pair *pair, enum tcpx_op op, int here,
			 int there)
{
	bool read = op == TCPX_OP_READ;
	struct sess *receiver = read ? pair->a : pair->b;
	uint64_t before = counted(receiver, "received_chunks");
	struct buf local, owned;

	buf_open(&local, pair->a, here, CUT_BYTES, LOCAL_SEED, 0);
	buf_open(&owned, pair->b, there, CUT_BYTES, REMOTE_SEED, RW);
	move(pair, op, &local, &owned);
	struct buf *to = read ? &local : &owned;

	region_want(&to->region, 0, CUT_BYTES, read ? REMOTE_SEED : LOCAL_SEED,
		    0);
	CHECK(buf_check(to, "moved"));
	buf_close(&local);
	buf_close(&owned);
	return counted(receiver, "received_chunks") - before;
}

static void cut_in(struct pair *pair, enum tcpx_op op, int here, int there,
		   uint32_t chunk_bytes)
{
	bool gathered = (op == TCPX_OP_READ ? there : here) != HOST;
	uint64_t want = CUT_BYTES / chunk_bytes;
	uint64_t n = n_chunks(pair, op, here, there);

	fprintf(stderr, "op %d, GPU %d and %d: %llu chunks, %llu of %u KiB\n",
		(int)op, here, there, (unsigned long long)n,
		(unsigned long long)want, chunk_bytes / KIB);
	/* The first ones that a GPU gathers are short, and again whenever its
	 * lane runs dry, which a busy machine makes it do. */
	if (gathered)
		CHECK(n >= want);
	else
		CHECK_EQ(n, want);
}

/* Every operation, each side's memory a GPU's or the host's. */
static void all_cut_in(struct pair *pair, uint32_t host_bytes,
		       uint32_t gpu_bytes)
{
	static const enum tcpx_op ops[] = {TCPX_OP_WRITE, TCPX_OP_READ,
					   TCPX_OP_SEND};

	for (int i = 0; i < 3; i++)
		for (int here = HOST; here <= 0; here++)
			for (int there = HOST; there <= 0; there++)
				cut_in(pair, ops[i], here, there,
				       here == HOST && there == HOST ?
					       host_bytes :
					       gpu_bytes);
}

static void chunks_by_default(void)
{
	struct pair pair;

	open_told(&pair, 0, 0);
	all_cut_in(&pair, 512 * KIB, MIB);
	pair_close(&pair);
}

/* What is set holds for all. */
static void chunks_as_set(void)
{
	static const uint32_t set[] = {256 * KIB, 512 * KIB, MIB};
	struct pair pair;

	for (int i = 0; i < 3; i++) {
		open_told(&pair, set[i], set[i]);
		all_cut_in(&pair, set[i], set[i]);
		pair_close(&pair);
	}
}

/* The lesser of both: a peer without the longer default, or one that is set;
 * below that each sender's own word. */
static void chunks_of_both(void)
{
	struct pair pair;

	open_told(&pair, 0, 512 * KIB);
	all_cut_in(&pair, 512 * KIB, 512 * KIB);
	pair_close(&pair);
	open_told(&pair, 128 * KIB, 0);
	all_cut_in(&pair, 128 * KIB, 128 * KIB);
	pair_close(&pair);
	open_told(&pair, 2 * MIB, 0);
	cut_in(&pair, TCPX_OP_WRITE, HOST, HOST, MIB);
	cut_in(&pair, TCPX_OP_READ, HOST, HOST, 512 * KIB);
	cut_in(&pair, TCPX_OP_WRITE, HOST, 0, MIB);
	pair_close(&pair);
}

/* For a moment after a small transfer large ones go in shorter chunks. The
 * machine may keep us from the CPU for that moment, but not every time. */
static void chunks_beside_small(void)
{
	const uint64_t want = CUT_BYTES / (512 * KIB);
	struct buf local, owned;
	struct pair pair;
	uint64_t n = 0;

	open_told(&pair, 0, 0);
	buf_open(&local, pair.a, HOST, CUT_BYTES, LOCAL_SEED, 0);
	buf_open(&owned, pair.b, HOST, CUT_BYTES, REMOTE_SEED, RW);
	uint64_t remote = sess_share(pair.b, owned.mem, pair.a);
	uint64_t small = xfer_one(pair.a, pair.ab, TCPX_OP_WRITE, local.mem, 0,
				  remote, 0, 8);

	for (int i = 0; i < 100 && n <= want; i++) {
		uint64_t before = counted(pair.b, "received_chunks");

		CHECK_STATUS(tcpx_xfer_post(pair.a->s, small, NULL), TCPX_OK);
		CHECK_STATUS(pair_wait(&pair, pair.a, small, SOON), TCPX_OK);
		move(&pair, TCPX_OP_WRITE, &local, &owned);
		n = counted(pair.b, "received_chunks") - before;
		CHECK(n >= want);
	}
	CHECK(n > want);
	usleep(100000);
	cut_in(&pair, TCPX_OP_WRITE, HOST, HOST, 512 * KIB);
	buf_close(&local);
	buf_close(&owned);
	pair_close(&pair);
}

/* A GPU costs so much at the defaults, the memory of the program's apart. */
static void memory_held(void)
{
	struct pair pair;
	struct buf buf;

	open_told(&pair, 0, 0);
	CHECK_EQ(counted(pair.a, "gpu_pinned_bytes"), 0);
	buf_open(&buf, pair.a, 0, CUT_BYTES, LOCAL_SEED, RW);
	uint64_t pinned = counted(pair.a, "gpu_pinned_bytes");
	uint64_t device = counted(pair.a, "gpu_device_bytes");

	fprintf(stderr, "%llu KiB pinned, %llu of the device\n",
		(unsigned long long)pinned / KIB,
		(unsigned long long)device / KIB);
	CHECK(pinned >= 256 * MIB && pinned <= 512 * MIB);
	CHECK(device <= CUT_BYTES + 64 * MIB);
	buf_close(&buf);
	pair_close(&pair);
}

/* ---- ends in flight --------------------------------------------------- */

/* The memory is given back to the driver at once: who touches it still breaks
 * the (pretend) GPU, and the next transfer shows it. */
static void released_in_flight(void)
{
	const struct shape after = {10, 10000, 1 << 20};
	uint64_t seed = check_seed();
	struct pair pair;

	pair_open(&pair, PAIR_TWO, tweak);
	for (int i = 0; i < 40; i++) {
		size_t len = 16 << 20;
		struct buf local, owned;
		uint64_t remote, xfer;

		buf_open(&local, pair.a, 0, len, LOCAL_SEED, 0);
		buf_open(&owned, pair.b, 0, len, REMOTE_SEED, RW);
		remote = sess_share(pair.b, owned.mem, pair.a);
		xfer = xfer_one(pair.a, pair.ab,
				i % 2 ? TCPX_OP_READ : TCPX_OP_WRITE, local.mem,
				0, remote, 0, len);
		CHECK_STATUS(tcpx_xfer_post(pair.a->s, xfer, NULL), TCPX_OK);
		for (uint64_t end = test_now_ns() + check_rand(&seed) % 4000000;
		     test_now_ns() < end;)
			CHECK(tcpx_xfer_test(pair.a->s, xfer) >= 0);
		if (i % 4 < 2)
			CHECK_STATUS(tcpx_xfer_release(pair.a->s, xfer),
				     TCPX_OK);
		buf_close(&local);
		buf_close(&owned);
		if (i % 4 >= 2)
			CHECK_STATUS(tcpx_xfer_release(pair.a->s, xfer),
				     TCPX_OK);
		run_list(&pair, TCPX_OP_WRITE, 0, 0, &after, check_rand(&seed));
	}
	pair_close(&pair);
}

/* The owner of the memory leaves while it is read and written. */
static void closed_in_flight(void)
{
	for (int i = 0; i < 6; i++) {
		size_t len = 16 << 20;
		struct buf local, owned;
		struct pair pair;
		uint64_t xfer;

		pair_open(&pair, PAIR_TWO, tweak);
		buf_open(&local, pair.a, 0, len, LOCAL_SEED, 0);
		buf_open(&owned, pair.b, 0, len, REMOTE_SEED, RW);
		xfer = xfer_one(pair.a, pair.ab,
				i % 2 ? TCPX_OP_READ : TCPX_OP_WRITE, local.mem,
				0, sess_share(pair.b, owned.mem, pair.a), 0,
				len);
		CHECK_STATUS(tcpx_xfer_post(pair.a->s, xfer, NULL), TCPX_OK);
		test_sleep_ms((unsigned int)i);
		sess_close(pair.b);
		int status = pair_wait(&pair, pair.a, xfer, SOON);

		CHECK(status == TCPX_OK ||
		      tcpx_status_scope(status) == TCPX_SCOPE_PEER);
		buf_close(&local);
		region_fini(&owned.region);
		sess_close(pair.a);
	}
}

/* ---- a GPU that fails -------------------------------------------------- */

/* The net plugin's transport opens GPUs by itself. */
static bool takes_gpus(void)
{
	const char *transports = getenv("TCPX_TRANSPORTS");

	return transports && strstr(transports, "netplugin");
}

/* Transfers with it end in TCPX_EGPU, on whichever side it is; the session
 * lives on for host memory. */
static void fail(const char *fault, int here, int there)
{
	if (takes_gpus())
		SKIP("the helper process has launches of its own");
	const struct shape after = {10, 10000, 1 << 20};
	size_t len = 8 << 20;
	struct buf local, owned;
	int status = TCPX_OK;
	struct pair pair;
	uint64_t xfer;

	if (getenv("TEST_GPU"))
		check_skip("faults are the pretend GPU's");
	setenv("TCPX_GPU_HOST_FAULT", fault, 1);
	pair_open(&pair, PAIR_TWO, tweak);
	buf_open(&local, pair.a, here, len, LOCAL_SEED, 0);
	buf_open(&owned, pair.b, there, len, REMOTE_SEED, RW);
	xfer = xfer_one(pair.a, pair.ab, TCPX_OP_WRITE, local.mem, 0,
			sess_share(pair.b, owned.mem, pair.a), 0, len);
	for (int i = 0; i < 20 && status == TCPX_OK; i++) {
		CHECK_STATUS(tcpx_xfer_post(pair.a->s, xfer, NULL), TCPX_OK);
		status = pair_wait(&pair, pair.a, xfer, SOON);
	}
	CHECK_STATUS(status, TCPX_EGPU);
	struct tcpx_xfer_info info;

	CHECK_STATUS(tcpx_xfer_query(pair.a->s, xfer, &info), TCPX_OK);
	fprintf(stderr, "%s\n", info.cause);
	CHECK(strstr(info.cause, "the GPU failed to") != NULL);
	/* The driver's own words; one that refuses may have none as yet. */
	CHECK(*fault == 'r' || strstr(info.cause, "launch failure") != NULL);
	CHECK_STATUS(tcpx_xfer_release(pair.a->s, xfer), TCPX_OK);
	run_list(&pair, TCPX_OP_WRITE, HOST, HOST, &after, check_seed());
	run_list(&pair, TCPX_OP_READ, HOST, HOST, &after, check_seed());
	CHECK_STATUS(tcpx_mem_deregister(pair.a->s, local.mem), TCPX_OK);
	CHECK_STATUS(tcpx_mem_deregister(pair.b->s, owned.mem), TCPX_OK);
	region_fini(&local.region);
	region_fini(&owned.region);
	pair_close(&pair);
}

static void breaks_here(void)
{
	fail("break:30", 0, HOST);
}

static void breaks_there(void)
{
	fail("break:30", HOST, 0);
}

static void refuses(void)
{
	fail("refuse:30", 0, 0);
}

/* ---- what cannot be registered ---------------------------------------- */

static void refuse(struct sess *sess, void *base, uint64_t len_bytes)
{
	uint64_t mem;

	CHECK_STATUS(tcpx_mem_register(sess->s, base, len_bytes, RW, &mem),
		     TCPX_EINVAL);
	CHECK(sess_logged(sess, "cannot register"));
}

static void bad_memory(void)
{
	struct sess sess;
	void *device;
	uint64_t mem;

	sess_open(&sess, "a", tweak);
	CHECK_STATUS(tcpx_gpu_alloc(sess.s, 0, 2 << 20, &device), TCPX_OK);
	refuse(&sess, device, 64ull << 40);
	CHECK_STATUS(tcpx_mem_register(sess.s, (uint8_t *)device + 100, 5000,
				       RW, &mem),
		     TCPX_OK);
	CHECK_STATUS(tcpx_mem_deregister(sess.s, mem), TCPX_OK);
	CHECK_STATUS(tcpx_gpu_free(sess.s, 0, device), TCPX_OK);
	refuse(&sess, device, 4096);
	CHECK_STATUS(tcpx_gpu_alloc(sess.s, 99, 4096, &device), TCPX_ENOENT);
	sess_close(&sess);
}

static void tweak_loop(struct tcpx_config *config)
{
	tweak(config);
	config->transports = "loop";
}

/* A program of another version has a shorter struct, or a longer one: not a
 * byte behind it is written. */
static void info_of_any_length(void)
{
	const size_t first =
		offsetof(struct tcpx_gpu_info, minor) + sizeof(uint32_t);
	struct {
		struct tcpx_gpu_info info;
		uint8_t behind[64];
	} got;
	struct sess sess;

	sess_open(&sess, "a", tweak);
	for (size_t size = first - 1; size <= sizeof(got); size++) {
		memset(&got, 0x5a, sizeof(got));
		got.info.size_bytes = size;
		CHECK_STATUS(tcpx_gpu_info(sess.s, 0, &got.info),
			     size < first ? TCPX_EINVAL : TCPX_OK);
		for (size_t i = size < first ? sizeof(size_t) : size;
		     i < sizeof(got); i++)
			CHECK_EQ(((uint8_t *)&got)[i], 0x5a);
		CHECK_EQ(got.info.size_bytes, size);
	}
	sess_close(&sess);
}

static void not_over_loop(void)
{
	struct sess sess;
	void *device;
	uint64_t mem;

	sess_open(&sess, "a", tweak_loop);
	CHECK_STATUS(tcpx_gpu_alloc(sess.s, 0, 4096, &device), TCPX_OK);
	CHECK_STATUS(tcpx_mem_register(sess.s, device, 4096, RW, &mem),
		     TCPX_EUNSUPPORTED);
	CHECK(sess_logged(&sess, "carry device memory"));
	CHECK_STATUS(tcpx_gpu_free(sess.s, 0, device), TCPX_OK);
	sess_close(&sess);
}

/* ---- what is not taken ------------------------------------------------- */

static bool is_described(struct sess *sess, uint64_t peer, const char *words)
{
	static char buf[65536];
	size_t len;

	CHECK_STATUS(tcpx_peer_describe(sess->s, peer, buf, sizeof(buf), &len),
		     TCPX_OK);
	return strstr(buf, words) != NULL;
}

/* Between two GPUs of one host there would be a shorter way: it is said that
 * nobody takes it, once there is a GPU; a transport may have taken one. */
static void no_direct_way(void)
{
	struct pair pair;
	void *device;

	pair_open(&pair, PAIR_TWO, tweak);
	CHECK(takes_gpus() || !is_described(pair.a, pair.ab, "\"gpu-direct\""));
	CHECK_STATUS(tcpx_gpu_alloc(pair.a->s, 0, 4096, &device), TCPX_OK);
	CHECK(is_described(pair.a, pair.ab, "\"gpu-direct\""));
	CHECK(is_described(pair.a, pair.ab, "both ends are on this host"));
	CHECK(takes_gpus() || !is_described(pair.b, pair.ba, "\"gpu-direct\""));
	CHECK_STATUS(tcpx_gpu_free(pair.a->s, 0, device), TCPX_OK);
	pair_close(&pair);
}

static const struct check_case cases[] = {
	{"no_direct_way", no_direct_way, 60},
	{"lists", lists, 120},
	{"lists_self", lists_self, 120},
	{"lists_driven", lists_driven, 120},
	{"lists_checksum", lists_checksum, 120},
	{"lists_few_slots", lists_few_slots, 120},
	{"lists_copy_engine", lists_copy_engine, 120},
	{"lists_through_host", lists_through_host, 120},
	{"mixed", mixed, 60},
	{"notified", notified, 60},
	{"send_recv", send_recv, 60},
	{"chunks_by_default", chunks_by_default, 60},
	{"chunks_as_set", chunks_as_set, 120},
	{"chunks_of_both", chunks_of_both, 120},
	{"chunks_beside_small", chunks_beside_small, 60},
	{"memory_held", memory_held, 60},
	{"released_in_flight", released_in_flight, 120},
	{"closed_in_flight", closed_in_flight, 60},
	{"breaks_here", breaks_here, 60},
	{"breaks_there", breaks_there, 60},
	{"refuses", refuses, 60},
	{"bad_memory", bad_memory, 60},
	{"info_of_any_length", info_of_any_length, 0},
	{"not_over_loop", not_over_loop, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
