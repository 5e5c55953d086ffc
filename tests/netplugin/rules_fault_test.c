/* SPDX-License-Identifier: Apache-2.0 */

/* Rules 22 to 26 of the double, each broken on purpose, and the scripted
 * faults. */

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "check.h"
#include "drive.h"
#include "support/pattern.h"
#include "support/scale.h"

static struct drive_pair pair;

static void begin(void)
{
	drive_load();
	drive_connect(&pair, 0);
}

static void begin_with(const char *faults)
{
	setenv("DOUBLE_FAULTS", faults, 1);
	begin();
}

static void never_done(void *request, int ms)
{
	for (int i = 0; i < ms; i++) {
		CHECK(!drive_test(request));
		test_sleep_ms(1);
	}
}

/* ---- 22: sockets that fail --------------------------------------------- */

static void receive_to_host(void)
{
	uint8_t data[64], *ptr = data;
	void *mhandle, *request;
	int size = 64, tag = 0;

	begin();
	CHECK_EQ(drive_net->reg_mr(pair.rx.comm, data, 64, NETPLUGIN_PTR_HOST,
				   &mhandle),
		 0);
	drive_net->irecv(pair.rx.comm, 1, (void **)&ptr, &size, &tag, &mhandle,
			 &request);
}

static void rule_22_data(void)
{
	void *tx[2], *rx[2];

	drive_must_abort(receive_to_host, 22);
	begin_with("data_dies 100000");
	drive_message(&pair, DRIVE_CHUNK_BYTES, 1);
	for (int i = 0; i < 2; i++) {
		rx[i] = drive_irecv(&pair, DRIVE_CHUNK_BYTES);
		tx[i] = drive_isend(&pair, 0, DRIVE_CHUNK_BYTES);
	}
	/* The first may have reached the peer's stack; the second never. */
	for (int i = 0; i < 300; i++) {
		if (tx[0] && drive_test(tx[0]))
			tx[0] = NULL;
		CHECK(!drive_test(rx[0]));
		test_sleep_ms(1);
	}
	never_done(tx[0] ? tx[0] : tx[1], 100);
	CHECK(drive_has_warned("data socket failed"));
	CHECK(drive_n_warnings <= 2); /* one at each end */
	CHECK_EQ(drive_net->close_send(pair.tx.comm), 0);
	CHECK_EQ(drive_net->close_recv(pair.rx.comm), 0);
}

/* The sender goes, all has arrived: what is complete is still delivered. */
static void rule_22_control(void)
{
	uint8_t out[64];
	void *rx[2];
	int done = 0, rc;

	begin();
	memset(pair.tx.data, 9, 64);
	drive_wait(drive_isend(&pair, 0, 64));
	CHECK_EQ(drive_net->close_send(pair.tx.comm), 0);
	rx[0] = drive_irecv(&pair, 64);
	CHECK_EQ(drive_net->test(rx[0], &done, NULL), NETPLUGIN_ESYSTEM);
	CHECK_EQ(done, 0);
	drive_wait(rx[0]);
	CHECK_EQ(drive_unpack(&pair, 0, out, 64), 64);
	CHECK_MEM(out, pair.tx.data, 64);
	/* With another receive active, an error for ever. */
	rx[1] = drive_irecv(&pair, 64);
	for (int i = 0; i < 50; i++) {
		rc = drive_net->test(rx[1], &done, NULL);
		CHECK_EQ(rc, NETPLUGIN_ESYSTEM);
	}
}

static void fault_ctrl_closes(void)
{
	void *rx, *tx;
	int done = 0, rc = 0;

	begin_with("ctrl_closes 3");
	for (int i = 0; i < 2; i++)
		drive_message(&pair, 1000, (uint64_t)i);
	rx = drive_irecv(&pair, 1000);
	tx = drive_isend(&pair, 0, 1000);
	drive_wait(tx);
	tx = drive_isend(&pair, 0, 1000);
	CHECK_EQ(drive_net->test(tx, &done, NULL), NETPLUGIN_ESYSTEM);
	for (int i = 0; i < 1000 && !rc && !done; i++)
		rc = drive_net->test(rx, &done, NULL);
	CHECK_EQ(rc, NETPLUGIN_ESYSTEM);
}

