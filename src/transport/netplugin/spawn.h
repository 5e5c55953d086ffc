/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETPLUGIN_SPAWN_H
#define NETPLUGIN_SPAWN_H

/* Starts a helper process. */

#include <stddef.h>
#include <sys/types.h>

struct options;

/*
 * Executes the helper with these three as its descriptors 3, 4, 5; they stay
 * the caller's here. The environment is ours, with what the plugin needs set
 * where it is not. Which program: options->helper, else the one beside this
 * library, else the one carried inside. TCPX_EUNSUPPORTED with the reason.
 */
int spawn_helper(const struct options *options, int socket_fd, int memory_fd,
		 int wake_fd, pid_t *pid, char *why, size_t cap_bytes);

/* carried.S: the program, as the build made it. */
extern const unsigned char netplugin_helper_begin[], netplugin_helper_end[];

#endif
