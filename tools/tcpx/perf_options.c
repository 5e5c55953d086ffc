/* SPDX-License-Identifier: Apache-2.0 */
#include "perf.h"

#include "clock.h"
#include "cmd.h"
#include "common/size.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	KEY_SELF = 0x100,
	KEY_SINGLE,
	KEY_SWEEP,
	KEY_OP,
	KEY_SIZE,
	KEY_SEGMENTS,
	KEY_MEM,
	KEY_PEER_MEM,
	KEY_OUTSTANDING,
	KEY_DURATION,
	KEY_COUNT,
	KEY_WARMUP,
	KEY_ROUNDS,
	KEY_BOTH,
	KEY_VERIFY,
	KEY_NO_VERIFY,
	KEY_CEILING,
	KEY_RAW_PORT,
	KEY_NOTIFY,
	KEY_SEED,
	KEY_POINT, /* behind those that a server must not be given */
};

static const struct argp_option option_table[] = {
	{NULL, 0, NULL, 0, "What is measured:", 1},
	{"self", KEY_SELF, NULL, 0,
	 "both ends on this machine, in two processes", 0},
	{"single", KEY_SINGLE, NULL, 0,
	 "one small message, checked, and what carried it (default size 4K): "
	 "the first thing to try on a new cluster",
	 0},
	{"sweep", KEY_SWEEP, "AXIS[=LIST]", OPTION_ARG_OPTIONAL,
	 "measure at each point of chunk, window and channels, or of those "
	 "named, as --sweep=channels=1,2,4 --sweep=window",
	 0},
	{"point", KEY_POINT, NULL, OPTION_HIDDEN, NULL, 0},
	{"op", KEY_OP, "OP", 0, "write (default), read or send", 0},
	{"notify", KEY_NOTIFY, NULL, 0,
	 "small write and notification, to and fro (default size 8)", 0},
	{"size", KEY_SIZE, "SIZE[:SIZE]", 0,
	 "bytes of a segment, as 64K, 1M, 1G (default 64M); a range is a "
	 "sweep, doubling",
	 0},
	{"segments", KEY_SEGMENTS, "N", 0,
	 "segments of that size in a transfer, shuffled, with holes between "
	 "(default 1)",
	 0},
	{"outstanding", KEY_OUTSTANDING, "N", 0,
	 "transfers in flight at a time (default 1)", 0},
	{"mem", KEY_MEM, "WHERE", 0,
	 "memory of this end: host (default), gpu:N, or cuda:N for a real GPU "
	 "only; N as in tcpx info",
	 0},
	{"peer-mem", KEY_PEER_MEM, "WHERE", 0, "memory of the server's end", 0},
	{"both-directions", KEY_BOTH, NULL, 0,
	 "the server does the same towards the client at once", 0},
	{NULL, 0, NULL, 0, "How long, and how sure:", 2},
	{"duration", KEY_DURATION, "TIME", 0,
	 "time about so long a case, one transfer a round at least, as 2s, "
	 "500ms (default 2s); contents are made and checked besides",
	 0},
	{"count", KEY_COUNT, "N", 0,
	 "so many transfers a case instead, the same number in each round", 0},
	{"iters", 0, NULL, OPTION_ALIAS, NULL, 0},
	{"warmup", KEY_WARMUP, "N", 0,
	 "transfers at least before the clock runs", 0},
	{"rounds", KEY_ROUNDS, "N", 0,
	 "parts a case is split into; medians are over them (default 5)", 0},
	{"ceiling", KEY_CEILING, NULL, 0,
	 "in each round move as much by raw TCP: same flows, same memory", 0},
	{"raw-port", KEY_RAW_PORT, "N", 0,
	 "port the server takes the raw connections at (default: any)", 0},
	{"verify", KEY_VERIFY, NULL, 0,
	 "check every byte of every round, not timed (default)", 0},
	{"no-verify", KEY_NO_VERIFY, NULL, 0,
	 "check nothing: sooner done, and wrong bytes go unseen", 0},
	{"seed", KEY_SEED, "N", 0, "for contents and shuffles", 0},
	{"json", 'j', NULL, 0, "one JSON object instead of a table", 0},
	{"verbose", 'v', NULL, 0, "also all settings, and all transports", 0},
	{0},
};

static uint64_t size_arg(struct argp_state *state, const char *text)
{
	uint64_t bytes = 0;

	if (size_parse(text, &bytes) || !bytes || bytes > TCPX_XFER_MAX)
		argp_error(state,
			   "--size %s: a size from 1 to 1T is wanted, as "
			   "4096, 64K, 1M or 1G",
			   text);
	return bytes;
}

static void parse_size(struct perf_options *o, char *arg,
		       struct argp_state *state)
{
	char *colon = strchr(arg, ':');

