/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other process of the end-to-end tests: one session, told what to do in
 * lines on standard input, answering each with "ok ..." or "fail STATUS ...".
 * Settings come from the environment (TCPX_*). The first line it prints, by
 * itself, is "ok PORT BLOB".
 *
 *   connect BLOB              -> ok PEER         connect_to HOST:PORT -> ok PEER
 *   wait PEER MS              -> ok              peer MS -> ok PEER NAME
 *   drop PEER                 -> ok
 *   mem LEN SEED ACCESS       -> ok INDEX BLOB   (memory filled with SEED)
 *   load BLOB                 -> ok HANDLE
 *   fill INDEX SEED           -> ok              (memory and what it should be)
 *   run OP PEER INDEX HANDLE LIST N MAX MS [TAG] -> ok BYTES
 *                             a list made from seed LIST; waits for its end
 *   loop ...as run            -> ok              the same again and again in
 *                             a thread, until it fails or the process ends
 *   looped                    -> ok ROUNDS STATUS  of the loop
 *   want INDEX LIST N MAX CAP SEED SIDE -> ok    side a or b of the list should
 *                             hold what a pattern SEED has on the other side
 *                             (s: on the same side, after SEND and RECV)
 *   check INDEX               -> ok              all bytes, the holes too
 *   hash INDEX                -> ok XXH3
 *   notify PEER TEXT          -> ok              note MS -> ok LEN XXH3 [TEXT]
 *   event MS                  -> ok KIND STATUS PEER CAUSE
 *   lost MS                   -> ok STATUS PEER CAUSE
 *   describe PEER | stats     -> ok JSON         warnings -> ok N
 *   quit
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "e2e/hex.h"
#include "support/pattern.h"
#include "support/scale.h"
#include <tcpx/p2p.h>

#define LINE_MAX_BYTES (64u * 1024)
#define REGIONS 16

struct job {
	enum tcpx_op op;
	uint64_t peer, handle, list_seed, tag;
	size_t index, n;
	uint64_t max_bytes;
	int timeout_ms;
};

static struct tcpx_session *session;
static struct region regions[REGIONS];
static uint64_t region_mems[REGIONS];
static size_t n_regions;
static _Atomic unsigned int n_warnings;
static _Atomic uint64_t loop_rounds;
static _Atomic int loop_status;

static void count_line(void *arg, enum tcpx_log_level level,
		       const char *subsystem, const char *line)
{
	if (level <= TCPX_LOG_WARN)
		atomic_fetch_add(&n_warnings, 1);
	fprintf(stderr, "  peerd: %s: %s\n", subsystem, line);
}

static void answer(int status, const char *words)
{
	if (status)
		printf("fail %s %s\n", tcpx_status_name(status), words);
	else
		printf("ok %s\n", words);
	fflush(stdout);
}

static void answer_id(int status, uint64_t id)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, id);
	answer(status, status ? "" : text);
}

static uint64_t known_peer; /* the last one a command named or met */

/*
 * What this thread did to memory is before what workers do to it next, and
 * the other way round. The test knows by its commands and answers; a thread
 * checker sees only locks, so here is one that the workers take too.
 */
static void fence(void)
{
	size_t len;

	if (known_peer &&
	    tcpx_peer_describe(session, known_peer, NULL, 0, &len) == TCPX_OK)
		n_warnings++;
}

/* The next word as a number; strtoull takes 0x too. */
static uint64_t number(char **rest)
{
	char *word = strtok_r(*rest, " ", rest);

	return word ? strtoull(word, NULL, 0) : 0;
}

static void cmd_connect(char *args)
{
	uint8_t blob[TCPX_BLOB_MAX];
	size_t len = hex_decode(args, blob, sizeof(blob));
	uint64_t peer = 0;
	int status = tcpx_peer_connect(session, blob, len, &peer);

	known_peer = peer;
	answer_id(status, peer);
}

