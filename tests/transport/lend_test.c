/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Chunks that `socket` lends to the kernel: when their slots are free again,
 * and that nobody reads one that is used anew. The contract suite runs over
 * them too (contract-socket-lent).
 */

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "contract.h"
#include "gpu/gpu.h"
#include "transport/socket/socket.h"

#define LEN_BYTES (256u << 10)

static struct subject subject;
static int fds[2]; /* what a case has not adopted is its own */

struct side {
	struct channel *tx, *rx;
	uint64_t posted;
};

static void open_all(const char *lend_bytes)
{
	setenv("TRANSPORT", "socket", 1);
	setenv("TRANSPORT_GPU", "host", 1);
	setenv("TCPX_SOCKET_LEND_BYTES", lend_bytes, 1);
	subject_open(&subject, LEN_BYTES);
	CHECK(subject.pins);
	subject_sockets(&subject, fds);
}

static void adopt(int fd, struct side *side)
{
	*side = (struct side){0};
	CHECK_STATUS(subject.ops->adopt(subject.transport, fd, &side->tx,
					&side->rx),
		     TCPX_OK);
}

static void close_side(struct side *side)
{
	subject.ops->channel_close(side->tx);
	subject.ops->channel_close(side->rx);
}

static int get_slot(struct side *side, void **slot)
{
	return subject.ops->slot_get(side->tx, subject.pins, slot);
}

static int send_slot(struct side *side, void *slot)
{
	uint64_t k = side->posted;
	struct chunk_desc desc = {.seq = k, .len_bytes = LEN_BYTES};
	struct span span = {slot, LEN_BYTES};

	memcpy(slot, pattern(k, 0), LEN_BYTES);
	int status = subject.ops->post_send(side->tx, &desc, &span, 1, k);

	side->posted += !status;
	return status;
}

static void send_one(struct side *side)
{
	void *slot;

	CHECK_STATUS(get_slot(side, &slot), TCPX_OK);
	CHECK_STATUS(send_slot(side, slot), TCPX_OK);
}

/* How many SENT there were; failed is the status of FAILED. */
static int poll_tx(struct side *side, int *failed)
{
	struct channel_event events[TRANSPORT_EVENTS_MAX];
	int n = subject.ops->poll(side->tx, events, TRANSPORT_EVENTS_MAX);
	int sent = 0;

	for (int i = 0; i < n; i++) {
		if (events[i].kind == CHANNEL_FAILED)
			*failed = events[i].status;
		else
			sent++;
	}
	return sent;
}

/* Until n chunks have arrived whole, or it has failed; returns how many. */
static uint64_t receive(struct side *side, uint64_t n, struct side *other,
			int *failed)
{
	uint64_t arrived = 0;

	for (uint64_t k = 0; k < n; k++)
		CHECK_STATUS(subject.ops->post_recv(side->rx, k), TCPX_OK);
	while (arrived < n && !*failed) {
		struct channel_event event;

		if (other)
			poll_tx(other, failed);
		if (!subject.ops->poll(side->rx, &event, 1))
			continue;
		if (event.kind == CHANNEL_ANNOUNCED) {
			CHECK_STATUS(subject.ops->bind(side->rx, event.cookie,
						       NULL, 0, LEN_BYTES,
						       subject.pins),
				     TCPX_OK);
		} else if (event.kind == CHANNEL_ARRIVED) {
			check_bytes(event.base, arrived, 0, LEN_BYTES);
			CHECK_STATUS(subject.ops->consume(side->rx,
							  event.cookie),
				     TCPX_OK);
			arrived++;
		} else {
			*failed = event.status;
		}
	}
	return arrived;
}

/* Pushes all of it into the socket: the kernel could take it, nobody reads. */
static void push_unread(struct side *side)
{
	int failed = 0;

	for (int i = 0; i < 100; i++) {
		CHECK_EQ(poll_tx(side, &failed), 0);
		usleep(1000);
	}
	CHECK_EQ(failed, 0);
}

/* ---- cases ------------------------------------------------------------- */

