/* SPDX-License-Identifier: Apache-2.0 */
#include "request.h"

#include <cstdint>

#include "common.h"

request::request(const request_home &home, remote_ref to, abi::xfer_op op)
	: home_(home), to_(std::move(to)),
	  op_(op == abi::XFER_READ ? TCPX_OP_READ : TCPX_OP_WRITE)
{
}

request::~request()
{
	release_all();
}

void request::release()
{
	std::lock_guard<std::mutex> hold(lock_);

	release_all();
	state_ = RELEASED;
}

void request::release_all()
{
	for (uint64_t xfer : xfers_)
		tcpx_xfer_release(home_.session, xfer);
	xfers_.clear();
	prepared_ = false;
}

static bool peer_is_gone(int status)
{
	return status < 0 && tcpx_status_scope(status) == TCPX_SCOPE_PEER;
}

/* ---- preparing; lock_ held in what follows ---------------------------- */

int request::prepare_one(const struct tcpx_xfer_params &params)
{
	uint64_t xfer;
	int err = tcpx_xfer_prepare(home_.session, &params, &xfer);

	if (!err)
		xfers_.push_back(xfer);
	return err;
}

int request::prepare_part(uint64_t peer, size_t first, size_t end)
{
	struct tcpx_xfer_params params = {};

	params.size_bytes = sizeof(params);
	params.peer = peer;
	params.op = op_;
	params.segments = rows_.rows() + first;
	params.n_segments = end - first;
	return prepare_one(params);
}

/* 0; TCPX_INPROGRESS: there is no connection yet; or why not. */
int request::prepare()
{
	uint64_t peer;
	int err = home_.table->ready(*to_, &peer);
	size_t end;

	for (size_t i = 0; !err && i < rows_.size(); i = end) {
		end = rows_.part_end(i, home_.many_regions);
		err = prepare_part(peer, i, end);
	}
	if (err) {
		release_all();
		return err == TCPX_EAGAIN ? TCPX_INPROGRESS : err;
	}
	prepared_ = true;
	rows_.clear();
	return 0;
}

static size_t next_segments(void *arg, struct tcpx_segment *rows, size_t max)
{
	auto *from = static_cast<descriptors *>(arg);
	size_t n = from->next(rows, max);

	/* What is longer than a transfer may be is several of them. */
	return from->is_bad() || from->total_bytes() > TCPX_XFER_MAX ?
		       SIZE_MAX :
		       n;
}

/* As one transfer, in one pass over NIXL's lists. False: it has to be
 * several. */
bool request::prepare_at_once(descriptors *from, int *err)
{
	struct tcpx_xfer_params params = {};

	params.size_bytes = sizeof(params);
	params.op = op_;
	params.n_segments = from->left();
	params.next_segments = next_segments;
	params.next_arg = from;
	if (params.n_segments > TCPX_SEGMENTS_MAX || home_.many_regions)
		return false;
	*err = home_.table->ready(*to_, &params.peer);
	if (!*err && params.n_segments)
		*err = prepare_one(params);
	prepared_ = !*err;
	return from->total_bytes() <= TCPX_XFER_MAX;
}

abi::status request::prep(const abi::meta_list &local,
			  const abi::meta_list &remote)
{
	std::lock_guard<std::mutex> hold(lock_);
	descriptors from(local, remote);
	int err = 0;
	bool one = prepare_at_once(&from, &err);

	if (from.is_bad())
		return abi::STATUS_INVALID_PARAM;
	if (one && err == TCPX_EAGAIN)
		err = TCPX_INPROGRESS;
	bool later = one && (err == TCPX_INPROGRESS || peer_is_gone(err));

	if (!one || later) {
		if (!rows_.fill(local, remote))
			return abi::STATUS_INVALID_PARAM;
	}
	if (!one)
		err = prepare();
	/* Whether the peer can be reached is for post to say. */
	if (err == TCPX_INPROGRESS || peer_is_gone(err))
		return abi::STATUS_SUCCESS;
	return status_for_nixl(err);
}

/* The peer is gone, or said goodbye: prepares for its next connection. NIXL
 * gives the lists once more, and their metadata is there as long as the
 * remote is in the table. */
int request::again(const abi::meta_list &local, const abi::meta_list &remote)
{
	int err = home_.table->renew(*to_);

	if (err)
		return err;
	release_all();
	return rows_.fill(local, remote) ? 0 : TCPX_EINVAL;
}

