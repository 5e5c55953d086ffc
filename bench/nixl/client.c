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
#include <time.h>
#include <unistd.h>

#include "../../tests/nixl/capi.h"
#include "place.h"

#define NEAR_SEED 1
#define FAR_SEED 2
#define BIG (64ul << 20)
#define MD_MAX (1u << 20)
#define TOOK_MAX 100000
#define FRESH_MAX 1000 /* rounds of what is made anew */
#define ENOUGH_NS 400000000u /* of one measurement */

#define MUST(call) do_or_die(capi()->call, #call)

struct options {
	const char *backend;
	int near_device, far_device;
	size_t n_small, n_tiny, n_rounds;
	bool ping; /* only that */
	bool alone; /* without progress threads of NIXL */
	char **params;
};

/* One process's end. */
struct end {
	const struct options *options;
	void *agent, *args;
	struct place place;
	int mem;
	uint64_t device;
	int in, out; /* to the other process */
	uint64_t far_base, far_device;
	const char *far_name;
};

static void do_or_die(int status, const char *what)
{
	if (status < 0)
		die("NIXL: %s gave %d", what, status);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- between the processes -------------------------------------------- */

static void put(struct end *end, const void *data, size_t len)
{
	if (write(end->out, data, len) != (ssize_t)len)
		die("the other process is gone");
}

static void get(struct end *end, void *data, size_t len)
{
	char *at = data;

	while (len) {
		ssize_t n = read(end->in, at, len);

		if (n <= 0)
			_exit(1);
		at += n;
		len -= (size_t)n;
	}
}

static void exchange_md(struct end *end)
{
	char *name = NULL, *md = malloc(MD_MAX);
	void *own;
	size_t len;

	MUST(get_local_md(end->agent, &own, &len));
	put(end, &len, sizeof(len));
	put(end, own, len);
	put(end, &end->place.base, sizeof(end->place.base));
	put(end, &end->device, sizeof(end->device));
	get(end, &len, sizeof(len));
	if (!md || len > MD_MAX)
		die("metadata of %zu bytes", len);
	get(end, md, len);
	get(end, &end->far_base, sizeof(end->far_base));
	get(end, &end->far_device, sizeof(end->far_device));
	MUST(load_remote_md(end->agent, md, len, &name));
	free(name);
	free(md);
	free(own);
}

/* ---- an agent --------------------------------------------------------- */

static size_t place_bytes(const struct options *o)
{
	size_t small = o->n_small * 8192, tiny = o->n_tiny * 512;
	size_t most = small > tiny ? small : tiny;

	return most > 2 * BIG ? most : 2 * BIG;
}

static void *params_of(const struct options *o)
{
	void *params;

	MUST(create_params(&params));
	for (char **one = o->params; *one; one++) {
		char *equals = strchr(*one, '=');

		if (!equals)
			die("%s is no PARAMETER=VALUE", *one);
		*equals = '\0';
		MUST(params_add(params, *one, equals + 1));
		*equals = '=';
	}
	return params;
}

static void open_end(struct end *end, const char *name, int device)
{
	const struct capi_config config = {.progress_thread =
						   !end->options->alone,
					   .sync = CAPI_SYNC_NONE};
	void *params = params_of(end->options), *backend, *list;

	end->mem = device < 0 ? CAPI_DRAM : CAPI_VRAM;
	end->device = device < 0 ? 0 : (uint64_t)device;
	place_open(&end->place, device, place_bytes(end->options));
	MUST(create_configured_agent(name, &config, &end->agent));
	MUST(create_backend(end->agent, end->options->backend, params,
			    &backend));
	MUST(create_opt_args(&end->args));
	MUST(opt_args_add_backend(end->args, backend));
	MUST(create_reg_dlist(end->mem, &list));
	MUST(reg_dlist_add_desc(list, (uintptr_t)end->place.base,
				end->place.len_bytes, end->device, "", 0));
	MUST(register_mem(end->agent, list, end->args));
	exchange_md(end);
}

/* ---- layouts ---------------------------------------------------------- */

static uint64_t next(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

/* Where pieces lie: one of two sides. */
static uint32_t *slots(size_t n, uint64_t side)
{
	uint32_t *order = malloc(n * sizeof(*order));
	uint64_t state = 77 + side;

	if (!order)
		die("no memory");
	for (size_t i = 0; i < n; i++)
		order[i] = (uint32_t)i;
	for (size_t i = n; i > 1; i--) {
		size_t k = next(&state) % i;
		uint32_t t = order[i - 1];

		order[i - 1] = order[k];
		order[k] = t;
	}
	return order;
}

struct shape {
	const char *name;
	int op;
	size_t n, len_bytes;
	uint32_t *near, *far;
};

static size_t pitch(const struct shape *shape)
{
	return shape->n == 1 ? 0 : 2 * shape->len_bytes;
}

static void *list_of(struct end *end, const struct shape *shape, int near)
{
	uint64_t base = near ? end->place.base : end->far_base;
	const uint32_t *order = near ? shape->near : shape->far;
	void *list;

	/* Both sides are of the same kind here. */
	MUST(create_xfer_dlist(end->mem, &list));
	for (size_t i = 0; i < shape->n; i++)
		MUST(xfer_dlist_add_desc(
			list, (uintptr_t)(base + order[i] * pitch(shape)),
			shape->len_bytes,
			near ? end->device : end->far_device));
	return list;
}

/* Does `place`, filled with `own`, hold the pieces of the other's? */
static int holds(struct place *place, const struct shape *shape, int near,
		 uint64_t own, uint64_t other)
{
	const uint8_t *bytes = place_look(place);
	const uint32_t *to = near ? shape->near : shape->far;
	const uint32_t *from = near ? shape->far : shape->near;

	for (size_t i = 0; i < shape->n; i++) {
		size_t at = to[i] * pitch(shape), k = from[i] * pitch(shape);

		for (size_t j = 0; j < shape->len_bytes; j++)
			if (bytes[at + j] != place_byte(other, k + j))
				return 0;
		/* And its neighbour is as it was. */
		if (pitch(shape) &&
		    bytes[at + shape->len_bytes] !=
			    place_byte(own, at + shape->len_bytes))
			return 0;
	}
	return 1;
}

/* ---- measuring -------------------------------------------------------- */

struct orders {
	uint32_t what; /* 'f'ill, 'c'heck, 'p'ings, 'q'uit */
	uint32_t op;
	uint64_t n, len_bytes;
};

static void finish(struct end *end, void *req)
{
	int status;

	do
		status = capi()->get_xfer_status(end->agent, req);
	while (status == CAPI_IN_PROGRESS);
	do_or_die(status, "get_xfer_status");
}

static void run(struct end *end, void *req)
{
	MUST(post_xfer_req(end->agent, req, NULL));
	finish(end, req);
}

static void *make(struct end *end, const struct shape *shape, void *near,
		  void *far)
{
	void *req;

	MUST(create_xfer_req(end->agent, shape->op, near, far, end->far_name,
			     &req, end->args));
	return req;
}

static void drop(struct end *end, void *req)
{
	MUST(release_xfer_req(end->agent, req));
	MUST(destroy_xfer_req(req));
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
	struct orders order = {'f', 0, 0, 0};
	int good;

	put(end, &order, sizeof(order));
	place_fill(&end->place, NEAR_SEED);
	get(end, &good, sizeof(good));
	run(end, req);
	if (shape->op == CAPI_READ) {
		good = holds(&end->place, shape, 1, NEAR_SEED, FAR_SEED);
	} else {
		order = (struct orders){'c', CAPI_WRITE, shape->n,
					shape->len_bytes};
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

/* Where the time goes of a request that is made anew, as vLLM does it. */
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
static uint64_t run_fresh(struct end *end, const struct shape *shape,
			  void *near, void *far, size_t round)
{
	uint64_t faults = page_faults();
	uint64_t at[5] = {now_ns()};
	void *req = make(end, shape, near, far);

	at[1] = now_ns();
	phases[FAULTS][round] = page_faults() - faults;
	MUST(post_xfer_req(end->agent, req, NULL));
	at[2] = now_ns();
	finish(end, req);
	at[3] = now_ns();
	drop(end, req);
	at[4] = now_ns();
	for (int i = MAKE; i <= RELEASE; i++)
		phases[i][round] = at[i + 1] - at[i];
	return phases[FRESH][round] = at[3] - at[0];
}

static void measure_fresh(struct end *end, const struct shape *shape,
			  void *near, void *far)
{
	size_t most = end->options->n_rounds, n = 0;
	uint64_t total = 0;

	if (most > FRESH_MAX)
		most = FRESH_MAX;
	while (n < most && (n < 3 || total < 5 * (uint64_t)ENOUGH_NS))
		total += run_fresh(end, shape, near, far, n++);
	for (int i = MAKE; i < N_PHASES; i++)
		(void)median(phases[i], n);
	printf("\"fresh_gbps\": %.3f, \"make_ns_a_piece\": %.1f",
	       (double)(shape->n * shape->len_bytes) /
		       (double)median(phases[FRESH], n),
	       (double)phases[MAKE][0] / (double)shape->n);
	for (int i = MAKE; i <= RELEASE; i++) {
		static const char *const names[] = {"make", "post", "done",
						    "release"};

		printf(", \"fresh_%s_us\": %.1f", names[i],
		       (double)median(phases[i], n) * 1e-3);
	}
	printf(", \"fresh_make_faults\": %" PRIu64, median(phases[FAULTS], n));
}

/* Reposts for a while; then once made anew each time. */
static void measure(struct end *end, const struct shape *shape)
{
	size_t bytes = shape->n * shape->len_bytes, n = 0;
	void *near = list_of(end, shape, 1), *far = list_of(end, shape, 0);
	void *req = make(end, shape, near, far);
	uint64_t begin, total = 0;

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
	       "\"again_us\": %.1f, ",
	       shape->name, (double)bytes / (double)p50,
	       (double)bytes / (double)best, (double)p50 * 1e-3);
	measure_fresh(end, shape, near, far);
	printf(", \"near_cpu\": %.2f}\n", cpu);
	fflush(stdout);
	MUST(destroy_xfer_dlist(near));
	MUST(destroy_xfer_dlist(far));
}

/* ---- single calls ----------------------------------------------------- */

/* The post alone; and checks in flight, in batches of 16. */
static void calls(struct end *end, const struct shape *shape)
{
	void *near = list_of(end, shape, 1), *far = list_of(end, shape, 0);
	void *req = make(end, shape, near, far), *map;
	size_t n = 0, checks = 0;
	static uint64_t batch[TOOK_MAX];

	run(end, req);
	for (; n < 50; n++) {
		uint64_t begin = now_ns();

		MUST(post_xfer_req(end->agent, req, NULL));
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
	MUST(destroy_xfer_dlist(near));
	MUST(destroy_xfer_dlist(far));
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
	struct shape shape = {"ping", CAPI_WRITE, 1, 8, &zero, &zero};
	void *near = list_of(end, &shape, 1), *far = list_of(end, &shape, 0);
	void *map, *args, *req;

	MUST(create_notif_map(&map));
	MUST(create_opt_args(&args));
	MUST(opt_args_set_has_notif(args, true));
	MUST(opt_args_set_notif_msg(args, "ping", 4));
	req = make(end, &shape, near, far);
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
	MUST(destroy_xfer_dlist(near));
	MUST(destroy_xfer_dlist(far));
}

static void ping_pong(struct end *end, uint64_t most_ns)
{
	static const double shares[] = {0.5, 0.9, 0.99, 0.999};
	struct orders order = {'p', 0, 250, 0};
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
	open_end(end, "far", end->options->far_device);
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
			struct shape shape = {"",
					      (int)order.op,
					      order.n,
					      order.len_bytes,
					      slots(order.n, 0),
					      slots(order.n, 1)};

			good = holds(&end->place, &shape, 0, FAR_SEED,
				     NEAR_SEED);
			free(shape.near);
			free(shape.far);
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
	struct orders quit = {'q', 0, 0, 0};
	char name[64];

	end->far_name = "far";
	open_end(end, "near", o->near_device);
	for (size_t i = o->ping ? 6 : 0; i < 6; i++) {
		size_t n = shapes[i / 2][0], len = shapes[i / 2][1];
		struct shape shape = {
			name,	     i % 2 ? CAPI_READ : CAPI_WRITE,
			n,	     len,
			slots(n, 0), slots(n, 1)};

		snprintf(name, sizeof(name), "%s %zu x %zu", ops[shape.op], n,
			 len);
		measure(end, &shape);
		if (i == 2)
			calls(end, &shape);
		free(shape.near);
		free(shape.far);
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
