/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_SLOT_H
#define TCPX_TOOL_SLOT_H

#include <stdbool.h>
#include <stdint.h>

struct slot {
	uint64_t xfer;
	uint64_t n_left; /* times still to be posted */
	uint64_t posted_ns;
	bool busy;
	bool receives;
};

#endif
