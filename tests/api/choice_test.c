/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which transport carries what, with several a peer at once: counted by the
 * sender's statistics, every byte checked. `loop-scatter` beside `socket` for
 * host memory; the net plugin transport (over a stand-in for a plugin, in
 * helper processes) beside `socket` for memory of two pretend GPUs.
 */
#include <dirent.h>
#include <jansson.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>

#include "check.h"
#include "fakes/netplugin/rxdm.h"
#include "support/scale.h"
#include "support/sess.h"

#define RW (TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE)
#define SOON scale_ms(20000)
#define LEN (3u << 20)
#define HOST (-1)

static const char *transports;

static void tweak(struct tcpx_config *config)
{
	config->transports = transports;
	config->n_flows = 2;
	config->gpu = "host";
}

/* ---- memory ----------------------------------------------------------- */

struct mem {
	struct sess *sess;
	int gpu;
	uint8_t *host;
	void *device;
	uint64_t id;
	size_t len;
};

static void mem_open(struct mem *m, struct sess *sess, int gpu, size_t len)
{
	*m = (struct mem){.sess = sess, .gpu = gpu, .len = len};
	m->host = calloc(1, len);
	CHECK(m->host);
	if (gpu != HOST)
		CHECK_STATUS(tcpx_gpu_alloc(sess->s, (uint32_t)gpu, len,
					    &m->device),
			     TCPX_OK);
	CHECK_STATUS(tcpx_mem_register(sess->s,
				       gpu == HOST ? m->host : m->device, len,
				       RW, &m->id),
		     TCPX_OK);
}

static void mem_close(struct mem *m)
{
	CHECK_STATUS(tcpx_mem_deregister(m->sess->s, m->id), TCPX_OK);
	if (m->device)
		CHECK_STATUS(tcpx_gpu_free(m->sess->s, (uint32_t)m->gpu,
					   m->device),
			     TCPX_OK);
	free(m->host);
}

static uint8_t byte_at(uint64_t seed, size_t i)
{
	return (uint8_t)((seed * 7919 + i) * 2654435761u >> 23);
}

static void mem_fill(struct mem *m, uint64_t seed)
{
	for (size_t i = 0; i < m->len; i++)
		m->host[i] = byte_at(seed, i);
	if (m->device)
		CHECK_STATUS(tcpx_gpu_copy(m->sess->s, (uint32_t)m->gpu,
					   m->device, m->host, m->len),
			     TCPX_OK);
}

static void mem_check(struct mem *m, uint64_t seed)
{
	if (m->device)
		CHECK_STATUS(tcpx_gpu_copy(m->sess->s, (uint32_t)m->gpu,
					   m->host, m->device, m->len),
			     TCPX_OK);
	for (size_t i = 0; i < m->len; i++)
		if (m->host[i] != byte_at(seed, i))
			CHECK_EQ(i, m->len);
}

/* ---- what is reported ------------------------------------------------- */

static json_t *parse(const char *buf)
{
	json_error_t error;
	json_t *root = json_loads(buf, 0, &error);

	CHECK(root);
	return root;
}

/* Payload that sess has given to lanes of that transport, to all peers. */
static uint64_t sent_by(struct sess *sess, const char *transport)
{
	static char buf[1 << 18];
	json_t *root, *peer, *rail;
	uint64_t sent = 0;
	size_t len, p, r;

	CHECK_STATUS(tcpx_session_stats_json(sess->s, buf, sizeof(buf), &len),
		     TCPX_OK);
	root = parse(buf);
	json_array_foreach(json_object_get(root, "peers"), p, peer)
		json_array_foreach(json_object_get(peer, "rails"), r, rail) if (
			!strcmp(json_string_value(
					json_object_get(rail, "transport")),
				transport))
			sent += (uint64_t)json_integer_value(
				json_object_get(rail, "sent_bytes"));
	json_decref(root);
	return sent;
}

/* Bytes that jobs of its GPUs have copied. */
static uint64_t copied_by_gpus(struct sess *sess)
{
	static char buf[1 << 18];
	json_t *root, *gpu;
	uint64_t copied = 0;
	size_t len, i;

	CHECK_STATUS(tcpx_session_stats_json(sess->s, buf, sizeof(buf), &len),
		     TCPX_OK);
	root = parse(buf);
	json_array_foreach(json_object_get(root, "gpus"), i, gpu)
		copied += (uint64_t)json_integer_value(
			json_object_get(gpu, "gpu_copied_bytes"));
	json_decref(root);
	return copied;
}

