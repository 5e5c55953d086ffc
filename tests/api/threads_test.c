/* SPDX-License-Identifier: Apache-2.0 */
/* Many threads on one session, sessions without workers, and fairness. */
#include <pthread.h>
#include <stdatomic.h>

#include "check.h"
#include "support/scale.h"
#include "support/sess.h"

#define RW (TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE)
#define SOON scale_ms(20000)
#define SLICE (256u << 10)

struct mob {
	struct pair pair;
	struct region here, there;
	uint64_t local, remote;
	size_t rounds;
	_Atomic bool stop;
};

struct member {
	pthread_t thread;
	struct mob *mob;
	uint64_t number, seed;
};

/* Transfers over the same bytes: by one worker, where that is looked at. */
static void tweak_overlap(struct tcpx_config *config)
{
	if (scale_tsan())
		config->n_workers = 1;
}

static void mob_open(struct mob *mob, enum pair_kind kind, size_t n_slices,
		     size_t rounds)
{
	pair_open(&mob->pair, kind, rounds ? NULL : tweak_overlap);
	region_init(&mob->here, n_slices * SLICE, 1);
	region_init(&mob->there, n_slices * SLICE, 2);
	mob->local = sess_register(mob->pair.a, &mob->here, TCPX_ACCESS_LOCAL);
	mob->remote = sess_share(mob->pair.b,
				 sess_register(mob->pair.b, &mob->there, RW),
				 mob->pair.a);
	mob->rounds = rounds;
	mob->stop = false;
}

static void mob_close(struct mob *mob)
{
	pair_close(&mob->pair);
	region_fini(&mob->here);
	region_fini(&mob->there);
}

static void mob_run(struct mob *mob, struct member *members, size_t n,
		    void *(*fn)(void *arg))
{
	for (size_t i = 0; i < n; i++) {
		members[i].mob = mob;
		members[i].number = i;
		members[i].seed = check_seed() + i;
		CHECK(!pthread_create(&members[i].thread, NULL, fn,
				      &members[i]));
	}
	for (size_t i = 0; i < n; i++)
		pthread_join(members[i].thread, NULL);
}

static int wait_somehow(struct member *m, uint64_t xfer)
{
	struct tcpx_session *s = m->mob->pair.a->s;
	uint64_t end = test_now_ns() + (uint64_t)SOON * 1000000u;
	int status;

	if (m->number % 2)
		return tcpx_xfer_wait(s, xfer, SOON);
	while ((status = tcpx_xfer_test(s, xfer)) == TCPX_INPROGRESS) {
		if (test_now_ns() > end)
			return TCPX_ETIMEDOUT;
		if (m->number % 4)
			sched_yield();
		else
			tcpx_session_progress(s, 1);
	}
	return status;
}

/* WRITE a slice of one's own, READ it back, by turns, and compare. */
static void *write_and_read(void *arg)
{
	struct member *m = arg;
	struct mob *mob = m->mob;
	struct sess *a = mob->pair.a;
	uint64_t base = m->number * SLICE;

	for (size_t i = 0; i < mob->rounds; i++) {
		struct layout layout;
		uint64_t xfer;
		enum tcpx_op op = i % 2 ? TCPX_OP_READ : TCPX_OP_WRITE;

		layout_init(&layout, check_rand(&m->seed), 1 + i % 40,
			    1 + check_rand(&m->seed) % 8000, SLICE);
		for (size_t k = 0; k < layout.n; k++) {
			layout.pieces[k].a_off += base;
			layout.pieces[k].b_off += base;
		}
		pattern_fill(mob->here.data + base, SLICE, 3 * i, base);
		pattern_fill(mob->there.data + base, SLICE, 3 * i + 1, base);
		pattern_fill(mob->here.want + base, SLICE, 3 * i, base);
		pattern_fill(mob->there.want + base, SLICE, 3 * i + 1, base);
		layout_want(&layout,
			    op == TCPX_OP_READ ? &mob->here : &mob->there,
			    3 * i + (op == TCPX_OP_READ), op == TCPX_OP_WRITE);
		xfer = xfer_layout(a, mob->pair.ab, op, &layout, mob->local,
				   mob->remote);
		CHECK_STATUS(tcpx_xfer_post(a->s, xfer, NULL), TCPX_OK);
		CHECK_STATUS(wait_somehow(m, xfer), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_release(a->s, xfer), TCPX_OK);
		CHECK_MEM(mob->here.data + base, mob->here.want + base, SLICE);
		CHECK_MEM(mob->there.data + base, mob->there.want + base,
			  SLICE);
		layout_fini(&layout);
	}
	return NULL;
}

