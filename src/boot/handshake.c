/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/handshake.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void fail(struct handshake *hs, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void fail(struct handshake *hs, int status, const char *fmt, ...)
{
	va_list args;

	hs->state = HANDSHAKE_FAILED;
	hs->awaits = 0;
	hs->out_bytes = 0;
	hs->out_sent = 0;
	hs->status = status;
	va_start(args, fmt);
	vsnprintf(hs->cause, sizeof(hs->cause), fmt, args);
	va_end(args);
}

static void await(struct handshake *hs, enum hello_kind kind)
{
	hs->awaits = kind;
	hs->in_bytes = 0;
	hs->in_want = HELLO_HEADER_BYTES;
}

/* frame_bytes is what an encoder returned for hs->out. */
static void put_out(struct handshake *hs, int frame_bytes)
{
	hs->out_sent = 0;
	hs->out_bytes = 0;
	if (frame_bytes < 0)
		fail(hs, TCPX_EINTERNAL, "handshake message too long");
	else
		hs->out_bytes = (uint16_t)frame_bytes;
}

/* Fails, and lets the connector know why. */
static void refuse(struct handshake *hs, int status, const char *text)
{
	struct hello_verdict verdict = {.status = status};

	fail(hs, status, "refused: %s", text);
	snprintf(verdict.text, sizeof(verdict.text), "%s", text);
	put_out(hs, hello_verdict_encode(&verdict, hs->out));
}

static void copy_text(char *to, size_t cap_bytes, const char *from)
{
	size_t n = strnlen(from, cap_bytes - 1);

	/* It came over the network, and will be shown to people. */
	for (size_t i = 0; i < n; i++)
		to[i] = (unsigned char)from[i] < 0x20 || from[i] == 0x7f ?
				'?' :
				from[i];
	to[n] = '\0';
}

static struct msg_blob_ref own_rails(const struct handshake *hs)
{
	/* All others belong to a peer whose rails are known. */
	if (hs->result.purpose != HELLO_CONTROL)
		return (struct msg_blob_ref){0};
	return (struct msg_blob_ref){hs->self->rails, hs->self->rails_bytes};
}

/* What both first messages say of the other side. */
static int learn(struct handshake *hs, const uint8_t *session, const char *name,
		 const char *transports, const struct wire_limits *limits,
		 const struct msg_blob_ref *rails)
{
	struct boot_result *result = &hs->result;

	memcpy(result->session, session, SESSION_ID_BYTES);
	copy_text(result->name, sizeof(result->name), name);
	copy_text(result->transports, sizeof(result->transports), transports);
	result->limits = wire_limits_meet(&hs->self->limits, limits);
	if (rails->len_bytes == 0)
		return 0;
	return rails_decode(rails->data, rails->len_bytes, result->rails,
			    &result->n_rails);
}

/* ---- the listener ------------------------------------------------------ */

void handshake_init_listener(struct handshake *hs,
			     const struct handshake_self *self,
			     const uint8_t nonce[HELLO_NONCE_BYTES])
{
	memset(hs, 0, sizeof(*hs));
	hs->self = self;
	hs->result.fd = -1;
	hs->result.incoming = true;
	memcpy(hs->nonce, nonce, HELLO_NONCE_BYTES);
	await(hs, HELLO_HELLO);
}

/* Can this HELLO be answered with a proof? Refuses it if not. */
static bool check_hello(struct handshake *hs, const struct hello_hello *hello,
			int status)
{
	static const uint8_t anyone[SESSION_ID_BYTES];
	char text[96];

	if (status == TCPX_EVERSION) {
		snprintf(text, sizeof(text),
			 "protocol versions %u to %u wanted, %u spoken here",
			 hello->version_min, hello->version_max, HELLO_VERSION);
		refuse(hs, TCPX_EVERSION, text);
		return false;
	}
	if (memcmp(hello->target, anyone, SESSION_ID_BYTES) != 0 &&
	    memcmp(hello->target, hs->self->session, SESSION_ID_BYTES) != 0) {
		refuse(hs, TCPX_ENOENT, "another session listens here now");
		return false;
	}
	if (hello->key == HELLO_KEY_SHARED && !hs->self->keys.has_shared) {
		refuse(hs, TCPX_EAUTH,
		       "no shared secret is set here: connect by blob");
		return false;
	}
	return true;
}

static void challenge(struct handshake *hs, const struct hello_hello *hello)
{
	const struct handshake_self *self = hs->self;
	const uint8_t *key = hello->key == HELLO_KEY_SHARED ?
				     self->keys.shared :
				     self->keys.blob;
	struct hello_challenge m = {
		.version = HELLO_VERSION,
		.limits = self->limits,
		.rails = own_rails(hs),
	};
	size_t maced_bytes;
	int n;

	memcpy(m.session, self->session, sizeof(m.session));
	memcpy(m.nonce, hs->nonce, sizeof(m.nonce));
	memcpy(m.name, self->name, sizeof(m.name));
	memcpy(m.transports, self->transports, sizeof(m.transports));
	n = hello_challenge_encode(&m, hs->out);
	if (n > 0) {
		maced_bytes = HELLO_CHALLENGE_MACED((size_t)n);
		auth_mac(key, AUTH_LISTENER, hs->in, hs->in_bytes, hs->out,
			 maced_bytes, hs->out + maced_bytes);
		/* Known before it is told: the frames need not be kept. */
		auth_mac(key, AUTH_CONNECTOR, hs->in, hs->in_bytes, hs->out,
			 (size_t)n, hs->proof);
		auth_mac(key, AUTH_LEAVER, hs->in, hs->in_bytes, hs->out,
			 (size_t)n, hs->leave);
		await(hs, HELLO_PROOF);
	}
	put_out(hs, n);
}

static void got_hello(struct handshake *hs, const uint8_t *body,
		      size_t len_bytes)
{
	struct boot_result *result = &hs->result;
	struct hello_hello hello = {0};
	int status = hello_hello_decode(body, len_bytes, &hello);

	if (status == TCPX_EPROTO) {
		fail(hs, status, "a HELLO that cannot be read");
		return;
	}
	copy_text(result->name, sizeof(result->name), hello.name);
	if (!check_hello(hs, &hello, status))
		return;
	result->purpose = hello.purpose;
	if (learn(hs, hello.session, hello.name, hello.transports,
		  &hello.limits, &hello.rails) < 0) {
		fail(hs, TCPX_EPROTO, "a HELLO with bad rail addresses");
		return;
	}
	if (hello.purpose != HELLO_CONTROL) {
		result->token = hello.token;
		result->rail = hello.rail;
		result->flow = hello.flow;
		result->generation = hello.generation;
	}
	hs->greeted = true;
	challenge(hs, &hello);
}

static void got_proof(struct handshake *hs, const uint8_t *body,
		      size_t len_bytes)
{
	struct hello_proof proof;

	if (hello_proof_decode(body, len_bytes, &proof) < 0) {
		fail(hs, TCPX_EPROTO, "a PROOF that cannot be read");
		return;
	}
	if (auth_mac_equal(proof.mac, hs->leave)) {
		hs->left = true;
		fail(hs, TCPX_ECLOSED, "left: it is connected already");
		return;
	}
	if (!auth_mac_equal(proof.mac, hs->proof)) {
		refuse(hs, TCPX_EAUTH, "wrong secret");
		return;
	}
	hs->awaits = 0;
	hs->state = HANDSHAKE_ADMIT;
}

void handshake_admit(struct handshake *hs, int status, uint64_t token,
		     const char *text)
{
	struct hello_verdict verdict = {0};

	if (hs->state != HANDSHAKE_ADMIT)
		return;
	if (status != 0) {
		refuse(hs, status < 0 ? status : TCPX_EINTERNAL, text);
		return;
	}
	if (hs->result.purpose == HELLO_CONTROL)
		hs->result.token = token;
	verdict.token = hs->result.token;
	hs->state = HANDSHAKE_RUNS;
	put_out(hs, hello_verdict_encode(&verdict, hs->out));
}

/* ---- the connector ----------------------------------------------------- */

void handshake_init_connector(struct handshake *hs,
			      const struct handshake_self *self,
			      const struct boot_target *target,
			      const uint8_t nonce[HELLO_NONCE_BYTES])
{
	struct hello_hello hello = {
		.version_min = HELLO_VERSION,
		.version_max = HELLO_VERSION,
		.purpose = (uint8_t)target->purpose,
		.key = (uint8_t)target->key,
		.limits = self->limits,
		.token = target->token,
		.rail = target->rail,
		.flow = target->flow,
		.generation = target->generation,
	};

	memset(hs, 0, sizeof(*hs));
	hs->self = self;
	hs->result = (struct boot_result){
		.fd = -1,
		.purpose = target->purpose,
		.token = target->token,
		.rail = target->rail,
		.flow = target->flow,
		.generation = target->generation,
	};
	memcpy(hs->key,
	       target->key == HELLO_KEY_SHARED ? self->keys.shared :
						 target->secret,
	       SECRET_BYTES);
	memcpy(hs->target, target->session, SESSION_ID_BYTES);
	memcpy(hs->nonce, nonce, HELLO_NONCE_BYTES);
	memcpy(hello.session, self->session, sizeof(hello.session));
	memcpy(hello.target, target->session, sizeof(hello.target));
	memcpy(hello.nonce, nonce, sizeof(hello.nonce));
	memcpy(hello.name, self->name, sizeof(hello.name));
	memcpy(hello.transports, self->transports, sizeof(hello.transports));
	hello.rails = own_rails(hs);
	await(hs, HELLO_CHALLENGE);
	put_out(hs, hello_hello_encode(&hello, hs->out));
}

/* hs->out still holds our HELLO, hs->in the whole CHALLENGE. */
static bool check_challenge(struct handshake *hs,
			    const struct hello_challenge *m)
{
	static const uint8_t anyone[SESSION_ID_BYTES];
	uint8_t mac[HELLO_MAC_BYTES];

	if (m->version != HELLO_VERSION) {
		fail(hs, TCPX_EPROTO, "chose protocol version %u unasked",
		     m->version);
		return false;
	}
	auth_mac(hs->key, AUTH_LISTENER, hs->out, hs->out_bytes, hs->in,
		 HELLO_CHALLENGE_MACED((size_t)hs->in_bytes), mac);
	if (!auth_mac_equal(mac, m->mac)) {
		/* Not a byte made with our secret goes to who has not got it */
		fail(hs, TCPX_EAUTH,
		     "the listener's proof is wrong: it has another secret");
		return false;
	}
	if (memcmp(hs->target, anyone, SESSION_ID_BYTES) != 0 &&
	    memcmp(hs->target, m->session, SESSION_ID_BYTES) != 0) {
		fail(hs, TCPX_ENOENT, "another session listens there now");
		return false;
	}
	return true;
}

static void got_challenge(struct handshake *hs, const uint8_t *body,
			  size_t len_bytes)
{
	struct hello_challenge m;
	struct hello_proof proof;

	if (hello_challenge_decode(body, len_bytes, &m) < 0) {
		fail(hs, TCPX_EPROTO, "a CHALLENGE that cannot be read");
		return;
	}
	if (!check_challenge(hs, &m))
		return;
	if (learn(hs, m.session, m.name, m.transports, &m.limits, &m.rails) <
	    0) {
		fail(hs, TCPX_EPROTO, "a CHALLENGE with bad rail addresses");
		return;
	}
	hs->greeted = true;
	auth_mac(hs->key, AUTH_CONNECTOR, hs->out, hs->out_bytes, hs->in,
		 hs->in_bytes, proof.mac);
	auth_mac(hs->key, AUTH_LEAVER, hs->out, hs->out_bytes, hs->in,
		 hs->in_bytes, hs->leave);
	await(hs, HELLO_VERDICT);
	put_out(hs, hello_proof_encode(&proof, hs->out));
}

void handshake_leave(struct handshake *hs, int status, const char *why)
{
	struct hello_proof proof;

	if (hs->state != HANDSHAKE_RUNS || hs->awaits != HELLO_VERDICT ||
	    hs->out_sent > 0)
		return;
	fail(hs, status, "%s", why);
	memcpy(proof.mac, hs->leave, sizeof(proof.mac));
	put_out(hs, hello_proof_encode(&proof, hs->out));
}

/* A refusal in the caller's terms: what the peer says of itself must not
 * read as news of this session. */
static int refusal_status(int status)
{
	switch (status) {
	case TCPX_EAUTH:
	case TCPX_EVERSION:
	case TCPX_ENOENT:
	case TCPX_EBUSY:
	case TCPX_EAGAIN:
	case TCPX_EACCES:
	case TCPX_EUNSUPPORTED:
	case TCPX_EPEER:
	case TCPX_ECLOSED:
	case TCPX_EPROTO:
		return status;
	default:
		return TCPX_EREFUSED;
	}
}

static void got_verdict(struct handshake *hs, const uint8_t *body,
			size_t len_bytes)
{
	struct hello_verdict verdict;
	char text[sizeof(verdict.text)];

	if (hello_verdict_decode(body, len_bytes, &verdict) < 0 ||
	    verdict.status > 0 ||
	    (verdict.status == 0 &&
	     (!hs->greeted || hs->out_sent < hs->out_bytes))) {
		fail(hs, TCPX_EPROTO, "a VERDICT that cannot be");
		return;
	}
	if (verdict.status < 0) {
		copy_text(text, sizeof(text), verdict.text);
		fail(hs, refusal_status(verdict.status), "refused: %s", text);
		return;
	}
	if (hs->result.purpose == HELLO_CONTROL)
		hs->result.token = verdict.token;
	hs->awaits = 0;
	hs->state = HANDSHAKE_DONE;
}

/* ---- frames ------------------------------------------------------------ */

static bool expected(const struct handshake *hs, uint16_t kind)
{
	/* A listener may refuse a HELLO without a word of proof. */
	return kind == hs->awaits ||
	       (kind == HELLO_VERDICT && hs->awaits == HELLO_CHALLENGE);
}

static void got_header(struct handshake *hs, struct hello_header *header)
{
	if (hello_header_decode(hs->in, header) < 0) {
		fail(hs, TCPX_EPROTO,
		     "bytes that are no handshake: %02x %02x %02x %02x",
		     hs->in[0], hs->in[1], hs->in[2], hs->in[3]);
		return;
	}
	if (!expected(hs, header->kind)) {
		fail(hs, TCPX_EPROTO, "handshake message %u out of turn",
		     header->kind);
		return;
	}
	hs->in_want = (uint16_t)(HELLO_HEADER_BYTES + header->body_bytes);
}

static void got_frame(struct handshake *hs, uint16_t kind)
{
	const uint8_t *body = hs->in + HELLO_HEADER_BYTES;
	size_t len_bytes = (size_t)hs->in_bytes - HELLO_HEADER_BYTES;

	if (hs->out_sent < hs->out_bytes && kind != HELLO_VERDICT) {
		fail(hs, TCPX_EPROTO, "an answer before the question");
		return;
	}
	switch (kind) {
	case HELLO_HELLO:
		got_hello(hs, body, len_bytes);
		break;
	case HELLO_CHALLENGE:
		got_challenge(hs, body, len_bytes);
		break;
	case HELLO_PROOF:
		got_proof(hs, body, len_bytes);
		break;
	case HELLO_VERDICT:
		got_verdict(hs, body, len_bytes);
		break;
	}
}

size_t handshake_want(struct handshake *hs, void **to)
{
	if (hs->state != HANDSHAKE_RUNS || hs->awaits == 0)
		return 0;
	*to = hs->in + hs->in_bytes;
	return (size_t)hs->in_want - hs->in_bytes;
}

void handshake_fed(struct handshake *hs, size_t n_bytes)
{
	struct hello_header header;

	hs->in_bytes = (uint16_t)(hs->in_bytes + n_bytes);
	if (hs->in_bytes == HELLO_HEADER_BYTES &&
	    hs->in_want == HELLO_HEADER_BYTES)
		got_header(hs, &header);
	if (hs->state != HANDSHAKE_RUNS || hs->in_bytes < hs->in_want ||
	    hs->in_bytes < HELLO_HEADER_BYTES)
		return;
	if (hello_header_decode(hs->in, &header) == 0)
		got_frame(hs, header.kind);
}

size_t handshake_pending(const struct handshake *hs, const void **from)
{
	*from = hs->out + hs->out_sent;
	return (size_t)hs->out_bytes - hs->out_sent;
}

void handshake_sent(struct handshake *hs, size_t n_bytes)
{
	hs->out_sent = (uint16_t)(hs->out_sent + n_bytes);
	/* Nothing to read and all said: that was a VERDICT that admits. */
	if (hs->state == HANDSHAKE_RUNS && hs->awaits == 0 &&
	    hs->out_sent == hs->out_bytes)
		hs->state = HANDSHAKE_DONE;
}

void handshake_closed(struct handshake *hs)
{
	if (hs->state == HANDSHAKE_FAILED)
		return;
	if (hs->result.incoming && hs->awaits == HELLO_PROOF &&
	    hs->in_bytes == 0) {
		/* Our proof came first, and was not believed. */
		fail(hs, TCPX_EAUTH,
		     "left at our proof: it has another secret, or was ended");
		return;
	}
	fail(hs, TCPX_ECLOSED, "closed in mid-handshake");
}

void handshake_fini(struct handshake *hs)
{
	auth_wipe(hs, sizeof(*hs));
}
