/* SPDX-License-Identifier: Apache-2.0 */
#include "backend.h"

#include <cstdio>
#include <new>

#include "common.h"
#include "memory.h"
#include "options.h"

/* So that reading ends while others send as fast as we read; the next call has
 * the rest. */
static constexpr size_t notes_a_call_max = 1u << 16;

/* Runs what a call does; nothing is thrown at NIXL. */
template <class body>
static abi::status guarded(const struct say &say, body b)
{
	try {
		return b();
	} catch (const std::bad_alloc &) {
		say.write(TCPX_LOG_ERROR, "backend", "out of memory");
	} catch (const std::exception &e) {
		say.write(TCPX_LOG_ERROR, "backend", "%s", e.what());
	} catch (...) {
		say.write(TCPX_LOG_ERROR, "backend", "unknown exception");
	}
	return abi::STATUS_BACKEND;
}

/* ---- life ------------------------------------------------------------- */

backend::backend(const abi::init_params &init) : abi::engine(init)
{
	say_.who = name_shown(init.agent, SIZE_MAX);
}

backend *backend::create(const abi::init_params &init)
{
	std::unique_ptr<backend> made;

	try {
		made.reset(new backend(init));
		if (made->open(init.custom ? *init.custom : abi::params()))
			return made.release();
	} catch (const std::exception &e) {
		/* Out of memory or of threads. */
		const struct say nobody;

		(made ? made->say_ : nobody)
			.write(TCPX_LOG_ERROR, "backend",
			       "the backend could not be made: %s", e.what());
	}
	return nullptr;
}

bool backend::open(const abi::params &user)
{
	/* A label: the agent's own name travels with what needs it. */
	std::string name = name_shown(agent_name(), TCPX_NAME_MAX - 1);
	options chosen;

	if (agent_name().size() > UINT16_MAX) {
		say_.write(TCPX_LOG_ERROR, "backend",
			   "an agent's name has 65535 bytes at most");
		return false;
	}
	if (options_read(user, &say_, &chosen))
		return false;
	chosen.config.name = name.c_str();
	chosen.config.log_fn = say_from_library;
	chosen.config.log_arg = &say_;
	int err = tcpx_session_open(&chosen.config, &session_);

	if (err) {
		say_.write(TCPX_LOG_ERROR, "backend",
			   "the session could not be opened: %s",
			   tcpx_strerror(err));
		return false;
	}
	if (!read_blob())
		return false;
	report_ = std::make_unique<report>(session_, say_, chosen.describe_dir);
	peers_ = std::make_unique<peers>(session_, say_, agent_name(), blob_,
					 report_.get());
	say_.write(TCPX_LOG_INFO, "backend", "listening on port %u",
		   tcpx_session_port(session_));
	return true;
}

bool backend::read_blob()
{
	size_t len = 0;

	blob_.resize(TCPX_BLOB_MAX);
	if (tcpx_session_blob(session_, &blob_[0], blob_.size(), &len))
		return false;
	blob_.resize(len);
	return true;
}

backend::~backend()
{
	peers_.reset();
	report_.reset();
	tcpx_session_close(session_);
}

abi::mem_types backend::supported_mems() const
{
	try {
		return {abi::MEM_DRAM, abi::MEM_VRAM};
	} catch (...) {
		return abi::mem_types();
	}
}

/* ---- memory ----------------------------------------------------------- */

static int region_blob(struct tcpx_session *session, uint64_t mem,
		       std::string *out)
{
	char buf[256];
	size_t len;
	int err = tcpx_mem_blob(session, &mem, 1, buf, sizeof(buf), &len);

	if (!err)
		out->assign(buf, len);
	return err;
}

/* Whether the address is on a GPU, and on which, the library finds out. What
 * NIXL says is a GPU's and the library does not know as such, nobody here
 * could read or write. */
bool backend::is_a_gpus(uint64_t mem, uintptr_t base) const
{
	char why[256] = "";
	int32_t gpu = -1;

	if (!tcpx_mem_gpu(session_, mem, &gpu) && gpu >= 0)
		return true;
	if (tcpx_gpu_count(session_, why, sizeof(why)))
		snprintf(why, sizeof(why), "it is no memory of a GPU here");
	say_.write(TCPX_LOG_ERROR, "memory",
		   "VRAM at %#zx cannot be registered: %s",
		   static_cast<size_t>(base), why);
	return false;
}

