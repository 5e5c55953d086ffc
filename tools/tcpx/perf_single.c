/* SPDX-License-Identifier: Apache-2.0 */
/* tcpx perf --single: one message, checked; the first thing to try. */
#include "perf.h"

#include "cmd.h"
#include "common/size.h"
#include "common/wrap.h"
#include "halves.h"
#include "proof.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

/* How far it came. */
enum step { STEP_MEMORY = 0, STEP_TRANSFER, STEP_CHECK, STEP_DONE };

static const struct {
	const char *name, *advice;
} steps[] = {
	[STEP_MEMORY] = {"memory",
			 "the connection stands; the memory of one end cannot "
			 "be had or used: tcpx info at both ends says which "
			 "GPUs there are"},
	[STEP_TRANSFER] = {"transfer",
			   "the connection stands; the channels of the "
			   "transport do not carry bytes: a firewall between "
			   "the data interfaces, or the transport's own "
			   "reason, with TCPX_LOG_LEVEL=info at both ends"},
	[STEP_CHECK] = {"check", "the bytes that came are not those sent: "
				 "trust nothing on this path, and report it"},
};

struct single {
	struct bench bench;
	struct bench_result result;
	enum step step; /* the one that failed, or STEP_DONE */
	double took_us;
};

/* Each step only after the one before. */
static void go(struct single *single)
{
	struct bench *bench = &single->bench;
	struct half half = {0};
	int status = bench_set_up(bench);

	if (!status)
		status = bench_fill(bench, 1);
	if (status)
		return;
	single->step = STEP_TRANSFER;
	if (bench_run_ours(bench, 1, &half))
		return;
	single->took_us = (double)half.elapsed_ns / 1e3;
	single->step = STEP_CHECK;
	if (!bench_check(bench, 1) && !bench->wrong)
		single->step = STEP_DONE;
}

static void run(struct single *single, const struct remote *remote,
		const struct bench_plan *plan)
{
	struct bench *bench = &single->bench;

	single->result.plan = *plan;
	bench->remote = remote;
	bench->plan = plan;
	bench->result = &single->result;
	if (samples_init(&bench->round, 1))
		bench_fail(bench, TCPX_ENOMEM, "no memory");
	else
		go(single);
	samples_fini(&bench->round);
	path_query(remote->session, remote->peer, &plan->params.mem,
		   &plan->params.peer_mem, &single->result.path);
	/* The other end may be gone, or busy still. */
	single->result.status = single->step == STEP_DONE ? 0 : TCPX_EPEER;
	(void)!bench_tear_down(bench);
}

static void print(const struct single *single)
{
	const struct bench_result *r = &single->result;
	const char *transport = r->path.transport;
	char label[96], text[512];

	bench_label(&r->plan, label, sizeof(label));
	if (single->step == STEP_DONE) {
		printf("held: %s by %s in %.0f us, every byte is right\n",
		       label, transport, single->took_us);
		return;
	}
	snprintf(text, sizeof(text), "BROKE: %s, %s (%s): %s", label,
		 steps[single->step].name, transport, r->failure);
	text_wrap(stdout, 0, 2, text);
	text_wrap(stdout, 2, 2, steps[single->step].advice);
}

static json_t *report(const struct single *single, json_t *settings,
		      json_t *cut, json_t *path, json_t *counted)
{
	const struct bench_result *r = &single->result;
	const struct case_params *p = &r->plan.params;
	bool done = single->step == STEP_DONE;
	char mem[PLACE_TEXT_MAX], peer_mem[PLACE_TEXT_MAX];

	return json_pack(
		"{so ss sI ss ss ss si si so sb ss? ss? so so* so so sb}",
		"settings", settings, "op", case_op_name(p->op), "bytes",
		(json_int_t)p->piece_bytes, "mem", place_format(&p->mem, mem),
		"peer_mem", place_format(&p->peer_mem, peer_mem), "transport",
		r->path.transport, "rails", (int)r->path.n_rails, "flows",
		(int)r->path.n_flows, "took_us",
		single->step > STEP_TRANSFER ? json_real(single->took_us) :
					       json_null(),
		"verified", done, "failed_at",
		done ? NULL : steps[single->step].name, "failure",
		done ? NULL : r->failure, "cut", cut, "path", path,
		"nic_counters", counted, "devmem_packets",
		proof_packets(counted), "held", done);
}

int perf_single(const struct perf_options *options, const struct remote *remote,
		const struct tcpx_config *config)
{
	struct single single = {.step = STEP_MEMORY};
	json_t *path, *counted, *all;
	struct proof proof;

	proof_begin(remote, &proof);
	run(&single, remote, &options->plan);
	counted = proof_end(remote, &proof);
	path = path_describe(remote->session, remote->peer);
	if (!options->json) {
		print(&single);
		/* A drawing would show memory that is not there. */
		if (single.step > STEP_MEMORY)
			perf_print_path(options, config, remote->session, path,
					counted);
	}
	all = report(&single, perf_settings(options, config),
		     perf_cut(options, config, path), path, counted);
	if (options->json)
		report_object(all);
	else
		json_decref(all);
	return single.step == STEP_DONE ? EXIT_HELD : EXIT_BROKE;
}
