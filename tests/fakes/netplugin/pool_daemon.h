/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_NETPLUGIN_POOL_DAEMON_H
#define FAKES_NETPLUGIN_POOL_DAEMON_H

/*
 * The pool as the plugin has it: not its own, but imported from a daemon that
 * has made it, through DIR/get_gpu_metadata_PCI and DIR/get_gpu_fd_PCI.
 */

#include <stdint.h>

/* The descriptor, the caller's; -1: the daemon does not give it. */
int pool_daemon_ask(const char *dir, const char *pci, uint64_t *len_bytes);

#define POOL_DAEMON_PARTS 8
/* Which part of the pool is this process's until it ends; -1: all are taken.
 * The locks are files beside the sockets. */
int pool_daemon_part(const char *dir);

#endif
