/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One backend of a real NIXL, two processes, by its C interface; bench/nixl/run
 * runs it for each backend in turn. Prints a JSON object a line for each case.
 *
 *   client BACKEND [--ping] [--alone] [--vram NEAR,FAR] [--small N] [--tiny N]
 *                  [--rounds N] [PARAMETER=VALUE...]
 *
 * NIXL_LIBS and NIXL_PLUGIN_DIR say which NIXL, and where the plugin is. The
 * near process posts and polls as a program that is in a hurry does: without a
 * pause. The far one sleeps in read() meanwhile. Of the ping-pong (--ping) both
 * poll. NIXL's progress threads, which some backends have, are on, as they are
 * for programs that do not say otherwise; --alone: they are off.
 *
 * Pieces lie in slots of twice their size, in random order on both sides, so
 * nothing can be merged. All bytes are looked at after the first transfer of
 * each case.
 */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "end.h"

#define TOOK_MAX 100000
#define FRESH_MAX 1000 /* rounds of what is made anew */
#define ENOUGH_NS 400000000u /* of one measurement */

/* ---- measuring -------------------------------------------------------- */

struct orders {
	uint32_t what; /* 'f'ill, 'c'heck, 'p'ings, 'q'uit */
	uint32_t op;
	uint64_t n, len_bytes, at_bytes;
};

static void run(struct end *end, void *req)
{
	post(end, req);
	finish(end, req);
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static uint64_t took[TOOK_MAX];

static uint64_t at_share(size_t n, double share)
{
	qsort(took, n, sizeof(*took), compare);
	return took[(size_t)((double)(n - 1) * share)];
}

/* Fills both ends, moves once, and looks; leaves the far one waiting. */
static void verify(struct end *end, const struct shape *shape, void *req)
{
	struct orders order = {'f', 0, 0, 0, 0};
	int good;

	put(end, &order, sizeof(order));
	place_fill(&end->place, NEAR_SEED);
	get(end, &good, sizeof(good));
	run(end, req);
	if (shape->op == CAPI_READ) {
		good = shape_holds(&end->place, shape, true, NEAR_SEED,
				   FAR_SEED);
	} else {
		order = (struct orders){'c', CAPI_WRITE, shape->n,
					shape->len_bytes, shape->at_bytes};
		put(end, &order, sizeof(order));
		get(end, &good, sizeof(good));
	}
	if (!good)
		die("%s: wrong bytes", shape->name);
}

static double cpu_s(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

/* How a request is made, and where the time goes of one made anew. */
static const struct way {
	void *(*make)(const struct maker *maker);
	const char *prefix;
} ways[] = {{make, "fresh"}, {make_of_prepared, "indexed"}};

enum phase { MAKE, POST, DONE, RELEASE, FAULTS, FRESH, N_PHASES };

static uint64_t phases[N_PHASES][FRESH_MAX];

static uint64_t median(uint64_t *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare);
	return values[(n - 1) / 2];
}

static uint64_t page_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)usage.ru_minflt;
}

/* One from create to release. Returns from create to done. */
static uint64_t run_fresh(const struct maker *maker, const struct way *way,
			  size_t round)
{
	struct end *end = maker->end;
	uint64_t faults = page_faults();
	uint64_t at[5] = {now_ns()};
	void *req = way->make(maker);

	at[1] = now_ns();
	phases[FAULTS][round] = page_faults() - faults;
	post(end, req);
	at[2] = now_ns();
	finish(end, req);
	at[3] = now_ns();
	drop(end, req);
	at[4] = now_ns();
	for (int i = MAKE; i <= RELEASE; i++)
		phases[i][round] = at[i + 1] - at[i];
	return phases[FRESH][round] = at[3] - at[0];
}

