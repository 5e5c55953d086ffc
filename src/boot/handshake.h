/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BOOT_HANDSHAKE_H
#define BOOT_HANDSHAKE_H

/*
 * The handshake of wire/hello.h as a state machine for both roles. Pure: no
 * socket, no clock, no dice; bytes are carried in and out by the caller, in
 * whatever pieces they come.
 *
 *             connector                          listener
 *   RUNS      (HELLO) reads CHALLENGE            reads HELLO
 *   RUNS      (PROOF) reads VERDICT              (CHALLENGE) reads PROOF
 *   ADMIT     -                                  waits for handshake_admit()
 *   RUNS      -                                  (VERDICT)
 *   DONE or FAILED                               DONE or FAILED
 *
 * handshake_want() never asks for a byte behind the last frame: what follows
 * belongs to the next layer. FAILED may leave a frame to send: a listener's
 * VERDICT, the PROOF of a connector that leaves.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boot/auth.h"
#include "boot/boot.h"
#include "wire/hello.h"

#define HANDSHAKE_FRAME_MAX (HELLO_HEADER_BYTES + HELLO_BODY_MAX)

/* What a session says of itself, the same in all its handshakes. */
struct handshake_self {
	struct auth_keys keys;
	uint8_t session[SESSION_ID_BYTES];
	char name[TCPX_NAME_MAX];
	struct wire_limits limits;
	char transports[64];
	const void *rails; /* as rails_encode() wrote them */
	uint32_t rails_bytes;
};

enum handshake_state {
	HANDSHAKE_RUNS,
	HANDSHAKE_ADMIT,
	HANDSHAKE_DONE,
	HANDSHAKE_FAILED,
};

struct handshake {
	const struct handshake_self *self;
	enum handshake_state state;
	uint16_t awaits; /* enum hello_kind; 0: no frame */
	bool greeted; /* the first frame of the other side was good */
	bool left; /* FAILED: the connector has the secret, and left */
	int status; /* FAILED: why, and in words */
	char cause[192];
	struct boot_result result; /* but for fd and addresses */

	uint8_t key[SECRET_BYTES]; /* connector: K */
	uint8_t target[SESSION_ID_BYTES]; /* connector: who it wants */
	uint8_t nonce[HELLO_NONCE_BYTES]; /* ours */
	uint8_t proof[HELLO_MAC_BYTES]; /* listener: what PROOF must say */
	uint8_t leave[HELLO_MAC_BYTES]; /* what it says of one that leaves */

	uint16_t in_bytes, in_want; /* of the frame being read */
	uint16_t out_bytes, out_sent;
	uint8_t in[HANDSHAKE_FRAME_MAX];
	uint8_t out[HANDSHAKE_FRAME_MAX];
};

/* self must outlive the handshake. nonce: random, used once. */
void handshake_init_listener(struct handshake *hs,
			     const struct handshake_self *self,
			     const uint8_t nonce[HELLO_NONCE_BYTES]);
void handshake_init_connector(struct handshake *hs,
			      const struct handshake_self *self,
			      const struct boot_target *target,
			      const uint8_t nonce[HELLO_NONCE_BYTES]);
/* Wipes what is secret. */
void handshake_fini(struct handshake *hs);

/* Where to put the next bytes, and how many at most; 0: read nothing now. */
size_t handshake_want(struct handshake *hs, void **to);
/* n_bytes of them have come. Look at state afterwards. */
void handshake_fed(struct handshake *hs, size_t n_bytes);
/* The next bytes to send, 0: none. */
size_t handshake_pending(const struct handshake *hs, const void **from);
void handshake_sent(struct handshake *hs, size_t n_bytes);
/* ADMIT: 0 and the token, or the status and text of a refusal. */
void handshake_admit(struct handshake *hs, int status, uint64_t token,
		     const char *text);
/* The connector, before its PROOF has gone out: says goodbye instead. FAILED,
 * with what the caller says. */
void handshake_leave(struct handshake *hs, int status, const char *why);
/* The connection ended: FAILED, with what that means at this point. */
void handshake_closed(struct handshake *hs);

#endif
