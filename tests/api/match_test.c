/* SPDX-License-Identifier: Apache-2.0 */
/* SEND and RECV: tags, order, truncation, no hidden writes. */
#include "check.h"
#include "support/scale.h"
#include "support/sess.h"

#define SEND_SEED 3
#define RECV_SEED 4
#define SOON scale_ms(8000)

struct duo {
	struct pair pair;
	struct region out, in; /* of a, of b */
	uint64_t out_mem, in_mem;
};

static void duo_open(struct duo *t, enum pair_kind kind, size_t len_bytes)
{
	pair_open(&t->pair, kind, NULL);
	region_init(&t->out, len_bytes, SEND_SEED);
	region_init(&t->in, len_bytes, RECV_SEED);
	t->out_mem = sess_register(t->pair.a, &t->out, TCPX_ACCESS_LOCAL);
	t->in_mem = sess_register(t->pair.b, &t->in, TCPX_ACCESS_LOCAL);
}

static void duo_close(struct duo *t)
{
	pair_close(&t->pair);
	region_fini(&t->out);
	region_fini(&t->in);
}

static uint64_t make_one(struct sess *sess, uint64_t peer, enum tcpx_op op,
			 uint64_t mem, uint64_t off, uint64_t len_bytes,
			 uint64_t tag)
{
	struct tcpx_segment segment = {
		.local_mem = mem, .local_off = off, .len_bytes = len_bytes};

	return xfer_make(sess, peer, op, &segment, 1, tag);
}

static uint64_t post_send(struct duo *t, uint64_t off, uint64_t len_bytes,
			  uint64_t tag)
{
	uint64_t xfer = make_one(t->pair.a, t->pair.ab, TCPX_OP_SEND,
				 t->out_mem, off, len_bytes, tag);

	CHECK_STATUS(tcpx_xfer_post(t->pair.a->s, xfer, NULL), TCPX_OK);
	return xfer;
}

static uint64_t post_recv(struct duo *t, uint64_t off, uint64_t len_bytes,
			  uint64_t tag)
{
	uint64_t xfer = make_one(t->pair.b, t->pair.ba, TCPX_OP_RECV, t->in_mem,
				 off, len_bytes, tag);

	CHECK_STATUS(tcpx_xfer_post(t->pair.b->s, xfer, NULL), TCPX_OK);
	return xfer;
}

/* Waits, checks the status on both sides and releases. */
static void finish(struct duo *t, uint64_t send, uint64_t recv, int status,
		   uint64_t moved)
{
	struct tcpx_xfer_info info;

	CHECK_STATUS(pair_wait(&t->pair, t->pair.b, recv, SOON), status);
	CHECK_STATUS(pair_wait(&t->pair, t->pair.a, send, SOON), status);
	CHECK_STATUS(tcpx_xfer_query(t->pair.b->s, recv, &info), TCPX_OK);
	if (!status)
		CHECK_EQ(info.moved_bytes, moved);
	else
		CHECK(info.cause[0]);
	CHECK_STATUS(tcpx_xfer_release(t->pair.a->s, send), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_release(t->pair.b->s, recv), TCPX_OK);
}

/* Either side first, lengths below and above what travels at once. */
static void sizes(enum pair_kind kind)
{
	static const uint64_t lens[] = {1,    8,     4000,    8192,
					8193, 70000, 1 << 20, 5000001};
	struct duo t;

	duo_open(&t, kind, 6 << 20);
	for (size_t i = 0; i < 2 * sizeof(lens) / sizeof(*lens); i++) {
		uint64_t len = lens[i / 2], send = 0, recv, off = 13 * i;

		if (i % 2) {
			send = post_send(&t, off, len, 7);
			for (int k = 0; k < 50; k++)
				pair_drive(&t.pair);
			test_sleep_ms(5);
		}
		recv = post_recv(&t, 2 * off, len, 7);
		if (!send)
			send = post_send(&t, off, len, 7);
		finish(&t, send, recv, TCPX_OK, len);
		region_want(&t.in, 2 * off, len, SEND_SEED, off);
		CHECK(region_check(&t.in, "in"));
		CHECK(region_check(&t.out, "out"));
	}
	duo_close(&t);
}

