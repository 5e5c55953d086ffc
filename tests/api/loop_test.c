/* SPDX-License-Identifier: Apache-2.0 */
/* Transfers of programs that sleep in an event loop (support/loop.h): with
 * workers and without, by one loop and by several, posted here and elsewhere. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "check.h"
#include "support/loop.h"
#include "support/scale.h"

#define RW (TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE)

/* ---- each operation ---------------------------------------------------- */

/* READ or WRITE, with a notification that b's loop is told of. */
static void move(struct pair *pair, struct loop *loop, struct ends *ends,
		 enum tcpx_op op, uint64_t len)
{
	struct watch w = {.sess = pair->a, .note_sess = pair->b};
	struct region *src = op == TCPX_OP_WRITE ? &ends->here : &ends->there;
	struct region *dst = op == TCPX_OP_WRITE ? &ends->there : &ends->here;
	static uint64_t seed = 100;

	pattern_fill(src->data, len, ++seed, 0);
	w.xfer = xfer_one(pair->a, pair->ab, op, ends->local, 0, ends->remote,
			  0, len);
	loop_post(pair->a, w.xfer, true, 0);
	loop_until(loop, watch_look, &w);
	CHECK_STATUS(w.status, TCPX_OK);
	CHECK_MEM(dst->data, src->data, len);
	tcpx_notify_free(w.note);
	CHECK_STATUS(tcpx_xfer_release(pair->a->s, w.xfer), TCPX_OK);
}

/* SEND and the RECV it meets; who posts first goes by turns. */
static void pass_on(struct pair *pair, struct loop *loop, struct ends *ends,
		    uint64_t len, bool recv_first)
{
	struct tcpx_segment here = {.local_mem = ends->local, .len_bytes = len};
	struct tcpx_segment there = {.local_mem = ends->there_mem,
				     .len_bytes = len};
	struct watch send = {.sess = pair->a}, recv = {.sess = pair->b};
	static uint64_t seed = 5000;

	pattern_fill(ends->here.data, len, ++seed, 0);
	send.xfer = xfer_make(pair->a, pair->ab, TCPX_OP_SEND, &here, 1, seed);
	recv.xfer = xfer_make(pair->b, pair->ba, TCPX_OP_RECV, &there, 1, seed);
	loop_post(recv_first ? pair->b : pair->a,
		  recv_first ? recv.xfer : send.xfer, false, 0);
	loop_drive(loop);
	loop_post(recv_first ? pair->a : pair->b,
		  recv_first ? send.xfer : recv.xfer, false, 0);
	loop_until(loop, watch_look, &recv);
	CHECK_STATUS(recv.status, TCPX_OK);
	CHECK_MEM(ends->there.data, ends->here.data, len);
	loop_until(loop, watch_look, &send);
	CHECK_STATUS(send.status, TCPX_OK);
	CHECK_STATUS(tcpx_xfer_release(pair->a->s, send.xfer), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_release(pair->b->s, recv.xfer), TCPX_OK);
}

static void each_op(enum pair_kind kind, bool edge)
{
	static const uint64_t lens[] = {8, 9000, 300000, 5 << 20};
	struct ends ends;
	struct pair pair;
	struct loop loop;

	pair_open(&pair, kind, loop_tweak);
	ends_open(&ends, &pair);
	loop_pair(&loop, &pair, edge);
	for (size_t i = 0; i < scale_count(40); i++) {
		move(&pair, &loop, &ends, TCPX_OP_WRITE, lens[i % 4]);
		move(&pair, &loop, &ends, TCPX_OP_READ, lens[i % 4]);
		if (kind != PAIR_SELF)
			pass_on(&pair, &loop, &ends, lens[i % 4], i / 4 % 2);
	}
	loop_fini(&loop);
	pair_close(&pair);
	ends_close(&ends);
}

static void driven(void)
{
	each_op(loop_kind(0), false);
}

static void driven_by_edges(void)
{
	each_op(loop_kind(0), true);
}

static void one_worker(void)
{
	each_op(loop_kind(1), false);
}

static void two_workers(void)
{
	each_op(loop_kind(2), false);
}

static void workers_by_edges(void)
{
	each_op(loop_kind(2), true);
}

