/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETPLUGIN_SIDE_H
#define NETPLUGIN_SIDE_H

/* The side connection of a comm: small fixed messages over plain TCP, never
 * blocking. The control thread's. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define SIDE_TOKEN_BYTES 16u
#define SIDE_MESSAGE_BYTES 32u
#define SIDE_QUEUE 8u /* messages that wait for room in the socket */

enum side_type {
	SIDE_HELLO = 1, /* token */
	SIDE_GO,
	SIDE_STARTED,
	SIDE_READY,
	SIDE_COUNT, /* number: chunks sent */
	SIDE_BYE, /* number: chunks sent, by a sender */
};

struct side_message {
	enum side_type type;
	uint64_t number;
	uint8_t token[SIDE_TOKEN_BYTES];
};

struct side {
	int fd; /* -1: none */
	uint8_t in[SIDE_MESSAGE_BYTES];
	uint32_t in_bytes;
	uint8_t out[SIDE_QUEUE * SIDE_MESSAGE_BYTES];
	uint32_t out_bytes;
};

void side_init(struct side *side, int fd);
/* Begins to connect; from: the local address to bind to, port ignored, or
 * NULL. Returns 0 or a status. */
int side_connect(struct side *side, const struct net_addr *to);
/* TCPX_INPROGRESS, 0, TCPX_EREFUSED, TCPX_EUNREACHABLE. */
int side_connected(const struct side *side);
/* Listens at addr, any port; *port is the one it got. */
int side_listen(const struct net_addr *addr, int *fd, uint16_t *port);
/* Queued, and sent when there is room. TCPX_ECHANNEL: the queue is full,
 * which an end that reads never lets happen. */
int side_send(struct side *side, const struct side_message *message);
/* Sends what is queued. */
void side_flush(struct side *side);
/* 1 and a message; 0: none now; TCPX_ECLOSED: the other end is gone;
 * TCPX_EPROTO: it is none of us. */
int side_receive(struct side *side, struct side_message *message);
void side_close(struct side *side);

#endif
