/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/msg.h"

#include <tcpx/p2p.h>

#include "wire/cursor.h"
#include "wire/segs.h"

/*
 * Decoders fill a local struct and copy it out when all of it has been found
 * good, so that a rejected message leaves nothing behind.
 */

#define REGION_BYTES 16

void msg_header_encode(const struct msg_header *h,
		       uint8_t buf[MSG_HEADER_BYTES])
{
	struct wire_writer w;

	wire_writer_init(&w, buf, MSG_HEADER_BYTES);
	wire_write_u32(&w, h->body_bytes);
	wire_write_u16(&w, h->type);
	wire_write_u16(&w, h->flags);
	wire_write_u64(&w, h->seq);
	wire_write_u64(&w, h->ack);
}

int msg_header_decode(const uint8_t buf[MSG_HEADER_BYTES], struct msg_header *h)
{
	struct msg_header got;
	struct wire_reader r;
	bool numbered;

	wire_reader_init(&r, buf, MSG_HEADER_BYTES);
	got.body_bytes = wire_read_u32(&r);
	got.type = wire_read_u16(&r);
	got.flags = wire_read_u16(&r);
	got.seq = wire_read_u64(&r);
	got.ack = wire_read_u64(&r);
	if (got.type < MSG_HEARTBEAT || got.type >= MSG_TYPE_END || got.flags)
		return TCPX_EPROTO;
	numbered = got.type != MSG_HEARTBEAT && got.type != MSG_ACK;
	if (numbered != (got.seq != 0) || numbered != (got.body_bytes != 0) ||
	    got.body_bytes > MSG_BODY_MAX)
		return TCPX_EPROTO;
	*h = got;
	return 0;
}

/* ---- parts that several bodies share ---------------------------------- */

static void write_part(struct wire_writer *w, const struct msg_bytes *b)
{
	wire_write_u32(w, b->len_bytes);
	wire_write_bytes(w, b->data, b->len_bytes);
}

static void write_rest(struct wire_writer *w, const struct msg_bytes *b)
{
	wire_write_bytes(w, b->data, b->len_bytes);
}

static struct msg_bytes read_part(struct wire_reader *r)
{
	uint32_t len_bytes = wire_read_u32(r);
	const void *data = wire_read_ref(r, len_bytes);

	return (struct msg_bytes){data, data ? len_bytes : 0};
}

static struct msg_bytes read_rest(struct wire_reader *r)
{
	uint32_t len_bytes = (uint32_t)wire_reader_left(r);

	return (struct msg_bytes){wire_read_ref(r, len_bytes), len_bytes};
}

/* The notification's kind was read before, its bytes are the tail. */
static bool note_valid(uint8_t notify, const struct msg_bytes *note)
{
	return notify <= NOTIFY_PARTS &&
	       (notify == NOTIFY_INLINE || note->len_bytes == 0);
}

static bool total_valid(uint64_t total_bytes)
{
	return total_bytes > 0 && total_bytes <= TCPX_XFER_MAX;
}

static bool regions_valid(uint32_t n_regions, const struct msg_bytes *regions)
{
	return n_regions <= MSG_REGIONS_MAX &&
	       regions->len_bytes == n_regions * REGION_BYTES;
}

struct msg_region msg_list_region(const struct msg_bytes *regions, uint32_t i)
{
	struct wire_reader r;
	struct msg_region region;

	wire_reader_init(&r, (const uint8_t *)regions->data + i * REGION_BYTES,
			 REGION_BYTES);
	region.mem = wire_read_u64(&r);
	region.key = wire_read_u64(&r);
	return region;
}

void msg_region_encode(const struct msg_region *region, uint8_t buf[16])
{
	struct wire_writer w;

	wire_writer_init(&w, buf, REGION_BYTES);
	wire_write_u64(&w, region->mem);
	wire_write_u64(&w, region->key);
}

/* ---- lists and requests ----------------------------------------------- */

void msg_list_encode(struct wire_writer *w, const struct msg_list *m)
{
	wire_write_u64(w, m->list);
	wire_write_u32(w, m->total_segs);
	wire_write_u32(w, m->first);
	wire_write_u32(w, m->count);
	wire_write_u64(w, m->total_bytes);
	wire_write_u32(w, m->n_regions);
	write_part(w, &m->regions);
	write_rest(w, &m->segs);
}