static void mob_of(enum pair_kind kind)
{
	enum { N = 16 };
	struct member members[N];
	struct mob mob;

	mob_open(&mob, kind, N, scale_count(60));
	mob_run(&mob, members, N, write_and_read);
	CHECK_EQ(sess_warnings(mob.pair.a) + sess_warnings(mob.pair.b), 0);
	mob_close(&mob);
}

static void mob_two(void)
{
	mob_of(PAIR_TWO);
}

static void mob_self(void)
{
	mob_of(PAIR_SELF);
}

static void *drive_second(void *arg)
{
	struct mob *mob = arg;

	while (!atomic_load(&mob->stop))
		tcpx_session_progress(mob->pair.b->s, 20);
	return NULL;
}

/* No workers anywhere: waiters drive the one side, a thread the other. */
static void mob_driven(void)
{
	enum { N = 8 };
	struct member members[N];
	pthread_t driver;
	struct mob mob;

	mob_open(&mob, PAIR_DRIVEN, N, scale_count(60));
	CHECK(!pthread_create(&driver, NULL, drive_second, &mob));
	mob_run(&mob, members, N, write_and_read);
	atomic_store(&mob.stop, true);
	pthread_join(driver, NULL);
	mob_close(&mob);
}

/* Everything there is, at random, from many threads; what counts is that
 * statuses are sane and nothing breaks. */
static void do_something(struct member *m, uint64_t choice)
{
	char blob[TCPX_BLOB_MAX];
	struct mob *mob = m->mob;
	struct sess *a = mob->pair.a;
	struct tcpx_notification *note;
	struct tcpx_event event;
	uint64_t mem, xfer, base = m->number * SLICE;
	size_t len;

	switch (choice) {
	case 0:
		CHECK_STATUS(tcpx_mem_register(a->s, mob->here.data + base,
					       SLICE, RW, &mem),
			     TCPX_OK);
		xfer = xfer_one(a, mob->pair.ab, TCPX_OP_WRITE, mem, 0,
				mob->remote, base, SLICE);
		CHECK_STATUS(tcpx_xfer_post(a->s, xfer, NULL), TCPX_OK);
		CHECK_STATUS(tcpx_mem_deregister(a->s, mem), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_release(a->s, xfer), TCPX_OK);
		break;
	case 1:
		CHECK_STATUS(tcpx_notify_send(a->s, mob->pair.ab, "n", 1),
			     TCPX_OK);
		if (!tcpx_notify_wait(mob->pair.b->s, &note, 5))
			tcpx_notify_free(note);
		break;
	case 2:
		CHECK(tcpx_event_wait(a->s, &event, 1) <= 0);
		CHECK_STATUS(tcpx_session_blob(a->s, blob, sizeof(blob), &len),
			     TCPX_OK);
		break;
	case 3:
		CHECK(tcpx_peer_describe(a->s, mob->pair.ab, NULL, 0, &len) ==
		      TCPX_ENOSPC);
		CHECK(tcpx_session_stats_json(a->s, NULL, 0, &len) ==
		      TCPX_ENOSPC);
		break;
	case 4:
		xfer = xfer_one(a, mob->pair.ab, TCPX_OP_READ, mob->local, base,
				mob->remote, base, 1 + choice * 50000);
		CHECK_STATUS(tcpx_xfer_post(a->s, xfer, NULL), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_cancel(a->s, xfer), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_release(a->s, xfer), TCPX_OK);
		break;
	default:
		CHECK_EQ(sess_connect(a, mob->pair.b), mob->pair.ab);
		CHECK_STATUS(tcpx_peer_disconnect(a->s, mob->pair.ab), TCPX_OK);
		break;
	}
}

static void *anything(void *arg)
{
	struct member *m = arg;

	for (size_t i = 0; i < m->mob->rounds; i++)
		do_something(m, check_rand(&m->seed) % 6);
	return NULL;
}

