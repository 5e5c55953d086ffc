/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

/*
 * Text that may stand in a log line and in JSON: well-formed UTF-8 without
 * control characters.
 */

#include <stdbool.h>
#include <stddef.h>

/* What is neither becomes question marks, one a byte. */
void utf8_clean(char *s, size_t len_bytes);
/* Would it stay as it is? */
bool utf8_is_clean(const char *s, size_t len_bytes);

#endif