/* ---- 23: RECV_SYNC ------------------------------------------------------ */

static void rule_23(void)
{
	void *tx, *rx;

	setenv("NCCL_GPUDIRECTTCPX_RECV_SYNC", "1", 1);
	begin();
	for (int i = 0; i < 20; i++)
		drive_message(&pair, 1000, (uint64_t)i);
	tx = drive_isend(&pair, 0, 1000);
	never_done(tx, 50); /* nobody has posted */
	rx = drive_irecv(&pair, 1000);
	never_done(tx, 50); /* nor tested, which says so */
	drive_wait_both(tx, rx);
	drive_consumed(&pair, rx);
	drive_close(&pair);
}

/* A sender with the setting, a receiver without. The handle goes through
 * fds. */
static int fds[2];

static void synced_sender(void)
{
	void *tx;

	setenv("NCCL_GPUDIRECTTCPX_RECV_SYNC", "1", 1);
	drive_load();
	CHECK_EQ(read(fds[0], pair.handle, sizeof(pair.handle)),
		 sizeof(pair.handle));
	CHECK_EQ(drive_poll_connect(&pair, 0, scale_ms(20000)), 0);
	drive_register(&pair.tx);
	tx = drive_isend(&pair, 0, 1000);
	never_done(tx, 300);
}

static void synced_sender_faithful(void)
{
	setenv("DOUBLE_MODE", "faithful", 1);
	synced_sender();
}

/* In a child, and never returns: it has threads. */
static void plain_receiver(void)
{
	int done;
	void *rx;

	drive_load();
	drive_listen(&pair, 0);
	CHECK_EQ(write(fds[1], pair.handle, sizeof(pair.handle)),
		 sizeof(pair.handle));
	CHECK_EQ(drive_accept(&pair, scale_ms(20000)), 0);
	drive_register(&pair.rx);
	rx = drive_irecv(&pair, 1000);
	for (;;) {
		drive_net->test(rx, &done, NULL); /* until the other is gone */
		test_sleep_ms(1);
	}
}

static void rule_23_mismatch(void)
{
	char text[4096];
	pid_t pid;

	for (int i = 0; i < 2; i++) {
		CHECK_EQ(pipe(fds), 0);
		pid = fork();
		CHECK(pid >= 0);
		if (pid == 0)
			plain_receiver();
		if (i == 0)
			drive_must_abort(synced_sender, 23);
		else
			CHECK_EQ(drive_child(synced_sender_faithful, text,
					     sizeof(text)),
				 0);
		kill(pid, SIGKILL);
		CHECK_EQ(waitpid(pid, NULL, 0), pid);
	}
}

/* ---- 24: one caller at a time ------------------------------------------ */

static void *test_for_ever(void *request)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	for (;;)
		drive_test(request);
	return NULL;
}

static void test_from_two_threads(void)
{
	pthread_t thread;
	void *rx;

	begin();
	rx = drive_irecv(&pair, 64);
	CHECK_EQ(pthread_create(&thread, NULL, test_for_ever, rx), 0);
	test_for_ever(rx);
}

static void *listen_for_ever(void *arg)
{
	struct drive_pair own;

	for (;;) {
		drive_listen(&own, 0);
		drive_net->close_listen(own.lcomm);
	}
	return arg;
}

static void control_from_two_threads(void)
{
	pthread_t thread;

	drive_load();
	CHECK_EQ(pthread_create(&thread, NULL, listen_for_ever, NULL), 0);
	listen_for_ever(NULL);
}

static void use_after_close(void)
{
	begin();
	drive_net->close_send(pair.tx.comm);
	drive_isend(&pair, 0, 64);
}

static void flush_null(void)
{
	void *request = NULL;

	begin();
	drive_net->iflush(pair.rx.comm, 1, NULL, NULL, NULL, &request);
}

static void rule_24(void)
{
	drive_must_abort(test_from_two_threads, 24);
	drive_must_abort(control_from_two_threads, 24);
	drive_must_abort(use_after_close, 24);
	drive_must_abort(flush_null, 24);
}

