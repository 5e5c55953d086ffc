/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_ENTRY_H
#define TCPX_TOOL_ENTRY_H

#include <jansson.h>

/* The entry of an array of objects whose `key` is this text; NULL: none, or no
 * array. Borrowed. */
const json_t *entry_of(const json_t *list, const char *key, const char *text);

#endif
