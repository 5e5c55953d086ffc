/* SPDX-License-Identifier: Apache-2.0 */

/* Rules 1 to 9 of the double, each broken on purpose. */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

#include "check.h"
#include "drive.h"
#include "support/scale.h"

/* ---- 1: one init, a logger --------------------------------------------- */

static void init_without_logger(void)
{
	drive_open();
	drive_net->init(NULL);
}

static void no_such_device(void)
{
	struct netplugin_props_v7 props;

	drive_load();
	drive_net->get_properties(2, &props);
}

static void rule_1(void)
{
	int n = 0;

	drive_must_abort(init_without_logger, 1);
	drive_must_abort(no_such_device, 1);
	drive_load();
	CHECK_EQ(drive_net->init(drive_log), NETPLUGIN_EINTERNAL);
	CHECK(drive_has_warned("gpu lib init twice"));
	CHECK_EQ(drive_net->devices(&n), 0);
	CHECK_EQ(n, 2);
}

static unsigned n_odd, n_flood;
static pthread_t flooder;

static void odd_log(int level, unsigned long flags, const char *file, int line,
		    const char *fmt, ...)
{
	if (strstr(fmt, "limit %d of %s"))
		n_odd++;
	if (strstr(fmt, "No free space") && n_flood < 1000) {
		flooder = pthread_self();
		__atomic_add_fetch(&n_flood, 1, __ATOMIC_RELEASE);
	}
}

static void rule_1_odd_logs(void)
{
	uint64_t end_ns = test_now_ns() + 20000000000u;

	setenv("DOUBLE_LOG_FLOOD", "20000", 1);
	drive_open();
	CHECK_EQ(drive_net->init(odd_log), 0);
	CHECK_EQ(n_odd, 1);
	while (__atomic_load_n(&n_flood, __ATOMIC_ACQUIRE) < 1000) {
		test_sleep_ms(1);
		CHECK(test_now_ns() < end_ns);
	}
	CHECK(!pthread_equal(flooder, pthread_self()));
}

/* ---- 2: the environment ------------------------------------------------ */

static void no_chunk_size(void)
{
	drive_env();
	unsetenv("NCCL_DYNAMIC_CHUNK_SIZE");
	setenv("NCCL_DYNAMIC_CHUNK_SIZE", "", 1);
	drive_load();
}

static void inlined(void)
{
	setenv("NCCL_INLINE_THRESHOLD", "100", 1);
	drive_load();
}

static void many_threads(void)
{
	setenv("NCCL_SOCKET_NTHREADS", "9", 1);
	drive_load();
}

static void stats_without_path(void)
{
	setenv("NCCL_GPUDIRECTTCPX_EXPORT_STATS_TO_FILE", "1", 1);
	drive_load();
}

static void no_control_nic(void)
{
	setenv("NCCL_GPUDIRECTTCPX_CTRL_DEV", "nosuch0", 1);
	drive_load();
}

static void no_numa_node(void)
{
	setenv("DOUBLE_NO_NUMA", "1", 1);
	drive_load();
}

static void no_numa_node_crash(void)
{
	setenv("DOUBLE_NO_NUMA", "1", 1);
	drive_load_faithful();
}

static void no_ranges(void)
{
	struct drive_pair pair;

	setenv("DOUBLE_NO_RANGES", "1", 1);
	drive_load();
	drive_connect(&pair, 0);
	drive_message(&pair, 5000, 1);
}

static void no_ranges_crash(void)
{
	struct drive_pair pair;

	setenv("DOUBLE_NO_RANGES", "1", 1);
	drive_load_faithful();
	drive_connect(&pair, 0);
	drive_message(&pair, 5000, 1);
}

static void rule_2_of_places(void)
{
	drive_must_abort(no_numa_node, 2);
	drive_must_die(no_numa_node_crash, SIGSEGV);
	drive_must_abort(no_ranges, 2);
	drive_must_die(no_ranges_crash, SIGFPE);
	setenv("NCCL_GPUDIRECTTCPX_TX_BINDINGS", "eth1:0-1", 1);
	setenv("NCCL_GPUDIRECTTCPX_RX_BINDINGS", "eth1:0-1", 1);
	struct drive_pair pair;

	setenv("DOUBLE_NO_RANGES", "1", 1);
	drive_load();
	drive_connect(&pair, 0);
	drive_message(&pair, 5000, 1);
	drive_close(&pair);
}

