/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/handshake.h"

#include "check.h"

/* Two machines and the wire between them; a test may cut, flip and replay. */

static const uint8_t session_a[SESSION_ID_BYTES] = "connector-------";
static const uint8_t session_b[SESSION_ID_BYTES] = "listener--------";

struct pair {
	struct handshake_self self_a, self_b;
	struct boot_target target;
	struct handshake a, b; /* connector, listener */
	uint8_t rails[512];
	uint32_t n_admits;
	int admit_status;
};

static const struct wire_limits limits_of_a = {
	.chunk_bytes = 1u << 19,
	.window_chunks = 8,
	.small_bytes = 8192,
	.list_segments = 1000,
	.n_flows = 2,
	.n_rails = 4,
	.notify_bytes = 1u << 20,
	.liveness_ms = 10000,
};

static void fill_self(struct handshake_self *self, const uint8_t *session,
		      const char *name)
{
	memset(self, 0, sizeof(*self));
	memcpy(self->session, session, SESSION_ID_BYTES);
	memset(self->keys.blob, name[0], SECRET_BYTES);
	memset(self->keys.shared, 's', SECRET_BYTES);
	self->keys.has_shared = true;
	snprintf(self->name, sizeof(self->name), "%s", name);
	snprintf(self->transports, sizeof(self->transports), "socket");
	self->limits = limits_of_a;
}

static void add_rails(struct pair *p, struct handshake_self *self)
{
	struct wire_rail rails[2] = {
		{.ifname = "eth1", .speed_mbps = 100000},
		{.ifname = "eth2", .speed_mbps = 200000},
	};
	size_t len_bytes;

	CHECK_EQ(addr_parse("10.0.0.1:7", &rails[0].addr), 0);
	CHECK_EQ(addr_parse("[fd00::2]:8", &rails[1].addr), 0);
	CHECK_EQ(rails_encode(rails, 2, p->rails, sizeof(p->rails), &len_bytes),
		 0);
	self->rails = p->rails;
	self->rails_bytes = (uint32_t)len_bytes;
}

static void begin(struct pair *p)
{
	uint8_t nonce[HELLO_NONCE_BYTES];

	auth_random(nonce, sizeof(nonce));
	handshake_init_connector(&p->a, &p->self_a, &p->target, nonce);
	auth_random(nonce, sizeof(nonce));
	handshake_init_listener(&p->b, &p->self_b, nonce);
	p->n_admits = 0;
}

/* By blob, for a control connection; nothing has been sent yet. */
static void set_up(struct pair *p)
{
	CHECK_EQ(auth_init(), 0);
	memset(p, 0, sizeof(*p));
	fill_self(&p->self_a, session_a, "anna");
	fill_self(&p->self_b, session_b, "berta");
	p->self_b.limits.window_chunks = 4;
	p->self_b.limits.features = FEATURE_CHECKSUM;
	add_rails(p, &p->self_a);
	p->self_b.rails = p->self_a.rails;
	p->self_b.rails_bytes = p->self_a.rails_bytes;
	p->target.purpose = HELLO_CONTROL;
	p->target.key = HELLO_KEY_BLOB;
	memcpy(p->target.secret, p->self_b.keys.blob, SECRET_BYTES);
	memcpy(p->target.session, session_b, SESSION_ID_BYTES);
	begin(p);
}

static void decide(struct pair *p)
{
	if (p->b.state != HANDSHAKE_ADMIT)
		return;
	p->n_admits++;
	handshake_admit(&p->b, p->admit_status, 77, "no room");
}

/* At most max_bytes from one to the other. Returns how many went. */
static size_t carry(struct handshake *from, struct handshake *to,
		    size_t max_bytes)
{
	const void *src;
	void *dst;
	size_t n = handshake_pending(from, &src);
	size_t want = handshake_want(to, &dst);

	n = n < want ? n : want;
	n = n < max_bytes ? n : max_bytes;
	if (n == 0)
		return 0;
	memcpy(dst, src, n);
	handshake_fed(to, n);
	handshake_sent(from, n);
	return n;
}

static bool over(const struct handshake *hs)
{
	return hs->state == HANDSHAKE_DONE || hs->state == HANDSHAKE_FAILED;
}