static void to_oneself(void)
{
	(void)loop_kind(1);
	each_op(PAIR_SELF, false);
}

static void to_oneself_driven(void)
{
	(void)loop_kind(0);
	each_op(PAIR_SELF, false);
}

/* ---- two threads, a loop each ----------------------------------------- */

struct player {
	struct sess *sess;
	uint64_t peer, local, remote;
	bool serves;
	size_t rounds;
	_Atomic int *n_playing;
	pthread_t thread;
};

static void hear(struct player *p, struct loop *loop)
{
	struct watch in = {.note_sess = p->sess};

	loop_until(loop, watch_look, &in);
	tcpx_notify_free(in.note);
}

static void *play(void *arg)
{
	struct player *p = arg;
	struct loop loop;
	uint64_t xfer = xfer_one(p->sess, p->peer, TCPX_OP_WRITE, p->local, 0,
				 p->remote, 0, 64);

	loop_init(&loop);
	loop_add(&loop, p->sess);
	for (size_t i = 0; i < p->rounds; i++) {
		struct watch out = {.sess = p->sess, .xfer = xfer};

		if (!p->serves)
			hear(p, &loop);
		loop_post(p->sess, xfer, true, 0);
		loop_until(&loop, watch_look, &out);
		CHECK_STATUS(out.status, TCPX_OK);
		if (p->serves)
			hear(p, &loop);
	}
	loop_fini(&loop);
	/* The other one may not have been answered yet. */
	atomic_fetch_sub(p->n_playing, 1);
	while (p->sess->driven && atomic_load(p->n_playing))
		tcpx_session_progress(p->sess->s, 0);
	return NULL;
}

static void ping_pong(int workers)
{
	struct player a = {.serves = true, .rounds = scale_count(4000)}, b;
	_Atomic int n_playing = 2;
	struct ends ends;
	struct pair pair;

	pair_open(&pair, loop_kind(workers), loop_tweak);
	ends_open(&ends, &pair);
	b = (struct player){.sess = pair.b,
			    .peer = pair.ba,
			    .local = ends.there_mem,
			    .remote = sess_share(pair.a, ends.local, pair.b),
			    .rounds = a.rounds,
			    .n_playing = &n_playing};
	a.n_playing = &n_playing;
	a.sess = pair.a;
	a.peer = pair.ab;
	a.local = ends.local;
	a.remote = ends.remote;
	CHECK(!pthread_create(&a.thread, NULL, play, &a));
	CHECK(!pthread_create(&b.thread, NULL, play, &b));
	pthread_join(a.thread, NULL);
	pthread_join(b.thread, NULL);
	pair_close(&pair);
	ends_close(&ends);
}

static void ping_pong_driven(void)
{
	ping_pong(0);
}

static void ping_pong_one_worker(void)
{
	ping_pong(1);
}

static void ping_pong_two_workers(void)
{
	ping_pong(2);
}

/* ---- posts of another thread ------------------------------------------ */

#define N_XFERS 4

struct bench {
	struct sess *sess;
	uint64_t xfers[N_XFERS];
	size_t rounds, posted; /* posted: lock, held over the post */
	_Atomic size_t ended;
	pthread_mutex_t lock;
};

static bool look_at_round(void *arg)
{
	struct bench *bench = arg;
	size_t round = atomic_load(&bench->ended);
	int status = TCPX_INPROGRESS;

	pthread_mutex_lock(&bench->lock);
	if (bench->posted > round)
		status = tcpx_xfer_test(bench->sess->s,
					bench->xfers[round % N_XFERS]);
	pthread_mutex_unlock(&bench->lock);
	if (status == TCPX_INPROGRESS)
		return false;
	CHECK_STATUS(status, TCPX_OK);
	return true;
}

/* A loop that does not know of the post until it has ended: nothing but the
 * descriptor tells it. */
static void *run_bench(void *arg)
{
	struct bench *bench = arg;
	struct loop loop;

	loop_init(&loop);
	loop_add(&loop, bench->sess);
	while (atomic_load(&bench->ended) < bench->rounds) {
		loop_until(&loop, look_at_round, bench);
		atomic_fetch_add(&bench->ended, 1);
	}
	loop_fini(&loop);
	return NULL;
}

