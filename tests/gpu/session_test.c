/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "check.h"
#include "gpu/host/host.h"
#include "support/scale.h"
#include "support/sess.h"

/* Transfers that meet what only the pretend GPU can do at will: a producer
 * that is late or never comes, and a device that hangs. */

#define RW (TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE)
#define SOON scale_ms(20000)
#define LEN_BYTES (3u << 20)

static void tweak(struct tcpx_config *config)
{
	config->gpu = "host";
}

/* a's device memory, b's host memory, and a WRITE from one to the other. */
struct rig {
	struct pair pair;
	struct region region;
	void *device;
	uint64_t local, owned, xfer, len_bytes;
};

static void rig_produce(struct rig *rig, uint64_t seed)
{
	uint8_t *bytes = malloc(rig->len_bytes);

	CHECK(bytes);
	pattern_fill(bytes, rig->len_bytes, seed, 0);
	CHECK_STATUS(tcpx_gpu_copy(rig->pair.a->s, 0, rig->device, bytes,
				   rig->len_bytes),
		     TCPX_OK);
	free(bytes);
}

static void rig_open(struct rig *rig, uint64_t len_bytes)
{
	rig->len_bytes = len_bytes;
	pair_open(&rig->pair, PAIR_TWO, tweak);
	CHECK_STATUS(tcpx_gpu_alloc(rig->pair.a->s, 0, len_bytes, &rig->device),
		     TCPX_OK);
	rig_produce(rig, 1);
	region_init(&rig->region, len_bytes, 9);
	CHECK_STATUS(tcpx_mem_register(rig->pair.a->s, rig->device, len_bytes,
				       RW, &rig->local),
		     TCPX_OK);
	rig->owned = sess_register(rig->pair.b, &rig->region, RW);
	rig->xfer = xfer_one(rig->pair.a, rig->pair.ab, TCPX_OP_WRITE,
			     rig->local, 0,
			     sess_share(rig->pair.b, rig->owned, rig->pair.a),
			     0, len_bytes);
}

/* fence: what deregistration of the device's memory says. */
static void rig_close_with(struct rig *rig, int fence)
{
	CHECK_STATUS(tcpx_xfer_release(rig->pair.a->s, rig->xfer), TCPX_OK);
	CHECK_STATUS(tcpx_mem_deregister(rig->pair.a->s, rig->local), fence);
	CHECK_STATUS(tcpx_mem_deregister(rig->pair.b->s, rig->owned), TCPX_OK);
	pair_close(&rig->pair);
	region_fini(&rig->region);
}

static void rig_close(struct rig *rig)
{
	rig_close_with(rig, TCPX_OK);
}

/* The device was given up: its memory is deregistered, but not fenced. */
static void rig_close_hung(struct rig *rig)
{
	rig_close_with(rig, TCPX_EGPU);
}

static void rig_post(struct rig *rig, uintptr_t event, uint32_t deadline_ms)
{
	struct tcpx_post_params post = {.size_bytes = sizeof(post),
					.deadline_ms = deadline_ms,
					.gpu_event = event};

	CHECK_STATUS(tcpx_xfer_post(rig->pair.a->s, rig->xfer, &post), TCPX_OK);
}

static int rig_wait(struct rig *rig)
{
	return pair_wait(&rig->pair, rig->pair.a, rig->xfer, SOON);
}

/* ---- producers --------------------------------------------------------- */

/* Nothing is read before the event: what arrives is what was made last. */
static void late_producer(uint64_t len_bytes)
{
	struct rig rig = {0};

	rig_open(&rig, len_bytes);
	for (uint64_t i = 0; i < 4; i++) {
		uintptr_t event = gpu_host_event_create();

		rig_produce(&rig, 100 + i);
		rig_post(&rig, event, 0);
		test_sleep_ms(60);
		CHECK_STATUS(tcpx_xfer_test(rig.pair.a->s, rig.xfer),
			     TCPX_INPROGRESS);
		CHECK(region_check(&rig.region, "before the event"));
		rig_produce(&rig, 2 + i);
		gpu_host_event_fire(event);
		CHECK_STATUS(rig_wait(&rig), TCPX_OK);
		region_want(&rig.region, 0, len_bytes, 2 + i, 0);
		CHECK(region_check(&rig.region, "after the event"));
		gpu_host_event_destroy(event);
	}
	rig_close(&rig);
}