/* Until nothing moves; then whoever is not done sees the connection end. */
static void run(struct pair *p, uint64_t *dice, size_t max_bytes)
{
	size_t n;

	do {
		size_t most = dice ? 1 + check_rand(dice) % max_bytes :
				     max_bytes;

		n = carry(&p->a, &p->b, most) + carry(&p->b, &p->a, most);
		decide(p);
	} while (n > 0);
	if (!over(&p->a))
		handshake_closed(&p->a);
	if (!over(&p->b))
		handshake_closed(&p->b);
}

static void check_done(struct pair *p)
{
	CHECK_EQ(p->a.state, HANDSHAKE_DONE);
	CHECK_EQ(p->b.state, HANDSHAKE_DONE);
	CHECK_EQ(p->n_admits, 1);
	CHECK_STR(p->a.result.name, "berta");
	CHECK_STR(p->b.result.name, "anna");
	CHECK_MEM(p->a.result.session, session_b, SESSION_ID_BYTES);
	CHECK_MEM(p->b.result.session, session_a, SESSION_ID_BYTES);
	CHECK_EQ(p->a.result.incoming, false);
	CHECK_EQ(p->b.result.incoming, true);
}

static void succeeds(void)
{
	struct pair p;

	set_up(&p);
	run(&p, NULL, SIZE_MAX);
	check_done(&p);
	CHECK_EQ(p.a.result.token, 77);
	CHECK_EQ(p.b.result.token, 77);
	CHECK_EQ(p.a.result.limits.window_chunks, 4);
	CHECK_EQ(p.b.result.limits.window_chunks, 4);
	CHECK_EQ(p.a.result.limits.features, FEATURE_CHECKSUM);
	CHECK_EQ(p.a.result.n_rails, 2);
	CHECK_EQ(p.b.result.n_rails, 2);
	CHECK_STR(p.b.result.rails[1].ifname, "eth2");
	CHECK_EQ(addr_port(&p.b.result.rails[1].addr), 8);
	CHECK_STR(p.b.result.transports, "socket");
}

static void flow_carries_its_place(void)
{
	struct pair p;

	set_up(&p);
	p.target.purpose = HELLO_FLOW;
	p.target.token = 0x1234567890abcdef;
	p.target.rail = 3;
	p.target.flow = 4;
	p.target.generation = 5;
	begin(&p);
	run(&p, NULL, SIZE_MAX);
	check_done(&p);
	CHECK_EQ(p.b.result.purpose, HELLO_FLOW);
	CHECK_EQ(p.b.result.token, 0x1234567890abcdef);
	CHECK_EQ(p.a.result.token, 0x1234567890abcdef);
	CHECK_EQ(p.b.result.rail, 3);
	CHECK_EQ(p.b.result.flow, 4);
	CHECK_EQ(p.b.result.generation, 5);
	CHECK_EQ(p.a.result.generation, 5);
	CHECK_EQ(p.b.result.n_rails, 0);
}

/* The control connection again: whose, and which attempt. */
static void resume_names_its_peer(void)
{
	struct pair p;

	set_up(&p);
	p.target.purpose = HELLO_RESUME;
	p.target.token = 0x1234567890abcdef;
	p.target.generation = 9;
	begin(&p);
	run(&p, NULL, SIZE_MAX);
	check_done(&p);
	CHECK_EQ(p.b.result.purpose, HELLO_RESUME);
	CHECK_EQ(p.b.result.token, 0x1234567890abcdef);
	CHECK_EQ(p.a.result.token, 0x1234567890abcdef);
	CHECK_EQ(p.b.result.generation, 9);
	CHECK_EQ(p.b.result.n_rails, 0);
}

static void shared_secret(void)
{
	struct pair p;

	set_up(&p);
	p.target.key = HELLO_KEY_SHARED;
	memset(p.target.secret, 0, SECRET_BYTES);
	memset(p.target.session, 0, SESSION_ID_BYTES);
	begin(&p);
	run(&p, NULL, SIZE_MAX);
	check_done(&p);
}

static void byte_by_byte(void)
{
	struct pair p;

	set_up(&p);
	run(&p, NULL, 1);
	check_done(&p);
}