static void posted_elsewhere(int workers)
{
	static const uint64_t lens[N_XFERS] = {8, 40000, 8, 1 << 20};
	struct bench bench = {.rounds = scale_count(3000),
			      .lock = PTHREAD_MUTEX_INITIALIZER};
	uint64_t seed = check_seed();
	struct ends ends;
	struct pair pair;
	pthread_t thread;

	/* The other side is driven by a worker in any case. */
	(void)loop_kind(workers);
	sess_open(&pair.first, "a", loop_tweak);
	(void)loop_kind(1);
	sess_open(&pair.second, "b", loop_tweak);
	pair.a = &pair.first;
	pair.b = &pair.second;
	pair.ab = sess_connect(pair.a, pair.b);
	CHECK_STATUS(tcpx_peer_wait(pair.a->s, pair.ab, scale_ms(5000)),
		     TCPX_OK);
	ends_open(&ends, &pair);
	bench.sess = pair.a;
	for (int i = 0; i < N_XFERS; i++)
		bench.xfers[i] = xfer_one(pair.a, pair.ab, TCPX_OP_WRITE,
					  ends.local, 0, ends.remote, 0,
					  lens[i]);
	CHECK(!pthread_create(&thread, NULL, run_bench, &bench));
	for (size_t i = 0; i < bench.rounds; i++) {
		for (uint64_t n = check_rand(&seed) % 64; n > 32; n--)
			sched_yield();
		pthread_mutex_lock(&bench.lock);
		loop_post(pair.a, bench.xfers[i % N_XFERS], false, 0);
		bench.posted++;
		pthread_mutex_unlock(&bench.lock);
		while (atomic_load(&bench.ended) <= i)
			sched_yield();
	}
	pthread_join(thread, NULL);
	pair_close(&pair);
	ends_close(&ends);
}

static void posted_elsewhere_driven(void)
{
	posted_elsewhere(0);
}

static void posted_elsewhere_one_worker(void)
{
	posted_elsewhere(1);
}

static void posted_elsewhere_two_workers(void)
{
	posted_elsewhere(2);
}

/* ---- two loops of one session ----------------------------------------- */

struct shift {
	struct pair *pair;
	struct ends *ends;
	int number;
	pthread_t thread;
};

static void *run_shift(void *arg)
{
	struct shift *shift = arg;
	struct pair *pair = shift->pair;
	struct watch w = {.sess = pair->a};
	struct loop loop;

	loop_init(&loop);
	loop_add(&loop, pair->a);
	loop.wanted = TCPX_WAKE_XFER;
	for (size_t i = 0; i < scale_count(1500); i++) {
		uint64_t off = (uint64_t)shift->number * 1000000;

		w.xfer = xfer_one(pair->a, pair->ab, TCPX_OP_WRITE,
				  shift->ends->local, off, shift->ends->remote,
				  off, i % 2 ? 100 : 100000);
		loop_post(pair->a, w.xfer, false, 0);
		loop_until(&loop, watch_look, &w);
		CHECK_STATUS(w.status, TCPX_OK);
		CHECK_STATUS(tcpx_xfer_release(pair->a->s, w.xfer), TCPX_OK);
	}
	loop_fini(&loop);
	return NULL;
}

/* Each by itself, each with transfers that the other does not know. */
static void two_loops(int workers)
{
	struct shift shifts[3];
	struct ends ends;
	struct pair pair;

	(void)loop_kind(workers);
	pair_open(&pair, PAIR_SELF, loop_tweak);
	ends_open(&ends, &pair);
	for (int i = 0; i < 3; i++) {
		shifts[i] = (struct shift){
			.pair = &pair, .ends = &ends, .number = i};
		CHECK(!pthread_create(&shifts[i].thread, NULL, run_shift,
				      &shifts[i]));
	}
	for (int i = 0; i < 3; i++)
		pthread_join(shifts[i].thread, NULL);
	pair_close(&pair);
	ends_close(&ends);
}

static void loops_driven(void)
{
	two_loops(0);
}

static void loops_one_worker(void)
{
	two_loops(1);
}

static void loops_two_workers(void)
{
	two_loops(2);
}

/* ---- GPU memory ------------------------------------------------------- */

