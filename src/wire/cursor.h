/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_CURSOR_H
#define WIRE_CURSOR_H

/*
 * Bounded reading and writing of bytes, little-endian on the wire. A cursor
 * that ran out of room is `failed` and stays so: reads give 0, writes do
 * nothing, and the one check at the end decides. Nothing here allocates.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire_reader {
	const uint8_t *at, *end;
	bool failed;
};

struct wire_writer {
	uint8_t *at, *end;
	bool failed;
};

void wire_reader_init(struct wire_reader *r, const void *buf, size_t len_bytes);
uint8_t wire_read_u8(struct wire_reader *r);
uint16_t wire_read_u16(struct wire_reader *r);
uint32_t wire_read_u32(struct wire_reader *r);
uint64_t wire_read_u64(struct wire_reader *r);
/* LEB128, at most 10 bytes, no bits above 64. */
uint64_t wire_read_varint(struct wire_reader *r);
void wire_read_bytes(struct wire_reader *r, void *to, size_t len_bytes);
/* len_bytes in place; NULL (and failed) if there are not so many. */
const void *wire_read_ref(struct wire_reader *r, size_t len_bytes);
/* u8 length and text without NUL inside; always terminated in to. */
void wire_read_text(struct wire_reader *r, char *to, size_t cap_bytes);
size_t wire_reader_left(const struct wire_reader *r);
/* All read, nothing left over, nothing missing. */
bool wire_reader_done(const struct wire_reader *r);

void wire_writer_init(struct wire_writer *w, void *buf, size_t cap_bytes);
void wire_write_u8(struct wire_writer *w, uint8_t v);
void wire_write_u16(struct wire_writer *w, uint16_t v);
void wire_write_u32(struct wire_writer *w, uint32_t v);
void wire_write_u64(struct wire_writer *w, uint64_t v);
void wire_write_varint(struct wire_writer *w, uint64_t v);
void wire_write_bytes(struct wire_writer *w, const void *from,
		      size_t len_bytes);
/* Cut to 255 bytes. */
void wire_write_text(struct wire_writer *w, const char *text);
size_t wire_writer_left(const struct wire_writer *w);

#endif
