/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_NET_HOSTS_H
#define TESTS_NET_HOSTS_H

/*
 * Hosts that are network namespaces. Each is held by a process of its own
 * that dies with the case, and its devices with it, so nothing is left over.
 * What fails here ends the case.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "support/proc.h"

struct host {
	pid_t pid;
	char netns[48]; /* "/proc/PID/ns/net" */
};

/* SKIPs the case without root, or where namespaces or TUN are not to be had. */
void hosts_need_root(void);
void host_create(struct host *host);
void host_destroy(struct host *host);
/* A shell command in it, which must succeed. */
void host_run(struct host *host, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* The same; its wait status. */
int host_try(struct host *host, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* A cable: a device of this name in each, with an address ("10.0.0.1/24"). */
void hosts_link(struct host *a, struct host *b, const char *dev,
		const char *addr_a, const char *addr_b);
/* This process moves in. It must not have threads yet. */
void host_enter(struct host *host);
/* Bytes that left by a device of the host this process is in. */
uint64_t device_tx_bytes(const char *dev);

/* What the kernel has counted in the host this process is in: "RetransSegs"
 * and the like, of /proc/net/snmp and netstat. */
uint64_t host_counter(const char *name);

/* A relay between a device in a and one in b; extra: its other options,
 * NULL-ended. Ready when this returns. Commands: proc_ask(). */
void relay_start(struct proc *relay, struct host *a, struct host *b,
		 const char *addr_a, const char *addr_b,
		 const char *const extra[]);

#endif
