/* SPDX-License-Identifier: Apache-2.0 */
#include "halves.h"

#include "clock.h"
#include "message.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define CALL_WAIT_MS 60000
#define RAW_WAIT_MS 5000
#define RAW_WAY_MS 1000
#define GOODBYE_WAIT_MS 500

int bench_fail(struct bench *bench, int status, const char *why)
{
	if (!bench->result->failure[0])
		snprintf(bench->result->failure, sizeof(bench->result->failure),
			 "%s", why);
	return status;
}

static int call(struct bench *bench, json_t *request, json_t **reply)
{
	struct message_error error;
	int status = message_call(bench->remote->session, bench->remote->peer,
				  request, CALL_WAIT_MS, reply, &error);

	return status ? bench_fail(bench, status, error.text) : 0;
}

static int ask(struct bench *bench, json_t *request)
{
	int status = message_send(bench->remote->session, bench->remote->peer,
				  request);

	return status ? bench_fail(bench, status, tcpx_strerror(status)) : 0;
}

static int reply(struct bench *bench, json_t **answer)
{
	struct message_error error;
	int status = message_reply(bench->remote->session, bench->remote->peer,
				   CALL_WAIT_MS, answer, &error);

	return status ? bench_fail(bench, status, error.text) : 0;
}

int bench_set_up(struct bench *bench)
{
	const struct case_params *params = &bench->plan->params;
	json_t *answer = NULL;
	int status = end_init(&bench->end, bench->remote->session,
			      bench->remote->peer, true, params);

	if (status)
		return bench_fail(bench, status, bench->end.failure);
	status = call(bench, case_params_encode(params), &answer);
	if (status)
		return status;
	status = end_prepare(&bench->end, json_object_get(answer, "mem"));
	json_decref(answer);
	if (status)
		return bench_fail(bench, status, bench->end.failure);
	return call(bench,
		    json_pack("{ss so}", "do", "peer_mem", "mem",
			      end_mem(&bench->end)),
		    NULL);
}

/* Both ends at once; each needs its memory touched anyway. */
int bench_fill(struct bench *bench, uint32_t round)
{
	int status = ask(bench, json_pack("{ss si}", "do", "fill", "round",
					  (int)round));

	if (status)
		return status;
	status = end_fill(&bench->end, round);
	if (status)
		return bench_fail(bench, status, bench->end.failure);
	return reply(bench, NULL);
}

int bench_check(struct bench *bench, uint32_t round)
{
	json_t *answer = NULL;
	char why[128];
	int status = ask(bench, json_pack("{ss si}", "do", "check", "round",
					  (int)round));

	if (status)
		return status;
	if (!end_check(&bench->end, round, why, sizeof(why))) {
		bench->wrong = true;
		bench_fail(bench, 0, why);
	}
	status = reply(bench, &answer);
	if (status)
		return status;
	if (!json_is_true(json_object_get(answer, "ok"))) {
		bench->wrong = true;
		bench_fail(bench, 0,
			   json_string_value(json_object_get(answer, "why")));
	}
	json_decref(answer);
	return 0;
}

static uint64_t remote_cpu_us(const json_t *answer)
{
	return (uint64_t)json_integer_value(json_object_get(answer, "cpu_us"));
}

int bench_run_ours(struct bench *bench, uint64_t count, struct half *half)
{
	uint64_t begin_ns, cpu_us = cpu_used_us();
	json_t *answer = NULL;
	int status = call(bench,
			  json_pack("{ss sI}", "do", "start", "count",
				    (json_int_t)count),
			  NULL);

	if (status)
		return status;
	samples_reset(&bench->round);
	begin_ns = now_ns();
	if (bench->plan->params.op == CASE_NOTIFY)
		status = end_pingpong(&bench->end, count, &bench->round);
	else
		status = end_run(&bench->end, count, &bench->round);
	half->elapsed_ns = now_ns() - begin_ns;
	if (status)
		return bench_fail(bench, status, bench->end.failure);
	status = call(bench, json_pack("{ss}", "do", "stop"), &answer);
	if (status)
		return status;
	/* The other direction ends when the server says so. */
	if (bench->plan->params.both_directions)
		half->elapsed_ns = now_ns() - begin_ns;
	half->cpu_us = cpu_used_us() - cpu_us + remote_cpu_us(answer);
	json_decref(answer);
	return 0;
}

static int raw_loops(struct bench *bench, uint64_t count, struct half *half)
{
	struct end *end = &bench->end;
	bool spin = end->params.wait == WAIT_SPIN;
	struct raw_pingpong pingpong = {
		.message_bytes = (uint32_t)end->params.piece_bytes,
		.n_round_trips = count,
		.spin = spin,
	};
	struct raw_stream stream = {
		.source = end->source.host,
		.sink = end->sink.host,
		.area_bytes = end_bytes(end) * end->params.n_outstanding,
		.total_bytes = end_bytes(end) * count,
		.spin = spin,
	};
	uint64_t begin_ns = now_ns();
	int err;

	if (end->params.op != CASE_NOTIFY)
		return raw_stream_run(&bench->link, &stream, &half->elapsed_ns);
	bench->raw_round.n_added = count < SAMPLES_MAX ? count : SAMPLES_MAX;
	pingpong.n_round_trips = bench->raw_round.n_added;
	err = raw_pingpong_run(&bench->link, &pingpong, bench->raw_round.ns);
	half->elapsed_ns = now_ns() - begin_ns;
	return err;
}

