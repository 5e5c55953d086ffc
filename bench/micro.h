/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_MICRO_H
#define BENCH_MICRO_H

/*
 * What single calls cost, and what a session costs that does nothing. Two
 * processes: this one, and a far one that holds the sessions connected to.
 * Public header only.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <tcpx/p2p.h>

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull

/* ---- small things: micro.c ---- */

/* Ends the process with a line on stderr if status is not 0. */
void must(int status, const char *what);
uint64_t now_ns(void);
void sleep_ms(unsigned ms);
/* Of n values, which it sorts. percent: 0 to 100. */
double percentile(double *values, size_t n, double percent);
/* {"p50": , "min": , "max": } of n values, which it sorts. */
json_t *summary(double *values, size_t n);

struct micro_options {
	bool quick; /* a shorter look */
	unsigned n_peers; /* of the many */
};

/* ---- the far process: far.c ---- */

struct far {
	pid_t pid;
	int fd; /* blobs come, its end tells the far process to go */
};

struct far_params {
	unsigned n_sessions;
	int n_workers; /* of each; -1: by CPUs */
	uint64_t mem_bytes; /* registered with the first; 0: none */
};

struct far_hello {
	size_t blob_len, mem_len;
	char blob[TCPX_BLOB_MAX];
	char mem[256];
};

/* Forks, so it comes before this process opens a session. */
void far_start(struct far *far, const struct far_params *params);
/* The next session's; to be called n_sessions times. */
void far_read(struct far *far, struct far_hello *hello);
void far_stop(struct far *far);
/* A session as all here have them: loopback, warnings on stderr. */
struct tcpx_session *micro_session(int n_workers);

/* ---- the measurements; each returns an object of figures ---- */

json_t *measure_calls(const struct micro_options *options);
json_t *measure_beside(const struct micro_options *options); /* calls.c */
/* n ping-pongs of raw TCP beside a raw stream; a summary. beside.c */
json_t *raw_beside(size_t n);
json_t *measure_idle(const struct micro_options *options);  /* crowd.c */
json_t *measure_peers(const struct micro_options *options); /* crowd.c */

#endif
