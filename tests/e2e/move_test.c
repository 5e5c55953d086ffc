/* SPDX-License-Identifier: Apache-2.0 */
/* Two processes: lists of all shapes, both ways, checked on both sides. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "check.h"
#include "e2e/duo.h"
#include "support/scale.h"

#define RW (TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE)
#define SOON scale_ms(20000)
#define CAP (48u << 20)

static void open_duo(struct duo *t)
{
	struct duo_params params = {.cap_bytes = CAP, .timeout_ms = SOON};

	duo_open(t, &params);
}

/* Ends it; nothing may have been worth a warning on either side. */
static void close_duo(struct duo *t)
{
	CHECK_EQ(sess_warnings(&t->sess), 0);
	CHECK_STR(remote_must(&t->remote, "warnings"), "0");
	duo_close(t);
}

static const struct {
	size_t n;
	uint64_t max_bytes;
} shapes[] = {
	{1, 8},	      {1, 40 << 20}, {3, 100000},
	{500, 90000}, {16384, 256},  {11000, 4096},
};

static void lists(enum tcpx_op op, bool back)
{
	uint64_t seed = check_seed();
	struct duo t;

	open_duo(&t);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
		uint64_t list = check_rand(&seed);

		fprintf(stderr, "%zu x %llu, list %llu\n", shapes[i].n,
			(unsigned long long)shapes[i].max_bytes,
			(unsigned long long)list);
		if (back)
			duo_list_back(&t, op, list, shapes[i].n,
				      shapes[i].max_bytes);
		else
			duo_list(&t, op, list, shapes[i].n,
				 shapes[i].max_bytes);
	}
	close_duo(&t);
}

static void write_lists(void)
{
	lists(TCPX_OP_WRITE, false);
}

static void read_lists(void)
{
	lists(TCPX_OP_READ, false);
}

static void write_lists_back(void)
{
	lists(TCPX_OP_WRITE, true);
}

static void read_lists_back(void)
{
	lists(TCPX_OP_READ, true);
}

/* SEND by us, RECV by them; then the other way round. */
static void send_lists(void)
{
	uint64_t seed = check_seed(), list, xfer;
	struct layout layout;
	struct duo t;

	open_duo(&t);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
		bool back = i % 2;

		list = check_rand(&seed);
		duo_reset(&t);
		layout_init(&layout, list, shapes[i].n, shapes[i].max_bytes,
			    CAP);
		xfer = xfer_layout(&t.sess, t.remote.peer,
				   back ? TCPX_OP_RECV : TCPX_OP_SEND, &layout,
				   t.mem, 0);
		CHECK_STATUS(tcpx_xfer_post(t.sess.s, xfer, NULL), TCPX_OK);
		remote_must(&t.remote, "run %s %llu %u 0 %llu %zu %llu %d 0",
			    back ? "send" : "recv",
			    (unsigned long long)t.remote.back, t.index,
			    (unsigned long long)list, shapes[i].n,
			    (unsigned long long)shapes[i].max_bytes, SOON);
		CHECK_STATUS(tcpx_xfer_wait(t.sess.s, xfer, SOON), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_release(t.sess.s, xfer), TCPX_OK);
		/* Both used side a of the same list: offsets are equal. */
		for (size_t k = 0; k < layout.n; k++)
			layout.pieces[k].b_off = layout.pieces[k].a_off;
		if (back)
			layout_want(&layout, &t.here, SEED_THERE, false);
		else
			remote_must(&t.remote, "want %u %llu %zu %llu %u %d s",
				    t.index, (unsigned long long)list,
				    shapes[i].n,
				    (unsigned long long)shapes[i].max_bytes,
				    CAP, SEED_HERE);
		duo_check(&t);
		layout_fini(&layout);
	}
	close_duo(&t);
}

static void loop_back(struct duo *t, const char *op, unsigned int index,
		      uint64_t handle)
{
	remote_must(&t->remote, "loop %s %llu %u %llu 99 2000 5000 %d", op,
		    (unsigned long long)t->remote.back, index,
		    (unsigned long long)handle, SOON);
}

