/* SPDX-License-Identifier: Apache-2.0 */
#include "common/wrap.h"

#include <string.h>

/* Bytes of the next line, which has room for `room`: up to a space. */
static size_t line_bytes(const char *text, size_t room)
{
	size_t n = strlen(text), k;

	if (n <= room)
		return n;
	for (k = room; k > 0 && text[k] != ' '; k--)
		;
	return k > 0 ? k : strcspn(text, " ");
}

void text_wrap(FILE *out, unsigned first, unsigned next, const char *text)
{
	unsigned indent = first;
	size_t n;

	do {
		n = line_bytes(text, TEXT_COLUMNS - indent);
		fprintf(out, "%*s%.*s\n", (int)indent, "", (int)n, text);
		text += n;
		while (*text == ' ')
			text++;
		indent = next;
	} while (*text);
}
