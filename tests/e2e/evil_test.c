/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A peer with the secret that asks for what it may not have (refused, and
 * its connection lives), breaks its flow, or makes noise. No byte of ours is
 * touched, and others go on.
 */
#include <errno.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "check.h"
#include "e2e/raw.h"
#include "e2e/stage.h"
#include "support/scale.h"

/* ---- wrong requests ---- */

struct request {
	const char *name;
	bool wrong_key, closed; /* region */
	uint64_t mem_flip; /* changed in the region's id */
	uint64_t off;
	uint32_t len;
	int status; /* what must come back */
};

static void ask_put(const struct evil_list *list, uint32_t len)
{
	static const uint8_t data[8192];
	struct msg_put msg = {.xfer = ++stage.evil.wire_id,
			      .n_segs = 1,
			      .n_regions = 1,
			      .regions = list->regions,
			      .segs = list->encoded,
			      .data = {data, len}};

	evil_begin(&stage.evil);
	msg_put_encode(&stage.evil.w, &msg);
	evil_say(&stage.evil, MSG_PUT);
}

static void ask_get(const struct evil_list *list)
{
	struct msg_get msg = {.xfer = ++stage.evil.wire_id,
			      .n_segs = 1,
			      .n_regions = 1,
			      .regions = list->regions,
			      .segs = list->encoded};

	evil_begin(&stage.evil);
	msg_get_encode(&stage.evil.w, &msg);
	evil_say(&stage.evil, MSG_GET);
}

static void ask_listed(const struct evil_list *list, uint16_t type,
		       uint32_t len)
{
	uint64_t id = ++stage.evil.wire_id;

	evil_send_list(&stage.evil, id, list, len);
	say_write(type, id, id, len);
}

static void hear_refusal(const struct request *request)
{
	struct wire_reader r;
	struct msg_done done;

	CHECK(evil_hear(&stage.evil, MSG_DONE, &r, SOON));
	CHECK_STATUS(msg_done_decode(&r, &done), TCPX_OK);
	CHECK_EQ(done.xfer, stage.evil.wire_id);
	CHECK(done.text[0]);
	fprintf(stderr, "  %s: %s\n", check_status_name(done.status),
		done.text);
	CHECK_STATUS(done.status, request->status);
}

static void ask_all_ways(const struct request *request)
{
	const struct mem_blob_entry *mem = request->closed ? &stage.closed_mem :
							     &stage.open_mem;
	struct evil_list list;

	fprintf(stderr, "%s:\n", request->name);
	evil_list(&list, mem->mem ^ request->mem_flip,
		  mem->key ^ (request->wrong_key ? 1 : 0), request->off,
		  request->len);
	ask_listed(&list, MSG_WRITE, request->len);
	hear_refusal(request);
	ask_listed(&list, MSG_READ, request->len);
	hear_refusal(request);
	if (request->len > 8192)
		return;
	ask_put(&list, request->len);
	hear_refusal(request);
	ask_get(&list);
	hear_refusal(request);
}

static void refused_requests(void)
{
	static const struct request requests[] = {
		{"wrong key", .wrong_key = true, .len = 100,
		 .status = TCPX_EKEY},
		{"region of no rights", .closed = true, .len = 100,
		 .status = TCPX_EREMOTE},
		{"no such region", .mem_flip = 5ull << 40, .len = 100,
		 .status = TCPX_EREMOTE},
		{"wrong key, one byte", .wrong_key = true, .len = 1,
		 .status = TCPX_EKEY},
		{"one byte beyond", .off = STAGE_LEN - 99, .len = 100,
		 .status = TCPX_EREMOTE},
		{"far beyond", .off = 1ull << 40, .len = 100,
		 .status = TCPX_EREMOTE},
		{"wraps around", .off = UINT64_MAX - 200, .len = 100,
		 .status = TCPX_EREMOTE},
		{"longer than it", .len = STAGE_LEN + 1,
		 .status = TCPX_EREMOTE},
	};

	stage_open();
	evil_open(&stage.evil, stage.pair.b);
	for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
		unsigned int before = sess_warnings(stage.pair.b);

		ask_all_ways(&requests[i]);
		CHECK(region_check(&stage.dst, "dst"));
		CHECK(region_check(&stage.only_local, "only_local"));
		CHECK(sess_await_warnings(stage.pair.b, before + 1) > before);
	}
	others_go_on();
	evil_close(&stage.evil);
	stage_close();
}

/* ---- requests for a GPU that does nothing ---- */

#define GPU_LEN 8192u
#define GPU_FLOOD 8000u /* requests: twice what may wait */

static void ask_either(const struct evil_list *list, bool put)
{
	if (put)
		ask_put(list, GPU_LEN);
	else
		ask_get(list);
}

