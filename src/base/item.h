/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ITEM_H
#define BASE_ITEM_H

/*
 * Lists in one text, as settings have them: "eth0, eth1". Any number of commas
 * and blanks stands between two items, before the first and behind the last;
 * an empty item is none.
 *
 *	struct item item;
 *
 *	while (item_next(&list, &item))
 *		...
 */

#include <stdbool.h>
#include <stddef.h>

struct item {
	const char *text; /* in the list: not NUL-terminated */
	size_t len_bytes; /* never 0 */
};

/* Moves *list behind the next one. false, with *item untouched: there is
 * none. */
bool item_next(const char **list, struct item *item);
bool item_is(const struct item *item, const char *word);
/* As a string. false, with buf untouched: it does not fit. */
bool item_copy(const struct item *item, char *buf, size_t cap_bytes);
/* Which of the list's items word is, from 0; -1: none. */
int item_place(const char *list, const char *word);

#endif