/* ---- posting ---------------------------------------------------------- */

/* Posts what is prepared. */
int request::fly()
{
	struct tcpx_post_params params = {};
	bool alone = xfers_.size() == 1;
	int err = 0;
	size_t n = 0;

	params.size_bytes = sizeof(params);
	params.has_notify = has_note_ && alone;
	params.notify = params.has_notify ? note_.data() : nullptr;
	params.notify_len_bytes = params.has_notify ? note_.size() : 0;
	for (; !err && n < xfers_.size(); n++)
		err = tcpx_xfer_post(home_.session, xfers_[n], &params);
	if (err) {
		/* The last one was not posted; what was is taken back. */
		while (n-- > 1)
			tcpx_xfer_cancel(home_.session, xfers_[n - 1]);
		return err;
	}
	state_ = FLYING;
	return TCPX_INPROGRESS;
}

int request::wait_for_peer()
{
	if (state_ != WAITING)
		home_.table->await(*to_, shared_from_this());
	state_ = WAITING;
	return TCPX_INPROGRESS;
}

/* Prepares if need be, and posts. */
int request::start()
{
	int err = prepared_ ? 0 : prepare();

	if (err == TCPX_INPROGRESS)
		return wait_for_peer();
	return err ? err : fly();
}

/* By the thread of struct peers. A failure is kept for check to tell. */
void request::carry_on()
{
	std::lock_guard<std::mutex> hold(lock_);

	if (state_ != WAITING)
		return;
	int err;

	try {
		err = start();
	} catch (const std::exception &) {
		release_all();
		err = TCPX_ENOMEM;
	}
	if (err < 0) {
		failure_ = err;
		state_ = FAILED;
	}
}

abi::status request::post(const abi::meta_list &local,
			  const abi::meta_list &remote, const std::string *note)
{
	std::lock_guard<std::mutex> hold(lock_);

	if (state_ != IDLE)
		return abi::STATUS_REPOST_ACTIVE;
	has_note_ = note != nullptr;
	if (note)
		note_ = *note;
	int err = start();

	if (peer_is_gone(err)) {
		err = again(local, remote);
		if (!err)
			err = start();
	}
	/* Nothing to move is over at once. */
	if (err == TCPX_INPROGRESS && state_ == FLYING && xfers_.empty())
		err = finish(landed());
	else if (err < 0)
		err = finish(err);
	return status_for_nixl(err);
}

/* ---- checking --------------------------------------------------------- */

/* All done, one failed, or still under way. */
int request::landed()
{
	int status = 0;

	for (uint64_t xfer : xfers_) {
		int one = tcpx_xfer_test(home_.session, xfer);

		if (one < 0)
			return one;
		if (one)
			status = one;
	}
	return status;
}

int request::finish(int status)
{
	state_ = IDLE;
	if (status < 0) {
		explain(status);
		for (uint64_t xfer : xfers_)
			tcpx_xfer_cancel(home_.session, xfer);
	} else if (has_note_ && xfers_.size() != 1) {
		has_note_ = false;
		int err = home_.table->send(*to_, std::move(note_));

		if (err)
			return err;
	}
	return status;
}

/* A peer that is gone the library has logged, once for all. */
void request::explain(int status) const
{
	struct tcpx_xfer_info info = {};
	enum tcpx_log_level level = peer_is_gone(status) ? TCPX_LOG_DEBUG :
							   TCPX_LOG_WARN;

	for (uint64_t xfer : xfers_)
		if (!tcpx_xfer_query(home_.session, xfer, &info) &&
		    info.status == status)
			break;
	home_.say->write(level, "transfer", "with agent %s failed: %s%s%s",
			 to_->name.c_str(), tcpx_strerror(status),
			 info.cause[0] ? ": " : "", info.cause);
}

abi::status request::check()
{
	std::lock_guard<std::mutex> hold(lock_);
	int status;

	if (state_ == IDLE || state_ == RELEASED)
		return abi::STATUS_NOT_POSTED;
	if (state_ == FAILED) {
		status = failure_;
	} else if (state_ == WAITING) {
		status = start();
		if (status == TCPX_INPROGRESS && state_ == FLYING &&
		    xfers_.empty())
			status = 0;
	} else {
		status = landed();
	}
	if (status != TCPX_INPROGRESS)
		status = finish(status);
	return status_for_nixl(status);
}
