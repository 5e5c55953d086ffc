/* SPDX-License-Identifier: Apache-2.0 */
#include "base/item.h"
#include "check.h"

/* A list's items, "a|b|c". */
static void check_items(const char *list, const char *want)
{
	const char *at = list;
	char all[256] = "";
	struct item item;

	while (item_next(&at, &item)) {
		size_t n = strlen(all);

		CHECK(item.len_bytes > 0);
		snprintf(all + n, sizeof(all) - n, "%s%.*s", n ? "|" : "",
			 (int)item.len_bytes, item.text);
	}
	CHECK_STR(all, want);
	CHECK(!item_next(&at, &item));
}

static void nothing(void)
{
	const char *list = " ,";
	struct item item = {list, 7};

	check_items("", "");
	check_items(" ", "");
	check_items(",", "");
	check_items(" ,\t,, ", "");
	CHECK(!item_next(&list, &item));
	CHECK(item.text == list && item.len_bytes == 7);
}

static void empty_ones(void)
{
	check_items(",a", "a");
	check_items("a,", "a");
	check_items(",,a,,b,,", "a|b");
	check_items(" a , b ", "a|b");
}

static void last_one(void)
{
	check_items("a", "a");
	check_items("a,bc", "a|bc");
	check_items("a bc\td", "a|bc|d");
	check_items("a,bc ", "a|bc");
}

static void words(void)
{
	const char *list = "eth1,eth10";
	struct item item;

	CHECK(item_next(&list, &item));
	CHECK(item_is(&item, "eth1"));
	CHECK(!item_is(&item, "eth") && !item_is(&item, "eth10"));
	CHECK(!item_is(&item, "") && !item_is(&item, "ETH1"));
	CHECK(item_next(&list, &item));
	CHECK(item_is(&item, "eth10") && !item_is(&item, "eth1"));
}

static void too_long(void)
{
	const char *list = "1234567,12345678";
	char buf[8] = "as it is";
	struct item item;

	CHECK(item_next(&list, &item) && item_copy(&item, buf, sizeof(buf)));
	CHECK_STR(buf, "1234567");
	CHECK(item_next(&list, &item) && !item_copy(&item, buf, sizeof(buf)));
	CHECK_STR(buf, "1234567");
	CHECK(!item_copy(&item, buf, 0));
}

static void places(void)
{
	CHECK_EQ(item_place("", "a"), -1);
	CHECK_EQ(item_place("a", "a"), 0);
	CHECK_EQ(item_place("b,a", "a"), 1);
	CHECK_EQ(item_place(", b,, a", "a"), 1); /* empty ones count not */
	CHECK_EQ(item_place("aa,a", "a"), 1);
	CHECK_EQ(item_place("a", ""), -1);
	CHECK_EQ(item_place(",", ""), -1);
}

static const struct check_case cases[] = {
	{"nothing", nothing, 0},   {"empty_ones", empty_ones, 0},
	{"last_one", last_one, 0}, {"words", words, 0},
	{"too_long", too_long, 0}, {"places", places, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
