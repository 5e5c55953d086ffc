/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdbool.h>
#include <sys/prctl.h>

#include "calls.h"
#include "conf.h"
#include "fault.h"
#include "mr.h"
#include "nic.h"
#include "rules.h"
#include "setup.h"
#include "transport/netplugin/abi.h"

/*
 * The table that the object exports: one version, by the macro DOUBLE_ABI, as
 * the plugin exports one. Everything but registration and properties is the
 * same in both.
 */

#define EXPORT __attribute__((visibility("default")))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool is_inited; /* covered by the lock */

static int check_environment(const struct conf *conf)
{
	if (!conf->enabled || conf->strategy != 3)
		return NETPLUGIN_EINTERNAL;
	if (conf->chunk_bytes == 0)
		rules_broken(2, "NCCL_DYNAMIC_CHUNK_SIZE is unset or 0: "
				"sends never end");
	if (conf->inline_max_bytes)
		rules_broken(2,
			     "NCCL_INLINE_THRESHOLD is %d: GPU pointers "
			     "go to send()",
			     conf->inline_max_bytes);
	if (conf->n_threads > 8)
		rules_broken(2, "NCCL_SOCKET_NTHREADS is %d: no sockets",
			     conf->n_threads);
	if (conf->export_stats && !conf->export_path) {
		rules_broken(2, "EXPORT_STATS_TO_FILE without a path");
		rules_crash();
	}
	return 0;
}

static int init_once(netplugin_log_fn log)
{
	int rc;

	rules_set_log(log); /* first of all, also where init then fails */
	if (!log) {
		rules_broken(1, "init without a logger");
		rules_crash();
	}
	if (is_inited) {
		rules_warn("gpu lib init twice");
		return NETPLUGIN_EINTERNAL;
	}
	rc = check_environment(conf_get());
	if (rc)
		return rc;
	is_inited = true;
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	if (nic_find() == 0) {
		rules_warn("no interface found");
		return NETPLUGIN_EINTERNAL;
	}
	if (conf_get()->no_numa) {
		rules_broken(2, "a NIC's NUMA node is -1, and there is no "
				"node1");
		rules_crash();
	}
	if (nic_control(0).s_addr == 0)
		rules_broken(2, "CTRL_DEV names no interface");
	rules_log_odd();
	return 0;
}

static int init(netplugin_log_fn log)
{
	int rc = fault_call("init");

	if (rc)
		return rc;
	rules_control_begin("init");
	pthread_mutex_lock(&lock);
	rc = init_once(log);
	pthread_mutex_unlock(&lock);
	rules_control_end();
	return rc;
}

static int devices(int *n_devices)
{
	int rc = fault_call("devices");

	if (!rc)
		*n_devices = nic_count();
	return rc;
}

static int find_nic(int dev, const struct nic **nic)
{
	int rc = fault_call("get_properties");

	if (rc)
		return rc;
	if (dev < 0 || dev >= nic_count()) {
		rules_broken(1, "properties of device %d of %d", dev,
			     nic_count());
		rules_crash();
	}
	*nic = nic_get(dev);
	return 0;
}

#if DOUBLE_ABI == 7

static int get_properties(int dev, struct netplugin_props_v7 *props)
{
	const struct nic *nic;
	int rc = find_nic(dev, &nic);

	if (rc)
		return rc;
	*props = (struct netplugin_props_v7){
		.name = (char *)nic->name,
		.pci_path = nic->pci_path,
		.guid = (uint64_t)dev,
		.ptr_support = NETPLUGIN_PTR_HOST | NETPLUGIN_PTR_CUDA,
		.speed_mbps = nic->speed_mbps,
		.max_comms = 65536,
		.max_recvs = 1,
		.device_type = NETPLUGIN_DEVICE_UNPACK,
		.device_version = NETPLUGIN_UNPACK_VERSION,
	};
	return 0;
}

static int reg_mr(void *comm, void *data, int size_bytes, int type,
		  void **mhandle)
{
	return mr_reg(comm, data, (size_t)(unsigned)size_bytes, type, mhandle);
}

#define TABLE ncclNetPlugin_v7
#define TABLE_TYPE struct netplugin_v7
#define TABLE_NAME "GPUDirectTCPX_v7"

#else

static int get_properties(int dev, struct netplugin_props_v8 *props)
{
	const struct nic *nic;
	int rc = find_nic(dev, &nic);

	if (rc)
		return rc;
	*props = (struct netplugin_props_v8){
		.name = (char *)nic->name,
		.pci_path = nic->pci_path,
		.guid = (uint64_t)dev,
		.ptr_support = NETPLUGIN_PTR_HOST | NETPLUGIN_PTR_CUDA,
		.speed_mbps = nic->speed_mbps,
		.max_comms = 65536,
		.max_recvs = 1,
		.device_type = NETPLUGIN_DEVICE_UNPACK,
		.device_version = NETPLUGIN_UNPACK_VERSION,
	};
	return 0;
}

static int reg_mr(void *comm, void *data, size_t size_bytes, int type,
		  void **mhandle)
{
	return mr_reg(comm, data, size_bytes, type, mhandle);
}

#define TABLE ncclNetPlugin_v8
#define TABLE_TYPE struct netplugin_v8
#define TABLE_NAME "GPUDirectTCPX_v8"

#endif

extern const TABLE_TYPE TABLE;

EXPORT const TABLE_TYPE TABLE = {
	.name = TABLE_NAME,
	.init = init,
	.devices = devices,
	.get_properties = get_properties,
	.listen = setup_listen,
	.connect = setup_connect,
	.accept = setup_accept,
	.reg_mr = reg_mr,
	.reg_mr_dmabuf = NULL,
	.dereg_mr = mr_dereg,
	.isend = calls_isend,
	.irecv = calls_irecv,
	.iflush = calls_iflush,
	.test = calls_test,
	.close_send = calls_close_send,
	.close_recv = calls_close_recv,
	.close_listen = setup_close_listen,
	.get_device_mr = mr_get_device,
	.irecv_consumed = calls_irecv_consumed,
};
