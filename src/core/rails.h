/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RAILS_H
#define CORE_RAILS_H

/* Where the rails of a session are not what they look like. */

#include <stddef.h>
#include <stdint.h>

struct net_addr;
struct tcpx_session;

/* Says it in the log, once the rails are known. No lock held. */
void rails_warn(const struct tcpx_session *session);
/* Where this session reaches its own listener by that rail. What is advertised
 * may be reached from outside only. With bind set that is the one address. */
void rails_own_addr(const struct tcpx_session *session, uint32_t rail,
		    struct net_addr *addr);
/* Why what this rail sends there leaves by another interface; "": it does not,
 * or nobody can say. */
void rails_detour(const struct tcpx_session *session, uint32_t rail,
		  const struct net_addr *to, char *why, size_t cap_bytes);

/* The rail that has this address of ours, or the address, for people. */
void rails_via(const struct tcpx_session *session, const struct net_addr *local,
	       char *text, size_t cap_bytes);

#endif
