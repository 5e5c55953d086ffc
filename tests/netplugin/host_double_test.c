/* SPDX-License-Identifier: Apache-2.0 */

/* The plain double: v8, host memory, bytes where they were posted. */

#include <signal.h>

#include "check.h"
#include "drive.h"
#include "support/pattern.h"
#include "support/scale.h"

#define LEN 100000

static uint8_t from[LEN], to[LEN];

static void begin(struct drive_pair *pair)
{
	struct netplugin_props_v8 props;
	const struct netplugin_v8 *net = drive_load_v8("TEST_DOUBLE_HOST");

	CHECK_EQ(net->get_properties(0, &props), 0);
	CHECK_EQ(props.ptr_support, NETPLUGIN_PTR_HOST);
	CHECK_EQ(props.device_type, NETPLUGIN_DEVICE_HOST);
	CHECK(!net->irecv_consumed && !net->get_device_mr);
	drive_listen(pair, 0);
	while (!pair->tx.comm || !pair->rx.comm) {
		if (!pair->tx.comm)
			CHECK_EQ(drive_poll_connect(pair, 0, 0), 0);
		if (!pair->rx.comm)
			CHECK_EQ(drive_accept(pair, 0), 0);
	}
}

static void end(struct drive_pair *pair)
{
	if (pair->tx.comm)
		CHECK_EQ(drive_net->close_send(pair->tx.comm), 0);
	CHECK_EQ(drive_net->close_recv(pair->rx.comm), 0);
	CHECK_EQ(drive_net->close_listen(pair->lcomm), 0);
}

static void *post_receive(struct drive_pair *pair, int len_bytes)
{
	void *data = to, *mhandle = NULL, *request = NULL;
	int tag = 0;

	CHECK_EQ(drive_net->irecv(pair->rx.comm, 1, &data, &len_bytes, &tag,
				  &mhandle, &request),
		 0);
	return request;
}

static void *post_send(struct drive_pair *pair, int len_bytes)
{
	void *request = NULL;

	CHECK_EQ(drive_net->isend(pair->tx.comm, from, len_bytes, 0, NULL,
				  &request),
		 0);
	return request;
}

static void message(struct drive_pair *pair, int len_bytes, uint64_t seed)
{
	void *rx = post_receive(pair, LEN), *tx = post_send(pair, len_bytes);
	int done = 0, size = -1;

	pattern_fill(from, (size_t)len_bytes, seed, 0);
	while (tx || !done) {
		if (tx && drive_test(tx))
			tx = NULL;
		if (!done)
			CHECK_EQ(drive_net->test(rx, &done, &size), 0);
	}
	CHECK_EQ(size, len_bytes);
	CHECK_MEM(to, from, (size_t)len_bytes);
}

static void bytes(void)
{
	struct drive_pair pair;
	void *mhandle;

	begin(&pair);
	CHECK_EQ(drive_net->reg_mr(pair.tx.comm, from, 5, NETPLUGIN_PTR_HOST,
				   &mhandle),
		 0);
	CHECK_EQ(drive_net->reg_mr(pair.tx.comm, from, 4096, NETPLUGIN_PTR_CUDA,
				   &mhandle),
		 NETPLUGIN_EINTERNAL);
	for (int i = 0; i < 50; i++)
		message(&pair, i * 1999, (uint64_t)i);
	end(&pair);
}

/* Full is a NULL request, not an error. */
static void window(void)
{
	struct drive_pair pair;

	begin(&pair);
	for (int i = 0; i < 32; i++)
		CHECK(post_receive(&pair, 64));
	CHECK(!post_receive(&pair, 64));
	end(&pair);
}

static void truncated(void)
{
	struct drive_pair pair;
	int done = 0, rc = 0;
	void *rx;

	begin(&pair);
	rx = post_receive(&pair, 10);
	drive_wait(post_send(&pair, 11));
	while (!rc && !done)
		rc = drive_net->test(rx, &done, NULL);
	CHECK_EQ(rc, NETPLUGIN_EREMOTE);
	end(&pair);
}

static void peer_gone(void)
{
	struct drive_pair pair;
	int done = 0, rc = 0;
	void *rx;

	begin(&pair);
	rx = post_receive(&pair, 10);
	CHECK_EQ(drive_net->close_send(pair.tx.comm), 0);
	pair.tx.comm = NULL;
	while (!rc && !done)
		rc = drive_net->test(rx, &done, NULL);
	CHECK_EQ(rc, NETPLUGIN_EREMOTE);
	end(&pair);
}

static void abroad(void)
{
	struct drive_pair pair;

	setenv("DOUBLE_HOME", "0:eth2", 1);
	begin(&pair);
	message(&pair, 10, 1);
}

static void exits(void)
{
	struct drive_pair pair;

	setenv("DOUBLE_FAULTS", "exit_bytes 50000", 1);
	begin(&pair);
	for (int i = 0; i < 10; i++)
		message(&pair, 10000, 1);
}

static void ends(void)
{
	drive_must_exit(abroad, "no cmsg");
	drive_must_exit(exits, "no cmsg");
}

static const struct check_case cases[] = {
	{"bytes", bytes, 0},	     {"window", window, 0},
	{"truncated", truncated, 0}, {"peer_gone", peer_gone, 0},
	{"ends", ends, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
