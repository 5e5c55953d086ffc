/* SPDX-License-Identifier: Apache-2.0 */
#include "e2e/stage.h"

#include "check.h"
#include "support/scale.h"

struct stage stage;

void stage_describe(uint64_t mem, struct mem_blob_entry *entry)
{
	uint8_t blob[512], session[SESSION_ID_BYTES];
	size_t len, n;

	CHECK_STATUS(tcpx_mem_blob(stage.pair.b->s, &mem, 1, blob, sizeof(blob),
				   &len),
		     TCPX_OK);
	CHECK_STATUS(mem_blob_decode(blob, len, session, entry, 1, &n),
		     TCPX_OK);
}

#define RW (TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE)

void stage_open(void)
{
	uint64_t local, mem;

	pair_open(&stage.pair, PAIR_TWO, NULL);
	region_init(&stage.src, STAGE_LEN, 1);
	region_init(&stage.dst, STAGE_LEN, 2);
	region_init(&stage.only_local, STAGE_LEN, 3);
	local = sess_register(stage.pair.a, &stage.src, 0);
	mem = sess_register(stage.pair.b, &stage.dst, RW);
	stage_describe(mem, &stage.open_mem);
	stage_describe(sess_register(stage.pair.b, &stage.only_local, 0),
		       &stage.closed_mem);
	stage.good_xfer = xfer_one(stage.pair.a, stage.pair.ab, TCPX_OP_WRITE,
				   local, 0,
				   sess_share(stage.pair.b, mem, stage.pair.a),
				   0, STAGE_LEN);
}

void others_go_on(void)
{
	static uint64_t seed = 10;

	CHECK(region_check(&stage.dst, "dst, after evil"));
	CHECK(region_check(&stage.only_local, "local, after evil"));
	pattern_fill(stage.src.data, STAGE_LEN, ++seed, 0);
	CHECK_STATUS(tcpx_xfer_post(stage.pair.a->s, stage.good_xfer, NULL),
		     TCPX_OK);
	CHECK_STATUS(tcpx_xfer_wait(stage.pair.a->s, stage.good_xfer, SOON),
		     TCPX_OK);
	pattern_fill(stage.dst.want, STAGE_LEN, seed, 0);
	CHECK(region_check(&stage.dst, "dst"));
}

void stage_close(void)
{
	others_go_on();
	pair_close(&stage.pair);
	region_fini(&stage.src);
	region_fini(&stage.dst);
	region_fini(&stage.only_local);
}

void wait_lost(int *status)
{
	struct tcpx_event event;

	do {
		CHECK_STATUS(tcpx_event_wait(stage.pair.b->s, &event, SOON),
			     TCPX_OK);
	} while (event.kind != TCPX_EVENT_PEER_LOST);
	CHECK_STR(event.name, "evil");
	CHECK(event.cause[0]);
	*status = event.status;
	CHECK_STATUS(tcpx_peer_disconnect(stage.pair.b->s, event.peer),
		     TCPX_OK);
}

uint64_t stage_evil_peer(void)
{
	uint64_t peer = 0;

	for (int i = 0; i < 500; i++) {
		if (!tcpx_peer_find(stage.pair.b->s, "evil", &peer))
			break;
		test_sleep_ms(10);
	}
	CHECK_STATUS(tcpx_peer_wait(stage.pair.b->s, peer, SOON), TCPX_OK);
	return peer;
}

uint64_t stage_evil_mem(uint64_t len_bytes)
{
	struct mem_blob_entry entry = {
		.mem = 77, .key = 88, .len_bytes = len_bytes, .access = RW};
	uint8_t blob[512];
	uint64_t mem;
	size_t len, n;

	CHECK_STATUS(mem_blob_encode(stage.evil.session, &entry, 1, blob,
				     sizeof(blob), &len),
		     TCPX_OK);
	CHECK_STATUS(tcpx_mem_load(stage.pair.b->s, blob, len, &mem, 1, &n),
		     TCPX_OK);
	return mem;
}

void say_write(uint16_t type, uint64_t xfer, uint64_t list,
	       uint64_t total_bytes)
{
	struct msg_write msg = {
		.xfer = xfer, .list = list, .total_bytes = total_bytes};

	evil_begin(&stage.evil);
	msg_write_encode(&stage.evil.w, &msg);
	evil_say(&stage.evil, type);
}

void good_list(uint64_t id, uint32_t len)
{
	struct evil_list list;

	evil_list(&list, stage.open_mem.mem, stage.open_mem.key, 0, len);
	evil_send_list(&stage.evil, id, &list, len);
}
