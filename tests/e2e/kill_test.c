/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A peer that is killed at a random moment, again and again: while it
 * connects, in the middle of transfers of every kind in both directions,
 * while idle. Each time everything ends in time and with a cause, no byte is
 * wrong, nothing is touched afterwards, and the peer's successor of the same
 * name can be connected.
 */
#include <signal.h>

#include "check.h"
#include "e2e/remote.h"
#include "support/count.h"
#include "support/scale.h"

#define RW (TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE)
#define LEN (4u << 20)
#define XFERS 4
/* Longer than anything here waits: who is dead is not found by his silence. */
#define LIVENESS_MS 60000

static const char *const patient_env[] = {"TCPX_LIVENESS_MS=60000", NULL};

enum { OURS = 1, THEIRS = 2 }; /* seeds */

struct arena {
	struct sess sess;
	struct region source; /* our WRITEs and SENDs read it */
	struct region inbox; /* their WRITEs land here */
	struct region target; /* our READs land here */
	struct region box; /* our RECVs land here */
	uint64_t source_mem, inbox_mem, target_mem, box_mem;
	uint64_t seed;
	size_t n_failed, n_connect_failed;
	uint64_t longest_ns;
};

static volatile sig_atomic_t n_sigpipe;

static void on_sigpipe(int number)
{
	n_sigpipe++;
}

static void tweak(struct tcpx_config *config)
{
	config->connect_timeout_ms = 2000;
	config->liveness_ms = LIVENESS_MS;
}

static void arena_open(struct arena *t)
{
	memset(t, 0, sizeof(*t));
	signal(SIGPIPE, on_sigpipe);
	sess_open(&t->sess, "tester", tweak);
	region_init(&t->source, LEN, OURS);
	region_init(&t->inbox, LEN, OURS);
	region_init(&t->target, LEN, OURS);
	region_init(&t->box, LEN, OURS);
	t->source_mem = sess_register(&t->sess, &t->source, RW);
	t->inbox_mem = sess_register(&t->sess, &t->inbox, RW);
	t->target_mem = sess_register(&t->sess, &t->target, RW);
	t->box_mem = sess_register(&t->sess, &t->box, RW);
	t->seed = check_seed();
}

static void arena_close(struct arena *t)
{
	sess_close(&t->sess);
	region_fini(&t->source);
	region_fini(&t->inbox);
	region_fini(&t->target);
	region_fini(&t->box);
}

/* What a broken transfer may leave: each byte of a piece old or new, and the
 * holes untouched. Puts the old bytes back. */
static void check_either(struct region *region, const struct layout *layout,
			 bool side_b)
{
	uint8_t *fresh = malloc(LEN);

	CHECK(fresh);
	for (size_t i = 0; i < layout->n; i++) {
		const struct piece *p = &layout->pieces[i];
		uint64_t to = side_b ? p->b_off : p->a_off;
		uint64_t from = side_b ? p->a_off : p->b_off;

		pattern_fill(fresh, p->len_bytes, THEIRS, from);
		for (uint64_t k = 0; k < p->len_bytes; k++) {
			uint8_t *at = region->data + to + k;

			CHECK(*at == fresh[k] || *at == region->want[to + k]);
			*at = region->want[to + k];
		}
	}
	CHECK(region_check(region, "holes"));
	free(fresh);
}

static uint64_t start_xfer(struct arena *t, struct remote *remote,
			   enum tcpx_op op, const struct layout *layout,
			   uint64_t mem, uint64_t handle)
{
	uint64_t xfer =
		xfer_layout(&t->sess, remote->peer, op, layout, mem, handle);
	int status = tcpx_xfer_post(t->sess.s, xfer, NULL);

	CHECK(!status || tcpx_status_scope(status) == TCPX_SCOPE_PEER);
	return xfer;
}

static void check_cause(struct arena *t, uint64_t xfer, int status)
{
	struct tcpx_xfer_info info;

	CHECK_STATUS(tcpx_xfer_query(t->sess.s, xfer, &info), TCPX_OK);
	CHECK_STATUS(info.status, status);
	CHECK(info.cause[0]);
}

/* The kind of work of a round: list shapes that go different ways. */
static void make_layout(struct arena *t, struct layout *layout,
			uint64_t *list_seed, size_t *n, uint64_t *max_bytes)
{
	static const struct {
		size_t n;
		uint64_t max_bytes;
	} shapes[] = {{1, LEN}, {40, 100000}, {8000, 300}, {2, 3000}};
	size_t which = check_rand(&t->seed) % 4;

	*list_seed = check_rand(&t->seed);
	*n = shapes[which].n;
	*max_bytes = shapes[which].max_bytes;
	layout_init(layout, *list_seed, *n, *max_bytes, LEN);
}

static void wait_lost(struct arena *t, uint64_t peer)
{
	struct tcpx_event event;

	do {
		CHECK_STATUS(tcpx_event_wait(t->sess.s, &event, scale_ms(4000)),
			     TCPX_OK);
	} while (event.kind != TCPX_EVENT_PEER_LOST || event.peer != peer);
	CHECK(event.cause[0]);
}

