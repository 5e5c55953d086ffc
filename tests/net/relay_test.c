/* SPDX-License-Identifier: Apache-2.0 */
/* The relay itself: what measures others must be measured. */
#include <arpa/inet.h>
#include <sys/socket.h>

#include "check.h"
#include "net/hosts.h"
#include "net/relay.h"
#include "support/scale.h"

static void rates(void)
{
	static const struct {
		const char *text;
		double rate;
	} good[] = {{"0", 0},
		    {"250", 250},
		    {"100K", 1e5},
		    {"1.5M", 1.5e6},
		    {"10g", 1e10}};
	static const char *const bad[] = {"", "K", "x", "1T", "5KK", "-1"};
	double rate = 7;

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		CHECK(shape_parse_rate(good[i].text, &rate));
		CHECK(rate == good[i].rate);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK(!shape_parse_rate(bad[i], &rate));
}

static void queue_order(void)
{
	struct wire_queue queue = {0};
	uint64_t seed = check_seed(), last = 0, last_order = 0;
	struct packet *packet;
	size_t n = 0;

	for (uint32_t i = 0; i < 5000; i++)
		CHECK(wire_queue_push(&queue, &i, 4, check_rand(&seed) % 500,
				      1 << 20));
	CHECK_EQ(queue.n_bytes, 20000);
	CHECK(!wire_queue_push(&queue, &n, 4, 0, 20003));
	while ((packet = wire_queue_pop(&queue, 400))) {
		CHECK(packet->leave_ns >= last && packet->leave_ns <= 400);
		CHECK(packet->leave_ns > last || packet->order >= last_order);
		last = packet->leave_ns;
		last_order = packet->order;
		free(packet);
		n++;
	}
	CHECK(wire_queue_next_ns(&queue) > 400);
	CHECK_EQ(n + queue.n_packets, 5000);
	wire_queue_fini(&queue);
	CHECK(wire_queue_next_ns(&queue) == UINT64_MAX);
}

static void shaping(void)
{
	static struct shape shape = {.rng = 5};
	struct shape_settings settings = {
		.delay_ms = 5, .loss_percent = 10, .queue_ms = 100};
	uint8_t packet[1250] = {0x45, [9] = 6, [20] = 1};
	uint64_t leave, n_lost = 0;

	for (int i = 0; i < 10000; i++) {
		if (!shape_packet(&shape, &settings, packet, 1250, 1000000,
				  &leave))
			n_lost++;
		else
			CHECK_EQ(leave, 6000000);
	}
	CHECK(n_lost > 700 && n_lost < 1300);
	/* 10 Mbit/s: a packet of 10,000 bits is 1 ms; two flows share not. */
	settings =
		(struct shape_settings){.flow_rate_bps = 1e7, .queue_ms = 10};
	for (uint64_t i = 1; i <= 11; i++) {
		CHECK(shape_packet(&shape, &settings, packet, 1250, 0, &leave));
		CHECK_EQ(leave, i * 1000000);
	}
	CHECK(!shape_packet(&shape, &settings, packet, 1250, 0, &leave));
	packet[20] = 2;
	CHECK(shape_packet(&shape, &settings, packet, 1250, 0, &leave));
	CHECK_EQ(leave, 1000000);
}

/* ---- through the kernel ---- */

static struct host a, b;
static struct proc relay;

static int udp_socket(const char *addr, uint16_t port, bool bound)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct timeval limit = {.tv_usec = 500000};

	CHECK_EQ(inet_pton(AF_INET, addr, &to.sin_addr), 1);
	CHECK(!(bound ? bind : connect)(fd, (void *)&to, sizeof(to)));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

/* Sends everything back, in b. */
static void echo(void)
{
	struct sockaddr_in from;
	char buf[2048];
	int fd;

	if (fork())
		return;
	host_enter(&b);
	fd = udp_socket("10.9.0.2", 7, true);
	for (;;) {
		socklen_t len = sizeof(from);
		ssize_t n =
			recvfrom(fd, buf, sizeof(buf), 0, (void *)&from, &len);

		if (n > 0)
			sendto(fd, buf, (size_t)n, 0, (void *)&from, len);
	}
}

static int open_line(const char *const options[])
{
	int fd;

	hosts_need_root();
	host_create(&a);
	host_create(&b);
	relay_start(&relay, &a, &b, "10.9.0.1/24", "10.9.0.2/24", options);
	echo();
	host_enter(&a);
	fd = udp_socket("10.9.0.2", 7, false);
	for (int i = 0; i < 100; i++) {
		char byte;

		if (send(fd, "x", 1, 0) == 1 && recv(fd, &byte, 1, 0) == 1)
			return fd;
		test_sleep_ms(10);
	}
	CHECK(!"no echo");
	return fd;
}

static void close_line(void)
{
	CHECK(proc_ask(&relay, "quit"));
	CHECK_EQ(proc_stop(&relay), 0);
	host_destroy(&a);
	host_destroy(&b);
}

static uint64_t ping_ns(int fd)
{
	uint64_t start = test_now_ns();
	char byte;

	CHECK_EQ(send(fd, "x", 1, 0), 1);
	if (recv(fd, &byte, 1, 0) != 1)
		return 0;
	return test_now_ns() - start;
}

static void commands(void)
{
	int fd = open_line(NULL);

	CHECK(ping_ns(fd) > 0);
	CHECK(proc_ask(&relay, "delay 10"));
	for (int i = 0; i < 5; i++)
		CHECK(ping_ns(fd) >= 20000000u);
	CHECK(proc_ask(&relay, "delay 0"));
	CHECK(proc_ask(&relay, "blackhole a-b"));
	CHECK_EQ(ping_ns(fd), 0);
	CHECK(proc_ask(&relay, "blackhole off"));
	CHECK(ping_ns(fd) > 0);
	CHECK(!proc_ask(&relay, "delay soon"));
	CHECK(!proc_ask(&relay, "tea"));
	CHECK(!proc_ask(&relay, "blackhole perhaps"));
	proc_send(&relay, "stats");
	CHECK(strstr(proc_line(&relay, 1000), "dropped"));
	close_line();
}

static void reorders(void)
{
	const char *options[] = {"--jitter", "10", NULL};
	int fd = open_line(options), last = -1, n_late = 0, n = 0, number;

	for (int i = 0; i < 200; i++)
		CHECK_EQ(send(fd, &i, sizeof(i), 0), sizeof(i));
	while (n < 200 && recv(fd, &number, sizeof(number), 0) == 4) {
		n_late += number < last;
		last = number > last ? number : last;
		n++;
	}
	fprintf(stderr, "%d of %d out of order\n", n_late, n);
	CHECK(n > 150);
	CHECK(n_late > 20);
	close_line();
}

static const struct check_case cases[] = {
	{"rates", rates, 0},	   {"queue_order", queue_order, 0},
	{"shaping", shaping, 0},   {"commands", commands, 0},
	{"reorders", reorders, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
