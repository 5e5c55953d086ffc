/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata, what comes and goes, threads, and what must not pile up. */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "check.h"
#include "duo.h"
#include "support/count.h"

/* ---- metadata --------------------------------------------------------- */

static void partial_metadata(void)
{
	struct region near, far;
	struct side a, b;
	size_t len;
	void *md;

	side_open(&a, "a", NULL);
	side_open(&b, "b", NULL);
	region_init(&near, M, 1);
	region_init(&far, 2 * M, 2);
	side_register(&a, near.data, M);
	void *first = side_register(&b, far.data, M);
	void *second = side_register(&b, far.data + M, M);
	void *none;

	/* Of nothing: that is how to connect, and no more. */
	CHECK_EQ(capi()->create_reg_dlist(CAPI_DRAM, &none), 0);
	md = side_md_of(&b, none, &len);
	CHECK_EQ(capi()->destroy_reg_dlist(none), 0);
	CHECK_EQ(side_load(&a, md, len), 0);
	free(md);
	side_tell(&a, "b", "early", 5);
	side_want_note(&b, "a", "early", 5);
	md = side_md_of(&b, first, &len);
	CHECK_EQ(side_load(&a, md, len), 0);
	free(md);
	void *req = side_one(&a, CAPI_WRITE, "b", near.data, region_at(&far, 0),
			     M, NULL, 0);

	side_run(&a, req);
	side_release(&a, req);
	/* Of the second one nothing is known yet. */
	CHECK(!side_one(&a, CAPI_WRITE, "b", near.data, region_at(&far, M), M,
			NULL, 0));
	md = side_md_of(&b, second, &len);
	CHECK_EQ(side_load(&a, md, len), 0);
	free(md);
	req = side_one(&a, CAPI_WRITE, "b", near.data, region_at(&far, M), M,
		       NULL, 0);
	side_run(&a, req);
	side_release(&a, req);
	region_want(&far, 0, M, 1, 0);
	region_want(&far, M, M, 1, 0);
	CHECK(region_check(&far, "far"));
	side_close(&a);
	side_close(&b);
	region_fini(&near);
	region_fini(&far);
}

/* How to connect, broken; what else is in there NIXL reads, not we. */
static void broken_metadata(void)
{
	struct side a, b;
	struct region far;
	uint64_t random = check_seed();
	size_t len;

	side_open(&a, "a", NULL);
	side_open(&b, "b", NULL);
	region_init(&far, 4096, 1);
	side_register(&b, far.data, far.len_bytes);
	uint8_t *md = side_md(&b, &len);
	uint8_t *info = memmem(md, len, "TCPX1\n", 6);

	CHECK(info);
	for (int i = 0; i < 60; i++) {
		size_t where = (size_t)(info - md) + check_rand(&random) % 100;
		uint8_t was = md[where];

		md[where] ^= (uint8_t)(1 + check_rand(&random) % 255);
		side_load(&a, md, len);
		capi()->invalidate_remote_md(a.agent, "b");
		md[where] = was;
	}
	CHECK_EQ(side_load(&a, md, len), 0);
	side_tell(&a, "b", "well", 4);
	side_want_note(&b, "a", "well", 4);
	free(md);
	side_close(&a);
	side_close(&b);
	region_fini(&far);
}

/* Another agent under the same name: after the old one was given up. */
static void reload_same_name(void)
{
	struct duo duo;

	duo_open(&duo, M);
	for (int i = 0; i < 3; i++) {
		duo_move(&duo, CAPI_WRITE, 100, 200, M / 2);
		side_deregister(&duo.b, duo.far_reg);
		side_close(&duo.b);
		side_open(&duo.b, "b", NULL);
		duo.far_reg = side_register(&duo.b, duo.far.data, M);
		CHECK_EQ(capi()->invalidate_remote_md(duo.a.agent, "b"), 0);
		side_know(&duo.a, &duo.b);
		side_tell(&duo.a, "b", "again", 5);
		side_want_note(&duo.b, "a", "again", 5);
	}
	duo_close(&duo);
}