static json_t *describe(struct sess *sess, uint64_t peer)
{
	static char buf[1 << 18];
	size_t len;

	CHECK_STATUS(tcpx_peer_describe(sess->s, peer, buf, sizeof(buf), &len),
		     TCPX_OK);
	return parse(buf);
}

static bool is(const json_t *object, const char *key, const char *want)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && !strcmp(text, want);
}

/* The pair's entry; NULL if there is none. */
static json_t *find_pair(json_t *root, const char *local, const char *remote,
			 const char *direction)
{
	json_t *pair;
	size_t i;

	json_array_foreach(
		json_object_get(root, "pairs"), i,
		pair) if (is(pair, "local", local) &&
			  is(pair, "remote", remote) &&
			  (is(pair, "direction", direction) ||
			   is(pair, "direction", "both"))) return pair;
	return NULL;
}

static bool pair_goes_by(struct sess *sess, uint64_t peer, const char *local,
			 const char *remote, const char *direction,
			 const char *transport)
{
	json_t *root = describe(sess, peer);
	json_t *pair = find_pair(root, local, remote, direction);
	bool yes = pair && is(pair, "transport", transport);

	json_decref(root);
	return yes;
}

/* Is a reason with that text among the pair's rejected? */
static bool pair_rejects(struct sess *sess, uint64_t peer, const char *local,
			 const char *remote, const char *direction,
			 const char *transport, const char *text)
{
	json_t *root = describe(sess, peer), *one;
	json_t *pair = find_pair(root, local, remote, direction);
	bool yes = false;
	size_t i;

	json_array_foreach(json_object_get(pair, "rejected"), i, one) yes |=
		is(one, "transport", transport) &&
		strstr(json_string_value(json_object_get(one, "why")), text);
	if (!yes) {
		char *all = json_dumps(pair, JSON_INDENT(1));

		fprintf(stderr, "%s\n", all);
		free(all);
	}
	json_decref(root);
	return yes;
}

static int n_lanes(struct sess *sess, uint64_t peer, const char *transport,
		   const char *direction)
{
	json_t *root = describe(sess, peer), *one;
	int n = 0;
	size_t i;

	json_array_foreach(json_object_get(root, "transports"), i,
			   one) if (is(one, "transport", transport))
		n = (int)json_integer_value(json_object_get(one, direction));
	json_decref(root);
	return n;
}

/* Does a rail of the net plugin's say so of how it is used? */
static bool says_how(struct sess *sess, uint64_t peer, const char *text)
{
	json_t *root = describe(sess, peer), *one, *rail;
	bool yes = false;
	size_t i, k;

	json_array_foreach(json_object_get(root, "transports"), i, one)
		json_array_foreach(json_object_get(one, "rails"), k, rail)
			yes |=
		!!strstr(json_string_value(json_object_get(rail, "how")), text);
	json_decref(root);
	return yes;
}

/* Until all lanes of the transport are there, each way. */
static void await_lanes(struct pair *pair, const char *transport, int n)
{
	uint64_t end = test_now_ns() + (uint64_t)SOON * 1000000u;

	while (n_lanes(pair->a, pair->ab, transport, "sending") < n ||
	       n_lanes(pair->a, pair->ab, transport, "receiving") < n ||
	       n_lanes(pair->b, pair->ba, transport, "sending") < n) {
		CHECK(test_now_ns() < end);
		test_sleep_ms(20);
	}
}

/* ---- one transfer ----------------------------------------------------- */

static void move(struct pair *pair, enum tcpx_op op, int here, int there)
{
	uint64_t seed = check_seed() + (uint64_t)(op * 100 + here * 10 + there);
	struct mem local, remote;
	uint64_t xfer;

	mem_open(&local, pair->a, here, LEN);
	mem_open(&remote, pair->b, there, LEN);
	mem_fill(op == TCPX_OP_READ ? &remote : &local, seed);
	xfer = xfer_one(pair->a, pair->ab, op, local.id, 0,
			sess_share(pair->b, remote.id, pair->a), 0, LEN);
	CHECK_STATUS(tcpx_xfer_post(pair->a->s, xfer, NULL), TCPX_OK);
	CHECK_STATUS(pair_wait(pair, pair->a, xfer, SOON), TCPX_OK);
	mem_check(op == TCPX_OP_READ ? &local : &remote, seed);
	CHECK_STATUS(tcpx_xfer_release(pair->a->s, xfer), TCPX_OK);
	mem_close(&local);
	mem_close(&remote);
}

