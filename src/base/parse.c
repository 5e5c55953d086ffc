/* SPDX-License-Identifier: Apache-2.0 */
#include "base/parse.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAME_BYTES 64

/* Digits from s on; *rest is what follows. strtoull alone would take a sign,
 * spaces, and octal. */
static bool parse_digits(const char *s, uint64_t *value, const char **rest)
{
	bool hex = s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
	unsigned long long v;
	int saved = errno;
	char *end;
	bool ok;

	if (hex ? !isxdigit((unsigned char)s[2]) :
		  !isdigit((unsigned char)s[0]))
		return false;
	errno = 0;
	v = strtoull(s, &end, hex ? 16 : 10);
	ok = errno == 0;
	errno = saved;
	if (!ok)
		return false;
	*value = v;
	*rest = end;
	return true;
}

bool parse_u64(const char *s, uint64_t *value)
{
	const char *rest;
	uint64_t v;

	if (!parse_digits(s, &v, &rest) || *rest)
		return false;
	*value = v;
	return true;
}

bool parse_i64(const char *s, int64_t *value)
{
	bool negative = s[0] == '-';
	uint64_t v;

	if (!parse_u64(s + negative, &v) || v > INT64_MAX)
		return false;
	*value = negative ? -(int64_t)v : (int64_t)v;
	return true;
}

bool parse_size(const char *s, uint64_t *bytes)
{
	static const char units[] = "kmgt";
	unsigned shift = 0;
	const char *rest, *unit;
	uint64_t v;

	if (!parse_digits(s, &v, &rest))
		return false;
	unit = *rest ? strchr(units, tolower((unsigned char)*rest)) : NULL;
	if (unit) {
		shift = 10 * (unsigned)(unit - units + 1);
		rest++;
		if (strcasecmp(rest, "ib") == 0)
			rest += 2;
	}
	if (strcasecmp(rest, "b") == 0)
		rest++;
	if (*rest || v > UINT64_MAX >> shift)
		return false;
	*bytes = v << shift;
	return true;
}

bool parse_bool(const char *s, bool *value)
{
	static const char *const words[] = {"0", "no",	"false", "off",
					    "1", "yes", "true",	 "on"};

	for (int i = 0; i < 8; i++) {
		if (strcasecmp(s, words[i]) == 0) {
			*value = i >= 4;
			return true;
		}
	}
	return false;
}

bool parse_ports(const char *s, uint16_t *first, uint16_t *last)
{
	const char *rest;
	uint64_t a, b;

	if (!parse_digits(s, &a, &rest))
		return false;
	b = a;
	if (*rest == '-' && (a == 0 || !parse_u64(rest + 1, &b)))
		return false;
	if ((*rest && *rest != '-') || a > b || b > UINT16_MAX)
		return false;
	*first = (uint16_t)a;
	*last = (uint16_t)b;
	return true;
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

unsigned parse_distance(const char *a, const char *b)
{
	unsigned row[NAME_BYTES];
	size_t len_a = strlen(a), len_b = strlen(b);

	if (len_a >= NAME_BYTES || len_b >= NAME_BYTES)
		return UINT_MAX;
	/* row[j]: distance of a's first i letters to b's first j. */
	for (size_t j = 0; j <= len_b; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= len_a; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= len_b; j++) {
			unsigned above = row[j];

			row[j] = min3(above + 1, row[j - 1] + 1,
				      diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[len_b];
}
