/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"
#include "check.h"

static void check(const char *from, const char *want)
{
	char text[32];

	CHECK_EQ(utf8_is_clean(from, strlen(from)), !strcmp(from, want));
	snprintf(text, sizeof(text), "%s", from);
	utf8_clean(text, strlen(text));
	CHECK_STR(text, want);
	CHECK(utf8_is_clean(text, strlen(text)));
}

static void stays(void)
{
	check("", "");
	check("plain ~", "plain ~");
	check("K\xc3\xb6ln \xe2\x82\xac \xf0\x9f\x90\xa7",
	      "K\xc3\xb6ln \xe2\x82\xac \xf0\x9f\x90\xa7");
	check("\xf4\x8f\xbf\xbf\xc2\xa0", "\xf4\x8f\xbf\xbf\xc2\xa0");
}

static void replaced(void)
{
	check("two\nlines\x7f", "two?lines?");
	check("ab\xff", "ab?");
	check("cut\xe2\x82", "cut??");
	check("\x80start", "?start");
	/* overlong, surrogate, too high, a control of two bytes */
	check("\xc0\x80", "??");
	check("\xe0\x80\x80", "???");
	check("\xed\xa0\x80", "???");
	check("\xf4\x90\x80\x80", "????");
	check("\xc2\x85", "??");
}

/* Not one byte behind the end is looked at. */
static void ends(void)
{
	const char euro[] = "\xe2\x82\xac";

	CHECK(utf8_is_clean(euro, 3));
	CHECK(!utf8_is_clean(euro, 2));
	CHECK(!utf8_is_clean(euro, 1));
	CHECK(utf8_is_clean(euro, 0));
}

static const struct check_case cases[] = {
	{"stays", stays, 0},
	{"replaced", replaced, 0},
	{"ends", ends, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
