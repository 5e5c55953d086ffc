/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/hello.h"

#include "check.h"
#include "fuzz/samples.h"
#include "wire/cursor.h"

static uint8_t frame[HELLO_HEADER_BYTES + HELLO_BODY_MAX + 1];
static uint8_t *const body = frame + HELLO_HEADER_BYTES;

/* All fields, so that one which is not carried shows. */
static void same_limits(const struct wire_limits *a,
			const struct wire_limits *b)
{
	CHECK_EQ(a->chunk_bytes, b->chunk_bytes);
	CHECK_EQ(a->window_chunks, b->window_chunks);
	CHECK_EQ(a->small_bytes, b->small_bytes);
	CHECK_EQ(a->list_segments, b->list_segments);
	CHECK_EQ(a->n_flows, b->n_flows);
	CHECK_EQ(a->n_rails, b->n_rails);
	CHECK_EQ(a->notify_bytes, b->notify_bytes);
	CHECK_EQ(a->features, b->features);
	CHECK_EQ(a->liveness_ms, b->liveness_ms);
}

static size_t check_header(int frame_bytes, enum hello_kind kind)
{
	struct hello_header h;

	CHECK(frame_bytes > HELLO_HEADER_BYTES);
	CHECK_STATUS(hello_header_decode(frame, &h), 0);
	CHECK_EQ(h.kind, kind);
	CHECK_EQ(h.body_bytes, frame_bytes - HELLO_HEADER_BYTES);
	return h.body_bytes;
}

static void check_hello(const struct hello_hello *m)
{
	size_t n = check_header(hello_hello_encode(m, frame), HELLO_HELLO);
	struct hello_hello got;

	CHECK_STATUS(hello_hello_decode(body, n, &got), 0);
	CHECK_EQ(got.version_min, m->version_min);
	CHECK_EQ(got.version_max, m->version_max);
	CHECK_EQ(got.purpose, m->purpose);
	CHECK_EQ(got.key, m->key);
	CHECK_MEM(got.session, m->session, SESSION_ID_BYTES);
	CHECK_MEM(got.target, m->target, SESSION_ID_BYTES);
	CHECK_MEM(got.nonce, m->nonce, HELLO_NONCE_BYTES);
	CHECK_STR(got.name, m->name);
	same_limits(&got.limits, &m->limits);
	CHECK_EQ(got.token, m->token);
	CHECK_EQ(got.rail, m->rail);
	CHECK_EQ(got.flow, m->flow);
	CHECK_EQ(got.generation, m->generation);
	CHECK_STR(got.transports, m->transports);
	CHECK_EQ(got.rails.len_bytes, m->rails.len_bytes);
	CHECK_MEM(got.rails.data, m->rails.data, m->rails.len_bytes);
}

static void hellos(void)
{
	check_hello(&sample_hello);
	check_hello(&sample_flow_hello);
	check_hello(&sample_resume_hello);
}

static void challenges(void)
{
	const struct hello_challenge *m = &sample_challenge;
	size_t n =
		check_header(hello_challenge_encode(m, frame), HELLO_CHALLENGE);
	struct hello_challenge got;

	CHECK_STATUS(hello_challenge_decode(body, n, &got), 0);
	CHECK_EQ(got.version, m->version);
	CHECK_MEM(got.session, m->session, SESSION_ID_BYTES);
	CHECK_MEM(got.nonce, m->nonce, HELLO_NONCE_BYTES);
	CHECK_STR(got.name, m->name);
	same_limits(&got.limits, &m->limits);
	CHECK_STR(got.transports, m->transports);
	CHECK_EQ(got.rails.len_bytes, m->rails.len_bytes);
	CHECK_MEM(got.rails.data, m->rails.data, m->rails.len_bytes);
	CHECK_MEM(got.mac, m->mac, HELLO_MAC_BYTES);
	/* The MAC is the end of the frame: it covers what is before it. */
	CHECK_MEM(frame + HELLO_CHALLENGE_MACED(HELLO_HEADER_BYTES + n), m->mac,
		  HELLO_MAC_BYTES);
}

