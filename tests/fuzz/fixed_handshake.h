/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIXED_HANDSHAKE_H
#define FIXED_HANDSHAKE_H

/*
 * The handshake with keys and nonces that never change, so that a recorded
 * one can be played again: a fuzzer cannot guess a MAC, but it can start from
 * one that is right and change what is around it. The first byte of an input
 * says which one it is.
 */

#include <string.h>

#include "boot/handshake.h"

enum fixed_mode {
	FIXED_CONNECTOR = 1, /* the machine under test; else the listener */
	FIXED_SHARED = 2, /* by shared secret; else by blob */
	FIXED_FLOW = 4, /* a flow; else control */
	FIXED_REFUSE = 8, /* the listener's owner says no */
	FIXED_RESUME = 16, /* a control connection resumed, FLOW or not */
	FIXED_MODES = 32,
};

static inline void fixed_self(struct handshake_self *self, char which)
{
	memset(self, 0, sizeof(*self));
	memset(self->session, which, SESSION_ID_BYTES);
	memset(self->keys.blob, which + 1, SECRET_BYTES);
	memset(self->keys.shared, 's', SECRET_BYTES);
	self->keys.has_shared = true;
	self->name[0] = which;
	strcpy(self->transports, "socket");
	self->limits.chunk_bytes = 1u << 19;
	self->limits.window_chunks = 16;
}

static const struct handshake_self *fixed_listener_self(void)
{
	static struct handshake_self self;

	fixed_self(&self, 'L');
	return &self;
}

static const struct handshake_self *fixed_connector_self(void)
{
	static struct handshake_self self;

	fixed_self(&self, 'C');
	return &self;
}

static inline void fixed_listener(struct handshake *hs)
{
	uint8_t nonce[HELLO_NONCE_BYTES];

	memset(nonce, 'n', sizeof(nonce));
	handshake_init_listener(hs, fixed_listener_self(), nonce);
}

static inline void fixed_connector(struct handshake *hs, unsigned mode)
{
	const struct handshake_self *listener = fixed_listener_self();
	uint8_t nonce[HELLO_NONCE_BYTES];
	struct boot_target target = {
		.purpose = mode & FIXED_RESUME ? HELLO_RESUME :
			   mode & FIXED_FLOW   ? HELLO_FLOW :
						 HELLO_CONTROL,
		.key = mode & FIXED_SHARED ? HELLO_KEY_SHARED : HELLO_KEY_BLOB,
		.token = 5,
		.rail = 1,
		.flow = 2,
		.generation = 3,
	};

	memset(nonce, 'N', sizeof(nonce));
	if (!(mode & FIXED_SHARED)) {
		memcpy(target.secret, listener->keys.blob, SECRET_BYTES);
		memcpy(target.session, listener->session, SESSION_ID_BYTES);
	}
	handshake_init_connector(hs, fixed_connector_self(), &target, nonce);
}

static inline void fixed_decide(struct handshake *hs, unsigned mode)
{
	if (hs->state != HANDSHAKE_ADMIT)
		return;
	handshake_admit(hs, mode & FIXED_REFUSE ? TCPX_EBUSY : 0, 4711,
			"no room");
}

/* What `from` has to say goes to `to`, and onto the tape. */
static inline size_t fixed_carry(struct handshake *from, struct handshake *to,
				 uint8_t *tape, size_t n_tape)
{
	const void *src;
	void *dst;
	size_t n = handshake_pending(from, &src);
	size_t want = handshake_want(to, &dst);

	n = n < want ? n : want;
	if (n == 0)
		return 0;
	memcpy(dst, src, n);
	if (tape)
		memcpy(tape + n_tape, src, n);
	handshake_fed(to, n);
	handshake_sent(from, n);
	return n;
}

/* The input by which the machine under test sees a handshake to its end:
 * mode, size of pieces (0: whole), bytes. Returns its length; 0: it did not
 * end as it should. */
static inline size_t fixed_tape(unsigned mode, uint8_t *tape)
{
	static struct handshake connector, listener;
	bool out = mode & FIXED_CONNECTOR;
	size_t n = 2, moved;

	tape[0] = (uint8_t)mode;
	tape[1] = 0;
	fixed_listener(&listener);
	fixed_connector(&connector, mode);
	do {
		size_t a = fixed_carry(&connector, &listener, out ? NULL : tape,
				       n);
		size_t b;

		if (!out)
			n += a;
		fixed_decide(&listener, mode);
		b = fixed_carry(&listener, &connector, out ? tape : NULL, n);
		if (out)
			n += b;
		moved = a + b;
	} while (moved > 0);
	return connector.state == (mode & FIXED_REFUSE ? HANDSHAKE_FAILED :
							 HANDSHAKE_DONE) ?
		       n :
		       0;
}

#endif