static void sizes_two(void)
{
	sizes(PAIR_TWO);
}

static void sizes_self(void)
{
	sizes(PAIR_SELF);
}

static void sizes_driven(void)
{
	sizes(PAIR_DRIVEN);
}

static void lists(void)
{
	struct tcpx_segment *segments;
	struct layout from, to;
	uint64_t send, recv, at = 0;
	struct duo t;

	duo_open(&t, PAIR_TWO, 8 << 20);
	layout_init(&from, check_seed(), 900, 5000, 8 << 20);
	layout_init(&to, check_seed() + 1, 700, 7000, 8 << 20);
	/* Both lists must add up: the last piece of the longer is cut. */
	while (from.total_bytes > to.total_bytes)
		from.total_bytes -= from.pieces[--from.n].len_bytes;
	segments = layout_segments(&from, t.out_mem, 0);
	send = xfer_make(t.pair.a, t.pair.ab, TCPX_OP_SEND, segments, from.n,
			 9);
	free(segments);
	segments = layout_segments(&to, t.in_mem, 0);
	recv = xfer_make(t.pair.b, t.pair.ba, TCPX_OP_RECV, segments, to.n, 9);
	free(segments);
	CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, send, NULL), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_post(t.pair.b->s, recv, NULL), TCPX_OK);
	finish(&t, send, recv, TCPX_OK, from.total_bytes);
	for (size_t i = 0, j = 0, used = 0; i < from.n; i++) {
		uint64_t len = from.pieces[i].len_bytes, done = 0;

		while (done < len) {
			uint64_t n = to.pieces[j].len_bytes - used;

			if (n > len - done)
				n = len - done;
			memcpy(t.in.want + to.pieces[j].a_off + used,
			       t.out.want + from.pieces[i].a_off + done, n);
			done += n;
			used += n;
			at += n;
			if (used == to.pieces[j].len_bytes) {
				j++;
				used = 0;
			}
		}
	}
	CHECK_EQ(at, from.total_bytes);
	CHECK(region_check(&t.in, "in"));
	layout_fini(&from);
	layout_fini(&to);
	duo_close(&t);
}

/* Tags may be taken in any order; within one the order is that of posting,
 * whatever the sizes. */
static void order_within_tag(void)
{
	enum { TAGS = 4, EACH = 40, ROOM = 40000 };
	uint64_t sends[TAGS * EACH], recvs[TAGS * EACH];
	uint64_t lens[TAGS * EACH], seed = check_seed();
	struct duo t;

	duo_open(&t, PAIR_TWO, TAGS * EACH * ROOM);
	for (size_t i = 0; i < TAGS * EACH; i++) {
		lens[i] = 1 + check_rand(&seed) % (i % 3 ? ROOM : 100);
		sends[i] = post_send(&t, i * ROOM, lens[i], i % TAGS);
	}
	for (size_t tag = TAGS; tag-- > 0;) {
		for (size_t k = 0; k < EACH; k++) {
			size_t i = k * TAGS + tag;

			recvs[i] = post_recv(&t, i * ROOM, ROOM, tag);
			region_want(&t.in, i * ROOM, lens[i], SEND_SEED,
				    i * ROOM);
		}
	}
	for (size_t i = 0; i < TAGS * EACH; i++)
		finish(&t, sends[i], recvs[i], TCPX_OK, lens[i]);
	CHECK(region_check(&t.in, "in"));
	duo_close(&t);
}

/* ---- many tags ---- */

#define SLOT 16u /* each transfer's own */
#define EACH_MAX 4u

