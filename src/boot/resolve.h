/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BOOT_RESOLVE_H
#define BOOT_RESOLVE_H

/*
 * Names to addresses without holding anybody up: getaddrinfo() may take as
 * long as it likes, so it runs on a few short-lived threads. A thread exists
 * only while there are names to look up. resolver_close() waits for a running
 * look-up, but not for long: one that hangs is left behind and cleans up
 * after itself.
 *
 * Threads: all calls from one thread; ready() comes from another one.
 */

#include <stdint.h>

#include "base/addr.h"

#define RESOLVE_ADDRS_MAX 8

struct resolver;
struct resolve_query;

/* ready is called when an answer has come; it may not call back. */
int resolver_create(void (*ready)(void *arg), void *arg,
		    struct resolver **resolver);
void resolver_close(struct resolver *resolver);

/* Returns 0, TCPX_ENOMEM, or TCPX_EAGAIN (no thread can be started). */
int resolve_start(struct resolver *resolver, const char *host,
		  struct resolve_query **query);
/*
 * 0 with at least one address (port 0), TCPX_INPROGRESS, TCPX_EAGAIN (the
 * name server does not answer now), TCPX_EUNREACHABLE (no such name); why,
 * constant text, with the last two.
 */
int resolve_test(struct resolver *resolver, struct resolve_query *query,
		 struct net_addr addrs[RESOLVE_ADDRS_MAX], uint32_t *n_addrs,
		 const char **why);
/* Forgets the query, answered or not. NULL is allowed. */
void resolve_drop(struct resolver *resolver, struct resolve_query *query);

#endif
