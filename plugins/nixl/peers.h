/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLUGINS_NIXL_PEERS_H
#define PLUGINS_NIXL_PEERS_H

/*
 * The agents this one knows by name, and the thread that looks after them.
 *
 * Nothing here waits for the network: a connect is started when the agent's
 * connection information is loaded, and what needs the connection meanwhile
 * waits: notifications here, transfers in their request. The thread sends the
 * notifications that wait, starts the transfers, logs how each peer is
 * reached, and lets peers depart that came by themselves and went. It sleeps
 * unless a connect is under way or something waits. Who departed is disposed
 * of when the program has read its notifications: they go with its handle.
 *
 * Threads: all calls from any thread; one lock. A struct remote is shared by
 * the table and by requests, and is the lock's.
 */

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <tcpx/p2p.h>

#include "abi.h"
#include "report.h"
#include "say.h"

/* Something that cannot start before an agent is connected. */
struct waiter {
	virtual ~waiter() = default;
	/* It is, or never will be. By the thread, without the lock. */
	virtual void carry_on() = 0;
};

struct remote {
	std::string name;
	std::string blob;	/* how to connect */
	uint64_t peer = 0;	/* the library's handle; 0: none */
	bool current = true;	/* in the table; not dropped or replaced */
	bool settled = false;	/* connected, or failed */
	bool told_lost = false;	/* the event that says so has been taken */
	std::deque<std::string> notes; /* that wait, encoded */
	size_t notes_bytes = 0;
	std::vector<std::weak_ptr<waiter>> waiters;
};

using remote_ref = std::shared_ptr<remote>;

class peers
{
      public:
	peers(struct tcpx_session *session, const struct say &say,
	      const std::string &own_name, const std::string &own_blob,
	      report *report);
	~peers();

	/* Connection information of an agent; a new one replaces the old. */
	abi::status load(const std::string &name, const std::string &info);
	abi::status connect(const std::string &name);
	void drop(const std::string &name);
	/* NULL: unknown. Our own name is always known. */
	remote_ref find(const std::string &name);

	/* Can it carry transfers? 0 and *peer; TCPX_INPROGRESS; the cause. */
	int ready(remote &to, uint64_t *peer);
	/* Connects again, if the peer had only said goodbye. 0: under way. */
	int renew(remote &to);
	/* Calls it back once, when the connect has come to an end. */
	void await(remote &to, const std::shared_ptr<waiter> &who);
	/* Sends a notification, or keeps it until it can be sent. 0; TCPX_EAGAIN:
	 * too many wait, the log says so; or why the peer is gone. */
	int send(remote &to, std::string note);

	/* Around reading all notifications that there are: what the second is
	 * to be given, the first returns. */
	uint64_t begin_reading();
	void end_reading(uint64_t departed);

      private:
	void run();
	bool look();
	bool look_guarded(std::unique_lock<std::mutex> &hold);
	bool flush(remote &to);
	void call_waiters(std::unique_lock<std::mutex> &hold);
	void take_events();
	void on_event(const struct tcpx_event &event);
	bool describe_due();
	bool in_table(uint64_t peer, const remote *but) const;
	int outcome(uint64_t peer) const;
	int dial(remote &to);
	int failed_to_send(remote &to, int err);
	void hang_up(remote &to);
	void park(remote &to);
	void let_go(remote &to);
	void depart(uint64_t peer);
	bool has_read_departed() const;
	void give_up_departed(std::unique_lock<std::mutex> &hold);
	void wake();

	struct tcpx_session *const session_;
	const struct say &say_;
	const std::string own_name_, own_blob_;
	report *const report_;

	std::mutex lock_;
	std::condition_variable woken_;
	bool stop_ = false;
	bool news_ = false;	/* look again at once */
	std::unordered_map<std::string, remote_ref> table_;
	/* Connections to agents that were dropped, by their blob. The other
	 * side may be using one, so they stay; oldest first. */
	struct parked {
		std::string blob;
		uint64_t peer;
	};
	std::deque<parked> parked_;
	/* Lost, and to be given up by the thread: handles, oldest first. So
	 * many were lost, of so many the program has read all notifications,
	 * so many are given up. Who reads notifications takes no lock. */
	std::deque<uint64_t> departed_;
	std::atomic<uint64_t> n_departed_{0}, n_read_{0}, n_given_up_{0};
	/* Who connected to us, to be described once their flows are there. */
	struct arrival {
		uint64_t peer;
		std::chrono::steady_clock::time_point due;
	};
	std::deque<arrival> arrivals_;
	std::vector<std::weak_ptr<waiter>> due_; /* to be called */
	std::thread thread_;
};

#endif
