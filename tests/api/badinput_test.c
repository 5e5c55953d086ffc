/* SPDX-License-Identifier: Apache-2.0 */
/* What a program can get wrong: each gives a status and touches nothing. */
#include <sys/mman.h>

#include "check.h"
#include "support/scale.h"
#include "support/sess.h"

#define RW (TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE)
#define LEN 10000u

/* One live and one dead handle of every kind. */
struct world {
	struct pair pair;
	struct region here, there;
	uint64_t peer, mem, remote, xfer;
	uint64_t old_peer, old_mem, old_remote, old_xfer;
};

static void world_open(struct world *w)
{
	struct sess *a;

	pair_open(&w->pair, PAIR_TWO, NULL);
	a = w->pair.a;
	region_init(&w->here, LEN, 1);
	region_init(&w->there, LEN, 2);
	w->old_mem = sess_register(a, &w->here, RW);
	CHECK_STATUS(tcpx_mem_deregister(a->s, w->old_mem), TCPX_OK);
	w->mem = sess_register(a, &w->here, TCPX_ACCESS_LOCAL);
	w->remote = sess_share(w->pair.b,
			       sess_register(w->pair.b, &w->there, RW), a);
	w->old_remote = sess_share(w->pair.b,
				   sess_register(w->pair.b, &w->there, RW), a);
	CHECK_STATUS(tcpx_mem_unload(a->s, w->old_remote), TCPX_OK);
	w->old_peer = w->pair.ab;
	CHECK_STATUS(tcpx_peer_disconnect(a->s, w->old_peer), TCPX_OK);
	w->peer = sess_connect(a, w->pair.b);
	CHECK(w->peer != w->old_peer);
	w->old_xfer =
		xfer_one(a, w->peer, TCPX_OP_WRITE, w->mem, 0, w->remote, 0, 1);
	CHECK_STATUS(tcpx_xfer_release(a->s, w->old_xfer), TCPX_OK);
	w->xfer =
		xfer_one(a, w->peer, TCPX_OP_WRITE, w->mem, 0, w->remote, 0, 1);
}

static void world_close(struct world *w)
{
	CHECK(region_check(&w->here, "here"));
	CHECK(region_check(&w->there, "there"));
	pair_close(&w->pair);
	region_fini(&w->here);
	region_fini(&w->there);
}

/* ---- every call that takes a handle ---- */

static int call_peer_wait(struct tcpx_session *s, uint64_t id)
{
	return tcpx_peer_wait(s, id, 10);
}

static int call_describe(struct tcpx_session *s, uint64_t id)
{
	char buf[16];
	size_t len;

	return tcpx_peer_describe(s, id, buf, sizeof(buf), &len);
}

static int call_notify(struct tcpx_session *s, uint64_t id)
{
	return tcpx_notify_send(s, id, "x", 1);
}

static int call_mem_len(struct tcpx_session *s, uint64_t id)
{
	uint64_t len;

	return tcpx_mem_len(s, id, &len);
}

static int call_mem_blob(struct tcpx_session *s, uint64_t id)
{
	char buf[256];
	size_t len;

	return tcpx_mem_blob(s, &id, 1, buf, sizeof(buf), &len);
}

static int call_post(struct tcpx_session *s, uint64_t id)
{
	return tcpx_xfer_post(s, id, NULL);
}

static int call_test(struct tcpx_session *s, uint64_t id)
{
	return tcpx_xfer_test(s, id);
}

static int call_xfer_wait(struct tcpx_session *s, uint64_t id)
{
	return tcpx_xfer_wait(s, id, 10);
}

static int call_query(struct tcpx_session *s, uint64_t id)
{
	struct tcpx_xfer_info info;

	return tcpx_xfer_query(s, id, &info);
}

