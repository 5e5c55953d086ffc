/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeps in epoll and nowhere else, with worker threads or, by TCPX_WORKERS=0,
 * without any: writes ten lines into another process's memory, one after the
 * other, and tells it of each. Beside that a clock of its own ticks.
 *	(umask 077; ./event_loop serve where &)      (writes the file)
 *	sleep 1; ./event_loop < where
 */
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <tcpx/p2p.h>
#include <unistd.h>

#define N_LINES 10
#define LINE_BYTES 64

struct where {
	size_t blob_len, mem_len; /* how to connect, where to write */
	char blob[TCPX_BLOB_MAX], mem[256];
};

struct app {
	struct tcpx_session *session;
	struct where where; /* here if it serves, else there */
	bool serves, is_over, is_lost;
	uint64_t mem, peer, their_mem;
	uint64_t xfer; /* 0: none yet */
	int n; /* writes, or notifications of them */
	char (*lines)[LINE_BYTES];
};

static void must(int status, const char *what)
{
	if (status)
		errx(1, "%s: %s", what, tcpx_strerror(status));
}

static void print_log(void *arg, enum tcpx_log_level level,
		      const char *subsystem, const char *line)
{
	fprintf(stderr, "%s: %s\n", subsystem, line);
}

static void write_next(struct app *app)
{
	uint64_t off = (uint64_t)app->n * LINE_BYTES;
	struct tcpx_segment segment = {.local_mem = app->mem,
				       .local_off = off,
				       .remote_mem = app->their_mem,
				       .remote_off = off,
				       .len_bytes = LINE_BYTES};
	struct tcpx_xfer_params params = {.size_bytes = sizeof(params),
					  .peer = app->peer,
					  .op = TCPX_OP_WRITE,
					  .segments = &segment,
					  .n_segments = 1};
	struct tcpx_post_params post = {.size_bytes = sizeof(post),
					.has_notify = true};

	snprintf(app->lines[app->n], LINE_BYTES, "line %d", app->n + 1);
	app->n++;
	must(tcpx_xfer_prepare(app->session, &params, &app->xfer), "prepare");
	must(tcpx_xfer_post(app->session, app->xfer, &post), "post");
}

static void on_written(struct app *app)
{
	must(tcpx_xfer_release(app->session, app->xfer), "release");
	if (app->n < N_LINES)
		write_next(app);
	else
		app->is_over = true;
}

static void on_event(struct app *app, const struct tcpx_event *event)
{
	if (event->kind == TCPX_EVENT_PEER_LOST)
		app->is_lost = true;
	if (event->kind == TCPX_EVENT_PEER_CONNECTED && !app->serves)
		write_next(app);
}

static void on_note(struct app *app, struct tcpx_notification *note)
{
	printf("%s wrote \"%s\"\n", note->name, app->lines[app->n]);
	tcpx_notify_free(note);
	app->is_over = ++app->n == N_LINES;
}

/* At everything the descriptor may have told of. */
static void look(struct app *app)
{
	struct tcpx_notification *note;
	struct tcpx_event event;
	int status = TCPX_INPROGRESS;

	tcpx_session_progress(app->session, 0); /* for TCPX_WORKERS=0 */
	while (!tcpx_event_poll(app->session, &event))
		on_event(app, &event);
	while (!tcpx_notify_poll(app->session, &note))
		on_note(app, note);
	if (app->xfer)
		status = tcpx_xfer_test(app->session, app->xfer);
	if (status != TCPX_INPROGRESS) {
		must(status, "write");
		on_written(app);
	}
	/* Last: what it said before it went has been looked at. */
	if (app->is_lost && !app->is_over)
		errx(1, "the other one is gone");
}

static void watch(int epfd, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	must(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event) ? TCPX_ENFILE : 0,
	     "epoll_ctl");
}

static void run(struct app *app)
{
	const struct itimerspec each_second = {{1, 0}, {1, 0}};
	int epfd = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
	struct epoll_event event;
	uint64_t ticks;
	int fd;

	must(tcpx_session_fd(app->session, &fd), "descriptor");
	watch(epfd, fd);
	watch(epfd, timer);
	timerfd_settime(timer, 0, &each_second, NULL);
	while (look(app), !app->is_over) {
		int status = tcpx_session_arm(app->session, fd, TCPX_WAKE_ALL);

		/* With something to look at at once, the others have a turn
		 * all the same. */
		if (status != TCPX_EAGAIN)
			must(status, "arm");
		int n = epoll_wait(epfd, &event, 1, status ? 0 : -1);

		if (n > 0 && event.data.fd == timer &&
		    read(timer, &ticks, sizeof(ticks)) > 0)
			printf("tick\n");
	}
	close(timer);
	close(epfd); /* fd is the session's */
}

static void offer(struct app *app, FILE *file)
{
	struct where *w = &app->where;

	must(tcpx_session_blob(app->session, w->blob, sizeof(w->blob),
			       &w->blob_len),
	     "session blob");
	must(tcpx_mem_blob(app->session, &app->mem, 1, w->mem, sizeof(w->mem),
			   &w->mem_len),
	     "memory blob");
	fwrite(w, sizeof(*w), 1, file);
	fclose(file);
}

/* Does not wait: an event says when it is connected. */
static void look_up(struct app *app, FILE *file)
{
	struct where *w = &app->where;
	size_t n_mems;

	if (fread(w, sizeof(*w), 1, file) != 1)
		must(TCPX_EINVAL, "reading where");
	must(tcpx_mem_load(app->session, w->mem, w->mem_len, &app->their_mem, 1,
			   &n_mems),
	     "their memory");
	must(tcpx_peer_connect(app->session, w->blob, w->blob_len, &app->peer),
	     "connect");
}

int main(int argc, char **argv)
{
	static char lines[N_LINES][LINE_BYTES];
	struct app app = {.lines = lines,
			  .serves = argc == 3 && !strcmp(argv[1], "serve")};
	FILE *file = app.serves ? fopen(argv[2], "wb") : stdin;
	struct tcpx_config config;

	must(file ? 0 : TCPX_EINVAL, "opening the file");
	must(tcpx_config_init(&config, print_log, NULL), "environment");
	must(tcpx_session_open(&config, &app.session), "open");
	must(tcpx_mem_register(app.session, lines, sizeof(lines),
			       TCPX_ACCESS_REMOTE_WRITE, &app.mem),
	     "register");
	(app.serves ? offer : look_up)(&app, file);
	run(&app);
	tcpx_session_close(app.session);
	return 0;
}
