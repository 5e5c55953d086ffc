/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_END_H
#define TCPX_TOOL_END_H

/*
 * One end of a measured case; client and server are the same code, only
 * the roles differ:
 *
 *   op       bytes go from       initiates          answers
 *   write    client to server    client: WRITE      -
 *   read     server to client    client: READ       -
 *   send     client to server    client: SEND       server: RECV
 *   notify   both ways           both: WRITE and notification, in turn
 *
 * With both_directions each end does what the client does, at once.
 */

#include "area.h"
#include "layout.h"
#include "open.h"
#include "samples.h"

#include <jansson.h>

enum case_op { CASE_WRITE = 0, CASE_READ, CASE_SEND, CASE_NOTIFY };

struct case_params {
	enum case_op op;
	uint64_t piece_bytes;
	uint32_t n_pieces; /* segments of a transfer */
	uint32_t n_outstanding; /* transfers in flight together */
	bool both_directions;
	enum wait_style wait;
	uint64_t seed;
	struct place mem, peer_mem; /* the client's, the server's */
};

/* A ping-pong goes round so many blocks: a message is not written over before
 * its transfer is known to be done. */
#define PINGPONG_BLOCKS 4u

struct slot; /* a transfer that is posted again and again */

struct end {
	struct tcpx_session *session;
	uint64_t peer;
	bool client;
	struct case_params params;
	struct layout layout;
	struct area source, sink; /* not taken: not at this end */
	uint64_t source_mem, sink_mem; /* 0: none */
	uint64_t remote_source, remote_sink;
	struct slot *slots; /* initiators first, then receivers */
	uint32_t n_initiators, n_receivers;
	char failure[256]; /* of the last run, in words */
};

const char *case_op_name(enum case_op op);
int case_op_parse(const char *text, enum case_op *op); /* 0 or -1 */
/* "do": "case" and the figures. */
json_t *case_params_encode(const struct case_params *params);
int case_params_decode(const json_t *json, struct case_params *params);

/* Takes and registers the memory this end needs. All complain into
 * end->failure and return 0 or a status; end_fini() undoes any of it. */
int end_init(struct end *end, struct tcpx_session *session, uint64_t peer,
	     bool client, const struct case_params *params);
json_t *end_mem(struct end *end);
/* Takes the other end's memory and prepares the transfers. */
int end_prepare(struct end *end, const json_t *mem);
void end_fini(struct end *end);

/* New contents for a round: sources filled, sinks wiped. */
int end_fill(struct end *end, uint32_t round);
/* True if this end has no sink, too. */
bool end_check(struct end *end, uint32_t round, char *why, size_t cap_bytes);

/* Does this end's share of count transfers (each direction). samples may be
 * NULL; otherwise one a transfer that this end initiated. */
int end_run(struct end *end, uint64_t count, struct samples *samples);
/* count round trips; one sample each, half of its time. Checks each message
 * as it arrives. */
int end_pingpong(struct end *end, uint64_t count, struct samples *samples);

/* Bytes of one transfer. */
static inline uint64_t end_bytes(const struct end *end)
{
	return end->params.piece_bytes * end->params.n_pieces;
}

#endif