/* The transfer, and that nothing but that transport carried it. */
static void move_by(struct pair *pair, enum tcpx_op op, int here, int there,
		    const char *transport, const char *other)
{
	struct sess *from = op == TCPX_OP_READ ? pair->b : pair->a;
	uint64_t before = sent_by(from, transport);
	uint64_t others = sent_by(from, other);

	fprintf(stderr, "%s %d to %d by %s\n",
		op == TCPX_OP_READ ? "READ" : "WRITE", here, there, transport);
	move(pair, op, here, there);
	CHECK_EQ(sent_by(from, transport) - before, LEN);
	CHECK_EQ(sent_by(from, other) - others, 0);
}

/* ---- host memory ------------------------------------------------------ */

static void first_one_carries(const char *list, const char *first,
			      const char *other)
{
	struct pair pair;

	transports = list;
	pair_open(&pair, PAIR_TWO, tweak);
	await_lanes(&pair, "loop-scatter", 2);
	move_by(&pair, TCPX_OP_WRITE, HOST, HOST, first, other);
	move_by(&pair, TCPX_OP_READ, HOST, HOST, first, other);
	CHECK(pair_goes_by(pair.a, pair.ab, "host", "host", "send", first));
	CHECK(pair_goes_by(pair.b, pair.ba, "host", "host", "receive", first));
	CHECK(pair_rejects(pair.a, pair.ab, "host", "host", "send", other,
			   "behind"));
	CHECK_EQ(sess_warnings(pair.a) + sess_warnings(pair.b), 0);
	pair_close(&pair);
}

static void in_the_order_given(void)
{
	first_one_carries("loop-scatter,socket", "loop-scatter", "socket");
}

static void in_the_other_order(void)
{
	first_one_carries("socket,loop-scatter", "socket", "loop-scatter");
}

/* What the peer does not use is not waited for, and said. */
static void one_in_common(void)
{
	struct pair pair;

	transports = "loop-scatter,socket";
	sess_open(&pair.first, "a", tweak);
	transports = "socket";
	sess_open(&pair.second, "b", tweak);
	pair.a = &pair.first;
	pair.b = &pair.second;
	pair.ab = sess_connect(pair.a, pair.b);
	move_by(&pair, TCPX_OP_WRITE, HOST, HOST, "socket", "loop-scatter");
	CHECK(pair_rejects(pair.a, pair.ab, "host", "host", "send",
			   "loop-scatter", "the peer does not use it"));
	pair_close(&pair);
}

/* ---- over the net plugin ---------------------------------------------- */

static void need_plugin(void)
{
	if (!getenv("TCPX_NETPLUGIN_PATH"))
		SKIP("TCPX_NETPLUGIN_PATH is not set");
}

static void open_with_plugin(struct pair *pair, const char *faults)
{
	need_plugin();
	setenv("DOUBLE_FAULTS", faults, 1);
	transports = "netplugin,socket";
	pair_open(pair, PAIR_TWO, tweak);
}

/* Each GPU over its own lanes; what has no lane that fits, by socket. */
static void two_gpus(void)
{
	struct pair pair;

	open_with_plugin(&pair, "");
	await_lanes(&pair, "netplugin", 4);
	for (int op = 0; op < 2; op++) {
		enum tcpx_op which = op ? TCPX_OP_READ : TCPX_OP_WRITE;

		for (int gpu = 0; gpu < 2; gpu++) {
			move_by(&pair, which, gpu, gpu, "netplugin", "socket");
			move_by(&pair, which, gpu, 1 - gpu, "socket",
				"netplugin");
		}
		move_by(&pair, which, HOST, HOST, "socket", "netplugin");
	}
	/* Who receives decides. */
	move_by(&pair, TCPX_OP_WRITE, HOST, 1, "netplugin", "socket");
	move_by(&pair, TCPX_OP_WRITE, 1, HOST, "socket", "netplugin");
	move_by(&pair, TCPX_OP_READ, 0, HOST, "netplugin", "socket");
	move_by(&pair, TCPX_OP_READ, HOST, 0, "socket", "netplugin");
	CHECK(pair_goes_by(pair.a, pair.ab, "gpu:1", "gpu:1", "send",
			   "netplugin"));
	CHECK(pair_goes_by(pair.a, pair.ab, "gpu:0", "gpu:0", "receive",
			   "netplugin"));
	CHECK(pair_goes_by(pair.a, pair.ab, "host", "host", "send", "socket"));
	CHECK(pair_rejects(pair.a, pair.ab, "host", "host", "send", "netplugin",
			   "land in the memory of gpu:"));
	pair_close(&pair);
}

