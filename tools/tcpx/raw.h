/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_RAW_H
#define TCPX_TOOL_RAW_H

/*
 * The opponent: bare TCP between two processes, as fast as plain loops over
 * sockets get it, so that a figure of ours means something. It does nothing
 * a program would need (no completion per transfer, no addresses, no
 * second user); what it reaches is what the machine's TCP can carry.
 *
 * A link is n flows (connections), n_forward of them carrying bytes from the
 * client to the server, the others back. One thread a flow and side. Each
 * flow walks its share of a memory area round and round:
 *
 *      client                                    server
 *      source share f  --- flow f (forward) --->  sink share f, then 1 ack
 *      1 go byte  -------> flow f (backward)      source share f
 *      sink share f  <-------------------------
 *
 * The client's clock runs from "all threads ready" to "the last byte of the
 * last flow is in the sink's memory".
 *
 * Functions that return an int return 0 or a negative errno.
 */

#include "base/addr.h"

#include <stdbool.h>
#include <stdint.h>

#define RAW_FLOWS_MAX 64
#define RAW_TOKEN_BYTES 16
#define RAW_MESSAGE_MAX (64u << 10) /* of a ping-pong */
/* What one send() or recv() is given at most. Measured over loopback: 256 KiB
 * and 512 KiB are equal within noise, below and above is slower. */
#define RAW_IO_BYTES (256u << 10)

/* Keeps strangers off the listener: the server takes only connections that
 * begin with it. */
struct raw_token {
	unsigned char bytes[RAW_TOKEN_BYTES];
};

struct raw_link {
	int fds[RAW_FLOWS_MAX];
	unsigned n;
	unsigned n_forward;
	bool client;
};

/* From one of our addresses (family 0: the kernel chooses) to one of theirs,
 * port included. */
struct raw_way {
	struct net_addr from, to;
};

/* host NULL: all addresses. port 0: any; *bound is the one taken. Gives the
 * listener's descriptor, or a negative errno. */
int raw_listen(const char *host, uint16_t port, uint16_t *bound);
/* Takes link->n flows that know the token; closes nothing of the caller's. */
int raw_accept(int listener, const struct raw_token *token, int timeout_ms,
	       struct raw_link *link);
/* Flow i goes by way i mod n_ways. */
int raw_connect(const struct raw_way *ways, unsigned n_ways,
		const struct raw_token *token, int timeout_ms,
		struct raw_link *link);
/* Whether somebody takes connections there. */
bool raw_way_is_open(const struct raw_way *way, int timeout_ms);
/* To the first address of host where somebody does. */
int raw_way_to(const char *host, uint16_t port, int timeout_ms,
	       struct raw_way *way);
void raw_close(struct raw_link *link);
/* SO_SNDBUF and SO_RCVBUF of every flow; 0 leaves the kernel's own sizing. */
void raw_set_buffers(struct raw_link *link, uint32_t buffer_bytes);

struct raw_stream {
	char *source; /* NULL if this side sends nothing */
	char *sink; /* NULL if this side receives nothing */
	uint64_t area_bytes; /* of source and of sink, walked in a circle */
	uint64_t total_bytes; /* to move, each direction */
	uint32_t io_bytes; /* 0: RAW_IO_BYTES */
	bool spin; /* poll the socket instead of sleeping in it */
};

/* Both sides call it with equal figures. *elapsed_ns is the client's. */
int raw_stream_run(struct raw_link *link, const struct raw_stream *stream,
		   uint64_t *elapsed_ns);

struct raw_pingpong {
	uint32_t message_bytes; /* at most RAW_MESSAGE_MAX */
	uint64_t n_round_trips;
	bool spin;
};

/*
 * Messages to and fro on flow 0. The client gets one sample a round trip in
 * samples_ns (half of it: one way), room for n_round_trips; the server
 * passes NULL.
 */
int raw_pingpong_run(struct raw_link *link, const struct raw_pingpong *params,
		     uint64_t *samples_ns);

#endif
