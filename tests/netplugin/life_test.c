/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The life of a helper process: it ends with its session, whatever it is in,
 * and with the receive daemon, and comes back with that; when it is stuck, too.
 */

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/log.h"
#include "check.h"
#include "netplugin/over_double.h"
#include "transport/netplugin/remote.h"

#define LIMIT_NS (40 * NS_PER_S)

static void set_up(const char *faults)
{
	over_double(true);
	setenv("TCPX_NETPLUGIN_STALL_MS", "600000", 1);
	setenv("DOUBLE_MODE", "faithful", 1);
	setenv("DOUBLE_FAULTS", faults, 1);
}

/* ---- a transport with both ends ------------------------------------------ */

struct both {
	const struct transport_ops *ops;
	struct transport *t;
	struct listener *listener;
	struct channel *tx, *rx;
	uint64_t limit_ns;
};

static void both_open(struct both *b)
{
	struct transport_params params = {.chunk_bytes = 64 << 10};

	*b = (struct both){.ops = transport_find("netplugin"),
			   .limit_ns = clock_now_ns() + LIMIT_NS};
	CHECK_STATUS(b->ops->open(&params, &b->t), TCPX_OK);
}

/* One more way; the status of what fails. */
static int both_connect(struct both *b)
{
	int connecting = TCPX_INPROGRESS, accepting = TCPX_INPROGRESS;
	uint8_t addr[TRANSPORT_ADDR_MAX];
	size_t addr_bytes = sizeof(addr);
	int err = b->ops->listen(b->t, 0, &b->listener, addr, &addr_bytes);

	while (!err && (connecting || accepting)) {
		CHECK(clock_now_ns() < b->limit_ns);
		if (connecting)
			connecting = b->ops->connect(b->t, 0, addr, addr_bytes,
						     &b->tx);
		if (connecting >= 0 && accepting)
			accepting = b->ops->accept(b->listener, &b->rx);
		err = connecting < 0 ? connecting :
		      accepting < 0  ? accepting :
				       0;
		usleep(100);
	}
	return err;
}

static void both_disconnect(struct both *b)
{
	if (b->tx)
		b->ops->channel_close(b->tx);
	if (b->rx)
		b->ops->channel_close(b->rx);
	if (b->listener)
		b->ops->listener_close(b->listener);
	b->tx = b->rx = NULL;
	b->listener = NULL;
}

/* ---- its session is killed ------------------------------------------------ */

/* A session in a process of its own that ends by being killed; says at fd
 * when its helper is in what it is to be in. */
static void be_session(int fd, bool forks)
{
	struct both b;

	both_open(&b);
	CHECK_STATUS(both_connect(&b), TCPX_OK);
	CHECK_STATUS(b.ops->post_recv(b.rx, 0), TCPX_OK);
	usleep(200000); /* the helper's loop takes it */
	pid_t copy = forks ? fork() : 0;

	if (forks && !copy)
		for (;;)
			pause();
	CHECK_EQ(write(fd, &copy, sizeof(copy)), sizeof(copy));
	for (;;)
		pause();
}

/* Kills it; what it leaves behind becomes ours, and is waited for: the case's
 * alarm is for what does not end. */
static void kill_session(bool forks)
{
	pid_t session, copy, pid;
	unsigned n_helpers = 0;
	int fds[2];

	CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	CHECK_EQ(pipe(fds), 0);
	session = fork();
	if (!session)
		be_session(fds[1], forks);
	CHECK_EQ(read(fds[0], &copy, sizeof(copy)), sizeof(copy));
	CHECK_EQ(kill(session, SIGKILL), 0);
	CHECK_EQ(waitpid(session, NULL, 0), session);
	while (n_helpers < 1) {
		pid = waitpid(-1, NULL, 0);
		CHECK(pid > 0 && pid != copy);
		n_helpers++;
	}
	if (copy) {
		CHECK_EQ(kill(copy, SIGKILL), 0);
		CHECK_EQ(waitpid(copy, NULL, 0), copy);
	}
	CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
}

