/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_E2E_EVIL_H
#define TESTS_E2E_EVIL_H

/*
 * A peer that has the secret and abuses it: it shakes hands like any other,
 * then says on its control connection and its flow whatever a test wants.
 * What fails here ends the case.
 */

#include <stdbool.h>
#include <stdint.h>

#include "boot/boot.h"
#include "support/sess.h"
#include "wire/cursor.h"
#include "wire/msg.h"
#include "wire/segs.h"

struct evil {
	struct boot *boot;
	struct conn_blob victim;
	uint8_t session[SESSION_ID_BYTES]; /* its own */
	int ctl, flow; /* -1: none */
	uint32_t channel; /* the flow's */
	struct boot_result hello; /* of the control connection */
	uint64_t seq; /* last number sent */
	uint64_t wire_id; /* last request's */
	bool connected;
	int status;
	uint8_t body[MSG_BODY_MAX + 4096]; /* of the message being built */
	struct wire_writer w;
	uint8_t got[MSG_HEADER_BYTES + MSG_BODY_MAX]; /* the last one read */
	struct msg_header got_header;
};

void evil_open(struct evil *evil, struct sess *victim);
void evil_close(struct evil *evil);
/* A flow to the victim; evil sends chunks on it. */
void evil_open_flow(struct evil *evil);
/* The same as channel 0 or 1: the first lives where the control connection
 * does, the second, if there are several workers, where another one is. */
void evil_open_flow_as(struct evil *evil, uint32_t channel);

/* Its control connection, or whose it says it is, once more. */
struct evil_claim {
	uint64_t token;
	uint32_t generation;
	bool wrong_secret;
	uint16_t port; /* of somebody in the middle; 0: the victim's own */
};

/* Asks for it; the status. On success evil->ctl is the new one, of which nothing
 * has been said or heard, and *old, or nothing, the one before it. */
int evil_resume(struct evil *evil, const struct evil_claim *claim, int *old);

/* Connects as if it never had; the status. */
int evil_connect_again(struct evil *evil);

/* Builds a body: evil_begin(), then wire_write_*() or msg_*_encode() on
 * evil->w, then evil_say(): numbered, as it should be. */
void evil_begin(struct evil *evil);
void evil_say(struct evil *evil, uint16_t type);
/* The same with a header of the caller's own. */
void evil_say_as(struct evil *evil, const struct msg_header *header);
/* The next message of this type, others are passed over; its body is at
 * evil->got. False: none came in time, or the connection was closed. */
bool evil_hear(struct evil *evil, uint16_t type, struct wire_reader *r,
	       int timeout_ms);
/* True if the victim hangs up in time. */
bool evil_was_dropped(struct evil *evil, int timeout_ms);

/* One row and one segment, encoded, for requests. */
struct evil_list {
	uint8_t row[16];
	uint8_t segs[64];
	struct msg_bytes regions, encoded;
};
void evil_list(struct evil_list *list, uint64_t mem, uint64_t key, uint64_t off,
	       uint32_t len_bytes);
/* A list in one part: its id is given. */
void evil_send_list(struct evil *evil, uint64_t id,
		    const struct evil_list *list, uint64_t total_bytes);
/* Leave to send so many chunks on the flow, the first so many being placed. */
void evil_send_credit(struct evil *evil, uint64_t granted, uint64_t placed);
void evil_send_done(struct evil *evil, uint64_t xfer, int status);
/* Reads so much of the flow, or ends the case. */
void evil_read_flow(struct evil *evil, void *to, size_t len_bytes);
/* A chunk on the flow. */
void evil_send_chunk(struct evil *evil, const struct chunk_desc *desc,
		     const void *payload, uint32_t len_bytes);

#endif
