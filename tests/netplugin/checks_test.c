/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What is asked of a peer's address, of the device handle that a plugin fills,
 * and how a plugin is started: with a plugin made up for each case.
 */

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "check.h"
#include "transport/netplugin/make.h"
#include "transport/netplugin/open.h"
#include "transport/netplugin/refusal.h"

#define CHUNK (64u << 10)

static struct plugin plugin = {
	.name = "GPUDirectTCPX_v7",
	.quirks = PLUGIN_CHECK_ENV | PLUGIN_NO_LOOPBACK,
	.n_devices = 1,
	.devices = {{.name = "eth1"}},
};

static struct transport t = {
	.plugin = &plugin,
	.options = {.chunk_bytes = CHUNK, .n_sockets = 4, .n_slots = 2},
	.limits = {.chunk_bytes = CHUNK, .window = 16, .sends_max = 2},
	.host_id = {1, 2, 3},
	.unpacks = true,
	.ptr_kind = NETPLUGIN_PTR_CUDA,
	.n_rails = 1,
	.rails = {{.ifname = "eth1"}},
};

/* ---- a peer's address ----------------------------------------------------- */

static struct address good_peer(void)
{
	return (struct address){
		.chunk_bytes = CHUNK,
		.n_sockets = 4,
		.window = 16,
		.unpacks = true,
		.host_id = {1, 2, 4},
		.ifname = "eth1",
		.plugin = "GPUDirectTCPX_v",
	};
}

static int ask(const struct address *peer)
{
	struct rail *rail = NULL;
	int err;

	refusal_set("%s", "");
	err = sender_rail(&t, 0, peer, &rail);
	CHECK(err || rail == &t.rails[0]);
	return err;
}

static void refused(const struct address *peer, const char *words)
{
	CHECK_STATUS(ask(peer), TCPX_EUNSUPPORTED);
	if (!strstr(refusal_get(), words))
		check_fail(CHECK_AT, "refused by \"%s\"", refusal_get());
}

static void peer_fits(void)
{
	struct address peer = good_peer();

	CHECK_STATUS(ask(&peer), TCPX_OK);
	peer.window = 4; /* each its own */
	CHECK_STATUS(ask(&peer), TCPX_OK);
}

/* Each of these would hang or kill one of the two. */
static void peer_differs(void)
{
	struct address peer = good_peer();

	peer.chunk_bytes = 2 * CHUNK;
	refused(&peer, "NCCL_DYNAMIC_CHUNK_SIZE is 131072 there and 65536 ");
	peer = good_peer();
	peer.recv_sync = 1;
	refused(&peer, "RECV_SYNC 1 there, 4 and 0 here");
	peer = good_peer();
	peer.n_sockets = 2;
	refused(&peer, "2 sockets a comm");
	peer = good_peer();
	strcpy(peer.plugin, "Socket");
	refused(&peer, "the peer's plugin is Socket, ours GPUDirectTCPX_v");
	peer = good_peer();
	peer.unpacks = false;
	refused(&peer, "the peer's plugin is ");
	peer = good_peer();
	strcpy(peer.ifname, "eth2");
	refused(&peer, "at home on eth2");
}

static void peer_on_this_host(void)
{
	struct address peer = good_peer();

	memcpy(peer.host_id, t.host_id, sizeof(peer.host_id));
	refused(&peer, "loopback: the peer is on this host");
	t.options.allow = OPTIONS_LOOPBACK;
	CHECK_STATUS(ask(&peer), TCPX_OK);
	t.options.allow = 0;
	plugin.quirks = PLUGIN_CHECK_ENV;
	CHECK_STATUS(ask(&peer), TCPX_OK);
}

/* Variables that it does not read need not be alike. */
static void peer_of_another_kind(void)
{
	struct address peer = good_peer();

	plugin.quirks = 0;
	peer.chunk_bytes = 2 * CHUNK;
	peer.recv_sync = 1;
	CHECK_STATUS(ask(&peer), TCPX_OK);
}

/* ---- the device handle ---------------------------------------------------- */

static struct netplugin_device_handle to_write;

static int fake_accept(void *lcomm, void **rcomm,
		       struct netplugin_device_handle **handle)
{
	**handle = to_write;
	*rcomm = lcomm;
	return 0;
}

static int fake_reg_mr(void *comm, void *data, size_t size, int type,
		       void **mhandle)
{
	*mhandle = comm;
	return 0;
}

static int fake_dereg_mr(void *comm, void *mhandle)
{
	return 0;
}

static int fake_close(void *comm)
{
	return 0;
}

/* What accept makes of it. */
static int take_handle(const struct netplugin_device_handle *handle)
{
	struct listener listener = {.transport = &t, .lcomm = &listener};
	struct channel *c = channel_create(&t, &t.rails[0], false);
	int err;

	plugin.calls.accept = fake_accept;
	plugin.calls.reg_mr = fake_reg_mr;
	plugin.calls.dereg_mr = fake_dereg_mr;
	plugin.calls.close_recv = fake_close;
	to_write = *handle;
	t.why[0] = '\0';
	CHECK(c);
	c->listener = &listener;
	err = make_call_accept(c);
	if (!err) {
		const struct netplugin_unpack_handle *unpack = handle->handle;

		CHECK(c->comm.meta == unpack->meta);
		CHECK(c->comm.bounce == unpack->bounce);
	}
	CHECK(make_call_close(c));
	channel_destroy(c);
	return err;
}

