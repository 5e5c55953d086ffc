/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Channels on which nothing comes for longer than a chunk may take: they have
 * their receives posted all the while, and are none the worse.
 */

#include "base/clock.h"
#include "check.h"
#include "netplugin/over_double.h"
#include "transport/netplugin/netplugin.h"
#include "transport/transport.h"

#define STALL_MS 2000
#define SEED 2
#define LIMIT_NS (30 * NS_PER_S)
#define CHUNK 20000u
#define WINDOW 16u

/* ---- a plugin with which nothing is ever done ----------------------------- */

static int done_at_test;

static int fake_irecv(void *comm, int n, void **data, int *sizes, int *tags,
		      void **mhandles, void **request)
{
	*request = comm;
	return 0;
}

static int fake_test(void *request, int *done, int *size)
{
	*done = done_at_test;
	*size = 1;
	return 0;
}

static const struct plugin fake = {
	.name = "fake",
	.calls = {.irecv = fake_irecv, .test = fake_test},
};

static uint8_t slots[WINDOW * 64];
static struct transport_fragment fragments[COMM_RING];

static struct comm receiver(void)
{
	return (struct comm){
		.plugin = &fake,
		.handle = slots,
		.mem = slots,
		.window = WINDOW,
		.chunk_bytes = 64,
		.stall_ns = 3600 * NS_PER_S,
		.fragments = fragments,
	};
}

/* As if so long ago. */
static void long_ago(struct comm *comm)
{
	comm->moved_ns -= 2 * comm->stall_ns;
}

/* What it hears of is waited for from then on, not from the last chunk. */
static void waits_from_the_news(void)
{
	struct comm comm = receiver();
	struct channel_event event;

	CHECK_STATUS(comm_recv(&comm, 0), TCPX_OK);
	CHECK_STATUS(comm_recv(&comm, 1), TCPX_OK);
	for (uint64_t sent = 0; sent < 2; sent++) {
		done_at_test = 0;
		long_ago(&comm);
		comm_expect(&comm, sent);
		CHECK_EQ(comm_harvest(&comm, &event, 1), 0);
		CHECK_STATUS(comm.status, TCPX_OK);
		comm_expect(&comm, sent + 1);
		CHECK_EQ(comm_harvest(&comm, &event, 1), 0);
		CHECK_STATUS(comm.status, TCPX_OK);
		done_at_test = 1;
		CHECK_EQ(comm_harvest(&comm, &event, 1), 1);
		CHECK_STATUS(comm_consume(&comm, sent), TCPX_OK);
	}
}

/* The same news again is none: what is lost is found. */
static void lost_is_found(void)
{
	struct comm comm = receiver();
	struct channel_event event;

	CHECK_STATUS(comm_recv(&comm, 0), TCPX_OK);
	comm_expect(&comm, 1);
	CHECK_EQ(comm_harvest(&comm, &event, 1), 0);
	long_ago(&comm);
	comm_expect(&comm, 2);
	CHECK_EQ(comm_harvest(&comm, &event, 1), 0);
	CHECK_STATUS(comm.status, TCPX_ECHANNEL);
	CHECK(strstr(comm.cause, "no progress of chunk 0"));
}

/* ---- over the double ------------------------------------------------------ */

struct run {
	const struct transport_ops *ops;
	struct transport *t;
	struct listener *listener;
	struct channel *tx, *rx;
	uint64_t sent, arrived;
	uint64_t limit_ns;
};

/* A chunk takes up to 1.5 s, by the seed, and so much less than it may. */
static void set_up(int seed, bool isolated)
{
	char text[16];

	over_double(isolated);
	snprintf(text, sizeof(text), "%d", seed);
	setenv("DOUBLE_SEED", text, 1);
	setenv("DOUBLE_CLOCK", "random", 1);
	setenv("DOUBLE_DELAY_US", "1500000", 1);
	snprintf(text, sizeof(text), "%d", STALL_MS);
	setenv("TCPX_NETPLUGIN_STALL_MS", text, 1);
	/* What is told must not wait for the time that connecting may take. */
	setenv("TCPX_NETPLUGIN_CONNECT_MS", "3600000", 1);
}