/* A first side's transfers over many tags, then the other side's. */
struct cross {
	struct duo *t;
	bool sends_first;
	size_t n_tags, n; /* transfers of a side; the i-th has tag i % n_tags */
	uint64_t *first, *second;
	size_t *met; /* by the second: the first's that it must meet */
	struct queue {
		size_t begin, end;
		size_t posts[EACH_MAX]; /* in their order */
	} * queues; /* by tag: the first ones that are left */
};

static uint64_t tag_of(const struct cross *x, size_t i)
{
	uint64_t k = i % x->n_tags;

	return k % 3 == 0 ? k : k % 3 == 1 ? k << 44 : ~k;
}

static void cross_init(struct cross *x)
{
	x->queues = calloc(x->n_tags, sizeof(*x->queues));
	x->first = calloc(x->n, sizeof(*x->first));
	x->second = calloc(x->n, sizeof(*x->second));
	x->met = calloc(x->n, sizeof(*x->met));
	CHECK(x->queues && x->first && x->second && x->met);
}

static void cross_fini(struct cross *x)
{
	free(x->queues);
	free(x->first);
	free(x->second);
	free(x->met);
}

/* 0 to n - 1 in any order. */
static size_t *shuffled(size_t n, uint64_t *seed)
{
	size_t *order = calloc(n, sizeof(*order));

	CHECK(order);
	for (size_t i = 0; i < n; i++) {
		size_t k = check_rand(seed) % (i + 1);

		order[i] = order[k];
		order[k] = i;
	}
	return order;
}

static uint64_t post_nth(struct cross *x, bool send, size_t i)
{
	return (send ? post_send : post_recv)(x->t, i * SLOT, SLOT,
					      tag_of(x, i));
}

static void post_first(struct cross *x, uint64_t *seed)
{
	size_t *order = shuffled(x->n, seed);

	for (size_t k = 0; k < x->n; k++) {
		size_t i = order[k];
		struct queue *queue = &x->queues[i % x->n_tags];

		x->first[i] = post_nth(x, x->sends_first, i);
		queue->posts[queue->end++] = i;
	}
	free(order);
}

static void end_early(struct sess *sess, uint64_t xfer, bool cancel)
{
	if (cancel) {
		CHECK_STATUS(tcpx_xfer_cancel(sess->s, xfer), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_test(sess->s, xfer), TCPX_ECANCELED);
	}
	CHECK_STATUS(tcpx_xfer_release(sess->s, xfer), TCPX_OK);
}

/* A fifth of them, wherever they are in their queues. */
static void end_some(struct cross *x, uint64_t *seed)
{
	struct sess *sess = x->sends_first ? x->t->pair.a : x->t->pair.b;

	for (size_t q = 0; q < x->n_tags; q++) {
		struct queue *queue = &x->queues[q];
		size_t n_left = 0;

		for (size_t k = 0; k < queue->end; k++) {
			size_t i = queue->posts[k];

			if (check_rand(seed) % 5)
				queue->posts[n_left++] = i;
			else
				end_early(sess, x->first[i], i % 2);
		}
		queue->end = n_left;
	}
}

/* What a has sent before, a CANCEL too, has come to b. */
static void sync_both(struct duo *t)
{
	uint64_t tag = 1ull << 63, recv = post_recv(t, 0, 1, tag);

	finish(t, post_send(t, 0, 1, tag), recv, TCPX_OK, 1);
	region_want(&t->in, 0, 1, SEND_SEED, 0);
}

static void post_second(struct cross *x, uint64_t *seed)
{
	size_t *order = shuffled(x->n, seed);

	for (size_t k = 0; k < x->n; k++) {
		size_t i = order[k];
		struct queue *queue = &x->queues[i % x->n_tags];

		if (queue->begin == queue->end)
			continue;
		x->met[i] = queue->posts[queue->begin++];
		x->second[i] = post_nth(x, !x->sends_first, i);
	}
	free(order);
}

