/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/cursor.h"

#include <endian.h>
#include <string.h>

#include "base/utf8.h"

#define TEXT_MAX 255 /* its length travels in one byte */

void wire_reader_init(struct wire_reader *r, const void *buf, size_t len_bytes)
{
	/* A decoder may be handed an empty body as (NULL, 0). */
	r->at = buf ? buf : (const void *)"";
	r->end = r->at + len_bytes;
	r->failed = false;
}

size_t wire_reader_left(const struct wire_reader *r)
{
	return r->failed ? 0 : (size_t)(r->end - r->at);
}

bool wire_reader_done(const struct wire_reader *r)
{
	return !r->failed && r->at == r->end;
}

const void *wire_read_ref(struct wire_reader *r, size_t len_bytes)
{
	const void *ref = r->at;

	if (r->failed || len_bytes > (size_t)(r->end - r->at)) {
		r->failed = true;
		return NULL;
	}
	r->at += len_bytes;
	return ref;
}

void wire_read_bytes(struct wire_reader *r, void *to, size_t len_bytes)
{
	const void *from = wire_read_ref(r, len_bytes);

	if (from)
		memcpy(to, from, len_bytes);
	else
		memset(to, 0, len_bytes);
}

uint8_t wire_read_u8(struct wire_reader *r)
{
	uint8_t v;

	wire_read_bytes(r, &v, sizeof(v));
	return v;
}

uint16_t wire_read_u16(struct wire_reader *r)
{
	uint16_t v;

	wire_read_bytes(r, &v, sizeof(v));
	return le16toh(v);
}

uint32_t wire_read_u32(struct wire_reader *r)
{
	uint32_t v;

	wire_read_bytes(r, &v, sizeof(v));
	return le32toh(v);
}

uint64_t wire_read_u64(struct wire_reader *r)
{
	uint64_t v;

	wire_read_bytes(r, &v, sizeof(v));
	return le64toh(v);
}

uint64_t wire_read_varint(struct wire_reader *r)
{
	uint64_t v = 0;
	uint8_t byte;

	for (unsigned int shift = 0; shift < 64; shift += 7) {
		byte = wire_read_u8(r);
		if (r->failed || (shift == 63 && byte > 1))
			break; /* ends too soon, or has bits above 64 */
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return v;
	}
	r->failed = true;
	return 0;
}

void wire_read_text(struct wire_reader *r, char *to, size_t cap_bytes)
{
	size_t len_bytes = wire_read_u8(r);
	const void *from;

	to[0] = '\0';
	if (len_bytes >= cap_bytes)
		r->failed = true;
	from = wire_read_ref(r, len_bytes);
	if (!from)
		return;
	if (memchr(from, '\0', len_bytes)) {
		r->failed = true;
		return;
	}
	memcpy(to, from, len_bytes);
	to[len_bytes] = '\0';
	/* It ends up in log lines and JSON. */
	utf8_clean(to, len_bytes);
}

void wire_writer_init(struct wire_writer *w, void *buf, size_t cap_bytes)
{
	w->at = buf;
	w->end = w->at + cap_bytes;
	w->failed = false;
}

size_t wire_writer_left(const struct wire_writer *w)
{
	return w->failed ? 0 : (size_t)(w->end - w->at);
}

void wire_write_bytes(struct wire_writer *w, const void *from, size_t len_bytes)
{
	if (w->failed || len_bytes > (size_t)(w->end - w->at)) {
		w->failed = true;
		return;
	}
	if (len_bytes == 0)
		return; /* from may be NULL */
	memcpy(w->at, from, len_bytes);
	w->at += len_bytes;
}

void wire_write_u8(struct wire_writer *w, uint8_t v)
{
	wire_write_bytes(w, &v, sizeof(v));
}

void wire_write_u16(struct wire_writer *w, uint16_t v)
{
	v = htole16(v);
	wire_write_bytes(w, &v, sizeof(v));
}

void wire_write_u32(struct wire_writer *w, uint32_t v)
{
	v = htole32(v);
	wire_write_bytes(w, &v, sizeof(v));
}

void wire_write_u64(struct wire_writer *w, uint64_t v)
{
	v = htole64(v);
	wire_write_bytes(w, &v, sizeof(v));
}

void wire_write_varint(struct wire_writer *w, uint64_t v)
{
	uint8_t buf[10];
	size_t n = 0;

	while (v >= 0x80) {
		buf[n++] = (uint8_t)v | 0x80;
		v >>= 7;
	}
	buf[n++] = (uint8_t)v;
	wire_write_bytes(w, buf, n);
}

void wire_write_text(struct wire_writer *w, const char *text)
{
	size_t len_bytes = strnlen(text, TEXT_MAX);

	wire_write_u8(w, (uint8_t)len_bytes);
	wire_write_bytes(w, text, len_bytes);
}