static void session_is_killed(void)
{
	set_up("");
	kill_session(false);
}

/* Its loop is in a call of the plugin that does not return. */
static void session_is_killed_in_a_call(void)
{
	set_up("hang irecv 1");
	kill_session(false);
}

/* Somebody else has the session's end of its socket, too. */
static void session_has_forked(void)
{
	set_up("");
	kill_session(true);
}

/* ---- what it answers ------------------------------------------------------ */

/* A helper that this program talks to as a session does. */
struct one {
	struct transport t;
	struct helper_process h;
};

static void one_start(struct one *one)
{
	struct helper_process *h = &one->h;
	char why[300] = "";

	*one = (struct one){.t = {.limits = {.chunk_bytes = 65536},
				  .driver = "off"},
			    .h = {.socket_fd = -1}};
	CHECK_STATUS(options_read(&options_env_process, 65536, &one->t.options,
				  why, sizeof(why)),
		     TCPX_OK);
	h->transport = &one->t;
	pthread_mutex_init(&h->send_lock, NULL);
	h->wake_fd = eventfd(0, EFD_CLOEXEC);
	h->memory_fd = memfd_create("test", MFD_CLOEXEC);
	CHECK_EQ(ftruncate(h->memory_fd, sizeof(struct shared_area)), 0);
	CHECK_STATUS(remote_start(h, why, sizeof(why)), TCPX_OK);
}

static void one_end(struct one *one)
{
	remote_helper_end(&one->h, clock_now_ns() + LIMIT_NS);
	CHECK_EQ(one->h.pid, 0);
	close(one->h.wake_fd);
	close(one->h.memory_fd);
	pthread_mutex_destroy(&one->h.send_lock);
}

/* The next of that type; others, as lines for the log, go by. */
static struct shared_message hear(struct one *one, uint32_t type)
{
	struct pollfd pollfd = {one->h.socket_fd, POLLIN, 0};
	struct shared_message m = {0};
	int fds[SHARED_FDS_MAX];
	uint32_t n_fds = 0;

	while (m.type != type) {
		CHECK_EQ(poll(&pollfd, 1, -1), 1);
		CHECK_STATUS(shared_receive(pollfd.fd, &m, fds, &n_fds),
			     TCPX_OK);
		CHECK_EQ(n_fds, 0);
	}
	return m;
}

/* The index of a channel that cannot be made is free again. */
static void refused_connect_frees_its_index(void)
{
	struct shared_message m = {.type = SHARED_CONNECT,
				   .id = 5,
				   .index = 7,
				   .addr_bytes = sizeof(m.addr) + 1};
	struct one one;

	set_up("");
	one_start(&one);
	CHECK_STATUS(hear(&one, SHARED_STARTED).status, TCPX_OK);
	CHECK_STATUS(shared_send(one.h.socket_fd, &m, NULL, 0), TCPX_OK);
	m = hear(&one, SHARED_READY);
	CHECK_EQ(m.id, 5);
	CHECK(m.status < 0);
	CHECK_EQ(hear(&one, SHARED_CLOSED).index, 7);
	one_end(&one);
}

/* ---- the receive daemon ---------------------------------------------------- */

/* As far as it is looked for: its sockets, which nobody accepts from. */
struct daemon {
	char dir[64];
	int fds[2];
};

static void daemon_name(const struct daemon *d, int i, struct sockaddr_un *addr)
{
	static const char *const names[] = {"rx_rule_manager", "get_gpu_fd_"};

	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(addr->sun_path, sizeof(addr->sun_path), "%s/%s", d->dir,
		 names[i]);
}