static void everything_at_once(void)
{
	enum { N = 8 };
	struct member members[N];
	struct mob mob;

	mob_open(&mob, PAIR_TWO, N, scale_count(150));
	mob_run(&mob, members, N, anything);
	mob_close(&mob);
}

/* The same transfer, tested, waited for and posted by many. */
static void *share_one(void *arg)
{
	struct member *m = arg;
	struct tcpx_session *s = m->mob->pair.a->s;
	uint64_t xfer = m->mob->local; /* the shared transfer, see below */

	for (size_t i = 0; i < m->mob->rounds; i++) {
		int status = tcpx_xfer_post(s, xfer, NULL);

		CHECK(status == TCPX_OK || status == TCPX_EBUSY);
		status = tcpx_xfer_wait(s, xfer, SOON);
		CHECK_STATUS(status, TCPX_OK);
		status = tcpx_xfer_test(s, xfer);
		CHECK(status == TCPX_OK || status == TCPX_INPROGRESS);
	}
	return NULL;
}

static void one_transfer_many_threads(void)
{
	enum { N = 8 };
	struct member members[N];
	struct mob mob;

	mob_open(&mob, PAIR_TWO, 1, scale_count(200));
	mob.local = xfer_one(mob.pair.a, mob.pair.ab, TCPX_OP_WRITE, mob.local,
			     0, mob.remote, 0, SLICE);
	mob_run(&mob, members, N, share_one);
	region_want(&mob.there, 0, SLICE, 1, 0);
	CHECK(region_check(&mob.there, "there"));
	mob_close(&mob);
}

/* An 8-byte WRITE beside a list of many gigabytes to the same peer: it does
 * not wait for the end of it. */
static void small_beside_huge(void)
{
	enum { N = 4000 };
	static struct tcpx_segment segments[N];
	uint64_t huge, small, longest = 0, start;
	struct mob mob;

	mob_open(&mob, PAIR_TWO, 64, 0);
	for (size_t i = 0; i < N; i++)
		segments[i] = (struct tcpx_segment){mob.local, 64, mob.remote,
						    64, 63 * SLICE};
	huge = xfer_make(mob.pair.a, mob.pair.ab, TCPX_OP_WRITE, segments, N,
			 0);
	small = xfer_one(mob.pair.a, mob.pair.ab, TCPX_OP_WRITE, mob.local, 0,
			 mob.remote, 0, 8);
	CHECK_STATUS(tcpx_xfer_post(mob.pair.a->s, huge, NULL), TCPX_OK);
	for (size_t i = 0; i < 100; i++) {
		start = test_now_ns();
		CHECK_STATUS(tcpx_xfer_post(mob.pair.a->s, small, NULL),
			     TCPX_OK);
		CHECK_STATUS(tcpx_xfer_wait(mob.pair.a->s, small, SOON),
			     TCPX_OK);
		start = test_now_ns() - start;
		if (start > longest)
			longest = start;
	}
	fprintf(stderr, "longest %llu us\n",
		(unsigned long long)longest / 1000);
	CHECK_STATUS(tcpx_xfer_test(mob.pair.a->s, huge), TCPX_INPROGRESS);
	CHECK_STATUS(tcpx_xfer_release(mob.pair.a->s, huge), TCPX_OK);
	mob_close(&mob);
}

/* progress() on an idle session waits, and says that nothing happened. */
static void idle_progress(void)
{
	struct mob mob;
	uint64_t start;

	mob_open(&mob, PAIR_DRIVEN, 1, 0);
	for (int i = 0; i < 50; i++)
		pair_drive(&mob.pair);
	start = test_now_ns();
	while (tcpx_session_progress(mob.pair.a->s, 50) != TCPX_EAGAIN)
		CHECK(test_now_ns() - start < (uint64_t)SOON * 1000000u);
	CHECK_STATUS(tcpx_session_progress(mob.pair.a->s, 0), TCPX_EAGAIN);
	mob_close(&mob);
}

static const struct check_case cases[] = {
	{"mob_two", mob_two, 90},
	{"mob_self", mob_self, 90},
	{"mob_driven", mob_driven, 90},
	{"everything_at_once", everything_at_once, 60},
	{"one_transfer_many_threads", one_transfer_many_threads, 60},
	{"small_beside_huge", small_beside_huge, 60},
	{"idle_progress", idle_progress, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
