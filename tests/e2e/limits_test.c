/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Out of memory and out of descriptors. This program's own malloc() fails at
 * the k-th call of the way from nothing to a finished transfer, for every k;
 * then at the k-th and all after it. Whatever happens must be a status, and
 * leave nothing allocated behind.
 */
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/times.h>

#include "check.h"
#include "support/count.h"
#include "support/scale.h"
#include "support/sess.h"

#define RW (TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE)
#define LEN 200000u

/* ---- malloc ---- */

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define OWN_MALLOC 1
#else
#define OWN_MALLOC 0
#endif
#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#undef OWN_MALLOC
#define OWN_MALLOC 0
#endif
#endif

static _Atomic long allocs_left; /* until one fails; 0: none does */
static _Atomic bool fail_all_after;
static _Atomic long n_failed;
static _Thread_local bool fail_here; /* each of this thread's */
static _Atomic long n_live; /* allocated and not freed; 0 with a sanitizer */

#if OWN_MALLOC
void *__libc_malloc(size_t len);
void *__libc_calloc(size_t n, size_t len);
void *__libc_realloc(void *at, size_t len);
void *__libc_memalign(size_t align, size_t len);
void __libc_free(void *at);

static bool must_fail(void)
{
	long left = fail_here ? 1 : atomic_load(&allocs_left);

	while (left > 0) {
		if (left == 1 && (fail_here || atomic_load(&fail_all_after)))
			break;
		if (atomic_compare_exchange_weak(&allocs_left, &left, left - 1))
			break;
	}
	if (left != 1)
		return false;
	atomic_fetch_add(&n_failed, 1);
	errno = ENOMEM;
	return true;
}

static void *count(void *got)
{
	if (got)
		atomic_fetch_add(&n_live, 1);
	return got;
}

void *malloc(size_t len)
{
	return must_fail() ? NULL : count(__libc_malloc(len));
}

void *calloc(size_t n, size_t len)
{
	return must_fail() ? NULL : count(__libc_calloc(n, len));
}

void *realloc(void *at, size_t len)
{
	if (must_fail())
		return NULL;
	void *got = __libc_realloc(at, len);

	if (!at)
		return count(got);
	if (!got && !len)
		atomic_fetch_sub(&n_live, 1);
	return got;
}

void free(void *at)
{
	if (at)
		atomic_fetch_sub(&n_live, 1);
	__libc_free(at);
}

void *aligned_alloc(size_t align, size_t len)
{
	return must_fail() ? NULL : count(__libc_memalign(align, len));
}

void *memalign(size_t align, size_t len)
{
	return must_fail() ? NULL : count(__libc_memalign(align, len));
}

int posix_memalign(void **at, size_t align, size_t len)
{
	void *got = must_fail() ? NULL : count(__libc_memalign(align, len));

	if (!got)
		return ENOMEM;
	*at = got;
	return 0;
}
#endif

/* ---- the way from nothing to a finished transfer ---- */

struct way {
	struct tcpx_session *a, *b;
	struct region src, dst;
	uint64_t peer, back, local, owned, remote, xfer;
	const char *step; /* the one that failed */
};

static int open_one(struct tcpx_session **session, const char *name)
{
	struct tcpx_config config;
	int status = tcpx_config_init(&config, NULL, NULL);

	config.name = name;
	config.ifnames = "lo";
	config.n_workers = 1;
	config.connect_timeout_ms = 1000;
	config.liveness_ms = 1500;
	config.deadline_ms = 1000;
	return status ? status : tcpx_session_open(&config, session);
}

static int way_connect(struct way *w)
{
	char blob[TCPX_BLOB_MAX];
	size_t len;
	int status;

	w->step = "blob";
	status = tcpx_session_blob(w->b, blob, sizeof(blob), &len);
	if (status)
		return status;
	w->step = "connect";
	status = tcpx_peer_connect(w->a, blob, len, &w->peer);
	if (status)
		return status;
	w->step = "wait for the peer";
	return tcpx_peer_wait(w->a, w->peer, scale_ms(8000));
}

static int way_register(struct way *w)
{
	char blob[256];
	size_t len, n;
	int status;

	w->step = "register";
	status = tcpx_mem_register(w->a, w->src.data, LEN, 0, &w->local);
	if (!status)
		status = tcpx_mem_register(w->b, w->dst.data, LEN, RW,
					   &w->owned);
	if (!status)
		status = tcpx_mem_blob(w->b, &w->owned, 1, blob, sizeof(blob),
				       &len);
	if (!status)
		status = tcpx_mem_load(w->a, blob, len, &w->remote, 1, &n);
	return status;
}

