/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rail that carries the control connection is cut: it is taken up again over
 * another one, by who opened it, on whichever side the cable is pulled; and
 * nobody is waited for who will not come back.
 */
#include <jansson.h>

#include "check.h"
#include "e2e/duo.h"
#include "net/hosts.h"
#include "net/talk.h"
#include "support/scale.h"

#define CAP (32u << 20)
#define SOON scale_ms(30000)

static struct host a, b;
static uint32_t liveness_ms = 1500;

static void tweak(struct tcpx_config *config)
{
	config->ifnames = "r0,r1";
	config->ctrl_ifname = "r0";
	config->n_flows = 1;
	config->liveness_ms = liveness_ms;
	config->connect_timeout_ms = 5000;
	config->log_level = TCPX_LOG_INFO;
}

/* Two hosts with a cable for each rail; this process moves into a. */
static void two_hosts(void)
{
	hosts_need_root();
	host_create(&a);
	host_create(&b);
	hosts_link(&a, &b, "r0", "10.77.0.1/24", "10.77.0.2/24");
	hosts_link(&a, &b, "r1", "10.77.1.1/24", "10.77.1.2/24");
	host_enter(&a);
}

static void no_hosts(void)
{
	host_destroy(&a);
	host_destroy(&b);
}

static void open_duo(struct duo *t)
{
	char liveness[40];
	const char *env[] = {"TCPX_IFNAMES=r0,r1", "TCPX_CTRL_IFNAME=r0",
			     "TCPX_FLOWS=1", liveness, NULL};
	struct duo_params params = {.cap_bytes = CAP,
				    .timeout_ms = SOON,
				    .netns = b.netns,
				    .env = env,
				    .tweak = tweak};

	snprintf(liveness, sizeof(liveness), "TCPX_LIVENESS_MS=%u",
		 liveness_ms);
	duo_open(t, &params);
}

static uint64_t resumed_in(const char *json)
{
	json_t *root = json_loads(json, 0, NULL);
	uint64_t n;

	CHECK(root);
	n = (uint64_t)json_integer_value(json_object_get(
		json_object_get(root, "session"), "control_resumed"));
	json_decref(root);
	return n;
}

static uint64_t resumed_here(struct duo *t)
{
	static char buf[16384];
	size_t len;

	CHECK_STATUS(tcpx_session_stats_json(t->sess.s, buf, sizeof(buf), &len),
		     TCPX_OK);
	return resumed_in(buf);
}

static uint64_t resumed_there(struct duo *t)
{
	return resumed_in(remote_must(&t->remote, "stats"));
}

/* ---- until it is taken up again ---- */

static void await_resumed(struct talk *talk, uint64_t n)
{
	uint64_t end = test_now_ns() + (uint64_t)SOON * 1000000u;

	while (resumed_here(talk->t) < n || resumed_there(talk->t) < n) {
		CHECK(test_now_ns() < end);
		talk_back_for(talk, 20);
	}
}

/* ---- the cases ---- */

/* The cable of the control connection's rail is pulled in mid-transfer. */
static void cut_control(struct host *host)
{
	struct talk talk;
	struct duo t;

	two_hosts();
	open_duo(&t);
	talk_begin(&talk, &t, CAP);
	talk_back_for(&talk, 100);
	host_run(host, "ip link set r0 down");
	await_resumed(&talk, 1);
	CHECK(sess_logged(&t.sess, "taken up again over rail 1 (r1)"));
	talk_back_for(&talk, 100);
	talk_end(&talk);
	CHECK_STATUS(tcpx_peer_wait(t.sess.s, t.remote.peer, 0), TCPX_OK);
	duo_play(&t);
	duo_close(&t);
	no_hosts();
}

static void cut_control_here(void)
{
	cut_control(&a);
}

static void cut_control_there(void)
{
	cut_control(&b);
}

/* To and fro: each time the rail that it is on by now. */
static void cut_control_by_turns(void)
{
	struct talk talk;
	struct duo t;

	two_hosts();
	open_duo(&t);
	talk_begin(&talk, &t, CAP);
	for (unsigned int i = 0; i < 4; i++) {
		struct host *host = i / 2 ? &b : &a;
		char line[64];

		talk_back_for(&talk, 50);
		host_run(host, "ip link set r%u down", i % 2);
		await_resumed(&talk, i + 1);
		snprintf(line, sizeof(line),
			 "taken up again over rail %u (r%u)", !(i % 2),
			 !(i % 2));
		CHECK(sess_logged(&t.sess, line));
		host_run(host, "ip link set r%u up", i % 2);
		/* Its flow comes back, too. */
		talk_back_for(&talk, 3000);
	}
	talk_end(&talk);
	duo_play(&t);
	duo_close(&t);
	no_hosts();
}