static void sent_when_taken(void)
{
	struct side a, b;
	uint32_t events = 0;
	int failed = 0;

	open_all("64K");
	adopt(fds[0], &a);
	adopt(fds[1], &b);
	send_one(&a);
	push_unread(&a);
	CHECK_EQ(receive(&b, 1, &a, &failed), 1);
	/* What says so lies in the socket, and would wake who sleeps on it. */
	struct pollfd wait = {.fd = subject.ops->wait_fd(a.tx, &events)};

	CHECK(events);
	wait.events = POLLIN;
	CHECK_EQ(poll(&wait, 1, 10000), 1);
	CHECK_EQ(poll_tx(&a, &failed), 1);
	close_side(&a);
	close_side(&b);
	subject_close(&subject);
}

static void copied_at_once(const char *lend_bytes)
{
	struct side a, b;
	int failed = 0, sent = 0;

	open_all(lend_bytes);
	adopt(fds[0], &a);
	adopt(fds[1], &b);
	/* Between them they hold all of it. */
	int bytes = LEN_BYTES;
	for (int i = 0; i < 2; i++)
		CHECK_EQ(setsockopt(fds[i], SOL_SOCKET,
				    i ? SO_RCVBUF : SO_SNDBUF, &bytes,
				    sizeof(bytes)),
			 0);
	send_one(&a);
	while (!sent)
		sent = poll_tx(&a, &failed);
	CHECK_EQ(receive(&b, 1, NULL, &failed), 1);
	close_side(&a);
	close_side(&b);
	subject_close(&subject);
}

static void not_lent(void)
{
	copied_at_once("0");
}

static void too_short_to_lend(void)
{
	copied_at_once("512K");
}

static void both_ways(void)
{
	struct side a, b;
	int failed = 0;

	open_all("1");
	adopt(fds[0], &a);
	adopt(fds[1], &b);
	uint64_t sent_a = 0, sent_b = 0, got_a = 0, got_b = 0;
	const uint64_t n = 40;
	struct side *sides[2] = {&a, &b};
	uint64_t *sent[2] = {&sent_a, &sent_b}, *got[2] = {&got_a, &got_b};
	uint64_t granted[2] = {0, 0};

	while (sent_a < n || sent_b < n || got_a < n || got_b < n) {
		for (int i = 0; i < 2; i++) {
			struct side *s = sides[i];
			struct channel_event event;
			void *slot;

			while (granted[i] < n &&
			       !subject.ops->post_recv(s->rx, granted[i]))
				granted[i]++;
			if (s->posted < n && !get_slot(s, &slot))
				CHECK_STATUS(send_slot(s, slot), TCPX_OK);
			*sent[i] += (uint64_t)poll_tx(s, &failed);
			if (!subject.ops->poll(s->rx, &event, 1))
				continue;
			CHECK(event.kind != CHANNEL_FAILED);
			if (event.kind == CHANNEL_ANNOUNCED) {
				CHECK_STATUS(subject.ops->bind(
						     s->rx, event.cookie, NULL,
						     0, LEN_BYTES, NULL),
					     TCPX_OK);
				continue;
			}
			check_bytes(event.base, (*got[i])++, 0, LEN_BYTES);
			CHECK_STATUS(subject.ops->consume(s->rx, event.cookie),
				     TCPX_OK);
		}
	}
	CHECK_EQ(failed, 0);
	close_side(&a);
	close_side(&b);
	subject_close(&subject);
}

/* Who waits to be told looks at the stream, in which a chunk comes first: whose
 * reader has to be woken by it all the same. */
static void chunk_comes_first(void)
{
	struct side a, b;
	uint32_t events = 0;
	int failed = 0, sent = 0;

	open_all("64K");
	adopt(fds[0], &a);
	adopt(fds[1], &b);
	send_one(&b);
	poll_tx(&b, &failed);
	send_one(&a);
	CHECK_EQ(receive(&b, 1, &a, &failed), 1);
	for (int i = 0; i < 100; i++) {
		CHECK_EQ(poll_tx(&a, &failed), 0);
		usleep(1000);
	}
	CHECK(subject.ops->wait_fd(a.rx, &events) >= 0);
	CHECK(events & POLLIN);
	CHECK_EQ(receive(&a, 1, &b, &failed), 1);
	while (!sent) {
		struct channel_event none;

		poll_tx(&b, &failed);
		CHECK_EQ(subject.ops->poll(a.rx, &none, 1), 0);
		sent = poll_tx(&a, &failed);
	}
	CHECK_EQ(failed, 0);
	close_side(&a);
	close_side(&b);
	subject_close(&subject);
}

