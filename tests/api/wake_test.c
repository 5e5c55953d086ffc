/* SPDX-License-Identifier: Apache-2.0 */
/* What else ends the sleep of an event loop (support/loop.h), what does not,
 * and what is wrong with a call. */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/timerfd.h>

#include "check.h"
#include "support/loop.h"
#include "support/scale.h"

#define RW (TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE)

/* ---- ends that nobody answers for ------------------------------------- */

/* A RECV without its SEND, ended by `end`. */
struct lonely {
	struct pair pair;
	struct ends ends;
	struct loop loop;
	struct watch w;
};

static void lonely_open(struct lonely *t, int workers, uint32_t deadline_ms)
{
	struct tcpx_segment segment = {.len_bytes = 1000};

	pair_open(&t->pair, loop_kind(workers), loop_tweak);
	ends_open(&t->ends, &t->pair);
	loop_pair(&t->loop, &t->pair, false);
	segment.local_mem = t->ends.local;
	t->w = (struct watch){.sess = t->pair.a};
	t->w.xfer =
		xfer_make(t->pair.a, t->pair.ab, TCPX_OP_RECV, &segment, 1, 7);
	loop_post(t->pair.a, t->w.xfer, false, deadline_ms);
}

static void lonely_close(struct lonely *t)
{
	loop_fini(&t->loop);
	pair_close(&t->pair);
	ends_close(&t->ends);
}

static void deadline(void)
{
	for (int workers = 0; workers < 3; workers++) {
		struct lonely t;

		lonely_open(&t, workers, 300);
		loop_until(&t.loop, watch_look, &t.w);
		CHECK_STATUS(t.w.status, TCPX_ESTALLED);
		lonely_close(&t);
	}
}

static void *cancel_it(void *arg)
{
	struct lonely *t = arg;

	test_sleep_ms(100);
	CHECK_STATUS(tcpx_xfer_cancel(t->pair.a->s, t->w.xfer), TCPX_OK);
	return NULL;
}

static void canceled(void)
{
	for (int workers = 0; workers < 3; workers++) {
		struct lonely t;
		pthread_t thread;

		lonely_open(&t, workers, 0);
		CHECK(!pthread_create(&thread, NULL, cancel_it, &t));
		loop_until(&t.loop, watch_look, &t.w);
		CHECK_STATUS(t.w.status, TCPX_ECANCELED);
		pthread_join(thread, NULL);
		lonely_close(&t);
	}
}

static void disconnected(void)
{
	for (int workers = 0; workers < 3; workers++) {
		struct lonely t;

		lonely_open(&t, workers, 0);
		t.loop.wanted = TCPX_WAKE_ALL;
		t.w.event_sess = t.pair.a;
		t.w.kind = TCPX_EVENT_PEER_LOST;
		CHECK_STATUS(tcpx_peer_disconnect(t.pair.b->s, t.pair.ba),
			     TCPX_OK);
		loop_until(&t.loop, watch_look, &t.w);
		CHECK_STATUS(t.w.status, TCPX_ECLOSED);
		CHECK_STATUS(t.w.event.status, TCPX_ECLOSED);
		lonely_close(&t);
	}
}

/* ---- another process -------------------------------------------------- */

static void be_killed(int to)
{
	char blob[TCPX_BLOB_MAX];
	struct sess sess;
	size_t len;

	sess_open(&sess, "child", NULL);
	CHECK_STATUS(tcpx_session_blob(sess.s, blob, sizeof(blob), &len),
		     TCPX_OK);
	CHECK(write(to, blob, len) == (ssize_t)len);
	for (;;)
		pause();
}

