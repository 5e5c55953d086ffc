/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLUGINS_NIXL_BACKEND_H
#define PLUGINS_NIXL_BACKEND_H

/*
 * The backend: one session of the library for each agent that made one. All
 * calls may come from any thread at any time, whatever the agent's sync mode;
 * what needs a lock has its own. No exception leaves a call.
 */

#include <atomic>
#include <memory>
#include <string>

#include <unistd.h>

#include <tcpx/p2p.h>

#include "abi.h"
#include "peers.h"
#include "report.h"
#include "request.h"
#include "say.h"

class backend final : public abi::engine
{
      public:
	/* NULL, and a line of log: it could not be made. */
	static backend *create(const abi::init_params &init);
	~backend() override;
	bool is_of_this_process() const
	{
		return owner_ == getpid();
	}

	bool supports_remote() const override
	{
		return true;
	}
	bool supports_local() const override
	{
		return true;
	}
	bool supports_notes() const override
	{
		return true;
	}
	abi::mem_types supported_mems() const override;

	abi::status register_mem(const abi::blob_desc &desc,
				 const abi::mem_type &type,
				 abi::metadata *&out) override;
	abi::status deregister_mem(abi::metadata *md) override;
	abi::status connect(const abi::text &agent) override;
	abi::status disconnect(const abi::text &agent) override;
	abi::status unload_md(abi::metadata *md) override;

	abi::status prep_xfer(const abi::xfer_op &op,
			      const abi::meta_list &local,
			      const abi::meta_list &remote,
			      const abi::text &agent, abi::request *&handle,
			      const abi::optional_args *args) const override;
	abi::status post_xfer(const abi::xfer_op &op,
			      const abi::meta_list &local,
			      const abi::meta_list &remote,
			      const abi::text &agent, abi::request *&handle,
			      const abi::optional_args *args) const override;
	abi::status check_xfer(abi::request *handle) const override;
	abi::status release_request(abi::request *handle) const override;

	abi::status public_data(const abi::metadata *md,
				abi::text &out) const override;
	abi::status conn_info(abi::text &out) const override;
	abi::status load_conn_info(const abi::text &agent,
				   const abi::text &info) override;
	abi::status load_remote_md(const abi::blob_desc &desc,
				   const abi::mem_type &type,
				   const abi::text &agent,
				   abi::metadata *&out) override;
	abi::status load_local_md(abi::metadata *in,
				  abi::metadata *&out) override;
	abi::status get_notes(abi::notes &out) override;
	abi::status send_note(const abi::text &agent,
			      const abi::text &message) const override;

      private:
	explicit backend(const abi::init_params &init);
	bool open(const abi::params &user);
	bool read_blob();
	bool is_a_gpus(uint64_t mem, uintptr_t base) const;
	int load_blob(const std::string &blob, uintptr_t base,
		      abi::metadata *&out);
	void take_note(const struct tcpx_notification &note, abi::notes &out);
	bool too_long(const abi::text &message) const;
	request_home home() const;

	const pid_t owner_ = getpid();
	struct say say_;
	struct tcpx_session *session_ = nullptr;
	std::string blob_; /* of the session */
	std::unique_ptr<report> report_;
	std::unique_ptr<peers> peers_;
	/* Regions registered here, and loaded. */
	std::atomic<uint32_t> n_own_{0}, n_loaded_{0};
};

#endif
