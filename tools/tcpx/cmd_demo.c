/* SPDX-License-Identifier: Apache-2.0 */
/* The whole show: two processes, every kind of transfer, every byte checked,
 * each beside raw TCP; and a peer that dies. */
#include "cmd.h"

#include "clock.h"
#include "demo.h"
#include "gpus.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

#define CASE_NS (1500 * NS_PER_MS) /* of ours; raw takes as long */
#define QUICK_CASE_NS (60 * NS_PER_MS)
#define QUICK_ROUNDS 2
/* With --quick pieces, and the number of them, are at most so large. */
#define QUICK_PIECE_BYTES (16u << 20)
#define QUICK_PIECES 2048u

enum { KEY_QUICK = 0x100 };

struct demo_options {
	struct listing_options listing; /* first: listing_parse() */
	bool quick;
};

static const struct case_params demo_cases[] = {
	{.op = CASE_WRITE, .piece_bytes = 256u << 20, .n_pieces = 1},
	{.op = CASE_READ, .piece_bytes = 256u << 20, .n_pieces = 1},
	{.op = CASE_WRITE, .piece_bytes = 4096, .n_pieces = 16384},
	{.op = CASE_READ, .piece_bytes = 4096, .n_pieces = 16384},
	{.op = CASE_WRITE, .piece_bytes = 256, .n_pieces = 16384},
	{.op = CASE_READ, .piece_bytes = 256, .n_pieces = 16384},
	{.op = CASE_SEND, .piece_bytes = 64u << 20, .n_pieces = 1},
	{.op = CASE_NOTIFY, .piece_bytes = 8, .wait = WAIT_SPIN},
};

/* If there are GPUs: the first here, the last there. */
static const struct case_params gpu_cases[] = {
	{.op = CASE_WRITE, .piece_bytes = 256u << 20, .n_pieces = 1},
	{.op = CASE_READ, .piece_bytes = 256u << 20, .n_pieces = 1},
	{.op = CASE_WRITE, .piece_bytes = 4096, .n_pieces = 16384},
};

#define N_GPU_CASES (sizeof(gpu_cases) / sizeof(gpu_cases[0]))
#define N_CASES (sizeof(demo_cases) / sizeof(demo_cases[0]))

/* A second process and the way to it. */
struct partner {
	pid_t pid;
	int fd;
	struct remote remote;
};

struct demo {
	struct demo_options args;
	struct tcpx_config config;
	struct tcpx_session *session;
	struct partner peer, victim;
	json_t *cases, *gpus;
	bool held;
	uint64_t begin_ns;
};

