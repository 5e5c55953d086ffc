/* SPDX-License-Identifier: Apache-2.0 */
#include "peers.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iterator>

#include <pthread.h>
#include <signal.h>

#include "common.h"

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/* How often the thread looks: soon after news, then less and less often. */
static constexpr milliseconds look_first(1), look_last(50), look_idle(1000);
/* How long notifications that wait hold up the end. */
static constexpr milliseconds last_words(1000);
/* The flows of who connects to us come after the connect. */
static constexpr milliseconds arrival_delay(200);
static constexpr size_t parked_max = 1024;
/* Of a program that reads no notifications the oldest go. */
static constexpr size_t departed_max = 1024;
/* Of one peer, beyond what the library queues. */
static constexpr size_t notes_max_bytes = 64u << 20;

namespace
{

/* In this thread and those it starts, until the end of the scope. */
class all_signals_blocked
{
      public:
	all_signals_blocked()
	{
		sigset_t all;

		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old_);
	}
	~all_signals_blocked()
	{
		pthread_sigmask(SIG_SETMASK, &old_, nullptr);
	}

      private:
	sigset_t old_;
};

} /* namespace */

peers::peers(struct tcpx_session *session, const struct say &say,
	     const std::string &own_name, const std::string &own_blob,
	     report *report)
	: session_(session), say_(say), own_name_(own_name),
	  own_blob_(own_blob), report_(report)
{
	/* Signals are the program's, not this thread's. */
	all_signals_blocked meanwhile;

	thread_ = std::thread(&peers::run, this);
}

peers::~peers()
{
	{
		std::unique_lock<std::mutex> hold(lock_);

		/* What was said to be sent before, the thread may still send. */
		woken_.wait_for(hold, last_words, [this] {
			for (const auto &one : table_)
				if (!one.second->notes.empty())
					return false;
			return true;
		});
		stop_ = true;
	}
	woken_.notify_all();
	thread_.join();
}

/* ---- the table -------------------------------------------------------- */

/* Connecting came to an end, but not for good: whoever only invalidated what
 * it knew of us is still there, and files and memory may be had again. */
static bool may_be_renewed(int status)
{
	return status == TCPX_ECLOSED ||
	       (status < 0 && tcpx_status_scope(status) == TCPX_SCOPE_AGAIN);
}

/* 0: connected; TCPX_INPROGRESS; or why it never will be. */
int peers::outcome(uint64_t peer) const
{
	int err = tcpx_peer_wait(session_, peer, 0);

	return err == TCPX_ETIMEDOUT ? TCPX_INPROGRESS : err;
}

/* An outcome for whoever uses the peer. That the connect ended for want of
 * memory, say, or for another version over there, is no word about a call or
 * its arguments, and none that trying again would change: the peer is not
 * there. */
static int as_peers(int outcome)
{
	enum tcpx_scope scope = outcome < 0 ? tcpx_status_scope(outcome) :
					      TCPX_SCOPE_NONE;

	return scope == TCPX_SCOPE_AGAIN || scope == TCPX_SCOPE_ARGUMENT ?
		       TCPX_EPEER :
		       outcome;
}

/* lock_ held, here and in what follows up to the calls. */
int peers::dial(remote &to)
{
	for (auto it = parked_.begin(); it != parked_.end(); ++it) {
		if (it->blob != to.blob)
			continue;
		to.peer = it->peer;
		parked_.erase(it);
		if (!outcome(to.peer)) {
			to.settled = true;
			return 0;
		}
		let_go(to);
		break;
	}
	int err = tcpx_peer_connect(session_, to.blob.data(), to.blob.size(),
				    &to.peer);

	to.settled = err != 0;
	if (err)
		to.peer = 0;
	wake();
	return err;
}

void peers::hang_up(remote &to)
{
	int status = to.peer ? outcome(to.peer) : 0;

	if (to.peer && !status)
		park(to);
	else if (status == TCPX_INPROGRESS)
		tcpx_peer_disconnect(session_, to.peer);
	else if (to.peer)
		let_go(to);
	to.peer = 0;
	to.settled = true;
}

/* One that is lost, and so departs: now, or, if the event that says so is
 * still to be taken, with that, when it finds it in the table no more. */
void peers::let_go(remote &to)
{
	if (to.told_lost && !in_table(to.peer, &to))
		depart(to.peer);
	to.peer = 0;
	to.told_lost = false;
}

/* That we know nothing of its memory any more does not mean that it has done
 * with ours. */
void peers::park(remote &to)
{
	if (parked_.size() == parked_max) {
		tcpx_peer_disconnect(session_, parked_.front().peer);
		parked_.pop_front();
	}
	parked_.push_back({to.blob, to.peer});
}

void peers::depart(uint64_t peer)
{
	departed_.push_back(peer);
	n_departed_++;
}

uint64_t peers::begin_reading()
{
	return n_departed_;
}

/* Giving up takes its time, which is the thread's. Without the lock, so the
 * call may miss a thread that is just falling asleep: then it is done a nap
 * later. */
