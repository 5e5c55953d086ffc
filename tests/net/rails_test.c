/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts with several NICs, firewalls and address translation between them. */
#include <jansson.h>

#include "check.h"
#include "e2e/duo.h"
#include "net/hosts.h"
#include "net/talk.h"
#include "support/scale.h"

#define CAP (32u << 20)
#define SOON scale_ms(30000)

static struct host a, b;
static const char *ifnames_a, *ctrl_a;
static uint32_t flows_a = 1, connect_ms_a = 5000;

static void tweak(struct tcpx_config *config)
{
	config->ifnames = ifnames_a;
	config->ctrl_ifname = ctrl_a;
	config->n_flows = flows_a;
	config->liveness_ms = 1500;
	config->connect_timeout_ms = connect_ms_a;
	config->log_level = TCPX_LOG_INFO;
}

/* Two hosts with a cable for each rail; this process moves into a. */
static void two_hosts(int n_rails)
{
	hosts_need_root();
	host_create(&a);
	host_create(&b);
	for (int i = 0; i < n_rails; i++) {
		char dev[8], addr_a[32], addr_b[32];

		snprintf(dev, sizeof(dev), "r%d", i);
		snprintf(addr_a, sizeof(addr_a), "10.77.%d.1/24", i);
		snprintf(addr_b, sizeof(addr_b), "10.77.%d.2/24", i);
		hosts_link(&a, &b, dev, addr_a, addr_b);
	}
	host_enter(&a);
}

static void no_hosts(void)
{
	host_destroy(&a);
	host_destroy(&b);
}

static void open_duo(struct duo *t, const char *ifnames, const char *const *env)
{
	struct duo_params params = {.cap_bytes = CAP,
				    .timeout_ms = SOON,
				    .netns = b.netns,
				    .env = env,
				    .tweak = tweak};

	ifnames_a = ifnames;
	duo_open(t, &params);
}

static const char *two_rails_env[] = {"TCPX_IFNAMES=r0,r1", "TCPX_FLOWS=1",
				      "TCPX_LIVENESS_MS=1500", NULL};

static const bool all_used[3] = {true, true, true};

static uint64_t tx_bytes_of_rail(int rail)
{
	char dev[8];

	snprintf(dev, sizeof(dev), "r%d", rail);
	return device_tx_bytes(dev);
}

static bool shared(const uint64_t bytes[3], int n_rails, const bool used[3])
{
	uint64_t total = 0;
	bool each = true;

	for (int i = 0; i < n_rails; i++)
		total += bytes[i];
	for (int i = 0; i < n_rails; i++)
		each &= !used[i] || bytes[i] > total / 10;
	return each;
}

/*
 * WRITEs until each used rail has carried a tenth of all the bytes, or time
 * is up; bytes[i] left by rail i. One WRITE takes only milliseconds, so on
 * busy cores it can be over before the worker of one of its lanes has run.
 */
static void write_until_shared(struct duo *t, uint64_t bytes[3], int n_rails,
			       const bool used[3])
{
	uint64_t end = test_now_ns() + (uint64_t)SOON * 1000000u;
	uint64_t seed = check_seed(), before[3];

	for (int i = 0; i < n_rails; i++)
		before[i] = tx_bytes_of_rail(i);
	do {
		duo_list(t, TCPX_OP_WRITE, check_rand(&seed), 1, CAP);
		duo_list(t, TCPX_OP_WRITE, check_rand(&seed), 100, CAP / 100);
		for (int i = 0; i < n_rails; i++) {
			bytes[i] = tx_bytes_of_rail(i) - before[i];
			fprintf(stderr, "r%d has carried %llu bytes\n", i,
				(unsigned long long)bytes[i]);
		}
	} while (!shared(bytes, n_rails, used) && test_now_ns() < end);
	CHECK(shared(bytes, n_rails, used));
}

static void both_rails_used(void)
{
	uint64_t bytes[3];
	struct duo t;
	const char *json;
	json_t *root;
	json_error_t error;

	two_hosts(2);
	open_duo(&t, "r0,r1", two_rails_env);
	duo_play(&t);
	write_until_shared(&t, bytes, 2, all_used);
	json = remote_must(&t.remote, "describe %llu",
			   (unsigned long long)t.remote.back);
	fprintf(stderr, "%s\n", json);
	root = json_loads(json, 0, &error);
	CHECK(root);
	json_decref(root);
	duo_close(&t);
	no_hosts();
}