/* Their memory: handles for us, and how they call it. */
struct theirs {
	uint64_t source, sink;
	unsigned int source_index, sink_index;
};

static void make_theirs(struct arena *t, struct remote *remote,
			struct theirs *theirs)
{
	theirs->source = remote_mem(remote, &t->sess, LEN, THEIRS, RW,
				    &theirs->source_index);
	theirs->sink = remote_mem(remote, &t->sess, LEN, THEIRS, RW,
				  &theirs->sink_index);
}

/* Keeps four transfers of ours going until the kill is due, then kills, and
 * sees that all end. status[i] is how transfer i ended. */
static void run_until_killed(struct arena *t, struct remote *remote,
			     const struct layout *layout,
			     const struct theirs *theirs, int status[XFERS],
			     uint64_t run_ns)
{
	static const enum tcpx_op ops[XFERS] = {TCPX_OP_WRITE, TCPX_OP_READ,
						TCPX_OP_SEND, TCPX_OP_RECV};
	const uint64_t mems[XFERS] = {t->source_mem, t->target_mem,
				      t->source_mem, t->box_mem};
	const uint64_t handles[XFERS] = {theirs->sink, theirs->source, 0, 0};
	uint64_t xfers[XFERS], start = test_now_ns(), killed;

	for (int i = 0; i < XFERS; i++)
		xfers[i] = start_xfer(t, remote, ops[i], layout, mems[i],
				      handles[i]);
	while (test_now_ns() - start < run_ns) {
		int i = (int)(check_rand(&t->seed) % 2);
		int now = tcpx_xfer_wait(t->sess.s, xfers[i], 1);

		if (now == TCPX_OK)
			CHECK_STATUS(tcpx_xfer_post(t->sess.s, xfers[i], NULL),
				     TCPX_OK);
		else
			CHECK_STATUS(now, TCPX_ETIMEDOUT);
	}
	remote_kill(remote);
	killed = test_now_ns();
	for (int i = 0; i < XFERS; i++) {
		status[i] = tcpx_xfer_wait(t->sess.s, xfers[i], scale_ms(4000));
		if (status[i]) {
			CHECK_EQ(tcpx_status_scope(status[i]), TCPX_SCOPE_PEER);
			check_cause(t, xfers[i], status[i]);
			t->n_failed++;
		}
	}
	killed = test_now_ns() - killed;
	if (killed > t->longest_ns)
		t->longest_ns = killed;
	for (int i = 0; i < XFERS; i++)
		CHECK_STATUS(tcpx_xfer_release(t->sess.s, xfers[i]), TCPX_OK);
}

static void start_loop(struct remote *remote, const char *op,
		       unsigned int index, uint64_t handle, uint64_t list_seed,
		       size_t n, uint64_t max_bytes)
{
	remote_must(remote, "loop %s %llu %u %llu %llu %zu %llu 30000 0", op,
		    (unsigned long long)remote->back, index,
		    (unsigned long long)handle, (unsigned long long)list_seed,
		    n, (unsigned long long)max_bytes);
}

/* WRITE into our inbox always, SEND to our RECV and RECV our SEND at times. */
static void start_theirs(struct arena *t, struct remote *remote,
			 const struct theirs *theirs, uint64_t list_seed,
			 size_t n, uint64_t max_bytes)
{
	uint64_t inbox = remote_load(remote, &t->sess, t->inbox_mem);

	start_loop(remote, "write", theirs->source_index, inbox, list_seed, n,
		   max_bytes);
	if (list_seed % 2)
		start_loop(remote, "send", theirs->source_index, 0, list_seed,
			   n, max_bytes);
	if (list_seed % 3 == 0)
		start_loop(remote, "recv", theirs->sink_index, 0, list_seed, n,
			   max_bytes);
}

static void check_memory(struct arena *t, const struct layout *layout,
			 const int status[XFERS])
{
	struct layout same_side = *layout;

	CHECK(region_check(&t->source, "source"));
	check_either(&t->inbox, layout, true);
	if (status[1] == TCPX_OK) {
		layout_want(layout, &t->target, THEIRS, false);
		CHECK(region_check(&t->target, "READ"));
		pattern_fill(t->target.data, LEN, OURS, 0);
		memcpy(t->target.want, t->target.data, LEN);
	} else {
		check_either(&t->target, layout, false);
	}
	/* SEND and RECV both use side a of the list. */
	same_side.pieces = malloc(layout->n * sizeof(struct piece));
	CHECK(same_side.pieces);
	for (size_t i = 0; i < layout->n; i++) {
		same_side.pieces[i] = layout->pieces[i];
		same_side.pieces[i].b_off = layout->pieces[i].a_off;
	}
	check_either(&t->box, &same_side, false);
	layout_fini(&same_side);
}