	if (colon)
		*colon = '\0';
	o->plan.params.piece_bytes = size_arg(state, arg);
	o->last_bytes = o->plan.params.piece_bytes;
	if (colon)
		o->last_bytes = size_arg(state, colon + 1);
	if (o->last_bytes < o->plan.params.piece_bytes)
		argp_error(state, "--size: the range ends before it begins");
}

static uint64_t number_arg(struct argp_state *state, const char *name,
			   const char *text, uint64_t max)
{
	return option_number(state, name, text, 1, max);
}

static void parse_op(struct perf_options *o, const char *arg,
		     struct argp_state *state)
{
	if (case_op_parse(arg, &o->plan.params.op) ||
	    o->plan.params.op == CASE_NOTIFY)
		argp_error(state, "--op %s: write, read or send", arg);
}

static void parse_place(struct argp_state *state, const char *name,
			const char *arg, struct place *place)
{
	if (place_parse(arg, place))
		argp_error(state, "--%s %s: host, gpu:N or cuda:N", name, arg);
}

/* Those with a number. False: another key. */
static bool parse_number(int key, char *arg, struct argp_state *state,
			 struct perf_options *o)
{
	struct bench_plan *plan = &o->plan;

	switch (key) {
	case KEY_SEGMENTS:
		plan->params.n_pieces = (uint32_t)number_arg(
			state, "segments", arg, TCPX_SEGMENTS_MAX);
		return true;
	case KEY_OUTSTANDING:
		plan->params.n_outstanding =
			(uint32_t)number_arg(state, "outstanding", arg, 4096);
		return true;
	case KEY_COUNT:
		plan->count = number_arg(state, "count", arg, 1ull << 40);
		return true;
	case KEY_WARMUP:
		plan->warmup = number_arg(state, "warmup", arg, 1ull << 30);
		return true;
	case KEY_ROUNDS:
		plan->n_rounds =
			(uint32_t)number_arg(state, "rounds", arg, 1000);
		return true;
	case KEY_RAW_PORT:
		o->raw_port =
			(uint16_t)number_arg(state, "raw-port", arg, 65535);
		return true;
	case KEY_SEED:
		plan->params.seed = number_arg(state, "seed", arg, INT64_MAX);
		return true;
	default:
		return false;
	}
}

/* Remembers what a server must not be given; see check(). */
static void note_option(struct perf_options *o, int key)
{
	for (const struct argp_option *one = option_table;
	     one->name || one->doc; one++)
		if (one->key == key && key > KEY_SELF && key <= KEY_SEED)
			o->client_option = one->name;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct perf_options *o = state->input;

	note_option(o, key);
	if (parse_number(key, arg, state, o))
		return 0;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->session;
		return 0;
	case KEY_SELF:
		o->self = true;
		return 0;
	case KEY_SINGLE:
		o->single = true;
		return 0;
	case KEY_SWEEP:
		if (!sweep_parse(arg ? arg : "all", o))
			argp_error(state,
				   "--sweep=%s: chunk, window or channels, "
				   "perhaps with a list, as channels=1,2,4",
				   arg);
		return 0;
	case KEY_POINT:
		o->point = true;
		return 0;
	case KEY_OP:
		o->op_given = true;
		parse_op(o, arg, state);
		return 0;
	case KEY_MEM:
		parse_place(state, "mem", arg, &o->plan.params.mem);
		return 0;
	case KEY_PEER_MEM:
		parse_place(state, "peer-mem", arg, &o->plan.params.peer_mem);
		return 0;
	case KEY_NOTIFY:
		o->notify = true;
		return 0;
	case KEY_SIZE:
		parse_size(o, arg, state);
		return 0;
	case KEY_BOTH:
		o->plan.params.both_directions = true;
		return 0;
	case KEY_DURATION:
		if (duration_parse(arg, &o->plan.duration_ns))
			argp_error(state,
				   "--duration %s: a time is wanted, as 2s or "
				   "500ms",
				   arg);
		return 0;
	case KEY_CEILING:
		o->plan.ceiling = true;
		return 0;
	case KEY_VERIFY:
	case KEY_NO_VERIFY:
		o->plan.verify = key == KEY_VERIFY;
		return 0;
	case 'j':
		o->json = true;
		return 0;
	case 'v':
		o->verbose = true;
		return 0;
	case ARGP_KEY_ARG:
		if (o->host)
			argp_error(state, "one HOST at most");
		o->host = arg;
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
	.args_doc = "\nHOST[:PORT]\n--self",
	.doc = "Measures transfers of memory. Without an argument it "
	       "serves on port 7174; with one it is the client of that server "
	       "and says what is measured. Both need the same secret "
	       "(TCPX_SECRET)."
	       "\v"
	       "Examples:\n"
	       "  tcpx perf HOST --single\n"
	       "  tcpx perf HOST --sweep --size 16M\n"
	       "  tcpx perf --self --ceiling\n"
	       "  tcpx perf --self --op read --size 4K --segments 16384\n"
	       "  tcpx perf --self --notify --wait spin --ceiling\n"
	       "  tcpx perf --self --mem gpu:0 --peer-mem gpu:1 --ceiling\n"
	       "  TCPX_SECRET=abc tcpx perf                on one host\n"
	       "  TCPX_SECRET=abc tcpx perf HOST --size 4K:64M --json\n\n"
	       "HOST is for control, data takes the rails (tcpx info lists "
	       "them): to measure\nloopback say --ifnames lo at both ends.\n\n"
	       "TCPX_PERF_SIZE and TCPX_PERF_ITERS give the default size and "
	       "count,\nTCPX_PORT the port of a HOST without one.\n\n" EXIT_STATUS_HELP,
};