static int way_transfer(struct way *w, enum tcpx_op op)
{
	struct tcpx_segment list[3];
	struct tcpx_post_params post = {.size_bytes = sizeof(post),
					.has_notify = true,
					.notify = "x",
					.notify_len_bytes = 1};
	struct tcpx_xfer_params params = {.size_bytes = sizeof(params),
					  .peer = w->peer,
					  .op = op,
					  .segments = list,
					  .n_segments = 3};
	int status;

	for (uint64_t i = 0; i < 3; i++)
		list[i] = (struct tcpx_segment){w->local, i * 60000, w->remote,
						i * 60000, 50000};
	w->step = "prepare";
	status = tcpx_xfer_prepare(w->a, &params, &w->xfer);
	if (status)
		return status;
	w->step = "post";
	status = tcpx_xfer_post(w->a, w->xfer, &post);
	if (status)
		return status;
	w->step = "wait";
	return tcpx_xfer_wait(w->a, w->xfer, scale_ms(8000));
}

static int way_message(struct way *w, uint32_t len_bytes)
{
	struct tcpx_segment from = {w->local, 0, 0, 0, len_bytes};
	struct tcpx_segment to = {w->owned, 0, 0, 0, len_bytes};
	struct tcpx_post_params post = {.size_bytes = sizeof(post),
					.deadline_ms = 1000};
	struct tcpx_xfer_params params = {.size_bytes = sizeof(params),
					  .peer = w->back,
					  .op = TCPX_OP_RECV,
					  .segments = &to,
					  .n_segments = 1};
	uint64_t recv;
	int status;

	w->step = "prepare";
	status = tcpx_xfer_prepare(w->b, &params, &recv);
	params.peer = w->peer;
	params.op = TCPX_OP_SEND;
	params.segments = &from;
	if (!status)
		status = tcpx_xfer_prepare(w->a, &params, &w->xfer);
	if (status)
		return status;
	w->step = "post";
	status = tcpx_xfer_post(w->b, recv, &post);
	if (!status)
		status = tcpx_xfer_post(w->a, w->xfer, &post);
	if (status)
		return status;
	w->step = "wait";
	status = tcpx_xfer_wait(w->a, w->xfer, scale_ms(8000));
	return status ? status : tcpx_xfer_wait(w->b, recv, scale_ms(8000));
}

static int walk_messages(struct way *w)
{
	int status;

	w->step = "find the peer";
	status = tcpx_peer_find(w->b, "a", &w->back);
	/* As a message, and by chunks. */
	if (!status)
		status = way_message(w, 5000);
	return status ? status : way_message(w, LEN);
}

static int walk(struct way *w)
{
	int status;

	w->step = "open";
	status = open_one(&w->a, "a");
	if (!status)
		status = open_one(&w->b, "b");
	if (!status)
		status = way_connect(w);
	if (!status)
		status = way_register(w);
	if (!status)
		status = way_transfer(w, TCPX_OP_WRITE);
	if (!status)
		status = way_transfer(w, TCPX_OP_READ);
	return status ? status : walk_messages(w);
}

static void take_notes(struct tcpx_session *s)
{
	struct tcpx_notification *note;

	while (s && !tcpx_notify_poll(s, &note))
		tcpx_notify_free(note);
}

static void way_end(struct way *w)
{
	take_notes(w->a);
	take_notes(w->b);
	tcpx_session_close(w->a);
	tcpx_session_close(w->b);
}

/* What a walk has allocated is free again: there are no more than before it. A
 * thread that has just ended may be late with its own. */
static void nothing_left(long before)
{
	for (int i = 0; atomic_load(&n_live) > before && i < 200; i++)
		test_sleep_ms(5);
	CHECK(atomic_load(&n_live) <= before);
}

/* True when nothing had to fail any more. */
static bool walk_failing_at(long k, bool all_after, struct region *src,
			    struct region *dst)
{
	struct way w = {.src = *src, .dst = *dst, .step = ""};
	uint64_t start = test_now_ns();
	int status;
	long failed;

	pattern_fill(dst->data, LEN, 2, 0);
	atomic_store(&fail_all_after, all_after);
	atomic_store(&n_failed, 0);
	atomic_store(&allocs_left, k);
	status = walk(&w);
	failed = atomic_load(&n_failed);
	atomic_store(&allocs_left, 0);
	start = test_now_ns() - start;
	fprintf(stderr, "%ld%s: %s %s, %llu ms\n", k, all_after ? "+" : "",
		w.step, tcpx_status_name(status),
		(unsigned long long)start / 1000000);
	CHECK(start < (uint64_t)scale_ms(10000) * 1000000u);
	CHECK(status <= 0 && status != TCPX_EINTERNAL);
	CHECK(status != TCPX_ETIMEDOUT || !strcmp(w.step, "wait for the peer"));
	if (!status)
		CHECK_MEM(dst->data, src->data, 50000);
	else
		CHECK(failed > 0);
	way_end(&w);
	return failed == 0;
}

