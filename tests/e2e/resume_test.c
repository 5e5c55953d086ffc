/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control connections taken up again by hand: by whom they may be, what is said
 * first, and what of it counts. Who may not has no effect, and who lies loses his
 * own peer and no other.
 */
#include <sys/socket.h>

#include "check.h"
#include "e2e/raw.h"
#include "e2e/stage.h"
#include "support/scale.h"

static struct evil *const evil = &stage.evil;
static uint64_t n_told; /* notifications that the victim was sent */
static uint64_t n_read; /* that it has delivered */

static void begin(void)
{
	stage_open();
	evil_open(evil, stage.pair.b);
	stage_evil_peer();
	n_told = n_read = 0;
}

static void end(void)
{
	evil_close(evil);
	stage_close();
}

static struct evil_claim claim_of(uint32_t generation)
{
	return (struct evil_claim){.token = evil->hello.token,
				   .generation = generation};
}

/* A numbered message: what it says is its number. */
static void tell_as(uint64_t seq)
{
	struct msg_notify msg = {.notify = NOTIFY_INLINE,
				 .note = {&seq, sizeof(seq)}};
	struct msg_header header = {.type = MSG_NOTIFY, .seq = seq};

	evil_begin(evil);
	msg_notify_encode(&evil->w, &msg);
	header.body_bytes = (uint32_t)(evil->w.at - evil->body);
	evil_say_as(evil, &header);
}

static void tell(void)
{
	tell_as(++evil->seq);
	n_told++;
}

/* What it said has come: once, in order. */
static void all_heard(void)
{
	struct tcpx_notification *note;
	uint64_t seq;

	while (n_read < n_told) {
		CHECK_STATUS(tcpx_notify_wait(stage.pair.b->s, &note, SOON),
			     TCPX_OK);
		CHECK_EQ(note->len_bytes, sizeof(seq));
		memcpy(&seq, note->data, sizeof(seq));
		tcpx_notify_free(note);
		CHECK_EQ(seq, ++n_read);
	}
	CHECK_STATUS(tcpx_notify_wait(stage.pair.b->s, &note, 50),
		     TCPX_ETIMEDOUT);
}

/* The first frame there and back. */
static uint64_t greet(uint64_t ack)
{
	const struct msg_header header = {.type = MSG_ACK, .ack = ack};
	uint8_t frame[MSG_HEADER_BYTES];
	struct msg_header got;
	size_t n = 0;

	evil_begin(evil);
	evil_say_as(evil, &header);
	while (n < sizeof(frame)) {
		ssize_t more =
			raw_read(evil->ctl, frame + n, sizeof(frame) - n, SOON);

		CHECK(more > 0);
		n += (size_t)more;
	}
	CHECK_STATUS(msg_header_decode(frame, &got), TCPX_OK);
	CHECK_EQ(got.type, MSG_ACK);
	CHECK_EQ(got.seq, 0);
	CHECK_EQ(got.body_bytes, 0);
	return got.ack;
}

/* ---- who may not ---- */

static void refused(const char *what, struct evil_claim claim, int status)
{
	unsigned int before = sess_warnings(stage.pair.b);
	int got = evil_resume(evil, &claim, NULL);

	fprintf(stderr, "%s: %s\n", what, check_status_name(got));
	CHECK_STATUS(got, status);
	/* Its own connection is what it was. */
	tell();
	all_heard();
	if (!claim.wrong_secret)
		CHECK_EQ(sess_warnings(stage.pair.b), before);
	others_go_on();
}

static void not_allowed(void)
{
	struct evil_claim claim;
	static struct evil other;

	begin();
	tell();
	all_heard();
	claim = claim_of(1);
	claim.token ^= 1ull << 40;
	refused("a token that is nobody's", claim, TCPX_ENOENT);
	claim.token = 0;
	refused("no token", claim, TCPX_ENOENT);
	claim = claim_of(1);
	claim.wrong_secret = true;
	refused("the right token without the secret", claim, TCPX_EAUTH);
	claim = claim_of(0);
	refused("the attempt before the first", claim, TCPX_EBUSY);
	/* The token of another session's peer, which has the secret too. */
	evil_open(&other, stage.pair.b);
	claim = claim_of(1);
	claim.token = other.hello.token;
	refused("another's token", claim, TCPX_ENOENT);
	evil_close(&other);
	end();
}

