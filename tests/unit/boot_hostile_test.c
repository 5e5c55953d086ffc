/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>

#include "base/atomic.h"
#include "boot/handshake.h"
#include "boot_end.h"

/* Junk, floods, shortage, and peers that break off. */

static void junk_fails_alone(void)
{
	struct boot_target target;
	struct end a, b;
	char got[1];
	int fd;

	pair_up(&a, &b);
	fd = raw_connect(&b);
	CHECK(write(fd, "GET / HTTP/1.1\r\n\r\n", 18) == 18);
	drive(&b, NULL, &b.n_lines, 1);
	CHECK(strstr(b.line, "47 45 54 20"));
	CHECK(recv(fd, got, 1, 0) <= 0);
	close(fd);
	target = target_of(&b);
	CHECK_EQ(boot_connect(a.boot, &target, 1, 3000), 0);
	drive(&a, &b, &a.n_connected, 1);
	CHECK_STATUS(a.status, 0);
	CHECK_EQ(b.n_lines, 1);
	close_end(&a);
	close_end(&b);
}

static void flood_is_not_logged_line_by_line(void)
{
	struct end b;

	prepare(&b, "berta");
	open_end(&b);
	for (int i = 0; i < 500; i++) {
		int fd = raw_connect(&b);

		CHECK(write(fd, "0123456789", 10) == 10);
		close(fd);
		boot_run(b.boot, 10);
	}
	CHECK(b.n_lines >= 5 && b.n_lines < 50);
	close_end(&b);
}

static void hello_within_seconds(void)
{
	uint64_t start_ns = clock_now_ns();
	struct end b;
	char got[1];
	int fd;

	prepare(&b, "berta");
	b.params.timeout_ms = 60000;
	open_end(&b);
	fd = raw_connect(&b);
	CHECK(write(fd, "TCXP", 4) == 4);
	drive(&b, NULL, &b.n_lines, 1);
	CHECK(strstr(b.line, "no HELLO in time"));
	CHECK(clock_now_ns() - start_ns > 2900 * NS_PER_MS);
	CHECK(clock_now_ns() - start_ns < 8 * NS_PER_S);
	CHECK(recv(fd, got, 1, 0) <= 0);
	close(fd);
	close_end(&b);
}

/* Three hundred that say nothing, and then a real one, before they go. */
static void half_open(void)
{
	struct boot_target target;
	struct end a, b;
	int fds[300];

	want_fds(1024);
	pair_up(&a, &b);
	for (int i = 0; i < 300; i++) {
		fds[i] = raw_connect(&b);
		if (i % 3 == 0)
			boot_run(b.boot, 0);
	}
	target = target_of(&b);
	CHECK_EQ(boot_connect(a.boot, &target, 1, 3000), 0);
	drive(&a, &b, &a.n_connected, 1);
	CHECK_STATUS(a.status, 0);
	CHECK_EQ(b.n_admits, 1);
	for (int i = 0; i < 300; i++)
		close(fds[i]);
	close_end(&a);
	close_end(&b);
}

struct flood {
	const struct end *end;
	_Atomic bool stop;
	_Atomic uint32_t n;
};

static void *flood_thread(void *arg)
{
	struct flood *flood = arg;
	int fds[256] = {0};

	for (uint32_t i = 0; !load_acquire(&flood->stop); i++) {
		int *fd = &fds[i % 256];

		if (*fd > 0)
			close(*fd);
		*fd = raw_connect(flood->end);
		store_release(&flood->n, i + 1);
	}
	for (int i = 0; i < 256; i++) {
		if (fds[i] > 0)
			close(fds[i]);
	}
	return NULL;
}