static void handles(void)
{
	static const struct {
		const char *name;
		int (*fn)(struct tcpx_session *s, uint64_t id);
		char kind; /* what it takes: p, m (own), M (either), r, x */
	} calls[] = {
		{"peer_wait", call_peer_wait, 'p'},
		{"peer_disconnect", tcpx_peer_disconnect, 'p'},
		{"peer_describe", call_describe, 'p'},
		{"notify_send", call_notify, 'p'},
		{"mem_deregister", tcpx_mem_deregister, 'm'},
		{"mem_blob", call_mem_blob, 'm'},
		{"mem_len", call_mem_len, 'M'},
		{"mem_unload", tcpx_mem_unload, 'r'},
		{"xfer_post", call_post, 'x'},
		{"xfer_test", call_test, 'x'},
		{"xfer_wait", call_xfer_wait, 'x'},
		{"xfer_cancel", tcpx_xfer_cancel, 'x'},
		{"xfer_release", tcpx_xfer_release, 'x'},
		{"xfer_query", call_query, 'x'},
	};
	struct world w;

	world_open(&w);
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		const struct {
			uint64_t id;
			const char *kinds; /* calls for which it is right */
		} ids[] = {
			{0, ""},
			{1, ""},
			{UINT64_MAX, ""},
			{UINT64_MAX / 2, ""},
			{w.old_peer, ""},
			{w.old_mem, ""},
			{w.old_remote, ""},
			{w.old_xfer, ""},
			{w.peer, "p"},
			{w.mem, "mM"},
			{w.remote, "rM"},
			{w.xfer, "x"},
			{w.peer ^ 1ull << 40, ""},
			{w.xfer ^ 1ull << 30, ""},
		};

		for (size_t k = 0; k < sizeof(ids) / sizeof(*ids); k++) {
			if (strchr(ids[k].kinds, calls[i].kind))
				continue;
			unsigned int before = w.pair.a->n_lines;
			char sentence[64];

			snprintf(sentence, sizeof(sentence),
				 " (any more): %llx",
				 (unsigned long long)ids[k].id);
			fprintf(stderr, "%s%s\n", calls[i].name, sentence);
			CHECK_STATUS(calls[i].fn(w.pair.a->s, ids[k].id),
				     TCPX_ENOENT);
			CHECK(w.pair.a->n_lines > before);
			CHECK(sess_logged(w.pair.a, sentence));
		}
	}
	world_close(&w);
}

/* ---- lists ---- */

static int prepare(struct world *w, const struct tcpx_xfer_params *params)
{
	uint64_t xfer = 4711;
	int status = tcpx_xfer_prepare(w->pair.a->s, params, &xfer);

	if (status)
		CHECK_EQ(xfer, 4711);
	else
		CHECK_STATUS(tcpx_xfer_release(w->pair.a->s, xfer), TCPX_OK);
	return status;
}