/* A recorded conversation has no effect when it is had again. */
static void replayed(void)
{
	static uint8_t said[65536];
	struct evil_claim claim;
	struct proxy *proxy;
	size_t n;
	int fd;

	begin();
	evil_open_flow(evil);
	claim = claim_of(1);
	proxy = proxy_start(addr_port(&evil->victim.ctrl), -1, &claim.port);
	CHECK_STATUS(evil_resume(evil, &claim, NULL), 0);
	n = proxy_recorded(proxy, said, sizeof(said));
	CHECK(n > 0);
	CHECK_EQ(greet(0), 0);
	tell();
	all_heard();
	for (int i = 0; i < 3; i++) {
		unsigned int before = sess_warnings(stage.pair.b);

		fd = raw_connect(addr_port(&evil->victim.ctrl));
		CHECK(fd >= 0);
		raw_send(fd, said, n);
		CHECK(raw_wait_closed(fd, SOON));
		close(fd);
		CHECK_EQ(sess_await_warnings(stage.pair.b, before + 1),
			 before + 1);
		tell();
		all_heard();
		others_go_on();
	}
	proxy_stop(proxy);
	end();
}

/* ---- what counts ---- */

/* Each says what it has; what comes next is the next number, and what was on its
 * way by the old one is not read any more. */
static void from_where_it_was(void)
{
	struct evil_claim claim;
	int old;

	begin();
	evil_open_flow(evil);
	for (uint32_t i = 1; i <= 5; i++) {
		for (uint32_t k = 0; k < i; k++)
			tell();
		all_heard();
		claim = claim_of(2 * i);
		CHECK_STATUS(evil_resume(evil, &claim, &old), 0);
		CHECK_EQ(greet(0), n_told);
		CHECK(raw_wait_closed(old, SOON));
		close(old);
		/* One that was taken, or went before it, is too late. */
		claim = claim_of(2 * i);
		CHECK_STATUS(evil_resume(evil, &claim, NULL), TCPX_EBUSY);
		claim = claim_of(2 * i - 1);
		CHECK_STATUS(evil_resume(evil, &claim, NULL), TCPX_EBUSY);
		tell();
		all_heard();
	}
	others_go_on();
	end();
}

/* Ended first, by a half sentence: it does not count, and is said again. */
static void half_a_message(void)
{
	const struct msg_header header = {
		.type = MSG_NOTIFY, .seq = 3, .body_bytes = 100};
	struct evil_claim claim;
	int old;

	begin();
	evil_open_flow(evil);
	tell();
	tell();
	all_heard();
	evil_begin(evil);
	evil_say_as(evil, &header);
	CHECK(!shutdown(evil->ctl, SHUT_WR));
	CHECK(raw_wait_closed(evil->ctl, SOON));
	claim = claim_of(1);
	CHECK_STATUS(evil_resume(evil, &claim, &old), 0);
	close(old);
	CHECK_EQ(greet(0), 2);
	tell();
	all_heard();
	end();
}

/* What the victim has sent comes again, from the first that was not taken. */
static void said_again(void)
{
	struct evil_claim claim;
	struct msg_notify msg;
	struct wire_reader r;
	uint64_t peer, first;

	begin();
	evil_open_flow(evil);
	peer = stage_evil_peer();
	CHECK_STATUS(tcpx_notify_send(stage.pair.b->s, peer, "one", 3), 0);
	CHECK(evil_hear(evil, MSG_NOTIFY, &r, SOON));
	first = evil->got_header.seq;
	for (uint32_t i = 1; i <= 3; i++) {
		claim = claim_of(i);
		CHECK_STATUS(evil_resume(evil, &claim, NULL), 0);
		greet(first - 1);
		CHECK(evil_hear(evil, MSG_NOTIFY, &r, SOON));
		CHECK_EQ(evil->got_header.seq, first);
	}
	claim = claim_of(4);
	CHECK_STATUS(evil_resume(evil, &claim, NULL), 0);
	greet(first);
	CHECK_STATUS(tcpx_notify_send(stage.pair.b->s, peer, "two", 3), 0);
	CHECK(evil_hear(evil, MSG_NOTIFY, &r, SOON));
	CHECK(evil->got_header.seq > first);
	CHECK_STATUS(msg_notify_decode(&r, &msg), 0);
	CHECK_EQ(msg.note.len_bytes, 3);
	CHECK_MEM(msg.note.data, "two", 3);
	end();
}

/* ---- who lies ---- */