/* The GPUs of b are at home on two NICs, those of a on one of them: each
 * direction of each pair goes as far as it can. */
static void other_homes(void)
{
	struct pair pair;

	need_plugin();
	setenv("DOUBLE_NICS", "nic0=127.0.0.1,nic1=127.0.0.2", 1);
	unsetenv("NCCL_GPUDIRECTTCPX_SOCKET_IFNAME");
	transports = "netplugin,socket";
	setenv("TCPX_NETPLUGIN_MAP", "0=nic0,1=nic0", 1);
	sess_open(&pair.first, "a", tweak);
	setenv("TCPX_NETPLUGIN_MAP", "0=nic0,1=nic1", 1);
	sess_open(&pair.second, "b", tweak);
	pair.a = &pair.first;
	pair.b = &pair.second;
	pair.ab = sess_connect(pair.a, pair.b);
	struct tcpx_event event;

	CHECK_STATUS(tcpx_event_wait(pair.b->s, &event, SOON), TCPX_OK);
	pair.ba = event.peer;
	/* a can send to nic0 alone; b reaches both GPUs of a from there. */
	await_lanes(&pair, "netplugin", 2);
	while (n_lanes(pair.b, pair.ba, "netplugin", "sending") < 4)
		test_sleep_ms(20);
	CHECK_EQ(n_lanes(pair.a, pair.ab, "netplugin", "sending"), 2);
	move_by(&pair, TCPX_OP_WRITE, 0, 0, "netplugin", "socket");
	move_by(&pair, TCPX_OP_WRITE, 1, 1, "socket", "netplugin");
	CHECK(pair_rejects(pair.a, pair.ab, "host", "gpu:0", "receive",
			   "netplugin", "land in the memory of gpu:"));
	CHECK(sess_logged(pair.a, "at home on nic1"));
	CHECK(pair_rejects(pair.a, pair.ab, "gpu:1", "gpu:1", "send",
			   "netplugin", "at home on nic1"));
	CHECK(pair_goes_by(pair.a, pair.ab, "gpu:1", "gpu:1", "send",
			   "socket"));
	/* From b's GPU 0, whose home both of a's are on. */
	move_by(&pair, TCPX_OP_READ, 0, 0, "netplugin", "socket");
	move_by(&pair, TCPX_OP_READ, 1, 0, "netplugin", "socket");
	move_by(&pair, TCPX_OP_READ, 1, 1, "socket", "netplugin");
	pair_close(&pair);
}

/* The same bytes, taken out of the plugin's pages in each of three ways: once,
 * straight to where they belong, or twice, by a slot. */
static void unpacked(const char *setting, uint32_t n_times)
{
	struct pair pair;
	uint64_t before;

	if (setting)
		setenv(setting, "1", 1);
	open_with_plugin(&pair, "");
	await_lanes(&pair, "netplugin", 4);
	before = copied_by_gpus(pair.b);
	move_by(&pair, TCPX_OP_WRITE, 0, 0, "netplugin", "socket");
	move_by(&pair, TCPX_OP_WRITE, 1, 1, "netplugin", "socket");
	CHECK_EQ(copied_by_gpus(pair.b) - before, 2 * n_times * (uint64_t)LEN);
	before = copied_by_gpus(pair.a);
	move_by(&pair, TCPX_OP_READ, 1, 1, "netplugin", "socket");
	CHECK_EQ(copied_by_gpus(pair.a) - before, n_times * (uint64_t)LEN);
	pair_close(&pair);
}

static void unpacked_by_kernel(void)
{
	unpacked(NULL, 1);
}

static void unpacked_by_copy_engine(void)
{
	unpacked("TCPX_GPU_COPY_ENGINE", 1);
}

static void unpacked_through_host(void)
{
	unpacked("TCPX_GPU_THROUGH_HOST", 2);
}

