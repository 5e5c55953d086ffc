/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/netplugin/options.h"

#define HOUR_MS (3600ull * 1000)

const struct transport_setting options_settings[] = {
	[OPTIONS_PATH] = {.variable = "TCPX_NETPLUGIN_PATH",
			  .alias = "UCCL_TCPX_PLUGIN_PATH",
			  .allowed = "path of a file",
			  .help = "the plugin; not set: " OPTIONS_PATH_GKE
				  ", then " OPTIONS_PATH_OLD},
	[OPTIONS_ISOLATE] = {.variable = "TCPX_NETPLUGIN_ISOLATE",
			     .kind = TRANSPORT_SETTING_BOOL,
			     .def = 1,
			     .help = "the plugin runs in a helper process"},
	[OPTIONS_LEND] = {.variable = "TCPX_NETPLUGIN_LEND",
			  .kind = TRANSPORT_SETTING_BOOL,
			  .def = 1,
			  .help = "a helper process lends the plugin's pages; "
				  "0: it copies what comes"},
	[OPTIONS_HELPER] = {.variable = "TCPX_NETPLUGIN_HELPER",
			    .allowed = "path of a file",
			    .help = "the helper program; not set: the one "
				    "carried in the library"},
	[OPTIONS_MAP] = {.variable = "TCPX_NETPLUGIN_MAP",
			 .allowed = "0=eth1,1=eth1,2=eth2",
			 .help = "home interface of each GPU; not set: by PCI "
				 "distance"},
	[OPTIONS_GPUS] = {.variable = "TCPX_NETPLUGIN_GPUS",
			  .allowed = "numbers of GPUs, as 0,3",
			  .help = "GPUs that it is used for, and have a helper "
				  "process each; not set: all"},
	[OPTIONS_ALLOW] = {.variable = "TCPX_NETPLUGIN_ALLOW",
			   .allowed = "checks, by the names tcpx info has",
			   .help = "checks to go on without"},
	[OPTIONS_WINDOW] = {.variable = "TCPX_NETPLUGIN_WINDOW",
			    .kind = TRANSPORT_SETTING_NUMBER,
			    .def = 16,
			    .min = 1,
			    .max = 16,
			    .help = "requests of a comm at once"},
	[OPTIONS_SLOTS] = {.variable = "TCPX_NETPLUGIN_SLOTS",
			   .kind = TRANSPORT_SETTING_NUMBER,
			   .def = 12,
			   .min = 2,
			   .max = 64,
			   .help = "slots of a sending channel, a chunk each"},
	[OPTIONS_STALL] = {.variable = "TCPX_NETPLUGIN_STALL_MS",
			   .kind = TRANSPORT_SETTING_NUMBER,
			   .def = 10000,
			   .min = 10,
			   .max = HOUR_MS,
			   .help = "milliseconds without progress until a "
				   "channel has failed"},
	[OPTIONS_CONNECT] = {.variable = "TCPX_NETPLUGIN_CONNECT_MS",
			     .kind = TRANSPORT_SETTING_NUMBER,
			     .def = 14000,
			     .min = 10,
			     .max = HOUR_MS,
			     .help = "milliseconds until a connection has "
				     "failed"},
	[OPTIONS_START] = {.variable = "TCPX_NETPLUGIN_START_MS",
			   .kind = TRANSPORT_SETTING_NUMBER,
			   .def = 60000,
			   .min = 10,
			   .max = HOUR_MS,
			   .help = "milliseconds until a helper process has "
				   "not started, and is started again"},
	[OPTIONS_POOL] = {.variable = "TCPX_NETPLUGIN_POOL_BYTES",
			  .kind = TRANSPORT_SETTING_NUMBER,
			  .max = 1ull << 32,
			  .help = "size of the plugin's pool, to check scatter "
				  "lists by; 0: asked of the GPU"},
	[OPTIONS_SETTINGS] = {.variable = NULL},
};
