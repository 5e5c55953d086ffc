/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh.h"

#include "clock.h"
#include "cmd.h"
#include "common/size.h"
#include "perf.h"

#include <stdlib.h>
#include <string.h>

#define JOIN_S 60
#define PAIR_S 120
#define ITERS 10
#define WARMUP 2

enum {
	KEY_HOSTS = 0x100,
	KEY_RANK,
	KEY_RANKS,
	KEY_ROOT,
	KEY_OP,
	KEY_SIZE,
	KEY_ITERS,
	KEY_WARMUP,
	KEY_OUTSTANDING,
	KEY_MEM,
	KEY_ALL,
	KEY_VERIFY,
	KEY_NO_VERIFY,
	KEY_LOG_DIR,
	KEY_JOIN,
	KEY_TIMEOUT,
	KEY_SEED,
};

static const struct argp_option option_table[] = {
	{NULL, 0, NULL, 0,
	 "Who takes part (not needed under mpirun and srun):", 1},
	{"hosts", KEY_HOSTS, "A,B,...", 0,
	 "one process on each of these; the first is rank 0; a host that is "
	 "named twice needs --rank",
	 0},
	{"rank", KEY_RANK, "N", 0, "which rank this process is, from 0", 0},
	{"ranks", KEY_RANKS, "N", 0, "how many there are", 0},
	{"root", KEY_ROOT, "HOST[:PORT]", 0,
	 "where rank 0 is (default port: TCPX_PORT, else 7175)", 0},
	{NULL, 0, NULL, 0, "What is measured, each way of each pair:", 2},
	{"op", KEY_OP, "OP", 0, "write (default) or read", 0},
	{"size", KEY_SIZE, "SIZE", 0, "bytes of a transfer (default 64M)", 0},
	{"iters", KEY_ITERS, "N", 0, "transfers that are timed (default 10)",
	 0},
	{"count", 0, NULL, OPTION_ALIAS, NULL, 0},
	{"warmup", KEY_WARMUP, "N", 0, "transfers before (default 2)", 0},
	{"outstanding", KEY_OUTSTANDING, "N", 0,
	 "transfers in flight at a time (default 1)", 0},
	{"mem", KEY_MEM, "WHERE", 0,
	 "host, gpu (all GPUs; the one of its number, if each has a process) "
	 "or gpu:N; default: gpu, host where there is none",
	 0},
	{"all", KEY_ALL, NULL, 0, "pairs on one host too", 0},
	{"verify", KEY_VERIFY, NULL, 0,
	 "check every byte of the last transfers (default)", 0},
	{"no-verify", KEY_NO_VERIFY, NULL, 0, "check nothing", 0},
	{NULL, 0, NULL, 0, "What comes of it:", 3},
	{"log-dir", KEY_LOG_DIR, "DIR", 0, "a log a GPU, of each process", 0},
	{"join-timeout", KEY_JOIN, "TIME", 0,
	 "until all ranks must be there (default 60s)", 0},
	{"timeout", KEY_TIMEOUT, "TIME", 0,
	 "until a pair must be done (default 120s)", 0},
	{"seed", KEY_SEED, "N", 0, "for contents", 0},
	{"json", 'j', NULL, 0, "one JSON object instead (rank 0)", 0},
	{0},
};

static uint64_t time_arg(struct argp_state *state, const char *name,
			 const char *text)
{
	uint64_t ns = 0;

	if (duration_parse(text, &ns) || ns > 3600 * NS_PER_S || ns < NS_PER_MS)
		argp_error(state,
			   "--%s %s: a time up to an hour is wanted, as 30s",
			   name, text);
	return ns;
}

static void parse_op(struct argp_state *state, const char *arg,
		     struct mesh_options *o)
{
	if (case_op_parse(arg, &o->params.op) || o->params.op > CASE_READ)
		argp_error(state, "--op %s: write or read", arg);
}

/* "gpu" alone is all of them; places have numbers. */
static void parse_mem(struct argp_state *state, const char *arg,
		      struct mesh_options *o)
{
	if (place_parse(arg, &o->params.mem))
		argp_error(state, "--mem %s: host, gpu or gpu:N", arg);
	o->where = o->params.mem.kind == PLACE_HOST || strchr(arg, ':') ?
			   MESH_WHERE_GIVEN :
			   MESH_WHERE_GPUS;
}

static void parse_size(struct argp_state *state, const char *arg,
		       struct mesh_options *o)
{
	if (size_parse(arg, &o->params.piece_bytes) || !o->params.piece_bytes ||
	    o->params.piece_bytes > TCPX_XFER_MAX)
		argp_error(state, "--size %s: a size from 1 to 1T is wanted",
			   arg);
}

