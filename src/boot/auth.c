/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/auth.h"

#include <sodium.h>
#include <string.h>

/* Public, and the same for all: what must meet is the phrase alone. Changing
 * any of the three is a new protocol version. */
#define PHRASE_SALT "tcpx-p2p shared "
#define PHRASE_PASSES 2
#define PHRASE_MEMORY_BYTES (32u << 20)

_Static_assert(sizeof(PHRASE_SALT) - 1 == crypto_pwhash_argon2id_SALTBYTES,
	       "salt length");
_Static_assert(HELLO_MAC_BYTES >= crypto_generichash_BYTES_MIN &&
		       HELLO_MAC_BYTES <= crypto_generichash_BYTES_MAX,
	       "MAC length");

int auth_init(void)
{
	return sodium_init() < 0 ? TCPX_EINTERNAL : 0;
}

int auth_derive_shared(const char *phrase, uint8_t key[SECRET_BYTES])
{
	int err = crypto_pwhash_argon2id(key, SECRET_BYTES, phrase,
					 strlen(phrase),
					 (const uint8_t *)PHRASE_SALT,
					 PHRASE_PASSES, PHRASE_MEMORY_BYTES,
					 crypto_pwhash_argon2id_ALG_ARGON2ID13);

	return err ? TCPX_ENOMEM : 0;
}

void auth_mac(const uint8_t key[SECRET_BYTES], enum auth_role role,
	      const void *hello, size_t hello_bytes, const void *challenge,
	      size_t challenge_bytes, uint8_t mac[HELLO_MAC_BYTES])
{
	crypto_generichash_state state;
	uint8_t label = (uint8_t)role;

	/* Frames begin with their length, so that the two cannot be cut in
	 * another place and mean something else. */
	crypto_generichash_init(&state, key, SECRET_BYTES, HELLO_MAC_BYTES);
	crypto_generichash_update(&state, &label, 1);
	crypto_generichash_update(&state, hello, hello_bytes);
	crypto_generichash_update(&state, challenge, challenge_bytes);
	crypto_generichash_final(&state, mac, HELLO_MAC_BYTES);
	sodium_memzero(&state, sizeof(state));
}

bool auth_mac_equal(const uint8_t a[HELLO_MAC_BYTES],
		    const uint8_t b[HELLO_MAC_BYTES])
{
	return sodium_memcmp(a, b, HELLO_MAC_BYTES) == 0;
}

void auth_random(void *buf, size_t len_bytes)
{
	randombytes_buf(buf, len_bytes);
}

void auth_wipe(void *buf, size_t len_bytes)
{
	sodium_memzero(buf, len_bytes);
}
