/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_MESSAGE_H
#define TCPX_TOOL_MESSAGE_H

/*
 * What the two ends of a measurement say to each other: JSON objects in
 * notifications of their own, a request and a reply in turn.
 *
 *   client                                server
 *   hello {protocol}              ->      {}
 *   place {mem}                   ->      {}        there is such memory
 *   case {op, piece_bytes, ...}   ->      {mem}     memory of that end
 *   peer_mem {mem}                ->      {}        both ready to post
 *   fill {round}                  ->      {}        contents laid out
 *   start {count}                 ->      {}        clocks of CPU time run
 *        ... transfers, or a ping-pong ...
 *   stop {}                       ->      {cpu_us, status}
 *   check {round}                 ->      {ok, why}
 *   raw_open {flows, ...}         ->      {port}    then connections
 *   raw_run {bytes, ...}          ->      {}        then the raw loops
 *   stop {}                       ->      {cpu_us, status}
 *   raw_close {}                  ->      {}
 *   end {}                        ->      {}        memory given back
 *   counters {}                   ->      {nics}    proof.h, of that end
 *   bye {}                        ->      {}
 *
 * A reply with "error" (text) says that the request was not done.
 */

#include <jansson.h>
#include <tcpx/p2p.h>

#define MESSAGE_PROTOCOL 3

/* Consumes message, also on failure. Returns 0 or a status. */
int message_send(struct tcpx_session *session, uint64_t peer, json_t *message);
/*
 * The next message of that peer; those of others are answered "busy".
 * Returns 0, TCPX_ETIMEDOUT, or why the peer is lost. *from may be NULL;
 * peer 0 takes anybody's.
 */
int message_wait(struct tcpx_session *session, uint64_t peer, int timeout_ms,
		 json_t **message, uint64_t *from);

struct message_error {
	char text[256]; /* what went wrong, also an "error" in a reply */
};

/* The reply to a request sent before. It may be dropped by passing NULL. */
int message_reply(struct tcpx_session *session, uint64_t peer, int timeout_ms,
		  json_t **reply, struct message_error *error);
/* Sends a request (consumes it) and waits for the reply. */
int message_call(struct tcpx_session *session, uint64_t peer, json_t *request,
		 int timeout_ms, json_t **reply, struct message_error *error);

/* Bytes as a string of hexadecimal digits. */
json_t *json_hex(const void *bytes, size_t len_bytes);
/* Returns 0, TCPX_EINVAL or TCPX_ENOSPC. */
int json_unhex(const json_t *text, void *bytes, size_t cap_bytes,
	       size_t *len_bytes);

#endif