/* The next chunk is announced and goes to memory of the transport's own; other
 * sends it, or a case by hand. */
static void bind_next(struct side *side, struct side *other)
{
	struct channel_event event;
	int failed = 0;

	while (!subject.ops->poll(side->rx, &event, 1))
		if (other)
			poll_tx(other, &failed);
	CHECK_EQ(event.kind, CHANNEL_ANNOUNCED);
	CHECK_STATUS(subject.ops->bind(side->rx, event.cookie, NULL, 0,
				       LEN_BYTES, subject.pins),
		     TCPX_OK);
}

#define SLOTS_MAX 64

/* All that can be had to send from. */
static uint32_t take_slots(void *slots[SLOTS_MAX])
{
	uint32_t n = 0;

	while (n < SLOTS_MAX &&
	       !gpu_slot_get(subject.pins, GPU_SLOT_SEND, &slots[n]))
		n++;
	return n;
}

static void give_slots(void *slots[SLOTS_MAX], uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		gpu_slot_put(subject.pins, GPU_SLOT_SEND, slots[i]);
}

static uint32_t count_slots(void)
{
	void *slots[SLOTS_MAX];
	uint32_t n = take_slots(slots);

	give_slots(slots, n);
	return n;
}

static void closed_while_lent(void)
{
	struct side a, b, c, d;
	int failed = 0;
	void *slot;

	open_all("1");
	adopt(fds[0], &a);
	adopt(fds[1], &b);
	uint32_t all = count_slots();

	send_one(&a);
	push_unread(&a);
	close_side(&a);
	/* It is nobody's: what is used anew must not be read by the other end,
	 * which has not read it yet. */
	CHECK_EQ(count_slots(), all - 1);
	CHECK_EQ(receive(&b, 1, NULL, &failed), 0);
	CHECK_STATUS(failed, TCPX_ECLOSED);
	close_side(&b);
	subject_sockets(&subject, fds);
	adopt(fds[0], &c);
	adopt(fds[1], &d);
	while (count_slots() < all) {
		usleep(10000);
		if (!get_slot(&c, &slot))
			subject.ops->slot_put(c.tx, slot);
	}
	close_side(&c);
	close_side(&d);
	subject_close(&subject);
}

/* In the middle of one that is being read. */
static void reset_while_read(void)
{
	struct side a, b;
	struct channel_event event;

	open_all("1");
	int bytes = 16 << 10; /* it cannot be there as a whole */
	CHECK_EQ(setsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, &bytes,
			    sizeof(bytes)),
		 0);
	adopt(fds[0], &a);
	adopt(fds[1], &b);
	CHECK_STATUS(subject.ops->post_recv(b.rx, 0), TCPX_OK);
	send_one(&a);
	bind_next(&b, &a);
	CHECK_EQ(subject.ops->poll(b.rx, &event, 1), 0);
	close_side(&a);
	while (!subject.ops->poll(b.rx, &event, 1))
		;
	CHECK_EQ(event.kind, CHANNEL_FAILED);
	CHECK_STATUS(event.status, TCPX_ECLOSED);
	close_side(&b);
	subject_close(&subject);
}

/* The other end has gone: no signal, and a status. */
static void nobody_there(void)
{
	struct side a;
	int failed = 0;

	open_all("1");
	adopt(fds[0], &a);
	send_one(&a);
	close(fds[1]);
	while (!failed) {
		void *slot;

		if (!get_slot(&a, &slot) && send_slot(&a, slot))
			subject.ops->slot_put(a.tx, slot);
		poll_tx(&a, &failed);
	}
	CHECK_STATUS(failed, TCPX_ECLOSED);
	close_side(&a);
	subject_close(&subject);
}

/* ---- ends ----------------------------------------------------------------- */

