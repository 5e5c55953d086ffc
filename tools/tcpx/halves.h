/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_HALVES_H
#define TCPX_TOOL_HALVES_H

/* The steps a round is made of, each done by both ends; bench.c puts them
 * together. All return 0 or a status, with the reason in the result. */

#include "bench.h"
#include "raw.h"

#define SAMPLES_MAX (1u << 18)

struct bench {
	const struct remote *remote;
	const struct bench_plan *plan;
	struct bench_result *result;
	struct end end;
	struct raw_link link;
	struct samples round, all, raw_round, raw_all;
	double *speed, *raw_speed, *ratio; /* one a round */
	uint64_t ours_cpu_us, raw_cpu_us, n_bytes;
	uint64_t per_round;
	uint32_t contents; /* how often sources got new contents */
	bool wrong;
};

/* One half of a round. */
struct half {
	uint64_t elapsed_ns;
	uint64_t cpu_us; /* both processes */
};

/* Says why, unless something was said before. Returns status. */
int bench_fail(struct bench *bench, int status, const char *why);
/* Memory and transfers of the case, here and there. */
int bench_set_up(struct bench *bench);
int bench_tear_down(struct bench *bench);
int bench_fill(struct bench *bench, uint32_t contents);
/* Wrong bytes are no failure of the step: they set bench->wrong. */
int bench_check(struct bench *bench, uint32_t contents);
/* The raw connections. */
int bench_open_raw(struct bench *bench);
/* count transfers, by the library or by raw TCP. */
int bench_run_ours(struct bench *bench, uint64_t count, struct half *half);
int bench_run_raw(struct bench *bench, uint64_t count, struct half *half);

#endif