static void segments(void)
{
	struct world w;

	world_open(&w);
	const uint64_t top = UINT64_MAX;
	const struct {
		struct tcpx_segment seg;
		int write, send; /* statuses as WRITE or READ, as SEND, RECV */
	} rows[] = {
		{{w.mem, 0, w.remote, 0, LEN}, 0, 0},
		{{w.mem, 0, w.remote, 0, 0}, TCPX_EINVAL, TCPX_EINVAL},
		{{w.mem, 0, w.remote, 0, LEN + 1}, TCPX_ERANGE, TCPX_ERANGE},
		{{w.mem, 1, w.remote, 0, LEN}, TCPX_ERANGE, TCPX_ERANGE},
		{{w.mem, 0, w.remote, 1, LEN}, TCPX_ERANGE, 0},
		{{w.mem, LEN, w.remote, 0, 1}, TCPX_ERANGE, TCPX_ERANGE},
		{{w.mem, LEN - 1, w.remote, LEN - 1, 1}, 0, 0},
		{{w.mem, top, w.remote, 0, 1}, TCPX_ERANGE, TCPX_ERANGE},
		{{w.mem, top, w.remote, 0, 2}, TCPX_ERANGE, TCPX_ERANGE},
		{{w.mem, top - 3, w.remote, 0, 10}, TCPX_ERANGE, TCPX_ERANGE},
		{{w.mem, 0, w.remote, top - 3, 10}, TCPX_ERANGE, 0},
		{{w.mem, 10, w.remote, 0, top}, TCPX_ERANGE, TCPX_ERANGE},
		{{w.mem, 10, w.remote, 0, top - 9}, TCPX_ERANGE, TCPX_ERANGE},
		{{0, 0, w.remote, 0, 1}, TCPX_ENOENT, TCPX_ENOENT},
		{{99, 0, w.remote, 0, 1}, TCPX_ENOENT, TCPX_ENOENT},
		{{w.old_mem, 0, w.remote, 0, 1}, TCPX_ENOENT, TCPX_ENOENT},
		{{w.remote, 0, w.remote, 0, 1}, TCPX_ENOENT, TCPX_ENOENT},
		{{w.peer, 0, w.remote, 0, 1}, TCPX_ENOENT, TCPX_ENOENT},
		{{w.mem, 0, 0, 0, 1}, TCPX_ENOENT, 0},
		{{w.mem, 0, w.old_remote, 0, 1}, TCPX_ENOENT, 0},
		{{w.mem, 0, w.mem, 0, 1}, TCPX_ENOENT, 0},
		{{w.mem, 0, w.xfer, 0, 1}, TCPX_ENOENT, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		for (int op = TCPX_OP_READ; op <= TCPX_OP_RECV; op++) {
			struct tcpx_segment list[3] = {rows[0].seg, rows[0].seg,
						       rows[i].seg};
			struct tcpx_xfer_params params = {
				.size_bytes = sizeof(params),
				.peer = w.peer,
				.op = op,
				.segments = list,
				.n_segments = 3};
			unsigned int before = w.pair.a->n_lines;

			fprintf(stderr, "row %zu op %d\n", i, op);
			CHECK_STATUS(prepare(&w, &params),
				     op >= TCPX_OP_SEND ? rows[i].send :
							  rows[i].write);
			/* And a sentence that names the segment. */
			if (op < TCPX_OP_SEND && rows[i].write) {
				CHECK(w.pair.a->n_lines > before);
				CHECK(sess_logged(w.pair.a, "segment 2"));
			}
		}
	}
	world_close(&w);
}

static void params_table(void)
{
	struct tcpx_segment seg;
	struct world w;

	world_open(&w);
	seg = (struct tcpx_segment){w.mem, 0, w.remote, 0, 1};
	const struct {
		struct tcpx_xfer_params params;
		int status;
	} rows[] = {
		{{sizeof(rows[0].params), w.peer, TCPX_OP_WRITE, &seg, 1, 0},
		 0},
		{{0, w.peer, TCPX_OP_WRITE, &seg, 1, 0}, TCPX_EINVAL},
		{{sizeof(rows[0].params), w.peer, TCPX_OP_WRITE, &seg, 0, 0},
		 TCPX_EINVAL},
		{{sizeof(rows[0].params), w.peer, TCPX_OP_WRITE, NULL, 1, 0},
		 TCPX_EINVAL},
		{{sizeof(rows[0].params), w.peer, TCPX_OP_WRITE, &seg, SIZE_MAX,
		  0},
		 TCPX_EINVAL},
		{{sizeof(rows[0].params), w.peer, 0, &seg, 1, 0}, TCPX_EINVAL},
		{{sizeof(rows[0].params), w.peer, 5, &seg, 1, 0}, TCPX_EINVAL},
		{{sizeof(rows[0].params), w.peer, -1, &seg, 1, 0}, TCPX_EINVAL},
		{{sizeof(rows[0].params), 0, TCPX_OP_WRITE, &seg, 1, 0},
		 TCPX_ENOENT},
		{{sizeof(rows[0].params), w.old_peer, TCPX_OP_WRITE, &seg, 1,
		  0},
		 TCPX_ENOENT},
		{{sizeof(rows[0].params), w.mem, TCPX_OP_WRITE, &seg, 1, 0},
		 TCPX_ENOENT},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		unsigned int before = w.pair.a->n_lines;

		fprintf(stderr, "row %zu\n", i);
		CHECK_STATUS(prepare(&w, &rows[i].params), rows[i].status);
		CHECK_EQ(w.pair.a->n_lines, before + !!rows[i].status);
	}
	CHECK_STATUS(prepare(&w, NULL), TCPX_EINVAL);
	CHECK(sess_logged(w.pair.a, "size_bytes of the parameters is 0"));
	world_close(&w);
}

/* Each with a sentence of its own, and nothing posted. */
static void post_table(void)
{
	static char note[TCPX_NOTIFY_MAX + 1];
	const size_t size = sizeof(struct tcpx_post_params);
	const struct {
		struct tcpx_post_params params;
		const char *says;
	} rows[] = {
		{{0}, "size_bytes"},
		{{.size_bytes = size - 1}, "size_bytes"},
		{{.size_bytes = size,
		  .has_notify = true,
		  .notify = note,
		  .notify_len_bytes = sizeof(note)},
		 "longer than 1 MiB"},
		{{.size_bytes = size, .has_notify = true, .notify_len_bytes = 1},
		 "no bytes"},
	};
	struct tcpx_post_params with_note = {.size_bytes = size,
					     .has_notify = true};
	struct tcpx_session *s;
	struct world w;
	uint64_t recv;

	world_open(&w);
	s = w.pair.a->s;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		unsigned int before = w.pair.a->n_lines;

		CHECK_STATUS(tcpx_xfer_post(s, w.xfer, &rows[i].params),
			     TCPX_EINVAL);
		CHECK_EQ(w.pair.a->n_lines, before + 1);
		CHECK(sess_logged(w.pair.a, rows[i].says));
		CHECK_STATUS(tcpx_xfer_test(s, w.xfer), TCPX_EINVAL);
	}
	recv = xfer_one(w.pair.a, w.peer, TCPX_OP_RECV, w.mem, 0, 0, 0, 1);
	CHECK_STATUS(tcpx_xfer_post(s, recv, &with_note), TCPX_EINVAL);
	CHECK(sess_logged(w.pair.a, "a RECV takes no notification"));
	CHECK_STATUS(tcpx_notify_send(s, w.peer, note, sizeof(note)),
		     TCPX_EINVAL);
	CHECK(sess_logged(w.pair.a, "cannot send 1048577 bytes"));
	world_close(&w);
}