static void proofs_and_verdicts(void)
{
	struct hello_proof proof;
	struct hello_verdict verdict;
	size_t n = check_header(hello_proof_encode(&sample_proof, frame),
				HELLO_PROOF);

	CHECK_STATUS(hello_proof_decode(body, n, &proof), 0);
	CHECK_MEM(proof.mac, sample_proof.mac, HELLO_MAC_BYTES);
	n = check_header(hello_verdict_encode(&sample_refusal, frame),
			 HELLO_VERDICT);
	CHECK_STATUS(hello_verdict_decode(body, n, &verdict), 0);
	CHECK_EQ(verdict.status, TCPX_EAUTH);
	CHECK_EQ(verdict.token, 0);
	CHECK_STR(verdict.text, sample_refusal.text);
	n = check_header(hello_verdict_encode(&sample_verdict, frame),
			 HELLO_VERDICT);
	CHECK_STATUS(hello_verdict_decode(body, n, &verdict), 0);
	CHECK_EQ(verdict.status, 0);
	CHECK_EQ(verdict.token, sample_verdict.token);
}

static void a_verdict_is_no_promise(void)
{
	struct hello_verdict m = {.status = 1}, got;
	size_t n = check_header(hello_verdict_encode(&m, frame), HELLO_VERDICT);

	CHECK_STATUS(hello_verdict_decode(body, n, &got), TCPX_EPROTO);
}

/* ---- truncated, extended ---------------------------------------------- */

static int decode_any(uint16_t kind, const void *from, size_t n)
{
	union {
		struct hello_hello hello;
		struct hello_challenge challenge;
		struct hello_proof proof;
		struct hello_verdict verdict;
	} m;

	switch (kind) {
	case HELLO_HELLO:
		return hello_hello_decode(from, n, &m.hello);
	case HELLO_CHALLENGE:
		return hello_challenge_decode(from, n, &m.challenge);
	case HELLO_PROOF:
		return hello_proof_decode(from, n, &m.proof);
	default:
		return hello_verdict_decode(from, n, &m.verdict);
	}
}

static void check_lengths(int frame_bytes)
{
	size_t n = (size_t)frame_bytes - HELLO_HEADER_BYTES;
	struct hello_header h;

	CHECK_STATUS(hello_header_decode(frame, &h), 0);
	CHECK_STATUS(decode_any(h.kind, body, n), 0);
	for (size_t cut = 0; cut < n; cut++) {
		/* Of exactly that length, for the sanitizer's sake. */
		uint8_t *copy = malloc(cut + 1);

		CHECK(copy);
		memcpy(copy + 1, body, cut);
		CHECK_STATUS(decode_any(h.kind, copy + 1, cut), TCPX_EPROTO);
		free(copy);
	}
	body[n] = 0;
	CHECK_STATUS(decode_any(h.kind, body, n + 1), TCPX_EPROTO);
}

static void truncations_and_extensions(void)
{
	check_lengths(hello_hello_encode(&sample_hello, frame));
	check_lengths(hello_hello_encode(&sample_flow_hello, frame));
	check_lengths(hello_challenge_encode(&sample_challenge, frame));
	check_lengths(hello_proof_encode(&sample_proof, frame));
	check_lengths(hello_verdict_encode(&sample_verdict, frame));
	check_lengths(hello_verdict_encode(&sample_refusal, frame));
}

static void headers(void)
{
	static const struct {
		int at;
		uint8_t byte;
	} changes[] = {
		{0, 'U'}, {3, 'p'}, {4, 0}, {4, 5}, {5, 1}, {7, 0x0d},
	};
	struct hello_header h = {.kind = 99};

	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		hello_proof_encode(&sample_proof, frame);
		frame[changes[i].at] = changes[i].byte;
		CHECK_STATUS(hello_header_decode(frame, &h), TCPX_EPROTO);
		CHECK_EQ(h.kind, 99);
	}
	hello_proof_encode(&sample_proof, frame);
	frame[6] = HELLO_BODY_MAX & 0xff;
	frame[7] = HELLO_BODY_MAX >> 8;
	CHECK_STATUS(hello_header_decode(frame, &h), 0);
	frame[6]++;
	CHECK_STATUS(hello_header_decode(frame, &h), TCPX_EPROTO);
}

static void a_frame_that_is_too_long_is_not_made(void)
{
	static uint8_t rails[HELLO_BODY_MAX];
	struct hello_hello m = sample_hello;

	m.rails.data = rails;
	m.rails.len_bytes = sizeof(rails);
	CHECK_STATUS(hello_hello_encode(&m, frame), TCPX_ENOSPC);
	m.rails.len_bytes = 2048;
	CHECK(hello_hello_encode(&m, frame) > 2048);
}

/* ---- versions and ranges ---------------------------------------------- */

static int hello_with(uint16_t version_min, uint16_t version_max,
		      uint8_t purpose, uint8_t key)
{
	struct hello_hello m = sample_hello, got = {0};
	int n, rc;

	m.version_min = version_min;
	m.version_max = version_max;
	m.purpose = purpose;
	m.key = key;
	n = hello_hello_encode(&m, frame);
	CHECK(n > 0);
	rc = hello_hello_decode(body, (size_t)n - HELLO_HEADER_BYTES, &got);
	if (rc == 0 || rc == TCPX_EVERSION)
		CHECK_STR(got.name, m.name);
	return rc;
}

