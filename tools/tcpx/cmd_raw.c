/* SPDX-License-Identifier: Apache-2.0 */
/* Bare TCP on this machine, two processes, nothing of the library: what
 * perf --ceiling compares with, to be held against iperf3 and the like. */
#include "cmd.h"

#include "area.h"
#include "clock.h"
#include "common/size.h"
#include "open.h"
#include "raw.h"
#include "samples.h"

#include <argp.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	KEY_FLOWS = 0x100,
	KEY_SIZE,
	KEY_IO,
	KEY_SPIN,
	KEY_DURATION,
	KEY_ROUNDS,
	KEY_PINGPONG,
};

#define ROUNDS_MAX 1000
#define CONNECT_WAIT_MS 5000

struct arguments {
	uint64_t n_flows, area_bytes, io_bytes, duration_ns, n_rounds;
	bool spin, pingpong, json;
};

/* Parent and child share this; the child reads counts from a pipe. */
struct both {
	struct arguments args;
	struct raw_link link;
	struct raw_token token;
	void *area;
	int orders; /* pipe: the parent's writing, the child's reading end */
};

static const struct argp_option option_table[] = {
	{"flows", KEY_FLOWS, "N", 0, "connections (default 1)", 0},
	{"size", KEY_SIZE, "SIZE", 0,
	 "memory at each end, walked in a circle (default 64M; 256K stays in "
	 "the cache); with --pingpong of a message (default 8)",
	 0},
	{"io", KEY_IO, "SIZE", 0, "bytes of a system call (default 256K)", 0},
	{"spin", KEY_SPIN, NULL, 0, "poll sockets instead of sleeping", 0},
	{"duration", KEY_DURATION, "TIME", 0, "in all (default 3s)", 0},
	{"rounds", KEY_ROUNDS, "N", 0, "split into so many (default 5)", 0},
	{"pingpong", KEY_PINGPONG, NULL, 0, "a message to and fro", 0},
	{"json", 'j', NULL, 0, "as a JSON object", 0},
	{0},
};