/* Those with a number or a time. False: another key. */
static bool parse_number(int key, char *arg, struct argp_state *state,
			 struct mesh_options *o)
{
	switch (key) {
	case KEY_RANK:
		o->rank = (int64_t)option_number(state, "rank", arg, 0,
						 MESH_RANKS_MAX - 1);
		return true;
	case KEY_RANKS:
		o->ranks = (int64_t)option_number(state, "ranks", arg, 1,
						  MESH_RANKS_MAX);
		return true;
	case KEY_ITERS:
		o->iters = option_number(state, "iters", arg, 1, 1ull << 40);
		return true;
	case KEY_WARMUP:
		o->warmup = option_number(state, "warmup", arg, 0, 1ull << 30);
		return true;
	case KEY_OUTSTANDING:
		o->params.n_outstanding = (uint32_t)option_number(
			state, "outstanding", arg, 1, 4096);
		return true;
	case KEY_SEED:
		o->params.seed =
			option_number(state, "seed", arg, 1, INT64_MAX / 2);
		return true;
	case KEY_JOIN:
		o->join_ns = time_arg(state, "join-timeout", arg);
		return true;
	case KEY_TIMEOUT:
		o->pair_ns = time_arg(state, "timeout", arg);
		return true;
	default:
		return false;
	}
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct mesh_options *o = state->input;

	if (parse_number(key, arg, state, o))
		return 0;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->session;
		return 0;
	case KEY_HOSTS:
		o->hosts = arg;
		return 0;
	case KEY_ROOT:
		o->root = arg;
		return 0;
	case KEY_OP:
		parse_op(state, arg, o);
		return 0;
	case KEY_SIZE:
		parse_size(state, arg, o);
		return 0;
	case KEY_MEM:
		parse_mem(state, arg, o);
		return 0;
	case KEY_ALL:
		o->all = true;
		return 0;
	case KEY_VERIFY:
	case KEY_NO_VERIFY:
		o->verify = key == KEY_VERIFY;
		return 0;
	case KEY_LOG_DIR:
		o->log_dir = arg;
		return 0;
	case 'j':
		o->json = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {{&session_argp, 0, NULL, 10}, {0}};
static const struct argp parser = {
	.options = option_table,
	.parser = parse_option,
	.children = children,
	.doc = "Measures every pair of GPUs of several hosts, one after the "
	       "other, and prints the matrix. One process a GPU, or one for "
	       "all GPUs of a host; rank 0 prints, the others are silent. All "
	       "need the same secret (TCPX_SECRET)."
	       "\v"
	       "Examples:\n"
	       "  the same line on each host:\n"
	       "    TCPX_SECRET=abc tcpx mesh --hosts a3-1,a3-2\n"
	       "  a process a GPU:\n"
	       "    TCPX_SECRET=abc srun -N2 --ntasks-per-node=8 tcpx mesh\n"
	       "    mpirun -np 16 --hostfile hosts -x TCPX_SECRET tcpx mesh \\\n"
	       "        --root a3-1\n"
	       "  by hand, host memory:\n"
	       "    tcpx mesh --rank 0 --ranks 2 --root a3-1 --mem host\n"
	       "    tcpx mesh --rank 1 --ranks 2 --root a3-1 --mem host\n\n"
	       "TCPX_PERF_SIZE and TCPX_PERF_ITERS give the default size and "
	       "iterations.\n\n" EXIT_STATUS_HELP,
};

void mesh_parse(int argc, char **argv, struct mesh_options *options)
{
	struct bench_plan plan = {.count = 0};

	memset(options, 0, sizeof(*options));
	options->rank = options->ranks = -1;
	options->verify = true;
	options->warmup = WARMUP;
	options->join_ns = JOIN_S * NS_PER_S;
	options->pair_ns = PAIR_S * NS_PER_S;
	perf_environment(&options->params.piece_bytes, &options->iters);
	argp_parse(&parser, argc, argv, 0, NULL, options);
	plan.params.seed = options->params.seed;
	bench_defaults(&plan);
	options->params.seed = plan.params.seed;
	options->params.n_pieces = 1;
	options->params.wait = options->session.wait;
	if (!options->params.piece_bytes)
		options->params.piece_bytes = 64u << 20;
	if (!options->params.n_outstanding)
		options->params.n_outstanding = 1;
	if (!options->iters)
		options->iters = ITERS;
	/* Each of those in flight has memory of its own, which is checked. */
	if (options->iters < options->params.n_outstanding)
		options->iters = options->params.n_outstanding;
}