/* Ten thousand half-open connections while peers come and go. */
static void flood_of_half_open(void)
{
	struct boot_target target;
	struct flood flood = {0};
	pthread_t thread;
	struct end a, b;

	want_fds(1024);
	pair_up(&a, &b);
	target = target_of(&b);
	flood.end = &b;
	pthread_create(&thread, NULL, flood_thread, &flood);
	for (uint32_t i = 0; i < 50 || load_acquire(&flood.n) < 10000; i++) {
		CHECK_EQ(boot_connect(a.boot, &target, i, 5000), 0);
		drive(&a, &b, &a.n_connected, i + 1);
		CHECK_STATUS(a.status, 0);
	}
	store_release(&flood.stop, true);
	while (pthread_tryjoin_np(thread, NULL) == EBUSY)
		boot_run(b.boot, 1);
	CHECK(b.n_lines < 200);
	close_end(&a);
	close_end(&b);
}

/* A connector of a test's own, up to when it has sent its PROOF. */
static int prove(struct end *a, struct end *b, struct handshake *hs)
{
	struct boot_target target = target_of(b);
	struct handshake_self self = {.limits = a->params.limits};
	uint8_t nonce[HELLO_NONCE_BYTES];
	int fd = raw_connect(b);
	const void *from;
	void *to;
	size_t n;

	auth_random(nonce, sizeof(nonce));
	handshake_init_connector(hs, &self, &target, nonce);
	while (hs->state == HANDSHAKE_RUNS && hs->awaits != HELLO_VERDICT) {
		n = handshake_pending(hs, &from);
		CHECK(send(fd, from, n, MSG_NOSIGNAL) == (ssize_t)n);
		handshake_sent(hs, n);
		for (int i = 0; i < 10; i++)
			boot_run(b->boot, 1);
		while (hs->awaits != HELLO_VERDICT &&
		       (n = handshake_want(hs, &to)) > 0) {
			CHECK(recv(fd, to, n, MSG_WAITALL) == (ssize_t)n);
			handshake_fed(hs, n);
		}
	}
	n = handshake_pending(hs, &from);
	CHECK_EQ(n, HELLO_HEADER_BYTES + HELLO_MAC_BYTES);
	CHECK(send(fd, from, n, MSG_NOSIGNAL) == (ssize_t)n);
	return fd;
}

/* Proved, admitted, and gone before it could be told. */
static void dropped_after_admission(void)
{
	struct linger abort_it = {.l_onoff = 1};
	struct handshake hs;
	struct end a, b;
	int fd;

	pair_up(&a, &b);
	fd = prove(&a, &b, &hs);
	CHECK_EQ(b.n_admits, 0); /* nobody has read the PROOF yet */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort_it, sizeof(abort_it));
	close(fd);
	for (int i = 0; i < 10; i++)
		boot_run(b.boot, 5);
	/* The kernel may throw the PROOF away with the connection. */
	CHECK_EQ(b.n_admits, b.n_dropped);
	CHECK_EQ(b.n_accepted, 0);
	fd = prove(&a, &b, &hs);
	drive(&b, NULL, &b.n_accepted, 1);
	CHECK_EQ(b.n_admits, b.n_dropped + 1);
	close(fd);
	close_end(&a);
	close_end(&b);
}

/* All say HELLO and none proves itself: real ones still get in. */
static void *hello_thread(void *arg)
{
	struct flood *flood = arg;
	const struct end *end = flood->end;
	struct handshake_self self = {.limits = end->params.limits};
	struct boot_target target = target_of(end);
	static struct handshake hs;
	uint8_t nonce[HELLO_NONCE_BYTES] = {0};
	const void *from;
	int fds[256] = {0};
	size_t n;

	handshake_init_connector(&hs, &self, &target, nonce);
	n = handshake_pending(&hs, &from);
	for (uint32_t i = 0; !load_acquire(&flood->stop); i++) {
		int *fd = &fds[i % 256];

		if (*fd > 0)
			close(*fd);
		*fd = raw_connect(end);
		if (send(*fd, from, n, MSG_NOSIGNAL) == (ssize_t)n)
			store_release(&flood->n, i + 1);
	}
	for (int i = 0; i < 256; i++) {
		if (fds[i] > 0)
			close(fds[i]);
	}
	return NULL;
}