static void set_size(struct argp_state *state, const char *name,
		     const char *arg, uint64_t max, uint64_t *bytes)
{
	if (size_parse(arg, bytes) || !*bytes || *bytes > max)
		argp_error(state, "--%s %s: a size as 64K or 1M is wanted",
			   name, arg);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case KEY_FLOWS:
		a->n_flows =
			option_number(state, "flows", arg, 1, RAW_FLOWS_MAX);
		return 0;
	case KEY_SIZE:
		set_size(state, "size", arg, 1ull << 40, &a->area_bytes);
		return 0;
	case KEY_IO:
		set_size(state, "io", arg, 1u << 30, &a->io_bytes);
		return 0;
	case KEY_ROUNDS:
		a->n_rounds =
			option_number(state, "rounds", arg, 1, ROUNDS_MAX);
		return 0;
	case KEY_DURATION:
		if (duration_parse(arg, &a->duration_ns))
			argp_error(state, "--duration %s: as 3s or 500ms", arg);
		return 0;
	case KEY_SPIN:
		a->spin = true;
		return 0;
	case KEY_PINGPONG:
		a->pingpong = true;
		return 0;
	case 'j':
		a->json = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp parser = {
	.options = option_table,
	.parser = parse_option,
	.doc = "Measures bare TCP over loopback between two processes."
	       "\v"
	       "Examples:\n"
	       "  tcpx raw --flows 2\n"
	       "  tcpx raw --size 256K             a buffer in the cache\n"
	       "  tcpx raw --pingpong --spin\n\n" EXIT_STATUS_HELP,
};

/* n: bytes, or round trips. Both sides call it alike. */
static int run(struct both *both, uint64_t n, uint64_t *samples_ns,
	       uint64_t *elapsed_ns)
{
	const struct arguments *a = &both->args;
	struct raw_stream stream = {.source = both->area,
				    .sink = both->area,
				    .area_bytes = a->area_bytes,
				    .total_bytes = n,
				    .io_bytes = (uint32_t)a->io_bytes,
				    .spin = a->spin};
	struct raw_pingpong pingpong = {.message_bytes =
						(uint32_t)a->area_bytes,
					.n_round_trips = n,
					.spin = a->spin};
	uint64_t begin_ns = now_ns();
	int err;

	if (!a->pingpong)
		return raw_stream_run(&both->link, &stream, elapsed_ns);
	err = raw_pingpong_run(&both->link, &pingpong, samples_ns);
	*elapsed_ns = now_ns() - begin_ns;
	return err;
}

static _Noreturn void child_main(struct both *both, int listener)
{
	uint64_t n, elapsed_ns;
	int err;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	err = raw_accept(listener, &both->token, CONNECT_WAIT_MS, &both->link);
	while (!err && read(both->orders, &n, sizeof(n)) == sizeof(n))
		err = run(both, n, NULL, &elapsed_ns);
	_exit(err ? EXIT_BROKE : EXIT_HELD);
}

static int order(struct both *both, uint64_t n, uint64_t *samples_ns,
		 uint64_t *elapsed_ns)
{
	if (write(both->orders, &n, sizeof(n)) != sizeof(n))
		return -1;
	return run(both, n, samples_ns, elapsed_ns);
}

/* Doubles until it takes long enough to say how much a round can hold. */
static int calibrate(struct both *both, struct samples *samples,
		     uint64_t *per_round)
{
	uint64_t n = both->args.pingpong ? 64 : both->args.area_bytes;
	uint64_t round_ns = both->args.duration_ns / both->args.n_rounds;
	uint64_t elapsed_ns = 0;
	int err = 0;

	while (!err && elapsed_ns < 50 * NS_PER_MS) {
		n *= 2;
		if (both->args.pingpong && n > samples->cap)
			break;
		err = order(both, n, samples->ns, &elapsed_ns);
	}
	*per_round = (uint64_t)((double)n * (double)round_ns /
				(double)(elapsed_ns + 1)) +
		     1;
	if (both->args.pingpong && *per_round > samples->cap)
		*per_round = samples->cap;
	return err;
}

static void report(const struct arguments *a, double speed,
		   struct samples *samples)
{
	double p50 = samples_percentile_us(samples, 0.5);
	double p99 = samples_percentile_us(samples, 0.99);
	json_t *json;

	if (a->json) {
		json = json_pack("{ss sI sI sb sf so so}", "op",
				 a->pingpong ? "pingpong" : "stream", "flows",
				 (json_int_t)a->n_flows, "bytes",
				 (json_int_t)a->area_bytes, "spin", a->spin,
				 "gigabytes_per_s", speed, "p50_us",
				 a->pingpong ? json_real(p50) : json_null(),
				 "p99_us",
				 a->pingpong ? json_real(p99) : json_null());
		json_dumpf(json, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(json);
	} else if (a->pingpong) {
		printf("one way p50 %.2f us, p99 %.2f us\n", p50, p99);
	} else {
		printf("%.2f GB/s (median of %llu)\n", speed,
		       (unsigned long long)a->n_rounds);
	}
}

static int measure(struct both *both)
{
	const struct arguments *a = &both->args;
	double speeds[ROUNDS_MAX];
	struct samples samples;
	uint64_t per_round, elapsed_ns;
	int err;

	if (samples_init(&samples, 1u << 20))
		return EXIT_SETUP;
	err = calibrate(both, &samples, &per_round);
	for (uint64_t i = 0; i < a->n_rounds && !err; i++) {
		err = order(both, per_round, samples.ns, &elapsed_ns);
		speeds[i] = (double)per_round *
			    (a->pingpong ? 2.0 * (double)a->area_bytes : 1) /
			    (double)elapsed_ns;
	}
	if (a->pingpong) /* the last round's times */
		samples.n_added = per_round;
	if (err)
		complain("the raw loops: %s", strerror(-err));
	else
		report(a, median(speeds, a->n_rounds), &samples);
	samples_fini(&samples);
	return err ? EXIT_BROKE : EXIT_HELD;
}

static void set_defaults(struct arguments *a)
{
	if (!a->n_flows)
		a->n_flows = 1;
	if (!a->area_bytes)
		a->area_bytes = a->pingpong ? 8 : 64u << 20;
	if (!a->duration_ns)
		a->duration_ns = 3 * NS_PER_S;
	if (!a->n_rounds)
		a->n_rounds = 5;
}

static int run_both(struct both *both, int listener, uint16_t port)
{
	struct raw_way way = {0};
	int ends[2], rc = EXIT_SETUP;
	pid_t child;

	if (addr_parse("127.0.0.1", &way.to))
		return EXIT_SETUP;
	addr_set_port(&way.to, port);

	if (pipe(ends))
		return EXIT_SETUP;
	child = fork();
	both->orders = ends[child == 0 ? 0 : 1];
	close(ends[child == 0 ? 1 : 0]);
	if (child == 0)
		child_main(both, listener);
	if (child > 0 &&
	    !raw_connect(&way, 1, &both->token, CONNECT_WAIT_MS, &both->link))
		rc = measure(both);
	raw_close(&both->link);
	close(both->orders);
	if (child > 0)
		waitpid(child, NULL, 0);
	return rc;
}

int cmd_raw(int argc, char **argv)
{
	struct both both = {0};
	uint16_t port;
	int listener, rc = EXIT_SETUP;

	argp_parse(&parser, argc, argv, 0, NULL, &both.args);
	set_defaults(&both.args);
	if (both.args.pingpong && both.args.area_bytes > RAW_MESSAGE_MAX) {
		complain("--pingpong goes with messages of up to 64K");
		return EXIT_USAGE;
	}
	both.link.n = both.link.n_forward = (unsigned)both.args.n_flows;
	both.area = pages_take(both.args.area_bytes);
	listener = raw_listen("127.0.0.1", 0, &port);
	if (both.area && listener >= 0) {
		/* Real pages: one page of zeroes would fit in any cache. The
		 * child's become its own when it receives into them. */
		memset(both.area, 1, both.args.area_bytes);
		rc = run_both(&both, listener, port);
	}
	if (listener >= 0)
		close(listener);
	pages_give(both.area, both.args.area_bytes);
	return rc;
}
