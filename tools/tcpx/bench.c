/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

#include "clock.h"
#include "cmd.h"
#include "halves.h"
#include "message.h"
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_WAIT_MS 60000
#define WARM_ENOUGH_NS (50 * NS_PER_MS)
#define WARM_MOST_NS (2 * NS_PER_S)
#define ROUNDS_MAX 1000u
#define SINGLES_MAX 20
#define SINGLES_NS (20 * NS_PER_MS)

/* Transfers of fresh contents, and a look at every byte of them. */
static int run_checked(struct bench *bench, uint64_t count, struct half *half)
{
	uint32_t contents = ++bench->contents;
	int status = 0;

	/* Once in any case: untouched memory is one page of zeroes, which
	 * would stay in the cache. */
	if (bench->plan->verify || contents == 1)
		status = bench_fill(bench, contents);
	if (!status)
		status = bench_run_ours(bench, count, half);
	if (!status && bench->plan->verify)
		status = bench_check(bench, contents);
	return status;
}

/* Until things are warm; the last run says how long a transfer takes. */
static int warm_up(struct bench *bench, double *transfer_ns)
{
	uint64_t count = bench->plan->params.n_outstanding, n_done = 0;
	uint64_t begin_ns = now_ns(), spent_ns = 0;
	struct half half = {0};
	int status = 0;

	if (bench->plan->params.op == CASE_NOTIFY)
		count = 64;
	while (!status) {
		status = run_checked(bench, count, &half);
		n_done += count;
		*transfer_ns = (double)half.elapsed_ns / (double)count;
		spent_ns = now_ns() - begin_ns;
		if (n_done >= bench->plan->warmup &&
		    (half.elapsed_ns > WARM_ENOUGH_NS ||
		     spent_ns > WARM_MOST_NS))
			break;
		count *= 2;
	}
	return status;
}

static void plan_rounds(struct bench *bench, double transfer_ns)
{
	const struct bench_plan *plan = bench->plan;
	double round_ns = (double)plan->duration_ns / plan->n_rounds;

	bench->per_round = plan->count ? (plan->count + plan->n_rounds - 1) /
						 plan->n_rounds :
					 (uint64_t)(round_ns / transfer_ns);
	if (bench->per_round < plan->params.n_outstanding)
		bench->per_round = plan->params.n_outstanding;
	if (plan->params.op == CASE_NOTIFY && bench->per_round < 64)
		bench->per_round = 64;
}

static uint64_t round_bytes(const struct bench *bench)
{
	/* A ping-pong moves a message each way. */
	return end_bytes(&bench->end) * bench->per_round *
	       (bench->end.params.both_directions ? 2 : 1);
}

/*
 * In the timed run a later transfer may mend what an earlier one left out,
 * so some are looked at alone: one, or as many as little time allows. A
 * ping-pong checks as it goes.
 */
static int run_singles(struct bench *bench)
{
	uint64_t until_ns = now_ns() + SINGLES_NS;
	struct half half;
	int status;

	if (!bench->plan->verify || bench->plan->params.op == CASE_NOTIFY)
		return 0;
	for (int i = 0; i == 0 || (i < SINGLES_MAX && now_ns() < until_ns);
	     i++) {
		status = run_checked(bench, bench->plan->params.n_outstanding,
				     &half);
		if (status)
			return status;
	}
	return 0;
}

static int half_ours(struct bench *bench, uint32_t i)
{
	struct half half = {0};
	int status = run_singles(bench);

	if (!status)
		status = run_checked(bench, bench->per_round, &half);
	if (status)
		return status;
	bench->speed[i] = (double)round_bytes(bench) / (double)half.elapsed_ns;
	bench->ours_cpu_us += half.cpu_us;
	bench->n_bytes += round_bytes(bench);
	bench->result->n_transfers += bench->per_round;
	for (uint64_t k = 0; k < bench->round.n_added; k++)
		samples_add(&bench->all, bench->round.ns[k % bench->round.cap]);
	return 0;
}

static int half_raw(struct bench *bench, uint32_t i)
{
	struct half half = {0};
	int status = bench_run_raw(bench, bench->per_round, &half);

	if (status)
		return status;
	bench->raw_speed[i] =
		(double)round_bytes(bench) / (double)half.elapsed_ns;
	bench->raw_cpu_us += half.cpu_us;
	for (uint64_t k = 0; k < bench->raw_round.n_added; k++)
		samples_add(&bench->raw_all, bench->raw_round.ns[k]);
	return 0;
}

static int one_round(struct bench *bench, uint32_t i)
{
	bool notify = bench->plan->params.op == CASE_NOTIFY;
	int status;

	if (!bench->plan->ceiling)
		return half_ours(bench, i);
	status = i % 2 ? half_raw(bench, i) : half_ours(bench, i);
	if (!status)
		status = i % 2 ? half_ours(bench, i) : half_raw(bench, i);
	if (status)
		return status;
	bench->ratio[i] =
		notify ? samples_percentile_us(&bench->round, 0.5) /
				 samples_percentile_us(&bench->raw_round, 0.5) :
			 bench->speed[i] / bench->raw_speed[i];
	return 0;
}

