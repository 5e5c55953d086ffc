/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "relay.h"

#define PACKET_MAX 65536u
#define QUEUE_MAX_BYTES (256u << 20)
#define BURST 64

/* Packets that come in at `from` and leave at `to`. */
struct lane {
	const char *name;
	int from, to;
	struct wire_queue queue;
	struct shape shape;
	bool blackhole;
	uint64_t n_packets, n_bytes, n_dropped;
};

struct relay {
	struct lane lanes[2]; /* a to b, b to a */
	struct shape_settings settings;
	int control; /* command lines; -1 after their end */
	char line[256];
	size_t line_len;
	bool quit;
	sigset_t sleep_mask;
};

static volatile sig_atomic_t stop_signal;

static const char help_text[] =
	"Usage: relay --a NETNS,DEV,ADDR/LEN[,ADDR/LEN..] --b ... [OPTION..]\n"
	"Makes a TUN device in each of two network namespaces and carries IP\n"
	"packets between them, as slowly and badly as asked. Needs root.\n"
	"NETNS is a name (ip netns), a path (/proc/PID/ns/net) or '-' for here.\n"
	"\n"
	"  --mtu N             of both devices (default 1500, at most 65535)\n"
	"  --delay MS          one way: the round trip gets twice that\n"
	"  --jitter MS[,PCT]   PCT of packets (default 100) wait up to MS more,\n"
	"                      so that they are reordered\n"
	"  --loss PCT          packets dropped at random\n"
	"  --flow-rate BPS     bits a second for each flow, each direction\n"
	"  --link-rate BPS     for all flows of a direction together\n"
	"  --queue MS          how long a rate limit lets packets wait before\n"
	"                      it drops them (default 100)\n"
	"  --seed N            of the random numbers (default 1)\n"
	"  --control PATH      make a FIFO and take commands from it, not from\n"
	"                      standard input\n"
	"\n"
	"Rates take K, M, G (powers of 1000). Prints 'ready' when both devices\n"
	"are up and runs until SIGTERM, SIGINT or 'quit'; the devices go with it.\n"
	"Commands, one a line, each answered by one line on standard output:\n"
	"  delay MS | jitter MS[,PCT] | loss PCT | flow-rate BPS | link-rate BPS\n"
	"  queue MS | blackhole on|off|a-b|b-a | stats | quit\n"
	"\n"
	"Example, 10 ms round trip, 2 Gbit/s a flow:\n"
	"  ip netns add left; ip netns add right\n"
	"  relay --a left,tun0,10.9.0.1/24 --b right,tun0,10.9.0.2/24 \\\n"
	"        --delay 5 --flow-rate 2G --mtu 9000 &\n"
	"  ip netns exec right iperf3 -s -D\n"
	"  ip netns exec left iperf3 -c 10.9.0.2\n";

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void write_packet(struct lane *lane, const void *data, uint32_t len)
{
	if (write(lane->to, data, len) == (ssize_t)len) {
		lane->n_packets++;
		lane->n_bytes += len;
	} else {
		lane->n_dropped++;
	}
}

static void take_packet(struct relay *relay, struct lane *lane,
			const uint8_t *data, uint32_t len)
{
	uint64_t now = now_ns(), leave;

	if (lane->blackhole || !shape_packet(&lane->shape, &relay->settings,
					     data, len, now, &leave)) {
		lane->n_dropped++;
		return;
	}
	if (leave <= now && !lane->queue.n_packets)
		write_packet(lane, data, len);
	else if (!wire_queue_push(&lane->queue, data, len, leave,
				  QUEUE_MAX_BYTES))
		lane->n_dropped++;
}

static void read_packets(struct relay *relay, struct lane *lane)
{
	static uint8_t data[PACKET_MAX];

	for (int i = 0; i < BURST; i++) {
		ssize_t n = read(lane->from, data, sizeof(data));

		if (n <= 0)
			return;
		take_packet(relay, lane, data, (uint32_t)n);
	}
}

static void write_due_packets(struct lane *lane)
{
	uint64_t now = now_ns();
	struct packet *packet;

	while ((packet = wire_queue_pop(&lane->queue, now))) {
		if (lane->blackhole)
			lane->n_dropped++;
		else
			write_packet(lane, packet->data, packet->len_bytes);
		free(packet);
	}
}

