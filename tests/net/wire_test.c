/* SPDX-License-Identifier: Apache-2.0 */
/* Wires that are long, lossy, disorderly, or cut without a word. */
#include "check.h"
#include "e2e/duo.h"
#include "net/hosts.h"
#include "support/scale.h"

#define CAP (16u << 20)
#define SOON scale_ms(40000)

static struct host a, b;
static struct proc relay;

static void tweak(struct tcpx_config *config)
{
	config->ifnames = "wan0";
	config->n_flows = 2;
	config->liveness_ms = 1000;
	config->connect_timeout_ms = 3000;
}

static void tweak_cable(struct tcpx_config *config)
{
	tweak(config);
	config->ifnames = "r0";
	config->liveness_ms = 10000;
}

static void open_wire(struct duo *t, const char *const options[])
{
	static const char *env[] = {"TCPX_IFNAMES=wan0", "TCPX_FLOWS=2",
				    "TCPX_LIVENESS_MS=1000", NULL};
	struct duo_params params = {.cap_bytes = CAP,
				    .timeout_ms = SOON,
				    .env = env,
				    .tweak = tweak};

	hosts_need_root();
	host_create(&a);
	host_create(&b);
	relay_start(&relay, &a, &b, "10.9.0.1/24", "10.9.0.2/24", options);
	host_enter(&a);
	params.netns = b.netns;
	duo_open(t, &params);
}

static void close_wire(struct duo *t)
{
	duo_close(t);
	CHECK(proc_ask(&relay, "quit"));
	CHECK_EQ(proc_stop(&relay), 0);
	host_destroy(&a);
	host_destroy(&b);
}

static void round_trip_10_ms(void)
{
	const char *options[] = {"--delay", "5", "--mtu", "9000", NULL};
	struct duo t;
	uint64_t start;

	open_wire(&t, options);
	start = test_now_ns();
	duo_list(&t, TCPX_OP_WRITE, 1, 1, 8);
	CHECK(test_now_ns() - start >= 10000000u);
	duo_play(&t);
	close_wire(&t);
}

static void reordered(void)
{
	const char *options[] = {"--delay", "1", "--jitter", "2,30", NULL};
	struct duo t;

	open_wire(&t, options);
	duo_play(&t);
	CHECK(host_counter("TCPOFOQueue") > 0);
	close_wire(&t);
}

static void rate_limited(void)
{
	const char *options[] = {"--flow-rate", "400M", "--link-rate", "600M",
				 "--queue",	"20",	NULL};
	struct duo t;

	open_wire(&t, options);
	duo_play(&t);
	close_wire(&t);
}

/* What this host sent: or there was nothing to bear. */
static void must_have_lost(void)
{
	CHECK(host_counter("RetransSegs") > 0);
}

static void lossy_relay(void)
{
	const char *options[] = {"--loss", "2", "--delay", "0.5", NULL};
	const char *stats;
	struct duo t;

	open_wire(&t, options);
	duo_play(&t);
	must_have_lost();
	proc_send(&relay, "stats");
	stats = proc_line(&relay, SOON);
	CHECK(stats && strstr(stats, "dropped "));
	CHECK(!strstr(stats, "dropped 0 "));
	close_wire(&t);
}

/* Packets dropped in the kernel on a cable, 1 of 100 each way. */
static void lossy_cable(void)
{
	const char *env[] = {"TCPX_IFNAMES=r0", "TCPX_FLOWS=2", NULL};
	struct duo_params params = {.cap_bytes = CAP,
				    .timeout_ms = SOON,
				    .env = env,
				    .tweak = tweak_cable};
	static const char *const rules =
		"nft add table inet loss && nft add chain inet loss in "
		"'{ type filter hook input priority 0; }' && nft add rule inet "
		"loss in iifname r0 numgen random mod 100 lt 1 counter drop";
	static const char *const lost =
		"nft list table inet loss | grep -q 'packets [1-9].* drop'";
	struct duo t;

	hosts_need_root();
	host_create(&a);
	host_create(&b);
	hosts_link(&a, &b, "r0", "10.77.0.1/24", "10.77.0.2/24");
	/* Without offload a loss is a packet, not 64 KiB. */
	host_try(&a, "ip link set r0 gso_max_size 3000");
	host_try(&b, "ip link set r0 gso_max_size 3000");
	host_run(&a, "%s", rules);
	host_run(&b, "%s", rules);
	host_enter(&a);
	params.netns = b.netns;
	duo_open(&t, &params);
	duo_play(&t);
	host_run(&a, "%s", lost);
	host_run(&b, "%s", lost);
	must_have_lost();
	duo_close(&t);
	host_destroy(&a);
	host_destroy(&b);
}