static void walk_allocations(bool all_after, long step)
{
	struct region src, dst;
	size_t fds;
	long k = 1, live;

	if (!OWN_MALLOC)
		SKIP("a sanitizer has its own malloc");
	region_init(&src, LEN, 1);
	region_init(&dst, LEN, 2);
	/* What is allocated once and for all is there after the first ones. */
	for (int i = 0; i < 3; i++)
		CHECK(walk_failing_at(LONG_MAX, false, &src, &dst));
	fds = count_fds();
	live = atomic_load(&n_live);
	while (!walk_failing_at(k, all_after, &src, &dst)) {
		nothing_left(live);
		k += k < 300 ? 1 : step;
	}
	fprintf(stderr, "%ld allocations\n", k);
	CHECK(k > 10);
	CHECK_EQ(count_fds(), fds);
	region_fini(&src);
	region_fini(&dst);
}

static void each_allocation(void)
{
	walk_allocations(false, 3);
}

static void all_from_an_allocation(void)
{
	walk_allocations(true, 11);
}

/* What ends things may not need memory: neither is the region touched after
 * its deregistration, nor a peer left open by a close. */
static void ends_without_memory(void)
{
	enum { BYTES = 64 << 20 };
	struct region src, dst;
	struct pair pair;
	uint64_t local, owned, remote, xfer;
	uint64_t start;
	size_t fds;

	if (!OWN_MALLOC)
		SKIP("a sanitizer has its own malloc");
	region_init(&src, BYTES, 1);
	region_init(&dst, BYTES, 2);
	fds = count_fds();
	pair_open(&pair, PAIR_TWO, NULL);
	local = sess_register(pair.a, &src, 0);
	owned = sess_register(pair.b, &dst, RW);
	remote = sess_share(pair.b, owned, pair.a);
	xfer = xfer_one(pair.a, pair.ab, TCPX_OP_WRITE, local, 0, remote, 0,
			BYTES);
	CHECK_STATUS(tcpx_xfer_post(pair.a->s, xfer, NULL), TCPX_OK);
	fail_here = true;
	CHECK_STATUS(tcpx_mem_deregister(pair.b->s, owned), TCPX_OK);
	fail_here = false;
	memset(dst.data, 0x55, BYTES);
	CHECK_STATUS(tcpx_xfer_wait(pair.a->s, xfer, scale_ms(8000)),
		     TCPX_EREMOTE);
	for (size_t i = 0; i < BYTES; i++)
		CHECK_EQ(((unsigned char *)dst.data)[i], 0x55);
	fail_here = true;
	start = test_now_ns();
	tcpx_session_close(pair.b->s);
	tcpx_session_close(pair.a->s);
	start = test_now_ns() - start;
	fail_here = false;
	CHECK(start < (uint64_t)scale_ms(3000) * 1000000u);
	CHECK_EQ(count_fds(), fds);
	region_fini(&src);
	region_fini(&dst);
}

/* What a list over many regions needs of memory, failing at each allocation. */
static void prepare_without_memory(void)
{
	enum { N = 200 };
	struct tcpx_segment list[N];
	struct tcpx_xfer_params params = {.size_bytes = sizeof(params),
					  .op = TCPX_OP_WRITE,
					  .segments = list,
					  .n_segments = N};
	struct region src, dst;
	struct pair pair;
	int status = TCPX_ENOMEM;
	uint64_t xfer;
	long k;

	if (!OWN_MALLOC)
		SKIP("a sanitizer has its own malloc");
	region_init(&src, LEN, 1);
	region_init(&dst, LEN, 2);
	pair_open(&pair, PAIR_DRIVEN, NULL);
	params.peer = pair.ab;
	for (uint64_t i = 0; i < N; i++)
		list[i] = (struct tcpx_segment){
			sess_register(pair.a, &src, 0), 2 * i,
			sess_share(pair.b, sess_register(pair.b, &dst, RW),
				   pair.a),
			2 * i, 1};
	for (k = 1; status; k++) {
		CHECK(k < 100);
		atomic_store(&n_failed, 0);
		atomic_store(&allocs_left, k);
		status = tcpx_xfer_prepare(pair.a->s, &params, &xfer);
		atomic_store(&allocs_left, 0);
		CHECK_STATUS(status,
			     atomic_load(&n_failed) ? TCPX_ENOMEM : TCPX_OK);
	}
	fprintf(stderr, "%ld allocations\n", k - 2);
	CHECK(k > 20);
	CHECK_STATUS(tcpx_xfer_post(pair.a->s, xfer, NULL), TCPX_OK);
	CHECK_STATUS(pair_wait(&pair, pair.a, xfer, scale_ms(8000)), TCPX_OK);
	for (uint64_t i = 0; i < N; i++)
		CHECK_EQ(dst.data[2 * i], src.data[2 * i]);
	pair_close(&pair);
	region_fini(&src);
	region_fini(&dst);
}