static bool list_valid(const struct msg_list *m)
{
	if (m->total_segs == 0 || m->total_segs > WIRE_SEGS_MAX ||
	    m->count == 0 || m->count > WIRE_PART_SEGS_MAX ||
	    m->first >= m->total_segs || m->count > m->total_segs - m->first)
		return false;
	if (!total_valid(m->total_bytes) || m->total_bytes < m->total_segs ||
	    m->total_bytes > (uint64_t)m->total_segs * WIRE_SEG_MAX)
		return false;
	/* The table of regions comes with the first part and only there. */
	return regions_valid(m->n_regions, &m->regions) &&
	       (m->first == 0) == (m->n_regions > 0) && m->segs.len_bytes > 0;
}

int msg_list_decode(struct wire_reader *r, struct msg_list *m)
{
	struct msg_list got;

	got.list = wire_read_u64(r);
	got.total_segs = wire_read_u32(r);
	got.first = wire_read_u32(r);
	got.count = wire_read_u32(r);
	got.total_bytes = wire_read_u64(r);
	got.n_regions = wire_read_u32(r);
	got.regions = read_part(r);
	got.segs = read_rest(r);
	if (!wire_reader_done(r) || !list_valid(&got))
		return TCPX_EPROTO;
	*m = got;
	return 0;
}

void msg_list_drop_encode(struct wire_writer *w, const struct msg_list_drop *m)
{
	wire_write_u64(w, m->list);
}

int msg_list_drop_decode(struct wire_reader *r, struct msg_list_drop *m)
{
	uint64_t list = wire_read_u64(r);

	if (!wire_reader_done(r))
		return TCPX_EPROTO;
	m->list = list;
	return 0;
}

void msg_write_encode(struct wire_writer *w, const struct msg_write *m)
{
	wire_write_u64(w, m->xfer);
	wire_write_u64(w, m->list);
	wire_write_u64(w, m->total_bytes);
	wire_write_u32(w, m->device);
	wire_write_u8(w, m->notify);
	write_rest(w, &m->note);
}

int msg_write_decode(struct wire_reader *r, struct msg_write *m)
{
	struct msg_write got;

	got.xfer = wire_read_u64(r);
	got.list = wire_read_u64(r);
	got.total_bytes = wire_read_u64(r);
	got.device = wire_read_u32(r);
	got.notify = wire_read_u8(r);
	got.note = read_rest(r);
	if (!wire_reader_done(r) || !total_valid(got.total_bytes) ||
	    !note_valid(got.notify, &got.note))
		return TCPX_EPROTO;
	*m = got;
	return 0;
}

void msg_read_end_encode(struct wire_writer *w, const struct msg_read_end *m)
{
	wire_write_u64(w, m->xfer);
	wire_write_u32(w, (uint32_t)m->status);
	wire_write_u8(w, m->notify);
	write_rest(w, &m->note);
}

int msg_read_end_decode(struct wire_reader *r, struct msg_read_end *m)
{
	struct msg_read_end got;

	got.xfer = wire_read_u64(r);
	got.status = (int32_t)wire_read_u32(r);
	got.notify = wire_read_u8(r);
	got.note = read_rest(r);
	if (!wire_reader_done(r) || got.status > 0 ||
	    (got.status != 0 && got.notify != NOTIFY_NONE) ||
	    !note_valid(got.notify, &got.note))
		return TCPX_EPROTO;
	*m = got;
	return 0;
}

/* ---- requests that are all of the transfer ---------------------------- */

void msg_put_encode(struct wire_writer *w, const struct msg_put *m)
{
	wire_write_u64(w, m->xfer);
	wire_write_u8(w, m->notify);
	wire_write_u32(w, m->n_segs);
	wire_write_u32(w, m->n_regions);
	write_part(w, &m->regions);
	write_part(w, &m->segs);
	write_part(w, &m->data);
	write_rest(w, &m->note);
}

int msg_put_decode(struct wire_reader *r, struct msg_put *m)
{
	struct msg_put got;

	got.xfer = wire_read_u64(r);
	got.notify = wire_read_u8(r);
	got.n_segs = wire_read_u32(r);
	got.n_regions = wire_read_u32(r);
	got.regions = read_part(r);
	got.segs = read_part(r);
	got.data = read_part(r);
	got.note = read_rest(r);
	if (!wire_reader_done(r) || !note_valid(got.notify, &got.note) ||
	    !regions_valid(got.n_regions, &got.regions) || !got.n_regions)
		return TCPX_EPROTO;
	if (got.n_segs == 0 || got.n_segs > got.data.len_bytes ||
	    got.segs.len_bytes == 0)
		return TCPX_EPROTO;
	*m = got;
	return 0;
}