static bool parse_number(const char *text, double *value)
{
	char *end;
	double number = strtod(text, &end);

	if (end == text || *end || !(number >= 0))
		return false;
	*value = number;
	return true;
}

static bool parse_jitter(const char *text, struct shape_settings *settings)
{
	char *end;
	double ms = strtod(text, &end), percent = 100;

	if (end == text || !(ms >= 0))
		return false;
	if (*end && (*end != ',' || !parse_number(end + 1, &percent)))
		return false;
	settings->jitter_ms = ms;
	settings->jitter_percent = percent;
	return true;
}

/* One setting by its name, from the command line or from a command. */
static bool set_setting(struct shape_settings *settings, const char *name,
			const char *value)
{
	if (!strcmp(name, "delay"))
		return parse_number(value, &settings->delay_ms);
	if (!strcmp(name, "jitter"))
		return parse_jitter(value, settings);
	if (!strcmp(name, "loss"))
		return parse_number(value, &settings->loss_percent);
	if (!strcmp(name, "queue"))
		return parse_number(value, &settings->queue_ms);
	if (!strcmp(name, "flow-rate"))
		return shape_parse_rate(value, &settings->flow_rate_bps);
	if (!strcmp(name, "link-rate"))
		return shape_parse_rate(value, &settings->link_rate_bps);
	return false;
}

static bool set_blackhole(struct relay *relay, const char *which)
{
	bool both = !strcmp(which, "on");

	if (!both && strcmp(which, "off") && strcmp(which, "a-b") &&
	    strcmp(which, "b-a"))
		return false;
	for (int i = 0; i < 2; i++)
		relay->lanes[i].blackhole =
			both || !strcmp(which, relay->lanes[i].name);
	return true;
}

static void print_stats(struct relay *relay)
{
	for (int i = 0; i < 2; i++) {
		struct lane *lane = &relay->lanes[i];

		printf("%s%s packets %" PRIu64 " bytes %" PRIu64
		       " dropped %" PRIu64 " waiting %zu",
		       i ? "; " : "", lane->name, lane->n_packets,
		       lane->n_bytes, lane->n_dropped, lane->queue.n_packets);
	}
	printf("\n");
}

static void run_command(struct relay *relay, char *line)
{
	char *rest = line;
	char *name = strtok_r(rest, " \t", &rest);
	char *value = strtok_r(rest, " \t", &rest);
	bool ok;

	if (!name)
		return;
	if (!strcmp(name, "stats")) {
		print_stats(relay);
	} else if (!strcmp(name, "quit")) {
		relay->quit = true;
		printf("ok\n");
	} else {
		ok = value &&
		     (!strcmp(name, "blackhole") ?
			      set_blackhole(relay, value) :
			      set_setting(&relay->settings, name, value));
		printf(ok ? "ok\n" : "error: %s %s\n", name,
		       value ? value : "(no value)");
	}
	fflush(stdout);
}

static void read_commands(struct relay *relay)
{
	char *line = relay->line, *end;
	size_t used = relay->line_len;

	if (used >= sizeof(relay->line) - 1)
		used = 0; /* too long to be a command */
	ssize_t n = read(relay->control, line + used,
			 sizeof(relay->line) - 1 - used);

	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			relay->control = -1;
		return;
	}
	relay->line_len = used + (size_t)n;
	line[relay->line_len] = 0;
	while ((end = strchr(line, '\n'))) {
		*end = 0;
		run_command(relay, line);
		line = end + 1;
	}
	relay->line_len = strlen(line);
	memmove(relay->line, line, relay->line_len + 1);
}