/* TCPX_PERF_name, or the older UCCL_TCPX_PERF_name. Empty is not set. */
static const char *variable(const char *name, char *whole, size_t cap_bytes)
{
	static const char *const prefixes[] = {"", "UCCL_"};
	const char *text = NULL;

	for (unsigned i = 0; i < 2 && !(text && *text); i++) {
		snprintf(whole, cap_bytes, "%sTCPX_PERF_%s", prefixes[i], name);
		text = getenv(whole);
	}
	return text && *text ? text : NULL;
}

void perf_environment(uint64_t *bytes, uint64_t *count)
{
	char name[40];
	const char *text = variable("SIZE", name, sizeof(name));

	*bytes = *count = 0;
	if (text &&
	    (size_parse(text, bytes) || !*bytes || *bytes > TCPX_XFER_MAX)) {
		complain("%s=%s: a size as 64M is wanted", name, text);
		exit(EXIT_USAGE);
	}
	text = variable("ITERS", name, sizeof(name));
	if (text && number_parse(text, 1, 1ull << 40, count)) {
		complain("%s=%s: a number is wanted", name, text);
		exit(EXIT_USAGE);
	}
}

static _Noreturn void refuse(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));

static _Noreturn void refuse(const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	complain("%s", text);
	exit(EXIT_USAGE);
}

static uint64_t default_size(const struct perf_options *o)
{
	if (o->single)
		return 4096;
	return o->plan.params.op == CASE_NOTIFY ? 8 : 64u << 20;
}

static void check_single(const struct perf_options *o)
{
	const struct case_params *p = &o->plan.params;

	if (o->notify || p->n_pieces > 1 || p->n_outstanding > 1 ||
	    p->both_directions || o->plan.ceiling ||
	    o->last_bytes != p->piece_bytes)
		refuse("--single is one message of one segment: --op, --size, "
		       "--mem and --peer-mem go with it");
}

static void check_notify(const struct perf_options *o)
{
	const struct case_params *p = &o->plan.params;

	if (p->n_pieces > 1 || p->n_outstanding > 1 || p->piece_bytes < 8 ||
	    o->last_bytes > 65536 || p->both_directions)
		refuse("--notify goes with one segment of 8 to 64K bytes, one "
		       "at a time");
}

static void check(struct perf_options *o)
{
	struct case_params *p = &o->plan.params;

	if (o->op_given && o->notify)
		refuse("--op and --notify exclude each other");
	if (o->notify)
		p->op = CASE_NOTIFY;
	if (!p->piece_bytes)
		o->last_bytes = p->piece_bytes = default_size(o);
	p->wait = o->session.wait;
	bench_defaults(&o->plan);
	if (o->self && o->host)
		refuse("--self and a HOST exclude each other");
	if (!o->self && !o->host && o->client_option)
		refuse("--%s is for the measuring side: name a HOST, or say "
		       "--self",
		       o->client_option);
	if (o->last_bytes > TCPX_XFER_MAX / p->n_pieces)
		refuse("a transfer moves 1T at most, --size and --segments "
		       "ask for more");
	if (o->single)
		check_single(o);
	if (sweep_wanted(o) && (o->single || o->last_bytes != p->piece_bytes))
		refuse("--sweep goes with one --size, and not with --single");
	if (o->notify)
		check_notify(o);
}

/* Parsing changes their order, and cuts some. Kept as long as the process. */
static void keep_arguments(int argc, char **argv, struct perf_options *options)
{
	static char **copy;

	copy = calloc((size_t)argc + 1, sizeof(*copy));
	if (!copy)
		refuse("no memory");
	for (int i = 0; i < argc; i++)
		copy[i] = strdup(argv[i]);
	options->argc = argc;
	options->argv = copy;
}

void perf_parse(int argc, char **argv, struct perf_options *options)
{
	memset(options, 0, sizeof(*options));
	options->plan.verify = true;
	keep_arguments(argc, argv, options);
	perf_environment(&options->plan.params.piece_bytes,
			 &options->plan.count);
	options->last_bytes = options->plan.params.piece_bytes;
	argp_parse(&parser, argc, argv, 0, NULL, options);
	check(options);
}
