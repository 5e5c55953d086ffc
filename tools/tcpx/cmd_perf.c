/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd.h"

#include "perf.h"
#include "remote.h"
#include "report.h"
#include "serve.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

static bool not_interrupted(void *arg)
{
	(void)arg;
	return !interrupted;
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
	printf("no TCPX_SECRET is set; for this run clients use\n"
	       "  TCPX_SECRET=%s tcpx perf HOST\n",
	       text);
}

static int run_server(const struct perf_options *options)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct server server = {.keep_on = not_interrupted,
				.look_every_ms = 500,
				.talkative = true};
	struct tcpx_config config;
	char secret[33];
	int status;

	if (options_config(&options->session, &config))
		return EXIT_SETUP;
	if (!config.port_first)
		config.port_first = config.port_last = TOOL_PORT;
	make_secret(&config, secret);
	status = tcpx_session_open(&config, &server.session);
	if (status) {
		complain("cannot serve on port %u: %s", config.port_first,
			 tcpx_strerror(status));
		return EXIT_SETUP;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	printf("serving on port %u, interrupt to end\n",
	       tcpx_session_port(server.session));
	fflush(stdout);
	serve(&server);
	tcpx_session_close(server.session);
	return EXIT_HELD;
}

/* ---- measuring --------------------------------------------------------- */

static json_t *settings_json(const struct perf_options *o,
			     const struct tcpx_config *config)
{
	const struct bench_plan *plan = &o->plan;

	return json_pack("{ss ss ss sI sI sI sI sb sf sI sI sI sb sb ss sI so}",
			 "version", tcpx_version(), "server",
			 o->self ? "self" : o->host, "op",
			 case_op_name(plan->params.op), "size_first_bytes",
			 (json_int_t)plan->params.piece_bytes,
			 "size_last_bytes", (json_int_t)o->last_bytes,
			 "segments", (json_int_t)plan->params.n_pieces,
			 "outstanding", (json_int_t)plan->params.n_outstanding,
			 "both_directions", plan->params.both_directions,
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

static int measure(const struct perf_options *o, struct remote *remote,
		   const struct tcpx_config *config)
{
	json_t *settings = settings_json(o, config), *cases = json_array();
	json_t *path;
	bool held;

	remote->raw_port = o->raw_port;
	remote->socket_buffer_bytes = config->socket_buffer_bytes;
	if (!o->json) {
		report_settings(settings);
		report_settings(json_object_get(settings, "session"));
		putchar('\n');
		report_header();
	}
	held = sweep(o, remote, cases);
	if (o->json) {
		report_json(settings, cases, held);
		return held ? EXIT_HELD : EXIT_BROKE;
	}
	path = path_describe(remote->session, remote->peer);
	putchar('\n');
	path_draw(stdout, tcpx_session_name(remote->session), path);
	json_decref(path);
	json_decref(settings);
	json_decref(cases);
	return held ? EXIT_HELD : EXIT_BROKE;
}

static int run_client(struct perf_options *o)
{
	struct remote remote = {0};
	struct tcpx_config config;
	struct tcpx_session *session;
	int status, fd = -1, rc = EXIT_SETUP;
	pid_t pid = 0;

	o->session.loopback = o->self;
	/* Before the session opens: a fork wants a process of one thread. */
	if (o->self && peer_process_start(&o->session, &pid, &fd))
		return EXIT_SETUP;
	if (options_config(&o->session, &config))
		goto out_process;
	if (!o->self) /* a server's port is not ours, were it on this host */
		config.port_first = config.port_last = 0;
	status = tcpx_session_open(&config, &session);
	if (status) {
		complain("cannot open a session: %s", tcpx_strerror(status));
		goto out_process;
	}
	status = o->self ? remote_join(session, fd, &remote) :
			   remote_dial(session, o->host, &remote);
	if (!status)
		rc = measure(o, &remote, &config);
	remote_leave(&remote);
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
	return run_client(&options);
}