static void tweak_gpu(struct tcpx_config *config)
{
	loop_tweak(config);
	config->gpu = "host";
}

static void on_gpu(int workers)
{
	static const uint64_t lens[] = {8, 9000, 300000, 5 << 20};
	struct watch w = {0};
	struct pair pair;
	struct loop loop;
	void *from, *to;
	uint8_t *bytes = malloc(LOOP_REGION_BYTES),
		*back = malloc(LOOP_REGION_BYTES);
	uint64_t local, remote;

	if (!loop_over_sockets())
		SKIP("this transport carries no device memory");
	pair_open(&pair, loop_kind(workers), tweak_gpu);
	struct tcpx_session *a = pair.a->s, *b = pair.b->s;

	CHECK_STATUS(tcpx_gpu_alloc(a, 0, LOOP_REGION_BYTES, &from), TCPX_OK);
	CHECK_STATUS(tcpx_gpu_alloc(b, 0, LOOP_REGION_BYTES, &to), TCPX_OK);
	CHECK_STATUS(tcpx_mem_register(a, from, LOOP_REGION_BYTES, RW, &local),
		     TCPX_OK);
	CHECK_STATUS(tcpx_mem_register(b, to, LOOP_REGION_BYTES, RW, &remote),
		     TCPX_OK);
	uint64_t there = sess_share(pair.b, remote, pair.a);

	loop_pair(&loop, &pair, false);
	w.sess = pair.a;
	for (size_t i = 0; i < scale_count(60); i++) {
		bool writes = i / 4 % 2;
		uint64_t len = lens[i % 4];

		pattern_fill(bytes, len, i, 0);
		CHECK_STATUS(tcpx_gpu_copy(a, 0, writes ? from : to, bytes,
					   len),
			     TCPX_OK);
		w.xfer = xfer_one(pair.a, pair.ab,
				  writes ? TCPX_OP_WRITE : TCPX_OP_READ, local,
				  0, there, 0, len);
		loop_post(pair.a, w.xfer, false, 0);
		loop_until(&loop, watch_look, &w);
		CHECK_STATUS(w.status, TCPX_OK);
		CHECK_STATUS(tcpx_gpu_copy(a, 0, back, writes ? to : from, len),
			     TCPX_OK);
		CHECK_MEM(back, bytes, len);
		CHECK_STATUS(tcpx_xfer_release(a, w.xfer), TCPX_OK);
	}
	loop_fini(&loop);
	CHECK_STATUS(tcpx_mem_deregister(a, local), TCPX_OK);
	CHECK_STATUS(tcpx_mem_deregister(b, remote), TCPX_OK);
	CHECK_STATUS(tcpx_gpu_free(a, 0, from), TCPX_OK);
	CHECK_STATUS(tcpx_gpu_free(b, 0, to), TCPX_OK);
	pair_close(&pair);
	free(bytes);
	free(back);
}

static void gpu_driven(void)
{
	on_gpu(0);
}

static void gpu_one_worker(void)
{
	on_gpu(1);
}

static void gpu_two_workers(void)
{
	on_gpu(2);
}

static const struct check_case cases[] = {
	{"driven", driven, 60},
	{"driven_by_edges", driven_by_edges, 60},
	{"one_worker", one_worker, 60},
	{"two_workers", two_workers, 60},
	{"workers_by_edges", workers_by_edges, 60},
	{"to_oneself", to_oneself, 60},
	{"to_oneself_driven", to_oneself_driven, 60},
	{"ping_pong_driven", ping_pong_driven, 60},
	{"ping_pong_one_worker", ping_pong_one_worker, 60},
	{"ping_pong_two_workers", ping_pong_two_workers, 60},
	{"posted_elsewhere_driven", posted_elsewhere_driven, 60},
	{"posted_elsewhere_one_worker", posted_elsewhere_one_worker, 60},
	{"posted_elsewhere_two_workers", posted_elsewhere_two_workers, 60},
	{"loops_driven", loops_driven, 60},
	{"loops_one_worker", loops_one_worker, 60},
	{"loops_two_workers", loops_two_workers, 60},
	{"gpu_driven", gpu_driven, 60},
	{"gpu_one_worker", gpu_one_worker, 60},
	{"gpu_two_workers", gpu_two_workers, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