static void measure_fresh(const struct maker *maker, const struct way *way)
{
	static const char *const names[] = {"make", "post", "done", "release"};
	const struct shape *shape = maker->shape;
	size_t most = maker->end->options->n_rounds, n = 0;
	uint64_t total = 0;

	if (most > FRESH_MAX)
		most = FRESH_MAX;
	while (n < most && (n < 3 || total < 5 * (uint64_t)ENOUGH_NS))
		total += run_fresh(maker, way, n++);
	for (int i = MAKE; i < N_PHASES; i++)
		(void)median(phases[i], n);
	printf(", \"%s_gbps\": %.3f", way->prefix,
	       (double)(shape->n * shape->len_bytes) /
		       (double)median(phases[FRESH], n));
	for (int i = MAKE; i <= RELEASE; i++)
		printf(", \"%s_%s_us\": %.1f", way->prefix, names[i],
		       (double)median(phases[i], n) * 1e-3);
	printf(", \"%s_make_ns_a_piece\": %.1f, \"%s_make_faults\": %" PRIu64,
	       way->prefix, (double)phases[MAKE][0] / (double)shape->n,
	       way->prefix, median(phases[FAULTS], n));
}

/* Reposts for a while; then once made anew each time. */
static void measure(struct end *end, const struct shape *shape)
{
	size_t bytes = shape->n * shape->len_bytes, n = 0;
	struct maker maker;
	uint64_t begin, total = 0;

	maker_open(&maker, end, shape);
	void *req = make(&maker);

	verify(end, shape, req);
	run(end, req);
	double cpu = cpu_s();

	for (begin = now_ns(); n < TOOK_MAX && (n < 3 || total < ENOUGH_NS);
	     n++) {
		uint64_t start = now_ns();

		run(end, req);
		took[n] = now_ns() - start;
		total += took[n];
	}
	cpu = (cpu_s() - cpu) / ((double)(now_ns() - begin) * 1e-9);
	drop(end, req);
	uint64_t p50 = at_share(n, 0.5), best = took[0];

	printf("{\"case\": \"%s\", \"gbps\": %.3f, \"best_gbps\": %.3f, "
	       "\"again_us\": %.1f",
	       shape->name, (double)bytes / (double)p50,
	       (double)bytes / (double)best, (double)p50 * 1e-3);
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		measure_fresh(&maker, &ways[i]);
	printf(", \"near_cpu\": %.2f}\n", cpu);
	fflush(stdout);
	maker_close(&maker);
}

/* Large ones, several in flight, each posted again as soon as it is done: how
 * much goes through when nobody waits for the last byte of one. */
static void measure_in_flight(struct end *end, int op)
{
	struct shape shapes[IN_FLIGHT];
	struct maker makers[IN_FLIGHT];
	void *reqs[IN_FLIGHT];
	uint32_t zero = 0;
	size_t n = 0;
	uint64_t begin = 0, took_ns = 0;

	for (size_t i = 0; i < IN_FLIGHT; i++) {
		shapes[i] = (struct shape){"in flight", op,    1,    BIG,
					   i * BIG,	&zero, &zero};
		maker_open(&makers[i], end, &shapes[i]);
		reqs[i] = make(&makers[i]);
		verify(end, &shapes[i], reqs[i]);
	}
	for (size_t i = 0; i < IN_FLIGHT; i++)
		post(end, reqs[i]);
	/* The first lap fills the pipe; none is posted behind the last lap, so
	 * the clock stops while as many are in flight as when it started. */
	for (; n < IN_FLIGHT || took_ns < ENOUGH_NS; n++) {
		finish(end, reqs[n % IN_FLIGHT]);
		post(end, reqs[n % IN_FLIGHT]);
		if (n + 1 == IN_FLIGHT)
			begin = now_ns();
		took_ns = begin ? now_ns() - begin : 0;
	}
	for (size_t i = 0; i < IN_FLIGHT; i++) {
		finish(end, reqs[i]);
		drop(end, reqs[i]);
		maker_close(&makers[i]);
	}
	printf("{\"case\": \"%s 1 x %lu, %d in flight\", \"gbps\": %.3f}\n",
	       op == CAPI_READ ? "READ" : "WRITE", BIG, IN_FLIGHT,
	       (double)((n - IN_FLIGHT) * BIG) / (double)took_ns);
	fflush(stdout);
}

/* ---- single calls ----------------------------------------------------- */

