/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/desc.h"

#include <tcpx/p2p.h>

#include "wire/cursor.h"

#define CHUNK_FLAGS ((uint32_t)(CHUNK_REPLY | CHUNK_CHECKSUM | CHUNK_LENT))

void chunk_desc_encode(const struct chunk_desc *desc,
		       uint8_t buf[CHUNK_DESC_BYTES])
{
	struct wire_writer w;

	wire_writer_init(&w, buf, CHUNK_DESC_BYTES);
	wire_write_u32(&w, CHUNK_DESC_MAGIC);
	wire_write_u32(&w, desc->len_bytes);
	wire_write_u64(&w, desc->seq);
	wire_write_u64(&w, desc->xfer);
	wire_write_u64(&w, desc->pos);
	wire_write_u32(&w, desc->flags);
	wire_write_u32(&w, 0);
	wire_write_u64(&w, desc->flags & CHUNK_CHECKSUM ? desc->checksum : 0);
}

int chunk_desc_decode(const uint8_t buf[CHUNK_DESC_BYTES],
		      struct chunk_desc *desc)
{
	struct chunk_desc d;
	struct wire_reader r;

	wire_reader_init(&r, buf, CHUNK_DESC_BYTES);
	if (wire_read_u32(&r) != CHUNK_DESC_MAGIC)
		return TCPX_EPROTO;
	d.len_bytes = wire_read_u32(&r);
	d.seq = wire_read_u64(&r);
	d.xfer = wire_read_u64(&r);
	d.pos = wire_read_u64(&r);
	d.flags = wire_read_u32(&r);
	if (wire_read_u32(&r) != 0 || (d.flags & ~CHUNK_FLAGS))
		return TCPX_EPROTO;
	d.checksum = wire_read_u64(&r);
	if (!(d.flags & CHUNK_CHECKSUM) && d.checksum != 0)
		return TCPX_EPROTO;
	if (d.len_bytes == 0 || d.pos > TCPX_XFER_MAX ||
	    d.len_bytes > TCPX_XFER_MAX - d.pos)
		return TCPX_EPROTO;
	*desc = d;
	return 0;
}

void chunk_taken_encode(uint64_t taken, uint8_t buf[CHUNK_DESC_BYTES])
{
	struct wire_writer w;

	wire_writer_init(&w, buf, CHUNK_DESC_BYTES);
	wire_write_u32(&w, CHUNK_TAKEN_MAGIC);
	wire_write_u32(&w, 0);
	wire_write_u64(&w, taken);
	for (int i = 0; i < 4; i++)
		wire_write_u64(&w, 0);
}

bool chunk_is_taken(const uint8_t buf[CHUNK_DESC_BYTES])
{
	struct wire_reader r;

	wire_reader_init(&r, buf, CHUNK_DESC_BYTES);
	return wire_read_u32(&r) == CHUNK_TAKEN_MAGIC;
}

int chunk_taken_decode(const uint8_t buf[CHUNK_DESC_BYTES], uint64_t *taken)
{
	struct wire_reader r;
	uint64_t rest = 0;

	wire_reader_init(&r, buf, CHUNK_DESC_BYTES);
	if (wire_read_u32(&r) != CHUNK_TAKEN_MAGIC || wire_read_u32(&r) != 0)
		return TCPX_EPROTO;
	uint64_t n = wire_read_u64(&r);
	for (int i = 0; i < 4; i++)
		rest |= wire_read_u64(&r);
	if (rest)
		return TCPX_EPROTO;
	*taken = n;
	return 0;
}
