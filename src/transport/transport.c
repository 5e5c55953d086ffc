/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "transport/transport.h"

/*
 * Every transport, best first; each is a table `transport_<name>` in a folder
 * beside this file. This is the one line to add here for a new one. The loops
 * come last: they are for tests, and for whoever names them.
 */
#define TRANSPORTS(X)                                                          \
	X(netplugin)                                                           \
	X(socket)                                                              \
	X(loop)                                                                \
	X(loop_scatter)

#define X(name) extern const struct transport_ops transport_##name;
TRANSPORTS(X)
#undef X

static const struct transport_ops *const transports[] = {
#define X(name) &transport_##name,
	TRANSPORTS(X)
#undef X
};

const struct transport_ops *transport_at(uint32_t i)
{
	if (i >= sizeof(transports) / sizeof(transports[0]))
		return NULL;
	return transports[i];
}

const struct transport_ops *transport_find(const char *name)
{
	const struct transport_ops *ops;

	for (uint32_t i = 0; (ops = transport_at(i)); i++) {
		if (strcmp(ops->name, name) == 0)
			return ops;
	}
	return NULL;
}

uint32_t transport_caps(const struct transport_ops *ops)
{
	uint32_t caps = ops->caps;

	if (ops->adopt)
		caps |= TRANSPORT_ADOPTS;
	if (ops->listen && ops->connect && ops->accept)
		caps |= TRANSPORT_LISTENS;
	if (ops->slot_get)
		caps |= TRANSPORT_SLOTS;
	if (ops->wait_fd)
		caps |= TRANSPORT_WAITABLE;
	return caps;
}
