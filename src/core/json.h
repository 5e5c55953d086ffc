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
/* 2 * n + 1 bytes of lower-case hex. */
void json_hex(const uint8_t *bytes, size_t n, char *to);

#endif