static void daemon_set_up(struct daemon *d)
{
	snprintf(d->dir, sizeof(d->dir), "/tmp/tcpx-life-XXXXXX");
	CHECK(mkdtemp(d->dir));
	set_up("");
	setenv("TCPX_NETPLUGIN_ALLOW", "loopback,pci,numa,device-memory", 1);
	setenv("NCCL_GPUDIRECTTCPX_UNIX_CLIENT_PREFIX", d->dir, 1);
}

static void daemon_start(struct daemon *d)
{
	struct sockaddr_un addr;

	for (int i = 0; i < 2; i++) {
		daemon_name(d, i, &addr);
		unlink(addr.sun_path);
		d->fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		CHECK_EQ(bind(d->fds[i], (struct sockaddr *)&addr,
			      sizeof(addr)),
			 0);
		CHECK_EQ(listen(d->fds[i], 1), 0);
	}
}

/* Its files stay, as those of one that was killed do. */
static void daemon_kill(struct daemon *d)
{
	close(d->fds[0]);
	close(d->fds[1]);
}

static void daemon_clean(struct daemon *d)
{
	struct sockaddr_un addr;

	for (int i = 0; i < 2; i++) {
		daemon_name(d, i, &addr);
		unlink(addr.sun_path);
	}
	rmdir(d->dir);
}

/* Until there is a way; what is in the way meanwhile is said. */
static void connect_at_last(struct both *b, const char *words)
{
	bool said = false;

	while (both_connect(b)) {
		said |= strstr(b->ops->refusal(), words) != NULL;
		both_disconnect(b);
		CHECK(clock_now_ns() < b->limit_ns);
	}
	CHECK(said);
}

/* One that is started after the session. */
static void daemon_comes_later(void)
{
	struct daemon d;
	struct both b;

	daemon_set_up(&d);
	both_open(&b);
	do {
		CHECK_STATUS(both_connect(&b), TCPX_ECHANNEL);
		both_disconnect(&b);
		CHECK(clock_now_ns() < b.limit_ns);
	} while (!strstr(b.ops->refusal(), "waiting for the receive daemon"));
	daemon_start(&d);
	connect_at_last(&b, "waiting for the receive daemon");
	both_disconnect(&b);
	b.ops->close(b.t);
	daemon_clean(&d);
}

static void await_failure(struct both *b, struct channel *c, const char *words)
{
	struct channel_event event = {0};

	while (!b->ops->poll(c, &event, 1)) {
		CHECK(clock_now_ns() < b->limit_ns);
		usleep(1000);
	}
	CHECK_EQ(event.kind, CHANNEL_FAILED);
	CHECK(strstr(event.cause, words));
}

/* Lanes fail early, and come back with it. */
static void daemon_goes(void)
{
	struct daemon d;
	struct both b;

	daemon_set_up(&d);
	daemon_start(&d);
	both_open(&b);
	CHECK_STATUS(both_connect(&b), TCPX_OK);
	daemon_kill(&d);
	await_failure(&b, b.tx, "receive daemon (RxDM), which is gone");
	await_failure(&b, b.rx, "receive daemon (RxDM), which is gone");
	both_disconnect(&b);
	CHECK_STATUS(both_connect(&b), TCPX_ECHANNEL);
	both_disconnect(&b);
	usleep(3000000); /* longer than a start is put off otherwise */
	CHECK_STATUS(both_connect(&b), TCPX_ECHANNEL);
	both_disconnect(&b);
	daemon_start(&d);
	connect_at_last(&b, "waiting for the receive daemon");
	/* And another time: it is another one then, at once. */
	daemon_kill(&d);
	daemon_start(&d);
	await_failure(&b, b.rx, "was started anew");
	both_disconnect(&b);
	b.ops->close(b.t);
	daemon_clean(&d);
}

/* ---- calls that do not return ----------------------------------------------- */

