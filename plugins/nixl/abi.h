/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLUGINS_NIXL_ABI_H
#define PLUGINS_NIXL_ABI_H

/*
 * What NIXL and a backend plugin share, declared by ourselves: the order of
 * the virtual functions, the layout of the structs, the values of the enums.
 * It is the same in NIXL 1.0.0 to 1.5.1, so one binary serves them all; no
 * NIXL header is needed, and no NIXL symbol, for everything is called through
 * the table of virtual functions or a plain function pointer.
 *
 * Names differ from NIXL's on purpose: only order and layout are shared, and
 * types of the same name would be the same symbols. tests/nixl/headers_test.cc
 * compares this page with the real headers where there are some.
 *
 * Rule for those who use it: of a list read `items`, never call it.
 */

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace abi
{

constexpr int api_version = 1;
constexpr unsigned int n_virtuals = 27;

enum status : int {
	STATUS_IN_PROGRESS = 1,
	STATUS_SUCCESS = 0,
	STATUS_NOT_POSTED = -1,
	STATUS_INVALID_PARAM = -2,
	STATUS_BACKEND = -3,
	STATUS_NOT_FOUND = -4,
	STATUS_MISMATCH = -5,
	STATUS_NOT_ALLOWED = -6,
	STATUS_REPOST_ACTIVE = -7,
	STATUS_UNKNOWN = -8,
	STATUS_NOT_SUPPORTED = -9,
	STATUS_REMOTE_DISCONNECT = -10,
	STATUS_CANCELED = -11,
};

enum mem_type : int {
	MEM_DRAM = 0,
	MEM_VRAM,
	MEM_BLOCK,
	MEM_OBJECT,
	MEM_FILE,
};

enum xfer_op : int {
	XFER_READ = 0,
	XFER_WRITE,
};

enum class cost_kind : int {
	ANALYTICAL_BACKEND = 0,
};

using text = std::string;
using params = std::unordered_map<std::string, std::string>;
using mem_types = std::vector<mem_type>;
/* Sender's agent name, message. */
using notes = std::vector<std::pair<std::string, std::string>>;
using answers = std::vector<std::optional<params>>;

/* ---- what is passed --------------------------------------------------- */

/* On the agent's stack: nothing of it may be kept by reference. */
struct init_params {
	text agent;
	text type;		/* the name the backend was asked for by */
	params *custom;		/* the user's; may be NULL */
	bool progress_thread;
	uint64_t progress_delay_us;
	int sync_mode;
	bool telemetry;
};

/* Metadata and requests are ours: NIXL keeps the pointers and hands them
 * back, no more. */
struct metadata {
	bool is_private;

	explicit metadata(bool own) : is_private(own)
	{
	}
	virtual ~metadata() = default;
};

struct request {
	virtual ~request() = default;
};

struct optional_args {
	text note;
	bool has_note;
	text custom;
};

struct basic_desc {
	uintptr_t addr;
	size_t len_bytes;
	uint64_t device;
};

struct blob_desc : basic_desc {
	text blob;
};

struct meta_desc : basic_desc {
	metadata *md;
};

/* Made by NIXL only: of its table of virtual functions nothing is needed
 * but that it is there. */
template <class desc>
struct desc_list {
	virtual ~desc_list() = delete;
	mem_type type;
	std::vector<desc> items;

	desc_list() = delete;
};

using meta_list = desc_list<meta_desc>;
using reg_list = desc_list<blob_desc>;
struct remote_meta_list;

/* Nothing is ever put in. */
struct telemetry_event {
	uint64_t words[2];
};

/* ---- the engine ------------------------------------------------------- */

/*
 * The base of a backend, slot by slot. NIXL reads and writes the data members
 * itself, by code of its own.
 */
class engine
{
      public:
	explicit engine(const init_params &init)
		: type_(init.type),
		  custom_(init.custom ? *init.custom : params()),
		  init_error_(false), agent_(init.agent),
		  telemetry_(init.telemetry)
	{
	}
	engine(const engine &) = delete;
	engine &operator=(const engine &) = delete;
	/* slots 0, 1 */
	virtual ~engine() = default;

	/* 2 to 7 */
	virtual bool supports_remote() const = 0;
	virtual bool supports_local() const = 0;
	virtual bool supports_notes() const = 0;
	virtual mem_types supported_mems() const = 0;
	virtual status register_mem(const blob_desc &desc, const mem_type &type,
				    metadata *&out) = 0;
	virtual status deregister_mem(metadata *md) = 0;
	/* 8 to 10 */
	virtual status connect(const text &agent) = 0;
	virtual status disconnect(const text &agent) = 0;
	virtual status unload_md(metadata *md) = 0;
	/* 11 to 14 */
	virtual status prep_xfer(const xfer_op &op, const meta_list &local,
				 const meta_list &remote, const text &agent,
				 request *&handle,
				 const optional_args *args) const = 0;
	virtual status post_xfer(const xfer_op &op, const meta_list &local,
				 const meta_list &remote, const text &agent,
				 request *&handle,
				 const optional_args *args) const = 0;
	virtual status check_xfer(request *handle) const = 0;
	virtual status release_request(request *handle) const = 0;
	/* 15 to 17: for kernels that start transfers themselves */
	virtual status prep_remote_view(const remote_meta_list &, void *&,
					const optional_args *) const
	{
		return STATUS_NOT_SUPPORTED;
	}
	virtual status prep_local_view(const meta_list &, void *&,
				       const optional_args *) const
	{
		return STATUS_NOT_SUPPORTED;
	}
	virtual void release_view(void *) const
	{
	}
	/* 18 to 22 */
	virtual status public_data(const metadata *md, text &out) const = 0;
	virtual status conn_info(text &out) const = 0;
	virtual status load_conn_info(const text &agent, const text &info) = 0;
	virtual status load_remote_md(const blob_desc &desc,
				      const mem_type &type, const text &agent,
				      metadata *&out) = 0;
	virtual status load_local_md(metadata *in, metadata *&out) = 0;
	/* 23, 24 */
	virtual status get_notes(notes &out) = 0;
	virtual status send_note(const text &agent,
				 const text &message) const = 0;
	/* 25, 26 */
	virtual status query_mem(const reg_list &, answers &) const
	{
		return STATUS_NOT_SUPPORTED;
	}
	virtual status estimate_cost(const xfer_op &, const meta_list &,
				     const meta_list &, const text &,
				     request *const &,
				     std::chrono::microseconds &,
				     std::chrono::microseconds &, cost_kind &,
				     const void *) const
	{
		return STATUS_NOT_SUPPORTED;
	}

	const text &agent_name() const
	{
		return agent_;
	}

      protected: /* not private: for compilers that look who uses them */
	friend struct layout;
	friend struct comparison;

	text type_;
	params custom_;
	std::vector<telemetry_event> events_;
	std::mutex events_lock_;
	bool init_error_;
	const text agent_;
	const bool telemetry_;
};

/* What nixl_plugin_init() returns a pointer to. */
struct plugin {
	int api_version;
	engine *(*create)(const init_params *init);
	void (*destroy)(engine *engine);
	const char *(*name)();
	const char *(*version)();
	params (*options)();
	mem_types (*mems)();
};

/* ---- the layout, as measured in NIXL ---------------------------------- */

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"

struct layout {
	static_assert(sizeof(void *) == 8 && sizeof(text) == 32 &&
			      sizeof(params) == 56,
		      "64-bit, libstdc++ with its newer strings");
	static_assert(offsetof(engine, type_) == 8, "engine");
	static_assert(offsetof(engine, custom_) == 40, "engine");
	static_assert(offsetof(engine, events_) == 96, "engine");
	static_assert(offsetof(engine, events_lock_) == 120, "engine");
#if defined(__x86_64__)
	/* std::mutex is longer elsewhere, and what follows it further on. */
	static_assert(offsetof(engine, init_error_) == 160, "engine");
	static_assert(offsetof(engine, agent_) == 168, "engine");
	static_assert(offsetof(engine, telemetry_) == 200, "engine");
	static_assert(sizeof(engine) == 208, "engine");
#endif
	static_assert(sizeof(init_params) == 96, "init_params");
	static_assert(offsetof(init_params, type) == 32, "init_params");
	static_assert(offsetof(init_params, custom) == 64, "init_params");
	static_assert(offsetof(init_params, progress_thread) == 72, "init");
	static_assert(offsetof(init_params, progress_delay_us) == 80, "init");
	static_assert(offsetof(init_params, sync_mode) == 88, "init_params");
	static_assert(offsetof(init_params, telemetry) == 92, "init_params");
	static_assert(sizeof(metadata) == 16, "metadata");
	static_assert(offsetof(metadata, is_private) == 8, "metadata");
	static_assert(sizeof(request) == 8, "request");
	static_assert(sizeof(optional_args) == 72, "optional_args");
	static_assert(offsetof(optional_args, has_note) == 32, "args");
	static_assert(offsetof(optional_args, custom) == 40, "args");
	static_assert(sizeof(basic_desc) == 24, "basic_desc");
	static_assert(offsetof(basic_desc, device) == 16, "basic_desc");
	static_assert(sizeof(blob_desc) == 56, "blob_desc");
	static_assert(sizeof(meta_desc) == 32, "meta_desc");
	static_assert(offsetof(meta_desc, md) == 24, "meta_desc");
	static_assert(sizeof(meta_list) == 40, "desc_list");
	static_assert(offsetof(meta_list, type) == 8, "desc_list");
	static_assert(offsetof(meta_list, items) == 16, "desc_list");
	static_assert(sizeof(telemetry_event) == 16, "telemetry_event");
	static_assert(sizeof(plugin) == 56, "plugin");
	static_assert(offsetof(plugin, mems) == 48, "plugin");
};

#pragma GCC diagnostic pop

} /* namespace abi */

#endif