static void tweak_no_log(struct tcpx_config *config)
{
	config->log_fn = NULL;
}

/* Was b's peer lost, and did its cause say so? */
static bool lost_for_memory(struct pair *pair)
{
	struct tcpx_event event;

	while (!tcpx_event_poll(pair->b->s, &event)) {
		if (event.kind != TCPX_EVENT_PEER_LOST)
			continue;
		fprintf(stderr, "%s\n", event.cause);
		CHECK_STATUS(event.status, TCPX_ENOMEM);
		CHECK(strstr(event.cause, "out of memory"));
		return true;
	}
	return false;
}

/* Who has no memory for a message does not blame its sender. */
static void message_without_memory(void)
{
	struct region src, dst;
	struct pair pair;
	uint64_t local, remote, xfer;
	bool lost = false;

	if (!OWN_MALLOC)
		SKIP("a sanitizer has its own malloc");
	region_init(&src, LEN, 1);
	region_init(&dst, LEN, 2);
	pair_open(&pair, PAIR_DRIVEN, tweak_no_log);
	local = sess_register(pair.a, &src, 0);
	remote = sess_share(pair.b, sess_register(pair.b, &dst, RW), pair.a);
	/* Now and then the control thread is faster, and has memory. */
	for (int i = 0; i < 100 && !lost; i++) {
		xfer = xfer_one(pair.a, pair.ab, TCPX_OP_WRITE, local, 0,
				remote, 0, LEN);
		CHECK_STATUS(tcpx_xfer_post(pair.a->s, xfer, NULL), TCPX_OK);
		for (int k = 0; k < 10; k++) {
			tcpx_session_progress(pair.a->s, 0);
			fail_here = true;
			tcpx_session_progress(pair.b->s, 0);
			fail_here = false;
		}
		lost = lost_for_memory(&pair);
		if (!lost)
			CHECK_STATUS(pair_wait(&pair, pair.a, xfer,
					       scale_ms(8000)),
				     TCPX_OK);
	}
	CHECK(lost);
	pair_close(&pair);
	region_fini(&src);
	region_fini(&dst);
}

/* Posts one SEND after the other without memory, until one's message does not
 * fit into what is there. How many were sent. */
static size_t send_until_failure(struct pair *pair, const uint64_t *sends,
				 size_t n)
{
	for (size_t i = 0; i < n; i++) {
		fail_here = true;
		CHECK_STATUS(tcpx_xfer_post(pair->a->s, sends[i], NULL),
			     TCPX_OK);
		fail_here = false;
		if (tcpx_xfer_test(pair->a->s, sends[i]) == TCPX_ENOMEM)
			return i;
	}
	return n;
}

static void receive_one(struct pair *pair, uint64_t send, uint64_t recv)
{
	CHECK_STATUS(tcpx_xfer_post(pair->b->s, recv, NULL), TCPX_OK);
	CHECK_STATUS(pair_wait(pair, pair->a, send, scale_ms(8000)), TCPX_OK);
	CHECK_STATUS(pair_wait(pair, pair->b, recv, scale_ms(8000)), TCPX_OK);
}

/* A SEND that had no memory to go is over, and the next one is not held up. */
static void send_after_no_memory(void)
{
	enum { N = 100, BYTES = 8000 };
	struct region src, dst;
	struct pair pair;
	uint64_t sends[N], mem, recv;
	size_t n;

	if (!OWN_MALLOC)
		SKIP("a sanitizer has its own malloc");
	region_init(&src, LEN, 1);
	region_init(&dst, LEN, 2);
	pair_open(&pair, PAIR_DRIVEN, tweak_no_log);
	mem = sess_register(pair.a, &src, 0);
	for (size_t i = 0; i < N; i++)
		sends[i] = xfer_one(pair.a, pair.ab, TCPX_OP_SEND, mem, 0, 0, 0,
				    BYTES);
	recv = xfer_one(pair.b, pair.ba, TCPX_OP_RECV,
			sess_register(pair.b, &dst, 0), 0, 0, 0, BYTES);
	n = send_until_failure(&pair, sends, N);
	fprintf(stderr, "%zu were sent\n", n);
	CHECK(n < N);
	for (size_t i = 0; i < n; i++)
		receive_one(&pair, sends[i], recv);
	CHECK_STATUS(tcpx_xfer_post(pair.a->s, sends[n], NULL), TCPX_OK);
	receive_one(&pair, sends[n], recv);
	pair_close(&pair);
	region_fini(&src);
	region_fini(&dst);
}