/* Why rail 1 has no flow, as the peer is described, or NULL. */
static const char *why_not_rail_1(struct duo *t)
{
	static char buf[16384], why[160];
	json_t *root, *one;
	const char *found = NULL;
	size_t len, i;

	CHECK_STATUS(tcpx_peer_describe(t->sess.s, t->remote.peer, buf,
					sizeof(buf), &len),
		     TCPX_OK);
	root = json_loads(buf, 0, NULL);
	CHECK(root);
	json_array_foreach(
		json_object_get(json_array_get(json_object_get(root, "pairs"),
					       0),
				"rejected"),
		i, one)
	{
		if (json_integer_value(json_object_get(one, "rail")) != 1)
			continue;
		snprintf(why, sizeof(why), "%s",
			 json_string_value(json_object_get(one, "why")));
		found = why;
	}
	json_decref(root);
	return found;
}

/* What comes to b by r1 is not even refused. */
static void swallow_rail_1(void)
{
	host_run(&b, "nft add table inet dead && nft add chain inet dead in "
		     "'{ type filter hook input priority 0; }' && "
		     "nft add rule inet dead in iifname r1 drop");
}

/* Nobody answers on one rail, and the peer is there by the other one; the first
 * joins when it is mended. */
static void dead_rail_joins_later(void)
{
	uint64_t bytes[3];
	struct duo t;

	two_hosts(2);
	swallow_rail_1();
	/* Twice as long as it is waited for. */
	connect_ms_a = (uint32_t)scale_ms(20000);
	open_duo(&t, "r0,r1", two_rails_env);
	CHECK(why_not_rail_1(&t));
	fprintf(stderr, "%s\n", why_not_rail_1(&t));
	duo_play(&t);
	host_run(&b, "nft delete table inet dead");
	write_until_shared(&t, bytes, 2, all_used);
	CHECK(!why_not_rail_1(&t));
	duo_close(&t);
	no_hosts();
}

/* What is tried again and again says all the while why it is not there. */
static void dead_rail_says_why(void)
{
	uint64_t end;
	struct duo t;

	two_hosts(2);
	swallow_rail_1();
	connect_ms_a = 1000;
	open_duo(&t, "r0,r1", two_rails_env);
	end = test_now_ns() + (uint64_t)SOON * 1000000u;
	while (!strstr(why_not_rail_1(&t), "no answer in time")) {
		CHECK(test_now_ns() < end);
		test_sleep_ms(10);
	}
	for (int i = 0; i < 200; i++) {
		CHECK(strstr(why_not_rail_1(&t), "no answer in time"));
		test_sleep_ms(10);
	}
	duo_close(&t);
	no_hosts();
}

/* Without any flow there is no peer, and the cause is said. */
static void no_rail_answers(void)
{
	const char *env[] = {"TCPX_IFNAMES=r1", "TCPX_CTRL_IFNAME=r0", NULL};
	struct remote remote;
	struct sess sess;

	two_hosts(2);
	swallow_rail_1();
	ifnames_a = "r1";
	connect_ms_a = 2000;
	sess_open(&sess, "tester", tweak);
	remote_start(&remote, "peerd", b.netns, env);
	CHECK_STATUS(remote_connect(&remote, &sess, SOON), TCPX_EUNREACHABLE);
	sess_must_warn(&sess, 1, "no flow could be opened: socket: 10.77.1.2");
	remote_end(&remote);
	sess_close(&sess);
	no_hosts();
}

/* ---- two rails in one subnet ---- */

static void one_subnet(void)
{
	hosts_need_root();
	host_create(&a);
	host_create(&b);
	hosts_link(&a, &b, "r0", "10.77.0.1/24", "10.77.0.2/24");
	hosts_link(&a, &b, "r1", "10.77.0.3/24", "10.77.0.4/24");
	host_enter(&a);
}

/* The detour of that rail, in words, or "". */
static void detour_of(const char *json, size_t rail, char *to, size_t cap)
{
	json_t *root = json_loads(json, 0, NULL);
	json_t *one = json_array_get(
		json_object_get(json_array_get(json_object_get(root, "pairs"),
					       0),
				"rails"),
		rail);

	CHECK_EQ(json_integer_value(json_object_get(one, "rail")), rail);
	snprintf(to, cap, "%s",
		 json_string_value(json_object_get(one, "detour")));
	json_decref(root);
}

static void detours(struct duo *t, char texts[4][96])
{
	static char buf[16384];
	const char *json;
	size_t len;

	CHECK_STATUS(tcpx_peer_describe(t->sess.s, t->remote.peer, buf,
					sizeof(buf), &len),
		     TCPX_OK);
	detour_of(buf, 0, texts[0], 96);
	detour_of(buf, 1, texts[1], 96);
	json = remote_must(&t->remote, "describe %llu",
			   (unsigned long long)t->remote.back);
	detour_of(json, 0, texts[2], 96);
	detour_of(json, 1, texts[3], 96);
	for (int i = 0; i < 4; i++)
		fprintf(stderr, "%s, rail %d: \"%s\"\n", i < 2 ? "a" : "b",
			i % 2, texts[i]);
}