/* Who forgets us does not harm what we know of it. */
static void forgotten_by_the_other(void)
{
	struct duo duo;

	duo_open(&duo, M);
	side_know(&duo.b, &duo.a);
	void *req = side_one(&duo.a, CAPI_WRITE, "b", duo.near.data,
			     region_at(&duo.far, 0), M, "here", 4);

	side_run(&duo.a, req);
	side_want_note(&duo.b, "a", "here", 4);
	duo_want(&duo, CAPI_WRITE, 0, 0, M);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(capi()->invalidate_remote_md(duo.b.agent, "a"), 0);
		test_sleep_ms(i * 20);
		if (i == 2)
			side_tell(&duo.a, "b", "first", 5);
		if (i == 2)
			side_want_note(&duo.b, "a", "first", 5);
		side_run(&duo.a, req);
		side_want_note(&duo.b, "a", "here", 4);
		side_know(&duo.b, &duo.a);
		side_tell(&duo.b, "a", "back", 4);
		side_want_note(&duo.a, "b", "back", 4);
	}
	side_release(&duo.a, req);
	duo_close(&duo);
}

static void forgotten_before_release(void)
{
	struct duo duo;

	duo_open(&duo, 64 * M);
	void *idle = side_one(&duo.a, CAPI_WRITE, "b", duo.near.data,
			      region_at(&duo.far, 0), M, NULL, 0);
	void *flying = side_one(&duo.a, CAPI_READ, "b", duo.near.data,
				region_at(&duo.far, 0), 64 * M, NULL, 0);

	CHECK(side_post(&duo.a, flying) >= 0);
	CHECK_EQ(capi()->invalidate_remote_md(duo.a.agent, "b"), 0);
	CHECK(side_post(&duo.a, idle) < 0);
	CHECK(side_wait(&duo.a, flying, SOON) != CAPI_IN_PROGRESS);
	side_release(&duo.a, idle);
	side_release(&duo.a, flying);
	/* Part of it may have come. */
	memcpy(duo.near.want, duo.near.data, duo.near.len_bytes);
	side_know(&duo.a, &duo.b);
	duo_move(&duo, CAPI_WRITE, 0, 0, 4 * M);
	duo_close(&duo);
}

/* ---- release ---------------------------------------------------------- */