/* ---- descriptors ---- */

static void set_limit(rlim_t n)
{
	struct rlimit limit;

	CHECK(!getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = n;
	CHECK(!setrlimit(RLIMIT_NOFILE, &limit));
}

static long cpu_ticks(void)
{
	struct tms tms;

	times(&tms);
	return tms.tms_utime + tms.tms_stime;
}

/* With room for k more descriptors, for every k until it works. */
static void each_descriptor(void)
{
	struct region src, dst;
	size_t fds;
	long live;
	int status = -1;

	region_init(&src, LEN, 1);
	region_init(&dst, LEN, 2);
	for (int i = 0; i < 3; i++)
		CHECK(walk_failing_at(LONG_MAX, false, &src, &dst));
	live = atomic_load(&n_live);
	fds = count_fds() - 1; /* the folder itself */
	for (rlim_t k = 0; status; k++) {
		struct way w = {.src = src, .dst = dst, .step = ""};
		uint64_t start = test_now_ns();

		CHECK(k < 200);
		set_limit(fds + k);
		status = walk(&w);
		start = test_now_ns() - start;
		fprintf(stderr, "%llu: %s %s, %llu ms\n", (unsigned long long)k,
			w.step, tcpx_status_name(status),
			(unsigned long long)start / 1000000);
		CHECK(start < (uint64_t)scale_ms(10000) * 1000000u);
		CHECK(status <= 0 && status != TCPX_EINTERNAL);
		if (status && !strcmp(w.step, "open"))
			CHECK_STATUS(status, TCPX_ENFILE);
		way_end(&w);
		set_limit(1024);
		CHECK_EQ(count_fds() - 1, fds);
		nothing_left(live);
	}
	CHECK_MEM(dst.data, src.data, 50000);
	region_fini(&src);
	region_fini(&dst);
}

/* A listener that cannot accept neither spins nor forgets: with descriptors
 * again, those that knocked are let in. */
static void accept_without_descriptors(void)
{
	char blob[TCPX_BLOB_MAX];
	struct sess a, b;
	uint64_t peer;
	size_t len;
	long ticks;
	pid_t child;
	int status, ready[2];

	if (scale_tsan())
		SKIP("a child of fork() may not start threads under TSan");
	CHECK(!pipe(ready));
	/* Before there are threads here, one of which might hold a sanitizer's
	 * lock just then. */
	child = fork();
	if (!child) {
		sess_open(&a, "a", NULL);
		CHECK_EQ(read(ready[0], &len, sizeof(len)), sizeof(len));
		CHECK_EQ(read(ready[0], blob, len), len);
		CHECK_STATUS(tcpx_peer_connect(a.s, blob, len, &peer), TCPX_OK);
		CHECK_STATUS(tcpx_peer_wait(a.s, peer, scale_ms(8000)),
			     TCPX_OK);
		sess_close(&a);
		_exit(0);
	}
	sess_open(&b, "b", NULL);
	CHECK_STATUS(tcpx_session_blob(b.s, blob, sizeof(blob), &len), TCPX_OK);
	set_limit(3);
	CHECK_EQ(write(ready[1], &len, sizeof(len)), sizeof(len));
	CHECK_EQ(write(ready[1], blob, len), len);
	ticks = cpu_ticks();
	test_sleep_ms(700);
	ticks = cpu_ticks() - ticks;
	set_limit(1024);
	fprintf(stderr, "%ld ticks of %ld a second\n", ticks,
		sysconf(_SC_CLK_TCK));
	CHECK(ticks < sysconf(_SC_CLK_TCK) / 3);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
	sess_close(&b);
}

static const struct check_case cases[] = {
	{"each_allocation", each_allocation, 300},
	{"all_from_an_allocation", all_from_an_allocation, 300},
	{"ends_without_memory", ends_without_memory, 60},
	{"prepare_without_memory", prepare_without_memory, 60},
	{"message_without_memory", message_without_memory, 60},
	{"send_after_no_memory", send_after_no_memory, 60},
	{"each_descriptor", each_descriptor, 120},
	{"accept_without_descriptors", accept_without_descriptors, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