/* All at once, each on its own memory: both WRITE and READ and SEND. */
static void everything_both_ways(void)
{
	struct duo t;
	unsigned long long rounds;
	char status[32];
	size_t n = scale_count(60);
	uint64_t seed = check_seed(), out, xfer;
	struct region mine, read_by_them;
	struct layout layout;
	unsigned int index, into;

	open_duo(&t);
	region_init(&mine, 4 << 20, 1);
	out = sess_register(&t.sess, &mine, RW);
	t.handle = remote_mem(&t.remote, &t.sess, 4 << 20, 2, RW, &index);
	region_init(&read_by_them, CAP, 3);
	remote_mem(&t.remote, &t.sess, CAP, 4, RW, &into);
	loop_back(&t, "write", t.index, t.ours_there);
	loop_back(&t, "read", into,
		  remote_load(&t.remote, &t.sess,
			      sess_register(&t.sess, &read_by_them, RW)));
	for (size_t i = 0; i < n; i++) {
		uint64_t list = check_rand(&seed);
		size_t pieces = 1 + list % 900;

		pattern_fill(mine.data, mine.len_bytes, i, 0);
		remote_must(&t.remote, "fill %u 2", index);
		layout_init(&layout, list, pieces, 4000, 4 << 20);
		xfer = xfer_layout(&t.sess, t.remote.peer, TCPX_OP_WRITE,
				   &layout, out, t.handle);
		CHECK_STATUS(tcpx_xfer_post(t.sess.s, xfer, NULL), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_wait(t.sess.s, xfer, SOON), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_release(t.sess.s, xfer), TCPX_OK);
		remote_must(&t.remote, "want %u %llu %zu 4000 %u %zu b", index,
			    (unsigned long long)list, pieces, 4u << 20, i);
		remote_must(&t.remote, "check %u", index);
		layout_fini(&layout);
	}
	CHECK_EQ(sscanf(remote_must(&t.remote, "looped"), "%llu %31s", &rounds,
			status),
		 2);
	fprintf(stderr, "%llu rounds beside\n", rounds);
	CHECK(rounds > 0);
	CHECK_STR(status, "TCPX_INPROGRESS");
	remote_kill(&t.remote);
	sess_close(&t.sess);
	CHECK(region_check(&read_by_them, "read by them"));
	region_fini(&read_by_them);
	region_fini(&mine);
	region_fini(&t.here);
}

static void whole_hashed(void)
{
	static const enum tcpx_op ops[] = {TCPX_OP_WRITE, TCPX_OP_READ};
	struct duo t;
	uint64_t xfer;

	open_duo(&t);
	for (int i = 0; i < 2; i++) {
		duo_reset(&t);
		xfer = xfer_one(&t.sess, t.remote.peer, ops[i], t.mem, 0,
				t.handle, 0, CAP);
		CHECK_STATUS(tcpx_xfer_post(t.sess.s, xfer, NULL), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_wait(t.sess.s, xfer, SOON), TCPX_OK);
		CHECK_STATUS(tcpx_xfer_release(t.sess.s, xfer), TCPX_OK);
		duo_same(&t);
	}
	close_duo(&t);
}

static void notifications(void)
{
	uint8_t *big = malloc(TCPX_NOTIFY_MAX);
	char want[64];
	struct duo t;

	CHECK(big);
	open_duo(&t);
	for (size_t len = 0; len <= TCPX_NOTIFY_MAX; len = len * 3 + 1) {
		pattern_fill(big, len, len, 0);
		CHECK_STATUS(tcpx_notify_send(t.sess.s, t.remote.peer, big,
					      len),
			     TCPX_OK);
		snprintf(want, sizeof(want), "%zu %016llx ", len,
			 (unsigned long long)XXH3_64bits(big, len));
		CHECK(!strncmp(remote_must(&t.remote, "note %d", SOON), want,
			       strlen(want)));
	}
	close_duo(&t);
	free(big);
}

/* By address, with a secret from the environment; and a wrong one. */
static void by_address(void)
{
	const char *good[] = {"TCPX_SECRET=open sesame", NULL};
	const char *bad[] = {"TCPX_SECRET=open barley", NULL};
	struct remote server, client, stranger;
	const char *answer;

	remote_start(&server, "server", NULL, good);
	remote_start(&client, "client", NULL, good);
	remote_start(&stranger, "stranger", NULL, bad);
	answer = remote_must(&client, "connect_to 127.0.0.1:%u", server.port);
	client.peer = strtoull(answer, NULL, 10);
	remote_must(&client, "wait %llu %d", (unsigned long long)client.peer,
		    SOON);
	CHECK(strstr(remote_must(&server, "peer %d", SOON), "client"));
	answer = remote_must(&stranger, "connect_to 127.0.0.1:%u", server.port);
	CHECK(!proc_ask(&stranger.proc, "wait %llu %d",
			strtoull(answer, NULL, 10), SOON));
	CHECK(strstr(stranger.proc.line, "TCPX_EAUTH"));
	remote_end(&stranger);
	remote_end(&client);
	remote_end(&server);
}

static const struct check_case cases[] = {
	{"write_lists", write_lists, 60},
	{"read_lists", read_lists, 60},
	{"write_lists_back", write_lists_back, 60},
	{"read_lists_back", read_lists_back, 60},
	{"send_lists", send_lists, 60},
	{"everything_both_ways", everything_both_ways, 60},
	{"whole_hashed", whole_hashed, 0},
	{"notifications", notifications, 0},
	{"by_address", by_address, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