/* The kernel sends all of it by the first: that is said. */
static void one_subnet_is_said(void)
{
	char texts[4][96];
	struct duo t;

	one_subnet();
	open_duo(&t, "r0,r1", two_rails_env);
	sess_must_warn(&t.sess, 1,
		       "rail 1 is r1, but the kernel sends from its address to "
		       "its subnet, 10.77.0.0/24, by r0");
	duo_play(&t);
	detours(&t, texts);
	for (int i = 0; i < 4; i++)
		CHECK_STR(texts[i], i % 2 ? "leaves by r0: that is the "
					    "kernel's route from the address "
					    "of r1 to there" :
					    "");
	duo_close(&t);
	no_hosts();
}

/* What the warning advises, on both sides. */
static void one_subnet_by_source(void)
{
	static const char *const rule =
		"ip route add 10.77.0.0/24 dev r1 table 11 && "
		"ip rule add from 10.77.0.%d table 11";

	one_subnet();
	host_run(&a, rule, 3);
	host_run(&b, rule, 4);
}

static void one_subnet_routed(void)
{
	uint64_t bytes[3];
	char texts[4][96];
	struct duo t;

	one_subnet_by_source();
	open_duo(&t, "r0,r1", two_rails_env);
	write_until_shared(&t, bytes, 2, all_used);
	detours(&t, texts);
	for (int i = 0; i < 4; i++)
		CHECK_STR(texts[i], "");
	CHECK_EQ(sess_warnings(&t.sess), 0);
	duo_close(&t);
	no_hosts();
}

/* The only rail is the one asked for, and not what the kernel would take. */
static void one_subnet_one_rail(void)
{
	const char *env[] = {"TCPX_IFNAMES=r1", "TCPX_FLOWS=1", NULL};
	const bool used[] = {false, true, false};
	uint64_t bytes[3];
	struct duo t;

	one_subnet_by_source();
	open_duo(&t, "r1", env);
	write_until_shared(&t, bytes, 2, used);
	CHECK(bytes[0] < CAP / 10);
	CHECK_EQ(sess_warnings(&t.sess), 0);
	duo_close(&t);
	no_hosts();
}

/* The cable of one rail is pulled in mid-transfer: the transfer ends well
 * over the other, and so do those that follow. */
static void cut_rail(bool there)
{
	struct tcpx_segment segments[80];
	struct duo t;
	uint64_t xfer, before;

	two_hosts(2);
	ctrl_a = "r0";
	open_duo(&t, "r0,r1", two_rails_env);
	/* Long enough to be in the middle, short enough to end. */
	for (size_t i = 0; i < 80; i++)
		segments[i] = (struct tcpx_segment){t.mem, 0, t.handle, 0, CAP};
	xfer = xfer_make(&t.sess, t.remote.peer, TCPX_OP_WRITE, segments, 80,
			 0);
	before = tx_bytes_of_rail(1);
	CHECK_STATUS(tcpx_xfer_post(t.sess.s, xfer, NULL), TCPX_OK);
	while (tx_bytes_of_rail(1) - before < CAP / 16)
		CHECK_STATUS(tcpx_xfer_test(t.sess.s, xfer), TCPX_INPROGRESS);
	host_run(there ? &b : &a, "ip link set r1 down");
	CHECK_STATUS(tcpx_xfer_wait(t.sess.s, xfer, SOON), TCPX_OK);
	duo_same(&t);
	CHECK_STATUS(tcpx_xfer_release(t.sess.s, xfer), TCPX_OK);
	duo_play(&t);
	CHECK_STATUS(tcpx_peer_wait(t.sess.s, t.remote.peer, 0), TCPX_OK);
	duo_close(&t);
	no_hosts();
}

static void cut_rail_here(void)
{
	cut_rail(false);
}

static void cut_rail_there(void)
{
	cut_rail(true);
}

static bool has_cut(void)
{
	return !host_try(&b, "nft list table inet cut | "
			     "grep 'packets [1-9]' >/dev/null");
}

/* ---- notifications while a rail comes and goes ---- */

