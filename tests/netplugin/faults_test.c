/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the transport makes of a plugin that fails: a status in time, no wrong
 * byte, no hang. Each fault in this process and, unless it would end that, in
 * a helper's; some in one that lends its pages, which are a pretend GPU's.
 */

#include <dlfcn.h>
#include <poll.h>

#include "base/clock.h"
#include "base/log.h"
#include "check.h"
#include "gpu/gpu.h"
#include "netplugin/over_double.h"
#include "transport/netplugin/abi.h"
#include "transport/transport.h"

#define CHUNKS 60u
#define CHUNK 20000u
#define WINDOW 16u
#define LIMIT_NS (12 * NS_PER_S)

struct run {
	const struct transport_ops *ops;
	struct gpu_set *gpus;
	struct gpu *gpu; /* whose memory chunks arrive in */
	struct transport *t;
	struct listener *listener;
	struct channel *tx, *rx;
	uint64_t limit_ns;
	uint64_t sent, posted, granted, arrived;
	uint64_t good; /* arrived, sure, and right */
	uint64_t n_short; /* of those */
	uint8_t copies[WINDOW][CHUNK]; /* of lent ones, until they are sure */
	uint32_t lens[WINDOW];
	int tx_failed, rx_failed;
	char cause[256];
};

static const struct log *the_log;
static const char *gpu_driver; /* NULL: no GPU */

static uint8_t byte_at(uint64_t chunk, uint32_t off)
{
	return (uint8_t)((chunk * 131 + off) * 2654435761u >> 24);
}

static void set_up(const char *faults, bool isolated)
{
	over_double(isolated);
	setenv("TCPX_NETPLUGIN_STALL_MS", "700", 1);
	setenv("TCPX_NETPLUGIN_CONNECT_MS", "2500", 1);
	/* What the fault makes of the rules is not the transport's doing. */
	setenv("DOUBLE_MODE", "faithful", 1);
	setenv("DOUBLE_POISON", "1", 1);
	setenv("DOUBLE_FAULTS", faults, 1);
}

/* The same, in a helper whose plugin has its pages on a pretend GPU. */
static void set_up_lent(const char *faults)
{
	const char *helper = getenv("TEST_HELPER");

	if (!helper)
		SKIP("TEST_HELPER is not set");
	set_up(faults, true);
	setenv("TCPX_NETPLUGIN_HELPER", helper, 1);
	setenv("DOUBLE_MEMORY", ":double_on_pretend_gpu", 1);
	setenv("TCPX_GPU_HOST_DEVICES", "1", 1);
	gpu_driver = "host";
}

static int run_connect(struct run *run)
{
	int connecting = TCPX_INPROGRESS, accepting = TCPX_INPROGRESS;
	uint8_t addr[TRANSPORT_ADDR_MAX];
	size_t addr_bytes = 0;
	int err =
		run->ops->listen(run->t, 0, &run->listener, addr, &addr_bytes);

	while (!err && (connecting || accepting)) {
		CHECK(clock_now_ns() < run->limit_ns);
		if (connecting)
			connecting = run->ops->connect(run->t, 0, addr,
						       addr_bytes, &run->tx);
		if (accepting)
			accepting = run->ops->accept(run->listener, &run->rx);
		err = connecting < 0 ? connecting :
		      accepting < 0  ? accepting :
				       0;
		usleep(100);
	}
	if (!err)
		run->gpu = run->ops->channel_gpu(run->rx);
	return err;
}

/* Returns the status of what failed while opening and connecting, or 0. */
static int run_open(struct run *run)
{
	const struct gpu_params gpu_params = {.slot_bytes = 4096, .n_slots = 2};
	struct transport_params params = {.log = the_log,
					  .chunk_bytes = 64 << 10};

	memset(run, 0, sizeof(*run));
	run->ops = transport_find("netplugin");
	run->limit_ns = clock_now_ns() + LIMIT_NS;
	if (gpu_driver)
		CHECK_STATUS(gpu_set_create(gpu_driver, &gpu_params,
					    &run->gpus),
			     TCPX_OK);
	params.gpus = run->gpus;
	int err = run->ops->open(&params, &run->t);
	return err ? err : run_connect(run);
}
static void run_close(struct run *run)
{
	if (run->tx)
		run->ops->channel_close(run->tx);
	if (run->rx)
		run->ops->channel_close(run->rx);
	if (run->listener)
		run->ops->listener_close(run->listener);
	if (run->t)
		run->ops->close(run->t);
	gpu_set_destroy(run->gpus);
	CHECK(clock_now_ns() < run->limit_ns + LIMIT_NS);
}