abi::status backend::register_mem(const abi::blob_desc &desc,
				  const abi::mem_type &type,
				  abi::metadata *&out)
{
	return guarded(say_, [&] {
		if (type != abi::MEM_DRAM && type != abi::MEM_VRAM)
			return abi::STATUS_NOT_SUPPORTED;
		auto md = std::make_unique<memory>(memory::OWN, 0, desc.addr);
		int err = tcpx_mem_register(
			session_, reinterpret_cast<void *>(desc.addr),
			desc.len_bytes,
			TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE,
			&md->mem);

		if (err)
			return status_for_nixl(err);
		if (type == abi::MEM_VRAM && !is_a_gpus(md->mem, md->base))
			err = TCPX_EUNSUPPORTED;
		if (!err)
			err = region_blob(session_, md->mem, &md->blob);
		if (err) {
			tcpx_mem_deregister(session_, md->mem);
			return status_for_nixl(err);
		}
		n_own_++;
		out = md.release();
		return abi::STATUS_SUCCESS;
	});
}

abi::status backend::deregister_mem(abi::metadata *md)
{
	return guarded(say_, [&] {
		const struct memory *given = memory_of(md);

		if (!given || given->kind != memory::OWN)
			return abi::STATUS_INVALID_PARAM;
		std::unique_ptr<const memory> mine(given);

		n_own_--;
		return status_for_nixl(
			tcpx_mem_deregister(session_, mine->mem));
	});
}

abi::status backend::public_data(const abi::metadata *md, abi::text &out) const
{
	return guarded(say_, [&] {
		out = memory_of(md)->blob;
		return abi::STATUS_SUCCESS;
	});
}

int backend::load_blob(const std::string &blob, uintptr_t base,
		       abi::metadata *&out)
{
	auto md = std::make_unique<memory>(memory::LOADED, 0, base);
	size_t n;
	int err = tcpx_mem_load(session_, blob.data(), blob.size(), &md->mem, 1,
				&n);

	if (err)
		return err;
	n_loaded_++;
	out = md.release();
	return 0;
}

abi::status backend::load_remote_md(const abi::blob_desc &desc,
				    const abi::mem_type &,
				    const abi::text &agent, abi::metadata *&out)
{
	return guarded(say_, [&] {
		int err = load_blob(desc.blob, desc.addr, out);

		if (err)
			say_.write(TCPX_LOG_ERROR, "memory",
				   "agent %s: metadata of a region cannot be "
				   "read: %s",
				   agent.c_str(), tcpx_strerror(err));
		return err ? abi::STATUS_MISMATCH : abi::STATUS_SUCCESS;
	});
}

/* An object of its own: NIXL lets go of the two at different times. */
abi::status backend::load_local_md(abi::metadata *in, abi::metadata *&out)
{
	return guarded(say_, [&] {
		const struct memory *own = memory_of(in);

		return status_for_nixl(load_blob(own->blob, own->base, out));
	});
}

abi::status backend::unload_md(abi::metadata *md)
{
	return guarded(say_, [&] {
		const struct memory *given = memory_of(md);

		/* Not ours to delete then. */
		if (!given || given->kind != memory::LOADED)
			return abi::STATUS_INVALID_PARAM;
		std::unique_ptr<const memory> mine(given);

		n_loaded_--;
		return status_for_nixl(tcpx_mem_unload(session_, mine->mem));
	});
}

/* ---- agents ----------------------------------------------------------- */

abi::status backend::conn_info(abi::text &out) const
{
	return guarded(say_, [&] {
		out = INFO_MAGIC + blob_;
		return abi::STATUS_SUCCESS;
	});
}

abi::status backend::load_conn_info(const abi::text &agent,
				    const abi::text &info)
{
	return guarded(say_, [&] { return peers_->load(agent, info); });
}

abi::status backend::connect(const abi::text &agent)
{
	return guarded(say_, [&] { return peers_->connect(agent); });
}

