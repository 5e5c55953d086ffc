/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/netplugin/adapt.h"

/* One plugin a process, so the table may be a global. Set before any call. */
static const struct netplugin_v8 *table;

static int properties(int dev, struct plugin_props *props)
{
	struct netplugin_props_v8 from = {0};
	int rc = table->get_properties(dev, &from);

	if (rc)
		return rc;
	adapt_name(from.name, props->name);
	adapt_pci(from.pci_path, props->pci);
	props->ptr_support = (uint32_t)from.ptr_support;
	props->speed_mbps = (uint32_t)from.speed_mbps;
	props->max_comms = (uint32_t)from.max_comms;
	props->max_recvs = (uint32_t)from.max_recvs;
	props->device_type = (uint32_t)from.device_type;
	props->device_version = (uint32_t)from.device_version;
	return 0;
}

static const char *adapt(const void *from, struct plugin_calls *calls)
{
	table = from;
	*calls = (struct plugin_calls){
		.init = table->init,
		.devices = table->devices,
		.properties = properties,
		.listen = table->listen,
		.connect = table->connect,
		.accept = table->accept,
		.reg_mr = table->reg_mr,
		.dereg_mr = table->dereg_mr,
		.isend = table->isend,
		.irecv = table->irecv,
		.iflush = table->iflush,
		.test = table->test,
		.close_send = table->close_send,
		.close_recv = table->close_recv,
		.close_listen = table->close_listen,
		.irecv_consumed = table->irecv_consumed,
	};
	return table->name;
}

const struct plugin_adapter plugin_adapter_v8 = {
	.symbol = NETPLUGIN_SYMBOL_V8,
	.version = 8,
	.adapt = adapt,
};