void peers::end_reading(uint64_t departed)
{
	uint64_t before = n_read_;

	while (before < departed &&
	       !n_read_.compare_exchange_weak(before, departed))
		;
	if (before < departed)
		woken_.notify_all();
}

bool peers::has_read_departed() const
{
	return n_given_up_ < n_read_ || departed_.size() > departed_max;
}

void peers::wake()
{
	news_ = true;
	woken_.notify_all();
}

/* Two names of one agent have one handle. */
bool peers::in_table(uint64_t peer, const remote *but) const
{
	for (const auto &one : table_)
		if (one.second->peer == peer && one.second.get() != but)
			return true;
	return false;
}

abi::status peers::load(const std::string &name, const std::string &info)
{
	size_t magic = strlen(INFO_MAGIC);

	if (info.compare(0, magic, INFO_MAGIC) != 0) {
		say_.write(TCPX_LOG_ERROR, "peers",
			   "the connection information of agent %s is not "
			   "this backend's, or of another version of it",
			   name.c_str());
		return abi::STATUS_MISMATCH;
	}
	std::lock_guard<std::mutex> hold(lock_);
	auto found = table_.find(name);
	std::string blob = info.substr(magic);

	if (found != table_.end()) {
		remote &old = *found->second;

		if (old.blob == blob && old.peer &&
		    (!old.settled || !outcome(old.peer)))
			return abi::STATUS_SUCCESS;
		old.current = false;
		hang_up(old);
		table_.erase(found);
	}
	remote_ref fresh = std::make_shared<remote>();

	fresh->name = name;
	fresh->blob = std::move(blob);
	int err = dial(*fresh);

	if (!err)
		table_.emplace(name, std::move(fresh));
	return err == TCPX_EINVAL ? abi::STATUS_MISMATCH : status_for_nixl(err);
}

abi::status peers::connect(const std::string &name)
{
	/* To oneself: when it is first used, for most never do. */
	if (name == own_name_)
		return abi::STATUS_SUCCESS;
	remote_ref to = find(name);
	uint64_t peer;

	if (!to)
		return abi::STATUS_NOT_FOUND;
	int err = ready(*to, &peer);

	if (err && err != TCPX_INPROGRESS)
		err = renew(*to);
	return err == TCPX_INPROGRESS ? abi::STATUS_SUCCESS :
					status_for_nixl(err);
}

void peers::drop(const std::string &name)
{
	std::lock_guard<std::mutex> hold(lock_);
	auto found = table_.find(name);

	if (found == table_.end())
		return;
	found->second->current = false;
	hang_up(*found->second);
	table_.erase(found);
}

remote_ref peers::find(const std::string &name)
{
	{
		std::lock_guard<std::mutex> hold(lock_);
		auto found = table_.find(name);

		if (found != table_.end())
			return found->second;
	}
	if (name != own_name_ || load(name, INFO_MAGIC + own_blob_))
		return nullptr;
	std::lock_guard<std::mutex> hold(lock_);
	auto found = table_.find(name);

	return found == table_.end() ? nullptr : found->second;
}

/* ---- using one -------------------------------------------------------- */

int peers::ready(remote &to, uint64_t *peer)
{
	std::lock_guard<std::mutex> hold(lock_);

	if (!to.current || !to.peer)
		return TCPX_EPEER;
	int err = outcome(to.peer);

	if (!err)
		*peer = to.peer;
	return as_peers(err);
}

int peers::renew(remote &to)
{
	std::lock_guard<std::mutex> hold(lock_);

	if (!to.current || !to.peer)
		return TCPX_EPEER;
	int err = outcome(to.peer);

	if (!err || err == TCPX_INPROGRESS)
		return 0; /* somebody else was faster */
	if (!may_be_renewed(err))
		return as_peers(err);
	let_go(to);
	return as_peers(dial(to));
}

void peers::await(remote &to, const std::shared_ptr<waiter> &who)
{
	std::lock_guard<std::mutex> hold(lock_);

	to.waiters.emplace_back(who);
	wake();
}

/* A notification could not be sent: connects again if that may help, and then
 * it waits (TCPX_EAGAIN). Else why not. lock_ held. */
int peers::failed_to_send(remote &to, int err)
{
	int why = outcome(to.peer);

	if (why >= 0)
		return err;
	if (!may_be_renewed(why))
		return as_peers(why);
	let_go(to);
	why = dial(to);
	return why ? as_peers(why) : TCPX_EAGAIN;
}

int peers::send(remote &to, std::string note)
{
	std::lock_guard<std::mutex> hold(lock_);
	int err = TCPX_EAGAIN;

	if (!to.current || !to.peer)
		return TCPX_EPEER;
	/* Behind those that wait, not before them. */
	if (to.notes.empty())
		err = tcpx_notify_send(session_, to.peer, note.data(),
				       note.size());
	if (err && err != TCPX_EAGAIN)
		err = failed_to_send(to, err);
	if (err != TCPX_EAGAIN)
		return err;
	if (to.notes_bytes + note.size() > notes_max_bytes) {
		say_.write(TCPX_LOG_ERROR, "peers",
			   "agent %s does not read its notifications: %zu "
			   "bytes wait, one more was refused",
			   to.name.c_str(), to.notes_bytes);
		return TCPX_EAGAIN;
	}
	to.notes_bytes += note.size();
	to.notes.push_back(std::move(note));
	wake();
	return 0;
}