static void rule_2(void)
{
	drive_must_abort(no_chunk_size, 2);
	drive_must_abort(inlined, 2);
	drive_must_abort(many_threads, 2);
	drive_must_abort(stats_without_path, 2);
	drive_must_abort(no_control_nic, 2);
}

static void init_must_fail(const char *name, const char *value)
{
	setenv(name, value, 1);
	drive_open();
	CHECK_EQ(drive_net->init(drive_log), NETPLUGIN_EINTERNAL);
}

static void not_enabled(void)
{
	init_must_fail("NCCL_GPUDIRECTTCPX_SOCKET_ENABLE", "0");
}

static void other_strategy(void)
{
	init_must_fail("NCCL_GPUDIRECTTCPX_FLOW_STEERING_STRATEGY", "1");
}

static void no_interface(void)
{
	init_must_fail("NCCL_GPUDIRECTTCPX_SOCKET_IFNAME", "nosuch");
}

static void rule_2_refused(void)
{
	char text[65536];

	CHECK_EQ(drive_child(not_enabled, text, sizeof(text)), 0);
	CHECK_EQ(drive_child(other_strategy, text, sizeof(text)), 0);
	CHECK_EQ(drive_child(no_interface, text, sizeof(text)), 0);
}

/* Sends of nothing, again and again, and a receiver that complains. */
static void rule_2_hangs(void)
{
	struct drive_pair pair;
	void *tx, *rx;

	setenv("NCCL_DYNAMIC_CHUNK_SIZE", "0", 1);
	drive_load_faithful();
	drive_connect(&pair, 0);
	rx = drive_irecv(&pair, 4096);
	tx = drive_isend(&pair, 0, 4096);
	for (int i = 0; i < 2000; i++) {
		CHECK(!drive_test(tx));
		CHECK(!drive_test(rx));
	}
	CHECK_EQ(drive_hits(2), 1);
}

static void rule_2_read_once(void)
{
	struct drive_pair pair;

	drive_load();
	setenv("NCCL_DYNAMIC_CHUNK_SIZE", "0", 1);
	setenv("DOUBLE_MODE", "faithful", 1);
	drive_connect(&pair, 0);
	drive_message(&pair, 5000, 1);
	drive_close(&pair);
}

static void interfaces(void)
{
	struct netplugin_props_v7 props;
	int n = 0;

	setenv("DOUBLE_NICS",
	       "eth3=127.0.0.1,eth1=127.0.0.1,eno=127.0.0.1,"
	       "eth2=127.0.0.1@/sys/devices/x",
	       1);
	setenv("NCCL_GPUDIRECTTCPX_SOCKET_IFNAME", "=eth2,eth1,eth", 1);
	drive_load();
	CHECK_EQ(drive_net->devices(&n), 0);
	CHECK_EQ(n, 2);
	CHECK_EQ(drive_net->get_properties(0, &props), 0);
	CHECK_STR(props.name, "eth1");
	CHECK(!props.pci_path);
	CHECK_EQ(drive_net->get_properties(1, &props), 0);
	CHECK_STR(props.pci_path, "/sys/devices/x");
}

static void real_interface(void)
{
	struct drive_pair pair;

	setenv("DOUBLE_NICS", "", 1);
	setenv("NCCL_GPUDIRECTTCPX_SOCKET_IFNAME", "lo", 1);
	drive_load();
	drive_connect(&pair, 0);
	drive_message(&pair, 5000, 1);
	drive_close(&pair);
}

/* ---- 3: connect, and its handle ---------------------------------------- */

static void connect_again(void)
{
	struct drive_pair pair;
	void *comm;

	drive_load();
	drive_connect(&pair, 0);
	drive_net->connect(0, pair.handle, &comm, NULL);
}

static void connect_copy(void)
{
	struct drive_pair pair, copy;

	drive_load();
	drive_listen(&pair, 0);
	CHECK_EQ(drive_net->connect(0, pair.handle, &pair.tx.comm, NULL), 0);
	CHECK(!pair.tx.comm);
	copy = pair;
	drive_net->connect(0, copy.handle, &copy.tx.comm, NULL);
}