static void send_one(struct run *run)
{
	struct chunk_desc desc = {.seq = run->posted, .len_bytes = CHUNK};
	uint8_t *slot;

	if (run->posted == run->granted ||
	    run->ops->slot_get(run->tx, NULL, (void **)&slot))
		return;
	for (uint32_t i = 0; i < CHUNK; i++)
		slot[i] = byte_at(run->posted, i);
	struct span span = {slot, CHUNK};
	if (run->ops->post_send(run->tx, &desc, &span, 1, run->posted))
		run->ops->slot_put(run->tx, slot);
	else
		run->posted++;
}

static void copy_chunk(struct run *run, const struct channel_event *event)
{
	uint32_t at = run->arrived % WINDOW, sum = 0;

	for (uint32_t i = 0; i < event->n_fragments; i++) {
		const struct transport_fragment *f = &event->fragments[i];
		uint8_t *to = run->copies[at] + f->dst_off;
		const uint8_t *from = event->base + f->src_off;

		CHECK(f->dst_off + f->len_bytes <= CHUNK);
		if (run->gpu)
			CHECK_STATUS(gpu_copy_wait(run->gpu, to, from,
						   f->len_bytes),
				     TCPX_OK);
		else
			memcpy(to, from, f->len_bytes);
		sum += f->len_bytes;
	}
	/* A list may say less than was sent; the engine, who knows how much
	 * that was, sees it. */
	CHECK(sum <= CHUNK);
	run->lens[at] = sum;
}

static bool is_right(const struct run *run, uint64_t chunk)
{
	uint32_t at = chunk % WINDOW, wrong = 0;

	for (uint32_t i = 0; i < run->lens[at]; i++)
		wrong += run->copies[at][i] != byte_at(chunk, i);
	return !wrong;
}

static void check_chunk(struct run *run, uint64_t cookie)
{
	CHECK_EQ(cookie, run->good);
	/* One that is short may have its hole anywhere. */
	CHECK(run->lens[run->good % WINDOW] < CHUNK ||
	      is_right(run, run->good));
	run->n_short += run->lens[run->good % WINDOW] < CHUNK;
	run->good++;
}

static void on_arrived(struct run *run, const struct channel_event *event)
{
	CHECK_EQ(event->lent, run->gpu != NULL);
	copy_chunk(run, event);
	CHECK_STATUS(run->ops->consume(run->rx, event->cookie), TCPX_OK);
	run->arrived++;
	if (!event->lent)
		check_chunk(run, event->cookie);
}

static void on_event(struct run *run, const struct channel_event *event,
		     int *failed)
{
	if (event->kind == CHANNEL_SENT)
		run->sent++;
	else if (event->kind == CHANNEL_ARRIVED)
		on_arrived(run, event);
	else if (event->kind == CHANNEL_CONSUMED)
		check_chunk(run, event->cookie);
	else
		*failed = event->status;
	if (event->kind == CHANNEL_FAILED && !run->cause[0])
		snprintf(run->cause, sizeof(run->cause), "%s", event->cause);
}

/* Posts what it can, and takes what came. */
static void run_visit(struct run *run)
{
	struct channel_event event;

	if (!run->rx_failed && run->granted < CHUNKS &&
	    !run->ops->post_recv(run->rx, run->granted))
		run->granted++;
	if (!run->tx_failed && run->posted < CHUNKS)
		send_one(run);
	while (!run->tx_failed && run->ops->poll(run->tx, &event, 1))
		on_event(run, &event, &run->tx_failed);
	while (!run->rx_failed && run->ops->poll(run->rx, &event, 1))
		on_event(run, &event, &run->rx_failed);
	CHECK(clock_now_ns() < run->limit_ns);
}

