/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "check.h"

static void adds_up(void)
{
	char buf[32];
	struct text text;

	text_init(&text, buf, sizeof(buf));
	CHECK_STR(buf, "");
	text_add(&text, "port %d", 7);
	text_add(&text, " of %s", "eth1");
	CHECK_STR(buf, "port 7 of eth1");
	CHECK_EQ(text.len_bytes, 14);
	CHECK_STATUS(text_status(&text), TCPX_OK);
}

/* Every capacity: nothing past the end, and the full length is known. */
static void cut_at_every_length(void)
{
	const char *whole = "ab\"c\\n\"12";
	char buf[16];

	for (size_t cap = 0; cap <= sizeof(buf); cap++) {
		struct text text;

		memset(buf, '#', sizeof(buf));
		text_init(&text, buf, cap);
		text_add(&text, "a%c", 'b');
		text_add_quoted(&text, "c\n");
		text_add(&text, "%d", 12);
		CHECK_EQ(text.len_bytes, 9);
		CHECK_STATUS(text_status(&text), cap > 9 ? 0 : TCPX_ENOSPC);
		for (size_t i = cap; i < sizeof(buf); i++)
			CHECK_EQ(buf[i], '#');
		if (cap == 0)
			continue;
		CHECK_EQ(strlen(buf), cap > 9 ? 9 : cap - 1);
		CHECK_MEM(buf, whole, strlen(buf));
	}
}

static void no_buffer_counts(void)
{
	struct text text;

	text_init(&text, NULL, 0);
	text_add(&text, "%s", "four");
	text_add_quoted(&text, "x");
	CHECK_EQ(text.len_bytes, 7);
	CHECK_STATUS(text_status(&text), TCPX_ENOSPC);
}

static void quotes(void)
{
	char buf[64];
	struct text text;

	text_init(&text, buf, sizeof(buf));
	text_add_quoted(&text, "");
	text_add_quoted(&text, "a\\b\"c\n%d");
	CHECK_STR(buf, "\"\"\"a\\\\b\\\"c\\n%d\"");
}

static void gives_text(void)
{
	char buf[6] = "#####";
	size_t need = 99;

	CHECK_STATUS(text_give("abc", 3, NULL, 0, &need), TCPX_ENOSPC);
	CHECK_EQ(need, 3);
	CHECK_STATUS(text_give("abc", 3, buf, 3, &need), TCPX_ENOSPC);
	CHECK_STR(buf, "#####");
	CHECK_STATUS(text_give("abc", 3, buf, 4, &need), TCPX_OK);
	CHECK_STR(buf, "abc");
	CHECK_STATUS(text_give("ab", 2, buf, 6, NULL), TCPX_OK);
	CHECK_STR(buf, "ab");
}

static void gives_blobs(void)
{
	char buf[6] = "#####";
	size_t need = 99;

	CHECK_STATUS(text_give_blob("abc", 3, buf, 2, &need), TCPX_ENOSPC);
	CHECK_EQ(need, 3);
	CHECK_STATUS(text_give_blob("abc", 3, buf, 3, &need), TCPX_OK);
	CHECK_STR(buf, "abc##");
	CHECK_STATUS(text_give_blob(NULL, 0, NULL, 0, &need), TCPX_OK);
	CHECK_EQ(need, 0);
}

static const struct check_case cases[] = {
	{"adds_up", adds_up, 0},
	{"cut_at_every_length", cut_at_every_length, 0},
	{"no_buffer_counts", no_buffer_counts, 0},
	{"quotes", quotes, 0},
	{"gives_text", gives_text, 0},
	{"gives_blobs", gives_blobs, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