static void rule_24_close(void)
{
	uint32_t n_all, n_free, n_lost;
	uint64_t start_ns;

	setenv("DOUBLE_CLOSE_MS", "100", 1);
	begin();
	for (int i = 0; i < 3; i++)
		drive_wait_both(drive_isend(&pair, 0, 9000),
				drive_irecv(&pair, 9000));
	drive_irecv(&pair, 9000); /* posted, nothing comes: no matter */
	start_ns = test_now_ns();
	drive_close(&pair);
	CHECK(test_now_ns() - start_ns >= 100000000u);
	CHECK(drive_has_warned("with 3 receives not consumed"));
	drive_pages(0, &n_all, &n_free, &n_lost);
	CHECK_EQ(n_free, n_all);
	CHECK_EQ(drive_hits(0), 0);
}

/* ---- 25: SIGPIPE -------------------------------------------------------- */

static void open_sigpipe(void)
{
	drive_env();
	drive_open();
	signal(SIGPIPE, SIG_DFL);
	CHECK_EQ(drive_net->init(drive_log), 0);
	drive_connect(&pair, 0);
}

static void write_to_closed(void)
{
	void *tx;

	setenv("DOUBLE_MODE", "faithful", 1);
	open_sigpipe();
	CHECK_EQ(drive_net->close_recv(pair.rx.comm), 0);
	/* The first is lost without a word; the next one's control message
	 * is a write to a socket that the peer has reset. */
	tx = drive_isend(&pair, 0, 4096);
	drive_isend(&pair, 0, 4096);
	for (;;) {
		int done = 0;

		drive_net->test(tx, &done, NULL);
		test_sleep_ms(1);
	}
}

static void rule_25(void)
{
	drive_must_abort(open_sigpipe, 25);
	drive_must_die(write_to_closed, SIGPIPE);
}

/* ---- 26: clocks --------------------------------------------------------- */

static void rule_26_random(void)
{
	setenv("DOUBLE_CLOCK", "random", 1);
	setenv("DOUBLE_DELAY_US", "3000", 1);
	begin();
	for (int i = 0; i < 30; i++)
		drive_message(&pair, 1 + i * 999, (uint64_t)i);
	drive_close(&pair);
	CHECK_EQ(drive_hits(0), 0);
}

/* Three comms; whatever is sent first is done last. */
static void rule_26_worst(void)
{
	enum { N = 3 };
	static struct drive_pair pairs[N];
	void *rx[N], *tx[N];
	int order[N], n = 0;

	setenv("DOUBLE_CLOCK", "worst", 1);
	setenv("DOUBLE_HOLD_US", "200000", 1);
	drive_load();
	for (int i = 0; i < N; i++)
		drive_connect(&pairs[i], 0);
	for (int i = 0; i < N; i++) {
		rx[i] = drive_irecv(&pairs[i], 64);
		tx[i] = drive_isend(&pairs[i], 0, 64);
	}
	while (n < N) {
		for (int i = 0; i < N; i++) {
			if (tx[i] && drive_test(tx[i]))
				tx[i] = NULL;
			if (rx[i] && drive_test(rx[i])) {
				rx[i] = NULL;
				order[n++] = i;
			}
		}
	}
	CHECK(order[0] == 2 && order[1] == 1 && order[2] == 0);
}

static void rule_26_real(void)
{
	uint64_t start_ns = test_now_ns();

	setenv("DOUBLE_CLOCK", "real", 1);
	setenv("NCCL_NSOCKS_PERTHREAD", "4", 1);
	begin();
	CHECK(test_now_ns() - start_ns > 500000000u);
	drive_message(&pair, 5000, 1);
	drive_close(&pair);
}

/* ---- scripted faults --------------------------------------------------- */

