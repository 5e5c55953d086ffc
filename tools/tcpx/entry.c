/* SPDX-License-Identifier: Apache-2.0 */
#include "entry.h"

#include <string.h>

const json_t *entry_of(const json_t *list, const char *key, const char *text)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
	{
		const char *its = json_string_value(json_object_get(one, key));

		if (its && !strcmp(its, text))
			return one;
	}
	return NULL;
}
