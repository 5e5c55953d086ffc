/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include "wire/blob.h"

#include <string.h>
#include <xxhash.h>

#include "wire/cursor.h"

#define CONN_MAGIC 0x42435854u /* "TXCB" */
#define MEM_MAGIC 0x424d5854u /* "TXMB" */
#define BLOB_VERSION 1
#define BLOB_HEADER_BYTES 8
#define CHECK_BYTES 4
#define ENTRY_BYTES 32
#define MEM_FIXED_BYTES (BLOB_HEADER_BYTES + SESSION_ID_BYTES + 4 + CHECK_BYTES)
#define ACCESS_ALL                                                             \
	((uint32_t)(TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE))

/* An address: u8 family (0, 4, 6), u16 port, 4 or 16 bytes as in the packet.
 * Scopes stay behind: they mean something on their own host only. */
static void address_write(struct wire_writer *w, const struct net_addr *a)
{
	if (a->sa.sa_family == AF_INET) {
		wire_write_u8(w, 4);
		wire_write_u16(w, addr_port(a));
		wire_write_bytes(w, &a->in.sin_addr, 4);
	} else if (a->sa.sa_family == AF_INET6) {
		wire_write_u8(w, 6);
		wire_write_u16(w, addr_port(a));
		wire_write_bytes(w, &a->in6.sin6_addr, 16);
	} else {
		wire_write_u8(w, 0);
	}
}

static void address_read(struct wire_reader *r, struct net_addr *a)
{
	uint8_t family = wire_read_u8(r);
	uint16_t port;

	memset(a, 0, sizeof(*a));
	if (family == 0)
		return;
	port = wire_read_u16(r);
	if (family == 4) {
		a->in.sin_family = AF_INET;
		wire_read_bytes(r, &a->in.sin_addr, 4);
	} else if (family == 6) {
		a->in6.sin6_family = AF_INET6;
		wire_read_bytes(r, &a->in6.sin6_addr, 16);
	} else {
		r->failed = true;
	}
	addr_set_port(a, port);
}

static void rails_write(struct wire_writer *w, const struct wire_rail *rails,
			uint32_t n_rails)
{
	wire_write_u8(w, (uint8_t)n_rails);
	if (n_rails > BLOB_RAILS_MAX)
		w->failed = true;
	for (uint32_t i = 0; i < n_rails && !w->failed; i++) {
		wire_write_text(w, rails[i].ifname);
		address_write(w, &rails[i].addr);
		wire_write_u32(w, rails[i].speed_mbps);
		w->failed |= rails[i].addr.sa.sa_family == AF_UNSPEC;
	}
}

static void rails_read(struct wire_reader *r, struct wire_rail *rails,
		       uint32_t *n_rails)
{
	uint32_t n = wire_read_u8(r);

	if (n > BLOB_RAILS_MAX)
		r->failed = true;
	for (uint32_t i = 0; i < n && !r->failed; i++) {
		wire_read_text(r, rails[i].ifname, sizeof(rails[i].ifname));
		address_read(r, &rails[i].addr);
		rails[i].speed_mbps = wire_read_u32(r);
		r->failed |= rails[i].addr.sa.sa_family == AF_UNSPEC;
	}
	*n_rails = n;
}

/* From the scratch memory it was encoded in to where the caller wants it. */
static int hand_out(const struct wire_writer *w, const void *from, void *buf,
		    size_t cap_bytes, size_t *len_bytes)
{
	size_t n = (size_t)(w->at - (const uint8_t *)from);

	if (w->failed)
		return TCPX_EINVAL;
	*len_bytes = n;
	if (n > cap_bytes)
		return TCPX_ENOSPC;
	memcpy(buf, from, n);
	return 0;
}

int rails_encode(const struct wire_rail *rails, uint32_t n_rails, void *buf,
		 size_t cap_bytes, size_t *len_bytes)
{
	uint8_t scratch[TCPX_BLOB_MAX];
	struct wire_writer w;

	wire_writer_init(&w, scratch, sizeof(scratch));
	rails_write(&w, rails, n_rails);
	return hand_out(&w, scratch, buf, cap_bytes, len_bytes);
}

int rails_decode(const void *buf, size_t len_bytes,
		 struct wire_rail rails[BLOB_RAILS_MAX], uint32_t *n_rails)
{
	struct wire_rail got[BLOB_RAILS_MAX];
	struct wire_reader r;
	uint32_t n = 0;

	wire_reader_init(&r, buf, len_bytes);
	if (len_bytes > 0) /* a flow's HELLO has no table at all */
		rails_read(&r, got, &n);
	if (!wire_reader_done(&r))
		return TCPX_EPROTO;
	memcpy(rails, got, n * sizeof(*got));
	*n_rails = n;
	return 0;
}

/* ---- what both blobs have around them --------------------------------- */

static void blob_start(struct wire_writer *w, void *buf, size_t cap_bytes,
		       uint32_t magic)
{
	wire_writer_init(w, buf, cap_bytes);
	wire_write_u32(w, magic);
	wire_write_u16(w, BLOB_VERSION);
	wire_write_u16(w, 0);
}

static void blob_finish(struct wire_writer *w, const void *buf)
{
	size_t n = (size_t)(w->at - (const uint8_t *)buf);

	wire_write_u32(w, w->failed ? 0 : XXH32(buf, n, 0));
}

