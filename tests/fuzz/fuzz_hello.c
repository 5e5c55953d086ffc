/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fuzz.h"
#include "wire/blob.h"
#include "wire/hello.h"

/* Frames of the handshake, header and body, one after the other. */

#define FRAME_BYTES (HELLO_HEADER_BYTES + HELLO_BODY_MAX)

struct any_hello {
	struct hello_hello hello;
	struct hello_challenge challenge;
	struct hello_proof proof;
	struct hello_verdict verdict;
};

static uint8_t once[FRAME_BYTES], twice[FRAME_BYTES];

static int decode(uint16_t kind, const void *body, size_t n,
		  struct any_hello *m)
{
	switch (kind) {
	case HELLO_HELLO:
		return hello_hello_decode(body, n, &m->hello);
	case HELLO_CHALLENGE:
		return hello_challenge_decode(body, n, &m->challenge);
	case HELLO_PROOF:
		return hello_proof_decode(body, n, &m->proof);
	default:
		return hello_verdict_decode(body, n, &m->verdict);
	}
}

static int encode(uint16_t kind, const struct any_hello *m, void *frame)
{
	switch (kind) {
	case HELLO_HELLO:
		return hello_hello_encode(&m->hello, frame);
	case HELLO_CHALLENGE:
		return hello_challenge_encode(&m->challenge, frame);
	case HELLO_PROOF:
		return hello_proof_encode(&m->proof, frame);
	default:
		return hello_verdict_encode(&m->verdict, frame);
	}
}

static void check_rails(const struct msg_blob_ref *ref)
{
	struct wire_rail rails[BLOB_RAILS_MAX], again[BLOB_RAILS_MAX];
	uint8_t buf[TCPX_BLOB_MAX];
	uint32_t n, n_again;
	size_t len_bytes;

	if (rails_decode(ref->data, ref->len_bytes, rails, &n))
		return;
	MUST(n <= BLOB_RAILS_MAX);
	MUST(rails_encode(rails, n, buf, sizeof(buf), &len_bytes) == 0);
	MUST(rails_decode(buf, len_bytes, again, &n_again) == 0);
	MUST(n_again == n);
	for (uint32_t i = 0; i < n; i++)
		MUST(addr_equal(&rails[i].addr, &again[i].addr) &&
		     !strcmp(rails[i].ifname, again[i].ifname));
}

static void check_limits(const struct wire_limits *a)
{
	struct wire_limits zero = {0}, met = wire_limits_meet(a, &zero);

	/* What divides or sizes something is never nothing. */
	MUST(met.chunk_bytes > 0 && met.window_chunks > 0);
	MUST(met.n_flows > 0 && met.n_rails > 0 && met.liveness_ms > 0);
}

static void check_frame(uint16_t kind, const uint8_t *body, size_t len_bytes)
{
	struct any_hello m = {0}, again = {0};
	int rc = decode(kind, body, len_bytes, &m);
	struct hello_header h;
	int n;

	if (rc && rc != TCPX_EVERSION)
		return;
	n = encode(kind, &m, once);
	MUST(n > 0 && n <= FRAME_BYTES);
	MUST(hello_header_decode(once, &h) == 0 && h.kind == kind);
	MUST(h.body_bytes == n - HELLO_HEADER_BYTES);
	MUST(decode(kind, once + HELLO_HEADER_BYTES, h.body_bytes, &again) ==
	     rc);
	MUST(encode(kind, &again, twice) == n);
	MUST(memcmp(once, twice, (size_t)n) == 0);
	if (kind == HELLO_HELLO) {
		check_rails(&m.hello.rails);
		check_limits(&m.hello.limits);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	struct hello_header h;

	while (len_bytes >= HELLO_HEADER_BYTES &&
	       !hello_header_decode(data, &h)) {
		data += HELLO_HEADER_BYTES;
		len_bytes -= HELLO_HEADER_BYTES;
		if (h.body_bytes > len_bytes)
			break;
		check_frame(h.kind, data, h.body_bytes);
		data += h.body_bytes;
		len_bytes -= h.body_bytes;
	}
	return 0;
}
