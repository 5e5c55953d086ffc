/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plugin's table of agents and its thread, on a library that is only
 * pretended: what connects, is lost and is given up is what a case says.
 */
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include <pthread.h>
#include <signal.h>

#include "check.h"
#include "common.h"
#include "peers.h"

extern "C" {
#include "support/scale.h"
}

/* ---- the library ------------------------------------------------------ */

static struct {
	std::mutex lock;
	std::condition_variable changed;
	std::map<uint64_t, int> peers; /* handle to status */
	std::deque<struct tcpx_event> events;
	uint64_t last = 0;
	int disconnects = 0; /* so many so far */
	std::thread::id disconnector;
	bool stuck = false; /* disconnect waits until this is over */
	bool in_disconnect = false;
	bool full = false; /* no notification can be sent */
	int no_such = 0; /* calls with a handle that is none */
} lib;

static int status_of(uint64_t peer)
{
	auto found = lib.peers.find(peer);

	if (found != lib.peers.end())
		return found->second;
	lib.no_such++;
	return TCPX_ENOENT;
}

static void put_event(enum tcpx_event_kind kind, uint64_t peer, bool incoming)
{
	struct tcpx_event event = {};

	event.kind = kind;
	event.peer = peer;
	event.incoming = incoming;
	lib.events.push_back(event);
}

int tcpx_peer_connect(struct tcpx_session *, const void *, size_t,
		      uint64_t *peer)
{
	std::lock_guard<std::mutex> hold(lib.lock);

	*peer = ++lib.last;
	lib.peers[*peer] = 0;
	return 0;
}

int tcpx_peer_wait(struct tcpx_session *, uint64_t peer, int)
{
	std::lock_guard<std::mutex> hold(lib.lock);

	return status_of(peer);
}

int tcpx_peer_disconnect(struct tcpx_session *, uint64_t peer)
{
	std::unique_lock<std::mutex> hold(lib.lock);

	if (status_of(peer) == TCPX_ENOENT)
		return TCPX_ENOENT;
	lib.in_disconnect = true;
	lib.changed.notify_all();
	lib.changed.wait(hold, [] { return !lib.stuck; });
	lib.in_disconnect = false;
	lib.peers.erase(peer);
	lib.disconnects++;
	lib.disconnector = std::this_thread::get_id();
	lib.changed.notify_all();
	return 0;
}

int tcpx_notify_send(struct tcpx_session *, uint64_t peer, const void *, size_t)
{
	std::lock_guard<std::mutex> hold(lib.lock);
	int status = status_of(peer);

	return !status && lib.full ? TCPX_EAGAIN : status;
}

int tcpx_event_poll(struct tcpx_session *, struct tcpx_event *event)
{
	std::lock_guard<std::mutex> hold(lib.lock);

	if (lib.events.empty())
		return TCPX_EAGAIN;
	*event = lib.events.front();
	lib.events.pop_front();
	lib.changed.notify_all();
	return 0;
}

int tcpx_peer_describe(struct tcpx_session *, uint64_t, char *, size_t,
		       size_t *)
{
	return TCPX_ENOENT;
}

uint16_t tcpx_session_port(struct tcpx_session *)
{
	return 0;
}

/* ---- what a case says ------------------------------------------------- */

/* Until it is so; fails after a time that means never. */
template <class condition>
static void want(condition holds)
{
	std::unique_lock<std::mutex> hold(lib.lock);

	CHECK(lib.changed.wait_for(
		hold, std::chrono::milliseconds(scale_ms(10000)), holds));
}

/* Somebody connects to us. */
static uint64_t arrive()
{
	std::lock_guard<std::mutex> hold(lib.lock);
	uint64_t peer = ++lib.last;

	lib.peers[peer] = 0;
	put_event(TCPX_EVENT_PEER_CONNECTED, peer, true);
	return peer;
}

static void lose(uint64_t peer)
{
	std::lock_guard<std::mutex> hold(lib.lock);

	lib.peers[peer] = TCPX_ECLOSED;
	put_event(TCPX_EVENT_PEER_LOST, peer, true);
}

static bool is_given_up(uint64_t peer)
{
	return !lib.peers.count(peer);
}

struct table {
	struct say say;
	report paths{nullptr, say, ""};
	peers all{nullptr, say, "me", "my blob", &paths};
};

/* Until the thread, which looks once a second at least, knows of so many that
 * went. */
static void want_departed(table &t, uint64_t n)
{
	uint64_t end = test_now_ns() + scale_ms(10000) * 1000000ull;

	while (t.all.begin_reading() < n && test_now_ns() < end)
		test_sleep_ms(1);
	CHECK_EQ(t.all.begin_reading(), n);
}

/* ---- cases ------------------------------------------------------------ */

/* Giving up somebody who went takes its time. Who reads notifications does
 * not wait for that. */