static void a_late_producer(void)
{
	late_producer(LEN_BYTES);
}

static void a_late_producer_of_little(void)
{
	late_producer(100);
}

/* The transfer ends at its deadline, although its jobs wait still; others do
 * not wait with them, and what they write when the event comes after all is
 * nobody else's slot. They may read from then on: until deregistration, the
 * bytes stay as they are. */
static void never_comes(uint64_t len_bytes)
{
	uintptr_t event = gpu_host_event_create();
	struct rig rig = {0};

	rig_open(&rig, len_bytes);
	rig_post(&rig, event, (uint32_t)scale_ms(200));
	CHECK_STATUS(rig_wait(&rig), TCPX_ESTALLED);
	for (uint64_t i = 0; i < 6; i++) {
		if (i == 3)
			gpu_host_event_fire(event);
		if (i < 3)
			rig_produce(&rig, 5 + i);
		rig_post(&rig, 0, 0);
		CHECK_STATUS(rig_wait(&rig), TCPX_OK);
		region_want(&rig.region, 0, len_bytes, i < 3 ? 5 + i : 7, 0);
		CHECK(region_check(&rig.region, "the next one"));
	}
	gpu_host_event_destroy(event);
	rig_close(&rig);
}

static void a_producer_that_never_comes(void)
{
	never_comes(LEN_BYTES);
}

static void a_producer_of_little_that_never_comes(void)
{
	never_comes(100);
}

/* The same when the program loses patience: a cancel waits for no event. */
static void canceled_before_its_event(void)
{
	uintptr_t event = gpu_host_event_create();
	struct rig rig = {0};

	rig_open(&rig, LEN_BYTES);
	rig_post(&rig, event, 0);
	test_sleep_ms(50);
	CHECK_STATUS(tcpx_xfer_cancel(rig.pair.a->s, rig.xfer), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_test(rig.pair.a->s, rig.xfer), TCPX_ECANCELED);
	rig_produce(&rig, 5);
	rig_post(&rig, 0, 0);
	CHECK_STATUS(rig_wait(&rig), TCPX_OK);
	gpu_host_event_fire(event);
	gpu_host_event_destroy(event);
	rig_close(&rig);
}

/* Something that is no event fails the transfer, and only that. */
static void no_event(uint64_t len_bytes)
{
	struct tcpx_xfer_info info = {0};
	struct rig rig = {0};

	rig_open(&rig, len_bytes);
	rig_post(&rig, 12345678, 0);
	CHECK_STATUS(rig_wait(&rig), TCPX_EINVAL);
	CHECK_STATUS(tcpx_xfer_query(rig.pair.a->s, rig.xfer, &info), TCPX_OK);
	CHECK(strstr(info.cause, "event"));
	rig_produce(&rig, 6);
	rig_post(&rig, 0, 0);
	CHECK_STATUS(rig_wait(&rig), TCPX_OK);
	region_want(&rig.region, 0, len_bytes, 6, 0);
	CHECK(region_check(&rig.region, "the next one"));
	rig_close(&rig);
}

static void no_event_at_all(void)
{
	no_event(LEN_BYTES);
}

static void no_event_for_little(void)
{
	no_event(100);
}

/* A WRITE of what the rig has, beside its own one. */
static uint64_t another(struct rig *rig, uint64_t local, uint64_t len_bytes)
{
	return xfer_one(rig->pair.a, rig->pair.ab, TCPX_OP_WRITE, local, 0,
			sess_share(rig->pair.b, rig->owned, rig->pair.a), 0,
			len_bytes);
}

static void post_and_wait(struct rig *rig, uint64_t xfer, uintptr_t event)
{
	struct tcpx_post_params post = {.size_bytes = sizeof(post),
					.gpu_event = event};

	CHECK_STATUS(tcpx_xfer_post(rig->pair.a->s, xfer, &post), TCPX_OK);
	CHECK_STATUS(pair_wait(&rig->pair, rig->pair.a, xfer, SOON), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_test(rig->pair.a->s, rig->xfer),
		     TCPX_INPROGRESS);
}

#define BIG_BYTES (24u << 20) /* more chunks than all lanes could have cut */

/* While one waits for its event, whatever does not goes on beside it: long and
 * short, of the host and of the device, and what waits for an event that has
 * passed. */
