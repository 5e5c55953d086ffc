/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/boot.h"

#include <net/if.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#include "boot_end.h"

static void connects(void)
{
	struct boot_target target;
	struct end a, b;
	int on = 0;
	socklen_t len = sizeof(on);
	char byte = 'y';

	pair_up(&a, &b);
	target = target_of(&b);
	CHECK_EQ(boot_connect(a.boot, &target, 42, 3000), 0);
	drive(&a, &b, &a.n_connected, 1);
	drive(&a, &b, &b.n_accepted, 1);
	CHECK_STATUS(a.status, 0);
	CHECK_EQ(a.cookie, 42);
	CHECK_EQ(b.n_admits, 1);
	CHECK_EQ(a.out.token, 1001);
	CHECK_EQ(b.in.token, 1001);
	CHECK_STR(a.out.name, "berta");
	CHECK_STR(b.in.name, "anna");
	CHECK_EQ(a.out.n_rails, 1);
	CHECK_EQ(addr_port(&a.out.rails[0].addr), boot_port(b.boot));
	CHECK(addr_equal(&a.out.local, &b.in.remote));
	CHECK(addr_equal(&a.out.remote, &b.in.local));
	CHECK_EQ(fcntl(a.out.fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	CHECK_EQ(fcntl(b.in.fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	CHECK_EQ(fcntl(b.in.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	CHECK_EQ(getsockopt(b.in.fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
	CHECK(on);
	/* The next layer's first byte is where it belongs. */
	CHECK_EQ(write(a.out.fd, "x", 1), 1);
	while (read(b.in.fd, &byte, 1) < 0)
		CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(byte, 'x');
	CHECK_EQ(a.n_lines + b.n_lines, 0);
	close_end(&a);
	close_end(&b);
}

/* What a fast connector sends with its PROOF's answer still on the way, and
 * what a fast listener sends behind its VERDICT, is not swallowed. */
static void leaves_what_follows(void)
{
	struct boot_target target;
	struct end a, b;
	char got[8] = "";

	pair_up(&a, &b);
	target = target_of(&b);
	CHECK_EQ(boot_connect(a.boot, &target, 1, 3000), 0);
	drive(&a, &b, &b.n_accepted, 1);
	/* a has not read the VERDICT perhaps; more comes right behind it. */
	CHECK_EQ(write(b.in.fd, "behind", 6), 6);
	drive(&a, NULL, &a.n_connected, 1);
	CHECK_STATUS(a.status, 0);
	CHECK_EQ(read(a.out.fd, got, sizeof(got)), 6);
	CHECK_STR(got, "behind");
	close_end(&a);
	close_end(&b);
}

static void connects_to_itself(void)
{
	struct boot_target target;
	struct end a;

	prepare(&a, "anna");
	open_end(&a);
	target = target_of(&a);
	CHECK_EQ(boot_connect(a.boot, &target, 1, 3000), 0);
	drive(&a, NULL, &a.n_connected, 1);
	drive(&a, NULL, &a.n_accepted, 1);
	CHECK_STATUS(a.status, 0);
	CHECK_STR(a.out.name, "anna");
	close_end(&a);
}

static void ipv6(void)
{
	struct boot_target target;
	struct end a, b;

	prepare(&a, "anna");
	prepare(&b, "berta");
	b.params.bind = "::1";
	if (boot_open(&b.params, &ops, &b, &b.boot) != 0)
		SKIP("no IPv6 here");
	open_end(&a);
	target = target_of(&b);
	CHECK_EQ(addr_parse("::1", &target.addr), 0);
	addr_set_port(&target.addr, boot_port(b.boot));
	CHECK_EQ(boot_connect(a.boot, &target, 1, 3000), 0);
	drive(&a, &b, &b.n_accepted, 1);
	CHECK_EQ(b.in.remote.sa.sa_family, AF_INET6);
	close_end(&a);
	close_end(&b);
}

/* One socket for both families. */
static void dual_stack(void)
{
	struct boot_target target;
	struct end a, b;

	pair_up(&a, &b);
	target = target_of(&b);
	CHECK_EQ(boot_connect(a.boot, &target, 1, 3000), 0);
	drive(&a, &b, &b.n_accepted, 1);
	CHECK_EQ(b.in.remote.sa.sa_family, AF_INET); /* not ::ffff:... */
	CHECK_EQ(addr_parse("::1", &target.addr), 0);
	addr_set_port(&target.addr, boot_port(b.boot));
	CHECK_EQ(boot_connect(a.boot, &target, 2, 500), 0);
	drive(&a, &b, &a.n_connected, 2);
	if (a.status == TCPX_EUNREACHABLE)
		SKIP("no IPv6 here");
	CHECK_STATUS(a.status, 0);
	close_end(&a);
	close_end(&b);
}

static void by_name(void)
{
	static const char phrase[] = "a phrase";
	struct boot_target target = {
		.purpose = HELLO_CONTROL,
		.key = HELLO_KEY_SHARED,
	};
	char address[64];
	struct end a, b;

	prepare(&a, "anna");
	prepare(&b, "berta");
	a.params.shared_secret = b.params.shared_secret = phrase;
	b.params.bind = "127.0.0.1"; /* localhost may be ::1 first */
	open_end(&a);
	open_end(&b);
	snprintf(address, sizeof(address), "localhost:%u", boot_port(b.boot));
	target.host = address;
	CHECK_EQ(boot_connect(a.boot, &target, 1, 5000), 0);
	memset(address, 'x', sizeof(address)); /* it was copied */
	drive(&a, &b, &a.n_connected, 1);
	CHECK_STATUS(a.status, 0);
	CHECK_STR(a.out.name, "berta");

	snprintf(address, sizeof(address), "no-such.invalid:1");
	CHECK_EQ(boot_connect(a.boot, &target, 2, 2000), 0);
	drive(&a, &b, &a.n_connected, 2);
	CHECK_STATUS(a.status, TCPX_EUNREACHABLE);
	CHECK(strstr(a.cause, "no-such.invalid"));
	snprintf(address, sizeof(address), "nothing");
	CHECK_STATUS(boot_connect(a.boot, &target, 3, 0), TCPX_EINVAL);
	close_end(&a);
	close_end(&b);
}

/* An address in words needs no look-up. */
static void by_numeric_host(void)
{
	struct boot_target target;
	char address[64];
	struct end a;

	prepare(&a, "anna");
	a.params.shared_secret = "a phrase";
	open_end(&a);
	snprintf(address, sizeof(address), "127.0.0.1:%u", boot_port(a.boot));
	target = (struct boot_target){.purpose = HELLO_CONTROL,
				      .key = HELLO_KEY_SHARED,
				      .host = address};
	CHECK_EQ(boot_connect(a.boot, &target, 1, 3000), 0);
	drive(&a, NULL, &a.n_connected, 1);
	CHECK_STATUS(a.status, 0);
	close_end(&a);
}

static void leaves_from(void)
{
	struct boot_target target;
	char from[ADDR_TEXT_MAX];
	struct end a, b;

	pair_up(&a, &b);
	target = target_of(&b);
	CHECK_EQ(addr_parse("127.0.0.2:99", &target.bind_addr), 0);
	CHECK_EQ(boot_connect(a.boot, &target, 1, 3000), 0);
	drive(&a, &b, &b.n_accepted, 1);
	addr_text(&b.in.remote, from);
	CHECK(strncmp(from, "127.0.0.2:", 10) == 0);
	CHECK(addr_port(&b.in.remote) != 99);

	/* An address that is not ours to leave by. */
	target = target_of(&b);
	CHECK_EQ(addr_parse("198.51.100.1", &target.bind_addr), 0);
	CHECK_EQ(boot_connect(a.boot, &target, 2, 200), 0);
	drive(&a, &b, &a.n_connected, 2);
	CHECK_STATUS(a.status, TCPX_EUNREACHABLE);
	close_end(&a);
	close_end(&b);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
	CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* A world of our own whose only name server hears, and never answers. */
static void make_deaf_name_server(void)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	char conf[] = "/tmp/boot_test.XXXXXX";
	struct net_addr addr;
	int fd, err;

	if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0)
		SKIP("needs root for namespaces");
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK_EQ(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
	CHECK_EQ(addr_parse("127.0.0.1:53", &addr), 0);
	CHECK_EQ(bind(fd, &addr.sa, addr_len(&addr)), 0);
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		SKIP("in a chroot, whose / is no mount");
	close(mkstemp(conf));
	write_file(conf, "nameserver 127.0.0.1\n");
	err = mount(conf, "/etc/resolv.conf", NULL, MS_BIND, NULL);
	unlink(conf);
	if (err)
		SKIP("/etc/resolv.conf cannot be replaced");
}

static void slow_names_hold_nothing_up(void)
{
	struct boot_target named = {
		.purpose = HELLO_CONTROL,
		.key = HELLO_KEY_SHARED,
		.host = "some-name.example:1",
	};
	struct boot_target target;
	uint64_t start_ns;
	struct end a;

	make_deaf_name_server();
	prepare(&a, "anna");
	a.params.shared_secret = "a phrase";
	open_end(&a);
	for (int i = 0; i < 10; i++)
		CHECK_EQ(boot_connect(a.boot, &named, 1, 700), 0);
	boot_run(a.boot, 0);
	target = target_of(&a);
	start_ns = clock_now_ns();
	CHECK_EQ(boot_connect(a.boot, &target, 2, 600), 0);
	drive(&a, NULL, &a.n_connected, 1);
	CHECK_EQ(a.cookie, 2);
	CHECK_STATUS(a.status, 0);
	drive(&a, NULL, &a.n_connected, 11);
	CHECK_STATUS(a.status, TCPX_EUNREACHABLE);
	CHECK(strstr(a.cause, "some-name.example"));
	CHECK(strstr(a.cause, "name server"));
	CHECK(clock_now_ns() - start_ns < 3 * NS_PER_S);
	start_ns = clock_now_ns();
	close_end(&a);
	CHECK(clock_now_ns() - start_ns < NS_PER_S);
}

/* Names being looked up when all is closed: nothing waits, nothing leaks. */
static void closes_amid_names(void)
{
	struct boot_target target = {
		.purpose = HELLO_CONTROL,
		.key = HELLO_KEY_SHARED,
		.host = "slow-name.invalid:1",
	};
	uint64_t start_ns;
	struct end a;

	prepare(&a, "anna");
	a.params.shared_secret = "a phrase";
	open_end(&a);
	for (int i = 0; i < 20; i++)
		CHECK_EQ(boot_connect(a.boot, &target, 1, 5000), 0);
	boot_run(a.boot, 0);
	start_ns = clock_now_ns();
	close_end(&a);
	CHECK(clock_now_ns() - start_ns < NS_PER_S);
	CHECK_EQ(a.n_connected, 0);
}

/* One attempt and no more: what comes of it is said at once, and not when the
 * hour is over. */
static void one_attempt(void)
{
	struct boot_target target;
	struct end a, b;

	pair_up(&a, &b);
	target = target_of(&b);
	target.once = true;
	close_end(&b);
	CHECK_EQ(boot_connect(a.boot, &target, 1, 3600 * 1000), 0);
	drive(&a, NULL, &a.n_connected, 1);
	CHECK_STATUS(a.status, TCPX_EREFUSED);
	close_end(&a);
}

/* A control connection resumed: token and attempt reach who admits it, and who
 * connects is asked whether it goes on. */
static void resumed(void)
{
	struct boot_target target;
	struct end a, b;

	pair_up(&a, &b);
	target = target_of(&b);
	target.purpose = HELLO_RESUME;
	target.token = 4711;
	target.generation = 3;
	CHECK_EQ(boot_connect(a.boot, &target, 1, 3000), 0);
	drive(&a, &b, &b.n_accepted, 1);
	drive(&a, &b, &a.n_connected, 1);
	CHECK_STATUS(a.status, 0);
	CHECK_EQ(a.n_met, 1);
	CHECK_EQ(b.in.purpose, HELLO_RESUME);
	CHECK_EQ(b.in.token, 4711);
	CHECK_EQ(b.in.generation, 3);
	a.met_status = TCPX_EBUSY;
	CHECK_EQ(boot_connect(a.boot, &target, 2, 3000), 0);
	drive(&a, &b, &a.n_connected, 2);
	CHECK_STATUS(a.status, TCPX_EBUSY);
	CHECK_EQ(b.n_accepted, 1);
	close_end(&a);
	close_end(&b);
}

static void wrong_secret(void)
{
	struct boot_target target;
	struct end a, b;

	pair_up(&a, &b);
	target = target_of(&b);
	target.secret[0] ^= 1;
	CHECK_EQ(boot_connect(a.boot, &target, 1, 3000), 0);
	drive(&a, &b, &a.n_connected, 1);
	CHECK_STATUS(a.status, TCPX_EAUTH);
	CHECK(strstr(a.cause, "another secret"));
	drive(&a, &b, &b.n_lines, 1);
	CHECK(strstr(b.line, "another secret"));
	CHECK(strstr(b.line, "anna"));
	for (int i = 0; i < 10; i++)
		boot_run(b.boot, 5);
	CHECK_EQ(b.n_lines, 1);
	CHECK_EQ(b.n_admits, 0);
	close_end(&a);
	close_end(&b);
}

static void wrong_key_kind(void)
{
	struct boot_target target;
	struct end a, b;

	prepare(&a, "anna");
	prepare(&b, "berta");
	a.params.shared_secret = "only anna has one";
	open_end(&a);
	open_end(&b);
	target = target_of(&b);
	CHECK_STATUS(
		boot_connect(b.boot,
			     &(struct boot_target){.purpose = HELLO_CONTROL,
						   .key = HELLO_KEY_SHARED},
			     9, 0),
		TCPX_EINVAL);
	target.key = HELLO_KEY_SHARED;
	CHECK_EQ(boot_connect(a.boot, &target, 1, 3000), 0);
	drive(&a, &b, &a.n_connected, 1);
	CHECK_STATUS(a.status, TCPX_EAUTH);
	CHECK(strstr(a.cause, "no shared secret is set here"));
	drive(&a, &b, &b.n_lines, 1);
	CHECK_EQ(b.n_lines, 1);
	close_end(&a);
	close_end(&b);
}

static void wrong_session(void)
{
	struct boot_target target;
	struct end a, b;

	pair_up(&a, &b);
	target = target_of(&b);
	target.session[5] ^= 1;
	CHECK_EQ(boot_connect(a.boot, &target, 1, 3000), 0);
	drive(&a, &b, &a.n_connected, 1);
	CHECK_STATUS(a.status, TCPX_ENOENT);
	CHECK(strstr(a.cause, "another session listens here now"));
	close_end(&a);
	close_end(&b);
}

static void owner_refuses(void)
{
	struct boot_target target;
	struct end a, b;

	pair_up(&a, &b);
	b.admit_status = TCPX_EBUSY;
	target = target_of(&b);
	CHECK_EQ(boot_connect(a.boot, &target, 1, 3000), 0);
	drive(&a, &b, &a.n_connected, 1);
	CHECK_STATUS(a.status, TCPX_EBUSY);
	CHECK(strstr(a.cause, "not you"));
	CHECK_EQ(b.n_admits, 1);
	CHECK_EQ(b.n_accepted + b.n_dropped + b.n_lines, 0);
	close_end(&a);
	close_end(&b);
}

/* ---- nobody there, or nobody who speaks -------------------------------- */

static int plain_socket(struct net_addr *addr, bool listens)
{
	socklen_t len = sizeof(*addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(addr, 0, sizeof(*addr));
	CHECK_EQ(addr_parse("127.0.0.1:0", addr), 0);
	CHECK_EQ(bind(fd, &addr->sa, addr_len(addr)), 0);
	CHECK(!listens || listen(fd, 5) == 0);
	CHECK_EQ(getsockname(fd, &addr->sa, &len), 0);
	return fd;
}

static void refused_until_deadline(void)
{
	struct boot_target target;
	uint64_t took_ns;
	struct end a;
	int fd;

	prepare(&a, "anna");
	open_end(&a);
	target = target_of(&a);
	fd = plain_socket(&target.addr, false); /* the port stays taken */
	took_ns = clock_now_ns();
	CHECK_EQ(boot_connect(a.boot, &target, 1, 400), 0);
	drive(&a, NULL, &a.n_connected, 1);
	took_ns = clock_now_ns() - took_ns;
	CHECK_STATUS(a.status, TCPX_EREFUSED);
	CHECK(strstr(a.cause, "127.0.0.1:"));
	CHECK(took_ns > 390 * NS_PER_MS && took_ns < 3 * NS_PER_S);
	close(fd);
	close_end(&a);
}

static void comes_up_late(void)
{
	struct boot_target target;
	struct net_addr addr;
	struct end a, b;
	int fd;

	prepare(&a, "anna");
	prepare(&b, "berta");
	open_end(&a);
	fd = plain_socket(&addr, false);
	target = (struct boot_target){
		.purpose = HELLO_CONTROL, .key = HELLO_KEY_BLOB, .addr = addr};
	memcpy(target.secret, b.params.secret, SECRET_BYTES);
	CHECK_EQ(boot_connect(a.boot, &target, 1, 10000), 0);
	for (int i = 0; i < 20; i++)
		boot_run(a.boot, 10);
	CHECK_EQ(a.n_connected, 0);
	close(fd);
	b.params.bind = "127.0.0.1";
	b.params.port_first = b.params.port_last = addr_port(&addr);
	open_end(&b);
	drive(&a, &b, &a.n_connected, 1);
	CHECK_STATUS(a.status, 0);
	close_end(&a);
	close_end(&b);
}

static void silent_listener(void)
{
	struct boot_target target;
	uint64_t took_ns;
	struct end a;
	int fd;

	prepare(&a, "anna");
	open_end(&a);
	target = target_of(&a);
	fd = plain_socket(&target.addr, true);
	took_ns = clock_now_ns();
	CHECK_EQ(boot_connect(a.boot, &target, 1, 300), 0);
	drive(&a, NULL, &a.n_connected, 1);
	took_ns = clock_now_ns() - took_ns;
	CHECK_STATUS(a.status, TCPX_ELIVENESS);
	CHECK(strstr(a.cause, "does not answer"));
	CHECK(took_ns < 3 * NS_PER_S);
	close(fd);
	close_end(&a);
}

static void another_protocol(void)
{
	struct boot_target target;
	struct end a;
	int fd, conn;

	prepare(&a, "anna");
	open_end(&a);
	target = target_of(&a);
	fd = plain_socket(&target.addr, true);
	CHECK_EQ(boot_connect(a.boot, &target, 1, 5000), 0);
	for (int i = 0; i < 20; i++)
		boot_run(a.boot, 2);
	conn = accept(fd, NULL, NULL);
	CHECK(conn >= 0);
	CHECK(write(conn, "220 mail.example ESMTP\r\n", 24) == 24);
	drive(&a, NULL, &a.n_connected, 1);
	CHECK_STATUS(a.status, TCPX_EPROTO);
	CHECK(strstr(a.cause, "32 32 30 20"));
	close(conn);
	close(fd);
	close_end(&a);
}

static void cancels(void)
{
	struct boot_target target;
	struct end a;
	int fd;

	prepare(&a, "anna");
	open_end(&a);
	target = target_of(&a);
	fd = plain_socket(&target.addr, true);
	CHECK_EQ(boot_connect(a.boot, &target, 7, 20000), 0);
	for (int i = 0; i < 10; i++)
		boot_run(a.boot, 2);
	boot_cancel(a.boot, 8); /* another one */
	boot_run(a.boot, 10);
	CHECK_EQ(a.n_connected, 0);
	boot_cancel(a.boot, 7);
	boot_run(a.boot, 1000);
	CHECK_EQ(a.n_connected, 1);
	CHECK_STATUS(a.status, TCPX_ECANCELED);
	CHECK_EQ(a.cookie, 7);
	close(fd);
	close_end(&a);
}

/* ---- the port ---------------------------------------------------------- */

static void port_range(void)
{
	struct net_addr addr;
	struct end a, b, c;
	int fd = plain_socket(&addr, true);
	uint16_t first = addr_port(&addr);

	if (first > 65530)
		SKIP("an unlucky port");
	prepare(&a, "anna");
	a.params.bind = "127.0.0.1";
	a.params.port_first = first;
	a.params.port_last = (uint16_t)(first + 3);
	open_end(&a);
	CHECK(boot_port(a.boot) > first && boot_port(a.boot) <= first + 3);

	prepare(&b, "berta");
	b.params.bind = "127.0.0.1";
	b.params.port_first = b.params.port_last = first;
	CHECK_STATUS(boot_open(&b.params, &ops, &b, &b.boot),
		     TCPX_EUNREACHABLE);
	CHECK_EQ(b.n_lines, 1);
	CHECK(strstr(b.line, "in use"));

	prepare(&c, "carla");
	c.params.bind = "192.0.2.77"; /* nobody's */
	CHECK_STATUS(boot_open(&c.params, &ops, &c, &c.boot),
		     TCPX_EUNREACHABLE);
	CHECK(strstr(c.line, "192.0.2.77"));
	c.params.bind = "not-an-address";
	CHECK_STATUS(boot_open(&c.params, &ops, &c, &c.boot),
		     TCPX_EUNREACHABLE);
	CHECK(strstr(c.line, "not-an-address"));
	close(fd);
	close_end(&a);
}

/* ---- threads ----------------------------------------------------------- */

static void *loop_thread(void *arg)
{
	struct end *end = arg;

	while (end->n_connected < 400)
		boot_run(end->boot, -1);
	return NULL;
}

static void *asking_thread(void *arg)
{
	struct end *end = arg;
	struct boot_target target = target_of(end);

	for (int i = 0; i < 100; i++) {
		CHECK_EQ(boot_connect(end->boot, &target, 5, 10000), 0);
		if (i % 3 == 0)
			boot_cancel(end->boot, 5);
		if (i % 5 == 0)
			boot_wake(end->boot);
	}
	return NULL;
}

static void asked_from_many_threads(void)
{
	pthread_t loop, asking[4];
	struct end a;

	want_fds(2048);
	prepare(&a, "anna");
	open_end(&a);
	pthread_create(&loop, NULL, loop_thread, &a);
	for (int i = 0; i < 4; i++)
		pthread_create(&asking[i], NULL, asking_thread, &a);
	for (int i = 0; i < 4; i++)
		pthread_join(asking[i], NULL);
	pthread_join(loop, NULL);
	CHECK_EQ(a.n_connected, 400);
	close_end(&a);
}

static void wakes_up(void)
{
	uint64_t start_ns = clock_now_ns();
	struct end a;

	prepare(&a, "anna");
	open_end(&a);
	boot_wake(a.boot);
	boot_run(a.boot, 20000);
	CHECK(clock_now_ns() - start_ns < 10 * NS_PER_S);
	start_ns = clock_now_ns();
	boot_run(a.boot, 50);
	CHECK(clock_now_ns() - start_ns >= 45 * NS_PER_MS);
	close_end(&a);
}

/* Who is not wanted any more, once it is known who it is, is left before we
 * prove that we may connect. The listener is told, and does not warn. */
static void met_and_left(void)
{
	struct boot_target target;
	struct end a, b;

	pair_up(&a, &b);
	a.met_status = TCPX_EBUSY;
	target = target_of(&b);
	CHECK_EQ(boot_connect(a.boot, &target, 42, 3000), 0);
	drive(&a, &b, &a.n_connected, 1);
	CHECK_STATUS(a.status, TCPX_EBUSY);
	CHECK_EQ(a.cookie, 42);
	CHECK_EQ(a.n_met, 1);
	/* By the time the next one is in, b has seen the first go. */
	a.met_status = 0;
	CHECK_EQ(boot_connect(a.boot, &target, 43, 3000), 0);
	drive(&a, &b, &a.n_connected, 2);
	drive(&a, &b, &b.n_accepted, 1);
	CHECK_STATUS(a.status, 0);
	CHECK_EQ(a.n_met, 2);
	CHECK_EQ(b.n_admits, 1);
	CHECK_EQ(b.n_dropped, 0);
	CHECK_EQ(b.n_lines, 0);
	close_end(&a);
	close_end(&b);
}

static const struct check_case cases[] = {
	{"connects", connects, 0},
	{"met_and_left", met_and_left, 0},
	{"leaves_what_follows", leaves_what_follows, 0},
	{"connects_to_itself", connects_to_itself, 0},
	{"ipv6", ipv6, 0},
	{"dual_stack", dual_stack, 0},
	{"by_name", by_name, 0},
	{"by_numeric_host", by_numeric_host, 0},
	{"leaves_from", leaves_from, 0},
	{"slow_names_hold_nothing_up", slow_names_hold_nothing_up, 0},
	{"closes_amid_names", closes_amid_names, 0},
	{"one_attempt", one_attempt, 0},
	{"resumed", resumed, 0},
	{"wrong_secret", wrong_secret, 0},
	{"wrong_key_kind", wrong_key_kind, 0},
	{"wrong_session", wrong_session, 0},
	{"owner_refuses", owner_refuses, 0},
	{"refused_until_deadline", refused_until_deadline, 0},
	{"comes_up_late", comes_up_late, 0},
	{"silent_listener", silent_listener, 0},
	{"another_protocol", another_protocol, 0},
	{"cancels", cancels, 0},
	{"port_range", port_range, 0},
	{"asked_from_many_threads", asked_from_many_threads, 60},
	{"wakes_up", wakes_up, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