static void connect_early_copy(void)
{
	struct drive_pair pair, copy;

	drive_load();
	drive_listen(&pair, 0);
	copy = pair;
	CHECK_EQ(drive_net->connect(0, pair.handle, &pair.tx.comm, NULL), 0);
	drive_net->connect(0, copy.handle, &copy.tx.comm, NULL);
}

static void connect_overwritten(void)
{
	struct drive_pair pair;

	drive_load();
	drive_listen(&pair, 0);
	CHECK_EQ(drive_net->connect(0, pair.handle, &pair.tx.comm, NULL), 0);
	pair.handle[81] ^= 0xff;
	drive_net->connect(0, pair.handle, &pair.tx.comm, NULL);
}

static void connect_again_faithful(void)
{
	setenv("DOUBLE_MODE", "faithful", 1);
	connect_again();
}

static void rule_3(void)
{
	drive_must_abort(connect_again, 3);
	drive_must_abort(connect_copy, 3);
	drive_must_abort(connect_early_copy, 3);
	drive_must_abort(connect_overwritten, 3);
	drive_must_die(connect_again_faithful, SIGSEGV);
}

static void rule_3_handle(void)
{
	static const uint8_t zeros[NETPLUGIN_HANDLE_BYTES];
	struct drive_pair pair;

	drive_load();
	drive_listen(&pair, 0);
	CHECK_MEM(pair.handle + 80, zeros, 48);
	CHECK_EQ(drive_net->connect(0, pair.handle, &pair.tx.comm, NULL), 0);
	CHECK(memcmp(pair.handle + 80, zeros, 8) != 0);
	CHECK_MEM(pair.handle + 88, zeros, 40);
}

/* The comm at once; sends wait, or say NULL, until it is connected. */
static void rule_3_early_comm(void)
{
	struct drive_pair pair;
	void *request = &pair;

	setenv("DOUBLE_EARLY_COMM", "1", 1);
	setenv("NCCL_GPUDIRECTTCPX_SPINWAIT_CONNECT", "0", 1);
	drive_load();
	drive_listen(&pair, 0);
	CHECK_EQ(drive_net->connect(0, pair.handle, &pair.tx.comm, NULL), 0);
	CHECK(pair.tx.comm);
	drive_register(&pair.tx);
	CHECK_EQ(drive_net->isend(pair.tx.comm, pair.tx.data, 4096, 0,
				  pair.tx.mhandle, &request),
		 0);
	CHECK(!request);
	CHECK_EQ(drive_accept(&pair, scale_ms(20000)), 0);
	while (!request)
		CHECK_EQ(drive_net->isend(pair.tx.comm, pair.tx.data, 4096, 0,
					  pair.tx.mhandle, &request),
			 0);
}

static void failed_early_comm(void)
{
	struct drive_pair pair;

	setenv("DOUBLE_EARLY_COMM", "1", 1);
	drive_load();
	drive_listen(&pair, 0);
	CHECK_EQ(drive_net->close_listen(pair.lcomm), 0);
	CHECK_EQ(drive_net->connect(0, pair.handle, &pair.tx.comm, NULL), 0);
	drive_register(&pair.tx);
	drive_isend(&pair, 0, 4096);
}

static void rule_3_failed(void)
{
	struct drive_pair pair;

	drive_must_abort(failed_early_comm, 3);
	drive_load();
	drive_listen(&pair, 0);
	CHECK_EQ(drive_net->close_listen(pair.lcomm), 0);
	CHECK_EQ(drive_poll_connect(&pair, 0, scale_ms(20000)),
		 NETPLUGIN_EINTERNAL);
}

/* ---- 4: accept is later ------------------------------------------------ */

static void send_too_early(void)
{
	struct drive_pair pair;

	setenv("NCCL_GPUDIRECTTCPX_PROGRAM_FLOW_STEERING_WAIT_MICROS",
	       "1000000", 1);
	drive_load();
	drive_listen(&pair, 0);
	CHECK_EQ(drive_accept(&pair, 0), 0);
	CHECK_EQ(drive_poll_connect(&pair, 0, scale_ms(20000)), 0);
	CHECK(pair.tx.comm);
	drive_register(&pair.tx);
	drive_wait(drive_isend(&pair, 0, 4096));
	drive_accept(&pair, scale_ms(20000));
}

