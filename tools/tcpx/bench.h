/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_BENCH_H
#define TCPX_TOOL_BENCH_H

/*
 * The measuring side: one case against a server (serve.h), in rounds. Each
 * round lays out new contents, moves them by the library, checks every byte
 * outside the timed part, and, if a ceiling is wanted, moves as many bytes
 * through the same memory over as many bare connections. Machines drift, so
 * only the two halves of a round are compared, and the median of the rounds'
 * ratios counts; odd rounds run the halves in the other order.
 */

#include "end.h"
#include "path.h"

#define BENCH_PAIRS 5

struct remote {
	struct tcpx_session *session;
	uint64_t peer;
	const char *raw_host; /* where bare connections go */
	uint16_t port; /* of the server, where its address has none */
	uint16_t raw_port; /* 0: any the server has free */
	uint32_t socket_buffer_bytes;
};

struct bench_plan {
	struct case_params params;
	uint64_t count; /* transfers in all; 0: as duration_ns says */
	uint64_t duration_ns; /* about this much of ours, all rounds */
	uint64_t warmup; /* transfers at least before the first round */
	uint32_t n_rounds;
	bool ceiling, verify;
};

struct bench_result {
	struct bench_plan plan;
	struct path_summary path;
	uint64_t n_transfers; /* each direction */
	double gigabytes_per_s, p50_us, p99_us, cpu_s_per_gb;
	bool has_ceiling;
	double ceiling_gigabytes_per_s, ceiling_p50_us, ceiling_p99_us;
	double ceiling_cpu_s_per_gb;
	double ratio; /* ours to the ceiling: GB/s; of notify: p50 */
	bool verified; /* every byte of every round was right */
	int status; /* 0, or why the case ended early */
	char failure[256]; /* in words */
};

/* Zero in a plan is filled with what is usual. */
void bench_defaults(struct bench_plan *plan);
/* Runs it; what went wrong is in the result. True if all held. */
bool bench_run(const struct remote *remote, const struct bench_plan *plan,
	       struct bench_result *result);
/* Opens the conversation with a server. Returns 0 or a status. */
int bench_hello(const struct remote *remote);
/* Is there such a GPU at the other end? Complains if not. */
int bench_place(const struct remote *remote, const struct place *place);
void bench_bye(const struct remote *remote);

#endif