static void kill_in_transfer(struct arena *t)
{
	struct remote remote;
	struct layout layout;
	struct theirs theirs;
	uint64_t list_seed, max_bytes;
	uint64_t run_ns = check_rand(&t->seed) % 25000000;
	int status[XFERS];
	size_t n;

	remote_start(&remote, "victim", NULL, patient_env);
	remote_join(&remote, &t->sess);
	make_theirs(t, &remote, &theirs);
	make_layout(t, &layout, &list_seed, &n, &max_bytes);
	start_theirs(t, &remote, &theirs, list_seed, n, max_bytes);
	run_until_killed(t, &remote, &layout, &theirs, status, run_ns);
	wait_lost(t, remote.peer);
	CHECK(tcpx_peer_wait(t->sess.s, remote.peer, 0) < 0);
	check_memory(t, &layout, status);
	CHECK_STATUS(tcpx_mem_unload(t->sess.s, theirs.source), TCPX_OK);
	CHECK_STATUS(tcpx_mem_unload(t->sess.s, theirs.sink), TCPX_OK);
	CHECK_STATUS(tcpx_peer_disconnect(t->sess.s, remote.peer), TCPX_OK);
	layout_fini(&layout);
}

/* Killed somewhere between connect() and being connected. */
static void kill_in_connect(struct arena *t)
{
	struct timespec pause = {0, (long)(check_rand(&t->seed) % 3000000)};
	struct remote remote;
	int status;

	remote_start(&remote, "victim", NULL, patient_env);
	status = remote_connect(&remote, &t->sess, 0);
	CHECK(status == TCPX_OK || status == TCPX_ETIMEDOUT);
	nanosleep(&pause, NULL);
	remote_kill(&remote);
	status = tcpx_peer_wait(t->sess.s, remote.peer, scale_ms(5000));
	/* It may have been there for a moment. */
	if (status == TCPX_OK)
		wait_lost(t, remote.peer);
	else
		CHECK_EQ(tcpx_status_scope(status), TCPX_SCOPE_PEER);
	t->n_connect_failed += status != TCPX_OK;
	CHECK_STATUS(tcpx_peer_disconnect(t->sess.s, remote.peer), TCPX_OK);
}

static void killed(void)
{
	size_t rounds = scale_count(200), fds = 0;
	struct tcpx_event event;
	struct arena t;

	arena_open(&t);
	for (size_t i = 0; i < rounds; i++) {
		if (i % 5 == 4)
			kill_in_connect(&t);
		else
			kill_in_transfer(&t);
		while (!tcpx_event_poll(t.sess.s, &event))
			;
		if (i == 5)
			fds = count_fds();
	}
	fprintf(stderr,
		"%zu kills: %zu transfers failed, %zu connects failed, longest "
		"%llu ms from kill to failure\n",
		rounds, t.n_failed, t.n_connect_failed,
		(unsigned long long)t.longest_ns / 1000000);
	CHECK(t.n_failed >= rounds / 2);
	CHECK_EQ(n_sigpipe, 0);
	/* Nothing of the dead is kept. */
	test_sleep_ms(100);
	if (fds)
		CHECK(count_fds() <= fds + 3);
	arena_close(&t);
}

/* The same seen from a session that others connect to. */
static void killed_initiators(void)
{
	size_t rounds = scale_count(30);
	uint8_t blob[TCPX_BLOB_MAX];
	char hex[2 * TCPX_BLOB_MAX + 1];
	struct tcpx_event event;
	struct remote remote;
	struct arena t;
	size_t len;

	arena_open(&t);
	CHECK_STATUS(tcpx_session_blob(t.sess.s, blob, sizeof(blob), &len),
		     TCPX_OK);
	for (size_t i = 0; i < len; i++)
		snprintf(hex + 2 * i, 3, "%02x", blob[i]);
	for (size_t i = 0; i < rounds; i++) {
		struct timespec pause = {
			0, (long)(check_rand(&t.seed) % 15000000)};
		struct theirs theirs;

		remote_start(&remote, "victim", NULL, patient_env);
		remote.back = strtoull(remote_must(&remote, "connect %s", hex),
				       NULL, 10);
		CHECK_STATUS(tcpx_event_wait(t.sess.s, &event, scale_ms(5000)),
			     TCPX_OK);
		CHECK_EQ(event.kind, TCPX_EVENT_PEER_CONNECTED);
		CHECK(event.incoming);
		remote.peer = event.peer;
		remote_must(&remote, "wait %llu 5000",
			    (unsigned long long)remote.back);
		make_theirs(&t, &remote, &theirs);
		start_theirs(&t, &remote, &theirs, 12, 3000, 900);
		nanosleep(&pause, NULL);
		remote_kill(&remote);
		wait_lost(&t, remote.peer);
		CHECK_STATUS(tcpx_peer_disconnect(t.sess.s, remote.peer),
			     TCPX_OK);
	}
	CHECK_EQ(n_sigpipe, 0);
	arena_close(&t);
}

static const struct check_case cases[] = {
	{"killed", killed, 240},
	{"killed_initiators", killed_initiators, 120},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