abi::status backend::disconnect(const abi::text &agent)
{
	return guarded(say_, [&] {
		say_.write(TCPX_LOG_DEBUG, "backend", "agent %s is given up",
			   agent.c_str());
		peers_->drop(agent);
		return abi::STATUS_SUCCESS;
	});
}

/* ---- transfers -------------------------------------------------------- */

static request *request_of(abi::request *handle)
{
	return handle ? static_cast<request_handle *>(handle)->it.get() :
			nullptr;
}

request_home backend::home() const
{
	request_home home = {session_, peers_.get(), &say_, false};

	home.many_regions = n_own_ > TCPX_REGIONS_MAX ||
			    n_loaded_ > TCPX_REGIONS_MAX;
	return home;
}

abi::status backend::prep_xfer(const abi::xfer_op &op,
			       const abi::meta_list &local,
			       const abi::meta_list &remote,
			       const abi::text &agent, abi::request *&handle,
			       const abi::optional_args *) const
{
	return guarded(say_, [&] {
		remote_ref to = peers_->find(agent);

		if (!to)
			return abi::STATUS_NOT_FOUND;
		auto made = std::make_unique<request_handle>();

		made->it = std::make_shared<request>(home(), to, op);
		abi::status status = made->it->prep(local, remote);

		if (status == abi::STATUS_SUCCESS)
			handle = made.release();
		return status;
	});
}

bool backend::too_long(const abi::text &message) const
{
	if (message.size() <= note_max_bytes(agent_name()))
		return false;
	say_.write(TCPX_LOG_ERROR, "backend",
		   "a notification of %zu bytes; this agent can send %zu",
		   message.size(), note_max_bytes(agent_name()));
	return true;
}

abi::status backend::post_xfer(const abi::xfer_op &,
			       const abi::meta_list &local,
			       const abi::meta_list &remote, const abi::text &,
			       abi::request *&handle,
			       const abi::optional_args *args) const
{
	return guarded(say_, [&] {
		request *mine = request_of(handle);

		if (!mine)
			return abi::STATUS_INVALID_PARAM;
		if (!args || !args->has_note)
			return mine->post(local, remote, nullptr);
		if (too_long(args->note))
			return abi::STATUS_INVALID_PARAM;
		std::string note = note_encode(agent_name(), args->note);

		return mine->post(local, remote, &note);
	});
}

abi::status backend::check_xfer(abi::request *handle) const
{
	return guarded(say_, [&] {
		request *mine = request_of(handle);

		return mine ? mine->check() : abi::STATUS_INVALID_PARAM;
	});
}

abi::status backend::release_request(abi::request *handle) const
{
	return guarded(say_, [&] {
		std::unique_ptr<request_handle> mine(
			static_cast<request_handle *>(handle));

		if (mine)
			mine->it->release();
		return abi::STATUS_SUCCESS;
	});
}

/* ---- notifications ---------------------------------------------------- */

void backend::take_note(const struct tcpx_notification &note, abi::notes &out)
{
	std::string agent, message;

	if (note_decode(note.data, note.len_bytes, &agent, &message))
		out.emplace_back(std::move(agent), std::move(message));
	else
		say_.write(TCPX_LOG_WARN, "backend",
			   "peer %s sent a notification that is not NIXL's",
			   note.name);
}

abi::status backend::get_notes(abi::notes &out)
{
	return guarded(say_, [&] {
		struct tcpx_notification *note;
		uint64_t departed = peers_->begin_reading();
		size_t n = 0;

		while (n++ < notes_a_call_max &&
		       !tcpx_notify_poll(session_, &note)) {
			std::unique_ptr<tcpx_notification,
					void (*)(struct tcpx_notification *)>
				held(note, tcpx_notify_free);

			take_note(*note, out);
		}
		if (n <= notes_a_call_max)
			peers_->end_reading(departed);
		return abi::STATUS_SUCCESS;
	});
}

abi::status backend::send_note(const abi::text &agent,
			       const abi::text &message) const
{
	return guarded(say_, [&] {
		remote_ref to = peers_->find(agent);

		if (!to)
			return abi::STATUS_NOT_FOUND;
		if (too_long(message))
			return abi::STATUS_INVALID_PARAM;
		return status_for_nixl(
			peers_->send(*to, note_encode(agent_name(), message)));
	});
}