static void reading_gives_nobody_up(void)
{
	table t;
	uint64_t peer = arrive();

	lose(peer);
	want_departed(t, 1);
	{
		std::lock_guard<std::mutex> hold(lib.lock);
		lib.stuck = true;
	}
	t.all.end_reading(1);
	want([] { return lib.in_disconnect; });
	/* Nor does anybody else. */
	CHECK(!t.all.find("nobody"));
	t.all.end_reading(t.all.begin_reading());
	{
		std::lock_guard<std::mutex> hold(lib.lock);
		lib.stuck = false;
		lib.changed.notify_all();
	}
	want([peer] { return is_given_up(peer); });
	CHECK(lib.disconnector != std::this_thread::get_id());
	CHECK_EQ(lib.disconnects, 1);
}

/* Who went stays until its notifications have been read, but for the oldest of
 * very many. */
static void unread_ones_stay(void)
{
	table t;
	uint64_t first = arrive();

	lose(first);
	for (int i = 0; i < 1100; i++)
		lose(arrive());
	want([first] { return is_given_up(first); });
	want_departed(t, 1101);
	want([] { return lib.disconnects == 1101 - 1024; });
	t.all.end_reading(t.all.begin_reading());
	want([] { return lib.peers.empty(); });
	CHECK_EQ(lib.no_such, 0);
}

/* No thread can be had: that is an exception, and the caller's signals are as
 * they were. */
static void without_a_thread(void)
{
	pthread_attr_t attr;
	sigset_t before, after;

	CHECK(!pthread_attr_init(&attr));
	CHECK(!pthread_attr_setstacksize(&attr, size_t(1) << 46));
	CHECK(!pthread_setattr_default_np(&attr));
	pthread_sigmask(SIG_SETMASK, nullptr, &before);
	bool thrown = false;

	try {
		table t;
	} catch (const std::exception &e) {
		fprintf(stderr, "%s\n", e.what());
		thrown = true;
	}
	CHECK(thrown);
	pthread_sigmask(SIG_SETMASK, nullptr, &after);
	for (int i = 1; i < NSIG; i++)
		CHECK_EQ(sigismember(&after, i), sigismember(&before, i));
	pthread_attr_destroy(&attr);
}

/* A peer that is lost is given up once, whether the event that says so comes
 * before the program forgets the agent or after it. */
static void departs_once(void)
{
	table t;

	for (uint64_t i = 1; i <= 6; i++) {
		CHECK_EQ(t.all.load("them", INFO_MAGIC "their blob"),
			 abi::STATUS_SUCCESS);
		uint64_t peer = t.all.find("them")->peer;

		CHECK(peer);
		lose(peer);
		if (i % 2)
			want([] { return lib.events.empty(); });
		t.all.drop("them");
		want_departed(t, i);
		t.all.end_reading(i);
		want([peer] { return is_given_up(peer); });
	}
	CHECK_EQ(lib.disconnects, 6);
	CHECK_EQ(lib.no_such, 0);
}

/* A peer that does not read is not one that is gone. */
static void too_many_notes_wait(void)
{
	const std::string note(1 << 20, 'x');
	table t;

	CHECK_EQ(t.all.load("them", INFO_MAGIC "their blob"),
		 abi::STATUS_SUCCESS);
	remote_ref them = t.all.find("them");

	{
		std::lock_guard<std::mutex> hold(lib.lock);
		lib.full = true;
	}
	for (int i = 0; i < 64; i++)
		CHECK_EQ(t.all.send(*them, note), 0);
	int err = t.all.send(*them, note);

	CHECK_EQ(err, TCPX_EAGAIN);
	CHECK_EQ(status_for_nixl(err), abi::STATUS_BACKEND);
	lose(them->peer);
	t.all.drop("them");
	CHECK_EQ(t.all.send(*them, note), TCPX_EPEER);
}

struct thrower : waiter {
	std::atomic<int> called{0};

	void carry_on() override
	{
		called++;
		throw std::bad_alloc();
	}
};

/* For want of memory, say. The thread goes on, and the program. */
static void thrown_at_the_thread(void)
{
	auto who = std::make_shared<thrower>();
	table t;

	CHECK_EQ(t.all.load("them", INFO_MAGIC "their blob"),
		 abi::STATUS_SUCCESS);
	remote_ref them = t.all.find("them");

	CHECK(them);
	for (int i = 1; i <= 3; i++) {
		uint64_t end = test_now_ns() + scale_ms(10000) * 1000000ull;

		t.all.await(*them, who);
		while (who->called < i && test_now_ns() < end)
			test_sleep_ms(1);
		CHECK_EQ(who->called, i);
	}
}

static const struct check_case cases[] = {
	{"reading_gives_nobody_up", reading_gives_nobody_up, 0},
	{"unread_ones_stay", unread_ones_stay, 0},
	{"departs_once", departs_once, 0},
	{"too_many_notes_wait", too_many_notes_wait, 0},
	{"thrown_at_the_thread", thrown_at_the_thread, 0},
	{"without_a_thread", without_a_thread, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