static void run_open(struct run *run)
{
	struct transport_params params = {.chunk_bytes = 64 << 10};
	int connecting = TCPX_INPROGRESS, accepting = TCPX_INPROGRESS;
	uint8_t addr[TRANSPORT_ADDR_MAX];
	size_t addr_bytes = 0;

	*run = (struct run){.ops = transport_find("netplugin"),
			    .limit_ns = clock_now_ns() + LIMIT_NS};
	CHECK_STATUS(run->ops->open(&params, &run->t), TCPX_OK);
	CHECK_STATUS(run->ops->listen(run->t, 0, &run->listener, addr,
				      &addr_bytes),
		     TCPX_OK);
	while (connecting || accepting) {
		CHECK(clock_now_ns() < run->limit_ns);
		if (connecting)
			connecting = run->ops->connect(run->t, 0, addr,
						       addr_bytes, &run->tx);
		if (accepting)
			accepting = run->ops->accept(run->listener, &run->rx);
		CHECK(connecting >= 0 && accepting >= 0);
		usleep(100);
	}
}

static void run_close(struct run *run)
{
	run->ops->channel_close(run->tx);
	run->ops->channel_close(run->rx);
	run->ops->listener_close(run->listener);
	run->ops->close(run->t);
}

static void look_at(struct run *run, struct channel *channel)
{
	struct channel_event event;

	while (run->ops->poll(channel, &event, 1)) {
		if (event.kind == CHANNEL_FAILED)
			check_fail(CHECK_AT, "chunk %llu: %s",
				   (unsigned long long)run->arrived,
				   event.cause);
		if (event.kind == CHANNEL_SENT)
			run->sent++;
		if (event.kind != CHANNEL_ARRIVED)
			continue;
		CHECK_STATUS(run->ops->consume(run->rx, event.cookie), TCPX_OK);
		run->arrived++;
	}
}

static void look_at_both(struct run *run)
{
	look_at(run, run->tx);
	look_at(run, run->rx);
	usleep(1000);
	CHECK(clock_now_ns() < run->limit_ns);
}

/* Nothing comes, for longer than a chunk may take. */
static void be_idle(struct run *run)
{
	uint64_t until_ns = clock_now_ns() + (STALL_MS + 200) * NS_PER_MS;

	while (clock_now_ns() < until_ns)
		look_at_both(run);
}

static void send_chunk(struct run *run, uint64_t k)
{
	struct chunk_desc desc = {.seq = k, .len_bytes = CHUNK};
	void *slot;

	CHECK_STATUS(run->ops->slot_get(run->tx, NULL, &slot), TCPX_OK);
	memset(slot, (int)k, CHUNK);
	struct span span = {slot, CHUNK};
	CHECK_STATUS(run->ops->post_send(run->tx, &desc, &span, 1, k), TCPX_OK);
}

/* With this seed the sender's chunk is done at once, the receiver's after more
 * than a second: the news, which is told twice a second, is there before. */
static void slow_after_idle_helper(void)
{
	static struct run run;

	set_up(SEED, true);
	run_open(&run);
	for (uint64_t k = 0; k < WINDOW; k++)
		CHECK_STATUS(run.ops->post_recv(run.rx, k), TCPX_OK);
	be_idle(&run);
	send_chunk(&run, 0);
	while (!run.sent || !run.arrived)
		look_at_both(&run);
	run_close(&run);
}

/* Here it is known when the news is there: before the chunk. */
static void slow_after_idle_inside(void)
{
	static struct run run;

	set_up(1, false);
	run_open(&run);
	for (uint64_t k = 0; k < WINDOW; k++)
		CHECK_STATUS(run.ops->post_recv(run.rx, k), TCPX_OK);
	be_idle(&run);
	send_chunk(&run, 0);
	while (!load_acquire(&run.rx->peer_sent)) {
		look_at(&run, run.tx);
		usleep(1000);
		CHECK(clock_now_ns() < run.limit_ns);
	}
	while (!run.arrived)
		look_at_both(&run);
	run_close(&run);
}

static const struct check_case cases[] = {
	{"waits_from_the_news", waits_from_the_news, 0},
	{"lost_is_found", lost_is_found, 0},
	{"slow_after_idle_inside", slow_after_idle_inside, 60},
	{"slow_after_idle_helper", slow_after_idle_helper, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
