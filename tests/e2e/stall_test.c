/* SPDX-License-Identifier: Apache-2.0 */
/* Peers that stop, and callers that fork. */
#include <signal.h>
#include <sys/wait.h>

#include "check.h"
#include "e2e/remote.h"
#include "support/scale.h"

#define RW (TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE)
#define SOON scale_ms(10000)
#define LEN (8u << 20)
#define LIVENESS_MS 1000

static const char *stall_env[] = {"TCPX_LIVENESS_MS=1000",
				  "TCPX_CONNECT_TIMEOUT_MS=2000", NULL};

static void tweak(struct tcpx_config *config)
{
	config->liveness_ms = LIVENESS_MS;
	/* The long transfers write the same bytes many times. */
	if (scale_tsan())
		config->n_workers = 1;
	config->connect_timeout_ms = 2000;
}

struct link {
	struct remote remote;
	uint64_t handle;
	unsigned int index;
};

static void link_open(struct link *link, struct sess *sess, const char *name)
{
	remote_start(&link->remote, name, NULL, stall_env);
	remote_join(&link->remote, sess);
	link->handle =
		remote_mem(&link->remote, sess, LEN, 2, RW, &link->index);
}

/* Long: the same bytes a thousand times. */
static uint64_t post_long(struct sess *sess, struct link *link, enum tcpx_op op,
			  uint64_t mem)
{
	static struct tcpx_segment segments[1000];
	uint64_t xfer;

	for (size_t i = 0; i < 1000; i++)
		segments[i] =
			(struct tcpx_segment){mem, 0, link->handle, 0, LEN};
	xfer = xfer_make(sess, link->remote.peer, op, segments, 1000, 0);
	CHECK_STATUS(tcpx_xfer_post(sess->s, xfer, NULL), TCPX_OK);
	return xfer;
}

static void write_once(struct sess *sess, struct link *link, uint64_t mem)
{
	uint64_t xfer = xfer_one(sess, link->remote.peer, TCPX_OP_WRITE, mem, 0,
				 link->handle, 0, 1 << 20);

	CHECK_STATUS(tcpx_xfer_post(sess->s, xfer, NULL), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_wait(sess->s, xfer, SOON), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_release(sess->s, xfer), TCPX_OK);
}

static void wait_lost(struct sess *sess, uint64_t peer, int status)
{
	struct tcpx_event event;

	do {
		CHECK_STATUS(tcpx_event_wait(sess->s, &event, SOON), TCPX_OK);
	} while (event.kind != TCPX_EVENT_PEER_LOST);
	CHECK_EQ(event.peer, peer);
	CHECK_STATUS(event.status, status);
	CHECK(event.cause[0]);
	fprintf(stderr, "lost: %s\n", event.cause);
}

/* A frozen process: found within the liveness time, with another peer served
 * meanwhile; thawed, it finds out by itself, and can come back. */
static void stopped(enum tcpx_op op)
{
	struct link frozen, other;
	struct sess sess;
	struct region region;
	uint64_t mem, xfer, start, n_other = 0, took;
	int status;

	sess_open(&sess, "tester", tweak);
	region_init(&region, LEN, 2);
	mem = sess_register(&sess, &region, RW);
	link_open(&frozen, &sess, "frozen");
	link_open(&other, &sess, "other");
	xfer = post_long(&sess, &frozen, op, mem);
	test_sleep_ms(30);
	CHECK_STATUS(tcpx_xfer_test(sess.s, xfer), TCPX_INPROGRESS);
	proc_signal(&frozen.remote.proc, SIGSTOP);
	start = test_now_ns();
	while ((status = tcpx_xfer_test(sess.s, xfer)) == TCPX_INPROGRESS) {
		write_once(&sess, &other, mem);
		n_other++;
		CHECK(test_now_ns() - start <
		      (uint64_t)scale_ms(4000) * 1000000u);
	}
	took = test_now_ns() - start;
	fprintf(stderr, "%s after %llu ms, %llu WRITEs to the other\n",
		tcpx_status_name(status), (unsigned long long)took / 1000000,
		(unsigned long long)n_other);
	CHECK_STATUS(status, TCPX_ELIVENESS);
	CHECK(took >= LIVENESS_MS * 500000ull);
	CHECK(n_other >= 3);
	wait_lost(&sess, frozen.remote.peer, TCPX_ELIVENESS);
	CHECK_STATUS(tcpx_xfer_release(sess.s, xfer), TCPX_OK);
	CHECK_STATUS(tcpx_peer_disconnect(sess.s, frozen.remote.peer), TCPX_OK);
	proc_signal(&frozen.remote.proc, SIGCONT);
	/* It may say anything about why, but it must notice. */
	remote_must(&frozen.remote, "lost %d", SOON);
	remote_join(&frozen.remote, &sess);
	write_once(&sess, &frozen, mem);
	write_once(&sess, &other, mem);
	remote_end(&frozen.remote);
	remote_end(&other.remote);
	sess_close(&sess);
	region_fini(&region);
}

