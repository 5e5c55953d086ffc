/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "transport/netplugin/plugin.h"

/*
 * What cannot be seen in a plugin's properties. A line needs a reason that
 * can be looked up; behaviour that properties tell has no place here.
 */
static const struct {
	const char *prefix; /* of the plugin's name */
	uint32_t quirks;
} table[] = {
	/*
	 * CHECK_ENV: its source (3.1.9, src/net_tcpx.cc) takes an unset
	 * NCCL_DYNAMIC_CHUNK_SIZE for 0 and then queues empty tasks for ever;
	 * docs/netplugin.md has the list of variables.
	 * NEEDS_DAEMON: its README: RxDM must run before it, it owns the pool
	 * and installs the steering rules.
	 * HOME_NIC_ONLY, NO_LOOPBACK: RxDM (rx_rule_manager.cc) steers a flow
	 * to the NIC of the GPU that the request names, whatever address it
	 * is for; what comes in on another NIC, or over lo, lands in host
	 * memory, and src/sock/tcpx.h answers with exit(1).
	 */
	{"GPUDirectTCPX", PLUGIN_CHECK_ENV | PLUGIN_NEEDS_DAEMON |
				  PLUGIN_HOME_NIC_ONLY | PLUGIN_NO_LOOPBACK},
};

uint32_t plugin_quirks_of(const char *name)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		const char *prefix = table[i].prefix;

		if (strncmp(name, prefix, strlen(prefix)) == 0)
			return table[i].quirks;
	}
	return 0;
}