static void kill_it(int workers, pid_t child, int from)
{
	struct watch w = {.kind = TCPX_EVENT_PEER_CONNECTED};
	struct tcpx_segment segment = {.len_bytes = 1000};
	char blob[TCPX_BLOB_MAX];
	struct region region;
	struct loop loop;
	struct sess sess;
	uint64_t peer;

	(void)loop_kind(workers);
	sess_open(&sess, "a", loop_tweak);
	loop_init(&loop);
	loop_add(&loop, &sess);
	loop.wanted = TCPX_WAKE_ALL;
	region_init(&region, 1000, 1);
	segment.local_mem = sess_register(&sess, &region, RW);
	w.sess = w.event_sess = &sess;
	ssize_t len = read(from, blob, sizeof(blob));

	CHECK(len > 0);
	CHECK_STATUS(tcpx_peer_connect(sess.s, blob, (size_t)len, &peer),
		     TCPX_OK);
	loop_until(&loop, watch_look, &w);
	CHECK_EQ(w.event.peer, peer);
	w.xfer = xfer_make(&sess, peer, TCPX_OP_RECV, &segment, 1, 7);
	loop_post(&sess, w.xfer, false, 0);
	w.kind = TCPX_EVENT_PEER_LOST;
	CHECK(!kill(child, SIGKILL));
	loop_until(&loop, watch_look, &w);
	CHECK_STATUS(w.status, TCPX_EPEER);
	CHECK_STATUS(w.event.status, TCPX_EPEER);
	loop_fini(&loop);
	sess_close(&sess);
	region_fini(&region);
}

static void killed(void)
{
	if (!loop_over_sockets())
		SKIP("this transport stays in its process");
	for (int workers = 0; workers < 3; workers++) {
		int fds[2];

		CHECK(!pipe(fds));
		pid_t child = fork();

		CHECK(child >= 0);
		if (!child)
			be_killed(fds[1]);
		kill_it(workers, child, fds[0]);
		close(fds[0]);
		close(fds[1]);
		CHECK(waitpid(child, NULL, 0) == child);
	}
}

static void tweak_impatient(struct tcpx_config *config)
{
	loop_tweak(config);
	config->connect_timeout_ms = 500;
}

/* Nobody listens there any more: the event is all that comes of it. */
static void nobody_there(void)
{
	for (int workers = 0; workers < 3; workers++) {
		struct watch w = {.kind = TCPX_EVENT_PEER_LOST};
		char blob[TCPX_BLOB_MAX];
		struct sess gone, sess;
		struct loop loop;
		uint64_t peer;
		size_t len;

		(void)loop_kind(workers);
		sess_open(&gone, "gone", NULL);
		CHECK_STATUS(tcpx_session_blob(gone.s, blob, sizeof(blob),
					       &len),
			     TCPX_OK);
		sess_close(&gone);
		sess_open(&sess, "a", tweak_impatient);
		loop_init(&loop);
		loop_add(&loop, &sess);
		loop.wanted = TCPX_WAKE_ALL;
		CHECK_STATUS(tcpx_peer_connect(sess.s, blob, len, &peer),
			     TCPX_OK);
		w.sess = w.event_sess = &sess;
		loop_until(&loop, watch_look, &w);
		CHECK_EQ(w.event.peer, peer);
		CHECK(w.event.status < 0);
		loop_fini(&loop);
		sess_close(&sess);
	}
}

/* ---- notifications ---------------------------------------------------- */

struct pusher {
	struct pair *pair;
	size_t n_sent, n;
	bool was_full;
};

static bool push(void *arg)
{
	static uint8_t buf[100000];
	struct pusher *p = arg;
	int status = TCPX_OK;

	while (p->n_sent < p->n &&
	       !(status = tcpx_notify_send(p->pair->a->s, p->pair->ab, buf,
					   sizeof(buf))))
		p->n_sent++;
	if (status)
		CHECK_STATUS(status, TCPX_EAGAIN);
	p->was_full |= status == TCPX_EAGAIN;
	return p->n_sent == p->n;
}

static void tweak_little_room(struct tcpx_config *config)
{
	loop_tweak(config);
	config->notify_queue_bytes = 2 << 20;
}