static void finish_all(struct cross *x)
{
	for (size_t i = 0; i < x->n; i++) {
		size_t from = x->sends_first ? x->met[i] : i;
		size_t to = x->sends_first ? i : x->met[i];

		if (!x->second[i])
			continue;
		finish(x->t, (x->sends_first ? x->first : x->second)[from],
		       (x->sends_first ? x->second : x->first)[to], TCPX_OK,
		       SLOT);
		region_want(&x->t->in, to * SLOT, SLOT, SEND_SEED, from * SLOT);
	}
	CHECK(region_check(&x->t->in, "in"));
}

/* Both sides in any order, and some end before they are matched: each must
 * meet the oldest of its tag that is left. */
static void cross_tags(struct duo *t, bool sends_first, size_t n_tags,
		       size_t n_each, uint64_t *seed)
{
	struct cross x = {.t = t,
			  .sends_first = sends_first,
			  .n_tags = n_tags,
			  .n = n_tags * n_each};

	cross_init(&x);
	post_first(&x, seed);
	end_some(&x, seed);
	sync_both(t);
	post_second(&x, seed);
	finish_all(&x);
	cross_fini(&x);
}

static void many_tags_recvs_first(void)
{
	uint64_t seed = check_seed();
	struct duo t;

	duo_open(&t, PAIR_TWO, 1 << 20);
	cross_tags(&t, false, 3000, EACH_MAX, &seed);
	cross_tags(&t, false, 2000, 1, &seed);
	duo_close(&t);
}

/* Not more than may wait, so that all of them are at the receiver. */
static void many_tags_sends_first(void)
{
	uint64_t seed = check_seed();
	struct duo t;

	duo_open(&t, PAIR_TWO, 1 << 20);
	for (int i = 0; i < 20; i++)
		cross_tags(&t, true, i % 2 ? 240 : 60, i % 2 ? 1 : EACH_MAX,
			   &seed);
	duo_close(&t);
}

/* Failed as truncated on both sides, and nothing written past the RECV. */
static void truncated(void)
{
	static const uint64_t lens[][2] = {
		{9, 8}, {8000, 1}, {2 << 20, 1 << 20}, {1 << 20, 3}};
	struct duo t;
	uint64_t send, recv;

	duo_open(&t, PAIR_TWO, 4 << 20);
	for (size_t i = 0; i < 8; i++) {
		uint64_t len = lens[i / 2][0], room = lens[i / 2][1];
		uint64_t off = 1 << 20;

		recv = i % 2 ? 0 : post_recv(&t, off, room, 1);
		send = post_send(&t, 0, len, 1);
		if (!recv) {
			test_sleep_ms(5);
			recv = post_recv(&t, off, room, 1);
		}
		finish(&t, send, recv, TCPX_ETRUNCATED, 0);
		/* Inside the RECV anything may be; outside, nothing. */
		memcpy(t.in.want + off, t.in.data + off, room);
		CHECK(region_check(&t.in, "in"));
	}
	/* The pair is as good as before. */
	recv = post_recv(&t, 0, 1 << 20, 1);
	send = post_send(&t, 5, 1 << 20, 1);
	finish(&t, send, recv, TCPX_OK, 1 << 20);
	region_want(&t.in, 0, 1 << 20, SEND_SEED, 5);
	CHECK(region_check(&t.in, "in"));
	duo_close(&t);
}

/* A SEND without its RECV waits and writes nothing anywhere; canceled, it
 * must not meet a later RECV. */