/* Leaves r at the body, without the check behind it. */
static int blob_open(struct wire_reader *r, const void *buf, size_t len_bytes,
		     uint32_t magic)
{
	struct wire_reader check;
	uint16_t version, reserved;

	if (!buf || len_bytes < BLOB_HEADER_BYTES + CHECK_BYTES)
		return TCPX_EINVAL;
	len_bytes -= CHECK_BYTES;
	wire_reader_init(&check, (const uint8_t *)buf + len_bytes, CHECK_BYTES);
	wire_reader_init(r, buf, len_bytes);
	if (wire_read_u32(r) != magic ||
	    wire_read_u32(&check) != XXH32(buf, len_bytes, 0))
		return TCPX_EINVAL;
	version = wire_read_u16(r);
	reserved = wire_read_u16(r);
	if (version != BLOB_VERSION)
		return TCPX_EVERSION;
	return reserved ? TCPX_EINVAL : 0;
}

int conn_blob_encode(const struct conn_blob *blob, void *buf, size_t cap_bytes,
		     size_t *len_bytes)
{
	uint8_t scratch[TCPX_BLOB_MAX];
	struct wire_writer w;
	int rc;

	blob_start(&w, scratch, sizeof(scratch), CONN_MAGIC);
	wire_write_bytes(&w, blob->session, SESSION_ID_BYTES);
	wire_write_bytes(&w, blob->secret, SECRET_BYTES);
	wire_write_text(&w, blob->name);
	address_write(&w, &blob->ctrl);
	rails_write(&w, blob->rails, blob->n_rails);
	blob_finish(&w, scratch);
	rc = hand_out(&w, scratch, buf, cap_bytes, len_bytes);
	explicit_bzero(scratch, sizeof(scratch)); /* it holds the secret */
	return rc;
}

int conn_blob_decode(const void *buf, size_t len_bytes, struct conn_blob *blob)
{
	struct conn_blob got = {0};
	struct wire_reader r;
	int rc = blob_open(&r, buf, len_bytes, CONN_MAGIC);

	if (rc)
		return rc;
	wire_read_bytes(&r, got.session, SESSION_ID_BYTES);
	wire_read_bytes(&r, got.secret, SECRET_BYTES);
	wire_read_text(&r, got.name, sizeof(got.name));
	address_read(&r, &got.ctrl);
	rails_read(&r, got.rails, &got.n_rails);
	rc = wire_reader_done(&r) && len_bytes <= TCPX_BLOB_MAX ? 0 :
								  TCPX_EINVAL;
	if (!rc)
		*blob = got;
	explicit_bzero(&got, sizeof(got));
	return rc;
}

int mem_blob_encode(const uint8_t session[SESSION_ID_BYTES],
		    const struct mem_blob_entry *entries, size_t n, void *buf,
		    size_t cap_bytes, size_t *len_bytes)
{
	size_t need_bytes = MEM_FIXED_BYTES + n * ENTRY_BYTES;
	struct wire_writer w;

	if (n > UINT32_MAX)
		return TCPX_EINVAL;
	*len_bytes = need_bytes;
	if (need_bytes > cap_bytes)
		return TCPX_ENOSPC;
	blob_start(&w, buf, cap_bytes, MEM_MAGIC);
	wire_write_bytes(&w, session, SESSION_ID_BYTES);
	wire_write_u32(&w, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		wire_write_u64(&w, entries[i].mem);
		wire_write_u64(&w, entries[i].key);
		wire_write_u64(&w, entries[i].len_bytes);
		wire_write_u32(&w, entries[i].access);
		wire_write_u32(&w, entries[i].device);
	}
	blob_finish(&w, buf);
	return 0;
}

static void entry_read(struct wire_reader *r, struct mem_blob_entry *e)
{
	e->mem = wire_read_u64(r);
	e->key = wire_read_u64(r);
	e->len_bytes = wire_read_u64(r);
	e->access = wire_read_u32(r);
	e->device = wire_read_u32(r);
	if (e->mem == 0 || e->len_bytes == 0 || (e->access & ~ACCESS_ALL))
		r->failed = true;
}

int mem_blob_decode(const void *buf, size_t len_bytes,
		    uint8_t session[SESSION_ID_BYTES],
		    struct mem_blob_entry *entries, size_t cap, size_t *n)
{
	struct wire_reader r, start;
	struct mem_blob_entry e;
	uint8_t owner[SESSION_ID_BYTES];
	uint64_t count;
	int rc = blob_open(&r, buf, len_bytes, MEM_MAGIC);

	if (rc)
		return rc;
	wire_read_bytes(&r, owner, SESSION_ID_BYTES);
	count = wire_read_u32(&r);
	if (r.failed || wire_reader_left(&r) != count * ENTRY_BYTES)
		return TCPX_EINVAL;
	/* Once to see that all of it is good, once to write. */
	start = r;
	for (uint64_t i = 0; i < count && !r.failed; i++)
		entry_read(&r, &e);
	if (!wire_reader_done(&r))
		return TCPX_EINVAL;
	*n = count;
	if (count > cap)
		return TCPX_ENOSPC;
	for (uint64_t i = 0; i < count; i++)
		entry_read(&start, &entries[i]);
	memcpy(session, owner, SESSION_ID_BYTES);
	return 0;
}