static void notes_while_rails_are_cut(void)
{
	struct duo t;
	struct talk talk;
	uint64_t before;

	two_hosts(2);
	ctrl_a = "r0";
	open_duo(&t, "r0,r1", two_rails_env);
	talk_begin(&talk, &t, CAP);
	for (int i = 0; i < 4; i++) {
		struct host *host = i % 2 ? &b : &a;

		before = tx_bytes_of_rail(1);
		while (tx_bytes_of_rail(1) - before < CAP / 16)
			test_sleep_ms(1);
		host_run(host, "ip link set r1 down");
		/* The flow on it breaks in the liveness time, or lives. */
		test_sleep_ms(i < 2 ? 2500 : 200);
		host_run(host, "ip link set r1 up");
	}
	talk_end(&talk);
	duo_play(&t);
	duo_close(&t);
	no_hosts();
}

/* One flow of several is reset in mid-transfer, again and again. */
static void reset_flows(void)
{
	const char *env[] = {"TCPX_IFNAMES=r0", "TCPX_FLOWS=4",
			     "TCPX_LIVENESS_MS=1500", NULL};
	struct duo t;
	uint64_t seed = check_seed();

	two_hosts(1);
	flows_a = 4;
	open_duo(&t, "r0", env);
	duo_play(&t);
	/* The busiest connection, so not the control connection. */
	host_run(&b, "nft add table inet cut && nft add chain inet cut in "
		     "'{ type filter hook input priority 0; }'");
	host_run(&a,
		 "ss -HtniO dst 10.77.0.2 | sed 's/.*10.77.0.1:\\([0-9]*\\).*"
		 "bytes_sent:\\([0-9]*\\).*/\\2 \\1/' | sort -n | tail -1 | "
		 "cut -d' ' -f2 > /tmp/port.%d",
		 getpid());
	host_run(&b,
		 "nft add rule inet cut in tcp sport $(cat /tmp/port.%d) "
		 "counter reject with tcp reset; rm /tmp/port.%d",
		 getpid(), getpid());
	for (int i = 0; i < 4 || !has_cut(); i++)
		duo_list(&t, i % 2 ? TCPX_OP_READ : TCPX_OP_WRITE,
			 check_rand(&seed), 200, CAP / 200);
	duo_play(&t);
	duo_close(&t);
	no_hosts();
}

/* Only one port of b may be knocked at, and none of a. */
static void one_port_firewall(void)
{
	const char *env[] = {"TCPX_IFNAMES=r0,r1", "TCPX_FLOWS=3",
			     "TCPX_PORT=7771", NULL};
	static const char *const rules =
		"nft add table inet fw && nft add chain inet fw in "
		"'{ type filter hook input priority 0; policy drop; }' && "
		"nft add rule inet fw in ct state established,related accept "
		"&& nft add rule inet fw in iifname lo accept";
	struct duo t;
	uint64_t bytes[3];

	two_hosts(2);
	flows_a = 3;
	host_run(&a, "%s", rules);
	host_run(&b, "%s && nft add rule inet fw in tcp dport 7771 accept",
		 rules);
	open_duo(&t, "r0,r1", env);
	CHECK_EQ(t.remote.port, 7771);
	duo_play(&t);
	write_until_shared(&t, bytes, 2, all_used);
	duo_close(&t);
	no_hosts();
}

static void ipv6_only(void)
{
	const char *env[] = {"TCPX_IFNAMES=r0", "TCPX_SECRET=six", NULL};
	struct remote client;
	struct duo t;
	const char *answer;

	hosts_need_root();
	host_create(&a);
	host_create(&b);
	hosts_link(&a, &b, "r0", "fd77::1/64", "fd77::2/64");
	host_enter(&a);
	open_duo(&t, "r0", env);
	duo_play(&t);
	remote_start(&client, "client", a.netns, env);
	answer = remote_must(&client, "connect_to [fd77::2]:%u", t.remote.port);
	remote_must(&client, "wait %llu 5000", strtoull(answer, NULL, 10));
	remote_end(&client);
	duo_close(&t);
	no_hosts();
}

/* b behind a router that translates `port` of its to b's: what b advertises is
 * the router's address, which b does not have; a has no way to b's own. */
