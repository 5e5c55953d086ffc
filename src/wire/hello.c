/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/hello.h"

#include <string.h>

#include "wire/cursor.h"

/* What the lesser of both never falls below, whatever a peer announces, so
 * that nobody divides by a zero of the other side's. */
#define CHUNK_BYTES_LEAST 4096u
#define LIVENESS_MS_LEAST 100u

static void limits_write(struct wire_writer *w, const struct wire_limits *l)
{
	wire_write_u32(w, l->chunk_bytes);
	wire_write_u32(w, l->window_chunks);
	wire_write_u32(w, l->small_bytes);
	wire_write_u32(w, l->list_segments);
	wire_write_u32(w, l->n_flows);
	wire_write_u32(w, l->n_rails);
	wire_write_u64(w, l->notify_bytes);
	wire_write_u32(w, l->features);
	wire_write_u32(w, l->liveness_ms);
}

static void limits_read(struct wire_reader *r, struct wire_limits *l)
{
	l->chunk_bytes = wire_read_u32(r);
	l->window_chunks = wire_read_u32(r);
	l->small_bytes = wire_read_u32(r);
	l->list_segments = wire_read_u32(r);
	l->n_flows = wire_read_u32(r);
	l->n_rails = wire_read_u32(r);
	l->notify_bytes = wire_read_u64(r);
	l->features = wire_read_u32(r);
	l->liveness_ms = wire_read_u32(r);
}

static void ref_write(struct wire_writer *w, const struct msg_blob_ref *ref)
{
	wire_write_u32(w, ref->len_bytes);
	wire_write_bytes(w, ref->data, ref->len_bytes);
}

static void ref_read(struct wire_reader *r, struct msg_blob_ref *ref)
{
	ref->len_bytes = wire_read_u32(r);
	ref->data = wire_read_ref(r, ref->len_bytes);
}

static void frame_start(struct wire_writer *w, void *buf)
{
	wire_writer_init(w, buf, HELLO_HEADER_BYTES + HELLO_BODY_MAX);
	w->at += HELLO_HEADER_BYTES; /* frame_finish() knows the length */
}

static int frame_finish(const struct wire_writer *w, void *buf,
			enum hello_kind kind)
{
	size_t frame_bytes = (size_t)(w->at - (uint8_t *)buf);
	struct wire_writer header;

	if (w->failed)
		return TCPX_ENOSPC;
	wire_writer_init(&header, buf, HELLO_HEADER_BYTES);
	wire_write_u32(&header, HELLO_MAGIC);
	wire_write_u16(&header, kind);
	wire_write_u16(&header, (uint16_t)(frame_bytes - HELLO_HEADER_BYTES));
	return (int)frame_bytes;
}

int hello_header_decode(const uint8_t buf[HELLO_HEADER_BYTES],
			struct hello_header *h)
{
	struct hello_header got;
	struct wire_reader r;

	wire_reader_init(&r, buf, HELLO_HEADER_BYTES);
	if (wire_read_u32(&r) != HELLO_MAGIC)
		return TCPX_EPROTO;
	got.kind = wire_read_u16(&r);
	got.body_bytes = wire_read_u16(&r);
	if (got.kind < HELLO_HELLO || got.kind > HELLO_VERDICT ||
	    got.body_bytes > HELLO_BODY_MAX)
		return TCPX_EPROTO;
	*h = got;
	return 0;
}

int hello_hello_encode(const struct hello_hello *m, void *buf)
{
	struct wire_writer w;

	frame_start(&w, buf);
	wire_write_u16(&w, m->version_min);
	wire_write_u16(&w, m->version_max);
	wire_write_u8(&w, m->purpose);
	wire_write_u8(&w, m->key);
	wire_write_bytes(&w, m->session, SESSION_ID_BYTES);
	wire_write_bytes(&w, m->target, SESSION_ID_BYTES);
	wire_write_bytes(&w, m->nonce, HELLO_NONCE_BYTES);
	wire_write_text(&w, m->name);
	limits_write(&w, &m->limits);
	wire_write_u64(&w, m->token);
	wire_write_u32(&w, m->rail);
	wire_write_u32(&w, m->flow);
	wire_write_u32(&w, m->generation);
	wire_write_text(&w, m->transports);
	ref_write(&w, &m->rails);
	return frame_finish(&w, buf, HELLO_HELLO);
}

int hello_hello_decode(const void *body, size_t len_bytes,
		       struct hello_hello *m)
{
	struct hello_hello got = {0};
	struct wire_reader r;