static void fault_errors(void)
{
	struct drive_pair other;
	int done = 7;

	begin_with("error isend 2 3; error test 1 2; error listen 2+");
	CHECK_EQ(drive_net->test(drive_isend(&pair, 0, 64), &done, NULL), 2);
	CHECK_EQ(done, 7);
	CHECK_EQ(drive_net->isend(pair.tx.comm, pair.tx.data, 64, 0,
				  pair.tx.mhandle, (void **)&other),
		 3);
	drive_isend(&pair, 0, 64);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(drive_net->listen(0, other.handle, &other.lcomm),
			 NETPLUGIN_ESYSTEM);
}

static const char *wanted; /* the call that fails once, with 5 */

#define CALL(name, call)                                                       \
	do {                                                                   \
		if (strcmp(wanted, name) == 0)                                 \
			CHECK_EQ(call, 5);                                     \
		CHECK_EQ(call, 0);                                             \
	} while (0)

static void call_data(void)
{
	void *data = pair.rx.data, *mhandle = pair.rx.mhandle, *rx, *tx;
	int size = 64, tag = 0, done = 0;

	CALL("irecv", drive_net->irecv(pair.rx.comm, 1, &data, &size, &tag,
				       &mhandle, &rx));
	CALL("isend", drive_net->isend(pair.tx.comm, pair.tx.data, 64, 0,
				       pair.tx.mhandle, &tx));
	CALL("test", drive_net->test(rx, &done, NULL));
	CALL("iflush",
	     drive_net->iflush(pair.rx.comm, 1, &data, &size, &mhandle, &rx));
	drive_wait_both(tx, rx);
	CALL("irecv_consumed", drive_net->irecv_consumed(pair.rx.comm, 1, rx));
}

static void call_everything(void)
{
	struct netplugin_props_v7 props;
	char faults[64];
	void *ptr;
	int n;

	snprintf(faults, sizeof(faults), "error %s 1 5", wanted);
	setenv("DOUBLE_FAULTS", faults, 1);
	drive_open();
	CALL("init", drive_net->init(drive_log));
	CALL("devices", drive_net->devices(&n));
	CALL("get_properties", drive_net->get_properties(0, &props));
	pair.recv_handle = &pair.device_handle;
	CALL("listen", drive_net->listen(0, pair.handle, &pair.lcomm));
	CALL("connect",
	     drive_net->connect(0, pair.handle, &pair.tx.comm, NULL));
	CALL("accept",
	     drive_net->accept(pair.lcomm, &pair.rx.comm, &pair.recv_handle));
	CHECK_EQ(drive_poll_connect(&pair, 0, scale_ms(20000)), 0);
	CHECK_EQ(drive_accept(&pair, scale_ms(20000)), 0);
	/* The first call of all: of the sender. */
	pair.tx.data = aligned_alloc(4096, 4096);
	CALL("reg_mr", drive_net->reg_mr(pair.tx.comm, pair.tx.data, 4096,
					 NETPLUGIN_PTR_CUDA, &pair.tx.mhandle));
	drive_register(&pair.rx);
	CALL("get_device_mr",
	     drive_net->get_device_mr(pair.tx.comm, pair.tx.mhandle, &ptr));
	call_data();
	CALL("dereg_mr", drive_net->dereg_mr(pair.tx.comm, pair.tx.mhandle));
	CALL("close_send", drive_net->close_send(pair.tx.comm));
	CALL("close_recv", drive_net->close_recv(pair.rx.comm));
	CALL("close_listen", drive_net->close_listen(pair.lcomm));
}

static void fault_every_call(void)
{
	static const char *const names[] = {
		"init",		  "devices",	"get_properties", "listen",
		"connect",	  "accept",	"reg_mr",	  "dereg_mr",
		"isend",	  "irecv",	"iflush",	  "test",
		"irecv_consumed", "close_send", "get_device_mr",  "close_recv",
		"close_listen",
	};
	char text[65536];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		wanted = names[i];
		CHECK_EQ(drive_child(call_everything, text, sizeof(text)), 0);
	}
}

static void exits(void)
{
	begin_with("exit_bytes 100000");
	for (int i = 0; i < 100; i++)
		drive_message(&pair, 5000, (uint64_t)i);
}

static void exits_in_test(void)
{
	begin_with("exit test 5");
	drive_message(&pair, 64, 1);
	drive_message(&pair, 64, 1);
}