/* Until all is there, or an end has failed. */
static void run_traffic(struct run *run)
{
	while (run->good < CHUNKS && !run->tx_failed && !run->rx_failed)
		run_visit(run);
}

enum outcome {
	REFUSED, /* not even connected */
	BROKEN, /* an end fails while chunks travel */
	WHOLE, /* nothing is to be seen of it */
	SHORT, /* an end fails, or a chunk has less than was sent */
};

static void go(enum outcome want)
{
	static struct run run;
	int err = run_open(&run);

	if (want == REFUSED) {
		CHECK(err < 0);
		CHECK(!run.tx || !run.rx);
		run_close(&run);
		return;
	}
	CHECK_STATUS(err, TCPX_OK);
	run_traffic(&run);
	if (want == BROKEN) {
		CHECK(run.tx_failed < 0 || run.rx_failed < 0);
		CHECK(run.cause[0]);
	} else if (want == SHORT) {
		CHECK(run.tx_failed < 0 || run.rx_failed < 0 ||
		      run.n_short == 1);
	} else {
		CHECK_EQ(run.good, CHUNKS);
		CHECK_EQ(run.n_short, 0);
	}
	run_close(&run);
}

static void try(const char *faults, bool isolated, enum outcome want)
{
	set_up(faults, isolated);
	go(want);
}

#define BOTH(name, faults, want)                                               \
	static void name##_inside(void)                                        \
	{                                                                      \
		try(faults, false, want);                                      \
	}                                                                      \
	static void name##_helper(void)                                        \
	{                                                                      \
		try(faults, true, want);                                       \
	}
#define HELPER(name, faults, want)                                             \
	static void name##_helper(void)                                        \
	{                                                                      \
		try(faults, true, want);                                       \
	}
#define LENT(name, faults, want)                                               \
	static void name##_lent(void)                                          \
	{                                                                      \
		set_up_lent(faults);                                           \
		go(want);                                                      \
	}

BOTH(no_fault, "", WHOLE)
BOTH(init_fails, "error init 1; error devices 1+", REFUSED)
BOTH(devices_fail, "error devices 1", REFUSED)
BOTH(properties_fail, "error get_properties 1", REFUSED)
BOTH(listen_fails, "error listen 1", REFUSED)
BOTH(connect_fails, "error connect 1", REFUSED)
BOTH(accept_fails, "error accept 1", REFUSED)
BOTH(reg_mr_fails, "error reg_mr 1", REFUSED)
BOTH(isend_fails, "error isend 5", BROKEN)
BOTH(irecv_fails, "error irecv 20", BROKEN)
BOTH(test_fails, "error test 30+", BROKEN)
BOTH(consumed_fails, "error irecv_consumed 3", BROKEN)
BOTH(dereg_fails, "error dereg_mr 1+", WHOLE)
BOTH(second_reg_mr_fails, "error reg_mr 2", REFUSED)
BOTH(close_listen_fails, "error close_listen 1+", WHOLE)
BOTH(close_fails, "error close_send 1; error close_recv 1", WHOLE)
BOTH(data_dies, "data_dies 200000", BROKEN)
BOTH(control_closes, "ctrl_closes 7", BROKEN)
BOTH(accept_never, "accept_never", REFUSED)
BOTH(accept_slow, "accept_slow 300", WHOLE)
BOTH(connect_never, "connect_never", REFUSED)
BOTH(pool_empty, "pool_empty 4", BROKEN) /* a chunk needs 5 or more */
BOTH(oversize, "oversize 4 100000", BROKEN)
BOTH(junk, "junk 4", BROKEN)
BOTH(count, "count 4 5000", BROKEN)
/* A hole anywhere; at the end it is the engine that sees it. */
BOTH(entry_missing, "short 4", SHORT)
HELPER(exits, "exit isend 9", BROKEN)
HELPER(exits_connecting, "exit accept 1", REFUSED)
HELPER(exits_at_bytes, "exit_bytes 300000", BROKEN)
HELPER(crashes, "crash test 40", BROKEN)
HELPER(hangs, "hang test 40", BROKEN)
HELPER(hangs_accepting, "hang accept 1", REFUSED)
HELPER(hangs_listening, "hang listen 1", REFUSED)
HELPER(hangs_registering, "hang reg_mr 1", REFUSED)
HELPER(hangs_closing, "hang close_recv 1", WHOLE)

