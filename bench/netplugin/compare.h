/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_NETPLUGIN_COMPARE_H
#define BENCH_NETPLUGIN_COMPARE_H

/*
 * One measurement over a net plugin: chunks of 512 KiB over several channels,
 * both ends driven by one thread. A pass in which nothing moved yields the
 * processor, in the bare loop as in ours: the engine's workers do so, and
 * NCCL's proxy. As the engine, ours sleeps after some such passes where the
 * transport has an fd to sleep on: through the helper, not in process.
 */

#include <stdbool.h>
#include <stdint.h>

#define COMPARE_CHUNK (512u << 10)
#define COMPARE_WINDOW 16u
#define COMPARE_CHANNELS 8

struct run {
	const char *path;	/* of the plugin */
	int n_channels;
	unsigned n_chunks;	/* of each, */
	unsigned n_warm;	/* ... of which so many are not measured: pages
				   are there when they have been used once */
	unsigned n_copies;	/* of what is received; 0: it stays there */
	const char *gpu;	/* driver of src/gpu; NULL: host memory */
	bool isolated;		/* ours: in a helper process, */
	bool copies;		/* ... which copies what could be lent */
	bool lends;		/* ... which must lend, or it is another way */
	bool shut;		/* SIGPIPE, for good, as threads of ours do */
};

/* Nanoseconds, connecting and warming up apart. Each ends the process if it fails; call them
 * in one of their own. */
uint64_t compare_bare(const struct run *run);
uint64_t compare_ours(const struct run *run);

void compare_die(const char *what) __attribute__((noreturn));

#endif
