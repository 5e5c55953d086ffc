/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

#include <stdint.h>

/* Bytes of the well-formed UTF-8 character at s, or 0 if there is none: also
 * for overlong forms, surrogates and what lies above U+10FFFF. */
static size_t char_len(const uint8_t *s, size_t left)
{
	static const uint32_t lowest[5] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = s[0] < 0xc0 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	uint32_t c;

	if (n == 0 || n > left || s[0] > 0xf4)
		return 0;
	c = s[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < lowest[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	return n;
}

/* The same, and 0 for control characters, of one byte or two. */
static size_t clean_len(const char *at, size_t left)
{
	const uint8_t *s = (const uint8_t *)at;

	if (s[0] < 0x80)
		return s[0] >= 0x20 && s[0] != 0x7f;
	if (left > 1 && s[0] == 0xc2 && s[1] < 0xa0)
		return 0;
	return char_len(s, left);
}

void utf8_clean(char *s, size_t len_bytes)
{
	size_t n;

	for (size_t i = 0; i < len_bytes; i += n) {
		n = clean_len(&s[i], len_bytes - i);
		if (n)
			continue;
		s[i] = '?';
		n = 1;
	}
}

bool utf8_is_clean(const char *s, size_t len_bytes)
{
	size_t n;

	for (size_t i = 0; i < len_bytes; i += n) {
		n = clean_len(&s[i], len_bytes - i);
		if (!n)
			return false;
	}
	return true;
}