static void others_do_not_wait_with_it(void)
{
	uintptr_t event = gpu_host_event_create();
	uintptr_t passed = gpu_host_event_create();
	struct region mine;
	struct rig rig = {0};

	gpu_host_event_fire(passed);
	rig_open(&rig, BIG_BYTES);
	region_init(&mine, LEN_BYTES, 77);
	uint64_t mem = sess_register(rig.pair.a, &mine, RW);
	uint64_t host = another(&rig, mem, LEN_BYTES);
	uint64_t device = another(&rig, rig.local, LEN_BYTES);
	uint64_t little = another(&rig, rig.local, 64);

	rig_post(&rig, event, 0);
	test_sleep_ms(20);
	for (int i = 0; i < 3; i++) {
		post_and_wait(&rig, host, 0);
		post_and_wait(&rig, device, 0);
		post_and_wait(&rig, little, 0);
		post_and_wait(&rig, device, passed);
		post_and_wait(&rig, little, passed);
	}
	rig_produce(&rig, 4);
	gpu_host_event_fire(event);
	CHECK_STATUS(rig_wait(&rig), TCPX_OK);
	region_want(&rig.region, 0, BIG_BYTES, 4, 0);
	CHECK(region_check(&rig.region, "the one that waited"));
	CHECK_STATUS(tcpx_xfer_release(rig.pair.a->s, host), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_release(rig.pair.a->s, device), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_release(rig.pair.a->s, little), TCPX_OK);
	CHECK_STATUS(tcpx_mem_deregister(rig.pair.a->s, mem), TCPX_OK);
	rig_close(&rig);
	region_fini(&mine);
	gpu_host_event_destroy(event);
	gpu_host_event_destroy(passed);
}

/* Nothing of a transfer that waits for its event is anywhere near the device:
 * its memory may go while the event has not passed. */
static void deregistered_before_its_event(uint64_t len_bytes)
{
	uintptr_t event = gpu_host_event_create();
	struct rig rig = {0};
	struct tcpx_session *a;

	rig_open(&rig, len_bytes);
	a = rig.pair.a->s;
	rig_post(&rig, event, 0);
	test_sleep_ms(20);
	CHECK_STATUS(tcpx_mem_deregister(a, rig.local), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_test(a, rig.xfer), TCPX_ECANCELED);
	CHECK_STATUS(tcpx_xfer_release(a, rig.xfer), TCPX_OK);
	CHECK_STATUS(tcpx_gpu_free(a, 0, rig.device), TCPX_OK);
	gpu_host_event_fire(event);
	test_sleep_ms(20);
	/* The device has not met what was freed. */
	CHECK_STATUS(tcpx_gpu_alloc(a, 0, len_bytes, &rig.device), TCPX_OK);
	rig_produce(&rig, 8);
	CHECK_STATUS(tcpx_mem_register(a, rig.device, len_bytes, RW,
				       &rig.local),
		     TCPX_OK);
	rig.xfer = another(&rig, rig.local, len_bytes);
	rig_post(&rig, event, 0);
	CHECK_STATUS(rig_wait(&rig), TCPX_OK);
	region_want(&rig.region, 0, len_bytes, 8, 0);
	CHECK(region_check(&rig.region, "the next one"));
	gpu_host_event_destroy(event);
	rig_close(&rig);
}

static void much_deregistered_before_its_event(void)
{
	deregistered_before_its_event(LEN_BYTES);
}

static void little_deregistered_before_its_event(void)
{
	deregistered_before_its_event(100);
}

/* Sessions end, whatever is waited for. */
static void closed_before_its_event(void)
{
	uintptr_t event = gpu_host_event_create();
	struct rig rig = {0};

	rig_open(&rig, LEN_BYTES);
	uint64_t little = another(&rig, rig.local, 64);
	struct tcpx_post_params post = {.size_bytes = sizeof(post),
					.gpu_event = event};

	rig_post(&rig, event, 0);
	CHECK_STATUS(tcpx_xfer_post(rig.pair.a->s, little, &post), TCPX_OK);
	pair_close(&rig.pair);
	gpu_host_event_fire(event);
	gpu_host_event_destroy(event);
	region_fini(&rig.region);
}