/* SEND and RECV: the receiver's memory is told when they meet. */
static void matched(void)
{
	struct tcpx_segment seg = {.len_bytes = LEN};
	struct mem source, sink;
	struct pair pair;
	uint64_t send, recv;

	open_with_plugin(&pair, "");
	await_lanes(&pair, "netplugin", 4);
	mem_open(&source, pair.a, 1, LEN);
	mem_open(&sink, pair.b, 1, LEN);
	mem_fill(&source, 3);
	seg.local_mem = source.id;
	send = xfer_make(pair.a, pair.ab, TCPX_OP_SEND, &seg, 1, 5);
	seg.local_mem = sink.id;
	recv = xfer_make(pair.b, pair.ba, TCPX_OP_RECV, &seg, 1, 5);
	CHECK_STATUS(tcpx_xfer_post(pair.a->s, send, NULL), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_post(pair.b->s, recv, NULL), TCPX_OK);
	CHECK_STATUS(pair_wait(&pair, pair.b, recv, SOON), TCPX_OK);
	CHECK_STATUS(pair_wait(&pair, pair.a, send, SOON), TCPX_OK);
	mem_check(&sink, 3);
	CHECK_EQ(sent_by(pair.a, "netplugin"), LEN);
	CHECK_EQ(sent_by(pair.a, "socket"), 0);
	CHECK_STATUS(tcpx_xfer_release(pair.a->s, send), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_release(pair.b->s, recv), TCPX_OK);
	mem_close(&source);
	mem_close(&sink);
	pair_close(&pair);
}

/* The plugin takes its time to accept; nobody waits for it. */
static void slow_accept(void)
{
	struct pair pair;

	open_with_plugin(&pair, "accept_slow 2500");
	CHECK_EQ(n_lanes(pair.a, pair.ab, "netplugin", "sending"), 0);
	move_by(&pair, TCPX_OP_WRITE, 0, 0, "socket", "netplugin");
	move_by(&pair, TCPX_OP_READ, 1, 1, "socket", "netplugin");
	CHECK_EQ(n_lanes(pair.a, pair.ab, "netplugin", "sending"), 0);
	CHECK(pair_goes_by(pair.a, pair.ab, "host", "host", "send", "socket"));
	await_lanes(&pair, "netplugin", 4);
	move_by(&pair, TCPX_OP_WRITE, 0, 0, "netplugin", "socket");
	CHECK_EQ(sess_warnings(pair.a) + sess_warnings(pair.b), 0);
	pair_close(&pair);
}

/* ---- helpers that die ------------------------------------------------- */

/* Kills every helper process of this one; how many there were. */
static int kill_helpers(void)
{
	char path[64], line[512];
	int killed = 0;
	struct dirent *entry;
	DIR *proc = opendir("/proc");

	CHECK(proc);
	while ((entry = readdir(proc))) {
		int pid = atoi(entry->d_name), parent = 0;
		char *end;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		if (pid <= 0 || !(f = fopen(path, "re")))
			continue;
		if (fgets(line, sizeof(line), f) &&
		    (end = strrchr(line, ')')) &&
		    sscanf(end + 1, " %*c %d", &parent) == 1 &&
		    parent == getpid() && !kill(pid, SIGKILL))
			killed++;
		fclose(f);
	}
	closedir(proc);
	return killed;
}

static bool saw_flow_lost(struct sess *sess)
{
	struct tcpx_event event;
	bool seen = false;

	while (!tcpx_event_poll(sess->s, &event))
		seen |= event.kind == TCPX_EVENT_FLOW_LOST;
	return seen;
}

/* In the middle of a transfer: it goes on by what is left, with every byte
 * right, and the lanes come back. */
