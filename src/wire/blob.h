/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_BLOB_H
#define WIRE_BLOB_H

/*
 * The two blobs that programs carry for us: the connection blob (who and
 * where a session is, and its secret) and the memory blob (what may be read
 * and written there). Both: u32 magic, u16 version, u16 0, body, and a u32
 * check (XXH32 of all before it) against truncation by careless channels.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "wire/hello.h"

#define BLOB_RAILS_MAX 32

struct wire_rail {
	char ifname[16];
	struct net_addr addr;	/* as advertised */
	uint32_t speed_mbps;	/* 0: unknown */
};

struct conn_blob {
	uint8_t session[SESSION_ID_BYTES];
	uint8_t secret[SECRET_BYTES];
	char name[TCPX_NAME_MAX];
	struct net_addr ctrl;	/* where the control connection goes */
	uint32_t n_rails;
	struct wire_rail rails[BLOB_RAILS_MAX];
};

/* Never longer than TCPX_BLOB_MAX. TCPX_ENOSPC: *len_bytes says how much. */
int conn_blob_encode(const struct conn_blob *blob, void *buf, size_t cap_bytes,
		     size_t *len_bytes);
/* TCPX_EINVAL: not such a blob, or damaged; TCPX_EVERSION. */
int conn_blob_decode(const void *buf, size_t len_bytes, struct conn_blob *blob);

/* The table of rails alone, as HELLO and CHALLENGE carry it. encode:
 * TCPX_EINVAL for too many or one without an address. decode: TCPX_EPROTO; no
 * bytes are no rails. */
int rails_encode(const struct wire_rail *rails, uint32_t n_rails, void *buf,
		 size_t cap_bytes, size_t *len_bytes);
int rails_decode(const void *buf, size_t len_bytes,
		 struct wire_rail rails[BLOB_RAILS_MAX], uint32_t *n_rails);

struct mem_blob_entry {
	uint64_t mem;
	uint64_t key;
	uint64_t len_bytes;
	uint32_t access;	/* enum tcpx_access */
	uint32_t device; /* 0: host; 1 + i: the owner's GPU i */
};

int mem_blob_encode(const uint8_t session[SESSION_ID_BYTES],
		    const struct mem_blob_entry *entries, size_t n, void *buf,
		    size_t cap_bytes, size_t *len_bytes);
/* Checks all of it and writes at most cap entries; *n is how many there are.
 * TCPX_EINVAL, TCPX_EVERSION, TCPX_ENOSPC. */
int mem_blob_decode(const void *buf, size_t len_bytes,
		    uint8_t session[SESSION_ID_BYTES],
		    struct mem_blob_entry *entries, size_t cap, size_t *n);

#endif
