/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_NETPLUGIN_POOL_H
#define BENCH_NETPLUGIN_POOL_H

/*
 * The pools of real GPUs, by a stand-in for the receive daemon in a process of
 * its own, the program rxdm beside the plugin: memory that a plugin has
 * imported is lent only where its maker can be asked for it.
 */

/* kind: of DOUBLE_POOL_KIND. Whoever is started afterwards uses it. Ends the
 * process if there is no such pool. */
void pool_start(const char *kind, const char *plugin);
/* Harmless where none was started. */
void pool_stop(void);

#endif
