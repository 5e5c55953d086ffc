/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tcpx/p2p.h>

#include "base/text.h"

int json_give(json_t *json, char *buf, size_t cap_bytes, size_t *len_bytes)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	if (!text)
		return TCPX_ENOMEM;
	int err = text_give(text, strlen(text), buf, cap_bytes, len_bytes);

	free(text);
	return err;
}

void json_hex(const uint8_t *bytes, size_t n, char *to)
{
	for (size_t i = 0; i < n; i++)
		sprintf(to + 2 * i, "%02x", bytes[i]);
	to[2 * n] = '\0';
}