static void random_splits(void)
{
	uint64_t dice = check_seed();
	struct pair p;

	for (int i = 0; i < 2000; i++) {
		set_up(&p);
		run(&p, &dice, 1 + check_rand(&dice) % 200);
		check_done(&p);
	}
}

/* Both directions as two strings of bytes, of a handshake that went well. */
struct tape {
	uint8_t bytes[2][4 * HANDSHAKE_FRAME_MAX];
	size_t n_bytes[2];
};

/* As run(), byte by byte, with one byte of direction `way` changed by `flip`
 * (0: none), or, cut, never sent. */
static void run_with_fault(struct pair *p, int way, size_t at, uint8_t flip,
			   bool cut, struct tape *tape)
{
	struct handshake *from, *to;
	size_t n_sent[2] = {0, 0};
	const void *src;
	void *dst;
	bool moved;

	do {
		moved = false;
		for (int w = 0; w < 2; w++) {
			from = w ? &p->b : &p->a;
			to = w ? &p->a : &p->b;
			if (cut && w == way && n_sent[w] == at)
				continue;
			if (!handshake_pending(from, &src) ||
			    !handshake_want(to, &dst))
				continue;
			*(uint8_t *)dst = *(const uint8_t *)src;
			if (!cut && w == way && n_sent[w] == at)
				*(uint8_t *)dst ^= flip;
			if (tape)
				tape->bytes[w][tape->n_bytes[w]++] =
					*(const uint8_t *)src;
			n_sent[w]++;
			handshake_fed(to, 1);
			handshake_sent(from, 1);
			decide(p);
			moved = true;
		}
	} while (moved);
	if (!over(&p->a))
		handshake_closed(&p->a);
	if (!over(&p->b))
		handshake_closed(&p->b);
}

static void record(struct pair *p, struct tape *tape)
{
	memset(tape, 0, sizeof(*tape));
	set_up(p);
	run_with_fault(p, 0, 0, 0, false, tape);
	check_done(p);
}

static void every_truncation(void)
{
	struct tape tape;
	struct pair p;

	record(&p, &tape);
	for (int way = 0; way < 2; way++) {
		for (size_t at = 0; at < tape.n_bytes[way]; at++) {
			set_up(&p);
			run_with_fault(&p, way, at, 0, true, NULL);
			/* Who waits for the missing byte fails. */
			CHECK_EQ(p.a.state, HANDSHAKE_FAILED);
			CHECK(p.a.status < 0 && p.a.cause[0]);
			CHECK(way == 1 || p.b.state == HANDSHAKE_FAILED);
			CHECK(way == 1 || p.n_admits == 0);
		}
	}
}

/* All but the VERDICT is covered by the MACs; its status and token are not,
 * and whoever can change them can change the payload as well. */
static void every_corruption(void)
{
	struct tape tape;
	struct pair p;
	size_t verdict_bytes;

	record(&p, &tape);
	verdict_bytes = p.b.out_bytes;
	for (int way = 0; way < 2; way++) {
		size_t end = tape.n_bytes[way] - (way ? verdict_bytes : 0);

		for (size_t at = 0; at < end; at++) {
			for (int bit = 0; bit < 8; bit++) {
				set_up(&p);
				run_with_fault(&p, way, at,
					       (uint8_t)(1u << bit), false,
					       NULL);
				CHECK_EQ(p.n_admits, 0);
				CHECK_EQ(p.a.state, HANDSHAKE_FAILED);
				CHECK_EQ(p.b.state, HANDSHAKE_FAILED);
			}
		}
	}
}

static void nothing_behind_the_end(void)
{
	struct pair p;
	void *to;

	set_up(&p);
	run(&p, NULL, SIZE_MAX);
	check_done(&p);
	CHECK_EQ(handshake_want(&p.a, &to), 0);
	CHECK_EQ(handshake_want(&p.b, &to), 0);
}

