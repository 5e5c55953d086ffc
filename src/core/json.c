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

json_t *json_text(const char *text)
{
	json_t *json = json_string(text);
	char *plain = json ? NULL : strdup(text);

	if (!plain)
		return json;
	for (char *c = plain; *c; c++)
		if (*c & 0x80)
			*c = '?';
	json = json_string(plain);
	free(plain);
	return json;
}

void json_add(json_t **array, json_t *value)
{
	if (!json_array_append_new(*array, value))
		return;
	json_decref(*array);
	*array = NULL;
}

void json_set(json_t **object, const char *key, json_t *value)
{
	if (!json_object_set_new(*object, key, value))
		return;
	json_decref(*object);
	*object = NULL;
}

void json_hex(const uint8_t *bytes, size_t n, char *to)
{
	for (size_t i = 0; i < n; i++)
		sprintf(to + 2 * i, "%02x", bytes[i]);
	to[2 * n] = '\0';
}
