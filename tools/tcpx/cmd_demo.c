/* SPDX-License-Identifier: Apache-2.0 */
/* The whole show: two processes, every kind of transfer, every byte checked,
 * each beside raw TCP; and a peer that dies. */
#include "cmd.h"

#include "clock.h"
#include "demo.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

#define CASE_NS (1500 * NS_PER_MS) /* of ours; raw takes as long */

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

#define N_CASES (sizeof(demo_cases) / sizeof(demo_cases[0]))

/* A second process and the way to it. */
struct partner {
	pid_t pid;
	int fd;
	struct remote remote;
};

struct demo {
	struct listing_options args;
	struct tcpx_config config;
	struct tcpx_session *session;
	struct partner peer, victim;
	json_t *cases;
	bool held;
	uint64_t begin_ns;
};

static const struct argp_option option_table[] = {
	{"json", 'j', NULL, 0, "one JSON object instead of a table", 0},
	{0},
};
static const struct argp parser = {
	.options = option_table,
	.parser = listing_parse,
	.children = listing_children,
	.doc = "Shows host memory moving between two processes over loopback "
	       "sockets: large and small, in pieces, with notifications, and "
	       "to a peer that is killed. Every byte is checked, outside the "
	       "timed part; raw TCP moves as much through the same memory in "
	       "turn with it. Takes under a minute."
	       "\v"
	       "Examples:\n"
	       "  tcpx demo\n"
	       "  tcpx demo --json | jq '.cases[] | {case, ratio}'\n\n" EXIT_STATUS_HELP,
};

static int start_partner(struct demo *demo, struct partner *partner)
{
	return peer_process_start(&demo->args.session, &partner->pid,
				  &partner->fd);
}

static int begin(struct demo *demo)
{
	/* Both processes first: afterwards this one has threads. */
	if (start_partner(demo, &demo->peer) ||
	    start_partner(demo, &demo->victim))
		return EXIT_SETUP;
	if (options_config(&demo->args.session, &demo->config))
		return EXIT_SETUP;
	if (options_open(&demo->args.session, &demo->session))
		return EXIT_SETUP;
	if (remote_join(demo->session, demo->peer.fd, &demo->peer.remote) ||
	    remote_join(demo->session, demo->victim.fd, &demo->victim.remote))
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

static void run_cases(struct demo *demo)
{
	struct bench_plan plan;
	struct bench_result result;

	for (unsigned i = 0; i < N_CASES; i++) {
		plan = (struct bench_plan){.params = demo_cases[i],
					   .duration_ns = CASE_NS,
					   .ceiling = true,
					   .verify = true};
		bench_defaults(&plan);
		if (!bench_run(&demo->peer.remote, &plan, &result))
			demo->held = false;
		if (!demo->args.json)
			report_row(&result);
		json_array_append_new(demo->cases, report_case(&result));
	}
}

/* The keys that every case has, and what is known of this one. */
static json_t *kill_json(const struct kill_result *r)
{
	return json_pack("{ss ss sn sn sn sn sn si sn sn sn sn sn sb sf sf ss "
			 "ss so}",
			 "case", "peer killed in mid-transfer", "op", "kill",
			 "bytes", "segments", "transport", "rails", "flows",
			 "outstanding", 1, "gigabytes_per_s", "p50_us",
			 "p99_us", "ceiling_gigabytes_per_s", "ratio",
			 "verified", r->held, "moved_gigabytes",
			 r->moved_gigabytes, "failed_after_ms",
			 r->failed_after_ms, "status",
			 tcpx_status_name(r->status), "cause", r->cause,
			 "failure",
			 r->held ? json_null() : json_string(r->failure));
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
	if (demo->args.json)
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

	printf("\nThe path that carried it:\n\n");
	path_draw(stdout, tcpx_session_name(demo->session), path);
	printf("\n%s in %.0f s.\n",
	       demo->held ? "Everything held" : "NOT everything held", seconds);
	json_decref(path);
}

static json_t *settings_json(struct demo *demo)
{
	json_t *path = path_describe(demo->session, demo->peer.remote.peer);

	return json_pack("{ss sf sb so so*}", "version", tcpx_version(),
			 "case_duration_s", (double)CASE_NS / 1e9, "ceiling",
			 true, "session", report_config(&demo->config), "path",
			 path);
}

static void show(struct demo *demo)
{
	json_t *settings = settings_json(demo);

	demo->held = true;
	if (!demo->args.json) {
		printf("tcpx %s: two processes, loopback sockets, every byte "
		       "checked; raw TCP in turn\n\n",
		       tcpx_version());
		report_header();
	}
	run_cases(demo);
	run_kill(demo);
	if (demo->args.json) {
		report_json(settings, demo->cases, demo->held);
		return;
	}
	print_end(demo);
	json_decref(settings);
	json_decref(demo->cases);
}

int cmd_demo(int argc, char **argv)
{
	struct demo demo = {.args.session.loopback = true,
			    .cases = json_array(),
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
	return rc;
}