/* Every byte the connector sent, sent again to a new handshake. */
static void replay_is_worthless(void)
{
	struct tape tape;
	struct pair p;
	size_t n, want;
	void *dst;

	record(&p, &tape);
	set_up(&p);
	for (n = 0; n < tape.n_bytes[0]; n += want) {
		const void *src;

		want = handshake_want(&p.b, &dst);
		if (want == 0)
			break;
		CHECK(n + want <= tape.n_bytes[0]);
		memcpy(dst, tape.bytes[0] + n, want);
		handshake_fed(&p.b, want);
		handshake_sent(&p.b, handshake_pending(&p.b, &src));
		decide(&p);
	}
	CHECK_EQ(n, tape.n_bytes[0]); /* it was heard to the end */
	CHECK_EQ(p.b.state, HANDSHAKE_FAILED);
	CHECK_STATUS(p.b.status, TCPX_EAUTH);
	CHECK_EQ(p.n_admits, 0);
}

/* And the listener's bytes to a new connector. */
static void replayed_challenge(void)
{
	struct tape tape;
	struct pair p;
	const void *src;
	size_t n = 0;
	void *dst;

	record(&p, &tape);
	set_up(&p);
	handshake_sent(&p.a, handshake_pending(&p.a, &src));
	while (p.a.state == HANDSHAKE_RUNS && p.a.awaits == HELLO_CHALLENGE) {
		size_t want = handshake_want(&p.a, &dst);

		memcpy(dst, tape.bytes[1] + n, want);
		n += want;
		handshake_fed(&p.a, want);
	}
	CHECK_EQ(p.a.state, HANDSHAKE_FAILED);
	CHECK_STATUS(p.a.status, TCPX_EAUTH);
	CHECK_EQ(handshake_pending(&p.a, &src), 0); /* no PROOF for that one */
}

static void wrong_secret(void)
{
	const void *src;
	struct pair p;

	set_up(&p);
	p.target.secret[31] ^= 1;
	begin(&p);
	run(&p, NULL, SIZE_MAX);
	CHECK_EQ(p.a.state, HANDSHAKE_FAILED);
	CHECK_STATUS(p.a.status, TCPX_EAUTH);
	CHECK_EQ(p.b.state, HANDSHAKE_FAILED);
	CHECK_STATUS(p.b.status, TCPX_EAUTH);
	CHECK_EQ(handshake_pending(&p.a, &src), 0);
	CHECK_EQ(p.n_admits, 0);
}

/* Up to the moment when the PROOF has been made and has not gone out. */
static void meet(struct pair *p)
{
	set_up(p);
	while (p->b.awaits == HELLO_HELLO)
		CHECK(carry(&p->a, &p->b, SIZE_MAX) > 0);
	while (p->a.awaits == HELLO_CHALLENGE)
		CHECK(carry(&p->b, &p->a, SIZE_MAX) > 0);
}

/* A connector that goes on although the listener's proof is wrong to it. */
static void guessed_proof(void)
{
	struct hello_proof proof = {.mac = {1, 2, 3}};
	struct pair p;

	meet(&p);
	p.a.out_bytes = (uint16_t)hello_proof_encode(&proof, p.a.out);
	run(&p, NULL, SIZE_MAX);
	CHECK_STATUS(p.b.status, TCPX_EAUTH);
	CHECK_STATUS(p.a.status, TCPX_EAUTH);
	CHECK(strstr(p.a.cause, "wrong secret"));
	CHECK_EQ(p.n_admits, 0);
}

/* A connector that leaves proves that it could have come in. */
static void leaves(void)
{
	struct pair p;

	meet(&p);
	handshake_leave(&p.a, TCPX_EBUSY, "there already");
	CHECK_EQ(p.a.state, HANDSHAKE_FAILED);
	CHECK(carry(&p.a, &p.b, 7) == 7);
	handshake_leave(&p.a, TCPX_EPEER, "too late to say so");
	while (carry(&p.a, &p.b, SIZE_MAX) > 0)
		continue;
	CHECK_STATUS(p.a.status, TCPX_EBUSY);
	CHECK(!strcmp(p.a.cause, "there already"));
	CHECK_EQ(p.b.state, HANDSHAKE_FAILED);
	CHECK(p.b.left);
	CHECK_EQ(p.n_admits, 0);
}

/* Whoever has not got the secret does not leave as one who has. */
static void leaves_unproved(void)
{
	struct pair p;

	meet(&p);
	memset(p.a.leave, 1, sizeof(p.a.leave));
	handshake_leave(&p.a, TCPX_EBUSY, "there already");
	while (carry(&p.a, &p.b, SIZE_MAX) > 0)
		continue;
	CHECK_STATUS(p.b.status, TCPX_EAUTH);
	CHECK(!p.b.left);
}