static uint64_t one_side(struct sess *sess, uint64_t peer, enum tcpx_op op,
			 uint64_t mem, uint64_t len_bytes)
{
	const struct tcpx_segment seg = {.local_mem = mem,
					 .len_bytes = len_bytes};
	const struct tcpx_xfer_params params = {.size_bytes = sizeof(params),
						.peer = peer,
						.op = op,
						.segments = &seg,
						.n_segments = 1,
						.tag = 5};
	uint64_t xfer;

	CHECK_STATUS(tcpx_xfer_prepare(sess->s, &params, &xfer), TCPX_OK);
	return xfer;
}

/* A SEND that waits keeps its place within the tag: the RECV posted first gets
 * its bytes, and the SEND behind it goes on meanwhile. */
static void a_send_waits_in_its_place(void)
{
	uintptr_t event = gpu_host_event_create();
	struct rig rig = {0};
	struct region mine, second;

	rig_open(&rig, LEN_BYTES);
	struct pair *pair = &rig.pair;
	struct tcpx_post_params post = {.size_bytes = sizeof(post),
					.gpu_event = event};

	region_init(&mine, LEN_BYTES, 31);
	region_init(&second, LEN_BYTES, 0);
	uint64_t mem = sess_register(pair->a, &mine, RW);
	uint64_t to = sess_register(pair->b, &second, RW);
	uint64_t sends[2] = {
		one_side(pair->a, pair->ab, TCPX_OP_SEND, rig.local, LEN_BYTES),
		one_side(pair->a, pair->ab, TCPX_OP_SEND, mem, LEN_BYTES)};
	uint64_t recvs[2] = {
		one_side(pair->b, pair->ba, TCPX_OP_RECV, rig.owned, LEN_BYTES),
		one_side(pair->b, pair->ba, TCPX_OP_RECV, to, LEN_BYTES)};

	CHECK_STATUS(tcpx_xfer_post(pair->a->s, sends[0], &post), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_post(pair->a->s, sends[1], NULL), TCPX_OK);
	for (int i = 0; i < 2; i++)
		CHECK_STATUS(tcpx_xfer_post(pair->b->s, recvs[i], NULL),
			     TCPX_OK);
	CHECK_STATUS(pair_wait(pair, pair->b, recvs[1], SOON), TCPX_OK);
	CHECK_STATUS(pair_wait(pair, pair->a, sends[1], SOON), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_test(pair->a->s, sends[0]), TCPX_INPROGRESS);
	CHECK_STATUS(tcpx_xfer_test(pair->b->s, recvs[0]), TCPX_INPROGRESS);
	rig_produce(&rig, 12);
	gpu_host_event_fire(event);
	CHECK_STATUS(pair_wait(pair, pair->b, recvs[0], SOON), TCPX_OK);
	CHECK_STATUS(pair_wait(pair, pair->a, sends[0], SOON), TCPX_OK);
	region_want(&rig.region, 0, LEN_BYTES, 12, 0);
	region_want(&second, 0, LEN_BYTES, 31, 0);
	CHECK(region_check(&rig.region, "the first"));
	CHECK(region_check(&second, "the second"));
	for (int i = 0; i < 2; i++) {
		CHECK_STATUS(tcpx_xfer_release(pair->a->s, sends[i]), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_release(pair->b->s, recvs[i]), TCPX_OK);
	}
	CHECK_STATUS(tcpx_mem_deregister(pair->a->s, mem), TCPX_OK);
	CHECK_STATUS(tcpx_mem_deregister(pair->b->s, to), TCPX_OK);
	rig_close(&rig);
	region_fini(&mine);
	region_fini(&second);
	gpu_host_event_destroy(event);
}

/* ---- a device that is slow --------------------------------------------- */

enum end { BY_CANCEL, BY_RELEASE, BY_DEADLINE, BY_DISCONNECT };

static void end_early(struct rig *rig, uint64_t xfer, enum end how)
{
	struct tcpx_session *a = rig->pair.a->s;
	int status = TCPX_OK;

	test_sleep_ms(30);
	if (how == BY_DISCONNECT)
		CHECK_STATUS(tcpx_peer_disconnect(a, rig->pair.ab), TCPX_OK);
	if (how == BY_CANCEL)
		CHECK_STATUS(tcpx_xfer_cancel(a, xfer), TCPX_OK);
	if (how == BY_RELEASE)
		CHECK_STATUS(tcpx_xfer_release(a, xfer), TCPX_OK);
	else
		status = tcpx_xfer_wait(a, xfer, SOON);
	/* It may have been fast for once. */
	CHECK(status == TCPX_OK ||
	      status == (how == BY_DEADLINE ? TCPX_ESTALLED : TCPX_ECANCELED));
}

