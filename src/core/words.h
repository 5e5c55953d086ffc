/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_WORDS_H
#define CORE_WORDS_H

/* Which texts a setting that is a text may have. */

#include <stdbool.h>

struct setting;
struct text;

bool words_allowed(const struct setting *s, const char *text);
/* For messages: the words, or the form, or the lengths. */
void words_show(const struct setting *s, struct text *out);

#endif