/* The victim keeps what it may, refuses the rest, and that peer lives. */
static void flood_a_gpu(bool put)
{
	struct sess *victim;
	struct mem_blob_entry entry;
	struct evil_list list;
	struct wire_reader r;
	struct msg_done done;
	void *device;
	uint64_t mem;

	setenv("TCPX_GPU", "host", 1);
	setenv("TCPX_GPU_HOST_FAULT", "hang:1:0", 1);
	stage_open();
	victim = stage.pair.b;
	CHECK_STATUS(tcpx_gpu_alloc(victim->s, 0, GPU_LEN, &device), TCPX_OK);
	CHECK_STATUS(tcpx_mem_register(victim->s, device, GPU_LEN,
				       TCPX_ACCESS_REMOTE_READ |
					       TCPX_ACCESS_REMOTE_WRITE,
				       &mem),
		     TCPX_OK);
	stage_describe(mem, &entry);
	evil_open(&stage.evil, victim);
	evil_list(&list, entry.mem, entry.key, 0, GPU_LEN);
	for (uint32_t i = 0; i < GPU_FLOOD; i++)
		ask_either(&list, put);
	do { /* the GPU's first jobs go through */
		CHECK(evil_hear(&stage.evil, MSG_DONE, &r, SOON));
		CHECK_STATUS(msg_done_decode(&r, &done), TCPX_OK);
	} while (!done.status);
	fprintf(stderr, "request %llu: %s: %s\n", (unsigned long long)done.xfer,
		check_status_name(done.status), done.text);
	CHECK_STATUS(done.status, TCPX_EGPU);
	CHECK(strstr(done.text, "wait for its GPU"));
	CHECK(done.xfer > GPU_FLOOD / 4 && done.xfer < GPU_FLOOD / 2);
	others_go_on();
	evil_close(&stage.evil);
	/* Jobs that hang may still come to it: it is not freed. */
	CHECK_STATUS(tcpx_mem_deregister(victim->s, mem), TCPX_EGPU);
	stage_close();
}

static void puts_flood_a_gpu(void)
{
	flood_a_gpu(true);
}

static void gets_flood_a_gpu(void)
{
	flood_a_gpu(false);
}

/* ---- answers that nobody takes in ---- */

#define ANSWER_LEN 8192u
#define KEPT_MAX (320u << 20) /* by the victim: ctl.c */
#define ANSWERS_MAX (KEPT_MAX / ANSWER_LEN) /* more than that holds */

/* The victim keeps what it has said until that is acknowledged, up to a bound:
 * then that peer is at its end. Another one begins anew. */
static void ends_when_full(size_t n_asked)
{
	struct evil_list list;
	struct wire_reader r;
	int status;

	wait_lost(&status);
	fprintf(stderr, "asked %zu times\n", n_asked);
	CHECK_STATUS(status, TCPX_EPROTO);
	CHECK(sess_logged(stage.pair.b, "does not take in what it is sent"));
	CHECK(n_asked > ANSWERS_MAX / 4);
	others_go_on();
	evil_close(&stage.evil);
	evil_open(&stage.evil, stage.pair.b);
	evil_list(&list, stage.open_mem.mem, stage.open_mem.key, 0, ANSWER_LEN);
	ask_get(&list);
	CHECK(evil_hear(&stage.evil, MSG_GET_DATA, &r, SOON));
	evil_close(&stage.evil);
	stage_close();
}

static void answers_unread(void)
{
	struct evil_list list;
	size_t n = 0;

	stage_open();
	evil_open(&stage.evil, stage.pair.b);
	evil_list(&list, stage.open_mem.mem, stage.open_mem.key, 0, ANSWER_LEN);
	for (; n < ANSWERS_MAX; n++) /* the last ones find nobody */
		ask_get(&list);
	ends_when_full(n);
}

/* Each is read, none is acknowledged. */
static void answers_unacknowledged(void)
{
	struct wire_reader r;
	struct evil_list list;
	size_t n = 0;
	bool answered = true;

	stage_open();
	evil_open(&stage.evil, stage.pair.b);
	evil_list(&list, stage.open_mem.mem, stage.open_mem.key, 0, ANSWER_LEN);
	while (answered) {
		CHECK(n < ANSWERS_MAX);
		for (int i = 0; i < 16; i++, n++)
			ask_get(&list);
		for (int i = 0; answered && i < 16; i++)
			answered =
				evil_hear(&stage.evil, MSG_GET_DATA, &r, SOON);
	}
	ends_when_full(n);
}

/* ---- the flow ---- */

static void start_write(uint32_t len)
{
	evil_open_flow(&stage.evil);
	good_list(1, len);
	say_write(MSG_WRITE, 1, 1, len);
}

static struct chunk_desc good_chunk(uint32_t len)
{
	return (struct chunk_desc){
		.seq = 0, .xfer = 1, .pos = 0, .len_bytes = len};
}

