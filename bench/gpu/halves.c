/* SPDX-License-Identifier: Apache-2.0 */

/*
 * All GPUs of a host in one process: a session that is connected to itself
 * moves memory from GPU i to GPU i + n/2 (READ: the other way), all pairs at
 * once, a transfer each in flight, posted again as soon as it is done.
 *
 * usage: halves [--op write|read] [--size BYTES] [--rounds N] [--round-ms N]
 *
 * One JSON object on standard output: GB/s of each round, all pairs together,
 * and of each pair in all. Every byte of the last transfers is checked. Exit
 * status 77: fewer than two GPUs.
 */

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tcpx/p2p.h>
#include <time.h>

#define PAIRS_MAX 32u
#define WAIT_MS 60000
#define SKIPPED 77

struct settings {
	enum tcpx_op op;
	uint64_t size_bytes, round_ns;
	uint32_t rounds;
};

struct end {
	uint32_t gpu;
	void *mem;
	uint64_t region;
};

struct pair {
	struct end here, there;
	uint64_t xfer, done_bytes;
};

struct bench {
	struct settings settings;
	struct tcpx_session *session;
	uint64_t peer;
	struct pair pairs[PAIRS_MAX];
	uint32_t n_pairs;
	uint64_t *contents, *seen;	/* one transfer's, on the host */
};