	wire_reader_init(&r, body, len_bytes);
	got.version_min = wire_read_u16(&r);
	got.version_max = wire_read_u16(&r);
	got.purpose = wire_read_u8(&r);
	got.key = wire_read_u8(&r);
	wire_read_bytes(&r, got.session, SESSION_ID_BYTES);
	wire_read_bytes(&r, got.target, SESSION_ID_BYTES);
	wire_read_bytes(&r, got.nonce, HELLO_NONCE_BYTES);
	wire_read_text(&r, got.name, sizeof(got.name));
	limits_read(&r, &got.limits);
	got.token = wire_read_u64(&r);
	got.rail = wire_read_u32(&r);
	got.flow = wire_read_u32(&r);
	got.generation = wire_read_u32(&r);
	wire_read_text(&r, got.transports, sizeof(got.transports));
	ref_read(&r, &got.rails);
	/* It is sent before a version is agreed on: who also speaks a later
	 * one may append what we do not know. */
	if (r.failed ||
	    (!wire_reader_done(&r) && got.version_max <= HELLO_VERSION))
		return TCPX_EPROTO;
	if (got.version_min > got.version_max || got.version_min == 0 ||
	    got.purpose < HELLO_CONTROL || got.purpose > HELLO_RESUME ||
	    got.key < HELLO_KEY_BLOB || got.key > HELLO_KEY_SHARED)
		return TCPX_EPROTO;
	*m = got;
	return got.version_min > HELLO_VERSION ||
			       got.version_max < HELLO_VERSION ?
		       TCPX_EVERSION :
		       0;
}

int hello_challenge_encode(const struct hello_challenge *m, void *buf)
{
	struct wire_writer w;

	frame_start(&w, buf);
	wire_write_u16(&w, m->version);
	wire_write_bytes(&w, m->session, SESSION_ID_BYTES);
	wire_write_bytes(&w, m->nonce, HELLO_NONCE_BYTES);
	wire_write_text(&w, m->name);
	limits_write(&w, &m->limits);
	wire_write_text(&w, m->transports);
	ref_write(&w, &m->rails);
	/* Last, so that it can cover all that comes before it. */
	wire_write_bytes(&w, m->mac, HELLO_MAC_BYTES);
	return frame_finish(&w, buf, HELLO_CHALLENGE);
}

int hello_challenge_decode(const void *body, size_t len_bytes,
			   struct hello_challenge *m)
{
	struct hello_challenge got = {0};
	struct wire_reader r;

	wire_reader_init(&r, body, len_bytes);
	got.version = wire_read_u16(&r);
	wire_read_bytes(&r, got.session, SESSION_ID_BYTES);
	wire_read_bytes(&r, got.nonce, HELLO_NONCE_BYTES);
	wire_read_text(&r, got.name, sizeof(got.name));
	limits_read(&r, &got.limits);
	wire_read_text(&r, got.transports, sizeof(got.transports));
	ref_read(&r, &got.rails);
	wire_read_bytes(&r, got.mac, HELLO_MAC_BYTES);
	if (!wire_reader_done(&r) || got.version == 0 ||
	    got.version > HELLO_VERSION)
		return TCPX_EPROTO;
	*m = got;
	return 0;
}

int hello_proof_encode(const struct hello_proof *m, void *buf)
{
	struct wire_writer w;

	frame_start(&w, buf);
	wire_write_bytes(&w, m->mac, HELLO_MAC_BYTES);
	return frame_finish(&w, buf, HELLO_PROOF);
}

int hello_proof_decode(const void *body, size_t len_bytes,
		       struct hello_proof *m)
{
	if (len_bytes != HELLO_MAC_BYTES)
		return TCPX_EPROTO;
	memcpy(m->mac, body, HELLO_MAC_BYTES);
	return 0;
}

int hello_verdict_encode(const struct hello_verdict *m, void *buf)
{
	struct wire_writer w;

	frame_start(&w, buf);
	wire_write_u32(&w, (uint32_t)m->status);
	wire_write_u64(&w, m->token);
	wire_write_text(&w, m->text);
	return frame_finish(&w, buf, HELLO_VERDICT);
}

int hello_verdict_decode(const void *body, size_t len_bytes,
			 struct hello_verdict *m)
{
	struct hello_verdict got;
	struct wire_reader r;

	wire_reader_init(&r, body, len_bytes);
	got.status = (int32_t)wire_read_u32(&r);
	got.token = wire_read_u64(&r);
	wire_read_text(&r, got.text, sizeof(got.text));
	if (!wire_reader_done(&r) || got.status > 0)
		return TCPX_EPROTO;
	*m = got;
	return 0;
}

static uint32_t lesser(uint32_t a, uint32_t b, uint32_t least)
{
	uint32_t v = a < b ? a : b;

	return v > least ? v : least;
}

struct wire_limits wire_limits_meet(const struct wire_limits *a,
				    const struct wire_limits *b)
{
	return (struct wire_limits){
		.chunk_bytes = lesser(a->chunk_bytes, b->chunk_bytes,
				      CHUNK_BYTES_LEAST),
		.window_chunks = lesser(a->window_chunks, b->window_chunks, 1),
		.small_bytes = lesser(a->small_bytes, b->small_bytes, 0),
		.list_segments = lesser(a->list_segments, b->list_segments, 1),
		.n_flows = lesser(a->n_flows, b->n_flows, 1),
		.n_rails = lesser(a->n_rails, b->n_rails, 1),
		.notify_bytes = a->notify_bytes < b->notify_bytes ?
					a->notify_bytes :
					b->notify_bytes,
		.features = a->features | b->features,
		.liveness_ms = lesser(a->liveness_ms, b->liveness_ms,
				      LIVENESS_MS_LEAST),
	};
}