static void stopped_in_write(void)
{
	stopped(TCPX_OP_WRITE);
}

static void stopped_in_read(void)
{
	stopped(TCPX_OP_READ);
}

static void stopped_idle(void)
{
	struct link link;
	struct sess sess;
	uint64_t start;

	sess_open(&sess, "tester", tweak);
	link_open(&link, &sess, "frozen");
	proc_signal(&link.remote.proc, SIGSTOP);
	start = test_now_ns();
	wait_lost(&sess, link.remote.peer, TCPX_ELIVENESS);
	CHECK(test_now_ns() - start < (uint64_t)scale_ms(4000) * 1000000u);
	remote_kill(&link.remote);
	sess_close(&sess);
}

/* Idle for several liveness times, an application that calls nothing on
 * either side: the peers keep each other. */
static void idle_is_not_dead(void)
{
	struct link link;
	struct sess sess;
	struct region region;
	struct tcpx_event event;
	uint64_t mem;

	sess_open(&sess, "tester", tweak);
	region_init(&region, LEN, 2);
	mem = sess_register(&sess, &region, RW);
	link_open(&link, &sess, "quiet");
	while (!tcpx_event_poll(sess.s, &event))
		;
	test_sleep_ms(LIVENESS_MS * 4);
	CHECK_STATUS(tcpx_event_poll(sess.s, &event), TCPX_EAGAIN);
	CHECK_STATUS(tcpx_peer_wait(sess.s, link.remote.peer, 0), TCPX_OK);
	write_once(&sess, &link, mem);
	remote_end(&link.remote);
	sess_close(&sess);
	region_fini(&region);
}

/* 0 workers and nobody drives: the control thread answers all the same. */
static void undriven_is_not_dead(void)
{
	const char *env[] = {"TCPX_LIVENESS_MS=1000", "TCPX_WORKERS=0", NULL};
	struct remote remote;
	struct sess sess;
	struct tcpx_event event;

	sess_open(&sess, "tester", tweak);
	remote_start(&remote, "undriven", NULL, env);
	remote_join(&remote, &sess);
	while (!tcpx_event_poll(sess.s, &event))
		;
	test_sleep_ms(LIVENESS_MS * 3);
	CHECK_STATUS(tcpx_event_poll(sess.s, &event), TCPX_EAGAIN);
	remote_end(&remote);
	sess_close(&sess);
}

/* A stopped peer cannot hold up the one that closes. */
static void close_beside_stopped(void)
{
	struct link link;
	struct sess sess;
	struct region region;
	uint64_t mem, start;

	sess_open(&sess, "tester", NULL);
	region_init(&region, LEN, 2);
	mem = sess_register(&sess, &region, RW);
	link_open(&link, &sess, "frozen");
	post_long(&sess, &link, TCPX_OP_WRITE, mem);
	post_long(&sess, &link, TCPX_OP_READ, mem);
	proc_signal(&link.remote.proc, SIGSTOP);
	test_sleep_ms(50);
	start = test_now_ns();
	sess_close(&sess);
	start = test_now_ns() - start;
	fprintf(stderr, "close took %llu ms\n",
		(unsigned long long)start / 1000000);
	CHECK(start < (uint64_t)scale_ms(1000) * 1000000u);
	remote_kill(&link.remote);
	region_fini(&region);
}

/* What a destructor in a child does with the parent's session, and what a
 * program that does not know better: it goes nowhere. */