/* The post alone; and checks in flight, in batches of 16. */
static void calls(struct end *end, const struct shape *shape)
{
	struct maker maker;
	void *map;
	size_t n = 0, checks = 0;
	static uint64_t batch[TOOK_MAX];

	maker_open(&maker, end, shape);
	void *req = make(&maker);

	run(end, req);
	for (; n < 50; n++) {
		uint64_t begin = now_ns();

		post(end, req);
		took[n] = now_ns() - begin;
		for (int status = CAPI_IN_PROGRESS; status;) {
			begin = now_ns();
			for (int i = 0; i < 16 && status; i++)
				status = capi()->get_xfer_status(end->agent,
								 req);
			do_or_die(status, "get_xfer_status");
			if (status && checks < TOOK_MAX)
				batch[checks++] = (now_ns() - begin) / 16;
		}
	}
	printf("{\"case\": \"post %zu\", \"p50_ns\": %" PRIu64 "}\n", shape->n,
	       at_share(n, 0.5));
	memcpy(took, batch, checks * sizeof(*took));
	if (checks)
		printf("{\"case\": \"check in flight\", \"p50_ns\": %" PRIu64
		       ", \"p90_ns\": %" PRIu64 "}\n",
		       at_share(checks, 0.5), at_share(checks, 0.9));
	drop(end, req);
	MUST(create_notif_map(&map));
	for (n = 0; n < 2000; n++) {
		uint64_t begin = now_ns();

		for (int i = 0; i < 16; i++)
			MUST(get_notifs(end->agent, map, end->args));
		took[n] = (now_ns() - begin) / 16;
	}
	printf("{\"case\": \"getNotifs empty\", \"p50_ns\": %" PRIu64
	       ", \"p90_ns\": %" PRIu64 "}\n",
	       at_share(n, 0.5), at_share(n, 0.9));
	fflush(stdout);
	MUST(destroy_notif_map(map));
	maker_close(&maker);
}

/* ---- ping-pong -------------------------------------------------------- */

static void await_note(struct end *end, void *map)
{
	size_t n = 0;

	MUST(notif_map_clear(map));
	while (!n) {
		MUST(get_notifs(end->agent, map, end->args));
		MUST(notif_map_size(map, &n));
	}
}

static void pings(struct end *end, size_t n, int first, uint64_t *each)
{
	uint32_t zero = 0;
	struct shape shape = {"ping", CAPI_WRITE, 1, 8, 0, &zero, &zero};
	struct maker maker;
	void *map, *args, *req;

	maker_open(&maker, end, &shape);
	MUST(create_notif_map(&map));
	MUST(create_opt_args(&args));
	MUST(opt_args_set_has_notif(args, true));
	MUST(opt_args_set_notif_msg(args, "ping", 4));
	req = make(&maker);
	for (size_t i = 0; i < n; i++) {
		uint64_t begin = now_ns();

		if (!first)
			await_note(end, map);
		MUST(post_xfer_req(end->agent, req, args));
		finish(end, req);
		if (first)
			await_note(end, map);
		each[i] = (now_ns() - begin) / 2;
	}
	drop(end, req);
	MUST(destroy_opt_args(args));
	MUST(destroy_notif_map(map));
	maker_close(&maker);
}

static void ping_pong(struct end *end, uint64_t most_ns)
{
	static const double shares[] = {0.5, 0.9, 0.99, 0.999};
	struct orders order = {'p', 0, 250, 0, 0};
	uint64_t begin = now_ns();
	size_t n = 0;

	while (n + order.n <= TOOK_MAX && now_ns() - begin < most_ns) {
		put(end, &order, sizeof(order));
		pings(end, order.n, 1, took + n);
		n += order.n;
	}
	printf("{\"case\": \"8 B + note%s\"",
	       end->options->alone ? ", no progress threads" : "");
	for (size_t i = 0; i < sizeof(shares) / sizeof(*shares); i++)
		printf(", \"p%g_us\": %.2f", shares[i] * 100,
		       (double)at_share(n, shares[i]) * 1e-3);
	printf(", \"n\": %zu}\n", n);
	fflush(stdout);
}

/* ---- the two processes ------------------------------------------------ */