/* Until the next packet is due, or something can be read. */
static void wait_for_work(struct relay *relay)
{
	struct pollfd fds[3] = {
		{.fd = relay->lanes[0].from, .events = POLLIN},
		{.fd = relay->lanes[1].from, .events = POLLIN},
		{.fd = relay->control, .events = POLLIN},
	};
	uint64_t a = wire_queue_next_ns(&relay->lanes[0].queue);
	uint64_t b = wire_queue_next_ns(&relay->lanes[1].queue);
	uint64_t next = a < b ? a : b, now = now_ns();
	uint64_t left = next > now ? next - now : 0;
	struct timespec timeout = {.tv_sec = (time_t)(left / 1000000000u),
				   .tv_nsec = (long)(left % 1000000000u)};

	/* Signals are let in only here, so none is missed before the sleep. */
	if (ppoll(fds, 3, next == UINT64_MAX ? NULL : &timeout,
		  &relay->sleep_mask) < 0)
		return;
	for (int i = 0; i < 2; i++) {
		if (fds[i].revents)
			read_packets(relay, &relay->lanes[i]);
	}
	if (fds[2].revents)
		read_commands(relay);
}

static void on_signal(int number)
{
	stop_signal = number;
}

static int open_control(const char *path)
{
	if (!path)
		return STDIN_FILENO;
	if (mkfifo(path, 0600) && errno != EEXIST)
		return -1;
	/* Held open for writing too, so that writers may come and go. */
	return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

static void setup_lanes(struct relay *relay, int a, int b, uint64_t seed)
{
	relay->lanes[0] = (struct lane){.name = "a-b", .from = a, .to = b};
	relay->lanes[1] = (struct lane){.name = "b-a", .from = b, .to = a};
	relay->lanes[0].shape.rng = seed;
	relay->lanes[1].shape.rng = ~seed;
}

static int run_relay(struct relay *relay)
{
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t blocked;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGINT);
	sigprocmask(SIG_BLOCK, &blocked, &relay->sleep_mask);
	sigdelset(&relay->sleep_mask, SIGTERM);
	sigdelset(&relay->sleep_mask, SIGINT);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	prctl(PR_SET_TIMERSLACK, 1);
	printf("ready\n");
	fflush(stdout);
	while (!relay->quit && !stop_signal) {
		wait_for_work(relay);
		write_due_packets(&relay->lanes[0]);
		write_due_packets(&relay->lanes[1]);
	}
	wire_queue_fini(&relay->lanes[0].queue);
	wire_queue_fini(&relay->lanes[1].queue);
	return 0;
}

static const struct option options[] = {
	{"a", 1, NULL, 'a'},	   {"b", 1, NULL, 'b'},
	{"mtu", 1, NULL, 'm'},	   {"seed", 1, NULL, 's'},
	{"control", 1, NULL, 'c'}, {"help", 0, NULL, 'h'},
	{"delay", 1, NULL, 1},	   {"jitter", 1, NULL, 1},
	{"loss", 1, NULL, 1},	   {"queue", 1, NULL, 1},
	{"flow-rate", 1, NULL, 1}, {"link-rate", 1, NULL, 1},
	{NULL, 0, NULL, 0},
};

int main(int argc, char **argv)
{
	static struct relay relay = {.settings = {.queue_ms = 100}};
	const char *spec[2] = {NULL, NULL}, *control = NULL;
	unsigned int mtu = 1500;
	uint64_t seed = 1;
	int opt, index, a, b;

	while ((opt = getopt_long(argc, argv, "h", options, &index)) != -1) {
		if (opt == 'a' || opt == 'b')
			spec[opt - 'a'] = optarg;
		else if (opt == 'm')
			mtu = (unsigned int)strtoul(optarg, NULL, 10);
		else if (opt == 's')
			seed = strtoull(optarg, NULL, 10);
		else if (opt == 'c')
			control = optarg;
		else if (opt == 'h')
			return fputs(help_text, stdout) < 0;
		else if (opt != 1 || !set_setting(&relay.settings,
						  options[index].name, optarg))
			return fprintf(stderr,
				       "relay: bad option, see --help\n"),
			       2;
	}
	if (!spec[0] || !spec[1] || mtu < 68 || mtu > 65535)
		return fputs(help_text, stderr), 2;
	a = tun_create(spec[0], mtu);
	b = tun_create(spec[1], mtu);
	relay.control = open_control(control);
	if (a < 0 || b < 0 || relay.control < 0)
		return 1;
	setup_lanes(&relay, a, b, seed);
	return run_relay(&relay);
}