/* One end that goes cuts the raw flows too, having said so. */
static int raw_failed(struct bench *bench, int err)
{
	struct message_error error;
	int status = message_reply(bench->remote->session, bench->remote->peer,
				   GOODBYE_WAIT_MS, NULL, &error);

	if (status == TCPX_ECLOSED)
		return bench_fail(bench, status, tcpx_strerror(status));
	return bench_fail(bench, TCPX_ECHANNEL, strerror(-err));
}

int bench_run_raw(struct bench *bench, uint64_t count, struct half *half)
{
	uint64_t cpu_us = cpu_used_us();
	json_t *answer = NULL;
	int status, err;

	if (bench->plan->params.op == CASE_NOTIFY && count > SAMPLES_MAX)
		count = SAMPLES_MAX;
	status = call(bench,
		      json_pack("{ss sI}", "do", "raw_run", "count",
				(json_int_t)count),
		      NULL);
	if (status)
		return status;
	err = raw_loops(bench, count, half);
	if (err)
		return raw_failed(bench, err);
	status = call(bench, json_pack("{ss}", "do", "stop"), &answer);
	if (status)
		return status;
	half->cpu_us = cpu_used_us() - cpu_us + remote_cpu_us(answer);
	json_decref(answer);
	return 0;
}

/* From the address that ours come from, if that goes. */
static bool find_raw_way(const struct path_way *path, uint16_t port,
			 struct raw_way *way)
{
	*way = (struct raw_way){0};
	if (addr_parse(path->remote, &way->to))
		return false;
	addr_set_port(&way->to, port);
	if (!addr_parse(path->local, &way->from) &&
	    way->from.sa.sa_family == way->to.sa.sa_family &&
	    raw_way_is_open(way, RAW_WAY_MS))
		return true;
	way->from = (struct net_addr){0};
	return raw_way_is_open(way, RAW_WAY_MS);
}

/* Bare connections go by the rails that ours go by; where one is not open to
 * them, all go to the host's name. */
static int find_raw_ways(const struct bench *bench, uint16_t port,
			 struct raw_way ways[PATH_WAYS_MAX], unsigned *n_ways)
{
	const struct path_summary *path = &bench->result->path;
	unsigned n = 0;

	while (n < path->n_ways && find_raw_way(&path->ways[n], port, &ways[n]))
		n++;
	*n_ways = n;
	if (n && n == path->n_ways)
		return 0;
	*n_ways = 1;
	return raw_way_to(bench->remote->raw_host, port, RAW_WAIT_MS, &ways[0]);
}

int bench_open_raw(struct bench *bench)
{
	unsigned n = bench->result->path.n_flows;
	bool both = bench->plan->params.both_directions;
	bool forward = bench->plan->params.op != CASE_READ;
	struct raw_way ways[PATH_WAYS_MAX];
	struct raw_token token;
	json_t *answer = NULL;
	unsigned n_ways;
	int status, err;

	if (bench->plan->params.op == CASE_NOTIFY)
		n = 1;
	if (n > RAW_FLOWS_MAX / 2)
		n = RAW_FLOWS_MAX / 2;
	bench->link.n = both ? 2 * n : n;
	bench->link.n_forward = both || forward ? n : 0;
	if (getrandom(&token, sizeof(token), 0) != sizeof(token))
		return bench_fail(bench, TCPX_EINTERNAL, "no random bytes");
	status = call(bench,
		      json_pack("{ss si si si sI so}", "do", "raw_open",
				"flows", (int)bench->link.n, "forward",
				(int)bench->link.n_forward, "port",
				(int)bench->remote->raw_port, "buffer_bytes",
				(json_int_t)bench->remote->socket_buffer_bytes,
				"token", json_hex(&token, sizeof(token))),
		      &answer);
	if (status)
		return status;
	err = find_raw_ways(
		bench,
		(uint16_t)json_integer_value(json_object_get(answer, "port")),
		ways, &n_ways);
	json_decref(answer);
	if (!err)
		err = raw_connect(ways, n_ways, &token, RAW_WAIT_MS,
				  &bench->link);
	if (err)
		return bench_fail(bench, TCPX_EUNREACHABLE,
				  "no raw connections");
	raw_set_buffers(&bench->link, bench->remote->socket_buffer_bytes);
	return 0;
}

int bench_tear_down(struct bench *bench)
{
	raw_close(&bench->link);
	end_fini(&bench->end);
	if (bench->result->status)
		return 0; /* the other end may be gone, or busy still */
	return call(bench, json_pack("{ss}", "do", "end"), NULL);
}
