/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETPLUGIN_PLUGIN_H
#define NETPLUGIN_PLUGIN_H

/*
 * A net plugin loaded into this process: found, adapted to one table, and
 * initialised once. One a process, never unloaded: plugins leave threads
 * behind, and few survive a second init.
 *
 *      abi_v7.c, abi_v8.c   one file a table's version; the next is one more
 *                           file and one line in plugin.c
 *      plugin_log.c         what the plugin says, and its last words
 *      quirks.c             what its name tells that its properties do not
 *
 * Threads: plugin_open() from any. The calls of the table have rules of their
 * own: init to accept, reg_mr, dereg_mr and close only with plugin_lock()
 * held; isend, irecv, test and irecv_consumed by one thread a comm at a time.
 * SIGPIPE is blocked in whoever calls (sigpipe.h).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/netplugin/abi.h"

struct log;

#define PLUGIN_NAME_MAX 64
#define PLUGIN_PATH_MAX 512
#define PLUGIN_DEVICES_MAX 32

struct plugin_props {
	char name[PLUGIN_NAME_MAX];
	char pci[16]; /* "0000:06:00.0"; "" for none */
	uint32_t ptr_support; /* bits of enum netplugin_ptr */
	uint32_t speed_mbps;
	uint32_t max_comms, max_recvs;
	uint32_t device_type, device_version;
};

/* What all versions come to. Slots of the plugin that are NULL are NULL. */
struct plugin_calls {
	int (*init)(netplugin_log_fn log);
	int (*devices)(int *n_devices);
	int (*properties)(int dev, struct plugin_props *props);
	int (*listen)(int dev, void *handle, void **lcomm);
	int (*connect)(int dev, void *handle, void **scomm,
		       struct netplugin_device_handle **send_handle);
	int (*accept)(void *lcomm, void **rcomm,
		      struct netplugin_device_handle **recv_handle);
	int (*reg_mr)(void *comm, void *data, size_t size_bytes, int type,
		      void **mhandle);
	int (*dereg_mr)(void *comm, void *mhandle);
	int (*isend)(void *scomm, void *data, int size_bytes, int tag,
		     void *mhandle, void **request);
	int (*irecv)(void *rcomm, int n, void **data, int *sizes_bytes,
		     int *tags, void **mhandles, void **request);
	int (*iflush)(void *rcomm, int n, void **data, int *sizes_bytes,
		      void **mhandles, void **request);
	int (*test)(void *request, int *done, int *sizes_bytes);
	int (*close_send)(void *scomm);
	int (*close_recv)(void *rcomm);
	int (*close_listen)(void *lcomm);
	int (*irecv_consumed)(void *rcomm, int n, void *request);
};

struct plugin_adapter {
	const char *symbol;
	uint32_t version;
	/* table: what the symbol points to. Returns the plugin's name. */
	const char *(*adapt)(const void *table, struct plugin_calls *calls);
};

extern const struct plugin_adapter plugin_adapter_v7, plugin_adapter_v8;

/* What only the name tells; each line of the table cites its reason. */
enum plugin_quirk {
	/* Reads NCCL_* variables whose bad values hang or crash it. */
	PLUGIN_CHECK_ENV = 1u << 0,
	/* Asks a daemon for its pool and its steering rules. */
	PLUGIN_NEEDS_DAEMON = 1u << 1,
	/* A receive on another NIC than the GPU's own ends the process. */
	PLUGIN_HOME_NIC_ONLY = 1u << 2,
	/* So does one from the same host. */
	PLUGIN_NO_LOOPBACK = 1u << 3,
};

struct plugin {
	struct plugin_calls calls;
	const struct plugin_adapter *adapter;
	char name[PLUGIN_NAME_MAX];
	char path[PLUGIN_PATH_MAX];
	uint32_t quirks; /* of enum plugin_quirk */
	bool was_taken; /* somebody had initialised it before us */
	uint32_t n_devices;
	struct plugin_props devices[PLUGIN_DEVICES_MAX];
};

/*
 * Is there a plugin to load? Opens the file, looks for a table, runs none of
 * its functions but what loading it runs. paths: tried in this order, NULL
 * at the end. TCPX_EUNSUPPORTED with what was tried in why.
 */
int plugin_find(const char *const *paths, const struct log *log,
		struct plugin **plugin, char *why, size_t cap_bytes);
/*
 * init and properties, once a process; later calls give the outcome of the
 * first. The environment is as the plugin shall find it.
 */
int plugin_start(struct plugin *plugin, char *why, size_t cap_bytes);

/* Around control calls, process-wide. plugin_trylock(): false if it took
 * longer than timeout_ms: some control call does not return. */
bool plugin_lock(uint32_t timeout_ms);
void plugin_unlock(void);

/* The plugin's result in words. */
const char *plugin_result_name(int result);
uint32_t plugin_quirks_of(const char *name);

/* plugin_log.c: the callback; whom it tells (NULL: nobody), and its latest
 * lines, oldest first, each with a newline. */
void plugin_log(int level, unsigned long flags, const char *file, int line,
		const char *fmt, ...);
void plugin_log_to(const struct log *log);
/* Has the end of the process explained, if the plugin brings it about. */
void plugin_log_at_exit(void);
void plugin_log_forget(const struct log *log);
size_t plugin_last_words(char *buf, size_t cap_bytes);

#endif