#define SLOW_US "300000" /* most work begins so late, at most */
#define SLOW_MS 300

static void stays_as_produced(struct rig *rig, uint64_t seed)
{
	uint8_t *want = malloc(rig->len_bytes), *got = malloc(rig->len_bytes);

	CHECK(want && got);
	rig_produce(rig, seed);
	test_sleep_ms(SLOW_MS + 100);
	CHECK_STATUS(tcpx_gpu_copy(rig->pair.a->s, 0, got, rig->device,
				   rig->len_bytes),
		     TCPX_OK);
	pattern_fill(want, rig->len_bytes, seed, 0);
	CHECK_MEM(got, want, rig->len_bytes);
	free(want);
	free(got);
}

/* The program takes its buffer back the moment the transfer is over, however
 * slow the device is: not one byte of it changes afterwards. */
static void nothing_lands_late(uint64_t len_bytes, enum end how)
{
	struct rig rig = {0};

	setenv("TCPX_GPU_HOST_DELAY_US", SLOW_US, 1);
	for (size_t i = 0; i < 3; i++) {
		rig_open(&rig, len_bytes);
		struct tcpx_post_params post = {
			.size_bytes = sizeof(post),
			.deadline_ms = how == BY_DEADLINE ? 60 : 0};
		uint64_t xfer = xfer_one(
			rig.pair.a, rig.pair.ab, TCPX_OP_READ, rig.local, 0,
			sess_share(rig.pair.b, rig.owned, rig.pair.a), 0,
			len_bytes);

		CHECK_STATUS(tcpx_xfer_post(rig.pair.a->s, xfer, &post),
			     TCPX_OK);
		end_early(&rig, xfer, how);
		stays_as_produced(&rig, 50 + i);
		rig_close(&rig);
	}
}

static void nothing_lands_after_a_cancel(void)
{
	nothing_lands_late(LEN_BYTES, BY_CANCEL);
}

static void nothing_little_lands_after_a_cancel(void)
{
	nothing_lands_late(100, BY_CANCEL);
}

static void nothing_lands_after_a_release(void)
{
	nothing_lands_late(LEN_BYTES, BY_RELEASE);
}

static void nothing_lands_after_a_deadline(void)
{
	nothing_lands_late(LEN_BYTES, BY_DEADLINE);
}

static void nothing_little_lands_after_a_deadline(void)
{
	nothing_lands_late(100, BY_DEADLINE);
}

static void nothing_lands_after_a_disconnect(void)
{
	nothing_lands_late(LEN_BYTES, BY_DISCONNECT);
}

/* The same for a RECV; what the peer sends to it is not what the test is
 * about. */
static void nothing_lands_after_a_recv(void)
{
	struct rig rig = {0};

	setenv("TCPX_GPU_HOST_DELAY_US", SLOW_US, 1);
	for (size_t i = 0; i < 3; i++) {
		rig_open(&rig, LEN_BYTES);
		struct pair *pair = &rig.pair;
		uint64_t recv = one_side(pair->a, pair->ab, TCPX_OP_RECV,
					 rig.local, LEN_BYTES);
		uint64_t send = one_side(pair->b, pair->ba, TCPX_OP_SEND,
					 rig.owned, LEN_BYTES);

		CHECK_STATUS(tcpx_xfer_post(pair->a->s, recv, NULL), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_post(pair->b->s, send, NULL), TCPX_OK);
		end_early(&rig, recv, BY_CANCEL);
		stays_as_produced(&rig, 50 + i);
		CHECK_STATUS(tcpx_xfer_release(pair->a->s, recv), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_release(pair->b->s, send), TCPX_OK);
		rig_close(&rig);
	}
}

/* ---- a device that hangs ----------------------------------------------- */

