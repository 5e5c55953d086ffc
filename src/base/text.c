/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <tcpx/status.h>

void text_init(struct text *text, char *buf, size_t cap_bytes)
{
	text->buf = buf;
	text->cap_bytes = cap_bytes;
	text->len_bytes = 0;
	if (cap_bytes > 0)
		buf[0] = '\0';
}

void text_vadd(struct text *text, const char *fmt, va_list args)
{
	size_t used = text->len_bytes;
	bool full = used >= text->cap_bytes;
	int n;

	n = vsnprintf(full ? NULL : text->buf + used,
		      full ? 0 : text->cap_bytes - used, fmt, args);
	if (n > 0)
		text->len_bytes += (size_t)n;
}

void text_add(struct text *text, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	text_vadd(text, fmt, args);
	va_end(args);
}

void text_add_quoted(struct text *text, const char *s)
{
	text_add(text, "\"");
	while (*s) {
		int plain = (int)strcspn(s, "\\\"\n");

		text_add(text, "%.*s", plain, s);
		s += plain;
		if (*s == '\n')
			text_add(text, "\\n");
		else if (*s)
			text_add(text, "\\%c", *s);
		s += *s != '\0';
	}
	text_add(text, "\"");
}

int text_status(const struct text *text)
{
	return text->len_bytes < text->cap_bytes ? 0 : TCPX_ENOSPC;
}

int text_give(const char *s, size_t len_bytes, char *buf, size_t cap_bytes,
	      size_t *need_bytes)
{
	if (need_bytes)
		*need_bytes = len_bytes;
	if (cap_bytes <= len_bytes)
		return TCPX_ENOSPC;
	memcpy(buf, s, len_bytes);
	buf[len_bytes] = '\0';
	return 0;
}

int text_give_blob(const void *data, size_t len_bytes, void *buf,
		   size_t cap_bytes, size_t *need_bytes)
{
	if (need_bytes)
		*need_bytes = len_bytes;
	if (cap_bytes < len_bytes)
		return TCPX_ENOSPC;
	if (len_bytes > 0)
		memcpy(buf, data, len_bytes);
	return 0;
}
