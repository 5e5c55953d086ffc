/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_NIXL_CAPI_H
#define TESTS_NIXL_CAPI_H

/*
 * The C interface that NIXL's wheels carry (libnixl_capi.so), by dlopen: a
 * real agent, driven from C. Handles are void pointers. All calls return 0,
 * CAPI_IN_PROGRESS, or less than 0; of NIXL's own statuses no more is told.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAPI_IN_PROGRESS 1

enum capi_mem {
	CAPI_DRAM = 0,
	CAPI_VRAM = 1,
};

enum capi_op {
	CAPI_READ = 0,
	CAPI_WRITE = 1,
};

enum capi_sync {
	CAPI_SYNC_NONE = 0,
	CAPI_SYNC_STRICT = 1,
	CAPI_SYNC_RW = 2,
};

struct capi_config {
	bool progress_thread;
	bool listen_thread;
	int listen_port;
	int sync;
	unsigned int n_workers;
	uint64_t progress_delay_us;
	uint64_t listen_delay_us;
	bool telemetry;
};

/* name, arguments: after the prefix nixl_capi_. */
#define CAPI_CALLS(X)                                                          \
	X(create_configured_agent,                                             \
	  (const char *name, const struct capi_config *config, void **agent))  \
	X(destroy_agent, (void *agent))                                        \
	X(get_available_plugins, (void *agent, void **list))                   \
	X(get_plugin_params,                                                   \
	  (void *agent, const char *plugin, void **mems, void **params))       \
	X(get_backend_params,                                                  \
	  (void *agent, void *backend, void **mems, void **params))            \
	X(create_params, (void **params))                                      \
	X(params_add, (void *params, const char *key, const char *value))      \
	X(params_create_iterator, (void *params, void **iterator))             \
	X(params_iterator_next, (void *iterator, const char **key,             \
				 const char **value, bool *has_next))          \
	X(params_destroy_iterator, (void *iterator))                           \
	X(destroy_params, (void *params))                                      \
	X(mem_list_size, (void *mems, size_t *n))                              \
	X(mem_list_get, (void *mems, size_t i, int *mem))                      \
	X(destroy_mem_list, (void *mems))                                      \
	X(create_backend,                                                      \
	  (void *agent, const char *plugin, void *params, void **backend))     \
	X(destroy_backend, (void *backend))                                    \
	X(create_opt_args, (void **args))                                      \
	X(destroy_opt_args, (void *args))                                      \
	X(opt_args_add_backend, (void *args, void *backend))                   \
	X(opt_args_set_notif_msg,                                              \
	  (void *args, const void *data, size_t len_bytes))                    \
	X(opt_args_set_has_notif, (void *args, bool has_notif))                \
	X(opt_args_set_skip_desc_merge, (void *args, bool skip))               \
	X(get_local_md, (void *agent, void **data, size_t *len_bytes))         \
	X(get_local_partial_md, (void *agent, void *reg_list, void **data,     \
				 size_t *len_bytes, void *args))               \
	X(load_remote_md,                                                      \
	  (void *agent, const void *data, size_t len_bytes, char **name))      \
	X(invalidate_remote_md, (void *agent, const char *name))               \
	X(check_remote_md, (void *agent, const char *name, void *list))        \
	X(agent_make_connection, (void *agent, const char *name, void *args))  \
	X(create_reg_dlist, (int mem, void **list))                            \
	X(reg_dlist_add_desc,                                                  \
	  (void *list, uintptr_t addr, size_t len_bytes, uint64_t device,      \
	   const void *meta, size_t meta_bytes))                               \
	X(destroy_reg_dlist, (void *list))                                     \
	X(register_mem, (void *agent, void *list, void *args))                 \
	X(deregister_mem, (void *agent, void *list, void *args))               \
	X(create_xfer_dlist, (int mem, void **list))                           \
	X(xfer_dlist_add_desc,                                                 \
	  (void *list, uintptr_t addr, size_t len_bytes, uint64_t device))     \
	X(destroy_xfer_dlist, (void *list))                                    \
	X(prep_xfer_dlist, (void *agent, const char *name, void *list,         \
			    void **handle, void *args))                        \
	X(release_xfer_dlist_handle, (void *agent, void *handle))              \
	X(make_xfer_req,                                                       \
	  (void *agent, int op, void *local, const int *local_indices,         \
	   size_t n_local, void *remote, const int *remote_indices,            \
	   size_t n_remote, void **req, void *args))                           \
	X(create_xfer_req, (void *agent, int op, void *local, void *remote,    \
			    const char *name, void **req, void *args))         \
	X(post_xfer_req, (void *agent, void *req, void *args))                 \
	X(get_xfer_status, (void *agent, void *req))                           \
	X(release_xfer_req, (void *agent, void *req))                          \
	X(destroy_xfer_req, (void *req))                                       \
	X(gen_notif, (void *agent, const char *name, const void *data,         \
		      size_t len_bytes, void *args))                           \
	X(create_notif_map, (void **map))                                      \
	X(destroy_notif_map, (void *map))                                      \
	X(notif_map_clear, (void *map))                                        \
	X(get_notifs, (void *agent, void *map, void *args))                    \
	X(notif_map_size, (void *map, size_t *n))                              \
	X(notif_map_get_agent_at, (void *map, size_t i, const char **name))    \
	X(notif_map_get_notifs_size, (void *map, const char *name, size_t *n)) \
	X(notif_map_get_notif, (void *map, const char *name, size_t i,         \
				const void **data, size_t *len_bytes))

struct capi {
#define X(name, args) int(*name) args;
	CAPI_CALLS(X)
#undef X
};

/* The one of NIXL_LIBS (a folder, from the environment), loaded at the first
 * call. Ends the process in words if it cannot be had. */
const struct capi *capi(void);

#endif
