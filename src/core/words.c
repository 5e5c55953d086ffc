/* SPDX-License-Identifier: Apache-2.0 */
#include "core/words.h"

#include <string.h>

#include "base/item.h"
#include "base/utf8.h"
#include "core/settings.h"

static bool is_word(const struct setting *s, const struct item *item)
{
	const char *word;

	for (uint32_t i = 0; (word = s->word(i)); i++) {
		if (item_is(item, word))
			return true;
	}
	return false;
}

/* One word, or if several may be a list with one at least. */
static bool listed(const struct setting *s, const char *text)
{
	struct item item = {text, strlen(text)};
	bool any = false;

	if (!s->several)
		return is_word(s, &item);
	while (item_next(&text, &item)) {
		if (!is_word(s, &item))
			return false;
		any = true;
	}
	return any;
}

bool words_allowed(const struct setting *s, const char *text)
{
	size_t len_bytes = strnlen(text, (size_t)s->max + 1);

	if (len_bytes < (size_t)s->min || len_bytes > (size_t)s->max)
		return false;
	/* It is shown in log lines and JSON, here and by peers. */
	if (s->kind == SETTING_TEXT && !utf8_is_clean(text, len_bytes))
		return false;
	return !s->word || listed(s, text);
}

static void show_words(const struct setting *s, struct text *out)
{
	const char *word;

	for (uint32_t i = 0; (word = s->word(i)); i++)
		text_add(out, "%s%s", i ? ", " : "", word);
	if (s->several)
		text_add(out, "; several by commas");
}

void words_show(const struct setting *s, struct text *out)
{
	if (s->word)
		show_words(s, out);
	else if (s->form)
		text_add(out, "%s", s->form);
	else
		text_add(out, "%lld to %lld bytes%s", (long long)s->min,
			 (long long)s->max,
			 s->kind == SETTING_TEXT ? ", printable UTF-8" : "");
}