LENT(no_fault, "", WHOLE)
LENT(accept_fails, "error accept 1", REFUSED)
LENT(irecv_fails, "error irecv 20", BROKEN)
LENT(test_fails, "error test 30+", BROKEN)
LENT(consumed_fails, "error irecv_consumed 3", BROKEN)
LENT(close_fails, "error close_send 1; error close_recv 1", WHOLE)
LENT(data_dies, "data_dies 200000", BROKEN)
LENT(pool_empty, "pool_empty 4", BROKEN)
LENT(oversize, "oversize 4 100000", BROKEN)
LENT(count, "count 4 5000", BROKEN)
LENT(exits, "exit isend 9", BROKEN)
LENT(exits_at_bytes, "exit_bytes 300000", BROKEN)
LENT(crashes, "crash test 40", BROKEN)
LENT(hangs, "hang test 40", BROKEN)
LENT(scribbles, "scribble test 60", BROKEN)

/* Polls only when the fd says so. */
static void sleep_until_failed(struct run *run, struct channel *channel,
			       int *failed)
{
	struct channel_event event;

	while (!*failed) {
		uint32_t events;
		struct pollfd pollfd = {
			.fd = run->ops->wait_fd(channel, &events)};

		pollfd.events = (short)events;
		CHECK_EQ(poll(&pollfd, 1, 5000), 1);
		if (run->ops->poll(channel, &event, 1))
			on_event(run, &event, failed);
	}
}

/* One visit, without consuming: what arrives is kept. */
static void keep_arrived(struct run *run, struct channel_event *kept)
{
	struct channel_event event;

	if (run->granted < CHUNKS &&
	    !run->ops->post_recv(run->rx, run->granted))
		run->granted++;
	send_one(run);
	while (run->ops->poll(run->tx, &event, 1))
		on_event(run, &event, &run->tx_failed);
	while (run->ops->poll(run->rx, &event, 1)) {
		if (event.kind == CHANNEL_ARRIVED)
			kept[run->arrived++ % WINDOW] = event;
		else
			on_event(run, &event, &run->rx_failed);
	}
	CHECK(clock_now_ns() < run->limit_ns);
}

/* Pages that were somebody else's before they were read: whoever reads them
 * does not know, and so none of it counts. */
static void read_too_late(void)
{
	struct channel_event kept[WINDOW];
	static struct run run;
	uint64_t wrong = 0;

	set_up_lent("scribble irecv 20");
	CHECK_STATUS(run_open(&run), TCPX_OK);
	while (run.arrived < WINDOW)
		keep_arrived(&run, kept);
	/* Four are right, and make room for four receives, the last of which
	 * is the end. The receiver does not hear of it yet. */
	run.arrived = 0;
	for (uint32_t k = 0; k < 4; k++)
		on_arrived(&run, &kept[k]);
	run.arrived = WINDOW;
	while (run.granted < WINDOW + 4)
		keep_arrived(&run, kept);
	sleep_until_failed(&run, run.tx, &run.tx_failed);
	CHECK_EQ(run.good, 4);
	for (run.arrived = 4; run.arrived < WINDOW;) {
		uint64_t k = run.arrived;

		on_arrived(&run, &kept[k]);
		wrong += !is_right(&run, k);
	}
	CHECK_EQ(wrong, WINDOW - 4);
	while (!run.rx_failed)
		keep_arrived(&run, kept);
	CHECK_EQ(run.good, 4);
	run_close(&run);
}

/* Sends that are done when the other kernel acknowledges at its leisure. */
static void delayed_ack_helper(void)
{
	setenv("DOUBLE_DELAYED_ACK", "1", 1);
	try("", true, WHOLE);
}

/* A connection's data sockets die without a word; another's, made of the same
 * transport, carries all of its own meanwhile. */