static void unmatched(void)
{
	struct duo t;
	uint64_t small, big, recv, send;

	duo_open(&t, PAIR_TWO, 4 << 20);
	small = post_send(&t, 0, 100, 5);
	big = post_send(&t, 0, 2 << 20, 5);
	CHECK_STATUS(tcpx_xfer_wait(t.pair.a->s, big, 100), TCPX_ETIMEDOUT);
	CHECK_STATUS(tcpx_xfer_test(t.pair.a->s, small), TCPX_INPROGRESS);
	CHECK_STATUS(tcpx_xfer_cancel(t.pair.a->s, small), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_test(t.pair.a->s, small), TCPX_ECANCELED);
	CHECK_STATUS(tcpx_xfer_release(t.pair.a->s, big), TCPX_OK);
	send = post_send(&t, 1000, 3000, 5);
	test_sleep_ms(50);
	CHECK(region_check(&t.in, "in"));
	recv = post_recv(&t, 0, 5000, 5);
	finish(&t, send, recv, TCPX_OK, 3000);
	region_want(&t.in, 0, 3000, SEND_SEED, 1000);
	CHECK(region_check(&t.in, "in"));
	CHECK_STATUS(tcpx_xfer_release(t.pair.a->s, small), TCPX_OK);
	duo_close(&t);
}

/* A canceled RECV is out of the queue: the SEND meets the next one. */
static void canceled_recv(void)
{
	struct duo t;
	uint64_t first, second, send;

	duo_open(&t, PAIR_TWO, 1 << 20);
	first = post_recv(&t, 0, 1000, 5);
	second = post_recv(&t, 5000, 1000, 5);
	CHECK_STATUS(tcpx_xfer_cancel(t.pair.b->s, first), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_test(t.pair.b->s, first), TCPX_ECANCELED);
	send = post_send(&t, 0, 1000, 5);
	finish(&t, send, second, TCPX_OK, 1000);
	region_want(&t.in, 5000, 1000, SEND_SEED, 0);
	CHECK(region_check(&t.in, "in"));
	CHECK_STATUS(tcpx_xfer_release(t.pair.b->s, first), TCPX_OK);
	duo_close(&t);
}

/* ---- as many as may wait ---- */

#define WAITING_MAX 256u
#define LONG_LEN 20000u /* its bytes do not travel before they may */

static uint64_t post_send_for(struct duo *t, uint64_t len_bytes, uint64_t tag,
			      uint32_t deadline_ms)
{
	struct tcpx_post_params post = {.size_bytes = sizeof(post),
					.deadline_ms = deadline_ms};
	uint64_t xfer = make_one(t->pair.a, t->pair.ab, TCPX_OP_SEND,
				 t->out_mem, 0, len_bytes, tag);

	CHECK_STATUS(tcpx_xfer_post(t->pair.a->s, xfer, &post), TCPX_OK);
	return xfer;
}

/* One more, of another tag, has its RECV and waits all the same. */
static void post_one_more(struct duo *t, uint64_t *send, uint64_t *recv)
{
	*recv = post_recv(t, 0, LONG_LEN, 2);
	*send = post_send(t, 0, SLOT, 2);
	CHECK_STATUS(tcpx_xfer_wait(t->pair.b->s, *recv, 60), TCPX_ETIMEDOUT);
	CHECK_STATUS(tcpx_xfer_test(t->pair.a->s, *send), TCPX_INPROGRESS);
}

/* It goes on when one of those that wait is matched, released or too late. */
static void full_of_waiting(void)
{
	uint64_t sends[WAITING_MAX], send, recv, first;
	uint32_t late_ms = (uint32_t)scale_ms(1200);
	struct duo t;

	duo_open(&t, PAIR_TWO, 1 << 20);
	for (size_t i = 0; i < WAITING_MAX; i++)
		sends[i] = post_send(&t, 0, i % 2 ? LONG_LEN : SLOT, 1);
	post_one_more(&t, &send, &recv);
	first = post_recv(&t, 0, LONG_LEN, 1);
	finish(&t, sends[0], first, TCPX_OK, SLOT);
	finish(&t, send, recv, TCPX_OK, SLOT);

	sends[0] = post_send_for(&t, LONG_LEN, 1, 0);
	post_one_more(&t, &send, &recv);
	CHECK_STATUS(tcpx_xfer_release(t.pair.a->s, sends[1]), TCPX_OK);
	finish(&t, send, recv, TCPX_OK, SLOT);

	sends[1] = post_send_for(&t, LONG_LEN, 1, late_ms);
	post_one_more(&t, &send, &recv);
	finish(&t, send, recv, TCPX_OK, SLOT);
	CHECK_STATUS(tcpx_xfer_test(t.pair.a->s, sends[1]), TCPX_ESTALLED);

	/* The others are there, in their order. */
	for (size_t i = 2; i <= WAITING_MAX; i++) {
		uint64_t len = i % 2 || i == WAITING_MAX ? LONG_LEN : SLOT;

		first = post_recv(&t, 0, LONG_LEN, 1);
		finish(&t, sends[i % WAITING_MAX], first, TCPX_OK, len);
	}
	region_want(&t.in, 0, LONG_LEN, SEND_SEED, 0);
	CHECK(region_check(&t.in, "in"));
	duo_close(&t);
}

