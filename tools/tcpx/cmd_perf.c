/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd.h"

#include "interrupt.h"
#include "perf.h"
#include "proof.h"
#include "remote.h"
#include "report.h"
#include "serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static bool not_interrupted(void *arg)
{
	(void)arg;
	return !interrupt_came();
}

/* ---- serving ----------------------------------------------------------- */

/* Without a secret of the user's: one made up, told, good for this run. */
static void make_secret(struct tcpx_config *config, char *text)
{
	unsigned char bytes[16];

	if (config->secret && *config->secret)
		return;
	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		abort();
	for (unsigned i = 0; i < sizeof(bytes); i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
	config->secret = text;
}

static void print_serving(const struct server *server, const char *made)
{
	printf("serving on port %u, interrupt to end\n",
	       tcpx_session_port(server->session));
	if (*made)
		printf("no TCPX_SECRET is set; for this run clients use\n"
		       "  TCPX_SECRET=%s tcpx perf HOST\n",
		       made);
	fflush(stdout);
}

static void print_serving_json(const struct server *server, const char *made)
{
	json_t *json = json_pack("{ss si ss?}", "version", tcpx_version(),
				 "port",
				 (int)tcpx_session_port(server->session),
				 "secret", *made ? made : NULL);

	json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
	fflush(stdout);
	json_decref(json);
}

static int run_server(const struct perf_options *options)
{
	struct server server = {.keep_on = not_interrupted,
				.look_every_ms = 500,
				.talkative = !options->json};
	struct tcpx_config config;
	char secret[33] = "";

	if (options_config_between(&options->session, &config))
		return EXIT_SETUP;
	if (!config.port_first)
		config.port_first = config.port_last = TOOL_PORT;
	make_secret(&config, secret);
	if (interrupt_watch()) {
		complain("cannot serve: no thread");
		return EXIT_SETUP;
	}
	if (session_open(&config, "cannot serve", &server.session))
		return EXIT_SETUP;
	/* Read while it runs, also when it is a pipe. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (options->json)
		print_serving_json(&server, secret);
	else
		print_serving(&server, secret);
	serve(&server);
	tcpx_session_close(server.session);
	return EXIT_HELD;
}

/* ---- measuring --------------------------------------------------------- */

json_t *perf_settings(const struct perf_options *o,
		      const struct tcpx_config *config)
{
	const struct bench_plan *plan = &o->plan;
	char mem[PLACE_TEXT_MAX], peer_mem[PLACE_TEXT_MAX];

	return json_pack("{ss ss ss sI sI sI sI sb ss ss sf sI sI sI sb sb ss "
			 "sI so}",
			 "version", tcpx_version(), "server",
			 o->self ? "self" : o->host, "op",
			 case_op_name(plan->params.op), "size_first_bytes",
			 (json_int_t)plan->params.piece_bytes,
			 "size_last_bytes", (json_int_t)o->last_bytes,
			 "segments", (json_int_t)plan->params.n_pieces,
			 "outstanding", (json_int_t)plan->params.n_outstanding,
			 "both_directions", plan->params.both_directions, "mem",
			 place_format(&plan->params.mem, mem), "peer_mem",
			 place_format(&plan->params.peer_mem, peer_mem),
			 "duration_s", (double)plan->duration_ns / 1e9, "count",
			 (json_int_t)plan->count, "warmup",
			 (json_int_t)plan->warmup, "rounds",
			 (json_int_t)plan->n_rounds, "ceiling", plan->ceiling,
			 "verify", plan->verify, "wait",
			 wait_style_name(plan->params.wait), "seed",
			 (json_int_t)plan->params.seed, "session",
			 report_config(config));
}

/* Doubles up to the end of the range; one size is a range too. */
static bool sweep(const struct perf_options *o, const struct remote *remote,
		  json_t *cases)
{
	struct bench_plan plan = o->plan;
	struct bench_result result;
	bool held = true;

	while (held && plan.params.piece_bytes <= o->last_bytes) {
		held = bench_run(remote, &plan, &result);
		if (!o->json)
			report_row(&result);
		json_array_append_new(cases, report_case(&result));
		plan.params.piece_bytes *= 2;
	}
	return held;
}

/* What no row says; all of it if wanted. */
static void print_begin(const struct perf_options *o, const json_t *settings)
{
	const struct bench_plan *plan = &o->plan;

	if (o->verbose) {
		report_settings(settings);
		report_settings(json_object_get(settings, "session"));
		putchar('\n');
		report_header();
		return;
	}
	printf("tcpx %s, %s%s: ", tcpx_version(), o->self ? "" : "server ",
	       o->self ? "two processes here" : o->host);
	if (plan->count)
		printf("%llu transfer%s", (unsigned long long)plan->count,
		       plan->count == 1 ? "" : "s");
	else
		printf("%.3g s", (double)plan->duration_ns / 1e9);
	printf(" in %u round%s, seed %llu\n\n", plan->n_rounds,
	       plan->n_rounds == 1 ? "" : "s",
	       (unsigned long long)plan->params.seed);
	report_header();
}

void perf_print_path(const struct perf_options *o,
		     const struct tcpx_config *config,
		     struct tcpx_session *session, const json_t *path,
		     const json_t *counted)
{
	char mem[PLACE_TEXT_MAX], peer_mem[PLACE_TEXT_MAX];
	struct path_view view = {
		.own_name = tcpx_session_name(session),
		.allowed = config->transports,
		.mem = place_format(&o->plan.params.mem, mem),
		.peer_mem = place_format(&o->plan.params.peer_mem, peer_mem),
		/* One message went between these alone. */
		.only_local = o->single ? &o->plan.params.mem : NULL,
		.only_remote = &o->plan.params.peer_mem,
		.all = o->verbose,
	};

	putchar('\n');
	path_draw(stdout, &view, path);
	/* Of host memory NICs count nothing there. */
	if (o->verbose || o->plan.params.mem.kind != PLACE_HOST ||
	    o->plan.params.peer_mem.kind != PLACE_HOST)
		proof_print(counted);
}

static int measure(const struct perf_options *o, const struct remote *remote,
		   const struct tcpx_config *config)
{
	json_t *settings = perf_settings(o, config), *cases = json_array();
	json_t *path, *counted, *all;
	struct proof proof;
	bool held;

	if (!o->json)
		print_begin(o, settings);
	proof_begin(remote, &proof);
	held = sweep(o, remote, cases);
	counted = proof_end(remote, &proof);
	path = path_describe(remote->session, remote->peer);
	if (!o->json && o->plan.ceiling)
		report_footnote();
	if (!o->json && o->plan.ceiling && o->notify &&
	    o->plan.params.wait == WAIT_AUTO && config->busy_poll_us)
		report_unlike();
	if (!o->json)
		perf_print_path(o, config, remote->session, path, counted);
	all = json_pack("{so so so so* so so sb}", "settings", settings,
			"cases", cases, "cut", perf_cut(o, config, path),
			"path", path, "nic_counters", counted, "devmem_packets",
			proof_packets(counted), "held", held);
	if (o->json)
		report_object(all);
	else
		json_decref(all);
	return held ? EXIT_HELD : EXIT_BROKE;
}

static int run_client(struct perf_options *o)
{
	struct remote remote = {0};
	struct tcpx_config config;
	struct tcpx_session *session;
	char why[256];
	int status, fd = -1, rc = EXIT_SETUP;
	pid_t pid = 0;

	o->session.loopback = o->self;
	if (options_config_between(&o->session, &config))
		return EXIT_SETUP;
	if (o->single) /* by a channel, not inside a control message */
		config.small_bytes = 0;
	/* Before the session opens: a fork wants a process of one thread. */
	if (o->self && peer_process_start(&o->session, &pid, &fd))
		return EXIT_SETUP;
	if (!o->self) { /* the server's port is not ours, were it here */
		remote.port = config.port_first;
		config.port_first = config.port_last = 0;
	}
	if (session_open(&config, "cannot open a session", &session))
		goto out_process;
	if (place_check(session, &o->plan.params.mem, why, sizeof(why))) {
		complain("--mem: %s", why);
		goto out_session;
	}
	status = o->self ? remote_join(session, fd, &config, &remote) :
			   remote_dial(session, o->host, &config, &remote);
	remote.raw_port = o->raw_port;
	remote.socket_buffer_bytes = config.socket_buffer_bytes;
	/* A single message says at which of its steps it broke. */
	if (!status && !o->single)
		status = bench_place(&remote, &o->plan.params.peer_mem);
	if (!status)
		rc = o->single ? perf_single(o, &remote, &config) :
				 measure(o, &remote, &config);
	remote_leave(&remote);
out_session:
	tcpx_session_close(session);
out_process:
	peer_process_stop(pid, fd);
	return rc;
}

int cmd_perf(int argc, char **argv)
{
	struct perf_options options;

	perf_parse(argc, argv, &options);
	if (!options.self && !options.host)
		return run_server(&options);
	if (sweep_wanted(&options) && !options.point)
		return perf_sweep(&options);
	return run_client(&options);
}