static void *take_all(void *arg)
{
	struct pusher *p = arg;
	struct tcpx_notification *note;

	for (size_t i = 0; i < p->n; i++) {
		CHECK_STATUS(tcpx_notify_wait(p->pair->b->s, &note,
					      scale_ms(20000)),
			     TCPX_OK);
		tcpx_notify_free(note);
	}
	return NULL;
}

/* Who was told that there is no room is told when there is some. */
static void room(int workers)
{
	struct pusher p = {.n = scale_count(2000) + 200};
	struct pair pair;
	struct loop loop;
	pthread_t taker;

	pair_open(&pair, loop_kind(workers), tweak_little_room);
	p.pair = &pair;
	loop_init(&loop);
	loop_add(&loop, pair.a);
	loop.wanted = TCPX_WAKE_ROOM;
	CHECK(!push(&p));
	CHECK(!pthread_create(&taker, NULL, take_all, &p));
	loop_until(&loop, push, &p);
	CHECK(p.was_full);
	/* With none to drive it what was taken does not get away. */
	while (pthread_tryjoin_np(taker, NULL))
		loop_drive(&loop);
	loop_fini(&loop);
	pair_close(&pair);
}

static void room_driven(void)
{
	room(0);
}

static void room_with_workers(void)
{
	room(2);
}

/* One a turn: what is left over does not let the loop sleep. */
static void one_a_turn(void)
{
	struct watch w = {0};
	struct pair pair;
	struct loop loop;

	pair_open(&pair, loop_kind(1), loop_tweak);
	w.sess = w.note_sess = pair.b;
	loop_init(&loop);
	loop_add(&loop, pair.b);
	for (int i = 0; i < 100; i++)
		CHECK_STATUS(tcpx_notify_send(pair.a->s, pair.ab, "x", 1),
			     TCPX_OK);
	for (int i = 0; i < 100; i++, w.note = NULL) {
		loop_until(&loop, watch_look, &w);
		tcpx_notify_free(w.note);
	}
	loop_fini(&loop);
	pair_close(&pair);
}

/* ---- idle ------------------------------------------------------------- */

static bool is_over(void *arg)
{
	uint64_t n;

	return read(*(int *)arg, &n, sizeof(n)) == sizeof(n);
}

/* A second with nothing to do: heartbeats and little else. */
static void idle(int workers, unsigned int most)
{
	const struct itimerspec second = {.it_value.tv_sec = 1};
	int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	struct tcpx_event event;
	struct pair pair;
	struct loop loop;

	pair_open(&pair, loop_kind(workers), loop_tweak);
	while (!pair_wait_event(&pair, pair.a, &event, 200))
		;
	loop_pair(&loop, &pair, false);
	loop.wanted = TCPX_WAKE_ALL;
	loop_add_fd(&loop, timer_fd);
	CHECK(!timerfd_settime(timer_fd, 0, &second, NULL));
	loop_until(&loop, is_over, &timer_fd);
	CHECK(loop.n_sleeps <= most);
	close(timer_fd);
	loop_fini(&loop);
	pair_close(&pair);
}

static void idle_sleeps(void)
{
	idle(0, 60);
	idle(1, 10);
	idle(2, 10);
}

/* ---- the calls -------------------------------------------------------- */

static bool is_readable(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	return poll(&pfd, 1, 0) == 1;
}

