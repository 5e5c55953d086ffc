/* SPDX-License-Identifier: Apache-2.0 */
#include "base/item.h"

#include <string.h>

#define BETWEEN ", \t"

bool item_next(const char **list, struct item *item)
{
	const char *text = *list + strspn(*list, BETWEEN);

	if (!*text)
		return false;
	item->text = text;
	item->len_bytes = strcspn(text, BETWEEN);
	*list = text + item->len_bytes;
	return true;
}

bool item_is(const struct item *item, const char *word)
{
	return strlen(word) == item->len_bytes &&
	       memcmp(word, item->text, item->len_bytes) == 0;
}

bool item_copy(const struct item *item, char *buf, size_t cap_bytes)
{
	if (item->len_bytes >= cap_bytes)
		return false;
	memcpy(buf, item->text, item->len_bytes);
	buf[item->len_bytes] = '\0';
	return true;
}

int item_place(const char *list, const char *word)
{
	struct item item;

	for (int place = 0; item_next(&list, &item); place++) {
		if (item_is(&item, word))
			return place;
	}
	return -1;
}
