/* SPDX-License-Identifier: Apache-2.0 */
#include "common/size.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char units[] = "KMGT";

/* The power of 1024 a suffix stands for, or -1. */
static int suffix_shift(const char *suffix)
{
	const char *unit;
	int shift = 0;

	if (*suffix &&
	    (unit = strchr(units, toupper((unsigned char)*suffix)))) {
		shift = 10 * (int)(unit - units + 1);
		suffix++;
		if (*suffix == 'i' && suffix[1] == 'B')
			suffix++;
	}
	if (*suffix == 'B')
		suffix++;
	return *suffix ? -1 : shift;
}

int size_parse(const char *text, uint64_t *bytes)
{
	unsigned long long n;
	char *end;
	int shift;

	if (!isdigit((unsigned char)*text))
		return -1;
	errno = 0;
	n = strtoull(text, &end, 10);
	shift = suffix_shift(end);
	if (errno || shift < 0 || n > UINT64_MAX >> shift)
		return -1;
	*bytes = (uint64_t)n << shift;
	return 0;
}

const char *size_format(uint64_t bytes, char *buf, size_t cap_bytes)
{
	int unit = -1;

	while (unit < 3 && bytes && bytes % 1024 == 0) {
		bytes /= 1024;
		unit++;
	}
	if (unit < 0)
		snprintf(buf, cap_bytes, "%llu", (unsigned long long)bytes);
	else
		snprintf(buf, cap_bytes, "%llu%c", (unsigned long long)bytes,
			 units[unit]);
	return buf;
}

int number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *number)
{
	unsigned long long n;
	char *end;

	if (!isdigit((unsigned char)*text))
		return -1;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || *end || n < min || n > max)
		return -1;
	*number = n;
	return 0;
}

int duration_parse(const char *text, uint64_t *ns)
{
	char *end;
	double value;

	if (!isdigit((unsigned char)*text) && *text != '.')
		return -1;
	value = strtod(text, &end);
	if (!strcmp(end, "ms"))
		value /= 1000;
	else if (*end && strcmp(end, "s"))
		return -1;
	if (!(value > 0) || value > 86400)
		return -1;
	*ns = (uint64_t)(value * 1e9);
	return 0;
}
