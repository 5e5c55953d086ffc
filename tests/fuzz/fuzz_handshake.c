/* SPDX-License-Identifier: Apache-2.0 */
#include "fixed_handshake.h"
#include "fuzz.h"

/*
 * The handshake machine, either role, against bytes of any kind: nobody is
 * let in without a proof over exactly the bytes that travelled, and nothing
 * is read behind the last frame.
 */

struct seen {
	uint8_t in[4 * HANDSHAKE_FRAME_MAX];
	uint8_t out[4 * HANDSHAKE_FRAME_MAX];
	size_t n_in, n_out;
};

static struct handshake hs;
static struct seen seen;

static void drain(void)
{
	const void *from;
	size_t n = handshake_pending(&hs, &from);

	MUST(n <= HANDSHAKE_FRAME_MAX);
	MUST(seen.n_out + n <= sizeof(seen.out));
	memcpy(seen.out + seen.n_out, from, n);
	seen.n_out += n;
	handshake_sent(&hs, n);
}

/* Length of the frame at `at`, which the machine has taken for one. */
static size_t frame_bytes(const uint8_t *at)
{
	struct hello_header header;

	MUST(hello_header_decode(at, &header) == 0);
	return (size_t)HELLO_HEADER_BYTES + header.body_bytes;
}

static const uint8_t *key_of(const struct handshake_self *listener,
			     const uint8_t *hello_frame)
{
	struct hello_hello hello;

	MUST(hello_hello_decode(hello_frame + HELLO_HEADER_BYTES,
				frame_bytes(hello_frame) - HELLO_HEADER_BYTES,
				&hello) == 0);
	return hello.key == HELLO_KEY_SHARED ? listener->keys.shared :
					       listener->keys.blob;
}

/* The listener would let it in: HELLO and PROOF came, CHALLENGE went. */
static void check_admission(void)
{
	size_t hello = frame_bytes(seen.in);
	size_t challenge = frame_bytes(seen.out);
	uint8_t mac[HELLO_MAC_BYTES];

	MUST(seen.n_out == challenge);
	MUST(seen.n_in == hello + HELLO_HEADER_BYTES + HELLO_MAC_BYTES);
	auth_mac(key_of(hs.self, seen.in), AUTH_CONNECTOR, seen.in, hello,
		 seen.out, challenge, mac);
	MUST(memcmp(mac, seen.in + hello + HELLO_HEADER_BYTES, sizeof(mac)) ==
	     0);
}

/* The connector is in: CHALLENGE and VERDICT came, HELLO and PROOF went. */
static void check_connection(void)
{
	size_t hello = frame_bytes(seen.out);
	size_t challenge = frame_bytes(seen.in);
	size_t maced = HELLO_CHALLENGE_MACED(challenge);
	uint8_t mac[HELLO_MAC_BYTES];

	MUST(seen.n_in == challenge + frame_bytes(seen.in + challenge));
	auth_mac(key_of(fixed_listener_self(), seen.out), AUTH_LISTENER,
		 seen.out, hello, seen.in, maced, mac);
	MUST(memcmp(mac, seen.in + maced, sizeof(mac)) == 0);
}

static void check_state(unsigned mode)
{
	void *to;

	MUST(hs.in_bytes <= HANDSHAKE_FRAME_MAX);
	if (hs.state == HANDSHAKE_ADMIT)
		check_admission();
	if (hs.state == HANDSHAKE_DONE && mode & FIXED_CONNECTOR)
		check_connection();
	if (hs.state == HANDSHAKE_FAILED)
		MUST(hs.status < 0 && hs.cause[0]);
	if (hs.state != HANDSHAKE_RUNS)
		MUST(handshake_want(&hs, &to) == 0);
	MUST(memchr(hs.result.name, 0, sizeof(hs.result.name)));
	MUST(hs.result.n_rails <= BLOB_RAILS_MAX);
}

/* The next piece of the input. False: nothing more is wanted, or left. */
static bool feed(const uint8_t **data, size_t *left_bytes, size_t piece_bytes)
{
	void *to;
	size_t n = handshake_want(&hs, &to);

	n = n < *left_bytes ? n : *left_bytes;
	n = piece_bytes && piece_bytes < n ? piece_bytes : n;
	if (n == 0)
		return false;
	MUST((uint8_t *)to >= hs.in &&
	     (uint8_t *)to + n <= hs.in + sizeof(hs.in));
	MUST(seen.n_in + n <= sizeof(seen.in));
	memcpy(to, *data, n);
	memcpy(seen.in + seen.n_in, *data, n);
	seen.n_in += n;
	*data += n;
	*left_bytes -= n;
	handshake_fed(&hs, n);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	unsigned mode, piece_bytes;

	if (len_bytes < 2)
		return 0;
	mode = data[0] % FIXED_MODES;
	piece_bytes = data[1];
	data += 2;
	len_bytes -= 2;
	seen.n_in = seen.n_out = 0;
	if (mode & FIXED_CONNECTOR)
		fixed_connector(&hs, mode);
	else
		fixed_listener(&hs);
	drain();
	while (feed(&data, &len_bytes, piece_bytes)) {
		check_state(mode);
		fixed_decide(&hs, mode);
		drain();
	}
	check_state(mode);
	if (hs.state == HANDSHAKE_RUNS)
		handshake_closed(&hs);
	MUST(hs.state == HANDSHAKE_DONE || hs.state == HANDSHAKE_FAILED);
	handshake_fini(&hs);
	return 0;
}