static void behind_router(const char *advertised, int port)
{
	char variable[64];
	const char *env[] = {"TCPX_IFNAMES=r1", "TCPX_PORT=7772", variable,
			     "TCPX_FLOWS=2", NULL};
	struct host router;
	struct duo t;

	hosts_need_root();
	host_create(&a);
	host_create(&b);
	host_create(&router);
	hosts_link(&a, &router, "r0", "10.1.0.1/24", "10.1.0.254/24");
	hosts_link(&router, &b, "r1", "10.2.0.254/24", "10.2.0.2/24");
	host_run(&b, "ip route add default via 10.2.0.254");
	host_run(&router, "echo 1 > /proc/sys/net/ipv4/ip_forward");
	host_run(&router, "nft add table ip nat && nft add chain ip nat pre "
			  "'{ type nat hook prerouting priority -100; }'");
	host_run(&router,
		 "nft add rule ip nat pre iifname r0 tcp dport %d "
		 "dnat to 10.2.0.2:7772",
		 port);
	snprintf(variable, sizeof(variable), "TCPX_ADVERTISE=%s", advertised);
	host_enter(&a);
	flows_a = 2;
	open_duo(&t, "r0", env);
	duo_play(&t);
	duo_close(&t);
	host_destroy(&router);
	no_hosts();
}

static void behind_nat(void)
{
	behind_router("10.1.0.254", 7772);
}

static void behind_nat_of_ports(void)
{
	behind_router("10.1.0.254:9000", 9000);
}

/* What is not on the list carries nothing. */
static void interface_list(const char *list, const bool used[3])
{
	char var[64];
	const char *env[] = {var, "TCPX_FLOWS=1", NULL};
	uint64_t bytes[3];
	struct duo t;

	two_hosts(3);
	snprintf(var, sizeof(var), "TCPX_IFNAMES=%s", list);
	open_duo(&t, list, env);
	write_until_shared(&t, bytes, 3, used);
	for (int i = 0; i < 3; i++)
		CHECK(used[i] || bytes[i] < 100000);
	duo_close(&t);
	no_hosts();
}

static void interface_include(void)
{
	const bool used[] = {true, false, true};

	interface_list("r0,r2", used);
}

static void interface_exclude(void)
{
	const bool used[] = {false, true, true};

	interface_list("^r0,lo", used);
}

static void control_apart(void)
{
	const char *env[] = {"TCPX_IFNAMES=r1", "TCPX_CTRL_IFNAME=r0",
			     "TCPX_FLOWS=1", NULL};
	const bool used[] = {false, true, false};
	uint64_t bytes[3];
	struct duo t;

	two_hosts(2);
	ctrl_a = "r0";
	open_duo(&t, "r1", env);
	write_until_shared(&t, bytes, 2, used);
	CHECK(bytes[0] > 0 && bytes[0] < CAP / 10);
	duo_close(&t);
	no_hosts();
}

/* Addresses are advertised for rails: that does not move the control
 * connection to one of them. */
static void control_apart_advertised(void)
{
	const char *env[] = {"TCPX_IFNAMES=r1", "TCPX_CTRL_IFNAME=r0",
			     "TCPX_ADVERTISE=10.77.1.2", "TCPX_FLOWS=1", NULL};
	const bool used[] = {false, true, false};
	uint64_t bytes[3];
	struct duo t;

	two_hosts(2);
	open_duo(&t, "r1", env);
	write_until_shared(&t, bytes, 2, used);
	CHECK(bytes[0] > 0 && bytes[0] < CAP / 10);
	duo_close(&t);
	no_hosts();
}

/* No such rail on the other side: what can be reached is used. */
static void unequal_rails(void)
{
	const char *env[] = {"TCPX_IFNAMES=r0", "TCPX_FLOWS=1", NULL};
	struct duo t;

	two_hosts(2);
	open_duo(&t, "r0,r1", env);
	duo_play(&t);
	duo_close(&t);
	no_hosts();
}

static const struct check_case cases[] = {
	{"both_rails_used", both_rails_used, 60},
	{"dead_rail_joins_later", dead_rail_joins_later, 90},
	{"dead_rail_says_why", dead_rail_says_why, 60},
	{"no_rail_answers", no_rail_answers, 60},
	{"one_subnet_is_said", one_subnet_is_said, 60},
	{"one_subnet_routed", one_subnet_routed, 60},
	{"one_subnet_one_rail", one_subnet_one_rail, 60},
	{"cut_rail_here", cut_rail_here, 90},
	{"cut_rail_there", cut_rail_there, 90},
	{"notes_while_rails_are_cut", notes_while_rails_are_cut, 90},
	{"reset_flows", reset_flows, 60},
	{"one_port_firewall", one_port_firewall, 60},
	{"ipv6_only", ipv6_only, 60},
	{"behind_nat", behind_nat, 60},
	{"behind_nat_of_ports", behind_nat_of_ports, 60},
	{"interface_include", interface_include, 60},
	{"interface_exclude", interface_exclude, 60},
	{"control_apart", control_apart, 60},
	{"control_apart_advertised", control_apart_advertised, 60},
	{"unequal_rails", unequal_rails, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
