/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/netplugin/address.h"

#include <endian.h>
#include <string.h>
#include <tcpx/status.h>

#define MAGIC 0x4c504e54u /* "TNPL" */
#define VERSION 1

/* Fixed places; all multi-byte fields little-endian. */
struct wire {
	uint32_t magic;
	uint16_t version;
	uint16_t n_sockets;
	uint32_t chunk_bytes;
	uint16_t window;
	uint8_t recv_sync, unpacks;
	uint16_t family; /* 4 or 6 */
	uint16_t port;
	uint8_t ip[16];
	uint8_t token[ADDRESS_TOKEN_BYTES];
	uint8_t host_id[ADDRESS_HOST_BYTES];
	char ifname[ADDRESS_NAME_BYTES];
	char plugin[ADDRESS_NAME_BYTES];
	uint8_t handle[NETPLUGIN_HANDLE_BYTES];
};
_Static_assert(sizeof(struct wire) == ADDRESS_BYTES, "without holes");

static void put_side(const struct net_addr *side, struct wire *w)
{
	w->port = htole16(addr_port(side));
	if (side->sa.sa_family == AF_INET6) {
		w->family = htole16(6);
		memcpy(w->ip, &side->in6.sin6_addr, 16);
		return;
	}
	w->family = htole16(4);
	memcpy(w->ip, &side->in.sin_addr, 4);
}

static int get_side(const struct wire *w, struct net_addr *side)
{
	*side = (struct net_addr){0};
	switch (le16toh(w->family)) {
	case 4:
		side->in.sin_family = AF_INET;
		memcpy(&side->in.sin_addr, w->ip, 4);
		break;
	case 6:
		side->in6.sin6_family = AF_INET6;
		memcpy(&side->in6.sin6_addr, w->ip, 16);
		break;
	default:
		return TCPX_EREFUSED;
	}
	addr_set_port(side, le16toh(w->port));
	return TCPX_OK;
}

void address_encode(const struct address *address, uint8_t to[ADDRESS_BYTES])
{
	struct wire w = {
		.magic = htole32(MAGIC),
		.version = htole16(VERSION),
		.n_sockets = htole16(address->n_sockets),
		.chunk_bytes = htole32(address->chunk_bytes),
		.window = htole16(address->window),
		.recv_sync = address->recv_sync,
		.unpacks = address->unpacks,
	};

	put_side(&address->side, &w);
	memcpy(w.token, address->token, sizeof(w.token));
	memcpy(w.host_id, address->host_id, sizeof(w.host_id));
	memcpy(w.ifname, address->ifname, sizeof(w.ifname));
	memcpy(w.plugin, address->plugin, sizeof(w.plugin));
	memcpy(w.handle, address->handle, sizeof(w.handle));
	memcpy(to, &w, sizeof(w));
}

int address_decode(const void *from, size_t len_bytes, struct address *address)
{
	struct wire w;
	struct address a = {0};

	if (len_bytes != sizeof(w))
		return TCPX_EREFUSED;
	memcpy(&w, from, sizeof(w));
	if (le32toh(w.magic) != MAGIC || le16toh(w.version) != VERSION ||
	    w.ifname[sizeof(w.ifname) - 1] || w.plugin[sizeof(w.plugin) - 1] ||
	    get_side(&w, &a.side))
		return TCPX_EREFUSED;
	a.n_sockets = le16toh(w.n_sockets);
	a.chunk_bytes = le32toh(w.chunk_bytes);
	a.window = le16toh(w.window);
	a.recv_sync = w.recv_sync;
	a.unpacks = w.unpacks;
	memcpy(a.token, w.token, sizeof(a.token));
	memcpy(a.host_id, w.host_id, sizeof(a.host_id));
	memcpy(a.ifname, w.ifname, sizeof(a.ifname));
	memcpy(a.plugin, w.plugin, sizeof(a.plugin));
	memcpy(a.handle, w.handle, sizeof(a.handle));
	*address = a;
	return TCPX_OK;
}