static void helper_killed(void)
{
	enum { BIG = 96 << 20 };
	struct mem local, remote;
	struct pair pair;
	uint64_t xfer;

	open_with_plugin(&pair, "");
	await_lanes(&pair, "netplugin", 4);
	mem_open(&local, pair.a, 0, BIG);
	mem_open(&remote, pair.b, 0, BIG);
	mem_fill(&local, 9);
	xfer = xfer_one(pair.a, pair.ab, TCPX_OP_WRITE, local.id, 0,
			sess_share(pair.b, remote.id, pair.a), 0, BIG);
	CHECK_STATUS(tcpx_xfer_post(pair.a->s, xfer, NULL), TCPX_OK);
	while (sent_by(pair.a, "netplugin") < BIG / 8)
		CHECK(tcpx_xfer_test(pair.a->s, xfer) >= 0);
	CHECK(kill_helpers() > 0);
	CHECK_STATUS(pair_wait(&pair, pair.a, xfer, SOON), TCPX_OK);
	mem_check(&remote, 9);
	CHECK(sent_by(pair.a, "socket") > 0);
	CHECK(saw_flow_lost(pair.a));
	CHECK(sess_logged(pair.a, "killed by signal 9") ||
	      sess_logged(pair.a, "is gone"));
	CHECK_STATUS(tcpx_xfer_release(pair.a->s, xfer), TCPX_OK);
	mem_close(&local);
	mem_close(&remote);
	CHECK(pair_goes_by(pair.a, pair.ab, "host", "host", "send", "socket"));
	await_lanes(&pair, "netplugin", 4);
	move_by(&pair, TCPX_OP_WRITE, 0, 0, "netplugin", "socket");
	pair_close(&pair);
}

/*
 * The same with pages that become somebody else's under copies that run, a
 * while before it is noticed: no byte of those is in what is done. GPUs take
 * their time, so that there are such copies.
 */
static void pages_taken_away(void)
{
	enum { BIG = 64 << 20 };
	struct mem local, remote;
	struct pair pair;
	uint64_t xfer;

	setenv("TCPX_GPU_HOST_DELAY_US", "3000", 1);
	setenv("TCPX_LOG_LEVEL", "info", 1);
	open_with_plugin(&pair, "scribble irecv_consumed 40");
	await_lanes(&pair, "netplugin", 4);
	mem_open(&local, pair.a, 0, BIG);
	mem_open(&remote, pair.b, 0, BIG);
	for (uint64_t seed = 20; seed < 22; seed++) {
		mem_fill(&local, seed);
		xfer = xfer_one(pair.a, pair.ab, TCPX_OP_WRITE, local.id, 0,
				sess_share(pair.b, remote.id, pair.a), 0, BIG);
		CHECK_STATUS(tcpx_xfer_post(pair.a->s, xfer, NULL), TCPX_OK);
		CHECK_STATUS(pair_wait(&pair, pair.a, xfer, SOON), TCPX_OK);
		mem_check(&remote, seed);
		CHECK_STATUS(tcpx_xfer_release(pair.a->s, xfer), TCPX_OK);
		CHECK(saw_flow_lost(pair.a));
		CHECK(sent_by(pair.a, "netplugin") > 0);
		await_lanes(&pair, "netplugin", 4);
	}
	CHECK(says_how(pair.b, pair.ba, "lends the plugin's pages"));
	mem_close(&local);
	mem_close(&remote);
	pair_close(&pair);
}

static void pages_not_to_be_lent(void)
{
	struct pair pair;

	setenv("TCPX_NETPLUGIN_LEND", "0", 1);
	open_with_plugin(&pair, "");
	await_lanes(&pair, "netplugin", 4);
	move(&pair, TCPX_OP_WRITE, 0, 0);
	CHECK(says_how(pair.b, pair.ba, "TCPX_NETPLUGIN_LEND is 0"));
	pair_close(&pair);
}

static void serve_pool(char dir[64], struct rxdm_pool *pool)
{
	snprintf(dir, 64, "/tmp/tcpx-rxdm-XXXXXX");
	CHECK(mkdtemp(dir));
	*pool = (struct rxdm_pool){"", memfd_create("pool", MFD_CLOEXEC),
				   512u << 20};
	CHECK_EQ(ftruncate(pool->fd, (off_t)pool->len_bytes), 0);
	CHECK_EQ(rxdm_serve(dir, pool, RXDM_GOOD), 0);
}

/* What the receive daemon gives the sessions is as long as what it gave the
 * plugin, and is not that: no byte of it counts, and the helpers copy. */