static void lost_by(void (*lie)(void), int want)
{
	struct evil_claim claim = claim_of(1);
	int status;

	evil_open_flow(evil);
	CHECK_STATUS(evil_resume(evil, &claim, NULL), 0);
	lie();
	wait_lost(&status);
	CHECK_STATUS(status, want);
	CHECK(evil_was_dropped(evil, SOON));
	end();
}

static void lies_ahead(void)
{
	const struct msg_header header = {.type = MSG_ACK, .ack = 1000};

	evil_begin(evil);
	evil_say_as(evil, &header);
}

static void takes_in_what_was_not_sent(void)
{
	begin();
	lost_by(lies_ahead, TCPX_EPROTO);
}

static void lies_behind(void)
{
	greet(0);
}

/* What it had acknowledged before is not kept any more. */
static void takes_back(void)
{
	struct msg_header header = {.type = MSG_ACK};
	struct wire_reader r;

	begin();
	CHECK_STATUS(tcpx_notify_send(stage.pair.b->s, stage_evil_peer(), "one",
				      3),
		     0);
	CHECK(evil_hear(evil, MSG_NOTIFY, &r, SOON));
	header.ack = evil->got_header.seq;
	evil_begin(evil);
	evil_say_as(evil, &header);
	/* Behind it, so it has been read, too. */
	tell();
	all_heard();
	lost_by(lies_behind, TCPX_EPROTO);
}

static void does_not_greet(void)
{
	tell_as(1);
}

static void says_something_else_first(void)
{
	begin();
	lost_by(does_not_greet, TCPX_EPROTO);
}

static void says_it_twice(void)
{
	CHECK_EQ(greet(0), 1);
	tell_as(1);
}

static void repeats_what_was_taken(void)
{
	begin();
	tell();
	all_heard();
	lost_by(says_it_twice, TCPX_EPROTO);
}

static void says_goodbye(void)
{
	struct msg_goodbye msg = {.text = "that was it"};

	CHECK_EQ(greet(0), 0);
	evil_begin(evil);
	msg_goodbye_encode(&evil->w, &msg);
	evil_say(evil, MSG_GOODBYE);
}

/* A goodbye is the end at once, by whichever connection it comes. */
static void goodbye(void)
{
	begin();
	lost_by(says_goodbye, TCPX_ECLOSED);
}

/* ---- who does not come ---- */

/* Its control connection ends and no flow of it is left: nobody is waited for,
 * who could be an hour. */
static void nobody_left(void)
{
	int status;

	begin();
	close(evil->ctl);
	evil->ctl = -1;
	wait_lost(&status);
	CHECK_STATUS(status, TCPX_EPEER);
	end();
}

/* ... its flows end after it. */
static void flows_follow(void)
{
	int status;

	begin();
	evil_open_flow(evil);
	tell();
	all_heard();
	shutdown(evil->ctl, SHUT_WR);
	CHECK(raw_wait_closed(evil->ctl, SOON));
	close(evil->flow);
	evil->flow = -1;
	wait_lost(&status);
	CHECK_STATUS(status, TCPX_EPEER);
	end();
}

/* It connects anew instead, as who has forgotten the peer: the old one ends, and
 * is not in the way. */
static void comes_anew(void)
{
	int status;

	begin();
	evil_open_flow(evil);
	tell();
	all_heard();
	shutdown(evil->ctl, SHUT_WR);
	CHECK(raw_wait_closed(evil->ctl, SOON));
	CHECK_STATUS(evil_connect_again(evil), TCPX_EBUSY);
	wait_lost(&status);
	CHECK_STATUS(status, TCPX_EPEER);
	CHECK_STATUS(evil_connect_again(evil), 0);
	n_told = n_read = evil->seq = 0;
	tell();
	all_heard();
	end();
}

static const struct check_case cases[] = {
	{"not_allowed", not_allowed, 60},
	{"replayed", replayed, 60},
	{"from_where_it_was", from_where_it_was, 60},
	{"half_a_message", half_a_message, 60},
	{"said_again", said_again, 60},
	{"takes_in_what_was_not_sent", takes_in_what_was_not_sent, 60},
	{"takes_back", takes_back, 60},
	{"says_something_else_first", says_something_else_first, 60},
	{"repeats_what_was_taken", repeats_what_was_taken, 60},
	{"goodbye", goodbye, 60},
	{"nobody_left", nobody_left, 60},
	{"flows_follow", flows_follow, 60},
	{"comes_anew", comes_anew, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