/* What is not wanted does not wake, and is not forgotten. */
static void only_what_is_wanted(void)
{
	struct ends ends;
	struct pair pair;
	int fd;

	pair_open(&pair, loop_kind(1), loop_tweak);
	ends_open(&ends, &pair);
	uint64_t xfer = xfer_one(pair.a, pair.ab, TCPX_OP_WRITE, ends.local, 0,
				 ends.remote, 0, 100);

	CHECK_STATUS(tcpx_session_fd(pair.a->s, &fd), TCPX_OK);
	CHECK_STATUS(tcpx_session_arm(pair.a->s, fd, TCPX_WAKE_XFER),
		     TCPX_EAGAIN);
	CHECK_STATUS(tcpx_session_arm(pair.a->s, fd, TCPX_WAKE_XFER), TCPX_OK);
	CHECK_STATUS(tcpx_session_arm(pair.a->s, fd, TCPX_WAKE_NOTIFY),
		     TCPX_OK);
	loop_post(pair.a, xfer, false, 0);
	CHECK_STATUS(tcpx_xfer_wait(pair.a->s, xfer, scale_ms(5000)), TCPX_OK);
	CHECK(!is_readable(fd));
	CHECK_STATUS(tcpx_session_arm(pair.a->s, fd, TCPX_WAKE_XFER),
		     TCPX_EAGAIN);
	CHECK_STATUS(tcpx_session_arm(pair.a->s, fd, TCPX_WAKE_XFER), TCPX_OK);
	loop_post(pair.a, xfer, false, 0);
	CHECK_STATUS(tcpx_xfer_wait(pair.a->s, xfer, scale_ms(5000)), TCPX_OK);
	/* Told just after the status is stored. */
	while (!is_readable(fd))
		sched_yield();
	pair_close(&pair);
	ends_close(&ends);
}

static void wrong_calls(void)
{
	int fd, other_fd;
	struct sess a, b;

	(void)loop_kind(1);
	sess_open(&a, "a", loop_tweak);
	sess_open(&b, "b", loop_tweak);
	CHECK_STATUS(tcpx_session_fd(a.s, NULL), TCPX_EINVAL);
	CHECK_STATUS(tcpx_session_fd(NULL, &fd), TCPX_EINVAL);
	CHECK_STATUS(tcpx_session_fd(a.s, &fd), TCPX_OK);
	CHECK_STATUS(tcpx_session_fd(b.s, &other_fd), TCPX_OK);
	CHECK_STATUS(tcpx_session_arm(NULL, fd, TCPX_WAKE_ALL), TCPX_EINVAL);
	CHECK_STATUS(tcpx_session_arm(a.s, fd, TCPX_WAKE_ALL + 1), TCPX_EINVAL);
	CHECK_STATUS(tcpx_session_arm(a.s, other_fd, TCPX_WAKE_ALL),
		     TCPX_ENOENT);
	CHECK_STATUS(tcpx_session_arm(a.s, -1, 0), TCPX_ENOENT);
	CHECK_STATUS(tcpx_session_arm(a.s, fd, 0), TCPX_OK);
	CHECK_EQ(sess_await_warnings(&a, 4), 4);
	sess_close(&a);
	sess_close(&b);
	/* The session's, and closed with it. */
	CHECK_EQ(fcntl(fd, F_GETFD), -1);
	CHECK_EQ(fcntl(other_fd, F_GETFD), -1);
}

/* Closed beside a loop that is armed for it, and with a peer that is lost. */
static void closed_while_armed(void)
{
	for (int workers = 0; workers < 3; workers++) {
		struct lonely t;

		lonely_open(&t, workers, 0);
		CHECK(!watch_look(&t.w));
		(void)!tcpx_session_arm(t.pair.a->s, t.loop.fds[0],
					TCPX_WAKE_ALL);
		(void)!tcpx_session_arm(t.pair.a->s, t.loop.fds[0],
					TCPX_WAKE_ALL);
		lonely_close(&t);
	}
}

static const struct check_case cases[] = {
	{"deadline", deadline, 0},
	{"canceled", canceled, 0},
	{"disconnected", disconnected, 0},
	{"killed", killed, 0},
	{"nobody_there", nobody_there, 60},
	{"room_driven", room_driven, 60},
	{"room_with_workers", room_with_workers, 60},
	{"one_a_turn", one_a_turn, 0},
	{"idle_sleeps", idle_sleeps, 0},
	{"only_what_is_wanted", only_what_is_wanted, 0},
	{"wrong_calls", wrong_calls, 0},
	{"closed_while_armed", closed_while_armed, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