static void release_in_flight(enum capi_op op)
{
	enum { LEN = 256 * M };
	struct side a, b;
	uint8_t *near, *far;
	uint64_t worst_ns = 0;

	side_open(&a, "a", NULL);
	side_open(&b, "b", NULL);
	far = mmap(NULL, LEN, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(far != MAP_FAILED);
	side_register(&b, far, LEN);
	side_know(&a, &b);
	for (int i = 0; i < 5; i++) {
		near = mmap(NULL, LEN, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(near != MAP_FAILED);
		void *reg = side_register(&a, near, LEN);
		void *req = side_one(&a, op, "b", near, (uintptr_t)far, LEN,
				     NULL, 0);

		CHECK(req && side_post(&a, req) >= 0);
		test_sleep_ms(3);
		CHECK(capi()->get_xfer_status(a.agent, req) >= 0);
		uint64_t begin = test_now_ns();

		side_release(&a, req);
		if (test_now_ns() - begin > worst_ns)
			worst_ns = test_now_ns() - begin;
		/* Whoever touches it now ends this process. */
		CHECK_EQ(mprotect(near, LEN, PROT_NONE), 0);
		test_sleep_ms(10);
		side_deregister(&a, reg);
		munmap(near, LEN);
	}
	fprintf(stderr, "release: %lu us at most\n", worst_ns / 1000);
	CHECK(worst_ns < (uint64_t)scale_ms(250) * 1000000);
	side_tell(&a, "b", "well", 4);
	side_want_note(&b, "a", "well", 4);
	side_close(&a);
	side_close(&b);
	munmap(far, LEN);
}

static void release_write_in_flight(void)
{
	release_in_flight(CAPI_WRITE);
}

static void release_read_in_flight(void)
{
	release_in_flight(CAPI_READ);
}

static void close_in_flight(void)
{
	/* It may end before we have connected to it. */
	setenv("TCPX_LIVENESS_MS", "1500", 1);
	/* An agent that goes before its request leaks that, as ever. */
	for (int i = 0; i < (scale_sanitized() ? 2 : 4); i++) {
		struct duo duo;
		uint64_t begin;

		duo_open(&duo, 64 * M);
		void *req = side_one(&duo.a, i % 2 ? CAPI_READ : CAPI_WRITE,
				     "b", duo.near.data, region_at(&duo.far, 0),
				     64 * M, "x", 1);

		CHECK(side_post(&duo.a, req) >= 0);
		begin = test_now_ns();
		side_close(i < 2 ? &duo.b : &duo.a);
		CHECK(test_now_ns() - begin <
		      (uint64_t)scale_ms(3000) * 1000000);
		if (i < 2) {
			CHECK(side_wait(&duo.a, req, SOON) != CAPI_IN_PROGRESS);
			side_release(&duo.a, req);
		}
		side_close(i < 2 ? &duo.a : &duo.b);
		region_fini(&duo.near);
		region_fini(&duo.far);
	}
}

/* What the exit of a forked worker does with the agents of its parent: they
 * go on, and their descriptions stay. */
static void closed_in_a_child(void)
{
	char dir[] = "/tmp/nixl_life_XXXXXX";
	struct duo duo;
	int status;
	pid_t child;

	if (scale_tsan())
		SKIP("a child of fork() has none of TSan's threads");
	CHECK(mkdtemp(dir));
	setenv("TCPX_DESCRIBE_DIR", dir, 1);
	duo_open(&duo, M);
	for (int i = 0; i < 1000 && count_entries(dir) < 2; i++)
		test_sleep_ms(10);
	CHECK_EQ(count_entries(dir), 2);
	child = fork();
	if (!child) {
		side_close(&duo.a);
		side_close(&duo.b);
		_exit(4);
	}
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 4 << 8);
	CHECK_EQ(count_entries(dir), 2);
	void *req = side_one(&duo.a, CAPI_WRITE, "b", duo.near.data,
			     region_at(&duo.far, 0), M, "x", 1);

	side_run(&duo.a, req);
	side_want_note(&duo.b, "a", "x", 1);
	side_release(&duo.a, req);
	side_close(&duo.a);
	side_close(&duo.b);
	CHECK(!rmdir(dir));
	region_fini(&duo.near);
	region_fini(&duo.far);
}

/* ---- modes, threads --------------------------------------------------- */

static void all_sync_modes(void)
{
	for (int mode = CAPI_SYNC_NONE; mode <= CAPI_SYNC_RW; mode++) {
		for (int progress = 0; progress < 2; progress++) {
			const struct capi_config config = {
				.progress_thread = progress, .sync = mode};
			struct duo duo;

			duo_open_as(&duo, 2 * M, &config);
			side_know(&duo.b, &duo.a);
			duo_move(&duo, CAPI_WRITE, 0, M, M);
			duo_move(&duo, CAPI_READ, 5, 6, M);
			side_tell(&duo.b, "a", "x", 1);
			side_want_note(&duo.a, "b", "x", 1);
			duo_close(&duo);
		}
	}
}

#define THREADS_MAX 8
#define SLICE (256ul * 1024)

struct worker {
	struct duo *duo;
	size_t index, n_rounds;
	pthread_t thread;
};

static void one_round(struct duo *duo, size_t first, enum capi_op op)
{
	struct piece_pair pieces[16];

	for (size_t i = 0; i < 16; i++) {
		uint64_t off = first + (i * 5 % 16) * (SLICE / 16);

		pieces[i] = (struct piece_pair){duo->near.data + off,
						region_at(&duo->far, off),
						SLICE / 16 - i};
	}
	void *req = side_request(&duo->a, op, "b", pieces, 16, "t", 1);

	CHECK(req);
	CHECK(side_post(&duo->a, req) >= 0);
	CHECK_EQ(side_wait(&duo->a, req, 3 * SOON), 0);
	side_release(&duo->a, req);
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct duo *duo = worker->duo;
	size_t first = worker->index * SLICE;

	for (size_t i = 0; i < worker->n_rounds; i++) {
		/* Read back what was written: neither side changes. */
		one_round(duo, first, CAPI_WRITE);
		one_round(duo, first, CAPI_READ);
		side_tell(&duo->a, "b", "n", 1);
	}
	return NULL;
}

static size_t count_notes(struct side *side)
{
	struct note *note;
	size_t n = 0;

	for (; (note = side_note(side, 0)); n++)
		side_note_free(note);
	return n;
}

static void with_threads(size_t n)
{
	const struct capi_config config = {.progress_thread = true,
					   .sync = CAPI_SYNC_RW};
	size_t n_rounds = scale_count(60), seen = 0;
	struct worker workers[THREADS_MAX];
	struct duo duo;

	duo_open_as(&duo, n * SLICE, &config);
	for (size_t i = 0; i < n; i++) {
		workers[i] = (struct worker){&duo, i, n_rounds, 0};
		CHECK_EQ(pthread_create(&workers[i].thread, NULL, work,
					&workers[i]),
			 0);
	}
	uint64_t end = test_now_ns() + 5ull * SOON * 1000000;

	while (seen < 3 * n * n_rounds && test_now_ns() < end)
		seen += count_notes(&duo.b);
	for (size_t i = 0; i < n; i++)
		pthread_join(workers[i].thread, NULL);
	test_sleep_ms(20);
	seen += count_notes(&duo.b);
	CHECK_EQ(seen, 3 * n * n_rounds);
	for (size_t t = 0; t < n; t++)
		for (size_t i = 0; i < 16; i++)
			duo_want(&duo, CAPI_WRITE,
				 t * SLICE + (i * 5 % 16) * (SLICE / 16),
				 t * SLICE + (i * 5 % 16) * (SLICE / 16),
				 SLICE / 16 - i);
	duo_close(&duo);
}

static void threads(void)
{
	for (size_t n = 1; n <= THREADS_MAX; n *= 2)
		with_threads(n);
}

/* vLLM's way: one thread posts and polls, another one gets to know agents;
 * no lock in NIXL. */
static void *meet(void *arg)
{
	struct side *a = arg;

	for (int i = 0; i < 10; i++) {
		char name[16];
		struct side peer;

		snprintf(name, sizeof(name), "guest%d", i);
		side_open(&peer, name, NULL);
		side_know(&peer, a);
		side_tell(&peer, "a", name, 6);
		test_sleep_ms(20);
		side_close(&peer);
	}
	return NULL;
}

static void guests_come_and_go(void)
{
	size_t n_notes = 0;
	pthread_t thread;
	struct duo duo;

	duo_open(&duo, M);
	CHECK_EQ(pthread_create(&thread, NULL, meet, &duo.a), 0);
	for (int i = 0; i < 100; i++) {
		duo_move(&duo, CAPI_WRITE, 0, 0, M);
		n_notes += count_notes(&duo.a);
		test_sleep_ms(3);
	}
	pthread_join(thread, NULL);
	test_sleep_ms(50);
	CHECK_EQ(n_notes + count_notes(&duo.a), 10);
	duo_close(&duo);
}

/* Nobody here knows the sender, and it is long gone: what it said is not. */
static void notes_outlive_their_sender(void)
{
	struct side a, b;

	side_open(&a, "a", NULL);
	side_open(&b, "b", NULL);
	side_know(&a, &b);
	side_tell(&a, "b", "first", 5);
	side_want_note(&b, "a", "first", 5);
	side_tell(&a, "b", "last", 4);
	test_sleep_ms(100);
	side_close(&a);
	test_sleep_ms(1500); /* until b's thread has seen that it went */
	side_want_note(&b, "a", "last", 4);
	side_want_none(&b, 50);
	side_close(&b);
}

/* Large ones, and the end at once: said is said. */
static void told_before_the_end(bool with_a_read)
{
	enum { N = 8, LEN = M - 100 };
	uint8_t *text = malloc(LEN);
	int n = with_a_read ? 1 : N;

	CHECK(text);
	pattern_fill(text, LEN, 3, 0);
	for (int round = 0; round < 12; round++) {
		struct duo duo;

		duo_open(&duo, M);
		if (with_a_read) {
			void *req =
				side_one(&duo.a, CAPI_READ, "b", duo.near.data,
					 region_at(&duo.far, 0), M, text, LEN);

			side_run(&duo.a, req);
			side_release(&duo.a, req);
		}
		for (int i = 0; i < n && !with_a_read; i++)
			side_tell(&duo.a, "b", text, LEN);
		side_close(&duo.a);
		for (int i = 0; i < n; i++)
			side_want_note(&duo.b, "a", text, LEN);
		side_close(&duo.b);
		region_fini(&duo.near);
		region_fini(&duo.far);
	}
	free(text);
}

static void told_by_a_read_before_the_end(void)
{
	told_before_the_end(true);
}

static void told_much_before_the_end(void)
{
	told_before_the_end(false);
}

/* ---- leaks ------------------------------------------------------------ */

static long resident_kib(void)
{
	long pages = 0, all;
	FILE *file = fopen("/proc/self/statm", "r");

	CHECK(file && fscanf(file, "%ld %ld", &all, &pages) == 2);
	fclose(file);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void rounds(struct duo *duo, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		void *req = side_one(&duo->a, i % 2 ? CAPI_READ : CAPI_WRITE,
				     "b", duo->near.data,
				     region_at(&duo->far, 0), 4096, "round", 5);

		CHECK(req && side_post(&duo->a, req) >= 0);
		/* Some are released in flight: their notification may come. */
		if (i % 8 || !i)
			CHECK_EQ(side_wait(&duo->a, req, SOON), 0);
		side_release(&duo->a, req);
		count_notes(&duo->b);
	}
}

static void nothing_piles_up(void)
{
	size_t n = scale_count(10000);
	struct duo duo;

	duo_open(&duo, M);
	rounds(&duo, 500 + n / 10);
	long kib = resident_kib();
	size_t fds = count_fds();

	rounds(&duo, n);
	fprintf(stderr, "grew by %ld KiB\n", resident_kib() - kib);
	CHECK(scale_sanitized() || resident_kib() - kib < 2048);
	CHECK_EQ(count_fds(), fds);
	duo_want(&duo, CAPI_WRITE, 0, 0, 4096);
	duo_close(&duo);
}

static void agents_do_not_pile_up(void)
{
	struct side a;
	long kib = 0;
	size_t fds = 0;

	side_open(&a, "a", NULL);
	for (int i = 0; i < 60; i++) {
		struct side b;

		if (i == 20) {
			/* The last guest's end may take a moment. */
			test_sleep_ms(300);
			kib = resident_kib();
			fds = count_fds();
		}
		side_open(&b, "b", NULL);
		side_know(&b, &a);
		side_tell(&b, "a", "x", 1);
		side_want_note(&a, "b", "x", 1);
		side_close(&b);
	}
	for (int i = 0; i < SOON && count_fds() > fds; i += 20)
		test_sleep_ms(20);
	CHECK_EQ(count_fds(), fds);
	fprintf(stderr, "grew by %ld KiB\n", resident_kib() - kib);
	CHECK(scale_sanitized() || resident_kib() - kib < 4096);
	side_close(&a);
}

static const struct check_case cases[] = {
	{"partial_metadata", partial_metadata, 0},
	{"broken_metadata", broken_metadata, 60},
	{"reload_same_name", reload_same_name, 0},
	{"forgotten_by_the_other", forgotten_by_the_other, 0},
	{"forgotten_before_release", forgotten_before_release, 0},
	{"release_write_in_flight", release_write_in_flight, 0},
	{"release_read_in_flight", release_read_in_flight, 0},
	{"close_in_flight", close_in_flight, 0},
	{"closed_in_a_child", closed_in_a_child, 30},
	{"all_sync_modes", all_sync_modes, 0},
	{"threads", threads, 120},
	{"guests_come_and_go", guests_come_and_go, 0},
	{"notes_outlive_their_sender", notes_outlive_their_sender, 0},
	{"told_by_a_read_before_the_end", told_by_a_read_before_the_end, 60},
	{"told_much_before_the_end", told_much_before_the_end, 60},
	{"nothing_piles_up", nothing_piles_up, 60},
	{"agents_do_not_pile_up", agents_do_not_pile_up, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