static void far_main(struct end *end)
{
	struct orders order;
	int good = 1;

	end->far_name = "near";
	end_open(end, "far", end->options->far_device);
	for (;;) {
		get(end, &order, sizeof(order));
		if (order.what == 'q') {
			MUST(destroy_agent(end->agent));
			_exit(0);
		}
		if (order.what == 'p') {
			pings(end, order.n, 0, took);
			continue;
		}
		if (order.what == 'f') {
			place_fill(&end->place, FAR_SEED);
		} else {
			struct shape shape = {.n = order.n,
					      .len_bytes = order.len_bytes,
					      .at_bytes = order.at_bytes};

			shape_open(&shape);
			good = shape_holds(&end->place, &shape, false, FAR_SEED,
					   NEAR_SEED);
			shape_close(&shape);
		}
		put(end, &good, sizeof(good));
	}
}

static void near_main(struct end *end)
{
	const struct options *o = end->options;
	static const char *const ops[] = {"READ", "WRITE"};
	const size_t shapes[][2] = {
		{1, BIG}, {o->n_small, 4096}, {o->n_tiny, 256}};
	struct orders quit = {'q', 0, 0, 0, 0};
	char name[64];

	end->far_name = "far";
	end_open(end, "near", o->near_device);
	for (size_t i = o->ping ? 6 : 0; i < 6; i++) {
		size_t n = shapes[i / 2][0], len = shapes[i / 2][1];
		struct shape shape = {.name = name,
				      .op = i % 2 ? CAPI_READ : CAPI_WRITE,
				      .n = n,
				      .len_bytes = len};

		shape_open(&shape);
		snprintf(name, sizeof(name), "%s %zu x %zu", ops[shape.op], n,
			 len);
		measure(end, &shape);
		if (i == 2)
			calls(end, &shape);
		shape_close(&shape);
		if (i < 2)
			measure_in_flight(end, shape.op);
	}
	if (o->ping)
		ping_pong(end, 1500000000);
	put(end, &quit, sizeof(quit));
}

static void parse(int argc, char **argv, struct options *o)
{
	static const struct option table[] = {
		{"ping", no_argument, NULL, 'p'},
		{"alone", no_argument, NULL, 'a'},
		{"vram", required_argument, NULL, 'v'},
		{"small", required_argument, NULL, 's'},
		{"tiny", required_argument, NULL, 't'},
		{"rounds", required_argument, NULL, 'r'},
		{NULL, 0, NULL, 0}};
	int key;

	while ((key = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (key == 'v' && sscanf(optarg, "%d,%d", &o->near_device,
					 &o->far_device) != 2)
			die("--vram wants two numbers of GPUs: 0,1");
		else if (key == 'p')
			o->ping = true;
		else if (key == 'a')
			o->alone = true;
		else if (key == 's')
			o->n_small = strtoul(optarg, NULL, 0);
		else if (key == 't')
			o->n_tiny = strtoul(optarg, NULL, 0);
		else if (key == 'r')
			o->n_rounds = strtoul(optarg, NULL, 0);
		else if (key == '?')
			_exit(2);
	}
	if (optind == argc)
		die("usage: client BACKEND [--ping] [--alone] "
		    "[--vram NEAR,FAR] [--small N] [--tiny N] [--rounds N] "
		    "[PARAMETER=VALUE...]");
	o->backend = argv[optind];
	o->params = argv + optind + 1;
}

int main(int argc, char **argv)
{
	struct options options = {.near_device = -1,
				  .far_device = -1,
				  .n_small = 16384,
				  .n_tiny = 16384,
				  .n_rounds = 11};
	struct end end = {.options = &options};
	int to[2], from[2], status;

	parse(argc, argv, &options);
	if (pipe(to) || pipe(from))
		die("no pipes");
	pid_t pid = fork();

	if (pid < 0)
		die("no process");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		end.in = to[0];
		end.out = from[1];
		close(to[1]);
		close(from[0]);
		far_main(&end);
	}
	end.in = from[0];
	end.out = to[1];
	close(from[1]);
	close(to[0]);
	near_main(&end);
	waitpid(pid, &status, 0);
	_exit(status != 0);
}