static const struct argp_option option_table[] = {
	{"json", 'j', NULL, 0, "one JSON object instead of a table", 0},
	{"quick", KEY_QUICK, NULL, 0,
	 "a few seconds instead of half a minute: fewer bytes and rounds, so "
	 "the figures say little; all is checked as ever",
	 0},
	{"verbose", 'v', NULL, 0, "also the settings, and all transports", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct demo_options *options = state->input;

	if (key != KEY_QUICK)
		return listing_parse(key, arg, state);
	options->quick = true;
	return 0;
}

static const struct argp parser = {
	.options = option_table,
	.parser = parse_option,
	.children = listing_children,
	.doc = "Shows host memory moving between two processes over loopback "
	       "sockets: large and small, in pieces, with notifications, and "
	       "to a peer that is killed. Every byte is checked, outside the "
	       "timed part; raw TCP moves as much through the same memory in "
	       "turn with it. With GPUs, between their memories too. Takes "
	       "about half a minute."
	       "\v"
	       "Examples:\n"
	       "  tcpx demo\n"
	       "  tcpx demo --quick\n"
	       "  tcpx demo --json | jq '.cases[] | {case, ratio}'\n\n" EXIT_STATUS_HELP,
};

static int start_partner(struct demo *demo, struct partner *partner)
{
	return peer_process_start(&demo->args.listing.session, &partner->pid,
				  &partner->fd);
}

static int join(struct demo *demo, struct partner *partner)
{
	return remote_join(demo->session, partner->fd, &demo->config,
			   &partner->remote);
}

static int begin(struct demo *demo)
{
	if (options_config_between(&demo->args.listing.session, &demo->config))
		return EXIT_SETUP;
	/* Both processes first: afterwards this one has threads. */
	if (start_partner(demo, &demo->peer) ||
	    start_partner(demo, &demo->victim))
		return EXIT_SETUP;
	if (session_open(&demo->config, "cannot open a session",
			 &demo->session))
		return EXIT_SETUP;
	if (join(demo, &demo->peer) || join(demo, &demo->victim))
		return EXIT_SETUP;
	return EXIT_HELD;
}

static void finish(struct demo *demo)
{
	if (demo->session) {
		remote_leave(&demo->peer.remote);
		remote_leave(&demo->victim.remote);
		tcpx_session_close(demo->session);
	}
	peer_process_stop(demo->peer.pid, demo->peer.fd);
	peer_process_stop(demo->victim.pid, demo->victim.fd);
}

static void plan_case(const struct demo *demo, const struct case_params *params,
		      struct bench_plan *plan)
{
	struct case_params *p = &plan->params;

	*plan = (struct bench_plan){.params = *params,
				    .duration_ns = CASE_NS,
				    .ceiling = true,
				    .verify = true};
	if (demo->args.quick) {
		plan->duration_ns = QUICK_CASE_NS;
		plan->n_rounds = QUICK_ROUNDS;
		if (p->piece_bytes > QUICK_PIECE_BYTES)
			p->piece_bytes = QUICK_PIECE_BYTES;
		if (p->n_pieces > QUICK_PIECES)
			p->n_pieces = QUICK_PIECES;
	}
	bench_defaults(plan);
}

static void run_case(struct demo *demo, const struct case_params *params)
{
	struct bench_plan plan;
	struct bench_result result;

	plan_case(demo, params, &plan);
	if (!bench_run(&demo->peer.remote, &plan, &result))
		demo->held = false;
	if (!demo->args.listing.json)
		report_row(&result);
	json_array_append_new(demo->cases, report_case(&result));
}

static void run_cases(struct demo *demo)
{
	size_t n_gpus = json_array_size(demo->gpus);
	struct case_params params;

	for (unsigned i = 0; i < N_CASES; i++)
		run_case(demo, &demo_cases[i]);
	for (unsigned i = 0; n_gpus && i < N_GPU_CASES; i++) {
		params = gpu_cases[i];
		params.mem = (struct place){PLACE_GPU, 0};
		params.peer_mem =
			(struct place){PLACE_GPU, (uint32_t)n_gpus - 1};
		run_case(demo, &params);
	}
}

/* The keys that every case has, and some of its own. */
static json_t *kill_json(const struct kill_result *r)
{
	json_t *all = report_case(&r->bench);
	json_t *own = json_pack(
		"{ss ss sb sf sf ss ss so}", "case",
		"peer killed in mid-transfer", "op", "kill", "verified",
		r->held, "moved_gigabytes", r->moved_gigabytes,
		"failed_after_ms", r->failed_after_ms, "status",
		tcpx_status_name(r->status), "cause", r->cause, "failure",
		r->held ? json_null() : json_string(r->failure));

	json_object_update(all, own);
	json_decref(own);
	return all;
}

static void run_kill(struct demo *demo)
{
	struct kill_result result;
	char text[512];

	demo_kill(&demo->victim.remote, demo->victim.pid, &demo->peer.remote,
		  &result);
	if (!result.held)
		demo->held = false;
	json_array_append_new(demo->cases, kill_json(&result));
	if (demo->args.listing.json)
		return;
	snprintf(text, sizeof(text),
		 "the transfer failed in %.1f ms, \"%s\"; other peers are "
		 "well",
		 result.failed_after_ms, result.cause);
	report_text_row("peer killed in mid-transfer",
			result.held ? text : result.failure, result.held);
}

static void print_end(struct demo *demo)
{
	json_t *path = path_describe(demo->session, demo->peer.remote.peer);
	double seconds = (double)(now_ns() - demo->begin_ns) / 1e9;
	size_t n_gpus = json_array_size(demo->gpus);
	char mem[40] = "host", peer_mem[40] = "host";
	struct path_view view = {.own_name = tcpx_session_name(demo->session),
				 .allowed = demo->config.transports,
				 .mem = mem,
				 .peer_mem = peer_mem,
				 .all = demo->args.listing.verbose};

	if (n_gpus) { /* as run_cases() has them */
		snprintf(mem, sizeof(mem), "host and gpu:0");
		snprintf(peer_mem, sizeof(peer_mem), "host and gpu:%zu",
			 n_gpus - 1);
	}

	report_footnote();
	printf("\nThe path that carried it:\n\n");
	path_draw(stdout, &view, path);
	printf("\n%s in %.0f s.\n",
	       demo->held ? "Everything held" : "NOT everything held", seconds);
	json_decref(path);
}

static json_t *settings_json(struct demo *demo)
{
	json_t *path = path_describe(demo->session, demo->peer.remote.peer);

	bool quick = demo->args.quick;

	return json_pack("{ss sb sf sb so so* sO}", "version", tcpx_version(),
			 "quick", quick, "case_duration_s",
			 (double)(quick ? QUICK_CASE_NS : CASE_NS) / 1e9,
			 "ceiling", true, "session",
			 report_config(&demo->config), "path", path, "gpus",
			 demo->gpus);
}

static void print_begin(const struct demo *demo, const json_t *settings)
{
	const json_t *one;
	char line[256];
	size_t i;

	printf("tcpx %s: two processes, loopback sockets, every byte "
	       "checked; raw TCP in turn\n",
	       tcpx_version());
	json_array_foreach(demo->gpus, i, one)
		printf("%s\n", gpus_line(one, line, sizeof(line)));
	putchar('\n');
	if (demo->args.listing.verbose) {
		report_settings(json_object_get(settings, "session"));
		putchar('\n');
	}
	report_header();
}

static void show(struct demo *demo)
{
	char why[160];
	json_t *settings;

	demo->cases = json_array();
	demo->gpus = gpus_list(demo->session, why, sizeof(why));
	settings = settings_json(demo);
	demo->held = true;
	if (!demo->args.listing.json)
		print_begin(demo, settings);
	run_cases(demo);
	run_kill(demo);
	if (demo->args.listing.json) {
		report_json(settings, demo->cases, demo->held);
		return;
	}
	print_end(demo);
	json_decref(settings);
	json_decref(demo->cases);
}

int cmd_demo(int argc, char **argv)
{
	struct demo demo = {.args.listing.session.loopback = true,
			    .peer.fd = -1,
			    .victim.fd = -1,
			    .begin_ns = now_ns()};
	int rc;

	argp_parse(&parser, argc, argv, 0, NULL, &demo.args);
	rc = begin(&demo);
	if (!rc) {
		show(&demo);
		rc = demo.held ? EXIT_HELD : EXIT_BROKE;
	}
	finish(&demo);
	json_decref(demo.gpus);
	return rc;
}
