/* SPDX-License-Identifier: Apache-2.0 */
#include <tcpx/p2p.h>

#include "wire/cursor.h"
#include "wire/msg.h"

/* The messages about channels, lanes and notifications; wire/msg.c has the
 * header and the transfers. */

void msg_chunk_encode(struct wire_writer *w, const struct msg_chunk *m)
{
	uint8_t desc[CHUNK_DESC_BYTES];

	chunk_desc_encode(&m->desc, desc);
	wire_write_u32(w, m->channel);
	wire_write_u32(w, m->generation);
	wire_write_bytes(w, desc, sizeof(desc));
}

int msg_chunk_decode(struct wire_reader *r, struct msg_chunk *m)
{
	struct msg_chunk got;
	const uint8_t *desc;
	int rc;

	got.channel = wire_read_u32(r);
	got.generation = wire_read_u32(r);
	desc = wire_read_ref(r, CHUNK_DESC_BYTES);
	if (!wire_reader_done(r))
		return TCPX_EPROTO;
	rc = chunk_desc_decode(desc, &got.desc);
	if (rc)
		return rc;
	if (got.desc.flags & CHUNK_LENT)
		return TCPX_EPROTO;
	*m = got;
	return 0;
}

void msg_credit_encode(struct wire_writer *w, const struct msg_credit *m)
{
	wire_write_u32(w, m->channel);
	wire_write_u32(w, m->generation);
	wire_write_u64(w, m->granted);
	wire_write_u64(w, m->placed);
}

int msg_credit_decode(struct wire_reader *r, struct msg_credit *m)
{
	struct msg_credit got;

	got.channel = wire_read_u32(r);
	got.generation = wire_read_u32(r);
	got.granted = wire_read_u64(r);
	got.placed = wire_read_u64(r);
	if (!wire_reader_done(r))
		return TCPX_EPROTO;
	*m = got;
	return 0;
}

void msg_channel_encode(struct wire_writer *w, const struct msg_channel *m)
{
	wire_write_u32(w, m->channel);
	wire_write_u32(w, m->generation);
	wire_write_u8(w, m->to_receiver);
	wire_write_u64(w, m->placed);
	wire_write_u32(w, (uint32_t)m->status);
	wire_write_text(w, m->text);
}

int msg_channel_decode(struct wire_reader *r, struct msg_channel *m)
{
	struct msg_channel got;

	got.channel = wire_read_u32(r);
	got.generation = wire_read_u32(r);
	got.to_receiver = wire_read_u8(r);
	got.placed = wire_read_u64(r);
	got.status = (int32_t)wire_read_u32(r);
	wire_read_text(r, got.text, sizeof(got.text));
	if (!wire_reader_done(r) || got.to_receiver > 1 || got.status > 0)
		return TCPX_EPROTO;
	*m = got;
	return 0;
}

void msg_lane_encode(struct wire_writer *w, const struct msg_lane *m)
{
	wire_write_u32(w, m->channel);
	wire_write_u32(w, m->generation);
	wire_write_u8(w, m->to_receiver);
	wire_write_u32(w, m->rail);
	wire_write_u32(w, m->device);
	wire_write_text(w, m->transport);
	wire_write_u32(w, (uint32_t)m->status);
	wire_write_text(w, m->text);
	wire_write_bytes(w, m->address.data, m->address.len_bytes);
}

int msg_lane_decode(struct wire_reader *r, struct msg_lane *m)
{
	struct msg_lane got;

	got.channel = wire_read_u32(r);
	got.generation = wire_read_u32(r);
	got.to_receiver = wire_read_u8(r);
	got.rail = wire_read_u32(r);
	got.device = wire_read_u32(r);
	wire_read_text(r, got.transport, sizeof(got.transport));
	got.status = (int32_t)wire_read_u32(r);
	wire_read_text(r, got.text, sizeof(got.text));
	got.address.len_bytes = (uint32_t)wire_reader_left(r);
	got.address.data = wire_read_ref(r, got.address.len_bytes);
	if (!wire_reader_done(r) || got.to_receiver > 1 || got.status > 0 ||
	    got.address.len_bytes > MSG_ADDR_MAX)
		return TCPX_EPROTO;
	*m = got;
	return 0;
}

void msg_notify_encode(struct wire_writer *w, const struct msg_notify *m)
{
	wire_write_u8(w, m->notify);
	wire_write_bytes(w, m->note.data, m->note.len_bytes);
}

int msg_notify_decode(struct wire_reader *r, struct msg_notify *m)
{
	struct msg_notify got;

	got.notify = wire_read_u8(r);
	got.note.len_bytes = (uint32_t)wire_reader_left(r);
	got.note.data = wire_read_ref(r, got.note.len_bytes);
	if (!wire_reader_done(r) || got.notify == NOTIFY_NONE ||
	    got.notify > NOTIFY_PARTS ||
	    (got.notify == NOTIFY_PARTS && got.note.len_bytes > 0))
		return TCPX_EPROTO;
	*m = got;
	return 0;
}

void msg_notify_part_encode(struct wire_writer *w,
			    const struct msg_notify_part *m)
{
	wire_write_u32(w, m->total_bytes);
	wire_write_u32(w, m->off);
	wire_write_bytes(w, m->bytes.data, m->bytes.len_bytes);
}

int msg_notify_part_decode(struct wire_reader *r, struct msg_notify_part *m)
{
	struct msg_notify_part got;

	got.total_bytes = wire_read_u32(r);
	got.off = wire_read_u32(r);
	got.bytes.len_bytes = (uint32_t)wire_reader_left(r);
	got.bytes.data = wire_read_ref(r, got.bytes.len_bytes);
	if (!wire_reader_done(r) || got.bytes.len_bytes == 0 ||
	    got.total_bytes > TCPX_NOTIFY_MAX || got.off >= got.total_bytes ||
	    got.bytes.len_bytes > got.total_bytes - got.off)
		return TCPX_EPROTO;
	*m = got;
	return 0;
}

void msg_notify_taken_encode(struct wire_writer *w,
			     const struct msg_notify_taken *m)
{
	wire_write_u64(w, m->taken_bytes);
}

int msg_notify_taken_decode(struct wire_reader *r, struct msg_notify_taken *m)
{
	uint64_t taken_bytes = wire_read_u64(r);

	if (!wire_reader_done(r))
		return TCPX_EPROTO;
	m->taken_bytes = taken_bytes;
	return 0;
}