static void rule_4(void)
{
	struct drive_pair pair;
	uint64_t start_ns;

	drive_must_abort(send_too_early, 4);
	setenv("NCCL_GPUDIRECTTCPX_PROGRAM_FLOW_STEERING_WAIT_MICROS", "400000",
	       1);
	drive_load();
	drive_listen(&pair, 0);
	CHECK_EQ(drive_accept(&pair, 0), 0);
	CHECK_EQ(drive_poll_connect(&pair, 0, scale_ms(20000)), 0);
	start_ns = test_now_ns();
	CHECK_EQ(drive_accept(&pair, 0), 0);
	CHECK(pair.tx.comm && !pair.rx.comm);
	CHECK_EQ(drive_accept(&pair, scale_ms(20000)), 0);
	CHECK(pair.rx.comm);
	/* Less what passed before the sender was seen to be connected. */
	CHECK(test_now_ns() - start_ns > 100000000u);
}

/* ---- 5: one accept a listen comm --------------------------------------- */

static void accept_twice(void)
{
	struct drive_pair pair;
	void *comm;

	drive_load();
	drive_connect(&pair, 0);
	drive_net->accept(pair.lcomm, &comm, &pair.recv_handle);
}

static void close_under_accept(void)
{
	struct drive_pair pair;

	drive_load();
	drive_listen(&pair, 0);
	CHECK_EQ(drive_accept(&pair, 0), 0);
	drive_net->close_listen(pair.lcomm);
}

static void accept_twice_faithful(void)
{
	setenv("DOUBLE_MODE", "faithful", 1);
	accept_twice();
}

static void rule_5(void)
{
	drive_must_abort(accept_twice, 5);
	drive_must_abort(close_under_accept, 5);
	drive_must_die(accept_twice_faithful, SIGSEGV);
}

/* ---- 6: the device handle ---------------------------------------------- */

static void null_target(void)
{
	struct netplugin_device_handle *null = NULL;
	struct drive_pair pair;

	drive_load();
	drive_listen(&pair, 0);
	CHECK_EQ(drive_poll_connect(&pair, 0, 0), 0);
	do
		drive_net->accept(pair.lcomm, &pair.rx.comm, &null);
	while (!pair.rx.comm);
}

static void null_argument(void)
{
	struct drive_pair pair;
	void *rx;

	drive_load();
	drive_listen(&pair, 0);
	CHECK_EQ(drive_poll_connect(&pair, 0, 0), 0);
	do
		CHECK_EQ(drive_net->accept(pair.lcomm, &pair.rx.comm, NULL), 0);
	while (!pair.rx.comm);
	CHECK_EQ(drive_poll_connect(&pair, 0, scale_ms(20000)), 0);
	drive_register(&pair.tx);
	drive_register(&pair.rx);
	rx = drive_irecv(&pair, 4096);
	for (int i = 0; i < 20; i++)
		CHECK(!drive_test(rx)); /* nothing has come yet */
	drive_wait_both(drive_isend(&pair, 0, 4096), rx);
}

static void null_target_faithful(void)
{
	setenv("DOUBLE_MODE", "faithful", 1);
	null_target();
}

static void rule_6(void)
{
	drive_must_abort(null_target, 6);
	drive_must_abort(null_argument, 6);
	drive_must_die(null_target_faithful, SIGSEGV);
}

static void rule_6_handles(void)
{
	struct netplugin_device_handle send = {9, 9, &send, 9, 9};
	struct netplugin_device_handle *ptr = &send;
	struct netplugin_unpack_handle bytes;
	struct drive_pair pair;

	drive_load();
	drive_listen(&pair, 0);
	do {
		if (!pair.tx.comm)
			CHECK_EQ(drive_net->connect(0, pair.handle,
						    &pair.tx.comm, &ptr),
				 0);
		if (!pair.rx.comm)
			CHECK_EQ(drive_accept(&pair, 0), 0);
	} while (!pair.tx.comm || !pair.rx.comm);
	CHECK(ptr == &send && send.type == 9 && send.version == 9 &&
	      send.handle == &send);
	CHECK_EQ(pair.device_handle.needs_proxy_progress, 1);
	memcpy(&bytes, pair.device_handle.handle, sizeof(bytes));
	CHECK(bytes.head == UINT64_MAX);
	CHECK((uintptr_t)bytes.meta % 16 == 0);
}

