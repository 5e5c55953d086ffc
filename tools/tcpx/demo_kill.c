/* SPDX-License-Identifier: Apache-2.0 */
#include "demo.h"

#include "clock.h"
#include "log.h"
#include "message.h"
#include "report.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES (16ull << 20)
/* The same piece again and again: 256 GiB, about a minute. */
#define N_PIECES 16384u
#define MIDDLE_MS 300
#define SEED 1
/* A dead process is known at once: its connections end. */
#define FAIL_WAIT_MS 15000
#define FAIL_LIMIT_MS 2000.0
#define CALL_WAIT_MS 20000

static int fail(struct kill_result *result, int status, const char *what)
{
	if (!result->failure[0])
		snprintf(result->failure, sizeof(result->failure), "%s: %s",
			 what, tcpx_strerror(status));
	return status ? status : TCPX_EINTERNAL;
}

static int set_up(struct remote *victim, struct end *end)
{
	struct case_params params = {.op = CASE_WRITE,
				     .piece_bytes = PIECE_BYTES,
				     .n_pieces = 1,
				     .n_outstanding = 1,
				     .seed = SEED};
	struct message_error error;
	json_t *answer = NULL;
	int status =
		end_init(end, victim->session, victim->peer, true, &params);

	if (!status)
		status = message_call(victim->session, victim->peer,
				      case_params_encode(&params), CALL_WAIT_MS,
				      &answer, &error);
	if (!status)
		status = end_prepare(end, json_object_get(answer, "mem"));
	json_decref(answer);
	if (!status)
		status = end_fill(end, 0);
	return status;
}

/* What is known of it before: the way there is gone afterwards. */
static void describe(const struct remote *victim, struct kill_result *result)
{
	struct bench_result *bench = &result->bench;

	bench->plan.params = (struct case_params){.op = CASE_WRITE,
						  .piece_bytes = PIECE_BYTES,
						  .n_pieces = N_PIECES,
						  .n_outstanding = 1,
						  .seed = SEED};
	bench->status = TCPX_EPEER;
	path_query(victim->session, victim->peer, &bench->plan.params.mem,
		   &bench->plan.params.peer_mem, &bench->path);
}

static int prepare_long(const struct end *end, uint64_t *xfer)
{
	struct tcpx_segment *list = calloc(N_PIECES, sizeof(*list));
	struct tcpx_xfer_params params = {.size_bytes = sizeof(params),
					  .peer = end->peer,
					  .op = TCPX_OP_WRITE,
					  .segments = list,
					  .n_segments = N_PIECES};
	int status;

	if (!list)
		return TCPX_ENOMEM;
	for (unsigned i = 0; i < N_PIECES; i++)
		list[i] = (struct tcpx_segment){.local_mem = end->source_mem,
						.remote_mem = end->remote_sink,
						.len_bytes = PIECE_BYTES};
	status = tcpx_xfer_prepare(end->session, &params, xfer);
	free(list);
	return status;
}

/* In the middle: the transfer is far from done, and has gone on for a while. */
static int wait_for_middle(struct tcpx_session *session, uint64_t xfer)
{
	int status = tcpx_xfer_wait(session, xfer, MIDDLE_MS);

	if (status == TCPX_ETIMEDOUT)
		return 0;
	return status ? status : TCPX_EINTERNAL;
}

static void judge(struct kill_result *result)
{
	if (result->status == TCPX_ETIMEDOUT || result->status == 0)
		fail(result, result->status,
		     "the transfer did not fail after its peer was killed");
	else if (tcpx_status_scope(result->status) != TCPX_SCOPE_PEER)
		fail(result, result->status,
		     "the failure does not say that the peer is gone");
	else if (result->failed_after_ms > FAIL_LIMIT_MS)
		fail(result, result->status, "the failure came late");
	else if (!result->cause[0])
		fail(result, result->status, "the failure has no cause");
}

static void kill_in_the_middle(struct tcpx_session *session, uint64_t xfer,
			       pid_t pid, struct kill_result *result)
{
	struct tcpx_xfer_info info = {0};
	uint64_t begin_ns;
	int status = tcpx_xfer_post(session, xfer, NULL);

	if (!status)
		status = wait_for_middle(session, xfer);
	if (status) {
		fail(result, status, "the long transfer did not run");
		return;
	}
	log_hush(true);
	begin_ns = now_ns();
	kill(pid, SIGKILL);
	result->status = tcpx_xfer_wait(session, xfer, FAIL_WAIT_MS);
	result->failed_after_ms = (double)(now_ns() - begin_ns) / 1e6;
	if (!tcpx_xfer_query(session, xfer, &info)) {
		result->moved_gigabytes = (double)info.moved_bytes / 1e9;
		snprintf(result->cause, sizeof(result->cause), "%s",
			 info.cause);
	}
	judge(result);
}

static void check_survivor(const struct remote *survivor,
			   struct kill_result *result)
{
	struct bench_plan plan = {.params = {.op = CASE_WRITE,
					     .piece_bytes = 1 << 20},
				  .count = 4,
				  .n_rounds = 1,
				  .verify = true};
	struct bench_result after;

	bench_defaults(&plan);
	if (!bench_run(survivor, &plan, &after))
		fail(result, after.status,
		     "afterwards the other peer could not be written to");
}

void demo_kill(struct remote *victim, pid_t pid, const struct remote *survivor,
	       struct kill_result *result)
{
	struct end end = {0};
	uint64_t xfer = 0;
	int status;

	memset(result, 0, sizeof(*result));
	progress("a peer is killed");
	describe(victim, result);
	status = set_up(victim, &end);
	if (!status)
		status = prepare_long(&end, &xfer);
	if (status)
		fail(result, status, "preparing the long transfer");
	else
		kill_in_the_middle(victim->session, xfer, pid, result);
	if (xfer)
		tcpx_xfer_release(victim->session, xfer);
	end_fini(&end);
	check_survivor(survivor, result);
	/* The transfer may end before the line about its peer is written. */
	log_hush(false);
	result->held = !result->failure[0];
	progress_clear();
}
