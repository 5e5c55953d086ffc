/* SPDX-License-Identifier: Apache-2.0 */
#include "netplugin/over_double.h"

#include <stdlib.h>

#include "check.h"

void over_double(bool isolated)
{
	const char *double_path = getenv("TEST_DOUBLE");

	if (!double_path)
		SKIP("TEST_DOUBLE is not set");
	setenv("TCPX_NETPLUGIN_PATH", double_path, 1);
	setenv("TCPX_NETPLUGIN_ISOLATE", isolated ? "1" : "0", 1);
	setenv("TCPX_NETPLUGIN_ALLOW", "loopback,daemon,pci,numa,device-memory",
	       1);
	setenv("TCPX_NETPLUGIN_MAP", "0=lo", 1);
	setenv("NCCL_DYNAMIC_CHUNK_SIZE", "65536", 1);
	setenv("NCCL_GPUDIRECTTCPX_SOCKET_IFNAME", "lo", 1);
	setenv("NCCL_GPUDIRECTTCPX_PROGRAM_FLOW_STEERING_WAIT_MICROS", "1000",
	       1);
}