static const struct {
	const char *name;
	uint64_t seq, xfer, pos;
	uint32_t len, flags;
} chunks[] = {
	{"sequence not 0", 5, 1, 0, 1000, 0},
	{"beyond the end", 0, 1, 1000, 1000, 0},
	{"far beyond", 0, 1, 1ull << 39, 1000, 0},
	{"position wraps", 0, 1, UINT64_MAX - 10, 1000, 0},
	{"longer than a chunk", 0, 1, 0, 64 << 20, 0},
	{"of no length", 0, 1, 0, 0, 0},
	{"unknown flags", 0, 1, 0, 1000, 0x100},
};

static void broken_chunks(void)
{
	static uint8_t payload[1 << 16];
	int status;

	stage_open();
	for (size_t i = 0; i < sizeof(chunks) / sizeof(*chunks); i++) {
		struct chunk_desc desc = {chunks[i].seq,   chunks[i].xfer,
					  chunks[i].pos,   chunks[i].len,
					  chunks[i].flags, 0};

		fprintf(stderr, "%s\n", chunks[i].name);
		evil_open(&stage.evil, stage.pair.b);
		start_write(1000);
		evil_send_chunk(&stage.evil, &desc, payload,
				chunks[i].len < 65536 ? chunks[i].len : 65536);
		/* The flow at least is cut, whatever becomes of the peer. */
		CHECK(raw_wait_closed(stage.evil.flow, SOON));
		evil_close(&stage.evil);
		wait_lost(&status);
		others_go_on();
	}
	stage_close();
}

/* A good WRITE by hand, to know that the evil ones fail for their reasons. */
static void good_write_by_hand(void)
{
	uint8_t payload[1000];
	struct chunk_desc desc = good_chunk(1000);
	struct wire_reader r;
	struct msg_done done;

	stage_open();
	evil_open(&stage.evil, stage.pair.b);
	start_write(1000);
	pattern_fill(payload, 1000, 99, 0);
	evil_send_chunk(&stage.evil, &desc, payload, 1000);
	CHECK(evil_hear(&stage.evil, MSG_DONE, &r, SOON));
	CHECK_STATUS(msg_done_decode(&r, &done), TCPX_OK);
	CHECK_EQ(done.xfer, 1);
	CHECK_STATUS(done.status, TCPX_OK);
	region_want(&stage.dst, 0, 1000, 99, 0);
	CHECK(region_check(&stage.dst, "dst"));
	evil_close(&stage.evil);
	others_go_on();
	stage_close();
}

/* A thread of the victim's that is so long behind what it has sent. */
static _Atomic unsigned int behind_us;
static _Atomic int n_behind; /* and are just now */

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	ssize_t n = syscall(SYS_sendmsg, fd, msg, flags);
	unsigned int us = n > 4096 ? atomic_load(&behind_us) : 0;
	int error = errno;

	if (us) {
		atomic_fetch_add(&n_behind, 1);
		usleep(us);
		atomic_fetch_sub(&n_behind, 1);
	}
	errno = error;
	return n;
}

/* Done at the very moment that the last byte has come: whatever the lane has
 * seen of it by then, that is right, and in time. */
static void done_when_read(uint32_t channel, size_t rounds)
{
	enum { LEN = 512 << 10 };
	static uint8_t buf[1 << 20];
	struct region region;
	struct sess *victim;
	uint64_t mem, xfer;

	setenv("TCPX_WORKERS", "2", 1);
	stage_open();
	victim = stage.pair.b;
	region_init(&region, LEN, 1);
	evil_open(&stage.evil, victim);
	evil_open_flow_as(&stage.evil, channel);
	xfer = stage_evil_peer();
	mem = sess_register(victim, &region, 0);
	xfer = xfer_one(victim, xfer, TCPX_OP_WRITE, mem, 0,
			stage_evil_mem(LEN), 0, LEN);
	evil_send_credit(&stage.evil, 64, 0);
	for (uint64_t i = 0, placed = 0; i < rounds; i++) {
		size_t left = LEN;

		CHECK_STATUS(tcpx_xfer_post(victim->s, xfer, NULL), TCPX_OK);
		while (left) {
			struct chunk_desc desc;

			evil_read_flow(&stage.evil, buf, CHUNK_DESC_BYTES);
			CHECK_STATUS(chunk_desc_decode(buf, &desc), TCPX_OK);
			CHECK(desc.len_bytes <= left);
			evil_read_flow(&stage.evil, buf, desc.len_bytes);
			left -= desc.len_bytes;
			placed++;
		}
		evil_send_done(&stage.evil, i + 1, TCPX_OK);
		evil_send_credit(&stage.evil, placed + 64, placed);
		CHECK_STATUS(tcpx_xfer_wait(victim->s, xfer, SOON), TCPX_OK);
		CHECK_EQ(atomic_load(&n_behind), 0); /* nor reads any more */
	}
	others_go_on();
	evil_close(&stage.evil);
	region_fini(&region);
	stage_close();
}

