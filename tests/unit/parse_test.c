/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>

#include "base/parse.h"
#include "check.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static void numbers(void)
{
	static const char *const bad[] = {"",	"-1", "+1",
					  " 1", "1 ", "1x",
					  "0x", "x1", "18446744073709551616"};
	uint64_t v = 5;

	for (size_t i = 0; i < COUNT(bad); i++) {
		CHECK(!parse_u64(bad[i], &v));
		CHECK_EQ(v, 5);
	}
	CHECK(parse_u64("0", &v) && v == 0);
	CHECK(parse_u64("010", &v) && v == 10);
	CHECK(parse_u64("0xFf", &v) && v == 255);
	CHECK(parse_u64("18446744073709551615", &v) && v == UINT64_MAX);
}

static void errno_is_kept(void)
{
	uint64_t v;

	errno = EDOM;
	CHECK(!parse_u64("99999999999999999999999", &v));
	CHECK_EQ(errno, EDOM);
}

static void signed_numbers(void)
{
	int64_t v = 5;

	CHECK(!parse_i64("--1", &v));
	CHECK(!parse_i64("-", &v));
	CHECK(!parse_i64("9223372036854775808", &v));
	CHECK_EQ(v, 5);
	CHECK(parse_i64("-1", &v) && v == -1);
	CHECK(parse_i64("9223372036854775807", &v) && v == INT64_MAX);
}

static void sizes(void)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{"0", 0},
		{"4096", 4096},
		{"64K", 65536},
		{"64k", 65536},
		{"64KiB", 65536},
		{"64KB", 65536},
		{"64kb", 65536},
		{"512b", 512},
		{"1M", 1 << 20},
		{"1G", 1 << 30},
		{"2T", 2ull << 40},
		{"0x10K", 16384},
		{"16777215T", 16777215ull << 40},
	};
	static const char *const bad[] = {
		"", "K", "1KK", "1 K", "1Q", "1Ki", "-1K", "1.5M", "16777216T"};
	uint64_t v = 5;

	for (size_t i = 0; i < COUNT(bad); i++) {
		CHECK(!parse_size(bad[i], &v));
		CHECK_EQ(v, 5);
	}
	for (size_t i = 0; i < COUNT(good); i++) {
		CHECK(parse_size(good[i].text, &v));
		CHECK_EQ(v, good[i].bytes);
	}
}

static void booleans(void)
{
	bool v = false;

	CHECK(parse_bool("1", &v) && v);
	CHECK(parse_bool("NO", &v) && !v);
	CHECK(parse_bool("True", &v) && v);
	CHECK(parse_bool("off", &v) && !v);
	CHECK(parse_bool("on", &v) && v);
	CHECK(!parse_bool("", &v) && v);
	CHECK(!parse_bool("2", &v) && v);
	CHECK(!parse_bool("yes ", &v) && v);
}

static void ports(void)
{
	static const char *const bad[] = {"",	   "-",	      "1-",  "-1",
					  "65536", "0-5",     "9-8", "1-2-3",
					  "1,2",   "1-65536", "80x"};
	uint16_t first = 1, last = 2;

	for (size_t i = 0; i < COUNT(bad); i++)
		CHECK(!parse_ports(bad[i], &first, &last));
	CHECK(first == 1 && last == 2);
	CHECK(parse_ports("0", &first, &last) && first == 0 && last == 0);
	CHECK(parse_ports("80", &first, &last) && first == 80 && last == 80);
	CHECK(parse_ports("7000-7010", &first, &last));
	CHECK(first == 7000 && last == 7010);
}

/* The definition, exponential and plain. */
static unsigned slow_distance(const char *a, const char *b)
{
	unsigned x, y, z;

	if (!*a || !*b)
		return (unsigned)(strlen(a) + strlen(b));
	x = slow_distance(a + 1, b + 1) + (*a != *b);
	y = slow_distance(a + 1, b) + 1;
	z = slow_distance(a, b + 1) + 1;
	return x < y ? (x < z ? x : z) : (y < z ? y : z);
}

static void distances(void)
{
	uint64_t seed = check_seed();
	char far[100], a[7], b[7];

	memset(far, 'x', sizeof(far) - 1);
	far[sizeof(far) - 1] = '\0';
	CHECK_EQ(parse_distance("kitten", "sitting"), 3);
	CHECK_EQ(parse_distance("", "abc"), 3);
	CHECK_EQ(parse_distance(far, "abc"), UINT_MAX);
	for (int i = 0; i < 300; i++) {
		for (int k = 0; k < 6; k++) {
			a[k] = (char)('a' + check_rand(&seed) % 3);
			b[k] = (char)('a' + check_rand(&seed) % 3);
		}
		a[check_rand(&seed) % 7] = b[check_rand(&seed) % 7] = '\0';
		a[6] = b[6] = '\0';
		CHECK_EQ(parse_distance(a, b), slow_distance(a, b));
	}
}

static const struct check_case cases[] = {
	{"numbers", numbers, 0},
	{"errno_is_kept", errno_is_kept, 0},
	{"signed_numbers", signed_numbers, 0},
	{"sizes", sizes, 0},
	{"booleans", booleans, 0},
	{"ports", ports, 0},
	{"distances", distances, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