static void another_goes_on(bool isolated)
{
	static struct run first, other;

	set_up("data_dies 200000 0", isolated);
	CHECK_STATUS(run_open(&first), TCPX_OK);
	other = (struct run){.ops = first.ops,
			     .gpus = first.gpus,
			     .t = first.t,
			     .limit_ns = first.limit_ns};
	CHECK_STATUS(run_connect(&other), TCPX_OK);
	/* By turns, until the one is broken and the other through. */
	while (other.good < CHUNKS || (!first.tx_failed && !first.rx_failed)) {
		run_visit(&first);
		run_visit(&other);
	}
	CHECK(first.good < CHUNKS);
	CHECK_EQ(other.tx_failed, 0);
	CHECK_EQ(other.rx_failed, 0);
	CHECK_EQ(other.n_short, 0);
	other.ops->channel_close(other.tx);
	other.ops->channel_close(other.rx);
	other.ops->listener_close(other.listener);
	run_close(&first);
}

static void another_goes_on_inside(void)
{
	another_goes_on(false);
}

static void another_goes_on_helper(void)
{
	another_goes_on(true);
}

/* A plugin whose connect is done with its first call, as version 3.1.6's. */
static void connects_at_once_inside(void)
{
	setenv("DOUBLE_EARLY_COMM", "1", 1);
	try("", false, WHOLE);
}

static void connects_at_once_helper(void)
{
	setenv("DOUBLE_EARLY_COMM", "1", 1);
	try("", true, WHOLE);
}

/* The words of a plugin that ends its process reach the session. */
static void last_words(void)
{
	static struct run run;

	set_up("exit isend 9", true);
	CHECK_STATUS(run_open(&run), TCPX_OK);
	run_traffic(&run);
	CHECK_STATUS(run.tx_failed ? run.tx_failed : run.rx_failed,
		     TCPX_ECHANNEL);
	/* A sanitizer's process takes its time to end. */
	CHECK(strstr(run.cause, "exited with status 1") ||
	      strstr(run.cause, "is gone"));
	CHECK(strstr(run.cause, "last words"));
	/* It stays so, and says so. */
	uint8_t addr[TRANSPORT_ADDR_MAX];
	size_t addr_bytes;
	struct listener *none;
	CHECK(run.ops->listen(run.t, 0, &none, addr, &addr_bytes) < 0);
	run_close(&run);
}

/* Who sleeps on a channel that has nothing to do wakes when the helper ends. */
static void end_wakes(void)
{
	uint32_t events;
	static struct run run;

	set_up("exit isend 1", true);
	CHECK_STATUS(run_open(&run), TCPX_OK);
	struct pollfd fds[] = {
		{run.ops->wait_fd(run.tx, &events), POLLIN, 0},
		{run.ops->wait_fd(run.rx, &events), POLLIN, 0},
	};
	CHECK_EQ(poll(fds, 2, 50), 0);
	CHECK_STATUS(run.ops->post_recv(run.rx, 0), TCPX_OK);
	run.granted++;
	send_one(&run);
	CHECK_EQ(run.posted, 1);
	sleep_until_failed(&run, run.tx, &run.tx_failed);
	sleep_until_failed(&run, run.rx, &run.rx_failed);
	CHECK_STATUS(run.rx_failed, TCPX_ECHANNEL);
	run_close(&run);
}

static void quiet(int level, unsigned long flags, const char *file, int line,
		  const char *fmt, ...)
{
}

/* Somebody else (NCCL) has initialised it in this process: the second init is
 * refused, and it works all the same. */
static void init_taken(void)
{
	static struct run run;

	set_up("", false);
	void *lib = dlopen(getenv("TEST_DOUBLE"), RTLD_NOW | RTLD_LOCAL);
	CHECK(lib != NULL);
	const struct netplugin_v7 *table = dlsym(lib, NETPLUGIN_SYMBOL_V7);
	CHECK(table != NULL);
	CHECK_EQ(table->init(quiet), 0);
	CHECK_STATUS(run_open(&run), TCPX_OK);
	run_traffic(&run);
	CHECK_EQ(run.good, CHUNKS);
	run_close(&run);
}

/* A helper that has worked and ended is started again; what was made with the
 * old one stays failed. */
