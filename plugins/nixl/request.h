/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLUGINS_NIXL_REQUEST_H
#define PLUGINS_NIXL_REQUEST_H

/*
 * A transfer as NIXL holds it: prepared once, posted any number of times.
 *
 *   prep ---> IDLE --post--> FLYING --check--> IDLE (done, or failed)
 *               |               ^                 ^
 *               +--post--> WAITING --> FAILED ----+
 *
 * NIXL expects prep and post to return at once, also right after the peer's
 * metadata was loaded, so what finds no connection waits here; check, or the
 * thread of struct peers, whichever comes first, carries on. Everything needed is copied from NIXL's metadata in prep: that
 * may be gone later.
 *
 * One request is mostly one transfer of the library. It is several if it is
 * larger than a transfer may be; then its notification goes out alone, by the
 * check that sees the last of them done.
 *
 * Threads: any; one lock a request.
 */

#include <mutex>
#include <string>
#include <vector>

#include <tcpx/p2p.h>

#include "abi.h"
#include "peers.h"
#include "say.h"
#include "segments.h"

/* What requests need of their engine; outlives them. */
struct request_home {
	struct tcpx_session *session;
	peers *table;
	const struct say *say;
	bool many_regions; /* more registrations than a transfer may name */
};

class request final : public waiter,
		      public std::enable_shared_from_this<request>
{
      public:
	request(const request_home &home, remote_ref to, abi::xfer_op op);
	~request() override;

	abi::status prep(const abi::meta_list &local,
			 const abi::meta_list &remote);
	/* note: encoded, or NULL. The lists are those of prep. */
	abi::status post(const abi::meta_list &local,
			 const abi::meta_list &remote, const std::string *note);
	abi::status check();
	/* Ends it; the library touches none of the memory any more. Does not
	 * wait for the network. */
	void release();
	void carry_on() override;

      private:
	enum state { IDLE, WAITING, FLYING, FAILED, RELEASED };

	bool prepare_at_once(descriptors *from, int *err);
	int prepare_one(const struct tcpx_xfer_params &params);
	int prepare();
	int prepare_part(uint64_t peer, size_t first, size_t end);
	int start();
	int fly();
	int wait_for_peer();
	int landed();
	int finish(int status);
	int again(const abi::meta_list &local, const abi::meta_list &remote);
	void release_all();
	void explain(int status) const;

	const request_home home_;
	const remote_ref to_;
	const enum tcpx_op op_;

	std::mutex lock_;	/* all that follows */
	enum state state_ = IDLE;
	int failure_ = 0;	/* FAILED: the status */
	bool prepared_ = false;
	segments rows_;		/* until they are prepared */
	std::vector<uint64_t> xfers_;
	bool has_note_ = false;
	std::string note_;
};

/* What NIXL holds. */
struct request_handle : abi::request {
	std::shared_ptr<::request> it;
};

#endif