/* All slots to send from are written anew, as the next users of them would. */
static void write_all_slots(uint8_t byte)
{
	void *slots[SLOTS_MAX];
	uint32_t n = take_slots(slots);

	for (uint32_t i = 0; i < n; i++)
		memset(slots[i], byte, LEN_BYTES);
	give_slots(slots, n);
}

/* So that the kernel takes all of a chunk that nobody reads. */
static void make_room(void)
{
	int bytes = 4 * LEN_BYTES;

	for (int i = 0; i < 2; i++)
		CHECK_EQ(setsockopt(fds[i], SOL_SOCKET,
				    i ? SO_RCVBUF : SO_SNDBUF, &bytes,
				    sizeof(bytes)),
			 0);
}

/* A child of the program holds the socket, too: the end is a reset all the
 * same. The other end was stopped for long. */
static void closed_with_a_child(void)
{
	struct side a, b, c, d;
	int failed = 0;
	void *slot;

	open_all("1");
	adopt(fds[0], &a);
	adopt(fds[1], &b);
	make_room();
	pid_t child = fork();

	CHECK(child >= 0);
	if (!child) {
		sleep(20);
		_exit(0);
	}
	send_one(&a);
	push_unread(&a);
	close_side(&a);
	usleep(1200000);
	subject_sockets(&subject, fds);
	adopt(fds[0], &c);
	adopt(fds[1], &d);
	CHECK_STATUS(get_slot(&c, &slot), TCPX_OK); /* ends the rest */
	subject.ops->slot_put(c.tx, slot);
	write_all_slots(0xee);
	uint64_t got = receive(&b, 1, NULL, &failed); /* checks the bytes */

	kill(child, SIGKILL);
	CHECK_EQ(got, 0);
	CHECK_STATUS(failed, TCPX_ECLOSED);
	close_side(&b);
	close_side(&c);
	close_side(&d);
	subject_close(&subject);
}

/* The engine takes slots of its own (lifting.c), no channel's. */
static void rested_for_all(void)
{
	struct side a;
	uint32_t all, i;

	open_all("1");
	adopt(fds[0], &a);
	all = count_slots();
	send_one(&a);
	push_unread(&a);
	close_side(&a);
	for (i = 0; i < 300 && count_slots() < all; i++)
		usleep(10000);
	CHECK_EQ(count_slots(), all);
	close(fds[1]);
	subject_close(&subject);
}

/* A loopback interface of our own, on which nothing else goes. */
static void enter_own_net(void)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};

	if (unshare(CLONE_NEWNET))
		SKIP("no network namespaces");
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	CHECK_EQ(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
	close(fd);
}

/* ICMP "host unreachable" about a segment that goes out of fd: TCP notes it,
 * and goes on. */
static void send_unreachable(int fd)
{
	struct sockaddr_in me = {0}, to = {.sin_family = AF_INET};
	socklen_t len = sizeof(me);
	struct sockaddr_ll lo = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(ETH_P_IP),
				 .sll_ifindex = (int)if_nametoindex("lo")};
	int tap = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));
	int raw = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	uint8_t packet[2048], icmp[8 + 28] = {3, 1};
	uint32_t sum = 0;

	CHECK(tap >= 0 && raw >= 0);
	CHECK_EQ(bind(tap, (struct sockaddr *)&lo, sizeof(lo)), 0);
	CHECK_EQ(getsockname(fd, (struct sockaddr *)&me, &len), 0);
	CHECK_EQ(write(fd, packet, 1), 1);
	do
		CHECK(recv(tap, packet, sizeof(packet), 0) >= 40);
	while (packet[9] != IPPROTO_TCP ||
	       memcmp(&packet[20], &me.sin_port, 2));
	packet[27]++; /* the next byte, which is not acknowledged */
	memcpy(icmp + 8, packet, 28);
	for (size_t i = 0; i < sizeof(icmp); i += 2)
		sum += (uint32_t)icmp[i] << 8 | icmp[i + 1];
	sum = (sum >> 16) + (sum & 0xffff);
	sum = ~(sum + (sum >> 16)) & 0xffff;
	icmp[2] = (uint8_t)(sum >> 8);
	icmp[3] = (uint8_t)sum;
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK_EQ(sendto(raw, icmp, sizeof(icmp), 0, (struct sockaddr *)&to,
			sizeof(to)),
		 (ssize_t)sizeof(icmp));
	usleep(10000);
	close(tap);
	close(raw);
}

