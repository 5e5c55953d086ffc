/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETPLUGIN_DAEMON_H
#define NETPLUGIN_DAEMON_H

/*
 * The receive daemon (RxDM) of GPUDirect-TCPX, asked for the pool of a GPU: all
 * that is received for that GPU lands there, whichever process receives it.
 * The pool is the daemon's, and every process that receives maps it; the plugin
 * does, in a helper, and from there it cannot be handed on (CUDA exports no
 * memory that was imported). So the session asks for it, too:
 *
 *   connect DIR/get_gpu_metadata_PCI
 *      --> u16 length (big endian), {1: bytes PCI}
 *      <-- u16 length, {1: 24 bytes {int fd; size_t bytes; size_t align}}
 *   connect DIR/get_gpu_fd_PCI
 *      --> the same
 *      <-- one byte, and the descriptor with it
 *
 * Messages are protocol buffers. One request a connection.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct daemon_pool {
	int fd; /* a shareable handle of CUDA's; the caller's, to be closed */
	uint64_t len_bytes;
};

/*
 * pci: "0000:04:00.0". Waits for at most limit_ms in all. TCPX_EUNSUPPORTED:
 * there is no such daemon, or it does not answer so, with the reason in why.
 * From any thread.
 */
int daemon_ask_pool(const char *dir, const char *pci, uint32_t limit_ms,
		    struct daemon_pool *pool, char *why, size_t cap_bytes);

/*
 * Whether it takes connections for this GPU and for rules; nothing is asked,
 * and nobody waits. pci may be "". life: another number after it was started
 * anew. Files alone do not tell: they outlive one that was killed.
 */
bool daemon_is_there(const char *dir, const char *pci, uint64_t *life);

#endif