static void done_when_sent(void)
{
	done_when_read(0, scale_count(300));
}

static void done_before_seen(void)
{
	atomic_store(&behind_us, 3000);
	done_when_read(1, 20);
}

static uint64_t cpu_ms(void)
{
	struct timespec ts;

	CHECK(!clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts));
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* A chunk whose request never comes, on a flow that is then reset: nobody
 * spins on the hang-up until the peer is lost. */
static void reset_while_stalled(void)
{
	static uint8_t payload[1000];
	struct linger linger = {.l_onoff = 1};
	struct chunk_desc desc = good_chunk(1000);
	uint64_t before;
	int status;

	stage_open();
	evil_open(&stage.evil, stage.pair.b);
	evil_open_flow(&stage.evil);
	desc.xfer = 7;
	evil_send_chunk(&stage.evil, &desc, payload, sizeof(payload));
	test_sleep_ms(100);
	CHECK(!setsockopt(stage.evil.flow, SOL_SOCKET, SO_LINGER, &linger,
			  sizeof(linger)));
	close(stage.evil.flow);
	stage.evil.flow = -1;
	before = cpu_ms();
	test_sleep_ms(1000);
	fprintf(stderr, "%llu ms of a second\n",
		(unsigned long long)(cpu_ms() - before));
	CHECK(cpu_ms() - before < 150);
	others_go_on();
	evil_close(&stage.evil);
	wait_lost(&status);
	stage_close();
}

/* ---- noise ---- */

/* Random bytes after a good handshake, on both connections. */
static void noise(void)
{
	size_t rounds = scale_count(100);
	uint64_t seed = check_seed();
	static uint8_t bytes[20000];
	int status;

	stage_open();
	for (size_t i = 0; i < rounds; i++) {
		size_t len = 1 + check_rand(&seed) % sizeof(bytes);

		evil_open(&stage.evil, stage.pair.b);
		pattern_fill(bytes, len, check_rand(&seed), 0);
		if (i % 2) {
			evil_open_flow(&stage.evil);
			raw_send(stage.evil.flow, bytes, len);
		} else {
			raw_send(stage.evil.ctl, bytes, len);
		}
		evil_close(&stage.evil);
		wait_lost(&status);
		if (i % 10 == 0)
			others_go_on();
	}
	stage_close();
}

/* Good messages with one byte changed, in any order. Only the open region
 * may have been written, since some of these are good. */
static void mutated(void)
{
	size_t rounds = scale_count(300);
	uint64_t seed = check_seed();
	int status;

	stage_open();
	for (size_t i = 0; i < rounds; i++) {
		struct evil_list list;

		evil_open(&stage.evil, stage.pair.b);
		evil_list(&list, stage.closed_mem.mem, stage.closed_mem.key,
			  check_rand(&seed) % STAGE_LEN, 64);
		for (int k = 0; k < 6; k++) {
			size_t len;

			evil_begin(&stage.evil);
			if (k % 2) {
				struct msg_get get = {.xfer = (uint64_t)k,
						      .n_segs = 1,
						      .n_regions = 1,
						      .regions = list.regions,
						      .segs = list.encoded};

				msg_get_encode(&stage.evil.w, &get);
			} else {
				struct msg_list msg = {.list = (uint64_t)k + 1,
						       .total_segs = 1,
						       .count = 1,
						       .total_bytes = 64,
						       .n_regions = 1,
						       .regions = list.regions,
						       .segs = list.encoded};

				msg_list_encode(&stage.evil.w, &msg);
			}
			len = (size_t)(stage.evil.w.at - stage.evil.body);
			stage.evil.body[check_rand(&seed) % len] ^=
				1 << check_rand(&seed) % 8;
			evil_say(&stage.evil, k % 2 ? MSG_GET : MSG_LIST);
		}
		evil_close(&stage.evil);
		wait_lost(&status);
		if (i % 20 == 0)
			others_go_on();
	}
	stage_close();
}

static const struct check_case cases[] = {
	{"refused_requests", refused_requests, 60},
	{"puts_flood_a_gpu", puts_flood_a_gpu, 60},
	{"gets_flood_a_gpu", gets_flood_a_gpu, 60},
	{"answers_unread", answers_unread, 90},
	{"answers_unacknowledged", answers_unacknowledged, 90},
	{"good_write_by_hand", good_write_by_hand, 0},
	{"broken_chunks", broken_chunks, 60},
	{"done_when_sent", done_when_sent, 60},
	{"done_before_seen", done_before_seen, 60},
	{"reset_while_stalled", reset_while_stalled, 0},
	{"noise", noise, 90},
	{"mutated", mutated, 90},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