static void reposted(void)
{
	struct duo t;
	uint64_t send, recv;

	duo_open(&t, PAIR_TWO, 1 << 20);
	send = make_one(t.pair.a, t.pair.ab, TCPX_OP_SEND, t.out_mem, 0, 300000,
			1);
	recv = make_one(t.pair.b, t.pair.ba, TCPX_OP_RECV, t.in_mem, 0, 300000,
			1);
	for (uint64_t i = 0; i < 20; i++) {
		pattern_fill(t.out.data, 300000, i, 0);
		CHECK_STATUS(tcpx_xfer_post(t.pair.b->s, recv, NULL), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_post(t.pair.b->s, recv, NULL),
			     TCPX_EBUSY);
		CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, send, NULL), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_wait(t.pair.b->s, recv, SOON), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_wait(t.pair.a->s, send, SOON), TCPX_OK);
		region_want(&t.in, 0, 300000, i, 0);
		CHECK(region_check(&t.in, "in"));
	}
	duo_close(&t);
}

/* A notification with a SEND comes with the match, not before. */
static void with_notification(void)
{
	struct tcpx_post_params post = {.size_bytes = sizeof(post),
					.has_notify = true,
					.notify = "done",
					.notify_len_bytes = 4};
	struct tcpx_notification *note;
	uint64_t send, recv;
	struct duo t;

	duo_open(&t, PAIR_TWO, 1 << 20);
	for (int i = 0; i < 2; i++) {
		uint64_t len = i ? 1 << 20 : 64;

		send = make_one(t.pair.a, t.pair.ab, TCPX_OP_SEND, t.out_mem, 0,
				len, 1);
		CHECK_STATUS(tcpx_xfer_post(t.pair.a->s, send, &post), TCPX_OK);
		CHECK_STATUS(tcpx_notify_wait(t.pair.b->s, &note, 50),
			     TCPX_ETIMEDOUT);
		recv = post_recv(&t, 0, len, 1);
		CHECK_STATUS(tcpx_notify_wait(t.pair.b->s, &note, SOON),
			     TCPX_OK);
		CHECK_MEM(note->data, "done", 4);
		region_want(&t.in, 0, len, SEND_SEED, 0);
		CHECK(region_check(&t.in, "in"));
		tcpx_notify_free(note);
		finish(&t, send, recv, TCPX_OK, len);
	}
	CHECK_STATUS(tcpx_notify_poll(t.pair.b->s, &note), TCPX_EAGAIN);
	duo_close(&t);
}

static const struct check_case cases[] = {
	{"sizes_two", sizes_two, 0},
	{"sizes_self", sizes_self, 0},
	{"sizes_driven", sizes_driven, 0},
	{"lists", lists, 0},
	{"order_within_tag", order_within_tag, 60},
	{"many_tags_recvs_first", many_tags_recvs_first, 60},
	{"many_tags_sends_first", many_tags_sends_first, 60},
	{"truncated", truncated, 0},
	{"unmatched", unmatched, 0},
	{"canceled_recv", canceled_recv, 0},
	{"full_of_waiting", full_of_waiting, 60},
	{"reposted", reposted, 0},
	{"with_notification", with_notification, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