void msg_get_encode(struct wire_writer *w, const struct msg_get *m)
{
	wire_write_u64(w, m->xfer);
	wire_write_u32(w, m->n_segs);
	wire_write_u32(w, m->n_regions);
	write_part(w, &m->regions);
	write_rest(w, &m->segs);
}

int msg_get_decode(struct wire_reader *r, struct msg_get *m)
{
	struct msg_get got;

	got.xfer = wire_read_u64(r);
	got.n_segs = wire_read_u32(r);
	got.n_regions = wire_read_u32(r);
	got.regions = read_part(r);
	got.segs = read_rest(r);
	if (!wire_reader_done(r) || got.n_segs == 0 ||
	    got.n_segs > WIRE_PART_SEGS_MAX || got.segs.len_bytes == 0 ||
	    !regions_valid(got.n_regions, &got.regions) || !got.n_regions)
		return TCPX_EPROTO;
	*m = got;
	return 0;
}

void msg_get_data_encode(struct wire_writer *w, const struct msg_get_data *m)
{
	wire_write_u64(w, m->xfer);
	write_rest(w, &m->data);
}

int msg_get_data_decode(struct wire_reader *r, struct msg_get_data *m)
{
	struct msg_get_data got;

	got.xfer = wire_read_u64(r);
	got.data = read_rest(r);
	if (!wire_reader_done(r) || got.data.len_bytes == 0)
		return TCPX_EPROTO;
	*m = got;
	return 0;
}

void msg_send_encode(struct wire_writer *w, const struct msg_send *m)
{
	wire_write_u64(w, m->xfer);
	wire_write_u64(w, m->tag);
	wire_write_u64(w, m->total_bytes);
	wire_write_u8(w, m->early);
	wire_write_u8(w, m->notify);
	write_part(w, &m->data);
	write_rest(w, &m->note);
}

int msg_send_decode(struct wire_reader *r, struct msg_send *m)
{
	struct msg_send got;

	got.xfer = wire_read_u64(r);
	got.tag = wire_read_u64(r);
	got.total_bytes = wire_read_u64(r);
	got.early = wire_read_u8(r);
	got.notify = wire_read_u8(r);
	got.data = read_part(r);
	got.note = read_rest(r);
	if (!wire_reader_done(r) || !total_valid(got.total_bytes) ||
	    got.early > 1 || !note_valid(got.notify, &got.note) ||
	    got.data.len_bytes != (got.early ? got.total_bytes : 0))
		return TCPX_EPROTO;
	*m = got;
	return 0;
}

/* ---- how transfers and the connection end ----------------------------- */

void msg_send_go_encode(struct wire_writer *w, const struct msg_send_go *m)
{
	wire_write_u64(w, m->xfer);
	wire_write_u32(w, m->device);
}

int msg_send_go_decode(struct wire_reader *r, struct msg_send_go *m)
{
	struct msg_send_go got;

	got.xfer = wire_read_u64(r);
	got.device = wire_read_u32(r);
	if (!wire_reader_done(r))
		return TCPX_EPROTO;
	*m = got;
	return 0;
}

void msg_xfer_encode(struct wire_writer *w, const struct msg_xfer *m)
{
	wire_write_u64(w, m->xfer);
}

int msg_xfer_decode(struct wire_reader *r, struct msg_xfer *m)
{
	uint64_t xfer = wire_read_u64(r);

	if (!wire_reader_done(r))
		return TCPX_EPROTO;
	m->xfer = xfer;
	return 0;
}

void msg_done_encode(struct wire_writer *w, const struct msg_done *m)
{
	wire_write_u64(w, m->xfer);
	wire_write_u32(w, (uint32_t)m->status);
	wire_write_text(w, m->text);
}

int msg_done_decode(struct wire_reader *r, struct msg_done *m)
{
	struct msg_done got;

	got.xfer = wire_read_u64(r);
	got.status = (int32_t)wire_read_u32(r);
	wire_read_text(r, got.text, sizeof(got.text));
	if (!wire_reader_done(r) || got.status > 0)
		return TCPX_EPROTO;
	*m = got;
	return 0;
}

void msg_goodbye_encode(struct wire_writer *w, const struct msg_goodbye *m)
{
	wire_write_u32(w, (uint32_t)m->status);
	wire_write_text(w, m->text);
}

int msg_goodbye_decode(struct wire_reader *r, struct msg_goodbye *m)
{
	struct msg_goodbye got;

	got.status = (int32_t)wire_read_u32(r);
	wire_read_text(r, got.text, sizeof(got.text));
	if (!wire_reader_done(r) || got.status > 0)
		return TCPX_EPROTO;
	*m = got;
	return 0;
}
