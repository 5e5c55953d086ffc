/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETPLUGIN_OPEN_H
#define NETPLUGIN_OPEN_H

/* What happens before the first byte: settings, the plugin, rails, and the
 * objects that connecting begins with. */

#include "transport/netplugin/netplugin.h"

int open_probe(const struct transport_params *params, char *why,
	       size_t cap_bytes);
/* Of transport.h: every precondition, whether it holds. */
void open_explain(const struct transport_params *params,
		  void (*tell)(void *arg, const char *check, const char *why),
		  void *arg);
/* TCPX_EAGAIN: it may be had when the receive daemon is there. */
int open_transport(const struct transport_params *params,
		   struct transport **transport);
void open_close(struct transport *t);

int listener_create(struct transport *t, struct rail *rail,
		    struct listener **listener);
/* to: ADDRESS_BYTES. Once it listens. */
void listener_address(const struct listener *l, void *to);
/* The rail of ours that reaches the peer's, and whether both ends fit each
 * other: TCPX_EUNSUPPORTED, with the words in refusal.h. */
int sender_rail(struct transport *t, uint32_t i, const struct address *peer,
		struct rail **rail);

#endif