static void daemon_has_another_pool(void)
{
	static struct rxdm_pool pools[2];
	static char dirs[2][64];
	struct pair pair;

	for (int i = 0; i < 2; i++)
		serve_pool(dirs[i], &pools[i]);
	setenv("TCPX_GPU_HOST_UNSHARED", "export", 1);
	setenv("DOUBLE_POOL_FROM", dirs[0], 1);
	setenv("NCCL_GPUDIRECTTCPX_UNIX_CLIENT_PREFIX", dirs[1], 1);
	open_with_plugin(&pair, "");
	await_lanes(&pair, "netplugin", 4);
	for (int i = 0; i < 4; i++)
		move(&pair, TCPX_OP_WRITE, i % 2, i % 2);
	sess_await_warnings(pair.b, 2); /* a helper each */
	CHECK(says_how(pair.b, pair.ba, "the receive daemon's pool is not"));
	await_lanes(&pair, "netplugin", 4);
	move(&pair, TCPX_OP_WRITE, 0, 0);
	CHECK(sent_by(pair.a, "netplugin") > 0);
	pair_close(&pair);
	for (int i = 0; i < 2; i++)
		rxdm_clean(dirs[i]);
}

/* With nothing under way it is noticed, too, and said why. */
static void helper_killed_idle(void)
{
	uint64_t end = test_now_ns() + (uint64_t)SOON * 1000000u;
	struct pair pair;

	open_with_plugin(&pair, "");
	await_lanes(&pair, "netplugin", 4);
	move(&pair, TCPX_OP_WRITE, 0, 0);
	CHECK(kill_helpers() > 0);
	while (n_lanes(pair.a, pair.ab, "netplugin", "sending")) {
		CHECK(test_now_ns() < end);
		test_sleep_ms(10);
	}
	CHECK(pair_rejects(pair.a, pair.ab, "host", "host", "send", "netplugin",
			   "the plugin's process"));
	move_by(&pair, TCPX_OP_WRITE, 0, 0, "socket", "netplugin");
	pair_close(&pair);
}

/* ---- without sockets -------------------------------------------------- */

static void tweak_patient(struct tcpx_config *config)
{
	tweak(config);
	config->connect_timeout_ms = 30000;
}

static uint64_t connect_to(struct sess *from, struct sess *to)
{
	char blob[TCPX_BLOB_MAX];
	uint64_t peer;
	size_t len;

	CHECK_STATUS(tcpx_session_blob(to->s, blob, sizeof(blob), &len),
		     TCPX_OK);
	CHECK_STATUS(tcpx_peer_connect(from->s, blob, len, &peer), TCPX_OK);
	return peer;
}

/* The first transfer waits for the lanes: here the connection does. */
static void forbidden(void)
{
	struct pair pair;

	need_plugin();
	setenv("DOUBLE_FAULTS", "accept_slow 1000", 1);
	transports = "netplugin";
	pair_open(&pair, PAIR_TWO, tweak_patient);
	move(&pair, TCPX_OP_WRITE, 0, 0);
	CHECK_EQ(sent_by(pair.a, "netplugin"), LEN);
	pair_close(&pair);
}

/* None comes: refused, with the reason in words. */
static void forbidden_and_broken(void)
{
	struct sess a, b;
	json_t *root;
	const char *cause;

	need_plugin();
	setenv("DOUBLE_FAULTS", "error accept 1+", 1);
	transports = "netplugin";
	sess_open(&a, "a", tweak_patient);
	sess_open(&b, "b", tweak_patient);
	uint64_t peer = connect_to(&a, &b);

	CHECK_STATUS(tcpx_peer_wait(a.s, peer, scale_ms(30000)),
		     TCPX_EUNREACHABLE);
	root = describe(&a, peer);
	cause = json_string_value(json_object_get(root, "cause"));
	fprintf(stderr, "cause: %s\n", cause);
	/* The plugin's, or what the other end saw of it. */
	CHECK(strstr(cause, "netplugin: accept") ||
	      strstr(cause, "netplugin: the peer") ||
	      strstr(cause, "netplugin: closed"));
	json_decref(root);
	sess_close(&a);
	sess_close(&b);
}

static void nothing_in_common(void)
{
	struct sess a, b;

	transports = "loop";
	sess_open(&a, "a", tweak);
	transports = "socket";
	sess_open(&b, "b", tweak);
	uint64_t peer = connect_to(&a, &b);

	CHECK_STATUS(tcpx_peer_wait(a.s, peer, SOON), TCPX_EUNSUPPORTED);
	json_t *root = describe(&a, peer);

	fprintf(stderr, "cause: %s\n",
		json_string_value(json_object_get(root, "cause")));
	CHECK(strstr(json_string_value(json_object_get(root, "cause")),
		     "no transport in common"));
	sess_must_warn(&a, 1, "peer b: no transport in common");
	json_decref(root);
	sess_close(&a);
	sess_close(&b);
}