static void child_calls(struct sess *sess, uint64_t peer, uint64_t xfer)
{
	struct tcpx_notification *note;
	struct tcpx_session *own;
	struct tcpx_event event;
	char text[1];
	size_t len;

	CHECK_STATUS(tcpx_xfer_test(sess->s, xfer), TCPX_ENOENT);
	CHECK_STATUS(tcpx_xfer_wait(sess->s, xfer, 100), TCPX_ENOENT);
	CHECK_STATUS(tcpx_xfer_release(sess->s, xfer), TCPX_ENOENT);
	CHECK_STATUS(tcpx_peer_wait(sess->s, peer, 100), TCPX_ENOENT);
	CHECK_STATUS(tcpx_peer_disconnect(sess->s, peer), TCPX_ENOENT);
	CHECK_STATUS(tcpx_notify_send(sess->s, peer, "x", 1), TCPX_EINVAL);
	CHECK_STATUS(tcpx_notify_poll(sess->s, &note), TCPX_EINVAL);
	CHECK_STATUS(tcpx_event_wait(sess->s, &event, 100), TCPX_EINVAL);
	CHECK_STATUS(tcpx_session_progress(sess->s, 0), TCPX_EINVAL);
	CHECK_STATUS(tcpx_session_blob(sess->s, text, 1, &len), TCPX_EINVAL);
	tcpx_session_close(sess->s);
	if (scale_tsan()) /* which lets no child of fork() start threads */
		return;
	CHECK_STATUS(tcpx_session_open(NULL, &own), TCPX_OK);
	CHECK_STATUS(tcpx_session_blob(own, text, 1, &len), TCPX_ENOSPC);
	tcpx_session_close(own);
}

/* Children without exec: they end, or live on with our descriptors; neither
 * disturbs a transfer, nor keeps a peer from hearing our goodbye. */
static void forked(void)
{
	struct link link;
	struct sess sess;
	struct region region;
	uint64_t mem, xfer;
	pid_t quick, slow, calls;
	int status;

	sess_open(&sess, "tester", NULL);
	region_init(&region, LEN, 2);
	mem = sess_register(&sess, &region, RW);
	link_open(&link, &sess, "peer");
	xfer = post_long(&sess, &link, TCPX_OP_WRITE, mem);
	quick = fork();
	if (!quick)
		_exit(3);
	slow = fork();
	if (!slow) {
		test_sleep_ms(20000);
		_exit(0);
	}
	calls = fork();
	if (!calls) {
		child_calls(&sess, link.remote.peer, xfer);
		_exit(4);
	}
	CHECK(quick > 0 && slow > 0 && calls > 0);
	CHECK_EQ(waitpid(quick, &status, 0), quick);
	CHECK_EQ(WEXITSTATUS(status), 3);
	CHECK_EQ(waitpid(calls, &status, 0), calls);
	CHECK_EQ(status, 4 << 8);
	for (int i = 0; i < 20; i++)
		write_once(&sess, &link, mem);
	CHECK_STATUS(tcpx_xfer_test(sess.s, xfer), TCPX_INPROGRESS);
	CHECK_STATUS(tcpx_xfer_release(sess.s, xfer), TCPX_OK);
	CHECK_STATUS(tcpx_peer_disconnect(sess.s, link.remote.peer), TCPX_OK);
	remote_must(&link.remote, "lost %d", SOON);
	remote_join(&link.remote, &sess);
	sess_close(&sess);
	remote_must(&link.remote, "lost %d", SOON);
	kill(slow, SIGKILL);
	waitpid(slow, &status, 0);
	remote_end(&link.remote);
	region_fini(&region);
}

/* Signals of the application land on our threads or its own: EINTR must not
 * break anything. */
static void on_alarm(int number)
{
}

static void interrupted(void)
{
	struct sigaction action = {.sa_handler = on_alarm};
	struct link link;
	struct sess sess;
	struct region region;
	uint64_t mem;
	pid_t child;
	int status;

	sess_open(&sess, "tester", NULL);
	region_init(&region, LEN, 2);
	mem = sess_register(&sess, &region, RW);
	link_open(&link, &sess, "peer");
	sigaction(SIGUSR1, &action, NULL);
	child = fork();
	if (!child) {
		for (int i = 0; i < 3000; i++) {
			struct timespec pause = {0, 200000};

			kill(getppid(), SIGUSR1);
			nanosleep(&pause, NULL);
		}
		_exit(0);
	}
	while (waitpid(child, &status, WNOHANG) == 0)
		write_once(&sess, &link, mem);
	CHECK_EQ(sess_warnings(&sess), 0);
	remote_end(&link.remote);
	sess_close(&sess);
	region_fini(&region);
}

static const struct check_case cases[] = {
	{"stopped_in_write", stopped_in_write, 60},
	{"stopped_in_read", stopped_in_read, 60},
	{"stopped_idle", stopped_idle, 0},
	{"idle_is_not_dead", idle_is_not_dead, 0},
	{"undriven_is_not_dead", undriven_is_not_dead, 0},
	{"close_beside_stopped", close_beside_stopped, 0},
	{"forked", forked, 60},
	{"interrupted", interrupted, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