/* The wire swallows everything: the peer is lost in its time, on both sides,
 * and can be had again when the wire is back. */
static void blackhole(const char *which, enum tcpx_op op)
{
	static struct tcpx_segment segments[4000];
	struct tcpx_xfer_info info;
	struct duo t;
	uint64_t xfer, start;
	int status;

	open_wire(&t, NULL);
	for (size_t i = 0; i < 4000; i++)
		segments[i] = (struct tcpx_segment){t.mem, 0, t.handle, 0, CAP};
	xfer = xfer_make(&t.sess, t.remote.peer, op, segments, 4000, 0);
	CHECK_STATUS(tcpx_xfer_post(t.sess.s, xfer, NULL), TCPX_OK);
	test_sleep_ms(100);
	CHECK_STATUS(tcpx_xfer_test(t.sess.s, xfer), TCPX_INPROGRESS);
	CHECK(proc_ask(&relay, "blackhole %s", which));
	start = test_now_ns();
	status = tcpx_xfer_wait(t.sess.s, xfer, SOON);
	start = test_now_ns() - start;
	CHECK_STATUS(tcpx_xfer_query(t.sess.s, xfer, &info), TCPX_OK);
	fprintf(stderr, "%s after %llu ms: %s\n", tcpx_status_name(status),
		(unsigned long long)start / 1000000, info.cause);
	CHECK_EQ(tcpx_status_scope(status), TCPX_SCOPE_PEER);
	CHECK(start > 400000000u);
	CHECK(start < (uint64_t)scale_ms(4000) * 1000000u);
	CHECK(info.cause[0]);
	remote_must(&t.remote, "lost %d", scale_ms(8000));
	CHECK(proc_ask(&relay, "blackhole off"));
	CHECK_STATUS(tcpx_xfer_release(t.sess.s, xfer), TCPX_OK);
	CHECK_STATUS(tcpx_peer_disconnect(t.sess.s, t.remote.peer), TCPX_OK);
	remote_join(&t.remote, &t.sess);
	duo_play(&t);
	close_wire(&t);
}

static void blackhole_in_write(void)
{
	blackhole("on", TCPX_OP_WRITE);
}

static void blackhole_in_read(void)
{
	blackhole("on", TCPX_OP_READ);
}

static void blackhole_one_way(void)
{
	blackhole("a-b", TCPX_OP_WRITE);
}

static void blackhole_other_way(void)
{
	blackhole("b-a", TCPX_OP_WRITE);
}

/* A wire that is only gone for a moment loses nobody. */
static void short_gap(void)
{
	struct duo t;

	open_wire(&t, NULL);
	for (int i = 0; i < 3; i++) {
		CHECK(proc_ask(&relay, "blackhole on"));
		test_sleep_ms(250);
		CHECK(proc_ask(&relay, "blackhole off"));
		duo_list(&t, TCPX_OP_WRITE, 5, 100, 10000);
	}
	CHECK_STATUS(tcpx_peer_wait(t.sess.s, t.remote.peer, 0), TCPX_OK);
	close_wire(&t);
}

static const struct check_case cases[] = {
	{"round_trip_10_ms", round_trip_10_ms, 90},
	{"reordered", reordered, 90},
	{"rate_limited", rate_limited, 90},
	{"lossy_relay", lossy_relay, 120},
	{"lossy_cable", lossy_cable, 120},
	{"blackhole_in_write", blackhole_in_write, 60},
	{"blackhole_in_read", blackhole_in_read, 60},
	{"blackhole_one_way", blackhole_one_way, 60},
	{"blackhole_other_way", blackhole_other_way, 60},
	{"short_gap", short_gap, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
