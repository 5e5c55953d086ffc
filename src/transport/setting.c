/* SPDX-License-Identifier: Apache-2.0 */
#include "base/parse.h"
#include "transport/transport.h"

bool transport_setting_number(const struct transport_setting *setting,
			      const char *text, uint64_t *value)
{
	*value = setting->def;
	if (!text)
		return true;
	return parse_size(text, value) && *value >= setting->min &&
	       *value <= setting->max;
}