static void must(int status, const char *what)
{
	if (status) {
		fprintf(stderr, "%s: %s\n", what, tcpx_strerror(status));
		exit(2);
	}
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void print_log(void *arg, enum tcpx_log_level level,
		      const char *subsystem, const char *line)
{
	(void)arg;
	if (level <= TCPX_LOG_WARN)
		fprintf(stderr, "%s: %s\n", subsystem, line);
}

/* ---- the parts ------------------------------------------------------------ */

static void open_session(struct bench *bench)
{
	struct tcpx_config config;
	char blob[TCPX_BLOB_MAX], why[256];
	uint32_t n_gpus;
	size_t len;

	must(tcpx_config_init(&config, print_log, NULL), "environment");
	must(tcpx_session_open(&config, &bench->session), "session");
	n_gpus = tcpx_gpu_count(bench->session, why, sizeof(why));
	if (n_gpus < 2) {
		fprintf(stderr, "%" PRIu32 " GPUs%s%s\n", n_gpus,
			n_gpus ? "" : ": ", n_gpus ? "" : why);
		exit(SKIPPED);
	}
	bench->n_pairs = n_gpus / 2 < PAIRS_MAX ? n_gpus / 2 : PAIRS_MAX;
	must(tcpx_session_blob(bench->session, blob, sizeof(blob), &len),
	     "blob");
	must(tcpx_peer_connect(bench->session, blob, len, &bench->peer),
	     "connect");
	must(tcpx_peer_wait(bench->session, bench->peer, WAIT_MS), "connect");
}

static void take(struct bench *bench, struct end *end, uint32_t gpu)
{
	uint64_t size_bytes = bench->settings.size_bytes;

	end->gpu = gpu;
	must(tcpx_gpu_alloc(bench->session, gpu, size_bytes, &end->mem),
	     "memory of a GPU");
	must(tcpx_mem_register(bench->session, end->mem, size_bytes,
			       TCPX_ACCESS_REMOTE_READ |
				       TCPX_ACCESS_REMOTE_WRITE,
			       &end->region),
	     "register");
}

/* What a pair carries differs from what the others do. */
static void fill(struct bench *bench, uint32_t pair)
{
	for (uint64_t i = 0; i < bench->settings.size_bytes / 8; i++)
		bench->contents[i] = (i + 1) * 0x9e3779b97f4a7c15u + pair;
}

static void prepare(struct bench *bench, uint32_t index)
{
	struct pair *pair = &bench->pairs[index];
	bool read = bench->settings.op == TCPX_OP_READ;
	struct end *source = read ? &pair->there : &pair->here;
	struct tcpx_segment segment = {.len_bytes = bench->settings.size_bytes};
	struct tcpx_xfer_params params = {.size_bytes = sizeof(params),
					  .peer = bench->peer,
					  .op = bench->settings.op,
					  .segments = &segment,
					  .n_segments = 1};
	char blob[1024];
	size_t len, n;

	take(bench, &pair->here, index);
	take(bench, &pair->there, index + bench->n_pairs);
	fill(bench, index);
	must(tcpx_gpu_copy(bench->session, source->gpu, source->mem,
			   bench->contents, bench->settings.size_bytes),
	     "contents");
	must(tcpx_mem_blob(bench->session, &pair->there.region, 1, blob,
			   sizeof(blob), &len),
	     "memory blob");
	must(tcpx_mem_load(bench->session, blob, len, &segment.remote_mem, 1,
			   &n),
	     "memory blob");
	segment.local_mem = pair->here.region;
	must(tcpx_xfer_prepare(bench->session, &params, &pair->xfer),
	     "prepare");
}

static void post(struct bench *bench, struct pair *pair)
{
	must(tcpx_xfer_post(bench->session, pair->xfer, NULL), "post");
}

/* All at once until the time is over, then to the end of the last ones. */
static double round_gbps(struct bench *bench)
{
	uint64_t begin = now_ns(), end = begin + bench->settings.round_ns;
	uint64_t bytes = 0;
	uint32_t n_flying = bench->n_pairs;
	bool over[PAIRS_MAX] = {false};

	for (uint32_t i = 0; i < bench->n_pairs; i++)
		post(bench, &bench->pairs[i]);
	while (n_flying) {
		for (uint32_t i = 0; i < bench->n_pairs; i++) {
			struct pair *pair = &bench->pairs[i];
			int status = over[i] ? TCPX_INPROGRESS :
					       tcpx_xfer_test(bench->session,
							      pair->xfer);

			if (status == TCPX_INPROGRESS)
				continue;
			must(status, "transfer");
			bytes += bench->settings.size_bytes;
			pair->done_bytes += bench->settings.size_bytes;
			over[i] = now_ns() >= end;
			n_flying -= over[i];
			if (!over[i])
				post(bench, pair);
		}
	}
	return (double)bytes / (double)(now_ns() - begin);
}

static void check(struct bench *bench, uint32_t index)
{
	struct pair *pair = &bench->pairs[index];
	struct end *target = bench->settings.op == TCPX_OP_READ ? &pair->here :
								  &pair->there;
	uint64_t size_bytes = bench->settings.size_bytes;

	fill(bench, index);
	memset(bench->seen, 0, size_bytes);
	must(tcpx_gpu_copy(bench->session, target->gpu, bench->seen,
			   target->mem, size_bytes),
	     "what came");
	if (memcmp(bench->seen, bench->contents, size_bytes) != 0) {
		fprintf(stderr, "wrong bytes on GPU %" PRIu32 "\n",
			target->gpu);
		exit(1);
	}
}

static void give(struct bench *bench, struct end *end)
{
	must(tcpx_mem_deregister(bench->session, end->region), "deregister");
	must(tcpx_gpu_free(bench->session, end->gpu, end->mem), "free");
}

/* ---- the program ---------------------------------------------------------- */

static int bad_usage(void)
{
	fprintf(stderr, "usage: halves [--op write|read] [--size BYTES] "
			"[--rounds N] [--round-ms N]\n");
	return 2;
}

/* false: it makes no sense. */
static bool parse(int argc, char **argv, struct settings *settings)
{
	for (int i = 1; i < argc; i += 2) {
		const char *name = argv[i], *text = argv[i + 1];
		uint64_t number = text ? strtoull(text, NULL, 10) : 0;

		if (!text)
			return false;
		if (!strcmp(name, "--op") && !strcmp(text, "read"))
			settings->op = TCPX_OP_READ;
		else if (!strcmp(name, "--op") && !strcmp(text, "write"))
			settings->op = TCPX_OP_WRITE;
		else if (!strcmp(name, "--size") && number >= 8)
			settings->size_bytes = number & ~7ull;
		else if (!strcmp(name, "--rounds") && number)
			settings->rounds = (uint32_t)number;
		else if (!strcmp(name, "--round-ms") && number)
			settings->round_ns = number * 1000000;
		else
			return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	struct bench bench = {.settings = {.op = TCPX_OP_WRITE,
					   .size_bytes = 64u << 20,
					   .round_ns = 500u * 1000000,
					   .rounds = 5}};

	if (!parse(argc, argv, &bench.settings))
		return bad_usage();
	bench.contents = malloc(bench.settings.size_bytes);
	bench.seen = malloc(bench.settings.size_bytes);
	must(bench.contents && bench.seen ? 0 : TCPX_ENOMEM, "host memory");
	open_session(&bench);
	for (uint32_t i = 0; i < bench.n_pairs; i++)
		prepare(&bench, i);
	(void)round_gbps(&bench); /* warm */
	for (uint32_t i = 0; i < bench.n_pairs; i++)
		bench.pairs[i].done_bytes = 0;
	printf("{\"pairs\": %" PRIu32 ", \"GBps\": [", bench.n_pairs);
	uint64_t begin = now_ns();

	for (uint32_t i = 0; i < bench.settings.rounds; i++)
		printf("%s%.2f", i ? ", " : "", round_gbps(&bench));
	double all_ns = (double)(now_ns() - begin);

	printf("], \"each_GBps\": [");
	for (uint32_t i = 0; i < bench.n_pairs; i++) {
		check(&bench, i);
		printf("%s%.2f", i ? ", " : "",
		       (double)bench.pairs[i].done_bytes / all_ns);
	}
	printf("]}\n");
	for (uint32_t i = 0; i < bench.n_pairs; i++) {
		must(tcpx_xfer_release(bench.session, bench.pairs[i].xfer),
		     "release");
		give(&bench, &bench.pairs[i].here);
		give(&bench, &bench.pairs[i].there);
	}
	tcpx_session_close(bench.session);
	free(bench.contents);
	free(bench.seen);
	return 0;
}