static void cmd_connect_to(char *args)
{
	uint64_t peer = 0;
	int status = tcpx_peer_connect_address(session, args, &peer);

	answer_id(status, peer);
}

static void cmd_wait(char *args)
{
	uint64_t peer = number(&args);

	answer(tcpx_peer_wait(session, peer, (int)number(&args)), "");
}

static void cmd_peer(char *args)
{
	struct tcpx_event event;
	char text[128];
	int status;

	do {
		status = tcpx_event_wait(session, &event, (int)number(&args));
	} while (!status && event.kind != TCPX_EVENT_PEER_CONNECTED);
	snprintf(text, sizeof(text), "%" PRIu64 " %s", status ? 0 : event.peer,
		 status ? "" : event.name);
	if (!status)
		known_peer = event.peer;
	answer(status, text);
}

static void cmd_drop(char *args)
{
	answer(tcpx_peer_disconnect(session, number(&args)), "");
}

static void cmd_mem(char *args)
{
	uint64_t len = number(&args), seed = number(&args);
	uint32_t access = (uint32_t)number(&args);
	char blob[512], text[1100];
	size_t blob_len = 0, i = n_regions;
	int status, at;

	if (i == REGIONS)
		return answer(TCPX_ENOSPC, "");
	region_init(&regions[i], len, seed);
	fence();
	status = tcpx_mem_register(session, regions[i].data, len, access,
				   &region_mems[i]);
	if (!status)
		status = tcpx_mem_blob(session, &region_mems[i], 1, blob,
				       sizeof(blob), &blob_len);
	at = snprintf(text, sizeof(text), "%zu ", i);
	hex_encode(blob, blob_len, text + at);
	n_regions++;
	answer(status, text);
}

static void cmd_load(char *args)
{
	uint8_t blob[512];
	size_t len = hex_decode(args, blob, sizeof(blob)), n;
	uint64_t handle = 0;
	int status = tcpx_mem_load(session, blob, len, &handle, 1, &n);

	answer_id(status, handle);
}

static void cmd_fill(char *args)
{
	struct region *region = &regions[number(&args) % REGIONS];

	fence();
	pattern_fill(region->data, region->len_bytes, number(&args), 0);
	memcpy(region->want, region->data, region->len_bytes);
	fence();
	answer(0, "");
}

static bool parse_job(char *args, struct job *job)
{
	static const char *const names[] = {"", "read", "write", "send",
					    "recv"};
	char *word = strtok_r(args, " ", &args);

	memset(job, 0, sizeof(*job));
	for (int i = TCPX_OP_READ; word && i <= TCPX_OP_RECV; i++) {
		if (!strcmp(word, names[i]))
			job->op = i;
	}
	job->peer = number(&args);
	job->index = number(&args);
	job->handle = number(&args);
	job->list_seed = number(&args);
	job->n = number(&args);
	job->max_bytes = number(&args);
	job->timeout_ms = (int)number(&args);
	job->tag = number(&args);
	return job->op && job->index < n_regions && job->n;
}

/* Prepared anew each time, as most programs do. */
static int run_job(const struct job *job, uint64_t *total_bytes, char *cause)
{
	struct tcpx_xfer_params params = {.size_bytes = sizeof(params),
					  .peer = job->peer,
					  .op = job->op,
					  .n_segments = job->n,
					  .tag = job->tag};
	struct tcpx_segment *list = calloc(job->n, sizeof(*list));
	struct tcpx_xfer_info info = {.cause = ""};
	struct layout layout;
	uint64_t xfer;
	int status;

	layout_init(&layout, job->list_seed, job->n, job->max_bytes,
		    regions[job->index].len_bytes);
	for (size_t i = 0; i < job->n; i++)
		list[i] = (struct tcpx_segment){region_mems[job->index],
						layout.pieces[i].a_off,
						job->handle,
						layout.pieces[i].b_off,
						layout.pieces[i].len_bytes};
	*total_bytes = layout.total_bytes;
	layout_fini(&layout);
	params.segments = list;
	status = tcpx_xfer_prepare(session, &params, &xfer);
	free(list);
	if (status)
		return status;
	status = tcpx_xfer_post(session, xfer, NULL);
	if (!status)
		status = tcpx_xfer_wait(session, xfer, job->timeout_ms);
	if (status && !tcpx_xfer_query(session, xfer, &info))
		snprintf(cause, sizeof(info.cause), "%s", info.cause);
	if (tcpx_xfer_release(session, xfer) && !status)
		status = TCPX_EINTERNAL;
	return status;
}