static void crashes(void)
{
	begin_with("crash close_send 1");
	drive_close(&pair);
}

static void mistaken(void)
{
	begin_with("data_lives 3");
}

static void fault_ends(void)
{
	drive_must_exit(exits, "no cmsg");
	drive_must_exit(exits_in_test, "CUDA call failed");
	drive_must_die(crashes, SIGSEGV);
	drive_must_exit(mistaken, "no such fault");
}

static void hang(void)
{
	signal(SIGALRM, SIG_DFL);
	alarm(1);
	begin_with("hang dereg_mr 1");
	drive_close(&pair);
}

static void fault_hang(void)
{
	drive_must_die(hang, SIGALRM);
}

static void fault_accept(void)
{
	uint64_t start_ns = test_now_ns();

	setenv("DOUBLE_FAULTS", "accept_slow 400", 1);
	begin();
	CHECK(test_now_ns() - start_ns > 400000000u);
	drive_message(&pair, 64, 1);
}

static void fault_never(const char *faults)
{
	setenv("DOUBLE_FAULTS", faults, 1);
	drive_load();
	drive_listen(&pair, 0);
	for (int i = 0; i < 300; i++) {
		CHECK_EQ(drive_poll_connect(&pair, 0, 0), 0);
		CHECK_EQ(drive_accept(&pair, 0), 0);
	}
	CHECK(!pair.tx.comm && !pair.rx.comm);
}

static void fault_accept_never(void)
{
	fault_never("accept_never");
}

static void fault_connect_never(void)
{
	fault_never("connect_never");
}

static void fault_pool_empty(void)
{
	setenv("DOUBLE_FRAG_MIN", "4096", 1);
	begin_with("pool_empty 3");
	drive_message(&pair, 3 * 4096, 1);
	drive_wait(drive_isend(&pair, 0, 4 * 4096));
	never_done(drive_irecv(&pair, 4 * 4096), 200);
}

/* Every kind of bad list, one after another. */
static void fault_lists(void)
{
	struct netplugin_unpack_entry *e;
	uint64_t count, sum = 0;
	void *rx;

	begin_with("oversize 1; junk 2; count 3 5000; short 4");
	for (unsigned i = 0; i < 4; i++) {
		rx = drive_irecv(&pair, 20000);
		drive_wait_both(drive_isend(&pair, 0, 20000), rx);
		e = pair.meta->entries[i];
		count = pair.meta->counts[i];
		CHECK(count > 0);
		if (i == 0)
			CHECK(e[count - 1].dst_off + e[count - 1].len_bytes >
			      20000);
		if (i == 1)
			CHECK(e[0].src_off == 0xeeeeeeee);
		if (i == 2)
			CHECK_EQ(count, 5000);
		for (uint64_t k = 0; i == 3 && k < count; k++)
			sum += e[k].len_bytes;
		drive_consumed(&pair, rx);
	}
	CHECK(sum < 20000);
	drive_message(&pair, 20000, 1);
	drive_close(&pair);
}

static const struct check_case cases[] = {
	{"rule_22_data", rule_22_data, 0},
	{"rule_22_control", rule_22_control, 0},
	{"rule_23", rule_23, 0},
	{"rule_23_mismatch", rule_23_mismatch, 0},
	{"rule_24", rule_24, 60},
	{"rule_24_close", rule_24_close, 0},
	{"rule_25", rule_25, 0},
	{"rule_26_random", rule_26_random, 0},
	{"rule_26_worst", rule_26_worst, 0},
	{"rule_26_real", rule_26_real, 0},
	{"fault_ctrl_closes", fault_ctrl_closes, 0},
	{"fault_errors", fault_errors, 0},
	{"fault_every_call", fault_every_call, 60},
	{"fault_ends", fault_ends, 0},
	{"fault_hang", fault_hang, 0},
	{"fault_accept", fault_accept, 0},
	{"fault_accept_never", fault_accept_never, 0},
	{"fault_connect_never", fault_connect_never, 0},
	{"fault_pool_empty", fault_pool_empty, 0},
	{"fault_lists", fault_lists, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