static void wrong_session(void)
{
	struct pair p;

	set_up(&p);
	p.target.session[0] ^= 1;
	begin(&p);
	run(&p, NULL, SIZE_MAX);
	CHECK_STATUS(p.a.status, TCPX_ENOENT);
	CHECK(strstr(p.a.cause, "another session listens here now"));
	CHECK_STATUS(p.b.status, TCPX_ENOENT);
	CHECK_EQ(p.n_admits, 0);
}

static void no_shared_secret(void)
{
	struct pair p;

	set_up(&p);
	p.self_b.keys.has_shared = false;
	p.target.key = HELLO_KEY_SHARED;
	begin(&p);
	run(&p, NULL, SIZE_MAX);
	CHECK_STATUS(p.a.status, TCPX_EAUTH);
	CHECK(strstr(p.a.cause, "shared secret"));
	CHECK_STATUS(p.b.status, TCPX_EAUTH);
}

static void owner_refuses(void)
{
	struct pair p;

	set_up(&p);
	p.admit_status = TCPX_EBUSY;
	run(&p, NULL, SIZE_MAX);
	CHECK_EQ(p.n_admits, 1);
	CHECK_EQ(p.b.state, HANDSHAKE_FAILED);
	CHECK_STATUS(p.a.status, TCPX_EBUSY);
	CHECK_STR(p.a.cause, "refused: no room");
}

/* What a hostile listener says must not become a status of ours. */
static void hostile_verdicts(void)
{
	static const int statuses[] = {TCPX_ESHUTDOWN, TCPX_EINTERNAL, -9999,
				       INT32_MIN};
	struct hello_verdict verdict = {.text = "x\n\033[31m"};
	struct pair p;

	for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
		set_up(&p);
		verdict.status = statuses[i];
		p.b.out_bytes =
			(uint16_t)hello_verdict_encode(&verdict, p.b.out);
		while (carry(&p.b, &p.a, SIZE_MAX) > 0)
			;
		CHECK_STATUS(p.a.status, TCPX_EREFUSED);
		CHECK_STR(p.a.cause, "refused: x??[31m");
	}
	/* Welcome, before anybody has proved anything. */
	set_up(&p);
	verdict.status = 0;
	p.b.out_bytes = (uint16_t)hello_verdict_encode(&verdict, p.b.out);
	while (carry(&p.b, &p.a, SIZE_MAX) > 0)
		;
	CHECK_EQ(p.a.state, HANDSHAKE_FAILED);
	CHECK_STATUS(p.a.status, TCPX_EPROTO);
}

static void later_version(void)
{
	struct hello_hello hello = {
		.version_min = HELLO_VERSION + 1,
		.version_max = HELLO_VERSION + 3,
		.purpose = HELLO_CONTROL,
		.key = HELLO_KEY_BLOB,
		.name = "late",
		.limits = limits_of_a,
	};
	struct pair p;

	set_up(&p);
	p.a.out_bytes = (uint16_t)hello_hello_encode(&hello, p.a.out);
	run(&p, NULL, SIZE_MAX);
	CHECK_STATUS(p.a.status, TCPX_EVERSION);
	CHECK_STR(p.a.cause, "refused: protocol versions 6 to 8 wanted, 5 "
			     "spoken here");
	CHECK_STATUS(p.b.status, TCPX_EVERSION);
}

/* Speaks ours and later ones: ours it is, and the MACs still meet. */
static void overlapping_versions(void)
{
	struct hello_hello hello = {
		.version_min = HELLO_VERSION,
		.version_max = HELLO_VERSION + 1,
		.purpose = HELLO_CONTROL,
		.key = HELLO_KEY_BLOB,
		.name = "anna",
		.limits = limits_of_a,
	};
	struct pair p;

	set_up(&p);
	memcpy(hello.session, session_a, SESSION_ID_BYTES);
	p.a.out_bytes = (uint16_t)hello_hello_encode(&hello, p.a.out);
	run(&p, NULL, SIZE_MAX);
	check_done(&p);
}