static void cmd_run(char *args)
{
	struct job job;
	uint64_t total = 0;
	char words[192] = "";
	int status = TCPX_EINVAL;

	if (parse_job(args, &job))
		status = run_job(&job, &total, words);
	if (!status)
		snprintf(words, sizeof(words), "%" PRIu64, total);
	answer(status, words);
}

static void *loop_thread(void *arg)
{
	struct job *job = arg;
	char cause[192];
	uint64_t total;
	int status;

	while (!(status = run_job(job, &total, cause)))
		atomic_fetch_add(&loop_rounds, 1);
	atomic_store(&loop_status, status);
	free(job);
	return NULL;
}

static void cmd_loop(char *args)
{
	struct job *job = calloc(1, sizeof(*job));
	pthread_t thread;

	atomic_store(&loop_rounds, 0);
	atomic_store(&loop_status, TCPX_INPROGRESS);
	if (!parse_job(args, job) ||
	    pthread_create(&thread, NULL, loop_thread, job)) {
		free(job);
		return answer(TCPX_EINVAL, "");
	}
	pthread_detach(thread);
	answer(0, "");
}

static void cmd_looped(char *args)
{
	char text[96];
	int status = atomic_load(&loop_status);

	snprintf(text, sizeof(text), "%" PRIu64 " %s",
		 atomic_load(&loop_rounds), tcpx_status_name(status));
	answer(0, text);
}

static void cmd_want(char *args)
{
	struct region *region = &regions[number(&args) % REGIONS];
	uint64_t list_seed = number(&args), max, cap, seed;
	size_t n = number(&args);
	struct layout layout;

	max = number(&args);
	cap = number(&args);
	seed = number(&args);
	layout_init(&layout, list_seed, n, max, cap);
	for (size_t i = 0; *args == 's' && i < n; i++)
		layout.pieces[i].b_off = layout.pieces[i].a_off;
	layout_want(&layout, region, seed, *args == 'b');
	layout_fini(&layout);
	answer(0, "");
}

static void cmd_check(char *args)
{
	fence();
	bool ok = region_check(&regions[number(&args) % REGIONS], "peerd");

	answer(ok ? 0 : TCPX_ECHECKSUM, "");
}

static void cmd_hash(char *args)
{
	struct region *region = &regions[number(&args) % REGIONS];
	char text[32];

	fence();
	snprintf(text, sizeof(text), "%016" PRIx64,
		 (uint64_t)XXH3_64bits(region->data, region->len_bytes));
	answer(0, text);
}

static void cmd_notify(char *args)
{
	uint64_t peer = number(&args);

	answer(tcpx_notify_send(session, peer, args, strlen(args)), "");
}

static void cmd_note(char *args)
{
	struct tcpx_notification *note;
	char text[256];
	int status = tcpx_notify_wait(session, &note, (int)number(&args));

	if (status)
		return answer(status, "");
	snprintf(text, sizeof(text), "%zu %016" PRIx64 " %.*s", note->len_bytes,
		 (uint64_t)XXH3_64bits(note->data, note->len_bytes),
		 note->len_bytes < 128 ? (int)note->len_bytes : 0,
		 (const char *)note->data);
	tcpx_notify_free(note);
	answer(0, text);
}

