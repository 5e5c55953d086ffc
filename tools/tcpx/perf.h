/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_PERF_H
#define TCPX_TOOL_PERF_H

#include "bench.h"
#include "open.h"

enum sweep_axis { SWEEP_CHUNK = 0, SWEEP_WINDOW, SWEEP_CHANNELS, SWEEP_AXES };

#define SWEEP_VALUES_MAX 16

struct perf_options {
	struct session_options session;
	struct bench_plan plan; /* piece_bytes: of the first of the sweep */
	uint64_t last_bytes; /* of the sweep, doubling up to here */
	const char *host; /* NULL: serve, unless self */
	bool self;
	bool single; /* one message instead */
	bool point; /* of a sweep: does one of its measurements */
	struct {
		unsigned n; /* 0: this one is not swept */
		uint64_t value[SWEEP_VALUES_MAX];
	} sweep[SWEEP_AXES];
	int argc; /* a copy of the command line, where there is a sweep */
	char **argv;
	bool json;
	bool verbose; /* all settings, all transports */
	const char *client_option; /* the last that says nothing to a server */
	bool op_given, notify;
	uint16_t raw_port;
};

/* Ends the process on a wrong command line. */
void perf_parse(int argc, char **argv, struct perf_options *options);

/* TCPX_PERF_SIZE and _ITERS, or their older names; 0: not set. Ends the
 * process on bad ones. */
void perf_environment(uint64_t *bytes, uint64_t *count);

/* What a report begins with; docs/json.md. */
json_t *perf_settings(const struct perf_options *options,
		      const struct tcpx_config *config);
/* What one ends with, for people: the path, and what NICs counted. */
void perf_print_path(const struct perf_options *options,
		     const struct tcpx_config *config,
		     struct tcpx_session *session, const json_t *path,
		     const json_t *counted);

/* Where the server's settings are less than what was asked for here: an array
 * for "cut" in docs/json.md, each said on stderr as well. */
json_t *perf_cut(const struct perf_options *options,
		 const struct tcpx_config *config, const json_t *path);

/* A measurement at each point of the sweep; the exit status. */
int perf_sweep(const struct perf_options *options);
/* "chunk", "window=4,16", "all". False: not such. */
bool sweep_parse(const char *text, struct perf_options *options);
static inline bool sweep_wanted(const struct perf_options *options)
{
	return options->sweep[SWEEP_CHUNK].n ||
	       options->sweep[SWEEP_WINDOW].n ||
	       options->sweep[SWEEP_CHANNELS].n;
}

/* One message and its check; the exit status. */
int perf_single(const struct perf_options *options, const struct remote *remote,
		const struct tcpx_config *config);

#endif
