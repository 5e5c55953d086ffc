/* SPDX-License-Identifier: Apache-2.0 */

/* The double as a plugin that is used rightly: bytes, layout, settings. */

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>

#include "check.h"
#include "drive.h"
#include "support/pattern.h"
#include "support/scale.h"

static void abi(void)
{
	struct netplugin_props_v7 props;
	int n = 0;

	drive_open();
	CHECK_STR(drive_net->name, "GPUDirectTCPX_v7");
	CHECK(!drive_net->reg_mr_dmabuf);
	CHECK(drive_net->get_device_mr && drive_net->irecv_consumed);
	CHECK_EQ(drive_net->init(drive_log), 0);
	CHECK_EQ(drive_net->devices(&n), 0);
	CHECK_EQ(n, 2);
	CHECK_EQ(drive_net->get_properties(1, &props), 0);
	CHECK_STR(props.name, "eth2");
	CHECK_EQ(props.guid, 1);
	CHECK_EQ(props.ptr_support, NETPLUGIN_PTR_HOST | NETPLUGIN_PTR_CUDA);
	CHECK_EQ(props.max_comms, 65536);
	CHECK_EQ(props.max_recvs, 1);
	CHECK_EQ(props.device_type, NETPLUGIN_DEVICE_UNPACK);
	CHECK_EQ(props.device_version, 7);
}

static void one_version(void)
{
	void *object = dlopen(getenv("TEST_DOUBLE"), RTLD_NOW | RTLD_LOCAL);
	void *newer = dlopen(getenv("TEST_DOUBLE_V8"), RTLD_NOW | RTLD_LOCAL);

	CHECK(object && newer);
	CHECK(dlsym(object, NETPLUGIN_SYMBOL_V7));
	CHECK(!dlsym(object, NETPLUGIN_SYMBOL_V8));
	CHECK(dlsym(newer, NETPLUGIN_SYMBOL_V8));
	CHECK(!dlsym(newer, NETPLUGIN_SYMBOL_V7));
}

/* The same plugin behind the newer table. */
static void abi_v8(void)
{
	const struct netplugin_v8 *net = drive_load_v8("TEST_DOUBLE_V8");
	struct netplugin_props_v8 props;
	struct drive_pair pair;

	CHECK_EQ(net->get_properties(0, &props), 0);
	CHECK_STR(props.name, "eth1");
	CHECK_EQ(props.reg_is_global, 0);
	CHECK_EQ(props.device_type, NETPLUGIN_DEVICE_UNPACK);
	CHECK_EQ(props.device_version, 7);
	drive_connect(&pair, 0);
	drive_message(&pair, 40000, 1);
	drive_close(&pair);
}

static void messages(struct drive_pair *pair, int n)
{
	uint64_t state = check_seed();

	for (int i = 0; i < n; i++) {
		int len = (int)(check_rand(&state) % DRIVE_CHUNK_BYTES);

		drive_message(pair, i % 8 == 7 ? 0 : len + 1, state);
	}
}

static void bytes(void)
{
	struct drive_pair pair;

	drive_load();
	drive_connect(&pair, 0);
	messages(&pair, (int)scale_count(100));
	drive_close(&pair);
	CHECK_EQ(drive_hits(0), 0);
}

/* A request of several chunks over several sockets. */
static void sockets(void)
{
	uint32_t n_all, n_free, n_lost;
	struct drive_pair pair;

	setenv("NCCL_NSOCKS_PERTHREAD", "4", 1);
	setenv("NCCL_SOCKET_NTHREADS", "2", 1);
	drive_load();
	drive_connect(&pair, 0);
	messages(&pair, 20);
	for (int i = 0; i < 20; i++)
		drive_message(&pair, DRIVE_CHUNK_BYTES * 7 + i, (uint64_t)i);
	drive_pages(0, &n_all, &n_free, &n_lost);
	CHECK_EQ(n_all, n_free);
	CHECK_EQ(n_lost, 0);
	drive_close(&pair);
	CHECK_EQ(drive_hits(0), 0);
}

/* Full windows on several comms at once, driven by turns. */
static void windows(void)
{
	enum { N = 3, WINDOW = 16 };
	static struct drive_pair pairs[N];
	static uint8_t out[DRIVE_BUFFER_BYTES], want[DRIVE_BUFFER_BYTES];
	void *tx[N][WINDOW], *rx[N][WINDOW];
	const int len = 30000;

	drive_load();
	for (int p = 0; p < N; p++) {
		drive_connect(&pairs[p], p % 2);
		pattern_fill(pairs[p].tx.data, WINDOW * (size_t)len,
			     (uint64_t)p, 0);
	}
	for (int i = 0; i < WINDOW; i++) {
		for (int p = 0; p < N; p++) {
			rx[p][i] = drive_irecv(&pairs[p], len);
			tx[p][i] = drive_isend(&pairs[p], (uint32_t)(i * len),
					       len);
		}
	}
	for (int i = 0; i < WINDOW; i++) {
		for (int p = 0; p < N; p++)
			drive_wait_both(tx[p][i], rx[p][i]);
	}
	for (int p = 0; p < N; p++) {
		pattern_fill(want, WINDOW * (size_t)len, (uint64_t)p, 0);
		for (unsigned i = 0; i < WINDOW; i++) {
			CHECK_EQ(drive_unpack(&pairs[p], i,
					      out + i * (size_t)len,
					      (uint64_t)len),
				 len);
			drive_consumed(&pairs[p], rx[p][i]);
		}
		CHECK_MEM(out, want, WINDOW * (size_t)len);
		drive_close(&pairs[p]);
	}
	CHECK_EQ(drive_hits(0), 0);
}

