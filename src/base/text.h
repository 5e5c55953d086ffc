/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

/*
 * Text written into a buffer of fixed size. What does not fit is cut, never
 * written past the end, and counted all the same: len_bytes is what the whole
 * text needs, as the public calls report it. buf always ends with a NUL when
 * cap_bytes > 0, and may be NULL when it is 0.
 *
 * Cause texts: struct text on a char array. Prometheus: the caller's buffer.
 */

#include <stdarg.h>
#include <stddef.h>

struct text {
	char *buf;
	size_t cap_bytes;
	size_t len_bytes; /* of the whole text, without the NUL */
};

void text_init(struct text *text, char *buf, size_t cap_bytes);
void text_add(struct text *text, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void text_vadd(struct text *text, const char *fmt, va_list args)
	__attribute__((format(printf, 2, 0)));
/* s in double quotes, escaped as Prometheus label values (and C) want it. */
void text_add_quoted(struct text *text, const char *s);
/* 0 if all of it, with the NUL, fitted; otherwise TCPX_ENOSPC. */
int text_status(const struct text *text);

/*
 * Hands out a finished string or blob as p2p.h describes output buffers:
 * *need_bytes = len_bytes always; copies (for text: with a NUL behind it) and
 * returns 0 if it fits, otherwise TCPX_ENOSPC.
 */
int text_give(const char *s, size_t len_bytes, char *buf, size_t cap_bytes,
	      size_t *need_bytes);
int text_give_blob(const void *data, size_t len_bytes, void *buf,
		   size_t cap_bytes, size_t *need_bytes);

#endif