static void junk(void)
{
	uint64_t dice = check_seed();
	struct pair p;
	void *to;

	for (int i = 0; i < 20000; i++) {
		size_t want;

		set_up(&p);
		for (int n = 0; (want = handshake_want(&p.b, &to)) > 0; n++) {
			for (size_t k = 0; k < want; k++)
				((uint8_t *)to)[k] = (uint8_t)check_rand(&dice);
			/* Now and then a header that is right. */
			if (n == 0 && i % 4)
				memcpy(to, "TCXP\1\0\0\1", 8);
			handshake_fed(&p.b, want);
		}
		CHECK_EQ(p.b.state, HANDSHAKE_FAILED);
		CHECK_STATUS(p.b.status, TCPX_EPROTO);
	}
}

/* A frame sent back to who made it proves nothing. */
static void reflection(void)
{
	struct pair p;

	set_up(&p);
	/* Two with the same K, as by a shared secret. */
	p.target.key = HELLO_KEY_SHARED;
	memset(p.target.session, 0, SESSION_ID_BYTES);
	begin(&p);
	/* The attacker is connected to b, and sends it b's own MAC back. */
	while (p.b.awaits == HELLO_HELLO)
		CHECK(carry(&p.a, &p.b, SIZE_MAX) > 0);
	{
		struct hello_proof proof;
		const void *src;
		size_t n = handshake_pending(&p.b, &src);

		memcpy(proof.mac, (const uint8_t *)src + n - HELLO_MAC_BYTES,
		       HELLO_MAC_BYTES);
		p.a.out_bytes = (uint16_t)hello_proof_encode(&proof, p.a.out);
		p.a.out_sent = 0;
		handshake_sent(&p.b, n);
	}
	while (carry(&p.a, &p.b, SIZE_MAX) > 0)
		decide(&p);
	CHECK_EQ(p.b.state, HANDSHAKE_FAILED);
	CHECK_STATUS(p.b.status, TCPX_EAUTH);
	CHECK_EQ(p.n_admits, 0);
}

static void phrases(void)
{
	uint8_t a[SECRET_BYTES], b[SECRET_BYTES];

	CHECK_EQ(auth_init(), 0);
	CHECK_EQ(auth_derive_shared("correct horse", a), 0);
	CHECK_EQ(auth_derive_shared("correct horse", b), 0);
	CHECK_MEM(a, b, SECRET_BYTES);
	CHECK_EQ(auth_derive_shared("correct horsf", b), 0);
	CHECK(memcmp(a, b, SECRET_BYTES) != 0);
}

static void secrets_are_wiped(void)
{
	static const struct handshake zeros;
	struct pair p;

	set_up(&p);
	run(&p, NULL, SIZE_MAX);
	handshake_fini(&p.a);
	handshake_fini(&p.b);
	CHECK_MEM(&p.a, &zeros, sizeof(zeros));
	CHECK_MEM(&p.b, &zeros, sizeof(zeros));
}

static const struct check_case cases[] = {
	{"succeeds", succeeds, 0},
	{"flow_carries_its_place", flow_carries_its_place, 0},
	{"resume_names_its_peer", resume_names_its_peer, 0},
	{"shared_secret", shared_secret, 0},
	{"byte_by_byte", byte_by_byte, 0},
	{"random_splits", random_splits, 0},
	{"every_truncation", every_truncation, 0},
	{"every_corruption", every_corruption, 120},
	{"nothing_behind_the_end", nothing_behind_the_end, 0},
	{"replay_is_worthless", replay_is_worthless, 0},
	{"replayed_challenge", replayed_challenge, 0},
	{"wrong_secret", wrong_secret, 0},
	{"guessed_proof", guessed_proof, 0},
	{"leaves", leaves, 0},
	{"leaves_unproved", leaves_unproved, 0},
	{"wrong_session", wrong_session, 0},
	{"no_shared_secret", no_shared_secret, 0},
	{"owner_refuses", owner_refuses, 0},
	{"hostile_verdicts", hostile_verdicts, 0},
	{"later_version", later_version, 0},
	{"overlapping_versions", overlapping_versions, 0},
	{"junk", junk, 0},
	{"reflection", reflection, 0},
	{"phrases", phrases, 0},
	{"secrets_are_wiped", secrets_are_wiped, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
