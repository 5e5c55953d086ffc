/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETPLUGIN_ADDRESS_H
#define NETPLUGIN_ADDRESS_H

/*
 * What a data receiver tells a data sender, by the control connection: where
 * its side listener is, the plugin's own handle, and what both ends must have
 * alike. Little-endian, ADDRESS_BYTES long.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "transport/netplugin/abi.h"

#define ADDRESS_TOKEN_BYTES 16u
#define ADDRESS_HOST_BYTES 16u
#define ADDRESS_NAME_BYTES 16u
#define ADDRESS_BYTES 228u

struct address {
	uint32_t chunk_bytes;
	uint16_t n_sockets;
	uint16_t window;
	uint8_t recv_sync, unpacks;
	struct net_addr side;
	uint8_t token[ADDRESS_TOKEN_BYTES];
	uint8_t host_id[ADDRESS_HOST_BYTES]; /* the same host? */
	char ifname[ADDRESS_NAME_BYTES]; /* of the rail */
	char plugin[ADDRESS_NAME_BYTES]; /* the beginning of its name */
	/* The plugin keeps a pointer inside while it connects. */
	uint8_t handle[NETPLUGIN_HANDLE_BYTES] __attribute__((aligned(8)));
};

void address_encode(const struct address *address, uint8_t to[ADDRESS_BYTES]);
/* TCPX_EREFUSED: no such address. */
int address_decode(const void *from, size_t len_bytes, struct address *address);

#endif