static void flood_of_hellos(void)
{
	struct boot_target target;
	struct flood flood = {0};
	pthread_t thread;
	struct end a, b;

	want_fds(1024);
	pair_up(&a, &b);
	b.params.max_half_open = 256;
	boot_close(b.boot);
	open_end(&b);
	target = target_of(&b);
	flood.end = &b;
	pthread_create(&thread, NULL, hello_thread, &flood);
	for (uint32_t i = 0; i < 10 || load_acquire(&flood.n) < 2000; i++) {
		CHECK_EQ(boot_connect(a.boot, &target, i, 20000), 0);
		drive(&a, &b, &a.n_connected, i + 1);
		CHECK_STATUS(a.status, 0);
	}
	store_release(&flood.stop, true);
	while (pthread_tryjoin_np(thread, NULL) == EBUSY)
		boot_run(b.boot, 1);
	close_end(&a);
	close_end(&b);
}

/* A program that forks does not keep our port and connections open. */
static void closes_beside_a_child(void)
{
	struct net_addr to;
	struct end b;
	char got[1];
	int fd, again;
	pid_t pid;

	prepare(&b, "berta");
	open_end(&b);
	fd = raw_connect(&b);
	for (int i = 0; i < 10; i++)
		boot_run(b.boot, 1);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		pause();
		_exit(0);
	}
	CHECK_EQ(addr_parse("127.0.0.1", &to), 0);
	addr_set_port(&to, boot_port(b.boot));
	close_end(&b);
	CHECK(recv(fd, got, 1, 0) <= 0);
	again = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(connect(again, &to.sa, addr_len(&to)) < 0);
	CHECK_EQ(errno, ECONNREFUSED);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(again);
	close(fd);
}

/* A burst of real ones, more than may be half-open, all get in. */
static void burst(void)
{
	struct boot_target target;
	uint32_t n = 500;
	struct end a, b;

	want_fds(4096);
	pair_up(&a, &b);
	b.params.max_half_open = 16;
	boot_close(b.boot);
	open_end(&b);
	target = target_of(&b);
	for (uint32_t i = 0; i < n; i++)
		CHECK_EQ(boot_connect(a.boot, &target, i, 15000), 0);
	while (a.n_connected < n) {
		boot_run(a.boot, 1);
		boot_run(b.boot, 1);
		CHECK_STATUS(a.status, 0);
	}
	CHECK_EQ(b.n_admits, n);
	close_end(&a);
	close_end(&b);
}

/* Out of descriptors: waits for better times, without spinning. */
static void out_of_descriptors(void)
{
	struct rlimit limit, old;
	struct boot_target target;
	struct end a, b;
	int fd, n_rounds = 0;
	uint64_t until_ns;

	pair_up(&a, &b);
	fd = raw_connect(&b);
	target = target_of(&b);
	getrlimit(RLIMIT_NOFILE, &old);
	limit = old;
	limit.rlim_cur = (rlim_t)fd + 1;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	until_ns = clock_now_ns() + 500 * NS_PER_MS;
	while (clock_now_ns() < until_ns) {
		boot_run(b.boot, 50);
		n_rounds++;
	}
	CHECK(n_rounds < 100);
	CHECK_EQ(b.n_lines, 1);
	CHECK_EQ(boot_connect(a.boot, &target, 1, 5000), 0);
	for (int i = 0; i < 5; i++)
		boot_run(a.boot, 20);
	CHECK_EQ(a.n_connected, 0); /* it tries again */
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
	drive(&a, &b, &a.n_connected, 1);
	CHECK_STATUS(a.status, 0);
	close(fd);
	close_end(&a);
	close_end(&b);
}

static const struct check_case cases[] = {
	{"junk_fails_alone", junk_fails_alone, 0},
	{"flood_is_not_logged_line_by_line", flood_is_not_logged_line_by_line,
	 0},
	{"hello_within_seconds", hello_within_seconds, 0},
	{"half_open", half_open, 0},
	{"flood_of_half_open", flood_of_half_open, 60},
	{"flood_of_hellos", flood_of_hellos, 60},
	{"dropped_after_admission", dropped_after_admission, 0},
	{"closes_beside_a_child", closes_beside_a_child, 0},
	{"burst", burst, 60},
	{"out_of_descriptors", out_of_descriptors, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