/* ---- what cannot be used here ----------------------------------------- */

static void plugin_not_here(void)
{
	struct pair pair;

	need_plugin();
	setenv("TCPX_NETPLUGIN_PATH", "/nowhere/libnccl-net.so", 1);
	transports = "netplugin,socket";
	pair_open(&pair, PAIR_TWO, tweak);
	move(&pair, TCPX_OP_WRITE, 0, 0);
	CHECK(pair_rejects(pair.a, pair.ab, "host", "host", "send", "netplugin",
			   "/nowhere/libnccl-net.so"));
	pair_close(&pair);
}

/* Settings that keep the plugin out: refused at open, in words. */
static void plugin_refused(void)
{
	struct pair pair;

	need_plugin();
	setenv("TCPX_NETPLUGIN_MAP", "7=lo", 1);
	setenv("TCPX_NETPLUGIN_ISOLATE", "0", 1);
	transports = "netplugin,socket";
	pair_open(&pair, PAIR_TWO, tweak);
	CHECK(pair_rejects(pair.a, pair.ab, "host", "host", "send", "netplugin",
			   "TCPX_NETPLUGIN_MAP"));
	pair_close(&pair);
}

static int said_fd;

static void say(void *arg, enum tcpx_log_level level, const char *subsystem,
		const char *line)
{
	(void)arg;
	if (level == TCPX_LOG_ERROR)
		dprintf(said_fd, "%s: %s\n", subsystem, line);
}

static void tweak_in_process(struct tcpx_config *config)
{
	tweak(config);
	config->log_fn = say;
}

static void move_until_it_ends(void)
{
	struct pair pair;

	setenv("TCPX_NETPLUGIN_ISOLATE", "0", 1);
	setenv("TCPX_NETPLUGIN_MAP", "0=lo", 1);
	setenv("TCPX_GPU_HOST_DEVICES", "1", 1);
	unsetenv("DOUBLE_MEMORY"); /* the helper's */
	setenv("DOUBLE_FAULTS", "exit accept 1", 1);
	transports = "netplugin,socket";
	pair_open(&pair, PAIR_SELF, tweak_in_process);
	for (int i = 0; i < 1000; i++)
		move(&pair, TCPX_OP_WRITE, 0, 0);
}

/* One that ends the process from within does not do so without a word, though
 * whose thread that is tells the program nothing. */
static void plugin_ends_the_process(void)
{
	char text[4096] = "";
	int fds[2], status;

	need_plugin();
	if (scale_sanitized())
		SKIP("a sanitizer looks for leaks while others still run");
	CHECK_EQ(pipe(fds), 0);
	said_fd = fds[1];
	pid_t pid = fork();

	if (pid == 0) {
		move_until_it_ends();
		_exit(2);
	}
	close(fds[1]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 1);
	CHECK(read(fds[0], text, sizeof(text) - 1) > 0);
	fprintf(stderr, "%s", text);
	CHECK(strstr(text, "probably by the net plugin") != NULL);
	CHECK(strstr(text, "CUDA call failed") != NULL);
	close(fds[0]);
}

static const struct check_case cases[] = {
	{"in_the_order_given", in_the_order_given, 60},
	{"in_the_other_order", in_the_other_order, 60},
	{"one_in_common", one_in_common, 60},
	{"two_gpus", two_gpus, 120},
	{"other_homes", other_homes, 60},
	{"unpacked_by_kernel", unpacked_by_kernel, 60},
	{"unpacked_by_copy_engine", unpacked_by_copy_engine, 60},
	{"unpacked_through_host", unpacked_through_host, 60},
	{"matched", matched, 60},
	{"slow_accept", slow_accept, 60},
	{"helper_killed", helper_killed, 120},
	{"pages_taken_away", pages_taken_away, 120},
	{"pages_not_to_be_lent", pages_not_to_be_lent, 120},
	{"daemon_has_another_pool", daemon_has_another_pool, 120},
	{"helper_killed_idle", helper_killed_idle, 60},
	{"forbidden", forbidden, 60},
	{"forbidden_and_broken", forbidden_and_broken, 60},
	{"nothing_in_common", nothing_in_common, 60},
	{"plugin_not_here", plugin_not_here, 60},
	{"plugin_refused", plugin_refused, 60},
	{"plugin_ends_the_process", plugin_ends_the_process, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