/* ---- the thread ------------------------------------------------------- */

void peers::run()
{
	std::unique_lock<std::mutex> hold(lock_);
	milliseconds nap = look_first;

	while (!stop_) {
		if (news_)
			nap = look_first;
		news_ = false;
		bool busy = look_guarded(hold);

		woken_.wait_for(hold, busy ? nap : look_idle, [this] {
			return stop_ || news_ || has_read_departed();
		});
		nap = std::min(nap * 2, look_last);
	}
}

/* Without memory for it, once more and soon: an exception here would end the
 * program. */
bool peers::look_guarded(std::unique_lock<std::mutex> &hold)
{
	bool busy = true;

	try {
		busy = look();
		call_waiters(hold);
		give_up_departed(hold);
	} catch (const std::exception &e) {
		say_.write(TCPX_LOG_WARN, "peers", "will be tried again: %s",
			   e.what());
	}
	if (!hold.owns_lock())
		hold.lock();
	return busy;
}

/* Is there something to come back for soon? lock_ held. */
bool peers::look()
{
	bool busy = false;

	for (auto &one : table_) {
		remote &to = *one.second;

		if (!to.settled)
			to.settled = outcome(to.peer) != TCPX_INPROGRESS;
		busy |= !to.settled | flush(to);
		if (to.settled && !to.waiters.empty()) {
			std::move(to.waiters.begin(), to.waiters.end(),
				  std::back_inserter(due_));
			to.waiters.clear();
		}
	}
	take_events();
	return describe_due() | busy;
}

void peers::call_waiters(std::unique_lock<std::mutex> &hold)
{
	std::vector<std::weak_ptr<waiter>> due;

	due.swap(due_);
	hold.unlock();
	for (auto &one : due) {
		std::shared_ptr<waiter> who = one.lock();

		if (who)
			who->carry_on();
	}
	hold.lock();
}

void peers::give_up_departed(std::unique_lock<std::mutex> &hold)
{
	while (has_read_departed()) {
		uint64_t peer = departed_.front();

		departed_.pop_front();
		n_given_up_++;
		hold.unlock();
		tcpx_peer_disconnect(session_, peer);
		hold.lock();
	}
}

/* Are there any left? lock_ held. */
bool peers::flush(remote &to)
{
	while (!to.notes.empty()) {
		const std::string &note = to.notes.front();
		int err = tcpx_notify_send(session_, to.peer, note.data(),
					   note.size());

		if (err == TCPX_EAGAIN)
			return true;
		if (err) {
			say_.write(TCPX_LOG_WARN, "peers",
				   "%zu notifications for agent %s are lost: "
				   "%s",
				   to.notes.size(), to.name.c_str(),
				   tcpx_strerror(err));
			to.notes.clear();
			to.notes_bytes = 0;
			woken_.notify_all();
			return false;
		}
		to.notes_bytes -= note.size();
		to.notes.pop_front();
		if (to.notes.empty())
			woken_.notify_all();
	}
	return false;
}

void peers::take_events()
{
	struct tcpx_event event;

	while (!tcpx_event_poll(session_, &event))
		on_event(event);
}

/* Are there any left? */
bool peers::describe_due()
{
	while (!arrivals_.empty() &&
	       arrivals_.front().due <= steady_clock::now()) {
		uint64_t peer = arrivals_.front().peer;

		arrivals_.pop_front();
		if (!outcome(peer))
			report_->connected(peer);
	}
	return !arrivals_.empty();
}

/* A peer's row, if there is one. */
template <class row>
static void forget(std::deque<row> &rows, uint64_t peer)
{
	auto is_its = [&](const row &one) { return one.peer == peer; };

	rows.erase(std::remove_if(rows.begin(), rows.end(), is_its),
		   rows.end());
}

void peers::on_event(const struct tcpx_event &event)
{
	if (event.kind == TCPX_EVENT_PEER_CONNECTED && event.incoming) {
		arrivals_.push_back(
			{event.peer, steady_clock::now() + arrival_delay});
	} else if (event.kind == TCPX_EVENT_PEER_CONNECTED) {
		report_->connected(event.peer);
	} else if (event.kind == TCPX_EVENT_PEER_LOST) {
		report_->lost(event.peer);
		forget(parked_, event.peer);
		forget(arrivals_, event.peer);
		for (const auto &one : table_)
			if (one.second->peer == event.peer)
				one.second->told_lost = true;
		/* Whom nobody knows by name, nobody will give up. */
		if (!in_table(event.peer, nullptr))
			depart(event.peer);
	}
}
