/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_JSON_H
#define CORE_JSON_H

/* What several files need to hand JSON out. */

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* Writes json as text by p2p.h's rules for output, and disposes of it. NULL:
 * TCPX_ENOMEM. */
int json_give(json_t *json, char *buf, size_t cap_bytes, size_t *len_bytes);
/* A string; of a text that is not UTF-8 every byte that is not ASCII is given
 * as '?'. NULL: no memory. */
json_t *json_text(const char *text);
/* Put value into *array or *object. Without memory, or where value is NULL, the
 * whole of it becomes NULL, so that nothing is handed out with a part missing;
 * to what is NULL already nothing is done. */
void json_add(json_t **array, json_t *value);
void json_set(json_t **object, const char *key, json_t *value);
/* 2 * n + 1 bytes of lower-case hex. */
void json_hex(const uint8_t *bytes, size_t n, char *to);

#endif
