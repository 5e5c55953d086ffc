/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BOOT_AUTH_H
#define BOOT_AUTH_H

/* What of libsodium the handshake needs. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/hello.h"

/* The keys K by which a session can be proved to. */
struct auth_keys {
	uint8_t blob[SECRET_BYTES];
	uint8_t shared[SECRET_BYTES];
	bool has_shared;
};

/* Who says so: part of every MAC, so that nothing one side sent can be sent
 * back to it as the other side's proof. */
enum auth_role {
	AUTH_LISTENER = 'l',
	AUTH_CONNECTOR = 'c',
	AUTH_LEAVER = 'x', /* a connector that does not want to any more */
};

/* Once before anything else here; cheap when repeated. TCPX_EINTERNAL: this
 * machine has no source of random numbers. */
int auth_init(void);
/*
 * K of a pass phrase: the same in every session, slow on purpose (20 ms and
 * 32 MiB for a moment), because who makes a listener prove itself can try
 * phrases against that proof at home. TCPX_ENOMEM.
 */
int auth_derive_shared(const char *phrase, uint8_t key[SECRET_BYTES]);
/* MAC_K(role + hello + challenge): whole frames as they travelled. */
void auth_mac(const uint8_t key[SECRET_BYTES], enum auth_role role,
	      const void *hello, size_t hello_bytes, const void *challenge,
	      size_t challenge_bytes, uint8_t mac[HELLO_MAC_BYTES]);
/* In constant time. */
bool auth_mac_equal(const uint8_t a[HELLO_MAC_BYTES],
		    const uint8_t b[HELLO_MAC_BYTES]);
void auth_random(void *buf, size_t len_bytes);
/* A memset() that is never optimized away. */
void auth_wipe(void *buf, size_t len_bytes);

#endif