static void too_many_segments(void)
{
	size_t n = TCPX_SEGMENTS_MAX + 1;
	struct tcpx_segment *list = calloc(n, sizeof(*list));
	struct world w;

	CHECK(list);
	world_open(&w);
	for (size_t i = 0; i < n; i++)
		list[i] = (struct tcpx_segment){w.mem, i % LEN, w.remote,
						i % LEN, 1};
	struct tcpx_xfer_params params = {.size_bytes = sizeof(params),
					  .peer = w.peer,
					  .op = TCPX_OP_WRITE,
					  .segments = list,
					  .n_segments = n};

	CHECK_STATUS(prepare(&w, &params), TCPX_EINVAL);
	params.n_segments--;
	CHECK_STATUS(prepare(&w, &params), TCPX_OK);
	/* The last one wrong: all were looked at. */
	list[n - 2].len_bytes = LEN + 1;
	CHECK_STATUS(prepare(&w, &params), TCPX_ERANGE);
	CHECK(sess_logged(w.pair.a, "999999"));
	world_close(&w);
	free(list);
}

struct calls {
	struct tcpx_segment seg;
	size_t n, end, bad; /* calls; the one that gives `answer` */
	size_t answer;
};

static size_t one_a_call(void *arg, struct tcpx_segment *rows, size_t max)
{
	struct calls *c = arg;

	if (c->n++ == c->bad)
		return c->answer > 1 ? max + c->answer : c->answer;
	rows[0] = c->seg;
	if (c->n == c->end)
		rows[0].len_bytes = LEN + 1;
	return 1;
}

/* Segments that come by calls: who gives up, says more than there is room for,
 * has none, or a wrong one late; and who knows nothing of it. */
static void segments_by_calls(void)
{
	static const struct {
		size_t bad, answer, end;
		int status;
		const char *sentence;
	} rows[] = {
		{0, 0, 0, TCPX_EINVAL, "there are no segments"},
		{200, 0, 0, TCPX_OK, NULL},
		{SIZE_MAX, 0, 0, TCPX_OK, NULL},
		{0, 2, 0, TCPX_ECANCELED, NULL},
		{200, 2, 0, TCPX_ECANCELED, NULL},
		{SIZE_MAX, 0, 300, TCPX_ERANGE, "segment 299"},
	};
	struct world w;

	world_open(&w);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct calls c = {.seg = {w.mem, 0, w.remote, 0, 1},
				  .end = rows[i].end,
				  .bad = rows[i].bad,
				  .answer = rows[i].answer};
		struct tcpx_xfer_params params = {.size_bytes = sizeof(params),
						  .peer = w.peer,
						  .op = TCPX_OP_WRITE,
						  .n_segments = 500,
						  .next_segments = one_a_call,
						  .next_arg = &c};

		CHECK_STATUS(prepare(&w, &params), rows[i].status);
		if (rows[i].sentence)
			CHECK(sess_logged(w.pair.a, rows[i].sentence));
		/* A caller that was built without it gives no segments. */
		c.n = 0;
		params.size_bytes =
			offsetof(struct tcpx_xfer_params, next_segments);
		CHECK_STATUS(prepare(&w, &params), TCPX_EINVAL);
		CHECK_EQ(c.n, 0);
	}
	world_close(&w);
}