/* What TCP rides out is no reset. fds[1] is the other end, by hand. */
static void no_reset(void)
{
	static uint8_t bytes[LEN_BYTES];
	struct chunk_desc desc = {.len_bytes = LEN_BYTES, .flags = CHUNK_LENT};
	uint8_t header[CHUNK_DESC_BYTES];
	struct channel_event event;
	struct side a;
	int n;

	enter_own_net();
	open_all("1");
	adopt(fds[0], &a);
	CHECK_STATUS(subject.ops->post_recv(a.rx, 0), TCPX_OK);
	chunk_desc_encode(&desc, header);
	CHECK_EQ(write(fds[1], header, sizeof(header)), sizeof(header));
	bind_next(&a, NULL);
	CHECK_EQ(send(fds[1], bytes, 1000, 0), 1000);
	send_unreachable(fds[0]);
	n = subject.ops->poll(a.rx, &event, 1);
	if (n && event.kind == CHANNEL_FAILED) {
		fprintf(stderr, "# %s\n", event.cause);
		CHECK(event.kind != CHANNEL_FAILED);
	}
	CHECK_EQ(n, 0);
	close(fds[1]);
	close_side(&a);
	subject_close(&subject);
}

/* Which of the two channels is closed first is the owner's matter; nobody would
 * hear what was taken. */
static void receiver_closed_first(void)
{
	struct side a;
	int failed = 0;

	open_all("1");
	adopt(fds[0], &a);
	send_one(&a);
	subject.ops->channel_close(a.rx);
	while (!failed)
		CHECK_EQ(poll_tx(&a, &failed), 0);
	CHECK_STATUS(failed, TCPX_ECHANNEL);
	subject.ops->channel_close(a.tx);
	close(fds[1]);
	subject_close(&subject);
}

/* The other end reads all, and never says so: it keeps slots for a while, and no
 * longer once they are short. */
static void says_nothing(void)
{
	static uint8_t bytes[CHUNK_DESC_BYTES + LEN_BYTES];
	void *slots[SLOTS_MAX];
	struct side a, c;
	int failed = 0;

	open_all("1");
	subject.transport->told_ms = 300;
	adopt(fds[0], &a);
	send_one(&a);
	for (size_t at = 0; at < sizeof(bytes);) {
		ssize_t got = recv(fds[1], bytes + at, sizeof(bytes) - at,
				   MSG_DONTWAIT);

		at += got > 0 ? (size_t)got : 0;
		CHECK_EQ(poll_tx(&a, &failed), 0);
	}
	for (int i = 0; i < 50; i++) {
		usleep(10000);
		CHECK_EQ(poll_tx(&a, &failed), 0);
	}
	CHECK_EQ(failed, 0); /* nobody needs them */
	int first[2] = {fds[0], fds[1]};
	subject_sockets(&subject, fds);
	adopt(fds[0], &c);
	uint32_t n = take_slots(slots);

	while (!failed) {
		void *slot;

		CHECK_STATUS(get_slot(&c, &slot), TCPX_EAGAIN);
		poll_tx(&a, &failed);
	}
	CHECK_STATUS(failed, TCPX_ECHANNEL);
	give_slots(slots, n);
	close(first[1]);
	close(fds[1]);
	close_side(&a);
	close_side(&c);
	subject_close(&subject);
}

/* ---- what the other end may say ------------------------------------------- */

static void expect_protocol_error(const uint8_t *record, bool lend)
{
	struct side a;
	int failed = 0;

	open_all("1");
	adopt(fds[0], &a);
	if (lend)
		send_one(&a);
	CHECK_EQ(write(fds[1], record, CHUNK_DESC_BYTES), CHUNK_DESC_BYTES);
	while (!failed) {
		struct channel_event event;

		if (subject.ops->poll(a.rx, &event, 1) &&
		    event.kind == CHANNEL_FAILED)
			failed = event.status;
	}
	CHECK_STATUS(failed, TCPX_EPROTO);
	close(fds[1]);
	close_side(&a);
	subject_close(&subject);
}