static void cmd_event(char *args)
{
	struct tcpx_event event;
	char text[384];
	int status = tcpx_event_wait(session, &event, (int)number(&args));

	if (status)
		return answer(status, "");
	snprintf(text, sizeof(text), "%d %s %" PRIu64 " %s", event.kind,
		 tcpx_status_name(event.status), event.peer, event.cause);
	answer(0, text);
}

/* The next loss of a peer, whatever else happened before. */
static void cmd_lost(char *args)
{
	int timeout_ms = (int)number(&args), status;
	struct tcpx_event event;
	char text[384];

	do {
		status = tcpx_event_wait(session, &event, timeout_ms);
	} while (!status && event.kind != TCPX_EVENT_PEER_LOST);
	if (status)
		return answer(status, "");
	snprintf(text, sizeof(text), "%s %" PRIu64 " %s",
		 tcpx_status_name(event.status), event.peer, event.cause);
	answer(0, text);
}

static void answer_json(int status, char *buf)
{
	for (char *at = buf; *at; at++) {
		if (*at == '\n')
			*at = ' ';
	}
	answer(status, buf);
}

static void cmd_describe(char *args)
{
	static char buf[LINE_MAX_BYTES - 16];
	size_t len;
	int status = tcpx_peer_describe(session, number(&args), buf,
					sizeof(buf), &len);

	answer_json(status, status ? memset(buf, 0, 1) : buf);
}

static void cmd_stats(char *args)
{
	static char buf[LINE_MAX_BYTES - 16];
	size_t len;
	int status = tcpx_session_stats_json(session, buf, sizeof(buf), &len);

	answer_json(status, status ? memset(buf, 0, 1) : buf);
}

static void cmd_warnings(char *args)
{
	answer_id(0, atomic_load(&n_warnings));
}

static const struct command {
	const char *name;
	void (*fn)(char *args);
} commands[] = {
	{"connect", cmd_connect},   {"connect_to", cmd_connect_to},
	{"wait", cmd_wait},	    {"peer", cmd_peer},
	{"drop", cmd_drop},	    {"mem", cmd_mem},
	{"load", cmd_load},	    {"fill", cmd_fill},
	{"run", cmd_run},	    {"loop", cmd_loop},
	{"looped", cmd_looped},	    {"want", cmd_want},
	{"check", cmd_check},	    {"hash", cmd_hash},
	{"notify", cmd_notify},	    {"note", cmd_note},
	{"event", cmd_event},	    {"lost", cmd_lost},
	{"describe", cmd_describe}, {"stats", cmd_stats},
	{"warnings", cmd_warnings},
};

static bool obey(char *line)
{
	char *args = line;
	char *name = strsep(&args, " ");
	static char none[1];

	if (!strcmp(name, "quit"))
		return false;
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		if (strcmp(name, commands[i].name))
			continue;
		commands[i].fn(args ? args : none);
		return true;
	}
	answer(TCPX_EUNSUPPORTED, name);
	return true;
}

static int open_session(void)
{
	struct tcpx_config config;
	uint8_t blob[TCPX_BLOB_MAX];
	char hex[2 * TCPX_BLOB_MAX + 1];
	size_t len;
	int status = tcpx_config_init(&config, count_line, NULL);

	if (!status)
		status = tcpx_session_open(&config, &session);
	if (!status)
		status = tcpx_session_blob(session, blob, sizeof(blob), &len);
	if (status) {
		answer(status, "open");
		return status;
	}
	hex_encode(blob, len, hex);
	printf("ok %u %s\n", tcpx_session_port(session), hex);
	fflush(stdout);
	return 0;
}

int main(void)
{
	static char line[LINE_MAX_BYTES];

	if (open_session())
		return 1;
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		if (!obey(line))
			break;
	}
	tcpx_session_close(session);
	for (size_t i = 0; i < n_regions; i++)
		region_fini(&regions[i]);
	return 0;
}
