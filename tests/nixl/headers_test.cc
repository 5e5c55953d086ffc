/* SPDX-License-Identifier: Apache-2.0 */
/* Our declarations of what NIXL and a plugin share against NIXL's own headers,
 * where there is a source tree (-Dnixl_headers=DIR). Of a NIXL whose headers
 * do not fit, this does not compile, or a case says what differs. */
#include <chrono>
#include <cstddef>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "abi.h"
#include "check.h"

/* Their data members are not for everybody to see. */
#define private public
#define protected public
#include <backend_engine.h>
#undef private
#undef protected
#include <backend_plugin.h>

#pragma GCC diagnostic ignored "-Winvalid-offsetof"

#define SAME_SIZE(theirs, ours)                                                \
	static_assert(sizeof(theirs) == sizeof(ours), #theirs)
#define SAME_PLACE(theirs, their_member, ours, our_member)                     \
	static_assert(offsetof(theirs, their_member) ==                        \
			      offsetof(ours, our_member),                      \
		      #theirs " " #their_member)
#define SAME_VALUE(theirs, ours)                                               \
	static_assert(static_cast<int>(theirs) == static_cast<int>(ours),      \
		      #theirs)

namespace abi
{

struct comparison {
	SAME_PLACE(nixlBackendEngine, backendType, engine, type_);
	SAME_PLACE(nixlBackendEngine, customParams, engine, custom_);
	SAME_PLACE(nixlBackendEngine, telemetryEvents_, engine, events_);
	SAME_PLACE(nixlBackendEngine, telemetryEventsMutex_, engine,
		   events_lock_);
	SAME_PLACE(nixlBackendEngine, initErr, engine, init_error_);
	SAME_PLACE(nixlBackendEngine, localAgent, engine, agent_);
	SAME_PLACE(nixlBackendEngine, enableTelemetry_, engine, telemetry_);
	SAME_SIZE(nixlBackendEngine, engine);
};

SAME_SIZE(nixlBackendInitParams, init_params);
SAME_PLACE(nixlBackendInitParams, type, init_params, type);
SAME_PLACE(nixlBackendInitParams, customParams, init_params, custom);
SAME_PLACE(nixlBackendInitParams, enableProgTh, init_params, progress_thread);
SAME_PLACE(nixlBackendInitParams, pthrDelay, init_params, progress_delay_us);
SAME_PLACE(nixlBackendInitParams, syncMode, init_params, sync_mode);
SAME_PLACE(nixlBackendInitParams, enableTelemetry_, init_params, telemetry);

SAME_SIZE(nixlBackendMD, metadata);
SAME_PLACE(nixlBackendMD, isPrivateMD, metadata, is_private);
SAME_SIZE(nixlBackendReqH, request);
SAME_SIZE(nixl_opt_b_args_t, optional_args);
SAME_PLACE(nixl_opt_b_args_t, hasNotif, optional_args, has_note);
SAME_PLACE(nixl_opt_b_args_t, customParam, optional_args, custom);
SAME_SIZE(nixlBasicDesc, basic_desc);
SAME_PLACE(nixlBasicDesc, len, basic_desc, len_bytes);
SAME_PLACE(nixlBasicDesc, devId, basic_desc, device);
SAME_SIZE(nixlBlobDesc, blob_desc);
SAME_PLACE(nixlBlobDesc, metaInfo, blob_desc, blob);
SAME_SIZE(nixlMetaDesc, meta_desc);
SAME_PLACE(nixlMetaDesc, metadataP, meta_desc, md);
SAME_SIZE(nixl_meta_dlist_t, meta_list);
SAME_PLACE(nixl_meta_dlist_t, type, meta_list, type);
SAME_PLACE(nixl_meta_dlist_t, descs, meta_list, items);
SAME_SIZE(nixl_b_params_t, params);
SAME_SIZE(notif_list_t, notes);

SAME_VALUE(NIXL_PLUGIN_API_VERSION, api_version);
SAME_SIZE(nixlBackendPlugin, plugin);
SAME_PLACE(nixlBackendPlugin, api_version, plugin, api_version);
SAME_PLACE(nixlBackendPlugin, create_engine, plugin, create);
SAME_PLACE(nixlBackendPlugin, destroy_engine, plugin, destroy);
SAME_PLACE(nixlBackendPlugin, get_plugin_name, plugin, name);
SAME_PLACE(nixlBackendPlugin, get_plugin_version, plugin, version);
SAME_PLACE(nixlBackendPlugin, get_backend_options, plugin, options);
SAME_PLACE(nixlBackendPlugin, get_backend_mems, plugin, mems);

SAME_VALUE(NIXL_IN_PROG, STATUS_IN_PROGRESS);
SAME_VALUE(NIXL_SUCCESS, STATUS_SUCCESS);
SAME_VALUE(NIXL_ERR_NOT_POSTED, STATUS_NOT_POSTED);
SAME_VALUE(NIXL_ERR_INVALID_PARAM, STATUS_INVALID_PARAM);
SAME_VALUE(NIXL_ERR_BACKEND, STATUS_BACKEND);
SAME_VALUE(NIXL_ERR_NOT_FOUND, STATUS_NOT_FOUND);
SAME_VALUE(NIXL_ERR_MISMATCH, STATUS_MISMATCH);
SAME_VALUE(NIXL_ERR_NOT_ALLOWED, STATUS_NOT_ALLOWED);
SAME_VALUE(NIXL_ERR_REPOST_ACTIVE, STATUS_REPOST_ACTIVE);
SAME_VALUE(NIXL_ERR_UNKNOWN, STATUS_UNKNOWN);
SAME_VALUE(NIXL_ERR_NOT_SUPPORTED, STATUS_NOT_SUPPORTED);
SAME_VALUE(NIXL_ERR_REMOTE_DISCONNECT, STATUS_REMOTE_DISCONNECT);
SAME_VALUE(NIXL_ERR_CANCELED, STATUS_CANCELED);
SAME_VALUE(DRAM_SEG, MEM_DRAM);
SAME_VALUE(VRAM_SEG, MEM_VRAM);
SAME_VALUE(BLK_SEG, MEM_BLOCK);
SAME_VALUE(OBJ_SEG, MEM_OBJECT);
SAME_VALUE(FILE_SEG, MEM_FILE);
SAME_VALUE(NIXL_READ, XFER_READ);
SAME_VALUE(NIXL_WRITE, XFER_WRITE);
SAME_VALUE(nixl_cost_t::ANALYTICAL_BACKEND, cost_kind::ANALYTICAL_BACKEND);

} /* namespace abi */

/* ---- slots ------------------------------------------------------------ */

/* The place of a virtual function in its class's table. */
template <class function>
static long slot(function f)
{
	ptrdiff_t raw;

	memcpy(&raw, &f, sizeof(raw));
#if defined(__aarch64__)
	return raw / 8;
#else
	return (raw - 1) / 8;
#endif
}

#define SAME_SLOT(theirs, ours)                                                \
	CHECK_EQ(slot(&nixlBackendEngine::theirs), slot(&abi::engine::ours))

static void slots(void)
{
	using local_view = nixl_status_t (
		nixlBackendEngine::*)(const nixl_meta_dlist_t &, nixlMemViewH &,
				      const nixl_opt_b_args_t *) const;
	using remote_view = nixl_status_t (nixlBackendEngine::*)(
		const nixl_remote_meta_dlist_t &, nixlMemViewH &,
		const nixl_opt_b_args_t *) const;

	SAME_SLOT(supportsRemote, supports_remote);
	SAME_SLOT(supportsLocal, supports_local);
	SAME_SLOT(supportsNotif, supports_notes);
	SAME_SLOT(getSupportedMems, supported_mems);
	SAME_SLOT(registerMem, register_mem);
	SAME_SLOT(deregisterMem, deregister_mem);
	SAME_SLOT(connect, connect);
	SAME_SLOT(disconnect, disconnect);
	SAME_SLOT(unloadMD, unload_md);
	SAME_SLOT(prepXfer, prep_xfer);
	SAME_SLOT(postXfer, post_xfer);
	SAME_SLOT(checkXfer, check_xfer);
	SAME_SLOT(releaseReqH, release_request);
	CHECK_EQ(
		slot(static_cast<remote_view>(&nixlBackendEngine::prepMemView)),
		slot(&abi::engine::prep_remote_view));
	CHECK_EQ(slot(static_cast<local_view>(&nixlBackendEngine::prepMemView)),
		 slot(&abi::engine::prep_local_view));
	SAME_SLOT(releaseMemView, release_view);
	SAME_SLOT(getPublicData, public_data);
	SAME_SLOT(getConnInfo, conn_info);
	SAME_SLOT(loadRemoteConnInfo, load_conn_info);
	SAME_SLOT(loadRemoteMD, load_remote_md);
	SAME_SLOT(loadLocalMD, load_local_md);
	SAME_SLOT(getNotifs, get_notes);
	SAME_SLOT(genNotif, send_note);
	SAME_SLOT(queryMem, query_mem);
	SAME_SLOT(estimateXferCost, estimate_cost);
	CHECK_EQ(slot(&abi::engine::estimate_cost), abi::n_virtuals - 1);
}

static const struct check_case cases[] = {
	{"slots", slots, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