/* Its plugin's init does not return; the next one's does. */
static void init_hangs(void)
{
	struct both b;

	set_up("hang init 1");
	setenv("TCPX_NETPLUGIN_START_MS", "1500", 1);
	both_open(&b);
	do {
		CHECK_STATUS(both_connect(&b), TCPX_ECHANNEL);
		both_disconnect(&b);
		CHECK(clock_now_ns() < b.limit_ns);
	} while (!strstr(b.ops->refusal(), "has not started within 1500 ms"));
	setenv("DOUBLE_FAULTS", "", 1);
	connect_at_last(&b, "has not started within 1500 ms");
	both_disconnect(&b);
	b.ops->close(b.t);
}

/* The control thread is stuck, and there is nothing else: ended at once. */
static void control_hangs(void)
{
	struct both b;

	set_up("hang reg_mr 1");
	setenv("TCPX_NETPLUGIN_STALL_MS", "1000", 1);
	both_open(&b);
	CHECK_STATUS(both_connect(&b), TCPX_ECHANNEL);
	CHECK(strstr(b.ops->refusal(), "in a control call"));
	both_disconnect(&b);
	setenv("DOUBLE_FAULTS", "", 1);
	connect_at_last(&b, "in a control call");
	both_disconnect(&b);
	b.ops->close(b.t);
}

static void await_event(struct both *b, struct channel *c, int kind)
{
	struct channel_event event = {0};

	while (!b->ops->poll(c, &event, 1)) {
		CHECK(clock_now_ns() < b->limit_ns);
		usleep(1000);
	}
	CHECK_EQ(event.kind, kind);
}

static void carry_one(struct both *b, uint64_t i)
{
	struct chunk_desc desc = {.seq = i, .len_bytes = 100};
	void *slot;

	CHECK_STATUS(b->ops->post_recv(b->rx, i), TCPX_OK);
	CHECK_STATUS(b->ops->slot_get(b->tx, NULL, &slot), TCPX_OK);
	struct span span = {slot, 100};
	CHECK_STATUS(b->ops->post_send(b->tx, &desc, &span, 1, i), TCPX_OK);
	await_event(b, b->tx, CHANNEL_SENT);
	await_event(b, b->rx, CHANNEL_ARRIVED);
	CHECK_STATUS(b->ops->consume(b->rx, i), TCPX_OK);
}

/* What is open goes on as long as it carries something. */
static void control_hangs_beside_a_lane(void)
{
	struct both b, other;

	set_up("hang reg_mr 3");
	setenv("TCPX_NETPLUGIN_STALL_MS", "1000", 1);
	both_open(&b);
	CHECK_STATUS(both_connect(&b), TCPX_OK);
	carry_one(&b, 0);
	other = b;
	other.tx = other.rx = NULL;
	other.listener = NULL;
	CHECK_STATUS(both_connect(&other), TCPX_ECHANNEL);
	CHECK(strstr(b.ops->refusal(), "in a control call"));
	both_disconnect(&other);
	/* For three times as long as it would be left alone. */
	for (uint64_t i = 1; i <= 30; i++) {
		carry_one(&b, i);
		usleep(100000);
	}
	setenv("DOUBLE_FAULTS", "", 1);
	await_failure(&b, b.tx, "was ended: the plugin has been in a control");
	both_disconnect(&b);
	connect_at_last(&b, "in a control call");
	both_disconnect(&b);
	b.ops->close(b.t);
}

static const struct check_case cases[] = {
	{"session_is_killed", session_is_killed, 60},
	{"session_is_killed_in_a_call", session_is_killed_in_a_call, 60},
	{"session_has_forked", session_has_forked, 60},
	{"daemon_comes_later", daemon_comes_later, 60},
	{"daemon_goes", daemon_goes, 60},
	{"init_hangs", init_hangs, 60},
	{"control_hangs", control_hangs, 60},
	{"control_hangs_beside_a_lane", control_hangs_beside_a_lane, 60},
	{"refused_connect_frees_its_index", refused_connect_frees_its_index,
	 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
