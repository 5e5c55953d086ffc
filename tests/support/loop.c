/* SPDX-License-Identifier: Apache-2.0 */
#include "support/loop.h"

#include <sys/epoll.h>

#include "check.h"
#include "support/scale.h"

#define RW (TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE)

/* ---- a loop ----------------------------------------------------------- */

void loop_init(struct loop *loop)
{
	*loop = (struct loop){.epfd = epoll_create1(EPOLL_CLOEXEC),
			      .wanted = TCPX_WAKE_XFER | TCPX_WAKE_NOTIFY |
					TCPX_WAKE_ROOM};
	CHECK(loop->epfd >= 0);
}

void loop_add_fd(struct loop *loop, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	if (loop->edge)
		event.events |= EPOLLET;
	CHECK(!epoll_ctl(loop->epfd, EPOLL_CTL_ADD, fd, &event));
}

void loop_add(struct loop *loop, struct sess *sess)
{
	unsigned int i = loop->n++;

	CHECK(i < 2);
	loop->sess[i] = sess;
	CHECK_STATUS(tcpx_session_fd(sess->s, &loop->fds[i]), TCPX_OK);
	loop_add_fd(loop, loop->fds[i]);
}

void loop_pair(struct loop *loop, struct pair *pair, bool edge)
{
	loop_init(loop);
	loop->edge = edge;
	loop_add(loop, pair->a);
	if (pair->b != pair->a)
		loop_add(loop, pair->b);
}

void loop_drive(struct loop *loop)
{
	for (unsigned int i = 0; i < loop->n; i++)
		if (loop->sess[i]->driven)
			tcpx_session_progress(loop->sess[i]->s, 0);
}

static bool loop_may_sleep(struct loop *loop)
{
	bool may = true;

	for (unsigned int i = 0; i < loop->n; i++) {
		int status = tcpx_session_arm(loop->sess[i]->s, loop->fds[i],
					      loop->wanted);

		if (status)
			CHECK_STATUS(status, TCPX_EAGAIN);
		may &= !status;
	}
	return may;
}

void loop_until(struct loop *loop, bool (*look)(void *), void *arg)
{
	struct epoll_event events[4];

	for (;;) {
		loop_drive(loop);
		if (look(arg))
			return;
		if (!loop_may_sleep(loop))
			continue;
		uint64_t start_ns = test_now_ns(), slept_ns;

		CHECK(epoll_wait(loop->epfd, events, 4, -1) > 0);
		loop->n_sleeps++;
		slept_ns = test_now_ns() - start_ns;
		if (loop->longest_ns < slept_ns)
			loop->longest_ns = slept_ns;
	}
}

void loop_fini(struct loop *loop)
{
	fprintf(stderr, "slept %u times, for %llu us at most\n", loop->n_sleeps,
		(unsigned long long)loop->longest_ns / 1000);
	close(loop->epfd);
}

/* ---- what is looked at ------------------------------------------------ */

static bool has_ended(struct watch *w)
{
	if (w->xfer)
		w->status = tcpx_xfer_test(w->sess->s, w->xfer);
	return !w->xfer || w->status != TCPX_INPROGRESS;
}

static bool has_event(struct watch *w)
{
	struct tcpx_event event;

	while (w->event_sess && w->event.kind != w->kind &&
	       !tcpx_event_poll(w->event_sess->s, &event))
		w->event = event;
	return !w->event_sess || w->event.kind == w->kind;
}

static bool has_note(struct watch *w)
{
	if (w->note_sess && !w->note)
		(void)!tcpx_notify_poll(w->note_sess->s, &w->note);
	return !w->note_sess || w->note;
}

bool watch_look(void *arg)
{
	struct watch *w = arg;
	bool there = has_ended(w);

	there &= has_note(w);
	return has_event(w) && there;
}

/* ---- sessions and memory ---------------------------------------------- */

bool loop_over_sockets(void)
{
	const char *transports = getenv("TCPX_TRANSPORTS");

	return !transports || strstr(transports, "socket");
}

static int n_workers;

void loop_tweak(struct tcpx_config *config)
{
	config->n_workers = n_workers;
}

enum pair_kind loop_kind(int workers)
{
	n_workers = workers;
	return workers ? PAIR_TWO : PAIR_DRIVEN;
}

void ends_open(struct ends *ends, struct pair *pair)
{
	region_init(&ends->here, LOOP_REGION_BYTES, 1);
	region_init(&ends->there, LOOP_REGION_BYTES, 2);
	ends->local = sess_register(pair->a, &ends->here, RW);
	ends->there_mem = sess_register(pair->b, &ends->there, RW);
	ends->remote = sess_share(pair->b, ends->there_mem, pair->a);
}

void ends_close(struct ends *ends)
{
	region_fini(&ends->here);
	region_fini(&ends->there);
}

void loop_post(struct sess *sess, uint64_t xfer, bool notify,
	       uint32_t deadline_ms)
{
	struct tcpx_post_params params = {.size_bytes = sizeof(params),
					  .has_notify = notify,
					  .notify = "done",
					  .notify_len_bytes = notify ? 4 : 0,
					  .deadline_ms = deadline_ms};

	CHECK_STATUS(tcpx_xfer_post(sess->s, xfer, &params), TCPX_OK);
}