static void versions(void)
{
	const uint16_t ours = HELLO_VERSION;

	CHECK_STATUS(hello_with(ours, ours, 1, 1), 0);
	CHECK_STATUS(hello_with(1, 9, 1, 1), 0);
	CHECK_STATUS(hello_with(ours + 1, ours + 1, 1, 1), TCPX_EVERSION);
	CHECK_STATUS(hello_with(ours - 1, ours - 1, 1, 1), TCPX_EVERSION);
	CHECK_STATUS(hello_with(UINT16_MAX, UINT16_MAX, 1, 1), TCPX_EVERSION);
	CHECK_STATUS(hello_with(2, 1, 1, 1), TCPX_EPROTO);
	CHECK_STATUS(hello_with(0, 1, 1, 1), TCPX_EPROTO);
}

static void a_later_version_may_say_more(void)
{
	struct hello_hello m = sample_hello, got;
	int n;

	m.version_max = HELLO_VERSION + 1;
	n = hello_hello_encode(&m, frame) - HELLO_HEADER_BYTES;
	CHECK(n > 0);
	memcpy(body + n, "more", 4);
	CHECK_STATUS(hello_hello_decode(body, (size_t)n + 4, &got), 0);
	CHECK_EQ(got.rails.len_bytes, m.rails.len_bytes);
}

static void ranges(void)
{
	struct hello_challenge c = sample_challenge, got;
	size_t n;

	CHECK_STATUS(hello_with(HELLO_VERSION, HELLO_VERSION, 0, 1),
		     TCPX_EPROTO);
	CHECK_STATUS(hello_with(HELLO_VERSION, HELLO_VERSION, 2, 2), 0);
	CHECK_STATUS(hello_with(HELLO_VERSION, HELLO_VERSION, 3, 1), 0);
	CHECK_STATUS(hello_with(HELLO_VERSION, HELLO_VERSION, 4, 1),
		     TCPX_EPROTO);
	CHECK_STATUS(hello_with(HELLO_VERSION, HELLO_VERSION, 1, 0),
		     TCPX_EPROTO);
	CHECK_STATUS(hello_with(HELLO_VERSION, HELLO_VERSION, 1, 3),
		     TCPX_EPROTO);
	c.version = HELLO_VERSION + 1;
	n = check_header(hello_challenge_encode(&c, frame), HELLO_CHALLENGE);
	CHECK_STATUS(hello_challenge_decode(body, n, &got), TCPX_EPROTO);
}

static void limits_meet(void)
{
	const struct wire_limits a = {1 << 20, 8,	100, 5000, 4,
				      1,       1 << 30, 0,   9000};
	const struct wire_limits b = {1 << 19, 16,	200, 4000, 2,
				      3,       1 << 20, 1,   10000};
	const struct wire_limits want = {1 << 19, 8,	   100, 4000, 2,
					 1,	  1 << 20, 1,	9000};
	const struct wire_limits nothing = {0};
	struct wire_limits ab = wire_limits_meet(&a, &b);
	struct wire_limits ba = wire_limits_meet(&b, &a);
	struct wire_limits floor = wire_limits_meet(&a, &nothing);

	same_limits(&ab, &want);
	same_limits(&ba, &want);
	/* Nobody divides by what a hostile peer announced. */
	CHECK(floor.chunk_bytes >= 4096);
	CHECK_EQ(floor.window_chunks, 1);
	CHECK_EQ(floor.list_segments, 1);
	CHECK_EQ(floor.n_flows, 1);
	CHECK_EQ(floor.n_rails, 1);
	CHECK(floor.liveness_ms >= 100);
	CHECK_EQ(floor.small_bytes, 0);
}

static const struct check_case cases[] = {
	{"hellos", hellos, 0},
	{"challenges", challenges, 0},
	{"proofs_and_verdicts", proofs_and_verdicts, 0},
	{"a_verdict_is_no_promise", a_verdict_is_no_promise, 0},
	{"truncations_and_extensions", truncations_and_extensions, 0},
	{"headers", headers, 0},
	{"a_frame_that_is_too_long_is_not_made",
	 a_frame_that_is_too_long_is_not_made, 0},
	{"versions", versions, 0},
	{"a_later_version_may_say_more", a_later_version_may_say_more, 0},
	{"ranges", ranges, 0},
	{"limits_meet", limits_meet, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