static void started_again(void)
{
	struct listener *listener;
	uint8_t addr[TRANSPORT_ADDR_MAX];
	struct channel_event event;
	size_t addr_bytes;
	static struct run run;
	int err;

	set_up("exit isend 9", true);
	CHECK_STATUS(run_open(&run), TCPX_OK);
	run_traffic(&run);
	CHECK(run.tx_failed || run.rx_failed);
	while ((err = run.ops->listen(run.t, 0, &listener, addr,
				      &addr_bytes))) {
		CHECK(clock_now_ns() < run.limit_ns);
		usleep(50000);
	}
	run.ops->listener_close(listener);
	while (!run.tx_failed || !run.rx_failed) {
		if (!run.tx_failed && run.ops->poll(run.tx, &event, 1))
			on_event(&run, &event, &run.tx_failed);
		if (!run.rx_failed && run.ops->poll(run.rx, &event, 1))
			on_event(&run, &event, &run.rx_failed);
		CHECK(clock_now_ns() < run.limit_ns);
	}
	run_close(&run);
}

static void tell(void *arg, enum tcpx_log_level level, const char *subsystem,
		 const char *text)
{
	int fd = *(int *)arg;

	if (level == TCPX_LOG_ERROR &&
	    write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		_exit(3);
}

/* In process nothing can save it, but it does not go without a word. */
static void exit_is_explained(void)
{
	int fds[2], status;
	char text[8192] = "";
	static struct run run;

	set_up("exit isend 9", false);
	CHECK_EQ(pipe(fds), 0);
	pid_t pid = fork();
	if (pid == 0) {
		const struct log log = {
			.fn = tell, .arg = &fds[1], .level = TCPX_LOG_ERROR};

		the_log = &log;
		if (!run_open(&run))
			run_traffic(&run);
		_exit(2);
	}
	close(fds[1]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 1);
	CHECK(read(fds[0], text, sizeof(text) - 1) > 0);
	CHECK(strstr(text, "by the net plugin"));
	CHECK(strstr(text, "CUDA call failed"));
}

#define CASE(name)                                                             \
	{                                                                      \
#name, name, 60                                                \
	}
#define CASES(name) CASE(name##_inside), CASE(name##_helper)
static const struct check_case cases[] = {
	CASES(no_fault),
	CASES(init_fails),
	CASE(init_taken),
	CASES(devices_fail),
	CASES(properties_fail),
	CASES(listen_fails),
	CASES(connect_fails),
	CASES(accept_fails),
	CASES(reg_mr_fails),
	CASES(isend_fails),
	CASES(irecv_fails),
	CASES(test_fails),
	CASES(consumed_fails),
	CASES(dereg_fails),
	CASES(second_reg_mr_fails),
	CASES(close_listen_fails),
	CASES(close_fails),
	CASES(data_dies),
	CASES(control_closes),
	CASES(accept_never),
	CASES(accept_slow),
	CASES(connect_never),
	CASES(connects_at_once),
	CASES(pool_empty),
	CASES(oversize),
	CASES(junk),
	CASES(count),
	CASES(entry_missing),
	CASES(another_goes_on),
	CASE(delayed_ack_helper),
	CASE(exits_helper),
	CASE(exits_connecting_helper),
	CASE(exits_at_bytes_helper),
	CASE(crashes_helper),
	CASE(hangs_helper),
	CASE(hangs_accepting_helper),
	CASE(hangs_listening_helper),
	CASE(hangs_registering_helper),
	CASE(hangs_closing_helper),
	CASE(no_fault_lent),
	CASE(accept_fails_lent),
	CASE(irecv_fails_lent),
	CASE(test_fails_lent),
	CASE(consumed_fails_lent),
	CASE(close_fails_lent),
	CASE(data_dies_lent),
	CASE(pool_empty_lent),
	CASE(oversize_lent),
	CASE(count_lent),
	CASE(exits_lent),
	CASE(exits_at_bytes_lent),
	CASE(crashes_lent),
	CASE(hangs_lent),
	CASE(scribbles_lent),
	CASE(read_too_late),
	CASE(last_words),
	CASE(started_again),
	CASE(end_wakes),
	CASE(exit_is_explained),
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
