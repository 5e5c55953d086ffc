/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_MESH_H
#define TCPX_TOOL_MESH_H

/*
 * tcpx mesh: every pair of GPUs of several hosts, measured one after the other.
 *
 *   rank 0's process                       every rank's process, rank 0's too
 *   root (mesh_root.c)                     member (mesh_member.c)
 *   session "root"    <- host:port, secret -- session "control"
 *                                             session "data" -- pairs -- ...
 *
 *   member                          root
 *   join {rank, host, blob,    ->            all there, or who is missing
 *         places}
 *                              <-   prepare {case, ...}    to the one that
 *   {mem}                      ->                          answers
 *                              <-   run {case, mem, blob}  to the one that
 *   {elapsed_ns, p50_us, ...}  ->                          initiates
 *                              <-   finish {}              to the one that
 *   {ok, why}                  ->                          answers
 *                              <-   bye {}, or abort {why}
 *   {}                         ->
 *
 * A member speaks only when asked, so an answer is never taken for another's.
 * Control travels by sockets in sessions of its own: data goes by whatever
 * transport is measured, or does not.
 */

#include "end.h"

#include <limits.h>
#include <pthread.h>

#define MESH_PORT 7175
#define MESH_PROTOCOL 1
#define MESH_RANKS_MAX 4096u
#define MESH_PLACES_MAX 64u /* GPUs of one process */

enum mesh_where {
	MESH_WHERE_AUTO = 0, /* the GPUs, else host memory */
	MESH_WHERE_GPUS, /* all, or the one of our local rank */
	MESH_WHERE_GIVEN, /* params.mem */
};

struct mesh_options {
	struct session_options session;
	struct case_params params; /* of each pair, places and seed aside */
	enum mesh_where where;
	uint64_t iters, warmup;
	uint64_t join_ns; /* until all ranks must have come */
	uint64_t pair_ns; /* until a pair must have been measured */
	const char *hosts, *root, *log_dir;
	int64_t rank, ranks; /* -1: not given */
	bool all; /* pairs on one host too */
	bool verify, json;
};

/* Ends the process on a wrong command line. */
void mesh_parse(int argc, char **argv, struct mesh_options *options);

/* Who this process is among the others. */
struct mesh_self {
	uint32_t rank, ranks;
	uint32_t local_rank, local_ranks; /* on this host; 0 ranks: unknown */
	char root_host[256];
	uint16_t root_port;
};

/* By options, else by what a launcher left in the environment. root_port is
 * used where nothing says another. 0, or -1 having complained. */
int mesh_find_self(const struct mesh_options *options, uint16_t root_port,
		   struct mesh_self *self);

/* ---- logs: a file a place; all calls do nothing without a directory ------ */

struct mesh_logs {
	void *files[MESH_PLACES_MAX]; /* FILE; NULL: none */
	uint32_t n;
};

int mesh_logs_open(const char *dir, const char *host, uint32_t rank,
		   const struct place *places, uint32_t n,
		   struct mesh_logs *logs);
void mesh_logs_close(struct mesh_logs *logs);
/* From now on the library's lines go to this one, too. */
void mesh_logs_turn(struct mesh_logs *logs, uint32_t place);
void mesh_logs_line(struct mesh_logs *logs, uint32_t place, const char *fmt,
		    ...) __attribute__((format(printf, 3, 4)));

/* ---- member ------------------------------------------------------------- */

struct mesh_member {
	const struct mesh_options *options;
	const struct mesh_self *self;
	struct tcpx_session *control;
	struct tcpx_session *data; /* NULL: could not be opened */
	const void *root_blob; /* of rank 0's own; NULL: by address */
	size_t root_blob_bytes;
	bool quiet; /* root in this process says what happened */
	_Atomic bool over; /* root in this process has ended */
	int exit_status; /* when it has run */

	/* its own */
	uint64_t root;
	bool unfit; /* it cannot begin, and has said so */
	struct place places[MESH_PLACES_MAX];
	uint32_t n_places;
	uint64_t *peers; /* of each rank, in data; 0: not connected */
	struct end served;
	uint32_t served_place, served_from;
	struct mesh_logs logs;
};

/* Until root says bye, or is gone. For a thread, too: arg is the member. */
void *mesh_member_run(void *arg);

/* ---- who was sent away ---------------------------------------------------- */

struct mesh_refused {
	pthread_mutex_t lock;
	uint32_t n;
	char last[256]; /* from where, and why */
};

/* Takes the lines of root's session and hands them on; arg is the struct. */
void mesh_refused_log(void *arg, enum tcpx_log_level level,
		      const char *subsystem, const char *line);
/* In words. Returns buf. */
const char *mesh_refused_text(struct mesh_refused *refused, char *buf,
			      size_t cap_bytes);

/* ---- root ---------------------------------------------------------------- */

struct mesh_rank {
	uint64_t peer; /* 0: has not come */
	char host[64], name[TCPX_NAME_MAX];
	json_t *blob;
};

struct mesh_device {
	uint32_t rank, place;
	struct place mem;
	char gpu[64], pci[16];
};

struct mesh_pair {
	bool wanted, done;
	double gigabytes_per_s, p50_us, p99_us;
	char transport[64];
	unsigned n_rails, n_flows;
	bool verified;
	char failure[256]; /* "": none */
};

struct mesh_root {
	const struct mesh_options *options;
	const struct mesh_self *self;
	struct tcpx_session *session;
	struct mesh_refused *sent_away;

	struct mesh_rank *ranks;
	uint32_t n_here;
	uint64_t refused; /* a peer that is no rank; 0: none */
	struct mesh_device *devices; /* by rank, then place */
	uint32_t n_devices;
	struct mesh_pair *pairs; /* [from * n_devices + to] */
	uint32_t n_wanted, n_done;
	bool began; /* all ranks came */
	char failure[1024]; /* why it ended early; "": it did not */
};

/* Runs it and tells the others how it ended; true if all held. The results
 * stay until mesh_root_fini(). */
bool mesh_root_run(struct mesh_root *root);
void mesh_root_fini(struct mesh_root *root);
/* One pair, by three requests; false: the whole run has failed. */
bool mesh_measure(struct mesh_root *root, uint32_t from, uint32_t to);
/* Asks a rank and waits for the answer. 0; TCPX_EREMOTE with its words in
 * why; or another status: the run has failed, and root->failure says how. */
int mesh_ask(struct mesh_root *root, uint32_t rank, json_t *request,
	     uint64_t wait_ns, json_t **reply, char *why, size_t cap_bytes);

static inline struct mesh_pair *mesh_pair(const struct mesh_root *root,
					  uint32_t from, uint32_t to)
{
	return &root->pairs[(size_t)from * root->n_devices + to];
}

void mesh_print(const struct mesh_root *root);
json_t *mesh_json(const struct mesh_root *root, json_t *settings, bool held);

#endif