static void took_what_was_not_sent(void)
{
	uint8_t record[CHUNK_DESC_BYTES];

	chunk_taken_encode(3, record);
	expect_protocol_error(record, true);
}

/* The kernel here has it all, the other end has not: it would be sent what the
 * slot holds next. */
static void took_before_it_was_there(void)
{
	uint8_t record[CHUNK_DESC_BYTES];
	int failed = 0, much = 4 * LEN_BYTES, little = 4096;
	struct side a;

	open_all("1");
	adopt(fds[0], &a);
	CHECK_EQ(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &much, sizeof(much)),
		 0);
	CHECK_EQ(setsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, &little,
			    sizeof(little)),
		 0);
	send_one(&a);
	push_unread(&a);
	chunk_taken_encode(1, record);
	CHECK_EQ(write(fds[1], record, sizeof(record)), sizeof(record));
	while (!failed)
		CHECK_EQ(poll_tx(&a, &failed), 0);
	CHECK_STATUS(failed, TCPX_EPROTO);
	close(fds[1]);
	close_side(&a);
	subject_close(&subject);
}

static void took_nothing(void)
{
	uint8_t record[CHUNK_DESC_BYTES];

	chunk_taken_encode(0, record);
	expect_protocol_error(record, false);
}

static void says_more(void)
{
	uint8_t record[CHUNK_DESC_BYTES];

	chunk_taken_encode(1, record);
	record[40] = 1;
	expect_protocol_error(record, true);
}

/* ---- where it cannot be done -------------------------------------------- */

static void without_a_pipe(void)
{
	struct rlimit limit;
	struct side a, b;
	int failed = 0, sent = 0;

	open_all("1");
	adopt(fds[0], &a);
	adopt(fds[1], &b);
	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 3;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	send_one(&a);
	CHECK_EQ(receive(&b, 1, &a, &failed), 1);
	/* It was announced as lent, so that is waited for all the same. */
	while (!sent)
		sent = poll_tx(&a, &failed);
	limit.rlim_cur = limit.rlim_max;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	close_side(&a);
	close_side(&b);
	subject_close(&subject);
}

static char logged[256];

static void keep_line(void *arg, enum tcpx_log_level level,
		      const char *subsystem, const char *text)
{
	CHECK_EQ(level, TCPX_LOG_ERROR);
	snprintf(logged, sizeof(logged), "%s: %s", subsystem, text);
}

static void bad_setting(void)
{
	static const struct log log = {
		.fn = keep_line,
		.level = TCPX_LOG_DEBUG,
	};
	struct transport_params params = {.log = &log};
	struct transport *transport;

	setenv("TCPX_SOCKET_LEND_BYTES", "some", 1);
	subject_find(&subject);
	CHECK_STATUS(subject.ops->open(&params, &transport), TCPX_EINVAL);
	CHECK_STR(logged, "socket: TCPX_SOCKET_LEND_BYTES is \"some\", not 0 "
			  "to 1073741824");
}

static const struct check_case cases[] = {
	{"sent_when_taken", sent_when_taken, 0},
	{"not_lent", not_lent, 0},
	{"too_short_to_lend", too_short_to_lend, 0},
	{"both_ways", both_ways, 0},
	{"chunk_comes_first", chunk_comes_first, 0},
	{"closed_while_lent", closed_while_lent, 0},
	{"reset_while_read", reset_while_read, 0},
	{"nobody_there", nobody_there, 0},
	{"closed_with_a_child", closed_with_a_child, 0},
	{"rested_for_all", rested_for_all, 0},
	{"no_reset", no_reset, 0},
	{"receiver_closed_first", receiver_closed_first, 0},
	{"says_nothing", says_nothing, 0},
	{"took_before_it_was_there", took_before_it_was_there, 0},
	{"took_what_was_not_sent", took_what_was_not_sent, 0},
	{"took_nothing", took_nothing, 0},
	{"says_more", says_more, 0},
	{"without_a_pipe", without_a_pipe, 0},
	{"bad_setting", bad_setting, 0},
};

int main(int argc, char **argv)
{
	return check_run(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