/* As many regions as a list may name, and one more, here and over there. */
static void too_many_regions(void)
{
	enum { N = TCPX_REGIONS_MAX + 1 };
	static struct tcpx_segment list[N];
	struct tcpx_xfer_params params = {.size_bytes = sizeof(params),
					  .op = TCPX_OP_WRITE,
					  .segments = list,
					  .n_segments = N - 1};
	struct world w;

	world_open(&w);
	params.peer = w.peer;
	for (int theirs = 0; theirs < 2; theirs++) {
		struct sess *owner = theirs ? w.pair.b : w.pair.a;
		struct region *of = theirs ? &w.there : &w.here;

		for (size_t i = 0; i < N; i++) {
			uint64_t mem = sess_register(owner, of, RW);

			list[i] =
				(struct tcpx_segment){w.mem, i, w.remote, i, 1};
			if (theirs)
				list[i].remote_mem =
					sess_share(owner, mem, w.pair.a);
			else
				list[i].local_mem = mem;
		}
		params.n_segments = N - 1;
		CHECK_STATUS(prepare(&w, &params), TCPX_OK);
		params.n_segments = N;
		CHECK_STATUS(prepare(&w, &params), TCPX_EINVAL);
		CHECK(sess_logged(w.pair.a, theirs ? "1024 remote regions" :
						     "1024 local regions"));
		CHECK(sess_logged(w.pair.a, "(TCPX_REGIONS_MAX)"));
	}
	world_close(&w);
}