static void host_memory_still_moves(struct rig *rig)
{
	struct region mine;
	uint64_t mem, xfer;

	region_init(&mine, rig->len_bytes, 77);
	mem = sess_register(rig->pair.a, &mine, RW);
	xfer = xfer_one(rig->pair.a, rig->pair.ab, TCPX_OP_WRITE, mem, 0,
			sess_share(rig->pair.b, rig->owned, rig->pair.a), 0,
			rig->len_bytes);
	CHECK_STATUS(tcpx_xfer_post(rig->pair.a->s, xfer, NULL), TCPX_OK);
	CHECK_STATUS(pair_wait(&rig->pair, rig->pair.a, xfer, SOON), TCPX_OK);
	region_want(&rig->region, 0, rig->len_bytes, 77, 0);
	CHECK(region_check(&rig->region, "host to host"));
	CHECK_STATUS(tcpx_xfer_release(rig->pair.a->s, xfer), TCPX_OK);
	CHECK_STATUS(tcpx_mem_deregister(rig->pair.a->s, mem), TCPX_OK);
	region_fini(&mine);
}

/* The transfer ends by its own deadline, long before the device is given up
 * (10 s). Others go on meanwhile; deregistration, in rig_close(), waits for
 * the device. */
static void a_device_that_hangs(void)
{
	struct rig rig = {0};
	int status = TCPX_OK;
	uint64_t begin_ns;

	setenv("TCPX_GPU_HOST_FAULT", "hang:4:0", 1);
	rig_open(&rig, LEN_BYTES);
	begin_ns = clock_now_ns();
	for (int i = 0; i < 10 && status == TCPX_OK; i++) {
		begin_ns = clock_now_ns();
		rig_post(&rig, 0, (uint32_t)scale_ms(500));
		status = pair_wait(&rig.pair, rig.pair.a, rig.xfer, 60000);
	}
	CHECK_STATUS(status, TCPX_ESTALLED);
	CHECK(clock_now_ns() - begin_ns < 9 * NS_PER_S);
	host_memory_still_moves(&rig);
	rig_close_hung(&rig);
}

/* At the side that did not ask: the initiator's deadline ends it there, too,
 * and host memory still moves over the same lanes. */
static void a_far_device_that_hangs(void)
{
	struct rig rig = {0};
	int status = TCPX_OK;
	uint64_t xfer;

	setenv("TCPX_GPU_HOST_FAULT", "hang:4:0", 1);
	rig_open(&rig, LEN_BYTES);
	xfer = xfer_one(rig.pair.b, rig.pair.ba, TCPX_OP_WRITE, rig.owned, 0,
			sess_share(rig.pair.a, rig.local, rig.pair.b), 0,
			LEN_BYTES);
	for (int i = 0; i < 10 && status == TCPX_OK; i++) {
		struct tcpx_post_params post = {
			.size_bytes = sizeof(post),
			.deadline_ms = (uint32_t)scale_ms(500)};

		CHECK_STATUS(tcpx_xfer_post(rig.pair.b->s, xfer, &post),
			     TCPX_OK);
		status = pair_wait(&rig.pair, rig.pair.b, xfer, 60000);
	}
	CHECK_STATUS(status, TCPX_ESTALLED);
	for (int i = 0; i < 30; i++)
		host_memory_still_moves(&rig);
	CHECK_STATUS(tcpx_xfer_release(rig.pair.b->s, xfer), TCPX_OK);
	rig_close_hung(&rig);
}

/* It is to write what a READ has brought: the transfer is over when the device
 * has been given up, and not before. What the network brought may come there
 * one day, for deregistration is no fence then, and says so. */
static void reads_into_a_device_that_hangs(uint64_t len_bytes)
{
	struct rig rig = {0};
	int status = TCPX_OK;

	setenv("TCPX_GPU_HOST_FAULT", "hang:4:0", 1);
	rig_open(&rig, len_bytes);
	uint64_t xfer = xfer_one(rig.pair.a, rig.pair.ab, TCPX_OP_READ,
				 rig.local, 0,
				 sess_share(rig.pair.b, rig.owned, rig.pair.a),
				 0, len_bytes);
	for (int i = 0; i < 10 && status == TCPX_OK; i++) {
		struct tcpx_post_params post = {
			.size_bytes = sizeof(post),
			.deadline_ms = (uint32_t)scale_ms(500)};

		CHECK_STATUS(tcpx_xfer_post(rig.pair.a->s, xfer, &post),
			     TCPX_OK);
		status = pair_wait(&rig.pair, rig.pair.a, xfer, 60000);
	}
	CHECK_STATUS(status, TCPX_ESTALLED);
	CHECK(sess_logged(rig.pair.a, "device 0 failed"));
	host_memory_still_moves(&rig);
	CHECK_STATUS(tcpx_xfer_release(rig.pair.a->s, xfer), TCPX_OK);
	CHECK(!sess_logged(rig.pair.a, "may yet touch that memory"));
	rig_close_hung(&rig);
}