static struct netplugin_unpack_meta meta;
static uint8_t pool[64];
static struct netplugin_unpack_handle unpack = {&meta, pool, UINT64_MAX};

static struct netplugin_device_handle good_handle(void)
{
	return (struct netplugin_device_handle){
		.type = NETPLUGIN_DEVICE_UNPACK,
		.version = NETPLUGIN_UNPACK_VERSION,
		.handle = &unpack,
		.size_bytes = sizeof(unpack),
	};
}

static void handle_good(void)
{
	struct netplugin_device_handle handle = good_handle();

	CHECK_STATUS(take_handle(&handle), TCPX_OK);
}

static void handle_unknown(const struct netplugin_device_handle *handle)
{
	CHECK_STATUS(take_handle(handle), TCPX_ECHANNEL);
	CHECK(strstr(t.why, "not one of those that this version knows"));
}

static void handles_unknown(void)
{
	struct netplugin_device_handle handle = good_handle();

	handle.type = 0;
	handle_unknown(&handle);
	handle = good_handle();
	handle.version++;
	handle_unknown(&handle);
	handle = good_handle();
	handle.size_bytes = 32;
	handle_unknown(&handle);
	handle = good_handle();
	handle.handle = NULL;
	handle_unknown(&handle);
	handle = (struct netplugin_device_handle){0}; /* nothing was written */
	handle_unknown(&handle);
}

static void handles_empty(void)
{
	struct netplugin_device_handle handle = good_handle();
	const struct netplugin_unpack_handle bad[] = {
		{NULL, pool, 0},
		{&meta, NULL, 0},
		{(void *)((uint8_t *)&meta + 8), pool, 0},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		unpack = bad[i];
		CHECK_STATUS(take_handle(&handle), TCPX_ECHANNEL);
		CHECK(strstr(t.why, "without metadata or pool"));
	}
}

/* All of it: a page that is missing would end the process later on. */
static void metadata_unreadable(void)
{
	struct netplugin_device_handle handle = good_handle();
	size_t page = 4096, n = (sizeof(meta) + page - 1) / page;
	uint8_t *map = mmap(NULL, n * page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(map != MAP_FAILED);
	unpack.meta = (void *)map;
	CHECK_STATUS(take_handle(&handle), TCPX_OK);
	for (size_t i = 0; i < n; i += n / 2) {
		CHECK_EQ(mprotect(map + i * page, page, PROT_NONE), 0);
		CHECK_STATUS(take_handle(&handle), TCPX_ECHANNEL);
		CHECK(strstr(t.why, "the CPU cannot read"));
		CHECK_EQ(mprotect(map + i * page, page, PROT_READ), 0);
	}
	CHECK_EQ(munmap(map + (n - 1) * page, page), 0);
	CHECK_STATUS(take_handle(&handle), TCPX_ECHANNEL);
	munmap(map, n * page);
}

/* ---- its start ------------------------------------------------------------ */

static bool pipe_was_shut, usr1_was_shut;

static int fake_init(netplugin_log_fn log)
{
	sigset_t now;

	pthread_sigmask(SIG_BLOCK, NULL, &now);
	pipe_was_shut = sigismember(&now, SIGPIPE);
	usr1_was_shut = sigismember(&now, SIGUSR1);
	prctl(PR_SET_TIMERSLACK, 1);
	return 0;
}

static int fake_devices(int *n)
{
	*n = 1;
	return 0;
}

static int fake_properties(int dev, struct plugin_props *props)
{
	return 0;
}

/* Of the program's own thread nothing is left changed, and the plugin's have
 * none of its signals. */
static void starts_apart(void)
{
	int slack = prctl(PR_GET_TIMERSLACK);
	char why[128];
	sigset_t now;

	CHECK(slack > 1);
	plugin.calls.init = fake_init;
	plugin.calls.devices = fake_devices;
	plugin.calls.properties = fake_properties;
	CHECK_STATUS(plugin_start(&plugin, why, sizeof(why)), TCPX_OK);
	CHECK(pipe_was_shut);
	CHECK(usr1_was_shut);
	CHECK_EQ(prctl(PR_GET_TIMERSLACK), slack);
	pthread_sigmask(SIG_BLOCK, NULL, &now);
	CHECK(!sigismember(&now, SIGPIPE));
	CHECK_EQ(plugin.n_devices, 1);
}

static const struct check_case cases[] = {
	{"peer_fits", peer_fits, 0},
	{"peer_differs", peer_differs, 0},
	{"peer_on_this_host", peer_on_this_host, 0},
	{"peer_of_another_kind", peer_of_another_kind, 0},
	{"handle_good", handle_good, 0},
	{"handles_unknown", handles_unknown, 0},
	{"handles_empty", handles_empty, 0},
	{"metadata_unreadable", metadata_unreadable, 0},
	{"starts_apart", starts_apart, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