/* ---- 7: the current device --------------------------------------------- */

static void accept_elsewhere(void)
{
	struct drive_pair pair;

	drive_load();
	drive_set_device(1);
	drive_listen(&pair, 0);
	drive_set_device(0);
	drive_accept(&pair, 0);
}

static void register_elsewhere(void)
{
	struct drive_pair pair;

	drive_load();
	drive_connect(&pair, 0);
	drive_set_device(1);
	drive_register(&pair.rx);
}

static void rule_7(void)
{
	struct drive_pair a, b;

	drive_must_abort(accept_elsewhere, 7);
	drive_must_abort(register_elsewhere, 7);
	drive_load();
	drive_connect(&a, 0);
	drive_set_device(1);
	drive_connect(&b, 1);
	drive_message(&b, 5000, 1);
	CHECK(a.bounce != b.bounce); /* a pool a GPU */
	drive_close(&b);
	drive_set_device(0);
	drive_close(&a);
}

/* ---- 8: the home NIC --------------------------------------------------- */

static void receive_abroad(void)
{
	struct drive_pair pair;

	setenv("DOUBLE_HOME", "0:eth1,1:eth2", 1);
	drive_load();
	drive_connect(&pair, 1);
	drive_message(&pair, 5000, 1);
}

static void receive_loopback(void)
{
	struct drive_pair pair;

	setenv("DOUBLE_NO_LOOPBACK", "1", 1);
	drive_load();
	drive_connect(&pair, 0);
	drive_message(&pair, 5000, 1);
}

static void rule_8(void)
{
	struct drive_pair pair;

	drive_must_exit(receive_abroad, "no cmsg");
	drive_must_exit(receive_loopback, "no cmsg");
	/* From another NIC it can be sent. */
	setenv("DOUBLE_HOME", "0:eth1,1:eth2", 1);
	drive_load();
	drive_listen(&pair, 0);
	do {
		if (!pair.tx.comm)
			CHECK_EQ(drive_poll_connect(&pair, 1, 0), 0);
		if (!pair.rx.comm)
			CHECK_EQ(drive_accept(&pair, 0), 0);
	} while (!pair.tx.comm || !pair.rx.comm);
	memcpy(&pair.meta, pair.device_handle.handle, 8);
	memcpy(&pair.bounce, (char *)pair.device_handle.handle + 8, 8);
	drive_register(&pair.tx);
	drive_register(&pair.rx);
	drive_message(&pair, 5000, 1);
	drive_close(&pair);
}

/* ---- 9: registrations -------------------------------------------------- */

static int reg_size(struct drive_pair *pair, uint8_t *data, int len_bytes)
{
	void *mhandle;

	return drive_net->reg_mr(pair->tx.comm, data, len_bytes,
				 NETPLUGIN_PTR_CUDA, &mhandle);
}

static void reg_unaligned(void)
{
	struct drive_pair pair;

	drive_load();
	drive_connect(&pair, 0);
	reg_size(&pair, pair.tx.data + 8, 4096);
}

static void reg_256(void)
{
	struct drive_pair pair;

	drive_load();
	drive_connect(&pair, 0);
	reg_size(&pair, pair.tx.data, 256);
}

static void reg_2g(void)
{
	struct drive_pair pair;

	drive_load();
	drive_connect(&pair, 0);
	reg_size(&pair, pair.tx.data, (int)0x80000000u);
}

static void send_unregistered(void)
{
	struct drive_pair pair;
	void *request;

	drive_load();
	drive_connect(&pair, 0);
	drive_net->isend(pair.tx.comm, pair.tx.data, 4096, 0, NULL, &request);
}

static void send_outside(void)
{
	struct drive_pair pair;

	drive_load();
	drive_connect(&pair, 0);
	drive_isend(&pair, DRIVE_BUFFER_BYTES - 4096, 4097);
}

static void send_with_dead(void)
{
	struct drive_pair pair;

	drive_load();
	drive_connect(&pair, 0);
	CHECK_EQ(drive_net->dereg_mr(pair.tx.comm, pair.tx.mhandle), 0);
	drive_isend(&pair, 0, 4096);
}