/* A list may be longer than any memory; not longer than TCPX_XFER_MAX. */
static void too_many_bytes(void)
{
	enum { N = 1000 };
	static struct tcpx_segment list[N];
	struct tcpx_session *s;
	uint64_t huge, len = 2ull << 30;
	void *map = mmap(NULL, len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct world w;

	world_open(&w);
	s = w.pair.a->s;
	CHECK(map != MAP_FAILED);
	CHECK_STATUS(tcpx_mem_register(s, map, len, TCPX_ACCESS_LOCAL, &huge),
		     TCPX_OK);
	for (size_t i = 0; i < N; i++)
		list[i] = (struct tcpx_segment){huge, 0, 0, 0,
						(1ull << 40) / N + 1};
	struct tcpx_xfer_params params = {.size_bytes = sizeof(params),
					  .peer = w.peer,
					  .op = TCPX_OP_SEND,
					  .segments = list,
					  .n_segments = N};

	CHECK_STATUS(prepare(&w, &params), TCPX_EINVAL);
	params.n_segments = N - 1;
	CHECK_STATUS(prepare(&w, &params), TCPX_OK);
	CHECK_STATUS(tcpx_mem_deregister(s, huge), TCPX_OK);
	world_close(&w);
	CHECK(!munmap(map, len));
}

/* A region that another peer gave is not this peer's. */
static void remote_of_another(void)
{
	struct tcpx_segment seg;
	struct region third_region;
	struct sess third;
	uint64_t remote;
	struct world w;

	world_open(&w);
	sess_open(&third, "c", NULL);
	region_init(&third_region, LEN, 3);
	remote = sess_share(&third, sess_register(&third, &third_region, RW),
			    w.pair.a);
	seg = (struct tcpx_segment){w.mem, 0, remote, 0, 1};
	struct tcpx_xfer_params params = {.size_bytes = sizeof(params),
					  .peer = w.peer,
					  .op = TCPX_OP_WRITE,
					  .segments = &seg,
					  .n_segments = 1};

	CHECK_STATUS(prepare(&w, &params), TCPX_EINVAL);
	params.peer = sess_connect(w.pair.a, &third);
	CHECK_STATUS(prepare(&w, &params), TCPX_OK);
	sess_close(&third);
	world_close(&w);
	region_fini(&third_region);
}

/* A region deregistered between prepare and post. */
static void gone_before_post(void)
{
	struct tcpx_session *s;
	struct world w;
	uint64_t mem, xfer;

	world_open(&w);
	s = w.pair.a->s;
	mem = sess_register(w.pair.a, &w.here, TCPX_ACCESS_LOCAL);
	xfer = xfer_one(w.pair.a, w.peer, TCPX_OP_WRITE, mem, 0, w.remote, 0,
			1);
	CHECK_STATUS(tcpx_mem_deregister(s, mem), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_post(s, xfer, NULL), TCPX_ENOENT);
	CHECK(sess_logged(w.pair.a, "a region of it is gone"));
	CHECK_STATUS(tcpx_xfer_release(s, xfer), TCPX_OK);
	world_close(&w);
}

/* Refused, with a sentence. */
#define SAYS(call)                                                             \
	do {                                                                   \
		before = w.pair.a->n_lines;                                    \
		CHECK_STATUS(call, TCPX_EINVAL);                               \
		CHECK_EQ(w.pair.a->n_lines, before + 1);                       \
	} while (0)

static void null_pointers(void)
{
	struct tcpx_session *s;
	struct tcpx_segment seg;
	unsigned int before;
	struct world w;
	uint64_t id;
	size_t len;

	world_open(&w);
	s = w.pair.a->s;
	seg = (struct tcpx_segment){w.mem, 0, w.remote, 0, 1};
	struct tcpx_xfer_params params = {.size_bytes = sizeof(params),
					  .peer = w.peer,
					  .op = TCPX_OP_WRITE,
					  .segments = &seg,
					  .n_segments = 1};

	CHECK_STATUS(tcpx_config_init(NULL, NULL, NULL), TCPX_EINVAL);
	CHECK_STATUS(tcpx_config_json(NULL, NULL, 0, &len), TCPX_EINVAL);
	CHECK_STATUS(tcpx_session_open(NULL, NULL), TCPX_EINVAL);
	SAYS(tcpx_session_blob(s, NULL, 0, NULL));
	SAYS(tcpx_session_blob(s, NULL, 100, &len));
	SAYS(tcpx_session_stats_json(s, NULL, 0, NULL));
	SAYS(tcpx_session_stats_prometheus(s, NULL, 0, NULL));
	SAYS(tcpx_session_transports(s, NULL, 100, &len));
	SAYS(tcpx_peer_connect(s, NULL, 100, &id));
	SAYS(tcpx_peer_connect(s, "x", 1, NULL));
	SAYS(tcpx_peer_connect_address(s, NULL, &id));
	SAYS(tcpx_peer_find(s, NULL, &id));
	SAYS(tcpx_peer_describe(s, w.peer, NULL, 0, NULL));
	SAYS(tcpx_event_poll(s, NULL));
	SAYS(tcpx_event_wait(s, NULL, 1));
	SAYS(tcpx_notify_poll(s, NULL));
	SAYS(tcpx_notify_wait(s, NULL, 1));
	SAYS(tcpx_mem_register(s, w.here.data, LEN, RW, NULL));
	SAYS(tcpx_mem_blob(s, NULL, 1, NULL, 0, &len));
	SAYS(tcpx_mem_blob(s, &w.mem, 0, NULL, 0, &len));
	SAYS(tcpx_mem_load(s, NULL, 10, &id, 1, &len));
	SAYS(tcpx_mem_len(s, w.mem, NULL));
	SAYS(tcpx_mem_gpu(s, w.mem, NULL));
	SAYS(tcpx_gpu_info(s, 0, NULL));
	SAYS(tcpx_gpu_alloc(s, 0, 0, NULL));
	SAYS(tcpx_xfer_prepare(s, &params, NULL));
	SAYS(tcpx_xfer_prepare(s, NULL, &id));
	SAYS(tcpx_xfer_query(s, w.xfer, NULL));
	world_close(&w);
}

/* What is not a memory blob, and one without regions. */
static void junk_blob(void)
{
	struct world w;
	char blob[512];
	uint64_t id;
	size_t len, n;

	world_open(&w);
	CHECK_STATUS(tcpx_mem_blob(w.pair.a->s, &w.mem, 1, blob, sizeof(blob),
				   &len),
		     TCPX_OK);
	for (size_t cut = 1; cut <= len; cut += 9) {
		unsigned int before = w.pair.a->n_lines;

		CHECK_STATUS(tcpx_mem_load(w.pair.a->s, blob, len - cut, &id, 1,
					   &n),
			     TCPX_EINVAL);
		CHECK_EQ(w.pair.a->n_lines, before + 1);
	}
	CHECK(sess_logged(w.pair.a, "this is not a memory blob: "));
	world_close(&w);
}

/* Every call with a NULL session. */
static void null_session(void)
{
	struct tcpx_notification *note;
	struct tcpx_xfer_params params = {.size_bytes = sizeof(params)};
	struct tcpx_event event;
	uint64_t id;
	size_t len;

	CHECK(tcpx_session_blob(NULL, NULL, 0, &len) < 0);
	CHECK_EQ(tcpx_session_port(NULL), 0);
	CHECK(tcpx_session_progress(NULL, 0) < 0);
	CHECK(tcpx_session_stats_json(NULL, NULL, 0, &len) < 0);
	CHECK(tcpx_session_transports(NULL, NULL, 0, &len) < 0);
	CHECK(tcpx_peer_connect(NULL, "x", 1, &id) < 0);
	CHECK(tcpx_peer_wait(NULL, 1, 0) < 0);
	CHECK(tcpx_peer_disconnect(NULL, 1) < 0);
	CHECK(tcpx_event_poll(NULL, &event) < 0);
	CHECK(tcpx_mem_register(NULL, &id, 8, 0, &id) < 0);
	CHECK(tcpx_mem_deregister(NULL, 1) < 0);
	CHECK(tcpx_xfer_prepare(NULL, &params, &id) < 0);
	CHECK(tcpx_xfer_post(NULL, 1, NULL) < 0);
	CHECK(tcpx_xfer_test(NULL, 1) < 0);
	CHECK(tcpx_xfer_release(NULL, 1) < 0);
	CHECK(tcpx_notify_send(NULL, 1, "x", 1) < 0);
	CHECK(tcpx_notify_poll(NULL, &note) < 0);
}

/* Random handles and numbers into every call of the transfer path. */
static void random_calls(void)
{
	size_t rounds = scale_count(3000);
	uint64_t seed = check_seed(), xfer;
	struct world w;

	world_open(&w);
	const uint64_t pool[] = {
		0,	   1,	     w.peer,	   w.old_peer,	     w.mem,
		w.old_mem, w.remote, w.old_remote, w.xfer,	     w.old_xfer,
		LEN,	   LEN - 1,  UINT64_MAX,   UINT64_MAX - LEN, 1ull << 63,
		77};

	for (size_t i = 0; i < rounds; i++) {
		struct tcpx_segment list[4];
		struct tcpx_xfer_params params = {
			.size_bytes = sizeof(params),
			.peer = check_rand(&seed) % 3 ?
					w.peer :
					pool[check_rand(&seed) % 16],
			.op = (int)(check_rand(&seed) % 6),
			.segments = list,
			.n_segments = check_rand(&seed) % 5,
		};

		for (size_t k = 0; k < 20; k++)
			((uint64_t *)list)[k] = pool[check_rand(&seed) % 16];
		if (!tcpx_xfer_prepare(w.pair.a->s, &params, &xfer))
			CHECK_STATUS(tcpx_xfer_release(w.pair.a->s, xfer),
				     TCPX_OK);
	}
	world_close(&w);
}

static const struct check_case cases[] = {
	{"handles", handles, 0},
	{"segments", segments, 0},
	{"params_table", params_table, 0},
	{"post_table", post_table, 0},
	{"too_many_segments", too_many_segments, 0},
	{"segments_by_calls", segments_by_calls, 0},
	{"too_many_regions", too_many_regions, 0},
	{"too_many_bytes", too_many_bytes, 0},
	{"remote_of_another", remote_of_another, 0},
	{"gone_before_post", gone_before_post, 0},
	{"null_pointers", null_pointers, 0},
	{"junk_blob", junk_blob, 0},
	{"null_session", null_session, 0},
	{"random_calls", random_calls, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