/* The connection is reset by what is between, again and again, as a firewall
 * does that has forgotten it. */
static void reset_control(void)
{
	struct talk talk;
	struct duo t;

	two_hosts();
	open_duo(&t);
	host_run(&b, "nft add table inet cut && nft add chain inet cut in "
		     "'{ type filter hook input priority 0; }'");
	talk_begin(&talk, &t, CAP);
	for (unsigned int i = 0; i < 10; i++) {
		/* The one that has sent least. */
		host_run(&a,
			 "ss -HtniO dst 10.77.0.2 | "
			 "sed 's/.*10.77.0.1:\\([0-9]*\\).*"
			 "bytes_sent:\\([0-9]*\\).*/\\2 \\1/' | sort -n | "
			 "head -1 | cut -d' ' -f2 > /tmp/port.%d",
			 getpid());
		host_run(&b,
			 "nft add rule inet cut in tcp sport "
			 "$(cat /tmp/port.%d) reject with tcp reset; "
			 "rm /tmp/port.%d",
			 getpid(), getpid());
		await_resumed(&talk, i + 1);
	}
	talk_end(&talk);
	duo_play(&t);
	duo_close(&t);
	no_hosts();
}

/* Nothing is left to take it up over: both are lost, in time. */
static void no_rail_left(void)
{
	struct duo t;

	two_hosts();
	open_duo(&t);
	host_run(&a, "ip link set r0 down");
	host_run(&b, "ip link set r1 down");
	remote_must(&t.remote, "lost %d", SOON);
	CHECK(sess_logged(&t.sess, "lost peer "));
	CHECK_STATUS(tcpx_peer_wait(t.sess.s, t.remote.peer, SOON),
		     TCPX_ELIVENESS);
	CHECK_EQ(resumed_here(&t), 0);
	CHECK_STATUS(tcpx_peer_disconnect(t.sess.s, t.remote.peer), TCPX_OK);
	host_run(&a, "ip link set r0 up");
	host_run(&b, "ip link set r1 up");
	remote_join(&t.remote, &t.sess);
	duo_play(&t);
	duo_close(&t);
	no_hosts();
}

/* The process ends, and another one of the same name and port is there by the
 * time somebody asks for the first: that is said at once, and nobody waits for
 * the hour that silence would take. */
static void restarted(void)
{
	const char *env[] = {"TCPX_IFNAMES=r0,r1", "TCPX_PORT=7771",
			     "TCPX_LIVENESS_MS=20000", NULL};
	struct remote first, second;
	struct tcpx_event event;
	struct sess sess;

	two_hosts();
	liveness_ms = 20000;
	sess_open(&sess, "tester", tweak);
	remote_start(&first, "peerd", b.netns, env);
	remote_join(&first, &sess);
	/* Who asks is not heard until the other one is there. */
	host_run(&b, "nft add table inet deaf && nft add chain inet deaf in "
		     "'{ type filter hook input priority 0; }' && "
		     "nft add rule inet deaf in 'tcp flags & (syn | ack) == "
		     "syn drop'");
	remote_kill(&first);
	remote_start(&second, "peerd", b.netns, env);
	host_run(&b, "nft delete table inet deaf");
	do {
		CHECK_STATUS(tcpx_event_wait(sess.s, &event, SOON), TCPX_OK);
	} while (event.kind != TCPX_EVENT_PEER_LOST);
	fprintf(stderr, "%s\n", event.cause);
	CHECK_STATUS(event.status, TCPX_EPEER);
	CHECK(strstr(event.cause, "another session listens"));
	CHECK_STATUS(tcpx_peer_disconnect(sess.s, first.peer), TCPX_OK);
	remote_join(&second, &sess);
	remote_end(&second);
	sess_close(&sess);
	no_hosts();
}

static const struct check_case cases[] = {
	{"cut_control_here", cut_control_here, 90},
	{"cut_control_there", cut_control_there, 90},
	{"cut_control_by_turns", cut_control_by_turns, 120},
	{"reset_control", reset_control, 90},
	{"no_rail_left", no_rail_left, 90},
	{"restarted", restarted, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