/* The two ends in two processes; the handle goes through a pipe. */
static int far_end[2], near_end[2];

static void send_far(void)
{
	struct drive_pair pair = {0};

	drive_load();
	CHECK_EQ(read(far_end[0], pair.handle, sizeof(pair.handle)),
		 sizeof(pair.handle));
	CHECK_EQ(drive_poll_connect(&pair, 1, scale_ms(20000)), 0);
	CHECK(pair.tx.comm);
	drive_register(&pair.tx);
	CHECK_EQ(read(far_end[0], &(char){0}, 1), 1); /* it is ready */
	for (int i = 0; i < 40; i++) {
		pattern_fill(pair.tx.data, 50000, (uint64_t)i, 0);
		drive_wait(drive_isend(&pair, 0, 50000));
	}
	/* Not before the peer has it all. */
	CHECK_EQ(read(far_end[0], &(char){0}, 1), 1);
	CHECK_EQ(drive_net->dereg_mr(pair.tx.comm, pair.tx.mhandle), 0);
	CHECK_EQ(drive_net->close_send(pair.tx.comm), 0);
	CHECK_EQ(drive_hits(0), 0);
	_exit(0);
}

static void receive_near(struct drive_pair *pair)
{
	static uint8_t out[50000], want[50000];

	for (int i = 0; i < 40; i++) {
		void *rx = drive_irecv(pair, sizeof(out));

		drive_wait(rx);
		CHECK_EQ(drive_unpack(pair, (unsigned)i % 16, out, sizeof(out)),
			 sizeof(out));
		pattern_fill(want, sizeof(want), (uint64_t)i, 0);
		CHECK_MEM(out, want, sizeof(out));
		drive_consumed(pair, rx);
	}
}

static void processes(void)
{
	struct drive_pair pair;
	int status;
	pid_t pid;

	CHECK_EQ(pipe(far_end), 0);
	CHECK_EQ(pipe(near_end), 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		send_far();
	drive_load();
	drive_listen(&pair, 0);
	CHECK_EQ(write(far_end[1], pair.handle, sizeof(pair.handle)),
		 sizeof(pair.handle));
	CHECK_EQ(drive_accept(&pair, scale_ms(20000)), 0);
	CHECK(pair.rx.comm);
	memcpy(&pair.meta, pair.device_handle.handle, sizeof(pair.meta));
	memcpy(&pair.bounce, (char *)pair.device_handle.handle + 8,
	       sizeof(pair.bounce));
	drive_register(&pair.rx);
	CHECK_EQ(write(far_end[1], "", 1), 1);
	receive_near(&pair);
	CHECK_EQ(write(far_end[1], "", 1), 1);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(drive_net->close_recv(pair.rx.comm), 0);
	CHECK_EQ(drive_hits(0), 0);
}

/* Host memory to send from: no pages, no alignment. */
static void host_send(void)
{
	static uint8_t out[5000];
	uint8_t data[5001];
	struct drive_pair pair;
	void *tx, *rx, *mhandle;

	drive_load();
	drive_connect(&pair, 0);
	pattern_fill(data + 1, 5000, 9, 0);
	CHECK_EQ(drive_net->reg_mr(pair.tx.comm, data + 1, 5000,
				   NETPLUGIN_PTR_HOST, &mhandle),
		 0);
	rx = drive_irecv(&pair, 5000);
	CHECK_EQ(drive_net->isend(pair.tx.comm, data + 1, 5000, 0, mhandle,
				  &tx),
		 0);
	drive_wait_both(tx, rx);
	CHECK_EQ(drive_unpack(&pair, 0, out, 5000), 5000);
	CHECK_MEM(out, data + 1, 5000);
	CHECK_EQ(drive_net->dereg_mr(pair.tx.comm, mhandle), 0);
	drive_consumed(&pair, rx);
	drive_close(&pair);
}

static void rate(void)
{
	struct drive_pair pair;
	uint64_t start_ns;

	setenv("DOUBLE_RATE_MBPS", "2", 1);
	drive_load();
	drive_connect(&pair, 0);
	start_ns = test_now_ns();
	for (int i = 0; i < 8; i++)
		drive_message(&pair, DRIVE_CHUNK_BYTES, 1);
	/* 0.5 MB at 2 MB/s, a quarter of a second, less a burst */
	CHECK(test_now_ns() - start_ns > 200000000u);
	drive_close(&pair);
}

static const struct check_case cases[] = {
	{"abi", abi, 0},
	{"abi_v8", abi_v8, 0},
	{"one_version", one_version, 0},
	{"bytes", bytes, 60},
	{"sockets", sockets, 60},
	{"windows", windows, 60},
	{"processes", processes, 60},
	{"host_send", host_send, 0},
	{"rate", rate, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