static void a_device_that_hangs_for_a_read(void)
{
	reads_into_a_device_that_hangs(LEN_BYTES);
}

static void a_device_that_hangs_for_a_little_read(void)
{
	reads_into_a_device_that_hangs(100);
}

#define MANY 5000u /* of 8 KiB: more than may wait at the other side */

/* Many small ones for it are held back here: none is refused over there for
 * being too many. They end when the device is given up, which is found out with
 * locks held and said without. */
static void a_far_device_that_hangs_for_many(void)
{
	struct tcpx_xfer_info info = {0};
	static uint64_t xfers[MANY];
	struct rig rig = {0};
	uint64_t handle;

	setenv("TCPX_GPU_HOST_FAULT", "hang:4:0", 1);
	rig_open(&rig, LEN_BYTES);
	handle = sess_share(rig.pair.a, rig.local, rig.pair.b);
	for (uint32_t i = 0; i < MANY; i++) {
		xfers[i] = xfer_one(rig.pair.b, rig.pair.ba, TCPX_OP_WRITE,
				    rig.owned, 0, handle, 0, 8192);
		CHECK_STATUS(tcpx_xfer_post(rig.pair.b->s, xfers[i], NULL),
			     TCPX_OK);
	}
	for (uint32_t i = 0; i < MANY; i++) {
		pair_wait(&rig.pair, rig.pair.b, xfers[i], 60000);
		CHECK_STATUS(tcpx_xfer_query(rig.pair.b->s, xfers[i], &info),
			     TCPX_OK);
		CHECK(info.status != TCPX_INPROGRESS);
		CHECK(!strstr(info.cause, "small requests"));
		CHECK_STATUS(tcpx_xfer_release(rig.pair.b->s, xfers[i]),
			     TCPX_OK);
	}
	CHECK(sess_logged(rig.pair.a, "device 0 failed"));
	host_memory_still_moves(&rig);
	rig_close_hung(&rig);
}

static const struct check_case cases[] = {
	{"a_late_producer", a_late_producer, 60},
	{"a_late_producer_of_little", a_late_producer_of_little, 60},
	{"a_producer_that_never_comes", a_producer_that_never_comes, 60},
	{"a_producer_of_little_that_never_comes",
	 a_producer_of_little_that_never_comes, 60},
	{"canceled_before_its_event", canceled_before_its_event, 60},
	{"no_event_at_all", no_event_at_all, 60},
	{"no_event_for_little", no_event_for_little, 60},
	{"others_do_not_wait_with_it", others_do_not_wait_with_it, 60},
	{"much_deregistered_before_its_event",
	 much_deregistered_before_its_event, 60},
	{"little_deregistered_before_its_event",
	 little_deregistered_before_its_event, 60},
	{"closed_before_its_event", closed_before_its_event, 60},
	{"a_send_waits_in_its_place", a_send_waits_in_its_place, 60},
	{"nothing_lands_after_a_cancel", nothing_lands_after_a_cancel, 120},
	{"nothing_little_lands_after_a_cancel",
	 nothing_little_lands_after_a_cancel, 120},
	{"nothing_lands_after_a_release", nothing_lands_after_a_release, 120},
	{"nothing_lands_after_a_deadline", nothing_lands_after_a_deadline, 120},
	{"nothing_little_lands_after_a_deadline",
	 nothing_little_lands_after_a_deadline, 120},
	{"nothing_lands_after_a_disconnect", nothing_lands_after_a_disconnect,
	 120},
	{"nothing_lands_after_a_recv", nothing_lands_after_a_recv, 120},
	{"a_device_that_hangs", a_device_that_hangs, 120},
	{"a_device_that_hangs_for_a_read", a_device_that_hangs_for_a_read, 120},
	{"a_device_that_hangs_for_a_little_read",
	 a_device_that_hangs_for_a_little_read, 120},
	{"a_far_device_that_hangs", a_far_device_that_hangs, 120},
	{"a_far_device_that_hangs_for_many", a_far_device_that_hangs_for_many,
	 120},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
