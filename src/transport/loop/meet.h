/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOOP_MEET_H
#define LOOP_MEET_H

/*
 * Where the two ends of a loop channel find each other: the listeners of this
 * process, by a random address. A connect leaves a link (what both ends
 * share; each mode has its own) with the listener, an accept takes it.
 * All calls may come from any thread.
 */

#include "base/list.h"
#include "transport/transport.h"

#define MEET_ADDR_BYTES 16

struct link;

struct listener {
	struct list node; /* of the list of all listeners */
	uint8_t addr[MEET_ADDR_BYTES];
	struct transport *transport;
	const char *mode; /* name of the transport */
	struct link *link; /* left by connect, not taken yet */
	bool is_used; /* one connect a listener */
};

/* Returns 0, TCPX_ENOMEM, or TCPX_EINTERNAL without random numbers. */
int meet_listen(struct transport *transport, const char *mode,
		struct listener **listener, void *addr, size_t *addr_bytes);
/* Leaves link with the listener of that address and mode. Returns 0, or
 * TCPX_EREFUSED: there is none, or another connect was there before. */
int meet_connect(const char *mode, const void *addr, size_t addr_bytes,
		 struct link *link);
/* What a connect left, or NULL; with take, it is the caller's now. */
struct link *meet_accept(struct listener *listener, bool take);
/* Ends the listener and returns the link that nobody took, or NULL. */
struct link *meet_close(struct listener *listener);

#endif
