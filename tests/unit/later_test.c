/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>

#include "base/log.h"
#include "check.h"
#include "core/later.h"

/* What the program is told, one line after the other. */
static struct {
	unsigned int n;
	enum tcpx_log_level level[3 * LATER_LINES];
	char text[3 * LATER_LINES][64];
} told;

static void keep(void *arg, enum tcpx_log_level level, const char *subsystem,
		 const char *line)
{
	struct later *later = arg;

	CHECK(told.n < 3 * LATER_LINES);
	told.level[told.n] = level;
	snprintf(told.text[told.n++], sizeof(told.text[0]), "%s: %s", subsystem,
		 line);
	/* A call from in here may have something to say. */
	if (!strcmp(line, "say more"))
		log_warn(&later->log, "test", "more");
}

static struct later *begin(void)
{
	static struct later later;
	static struct log to;

	told.n = 0;
	to = (struct log){.fn = keep, .arg = &later, .level = TCPX_LOG_WARN};
	later_init(&later);
	later_begin(&later, &to);
	return &later;
}

static void in_order(void)
{
	struct later *later = begin();

	for (int round = 0; round < 3; round++) {
		told.n = 0;
		for (int i = 0; i < LATER_LINES / 2 + 5; i++)
			log_warn(&later->log, "test", "line %d", i);
		log_error(&later->log, "other", "the last");
		log_info(&later->log, "test", "not asked for");
		CHECK_EQ(told.n, 0);
		later_flush(later);
		CHECK_EQ(told.n, LATER_LINES / 2 + 6);
		CHECK_STR(told.text[7], "test: line 7");
		CHECK_EQ(told.level[7], TCPX_LOG_WARN);
		CHECK_STR(told.text[told.n - 1], "other: the last");
		CHECK_EQ(told.level[told.n - 1], TCPX_LOG_ERROR);
		later_flush(later);
		CHECK_EQ(told.n, LATER_LINES / 2 + 6);
	}
	later_fini(later);
}

/* What does not fit is counted, and said where it would have been. */
static void a_flood(void)
{
	struct later *later = begin();

	for (int i = 0; i < LATER_LINES + 7; i++)
		log_warn(&later->log, "test", "line %d", i);
	later_flush(later);
	log_warn(&later->log, "test", "behind it");
	later_flush(later);
	CHECK_EQ(told.n, LATER_LINES + 2);
	CHECK_STR(told.text[LATER_LINES],
		  "log: and 7 lines that are not shown");
	CHECK_STR(told.text[LATER_LINES + 1], "test: behind it");

	for (int i = 0; i < LATER_LINES + 3; i++)
		log_warn(&later->log, "test", "line %d", i);
	told.n = 0;
	later_flush(later);
	CHECK_EQ(told.n, LATER_LINES + 1);
	CHECK_STR(told.text[LATER_LINES],
		  "log: and 3 lines that are not shown");
	later_fini(later);
}

static void a_line_about_a_line(void)
{
	struct later *later = begin();

	log_warn(&later->log, "test", "say more");
	later_flush(later);
	CHECK_EQ(told.n, 2);
	CHECK_STR(told.text[1], "test: more");
	later_fini(later);
}

static void nobody_to_tell(void)
{
	static const struct log to = {.level = TCPX_LOG_TRACE};
	struct later *later = begin();

	later_begin(later, &to);
	log_error(&later->log, "test", "nowhere");
	later_flush(later);
	CHECK_EQ(told.n, 0);
	later_fini(later);
}

/* Without a control thread who ends the process tells it. */
static void the_end(void)
{
	struct later *later = begin();

	log_error(&later->log, "test", "the end");
	later->log.at_exit(later->log.arg);
	CHECK_EQ(told.n, 1);
	CHECK_STR(told.text[0], "test: the end");
	later_fini(later);
}

static void *put_many(void *arg)
{
	struct later *later = arg;

	for (int i = 0; i < 1000; i++)
		log_warn(&later->log, "test", "line");
	return NULL;
}

static unsigned int lines_told(void)
{
	unsigned int lines = 0, n;

	for (unsigned int i = 0; i < told.n; i++)
		lines += sscanf(told.text[i], "log: and %u lines", &n) == 1 ?
				 n :
				 1;
	told.n = 0;
	return lines;
}

/* Told or counted, none is lost. */
static void from_threads(void)
{
	struct later *later = begin();
	unsigned int lines = 0;
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		CHECK(!pthread_create(&threads[i], NULL, put_many, later));
	while (lines < 4000) {
		later_flush(later);
		lines += lines_told();
	}
	for (int i = 0; i < 4; i++)
		CHECK(!pthread_join(threads[i], NULL));
	later_flush(later);
	CHECK_EQ(lines + lines_told(), 4000);
	later_fini(later);
}

static const struct check_case cases[] = {
	{"in_order", in_order, 0},
	{"a_flood", a_flood, 0},
	{"a_line_about_a_line", a_line_about_a_line, 0},
	{"nobody_to_tell", nobody_to_tell, 0},
	{"the_end", the_end, 0},
	{"from_threads", from_threads, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