static void send_with_closed(void)
{
	struct drive_pair a, b;

	drive_load();
	drive_connect(&a, 0);
	drive_connect(&b, 0);
	CHECK_EQ(drive_net->close_send(a.tx.comm), 0);
	b.tx.mhandle = a.tx.mhandle;
	drive_isend(&b, 0, 4096);
}

static void dereg_after_close(void)
{
	struct drive_pair pair;

	drive_load();
	drive_connect(&pair, 0);
	CHECK_EQ(drive_net->close_send(pair.tx.comm), 0);
	drive_net->dereg_mr(pair.tx.comm, pair.tx.mhandle);
}

static void dereg_in_use(void)
{
	struct drive_pair pair;

	drive_load();
	drive_connect(&pair, 0);
	drive_isend(&pair, 0, 4096);
	drive_net->dereg_mr(pair.tx.comm, pair.tx.mhandle);
}

static void rule_9(void)
{
	drive_must_abort(reg_unaligned, 9);
	drive_must_abort(reg_256, 9);
	drive_must_abort(reg_2g, 9);
	drive_must_abort(send_unregistered, 9);
	drive_must_abort(send_outside, 9);
	drive_must_abort(send_with_dead, 9);
	drive_must_abort(send_with_closed, 9);
	drive_must_abort(dereg_after_close, 9);
	drive_must_abort(dereg_in_use, 9);
}

static void rule_9_faithful(void)
{
	struct drive_pair pair;
	void *request;

	drive_load_faithful();
	drive_connect(&pair, 0);
	CHECK_EQ(reg_size(&pair, pair.tx.data + 8, 4096), NETPLUGIN_EINTERNAL);
	CHECK(fcntl(0, F_GETFD) >= 0);
	CHECK(reg_size(&pair, pair.tx.data, 256) != 0);
	CHECK(fcntl(0, F_GETFD) < 0 && errno == EBADF);
	CHECK_EQ(drive_net->isend(pair.tx.comm, pair.tx.data, 4096, 0, NULL,
				  &request),
		 NETPLUGIN_EINTERNAL);
	CHECK_EQ(drive_hits(9), 3);
}

static void rule_9_no_dmabuf(void)
{
	struct drive_pair pair;
	void *mhandle;

	setenv("NCCL_USE_DMA_BUF", "0", 1);
	drive_load();
	drive_listen(&pair, 0);
	CHECK_EQ(drive_net->connect(0, pair.handle, &pair.tx.comm, NULL), 0);
	while (!pair.tx.comm) {
		CHECK_EQ(drive_poll_connect(&pair, 0, 0), 0);
		if (!pair.rx.comm)
			CHECK_EQ(drive_accept(&pair, 0), 0);
	}
	CHECK_EQ(drive_net->reg_mr(pair.tx.comm, (void *)4096, 4096,
				   NETPLUGIN_PTR_CUDA, &mhandle),
		 NETPLUGIN_EINTERNAL);
}

static const struct check_case cases[] = {
	{"rule_1", rule_1, 0},
	{"rule_1_odd_logs", rule_1_odd_logs, 0},
	{"rule_2", rule_2, 0},
	{"rule_2_of_places", rule_2_of_places, 0},
	{"rule_2_refused", rule_2_refused, 0},
	{"rule_2_hangs", rule_2_hangs, 0},
	{"rule_2_read_once", rule_2_read_once, 0},
	{"interfaces", interfaces, 0},
	{"real_interface", real_interface, 0},
	{"rule_3", rule_3, 0},
	{"rule_3_handle", rule_3_handle, 0},
	{"rule_3_early_comm", rule_3_early_comm, 0},
	{"rule_3_failed", rule_3_failed, 0},
	{"rule_4", rule_4, 0},
	{"rule_5", rule_5, 0},
	{"rule_6", rule_6, 0},
	{"rule_6_handles", rule_6_handles, 0},
	{"rule_7", rule_7, 0},
	{"rule_8", rule_8, 0},
	{"rule_9", rule_9, 0},
	{"rule_9_faithful", rule_9_faithful, 0},
	{"rule_9_no_dmabuf", rule_9_no_dmabuf, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