static void sum_up(struct bench *bench)
{
	struct bench_result *r = bench->result;
	uint32_t n = bench->plan->n_rounds;
	double gigabytes = (double)bench->n_bytes / 1e9;

	r->gigabytes_per_s = median(bench->speed, n);
	r->p50_us = samples_percentile_us(&bench->all, 0.50);
	r->p99_us = samples_percentile_us(&bench->all, 0.99);
	r->cpu_s_per_gb = (double)bench->ours_cpu_us / 1e6 / gigabytes;
	r->verified = bench->plan->verify && !bench->wrong;
	r->has_ceiling = bench->plan->ceiling;
	if (!r->has_ceiling)
		return;
	r->ceiling_gigabytes_per_s = median(bench->raw_speed, n);
	r->ceiling_p50_us = samples_percentile_us(&bench->raw_all, 0.50);
	r->ceiling_p99_us = samples_percentile_us(&bench->raw_all, 0.99);
	r->ceiling_cpu_s_per_gb = (double)bench->raw_cpu_us / 1e6 / gigabytes;
	r->ratio = median(bench->ratio, n);
}

static int measure(struct bench *bench)
{
	const struct remote *remote = bench->remote;
	char label[96];
	double transfer_ns;
	int status;

	bench_label(bench->plan, label, sizeof(label));
	progress("%s: warming up", label);
	status = bench_set_up(bench);
	if (!status)
		status = warm_up(bench, &transfer_ns);
	if (status)
		return status;
	path_query(remote->session, remote->peer, &bench->plan->params.mem,
		   &bench->plan->params.peer_mem, &bench->result->path);
	plan_rounds(bench, transfer_ns);
	if (bench->plan->ceiling)
		status = bench_open_raw(bench);
	for (uint32_t i = 0; i < bench->plan->n_rounds && !status; i++) {
		progress("%s: round %u of %u", label, i + 1,
			 bench->plan->n_rounds);
		status = one_round(bench, i);
	}
	return status;
}

static int take_memory(struct bench *bench)
{
	uint32_t n = bench->plan->n_rounds;

	bench->speed = calloc(n, sizeof(double));
	bench->raw_speed = calloc(n, sizeof(double));
	bench->ratio = calloc(n, sizeof(double));
	if (!bench->speed || !bench->raw_speed || !bench->ratio ||
	    samples_init(&bench->round, SAMPLES_MAX) ||
	    samples_init(&bench->all, SAMPLES_MAX) ||
	    samples_init(&bench->raw_round, SAMPLES_MAX) ||
	    samples_init(&bench->raw_all, SAMPLES_MAX))
		return bench_fail(bench, TCPX_ENOMEM,
				  "no memory for the samples");
	return 0;
}

static void give_memory(struct bench *bench)
{
	samples_fini(&bench->round);
	samples_fini(&bench->all);
	samples_fini(&bench->raw_round);
	samples_fini(&bench->raw_all);
	free(bench->speed);
	free(bench->raw_speed);
	free(bench->ratio);
}

bool bench_run(const struct remote *remote, const struct bench_plan *plan,
	       struct bench_result *result)
{
	struct bench bench = {.remote = remote, .plan = plan, .result = result};
	int status;

	memset(result, 0, sizeof(*result));
	result->plan = *plan;
	status = take_memory(&bench);
	if (!status)
		status = measure(&bench);
	result->status = status;
	if (!status)
		sum_up(&bench);
	(void)!bench_tear_down(&bench);
	give_memory(&bench);
	progress_clear();
	return !status && !bench.wrong;
}

void bench_defaults(struct bench_plan *plan)
{
	if (!plan->params.n_pieces)
		plan->params.n_pieces = 1;
	if (!plan->params.n_outstanding)
		plan->params.n_outstanding = 1;
	if (!plan->n_rounds && plan->count && plan->count < BENCH_PAIRS)
		plan->n_rounds = (uint32_t)plan->count;
	if (!plan->n_rounds)
		plan->n_rounds = BENCH_PAIRS;
	if (plan->n_rounds > ROUNDS_MAX)
		plan->n_rounds = ROUNDS_MAX;
	if (!plan->duration_ns)
		plan->duration_ns = 2 * NS_PER_S;
	if (!plan->params.seed)
		plan->params.seed = (uint64_t)time(NULL);
}

int bench_hello(const struct remote *remote)
{
	struct message_error error;
	int status = message_call(remote->session, remote->peer,
				  json_pack("{ss si}", "do", "hello",
					    "protocol", MESSAGE_PROTOCOL),
				  CALL_WAIT_MS, NULL, &error);

	if (status)
		complain("%s", error.text);
	return status;
}

int bench_place(const struct remote *remote, const struct place *place)
{
	struct message_error error;
	char text[PLACE_TEXT_MAX];
	int status;

	if (place->kind == PLACE_HOST)
		return 0;
	status = message_call(remote->session, remote->peer,
			      json_pack("{ss ss}", "do", "place", "mem",
					place_format(place, text)),
			      CALL_WAIT_MS, NULL, &error);
	if (status)
		complain("--peer-mem: %s", error.text);
	return status;
}

void bench_bye(const struct remote *remote)
{
	struct message_error error;

	(void)!message_call(remote->session, remote->peer,
			    json_pack("{ss}", "do", "bye"), 2000, NULL, &error);
}
