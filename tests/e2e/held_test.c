/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A peer that talks, or serves others, and leaves one transfer lying: that one
 * ends by the session's deadline, and only that one.
 */
#include "check.h"
#include "e2e/stage.h"
#include "support/scale.h"

#define DEADLINE_MS scale_ms(1000)
#define SMALL 1000u
#define LARGE 100000u /* a chunk */

struct held {
	const char *name;
	uint32_t len_bytes;
	void (*keep_busy)(void);
};

static uint64_t other; /* a small WRITE of the victim's to the evil peer */

static void take_nothing(void)
{
	struct msg_notify_taken msg = {0};

	evil_begin(&stage.evil);
	msg_notify_taken_encode(&stage.evil.w, &msg);
	evil_say(&stage.evil, MSG_NOTIFY_TAKEN);
}

static void answer_nobody(void)
{
	evil_send_done(&stage.evil, 12345, TCPX_OK);
}

static void place_what_never_was(void)
{
	static uint64_t placed = 1000;

	evil_send_credit(&stage.evil, 64, ++placed);
}

static uint64_t hear_put(void)
{
	struct wire_reader r;
	struct msg_put put;

	CHECK(evil_hear(&stage.evil, MSG_PUT, &r, SOON));
	CHECK_STATUS(msg_put_decode(&r, &put), TCPX_OK);
	return put.xfer;
}

/* Another one, which is served. */
static void answer_others(void)
{
	struct sess *victim = stage.pair.b;

	CHECK_STATUS(tcpx_xfer_post(victim->s, other, NULL), TCPX_OK);
	evil_send_done(&stage.evil, hear_put(), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_wait(victim->s, other, SOON), TCPX_OK);
}

/* However busy the peer is otherwise, a WRITE that it does not answer ends. */
static void hold_off(const struct held *held)
{
	struct sess *victim = stage.pair.b;
	struct region region;
	uint64_t peer, mem, remote, xfer, start = test_now_ns(), ms;
	static uint8_t bytes[LARGE + CHUNK_DESC_BYTES];
	int status;

	fprintf(stderr, "%s, %u bytes:\n", held->name, held->len_bytes);
	region_init(&region, held->len_bytes, 1);
	evil_open(&stage.evil, victim);
	evil_open_flow(&stage.evil);
	peer = stage_evil_peer();
	mem = sess_register(victim, &region, 0);
	remote = stage_evil_mem(held->len_bytes);
	xfer = xfer_one(victim, peer, TCPX_OP_WRITE, mem, 0, remote, 0,
			held->len_bytes);
	other = xfer_one(victim, peer, TCPX_OP_WRITE, mem, 0, remote, 0, 8);
	evil_send_credit(&stage.evil, 64, 0);
	CHECK_STATUS(tcpx_xfer_post(victim->s, xfer, NULL), TCPX_OK);
	if (held->len_bytes <= SMALL)
		hear_put();
	else
		evil_read_flow(&stage.evil, bytes,
			       held->len_bytes + CHUNK_DESC_BYTES);
	if (held->keep_busy != place_what_never_was)
		evil_send_credit(&stage.evil, 65, 1);
	do {
		held->keep_busy();
		test_sleep_ms(DEADLINE_MS / 10);
		status = tcpx_xfer_test(victim->s, xfer);
		ms = (test_now_ns() - start) / 1000000;
	} while (status == TCPX_INPROGRESS && ms < 10u * DEADLINE_MS);
	fprintf(stderr, "  %s after %llu ms\n", check_status_name(status),
		(unsigned long long)ms);
	CHECK_STATUS(status, TCPX_ESTALLED);
	CHECK(ms >= (uint64_t)DEADLINE_MS);
	CHECK_STATUS(tcpx_xfer_release(victim->s, xfer), TCPX_OK);
	CHECK_STATUS(tcpx_mem_deregister(victim->s, mem), TCPX_OK);
	evil_close(&stage.evil);
	wait_lost(&status);
	region_fini(&region);
}

static void stage_open_with_deadline(void)
{
	char ms[16];

	snprintf(ms, sizeof(ms), "%u", (unsigned int)DEADLINE_MS);
	setenv("TCPX_DEADLINE_MS", ms, 1);
	stage_open();
}

static void deadline_held_off(void)
{
	static const struct held all[] = {
		{"takes nothing", SMALL, take_nothing},
		{"answers nobody", SMALL, answer_nobody},
		{"answers others", SMALL, answer_others},
		{"takes nothing", LARGE, take_nothing},
		{"answers others", LARGE, answer_others},
		{"places what never was", LARGE, place_what_never_was},
	};

	stage_open_with_deadline();
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		hold_off(&all[i]);
	stage_close();
}

/* One answer at a time, and none too late: who is behind is not stalled. */
static void slow_in_turn(void)
{
	enum { N = 8 };
	struct sess *victim;
	struct region region;
	uint64_t peer, mem, remote, xfers[N], ids[N];

	stage_open_with_deadline();
	victim = stage.pair.b;
	region_init(&region, 1000, 1);
	evil_open(&stage.evil, victim);
	peer = stage_evil_peer();
	mem = sess_register(victim, &region, 0);
	remote = stage_evil_mem(1000);
	for (int i = 0; i < N; i++) {
		xfers[i] = xfer_one(victim, peer, TCPX_OP_WRITE, mem, 0, remote,
				    0, 1000);
		CHECK_STATUS(tcpx_xfer_post(victim->s, xfers[i], NULL),
			     TCPX_OK);
		ids[i] = hear_put();
	}
	for (int i = 0; i < N; i++) {
		test_sleep_ms(DEADLINE_MS * 2 / 5);
		evil_send_done(&stage.evil, ids[i], TCPX_OK);
		CHECK_STATUS(tcpx_xfer_wait(victim->s, xfers[i], SOON),
			     TCPX_OK);
	}
	evil_close(&stage.evil);
	region_fini(&region);
	stage_close();
}

static const struct check_case cases[] = {
	{"deadline_held_off", deadline_held_off, 120},
	{"slow_in_turn", slow_in_turn, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
